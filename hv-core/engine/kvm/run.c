/*
 * A vCPU's thread: into the guest, and what brings it out again. Port and memory accesses are done
 * here, by the bus; so an exit costs the one KVM_RUN that goes back in.
 *
 * A kick sets immediate_exit, which the kernel looks at before it enters the guest, and sends a
 * signal to a thread that may be past that. The thread clears immediate_exit before it looks at
 * the requests; whoever kicks has set a request before. So none is missed.
 */
#include <errno.h>
#include <signal.h>
#include <time.h>
#include "base/util.h"
#include "engine/kvm/kvm.h"

#define DR6_BS 0x4000ull

static void on_kick(int sig)
{
	(void)sig; /* it has brought the thread out of the guest */
}

int kvm_kick_init(struct err *e)
{
	const struct sigaction sa = { .sa_handler = on_kick, .sa_flags = SA_RESTART };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, KVM_KICK_SIGNAL);
	if (sigaction(KVM_KICK_SIGNAL, &sa, NULL) < 0 ||
	    pthread_sigmask(SIG_UNBLOCK, &set, NULL) != 0)
		return err_set(e, -EIO, "cannot set up the signal that stops a vCPU");
	return 0;
}

int kvm_thread_start(struct hv_vcpu *hv, struct err *e)
{
	kvm_vcpu_of(hv)->thread = pthread_self();
	return kvm_kick_init(e);
}

static void interrupt(struct kvm_vcpu *v)
{
	__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	if (atomic_load(&v->in_guest))
		pthread_kill(v->thread, KVM_KICK_SIGNAL);
}

void kvm_kick(struct hv_vcpu *hv)
{
	interrupt(kvm_vcpu_of(hv));
}

/* ---- the gate ---- */

static bool anyone_in_guest(const struct kvm_vm *vm)
{
	for (unsigned i = 0; i < vm->hv->n_vcpus; i++) {
		struct kvm_vcpu *v = kvm_vcpu_of(vm->hv->vcpu[i]);
		if (v != NULL && atomic_load(&v->in_guest))
			return true;
	}
	return false;
}

void kvm_gate_close(struct kvm_vm *vm)
{
	atomic_store(&vm->closed, true);
	for (unsigned i = 0; i < vm->hv->n_vcpus; i++) {
		struct kvm_vcpu *v = kvm_vcpu_of(vm->hv->vcpu[i]);
		if (v != NULL && v->run != NULL && atomic_load(&v->in_guest))
			interrupt(v);
	}
	pthread_mutex_lock(&vm->gate_lock);
	while (anyone_in_guest(vm))
		pthread_cond_wait(&vm->gate, &vm->gate_lock);
	pthread_mutex_unlock(&vm->gate_lock);
}

static void tell_gate(struct kvm_vm *vm)
{
	pthread_mutex_lock(&vm->gate_lock);
	pthread_cond_broadcast(&vm->gate);
	pthread_mutex_unlock(&vm->gate_lock);
}

void kvm_gate_open(struct kvm_vm *vm)
{
	atomic_store(&vm->closed, false);
	tell_gate(vm);
}

static void go_in(struct kvm_vcpu *v)
{
	struct kvm_vm *vm = v->vm;

	atomic_store(&v->in_guest, true);
	while (HV_UNLIKELY(atomic_load(&vm->closed))) {
		pthread_mutex_lock(&vm->gate_lock);
		atomic_store(&v->in_guest, false);
		pthread_cond_broadcast(&vm->gate);
		while (atomic_load(&vm->closed))
			pthread_cond_wait(&vm->gate, &vm->gate_lock);
		pthread_mutex_unlock(&vm->gate_lock);
		atomic_store(&v->in_guest, true);
	}
}

static void come_out(struct kvm_vcpu *v)
{
	atomic_store(&v->in_guest, false);
	if (HV_UNLIKELY(atomic_load(&v->vm->closed)))
		tell_gate(v->vm);
}

static int enter(struct kvm_vcpu *v)
{
	go_in(v);
	v->run->exit_reason = KVM_EXIT_UNKNOWN; /* stays so where immediate_exit ends it */
	const int r = kvm_sys->ioctl(v->fd, KVM_RUN, 0);
	come_out(v);
	v->unfinished = false;
	if (r != -EINTR || v->run->exit_reason != KVM_EXIT_UNKNOWN)
		v->given_vector = -1;
	return r;
}

/* ---- exits ---- */

