/* Paging: the software TLBs' second level, and what lies behind guest-physical pages. */
#ifndef SOFT_MMU_H
#define SOFT_MMU_H
#include "engine/soft/code.h"
#include "engine/soft/soft.h"
#include "mem/mem.h"

#define SOFT_PAGES_SIZE 8192u
#define SOFT_SLICES 4u
#define SOFT_TLB_WORDS (SOFT_TLB_SIZE / 64)
#define SOFT_FETCH_WORDS (2 * SOFT_FETCH_SIZE / 64)

/* What lies at a guest-physical page, so that neither walks nor misses take the map's lock. */
struct soft_page {
	uint64_t gpa;		/* of the page, or SOFT_TLB_EMPTY */
	uint8_t *host;		/* NULL: not all of it is RAM or ROM */
	struct code_page *code; /* not NULL where host is not */
	struct code_ram *ram;
	bool writable; /* RAM, not ROM */
};

struct soft_fetch {
	uint64_t tag;  /* linear page, or SOFT_TLB_EMPTY */
	uint64_t gpa;  /* of the page */
	uint8_t *host; /* NULL: I/O */
	struct code_page *code;
	uint64_t word; /* linear and host page in one: equal only if both are; 0: unknown */
};

struct soft_tlb_marks { /* one bit an entry */
	uint64_t filled[SOFT_TLB_WORDS];
	uint64_t global[SOFT_TLB_WORDS];
	uint64_t large[SOFT_TLB_WORDS]; /* of 2 or 4 MiB pages */
	uint64_t huge[SOFT_TLB_WORDS];	/* of 1 GiB pages */
};

struct soft_mmu {
	struct soft_fetch fetch[2 * SOFT_FETCH_SIZE]; /* by CPL == 3 */
	/* Bits of entries that may be filled, those of global pages, and of large ones */
	uint64_t fetch_used[SOFT_FETCH_WORDS], fetch_global[SOFT_FETCH_WORDS],
		fetch_large[SOFT_FETCH_WORDS];
	bool fetch_local[2]; /* any that is not global since such were dropped? */
	struct soft_page pages[SOFT_PAGES_SIZE];
	/* Where RAM and ROM lie, as far as it was asked since the last soft_phys_flush() */
	struct hv_mem_slice slices[SOFT_SLICES];
	struct code_ram *slice_ram[SOFT_SLICES];
	unsigned n_slices;
	uint64_t lapic_gpa;			    /* with them; SOFT_TLB_EMPTY: none */
	struct soft_tlb_marks marks[SOFT_MODES][2]; /* by write */
	/* Has the mode had entries since the last flush, and of pages that are not global, and of
	 * 1 GiB pages? */
	bool used[SOFT_MODES], local[SOFT_MODES], huge[SOFT_MODES];
	struct soft_pcid *pcid; /* owned */
	uint64_t pdpte[4];
	uint64_t addr_mask;	 /* A20 */
	uint64_t phys_rsvd;	 /* physical address bits that the CPU does not have */
	uint64_t cr0, cr4, efer; /* as of the last flush: bits that translation depends on */
};

/* What an access asks of a translation; bits as in the #PF error code. */
struct walk {
	uint64_t gpa;  /* of the 4 KiB page, A20 applied */
	uint8_t shift; /* of the page size: 12, 21, 22, 30 */
	bool global;
	uint32_t error; /* #PF error code on failure */
};

int soft_mmu_create(struct soft_vcpu *v, struct err *e) HV_MUST_CHECK;
void soft_mmu_destroy(struct soft_vcpu *v);

/* access: X86_PF_W, _U, _I. Sets A (and D for writes) unless peek. false: w->error. */
bool soft_walk(struct soft_vcpu *v, uint64_t linear, uint32_t access, bool smap, bool peek,
	       struct walk *w);
/* Never NULL; good until the next call. */
struct soft_page *soft_page_at(struct soft_vcpu *v, uint64_t gpa);
/* Translates for an instruction fetch; raises. */
const struct soft_fetch *soft_fetch_slow(struct soft_vcpu *v, uint64_t linear);
/* Makes the data TLB's entry for an access in the current mode, which sets A (and D); false: it
 * cannot have one, or there is no such translation. */
bool soft_tlb_fill(struct soft_vcpu *v, uint64_t linear, bool write);
/* Fills row n of a data TLB; of w the page size and whether it is global count. */
void soft_tlb_put(struct soft_vcpu *v, enum soft_access_mode mode, bool write, unsigned n,
		  const struct soft_tlb_entry *e, const struct walk *w);
/* The same of the fetch TLB. */
void soft_fetch_put(struct soft_vcpu *v, unsigned n, const struct soft_fetch *f, bool global,
		    bool large);
/* What lies at physical pages has changed: forgets that, too. */
void soft_phys_flush(struct soft_vcpu *v);
/* Drops write entries to the page at host in v's TLBs. */
void soft_tlb_drop_host(struct soft_vcpu *v, const uint8_t *host);

static inline unsigned soft_fetch_index(uint64_t linear, bool user)
{
	return user * SOFT_FETCH_SIZE + (linear >> 12 & (SOFT_FETCH_SIZE - 1));
}

static inline const struct soft_fetch *soft_fetch(struct soft_vcpu *v, uint64_t linear)
{
	const struct soft_fetch *f = &v->mmu->fetch[soft_fetch_index(linear, v->s.cpl == 3)];

	return HV_LIKELY(f->tag == (linear & HV_PAGE_MASK)) ? f : soft_fetch_slow(v, linear);
}

static inline enum soft_access_mode soft_mode(const struct soft_vcpu *v)
{
	return (enum soft_access_mode)(v->tlb - v->tlbs);
}

/* One access to a physical address that is not plain RAM: LAPIC page, MMIO, ROM writes. */
uint64_t soft_phys_read(struct soft_vcpu *v, uint64_t gpa, unsigned size);
void soft_phys_write(struct soft_vcpu *v, uint64_t gpa, unsigned size, uint64_t x);

/* #GP(0) or, for a stack access, #SS(0). */
_Noreturn void soft_raise_seg(struct soft_vcpu *v, bool stack);
#endif
