/*
 * Makes random blocks. About half of the instructions come from the table of forms, each with
 * register loads before it that lead its memory operand to where the case wants it; the others are
 * what compilers write and the translator is made for: accesses near a few base registers, stack
 * operations, branches, loops, calls. Nothing loops for ever: counters lie where nothing else
 * writes.
 */
#include "blocks.h"
#include <string.h>
#include "cpu/x86_defs.h"

struct maker {
	struct rng r;
	struct seq *s;
	const struct form_table *forms;
	unsigned limit;	   /* pieces that this sequence is to have */
	unsigned function; /* number of the piece where one begins; 0: there is none yet */
	unsigned counters; /* used */
	unsigned depth;	   /* of loops */
	int kept;	   /* register that is not to be written, or -1 */
};

static const uint8_t anchors[] = { X86_RBX, X86_RBP, X86_RSI, X86_RDI, X86_R8, X86_R13 };

static bool is64(const struct maker *m)
{
	return m->s->mode == MODE_64;
}

static bool one_in(struct maker *m, unsigned n)
{
	return below(&m->r, n) == 0;
}

/* ---- pieces ---- */

static struct piece *add(struct maker *m)
{
	struct seq *s = m->s;

	if (s->n == SEQ_MAX)
		return &s->p[SEQ_MAX - 1]; /* only near the limit, which is well below */
	memset(&s->p[s->n], 0, sizeof(s->p[0]));
	return &s->p[s->n++];
}

static void put(struct piece *p, unsigned x)
{
	p->b[p->len++] = (uint8_t)x;
}

static void put_n(struct piece *p, uint64_t x, unsigned n)
{
	memcpy(p->b + p->len, &x, n);
	p->len = (uint8_t)(p->len + n);
}

static void put_label(struct piece *p, enum fix fix, unsigned to)
{
	p->fix = fix;
	p->fix_at = p->len;
	p->to = to;
	put_n(p, 0, 4);
}

static void put_rex(struct maker *m, struct piece *p, bool w, unsigned reg, unsigned base)
{
	unsigned rex = 0x40u | w << 3 | (reg >> 3) << 2 | base >> 3;

	if (is64(m) && rex != 0x40)
		put(p, rex);
}

/* ModRM for [base + disp]. */
static void put_mem(struct piece *p, unsigned reg, unsigned base, int32_t disp)
{
	bool small = disp >= -128 && disp < 128;

	put(p, (small ? 0x40u : 0x80u) | (reg & 7) << 3 | (base & 7));
	if ((base & 7) == 4)
		put(p, 0x24);
	put_n(p, (uint32_t)disp, small ? 1 : 4);
}

static unsigned any_reg(struct maker *m)
{
	for (;;) {
		unsigned x = (unsigned)below(&m->r, is64(m) ? 16 : 8);

		if (x != X86_RSP && (int)x != m->kept)
			return x;
	}
}

static unsigned anchor(struct maker *m)
{
	for (;;) {
		unsigned x = anchors[below(&m->r, is64(m) ? 6 : 4)];

		if ((int)x != m->kept)
			return x;
	}
}

static uint64_t any_address(struct maker *m)
{
	uint64_t at = DATA_BASE + 0x400 + below(&m->r, DATA_BYTES - 0x800);

	switch (below(&m->r, 48)) {
	case 0:
	case 7:
	case 8:
	case 9:
	case 10:
	case 1:
	case 2: /* near a page's end */
		return (at & ~4095ull) + 4096 - below(&m->r, 64);
	case 3: /* the read-only page */
		return RO_BASE + below(&m->r, 4096) - 32;
	case 4: /* what is behind it */
		return RO_BASE + 4096 - below(&m->r, 128);
	case 5:
	case 6:
		return at;
	default:
		return at & ~15ull;
	}
}

static void set_reg(struct maker *m, unsigned reg, uint64_t x)
{
	struct piece *p = add(m);
	bool wide = is64(m) && x >> 32 != 0;

	put_rex(m, p, wide, 0, reg);
	put(p, 0xb8 + (reg & 7));
	put_n(p, x, wide ? 8 : 4);
}

/* ---- what compilers write ---- */

static void op_alu(struct maker *m)
{
	struct piece *p = add(m);
	unsigned src = any_reg(m), dst = any_reg(m);
	bool wide = one_in(m, 2);

	put_rex(m, p, wide, src, dst);
	put(p, (unsigned)below(&m->r, 8) << 3 | 1);
	put(p, 0xc0 | (src & 7) << 3 | (dst & 7));
}

