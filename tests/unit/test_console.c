/* What of the console needs no window: the queue of input, the layout, scaling by the CPU, keys. */
#include "ctest.h"
#include <linux/input-event-codes.h>
#include <stdlib.h>
#include "sdl/keymap.h"
#include "sdl/layout.h"
#include "sdl/scale.h"
#include "sdl/sendq.h"

/* ---- sendq ---- */

static void expect_event(struct sendq *q, enum sendq_kind kind, unsigned code, bool down)
{
	struct sendq_event e;

	assert_true(sendq_take(q, &e));
	assert_int_equal(e.kind, kind);
	assert_int_equal(e.code, code);
	assert_int_equal(e.down, down);
}

static void test_sendq_order(void **state)
{
	struct sendq q = { .head = SENDQ_SIZE - 2 }; /* around the end of the ring */
	struct sendq_event e;

	(void)state;
	sendq_key(&q, KEY_A, true);
	sendq_key(&q, KEY_A, true);
	sendq_key(&q, KEY_B, false);
	sendq_move(&q, 3, -4, 0);
	sendq_move(&q, 5, 1, 1);
	sendq_move(&q, 0, 0, 0);
	sendq_button(&q, 2, true);
	sendq_move(&q, 1, 0, 0);
	sendq_button(&q, 2, false);
	sendq_key(&q, KEY_A, false);
	sendq_key(&q, SENDQ_KEYS, true);
	sendq_button(&q, SENDQ_BUTTONS, true);
	expect_event(&q, SENDQ_KEY, KEY_A, true);
	assert_true(sendq_take(&q, &e));
	assert_true(e.kind == SENDQ_MOVE && e.dx == 8 && e.dy == -3 && e.wheel == 1);
	expect_event(&q, SENDQ_BUTTON, 2, true);
	expect_event(&q, SENDQ_MOVE, 0, false);
	expect_event(&q, SENDQ_BUTTON, 2, false);
	expect_event(&q, SENDQ_KEY, KEY_A, false);
	assert_false(sendq_take(&q, &e));
}

static void test_sendq_release_all(void **state)
{
	struct sendq q = { 0 };
	struct sendq_event e;

	(void)state;
	sendq_key(&q, KEY_A, true);
	sendq_button(&q, 0, true);
	sendq_release_all(&q);
	sendq_release_all(&q);
	sendq_key(&q, KEY_A, false);
	expect_event(&q, SENDQ_KEY, KEY_A, true);
	expect_event(&q, SENDQ_BUTTON, 0, true);
	expect_event(&q, SENDQ_KEY, KEY_A, false);
	expect_event(&q, SENDQ_BUTTON, 0, false);
	expect_event(&q, SENDQ_RELEASE_ALL, 0, false);
	assert_false(sendq_take(&q, &e));
	assert_int_equal(q.n_down, 0);
}

#define FEW_KEYS 60u /* so that most changes are some */

/* Whatever is put in while nobody takes out: what comes out leaves nothing down. */
static void test_sendq_full(void **state)
{
	struct sendq q = { 0 };
	struct sendq_event e;
	bool down[SENDQ_KEYS] = { false };
	unsigned left = 0;

	(void)state;
	srand(1);
	for (unsigned i = 0; i < 100000; i++) {
		const unsigned code = (unsigned)rand() % FEW_KEYS;
		if (rand() % 5 == 0)
			sendq_move(&q, 1, 1, 0);
		else if (rand() % 1000 == 0)
			sendq_release_all(&q);
		else
			sendq_key(&q, code, rand() % 3 != 0);
		assert_in_range(q.len, 0, SENDQ_SIZE);
		while (rand() % 97 == 0 && sendq_take(&q, &e))
			if (e.kind == SENDQ_KEY)
				down[e.code] = e.down;
			else if (e.kind == SENDQ_RELEASE_ALL)
				memset(down, 0, sizeof(down));
	}
	for (unsigned i = 0; i < SENDQ_KEYS; i++)
		sendq_key(&q, i, false);
	while (sendq_take(&q, &e))
		if (e.kind == SENDQ_KEY)
			down[e.code] = e.down;
		else if (e.kind == SENDQ_RELEASE_ALL)
			memset(down, 0, sizeof(down));
	for (unsigned i = 0; i < SENDQ_KEYS; i++)
		left += down[i];
	assert_int_equal(left, 0);
}

