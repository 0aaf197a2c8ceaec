/* AHCI: registers, commands with every protocol, NCQ, resets, and guests that mean harm. */
#include "ahci_guest.h"

MACHINE_SETUP

static const struct command identify = { .command = 0xec, .bytes = 512 };

static struct command dma(bool write, uint64_t lba, uint16_t count)
{
	return (struct command){ .command = write ? 0x35 : 0x25,
				 .device = 0x40,
				 .lba = lba,
				 .count = count,
				 .write = write,
				 .bytes = count * 512u };
}

static void fill_disk(struct fake_machine *m)
{
	for (unsigned i = 0; i < FAKE_BLK_BYTES; i++)
		m->f.blk.data[i] = (uint8_t)(i * 7 + i / 512);
}

static void test_registers(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = make(m, &dm_ahci.base);

	assert_int_equal(rd(d, PCI_REGION_CFG, 0, 4), 0x29228086);
	assert_int_equal(rd(d, PCI_REGION_CFG, 8, 4) >> 8, 0x010601);
	assert_int_equal(reg(d, CAP) & 0x1f, AHCI_PORTS - 1);
	assert_int_equal(reg(d, CAP) >> 8 & 0x1f, 31);
	assert_true(reg(d, CAP) & 1u << 30); /* NCQ */
	assert_int_equal(reg(d, PI), 0x3f);
	assert_int_equal(reg(d, 16), 0x10301);
	assert_int_equal(reg(d, GHC), 1u << 31);
	assert_int_equal(preg(d, 0, PX_SSTS), 0x123);
	assert_int_equal(preg(d, 0, PX_SIG), 0x00000101);
	assert_int_equal(preg(d, CD_PORT, PX_SIG), 0xeb140101);
	assert_int_equal(preg(d, 3, PX_SSTS), 0);
	assert_int_equal(preg(d, 3, PX_SIG), UINT32_MAX);
	assert_int_equal(preg(d, 3, PX_TFD), 0x7f);
	pset(d, 0, PX_CLB, UINT32_MAX);
	assert_int_equal(preg(d, 0, PX_CLB), 0xfffffc00);
	pset(d, 0, PX_FB, UINT32_MAX);
	assert_int_equal(preg(d, 0, PX_FB), 0xffffff00);
	wr(d, AHCI_REGION_MEM, 0x100 + PX_CLB + 1, 1, 0x10); /* a byte of it */
	assert_int_equal(preg(d, 0, PX_CLB), 0xffff1000);
	pset(d, 0, PX_CI, 1); /* not started: no effect */
	assert_int_equal(preg(d, 0, PX_CI), 0);
	dev_destroy(d);
}

/* Data by PIO: a PIO setup FIS, no register FIS; the status at the end is in it. */
static void test_pio_in(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ahci_up(m);

	assert_int_equal(run(m, d, 0, &identify), 0x50);
	assert_int_equal(preg(d, 0, PX_IS) & (IS_PSS | IS_DHRS), IS_PSS);
	assert_int_equal(m->f.ram[FISES + 0x20], 0x5f);
	assert_int_equal(m->f.ram[FISES + 0x2f], 0x50);
	assert_int_equal(m->f.ram[FISES + 0x30] | m->f.ram[FISES + 0x31] << 8, 512);
	assert_int_equal(m->f.ram[DATA + 510], 0xa5);
	assert_int_equal(m->f.ram[LIST + 4] | m->f.ram[LIST + 5] << 8, 512); /* PRDBC */
	assert_true(m->f.irq[0]);
	pset(d, 0, PX_IS, UINT32_MAX);
	assert_true(m->f.irq[0]); /* IS still says so */
	set(d, IS, 1);
	assert_false(m->f.irq[0]);
	dev_destroy(d);
}

