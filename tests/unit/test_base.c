/* hv-core/base: errors, log, trace points, threads, the event loop. */
#include "ctest.h"
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include "base/log.h"
#include "base/loop.h"
#include "base/thread.h"
#include "base/trace.h"

/* ---- errors, log, trace ---- */

static char last_line[2048];
static unsigned n_lines;

static void keep_line(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	snprintf(last_line, sizeof(last_line), "%s", line);
	n_lines++;
}

static void test_err(void **state)
{
	struct err e;
	(void)state;

	assert_int_equal(err_set(&e, -EINVAL, "bad %d", 7), -EINVAL);
	assert_int_equal(err_prefix(&e, "disk%u", 0), -EINVAL);
	assert_string_equal(e.msg, "disk0: bad 7");
	assert_int_equal(err_set(NULL, -EIO, "nobody reads"), -EIO);
	char big[600];
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	err_set(&e, -EIO, "%s", big);
	err_prefix(&e, "%s", big);
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
}

static void test_log(void **state)
{
	enum log_level level = LOG_LVL_ERROR;
	(void)state;

	log_set_sink(keep_line, NULL);
	n_lines = 0;
	log_msg(LOG_LVL_INFO, "a", "not wanted");
	assert_int_equal(n_lines, 0);
	log_msg(LOG_LVL_WARN, "pci0.3/virtio-blk", "odd %s", "\033[31mred\n");
	assert_int_equal(n_lines, 1);
	assert_string_equal(last_line, "warn: pci0.3/virtio-blk: odd ?[31mred ");
	log_set_level(LOG_LVL_DEBUG);
	assert_true(log_wants(LOG_LVL_DEBUG) && !log_wants(LOG_LVL_TRACE));
	log_msg(LOG_LVL_DEBUG, NULL, "%02000d", 7);
	assert_true(strlen(last_line) < 1100);
	log_set_level(LOG_LVL_WARN);
	assert_int_equal(log_level_parse("debug", &level), 0);
	assert_int_equal(level, LOG_LVL_DEBUG);
	assert_int_equal(log_level_parse("Debug", &level), -EINVAL);
	log_set_sink(NULL, NULL);
}

static void test_log_file(void **state)
{
	char path[] = "/tmp/lodge-log-XXXXXX", text[512] = "";
	auto_close int fd = mkstemp(path);
	struct err e;
	(void)state;

	assert_true(fd >= 0);
	log_set_sink(keep_line, NULL);
	assert_ok(log_open_file(path, &e), &e);
	log_msg(LOG_LVL_ERROR, "vm", "to both");
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	assert_non_null(strstr(text, "error: vm: to both\n"));
	unlink(path);
	assert_true(log_open_file("/nonexistent/x", &e) == -ENOENT && strstr(e.msg, "nonexistent"));
	log_set_sink(NULL, NULL);
}

TRACE_POINT_DEFINE(unit_first);
TRACE_POINT_DEFINE(unit_second);
static struct trace_point *const points[] = { &trace_unit_first, &trace_unit_second, NULL };

static void test_trace(void **state)
{
	(void)state;
	log_set_sink(keep_line, NULL);
	trace_register(points);
	trace_register(points);
	n_lines = 0;
	TRACE(unit_first, "off");
	assert_int_equal(trace_switch("unit_*", true), 2);
	assert_int_equal(trace_switch("unit_f*", false), 1);
	TRACE(unit_first, "off");
	assert_int_equal(n_lines, 0);
	TRACE(unit_second, "n=%d", 3);
	assert_string_equal(last_line, "trace: unit_second: n=3");
	log_set_sink(NULL, NULL);
}

/* ---- threads ---- */

static void *look_around(void *arg)
{
	sigset_t *set = arg;

	pthread_sigmask(SIG_SETMASK, NULL, set);
	return NULL;
}

static void test_thread(void **state)
{
	sigset_t seen;
	pthread_t t;
	struct err e;
	(void)state;

	assert_ok(hv_thread_start(&t, "a name longer than fifteen", look_around, &seen, &e), &e);
	pthread_join(t, NULL);
	assert_true(sigismember(&seen, SIGINT) && sigismember(&seen, SIGTERM));
	assert_false(sigismember(&seen, SIGSEGV) || sigismember(&seen, SIGBUS));
	pthread_sigmask(SIG_SETMASK, NULL, &seen);
	assert_false(sigismember(&seen, SIGINT));
}

/* ---- loop ---- */