static void op_stride(struct maker *m)
{
	struct piece *p = add(m);
	unsigned base = anchor(m);

	put_rex(m, p, true, 0, base);
	put(p, 0x83);
	put(p, (one_in(m, 2) ? 0xc0u : 0xe8u) | (base & 7)); /* add, sub */
	put(p, (unsigned)below(&m->r, 64));
}

/* One access near an anchor; those that follow use the same one, so that checks are shared. */
static void op_access(struct maker *m, unsigned base, int32_t disp)
{
	static const struct {
		uint8_t prefix, op[3], n, bytes;
	} ops[] = {
		{ 0, { 0x8b }, 1, 0 },		{ 0, { 0x8b }, 1, 0 },
		{ 0, { 0x89 }, 1, 0 },		{ 0, { 0x89 }, 1, 0 },
		{ 0, { 0x03 }, 1, 0 },		{ 0, { 0x01 }, 1, 0 },
		{ 0, { 0x3b }, 1, 0 },		{ 0, { 0x11 }, 1, 0 },
		{ 0x66, { 0x89 }, 1, 0 },	{ 0, { 0x0f, 0xb6 }, 2, 0 },
		{ 0, { 0x0f, 0xbf }, 2, 0 },	{ 0, { 0x87 }, 1, 0 },
		{ 0xf0, { 0x0f, 0xc1 }, 2, 0 }, { 0xf0, { 0x0f, 0xb1 }, 2, 0 },
		{ 0, { 0x0f, 0x10 }, 2, 1 },	{ 0, { 0x0f, 0x11 }, 2, 1 },
		{ 0, { 0x0f, 0x28 }, 2, 1 },	{ 0, { 0x0f, 0x29 }, 2, 1 },
		{ 0xf2, { 0x0f, 0x10 }, 2, 1 }, { 0xf2, { 0x0f, 0x11 }, 2, 1 },
		{ 0xf2, { 0x0f, 0x58 }, 2, 1 }, { 0xf3, { 0x0f, 0x59 }, 2, 1 },
		{ 0x66, { 0x0f, 0xfe }, 2, 1 }, { 0xf3, { 0x0f, 0x7e }, 2, 1 },
	};
	unsigned k = (unsigned)below(&m->r, sizeof(ops) / sizeof(ops[0]));
	unsigned reg = ops[k].bytes ? (unsigned)below(&m->r, is64(m) ? 16 : 8) : any_reg(m);
	struct piece *p = add(m);

	if (ops[k].prefix != 0)
		put(p, ops[k].prefix);
	put_rex(m, p, !ops[k].bytes && one_in(m, 2), reg, base);
	for (unsigned i = 0; i < ops[k].n; i++)
		put(p, ops[k].op[i]);
	put_mem(p, reg, base, disp);
}

static void op_accesses(struct maker *m)
{
	unsigned base = one_in(m, 6) ? X86_RSP : anchor(m), n = 1 + (unsigned)below(&m->r, 5);
	int32_t around = one_in(m, 4) ? (int32_t)below(&m->r, 8192) - 4096 : 0;

	while (n-- > 0)
		op_access(m, base, around + (int32_t)below(&m->r, 96) - 32);
}

static void op_stack(struct maker *m)
{
	unsigned n = 1 + (unsigned)below(&m->r, 4), reg;
	bool push = one_in(m, 2);

	while (n-- > 0) {
		struct piece *p = add(m);

		reg = any_reg(m);
		put_rex(m, p, false, 0, reg);
		put(p, (push ? 0x50u : 0x58u) + (reg & 7));
	}
}

static void op_string(struct maker *m)
{
	static const uint8_t ops[] = { 0xa4, 0xa5, 0xaa, 0xab, 0xa6, 0xa7, 0xae, 0xaf };
	struct piece *p;

	if (m->kept >= 0)
		return;
	if (one_in(m, 2))
		set_reg(m, X86_RDI, any_address(m));
	if (one_in(m, 2))
		set_reg(m, X86_RSI, any_address(m));
	set_reg(m, X86_RCX, below(&m->r, one_in(m, 4) ? 6000 : 40));
	p = add(m);
	put(p, one_in(m, 2) ? 0xf3 : 0xf2);
	put_rex(m, p, one_in(m, 2), 0, 0);
	put(p, ops[below(&m->r, 8)]);
}

