/*
 * What the image's file lacks, written in an order in which a power cut at any point leaves an
 * image that is right, but for clusters that are counted and not used:
 *
 *   counts; data;  -> the table of the blocks of counts -> L2 tables -> L1 table -> freed clusters
 *
 * Where there is an arrow, the file is flushed. What is written is copied under the lock first, so
 * that requests go on meanwhile: an L2 entry that comes later may name data that this flush does
 * not cover. Copies of the next flush cannot overtake: flush_lock.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "devmodel/storage/format/qcow2/int.h"

struct copy {
	struct q2_cache *cache;
	struct q2_table *table; /* borrowed: stays while it is marked as being flushed */
	uint64_t off;
	uint32_t from, bytes;
	uint8_t *data; /* owned */
};

struct batch {
	struct copy *rb, *l2; /* owned */
	unsigned n_rb, n_l2;
	uint64_t *rt, *l1; /* owned, as in the file; NULL: nothing */
	struct q2_span rt_span, l1_span;
	uint64_t *freed; /* owned */
	size_t n_freed;
};

/* ---- copies, lock held ---- */

static int copy_table(struct copy *c, struct q2_cache *cache, struct q2_table *t)
{
	*c = (struct copy){ .cache = cache,
			    .table = t,
			    .off = t->off,
			    .from = t->dirty,
			    .bytes = t->dirty_end - t->dirty };
	c->data = malloc(c->bytes);
	if (c->data == NULL)
		return -ENOMEM;
	memcpy(c->data, t->data + c->from, c->bytes);
	t->dirty = t->dirty_end = 0;
	t->flushing = true;
	cache->n_dirty--;
	return 0;
}

static int copy_tables(struct q2_cache *cache, struct copy **ret, unsigned *ret_n)
{
	int r = 0;

	if (cache->n_dirty == 0)
		return 0;
	*ret = calloc(cache->n_dirty, sizeof(**ret));
	if (*ret == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < Q2_CACHE_BUCKETS && cache->n_dirty > 0 && r == 0; i++)
		for (struct q2_table *t = cache->bucket[i]; t != NULL && r == 0; t = t->next)
			if (t->dirty != t->dirty_end) {
				r = copy_table(&(*ret)[*ret_n], cache, t);
				*ret_n += r == 0;
			}
	return r;
}

static int copy_span(struct q2_span *s, const uint64_t *table, uint64_t **ret)
{
	const uint32_t n = s->to - s->from;

	if (n == 0)
		return 0;
	*ret = calloc(n, 8);
	if (*ret == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		(*ret)[i] = __builtin_bswap64(table[s->from + i]);
	return 0;
}

static int collect(struct q2 *q, struct batch *b, bool counts)
{
	int r = 0;

	if (counts) {
		r = copy_tables(&q->rb, &b->rb, &b->n_rb);
		if (r == 0)
			r = copy_span(&q->rt_dirty, q->rt, &b->rt);
		if (r < 0)
			return r;
		b->rt_span = q->rt_dirty;
		q->rt_dirty = (struct q2_span){ 0, 0 };
	}
	r = copy_tables(&q->l2, &b->l2, &b->n_l2);
	if (r == 0)
		r = copy_span(&q->l1_dirty, q->l1, &b->l1);
	if (r < 0)
		return r;
	b->l1_span = q->l1_dirty;
	q->l1_dirty = (struct q2_span){ 0, 0 };
	b->freed = q->freed;
	b->n_freed = q->n_freed;
	q->freed = NULL;
	q->n_freed = q->max_freed = 0;
	return 0;
}

/* ---- writing, flush_lock held ---- */

static int write_copies(struct q2 *q, const struct copy *c, unsigned n)
{
	int r = 0;

	for (unsigned i = 0; i < n && r == 0; i++)
		r = io_host_put(&q->host, c[i].data, c[i].bytes, c[i].off + c[i].from);
	return r;
}

static int write_span(struct q2 *q, const uint64_t *be, struct q2_span s, uint64_t off)
{
	const int r = io_host_put(&q->host, be, (s.to - s.from) * 8ull, off + s.from * 8ull);

	return r < 0 ? r : io_host_flush(&q->host);
}

static int write_batch(struct q2 *q, const struct batch *b)
{
	int r = write_copies(q, b->rb, b->n_rb);

	if (r == 0)
		r = io_host_flush(&q->host);
	if (r == 0 && b->rt != NULL)
		r = write_span(q, b->rt, b->rt_span, q->rt_off);
	if (r == 0 && b->n_l2 > 0) {
		r = write_copies(q, b->l2, b->n_l2);
		if (r == 0)
			r = io_host_flush(&q->host);
	}
	if (r == 0 && b->l1 != NULL)
		r = write_span(q, b->l1, b->l1_span, q->l1_off);
	return r;
}

/* ---- freed clusters ---- */

static int by_number(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Those with one reference left are given back to the host while nobody can take them. */
static int punch(struct q2 *q, uint64_t *c, size_t n)
{
	int r = 0;

	for (size_t i = 0, k; i < n && r == 0; i = k) {
		for (k = i + 1; k < n && c[k] == c[k - 1] + 1; k++)
			;
		r = io_host_discard(&q->host, c[i] << q->info.cluster_bits,
				    (k - i) << q->info.cluster_bits);
	}
	return r;
}

/* Takes one reference from each; those with one left move to the front. */
static size_t drop_reference(struct q2 *q, uint64_t *c, size_t n)
{
	uint64_t count = 0;
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (q2_refcount(q, c[i], &count) < 0)
			continue;
		if (count == 0)
			(void)!q2_wrong(q, "cluster %llu is used and not counted",
					(unsigned long long)c[i]);
		else if (count == 1)
			c[kept++] = c[i];
		else
			(void)!q2_set_refcount(q, c[i], count - 1);
	}
	return kept;
}

static void give_back(struct q2 *q, struct batch *b)
{
	size_t n;

	if (b->n_freed == 0)
		return;
	qsort(b->freed, b->n_freed, sizeof(*b->freed), by_number);
	pthread_mutex_lock(&q->lock);
	n = drop_reference(q, b->freed, b->n_freed);
	pthread_mutex_unlock(&q->lock);
	(void)!punch(q, b->freed, n); /* advice */
	pthread_mutex_lock(&q->lock);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || b->freed[i] != b->freed[i - 1])
			q2_unalloc(q, b->freed[i], 1);
	pthread_mutex_unlock(&q->lock);
}

