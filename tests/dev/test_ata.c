/* The drives behind the controllers: ATA commands of a disk, packets of a CD drive, media. */
#include "ahci_guest.h"

MACHINE_SETUP

#define SECTORS (FAKE_BLK_BYTES / 512)
#define BLOCKS (FAKE_BLK_BYTES / 2048)
enum { UA_POWER_ON = 0x062900, UA_CHANGED = 0x062800, NO_DISC = 0x023a01, TRAY_OPEN = 0x023a02 };
enum { BAD_OPCODE = 0x052000, BAD_FIELD = 0x052400, BAD_LBA = 0x052100, LOCKED = 0x055302 };

static uint32_t be(const uint8_t *p, unsigned n)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static uint16_t word(struct fake_machine *m, unsigned w)
{
	uint16_t v;

	memcpy(&v, m->f.ram + DATA + 2 * w, 2);
	return v;
}

static void identify(struct fake_machine *m, struct dev *d)
{
	const struct command c = { .command = 0xec, .bytes = 512 };

	assert_int_equal(run(m, d, 0, &c), 0x50);
}

/* A command without data; TFD. */
static uint32_t plain(struct fake_machine *m, struct dev *d, uint8_t command, uint16_t feature,
		      uint16_t count, uint64_t lba)
{
	const struct command c = {
		.command = command, .feature = feature, .count = count, .lba = lba, .device = 0x40
	};
	const uint32_t tfd = run(m, d, 0, &c);

	if (tfd & 1)
		recover(d, 0);
	return tfd;
}

/* ---- disk ---- */

static void test_settings(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ahci_up(m);

	identify(m, d);
	assert_int_equal(word(m, 60), SECTORS);
	assert_int_equal(word(m, 75), 31);
	assert_true(word(m, 76) & 0x100);
	assert_int_equal(word(m, 85) & 0x61, 0x61); /* look-ahead, write cache, SMART */
	assert_int_equal(word(m, 88) & 0xff00, 0);
	assert_int_equal(plain(m, d, 0xef, 0x03, 0x45, 0), 0x50);
	assert_int_equal(plain(m, d, 0xef, 0x03, 0x46, 0), 0x451); /* no such mode */
	assert_int_equal(plain(m, d, 0xef, 0x82, 0, 0), 0x50);
	assert_int_equal(plain(m, d, 0xef, 0x55, 0, 0), 0x50);
	assert_int_equal(plain(m, d, 0xef, 0x99, 0, 0), 0x451);
	assert_int_equal(plain(m, d, 0xc6, 0, 8, 0), 0x50);
	assert_int_equal(plain(m, d, 0xc6, 0, 3, 0), 0x451);
	identify(m, d);
	assert_int_equal(word(m, 85) & 0x61, 1);
	assert_int_equal(word(m, 88) >> 8, 0x20);
	assert_int_equal(word(m, 59), 0x108);
	assert_int_equal(plain(m, d, 0x00, 0, 0, 0), 0x451); /* NOP */
	assert_int_equal(plain(m, d, 0xfe, 0, 0, 0), 0x451);
	assert_int_equal(plain(m, d, 0x10, 0, 0, 0), 0x50);
	assert_int_equal(plain(m, d, 0x40, 0, 4, SECTORS - 4), 0x50); /* READ VERIFY */
	assert_int_equal(plain(m, d, 0x40, 0, 4, SECTORS - 3) & 0xff01, 0x1001);
	dev_destroy(d);
}

/* The write cache is off: every write is flushed. */
static void test_write_through(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ahci_up(m);
	const struct command c = {
		.command = 0xca, .device = 0x40, .count = 2, .write = true, .bytes = 1024
	};

	assert_int_equal(run(m, d, 0, &c), 0x50);
	assert_int_equal(m->f.blk.flushes, 0);
	plain(m, d, 0xef, 0x82, 0, 0);
	assert_int_equal(m->f.blk.flushes, 1);
	assert_int_equal(run(m, d, 0, &c), 0x50);
	assert_int_equal(m->f.blk.flushes, 2);
	dev_destroy(d);
}

