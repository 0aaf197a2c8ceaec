/*
 * Video memory as the CPU sees it at 0xa0000: four planes through the sequencer's and the graphics
 * controller's registers, or a bank of the Bochs interface.
 *
 * Memory is one block of 32-bit words with a byte of each plane; vga_word() says which. Where the
 * registers let every byte through as it is, the block itself is shown (vga_window_follow()).
 */
#include "base/util.h"
#include "devmodel/display/vga_int.h"

/* A bit of each plane as a byte of each plane. */
static uint32_t spread(unsigned planes)
{
	return (planes & 1 ? 0xffu : 0) | (planes & 2 ? 0xff00u : 0) |
	       (planes & 4 ? 0xff0000u : 0) | (planes & 8 ? 0xff000000u : 0);
}

/* The Bochs interface with pixels of a byte or more: a bank is 64 KiB as they are. */
static bool is_banked(const struct vga_regs *r)
{
	return vga_dispi_on(r) && r->dispi[DISPI_BPP] != 4;
}

static uint32_t bank(const struct vga *v)
{
	return (uint32_t)v->s.r.dispi[DISPI_BANK] << 16 & (v->m->vram_bytes - 1);
}

/* Where the window is that the registers open; false: nowhere. */
static bool window(const struct vga_regs *r, uint32_t *ret_off, uint32_t *ret_bytes)
{
	static const struct {
		uint32_t off, bytes;
	} map[4] = { { 0, 0x20000 }, { 0, 0x10000 }, { 0x10000, 0x8000 }, { 0x18000, 0x8000 } };
	const unsigned i = is_banked(r) ? 1 : r->gfx[GFX_MISC] >> 2 & 3;

	*ret_off = map[i].off;
	*ret_bytes = map[i].bytes;
	return r->misc & MISC_RAM;
}

/* The CPU's address in the window as one in the planes. */
static uint32_t plane_addr(const struct vga *v, uint32_t a)
{
	const struct vga_regs *r = &v->s.r;
	uint32_t p = a;

	if (r->seq[SEQ_MEMORY] & SEQ_MEMORY_CHAIN4)
		p = (a & 0xfffc) | (a >> 14 & 3);
	else if (r->gfx[GFX_MISC] & GFX_MISC_ODD_EVEN)
		p = (a & 0xfffe) | (a >> 16 & 1);
	p &= 0xffff;
	if (vga_dispi_on(r)) /* 4 bits a pixel: banks of 64 KiB in each plane */
		p |= (uint32_t)r->dispi[DISPI_BANK] << 16;
	return p;
}

static uint32_t byte_off(const struct vga *v, uint32_t a)
{
	return (uint32_t)((uint64_t)vga_word(plane_addr(v, a)) * 4 & (v->m->vram_bytes - 1));
}

/* ---- reads ---- */

/* Read mode 1: ones where the pixel's colour is the one compared with. */
static uint8_t compare(const struct vga_regs *r, uint32_t latch)
{
	uint32_t differs = (latch ^ spread(r->gfx[GFX_COMPARE])) & spread(r->gfx[GFX_CARE]);

	differs |= differs >> 16;
	return (uint8_t) ~(differs | differs >> 8);
}

static uint8_t read_planes(struct vga *v, uint32_t a)
{
	struct vga_regs *r = &v->s.r;
	unsigned plane = r->gfx[GFX_READ_MAP] & 3;

	memcpy(&r->latch, v->m->vram + byte_off(v, a), 4);
	if (r->gfx[GFX_MODE] & GFX_MODE_READ1)
		return compare(r, r->latch);
	if (r->seq[SEQ_MEMORY] & SEQ_MEMORY_CHAIN4)
		plane = a & 3;
	else if (r->gfx[GFX_MODE] & GFX_MODE_ODD_EVEN)
		plane = (plane & 2) | (a & 1);
	return (uint8_t)(r->latch >> plane * 8);
}

static uint8_t read_byte(struct vga *v, uint32_t off)
{
	uint32_t base, bytes;

	if (!window(&v->s.r, &base, &bytes) || off < base || off - base >= bytes)
		return 0xff;
	if (is_banked(&v->s.r))
		return v->m->vram[bank(v) + off];
	return read_planes(v, off - base);
}

uint64_t vga_window_read(struct vga *v, uint32_t off, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)read_byte(v, off + i) << 8 * i;
	return value;
}

