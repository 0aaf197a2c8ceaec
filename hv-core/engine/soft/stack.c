/* Segment checks, and pushes and pops in every stack size. */
#include "engine/soft/stack.h"
#include "engine/soft/key.h"
#include "engine/soft/mmu.h"

void soft_raise_seg(struct soft_vcpu *v, bool stack)
{
	soft_raise_err(v, stack ? X86_EXC_SS : X86_EXC_GP, 0);
}

static bool within_limit(const struct x86_seg_state *s, uint64_t offset, unsigned size)
{
	uint64_t last = offset + size - 1;

	if ((s->attr & (X86_SEG_CODE | X86_SEG_DC)) == X86_SEG_DC) {
		uint64_t top = s->attr & X86_SEG_DB ? 0xffffffff : 0xffff;

		return offset > s->limit && last <= top;
	}
	return last <= s->limit;
}

static bool type_allows(const struct x86_seg_state *s, bool write)
{
	if (!(s->attr & X86_SEG_P))
		return false;
	if (s->attr & X86_SEG_CODE)
		return !write && (s->attr & X86_SEG_RW);
	return !write || (s->attr & X86_SEG_RW);
}

uint64_t soft_linear(struct soft_vcpu *v, enum x86_seg seg, uint64_t offset, unsigned size,
		     bool write)
{
	const struct x86_seg_state *s = &v->s.seg[seg];
	bool stack = seg == X86_SS;

	if (v->code64) {
		uint64_t a = seg >= X86_FS ? offset + s->base : offset;

		if (!soft_canonical(a) || !soft_canonical(a + size - 1))
			soft_raise_seg(v, stack);
		return a;
	}
	if (v->protected && !v->v86 && !type_allows(s, write))
		soft_raise_seg(v, stack);
	if (!within_limit(s, offset, size))
		soft_raise_seg(v, stack);
	return (uint32_t)(s->base + offset);
}

/* Of alignment checks: vectors count as 16 bytes, but Intel's CPUs do not check them; m80 counts as
 * 8; what is many fields is not checked. */
static unsigned alignment_mask(const struct soft_vcpu *v, unsigned size)
{
	if (size == 10)
		return 7;
	if (size >= 16 && !v->hv->vm->model->amd)
		return 0;
	if (size == 32)
		return 15;
	return size <= 16 && (size & (size - 1)) == 0 ? size - 1 : 0;
}

uint64_t soft_ea_checked(struct soft_vcpu *v, const struct insn *i, unsigned size, bool write)
{
	uint64_t a = soft_offset(v, i);

	if (size == 0)
		size = 1;
	if (i->flags & INSN_CHECK)
		a = soft_linear(v, i->seg, a, size, write);
	else if (i->seg >= X86_FS)
		a += v->s.seg[i->seg].base;
	if (!v->code64 && i->addr_size != 8)
		a = (uint32_t)a;
	if ((i->flags & INSN_ALIGN) && i->mem_size != 0 && (a & (i->mem_size - 1u)))
		soft_raise_err(v, X86_EXC_GP, 0);
	if ((v->key & KEY_ALIGN) && (a & alignment_mask(v, size)))
		soft_raise_err(v, X86_EXC_AC, 0);
	return a;
}

static uint64_t sp_get(const struct soft_vcpu *v)
{
	if (v->code64)
		return v->s.gpr[X86_RSP];
	return v->stack32 ? (uint32_t)v->s.gpr[X86_RSP] : (uint16_t)v->s.gpr[X86_RSP];
}

static uint64_t sp_wrap(const struct soft_vcpu *v, uint64_t sp)
{
	if (v->code64)
		return sp;
	return v->stack32 ? (uint32_t)sp : (uint16_t)sp;
}

void soft_sp_set(struct soft_vcpu *v, uint64_t sp)
{
	if (v->code64)
		v->s.gpr[X86_RSP] = sp;
	else if (v->stack32)
		v->s.gpr[X86_RSP] = (uint32_t)sp;
	else
		memcpy(&v->s.gpr[X86_RSP], &sp, 2);
}

uint64_t soft_sp_at(const struct soft_vcpu *v, int64_t off)
{
	return sp_wrap(v, sp_get(v) + (uint64_t)off);
}

uint64_t soft_stack_linear(struct soft_vcpu *v, uint64_t sp, unsigned size, bool write)
{
	uint64_t a;

	if (!v->code64 && v->stack32 && (v->flat & 1 << X86_SS) && sp + size <= 1ull << 32)
		a = sp;
	else
		a = soft_linear(v, X86_SS, sp, size, write);
	if ((v->key & KEY_ALIGN) && (a & (size - 1)))
		soft_raise_err(v, X86_EXC_AC, 0);
	return a;
}

uint64_t soft_stack_read(struct soft_vcpu *v, uint64_t sp, unsigned size)
{
	uint64_t a = soft_stack_linear(v, sp, size, false);

	switch (size) {
	case 2:
		return soft_ld16(v, a);
	case 4:
		return soft_ld32(v, a);
	default:
		return soft_ld64(v, a);
	}
}

void soft_stack_write(struct soft_vcpu *v, uint64_t sp, unsigned size, uint64_t x)
{
	uint64_t a = soft_stack_linear(v, sp, size, true);

	switch (size) {
	case 2:
		soft_st16(v, a, (uint16_t)x);
		break;
	case 4:
		soft_st32(v, a, (uint32_t)x);
		break;
	default:
		soft_st64(v, a, x);
	}
}

void soft_push(struct soft_vcpu *v, unsigned size, uint64_t x)
{
	uint64_t sp = soft_sp_at(v, -(int64_t)size);

	soft_stack_write(v, sp, size, x);
	soft_sp_set(v, sp);
}

void soft_push_sel(struct soft_vcpu *v, unsigned size, uint16_t sel)
{
	uint64_t sp = soft_sp_at(v, -(int64_t)size);

	if (size != 4 || v->hv->vm->model->amd) {
		soft_push(v, size, sel);
		return;
	}
	soft_st16(v, soft_stack_linear(v, sp, size, true), sel);
	soft_sp_set(v, sp);
}

uint64_t soft_pop(struct soft_vcpu *v, unsigned size)
{
	uint64_t x = soft_stack_read(v, sp_get(v), size);

	soft_sp_set(v, soft_sp_at(v, size));
	return x;
}
