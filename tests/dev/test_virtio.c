/* Virtio: transport, rings good and hostile, the disk and the entropy device. */
#include "devtest.h"
#include "devmodel/virtio/virtio_blk.h"
#include "devmodel/virtio/virtio_rng.h"

#define DESC 0x1000u
#define AVAIL 0x2000u
#define USED 0x3000u
#define INDIRECT 0x3800u
#define HEADER 0x4000u
#define STATUS 0x4100u
#define DATA 0x8000u
#define QSIZE 16u
enum { NEXT = 1, WRITE = 2, INDIR = 4 };
enum { COMMON = 0, ISR = 0x1000, CONFIG = 0x2000, NOTIFY = 0x3000 };
enum { OK = 0, IOERR = 1, UNSUPP = 2 };

MACHINE_SETUP

static void bar(struct dev *d, unsigned off, unsigned size, uint64_t v)
{
	wr(d, VIO_REGION_BAR, off, size, v);
}

static uint32_t barr(struct dev *d, unsigned off, unsigned size)
{
	return (uint32_t)rd(d, VIO_REGION_BAR, off, size);
}

static uint8_t status(struct dev *d)
{
	return (uint8_t)barr(d, 0x14, 1);
}

static void guest16(struct fake_machine *m, unsigned at, uint16_t v)
{
	memcpy(m->f.ram + at, &v, 2);
}

static uint16_t guest_read16(struct fake_machine *m, unsigned at)
{
	uint16_t v;

	memcpy(&v, m->f.ram + at, 2);
	return v;
}

static void put_desc(struct fake_machine *m, unsigned table, unsigned i, uint64_t addr,
		     uint32_t len, uint16_t flags, uint16_t next)
{
	uint8_t *p = m->f.ram + table + 16 * i;

	memcpy(p, &addr, 8);
	memcpy(p + 8, &len, 4);
	memcpy(p + 12, &flags, 2);
	memcpy(p + 14, &next, 2);
}

/* Adds a chain's head to the available ring and kicks. */
static void offer(struct fake_machine *m, struct dev *d, uint16_t head)
{
	const uint16_t idx = guest_read16(m, AVAIL + 2);

	guest16(m, AVAIL + 4 + 2 * (idx % QSIZE), head);
	guest16(m, AVAIL + 2, idx + 1);
	bar(d, NOTIFY, 2, 0);
}

static void accept_features(struct dev *d, uint64_t features)
{
	for (unsigned i = 0; i < 2; i++) {
		bar(d, 0x08, 4, i);
		bar(d, 0x0c, 4, (uint32_t)(features >> 32 * i));
	}
}

static void bring_up(struct dev *d, uint64_t features, bool msix)
{
	wr(d, PCI_REGION_CFG, PCI_COMMAND, 2, PCI_CMD_MEM | PCI_CMD_MASTER);
	bar(d, 0x14, 1, 1);
	bar(d, 0x14, 1, 3);
	accept_features(d, features);
	bar(d, 0x14, 1, 11);
	assert_int_equal(status(d), 11);
	if (msix) {
		const struct pci_dev *p = (struct pci_dev *)d;
		wr(d, PCI_REGION_MSIX, 16, 4, 0xfee00000);
		wr(d, PCI_REGION_MSIX, 24, 4, 0x41);
		wr(d, PCI_REGION_MSIX, 28, 4, 0);
		wr(d, PCI_REGION_CFG, p->msix_cap + 2u, 2, 0x8000);
		bar(d, 0x1a, 2, 1);
		assert_int_equal(barr(d, 0x1a, 2), 1);
	}
	bar(d, 0x18, 2, QSIZE);
	bar(d, 0x20, 4, DESC);
	bar(d, 0x28, 4, AVAIL);
	bar(d, 0x30, 4, USED);
	bar(d, 0x1c, 2, 1);
	bar(d, 0x14, 1, 15);
	assert_int_equal(status(d), 15);
}

static struct dev *start(struct fake_machine *m, const struct vio_class *c, uint64_t features,
			 bool msix)
{
	struct dev *d = make(m, &c->pci.base);

	bring_up(d, features, msix);
	return d;
}

