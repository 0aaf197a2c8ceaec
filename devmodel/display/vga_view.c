/*
 * What a set of registers puts on the screen: size, colours, and how a line's addresses are
 * counted. Pure; the registers may hold anything.
 *
 * A picture has one line for each row of pixels that can differ: 320x200, not 320x400, though the
 * adapter sends every row twice. The aspect of the pixels says what the monitor makes of it.
 */
#include "base/util.h"
#include "devmodel/display/vga_int.h"

/* ---- timing ---- */

enum { V_TOTAL_8 = 0x01, V_DISP_8 = 0x02, V_TOTAL_9 = 0x20, V_DISP_9 = 0x40 };
enum { OVERFLOW_LC_8 = 0x10, MAX_SCAN_LC_9 = 0x40, MAX_SCAN_DOUBLE = 0x80, MAX_SCAN_ROWS = 0x1f };
#define FRAME_MIN_NS 4000000ull
#define FRAME_MAX_NS 100000000ull
#define DISPI_FRAME_NS 16666667ull

static uint32_t visible_lines(const uint8_t *crtc)
{
	return (crtc[CRTC_VDISP] | (crtc[CRTC_OVERFLOW] & V_DISP_8 ? 0x100u : 0) |
		(crtc[CRTC_OVERFLOW] & V_DISP_9 ? 0x200u : 0)) +
	       1;
}

uint64_t vga_frame_ns(const struct vga_regs *r, uint32_t *ret_lines, uint32_t *ret_visible)
{
	static const uint32_t clock_khz[4] = { 25175, 28322, 25175, 25175 };
	const uint8_t *crtc = r->crtc;
	uint64_t dots, ns;
	uint32_t lines;

	if (vga_dispi_on(r)) {
		*ret_visible = r->dispi[DISPI_YRES];
		*ret_lines = *ret_visible + *ret_visible / 20 + 1;
		return DISPI_FRAME_NS;
	}
	lines = (crtc[CRTC_VTOTAL] | (crtc[CRTC_OVERFLOW] & V_TOTAL_8 ? 0x100u : 0) |
		 (crtc[CRTC_OVERFLOW] & V_TOTAL_9 ? 0x200u : 0)) +
		2;
	dots = (crtc[CRTC_HTOTAL] + 5ull) * (r->seq[SEQ_CLOCK] & SEQ_CLOCK_8DOT ? 8 : 9) * lines;
	if (r->seq[SEQ_CLOCK] & SEQ_CLOCK_HALF)
		dots *= 2;
	if (crtc[CRTC_MODE] & CRTC_MODE_SLDIV)
		dots *= 2;
	ns = dots * 1000000 / clock_khz[r->misc >> 2 & 3];
	*ret_lines = lines;
	*ret_visible = visible_lines(crtc);
	return hv_max_u64(hv_min_u64(ns, FRAME_MAX_NS), FRAME_MIN_NS);
}

/* ---- colours ---- */

static uint32_t dac_colour(const struct vga_regs *r, unsigned i)
{
	const uint8_t *c = r->dac + (i & r->pel_mask) * 3u;
	uint32_t rgb = 0;

	for (unsigned k = 0; k < 3; k++) {
		const unsigned v = c[k];
		rgb = rgb << 8 |
		      (r->dispi[DISPI_ENABLE] & DISPI_DAC8 ? v : (v << 2 | v >> 4) & 0xff);
	}
	return rgb;
}

/* 256 colours as they are; else the 16 that the attribute controller chooses. */
static void make_palette(const struct vga_regs *r, struct vga_view *v, bool direct)
{
	const uint8_t *attr = r->attr;
	const unsigned select = attr[ATTR_COLOUR_SELECT];

	for (unsigned i = 0; i < 256 && direct; i++)
		v->palette[i] = dac_colour(r, i);
	for (unsigned i = 0; i < 16 && !direct; i++) {
		unsigned c = attr[i & attr[ATTR_PLANES] & 15u];
		c = attr[ATTR_MODE] & ATTR_MODE_P54 ? (c & 15) | (select & 15) << 4
						    : (c & 63) | (select & 12) << 4;
		v->palette[i] = dac_colour(r, c);
	}
}

/* ---- the Bochs interface ---- */

