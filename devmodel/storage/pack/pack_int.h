/*
 * The file's layout; numbers are little endian. The index is: struct pack_index, n_items struct
 * pack_entry, and for each item in turn its chunks.
 */
#ifndef DEVMODEL_STORAGE_PACK_PACK_INT_H
#define DEVMODEL_STORAGE_PACK_PACK_INT_H
#include "devmodel/storage/pack/pack.h"

#define PACK_MAGIC "LodgeSn\x1a"
#define PACK_FORMAT 1

struct pack_header { /* at 0; chunks follow */
	char magic[8];
	uint32_t format;
	uint32_t index_crc;
	uint64_t file_bytes;
	uint64_t index_off, index_bytes;
	uint8_t zero[20];
	uint32_t crc; /* of all before */
};
_Static_assert(sizeof(struct pack_header) == 64, "on disk");

struct pack_index {
	uint32_t n_items, zero;
};

struct pack_entry {
	char name[PACK_NAME_MAX + 1]; /* zero-filled */
	uint64_t bytes;
	uint32_t n_chunks, zero;
};
_Static_assert(sizeof(struct pack_entry) == 80, "on disk");

struct pack_chunk {
	uint64_t off; /* in the file: a zstd frame */
	uint32_t packed_bytes, crc;
	uint32_t number; /* which MiB of the item; they rise */
	uint32_t zero;
};
_Static_assert(sizeof(struct pack_chunk) == 24, "on disk");

/* Not empty, only harmless characters, ended and filled up with zeros. */
bool pack_name_ok(const char name[static PACK_NAME_MAX + 1]);
/* Of the item of that length, how much its chunk of that number has. */
static inline uint64_t pack_chunk_bytes(uint64_t item_bytes, uint32_t number)
{
	return hv_min_u64(PACK_CHUNK_BYTES, item_bytes - number * PACK_CHUNK_BYTES);
}

/* ---- work.c ---- */

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

/* What a thread has to work with. */
struct pack_bench {
	struct ZSTD_CCtx_s *compress;	/* either this ... */
	struct ZSTD_DCtx_s *decompress; /* ... or this */
	uint8_t *plain, *packed;	/* a chunk, before and after */
	size_t packed_max;
};

struct pack_work {
	/* Any thread; 0 or -errno with e set. */
	int (*one)(void *ctx, uint64_t i, struct pack_bench *b, struct err *e);
	void *ctx;
	bool compress;
	uint64_t n, item_bytes;
	pack_progress *progress; /* O */
	void *progress_ctx;
};

/* Does 0 to n - 1, by several threads; the first error ends it. */
int pack_do(const struct pack_work *w, struct err *e) HV_MUST_CHECK;
#endif
