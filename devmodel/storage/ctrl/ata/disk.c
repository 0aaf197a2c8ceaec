/*
 * The commands of an ATA disk, see ata.h.
 *
 * Specification: ATA8-ACS, chapter 7; ATA-5 for CHS, READ MULTIPLE and INITIALIZE DEVICE
 * PARAMETERS; Serial ATA 3.1, 13.6. Not modelled: security, HPA, APM, host-protected and
 * write-uncorrectable sectors, self tests.
 */
#include "devmodel/storage/ctrl/ata/ata_int.h"

enum {
	F_EXT = 1, /* 48-bit task file */
	F_DMA = 2,
	F_MULTIPLE = 4,
	F_FUA = 8,
	F_WRITE = 16,
	F_QUEUED = 32,
	F_VERIFY = 64,
};
#define FEATURE_TRIM 1

uint64_t ata_disk_sectors(const struct ata_drive *a)
{
	return a->blk->bytes / ATA_SECTOR;
}

void ata_disk_geometry(const struct ata_drive *a, uint16_t *cyl, uint8_t *heads, uint8_t *sectors)
{
	const uint64_t c = ata_disk_sectors(a) / (16 * 63);

	*heads = 16;
	*sectors = 63;
	*cyl = (uint16_t)(c < 1 ? 1 : hv_min_u64(c, 16383));
}

/* ---- where on the disk ---- */

static uint32_t count_of(const struct ata_cmd_state *s, unsigned how)
{
	const uint16_t field = how & F_QUEUED ? s->feature : s->count;

	if (how & F_EXT)
		return field != 0 ? field : 65536;
	return (field & 0xff) != 0 ? field & 0xff : 256;
}

static bool lba_of(const struct ata_cmd *c, unsigned how, uint64_t *ret_lba)
{
	const struct ata_cmd_state *s = c->s;
	const struct ata_drive_state *g = c->drive->s;

	if (how & F_EXT) {
		*ret_lba = s->lba;
		return true;
	}
	if (s->device & 0x40) {
		*ret_lba = (s->lba & 0xffffff) | (uint64_t)(s->device & 15) << 24;
		return true;
	}
	const uint32_t sector = s->lba & 0xff, cyl = s->lba >> 8 & 0xffff, head = s->device & 15;
	if (sector == 0 || sector > g->sectors || head >= g->heads || cyl >= g->cylinders)
		return false;
	*ret_lba = ((uint64_t)cyl * g->heads + head) * g->sectors + sector - 1;
	return true;
}

/* The sector at which a command ended in an error, in the form in which it was asked for. */
static void put_lba(struct ata_cmd *c, uint64_t lba)
{
	struct ata_cmd_state *s = c->s;
	const struct ata_drive_state *g = c->drive->s;

	if (s->device & 0x40) {
		s->lba = lba & 0xffffffffffff;
		if (lba < 1u << 28)
			s->device = (uint8_t)((s->device & 0xf0) | (lba >> 24 & 15));
		return;
	}
	const uint64_t track = lba / g->sectors;
	s->lba = (track / g->heads & 0xffff) << 8 | (lba % g->sectors + 1);
	s->device = (uint8_t)((s->device & 0xf0) | track % g->heads);
}

/* ---- reading and writing ---- */

static bool range(struct ata_cmd *c, unsigned how, uint64_t *ret_lba, uint32_t *ret_count)
{
	const uint64_t sectors = ata_disk_sectors(c->drive);

	*ret_count = count_of(c->s, how);
	if (!lba_of(c, how, ret_lba) || *ret_lba >= sectors || *ret_count > sectors - *ret_lba) {
		ata_fail(c, ATA_IDNF);
		return false;
	}
	return true;
}

