/*
 * Disk images by name: the one door to all formats. Opens an image with the images that it is based
 * on, makes new ones, tells what one is.
 *
 * The format of a backing image is what the image above says, never a guess: a guest may write
 * into a raw disk whatever it likes, the marks of another format included. For the same reason a
 * program that knows an image's format says it; IMAGE_FORMAT_AUTO is for what a user names.
 */
#ifndef DEVMODEL_STORAGE_IMAGE_H
#define DEVMODEL_STORAGE_IMAGE_H
#include "devmodel/storage/blk.h"
#include "devmodel/storage/format/qcow2/qcow2.h"
#include "devmodel/storage/io/host.h"

enum image_format { IMAGE_FORMAT_AUTO, IMAGE_FORMAT_RAW, IMAGE_FORMAT_QCOW2, IMAGE_N_FORMATS };

#define IMAGE_MAX_CHAIN 512u /* as many descriptors */

struct image_options {
	enum image_format format;
	bool read_only;
	bool forget;	       /* writes go to an unlinked temporary file */
	bool direct;	       /* O_DIRECT */
	bool for_check;	       /* qcow2: as it is, with all that is wrong in it; no requests */
	bool no_backing;       /* what the image names is not opened: reads there give zeroes */
	bool backing_writable; /* the image right below is opened for writing, to merge into it */
	enum io_cache cache;
	/* O: instead of what the image names; taken over on success. Must be what it names. */
	struct blk *backing;
	uint64_t min_bytes; /* raw: at least that long, zeroes behind the file's end */
};

/* Opens by path: the image and what it is based on, all locked: the image against others that write
 * (or read, if it is written), the others against writers. */
int image_open(const char *path, const struct image_options *o, struct blk **ret_blk,
	       struct err *e) HV_MUST_CHECK;
/* As image_open() with a file that is open already (taken over, or closed). path: for messages, and
 * where relative names of backing files begin. */
int image_open_fd(int fd, const char *path, const struct image_options *o, struct blk **ret_blk,
		  struct err *e) HV_MUST_CHECK;

/* "raw", "qcow2"; -EINVAL. */
int image_format_parse(const char *s, enum image_format *ret_format) HV_MUST_CHECK;
const char *image_format_name(enum image_format f);
/* Of an open image. */
enum image_format image_format_of(const struct blk *b);
/* By the marks of a file's beginning: RAW if there are none. */
int image_format_probe(int fd, const char *path, enum image_format *ret_format,
		       struct err *e) HV_MUST_CHECK;

/* What shows at off of a chain, as far as its images tell without reading: zeroes, or data. Any
 * thread, blocks. */
int image_extent(struct blk *b, uint64_t off, uint64_t bytes,
		 struct blk_extent *ret_extent) HV_MUST_CHECK;

struct image_create {
	enum image_format format; /* not AUTO */
	struct qcow2_create q;	  /* raw: only bytes; 0 with a backing file: as long as that */
	bool replace;		  /* a file of that name may be there */
};

/* Makes an empty image. It appears under its name when it is whole and on the disk, or not at all.
 */
int image_create(const char *path, const struct image_create *c, struct err *e) HV_MUST_CHECK;

/* A file that becomes path when it is whole. */
struct image_new {
	int fd;		   /* owned */
	char *path, *temp; /* owned */
};

int image_new_begin(const char *path, struct image_new *ret_new, struct err *e) HV_MUST_CHECK;
/* Flushes and renames; what was there is replaced if it may be. Frees n in every case. */
int image_new_commit(struct image_new *n, bool replace, struct err *e) HV_MUST_CHECK;
void image_new_abort(struct image_new *n); /* the temporary file goes */

/* The path of an image's backing file: relative names begin at the image's folder. Allocated. */
char *image_backing_path(const char *image, const char *backing);
#endif
