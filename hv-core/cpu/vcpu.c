/*
 * The one vCPU loop, one thread a vCPU, and how other threads reach it.
 *
 * Every request sets its bit and then moves the vCPU's counter on. The loop reads the counter
 * before it enters the engine; if the engine says HLT, the loop sleeps until the counter differs
 * from what it read. So no request is missed, and one that the guest has masked (an interrupt line
 * held high with IF=0) costs one more round, not a spin.
 */
#include "cpu/vcpu.h"
#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "base/thread.h"
#include "base/util.h"
#include "cpu/trace_points.h"
#include "cpu/x86_defs.h"

struct hv_vcpu_thread {
	/* any thread */
	_Atomic uint32_t changes; /* requests so far; the futex */
	_Atomic uint32_t asleep;
	/* under lock */
	pthread_mutex_t lock;
	pthread_cond_t cond; /* run, quit, idle, started changed */
	bool run, quit, idle, started;
	int start_result;
	struct err start_err;
	/* the vCPU's thread; while it is idle, the loop thread */
	bool wait_sipi;
	struct hv_exit exit;
	/* the loop thread */
	pthread_t id;
	bool joinable;
};

/* ---- requests ---- */

static void notify(struct hv_vcpu *v)
{
	struct hv_vcpu_thread *t = v->thread;

	atomic_fetch_add(&t->changes, 1);
	v->vm->engine->vcpu_kick(v);
	if (atomic_load(&t->asleep))
		syscall(SYS_futex, &t->changes, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Until then at most, by the host's clock; HV_TIMER_OFF: without end. */
static void sleep_until_change(struct hv_vcpu_thread *t, uint32_t seen, uint64_t until_ns)
{
	const struct timespec ts = { .tv_sec = (time_t)(until_ns / HV_NS_PER_SEC),
				     .tv_nsec = (long)(until_ns % HV_NS_PER_SEC) };
	const struct timespec *end = until_ns != HV_TIMER_OFF ? &ts : NULL;
	bool over = false;

	atomic_store(&t->asleep, 1);
	while (atomic_load(&t->changes) == seen && !over)
		over = syscall(SYS_futex, &t->changes, FUTEX_WAIT_BITSET_PRIVATE, seen, end, NULL,
			       FUTEX_BITSET_MATCH_ANY) < 0 &&
		       errno == ETIMEDOUT;
	atomic_store(&t->asleep, 0);
}

static void halt(struct hv_vcpu *v, uint32_t seen)
{
	const uint64_t until = v->timer != NULL ? hv_timer_take_over(v->timer) : HV_TIMER_OFF;
	const uint64_t since = loop_now_ns();

	atomic_store_explicit(&v->halted_since_ns, since, memory_order_relaxed);
	sleep_until_change(v->thread, seen, until);
	if (v->timer != NULL)
		hv_timer_give_back(v->timer);
	atomic_store_explicit(&v->halted_since_ns, 0, memory_order_relaxed);
	atomic_fetch_add_explicit(&v->halted_ns, loop_now_ns() - since, memory_order_relaxed);
}

uint64_t hv_vcpu_halted_ns(const struct hv_vcpu *v)
{
	uint64_t ns = atomic_load(&v->halted_ns), since = atomic_load(&v->halted_since_ns);

	return since != 0 ? ns + (loop_now_ns() - since) : ns;
}

void hv_vcpu_request(struct hv_vcpu *v, uint32_t bits)
{
	atomic_fetch_or(&v->requests, bits);
	notify(v);
}

void hv_vcpu_set_intr(struct hv_vcpu *v, bool level)
{
	if (!level)
		atomic_fetch_and(&v->requests, ~(uint32_t)HV_REQ_INTR);
	else if (!(atomic_fetch_or(&v->requests, HV_REQ_INTR) & HV_REQ_INTR))
		notify(v);
}

void hv_vcpu_hold(struct hv_vcpu *v)
{
	pthread_mutex_lock(&v->thread->lock);
	v->thread->run = false;
	pthread_mutex_unlock(&v->thread->lock);
	hv_vcpu_request(v, HV_REQ_STOP);
}

void hv_vcpu_post_nmi(struct hv_vcpu *v)
{
	hv_vcpu_request(v, HV_REQ_NMI);
}

#define MSI_ADDR(cpu) (0xfee00000ull | (uint64_t)(cpu) << 12)
#define MSI_INIT 0x500u

/* A SIPI that was not taken yet is void: the one that counts comes after the INIT. */
void hv_vcpu_post_init(struct hv_vcpu *v)
{
	if (v->vm->engine->apic != NULL) { /* where SIPIs are, too */
		v->vm->engine->apic->msi(v->vm, MSI_ADDR(v->index), MSI_INIT);
		return;
	}
	atomic_fetch_and(&v->requests, ~(uint32_t)HV_REQ_SIPI);
	hv_vcpu_request(v, HV_REQ_INIT);
}

void hv_vcpu_post_sipi(struct hv_vcpu *v, uint8_t vector)
{
	atomic_store(&v->sipi_vector, vector);
	hv_vcpu_request(v, HV_REQ_SIPI);
}

void hv_vm_set_a20(struct hv_vm *vm, bool enabled)
{
	if (atomic_exchange(&vm->a20_masked, !enabled) == !enabled)
		return;
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		hv_vcpu_request(vm->vcpu[i], HV_REQ_FLUSH);
}

bool hv_vm_a20(const struct hv_vm *vm)
{
	return !atomic_load_explicit(&vm->a20_masked, memory_order_acquire);
}

/* ---- INIT and SIPI: in the vCPU's thread, or in the loop thread while it is idle ---- */

/* The SIPI will come by hv_vcpu_post_sipi(), and not within the engine. */
static bool waits_for_sipi(const struct hv_vcpu *v, const struct x86_state *s)
{
	return s->mp_state == X86_MP_WAIT_SIPI && v->vm->engine->apic == NULL;
}

static void set_state(struct hv_vcpu *v, const struct x86_state *s)
{
	struct err e;

	/* What x86_state.c makes every engine can hold. */
	int r = v->vm->engine->state_set(v, s, &e);
	assert(r == 0);
	(void)r;
	atomic_store(&v->tsc_offset, s->tsc_offset);
	v->thread->wait_sipi = waits_for_sipi(v, s);
}

void hv_vcpu_tsc_moved(struct hv_vcpu *v, uint64_t tsc_offset)
{
	atomic_store(&v->tsc_offset, tsc_offset);
	if (v->lapic != NULL && v->lapic->tsc_changed != NULL)
		v->lapic->tsc_changed(v->lapic_ctx);
}

static void take_init_sipi(struct hv_vcpu *v)
{
	uint32_t req = atomic_fetch_and(&v->requests, ~(uint32_t)(HV_REQ_INIT | HV_REQ_SIPI));
	struct x86_state s;

	if (req & HV_REQ_INIT) {
		TRACE(vcpu_init, "vcpu%u", v->index);
		atomic_fetch_and(&v->requests, ~(uint32_t)HV_REQ_NMI);
		v->vm->engine->state_get(v, &s);
		x86_state_init(&s, v->index == 0);
		set_state(v, &s);
		if (v->lapic != NULL && v->lapic->init != NULL)
			v->lapic->init(v->lapic_ctx);
	}
	if ((req & HV_REQ_SIPI) && v->thread->wait_sipi) {
		TRACE(vcpu_sipi, "vcpu%u: vector %#x", v->index, atomic_load(&v->sipi_vector));
		v->vm->engine->state_get(v, &s);
		x86_state_sipi(&s, atomic_load(&v->sipi_vector));
		set_state(v, &s);
	}
}

/* ---- exits of engines that leave port and memory accesses to the loop ---- */

static void do_pio(struct hv_vcpu *v, struct hv_exit *x)
{
	if (x->pio.is_write)
		hv_pio_write(v->vm->pio, x->pio.port, x->pio.size, x->pio.value);
	else
		x->pio.value = hv_pio_read(v->vm->pio, x->pio.port, x->pio.size);
}

#define APIC_BASE_ENABLE 0x800u
#define APIC_BASE_X2APIC 0x400u

static bool is_lapic(const struct hv_vcpu *v, uint64_t gpa)
{
	if (v->lapic == NULL)
		return false;
	uint64_t base = v->lapic->apic_base(v->lapic_ctx);
	return (base & (APIC_BASE_ENABLE | APIC_BASE_X2APIC)) == APIC_BASE_ENABLE &&
	       (base & HV_PAGE_MASK) == (gpa & HV_PAGE_MASK);
}

static void do_mmio(struct hv_vcpu *v, struct hv_exit *x)
{
	uint32_t off = (uint32_t)(x->mmio.gpa & ~HV_PAGE_MASK);

	if (is_lapic(v, x->mmio.gpa)) {
		if (x->mmio.is_write)
			v->lapic->mmio_write(v->lapic_ctx, off, x->mmio.size, x->mmio.value);
		else
			x->mmio.value = v->lapic->mmio_read(v->lapic_ctx, off, x->mmio.size);
	} else if (x->mmio.is_write) {
		hv_mem_io_write(v->vm->mem, x->mmio.gpa, x->mmio.size, x->mmio.value);
	} else {
		x->mmio.value = hv_mem_io_read(v->vm->mem, x->mmio.gpa, x->mmio.size);
	}
}

/* ---- the loop ---- */

static void hold(struct hv_vcpu *v, enum hv_vm_event ev)
{
	struct hv_vcpu_thread *t = v->thread;

	pthread_mutex_lock(&t->lock);
	t->run = false;
	pthread_mutex_unlock(&t->lock);
	v->vm->on_event(v->vm->ctx, v, ev, &t->exit);
}

/* True: the access is not finished; the engine must be entered again before anything else. */
static bool enter(struct hv_vcpu *v)
{
	struct hv_exit *x = &v->thread->exit;

	v->vm->engine->vcpu_run(v, x);
	TRACE(vcpu_exit, "vcpu%u: reason %d", v->index, (int)x->reason);
	if (x->reason == HV_EXIT_PIO)
		do_pio(v, x);
	else if (x->reason == HV_EXIT_MMIO)
		do_mmio(v, x);
	return x->reason == HV_EXIT_PIO || x->reason == HV_EXIT_MMIO;
}

/* Until it is to stop, or the guest did something that holds the VM. */
static void run(struct hv_vcpu *v)
{
	struct hv_vcpu_thread *t = v->thread;

	for (;;) {
		uint32_t seen = atomic_load(&t->changes), req = atomic_load(&v->requests);
		if (req & HV_REQ_STOP)
			return;
		if (req & (HV_REQ_INIT | HV_REQ_SIPI))
			take_init_sipi(v);
		if (t->wait_sipi) {
			sleep_until_change(t, seen, HV_TIMER_OFF);
			continue;
		}
		while (enter(v))
			;
		switch (t->exit.reason) {
		case HV_EXIT_HLT:
			if (!v->vm->opt.deterministic || !hv_clock_skip(v->vm->clock))
				halt(v, seen);
			break;
		case HV_EXIT_SHUTDOWN:
			hold(v, HV_VM_SHUTDOWN);
			return;
		case HV_EXIT_DEBUG:
			hold(v, HV_VM_DEBUG);
			return;
		case HV_EXIT_FAIL:
			hold(v, HV_VM_FAIL);
			return;
		case HV_EXIT_KICKED:
		case HV_EXIT_PIO:
		case HV_EXIT_MMIO:
			break;
		}
	}
}

/* Idle until there is something to do; false: the end. */
static bool wait_for_run(struct hv_vcpu_thread *t)
{
	pthread_mutex_lock(&t->lock);
	t->idle = true;
	pthread_cond_broadcast(&t->cond);
	while (!t->run && !t->quit)
		pthread_cond_wait(&t->cond, &t->lock);
	t->idle = false;
	bool go = !t->quit;
	pthread_mutex_unlock(&t->lock);
	return go;
}

static void *vcpu_thread(void *arg)
{
	struct hv_vcpu *v = arg;
	struct hv_vcpu_thread *t = v->thread;
	int r = 0;

	/* Halts end when the guest's timer is due, not up to 50 microseconds later. */
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	if (v->vm->engine->vcpu_thread_start != NULL)
		r = v->vm->engine->vcpu_thread_start(v, &t->start_err);
	pthread_mutex_lock(&t->lock);
	t->start_result = r;
	t->started = true;
	pthread_cond_broadcast(&t->cond);
	pthread_mutex_unlock(&t->lock);
	while (r == 0 && wait_for_run(t))
		run(v);
	return NULL;
}

/* ---- the VM: loop thread ---- */

static int start_thread(struct hv_vcpu *v, struct err *e)
{
	struct hv_vcpu_thread *t = v->thread;
	char name[16];

	snprintf(name, sizeof(name), "vcpu%u", v->index);
	int r = hv_thread_start(&t->id, name, vcpu_thread, v, e);
	if (r < 0)
		return r;
	t->joinable = true;
	pthread_mutex_lock(&t->lock);
	while (!t->started)
		pthread_cond_wait(&t->cond, &t->lock);
	pthread_mutex_unlock(&t->lock);
	return t->start_result < 0 ? err_set(e, t->start_result, "%s", t->start_err.msg) : 0;
}

static struct hv_vcpu *vcpu_new(struct hv_vm *vm, unsigned index)
{
	struct hv_vcpu *v = calloc(1, sizeof(*v));
	struct hv_vcpu_thread *t = calloc(1, sizeof(*t));

	if (v == NULL || t == NULL) {
		free(v);
		free(t);
		return NULL;
	}
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->cond, NULL);
	v->vm = vm;
	v->index = index;
	v->thread = t;
	return v;
}

static int create_all(struct hv_vm *vm, unsigned n, struct err *e)
{
	for (unsigned i = 0; i < n; i++) {
		vm->vcpu[i] = vcpu_new(vm, i);
		if (vm->vcpu[i] == NULL)
			return err_set(e, -ENOMEM, "out of memory");
		vm->n_vcpus = i + 1;
	}
	int r = vm->engine->vm_create(vm, &vm->engine_priv, e);
	for (unsigned i = 0; r == 0 && i < n; i++)
		r = vm->engine->vcpu_create(vm->vcpu[i], &vm->vcpu[i]->engine_priv, e);
	for (unsigned i = 0; r == 0 && i < n; i++) {
		struct x86_state s;
		x86_state_reset(&s, i == 0);
		r = hv_vcpu_state_set(vm->vcpu[i], &s, e);
	}
	for (unsigned i = 0; r == 0 && i < n; i++)
		r = start_thread(vm->vcpu[i], e);
	return r;
}

int hv_vm_init(struct hv_vm *vm, unsigned n, struct err *e)
{
	if (n == 0 || n > HV_MAX_VCPUS)
		return err_set(e, -EINVAL, "a machine has 1 to %u CPUs, not %u", HV_MAX_VCPUS, n);
	int r = create_all(vm, n, e);
	if (r < 0)
		hv_vm_finish(vm);
	return r;
}

static void quit_thread(struct hv_vcpu_thread *t)
{
	if (!t->joinable)
		return;
	pthread_mutex_lock(&t->lock);
	t->quit = true;
	pthread_cond_broadcast(&t->cond);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->id, NULL);
	t->joinable = false;
}

