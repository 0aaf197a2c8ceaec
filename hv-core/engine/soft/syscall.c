/*
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT with the vendors' differences, and SWAPGS.
 */
#include "engine/soft/system.h"

#define CODE_ATTR (X86_SEG_P | X86_SEG_S | X86_SEG_CODE | X86_SEG_RW | X86_SEG_ACCESSED | X86_SEG_G)
#define DATA_ATTR (X86_SEG_P | X86_SEG_S | X86_SEG_RW | X86_SEG_ACCESSED | X86_SEG_G | X86_SEG_DB)

enum code_kind { CODE_32 = X86_SEG_DB, CODE_64 = X86_SEG_L };

static void flat_cs(struct soft_vcpu *v, uint16_t sel, unsigned cpl, enum code_kind kind)
{
	v->s.seg[X86_CS] = (struct x86_seg_state){
		.sel = sel,
		.limit = 0xffffffff,
		.attr = (uint16_t)(CODE_ATTR | (unsigned)kind | cpl << X86_SEG_DPL_SHIFT),
	};
	v->s.cpl = (uint8_t)cpl;
}

static void flat_ss(struct soft_vcpu *v, uint16_t sel, unsigned dpl)
{
	v->s.seg[X86_SS] = (struct x86_seg_state){
		.sel = sel,
		.limit = 0xffffffff,
		.attr = (uint16_t)(DATA_ATTR | dpl << X86_SEG_DPL_SHIFT),
	};
}

/* Unlike other instructions, SYSCALL and SYSRET trap by the TF that they leave. */
static void step_by_new_tf(struct soft_vcpu *v)
{
	v->sys.tf_start = false;
	if (v->s.rflags & X86_FL_TF)
		v->sys.dr6_pending |= 0x4000;
}

static void syscall_fn(struct soft_vcpu *v, const struct insn *i)
{
	uint16_t sel = v->s.star >> 32 & 0xfffc;

	if (!(v->s.efer & X86_EFER_SCE) || !v->protected || (!sys_model(v)->amd && !v->code64))
		soft_raise(v, X86_EXC_UD);
	if (v->long_mode) {
		uint64_t flags = soft_rflags(v) & ~(uint64_t)X86_FL_RF;

		v->s.gpr[X86_RCX] = v->code64 ? sys_next_ip(i) : (uint32_t)sys_next_ip(i);
		v->s.gpr[X86_R11] = flags;
		v->s.rip = v->code64 ? v->s.lstar : v->s.cstar;
		soft_set_rflags(v, flags & ~(v->s.sfmask & 0xffffffff));
		flat_cs(v, sel, 0, CODE_64);
	} else {
		v->s.gpr[X86_RCX] = (uint32_t)sys_next_ip(i);
		v->s.rip = (uint32_t)v->s.star;
		soft_set_rflags(v, soft_rflags(v) & ~(uint64_t)(X86_FL_IF | X86_FL_RF | X86_FL_VM));
		flat_cs(v, sel, 0, CODE_32);
	}
	flat_ss(v, (uint16_t)(sel + 8), 0);
	step_by_new_tf(v);
	soft_mode_changed(v);
}

static void sysret_ss(struct soft_vcpu *v, uint16_t sel)
{
	/* AMD leaves base, limit and attributes as they were. */
	if (sys_model(v)->amd)
		v->s.seg[X86_SS].sel = sel;
	else
		flat_ss(v, sel, 3);
}

static void sysret_fn(struct soft_vcpu *v, const struct insn *i)
{
	uint16_t base = v->s.star >> 48;
	bool amd = sys_model(v)->amd;

	if (!(v->s.efer & X86_EFER_SCE) || !v->protected || (!amd && !v->code64))
		soft_raise(v, X86_EXC_UD);
	sys_need_cpl0(v);
	if (v->code64 && i->op_size == 8) {
		if (!amd && !soft_canonical(v->s.gpr[X86_RCX]))
			soft_raise_err(v, X86_EXC_GP, 0);
		v->s.rip = v->s.gpr[X86_RCX];
		flat_cs(v, (uint16_t)((base + 16) | 3), 3, CODE_64);
	} else {
		v->s.rip = (uint32_t)v->s.gpr[X86_RCX];
		flat_cs(v, (uint16_t)(base | 3), 3, CODE_32);
	}
	sysret_ss(v, (uint16_t)((base + 8) | 3));
	if (v->code64)
		soft_set_rflags(v, v->s.gpr[X86_R11] & 0x3c7fd5);
	else
		soft_set_rflags(v, soft_rflags(v) | X86_FL_IF);
	step_by_new_tf(v);
	soft_mode_changed(v);
}

