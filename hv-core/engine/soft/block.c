/*
 * The block cache of one vCPU. Blocks live in one arena, filled from the front and dropped as a
 * whole when it is full; a block that is invalidated before that stays where it is, dead
 * (BLOCK_DEAD), so that links to it need not be found. Only the vCPU's own thread touches it, but
 * for the list of invalidations that others post.
 */
#include "engine/soft/block.h"
#include <sys/mman.h>
#include "engine/soft/translate/translate.h"

#define ARENA_BYTES HV_MIB(192) /* of a VM with one or two vCPUs; each of more has less */
#define ARENA_MIN HV_MIB(48)
#define BLOCK_BYTES(n) (sizeof(struct block) + (n) * sizeof(struct insn))
#define HASH_SIZE 262144u
#define JUMP_SIZE 32768u
#define POSTED_MAX 1024

struct posted {
	struct code_page *page;
	uint64_t mask;
};

struct block_cache {
	uint8_t *arena; /* owned, mapped */
	size_t bytes, used;
	uint64_t generation;	       /* of the arena */
	struct block *jump[JUMP_SIZE]; /* by linear address */
	struct block *hash[HASH_SIZE]; /* by host address */
	uintptr_t pages[HASH_SIZE];    /* by code page; bit 0: goes on in page_next[1] */
	struct block *io;	       /* owned: for code outside RAM, never found again */
	pthread_mutex_t lock;	       /* of what follows: any thread */
	unsigned n_posted;
	bool posted_all;
	struct posted posted[POSTED_MAX];
};

