/*
 * The CD drive's longer answers, see ata_int.h. One session, one data track; addresses as blocks or
 * minutes, seconds and frames.
 *
 * Specification: MMC-5, chapters 5 (features), 6 (commands), 7 (mode pages); SPC-3, 6.4.
 */
#include "devmodel/storage/ctrl/ata/ata_int.h"

enum { PROFILE_NONE = 0, PROFILE_CD = 0x08, PROFILE_DVD = 0x10 };
#define LEAD_IN_FRAMES 150u

uint32_t mmc_inquiry(const struct ata_drive *a, const uint8_t *cdb, uint8_t *p)
{
	(void)a;
	if (cdb[1] & 1) { /* vital product data: the list of pages is all there is */
		if (cdb[2] != 0)
			return 0;
		memset(p, 0, 5);
		p[0] = 5;
		p[3] = 1;
		return 5;
	}
	if (cdb[2] != 0)
		return 0;
	memset(p, 0, 36);
	p[0] = 5;    /* CD/DVD */
	p[1] = 0x80; /* removable */
	p[2] = 5;    /* SPC-3 */
	p[3] = 0x32; /* response format 2, ATAPI */
	p[4] = 31;
	memcpy(p + 8, "LODGE   DVD-ROM         1.0 ", 28);
	return 36;
}

static void put_address(uint8_t *p, uint32_t lba, bool msf)
{
	if (!msf) {
		put_be32(p, lba);
		return;
	}
	const uint32_t f = lba + LEAD_IN_FRAMES;
	p[0] = 0;
	p[1] = (uint8_t)hv_min_u64(f / (60 * 75), 255);
	p[2] = (uint8_t)(f / 75 % 60);
	p[3] = (uint8_t)(f % 75);
}

static uint8_t *put_track(uint8_t *p, uint8_t track, uint32_t lba, bool msf)
{
	p[0] = 0;
	p[1] = 0x14; /* data track */
	p[2] = track;
	p[3] = 0;
	put_address(p + 4, lba, msf);
	return p + 8;
}

static uint8_t *put_full_track(uint8_t *p, uint8_t point, uint8_t m, uint8_t s, uint8_t f)
{
	memset(p, 0, 11);
	p[0] = 1; /* session */
	p[1] = 0x14;
	p[3] = point;
	p[8] = m;
	p[9] = s;
	p[10] = f;
	return p + 11;
}

static uint8_t *put_full_toc(const struct ata_drive *a, uint8_t *p)
{
	uint8_t end[4];

	put_address(end, ata_cd_blocks(a), true);
	p = put_full_track(p, 0xa0, 1, 0, 0); /* first track, CD-ROM */
	p = put_full_track(p, 0xa1, 1, 0, 0); /* last track */
	p = put_full_track(p, 0xa2, end[1], end[2], end[3]);
	return put_full_track(p, 1, 0, 2, 0);
}

uint32_t mmc_toc(const struct ata_drive *a, const uint8_t *cdb, uint8_t *p)
{
	const bool msf = cdb[1] & 2;
	const unsigned format = (cdb[2] & 15) != 0 ? cdb[2] & 15u : cdb[9] >> 6;
	const unsigned from = cdb[6];
	uint8_t *q = p + 4;

	p[2] = p[3] = 1; /* tracks, or sessions */
	switch (format) {
	case 0:
		if (from > 1 && from != 0xaa)
			return 0;
		if (from <= 1)
			q = put_track(q, 1, 0, msf);
		q = put_track(q, 0xaa, ata_cd_blocks(a), msf);
		break;
	case 1:
		q = put_track(q, 1, 0, msf);
		break;
	case 2:
		q = put_full_toc(a, q);
		break;
	default:
		return 0;
	}
	put_be16(p, (uint32_t)(q - p) - 2);
	return (uint32_t)(q - p);
}

/* ---- GET CONFIGURATION ---- */

struct features {
	uint8_t *p, *end;
	unsigned from, kind; /* starting feature, RT field */
};

enum { PERSISTENT = 2, CURRENT = 1 };

/* n bytes of the feature's own. Which ones are wanted: all, the current ones, or one. */
static void put_feature(struct features *f, unsigned code, uint8_t flags, const uint8_t *own,
			uint8_t n)
{
	if (code < f->from || (f->kind == 1 && !(flags & CURRENT)) ||
	    (f->kind == 2 && code != f->from))
		return;
	put_be16(f->end, code);
	f->end[2] = flags;
	f->end[3] = n;
	if (n > 0)
		memcpy(f->end + 4, own, n);
	f->end += 4 + n;
}

