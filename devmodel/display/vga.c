/*
 * VGA with the Bochs display interface, as a PCI function: the adapter that BIOSes, boot loaders
 * and systems have drivers for.
 *
 * Specification: IBM Personal System/2 Hardware Interface Technical Reference, "Video Subsystem"
 * (1991); the register model of the Bochs VBE extensions (vbe_display_api.txt) and the memory BAR
 * of the "standard VGA" of QEMU (docs/specs/standard-vga), which Linux's bochs-drm drives.
 *
 *	vga_ports.c   I/O ports 0x3b0 to 0x3df: sequencer, CRTC, graphics and attribute
 *	              controllers, colour table, timing
 *	vga_mem.c     what the CPU sees at 0xa0000
 *	vga_dispi.c   the Bochs registers, BAR 2
 *	vga_view.c    what the registers put on the screen; vga_text.c, vga_graphics.c draw it
 *	vga_draw.c    bringing a viewer's picture up to date
 *
 * Not modelled: changes in the middle of a frame (a picture is drawn with one set of registers);
 * borders; sync polarity, light pen, interrupt at the vertical retrace; the sequencer's shift loads
 * of 16 and 32 bits; the odd/even page bit; blinking of graphics; the attribute palette in 256
 * colours; colour planes switched off there; memory of 64 KiB. Reads of memory that is shown as
 * such (vga_window_follow()) do not load the latches. Memory is 64 MiB.
 */
#include "devmodel/display/vga_int.h"
#include "base/util.h"

struct vga *vga_from_dev(struct dev *d)
{
	assert(d->cls == &dm_vga.base);
	return (struct vga *)d;
}

/* ---- regions ---- */

/* BAR 0 and the ROM where the machine does not show them as memory: in tests. */
static uint64_t bytes_read(const uint8_t *p, uint32_t have, uint64_t off, unsigned size)
{
	uint64_t v = UINT64_MAX >> (64 - 8 * size);

	if (p != NULL && off < have && size <= have - off)
		memcpy(&v, p + off, size);
	return v;
}

static void vram_write(struct vga *v, uint64_t off, unsigned size, uint64_t value)
{
	if (off >= v->m->vram_bytes || size > v->m->vram_bytes - off)
		return;
	memcpy(v->m->vram + off, &value, size);
	v->m->written(v->m->ctx, (uint32_t)off, size);
}

static uint64_t vga_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	struct vga *v = vga_from_dev(d);

	switch (region) {
	case VGA_REGION_VRAM:
		return bytes_read(v->m->vram, v->m->vram_bytes, off, size);
	case VGA_REGION_ROM:
		return bytes_read(v->m->rom, VGA_ROM_BYTES, off, size);
	case VGA_REGION_MMIO:
		return vga_mmio_read(v, (uint32_t)off, size);
	case VGA_REGION_PORTS:
		return vga_port_read(v, 0x3b0 + (unsigned)off);
	case VGA_REGION_INDEX:
		return v->s.r.dispi_index;
	case VGA_REGION_DATA:
	case VGA_REGION_DATA2:
		return vga_dispi_read(v, v->s.r.dispi_index);
	default:
		return vga_window_read(v, (uint32_t)off, size);
	}
}

static void write_region(struct vga *v, unsigned region, uint64_t off, unsigned size,
			 uint64_t value)
{
	switch (region) {
	case VGA_REGION_VRAM:
		vram_write(v, off, size, value);
		return;
	case VGA_REGION_ROM:
		return;
	case VGA_REGION_MMIO:
		vga_mmio_write(v, (uint32_t)off, size, value);
		return;
	case VGA_REGION_PORTS:
		vga_port_write(v, 0x3b0 + (unsigned)off, (uint8_t)value);
		return;
	case VGA_REGION_INDEX:
		v->s.r.dispi_index = (uint16_t)value;
		return;
	case VGA_REGION_DATA:
	case VGA_REGION_DATA2:
		vga_dispi_write(v, v->s.r.dispi_index, (uint16_t)value);
		return;
	default:
		vga_window_write(v, (uint32_t)off, size, value);
	}
}

static void vga_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t value)
{
	struct vga *v = vga_from_dev(d);

	write_region(v, region, off, size, value);
	v->m->changed(v->m->ctx);
}

/* ---- life cycle ---- */

static void vga_state_init(void *obj)
{
	struct vga_state *s = obj;

	memset(s, 0, sizeof(*s));
	pci_state_init(&dm_vga, &s->pci);
	s->r.pel_mask = 0xff;
	s->r.enable = 1;
	s->r.dispi[DISPI_ID] = DISPI_ID_LAST;
	s->r.dispi[DISPI_XRES] = 640;
	s->r.dispi[DISPI_YRES] = 480;
	s->r.dispi[DISPI_BPP] = 8;
	s->r.endian = VGA_LITTLE_ENDIAN;
}

