/*
 * Writing: in place where the image's own cluster is the only one, else into new clusters, which
 * the L2 table names once the data has been written. See flush.c for what a power cut leaves.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "devmodel/storage/format/qcow2/int.h"
#include "devmodel/storage/io/file.h"

#define MAX_RUN HV_MIB(4) /* bytes of new clusters at a time */

/* ---- in place ---- */

/* How much from off on may be overwritten where it is (wanted), or may not. Lock held. */
static int in_place(struct q2 *q, uint64_t off, uint64_t bytes, bool wanted, uint64_t *ret_bytes)
{
	uint64_t done = 0;

	while (done < bytes) {
		struct q2_extent x;
		const int r = q2_map(q, off + done, bytes - done, &x);
		if (r < 0)
			return r;
		if ((x.kind == Q2_DATA && x.in_place) != wanted)
			break;
		done += x.bytes;
	}
	*ret_bytes = done;
	return 0;
}

/* A guest must not reach the tables of its own image. Lock held. */
static int check_target(struct q2 *q, uint64_t host, uint64_t bytes)
{
	for (uint64_t c = q2_index(q, host); c <= q2_index(q, host + bytes - 1); c++)
		if (q2_set_has(&q->meta, c))
			return q2_wrong(q, "data and metadata are both in cluster %llu",
					(unsigned long long)c);
	return 0;
}

static int write_in_place(struct q2 *q, const struct blk_req *r, uint64_t done, uint64_t bytes)
{
	while (bytes > 0) {
		struct iovec part[BLK_MAX_IOV];
		struct q2_extent x;
		pthread_mutex_lock(&q->lock);
		int e = q2_map(q, r->offset + done, bytes, &x);
		if (e == 0)
			e = check_target(q, x.host, x.bytes);
		pthread_mutex_unlock(&q->lock);
		if (e == 0)
			e = io_host_write(&q->host, part,
					  io_iov_slice(r->iov, r->n_iov, done, x.bytes, part),
					  x.host);
		if (e < 0)
			return e;
		done += x.bytes;
		bytes -= x.bytes;
	}
	return 0;
}

/* ---- into new clusters ---- */

/* Part of a request, and the clusters that it goes to. */
struct piece {
	const struct blk_req *r;
	uint64_t done, bytes;	/* of r */
	uint64_t off;		/* r->offset + done */
	uint64_t host, n;	/* cluster, how many */
	bool fresh;		/* reads as zeroes */
	uint32_t before, after; /* bytes of the first and last cluster that r leaves as they are */
	bool zeroes;		/* ... which are zeroes */
};

/* Does the guest see zeroes there, as far as the tables tell? Lock held. */
static bool reads_zero(struct q2 *q, uint64_t off, uint64_t bytes)
{
	const struct blk *b = q->p.blk.backing;
	struct q2_extent x;

	while (bytes > 0) {
		if (q2_map(q, off, bytes, &x) < 0)
			return false;
		if (x.kind != Q2_ZEROES && (x.kind != Q2_NONE || (b != NULL && off < b->bytes)))
			return false;
		off += x.bytes;
		bytes -= x.bytes;
	}
	return true;
}

/* Clusters for as much of the piece as there are in a row. Lock held. */
static int place(struct q2 *q, struct piece *p)
{
	const uint64_t first = hv_align_down(p->off, q->cluster);
	const uint64_t want =
		hv_min_u64(q2_index(q, p->off + p->bytes - 1) - q2_index(q, first) + 1,
			   hv_max_u64(MAX_RUN >> q->info.cluster_bits, 1));
	int e = q2_own_l2(q, p->off);

	if (e == 0)
		e = q2_alloc(q, want, &p->host, &p->n, &p->fresh);
	if (e < 0)
		return e;
	const uint64_t end = first + (p->n << q->info.cluster_bits);
	p->bytes = hv_min_u64(p->bytes, end - p->off);
	p->before = (uint32_t)(p->off - first);
	p->after = (uint32_t)(end - p->off - p->bytes);
	p->zeroes = reads_zero(q, first, p->before) && reads_zero(q, p->off + p->bytes, p->after);
	return 0;
}