uint32_t mmc_configuration(const struct ata_drive *a, const uint8_t *cdb, uint8_t *p)
{
	const bool disc = ata_cd_has_medium(a), dvd = ata_cd_is_dvd(a);
	const uint8_t cd_now = disc && !dvd, dvd_now = disc && dvd, now = disc;
	const uint8_t profiles[8] = { 0, PROFILE_DVD, dvd_now, 0, 0, PROFILE_CD, cd_now, 0 };
	const uint8_t core[8] = { 0, 0, 0, 2, 1 }; /* ATAPI; DBE */
	const uint8_t readable[8] = { 0, 0, 8, 0, 0, 1, 0, 0 };
	struct features f = { p, p + 8, be16_at(cdb + 2), cdb[1] & 3 };

	if (f.kind == 3)
		return 0;
	put_feature(&f, 0x00, PERSISTENT | CURRENT, profiles, 8);
	put_feature(&f, 0x01, 2 << 2 | PERSISTENT | CURRENT, core, 8);
	put_feature(&f, 0x02, 1 << 2 | PERSISTENT | CURRENT, (const uint8_t[4]){ 2 }, 4);
	/* a tray that can be locked and ejected */
	put_feature(&f, 0x03, PERSISTENT | CURRENT, (const uint8_t[4]){ 0x29 }, 4);
	put_feature(&f, 0x10, now, readable, 8);
	put_feature(&f, 0x1e, (uint8_t)(2 << 2 | cd_now), (const uint8_t[4]){ 0 }, 4);
	put_feature(&f, 0x1f, dvd_now, (const uint8_t[4]){ 0 }, 4);
	put_feature(&f, 0x100, PERSISTENT | CURRENT, NULL, 0);
	put_feature(&f, 0x105, PERSISTENT | CURRENT, (const uint8_t[4]){ 0 }, 4);
	memset(p, 0, 8);
	put_be16(p + 6, dvd_now ? PROFILE_DVD : cd_now ? PROFILE_CD : PROFILE_NONE);
	put_be32(p, (uint32_t)(f.end - p) - 4);
	return (uint32_t)(f.end - p);
}

/* ---- GET EVENT STATUS NOTIFICATION ---- */

uint32_t mmc_event(struct ata_drive *a, const uint8_t *cdb, uint8_t *p)
{
	const bool media = cdb[4] & 0x10;

	if (!(cdb[1] & 1)) /* the drive cannot call by itself */
		return 0;
	memset(p, 0, 8);
	p[3] = 0x10; /* classes that there are: media */
	if (!media) {
		p[2] = 0x80;
		put_be16(p, 2);
		return 4;
	}
	put_be16(p, 6);
	p[2] = 4;
	p[4] = a->s->event;
	p[5] = (uint8_t)(a->s->tray_open | (ata_cd_has_medium(a) ? 2 : 0));
	a->s->event = ATA_EVENT_NONE;
	return 8;
}

/* ---- mode pages ---- */

static uint8_t *put_recovery(const struct ata_drive *a, uint8_t *p, unsigned control)
{
	memset(p, 0, 12);
	p[0] = 0x01;
	p[1] = 10;
	if (control == 1) { /* what can be changed */
		p[2] = 0x3f;
		p[3] = 0xff;
	} else {
		p[2] = control == 2 ? 0 : a->s->recovery;
		p[3] = control == 2 ? 3 : a->s->retries;
	}
	return p + 12;
}

static uint8_t *put_timeouts(uint8_t *p, unsigned control)
{
	memset(p, 0, 12);
	p[0] = 0x1d;
	p[1] = 10;
	if (control != 1) {
		put_be16(p + 6, 7); /* seconds */
		put_be16(p + 8, 60);
	}
	return p + 12;
}

static uint8_t *put_capabilities(const struct ata_drive *a, uint8_t *p, unsigned control)
{
	memset(p, 0, 22);
	p[0] = 0x2a;
	p[1] = 20;
	if (control == 1)
		return p + 22;
	p[2] = 0x0b; /* reads CD-R, CD-RW, DVD-ROM */
	p[4] = 0x70; /* mode 2 forms, sessions */
	p[5] = 0x00;
	p[6] = (uint8_t)(0x29 | (a->s->locked ? 2 : 0)); /* tray; lock, eject */
	put_be16(p + 8, 8467);				 /* kB/s at most: 48 x */
	put_be16(p + 12, 512);				 /* kB of buffer */
	put_be16(p + 14, 8467);
	return p + 22;
}

