/* IDE: registers of two drives, PIO, bus-master DMA, packets, resets; guests that mean harm. */
#include "devtest.h"
#include "devmodel/storage/ctrl/ide_int.h"

MACHINE_SETUP

/* Primary: disk, nothing. Secondary: disk, CD drive. */
enum { CMD = PCI_REGION_DEV, CTL = PCI_REGION_DEV + 2, BM = PCI_REGION_DEV + 4 };
enum { PRD = 0x1000, DATA = 0x8000 };
enum { BSY = 0x80, DRDY = 0x40, DRQ = 8, ERR = 1 };

static uint8_t in(struct dev *d, unsigned ch, unsigned reg)
{
	return (uint8_t)rd(d, CMD + ch, reg, 1);
}

static void out(struct dev *d, unsigned ch, unsigned reg, uint8_t v)
{
	wr(d, CMD + ch, reg, 1, v);
}

static uint8_t alt(struct dev *d, unsigned ch)
{
	return (uint8_t)rd(d, CTL + ch, 0, 1);
}

static void settle(struct fake_machine *m, struct dev *d)
{
	for (unsigned i = 0; i < 100; i++)
		fake_env_advance(&m->f, d, 10000);
}

static struct dev *ide_up(struct fake_machine *m)
{
	struct dev *d = make(m, &dm_ide.base);

	wr(d, PCI_REGION_CFG, IDE_CFG_TIMING, 4, 0x80008000);
	wr(d, PCI_REGION_CFG, PCI_COMMAND, 2, PCI_CMD_IO | PCI_CMD_MASTER);
	for (unsigned i = 0; i < FAKE_BLK_BYTES; i++)
		m->f.blk.data[i] = (uint8_t)(i * 11 + i / 512);
	return d;
}

/* LBA, 28 bits. */
static void command(struct dev *d, unsigned ch, uint8_t device, uint8_t cmd, uint32_t lba,
		    uint8_t count)
{
	out(d, ch, 6, (uint8_t)(0xe0 | device << 4 | (lba >> 24 & 15)));
	out(d, ch, 2, count);
	for (unsigned i = 0; i < 3; i++)
		out(d, ch, 3 + i, (uint8_t)(lba >> 8 * i));
	out(d, ch, 7, cmd);
}

static void read_words(struct dev *d, unsigned ch, void *buf, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i += 2) {
		const uint16_t v = (uint16_t)rd(d, CMD + ch, 0, 2);
		memcpy((uint8_t *)buf + i, &v, 2);
	}
}

static void put_prd(struct fake_machine *m, unsigned i, uint32_t gpa, uint32_t bytes, bool last)
{
	const uint32_t e[2] = { gpa, (bytes & 0xffff) | (last ? 1u << 31 : 0) };

	memcpy(m->f.ram + PRD + 8 * i, e, sizeof(e));
}

static void test_ports(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = make(m, &dm_ide.base);

	assert_int_equal(rd(d, PCI_REGION_CFG, 0, 4), 0x71118086);
	assert_int_equal(rd(d, PCI_REGION_CFG, 8, 4) >> 8, 0x010180);
	assert_false(m->f.map[CMD].on);
	wr(d, PCI_REGION_CFG, PCI_COMMAND, 2, PCI_CMD_IO);
	wr(d, PCI_REGION_CFG, IDE_CFG_TIMING, 2, IDE_DECODE);
	assert_true(m->f.map[CMD].on && m->f.map[CTL].on);
	assert_int_equal(m->f.map[CMD].base, 0x1f0);
	assert_int_equal(m->f.map[CTL].base, 0x3f6);
	assert_false(m->f.map[CMD + 1].on);
	wr(d, PCI_REGION_CFG, IDE_CFG_TIMING + 2, 2, IDE_DECODE);
	assert_int_equal(m->f.map[CMD + 1].base, 0x170);
	assert_int_equal(m->f.map[CTL + 1].base, 0x376);
	wr(d, PCI_REGION_CFG, PCI_COMMAND, 2, 0);
	assert_false(m->f.map[CMD].on);
	dev_destroy(d);
}

