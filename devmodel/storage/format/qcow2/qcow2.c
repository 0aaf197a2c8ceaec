/* qcow2 images: opening, closing, what changes a whole image; see qcow2.h. */
#include "devmodel/storage/format/qcow2/qcow2.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "devmodel/storage/format/qcow2/int.h"

#define L2_CACHE_BYTES HV_MIB(32)
#define RB_CACHE_BYTES HV_MIB(4)

static void free_parts(struct q2 *q)
{
	pooled_finish(&q->p);
	q2_cache_finish(&q->l2);
	q2_cache_finish(&q->rb);
	q2_unpacked_finish(q);
	pthread_cond_destroy(&q->left);
	pthread_mutex_destroy(&q->lock);
	pthread_mutex_destroy(&q->flush_lock);
	free(q->meta.slot);
	free(q->freed);
	free(q->l1);
	free(q->rt);
	free(q->name);
	free(q);
}

/* Lazy counts are written at last, and the mark that they lack goes. */
static int finish_writing(struct q2 *q)
{
	int r;

	pthread_mutex_lock(&q->flush_lock);
	r = q2_flush_locked(q, true);
	/* What the first has freed is counted by the second. */
	if (r == 0)
		r = q2_flush_locked(q, true);
	if (r == 0 && (q->incompat & Q2_INCOMPAT_DIRTY))
		r = q2_set_incompat(q, 0, Q2_INCOMPAT_DIRTY);
	if (r == 0)
		r = io_host_flush(&q->host);
	pthread_mutex_unlock(&q->flush_lock);
	return r;
}

static void q2_close(struct blk *b)
{
	struct q2 *q = q2_of(b);
	struct blk *backing = b->backing;

	pooled_finish(&q->p);
	if (!b->read_only && !q->for_check)
		(void)!finish_writing(q); /* what the guest flushed is there already */
	io_host_finish(&q->host);
	free_parts(q);
	blk_close(backing);
}

static int q2_map_op(struct blk *b, uint64_t off, uint64_t bytes, struct blk_extent *ret)
{
	static const enum blk_extent_kind kinds[] = { [Q2_NONE] = BLK_EXTENT_BACKING,
						      [Q2_ZEROES] = BLK_EXTENT_ZERO,
						      [Q2_DATA] = BLK_EXTENT_DATA,
						      [Q2_PACKED] = BLK_EXTENT_COMPRESSED };
	struct q2 *q = q2_of(b);
	struct q2_extent x = { 0 };

	pthread_mutex_lock(&q->lock);
	const int r = q2_map(q, off, bytes, &x);
	pthread_mutex_unlock(&q->lock);
	if (r == 0)
		*ret = (struct blk_extent){ kinds[x.kind], x.bytes, x.host };
	return r;
}

static int q2_set_writable(struct blk *b, bool writable, struct err *e)
{
	struct q2 *q = q2_of(b);
	int r = 0;

	if (writable == !b->read_only)
		return 0;
	if (!writable)
		r = finish_writing(q);
	if (r < 0)
		return err_set(e, r, "cannot write '%.100s': %s", q->name, strerror(-r));
	r = io_host_set_writer(&q->host, writable, q->name, e);
	if (r == 0)
		b->read_only = !writable;
	return r;
}

static const struct blk_ops q2_ops = {
	POOLED_OPS,
	.run = q2_run,
	.map = q2_map_op,
	.set_writable = q2_set_writable,
	.resize = qcow2_resize,
	.close = q2_close,
};

/* ---- opening ---- */

static int note(struct q2 *q, uint64_t off, uint64_t bytes, const char *what, struct err *e)
{
	for (uint64_t at = off; at < off + bytes; at += q->cluster) {
		const int r = q2_set_add(&q->meta, q2_index(q, at));
		if (r < 0 && r != -EEXIST)
			return err_set(e, r, "out of memory");
		if (r < 0)
			return err_set(e, -EBADMSG,
				       "'%.80s' is not a good qcow2 image: its %s at %#llx "
				       "overlaps other tables (lodge disk repair)",
				       q->name, what, (unsigned long long)at);
	}
	return 0;
}

/* Where metadata is, so that data never gets there. */
static int note_metadata(struct q2 *q, struct err *e)
{
	int r = note(q, 0, 1, "header", e);

	if (r == 0)
		r = note(q, q->l1_off, q->l1_size * 8ull, "L1 table", e);
	if (r == 0)
		r = note(q, q->rt_off, q->rt_size * 8ull, "refcount table", e);
	for (uint32_t i = 0; i < q->rt_size && r == 0; i++)
		if ((q->rt[i] & ~511ull) != 0)
			r = note(q, q->rt[i] & ~511ull, 1, "refcount block", e);
	for (uint32_t i = 0; i < q->l1_size && r == 0; i++)
		if ((q->l1[i] & Q2_OFFSET_MASK) != 0)
			r = note(q, q->l1[i] & Q2_OFFSET_MASK, 1, "L2 table", e);
	if (r == 0 && q->info.n_snapshots > 0)
		r = note(q, q->snapshots_off, 1, "table of snapshots", e);
	return r;
}