/* What surrounds the guest's bytes in the clusters, of which the disk may lack the end. */
static int read_around(struct q2 *q, const struct piece *p, uint8_t *buf)
{
	const uint64_t tail = p->off + p->bytes, size = q->p.blk.bytes;
	const uint64_t there = tail < size ? hv_min_u64(p->after, size - tail) : 0;
	int e = 0;

	memset(buf, 0, p->before + p->after);
	if (p->zeroes)
		return 0;
	if (p->before > 0)
		e = q2_read_buf(q, p->off - p->before, buf, p->before);
	if (e == 0 && there > 0)
		e = q2_read_buf(q, tail, buf + p->before, there);
	return e;
}

static int write_piece(struct q2 *q, const struct piece *p)
{
	const uint64_t host = p->host << q->info.cluster_bits;
	struct iovec v[BLK_MAX_IOV + 2];
	unsigned n = io_iov_slice(p->r->iov, p->r->n_iov, p->done, p->bytes, v + 1);

	if (p->before + p->after == 0 || (p->zeroes && p->fresh))
		return io_host_write(&q->host, v + 1, n, host + p->before);
	auto_free uint8_t *around = malloc(p->before + p->after);
	if (around == NULL)
		return -ENOMEM;
	const int e = read_around(q, p, around);
	if (e < 0)
		return e;
	v[0] = (struct iovec){ around, p->before };
	n++;
	if (p->after > 0)
		v[n++] = (struct iovec){ around + p->before, p->after };
	return p->before > 0 ? io_host_write(&q->host, v, n, host)
			     : io_host_write(&q->host, v + 1, n - 1, host);
}

/* Names the clusters in the L2 table. Lock held. */
static int name_piece(struct q2 *q, const struct piece *p)
{
	for (uint64_t i = 0; i < p->n; i++) {
		const uint64_t at = hv_align_down(p->off, q->cluster) + (i << q->info.cluster_bits);
		const int e = q2_set_entry(q, at,
					   (p->host + i) << q->info.cluster_bits | Q2_COPIED);
		if (e < 0) {
			q2_unalloc(q, p->host + i, p->n - i);
			return e;
		}
	}
	return 0;
}

/* The range is exclusive, lock is held: released meanwhile. bytes: in, at most; out, done. */
static int write_new(struct q2 *q, const struct blk_req *r, uint64_t done, uint64_t *bytes)
{
	struct piece p = { .r = r, .done = done, .bytes = *bytes, .off = r->offset + done };
	int e = place(q, &p);

	while (e == -ENOBUFS) {
		e = q2_grow(q);
		if (e == 0)
			e = place(q, &p);
	}
	if (e < 0)
		return e;
	pthread_mutex_unlock(&q->lock);
	e = write_piece(q, &p);
	pthread_mutex_lock(&q->lock);
	if (e < 0)
		q2_unalloc(q, p.host, p.n);
	else
		e = name_piece(q, &p);
	*bytes = p.bytes;
	return e;
}

int q2_write_held(struct q2 *q, const struct blk_req *r, uint64_t done, uint64_t bytes)
{
	while (bytes > 0) {
		const uint64_t off = r->offset + done;
		uint64_t n = 0;
		int e = in_place(q, off, bytes, true, &n);
		if (e == 0 && n > 0) {
			pthread_mutex_unlock(&q->lock);
			e = write_in_place(q, r, done, n);
			pthread_mutex_lock(&q->lock);
		} else if (e == 0) {
			e = in_place(q, off, bytes, false, &n);
			if (e == 0)
				e = write_new(q, r, done, &n);
		}
		if (e < 0)
			return e;
		done += n;
		bytes -= n;
	}
	return 0;
}

/* Within one L2 table. */
static int write_chunk(struct q2 *q, const struct blk_req *r, uint64_t done, uint64_t bytes)
{
	const uint64_t off = r->offset + done;
	struct q2_range range = { .first = q2_index(q, off), .last = q2_index(q, off + bytes - 1) };
	uint64_t n = 0;

	pthread_mutex_lock(&q->lock);
	int e = in_place(q, off, bytes, true, &n);
	if (e == 0) {
		range.exclusive = n < bytes;
		q2_range_enter(q, &range);
		e = in_place(q, off, bytes, true, &n); /* it may have changed while we waited */
		if (e == 0 && n < bytes && !range.exclusive) {
			q2_range_leave(q, &range);
			range.exclusive = true;
			q2_range_enter(q, &range);
		}
		if (e == 0 && range.exclusive) {
			e = q2_write_held(q, r, done, bytes);
		} else if (e == 0) {
			pthread_mutex_unlock(&q->lock);
			e = write_in_place(q, r, done, bytes);
			pthread_mutex_lock(&q->lock);
		}
		q2_range_leave(q, &range);
	}
	pthread_mutex_unlock(&q->lock);
	return e;
}

