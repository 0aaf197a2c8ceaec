/*
 * x87, MMX, SSE, AVX and BMI: the guest's own instruction, with its memory operand and its general
 * registers where the translator has them. Those registers are live (gen.c sees to it), and
 * exceptions that the guest has unmasked arrive as SIGFPE.
 */
#include "engine/soft/fpu.h"
#include "engine/soft/translate/gen.h"

/* The host registers that general operands are in; temp[] are those for guest registers that live
 * in the context. */
struct general {
	struct simd_fields f;
	const uint8_t *temp;
};

static uint8_t load(struct gen *g, struct general *a, uint8_t n, unsigned is)
{
	if (!(a->f.attr & is))
		return n;
	if (g->host[n] != H_NONE)
		return g->host[n];
	if (*a->temp == H_R15)
		gen_take_r15(g);
	em_load(&g->e, *a->temp, SOFT_REG(n));
	return *a->temp++;
}

static void store(struct gen *g, const struct general *a, uint8_t n, unsigned written, uint8_t host)
{
	if (a->f.attr & written)
		gen_put(g, n, host);
}

static bool any_in_context(const struct gen *g, const struct simd_fields *f)
{
	return ((f->attr & STUB_REG) && g->host[f->reg] == H_NONE) ||
	       ((f->attr & STUB_RM) && g->host[f->rm] == H_NONE) ||
	       ((f->attr & STUB_VVVV) && g->host[f->vvvv] == H_NONE);
}

static bool operand(struct gen *g, bool write, struct general *a, struct simd_place *p)
{
	static const uint8_t rest[] = { H_RCX, H_R15 }, rest_of_group[] = { H_RCX, H_R11 };
	struct gen_mem m;

	if (!gen_operand(g, g->i->mem_size, write, &m))
		return false;
	a->temp = rest_of_group;
	if (m.base == H_R11 && any_in_context(g, &a->f)) {
		gen_rm(g, OP_W, 0x8d, H_R11, &m);
		m = (struct gen_mem){ H_R11, H_NONE, 0 };
		a->temp = rest;
	}
	p->rm = (uint8_t)m.base;
	p->index = m.index == H_NONE ? H_RSP : (uint8_t)m.index;
	p->disp = m.disp;
	return true;
}

bool gen_vector(struct gen *g)
{
	static const uint8_t temps[] = { H_R11, H_RCX, H_R15 };
	int write = simd_plain(g->i);
	struct general a = { .temp = temps };
	struct simd_place p = { .index = H_RSP };

	if (write < 0 || SOFT_FPU_EAGER)
		return false;
	simd_fields(g->d, &a.f);
	if (!(g->i->flags & INSN_MEM))
		p.rm = load(g, &a, a.f.rm, STUB_RM);
	else if (!operand(g, write, &a, &p))
		return false;
	p.reg = load(g, &a, a.f.reg, STUB_REG);
	p.vvvv = load(g, &a, a.f.vvvv, STUB_VVVV);
	const uint8_t *start = g->e.p;
	unsigned len = simd_put(g->d, &p, g->e.p);

	if (len == 0)
		return false;
	g->e.p += len;
	if (!(a.f.attr & STUB_NO_FPU))
		gen_may_trap(g, start);
	/* MULX with one register for both halves leaves the high half: that of the reg field. */
	store(g, &a, a.f.vvvv, STUB_W_VVVV, p.vvvv);
	store(g, &a, a.f.reg, STUB_W_REG, p.reg);
	if (!(g->i->flags & INSN_MEM))
		store(g, &a, a.f.rm, STUB_W_RM, p.rm);
	if (a.f.attr & STUB_W_RCX) {
		if (g->host[X86_RCX] == H_NONE)
			em_store(&g->e, H_RCX, SOFT_REG(X86_RCX));
		else
			em_rr(&g->e, OP_W, 0x8b, g->host[X86_RCX], H_RCX);
	}
	return true;
}