void hv_vm_finish(struct hv_vm *vm)
{
	if (vm->n_vcpus == 0)
		return;
	hv_vm_stop(vm);
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		quit_thread(vm->vcpu[i]->thread);
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		vm->engine->vcpu_destroy(vm->vcpu[i]);
	vm->engine->vm_destroy(vm);
	for (unsigned i = 0; i < vm->n_vcpus; i++) {
		pthread_cond_destroy(&vm->vcpu[i]->thread->cond);
		pthread_mutex_destroy(&vm->vcpu[i]->thread->lock);
		free(vm->vcpu[i]->thread);
		free(vm->vcpu[i]);
		vm->vcpu[i] = NULL;
	}
	vm->n_vcpus = 0;
	vm->engine_priv = NULL;
}

static void start_engine(struct hv_vm *vm)
{
	if (vm->started)
		return;
	if (vm->engine->vm_start != NULL)
		vm->engine->vm_start(vm);
	if (vm->move_apics != NULL)
		vm->move_apics(vm->ctx, true); /* its clocks are right now */
	vm->started = true;
}

static void stop_engine(struct hv_vm *vm)
{
	if (!vm->started)
		return;
	if (vm->engine->vm_stop != NULL)
		vm->engine->vm_stop(vm);
	if (vm->move_apics != NULL)
		vm->move_apics(vm->ctx, false);
	vm->started = false;
}