struct fixture {
	struct loop *l;
	struct loop_fd a, b;
	struct loop_timer t[3];
	struct loop_work w[2];
	int quiet_fd[2];
	char order[64];
	unsigned n;
};

static void note(struct fixture *f, char c)
{
	if (f->n < sizeof(f->order) - 1) {
		f->order[f->n++] = c;
		f->order[f->n] = '\0';
	}
}

static int loop_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err e;

	if (f == NULL || loop_create(&f->l, &e) < 0)
		return -1;
	*state = f;
	return 0;
}

static int loop_teardown(void **state)
{
	struct fixture *f = *state;

	loop_destroy(f->l);
	free(f);
	return 0;
}

static void on_a(void *ctx, uint32_t events)
{
	struct fixture *f = ctx;
	(void)events;

	note(f, 'a');
	loop_fd_remove(f->l, &f->a);
	loop_fd_remove(f->l, &f->b);
}

/* Two descriptors are ready in one round; whichever comes first takes both out. */
static void test_loop_fd_removed_in_round(void **state)
{
	struct fixture *f = *state;
	auto_close int fd1 = eventfd(1, 0);
	auto_close int fd2 = eventfd(1, 0);
	struct err e;

	f->a = (struct loop_fd){ .fn = on_a, .ctx = f, .fd = fd1 };
	f->b = (struct loop_fd){ .fn = on_a, .ctx = f, .fd = fd2 };
	for (int i = 1; i <= 3; i++) {
		assert_ok(loop_fd_add(f->l, &f->a, EPOLLIN, &e), &e);
		assert_ok(loop_fd_add(f->l, &f->b, EPOLLIN, &e), &e);
		loop_dispatch(f->l, 0);
		assert_int_equal(f->n, i);
		loop_dispatch(f->l, 0);
		assert_int_equal(f->n, i);
	}
	loop_fd_remove(f->l, &f->a);
	assert_ok(loop_fd_add(f->l, &f->a, 0, &e), &e);
	loop_dispatch(f->l, 0);
	assert_int_equal(f->n, 3);
	assert_int_equal(loop_fd_change(f->l, &f->a, EPOLLIN), 0);
	loop_dispatch(f->l, 0);
	assert_int_equal(f->n, 4);
}

static void on_b(void *ctx, uint32_t events)
{
	(void)events;
	note(ctx, 'b');
}

/* Whichever is called first puts another, not ready, into the other's place: epoll's event of the
 * one that went is still on its way, and must not become the new one's. */
static void on_swap(void *ctx, uint32_t events)
{
	struct fixture *f = ctx;
	struct err e;
	(void)events;

	note(f, 's');
	loop_fd_remove(f->l, &f->a);
	loop_fd_remove(f->l, &f->b);
	f->a = (struct loop_fd){ .fn = on_b, .ctx = f, .fd = f->quiet_fd[0] };
	f->b = (struct loop_fd){ .fn = on_b, .ctx = f, .fd = f->quiet_fd[1] };
	assert_ok(loop_fd_add(f->l, &f->a, EPOLLIN, &e), &e);
	assert_ok(loop_fd_add(f->l, &f->b, EPOLLIN, &e), &e);
}

static void test_loop_fd_replaced_in_round(void **state)
{
	struct fixture *f = *state;
	auto_close int fd1 = eventfd(1, 0);
	auto_close int fd2 = eventfd(1, 0);
	struct err e;

	f->quiet_fd[0] = eventfd(0, 0);
	f->quiet_fd[1] = eventfd(0, 0);
	f->a = (struct loop_fd){ .fn = on_swap, .ctx = f, .fd = fd1 };
	f->b = (struct loop_fd){ .fn = on_swap, .ctx = f, .fd = fd2 };
	assert_ok(loop_fd_add(f->l, &f->a, EPOLLIN, &e), &e);
	assert_ok(loop_fd_add(f->l, &f->b, EPOLLIN, &e), &e);
	loop_dispatch(f->l, 0);
	assert_string_equal(f->order, "s");
	close(f->quiet_fd[0]);
	close(f->quiet_fd[1]);
}

