/*
 * What the display adapter tells its viewer: what has changed since the last draw, when what blinks
 * will, that there is no picture, and the text for scripts.
 */
#include "vgadraw.h"

/* ---- what changed ---- */

static void no_change(struct world *w)
{
	draw(w, false);
	assert_int_equal(w->p.n_rects, 0);
}

static void one_rect(struct world *w, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	draw(w, false);
	assert_int_equal(w->p.n_rects, 1);
	assert_int_equal(w->p.rect[0].x, x);
	assert_int_equal(w->p.rect[0].y, y);
	assert_int_equal(w->p.rect[0].width, width);
	assert_int_equal(w->p.rect[0].height, height);
}

static void poke13(struct world *w, uint32_t a)
{
	w->cpu[a] ^= 0xff;
	wr(w->d, VGA_REGION_WINDOW, a, 1, w->cpu[a]);
}

static void test_damage(void **state)
{
	struct world *w = *state;

	load_mode(w, &mode_13);
	fill_cpu(w, 0, 64000);
	draw(w, false);
	assert_int_equal(w->p.n_rects, 1); /* the first one is of everything */
	no_change(w);
	poke13(w, 100 * 320 + 7);
	one_rect(w, 7, 100, 1, 1);
	poke13(w, 10 * 320 + 300);
	poke13(w, 11 * 320 + 20);
	one_rect(w, 20, 10, 281, 2);
	no_change(w);
	for (unsigned i = 0; i < 40; i++) /* more than there are rects */
		poke13(w, i * 5 * 320);
	draw(w, false);
	assert_int_equal(w->p.n_rects, DISP_MAX_RECTS);
	compare(w, 320, 200, linear13);
	/* Written through memory where the window shows it. */
	w->cpu[199 * 320 + 319] = w->m.vga.vram[199 * 320 + 319] ^= 0x0f;
	fake_vga_wrote(&w->m, 199 * 320 + 319, 1);
	one_rect(w, 319, 199, 1, 1);
	/* The same value again, and memory that is not shown. */
	wr(w->d, VGA_REGION_WINDOW, 0, 1, w->cpu[0]);
	wr(w->d, VGA_REGION_WINDOW, 0xffff, 1, 0x77);
	no_change(w);
	draw(w, true);
	assert_int_equal(w->p.n_rects, 1);
	assert_int_equal(w->p.rect[0].height, 200);
	compare(w, 320, 200, linear13);
}

/* Damage brings a picture to what a whole draw makes, whatever is written. */
static void test_damage_adds_up(void **state)
{
	static const struct vga_mode *const modes[] = { &mode_text80, &mode_04, &mode_12, &mode_13,
							&mode_x240 };
	struct world *w = *state;
	const size_t room = 720 * 480 * 4;
	uint32_t *copy = malloc(room);

	assert_non_null(copy);
	for (unsigned round = 0; round < 10; round++) {
		load_mode(w, modes[round % 5]);
		draw(w, true);
		for (unsigned i = 0; i < 40; i++) {
			for (unsigned n = random32() % 6; n > 0; n--)
				wr(w->d, VGA_REGION_WINDOW, random32() % VGA_WINDOW_BYTES, 1,
				   random32() & 0xff);
			if (random32() % 4 == 0)
				set_reg(w->d, 0x3d4, 0x0c + random32() % 4, random32() & 0x3f);
			w->m.f.now_ns += random32() % 400000000;
			draw(w, false);
			const size_t bytes = (size_t)w->p.width * w->p.height * 4;
			assert_true(bytes <= room);
			memcpy(copy, w->p.pixels, bytes);
			draw(w, true);
			assert_memory_equal(copy, w->p.pixels, bytes);
		}
	}
	free(copy);
}

