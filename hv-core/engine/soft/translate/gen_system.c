/* System instructions that kernels run all the time, in ring 0 of 64-bit code. */
#include "engine/soft/translate/gen.h"

static bool swapgs(struct gen *g)
{
	const uint32_t base = (uint32_t)(TR_OFF(s.seg) + X86_GS * sizeof(struct x86_seg_state) +
					 offsetof(struct x86_seg_state, base));

	em_load(&g->e, H_RCX, base);
	em_load(&g->e, H_R11, TR_OFF(s.kernel_gs_base));
	em_store(&g->e, H_R11, base);
	em_store(&g->e, H_RCX, TR_OFF(s.kernel_gs_base));
	return true;
}

/* Bits of reg by a mask of the context, the others 0. */
static void only(struct gen *g, unsigned reg, uint32_t mask)
{
	em_pext(&g->e, reg, mask);
	em_pdep(&g->e, reg, mask);
}

static bool cli(struct gen *g)
{
	em_load(&g->e, H_RCX, TR_OFF(s.rflags));
	only(g, H_RCX, TR_OFF(tr_but_if));
	em_store(&g->e, H_RCX, TR_OFF(s.rflags));
	return true;
}

/* Interrupts are let in behind the next instruction, if that is one with nothing else about it. */
static bool sti(struct gen *g)
{
	if (g->k + 1u >= g->b->n || (g->b->insns[g->k + 1].flags & INSN_END))
		return false;
	em_load(&g->e, H_RCX, TR_OFF(s.rflags));
	only(g, H_RCX, TR_OFF(tr_but_if));
	em_rm(&g->e, OP_W, 0x8d, H_RCX, H_RCX, H_NONE, 0, X86_FL_IF);
	em_store(&g->e, H_RCX, TR_OFF(s.rflags));
	g->look_after = g->k + 2u;
	return true;
}

static bool pushf(struct gen *g)
{
	struct gen_mem m;

	if (!g->stack_ok || (g->d->z.attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE) ||
	    g->host[X86_RSP] == H_NONE)
		return false;
	gen_stack_operand(g, X86_RSP, -8, true, &m);
	em8(&g->e, 0x9c); /* pushfq, on the stack of returns */
	em8(&g->e, 0x59); /* pop rcx */
	only(g, H_RCX, TR_OFF(tr_status));
	em_load(&g->e, H_R11, TR_OFF(s.rflags));
	only(g, H_R11, TR_OFF(tr_pushed));
	em_rm(&g->e, OP_W, 0x8d, H_RCX, H_RCX, H_R11, 0, 0);
	gen_rm(g, OP_W, 0x89, H_RCX, &m);
	gen_move_sp(g, -8);
	return true;
}

bool gen_system(struct gen *g)
{
	if (!g->is64 || (g->b->key & KEY_NOT_CPL0))
		return false;
	switch (g->d->z.mnemonic) {
	case ZYDIS_MNEMONIC_SWAPGS:
		return swapgs(g);
	case ZYDIS_MNEMONIC_CLI:
		return cli(g);
	case ZYDIS_MNEMONIC_STI:
		return sti(g);
	case ZYDIS_MNEMONIC_PUSHFQ:
		return pushf(g);
	default:
		return false;
	}
}
