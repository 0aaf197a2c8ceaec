/* Deterministic running (hv_engine_options.deterministic), see turn.c. */
#ifndef SOFT_TURN_H
#define SOFT_TURN_H
#include "engine/soft/soft.h"

void soft_turn_init(struct soft_vcpu *v); /* new vCPU */
/* The vCPU comes back into the engine: time may have been skipped. */
void soft_turn_begin(struct soft_vcpu *v);
/* Moves the clock to where the instructions are. The FPU is parked. */
void soft_turn_sync(struct soft_vcpu *v);
/* What is due now, and when to look again. Between instructions. */
void soft_turn(struct soft_vcpu *v);

/* Fewer than n instructions are left until something is due. */
static inline bool soft_turn_within(const struct soft_vcpu *v, uint64_t n)
{
	return HV_UNLIKELY(v->stop_at - v->stats.instructions < n);
}
#endif
