/* hv-core/cpu: the vCPU loop under the null engine and under a scripted one; the state table. */
#include "ctest.h"
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include "cpu/vcpu.h"
#include "cpu/x86_defs.h"

/* ---- a scripted engine: each vcpu_run takes the next step ---- */

struct step {
	enum hv_exit_reason reason;
	uint16_t port;
	uint64_t gpa, value;
	bool is_write;
};

struct script {
	const struct step *steps;
	unsigned n, fail_vcpu, fail_thread; /* fail_*: 1 + index of the vCPU that fails */
	_Atomic unsigned at, runs, live, inside;
	bool slow;	  /* each vcpu_run takes a while, whatever is asked */
	uint64_t got[16]; /* what reads answered */
	struct x86_state s[2];
};
static struct script script;

static int fake_probe(struct err *e)
{
	(void)e;
	return 0;
}

static int fake_vm_create(struct hv_vm *vm, void **ret_priv, struct err *e)
{
	(void)vm;
	(void)e;
	*ret_priv = &script;
	return 0;
}

static void fake_vm_destroy(struct hv_vm *vm)
{
	(void)vm;
}

static int fake_vcpu_create(struct hv_vcpu *v, void **ret_priv, struct err *e)
{
	if (script.fail_vcpu == v->index + 1)
		return err_set(e, -ENODEV, "vcpu %u refused", v->index);
	*ret_priv = &script;
	script.live++;
	return 0;
}

static void fake_vcpu_destroy(struct hv_vcpu *v)
{
	if (v->engine_priv != NULL)
		script.live--;
}

static int fake_thread_start(struct hv_vcpu *v, struct err *e)
{
	if (script.fail_thread == v->index + 1)
		return err_set(e, -EPERM, "thread %u refused", v->index);
	return 0;
}

static void fake_run(struct hv_vcpu *v, struct hv_exit *x)
{
	unsigned at = script.at;

	script.runs++;
	if (script.slow) {
		script.inside++;
		nanosleep(&(struct timespec){ .tv_nsec = 3000000 }, NULL);
		script.inside--;
	}
	if (at > 0 && at <= script.n && script.steps[at - 1].reason == HV_EXIT_PIO)
		script.got[at - 1] = x->pio.value;
	else if (at > 0 && at <= script.n && script.steps[at - 1].reason == HV_EXIT_MMIO)
		script.got[at - 1] = x->mmio.value;
	x->reason = HV_EXIT_KICKED;
	if (at >= script.n) {
		if (!script.slow && !(atomic_load(&v->requests) & HV_REQ_STOP))
			x->reason = HV_EXIT_HLT;
		return;
	}
	const struct step *s = &script.steps[at];
	x->reason = s->reason;
	if (s->reason == HV_EXIT_PIO) {
		x->pio.port = s->port;
		x->pio.size = 2;
		x->pio.is_write = s->is_write;
		x->pio.value = (uint32_t)s->value;
	} else if (s->reason == HV_EXIT_MMIO) {
		x->mmio.gpa = s->gpa;
		x->mmio.size = 4;
		x->mmio.is_write = s->is_write;
		x->mmio.value = s->value;
	}
	script.at++;
}

static void fake_kick(struct hv_vcpu *v)
{
	(void)v;
}

static void fake_get(struct hv_vcpu *v, struct x86_state *s)
{
	*s = script.s[v->index];
}

static int fake_set(struct hv_vcpu *v, const struct x86_state *s, struct err *e)
{
	(void)e;
	script.s[v->index] = *s;
	return 0;
}

static const struct hv_engine_ops fake_engine = {
	.name = "fake",
	.probe = fake_probe,
	.vm_create = fake_vm_create,
	.vm_destroy = fake_vm_destroy,
	.vcpu_create = fake_vcpu_create,
	.vcpu_destroy = fake_vcpu_destroy,
	.vcpu_thread_start = fake_thread_start,
	.vcpu_run = fake_run,
	.vcpu_kick = fake_kick,
	.state_get = fake_get,
	.state_set = fake_set,
};

/* ---- the machine around it ---- */

