/*
 * Control and debug registers: MOV, CLTS, LMSW, SMSW, XGETBV/XSETBV, and what drops translations.
 * Mode transitions follow from the bits; the checks are those of the Intel SDM vol. 2 (MOV CRn,
 * MOV DRn) and vol. 3 chapter 9.
 */
#include "engine/soft/pcid.h"
#include "engine/soft/system.h"

#define CR4_PAGING                                                                                 \
	(X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PCIDE | X86_CR4_SMEP | X86_CR4_SMAP)
#define CR3_NO_FLUSH (1ull << 63)
#define DR6_BD 0x2000ull
#define DR7_GD 0x2000ull

static _Noreturn void gp0(struct soft_vcpu *v)
{
	soft_raise_err(v, X86_EXC_GP, 0);
}

/* ---- CR0 ---- */

static void check_cr0(struct soft_vcpu *v, uint64_t x)
{
	bool pg = x & X86_CR0_PG, pg_old = v->s.cr0 & X86_CR0_PG;

	if (x >> 32 || (pg && !(x & X86_CR0_PE)) || ((x & X86_CR0_NW) && !(x & X86_CR0_CD)))
		gp0(v);
	if (pg && !pg_old && (v->s.efer & X86_EFER_LME) &&
	    (!(v->s.cr4 & X86_CR4_PAE) || (v->s.seg[X86_CS].attr & X86_SEG_L)))
		gp0(v);
	if (!pg && pg_old && (v->code64 || (v->s.cr4 & X86_CR4_PCIDE)))
		gp0(v);
}

void sys_write_cr0(struct soft_vcpu *v, uint64_t x)
{
	uint64_t old = v->s.cr0, changed;

	check_cr0(v, x);
	x = (x & (X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_NE | X86_CR0_WP |
		  X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)) |
	    X86_CR0_ET;
	changed = old ^ x;
	v->s.cr0 = x;
	if ((x & X86_CR0_PG) && (v->s.cr4 & X86_CR4_PAE) && !(v->s.efer & X86_EFER_LME) &&
	    (changed & (X86_CR0_PG | X86_CR0_CD | X86_CR0_NW)) && !soft_load_pdptes(v, v->s.cr3)) {
		v->s.cr0 = old;
		gp0(v);
	}
	if (changed & X86_CR0_PG) {
		if ((x & X86_CR0_PG) && (v->s.efer & X86_EFER_LME))
			v->s.efer |= X86_EFER_LMA;
		else
			v->s.efer &= ~(uint64_t)X86_EFER_LMA;
	}
	if (changed & (X86_CR0_PG | X86_CR0_PE | X86_CR0_WP))
		soft_tlb_flush_all(v);
	soft_mode_changed(v);
}

/* ---- CR3, CR4, CR8 ---- */

/* keep: what there is of the new PCID's translations stays. */
static void switch_context(struct soft_vcpu *v, unsigned old, unsigned now, bool keep)
{
	if (old == now && keep)
		return;
	if (old != now)
		soft_pcid_park(v, old);
	soft_tlb_flush_nonglobal(v);
	if (keep)
		soft_pcid_restore(v, now);
}

static void write_cr3(struct soft_vcpu *v, uint64_t x)
{
	const uint64_t old = v->s.cr3;
	bool keep = false;

	if (v->s.efer & X86_EFER_LMA) {
		uint64_t reserved = ~((1ull << sys_model(v)->phys_bits) - 1);

		if (v->s.cr4 & X86_CR4_PCIDE) {
			keep = x & CR3_NO_FLUSH;
			x &= ~CR3_NO_FLUSH;
		}
		if (x & reserved)
			gp0(v);
	} else {
		x = (uint32_t)x;
		if ((v->s.cr0 & X86_CR0_PG) && (v->s.cr4 & X86_CR4_PAE) && !soft_load_pdptes(v, x))
			gp0(v);
	}
	v->s.cr3 = x;
	if (v->s.cr4 & X86_CR4_PCIDE)
		switch_context(v, old & 0xfff, x & 0xfff, keep);
	else
		soft_tlb_flush_nonglobal(v);
	soft_mode_changed(v);
}

