/*
 * What the soft engine promises to more than one thread: locked operations of several vCPUs, stores
 * into code that another runs, changes of the memory map and the dirty log under running vCPUs.
 */
#include "ctest.h"
#include <sched.h>
#include <time.h>
#include "harness.h"

#define DATA 0x200000ull
#define OTHER 0x300000ull

static struct box *box;

static int setup(void **state)
{
	struct err e;

	(void)state;
	box = box_create(HV_MIB(8), 2, NULL, &e);
	if (box == NULL)
		print_error("%s\n", e.msg);
	return box == NULL ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	box_destroy(box);
	box = NULL;
	return 0;
}

static void set(unsigned vcpu, uint64_t rip, uint64_t rcx, uint64_t rdi)
{
	struct x86_state s;
	struct err e;

	box_state(box, BOX_LONG64, &s);
	s.rip = rip;
	s.gpr[X86_RCX] = rcx;
	s.gpr[X86_RDI] = rdi;
	s.gpr[X86_RSP] -= vcpu * 0x1000;
	assert_ok(hv_vcpu_state_set(box->vm.vcpu[vcpu], &s, &e), &e);
}

static uint32_t peek(uint64_t gpa)
{
	return __atomic_load_n((uint32_t *)(void *)(box->host + gpa), __ATOMIC_SEQ_CST);
}

/* Until the guest has written it; no test here waits for time as such. */
static void wait_for(uint64_t gpa, uint32_t value)
{
	const struct timespec nap = { .tv_nsec = 200000 };

	for (unsigned i = 0; i < 100000; i++) {
		if (peek(gpa) == value)
			return;
		nanosleep(&nap, NULL);
	}
	fail_msg("%#llx is %u, not %u", (unsigned long long)gpa, peek(gpa), value);
}

/* l: lock inc dword [rdi]; dec ecx; jnz l; lock inc dword [DATA + 0x800]; hlt; jmp $-1 */
static const uint8_t counter[] = { 0xf0, 0xff, 0x07, 0xff, 0xc9, 0x75, 0xf9, 0xf0, 0xff,
				   0x04, 0x25, 0,    8,	   0x20, 0,    0xf4, 0xeb, 0xfd };

static void count_at(uint64_t gpa, uint32_t runs)
{
	memset(box->host + DATA, 0, 0x2000);
	memset(box->host + BOX_CODE + 0x100, 0, 0x100);
	box_load(box, BOX_CODE, counter, sizeof(counter));
	for (unsigned i = 0; i < 2; i++)
		set(i, BOX_CODE, runs, gpa);
	hv_vm_run(&box->vm);
	wait_for(DATA + 0x800, 2);
	hv_vm_stop(&box->vm);
	uint32_t sum;

	memcpy(&sum, box->host + gpa, 4);
	assert_int_equal(sum, 2 * runs);
}

static void test_locked(void **state)
{
	(void)state;
	count_at(DATA, 3000000);
	count_at(DATA + 61, 10000);	   /* over a cache line's end */
	count_at(DATA + 0xffe, 40000);	   /* over a page's end */
	count_at(BOX_CODE + 0x100, 10000); /* in a page with code */
}

/*
 * l: mov eax, [DATA]; and eax, 1; cmp eax, esi; je go; pause; jmp l
 * go: inc dword [DATA]; dec ecx; jnz l; lock inc dword [DATA + 0x800]; hlt; jmp $-1
 */
static const uint8_t in_turn[] = { 0x8b, 0x04, 0x25, 0,	   0,	 0x20, 0,    0x83, 0xe0, 0x01,
				   0x39, 0xf0, 0x74, 0x04, 0xf3, 0x90, 0xeb, 0xee, 0xff, 0x04,
				   0x25, 0,    0,    0x20, 0,	 0xff, 0xc9, 0x75, 0xe3, 0xf0,
				   0xff, 0x04, 0x25, 0,	   0x08, 0x20, 0,    0xf4, 0xeb, 0xfd };

/* Two vCPUs wait for each other; how often they have given their host CPU up. */
static uint64_t take_turns(uint32_t rounds)
{
	struct hv_engine_stats st[2];

	memset(box->host + DATA, 0, 0x1000);
	box_load(box, BOX_CODE, in_turn, sizeof(in_turn));
	for (unsigned i = 0; i < 2; i++) {
		struct x86_state s;
		struct err e;

		box_state(box, BOX_LONG64, &s);
		s.rip = BOX_CODE;
		s.gpr[X86_RCX] = rounds;
		s.gpr[X86_RSI] = i;
		assert_ok(hv_vcpu_state_set(box->vm.vcpu[i], &s, &e), &e);
	}
	hv_vm_run(&box->vm);
	wait_for(DATA + 0x800, 2);
	hv_vm_stop(&box->vm);
	assert_int_equal(peek(DATA), 2 * rounds);
	for (unsigned i = 0; i < 2; i++)
		box->vm.engine->stats(box->vm.vcpu[i], &st[i]);
	return st[0].yields + st[1].yields;
}

