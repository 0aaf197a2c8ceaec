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

/* enum soft_access_mode of a block's key */
#define MODE_OF_KEY(key) ((key) >> KEY_MODE_SHIFT & 3)

#define GEN_MAX_MISS 4	 /* checks of one instruction */
#define GEN_MAX_EXITS 64 /* of a block */
#define GEN_MAX_GROUPS TR_GROUPS
#define GEN_MAX_SITES (2 * BLOCK_MAX_INSNS + GEN_MAX_GROUPS)
#define GEN_NO_ROOT 0xffff

struct gen_miss {
	uint8_t *from[GEN_MAX_MISS];
	unsigned n, insn;
	int r15; /* the group whose address R15 holds behind it */
	const uint8_t *back;
};

enum gen_exit_kind {
	GEN_EXIT_UNLINKED, /* to the run loop */
	GEN_EXIT_MOVED,	   /* the same, and registers are still moved */
	GEN_EXIT_ASKED,	   /* the same, behind an instruction */
	GEN_EXIT_LINK,	   /* to the target's translation */
};

/* A way out of the block, whose code stands behind the block's. */
struct gen_exit {
	uint8_t *from;	 /* the jump that leads to it */
	uint64_t target; /* where the guest goes on */
	unsigned done;	 /* instructions that are to be counted on this way */
	enum gen_exit_kind kind;
	struct tr_slot *slot;
};

/* Accesses that are checked at once (group.c): the bytes from lo to hi, relative to what the
 * registers held whose values base and index stand for. */
struct gen_group {
	uint16_t base, index, seg;
	uint8_t scale;
	bool write, before_loop;
	int64_t lo, hi;
	uint16_t branches; /* of the trace, before the first access */
	unsigned n;	   /* accesses */
	unsigned first;	   /* the instruction of the first, if that writes */
	/* While code is made: bytes of alignment that were checked, of what offset */
	unsigned aligned;
	int64_t aligned_off;
	const uint8_t *check; /* its code */
};

struct gen_access {
	int8_t group; /* -1: none */
	int64_t off;
};

/* A guest address in host registers: base + disp. */
struct gen_ea {
	unsigned base;
	int32_t disp;
};

/* A check that found another page than the last time. */
struct gen_site_miss {
	uint8_t *from;
	const uint8_t *back;
	struct gen_ea ea;
	struct tr_site *site;
	unsigned insn, size;
	bool write;
	uint8_t **missed; /* becomes the jump to where the TLB has no entry, either */
};

/* A group's check, that failed. */
struct gen_group_miss {
	uint8_t *from;
	unsigned group, insn;
};

/* A memory operand on the host: [base + index + disp], index H_NONE: none. */
struct gen_mem {
	unsigned base, index;
	int32_t disp;
};

struct gen {
	struct emit e;
	struct soft_vcpu *v;
	struct block *b;      /* whose instructions are translated: a trace, or the head itself */
	const struct insn *i; /* the one being translated, number k */
	unsigned k;
	const struct decoded *d; /* of it */
	bool is64, stack_ok;
	uint32_t cold_start;	  /* of this block */
	uint8_t *hot;		  /* the place in the block, while cold code is made */
	bool exact;		  /* every access is checked by itself */
	bool loops;		  /* it ends with a way to its beginning */
	uint8_t host[16];	  /* where guest registers are: tr_host, but for those moved */
	uint32_t tlb, jumps;	  /* offsets in the context: those of the block's mode */
	const uint8_t *insn_call; /* runs instruction RCX of the block in the interpreter */
	const uint8_t *checked;	  /* the block's entry that looks at requests */
	const uint8_t *again;	  /* the same within the loop */
	unsigned n_now;		  /* checks of this instruction so far, in miss[n_miss] */
	unsigned n_miss, n_exits, n_insns;
	struct gen_exit exits[GEN_MAX_EXITS];
	struct gen_miss miss[BLOCK_MAX_INSNS + 1];
	unsigned n_site_misses;
	struct gen_site_miss site_miss[GEN_MAX_SITES];
	/* Of the blocks that the trace is made of, one after the other (trace.c) */
	struct insn insns[BLOCK_MAX_INSNS];
	struct decoded decoded[BLOCK_MAX_INSNS];
	bool known[BLOCK_MAX_INSNS]; /* decoded[] is valid */
	/* Guest registers that have taken the place of others, which the trace does not use */
	unsigned n_moved;
	struct {
		uint8_t guest, instead, host;
	} moved[4];
	/* Grouped checks */
	unsigned n_groups, n_group_misses;
	uint32_t ready; /* groups that have been checked, bit by bit */
	int r15;	/* the group whose address R15 holds; -1: none */
	struct gen_group groups[GEN_MAX_GROUPS];
	struct gen_access access[BLOCK_MAX_INSNS][2]; /* operand, stack */
	struct gen_group_miss group_miss[GEN_MAX_GROUPS];
	uint32_t at[BLOCK_MAX_INSNS]; /* where instructions begin */
	unsigned look_after; /* the instruction behind an sti, and 1: requests are looked at then */
};

