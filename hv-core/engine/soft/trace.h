/* The instruction and state trace. */
#ifndef SOFT_TRACE_H
#define SOFT_TRACE_H
#include "engine/soft/soft.h"

/* One line for the instruction that is about to run. */
void soft_trace_insn(struct soft_vcpu *v, const struct insn *i);
#endif