static uint64_t cr4_allowed(const struct soft_vcpu *v)
{
	static const struct {
		uint8_t feature;
		uint32_t bits;
	} rows[] = {
		{ CPU_F_VME, X86_CR4_VME | X86_CR4_PVI },
		{ CPU_F_UMIP, X86_CR4_UMIP },
		{ CPU_F_FSGSBASE, X86_CR4_FSGSBASE },
		{ CPU_F_PCID, X86_CR4_PCIDE },
		{ CPU_F_XSAVE, X86_CR4_OSXSAVE },
		{ CPU_F_SMEP, X86_CR4_SMEP },
		{ CPU_F_SMAP, X86_CR4_SMAP },
	};
	uint64_t allowed = X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | X86_CR4_PAE | X86_CR4_MCE |
			   X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;

	for (unsigned n = 0; n < HV_ARRAY_LEN(rows); n++)
		if (sys_has(v, rows[n].feature))
			allowed |= rows[n].bits;
	return allowed;
}

static void write_cr4(struct soft_vcpu *v, uint64_t x)
{
	uint64_t old = v->s.cr4, changed = old ^ x;

	if (x & ~cr4_allowed(v))
		gp0(v);
	if (v->long_mode && !(x & X86_CR4_PAE))
		gp0(v);
	if ((changed & x & X86_CR4_PCIDE) && (!v->long_mode || (v->s.cr3 & 0xfff)))
		gp0(v);
	v->s.cr4 = x;
	if ((v->s.cr0 & X86_CR0_PG) && (x & X86_CR4_PAE) && !v->long_mode &&
	    (changed & (X86_CR4_PAE | X86_CR4_PSE | X86_CR4_PGE | X86_CR4_SMEP)) &&
	    !soft_load_pdptes(v, v->s.cr3)) {
		v->s.cr4 = old;
		gp0(v);
	}
	if (changed & CR4_PAGING)
		soft_tlb_flush_all(v);
	soft_mode_changed(v);
}

static void write_cr8(struct soft_vcpu *v, uint64_t x)
{
	if (x > 15)
		gp0(v);
	v->s.cr8 = x;
	if (v->hv->lapic == NULL)
		return;
	v->stats.lapic++;
	soft_outside_begin(v);
	v->hv->lapic->tpr_set(v->hv->lapic_ctx, (uint8_t)x);
	soft_outside_end(v);
}

static uint64_t read_cr8(struct soft_vcpu *v)
{
	if (v->hv->lapic == NULL)
		return v->s.cr8;
	v->stats.lapic++;
	soft_outside_begin(v);
	v->s.cr8 = v->hv->lapic->tpr_get(v->hv->lapic_ctx);
	soft_outside_end(v);
	return v->s.cr8;
}

/* src or dst: the general register; cc: the control or debug register. */
static void mov_to_cr(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t x = sys_reg_get(v, i->src, v->code64 ? 8 : 4);

	sys_need_cpl0(v);
	switch (i->cc) {
	case 0:
		sys_write_cr0(v, x);
		break;
	case 2:
		v->s.cr2 = x;
		break;
	case 3:
		write_cr3(v, x);
		break;
	case 4:
		write_cr4(v, x);
		break;
	default:
		write_cr8(v, x);
		break;
	}
	sys_done(v, i);
}

static void mov_from_cr(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t x;

	sys_need_cpl0(v);
	switch (i->cc) {
	case 0:
		x = v->s.cr0;
		break;
	case 2:
		x = v->s.cr2;
		break;
	case 3:
		x = v->s.cr3;
		break;
	case 4:
		x = v->s.cr4;
		break;
	default:
		x = read_cr8(v);
		break;
	}
	sys_reg_set(v, i->dst, v->code64 ? 8 : 4, x);
}

/* ---- debug registers ---- */

static unsigned dr_check(struct soft_vcpu *v, unsigned n)
{
	if (n == 4 || n == 5) {
		if (v->s.cr4 & X86_CR4_DE)
			soft_raise(v, X86_EXC_UD);
		n += 2;
	}
	sys_need_cpl0(v);
	if (v->s.dr7 & DR7_GD)
		soft_raise_db(v, DR6_BD);
	return n;
}

