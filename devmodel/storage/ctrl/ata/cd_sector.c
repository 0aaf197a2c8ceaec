/*
 * Whole CD sectors of mode 1, as READ CD returns them: sync pattern, header, user data, checksum
 * and error correction.
 *
 * Specification: ECMA-130, chapter 14 (sector), annex A (correction), clause 14.3 (EDC).
 */
#include "devmodel/storage/ctrl/ata/ata_int.h"

enum { SYNC_BYTES = 12, HEADER_BYTES = 4, EDC_OFF = 2064, P_OFF = 2076, Q_OFF = 2248 };
#define EDC_POLY                                                                                   \
	0xd8018001u /* x^32 + x^31 + x^16 + x^15 + x^4 + x^3 + x + 1, the low bit first            \
		     */

uint32_t cd_raw_bytes(uint8_t flags)
{
	return (flags & CD_SYNC ? SYNC_BYTES : 0) + (flags & CD_HEADER ? HEADER_BYTES : 0) +
	       (flags & CD_DATA ? CD_BLOCK : 0) + (flags & CD_EDC ? CD_RAW_BLOCK - EDC_OFF : 0u);
}

static uint32_t edc(const uint8_t *p, size_t n)
{
	uint32_t v = 0;

	for (size_t i = 0; i < n; i++) {
		v ^= p[i];
		for (unsigned bit = 0; bit < 8; bit++)
			v = v >> 1 ^ (v & 1 ? EDC_POLY : 0);
	}
	return v;
}

/* Times alpha in GF(256) with x^8 + x^4 + x^3 + x^2 + 1. */
static uint8_t twice(uint8_t v)
{
	return (uint8_t)(v << 1 ^ (v & 0x80 ? 0x1d : 0));
}

/* v over (alpha + 1), the same field: times f4h. */
static uint8_t over_three(uint8_t v)
{
	uint8_t r = 0;

	for (unsigned bit = 0; bit < 8; bit++) {
		if (0xf4 >> bit & 1)
			r ^= v;
		v = twice(v);
	}
	return r;
}

/* Two check bytes each of n_words words of len bytes; the word's bytes lie step apart, within size
 * bytes that turn round. */
static void parity(const uint8_t *p, unsigned n_words, unsigned len, unsigned word_step,
		   unsigned byte_step, uint8_t *out)
{
	const unsigned size = n_words * len;

	for (unsigned w = 0; w < n_words; w++) {
		unsigned at = (w >> 1) * word_step + (w & 1);
		uint8_t a = 0, b = 0;
		for (unsigned i = 0; i < len; i++) {
			a = twice((uint8_t)(a ^ p[at]));
			b ^= p[at];
			at += byte_step;
			if (at >= size)
				at -= size;
		}
		a = over_three((uint8_t)(twice(a) ^ b));
		out[w] = a;
		out[w + n_words] = a ^ b;
	}
}

static uint8_t bcd(uint32_t v)
{
	return (uint8_t)(v / 10 % 10 << 4 | v % 10);
}

/* user is at its place in s already. */
static void make_sector(uint8_t *s, uint32_t lba)
{
	const uint32_t frame = lba + 150;
	uint32_t sum;

	memset(s, 0xff, SYNC_BYTES);
	s[0] = s[11] = 0;
	s[12] = bcd(frame / 75 / 60);
	s[13] = bcd(frame / 75 % 60);
	s[14] = bcd(frame % 75);
	s[15] = 1;
	sum = edc(s, EDC_OFF);
	memcpy(s + EDC_OFF, &sum, 4);
	memset(s + EDC_OFF + 4, 0, 8);
	parity(s + SYNC_BYTES, 86, 24, 2, 86, s + P_OFF);
	parity(s + SYNC_BYTES, 52, 43, 86, 88, s + Q_OFF);
}

void cd_make_raw(uint8_t *buf, unsigned n, uint32_t lba, uint8_t flags)
{
	const uint32_t out_bytes = cd_raw_bytes(flags);
	uint8_t sector[CD_RAW_BLOCK];

	/* From the last one: what is written never reaches those that are still to be made. Parts
	 * that are smaller than the user data go the other way round. */
	for (unsigned k = 0; k < n; k++) {
		const unsigned i = out_bytes > CD_BLOCK ? n - 1 - k : k;
		uint8_t *out = buf + i * out_bytes;
		memcpy(sector + SYNC_BYTES + HEADER_BYTES, buf + i * CD_BLOCK, CD_BLOCK);
		make_sector(sector, lba + i);
		const struct {
			uint8_t flag;
			uint32_t off, len;
		} part[] = {
			{ CD_SYNC, 0, SYNC_BYTES },
			{ CD_HEADER, SYNC_BYTES, HEADER_BYTES },
			{ CD_DATA, SYNC_BYTES + HEADER_BYTES, CD_BLOCK },
			{ CD_EDC, EDC_OFF, CD_RAW_BLOCK - EDC_OFF },
		};
		for (unsigned j = 0; j < HV_ARRAY_LEN(part); j++)
			if (flags & part[j].flag) {
				memcpy(out, sector + part[j].off, part[j].len);
				out += part[j].len;
			}
	}
}
