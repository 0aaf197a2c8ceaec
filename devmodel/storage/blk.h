/*
 * A disk as a controller sees it. The consumer is the controller (storage/ctrl, virtio); images
 * (storage/format) and host I/O (storage/io) implement it.
 */
#ifndef DEVMODEL_STORAGE_BLK_H
#define DEVMODEL_STORAGE_BLK_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include "base/err.h"

struct blk;

enum blk_op { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_WRITE_ZEROES };

#define BLK_MAX_IOV 130

/* One request, embedded in the controller's own. Filled by the controller up to done. */
struct blk_req {
	enum blk_op op;
	uint64_t offset;	       /* bytes; within the image: the controller checked */
	uint64_t bytes;		       /* sum of iov for READ and WRITE */
	struct iovec iov[BLK_MAX_IOV]; /* host memory, valid until done */
	unsigned n_iov;
	/* Called once, in an I/O thread or in submit's caller, no domain held: result is 0 or
	 * -errno. Must not block and not touch device state: it posts (dev_post). */
	void (*done)(struct blk_req *r, int result);
	void *ctx;
	/* private to the back-end */
	struct blk_req *next;
	uint64_t queued_ns;
	void (*front_done)(struct blk_req *r, int result); /* live.c: what done was */
	void *front_ctx;
	bool again; /* live.c: it has been held back */
};

/* What an overlay holds, for a saved state. */
struct blk_changes {
	const uint8_t *map; /* bits; what they stand for is the back-end's business */
	size_t map_bytes;
	const uint8_t *data; /* as long as the disk, in whole pages; holes are zeroes */
	uint64_t data_bytes;
};

/* What lies at a place of an image. */
enum blk_extent_kind {
	BLK_EXTENT_DATA,
	BLK_EXTENT_COMPRESSED, /* data that can be read, but not in one piece from the file */
	BLK_EXTENT_ZERO,       /* reads as zeroes, whatever the backing image has */
	BLK_EXTENT_BACKING     /* nothing here: the backing image's; zeroes without one */
};

struct blk_extent {
	enum blk_extent_kind kind;
	uint64_t bytes;	   /* how far it goes; not 0 */
	uint64_t host_off; /* of DATA in the image's file */
};

struct blk_ops {
	/* O: begins the back-end's threads; before the first request, twice is once. Without it
	 * requests are done in submit. A call of its own, so that a program can put itself into its
	 * sandbox after opening. Loop thread. */
	int (*start)(struct blk *b, struct err *e);
	/* O: undoes start; drained. Loop thread. */
	void (*stop)(struct blk *b);
	/* O (a back-end that cannot change): false: what was written is in the file and synced,
	 * nothing is written from here on and others may read the image; true: as before, if the
	 * file was opened for writing and nobody else reads it. Drained, loop thread. */
	int (*set_writable)(struct blk *b, bool writable, struct err *e);
	/* O: a longer or shorter disk; what is cut off is lost. Drained, loop thread. */
	int (*resize)(struct blk *b, uint64_t bytes, struct err *e);
	/* Any thread. Takes the request in every case; done tells how it went. */
	void (*submit)(struct blk *b, struct blk_req *r);
	/* Any thread. Does the request in the caller's and returns 0 or -errno; done is not called.
	 * iov of a READ may be changed. Blocks. */
	int (*run)(struct blk *b, struct blk_req *r);
	/* O (all is data): what the image has at off, no more than bytes of it (not 0, within the
	 * image). Any thread, blocks. */
	int (*map)(struct blk *b, uint64_t off, uint64_t bytes, struct blk_extent *ret_extent);
	/* Returns when nothing is under way any more; what was held back fails. Loop thread, or in
	 * a device's callback. */
	void (*drain)(struct blk *b);
	/* O: the same, but what is held back for want of room on the host stays so: -ENOSPC. Loop
	 * thread. */
	int (*settle)(struct blk *b);
	void (*close)(struct blk *b);
	/* O: writes are forgotten on close, unless a saved state keeps them. Drained, loop thread.
	 * begin: 0 and changes that are valid until end, or -errno. load: map is hostile, data lies
	 * in fd at off (page-aligned, that many bytes); before the first request. */
	int (*changes_begin)(struct blk *b, struct blk_changes *ret_changes, struct err *e);
	void (*changes_end)(struct blk *b, struct blk_changes *c);
	int (*changes_load)(struct blk *b, const uint8_t *map, size_t map_bytes, int fd,
			    uint64_t off, uint64_t data_bytes, struct err *e);
};

struct blk {
	const struct blk_ops *ops;
	uint64_t bytes;	     /* size; a multiple of 512 */
	uint32_t block_size; /* logical: 512 or 4096 */
	struct blk *backing; /* owned by the back-end: what shows where it has nothing; O */
	bool read_only;
	char serial[21];
};

/* A flushed write survives a power cut. path is opened here and nowhere else. overlay: writes go
 * to an unlinked temporary file and are forgotten. */
int blk_raw_open(const char *path, bool read_only, bool overlay, struct blk **ret_blk,
		 struct err *e) HV_MUST_CHECK;
/* As blk_raw_open() with a file that is open already (taken over on success). */
int blk_raw_open_fd(int fd, const char *name, bool read_only, bool overlay, struct blk **ret_blk,
		    struct err *e) HV_MUST_CHECK;
/* Whose disk has at least that many bytes; those that the file lacks are zeroes. */
int blk_raw_open_padded(int fd, const char *name, bool read_only, bool overlay, uint64_t bytes,
			struct blk **ret_blk, struct err *e) HV_MUST_CHECK;
/* Writes to base (taken over on success) are kept in an unlinked temporary file and forgotten. */
int blk_overlay_open(struct blk *base, struct blk **ret_blk, struct err *e) HV_MUST_CHECK;
int blk_null_open(uint64_t bytes, struct blk **ret_blk, struct err *e) HV_MUST_CHECK;
/* What was opened takes requests from here on. */
static inline HV_MUST_CHECK int blk_start(struct blk *b, struct err *e)
{
	return b->ops->start != NULL ? b->ops->start(b, e) : 0;
}
#define BLK_NO_ROOM "a disk waits for room on the host"
/* Before the machine's state is looked at: 0 if nothing is under way, -ENOSPC if that cannot be. */
static inline HV_MUST_CHECK int blk_settle(struct blk *b)
{
	if (b->ops->settle != NULL)
		return b->ops->settle(b);
	b->ops->drain(b);
	return 0;
}
/* A transfer in the caller's thread; buf of READ and WRITE only. Blocks. */
static inline HV_MUST_CHECK int blk_run(struct blk *b, enum blk_op op, uint64_t off, void *buf,
					uint64_t bytes)
{
	struct blk_req r;

	r.op = op;
	r.offset = off;
	r.bytes = bytes;
	r.iov[0] = (struct iovec){ buf, bytes };
	r.n_iov = buf != NULL ? 1 : 0;
	return b->ops->run(b, &r);
}
static inline void blk_close(struct blk *b)
{
	if (b)
		b->ops->close(b);
}
#endif