/* A line of 800 bytes that begins in one page and ends in the next. */
static void test_damage_vbe(void **state)
{
	struct world *w = *state;

	vbe_mode(w, 200, 150, 32);
	draw(w, true);
	no_change(w);
	w->m.vga.vram[4100] ^= 0xff;
	fake_vga_wrote(&w->m, 4100, 1);
	one_rect(w, 25, 5, 1, 1);
	w->m.vga.vram[150 * 800] ^= 0xff; /* below the last line */
	fake_vga_wrote(&w->m, 150 * 800, 1);
	no_change(w);
}

static void test_damage_registers(void **state)
{
	struct world *w = *state;

	load_mode(w, &mode_12);
	fill_planes(w, 0x10000);
	draw(w, true);
	no_change(w);
	set_reg(w->d, 0x3d4, 0x0d, 80); /* a row on */
	draw(w, false);
	assert_true(w->p.n_rects > 0);
	no_change(w);
	set_reg(w->d, 0x3d4, 0x0d, 0);
	draw(w, false);
	outb(w->d, 0x3c8, 63); /* white */
	for (unsigned i = 0; i < 3; i++)
		outb(w->d, 0x3c9, 3);
	w->dac[63] = 0x0c0c0c;
	draw(w, false);
	assert_true(w->p.n_rects > 0);
	compare(w, 640, 480, planar640);
	outb(w->d, 0x3c8, 200); /* a colour that nothing has */
	for (unsigned i = 0; i < 3; i++)
		outb(w->d, 0x3c9, 3);
	no_change(w);
}

/* ---- text that changes ---- */

static void clear_text(struct world *w)
{
	for (uint32_t a = 0; a < 80 * 25 * 2; a++) {
		w->cpu[a] = a & 1 ? 0x07 : 0x20;
		wr(w->d, VGA_REGION_WINDOW, WINDOW_B8000 + a, 1, w->cpu[a]);
	}
}

static void put_cell(struct world *w, unsigned column, unsigned line, uint8_t c, uint8_t attr)
{
	wr(w->d, VGA_REGION_WINDOW, WINDOW_B8000 + (line * 80 + column) * 2, 2, c | attr << 8);
}

static void within_cell(struct world *w, unsigned column, unsigned line)
{
	draw(w, false);
	assert_int_equal(w->p.n_rects, 1);
	assert_true(w->p.rect[0].x >= column * 9 &&
		    w->p.rect[0].x + w->p.rect[0].width <= column * 9 + 9);
	assert_true(w->p.rect[0].y >= line * 16 &&
		    w->p.rect[0].y + w->p.rect[0].height <= line * 16 + 16);
}

static void test_text_damage(void **state)
{
	struct world *w = *state;

	text_mode(w, &mode_text80, 80 * 25);
	clear_text(w);
	draw(w, true);
	no_change(w);
	put_cell(w, 41, 12, 'x', 0x1e);
	within_cell(w, 41, 12);
	no_change(w);
	set_reg(w->d, 0x3c4, 3, 0x05); /* both fonts: the second */
	draw(w, false);
	assert_true(w->p.n_rects > 0);
	/* A character of the font that is shown, in memory that is not the text's. */
	set_reg(w->d, 0x3c4, 2, 4);
	set_reg(w->d, 0x3c4, 4, 6);
	set_reg(w->d, 0x3ce, 5, 0);
	set_reg(w->d, 0x3ce, 6, 4);
	wr(w->d, VGA_REGION_WINDOW, 0x4000 + 'x' * 32 + 3, 1, w->font[1]['x' * 32 + 3] ^ 0x3c);
	set_reg(w->d, 0x3c4, 2, 3);
	set_reg(w->d, 0x3c4, 4, 2);
	set_reg(w->d, 0x3ce, 5, 0x10);
	set_reg(w->d, 0x3ce, 6, 0x0e);
	one_rect(w, 41 * 9 + 2, 12 * 16 + 3, 4, 1);
}

static void at_frame(struct world *w, uint64_t frame)
{
	w->m.f.now_ns = frame * 14268000 + 7000000; /* 900 * 449 dots at 28.322 MHz */
}

