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

/* IF is taken out, and put back as 0. */
static bool cli(struct gen *g)
{
	em_load(&g->e, H_RCX, TR_OFF(s.rflags));
	em_pext(&g->e, H_RCX, TR_OFF(tr_but_if));
	em_pdep(&g->e, H_RCX, TR_OFF(tr_but_if));
	em_store(&g->e, H_RCX, TR_OFF(s.rflags));
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
	default:
		return false;
	}
}
