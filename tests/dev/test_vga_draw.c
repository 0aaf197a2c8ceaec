/*
 * What the display adapter draws: registers as IBM's BIOS sets each mode, patterns through the
 * ports and the window, and every pixel compared with what the mode's definition makes of them.
 * Then what is told to have changed.
 */
#include "vgatest.h"

#define WINDOW_B8000 0x18000
#define WINDOW_B0000 0x10000

/* One adapter, its viewer's picture, and what the CPU has put there. */
struct world {
	struct fake_machine m;
	struct dev *d;
	struct disp_picture p;
	uint8_t cpu[0x20000];	   /* through the window, at its base */
	uint8_t plane[4][0x10000]; /* with one plane open at a time */
	uint8_t font[2][256 * 32];
	uint32_t dac[256];
	const struct vga_mode *mode;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	fake_machine_init(&w->m, 1000000);
	w->d = make(&w->m, &dm_vga.base);
	w->p.pixels = calloc(DISP_MAX_WIDTH * DISP_MAX_HEIGHT, 4);
	assert_non_null(w->p.pixels);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	dev_destroy(w->d);
	free(w->p.pixels);
	free(w);
	return 0;
}

static void draw(struct world *w, bool all)
{
	dm_vga_display.draw(w->d, &w->p, all);
}

/* ---- patterns ---- */

static void load_colours(struct world *w)
{
	outb(w->d, 0x3c8, 0);
	for (unsigned i = 0; i < 256; i++) {
		w->dac[i] = 0;
		for (unsigned c = 0; c < 3; c++) {
			const unsigned v = (i * (7 + 6 * c) + c * 21 + (i >> 3)) & 63;
			outb(w->d, 0x3c9, v);
			w->dac[i] = w->dac[i] << 8 | v << 2 | v >> 4;
		}
	}
}

static void load_mode(struct world *w, const struct vga_mode *mode)
{
	w->mode = mode;
	set_mode(w->d, mode);
	load_colours(w);
}

static uint8_t pattern(uint32_t a, unsigned plane)
{
	return (uint8_t)(a * 7 + (a >> 8) * 13 + plane * 29 + (a >> 3 & 1) * 0x50);
}

/* As a program writes that sees bytes one after the other. */
static void fill_cpu(struct world *w, uint32_t base, uint32_t n)
{
	for (uint32_t a = 0; a < n; a++) {
		w->cpu[a] = pattern(a, 0);
		wr(w->d, VGA_REGION_WINDOW, base + a, 1, w->cpu[a]);
	}
}

static void fill_planes(struct world *w, uint32_t n)
{
	for (unsigned plane = 0; plane < 4; plane++) {
		set_reg(w->d, 0x3c4, 2, 1u << plane);
		for (uint32_t a = 0; a < n; a++) {
			w->plane[plane][a] = pattern(a, plane);
			wr(w->d, VGA_REGION_WINDOW, a, 1, w->plane[plane][a]);
		}
	}
	set_reg(w->d, 0x3c4, 2, 15);
}

/* Two fonts of no alphabet (but for the space), at 0 and at 0x4000 of plane 2; then the text mode
 * again. */
static void load_fonts(struct world *w)
{
	set_reg(w->d, 0x3c4, 2, 4);
	set_reg(w->d, 0x3c4, 4, 6);
	set_reg(w->d, 0x3ce, 5, 0);
	set_reg(w->d, 0x3ce, 6, 4);
	for (unsigned f = 0; f < 2; f++) {
		for (uint32_t i = 0; i < 256 * 32; i++) {
			w->font[f][i] = (uint8_t)(i * 37 + (i >> 5) * 11 + f * 0x6b + (i >> 4));
			if (i >> 5 == ' ')
				w->font[f][i] = 0;
			wr(w->d, VGA_REGION_WINDOW, f * 0x4000 + i, 1, w->font[f][i]);
		}
	}
	set_mode(w->d, w->mode);
}

static void text_mode(struct world *w, const struct vga_mode *mode, uint32_t cells)
{
	load_mode(w, mode);
	load_fonts(w);
	fill_cpu(w, mode->misc & 1 ? WINDOW_B8000 : WINDOW_B0000, cells * 2);
	set_reg(w->d, mode->misc & 1 ? 0x3d4 : 0x3b4, 0x0a, 0x20); /* no cursor */
	set_reg(w->d, 0x3c0, 0x10, mode->attr[0x10] & ~8u);	   /* bright, not blinking */
}