static bool fail(struct hv_exit *x, const char *fmt, ...) HV_PRINTF(2, 3);
static bool fail(struct hv_exit *x, const char *fmt, ...)
{
	va_list ap;

	*x = (struct hv_exit){ .reason = HV_EXIT_FAIL };
	va_start(ap, fmt);
	err_vset(&x->fail, -EIO, fmt, ap);
	va_end(ap);
	return true;
}

static uint64_t rip(const struct kvm_vcpu *v)
{
	struct kvm_regs regs;

	return kvm_call(v->fd, KVM_GET_REGS, &regs) >= 0 ? regs.rip : 0;
}

static bool do_io(struct kvm_vcpu *v, struct hv_exit *x)
{
	const struct kvm_run *run = v->run;
	const unsigned size = run->io.size;
	struct hv_pio *pio = v->hv->vm->pio;
	uint8_t *p = (uint8_t *)v->run + run->io.data_offset;

	if ((size != 1 && size != 2 && size != 4) || run->io.data_offset > v->vm->run_bytes ||
	    (uint64_t)size * run->io.count > v->vm->run_bytes - run->io.data_offset)
		return fail(x, "KVM asks for an impossible access to port %#x", run->io.port);
	v->stats.pio++;
	for (uint32_t i = 0; i < run->io.count; i++, p += size) {
		uint32_t value = 0;
		if (run->io.direction == KVM_EXIT_IO_OUT) {
			memcpy(&value, p, size);
			hv_pio_write(pio, run->io.port, size, value);
		} else {
			value = hv_pio_read(pio, run->io.port, size);
			memcpy(p, &value, size);
		}
	}
	v->unfinished = true;
	return false;
}

static bool do_mmio(struct kvm_vcpu *v, struct hv_exit *x)
{
	struct kvm_run *run = v->run;
	const unsigned size = run->mmio.len;
	uint64_t value = 0;

	if (size < 1 || size > sizeof(run->mmio.data))
		return fail(x, "KVM asks for %u bytes of memory at %#llx", size,
			    (unsigned long long)run->mmio.phys_addr);
	v->stats.mmio++;
	if (run->mmio.is_write) {
		memcpy(&value, run->mmio.data, size);
		hv_mem_io_write(v->hv->vm->mem, run->mmio.phys_addr, size, value);
	} else {
		value = hv_mem_io_read(v->hv->vm->mem, run->mmio.phys_addr, size);
		memcpy(run->mmio.data, &value, size);
	}
	v->unfinished = true;
	return false;
}

/* Which breakpoint register, in the order in which kvm.c fills them. */
static bool do_debug(struct kvm_vcpu *v, struct hv_exit *x)
{
	const struct kvm_debug_exit_arch *d = &v->run->debug.arch;

	*x = (struct hv_exit){ .reason = HV_EXIT_DEBUG };
	x->debug.rip = d->pc;
	x->debug.addr = d->pc;
	x->debug.is_step = (d->dr6 & DR6_BS) != 0;
	for (unsigned i = 0; i < v->debug.n_watches; i++)
		if (d->dr6 >> (v->debug.n_breaks + i) & 1) {
			x->debug.is_watch = true;
			x->debug.addr = v->debug.watches[i].addr;
		}
	return true;
}

static bool do_internal_error(const struct kvm_vcpu *v, struct hv_exit *x)
{
	static const char *const what[] = {
		[KVM_INTERNAL_ERROR_EMULATION] = "it cannot emulate an instruction",
		[KVM_INTERNAL_ERROR_SIMUL_EX] = "two events came at once",
		[KVM_INTERNAL_ERROR_DELIVERY_EV] = "an event could not be delivered",
		[KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON] = "the processor left the guest for an "
							      "unknown reason",
	};
	const uint32_t n = v->run->internal.suberror;

	return fail(x, "KVM gave up: %s (error %u at %#llx)",
		    n < HV_ARRAY_LEN(what) && what[n] != NULL ? what[n] : "an internal error", n,
		    (unsigned long long)rip(v));
}

static bool do_shutdown(struct kvm_vcpu *v, struct hv_exit *x)
{
	v->shut_down = true;
	*x = (struct hv_exit){ .reason = HV_EXIT_SHUTDOWN };
	return true;
}