static void test_loop_many_fds(void **state)
{
	struct fixture *f = *state;
	struct loop_fd many[100];
	struct err e;

	for (size_t i = 0; i < HV_ARRAY_LEN(many); i++) {
		many[i] = (struct loop_fd){ .fn = on_a, .ctx = f, .fd = eventfd(0, 0) };
		assert_ok(loop_fd_add(f->l, &many[i], EPOLLIN, &e), &e);
	}
	loop_dispatch(f->l, 0);
	assert_int_equal(f->n, 0);
	for (size_t i = 0; i < HV_ARRAY_LEN(many); i++) {
		loop_fd_remove(f->l, &many[i]);
		close(many[i].fd);
	}
	f->a = (struct loop_fd){ .fn = on_a, .ctx = f, .fd = -1 };
	assert_int_equal(loop_fd_add(f->l, &f->a, EPOLLIN, &e), -EBADF);
	assert_false(f->a.added);
}

static void timer0(void *ctx)
{
	note(ctx, '0');
}

static void timer1(void *ctx)
{
	struct fixture *f = ctx;

	note(f, '1');
	loop_timer_arm(f->l, &f->t[2], LOOP_TIMER_OFF);
	loop_timer_arm(f->l, &f->t[1], loop_now_ns() + HV_NS_PER_SEC * 1000);
}

static void timer2(void *ctx)
{
	note(ctx, '2');
}

static void test_loop_timers(void **state)
{
	struct fixture *f = *state;
	uint64_t now = loop_now_ns();
	void (*const fn[3])(void *) = { timer0, timer1, timer2 };

	for (int i = 0; i < 3; i++)
		f->t[i] = (struct loop_timer){ .fn = fn[i], .ctx = f };
	loop_timer_arm(f->l, &f->t[2], now + 3000000);
	loop_timer_arm(f->l, &f->t[1], now + 2000000);
	loop_timer_arm(f->l, &f->t[0], now + 1000000);
	while (f->n < 2)
		loop_dispatch(f->l, -1);
	assert_true(loop_now_ns() >= now + 2000000);
	assert_string_equal(f->order, "01"); /* 1 disarmed 2 */
	loop_timer_arm(f->l, &f->t[1], LOOP_TIMER_OFF);
	loop_timer_arm(f->l, &f->t[2], 0);
	loop_dispatch(f->l, -1);
	assert_string_equal(f->order, "012");
	assert_int_equal(f->t[2].heap_index, 0);
}