/* It said for how long it would stay as it is; and says what it was that changed then. */
static void blinks_when_said(struct world *w)
{
	w->m.f.now_ns += w->p.still_ns - 1;
	no_change(w);
	assert_int_equal(w->p.still_ns, 1);
	w->m.f.now_ns++;
	draw(w, false);
	assert_int_equal(w->p.n_rects, 1);
	assert_true(w->p.blinked);
}

static void test_cursor(void **state)
{
	struct world *w = *state;

	text_mode(w, &mode_text80, 80 * 25);
	clear_text(w);
	at_frame(w, 0);
	draw(w, true);
	set_reg(w->d, 0x3d4, 0x0a, 13);
	set_reg(w->d, 0x3d4, 0x0b, 14);
	set_reg(w->d, 0x3d4, 0x0e, (5 * 80 + 10) >> 8);
	set_reg(w->d, 0x3d4, 0x0f, (5 * 80 + 10) & 255);
	one_rect(w, 90, 5 * 16 + 13, 9, 2);
	for (unsigned y = 0; y < 16; y++)
		for (unsigned x = 0; x < 9; x++)
			assert_int_equal(w->p.pixels[(5 * 16 + y) * 720 + 90 + x] == colour16(w, 7),
					 y >= 13 && y <= 14);
	at_frame(w, 7);
	no_change(w);
	at_frame(w, 8); /* it goes */
	one_rect(w, 90, 5 * 16 + 13, 9, 2);
	at_frame(w, 16);
	one_rect(w, 90, 5 * 16 + 13, 9, 2);
	blinks_when_said(w);
	blinks_when_said(w);
	set_reg(w->d, 0x3d4, 0x0f, (5 * 80 + 12) & 255);
	one_rect(w, 90, 5 * 16 + 13, 27, 2);
	assert_false(w->p.blinked);
	set_reg(w->d, 0x3d4, 0x0e, 0);
	set_reg(w->d, 0x3d4, 0x0f, 3);
	draw(w, false);
	assert_int_equal(w->p.n_rects, 2);
	assert_int_equal(w->p.rect[0].x, 27);
	assert_int_equal(w->p.rect[0].y, 13);
	assert_int_equal(w->p.rect[1].y, 5 * 16 + 13);
	set_reg(w->d, 0x3d4, 0x0a, 15); /* behind its end: none */
	one_rect(w, 27, 13, 9, 2);
	assert_true(w->p.still_ns == DISP_FOR_EVER);
}

static void test_blink(void **state)
{
	struct world *w = *state;

	text_mode(w, &mode_text80, 80 * 25);
	set_reg(w->d, 0x3c0, 0x10, 0x0c);
	clear_text(w);
	at_frame(w, 0);
	draw(w, true);
	at_frame(w, 16);
	no_change(w);
	at_frame(w, 0);
	no_change(w);
	put_cell(w, 3, 2, 'y', 0xa4);
	within_cell(w, 3, 2);
	const uint32_t at = (2 * 16) * 720 + 27;
	unsigned ink = 0;
	for (unsigned i = 0; i < 16 * 9; i++)
		ink += w->p.pixels[at + i / 9 * 720 + i % 9] == colour16(w, 4);
	assert_true(ink > 0);
	at_frame(w, 16);
	within_cell(w, 3, 2);
	for (unsigned i = 0; i < 16 * 9; i++)
		assert_int_equal(w->p.pixels[at + i / 9 * 720 + i % 9], colour16(w, 2));
	at_frame(w, 31);
	no_change(w);
	at_frame(w, 32);
	within_cell(w, 3, 2);
	blinks_when_said(w);
	blinks_when_said(w);
	put_cell(w, 3, 2, 'y', 0xa5);
	within_cell(w, 3, 2);
	assert_false(w->p.blinked);
	put_cell(w, 3, 2, 'y', 0x25); /* nothing blinks any more: that is seen when it would */
	draw(w, false);
	w->m.f.now_ns += w->p.still_ns;
	no_change(w);
	assert_true(w->p.still_ns == DISP_FOR_EVER);
	put_cell(w, 3, 2, 'y', 0xa5);
	draw(w, false);
	blinks_when_said(w);
}