static void test_power(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ahci_up(m);

	plain(m, d, 0xe5, 0, 0, 0);
	assert_int_equal(m->f.ram[FISES + 0x4c], 0xff);
	assert_int_equal(plain(m, d, 0xe0, 0, 0, 0), 0x50);
	assert_int_equal(m->f.blk.flushes, 1);
	plain(m, d, 0xe5, 0, 0, 0);
	assert_int_equal(m->f.ram[FISES + 0x4c], 0);
	plain(m, d, 0x42, 0, 1, 0);
	plain(m, d, 0xe5, 0, 0, 0);
	assert_int_equal(m->f.ram[FISES + 0x4c], 0xff);
	plain(m, d, 0x27, 0, 0, 0); /* READ NATIVE MAX ADDRESS EXT */
	assert_int_equal(m->f.ram[FISES + 0x44], SECTORS - 1);
	dev_destroy(d);
}

static void test_smart(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ahci_up(m);
	struct command c = { .command = 0xb0, .feature = 0xd0, .lba = 0xc24f00, .bytes = 512 };
	uint8_t sum = 0;

	assert_int_equal(run(m, d, 0, &c), 0x50);
	for (unsigned i = 0; i < 512; i++)
		sum = (uint8_t)(sum + m->f.ram[DATA + i]);
	assert_int_equal(sum, 0);
	assert_int_equal(plain(m, d, 0xb0, 0xda, 0, 0xc24f00), 0x50);
	assert_int_equal(m->f.ram[FISES + 0x45], 0x4f);
	assert_int_equal(m->f.ram[FISES + 0x46], 0xc2);
	assert_int_equal(plain(m, d, 0xb0, 0xda, 0, 0), 0x451); /* without the key */
	assert_int_equal(plain(m, d, 0xb0, 0xd9, 0, 0xc24f00), 0x50);
	assert_int_equal(plain(m, d, 0xb0, 0xda, 0, 0xc24f00), 0x451);
	assert_int_equal(plain(m, d, 0xb0, 0xd8, 0, 0xc24f00), 0x50);
	dev_destroy(d);
}

static void test_trim(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = ahci_up(m);
	struct command c = { .command = 0x06,
			     .feature = 1,
			     .count = 1,
			     .device = 0x40,
			     .write = true,
			     .bytes = 512 };

	memset(m->f.blk.data, 0xee, FAKE_BLK_BYTES);
	memset(m->f.ram + DATA, 0, 512);
	put(m, DATA, 3 | 2ull << 48, 8);
	put(m, DATA + 16, 10 | 1ull << 48, 8); /* an empty range is between them */
	assert_int_equal(run(m, d, 0, &c), 0x50);
	assert_int_equal(m->f.blk.data[3 * 512 - 1], 0xee);
	assert_int_equal(m->f.blk.data[3 * 512], 0);
	assert_int_equal(m->f.blk.data[5 * 512 - 1], 0);
	assert_int_equal(m->f.blk.data[5 * 512], 0xee);
	assert_int_equal(m->f.blk.data[10 * 512], 0);
	put(m, DATA, (SECTORS - 1) | 2ull << 48, 8);
	assert_int_equal(run(m, d, 0, &c) & 0xff01, 0x1001);
	recover(d, 0);
	c.feature = 0;
	assert_true(run(m, d, 0, &c) & 1);
	recover(d, 0);
	c.feature = 1;
	c.count = 17; /* more than IDENTIFY allows */
	assert_true(run(m, d, 0, &c) & 1);
	dev_destroy(d);
}

/* ---- CD ---- */

static struct dev *cd_up(struct fake_machine *m)
{
	struct dev *d = ahci_up(m);
	static const uint8_t ready[12] = { 0 };

