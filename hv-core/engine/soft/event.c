/*
 * Delivery of exceptions and interrupts: real-mode vector table, 16- and 32-bit gates, task gates,
 * 64-bit gates with interrupt stacks; software interrupts with their privilege checks; double and
 * triple faults. Intel SDM vol. 3 chapter 6; AMD64 manual vol. 2 chapter 8.
 */
#include "engine/soft/system.h"
#include "cpu/trace_points.h"

/* One delivery under way. */
struct delivery {
	uint8_t vector;
	bool soft; /* INT n, INT3, INTO: gate's DPL is checked */
	bool has_error;
	uint32_t error;
	uint64_t ip;	/* pushed */
	uint64_t flags; /* pushed */
	uint16_t idt_error;
};

/* ---- real mode ---- */

static void deliver_real(struct soft_vcpu *v, const struct delivery *d)
{
	struct sys_stack st;
	uint64_t entry;

	if (d->vector * 4u + 3 > v->s.idt_limit)
		soft_raise_err(v, X86_EXC_GP, d->idt_error);
	entry = soft_sys_read(v, (uint32_t)(v->s.idt_base + d->vector * 4u), 4);
	sys_stack_current(v, &st);
	sys_stack_room(v, &st, 6);
	sys_stack_push(v, &st, 2, d->flags);
	sys_stack_push(v, &st, 2, v->s.seg[X86_CS].sel);
	sys_stack_push(v, &st, 2, d->ip);
	sys_stack_commit(v, &st);
	soft_set_rflags(v, soft_rflags(v) &
				   ~(uint64_t)(X86_FL_IF | X86_FL_TF | X86_FL_AC | X86_FL_RF));
	sys_real_seg(v, X86_CS, entry >> 16 & 0xffff);
	v->s.rip = entry & 0xffff;
}

/* ---- protected mode ---- */

/* The code segment of an interrupt or trap gate; returns the new CPL. */
static unsigned gate_cs(struct soft_vcpu *v, uint16_t sel, struct sys_desc *cs)
{
	if (sys_null(sel))
		soft_raise_err(v, X86_EXC_GP, v->is_delivering);
	if (!sys_find(v, sel, cs) || !sys_is_code(cs) || sys_dpl(cs) > v->s.cpl)
		sys_fault(v, X86_EXC_GP, sel);
	if (v->long_mode && (!sys_is_long(cs) || sys_is_db(cs)))
		sys_fault(v, X86_EXC_GP, sel);
	if (v->v86 && (sys_is_conforming(cs) || sys_dpl(cs) != 0))
		sys_fault(v, X86_EXC_GP, sel);
	if (!sys_present(cs))
		sys_fault(v, X86_EXC_NP, sel);
	return sys_is_conforming(cs) ? v->s.cpl : sys_dpl(cs);
}

static void enter_gate(struct soft_vcpu *v, bool interrupt, uint64_t ip)
{
	uint64_t clear = X86_FL_TF | X86_FL_NT | X86_FL_RF | X86_FL_VM;

	if (interrupt)
		clear |= X86_FL_IF;
	soft_set_rflags(v, soft_rflags(v) & ~clear);
	v->s.rip = ip;
}

static void push_frame(struct soft_vcpu *v, const struct delivery *d, struct sys_stack *st,
		       unsigned size)
{
	sys_stack_push(v, st, size, d->flags);
	sys_stack_push(v, st, size, v->s.seg[X86_CS].sel);
	sys_stack_push(v, st, size, d->ip);
	if (d->has_error)
		sys_stack_push(v, st, size, d->error);
}

static void same_level(struct soft_vcpu *v, const struct delivery *d, uint16_t sel,
		       struct sys_desc *cs, uint64_t ip, unsigned size)
{
	struct sys_stack st;

	sys_stack_current(v, &st);
	sys_stack_room(v, &st, (3u + d->has_error) * size);
	sys_check_ip(v, cs, ip);
	sys_set_accessed(v, cs);
	push_frame(v, d, &st, size);
	sys_stack_commit(v, &st);
	sys_set_cs(v, sel, cs, v->s.cpl);
}

static void inner_level(struct soft_vcpu *v, const struct delivery *d, uint16_t sel,
			struct sys_desc *cs, uint64_t ip, unsigned size, unsigned cpl)
{
	static const uint8_t v86_segs[] = { X86_GS, X86_FS, X86_DS, X86_ES };
	struct sys_stack st;
	struct sys_desc ss;
	struct x86_seg_state ss_state;
	uint16_t ss_sel;
	uint32_t esp;

