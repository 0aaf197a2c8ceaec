/*
 * Memory accesses off the fast path: TLB misses, page crossings, MMIO, ROM, code pages, pages with
 * watchpoints; probes, and host addresses for atomic operations.
 */
#include "engine/soft/block.h"
#include "engine/soft/code.h"
#include "engine/soft/mmu.h"
#include "mem/mem.h"

/* Where one access within a page goes. */
struct target {
	uint64_t gpa;
	uint8_t *host; /* NULL: soft_phys_read and _write */
	struct code_page *code;
	bool may_write; /* host may be written (not ROM) */
	bool watched;
};

void soft_tlb_put(struct soft_vcpu *v, enum soft_access_mode mode, bool write, unsigned n,
		  const struct soft_tlb_entry *e, const struct walk *w)
{
	struct soft_tlb *t = &v->tlbs[mode];
	struct soft_tlb_marks *k = &v->mmu->marks[mode][write];
	uint64_t bit = 1ull << (n % 64);

	*(write ? &t->write[n] : &t->read[n]) = *e;
	v->mmu->used[mode] = true;
	v->mmu->local[mode] |= !w->global;
	v->mmu->huge[mode] |= w->shift == 30;
	k->filled[n / 64] |= bit;
	k->global[n / 64] = (k->global[n / 64] & ~bit) | (w->global ? bit : 0);
	k->large[n / 64] = (k->large[n / 64] & ~bit) | (w->shift == 21 || w->shift == 22 ? bit : 0);
	k->huge[n / 64] = (k->huge[n / 64] & ~bit) | (w->shift == 30 ? bit : 0);
}

static void tlb_insert(struct soft_vcpu *v, uint64_t linear, enum soft_access_mode mode, bool write,
		       const uint8_t *host, const struct walk *w)
{
	uint64_t page = linear & HV_PAGE_MASK;
	const struct soft_tlb_entry e = { ~page, (uintptr_t)host - page };

	soft_tlb_put(v, mode, write, linear >> 12 & (SOFT_TLB_SIZE - 1), &e, w);
}

/* The entry for a page, if it may have one. */
static bool make_entry(struct soft_vcpu *v, uint64_t linear, enum soft_access_mode mode, bool write,
		       const struct soft_page *p, const struct walk *w)
{
	if (p->host == NULL || (write && !p->writable))
		return false;
	if (write && atomic_load_explicit(&p->ram->dirty_log, memory_order_relaxed)) {
		soft_fpu_park(v);
		hv_ram_dirty_mark(p->ram->ram, (uint64_t)(p->host - p->ram->host), HV_PAGE_SIZE);
	}
	if (write && !soft_code_may_write(v, p->code))
		return false;
	tlb_insert(v, linear, mode, write, p->host, w);
	return true;
}

/* Translates, raising what is due, and makes the TLB entry if the page may have one. */
static void target_get(struct soft_vcpu *v, uint64_t linear, enum soft_access_mode mode, bool write,
		       struct target *t)
{
	uint32_t access = (write ? X86_PF_W : 0) | (mode == SOFT_MODE_USER ? X86_PF_U : 0);
	struct walk w;

	v->stats.tlb_misses++;
	if (v->long_mode && !soft_canonical(linear))
		soft_raise_seg(v, v->cur != NULL && (v->cur->flags & INSN_MEM) &&
					  v->cur->seg == X86_SS);
	if (!soft_walk(v, linear, access, mode == SOFT_MODE_SUPER_SMAP, false, &w))
		soft_raise_pf(v, linear, w.error);
	const struct soft_page *p = soft_page_at(v, w.gpa);

	t->gpa = w.gpa | (linear & 4095);
	t->code = p->code;
	t->may_write = p->writable;
	t->host = p->host == NULL ? NULL : p->host + (linear & 4095);
	t->watched = (v->slow & (SOFT_SLOW_BREAK | SOFT_SLOW_GDB)) &&
		     soft_page_watched(v, linear & HV_PAGE_MASK);
	if (!t->watched)
		make_entry(v, linear, mode, write, p, &w);
}

bool soft_tlb_fill(struct soft_vcpu *v, uint64_t linear, bool write)
{
	enum soft_access_mode mode = soft_mode(v);
	uint32_t access = (write ? X86_PF_W : 0) | (mode == SOFT_MODE_USER ? X86_PF_U : 0);
	struct walk w;

	v->stats.tlb_misses++;
	if ((v->long_mode && !soft_canonical(linear)) ||
	    !soft_walk(v, linear, access, mode == SOFT_MODE_SUPER_SMAP, false, &w))
		return false;
	if ((v->slow & (SOFT_SLOW_BREAK | SOFT_SLOW_GDB)) &&
	    soft_page_watched(v, linear & HV_PAGE_MASK))
		return false;
	return make_entry(v, linear, mode, write, soft_page_at(v, w.gpa), &w);
}

