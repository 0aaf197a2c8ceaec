/*
 * The run loop. A block's instructions are called one after the other; what has to be looked at in
 * between (interrupts, requests of other threads, exceptions) is looked at between blocks, or
 * between all instructions in slow mode. Exceptions come back here by longjmp.
 */
#include "engine/soft/run.h"
#include "engine/soft/block.h"
#include "engine/soft/code.h"
#include "engine/soft/mmu.h"
#include "engine/soft/sync.h"
#include "engine/soft/trace.h"
#include "engine/soft/turn.h"
#include "engine/soft/translate/translate.h"

/* ---- what instructions call ---- */

static _Noreturn void raise(struct soft_vcpu *v)
{
	v->event_valid = true;
	siglongjmp(v->raise_to, 1);
}

void soft_raise(struct soft_vcpu *v, uint8_t vector)
{
	v->event = (struct soft_event){ .vector = vector };
	raise(v);
}

void soft_raise_err(struct soft_vcpu *v, uint8_t vector, uint32_t error)
{
	v->event = (struct soft_event){ .vector = vector, .has_error = true, .error = error };
	raise(v);
}

void soft_raise_pf(struct soft_vcpu *v, uint64_t linear, uint32_t error)
{
	v->event = (struct soft_event){
		.vector = X86_EXC_PF, .has_error = true, .error = error, .cr2 = linear
	};
	raise(v);
}

void soft_raise_db(struct soft_vcpu *v, uint64_t dr6_bits)
{
	v->event = (struct soft_event){ .vector = X86_EXC_DB, .dr6 = dr6_bits };
	raise(v);
}

uint64_t soft_next_ip(const struct soft_vcpu *v, const struct insn *i)
{
	return v->code64 ? i->ip + i->len : (uint32_t)(i->ip + i->len);
}

void soft_stop_block(struct soft_vcpu *v)
{
	if (v->cur == NULL) /* delivery: no block is being run */
		return;
	if (v->end == v->cur + 1)
		return; /* it ends here anyway, and RIP is set or being set */
	v->end = v->cur + 1;
	v->s.rip = soft_next_ip(v, v->cur);
}

void soft_exit(struct soft_vcpu *v, enum hv_exit_reason reason)
{
	v->exit.reason = reason;
	v->want_exit = true;
	if (v->cur != NULL)
		soft_stop_block(v);
}

/* ---- between instructions ---- */

static bool do_requests(struct soft_vcpu *v)
{
	uint32_t req = atomic_load(&v->hv->requests);

	if (req & HV_REQ_FLUSH)
		soft_sync_poll(v);
	if (req & HV_REQ_ENGINE) {
		atomic_fetch_and(&v->hv->requests, ~(uint32_t)HV_REQ_ENGINE);
		block_do_posted(v);
	}
	if (req & (HV_REQ_STOP | HV_REQ_INIT | HV_REQ_SIPI)) {
		v->exit.reason = HV_EXIT_KICKED;
		return false;
	}
	return true;
}

/* Whatever soft_attention() saw. false: leave the run loop. */
static bool service(struct soft_vcpu *v)
{
	v->cur = NULL;
	if (v->written_page != NULL) {
		struct code_page *p = v->written_page;

		v->written_page = NULL;
		soft_code_stored(v, p, v->written_off, v->written_size);
	}
	if (v->want_exit)
		return false;
	if (v->turn_due)
		soft_turn(v);
	if (!do_requests(v))
		return false;
	if (!v->event_valid)
		soft_poll_events(v);
	if (v->event_valid) {
		soft_fpu_park(v);
		soft_deliver(v);
	}
	if (v->s.mp_state == X86_MP_HALTED && !v->want_exit) {
		v->exit.reason = HV_EXIT_HLT; /* what woke it was not for the guest */
		return false;
	}
	return !v->want_exit;
}

/* Runs b to its end (or v->end, as instructions move it). */
static inline void run_block(struct soft_vcpu *v, const struct insn *i, unsigned n)
{
	v->first = i;
	v->end = i + n;
	do {
		v->cur = i;
		i->fn(v, i);
		i++;
	} while (i != v->end);
	v->stats.instructions += (uint64_t)(i - v->first);
}

/* The block that followed last time, if it is what follows now and still translated so. */
static inline struct block *linked(struct soft_vcpu *v, const struct block *b, unsigned slot)
{
	struct block *next = b->next[slot];

	if (HV_UNLIKELY(next == NULL || next->ip != v->s.rip))
		return NULL;
	if (HV_LIKELY(b->near_link[slot]))
		return next;
	const struct soft_fetch *f = &v->mmu->fetch[soft_fetch_index(next->lin, v->s.cpl == 3)];

	return f->tag == (next->lin & HV_PAGE_MASK) && f->host == next->host[0] ? next : NULL;
}

