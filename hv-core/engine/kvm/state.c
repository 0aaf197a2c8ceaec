/*
 * A vCPU's state between the kernel's structures and x86_state. Only while it is not in KVM_RUN.
 * Requests that cannot fail for a vCPU that is there (the kernel copies fixed structures) are
 * checked where they set something that it may refuse.
 *
 * Not carried over: what kind of instruction a pending software interrupt was.
 */
#include "base/util.h"
#include "cpu/x86_defs.h"
#include "engine/kvm/kvm.h"

static int refused(struct err *e, const char *what, int r)
{
	return err_set(e, r, "KVM does not take the vCPU's %s: %s", what, strerror(-r));
}

/* ---- general registers ---- */

static void get_regs(struct kvm_vcpu *v, struct x86_state *s)
{
	struct kvm_regs r = { 0 };

	kvm_call(v->fd, KVM_GET_REGS, &r);
	const uint64_t gpr[16] = { r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi,
				   r.r8,  r.r9,	 r.r10, r.r11, r.r12, r.r13, r.r14, r.r15 };
	memcpy(s->gpr, gpr, sizeof(gpr));
	s->rip = r.rip;
	s->rflags = r.rflags;
}

static int set_regs(struct kvm_vcpu *v, const struct x86_state *s, struct err *e)
{
	const uint64_t *g = s->gpr;
	const struct kvm_regs r = {
		.rax = g[X86_RAX],
		.rcx = g[X86_RCX],
		.rdx = g[X86_RDX],
		.rbx = g[X86_RBX],
		.rsp = g[X86_RSP],
		.rbp = g[X86_RBP],
		.rsi = g[X86_RSI],
		.rdi = g[X86_RDI],
		.r8 = g[X86_R8],
		.r9 = g[X86_R9],
		.r10 = g[X86_R10],
		.r11 = g[X86_R11],
		.r12 = g[X86_R12],
		.r13 = g[X86_R13],
		.r14 = g[X86_R14],
		.r15 = g[X86_R15],
		.rip = s->rip,
		.rflags = s->rflags,
	};
	const int ret = kvm_call(v->fd, KVM_SET_REGS, &r);

	return ret < 0 ? refused(e, "registers", ret) : 0;
}

/* ---- segments and control registers ---- */

static void get_seg(const struct kvm_segment *k, struct x86_seg_state *s)
{
	s->base = k->base;
	s->limit = k->limit;
	s->sel = k->selector;
	s->attr = (uint16_t)((k->type & 15) | (k->s & 1) << 4 | (k->dpl & 3) << 5 |
			     (k->present && !k->unusable) << 7 | (k->avl & 1) << 12 |
			     (k->l & 1) << 13 | (k->db & 1) << 14 | (k->g & 1) << 15);
}

static struct kvm_segment seg_of(const struct x86_seg_state *s)
{
	return (struct kvm_segment){
		.base = s->base,
		.limit = s->limit,
		.selector = s->sel,
		.type = s->attr & 15,
		.s = s->attr >> 4 & 1,
		.dpl = s->attr >> 5 & 3,
		.present = s->attr >> 7 & 1,
		.unusable = !(s->attr & X86_SEG_P),
		.avl = s->attr >> 12 & 1,
		.l = s->attr >> 13 & 1,
		.db = s->attr >> 14 & 1,
		.g = s->attr >> 15 & 1,
	};
}

static uint8_t cpl_of(const struct x86_state *s)
{
	if (!(s->cr0 & X86_CR0_PE))
		return 0;
	return s->rflags & X86_FL_VM ? 3 : s->seg[X86_SS].attr >> X86_SEG_DPL_SHIFT & 3;
}

static void get_sregs(struct kvm_vcpu *v, struct x86_state *s)
{
	struct kvm_sregs r = { 0 };

	kvm_call(v->fd, KVM_GET_SREGS, &r);
	const struct kvm_segment *const seg[X86_NSEGS] = { &r.es, &r.cs, &r.ss,	 &r.ds,
							   &r.fs, &r.gs, &r.ldt, &r.tr };
	for (unsigned i = 0; i < X86_NSEGS; i++)
		get_seg(seg[i], &s->seg[i]);
	s->gdt_base = r.gdt.base;
	s->gdt_limit = r.gdt.limit;
	s->idt_base = r.idt.base;
	s->idt_limit = r.idt.limit;
	s->cr0 = r.cr0;
	s->cr2 = r.cr2;
	s->cr3 = r.cr3;
	s->cr4 = r.cr4;
	s->cr8 = r.cr8;
	s->efer = r.efer;
	s->apic_base = r.apic_base;
	s->cpl = cpl_of(s);
}

