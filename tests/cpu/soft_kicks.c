/*
 * Signals and requests at any point of a block: a computation with integer and vector registers,
 * flags, stack and memory ends as it does undisturbed, while a timer's signal handler uses vector
 * registers of its own, makes the engine leave, drop all translations, or look around.
 */
#include "ctest.h"
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include "engine/soft/translate/code_cache.h"
#include "harness.h"

#define DATA 0x200000ull
#define LOOPS 300000
#define ROUNDS 100

static struct box *box;
static volatile sig_atomic_t signals;
static unsigned kicks; /* that were met within the loop */
static volatile double sink = 1;

static int setup(void **state)
{
	struct err e;

	(void)state;
	box = box_create(HV_MIB(8), 1, NULL, &e);
	if (box == NULL)
		print_error("%s\n", e.msg);
	/* As in a machine: loops go round without counting. */
	if (box != NULL && soft_of(box->vm.vcpu[0])->tr != NULL)
		soft_of(box->vm.vcpu[0])->tr->count = false;
	return box == NULL ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	box_destroy(box);
	return 0;
}

static void on_alarm(int sig)
{
	static const uint32_t asked[] = { HV_REQ_STOP, HV_REQ_FLUSH, HV_REQ_ENGINE, 0 };

	(void)sig;
	sink = sink * 1.25 + 0.5;
	atomic_fetch_or(&box->vm.vcpu[0]->requests, asked[signals++ % 4]);
	box->vm.engine->vcpu_kick(box->vm.vcpu[0]);
}

static void timer(long us)
{
	const struct itimerval t = { { 0, us }, { 0, us } };

	assert_int_equal(setitimer(ITIMER_REAL, &t, NULL), 0);
}

/* l: imul rax, rbx; add rax, rdx; mov [rdi], rax; xor rsi, [rdi]; rol rsi, 7; mulsd xmm0, xmm1;
 * addsd xmm0, xmm2; adc r10, rsi; push rsi; pop r11; add r14, r11; dec ecx; jnz l; hlt */
static const uint8_t code[] = { 0x48, 0x0f, 0xaf, 0xc3, 0x48, 0x01, 0xd0, 0x48, 0x89, 0x07,
				0x48, 0x33, 0x37, 0x48, 0xc1, 0xc6, 0x07, 0xf2, 0x0f, 0x59,
				0xc1, 0xf2, 0x0f, 0x58, 0xc2, 0x49, 0x11, 0xf2, 0x56, 0x41,
				0x5b, 0x4d, 0x01, 0xde, 0xff, 0xc9, 0x75, 0xda, 0xf4 };

static void run(struct x86_state *s)
{
	static const double start[] = { 1.0, 0, 0.9999, 0, 1.0 / 3, 0 };
	struct hv_vcpu *v = box->vm.vcpu[0];
	struct hv_exit x = { 0 };
	struct err e;

	box_state(box, BOX_LONG64, s);
	box_load(box, BOX_CODE, code, sizeof(code));
	s->gpr[X86_RAX] = 1;
	s->gpr[X86_RBX] = 6364136223846793005ull;
	s->gpr[X86_RDX] = 1442695040888963407ull;
	s->gpr[X86_RCX] = LOOPS;
	s->gpr[X86_RDI] = DATA;
	memcpy((uint8_t *)s->xsave + 160, start, sizeof(start));
	s->xsave[512] |= 2;
	assert_ok(hv_vcpu_state_set(v, s, &e), &e);
	do {
		x.reason = HV_EXIT_FAIL;
		box->vm.engine->vcpu_run(v, &x);
		if (x.reason == HV_EXIT_KICKED) {
			hv_vcpu_state_get(v, s);
			kicks += s->gpr[X86_RCX] > 0 && s->gpr[X86_RCX] < LOOPS;
			atomic_fetch_and(&v->requests, ~(uint32_t)HV_REQ_STOP);
		}
	} while (x.reason == HV_EXIT_KICKED);
	assert_int_equal(x.reason, HV_EXIT_HLT);
	hv_vcpu_state_get(v, s);
}

static void test_undisturbed(void **state)
{
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_ONSTACK | SA_RESTART };
	struct x86_state want, s;

	(void)state;
	run(&want);
	assert_int_equal(sigaction(SIGALRM, &sa, NULL), 0);
	for (long k = 0; k < ROUNDS; k++) {
		timer(97 + k % 10 * 13);
		run(&s);
		timer(0);
		assert_memory_equal(s.gpr, want.gpr, sizeof(s.gpr));
		assert_memory_equal((uint8_t *)s.xsave + 160, (uint8_t *)want.xsave + 160, 48);
		assert_int_equal(s.rflags & X86_FL_STATUS, want.rflags & X86_FL_STATUS);
		assert_int_equal(s.rip, want.rip);
	}
	assert_true(signals > 0 && kicks > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_undisturbed) };

	return cmocka_run_group_tests_name("soft_kicks", tests, setup, teardown);
}
