/* Empty qcow2 images; see qcow2.h. */
#include <stdlib.h>
#include "base/cleanup.h"
#include "devmodel/storage/format/qcow2/int.h"

struct layout {
	uint64_t cluster, bytes;
	unsigned bits, order; /* of clusters, of counts */
	uint64_t rt_clusters, n_blocks, l1_clusters;
	uint32_t l1_size;
};

static int plan(const struct qcow2_create *c, struct layout *l, struct err *e)
{
	const unsigned bits = c->cluster_bits != 0 ? c->cluster_bits : 16;
	const uint64_t span = 1ull << (2 * bits - 3);
	const unsigned refcount_bits = c->refcount_bits != 0 ? c->refcount_bits : 16;

	if (bits < QCOW2_MIN_CLUSTER_BITS || bits > QCOW2_MAX_CLUSTER_BITS)
		return err_set(e, -EINVAL, "clusters are 512 bytes to 2 MiB, a power of two");
	if (refcount_bits > 64 || (refcount_bits & (refcount_bits - 1)) != 0 ||
	    (c->version == 2 && refcount_bits != 16))
		return err_set(e, -EINVAL,
			       "counts have 1, 2, 4, 8, 16, 32 or 64 bits, 16 in version 2");
	l->order = (unsigned)__builtin_ctz(refcount_bits);
	const uint64_t per_block = 1ull << (bits + 3 - l->order);
	l->bits = bits;
	l->cluster = 1ull << bits;
	l->bytes = c->bytes <= 1ull << 61 ? hv_align_up(c->bytes, 512) : 0;
	if (l->bytes == 0)
		return err_set(e, -EINVAL, "a disk is 512 bytes or more and at most 2 EiB");
	if ((l->bytes + span - 1) / span > Q2_MAX_L1_BYTES / 8)
		return err_set(e, -EFBIG,
			       "a disk with clusters of %llu bytes is at most %llu MiB: choose "
			       "larger ones",
			       (unsigned long long)l->cluster,
			       (unsigned long long)(Q2_MAX_L1_BYTES / 8 * span >> 20));
	l->l1_size = (uint32_t)((l->bytes + span - 1) / span);
	l->l1_clusters = (l->l1_size * 8ull + l->cluster - 1) / l->cluster;
	l->rt_clusters = l->n_blocks = 1;
	while (l->n_blocks * per_block < 1 + l->rt_clusters + l->n_blocks + l->l1_clusters) {
		l->n_blocks++;
		l->rt_clusters = (l->n_blocks * 8 + l->cluster - 1) / l->cluster;
	}
	return 0;
}

static int fill_header(const struct qcow2_create *c, const struct layout *l, uint8_t *h,
		       struct err *e)
{
	const unsigned version = c->version != 0 ? c->version : 3;
	const bool zstd = c->compression != QCOW2_ZLIB;

	if (version != 2 && version != 3)
		return err_set(e, -EINVAL, "qcow2 images have version 2 or 3");
	if (version == 2 && (zstd || c->lazy_refcounts))
		return err_set(e, -EINVAL, "%s needs qcow2 version 3",
			       zstd ? "compression by zstd" : "counting lazily");
	q2_put32(h + Q2_H_MAGIC, Q2_MAGIC);
	q2_put32(h + Q2_H_VERSION, version);
	q2_put32(h + Q2_H_CLUSTER_BITS, l->bits);
	q2_put64(h + Q2_H_SIZE, l->bytes);
	q2_put32(h + Q2_H_L1_SIZE, l->l1_size);
	q2_put64(h + Q2_H_L1_OFF, (1 + l->rt_clusters + l->n_blocks) * l->cluster);
	q2_put64(h + Q2_H_RT_OFF, l->cluster);
	q2_put32(h + Q2_H_RT_CLUSTERS, (uint32_t)l->rt_clusters);
	if (version == 2)
		return q2_header_put_backing(h, l->cluster, Q2_H_V2_BYTES, c->backing_file,
					     c->backing_format, Q2_NAME_AT, e);
	q2_put64(h + Q2_H_INCOMPAT, zstd ? Q2_INCOMPAT_COMPRESSION : 0);
	q2_put64(h + Q2_H_COMPAT, c->lazy_refcounts ? Q2_COMPAT_LAZY : 0);
	q2_put32(h + Q2_H_REFCOUNT_ORDER, l->order);
	q2_put32(h + Q2_H_LENGTH, Q2_H_V3_BYTES);
	h[Q2_H_COMPRESSION] = (uint8_t)c->compression;
	return q2_header_put_backing(h, l->cluster, Q2_H_V3_BYTES, c->backing_file,
				     c->backing_format, Q2_NAME_AT, e);
}

static int write_counts(struct io_host *host, const struct layout *l)
{
	const uint64_t used = 1 + l->rt_clusters + l->n_blocks + l->l1_clusters;
	const uint64_t rt_bytes = l->rt_clusters * l->cluster;
	auto_free uint8_t *rt = calloc(1, rt_bytes);
	auto_free uint8_t *blocks = calloc(l->n_blocks, l->cluster);
	int r;

	if (rt == NULL || blocks == NULL)
		return -ENOMEM;
	for (uint64_t i = 0; i < l->n_blocks; i++)
		q2_put64(rt + 8 * i, (1 + l->rt_clusters + i) * l->cluster);
	for (uint64_t i = 0; i < used; i++)
		q2_entry_put(blocks, l->order, i, 1);
	r = io_host_put(host, rt, rt_bytes, l->cluster);
	return r < 0 ? r
		     : io_host_put(host, blocks, l->n_blocks * l->cluster,
				   (1 + l->rt_clusters) * l->cluster);
}

int qcow2_format(struct io_host *host, const struct qcow2_create *c, struct err *e)
{
	struct layout l = { 0 };
	int r = plan(c, &l, e);
	auto_free uint8_t *h = r == 0 ? calloc(1, l.cluster) : NULL;

	if (r < 0)
		return r;
	if (h == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	r = fill_header(c, &l, h, e);
	if (r < 0)
		return r;
	r = io_host_truncate(host, (1 + l.rt_clusters + l.n_blocks + l.l1_clusters) * l.cluster);
	if (r == 0)
		r = write_counts(host, &l);
	if (r == 0)
		r = io_host_put(host, h, l.cluster, 0);
	return r < 0 ? err_set(e, r, "cannot write an image: %s", strerror(-r)) : 0;
}
