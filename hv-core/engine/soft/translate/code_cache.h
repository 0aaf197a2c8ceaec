/*
 * Where a vCPU's translated code lies, and how control gets into it and out again. Memory that is
 * mapped twice, writable and executable, never both. Blocks jump straight to each other: linking
 * two, and parting them again, writes the distance of a jump.
 */
#ifndef SOFT_TRANSLATE_CODE_CACHE_H
#define SOFT_TRANSLATE_CODE_CACHE_H
#include "engine/soft/block.h"
#include "engine/soft/translate/emit.h"
#include "engine/soft/translate/translate.h"

/* What a block may take; also room that is asked for before it is begun. */
#define TR_BLOCK_BYTES HV_KIB(40)

/* Which entry of a block a link leads to. */
enum tr_to {
	TR_TO_BODY,
	TR_TO_CHECKED, /* requests are looked at on this way */
	TR_TO_CODE,    /* and whether the page lies where it lay: from another page */
};

/* A jump that is led to another block's code once that is known. */
struct tr_slot {
	uint8_t *at;		 /* its distance, in the writable mapping */
	const uint8_t *unlinked; /* the way out to the run loop, there too */
	struct tr_slot *next;	 /* of those that lead to the same block */
	const uint8_t *host;	 /* the page it stands in */
	enum tr_to to;
};

/* Host code that may raise SIGFPE: at and next (behind it) are offsets in the cache. */
struct tr_trap {
	uint32_t at, next;
	uint32_t call; /* runs an instruction of the block in the interpreter */
	uint32_t insn; /* this one's number */
};

/* Times that a place in the code may meet another page before it is asked how often that is. */
#define TR_COUNT 1024u
/* Of a place with a site: what the glue wants to know when it meets another page. */
struct tr_count {
	uint64_t left, since;	  /* the host's time-stamp counter */
	const void *often;	  /* where it goes when none is left */
	uint32_t site, mark, tlb; /* offsets in the context: its site, its group's mark, its TLB */
	uint32_t size;		  /* of the operand */
	uint64_t insn;		  /* its number, and TR_OFTEN */
};

struct gen;

/*
 * The stack that translated code runs on, one a mode. A call of the guest pushes two words: the
 * complement of the guest address it will return to, and the host's. A return that finds its
 * address there returns; any other empties the stack and looks the address up. What lies there is
 * good as long as the mode's key is the same, no fetch translation is dropped, and no block is.
 */
#define TR_STACK_BYTES HV_KIB(64)
/* At the bottom of each, in place of a guest address: no guest returns there. */
#define TR_NO_RETURN 0x5a3c69960ff0a5c3ull

#define TR_MAX_PARTS 8u /* blocks of a trace */

struct soft_tr {
	uint8_t *rw, *rx; /* the same memory; rw is an owned mapping, rx lies behind the vCPU */
	struct tr_slot *slots;	 /* behind rx */
	struct tr_trap *traps;	 /* by address */
	uint8_t *stacks;	 /* TR_STACK_BYTES a mode, the lowest page is a guard */
	struct tr_count *counts; /* behind rx */
	const void **ways;	 /* behind rx; from groups in two pages to exact copies */
	uint8_t restless[65536]; /* soft_tr_restless(), by a hash */
	uint32_t *entries;	 /* of exact copies */
	struct gen *gen;	 /* owned: what translating a block needs */
	/* Bytes of code that is run often, from the beginning; where that begins which is run
	 * seldom (misses, ways out), and where it ends. */
	uint32_t used, cold_start, cold;
	uint32_t large, cold_large;	 /* up to where both lie in large pages */
	unsigned n_sites[SOFT_MODES][2]; /* given out so far */
	uint32_t glue_bytes, n_slots, n_traps, n_entries, n_counts, n_ways;
	uint64_t host_gs;    /* the thread's own GS base, while v runs */
	uint64_t *fallbacks; /* owned: by mnemonic */
	/* As the VM was configured */
	unsigned threshold; /* runs in the interpreter before a block is translated */
	unsigned max_parts; /* of a trace; 1: single blocks */
	bool count;	    /* instructions */
	uint64_t no_page;   /* what sites without a page have: not canonical, and nobody knows it */
	bool pair_returns;  /* calls and returns of the guest are calls and returns of the host */
	bool link_pages;    /* links lead to other pages, too */
	/* In the writable mapping: */
	const uint8_t *exit, *call, *load_fpu, *group_missed, *site_missed, *site_lookup;
	const uint8_t *lost;		  /* in the executable one */
	void *(*enter)(const void *code); /* returns the slot it came out by, or NULL */
};

/* Guest register to host register; H_NONE: lives in the context. */
extern const uint8_t tr_host[16];
#define TR_OFF(m) ((uint32_t)offsetof(struct soft_vcpu, m))

/* No place in code of the mode remembers a page (pages.c). */
void tr_empty_pages(struct soft_vcpu *v);
/* Any context. */
bool tr_cache_has(const struct soft_tr *t, uintptr_t pc);
int tr_cache_create(struct soft_vcpu *v, struct err *e) HV_MUST_CHECK;
void tr_cache_destroy(struct soft_vcpu *v);
#endif
