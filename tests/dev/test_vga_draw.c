/*
 * What the display adapter draws: registers as IBM's BIOS sets each mode, patterns through the
 * ports and the window, and every pixel compared with what the mode's definition makes of them.
 */
#include "vgadraw.h"

static uint32_t text80(const struct world *w, uint32_t x, uint32_t y)
{
	return cell(w, w->cpu + (y / 16 * 80 + x / 9) * 2, 0, y % 16, x % 9);
}

static uint32_t text40(const struct world *w, uint32_t x, uint32_t y)
{
	return cell(w, w->cpu + (y / 16 * 40 + x / 9) * 2, 0, y % 16, x % 9);
}

static uint32_t text8(const struct world *w, uint32_t x, uint32_t y)
{
	return cell(w, w->cpu + (y / 8 * 80 + x / 8) * 2, 0, y % 8, x % 8);
}

static uint32_t text_two_fonts(const struct world *w, uint32_t x, uint32_t y)
{
	const uint8_t *at = w->cpu + (y / 16 * 80 + x / 9) * 2;

	return cell(w, at, at[1] & 8 ? 1 : 0, y % 16, x % 9);
}

static uint32_t text_mono(const struct world *w, uint32_t x, uint32_t y)
{
	const uint8_t *at = w->cpu + (y / 16 * 80 + x / 9) * 2;

	if ((at[1] & 0x77) == 1 && y % 16 == 13)
		return colour16(w, at[1] & 15);
	return text80(w, x, y);
}

static void test_text(void **state)
{
	struct world *w = *state;

	text_mode(w, &mode_text80, 80 * 25);
	check(w, 720, 400, text80);
	assert_int_equal(w->p.aspect_x * 27, w->p.aspect_y * 20); /* 720x400 at 4:3 */
	set_reg(w->d, 0x3c4, 3, 0x04);				  /* font A: the second */
	check(w, 720, 400, text_two_fonts);
	set_reg(w->d, 0x3c4, 3, 0);
	set_reg(w->d, 0x3c4, 1, 1);
	set_reg(w->d, 0x3d4, 9, 0x47);
	fill_cpu(w, WINDOW_B8000, 80 * 50 * 2);
	check(w, 640, 400, text8);
	text_mode(w, &mode_text40, 40 * 25);
	check(w, 360, 400, text40);
	text_mode(w, &mode_mono, 80 * 25);
	check(w, 720, 400, text_mono);
}

static uint32_t text43(const struct world *w, uint32_t x, uint32_t y)
{
	return cell(w, w->cpu + (y / 8 * 80 + x / 9) * 2, 0, y % 8, x % 9);
}

/* 350 lines of 8: 43 rows and three quarters. */
static void test_text_43(void **state)
{
	struct world *w = *state;

	text_mode(w, &mode_text80, 80 * 50);
	set_reg(w->d, 0x3d4, 0x11, 0);
	set_reg(w->d, 0x3d4, 0x12, 0x5d);
	set_reg(w->d, 0x3d4, 9, 0x47);
	check(w, 720, 350, text43);
}

static uint32_t text_scrolled(const struct world *w, uint32_t x, uint32_t y)
{
	const uint32_t line = y + 5; /* preset row scan */

	if (y >= 300)
		return cell(w, w->cpu + ((y - 300) / 16 * 80 + x / 9) * 2, 0, (y - 300) % 16,
			    x % 9);
	return cell(w, w->cpu + (120 + line / 16 * 80 + (x + 4) / 9) * 2, 0, line % 16,
		    (x + 4) % 9);
}

/* Start address, preset row scan, panning by dots, and a part below that stands still. */
static void test_text_scroll(void **state)
{
	struct world *w = *state;

	text_mode(w, &mode_text80, 80 * 50);
	set_reg(w->d, 0x3d4, 0x0d, 120);
	set_reg(w->d, 0x3d4, 8, 5);
	set_reg(w->d, 0x3d4, 0x18, 299 & 255);
	set_reg(w->d, 0x3d4, 0x11, 0);
	set_reg(w->d, 0x3d4, 9, 0x0f);
	set_reg(w->d, 0x3c0, 0x10, 0x24);
	set_reg(w->d, 0x3c0, 0x13, 3); /* 9 dots: 8 is none, 0 is one */
	check(w, 720, 400, text_scrolled);
}

