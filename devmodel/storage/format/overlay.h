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
#endif