/* ---- images, from the modes' definitions ---- */

typedef uint32_t (*pixel_fn)(const struct world *w, uint32_t x, uint32_t y);

static uint32_t colour16(const struct world *w, unsigned i)
{
	return w->dac[w->mode->attr[i & w->mode->attr[0x12]] & 0x3f];
}

static void compare(struct world *w, uint32_t width, uint32_t height, pixel_fn pixel)
{
	assert_false(w->p.blank);
	assert_int_equal(w->p.width, width);
	assert_int_equal(w->p.height, height);
	for (uint32_t y = 0; y < height; y++)
		for (uint32_t x = 0; x < width; x++)
			if ((w->p.pixels[y * width + x] & 0xffffff) != pixel(w, x, y))
				fail_msg("at %u, %u: %06x instead of %06x", x, y,
					 w->p.pixels[y * width + x], pixel(w, x, y));
}

static void check(struct world *w, uint32_t width, uint32_t height, pixel_fn pixel)
{
	draw(w, true);
	assert_int_equal(w->p.n_rects, 1);
	assert_int_equal(w->p.rect[0].width, width);
	assert_int_equal(w->p.rect[0].height, height);
	compare(w, width, height, pixel);
}

static bool dot(const struct world *w, unsigned font, uint8_t c, unsigned line, unsigned x)
{
	if (x == 8)
		return (c & 0xe0) == 0xc0 && (w->font[font][c * 32 + line] & 1);
	return w->font[font][c * 32 + line] >> (7 - x) & 1;
}

static uint32_t cell(const struct world *w, const uint8_t *at, unsigned font, unsigned line,
		     unsigned x)
{
	return colour16(w, dot(w, font, at[0], line, x) ? at[1] & 15 : at[1] >> 4);
}

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

static uint32_t planar(const struct world *w, uint32_t x, uint32_t at)
{
	unsigned c = 0;

	for (unsigned p = 0; p < 4; p++)
		c |= (w->plane[p][(at + x / 8) & 0xffff] >> (7 - x % 8) & 1u) << p;
	return colour16(w, c);
}

static uint32_t planar320(const struct world *w, uint32_t x, uint32_t y)
{
	return planar(w, x, y * 40);
}

static uint32_t planar640(const struct world *w, uint32_t x, uint32_t y)
{
	return planar(w, x, y * 80);
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

static uint32_t linear13(const struct world *w, uint32_t x, uint32_t y)
{
	return w->dac[w->cpu[y * 320 + x]];
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

static const uint8_t *vram(const struct world *w)
{
	return w->m.vga.vram;
}

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

static void vbe_mode(struct world *w, unsigned width, unsigned height, unsigned bpp)
{
	set_dispi(w->d, 4, 0);
	set_dispi(w->d, 1, width);
	set_dispi(w->d, 2, height);
	set_dispi(w->d, 3, bpp);
	set_dispi(w->d, 4, 0x41);
	set_reg(w->d, 0x3c0, 0x11, 0); /* the picture is on */
	load_colours(w);
	for (uint32_t a = 0; a < FAKE_VRAM_BYTES; a++)
		w->m.vga.vram[a] = pattern(a, a >> 16 & 3);
	fake_vga_wrote(&w->m, 0, FAKE_VRAM_BYTES);
}

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
		DEVICE_TEST(test_text),
		DEVICE_TEST(test_text_43),
		DEVICE_TEST(test_cga),
		DEVICE_TEST(test_planar),
		DEVICE_TEST(test_tall),
		DEVICE_TEST(test_256),
		DEVICE_TEST(test_unchain),
		DEVICE_TEST(test_vbe),
		DEVICE_TEST(test_vbe_virtual),
		DEVICE_TEST(test_vbe_beyond),
		DEVICE_TEST(test_damage),
		DEVICE_TEST(test_damage_adds_up),
		DEVICE_TEST(test_damage_vbe),
		DEVICE_TEST(test_damage_registers),
		DEVICE_TEST(test_text_damage),
		DEVICE_TEST(test_cursor),
		DEVICE_TEST(test_blink),
		DEVICE_TEST(test_text_scroll),
		DEVICE_TEST(test_blank),
		DEVICE_TEST(test_viewer_gone),
		DEVICE_TEST(test_text_for_scripts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