/* The signature tells what is there; a slave that is not is answered for with a zero status. */
static void test_signature(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ide_up(m);

	out(d, 1, 6, 0xb0);
	assert_int_equal(in(d, 1, 4), 0x14);
	assert_int_equal(in(d, 1, 5), 0xeb);
	assert_int_equal(in(d, 1, 7), 0);
	out(d, 1, 6, 0xa0);
	assert_int_equal(in(d, 1, 3), 1);
	assert_int_equal(in(d, 1, 4), 0);
	assert_int_equal(in(d, 1, 7), 0x50);
	out(d, 0, 6, 0xb0);
	assert_int_equal(in(d, 0, 7), 0);
	out(d, 0, 2, 0x55);
	assert_int_equal(in(d, 0, 2), 0x55);
	assert_int_equal(in(d, 0, 6), 0xb0);
	out(d, 0, 7, 0xec);
	assert_int_equal(in(d, 0, 7), 0);
	dev_destroy(d);
}

static void test_identify(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ide_up(m);
	uint16_t id[256];
	uint8_t sum = 0;

	command(d, 0, 0, 0xec, 0, 0);
	assert_int_equal(alt(d, 0) & (BSY | DRQ), DRQ);
	assert_true(m->f.irq[0]);
	assert_int_equal(in(d, 0, 7), 0x58);
	assert_false(m->f.irq[0]); /* reading the status takes it */
	read_words(d, 0, id, 512);
	assert_int_equal(in(d, 0, 7), 0x50);
	assert_int_equal(m->f.irq_rises[0], 1); /* none after the last block */
	assert_int_equal(id[60] | id[61] << 16, FAKE_BLK_BYTES / 512);
	assert_int_equal(id[100], FAKE_BLK_BYTES / 512);
	assert_int_equal(id[6], 63);
	for (unsigned i = 0; i < 512; i++)
		sum = (uint8_t)(sum + ((uint8_t *)id)[i]);
	assert_int_equal(sum, 0);
	command(d, 1, 1, 0xec, 0, 0); /* to a packet device: aborted, with the signature */
	assert_int_equal(in(d, 1, 7) & ERR, ERR);
	assert_int_equal(in(d, 1, 1), 4);
	assert_int_equal(in(d, 1, 5), 0xeb);
	out(d, 1, 7, 0xa1);
	assert_int_equal(in(d, 1, 7), 0x58);
	read_words(d, 1, id, 512);
	assert_int_equal(id[0], 0x85c0);
	dev_destroy(d);
}

/* An interrupt a sector; with READ MULTIPLE one a block. */
static void test_pio_read(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ide_up(m);
	uint8_t buf[5 * 512];

	command(d, 0, 0, 0x20, 7, 5);
	assert_int_equal(alt(d, 0), BSY);
	assert_int_equal(rd(d, CMD, 0, 2), 0); /* no data yet */
	for (unsigned i = 0; i < 5; i++) {
		settle(m, d);
		assert_int_equal(in(d, 0, 7), 0x58);
		read_words(d, 0, buf + 512 * i, 512);
	}
	assert_int_equal(in(d, 0, 7), 0x50);
	assert_memory_equal(buf, m->f.blk.data + 7 * 512, sizeof(buf));
	assert_int_equal(m->f.irq_rises[0], 5);
	command(d, 0, 0, 0xc4, 7, 5);
	assert_int_equal(in(d, 0, 1), 4); /* no block size is set */
	command(d, 0, 0, 0xc6, 0, 4);
	assert_int_equal(in(d, 0, 7), 0x50);
	command(d, 0, 0, 0xc4, 7, 5);
	for (unsigned at = 0; at < sizeof(buf); at += 4 * 512) {
		settle(m, d);
		assert_int_equal(in(d, 0, 7), 0x58);
		for (unsigned i = at; i < at + 4 * 512 && i < sizeof(buf); i += 4) {
			const uint32_t v = (uint32_t)rd(d, CMD, 0, 4);
			memcpy(buf + i, &v, 4);
		}
	}
	assert_int_equal(in(d, 0, 7), 0x50);
	assert_memory_equal(buf, m->f.blk.data + 7 * 512, sizeof(buf));
	dev_destroy(d);
}