static uint32_t cga4(const struct world *w, uint32_t x, uint32_t y)
{
	return colour16(w, w->cpu[(y & 1) * 0x2000 + y / 2 * 80 + x / 4] >> (6 - 2 * (x & 3)) & 3);
}

static uint32_t cga2(const struct world *w, uint32_t x, uint32_t y)
{
	return colour16(w, w->cpu[(y & 1) * 0x2000 + y / 2 * 80 + x / 8] >> (7 - (x & 7)) & 1);
}

/* All planes open: the upper two bits of a pixel come from planes 2 and 3. */
static uint32_t cga16(const struct world *w, uint32_t x, uint32_t y)
{
	const unsigned v = w->cpu[(y & 1) * 0x2000 + y / 2 * 80 + x / 4] >> (6 - 2 * (x & 3)) & 3;

	return w->dac[w->mode->attr[v | v << 2]];
}

static void test_cga(void **state)
{
	struct world *w = *state;

	load_mode(w, &mode_04);
	fill_cpu(w, WINDOW_B8000, 0x4000);
	check(w, 320, 200, cga4);
	assert_int_equal(w->p.aspect_x * 6, w->p.aspect_y * 5);
	set_reg(w->d, 0x3c4, 2, 15);
	set_reg(w->d, 0x3c0, 0x12, 15);
	fill_cpu(w, WINDOW_B8000, 0x4000);
	check(w, 320, 200, cga16);
	load_mode(w, &mode_06);
	fill_cpu(w, WINDOW_B8000, 0x4000);
	check(w, 640, 200, cga2);
}

static uint32_t planar320(const struct world *w, uint32_t x, uint32_t y)
{
	return planar(w, x, y * 40);
}

static uint32_t planar_panned(const struct world *w, uint32_t x, uint32_t y)
{
	return planar(w, x + 5, 0x1230 + y * 80);
}

/* Above line 200 panned, below from the start of memory, not panned. */
static uint32_t planar_split(const struct world *w, uint32_t x, uint32_t y)
{
	return y <= 200 ? planar_panned(w, x, y) : planar(w, x, (y - 201) * 80);
}

static uint32_t planar_split_panned(const struct world *w, uint32_t x, uint32_t y)
{
	return y <= 200 ? planar_panned(w, x, y) : planar(w, x + 5, (y - 201) * 80);
}

static void test_planar(void **state)
{
	struct world *w = *state;

	load_mode(w, &mode_0d);
	fill_planes(w, 8000);
	check(w, 320, 200, planar320);
	load_mode(w, &mode_0e);
	fill_planes(w, 0x10000);
	check(w, 640, 200, planar640);
	load_mode(w, &mode_10);
	check(w, 640, 350, planar640);
	load_mode(w, &mode_12);
	check(w, 640, 480, planar640);
	assert_int_equal(w->p.aspect_x, 1);
	assert_int_equal(w->p.aspect_y, 1);
	set_reg(w->d, 0x3d4, 0x0c, 0x12);
	set_reg(w->d, 0x3d4, 0x0d, 0x30);
	set_reg(w->d, 0x3c0, 0x13, 5);
	check(w, 640, 480, planar_panned);
	set_reg(w->d, 0x3d4, 0x18, 200); /* line compare: 10 bits */
	set_reg(w->d, 0x3d4, 0x11, 0);
	set_reg(w->d, 0x3d4, 7, 0x3e & ~0x10u);
	set_reg(w->d, 0x3d4, 9, 0);
	check(w, 640, 480, planar_split_panned);
	set_reg(w->d, 0x3c0, 0x10, 0x21);
	check(w, 640, 480, planar_split);
}

