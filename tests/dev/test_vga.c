/*
 * The display adapter's registers and its memory as the CPU sees it, against the PS/2 technical
 * reference: write modes and latches against a model that goes bit by bit.
 */
#include "vgatest.h"

MACHINE_SETUP

static struct dev *make_vga(void **state)
{
	return make(*state, &dm_vga.base);
}

/* ---- registers ---- */

static void test_masks(void **state)
{
	static const struct {
		unsigned port, index, bits;
	} regs[] = { { 0x3c4, 0, 0x03 }, { 0x3c4, 1, 0x3d },  { 0x3c4, 4, 0x0e },
		     { 0x3ce, 3, 0x1f }, { 0x3ce, 4, 0x03 },  { 0x3ce, 5, 0x7b },
		     { 0x3ce, 8, 0xff }, { 0x3d4, 9, 0xff },  { 0x3d4, 0x18, 0xff },
		     { 0x3c4, 5, 0 },	 { 0x3ce, 9, 0 },     { 0x3d4, 0x19, 0 },
		     { 0x3c0, 0, 0x3f }, { 0x3c0, 16, 0xef }, { 0x3c0, 20, 0x0f },
		     { 0x3c0, 21, 0 } };
	struct dev *d = make_vga(state);

	outb(d, 0x3c2, 1);
	for (size_t i = 0; i < HV_ARRAY_LEN(regs); i++) {
		set_reg(d, regs[i].port, regs[i].index, 0xff);
		assert_int_equal(get_reg(d, regs[i].port, regs[i].index), regs[i].bits);
		set_reg(d, regs[i].port, regs[i].index, 0);
		assert_int_equal(get_reg(d, regs[i].port, regs[i].index), 0);
	}
	dev_destroy(d);
}

static void test_ports(void **state)
{
	struct dev *d = make_vga(state);

	outb(d, 0x3c2, 0x67);
	assert_int_equal(inb(d, 0x3cc), 0x67);
	assert_int_equal(inb(d, 0x3b4), 0xff); /* monochrome does not answer in colour */
	outb(d, 0x3d4, 0x0e);
	assert_int_equal(inb(d, 0x3d4), 0x0e);
	outb(d, 0x3c2, 0x66);
	assert_int_equal(inb(d, 0x3b4), 0x0e);
	outb(d, 0x3da, 0xff);
	assert_int_equal(inb(d, 0x3ca), 0x0b);
	/* The attribute controller takes index and data in turn. */
	(void)inb(d, 0x3ba);
	outb(d, 0x3c0, 0x31);
	outb(d, 0x3c0, 0x12);
	outb(d, 0x3c0, 0x05);
	(void)inb(d, 0x3ba);
	outb(d, 0x3c0, 0x31);
	assert_int_equal(inb(d, 0x3c1), 0x12);
	assert_int_equal(inb(d, 0x3c0), 0x31);
	dev_destroy(d);
}

static void test_crtc_protect(void **state)
{
	struct dev *d = make_vga(state);

	outb(d, 0x3c2, 1);
	for (unsigned i = 0; i < 8; i++)
		set_reg(d, 0x3d4, i, 0x11);
	set_reg(d, 0x3d4, 0x11, 0x80);
	for (unsigned i = 0; i < 9; i++) {
		set_reg(d, 0x3d4, i, 0xee);
		assert_int_equal(get_reg(d, 0x3d4, i), i < 7 ? 0x11 : i == 7 ? 0x01 : 0xee);
	}
	set_reg(d, 0x3d4, 7, 0x30); /* but for the line compare's bit */
	assert_int_equal(get_reg(d, 0x3d4, 7), 0x11);
	dev_destroy(d);
}

