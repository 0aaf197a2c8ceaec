/*
 * Saving and restoring of FPU state by the guest: FNSTENV and FNSAVE and their loads through
 * stubs, FXSAVE and the XSAVE family on the parked registers.
 *
 * Not modelled: the x87's last instruction and data pointers and opcode, stored as zeros. XSAVEOPT
 * leaves out what is in its initial state, never what was not modified.
 */
#include "engine/soft/decode.h"
#include "engine/soft/fpu.h"
#include "engine/soft/key.h"

#define LEGACY_BYTES 512u
#define HEADER_AT 512u
#define AVX_AT 576u
#define XCOMP_COMPACT (1ull << 63)

static void read_bytes(struct soft_vcpu *v, uint64_t linear, void *buf, unsigned size)
{
	for (unsigned at = 0; at < size; at += 64)
		soft_read(v, linear + at, (uint8_t *)buf + at, size - at < 64 ? size - at : 64);
}

static void write_bytes(struct soft_vcpu *v, uint64_t linear, const void *buf, unsigned size)
{
	for (unsigned at = 0; at < size; at += 64)
		soft_write(v, linear + at, (const uint8_t *)buf + at,
			   size - at < 64 ? size - at : 64);
}

/* Registers 8 to 15 do not exist outside 64-bit mode. */
static unsigned vector_regs(const struct soft_vcpu *v)
{
	return v->code64 ? 16 : 8;
}

/* ---- FNSTENV, FNSAVE, FLDENV, FRSTOR: op_size 2 or 4; mem_size ---- */

static void clear_pointers(uint8_t *env, unsigned op_size)
{
	if (op_size == 2) {
		memset(env + 6, 0, 8);
		return;
	}
	memset(env + 12, 0, 14); /* what follows is reserved, as the host stored it */
}

static stub_fn env_stub(struct soft_vcpu *v, const struct insn *i)
{
	struct stub_insn n = { .name = i->aux, .len = i->cc };

	return (stub_fn)(uintptr_t)(i->priv != NULL ? i->priv : soft_stub_scratch(v, &n));
}

/* Alignment checks see the fields. */
static uint64_t env_ea(struct soft_vcpu *v, const struct insn *i, bool write)
{
	uint64_t linear = soft_ea(v, i, i->mem_size, write);

	if (HV_UNLIKELY((v->key & KEY_ALIGN) && (linear & (i->op_size - 1u))))
		soft_raise_err(v, X86_EXC_AC, 0);
	return linear;
}

static void op_env_store(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t linear = env_ea(v, i, true);

	soft_fpu_park(v);
	soft_probe(v, linear, i->mem_size, true);
	simd_run_stub(v, env_stub(v, i), v->fpu->bounce, NULL);
	soft_fpu_park(v);
	clear_pointers(v->fpu->bounce, i->op_size);
	write_bytes(v, linear, v->fpu->bounce, i->mem_size);
}

static void op_env_load(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t linear;

	soft_fpu_wait(v);
	linear = env_ea(v, i, false);
	soft_fpu_park(v);
	read_bytes(v, linear, v->fpu->bounce, i->mem_size);
	simd_run_stub(v, env_stub(v, i), v->fpu->bounce, NULL);
}

bool simd_select_env(const struct decoded *d, struct insn *i)
{
	struct stub_insn n;
	bool env = d->z.mnemonic == ZYDIS_MNEMONIC_FLDENV ||
		   d->z.mnemonic == ZYDIS_MNEMONIC_FNSTENV;
	bool load = d->z.mnemonic == ZYDIS_MNEMONIC_FLDENV ||
		    d->z.mnemonic == ZYDIS_MNEMONIC_FRSTOR;

	if (!simd_encode(d, &n))
		return false;
	i->op_size = d->z.operand_width == 16 ? 2 : 4;
	i->mem_size = (uint8_t)(i->op_size * 7u + (env ? 0 : 80));
	i->priv = soft_stub_get(d->v->vm, &n);
	i->aux = n.name;
	i->cc = n.len;
	i->fn = load ? op_env_load : op_env_store;
	return true;
}

/* ---- FXSAVE, FXRSTOR ---- */

static uint64_t aligned_ea(struct soft_vcpu *v, const struct insn *i, unsigned size, unsigned align,
			   bool write)
{
	uint64_t linear = soft_offset(v, i) + (v->code64 ? 0 : v->s.seg[i->seg].base);

	/* Which of the two it is is the CPU's choice for FXSAVE. */
	if (HV_UNLIKELY(v->key & KEY_ALIGN) && align == 16 && (linear & 3))
		soft_raise_err(v, X86_EXC_AC, 0);
	linear = soft_ea(v, i, size, write);
	if (linear & (align - 1))
		soft_raise_err(v, X86_EXC_GP, 0);
	return linear;
}

