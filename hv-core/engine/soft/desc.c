/*
 * Descriptors and segment registers: reading GDT and LDT, the checks of every kind of load, and the
 * accessed and busy bits (set by locked cycles). AMD64 manual vol. 2 chapter 4; Intel SDM vol. 3
 * chapters 3 and 5.
 */
#include "engine/soft/system.h"

_Noreturn void sys_fault(struct soft_vcpu *v, uint8_t vector, uint16_t sel)
{
	soft_raise_err(v, vector, (sel & 0xfffcu) | v->is_delivering);
}

static bool in_table(struct soft_vcpu *v, uint16_t sel, unsigned bytes, uint64_t *ret_addr)
{
	uint64_t base = v->s.gdt_base;
	uint32_t limit = v->s.gdt_limit;

	if (sel & 4) {
		const struct x86_seg_state *ldt = &v->s.seg[X86_LDTR];

		if (!(ldt->attr & X86_SEG_P))
			return false;
		base = ldt->base;
		limit = ldt->limit;
	}
	if ((sel & ~7u) + bytes - 1 > limit)
		return false;
	*ret_addr = base + (sel & ~7u);
	if (!v->long_mode)
		*ret_addr = (uint32_t)*ret_addr;
	return true;
}

bool sys_find(struct soft_vcpu *v, uint16_t sel, struct sys_desc *ret)
{
	if (!in_table(v, sel, 8, &ret->addr))
		return false;
	ret->raw = soft_sys_read(v, ret->addr, 8);
	ret->hi = 0;
	return true;
}

bool sys_find_wide(struct soft_vcpu *v, uint16_t sel, struct sys_desc *ret)
{
	if (!in_table(v, sel, 16, &ret->addr))
		return false;
	ret->raw = soft_sys_read(v, ret->addr, 8);
	ret->hi = soft_sys_read(v, ret->addr + 8, 8);
	return true;
}

uint32_t sys_limit(const struct sys_desc *d)
{
	uint32_t limit = (d->raw & 0xffff) | (d->raw >> 32 & 0xf0000);

	return d->raw >> 55 & 1 ? limit << 12 | 0xfff : limit;
}

uint32_t sys_base(const struct sys_desc *d)
{
	return (uint32_t)((d->raw >> 16 & 0xffffff) | d->raw >> 56 << 24);
}

void sys_fill(struct x86_seg_state *s, uint16_t sel, const struct sys_desc *d)
{
	s->sel = sel;
	s->base = sys_base(d);
	s->limit = sys_limit(d);
	s->attr = d->raw >> 40 & 0xf0ff;
}

/* ---- locked changes of the type byte ---- */

void sys_probe_type(struct soft_vcpu *v, const struct sys_desc *d)
{
	soft_sys_probe(v, d->addr + 5, 1, true);
}

/* Changes bits of the type byte as one atomic access. A probe came before: nothing raises. */
static void type_rmw(struct soft_vcpu *v, uint64_t addr, uint8_t clear, uint8_t set)
{
	struct soft_tlb *saved = v->tlb;
	uint8_t *p;

	v->tlb = &v->tlbs[SOFT_MODE_SUPER_SMAP];
	p = soft_atomic(v, addr, 1);
	v->tlb = saved;
	if (p != NULL) {
		if (clear != 0)
			__atomic_fetch_and(p, (uint8_t)~clear, __ATOMIC_SEQ_CST);
		if (set != 0)
			__atomic_fetch_or(p, set, __ATOMIC_SEQ_CST);
		return;
	}
	soft_lock_begin(v);
	uint8_t x = (uint8_t)soft_sys_read(v, addr, 1);

	soft_sys_write(v, addr, 1, (x & ~clear) | set);
	soft_lock_end(v);
}

void sys_set_accessed(struct soft_vcpu *v, struct sys_desc *d)
{
	if (!sys_is_seg(d) || (d->raw >> 40 & X86_SEG_ACCESSED))
		return;
	sys_probe_type(v, d);
	type_rmw(v, d->addr + 5, 0, X86_SEG_ACCESSED);
	d->raw |= (uint64_t)X86_SEG_ACCESSED << 40;
}

void sys_set_busy(struct soft_vcpu *v, const struct sys_desc *d, bool busy)
{
	sys_probe_type(v, d);
	type_rmw(v, d->addr + 5, busy ? 0 : 2, busy ? 2 : 0);
}

/* ---- loads ---- */

bool sys_code64(const struct soft_vcpu *v, const struct sys_desc *cs)
{
	return v->long_mode && sys_is_long(cs);
}

bool sys_bad_long(const struct soft_vcpu *v, const struct sys_desc *cs)
{
	return v->long_mode && sys_is_long(cs) && sys_is_db(cs);
}

void sys_check_ip(struct soft_vcpu *v, const struct sys_desc *cs, uint64_t ip)
{
	bool bad = sys_code64(v, cs) ? !soft_canonical(ip) : ip > sys_limit(cs);

	if (bad)
		soft_raise_err(v, X86_EXC_GP, v->is_delivering);
}

void sys_set_seg(struct soft_vcpu *v, enum x86_seg seg, uint16_t sel, struct sys_desc *d)
{
	sys_set_accessed(v, d);
	sys_fill(&v->s.seg[seg], sel, d);
}

