/*
 * x87, MMX, SSE, AVX, BMI and their kin, run by the host's own instruction in a stub. Here is what
 * goes around the stub: the memory operand (the guest's own page where the TLB knows it, else a
 * bounce buffer), general registers, flags, and the exceptions that the instruction raised.
 *
 * Not modelled: FERR# and IRQ 13. With CR0.NE = 0 a pending x87 exception is dropped.
 */
#include "engine/soft/decode.h"
#include "engine/soft/fpu.h"

enum { CC_X87 = 1, CC_WAITS = 2, CC_UNALIGNED = 4 }; /* insn.cc */

/* How the stub reaches memory. */
enum kind { KIND_NONE, KIND_READ, KIND_WRITE };

/* insn.imm: offsets of the general registers, and which of them come out again. */
struct gpr_plan {
	uint16_t reg, rm, vvvv;
	uint16_t attr; /* enum stub_attr */
};
_Static_assert(sizeof(struct gpr_plan) == sizeof(uint64_t), "in insn.imm");

/* The stub raised vector; returns if the instruction is to be run again. */
static void on_trap(struct soft_vcpu *v, uint64_t vector)
{
	if (vector == X86_EXC_XM)
		soft_raise(v, v->s.cr4 & X86_CR4_OSXMMEXCPT ? X86_EXC_XM : X86_EXC_UD);
	if (vector != X86_EXC_MF)
		__builtin_trap();
	if (v->s.cr0 & X86_CR0_NE)
		soft_raise(v, X86_EXC_MF);
	__asm__ volatile("fnclex");
}

__attribute__((no_sanitize("address", "thread"))) void simd_run_stub(struct soft_vcpu *v,
								     stub_fn fn, void *mem,
								     struct stub_io *io)
{
	for (;;) {
		soft_fpu_load(v);
		uint64_t vector = fn(mem, io);

		if (SOFT_FPU_EAGER)
			soft_fpu_park(v);
		if (HV_LIKELY(vector == 0))
			return;
		on_trap(v, vector);
		soft_fpu_load(v);
	}
}

/* The hot path of the same. */
static inline void run(struct soft_vcpu *v, const struct insn *i, void *mem, struct stub_io *io)
{
	/* The stubs' functions hide in a pointer to data: they are made at run time. */
	stub_fn fn = (stub_fn)(uintptr_t)i->priv;

	if (HV_UNLIKELY(SOFT_FPU_EAGER || !v->fpu_live)) {
		simd_run_stub(v, fn, mem, io);
		return;
	}
	if (HV_UNLIKELY(fn(mem, io) != 0))
		simd_run_stub(v, fn, mem, io);
}

/* What waits for the x87 raises its pending exception before any fault of the operand: FWAIT. */
void soft_fpu_wait(struct soft_vcpu *v)
{
	uint16_t sw;

	soft_fpu_load(v);
	__asm__ volatile("fnstsw %0" : "=a"(sw));
	if (!(sw & 0x80))
		return;
	if (v->s.cr0 & X86_CR0_NE)
		soft_raise(v, X86_EXC_MF);
	__asm__ volatile("fnclex");
}

static void wait_first(struct soft_vcpu *v, const struct insn *i)
{
	if (i->cc & CC_WAITS)
		soft_fpu_wait(v);
}

static uint64_t address(struct soft_vcpu *v, const struct insn *i, bool write)
{
	if (HV_LIKELY(!(i->cc & CC_UNALIGNED)) || !(i->flags & INSN_CHECK))
		return soft_ea(v, i, i->mem_size, write);
	uint64_t a = soft_linear(v, i->seg, soft_offset(v, i), i->mem_size, write);

	return v->code64 ? a : (uint32_t)a;
}

/* Reads into the bounce buffer. What is called may call out, or copy by vector registers. */
static __attribute__((noinline)) void *read_slow(struct soft_vcpu *v, const struct insn *i,
						 uint64_t linear)
{
	wait_first(v, i);
	soft_fpu_park(v);
	soft_read(v, linear, v->fpu->bounce, i->mem_size);
	return v->fpu->bounce;
}

static inline void *read_operand(struct soft_vcpu *v, const struct insn *i)
{
	if (HV_UNLIKELY(i->flags & (INSN_CHECK | INSN_ALIGN)))
		wait_first(v, i);
	uint64_t linear = address(v, i, false);
	void *p = soft_tlb_hit(v->tlb->read, linear, i->mem_size);

	return HV_LIKELY(p != NULL) ? p : read_slow(v, i, linear);
}