int block_cache_create(struct soft_vcpu *v, struct err *e)
{
	struct block_cache *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	v->blocks = c;
	pthread_mutex_init(&c->lock, NULL);
	c->io = aligned_alloc(64, BLOCK_BYTES(1));
	c->bytes = hv_max_u64(ARENA_MIN, ARENA_BYTES * 2 / hv_max_u64(2, v->hv->vm->n_vcpus));
	void *p = mmap(NULL, c->bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (c->io == NULL || p == MAP_FAILED)
		return err_set(e, -ENOMEM, "no memory for decoded code");
	c->arena = p;
	(void)madvise(p, c->bytes, MADV_HUGEPAGE);
	return 0;
}

void block_cache_destroy(struct soft_vcpu *v)
{
	struct block_cache *c = v->blocks;

	if (c == NULL)
		return;
	if (c->arena != NULL)
		munmap(c->arena, c->bytes);
	free(c->io);
	pthread_mutex_destroy(&c->lock);
	free(c);
	v->blocks = NULL;
}

void block_drop_all(struct soft_vcpu *v)
{
	struct block_cache *c = v->blocks;

	for (unsigned i = 0; i < JUMP_SIZE; i++)
		c->jump[i] = NULL;
	for (unsigned i = 0; i < HASH_SIZE; i++) {
		c->hash[i] = NULL;
		c->pages[i] = 0;
	}
	c->used = 0;
	c->generation++;
	v->stats.cache_drops++;
	if (v->tr != NULL)
		soft_tr_drop(v);
}

uint64_t block_generation(const struct soft_vcpu *v)
{
	return v->blocks->generation;
}

static struct block **jump_slot(struct block_cache *c, uint64_t lin)
{
	return &c->jump[(lin ^ lin >> 13) & (JUMP_SIZE - 1)];
}

static struct block **hash_slot(struct block_cache *c, const uint8_t *host, uint64_t lin)
{
	uint64_t a = (uintptr_t)host + (lin & 4095);

	return &c->hash[(a ^ a >> 15) & (HASH_SIZE - 1)];
}

static uintptr_t *page_slot(struct block_cache *c, const struct code_page *p)
{
	uint64_t a = (uintptr_t)p / sizeof(*p);

	return &c->pages[(a ^ a >> 15) & (HASH_SIZE - 1)];
}

static uint64_t linear_ip(const struct soft_vcpu *v)
{
	return v->code64 ? v->s.rip : (uint32_t)(v->s.seg[X86_CS].base + v->s.rip);
}

static uint32_t cs_limit(const struct soft_vcpu *v)
{
	return v->code64 ? 0 : v->s.seg[X86_CS].limit;
}

static inline bool matches(struct soft_vcpu *v, const struct block *b, uint64_t lin,
			   const uint8_t *host)
{
	if (b->lin != lin || b->ip != v->s.rip || b->key != v->key || b->host[0] != host ||
	    b->cs_limit != cs_limit(v))
		return false;
	return !b->crosses ||
	       soft_fetch(v, (lin & HV_PAGE_MASK) + HV_PAGE_SIZE)->host == b->host[1];
}

/* To be found when its code is written over; takes its place in the arena. */
static void keep(struct block_cache *c, struct block *b)
{
	for (unsigned k = 0; k < 2; k++) {
		if (b->page[k] == NULL)
			continue;
		uintptr_t *s = page_slot(c, b->page[k]);

		b->page_next[k] = *s;
		*s = (uintptr_t)b | k;
	}
	c->used += (BLOCK_BYTES(b->n) + 63) & ~63ull;
}

static void insert(struct soft_vcpu *v, struct block *b)
{
	struct block_cache *c = v->blocks;
	struct block **h = hash_slot(c, b->host[0], b->lin);

	b->hash_next = *h;
	*h = b;
	keep(c, b);
}

struct block *block_trace(struct soft_vcpu *v, struct block *b, unsigned n, uint64_t mask)
{
	struct block_cache *c = v->blocks;

	if (c->used + BLOCK_BYTES(n) > c->bytes)
		return NULL;
	struct block *t = (struct block *)(void *)(c->arena + c->used);

	*t = *b;
	t->n = (uint16_t)n;
	t->mask = mask;
	t->head = b;
	t->slots = NULL;
	t->code = t->checked = t->body = NULL;
	t->hash_next = NULL;
	keep(c, t);
	return t;
}

static struct block *decode(struct soft_vcpu *v, uint64_t lin, const struct soft_fetch *f)
{
	struct block_cache *c = v->blocks;
	bool io = f->host == NULL;

	if (!io && c->used + BLOCK_BYTES(BLOCK_MAX_INSNS) > c->bytes)
		block_drop_all(v);
	struct block *b = io ? c->io : (struct block *)(void *)(c->arena + c->used);

	b->ip = v->s.rip;
	b->lin = lin;
	b->key = v->key;
	b->cs_limit = cs_limit(v);
	b->crosses = false;
	b->next[0] = b->next[1] = NULL;
	b->code = b->checked = b->body = NULL;
	b->slots = NULL;
	b->runs = b->taken = 0;
	b->head = NULL;
	b->exact = NULL;
	b->group_fails = 0;
	b->group_since = 0;
	b->no_groups = false;
	b->uses_fpu = false;
	b->host[0] = f->host;
	b->page[0] = f->code;
	b->host[1] = NULL;
	b->page[1] = NULL;
	b->mask = 0;
	uint64_t start = __builtin_ia32_rdtsc();

	decode_block(v, b, io ? 1 : BLOCK_MAX_INSNS);
	v->decode_ticks += __builtin_ia32_rdtsc() - start;
	v->stats.blocks_decoded++;
	if (io || (b->crosses && b->host[1] == NULL))
		b->chains = false;
	else
		insert(v, b);
	return b;
}

static struct block *find_hashed(struct soft_vcpu *v, uint64_t lin, const uint8_t *host)
{
	if (host == NULL)
		return NULL;
	for (struct block *b = *hash_slot(v->blocks, host, lin); b != NULL; b = b->hash_next)
		if (matches(v, b, lin, host))
			return b;
	return NULL;
}

struct block *block_find(struct soft_vcpu *v)
{
	uint64_t lin = linear_ip(v);
	struct block **j = jump_slot(v->blocks, lin);

	for (;;) {
		const struct soft_fetch *now = soft_fetch(v, lin);
		struct block *b = *j;

		if (HV_LIKELY(b != NULL && matches(v, b, lin, now->host)))
			return b;
		const struct soft_fetch f = *soft_fetch(v, lin);
		uint64_t flushes = atomic_load_explicit(&v->flush_done, memory_order_relaxed);

		b = find_hashed(v, lin, f.host);
		if (b == NULL)
			b = decode(v, lin, &f);
		/* Decoding may have waited for others, while the page went somewhere else. */
		if (atomic_load_explicit(&v->flush_done, memory_order_relaxed) != flushes)
			continue;
		if (f.host != NULL && !(b->crosses && b->host[1] == NULL))
			*j = b;
		return b;
	}
}

static void kill_block(struct soft_vcpu *v, struct block *b)
{
	struct block **h = hash_slot(v->blocks, b->host[0], b->lin);

	if (v->tr != NULL)
		soft_tr_killed(v, b->head != NULL ? b->head : b);
	while (*h != NULL && *h != b)
		h = &(*h)->hash_next;
	if (*h == b)
		*h = b->hash_next;
	b->ip = b->lin = BLOCK_DEAD;
}

bool block_invalidate(struct soft_vcpu *v, struct code_page *p, uint64_t mask)
{
	uintptr_t *link = page_slot(v->blocks, p);
	bool any = false;

	while (*link != 0) {
		struct block *b = (struct block *)(*link & ~(uintptr_t)1);
		unsigned k = *link & 1;

		if (b->ip != BLOCK_DEAD && b->page[k] == p && ((k == 0 ? b->mask : 1) & mask)) {
			kill_block(v, b);
			any = true;
		}
		if (b->ip == BLOCK_DEAD)
			*link = b->page_next[k];
		else
			link = &b->page_next[k];
	}
	return any;
}

/* The block's bytes in its page k. A trace has none of its own: the blocks that it is made of do,
 * and go with it. */
static void block_bytes(const struct block *b, unsigned k, unsigned *ret_first, unsigned *ret_end)
{
	const unsigned first = b->lin & 4095;
	unsigned end = first;

	for (unsigned i = 0; i < b->n && b->head == NULL; i++)
		end += b->insns[i].len;
	*ret_first = k == 0 ? first : 0;
	*ret_end = k == 0 ? end : end - HV_PAGE_SIZE;
}

bool block_has_code(struct soft_vcpu *v, const struct code_page *p, unsigned off, unsigned size)
{
	const uint64_t mask = soft_code_mask(off, size);
	uintptr_t link = *page_slot(v->blocks, p);

	while (link != 0) {
		const struct block *b = (const struct block *)(link & ~(uintptr_t)1);
		const unsigned k = link & 1;
		unsigned first, end;

		link = b->page_next[k];
		if (b->ip == BLOCK_DEAD || b->page[k] != p || !((k == 0 ? b->mask : 1) & mask))
			continue;
		block_bytes(b, k, &first, &end);
		if (off < end && off + size > first)
			return true;
	}
	return false;
}

void block_post_invalidate(struct soft_vcpu *v, struct code_page *p, uint64_t mask)
{
	struct block_cache *c = v->blocks;

	pthread_mutex_lock(&c->lock);
	if (c->n_posted < POSTED_MAX)
		c->posted[c->n_posted++] = (struct posted){ p, mask };
	else
		c->posted_all = true;
	pthread_mutex_unlock(&c->lock);
	soft_request(v, HV_REQ_ENGINE);
}

void block_do_posted(struct soft_vcpu *v)
{
	struct block_cache *c = v->blocks;

	soft_fpu_park(v);
	pthread_mutex_lock(&c->lock);
	if (c->posted_all)
		block_drop_all(v);
	else
		for (unsigned i = 0; i < c->n_posted; i++)
			block_invalidate(v, c->posted[i].page, c->posted[i].mask);
	c->posted_all = false;
	c->n_posted = 0;
	pthread_mutex_unlock(&c->lock);
}
