/*
 * Writes that are forgotten (blk_overlay_open()): a cluster that was written lies in an unlinked
 * temporary file at the offset that it has in the image; a bit says so. A partly written one is
 * copied up first.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "base/cleanup.h"
#include "base/thread.h"
#include "base/util.h"
#include "devmodel/storage/format/pooled.h"
#include "devmodel/storage/io/file.h"

#define CLUSTER 65536u
#define SMALL_BYTES (4u << 20)

struct overlay {
	struct blk_pooled p; /* its blk.backing is what lies below */
	int fd;		     /* owned */
	uint64_t bytes;
	pthread_mutex_t lock; /* of map, and of copying a cluster up */
	uint8_t *map;	      /* owned: a bit a cluster */
};

static struct overlay *of(struct blk *b)
{
	return HV_CONTAINER_OF(b, struct overlay, p.blk);
}

static bool present(const struct overlay *o, uint64_t cluster)
{
	return o->map[cluster / 8] >> (cluster % 8) & 1;
}

static void set_present(struct overlay *o, uint64_t cluster)
{
	o->map[cluster / 8] |= (uint8_t)(1u << cluster % 8);
}

/* Lock held: the cluster's old contents into the temporary file. */
static int copy_up(struct overlay *o, uint64_t cluster)
{
	const uint64_t off = cluster * CLUSTER;
	const size_t n = hv_min_u64(CLUSTER, o->bytes - off);
	uint8_t buf[CLUSTER];
	int r = blk_run(o->p.blk.backing, BLK_READ, off, buf, n);

	if (r == 0)
		r = io_file_write(o->fd, &(struct iovec){ buf, n }, 1, off);
	if (r == 0)
		set_present(o, cluster);
	return r;
}

/* Makes every cluster of the range present: those at the ends that it covers only in part by
 * copying, those between by saying so (the caller fills them before it answers). */
static int make_present(struct overlay *o, uint64_t off, uint64_t bytes)
{
	const uint64_t first = off / CLUSTER, last = (off + bytes - 1) / CLUSTER;
	int r = 0;

	pthread_mutex_lock(&o->lock);
	for (uint64_t c = first; c <= last && r == 0; c++) {
		const uint64_t end = hv_min_u64((c + 1) * CLUSTER, o->bytes);
		if (present(o, c))
			continue;
		if (c * CLUSTER >= off && end <= off + bytes)
			set_present(o, c);
		else
			r = copy_up(o, c);
	}
	pthread_mutex_unlock(&o->lock);
	return r;
}

static int read_base(struct overlay *o, const struct blk_req *q, uint64_t done, uint64_t bytes)
{
	struct blk_req r = { .op = BLK_READ, .offset = q->offset + done, .bytes = bytes };

	r.n_iov = io_iov_slice(q->iov, q->n_iov, done, bytes, r.iov);
	return o->p.blk.backing->ops->run(o->p.blk.backing, &r);
}

static int read_own(struct overlay *o, const struct blk_req *q, uint64_t done, uint64_t bytes)
{
	struct iovec part[BLK_MAX_IOV];

	return io_file_read(o->fd, part, io_iov_slice(q->iov, q->n_iov, done, bytes, part),
			    q->offset + done);
}

static int overlay_read(struct overlay *o, const struct blk_req *q)
{
	uint64_t done = 0;

	while (done < q->bytes) {
		const uint64_t at = q->offset + done;
		uint64_t end = (at / CLUSTER + 1) * CLUSTER;
		pthread_mutex_lock(&o->lock);
		const bool here = present(o, at / CLUSTER);
		while (end < q->offset + q->bytes && present(o, end / CLUSTER) == here)
			end += CLUSTER;
		pthread_mutex_unlock(&o->lock);
		const uint64_t n = hv_min_u64(end, q->offset + q->bytes) - at;
		const int r = here ? read_own(o, q, done, n) : read_base(o, q, done, n);
		if (r < 0)
			return r;
		done += n;
	}
	return 0;
}

static int overlay_run(struct blk *b, struct blk_req *q)
{
	struct overlay *o = of(b);
	int r;

	switch (q->op) {
	case BLK_READ:
		return overlay_read(o, q);
	case BLK_WRITE:
		r = make_present(o, q->offset, q->bytes);
		return r < 0 ? r : io_file_write(o->fd, q->iov, q->n_iov, q->offset);
	case BLK_WRITE_ZEROES:
	case BLK_DISCARD: /* zeroes: what was discarded must not show the base again */
		if (q->bytes == 0)
			return 0;
		r = make_present(o, q->offset, q->bytes);
		return r < 0 ? r : io_file_zero(o->fd, q->offset, q->bytes);
	default:
		return 0; /* nothing here outlives the process: flushed is flushed */
	}
}