static void mov_to_dr(struct soft_vcpu *v, const struct insn *i)
{
	unsigned n = dr_check(v, i->cc);
	uint64_t x = sys_reg_get(v, i->src, v->code64 ? 8 : 4), old = v->s.dr7;

	if (n >= 6 && x >> 32)
		gp0(v);
	if (n == 6)
		v->s.dr6 = (x & 0xe00full) | 0xffff0ff0;
	else if (n == 7)
		v->s.dr7 = (x & 0xffff2bffull) | 0x400;
	else
		v->s.dr[n] = x;
	/* Watched pages have no entries: drop those made before. */
	if ((old | v->s.dr7) & 0xff)
		soft_tlb_flush_all(v);
	sys_done(v, i);
	soft_mode_changed(v);
}

static void mov_from_dr(struct soft_vcpu *v, const struct insn *i)
{
	unsigned n = dr_check(v, i->cc);
	uint64_t x = n == 6 ? v->s.dr6 : n == 7 ? v->s.dr7 : v->s.dr[n & 3];

	sys_reg_set(v, i->dst, v->code64 ? 8 : 4, x);
}

/* ---- segment registers through MOV (seg.c has the rest) ---- */

static bool select_crdr(const struct decoded *d, struct insn *i, bool to, bool debug)
{
	ZydisRegister r = d->op[to ? 0 : 1].reg.value, g = d->op[to ? 1 : 0].reg.value;

	i->cc = (uint8_t)(debug ? r - ZYDIS_REGISTER_DR0 : r - ZYDIS_REGISTER_CR0);
	if (debug ? i->cc > 7 : (i->cc == 1 || (i->cc > 4 && i->cc != 8)))
		return false;
	if (to) {
		i->src = decode_reg(g);
		i->fn = debug ? mov_to_dr : mov_to_cr;
		i->flags |= INSN_END;
	} else {
		i->dst = decode_reg(g);
		i->fn = debug ? mov_from_dr : mov_from_cr;
	}
	return true;
}

static bool is_class(const ZydisDecodedOperand *op, ZydisRegisterClass class)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       ZydisRegisterGetClass(op->reg.value) == class;
}

SYS_SELECTOR(mov)
{
	for (unsigned n = 0; n < 2; n++) {
		if (is_class(&d->op[n], ZYDIS_REGCLASS_CONTROL))
			return select_crdr(d, i, n == 0, false);
		if (is_class(&d->op[n], ZYDIS_REGCLASS_DEBUG))
			return select_crdr(d, i, n == 0, true);
		if (is_class(&d->op[n], ZYDIS_REGCLASS_SEGMENT))
			return sys_sel_mov_seg(d, i);
	}
	return false;
}

/* ---- CLTS, LMSW, SMSW ---- */

static void clts(struct soft_vcpu *v, const struct insn *i)
{
	sys_need_cpl0(v);
	v->s.cr0 &= ~(uint64_t)X86_CR0_TS;
	sys_done(v, i);
	soft_mode_changed(v);
}

static void lmsw(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t x;

	sys_need_cpl0(v);
	x = i->mem_size != 0 ? soft_ld16(v, soft_ea(v, i, 2, false)) : SOFT_R16(v, i->src);
	/* PE can be set, not cleared. */
	x = (v->s.cr0 & ~0xeull) | (x & 0xf);
	sys_write_cr0(v, x);
	sys_done(v, i);
}

static void smsw(struct soft_vcpu *v, const struct insn *i)
{
	if ((v->s.cr4 & X86_CR4_UMIP) && v->s.cpl != 0)
		gp0(v);
	if (i->mem_size != 0)
		soft_st16(v, soft_ea(v, i, 2, true), (uint16_t)v->s.cr0);
	else
		sys_reg_set(v, i->dst, i->op_size, v->s.cr0);
}