struct fixture {
	struct hv_mem *mem;
	struct hv_pio *pio;
	struct hv_ram *ram;
	struct hv_map_range low;
	struct hv_pio_range port;
	struct hv_vm vm;
	struct err e;
	_Atomic unsigned events, acks, inits, lapic_writes;
	_Atomic int last_event;
	uint64_t written;
	struct hv_domain lapic_domain; /* as the LAPIC model has one: orders raise and take */
};

static uint64_t port_read(void *ctx, uint64_t off, unsigned size)
{
	(void)ctx;
	return 0xbeef0000 + off * 0x100 + size;
}

static void port_write(void *ctx, uint64_t off, unsigned size, uint64_t v)
{
	struct fixture *f = ctx;
	(void)off;
	(void)size;

	f->written = v;
}

static const struct hv_io_ops port_ops = { port_read, port_write };

static void on_event(void *ctx, struct hv_vcpu *v, enum hv_vm_event ev, const struct hv_exit *x)
{
	struct fixture *f = ctx;
	(void)v;
	(void)x;

	f->last_event = (int)ev;
	f->events++;
}

static int lapic_ack(void *ctx)
{
	struct hv_vcpu *v = ctx;
	struct fixture *f = v->vm->ctx;

	hv_domain_lock(&f->lapic_domain);
	hv_vcpu_set_intr(v, false);
	f->acks++;
	hv_domain_unlock(&f->lapic_domain);
	return 0x20;
}

static uint64_t lapic_base(void *ctx)
{
	(void)ctx;
	return 0xfee00800;
}

static uint64_t lapic_read(void *ctx, uint32_t off, unsigned size)
{
	(void)ctx;
	(void)size;
	return off;
}

static void lapic_write(void *ctx, uint32_t off, unsigned size, uint64_t v)
{
	struct hv_vcpu *vcpu = ctx;
	struct fixture *f = vcpu->vm->ctx;
	(void)off;
	(void)size;
	(void)v;

	f->lapic_writes++;
}

static void lapic_init(void *ctx)
{
	struct hv_vcpu *v = ctx;

	((struct fixture *)v->vm->ctx)->inits++;
}

static const struct hv_lapic_ops lapic_ops = {
	.intr_ack = lapic_ack,
	.mmio_read = lapic_read,
	.mmio_write = lapic_write,
	.apic_base = lapic_base,
	.init = lapic_init,
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (f == NULL || hv_mem_create(&f->mem, &f->e) < 0 || hv_pio_create(&f->pio, &f->e) < 0 ||
	    hv_ram_create(f->mem, "ram", HV_RAM_ANON, HV_MIB(1), -1, 0, &f->ram, &f->e) < 0)
		return -1;
	f->low = (struct hv_map_range){ "ram", HV_MAP_RAM, 0, 0, HV_MIB(1), f->ram };
	hv_mem_map(f->mem, &f->low);
	f->port = (struct hv_pio_range){ "port", 0x60, 4, &port_ops, f };
	hv_pio_map(f->pio, &f->port);
	hv_domain_init(&f->lapic_domain, "lapic");
	memset(&script, 0, sizeof(script));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	hv_vm_finish(&f->vm);
	hv_pio_destroy(f->pio);
	hv_mem_destroy(f->mem);
	hv_domain_finish(&f->lapic_domain);
	free(f);
	return 0;
}

static void start(struct fixture *f, const struct hv_engine_ops *engine, unsigned n)
{
	f->vm = (struct hv_vm){
		.engine = engine, .mem = f->mem, .pio = f->pio, .on_event = on_event, .ctx = f
	};
	assert_ok(hv_vm_init(&f->vm, n, &f->e), &f->e);
	for (unsigned i = 0; i < n; i++) {
		f->vm.vcpu[i]->lapic = &lapic_ops;
		f->vm.vcpu[i]->lapic_ctx = f->vm.vcpu[i];
	}
}

/* No timing assertion: a condition that never comes true is a hang, which the runner ends. */
#define wait_for(cond)                                                                             \
	do {                                                                                       \
		while (!(cond))                                                                    \
			nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);                  \
	} while (0)

/* Races are tried n times, or for two seconds: on a busy host every try may cost time slices of all
 * others. */
struct tries {
	unsigned left;
	time_t end;
};

