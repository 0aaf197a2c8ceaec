/*
 * The ATAPI CD/DVD drive: ATA commands around the packet, and the packet's commands; see ata.h. The
 * medium is a read-only image of one data track: up to 80 minutes it is a CD, else a DVD.
 *
 * Specification: ATA8-ACS, 7.18 (PACKET); MMC-5, chapter 6; SPC-3.
 * Not modelled: audio, sessions, CSS, writing.
 */
#include "devmodel/storage/ctrl/ata/ata_int.h"

enum { KEY_NONE, KEY_NOT_READY = 2, KEY_MEDIUM = 3, KEY_ILLEGAL = 5, KEY_ATTENTION = 6 };
enum {
	ASC_READ_ERROR = 0x11,
	ASC_OPCODE = 0x20,
	ASC_RANGE = 0x21,
	ASC_FIELD = 0x24,
	ASC_PARAMETER = 0x26,
	ASC_CHANGED = 0x28,
	ASC_RESET = 0x29,
	ASC_NO_MEDIUM = 0x3a,
	ASC_LOCKED = 0x53,
	ASC_TRACK_MODE = 0x64,
};
#define CD_MAX_BLOCKS (80u * 60 * 75)

bool ata_cd_has_medium(const struct ata_drive *a)
{
	return a->blk != NULL && !a->s->tray_open;
}

uint32_t ata_cd_blocks(const struct ata_drive *a)
{
	const uint64_t n = (a->blk->bytes + CD_BLOCK - 1) / CD_BLOCK;

	return (uint32_t)hv_min_u64(n, UINT32_MAX);
}

bool ata_cd_is_dvd(const struct ata_drive *a)
{
	return ata_cd_has_medium(a) && ata_cd_blocks(a) > CD_MAX_BLOCKS;
}

/* ---- how a packet ends ---- */

void ata_cd_check(struct ata_cmd *c, uint8_t key, uint8_t asc, uint8_t ascq)
{
	struct ata_drive_state *g = c->drive->s;

	g->key = key;
	g->asc = asc;
	g->ascq = ascq;
	c->s->count = ATA_REASON_TO_HOST | ATA_REASON_CDB;
	ata_fail(c, (uint8_t)(key << 4 | (key == KEY_ILLEGAL ? ATA_ABRT : 0)));
}

static void bad_field(struct ata_cmd *c)
{
	ata_cd_check(c, KEY_ILLEGAL, ASC_FIELD, 0);
}

static void not_ready(struct ata_cmd *c)
{
	ata_cd_check(c, KEY_NOT_READY, ASC_NO_MEDIUM, c->drive->s->tray_open ? 2 : 1);
}

void ata_cd_io_failed(struct ata_cmd *c, int result)
{
	if (c->s->gone || !ata_cd_has_medium(c->drive))
		not_ready(c);
	else if (result == -ENXIO)
		ata_cd_check(c, KEY_ILLEGAL, ASC_RANGE, 0);
	else
		ata_cd_check(c, KEY_MEDIUM, ASC_READ_ERROR, 0);
}

/* len bytes are there (0: bad arguments), the host has room for room. */
static void reply(struct ata_cmd *c, uint32_t len, uint32_t room)
{
	if (len == 0)
		bad_field(c);
	else if (room == 0)
		ata_ok(c);
	else
		ata_reply(c, (uint32_t)hv_min_u64(len, room));
}

/* ---- reading ---- */

static void read_blocks(struct ata_cmd *c, uint32_t lba, uint32_t n, uint8_t raw)
{
	const uint32_t blocks = ata_cd_blocks(c->drive);

	if (n == 0) {
		ata_ok(c);
		return;
	}
	if (lba >= blocks || n > blocks - lba || n > UINT32_MAX / CD_BLOCK) {
		ata_cd_check(c, KEY_ILLEGAL, ASC_RANGE, 0);
		return;
	}
	c->s->raw = raw;
	ata_read(c, (uint64_t)lba * CD_BLOCK, (uint64_t)n * CD_BLOCK);
}