static void test_pio_write(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ide_up(m);

	command(d, 1, 0, 0x30, 9, 2);
	assert_int_equal(in(d, 1, 7), 0x58);
	assert_int_equal(m->f.irq_rises[1], 0); /* the first block is waited for without */
	for (unsigned s = 0; s < 2; s++) {
		for (unsigned i = 0; i < 256; i++)
			wr(d, CMD + 1, 0, 2, 0x1000u * s + i);
		assert_int_equal(alt(d, 1), BSY);
		settle(m, d);
		assert_int_equal(m->f.irq_rises[1], s + 1);
		assert_int_equal(in(d, 1, 7), s == 0 ? 0x58 : 0x50);
	}
	assert_int_equal(m->f.blk.data[9 * 512 + 2], 1);
	assert_int_equal(m->f.blk.data[10 * 512 + 3], 0x10);
	dev_destroy(d);
}

/* CHS after INITIALIZE DEVICE PARAMETERS. */
static void test_chs(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ide_up(m);
	uint8_t buf[512];

	out(d, 0, 6, 0xa3); /* 4 heads */
	out(d, 0, 2, 8);    /* 8 sectors */
	out(d, 0, 7, 0x91);
	assert_int_equal(in(d, 0, 7), 0x50);
	out(d, 0, 6, 0xa2);
	out(d, 0, 2, 1);
	out(d, 0, 3, 5);
	out(d, 0, 4, 3);
	out(d, 0, 5, 0);
	out(d, 0, 7, 0x20);
	settle(m, d);
	assert_int_equal(in(d, 0, 7), 0x58);
	read_words(d, 0, buf, 512);
	assert_memory_equal(buf, m->f.blk.data + ((3 * 4 + 2) * 8 + 4) * 512, 512);
	out(d, 0, 2, 1);
	out(d, 0, 3, 0); /* there is no sector 0 */
	out(d, 0, 7, 0x20);
	assert_int_equal(in(d, 0, 1), 0x10);
	dev_destroy(d);
}

/* 48 bits: the registers twice, read back with HOB. */
static void test_lba48(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ide_up(m);
	uint8_t buf[512];
	static const uint8_t hi[4] = { 0, 0, 0, 0 }, lo[4] = { 1, 0x42, 0, 0 };

	out(d, 0, 6, 0x40);
	for (unsigned i = 0; i < 4; i++)
		out(d, 0, 2 + i, hi[i]);
	for (unsigned i = 0; i < 4; i++)
		out(d, 0, 2 + i, lo[i]);
	out(d, 0, 7, 0x24);
	settle(m, d);
	read_words(d, 0, buf, 512);
	assert_memory_equal(buf, m->f.blk.data + 0x42 * 512, 512);
	out(d, 0, 3, 0x99); /* previous */
	out(d, 0, 3, 0x11);
	assert_int_equal(in(d, 0, 3), 0x11);
	wr(d, CTL, 0, 1, 0x80);
	assert_int_equal(in(d, 0, 3), 0x99);
	out(d, 0, 2, 0); /* a write ends that */
	assert_int_equal(in(d, 0, 3), 0x11);
	command(d, 0, 0, 0x27, 0, 0);
	assert_int_equal(in(d, 0, 3), FAKE_BLK_BYTES / 512 - 1);
	dev_destroy(d);
}

static void bm_start(struct dev *d, unsigned ch, bool to_memory)
{
	wr(d, BM, 8 * ch + 2, 1, 6);
	wr(d, BM, 8 * ch + 4, 4, PRD);
	wr(d, BM, 8 * ch, 1, to_memory ? 8 : 0);
	wr(d, BM, 8 * ch, 1, to_memory ? 9 : 1);
}

