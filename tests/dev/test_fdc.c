/* The floppy controller against the 82077AA data sheet; a 720K disk in a 1.44M drive. */
#include "devmodel/storage/ctrl/fdc/fdc.h"
#include "devmodel/storage/floppy.h"
#include "devtest.h"

MACHINE_SETUP

enum { DOR = 2, TAPE, MSR, FIFO };
enum { RUN_A = 0x1c, RQM = 0x80, DIO = 0x40, NDM = 0x20, BUSY = 0x10 };
#define SPT 9u
#define SECTOR 512u

/* ---- talking to it ---- */

static uint8_t msr(struct dev *d)
{
	return (uint8_t)rd(d, 0, MSR, 1);
}

static void command(struct dev *d, const uint8_t *bytes, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(msr(d) & (RQM | DIO), RQM);
		wr(d, 0, FIFO, 1, bytes[i]);
	}
}

#define COMMAND(d, ...)                                                                            \
	command(d, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void expect(struct dev *d, const uint8_t *bytes, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(msr(d) & 0xf0, RQM | DIO | BUSY);
		assert_int_equal(rd(d, 0, FIFO, 1), bytes[i]);
	}
	assert_int_equal(msr(d) & 0xf0, RQM);
}

#define EXPECT(d, ...)                                                                             \
	expect(d, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* Until it interrupts. */
static void run(struct fake_machine *m, struct dev *d)
{
	for (unsigned i = 0; i < 10000 && !m->f.irq[0]; i++)
		fake_env_advance(&m->f, d, 1000);
	assert_true(m->f.irq[0]);
}

/* Each sector begins with its number from the disk's start, twice. */
static void tag(struct fake_machine *m)
{
	for (unsigned i = 0; i < FAKE_BLK_BYTES / SECTOR; i++)
		memset(m->f.floppy.data + i * SECTOR, (int)(i + 1), SECTOR);
}

static uint8_t tag_of(unsigned c, unsigned h, unsigned r)
{
	return (uint8_t)((((c * 2 + h) * SPT + r - 1) % (FAKE_BLK_BYTES / SECTOR)) + 1);
}

static void dma(struct fake_machine *m, uint32_t bytes)
{
	m->dma.at = 0;
	m->dma.left = m->dma.limit = bytes;
	memset(m->f.ram, 0xee, sizeof(m->f.ram));
}

/* Out of reset, drive A selected with its motor on, the disk's rate. */
static struct dev *start_with(struct fake_machine *m, const char *arg, uint8_t rate)
{
	struct dev *d = NULL;
	struct err e;

	assert_ok(dev_create(&dm_fdc, "fdc", &m->f.env, NULL, (const char *const[]){ arg, NULL },
			     &d, &e),
		  &e);
	tag(m);
	assert_int_equal(msr(d), 0);
	wr(d, 0, DOR, 1, RUN_A);
	run(m, d);
	for (uint8_t i = 0; i < 4; i++) {
		COMMAND(d, 0x08);
		EXPECT(d, 0xc0 | i, 0);
	}
	assert_false(m->f.irq[0]);
	wr(d, 1, 0, 1, rate);
	return d;
}

static struct dev *start(struct fake_machine *m)
{
	return start_with(m, NULL, FLOPPY_250K);
}

/* Seeks, with what SENSE INTERRUPT says afterwards. */
static void seek(struct fake_machine *m, struct dev *d, uint8_t to)
{
	COMMAND(d, 0x0f, 0, to);
	assert_int_equal(msr(d), RQM | 1);
	run(m, d);
	assert_int_equal(msr(d), RQM);
	COMMAND(d, 0x08);
	EXPECT(d, 0x20, to);
}

/* ---- reset, registers, the commands without data ---- */

static void test_registers(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m);

	assert_int_equal(rd(d, 0, 0, 1), 0xff);
	assert_int_equal(rd(d, 0, 1, 1), 0xff);
	assert_int_equal(rd(d, 0, DOR, 1), RUN_A);
	wr(d, 0, TAPE, 1, 0xff);
	assert_int_equal(rd(d, 0, TAPE, 1), 3);
	COMMAND(d, 0x10);
	EXPECT(d, 0x90);
	COMMAND(d, 0x18); /* an 82078's */
	EXPECT(d, 0x80);
	COMMAND(d, 0x08); /* nothing to sense */
	EXPECT(d, 0x80);
	COMMAND(d, 0x03, 0xaf, 0x02);
	COMMAND(d, 0x13, 0x00, 0x57, 0x12);
	COMMAND(d, 0x12, 0x84 | 3);
	COMMAND(d, 0x12, 0x38); /* without OW the drives' bits stay */
	COMMAND(d, 0x94);
	EXPECT(d, 0x10);
	COMMAND(d, 0x0e);
	EXPECT(d, 0, 0, 0, 0, 0xaf, 0x02, 0, 0x84, 0x57, 0x12);
	save_and_load(d);
	COMMAND(d, 0x12, 0x03);
	wr(d, 0, MSR, 1, 0x80 | FLOPPY_300K); /* reset by the DSR: what is locked stays */
	COMMAND(d, 0x0e);
	EXPECT(d, 0, 0, 0, 0, 0xaf, 0x02, 0, 0x84, 0x07, 0x12);
	COMMAND(d, 0x14);
	EXPECT(d, 0);
	wr(d, 0, DOR, 1, 0);
	wr(d, 0, DOR, 1, RUN_A);
	COMMAND(d, 0x0e);
	EXPECT(d, 0, 0, 0, 0, 0xaf, 0x02, 0, 0x04, 0x20, 0);
}