/* ---- saved states ---- */

static size_t map_bytes(uint64_t bytes)
{
	return (bytes + CLUSTER - 1) / CLUSTER / 8 + 1;
}

static int overlay_changes_begin(struct blk *b, struct blk_changes *c, struct err *e)
{
	const struct overlay *o = of(b);
	const uint64_t n = hv_align_up(o->bytes, HV_PAGE_SIZE);
	void *p = mmap(NULL, n, PROT_READ, MAP_SHARED, o->fd, 0);

	if (p == MAP_FAILED)
		return err_set(e, -errno, "cannot read a disk's changes: %s", strerror(errno));
	*c = (struct blk_changes){ o->map, map_bytes(o->bytes), p, n };
	return 0;
}

static void overlay_changes_end(struct blk *b, struct blk_changes *c)
{
	(void)b;
	munmap((void *)(uintptr_t)c->data, c->data_bytes);
}

static int overlay_changes_load(struct blk *b, const uint8_t *map, size_t n_map, int fd,
				uint64_t off, uint64_t data_bytes, struct err *e)
{
	struct overlay *o = of(b);
	uint8_t buf[CLUSTER];
	int r = 0;

	if (n_map != map_bytes(o->bytes) || data_bytes != hv_align_up(o->bytes, HV_PAGE_SIZE))
		return err_set(e, -EBADMSG, "the changes of a disk do not fit the disk");
	for (uint64_t at = 0; at < o->bytes && r == 0; at += CLUSTER) {
		const size_t n = hv_min_u64(CLUSTER, o->bytes - at);
		if (!(map[at / CLUSTER / 8] >> (at / CLUSTER % 8) & 1))
			continue;
		r = io_file_read(fd, &(struct iovec){ buf, n }, 1, off + at);
		if (r == 0)
			r = io_file_write(o->fd, &(struct iovec){ buf, n }, 1, at);
		set_present(o, at / CLUSTER);
	}
	return r < 0 ? err_set(e, r, "cannot copy a disk's changes: %s", strerror(-r)) : 0;
}

static void overlay_destroy(struct overlay *o)
{
	pooled_finish(&o->p);
	if (o->fd >= 0)
		close(o->fd);
	pthread_mutex_destroy(&o->lock);
	free(o->map);
	free(o);
}

static void overlay_close(struct blk *b)
{
	struct blk *base = b->backing;

	overlay_destroy(of(b));
	blk_close(base);
}

static const struct blk_ops overlay_ops = {
	POOLED_OPS,
	.run = overlay_run,
	.close = overlay_close,
	.changes_begin = overlay_changes_begin,
	.changes_end = overlay_changes_end,
	.changes_load = overlay_changes_load,
};

/* A floppy's is in memory: it may be made when no file can be opened any more. */
static int open_unlinked(uint64_t bytes, struct err *e)
{
	const char *dir = getenv("TMPDIR");
	int fd;

	if (bytes <= SMALL_BYTES) {
		fd = memfd_create("overlay", MFD_CLOEXEC);
		return fd >= 0 ? fd : err_set(e, -errno, "out of memory");
	}
	if (dir == NULL || dir[0] == '\0')
		dir = "/var/tmp"; /* on disk, unlike /tmp on many hosts */
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
	if (fd < 0)
		fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
	if (fd < 0)
		return err_set(e, -errno, "cannot make a temporary file in '%s': %s", dir,
			       strerror(errno));
	return fd;
}

static void overlay_destroyp(struct overlay **o)
{
	if (*o != NULL)
		overlay_destroy(*o);
}

int blk_overlay_open(struct blk *base, struct blk **ret_blk, struct err *e)
{
	struct overlay *o __attribute__((cleanup(overlay_destroyp))) = calloc(1, sizeof(*o));

	if (o == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	pthread_mutex_init(&o->lock, NULL);
	o->p.blk = (struct blk){ .ops = &overlay_ops,
				 .bytes = base->bytes,
				 .block_size = base->block_size,
				 .backing = base };
	snprintf(o->p.blk.serial, sizeof(o->p.blk.serial), "%s", base->serial);
	o->bytes = base->bytes;
	o->fd = open_unlinked(o->bytes, e);
	if (o->fd < 0)
		return o->fd;
	o->map = calloc(1, map_bytes(o->bytes));
	if (o->map == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	if (ftruncate(o->fd, (off_t)hv_align_up(o->bytes, HV_PAGE_SIZE)) < 0)
		return err_set(e, -errno, "cannot make a temporary file: %s", strerror(errno));
	const int r = pooled_init(&o->p, e);
	if (r == 0)
		*ret_blk = &((struct overlay *)TAKE_PTR(o))->p.blk;
	return r;
}