static void transfer(struct ata_cmd *c, unsigned how)
{
	struct ata_cmd_state *s = c->s;
	const struct ata_drive_state *g = c->drive->s;
	uint64_t lba;
	uint32_t count;

	if (((how & F_MULTIPLE) && g->multiple == 0) ||
	    ((how & F_WRITE) && c->drive->blk->read_only)) {
		ata_fail(c, ATA_ABRT);
		return;
	}
	if (!range(c, how, &lba, &count))
		return;
	if (how & F_VERIFY) {
		ata_ok(c);
		return;
	}
	s->dma = (how & F_DMA) != 0;
	s->unit = ATA_SECTOR * (how & F_MULTIPLE ? g->multiple : 1u);
	s->flush = (how & F_FUA) || ((how & F_WRITE) && (how & F_QUEUED) && (s->device & 0x80)) ||
		   ((how & F_WRITE) && !g->write_cache);
	if (how & F_WRITE)
		ata_write(c, lba * ATA_SECTOR, (uint64_t)count * ATA_SECTOR);
	else
		ata_read(c, lba * ATA_SECTOR, (uint64_t)count * ATA_SECTOR);
}

void ata_disk_io_failed(struct ata_cmd *c, int result)
{
	if (c->s->medium)
		put_lba(c, c->s->pos / ATA_SECTOR);
	if (result == -ENXIO)
		ata_fail(c, ATA_IDNF);
	else if (c->io.op == BLK_READ)
		ata_fail(c, ATA_UNC);
	else
		ata_fail(c, c->io.op == BLK_WRITE ? ATA_IDNF : ATA_ABRT);
}

static void flush(struct ata_cmd *c, unsigned how)
{
	(void)how;
	ata_work(c, BLK_FLUSH, 0, 0);
}

/* ---- TRIM: blocks of 64 ranges; one request a range, one range after the other ---- */

static void data_set(struct ata_cmd *c, unsigned how)
{
	const uint32_t bytes = count_of(c->s, how) * ATA_SECTOR;

	if (!(c->s->feature & FEATURE_TRIM) || bytes > ATA_BUF_BYTES || c->drive->blk->read_only) {
		ata_fail(c, ATA_ABRT);
		return;
	}
	c->s->dma = 1;
	ata_want(c, bytes);
}

/* at is the next range. */
static void next_range(struct ata_cmd *c)
{
	const uint64_t sectors = ata_disk_sectors(c->drive);

	while (c->s->at < c->s->len) {
		uint64_t e, lba, n;
		memcpy(&e, c->buf + c->s->at, sizeof(e));
		c->s->at += (uint32_t)sizeof(e);
		lba = e & 0xffffffffffff;
		n = e >> 48;
		if (n == 0)
			continue;
		if (lba >= sectors || n > sectors - lba) {
			ata_fail(c, ATA_IDNF);
			return;
		}
		ata_work(c, BLK_DISCARD, lba * ATA_SECTOR, n * ATA_SECTOR);
		return;
	}
	ata_ok(c);
}

void ata_disk_received(struct ata_cmd *c)
{
	c->s->at = 0;
	next_range(c); /* nothing else sends parameters */
}

void ata_disk_worked(struct ata_cmd *c)
{
	if (c->io.op == BLK_DISCARD)
		next_range(c);
	else
		ata_ok(c);
}

/* ---- what the drive says of itself ---- */

static void identify(struct ata_cmd *c, unsigned how)
{
	(void)how;
	ata_identify_disk(c->drive, c->buf);
	ata_reply(c, ATA_SECTOR);
}

/* Pages of a log, as many as are asked for; *fill makes one. */
static void read_log(struct ata_cmd *c, unsigned how)
{
	const uint32_t n = c->s->count;
	const unsigned first = (unsigned)(c->s->lba >> 8 & 0xff);

	memset(c->buf, 0, ATA_SECTOR);
	if (n != 1 || first != 0 || !ata_log(c->drive, (uint8_t)c->s->lba, c->buf)) {
		ata_fail(c, ATA_ABRT);
		return;
	}
	if ((c->s->lba & 0xff) == 0x10)
		c->drive->s->ncq_failed = 0;
	c->s->dma = (how & F_DMA) != 0;
	ata_reply(c, ATA_SECTOR);
}

static void smart_read(struct ata_cmd *c, uint8_t what)
{
	memset(c->buf, 0, ATA_SECTOR);
	if (what == 0xd0)
		ata_smart_data(c->buf);
	else if (what == 0xd1)
		ata_smart_thresholds(c->buf);
	else if ((c->s->count & 0xff) != 1 || !ata_smart_log((uint8_t)c->s->lba, c->buf)) {
		ata_fail(c, ATA_ABRT);
		return;
	}
	ata_reply(c, ATA_SECTOR);
}