int q2_write(struct q2 *q, const struct blk_req *r)
{
	const uint64_t span = q2_l2_span(q);
	int e = 0;

	for (uint64_t done = 0; done < r->bytes && e == 0;) {
		const uint64_t off = r->offset + done;
		const uint64_t n = hv_min_u64(r->bytes - done, span - off % span);
		e = q2_prepare(q);
		if (e == 0)
			e = write_chunk(q, r, done, n);
		done += n;
	}
	return e;
}

/* ---- zeroes ---- */

/* Zeroes as data: a part of a cluster, or what cannot be said otherwise. */
static int write_zero_data(struct q2 *q, uint64_t off, uint64_t bytes)
{
	static const uint8_t zeroes[65536];
	struct blk_req r;
	int e = 0;

	while (bytes > 0 && e == 0) {
		r.offset = off;
		r.bytes = 0;
		for (r.n_iov = 0; r.n_iov < 64 && r.bytes < bytes; r.n_iov++) {
			const uint64_t n = hv_min_u64(bytes - r.bytes, sizeof(zeroes));
			r.iov[r.n_iov] = (struct iovec){ (void *)(uintptr_t)zeroes, n };
			r.bytes += n;
		}
		e = q2_write(q, &r);
		off += r.bytes;
		bytes -= r.bytes;
	}
	return e;
}

int q2_zero_held(struct q2 *q, uint64_t off, uint64_t bytes)
{
	const uint64_t entry = q->info.version >= 3 ? Q2_ZERO : 0;

	for (uint64_t at = off; at < off + bytes; at += q->cluster) {
		struct q2_extent x;
		int e = q2_map(q, at, off + bytes - at, &x);
		if (e == 0 && x.kind == Q2_ZEROES) {
			at += x.bytes - q->cluster;
			continue;
		}
		if (e == 0 && x.kind == Q2_NONE && q->p.blk.backing == NULL) {
			at += hv_align_up(x.bytes, q->cluster) - q->cluster;
			continue;
		}
		if (e == 0)
			e = q2_own_l2(q, at);
		while (e == -ENOBUFS) {
			e = q2_grow(q);
			if (e == 0)
				e = q2_own_l2(q, at);
		}
		if (e == 0)
			e = q2_set_entry(q, at, entry);
		if (e < 0)
			return e;
	}
	return 0;
}

static int zero_clusters(struct q2 *q, uint64_t off, uint64_t bytes)
{
	const uint64_t span = q2_l2_span(q);
	int e = 0;

	for (uint64_t n; bytes > 0 && e == 0; off += n, bytes -= n) {
		n = hv_min_u64(bytes, span - off % span);
		struct q2_range range = { q2_index(q, off), q2_index(q, off + n - 1), true, NULL };
		e = q2_prepare(q);
		if (e < 0)
			break;
		pthread_mutex_lock(&q->lock);
		q2_range_enter(q, &range);
		e = q2_zero_held(q, off, n);
		q2_range_leave(q, &range);
		pthread_mutex_unlock(&q->lock);
	}
	return e;
}

/* The end of the disk counts as the end of a cluster. */
int q2_zero(struct q2 *q, uint64_t off, uint64_t bytes, bool discard)
{
	const uint64_t end = off + bytes;
	const uint64_t first = hv_align_up(off, q->cluster);
	const uint64_t last = end == q->p.blk.bytes ? hv_align_up(end, q->cluster)
						    : hv_align_down(end, q->cluster);
	const bool can = q->info.version >= 3 || q->p.blk.backing == NULL;
	int e = 0;

	/* Discarding is advice; version 2 cannot hide what the backing image has. */
	if (discard && !can)
		return 0;
	if (first >= last || !can)
		return discard ? 0 : write_zero_data(q, off, bytes);
	if (!discard && off < first)
		e = write_zero_data(q, off, first - off);
	if (e == 0)
		e = zero_clusters(q, first, last - first);
	if (e == 0 && !discard && last < end)
		e = write_zero_data(q, last, end - last);
	return e;
}