static void test_dac(void **state)
{
	struct dev *d = make_vga(state);

	outb(d, 0x3c8, 254);
	for (unsigned i = 0; i < 9; i++) /* the third colour is number 0 */
		outb(d, 0x3c9, 0xc0 + i * 7);
	assert_int_equal(inb(d, 0x3c8), 1);
	assert_int_equal(inb(d, 0x3c7), 0);
	outb(d, 0x3c7, 254);
	assert_int_equal(inb(d, 0x3c7), 3);
	for (unsigned i = 0; i < 9; i++)
		assert_int_equal(inb(d, 0x3c9), (0xc0 + i * 7) & 0x3f);
	/* Two thirds of a colour change nothing. */
	outb(d, 0x3c8, 5);
	outb(d, 0x3c9, 1);
	outb(d, 0x3c9, 2);
	outb(d, 0x3c7, 5);
	assert_int_equal(inb(d, 0x3c9), 0);
	set_dispi(d, 4, 0x20); /* eight bits */
	outb(d, 0x3c8, 5);
	for (unsigned i = 0; i < 3; i++)
		outb(d, 0x3c9, 0xf1 + i);
	outb(d, 0x3c7, 5);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(inb(d, 0x3c9), 0xf1 + i);
	dev_destroy(d);
}

/* Mode 3: 449 lines of 900 dots at 28.322 MHz, 400 of them seen; the pulse begins at line 412. */
static void test_status(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = make_vga(state);
	const uint64_t line_ns = 900ull * 1000000 / 28322;
	unsigned off = 0, sync = 0, first_sync = 0, edges = 0, was = 0;

	set_mode(d, &mode_text80);
	m->f.now_ns = 0;
	for (unsigned line = 0; line < 2 * 449; line++) {
		m->f.now_ns = line_ns * line + line_ns / 2;
		const unsigned s = inb(d, 0x3da);
		off += s & 1;
		sync += s >> 3 & 1;
		edges += (s >> 3 & 1) && !was;
		if ((s & 8) && first_sync == 0)
			first_sync = line;
		was = s >> 3 & 1;
		assert_true(!(s & 8) || (s & 1));
		assert_int_equal(s & ~9u, 0);
	}
	assert_true(first_sync >= 411 && first_sync <= 413);
	assert_int_equal(edges, 2);
	assert_in_range(off, 2 * 48, 2 * 50);
	assert_in_range(sync, 4, 2 * 30);
	/* In the middle of a line that is seen, then at its end. */
	m->f.now_ns = line_ns * 10 + line_ns / 4;
	assert_int_equal(inb(d, 0x3da) & 1, 0);
	m->f.now_ns = line_ns * 10 + line_ns * 97 / 100;
	assert_int_equal(inb(d, 0x3da) & 1, 1);
	dev_destroy(d);
}

/* ---- memory ---- */

/* A VGA of 256 KiB, bit by bit. */
struct model {
	uint8_t plane[4][65536];
	uint8_t latch[4];
	uint8_t seq[5], gfx[9], misc;
};

static bool model_addr(const struct model *w, uint32_t off, uint32_t *ret_a, uint32_t *ret_p)
{
	static const uint32_t base[4] = { 0, 0, 0x10000, 0x18000 };
	static const uint32_t bytes[4] = { 0x20000, 0x10000, 0x8000, 0x8000 };
	const unsigned map = w->gfx[6] >> 2 & 3;
	uint32_t a = off - base[map];

	if (!(w->misc & 2) || off < base[map] || a >= bytes[map])
		return false;
	*ret_a = a;
	*ret_p = a & 0xffff;
	if (w->seq[4] & 8) /* chain 4: the low bits choose the plane, and become the high ones */
		*ret_p = (a & 0xfffc) | (a & 0xc000) >> 14;
	else if (w->gfx[6] & 2) /* odd/even: the low bit becomes the 17th */
		*ret_p = (a & 0xfffe) | (a >> 16 & 1);
	return true;
}

