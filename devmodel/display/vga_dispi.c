/*
 * The Bochs display interface: registers at ports 0x1ce (index) and 0x1cf or 0x1d0 (data), and BAR
 * 2, where they and the VGA's own lie flat:
 *
 *	0x000   EDID of the monitor
 *	0x400   ports 0x3c0 to 0x3df, bytes
 *	0x500   registers by index, words
 *	0x600   length of what follows, 8; byte order of 16 and 32-bit pixels
 *
 * Registers may be written while a picture is on: it follows. See vga.c for the specification.
 */
#include "base/util.h"
#include "devmodel/display/vga_int.h"

enum { MMIO_PORTS = 0x400, MMIO_DISPI = 0x500, MMIO_EXT = 0x600, MMIO_ENDIAN = 0x604 };
#define ENABLE_BITS (DISPI_ON | DISPI_CAPS | DISPI_DAC8 | DISPI_LFB | DISPI_KEEP)
#define BANK_BITS 0x3ffu

static bool is_depth(unsigned bpp)
{
	return bpp == 4 || bpp == 8 || bpp == 15 || bpp == 16 || bpp == 24 || bpp == 32;
}

bool vga_dispi_possible(const struct vga_regs *r)
{
	const uint16_t *d = r->dispi;

	return d[DISPI_ID] >= DISPI_ID_FIRST && d[DISPI_ID] <= DISPI_ID_LAST &&
	       d[DISPI_XRES] >= 1 && d[DISPI_XRES] <= DISP_MAX_WIDTH && d[DISPI_YRES] >= 1 &&
	       d[DISPI_YRES] <= DISP_MAX_HEIGHT && is_depth(d[DISPI_BPP]) &&
	       !(d[DISPI_ENABLE] & ~ENABLE_BITS) && d[DISPI_BANK] <= BANK_BITS &&
	       d[DISPI_VIRT_HEIGHT] == 0 && d[DISPI_MEMORY_64K] == 0 &&
	       (r->endian == VGA_LITTLE_ENDIAN || r->endian == VGA_BIG_ENDIAN);
}

static uint32_t virt_width(const uint16_t *d)
{
	return (uint32_t)hv_max_u64(d[DISPI_XRES], d[DISPI_VIRT_WIDTH]);
}

/* 4 bits a pixel: of one plane. */
static uint32_t stride(const uint16_t *d)
{
	return d[DISPI_BPP] == 4 ? (virt_width(d) + 7) / 8
				 : virt_width(d) * ((d[DISPI_BPP] + 7u) / 8);
}

static uint32_t virt_height(const uint16_t *d, uint32_t vram_bytes)
{
	return (d[DISPI_BPP] == 4 ? vram_bytes / 4 : vram_bytes) / stride(d);
}

void vga_dispi_layout(const struct vga_regs *r, uint32_t vram_bytes, uint32_t *ret_stride,
		      uint32_t *ret_start, uint8_t *ret_pan)
{
	const uint16_t *d = r->dispi;
	const uint32_t rows = virt_height(d, vram_bytes), yres = d[DISPI_YRES];
	const uint32_t x = (uint32_t)hv_min_u64(d[DISPI_X_OFFSET], virt_width(d) - d[DISPI_XRES]);
	const uint32_t y = (uint32_t)hv_min_u64(d[DISPI_Y_OFFSET], rows > yres ? rows - yres : 0);

	*ret_stride = stride(d);
	*ret_start = y * *ret_stride + (d[DISPI_BPP] == 4 ? x / 8 : x * ((d[DISPI_BPP] + 7u) / 8));
	*ret_pan = d[DISPI_BPP] == 4 ? x % 8 : 0;
}

/* ---- registers ---- */

static uint16_t capability(unsigned index)
{
	return (uint16_t)(index == DISPI_XRES	? DISP_MAX_WIDTH
			  : index == DISPI_YRES ? DISP_MAX_HEIGHT
						: 32);
}

uint16_t vga_dispi_read(const struct vga *v, unsigned index)
{
	const uint16_t *d = v->s.r.dispi;

	switch (index) {
	case DISPI_XRES:
	case DISPI_YRES:
	case DISPI_BPP:
		return d[DISPI_ENABLE] & DISPI_CAPS ? capability(index) : d[index];
	case DISPI_VIRT_WIDTH:
		return (uint16_t)virt_width(d);
	case DISPI_VIRT_HEIGHT:
		return (uint16_t)hv_min_u64(virt_height(d, v->m->vram_bytes), UINT16_MAX);
	case DISPI_MEMORY_64K:
		return (uint16_t)(v->m->vram_bytes >> 16);
	default:
		return index < DISPI_N ? d[index] : 0;
	}
}

/* Up to 35 MiB, in which a draw waits for the domain: pages that are empty, as most are at first,
 * are left alone, which also leaves them without memory of the host's. */
