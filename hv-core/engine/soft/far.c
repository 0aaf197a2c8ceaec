/*
 * Far jumps, calls and returns: direct, through memory, through call gates (16-, 32-, 64-bit, with
 * a change of privilege and copied parameters), and to tasks.
 */
#include "engine/soft/system.h"

/* What a far transfer goes to, after its checks. */
struct target {
	struct sys_desc cs;
	uint16_t sel;
	uint64_t ip;
	unsigned cpl;  /* the new one */
	unsigned size; /* of what a call pushes */
	unsigned params;
};

static void enter(struct soft_vcpu *v, struct target *t)
{
	sys_set_cs(v, t->sel, &t->cs, t->cpl);
	v->s.rip = t->ip;
	soft_mode_changed(v);
}

/* A code segment without a gate: stays at the CPL. */
static void check_code(struct soft_vcpu *v, struct target *t)
{
	unsigned dpl = sys_dpl(&t->cs);
	bool bad = sys_is_conforming(&t->cs) ? dpl > v->s.cpl
					     : dpl != v->s.cpl || (t->sel & 3u) > v->s.cpl;

	if (bad || sys_bad_long(v, &t->cs))
		sys_fault(v, X86_EXC_GP, t->sel);
	if (!sys_present(&t->cs))
		sys_fault(v, X86_EXC_NP, t->sel);
	t->cpl = v->s.cpl;
}

/* The gate's own code segment. may_rise: a call, which may go to an inner level. */
static void check_gate_code(struct soft_vcpu *v, struct target *t, bool may_rise)
{
	if (sys_null(t->sel))
		soft_raise_err(v, X86_EXC_GP, 0);
	if (!sys_find(v, t->sel, &t->cs) || !sys_is_code(&t->cs) || sys_dpl(&t->cs) > v->s.cpl)
		sys_fault(v, X86_EXC_GP, t->sel);
	if (v->long_mode && (!sys_is_long(&t->cs) || sys_is_db(&t->cs)))
		sys_fault(v, X86_EXC_GP, t->sel);
	if (!may_rise && !sys_is_conforming(&t->cs) && sys_dpl(&t->cs) != v->s.cpl)
		sys_fault(v, X86_EXC_GP, t->sel);
	if (!sys_present(&t->cs))
		sys_fault(v, X86_EXC_NP, t->sel);
	t->cpl = sys_is_conforming(&t->cs) ? v->s.cpl : sys_dpl(&t->cs);
}

static void read_gate(struct soft_vcpu *v, struct target *t, const struct sys_desc *gate,
		      uint16_t gate_sel)
{
	if (!sys_present(gate))
		sys_fault(v, X86_EXC_NP, gate_sel);
	t->sel = gate->raw >> 16 & 0xffff;
	t->ip = (gate->raw & 0xffff) | (gate->raw >> 48 << 16);
	t->params = gate->raw >> 32 & 0x1f;
	t->size = 4;
	if (v->long_mode) {
		t->ip |= gate->hi << 32;
		t->size = 8;
		t->params = 0;
	} else if (sys_type(gate) == SYS_CALL16) {
		t->ip &= 0xffff;
		t->size = 2;
	}
}

enum far_kind { FAR_DONE, FAR_CODE, FAR_GATE };