/* True: vcpu_run ends with *x. */
static bool handle(struct kvm_vcpu *v, struct hv_exit *x)
{
	const struct kvm_run *run = v->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		return do_io(v, x);
	case KVM_EXIT_MMIO:
		return do_mmio(v, x);
	case KVM_EXIT_IOAPIC_EOI:
		if (v->hv->lapic != NULL)
			v->hv->lapic->eoi(v->hv->lapic_ctx, run->eoi.vector);
		return false;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		return false;
	case KVM_EXIT_SHUTDOWN:
		return do_shutdown(v, x);
	case KVM_EXIT_DEBUG:
		return do_debug(v, x);
	case KVM_EXIT_HLT: /* the kernel does the sleeping; without a local APIC it cannot */
		v->stats.hlt++;
		*x = (struct hv_exit){ .reason = HV_EXIT_HLT };
		return true;
	case KVM_EXIT_FAIL_ENTRY:
		return fail(x, "the processor refuses to enter the guest: reason %#llx at %#llx",
			    (unsigned long long)run->fail_entry.hardware_entry_failure_reason,
			    (unsigned long long)rip(v));
	case KVM_EXIT_INTERNAL_ERROR:
		return do_internal_error(v, x);
	case KVM_EXIT_UNKNOWN:
		return fail(x, "the processor left the guest for a reason unknown to KVM: %#llx",
			    (unsigned long long)run->hw.hardware_exit_reason);
	default:
		return fail(x, "KVM asks for what was not agreed on: exit %u at %#llx",
			    run->exit_reason, (unsigned long long)rip(v));
	}
}

/* The call itself failed. */
static bool handle_error(struct kvm_vcpu *v, int err, struct hv_exit *x)
{
	static const struct timespec moment = { .tv_nsec = 1000000 };

	switch (err) {
	case -EINTR:
		v->stats.kicks++;
		return false;
	case -EAGAIN: /* it waited for a SIPI, and something else came */
		nanosleep(&moment, NULL);
		return false;
	case -EFAULT:
		return fail(x,
			    "the host cannot give the memory that the guest touched (at %#llx): "
			    "is the host out of memory, or a disk with a saved state gone?",
			    (unsigned long long)rip(v));
	default:
		return fail(x, "KVM cannot run the guest: %s", strerror(-err));
	}
}

/* ---- what is asked of the vCPU ---- */

static void take_nmi(struct kvm_vcpu *v)
{
	atomic_fetch_and(&v->hv->requests, ~(uint32_t)HV_REQ_NMI);
	kvm_sys->ioctl(v->fd, KVM_NMI, 0);
}

/* The PIC asks: when the guest can take it, the kernel gets the vector; until then it is to come
 * out as soon as the guest can. */
static void take_pic(struct kvm_vcpu *v)
{
	struct kvm_interrupt i;
	int vector;

	if (v->run->ready_for_interrupt_injection) {
		vector = v->hv->lapic->intr_ack(v->hv->lapic_ctx);
		i.irq = (uint32_t)vector;
		if (vector >= 0 && kvm_call(v->fd, KVM_INTERRUPT, &i) >= 0) {
			v->stats.interrupts++;
			v->given_vector = vector;
			v->run->ready_for_interrupt_injection = 0;
		}
	}
	v->run->request_interrupt_window = (atomic_load(&v->hv->requests) & HV_REQ_INTR) != 0;
}

/* State is whole only when the kernel has taken the answer to the last access. */
static void finish(struct kvm_vcpu *v)
{
	while (v->unfinished) {
		__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		struct hv_exit x;
		if (enter(v) >= 0)
			(void)handle(v, &x);
	}
}

void kvm_run(struct hv_vcpu *hv, struct hv_exit *ret_exit)
{
	struct kvm_vcpu *v = kvm_vcpu_of(hv);

	if (v->shut_down) {
		*ret_exit = (struct hv_exit){ .reason = HV_EXIT_SHUTDOWN };
		return;
	}
	for (;;) {
		__atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		const uint32_t req = atomic_load(&hv->requests);
		if (req & (HV_REQ_STOP | HV_REQ_INIT | HV_REQ_SIPI)) {
			finish(v);
			*ret_exit = (struct hv_exit){ .reason = HV_EXIT_KICKED };
			return;
		}
		if (HV_UNLIKELY(req & HV_REQ_NMI))
			take_nmi(v);
		if (HV_UNLIKELY((req & HV_REQ_INTR) && hv->lapic != NULL))
			take_pic(v);
		else
			v->run->request_interrupt_window = 0;
		const int r = enter(v);
		if (r < 0 ? handle_error(v, r, ret_exit) : handle(v, ret_exit)) {
			finish(v);
			return;
		}
	}
}