/* ---- trace.c ---- */

/* Chooses what is translated with head, decodes it, and sets g->b. */
void gen_trace(struct gen *g, struct block *head);
/* Decodes what was chosen before. */
void gen_decode_again(struct gen *g, struct block *b);

/* ---- group.c ---- */

/* Fills in groups and access. */
void gen_find_groups(struct gen *g);

/* ---- gen_mem.c ---- */

/* The offset alone of the memory operand, in the host register. */
bool gen_offset(struct gen *g, unsigned to);
/* The operand, size bytes of it, checked. R11 and R15 are taken then. False: only the interpreter
 * can. */
bool gen_operand(struct gen *g, unsigned size, bool write, struct gen_mem *m);
/* The same for bytes at [reg + off], reg being the stack pointer or RBP, in the stack's width. */
void gen_stack_operand(struct gen *g, unsigned reg, int32_t off, bool write, struct gen_mem *m);
/* Goes on if RCX is 0; else the interpreter does the instruction. */
void gen_missed(struct gen *g);
/* The checks of groups whose registers a loop does not change. */
void gen_before_loop(struct gen *g);
/* What is to be done where checks of the block fail: behind it. */
void gen_miss_paths(struct gen *g);

/* ---- pieces (gen.c) ---- */

/* Before code that leaves the trace otherwise than by gen_link(): registers are where tr_host has
 * them. No scratch register is changed. */
void gen_leave(struct gen *g);
/* And where it is entered. */
void gen_enter(struct gen *g);
/* R15 is used for something else. */
static inline void gen_take_r15(struct gen *g)
{
	g->r15 = -1;
}
/* em_rm() for it. */
void gen_rm(struct gen *g, unsigned flags, uint8_t op, unsigned reg, const struct gen_mem *m);
/* R15 = the code for guest address R11, which is translated. */
void gen_lookup(struct gen *g);
/* Counts the first done instructions of the block as run, if anybody wants to know. */
void gen_count(struct gen *g, unsigned done);
/* A call whose return address has been pushed: to target, or to the code at tr_code. */
void gen_call(struct gen *g, uint64_t target, uint64_t back);
void gen_call_indirect(struct gen *g, uint64_t back);
/* Returns to R11, and steps the stack pointer: by the newest call, if that was made to come back
 * there, else by the table of jumps. */
void gen_return(struct gen *g, int32_t sp_step);
/* Steps the guest's stack pointer. */
void gen_move_sp(struct gen *g, int32_t n);
/* Goes on at target, when everything is done that has to be. */
void gen_link(struct gen *g, uint64_t target);
/* The same at the trace's end: counts, and knows the loop. */
void gen_link_end(struct gen *g, uint64_t target);
/* The same by a conditional jump; else goes on behind it. */
void gen_link_if(struct gen *g, unsigned cc, uint64_t target);
/* The host register that guest register n is in; loaded into temp if it has none. */
unsigned gen_use(struct gen *g, unsigned n, unsigned temp);
/* After guest register n was written in the register that gen_use gave. */
void gen_put(struct gen *g, unsigned n, unsigned host);
/* The host instruction that begins at start and ends here raises SIGFPE where the guest's own would
 * raise an exception. No guest register is displaced there. */
void gen_may_trap(struct gen *g, const uint8_t *start);

/* ---- groups: false, whatever has been emitted: no translation ---- */

bool gen_plain(struct gen *g);	/* gen_int.c: anything that goes on at the next instruction */
bool gen_vector(struct gen *g); /* gen_vector.c */
bool gen_stack(struct gen *g);	/* gen_flow.c: pushes and pops */
bool gen_system(struct gen *g); /* gen_system.c */
bool gen_branch(struct gen *g); /* gen_flow.c: ends the block, or goes on in the trace */
#endif