static void smart(struct ata_cmd *c, unsigned how)
{
	struct ata_drive_state *g = c->drive->s;
	const uint8_t what = (uint8_t)c->s->feature;

	(void)how;
	if ((c->s->lba >> 8 & 0xffff) != 0xc24f || (!g->smart && what != 0xd8)) {
		ata_fail(c, ATA_ABRT);
		return;
	}
	switch (what) {
	case 0xd0:
	case 0xd1:
	case 0xd5:
		smart_read(c, what);
		return;
	case 0xd8:
	case 0xd9:
		g->smart = what == 0xd8;
		break;
	case 0xd2: /* autosave */
	case 0xda: /* status: 4fh, c2h stay where they are: no threshold exceeded */
		break;
	default:
		ata_fail(c, ATA_ABRT);
		return;
	}
	ata_ok(c);
}

/* ---- settings ---- */

static bool set_mode(struct ata_drive_state *g, uint8_t mode)
{
	const uint8_t n = mode & 7, kind = mode & 0xf8;

	if (mode <= 1 || (kind == 8 && n <= 4)) {
		g->xfer = 0;
		return true;
	}
	if ((kind != 0x20 || n > 2) && (kind != 0x40 || n > 5))
		return false;
	g->xfer = mode;
	return true;
}

static void set_features(struct ata_cmd *c, unsigned how)
{
	struct ata_drive_state *g = c->drive->s;
	bool good = true;

	(void)how;
	switch (c->s->feature & 0xff) {
	case 0x02:
		g->write_cache = 1;
		break;
	case 0x82:
		g->write_cache = 0;
		ata_work(c, BLK_FLUSH, 0, 0);
		return;
	case 0x03:
		good = set_mode(g, (uint8_t)c->s->count);
		break;
	case 0x55:
	case 0xaa:
		g->look_ahead = (c->s->feature & 0xff) == 0xaa;
		break;
	case 0x66: /* settings stay over a software reset, or not: they always do */
	case 0xcc:
		break;
	default:
		good = false;
	}
	if (good)
		ata_ok(c);
	else
		ata_fail(c, ATA_ABRT);
}

static void set_multiple(struct ata_cmd *c, unsigned how)
{
	const uint32_t n = c->s->count & 0xff;

	(void)how;
	if (n > ATA_MULTIPLE_MAX || (n & (n - 1)) != 0) {
		ata_fail(c, ATA_ABRT);
		return;
	}
	c->drive->s->multiple = (uint8_t)n;
	ata_ok(c);
}

/* Translation of the guest's choice: sectors a track, heads; cylinders follow. */
static void set_geometry(struct ata_cmd *c, unsigned how)
{
	struct ata_drive_state *g = c->drive->s;
	const uint8_t heads = (uint8_t)((c->s->device & 15) + 1), sectors = (uint8_t)c->s->count;

	(void)how;
	if (sectors == 0) {
		ata_fail(c, ATA_ABRT);
		return;
	}
	g->heads = heads;
	g->sectors = sectors;
	g->cylinders = (uint16_t)hv_min_u64(
		ata_disk_sectors(c->drive) / ((unsigned)heads * sectors), 65535);
	ata_ok(c);
}

static void native_max(struct ata_cmd *c, unsigned how)
{
	const uint64_t last = ata_disk_sectors(c->drive) - 1;

	c->s->device |= 0x40;
	c->s->lba = how & F_EXT ? last : hv_min_u64(last, 0xfffffff) & 0xffffff;
	if (!(how & F_EXT))
		c->s->device = (uint8_t)((c->s->device & 0xf0) |
					 (hv_min_u64(last, 0xfffffff) >> 24));
	ata_ok(c);
}

static void power(struct ata_cmd *c, unsigned mode)
{
	c->drive->s->power = (uint8_t)mode;
	if (mode == ATA_POWER_STANDBY && !c->drive->blk->read_only)
		ata_work(c, BLK_FLUSH, 0, 0); /* the cache is written first */
	else
		ata_ok(c);
}

static void check_power(struct ata_cmd *c, unsigned how)
{
	(void)how;
	c->s->count = c->drive->s->power;
	ata_ok(c);
}

/* RECALIBRATE, SEEK and the like. */
static void nothing(struct ata_cmd *c, unsigned how)
{
	(void)how;
	ata_ok(c);
}

