/*
 * Commands of the floppy controller that move data, a sector at a time: its ID comes under the head
 * (fdc_disk_due), the image and the host are asked for it in the order that the command wants, then
 * the next one; fdc_int.h.
 */
#include "devmodel/storage/ctrl/fdc/fdc_int.h"

#define DMA_CHANNEL 2
#define SIZE_CODE 2 /* N of 512 bytes */
#define FIFO_THRESHOLD 0x0f
#define ID_BYTES 4

enum kind { READ, READ_DELETED, READ_TRACK, WRITE, VERIFY, SCAN, FORMAT, READ_ID };
enum { SCAN_EQUAL = 0x11, SCAN_LOW = 0x19 };
enum { VERIFY_COUNTS = 0x80 }; /* EC, in the second byte */

static enum kind kind_of(const struct fdc *f)
{
	switch (f->s.cmd[0] & 0x1f) {
	case 0x02:
		return READ_TRACK;
	case 0x06:
		return READ;
	case 0x0a:
		return READ_ID;
	case 0x0c:
		return READ_DELETED;
	case 0x0d:
		return FORMAT;
	case 0x16:
		return VERIFY;
	case 0x05:
	case 0x09:
		return WRITE;
	default:
		return SCAN;
	}
}

bool fdc_to_host(const struct fdc *f)
{
	const enum kind k = kind_of(f);

	return k == READ || k == READ_DELETED || k == READ_TRACK;
}

bool fdc_has_dma(const struct fdc *f)
{
	return !(f->s.specify[1] & 1);
}

/* ---- ends ---- */

static void finish(struct fdc *f)
{
	const struct fdc_state *s = &f->s;
	const enum kind k = kind_of(f);
	const uint8_t r[7] = { (uint8_t)((s->st0 & ~4) | s->head << 2),
			       s->st1,
			       s->st2,
			       s->c,
			       s->h,
			       s->r,
			       k == FORMAT || k == READ_ID ? SIZE_CODE : s->cmd[5] };

	fdc_answer(f, r, sizeof(r), true);
}

static void fail(struct fdc *f, uint8_t st1, uint8_t st2)
{
	f->s.st0 |= ST0_ABNORMAL;
	f->s.st1 |= st1;
	f->s.st2 |= st2;
	finish(f);
}

void fdc_disk_pulled(struct fdc *f)
{
	fail(f, ST1_NO_MARK, 0);
}

/* ---- where the head is ---- */

/* A 1.2M drive makes two steps from track to track of a disk with 40. */
static unsigned steps_a_track(const struct fdc_drive *dr)
{
	return dr->type == FLOPPY_DRIVE_1200K && dr->format->cylinders < 80 ? 2 : 1;
}

static unsigned cylinder_of(const struct fdc *f, const struct fdc_drive *dr)
{
	return f->s.unit[f->s.dor & FDC_DOR_SELECT].pos / steps_a_track(dr);
}

/* The disk that turns and whose marks are heard at this rate, with this head; NULL: nothing is. */
static struct fdc_drive *listen(struct fdc *f)
{
	struct fdc_drive *dr = fdc_selected(f);
	const unsigned motor = FDC_DOR_MOTOR << (f->s.dor & FDC_DOR_SELECT);

	if (dr == NULL || dr->blk == NULL || !(f->s.dor & motor) || !(f->s.cmd[0] & FDC_CMD_MFM) ||
	    floppy_rate_in(dr->type, dr->format) != f->s.rate ||
	    cylinder_of(f, dr) >= dr->format->cylinders || f->s.head >= dr->format->heads)
		return NULL;
	return dr;
}

static bool has_sector(const struct fdc_drive *dr, unsigned sector)
{
	return sector != 0 && sector <= dr->format->sectors;
}

static uint64_t offset_of(const struct fdc *f, const struct fdc_drive *dr, unsigned sector)
{
	const unsigned track = cylinder_of(f, dr) * dr->format->heads + f->s.head;

	return (uint64_t)(track * dr->format->sectors + sector - 1) * FLOPPY_SECTOR_BYTES;
}