	sys_tss_stack(v, cpl, &ss_sel, &esp);
	sys_check_ss(v, ss_sel, cpl, X86_EXC_TS, &ss);
	sys_fill(&ss_state, ss_sel, &ss);
	sys_stack_new(&st, &ss_state, esp, cpl, ss_sel);
	sys_stack_room(v, &st, (5u + d->has_error + (v->v86 ? 4 : 0)) * size);
	sys_check_ip(v, cs, ip);
	sys_set_accessed(v, cs);
	sys_set_accessed(v, &ss);
	for (unsigned n = 0; v->v86 && n < HV_ARRAY_LEN(v86_segs); n++)
		sys_stack_push(v, &st, size, v->s.seg[v86_segs[n]].sel);
	sys_stack_push(v, &st, size, v->s.seg[X86_SS].sel);
	sys_stack_push(v, &st, size, v->s.gpr[X86_RSP]);
	push_frame(v, d, &st, size);
	for (unsigned n = 0; v->v86 && n < HV_ARRAY_LEN(v86_segs); n++)
		sys_null_seg(v, v86_segs[n], 0);
	sys_set_seg(v, X86_SS, ss_sel, &ss);
	v->s.gpr[X86_RSP] = esp;
	sys_stack_commit(v, &st);
	sys_set_cs(v, sel, cs, cpl);
}

static void through_task(struct soft_vcpu *v, const struct delivery *d, uint16_t sel)
{
	struct sys_desc tss;
	struct sys_stack st;

	sys_task_gate_tss(v, sel, &tss);
	sys_task_switch(v, sel, &tss, SYS_BY_EVENT, d->ip);
	if (!d->has_error)
		return;
	sys_stack_current(v, &st);
	sys_stack_push(v, &st, sys_type(&tss) & 8 ? 4 : 2, d->error);
	sys_stack_commit(v, &st);
}

static void deliver_protected(struct soft_vcpu *v, const struct delivery *d)
{
	struct sys_desc gate = { 0 }, cs;
	uint64_t ip;
	unsigned type, size, cpl;
	uint16_t sel;

	if (d->vector * 8u + 7 > v->s.idt_limit)
		soft_raise_err(v, X86_EXC_GP, d->idt_error);
	gate.raw = soft_sys_read(v, (uint32_t)(v->s.idt_base + d->vector * 8u), 8);
	type = gate.raw >> 40 & 0x1f;
	if (type != SYS_TASK_GATE && (type & 0x17) != SYS_INT16 && (type & 0x17) != SYS_TRAP16)
		soft_raise_err(v, X86_EXC_GP, d->idt_error);
	if (d->soft && sys_dpl(&gate) < v->s.cpl)
		soft_raise_err(v, X86_EXC_GP, d->idt_error);
	if (!sys_present(&gate))
		soft_raise_err(v, X86_EXC_NP, d->idt_error);
	sel = gate.raw >> 16 & 0xffff;
	if (type == SYS_TASK_GATE) {
		through_task(v, d, sel);
		return;
	}
	size = type & 8 ? 4 : 2;
	ip = gate.raw & 0xffff;
	if (size == 4)
		ip |= gate.raw >> 48 << 16;
	cpl = gate_cs(v, sel, &cs);
	if (cpl == v->s.cpl)
		same_level(v, d, sel, &cs, ip, size);
	else
		inner_level(v, d, sel, &cs, ip, size, cpl);
	enter_gate(v, !(type & 1), ip);
}

/* ---- long mode ---- */

