/* Reference counts of host clusters: looking them up, taking and giving back; see int.h. */
#include <stdlib.h>
#include "base/cleanup.h"
#include "devmodel/storage/format/qcow2/int.h"

/* Counts of less than a byte begin at the byte's least significant bits. */
uint64_t q2_entry_get(const uint8_t *block, unsigned order, uint64_t i)
{
	switch (order) {
	case 3:
		return block[i];
	case 4:
		return q2_get16(block + 2 * i);
	case 5:
		return q2_get32(block + 4 * i);
	case 6:
		return q2_get64(block + 8 * i);
	default: {
		const unsigned bits = 1u << order, per = 8 / bits;
		return block[i / per] >> i % per * bits & ((1u << bits) - 1);
	}
	}
}

void q2_entry_put(uint8_t *block, unsigned order, uint64_t i, uint64_t v)
{
	switch (order) {
	case 3:
		block[i] = (uint8_t)v;
		return;
	case 4:
		q2_put16(block + 2 * i, (uint16_t)v);
		return;
	case 5:
		q2_put32(block + 4 * i, (uint32_t)v);
		return;
	case 6:
		q2_put64(block + 8 * i, v);
		return;
	default: {
		const unsigned bits = 1u << order, per = 8 / bits, at = (unsigned)(i % per) * bits;
		const unsigned mask = ((1u << bits) - 1) << at;
		block[i / per] = (uint8_t)((block[i / per] & ~mask) | ((unsigned)v << at & mask));
	}
	}
}

uint64_t q2_max_count(const struct q2 *q)
{
	return q->refcount_order == 6 ? UINT64_MAX : (1ull << (1u << q->refcount_order)) - 1;
}

/* The block of a cluster's count; NULL: there is none, all its counts are 0. */
static int get_block(struct q2 *q, uint64_t cluster, struct q2_table **ret)
{
	const uint64_t i = cluster >> q->rb_bits;
	const uint64_t off = i < q->rt_size ? q->rt[i] & ~511ull : 0;

	*ret = NULL;
	if (off == 0)
		return 0;
	if (off % q->cluster != 0 || off >= q->file_end || off >= Q2_MAX_OFFSET)
		return q2_wrong(q, "refcount block %llu lies at %#llx", (unsigned long long)i,
				(unsigned long long)off);
	return q2_cache_get(q, &q->rb, off, false, ret);
}

static uint64_t slot_of(const struct q2 *q, uint64_t cluster)
{
	return cluster & ((1ull << q->rb_bits) - 1);
}

static void put_count(struct q2 *q, struct q2_table *t, uint64_t cluster, uint64_t count)
{
	const uint64_t i = slot_of(q, cluster);
	const uint32_t byte = (uint32_t)(i << q->refcount_order >> 3);

	q2_entry_put(t->data, q->refcount_order, i, count);
	q2_table_changed(&q->rb, t, byte,
			 byte + (q->refcount_order > 3 ? q->info.refcount_bits / 8 : 1));
}

int q2_refcount(struct q2 *q, uint64_t cluster, uint64_t *ret_count)
{
	struct q2_table *t;
	const int r = get_block(q, cluster, &t);

	if (r == 0)
		*ret_count = t == NULL ? 0
				       : q2_entry_get(t->data, q->refcount_order,
						      slot_of(q, cluster));
	return r;
}

int q2_set_refcount(struct q2 *q, uint64_t cluster, uint64_t count)
{
	struct q2_table *t;
	const int r = get_block(q, cluster, &t);

	if (r < 0)
		return r;
	if (t == NULL || count > q2_max_count(q))
		return q2_wrong(q, "cluster %llu cannot be counted", (unsigned long long)cluster);
	put_count(q, t, cluster, count);
	return 0;
}

/* A block for the counts around a free cluster, in that cluster. */
static int new_block(struct q2 *q, uint64_t cluster)
{
	const uint64_t i = cluster >> q->rb_bits, off = cluster << q->info.cluster_bits;
	struct q2_table *t;
	int r = q2_set_add(&q->meta, cluster);

	if (r == -EEXIST)
		return q2_wrong(q, "metadata at %#llx is not counted", (unsigned long long)off);
	if (r < 0)
		return r;
	r = q2_cache_get(q, &q->rb, off, true, &t);
	if (r < 0) {
		q2_set_remove(&q->meta, cluster);
		return r;
	}
	q2_table_changed(&q->rb, t, 0, (uint32_t)q->cluster);
	put_count(q, t, cluster, 1);
	q->rt[i] = off;
	q2_span_add(&q->rt_dirty, (uint32_t)i);
	return 0;
}

