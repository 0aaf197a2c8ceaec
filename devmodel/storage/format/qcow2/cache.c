/* Tables of an image in memory, and the set of clusters that hold metadata; see int.h. */
#include "devmodel/storage/format/qcow2/int.h"
#include <stdlib.h>
#include "base/cleanup.h"

#define MIN_TABLES 8u

void q2_cache_init(struct q2_cache *c, size_t table_bytes, uint64_t max_bytes)
{
	c->table_bytes = table_bytes;
	c->max = (unsigned)hv_max_u64(MIN_TABLES, hv_min_u64(max_bytes / table_bytes, 1u << 16));
}

void q2_cache_finish(struct q2_cache *c)
{
	for (unsigned i = 0; i < Q2_CACHE_BUCKETS; i++)
		for (struct q2_table *t = c->bucket[i], *next; t != NULL; t = next) {
			next = t->next;
			free(t);
		}
	memset(c->bucket, 0, sizeof(c->bucket));
	c->n = c->n_dirty = 0;
}

static struct q2_table **bucket(struct q2_cache *c, uint64_t off)
{
	return &c->bucket[off / c->table_bytes % Q2_CACHE_BUCKETS];
}

static struct q2_table **find(struct q2_cache *c, uint64_t off)
{
	struct q2_table **t = bucket(c, off);

	while (*t != NULL && (*t)->off != off)
		t = &(*t)->next;
	return t;
}

static bool is_dirty(const struct q2_table *t)
{
	return t->dirty != t->dirty_end;
}

bool q2_cache_crowded(const struct q2_cache *c)
{
	return c->n_dirty > c->max / 2;
}

/* Takes out the one that was not asked for longest, of those that the file has. */
static struct q2_table *evict(struct q2_cache *c)
{
	struct q2_table **oldest = NULL, *t;

	for (unsigned i = 0; i < Q2_CACHE_BUCKETS; i++)
		for (struct q2_table **p = &c->bucket[i]; *p != NULL; p = &(*p)->next)
			if (!is_dirty(*p) && !(*p)->flushing &&
			    (oldest == NULL || (*p)->used < (*oldest)->used))
				oldest = p;
	if (oldest == NULL)
		return NULL; /* a few more than max: as many as there are requests at once */
	t = *oldest;
	*oldest = t->next;
	c->n--;
	return t;
}

int q2_cache_get(struct q2 *q, struct q2_cache *c, uint64_t off, bool fresh,
		 struct q2_table **ret_table)
{
	struct q2_table *t = *find(c, off);
	int r = 0;

	if (t != NULL) {
		if (fresh)
			memset(t->data, 0, c->table_bytes);
		t->used = ++c->clock;
		*ret_table = t;
		return 0;
	}
	t = c->n >= c->max ? evict(c) : NULL;
	if (t == NULL)
		t = malloc(sizeof(*t) + c->table_bytes);
	if (t == NULL)
		return -ENOMEM;
	*t = (struct q2_table){ .off = off, .used = ++c->clock };
	if (fresh)
		memset(t->data, 0, c->table_bytes);
	else
		r = io_host_get(&q->host, t->data, c->table_bytes, off);
	if (r < 0) {
		free(t);
		return r;
	}
	t->next = *bucket(c, off);
	*bucket(c, off) = t;
	c->n++;
	*ret_table = t;
	return 0;
}

void q2_cache_drop(struct q2_cache *c, uint64_t off)
{
	struct q2_table **p = find(c, off), *t = *p;

	if (t == NULL)
		return;
	if (is_dirty(t))
		c->n_dirty--;
	t->dirty = t->dirty_end = 0;
	if (t->flushing)
		return; /* the flush needs it; clean, it goes when room is needed */
	*p = t->next;
	c->n--;
	free(t);
}

void q2_table_changed(struct q2_cache *c, struct q2_table *t, uint32_t from, uint32_t to)
{
	if (!is_dirty(t)) {
		t->dirty = from;
		t->dirty_end = to;
		c->n_dirty++;
		return;
	}
	t->dirty = (uint32_t)hv_min_u64(t->dirty, from);
	t->dirty_end = (uint32_t)hv_max_u64(t->dirty_end, to);
}

/* ---- clusters with metadata ---- */

#define WAS_USED UINT64_MAX

static size_t place(const struct q2_set *s, uint64_t cluster)
{
	return (size_t)(cluster * 0x9e3779b97f4a7c15ull >> 20) & (s->n_slots - 1);
}

static uint64_t *lookup(const struct q2_set *s, uint64_t cluster)
{
	if (s->n_slots == 0)
		return NULL;
	for (size_t i = place(s, cluster);; i = (i + 1) & (s->n_slots - 1)) {
		if (s->slot[i] == cluster + 1)
			return &s->slot[i];
		if (s->slot[i] == 0)
			return NULL;
	}
}

static void insert(struct q2_set *s, uint64_t cluster)
{
	size_t i = place(s, cluster);

	while (s->slot[i] != 0)
		i = (i + 1) & (s->n_slots - 1);
	s->slot[i] = cluster + 1;
	s->n_used++;
}

static int widen(struct q2_set *s)
{
	const struct q2_set old = *s;
	const size_t n = old.n_slots == 0 ? 256 : old.n_slots * 2;

	s->slot = calloc(n, sizeof(*s->slot));
	if (s->slot == NULL) {
		*s = old;
		return -ENOMEM;
	}
	s->n_slots = n;
	s->n_used = 0;
	for (size_t i = 0; i < old.n_slots; i++)
		if (old.slot[i] != 0 && old.slot[i] != WAS_USED)
			insert(s, old.slot[i] - 1);
	free(old.slot);
	return 0;
}

int q2_set_add(struct q2_set *s, uint64_t cluster)
{
	if (lookup(s, cluster) != NULL)
		return -EEXIST;
	if (s->n_used * 2 >= s->n_slots && widen(s) < 0)
		return -ENOMEM;
	insert(s, cluster);
	return 0;
}

void q2_set_remove(struct q2_set *s, uint64_t cluster)
{
	uint64_t *p = lookup(s, cluster);

	if (p != NULL)
		*p = WAS_USED;
}

bool q2_set_has(const struct q2_set *s, uint64_t cluster)
{
	return lookup(s, cluster) != NULL;
}
