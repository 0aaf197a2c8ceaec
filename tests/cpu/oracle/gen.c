/*
 * Makes cases of a form: an encoding with random fields, and registers such that its memory operand
 * lies where the test wants it: mostly in the window, at times misaligned, over a page's end, in
 * the read-only page or outside.
 */
#include "oracle.h"
#include <string.h>
#include "cpu/x86_defs.h"

static const uint64_t width_mask[9] = { [2] = 0xffff, [4] = 0xffffffff, [8] = ~0ull };

/* ---- bytes ---- */

static uint8_t gen_modrm(struct rng *r, const struct form *f)
{
	uint8_t m = (uint8_t)rnd(r);

	if (f->is_mem)
		m = (uint8_t)((m & 0x3f) | below(r, 3) << 6);
	else
		m |= 0xc0;
	if (f->fixed_reg)
		m = (uint8_t)((m & ~0x38) | (f->modrm & 0x38));
	if (f->fixed_rm)
		m = (uint8_t)((m & ~7) | (f->modrm & 7));
	return m;
}

static void gen_encoding(struct rng *r, const struct form *f, uint8_t b[15])
{
	static const uint8_t overrides[] = { 0x2e, 0x36, 0x3e, 0x26 };
	unsigned n = 0;

	if (below(r, 8) == 0)
		b[n++] = f->mode == MODE_64 && below(r, 2) == 0 ? 0x65 : overrides[below(r, 4)];
	for (unsigned k = 0; k < f->n_prefix; k++)
		b[n++] = f->prefix[k];
	if (f->vex) {
		uint8_t high = f->mode == MODE_64 ? (uint8_t)rnd(r) & 0xe0 : 0xe0;
		uint8_t v = (uint8_t)(below(r, 2) == 0 ? 0xf : rnd(r) & 0xf);

		b[n++] = 0xc4;
		b[n++] = (uint8_t)(high | f->map);
		b[n++] = (uint8_t)(f->rex_w << 7 | v << 3 | f->vex_l << 2 | f->pp);
	} else {
		uint8_t rxb = (uint8_t)(f->mode == MODE_64 && below(r, 2) == 0 ? rnd(r) & 7 : 0);

		if (f->rex_w || rxb != 0)
			b[n++] = (uint8_t)(0x40 | f->rex_w << 3 | rxb);
		if (f->map > 0)
			b[n++] = 0x0f;
		if (f->map > 1)
			b[n++] = f->map == 2 ? 0x38 : 0x3a;
	}
	b[n++] = f->opcode;
	if (f->has_modrm)
		b[n++] = gen_modrm(r, f);
	while (n < 15)
		b[n++] = (uint8_t)rnd(r);
}

static bool decode(const struct form *f, struct test_case *t)
{
	char key[128];

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder_of(t->mode), t->bytes, 15, &t->z, t->op)))
		return false;
	if (t->z.mnemonic != f->mnemonic)
		return false;
	/* Zydis 4.0.0 takes REX.B for part of the SIB base that, with 32-bit addresses, is none. */
	for (unsigned k = 0; k < t->z.operand_count; k++)
		if (t->op[k].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    t->op[k].mem.base == ZYDIS_REGISTER_R13D && t->z.raw.modrm.mod == 0)
			t->op[k].mem.base = ZYDIS_REGISTER_NONE;
	form_key(t->mode, &t->z, t->op, key);
	t->len = t->z.length;
	return strcmp(key, f->key) == 0;
}

/* ---- where the memory operand goes ---- */

static uint32_t gen_target(struct rng *r, unsigned size)
{
	uint32_t at = DATA_BASE + 1024 + (uint32_t)below(r, DATA_BYTES - 4096);

	switch (below(r, 16)) {
	case 0:
	case 1: /* over a page's end */
		at = (at & ~4095u) + 4096 - (uint32_t)below(r, size + 2);
		break;
	case 2: /* into the read-only page */
		at = RO_BASE - (uint32_t)below(r, size + 2);
		break;
	case 3: /* out of the window */
		at = RO_BASE + 4096 - (uint32_t)below(r, size + 2);
		break;
	case 4:
		at = RO_BASE + (uint32_t)below(r, 4096 - 1024);
		break;
	case 5:
	case 6:
	case 7:
		break;
	default:
		at &= ~63u;
	}
	return at;
}