void hv_vm_run(struct hv_vm *vm)
{
	vm->running = true;
	start_engine(vm);
	for (unsigned i = 0; i < vm->n_vcpus; i++) {
		struct hv_vcpu_thread *t = vm->vcpu[i]->thread;
		pthread_mutex_lock(&t->lock);
		atomic_fetch_and(&vm->vcpu[i]->requests, ~(uint32_t)HV_REQ_STOP);
		t->run = true;
		pthread_cond_broadcast(&t->cond);
		pthread_mutex_unlock(&t->lock);
	}
}

void hv_vm_stop(struct hv_vm *vm)
{
	vm->running = false;
	for (unsigned i = 0; i < vm->n_vcpus; i++) {
		struct hv_vcpu_thread *t = vm->vcpu[i]->thread;
		pthread_mutex_lock(&t->lock);
		t->run = false;
		pthread_mutex_unlock(&t->lock);
		if (t->joinable)
			hv_vcpu_request(vm->vcpu[i], HV_REQ_STOP);
	}
	for (unsigned i = 0; i < vm->n_vcpus; i++) {
		struct hv_vcpu_thread *t = vm->vcpu[i]->thread;
		pthread_mutex_lock(&t->lock);
		while (t->joinable && t->start_result == 0 && !t->idle)
			pthread_cond_wait(&t->cond, &t->lock);
		pthread_mutex_unlock(&t->lock);
	}
	stop_engine(vm);
}