static void diagnostic(struct ata_cmd *c, unsigned how)
{
	(void)how;
	ata_ok(c);
	ata_signature(c->drive, c->s);
}

static const struct {
	uint8_t command;
	uint8_t how;
	void (*fn)(struct ata_cmd *c, unsigned how);
} commands[] = {
	{ 0x06, F_DMA | F_WRITE | F_EXT, data_set },
	{ 0x20, 0, transfer },
	{ 0x21, 0, transfer },
	{ 0x24, F_EXT, transfer },
	{ 0x25, F_EXT | F_DMA, transfer },
	{ 0x27, F_EXT, native_max },
	{ 0x29, F_EXT | F_MULTIPLE, transfer },
	{ 0x2f, F_EXT, read_log },
	{ 0x30, F_WRITE, transfer },
	{ 0x31, F_WRITE, transfer },
	{ 0x34, F_EXT | F_WRITE, transfer },
	{ 0x35, F_EXT | F_WRITE | F_DMA, transfer },
	{ 0x39, F_EXT | F_WRITE | F_MULTIPLE, transfer },
	{ 0x3d, F_EXT | F_WRITE | F_DMA | F_FUA, transfer },
	{ 0x40, F_VERIFY, transfer },
	{ 0x41, F_VERIFY, transfer },
	{ 0x42, F_EXT | F_VERIFY, transfer },
	{ 0x47, F_EXT | F_DMA, read_log },
	{ 0x60, F_EXT | F_DMA | F_QUEUED, transfer },
	{ 0x61, F_EXT | F_DMA | F_QUEUED | F_WRITE, transfer },
	{ 0x90, 0, diagnostic },
	{ 0x91, 0, set_geometry },
	{ 0x94, ATA_POWER_STANDBY, power },
	{ 0x95, ATA_POWER_IDLE, power },
	{ 0x96, ATA_POWER_STANDBY, power },
	{ 0x97, ATA_POWER_IDLE, power },
	{ 0x98, 0, check_power },
	{ 0x99, ATA_POWER_STANDBY, power },
	{ 0xb0, 0, smart },
	{ 0xc4, F_MULTIPLE, transfer },
	{ 0xc5, F_MULTIPLE | F_WRITE, transfer },
	{ 0xc6, 0, set_multiple },
	{ 0xc8, F_DMA, transfer },
	{ 0xc9, F_DMA, transfer },
	{ 0xca, F_DMA | F_WRITE, transfer },
	{ 0xcb, F_DMA | F_WRITE, transfer },
	{ 0xce, F_EXT | F_WRITE | F_MULTIPLE | F_FUA, transfer },
	{ 0xe0, ATA_POWER_STANDBY, power },
	{ 0xe1, ATA_POWER_IDLE, power },
	{ 0xe2, ATA_POWER_STANDBY, power },
	{ 0xe3, ATA_POWER_IDLE, power },
	{ 0xe5, 0, check_power },
	{ 0xe6, ATA_POWER_STANDBY, power },
	{ 0xe7, 0, flush },
	{ 0xea, F_EXT, flush },
	{ 0xec, 0, identify },
	{ 0xef, 0, set_features },
	{ 0xf8, 0, native_max },
};

void ata_disk_start(struct ata_cmd *c)
{
	const uint8_t command = c->s->command;
	const bool queued = command == ATA_CMD_READ_QUEUED || command == ATA_CMD_WRITE_QUEUED;

	/* After a queued command's error only its log page is answered. */
	if ((queued && !c->drive->sata) ||
	    (c->drive->s->ncq_failed && command != 0x2f && command != 0x47)) {
		ata_fail(c, ATA_ABRT);
		return;
	}
	if (command >= 0x10 && command <= 0x1f) { /* RECALIBRATE */
		ata_ok(c);
		return;
	}
	if (command >= 0x70 && command <= 0x7f) { /* SEEK */
		nothing(c, 0);
		return;
	}
	for (size_t i = 0; i < HV_ARRAY_LEN(commands); i++)
		if (commands[i].command == command) {
			if (commands[i].fn == transfer)
				c->drive->s->power = ATA_POWER_ACTIVE;
			commands[i].fn(c, commands[i].how);
			return;
		}
	ata_fail(c, ATA_ABRT);
}