static uint8_t model_read(struct model *w, uint32_t off)
{
	uint32_t a, p;
	uint8_t v = 0;
	unsigned plane = w->gfx[4];

	if (!model_addr(w, off, &a, &p))
		return 0xff;
	for (unsigned i = 0; i < 4; i++)
		w->latch[i] = w->plane[i][p];
	if (w->gfx[5] & 8) {
		for (unsigned bit = 0; bit < 8; bit++) {
			bool same = true;
			for (unsigned i = 0; i < 4; i++)
				if (w->gfx[7] >> i & 1)
					same &= (w->latch[i] >> bit & 1) == (w->gfx[2] >> i & 1);
			v |= (uint8_t)(same << bit);
		}
		return v;
	}
	if (w->seq[4] & 8)
		plane = a & 3;
	else if (w->gfx[5] & 0x10)
		plane = (plane & 2) | (a & 1);
	return w->latch[plane];
}

static bool model_bit(const struct model *w, unsigned plane, unsigned bit, uint8_t rotated,
		      uint8_t value)
{
	const bool latch = w->latch[plane] >> bit & 1, set = w->gfx[0] >> plane & 1;
	bool v = rotated >> bit & 1, mask = w->gfx[8] >> bit & 1;

	switch (w->gfx[5] & 3) {
	case 0:
		v = w->gfx[1] >> plane & 1 ? set : v;
		break;
	case 1:
		return latch;
	case 2:
		v = value >> plane & 1;
		break;
	default:
		mask = mask && v;
		v = set;
	}
	switch (w->gfx[3] >> 3) {
	case 1:
		v = v && latch;
		break;
	case 2:
		v = v || latch;
		break;
	case 3:
		v = v != latch;
		break;
	default:
		break;
	}
	return mask ? v : latch;
}

static void model_write(struct model *w, uint32_t off, uint8_t value)
{
	uint8_t rotated = value;
	uint32_t a, p;

	if (!model_addr(w, off, &a, &p))
		return;
	for (unsigned i = 0; i < (w->gfx[3] & 7u); i++)
		rotated = (uint8_t)(rotated >> 1 | (rotated & 1) << 7);
	for (unsigned plane = 0; plane < 4; plane++) {
		bool on = w->seq[2] >> plane & 1;
		if (w->seq[4] & 8)
			on = on && plane == (a & 3);
		else if (!(w->seq[4] & 4))
			on = on && (plane & 1) == (a & 1);
		for (unsigned bit = 0; bit < 8 && on; bit++) {
			const uint8_t v = (uint8_t)(1u << bit);
			w->plane[plane][p] &= (uint8_t)~v;
			w->plane[plane][p] |= model_bit(w, plane, bit, rotated, value) ? v : 0;
		}
	}
}

static void random_reg(struct dev *d, struct model *w)
{
	static const uint8_t gfx_bits[9] = { 15, 15, 15, 0x1f, 3, 0x7b, 15, 15, 0xff };
	static const uint8_t seq_bits[5] = { 3, 0x3d, 15, 0x3f, 14 };
	const unsigned v = random32() & 0xff, i = random32() % 12;

	if (i < 9) {
		/* At times what most programs have. */
		w->gfx[i] = random32() & 1 ? v & gfx_bits[i] : i == 8 ? 0xff : 0;
		set_reg(d, 0x3ce, i, w->gfx[i]);
	} else if (i == 9) {
		w->seq[2] = v & seq_bits[2];
		set_reg(d, 0x3c4, 2, w->seq[2]);
	} else if (i == 10) {
		w->seq[4] = v & seq_bits[4];
		set_reg(d, 0x3c4, 4, w->seq[4]);
	} else {
		w->misc = random32() % 16 ? v | 3 : v;
		outb(d, 0x3c2, w->misc);
	}
}

/* Around a few places, so that what was written is met again. */
static uint32_t random_off(void)
{
	static const uint32_t near[] = { 0, 0x7ffc, 0xfff8, 0x10000, 0x13ffc, 0x18000, 0x1fff0 };

	return near[random32() % HV_ARRAY_LEN(near)] + random32() % 8;
}

