/*
 * What ATA and ATAPI drives say of themselves: IDENTIFY, SMART data and logs.
 *
 * Specification: ATA8-ACS, 7.16, 7.17, 7.52 and annex A; Serial ATA 3.1, 13.7 (log page 10h).
 */
#include <stdio.h>
#include "devmodel/storage/ctrl/ata/ata_int.h"

static void put16(uint8_t *p, unsigned word, unsigned v)
{
	p[2 * word] = (uint8_t)v;
	p[2 * word + 1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *p, unsigned word, uint32_t v)
{
	put16(p, word, v & 0xffff);
	put16(p, word + 1, v >> 16);
}

/* Text in words of two characters, the first in the upper half, blanks at the end. */
static void put_text(uint8_t *p, unsigned word, unsigned words, const char *text)
{
	const size_t len = strlen(text);

	for (unsigned i = 0; i < words * 2; i++)
		p[2 * word + (i ^ 1)] = i < len ? (uint8_t)text[i] : ' ';
}

/* Bytes that add up to zero, the last one by this. */
static void put_sum(uint8_t *p)
{
	uint8_t sum = 0;

	for (unsigned i = 0; i < 511; i++)
		sum = (uint8_t)(sum + p[i]);
	p[511] = (uint8_t)-sum;
}

static void put_names(const struct ata_drive *a, uint8_t *p, const char *model)
{
	char serial[21];

	snprintf(serial, sizeof(serial), "LODGE%08u", a->number);
	put_text(p, 10, 10, serial);
	put_text(p, 23, 4, "1.0");
	put_text(p, 27, 20, model);
}

/* Transfer modes, and the one in use. */
static void put_modes(const struct ata_drive *a, uint8_t *p)
{
	const uint8_t x = a->s->xfer, n = x & 7;

	put16(p, 51, 0x200);
	put16(p, 53, 7);
	put16(p, 63, 7u | ((x & 0xf8) == 0x20 ? 0x100u << n : 0));
	put16(p, 64, 3);
	for (unsigned w = 65; w <= 68; w++)
		put16(p, w, 120);
	put16(p, 80, 0x1f0); /* ATA/ATAPI-4 to ATA8-ACS */
	put16(p, 88, 0x3fu | ((x & 0xf8) == 0x40 ? 0x100u << n : 0));
	if (a->sata)
		put16(p, 76, a->kind == ATA_DISK ? 0x106 : 0x006); /* both speeds; queued */
	else
		put16(p, 93, a->unit & 1 ? 0x6b00 : 0x600b); /* found at reset; 80 conductors */
}

static void put_disk_sets(const struct ata_drive *a, uint8_t *p)
{
	const struct ata_drive_state *g = a->s;

	put16(p, 82, 0x4069); /* NOP, look-ahead, write cache, power, SMART */
	put16(p, 83, 0x7400); /* FLUSH CACHE (EXT), 48 bits */
	put16(p, 84, 0x4060); /* FUA, log pages */
	put16(p, 85,
	      0x4008u | g->smart | (g->write_cache ? 0x20u : 0) | (g->look_ahead ? 0x40u : 0));
	put16(p, 86, 0x3400);
	put16(p, 87, 0x4060);
}

static void put_disk_size(const struct ata_drive *a, uint8_t *p)
{
	const struct ata_drive_state *g = a->s;
	const uint64_t sectors = ata_disk_sectors(a);
	const uint32_t chs = (uint32_t)g->cylinders * g->heads * g->sectors;
	uint16_t cyl;
	uint8_t heads, per_track;

	ata_disk_geometry(a, &cyl, &heads, &per_track);
	put16(p, 1, cyl);
	put16(p, 3, heads);
	put16(p, 6, per_track);
	put16(p, 54, g->cylinders);
	put16(p, 55, g->heads);
	put16(p, 56, g->sectors);
	put32(p, 57, chs);
	put32(p, 60, (uint32_t)hv_min_u64(sectors, 0xfffffff));
	put32(p, 100, (uint32_t)sectors);
	put32(p, 102, (uint32_t)(sectors >> 32));
}

void ata_identify_disk(const struct ata_drive *a, uint8_t *p)
{
	const struct ata_drive_state *g = a->s;

	memset(p, 0, ATA_SECTOR);
	put16(p, 0, 0x0040);
	put_names(a, p, "Lodge Hard Disk");
	put16(p, 47, 0x8000 | ATA_MULTIPLE_MAX);
	put16(p, 49, 0x0f00); /* LBA, DMA, IORDY */
	put16(p, 50, 0x4000);
	put16(p, 59, g->multiple != 0 ? 0x100u | g->multiple : 0);
	put_modes(a, p);
	if (a->sata)
		put16(p, 75, 31);
	put_disk_sets(a, p);
	put_disk_size(a, p);
	put16(p, 105, ATA_BUF_BYTES / ATA_SECTOR); /* blocks of ranges of TRIM */
	put16(p, 106, 0x4000);
	put16(p, 119, 0x4000);
	put16(p, 120, 0x4000);
	put16(p, 169, a->blk->read_only ? 0 : 1); /* TRIM */
	put16(p, 217, 1);			  /* does not rotate */
	p[510] = 0xa5;
	put_sum(p);
}

void ata_identify_packet(const struct ata_drive *a, uint8_t *p)
{
	memset(p, 0, ATA_SECTOR);
	put16(p, 0, 0x85c0); /* ATAPI, CD, removable, asks for the packet at once: 12 bytes */
	put_names(a, p, "Lodge DVD-ROM");
	put16(p, 49, 0x0f00);
	put16(p, 50, 0x4000);
	put_modes(a, p);
	put16(p, 71, 30);
	put16(p, 72, 30);
	put16(p, 82, 0x4210); /* NOP, DEVICE RESET, PACKET */
	put16(p, 83, 0x4000);
	put16(p, 84, 0x4000);
	put16(p, 85, 0x4210);
	put16(p, 87, 0x4000);
	p[510] = 0xa5;
	put_sum(p);
}

/* ---- SMART: a disk without a fault ---- */

static const struct {
	uint8_t id, flags, threshold;
	uint16_t raw;
} attributes[] = {
	{ 1, 0x0f, 6, 0 },    /* read errors */
	{ 5, 0x33, 36, 0 },   /* sectors moved */
	{ 9, 0x32, 0, 1 },    /* hours on */
	{ 12, 0x32, 0, 1 },   /* times on */
	{ 194, 0x22, 0, 30 }, /* degrees */
};

void ata_smart_data(uint8_t *p)
{
	put16(p, 0, 16);
	for (unsigned i = 0; i < HV_ARRAY_LEN(attributes); i++) {
		uint8_t *q = p + 2 + 12 * i;
		q[0] = attributes[i].id;
		q[1] = attributes[i].flags;
		q[3] = q[4] = 100; /* now, worst */
		q[5] = (uint8_t)attributes[i].raw;
	}
	put16(p, 184, 3); /* attributes are saved */
	p[370] = 1;	  /* error log */
	p[372] = p[373] = 1;
	put_sum(p);
}

void ata_smart_thresholds(uint8_t *p)
{
	put16(p, 0, 16);
	for (unsigned i = 0; i < HV_ARRAY_LEN(attributes); i++) {
		p[2 + 12 * i] = attributes[i].id;
		p[3 + 12 * i] = attributes[i].threshold;
	}
	put_sum(p);
}

bool ata_smart_log(uint8_t page, uint8_t *p)
{
	switch (page) {
	case 0: /* directory: a page of each log below */
		put16(p, 0, 1);
		put16(p, 1, 1);
		put16(p, 6, 1);
		return true;
	case 1: /* errors: none */
		p[0] = 1;
		break;
	case 6: /* self tests: none */
		p[0] = 1;
		break;
	default:
		return false;
	}
	put_sum(p);
	return true;
}

/* ---- READ LOG EXT ---- */

static void put_ncq_error(const struct ata_drive_state *g, uint8_t *p)
{
	p[0] = g->ncq_failed ? g->ncq_tag : 0x80; /* no queued command */
	p[2] = g->ncq_status;
	p[3] = g->ncq_error;
	for (unsigned i = 0; i < 3; i++) {
		p[4 + i] = (uint8_t)(g->ncq_lba >> 8 * i);
		p[8 + i] = (uint8_t)(g->ncq_lba >> (24 + 8 * i));
	}
	p[7] = g->ncq_device;
	p[12] = (uint8_t)g->ncq_count;
	p[13] = (uint8_t)(g->ncq_count >> 8);
	put_sum(p);
}

bool ata_log(const struct ata_drive *a, uint8_t page, uint8_t *p)
{
	switch (page) {
	case 0:
		put16(p, 0, 1);
		put16(p, 1, 1);
		put16(p, 6, 1);
		if (a->sata)
			put16(p, 0x10, 1);
		return true;
	case 0x10:
		if (!a->sata)
			return false;
		put_ncq_error(a->s, p);
		return true;
	default:
		return ata_smart_log(page, p);
	}
}
