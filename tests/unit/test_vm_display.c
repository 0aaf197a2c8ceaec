/* devmodel/vm/display: what viewers see of an adapter's picture, and when it is asked to draw. */
#include "ctest.h"
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "client/display.h"
#include "vm/display.h"

/* An adapter: what the guest's screen is, and what of it was not drawn yet. */
struct adapter {
	uint32_t width, height, aspect_x, colour;
	bool blank, missing, changed, told;
	struct disp_rect rect; /* what changed; width 0: everything */
	uint64_t still_ns;     /* 0: it does not blink; else it does in every draw */
	unsigned draws, alls;
};

static struct loop *loop;
static struct adapter adapter;
static struct display *screen;
static struct ui_picture pic;
static const char me[] = "me", you[] = "you";

static void paint(const struct disp_picture *p, const struct disp_rect *r, uint32_t colour)
{
	for (uint32_t y = r->y; y < r->y + r->height; y++)
		for (uint32_t x = r->x; x < r->x + r->width; x++)
			p->pixels[(size_t)y * p->width + x] = colour;
}

static bool draw(void *ctx, struct disp_picture *p, bool all)
{
	struct adapter *a = ctx;
	const bool resized = p->width != a->width || p->height != a->height;
	const bool whole = all || resized || a->rect.width == 0;

	if (a->missing)
		return false;
	a->draws++;
	a->alls += all;
	p->width = a->width;
	p->height = a->height;
	p->aspect_x = a->aspect_x;
	p->aspect_y = 5;
	p->blank = a->blank;
	p->told = a->told;
	p->still_ns = a->still_ns > 0 ? a->still_ns : DISP_FOR_EVER;
	p->blinked = a->still_ns > 0 && !all && !resized && !a->changed;
	p->n_rects = all || resized || a->changed || p->blinked;
	p->rect[0] = whole ? (struct disp_rect){ 0, 0, a->width, a->height } : a->rect;
	if (p->n_rects > 0)
		paint(p, &p->rect[0], a->colour);
	a->changed = false;
	return true;
}

static int setup(void **state)
{
	struct err e;

	(void)state;
	adapter = (struct adapter){ .width = 32, .height = 20, .aspect_x = 6, .colour = 1 };
	assert_ok(loop_create(&loop, &e), &e);
	assert_ok(display_create(loop, draw, &adapter, &screen, &e), &e);
	display_set_running(screen, true);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	display_destroy(screen);
	loop_destroy(loop);
	return 0;
}

static struct display_viewer open_raw(const void *owner)
{
	struct display_viewer v;
	struct err e;

	assert_ok(display_open(screen, owner, &v, &e), &e);
	return v;
}

/* A viewer as the programs have it. */
static struct ui_display *view(const void *owner, uint32_t *ret_id)
{
	const struct display_viewer v = open_raw(owner);
	struct ui_display *d = ui_display_map(v.frame_fd, v.wake_fd, NULL);

	assert_non_null(d);
	if (ret_id)
		*ret_id = v.id;
	return d;
}

/* Dispatches until the adapter has drawn n times more; hurry: as often as can be. */
static void dispatch_draws(unsigned n, bool hurry)
{
	const unsigned end = adapter.draws + n;

	while (adapter.draws < end) {
		if (hurry)
			display_stir(screen);
		loop_dispatch(loop, 1000);
	}
}

static void wait_draws(unsigned n)
{
	dispatch_draws(n, true);
}

/* The loop has nothing to do for some time. */
static void assert_quiet(void)
{
	const unsigned draws = adapter.draws;

	for (unsigned i = 0; i < 7; i++)
		loop_dispatch(loop, 10);
	assert_int_equal(adapter.draws, draws);
}

static void change(uint32_t colour, struct disp_rect rect)
{
	adapter.colour = colour;
	adapter.rect = rect;
	adapter.changed = true;
}

static struct display_stats stats(void)
{
	struct display_stats s;

	display_get_stats(screen, &s);
	return s;
}

/* ---- what is seen ---- */

static void test_first_picture(void **state)
{
	struct ui_display *d = view(me, NULL);

	(void)state;
	assert_int_equal(ui_display_read(d, &pic), UI_FRAME_NEW);
	assert_int_equal(pic.width, 32);
	assert_int_equal(pic.height, 20);
	assert_int_equal(pic.aspect_x, 6);
	assert_int_equal(pic.aspect_y, 5);
	assert_false(pic.blank);
	for (unsigned i = 0; i < 32 * 20; i++)
		assert_int_equal(pic.pixels[i], 1);
	assert_int_equal(ui_display_read(d, &pic), UI_FRAME_SAME);
	ui_display_close(d);
}