static struct tries tries(unsigned n)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (struct tries){ n, now.tv_sec + 2 };
}

static bool try_again(struct tries *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return t->left-- > 0 && now.tv_sec <= t->end;
}

static uint64_t halts(struct fixture *f, unsigned i)
{
	struct hv_engine_stats st;

	f->vm.engine->stats(f->vm.vcpu[i], &st);
	return st.hlt;
}

static uint64_t interrupts(struct fixture *f, unsigned i)
{
	struct hv_engine_stats st;

	f->vm.engine->stats(f->vm.vcpu[i], &st);
	return st.interrupts;
}

/* ---- tests ---- */

static void test_init_failures(void **state)
{
	struct fixture *f = *state;
	struct hv_vm zero = { 0 };

	hv_vm_finish(&zero);
	f->vm = (struct hv_vm){ .engine = &fake_engine, .mem = f->mem, .pio = f->pio };
	assert_int_equal(hv_vm_init(&f->vm, 0, &f->e), -EINVAL);
	assert_int_equal(hv_vm_init(&f->vm, HV_MAX_VCPUS + 1, &f->e), -EINVAL);
	script.fail_vcpu = 2;
	assert_int_equal(hv_vm_init(&f->vm, 2, &f->e), -ENODEV);
	assert_true(script.live == 0 && f->vm.n_vcpus == 0);
	script.fail_vcpu = 0;
	script.fail_thread = 2;
	assert_int_equal(hv_vm_init(&f->vm, 2, &f->e), -EPERM);
	assert_string_equal(f->e.msg, "thread 1 refused");
	assert_true(script.live == 0 && f->vm.n_vcpus == 0);
}

static void test_exits(void **state)
{
	static const struct step steps[] = {
		{ HV_EXIT_PIO, 0x61, 0, 0, false },
		{ HV_EXIT_PIO, 0x60, 0, 0x1234, true },
		{ HV_EXIT_MMIO, 0, 0x1000, 0xcafe, true },
		{ HV_EXIT_MMIO, 0, 0x1000, 0, false },
		{ HV_EXIT_MMIO, 0, 0xfee00300, 1, true },
		{ HV_EXIT_MMIO, 0, 0xfee00020, 0, false },
		{ HV_EXIT_KICKED, 0, 0, 0, false },
		{ HV_EXIT_SHUTDOWN, 0, 0, 0, false },
		{ HV_EXIT_DEBUG, 0, 0, 0, false },
		{ HV_EXIT_FAIL, 0, 0, 0, false },
	};
	struct fixture *f = *state;

	script.steps = steps;
	script.n = HV_ARRAY_LEN(steps);
	start(f, &fake_engine, 1);
	assert_false(hv_vm_running(&f->vm));
	hv_vm_run(&f->vm);
	wait_for(f->events == 1);
	hv_vm_stop(&f->vm);
	assert_int_equal(f->last_event, HV_VM_SHUTDOWN);
	assert_int_equal(script.got[0], 0x0102); /* 16 bits of port_read's */
	assert_int_equal(f->written, 0x1234);
	assert_int_equal(script.got[3], 0xcafe);
	assert_true(f->lapic_writes == 1 && script.got[5] == 0x20);
	hv_vm_run(&f->vm);
	wait_for(f->events == 2);
	assert_int_equal(f->last_event, HV_VM_DEBUG);
	hv_vm_run(&f->vm);
	wait_for(f->events == 3);
	assert_int_equal(f->last_event, HV_VM_FAIL);
	assert_int_equal(script.at, script.n);
	hv_vm_run(&f->vm);
	hv_vm_stop(&f->vm);
}

static void timer_due(void *ctx)
{
	hv_vcpu_set_intr(ctx, true);
}

