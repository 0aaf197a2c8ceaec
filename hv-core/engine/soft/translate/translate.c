/* The translator as the run loop sees it: see translate.h. */
#include "engine/soft/translate/translate.h"
#include <asm/hwcap2.h>
#include <sys/auxv.h>
#include "engine/soft/decode.h"
#include "engine/soft/fpu.h"
#include "engine/soft/key.h"
#include "engine/soft/run.h"
#include "engine/soft/translate/code_cache.h"

#define MNEMONICS (ZYDIS_MNEMONIC_MAX_VALUE + 1)
_Static_assert(MNEMONICS <= 1u << (32 - TR_MNEMONIC_SHIFT), "fits beside an instruction's number");

/* ---- jumps ---- */

static void forget(struct soft_vcpu *v, unsigned mode)
{
	struct soft_jump *j = v->jumps[mode];

	if (!v->jumps_used[mode])
		return;
	v->jumps_used[mode] = false;
	for (unsigned k = 0; k < SOFT_JUMPS; k++)
		j[k].rip = 0;
	j[0].rip = 1; /* an address that belongs into another row, as 0 does elsewhere */
}

static void forget_all(struct soft_vcpu *v)
{
	for (unsigned m = 0; m < SOFT_MODES; m++) {
		v->jumps_used[m] = true;
		forget(v, m);
	}
}

/* ---- returns ---- */

static uint64_t empty_stack(const struct soft_vcpu *v, unsigned mode)
{
	return (uintptr_t)v->tr->stacks + (mode + 1) * TR_STACK_BYTES - 16;
}

static void forget_returns(struct soft_vcpu *v, unsigned mode)
{
	uint64_t top = empty_stack(v, mode);

	v->tr_stack[mode] = top;
	if (mode == v->tr_mode)
		v->tr_rsp = top;
}

void soft_tr_forget_returns(struct soft_vcpu *v, bool user)
{
	for (unsigned m = 0; m < SOFT_MODES; m++)
		if ((m == SOFT_MODE_USER) == user)
			forget_returns(v, m);
}

static void forget_all_returns(struct soft_vcpu *v)
{
	soft_tr_forget_returns(v, false);
	soft_tr_forget_returns(v, true);
}

void soft_tr_forget_returns_to(struct soft_vcpu *v, uint64_t linear, unsigned shift)
{
	v->tr_stack[v->tr_mode] = v->tr_rsp;
	for (unsigned m = 0; m < SOFT_MODES; m++) {
		const uint64_t *end = (const uint64_t *)(uintptr_t)empty_stack(v, m);

		for (const uint64_t *p = (const uint64_t *)(uintptr_t)v->tr_stack[m]; p < end;
		     p += 2)
			if ((~p[1] ^ linear) >> shift == 0) {
				forget_returns(v, m);
				break;
			}
	}
}

static void make_stacks(struct soft_vcpu *v)
{
	for (unsigned m = 0; m < SOFT_MODES; m++) {
		uint64_t *bottom = (uint64_t *)(uintptr_t)empty_stack(v, m);

		bottom[0] = (uintptr_t)v->tr->lost;
		bottom[1] = TR_NO_RETURN;
		v->tr_empty[m] = empty_stack(v, m);
	}
	forget_all_returns(v);
}

uintptr_t soft_tr_stack_full(struct soft_vcpu *v, uintptr_t pc, uintptr_t fault)
{
	const struct soft_tr *t = v->tr;
	uintptr_t off = fault - (uintptr_t)t->stacks;

	if (!tr_cache_has(t, pc) || off >= SOFT_MODES * TR_STACK_BYTES ||
	    off % TR_STACK_BYTES >= HV_PAGE_SIZE)
		return 0;
	return empty_stack(v, (unsigned)(off / TR_STACK_BYTES));
}

uintptr_t soft_tr_stack_room(struct soft_vcpu *v, uintptr_t rsp)
{
	uintptr_t off = rsp - 8 - (uintptr_t)v->tr->stacks;

	return off % TR_STACK_BYTES >= HV_PAGE_SIZE ? rsp : empty_stack(v, v->tr_mode);
}

/* ---- creation ---- */

static int host_probe(struct err *e)
{
	uint32_t a = 7, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	if (!(b & 1u << 8))
		return err_set(e, -ENOTSUP, "this host's CPU has no BMI2");
	if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE))
		return err_set(e, -ENOTSUP, "this host does not let programs set their GS base");
	return 0;
}

/* A fixed page would be one where a guest's access does not fault. */
static uint64_t unknown_page(const struct soft_vcpu *v)
{
	uint64_t x = (__builtin_ia32_rdtsc() ^ (uintptr_t)v) * 0x9e3779b97f4a7c15ull;

	return (x >> 2 | 1ull << 62) & HV_PAGE_MASK;
}

