/*
 * Raw images: the file is the disk. See blk.h. Locked while open, so that no two machines write one
 * image and nobody writes what another reads.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/util.h"
#include "devmodel/storage/blk.h"
#include "devmodel/storage/format/overlay.h"
#include "devmodel/storage/io/file.h"
#include "devmodel/storage/io/pool.h"

struct raw {
	struct blk blk;
	int fd;			 /* owned */
	struct overlay *overlay; /* owned; NULL: writes go to the file */
	struct io_pool *pool;	 /* owned */
};

static int raw_run(void *ctx, struct blk_req *r)
{
	struct raw *w = ctx;

	if (w->overlay != NULL)
		return overlay_run(w->overlay, r);
	if (w->blk.read_only && r->op != BLK_READ && r->op != BLK_FLUSH)
		return -EROFS;
	switch (r->op) {
	case BLK_READ:
		return io_file_read(w->fd, r->iov, r->n_iov, r->offset);
	case BLK_WRITE:
		return io_file_write(w->fd, r->iov, r->n_iov, r->offset);
	case BLK_FLUSH:
		return w->blk.read_only ? 0 : io_file_flush(w->fd);
	case BLK_DISCARD:
		return io_file_discard(w->fd, r->offset, r->bytes);
	default:
		return io_file_zero(w->fd, r->offset, r->bytes);
	}
}

static int raw_start(struct blk *b, struct err *e)
{
	return io_pool_start(HV_CONTAINER_OF(b, struct raw, blk)->pool, e);
}

static void raw_submit(struct blk *b, struct blk_req *r)
{
	io_pool_submit(HV_CONTAINER_OF(b, struct raw, blk)->pool, r);
}

static void raw_drain(struct blk *b)
{
	io_pool_drain(HV_CONTAINER_OF(b, struct raw, blk)->pool);
}

static void raw_close(struct blk *b)
{
	struct raw *w = HV_CONTAINER_OF(b, struct raw, blk);

	io_pool_destroy(w->pool);
	overlay_destroy(w->overlay);
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}

static const struct blk_ops raw_ops = {
	.start = raw_start,
	.submit = raw_submit,
	.drain = raw_drain,
	.close = raw_close,
};

static struct overlay *overlay_of(struct blk *b)
{
	return HV_CONTAINER_OF(b, struct raw, blk)->overlay;
}

static int raw_changes_begin(struct blk *b, struct blk_changes *c, struct err *e)
{
	return overlay_changes_begin(overlay_of(b), c, e);
}

static void raw_changes_end(struct blk *b, struct blk_changes *c)
{
	overlay_changes_end(overlay_of(b), c);
}

static int raw_changes_load(struct blk *b, const uint8_t *map, size_t map_bytes, int fd,
			    uint64_t off, uint64_t data_bytes, struct err *e)
{
	return overlay_changes_load(overlay_of(b), map, map_bytes, fd, off, data_bytes, e);
}

static const struct blk_ops overlay_ops = {
	.start = raw_start,
	.submit = raw_submit,
	.drain = raw_drain,
	.close = raw_close,
	.changes_begin = raw_changes_begin,
	.changes_end = raw_changes_end,
	.changes_load = raw_changes_load,
};

static void raw_closep(struct raw **w)
{
	if (*w != NULL)
		raw_close(&(*w)->blk);
}

int blk_raw_open_fd(int fd, const char *name, bool read_only, bool overlay, struct blk **ret_blk,
		    struct err *e)
{
	return blk_raw_open_padded(fd, name, read_only, overlay, 0, ret_blk, e);
}

int blk_raw_open_padded(int fd, const char *name, bool read_only, bool overlay, uint64_t bytes,
			struct blk **ret_blk, struct err *e)
{
	struct raw *w __attribute__((cleanup(raw_closep))) = calloc(1, sizeof(*w));
	int r;

	if (w == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	w->fd = -1;
	w->blk = (struct blk){ .ops = overlay ? &overlay_ops : &raw_ops,
			       .block_size = 512,
			       .read_only = read_only };
	snprintf(w->blk.serial, sizeof(w->blk.serial), "lodge-disk");
	r = io_file_size(fd, name, &w->blk.bytes, e);
	w->blk.bytes = hv_max_u64(w->blk.bytes, bytes);
	if (r == 0)
		r = io_file_lock(fd, !read_only && !overlay, name, e);
	if (r == 0 && overlay)
		r = overlay_create(fd, w->blk.bytes, &w->overlay, e);
	if (r == 0)
		r = io_pool_create("io", raw_run, w, &w->pool, e);
	if (r < 0)
		return r;
	w->fd = fd;
	*ret_blk = &((struct raw *)TAKE_PTR(w))->blk;
	return 0;
}

int blk_raw_open(const char *path, bool read_only, bool overlay, struct blk **ret_blk,
		 struct err *e)
{
	/* Not blocking, so that a FIFO is refused and not waited for. */
	auto_close int fd = open(path, (read_only || overlay ? O_RDONLY : O_RDWR) | O_CLOEXEC |
					       O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return err_set(e, -errno, "cannot open '%s': %s", path, strerror(errno));
	const int r = blk_raw_open_fd(fd, path, read_only, overlay, ret_blk, e);
	if (r == 0)
		(void)take_fd(&fd);
	return r;
}
