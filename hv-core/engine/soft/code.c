/* Code pages: see code.h. */
#include "engine/soft/code.h"
#include <sys/mman.h>
#include "engine/soft/block.h"
#include "engine/soft/mmu.h"
#include "engine/soft/sync.h"
#include "mem/mem.h"

#define CODE_MAX_RAMS 64

struct soft_code {
	pthread_mutex_t lock; /* of adding */
	_Atomic unsigned n;
	_Atomic unsigned marking; /* vCPUs in soft_code_mark() */
	struct code_ram ram[CODE_MAX_RAMS];
};

int soft_code_create(struct soft_vm *vm, struct err *e)
{
	struct soft_code *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	pthread_mutex_init(&c->lock, NULL);
	vm->code = c;
	return 0;
}

void soft_code_destroy(struct soft_vm *vm)
{
	struct soft_code *c = vm->code;

	if (c == NULL)
		return;
	for (unsigned i = 0; i < atomic_load(&c->n); i++)
		munmap(c->ram[i].pages, c->ram[i].bytes / HV_PAGE_SIZE * sizeof(struct code_page));
	pthread_mutex_destroy(&c->lock);
	free(c);
	vm->code = NULL;
}

static struct code_ram *find(struct soft_code *c, const struct hv_ram *ram)
{
	unsigned n = atomic_load_explicit(&c->n, memory_order_acquire);

	for (unsigned i = 0; i < n; i++)
		if (c->ram[i].ram == ram)
			return &c->ram[i];
	return NULL;
}

static struct code_ram *add(struct soft_code *c, struct hv_ram *ram)
{
	unsigned n = atomic_load(&c->n);

	if (n == CODE_MAX_RAMS)
		return NULL;
	struct code_ram *r = &c->ram[n];

	r->ram = ram;
	r->host = hv_ram_host(ram);
	r->bytes = hv_ram_bytes(ram);
	r->first = n == 0 ? 0 : r[-1].first + r[-1].bytes / HV_PAGE_SIZE;
	void *p = mmap(NULL, r->bytes / HV_PAGE_SIZE * sizeof(struct code_page),
		       PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	r->pages = p;
	atomic_store(&r->dirty_log, hv_ram_dirty_on(ram));
	atomic_store_explicit(&c->n, n + 1, memory_order_release);
	return r;
}

struct code_ram *soft_code_ram(struct soft_vm *vm, struct hv_ram *ram)
{
	struct soft_code *c = vm->code;
	struct code_ram *r = find(c, ram);

	if (r != NULL)
		return r;
	pthread_mutex_lock(&c->lock);
	r = find(c, ram);
	if (r == NULL)
		r = add(c, ram);
	pthread_mutex_unlock(&c->lock);
	return r;
}

void soft_code_mark(struct soft_vcpu *v, struct code_page *p, const uint8_t *host, uint64_t mask)
{
	struct soft_code *c = v->vm->code;
	uint64_t me = 1ull << v->hv->index;

	/* Before the bytes are read: who does not see it has stored them. */
	if (!atomic_load_explicit(&v->decodes, memory_order_relaxed))
		atomic_store(&v->decodes, true);
	if ((atomic_load(&p->map) & mask) == mask && atomic_load(&c->marking) == 0)
		return;
	atomic_fetch_add(&c->marking, 1);
	/* Before writers is read: a vCPU that is not seen there sees the bits and makes no entry.
	 */
	atomic_fetch_or(&p->map, mask);
	/* Cleared before they are asked: a vCPU that clears the bits by a write of its own while
	 * it is asked announces itself anew, and that must not be lost. */
	uint64_t writers = atomic_exchange(&p->writers, 0);

	if (writers & me)
		soft_tlb_drop_host(v, host);
	/* Another vCPU that is at this, too, may have found the writers and be waiting for them. */
	if ((writers & ~me) || atomic_load(&c->marking) > 1) {
		soft_outside_begin(v);
		soft_sync_flush(v->vm);
		soft_outside_end(v);
	}
	atomic_fetch_sub(&c->marking, 1);
}

bool soft_code_may_write(struct soft_vcpu *v, struct code_page *p)
{
	uint64_t me = 1ull << v->hv->index;

	if (atomic_load_explicit(&p->map, memory_order_relaxed) != 0)
		return false;
	if (!(atomic_load_explicit(&p->writers, memory_order_relaxed) & me))
		atomic_fetch_or(&p->writers, me);
	else
		atomic_thread_fence(memory_order_seq_cst);
	return atomic_load(&p->map) == 0;
}

/* The bits that were set, now cleared. */
static uint64_t take(struct code_page *p, uint64_t mask)
{
	/* After the store to memory: either the decoder sees the new bytes, or we its bits. */
	atomic_thread_fence(memory_order_seq_cst);
	if (HV_LIKELY(!(atomic_load_explicit(&p->map, memory_order_relaxed) & mask)))
		return 0;
	return atomic_fetch_and(&p->map, ~mask) & mask;
}

void soft_code_written(struct soft_vcpu *v, struct code_page *p, uint64_t mask)
{
	uint64_t hit = take(p, mask);

	if (HV_LIKELY(hit == 0))
		return;
	v->stats.code_invalidations++;
	if (block_invalidate(v, p, hit) && v->cur != NULL)
		soft_stop_block(v);
	for (unsigned i = 0; i < HV_MAX_VCPUS; i++)
		if (v->vm->vcpu[i] != NULL && v->vm->vcpu[i] != v)
			block_post_invalidate(v->vm->vcpu[i], p, hit);
}

static bool alone_has_code(const struct soft_vcpu *v)
{
	for (unsigned i = 0; i < HV_MAX_VCPUS; i++) {
		const struct soft_vcpu *o = v->vm->vcpu[i];
		if (o != NULL && o != v && atomic_load(&o->decodes))
			return false;
	}
	return true;
}

void soft_code_stored(struct soft_vcpu *v, struct code_page *p, uint64_t off, unsigned size)
{
	const uint64_t mask = soft_code_mask(off, size);

	/* After the store to memory, as in take(). */
	atomic_thread_fence(memory_order_seq_cst);
	if (HV_LIKELY(!(atomic_load_explicit(&p->map, memory_order_relaxed) & mask)))
		return;
	/* Variables between the routines of a small program: without this each store to one would
	 * have what is around it decoded again. */
	if (!alone_has_code(v) || block_has_code(v, p, off & 4095, size))
		soft_code_written(v, p, mask);
}

void soft_code_written_outside(struct soft_vm *vm, struct hv_ram *ram, uint64_t off, uint64_t len)
{
	struct code_ram *r = find(vm->code, ram);

	if (r == NULL || off >= r->bytes)
		return;
	len = hv_min_u64(len, r->bytes - off);
	while (len > 0) {
		uint64_t piece = hv_min_u64(len, HV_PAGE_SIZE - (off & 4095));
		struct code_page *p = &r->pages[off / HV_PAGE_SIZE];
		uint64_t hit = take(p, soft_code_mask(off, (unsigned)piece));

		for (unsigned i = 0; hit != 0 && i < HV_MAX_VCPUS; i++)
			if (vm->vcpu[i] != NULL)
				block_post_invalidate(vm->vcpu[i], p, hit);
		off += piece;
		len -= piece;
	}
}