static void test_sendq_motion_saturates(void **state)
{
	struct sendq q = { 0 };
	struct sendq_event e;

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		sendq_move(&q, INT32_MAX, INT32_MIN, 0);
	assert_true(sendq_take(&q, &e));
	assert_true(e.dx > 1000000 && e.dy < -1000000);
	assert_false(sendq_take(&q, &e));
}

/* ---- layout ---- */

static void test_layout(void **state)
{
	static const struct {
		struct layout_mode mode;
		int width, height;
		enum layout_scaling scaling;
		struct layout want;
	} cases[] = {
		{ { 640, 480, 1, 1 }, 640, 480, LAYOUT_FIT, { 0, 0, 640, 480, true, 1, 1 } },
		{ { 640, 480, 1, 1 }, 1300, 960, LAYOUT_FIT, { 10, 0, 1280, 960, true, 1, 1 } },
		{ { 640, 480, 1, 1 }, 960, 720, LAYOUT_FIT, { 0, 0, 960, 720, false, 2, 2 } },
		{ { 640, 480, 1, 1 }, 960, 720, LAYOUT_SMOOTH, { 0, 0, 960, 720, false, 1, 1 } },
		{ { 640, 480, 1, 1 }, 1280, 960, LAYOUT_SMOOTH, { 0, 0, 1280, 960, false, 1, 1 } },
		{ { 640, 480, 1, 1 }, 640, 480, LAYOUT_SMOOTH, { 0, 0, 640, 480, true, 1, 1 } },
		{ { 640, 480, 1, 1 },
		  960,
		  720,
		  LAYOUT_INTEGER,
		  { 160, 120, 640, 480, true, 1, 1 } },
		{ { 640, 480, 1, 1 }, 320, 240, LAYOUT_INTEGER, { 0, 0, 320, 240, false, 1, 1 } },
		{ { 320, 200, 5, 6 }, 1600, 1200, LAYOUT_FIT, { 0, 0, 1600, 1200, true, 1, 1 } },
		{ { 320, 200, 5, 6 }, 640, 480, LAYOUT_FIT, { 0, 0, 640, 480, false, 2, 3 } },
		{ { 320, 200, 5, 6 }, 640, 480, LAYOUT_INTEGER, { 0, 40, 640, 400, true, 1, 1 } },
		{ { 720, 400, 20, 27 }, 720, 540, LAYOUT_FIT, { 0, 0, 720, 540, false, 1, 2 } },
		{ { 4096, 2160, 1, 1 }, 0, 0, LAYOUT_FIT, { 0, 0, 1, 1, false, 1, 1 } },
		{ { 1, 1, 1, 1 }, 300, 200, LAYOUT_FIT, { 50, 0, 200, 200, true, 1, 1 } },
	};

	(void)state;
	for (size_t i = 0; i < HV_ARRAY_LEN(cases); i++) {
		const struct layout l = layout_in(&cases[i].mode, cases[i].width, cases[i].height,
						  cases[i].scaling),
				    *w = &cases[i].want;
		if (l.x != w->x || l.y != w->y || l.width != w->width || l.height != w->height ||
		    l.crisp != w->crisp || l.before_x != w->before_x || l.before_y != w->before_y)
			fail_msg("case %zu: %d,%d %dx%d crisp %d before %u,%u", i, l.x, l.y,
				 l.width, l.height, l.crisp, l.before_x, l.before_y);
	}
}