/* What the planes hold, through the plainest of ways. */
static void compare_planes(struct dev *d, const struct model *w)
{
	outb(d, 0x3c2, 3);
	set_reg(d, 0x3c4, 4, 6);
	set_reg(d, 0x3ce, 5, 0);
	set_reg(d, 0x3ce, 6, 5);
	for (unsigned plane = 0; plane < 4; plane++) {
		set_reg(d, 0x3ce, 4, plane);
		for (uint32_t a = 0; a < 65536; a += 8) {
			uint64_t want;
			memcpy(&want, w->plane[plane] + a, 8);
			assert_int_equal(rd(d, VGA_REGION_WINDOW, a, 8), want);
		}
	}
}

static void test_memory(void **state)
{
	struct dev *d = make_vga(state);
	struct model *w = test_calloc(1, sizeof(*w));

	for (unsigned i = 0; i < 400000; i++) {
		const uint32_t off = random_off();
		const uint8_t v = (uint8_t)random32();
		if (random32() % 4 == 0)
			random_reg(d, w);
		else if (random32() % 2)
			assert_int_equal(rd(d, VGA_REGION_WINDOW, off, 1), model_read(w, off));
		else if (model_write(w, off, v), true)
			wr(d, VGA_REGION_WINDOW, off, 1, v);
	}
	compare_planes(d, w);
	test_free(w);
	dev_destroy(d);
}

/* Chain 4 without any trick is memory as it is; any trick ends that. */
static void test_linear_window(void **state)
{
	static const struct {
		unsigned port, index, odd;
	} tricks[] = { { 0x3c4, 2, 7 },	   { 0x3c4, 4, 6 },    { 0x3ce, 1, 1 },	  { 0x3ce, 3, 8 },
		       { 0x3ce, 5, 0x41 }, { 0x3ce, 5, 0x48 }, { 0x3ce, 8, 0xfe } };
	struct fake_machine *m = *state;
	struct dev *d = make_vga(state);

	set_mode(d, &mode_13);
	assert_int_equal(m->vga.gpa, 0xa0000);
	assert_int_equal(m->vga.bytes, 0x10000);
	assert_int_equal(m->vga.off, 0);
	for (uint32_t a = 0; a < 65536; a++)
		wr(d, VGA_REGION_WINDOW, a, 1, (a * 7 + a / 251) & 0xff);
	for (uint32_t a = 0; a < 65536; a++)
		assert_int_equal(m->vga.vram[a], (a * 7 + a / 251) & 0xff);
	for (size_t i = 0; i < HV_ARRAY_LEN(tricks); i++) {
		const unsigned was = get_reg(d, tricks[i].port, tricks[i].index);
		set_reg(d, tricks[i].port, tricks[i].index, tricks[i].odd);
		assert_int_equal(m->vga.bytes, 0);
		set_reg(d, tricks[i].port, tricks[i].index, was);
		assert_int_equal(m->vga.bytes, 0x10000);
	}
	set_reg(d, 0x3ce, 6, 0x0d); /* at 0xb8000 */
	assert_int_equal(m->vga.gpa, 0xb8000);
	assert_int_equal(m->vga.bytes, 0x8000);
	outb(d, 0x3c2, 0x61); /* memory off */
	assert_int_equal(m->vga.bytes, 0);
	assert_int_equal(rd(d, VGA_REGION_WINDOW, 0x18000, 1), 0xff);
	outb(d, 0x3c2, 0x63);
	save_and_load(d);
	assert_int_equal(m->vga.gpa, 0xb8000);
	d->cls->reset(d);
	assert_int_equal(m->vga.bytes, 0);
	dev_destroy(d);
}

/* ---- the Bochs interface ---- */