static void link_to(struct block *b, unsigned slot, struct block *next)
{
	if (next->crosses || next->host[0] == NULL)
		return;
	b->near_link[slot] = ((b->lin ^ next->lin) & HV_PAGE_MASK) == 0 &&
			     b->host[0] == next->host[0];
	b->next[slot] = next;
}

/* Counts what was done since control went into translated code. */
static void leave_code(struct soft_vcpu *v)
{
	v->in_code = false;
	v->stats.translated += v->stats.instructions - v->code_since;
}

/* Translated code from b on; what is to run next, or NULL: something wants attention. */
static struct block *run_translated(struct soft_vcpu *v, const struct block *b)
{
	v->code_since = v->stats.instructions;
	v->in_code = true;
	void *slot = soft_tr_run(v, b);

	if (atomic_load_explicit(&v->look, memory_order_relaxed))
		atomic_exchange(&v->look, 0);
	uint64_t generation = block_generation(v);

	leave_code(v);
	v->cur = NULL;
	if (HV_UNLIKELY(soft_attention(v)))
		return NULL;
	struct block *next = block_find(v);

	if (next->code != NULL && generation == block_generation(v))
		soft_tr_follow(v, slot, next);
	return HV_UNLIKELY(soft_attention(v)) ? NULL : next;
}

/* Blocks in fast mode until something wants attention. */
static void run_blocks(struct soft_vcpu *v)
{
	v->cur = NULL;
	struct block *b = block_find(v);

	for (;;) {
		if (v->tr != NULL && b->code == NULL && soft_tr_due(v, b) && !soft_tr_make(v, b))
			return;
		if (b->code != NULL && !soft_turn_within(v, BLOCK_MAX_INSNS)) {
			b = run_translated(v, b);
			if (b == NULL)
				return;
			continue;
		}
		if (soft_turn_within(v, b->n)) {
			v->cur = NULL;
			return;
		}
		v->s.rip = b->end_ip;
		run_block(v, b->insns, b->n);
		if (HV_UNLIKELY(soft_attention(v)))
			return;
		unsigned slot = v->s.rip != b->end_ip;

		b->taken += slot;
		struct block *next = linked(v, b, slot);

		if (HV_LIKELY(next != NULL)) {
			b = next;
			continue;
		}
		uint64_t generation = block_generation(v);

		v->cur = NULL;
		next = block_find(v);
		if (b->chains && generation == block_generation(v))
			link_to(b, slot, next);
		b = next;
		if (HV_UNLIKELY(soft_attention(v)))
			return; /* decoding went outside */
	}
}

/* One instruction with all that may be attached to it. */
static void run_slow(struct soft_vcpu *v)
{
	if (soft_before_insn(v, v->s.rip))
		return;
	struct block *b = block_find(v);

	v->s.rip = soft_next_ip(v, b->insns);
	if (v->slow & SOFT_SLOW_TRACE)
		soft_trace_insn(v, b->insns);
	uint64_t before = v->stats.instructions;

	run_block(v, b->insns, 1);
	v->stats.stepped += v->stats.instructions - before;
	v->cur = NULL;
	soft_after_insn(v);
}

/* After a raise: counts what was done of the block, and puts RIP back. */
static void landed(struct soft_vcpu *v)
{
	if (v->bus_locked)
		soft_lock_end(v);
	v->stats.exceptions++;
	if (v->cur == NULL)
		return;
	v->stats.instructions += (uint64_t)(v->cur - v->first);
	if (v->in_code)
		leave_code(v);
	if (!v->is_delivering)
		v->s.rip = v->cur->ip;
	v->cur = NULL;
}

static void run_begin(struct soft_vcpu *v)
{
	if (v->tr != NULL)
		soft_tr_begin(v);
	soft_turn_begin(v);
	v->want_exit = false;
	v->cur = NULL;
	soft_enter(v);
}

static void run_end(struct soft_vcpu *v)
{
	soft_outside_begin(v);
	if (v->tr != NULL)
		soft_tr_end(v);
}

void soft_run(struct soft_vcpu *v)
{
	run_begin(v);
	if (sigsetjmp(v->raise_to, 0) != 0)
		landed(v);
	for (;;) {
		v->turn_due |= soft_turn_within(v, 1);
		if (soft_attention(v) && !service(v))
			break;
		if (v->slow || soft_turn_within(v, BLOCK_MAX_INSNS))
			run_slow(v);
		else
			run_blocks(v);
	}
	run_end(v);
}

uint64_t soft_run_insns(struct hv_vcpu *hv, uint64_t n)
{
	struct soft_vcpu *v = soft_of(hv);
	const uint64_t start = v->stats.instructions;

	run_begin(v);
	if (sigsetjmp(v->raise_to, 0) != 0) {
		landed(v);
		if (!v->is_delivering) {
			run_end(v);
			return v->stats.instructions - start;
		}
	}
	while (v->stats.instructions - start < n) {
		if (soft_attention(v) && !service(v))
			break;
		run_slow(v);
		if (v->event_valid || v->want_exit)
			break;
	}
	run_end(v);
	return v->stats.instructions - start;
}