/* ---- writes ---- */

static uint8_t rotated(const struct vga_regs *r, uint8_t value)
{
	const unsigned n = r->gfx[GFX_ROTATE] & 7;

	return (uint8_t)(value >> n | value << (8 - n));
}

static uint32_t combine(const struct vga_regs *r, uint32_t value)
{
	switch (r->gfx[GFX_ROTATE] >> 3 & 3) {
	case 1:
		return value & r->latch;
	case 2:
		return value | r->latch;
	case 3:
		return value ^ r->latch;
	default:
		return value;
	}
}

/* What the graphics controller makes of a byte, for all planes. */
static uint32_t graphics(const struct vga_regs *r, uint8_t value)
{
	const uint32_t set = spread(r->gfx[GFX_SET_RESET]);
	const uint32_t by_set = spread(r->gfx[GFX_ENABLE_SR]);
	uint32_t bits = r->gfx[GFX_BIT_MASK] * 0x01010101u, all;

	switch (r->gfx[GFX_MODE] & 3) {
	case 0:
		all = rotated(r, value) * 0x01010101u;
		all = (all & ~by_set) | (set & by_set);
		break;
	case 1:
		return r->latch;
	case 2:
		all = spread(value & 15u);
		break;
	default:
		bits &= rotated(r, value) * 0x01010101u;
		all = set;
		break;
	}
	return (combine(r, all) & bits) | (r->latch & ~bits);
}

static void write_planes(struct vga *v, uint32_t a, uint8_t value)
{
	const struct vga_regs *r = &v->s.r;
	const uint32_t off = byte_off(v, a);
	unsigned planes = r->seq[SEQ_MAP_MASK];
	uint32_t word, mask;

	if (r->seq[SEQ_MEMORY] & SEQ_MEMORY_CHAIN4)
		planes &= 1u << (a & 3);
	else if (!(r->seq[SEQ_MEMORY] & SEQ_MEMORY_SEQUENTIAL))
		planes &= a & 1 ? 0xa : 0x5;
	mask = spread(planes);
	memcpy(&word, v->m->vram + off, 4);
	word = (word & ~mask) | (graphics(r, value) & mask);
	memcpy(v->m->vram + off, &word, 4);
	v->m->written(v->m->ctx, off, 4);
}

static void write_byte(struct vga *v, uint32_t off, uint8_t value)
{
	uint32_t base, bytes;

	if (!window(&v->s.r, &base, &bytes) || off < base || off - base >= bytes)
		return;
	if (!is_banked(&v->s.r)) {
		write_planes(v, off - base, value);
		return;
	}
	v->m->vram[bank(v) + off] = value;
	v->m->written(v->m->ctx, bank(v) + off, 1);
}

void vga_window_write(struct vga *v, uint32_t off, unsigned size, uint64_t value)
{
	for (unsigned i = 0; i < size; i++)
		write_byte(v, off + i, (uint8_t)(value >> 8 * i));
}

/* ---- memory as it is ---- */

/* Chain 4, and a byte of the CPU's is a byte of memory. */
static bool is_plain(const struct vga_regs *r)
{
	return (r->seq[SEQ_MEMORY] & SEQ_MEMORY_CHAIN4) && r->seq[SEQ_MAP_MASK] == 15 &&
	       r->gfx[GFX_ENABLE_SR] == 0 && r->gfx[GFX_ROTATE] == 0 &&
	       (r->gfx[GFX_MODE] & (GFX_MODE_READ1 | 3)) == 0 && r->gfx[GFX_BIT_MASK] == 0xff &&
	       !vga_dispi_on(r);
}

void vga_window_follow(struct vga *v)
{
	const struct vga_regs *r = &v->s.r;
	uint32_t base, bytes, off = 0;

	if (!window(r, &base, &bytes))
		bytes = 0;
	else if (is_banked(r))
		off = bank(v);
	else if (!is_plain(r))
		bytes = 0;
	bytes = (uint32_t)hv_min_u64(bytes, 0x10000); /* chain 4 has no more */
	if (bytes == v->shown_bytes &&
	    (bytes == 0 || (base == v->shown_base && off == v->shown_off)))
		return;
	v->shown_base = base;
	v->shown_bytes = bytes;
	v->shown_off = off;
	v->m->window(v->m->ctx, VGA_WINDOW_GPA + base, bytes, off);
}
