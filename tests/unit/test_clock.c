/* hv-core/clock: the virtual clock stands still when stopped; timers follow it. */
#include "ctest.h"
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include "clock/clock.h"

struct fixture {
	struct loop *l;
	struct hv_clock *c;
	struct hv_domain d;
	struct hv_timer t[2];
	unsigned fired;
	uint64_t at_ns;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err e;

	if (f == NULL || loop_create(&f->l, &e) < 0 || hv_clock_create(f->l, &f->c, &e) < 0)
		return -1;
	hv_domain_init(&f->d, "test");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	hv_clock_destroy(f->c);
	loop_destroy(f->l);
	hv_domain_finish(&f->d);
	free(f);
	return 0;
}

static void sleep_ns(long ns)
{
	nanosleep(&(struct timespec){ .tv_nsec = ns }, NULL);
}

static void test_stop_start(void **state)
{
	struct fixture *f = *state;
	uint64_t a, b;

	assert_false(hv_clock_running(f->c));
	assert_int_equal(hv_clock_now_ns(f->c), 0);
	hv_clock_set_ns(f->c, 5000 * HV_NS_PER_SEC);
	hv_clock_start(f->c);
	hv_clock_start(f->c);
	while ((a = hv_clock_now_ns(f->c)) == 5000 * HV_NS_PER_SEC)
		;
	assert_true(a > 5000 * HV_NS_PER_SEC && a < 6000 * HV_NS_PER_SEC);
	hv_clock_stop(f->c);
	hv_clock_stop(f->c);
	a = hv_clock_now_ns(f->c);
	sleep_ns(3000000);
	assert_int_equal(hv_clock_now_ns(f->c), a);
	uint64_t host = loop_now_ns();
	hv_clock_start(f->c);
	b = hv_clock_now_ns(f->c);
	assert_true(b >= a && b - a <= loop_now_ns() - host); /* the pause did not count */
}

static void test_tsc(void **state)
{
	struct fixture *f = *state;

	hv_clock_set_tsc_hz(f->c, 2500000000u);
	hv_clock_set_ns(f->c, 4000000000u);
	assert_int_equal(hv_clock_tsc(f->c), 10000000000u);
	assert_int_equal(hv_clock_tsc_to_ns(f->c, 10000000000u), 4000000000u);
	for (uint64_t tsc = 1; tsc < UINT64_MAX / 7; tsc = tsc * 5 + 3) {
		uint64_t ns = hv_clock_tsc_to_ns(f->c, tsc);
		hv_clock_set_ns(f->c, ns);
		assert_true(hv_clock_tsc(f->c) >= tsc && hv_clock_tsc(f->c) - tsc <= 3);
	}
	assert_true(hv_clock_tsc_to_ns(f->c, UINT64_MAX) < HV_TIMER_OFF);
	assert_true(hv_host_tsc_hz() > 100000000 && hv_host_tsc_hz() < 20000000000u);
	assert_int_equal(hv_host_tsc_hz(), hv_host_tsc_hz());
	assert_true(hv_clock_wall_ns(f->c) > 1600000000 * HV_NS_PER_SEC);
}

static void on_timer(void *ctx)
{
	struct fixture *f = ctx;

	f->fired++;
	f->at_ns = hv_clock_now_ns(f->c);
}

static void arm(struct fixture *f, unsigned i, uint64_t when_ns)
{
	hv_domain_lock(&f->d);
	hv_timer_arm(&f->t[i], when_ns);
	hv_domain_unlock(&f->d);
}