static void settle(struct fake_machine *m, struct dev *d)
{
	for (unsigned i = 0; i < 8; i++)
		fake_env_advance(&m->f, d, 10000);
}

/* ---- transport ---- */

static void test_features(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = make(m, &dm_virtio_rng.pci.base);

	assert_int_equal(rd(d, PCI_REGION_CFG, 0, 4), 0x10441af4);
	bar(d, 0x14, 1, 3);
	accept_features(d, VIO_F_INDIRECT); /* not VERSION_1 */
	bar(d, 0x14, 1, 11);
	assert_int_equal(status(d), 3);
	accept_features(d, VIO_F_VERSION_1 | 1ull << 40); /* not offered */
	bar(d, 0x14, 1, 11);
	assert_int_equal(status(d), 3);
	accept_features(d, VIO_F_VERSION_1);
	bar(d, 0x14, 1, 11);
	assert_int_equal(status(d), 11);
	bar(d, 0x18, 2, 100); /* not a power of two */
	assert_int_equal(barr(d, 0x18, 2), VIO_QUEUE_SIZE_MAX);
	bar(d, 0x20, 4, DESC + 1);
	bar(d, 0x1c, 2, 1); /* not aligned */
	assert_true(status(d) & VIO_STATUS_NEEDS_RESET);
	bar(d, 0x14, 1, 0);
	assert_int_equal(status(d), 0);
	dev_destroy(d);
}

static void test_window(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = make(m, &dm_virtio_rng.pci.base);
	const unsigned cap = PCI_CAP_FIRST;

	assert_int_equal(rd(d, PCI_REGION_CFG, PCI_CAP_PTR, 1), cap);
	wr(d, PCI_REGION_CFG, cap + 4, 1, 4);
	wr(d, PCI_REGION_CFG, cap + 8, 4, 0x14);
	wr(d, PCI_REGION_CFG, cap + 12, 4, 1);
	wr(d, PCI_REGION_CFG, cap + 16, 1, 1);
	assert_int_equal(status(d), 1);
	assert_int_equal(rd(d, PCI_REGION_CFG, cap + 16, 1), 1);
	wr(d, PCI_REGION_CFG, cap + 8, 4, 0xfffffffc); /* beyond the BAR: nothing happens */
	wr(d, PCI_REGION_CFG, cap + 16, 1, 3);
	assert_int_equal(status(d), 1);
	dev_destroy(d);
}

/* ---- entropy ---- */

static void test_rng(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = start(m, &dm_virtio_rng, VIO_F_VERSION_1, false);

	put_desc(m, DESC, 3, DATA, 100, WRITE, 0);
	offer(m, d, 3);
	assert_int_equal(guest_read16(m, USED + 2), 1);
	assert_int_equal(guest_read16(m, USED + 4), 3);
	assert_int_equal(guest_read16(m, USED + 8), 100);
	assert_int_equal(m->f.ram[DATA + 99], 0x5a);
	assert_int_equal(m->f.ram[DATA + 100], 0);
	assert_true(m->f.irq[0]);
	assert_int_equal(barr(d, ISR, 1), 1);
	assert_false(m->f.irq[0]);
	guest16(m, AVAIL, 1); /* no interrupts, please */
	offer(m, d, 3);
	assert_int_equal(guest_read16(m, USED + 2), 2);
	assert_false(m->f.irq[0]);
	dev_destroy(d);
}

static void test_event_idx(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = start(m, &dm_virtio_rng, VIO_F_VERSION_1 | VIO_F_EVENT_IDX, true);

	put_desc(m, DESC, 0, DATA, 16, WRITE, 0);
	guest16(m, AVAIL + 4 + 2 * QSIZE, 2); /* tell me after the third */
	offer(m, d, 0);
	offer(m, d, 0);
	assert_int_equal(m->f.n_msi, 0);
	offer(m, d, 0);
	assert_int_equal(m->f.n_msi, 1);
	assert_int_equal(m->f.msi[0].addr, 0xfee00000);
	assert_int_equal(m->f.msi[0].data, 0x41);
	assert_int_equal(guest_read16(m, USED + 4 + 8 * QSIZE), 3); /* kick me from there */
	dev_destroy(d);
}

