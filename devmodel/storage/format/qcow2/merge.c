/*
 * Merging an image with the one below it, see qcow2.h. At any moment both show the same disk
 * through the upper one: going down, a cluster is forgotten above once it is on the disk below;
 * going up, it is written above while it is still below. So a merge that ends anywhere is begun
 * anew, and finds less to do.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "devmodel/storage/format/qcow2/int.h"

#define STEP HV_MIB(2) /* for so long requests to the same place wait; or a cluster */

/* Lock and an exclusive range are held; released meanwhile. */
typedef int (*merge_fn)(struct q2 *q, uint64_t off, uint64_t bytes, uint8_t *buf, uint64_t *copied);

int q2_forget_held(struct q2 *q, uint64_t off, uint64_t bytes)
{
	int r = 0;

	for (uint64_t at = off; at < off + bytes && r == 0; at += q->cluster) {
		struct q2_extent x;
		r = q2_map(q, at, off + bytes - at, &x);
		if (r == 0 && x.kind == Q2_NONE) {
			at += hv_align_up(x.bytes, q->cluster) - q->cluster;
			continue;
		}
		if (r == 0)
			r = q2_own_l2(q, at);
		while (r == -ENOBUFS) {
			r = q2_grow(q);
			if (r == 0)
				r = q2_own_l2(q, at);
		}
		if (r == 0)
			r = q2_set_entry(q, at, 0);
	}
	return r;
}

/* Calls fn for the range in steps that lie within one L2 table. */
static int in_steps(struct q2 *q, uint64_t off, uint64_t bytes, merge_fn fn, uint64_t *ret_bytes)
{
	const uint64_t span = q2_l2_span(q), step = hv_max_u64(STEP, q->cluster);
	auto_free uint8_t *buf = malloc(step);
	uint64_t copied = 0;
	int r = buf != NULL ? 0 : -ENOMEM;

	for (uint64_t n; bytes > 0 && r == 0; off += n, bytes -= n) {
		n = hv_min_u64(hv_min_u64(bytes, span - off % span), step - off % step);
		struct q2_range range = { q2_index(q, off), q2_index(q, off + n - 1), true, NULL };
		r = q2_prepare(q);
		if (r < 0)
			break;
		pthread_mutex_lock(&q->lock);
		q2_range_enter(q, &range);
		r = fn(q, off, n, buf, &copied);
		q2_range_leave(q, &range);
		pthread_mutex_unlock(&q->lock);
	}
	*ret_bytes = copied;
	return r;
}

static int forget_step(struct q2 *q, uint64_t off, uint64_t bytes, uint8_t *buf, uint64_t *copied)
{
	(void)buf;
	*copied += bytes;
	return q2_forget_held(q, off, bytes);
}

int qcow2_forget(struct blk *b, uint64_t off, uint64_t bytes)
{
	uint64_t copied;

	return in_steps(q2_of(b), off, bytes, forget_step, &copied);
}

/* ---- down ---- */

/* What is in one piece of this image, to the one below. Lock not held. */
static int push(struct q2 *q, const struct q2_extent *x, uint64_t off, uint64_t bytes, uint8_t *buf)
{
	struct blk *below = q->p.blk.backing;
	int r;

	if (x->kind == Q2_ZEROES)
		return blk_run(below, BLK_WRITE_ZEROES, off, NULL, bytes);
	r = q2_read_buf(q, off, buf, bytes);
	return r < 0 ? r : blk_run(below, BLK_WRITE, off, buf, bytes);
}

static int down_step(struct q2 *q, uint64_t off, uint64_t bytes, uint8_t *buf, uint64_t *copied)
{
	const uint64_t end = hv_min_u64(off + bytes, q->p.blk.bytes);
	bool any = false;
	int r = 0;

	for (uint64_t at = off; at < end && r == 0;) {
		struct q2_extent x;
		r = q2_map(q, at, end - at, &x);
		if (r < 0)
			break;
		if (x.kind != Q2_NONE) {
			pthread_mutex_unlock(&q->lock);
			r = push(q, &x, at, x.bytes, buf);
			pthread_mutex_lock(&q->lock);
			*copied += x.bytes;
			any = true;
		}
		at += x.bytes;
	}
	if (r < 0 || !any)
		return r;
	pthread_mutex_unlock(&q->lock);
	r = blk_run(q->p.blk.backing, BLK_FLUSH, 0, NULL, 0);
	pthread_mutex_lock(&q->lock);
	return r < 0 ? r : q2_forget_held(q, off, bytes);
}