static void test_reset(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m);

	wr(d, 0, MSR, 1, 0x80);
	COMMAND(d, 0x13, 0, 0x30, 0); /* in time: without polling nothing comes */
	fake_env_run_until(&m->f, d, m->f.now_ns + 1000000, 100);
	assert_false(m->f.irq[0]);
	COMMAND(d, 0x08);
	EXPECT(d, 0x80);
	wr(d, 0, DOR, 1, RUN_A & ~8u); /* the gate is shut */
	wr(d, 0, MSR, 1, 0x80);
	fake_env_run_until(&m->f, d, m->f.now_ns + 1000000, 100);
	assert_false(m->f.irq[0]);
	wr(d, 0, DOR, 1, RUN_A);
	assert_true(m->f.irq[0]);
	COMMAND(d, 0x46, 0, 0, 0); /* in the middle of a command */
	assert_int_equal(msr(d), RQM | BUSY);
	save_and_load(d);
	assert_int_equal(msr(d), RQM | BUSY);
	wr(d, 0, DOR, 1, 0);
	assert_int_equal(msr(d), 0);
	wr(d, 0, FIFO, 1, 0x10); /* deaf */
	wr(d, 0, DOR, 1, RUN_A);
	assert_int_equal(msr(d), RQM);
}

static void test_seek(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m);

	assert_int_equal(rd(d, 1, 0, 1), 0x80); /* the disk is new */
	COMMAND(d, 0x07, 0);			/* no step, no news */
	run(m, d);
	COMMAND(d, 0x08);
	EXPECT(d, 0x20, 0);
	assert_int_equal(rd(d, 1, 0, 1), 0x80);
	COMMAND(d, 0x04, 4);
	EXPECT(d, 0x3c);
	seek(m, d, 1);
	assert_int_equal(rd(d, 1, 0, 1), 0);
	COMMAND(d, 0x04, 0);
	EXPECT(d, 0x28);
	COMMAND(d, 0xcf, 0, 10); /* relative, in */
	save_and_load(d);
	run(m, d);
	COMMAND(d, 0x08);
	EXPECT(d, 0x20, 11);
	COMMAND(d, 0x8f, 4, 3); /* and out */
	run(m, d);
	COMMAND(d, 0x08);
	EXPECT(d, 0x24, 8);
	seek(m, d, 82);
	COMMAND(d, 0x07, 0); /* 79 steps do not do */
	run(m, d);
	COMMAND(d, 0x08);
	EXPECT(d, 0x70, 0);
	COMMAND(d, 0x07, 0);
	run(m, d);
	COMMAND(d, 0x08);
	EXPECT(d, 0x20, 0);
	COMMAND(d, 0x07, 1); /* there is no such drive */
	COMMAND(d, 0x0f, 0, 5);
	assert_int_equal(msr(d), RQM | 3);
	run(m, d);
	COMMAND(d, 0x08);
	EXPECT(d, 0x71, 0);
	run(m, d);
	COMMAND(d, 0x08);
	EXPECT(d, 0x20, 5);
}

/* ---- reading ---- */