static void deliver_long(struct soft_vcpu *v, const struct delivery *d)
{
	struct sys_desc gate = { 0 }, cs;
	struct sys_stack st;
	uint64_t addr = v->s.idt_base + d->vector * 16u, ip, rsp = v->s.gpr[X86_RSP];
	unsigned type, cpl, ist;
	uint16_t sel;

	if (d->vector * 16u + 15 > v->s.idt_limit)
		soft_raise_err(v, X86_EXC_GP, d->idt_error);
	gate.raw = soft_sys_read(v, addr, 8);
	gate.hi = soft_sys_read(v, addr + 8, 8);
	type = gate.raw >> 40 & 0x1f;
	if ((type != SYS_INT32 && type != SYS_TRAP32) || (d->soft && sys_dpl(&gate) < v->s.cpl))
		soft_raise_err(v, X86_EXC_GP, d->idt_error);
	if (!sys_present(&gate))
		soft_raise_err(v, X86_EXC_NP, d->idt_error);
	sel = gate.raw >> 16 & 0xffff;
	ip = (gate.raw & 0xffff) | (gate.raw >> 48 << 16) | gate.hi << 32;
	cpl = gate_cs(v, sel, &cs);
	ist = gate.raw >> 32 & 7;
	if (ist != 0)
		rsp = sys_tss_rsp(v, 3 + ist);
	else if (cpl != v->s.cpl)
		rsp = sys_tss_rsp(v, cpl);
	sys_stack_new64(&st, rsp & ~15ull, cpl, 0);
	sys_stack_room(v, &st, (5u + d->has_error) * 8);
	sys_check_ip(v, &cs, ip);
	sys_set_accessed(v, &cs);
	sys_stack_push(v, &st, 8, v->s.seg[X86_SS].sel);
	sys_stack_push(v, &st, 8, v->s.gpr[X86_RSP]);
	push_frame(v, d, &st, 8);
	bool inner = cpl != v->s.cpl;

	sys_set_cs(v, sel, &cs, cpl);
	if (inner)
		sys_null_seg(v, X86_SS, (uint16_t)cpl);
	v->s.gpr[X86_RSP] = st.sp;
	enter_gate(v, !(type & 1), ip);
}

static void deliver(struct soft_vcpu *v, const struct delivery *d)
{
	if (!v->protected)
		deliver_real(v, d);
	else if (v->long_mode)
		deliver_long(v, d);
	else
		deliver_protected(v, d);
	v->s.sti_shadow = 0;
	v->s.movss_shadow = 0;
	v->sys.tf_start = false; /* single-step is over for the interrupted instruction */
	soft_mode_changed(v);
}

/* ---- what is delivered ---- */

static bool is_contributory(uint8_t vector)
{
	return vector == X86_EXC_DE || (vector >= X86_EXC_TS && vector <= X86_EXC_GP);
}

/* A second exception while the first was being delivered: false: the CPU shuts down. */
static bool combine(const struct soft_event *first, struct soft_event *ev)
{
	bool second_bad = is_contributory(ev->vector) || ev->vector == X86_EXC_PF;
	bool double_fault = false;

	if (first->kind != 0 || ev->kind != 0)
		return true; /* interrupts are benign: the second is handled in their place */
	if (first->vector == X86_EXC_DF)
		return !second_bad;
	if (is_contributory(first->vector))
		double_fault = is_contributory(ev->vector);
	else if (first->vector == X86_EXC_PF)
		double_fault = second_bad;
	if (double_fault)
		*ev = (struct soft_event){ .vector = X86_EXC_DF, .has_error = true };
	return true;
}

/* Faults push RF set, so that the handler's return does not hit a code breakpoint again. */
static bool pushes_rf(const struct soft_event *ev)
{
	return ev->kind == 0 && !ev->is_int1 && ev->vector != X86_EXC_DB &&
	       ev->vector != X86_EXC_BP && ev->vector != X86_EXC_OF;
}

static void take_registers(struct soft_vcpu *v, const struct soft_event *ev)
{
	if (ev->vector == X86_EXC_DB && !ev->is_int1) {
		v->s.dr6 = (v->s.dr6 & ~0xfull) | ev->dr6;
		v->s.dr7 &= ~0x2000ull; /* GD */
	}
	v->sys.dr6_pending = 0;
}