static uint32_t planar_split_twice(const struct world *w, uint32_t x, uint32_t y)
{
	return planar(w, x, y < 2 * 201 ? y * 80 : (y - 2 * 201) * 80);
}

/* More lines than any BIOS sets: by the tenth bit, and by counting every second one. */
static void test_tall(void **state)
{
	struct world *w = *state;

	load_mode(w, &mode_12);
	fill_planes(w, 0x10000);
	set_reg(w->d, 0x3d4, 0x11, 0);
	set_reg(w->d, 0x3d4, 0x12, 600 - 1 - 512);
	set_reg(w->d, 0x3d4, 7, 0x7c);
	check(w, 640, 600, planar640);
	set_reg(w->d, 0x3d4, 0x12, 400 - 1 - 256);
	set_reg(w->d, 0x3d4, 7, 0x1e & ~0x10);
	set_reg(w->d, 0x3d4, 9, 0);
	set_reg(w->d, 0x3d4, 0x18, 200);
	set_reg(w->d, 0x3d4, 0x17, 0xe7);
	check(w, 640, 800, planar_split_twice);
}

static uint32_t unchained(const struct world *w, uint32_t x, uint32_t at)
{
	return w->dac[w->plane[x & 3][(at + x / 4) & 0xffff]];
}

static uint32_t x320(const struct world *w, uint32_t x, uint32_t y)
{
	return unchained(w, x, y * 80);
}

static uint32_t x360(const struct world *w, uint32_t x, uint32_t y)
{
	return unchained(w, x, y * 90);
}

static uint32_t x320_panned(const struct world *w, uint32_t x, uint32_t y)
{
	return unchained(w, x + 3, 0x4b00 + y * 80);
}

static void test_256(void **state)
{
	struct world *w = *state;

	load_mode(w, &mode_13);
	fill_cpu(w, 0, 64000);
	check(w, 320, 200, linear13);
	load_mode(w, &mode_x240);
	fill_planes(w, 0x10000);
	check(w, 320, 240, x320);
	assert_int_equal(w->p.aspect_x, w->p.aspect_y);
	set_reg(w->d, 0x3d4, 0x0c, 0x4b);
	set_reg(w->d, 0x3c0, 0x13, 6);
	check(w, 320, 240, x320_panned);
	load_mode(w, &mode_x480);
	check(w, 360, 480, x360);
	/* 320x400: every line once */
	load_mode(w, &mode_x240);
	set_reg(w->d, 0x3d4, 9, 0x40);
	check(w, 320, 480, x320);
}

/* What chain 4 wrote is where the CRTC's double words look, and unchained at every fourth address,
 * as on IBM's adapter. */
static uint32_t after_chain4(const struct world *w, uint32_t x, uint32_t y)
{
	const uint32_t p = y * 80 + x / 4, a = (p & 0xfffc) | (x & 3);

	return (p & 3) == p >> 14 ? w->dac[w->cpu[a]] : w->dac[0];
}

static void test_unchain(void **state)
{
	struct world *w = *state;

	load_mode(w, &mode_13);
	fill_cpu(w, 0, 0x10000);
	set_reg(w->d, 0x3c4, 4, 6);
	set_reg(w->d, 0x3d4, 0x14, 0);
	set_reg(w->d, 0x3d4, 0x17, 0xe3);
	check(w, 320, 200, after_chain4);
}

/* ---- the Bochs interface ---- */

static uint32_t wide(unsigned v, unsigned bits)
{
	return (v << (8 - bits) | v >> (2 * bits - 8)) & 255;
}

#define VBE_PIXEL(name, bytes, ...)                                                                \
	static uint32_t name(const struct world *w, uint32_t x, uint32_t y)                        \
	{                                                                                          \
		const uint8_t *p = vram(w) + (y * 200 + x) * (bytes);                              \
		const unsigned v = p[0] | p[1] << 8;                                               \
		(void)v;                                                                           \
		return __VA_ARGS__;                                                                \
	}