/* Before the first change: the marks of what this program does not keep up go, counts are right. */
static int begin_writing(struct q2 *q, struct err *e)
{
	struct qcow2_check c;
	int r = 0;

	if (q->info.dirty) {
		q->for_check = true;
		r = qcow2_check(&q->p.blk, true, &c, e);
		q->for_check = false;
		if (r < 0)
			return r;
	}
	r = note_metadata(q, e);
	if (r == 0 && q->autoclear != 0) {
		r = q2_header_put64(q, Q2_H_AUTOCLEAR, 0);
		if (r < 0)
			return err_set(e, r, "cannot write '%.100s': %s", q->name, strerror(-r));
	}
	return r;
}

/* A block device's end is no end of what was written. */
static bool ends_fresh(const struct q2 *q)
{
	struct stat st;

	return q->host.ops != &io_host_file_ops ||
	       (fstat(q->host.fd, &st) == 0 && S_ISREG(st.st_mode));
}

static void set_places(struct q2 *q)
{
	q->file_end = hv_align_up(q->file_end, q->cluster);
	q->fresh_from = ends_fresh(q) ? q->file_end : UINT64_MAX;
	q2_cache_init(&q->l2, q->cluster, L2_CACHE_BYTES);
	q2_cache_init(&q->rb, q->cluster, RB_CACHE_BYTES);
}

static void q2_freep(struct q2 **q)
{
	if (*q != NULL)
		free_parts(*q);
}

int qcow2_open(struct io_host *host, const char *name, const struct qcow2_options *o,
	       struct blk **ret_blk, struct err *e)
{
	struct q2 *q __attribute__((cleanup(q2_freep))) = calloc(1, sizeof(*q));
	int r;

	if (q == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	pthread_mutex_init(&q->flush_lock, NULL);
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->left, NULL);
	q2_unpacked_init(q);
	q->host = *host;
	q->for_check = o->for_check;
	q->p.blk = (struct blk){ .ops = &q2_ops, .block_size = 512, .read_only = o->read_only };
	snprintf(q->p.blk.serial, sizeof(q->p.blk.serial), "lodge-disk");
	q->name = strdup(name);
	r = q->name != NULL ? io_host_size(&q->host, &q->file_end) : -ENOMEM;
	if (r < 0)
		return err_set(e, r, "cannot open '%s': %s", name, strerror(-r));
	r = q2_header_read(q, o, e);
	if (r < 0)
		return r;
	set_places(q);
	if (!o->read_only && !o->for_check)
		r = begin_writing(q, e);
	if (r == 0)
		r = pooled_init(&q->p, e);
	if (r == 0 && o->direct)
		r = io_host_direct(&q->host, name, e);
	if (r == 0)
		*ret_blk = &((struct q2 *)TAKE_PTR(q))->p.blk;
	return r;
}

bool qcow2_is(const struct blk *b)
{
	return b->ops == &q2_ops;
}

const struct qcow2_info *qcow2_info(const struct blk *b)
{
	return &HV_CONTAINER_OF(b, const struct q2, p.blk)->info;
}

void qcow2_set_backing(struct blk *b, struct blk *backing)
{
	b->backing = backing;
}

int qcow2_file_size(struct blk *b, uint64_t *ret_bytes)
{
	return io_host_size(&q2_of(b)->host, ret_bytes);
}

/* ---- the backing file's name ---- */

int qcow2_name_backing(struct blk *b, const char *file, const char *format, struct err *e)
{
	struct q2 *q = q2_of(b);
	auto_free uint8_t *h = calloc(1, q->cluster);
	const uint64_t fixed = hv_min_u64(q->header_bytes, Q2_H_V3_BYTES);
	int r = h != NULL ? finish_writing(q) : -ENOMEM;

	if (r == 0) /* which may have changed the header */
		r = io_host_get(&q->host, h, q->cluster, 0);
	if (r < 0)
		return err_set(e, r, "cannot write '%.100s': %s", q->name, strerror(-r));
	/* A name of its own place, so that a power cut finds the old one or the new one. */
	const uint64_t old = q2_get64(h + Q2_H_BACKING_OFF);
	memset(h + fixed, 0, q->cluster - fixed);
	if (q->info.version >= 3)
		q2_put32(h + Q2_H_LENGTH, (uint32_t)fixed);
	r = q2_header_put_backing(h, q->cluster, (uint32_t)fixed, file, format,
				  old == Q2_NAME_AT ? Q2_NAME_AT_2 : Q2_NAME_AT, e);
	if (r < 0)
		return r;
	const uint64_t first = hv_min_u64(q->cluster, 512);
	const uint64_t at = q2_get64(h + Q2_H_BACKING_OFF), n = q2_get32(h + Q2_H_BACKING_LEN);
	const uint64_t from = hv_max_u64(at, first); /* of the name, or its end */
	if (at + n > from) {
		r = io_host_put(&q->host, h + from, at + n - from, from);
		if (r == 0)
			r = io_host_flush(&q->host);
	}
	if (r == 0)
		r = io_host_put(&q->host, h, first, 0);
	if (r == 0)
		r = io_host_flush(&q->host);
	if (r < 0)
		return err_set(e, r, "cannot write '%.100s': %s", q->name, strerror(-r));
	q->header_bytes = (uint32_t)fixed;
	snprintf(q->info.backing_file, sizeof(q->info.backing_file), "%s", file ? file : "");
	snprintf(q->info.backing_format, sizeof(q->info.backing_format), "%s",
		 file && format ? format : "");
	return 0;
}
