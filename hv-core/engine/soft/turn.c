/*
 * Deterministic running. The vCPU's instructions are what moves the clock: one is a nanosecond.
 * Timers and devices' work are due at numbers of instructions then, and are done here, in the
 * vCPU's thread, exactly there: a turn. Neither tier runs past stop_at; where that falls into a
 * block, the rest is done one by one. Each instruction that went outside ends its block and is
 * followed by a turn, for it may have armed a timer. So every run of the same machine is the same,
 * in whichever tier, up to what comes in from outside: typed input, a debugger, a pause.
 */
#include "engine/soft/turn.h"
#include "cpu/digest.h"

/* A look at the timers at least so often: another thread may have armed one. */
#define TURN_MAX 10000000ull

void soft_turn_init(struct soft_vcpu *v)
{
	const struct hv_engine_options *o = &v->hv->vm->opt;

	v->stop_at = UINT64_MAX;
	if (!o->deterministic)
		return;
	v->turns = v->turn_due = true;
	v->digest_at = UINT64_MAX;
	if (o->digest_every != 0)
		v->digest_at = o->digest_from != 0 ? o->digest_from : o->digest_every;
}

void soft_turn_begin(struct soft_vcpu *v)
{
	v->turn_due = v->turns;
}

void soft_turn_sync(struct soft_vcpu *v)
{
	uint64_t count = v->stats.instructions;

	if (v->cur != NULL)
		count += (uint64_t)(v->cur - v->first);
	if (count == v->synced)
		return;
	hv_clock_advance(v->hv->vm->clock, count - v->synced);
	v->synced = count;
}

static void write_digest(struct soft_vcpu *v)
{
	const struct hv_engine_options *o = &v->hv->vm->opt;

	if (o->trace)
		v->slow |= SOFT_SLOW_TRACE;
	if (o->digest_fd >= 0)
		hv_digest_write(v->hv, v->digest_at,
				o->digest_memory != 0 && ++v->digests % o->digest_memory == 0);
	v->digest_at += o->digest_every;
}

void soft_turn(struct soft_vcpu *v)
{
	struct hv_clock *clock = v->hv->vm->clock;

	v->turn_due = false;
	soft_outside_begin(v);
	if (v->stats.instructions == v->digest_at)
		write_digest(v);
	uint64_t next = hv_clock_run_due(clock), now = hv_clock_now_ns(clock);

	soft_outside_end(v);
	uint64_t wait = next > now ? hv_min_u64(next - now, TURN_MAX) : 1;

	v->stop_at = hv_min_u64(v->stats.instructions + wait, v->digest_at);
	v->tr_not_stop_at = -v->stop_at;
}
