/*
 * Random programs for the translator: a loop that loads pointers from a table and then does
 * whatever came to the generator's mind, near the ends of pages above all; ended by UD2, or by the
 * fault that comes first.
 */
#ifndef BLOCKS_H
#define BLOCKS_H
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/util.h"

#define BLOCKS_PAGE 4096u
/* Linear addresses */
#define BLOCKS_CODE 0x400000ull	 /* four pages */
#define BLOCKS_DATA 0x600000ull	 /* eight: the fourth read-only, the seventh missing */
#define BLOCKS_STACK 0x700000ull /* four: none above or below */
#define BLOCKS_TABLE 0x780000ull /* two, read-only: BLOCKS_ROWS rows of 16 words */
#define BLOCKS_ROWS 32u
#define BLOCKS_ROW 128u

struct program {
	unsigned start, len; /* the first instruction's offset; bytes from the region's beginning */
	unsigned next;	     /* where a round ends: the handler of exceptions goes there */
	uint8_t code[4 * BLOCKS_PAGE];
};

void blocks_seed(uint64_t seed);
uint64_t blocks_rnd(void);
void blocks_program(struct program *p);
/* What the registers hold in one round: RBX, RBP, RSI, RDI, R8, R12, R14, RSP, RCX, R9. */
void blocks_row(uint64_t row[16]);
#endif