VBE_PIXEL(vbe8, 1, w->dac[p[0]])
VBE_PIXEL(vbe15, 2, wide(v >> 10 & 31, 5) << 16 | wide(v >> 5 & 31, 5) << 8 | wide(v & 31, 5))
VBE_PIXEL(vbe16, 2, wide(v >> 11, 5) << 16 | wide(v >> 5 & 63, 6) << 8 | wide(v & 31, 5))
VBE_PIXEL(vbe24, 3, (uint32_t)p[2] << 16 | p[1] << 8 | p[0])
VBE_PIXEL(vbe32, 4, (uint32_t)p[2] << 16 | p[1] << 8 | p[0])

static void test_vbe(void **state)
{
	struct world *w = *state;
	static const struct {
		unsigned bpp;
		pixel_fn pixel;
	} depths[] = { { 8, vbe8 }, { 15, vbe15 }, { 16, vbe16 }, { 24, vbe24 }, { 32, vbe32 } };

	for (size_t i = 0; i < HV_ARRAY_LEN(depths); i++) {
		vbe_mode(w, 200, 150, depths[i].bpp);
		check(w, 200, 150, depths[i].pixel);
	}
	wr(w->d, VGA_REGION_MMIO, 0x604, 4, 0xbebebebe);
	draw(w, true);
	assert_int_equal(w->p.pixels[1] & 0xffffff,
			 vram(w)[5] << 16 | vram(w)[6] << 8 | vram(w)[7]);
}

static uint32_t vbe_panned(const struct world *w, uint32_t x, uint32_t y)
{
	const uint8_t *p = vram(w) + ((y + 21) * 256 + x + 37) * 4;

	return (uint32_t)p[2] << 16 | p[1] << 8 | p[0];
}

static uint32_t vbe_planes(const struct world *w, uint32_t x, uint32_t y)
{
	return planar(w, x + 11, (y + 3) * 25);
}

static void test_vbe_virtual(void **state)
{
	struct world *w = *state;

	vbe_mode(w, 200, 150, 32);
	set_dispi(w->d, 6, 256);
	set_dispi(w->d, 8, 37);
	set_dispi(w->d, 9, 21);
	check(w, 200, 150, vbe_panned);
	set_dispi(w->d, 8, 0xffff); /* as far as there is any */
	set_dispi(w->d, 9, 0xffff);
	draw(w, true);
	const uint8_t *last = vram(w) + FAKE_VRAM_BYTES - 4;
	assert_int_equal(w->p.pixels[200 * 150 - 1] & 0xffffff,
			 (uint32_t)last[2] << 16 | last[1] << 8 | last[0]);
	/* Four bits: planes, through the window. */
	load_mode(w, &mode_12);
	vbe_mode(w, 189, 100, 4);
	set_dispi(w->d, 6, 200);
	set_dispi(w->d, 8, 11);
	set_dispi(w->d, 9, 3);
	fill_planes(w, 0x2000);
	check(w, 189, 100, vbe_planes);
	set_dispi(w->d, 8, 0xffff); /* as far as there is any */
	check(w, 189, 100, vbe_planes);
}

/* More rows than memory has: black. */
static void test_vbe_beyond(void **state)
{
	struct world *w = *state;

	vbe_mode(w, 1024, 768, 32);
	draw(w, true);
	const uint32_t rows = FAKE_VRAM_BYTES / 4096;
	assert_int_not_equal(w->p.pixels[1024 * (rows - 1) + 5], 0);
	for (uint32_t i = 1024 * rows; i < 1024 * 768; i++)
		assert_int_equal(w->p.pixels[i], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_text),	       DEVICE_TEST(test_text_43),
		DEVICE_TEST(test_text_scroll), DEVICE_TEST(test_cga),
		DEVICE_TEST(test_planar),      DEVICE_TEST(test_tall),
		DEVICE_TEST(test_256),	       DEVICE_TEST(test_unchain),
		DEVICE_TEST(test_vbe),	       DEVICE_TEST(test_vbe_virtual),
		DEVICE_TEST(test_vbe_beyond),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
