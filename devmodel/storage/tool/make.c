/* lodge-disk create, convert, compact: what makes new images; see tool.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/util.h"
#include "devmodel/storage/tool/tool.h"

static int log2_of(uint64_t bytes, unsigned *ret, struct err *e)
{
	*ret = bytes == 0 ? 0 : (unsigned)__builtin_ctzll(bytes);
	/* 2^0 would be the default. */
	return bytes == 0 || (bytes == 1ull << *ret && bytes > 1)
		       ? 0
		       : err_set(e, -EINVAL, "--cluster-size is a power of two, 512 to 2M");
}

/* As is said, or else as it is called; an overlay is qcow2 in any case. */
static enum image_format new_format(const struct tool *t, const char *path)
{
	const char *dot = strrchr(path, '.');

	if (t->to != IMAGE_FORMAT_AUTO)
		return t->to;
	return t->backing == NULL && dot != NULL &&
			       (strcmp(dot, ".raw") == 0 || strcmp(dot, ".img") == 0)
		       ? IMAGE_FORMAT_RAW
		       : IMAGE_FORMAT_QCOW2;
}

/* What the options say of a new image. */
static int from_options(const struct tool *t, const char *path, struct image_create *c,
			struct err *e)
{
	*c = (struct image_create){
		.format = new_format(t, path),
		.q = { .version = t->version,
		       .lazy_refcounts = t->lazy,
		       .compression = t->compress > 0 ? (enum qcow2_compression)t->compress
						      : QCOW2_ZLIB,
		       .backing_file = t->backing,
		       .backing_format = t->backing_format },
		.replace = t->force,
	};
	if (c->format == IMAGE_FORMAT_RAW &&
	    (t->cluster_bytes > 0 || t->lazy || t->compress >= 0 || t->version > 0))
		return err_set(e, -EINVAL, "a raw image has no clusters, versions or compression");
	return log2_of(t->cluster_bytes, &c->q.cluster_bits, e);
}

int cmd_create(const struct tool *t, struct err *e)
{
	auto_free char *path = NULL;
	struct image_create c;
	int r = from_options(t, t->arg[0], &c, e);

	if (r < 0)
		return r;
	if (t->backing != NULL && t->backing_format == NULL)
		return err_set(e, -EINVAL, "--backing wants --backing-format raw or qcow2");
	if (t->n_args < 2 && t->backing == NULL)
		return err_set(e, -EINVAL, "how large? lodge disk create %.100s 20G", t->arg[0]);
	if (t->n_args == 2 && (tool_parse_size(t->arg[1], &c.q.bytes) < 0 || c.q.bytes == 0))
		return err_set(e, -EINVAL, "a size is a number such as 20G, not '%.40s'",
			       t->arg[1]);
	r = tool_target(t, t->arg[0], &path, e);
	return r < 0 ? r : tool_create(path, &c, e);
}

int tool_new(const char *path, const struct image_create *c, struct image_new *ret_new,
	     struct blk **ret_blk, struct err *e)
{
	/* Synced once, at the end. Of a backing image nothing is read: whole clusters come. */
	struct image_options o = { .format = c->format, .cache = IO_CACHE_UNSAFE };
	struct blk *backing = NULL;
	struct io_host host;
	int r = tool_begin(path, ret_new, e);

	if (r < 0)
		return r;
	io_host_init(&host, ret_new->fd, IO_CACHE_UNSAFE);
	if (c->format == IMAGE_FORMAT_QCOW2)
		r = qcow2_format(&host, &c->q, e);
	else if (ftruncate(ret_new->fd, (off_t)c->q.bytes) < 0)
		r = err_set(e, -errno, "cannot write '%s': %s", path, strerror(errno));
	if (r == 0 && c->q.backing_file != NULL)
		r = blk_null_open(c->q.bytes, &backing, e);
	o.backing = backing;
	const int fd = r == 0 ? dup(ret_new->fd) : -1;
	if (r == 0 && fd < 0)
		r = err_set(e, -errno, "cannot open '%s': %s", path, strerror(errno));
	if (r == 0)
		r = image_open_fd(fd, ret_new->temp, &o, ret_blk, e);
	if (r < 0) {
		blk_close(backing);
		image_new_abort(ret_new);
	}
	return r;
}

/* Copies and commits, or leaves nothing behind. Closes c->to. */
static int copy_and_commit(const struct tool *t, struct tool_copy *c, struct image_new *n,
			   bool replace, struct err *e)
{
	c->early_fd = n->fd;
	int r = tool_copy(t, c, e);

	if (r == 0) {
		r = blk_run(c->to, BLK_FLUSH, 0, NULL, 0); /* what could not be written shows */
		if (r < 0)
			err_set(e, r, "cannot write '%.200s': %s", n->path, strerror(-r));
	}
	blk_close(c->to);
	if (r < 0) {
		image_new_abort(n);
		return r;
	}
	return image_new_commit(n, replace, e);
}

