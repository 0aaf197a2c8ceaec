/*
 * Making other vCPUs forget translations, and waiting until they have.
 *
 * A vCPU is "inside" while it may be using host addresses it has looked up. Whoever changes what
 * translations stand on (memory map, code pages, dirty log) makes the change visible, raises
 * flush_want, and waits for each vCPU that is inside to meet the demand at its next block boundary.
 * A vCPU that is outside (stopped, halted, calling out to the bus, waiting here itself) holds no
 * such address and meets the demand when it comes back in; so two that wait for each other do not
 * hang.
 */
#include "engine/soft/sync.h"
#include <sched.h>
#include <time.h>
#include "engine/soft/mmu.h"
#include "engine/soft/turn.h"

static _Thread_local struct soft_vcpu *self; /* whose thread this is */

static void meet_demand(struct soft_vcpu *v)
{
	atomic_fetch_and(&v->hv->requests, ~(uint32_t)HV_REQ_FLUSH);
	uint64_t want = atomic_load(&v->flush_want);

	v->stats.flush_requests++;
	soft_phys_flush(v);
	atomic_store(&v->flush_done, want);
}

void soft_sync_poll(struct soft_vcpu *v)
{
	meet_demand(v);
}

void soft_enter(struct soft_vcpu *v)
{
	self = v;
	atomic_store(&v->inside, true);
	/* After the store: either the demand is seen here, or the demander sees us inside. */
	if (atomic_load(&v->flush_want) != atomic_load(&v->flush_done))
		meet_demand(v);
}

void soft_leave(struct soft_vcpu *v)
{
	atomic_store_explicit(&v->inside, false, memory_order_release);
}

void soft_yield(struct soft_vcpu *v)
{
	v->stats.yields++;
	soft_leave(v);
	sched_yield();
	soft_enter(v);
}

void soft_outside_begin(struct soft_vcpu *v)
{
	soft_fpu_park(v);
	if (HV_UNLIKELY(v->turns))
		soft_turn_sync(v);
	soft_leave(v);
}

void soft_outside_end(struct soft_vcpu *v)
{
	soft_enter(v);
	if (v->cur == NULL)
		return;
	if (v->turns ||
	    (atomic_load_explicit(&v->hv->requests, memory_order_relaxed) & HV_REQ_ENGINE))
		soft_stop_block(v); /* the device may have written over what follows */
	v->turn_due = v->turns;
}

static void wait_for(struct soft_vcpu *u, uint64_t want)
{
	const struct timespec nap = { .tv_nsec = 20000 };

	for (unsigned i = 0; atomic_load(&u->inside) && atomic_load(&u->flush_done) < want; i++) {
		if (i < 200)
			__builtin_ia32_pause();
		else if (i < 300)
			sched_yield();
		else
			nanosleep(&nap, NULL);
	}
}

void soft_sync_flush(struct soft_vm *vm)
{
	uint64_t want[HV_MAX_VCPUS];

	for (unsigned i = 0; i < HV_MAX_VCPUS; i++) {
		struct soft_vcpu *u = vm->vcpu[i];

		if (u == NULL)
			continue;
		want[i] = atomic_fetch_add(&u->flush_want, 1) + 1;
		soft_request(u, HV_REQ_FLUSH);
	}
	for (unsigned i = 0; i < HV_MAX_VCPUS; i++)
		if (vm->vcpu[i] != NULL && vm->vcpu[i] != self)
			wait_for(vm->vcpu[i], want[i]);
}