uint32_t mmc_mode_sense(const struct ata_drive *a, const uint8_t *cdb, uint8_t *p)
{
	const unsigned page = cdb[2] & 0x3f, control = cdb[2] >> 6;
	const uint32_t head = cdb[0] == 0x1a ? 4 : 8;
	const uint8_t medium = a->s->tray_open ? 0x71 : ata_cd_has_medium(a) ? 0x01 : 0x70;
	uint8_t *q = p + head;

	if (control == 3 || (cdb[3] != 0 && cdb[3] != 0xff)) /* saved pages; subpages */
		return 0;
	memset(p, 0, head);
	if (page == 0x01 || page == 0x3f)
		q = put_recovery(a, q, control);
	if (page == 0x1d || page == 0x3f)
		q = put_timeouts(q, control);
	if (page == 0x2a || page == 0x3f)
		q = put_capabilities(a, q, control);
	if (q == p + head)
		return 0;
	if (head == 4) {
		p[0] = (uint8_t)(q - p - 1);
		p[1] = medium;
	} else {
		put_be16(p, (uint32_t)(q - p) - 2);
		p[2] = medium;
	}
	return (uint32_t)(q - p);
}

bool mmc_mode_select(struct ata_drive *a, const uint8_t *cdb, const uint8_t *p, uint32_t len)
{
	const uint32_t head = cdb[0] == 0x15 ? 4 : 8;
	uint32_t at = head;

	if (len < head)
		return false;
	at += head == 4 ? p[3] : be16_at(p + 6); /* block descriptors */
	while (at + 2 <= len) {
		const uint8_t page = p[at] & 0x3f;
		const uint32_t n = p[at + 1] + 2u;
		if (at + n > len)
			return false;
		if (page == 0x01 && n == 12) {
			a->s->recovery = p[at + 2] & 0x3f;
			a->s->retries = p[at + 3];
		} else if (page != 0x1d && page != 0x2a && page != 0x0e && page != 0x0d) {
			return false;
		}
		at += n;
	}
	return true;
}

/* ---- disc and track ---- */

uint32_t mmc_disc_information(const struct ata_drive *a, uint8_t *p)
{
	(void)a;
	memset(p, 0, 34);
	put_be16(p, 32);
	p[2] = 0x0e; /* complete, last session complete */
	p[3] = p[4] = p[5] = p[6] = 1;
	p[7] = 0x20; /* the disc may be used freely */
	memset(p + 16, 0xff, 8);
	return 34;
}

uint32_t mmc_track_information(const struct ata_drive *a, const uint8_t *cdb, uint8_t *p)
{
	const uint32_t what = be32_at(cdb + 2), blocks = ata_cd_blocks(a);
	const unsigned kind = cdb[1] & 3; /* by address, track, session */

	if (kind == 3 || (kind == 0 ? what >= blocks : what != 1))
		return 0;
	memset(p, 0, 36);
	put_be16(p, 34);
	p[2] = p[3] = 1;
	p[5] = 4; /* data */
	p[6] = 1; /* mode 1 */
	put_be32(p + 24, blocks);
	return 36;
}

static void put_layer(const struct ata_drive *a, uint8_t *p)
{
	const uint32_t first = 0x30000; /* physical sector of the first block */

	p[0] = 0x01; /* DVD-ROM, version 1 */
	p[1] = 0x0f; /* 120 mm; no rate given */
	p[2] = 0x01; /* one layer */
	put_be24(p + 5, first);
	put_be24(p + 9, first + ata_cd_blocks(a) - 1);
}

uint32_t mmc_dvd_structure(const struct ata_drive *a, const uint8_t *cdb, uint8_t *p)
{
	uint32_t n;

	if (!ata_cd_is_dvd(a) || cdb[1] & 15 || cdb[6] != 0)
		return 0;
	switch (cdb[7]) {
	case 0x00:
		n = 2048;
		memset(p, 0, 4 + n);
		put_layer(a, p + 4);
		break;
	case 0x01: /* not protected, all regions */
		n = 4;
		memset(p, 0, 4 + n);
		break;
	case 0x04:
		n = 2048;
		memset(p, 0, 4 + n);
		break;
	default:
		return 0;
	}
	memset(p, 0, 4);
	put_be16(p, n + 2);
	return 4 + n;
}

uint32_t mmc_mechanism_status(const struct ata_drive *a, uint8_t *p)
{
	memset(p, 0, 8);
	p[1] = a->s->tray_open ? 0x10 : 0;
	return 8;
}

uint32_t mmc_sub_channel(const uint8_t *cdb, uint8_t *p)
{
	memset(p, 0, 4);
	p[1] = 0x15; /* no audio */
	if (!(cdb[2] & 0x40))
		return 4;
	if (cdb[3] != 1)
		return 0;
	memset(p + 4, 0, 12);
	put_be16(p + 2, 12);
	p[4] = 1; /* position: at the start */
	p[5] = 0x14;
	p[6] = p[7] = 1;
	return 16;
}