/* Is it free? Then it is taken. */
static int take(struct q2 *q, uint64_t cluster, bool *ret_taken)
{
	struct q2_table *t;
	const int r = get_block(q, cluster, &t);

	*ret_taken = false;
	if (r < 0 || t == NULL)
		return r;
	if (q2_entry_get(t->data, q->refcount_order, slot_of(q, cluster)) != 0)
		return 0;
	if (q2_set_has(&q->meta, cluster))
		return q2_wrong(q, "metadata in cluster %llu is not counted",
				(unsigned long long)cluster);
	put_count(q, t, cluster, 1);
	*ret_taken = true;
	return 0;
}

static void note_taken(struct q2 *q, uint64_t cluster, uint64_t n, bool *ret_fresh)
{
	const uint64_t off = cluster << q->info.cluster_bits,
		       end = off + (n << q->info.cluster_bits);

	*ret_fresh = off >= q->fresh_from;
	q->fresh_from = hv_max_u64(q->fresh_from, end);
	q->file_end = hv_max_u64(q->file_end, end);
	q->hint = cluster + n;
}

int q2_alloc(struct q2 *q, uint64_t n, uint64_t *ret_cluster, uint64_t *ret_n, bool *ret_fresh)
{
	uint64_t i = q->hint, got = 0;
	bool taken = false;
	int r = 0;

	for (; got < n; i++) {
		if (i >> q->rb_bits >= q->rt_size) {
			r = -ENOBUFS;
			break;
		}
		if (i << q->info.cluster_bits >= Q2_MAX_OFFSET) {
			r = -EFBIG; /* not for want of room on the host */
			break;
		}
		if ((q->rt[i >> q->rb_bits] & ~511ull) == 0) {
			if (got > 0)
				break; /* the block would lie in the middle */
			r = new_block(q, i);
			if (r < 0)
				break;
			note_taken(q, i, 1, &taken);
			continue;
		}
		r = take(q, i, &taken);
		if (r < 0 || (!taken && got > 0))
			break;
		got += taken;
	}
	if (got == 0)
		return r < 0 ? r : -EIO;
	note_taken(q, i - got, got, ret_fresh);
	*ret_cluster = i - got;
	*ret_n = got;
	return 0;
}

void q2_unalloc(struct q2 *q, uint64_t cluster, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		(void)!q2_set_refcount(q, cluster + i, 0); /* at worst it is lost */
	if (n > 0)
		q->hint = hv_min_u64(q->hint, cluster);
}

int q2_free_later(struct q2 *q, uint64_t cluster)
{
	if (q->n_freed == q->max_freed) {
		const size_t max = q->max_freed == 0 ? 64 : q->max_freed * 2;
		uint64_t *p = realloc(q->freed, max * sizeof(*p));
		if (p == NULL)
			return -ENOMEM;
		q->freed = p;
		q->max_freed = max;
	}
	q->freed[q->n_freed++] = cluster;
	return 0;
}

/* ---- a larger table ---- */

struct growth {
	uint64_t first; /* cluster of the new table, which the first new block counts */
	uint64_t n_table, n_blocks;
	uint32_t rt_size;
};

/* The new table and the blocks that count both lie where nothing can be yet. */
static int plan(const struct q2 *q, struct growth *g)
{
	const uint64_t per_block = 1ull << q->rb_bits, per_cluster = q->cluster / 8;

	g->first = (uint64_t)q->rt_size << q->rb_bits;
	g->n_table = q->rt_size / per_cluster + q->rt_size / per_cluster / 2 + 1;
	g->n_blocks = 1;
	while (g->n_blocks * per_block < g->n_table + g->n_blocks)
		g->n_blocks++;
	while (g->n_table * per_cluster < q->rt_size + g->n_blocks)
		g->n_table++;
	g->rt_size = (uint32_t)(g->n_table * per_cluster);
	if (g->n_table * q->cluster > Q2_MAX_RT_BYTES ||
	    (g->first + g->n_table + g->n_blocks) << q->info.cluster_bits >= Q2_MAX_OFFSET)
		return -EFBIG;
	return 0;
}