/* A vCPU that is halted waits for its timer itself: nobody runs the loop here. */
static void test_own_timer(void **state)
{
	struct fixture *f = *state;
	struct hv_timer timer;
	struct hv_clock *clock;
	struct x86_state s;
	struct loop *loop;

	assert_ok(loop_create(&loop, &f->e), &f->e);
	assert_ok(hv_clock_create(loop, &clock, &f->e), &f->e);
	start(f, &hv_engine_null, 1);
	hv_timer_init(&timer, clock, &f->lapic_domain, timer_due, f->vm.vcpu[0]);
	f->vm.vcpu[0]->timer = &timer;
	hv_vcpu_state_get(f->vm.vcpu[0], &s);
	s.rflags |= X86_FL_IF;
	assert_ok(hv_vcpu_state_set(f->vm.vcpu[0], &s, &f->e), &f->e);
	hv_clock_start(clock);
	for (unsigned i = 1; i <= 3; i++) {
		hv_domain_lock(&f->lapic_domain);
		hv_timer_arm(&timer, hv_clock_now_ns(clock) + 3000000);
		hv_domain_unlock(&f->lapic_domain);
		hv_vm_run(&f->vm);
		wait_for(f->acks == i);
		hv_vm_stop(&f->vm);
	}
	hv_clock_stop(clock);
	hv_vm_finish(&f->vm);
	hv_timer_finish(&timer);
	hv_clock_destroy(clock);
	loop_destroy(loop);
}

/* A masked interrupt line that is held high wakes the vCPU once, not for ever. */
static void test_masked_interrupt(void **state)
{
	struct fixture *f = *state;
	struct x86_state s;

	start(f, &hv_engine_null, 1);
	hv_vm_run(&f->vm);
	wait_for(halts(f, 0) == 1);
	hv_vcpu_set_intr(f->vm.vcpu[0], true);
	hv_vcpu_set_intr(f->vm.vcpu[0], true);
	wait_for(halts(f, 0) == 2);
	nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	assert_int_equal(halts(f, 0), 2);
	hv_vm_stop(&f->vm);
	hv_vcpu_state_get(f->vm.vcpu[0], &s);
	assert_int_equal(s.mp_state, X86_MP_HALTED);
	s.rflags |= X86_FL_IF;
	assert_ok(hv_vcpu_state_set(f->vm.vcpu[0], &s, &f->e), &f->e);
	hv_vm_run(&f->vm);
	wait_for(f->acks == 1);
	hv_vcpu_post_nmi(f->vm.vcpu[0]);
	wait_for(interrupts(f, 0) == 2);
}

/* Every interrupt that is raised is taken, however the raising and the halting interleave. */
static void test_hlt_wake(void **state)
{
	struct fixture *f = *state;
	struct hv_vcpu *v;
	struct x86_state s;

	start(f, &hv_engine_null, 1);
	v = f->vm.vcpu[0];
	hv_vcpu_state_get(v, &s);
	s.rflags |= X86_FL_IF;
	assert_ok(hv_vcpu_state_set(v, &s, &f->e), &f->e);
	hv_vm_run(&f->vm);
	unsigned i = 0;
	for (struct tries t = tries(3000); try_again(&t);) {
		i++;
		hv_domain_lock(&f->lapic_domain);
		hv_vcpu_set_intr(v, true);
		hv_domain_unlock(&f->lapic_domain);
		while (f->acks < i)
			sched_yield();
	}
	assert_int_equal(f->acks, i);
}

/* Stopped means that no vCPU is in the engine any more. */
static void test_stop_waits(void **state)
{
	struct fixture *f = *state;

	script.slow = true;
	start(f, &fake_engine, 2);
	hv_vcpu_post_sipi(f->vm.vcpu[1], 1);
	for (int i = 0; i < 10; i++) {
		hv_vm_run(&f->vm);
		wait_for(script.inside == 2);
		hv_vm_stop(&f->vm);
		assert_int_equal(script.inside, 0);
	}
}

static atomic_bool stop_storm;

static void *storm(void *arg)
{
	struct hv_vm *vm = arg;

	for (unsigned i = 0; !atomic_load(&stop_storm); i++) {
		hv_vcpu_set_intr(vm->vcpu[i % 2], true);
		hv_vcpu_post_nmi(vm->vcpu[i % 2]);
		hv_vcpu_request(vm->vcpu[i % 2], HV_REQ_FLUSH);
		hv_vm_set_a20(vm, i & 1);
		if (i % 7 == 0)
			hv_vcpu_post_sipi(vm->vcpu[1], 8);
		if (i % 11 == 0)
			hv_vcpu_post_init(vm->vcpu[1]);
	}
	return NULL;
}