static void test_read(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m);

	seek(m, d, 3);
	dma(m, 2 * SECTOR);
	COMMAND(d, 0x46, 0, 3, 0, 2, 2, SPT, 0x1b, 0xff);
	assert_int_equal(msr(d), BUSY);
	fake_env_advance(&m->f, d, 50000);
	save_and_load(d); /* while the disk turns */
	run(m, d);
	assert_int_equal(msr(d), RQM | DIO | BUSY);
	save_and_load(d);
	EXPECT(d, 0x00, 0, 0, 3, 0, 4, 2);
	assert_false(m->f.irq[0]);
	assert_int_equal(m->dma.requests, 2);
	assert_int_equal(m->f.ram[0], tag_of(3, 0, 2));
	assert_int_equal(m->f.ram[SECTOR + 511], tag_of(3, 0, 3));
	assert_int_equal(m->f.ram[2 * SECTOR], 0xee);
	dma(m, 100); /* part of a sector */
	COMMAND(d, 0x46, 4, 3, 1, 1, 2, SPT, 0x1b, 0xff);
	run(m, d);
	EXPECT(d, 0x04, 0, 0, 3, 1, 2, 2);
	assert_int_equal(m->f.ram[99], tag_of(3, 1, 1));
	assert_int_equal(m->f.ram[100], 0xee);
}

/* A command on sectors from c, h, r on, and what comes of it. */
struct transfer {
	uint8_t code, h, r, eot, n; /* n: sectors that DMA takes, or that are to be verified */
	uint8_t st0, st1, c2, h2, r2;
};

static void try_transfer(struct fake_machine *m, struct dev *d, const struct transfer *t,
			 uint8_t second, uint8_t c, uint8_t last)
{
	COMMAND(d, t->code, second, c, t->h, t->r, 2, t->eot, 0x1b, last);
	run(m, d);
	EXPECT(d, t->st0, t->st1, 0, t->c2, t->h2, t->r2, 2);
}

/* Table 5-6: the ID in the result phase. */
static void test_result_ids(void **state)
{
	static const struct transfer t[] = {
		{ 0x46, 0, 1, 9, 3, 0x00, 0x00, 3, 0, 4 },
		{ 0x46, 0, 8, 9, 2, 0x00, 0x00, 4, 0, 1 },
		{ 0x46, 1, 8, 9, 2, 0x04, 0x00, 4, 1, 1 },
		{ 0xc6, 0, 8, 9, 1, 0x00, 0x00, 3, 0, 9 },
		{ 0xc6, 0, 8, 9, 2, 0x04, 0x00, 3, 1, 1 },
		{ 0xc6, 0, 8, 9, 4, 0x04, 0x00, 3, 1, 3 },
		{ 0xc6, 1, 8, 9, 2, 0x04, 0x00, 4, 0, 1 },
		/* more than there is: the end of the cylinder */
		{ 0x46, 0, 8, 9, 5, 0x40, 0x80, 4, 0, 1 },
		{ 0xc6, 0, 8, 9, 99, 0x44, 0x80, 4, 0, 1 },
		{ 0x46, 0, 8, 12, 99, 0x40, 0x04, 3, 0, 10 },
	};
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m);

	seek(m, d, 3);
	for (size_t i = 0; i < HV_ARRAY_LEN(t); i++) {
		dma(m, t[i].n * SECTOR);
		try_transfer(m, d, &t[i], (uint8_t)(t[i].h << 2), 3, 0xff);
		assert_int_equal(m->f.ram[0], tag_of(3, t[i].h, t[i].r));
	}
	/* The second sector of the multi-track ones was on the other side. */
	dma(m, 2 * SECTOR);
	COMMAND(d, 0xc6, 0, 3, 0, 9, 2, 9, 0x1b, 0xff);
	run(m, d);
	EXPECT(d, 4, 0, 0, 3, 1, 2, 2);
	assert_int_equal(m->f.ram[SECTOR], tag_of(3, 1, 1));
}

static void read_fails(struct fake_machine *m, struct dev *d, uint8_t st0, uint8_t st1, uint8_t st2)
{
	dma(m, SECTOR);
	COMMAND(d, 0x46, 0, 0, 0, 1, 2, SPT, 0x1b, 0xff);
	run(m, d);
	EXPECT(d, st0, st1, st2, 0, 0, 1, 2);
	assert_int_equal(m->f.ram[0], 0xee);
}

