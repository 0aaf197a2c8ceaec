/* The run loop, for engine.c; and what instruction groups of the integer side share with it. */
#ifndef SOFT_RUN_H
#define SOFT_RUN_H
#include "engine/soft/soft.h"

/* Until an exit, which is in v->exit. v's thread. */
void soft_run(struct soft_vcpu *v);
/* The address after i. */
uint64_t soft_next_ip(const struct soft_vcpu *v, const struct insn *i);

/* Something is to be looked at before the next instruction. v's thread, between instructions. */
static inline bool soft_attention(const struct soft_vcpu *v)
{
	uint32_t req = atomic_load_explicit(&v->hv->requests, memory_order_relaxed);

	if (HV_LIKELY(!(req | v->slow | v->event_valid | v->want_exit | v->turn_due) &&
		      v->written_page == NULL))
		return false;
	return req != HV_REQ_INTR || (v->s.rflags & X86_FL_IF) || v->slow || v->event_valid ||
	       v->want_exit || v->turn_due || v->written_page != NULL;
}
#endif