int soft_tr_create(struct soft_vcpu *v, struct err *e)
{
	const uint32_t off = v->hv->vm->opt.disable;
	int r = host_probe(e);

	if (r == 0)
		r = tr_cache_create(v, e);
	if (r < 0)
		return r;
	v->tr->threshold = v->hv->vm->opt.translate_after;
	v->tr->fallbacks = calloc(MNEMONICS, sizeof(*v->tr->fallbacks));
	if (v->tr->fallbacks == NULL) {
		soft_tr_destroy(v);
		return err_set(e, -ENOMEM, "out of memory");
	}
	v->tr->max_parts = off & SOFT_DISABLE_TRACES ? 1 : TR_MAX_PARTS;
	v->tr->pair_returns = !(off & SOFT_DISABLE_RETURNS);
	v->tr->link_pages = !(off & SOFT_DISABLE_PAGE_LINKS);
	v->tr->count = v->hv->vm->opt.count;
	v->tr->no_page = unknown_page(v);
	v->tr_tlb_mask = (SOFT_TLB_SIZE - 1) * sizeof(struct soft_tlb_entry);
	v->tr_jump_mask = (SOFT_JUMPS - 1) * sizeof(struct soft_jump);
	v->tr_page_mask = HV_PAGE_MASK;
	for (unsigned k = 0; k < HV_ARRAY_LEN(v->tr_aligned_mask); k++)
		v->tr_aligned_mask[k] = HV_PAGE_MASK | ((1u << k) - 1);
	v->tr_but_if = ~(uint64_t)X86_FL_IF;
	v->tr_status = X86_FL_STATUS;
	v->tr_pushed = ~(uint64_t)(X86_FL_STATUS | X86_FL_RF | X86_FL_VM);
	v->tr_sign = 1ull << 63;
	v->tr_offset_mask = HV_PAGE_SIZE - 1;
	v->tr_align16 = 15;
	v->tr_align32 = 31;
	forget_all(v);
	make_stacks(v);
	tr_empty_pages(v);
	return 0;
}

void soft_tr_destroy(struct soft_vcpu *v)
{
	if (v->tr != NULL)
		free(v->tr->fallbacks);
	tr_cache_destroy(v);
}

void soft_tr_begin(struct soft_vcpu *v)
{
	__asm__ volatile("rdgsbase %0\n\twrgsbase %1" : "=&r"(v->tr->host_gs) : "r"(v));
}

void soft_tr_end(struct soft_vcpu *v)
{
	__asm__ volatile("wrgsbase %0" : : "r"(v->tr->host_gs));
}

void soft_tr_mode(struct soft_vcpu *v)
{
	unsigned mode = (unsigned)(v->tlb - v->tlbs);

	v->key |= mode << KEY_MODE_SHIFT;
	v->tr_stack[v->tr_mode] = v->tr_rsp;
	v->tr_mode = mode;
	v->tr_rsp = v->tr_stack[mode];
	if (v->jump_key[mode] == v->key)
		return;
	v->jump_key[mode] = v->key;
	forget(v, mode);
	forget_returns(v, mode);
}

/* ---- running ---- */

/* Flat code of 32 or 64 bits, in RAM, without alignment checks. */
static bool translatable(const struct block *b)
{
	if (b->host[0] == NULL || (b->crosses && b->host[1] == NULL) ||
	    (b->key & (KEY_ALIGN | KEY_VM)))
		return false;
	return (b->key & KEY_CODE64) || ((b->key & KEY_CODE32) && (b->key & KEY_FLAT_CS));
}

bool soft_tr_due(struct soft_vcpu *v, struct block *b)
{
	if (b->runs++ < v->tr->threshold)
		return false;
	if (translatable(b))
		return true;
	v->stats.untranslatable += b->n;
	return false;
}

void *soft_tr_run(struct soft_vcpu *v, const struct block *b)
{
	v->stats.code_entries++;
	return v->tr->enter(b->body);
}

void soft_tr_follow(struct soft_vcpu *v, void *slot, struct block *next)
{
	unsigned mode = (unsigned)(v->tlb - v->tlbs);
	struct soft_jump *j = &v->jumps[mode][soft_jump_index(next->ip)];
	struct tr_slot *s = slot;

	if (s != NULL) {
		if (s->to != TR_TO_CODE && s->host != next->host[0])
			return;
		const uint8_t *to = s->to == TR_TO_BODY	     ? next->body
				    : s->to == TR_TO_CHECKED ? next->checked
							     : next->code;

		em_patch_to(s->at, to - v->tr->rx + v->tr->rw);
		s->next = next->slots;
		next->slots = s;
		return;
	}
	j->rip = next->ip;
	j->code = next->code;
	v->jumps_used[mode] = true;
}