/* Goes to the command's cylinder; see fdc.c on why always. The steps that it took. */
static unsigned implied_seek(struct fdc *f)
{
	struct fdc_unit_state *u = &f->s.unit[f->s.dor & FDC_DOR_SELECT];
	const struct fdc_drive *dr = fdc_selected(f);
	const unsigned c = f->s.c;

	if (dr == NULL || dr->blk == NULL || cylinder_of(f, dr) == c ||
	    (c >= dr->format->cylinders && !(f->s.config & FDC_CONFIG_EIS)))
		return 0;
	const int steps = (int)(c * steps_a_track(dr)) - u->pos;
	fdc_move_head(f, steps);
	u->pcn = u->pos;
	f->s.st0 |= ST0_SEEK_END;
	return (unsigned)(steps < 0 ? -steps : steps);
}

/* ---- from sector to sector ---- */

static bool multi_track(const struct fdc *f)
{
	return f->s.cmd[0] & FDC_CMD_MT;
}

/* The ID after the present one; false: the command's range ends before it. */
static bool next_id(struct fdc *f)
{
	struct fdc_state *s = &f->s;
	const bool on = multi_track(f) && !(s->h & 1);

	if (s->r != s->eot) {
		s->r++;
		return true;
	}
	s->r = 1;
	if (multi_track(f))
		s->h ^= 1;
	if (on)
		s->head ^= 1;
	else
		s->c++;
	return on;
}

/* A sector is dealt with. */
static void advance(struct fdc *f)
{
	struct fdc_state *s = &f->s;
	const enum kind k = kind_of(f);
	const bool counted = k == READ_TRACK || (k == VERIFY && (s->cmd[1] & VERIFY_COUNTS));
	const bool enough = s->tc || (counted && --s->left == 0);
	bool more = next_id(f);

	if (more && k == SCAN && s->cmd[8] == 2 && !enough)
		more = next_id(f);
	if (s->tc && s->st1 != 0) /* READ TRACK tells at its end */
		fail(f, 0, 0);
	else if (s->tc || (k == VERIFY && enough) || (k == VERIFY && !counted && !more))
		finish(f);
	else if ((k == READ_TRACK && enough) || (k != READ_TRACK && !more))
		fail(f, ST1_END, 0);
	else
		fdc_wait_disk(f, FDC_SECTOR_NS);
}

static void format_next(struct fdc *f)
{
	if (--f->s.left == 0)
		finish(f);
	else
		fdc_wait_disk(f, FDC_SECTOR_NS);
}

/* READ DELETED DATA has met an ordinary sector: it takes this one, and no other. */
static void sector_done(struct fdc *f)
{
	if (f->s.st2 & ST2_MARK)
		finish(f);
	else
		advance(f);
}

/* ---- scanning ---- */

static void compare(struct fdc *f, const uint8_t *disk)
{
	const unsigned code = f->s.cmd[0] & 0x1f;
	bool equal = true, met = true;

	for (unsigned i = 0; i < f->s.buf_len; i++) {
		const uint8_t d = disk[i], h = f->s.buf[i];
		if (d == h || d == 0xff || h == 0xff) /* which fits anything */
			continue;
		equal = false;
		met &= code != SCAN_EQUAL && (code == SCAN_LOW ? d < h : d > h);
	}
	f->s.st2 &= (uint8_t) ~(ST2_EQUAL | ST2_UNLIKE);
	f->s.st2 |= equal ? ST2_EQUAL : met ? 0 : ST2_UNLIKE;
	if (met)
		finish(f);
	else
		advance(f);
}

/* ---- the host's side ---- */

/* Without DMA: an interrupt for each burst, which is a byte where the FIFO is off. */
static void ask_host(struct fdc *f)
{
	const uint8_t config = f->s.config;
	const unsigned burst = config & FDC_CONFIG_NO_FIFO ? 1 : (config & FIFO_THRESHOLD) + 1u;

	if (f->s.buf_at % burst != 0)
		return;
	fdc_interrupt(f, false);
	fdc_interrupt(f, true);
}

