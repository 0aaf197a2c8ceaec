/* The run loop, for engine.c; and what instruction groups of the integer side share with it. */
#ifndef SOFT_RUN_H
#define SOFT_RUN_H
#include "engine/soft/soft.h"

/* Until an exit, which is in v->exit. v's thread. */
void soft_run(struct soft_vcpu *v);
/* The address after i. */
uint64_t soft_next_ip(const struct soft_vcpu *v, const struct insn *i);
#endif