static void clear(struct vga *v)
{
	const uint16_t *d = v->s.r.dispi;
	const uint64_t want = (uint64_t)stride(d) * d[DISPI_YRES] * (d[DISPI_BPP] == 4 ? 4 : 1);
	/* Planes are permuted in blocks. */
	const uint32_t n = (uint32_t)hv_min_u64(hv_align_up(want, VGA_VRAM_MIN), v->m->vram_bytes);

	for (uint32_t at = 0; at < n; at += VGA_DIRTY_PAGE) {
		if (hv_is_zero(v->m->vram + at, VGA_DIRTY_PAGE))
			continue;
		memset(v->m->vram + at, 0, VGA_DIRTY_PAGE);
		v->m->written(v->m->ctx, at, VGA_DIRTY_PAGE);
	}
}

static void write_enable(struct vga *v, uint16_t value)
{
	uint16_t *d = v->s.r.dispi;
	const bool was_on = d[DISPI_ENABLE] & DISPI_ON;

	d[DISPI_ENABLE] = value & ENABLE_BITS;
	if ((value & DISPI_ON) && !was_on) {
		d[DISPI_VIRT_WIDTH] = d[DISPI_X_OFFSET] = d[DISPI_Y_OFFSET] = 0;
		if (!(value & DISPI_KEEP))
			clear(v);
	}
	if (!(value & DISPI_ON) || !was_on)
		d[DISPI_BANK] = 0;
}

static void write_size(struct vga *v, unsigned index, uint16_t value)
{
	const unsigned max = index == DISPI_XRES ? DISP_MAX_WIDTH : DISP_MAX_HEIGHT;

	if (value < 1 || value > max)
		dev_guest_error(&v->pci.dev, "there are no %u %s", value,
				index == DISPI_XRES ? "columns" : "rows");
	v->s.r.dispi[index] = (uint16_t)hv_max_u64(hv_min_u64(value, max), 1);
}

void vga_dispi_write(struct vga *v, unsigned index, uint16_t value)
{
	uint16_t *d = v->s.r.dispi;

	switch (index) {
	case DISPI_ID:
		if (value >= DISPI_ID_FIRST && value <= DISPI_ID_LAST)
			d[index] = value;
		return;
	case DISPI_XRES:
	case DISPI_YRES:
		write_size(v, index, value);
		return;
	case DISPI_BPP:
		if (value == 0)
			value = 8;
		if (is_depth(value))
			d[index] = value;
		else
			dev_guest_error(&v->pci.dev, "there are no %u bits a pixel", value);
		break;
	case DISPI_ENABLE:
		write_enable(v, value);
		break;
	case DISPI_BANK:
		d[index] = value & BANK_BITS;
		break;
	case DISPI_VIRT_WIDTH:
	case DISPI_X_OFFSET:
	case DISPI_Y_OFFSET:
		d[index] = value;
		return;
	default:
		return; /* not there, or to read only */
	}
	vga_window_follow(v);
}

/* ---- BAR 2 ---- */

static uint8_t mmio_byte(struct vga *v, uint32_t off)
{
	const uint32_t ext[2] = { 8, v->s.r.endian };
	uint8_t edid[VGA_EDID_BYTES];

	if (off < VGA_EDID_BYTES) {
		vga_edid(edid);
		return edid[off];
	}
	if (off >= MMIO_PORTS && off < MMIO_PORTS + 32)
		return vga_port_read(v, 0x3c0 + off - MMIO_PORTS);
	if (off >= MMIO_DISPI && off < MMIO_DISPI + 2 * DISPI_N)
		return (uint8_t)(vga_dispi_read(v, (off - MMIO_DISPI) / 2) >> (off & 1) * 8);
	if (off >= MMIO_EXT && off < MMIO_EXT + sizeof(ext))
		return (uint8_t)(ext[(off - MMIO_EXT) / 4] >> (off & 3) * 8);
	return off < MMIO_PORTS ? 0 : 0xff;
}

uint64_t vga_mmio_read(struct vga *v, uint32_t off, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)mmio_byte(v, off + i) << 8 * i;
	return value;
}

/* A byte is the low or the high half of its register. */
static void dispi_bytes(struct vga *v, uint32_t off, unsigned size, uint64_t value)
{
	for (unsigned i = 0, n; i < size; i += n) {
		const unsigned index = (off + i) / 2;
		uint16_t word = (uint16_t)(value >> 8 * i);

		n = 2;
		if (size == 1) {
			const unsigned shift = (off & 1) * 8, keep = 0xff00u >> shift;
			word = (uint16_t)((vga_dispi_read(v, index) & keep) | (value & 0xff)
										      << shift);
		}
		vga_dispi_write(v, index, word);
	}
}

void vga_mmio_write(struct vga *v, uint32_t off, unsigned size, uint64_t value)
{
	if (off >= MMIO_PORTS && off < MMIO_PORTS + 32) {
		for (unsigned i = 0; i < size; i++)
			vga_port_write(v, 0x3c0 + off + i - MMIO_PORTS, (uint8_t)(value >> 8 * i));
	} else if (off >= MMIO_DISPI && off < MMIO_DISPI + 2 * DISPI_N) {
		dispi_bytes(v, off - MMIO_DISPI, size, value);
	} else if (off == MMIO_ENDIAN && size == 4 &&
		   (value == VGA_LITTLE_ENDIAN || value == VGA_BIG_ENDIAN)) {
		v->s.r.endian = (uint32_t)value;
	}
}