static void test_msi(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ahci_up(m);
	const unsigned cap = (unsigned)rd(d, PCI_REGION_CFG, PCI_CAP_PTR, 1);

	assert_int_equal(rd(d, PCI_REGION_CFG, cap, 1), 5);
	wr(d, PCI_REGION_CFG, cap + 4, 4, 0xfee00000);
	wr(d, PCI_REGION_CFG, cap + 12, 2, 0x51);
	wr(d, PCI_REGION_CFG, cap + 2, 2, 1);
	run(m, d, 0, &identify);
	assert_int_equal(m->f.n_msi, 1);
	assert_int_equal(m->f.msi[0].addr, 0xfee00000);
	assert_int_equal(m->f.msi[0].data, 0x51);
	assert_false(m->f.irq[0]);
	set(d, IS, 1); /* the port's cause is still there: once more */
	assert_int_equal(m->f.n_msi, 2);
	pset(d, 0, PX_IS, UINT32_MAX);
	set(d, IS, 1);
	assert_int_equal(m->f.n_msi, 2);
	dev_destroy(d);
}

static void test_dma(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ahci_up(m);
	struct command c = dma(false, 5, 40);

	fill_disk(m);
	assert_int_equal(run(m, d, 0, &c), 0x50);
	assert_memory_equal(m->f.ram + DATA, m->f.blk.data + 5 * 512, 40 * 512);
	assert_int_equal(preg(d, 0, PX_IS) & (IS_DHRS | IS_PSS), IS_DHRS);
	/* pieces that are no whole sectors, or end in the middle of one */
	static const uint32_t pieces[] = { 22, 30, 64, 250, 510, 514, 700 };
	for (unsigned i = 0; i < HV_ARRAY_LEN(pieces); i++) {
		c.piece = pieces[i];
		c.count = 1;
		c.bytes = 512;
		memset(m->f.ram + DATA, 0, 1024);
		assert_int_equal(run(m, d, 0, &c), 0x50);
		assert_memory_equal(m->f.ram + DATA, m->f.blk.data + 5 * 512, 512);
		assert_int_equal(m->f.ram[DATA + 512], 0);
	}
	for (unsigned i = 0; i < 3 * 512; i++)
		m->f.ram[DATA + i] = (uint8_t)~i;
	c = dma(true, 100, 3);
	c.piece = 600;
	assert_int_equal(run(m, d, 0, &c), 0x50);
	assert_memory_equal(m->f.ram + DATA, m->f.blk.data + 100 * 512, 3 * 512);
	assert_int_equal(m->f.blk.data[103 * 512], (uint8_t)(103 * 512 * 7 + 103));
	c = dma(true, 100, 1);
	c.command = 0x3d; /* FUA */
	assert_int_equal(run(m, d, 0, &c), 0x50);
	assert_int_equal(m->f.blk.flushes, 1);
	dev_destroy(d);
}

/* More pieces than a request takes; it ends in the middle of one. */
static void test_dma_pieces(void **state)
{
	enum { PIECES = 140, BYTES = 300, TO = 0x5000, N = 80 };
	struct fake_machine *m = *state;
	struct dev *d = ahci_up(m);
	struct command c = dma(false, 7, N);

	fill_disk(m);
	c.bytes = 0;
	prepare(m, 0, &c);
	put(m, LIST + 2, PIECES, 2);
	for (unsigned i = 0; i < PIECES; i++) {
		put(m, TABLES + 0x80 + 16 * i, TO + BYTES * i, 8);
		put(m, TABLES + 0x8c + 16 * i, BYTES - 1, 4);
	}
	pset(d, 0, PX_CI, 1);
	settle(m, d);
	assert_int_equal(preg(d, 0, PX_TFD), 0x50);
	assert_memory_equal(m->f.ram + TO, m->f.blk.data + 7 * 512, N * 512);
	dev_destroy(d);
}

