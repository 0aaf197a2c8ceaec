/* Merging images, see image_merge.h. */
#include "devmodel/storage/image_merge.h"
#include <stdlib.h>
#include "base/util.h"
#include "devmodel/storage/image.h"

#define STEP HV_MIB(16)

int image_merge_begin(struct image_merge *m, struct blk *top, enum image_merge_way way,
		      struct err *e)
{
	struct blk *below = top->backing;

	if (!qcow2_is(top) || below == NULL || top->read_only)
		return err_set(e, -EINVAL,
			       "there is nothing to merge: the image is not an overlay");
	if (way == IMAGE_MERGE_DOWN && below->read_only)
		return err_set(e, -EROFS, "cannot merge into an image that is opened for reading");
	if (way == IMAGE_MERGE_DOWN && below->bytes < top->bytes) {
		const int r = below->ops->resize != NULL ? below->ops->resize(below, top->bytes, e)
							 : err_set(e, -EINVAL, "cannot resize");
		if (r < 0)
			return r;
	}
	*m = (struct image_merge){ .top = top, .way = way };
	return 0;
}

int image_merge_step(struct image_merge *m, struct err *e)
{
	const uint64_t cluster = 1ull << qcow2_info(m->top)->cluster_bits;
	const uint64_t end = hv_align_up(m->top->bytes, cluster);
	const uint64_t n = hv_min_u64(STEP, end - m->at);
	uint64_t copied = 0;
	int r = 0;

	if (n > 0)
		r = m->way == IMAGE_MERGE_DOWN ? qcow2_merge_down(m->top, m->at, n, &copied)
					       : qcow2_merge_up(m->top, m->at, n, &copied);
	if (r < 0)
		return err_set(e, r, "cannot merge images: %s", strerror(-r));
	m->at += n;
	m->copied += copied;
	return m->at < end ? 1 : 0;
}

/* The image below has given what it has: its own backing image follows. */
static int relink(struct blk *top, struct err *e)
{
	struct blk *below = top->backing;
	const struct qcow2_info *info = qcow2_is(below) ? qcow2_info(below) : NULL;
	const char *file = info != NULL && info->backing_file[0] != '\0' ? info->backing_file
									 : NULL;
	char *path = NULL;
	int r;

	if (file != NULL)
		path = image_backing_path(qcow2_info(top)->backing_file, file);
	if (file != NULL && path == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	r = qcow2_name_backing(top, path, info != NULL ? info->backing_format : NULL, e);
	free(path);
	if (r < 0)
		return r;
	qcow2_set_backing(top, below->backing);
	below->backing = NULL;
	blk_close(below);
	return 0;
}

int image_merge_finish(struct image_merge *m, struct blk **ret_rest, struct err *e)
{
	struct blk *top = m->top;
	int r;

	if (m->way == IMAGE_MERGE_UP) {
		r = relink(top, e);
		if (r == 0)
			*ret_rest = top;
		return r;
	}
	r = blk_run(top->backing, BLK_FLUSH, 0, NULL, 0);
	if (r < 0)
		return err_set(e, r, "cannot merge images: %s", strerror(-r));
	*ret_rest = top->backing;
	top->backing = NULL;
	blk_close(top);
	return 0;
}
