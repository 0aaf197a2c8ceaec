/* Guest-physical pages, the fetch TLB, and dropping translations. */
#include "engine/soft/mmu.h"
#include "engine/soft/code.h"
#include "engine/soft/pcid.h"
#include "engine/soft/translate/translate.h"
#include "mem/mem.h"

int soft_mmu_create(struct soft_vcpu *v, struct err *e)
{
	struct soft_mmu *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	v->mmu = m;
	int r = soft_pcid_create(v, e);
	if (r < 0)
		return r;
	m->phys_rsvd = ~((1ull << v->hv->vm->model->phys_bits) - 1) & 0x000fffffffffffffull;
	for (unsigned i = 0; i < SOFT_MODES; i++)
		for (unsigned k = 0; k < SOFT_TLB_SIZE; k++)
			v->tlbs[i].read[k].not_tag = v->tlbs[i].write[k].not_tag =
				~SOFT_TLB_EMPTY_ROW(k);
	for (unsigned i = 0; i < 2 * SOFT_FETCH_SIZE; i++)
		m->fetch[i].tag = SOFT_TLB_EMPTY;
	soft_phys_flush(v);
	return 0;
}

void soft_mmu_destroy(struct soft_vcpu *v)
{
	if (v->mmu != NULL)
		soft_pcid_destroy(v);
	free(v->mmu);
	v->mmu = NULL;
}

/* ---- physical pages ---- */

static const struct hv_mem_slice *slice_of(struct soft_vcpu *v, uint64_t gpa, struct code_ram **ret)
{
	struct soft_mmu *m = v->mmu;

	for (unsigned n = 0; n < m->n_slices; n++) {
		*ret = m->slice_ram[n];
		if (gpa - m->slices[n].gpa < m->slices[n].bytes)
			return &m->slices[n];
	}
	return NULL;
}

static const struct hv_mem_slice *ask_for_slice(struct soft_vcpu *v, uint64_t gpa,
						struct code_ram **ret)
{
	struct soft_mmu *m = v->mmu;
	const struct hv_lapic_ops *lapic = v->hv->lapic;
	struct hv_mem_slice s;

	soft_fpu_park(v);
	hv_mem_find(v->hv->vm->mem, gpa, &s);
	if (s.host == NULL || (s.kind != HV_MAP_RAM && s.kind != HV_MAP_ROM) || s.gpa > gpa ||
	    s.gpa + s.bytes < gpa + HV_PAGE_SIZE)
		return NULL;
	*ret = soft_code_ram(v->vm, s.ram);
	if (*ret == NULL)
		return NULL; /* no memory for its records: byte by byte over the bus */
	m->lapic_gpa = lapic != NULL ? lapic->apic_base(v->hv->lapic_ctx) & HV_PAGE_MASK
				     : SOFT_TLB_EMPTY;
	unsigned n = m->n_slices < SOFT_SLICES ? m->n_slices++
					       : (unsigned)(gpa >> 12) % SOFT_SLICES;

	m->slices[n] = s;
	m->slice_ram[n] = *ret;
	return &m->slices[n];
}