static void test_damage(void **state)
{
	struct ui_display *d = view(me, NULL);

	(void)state;
	ui_display_read(d, &pic);
	change(7, (struct disp_rect){ 3, 4, 5, 6 });
	wait_draws(2);
	assert_int_equal(ui_display_read(d, &pic), UI_FRAME_NEW);
	assert_int_equal(pic.n_rects, 1);
	assert_int_equal(pic.rect[0].x, 3);
	assert_int_equal(pic.rect[0].height, 6);
	assert_int_equal(pic.pixels[4 * 32 + 3], 7);
	assert_int_equal(pic.pixels[0], 1);
	assert_false(pic.mode_changed);
	adapter.aspect_x = 3;
	change(8, (struct disp_rect){ 0, 0, 1, 1 });
	wait_draws(2);
	assert_int_equal(ui_display_read(d, &pic), UI_FRAME_NEW);
	assert_true(pic.mode_changed);
	assert_int_equal(pic.aspect_x, 3);
	ui_display_close(d);
}

static void test_modes(void **state)
{
	struct ui_display *d = view(me, NULL);

	(void)state;
	ui_display_read(d, &pic);
	for (unsigned i = 0; i < 3; i++) {
		adapter.width = i % 2 ? 16 : DISP_MAX_WIDTH;
		adapter.height = i % 2 ? 8 : DISP_MAX_HEIGHT;
		adapter.colour = 100 + i;
		wait_draws(2);
		assert_int_equal(ui_display_read(d, &pic), UI_FRAME_NEW);
		assert_true(pic.mode_changed);
		assert_int_equal(pic.width, adapter.width);
		assert_int_equal(pic.pixels[(size_t)pic.width * pic.height - 1], 100 + i);
	}
	ui_display_close(d);
}

/* Black, whatever the adapter has drawn, and whole again afterwards. */
static void test_blank(void **state)
{
	struct ui_display *d = view(me, NULL);

	(void)state;
	ui_display_read(d, &pic);
	adapter.blank = true;
	wait_draws(2);
	assert_int_equal(ui_display_read(d, &pic), UI_FRAME_NEW);
	assert_true(pic.blank);
	for (unsigned i = 0; i < 32 * 20; i++)
		assert_int_equal(pic.pixels[i], 0);
	change(9, (struct disp_rect){ 1, 1, 1, 1 });
	wait_draws(2);
	ui_display_read(d, &pic);
	assert_int_equal(pic.pixels[33], 0);
	adapter.blank = false;
	wait_draws(2);
	assert_int_equal(ui_display_read(d, &pic), UI_FRAME_NEW);
	assert_false(pic.blank);
	for (unsigned i = 0; i < 32 * 20; i++)
		assert_int_equal(pic.pixels[i], 9);
	/* opened while it is blank */
	adapter.blank = true;
	struct ui_display *late = view(you, NULL);
	assert_int_equal(ui_display_read(late, &pic), UI_FRAME_NEW);
	assert_true(pic.blank);
	assert_int_equal(pic.pixels[0], 0);
	ui_display_close(late);
	ui_display_close(d);
}

/* ---- what a viewer can do ---- */

static void test_frame_is_sealed(void **state)
{
	const struct display_viewer v = open_raw(me);
	const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	char byte = 1;

	(void)state;
	assert_int_equal(fcntl(v.frame_fd, F_GET_SEALS) & all, all);
	assert_true(ftruncate(v.frame_fd, 0) < 0);
	assert_true(ftruncate(v.frame_fd, 1ll << 40) < 0);
	assert_true(pwrite(v.frame_fd, &byte, 1, 0) < 0);
	assert_true(fallocate(v.frame_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) < 0);
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, v.frame_fd, 0),
			 MAP_FAILED);
	void *p = mmap(NULL, FRAME_BYTES, PROT_READ, MAP_SHARED, v.frame_fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_true(mprotect(p, 4096, PROT_READ | PROT_WRITE) < 0);
	munmap(p, FRAME_BYTES);
	close(v.frame_fd);
	close(v.wake_fd);
}