static void test_layout_window(void **state)
{
	static const struct {
		struct layout_mode mode;
		double scale;
		int max_width, max_height, width, height;
	} cases[] = {
		{ { 640, 480, 1, 1 }, 1, 1920, 1080, 640, 480 },
		{ { 320, 200, 5, 6 }, 1, 1920, 1080, 640, 480 },
		{ { 720, 400, 20, 27 }, 1, 1920, 1080, 720, 540 },
		{ { 640, 480, 1, 1 }, 2, 1920, 1080, 1280, 960 },
		{ { 640, 480, 1, 1 }, 3, 1920, 1080, 1280, 960 },
		{ { 1920, 1080, 1, 1 }, 1, 1366, 768, 1365, 768 },
		{ { 160, 100, 1, 1 }, 1, 1920, 1080, 640, 400 },
	};
	int w, h;

	(void)state;
	for (size_t i = 0; i < HV_ARRAY_LEN(cases); i++) {
		layout_window(&cases[i].mode, cases[i].scale, cases[i].max_width,
			      cases[i].max_height, &w, &h);
		if (abs(w - cases[i].width) > 1 || abs(h - cases[i].height) > 1)
			fail_msg("case %zu: %dx%d", i, w, h);
	}
}

/* ---- scale ---- */

#define FROM_W 37u
#define FROM_H 23u

static void make_picture(uint32_t *p)
{
	for (unsigned i = 0; i < FROM_W * FROM_H; i++)
		p[i] = (i * 2654435761u) & 0xffffff;
}

static void draw_all(const struct scale *s, const uint32_t *from, uint32_t *to, unsigned w,
		     unsigned h)
{
	const struct scale_rect all = { 0, 0, w, h };

	scale_draw(s, from, FROM_W, to, w, &all);
}

static void test_scale_whole_factors(void **state)
{
	static const unsigned factors[][2] = { { 1, 1 }, { 2, 2 }, { 3, 2 }, { 1, 5 } };
	uint32_t from[FROM_W * FROM_H];

	(void)state;
	make_picture(from);
	for (size_t i = 0; i < 4; i++) {
		const unsigned fx = factors[i][0], fy = factors[i][1], w = FROM_W * fx,
			       h = FROM_H * fy;
		struct scale *s = scale_create(FROM_W, FROM_H, w, h, SCALE_SHARP);
		uint32_t *to = calloc((size_t)w * h, 4);
		draw_all(s, from, to, w, h);
		for (unsigned y = 0; y < h; y++)
			for (unsigned x = 0; x < w; x++)
				assert_int_equal(to[y * w + x], from[y / fy * FROM_W + x / fx]);
		free(to);
		scale_destroy(s);
	}
}

/* A single colour stays it, to the last bit, in all sizes. */
static void test_scale_flat(void **state)
{
	uint32_t from[FROM_W * FROM_H];

	(void)state;
	for (unsigned i = 0; i < FROM_W * FROM_H; i++)
		from[i] = 0x81fe03;
	for (unsigned w = 1; w < 100; w += 3) {
		struct scale *s = scale_create(FROM_W, FROM_H, w, w,
					       w % 2 ? SCALE_SHARP : SCALE_SMOOTH);
		uint32_t *to = calloc((size_t)w * w, 4);
		draw_all(s, from, to, w, w);
		for (unsigned i = 0; i < w * w; i++)
			assert_int_equal(to[i], 0x81fe03);
		free(to);
		scale_destroy(s);
	}
}

/* Changing a part and drawing its damage gives what drawing everything would. */
static void test_scale_damage(void **state)
{
	uint32_t from[FROM_W * FROM_H];

	(void)state;
	srand(2);
	for (unsigned i = 0; i < 2000; i++) {
		const unsigned w = 1 + (unsigned)rand() % 120, h = 1 + (unsigned)rand() % 90;
		struct scale *s = scale_create(FROM_W, FROM_H, w, h,
					       i % 3 ? SCALE_SHARP : SCALE_SMOOTH);
		uint32_t *to = calloc((size_t)w * h, 4), *want = calloc((size_t)w * h, 4);
		struct scale_rect r = { (unsigned)rand() % FROM_W, (unsigned)rand() % FROM_H };
		r.width = 1 + (unsigned)rand() % (FROM_W - r.x);
		r.height = 1 + (unsigned)rand() % (FROM_H - r.y);
		make_picture(from);
		draw_all(s, from, to, w, h);
		for (unsigned y = r.y; y < r.y + r.height; y++)
			for (unsigned x = r.x; x < r.x + r.width; x++)
				from[y * FROM_W + x] ^= 0xffffff;
		draw_all(s, from, want, w, h);
		const struct scale_rect d = scale_damage(s, &r);
		assert_in_range(d.x + d.width, d.x, w);
		assert_in_range(d.y + d.height, d.y, h);
		scale_draw(s, from, FROM_W, to, w, &d);
		assert_memory_equal(to, want, (size_t)w * h * 4);
		free(to);
		free(want);
		scale_destroy(s);
	}
}

