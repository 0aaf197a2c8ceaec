/*
 * Inside the translator: a block on its way to host code. Guest registers live in the host's as
 * tr_host says; RCX, R11 and R15 are free in between; the guest's status flags are the host's, so
 * all that is added between guest instructions leaves the flags alone.
 */
#ifndef SOFT_TRANSLATE_GEN_H
#define SOFT_TRANSLATE_GEN_H
#include "engine/soft/decode.h"
#include "engine/soft/key.h"
#include "engine/soft/translate/code_cache.h"

#define GEN_MAX_MISS 4 /* checks of one instruction */

struct gen_miss {
	uint8_t *from[GEN_MAX_MISS];
	unsigned n, insn;
	const uint8_t *back;
};

struct gen {
	struct emit e;
	struct soft_vcpu *v;
	struct block *b;
	const struct insn *i; /* the one being translated, number k */
	unsigned k;
	struct decoded d;
	bool is64, stack_ok;
	uint32_t tlb, jumps;	  /* offsets in the context: those of the block's mode */
	const uint8_t *insn_call; /* runs instruction RCX of the block in the interpreter */
	struct gen_miss now;
	unsigned n_miss, n_exits;
	struct {
		uint8_t *from;
		struct tr_slot *slot;
		uint64_t rip;
	} exits[8];
	struct gen_miss miss[BLOCK_MAX_INSNS];
};

/* ---- pieces (gen.c) ---- */

/* R11 = the linear address of the memory operand. False: only the interpreter can. */
bool gen_ea(struct gen *g);
/* The offset alone, in the host register. */
bool gen_offset(struct gen *g, unsigned to);
/* The same where alignment is checked otherwise. */
bool gen_ea_unaligned(struct gen *g);
/* Goes on if RCX is 0; else the interpreter does the instruction. */
void gen_missed(struct gen *g);
/* After this, guest address R11 is at host address R11 + R15. */
void gen_check(struct gen *g, unsigned size, bool write);
/* R15 = the code for guest address R11, which is translated. */
void gen_lookup(struct gen *g);
/* The block is done; counts its instructions. */
void gen_count(struct gen *g);
/* Goes on at target. */
void gen_link(struct gen *g, uint64_t target);
/* The host register that guest register n is in; loaded into temp if it has none. */
unsigned gen_use(struct gen *g, unsigned n, unsigned temp);
/* After guest register n was written in the register that gen_use gave. */
void gen_put(struct gen *g, unsigned n, unsigned host);

/* ---- groups: false, whatever has been emitted: no translation ---- */

bool gen_plain(struct gen *g);	/* gen_int.c: anything that goes on at the next instruction */
bool gen_vector(struct gen *g); /* gen_vector.c */
bool gen_stack(struct gen *g);	/* gen_flow.c: pushes and pops */
bool gen_branch(struct gen *g); /* gen_flow.c: ends the block */
#endif
