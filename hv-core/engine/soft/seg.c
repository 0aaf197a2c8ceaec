/*
 * Segment registers and descriptor tables: MOV, PUSH, POP, LDS…LGS, the verifying instructions,
 * LGDT…STR.
 */
#include "engine/soft/system.h"

static void set_zf(struct soft_vcpu *v, bool zf)
{
	v->fl = (uint16_t)((v->fl & ~0x4000u) | (zf ? 0x4000 : 0));
}

/* A 16-bit selector operand: src, or memory where mem_size says so. */
static uint16_t get_sel(struct soft_vcpu *v, const struct insn *i)
{
	if (i->mem_size != 0)
		return soft_ld16(v, soft_ea(v, i, 2, false));
	return SOFT_R16(v, i->src);
}

static void loaded(struct soft_vcpu *v, const struct insn *i, enum x86_seg seg)
{
	if (seg == X86_SS)
		v->s.movss_shadow = 1;
	sys_done(v, i);
	soft_mode_changed(v);
}

/* ---- moves ---- */

static void mov_to_seg(struct soft_vcpu *v, const struct insn *i)
{
	sys_load_seg(v, i->cc, get_sel(v, i));
	loaded(v, i, i->cc);
}

static void mov_from_seg(struct soft_vcpu *v, const struct insn *i)
{
	uint16_t sel = v->s.seg[i->cc].sel;

	if (i->mem_size != 0)
		soft_st16(v, soft_ea(v, i, 2, true), sel);
	else
		sys_reg_set(v, i->dst, i->op_size, sel);
}

SYS_SELECTOR(mov_seg)
{
	bool to = d->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		  ZydisRegisterGetClass(d->op[0].reg.value) == ZYDIS_REGCLASS_SEGMENT;
	const ZydisDecodedOperand *other = &d->op[to ? 1 : 0];
	bool mem = other->type == ZYDIS_OPERAND_TYPE_MEMORY;

	i->cc = decode_seg(d->op[to ? 0 : 1].reg.value);
	i->mem_size = mem ? 2 : 0;
	i->op_size = d->z.operand_width / 8;
	if (!mem)
		i->src = i->dst = decode_reg(other->reg.value);
	if (!to) {
		i->fn = mov_from_seg;
		return true;
	}
	i->fn = mov_to_seg;
	i->flags |= INSN_END;
	return i->cc != X86_CS;
}

static void push_seg(struct soft_vcpu *v, const struct insn *i)
{
	soft_push_sel(v, i->op_size, v->s.seg[i->cc].sel);
}

static void pop_seg(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t rsp = v->s.gpr[X86_RSP], popped;
	uint16_t sel = (uint16_t)soft_pop(v, i->op_size);

	/* The load may raise, and then nothing was popped. */
	popped = v->s.gpr[X86_RSP];
	v->s.gpr[X86_RSP] = rsp;
	sys_load_seg(v, i->cc, sel);
	v->s.gpr[X86_RSP] = popped;
	loaded(v, i, i->cc);
}

static bool select_stack(const struct decoded *d, struct insn *i)
{
	if (d->op[0].type != ZYDIS_OPERAND_TYPE_REGISTER ||
	    ZydisRegisterGetClass(d->op[0].reg.value) != ZYDIS_REGCLASS_SEGMENT)
		return false;
	i->cc = decode_seg(d->op[0].reg.value);
	i->op_size = d->z.operand_width / 8;
	/* In 64-bit mode the stack knows 16 and 64 bits. */
	if (d->z.machine_mode == ZYDIS_MACHINE_MODE_LONG_64)
		i->op_size = i->op_size == 2 ? 2 : 8;
	return true;
}

SYS_SELECTOR(push_seg)
{
	i->fn = push_seg;
	return select_stack(d, i);
}

SYS_SELECTOR(pop_seg)
{
	i->fn = pop_seg;
	i->flags |= INSN_END;
	return select_stack(d, i);
}

static void load_far_ptr(struct soft_vcpu *v, const struct insn *i)
{
	unsigned size = i->op_size;
	uint64_t a = soft_ea(v, i, size + 2u, false), x;

	x = size == 8 ? soft_ld64(v, a) : size == 4 ? soft_ld32(v, a) : soft_ld16(v, a);
	sys_load_seg(v, i->cc, soft_ld16(v, a + size));
	sys_reg_set(v, i->dst, size, x);
	/* Unlike MOV and POP, LSS opens no shadow. */
	sys_done(v, i);
	soft_mode_changed(v);
}

SYS_SELECTOR(load_far_ptr)
{
	i->fn = load_far_ptr;
	i->flags |= INSN_END;
	i->dst = decode_reg(d->op[0].reg.value);
	i->op_size = d->z.operand_width / 8;
	if (i->op_size == 8 && sys_model(d->v)->amd)
		i->op_size = 4;
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_LES:
		i->cc = X86_ES;
		return true;
	case ZYDIS_MNEMONIC_LDS:
		i->cc = X86_DS;
		return true;
	case ZYDIS_MNEMONIC_LSS:
		i->cc = X86_SS;
		return true;
	case ZYDIS_MNEMONIC_LFS:
		i->cc = X86_FS;
		return true;
	default:
		i->cc = X86_GS;
		return true;
	}
}

