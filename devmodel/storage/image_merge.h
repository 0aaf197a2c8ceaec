/*
 * Merging an overlay and the image below it into one, offline or while the disk is used. It may be
 * stopped, or the process killed, at any moment: the disk is the same all the time, and a merge
 * that is begun again goes on with what is left.
 *
 *   down: step until the end; then, with nothing under way, once more, and finish: the overlay is
 *         empty and may be removed. Nobody else may be based on the image below.
 *   up:   step until the end, and finish with nothing under way: the overlay is based on what the
 *         image below was based on. The image below is as it was.
 */
#ifndef DEVMODEL_STORAGE_IMAGE_MERGE_H
#define DEVMODEL_STORAGE_IMAGE_MERGE_H
#include "devmodel/storage/blk.h"

enum image_merge_way { IMAGE_MERGE_DOWN, IMAGE_MERGE_UP };

struct image_merge {
	struct blk *top; /* borrowed: a qcow2 image with a backing image; not a live disk itself */
	enum image_merge_way way;
	uint64_t at;	 /* done up to here; bytes of the disk at the end */
	uint64_t copied; /* bytes */
};

/* Down: the image below must be writable (image_options.backing_writable, or set_writable) and
 * becomes as long as the overlay. Loop thread, drained. */
int image_merge_begin(struct image_merge *m, struct blk *top, enum image_merge_way way,
		      struct err *e) HV_MUST_CHECK;
/* Some more, about 16 MiB of the disk. 1: more is to be done, 0: the end is reached. Any thread. */
int image_merge_step(struct image_merge *m, struct err *e) HV_MUST_CHECK;
/* Drained, the end reached. Down: ret_rest is the image below, the caller's from here on, and top
 * is closed. Up: ret_rest is top (still owned by whoever owned it). */
int image_merge_finish(struct image_merge *m, struct blk **ret_rest, struct err *e) HV_MUST_CHECK;
#endif
