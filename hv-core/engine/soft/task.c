/*
 * Hardware task switches between 16- and 32-bit TSSs: by jump, call, IRET and through task gates.
 * Intel SDM vol. 3 chapter 7 (steps and the table of checks there).
 */
#include "engine/soft/system.h"

#define TSS16_MIN_LIMIT 43u
#define TSS32_MIN_LIMIT 103u
#define DR6_BT 0x8000ull
#define DR7_LOCAL 0x155ull /* L0-L3, LE */

/* A TSS' contents, of either size. */
struct task {
	uint32_t cr3, eip, eflags, gpr[8];
	uint16_t seg[6], ldt, link;
	bool trap;
};

static const uint8_t seg_order[6] = { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS };

static uint32_t rd(struct soft_vcpu *v, uint32_t base, unsigned off, unsigned size)
{
	return (uint32_t)soft_sys_read(v, (uint32_t)(base + off), size);
}

static void wr(struct soft_vcpu *v, uint32_t base, unsigned off, unsigned size, uint32_t x)
{
	soft_sys_write(v, (uint32_t)(base + off), size, x);
}

static void read_task(struct soft_vcpu *v, uint32_t base, bool is32, struct task *t)
{
	*t = (struct task){ .link = (uint16_t)rd(v, base, 0, 2) };
	if (!is32) {
		t->eip = rd(v, base, 14, 2);
		t->eflags = rd(v, base, 16, 2);
		for (unsigned n = 0; n < 8; n++)
			t->gpr[n] = rd(v, base, 18 + 2 * n, 2);
		for (unsigned n = 0; n < 4; n++)
			t->seg[n] = (uint16_t)rd(v, base, 34 + 2 * n, 2);
		t->ldt = (uint16_t)rd(v, base, 42, 2);
		return;
	}
	t->cr3 = rd(v, base, 28, 4);
	t->eip = rd(v, base, 32, 4);
	t->eflags = rd(v, base, 36, 4);
	for (unsigned n = 0; n < 8; n++)
		t->gpr[n] = rd(v, base, 40 + 4 * n, 4);
	for (unsigned n = 0; n < 6; n++)
		t->seg[n] = (uint16_t)rd(v, base, 72 + 4 * n, 2);
	t->ldt = (uint16_t)rd(v, base, 96, 2);
	t->trap = rd(v, base, 100, 2) & 1;
}

static void save_task(struct soft_vcpu *v, uint32_t base, bool is32, uint32_t eip, uint32_t eflags)
{
	unsigned w = is32 ? 4 : 2;

	wr(v, base, is32 ? 32 : 14, w, eip);
	wr(v, base, is32 ? 36 : 16, w, eflags);
	for (unsigned n = 0; n < 8; n++)
		wr(v, base, (is32 ? 40 : 18) + w * n, w, (uint32_t)v->s.gpr[n]);
	for (unsigned n = 0; n < (is32 ? 6u : 4u); n++)
		wr(v, base, (is32 ? 72 : 34) + w * n, 2, v->s.seg[seg_order[n]].sel);
}

/* ---- the new task's own faults ---- */

static _Noreturn void bad_ts(struct soft_vcpu *v, uint16_t sel)
{
	sys_fault(v, X86_EXC_TS, sel);
}

static void load_ldt(struct soft_vcpu *v, uint16_t sel)
{
	struct sys_desc d;

	v->s.seg[X86_LDTR] = (struct x86_seg_state){ .sel = sel };
	if (sys_null(sel))
		return;
	if ((sel & 4) || !sys_find(v, sel, &d) || sys_is_seg(&d) || sys_type(&d) != SYS_LDT ||
	    !sys_present(&d))
		bad_ts(v, sel);
	sys_fill(&v->s.seg[X86_LDTR], sel, &d);
}

static void load_cs(struct soft_vcpu *v, uint16_t sel)
{
	struct sys_desc d;

	if (sys_null(sel) || !sys_find(v, sel, &d) || !sys_is_code(&d) ||
	    (sys_is_conforming(&d) ? sys_dpl(&d) > (sel & 3u) : sys_dpl(&d) != (sel & 3u)))
		bad_ts(v, sel);
	if (!sys_present(&d))
		sys_fault(v, X86_EXC_NP, sel);
	sys_set_cs(v, sel, &d, sel & 3);
}

static void load_data(struct soft_vcpu *v, enum x86_seg seg, uint16_t sel)
{
	struct sys_desc d;

	if (sys_null(sel))
		return;
	if (!sys_find(v, sel, &d) || !sys_is_seg(&d) ||
	    (sys_is_code(&d) && !(sys_type(&d) & X86_SEG_RW)) ||
	    (!(sys_is_code(&d) && sys_is_conforming(&d)) &&
	     (sys_dpl(&d) < v->s.cpl || sys_dpl(&d) < (sel & 3u))))
		bad_ts(v, sel);
	if (!sys_present(&d))
		sys_fault(v, X86_EXC_NP, sel);
	sys_set_seg(v, seg, sel, &d);
}

/*
 * Before the checks: what can be loaded is loaded, so that the handler of a fault among them finds
 * a stack and data as the new task has them.
 */
static void preload(struct soft_vcpu *v, const struct task *t)
{
	struct sys_desc d;

	for (unsigned n = 0; n < 6; n++)
		if (!sys_null(t->seg[n]) && sys_find(v, t->seg[n], &d) && sys_is_seg(&d) &&
		    sys_present(&d) && sys_is_code(&d) == (seg_order[n] == X86_CS))
			sys_fill(&v->s.seg[seg_order[n]], t->seg[n], &d);
}

