/* Where guest clusters lie: L1 and L2 tables; see int.h. */
#include <stdlib.h>
#include "base/cleanup.h"
#include "devmodel/storage/format/qcow2/int.h"

static uint32_t l1_index(const struct q2 *q, uint64_t off)
{
	return (uint32_t)(off / q2_l2_span(q));
}

static uint32_t l2_index(const struct q2 *q, uint64_t off)
{
	return (uint32_t)(q2_index(q, off) & ((1u << q->l2_bits) - 1));
}

/* The table that an L1 entry names; NULL: none. */
static int get_l2(struct q2 *q, uint32_t i, struct q2_table **ret)
{
	const uint64_t off = q->l1[i] & Q2_OFFSET_MASK;

	*ret = NULL;
	if (off == 0)
		return 0;
	if (off % q->cluster != 0 || off >= q->file_end)
		return q2_wrong(q, "L2 table %u lies at %#llx", i, (unsigned long long)off);
	return q2_cache_get(q, &q->l2, off, false, ret);
}

void q2_packed_at(const struct q2 *q, uint64_t entry, uint64_t *ret_off, uint64_t *ret_bytes)
{
	const unsigned off_bits = 62 - (q->info.cluster_bits - 8);
	const uint64_t off = entry & ((1ull << off_bits) - 1);
	const uint64_t sectors = (entry & ((1ull << 62) - 1)) >> off_bits;

	*ret_off = off;
	*ret_bytes = (sectors + 1) * 512 - off % 512;
}

/* What a unit of an entry is: the cluster, or one of its subclusters. */
static int classify(struct q2 *q, const uint8_t *entry, unsigned unit, struct q2_extent *x)
{
	const uint64_t v = q2_get64(entry);
	const uint64_t host = v & Q2_OFFSET_MASK;
	bool data = host != 0, zero = q->info.version >= 3 && (v & Q2_ZERO) != 0;

	if (v & Q2_COMPRESSED) {
		uint64_t bytes;
		*x = (struct q2_extent){ .kind = Q2_PACKED, .host = v };
		q2_packed_at(q, v, &x->host, &bytes);
		if (x->host >= q->file_end || x->host < q->cluster)
			return q2_wrong(q, "a compressed cluster lies at %#llx",
					(unsigned long long)x->host);
		x->host = v;
		return 0;
	}
	if (q->info.extended_l2) {
		const uint64_t map = q2_get64(entry + 8);
		data = (map >> unit & 1) != 0;
		zero = (map >> (32 + unit) & 1) != 0;
		if (data && (zero || host == 0))
			return q2_wrong(q, "a subcluster is both there and not");
	}
	*x = (struct q2_extent){ .kind = zero ? Q2_ZEROES : data ? Q2_DATA : Q2_NONE };
	if (x->kind != Q2_DATA)
		return 0;
	if (host % q->cluster != 0 || host >= q->file_end)
		return q2_wrong(q, "a cluster lies at %#llx", (unsigned long long)host);
	x->host = host + ((uint64_t)unit << q->unit_bits);
	x->in_place = (v & Q2_COPIED) != 0;
	return 0;
}

/* Does b, which begins where a ends, go on as a does? */
static bool goes_on(const struct q2_extent *a, const struct q2_extent *b)
{
	if (a->kind != b->kind || a->in_place != b->in_place)
		return false;
	return a->kind != Q2_DATA || a->host + a->bytes == b->host;
}

