/*
 * IRET in every mode: real, virtual-8086 (from and to), protected with and without a change of
 * privilege, nested-task return, 64-bit. Unmasks NMIs.
 */
#include "engine/soft/system.h"

#define FL_ALWAYS (X86_FL_STATUS | X86_FL_TF | X86_FL_DF | X86_FL_NT)
#define FL_WIDE (X86_FL_RF | X86_FL_AC | X86_FL_ID)

struct frame {
	uint64_t ip, flags;
	uint16_t cs;
};

static void set_flags(struct soft_vcpu *v, uint64_t x, uint64_t mask)
{
	soft_set_rflags(v, (soft_rflags(v) & ~mask) | (x & mask));
}

/* What a return at the CPL before it may change. */
static uint64_t flags_mask(struct soft_vcpu *v, unsigned size)
{
	uint64_t mask = FL_ALWAYS;

	if (size > 2)
		mask |= FL_WIDE;
	if (v->s.cpl == 0) {
		mask |= X86_FL_IOPL | X86_FL_IF;
		if (size > 2)
			mask |= X86_FL_VIF | X86_FL_VIP;
	} else if (v->s.cpl <= sys_iopl(v)) {
		mask |= X86_FL_IF;
	}
	return mask;
}

static void unmask_nmi(struct soft_vcpu *v)
{
	v->s.nmi_masked = 0;
	if (v->s.nmi_pending) {
		v->s.nmi_pending = 0;
		soft_request(v, HV_REQ_NMI);
	}
}

static void iret_real(struct soft_vcpu *v, const struct insn *i)
{
	struct sys_stack st;
	struct frame f;
	uint64_t mask = FL_ALWAYS | X86_FL_IF;

	if (v->v86 && sys_iopl(v) != 3)
		soft_raise_err(v, X86_EXC_GP, 0);
	sys_stack_current(v, &st);
	f.ip = sys_stack_pop(v, &st, i->op_size);
	f.cs = (uint16_t)sys_stack_pop(v, &st, i->op_size);
	f.flags = sys_stack_pop(v, &st, i->op_size);
	if (f.ip > v->s.seg[X86_CS].limit)
		soft_raise_err(v, X86_EXC_GP, 0);
	if (!v->v86)
		mask |= X86_FL_IOPL;
	if (i->op_size > 2)
		mask |= FL_WIDE;
	sys_stack_commit(v, &st);
	sys_real_seg(v, X86_CS, f.cs);
	v->s.rip = f.ip;
	set_flags(v, f.flags, mask);
	unmask_nmi(v);
	soft_mode_changed(v);
}

static void iret_to_v86(struct soft_vcpu *v, struct sys_stack *st, const struct frame *f)
{
	uint16_t sels[6];
	uint64_t sp = sys_stack_pop(v, st, 4);

	sels[X86_CS] = f->cs;
	sels[X86_SS] = (uint16_t)sys_stack_pop(v, st, 4);
	sels[X86_ES] = (uint16_t)sys_stack_pop(v, st, 4);
	sels[X86_DS] = (uint16_t)sys_stack_pop(v, st, 4);
	sels[X86_FS] = (uint16_t)sys_stack_pop(v, st, 4);
	sels[X86_GS] = (uint16_t)sys_stack_pop(v, st, 4);
	set_flags(v, f->flags,
		  FL_ALWAYS | FL_WIDE | X86_FL_IOPL | X86_FL_IF | X86_FL_VIF | X86_FL_VIP |
			  X86_FL_VM);
	sys_v86_segs(v, sels);
	v->s.cpl = 3;
	v->s.gpr[X86_RSP] = (uint32_t)sp;
	v->s.rip = f->ip & 0xffff;
	unmask_nmi(v);
	soft_mode_changed(v);
}

static void iret_task(struct soft_vcpu *v, const struct insn *i)
{
	struct sys_desc d;
	uint16_t sel = (uint16_t)soft_sys_read(v, v->s.seg[X86_TR].base, 2);

	if ((sel & 4) || !sys_find(v, sel, &d) || sys_is_seg(&d) ||
	    (sys_type(&d) != SYS_TSS16_BUSY && sys_type(&d) != SYS_TSS32_BUSY))
		sys_fault(v, X86_EXC_TS, sel);
	if (!sys_present(&d))
		sys_fault(v, X86_EXC_NP, sel);
	unmask_nmi(v);
	sys_task_switch(v, sel, &d, SYS_BY_IRET, sys_next_ip(i));
}