/* System descriptors: tasks are switched to here and then, gates are read into t. */
static enum far_kind through_system(struct soft_vcpu *v, const struct insn *i, struct target *t,
				    bool call)
{
	struct sys_desc d = t->cs;
	uint16_t sel = t->sel;
	enum sys_task_by by = call ? SYS_BY_CALL : SYS_BY_JUMP;
	bool task = sys_type(&d) == SYS_TSS16 || sys_type(&d) == SYS_TSS32;
	bool gate = sys_type(&d) == SYS_CALL32 || (sys_type(&d) == SYS_CALL16 && !v->long_mode);

	if (!gate && ((!task && sys_type(&d) != SYS_TASK_GATE) || v->long_mode))
		sys_fault(v, X86_EXC_GP, sel);
	if (sys_dpl(&d) < v->s.cpl || sys_dpl(&d) < (sel & 3u))
		sys_fault(v, X86_EXC_GP, sel);
	if (gate) {
		if (v->long_mode && (!sys_find_wide(v, sel, &d) || (d.hi >> 40 & 0x1f) != 0))
			sys_fault(v, X86_EXC_GP, sel);
		read_gate(v, t, &d, sel);
		check_gate_code(v, t, call);
		sys_check_ip(v, &t->cs, t->ip);
		return FAR_GATE;
	}
	if (!sys_present(&d))
		sys_fault(v, X86_EXC_NP, sel);
	if (!task) {
		sel = d.raw >> 16 & 0xffff;
		sys_task_gate_tss(v, sel, &d);
	}
	sys_task_switch(v, sel, &d, by, sys_next_ip(i));
	return FAR_DONE;
}

/* Protected mode: resolves sel:ip. */
static enum far_kind resolve(struct soft_vcpu *v, const struct insn *i, struct target *t, bool call)
{
	if (sys_null(t->sel))
		soft_raise_err(v, X86_EXC_GP, 0);
	if (!sys_find(v, t->sel, &t->cs))
		sys_fault(v, X86_EXC_GP, t->sel);
	if (!sys_is_seg(&t->cs))
		return through_system(v, i, t, call);
	if (!sys_is_code(&t->cs))
		sys_fault(v, X86_EXC_GP, t->sel);
	check_code(v, t);
	return FAR_CODE;
}

static void real_jump(struct soft_vcpu *v, uint16_t sel, uint64_t ip)
{
	if (ip > v->s.seg[X86_CS].limit)
		soft_raise_err(v, X86_EXC_GP, 0);
	sys_real_seg(v, X86_CS, sel);
	v->s.rip = ip;
	soft_mode_changed(v);
}

static void jump_to(struct soft_vcpu *v, const struct insn *i, uint16_t sel, uint64_t ip)
{
	struct target t = { .sel = sel, .ip = ip };

	if (!v->protected || v->v86) {
		real_jump(v, sel, ip);
		return;
	}
	switch (resolve(v, i, &t, false)) {
	case FAR_CODE:
		sys_check_ip(v, &t.cs, t.ip);
		enter(v, &t);
		break;
	case FAR_GATE:
		enter(v, &t);
		break;
	case FAR_DONE:
		break;
	}
}

static void push_return(struct soft_vcpu *v, const struct insn *i, struct sys_stack *st,
			unsigned size)
{
	sys_stack_push(v, st, size, v->s.seg[X86_CS].sel);
	sys_stack_push(v, st, size, sys_next_ip(i));
}

static void call_same(struct soft_vcpu *v, const struct insn *i, struct target *t)
{
	struct sys_stack st;

	sys_stack_current(v, &st);
	if (v->long_mode && t->size == 8)
		sys_stack_new64(&st, v->s.gpr[X86_RSP], v->s.cpl, 0);
	sys_stack_room(v, &st, 2 * t->size);
	sys_check_ip(v, &t->cs, t->ip);
	sys_set_accessed(v, &t->cs);
	push_return(v, i, &st, t->size);
	sys_stack_commit(v, &st);
	enter(v, t);
}

/* Call gate to an inner level in long mode: RSPn, SS becomes null. */
static void call_inner64(struct soft_vcpu *v, const struct insn *i, struct target *t)
{
	struct sys_stack st;
	uint16_t old_ss = v->s.seg[X86_SS].sel;
	uint64_t old_rsp = v->s.gpr[X86_RSP];

	sys_stack_new64(&st, sys_tss_rsp(v, t->cpl), t->cpl, 0);
	sys_stack_room(v, &st, 4 * 8);
	sys_set_accessed(v, &t->cs);
	sys_stack_push(v, &st, 8, old_ss);
	sys_stack_push(v, &st, 8, old_rsp);
	push_return(v, i, &st, 8);
	v->s.gpr[X86_RSP] = st.sp;
	enter(v, t);
	sys_null_seg(v, X86_SS, (uint16_t)t->cpl);
	soft_mode_changed(v);
}