static unsigned reg_bytes(ZydisRegister x)
{
	return ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, x) / 8u;
}

static void set_reg(struct test_case *t, ZydisRegister x, uint64_t v)
{
	uint64_t mask = width_mask[reg_bytes(x)];
	uint64_t *g = &t->in.gpr[ZydisRegisterGetId(x)];

	*g = (*g & ~mask) | (v & mask);
}

static uint64_t get_reg(const struct test_case *t, ZydisRegister x)
{
	return t->in.gpr[ZydisRegisterGetId(x)] & width_mask[reg_bytes(x)];
}

/* Where in its segment a linear address lies. */
static uint64_t segment_offset(const struct test_case *t, ZydisRegister seg, uint32_t linear)
{
	/* CS is flat in 32-bit mode: what is read through it lies elsewhere then. */
	if (t->based)
		return (uint16_t)(linear - DATA_BASE);
	if (t->mode == MODE_64 && seg == ZYDIS_REGISTER_GS)
		return linear - GS_BASE_64;
	return linear;
}

static void patch_disp(struct test_case *t, uint64_t v)
{
	memcpy(t->bytes + t->z.raw.disp.offset, &v, t->z.raw.disp.size / 8u);
}

static bool is_vector(ZydisRegister x)
{
	return ZydisRegisterGetClass(x) == ZYDIS_REGCLASS_XMM ||
	       ZydisRegisterGetClass(x) == ZYDIS_REGCLASS_YMM;
}

/* A gather's indices: small ones, and now and then one that leads astray. */
static void gen_indices(struct rng *r, struct test_case *t, ZydisRegister x)
{
	unsigned id = (unsigned)ZydisRegisterGetId(x);
	bool wide = t->z.mnemonic == ZYDIS_MNEMONIC_VGATHERQPD ||
		    t->z.mnemonic == ZYDIS_MNEMONIC_VGATHERQPS ||
		    t->z.mnemonic == ZYDIS_MNEMONIC_VPGATHERQD ||
		    t->z.mnemonic == ZYDIS_MNEMONIC_VPGATHERQQ;
	unsigned size = wide ? 8 : 4;

	for (unsigned at = 0; at < 32; at += size) {
		int64_t v = (int64_t)below(r, 128) - 64;
		uint8_t *p = at < 16 ? &t->in.fpu.xmm[id][at] : &t->in.fpu.ymmh[id][at - 16];

		if (below(r, 24) == 0)
			v = 0x100000;
		memcpy(p, &v, size);
	}
}

static bool solve(struct rng *r, struct test_case *t, const ZydisDecodedOperand *o, uint32_t target)
{
	const struct ZydisDecodedOperandMem_ *m = &o->mem;
	uint64_t off = segment_offset(t, m->segment, target);
	uint64_t x = 0;

	if (m->index != ZYDIS_REGISTER_NONE && is_vector(m->index)) {
		gen_indices(r, t, m->index);
	} else if (m->index != ZYDIS_REGISTER_NONE) {
		if (m->index == m->base)
			return false;
		set_reg(t, m->index, below(r, 2) == 0 ? below(r, 64) : -below(r, 64));
		x = get_reg(t, m->index) * m->scale;
	}
	if (m->base == ZYDIS_REGISTER_RIP || m->base == ZYDIS_REGISTER_EIP)
		patch_disp(t, off - (t->in.rip + t->len));
	else if (m->base != ZYDIS_REGISTER_NONE)
		set_reg(t, m->base, off - x - (uint64_t)m->disp.value);
	else
		patch_disp(t, off - x);
	return true;
}

/* Hidden operands: strings, stack, XLAT, byte masks. */
static void solve_hidden(struct rng *r, struct test_case *t, const ZydisDecodedOperand *o)
{
	uint32_t target = gen_target(r, 64);
	ZydisRegister b = o->mem.base;

	if (b == ZYDIS_REGISTER_NONE || b == ZYDIS_REGISTER_RIP)
		return;
	if (ZydisRegisterGetId(b) == X86_RSP && ZydisRegisterGetClass(b) != ZYDIS_REGCLASS_XMM)
		return; /* the stack is placed for every case */
	set_reg(t, b, segment_offset(t, o->mem.segment, target));
	if (t->target == 0)
		t->target = target;
}