static void read_10(struct ata_cmd *c)
{
	read_blocks(c, be32_at(c->s->cdb + 2), be16_at(c->s->cdb + 7), 0);
}

static void read_12(struct ata_cmd *c)
{
	read_blocks(c, be32_at(c->s->cdb + 2), be32_at(c->s->cdb + 6), 0);
}

/* The parts of a sector that byte 9 asks for; plain data need no making. */
static void read_parts(struct ata_cmd *c, uint32_t lba, uint32_t n)
{
	const uint8_t *cdb = c->s->cdb;
	const uint8_t type = cdb[1] >> 2 & 7;
	const uint8_t parts = cdb[9] & (CD_SYNC | CD_HEADER | CD_DATA | CD_EDC);

	if ((cdb[9] & 0x06) || (cdb[10] & 7)) { /* C2 pointers, subchannel */
		bad_field(c);
	} else if (type != 0 && type != 2) { /* any, mode 1 */
		ata_cd_check(c, KEY_ILLEGAL, ASC_TRACK_MODE, 0);
	} else if (parts == 0) {
		ata_ok(c);
	} else {
		read_blocks(c, lba, n, parts == CD_DATA ? 0 : parts);
	}
}

static void read_cd(struct ata_cmd *c)
{
	read_parts(c, be32_at(c->s->cdb + 2), be24_at(c->s->cdb + 6));
}

static uint32_t frame_of(const uint8_t *msf)
{
	return (msf[0] * 60u + msf[1]) * 75 + msf[2];
}

static void read_cd_msf(struct ata_cmd *c)
{
	const uint32_t from = frame_of(c->s->cdb + 3), to = frame_of(c->s->cdb + 6);

	if (from < 150 || to < from)
		bad_field(c);
	else
		read_parts(c, from - 150, to - from);
}

static void seek(struct ata_cmd *c)
{
	if (be32_at(c->s->cdb + 2) >= ata_cd_blocks(c->drive))
		ata_cd_check(c, KEY_ILLEGAL, ASC_RANGE, 0);
	else
		ata_ok(c);
}

static void read_capacity(struct ata_cmd *c)
{
	put_be32(c->buf, ata_cd_blocks(c->drive) - 1);
	put_be32(c->buf + 4, CD_BLOCK);
	ata_reply(c, 8);
}

/* ---- drive and tray ---- */

static void test_ready(struct ata_cmd *c)
{
	ata_ok(c); /* what speaks against it was looked at before */
}

static void request_sense(struct ata_cmd *c)
{
	struct ata_drive_state *g = c->drive->s;

	memset(c->buf, 0, 18);
	if (g->key == KEY_NONE && g->attention != ATA_UA_NONE) {
		g->key = KEY_ATTENTION;
		g->asc = g->attention == ATA_UA_POWER_ON ? ASC_RESET : ASC_CHANGED;
		g->ascq = 0;
		g->attention = ATA_UA_NONE;
	}
	c->buf[0] = 0x70;
	c->buf[2] = g->key;
	c->buf[7] = 10;
	c->buf[12] = g->asc;
	c->buf[13] = g->ascq;
	g->key = g->asc = g->ascq = 0;
	reply(c, 18, c->s->cdb[4]);
}

static void inquiry(struct ata_cmd *c)
{
	reply(c, mmc_inquiry(c->drive, c->s->cdb, c->buf), be16_at(c->s->cdb + 3));
}

static void prevent(struct ata_cmd *c)
{
	c->drive->s->locked = c->s->cdb[4] & 1;
	ata_ok(c);
}

static void move_tray(struct ata_drive *a, bool open)
{
	struct ata_drive_state *g = a->s;

	if (g->tray_open == open)
		return;
	g->tray_open = open;
	g->event = open ? ATA_EVENT_REMOVED : a->blk != NULL ? ATA_EVENT_NEW : ATA_EVENT_NONE;
	if (!open && a->blk != NULL)
		g->attention = ATA_UA_CHANGED;
}

