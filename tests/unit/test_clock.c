/* hv-core/clock: the virtual clock stands still when stopped; timers follow it. */
#include "ctest.h"
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_stop_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tsc, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
