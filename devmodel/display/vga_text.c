/*
 * Text: characters in plane 0, attributes in plane 1, fonts of 32 bytes a character in plane 2.
 * See vga.c for the specification.
 */
#include "devmodel/display/vga_int.h"

enum { ATTR_BLINK = 0x80, ATTR_FONT = 8, UNDERLINED = 1, UNDERLINE_BITS = 0x77 };

/* The character's dots of one scan, the leftmost in bit 8; of 8 dots in bit 7. */
static unsigned glyph(const struct vga_view *v, const struct vga_memory *m, uint8_t code,
		      uint8_t attr, uint32_t scan)
{
	const uint32_t font = v->font[attr & ATTR_FONT ? 1 : 0];
	unsigned dots = vga_planes(m, font + code * 32u + scan) >> 16 & 0xff;

	if (scan == v->underline && (attr & UNDERLINE_BITS) == UNDERLINED)
		dots = 0xff;
	if (v->dots == 8)
		return dots;
	/* Only lines and boxes go on in the ninth dot. */
	return dots << 1 | (v->line_graphics && (code & 0xe0) == 0xc0 ? dots & 1 : 0) |
	       (scan == v->underline && (attr & UNDERLINE_BITS) == UNDERLINED ? 1 : 0);
}

static void put_dots(uint32_t dots, uint32_t ink, uint32_t back, uint32_t *restrict to)
{
	static const uint32_t bit[8] = { 0x80, 0x40, 0x20, 0x10, 8, 4, 2, 1 };

	for (unsigned i = 0; i < 8; i++) /* in vector instructions */
		to[i] = (dots & bit[i]) != 0 ? ink : back;
}

static bool has_cursor(const struct vga_view *v, const struct vga_row *row, uint32_t i)
{
	return row->scan >= v->cursor_first && row->scan <= v->cursor_last &&
	       ((row->start + i) & 0xffff) == (v->cursor & 0xffff);
}

bool vga_text_line(const struct vga_view *v, const struct vga_memory *m, uint32_t y, bool cursor_on,
		   bool blink_on, uint32_t *restrict to)
{
	struct vga_row row;
	bool blinks = false;
	uint32_t *restrict p = to;

	vga_view_row(v, y, &row);
	for (uint32_t i = 0; i < v->chars + (row.pan > 0); i++) {
		const uint32_t word = vga_planes(m, vga_view_addr(v, &row, i));
		const uint8_t code = (uint8_t)word, attr = (uint8_t)(word >> 8);
		unsigned dots = glyph(v, m, code, attr, row.scan), paper = attr >> 4;

		if (v->blinks) {
			blinks |= attr & ATTR_BLINK;
			paper &= 7;
			if ((attr & ATTR_BLINK) && !blink_on)
				dots = 0;
		}
		if (cursor_on && has_cursor(v, &row, i))
			dots = 0x1ff;
		const uint32_t ink = v->palette[attr & 15], back = v->palette[paper];
		put_dots(v->dots == 9 ? dots >> 1 : dots, ink, back, p);
		if (v->dots == 9)
			p[8] = dots & 1 ? ink : back;
		p += v->dots;
	}
	if (row.pan > 0)
		memmove(to, to + row.pan, v->width * sizeof(*to));
	return blinks;
}