static void test_dma_errors(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ahci_up(m);
	struct command c = dma(false, 127, 2); /* one sector past the end */

	assert_int_equal(run(m, d, 0, &c) & 0xff01, 0x1001);
	assert_true(preg(d, 0, PX_IS) & IS_TFES);
	assert_int_equal(preg(d, 0, PX_CI), 1); /* which one failed is seen here */
	prepare(m, 1, &identify);
	pset(d, 0, PX_CI, 2);
	settle(m, d);
	assert_int_equal(preg(d, 0, PX_CI), 3); /* nothing goes on before that is mended */
	recover(d, 0);
	m->f.blk.fail = -EIO;
	c = dma(false, 3, 1);
	assert_int_equal(run(m, d, 0, &c) & 0xff01, 0x4001); /* UNC */
	assert_int_equal(m->f.ram[FISES + 0x44], 3);
	recover(d, 0);
	c = dma(true, 3, 1);
	assert_true(run(m, d, 0, &c) & 1);
	recover(d, 0);
	m->f.blk.fail = 0;
	m->f.blk.blk.read_only = true;
	assert_int_equal(run(m, d, 0, &c) & 0xff01, 0x0401);
	recover(d, 0);
	c = dma(false, 0, 8); /* the list is too short */
	c.bytes = 512;
	assert_true(run(m, d, 0, &c) & 1);
	assert_true(preg(d, 0, PX_IS) & IS_OFS);
	dev_destroy(d);
}

/* Eight queued commands: each accepted at once, all done, their bits gone. */
static void test_ncq(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ahci_up(m);

	fill_disk(m);
	m->f.blk.delay_ns = 1000000;
	for (unsigned i = 0; i < 8; i++) {
		struct command c = { .command = 0x60,
				     .device = 0x40,
				     .lba = 2 * i,
				     .feature = 1,
				     .count = (uint16_t)(i << 3),
				     .bytes = 512 };
		prepare(m, i, &c);
		put(m, TABLES + i * TABLE_BYTES + 0x80, DATA + 512 * i, 8);
	}
	pset(d, 0, PX_SACT, 0xff);
	pset(d, 0, PX_CI, 0xff);
	assert_int_equal(preg(d, 0, PX_CI), 0);
	assert_int_equal(preg(d, 0, PX_SACT), 0xff);
	assert_int_equal(preg(d, 0, PX_TFD) & 0x88, 0);
	assert_int_equal(preg(d, 0, PX_IS), 0);
	fake_env_advance(&m->f, d, 1000001);
	settle(m, d);
	assert_int_equal(preg(d, 0, PX_SACT), 0);
	assert_int_equal(preg(d, 0, PX_IS), IS_SDBS);
	assert_int_equal(m->f.ram[FISES + 0x58], 0xa1);
	for (unsigned i = 0; i < 8; i++)
		assert_memory_equal(m->f.ram + DATA + 512 * i, m->f.blk.data + 1024 * i, 512);
	dev_destroy(d);
}

/* One fails: the others are given up, the log says which, then all goes on. */
static void test_ncq_error(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ahci_up(m);
	const struct command log = {
		.command = 0x2f, .device = 0x40, .lba = 0x10, .count = 1, .bytes = 512
	};
	const uint8_t *p = m->f.ram + DATA;
	uint8_t sum = 0;

	m->f.blk.delay_ns = 1000000;
	for (unsigned i = 0; i < 4; i++) {
		struct command c = { .command = 0x61,
				     .device = 0x40,
				     .lba = i == 2 ? 500 : i,
				     .feature = 1,
				     .count = (uint16_t)(i << 3),
				     .write = true,
				     .bytes = 512 };
		prepare(m, i, &c);
	}
	pset(d, 0, PX_SACT, 15);
	pset(d, 0, PX_CI, 15);
	assert_true(preg(d, 0, PX_IS) & IS_TFES);
	assert_true(preg(d, 0, PX_IS) & IS_SDBS);
	assert_int_equal(preg(d, 0, PX_TFD) & 0xff01, 0x1001);
	fake_env_advance(&m->f, d, 1000001);
	settle(m, d);
	assert_int_equal(preg(d, 0, PX_SACT), 15); /* those before it do not end any more */
	recover(d, 0);
	assert_int_equal(preg(d, 0, PX_SACT), 0);
	assert_int_equal(run(m, d, 0, &identify) & 1, 1); /* only the log is answered */
	recover(d, 0);
	assert_int_equal(run(m, d, 0, &log), 0x50);
	assert_int_equal(p[0], 2);
	assert_int_equal(p[3], 0x10);
	assert_int_equal(p[4] | p[5] << 8, 500);
	for (unsigned i = 0; i < 512; i++)
		sum = (uint8_t)(sum + p[i]);
	assert_int_equal(sum, 0);
	assert_int_equal(run(m, d, 0, &identify), 0x50);
	dev_destroy(d);
}