/* A masked vector waits. */
static void test_msix_mask(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = start(m, &dm_virtio_rng, VIO_F_VERSION_1, true);

	wr(d, PCI_REGION_MSIX, 28, 4, 1);
	put_desc(m, DESC, 0, DATA, 16, WRITE, 0);
	offer(m, d, 0);
	assert_int_equal(m->f.n_msi, 0);
	assert_int_equal(rd(d, PCI_REGION_MSIX, PCI_MSIX_PBA_OFF, 4), 2);
	save_and_load(d);
	wr(d, PCI_REGION_MSIX, 28, 4, 0);
	assert_int_equal(m->f.n_msi, 1);
	assert_int_equal(rd(d, PCI_REGION_MSIX, PCI_MSIX_PBA_OFF, 4), 0);
	dev_destroy(d);
}

/* ---- disk ---- */

static void put_header(struct fake_machine *m, uint32_t type, uint64_t sector)
{
	memset(m->f.ram + HEADER, 0, 16);
	memcpy(m->f.ram + HEADER, &type, 4);
	memcpy(m->f.ram + HEADER + 8, &sector, 8);
	m->f.ram[STATUS] = 0xff;
}

/* Header, data (in two pieces), status. */
static uint8_t disk(struct fake_machine *m, struct dev *d, uint32_t type, uint64_t sector,
		    uint32_t bytes, bool in)
{
	const uint16_t w = in ? WRITE : 0;
	unsigned n = 1;

	put_header(m, type, sector);
	put_desc(m, DESC, 0, HEADER, 16, NEXT, 1);
	if (bytes > 1) {
		put_desc(m, DESC, n, DATA, bytes / 2, (uint16_t)(NEXT | w), (uint16_t)(n + 1));
		n++;
		put_desc(m, DESC, n, DATA + bytes / 2, bytes - bytes / 2, (uint16_t)(NEXT | w),
			 (uint16_t)(n + 1));
		n++;
	}
	put_desc(m, DESC, n, STATUS, 1, WRITE, 0);
	offer(m, d, 0);
	settle(m, d);
	return m->f.ram[STATUS];
}

static void test_disk(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = start(m, &dm_virtio_blk, VIO_F_VERSION_1, true);

	assert_int_equal(barr(d, CONFIG, 4), FAKE_BLK_BYTES / 512);
	for (unsigned i = 0; i < 2048; i++)
		m->f.ram[DATA + i] = (uint8_t)(i * 7);
	assert_int_equal(disk(m, d, 1, 3, 2048, false), OK);
	for (unsigned i = 0; i < 2048; i++)
		assert_int_equal(m->f.blk.data[3 * 512 + i], (uint8_t)(i * 7));
	assert_int_equal(m->f.n_msi, 1);
	memset(m->f.ram + DATA, 0, 2048);
	assert_int_equal(disk(m, d, 0, 4, 1024, true), OK);
	assert_memory_equal(m->f.ram + DATA, m->f.blk.data + 4 * 512, 1024);
	assert_int_equal(guest_read16(m, USED + 4 + 8 + 4), 1025); /* bytes written */
	assert_int_equal(disk(m, d, 4, 0, 0, false), OK);
	assert_int_equal(m->f.blk.flushes, 1);
	assert_int_equal(disk(m, d, 8, 0, 20, true), OK);
	assert_string_equal((char *)m->f.ram + DATA, "fake");
	assert_int_equal(disk(m, d, 77, 0, 512, true), UNSUPP);
	dev_destroy(d);
}