int qcow2_merge_down(struct blk *b, uint64_t off, uint64_t bytes, uint64_t *ret_bytes)
{
	if (b->backing == NULL || b->backing->read_only || b->backing->bytes < b->bytes)
		return -EINVAL;
	return in_steps(q2_of(b), off, bytes, down_step, ret_bytes);
}

/* ---- up ---- */

/* What the image below has at off and how far that goes; behind its end are zeroes. */
static int look_below(struct q2 *q, uint64_t off, uint64_t bytes, struct blk_extent *x)
{
	struct blk *below = q->p.blk.backing;

	if (off >= below->bytes) {
		*x = (struct blk_extent){ .kind = BLK_EXTENT_ZERO, .bytes = bytes };
		return 0;
	}
	bytes = hv_min_u64(bytes, below->bytes - off);
	*x = (struct blk_extent){ .kind = BLK_EXTENT_DATA, .bytes = bytes };
	return below->ops->map != NULL ? below->ops->map(below, off, bytes, x) : 0;
}

/* A cluster that this image lacks, all of it (to the end of the disk): is there anything below that
 * is not below that? */
static int needed(struct q2 *q, uint64_t off, uint64_t bytes, bool *ret_needed)
{
	const struct blk *deeper = q->p.blk.backing->backing;
	struct blk_extent x;
	int r = 0;

	*ret_needed = false;
	for (uint64_t at = off; at < off + bytes && r == 0 && !*ret_needed; at += x.bytes) {
		r = look_below(q, at, off + bytes - at, &x);
		/* Zeroes matter if something else would show. */
		*ret_needed = x.kind == BLK_EXTENT_DATA || x.kind == BLK_EXTENT_COMPRESSED ||
			      (x.kind == BLK_EXTENT_ZERO && deeper != NULL && at < deeper->bytes);
	}
	return r;
}

/* Reads and writes a run of clusters that are needed. Lock held, released meanwhile. */
static int pull(struct q2 *q, uint64_t off, uint64_t bytes, uint8_t *buf)
{
	struct blk_req r;

	pthread_mutex_unlock(&q->lock);
	int e = q2_read_buf(q, off, buf, bytes);
	pthread_mutex_lock(&q->lock);
	if (e < 0)
		return e;
	if (q->info.version >= 3 && hv_is_zero(buf, bytes))
		return q2_zero_held(q, off, q->cluster);
	r.op = BLK_WRITE;
	r.offset = off;
	r.bytes = bytes;
	r.iov[0] = (struct iovec){ buf, bytes };
	r.n_iov = 1;
	return q2_write_held(q, &r, 0, bytes);
}

static int up_step(struct q2 *q, uint64_t off, uint64_t bytes, uint8_t *buf, uint64_t *copied)
{
	const uint64_t end = hv_min_u64(off + bytes, q->p.blk.bytes);
	int r = 0;

	for (uint64_t at = off, n; at < end && r == 0; at += n) {
		struct q2_extent x;
		bool wanted = false;
		n = hv_min_u64(q->cluster, end - at);
		r = q2_map(q, at, n, &x);
		if (r < 0 || x.kind != Q2_NONE)
			continue;
		pthread_mutex_unlock(&q->lock);
		r = needed(q, at, n, &wanted);
		pthread_mutex_lock(&q->lock);
		if (r == 0 && wanted) {
			r = pull(q, at, n, buf);
			*copied += n;
		}
	}
	return r;
}

int qcow2_merge_up(struct blk *b, uint64_t off, uint64_t bytes, uint64_t *ret_bytes)
{
	if (b->backing == NULL || b->read_only)
		return -EINVAL;
	return in_steps(q2_of(b), off, bytes, up_step, ret_bytes);
}