static void test_read_errors(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m);

	m->f.floppy.fail = -EIO;
	read_fails(m, d, 0x40, 0x20, 0x20);
	m->f.floppy.fail = 0;
	wr(d, 1, 0, 1, FLOPPY_500K); /* not the disk's rate */
	read_fails(m, d, 0x40, 0x01, 0);
	wr(d, 1, 0, 1, FLOPPY_250K);
	wr(d, 0, DOR, 1, 0x0c); /* it does not turn */
	read_fails(m, d, 0x40, 0x01, 0);
	wr(d, 0, DOR, 1, 0x2d); /* the other drive */
	read_fails(m, d, 0x40, 0x01, 0);
	wr(d, 0, DOR, 1, RUN_A & ~8u); /* neither DMA nor interrupt */
	dma(m, SECTOR);
	COMMAND(d, 0x46, 0, 0, 0, 1, 2, SPT, 0x1b, 0xff);
	fake_env_run_until(&m->f, d, m->f.now_ns + 200000, 100);
	fake_env_advance(&m->f, d, 10000);
	EXPECT(d, 0x40, 0x10, 0, 0, 0, 1, 2);
	wr(d, 0, DOR, 1, RUN_A);
	COMMAND(d, 0x06, 0, 0, 0, 1, 2, SPT, 0x1b, 0xff); /* FM */
	run(m, d);
	EXPECT(d, 0x40, 0x01, 0, 0, 0, 1, 2);
	COMMAND(d, 0x46, 0, 0, 0, 10, 2, SPT, 0x1b, 0xff); /* no such sector */
	run(m, d);
	EXPECT(d, 0x40, 0x04, 0, 0, 0, 10, 2);
	COMMAND(d, 0x46, 0, 0, 0, 1, 3, SPT, 0x1b, 0xff); /* none of that size */
	run(m, d);
	EXPECT(d, 0x40, 0x04, 0, 0, 0, 1, 3);
	COMMAND(d, 0x46, 4, 0, 0, 1, 2, SPT, 0x1b, 0xff); /* not its head */
	run(m, d);
	EXPECT(d, 0x44, 0x04, 0, 0, 0, 1, 2);
	COMMAND(d, 0x46, 0, 80, 0, 1, 2, SPT, 0x1b, 0xff); /* no such cylinder */
	run(m, d);
	EXPECT(d, 0x40, 0x04, 0x10, 80, 0, 1, 2);
	m->dma.limit = 0;
	COMMAND(d, 0x46, 0, 0, 0, 1, 2, SPT, 0x1b, 0xff);
	run(m, d);
	EXPECT(d, 0x40, 0x10, 0, 0, 0, 1, 2);
}

static void test_implied_seek(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m);

	COMMAND(d, 0x13, 0, 0x60, 0);
	dma(m, SECTOR);
	COMMAND(d, 0x46, 0, 40, 0, 1, 2, SPT, 0x1b, 0xff);
	run(m, d);
	EXPECT(d, 0x20, 0, 0, 40, 0, 2, 2);
	assert_int_equal(m->f.ram[0], tag_of(40, 0, 1));
	assert_int_equal(rd(d, 1, 0, 1), 0); /* there was a step */
	COMMAND(d, 0x0e);
	EXPECT(d, 40, 0, 0, 0, 0, 0, SPT, 0, 0x60, 0);
	COMMAND(d, 0x46, 0, 81, 0, 1, 2, SPT, 0x1b, 0xff); /* goes there, and hears nothing */
	run(m, d);
	EXPECT(d, 0x60, 0x01, 0, 81, 0, 1, 2);
}

static void test_read_id(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m);
	uint8_t r[7];

	seek(m, d, 7);
	COMMAND(d, 0x4a, 4);
	run(m, d);
	for (unsigned i = 0; i < 7; i++)
		r[i] = (uint8_t)rd(d, 0, FIFO, 1);
	assert_memory_equal(r, ((uint8_t[]){ 0x04, 0, 0, 7, 1 }), 5);
	assert_in_range(r[5], 1, SPT);
	assert_int_equal(r[6], 2);
	wr(d, 1, 0, 1, FLOPPY_1M);
	COMMAND(d, 0x4a, 0);
	run(m, d);
	EXPECT(d, 0x40, 0x01, 0, 0, 0, 0, 2);
}

static void test_deleted(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m);

	dma(m, 3 * SECTOR);
	COMMAND(d, 0x4c, 0, 0, 0, 2, 2, SPT, 0x1b, 0xff); /* an ordinary one: this, no more */
	run(m, d);
	EXPECT(d, 0x00, 0, 0x40, 0, 0, 2, 2);
	assert_int_equal(m->f.ram[0], tag_of(0, 0, 2));
	assert_int_equal(m->f.ram[SECTOR], 0xee);
	dma(m, 3 * SECTOR);
	COMMAND(d, 0x6c, 0, 0, 0, 2, 2, SPT, 0x1b, 0xff); /* skipped, all of them */
	run(m, d);
	EXPECT(d, 0x40, 0x80, 0, 1, 0, 1, 2);
	assert_int_equal(m->f.ram[0], 0xee);
}