static void test_disk_ranges(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = start(m, &dm_virtio_blk, VIO_F_VERSION_1, true);
	const uint64_t last = FAKE_BLK_BYTES / 512 - 1;
	struct {
		uint64_t sector;
		uint32_t n, flags;
	} r = { 2, 3, 0 };

	assert_int_equal(disk(m, d, 0, last, 512, true), OK);
	assert_int_equal(disk(m, d, 0, last, 1024, true), IOERR);
	assert_int_equal(disk(m, d, 0, last + 1, 512, true), IOERR);
	assert_int_equal(disk(m, d, 0, UINT64_MAX, 512, true), IOERR);
	assert_int_equal(disk(m, d, 0, UINT64_MAX / 512 + 1, 512, true), IOERR);
	assert_int_equal(disk(m, d, 0, 0, 500, true), IOERR);
	assert_int_equal(disk(m, d, 0, 0, 0, true), IOERR);
	memset(m->f.blk.data, 0xee, 8 * 512);
	memcpy(m->f.ram + DATA, &r, 16);
	assert_int_equal(disk(m, d, 13, 0, 16, false), OK);
	assert_int_equal(m->f.blk.data[2 * 512 - 1], 0xee);
	assert_int_equal(m->f.blk.data[2 * 512], 0);
	assert_int_equal(m->f.blk.data[5 * 512], 0xee);
	r.sector = last;
	memcpy(m->f.ram + DATA, &r, 16);
	assert_int_equal(disk(m, d, 11, 0, 16, false), IOERR);
	r.flags = 2;
	memcpy(m->f.ram + DATA, &r, 16);
	assert_int_equal(disk(m, d, 13, 0, 16, false), UNSUPP);
	assert_int_equal(disk(m, d, 11, 0, 32, false), IOERR);
	m->f.blk.fail = -EIO;
	assert_int_equal(disk(m, d, 0, 0, 512, true), IOERR);
	assert_false(status(d) & VIO_STATUS_NEEDS_RESET);
	dev_destroy(d);
}

static void test_read_only(void **state)
{
	struct fake_machine *m = *state;

	m->f.blk.blk.read_only = true;
	struct dev *d = start(m, &dm_virtio_blk, VIO_F_VERSION_1 | 1ull << 5, true);
	assert_int_equal(disk(m, d, 1, 0, 512, false), IOERR);
	assert_int_equal(disk(m, d, 13, 0, 16, false), IOERR);
	assert_int_equal(disk(m, d, 0, 0, 512, true), OK);
	dev_destroy(d);
}

static void test_indirect(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = start(m, &dm_virtio_blk, VIO_F_VERSION_1 | VIO_F_INDIRECT, true);

	memset(m->f.blk.data + 512, 0x77, 512);
	put_header(m, 0, 1);
	put_desc(m, INDIRECT, 0, HEADER, 16, NEXT, 1);
	put_desc(m, INDIRECT, 1, DATA, 512, NEXT | WRITE, 2);
	put_desc(m, INDIRECT, 2, STATUS, 1, WRITE, 0);
	put_desc(m, DESC, 5, INDIRECT, 48, INDIR, 0);
	offer(m, d, 5);
	settle(m, d);
	assert_int_equal(m->f.ram[STATUS], OK);
	assert_int_equal(m->f.ram[DATA + 511], 0x77);
	assert_int_equal(guest_read16(m, USED + 4), 5);
	dev_destroy(d);
}

/* The driver resets the device while a request is under way: it reads as not done until the host
 * does not touch the guest's memory any more, and the old ring is left alone. */
static void test_reset_under_way(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = start(m, &dm_virtio_blk, VIO_F_VERSION_1, true);

	m->f.blk.delay_ns = 1000000;
	put_header(m, 0, 0);
	put_desc(m, DESC, 0, HEADER, 16, NEXT, 1);
	put_desc(m, DESC, 1, DATA, 512, NEXT | WRITE, 2);
	put_desc(m, DESC, 2, STATUS, 1, WRITE, 0);
	offer(m, d, 0);
	bar(d, 0x14, 1, 0);
	assert_int_not_equal(status(d), 0);
	fake_env_advance(&m->f, d, 2000000);
	assert_int_equal(status(d), 0);
	assert_int_equal(guest_read16(m, USED + 2), 0);
	assert_int_equal(m->f.ram[STATUS], 0xff);
	dev_destroy(d);
}

/* The machine is reset meanwhile: the request of old does not show up in the new ring. */
static void test_machine_reset(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = start(m, &dm_virtio_blk, VIO_F_VERSION_1, true);

	m->f.blk.delay_ns = 1000000;
	put_header(m, 0, 0);
	put_desc(m, DESC, 0, HEADER, 16, NEXT, 1);
	put_desc(m, DESC, 1, DATA, 512, NEXT | WRITE, 2);
	put_desc(m, DESC, 2, STATUS, 1, WRITE, 0);
	offer(m, d, 0);
	d->cls->reset(d);
	guest16(m, AVAIL + 2, 0);
	bring_up(d, VIO_F_VERSION_1, true);
	fake_env_advance(&m->f, d, 2000000);
	assert_int_equal(guest_read16(m, USED + 2), 0);
	assert_int_equal(m->f.ram[STATUS], 0xff);
	dev_destroy(d);
}

