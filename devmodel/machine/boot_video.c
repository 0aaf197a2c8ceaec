/*
 * The display adapter as a system without firmware finds it: what the VGA BIOS would have done, by
 * the same registers. First text, 80x25 with a font from the ROM, as programs expect a PC to be
 * that just started; then, for whoever wants pixels, a mode with linear memory.
 *
 * Specification: IBM Personal System/2 and Personal Computer BIOS Interface Technical Reference
 * (mode 3, BIOS data area); devmodel/display/vga_dispi.c.
 */
#include "devmodel/machine/boot_video.h"
#include "base/util.h"
#include "devmodel/machine/machine_int.h"

#define TEXT_GPA 0xb8000ull
#define COLUMNS 80u
#define LINES 25u
#define FONT_HEIGHT 16u
#define FONT_BYTES (256 * FONT_HEIGHT)
#define BLANK_CELLS 0x0720072007200720ull

static void out(struct machine *m, uint16_t port, uint8_t v)
{
	hv_pio_write(m->pio, port, 1, v);
}

static void indexed(struct machine *m, uint16_t port, const uint8_t *values, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		hv_pio_write(m->pio, port, 2, i | (uint32_t)values[i] << 8);
}

/* ---- text ---- */

static const uint8_t seq[] = { 0x03, 0x00, 0x03, 0x00, 0x02 };
static const uint8_t crtc[] = { 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00,
				0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e,
				0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff };
static const uint8_t gfx[] = { 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x00, 0xff };
static const uint8_t attr[] = { 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a,
				0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00 };

/* The colours of a 64-colour monitor: bits rgbRGB, two thirds and one third of the brightness. */
static void load_dac(struct machine *m)
{
	out(m, 0x3c6, 0xff);
	out(m, 0x3c8, 0);
	for (unsigned i = 0; i < 64; i++)
		for (unsigned c = 3; c-- > 0;)
			out(m, 0x3c9, (uint8_t)((i >> c & 1) * 0x2a + (i >> (c + 3) & 1) * 0x15));
}

/* The font of 16 lines in the VGA BIOS, known by its first two characters; NULL: none there. */
static const uint8_t *find_font(const struct hv_ram *rom)
{
	static const uint8_t face[2 * FONT_HEIGHT] = {
		[FONT_HEIGHT + 2] = 0x7e, 0x81, 0xa5, 0x81, 0x81, 0xbd, 0x99, 0x81, 0x81, 0x7e
	};
	const uint8_t *p = hv_ram_host(rom);

	return memmem(p, hv_ram_bytes(rom) - (FONT_BYTES - sizeof(face)), face, sizeof(face));
}

/* Into plane 2, 32 bytes a character. */
static void load_font(struct machine *m, const uint8_t *font)
{
	static const uint8_t to_plane2[] = { 0x03, 0x00, 0x04, 0x00, 0x06 };
	static const uint8_t flat[] = { 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x04, 0x00, 0xff };

	indexed(m, 0x3c4, to_plane2, sizeof(to_plane2));
	indexed(m, 0x3ce, flat, sizeof(flat));
	for (unsigned i = 0; i < FONT_BYTES; i++)
		hv_mem_io_write(m->mem, VGA_WINDOW_GPA + i / FONT_HEIGHT * 32 + i % FONT_HEIGHT, 1,
				font[i]);
}

static void load_attr(struct machine *m)
{
	(void)hv_pio_read(m->pio, 0x3da, 1); /* an index is next */
	for (unsigned i = 0; i < sizeof(attr); i++) {
		out(m, 0x3c0, (uint8_t)i);
		out(m, 0x3c0, attr[i]);
	}
	out(m, 0x3c0, 0x20); /* the picture is on */
}

/* What programs without a BIOS still look up in its data area. */
static int put_data_area(struct machine *m)
{
	static const uint8_t mode[] = { 3, COLUMNS, 0, 0x00, 0x10 }; /* and bytes of a page */
	static const uint16_t crtc_port = 0x3d4;
	static const uint8_t size[] = { LINES - 1, FONT_HEIGHT, 0 };
	int r = hv_mem_write(m->mem, 0x449, mode, sizeof(mode));

	if (r == 0)
		r = hv_mem_write(m->mem, 0x463, &crtc_port, sizeof(crtc_port));
	return r == 0 ? hv_mem_write(m->mem, 0x484, size, sizeof(size)) : r;
}

static int set_text(struct machine *m)
{
	const uint8_t *font = find_font(m->vga.rom);

	out(m, 0x3c2, 0x67);
	if (font != NULL)
		load_font(m, font);
	hv_pio_write(m->pio, 0x3d4, 2, 0x0011); /* the first registers are protected by it */
	indexed(m, 0x3d4, crtc, sizeof(crtc));
	indexed(m, 0x3c4, seq, sizeof(seq));
	indexed(m, 0x3ce, gfx, sizeof(gfx));
	load_attr(m);
	load_dac(m);
	for (unsigned i = 0; i < COLUMNS * LINES * 2; i += 8)
		hv_mem_io_write(m->mem, TEXT_GPA + i, 8, BLANK_CELLS);
	return put_data_area(m);
}

/* ---- pixels ---- */

static void dispi(struct machine *m, unsigned index, unsigned v)
{
	hv_pio_write(m->pio, 0x1ce, 2, index);
	hv_pio_write(m->pio, 0x1cf, 2, v);
}

static void set_pixels(struct machine *m, const struct boot_mode *mode, uint64_t lfb,
		       struct boot_screen *s)
{
	enum { XRES = 1, YRES, BPP, ENABLE, ON = 1, LFB = 0x40 };

	dispi(m, XRES, mode->width);
	dispi(m, YRES, mode->height);
	dispi(m, BPP, mode->depth);
	dispi(m, ENABLE, ON | LFB);
	*s = (struct boot_screen){ .lfb = lfb,
				   .width = mode->width,
				   .height = mode->height,
				   .depth = mode->depth,
				   .stride = mode->width * ((mode->depth + 7) / 8),
				   .memory_bytes = VGA_VRAM_BYTES };
}

int boot_video(struct machine *m, const struct boot_mode *mode, uint64_t lfb,
	       struct boot_screen *ret_screen, struct err *e)
{
	*ret_screen = (struct boot_screen){ 0 };
	if (m->vga.vram == NULL)
		return 0;
	if (set_text(m) < 0)
		return err_set(e, -EFAULT, "there is no memory for the BIOS data area");
	*ret_screen = (struct boot_screen){ .width = COLUMNS, .height = LINES };
	if (mode->width != 0)
		set_pixels(m, mode, lfb, ret_screen);
	return 0;
}