/* ---- the end of it, lock held ---- */

/* failed: what was copied is dirty as before. */
static void settle_tables(struct copy *c, unsigned n, bool failed)
{
	for (unsigned i = 0; i < n; i++) {
		c[i].table->flushing = false;
		if (failed)
			q2_table_changed(c[i].cache, c[i].table, c[i].from, c[i].from + c[i].bytes);
		free(c[i].data);
	}
	free(c);
}

static void settle_span(struct q2_span *s, struct q2_span copied)
{
	if (copied.from != copied.to) {
		q2_span_add(s, copied.from);
		q2_span_add(s, copied.to - 1);
	}
}

static void settle(struct q2 *q, struct batch *b, bool failed)
{
	pthread_mutex_lock(&q->lock);
	settle_tables(b->rb, b->n_rb, failed);
	settle_tables(b->l2, b->n_l2, failed);
	if (failed) {
		settle_span(&q->rt_dirty, b->rt_span);
		settle_span(&q->l1_dirty, b->l1_span);
		for (size_t i = 0; i < b->n_freed; i++)
			(void)!q2_free_later(q, b->freed[i]); /* at worst they are lost */
	}
	pthread_mutex_unlock(&q->lock);
	free(b->rt);
	free(b->l1);
}

int q2_flush_locked(struct q2 *q, bool all)
{
	struct batch b = { 0 };
	int r;

	pthread_mutex_lock(&q->lock);
	const bool stop = q->corrupt;
	r = stop ? -EIO : collect(q, &b, all || !q->info.lazy_refcounts);
	pthread_mutex_unlock(&q->lock);
	if (stop)
		return r;
	if (r == 0)
		r = write_batch(q, &b);
	settle(q, &b, r < 0);
	if (r == 0)
		give_back(q, &b);
	free(b.freed);
	return r;
}

int q2_flush(struct q2 *q)
{
	pthread_mutex_lock(&q->flush_lock);
	const int r = q2_flush_locked(q, false);
	pthread_mutex_unlock(&q->flush_lock);
	return r;
}

/* ---- before changes ---- */

#define MAX_FREED 4096u

static int mark_dirty(struct q2 *q)
{
	pthread_mutex_lock(&q->lock);
	const int r = q2_set_incompat(q, Q2_INCOMPAT_DIRTY, 0);
	pthread_mutex_unlock(&q->lock);
	return r < 0 ? r : io_host_flush(&q->host);
}

int q2_prepare(struct q2 *q)
{
	int r = 0;

	pthread_mutex_lock(&q->lock);
	const bool wrong = q->corrupt, counts = q2_cache_crowded(&q->rb);
	const bool mark = q->info.lazy_refcounts && !(q->incompat & Q2_INCOMPAT_DIRTY);
	const bool crowded = counts || q2_cache_crowded(&q->l2) || q->n_freed > MAX_FREED;
	pthread_mutex_unlock(&q->lock);
	if (wrong)
		return -EIO;
	if (!mark && !crowded)
		return 0;
	pthread_mutex_lock(&q->flush_lock);
	if (mark)
		r = mark_dirty(q);
	if (r == 0 && crowded)
		r = q2_flush_locked(q, counts);
	pthread_mutex_unlock(&q->flush_lock);
	return r;
}