static void fill(void *p, unsigned size, uint8_t x)
{
	volatile uint8_t *b = p;

	while (size-- > 0)
		*b++ = x;
}

/* x87 stores with an unmasked exception store nothing, and say so only by the pending exception. */
static bool stored(struct soft_vcpu *v, const struct insn *i)
{
	const uint8_t *b = v->fpu->bounce;

	if (!(i->cc & CC_X87) || !(soft_fpu_image(v)->fsw & 0x80))
		return true;
	for (unsigned k = 0; k < i->mem_size; k++)
		if (b[k] != 0xa5)
			return true;
	return false;
}

static __attribute__((noinline)) void write_slow(struct soft_vcpu *v, const struct insn *i,
						 uint64_t linear, struct stub_io *io)
{
	wait_first(v, i);
	soft_fpu_park(v);
	soft_probe(v, linear, i->mem_size, true);
	fill(v->fpu->bounce, i->mem_size, 0xa5);
	simd_run_stub(v, (stub_fn)(uintptr_t)i->priv, v->fpu->bounce, io);
	soft_fpu_park(v);
	if (stored(v, i))
		soft_write(v, linear, v->fpu->bounce, i->mem_size);
}

static inline void run_writing(struct soft_vcpu *v, const struct insn *i, struct stub_io *io)
{
	if (HV_UNLIKELY(i->flags & (INSN_CHECK | INSN_ALIGN)))
		wait_first(v, i);
	uint64_t linear = address(v, i, true);
	void *p = soft_tlb_hit(v->tlb->write, linear, i->mem_size);

	if (HV_LIKELY(p != NULL))
		run(v, i, p, io);
	else
		write_slow(v, i, linear, io);
}

static void op_none(struct soft_vcpu *v, const struct insn *i)
{
	run(v, i, NULL, NULL);
}

static void op_read(struct soft_vcpu *v, const struct insn *i)
{
	void *p = read_operand(v, i);

	run(v, i, p, NULL);
}

static void op_write(struct soft_vcpu *v, const struct insn *i)
{
	run_writing(v, i, NULL);
}

/* ---- with general registers or flags ---- */

static inline struct gpr_plan plan_of(const struct insn *i)
{
	struct gpr_plan p;

	memcpy(&p, &i->imm, sizeof(p));
	return p;
}

static inline void io_load(struct soft_vcpu *v, const struct insn *i, struct stub_io *io)
{
	struct gpr_plan p = plan_of(i);

	io->reg = SOFT_R64(v, p.reg);
	io->rm = SOFT_R64(v, p.rm);
	io->vvvv = SOFT_R64(v, p.vvvv);
	io->rax = v->s.gpr[X86_RAX];
	io->rdx = v->s.gpr[X86_RDX];
	io->fl = v->fl;
}

/* MULX with one register for both halves leaves the high half: that of the reg field. */
static inline void io_store(struct soft_vcpu *v, const struct insn *i, const struct stub_io *io)
{
	struct gpr_plan p = plan_of(i);

	if (p.attr & STUB_W_VVVV)
		SOFT_R64(v, p.vvvv) = io->vvvv;
	if (p.attr & STUB_W_REG)
		SOFT_R64(v, p.reg) = io->reg;
	if (p.attr & STUB_W_RM)
		SOFT_R64(v, p.rm) = io->rm;
	if (p.attr & STUB_W_RAX)
		v->s.gpr[X86_RAX] = io->rax;
	if (p.attr & STUB_W_RCX)
		v->s.gpr[X86_RCX] = io->rcx;
	if (p.attr & STUB_FLAGS)
		v->fl = io->fl;
}

static void op_gpr_none(struct soft_vcpu *v, const struct insn *i)
{
	struct stub_io *io = &v->fpu->io;

	io_load(v, i, io);
	run(v, i, NULL, io);
	io_store(v, i, io);
}

static void op_gpr_read(struct soft_vcpu *v, const struct insn *i)
{
	struct stub_io *io = &v->fpu->io;
	void *p = read_operand(v, i);

	io_load(v, i, io);
	run(v, i, p, io);
	io_store(v, i, io);
}

