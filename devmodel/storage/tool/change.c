/* lodge-disk resize, rebase, commit: what changes images; see tool.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/util.h"
#include "devmodel/storage/image_merge.h"
#include "devmodel/storage/tool/tool.h"

#define STEP HV_MIB(2)

int cmd_resize(const struct tool *t, struct err *e)
{
	const char *s = t->arg[1] + (t->arg[1][0] == '+');
	struct image_options o = { 0 };
	struct blk *b = NULL;
	uint64_t bytes;
	int r;

	if (tool_parse_size(s, &bytes) < 0 || bytes == 0 || bytes % 512 != 0)
		return err_set(e, -EINVAL, "a size is a number such as 20G, not '%.40s'",
			       t->arg[1]);
	r = tool_open(t, t->arg[0], &o, &b, e);
	if (r < 0)
		return r;
	if (s != t->arg[1])
		bytes += b->bytes;
	if (bytes < b->bytes)
		r = tool_confirm(t, "what lies behind the new end of the disk will be lost", e);
	if (r == 0 && bytes != b->bytes)
		r = b->ops->resize(b, bytes, e);
	blk_close(b);
	return r;
}

/* ---- rebase ---- */

/* The new backing image; NULL: none. */
static int open_new_backing(const struct tool *t, struct blk **ret_blk, struct err *e)
{
	struct image_options o = { .read_only = true };

	*ret_blk = NULL;
	if (t->backing[0] == '\0')
		return 0;
	if (t->backing_format == NULL || image_format_parse(t->backing_format, &o.format) < 0)
		return err_set(e, -EINVAL, "--backing wants --backing-format raw or qcow2");
	auto_free char *path = image_backing_path(t->arg[0], t->backing);
	return path != NULL ? image_open(path, &o, ret_blk, e)
			    : err_set(e, -ENOMEM, "out of memory");
}

static int read_new(struct blk *b, uint64_t off, uint8_t *buf, uint64_t bytes)
{
	const uint64_t there = b == NULL || off >= b->bytes ? 0 : hv_min_u64(bytes, b->bytes - off);

	memset(buf + there, 0, bytes - there);
	return there > 0 ? blk_run(b, BLK_READ, off, buf, there) : 0;
}

/* What of a stretch comes from below and would be another then becomes the image's own. */
static int keep_stretch(struct blk *b, struct blk *below, uint64_t off, uint64_t bytes,
			uint8_t *old, uint8_t *new_)
{
	const uint64_t cluster = 1ull << qcow2_info(b)->cluster_bits;
	int r = blk_run(b, BLK_READ, off, old, bytes);

	if (r == 0)
		r = read_new(below, off, new_, bytes);
	for (uint64_t at = 0, n; at < bytes && r == 0; at += n) {
		n = hv_min_u64(cluster, bytes - at);
		if (memcmp(old + at, new_ + at, n) != 0)
			r = blk_run(b, BLK_WRITE, off + at, old + at, n);
	}
	return r;
}

static int keep_contents(const struct tool *t, struct blk *b, struct blk *below, struct err *e)
{
	auto_free uint8_t *old = malloc(STEP), *new_ = malloc(STEP);
	int r = old != NULL && new_ != NULL ? 0 : -ENOMEM;

	for (uint64_t at = 0; at < b->bytes && r == 0;) {
		struct blk_extent x = { .bytes = hv_min_u64(STEP - at % STEP, b->bytes - at) };
		r = b->ops->map(b, at, x.bytes, &x);
		if (r == 0 && x.kind == BLK_EXTENT_BACKING)
			r = keep_stretch(b, below, at, x.bytes, old, new_);
		at += x.bytes;
		tool_progress(t, at, b->bytes);
	}
	if (r == 0)
		r = blk_run(b, BLK_FLUSH, 0, NULL, 0);
	tool_progress_end(t);
	return r < 0 ? err_set(e, r, "cannot rebase '%.100s': %s", t->arg[0], strerror(-r)) : 0;
}

int cmd_rebase(const struct tool *t, struct err *e)
{
	/* The old backing image may be gone, if it is not needed. */
	struct image_options o = { .no_backing = t->unsafe };
	struct tool as_qcow2 = *t;
	struct blk *b = NULL, *below = NULL;
	int r = 0;

	as_qcow2.format = IMAGE_FORMAT_QCOW2;
	if (t->backing == NULL && !(t->unsafe && t->backing_format != NULL))
		return err_set(e, -EINVAL,
			       "which? --backing FILE --backing-format FORMAT; "
			       "--backing \"\": none");
	r = tool_open(&as_qcow2, t->arg[0], &o, &b, e);
	if (r < 0)
		return r;
	as_qcow2.backing = t->backing != NULL ? t->backing : qcow2_info(b)->backing_file;
	if (!t->unsafe)
		r = open_new_backing(&as_qcow2, &below, e);
	else if (as_qcow2.backing[0] != '\0' && t->backing_format == NULL)
		r = err_set(e, -EINVAL, "--backing wants --backing-format raw or qcow2");
	if (r == 0 && !t->unsafe)
		r = keep_contents(t, b, below, e);
	if (r == 0) {
		auto_free char *name = strdup(as_qcow2.backing);
		r = name == NULL ? err_set(e, -ENOMEM, "out of memory")
				 : qcow2_name_backing(b, name[0] != '\0' ? name : NULL,
						      t->backing_format, e);
	}
	blk_close(below);
	blk_close(b);
	return r;
}

/* ---- commit ---- */

int cmd_commit(const struct tool *t, struct err *e)
{
	struct image_options o = { .backing_writable = true };
	struct tool as_qcow2 = *t;
	struct image_merge m;
	struct blk *top = NULL, *rest = NULL;
	int r;

	as_qcow2.format = IMAGE_FORMAT_QCOW2;
	r = tool_open(&as_qcow2, t->arg[0], &o, &top, e);
	if (r < 0)
		return r;
	r = image_merge_begin(&m, top, IMAGE_MERGE_DOWN, e);
	if (r == 0)
		do {
			r = image_merge_step(&m, e);
			tool_progress(t, m.at, top->bytes);
		} while (r > 0);
	tool_progress_end(t);
	if (r == 0)
		r = image_merge_finish(&m, &rest, e);
	blk_close(r == 0 ? rest : top);
	if (r == 0 && !t->quiet && !t->json)
		printf("%s moved; '%s' has nothing of its own any more\n", TOOL_SIZE(m.copied),
		       t->arg[0]);
	return r;
}
