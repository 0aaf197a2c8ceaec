/*
 * Page walks: 32-bit paging with 4 MiB pages, PAE, and 4-level paging with 2 MiB and 1 GiB pages
 * (Intel SDM volume 3, chapter 4; AMD APM volume 2, chapter 5). A and D bits are set by compare and
 * exchange on the guest's entry, only after all checks have passed.
 *
 * Not modelled: protection keys, shadow stacks, 5-level paging.
 */
#include "engine/soft/mmu.h"
#include "mem/mem.h"

#define PTE_P 0x1ull
#define PTE_W 0x2ull
#define PTE_U 0x4ull
#define PTE_A 0x20ull
#define PTE_D 0x40ull
#define PTE_PS 0x80ull
#define PTE_G 0x100ull
#define PTE_NX (1ull << 63)
#define PTE_ADDR 0x000ffffffffff000ull

struct level {
	uint64_t gpa; /* of the entry */
	uint64_t pte;
};

struct walker {
	struct soft_vcpu *v;
	uint64_t linear;
	uint32_t access;
	bool smap, peek;
	unsigned bytes; /* of an entry */
	unsigned n;	/* levels gone through */
	struct level level[4];
	uint64_t rights; /* W and U as all levels allow them, NX as any denies it */
};

static uint64_t entry_read(struct soft_vcpu *v, uint64_t gpa, unsigned bytes)
{
	const struct soft_page *p = soft_page_at(v, gpa);

	if (HV_UNLIKELY(p->host == NULL))
		return soft_phys_read(v, gpa & v->mmu->addr_mask, bytes);
	const uint8_t *h = p->host + (gpa & 4095);

	if (bytes == 4)
		return __atomic_load_n((const uint32_t *)(const void *)h, __ATOMIC_RELAXED);
	return __atomic_load_n((const uint64_t *)(const void *)h, __ATOMIC_RELAXED);
}