/* MXCSR with some exceptions unmasked, by way of the stack. */
static void op_mxcsr(struct maker *m)
{
	struct piece *p = add(m);

	put(p, 0x68);
	put_n(p, 0x1f80 & (one_in(m, 2) ? ~0u : rnd(&m->r)), 4);
	p = add(m);
	put(p, 0x0f);
	put(p, 0xae);
	put_mem(p, 2, X86_RSP, 0);
	p = add(m);
	put(p, 0x58);
}

/* ---- control ---- */

static void op_forward(struct maker *m)
{
	struct piece *p = add(m);

	put(p, 0x0f);
	put(p, 0x80 | (unsigned)below(&m->r, 16));
	put_label(p, FIX_REL_LABEL, m->s->n + (unsigned)below(&m->r, 6));
}

static void jump_to(struct maker *m, unsigned op, unsigned to)
{
	struct piece *p = add(m);

	put(p, op);
	put_label(p, FIX_REL_LABEL, to);
}

/* By register, or by return. */
static void op_indirect(struct maker *m)
{
	unsigned reg = any_reg(m), kind = (unsigned)below(&m->r, 3);
	struct piece *p = add(m);

	if (is64(m)) {
		put_rex(m, p, true, reg, 0);
		put(p, 0x8d);
		put(p, 5 | (reg & 7) << 3);
		put_label(p, FIX_REL_LABEL, m->s->n + 1 + (unsigned)below(&m->r, 4));
	} else {
		put(p, 0xb8 + reg);
		put_label(p, FIX_ABS_LABEL, m->s->n + 1 + (unsigned)below(&m->r, 4));
	}
	p = add(m);
	put_rex(m, p, false, 0, reg);
	if (kind == 0) { /* push reg; ret */
		put(p, 0x50 + (reg & 7));
		put(add(m), 0xc3);
	} else { /* jmp, call */
		put(p, 0xff);
		put(p, (kind == 1 ? 0xe0u : 0xd0u) | (reg & 7));
	}
}

static void op_any(struct maker *m);

static void op_function(struct maker *m)
{
	unsigned over = m->s->n, n = 1 + (unsigned)below(&m->r, 4);

	if (m->function != 0) {
		jump_to(m, 0xe8, m->function);
		return;
	}
	jump_to(m, 0xe9, 0);
	while (n-- > 0)
		if (one_in(m, 3))
			op_alu(m);
		else
			op_accesses(m);
	put(add(m), 0xc3);
	m->s->p[over].to = m->s->n;
	m->function = over + 1;
	jump_to(m, 0xe8, m->function);
}

/* A byte in memory counts. */
static void counter_access(struct maker *m, unsigned op, unsigned ext, unsigned k)
{
	struct piece *p = add(m);

	put(p, op);
	if (is64(m)) {
		put(p, 4 | ext << 3);
		put(p, 0x25);
	} else {
		put(p, 5 | ext << 3);
	}
	put_n(p, COUNTER_BASE + k, 4);
	if (op == 0xc6)
		put(p, 1 + (unsigned)below(&m->r, m->depth == 0 && one_in(m, 3) ? 40 : 4));
}

static void op_loop(struct maker *m)
{
	unsigned k = m->counters, start, n = 1 + (unsigned)below(&m->r, 5);

	if (k == SEQ_COUNTERS || m->depth > 1)
		return;
	m->counters++;
	counter_access(m, 0xc6, 0, k);
	m->depth++;
	start = m->s->n;
	while (n-- > 0 && m->s->n < m->limit)
		op_any(m);
	m->depth--;
	counter_access(m, 0xfe, 1, k);
	struct piece *p = add(m);

	put(p, 0x0f);
	put(p, 0x85);
	put_label(p, FIX_REL_LABEL, start);
}