static void start_stop(struct ata_cmd *c)
{
	const uint8_t how = c->s->cdb[4];
	const bool load = how & 1, eject = (how & 2) != 0;

	if ((how & 0xf0) != 0 || !eject) { /* power conditions; spinning up or down */
		ata_ok(c);
		return;
	}
	if (!load && c->drive->s->locked) {
		ata_cd_check(c, KEY_ILLEGAL, ASC_LOCKED, 2);
		return;
	}
	move_tray(c->drive, !load);
	if (ata_media_out(c->drive))
		dev_request(c->drive->host->dev, DEV_REQ_EJECTED, 0);
	ata_ok(c);
}

static void event_status(struct ata_cmd *c)
{
	reply(c, mmc_event(c->drive, c->s->cdb, c->buf), be16_at(c->s->cdb + 7));
}

static void configuration(struct ata_cmd *c)
{
	reply(c, mmc_configuration(c->drive, c->s->cdb, c->buf), be16_at(c->s->cdb + 7));
}

static void mode_sense(struct ata_cmd *c)
{
	const uint8_t *cdb = c->s->cdb;

	reply(c, mmc_mode_sense(c->drive, cdb, c->buf), cdb[0] == 0x1a ? cdb[4] : be16_at(cdb + 7));
}

static void mode_select(struct ata_cmd *c)
{
	const uint8_t *cdb = c->s->cdb;
	const uint32_t len = cdb[0] == 0x15 ? cdb[4] : be16_at(cdb + 7);

	if (!(cdb[1] & 0x10) || (cdb[1] & 1) || len > ATA_BUF_BYTES)
		bad_field(c);
	else if (len == 0)
		ata_ok(c);
	else
		ata_want(c, len);
}

void ata_cd_received(struct ata_cmd *c)
{
	if (mmc_mode_select(c->drive, c->s->cdb, c->buf, c->s->len))
		ata_ok(c);
	else
		ata_cd_check(c, KEY_ILLEGAL, ASC_PARAMETER, 0);
}

static void toc(struct ata_cmd *c)
{
	reply(c, mmc_toc(c->drive, c->s->cdb, c->buf), be16_at(c->s->cdb + 7));
}

static void sub_channel(struct ata_cmd *c)
{
	reply(c, mmc_sub_channel(c->s->cdb, c->buf), be16_at(c->s->cdb + 7));
}

static void disc_information(struct ata_cmd *c)
{
	reply(c, mmc_disc_information(c->drive, c->buf), be16_at(c->s->cdb + 7));
}

static void track_information(struct ata_cmd *c)
{
	reply(c, mmc_track_information(c->drive, c->s->cdb, c->buf), be16_at(c->s->cdb + 7));
}

static void dvd_structure(struct ata_cmd *c)
{
	reply(c, mmc_dvd_structure(c->drive, c->s->cdb, c->buf), be16_at(c->s->cdb + 8));
}

static void mechanism_status(struct ata_cmd *c)
{
	reply(c, mmc_mechanism_status(c->drive, c->buf), be16_at(c->s->cdb + 8));
}

static void report_luns(struct ata_cmd *c)
{
	memset(c->buf, 0, 16);
	c->buf[3] = 8; /* one: number 0 */
	reply(c, 16, be32_at(c->s->cdb + 6));
}

enum { NEEDS_MEDIUM = 1, ANY_TIME = 2 /* also while there is something to tell */ };
static const struct {
	uint8_t code, how;
	void (*fn)(struct ata_cmd *c);
} packets[] = {
	{ 0x00, NEEDS_MEDIUM, test_ready },
	{ 0x03, ANY_TIME, request_sense },
	{ 0x12, ANY_TIME, inquiry },
	{ 0x15, 0, mode_select },
	{ 0x1a, 0, mode_sense },
	{ 0x1b, 0, start_stop },
	{ 0x1e, 0, prevent },
	{ 0x25, NEEDS_MEDIUM, read_capacity },
	{ 0x28, NEEDS_MEDIUM, read_10 },
	{ 0x2b, NEEDS_MEDIUM, seek },
	{ 0x2f, NEEDS_MEDIUM, test_ready }, /* VERIFY */
	{ 0x35, 0, test_ready },	    /* SYNCHRONIZE CACHE */
	{ 0x42, NEEDS_MEDIUM, sub_channel },
	{ 0x43, NEEDS_MEDIUM, toc },
	{ 0x46, ANY_TIME, configuration },
	{ 0x4a, ANY_TIME, event_status },
	{ 0x51, NEEDS_MEDIUM, disc_information },
	{ 0x52, NEEDS_MEDIUM, track_information },
	{ 0x55, 0, mode_select },
	{ 0x5a, 0, mode_sense },
	{ 0xa0, ANY_TIME, report_luns },
	{ 0xa8, NEEDS_MEDIUM, read_12 },
	{ 0xad, NEEDS_MEDIUM, dvd_structure },
	{ 0xb9, NEEDS_MEDIUM, read_cd_msf },
	{ 0xbb, 0, test_ready }, /* SET CD SPEED: it is as fast as it is */
	{ 0xbd, ANY_TIME, mechanism_status },
	{ 0xbe, NEEDS_MEDIUM, read_cd },
};

