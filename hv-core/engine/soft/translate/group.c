/*
 * Grouped checks. Accesses of a trace whose addresses differ by constants are checked at once: the
 * first looks up the page of all of them, and the rest go by the host address that was found. In a
 * loop, a group whose registers stay what they are is checked before the loop.
 *
 * Registers are followed as "what register n held at the beginning (root n), or what instruction k
 * put there (another root), plus a constant".
 *
 * This is right because a translation may be used until the next serialising event, and none lies
 * within a trace: those end it, or leave it (tlb_epoch).
 */
#include "engine/soft/translate/gen.h"

#define SPAN_MAX                                                                                   \
	2048 /* bytes of a group: the more, the more often it crosses into another page            \
	      */

struct value {
	uint16_t root;
	int64_t plus;
};

struct follow {
	struct gen *g;
	struct value reg[16];
	uint16_t next_root;
	uint16_t segment_bases; /* a root for those of FS and GS */
	uint16_t branches;	/* passed so far */
};

static void forget(struct follow *f, unsigned n)
{
	f->reg[n] = (struct value){ f->next_root++, 0 };
}

static void forget_all(struct follow *f)
{
	for (unsigned n = 0; n < 16; n++)
		forget(f, n);
	f->segment_bases = f->next_root++;
}

/* ---- what instructions do to registers ---- */

static unsigned full_width(const struct gen *g)
{
	return g->is64 ? 64 : 32;
}

static bool is_reg(const ZydisDecodedOperand *o, unsigned width)
{
	return o->type == ZYDIS_OPERAND_TYPE_REGISTER && o->size == width &&
	       decode_reg(o->reg.value) != SOFT_ZERO;
}

static unsigned number(const ZydisDecodedOperand *o)
{
	return decode_reg(o->reg.value) / 8u;
}

/* What a full register becomes, if that can be told: a copy, or a sum with a constant. */
static bool sum(const struct follow *f, const struct insn *i, const struct decoded *d,
		struct value *ret)
{
	const ZydisDecodedOperand *a = &d->op[0], *b = &d->op[1];
	unsigned w = full_width(f->g);

	if (!is_reg(a, w))
		return false;
	*ret = f->reg[number(a)];
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		if (!is_reg(b, w))
			return false;
		*ret = f->reg[number(b)];
		return true;
	case ZYDIS_MNEMONIC_LEA:
		if (i->base == SOFT_ZERO || i->index != SOFT_ZERO || i->addr_size * 8u != w)
			return false;
		*ret = f->reg[i->base / 8];
		ret->plus += i->disp;
		return true;
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_SUB:
		if (b->type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
			return false;
		ret->plus += d->z.mnemonic == ZYDIS_MNEMONIC_ADD ? b->imm.value.s : -b->imm.value.s;
		return true;
	case ZYDIS_MNEMONIC_INC:
		ret->plus++;
		return true;
	case ZYDIS_MNEMONIC_DEC:
		ret->plus--;
		return true;
	default:
		return false;
	}
}

static int stack_step(const struct gen *g, const struct decoded *d)
{
	int bytes = g->is64 ? 8 : 4;

	if (d->z.attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE)
		return 0;
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_CALL:
		return -bytes;
	case ZYDIS_MNEMONIC_POP:
	case ZYDIS_MNEMONIC_RET:
		return bytes;
	default:
		return 0;
	}
}

static bool moves_segments(const struct decoded *d)
{
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_WRFSBASE:
	case ZYDIS_MNEMONIC_WRGSBASE:
	case ZYDIS_MNEMONIC_SWAPGS:
	case ZYDIS_MNEMONIC_WRMSR:
		return true;
	default:
		return d->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		       ZydisRegisterGetClass(d->op[0].reg.value) == ZYDIS_REGCLASS_SEGMENT;
	}
}

static void follow_registers(struct follow *f, const struct insn *i, const struct decoded *d)
{
	int step = stack_step(f->g, d);
	struct value v;

	if (moves_segments(d))
		f->segment_bases = f->next_root++;
	if (sum(f, i, d, &v) && v.plus == (int32_t)v.plus) {
		f->reg[number(&d->op[0])] = v;
		return;
	}
	if (d->z.meta.category == ZYDIS_CATEGORY_STRINGOP ||
	    d->z.meta.category == ZYDIS_CATEGORY_IOSTRINGOP) { /* no operands of their own */
		forget(f, X86_RSI);
		forget(f, X86_RDI);
	}
	for (unsigned k = 0; k < d->z.operand_count; k++) {
		const ZydisDecodedOperand *o = &d->op[k];

		if (o->type != ZYDIS_OPERAND_TYPE_REGISTER ||
		    !(o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) ||
		    decode_reg(o->reg.value) == SOFT_ZERO)
			continue;
		if (step != 0 && number(o) == X86_RSP &&
		    o->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN)
			f->reg[X86_RSP].plus += step;
		else
			forget(f, number(o));
	}
}

/* ---- accesses ---- */

static bool same(const struct gen_group *a, const struct gen_group *b)
{
	return a->base == b->base && a->index == b->index && a->scale == b->scale &&
	       a->seg == b->seg;
}