static void op_gpr_write(struct soft_vcpu *v, const struct insn *i)
{
	struct stub_io *io = &v->fpu->io;

	io_load(v, i, io);
	run_writing(v, i, io);
	io_store(v, i, io);
}

/* General registers only: no need of the vector state, and no faults. */
static void op_int_none(struct soft_vcpu *v, const struct insn *i)
{
	struct stub_io *io = &v->fpu->io;

	io_load(v, i, io);
	((stub_fn)(uintptr_t)i->priv)(NULL, io);
	io_store(v, i, io);
}

static void op_int_read(struct soft_vcpu *v, const struct insn *i)
{
	struct stub_io *io = &v->fpu->io;
	void *p = read_operand(v, i);

	io_load(v, i, io);
	((stub_fn)(uintptr_t)i->priv)(p, io);
	io_store(v, i, io);
}

static const insn_fn fns[3][3] = {
	/* [kind][registers] */
	[KIND_NONE] = { op_none, op_gpr_none, op_int_none },
	[KIND_READ] = { op_read, op_gpr_read, op_int_read },
	[KIND_WRITE] = { op_write, op_gpr_write, NULL },
};

int simd_plain(const struct insn *i)
{
	for (unsigned kind = KIND_NONE; kind <= KIND_WRITE; kind++)
		for (unsigned column = 0; column < 3; column++)
			if (i->fn == fns[kind][column])
				return kind == KIND_WRITE;
	return -1;
}

bool simd_uses_fpu(const struct insn *i)
{
	return simd_plain(i) >= 0 && i->fn != op_int_none && i->fn != op_int_read;
}

/*
 * The stub table was full when this was decoded: insn.aux holds the instruction itself, op_size its
 * length, dst and src the row and column of fns.
 */
static void op_scratch(struct soft_vcpu *v, const struct insn *i)
{
	struct stub_insn n = { .name = i->aux, .len = i->op_size, .attr = plan_of(i).attr };
	struct insn copy = *i;

	copy.priv = soft_stub_scratch(v, &n);
	fns[i->dst][i->src](v, &copy);
}

/* ---- selectors ---- */

static uint16_t field_offset(const struct decoded *d, ZydisOperandEncoding enc)
{
	for (unsigned k = 0; k < d->z.operand_count; k++)
		if (d->op[k].type == ZYDIS_OPERAND_TYPE_REGISTER && d->op[k].encoding == enc)
			return decode_reg(d->op[k].reg.value);
	return SOFT_ZERO;
}

/* Legacy SSE wants 16-byte operands aligned, but for a few; VEX only where the name says so. */
static bool wants_alignment(const struct decoded *d, unsigned size)
{
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_VMOVAPS:
	case ZYDIS_MNEMONIC_VMOVAPD:
	case ZYDIS_MNEMONIC_VMOVDQA:
	case ZYDIS_MNEMONIC_VMOVNTPS:
	case ZYDIS_MNEMONIC_VMOVNTPD:
	case ZYDIS_MNEMONIC_VMOVNTDQ:
	case ZYDIS_MNEMONIC_VMOVNTDQA:
		return true;
	case ZYDIS_MNEMONIC_MOVUPS:
	case ZYDIS_MNEMONIC_MOVUPD:
	case ZYDIS_MNEMONIC_MOVDQU:
	case ZYDIS_MNEMONIC_LDDQU:
	case ZYDIS_MNEMONIC_PCMPESTRI:
	case ZYDIS_MNEMONIC_PCMPESTRM:
	case ZYDIS_MNEMONIC_PCMPISTRI:
	case ZYDIS_MNEMONIC_PCMPISTRM:
		return false;
	default:
		/* SHA: the manuals say so, too; AMD's CPUs do not check. */
		return d->z.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY && size == 16 &&
		       (d->z.meta.isa_ext != ZYDIS_ISA_EXT_SHA || !d->v->hv->vm->model->amd);
	}
}

