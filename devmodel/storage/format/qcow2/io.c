/* Requests of a guest: reading, and what goes to write.c; see int.h. */
#include "devmodel/storage/format/qcow2/int.h"
#include "devmodel/storage/io/file.h"

static void zero_iov(const struct iovec *iov, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		memset(iov[i].iov_base, 0, iov[i].iov_len);
}

/* What the backing image has, zeroes past its end. r's iov are the bytes wanted. */
static int read_backing(struct q2 *q, struct blk_req *r)
{
	struct blk *b = q->p.blk.backing;
	const uint64_t there = b == NULL || r->offset >= b->bytes
				       ? 0
				       : hv_min_u64(r->bytes, b->bytes - r->offset);
	struct iovec rest[BLK_MAX_IOV];

	if (there < r->bytes) {
		zero_iov(rest, io_iov_slice(r->iov, r->n_iov, there, r->bytes - there, rest));
		r->n_iov = io_iov_slice(r->iov, r->n_iov, 0, there, rest);
		memcpy(r->iov, rest, r->n_iov * sizeof(rest[0]));
		r->bytes = there;
	}
	return there == 0 ? 0 : b->ops->run(b, r);
}

static int read_extent(struct q2 *q, const struct q2_extent *x, struct blk_req *r)
{
	switch (x->kind) {
	case Q2_DATA:
		return io_host_read(&q->host, r->iov, r->n_iov, x->host);
	case Q2_PACKED:
		return q2_unpack(q, x->host, r->offset & (q->cluster - 1), r->iov, r->n_iov,
				 r->bytes);
	case Q2_ZEROES:
		zero_iov(r->iov, r->n_iov);
		return 0;
	default:
		return read_backing(q, r);
	}
}

int q2_read(struct q2 *q, const struct blk_req *r, uint64_t done, uint64_t bytes)
{
	while (bytes > 0) {
		struct q2_extent x;
		struct blk_req part;
		pthread_mutex_lock(&q->lock);
		int e = q2_map(q, r->offset + done, bytes, &x);
		pthread_mutex_unlock(&q->lock);
		if (e == 0) {
			part.op = BLK_READ;
			part.offset = r->offset + done;
			part.bytes = x.bytes;
			part.n_iov = io_iov_slice(r->iov, r->n_iov, done, x.bytes, part.iov);
			e = read_extent(q, &x, &part);
		}
		if (e < 0)
			return e;
		done += x.bytes;
		bytes -= x.bytes;
	}
	return 0;
}

int q2_read_buf(struct q2 *q, uint64_t off, void *buf, uint64_t bytes)
{
	struct blk_req r;

	r.offset = off;
	r.iov[0] = (struct iovec){ buf, bytes };
	r.n_iov = 1;
	return q2_read(q, &r, 0, bytes);
}

static int read_request(struct q2 *q, const struct blk_req *r)
{
	struct q2_range range = { .first = q2_index(q, r->offset),
				  .last = q2_index(q, r->offset + r->bytes - 1) };

	pthread_mutex_lock(&q->lock);
	q2_range_enter(q, &range);
	pthread_mutex_unlock(&q->lock);
	const int e = q2_read(q, r, 0, r->bytes);
	pthread_mutex_lock(&q->lock);
	q2_range_leave(q, &range);
	pthread_mutex_unlock(&q->lock);
	return e;
}

int q2_run(struct blk *b, struct blk_req *r)
{
	struct q2 *q = q2_of(b);

	if (q->for_check)
		return -EIO;
	if (b->read_only && r->op != BLK_READ && r->op != BLK_FLUSH)
		return -EROFS;
	if (r->op == BLK_FLUSH)
		return b->read_only ? 0 : q2_flush(q);
	if (r->bytes == 0)
		return 0;
	switch (r->op) {
	case BLK_READ:
		return read_request(q, r);
	case BLK_WRITE:
		return q2_write(q, r);
	default:
		return q2_zero(q, r->offset, r->bytes, r->op == BLK_DISCARD);
	}
}