bool hv_vm_running(const struct hv_vm *vm)
{
	return vm->running;
}

void hv_vm_reset_cpus(struct hv_vm *vm)
{
	assert(!vm->running);
	atomic_store(&vm->a20_masked, false);
	for (unsigned i = 0; i < vm->n_vcpus; i++) {
		struct hv_vcpu *v = vm->vcpu[i];
		struct x86_state s;
		x86_state_reset(&s, i == 0);
		atomic_fetch_and(&v->requests, ~(uint32_t)(HV_REQ_NMI | HV_REQ_INIT | HV_REQ_SIPI));
		atomic_fetch_or(&v->requests, HV_REQ_FLUSH);
		set_state(v, &s);
	}
}

/* What the engine leaves to the loop is part of the state: requests not taken yet, A20. */
void hv_vcpu_state_get(struct hv_vcpu *v, struct x86_state *s)
{
	take_init_sipi(v);
	v->vm->engine->state_get(v, s);
	if (atomic_load(&v->requests) & HV_REQ_NMI)
		s->nmi_pending = 1;
	s->a20_masked = !hv_vm_a20(v->vm);
}

int hv_vcpu_state_set(struct hv_vcpu *v, const struct x86_state *s, struct err *e)
{
	int r = v->vm->engine->state_set(v, s, e);

	if (r < 0)
		return r;
	atomic_store(&v->tsc_offset, s->tsc_offset);
	v->thread->wait_sipi = waits_for_sipi(v, s);
	atomic_store(&v->vm->a20_masked, s->a20_masked != 0);
	atomic_fetch_and(&v->requests, ~(uint32_t)(HV_REQ_NMI | HV_REQ_INIT | HV_REQ_SIPI));
	atomic_fetch_or(&v->requests, HV_REQ_FLUSH | (s->nmi_pending ? HV_REQ_NMI : 0));
	return 0;
}
