/*
 * Random blocks: sequences of instructions with memory accesses, branches, loops, calls and faults,
 * for the same comparison that single instructions get.
 */
#ifndef ORACLE_BLOCKS_H
#define ORACLE_BLOCKS_H
#include "oracle.h"

#define SEQ_MAX 96
#define SEQ_COUNTERS 4

enum fix {
	FIX_NONE,
	FIX_REL_LABEL, /* a branch's distance to another piece */
	FIX_ABS_LABEL, /* its address */
	FIX_REL_ABS,   /* RIP-relative, to a linear address */
};

/* One instruction. */
struct piece {
	uint8_t b[15], len;
	uint8_t fix_at;
	enum fix fix;
	unsigned to;   /* FIX_..._LABEL: number of a piece; the one behind the last is the end */
	uint32_t abs;  /* FIX_REL_ABS */
	bool left_out; /* by the shrinker */
};

struct seq {
	uint64_t seed;
	enum mode mode;
	struct cpu in;
	uint16_t code_off;
	struct piece p[SEQ_MAX];
	unsigned n;
};

/* All of it follows from the seed. */
void seq_make(struct seq *s, uint64_t seed, const struct form_table *forms);
/* The bytes as they are to lie at CODE_BASE + s->code_off. How many. */
unsigned seq_layout(const struct seq *s, uint8_t *code, unsigned room);
#endif
