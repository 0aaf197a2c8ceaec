/*
 * Debug exceptions (single step, code, data and I/O breakpoints, the interrupt shadows they obey)
 * and the debugger's own breakpoints and watchpoints, which the guest cannot see.
 */
#include "engine/soft/system.h"

#define DR6_BS 0x4000ull

enum dr_rw { DR_EXEC, DR_WRITE, DR_IO, DR_ACCESS };

static bool dr_on(const struct soft_vcpu *v, unsigned n)
{
	return v->s.dr7 >> (2 * n) & 3;
}

static unsigned dr_rw(const struct soft_vcpu *v, unsigned n)
{
	return v->s.dr7 >> (16 + 4 * n) & 3;
}

static unsigned dr_len(const struct soft_vcpu *v, unsigned n)
{
	static const uint8_t bytes[] = { 1, 2, 8, 4 };

	return bytes[v->s.dr7 >> (18 + 4 * n) & 3];
}

static bool overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a - b < b_len || b - a < a_len;
}

static bool dr_covers(const struct soft_vcpu *v, unsigned n, uint64_t addr, unsigned size)
{
	unsigned len = dr_len(v, n);

	return overlap(v->s.dr[n] & ~(uint64_t)(len - 1), len, addr, size);
}

uint32_t soft_slow_reasons(const struct soft_vcpu *v)
{
	uint32_t slow = 0;

	if (v->s.rflags & X86_FL_TF)
		slow |= SOFT_SLOW_TF;
	if (v->s.rflags & X86_FL_RF)
		slow |= SOFT_SLOW_RF;
	if (v->s.dr7 & 0xff)
		slow |= SOFT_SLOW_BREAK;
	/* A trap that is due, and the end of a HLT, are looked at by the same poll. */
	if (v->s.sti_shadow || v->s.movss_shadow || v->sys.dr6_pending != 0 ||
	    v->s.mp_state == X86_MP_HALTED)
		slow |= SOFT_SLOW_SHADOW;
	if (v->debug.single_step || v->debug.n_breaks != 0 || v->debug.n_watches != 0)
		slow |= SOFT_SLOW_GDB;
	return slow;
}

static uint64_t code_linear(const struct soft_vcpu *v, uint64_t ip)
{
	return v->code64 ? ip : (uint32_t)(v->s.seg[X86_CS].base + ip);
}

static void debug_exit(struct soft_vcpu *v, uint64_t rip, bool is_step)
{
	uint64_t watch = v->sys.watch_hit ? v->sys.watch_addr : 0;

	soft_exit(v, HV_EXIT_DEBUG);
	v->exit.debug.rip = rip;
	v->exit.debug.addr = watch;
	v->exit.debug.is_watch = v->sys.watch_hit;
	v->exit.debug.is_step = is_step;
	v->sys.watch_hit = false;
}

bool soft_before_insn(struct soft_vcpu *v, uint64_t ip)
{
	uint64_t linear = code_linear(v, ip), hits = 0;

	v->sys.tf_start = v->s.rflags & X86_FL_TF;
	v->sys.shadow_start = v->s.sti_shadow || v->s.movss_shadow;
	for (unsigned n = 0; n < v->debug.n_breaks; n++)
		if (v->debug.breaks[n] == linear) {
			v->s.rip = ip;
			debug_exit(v, ip, false);
			return true;
		}
	if (!(v->s.rflags & X86_FL_RF) && !v->s.movss_shadow)
		for (unsigned n = 0; n < 4; n++)
			if (dr_on(v, n) && dr_rw(v, n) == DR_EXEC && v->s.dr[n] == linear)
				hits |= 1ull << n;
	if (hits != 0) {
		v->s.rip = ip;
		v->event = (struct soft_event){ .vector = X86_EXC_DB, .dr6 = hits };
		v->event_valid = true;
		return true;
	}
	v->s.rflags &= ~(uint64_t)X86_FL_RF;
	v->slow &= ~(uint32_t)SOFT_SLOW_RF;
	return false;
}

void soft_after_insn(struct soft_vcpu *v)
{
	bool new_movss = v->s.movss_shadow && !v->sys.shadow_start;

	if (v->sys.shadow_start) {
		v->s.sti_shadow = 0;
		v->s.movss_shadow = 0;
		v->sys.shadow_start = false;
	}
	if (v->sys.tf_start && !new_movss)
		v->sys.dr6_pending |= DR6_BS;
	v->sys.tf_start = false;
	v->slow = (v->slow & SOFT_SLOW_TRACE) | soft_slow_reasons(v);
	if (v->want_exit)
		return;
	if (v->sys.watch_hit)
		debug_exit(v, v->s.rip, false);
	else if (v->debug.single_step)
		debug_exit(v, v->s.rip, true);
}

void soft_watch_hit(struct soft_vcpu *v, uint64_t linear, unsigned size, bool write)
{
	for (unsigned n = 0; n < 4; n++)
		if (dr_on(v, n) &&
		    (dr_rw(v, n) == DR_ACCESS || (write && dr_rw(v, n) == DR_WRITE)) &&
		    dr_covers(v, n, linear, size))
			v->sys.dr6_pending |= 1ull << n;
	for (unsigned n = 0; n < v->debug.n_watches; n++)
		if ((write ? v->debug.watches[n].on_write : v->debug.watches[n].on_read) &&
		    overlap(v->debug.watches[n].addr, v->debug.watches[n].len, linear, size)) {
			v->sys.watch_hit = true;
			v->sys.watch_addr = v->debug.watches[n].addr;
		}
}

bool soft_page_watched(const struct soft_vcpu *v, uint64_t linear_page)
{
	uint64_t page = linear_page & HV_PAGE_MASK;

	for (unsigned n = 0; n < 4; n++)
		if (dr_on(v, n) && (dr_rw(v, n) & 1) && dr_covers(v, n, page, HV_PAGE_SIZE))
			return true;
	for (unsigned n = 0; n < v->debug.n_watches; n++)
		if (overlap(v->debug.watches[n].addr, v->debug.watches[n].len, page, HV_PAGE_SIZE))
			return true;
	return false;
}

/* ---- ports ---- */

static void io_bitmap_check(struct soft_vcpu *v, uint16_t port, unsigned size)
{
	const struct x86_seg_state *tr = &v->s.seg[X86_TR];
	uint32_t map, bits;

	if (!(tr->attr & X86_SEG_P) || !(tr->attr & 8) || tr->limit < 103)
		soft_raise_err(v, X86_EXC_GP, 0);
	map = (uint32_t)soft_sys_read(v, tr->base + 102, 2) + port / 8u;
	if (map + 1 > tr->limit)
		soft_raise_err(v, X86_EXC_GP, 0);
	bits = (uint32_t)soft_sys_read(v, tr->base + map, 2) >> (port & 7);
	if (bits & ((1u << size) - 1))
		soft_raise_err(v, X86_EXC_GP, 0);
}

void soft_io_check(struct soft_vcpu *v, uint16_t port, unsigned size)
{
	if (v->v86 || (v->protected && v->s.cpl > sys_iopl(v)))
		io_bitmap_check(v, port, size);
	if (!(v->s.dr7 & 0xff) || !(v->s.cr4 & X86_CR4_DE))
		return;
	for (unsigned n = 0; n < 4; n++)
		if (dr_on(v, n) && dr_rw(v, n) == DR_IO && dr_covers(v, n, port, size))
			v->sys.dr6_pending |= 1ull << n;
}