static void test_read_track(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m);

	dma(m, 4 * SECTOR);
	COMMAND(d, 0x42, 4, 0, 1, 1, 2, 4, 0x1b, 0xff);
	run(m, d);
	EXPECT(d, 0x04, 0, 0, 1, 1, 1, 2);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(m->f.ram[i * SECTOR], tag_of(0, 1, i + 1));
	dma(m, 2 * SECTOR);
	COMMAND(d, 0x42, 0, 0, 1, 1, 2, 4, 0x1b, 0xff); /* IDs that are not there: read, and told */
	run(m, d);
	EXPECT(d, 0x40, 0x04, 0, 0, 1, 3, 2);
	assert_int_equal(m->f.ram[SECTOR], tag_of(0, 0, 2));
	dma(m, 9 * SECTOR);
	COMMAND(d, 0x42, 0, 0, 0, 1, 2, 2, 0x1b, 0xff);
	run(m, d);
	EXPECT(d, 0x40, 0x80, 0, 1, 0, 1, 2);
	COMMAND(d, 0x42, 0, 0, 0, 1, 2, 0, 0x1b, 0xff);
	run(m, d);
	assert_int_equal(rd(d, 0, FIFO, 1) & 0xc0, 0x40);
}

/* ---- without DMA ---- */

static void test_pio_read(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m);

	COMMAND(d, 0x03, 0xaf, 0x03);
	COMMAND(d, 0x46, 0, 0, 0, 8, 2, SPT, 0x1b, 0xff);
	assert_int_equal(msr(d), BUSY | NDM | DIO);
	for (unsigned s = 8; s <= 9; s++) {
		run(m, d);
		for (unsigned i = 0; i < SECTOR; i++) {
			const unsigned rises = m->f.irq_rises[0];
			assert_int_equal(msr(d), RQM | DIO | NDM | BUSY);
			assert_int_equal(rd(d, 0, FIFO, 1), tag_of(0, 0, s));
			/* nobody says that it is enough: the cylinder's end follows at once */
			assert_int_equal(m->f.irq_rises[0] - rises, i < SECTOR - 1 || s == 9);
			if (i == 100) {
				save_and_load(d);
				assert_true(m->f.irq[0]);
			}
		}
		assert_int_equal(msr(d), s == 9 ? RQM | DIO | BUSY : BUSY | NDM | DIO);
	}
	EXPECT(d, 0x40, 0x80, 0, 1, 0, 1, 2);
	COMMAND(d, 0x13, 0, 0x07, 0); /* bursts of 8 */
	COMMAND(d, 0x46, 0, 0, 0, 9, 2, SPT, 0x1b, 0xff);
	run(m, d);
	const unsigned rises = m->f.irq_rises[0];
	for (unsigned i = 0; i < SECTOR; i++)
		(void)rd(d, 0, FIFO, 1);
	assert_int_equal(m->f.irq_rises[0] - rises, SECTOR / 8 - 1 + 1); /* the result's */
}

static void test_pio_write(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m);

	COMMAND(d, 0x03, 0xaf, 0x03);
	COMMAND(d, 0x45, 0, 0, 0, 5, 2, 5, 0x1b, 0xff);
	run(m, d);
	for (unsigned i = 0; i < SECTOR; i++) {
		assert_int_equal(msr(d), RQM | NDM | BUSY);
		wr(d, 0, FIFO, 1, i & 0xff);
		if (i == 300)
			save_and_load(d);
	}
	run(m, d);
	EXPECT(d, 0x40, 0x80, 0, 1, 0, 1, 2);
	for (unsigned i = 0; i < SECTOR; i++)
		assert_int_equal(m->f.floppy.data[4 * SECTOR + i], i & 0xff);
	assert_int_equal(m->f.floppy.data[5 * SECTOR], 6);
}

/* ---- writing ---- */