/* ---- VERR VERW LAR LSL ARPL ---- */

static void need_protected(struct soft_vcpu *v)
{
	if (!v->protected || v->v86)
		soft_raise(v, X86_EXC_UD);
}

static bool visible(struct soft_vcpu *v, uint16_t sel, struct sys_desc *d)
{
	if (sys_null(sel) || !sys_find(v, sel, d))
		return false;
	if (sys_is_code(d) && sys_is_conforming(d))
		return true;
	return sys_dpl(d) >= v->s.cpl && sys_dpl(d) >= (sel & 3u);
}

static void ver(struct soft_vcpu *v, const struct insn *i)
{
	struct sys_desc d;
	bool write = i->cc, ok;

	need_protected(v);
	ok = visible(v, get_sel(v, i), &d) && sys_is_seg(&d);
	if (ok && sys_is_code(&d))
		ok = !write && (sys_type(&d) & X86_SEG_RW);
	else if (ok)
		ok = !write || (sys_type(&d) & X86_SEG_RW);
	set_zf(v, ok);
}

/* Which system descriptors LAR (true) and LSL speak of, as bits by type. */
static bool system_ok(const struct soft_vcpu *v, unsigned type, bool lar)
{
	uint32_t types = 1u << SYS_LDT | 1u << SYS_TSS32 | 1u << SYS_TSS32_BUSY;

	if (lar)
		types |= 1u << SYS_CALL32;
	if (!v->long_mode) {
		types |= 1u << SYS_TSS16 | 1u << SYS_TSS16_BUSY;
		if (lar)
			types |= 1u << SYS_CALL16 | 1u << SYS_TASK_GATE;
	}
	return types >> type & 1;
}

static void lar_lsl(struct soft_vcpu *v, const struct insn *i)
{
	struct sys_desc d;
	bool lar = i->cc, ok;

	need_protected(v);
	ok = visible(v, get_sel(v, i), &d);
	if (ok && !sys_is_seg(&d))
		ok = system_ok(v, sys_type(&d), lar);
	if (ok)
		sys_reg_set(v, i->dst, i->op_size,
			    lar ? d.raw >> 32 & 0xffff00 & sys_size_mask(i->op_size)
				: sys_limit(&d));
	set_zf(v, ok);
}

static void arpl(struct soft_vcpu *v, const struct insn *i)
{
	uint16_t x, rpl = SOFT_R16(v, i->src) & 3;
	bool mem = i->mem_size != 0, low;

	need_protected(v);
	x = mem ? soft_ld16(v, soft_ea(v, i, 2, false)) : SOFT_R16(v, i->dst);
	low = (x & 3) < rpl;
	/* Only what changes is written. */
	if (low && mem)
		soft_st16(v, soft_ea(v, i, 2, true), (uint16_t)((x & ~3u) | rpl));
	else if (low)
		SOFT_R16(v, i->dst) = (uint16_t)((x & ~3u) | rpl);
	set_zf(v, low);
}

SYS_SELECTOR(verify)
{
	ZydisMnemonic m = d->z.mnemonic;
	bool two = m == ZYDIS_MNEMONIC_LAR || m == ZYDIS_MNEMONIC_LSL;
	const ZydisDecodedOperand *sel = &d->op[two ? 1 : 0];
	bool mem = sel->type == ZYDIS_OPERAND_TYPE_MEMORY;

	i->mem_size = mem ? 2 : 0;
	i->op_size = d->z.operand_width / 8;
	i->cc = m == ZYDIS_MNEMONIC_VERW || m == ZYDIS_MNEMONIC_LAR;
	if (m == ZYDIS_MNEMONIC_ARPL) {
		i->fn = arpl;
		if (!mem)
			i->dst = decode_reg(sel->reg.value);
		i->src = decode_reg(d->op[1].reg.value);
		return true;
	}
	if (!mem)
		i->src = decode_reg(sel->reg.value);
	if (two)
		i->dst = decode_reg(d->op[0].reg.value);
	i->fn = two ? lar_lsl : ver;
	return true;
}

/* ---- tables ---- */

static void umip(struct soft_vcpu *v)
{
	if ((v->s.cr4 & X86_CR4_UMIP) && v->s.cpl != 0)
		soft_raise_err(v, X86_EXC_GP, 0);
}

static void store_table(struct soft_vcpu *v, const struct insn *i, uint64_t base, uint16_t limit)
{
	unsigned size = v->code64 ? 8 : 4;
	uint8_t bytes[10];

	umip(v);
	memcpy(bytes, &limit, 2);
	memcpy(bytes + 2, &base, 8);
	soft_write(v, soft_ea(v, i, size + 2, true), bytes, size + 2);
}