static void test_timers(void **state)
{
	struct fixture *f = *state;

	hv_timer_init(&f->t[0], f->c, &f->d, on_timer, f);
	hv_timer_init(&f->t[1], f->c, NULL, on_timer, f);
	arm(f, 0, 0); /* due, but the clock stands still */
	sleep_ns(1000000);
	loop_dispatch(f->l, 0);
	assert_int_equal(f->fired, 0);
	hv_clock_start(f->c);
	loop_dispatch(f->l, -1);
	assert_int_equal(f->fired, 1);
	arm(f, 0, hv_clock_now_ns(f->c) + 2000000);
	uint64_t when = hv_clock_now_ns(f->c) + 2000000;
	arm(f, 0, when);
	while (f->fired == 1)
		loop_dispatch(f->l, -1);
	assert_true(f->at_ns >= when && f->fired == 2);
	arm(f, 0, hv_clock_now_ns(f->c));
	arm(f, 1, hv_clock_now_ns(f->c));
	arm(f, 0, HV_TIMER_OFF);
	arm(f, 0, HV_TIMER_OFF);
	for (int i = 0; i < 5; i++)
		loop_dispatch(f->l, 1);
	assert_int_equal(f->fired, 3);
	arm(f, 0, hv_clock_now_ns(f->c) + 1000000);
	hv_clock_stop(f->c);
	sleep_ns(2000000);
	loop_dispatch(f->l, 0);
	assert_int_equal(f->fired, 3);
	hv_clock_start(f->c);
	while (f->fired == 3)
		loop_dispatch(f->l, -1);
	arm(f, 0, UINT64_MAX - 1); /* so far ahead that sums overflow */
	arm(f, 1, HV_NS_PER_SEC << 33);
	loop_dispatch(f->l, 0);
	assert_int_equal(f->fired, 4);
	hv_timer_finish(&f->t[0]);
	hv_timer_finish(&f->t[0]);
}

/* Waited for elsewhere: the loop does not call it, and does not wake up for it. */
static void test_taken_over(void **state)
{
	struct fixture *f = *state;
	uint64_t when, before;

	hv_timer_init(&f->t[0], f->c, &f->d, on_timer, f);
	assert_int_equal(hv_timer_take_over(&f->t[0]), HV_TIMER_OFF);
	hv_timer_give_back(&f->t[0]);
	hv_clock_start(f->c);
	assert_int_equal(hv_timer_take_over(&f->t[0]), HV_TIMER_OFF);
	before = loop_now_ns();
	arm(f, 0, hv_clock_now_ns(f->c) + 2000000);
	when = hv_timer_take_over(&f->t[0]);
	assert_true(when >= before + 2000000 && when <= loop_now_ns() + 2000000);
	while (loop_now_ns() < when)
		sleep_ns(500000);
	assert_int_equal(poll(&(struct pollfd){ loop_fd(f->l), POLLIN, 0 }, 1, 10), 0);
	loop_dispatch(f->l, 0);
	assert_int_equal(f->fired, 0);
	hv_timer_give_back(&f->t[0]);
	assert_int_equal(f->fired, 1);
	/* Back before its time, and armed by somebody meanwhile: the loop's. */
	arm(f, 0, hv_clock_now_ns(f->c) + 5000000);
	hv_timer_take_over(&f->t[0]);
	hv_timer_give_back(&f->t[0]);
	while (f->fired == 1)
		loop_dispatch(f->l, -1);
	arm(f, 0, hv_clock_now_ns(f->c) + HV_NS_PER_SEC * 1000);
	hv_timer_take_over(&f->t[0]);
	arm(f, 0, hv_clock_now_ns(f->c) + 1000000);
	while (f->fired == 2)
		loop_dispatch(f->l, -1);
	hv_timer_give_back(&f->t[0]);
	assert_int_equal(f->fired, 3);
	hv_timer_finish(&f->t[0]);
}

static atomic_bool stop_readers;

static void *reader(void *arg)
{
	struct fixture *f = arg;
	uint64_t last = 0;

	while (!atomic_load(&stop_readers)) {
		uint64_t now = hv_clock_now_ns(f->c);
		assert(now >= last);
		last = now;
	}
	return NULL;
}

/* Another clock is ahead: timers in between are due; it never goes back. */
static void test_catch_up(void **state)
{
	struct fixture *f = *state;

	hv_timer_init(&f->t[0], f->c, &f->d, on_timer, f);
	hv_clock_start(f->c);
	arm(f, 0, 500 * HV_NS_PER_SEC);
	hv_clock_catch_up(f->c, 1000 * HV_NS_PER_SEC);
	assert_true(hv_clock_now_ns(f->c) >= 1000 * HV_NS_PER_SEC);
	while (f->fired == 0)
		loop_dispatch(f->l, -1);
	hv_clock_stop(f->c);
	const uint64_t now = hv_clock_now_ns(f->c);
	hv_clock_catch_up(f->c, 900 * HV_NS_PER_SEC);
	assert_int_equal(hv_clock_now_ns(f->c), now);
	hv_clock_catch_up(f->c, 2000 * HV_NS_PER_SEC);
	assert_int_equal(hv_clock_now_ns(f->c), 2000 * HV_NS_PER_SEC);
	hv_timer_finish(&f->t[0]);
}