int q2_map(struct q2 *q, uint64_t off, uint64_t max, struct q2_extent *ret)
{
	const uint64_t end = hv_min_u64(off + max, (off / q2_l2_span(q) + 1) * q2_l2_span(q));
	const uint64_t unit = 1ull << q->unit_bits;
	struct q2_table *t;
	struct q2_extent x;
	int r = get_l2(q, l1_index(q, off), &t);

	if (r < 0)
		return r;
	if (t == NULL) {
		*ret = (struct q2_extent){ .kind = Q2_NONE, .bytes = end - off };
		return 0;
	}
	/* From the beginning of off's unit; what lies before off is taken off at the end. */
	const uint64_t skip = off & (unit - 1);
	for (uint64_t at = off - skip; at < end; at += unit) {
		const unsigned u = (unsigned)(at >> q->unit_bits) & (q->units - 1);
		r = classify(q, t->data + (size_t)l2_index(q, at) * q->entry_words * 8, u, &x);
		if (r < 0 && at == off - skip)
			return r;
		if (r < 0)
			break; /* what comes before is good */
		x.bytes = unit;
		if (at == off - skip)
			*ret = x;
		else if (!goes_on(ret, &x))
			break;
		else
			ret->bytes += unit;
		if (x.kind == Q2_PACKED) {
			ret->bytes = q->cluster - (at & (q->cluster - 1));
			break;
		}
	}
	ret->bytes = hv_min_u64(ret->bytes - skip, end - off);
	if (ret->kind == Q2_DATA)
		ret->host += skip;
	return 0;
}

/* ---- changing ---- */

/* A table for what has none yet, or one of its own for what is shared with a snapshot (old). */
static int new_l2(struct q2 *q, uint32_t i, const uint8_t *old)
{
	uint64_t cluster, n;
	struct q2_table *t;
	bool fresh;
	int r = q2_alloc(q, 1, &cluster, &n, &fresh);

	if (r < 0)
		return r;
	const uint64_t off = cluster << q->info.cluster_bits, before = q->l1[i] & Q2_OFFSET_MASK;
	r = q2_set_add(&q->meta, cluster);
	if (r == 0)
		r = q2_cache_get(q, &q->l2, off, true, &t);
	if (r == 0 && old != NULL)
		r = q2_free_later(q, q2_index(q, before));
	if (r < 0) {
		q2_set_remove(&q->meta, cluster);
		q2_unalloc(q, cluster, 1);
		return r == -EEXIST ? q2_wrong(q, "an L2 table is not counted") : r;
	}
	if (old != NULL) {
		memcpy(t->data, old, q->cluster);
		q2_set_remove(&q->meta, q2_index(q, before));
	}
	q2_table_changed(&q->l2, t, 0, (uint32_t)q->cluster);
	q->l1[i] = off | Q2_COPIED;
	q2_span_add(&q->l1_dirty, i);
	return 0;
}

int q2_own_l2(struct q2 *q, uint64_t off)
{
	const uint32_t i = l1_index(q, off);
	struct q2_table *old;
	const int r = get_l2(q, i, &old);

	if (r < 0 || (old != NULL && (q->l1[i] & Q2_COPIED)))
		return r;
	if (old == NULL)
		return new_l2(q, i, NULL);
	auto_free uint8_t *copy = malloc(q->cluster); /* the cache may give old's place away */
	if (copy == NULL)
		return -ENOMEM;
	memcpy(copy, old->data, q->cluster);
	return new_l2(q, i, copy);
}

/* Gives back what an entry names. */
static int release(struct q2 *q, uint64_t v)
{
	uint64_t off, bytes;
	int r = 0;

	if (!(v & Q2_COMPRESSED))
		return (v & Q2_OFFSET_MASK) == 0
			       ? 0
			       : q2_free_later(q, q2_index(q, v & Q2_OFFSET_MASK));
	q2_packed_at(q, v, &off, &bytes);
	for (uint64_t c = q2_index(q, off); c <= q2_index(q, off + bytes - 1) && r == 0; c++)
		r = q2_free_later(q, c);
	return r;
}

int q2_set_entry(struct q2 *q, uint64_t off, uint64_t entry)
{
	const uint32_t at = l2_index(q, off) * q->entry_words * 8;
	struct q2_table *t;
	int r = get_l2(q, l1_index(q, off), &t);

	if (r == 0 && t == NULL)
		r = -EIO;
	if (r < 0)
		return r;
	const uint64_t old = q2_get64(t->data + at);
	if (old == entry)
		return 0;
	r = release(q, old);
	if (r < 0)
		return r;
	q2_put64(t->data + at, entry);
	q2_table_changed(&q->l2, t, at, at + 8);
	return 0;
}
