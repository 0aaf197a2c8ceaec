/* Guest-physical pages, the fetch TLB, and dropping translations. */
#include "engine/soft/mmu.h"
#include "engine/soft/code.h"
#include "engine/soft/translate/translate.h"
#include "mem/mem.h"

int soft_mmu_create(struct soft_vcpu *v, struct err *e)
{
	struct soft_mmu *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	v->mmu = m;
	m->phys_rsvd = ~((1ull << v->hv->vm->model->phys_bits) - 1) & 0x000fffffffffffffull;
	for (unsigned i = 0; i < SOFT_MODES; i++)
		m->used[i] = true;
	for (unsigned i = 0; i < 2 * SOFT_FETCH_SIZE; i++)
		m->fetch[i].tag = SOFT_TLB_EMPTY;
	soft_phys_flush(v);
	return 0;
}

void soft_mmu_destroy(struct soft_vcpu *v)
{
	free(v->mmu);
	v->mmu = NULL;
}

/* ---- physical pages ---- */

static void page_fill(struct soft_vcpu *v, struct soft_page *p, uint64_t gpa)
{
	struct hv_mem_slice s;

	soft_fpu_park(v);
	hv_mem_find(v->hv->vm->mem, gpa, &s);
	p->gpa = gpa;
	p->host = NULL;
	p->code = NULL;
	p->ram = NULL;
	p->writable = s.kind == HV_MAP_RAM;
	if (s.host == NULL || (s.kind != HV_MAP_RAM && s.kind != HV_MAP_ROM) || s.gpa > gpa ||
	    s.gpa + s.bytes < gpa + HV_PAGE_SIZE)
		return;
	const struct hv_lapic_ops *lapic = v->hv->lapic;

	if (lapic != NULL && (lapic->apic_base(v->hv->lapic_ctx) & ~0xfffull) == gpa)
		return;
	p->ram = soft_code_ram(v->vm, s.ram);
	if (p->ram == NULL)
		return; /* no memory for its records: byte by byte over the bus */
	uint64_t off = s.ram_off + (gpa - s.gpa);

	p->code = &p->ram->pages[off / HV_PAGE_SIZE];
	p->host = p->ram->host + off;
}

struct soft_page *soft_page_at(struct soft_vcpu *v, uint64_t gpa)
{
	gpa &= HV_PAGE_MASK & v->mmu->addr_mask;
	struct soft_page *p = &v->mmu->pages[gpa >> 12 & (SOFT_PAGES_SIZE - 1)];

	if (HV_UNLIKELY(p->gpa != gpa))
		page_fill(v, p, gpa);
	return p;
}

static bool in_lapic(const struct soft_vcpu *v, uint64_t gpa)
{
	if (v->hv->lapic == NULL)
		return false;
	uint64_t base = v->hv->lapic->apic_base(v->hv->lapic_ctx);

	/* Enabled, and not in x2APIC mode. */
	return (base & 0xc00) == 0x800 && (gpa & HV_PAGE_MASK) == (base & HV_PAGE_MASK);
}

/* True: it is the local APIC's. */
static bool count_access(struct soft_vcpu *v, uint64_t gpa)
{
	bool lapic = in_lapic(v, gpa);

	v->stats.mmio += !lapic;
	v->stats.lapic += lapic;
	return lapic;
}

uint64_t soft_phys_read(struct soft_vcpu *v, uint64_t gpa, unsigned size)
{
	uint64_t x;

	soft_outside_begin(v);
	if (count_access(v, gpa))
		x = v->hv->lapic->mmio_read(v->hv->lapic_ctx, (uint32_t)(gpa & 4095), size);
	else
		x = hv_mem_io_read(v->hv->vm->mem, gpa, size);
	soft_outside_end(v);
	return x;
}

void soft_phys_write(struct soft_vcpu *v, uint64_t gpa, unsigned size, uint64_t x)
{
	soft_outside_begin(v);
	if (count_access(v, gpa))
		v->hv->lapic->mmio_write(v->hv->lapic_ctx, (uint32_t)(gpa & 4095), size, x);
	else
		hv_mem_io_write(v->hv->vm->mem, gpa, size, x);
	soft_outside_end(v);
}

/* ---- fetch ---- */

/* 36 bits of canonical linear page, 28 of the host page's number among those of all RAMs. */
static uint64_t fetch_word(const struct soft_page *p, uint64_t linear)
{
	uint64_t frame = p->ram->first + (uint64_t)(p->code - p->ram->pages) + 1;

	return frame >> 28 ? 0 : frame << 36 | (linear >> 12 & 0xfffffffffull);
}

const struct soft_fetch *soft_fetch_slow(struct soft_vcpu *v, uint64_t linear)
{
	struct soft_mmu *m = v->mmu;
	bool user = v->s.cpl == 3;
	struct walk w;

	v->stats.tlb_misses++;
	if (v->long_mode && !soft_canonical(linear))
		soft_raise_err(v, X86_EXC_GP, 0);
	if (!soft_walk(v, linear, X86_PF_I | (user ? X86_PF_U : 0), false, false, &w))
		soft_raise_pf(v, linear, w.error);
	unsigned i = soft_fetch_index(linear, user);
	struct soft_fetch *f = &m->fetch[i];
	const struct soft_page *p = soft_page_at(v, w.gpa);

	f->tag = linear & HV_PAGE_MASK;
	f->gpa = w.gpa;
	f->host = p->host;
	f->code = p->code;
	f->word = p->host == NULL ? 0 : fetch_word(p, linear);
	v->fetch_words[i] = f->word;
	m->fetch_used[i / 64] |= 1ull << (i % 64);
	return f;
}