static void sgdt(struct soft_vcpu *v, const struct insn *i)
{
	store_table(v, i, v->s.gdt_base, v->s.gdt_limit);
}

static void sidt(struct soft_vcpu *v, const struct insn *i)
{
	store_table(v, i, v->s.idt_base, v->s.idt_limit);
}

static uint64_t load_table(struct soft_vcpu *v, const struct insn *i, uint16_t *ret_limit)
{
	unsigned size = v->code64 ? 8 : 4;
	uint64_t a, base;

	sys_need_cpl0(v);
	a = soft_ea(v, i, size + 2, false);
	base = size == 8 ? soft_ld64(v, a + 2) : soft_ld32(v, a + 2);
	*ret_limit = soft_ld16(v, a);
	if (size == 8 && !soft_canonical(base))
		soft_raise_err(v, X86_EXC_GP, 0);
	return size == 4 && i->op_size == 2 ? base & 0xffffff : base;
}

static void lgdt(struct soft_vcpu *v, const struct insn *i)
{
	uint16_t limit;

	v->s.gdt_base = load_table(v, i, &limit);
	v->s.gdt_limit = limit;
}

static void lidt(struct soft_vcpu *v, const struct insn *i)
{
	uint16_t limit;

	v->s.idt_base = load_table(v, i, &limit);
	v->s.idt_limit = limit;
}

static void store_sel(struct soft_vcpu *v, const struct insn *i)
{
	uint16_t sel;

	need_protected(v);
	umip(v);
	sel = v->s.seg[i->cc].sel;
	if (i->mem_size != 0)
		soft_st16(v, soft_ea(v, i, 2, true), sel);
	else
		sys_reg_set(v, i->dst, i->op_size, sel);
}

static void fill_system(struct soft_vcpu *v, enum x86_seg seg, uint16_t sel,
			const struct sys_desc *d)
{
	sys_fill(&v->s.seg[seg], sel, d);
	if (v->long_mode)
		v->s.seg[seg].base |= d->hi << 32;
}

static void find_system(struct soft_vcpu *v, uint16_t sel, struct sys_desc *d)
{
	bool found = v->long_mode ? sys_find_wide(v, sel, d) : sys_find(v, sel, d);

	if ((sel & 4) || !found || sys_is_seg(d))
		sys_fault(v, X86_EXC_GP, sel);
	if (v->long_mode && ((d->hi >> 40 & 0x1f) != 0 || !soft_canonical(d->hi << 32)))
		sys_fault(v, X86_EXC_GP, sel);
}

static void lldt(struct soft_vcpu *v, const struct insn *i)
{
	struct sys_desc d;
	uint16_t sel;

	need_protected(v);
	sys_need_cpl0(v);
	sel = get_sel(v, i);
	if (sys_null(sel)) {
		v->s.seg[X86_LDTR] = (struct x86_seg_state){ .sel = sel };
		return;
	}
	find_system(v, sel, &d);
	if (sys_type(&d) != SYS_LDT)
		sys_fault(v, X86_EXC_GP, sel);
	if (!sys_present(&d))
		sys_fault(v, X86_EXC_NP, sel);
	fill_system(v, X86_LDTR, sel, &d);
}

static void ltr(struct soft_vcpu *v, const struct insn *i)
{
	struct sys_desc d;
	uint16_t sel;

	need_protected(v);
	sys_need_cpl0(v);
	sel = get_sel(v, i);
	if (sys_null(sel))
		soft_raise_err(v, X86_EXC_GP, 0);
	find_system(v, sel, &d);
	if (sys_type(&d) != SYS_TSS32 && (sys_type(&d) != SYS_TSS16 || v->long_mode))
		sys_fault(v, X86_EXC_GP, sel);
	if (!sys_present(&d))
		sys_fault(v, X86_EXC_NP, sel);
	sys_set_busy(v, &d, true);
	fill_system(v, X86_TR, sel, &d);
	v->s.seg[X86_TR].attr |= 2;
}

SYS_SELECTOR(table)
{
	bool mem = d->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY;

	i->op_size = d->z.operand_width / 8;
	i->mem_size = mem ? 2 : 0;
	if (!mem)
		i->src = i->dst = decode_reg(d->op[0].reg.value);
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_SGDT:
		i->fn = sgdt;
		return true;
	case ZYDIS_MNEMONIC_SIDT:
		i->fn = sidt;
		return true;
	case ZYDIS_MNEMONIC_LGDT:
		i->fn = lgdt;
		return true;
	case ZYDIS_MNEMONIC_LIDT:
		i->fn = lidt;
		return true;
	case ZYDIS_MNEMONIC_LLDT:
		i->fn = lldt;
		return true;
	case ZYDIS_MNEMONIC_LTR:
		i->fn = ltr;
		return true;
	default:
		i->fn = store_sel;
		i->cc = d->z.mnemonic == ZYDIS_MNEMONIC_STR ? X86_TR : X86_LDTR;
		return true;
	}
}
