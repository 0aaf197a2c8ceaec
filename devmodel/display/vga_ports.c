/*
 * The VGA's I/O ports: index and data registers of sequencer, CRTC, graphics and attribute
 * controller, the colour table, and the status that programs wait for. See vga.c.
 */
#include "base/util.h"
#include "devmodel/display/vga_int.h"

enum { CRTC_PROTECT = 0x80, OVERFLOW_LINE_COMPARE = 0x10 };
enum { STATUS_SWITCH = 0x10, STATUS_OFF = 1, STATUS_RETRACE = 8 };
#define ATTR_INDEX_BITS 0x3f
#define FEATURE_BITS 0x0b

static const uint8_t seq_bits[VGA_N_SEQ] = { 0x03, 0x3d, 0x0f, 0x3f, 0x0e };
static const uint8_t gfx_bits[VGA_N_GFX] = { 0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff };

static uint8_t attr_bits(unsigned i)
{
	static const uint8_t high[VGA_N_ATTR - 16] = { 0xef, 0xff, 0x3f, 0x0f, 0x0f };

	return i < 16 ? 0x3f : high[i - 16];
}

bool vga_ports_possible(const struct vga_regs *r)
{
	for (unsigned i = 0; i < VGA_N_SEQ; i++)
		if (r->seq[i] & ~seq_bits[i])
			return false;
	for (unsigned i = 0; i < VGA_N_GFX; i++)
		if (r->gfx[i] & ~gfx_bits[i])
			return false;
	for (unsigned i = 0; i < VGA_N_ATTR; i++)
		if (r->attr[i] & ~attr_bits(i))
			return false;
	return !(r->attr_index & ~ATTR_INDEX_BITS) && r->attr_data <= 1 && r->dac_part <= 2 &&
	       r->dac_reading <= 1 && r->enable <= 1 && !(r->feature & ~FEATURE_BITS);
}

/* ---- timing ---- */

/* Input status 1: where the beam is. */
static uint8_t beam(struct vga *v)
{
	const uint8_t *crtc = v->s.r.crtc;
	uint32_t lines, visible, sync;
	const uint64_t frame_ns = vga_frame_ns(&v->s.r, &lines, &visible);
	const uint64_t at = dev_now_ns(&v->pci.dev) % frame_ns * lines;
	const uint32_t line = (uint32_t)(at / frame_ns);
	const uint64_t in_line = at % frame_ns;
	uint8_t status = 0;

	if (line >= visible ||
	    in_line * (crtc[CRTC_HTOTAL] + 5u) >= frame_ns * (crtc[CRTC_HDISP] + 1u))
		status |= STATUS_OFF;
	/* The pulse is given the rest of the frame if it is anywhere else: nobody waits in vain. */
	sync = crtc[CRTC_VSYNC_START] | (crtc[CRTC_OVERFLOW] & 4u) << 6 |
	       (crtc[CRTC_OVERFLOW] & 0x80u) << 2;
	if (vga_dispi_on(&v->s.r) || sync < visible || sync + 2 > lines)
		sync = visible;
	/* Two lines are too short to be seen by a CPU that has other things to do at times. */
	if (line >= sync && line - sync < 2 + lines / 32)
		status |= STATUS_RETRACE | STATUS_OFF;
	return status;
}

/* ---- attribute controller ---- */

static void attr_write(struct vga_regs *r, uint8_t value)
{
	const unsigned i = r->attr_index & 31u;

	r->attr_data ^= 1;
	if (r->attr_data)
		r->attr_index = value & ATTR_INDEX_BITS;
	else if (i < VGA_N_ATTR)
		r->attr[i] = value & attr_bits(i);
}

static uint8_t attr_read(const struct vga_regs *r)
{
	const unsigned i = r->attr_index & 31u;

	return i < VGA_N_ATTR ? r->attr[i] : 0;
}

/* ---- colour table ---- */

static void dac_write(struct vga_regs *r, uint8_t value)
{
	uint8_t *colour = r->dac + r->dac_write * 3u;

	if (!(r->dispi[DISPI_ENABLE] & DISPI_DAC8))
		value &= 0x3f;
	if (r->dac_part < 2) {
		r->dac_hold[r->dac_part++] = value;
		return;
	}
	colour[0] = r->dac_hold[0];
	colour[1] = r->dac_hold[1];
	colour[2] = value;
	r->dac_part = 0;
	r->dac_write++;
}

static uint8_t dac_read(struct vga_regs *r)
{
	const uint8_t value = r->dac[r->dac_read * 3u + r->dac_part];

	if (++r->dac_part == 3) {
		r->dac_part = 0;
		r->dac_read++;
	}
	return value;
}