static void copy_params(struct soft_vcpu *v, struct sys_stack *to, const struct target *t)
{
	uint64_t words[32];
	struct sys_stack from;

	sys_stack_current(v, &from);
	for (unsigned n = 0; n < t->params; n++)
		words[n] = sys_stack_pop(v, &from, t->size);
	for (unsigned n = t->params; n-- > 0;)
		sys_stack_push(v, to, t->size, words[n]);
}

static void call_inner(struct soft_vcpu *v, const struct insn *i, struct target *t)
{
	struct sys_stack st;
	struct sys_desc ss;
	struct x86_seg_state ss_state;
	uint16_t ss_sel, old_ss = v->s.seg[X86_SS].sel;
	uint32_t esp;
	uint64_t old_esp = v->s.gpr[X86_RSP];

	sys_tss_stack(v, t->cpl, &ss_sel, &esp);
	sys_check_ss(v, ss_sel, t->cpl, X86_EXC_TS, &ss);
	sys_fill(&ss_state, ss_sel, &ss);
	sys_stack_new(&st, &ss_state, esp, t->cpl, ss_sel);
	sys_stack_room(v, &st, (4 + t->params) * t->size);
	sys_set_accessed(v, &t->cs);
	sys_set_accessed(v, &ss);
	sys_stack_push(v, &st, t->size, old_ss);
	sys_stack_push(v, &st, t->size, old_esp);
	copy_params(v, &st, t);
	push_return(v, i, &st, t->size);
	sys_set_seg(v, X86_SS, ss_sel, &ss);
	v->s.gpr[X86_RSP] = st.mask == 0xffff ? (esp & 0xffff0000u) | st.sp : st.sp;
	enter(v, t);
}

static void real_call(struct soft_vcpu *v, const struct insn *i, uint16_t sel, uint64_t ip)
{
	struct sys_stack st;

	sys_stack_current(v, &st);
	sys_stack_room(v, &st, 2u * i->op_size);
	if (ip > v->s.seg[X86_CS].limit)
		soft_raise_err(v, X86_EXC_GP, 0);
	push_return(v, i, &st, i->op_size);
	sys_stack_commit(v, &st);
	real_jump(v, sel, ip);
}

static void call_to(struct soft_vcpu *v, const struct insn *i, uint16_t sel, uint64_t ip)
{
	struct target t = { .sel = sel, .ip = ip, .size = i->op_size };

	if (!v->protected || v->v86) {
		real_call(v, i, sel, ip);
		return;
	}
	switch (resolve(v, i, &t, true)) {
	case FAR_CODE:
		call_same(v, i, &t);
		break;
	case FAR_GATE:
		if (t.cpl == v->s.cpl)
			call_same(v, i, &t);
		else if (v->long_mode)
			call_inner64(v, i, &t);
		else
			call_inner(v, i, &t);
		break;
	case FAR_DONE:
		break;
	}
}

static uint64_t load_ptr(struct soft_vcpu *v, const struct insn *i, uint16_t *ret_sel)
{
	uint64_t a = soft_ea(v, i, i->op_size + 2u, false), ip;

	if (i->op_size == 8)
		ip = soft_ld64(v, a);
	else
		ip = i->op_size == 4 ? soft_ld32(v, a) : soft_ld16(v, a);
	*ret_sel = soft_ld16(v, a + i->op_size);
	return ip;
}

/* Direct: the selector is in dst, the offset in imm. */
static void jmp_direct(struct soft_vcpu *v, const struct insn *i)
{
	jump_to(v, i, i->dst, i->imm);
}

static void call_direct(struct soft_vcpu *v, const struct insn *i)
{
	call_to(v, i, i->dst, i->imm);
}

static void jmp_mem(struct soft_vcpu *v, const struct insn *i)
{
	uint16_t sel;
	uint64_t ip = load_ptr(v, i, &sel);

	jump_to(v, i, sel, ip);
}