static void test_run_stop_races(void **state)
{
	struct fixture *f = *state;
	pthread_t t;
	struct x86_state s;

	start(f, &hv_engine_null, 2);
	atomic_store(&stop_storm, false);
	assert_int_equal(pthread_create(&t, NULL, storm, &f->vm), 0);
	unsigned i = 0;
	for (struct tries left = tries(1000); try_again(&left); i++) {
		hv_vm_run(&f->vm);
		if (i % 3 == 0)
			hv_vm_run(&f->vm);
		hv_vm_stop(&f->vm);
		uint64_t now = halts(f, 0) + halts(f, 1);
		hv_vcpu_state_get(f->vm.vcpu[i % 2], &s);
		if (i % 5 == 0)
			hv_vm_stop(&f->vm);
		if (i % 50 == 0)
			hv_vm_reset_cpus(&f->vm);
		assert_int_equal(halts(f, 0) + halts(f, 1), now); /* stopped means stopped */
	}
	hv_vm_run(&f->vm);
	atomic_store(&stop_storm, true);
	pthread_join(t, NULL);
}

static void test_init_sipi(void **state)
{
	struct fixture *f = *state;
	struct x86_state s;

	start(f, &hv_engine_null, 2);
	hv_vm_run(&f->vm);
	hv_vcpu_post_nmi(f->vm.vcpu[1]); /* waits for SIPI: sleeps on */
	wait_for(halts(f, 0) == 1);
	assert_int_equal(halts(f, 1), 0);
	hv_vcpu_post_init(f->vm.vcpu[1]);
	hv_vcpu_post_sipi(f->vm.vcpu[1], 0x9f);
	wait_for(halts(f, 1) >= 1);
	assert_int_equal(f->inits, 1);
	hv_vcpu_post_sipi(f->vm.vcpu[1], 0x11); /* already started: ignored */
	wait_for(!(atomic_load(&f->vm.vcpu[1]->requests) & HV_REQ_SIPI));
	hv_vm_stop(&f->vm);
	hv_vcpu_state_get(f->vm.vcpu[1], &s);
	assert_true(s.seg[X86_CS].sel == 0x9f00 && s.seg[X86_CS].base == 0x9f000 && s.rip == 0);
	assert_true(interrupts(f, 1) == 0); /* the NMI went with the INIT */
	/* Asked for while stopped: part of the state that is saved. */
	hv_vcpu_post_sipi(f->vm.vcpu[1], 0x22);
	hv_vcpu_post_init(f->vm.vcpu[1]); /* after the SIPI: that is void */
	hv_vcpu_post_nmi(f->vm.vcpu[0]);
	hv_vm_set_a20(&f->vm, false);
	hv_vcpu_state_get(f->vm.vcpu[1], &s);
	assert_true(s.mp_state == X86_MP_WAIT_SIPI && s.a20_masked == 1);
	hv_vcpu_state_get(f->vm.vcpu[0], &s);
	assert_true(s.nmi_pending == 1 && f->inits == 2);
	hv_vm_reset_cpus(&f->vm);
	assert_true(hv_vm_a20(&f->vm));
	assert_ok(hv_vcpu_state_set(f->vm.vcpu[0], &s, &f->e), &f->e);
	assert_false(hv_vm_a20(&f->vm));
	assert_true(atomic_load(&f->vm.vcpu[0]->requests) & HV_REQ_NMI);
}

/* ---- the state table ---- */

static bool covers(const struct state_desc *d)
{
	auto_free uint8_t *map = calloc(d->size, 1);

	assert_non_null(map);
	for (const struct state_field *field = d->fields; field->name != NULL; field++) {
		if (field->sub != NULL && !covers(field->sub))
			return false;
		for (size_t i = 0; i < (size_t)field->size * field->count; i++)
			if (field->off + i >= d->size || map[field->off + i]++ != 0)
				return false;
	}
	return memchr(map, 0, d->size) == NULL;
}

