/*
 * Raw images: the file is the disk. See blk.h. Locked while open, so that no two machines write one
 * image and nobody writes what another reads.
 */
#include "devmodel/storage/format/raw.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "base/util.h"
#include "devmodel/storage/format/pooled.h"
#include "devmodel/storage/io/file.h"
#include "devmodel/storage/io/ring.h"

struct raw {
	struct blk_pooled p;
	struct io_host host;
	struct io_ring *ring; /* owned; NULL: the pool does all */
	bool guarded;
};

static struct raw *of(struct blk *b)
{
	return HV_CONTAINER_OF(b, struct raw, p.blk);
}

/* Whose first bytes make a qcow2 image of the disk: its guest would choose the backing file that
 * the host opens for it the next time. */
static int check_mark(const struct blk_req *r)
{
	uint8_t first[4];
	unsigned n = 0;

	if (r->offset != 0)
		return 0;
	for (unsigned i = 0; i < r->n_iov; i++)
		for (size_t k = 0; k < r->iov[i].iov_len && n < sizeof(first); k++)
			first[n++] = ((const uint8_t *)r->iov[i].iov_base)[k];
	if (n < sizeof(first) || memcmp(first, "QFI\xfb", sizeof(first)) != 0)
		return 0;
	log_msg(LOG_LVL_WARN, "disk",
		"the guest may not make a qcow2 image of a raw disk whose format was guessed: set "
		"its format to raw");
	return -EPERM;
}

static int raw_write(struct raw *w, struct blk_req *r)
{
	const int e = w->guarded ? check_mark(r) : 0;

	return e < 0 ? e : io_host_write(&w->host, r->iov, r->n_iov, r->offset);
}

static int raw_run(struct blk *b, struct blk_req *r)
{
	struct raw *w = of(b);

	if (b->read_only && r->op != BLK_READ && r->op != BLK_FLUSH)
		return -EROFS;
	switch (r->op) {
	case BLK_READ:
		return io_host_read(&w->host, r->iov, r->n_iov, r->offset);
	case BLK_WRITE:
		return raw_write(w, r);
	case BLK_FLUSH:
		return b->read_only ? 0 : io_host_flush(&w->host);
	case BLK_DISCARD:
		return io_host_discard(&w->host, r->offset, r->bytes);
	default:
		return io_host_zero(&w->host, r->offset, r->bytes);
	}
}

static int raw_map(struct blk *b, uint64_t off, uint64_t bytes, struct blk_extent *ret)
{
	const int fd = of(b)->host.fd;
	const off_t data = lseek(fd, (off_t)off, SEEK_DATA);
	const bool here = data >= 0 ? (uint64_t)data == off : errno != ENXIO;
	uint64_t end = off + bytes;

	/* What cannot be asked for is data; what lies past the last of it is none. */
	if (here && data >= 0) {
		const off_t hole = lseek(fd, (off_t)off, SEEK_HOLE);
		end = hole > (off_t)off ? hv_min_u64(end, (uint64_t)hole) : end;
	} else if (!here && data >= 0) {
		end = hv_min_u64(end, (uint64_t)data);
	}
	*ret = (struct blk_extent){ .kind = here ? BLK_EXTENT_DATA : BLK_EXTENT_ZERO,
				    .bytes = end - off,
				    .host_off = off };
	return 0;
}

static int raw_set_writable(struct blk *b, bool writable, struct err *e)
{
	struct raw *w = of(b);
	int r = 0;

	if (writable == !b->read_only)
		return 0;
	if (!writable)
		r = io_host_flush(&w->host);
	if (r < 0)
		return err_set(e, r, "cannot write a disk: %s", strerror(-r));
	r = io_host_set_writer(&w->host, writable, "a disk", e);
	if (r == 0)
		b->read_only = !writable;
	return r;
}

static int raw_resize(struct blk *b, uint64_t bytes, struct err *e)
{
	int r = bytes == 0 || bytes % 512 != 0 || bytes > INT64_MAX ? -EINVAL : 0;

	if (r == 0)
		r = io_host_truncate(&of(b)->host, bytes);
	if (r == 0)
		r = io_host_flush(&of(b)->host);
	if (r < 0)
		return err_set(e, r, "cannot resize a disk: %s", strerror(-r));
	b->bytes = bytes;
	return 0;
}