static void test_dispi(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = make_vga(state);

	assert_int_equal(get_dispi(d, 0), 0xb0c5);
	set_dispi(d, 0, 0xb0c2);
	assert_int_equal(get_dispi(d, 0), 0xb0c2);
	set_dispi(d, 0, 0x1234);
	assert_int_equal(get_dispi(d, 0), 0xb0c2);
	assert_int_equal(get_dispi(d, 10), FAKE_VRAM_BYTES >> 16);
	set_dispi(d, 4, 2);
	assert_int_equal(get_dispi(d, 1), 4096);
	assert_int_equal(get_dispi(d, 2), 2160);
	assert_int_equal(get_dispi(d, 3), 32);
	set_dispi(d, 4, 0);
	set_dispi(d, 1, 320);
	set_dispi(d, 2, 240);
	set_dispi(d, 3, 16);
	set_dispi(d, 3, 7); /* no such depth */
	assert_int_equal(get_dispi(d, 3), 16);
	set_dispi(d, 1, 5000);
	assert_int_equal(get_dispi(d, 1), 4096);
	set_dispi(d, 1, 320);
	memset(m->vga.vram, 0x55, FAKE_VRAM_BYTES);
	set_dispi(d, 4, 0xc1); /* on, memory kept */
	assert_int_equal(m->vga.vram[320 * 240 * 2 - 1], 0x55);
	set_dispi(d, 4, 0);
	set_dispi(d, 4, 0x41);
	assert_int_equal(m->vga.vram[0], 0);
	assert_int_equal(m->vga.vram[320 * 240 * 2 - 1], 0);
	set_dispi(d, 4, 0); /* only pages that have something in them are written */
	m->vga.logging = true;
	m->vga.vram[5 * VGA_DIRTY_PAGE + 4095] = 1;
	set_dispi(d, 4, 0x41);
	assert_int_equal(m->vga.vram[5 * VGA_DIRTY_PAGE + 4095], 0);
	assert_int_equal(m->vga.dirty[0], 1 << 5);
	assert_int_equal(get_dispi(d, 6), 320);
	assert_int_equal(get_dispi(d, 7), FAKE_VRAM_BYTES / 640);
	set_dispi(d, 6, 512);
	assert_int_equal(get_dispi(d, 6), 512);
	assert_int_equal(get_dispi(d, 7), FAKE_VRAM_BYTES / 1024);
	dev_destroy(d);
}

static void test_bank(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = make_vga(state);

	outb(d, 0x3c2, 3);
	set_dispi(d, 1, 512);
	set_dispi(d, 2, 512);
	set_dispi(d, 3, 8);
	set_dispi(d, 4, 1);
	for (unsigned b = 0; b < 4; b++) {
		set_dispi(d, 5, b);
		assert_int_equal(m->vga.bytes, 0x10000);
		assert_int_equal(m->vga.off, b << 16);
		wr(d, VGA_REGION_WINDOW, 0x1234, 4, 0x11223344 + b);
	}
	for (unsigned b = 0; b < 4; b++) {
		uint32_t v;
		memcpy(&v, m->vga.vram + (b << 16) + 0x1234, 4);
		assert_int_equal(v, 0x11223344 + b);
		set_dispi(d, 5, b);
		assert_int_equal(rd(d, VGA_REGION_WINDOW, 0x1234, 4), v);
	}
	set_dispi(d, 5, 0x3ff); /* past the end: somewhere in memory */
	wr(d, VGA_REGION_WINDOW, 0xffff, 1, 1);
	set_dispi(d, 4, 0);
	assert_int_equal(get_dispi(d, 5), 0);
	dev_destroy(d);
}