/* false: the entry is no longer what it was. */
static bool entry_update(struct soft_vcpu *v, const struct level *l, unsigned bytes, uint64_t set)
{
	struct soft_page *p = soft_page_at(v, l->gpa);

	if (p->host == NULL || !p->writable)
		return true; /* tables in ROM or nowhere keep their bits */
	uint8_t *h = p->host + (l->gpa & 4095);
	bool ok;

	if (bytes == 4) {
		uint32_t old = (uint32_t)l->pte;

		ok = __atomic_compare_exchange_n((uint32_t *)(void *)h, &old, old | (uint32_t)set,
						 false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	} else {
		uint64_t old = l->pte;

		ok = __atomic_compare_exchange_n((uint64_t *)(void *)h, &old, old | set, false,
						 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
	if (ok && atomic_load_explicit(&p->ram->dirty_log, memory_order_relaxed)) {
		struct code_ram *r = p->ram;

		soft_fpu_park(v);
		hv_ram_dirty_mark(r->ram, (uint64_t)(h - r->host), bytes);
	}
	if (ok)
		soft_code_written(v, p->code, soft_code_mask(l->gpa, bytes));
	return ok;
}

static bool fail(const struct walker *w, struct walk *out, uint32_t bits)
{
	const struct soft_vcpu *v = w->v;
	bool nx = (v->s.efer & X86_EFER_NXE) && (v->s.cr4 & X86_CR4_PAE);

	out->error = bits | (w->access & (X86_PF_W | X86_PF_U));
	if ((w->access & X86_PF_I) && (nx || (v->s.cr4 & X86_CR4_SMEP)))
		out->error |= X86_PF_I;
	return false;
}

/* Reads the entry at gpa as the next level. */
static bool next_level(struct walker *w, uint64_t gpa, uint64_t rsvd, struct walk *out)
{
	struct level *l = &w->level[w->n++];

	l->gpa = gpa;
	l->pte = entry_read(w->v, gpa, w->bytes);
	if (!(l->pte & PTE_P))
		return fail(w, out, 0);
	if (l->pte & rsvd)
		return fail(w, out, X86_PF_P | X86_PF_RSVD);
	w->rights = (w->rights & (l->pte | ~(PTE_W | PTE_U))) | (l->pte & PTE_NX);
	return true;
}

static bool allowed(const struct walker *w)
{
	const struct soft_vcpu *v = w->v;
	bool user_page = w->rights & PTE_U;
	bool nx = (w->rights & PTE_NX) && (v->s.efer & X86_EFER_NXE);

	if (w->access & X86_PF_U) {
		if (!user_page || ((w->access & X86_PF_W) && !(w->rights & PTE_W)))
			return false;
		return !((w->access & X86_PF_I) && nx);
	}
	if (w->access & X86_PF_I)
		return !nx && !(user_page && (v->s.cr4 & X86_CR4_SMEP));
	if (user_page && w->smap && (v->s.cr4 & X86_CR4_SMAP))
		return false;
	return !(w->access & X86_PF_W) || (w->rights & PTE_W) || !(v->s.cr0 & X86_CR0_WP);
}

enum verdict { WALK_OK, WALK_FAULT, WALK_AGAIN };

/* The last level has been reached: checks, A and D bits, result. */
static enum verdict finish(struct walker *w, uint64_t base, unsigned shift, struct walk *out)
{
	struct soft_vcpu *v = w->v;
	const struct level *leaf = &w->level[w->n - 1];

	if (!allowed(w)) {
		fail(w, out, X86_PF_P);
		return WALK_FAULT;
	}
	if (!w->peek) {
		for (unsigned i = 0; i + 1 < w->n; i++)
			if (!(w->level[i].pte & PTE_A) &&
			    !entry_update(v, &w->level[i], w->bytes, PTE_A))
				return WALK_AGAIN;
		uint64_t set = PTE_A | (w->access & X86_PF_W ? PTE_D : 0);

		if ((leaf->pte & set) != set && !entry_update(v, leaf, w->bytes, set))
			return WALK_AGAIN;
	}
	out->gpa = (base | (w->linear & ((1ull << shift) - 1) & HV_PAGE_MASK)) & v->mmu->addr_mask;
	out->shift = (uint8_t)shift;
	out->global = (leaf->pte & PTE_G) && (v->s.cr4 & X86_CR4_PGE);
	return WALK_OK;
}

static enum verdict walk_32(struct walker *w, struct walk *out)
{
	struct soft_vcpu *v = w->v;
	uint64_t pd = v->s.cr3 & 0xfffff000, pde;

	w->bytes = 4;
	if (!next_level(w, pd + (w->linear >> 22 & 0x3ff) * 4, 0, out))
		return WALK_FAULT;
	pde = w->level[0].pte;
	if ((pde & PTE_PS) && (v->s.cr4 & X86_CR4_PSE)) {
		/* PSE-36: bits 13 to 20 are address bits 32 to 39; bit 21 must be 0. */
		uint64_t base = (pde & 0xffc00000) | (pde >> 13 & 0xff) << 32;

		if ((pde & 1 << 21) || (base & v->mmu->phys_rsvd)) {
			fail(w, out, X86_PF_P | X86_PF_RSVD);
			return WALK_FAULT;
		}
		return finish(w, base, 22, out);
	}
	if (!next_level(w, (pde & 0xfffff000) + (w->linear >> 12 & 0x3ff) * 4, 0, out))
		return WALK_FAULT;
	return finish(w, w->level[1].pte & 0xfffff000, 12, out);
}

/* The lower levels, common to PAE and 4-level paging: from the page directory on. */
static enum verdict walk_pd(struct walker *w, uint64_t table, uint64_t rsvd, struct walk *out)
{
	if (!next_level(w, table + (w->linear >> 21 & 0x1ff) * 8, rsvd, out))
		return WALK_FAULT;
	uint64_t pde = w->level[w->n - 1].pte;

	if (pde & PTE_PS) {
		if (pde & 0x1fe000) {
			fail(w, out, X86_PF_P | X86_PF_RSVD);
			return WALK_FAULT;
		}
		return finish(w, pde & PTE_ADDR & ~0x1fffffull, 21, out);
	}
	if (!next_level(w, (pde & PTE_ADDR) + (w->linear >> 12 & 0x1ff) * 8, rsvd, out))
		return WALK_FAULT;
	return finish(w, w->level[w->n - 1].pte & PTE_ADDR, 12, out);
}

static enum verdict walk_pae(struct walker *w, struct walk *out)
{
	struct soft_vcpu *v = w->v;
	uint64_t pdpte = v->mmu->pdpte[w->linear >> 30 & 3];
	uint64_t rsvd = v->mmu->phys_rsvd | 0x7ff0000000000000ull;

	if (!(v->s.efer & X86_EFER_NXE))
		rsvd |= PTE_NX;
	if (!(pdpte & PTE_P)) {
		fail(w, out, 0);
		return WALK_FAULT;
	}
	return walk_pd(w, pdpte & PTE_ADDR, rsvd, out);
}

static enum verdict walk_4(struct walker *w, struct walk *out)
{
	struct soft_vcpu *v = w->v;
	uint64_t rsvd = v->mmu->phys_rsvd | (v->s.efer & X86_EFER_NXE ? 0 : PTE_NX);
	uint64_t pml4 = v->s.cr3 & PTE_ADDR;
	bool gib = cpu_model_has(v->hv->vm->model, CPU_F_PDPE1GB);

	if (!next_level(w, pml4 + (w->linear >> 39 & 0x1ff) * 8, rsvd | PTE_PS, out) ||
	    !next_level(w, (w->level[0].pte & PTE_ADDR) + (w->linear >> 30 & 0x1ff) * 8,
			rsvd | (gib ? 0 : PTE_PS), out))
		return WALK_FAULT;
	uint64_t pdpte = w->level[1].pte;

	if (pdpte & PTE_PS) {
		if (pdpte & 0x3fffe000) {
			fail(w, out, X86_PF_P | X86_PF_RSVD);
			return WALK_FAULT;
		}
		return finish(w, pdpte & PTE_ADDR & ~0x3fffffffull, 30, out);
	}
	return walk_pd(w, pdpte & PTE_ADDR, rsvd, out);
}

bool soft_walk(struct soft_vcpu *v, uint64_t linear, uint32_t access, bool smap, bool peek,
	       struct walk *out)
{
	if (!v->paging) {
		out->gpa = linear & HV_PAGE_MASK & v->mmu->addr_mask;
		out->shift = 12;
		out->global = false;
		return true;
	}
	for (;;) {
		struct walker w;
		enum verdict r;

		w.v = v;
		w.linear = linear;
		w.access = access;
		w.smap = smap;
		w.peek = peek;
		w.bytes = 8;
		w.n = 0;
		w.rights = PTE_W | PTE_U;
		if (v->long_mode)
			r = walk_4(&w, out);
		else
			r = v->s.cr4 & X86_CR4_PAE ? walk_pae(&w, out) : walk_32(&w, out);
		if (r != WALK_AGAIN)
			return r == WALK_OK;
	}
}

bool soft_load_pdptes(struct soft_vcpu *v, uint64_t cr3)
{
	uint64_t rsvd = v->mmu->phys_rsvd | 0xfff00000000001e6ull, p[4];

	for (unsigned i = 0; i < 4; i++) {
		p[i] = entry_read(v, (cr3 & 0xffffffe0) + i * 8, 8);
		if ((p[i] & PTE_P) && (p[i] & rsvd))
			return false;
	}
	for (unsigned i = 0; i < 4; i++)
		v->mmu->pdpte[i] = p[i];
	return true;
}

bool soft_translate(struct soft_vcpu *v, uint64_t linear, uint64_t *ret_gpa)
{
	struct walk w;

	if (v->long_mode && !soft_canonical(linear))
		return false;
	if (!v->long_mode)
		linear = (uint32_t)linear;
	if (!soft_walk(v, linear, 0, false, true, &w))
		return false;
	*ret_gpa = w.gpa | (linear & 4095);
	return true;
}