static void dac_seek(struct vga_regs *r, uint8_t index, bool read)
{
	*(read ? &r->dac_read : &r->dac_write) = index;
	r->dac_part = 0;
	r->dac_reading = read;
}

/* ---- CRTC ---- */

static uint8_t crtc_read(struct vga *v, unsigned reg)
{
	const struct vga_regs *r = &v->s.r;

	switch (reg) {
	case 4:
		return r->crtc_index;
	case 5:
		return r->crtc_index < VGA_N_CRTC ? r->crtc[r->crtc_index] : 0;
	case 10:
		v->s.r.attr_data = 0;
		return beam(v);
	default:
		return 0xff;
	}
}

static void crtc_write(struct vga_regs *r, unsigned reg, uint8_t value)
{
	const unsigned i = r->crtc_index;

	if (reg == 4)
		r->crtc_index = value;
	else if (reg == 10)
		r->feature = value & FEATURE_BITS;
	if (reg != 5 || i >= VGA_N_CRTC)
		return;
	if (i <= CRTC_OVERFLOW && (r->crtc[CRTC_VSYNC_END] & CRTC_PROTECT)) {
		if (i == CRTC_OVERFLOW)
			r->crtc[i] = (uint8_t)((r->crtc[i] & ~OVERFLOW_LINE_COMPARE) |
					       (value & OVERFLOW_LINE_COMPARE));
		return;
	}
	r->crtc[i] = value;
}

/* ---- all ports ---- */

/*
 * 0x3b0 to 0x3bf are for monochrome, 0x3d0 to 0x3df for colour. The packaged VGA BIOS writes the
 * CRTC before it chooses, and resets the attribute controller at 0x3da in either: so all writes are
 * taken, and 0x3da always answers. What looks for a monochrome adapter beside this one finds none.
 */
static bool is_crtc(unsigned port)
{
	return port < 0x3c0 || port >= 0x3d0;
}

static bool answers(const struct vga_regs *r, unsigned port)
{
	return port >= 0x3d0 || !(r->misc & MISC_COLOUR);
}

uint8_t vga_port_read(struct vga *v, unsigned port)
{
	struct vga_regs *r = &v->s.r;

	if (is_crtc(port))
		return answers(r, port) ? crtc_read(v, port & 15) : 0xff;
	switch (port) {
	case 0x3c0:
		return r->attr_index;
	case 0x3c1:
		return attr_read(r);
	case 0x3c2:
		return STATUS_SWITCH;
	case 0x3c3:
		return r->enable;
	case 0x3c4:
		return r->seq_index;
	case 0x3c5:
		return r->seq_index < VGA_N_SEQ ? r->seq[r->seq_index] : 0;
	case 0x3c6:
		return r->pel_mask;
	case 0x3c7:
		return r->dac_reading ? 3 : 0;
	case 0x3c8:
		return r->dac_write;
	case 0x3c9:
		return dac_read(r);
	case 0x3ca:
		return r->feature;
	case 0x3cc:
		return r->misc;
	case 0x3ce:
		return r->gfx_index;
	case 0x3cf:
		return r->gfx_index < VGA_N_GFX ? r->gfx[r->gfx_index] : 0;
	default:
		return 0xff;
	}
}

static void seq_write(struct vga *v, uint8_t value)
{
	struct vga_regs *r = &v->s.r;

	if (r->seq_index >= VGA_N_SEQ)
		return;
	r->seq[r->seq_index] = value & seq_bits[r->seq_index];
	vga_window_follow(v);
}

static void gfx_write(struct vga *v, uint8_t value)
{
	struct vga_regs *r = &v->s.r;

	if (r->gfx_index >= VGA_N_GFX)
		return;
	r->gfx[r->gfx_index] = value & gfx_bits[r->gfx_index];
	vga_window_follow(v);
}

void vga_port_write(struct vga *v, unsigned port, uint8_t value)
{
	struct vga_regs *r = &v->s.r;

	if (is_crtc(port)) {
		crtc_write(r, port & 15, value);
		return;
	}
	switch (port) {
	case 0x3c0:
		attr_write(r, value);
		return;
	case 0x3c2:
		r->misc = value;
		vga_window_follow(v);
		return;
	case 0x3c3:
		r->enable = value & 1;
		return;
	case 0x3c4:
		r->seq_index = value;
		return;
	case 0x3c5:
		seq_write(v, value);
		return;
	case 0x3c6:
		r->pel_mask = value;
		return;
	case 0x3c7:
	case 0x3c8:
		dac_seek(r, value, port == 0x3c7);
		return;
	case 0x3c9:
		dac_write(r, value);
		return;
	case 0x3ce:
		r->gfx_index = value;
		return;
	case 0x3cf:
		gfx_write(v, value);
		return;
	default:
		return;
	}
}