/* The counts of the area itself. */
static int write_blocks(struct q2 *q, const struct growth *g)
{
	const uint64_t per_block = 1ull << q->rb_bits, used = g->n_table + g->n_blocks;
	auto_free uint8_t *block = malloc(q->cluster);
	int r = block != NULL ? 0 : -ENOMEM;

	for (uint64_t b = 0; b < g->n_blocks && r == 0; b++) {
		memset(block, 0, q->cluster);
		for (uint64_t i = 0; i < per_block && b * per_block + i < used; i++)
			q2_entry_put(block, q->refcount_order, i, 1);
		r = io_host_put(&q->host, block, q->cluster,
				(g->first + g->n_table + b) << q->info.cluster_bits);
	}
	return r;
}

static int write_table(struct q2 *q, const struct growth *g, uint64_t *rt)
{
	auto_free uint64_t *be = calloc(g->rt_size, 8);

	if (be == NULL)
		return -ENOMEM;
	memcpy(rt, q->rt, q->rt_size * 8ull);
	for (uint64_t b = 0; b < g->n_blocks; b++)
		rt[q->rt_size + b] = (g->first + g->n_table + b) << q->info.cluster_bits;
	for (uint32_t i = 0; i < g->rt_size; i++)
		be[i] = __builtin_bswap64(rt[i]);
	return io_host_put(&q->host, be, g->rt_size * 8ull, g->first << q->info.cluster_bits);
}

static int switch_table(struct q2 *q, const struct growth *g)
{
	uint8_t h[12];

	q2_put64(h, g->first << q->info.cluster_bits);
	q2_put32(h + 8, (uint32_t)g->n_table);
	int r = io_host_flush(&q->host);
	if (r == 0)
		r = io_host_put(&q->host, h, sizeof(h), Q2_H_RT_OFF);
	return r < 0 ? r : io_host_flush(&q->host);
}

/* Both locks held; everything that was changed before is in the file. */
static int grow_locked(struct q2 *q)
{
	struct growth g = { 0 };
	int r = plan(q, &g);
	auto_free uint64_t *rt = r == 0 ? calloc(g.rt_size, 8) : NULL;
	const uint64_t old_off = q->rt_off, old_bytes = q->rt_size * 8ull;

	if (r < 0)
		return r;
	if (rt == NULL)
		return -ENOMEM;
	r = write_blocks(q, &g);
	if (r == 0)
		r = write_table(q, &g, rt);
	if (r == 0)
		r = switch_table(q, &g);
	if (r < 0)
		return r;
	for (uint64_t i = 0; i < g.n_table + g.n_blocks && r == 0; i++)
		r = q2_set_add(&q->meta, g.first + i);
	free(q->rt);
	q->rt = TAKE_PTR(rt);
	q->rt_size = g.rt_size;
	q->rt_off = g.first << q->info.cluster_bits;
	q->file_end = hv_max_u64(q->file_end, q->rt_off + (g.n_table + g.n_blocks) * q->cluster);
	q->fresh_from = hv_max_u64(q->fresh_from, q->file_end);
	for (uint64_t at = old_off; at < old_off + old_bytes; at += q->cluster) {
		q2_set_remove(&q->meta, q2_index(q, at));
		q2_unalloc(q, q2_index(q, at), 1);
	}
	return r == -EEXIST ? q2_wrong(q, "metadata is not counted") : r;
}

int q2_grow(struct q2 *q)
{
	const uint32_t before = q->rt_size;
	int r;

	pthread_mutex_unlock(&q->lock);
	pthread_mutex_lock(&q->flush_lock);
	do { /* the new table must name no block that the file lacks */
		r = q2_flush_locked(q, true);
		pthread_mutex_lock(&q->lock);
		if (r < 0 || q->rt_dirty.from == q->rt_dirty.to)
			break;
		pthread_mutex_unlock(&q->lock);
	} while (true);
	if (r == 0 && q->rt_size == before) /* nobody else was quicker */
		r = grow_locked(q);
	pthread_mutex_unlock(&q->flush_lock);
	return r;
}
