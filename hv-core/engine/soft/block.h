/* Decoded blocks of one vCPU. */
#ifndef SOFT_BLOCK_H
#define SOFT_BLOCK_H
#include "engine/soft/code.h"
#include "engine/soft/mmu.h"
#include "engine/soft/soft.h"

#define BLOCK_MAX_INSNS 96
#define BLOCK_DEAD 0x8000000000000000ull /* ip of an invalid block: not canonical */

struct block {
	uint64_t ip, lin; /* of the first instruction: offset in CS, and linear */
	uint64_t end_ip;  /* where it goes on without a branch */
	uint32_t key, cs_limit;
	uint16_t n;
	bool chains;	       /* ends without a change of mode, privilege or CS */
	bool crosses;	       /* its only instruction goes on in another page */
	bool near_link[2];     /* next is in the same page */
	bool no_groups;	       /* group_fails was too often: every access is checked by itself */
	bool uses_fpu;	       /* its translation wants the x87, SSE and AVX registers live */
	uint32_t runs;	       /* in the interpreter, of those before it was translated */
	uint32_t taken;	       /* of those, how many ended with a jump */
	uint32_t group_fails;  /* how often its exact copy had to be used since group_since */
	struct block *next[2]; /* found last after a fall-through, after a jump */
	uint8_t *host[2];      /* of the pages; identifies them */
	struct code_page *page[2];
	uint64_t mask; /* which parts of the first; of a second, it is the first part */
	/* Translated code, NULL: none. Entered at code from other pages; at checked, where requests
	 * are looked at; at body. */
	const void *code, *checked, *body;
	struct tr_slot *slots; /* links that lead here */
	struct block *head;    /* of a trace: the block that it begins with; else NULL */
	uint32_t *exact;       /* of its exact copy: where each instruction begins; NULL: none */
	uint64_t group_since;  /* the host's time-stamp counter; 0: ever */
	struct block *hash_next;
	uintptr_t page_next[2]; /* block.c */
	struct insn insns[] __attribute__((aligned(64)));
};
/* There are a hundred thousand of them, most of a few instructions. */
_Static_assert(sizeof(struct block) == 192, "three cache lines");

int block_cache_create(struct soft_vcpu *v, struct err *e) HV_MUST_CHECK;
void block_cache_destroy(struct soft_vcpu *v);

/* The block at s.rip; raises what fetching it raises. Never NULL. */
struct block *block_find(struct soft_vcpu *v);
/* A block of the same page and mode as b with room for n instructions, which the caller fills in;
 * it is never found, but dropped with the bytes in mask. NULL: there is no room. */
struct block *block_trace(struct soft_vcpu *v, struct block *b, unsigned n, uint64_t mask);
/* Drops v's blocks with bytes in mask of p. Own thread. True if there were any. */
bool block_invalidate(struct soft_vcpu *v, struct code_page *p, uint64_t mask);
/* Whether one of these bytes of p, up to its end, is an instruction's of v's blocks. Own thread. */
bool block_has_code(struct soft_vcpu *v, const struct code_page *p, unsigned off, unsigned size);
/* Leaves word that v must do so. Any thread. */
void block_post_invalidate(struct soft_vcpu *v, struct code_page *p, uint64_t mask);
/* Does what was posted. Own thread, between instructions. */
void block_do_posted(struct soft_vcpu *v);
void block_drop_all(struct soft_vcpu *v);
/* Changes when all blocks are gone: pointers to them are no good any more. */
uint64_t block_generation(const struct soft_vcpu *v);

int decode_create(struct soft_vm *vm, struct err *e) HV_MUST_CHECK;
void decode_destroy(struct soft_vm *vm);
/* Decodes the instructions from b->ip on into b (room for max), which has ip, lin, key,
 * cs_limit and host[0], page[0] set (host NULL: I/O); raises if not even the first can be fetched.
 */
void decode_block(struct soft_vcpu *v, struct block *b, unsigned max);
#endif