/* On one CPU of the host each would spin until its time is over, if it did not let the other run.
 */
static void test_pause(void **state)
{
	struct box *both = box;
	cpu_set_t all, one;
	struct err e;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	if (CPU_COUNT(&all) >= 2)
		assert_int_equal(take_turns(1000), 0);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	box = box_create(HV_MIB(8), 2, NULL, &e);
	assert_non_null(box);
	assert_true(take_turns(1000) >= 1000);
	box_destroy(box);
	box = both;
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
}

/* vCPU 1 calls a function whose immediate vCPU 0 changes, and stores what it returns. */
static void test_cross_modifying(void **state)
{
	/* l: call f; mov [DATA], eax; jmp l; f: mov eax, imm; ret */
	static const uint8_t code[] = { 0xe8, 9, 0,    0,    0,	   0x89, 0x04, 0x25, 0, 0,
					0x20, 0, 0xeb, 0xf2, 0xb8, 0,	 0,    0,    0, 0xc3 };
	/* mov [BOX_CODE + 15], ecx; hlt */
	static const uint8_t store[] = { 0x89, 0x0c, 0x25, 0x0f, 0, 1, 0, 0xf4 };

	(void)state;
	box_load(box, BOX_CODE, code, sizeof(code));
	box_load(box, BOX_CODE + 0x2000, store, sizeof(store));
	set(1, BOX_CODE, 0, 0);
	for (uint32_t x = 1; x <= 20; x++) {
		set(0, BOX_CODE + 0x2000, x * 1000, 0);
		hv_vm_run(&box->vm);
		wait_for(DATA, x * 1000);
		hv_vm_stop(&box->vm);
	}
}

/* A page of other memory comes and goes under a running reader; when hv_mem_map() is back, it reads
 * the new one. */
static void test_map_changes(void **state)
{
	/* l: mov eax, [OTHER]; mov [DATA], eax; inc dword [DATA + 4]; jmp l */
	static const uint8_t code[] = { 0x8b, 0x04, 0x25, 0,	0,    0x30, 0,	  0x89,
					0x04, 0x25, 0,	  0,	0x20, 0,    0xff, 0x04,
					0x25, 4,    0,	  0x20, 0,    0xeb, 0xe9 };
	struct hv_ram *ram;
	struct err e;

	(void)state;
	assert_ok(hv_ram_create(box->vm.mem, "other", HV_RAM_ANON, 0x1000, -1, 0, &ram, &e), &e);
	struct hv_map_range r = { .name = "other",
				  .kind = HV_MAP_RAM,
				  .prio = 5,
				  .gpa = OTHER,
				  .bytes = 0x1000,
				  .ram = ram };

	memcpy(hv_ram_host(ram), &(uint32_t){ 2 }, 4);
	memcpy(box->host + OTHER, &(uint32_t){ 1 }, 4);
	box_load(box, BOX_CODE, code, sizeof(code));
	set(0, BOX_CODE, 0, 0);
	set(1, BOX_CODE, 0, 0);
	hv_vm_run(&box->vm);
	for (unsigned i = 0; i < 100; i++) {
		if (i & 1)
			hv_mem_unmap(box->vm.mem, &r);
		else
			hv_mem_map(box->vm.mem, &r);
		uint32_t rounds = peek(DATA + 4);

		/* Two whole rounds of each: what was read before the change has been stored. */
		while (peek(DATA + 4) - rounds < 5)
			sched_yield();
		assert_int_equal(peek(DATA), i & 1 ? 1 : 2);
	}
	hv_vm_stop(&box->vm);
	hv_mem_unmap(box->vm.mem, &r);
}

/* Every page that is written after the bits were taken has its bit set again. */
static void test_dirty_log(void **state)
{
	/* l: inc dword [DATA]; jmp l */
	static const uint8_t code[] = { 0xff, 0x04, 0x25, 0, 0, 0x20, 0, 0xeb, 0xf7 };
	uint64_t bits[HV_MIB(8) / 4096 / 64];
	struct err e;

	(void)state;
	box_load(box, BOX_CODE, code, sizeof(code));
	set(0, BOX_CODE, 0, 0);
	set(1, BOX_CODE, 0, 0);
	hv_vm_run(&box->vm);
	assert_ok(hv_ram_dirty_start(box->ram, &e), &e);
	for (unsigned i = 0; i < 20; i++) {
		uint32_t before = peek(DATA);

		while (peek(DATA) == before)
			sched_yield();
		hv_ram_dirty_take(box->ram, 0, HV_ARRAY_LEN(bits), bits);
		assert_true(bits[DATA / 4096 / 64] >> (DATA / 4096 % 64) & 1);
	}
	hv_vm_stop(&box->vm);
	hv_ram_dirty_stop(box->ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_locked),		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_cross_modifying), cmocka_unit_test(test_map_changes),
		cmocka_unit_test(test_dirty_log),
	};

	return cmocka_run_group_tests_name("soft_smp", tests, setup, teardown);
}
