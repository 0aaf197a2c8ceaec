/* A guest's side of the AHCI controller, for tests of it and of the drives behind it: port 0 and 1
 * have disks, port 2 a CD drive, all on the fake back-end. */
#ifndef TESTS_DEV_AHCI_GUEST_H
#define TESTS_DEV_AHCI_GUEST_H
#include "devtest.h"
#include "devmodel/storage/ctrl/ahci.h"

enum { CAP = 0, GHC = 4, IS = 8, PI = 12 };
enum { PX_CLB = 0, PX_FB = 8, PX_IS = 16, PX_IE = 20, PX_CMD = 24, PX_TFD = 32, PX_SIG = 36 };
enum { PX_SSTS = 40, PX_SCTL = 44, PX_SERR = 48, PX_SACT = 52, PX_CI = 56 };
enum { IS_DHRS = 1, IS_PSS = 2, IS_SDBS = 8, IS_DPS = 32, IS_PCS = 64, IS_OFS = 1 << 24 };
#define IS_HBFS (1u << 29)
#define IS_TFES (1u << 30)
enum { LIST = 0x1000, FISES = 0x1800, TABLES = 0x2000, TABLE_BYTES = 0x200, DATA = 0x8000 };
enum { CD_PORT = 2 };

struct command {
	uint8_t command, device;
	uint16_t feature, count;
	uint64_t lba;
	const uint8_t *cdb; /* O */
	bool write;
	uint32_t bytes; /* of data, at DATA; in pieces of piece */
	uint32_t piece; /* 0: one */
};

static inline uint32_t reg(struct dev *d, unsigned off)
{
	return (uint32_t)rd(d, AHCI_REGION_MEM, off, 4);
}

static inline void set(struct dev *d, unsigned off, uint32_t v)
{
	wr(d, AHCI_REGION_MEM, off, 4, v);
}

static inline uint32_t preg(struct dev *d, unsigned port, unsigned off)
{
	return reg(d, 0x100 + port * 0x80 + off);
}

static inline void pset(struct dev *d, unsigned port, unsigned off, uint32_t v)
{
	set(d, 0x100 + port * 0x80 + off, v);
}

static inline void put(struct fake_machine *m, unsigned at, uint64_t v, unsigned bytes)
{
	memcpy(m->f.ram + at, &v, bytes);
}

static inline void bring_up_port(struct dev *d, unsigned port)
{
	pset(d, port, PX_SERR, UINT32_MAX);
	pset(d, port, PX_IS, UINT32_MAX);
	pset(d, port, PX_CLB, LIST);
	pset(d, port, PX_FB, FISES);
	pset(d, port, PX_IE, 0x7dc0007f);
	pset(d, port, PX_CMD, 0x11);
	set(d, IS, UINT32_MAX);
}

static inline struct dev *ahci_up(struct fake_machine *m)
{
	struct dev *d = make(m, &dm_ahci.base);

	wr(d, PCI_REGION_CFG, PCI_COMMAND, 2, PCI_CMD_MEM | PCI_CMD_MASTER);
	set(d, GHC, 2);
	for (unsigned p = 0; p < 3; p++)
		bring_up_port(d, p);
	return d;
}

/* Header, table and list of the slot; not issued yet. */
static inline void prepare(struct fake_machine *m, unsigned slot, const struct command *c)
{
	const unsigned table = TABLES + slot * TABLE_BYTES, h = LIST + 32 * slot;
	const uint32_t piece = c->piece != 0 ? c->piece : c->bytes;
	unsigned n = 0;
	uint8_t *f = m->f.ram + table;

	memset(f, 0, 0x80);
	f[0] = 0x27;
	f[1] = 0x80;
	f[2] = c->command;
	f[3] = (uint8_t)c->feature;
	f[11] = (uint8_t)(c->feature >> 8);
	for (unsigned i = 0; i < 3; i++) {
		f[4 + i] = (uint8_t)(c->lba >> 8 * i);
		f[8 + i] = (uint8_t)(c->lba >> (24 + 8 * i));
	}
	f[7] = c->device;
	f[12] = (uint8_t)c->count;
	f[13] = (uint8_t)(c->count >> 8);
	if (c->cdb != NULL)
		memcpy(f + 0x40, c->cdb, 12);
	for (uint32_t at = 0; at < c->bytes; at += piece, n++) {
		const uint32_t left = c->bytes - at;
		assert_true(n < (TABLE_BYTES - 0x80) / 16);
		put(m, table + 0x80 + 16 * n, DATA + at, 8);
		put(m, table + 0x8c + 16 * n, (left < piece ? left : piece) - 1, 4);
	}
	put(m, h, 5u | (c->cdb ? 0x20u : 0) | (c->write ? 0x40u : 0) | n << 16, 4);
	put(m, h + 4, 0, 4);
	put(m, h + 8, table, 8);
}

static inline void settle(struct fake_machine *m, struct dev *d)
{
	for (unsigned i = 0; i < 100; i++)
		fake_env_advance(&m->f, d, 10000);
}

/* Runs it in slot 0 to its end; TFD: status and error << 8. What it raised stays in PxIS. */
static inline uint32_t run(struct fake_machine *m, struct dev *d, unsigned port,
			   const struct command *c)
{
	prepare(m, 0, c);
	pset(d, port, PX_IS, UINT32_MAX);
	pset(d, port, PX_CI, 1);
	settle(m, d);
	return preg(d, port, PX_TFD);
}

/* After an error: ST off and on. */
static inline void recover(struct dev *d, unsigned port)
{
	pset(d, port, PX_CMD, 0x10);
	assert_int_equal(preg(d, port, PX_CI), 0);
	pset(d, port, PX_SERR, UINT32_MAX);
	pset(d, port, PX_IS, UINT32_MAX);
	pset(d, port, PX_CMD, 0x11);
}

/* A packet with room bytes for its data (0: none). Its result: 0, or key << 16 | asc << 8 | ascq.
 */
static inline uint32_t packet(struct fake_machine *m, struct dev *d, const uint8_t *cdb,
			      uint32_t room, bool out)
{
	const struct command c = {
		.command = 0xa0, .feature = 1, .cdb = cdb, .bytes = room, .write = out
	};
	static const uint8_t sense[12] = { 0x03, [4] = 18 };
	const struct command ask = { .command = 0xa0, .feature = 1, .cdb = sense, .bytes = 18 };

	if (!(run(m, d, CD_PORT, &c) & 1)) {
		assert_int_equal(preg(d, CD_PORT, PX_CI), 0);
		return 0;
	}
	assert_true(preg(d, CD_PORT, PX_IS) & IS_TFES);
	recover(d, CD_PORT);
	assert_false(run(m, d, CD_PORT, &ask) & 1);
	const uint8_t *p = m->f.ram + DATA;
	assert_int_equal(p[0], 0x70);
	return (uint32_t)p[2] << 16 | (uint32_t)p[12] << 8 | p[13];
}
#endif