/* ---- the viewer ---- */

static void test_blank(void **state)
{
	struct world *w = *state;

	draw(w, false);
	assert_true(w->p.blank); /* as at power-on */
	assert_int_equal(w->p.n_rects, 1);
	assert_int_equal(w->p.width, 720);
	no_change(w);
	load_mode(w, &mode_13);
	fill_cpu(w, 0, 64000);
	draw(w, false);
	compare(w, 320, 200, linear13);
	set_reg(w->d, 0x3c4, 1, 0x21);
	draw(w, false);
	assert_true(w->p.blank);
	assert_int_equal(w->p.width, 320);
	assert_int_equal(w->p.pixels[1000], 0);
	no_change(w);
	set_reg(w->d, 0x3c4, 1, 1);
	draw(w, false);
	assert_int_equal(w->p.n_rects, 1);
	compare(w, 320, 200, linear13);
	(void)inb(w->d, 0x3da);
	outb(w->d, 0x3c0, 0); /* the palette is the CPU's */
	draw(w, false);
	assert_true(w->p.blank);
}

/* The log is on while somebody draws, and off again when nobody does. */
static void test_viewer_gone(void **state)
{
	struct world *w = *state;

	load_mode(w, &mode_13);
	fill_cpu(w, 0, 64000);
	assert_false(w->m.vga.logging);
	draw(w, false);
	assert_true(w->m.vga.logging);
	fake_env_advance(&w->m.f, w->d, 3100000000);
	assert_true(w->m.vga.logging); /* somebody has */
	fake_env_advance(&w->m.f, w->d, 3100000000);
	assert_false(w->m.vga.logging);
	assert_int_equal(w->m.f.timer_ns[0], DEV_TIMER_OFF);
	poke13(w, 5);
	draw(w, false);
	assert_true(w->m.vga.logging);
	compare(w, 320, 200, linear13);
	no_change(w);
}

static void test_text_for_scripts(void **state)
{
	struct world *w = *state;
	struct disp_text *t = malloc(sizeof(*t));

	assert_non_null(t);
	assert_false(dm_vga_display.text(w->d, t));
	text_mode(w, &mode_text80, 80 * 50);
	set_reg(w->d, 0x3d4, 0x0d, 80);
	assert_true(dm_vga_display.text(w->d, t));
	assert_int_equal(t->columns, 80);
	assert_int_equal(t->lines, 25);
	assert_false(t->cursor);
	for (unsigned i = 0; i < 25 * 80; i++)
		assert_int_equal(t->cell[i / 80][i % 80], w->cpu[(i + 80) * 2]);
	set_reg(w->d, 0x3d4, 0x0a, 1);
	set_reg(w->d, 0x3d4, 0x0b, 3);
	set_reg(w->d, 0x3d4, 0x0f, 80 + 83);
	assert_true(dm_vga_display.text(w->d, t));
	assert_true(t->cursor);
	assert_int_equal(t->cursor_column, 3);
	assert_int_equal(t->cursor_line, 1);
	set_mode(w->d, &mode_13);
	assert_false(dm_vga_display.text(w->d, t));
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_damage),      DEVICE_TEST(test_damage_adds_up),
		DEVICE_TEST(test_damage_vbe),  DEVICE_TEST(test_damage_registers),
		DEVICE_TEST(test_text_damage), DEVICE_TEST(test_cursor),
		DEVICE_TEST(test_blink),       DEVICE_TEST(test_blank),
		DEVICE_TEST(test_viewer_gone), DEVICE_TEST(test_text_for_scripts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