static void make_dispi(const struct vga_regs *r, uint32_t vram_bytes, struct vga_view *v)
{
	const uint16_t *d = r->dispi;
	const unsigned bpp = d[DISPI_BPP];

	v->width = d[DISPI_XRES];
	v->height = d[DISPI_YRES];
	v->swap = r->endian == VGA_BIG_ENDIAN;
	vga_dispi_layout(r, vram_bytes, &v->stride, &v->start, &v->pan);
	make_palette(r, v, bpp == 8);
	if (bpp == 4) {
		v->kind = VGA_PLANES;
		v->offset = v->stride;
		v->chars = (v->width + 7) / 8;
		v->address = CRTC_MODE_BYTE | CRTC_MODE_ROW0 | CRTC_MODE_ROW1;
		v->plane_mask = vram_bytes / 4 - 1;
		v->split = UINT32_MAX;
		v->repeat = v->rows = 1;
		return;
	}
	v->kind = bpp == 8    ? VGA_LINEAR8
		  : bpp == 15 ? VGA_LINEAR15
		  : bpp == 16 ? VGA_LINEAR16
		  : bpp == 24 ? VGA_LINEAR24
			      : VGA_LINEAR32;
}

/* ---- VGA ---- */

static unsigned char_bits(enum vga_kind kind, unsigned dots)
{
	return kind == VGA_TEXT ? dots : kind == VGA_BYTES ? 4 : 8;
}

static enum vga_kind kind_of(const struct vga_regs *r)
{
	const unsigned mode = r->gfx[GFX_MODE];

	if (!(r->gfx[GFX_MISC] & GFX_MISC_GRAPHICS))
		return VGA_TEXT;
	if (mode & GFX_MODE_256)
		return r->attr[ATTR_MODE] & ATTR_MODE_8BIT ? VGA_BYTES : VGA_NIBBLES;
	return mode & GFX_MODE_CGA ? VGA_CGA : VGA_PLANES;
}

/* Pixels to the left, as the panning register says it for each kind. */
static uint8_t panning(const struct vga_regs *r, const struct vga_view *v)
{
	const unsigned pan = r->attr[ATTR_PANNING] & 15u;

	if (v->kind == VGA_BYTES)
		return (uint8_t)(pan / 2 & 3);
	if (v->kind == VGA_TEXT && v->dots == 9)
		return (uint8_t)(pan >= 8 ? 0 : pan + 1);
	return (uint8_t)(pan & 7);
}

/* Plane addresses of fonts by their number. */
static uint32_t font(unsigned n)
{
	return (n & 3) * 0x4000 + (n >> 2) * 0x2000;
}

static void make_text(const struct vga_regs *r, struct vga_view *v)
{
	const uint8_t *crtc = r->crtc;
	const unsigned fonts = r->seq[SEQ_FONTS];
	const bool off = crtc[CRTC_CURSOR_START] & 0x20;

	v->blinks = r->attr[ATTR_MODE] & ATTR_MODE_BLINK;
	v->line_graphics = r->attr[ATTR_MODE] & ATTR_MODE_LINE_GRAPHICS;
	v->underline = crtc[CRTC_UNDERLINE] & 31;
	v->font[0] = font((fonts & 3) | (fonts >> 4 & 1) << 2);
	v->font[1] = font((fonts >> 2 & 3) | (fonts >> 5 & 1) << 2);
	v->cursor = (uint32_t)(crtc[CRTC_CURSOR_HIGH] << 8 | crtc[CRTC_CURSOR_LOW]) +
		    (crtc[CRTC_CURSOR_END] >> 5 & 3); /* the skew */
	v->cursor_first = off ? 32 : crtc[CRTC_CURSOR_START] & 31;
	v->cursor_last = crtc[CRTC_CURSOR_END] & 31;
}

