/*
 * Lines by which two runs are compared: numbers that are equal if the state is, at points that are
 * given as numbers of instructions.
 *
 *   COUNT RIP CPU TIME MEMORY
 *
 * COUNT and TIME (the virtual clock's, in ns) are decimal, the others hexadecimal: RIP, a hash of
 * all of the vCPU's state, and one of RAM, or "-" where that was left out: it takes milliseconds.
 */
#ifndef CPU_DIGEST_H
#define CPU_DIGEST_H
#include <stdbool.h>
#include <stdint.h>

struct hv_vcpu;

/* The vCPU is not in the engine. count: its instructions so far. What cannot be written is lost. */
void hv_digest_write(struct hv_vcpu *v, uint64_t count, bool with_memory);
#endif
