/* hv-core/engine/soft/sync: whoever asks vCPUs to forget translations waits for those that are
 * inside, and for no others. */
#include "ctest.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include "engine/soft/mmu.h"
#include "engine/soft/sync.h"

static const struct cpu_model model = { .phys_bits = 40 };
static struct hv_vm machine = { .model = &model };
static struct hv_vcpu cpus[2];
static struct soft_vm vm;
static struct soft_vcpu *v[2];
static atomic_bool done;

static int setup(void **state)
{
	struct err e;

	(void)state;
	vm.hv = &machine;
	for (unsigned k = 0; k < 2; k++) {
		cpus[k] = (struct hv_vcpu){ .vm = &machine, .index = k };
		v[k] = calloc(1, sizeof(*v[k]));
		assert_non_null(v[k]);
		v[k]->hv = &cpus[k];
		v[k]->vm = &vm;
		v[k]->tlb = &v[k]->tlbs[0];
		assert_ok(soft_mmu_create(v[k], &e), &e);
		vm.vcpu[k] = v[k];
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		soft_mmu_destroy(v[k]);
		free(v[k]);
	}
	return 0;
}

static void *flusher(void *arg)
{
	(void)arg;
	soft_sync_flush(&vm);
	atomic_store(&done, true);
	return NULL;
}

static void wait_a_little(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 30000000 }, NULL);
}

static void nobody_inside_is_not_waited_for(void **state)
{
	(void)state;
	soft_sync_flush(&vm);
	assert_true(atomic_load(&cpus[0].requests) & HV_REQ_FLUSH);
}

static void who_is_inside_is_waited_for(void **state)
{
	pthread_t t;

	(void)state;
	atomic_store(&done, false);
	soft_enter(v[0]);
	soft_enter(v[1]);
	v[1]->tlb->write[7].not_tag = ~0x7000ull;
	assert_int_equal(pthread_create(&t, NULL, flusher, NULL), 0);
	while (!(atomic_load(&cpus[1].requests) & HV_REQ_FLUSH))
		wait_a_little();
	wait_a_little();
	assert_false(atomic_load(&done));
	soft_sync_poll(v[0]);
	wait_a_little();
	assert_false(atomic_load(&done));
	soft_sync_poll(v[1]);
	pthread_join(t, NULL);
	assert_true(atomic_load(&done));
	assert_false(atomic_load(&cpus[1].requests) & HV_REQ_FLUSH);
	soft_leave(v[0]);
	soft_leave(v[1]);
}

/* Leaving is as good as an answer; what was asked is met on the way back in. */
static void who_leaves_is_not_waited_for(void **state)
{
	pthread_t t;

	(void)state;
	atomic_store(&done, false);
	soft_enter(v[0]);
	assert_int_equal(pthread_create(&t, NULL, flusher, NULL), 0);
	while (!(atomic_load(&cpus[0].requests) & HV_REQ_FLUSH))
		wait_a_little();
	soft_leave(v[0]);
	pthread_join(t, NULL);
	soft_enter(v[0]);
	assert_false(atomic_load(&cpus[0].requests) & HV_REQ_FLUSH);
	soft_leave(v[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_inside_is_not_waited_for),
		cmocka_unit_test(who_is_inside_is_waited_for),
		cmocka_unit_test(who_leaves_is_not_waited_for),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