static void test_x86_state(void **state)
{
	struct x86_state a, b;
	auto_state_out struct state_out o = { 0 };
	struct err e;
	(void)state;

	assert_true(covers(&x86_state_desc));
	x86_state_reset(&a, true);
	assert_true(a.rip == 0xfff0 && a.seg[X86_CS].base == 0xffff0000 && a.cr0 == 0x60000010);
	assert_true(a.seg[X86_CS].attr == 0x9b && a.seg[X86_SS].attr == 0x93);
	assert_true(a.seg[X86_LDTR].attr == 0x82 && a.seg[X86_TR].attr == 0x8b);
	assert_true(a.apic_base == 0xfee00900 && a.mp_state == X86_MP_RUNNING);
	assert_ok(state_save(&o, &x86_state_desc, &a, &e), &e);
	assert_ok(state_load(&(struct state_in){ o.p, o.len }, &x86_state_desc, &b, &e), &e);
	assert_memory_equal(&a, &b, sizeof(a));
	a.cr0 = X86_CR0_PE | X86_CR0_CD;
	a.lstar = 7;
	a.xsave[100] = 9;
	a.cr4 = X86_CR4_PAE;
	a.gpr[X86_RBX] = 1;
	x86_state_init(&a, false);
	assert_true(a.cr0 == (X86_CR0_CD | X86_CR0_ET) && a.lstar == 7 && a.xsave[100] == 9);
	assert_true(a.cr4 == 0 && a.gpr[X86_RBX] == 0 && a.mp_state == X86_MP_WAIT_SIPI);
	x86_state_reset(&b, false);
	assert_true(b.apic_base == 0xfee00800 && b.mp_state == X86_MP_WAIT_SIPI);
}

static void test_x86_refused(void **state)
{
	struct x86_state s;
	struct err e;
	(void)state;

#define REFUSED(change)                                                                            \
	do {                                                                                       \
		x86_state_reset(&s, true);                                                         \
		assert_int_equal(x86_state_desc.post_load(&s, &e), 0);                             \
		change;                                                                            \
		assert_int_equal(x86_state_desc.post_load(&s, &e), -EINVAL);                       \
	} while (0)
	REFUSED(s.cpl = 4);
	REFUSED(s.cpl = 1);
	REFUSED(s.mp_state = 4);
	REFUSED(s.nmi_pending = 2);
	REFUSED(s.rflags = 0);
	REFUSED(s.rflags |= 8);
	REFUSED(s.rflags |= 1ull << 40);
	REFUSED(s.rflags |= X86_FL_VM);
	REFUSED(s.cr0 |= X86_CR0_PG);
	REFUSED(s.cr0 |= 1ull << 32);
	REFUSED(s.cr0 = X86_CR0_NW);
	REFUSED(s.cr4 = 1u << 22);
	REFUSED(s.cr4 = X86_CR4_PCIDE);
	REFUSED(s.efer = X86_EFER_LMA);
	REFUSED(s.efer = X86_EFER_LME; s.cr0 = X86_CR0_PG | X86_CR0_PE);
	REFUSED(s.efer = 2);
	REFUSED(s.cr3 = 1ull << 52);
	REFUSED(s.cr8 = 16);
	REFUSED(s.mp_state = X86_MP_WAIT_SIPI; s.cr0 |= X86_CR0_PE);
	REFUSED(s.dr7 = 1ull << 32);
	REFUSED(s.xcr0 = 0);
	REFUSED(s.xcr0 = 5);
	REFUSED(s.xcr0 = 9);
	REFUSED(s.seg[X86_FS].base = 1ull << 48);
	REFUSED(s.seg[X86_DS].attr |= 0x100);
	REFUSED(s.lstar = 1ull << 63);
	REFUSED(s.pat = 2);
	REFUSED(s.mtrr_def_type = 7);
	REFUSED(s.apic_base = 0xfee00400);
	REFUSED(s.xsave[26] = 1);
	REFUSED(s.xsave[512] = 8);
	REFUSED(s.xsave[527] = 0x80);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_init_failures, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_own_timer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_masked_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hlt_wake, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_run_stop_races, setup, teardown),
		cmocka_unit_test_setup_teardown(test_init_sipi, setup, teardown),
		cmocka_unit_test(test_x86_state),
		cmocka_unit_test(test_x86_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