/* AMD has neither SYSENTER nor SYSEXIT in long mode. */
static void sysenter_fn(struct soft_vcpu *v, const struct insn *i)
{
	uint16_t sel = (uint16_t)v->s.sysenter_cs;

	(void)i;
	if (sys_model(v)->amd && v->long_mode)
		soft_raise(v, X86_EXC_UD);
	if (!v->protected || sys_null(sel))
		soft_raise_err(v, X86_EXC_GP, 0);
	soft_set_rflags(v, soft_rflags(v) & ~(uint64_t)(X86_FL_VM | X86_FL_IF | X86_FL_RF));
	flat_cs(v, sel & 0xfffc, 0, v->long_mode ? CODE_64 : CODE_32);
	flat_ss(v, (uint16_t)((sel & 0xfffc) + 8), 0);
	v->s.gpr[X86_RSP] = v->long_mode ? v->s.sysenter_esp : (uint32_t)v->s.sysenter_esp;
	v->s.rip = v->long_mode ? v->s.sysenter_eip : (uint32_t)v->s.sysenter_eip;
	soft_mode_changed(v);
}

static void sysexit_fn(struct soft_vcpu *v, const struct insn *i)
{
	uint16_t sel = (uint16_t)v->s.sysenter_cs;
	uint64_t rsp = v->s.gpr[X86_RCX], rip = v->s.gpr[X86_RDX];
	bool to64 = i->op_size == 8 && v->code64;

	if (!v->protected || v->s.cpl != 0)
		soft_raise_err(v, X86_EXC_GP, 0);
	if (sys_model(v)->amd && v->long_mode)
		soft_raise(v, X86_EXC_UD);
	if (sys_null(sel))
		soft_raise_err(v, X86_EXC_GP, 0);
	if (to64 && (!soft_canonical(rsp) || !soft_canonical(rip)))
		soft_raise_err(v, X86_EXC_GP, 0);
	sel = (uint16_t)(sel + (to64 ? 32 : 16));
	flat_cs(v, sel | 3, 3, to64 ? CODE_64 : CODE_32);
	flat_ss(v, (uint16_t)((sel + 8) | 3), 3);
	v->s.gpr[X86_RSP] = to64 ? rsp : (uint32_t)rsp;
	v->s.rip = to64 ? rip : (uint32_t)rip;
	soft_mode_changed(v);
}

/* No block depends on the bases of FS and GS: does not end one. */
static void swapgs_fn(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t base = v->s.seg[X86_GS].base;

	(void)i;
	if (!v->code64)
		soft_raise(v, X86_EXC_UD);
	sys_need_cpl0(v);
	v->s.seg[X86_GS].base = v->s.kernel_gs_base;
	v->s.kernel_gs_base = base;
}

SYS_SELECTOR(syscall)
{
	i->flags |= INSN_END;
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_SYSCALL:
		i->fn = syscall_fn;
		return true;
	case ZYDIS_MNEMONIC_SYSRET:
	case ZYDIS_MNEMONIC_SYSEXIT:
		i->fn = d->z.mnemonic == ZYDIS_MNEMONIC_SYSRET ? sysret_fn : sysexit_fn;
		i->op_size = d->z.attributes & ZYDIS_ATTRIB_HAS_REX && d->z.raw.rex.W ? 8 : 4;
		return true;
	case ZYDIS_MNEMONIC_SYSENTER:
		i->fn = sysenter_fn;
		return true;
	default:
		i->flags &= (uint8_t)~INSN_END;
		i->fn = swapgs_fn;
		return true;
	}
}