static void tell_attention(struct ata_cmd *c)
{
	const uint8_t what = c->drive->s->attention;

	c->drive->s->attention = ATA_UA_NONE;
	ata_cd_check(c, KEY_ATTENTION, what == ATA_UA_POWER_ON ? ASC_RESET : ASC_CHANGED, 0);
}

void ata_cd_packet(struct ata_cmd *c)
{
	struct ata_drive_state *g = c->drive->s;
	const uint8_t code = c->s->cdb[0];

	/* The data's way: by DMA if the command said so, else in pieces of at most that many bytes.
	 */
	c->s->dma = c->s->feature & 1;
	c->s->unit = (uint32_t)(c->s->lba >> 8 & 0xfffe);
	if (c->s->unit == 0)
		c->s->unit = 0xfffe;
	for (size_t i = 0; i < HV_ARRAY_LEN(packets); i++) {
		if (packets[i].code != code)
			continue;
		if (g->attention != ATA_UA_NONE && packets[i].how != ANY_TIME) {
			tell_attention(c);
			return;
		}
		if (packets[i].how == NEEDS_MEDIUM && !ata_cd_has_medium(c->drive)) {
			not_ready(c);
			return;
		}
		if (code != 0x03)
			g->key = g->asc = g->ascq = 0;
		packets[i].fn(c);
		return;
	}
	ata_cd_check(c, KEY_ILLEGAL, ASC_OPCODE, 0);
}

/* ---- ATA commands that a packet device knows ---- */

static void start_packet(struct ata_cmd *c, bool have_cdb)
{
	if (have_cdb) {
		ata_cd_packet(c);
		return;
	}
	c->s->packet = 1;
	c->s->unit = ATA_CDB_BYTES;
	ata_want(c, ATA_CDB_BYTES);
}

static void abort_with_signature(struct ata_cmd *c)
{
	const uint8_t device = c->s->device;

	ata_signature(c->drive, c->s);
	c->s->device = device;
	ata_fail(c, ATA_ABRT);
}

void ata_cd_start(struct ata_cmd *c, bool have_cdb)
{
	struct ata_drive_state *g = c->drive->s;

	switch (c->s->command) {
	case ATA_CMD_PACKET:
		start_packet(c, have_cdb);
		break;
	case 0xa1:
		ata_identify_packet(c->drive, c->buf);
		ata_reply(c, ATA_SECTOR);
		break;
	case 0xec:
	case 0x20:
		abort_with_signature(c);
		break;
	case ATA_CMD_DIAGNOSTIC:
	case ATA_CMD_DEVICE_RESET:
		ata_ok(c);
		ata_signature(c->drive, c->s);
		break;
	case 0xef:
		if ((c->s->feature & 0xff) == 0x03)
			g->xfer = c->s->count & 0x60 ? (uint8_t)c->s->count : 0;
		ata_ok(c);
		break;
	case 0xe5:
		c->s->count = ATA_POWER_ACTIVE;
		ata_ok(c);
		break;
	case 0xe0 ... 0xe3:
	case 0xe6:
		ata_ok(c);
		break;
	default: /* NOP, too */
		ata_fail(c, ATA_ABRT);
	}
}
