/*
 * qcow2 images, versions 2 and 3, by docs/interop/qcow2.txt of QEMU: read and written, with backing
 * images, compressed clusters and internal snapshots (kept as they are). docs/formats/qcow2.md says
 * what is done in which order, so that a power cut leaves at worst clusters that nobody uses.
 *
 * Not done: encryption and external data files (refused); writing images with subclusters and
 * persistent bitmaps (these become invalid when the image is written, as their feature bit says).
 */
#ifndef DEVMODEL_STORAGE_FORMAT_QCOW2_QCOW2_H
#define DEVMODEL_STORAGE_FORMAT_QCOW2_QCOW2_H
#include "devmodel/storage/blk.h"
#include "devmodel/storage/io/host.h"

#define QCOW2_MAX_NAME 1023 /* of a backing file */
#define QCOW2_MIN_CLUSTER_BITS 9u
#define QCOW2_MAX_CLUSTER_BITS 21u

enum qcow2_compression { QCOW2_ZLIB, QCOW2_ZSTD };

struct qcow2_options {
	bool read_only;
	bool direct; /* O_DIRECT for data */
	/* Opens what is corrupt or dirty as it is, for checking; requests are refused. */
	bool for_check;
	enum io_cache cache;
};

/* What a header says. */
struct qcow2_info {
	unsigned version, cluster_bits, refcount_bits;
	enum qcow2_compression compression;
	bool extended_l2, lazy_refcounts, dirty, corrupt;
	unsigned n_snapshots;
	char backing_file[QCOW2_MAX_NAME + 1]; /* "": none */
	char backing_format[64];	       /* "": not said */
};

/* The caller opens the backing image that the header names (qcow2_info()) and gives it by
 * qcow2_set_backing() before the first request. host is taken over on success. name: for messages.
 * The file is locked by the caller. Opening for writing writes: a dirty image is repaired. */
int qcow2_open(struct io_host *host, const char *name, const struct qcow2_options *o,
	       struct blk **ret_blk, struct err *e) HV_MUST_CHECK;
/* Is it such an image? Any blk. */
bool qcow2_is(const struct blk *b);
const struct qcow2_info *qcow2_info(const struct blk *b);
/* Taken over. Nothing is under way. NULL: none; the old one is the caller's. */
void qcow2_set_backing(struct blk *b, struct blk *backing);
/* Bytes of the image's file. */
int qcow2_file_size(struct blk *b, uint64_t *ret_bytes) HV_MUST_CHECK;

struct qcow2_create {
	uint64_t bytes;		/* rounded up to 512 */
	unsigned cluster_bits;	/* 0: 16 */
	unsigned version;	/* 0: 3 */
	unsigned refcount_bits; /* of a cluster's count: 1 to 64; 0: 16; version 2 has 16 */
	bool lazy_refcounts;
	enum qcow2_compression compression;
	const char *backing_file;   /* O */
	const char *backing_format; /* with backing_file: "raw", "qcow2" */
};

/* Writes an empty image into an empty file, not flushed. */
int qcow2_format(struct io_host *host, const struct qcow2_create *c, struct err *e) HV_MUST_CHECK;

/* Makes the disk longer or shorter; drained, writable. What is cut off is lost. */
int qcow2_resize(struct blk *b, uint64_t bytes, struct err *e) HV_MUST_CHECK;
/* Names another backing file; NULL: none. Drained, writable. The contents are the caller's
 * business. */
int qcow2_name_backing(struct blk *b, const char *file, const char *format,
		       struct err *e) HV_MUST_CHECK;

/* A whole cluster, compressed if that saves anything; it must not hold anything yet. Any thread. */
int qcow2_write_compressed(struct blk *b, uint64_t off, const void *cluster) HV_MUST_CHECK;
/* Forgets what the image has there: the backing image shows again. Whole clusters. Any thread. */
int qcow2_forget(struct blk *b, uint64_t off, uint64_t bytes) HV_MUST_CHECK;

/* Merging, a stretch of whole clusters at a time, while requests go on or not; see image_merge.h.
 * Down: what the image has there goes to its backing image (writable, as long) and is synced, then
 * forgotten here. Up: what the backing image itself has there (not what that is based on) and this
 * one lacks is copied. ret_bytes: copied. Any thread, one at a time. */
int qcow2_merge_down(struct blk *b, uint64_t off, uint64_t bytes,
		     uint64_t *ret_bytes) HV_MUST_CHECK;
int qcow2_merge_up(struct blk *b, uint64_t off, uint64_t bytes, uint64_t *ret_bytes) HV_MUST_CHECK;

struct qcow2_check {
	uint64_t errors;   /* places at which the image is wrong */
	uint64_t leaks;	   /* clusters that nobody uses */
	uint64_t clusters; /* of the disk */
	uint64_t allocated, compressed;
	uint64_t file_clusters;
	char first[160]; /* the first error; "": none */
};

/* Counts all references to all clusters. repair: makes every count right and drops what points
 * outside the image; the result says what was found. Opened for_check, not started. */
int qcow2_check(struct blk *b, bool repair, struct qcow2_check *ret_check,
		struct err *e) HV_MUST_CHECK;
#endif
