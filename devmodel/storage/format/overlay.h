/* Writes that are forgotten: clusters changed since the image was opened, in an unlinked file. */
#ifndef DEVMODEL_STORAGE_FORMAT_OVERLAY_H
#define DEVMODEL_STORAGE_FORMAT_OVERLAY_H
#include "devmodel/storage/blk.h"

struct overlay;

/* base_fd: borrowed. */
int overlay_create(int base_fd, uint64_t bytes, struct overlay **ret_overlay,
		   struct err *e) HV_MUST_CHECK;
void overlay_destroy(struct overlay *o); /* NULL is fine */
/* Any thread; may block. 0 or -errno. */
int overlay_run(struct overlay *o, struct blk_req *r) HV_MUST_CHECK;
/* For blk_ops. */
int overlay_changes_begin(struct overlay *o, struct blk_changes *ret_changes,
			  struct err *e) HV_MUST_CHECK;
void overlay_changes_end(struct overlay *o, struct blk_changes *c);
int overlay_changes_load(struct overlay *o, const uint8_t *map, size_t map_bytes, int fd,
			 uint64_t off, uint64_t data_bytes, struct err *e) HV_MUST_CHECK;
#endif