static void test_dma(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ide_up(m);

	put_prd(m, 0, DATA, 1000, false);
	put_prd(m, 1, DATA + 1000, 3 * 512 - 1000, true);
	command(d, 0, 0, 0xc8, 11, 3);
	assert_int_equal(alt(d, 0), 0x58); /* it waits for the bus master */
	bm_start(d, 0, true);
	settle(m, d);
	assert_true(m->f.irq[0]);
	assert_int_equal(rd(d, BM, 2, 1), 4); /* interrupt, not active */
	assert_int_equal(in(d, 0, 7), 0x50);
	assert_memory_equal(m->f.ram + DATA, m->f.blk.data + 11 * 512, 3 * 512);
	wr(d, BM, 0, 1, 0);
	/* the other way, the bus master first; 48 bits */
	memset(m->f.ram + DATA, 0x5a, 1024);
	put_prd(m, 0, DATA, 1024, true);
	bm_start(d, 0, false);
	for (unsigned r = 2; r < 6; r++)
		out(d, 0, r, 0);
	command(d, 0, 0, 0x35, 20, 2);
	settle(m, d);
	assert_int_equal(rd(d, BM, 2, 1), 4);
	assert_int_equal(m->f.blk.data[20 * 512], 0x5a);
	assert_int_equal(m->f.blk.data[22 * 512 - 1], 0x5a);
	dev_destroy(d);
}

static void test_dma_lists(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ide_up(m);

	put_prd(m, 0, DATA, 512, true); /* longer than the data: it stays active */
	put_prd(m, 0, DATA, 2048, true);
	command(d, 0, 0, 0xc8, 0, 1);
	bm_start(d, 0, true);
	settle(m, d);
	assert_int_equal(rd(d, BM, 2, 1), 5);
	wr(d, BM, 0, 1, 0);
	assert_int_equal(rd(d, BM, 2, 1) & 1, 0);
	put_prd(m, 0, DATA, 512, true); /* shorter: the drive waits, no interrupt */
	command(d, 0, 0, 0xc8, 0, 2);
	bm_start(d, 0, true);
	settle(m, d);
	assert_int_equal(rd(d, BM, 2, 1), 0);
	assert_int_equal(alt(d, 0), 0x58);
	wr(d, CTL, 0, 1, 4); /* SRST */
	assert_int_equal(alt(d, 0), BSY);
	wr(d, CTL, 0, 1, 0);
	assert_int_equal(alt(d, 0), 0x50);
	put_prd(m, 0, 0xfffe0000, 512, true); /* no memory */
	command(d, 0, 0, 0xc8, 0, 1);
	wr(d, BM, 0, 1, 0);
	bm_start(d, 0, true);
	settle(m, d);
	assert_int_equal(rd(d, BM, 2, 1) & 3, 2);
	wr(d, BM, 0, 1, 0);
	wr(d, CTL, 0, 1, 4);
	wr(d, CTL, 0, 1, 0);
	for (unsigned i = 0; i < 1000; i++) /* pieces of two bytes, never a last one */
		put_prd(m, i, DATA, 2, false);
	command(d, 0, 0, 0xc8, 0, 100);
	bm_start(d, 0, true);
	settle(m, d);
	command(d, 0, 0, 0xca, 0, 1); /* wrong direction */
	assert_true(m->f.guest_errors > 0);
	dev_destroy(d);
}

/* Mastering taken away and given back. */
static void test_master(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ide_up(m);

	wr(d, PCI_REGION_CFG, PCI_COMMAND, 2, PCI_CMD_IO);
	put_prd(m, 0, DATA, 512, true);
	command(d, 0, 0, 0xc8, 1, 1);
	bm_start(d, 0, true);
	settle(m, d);
	assert_int_equal(rd(d, BM, 2, 1), 1);
	wr(d, PCI_REGION_CFG, PCI_COMMAND, 2, PCI_CMD_IO | PCI_CMD_MASTER);
	settle(m, d);
	assert_int_equal(rd(d, BM, 2, 1), 4);
	assert_memory_equal(m->f.ram + DATA, m->f.blk.data + 512, 512);
	dev_destroy(d);
}

