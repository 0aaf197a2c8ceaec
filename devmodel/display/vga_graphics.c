/*
 * Graphics: lines of pixels from planes, as the shift registers of the graphics controller cut
 * them, and from the linear memory of the Bochs interface. See vga.c for the specification.
 */
#include "base/util.h"
#include "devmodel/display/vga_int.h"

/* ---- planes: what a character's word becomes ---- */

/* Eight bits as eight bytes of 0 and 1, bit 7 in the lowest: the product has a copy of them every
 * nine bits, so that each byte's top bit is another one of them. */
static uint64_t bytes_of_bits(uint64_t bits)
{
	return bits * 0x8040201008040201u >> 7 & 0x0101010101010101u;
}

/* A bit of each plane; bit 7 is the leftmost. */
static void planes(const struct vga_view *v, uint32_t word, uint32_t *restrict to)
{
	const uint64_t pixels = bytes_of_bits(word & 255) | bytes_of_bits(word >> 8 & 255) << 1 |
				bytes_of_bits(word >> 16 & 255) << 2 |
				bytes_of_bits(word >> 24) << 3;

	for (unsigned i = 0; i < 8; i++)
		to[i] = v->palette[pixels >> 8 * i & 15];
}

/* Two bits of plane 0, the next two, ...; then of plane 1; planes 2 and 3 have the upper bits. */
static void cga(const struct vga_view *v, uint32_t word, uint32_t *restrict to)
{
	for (unsigned i = 0; i < 8; i++) {
		const uint32_t pair = i < 4 ? word : word >> 8; /* bits 0-7 and 16-23 */
		const unsigned shift = 6 - 2 * (i & 3);
		to[i] = v->palette[(pair >> shift & 3) | (pair >> (16 + shift) & 3) << 2];
	}
}

static void nibbles(const struct vga_view *v, uint32_t word, uint32_t *restrict to)
{
	for (unsigned i = 0; i < 4; i++, word >>= 8) {
		to[2 * i] = v->palette[word >> 4 & 15];
		to[2 * i + 1] = v->palette[word & 15];
	}
}

static void bytes(const struct vga_view *v, uint32_t word, uint32_t *restrict to)
{
	for (unsigned i = 0; i < 4; i++, word >>= 8)
		to[i] = v->palette[word & 255];
}

static void plane_line(const struct vga_view *v, const struct vga_memory *m, uint32_t y,
		       uint32_t *restrict to)
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

/* Blocks of a constant size become vector instructions. The upper bits of a colour are its lower
 * ones once more. */
enum { BLOCK = 16 };

static void block_15(const uint16_t *p, uint32_t *restrict to)
{
	for (unsigned i = 0; i < BLOCK; i++) {
		const uint32_t v = p[i];
		const uint32_t rgb = (v << 9 & 0xf80000) | (v << 6 & 0xf800) | (v << 3 & 0xf8);
		to[i] = rgb | (rgb >> 5 & 0x070707);
	}
}

static void block_16(const uint16_t *p, uint32_t *restrict to)
{
	for (unsigned i = 0; i < BLOCK; i++) {
		const uint32_t v = p[i];
		const uint32_t rgb = (v << 8 & 0xf80000) | (v << 5 & 0xfc00) | (v << 3 & 0xf8);
		to[i] = rgb | (rgb >> 5 & 0x070007) | (rgb >> 6 & 0x000300);
	}
}

static void line_16(const struct vga_view *v, const uint8_t *from, uint32_t *restrict to)
{
	uint16_t p[BLOCK] = { 0 };

	for (uint32_t x = 0, n; x < v->width; x += n) { /* the line has room behind its end */
		n = (uint32_t)hv_min_u64(v->width - x, BLOCK);
		memcpy(p, from + 2 * x, 2 * n);
		for (unsigned i = 0; i < BLOCK && v->swap; i++)
			p[i] = __builtin_bswap16(p[i]);
		if (v->kind == VGA_LINEAR15)
			block_15(p, to + x);
		else
			block_16(p, to + x);
	}
}

static void line_32(const struct vga_view *v, const uint8_t *from, uint32_t *restrict to)
{
	memcpy(to, from, v->width * sizeof(*to));
	for (uint32_t x = 0; x < v->width && v->swap; x++)
		to[x] = __builtin_bswap32(to[x]);
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

/* Where the line is in memory as the picture wants it; NULL: nowhere. */
const uint32_t *vga_line_as_is(const struct vga_view *v, const struct vga_memory *m, uint32_t y)
{
	const uint64_t off = v->start + (uint64_t)y * v->stride;

	if (v->kind != VGA_LINEAR32 || v->swap || (uintptr_t)(m->p + off) % sizeof(uint32_t) != 0 ||
	    off + vga_linear_bytes(v) > m->bytes)
		return NULL;
	return (const uint32_t *)(const void *)(m->p + off);
}

static void linear_line(const struct vga_view *v, const struct vga_memory *m, uint32_t y,
			uint32_t *restrict to)
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
		       uint32_t *restrict to)
{
	if (v->kind >= VGA_LINEAR8)
		linear_line(v, m, y, to);
	else
		plane_line(v, m, y, to);
}
