/*
 * Disks and files packed into one file, which travels: chunks of a MiB, each compressed and with a
 * checksum of its own, zeroes left out, and a table of contents that is checked before anything is
 * unpacked (docs/formats/exported-snapshot.md). Items have names, not paths: where they go is the
 * reader's business. Chunks are packed and unpacked by as many threads as there are CPUs.
 *
 * The file is hostile when it is read.
 */
#ifndef DEVMODEL_STORAGE_PACK_PACK_H
#define DEVMODEL_STORAGE_PACK_PACK_H
#include "base/err.h"
#include "base/util.h"

#define PACK_NAME_MAX 63 /* bytes of an item's name: [A-Za-z0-9_.-]+ */
#define PACK_CHUNK_BYTES HV_MIB(1)
#define PACK_MAX_ITEMS 64
#define PACK_MAX_ITEM_BYTES (1ull << 46)
#define PACK_MAX_CHUNKS (1u << 22) /* of all items, those of zeroes not counted */

/* done of all bytes of an item, zeroes included. Any thread, one at a time. */
typedef void pack_progress(void *ctx, uint64_t done, uint64_t all);

/* ---- writing ---- */

struct pack_writer;

/* Where an item's bytes come from; any thread, several at a time. Both return 0 or -errno. */
struct pack_source {
	int (*read)(void *ctx, uint64_t off, void *buf, uint64_t bytes);
	/* O: how many bytes from off on are known to be zeroes (0: what is there must be read). */
	int (*zeroes)(void *ctx, uint64_t off, uint64_t bytes, uint64_t *ret_bytes);
	void *ctx;
};

/* fd: a regular, empty file, borrowed until the end. progress: O. */
int pack_writer_create(int fd, pack_progress *progress, void *ctx, struct pack_writer **ret_writer,
		       struct err *e) HV_MUST_CHECK;
/* Blocks until it is packed. After an error only destroy makes sense. */
int pack_writer_item(struct pack_writer *w, const char *name, uint64_t bytes,
		     const struct pack_source *source, struct err *e) HV_MUST_CHECK;
/* Of a text in memory. */
int pack_writer_text(struct pack_writer *w, const char *name, const char *text,
		     struct err *e) HV_MUST_CHECK;
/* Table of contents, disk, header, disk: only now the file can be opened. */
int pack_writer_finish(struct pack_writer *w, struct err *e) HV_MUST_CHECK;
void pack_writer_destroy(struct pack_writer *w); /* NULL is fine; does not touch the file */

/* ---- reading ---- */

struct pack_item {
	char name[PACK_NAME_MAX + 1];
	uint64_t bytes;
	const struct pack_chunk *chunk; /* borrowed */
	uint32_t n_chunks;
};

struct pack {
	int fd; /* borrowed */
	unsigned n_items;
	struct pack_item item[PACK_MAX_ITEMS];
	void *index; /* owned */
};

/* Where the bytes of an item go that are not zeroes; any thread, several at a time. 0 or -errno.
 * At most PACK_CHUNK_BYTES, within the item. */
typedef int pack_sink(void *ctx, uint64_t off, const uint8_t *buf, uint64_t bytes);

/* fd is borrowed until pack_close(). -EBADMSG: not such a file, damaged or cut short; -ENOTSUP: of
 * another format. All but the chunks themselves is checked. */
int pack_open(int fd, struct pack **ret_pack, struct err *e) HV_MUST_CHECK;
void pack_close(struct pack *p); /* NULL is fine */
/* NULL: there is none. */
const struct pack_item *pack_find(const struct pack *p, const char *name);
/* Blocks until all of it is unpacked, in no order. progress: O. */
int pack_read(const struct pack *p, const struct pack_item *i, pack_sink *sink, void *sink_ctx,
	      pack_progress *progress, void *ctx, struct err *e) HV_MUST_CHECK;
/* A text of at most max bytes without zeroes, ended by one; freed by free(). */
int pack_read_text(const struct pack *p, const struct pack_item *i, uint64_t max, char **ret_text,
		   struct err *e) HV_MUST_CHECK;
#endif