static void test_ids_belong_to_owners(void **state)
{
	uint32_t mine, yours;
	struct ui_display *a = view(me, &mine), *b = view(you, &yours);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(display_set_rate(screen, you, mine, 0, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "no screen"));
	assert_int_equal(display_close(screen, you, mine, &e), -ENOENT);
	assert_int_equal(display_set_rate(screen, me, mine, DISPLAY_MAX_RATE + 1, &e), -EINVAL);
	assert_ok(display_set_rate(screen, me, mine, DISPLAY_MAX_RATE, &e), &e);
	assert_ok(display_close(screen, me, mine, &e), &e);
	assert_int_equal(display_close(screen, me, mine, &e), -ENOENT);
	assert_int_equal(display_close(screen, NULL, 0, &e), -ENOENT);
	ui_display_read(a, &pic);
	assert_int_equal(ui_display_read(a, &pic), UI_FRAME_ENDED);
	ui_display_read(b, &pic);
	assert_int_equal(ui_display_read(b, &pic), UI_FRAME_SAME);
	display_owner_gone(screen, you);
	assert_int_equal(ui_display_read(b, &pic), UI_FRAME_ENDED);
	ui_display_close(a);
	ui_display_close(b);
}

/* One that never reads, with its stream made blocking and full: nobody else notices. */
static void test_viewer_that_never_reads(void **state)
{
	const struct display_viewer lazy = open_raw(you);
	struct ui_display *d = view(me, NULL);
	struct err e;
	char buf[65536];

	(void)state;
	assert_int_equal(fcntl(lazy.wake_fd, F_SETFL, 0), 0);
	for (unsigned i = 0; i < 5000; i++) {
		change(i, (struct disp_rect){ 0, 0, 1, 1 });
		display_set_running(screen, false); /* draws */
	}
	ui_display_read(d, &pic);
	assert_int_equal(pic.pixels[0], 4999);
	const ssize_t n = recv(lazy.wake_fd, buf, sizeof(buf), MSG_DONTWAIT);
	assert_in_range(n, 1, 4999);
	/* gone without a word */
	close(lazy.wake_fd);
	change(1, (struct disp_rect){ 0, 0, 1, 1 });
	display_set_running(screen, false);
	assert_int_equal(ui_display_read(d, &pic), UI_FRAME_NEW);
	assert_ok(display_close(screen, you, lazy.id, &e), &e);
	close(lazy.frame_fd);
	ui_display_close(d);
}

static void test_many_viewers(void **state)
{
	struct display_viewer v[DISPLAY_MAX_VIEWERS], more;
	struct err e;

	(void)state;
	for (unsigned i = 0; i < DISPLAY_MAX_VIEWERS; i++)
		v[i] = open_raw(i % 2 ? me : you);
	assert_int_equal(display_open(screen, me, &more, &e), -ENOSPC);
	display_owner_gone(screen, you);
	more = open_raw(me);
	for (unsigned i = 0; i < DISPLAY_MAX_VIEWERS; i++)
		assert_true(more.id != v[i].id);
	change(3, (struct disp_rect){ 0, 0, 1, 1 });
	wait_draws(2);
	for (unsigned i = 0; i < DISPLAY_MAX_VIEWERS; i++) {
		struct ui_display *d = ui_display_map(v[i].frame_fd, v[i].wake_fd, NULL);
		struct pollfd p = { .fd = v[i].wake_fd, .events = POLLIN };
		assert_int_equal(poll(&p, 1, 0), 1);
		assert_int_equal(ui_display_read(d, &pic), UI_FRAME_NEW);
		assert_int_equal(pic.pixels[0], 3);
		ui_display_close(d);
	}
	close(more.frame_fd);
	close(more.wake_fd);
}

/* ---- when it is drawn ---- */

static void test_nobody_looks(void **state)
{
	uint32_t id;
	struct err e;

	(void)state;
	display_stir(screen);
	display_set_running(screen, false);
	display_set_running(screen, true);
	assert_quiet();
	struct ui_display *d = view(me, &id);
	wait_draws(3);
	assert_int_equal(adapter.alls, 1);
	assert_ok(display_set_rate(screen, me, id, 0, &e), &e);
	change(5, (struct disp_rect){ 0, 0, 1, 1 });
	display_stir(screen);
	display_set_running(screen, false);
	display_set_running(screen, true);
	assert_quiet();
	ui_display_read(d, &pic);
	assert_int_equal(pic.pixels[0], 1);
	assert_ok(display_set_rate(screen, me, id, 30, &e), &e);
	wait_draws(1);
	assert_int_equal(ui_display_read(d, &pic), UI_FRAME_NEW);
	assert_int_equal(pic.pixels[0], 5);
	assert_ok(display_close(screen, me, id, &e), &e);
	assert_quiet();
	ui_display_close(d);
}

