/* The stack of the current mode: pieces of soft_push and soft_pop, and the 64-bit fast paths. */
#ifndef SOFT_STACK_H
#define SOFT_STACK_H
#include "engine/soft/soft.h"

/* The stack pointer moved by off, wrapped at its size; not stored. */
uint64_t soft_sp_at(const struct soft_vcpu *v, int64_t off);
void soft_sp_set(struct soft_vcpu *v, uint64_t sp);
uint64_t soft_stack_linear(struct soft_vcpu *v, uint64_t sp, unsigned size, bool write);
uint64_t soft_stack_read(struct soft_vcpu *v, uint64_t sp, unsigned size);
void soft_stack_write(struct soft_vcpu *v, uint64_t sp, unsigned size, uint64_t x);

static inline void push64(struct soft_vcpu *v, uint64_t x)
{
	uint64_t a = v->s.gpr[X86_RSP] - 8;
	void *p = soft_tlb_hit(v->tlb->write, a, 8);

	if (HV_LIKELY(p != NULL && v->code64)) {
		memcpy(p, &x, 8);
		v->s.gpr[X86_RSP] = a;
	} else {
		soft_push(v, 8, x);
	}
}

/* The top of a 64-bit stack. */
static inline uint64_t soft_stack_read64(struct soft_vcpu *v)
{
	const void *p = soft_tlb_hit(v->tlb->read, v->s.gpr[X86_RSP], 8);
	uint64_t x;

	if (HV_UNLIKELY(p == NULL))
		return soft_stack_read(v, v->s.gpr[X86_RSP], 8);
	memcpy(&x, p, 8);
	return x;
}

static inline uint64_t pop64(struct soft_vcpu *v)
{
	uint64_t a = v->s.gpr[X86_RSP], x;
	const void *p = soft_tlb_hit(v->tlb->read, a, 8);

	if (HV_UNLIKELY(p == NULL || !v->code64))
		return soft_pop(v, 8);
	memcpy(&x, p, 8);
	v->s.gpr[X86_RSP] = a + 8;
	return x;
}
#endif
