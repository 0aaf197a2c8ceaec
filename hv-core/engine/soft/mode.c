/* What the run loop and the decoder keep ready of the guest's mode. */
#include "engine/soft/key.h"
#include "engine/soft/mmu.h"
#include "engine/soft/soft.h"
#include "engine/soft/translate/translate.h"

static bool seg_is_open(const struct soft_vcpu *v, enum x86_seg n)
{
	const struct x86_seg_state *s = &v->s.seg[n];
	const uint16_t data_rw = X86_SEG_P | X86_SEG_S | X86_SEG_RW;

	return !v->code64 && s->limit == 0xffffffff &&
	       (s->attr & (data_rw | X86_SEG_CODE | X86_SEG_DC)) == data_rw;
}

static bool seg_is_flat(const struct soft_vcpu *v, enum x86_seg n)
{
	return v->code64 ? n < X86_FS : seg_is_open(v, n) && v->s.seg[n].base == 0;
}

static bool cs_is_flat(const struct soft_vcpu *v)
{
	return v->code64 || (v->s.seg[X86_CS].base == 0 && v->s.seg[X86_CS].limit == 0xffffffff);
}

static uint32_t key_of(const struct soft_vcpu *v)
{
	const struct x86_state *s = &v->s;
	uint32_t k = (uint32_t)v->flat << KEY_FLAT_SHIFT;

	k |= v->code64 ? KEY_CODE64 : 0;
	k |= v->code32 ? KEY_CODE32 : 0;
	k |= v->stack32 ? KEY_STACK32 : 0;
	k |= v->long_mode ? KEY_LONG : 0;
	k |= v->protected ? KEY_PE : 0;
	k |= v->v86 ? KEY_VM : 0;
	k |= cs_is_flat(v) ? KEY_FLAT_CS : 0;
	k |= s->cpl == 3 ? KEY_USER : 0;
	k |= s->cpl != 0 ? KEY_NOT_CPL0 : 0;
	k |= seg_is_open(v, X86_FS) ? KEY_OPEN(X86_FS) : 0;
	k |= seg_is_open(v, X86_GS) ? KEY_OPEN(X86_GS) : 0;
	k |= s->cr0 & X86_CR0_TS ? KEY_TS : 0;
	k |= s->cr0 & X86_CR0_EM ? KEY_EM : 0;
	k |= s->cr0 & X86_CR0_MP ? KEY_MP : 0;
	k |= s->cr4 & X86_CR4_OSFXSR ? KEY_OSFXSR : 0;
	k |= s->cr4 & X86_CR4_OSXSAVE ? KEY_OSXSAVE : 0;
	k |= (s->xcr0 & 6) == 6 ? KEY_AVX : 0;
	if (s->cpl == 3 && (s->cr0 & X86_CR0_AM) && (s->rflags & X86_FL_AC))
		k |= KEY_ALIGN;
	return k;
}

/* Whoever changes how addresses are translated flushes; this is for those who forget. */
static void translation_bits(struct soft_vcpu *v)
{
	struct soft_mmu *m = v->mmu;
	uint64_t cr0 = v->s.cr0 & (X86_CR0_PG | X86_CR0_WP | X86_CR0_PE);
	uint64_t cr4 = v->s.cr4 & (X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_SMEP |
				   X86_CR4_SMAP | X86_CR4_PCIDE);
	uint64_t efer = v->s.efer & (X86_EFER_NXE | X86_EFER_LMA);

	if (HV_LIKELY(m->cr0 == cr0 && m->cr4 == cr4 && m->efer == efer))
		return;
	m->cr0 = cr0;
	m->cr4 = cr4;
	m->efer = efer;
	soft_tlb_flush_all(v);
}

void soft_mode_changed(struct soft_vcpu *v)
{
	const struct x86_state *s = &v->s;

	v->protected = s->cr0 & X86_CR0_PE;
	v->paging = s->cr0 & X86_CR0_PG;
	v->v86 = v->protected && (s->rflags & X86_FL_VM);
	v->long_mode = s->efer & X86_EFER_LMA;
	v->code64 = v->long_mode && (s->seg[X86_CS].attr & X86_SEG_L);
	v->code32 = !v->code64 && (s->seg[X86_CS].attr & X86_SEG_DB);
	v->stack32 = !v->code64 && (s->seg[X86_SS].attr & X86_SEG_DB);
	v->flat = 0;
	for (unsigned i = 0; i <= X86_GS; i++)
		v->flat |= (uint8_t)(seg_is_flat(v, i) << i);
	v->key = key_of(v);
	if (s->cpl == 3)
		v->tlb = &v->tlbs[SOFT_MODE_USER];
	else if ((s->cr4 & X86_CR4_SMAP) && !(s->rflags & X86_FL_AC))
		v->tlb = &v->tlbs[SOFT_MODE_SUPER_SMAP];
	else
		v->tlb = &v->tlbs[SOFT_MODE_SUPER];
	if (v->tr != NULL)
		soft_tr_mode(v);
	translation_bits(v);
	uint32_t slow = soft_slow_reasons(v) | (v->slow & SOFT_SLOW_TRACE);
	uint32_t watch = SOFT_SLOW_BREAK | SOFT_SLOW_GDB;

	/* Pages with watchpoints must not have entries (MOV DR and the debugger flush, too). */
	if (HV_UNLIKELY((v->slow ^ slow) & watch))
		soft_tlb_flush_all(v);
	v->slow = slow;
}
