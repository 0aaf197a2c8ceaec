/*
 * Process-context identifiers (SDM volume 3, 4.10): the translations of contexts that do not run
 * are parked, those that are not global, and come back when CR3 is loaded with bit 63. The TLBs
 * themselves know no contexts. Of a few contexts at a time; what does not fit is looked up again.
 */
#include "engine/soft/pcid.h"
#include <stdlib.h>

#define CONTEXTS 8u    /* Linux goes round with six */
#define ROWS_MAX 1024u /* of a context: data */
#define FETCHES_MAX 256u

struct row {
	struct soft_tlb_entry e;
	uint16_t n;
	uint8_t mode, write;
	uint8_t shift; /* 21, 30: of a large page, of a huge one */
};

struct context {
	uint16_t pcid;
	bool valid;
	unsigned n_rows, n_fetches;
	struct row rows[ROWS_MAX];
	struct soft_fetch fetches[FETCHES_MAX];
	uint16_t fetch_rows[FETCHES_MAX];
	bool fetch_large[FETCHES_MAX];
};

struct soft_pcid {
	struct context context[CONTEXTS]; /* the n-th holds PCIDs that are n modulo CONTEXTS */
};

int soft_pcid_create(struct soft_vcpu *v, struct err *e)
{
	v->mmu->pcid = calloc(1, sizeof(*v->mmu->pcid));
	return v->mmu->pcid == NULL ? err_set(e, -ENOMEM, "out of memory") : 0;
}

void soft_pcid_destroy(struct soft_vcpu *v)
{
	free(v->mmu->pcid);
	v->mmu->pcid = NULL;
}

static struct context *context_of(struct soft_vcpu *v, unsigned pcid)
{
	return &v->mmu->pcid->context[pcid % CONTEXTS];
}

void soft_pcid_drop(struct soft_vcpu *v, unsigned pcid)
{
	struct context *c = context_of(v, pcid);

	c->valid &= c->pcid != pcid;
}

void soft_pcid_drop_all(struct soft_vcpu *v)
{
	for (unsigned n = 0; n < CONTEXTS; n++)
		v->mmu->pcid->context[n].valid = false;
}

void soft_pcid_drop_host(struct soft_vcpu *v, const uint8_t *host)
{
	for (unsigned n = 0; n < CONTEXTS; n++) {
		struct context *c = &v->mmu->pcid->context[n];

		for (unsigned k = 0; c->valid && k < c->n_rows; k++)
			if (c->rows[k].write &&
			    ~c->rows[k].e.not_tag + c->rows[k].e.addend == (uintptr_t)host)
				c->rows[k--] = c->rows[--c->n_rows];
	}
}

static void park_table(struct context *c, const struct soft_tlb_entry *t,
		       const struct soft_tlb_marks *k, unsigned mode, unsigned write)
{
	for (unsigned w = 0; w < SOFT_TLB_WORDS; w++)
		for (uint64_t b = k->filled[w] & ~k->global[w]; b != 0 && c->n_rows < ROWS_MAX;
		     b &= b - 1) {
			unsigned bit = (unsigned)__builtin_ctzll(b), n = w * 64 + bit;
			bool large = k->large[w] >> bit & 1, huge = k->huge[w] >> bit & 1;

			c->rows[c->n_rows++] = (struct row){ .e = t[n],
							     .n = (uint16_t)n,
							     .mode = (uint8_t)mode,
							     .write = (uint8_t)write,
							     .shift = huge    ? 30
								      : large ? 21
									      : 12 };
		}
}

void soft_pcid_park(struct soft_vcpu *v, unsigned pcid)
{
	const struct soft_mmu *m = v->mmu;
	struct context *c = context_of(v, pcid);

	c->pcid = (uint16_t)pcid;
	c->valid = true;
	c->n_rows = c->n_fetches = 0;
	for (unsigned mode = 0; mode < SOFT_MODES; mode++) {
		if (!m->local[mode])
			continue;
		park_table(c, v->tlbs[mode].read, &m->marks[mode][0], mode, 0);
		park_table(c, v->tlbs[mode].write, &m->marks[mode][1], mode, 1);
	}
	for (unsigned w = 0; w < SOFT_FETCH_WORDS; w++)
		for (uint64_t b = m->fetch_used[w] & ~m->fetch_global[w];
		     b != 0 && c->n_fetches < FETCHES_MAX; b &= b - 1) {
			unsigned bit = (unsigned)__builtin_ctzll(b), n = w * 64 + bit;

			if (m->fetch[n].tag == SOFT_TLB_EMPTY)
				continue;
			c->fetches[c->n_fetches] = m->fetch[n];
			c->fetch_large[c->n_fetches] = m->fetch_large[w] >> bit & 1;
			c->fetch_rows[c->n_fetches++] = (uint16_t)n;
		}
}

/* Those rows are empty: what was there was not global, or is the other's that takes its place. */
void soft_pcid_restore(struct soft_vcpu *v, unsigned pcid)
{
	const struct context *c = context_of(v, pcid);

	if (!c->valid || c->pcid != pcid)
		return;
	for (unsigned k = 0; k < c->n_rows; k++) {
		const struct row *r = &c->rows[k];

		soft_tlb_put(v, (enum soft_access_mode)r->mode, r->write, r->n, &r->e,
			     &(struct walk){ .shift = r->shift });
	}
	for (unsigned k = 0; k < c->n_fetches; k++)
		soft_fetch_put(v, c->fetch_rows[k], &c->fetches[k], false, c->fetch_large[k]);
}
