/* Longer and shorter disks; see qcow2.h. */
#include <stdlib.h>
#include "base/cleanup.h"
#include "devmodel/storage/format/qcow2/int.h"

/* A larger L1 table elsewhere. Lock held. */
static int place_l1(struct q2 *q, uint32_t n, uint64_t *ret_off)
{
	const uint64_t want = (n * 8ull + q->cluster - 1) / q->cluster;
	uint64_t cluster, got;
	bool fresh;
	int r = q2_alloc(q, want, &cluster, &got, &fresh);

	/* In a row: what is too short is left to the next flush. */
	while (r == 0 && got < want) {
		for (uint64_t i = 0; i < got && r == 0; i++)
			r = q2_free_later(q, cluster + i);
		if (r == 0)
			r = q2_alloc(q, want, &cluster, &got, &fresh);
	}
	if (r == 0)
		*ret_off = cluster << q->info.cluster_bits;
	return r;
}

static int write_l1(struct q2 *q, uint64_t off, uint32_t n, const uint64_t *l1)
{
	const uint64_t bytes = hv_align_up(n * 8ull, q->cluster);
	auto_free uint8_t *be = calloc(1, bytes);

	if (be == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		q2_put64(be + 8ull * i, l1[i]);
	return io_host_put(&q->host, be, bytes, off);
}

/* Size, L1 size and place lie in one sector. */
static int write_header(struct q2 *q, uint64_t off, uint32_t n, uint64_t bytes)
{
	uint8_t h[512];
	int r = io_host_flush(&q->host);

	if (r == 0)
		r = io_host_get(&q->host, h, sizeof(h), 0);
	if (r < 0)
		return r;
	q2_put64(h + Q2_H_SIZE, bytes);
	q2_put32(h + Q2_H_L1_SIZE, n);
	q2_put64(h + Q2_H_L1_OFF, off);
	r = io_host_put(&q->host, h, sizeof(h), 0);
	return r < 0 ? r : io_host_flush(&q->host);
}

static int grow_l1(struct q2 *q, uint32_t n)
{
	auto_free uint64_t *l1 = calloc(n, 8);
	const uint64_t old = q->l1_off, old_bytes = q->l1_size * 8ull;
	uint64_t off = 0;
	int r;

	if (l1 == NULL)
		return -ENOMEM;
	pthread_mutex_lock(&q->lock);
	r = place_l1(q, n, &off);
	while (r == -ENOBUFS) {
		r = q2_grow(q);
		if (r == 0)
			r = place_l1(q, n, &off);
	}
	memcpy(l1, q->l1, old_bytes);
	pthread_mutex_unlock(&q->lock);
	if (r == 0)
		r = q2_flush(q); /* the new clusters are counted */
	if (r == 0)
		r = write_l1(q, off, n, l1);
	if (r == 0)
		r = write_header(q, off, n, q->p.blk.bytes);
	if (r < 0)
		return r;
	pthread_mutex_lock(&q->lock);
	free(q->l1);
	q->l1 = TAKE_PTR(l1);
	q->l1_size = n;
	q->l1_off = off;
	for (uint64_t at = off; at < off + n * 8ull && r == 0; at += q->cluster)
		r = q2_set_add(&q->meta, q2_index(q, at));
	for (uint64_t at = old; at < old + old_bytes && r == 0; at += q->cluster) {
		q2_set_remove(&q->meta, q2_index(q, at));
		r = q2_free_later(q, q2_index(q, at));
	}
	pthread_mutex_unlock(&q->lock);
	return r == -EEXIST ? -EBADMSG : r;
}

int qcow2_resize(struct blk *b, uint64_t bytes, struct err *e)
{
	struct q2 *q = q2_of(b);
	const uint64_t span = q2_l2_span(q), whole = hv_align_up(b->bytes, q->cluster);
	const uint64_t n = (bytes + span - 1) / span, kept = hv_align_up(bytes, q->cluster);

	if (bytes == 0 || bytes % 512 != 0 || n > Q2_MAX_L1_BYTES / 8)
		return err_set(e, -EINVAL, "'%.100s' cannot have that size", q->name);
	if (q->info.n_snapshots > 0)
		return err_set(e, -EINVAL, "'%.100s' has internal snapshots, whose size is its",
			       q->name);
	int r = q2_prepare(q);
	/* What is cut off must not show when the disk grows again. */
	if (r == 0 && bytes < b->bytes)
		r = q2_zero(q, bytes, hv_min_u64(kept, b->bytes) - bytes, false);
	if (r == 0 && bytes < b->bytes)
		r = qcow2_forget(b, kept, whole - kept);
	if (r == 0)
		r = q2_flush(q);
	if (r == 0 && n > q->l1_size)
		r = grow_l1(q, (uint32_t)n);
	/* Nor must what the backing image has behind this one's end. */
	if (r == 0 && b->backing != NULL && b->backing->bytes > b->bytes && bytes > b->bytes)
		r = q2_zero(q, b->bytes, hv_min_u64(bytes, b->backing->bytes) - b->bytes, false);
	if (r == 0)
		r = q2_flush(q);
	if (r == 0)
		r = write_header(q, q->l1_off, q->l1_size, bytes);
	if (r == 0)
		b->bytes = bytes;
	if (r == 0)
		r = q2_flush(q);
	if (r < 0)
		return err_set(e, r, "cannot resize '%.100s': %s", q->name, strerror(-r));
	return 0;
}