/* What changed for others while a viewer was hidden, it is told of when it is not any more. */
static void test_hidden_among_others(void **state)
{
	const struct display_viewer v = open_raw(me);
	struct pollfd p = { .fd = v.wake_fd, .events = POLLIN };
	struct ui_display *other = view(you, NULL);
	struct err e;

	(void)state;
	assert_ok(display_set_rate(screen, me, v.id, 0, &e), &e);
	change(5, (struct disp_rect){ 0, 0, 1, 1 });
	wait_draws(2);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(ui_display_read(other, &pic), UI_FRAME_NEW);
	assert_ok(display_set_rate(screen, me, v.id, 20, &e), &e);
	assert_int_equal(poll(&p, 1, 0), 1);
	close(v.frame_fd);
	close(v.wake_fd);
	ui_display_close(other);
}

/* Nobody is woken for nothing, and the sequence stays. */
static void test_idle(void **state)
{
	const struct display_viewer v = open_raw(me);
	struct pollfd p = { .fd = v.wake_fd, .events = POLLIN };
	const struct frame_header *h = mmap(NULL, FRAME_BYTES, PROT_READ, MAP_SHARED, v.frame_fd,
					    0);
	const uint64_t sequence = h->sequence;

	(void)state;
	const struct display_stats before = stats();
	wait_draws(5);
	assert_int_equal(h->sequence, sequence);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(stats().draws - before.draws, 5);
	assert_int_equal(stats().frames, before.frames);
	change(5, (struct disp_rect){ 0, 0, 1, 1 });
	wait_draws(1);
	assert_int_equal(h->sequence, sequence + 2);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(stats().frames, before.frames + 1);
	munmap((void *)(uintptr_t)h, FRAME_BYTES);
	close(v.frame_fd);
	close(v.wake_fd);
}

/* How long n draws take. */
static uint64_t time_draws(unsigned n, bool with_changes)
{
	const uint64_t start = loop_now_ns();

	for (unsigned i = 0; i < n; i++) {
		if (with_changes)
			change(i, (struct disp_rect){ 0, 0, 1, 1 });
		dispatch_draws(1, false);
	}
	return loop_now_ns() - start;
}

static void come_to_rest(void)
{
	const uint64_t end = loop_now_ns() + 150000000;

	while (loop_now_ns() < end)
		loop_dispatch(loop, 10);
	dispatch_draws(1, false);
}

/* Timers may be late, but are never early: a screen at rest is not looked at more often. What
 * moves, or was typed for, is looked at sooner than that, some time or other. */
static void test_rates(void **state)
{
	struct err e;
	uint32_t id;
	struct ui_display *d = view(me, &id);
	bool film = false, typed = false;

	(void)state;
	assert_ok(display_set_rate(screen, me, id, DISPLAY_MAX_RATE, &e), &e);
	for (unsigned i = 0; i < 100 && !(film && typed); i++) {
		come_to_rest();
		assert_in_range(time_draws(3, false), 2 * 100000000, UINT64_MAX);
		display_stir(screen);
		typed |= time_draws(4, false) < 100000000;
		film |= time_draws(20, true) < 20 * 40000000ull;
	}
	assert_true(film && typed);
	assert_ok(display_set_rate(screen, me, id, 10, &e), &e);
	assert_in_range(time_draws(2, true), 100000000, UINT64_MAX);
	ui_display_close(d);
}

/* A draw that is due is not put off by input, however fast that comes in. */
static void test_stirred_when_due(void **state)
{
	struct ui_display *d = view(me, NULL);
	const struct timespec while_due = { .tv_nsec = 2 * 1000000000 / DISPLAY_FIRST_RATE };

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		wait_draws(1);
		const unsigned draws = adapter.draws;
		nanosleep(&while_due, NULL);
		display_stir(screen);
		loop_dispatch(loop, 0);
		assert_int_equal(adapter.draws, draws + 1);
	}
	ui_display_close(d);
}

/* What blinks is looked at when it does, not before, and is no film; but others' changes are. */
static void test_blinking(void **state)
{
	struct ui_display *d = view(me, NULL);
	bool soon = false, film = false;

	(void)state;
	adapter.rect = (struct disp_rect){ 0, 0, 1, 1 };
	adapter.still_ns = 120000000;
	come_to_rest();
	const struct display_stats before = stats();
	assert_in_range(time_draws(4, false), 3 * 120000000, UINT64_MAX);
	assert_int_equal(stats().frames - before.frames, 4);
	adapter.still_ns = 40000000;
	dispatch_draws(1, false);
	for (unsigned i = 0; i < 100 && !(soon && film); i++) {
		const uint64_t ns = time_draws(5, false);
		assert_in_range(ns, 4 * 40000000, UINT64_MAX);
		soon |= ns < 5 * 90000000ull;
		film |= time_draws(20, true) < 20 * 30000000ull;
		come_to_rest();
	}
	assert_true(soon && film);
	display_set_running(screen, false);
	dispatch_draws(1, false);
	assert_quiet();
	ui_display_close(d);
}