/* Saved with a request under way: quiesce ends it, the copy sees it answered. */
static void test_quiesce(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = start(m, &dm_virtio_blk, VIO_F_VERSION_1, true);
	struct err e;

	m->f.blk.delay_ns = 1000000;
	put_header(m, 4, 0);
	put_desc(m, DESC, 0, HEADER, 16, NEXT, 1);
	put_desc(m, DESC, 1, STATUS, 1, WRITE, 0);
	offer(m, d, 0);
	assert_int_equal(guest_read16(m, USED + 2), 0);
	assert_ok(d->cls->quiesce(d, &e), &e);
	assert_int_equal(guest_read16(m, USED + 2), 1);
	assert_int_equal(m->f.ram[STATUS], OK);
	offer(m, d, 0); /* nobody looks while it is quiet ... */
	settle(m, d);
	assert_int_equal(guest_read16(m, USED + 2), 1);
	save_and_load(d); /* ... until it is resumed */
	settle(m, d);
	m->f.now_ns += 2000000;
	settle(m, d);
	assert_int_equal(guest_read16(m, USED + 2), 2);
	dev_destroy(d);
}

/* ---- hostile rings ---- */

static void bad_index(struct fake_machine *m)
{
	guest16(m, AVAIL + 4, QSIZE);
}

static void bad_jump(struct fake_machine *m)
{
	guest16(m, AVAIL + 2, QSIZE + 2);
}

static void bad_next(struct fake_machine *m)
{
	put_desc(m, DESC, 0, HEADER, 16, NEXT, QSIZE);
}

static void bad_loop(struct fake_machine *m)
{
	put_desc(m, DESC, 1, DATA, 512, NEXT | WRITE, 1);
}

static void bad_self(struct fake_machine *m)
{
	put_desc(m, DESC, 0, HEADER, 16, NEXT, 0);
}

static void bad_length(struct fake_machine *m)
{
	put_desc(m, DESC, 1, DATA, 0, NEXT | WRITE, 2);
}

static void bad_wrap(struct fake_machine *m)
{
	put_desc(m, DESC, 1, UINT64_MAX - 100, 512, NEXT | WRITE, 2);
}

static void bad_order(struct fake_machine *m)
{
	put_desc(m, DESC, 2, STATUS, 1, WRITE | NEXT, 3);
	put_desc(m, DESC, 3, DATA, 16, 0, 0);
}

static void bad_header(struct fake_machine *m)
{
	put_desc(m, DESC, 0, HEADER, 15, NEXT, 1);
}

static void bad_header_place(struct fake_machine *m)
{
	put_desc(m, DESC, 0, 0x80000000, 16, NEXT, 1);
}

static void bad_no_status(struct fake_machine *m)
{
	put_desc(m, DESC, 0, HEADER, 16, 0, 0);
}

static void bad_indirect_length(struct fake_machine *m)
{
	put_desc(m, DESC, 0, INDIRECT, 47, INDIR, 0);
}

static void bad_indirect_empty(struct fake_machine *m)
{
	put_desc(m, DESC, 0, INDIRECT, 0, INDIR, 0);
}

static void bad_indirect_place(struct fake_machine *m)
{
	put_desc(m, DESC, 0, 0xfffffffffffffff0, 0x100000, INDIR, 0);
}

static void bad_indirect_nested(struct fake_machine *m)
{
	put_desc(m, INDIRECT, 0, INDIRECT, 48, INDIR, 0);
	put_desc(m, DESC, 0, INDIRECT, 48, INDIR, 0);
}

static void bad_indirect_loop(struct fake_machine *m)
{
	put_desc(m, INDIRECT, 0, HEADER, 16, NEXT, 0);
	put_desc(m, DESC, 0, INDIRECT, 0xfffffff0, INDIR, 0);
}

static void bad_indirect_late(struct fake_machine *m)
{
	put_desc(m, DESC, 1, INDIRECT, 48, INDIR, 0);
}

