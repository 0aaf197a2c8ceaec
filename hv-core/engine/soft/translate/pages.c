/*
 * What checks of memory accesses ask of C: the pages that places in the code remember, places that
 * remember in vain, and groups of accesses whose check failed. See docs/soft-engine.md.
 */
#include "engine/soft/fpu.h"
#include "engine/soft/mmu.h"
#include "engine/soft/translate/code_cache.h"

/* ---- remembered pages ---- */

static struct tr_site no_site(const struct soft_vcpu *v)
{
	const uint64_t page = v->tr->no_page;

	return (struct tr_site){ ~page, (uintptr_t)v->tr_no_page - page };
}

void tr_empty_pages(struct soft_vcpu *v)
{
	const struct tr_site none = no_site(v);

	for (unsigned m = 0; m < SOFT_MODES; m++)
		for (unsigned w = 0; w < 2; w++)
			for (unsigned k = 0; k < TR_SITES; k++)
				v->sites[m][w][k] = none;
}

/* The next used group from n on; TR_SITES / TR_SITE_GROUP: none. */
static unsigned used_group(const uint8_t *used, unsigned n)
{
	for (; n < TR_SITES / TR_SITE_GROUP; n = (n | 7) + 1) {
		uint64_t eight;

		memcpy(&eight, used + (n & ~7u), sizeof(eight));
		eight &= UINT64_MAX << (n % 8 * 8);
		if (eight != 0)
			return (n & ~7u) + (unsigned)__builtin_ctzll(eight) / 8;
	}
	return n;
}

/* Those whose page's address differs from page in none of mask's bits or, with mask 0, whose page
 * the host has at page. */
static void forget_matching(struct soft_vcpu *v, unsigned mode, unsigned write, uint64_t page,
			    uint64_t mask)
{
	const struct tr_site none = no_site(v);
	const uint8_t *used = v->sites_used[mode][write];

	for (unsigned n = 0; (n = used_group(used, n)) < TR_SITES / TR_SITE_GROUP; n++) {
		struct tr_site *s = &v->sites[mode][write][n * TR_SITE_GROUP];

		for (unsigned k = 0; k < TR_SITE_GROUP; k++)
			if (mask != 0 ? ((~s[k].not_tag ^ page) & mask) == 0
				      : ~s[k].not_tag + s[k].addend == page)
				s[k] = none;
	}
}

void soft_tr_forget_pages(struct soft_vcpu *v, unsigned mode)
{
	const struct tr_site none = no_site(v);

	for (unsigned w = 0; w < 2; w++) {
		uint8_t *used = v->sites_used[mode][w];

		for (unsigned n = 0; (n = used_group(used, n)) < TR_SITES / TR_SITE_GROUP; n++) {
			struct tr_site *s = &v->sites[mode][w][n * TR_SITE_GROUP];

			for (unsigned k = 0; k < TR_SITE_GROUP; k++)
				s[k] = none;
			used[n] = 0;
		}
	}
}

void soft_tr_forget_region(struct soft_vcpu *v, unsigned mode, uint64_t linear, unsigned shift)
{
	for (unsigned w = 0; w < 2; w++)
		forget_matching(v, mode, w, linear, UINT64_MAX << shift);
}

void soft_tr_forget_host(struct soft_vcpu *v, unsigned mode, const uint8_t *host)
{
	forget_matching(v, mode, 1, (uintptr_t)host, 0);
}

/* ---- places that meet another page nearly every time ---- */

#define OFTEN_CYCLES 50000 /* from one miss to the next: that is too often */

static uint8_t *restless_level(const struct soft_vcpu *v, const uint8_t *host)
{
	return &v->tr->restless[(uint16_t)((uintptr_t)host * 0x9e3779b97f4a7c15ull >> 48)];
}

unsigned soft_tr_restless(const struct soft_vcpu *v, const uint8_t *host)
{
	return *restless_level(v, host);
}

static void missed_often(struct soft_vcpu *v, struct block *b, unsigned n)
{
	struct tr_count *c = (struct tr_count *)(uintptr_t)v->tr_count;
	uint64_t now = __builtin_ia32_rdtsc(), since = c->since;
	uint64_t off = (b->lin & 4095) + (b->insns[n].ip - b->ip);
	uint8_t *level = restless_level(v, b->host[0] + off);

	c->left = TR_COUNT;
	c->since = now;
	if (now - since > (uint64_t)TR_COUNT * OFTEN_CYCLES || *level == TR_RESTLESS_MAX)
		return;
	++*level;
	soft_tr_remake(v, b->head != NULL ? b->head : b);
}

/* ---- grouped checks ---- */

#define FAILS_MAX 256u /* of a block, before it is asked how often that is */

/* So often that its accesses had better be checked one by one? */
static bool fails_often(struct block *b)
{
	uint64_t now, since = b->group_since;

	if (++b->group_fails < FAILS_MAX)
		return false;
	now = __builtin_ia32_rdtsc();
	b->group_fails = 0;
	b->group_since = now;
	return now - since < (uint64_t)FAILS_MAX * OFTEN_CYCLES;
}

static bool fill_for_group(struct soft_vcpu *v, const struct insn *i, uint32_t what)
{
	/* A page's accessed and dirty bits are not set for what may come later, or may still fault
	 * for another reason. */
	if (!(what & TR_NOW) || (i->flags & INSN_ALIGN) || simd_plain(i) >= 0)
		return false;
	return soft_tlb_fill(v, v->tr_address, what & TR_GROUP_WRITES);
}

/* Translated code will go there by itself the next time. */
static const void *lead_to_exact(struct soft_vcpu *v, struct block *b, unsigned n)
{
	const void *to = soft_tr_exact(v, b, n);

	if (to != NULL)
		*(const void **)(uintptr_t)v->tr_count = to;
	return to;
}

const void *soft_tr_group_missed(struct soft_vcpu *v, struct block *b, uint32_t what,
				 const void *retry)
{
	struct block *head = b->head != NULL ? b->head : b;
	unsigned n = what & TR_GROUP_INSN;
	uint64_t ip = b->insns[n].ip;
	const void *to = retry;

	v->cur = NULL;
	if (what & TR_CROSSES) {
		to = lead_to_exact(v, b, n);
	} else if (what & TR_OFTEN) {
		missed_often(v, b, n);
	} else if (!fill_for_group(v, &b->insns[n], what)) {
		if (fails_often(b)) {
			soft_tr_remake(v, head);
			head->no_groups = true;
		}
		to = soft_tr_exact(v, b, n);
	}
	if (to == NULL) { /* what comes before it is done */
		v->s.rip = ip;
		v->stats.instructions += n;
	} else if (b->uses_fpu && !SOFT_FPU_EAGER) {
		soft_fpu_load(v);
	}
	return to;
}