static bool wakes(const struct loop *l, int ms)
{
	struct pollfd p = { .fd = loop_fd(l), .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

/* What was disarmed does not wake the loop if that is asked for; the next one does. */
static void test_loop_forget(void **state)
{
	struct fixture *f = *state;
	const uint64_t now = loop_now_ns();

	f->t[0] = (struct loop_timer){ .fn = timer0, .ctx = f };
	f->t[1] = (struct loop_timer){ .fn = timer1, .ctx = f };
	loop_timer_arm(f->l, &f->t[0], now + 2000000);
	loop_timer_forget(f->l, &f->t[0]);
	loop_timer_forget(f->l, &f->t[0]);
	assert_false(wakes(f->l, 20));
	loop_timer_arm(f->l, &f->t[1], loop_now_ns() + 3000000);
	loop_timer_arm(f->l, &f->t[0], loop_now_ns() + 1000000);
	loop_timer_forget(f->l, &f->t[0]);
	while (f->n < 1)
		loop_dispatch(f->l, -1);
	assert_string_equal(f->order, "1");
	loop_timer_arm(f->l, &f->t[0], 0);
	loop_dispatch(f->l, -1);
	assert_string_equal(f->order, "10");
}

/* The heap against a plain search: 500 timers armed, moved and disarmed at random. */
struct heap_fixture {
	uint64_t last;
	unsigned fired;
	struct heap_timer {
		struct loop_timer t;
		struct heap_fixture *f;
		uint64_t when;
	} t[500];
};

static void heap_fired(void *ctx)
{
	struct heap_timer *t = ctx;

	assert_true(t->when >= t->f->last && t->when != LOOP_TIMER_OFF);
	t->f->last = t->when;
	t->when = LOOP_TIMER_OFF;
	t->f->fired++;
}

static void test_loop_heap(void **state)
{
	struct fixture *f = *state;
	auto_free struct heap_fixture *h = calloc(1, sizeof(*h));
	uint64_t x = 88172645463325252u;
	unsigned armed = 0;

	assert_non_null(h);
	for (size_t i = 0; i < HV_ARRAY_LEN(h->t); i++) {
		h->t[i].f = h;
		h->t[i].t = (struct loop_timer){ .fn = heap_fired, .ctx = &h->t[i] };
		h->t[i].when = LOOP_TIMER_OFF;
	}
	for (unsigned i = 0; i < 20000; i++) {
		struct heap_timer *t = &h->t[test_rnd(&x) % HV_ARRAY_LEN(h->t)];
		t->when = test_rnd(&x) % 4 == 0 ? LOOP_TIMER_OFF : test_rnd(&x) % 1000000;
		loop_timer_arm(f->l, &t->t, t->when);
	}
	for (size_t i = 0; i < HV_ARRAY_LEN(h->t); i++)
		armed += h->t[i].when != LOOP_TIMER_OFF;
	assert_true(armed > 100);
	while (h->fired < armed)
		loop_dispatch(f->l, -1);
	for (size_t i = 0; i < HV_ARRAY_LEN(h->t); i++)
		assert_int_equal(h->t[i].t.heap_index, 0);
}

static void work0(void *ctx)
{
	struct fixture *f = ctx;

	note(f, 'x');
	if (f->n < 4)
		loop_post(f->l, &f->w[0]);
}

static void work1(void *ctx)
{
	note(ctx, 'y');
}

static void test_loop_post(void **state)
{
	struct fixture *f = *state;

	f->w[0] = (struct loop_work){ .fn = work0, .ctx = f };
	f->w[1] = (struct loop_work){ .fn = work1, .ctx = f };
	loop_post(f->l, &f->w[0]);
	loop_post(f->l, &f->w[0]);
	loop_post(f->l, &f->w[1]);
	loop_dispatch(f->l, -1);
	assert_string_equal(f->order, "xy");
	loop_post(f->l, &f->w[1]);
	loop_unpost(f->l, &f->w[1]);
	loop_dispatch(f->l, 0);
	assert_string_equal(f->order, "xyx");
	loop_dispatch(f->l, 0);
	loop_dispatch(f->l, 0);
	assert_string_equal(f->order, "xyxx");
	loop_post(f->l, &f->w[1]);
	loop_post(f->l, &f->w[0]);
	loop_unpost(f->l, &f->w[0]); /* the tail: what is posted next must not be lost */
	loop_post(f->l, &f->w[0]);
	loop_dispatch(f->l, 0);
	assert_string_equal(f->order, "xyxxyx");
}

static atomic_uint storm_count;
static struct loop_work storm_work[4];

static void storm(void *ctx)
{
	(void)ctx;
	atomic_fetch_add(&storm_count, 1);
}

static void *poster(void *arg)
{
	struct fixture *f = arg;

	assert(!loop_is_mine(f->l));
	for (unsigned i = 0; i < 20000; i++) {
		loop_post(f->l, &storm_work[i % 4]);
		loop_timer_arm(f->l, &f->t[0], loop_now_ns() + i % 1000);
	}
	loop_timer_arm(f->l, &f->t[0], LOOP_TIMER_OFF);
	loop_quit(f->l);
	return NULL;
}

static void test_loop_threads(void **state)
{
	struct fixture *f = *state;
	pthread_t t;
	struct err e;

	for (size_t i = 0; i < HV_ARRAY_LEN(storm_work); i++)
		storm_work[i] = (struct loop_work){ .fn = storm };
	f->t[0] = (struct loop_timer){ .fn = storm };
	assert_true(loop_is_mine(f->l));
	assert_ok(hv_thread_start(&t, "poster", poster, f, &e), &e);
	loop_run(f->l);
	pthread_join(t, NULL);
	for (int i = 0; i < 3; i++)
		loop_dispatch(f->l, 0);
	for (size_t i = 0; i < HV_ARRAY_LEN(storm_work); i++)
		assert_false(storm_work[i].queued);
	assert_true(storm_count >= 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_err),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_log_file),
		cmocka_unit_test(test_trace),
		cmocka_unit_test(test_thread),
		cmocka_unit_test_setup_teardown(test_loop_fd_removed_in_round, loop_setup,
						loop_teardown),
		cmocka_unit_test_setup_teardown(test_loop_fd_replaced_in_round, loop_setup,
						loop_teardown),
		cmocka_unit_test_setup_teardown(test_loop_many_fds, loop_setup, loop_teardown),
		cmocka_unit_test_setup_teardown(test_loop_timers, loop_setup, loop_teardown),
		cmocka_unit_test_setup_teardown(test_loop_forget, loop_setup, loop_teardown),
		cmocka_unit_test_setup_teardown(test_loop_heap, loop_setup, loop_teardown),
		cmocka_unit_test_setup_teardown(test_loop_post, loop_setup, loop_teardown),
		cmocka_unit_test_setup_teardown(test_loop_threads, loop_setup, loop_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