static void op_fxsave(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t linear = aligned_ea(v, i, LEGACY_BYTES, 16, true);
	struct fpu_image *m;

	soft_fpu_park(v);
	soft_probe(v, linear, LEGACY_BYTES, true);
	m = soft_fpu_image(v);
	write_bytes(v, linear, m, (unsigned)offsetof(struct fpu_image, xmm) + 16 * vector_regs(v));
}

static void put_x87(struct fpu_image *m, const struct fpu_image *from)
{
	memcpy(m, from, offsetof(struct fpu_image, fop));
	memcpy(m->st, from->st, sizeof(m->st));
	m->xstate_bv |= FPU_X87;
}

static void put_xmm(struct soft_vcpu *v, struct fpu_image *m, const struct fpu_image *from)
{
	memcpy(m->xmm, from->xmm, (size_t)16 * vector_regs(v));
	m->xstate_bv |= FPU_SSE;
}

/* The host makes reserved bits and the summary of pending exceptions what they must be. */
static void reload(struct soft_vcpu *v)
{
	soft_fpu_load(v);
	if (SOFT_FPU_EAGER)
		soft_fpu_park(v);
}

static void op_fxrstor(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t linear = aligned_ea(v, i, LEGACY_BYTES, 16, false);
	struct fpu_image *from = (struct fpu_image *)(void *)v->fpu->bounce;
	struct fpu_image *m;

	soft_fpu_park(v);
	read_bytes(v, linear, from, LEGACY_BYTES);
	if (from->mxcsr & ~FPU_MXCSR_MASK)
		soft_raise_err(v, X86_EXC_GP, 0);
	m = soft_fpu_image(v);
	put_x87(m, from);
	put_xmm(v, m, from);
	m->mxcsr = from->mxcsr;
	reload(v);
}

bool simd_select_fxsave(const struct decoded *d, struct insn *i)
{
	(void)d;
	i->fn = op_fxsave;
	return true;
}

bool simd_select_fxrstor(const struct decoded *d, struct insn *i)
{
	(void)d;
	i->fn = op_fxrstor;
	return true;
}

/* ---- XSAVE, XSAVEOPT, XSAVEC: cc ---- */

enum { SAVE_PLAIN, SAVE_OPT, SAVE_COMPACT };

static uint64_t requested(const struct soft_vcpu *v)
{
	return (v->s.gpr[X86_RDX] << 32 | (uint32_t)v->s.gpr[X86_RAX]) & v->s.xcr0;
}

static void save_header(struct soft_vcpu *v, uint64_t linear, unsigned kind, uint64_t mask,
			uint64_t in_use)
{
	uint64_t at = linear + HEADER_AT;

	if (kind == SAVE_COMPACT) {
		soft_st64(v, at, in_use & mask);
		soft_st64(v, at + 8, mask | XCOMP_COMPACT);
		return;
	}
	soft_st64(v, at, (soft_ld64(v, at) & ~mask) | (in_use & mask));
}

static void op_xsave(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t mask = requested(v), in_use, save;
	unsigned size = mask & FPU_AVX ? X86_XSAVE_BYTES : AVX_AT;
	uint64_t linear = aligned_ea(v, i, size, 64, true);
	struct fpu_image *m;
	bool mxcsr;

	soft_fpu_park(v);
	soft_probe(v, linear, size, true);
	m = soft_fpu_image(v);
	in_use = m->xstate_bv & FPU_XSTATE;
	if (i->cc == SAVE_COMPACT && m->mxcsr != FPU_MXCSR_RESET)
		in_use |= FPU_SSE;
	save = i->cc == SAVE_PLAIN ? mask : mask & in_use;
	mxcsr = i->cc == SAVE_COMPACT ? save & FPU_SSE : mask & (FPU_SSE | FPU_AVX);
	if (save & FPU_X87) {
		write_bytes(v, linear, m, offsetof(struct fpu_image, mxcsr));
		write_bytes(v, linear + offsetof(struct fpu_image, st), m->st, sizeof(m->st));
	}
	if (mxcsr)
		write_bytes(v, linear + offsetof(struct fpu_image, mxcsr), &m->mxcsr, 8);
	if (save & FPU_SSE)
		write_bytes(v, linear + offsetof(struct fpu_image, xmm), m->xmm,
			    16 * vector_regs(v));
	if (save & FPU_AVX)
		write_bytes(v, linear + AVX_AT, m->ymmh, 16 * vector_regs(v));
	save_header(v, linear, i->cc, mask, in_use);
}

bool simd_select_xsave(const struct decoded *d, struct insn *i)
{
	i->cc = d->z.meta.isa_set == ZYDIS_ISA_SET_XSAVEC     ? SAVE_COMPACT
		: d->z.meta.isa_set == ZYDIS_ISA_SET_XSAVEOPT ? SAVE_OPT
							      : SAVE_PLAIN;
	i->fn = op_xsave;
	return true;
}