static void test_write(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m);

	dma(m, SECTOR + 16);
	m->f.ram[SECTOR + 15] = 0x5a;
	COMMAND(d, 0x45, 0, 1, 0, 1, 2, SPT, 0x1b, 0xff);
	run(m, d);
	EXPECT(d, 0x20, 0, 0, 1, 0, 3, 2);
	const uint8_t *p = m->f.floppy.data + 18 * SECTOR;
	assert_true(p[0] == 0xee && p[SECTOR - 1] == 0xee);
	assert_true(p[SECTOR + 15] == 0x5a && p[SECTOR + 16] == 0 && p[2 * SECTOR - 1] == 0);
	assert_int_equal(p[2 * SECTOR], 21);
	dma(m, SECTOR);
	COMMAND(d, 0x49, 0, 1, 0, 5, 2, SPT, 0x1b, 0xff); /* with a deleted mark */
	run(m, d);
	EXPECT(d, 0x00, 0, 0, 1, 0, 6, 2);
	assert_int_equal(p[4 * SECTOR], 0xee);
	m->f.floppy.blk.read_only = true;
	COMMAND(d, 0x45, 0, 1, 0, 7, 2, SPT, 0x1b, 0xff);
	run(m, d);
	EXPECT(d, 0x40, 0x02, 0, 1, 0, 7, 2);
	assert_int_equal(p[6 * SECTOR], 25);
	COMMAND(d, 0x04, 0);
	EXPECT(d, 0x68);
	m->f.floppy.blk.read_only = false;
	m->f.floppy.fail = -ENOSPC;
	COMMAND(d, 0x45, 0, 1, 0, 7, 2, SPT, 0x1b, 0xff);
	run(m, d);
	EXPECT(d, 0x40, 0x20, 0x20, 1, 0, 7, 2);
}

static void test_format(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m);

	seek(m, d, 2);
	dma(m, SPT * 4);
	for (unsigned i = 0; i < SPT; i++)
		memcpy(m->f.ram + 4 * i, ((uint8_t[]){ 2, 1, (uint8_t)(SPT - i), 2 }), 4);
	m->f.ram[2] = 33; /* no place for this one */
	COMMAND(d, 0x4d, 4, 2, SPT, 0x50, 0xf6);
	run(m, d);
	assert_int_equal(rd(d, 0, FIFO, 1), 0x04);
	for (unsigned i = 0; i < 6; i++)
		(void)rd(d, 0, FIFO, 1);
	const uint8_t *p = m->f.floppy.data + (2 * 2 + 1) * SPT * SECTOR;
	for (unsigned i = 0; i < SPT - 1; i++)
		assert_true(p[i * SECTOR] == 0xf6 && p[i * SECTOR + 511] == 0xf6);
	assert_int_equal(p[8 * SECTOR], tag_of(2, 1, 9));
	COMMAND(d, 0x0e);
	EXPECT(d, 2, 0, 0, 0, 0, 0, SPT, 0, 0x20, 0);
	m->f.floppy.blk.read_only = true;
	COMMAND(d, 0x4d, 4, 2, SPT, 0x50, 0xf6);
	run(m, d);
	assert_int_equal(rd(d, 0, FIFO, 1), 0x44);
	assert_int_equal(rd(d, 0, FIFO, 1), 0x02);
}

static void test_verify(void **state)
{
	static const struct transfer t[] = {
		{ 0x56, 0, 1, 9, 0xff, 0x00, 0x00, 1, 0, 1 },
		{ 0x56, 0, 1, 10, 0xff, 0x40, 0x04, 0, 0, 10 },
		{ 0x56, 0, 2, 9, 3, 0x00, 0x00, 0, 0, 5 },
		{ 0x56, 0, 2, 9, 20, 0x40, 0x80, 1, 0, 1 },
		{ 0xd6, 0, 1, 9, 0xff, 0x04, 0x00, 1, 0, 1 },
		{ 0xd6, 0, 5, 9, 7, 0x04, 0x00, 0, 1, 3 },
	};
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m);

	m->dma.requests = 0;
	for (size_t i = 0; i < HV_ARRAY_LEN(t); i++) /* to the end, or so many: EC is set */
		try_transfer(m, d, &t[i], t[i].n == 0xff ? 0x00 : 0x80, 0, t[i].n);
	assert_int_equal(m->dma.requests, 0);
	m->f.floppy.fail = -EIO;
	COMMAND(d, 0x56, 0, 0, 0, 1, 2, 9, 0x1b, 0xff);
	run(m, d);
	EXPECT(d, 0x40, 0x20, 0x20, 0, 0, 1, 2);
}