SYS_SELECTOR(msw)
{
	bool mem = d->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY;

	i->mem_size = mem ? 2 : 0;
	if (!mem)
		i->src = i->dst = decode_reg(d->op[0].reg.value);
	if (d->z.mnemonic == ZYDIS_MNEMONIC_LMSW) {
		i->fn = lmsw;
		i->flags |= INSN_END;
	} else {
		i->fn = smsw;
		i->op_size = d->z.operand_width / 8;
	}
	return true;
}

/* ---- translations and caches ---- */

static void invlpg(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t a = soft_offset(v, i);

	sys_need_cpl0(v);
	if (!v->code64 || i->seg >= X86_FS)
		a += v->s.seg[i->seg].base;
	soft_tlb_flush_page(v, v->code64 ? a : (uint32_t)a);
	sys_done(v, i);
}

static void invpcid(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t type, pcid, addr, ea;

	sys_need_cpl0(v);
	type = sys_reg_get(v, i->dst, v->code64 ? 8 : 4);
	ea = soft_ea(v, i, 16, false);
	pcid = soft_ld64(v, ea);
	addr = soft_ld64(v, ea + 8);
	if (type > 3)
		gp0(v);
	if (type < 2 && (pcid >> 12 || (pcid != 0 && !(v->s.cr4 & X86_CR4_PCIDE))))
		gp0(v);
	if (type == 0 && !soft_canonical(addr))
		gp0(v);
	bool current = pcid == (v->s.cr4 & X86_CR4_PCIDE ? v->s.cr3 & 0xfff : 0);

	if (type == 2)
		soft_tlb_flush_all(v);
	else if (type < 2 && !current)
		soft_pcid_drop(v, (unsigned)pcid);
	else if (type == 0)
		soft_tlb_flush_page(v, addr);
	else
		soft_tlb_flush_nonglobal(v);
	if (type == 3)
		soft_pcid_drop_all(v);
	sys_done(v, i);
}

/* Guest memory is coherent with everything here: nothing to write back. */
static void wbinvd(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	sys_need_cpl0(v);
}

/* ---- XCR0 ---- */

static void xgetbv(struct soft_vcpu *v, const struct insn *i)
{
	uint32_t n = (uint32_t)v->s.gpr[X86_RCX];

	(void)i;
	if (!(v->s.cr4 & X86_CR4_OSXSAVE))
		soft_raise(v, X86_EXC_UD);
	/* XINUSE: every enabled component counts as in use. */
	if (n > 1 || (n == 1 && !sys_has(v, CPU_F_XGETBV1)))
		gp0(v);
	v->s.gpr[X86_RAX] = (uint32_t)v->s.xcr0;
	v->s.gpr[X86_RDX] = v->s.xcr0 >> 32;
}

static void xsetbv(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t x = (uint32_t)v->s.gpr[X86_RAX] | v->s.gpr[X86_RDX] << 32;

	if (!(v->s.cr4 & X86_CR4_OSXSAVE))
		soft_raise(v, X86_EXC_UD);
	sys_need_cpl0(v);
	if ((uint32_t)v->s.gpr[X86_RCX] != 0 || !(x & 1) || (x & 6) == 4 ||
	    (x & ~sys_model(v)->xcr0_mask))
		gp0(v);
	soft_fpu_park(v);
	v->s.xcr0 = x;
	soft_fpu_state_changed(v);
	sys_done(v, i);
	soft_mode_changed(v);
}

SYS_SELECTOR(control)
{
	i->flags |= INSN_END;
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_CLTS:
		i->fn = clts;
		return true;
	case ZYDIS_MNEMONIC_INVLPG:
		i->fn = invlpg;
		return true;
	case ZYDIS_MNEMONIC_INVPCID:
		i->fn = invpcid;
		i->dst = decode_reg(d->op[0].reg.value);
		return sys_has(d->v, CPU_F_INVPCID);
	case ZYDIS_MNEMONIC_XSETBV:
		i->fn = xsetbv;
		return sys_has(d->v, CPU_F_XSAVE);
	case ZYDIS_MNEMONIC_XGETBV:
		i->fn = xgetbv;
		i->flags &= (uint8_t)~INSN_END;
		return sys_has(d->v, CPU_F_XSAVE);
	default:
		i->fn = wbinvd;
		i->flags &= (uint8_t)~INSN_END;
		return true;
	}
}