static size_t by_dma(struct fdc *f)
{
	const struct isa_dma *dma = f->dma;
	size_t n;

	if (!(f->s.dor & FDC_DOR_GATE))
		return 0;
	dma->set_request(dma->dev, DMA_CHANNEL, true);
	n = fdc_to_host(f) ? dma->write(dma->dev, DMA_CHANNEL, f->s.buf, f->s.buf_len, &f->s.tc)
			   : dma->read(dma->dev, DMA_CHANNEL, f->s.buf, f->s.buf_len, &f->s.tc);
	dma->set_request(dma->dev, DMA_CHANNEL, false);
	return n;
}

/* A sector's ID as FORMAT TRACK got it; one that the image has no place for is nowhere. */
static void format_sector(struct fdc *f)
{
	struct fdc_drive *dr = listen(f);
	const uint8_t *id = f->s.buf;
	const unsigned sector = id[2];

	if (dr == NULL) {
		fail(f, ST1_NO_MARK, 0);
	} else if (id[0] != cylinder_of(f, dr) || id[1] != f->s.head || id[3] != SIZE_CODE ||
		   !has_sector(dr, sector)) {
		dev_guest_error(&f->dev, "a format that the image cannot have");
		format_next(f);
	} else {
		memset(f->s.buf, f->s.cmd[5], sizeof(f->s.buf));
		fdc_submit(f, dr->blk, BLK_WRITE, offset_of(f, dr, sector));
	}
}

/* The host has given n bytes; less than wanted: at the end of its count, or too late. */
static void host_gave(struct fdc *f, size_t n)
{
	struct fdc_state *s = &f->s;
	struct fdc_drive *dr = listen(f);

	if (n < s->buf_len && (!s->tc || n == 0)) {
		fail(f, ST1_OVERRUN, 0);
	} else if (kind_of(f) == FORMAT) {
		format_sector(f);
	} else if (dr == NULL || !has_sector(dr, s->r)) {
		fail(f, ST1_NO_MARK, 0); /* it was changed meanwhile */
	} else if (kind_of(f) == SCAN) {
		s->buf_len = (uint16_t)n;
		fdc_submit(f, dr->blk, BLK_READ, offset_of(f, dr, s->r));
	} else {
		memset(s->buf + n, 0, sizeof(s->buf) - n);
		fdc_submit(f, dr->blk, BLK_WRITE, offset_of(f, dr, s->r));
	}
}

static void host_took(struct fdc *f, size_t n)
{
	if (n < f->s.buf_len && !f->s.tc)
		fail(f, ST1_OVERRUN, 0);
	else
		sector_done(f);
}

static void host_turn(struct fdc *f, uint16_t bytes)
{
	f->s.buf_at = 0;
	f->s.buf_len = bytes;
	if (!fdc_has_dma(f)) {
		f->s.step = FDC_HOST;
		ask_host(f);
	} else if (fdc_to_host(f)) {
		host_took(f, by_dma(f));
	} else {
		host_gave(f, by_dma(f));
	}
}

void fdc_host_wrote(struct fdc *f, uint8_t v)
{
	f->s.buf[f->s.buf_at++] = v;
	if (f->s.buf_at < f->s.buf_len) {
		ask_host(f);
		return;
	}
	fdc_interrupt(f, false);
	host_gave(f, f->s.buf_len);
}

uint8_t fdc_host_reads(struct fdc *f)
{
	const uint8_t v = f->s.buf[f->s.buf_at++];

	if (f->s.buf_at < f->s.buf_len) {
		ask_host(f);
		return v;
	}
	fdc_interrupt(f, false);
	host_took(f, f->s.buf_len);
	return v;
}

/* ---- the disk's side ---- */

static void read_id(struct fdc *f, const struct fdc_drive *dr)
{
	f->s.c = (uint8_t)cylinder_of(f, dr);
	f->s.h = f->s.head;
	f->s.r = (uint8_t)(1 + dev_now_ns(&f->dev) / FDC_SECTOR_NS % dr->format->sectors);
	finish(f);
}