static void test_scan(void **state)
{
	static const struct {
		uint8_t code, host, st0, st1, st2, r2;
	} t[] = {
		/* sector 3 has threes; from sector 2 on, up to 5 */
		{ 0x51, 3, 0x00, 0x00, 0x08, 3 },    { 0x51, 9, 0x40, 0x80, 0x04, 1 },
		{ 0x59, 3, 0x00, 0x00, 0x00, 2 },    { 0x59, 1, 0x40, 0x80, 0x04, 1 },
		{ 0x5d, 4, 0x00, 0x00, 0x08, 4 },    { 0x5d, 1, 0x00, 0x00, 0x00, 2 },
		{ 0x51, 0xff, 0x00, 0x00, 0x08, 2 },
	};
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m);

	for (size_t i = 0; i < HV_ARRAY_LEN(t); i++) {
		dma(m, 10 * SECTOR);
		memset(m->f.ram, t[i].host, sizeof(m->f.ram));
		COMMAND(d, t[i].code, 0, 0, 0, 2, 2, 5, 0x1b, 1);
		run(m, d);
		EXPECT(d, t[i].st0, t[i].st1, t[i].st2, t[i].st0 ? 1 : 0, 0, t[i].r2, 2);
	}
	/* Every other sector: 2 and 4, not 3. */
	memset(m->f.ram, 3, sizeof(m->f.ram));
	dma(m, 10 * SECTOR);
	memset(m->f.ram, 3, sizeof(m->f.ram));
	COMMAND(d, 0x51, 0, 0, 0, 2, 2, 5, 0x1b, 2);
	run(m, d);
	assert_int_equal(rd(d, 0, FIFO, 1), 0x40);
}

/* ---- disks ---- */

static void test_change(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m);
	struct blk other = m->f.floppy.blk;

	seek(m, d, 1);
	assert_int_equal(rd(d, 1, 0, 1), 0);
	dm_fdc_media.change(d, 0, NULL);
	assert_int_equal(rd(d, 1, 0, 1), 0x80);
	seek(m, d, 0); /* steps do not help while it is empty */
	assert_int_equal(rd(d, 1, 0, 1), 0x80);
	read_fails(m, d, 0x40, 0x01, 0);
	other.bytes = 360 * 1024; /* 5.25 inch */
	dm_fdc_media.change(d, 0, &other);
	read_fails(m, d, 0x40, 0x01, 0);
	dm_fdc_media.change(d, 0, &m->f.floppy.blk);
	assert_int_equal(rd(d, 1, 0, 1), 0x80);
	seek(m, d, 3);
	assert_int_equal(rd(d, 1, 0, 1), 0);
	/* Pulled out while it is read: the command ends, what comes late is not heeded. */
	dma(m, SECTOR);
	COMMAND(d, 0x46, 0, 3, 0, 1, 2, SPT, 0x1b, 0xff);
	fake_env_advance(&m->f, d, 100000);
	assert_non_null(m->f.floppy.head);
	dm_fdc_media.change(d, 0, NULL);
	EXPECT(d, 0x40, 0x01, 0, 3, 0, 1, 2);
	dm_fdc_media.change(d, 0, &m->f.floppy.blk);
	COMMAND(d, 0x46, 0, 3, 0, 2, 2, SPT, 0x1b, 0xff);
	for (unsigned i = 0; i < 100; i++)
		fake_env_advance(&m->f, d, 10000);
	EXPECT(d, 0, 0, 0, 3, 0, 3, 2);
	assert_int_equal(m->f.ram[0], tag_of(3, 0, 2));
}

/* A request that was given up by a reset is under way still when the next one is wanted. */
static void test_given_up(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m);
	struct err e;

	m->f.floppy.delay_ns = 1000000;
	COMMAND(d, 0x46, 0, 0, 0, 1, 2, SPT, 0x1b, 0xff);
	fake_env_advance(&m->f, d, 100000);
	assert_non_null(m->f.floppy.head);
	wr(d, 0, MSR, 1, 0x80 | FLOPPY_250K);
	dma(m, SECTOR);
	COMMAND(d, 0x46, 0, 0, 0, 2, 2, SPT, 0x1b, 0xff);
	fake_env_advance(&m->f, d, 100000);
	assert_int_equal(msr(d), BUSY);
	assert_int_equal(d->cls->quiesce(d, &e), 0); /* both end */
	assert_null(m->f.floppy.head);
	save_and_load(d);
	EXPECT(d, 0, 0, 0, 0, 0, 3, 2);
	assert_int_equal(m->f.ram[0], tag_of(0, 0, 2));
}

/* 40 tracks in a drive with 80. */
static void test_double_step(void **state)
{
	struct fake_machine *m = *state;

	m->f.floppy.blk.bytes = 360 * 1024;
	auto_dev struct dev *d = start_with(m, "drive0=2", FLOPPY_300K); /* it turns faster */
	seek(m, d, 20);
	dma(m, SECTOR);
	COMMAND(d, 0x46, 4, 10, 1, 9, 2, SPT, 0x1b, 0xff);
	run(m, d);
	EXPECT(d, 0x04, 0, 0, 11, 1, 1, 2);
	assert_int_equal(m->f.ram[0], tag_of(10, 1, 9));
}