/* ---- XRSTOR ---- */

static bool header_good(const struct soft_vcpu *v, const struct fpu_image *from)
{
	uint64_t comp = from->xcomp_bv & ~XCOMP_COMPACT;

	if (!(from->xcomp_bv & XCOMP_COMPACT))
		return !(from->xstate_bv & ~v->s.xcr0) && comp == 0 && from->reserved1[0] == 0;
	for (unsigned k = 0; k < HV_ARRAY_LEN(from->reserved1); k++)
		if (from->reserved1[k] != 0)
			return false;
	return cpu_model_has(v->vm->hv->model, CPU_F_XSAVEC) && !(comp & ~v->s.xcr0) &&
	       !(from->xstate_bv & ~comp);
}

/* Components that the header says are in their initial state. */
static void restore_initial(struct soft_vcpu *v, struct fpu_image *m, uint64_t which)
{
	size_t bytes = (size_t)16 * vector_regs(v);

	if (which & FPU_X87)
		m->xstate_bv &= ~(uint64_t)FPU_X87;
	if (which & FPU_SSE)
		memset(m->xmm, 0, bytes);
	if (which & FPU_AVX)
		memset(m->ymmh, 0, bytes);
	if (v->code64)
		m->xstate_bv &= ~which;
}

static void op_xrstor(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t mask = requested(v), load;
	unsigned size = mask & FPU_AVX ? X86_XSAVE_BYTES : AVX_AT;
	uint64_t linear = aligned_ea(v, i, size, 64, false);
	struct fpu_image *from = (struct fpu_image *)(void *)v->fpu->bounce;
	struct fpu_image *m;
	bool compact, mxcsr;

	soft_fpu_park(v);
	read_bytes(v, linear, from, size);
	if (!header_good(v, from))
		soft_raise_err(v, X86_EXC_GP, 0);
	compact = from->xcomp_bv & XCOMP_COMPACT;
	load = mask & from->xstate_bv;
	mxcsr = compact ? load & FPU_SSE : mask & (FPU_SSE | FPU_AVX);
	if (mxcsr && (from->mxcsr & ~FPU_MXCSR_MASK))
		soft_raise_err(v, X86_EXC_GP, 0);
	m = soft_fpu_image(v);
	restore_initial(v, m, mask & ~load);
	if (mxcsr)
		m->mxcsr = from->mxcsr;
	else if (compact && (mask & FPU_SSE))
		m->mxcsr = FPU_MXCSR_RESET;
	if (load & FPU_X87)
		put_x87(m, from);
	if (load & FPU_SSE)
		put_xmm(v, m, from);
	if (load & FPU_AVX) {
		memcpy(m->ymmh, from->ymmh, (size_t)16 * vector_regs(v));
		m->xstate_bv |= FPU_AVX;
	}
	reload(v);
}

bool simd_select_xrstor(const struct decoded *d, struct insn *i)
{
	(void)d;
	i->fn = op_xrstor;
	return true;
}

/* ---- XGETBV, XSETBV ---- */

static void op_xgetbv(struct soft_vcpu *v, const struct insn *i)
{
	uint32_t n = (uint32_t)v->s.gpr[X86_RCX];
	uint64_t x = v->s.xcr0;

	(void)i;
	if (n > 1 || (n == 1 && !cpu_model_has(v->vm->hv->model, CPU_F_XGETBV1)))
		soft_raise_err(v, X86_EXC_GP, 0);
	if (n == 1)
		x &= soft_fpu_image(v)->xstate_bv;
	v->s.gpr[X86_RAX] = (uint32_t)x;
	v->s.gpr[X86_RDX] = x >> 32;
}

static void op_xsetbv(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t x = v->s.gpr[X86_RDX] << 32 | (uint32_t)v->s.gpr[X86_RAX];

	if (v->s.cpl != 0 || (uint32_t)v->s.gpr[X86_RCX] != 0 || !(x & FPU_X87) ||
	    (x & ~v->vm->hv->model->xcr0_mask) || ((x & FPU_AVX) && !(x & FPU_SSE)))
		soft_raise_err(v, X86_EXC_GP, 0);
	v->s.xcr0 = x;
	v->s.rip = i->ip + i->len;
	soft_mode_changed(v);
}

bool simd_select_xgetbv(const struct decoded *d, struct insn *i)
{
	(void)d;
	i->fn = op_xgetbv;
	return true;
}

bool simd_select_xsetbv(const struct decoded *d, struct insn *i)
{
	(void)d;
	i->flags |= INSN_END;
	i->fn = op_xsetbv;
	return true;
}