static void check_cs(struct soft_vcpu *v, uint16_t sel, struct sys_desc *d)
{
	if (sys_null(sel))
		soft_raise_err(v, X86_EXC_GP, 0);
	if (!sys_find(v, sel, d) || !sys_is_code(d) || (sel & 3u) < v->s.cpl ||
	    (sys_is_conforming(d) ? sys_dpl(d) > (sel & 3u) : sys_dpl(d) != (sel & 3u)) ||
	    sys_bad_long(v, d))
		sys_fault(v, X86_EXC_GP, sel);
	if (!sys_present(d))
		sys_fault(v, X86_EXC_NP, sel);
}

/* SS:RSP out of the frame: outer levels, and always in 64-bit mode. */
static void finish_outer(struct soft_vcpu *v, const struct insn *i, struct frame *f,
			 struct sys_desc *cs, struct sys_stack *st)
{
	struct sys_stack outer;
	struct x86_seg_state ss_state;
	struct sys_desc ss;
	unsigned cpl = f->cs & 3, old = v->s.cpl;
	uint64_t sp = sys_stack_pop(v, st, i->op_size), mask = flags_mask(v, i->op_size);
	uint16_t sel = (uint16_t)sys_stack_pop(v, st, i->op_size);
	bool null_ss = sys_null(sel) && sys_code64(v, cs) && cpl != 3 && (sel & 3u) == cpl;

	if (!null_ss)
		sys_check_ss(v, sel, cpl, X86_EXC_GP, &ss);
	sys_check_ip(v, cs, f->ip);
	sys_set_accessed(v, cs);
	if (!null_ss)
		sys_set_accessed(v, &ss);
	sys_set_cs(v, f->cs, cs, cpl);
	if (null_ss)
		sys_null_seg(v, X86_SS, sel);
	else
		sys_set_seg(v, X86_SS, sel, &ss);
	ss_state = v->s.seg[X86_SS];
	if (sys_code64(v, cs))
		sys_stack_new64(&outer, sp, cpl, 0);
	else
		sys_stack_new(&outer, &ss_state, sp, cpl, 0);
	sys_stack_commit(v, &outer);
	v->s.rip = f->ip;
	set_flags(v, f->flags, mask);
	if (cpl != old)
		sys_drop_segs(v);
}

static void iret(struct soft_vcpu *v, const struct insn *i)
{
	struct sys_stack st;
	struct sys_desc cs;
	struct frame f;

	if (!v->protected || v->v86) {
		iret_real(v, i);
		return;
	}
	if (v->s.rflags & X86_FL_NT) {
		if (v->long_mode)
			soft_raise_err(v, X86_EXC_GP, 0);
		iret_task(v, i);
		return;
	}
	sys_stack_current(v, &st);
	f.ip = sys_stack_pop(v, &st, i->op_size);
	f.cs = (uint16_t)sys_stack_pop(v, &st, i->op_size);
	f.flags = sys_stack_pop(v, &st, i->op_size);
	if (i->op_size == 4 && (f.flags & X86_FL_VM) && v->s.cpl == 0 && !v->long_mode) {
		iret_to_v86(v, &st, &f);
		return;
	}
	check_cs(v, f.cs, &cs);
	if (v->code64 || (f.cs & 3) != v->s.cpl) {
		finish_outer(v, i, &f, &cs, &st);
	} else {
		sys_check_ip(v, &cs, f.ip);
		uint64_t mask = flags_mask(v, i->op_size);

		sys_set_cs(v, f.cs, &cs, v->s.cpl);
		sys_stack_commit(v, &st);
		v->s.rip = f.ip;
		set_flags(v, f.flags, mask);
	}
	unmask_nmi(v);
	soft_mode_changed(v);
}

SYS_SELECTOR(iret)
{
	i->fn = iret;
	i->flags |= INSN_END;
	i->op_size = 2;
	if (d->z.mnemonic == ZYDIS_MNEMONIC_IRETD)
		i->op_size = 4;
	else if (d->z.mnemonic == ZYDIS_MNEMONIC_IRETQ)
		i->op_size = 8;
	return true;
}
