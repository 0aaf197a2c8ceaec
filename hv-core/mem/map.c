/*
 * The memory map: ranges in order of their claim, and the flat table made from them. Two tables
 * take turns; a reader that was overtaken by a rebuild notices by the generation and looks again.
 */
#include "mem/mem_int.h"
#include <stdlib.h>
#include "cpu/trace_points.h"

int hv_mem_create(struct hv_mem **ret_mem, struct err *e)
{
	struct hv_mem *m = calloc(1, sizeof(*m));
	pthread_mutexattr_t attr;

	if (m == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&m->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	m->changed_gpa = UINT64_MAX;
	m->table[0] = calloc(1, sizeof(*m->table[0]));
	m->table[1] = calloc(1, sizeof(*m->table[1]));
	m->points = calloc(2 * HV_MAP_MAX, sizeof(*m->points));
	if (m->table[0] == NULL || m->table[1] == NULL || m->points == NULL) {
		hv_mem_destroy(m);
		return err_set(e, -ENOMEM, "out of memory");
	}
	*ret_mem = m;
	return 0;
}

void hv_mem_destroy(struct hv_mem *m)
{
	if (m == NULL)
		return;
	mem_free_rams(m);
	pthread_mutex_destroy(&m->lock);
	free(m->table[0]);
	free(m->table[1]);
	free(m->points);
	free(m);
}

/* ---- lookups ---- */

#define LOAD(p) __atomic_load_n(p, __ATOMIC_ACQUIRE) /* a plain load on this host */
#define STORE(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

/* The index of the first piece that ends at or after gpa, or the number of pieces. */
static uint64_t search(const struct mem_table *t, uint64_t gpa)
{
	uint64_t lo = 0, hi = hv_min_u64(LOAD(&t->n), MEM_MAX_PIECES);

	while (lo < hi) {
		uint64_t mid = (lo + hi) / 2;
		if (LOAD(&t->piece[mid].last) < gpa)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void copy_piece(const struct mem_piece *from, struct mem_piece *to)
{
	to->gpa = LOAD(&from->gpa);
	to->last = LOAD(&from->last);
	to->kind = LOAD(&from->kind);
	to->host = LOAD(&from->host);
	to->ram = LOAD(&from->ram);
	to->ram_off = LOAD(&from->ram_off);
	to->r = LOAD(&from->r);
	to->r_off = LOAD(&from->r_off);
}

static void store_piece(struct mem_piece *to, const struct mem_piece *from)
{
	STORE(&to->gpa, from->gpa);
	STORE(&to->last, from->last);
	STORE(&to->kind, from->kind);
	STORE(&to->host, from->host);
	STORE(&to->ram, from->ram);
	STORE(&to->ram_off, from->ram_off);
	STORE(&to->r, from->r);
	STORE(&to->r_off, from->r_off);
}

static void lookup_in(const struct mem_table *t, uint64_t gpa, struct mem_piece *ret_piece)
{
	uint64_t n = hv_min_u64(LOAD(&t->n), MEM_MAX_PIECES), i = search(t, gpa);

	if (i < n) {
		copy_piece(&t->piece[i], ret_piece);
		if (ret_piece->gpa <= gpa)
			return;
	}
	uint64_t next = i < n ? ret_piece->gpa : 0; /* 0: nothing up there */
	*ret_piece = (struct mem_piece){ .kind = HV_MAP_HOLE, .last = next - 1 };
	if (i > 0)
		ret_piece->gpa = LOAD(&t->piece[i - 1].last) + 1;
}

void mem_lookup(struct hv_mem *m, uint64_t gpa, struct mem_piece *ret_piece)
{
	uint64_t gen, now = atomic_load_explicit(&m->gen, memory_order_acquire);

	do {
		gen = now;
		lookup_in(m->table[gen % 2], gpa, ret_piece);
		now = atomic_load_explicit(&m->gen, memory_order_acquire);
	} while (HV_UNLIKELY(now != gen));
}

void hv_mem_find(struct hv_mem *m, uint64_t gpa, struct hv_mem_slice *s)
{
	struct mem_piece p;

	mem_lookup(m, gpa, &p);
	s->kind = (enum hv_map_kind)p.kind;
	s->gpa = p.gpa;
	s->bytes = p.last - p.gpa == UINT64_MAX ? UINT64_MAX : p.last - p.gpa + 1;
	s->host = (uint8_t *)(uintptr_t)p.host;
	s->ram = (struct hv_ram *)(uintptr_t)p.ram;
	s->ram_off = p.ram_off;
	s->r = (const struct hv_map_range *)(uintptr_t)p.r;
	s->r_off = p.r_off;
}

/* ---- changes ---- */

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Where something begins, or begins not to be: sorted, each once. */
static unsigned collect_points(struct hv_mem *m)
{
	unsigned n = 0, kept = 0;

	for (const struct hv_map_range *r = m->ranges; r != NULL; r = r->next) {
		m->points[n++] = r->gpa;
		m->points[n++] = r->gpa + r->bytes; /* 0 where it ends at 2^64 */
	}
	qsort(m->points, n, sizeof(*m->points), by_value);
	for (unsigned i = 0; i < n; i++)
		if (kept == 0 || m->points[i] != m->points[kept - 1])
			m->points[kept++] = m->points[i];
	return kept;
}

static const struct hv_map_range *top_at(const struct hv_mem *m, uint64_t gpa)
{
	const struct hv_map_range *r = m->ranges;

	while (r != NULL && (gpa < r->gpa || gpa - r->gpa >= r->bytes))
		r = r->next;
	return r;
}

static void make_piece(const struct hv_map_range *r, uint64_t gpa, uint64_t last,
		       struct mem_piece *p)
{
	*p = (struct mem_piece){
		.gpa = gpa, .last = last, .kind = r->kind, .r = (uintptr_t)r, .r_off = gpa - r->gpa
	};
	if (r->kind == HV_MAP_RAM || r->kind == HV_MAP_ROM) {
		p->ram = (uintptr_t)r->ram;
		p->ram_off = r->ram_off + p->r_off;
		p->host = (uintptr_t)r->ram->host + p->ram_off;
	}
}

static void build(struct hv_mem *m, struct mem_table *t)
{
	unsigned n_points = collect_points(m);
	struct mem_piece now = { 0 };
	uint64_t n = 0;

	for (unsigned i = 0; i < n_points; i++) {
		uint64_t gpa = m->points[i];
		uint64_t last = i + 1 < n_points ? m->points[i + 1] - 1 : UINT64_MAX;
		const struct hv_map_range *r = top_at(m, gpa);
		if (r == NULL)
			continue;
		if (n > 0 && now.r == (uintptr_t)r && now.last + 1 == gpa) {
			now.last = last;
			STORE(&t->piece[n - 1].last, last);
			continue;
		}
		make_piece(r, gpa, last, &now);
		store_piece(&t->piece[n++], &now);
	}
	STORE(&t->n, n);
}

static bool same_tables(const struct hv_mem *m)
{
	const struct mem_table *a = m->table[0], *b = m->table[1];

	return a->n == b->n && memcmp(a->piece, b->piece, a->n * sizeof(a->piece[0])) == 0;
}

void hv_mem_batch_begin(struct hv_mem *m)
{
	pthread_mutex_lock(&m->lock);
	m->batch++;
}

/* The listeners run without the lock: while one waits for a vCPU to let go of its translations,
 * that vCPU may be in a device that changes the map, too. */
void hv_mem_batch_end(struct hv_mem *m)
{
	uint64_t gpa = m->changed_gpa, last = m->changed_last, gen = m->gen;
	bool changed = false;

	if (--m->batch == 0 && gpa <= last) {
		build(m, m->table[(gen + 1) % 2]);
		changed = !same_tables(m);
		atomic_store_explicit(&m->gen, gen + 1, memory_order_release);
		m->changed_gpa = UINT64_MAX;
		m->changed_last = 0;
	}
	pthread_mutex_unlock(&m->lock);
	if (!changed)
		return;
	uint64_t bytes = last - gpa == UINT64_MAX ? UINT64_MAX : last - gpa + 1;
	for (struct hv_mem_listener *l = m->listeners; l != NULL; l = l->next)
		if (l->map_changed != NULL)
			l->map_changed(l->ctx, gpa, bytes);
}

static void touched(struct hv_mem *m, const struct hv_map_range *r)
{
	m->changed_gpa = hv_min_u64(m->changed_gpa, r->gpa);
	m->changed_last = hv_max_u64(m->changed_last, r->gpa + (r->bytes - 1));
}

static void check_range(const struct hv_map_range *r)
{
	bool backed = r->kind == HV_MAP_RAM || r->kind == HV_MAP_ROM;

	assert(!r->mapped && r->bytes > 0 && r->bytes - 1 <= UINT64_MAX - r->gpa);
	assert(r->kind != HV_MAP_IO || r->io != NULL);
	assert(!backed || ((r->gpa | r->bytes | r->ram_off) % HV_PAGE_SIZE == 0 &&
			   r->bytes <= r->ram->bytes && r->ram_off <= r->ram->bytes - r->bytes));
	(void)backed;
}

void hv_mem_map(struct hv_mem *m, struct hv_map_range *r)
{
	struct hv_map_range **at = &m->ranges;

	check_range(r);
	hv_mem_batch_begin(m);
	assert(m->n_ranges < HV_MAP_MAX);
	m->n_ranges++;
	r->mapped = true;
	while (*at != NULL && (*at)->prio > r->prio)
		at = &(*at)->next;
	r->next = *at;
	*at = r;
	TRACE(mem_map, "%s at %#llx, %#llx bytes", r->name, (unsigned long long)r->gpa,
	      (unsigned long long)r->bytes);
	touched(m, r);
	hv_mem_batch_end(m);
}

void hv_mem_unmap(struct hv_mem *m, struct hv_map_range *r)
{
	hv_mem_batch_begin(m);
	for (struct hv_map_range **at = &m->ranges; *at != NULL; at = &(*at)->next) {
		if (*at == r) {
			*at = r->next;
			m->n_ranges--;
			r->mapped = false;
			TRACE(mem_unmap, "%s", r->name);
			touched(m, r);
			break;
		}
	}
	hv_mem_batch_end(m);
}

void hv_mem_listen(struct hv_mem *m, struct hv_mem_listener *l)
{
	struct hv_mem_listener **at = &m->listeners;

	while (*at != NULL)
		at = &(*at)->next;
	l->next = NULL;
	*at = l;
}

void hv_mem_unlisten(struct hv_mem *m, struct hv_mem_listener *l)
{
	struct hv_mem_listener **at = &m->listeners;

	while (*at != NULL && *at != l)
		at = &(*at)->next;
	if (*at == l)
		*at = l->next;
}