/* The base of the local APIC goes with its registers (apic.c): it stays as it is here. */
static int set_sregs(struct kvm_vcpu *v, const struct x86_state *s, struct err *e)
{
	struct kvm_sregs r = { 0 };
	struct kvm_segment *const seg[X86_NSEGS] = { &r.es, &r.cs, &r.ss,  &r.ds,
						     &r.fs, &r.gs, &r.ldt, &r.tr };

	kvm_call(v->fd, KVM_GET_SREGS, &r);
	for (unsigned i = 0; i < X86_NSEGS; i++)
		*seg[i] = seg_of(&s->seg[i]);
	/* To KVM it is the CPL. On AMD's processors SYSRET leaves the kernel's 0 there. */
	r.ss.dpl = s->cpl;
	r.gdt = (struct kvm_dtable){ .base = s->gdt_base, .limit = s->gdt_limit };
	r.idt = (struct kvm_dtable){ .base = s->idt_base, .limit = s->idt_limit };
	r.cr0 = s->cr0;
	r.cr2 = s->exc_pending && s->exc_kind == 0 && s->exc_vector == X86_EXC_PF
			? s->exc_cr2_or_dr6
			: s->cr2;
	r.cr3 = s->cr3;
	r.cr4 = s->cr4;
	r.cr8 = s->cr8;
	r.efer = s->efer;
	memset(r.interrupt_bitmap, 0, sizeof(r.interrupt_bitmap));
	const int ret = kvm_call(v->fd, KVM_SET_SREGS, &r);

	return ret < 0 ? refused(e, "control registers", ret) : 0;
}

/* ---- debug registers ---- */

static void get_debugregs(struct kvm_vcpu *v, struct x86_state *s)
{
	struct kvm_debugregs r = { 0 };

	kvm_call(v->fd, KVM_GET_DEBUGREGS, &r);
	memcpy(s->dr, r.db, sizeof(s->dr));
	s->dr6 = r.dr6;
	s->dr7 = r.dr7;
}

static int set_debugregs(struct kvm_vcpu *v, const struct x86_state *s, struct err *e)
{
	struct kvm_debugregs r = { .dr6 = s->dr6, .dr7 = s->dr7 };

	if (s->exc_pending && s->exc_kind == 0 && s->exc_vector == X86_EXC_DB)
		r.dr6 |= s->exc_cr2_or_dr6;
	memcpy(r.db, s->dr, sizeof(r.db));
	const int ret = kvm_call(v->fd, KVM_SET_DEBUGREGS, &r);

	return ret < 0 ? refused(e, "debug registers", ret) : 0;
}

/* ---- x87, SSE, AVX: the kernel's area is the same standard format, and longer ---- */

#define XSAVE_HEADER 512

static void get_fpu(struct kvm_vcpu *v, struct x86_state *s)
{
	const bool has = cpu_model_has(v->hv->vm->model, CPU_F_XSAVE);
	struct kvm_xcrs x = { 0 };
	struct kvm_xsave area;
	uint64_t head[8] = { 0 };

	memset(&area, 0, sizeof(area));
	kvm_call(v->fd, KVM_GET_XSAVE, &area);
	memcpy(s->xsave, area.region, sizeof(s->xsave));
	memcpy(head, s->xsave + XSAVE_HEADER, sizeof(head[0]));
	head[0] &= 7;
	memcpy(s->xsave + XSAVE_HEADER, head, sizeof(head));
	s->xcr0 = 1;
	if (has && kvm_call(v->fd, KVM_GET_XCRS, &x) >= 0 && x.nr_xcrs > 0)
		s->xcr0 = x.xcrs[0].value;
}

static int set_fpu(struct kvm_vcpu *v, const struct x86_state *s, struct err *e)
{
	struct kvm_xcrs x = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = s->xcr0 } } };
	struct kvm_xsave area;
	int r = 0;

	if (cpu_model_has(v->hv->vm->model, CPU_F_XSAVE))
		r = kvm_call(v->fd, KVM_SET_XCRS, &x);
	else if (s->xcr0 != 1)
		r = -EINVAL;
	if (r < 0)
		return refused(e, "XCR0", r);
	memset(&area, 0, sizeof(area));
	memcpy(area.region, s->xsave, sizeof(s->xsave));
	r = kvm_call(v->fd, KVM_SET_XSAVE, &area);
	return r < 0 ? refused(e, "floating-point and vector registers", r) : 0;
}

/* ---- what is pending ---- */

static void get_event(const struct kvm_vcpu_events *k, struct x86_state *s)
{
	s->exc_has_error = 0;
	s->exc_error = 0;
	s->exc_cr2_or_dr6 = 0;
	s->exc_pending = 1;
	if (k->exception.injected || k->exception.pending) {
		s->exc_kind = 0;
		s->exc_vector = k->exception.nr;
		s->exc_has_error = k->exception.has_error_code != 0;
		s->exc_error = k->exception.has_error_code ? k->exception.error_code : 0;
		s->exc_cr2_or_dr6 = s->exc_vector == X86_EXC_PF ? s->cr2 : 0;
	} else if (k->interrupt.injected) {
		s->exc_kind = k->interrupt.soft ? 1 : 2;
		s->exc_vector = k->interrupt.nr;
	} else if (k->nmi.injected) {
		s->exc_kind = 3;
		s->exc_vector = X86_EXC_NMI;
	} else {
		s->exc_pending = 0;
		s->exc_kind = 0;
		s->exc_vector = 0;
	}
}

