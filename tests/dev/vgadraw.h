/*
 * What the tests of drawing share: an adapter with its viewer's picture, patterns put there through
 * the ports and the window, and what a picture has to be.
 */
#ifndef TESTS_DEV_VGADRAW_H
#define TESTS_DEV_VGADRAW_H
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

static inline int setup(void **state)
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

static inline int teardown(void **state)
{
	struct world *w = *state;

	dev_destroy(w->d);
	free(w->p.pixels);
	free(w);
	return 0;
}

static inline void draw(struct world *w, bool all)
{
	dm_vga_display.draw(w->d, &w->p, all);
}

/* ---- patterns ---- */

static inline void load_colours(struct world *w)
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

static inline void load_mode(struct world *w, const struct vga_mode *mode)
{
	w->mode = mode;
	set_mode(w->d, mode);
	load_colours(w);
}

static inline uint8_t pattern(uint32_t a, unsigned plane)
{
	return (uint8_t)(a * 7 + (a >> 8) * 13 + plane * 29 + (a >> 3 & 1) * 0x50);
}

/* As a program writes that sees bytes one after the other. */
static inline void fill_cpu(struct world *w, uint32_t base, uint32_t n)
{
	for (uint32_t a = 0; a < n; a++) {
		w->cpu[a] = pattern(a, 0);
		wr(w->d, VGA_REGION_WINDOW, base + a, 1, w->cpu[a]);
	}
}

static inline void fill_planes(struct world *w, uint32_t n)
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
static inline void load_fonts(struct world *w)
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

static inline void text_mode(struct world *w, const struct vga_mode *mode, uint32_t cells)
{
	load_mode(w, mode);
	load_fonts(w);
	fill_cpu(w, mode->misc & 1 ? WINDOW_B8000 : WINDOW_B0000, cells * 2);
	set_reg(w->d, mode->misc & 1 ? 0x3d4 : 0x3b4, 0x0a, 0x20); /* no cursor */
	set_reg(w->d, 0x3c0, 0x10, mode->attr[0x10] & ~8u);	   /* bright, not blinking */
}

/* ---- images, from the modes' definitions ---- */

typedef uint32_t (*pixel_fn)(const struct world *w, uint32_t x, uint32_t y);

static inline uint32_t colour16(const struct world *w, unsigned i)
{
	return w->dac[w->mode->attr[i & w->mode->attr[0x12]] & 0x3f];
}

static inline void compare(struct world *w, uint32_t width, uint32_t height, pixel_fn pixel)
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

static inline void check(struct world *w, uint32_t width, uint32_t height, pixel_fn pixel)
{
	draw(w, true);
	assert_int_equal(w->p.n_rects, 1);
	assert_int_equal(w->p.rect[0].width, width);
	assert_int_equal(w->p.rect[0].height, height);
	compare(w, width, height, pixel);
}

static inline bool dot(const struct world *w, unsigned font, uint8_t c, unsigned line, unsigned x)
{
	if (x == 8)
		return (c & 0xe0) == 0xc0 && (w->font[font][c * 32 + line] & 1);
	return w->font[font][c * 32 + line] >> (7 - x) & 1;
}

static inline uint32_t cell(const struct world *w, const uint8_t *at, unsigned font, unsigned line,
			    unsigned x)
{
	return colour16(w, dot(w, font, at[0], line, x) ? at[1] & 15 : at[1] >> 4);
}

static inline uint32_t planar(const struct world *w, uint32_t x, uint32_t at)
{
	unsigned c = 0;

	for (unsigned p = 0; p < 4; p++)
		c |= (w->plane[p][(at + x / 8) & 0xffff] >> (7 - x % 8) & 1u) << p;
	return colour16(w, c);
}

static inline uint32_t planar640(const struct world *w, uint32_t x, uint32_t y)
{
	return planar(w, x, y * 80);
}

static inline uint32_t linear13(const struct world *w, uint32_t x, uint32_t y)
{
	return w->dac[w->cpu[y * 320 + x]];
}

static inline const uint8_t *vram(const struct world *w)
{
	return w->m.vga.vram;
}

static inline void vbe_mode(struct world *w, unsigned width, unsigned height, unsigned bpp)
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
#endif