/* A register counts, as usual. */
static void op_tight_loop(struct maker *m)
{
	unsigned reg = any_reg(m), n = 1 + (unsigned)below(&m->r, 4);
	unsigned first = m->s->n, start;
	struct piece *p;

	if (m->kept >= 0)
		return;
	set_reg(m, reg, 1 + below(&m->r, 60));
	m->kept = (int)reg;
	start = m->s->n;
	while (n-- > 0)
		switch (below(&m->r, 4)) {
		case 0:
			op_alu(m);
			break;
		case 1:
			op_stride(m);
			break;
		default:
			op_accesses(m);
		}
	m->kept = -1;
	for (unsigned k = 0; k < first; k++) /* nobody comes in behind the count */
		if (m->s->p[k].fix != FIX_NONE && m->s->p[k].to > first)
			m->s->p[k].to = first;
	p = add(m);
	put_rex(m, p, true, 0, reg);
	put(p, 0xff);
	put(p, 0xc8 | (reg & 7));
	p = add(m);
	put(p, 0x0f);
	put(p, 0x85);
	put_label(p, FIX_REL_LABEL, start);
}

/* ---- from the table of forms ---- */

static bool is_fit_mnemonic(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFD:
	case ZYDIS_MNEMONIC_POPFQ:
	case ZYDIS_MNEMONIC_CLI:
	case ZYDIS_MNEMONIC_STI:
	/* Undefined flags, which some other instruction would make visible. */
	case ZYDIS_MNEMONIC_AAA:
	case ZYDIS_MNEMONIC_AAS:
	case ZYDIS_MNEMONIC_AAM:
	case ZYDIS_MNEMONIC_AAD:
	case ZYDIS_MNEMONIC_DAA:
	case ZYDIS_MNEMONIC_DAS:
	/* x87 pointers. */
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_FRSTOR:
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_VLDMXCSR:
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
		return false;
	default:
		return true;
	}
}

static bool is_fit(const struct test_case *t)
{
	const ZydisDecodedInstruction *z = &t->z;

	switch (z->meta.category) {
	case ZYDIS_CATEGORY_SYSTEM:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_IO:
	case ZYDIS_CATEGORY_IOSTRINGOP:
	case ZYDIS_CATEGORY_SEGOP:
	case ZYDIS_CATEGORY_XSAVE:
	case ZYDIS_CATEGORY_XSAVEOPT:
	case ZYDIS_CATEGORY_RDWRFSGS:
	case ZYDIS_CATEGORY_AVX2GATHER:
		return false;
	default:
		break;
	}
	for (unsigned k = 0; k < z->operand_count; k++)
		if (t->op[k].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(t->op[k].reg.value) == ZYDIS_REGCLASS_SEGMENT)
			return false;
	return z->meta.branch_type == ZYDIS_BRANCH_TYPE_NONE && !t->based &&
	       is_alike_everywhere(t) && is_fit_mnemonic(z->mnemonic);
}

enum kind { KIND_INT, KIND_X87, KIND_VECTOR };

static enum kind kind_of(const ZydisDecodedInstruction *z)
{
	switch (z->meta.isa_ext) {
	case ZYDIS_ISA_EXT_BASE:
	case ZYDIS_ISA_EXT_BMI1:
	case ZYDIS_ISA_EXT_BMI2:
	case ZYDIS_ISA_EXT_ADOX_ADCX:
	case ZYDIS_ISA_EXT_MOVBE:
		return KIND_INT;
	case ZYDIS_ISA_EXT_X87:
	case ZYDIS_ISA_EXT_MMX:
		return KIND_X87;
	default:
		return KIND_VECTOR;
	}
}

static bool pick_form(struct maker *m, struct test_case *t)
{
	unsigned roll = (unsigned)below(&m->r, 16);
	enum kind want = roll < 10 ? KIND_INT : roll < 12 ? KIND_X87 : KIND_VECTOR;

	for (unsigned k = 0; k < 400; k++) {
		const struct form *f = &m->forms->f[below(&m->r, m->forms->n)];

		if (f->mode == m->s->mode && !f->a16 && gen_case(&m->r, f, t) && is_fit(t) &&
		    kind_of(&t->z) == want && (t->target < RO_BASE - 64 || one_in(m, 12)))
			return true;
	}
	return false;
}

static void need(struct maker *m, const struct test_case *t, ZydisRegister x)
{
	ZydisRegisterClass c = ZydisRegisterGetClass(x);

	if (c == ZYDIS_REGCLASS_GPR32 || c == ZYDIS_REGCLASS_GPR64 || c == ZYDIS_REGCLASS_GPR16)
		set_reg(m, (unsigned)ZydisRegisterGetId(x), t->in.gpr[ZydisRegisterGetId(x)]);
}