/* ---- direct I/O ---- */

static void to_pool(void *ctx, struct blk_req *r)
{
	pooled_submit(ctx, r);
}

static int raw_start(struct blk *b, struct err *e)
{
	const int r = pooled_start(b, e);

	return r == 0 && of(b)->ring != NULL ? io_ring_start(of(b)->ring, e) : r;
}

static void raw_stop(struct blk *b)
{
	if (of(b)->ring != NULL)
		io_ring_stop(of(b)->ring);
	pooled_stop(b);
}

static void raw_submit(struct blk *b, struct blk_req *r)
{
	struct raw *w = of(b);
	const bool plain = r->op == BLK_READ ||
			   (r->op == BLK_WRITE && !b->read_only && !w->guarded);

	if (w->ring == NULL || !plain ||
	    !io_host_is_direct(&w->host, r->iov, r->n_iov, r->offset) ||
	    !io_ring_submit(w->ring, r))
		pooled_submit(b, r);
}

/* The ring first: it may hand requests to the pool. */
static void raw_drain(struct blk *b)
{
	if (of(b)->ring != NULL)
		io_ring_drain(of(b)->ring);
	pooled_drain(b);
}

static void raw_close(struct blk *b)
{
	struct raw *w = of(b);

	io_ring_destroy(w->ring);
	pooled_finish(&w->p);
	io_host_finish(&w->host);
	free(w);
}

static const struct blk_ops raw_ops = {
	.start = raw_start,
	.stop = raw_stop,
	.submit = raw_submit,
	.drain = raw_drain,
	.run = raw_run,
	.map = raw_map,
	.set_writable = raw_set_writable,
	.resize = raw_resize,
	.close = raw_close,
};

static void raw_closep(struct raw **w)
{
	if (*w != NULL) {
		(*w)->host.fd = -1; /* still the caller's */
		raw_close(&(*w)->p.blk);
	}
}

int raw_open(int fd, const char *name, const struct raw_options *o, struct blk **ret_blk,
	     struct err *e)
{
	struct raw *w __attribute__((cleanup(raw_closep))) = calloc(1, sizeof(*w));
	int r;

	if (w == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	io_host_init(&w->host, fd, o->cache);
	w->guarded = o->guarded;
	w->p.blk = (struct blk){ .ops = &raw_ops, .block_size = 512, .read_only = o->read_only };
	snprintf(w->p.blk.serial, sizeof(w->p.blk.serial), "lodge-disk");
	r = io_file_size(fd, name, &w->p.blk.bytes, e);
	w->p.blk.bytes = hv_max_u64(w->p.blk.bytes, o->bytes);
	if (r == 0)
		r = io_file_lock(fd, !o->read_only, name, e);
	if (r == 0 && o->direct)
		r = io_host_direct(&w->host, name, e);
	if (r == 0)
		r = pooled_init(&w->p, e);
	if (r == 0 && o->direct) /* without one the pool does it */
		(void)!io_ring_create(w->host.direct_fd, to_pool, &w->p.blk, &w->ring);
	if (r == 0)
		*ret_blk = &((struct raw *)TAKE_PTR(w))->p.blk;
	return r;
}

int blk_raw_open_fd(int fd, const char *name, bool read_only, bool overlay, struct blk **ret_blk,
		    struct err *e)
{
	return blk_raw_open_padded(fd, name, read_only, overlay, 0, ret_blk, e);
}

int blk_raw_open_padded(int fd, const char *name, bool read_only, bool overlay, uint64_t bytes,
			struct blk **ret_blk, struct err *e)
{
	const struct raw_options o = { .read_only = read_only || overlay, .bytes = bytes };
	struct blk *base = NULL;
	int r = raw_open(fd, name, &o, &base, e);

	if (r < 0 || !overlay) {
		if (r == 0)
			*ret_blk = base;
		return r;
	}
	r = blk_overlay_open(base, ret_blk, e);
	if (r < 0) {
		of(base)->host.fd = -1;
		raw_close(base);
	}
	return r;
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