static void page_fill(struct soft_vcpu *v, struct soft_page *p, uint64_t gpa)
{
	struct code_ram *ram;
	const struct hv_mem_slice *s = slice_of(v, gpa, &ram);

	*p = (struct soft_page){ .gpa = gpa };
	if (s == NULL)
		s = ask_for_slice(v, gpa, &ram);
	if (s == NULL || gpa == v->mmu->lapic_gpa || s->gpa + s->bytes < gpa + HV_PAGE_SIZE)
		return;
	uint64_t off = s->ram_off + (gpa - s->gpa);

	p->writable = s->kind == HV_MAP_RAM;
	p->ram = ram;
	p->code = &ram->pages[off / HV_PAGE_SIZE];
	p->host = ram->host + off;
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

void soft_fetch_put(struct soft_vcpu *v, unsigned n, const struct soft_fetch *f, bool global,
		    bool large)
{
	struct soft_mmu *m = v->mmu;
	uint64_t bit = 1ull << (n % 64);

	m->fetch[n] = *f;
	v->fetch_words[n] = f->word;
	m->fetch_local[n >= SOFT_FETCH_SIZE] |= !global;
	m->fetch_used[n / 64] |= bit;
	m->fetch_global[n / 64] = (m->fetch_global[n / 64] & ~bit) | (global ? bit : 0);
	m->fetch_large[n / 64] = (m->fetch_large[n / 64] & ~bit) | (large ? bit : 0);
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
	soft_fetch_put(v, i, f, w.global, w.shift > 12);
	return f;
}

/* ---- dropping translations ---- */

/* Before entries of data TLBs go. */
static void data_dropped(struct soft_vcpu *v)
{
	v->tlb_epoch++;
}

/* The row's fetch translation goes. */
static void fetch_drop(struct soft_vcpu *v, unsigned i)
{
	v->mmu->fetch[i].tag = SOFT_TLB_EMPTY;
	v->fetch_words[i] = 0;
}

/* Rows of pages that are global stay, or all go. Returns lead to code that does not look at its
 * fetch translation again, whether there still was a row for it or not. */
static void fetch_flush(struct soft_vcpu *v, bool global)
{
	struct soft_mmu *m = v->mmu;

	for (unsigned w = 0; w < SOFT_FETCH_WORDS; w++) {
		uint64_t drop = m->fetch_used[w] & (global ? UINT64_MAX : ~m->fetch_global[w]);

		m->fetch_used[w] &= ~drop;
		for (; drop != 0; drop &= drop - 1)
			fetch_drop(v, w * 64 + (unsigned)__builtin_ctzll(drop));
	}
	for (unsigned user = 0; user < 2; user++) {
		if (v->tr != NULL && (global || m->fetch_local[user]))
			soft_tr_forget_returns(v, user);
		m->fetch_local[user] = false;
	}
}

static void fetch_flush_page(struct soft_vcpu *v, uint64_t linear)
{
	struct soft_mmu *m = v->mmu;

	for (unsigned user = 0; user < 2; user++) {
		unsigned i = soft_fetch_index(linear, user);

		if (m->fetch[i].tag == (linear & HV_PAGE_MASK))
			fetch_drop(v, i);
	}
	/* Of a large page all parts go; 1 GiB is as large as one can be. */
	for (unsigned w = 0; w < SOFT_FETCH_WORDS; w++)
		for (uint64_t b = m->fetch_used[w] & m->fetch_large[w]; b != 0; b &= b - 1) {
			unsigned i = w * 64 + (unsigned)__builtin_ctzll(b);

			if ((m->fetch[i].tag ^ linear) >> 30 == 0)
				fetch_drop(v, i);
		}
	if (v->tr != NULL)
		soft_tr_forget_returns_to(v, linear, 30);
}

/* The entries of drop's bits go. */
static void drop_rows(struct soft_tlb_entry *t, struct soft_tlb_marks *k, unsigned w, uint64_t drop)
{
	k->filled[w] &= ~drop;
	k->large[w] &= ~drop;
	k->huge[w] &= ~drop;
	for (; drop != 0; drop &= drop - 1) {
		unsigned i = w * 64 + (unsigned)__builtin_ctzll(drop);

		t[i].not_tag = ~SOFT_TLB_EMPTY_ROW(i);
	}
}

static void flush_rows(struct soft_tlb_entry *t, struct soft_tlb_marks *k, bool global)
{
	for (unsigned w = 0; w < SOFT_TLB_WORDS; w++)
		if (k->filled[w] != 0)
			drop_rows(t, k, w, k->filled[w] & (global ? UINT64_MAX : ~k->global[w]));
}

/* Sites do not say whether their pages are global: all of the mode go. */
static void flush_mode(struct soft_vcpu *v, unsigned mode, bool global)
{
	struct soft_mmu *m = v->mmu;

	flush_rows(v->tlbs[mode].read, &m->marks[mode][0], global);
	flush_rows(v->tlbs[mode].write, &m->marks[mode][1], global);
	m->local[mode] = false;
	if (v->tr != NULL)
		soft_tr_forget_pages(v, mode);
	if (global)
		m->used[mode] = m->huge[mode] = false;
}

void soft_tlb_flush_all(struct soft_vcpu *v)
{
	v->stats.tlb_flushes++;
	soft_pcid_drop_all(v);
	data_dropped(v);
	fetch_flush(v, true);
	for (unsigned mode = 0; mode < SOFT_MODES; mode++)
		if (v->mmu->used[mode])
			flush_mode(v, mode, true);
}

void soft_phys_flush(struct soft_vcpu *v)
{
	struct soft_mmu *m = v->mmu;

	soft_tlb_flush_all(v);
	for (unsigned i = 0; i < SOFT_PAGES_SIZE; i++)
		m->pages[i].gpa = SOFT_TLB_EMPTY;
	m->n_slices = 0;
	m->addr_mask = 0x000fffffffffffffull;
	if (!hv_vm_a20(v->hv->vm))
		m->addr_mask &= ~(1ull << 20);
}

void soft_tlb_flush_nonglobal(struct soft_vcpu *v)
{
	v->stats.tlb_flushes++;
	data_dropped(v);
	fetch_flush(v, false);
	for (unsigned mode = 0; mode < SOFT_MODES; mode++)
		if (v->mmu->local[mode])
			flush_mode(v, mode, false);
}

/* A large page sits in the TLB as many small ones: all of those go. */
static void flush_large(struct soft_tlb_entry *t, struct soft_tlb_marks *k, const uint64_t *marks,
			uint64_t linear, unsigned shift)
{
	for (unsigned w = 0; w < SOFT_TLB_WORDS; w++)
		for (uint64_t b = marks[w]; b != 0; b &= b - 1)
			if ((~t[w * 64 + (unsigned)__builtin_ctzll(b)].not_tag ^ linear) >> shift ==
			    0)
				drop_rows(t, k, w, b & -b);
}

static void flush_page_of_mode(struct soft_vcpu *v, unsigned mode, uint64_t linear)
{
	struct soft_mmu *m = v->mmu;
	unsigned i = linear >> 12 & (SOFT_TLB_SIZE - 1);
	struct soft_tlb_entry *t[2] = { v->tlbs[mode].read, v->tlbs[mode].write };

	for (unsigned n = 0; n < 2; n++) {
		struct soft_tlb_marks *k = &m->marks[mode][n];

		if (t[n][i].not_tag == ~(linear & HV_PAGE_MASK))
			drop_rows(t[n], k, i / 64, 1ull << (i % 64));
		flush_large(t[n], k, k->large, linear, 22);
		flush_large(t[n], k, k->huge, linear, 30);
	}
	if (v->tr != NULL)
		soft_tr_forget_region(v, mode, linear, m->huge[mode] ? 30 : 22);
}

void soft_tlb_flush_page(struct soft_vcpu *v, uint64_t linear)
{
	v->stats.tlb_flushes++;
	data_dropped(v);
	fetch_flush_page(v, linear);
	for (unsigned mode = 0; mode < SOFT_MODES; mode++)
		if (v->mmu->used[mode])
			flush_page_of_mode(v, mode, linear);
}

static void drop_host_of_mode(struct soft_vcpu *v, unsigned mode, const uint8_t *host)
{
	struct soft_tlb_entry *t = v->tlbs[mode].write;
	struct soft_tlb_marks *k = &v->mmu->marks[mode][1];

	for (unsigned w = 0; w < SOFT_TLB_WORDS; w++)
		for (uint64_t b = k->filled[w]; b != 0; b &= b - 1) {
			const struct soft_tlb_entry *e = &t[w * 64 + (unsigned)__builtin_ctzll(b)];

			if (~e->not_tag + e->addend == (uintptr_t)host)
				drop_rows(t, k, w, b & -b);
		}
	if (v->tr != NULL)
		soft_tr_forget_host(v, mode, host);
}

void soft_tlb_drop_host(struct soft_vcpu *v, const uint8_t *host)
{
	data_dropped(v);
	soft_pcid_drop_host(v, host);
	for (unsigned mode = 0; mode < SOFT_MODES; mode++)
		if (v->mmu->used[mode])
			drop_host_of_mode(v, mode, host);
}