static void test_comreset(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ahci_up(m);
	struct command c = dma(true, 0, 64);

	m->f.blk.delay_ns = 1000000;
	prepare(m, 0, &c);
	pset(d, 0, PX_CI, 1);
	assert_true(preg(d, 0, PX_TFD) & 0x80);
	pset(d, 0, PX_CMD, 0x10);
	assert_true(preg(d, 0, PX_CMD) & 0x8000); /* CR: memory is still in use */
	pset(d, 0, PX_SCTL, 0x301);
	assert_int_equal(preg(d, 0, PX_SSTS), 0);
	pset(d, 0, PX_SCTL, 0x300);
	assert_int_equal(preg(d, 0, PX_SSTS), 0x123);
	assert_true(preg(d, 0, PX_IS) & IS_PCS);
	assert_true(preg(d, 0, PX_TFD) & 0x80); /* until what was under way is over */
	fake_env_advance(&m->f, d, 1000001);
	settle(m, d);
	assert_int_equal(preg(d, 0, PX_TFD), 0x150);
	assert_int_equal(m->f.ram[FISES + 0x40], 0x34);
	assert_false(preg(d, 0, PX_CMD) & 0x8000);
	pset(d, 0, PX_SERR, UINT32_MAX);
	assert_false(preg(d, 0, PX_IS) & IS_PCS);
	m->f.blk.delay_ns = 1000;
	pset(d, 0, PX_CMD, 0x11);
	assert_int_equal(run(m, d, 0, &identify), 0x50);
	set(d, GHC, 1); /* HBA reset */
	assert_int_equal(reg(d, GHC), 1u << 31);
	assert_int_equal(preg(d, 0, PX_CLB), 0);
	assert_int_equal(preg(d, 0, PX_SSTS), 0x123);
	dev_destroy(d);
}

/* A software reset is two control FISes. */
static void test_srst(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ahci_up(m);

	for (unsigned i = 0; i < 2; i++) {
		prepare(m, 0, &(struct command){ 0 });
		m->f.ram[TABLES + 1] = 0;
		m->f.ram[TABLES + 15] = i == 0 ? 4 : 0;
		pset(d, CD_PORT, PX_CI, 1);
		assert_int_equal(preg(d, CD_PORT, PX_CI), 0);
	}
	assert_int_equal(preg(d, CD_PORT, PX_TFD), 0x100);
	assert_int_equal(m->f.ram[FISES + 0x45], 0x14);
	assert_int_equal(m->f.ram[FISES + 0x46], 0xeb);
	dev_destroy(d);
}