static void call_mem(struct soft_vcpu *v, const struct insn *i)
{
	uint16_t sel;
	uint64_t ip = load_ptr(v, i, &sel);

	call_to(v, i, sel, ip);
}

/* ---- far return ---- */

static void ret_check_cs(struct soft_vcpu *v, uint16_t sel, struct sys_desc *d)
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

static void ret_outer(struct soft_vcpu *v, const struct insn *i, struct target *t,
		      struct sys_stack *st)
{
	struct sys_desc ss;
	struct sys_stack outer;
	struct x86_seg_state ss_state;
	bool null_ss;

	st->sp = (st->sp + i->imm) & st->mask;
	uint64_t sp = sys_stack_pop(v, st, i->op_size);
	uint16_t ss_sel = (uint16_t)sys_stack_pop(v, st, i->op_size);

	null_ss = sys_null(ss_sel) && sys_code64(v, &t->cs) && t->cpl != 3 &&
		  (ss_sel & 3) == t->cpl;
	if (!null_ss)
		sys_check_ss(v, ss_sel, t->cpl, X86_EXC_GP, &ss);
	sys_check_ip(v, &t->cs, t->ip);
	sys_set_accessed(v, &t->cs);
	if (!null_ss)
		sys_set_accessed(v, &ss);
	sys_set_cs(v, t->sel, &t->cs, t->cpl);
	if (null_ss)
		sys_null_seg(v, X86_SS, ss_sel);
	else
		sys_set_seg(v, X86_SS, ss_sel, &ss);
	ss_state = v->s.seg[X86_SS];
	if (sys_code64(v, &t->cs))
		sys_stack_new64(&outer, sp, t->cpl, 0);
	else
		sys_stack_new(&outer, &ss_state, sp, t->cpl, 0);
	outer.sp += i->imm;
	v->s.rip = t->ip;
	sys_stack_commit(v, &outer);
	sys_drop_segs(v);
	soft_mode_changed(v);
}

static void ret_far(struct soft_vcpu *v, const struct insn *i)
{
	struct target t = { 0 };
	struct sys_stack st;

	sys_stack_current(v, &st);
	t.ip = sys_stack_pop(v, &st, i->op_size);
	t.sel = (uint16_t)sys_stack_pop(v, &st, i->op_size);
	if (!v->protected || v->v86) {
		real_jump(v, t.sel, t.ip);
		st.sp += i->imm;
		sys_stack_commit(v, &st);
		return;
	}
	ret_check_cs(v, t.sel, &t.cs);
	t.cpl = t.sel & 3;
	if (t.cpl != v->s.cpl) {
		ret_outer(v, i, &t, &st);
		return;
	}
	sys_check_ip(v, &t.cs, t.ip);
	sys_set_accessed(v, &t.cs);
	st.sp += i->imm;
	sys_stack_commit(v, &st);
	enter(v, &t);
}

SYS_SELECTOR(far)
{
	ZydisMnemonic m = d->z.mnemonic;

	if (d->z.meta.branch_type != ZYDIS_BRANCH_TYPE_FAR)
		return false;
	i->flags |= INSN_END;
	i->op_size = d->z.operand_width / 8;
	/* AMD has no far pointers with 64-bit offsets; far returns have them everywhere. */
	if (m != ZYDIS_MNEMONIC_RET && i->op_size == 8 && sys_model(d->v)->amd)
		i->op_size = 4;
	if (m == ZYDIS_MNEMONIC_RET) {
		i->fn = ret_far;
		i->imm = d->z.operand_count_visible > 0 ? d->op[0].imm.value.u & 0xffff : 0;
		return true;
	}
	if (d->op[0].type == ZYDIS_OPERAND_TYPE_POINTER) {
		i->fn = m == ZYDIS_MNEMONIC_CALL ? call_direct : jmp_direct;
		i->dst = d->op[0].ptr.segment;
		i->imm = d->op[0].ptr.offset;
		if (i->op_size == 2)
			i->imm &= 0xffff;
		return true;
	}
	i->fn = m == ZYDIS_MNEMONIC_CALL ? call_mem : jmp_mem;
	return d->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
}