static void get_events(struct kvm_vcpu *v, struct x86_state *s)
{
	struct kvm_vcpu_events k;

	memset(&k, 0, sizeof(k));
	kvm_call(v->fd, KVM_GET_VCPU_EVENTS, &k);
	if (v->given_vector >= 0) {
		k.interrupt.injected = 1;
		k.interrupt.nr = (uint8_t)v->given_vector;
	}
	get_event(&k, s);
	s->nmi_pending = k.nmi.pending != 0;
	s->nmi_masked = k.nmi.masked != 0;
	s->sti_shadow = (k.interrupt.shadow & KVM_X86_SHADOW_INT_STI) != 0;
	s->movss_shadow = (k.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS) != 0;
}

static int set_events(struct kvm_vcpu *v, const struct x86_state *s, struct err *e)
{
	struct kvm_vcpu_events k;

	memset(&k, 0, sizeof(k));
	k.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	if (s->exc_pending && s->exc_kind == 0) {
		k.exception.injected = 1;
		k.exception.nr = s->exc_vector;
		k.exception.has_error_code = s->exc_has_error;
		k.exception.error_code = s->exc_error;
	} else if (s->exc_pending && s->exc_kind != 3) {
		const bool given = s->exc_kind == 2 && s->exc_vector == v->given_vector;
		k.interrupt.injected = !given; /* or the guest would have it twice */
		k.interrupt.nr = s->exc_vector;
		k.interrupt.soft = s->exc_kind == 1;
	} else if (s->exc_pending) {
		k.nmi.injected = 1;
	}
	k.nmi.pending = s->nmi_pending;
	k.nmi.masked = s->nmi_masked;
	k.interrupt.shadow = (s->sti_shadow ? KVM_X86_SHADOW_INT_STI : 0) |
			     (s->movss_shadow ? KVM_X86_SHADOW_INT_MOV_SS : 0);
	const int r = kvm_call(v->fd, KVM_SET_VCPU_EVENTS, &k);

	return r < 0 ? refused(e, "pending events", r) : 0;
}

static void get_mp_state(struct kvm_vcpu *v, struct x86_state *s)
{
	struct kvm_mp_state k = { 0 };

	kvm_call(v->fd, KVM_GET_MP_STATE, &k);
	if (v->shut_down)
		s->mp_state = X86_MP_SHUTDOWN;
	else if (k.mp_state == KVM_MP_STATE_RUNNABLE)
		s->mp_state = X86_MP_RUNNING;
	else if (k.mp_state == KVM_MP_STATE_HALTED)
		s->mp_state = X86_MP_HALTED;
	else
		s->mp_state = X86_MP_WAIT_SIPI;
}

static int set_mp_state(struct kvm_vcpu *v, const struct x86_state *s, struct err *e)
{
	static const uint32_t states[] = {
		[X86_MP_RUNNING] = KVM_MP_STATE_RUNNABLE,
		[X86_MP_HALTED] = KVM_MP_STATE_HALTED,
		[X86_MP_WAIT_SIPI] = KVM_MP_STATE_INIT_RECEIVED,
		[X86_MP_SHUTDOWN] = KVM_MP_STATE_RUNNABLE,
	};
	const struct kvm_mp_state k = { .mp_state = states[s->mp_state] };
	const int r = kvm_call(v->fd, KVM_SET_MP_STATE, &k);

	v->shut_down = s->mp_state == X86_MP_SHUTDOWN;
	return r < 0 ? refused(e, "run state", r) : 0;
}

/* ---- all of it ---- */

void kvm_state_get(struct hv_vcpu *hv, struct x86_state *s)
{
	struct kvm_vcpu *v = kvm_vcpu_of(hv);

	memset(s, 0, sizeof(*s));
	get_mp_state(v, s); /* first: the kernel takes an INIT or SIPI that waits */
	get_regs(v, s);
	get_sregs(v, s);
	get_debugregs(v, s);
	get_fpu(v, s);
	get_events(v, s);
	kvm_msrs_get(v, s);
	s->tsc_offset = v->tsc_offset;
}

int kvm_state_set(struct hv_vcpu *hv, const struct x86_state *s, struct err *e)
{
	struct kvm_vcpu *v = kvm_vcpu_of(hv);
	int r = set_sregs(v, s, e);

	v->unfinished = false;
	v->tsc_offset = s->tsc_offset;
	if (r == 0)
		r = set_regs(v, s, e);
	if (r == 0)
		r = set_debugregs(v, s, e);
	if (r == 0)
		r = set_fpu(v, s, e);
	if (r == 0)
		r = kvm_msrs_set(v, s, e);
	if (r == 0)
		r = set_mp_state(v, s, e);
	return r == 0 ? set_events(v, s, e) : r;
}