/* The block has ended. Where it goes on, if that is known and nothing else comes first. */
static const void *go_on(struct soft_vcpu *v)
{
	const struct soft_jump *j = &v->jumps[v->tlb - v->tlbs][soft_jump_index(v->s.rip)];

	v->cur = NULL;
	return soft_attention(v) || j->rip != v->s.rip ? NULL : j->code;
}

const void *soft_tr_insn(struct soft_vcpu *v, struct block *b, unsigned what)
{
	const struct insn *i = &b->insns[what & TR_NUMBER], *end = b->insns + b->n;

	v->count = what & TR_MISSED ? &v->stats.slow_accesses : &v->stats.fallbacks;
	v->first = b->insns;
	v->cur = i;
	v->end = end;
	v->s.rip = soft_next_ip(v, i);
	uint64_t epoch = v->tlb_epoch;

	i->fn(v, i);
	++*v->count;
	if (!(what & TR_MISSED))
		v->tr->fallbacks[what >> TR_MNEMONIC_SHIFT]++;
	if (v->end == end && i + 1 != end && epoch == v->tlb_epoch) {
		if (b->uses_fpu && !SOFT_FPU_EAGER)
			soft_fpu_load(v);
		return TR_BEHIND;
	}
	v->stats.instructions += (what & TR_NUMBER) + 1;
	return go_on(v);
}

uint32_t soft_tr_code_bytes(const struct soft_vcpu *v)
{
	const struct soft_tr *t = v->tr;

	return t->used - t->glue_bytes + (t->cold - t->cold_start);
}

const char *soft_tr_fallback(const struct soft_vcpu *v, unsigned i, uint64_t *ret_n)
{
	if (i >= MNEMONICS)
		return NULL;
	*ret_n = v->tr->fallbacks[i];
	return ZydisMnemonicGetString((ZydisMnemonic)i);
}

/* ---- traps ---- */

bool soft_tr_trap(struct soft_vcpu *v, uintptr_t pc, struct soft_tr_trap *ret)
{
	const struct soft_tr *t = v->tr;
	uint32_t at = (uint32_t)(pc - (uintptr_t)t->rx), lo = 0, hi = t->n_traps;

	if (pc < (uintptr_t)t->rx || pc - (uintptr_t)t->rx >= t->used)
		return false;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (t->traps[mid].next <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == t->n_traps || at < t->traps[lo].at)
		return false;
	*ret = (struct soft_tr_trap){ .call = (uintptr_t)t->rx + t->traps[lo].call,
				      .next = (uintptr_t)t->rx + t->traps[lo].next,
				      .insn = t->traps[lo].insn | TR_MISSED };
	return true;
}

/* ---- dropping ---- */

/* What was written over may have been fetched already, by another address: IRET serialises, as
 * CPUID does, for which a host that is a guest itself leaves to its hypervisor. */
static void serialise(void)
{
	uint64_t x;

	__asm__ volatile("mov %%rsp, %0\n\t"
			 "lea -128(%%rsp), %%rsp\n\t" /* the red zone */
			 "and $-16, %%rsp\n\t"
			 "push $2\n\t" /* no flags: IRET is another one with NT */
			 "popfq\n\t"
			 "push $0x2b\n\t" /* SS and CS of 64-bit Linux programs */
			 "push %0\n\t"
			 "push $2\n\t"
			 "push $0x33\n\t"
			 "lea 1f(%%rip), %0\n\t"
			 "push %0\n\t"
			 "iretq\n1:"
			 : "=&r"(x)
			 :
			 : "memory", "cc");
}

void soft_tr_remake(struct soft_vcpu *v, struct block *b)
{
	uint32_t runs = b->runs, taken = b->taken;

	soft_tr_killed(v, b);
	b->runs = runs;
	b->taken = taken;
}

void soft_tr_killed(struct soft_vcpu *v, struct block *b)
{
	if (b->code == NULL)
		return;
	for (unsigned m = 0; m < SOFT_MODES; m++) {
		struct soft_jump *j = &v->jumps[m][soft_jump_index(b->ip)];

		if (j->code == b->code && j->rip == b->ip)
			j->rip = soft_jump_index(b->ip) == 0;
	}
	for (struct tr_slot *s = b->slots; s != NULL; s = s->next)
		em_patch_to(s->at, s->unlinked);
	serialise();
	forget_all_returns(v);
	b->slots = NULL;
	b->code = NULL;
	b->runs = b->taken = 0;
}

void soft_tr_drop(struct soft_vcpu *v)
{
	v->tr->used = v->tr->glue_bytes;
	v->tr->cold = v->tr->cold_start;
	v->tr->n_slots = v->tr->n_traps = v->tr->n_entries = v->tr->n_counts = v->tr->n_ways = 0;
	memset(v->tr->restless, 0, sizeof(v->tr->restless));
	memset(v->tr->n_sites, 0, sizeof(v->tr->n_sites));
	forget_all(v);
	forget_all_returns(v);
	serialise();
}