int cmd_convert(const struct tool *t, struct err *e)
{
	struct image_options o = { .read_only = true, .direct = t->direct };
	struct tool_copy c = { .packed = t->compress >= 0 };
	auto_free char *path = NULL;
	struct image_create create;
	struct image_new n;
	int r = from_options(t, t->arg[1], &create, e);

	if (r == 0)
		r = tool_target(t, t->arg[1], &path, e);
	if (r == 0)
		r = tool_open(t, t->arg[0], &o, &c.from, e);
	if (r < 0)
		return r;
	create.q.bytes = c.from->bytes;
	r = tool_new(path, &create, &n, &c.to, e);
	if (r == 0)
		r = copy_and_commit(t, &c, &n, t->force, e);
	blk_close(c.from);
	return r;
}

/* ---- compact ---- */

/* Zeroes of a raw image become holes, where they are. */
static int punch_zeroes(const struct tool *t, struct blk *b, struct err *e)
{
	auto_free uint8_t *buf = malloc(HV_MIB(1));
	int r = buf != NULL ? 0 : -ENOMEM;

	for (uint64_t at = 0; at < b->bytes && r == 0;) {
		struct blk_extent x;
		r = image_extent(b, at, b->bytes - at, &x);
		if (r == 0 && x.kind == BLK_EXTENT_ZERO) {
			at += x.bytes;
			continue;
		}
		const uint64_t n = hv_min_u64(HV_MIB(1), b->bytes - at);
		if (r == 0)
			r = blk_run(b, BLK_READ, at, buf, n);
		for (uint64_t k = 0, part; k < n && r == 0; k += part) {
			part = hv_min_u64(65536, n - k);
			if (hv_is_zero(buf + k, part))
				r = blk_run(b, BLK_DISCARD, at + k, NULL, part);
		}
		at += n;
		tool_progress(t, at, b->bytes);
	}
	if (r == 0)
		r = blk_run(b, BLK_FLUSH, 0, NULL, 0);
	tool_progress_end(t);
	return r < 0 ? err_set(e, r, "cannot compact '%.100s': %s", t->arg[0], strerror(-r)) : 0;
}

/* Whom it belongs to and who may read it stays. */
static void keep_owner(const char *path, int fd)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return;
	(void)!fchown(fd, st.st_uid, st.st_gid);
	(void)!fchmod(fd, st.st_mode & 07777);
}

static int rewrite(const struct tool *t, struct blk *from, struct err *e)
{
	const struct qcow2_info *q = qcow2_info(from);
	struct tool_copy c = { .from = from, .own_only = q->backing_file[0] != '\0' };
	struct image_create create = {
		.format = IMAGE_FORMAT_QCOW2,
		.q = { .bytes = from->bytes,
		       .cluster_bits = q->cluster_bits,
		       .version = q->version,
		       .lazy_refcounts = q->lazy_refcounts,
		       .compression = t->compress >= 0 ? (enum qcow2_compression)t->compress
						       : q->compression,
		       .backing_file = c.own_only ? q->backing_file : NULL,
		       .backing_format = c.own_only ? q->backing_format : NULL },
	};
	auto_free char *path = NULL;
	struct image_new n;
	int r;

	if (q->n_snapshots > 0)
		return err_set(e, -EINVAL,
			       "'%.100s' has internal snapshots, which would be lost: lodge disk "
			       "convert copies the disk without them",
			       t->arg[0]);
	c.packed = t->compress >= 0;
	c.keep_packed = true;
	r = tool_real_path(t->arg[0], &path, e);
	if (r == 0)
		r = tool_new(path, &create, &n, &c.to, e);
	if (r < 0)
		return r;
	keep_owner(path, n.fd);
	return copy_and_commit(t, &c, &n, true, e);
}

int cmd_compact(const struct tool *t, struct err *e)
{
	struct image_options o = { 0 };
	struct stat before, after;
	struct blk *b = NULL;
	int r = tool_open(t, t->arg[0], &o, &b, e);

	if (r < 0)
		return r;
	(void)!stat(t->arg[0], &before);
	r = qcow2_is(b) ? rewrite(t, b, e) : punch_zeroes(t, b, e);
	blk_close(b);
	if (r == 0 && !t->quiet && !t->json && stat(t->arg[0], &after) == 0)
		printf("%s before, %s now\n", TOOL_SIZE((uint64_t)before.st_blocks * 512),
		       TOOL_SIZE((uint64_t)after.st_blocks * 512));
	return r;
}