static void send_cdb(struct dev *d, const uint8_t *cdb, uint16_t limit, bool by_dma)
{
	out(d, 1, 6, 0xb0);
	out(d, 1, 1, by_dma);
	out(d, 1, 4, (uint8_t)limit);
	out(d, 1, 5, (uint8_t)(limit >> 8));
	out(d, 1, 7, 0xa0);
	assert_int_equal(in(d, 1, 7) & (BSY | DRQ), DRQ);
	assert_int_equal(in(d, 1, 2) & 3, 1); /* command, to the drive */
	for (unsigned i = 0; i < 12; i += 2)
		wr(d, CMD + 1, 0, 2, cdb[i] | cdb[i + 1] << 8);
}

/* Data in pieces of at most what the host wants, the count in the cylinder registers. */
static void test_packet(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ide_up(m);
	static const uint8_t ready[12] = { 0 }, inquiry[12] = { 0x12, [4] = 36 };
	static const uint8_t read[12] = { 0x28, [5] = 3, [8] = 5 };
	uint8_t buf[5 * 2048];
	unsigned at = 0, pieces = 0;

	send_cdb(d, ready, 0, false);
	assert_int_equal(in(d, 1, 7) & ERR, ERR); /* it has just been switched on */
	assert_int_equal(in(d, 1, 1) >> 4, 6);
	send_cdb(d, inquiry, 36, false);
	assert_int_equal(in(d, 1, 7), 0x58);
	assert_int_equal(in(d, 1, 4) | in(d, 1, 5) << 8, 36);
	assert_int_equal(in(d, 1, 2) & 3, 2);
	read_words(d, 1, buf, 36);
	assert_memory_equal(buf + 8, "LODGE   ", 8);
	assert_int_equal(in(d, 1, 7), 0x50);
	assert_int_equal(in(d, 1, 2) & 3, 3);
	send_cdb(d, read, 3000, false);
	settle(m, d);
	while (in(d, 1, 7) & DRQ) {
		const unsigned n = in(d, 1, 4) | in(d, 1, 5) << 8;
		assert_true(n > 0 && n <= 3000 && at + n <= sizeof(buf));
		read_words(d, 1, buf + at, n);
		at += n;
		pieces++;
		settle(m, d);
	}
	assert_int_equal(at, sizeof(buf));
	assert_true(pieces >= 4);
	assert_memory_equal(buf, m->f.blk.data + 3 * 2048, sizeof(buf));
	put_prd(m, 0, DATA, 5 * 2048, true);
	send_cdb(d, read, 0, true);
	bm_start(d, 1, true);
	settle(m, d);
	assert_int_equal(in(d, 1, 7), 0x50);
	assert_memory_equal(m->f.ram + DATA, m->f.blk.data + 3 * 2048, sizeof(buf));
	out(d, 1, 7, 0x08); /* DEVICE RESET */
	assert_int_equal(in(d, 1, 7), 0);
	assert_int_equal(in(d, 1, 5), 0xeb);
	dev_destroy(d);
}

static void test_interrupts(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ide_up(m);

	wr(d, CTL, 0, 1, 2); /* nIEN */
	command(d, 0, 0, 0xe7, 0, 0);
	settle(m, d);
	assert_false(m->f.irq[0]);
	assert_int_equal(m->f.blk.flushes, 1);
	wr(d, CTL, 0, 1, 0);
	assert_true(m->f.irq[0]);
	out(d, 0, 6, 0xb0); /* the other one has none */
	assert_false(m->f.irq[0]);
	out(d, 0, 6, 0xa0);
	assert_true(m->f.irq[0]);
	assert_int_equal(alt(d, 0), 0x50);
	assert_true(m->f.irq[0]); /* the alternate status leaves it */
	in(d, 0, 7);
	assert_false(m->f.irq[0]);
	out(d, 1, 7, 0x90); /* both drives of the other channel */
	assert_true(m->f.irq[1]);
	assert_int_equal(in(d, 1, 1), 1);
	dev_destroy(d);
}