static void test_threads(void **state)
{
	struct fixture *f = *state;
	pthread_t t[2];

	atomic_store(&stop_readers, false);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, reader, f), 0);
	for (int i = 0; i < 3000; i++) {
		hv_clock_start(f->c);
		hv_clock_stop(f->c);
		uint64_t now = hv_clock_now_ns(f->c);
		assert_int_equal(hv_clock_now_ns(f->c), now);
	}
	atomic_store(&stop_readers, true);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
}

static void count_armed(void *ctx)
{
	++*(unsigned *)ctx;
}

struct order {
	struct hv_clock *c;
	struct hv_timer t;
	uint64_t *at; /* filled in turn */
	unsigned *n, id;
	uint64_t again_ns; /* 0: once */
};

static void note_order(void *ctx)
{
	struct order *o = ctx;

	o->at[*o->n] = hv_clock_now_ns(o->c) * 10 + o->id;
	++*o->n;
	if (o->again_ns != 0)
		hv_timer_arm(&o->t, hv_clock_now_ns(o->c) + o->again_ns);
}

/* Nothing moves but by advance and skip; what is due comes in order, the first armed first. */
static void test_counted(void **state)
{
	struct fixture *f = *state;
	unsigned armed = 0, n = 0;
	uint64_t at[16];
	struct order o[3];

	hv_clock_set_counted(f->c, count_armed, &armed);
	assert_true(hv_clock_counted(f->c));
	for (unsigned i = 0; i < 3; i++) {
		o[i] = (struct order){ .c = f->c, .at = at, .n = &n, .id = i };
		hv_timer_init(&o[i].t, f->c, NULL, note_order, &o[i]);
	}
	hv_clock_start(f->c);
	assert_false(hv_clock_skip(f->c));
	sleep_ns(2000000);
	assert_int_equal(hv_clock_now_ns(f->c), 0);
	assert_int_equal(hv_clock_wall_ns(f->c), HV_CLOCK_COUNTED_EPOCH_NS);
	hv_timer_arm(&o[1].t, 100);
	hv_timer_arm(&o[2].t, 100);
	hv_timer_arm(&o[0].t, 50);
	assert_int_equal(armed, 3);
	hv_clock_advance(f->c, 49);
	assert_int_equal(hv_clock_run_due(f->c), 50);
	assert_int_equal(n, 0);
	hv_clock_advance(f->c, 51);
	loop_dispatch(f->l, 0); /* is not asked */
	assert_int_equal(n, 0);
	assert_int_equal(hv_clock_run_due(f->c), HV_TIMER_OFF);
	assert_int_equal(n, 3);
	assert_int_equal(at[0], 1000);
	assert_int_equal(at[1], 1001);
	assert_int_equal(at[2], 1002);
	o[0].again_ns = 7;
	hv_timer_arm(&o[0].t, 500);
	assert_true(hv_clock_skip(f->c));
	assert_int_equal(hv_clock_run_due(f->c), 507);
	assert_int_equal(at[3], 5000);
	assert_int_equal(hv_clock_wall_ns(f->c), HV_CLOCK_COUNTED_EPOCH_NS + 500);
	hv_timer_finish(&o[0].t);
	assert_false(hv_clock_skip(f->c));
}

/* A timer that is due again at once does not hold up the guest for ever. */
static void test_counted_storm(void **state)
{
	struct fixture *f = *state;
	unsigned armed = 0, n = 0;
	uint64_t at[1024];
	struct order o = { .c = f->c, .at = at, .n = &n };

	hv_clock_set_counted(f->c, count_armed, &armed);
	hv_timer_init(&o.t, f->c, NULL, note_order, &o);
	hv_clock_start(f->c);
	hv_timer_arm(&o.t, 0);
	o.again_ns = 0;
	assert_int_equal(hv_clock_run_due(f->c), HV_TIMER_OFF);
	assert_int_equal(n, 1);
	hv_timer_arm(&o.t, 1);
	o.again_ns = UINT64_MAX; /* now + that: a nanosecond ago */
	hv_clock_advance(f->c, 5);
	assert_true(hv_clock_run_due(f->c) <= 5);
	assert_true(n > 1 && n < 1024);
	hv_timer_finish(&o.t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_stop_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tsc, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_taken_over, setup, teardown),
		cmocka_unit_test_setup_teardown(test_catch_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_counted_storm, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
