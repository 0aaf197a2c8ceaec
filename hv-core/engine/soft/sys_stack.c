/*
 * Stacks of far transfers and events: the current one, or an inner or outer one that becomes SS:RSP
 * only when nothing can fault any more.
 */
#include "engine/soft/system.h"

void sys_stack_new(struct sys_stack *st, const struct x86_seg_state *ss, uint64_t sp, unsigned cpl,
		   uint16_t error)
{
	*st = (struct sys_stack){
		.ss = *ss,
		.sp = sp,
		.mask = ss->attr & X86_SEG_DB ? 0xffffffffull : 0xffffull,
		.cpl = cpl,
		.error = error,
	};
	st->sp &= st->mask;
}

void sys_stack_new64(struct sys_stack *st, uint64_t sp, unsigned cpl, uint16_t error)
{
	*st = (struct sys_stack){
		.sp = sp,
		.mask = ~0ull,
		.cpl = cpl,
		.flat64 = true,
		.error = error,
	};
}

void sys_stack_current(struct soft_vcpu *v, struct sys_stack *st)
{
	if (v->code64)
		sys_stack_new64(st, v->s.gpr[X86_RSP], v->s.cpl, 0);
	else
		sys_stack_new(st, &v->s.seg[X86_SS], v->s.gpr[X86_RSP], v->s.cpl, 0);
}

void sys_stack_commit(struct soft_vcpu *v, const struct sys_stack *st)
{
	uint64_t *rsp = &v->s.gpr[X86_RSP];

	*rsp = st->mask == 0xffff ? (*rsp & ~0xffffull) | (st->sp & 0xffff) : st->sp & st->mask;
}

static _Noreturn void stack_fault(struct soft_vcpu *v, const struct sys_stack *st)
{
	soft_raise_err(v, X86_EXC_SS, (st->error & 0xfffcu) | v->is_delivering);
}

static bool in_limit(const struct x86_seg_state *ss, uint64_t off, unsigned bytes)
{
	uint64_t last = off + bytes - 1;

	if (!(ss->attr & X86_SEG_P))
		return false;
	if ((ss->attr & (X86_SEG_CODE | X86_SEG_DC)) == X86_SEG_DC)
		return off > ss->limit && last <= (ss->attr & X86_SEG_DB ? 0xffffffffull : 0xffff);
	return last <= ss->limit;
}

static uint64_t stack_linear(struct soft_vcpu *v, const struct sys_stack *st, uint64_t off,
			     unsigned bytes)
{
	if (st->flat64) {
		if (!soft_canonical(off) || !soft_canonical(off + bytes - 1))
			stack_fault(v, st);
		return off;
	}
	if (!in_limit(&st->ss, off, bytes))
		stack_fault(v, st);
	return (uint32_t)(st->ss.base + off);
}

void sys_stack_room(struct soft_vcpu *v, const struct sys_stack *st, unsigned bytes)
{
	uint64_t off = (st->sp - bytes) & st->mask;
	unsigned first = bytes;

	if (off > st->mask - (bytes - 1))
		first = (unsigned)(st->mask - off + 1); /* wraps: two pieces */
	soft_probe_as(v, st->cpl, stack_linear(v, st, off, first), first, true);
	if (first < bytes)
		soft_probe_as(v, st->cpl, stack_linear(v, st, 0, bytes - first), bytes - first,
			      true);
}

void sys_stack_push(struct soft_vcpu *v, struct sys_stack *st, unsigned size, uint64_t x)
{
	uint64_t sp = (st->sp - size) & st->mask;

	soft_write_as(v, st->cpl, stack_linear(v, st, sp, size), size, x);
	st->sp = sp;
}

uint64_t sys_stack_pop(struct soft_vcpu *v, struct sys_stack *st, unsigned size)
{
	uint64_t x = soft_read_as(v, st->cpl, stack_linear(v, st, st->sp, size), size);

	st->sp = (st->sp + size) & st->mask;
	return x;
}

/* ---- inner stacks ---- */

static uint64_t tss_linear(struct soft_vcpu *v, unsigned off, unsigned bytes)
{
	const struct x86_seg_state *tr = &v->s.seg[X86_TR];
	uint64_t a = tr->base + off;

	if (off + bytes - 1 > tr->limit)
		sys_fault(v, X86_EXC_TS, tr->sel);
	return v->long_mode ? a : (uint32_t)a;
}

void sys_tss_stack(struct soft_vcpu *v, unsigned cpl, uint16_t *ret_ss, uint32_t *ret_esp)
{
	if (v->s.seg[X86_TR].attr & 8) { /* 32-bit TSS */
		uint64_t a = tss_linear(v, 4 + 8 * cpl, 6);

		*ret_esp = (uint32_t)soft_sys_read(v, a, 4);
		*ret_ss = (uint16_t)soft_sys_read(v, a + 4, 2);
	} else {
		uint64_t a = tss_linear(v, 2 + 4 * cpl, 4);

		*ret_esp = (uint32_t)soft_sys_read(v, a, 2);
		*ret_ss = (uint16_t)soft_sys_read(v, a + 2, 2);
	}
}

uint64_t sys_tss_rsp(struct soft_vcpu *v, unsigned index)
{
	return soft_sys_read(v, tss_linear(v, 4 + 8 * index, 8), 8);
}