/* Registers while it is busy; a reset during a transfer. */
static void test_busy(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ide_up(m);

	m->f.blk.delay_ns = 1000000;
	command(d, 0, 0, 0x20, 1, 1);
	out(d, 0, 2, 0x77);
	out(d, 0, 7, 0xec);
	assert_int_equal(in(d, 0, 2), 1);
	wr(d, CTL, 0, 1, 4);
	wr(d, CTL, 0, 1, 0);
	assert_int_equal(alt(d, 0), BSY); /* until its memory is free */
	fake_env_advance(&m->f, d, 1000001);
	assert_int_equal(alt(d, 0), 0x50);
	assert_int_equal(in(d, 0, 3), 1);
	m->f.blk.fail = -EIO;
	m->f.blk.delay_ns = 1000;
	command(d, 0, 0, 0x20, 5, 1);
	settle(m, d);
	assert_int_equal(in(d, 0, 7) & (ERR | DRQ), ERR);
	assert_int_equal(in(d, 0, 1), 0x40);
	assert_int_equal(in(d, 0, 3), 5);
	dev_destroy(d);
}

/* In the middle of a block: what is left of it comes out of the saved state. */
static void test_state(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ide_up(m);
	struct err e = { 0 };
	uint8_t buf[1024];

	command(d, 0, 0, 0x20, 30, 2);
	settle(m, d);
	read_words(d, 0, buf, 100);
	command(d, 1, 0, 0x30, 40, 1);
	for (unsigned i = 0; i < 200; i++)
		wr(d, CMD + 1, 0, 2, i);
	assert_ok(d->cls->quiesce(d, &e), &e);
	save_and_load(d);
	read_words(d, 0, buf + 100, 412);
	settle(m, d);
	read_words(d, 0, buf + 512, 512);
	assert_memory_equal(buf, m->f.blk.data + 30 * 512, 1024);
	assert_int_equal(in(d, 0, 7), 0x50);
	for (unsigned i = 200; i < 256; i++)
		wr(d, CMD + 1, 0, 2, i);
	settle(m, d);
	assert_int_equal(in(d, 1, 7), 0x50);
	assert_int_equal(m->f.blk.data[40 * 512 + 2 * 255], 255);
	assert_int_equal(m->f.blk.data[40 * 512 + 2 * 100], 100);
	dev_destroy(d);
}

/* A saved state whose pieces are longer than the buffer: they end with it, and not in the other
 * drive's registers. */
static void test_long_pieces(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ide_up(m);
	struct ide_drive_state *s = ((struct ide *)d)->s.channel[0].drive;
	const unsigned first = 512, bytes = 40 * 512;
	uint8_t buf[40 * 512];

	command(d, 0, 0, 0x20, 10, 40);
	settle(m, d);
	s[0].cmd.unit = ATA_BUF_BYTES + 512;
	save_and_load(d);
	const struct ide_drive_state other = s[1];
	read_words(d, 0, buf, first);
	for (unsigned at = first, n; at < bytes; at += n) {
		settle(m, d);
		n = (unsigned)hv_min_u64(bytes - at, ATA_BUF_BYTES);
		read_words(d, 0, buf + at, n);
	}
	assert_memory_equal(buf, m->f.blk.data + 10 * 512, bytes);
	assert_memory_equal(&s[1], &other, sizeof(other));
	assert_int_equal(in(d, 0, 7), 0x50);
	dev_destroy(d);
}

/* A request has come back, but its thread may still be telling so. */
static void test_end(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ide_up(m);

	command(d, 0, 0, 0x20, 0, 1);
	m->f.blk.blk.ops->drain(&m->f.blk.blk);
	const unsigned drains = m->f.blk.drains;
	dev_destroy(d);
	assert_true(m->f.blk.drains > drains);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_ports),       DEVICE_TEST(test_signature),
		DEVICE_TEST(test_identify),    DEVICE_TEST(test_pio_read),
		DEVICE_TEST(test_pio_write),   DEVICE_TEST(test_chs),
		DEVICE_TEST(test_lba48),       DEVICE_TEST(test_dma),
		DEVICE_TEST(test_dma_lists),   DEVICE_TEST(test_master),
		DEVICE_TEST(test_packet),      DEVICE_TEST(test_interrupts),
		DEVICE_TEST(test_busy),	       DEVICE_TEST(test_state),
		DEVICE_TEST(test_long_pieces), DEVICE_TEST(test_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