/* Adds the bytes to the group, if it is one that may hold them. */
static bool join(struct gen_group *have, const struct gen_group *a)
{
	int64_t lo = a->lo < have->lo ? a->lo : have->lo, hi = a->hi > have->hi ? a->hi : have->hi;

	if (!same(have, a) || hi - lo > SPAN_MAX)
		return false;
	/* Whoever may only read there must come as far as he came. */
	if (a->write && !have->write && have->branches != a->branches)
		return false;
	have->lo = lo;
	have->hi = hi;
	have->write |= a->write;
	have->n++;
	return true;
}

static void add(struct follow *f, unsigned k, unsigned which, const struct gen_group *a)
{
	struct gen *g = f->g;
	struct gen_access *to = &g->access[k][which];

	to->off = a->lo;
	for (unsigned n = g->n_groups; n-- > 0;)
		if (join(&g->groups[n], a)) {
			to->group = (int8_t)n;
			return;
		}
	if (g->n_groups == GEN_MAX_GROUPS)
		return;
	to->group = (int8_t)g->n_groups;
	g->groups[g->n_groups] = *a;
	g->groups[g->n_groups++].first = a->write ? k : GEN_NO_ROOT;
}

static bool writes(const struct decoded *d)
{
	for (unsigned k = 0; k < d->z.operand_count; k++)
		if (d->op[k].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    d->op[k].visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
			return d->op[k].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	return false;
}

static void find_operand(struct follow *f, unsigned k, const struct insn *i,
			 const struct decoded *d)
{
	struct gen_group a = { .base = GEN_NO_ROOT,
			       .index = GEN_NO_ROOT,
			       .seg = GEN_NO_ROOT,
			       .n = 1,
			       .branches = f->branches };

	if (!(i->flags & INSN_MEM) || (i->flags & INSN_CHECK) || i->mem_size == 0 ||
	    i->addr_size != (f->g->is64 ? 8 : 4) || d->z.mnemonic == ZYDIS_MNEMONIC_LEA)
		return;
	a.lo = i->disp;
	if (i->base != SOFT_ZERO) {
		a.base = f->reg[i->base / 8].root;
		a.lo += f->reg[i->base / 8].plus;
	}
	if (i->index != SOFT_ZERO) {
		a.index = f->reg[i->index / 8].root;
		a.lo += f->reg[i->index / 8].plus * (1 << i->scale);
		a.scale = i->scale;
	}
	if (f->g->is64 && i->seg >= X86_FS)
		a.seg = (uint16_t)(f->segment_bases * 2u + (i->seg == X86_GS));
	a.hi = a.lo + i->mem_size;
	a.write = writes(d);
	if (i->disp == (int32_t)i->disp || (a.base == GEN_NO_ROOT && a.index == GEN_NO_ROOT))
		add(f, k, 0, &a);
}

static void find_stack(struct follow *f, unsigned k, const struct decoded *d)
{
	int step = stack_step(f->g, d);
	bool leave = d->z.mnemonic == ZYDIS_MNEMONIC_LEAVE;
	const struct value *r = &f->reg[leave ? X86_RBP : X86_RSP];
	struct gen_group a = { .base = r->root,
			       .index = GEN_NO_ROOT,
			       .seg = GEN_NO_ROOT,
			       .n = 1,
			       .branches = f->branches };

	if (!f->g->stack_ok || (step == 0 && !leave))
		return;
	a.lo = r->plus + (step < 0 ? step : 0);
	a.hi = a.lo + (f->g->is64 ? 8 : 4);
	a.write = step < 0;
	add(f, k, 1, &a);
}

/* ---- all of it ---- */

static bool unchanged(const struct follow *f, uint16_t root)
{
	if (root == GEN_NO_ROOT)
		return true;
	return root < 16 && f->reg[root].root == root && f->reg[root].plus == 0;
}

static bool invariant(const struct follow *f, const struct gen_group *a)
{
	return unchanged(f, a->base) && unchanged(f, a->index) &&
	       (a->seg == GEN_NO_ROOT || (a->seg / 2 == 16 && f->segment_bases == 16));
}

void gen_find_groups(struct gen *g)
{
	struct follow f = { .g = g, .next_root = 17, .segment_bases = 16 };

	g->n_groups = 0;
	for (unsigned n = 0; n < 16; n++)
		f.reg[n] = (struct value){ (uint16_t)n, 0 };
	for (unsigned k = 0; k < g->b->n; k++) {
		g->access[k][0].group = g->access[k][1].group = -1;
		if (!g->known[k]) {
			forget_all(&f);
			continue;
		}
		find_operand(&f, k, &g->b->insns[k], &g->decoded[k]);
		find_stack(&f, k, &g->decoded[k]);
		follow_registers(&f, &g->b->insns[k], &g->decoded[k]);
		f.branches += (g->b->insns[k].flags & INSN_BRANCH) != 0;
	}
	for (unsigned n = 0; n < g->n_groups; n++)
		g->groups[n].before_loop = g->loops && invariant(&f, &g->groups[n]);
}