static void test_hostile(void **state)
{
	struct fake_machine *m = *state;
	static void (*const break_it[])(struct fake_machine *) = {
		bad_index,	    bad_jump,		bad_next,
		bad_loop,	    bad_self,		bad_length,
		bad_wrap,	    bad_order,		bad_header,
		bad_header_place,   bad_no_status,	bad_indirect_length,
		bad_indirect_empty, bad_indirect_place, bad_indirect_nested,
		bad_indirect_loop,  bad_indirect_late,
	};

	for (unsigned i = 0; i < HV_ARRAY_LEN(break_it); i++) {
		memset(m->f.ram, 0, sizeof(m->f.ram));
		struct dev *d = start(m, &dm_virtio_blk, VIO_F_VERSION_1 | VIO_F_INDIRECT, true);
		put_header(m, 0, 0);
		put_desc(m, DESC, 0, HEADER, 16, NEXT, 1);
		put_desc(m, DESC, 1, DATA, 512, NEXT | WRITE, 2);
		put_desc(m, DESC, 2, STATUS, 1, WRITE, 0);
		guest16(m, AVAIL + 2, 1);
		break_it[i](m);
		bar(d, NOTIFY, 2, 0);
		settle(m, d);
		if (!(status(d) & VIO_STATUS_NEEDS_RESET))
			fail_msg("hostile ring %u was taken", i);
		bar(d, 0x14, 1, 0); /* and a reset mends it */
		assert_int_equal(status(d), 0);
		dev_destroy(d);
	}
}

/* A buffer that is not memory fails the request, not the device. */
static void test_buffer_place(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = start(m, &dm_virtio_blk, VIO_F_VERSION_1, true);

	put_header(m, 0, 0);
	put_desc(m, DESC, 0, HEADER, 16, NEXT, 1);
	put_desc(m, DESC, 1, 0x80000000, 512, NEXT | WRITE, 2);
	put_desc(m, DESC, 2, STATUS, 1, WRITE, 0);
	offer(m, d, 0);
	settle(m, d);
	assert_int_equal(m->f.ram[STATUS], IOERR);
	assert_int_equal(status(d), 15);
	dev_destroy(d);
}

/* Rings of noise. */
static void test_noise(void **state)
{
	struct fake_machine *m = *state;
	uint64_t x = 4711;

	for (unsigned round = 0; round < 300; round++) {
		const struct vio_class *c = round & 1 ? &dm_virtio_blk : &dm_virtio_rng;
		memset(m->f.ram, 0, sizeof(m->f.ram));
		struct dev *d = start(m, c, VIO_F_COMMON, round & 2);
		for (unsigned i = 0; i < 20; i++) {
			for (unsigned k = 0; k < 24; k++)
				guest16(m, DESC + test_rnd(&x) % 0x3000 / 2 * 2,
					(uint16_t)(test_rnd(&x) >> (test_rnd(&x) & 15)));
			for (unsigned k = 0; k < QSIZE; k++)
				put_desc(m, DESC, k, test_rnd(&x) & 0x1ffff,
					 (uint32_t)(test_rnd(&x) & 0x3ff),
					 (uint16_t)(test_rnd(&x) & 7), test_rnd(&x) & 15);
			guest16(m, AVAIL + 2, (uint16_t)(i + 1));
			bar(d, NOTIFY, 2, 0);
			settle(m, d);
			if (status(d) & VIO_STATUS_NEEDS_RESET)
				break;
		}
		bar(d, 0x14, 1, 0);
		dev_destroy(d);
		m->f.n_posts = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_features),	 DEVICE_TEST(test_window),
		DEVICE_TEST(test_rng),		 DEVICE_TEST(test_event_idx),
		DEVICE_TEST(test_msix_mask),	 DEVICE_TEST(test_disk),
		DEVICE_TEST(test_disk_ranges),	 DEVICE_TEST(test_read_only),
		DEVICE_TEST(test_indirect),	 DEVICE_TEST(test_reset_under_way),
		DEVICE_TEST(test_machine_reset), DEVICE_TEST(test_quiesce),
		DEVICE_TEST(test_hostile),	 DEVICE_TEST(test_buffer_place),
		DEVICE_TEST(test_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