/* Half as large again: every second pixel is one, the others are halves of two. */
static void test_scale_sharp(void **state)
{
	const uint32_t from[] = { 0x000000, 0xff8040 };
	uint32_t to[3];
	struct scale *s = scale_create(2, 1, 3, 1, SCALE_SHARP);
	const struct scale_rect all = { 0, 0, 3, 1 };

	(void)state;
	scale_draw(s, from, 2, to, 3, &all);
	assert_int_equal(to[0], from[0]);
	assert_int_equal(to[1], 0x7f4020);
	assert_int_equal(to[2], from[1]);
	scale_destroy(s);
}

/* ---- keys ---- */

static void test_keymap(void **state)
{
	static const struct {
		SDL_Scancode code;
		unsigned evdev;
	} cases[] = {
		{ SDL_SCANCODE_A, KEY_A },
		{ SDL_SCANCODE_0, KEY_0 },
		{ SDL_SCANCODE_KP_0, KEY_KP0 },
		{ SDL_SCANCODE_NONUSBACKSLASH, KEY_102ND },
		{ SDL_SCANCODE_PAUSE, KEY_PAUSE },
		{ SDL_SCANCODE_PRINTSCREEN, KEY_SYSRQ },
		{ SDL_SCANCODE_INTERNATIONAL1, KEY_RO },
		{ SDL_SCANCODE_LANG1, KEY_HANGEUL },
		{ SDL_SCANCODE_RALT, KEY_RIGHTALT },
		{ SDL_SCANCODE_VOLUMEUP, KEY_VOLUMEUP },
		{ SDL_SCANCODE_UNKNOWN, 0 },
		{ SDL_NUM_SCANCODES, 0 },
	};

	(void)state;
	for (size_t i = 0; i < HV_ARRAY_LEN(cases); i++)
		assert_int_equal(keymap_evdev(cases[i].code), cases[i].evdev);
	for (unsigned i = 0; keymap_host_key_names()[i]; i++) {
		const SDL_Scancode code = keymap_host_key(keymap_host_key_names()[i]);
		assert_int_not_equal(code, SDL_SCANCODE_UNKNOWN);
		assert_int_not_equal(keymap_evdev(code), 0);
		assert_true(keymap_host_key_title(code)[0] != '\0');
	}
	assert_int_equal(keymap_host_key("right-crtl"), SDL_SCANCODE_UNKNOWN);
}

/* All 101 keys of the enhanced keyboard, and what other countries have more, can be typed. */
static void test_keymap_complete(void **state)
{
	bool there[KEY_MAX + 1] = { false };

	(void)state;
	for (int i = 0; i < SDL_NUM_SCANCODES; i++)
		there[keymap_evdev((SDL_Scancode)i)] = true;
	for (unsigned code = KEY_ESC; code <= KEY_COMPOSE; code++)
		if (code != 84 && code != KEY_LINEFEED && code != KEY_MACRO && code != KEY_SCALE &&
		    !there[code])
			fail_msg("no key gives evdev code %u", code);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sendq_order),
		cmocka_unit_test(test_sendq_release_all),
		cmocka_unit_test(test_sendq_full),
		cmocka_unit_test(test_sendq_motion_saturates),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_layout_window),
		cmocka_unit_test(test_scale_whole_factors),
		cmocka_unit_test(test_scale_flat),
		cmocka_unit_test(test_scale_damage),
		cmocka_unit_test(test_scale_sharp),
		cmocka_unit_test(test_keymap),
		cmocka_unit_test(test_keymap_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