/* Whether the present ID is on the track; what is the matter, if not. */
static bool find_id(const struct fdc *f, const struct fdc_drive *dr, uint8_t *ret_st1,
		    uint8_t *ret_st2)
{
	const struct fdc_state *s = &f->s;
	const bool other = s->c != cylinder_of(f, dr);

	*ret_st2 = other ? ST2_CYLINDER : 0;
	*ret_st1 = other || s->h != s->head || s->cmd[5] != SIZE_CODE || !has_sector(dr, s->r)
			   ? ST1_NO_SECTOR
			   : 0;
	return *ret_st1 == 0;
}

/* Sectors in the order in which they come, whatever their IDs. */
static void read_track(struct fdc *f, const struct fdc_drive *dr)
{
	const unsigned sector = f->s.cmd[6] - f->s.left + 1u;
	uint8_t st1, st2;

	if (!find_id(f, dr, &st1, &st2)) {
		f->s.st1 |= st1;
		f->s.st2 |= st2;
	}
	if (!has_sector(dr, sector))
		fail(f, ST1_NO_SECTOR, 0);
	else
		fdc_submit(f, dr->blk, BLK_READ, offset_of(f, dr, sector));
}

static void on_sector(struct fdc *f, const struct fdc_drive *dr)
{
	const enum kind k = kind_of(f);
	uint8_t st1, st2;

	if (!find_id(f, dr, &st1, &st2)) {
		fail(f, st1, st2);
	} else if (k == READ_DELETED && (f->s.cmd[0] & FDC_CMD_SK)) {
		advance(f); /* no sector has the mark */
	} else if (k == WRITE || k == SCAN) {
		host_turn(f, FLOPPY_SECTOR_BYTES);
	} else {
		f->s.st2 |= k == READ_DELETED ? ST2_MARK : 0;
		fdc_submit(f, dr->blk, BLK_READ, offset_of(f, dr, f->s.r));
	}
}

void fdc_disk_due(struct fdc *f)
{
	struct fdc_drive *dr = listen(f);
	const enum kind k = kind_of(f);

	if (dr == NULL)
		fail(f, ST1_NO_MARK, 0);
	else if ((k == WRITE || k == FORMAT) && dr->blk->read_only)
		fail(f, ST1_PROTECTED, 0);
	else if (k == READ_ID)
		read_id(f, dr);
	else if (k == FORMAT)
		host_turn(f, ID_BYTES);
	else if (k == READ_TRACK)
		read_track(f, dr);
	else
		on_sector(f, dr);
}

void fdc_io_ended(struct fdc *f, int result)
{
	if (result < 0) {
		fail(f, ST1_DATA, ST2_DATA);
		return;
	}
	switch (kind_of(f)) {
	case FORMAT:
		format_next(f);
		break;
	case SCAN:
		compare(f, f->io_buf);
		break;
	case WRITE:
	case VERIFY:
		advance(f);
		break;
	default:
		memcpy(f->s.buf, f->io_buf, sizeof(f->s.buf));
		host_turn(f, FLOPPY_SECTOR_BYTES);
		break;
	}
}

/* ---- beginning ---- */

void fdc_transfer(struct fdc *f)
{
	struct fdc_state *s = &f->s;
	const enum kind k = kind_of(f);
	const bool has_id = k != FORMAT && k != READ_ID;
	uint64_t ns = FDC_ROTATION_NS;

	s->st0 = s->cmd[1] & 3;
	s->st1 = s->st2 = 0;
	s->tc = false;
	s->head = s->cmd[1] >> 2 & 1;
	s->c = has_id ? s->cmd[2] : 0;
	s->h = has_id ? s->cmd[3] : 0;
	s->r = has_id ? s->cmd[4] : 0;
	if (k != READ_ID)
		s->eot = has_id ? s->cmd[6] : s->cmd[3];
	s->left = k == VERIFY ? s->cmd[8] : s->eot;
	if (has_id)
		ns += (uint64_t)implied_seek(f) * FDC_STEP_NS;
	fdc_wait_disk(f, ns);
}