static enum kind memory_kind(const struct decoded *d, struct insn *i)
{
	for (unsigned k = 0; k < d->z.operand_count; k++) {
		const ZydisDecodedOperand *o = &d->op[k];

		if (o->type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		i->mem_size = (uint8_t)(o->size / 8);
		if (wants_alignment(d, i->mem_size))
			i->flags |= INSN_ALIGN;
		return o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE ? KIND_WRITE : KIND_READ;
	}
	return KIND_NONE;
}

/* Intel's CPUs do not check the alignment of vectors of half floats (#AC). */
static bool is_unaligned(const struct decoded *d)
{
	return (d->z.mnemonic == ZYDIS_MNEMONIC_VCVTPH2PS ||
		d->z.mnemonic == ZYDIS_MNEMONIC_VCVTPS2PH) &&
	       !d->v->hv->vm->model->amd;
}

/* Does a pending x87 exception hold it up? MMX counts as x87. */
static bool waits(const struct decoded *d)
{
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_FNSTCW:
	case ZYDIS_MNEMONIC_FNSTSW:
		return false;
	default:
		break;
	}
	for (unsigned k = 0; k < d->z.operand_count; k++)
		if (d->op[k].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(d->op[k].reg.value) == ZYDIS_REGCLASS_MMX)
			return true;
	return d->z.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT;
}

static void plan_registers(const struct decoded *d, struct insn *i, uint16_t attr)
{
	struct gpr_plan p = {
		.reg = field_offset(d, ZYDIS_OPERAND_ENCODING_MODRM_REG),
		.rm = field_offset(d, ZYDIS_OPERAND_ENCODING_MODRM_RM),
		.vvvv = field_offset(d, ZYDIS_OPERAND_ENCODING_NDSNDD),
		.attr = attr,
	};

	memcpy(&i->imm, &p, sizeof(p));
}

bool simd_select(const struct decoded *d, struct insn *i)
{
	struct stub_insn n;
	enum kind kind;
	unsigned column;

	if (!simd_encode(d, &n))
		return false;
	kind = memory_kind(d, i);
	plan_registers(d, i, n.attr);
	i->cc = (uint8_t)((n.attr & STUB_X87 ? CC_X87 : 0) | (waits(d) ? CC_WAITS : 0) |
			  (is_unaligned(d) ? CC_UNALIGNED : 0));
	column = n.attr & STUB_NO_FPU ? 2 : (n.attr & STUB_IO) != 0;
	i->fn = fns[kind][column];
	i->priv = soft_stub_get(d->v->vm, &n);
	if (i->priv == NULL) {
		i->aux = n.name;
		i->op_size = n.len;
		i->dst = (uint16_t)kind;
		i->src = (uint16_t)column;
		i->fn = op_scratch;
	}
	return i->fn != NULL;
}

/* MOVSD and CMPSD are string instructions, too. */
bool simd_select_sse_only(const struct decoded *d, struct insn *i)
{
	return d->z.meta.isa_set == ZYDIS_ISA_SET_SSE2 && simd_select(d, i);
}

static void op_ldmxcsr(struct soft_vcpu *v, const struct insn *i)
{
	uint32_t x = soft_ld32(v, soft_ea(v, i, 4, false));

	if (x & ~FPU_MXCSR_MASK)
		soft_raise_err(v, X86_EXC_GP, 0);
	soft_fpu_load(v);
	__asm__ volatile("ldmxcsr %0" : : "m"(x));
	if (SOFT_FPU_EAGER)
		soft_fpu_park(v);
}

bool simd_select_ldmxcsr(const struct decoded *d, struct insn *i)
{
	(void)d;
	i->fn = op_ldmxcsr;
	return true;
}

/* ---- VZEROUPPER and VZEROALL: outside 64-bit mode the upper eight registers stay ---- */

static void op_vzeroupper(struct soft_vcpu *v, const struct insn *i)
{
	struct fpu_image *m = soft_fpu_image(v);

	memset(m->ymmh, 0, (size_t)16 * i->cc);
}

static void op_vzeroall(struct soft_vcpu *v, const struct insn *i)
{
	struct fpu_image *m = soft_fpu_image(v);

	memset(m->xmm, 0, (size_t)16 * i->cc);
	memset(m->ymmh, 0, (size_t)16 * i->cc);
}

bool simd_select_vzero(const struct decoded *d, struct insn *i)
{
	if (d->z.machine_mode == ZYDIS_MACHINE_MODE_LONG_64)
		return simd_select(d, i);
	i->cc = 8;
	i->fn = d->z.mnemonic == ZYDIS_MNEMONIC_VZEROALL ? op_vzeroall : op_vzeroupper;
	return true;
}