static void load_segs(struct soft_vcpu *v, const struct task *t)
{
	struct sys_desc ss;

	load_ldt(v, t->ldt);
	if (t->eflags & X86_FL_VM) {
		sys_v86_segs(v, t->seg);
		v->s.cpl = 3;
	} else {
		preload(v, t);
		load_cs(v, t->seg[1]);
		sys_check_ss(v, t->seg[2], v->s.cpl, X86_EXC_TS, &ss);
		sys_set_seg(v, X86_SS, t->seg[2], &ss);
		load_data(v, X86_ES, t->seg[0]);
		load_data(v, X86_DS, t->seg[3]);
		load_data(v, X86_FS, t->seg[4]);
		load_data(v, X86_GS, t->seg[5]);
	}
	if (t->eip > v->s.seg[X86_CS].limit)
		soft_raise_err(v, X86_EXC_GP, v->is_delivering);
}

static void load_registers(struct soft_vcpu *v, const struct task *t, bool is32)
{
	v->s.rip = t->eip;
	soft_set_rflags(v, t->eflags & 0x3f7fd5);
	for (unsigned n = 0; n < 8; n++)
		v->s.gpr[n] = is32 ? t->gpr[n] : 0xffff0000u | t->gpr[n];
	/* The CPL that the selector says, from here on: faults below are the new task's. */
	v->s.cpl = t->eflags & X86_FL_VM ? 3 : t->seg[1] & 3;
	for (unsigned n = 0; n < 6; n++)
		v->s.seg[seg_order[n]] = (struct x86_seg_state){ .sel = t->seg[n] };
	v->s.dr7 &= ~DR7_LOCAL;
	v->s.cr0 |= X86_CR0_TS;
}

static void load_cr3(struct soft_vcpu *v, const struct task *t)
{
	if (!v->paging || t->cr3 == v->s.cr3)
		return;
	if ((v->s.cr4 & X86_CR4_PAE) && !soft_load_pdptes(v, t->cr3))
		sys_fault(v, X86_EXC_TS, v->s.seg[X86_TR].sel);
	v->s.cr3 = t->cr3;
	soft_tlb_flush_nonglobal(v);
}

/* Everything that can fault in the old task. */
static void prepare(struct soft_vcpu *v, uint16_t sel, struct sys_desc *d, enum sys_task_by by,
		    struct task *t)
{
	bool is32 = sys_type(d) & 8, old32 = v->s.seg[X86_TR].attr & 8;
	uint32_t base = sys_base(d), old = (uint32_t)v->s.seg[X86_TR].base;
	struct sys_desc old_desc;

	if (sys_limit(d) < (is32 ? TSS32_MIN_LIMIT : TSS16_MIN_LIMIT))
		sys_fault(v, X86_EXC_TS, sel);
	read_task(v, base, is32, t);
	soft_sys_probe(v, old, old32 ? TSS32_MIN_LIMIT + 1 : TSS16_MIN_LIMIT + 1, true);
	if (by == SYS_BY_CALL || by == SYS_BY_EVENT)
		soft_sys_probe(v, base, 2, true);
	if (by != SYS_BY_IRET)
		sys_probe_type(v, d);
	if ((by == SYS_BY_JUMP || by == SYS_BY_IRET) &&
	    sys_find(v, v->s.seg[X86_TR].sel, &old_desc))
		sys_probe_type(v, &old_desc);
}

/* Writes to memory and TR: the point of no return. */
static void commit(struct soft_vcpu *v, uint16_t sel, struct sys_desc *d, enum sys_task_by by,
		   uint32_t next_ip, struct task *t)
{
	struct x86_seg_state *tr = &v->s.seg[X86_TR];
	uint32_t eflags = (uint32_t)soft_rflags(v);
	struct sys_desc old;

	if (by == SYS_BY_IRET)
		eflags &= ~X86_FL_NT;
	if ((by == SYS_BY_JUMP || by == SYS_BY_IRET) && sys_find(v, tr->sel, &old))
		sys_set_busy(v, &old, false);
	save_task(v, (uint32_t)tr->base, tr->attr & 8, next_ip, eflags);
	if (by == SYS_BY_CALL || by == SYS_BY_EVENT) {
		wr(v, sys_base(d), 0, 2, tr->sel);
		t->eflags |= X86_FL_NT;
	}
	if (by != SYS_BY_IRET)
		sys_set_busy(v, d, true);
	sys_fill(tr, sel, d);
	tr->attr |= 2;
}

void sys_task_switch(struct soft_vcpu *v, uint16_t sel, struct sys_desc *d, enum sys_task_by by,
		     uint64_t next_ip)
{
	const struct insn *cur = v->cur;
	bool is32 = sys_type(d) & 8;
	struct task t;

	prepare(v, sel, d, by, &t);
	commit(v, sel, d, by, (uint32_t)next_ip, &t);
	v->cur = NULL; /* raises from here on leave RIP as it is: they are the new task's */
	load_registers(v, &t, is32);
	soft_mode_changed(v);
	if (is32)
		load_cr3(v, &t);
	load_segs(v, &t);
	if (t.trap)
		v->sys.dr6_pending |= DR6_BT;
	soft_mode_changed(v);
	v->cur = cur;
}

void sys_task_gate_tss(struct soft_vcpu *v, uint16_t sel, struct sys_desc *ret)
{
	if ((sel & 4) || sys_null(sel) || !sys_find(v, sel, ret) || sys_is_seg(ret) ||
	    (sys_type(ret) != SYS_TSS16 && sys_type(ret) != SYS_TSS32))
		sys_fault(v, X86_EXC_GP, sel);
	if (!sys_present(ret))
		sys_fault(v, X86_EXC_NP, sel);
}