/* ---- dropping translations ---- */

/* Before entries of data TLBs go. */
static void data_dropped(struct soft_vcpu *v)
{
	v->tlb_epoch++;
	if (v->tr != NULL)
		soft_tr_forget_pages(v);
}

static void fetch_flush(struct soft_vcpu *v)
{
	struct soft_mmu *m = v->mmu;

	if (v->tr != NULL)
		soft_tr_forget_returns(v);
	for (unsigned w = 0; w < HV_ARRAY_LEN(m->fetch_used); w++)
		for (; m->fetch_used[w] != 0; m->fetch_used[w] &= m->fetch_used[w] - 1) {
			unsigned i = w * 64 + (unsigned)__builtin_ctzll(m->fetch_used[w]);

			m->fetch[i].tag = SOFT_TLB_EMPTY;
			v->fetch_words[i] = 0;
		}
}

static void marks_clear(struct soft_tlb_marks *k)
{
	for (unsigned i = 0; i < SOFT_TLB_WORDS; i++)
		k->global[i] = k->large[i] = k->huge[i] = 0;
}

void soft_tlb_flush_all(struct soft_vcpu *v)
{
	struct soft_mmu *m = v->mmu;

	v->stats.tlb_flushes++;
	data_dropped(v);
	fetch_flush(v);
	for (unsigned mode = 0; mode < SOFT_MODES; mode++) {
		if (!m->used[mode])
			continue;
		m->used[mode] = false;
		for (unsigned i = 0; i < SOFT_TLB_SIZE; i++) {
			v->tlbs[mode].read[i].tag = SOFT_TLB_EMPTY_ROW(i);
			v->tlbs[mode].write[i].tag = SOFT_TLB_EMPTY_ROW(i);
		}
		marks_clear(&m->marks[mode][0]);
		marks_clear(&m->marks[mode][1]);
	}
}

void soft_phys_flush(struct soft_vcpu *v)
{
	struct soft_mmu *m = v->mmu;

	soft_tlb_flush_all(v);
	for (unsigned i = 0; i < SOFT_PAGES_SIZE; i++)
		m->pages[i].gpa = SOFT_TLB_EMPTY;
	m->addr_mask = 0x000fffffffffffffull;
	if (!hv_vm_a20(v->hv->vm))
		m->addr_mask &= ~(1ull << 20);
}

static void flush_nonglobal(struct soft_tlb_entry *t, struct soft_tlb_marks *k)
{
	for (unsigned w = 0; w < SOFT_TLB_WORDS; w++) {
		uint64_t drop = ~k->global[w];

		k->large[w] &= ~drop;
		k->huge[w] &= ~drop;
		for (; drop != 0; drop &= drop - 1) {
			unsigned i = w * 64 + (unsigned)__builtin_ctzll(drop);

			t[i].tag = SOFT_TLB_EMPTY_ROW(i);
		}
	}
}

void soft_tlb_flush_nonglobal(struct soft_vcpu *v)
{
	struct soft_mmu *m = v->mmu;

	v->stats.tlb_flushes++;
	data_dropped(v);
	fetch_flush(v);
	for (unsigned mode = 0; mode < SOFT_MODES; mode++) {
		if (!m->used[mode])
			continue;
		flush_nonglobal(v->tlbs[mode].read, &m->marks[mode][0]);
		flush_nonglobal(v->tlbs[mode].write, &m->marks[mode][1]);
	}
}

/* A large page sits in the TLB as many small ones: all of those go. */
static void flush_large(struct soft_tlb_entry *t, const uint64_t *marks, uint64_t linear,
			unsigned shift)
{
	for (unsigned w = 0; w < SOFT_TLB_WORDS; w++)
		for (uint64_t b = marks[w]; b != 0; b &= b - 1) {
			unsigned i = w * 64 + (unsigned)__builtin_ctzll(b);

			if ((t[i].tag ^ linear) >> shift == 0)
				t[i].tag = SOFT_TLB_EMPTY_ROW(i);
		}
}

void soft_tlb_flush_page(struct soft_vcpu *v, uint64_t linear)
{
	struct soft_mmu *m = v->mmu;
	unsigned i = linear >> 12 & (SOFT_TLB_SIZE - 1);

	v->stats.tlb_flushes++;
	data_dropped(v);
	fetch_flush(v);
	for (unsigned mode = 0; mode < SOFT_MODES; mode++) {
		struct soft_tlb_entry *t[2] = { v->tlbs[mode].read, v->tlbs[mode].write };

		for (unsigned k = 0; m->used[mode] && k < 2; k++) {
			if (t[k][i].tag == (linear & HV_PAGE_MASK))
				t[k][i].tag = SOFT_TLB_EMPTY_ROW(i);
			flush_large(t[k], m->marks[mode][k].large, linear, 22);
			flush_large(t[k], m->marks[mode][k].huge, linear, 30);
		}
	}
}

void soft_tlb_drop_host(struct soft_vcpu *v, const uint8_t *host)
{
	data_dropped(v);
	for (unsigned mode = 0; mode < SOFT_MODES; mode++)
		for (unsigned i = 0; v->mmu->used[mode] && i < SOFT_TLB_SIZE; i++) {
			struct soft_tlb_entry *e = &v->tlbs[mode].write[i];

			if (e->tag + e->addend == (uintptr_t)host)
				e->tag = SOFT_TLB_EMPTY_ROW(i);
		}
}