	for (unsigned i = 0; i < FAKE_BLK_BYTES; i++)
		m->f.blk.data[i] = (uint8_t)(i * 13 + i / 2048);
	assert_int_equal(packet(m, d, ready, 0, false), UA_POWER_ON);
	assert_int_equal(packet(m, d, ready, 0, false), 0);
	return d;
}

#define PACKET(room, ...) packet(m, d, (const uint8_t[12]){ __VA_ARGS__ }, room, false)
#define READY PACKET(0, 0)

static void test_cd_read(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = cd_up(m);
	const uint8_t *p = m->f.ram + DATA;

	assert_int_equal(PACKET(8, 0x25), 0);
	assert_int_equal(be(p, 4), BLOCKS - 1);
	assert_int_equal(be(p + 4, 4), 2048);
	assert_int_equal(PACKET(3 * 2048, 0x28, [5] = 4, [8] = 3), 0);
	assert_memory_equal(p, m->f.blk.data + 4 * 2048, 3 * 2048);
	assert_int_equal(PACKET(2048, 0xa8, [5] = BLOCKS - 1, [9] = 1), 0);
	assert_memory_equal(p, m->f.blk.data + (BLOCKS - 1) * 2048, 2048);
	assert_int_equal(PACKET(4096, 0x28, [5] = BLOCKS - 1, [8] = 2), BAD_LBA);
	assert_int_equal(PACKET(2048, 0xa8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
			 BAD_LBA);
	assert_int_equal(PACKET(0, 0x28, [5] = 4), 0); /* nothing */
	assert_int_equal(PACKET(0, 0x2b, [5] = BLOCKS), BAD_LBA);
	assert_int_equal(PACKET(0, 0xf0), BAD_OPCODE);
	m->f.blk.fail = -EIO;
	assert_int_equal(PACKET(2048, 0x28, [8] = 1), 0x031100);
	dev_destroy(d);
}

/* An image that ends in the middle of a block. */
static void test_cd_odd_size(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = cd_up(m);
	const uint8_t *p = m->f.ram + DATA;

	m->f.blk.blk.bytes = 5 * 2048 + 512;
	assert_int_equal(PACKET(8, 0x25), 0);
	assert_int_equal(be(p, 4), 5);
	memset(m->f.ram + DATA, 0xff, 6 * 2048);
	assert_int_equal(PACKET(6 * 2048, 0x28, [8] = 6), 0);
	assert_memory_equal(p, m->f.blk.data, 5 * 2048 + 512);
	for (unsigned i = 5 * 2048 + 512; i < 6 * 2048; i++)
		assert_int_equal(p[i], 0);
	dev_destroy(d);
}

/* GF(256) as ECMA-130 has it. */
static uint8_t mul(uint8_t a, uint8_t b)
{
	uint8_t r = 0;

	for (; b != 0; b >>= 1, a = (uint8_t)(a << 1 ^ (a & 0x80 ? 0x1d : 0)))
		r ^= b & 1 ? a : 0;
	return r;
}

/* n symbols of a codeword: both checks come out as zero. */
static void check_word(const uint8_t *c, unsigned n)
{
	uint8_t sum = 0, weighted = 0;

	for (unsigned i = 0; i < n; i++) {
		sum ^= c[i];
		weighted = mul(weighted, 2) ^ c[i];
	}
	assert_int_equal(sum, 0);
	assert_int_equal(weighted, 0);
}

static void check_sector(const uint8_t *s)
{
	const uint8_t *b = s + 12;
	uint8_t c[45];
	uint64_t rem = 0;

	for (unsigned i = 0; i < 2068;
	     i++) /* the checksum's polynomial divides data and checksum */
		for (unsigned bit = 0; bit < 8; bit++) {
			rem = rem << 1 | (s[i] >> bit & 1);
			if (rem >> 32)
				rem ^= 0x18001801b;
		}
	assert_int_equal(rem, 0);
	for (unsigned col = 0; col < 43; col++)
		for (unsigned odd = 0; odd < 2; odd++) {
			for (unsigned row = 0; row < 26; row++)
				c[row] = b[2 * (43 * row + col) + odd];
			check_word(c, 26);
		}
	for (unsigned diag = 0; diag < 26; diag++)
		for (unsigned odd = 0; odd < 2; odd++) {
			for (unsigned i = 0; i < 43; i++)
				c[i] = b[2 * ((44 * i + 43 * diag) % 1118) + odd];
			c[43] = b[2 * (1118 + diag) + odd];
			c[44] = b[2 * (1144 + diag) + odd];
			check_word(c, 45);
		}
}

static void test_cd_raw(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = cd_up(m);
	const uint8_t *p = m->f.ram + DATA;
	static const uint8_t head[16] = { 0,	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
					  0xff, 0xff, 0xff, 0,	  0,	2,    0x08, 1 };

	assert_int_equal(PACKET(7 * 2352, 0xbe, [5] = 2, [8] = 7, [9] = 0xf8), 0);
	for (unsigned i = 0; i < 7; i++, p += 2352) {
		assert_memory_equal(p, head, 12);
		assert_int_equal(p[13], 2);
		assert_int_equal(p[14], 2 + i);
		assert_int_equal(p[15], 1);
		assert_memory_equal(p + 16, m->f.blk.data + (2 + i) * 2048, 2048);
		check_sector(p);
	}
	p = m->f.ram + DATA;
	assert_int_equal(PACKET(2 * 2048, 0xbe, [5] = 1, [8] = 2, [9] = 0x10), 0);
	assert_memory_equal(p, m->f.blk.data + 2048, 4096);
	assert_int_equal(PACKET(2 * 16, 0xbe, [5] = 8, [8] = 2, [9] = 0xa0), 0);
	assert_memory_equal(p, head, 16);
	assert_int_equal(p[16 + 14], 0x09);
	/* the same by minute, second and frame */
	assert_int_equal(PACKET(2048, 0xb9, [4] = 2, [5] = 3, [7] = 2, [8] = 4, [9] = 0x10), 0);
	assert_memory_equal(p, m->f.blk.data + 3 * 2048, 2048);
	assert_int_equal(PACKET(2352, 0xbe, 1 << 2, [8] = 1, [9] = 0x10), 0x056400); /* audio */
	assert_int_equal(PACKET(2352, 0xbe, [8] = 1, [9] = 0xf8, [10] = 1), BAD_FIELD);
	assert_int_equal(PACKET(0, 0xbe, [8] = 1), 0);
	dev_destroy(d);
}

static void test_cd_toc(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = cd_up(m);
	const uint8_t *p = m->f.ram + DATA;

	assert_int_equal(PACKET(20, 0x43, [8] = 20), 0);
	assert_int_equal(be(p, 2), 18);
	assert_int_equal(p[2], 1);
	assert_int_equal(p[5], 0x14);
	assert_int_equal(p[6], 1);
	assert_int_equal(be(p + 8, 4), 0);
	assert_int_equal(p[14], 0xaa);
	assert_int_equal(be(p + 16, 4), BLOCKS);
	assert_int_equal(PACKET(12, 0x43, 2, [6] = 0xaa, [8] = 12), 0); /* as MSF */
	assert_int_equal(be(p + 8, 4), (BLOCKS + 150) / 75 << 8 | (BLOCKS + 150) % 75);
	assert_int_equal(PACKET(4, 0x43, [8] = 4), 0); /* cut off; the length is the whole */
	assert_int_equal(be(p, 2), 18);
	assert_int_equal(PACKET(48, 0x43, 0, 2, [8] = 48), 0); /* full */
	assert_int_equal(be(p, 2), 2 + 4 * 11);
	assert_int_equal(p[4 + 3], 0xa0);
	assert_int_equal(PACKET(12, 0x43, 0, 1, [8] = 12), 0);
	assert_int_equal(PACKET(12, 0x43, [6] = 2, [8] = 12), BAD_FIELD);
	assert_int_equal(PACKET(12, 0x43, 0, 5, [8] = 12), BAD_FIELD);
	dev_destroy(d);
}

static void test_cd_describes_itself(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = cd_up(m);
	const uint8_t *p = m->f.ram + DATA;
	unsigned at = 8, seen = 0;

	assert_int_equal(PACKET(36, 0x12, [4] = 36), 0);
	assert_int_equal(p[0], 5);
	assert_int_equal(p[1], 0x80);
	assert_int_equal(PACKET(36, 0x12, [2] = 1, [4] = 36), BAD_FIELD);
	assert_int_equal(PACKET(256, 0x46, [7] = 1), 0);
	const unsigned total = be(p, 4) + 4;
	assert_int_equal(be(p + 6, 2), 8); /* CD-ROM is in it */
	for (; at + 4 <= total; at += 4 + p[at + 3])
		seen |= be(p + at, 2) < 32 ? 1u << be(p + at, 2) : 0;
	assert_int_equal(at, total);
	assert_true((seen & 0xc001000f) == 0xc001000f);
	assert_int_equal(PACKET(30, 0x5a, [2] = 0x2a, [8] = 30), 0);
	assert_int_equal(be(p, 2), 28);
	assert_int_equal(p[8], 0x2a);
	assert_int_equal(p[8 + 6] & 0x29, 0x29);
	assert_int_equal(PACKET(64, 0x1a, [2] = 0x3f, [4] = 64), 0);
	assert_int_equal(p[0], 3 + 12 + 12 + 22);
	assert_int_equal(PACKET(30, 0x5a, [2] = 0x05, [8] = 30), BAD_FIELD);
	assert_int_equal(PACKET(34, 0x51, [8] = 34), 0);
	assert_int_equal(PACKET(36, 0x52, 1, [5] = 1, [8] = 36), 0);
	assert_int_equal(be(p + 24, 4), BLOCKS);
	assert_int_equal(PACKET(8, 0xbd, [9] = 8), 0);
	assert_int_equal(PACKET(36, 0xad, [9] = 36), BAD_FIELD); /* it is no DVD */
	m->f.blk.blk.bytes = 1ull << 30;
	assert_int_equal(PACKET(36, 0xad, [9] = 36), 0);
	assert_int_equal(be(p + 4 + 9, 3), 0x30000 + (1u << 19) - 1);
	assert_int_equal(PACKET(8, 0x46, [8] = 8), 0);
	assert_int_equal(be(p + 6, 2), 0x10);
	dev_destroy(d);
}

static void test_cd_mode_select(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = cd_up(m);
	static const uint8_t sense[12] = { 0x5a, [2] = 1, [8] = 20 };
	static const uint8_t select[12] = { 0x55, 0x10, [8] = 20 };

	assert_int_equal(packet(m, d, sense, 20, false), 0);
	assert_int_equal(m->f.ram[DATA + 11], 3);
	m->f.ram[DATA + 11] = 9;
	assert_int_equal(packet(m, d, select, 20, true), 0);
	memset(m->f.ram + DATA, 0, 20);
	assert_int_equal(packet(m, d, sense, 20, false), 0);
	assert_int_equal(m->f.ram[DATA + 11], 9);
	m->f.ram[DATA + 9] = 200; /* longer than it is */
	assert_int_equal(packet(m, d, select, 20, true), 0x052600);
	dev_destroy(d);
}

/* ---- media ---- */

static uint32_t event(struct fake_machine *m, struct dev *d)
{
	assert_int_equal(PACKET(8, 0x4a, 1, [4] = 0x10, [8] = 8), 0);
	assert_int_equal(m->f.ram[DATA + 2] & 7, 4);
	return be(m->f.ram + DATA + 4, 2);
}

static void test_tray(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = cd_up(m);

	assert_int_equal(event(m, d), 0x0002);
	assert_int_equal(PACKET(0, 0x1e, [4] = 1), 0);
	assert_int_equal(PACKET(0, 0x1b, [4] = 2), LOCKED);
	assert_int_equal(READY, 0);
	assert_int_equal(PACKET(0, 0x1e), 0);
	assert_int_equal(PACKET(0, 0x1b, [4] = 2), 0);
	assert_int_equal(READY, TRAY_OPEN);
	assert_int_equal(event(m, d), 0x0301);
	assert_int_equal(event(m, d), 0x0001);
	save_and_load(d);
	assert_int_equal(READY, TRAY_OPEN);
	assert_int_equal(PACKET(0, 0x1b, [4] = 3), 0);
	assert_int_equal(event(m, d), 0x0202);
	assert_int_equal(READY, UA_CHANGED);
	assert_int_equal(READY, 0);
	dev_destroy(d);
}

static void test_media(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = cd_up(m);
	struct blk *disc = &m->f.blk.blk;

	assert_false(dm_ahci_media.locked(d, CD_PORT));
	PACKET(0, 0x1e, [4] = 1);
	assert_true(dm_ahci_media.locked(d, CD_PORT));
	dm_ahci_media.asked(d, CD_PORT);
	assert_int_equal(event(m, d), 0x0102);
	dm_ahci_media.change(d, CD_PORT, NULL);
	assert_false(dm_ahci_media.locked(d, CD_PORT));
	assert_int_equal(READY, TRAY_OPEN);
	assert_int_equal(event(m, d), 0x0301);
	assert_int_equal(PACKET(0, 0x1b, [4] = 3), 0); /* closed with nothing in it */
	assert_int_equal(READY, NO_DISC);
	assert_int_equal(PACKET(8, 0x25), NO_DISC);
	dm_ahci_media.change(d, CD_PORT, disc);
	assert_int_equal(event(m, d), 0x0202);
	assert_int_equal(PACKET(2048, 0x28, [8] = 1), UA_CHANGED);
	assert_int_equal(PACKET(2048, 0x28, [8] = 1), 0);
	dev_destroy(d);
}

/* Taken out while it is read: what was asked for comes, or an error; never another disc's data. */
static void test_media_busy(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d = cd_up(m);
	/* by the buffer, in several requests */
	static const uint8_t read[12] = { 0xbe, [8] = 12, [9] = 0xf8 };
	struct command c = { .command = 0xa0, .feature = 1, .cdb = read, .bytes = 12 * 2352 };
	struct err e = { 0 };

	prepare(m, 0, &c);
	pset(d, CD_PORT, PX_CI, 1);
	dm_ahci_media.change(d, CD_PORT, &m->f.blk.blk);
	settle(m, d);
	assert_true(preg(d, CD_PORT, PX_TFD) & 1);
	assert_int_equal(preg(d, CD_PORT, PX_TFD) >> 12, 2);
	recover(d, CD_PORT);
	assert_int_equal(READY, UA_CHANGED);
	prepare(m, 0, &c);
	pset(d, CD_PORT, PX_CI, 1);
	dm_ahci_media.change(d, CD_PORT, NULL);
	assert_ok(d->cls->quiesce(d, &e), &e);
	d->cls->resume(d);
	dev_destroy(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_settings),	  DEVICE_TEST(test_write_through),
		DEVICE_TEST(test_power),	  DEVICE_TEST(test_smart),
		DEVICE_TEST(test_trim),		  DEVICE_TEST(test_cd_read),
		DEVICE_TEST(test_cd_odd_size),	  DEVICE_TEST(test_cd_raw),
		DEVICE_TEST(test_cd_toc),	  DEVICE_TEST(test_cd_describes_itself),
		DEVICE_TEST(test_cd_mode_select), DEVICE_TEST(test_tray),
		DEVICE_TEST(test_media),	  DEVICE_TEST(test_media_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