/* How memory addresses are counted, and which rows of characters lines belong to. */
static void make_rows(const struct vga_regs *r, struct vga_view *v)
{
	const uint8_t *crtc = r->crtc;
	const unsigned bytes = crtc[CRTC_PRESET_ROW] >> 5 & 3;

	v->start = (uint32_t)(crtc[CRTC_START_HIGH] << 8 | crtc[CRTC_START_LOW]) + bytes;
	v->offset = crtc[CRTC_OFFSET] * 2u;
	v->chars = crtc[CRTC_HDISP] + 1u;
	v->address = crtc[CRTC_MODE] &
		     (CRTC_MODE_BYTE | CRTC_MODE_WRAP | CRTC_MODE_ROW0 | CRTC_MODE_ROW1);
	v->dword = crtc[CRTC_UNDERLINE] & CRTC_UNDERLINE_DWORD;
	v->count_shift = crtc[CRTC_UNDERLINE] & CRTC_UNDERLINE_COUNT4 ? 2
			 : crtc[CRTC_MODE] & CRTC_MODE_COUNT2	      ? 1
								      : 0;
	v->plane_mask = 0xffff;
	v->scan_shift = crtc[CRTC_MAX_SCAN] & MAX_SCAN_DOUBLE ? 1 : 0;
	v->rows = (crtc[CRTC_MAX_SCAN] & MAX_SCAN_ROWS) + 1u;
	v->preset = (uint32_t)hv_min_u64(crtc[CRTC_PRESET_ROW] & 31, v->rows - 1);
	v->split = (crtc[CRTC_LINE_COMPARE] | (crtc[CRTC_OVERFLOW] & OVERFLOW_LC_8 ? 0x100u : 0) |
		    (crtc[CRTC_MAX_SCAN] & MAX_SCAN_LC_9 ? 0x200u : 0)) +
		   1;
	v->pan = panning(r, v);
	v->pan_below = !(r->attr[ATTR_MODE] & ATTR_MODE_PAN_TOP);
}

static void make_vga(const struct vga_regs *r, struct vga_view *v)
{
	const uint8_t *crtc = r->crtc;
	const bool sldiv = crtc[CRTC_MODE] & CRTC_MODE_SLDIV;
	uint32_t lines = visible_lines(crtc) << sldiv;

	v->kind = kind_of(r);
	v->dots = r->seq[SEQ_CLOCK] & SEQ_CLOCK_8DOT ? 8 : 9;
	make_rows(r, v);
	make_palette(r, v, v->kind == VGA_BYTES);
	v->split <<= sldiv;
	v->repeat = 1;
	if (v->kind == VGA_TEXT) {
		make_text(r, v);
	} else {
		/* Scans of a row differ where their number is part of the address. */
		const bool same = (v->address & CRTC_MODE_ROW0) && (v->address & CRTC_MODE_ROW1);
		v->repeat = (same ? v->rows : 1) << v->scan_shift;
	}
	v->width = v->chars * char_bits(v->kind, v->dots);
	v->height = (lines + v->repeat - 1) / v->repeat;
}

/* ---- both ---- */

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
	while (b != 0) {
		const uint32_t rest = a % b;
		a = b;
		b = rest;
	}
	return a;
}

/* VGA fills a monitor of 4:3 with any number of pixels; from 640x480 up they are square. */
static void make_aspect(struct vga_view *v, bool dispi)
{
	const uint32_t x = 4 * v->height, y = 3 * v->width, d = common_divisor(x, y);

	v->aspect_x = v->aspect_y = 1;
	if (dispi && (v->height > 400 || v->height * 16 != v->width * 10))
		return;
	v->aspect_x = x / d;
	v->aspect_y = y / d;
}

static bool is_blank(const struct vga_regs *r)
{
	return !(r->attr_index & ATTR_INDEX_ON) || (r->seq[SEQ_CLOCK] & SEQ_CLOCK_OFF) ||
	       (!vga_dispi_on(r) && !(r->crtc[CRTC_MODE] & CRTC_MODE_SYNC));
}

void vga_view_make(const struct vga_regs *r, uint32_t vram_bytes, struct vga_view *v)
{
	uint32_t lines, visible;

	memset(v, 0, sizeof(*v));
	if (vga_dispi_on(r))
		make_dispi(r, vram_bytes, v);
	else
		make_vga(r, v);
	make_aspect(v, vga_dispi_on(r));
	v->blank = is_blank(r);
	v->frame_ns = vga_frame_ns(r, &lines, &visible);
}

void vga_view_row(const struct vga_view *v, uint32_t y, struct vga_row *row)
{
	const uint32_t line = y * v->repeat;
	const bool below = line >= v->split;
	uint32_t scan = below ? line - v->split : line;

	scan = (scan >> v->scan_shift) + (below ? 0 : v->preset);
	row->start = (below ? 0 : v->start) + scan / v->rows * v->offset;
	row->scan = scan % v->rows;
	row->pan = below && !v->pan_below ? 0 : v->pan;
}