/* The last picture is there at once, and a later viewer sees it, too; there is no timer. */
static void on_alarm(void *ctx)
{
	*(bool *)ctx = true;
}

/* What is due within half a second, in the order in which it is, until a frame was drawn. */
static bool frame_comes(void)
{
	bool over = false;
	struct loop_timer alarm = { .fn = on_alarm, .ctx = &over };
	const uint64_t frames = stats().frames;

	loop_timer_arm(loop, &alarm, loop_now_ns() + 500000000);
	while (!over && stats().frames == frames)
		loop_dispatch(loop, -1);
	loop_timer_arm(loop, &alarm, LOOP_TIMER_OFF);
	return !over;
}

/* An adapter that tells of changes is looked at once a second, and soon after it has. */
static void test_told(void **state)
{
	const struct display_viewer v = open_raw(me);

	(void)state;
	adapter.told = true;
	wait_draws(1);
	assert_false(frame_comes()); /* often at first */
	dispatch_draws(1, false);
	change(7, (struct disp_rect){ 0, 0, 1, 1 });
	assert_false(frame_comes());
	dispatch_draws(1, false);
	change(8, (struct disp_rect){ 0, 0, 1, 1 });
	display_changed(screen);
	display_changed(screen);
	assert_true(frame_comes());
	close(v.frame_fd);
	close(v.wake_fd);
	display_owner_gone(screen, me);
	display_changed(screen);
	assert_quiet();
}

static void test_paused(void **state)
{
	struct ui_display *d = view(me, NULL);

	(void)state;
	change(6, (struct disp_rect){ 0, 0, 1, 1 });
	display_set_running(screen, false);
	assert_int_equal(ui_display_read(d, &pic), UI_FRAME_NEW);
	assert_int_equal(pic.pixels[0], 6);
	dispatch_draws(1, false); /* one that finds nothing */
	assert_quiet();
	struct ui_display *late = view(you, NULL);
	assert_int_equal(ui_display_read(late, &pic), UI_FRAME_NEW);
	assert_int_equal(pic.pixels[0], 6);
	change(7, (struct disp_rect){ 0, 0, 1, 1 });
	display_stir(screen); /* a reset */
	dispatch_draws(1, false);
	assert_int_equal(ui_display_read(late, &pic), UI_FRAME_NEW);
	assert_int_equal(pic.pixels[0], 7);
	display_set_running(screen, true);
	dispatch_draws(3, false);
	ui_display_close(late);
	ui_display_close(d);
}

static void test_no_screen(void **state)
{
	struct display_viewer v;
	struct err e;

	(void)state;
	adapter.missing = true;
	assert_int_equal(display_open(screen, me, &v, &e), -EBUSY);
	assert_non_null(strstr(e.msg, "no display"));
	assert_quiet();
}

static void test_two_screens(void **state)
{
	struct adapter other = { .width = 5, .height = 4, .aspect_x = 1, .colour = 2 };
	struct display *second;
	struct display_viewer v;
	struct err e;

	(void)state;
	assert_ok(display_create(loop, draw, &other, &second, &e), &e);
	struct ui_display *a = view(me, NULL);
	assert_ok(display_open(second, me, &v, &e), &e);
	struct ui_display *b = ui_display_map(v.frame_fd, v.wake_fd, NULL);
	ui_display_read(a, &pic);
	assert_int_equal(pic.width, 32);
	ui_display_read(b, &pic);
	assert_int_equal(pic.width, 5);
	assert_int_equal(pic.pixels[0], 2);
	display_destroy(second);
	assert_int_equal(ui_display_read(b, &pic), UI_FRAME_ENDED);
	wait_draws(1);
	ui_display_close(a);
	ui_display_close(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_first_picture, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_modes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_blank, setup, teardown),
		cmocka_unit_test_setup_teardown(test_frame_is_sealed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ids_belong_to_owners, setup, teardown),
		cmocka_unit_test_setup_teardown(test_viewer_that_never_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_viewers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_looks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hidden_among_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_idle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_blinking, setup, teardown),
		cmocka_unit_test_setup_teardown(test_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rates, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stirred_when_due, setup, teardown),
		cmocka_unit_test_setup_teardown(test_paused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_screen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_screens, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
