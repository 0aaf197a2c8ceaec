/*
 * Graphics: lines of pixels from planes, as the shift registers of the graphics controller cut
 * them, and from the linear memory of the Bochs interface. See vga.c for the specification.
 */
#include "devmodel/display/vga_int.h"

/* ---- planes: what a character's word becomes ---- */

/* A bit of each plane; bit 7 is the leftmost. */
static void planes(const struct vga_view *v, uint32_t word, uint32_t *to)
{
	for (unsigned i = 0; i < 8; i++, word <<= 1)
		to[i] = v->palette[(word >> 7 & 1) | (word >> 14 & 2) | (word >> 21 & 4) |
				   (word >> 28 & 8)];
}

/* Two bits of plane 0, the next two, ...; then of plane 1; planes 2 and 3 have the upper bits. */
static void cga(const struct vga_view *v, uint32_t word, uint32_t *to)
{
	for (unsigned i = 0; i < 8; i++) {
		const uint32_t pair = i < 4 ? word : word >> 8; /* bits 0-7 and 16-23 */
		const unsigned shift = 6 - 2 * (i & 3);
		to[i] = v->palette[(pair >> shift & 3) | (pair >> (16 + shift) & 3) << 2];
	}
}

static void nibbles(const struct vga_view *v, uint32_t word, uint32_t *to)
{
	for (unsigned i = 0; i < 4; i++, word >>= 8) {
		to[2 * i] = v->palette[word >> 4 & 15];
		to[2 * i + 1] = v->palette[word & 15];
	}
}

static void bytes(const struct vga_view *v, uint32_t word, uint32_t *to)
{
	for (unsigned i = 0; i < 4; i++, word >>= 8)
		to[i] = v->palette[word & 255];
}

static void plane_line(const struct vga_view *v, const struct vga_memory *m, uint32_t y,
		       uint32_t *to)
{
	const unsigned pixels = v->kind == VGA_BYTES ? 4 : 8;
	struct vga_row row;
	uint32_t *p = to;

	vga_view_row(v, y, &row);
	for (uint32_t i = 0; i < v->chars + (row.pan > 0); i++, p += pixels) {
		const uint32_t word = vga_planes(m, vga_view_addr(v, &row, i));
		switch (v->kind) {
		case VGA_CGA:
			cga(v, word, p);
			break;
		case VGA_NIBBLES:
			nibbles(v, word, p);
			break;
		case VGA_BYTES:
			bytes(v, word, p);
			break;
		default:
			planes(v, word, p);
			break;
		}
	}
	if (row.pan > 0)
		memmove(to, to + row.pan, v->width * sizeof(*to));
}

/* ---- linear memory ---- */

static uint32_t widen5(unsigned v)
{
	return v << 3 | v >> 2;
}

static uint32_t from_15(unsigned p)
{
	return widen5(p >> 10 & 31) << 16 | widen5(p >> 5 & 31) << 8 | widen5(p & 31);
}

static uint32_t from_16(unsigned p)
{
	const unsigned green = p >> 5 & 63;

	return widen5(p >> 11) << 16 | (green << 2 | green >> 4) << 8 | widen5(p & 31);
}

static void line_16(const struct vga_view *v, const uint8_t *from, uint32_t *to)
{
	for (uint32_t x = 0; x < v->width; x++) {
		uint16_t p;
		memcpy(&p, from + 2 * x, 2);
		p = v->swap ? __builtin_bswap16(p) : p;
		to[x] = v->kind == VGA_LINEAR15 ? from_15(p) : from_16(p);
	}
}

static void line_32(const struct vga_view *v, const uint8_t *from, uint32_t *to)
{
	memcpy(to, from, v->width * sizeof(*to));
	for (uint32_t x = 0; x < v->width && v->swap; x++)
		to[x] = __builtin_bswap32(to[x]);
	for (uint32_t x = 0; x < v->width; x++)
		to[x] &= 0xffffff;
}

uint32_t vga_linear_bytes(const struct vga_view *v)
{
	static const uint8_t pixel[] = { [VGA_LINEAR8] = 1,
					 [VGA_LINEAR15] = 2,
					 [VGA_LINEAR16] = 2,
					 [VGA_LINEAR24] = 3,
					 [VGA_LINEAR32] = 4 };

	return v->width * pixel[v->kind];
}

static void linear_line(const struct vga_view *v, const struct vga_memory *m, uint32_t y,
			uint32_t *to)
{
	const uint64_t off = v->start + (uint64_t)y * v->stride;
	const uint8_t *from = m->p + off;

	if (off + vga_linear_bytes(v) > m->bytes) { /* there is no such memory */
		memset(to, 0, v->width * sizeof(*to));
		return;
	}
	switch (v->kind) {
	case VGA_LINEAR15:
	case VGA_LINEAR16:
		line_16(v, from, to);
		break;
	case VGA_LINEAR24:
		for (uint32_t x = 0; x < v->width; x++, from += 3)
			to[x] = from[0] | from[1] << 8 | (uint32_t)from[2] << 16;
		break;
	case VGA_LINEAR32:
		line_32(v, from, to);
		break;
	default:
		for (uint32_t x = 0; x < v->width; x++)
			to[x] = v->palette[from[x]];
		break;
	}
}

void vga_graphics_line(const struct vga_view *v, const struct vga_memory *m, uint32_t y,
		       uint32_t *to)
{
	if (v->kind >= VGA_LINEAR8)
		linear_line(v, m, y, to);
	else
		plane_line(v, m, y, to);
}