/* Powers of two as one access, so that aligned ones are atomic. */
static void copy(void *to, const void *from, unsigned size)
{
	switch (size) {
	case 1:
		memcpy(to, from, 1);
		break;
	case 2:
		memcpy(to, from, 2);
		break;
	case 4:
		memcpy(to, from, 4);
		break;
	case 8:
		memcpy(to, from, 8);
		break;
	default:
		for (unsigned i = 0; i < size; i++)
			((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
	}
}

static void target_read(struct soft_vcpu *v, const struct target *t, uint8_t *buf, unsigned size)
{
	if (HV_LIKELY(t->host != NULL)) {
		copy(buf, t->host, size);
		return;
	}
	for (unsigned done = 0; done < size;) {
		unsigned n = size - done < 8 ? size - done : 8;
		uint64_t x = soft_phys_read(v, t->gpa + done, n);

		copy(buf + done, &x, n);
		done += n;
	}
}

static void target_write(struct soft_vcpu *v, const struct target *t, const uint8_t *buf,
			 unsigned size)
{
	if (HV_LIKELY(t->host != NULL && t->may_write)) {
		copy(t->host, buf, size);
		soft_code_stored(v, t->code, t->gpa, size);
		return;
	}
	for (unsigned done = 0; done < size;) {
		unsigned n = size - done < 8 ? size - done : 8;
		uint64_t x = 0;

		copy(&x, buf + done, n);
		soft_phys_write(v, t->gpa + done, n, x);
		done += n;
	}
}

static uint64_t next_page(const struct soft_vcpu *v, uint64_t linear)
{
	uint64_t next = (linear & HV_PAGE_MASK) + HV_PAGE_SIZE;

	return v->long_mode ? next : (uint32_t)next;
}

static inline unsigned in_page(uint64_t linear, unsigned size)
{
	unsigned left = 4096 - (unsigned)(linear & 4095);

	return size < left ? size : left;
}

static void note_watch(struct soft_vcpu *v, const struct target *t, uint64_t linear, unsigned size,
		       bool write)
{
	if (HV_UNLIKELY(t->watched))
		soft_watch_hit(v, linear, size, write);
}

/* Of an operand that goes on in another page, before its pages are looked up: that all of it is
 * canonical; and a flat segment's limit, which instructions leave to this place, where it costs
 * nothing. */
static void check_end(struct soft_vcpu *v, uint64_t linear, unsigned size)
{
	const struct insn *i = v->cur;

	if (v->code64 && soft_canonical(linear) && !soft_canonical(linear + size - 1))
		soft_raise_seg(v, i != NULL && (i->flags & INSN_MEM) && i->seg == X86_SS);
	if (v->code64 || linear >> 32 != 0 || linear + size <= 1ull << 32 || i == NULL)
		return;
	if ((i->flags & (INSN_MEM | INSN_CHECK)) == INSN_MEM && (v->flat >> i->seg & 1))
		soft_raise_seg(v, i->seg == X86_SS);
}

void soft_read_slow(struct soft_vcpu *v, uint64_t linear, void *buf, unsigned size,
		    enum soft_access_mode mode)
{
	unsigned n = in_page(linear, size);
	struct target a, b = { 0 };

	if (n < size)
		check_end(v, linear, size);
	target_get(v, linear, mode, false, &a);
	if (n < size)
		target_get(v, next_page(v, linear), mode, false, &b);
	target_read(v, &a, buf, n);
	if (n < size)
		target_read(v, &b, (uint8_t *)buf + n, size - n);
	note_watch(v, &a, linear, size, false);
	note_watch(v, &b, linear, size, false);
}

void soft_write_slow(struct soft_vcpu *v, uint64_t linear, const void *buf, unsigned size,
		     enum soft_access_mode mode)
{
	unsigned n = in_page(linear, size);
	struct target a, b = { 0 };

	if (n < size)
		check_end(v, linear, size);
	target_get(v, linear, mode, true, &a);
	if (n < size)
		target_get(v, next_page(v, linear), mode, true, &b);
	target_write(v, &a, buf, n);
	if (n < size)
		target_write(v, &b, (const uint8_t *)buf + n, size - n);
	note_watch(v, &a, linear, size, true);
	note_watch(v, &b, linear, size, true);
}

void soft_read(struct soft_vcpu *v, uint64_t linear, void *buf, unsigned size)
{
	const void *p = soft_tlb_hit(v->tlb->read, linear, size);

	if (HV_LIKELY(p != NULL))
		copy(buf, p, size);
	else
		soft_read_slow(v, linear, buf, size, soft_mode(v));
}

void soft_write(struct soft_vcpu *v, uint64_t linear, const void *buf, unsigned size)
{
	void *p = soft_tlb_hit(v->tlb->write, linear, size);

	if (HV_LIKELY(p != NULL))
		copy(p, buf, size);
	else
		soft_write_slow(v, linear, buf, size, soft_mode(v));
}

static void probe(struct soft_vcpu *v, uint64_t linear, unsigned size, bool write,
		  enum soft_access_mode mode)
{
	const struct soft_tlb *tlb = &v->tlbs[mode];
	struct target t;

	if (soft_tlb_hit(write ? tlb->write : tlb->read, linear, size) != NULL)
		return;
	if (in_page(linear, size) < size)
		check_end(v, linear, size);
	target_get(v, linear, mode, write, &t);
	if (in_page(linear, size) < size)
		target_get(v, next_page(v, linear), mode, write, &t);
}

void soft_probe(struct soft_vcpu *v, uint64_t linear, unsigned size, bool write)
{
	probe(v, linear, size, write, soft_mode(v));
}

void *soft_atomic_slow(struct soft_vcpu *v, uint64_t linear, unsigned size)
{
	struct target t;

	if (in_page(linear, size) < size) {
		probe(v, linear, size, true, soft_mode(v));
		return NULL;
	}
	target_get(v, linear, soft_mode(v), true, &t);
	if (t.host == NULL || !t.may_write)
		return NULL;
	if (atomic_load_explicit(&t.code->map, memory_order_relaxed) != 0) {
		/* The caller is going to write: looked at again when it has. */
		v->written_page = t.code;
		v->written_off = t.gpa & 4095;
		v->written_size = (uint16_t)size;
		soft_stop_block(v);
	}
	note_watch(v, &t, linear, size, true);
	return t.host;
}

/* ---- other privileges ---- */

static uint64_t read_mode(struct soft_vcpu *v, uint64_t linear, unsigned size,
			  enum soft_access_mode mode)
{
	const void *p = soft_tlb_hit(v->tlbs[mode].read, linear, size);
	uint64_t x = 0;

	if (p != NULL)
		copy(&x, p, size);
	else
		soft_read_slow(v, linear, &x, size, mode);
	return x;
}

static void write_mode(struct soft_vcpu *v, uint64_t linear, unsigned size, uint64_t x,
		       enum soft_access_mode mode)
{
	void *p = soft_tlb_hit(v->tlbs[mode].write, linear, size);

	if (p != NULL)
		copy(p, &x, size);
	else
		soft_write_slow(v, linear, &x, size, mode);
}

/* An explicit access of privilege cpl: SMAP as AC says it. */
static enum soft_access_mode mode_of(const struct soft_vcpu *v, unsigned cpl)
{
	if (cpl == 3)
		return SOFT_MODE_USER;
	return v->s.rflags & X86_FL_AC ? SOFT_MODE_SUPER : SOFT_MODE_SUPER_SMAP;
}

uint64_t soft_sys_read(struct soft_vcpu *v, uint64_t linear, unsigned size)
{
	return read_mode(v, linear, size, SOFT_MODE_SUPER_SMAP);
}

void soft_sys_write(struct soft_vcpu *v, uint64_t linear, unsigned size, uint64_t x)
{
	write_mode(v, linear, size, x, SOFT_MODE_SUPER_SMAP);
}

void soft_sys_probe(struct soft_vcpu *v, uint64_t linear, unsigned size, bool write)
{
	probe(v, linear, size, write, SOFT_MODE_SUPER_SMAP);
}

uint64_t soft_read_as(struct soft_vcpu *v, unsigned cpl, uint64_t linear, unsigned size)
{
	return read_mode(v, linear, size, mode_of(v, cpl));
}

void soft_write_as(struct soft_vcpu *v, unsigned cpl, uint64_t linear, unsigned size, uint64_t x)
{
	write_mode(v, linear, size, x, mode_of(v, cpl));
}

void soft_probe_as(struct soft_vcpu *v, unsigned cpl, uint64_t linear, unsigned size, bool write)
{
	probe(v, linear, size, write, mode_of(v, cpl));
}

/* ---- bus locks that the host cannot make for us ---- */

static pthread_mutex_t bus_lock = PTHREAD_MUTEX_INITIALIZER;

void soft_lock_begin(struct soft_vcpu *v)
{
	/* Its holder may be waiting for us to meet a demand. */
	soft_outside_begin(v);
	pthread_mutex_lock(&bus_lock);
	v->bus_locked = true; /* a raise gives it back */
	soft_outside_end(v);
}

void soft_lock_end(struct soft_vcpu *v)
{
	v->bus_locked = false;
	pthread_mutex_unlock(&bus_lock);
}