static int vga_realize(struct dev *d, struct err *e)
{
	struct vga *v = vga_from_dev(d);

	v->m = dev_backend(d, DEV_BACKEND_MACHINE, "vga", e);
	if (v->m == NULL)
		return -ENOENT;
	pci_realize(&v->pci, &v->s.pci);
	return 0;
}

static void vga_resume(struct dev *d)
{
	struct vga *v = vga_from_dev(d);

	pci_resume(&v->pci);
	vga_window_follow(v);
}

static void vga_reset(struct dev *d)
{
	vga_state_init(&vga_from_dev(d)->s);
	vga_resume(d);
}

/* Whoever drew is gone: writing costs nothing more. */
static void vga_timer(struct dev *d, unsigned timer)
{
	(void)timer; /* there is one */
	vga_draw_idle(vga_from_dev(d));
}

static int vga_post_load(void *obj, struct err *e)
{
	const struct vga_state *s = obj;

	if (!vga_ports_possible(&s->r) || !vga_dispi_possible(&s->r))
		return err_set(e, -EINVAL, "vga: impossible registers");
	return pci_post_load(&dm_vga, &s->pci, e);
}

static const struct state_desc vga_regs_state = {
	.name = "registers",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct vga_regs),
	.fields = (const struct state_field[]){ STATE_ARRAY(struct vga_regs, dac),
						STATE_ARRAY(struct vga_regs, seq),
						STATE_ARRAY(struct vga_regs, crtc),
						STATE_ARRAY(struct vga_regs, gfx),
						STATE_ARRAY(struct vga_regs, attr),
						STATE(struct vga_regs, seq_index),
						STATE(struct vga_regs, crtc_index),
						STATE(struct vga_regs, gfx_index),
						STATE(struct vga_regs, attr_index),
						STATE(struct vga_regs, attr_data),
						STATE(struct vga_regs, misc),
						STATE(struct vga_regs, feature),
						STATE(struct vga_regs, enable),
						STATE(struct vga_regs, pel_mask),
						STATE(struct vga_regs, dac_read),
						STATE(struct vga_regs, dac_write),
						STATE(struct vga_regs, dac_part),
						STATE(struct vga_regs, dac_reading),
						STATE_ARRAY(struct vga_regs, dac_hold),
						STATE(struct vga_regs, latch),
						STATE_ARRAY(struct vga_regs, dispi),
						STATE(struct vga_regs, dispi_index),
						STATE_PAD(struct vga_regs, pad_),
						STATE(struct vga_regs, endian),
						STATE_END },
};

static const struct state_desc vga_state = {
	.name = "vga",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct vga_state),
	.init = vga_state_init,
	.post_load = vga_post_load,
	.fields =
		(const struct state_field[]){ STATE_STRUCT(struct vga_state, pci, &pci_state_desc),
					      STATE_STRUCT(struct vga_state, r, &vga_regs_state),
					      STATE_END },
};

const struct pci_class dm_vga = {
	.base = {
		.name = "vga", .summary = "VGA with the Bochs display interface",
		.size = sizeof(struct vga), .state = &vga_state,
		.state_off = offsetof(struct vga, s),
		.regions = { PCI_REGIONS_COMMON,
			     [VGA_REGION_VRAM] = { "vram", VGA_VRAM_BYTES, 1, 8 },
			     [VGA_REGION_MMIO] = { "mmio", 4096, 1, 8 },
			     [VGA_REGION_ROM] = { "rom", VGA_ROM_BYTES, 1, 8 },
			     [VGA_REGION_PORTS] = { "ports", 48, 1, 1 },
			     [VGA_REGION_INDEX] = { "dispi-index", 2, 2, 2 },
			     [VGA_REGION_DATA] = { "dispi-data", 2, 2, 2 },
			     [VGA_REGION_DATA2] = { "dispi-data2", 2, 2, 2 },
			     [VGA_REGION_WINDOW] = { "window", VGA_WINDOW_BYTES, 1, 8 } },
		.n_timers = 1,
		.realize = vga_realize, .reset = vga_reset, .resume = vga_resume,
		.read = pci_read, .write = pci_write, .timer = vga_timer,
	},
	.vendor = 0x1234, .device = 0x1111, .subsys_vendor = 0x1af4, .subsys = 0x1100,
	.class_code = 0x030000, .revision = 2,
	.bars = { [0] = { PCI_BAR_MMIO32, VGA_REGION_VRAM, true },
		  [2] = { PCI_BAR_MMIO32, VGA_REGION_MMIO, false } },
	.rom_region = VGA_REGION_ROM,
	.read = vga_read, .write = vga_write,
};