void sys_set_cs(struct soft_vcpu *v, uint16_t sel, struct sys_desc *d, unsigned cpl)
{
	sys_set_accessed(v, d);
	sys_fill(&v->s.seg[X86_CS], (uint16_t)((sel & ~3u) | cpl), d);
	v->s.cpl = (uint8_t)cpl;
}

void sys_null_seg(struct soft_vcpu *v, enum x86_seg seg, uint16_t sel)
{
	v->s.seg[seg] = (struct x86_seg_state){ .sel = sel };
	if (seg == X86_SS) /* 64-bit mode: usable, and its DPL is the CPL */
		v->s.seg[seg] = (struct x86_seg_state){
			.sel = sel,
			.limit = 0xffffffff,
			.attr = (uint16_t)(X86_SEG_P | X86_SEG_S | X86_SEG_RW | X86_SEG_ACCESSED |
					   X86_SEG_DB | X86_SEG_G |
					   (unsigned)v->s.cpl << X86_SEG_DPL_SHIFT),
		};
}

void sys_real_seg(struct soft_vcpu *v, enum x86_seg seg, uint16_t sel)
{
	struct x86_seg_state *s = &v->s.seg[seg];

	/* Limit and attributes stay ("unreal mode"), but a segment becomes usable. */
	s->sel = sel;
	s->base = (uint32_t)sel << 4;
	if (!(s->attr & X86_SEG_P)) {
		s->attr = X86_SEG_P | X86_SEG_S | X86_SEG_RW | X86_SEG_ACCESSED;
		s->limit = 0xffff;
	}
}

void sys_v86_segs(struct soft_vcpu *v, const uint16_t sels[6])
{
	for (unsigned n = X86_ES; n <= X86_GS; n++)
		v->s.seg[n] = (struct x86_seg_state){
			.sel = sels[n],
			.base = (uint32_t)sels[n] << 4,
			.limit = 0xffff,
			.attr = X86_SEG_P | X86_SEG_S | X86_SEG_RW | X86_SEG_ACCESSED |
				3 << X86_SEG_DPL_SHIFT,
		};
}

void sys_check_ss(struct soft_vcpu *v, uint16_t sel, unsigned cpl, uint8_t vec,
		  struct sys_desc *ret)
{
	if (sys_null(sel))
		soft_raise_err(v, vec, v->is_delivering);
	if (!sys_find(v, sel, ret) || (sel & 3) != cpl || !sys_is_seg(ret) || sys_is_code(ret) ||
	    !(sys_type(ret) & X86_SEG_RW) || sys_dpl(ret) != cpl)
		sys_fault(v, vec, sel);
	if (!sys_present(ret))
		sys_fault(v, X86_EXC_SS, sel);
}

static void load_data(struct soft_vcpu *v, enum x86_seg seg, uint16_t sel)
{
	struct sys_desc d;

	if (sys_null(sel)) {
		sys_null_seg(v, seg, sel);
		return;
	}
	if (!sys_find(v, sel, &d) || !sys_is_seg(&d) ||
	    (sys_is_code(&d) && !(sys_type(&d) & X86_SEG_RW)))
		sys_fault(v, X86_EXC_GP, sel);
	if (!(sys_is_code(&d) && sys_is_conforming(&d)) &&
	    (sys_dpl(&d) < v->s.cpl || sys_dpl(&d) < (sel & 3)))
		sys_fault(v, X86_EXC_GP, sel);
	if (!sys_present(&d))
		sys_fault(v, X86_EXC_NP, sel);
	sys_set_seg(v, seg, sel, &d);
}

void sys_load_seg(struct soft_vcpu *v, enum x86_seg seg, uint16_t sel)
{
	struct sys_desc d;

	if (!v->protected || v->v86) {
		sys_real_seg(v, seg, sel);
	} else if (seg != X86_SS) {
		load_data(v, seg, sel);
	} else if (sys_null(sel) && v->code64 && v->s.cpl != 3 && (sel & 3) == v->s.cpl) {
		sys_null_seg(v, seg, sel);
	} else {
		sys_check_ss(v, sel, v->s.cpl, X86_EXC_GP, &d);
		sys_set_seg(v, seg, sel, &d);
	}
}

void sys_drop_segs(struct soft_vcpu *v)
{
	static const uint8_t segs[] = { X86_ES, X86_DS, X86_FS, X86_GS };

	for (unsigned n = 0; n < HV_ARRAY_LEN(segs); n++) {
		struct x86_seg_state *s = &v->s.seg[segs[n]];
		unsigned dpl = s->attr >> X86_SEG_DPL_SHIFT & 3;
		bool conforming = (s->attr & (X86_SEG_CODE | X86_SEG_DC)) ==
				  (X86_SEG_CODE | X86_SEG_DC);

		if (sys_null(s->sel)) {
			/* FS and GS keep the bases that 64-bit code gave them by MSR. */
			s->sel = 0;
			s->attr = 0;
			s->limit = 0;
		} else if (dpl < v->s.cpl && !conforming) {
			sys_null_seg(v, segs[n], 0);
		}
	}
}