static bool place_memory(struct rng *r, struct test_case *t)
{
	t->target = 0;
	for (unsigned k = 0; k < t->z.operand_count; k++) {
		const ZydisDecodedOperand *o = &t->op[k];

		if (o->type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		if (o->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN ||
		    o->encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM) {
			if (o->encoding == ZYDIS_OPERAND_ENCODING_DISP16_32_64) {
				t->target = gen_target(r, o->size / 8u);
				patch_disp(t, segment_offset(t, o->mem.segment, t->target));
			} else {
				solve_hidden(r, t, o);
			}
			continue;
		}
		t->target = gen_target(r, o->size == 0 ? 64 : o->size / 8u);
		if (!solve(r, t, o, t->target))
			return false;
	}
	return true;
}

/* ---- what single instructions need ---- */

static bool is_bit_string(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_BT || m == ZYDIS_MNEMONIC_BTS || m == ZYDIS_MNEMONIC_BTR ||
	       m == ZYDIS_MNEMONIC_BTC;
}

/* The bit offset of BT mem, reg reaches far: keep it near, unless it is the address as well. */
static bool tame_bit_offset(struct rng *r, struct test_case *t)
{
	const ZydisDecodedOperand *m = &t->op[0];
	unsigned id;

	if (!is_bit_string(t->z.mnemonic) || m->type != ZYDIS_OPERAND_TYPE_MEMORY ||
	    t->op[1].type != ZYDIS_OPERAND_TYPE_REGISTER)
		return true;
	id = (unsigned)ZydisRegisterGetId(t->op[1].reg.value);
	if ((m->mem.base != ZYDIS_REGISTER_NONE &&
	     (unsigned)ZydisRegisterGetId(m->mem.base) == id) ||
	    (m->mem.index != ZYDIS_REGISTER_NONE &&
	     (unsigned)ZydisRegisterGetId(m->mem.index) == id))
		return false;
	t->in.gpr[id] = below(r, 2) == 0 ? below(r, 4000) : -below(r, 4000);
	return true;
}

static void put32(struct patch *p, unsigned at, uint32_t x)
{
	memcpy(p->bytes + at, &x, 4);
}

static bool is_xsave(const ZydisDecodedInstruction *z)
{
	return z->meta.isa_ext == ZYDIS_ISA_EXT_XSAVE || z->meta.isa_ext == ZYDIS_ISA_EXT_XSAVEC ||
	       z->meta.isa_ext == ZYDIS_ISA_EXT_XSAVEOPT;
}

/* State images that are valid, most of the time. */
static void shape_images(struct rng *r, struct test_case *t)
{
	struct patch *p = &t->mem;
	uint64_t header[8] = { rnd(r) & 7 };

	switch (t->z.mnemonic) {
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_VLDMXCSR:
		if (below(r, 4) != 0)
			put32(p, 0, (uint32_t)rnd(r) & 0xffff);
		break;
	case ZYDIS_MNEMONIC_XRSTOR:
	case ZYDIS_MNEMONIC_XRSTOR64:
		if (below(r, 8) == 0) /* bits that are components of no CPU */
			header[below(r, 8)] |= 1ull << (20 + below(r, 43));
		else if (below(r, 3) == 0)
			header[1] = header[0] | (rnd(r) & 7) | 1ull << 63;
		memcpy(p->bytes + 512, header, sizeof(header));
		/* fall through */
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
		if (below(r, 8) != 0)
			put32(p, 24, (uint32_t)rnd(r) & 0xffff);
		break;
	case ZYDIS_MNEMONIC_BOUND:
		if (below(r, 2) == 0)
			put32(p, 0, t->z.operand_width == 16 ? 0x7fff8000 : 0x80000000);
		if (below(r, 2) == 0)
			put32(p, 4, 0x7fffffff);
		break;
	default:
		break;
	}
}

static void place_stack(struct rng *r, struct test_case *t)
{
	uint32_t at = DATA_BASE + 0x800 + (uint32_t)below(r, DATA_BYTES - 0x1000);
	bool in_operand = false;

	for (unsigned k = 0; k < t->z.operand_count; k++)
		if (t->op[k].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    t->op[k].encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM &&
		    ZydisRegisterGetClass(t->op[k].mem.base) != ZYDIS_REGCLASS_INVALID &&
		    ZydisRegisterGetId(t->op[k].mem.base) == X86_RSP)
			in_operand = true;
	if (below(r, 16) == 0)
		at = gen_target(r, 8);
	else
		at &= ~7u;
	if (in_operand)
		return;
	t->in.gpr[X86_RSP] = t->based ? at - DATA_BASE : at;
	t->stack.at = at - DATA_BASE;
	t->stack.len = 32;
	gen_bytes(r, t->stack.bytes, 32);
}

static bool is_branch(const ZydisDecodedInstruction *z)
{
	return z->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE;
}

/* Indirect targets that can be jumped to: addresses in the window's range. */
static void tame_branch(struct rng *r, struct test_case *t)
{
	uint64_t to = t->mode == MODE_16 ? below(r, 0xfff0) : DATA_BASE + below(r, 0x1000000);

	if (!is_branch(&t->z) || below(r, 8) == 0)
		return;
	memcpy(t->mem.bytes, &to, 8);
	memcpy(t->stack.bytes, &to, 8);
	if (t->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	    t->op[0].visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
		t->in.gpr[ZydisRegisterGetId(t->op[0].reg.value)] = to;
}

static void shape(struct rng *r, struct test_case *t)
{
	if (is_xsave(&t->z)) {
		t->in.gpr[X86_RAX] &= 7; /* the host has more components than the model */
		t->in.gpr[X86_RDX] = 0;
	}
	if (t->z.attributes &
	    (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE))
		t->in.gpr[X86_RCX] = below(r, 40);
	if (t->z.meta.category == ZYDIS_CATEGORY_COND_BR)
		t->in.gpr[X86_RCX] = below(r, 3) | (below(r, 2) == 0 ? 0 : 0x10000);
	if (t->z.mnemonic == ZYDIS_MNEMONIC_ENTER && below(r, 4) != 0) {
		t->in.gpr[X86_RBP] = (t->based ? 0 : DATA_BASE) + 0x800 + below(r, 0x2000);
		t->bytes[t->len - 2] &= 3; /* a frame that fits */
	}
	if (t->z.mnemonic == ZYDIS_MNEMONIC_INT && t->bytes[t->len - 1] == 0x80)
		t->bytes[t->len - 1] = 0x81; /* a system call of the host */
	/* A quotient that fits, at times. */
	if ((t->z.mnemonic == ZYDIS_MNEMONIC_DIV || t->z.mnemonic == ZYDIS_MNEMONIC_IDIV) &&
	    below(r, 2) == 0) {
		t->in.gpr[X86_RDX] = below(r, 2) == 0 ? 0 : below(r, 64);
		t->in.gpr[X86_RAX] &= 0xffff;
	}
}

bool gen_case(struct rng *r, const struct form *f, struct test_case *t)
{
	t->mode = f->mode;
	t->based = t->mode == MODE_16 || (t->mode == MODE_32 && (f->a16 || below(r, 4) == 0));
	gen_encoding(r, f, t->bytes);
	if (!decode(f, t))
		return false;
	t->code_off = (uint16_t)(256 + below(r, 3500));
	gen_registers(r, &t->in);
	gen_fpu(r, &t->in.fpu);
	t->in.rip = t->mode == MODE_16 ? t->code_off : CODE_BASE + t->code_off;
	t->mem.len = t->stack.len = 0;
	place_stack(r, t);
	shape(r, t);
	if (!place_memory(r, t) || !tame_bit_offset(r, t) ||
	    (is_xsave(&t->z) && (t->in.gpr[X86_RAX] > 7 || t->in.gpr[X86_RDX] != 0)))
		return false;
	if (t->target != 0) {
		t->mem.at = t->target - DATA_BASE;
		t->mem.len = t->op[0].size > 1024 || t->op[1].size > 1024 ? 832 : 64;
		gen_bytes(r, t->mem.bytes, t->mem.len);
		shape_images(r, t);
	}
	tame_branch(r, t);
	t->step = is_branch(&t->z) || t->z.mnemonic == ZYDIS_MNEMONIC_POPF ||
		  t->z.mnemonic == ZYDIS_MNEMONIC_POPFD || t->z.mnemonic == ZYDIS_MNEMONIC_POPFQ ||
		  below(r, 2) == 0;
	/* A single-step trap takes the place of a gather's fault half-way: not modelled. */
	if (t->z.meta.isa_set == ZYDIS_ISA_SET_AVX2GATHER)
		t->step = false;
	return true;
}