static void op_form(struct maker *m)
{
	static struct test_case t;
	struct piece *p;

	if (m->kept >= 0 || !pick_form(m, &t))
		return;
	for (unsigned k = 0; k < t.z.operand_count; k++)
		if (t.op[k].type == ZYDIS_OPERAND_TYPE_MEMORY) {
			need(m, &t, t.op[k].mem.base);
			need(m, &t, t.op[k].mem.index);
		}
	if (t.z.attributes &
	    (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE))
		set_reg(m, X86_RCX, t.in.gpr[X86_RCX]);
	if (t.op[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	    t.op[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
	    t.z.meta.category == ZYDIS_CATEGORY_BITBYTE)
		need(m, &t, t.op[1].reg.value);
	if (t.z.mnemonic == ZYDIS_MNEMONIC_DIV || t.z.mnemonic == ZYDIS_MNEMONIC_IDIV) {
		set_reg(m, X86_RAX, t.in.gpr[X86_RAX]);
		set_reg(m, X86_RDX, t.in.gpr[X86_RDX]);
	}
	p = add(m);
	memcpy(p->b, t.bytes, t.len);
	p->len = t.len;
	for (unsigned k = 0; k < t.z.operand_count; k++)
		if (t.op[k].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (t.op[k].mem.base == ZYDIS_REGISTER_RIP ||
		     t.op[k].mem.base == ZYDIS_REGISTER_EIP)) {
			p->fix = FIX_REL_ABS;
			p->fix_at = t.z.raw.disp.offset;
			p->abs = t.target;
			if (t.op[k].mem.segment == ZYDIS_REGISTER_GS)
				p->abs -= GS_BASE_64;
		}
}

static void op_any(struct maker *m)
{
	static void (*const ops[])(struct maker *) = {
		op_form,     op_form,	  op_form,     op_form,	  op_form,	 op_form,
		op_form,     op_form,	  op_alu,      op_alu,	  op_accesses,	 op_accesses,
		op_accesses, op_accesses, op_stack,    op_string, op_mxcsr,	 op_forward,
		op_forward,  op_indirect, op_function, op_loop,	  op_tight_loop, op_stride,
	};

	ops[below(&m->r, sizeof(ops) / sizeof(ops[0]))](m);
}

/* ---- the whole ---- */

static void start_state(struct maker *m)
{
	struct seq *s = m->s;

	gen_registers(&m->r, &s->in);
	gen_fpu(&m->r, &s->in.fpu);
	for (unsigned k = 0; k < sizeof(anchors); k++)
		s->in.gpr[anchors[k]] = any_address(m);
	s->in.gpr[X86_RSP] = any_address(m) & ~7ull;
	s->code_off = (uint16_t)(one_in(m, 3) ? 4096 - below(&m->r, 256) : 64 + below(&m->r, 1024));
	s->in.rip = CODE_BASE + s->code_off;
}

void seq_make(struct seq *s, uint64_t seed, const struct form_table *forms)
{
	struct maker m = { .r = { (seed + 1) * 0x9e3779b97f4a7c15ull }, .s = s, .kept = -1 };

	memset(s, 0, sizeof(*s));
	m.forms = forms;
	s->seed = seed;
	for (unsigned k = 0; k < 4; k++)
		rnd(&m.r);
	s->mode = one_in(&m, 3) ? MODE_32 : MODE_64;
	start_state(&m);
	m.limit = 2 + (unsigned)below(&m.r, 40);
	while (s->n < m.limit)
		op_any(&m);
}

unsigned seq_layout(const struct seq *s, uint8_t *code, unsigned room)
{
	unsigned at[SEQ_MAX + 1], n = 0;

	for (unsigned k = 0; k < s->n; k++) {
		at[k] = n;
		n += s->p[k].left_out ? 0 : s->p[k].len;
	}
	at[s->n] = n;
	if (n > room)
		return 0;
	for (unsigned k = 0; k < s->n; k++) {
		const struct piece *p = &s->p[k];
		uint32_t to = CODE_BASE + s->code_off + at[p->to < s->n ? p->to : s->n];
		uint32_t end = CODE_BASE + s->code_off + at[k] + p->len, x;

		if (p->left_out)
			continue;
		memcpy(code + at[k], p->b, p->len);
		if (p->fix == FIX_NONE)
			continue;
		x = p->fix == FIX_ABS_LABEL ? to : (p->fix == FIX_REL_ABS ? p->abs : to) - end;
		memcpy(code + at[k] + p->fix_at, &x, 4);
	}
	return n;
}