/* Commands that might be right, in any order, with a disk that comes and goes and states in
 * between: the fake disk and the device's own asserts judge. */
static void test_random(void **state)
{
	static const uint8_t codes[] = { 0x46, 0xc6, 0x45, 0xc5, 0x66, 0x4c, 0x6c, 0x49, 0x42,
					 0x56, 0xd6, 0x51, 0x59, 0xdd, 0x4d, 0x4a, 0x07, 0x0f,
					 0x8f, 0xcf, 0x08, 0x03, 0x13, 0x12, 0x04, 0x0e, 0x94 };
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m);
	uint64_t x = 88172645463325252u;

	for (unsigned i = 0; i < 300000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		const uint8_t v = (uint8_t)(x >> 32);
		if ((x & 0xfff) == 0)
			dm_fdc_media.change(d, 0, v & 1 ? &m->f.floppy.blk : NULL);
		else if ((x & 0xfff) == 1)
			wr(d, 0, DOR, 1, v & 1 ? RUN_A : v);
		else if ((x & 0xfff) == 2)
			wr(d, 1, 0, 1, v & 1 ? FLOPPY_250K : v);
		else if ((x & 0xfff) == 3)
			dma(m, v * 64u);
		else if ((x & 0xfff) == 4)
			m->f.floppy.fail = v & 3 ? 0 : -EIO;
		else if ((x & 0xfff) == 5)
			m->f.floppy.blk.read_only = !(v & 3);
		else if ((x & 0x1ff) == 6 && d->cls->quiesce(d, NULL) == 0)
			save_and_load(d);
		else if (msr(d) == (RQM | DIO | BUSY) || (msr(d) & (NDM | DIO)) == (NDM | DIO))
			(void)rd(d, 0, FIFO, 1);
		else if (msr(d) & RQM && (msr(d) & (BUSY | NDM)) == 0)
			wr(d, 0, FIFO, 1, codes[v % sizeof(codes)]);
		else if (msr(d) & RQM)
			wr(d, 0, FIFO, 1, v & 3 ? v >> 2 & 15 : v >> 2 == 1 ? 2 : v);
		fake_env_advance(&m->f, d, v & 1 ? 50000 : 100);
		assert_true(m->f.n_posts < FAKE_MAX_POSTS);
	}
}

static void test_formats(void **state)
{
	(void)state;
	for (unsigned kib = 0; kib < 4096; kib++) {
		const struct floppy_format *f = floppy_format_of(kib * 1024u);
		if (f == NULL)
			continue;
		assert_int_equal(f->cylinders * f->heads * f->sectors, kib * 2);
		assert_true(floppy_fits(floppy_drive_for(f), f));
		assert_null(floppy_format_of(kib * 1024u + 512));
		assert_false(floppy_fits(FLOPPY_DRIVE_1200K, f) &&
			     floppy_fits(FLOPPY_DRIVE_2880K, f));
	}
	assert_int_equal(floppy_disk_bytes(512), 720 * 1024);
	assert_int_equal(floppy_disk_bytes(1228800), 1228800);
	assert_int_equal(floppy_disk_bytes(1228800 + 512), 1440 * 1024);
	assert_int_equal(floppy_disk_bytes(2880 * 1024 + 512), 0);
	assert_string_equal(floppy_drive_name(floppy_drive_for(NULL)), "1.44M");
	assert_string_equal(floppy_drive_name(floppy_drive_for(floppy_format_of(1228800))), "1.2M");
	assert_string_equal(floppy_drive_name(floppy_drive_for(floppy_format_of(1720320))),
			    "2.88M");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_registers),	DEVICE_TEST(test_reset),
		DEVICE_TEST(test_seek),		DEVICE_TEST(test_read),
		DEVICE_TEST(test_result_ids),	DEVICE_TEST(test_read_errors),
		DEVICE_TEST(test_implied_seek), DEVICE_TEST(test_read_id),
		DEVICE_TEST(test_deleted),	DEVICE_TEST(test_read_track),
		DEVICE_TEST(test_pio_read),	DEVICE_TEST(test_pio_write),
		DEVICE_TEST(test_write),	DEVICE_TEST(test_format),
		DEVICE_TEST(test_verify),	DEVICE_TEST(test_scan),
		DEVICE_TEST(test_change),	DEVICE_TEST(test_given_up),
		DEVICE_TEST(test_double_step),	DEVICE_TEST(test_formats),
		DEVICE_TEST(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