/* Lists and tables in no memory, FISes that are none, transfers without end. */
static void test_hostile(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ahci_up(m);
	struct command c = dma(false, 0, 0); /* 65536 sectors */

	pset(d, 0, PX_CLB, 0xfff00000);
	pset(d, 0, PX_CI, 1);
	assert_true(preg(d, 0, PX_IS) & IS_HBFS);
	recover(d, 0);
	pset(d, 0, PX_CLB, LIST);
	prepare(m, 0, &identify);
	put(m, LIST + 8, 0xffffffffffffff80, 8);
	pset(d, 0, PX_CI, 1);
	assert_true(preg(d, 0, PX_IS) & IS_HBFS);
	recover(d, 0);
	c.bytes = 512;
	assert_true(run(m, d, 0, &c) & 1); /* past the end */
	recover(d, 0);
	c = dma(false, 0, 128);
	prepare(m, 0, &c);
	put(m, TABLES + 0x80, 0xfff0, 8); /* memory ends in the piece */
	pset(d, 0, PX_CI, 1);
	settle(m, d);
	assert_true(preg(d, 0, PX_TFD) & 1);
	recover(d, 0);
	prepare(m, 0, &identify);
	m->f.ram[TABLES] = 0x99;
	pset(d, 0, PX_CI, 1);
	assert_int_equal(preg(d, 0, PX_CI), 0);
	/* the list says more entries than there are bytes in memory */
	c = dma(false, 0, 128);
	prepare(m, 0, &c);
	put(m, LIST + 2, 0xffff, 2);
	put(m, LIST + 8, 0xff80 - 0x80, 8);
	memcpy(m->f.ram + 0xff00, m->f.ram + TABLES, 0x80);
	memset(m->f.ram + 0xff80, 0, 0x80); /* pieces of two bytes at 0 */
	pset(d, 0, PX_CI, 1);
	settle(m, d);
	assert_true(preg(d, 0, PX_TFD) & 1);
	assert_true(m->f.guest_errors > 0);
	recover(d, 0);
	assert_int_equal(run(m, d, 0, &identify), 0x50);
	dev_destroy(d);
}

/* Without bus mastering nothing is begun; it is as soon as the guest allows it. */
static void test_master(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ahci_up(m);

	wr(d, PCI_REGION_CFG, PCI_COMMAND, 2, PCI_CMD_MEM);
	run(m, d, 0, &identify);
	assert_int_equal(preg(d, 0, PX_CI), 1);
	wr(d, PCI_REGION_CFG, PCI_COMMAND, 2, PCI_CMD_MEM | PCI_CMD_MASTER);
	settle(m, d);
	assert_int_equal(preg(d, 0, PX_CI), 0);
	assert_int_equal(m->f.ram[DATA + 510], 0xa5);
	dev_destroy(d);
}

/* What is under way ends before a pause; commands that wait go on after it. */
static void test_quiesce(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ahci_up(m);
	struct command c = dma(false, 0, 16);
	struct err e = { 0 };

	fill_disk(m);
	m->f.blk.delay_ns = 1000000000;
	prepare(m, 0, &c);
	prepare(m, 1, &identify);
	pset(d, 0, PX_CI, 3);
	assert_ok(d->cls->quiesce(d, &e), &e);
	assert_int_equal(preg(d, 0, PX_CI), 2);
	assert_memory_equal(m->f.ram + DATA, m->f.blk.data, 16 * 512);
	save_and_load(d);
	settle(m, d);
	assert_int_equal(preg(d, 0, PX_CI), 0);
	assert_int_equal(m->f.ram[DATA + 510], 0xa5);
	dev_destroy(d);
}

/* A request has come back, but its thread may still be telling so. */
static void test_end(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ahci_up(m);
	struct command c = dma(false, 0, 16);

	prepare(m, 0, &c);
	pset(d, 0, PX_CI, 1);
	m->f.blk.blk.ops->drain(&m->f.blk.blk);
	const unsigned drains = m->f.blk.drains;
	dev_destroy(d);
	assert_true(m->f.blk.drains > drains);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_registers),  DEVICE_TEST(test_pio_in),
		DEVICE_TEST(test_msi),	      DEVICE_TEST(test_dma),
		DEVICE_TEST(test_dma_errors), DEVICE_TEST(test_dma_pieces),
		DEVICE_TEST(test_ncq),	      DEVICE_TEST(test_ncq_error),
		DEVICE_TEST(test_comreset),   DEVICE_TEST(test_srst),
		DEVICE_TEST(test_hostile),    DEVICE_TEST(test_master),
		DEVICE_TEST(test_quiesce),    DEVICE_TEST(test_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