void soft_deliver(struct soft_vcpu *v)
{
	struct soft_event ev = v->event;
	struct delivery d;

	v->event_valid = false;
	/* The caller parked the FPU: the log may be called. */
	TRACE(soft_event, "vcpu%u: vector %u, kind %u, error %#x, rip %#llx", v->hv->index,
	      ev.vector, ev.kind, ev.error, (unsigned long long)v->s.rip);
	if (ev.kind == 0 && ev.vector == X86_EXC_PF)
		v->s.cr2 = ev.cr2;
	if (v->is_delivering && !combine(&v->delivering, &ev)) {
		v->is_delivering = false;
		soft_exit(v, HV_EXIT_SHUTDOWN);
		return;
	}
	if (ev.kind != 0)
		v->stats.interrupts++;
	v->s.mp_state = X86_MP_RUNNING;
	v->delivering = ev;
	/* A software interrupt that was pending in a loaded state is as good as in its instruction.
	 */
	v->is_delivering = ev.kind != 1;
	if (ev.kind == 0)
		take_registers(v, &ev);
	d = (struct delivery){
		.vector = ev.vector,
		.soft = ev.kind == 1,
		.has_error = ev.has_error && v->protected,
		.error = ev.error,
		.ip = v->s.rip,
		.flags = soft_rflags(v) | (pushes_rf(&ev) ? X86_FL_RF : 0),
		.idt_error = (uint16_t)(ev.vector * 8u + 2 + v->is_delivering),
	};
	deliver(v, &d);
	v->is_delivering = false;
}

bool soft_poll_events(struct soft_vcpu *v)
{
	uint32_t requests = atomic_load_explicit(&v->hv->requests, memory_order_acquire);

	if (v->event_valid)
		return true;
	if (v->s.movss_shadow)
		return false;
	if (v->sys.dr6_pending != 0) {
		v->event = (struct soft_event){ .vector = X86_EXC_DB, .dr6 = v->sys.dr6_pending };
		return v->event_valid = true;
	}
	if (v->s.sti_shadow)
		return false;
	if (requests & HV_REQ_NMI) {
		atomic_fetch_and(&v->hv->requests, ~(uint32_t)HV_REQ_NMI);
		v->s.nmi_pending = 1;
	}
	if (v->s.nmi_pending && !v->s.nmi_masked) {
		v->s.nmi_pending = 0;
		v->s.nmi_masked = 1;
		v->event = (struct soft_event){ .vector = X86_EXC_NMI, .kind = 3 };
		return v->event_valid = true;
	}
	if (!(requests & HV_REQ_INTR) || !(v->s.rflags & X86_FL_IF) || v->hv->lapic == NULL)
		return false;
	soft_outside_begin(v);
	int vector = v->hv->lapic->intr_ack(v->hv->lapic_ctx);

	soft_outside_end(v);
	if (vector < 0)
		return false;
	v->event = (struct soft_event){ .vector = (uint8_t)vector, .kind = 2 };
	return v->event_valid = true;
}

/* ---- INT n, INT3, INTO, ICEBP ---- */

/* A trap that MOV SS holds back comes as one with ICEBP's own #DB, not in its handler. */
static void merge_pending(struct soft_vcpu *v)
{
	if (v->sys.dr6_pending == 0)
		return;
	v->s.dr6 = (v->s.dr6 & ~0xfull) | v->sys.dr6_pending;
	v->sys.dr6_pending = 0;
}

enum int_kind { INT_N, INT_3, INT_O, INT_1 }; /* in insn.cc */

static void int_fn(struct soft_vcpu *v, const struct insn *i)
{
	struct delivery d = {
		.vector = (uint8_t)i->imm,
		.soft = i->cc != INT_1,
		.ip = v->code64 ? sys_next_ip(i) : (uint32_t)sys_next_ip(i),
		.flags = soft_rflags(v) & ~(uint64_t)X86_FL_RF,
		.idt_error = (uint16_t)(i->imm * 8 + 2 + (i->cc == INT_1)),
	};

	if (i->cc == INT_O && !(v->fl & 1)) {
		sys_done(v, i);
		return;
	}
	if (i->cc == INT_1)
		merge_pending(v);
	if (i->cc == INT_N && v->v86 && sys_iopl(v) != 3)
		soft_raise_err(v, X86_EXC_GP, 0);
	deliver(v, &d);
}

SYS_SELECTOR(int)
{
	i->fn = int_fn;
	i->flags |= INSN_END;
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_INT1:
		i->imm = X86_EXC_DB;
		i->cc = INT_1;
		return true;
	case ZYDIS_MNEMONIC_INT3:
		i->imm = X86_EXC_BP;
		i->cc = INT_3;
		return true;
	case ZYDIS_MNEMONIC_INTO:
		i->imm = X86_EXC_OF;
		i->cc = INT_O;
		return true;
	default:
		i->imm = d->op[0].imm.value.u & 0xff;
		i->cc = INT_N;
		return true;
	}
}