static void test_mmio(void **state)
{
	struct dev *d = make_vga(state);
	uint8_t edid[128], sum = 0;

	for (unsigned i = 0; i < 128; i++) {
		edid[i] = (uint8_t)rd(d, VGA_REGION_MMIO, i, 1);
		sum = (uint8_t)(sum + edid[i]);
	}
	assert_int_equal(sum, 0);
	assert_memory_equal(edid, "\0\xff\xff\xff\xff\xff\xff\0", 8);
	assert_int_equal(edid[56] | (edid[58] & 0xf0) << 4, 1280);
	assert_int_equal(edid[59] | (edid[61] & 0xf0) << 4, 800);
	wr(d, VGA_REGION_MMIO, 0x502, 2, 800); /* XRES */
	assert_int_equal(get_dispi(d, 1), 800);
	wr(d, VGA_REGION_MMIO, 0x504, 1, 0x58); /* YRES by bytes */
	wr(d, VGA_REGION_MMIO, 0x505, 1, 0x02);
	assert_int_equal(get_dispi(d, 2), 600);
	assert_int_equal(rd(d, VGA_REGION_MMIO, 0x504, 2), 600);
	wr(d, VGA_REGION_MMIO, 0x402, 1, 0x67); /* port 0x3c2 */
	assert_int_equal(rd(d, VGA_REGION_MMIO, 0x40c, 1), 0x67);
	wr(d, VGA_REGION_MMIO, 0x404, 2, 0x0f02); /* ports 0x3c4, 0x3c5 */
	assert_int_equal(get_reg(d, 0x3c4, 2), 15);
	assert_int_equal(rd(d, VGA_REGION_MMIO, 0x600, 4), 8);
	assert_int_equal(rd(d, VGA_REGION_MMIO, 0x604, 4), 0x1e1e1e1e);
	wr(d, VGA_REGION_MMIO, 0x604, 4, 0xbebebebe);
	assert_int_equal(rd(d, VGA_REGION_MMIO, 0x604, 4), 0xbebebebe);
	wr(d, VGA_REGION_MMIO, 0x604, 4, 0x12345678);
	assert_int_equal(rd(d, VGA_REGION_MMIO, 0x604, 4), 0xbebebebe);
	dev_destroy(d);
}

static void test_pci(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = make_vga(state);

	assert_int_equal(rd(d, PCI_REGION_CFG, 0, 4), 0x11111234);
	assert_int_equal(rd(d, PCI_REGION_CFG, 8, 4), 0x03000002);
	wr(d, PCI_REGION_CFG, PCI_BAR0, 4, 0xffffffff);
	assert_int_equal(rd(d, PCI_REGION_CFG, PCI_BAR0, 4), 0xfc000008);
	wr(d, PCI_REGION_CFG, PCI_ROM, 4, 0xfffffffe);
	assert_int_equal(rd(d, PCI_REGION_CFG, PCI_ROM, 4), 0xffff0000);
	wr(d, PCI_REGION_CFG, PCI_BAR0, 4, 0xe0000000);
	wr(d, PCI_REGION_CFG, PCI_ROM, 4, 0xe4010000);
	wr(d, PCI_REGION_CFG, PCI_COMMAND, 2, 2);
	assert_true(m->f.map[VGA_REGION_VRAM].on);
	assert_int_equal(m->f.map[VGA_REGION_VRAM].base, 0xe0000000);
	assert_false(m->f.map[VGA_REGION_ROM].on);
	wr(d, PCI_REGION_CFG, PCI_ROM, 4, 0xe4010001);
	assert_true(m->f.map[VGA_REGION_ROM].on);
	assert_int_equal(m->f.map[VGA_REGION_ROM].base, 0xe4010000);
	save_and_load(d);
	assert_true(m->f.map[VGA_REGION_ROM].on);
	wr(d, PCI_REGION_CFG, PCI_COMMAND, 2, 0);
	assert_false(m->f.map[VGA_REGION_ROM].on);
	m->vga.rom[0] = 0x55;
	assert_int_equal(rd(d, VGA_REGION_ROM, 0, 1), 0x55);
	m->vga.rom[0] = 0;
	dev_destroy(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_masks), DEVICE_TEST(test_ports),  DEVICE_TEST(test_crtc_protect),
		DEVICE_TEST(test_dac),	 DEVICE_TEST(test_status), DEVICE_TEST(test_memory),
		DEVICE_TEST(test_dispi), DEVICE_TEST(test_bank),   DEVICE_TEST(test_linear_window),
		DEVICE_TEST(test_mmio),	 DEVICE_TEST(test_pci),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
