/* Debug exceptions, their priorities and shadows; the debugger's own breakpoints. */
#include "bench.h"

#define DR6_BS 0x4000u
#define DR6_BD 0x2000u
#define DR6_BT 0x8000u
#define DR6_CLEAR 0xffff0ff0u

static unsigned dr6(void)
{
	return (unsigned)bench.s.dr6 ^ DR6_CLEAR;
}

/* DR0 at addr; rw 0 execute, 1 write, 2 I/O, 3 access. */
static void break_at(uint64_t addr, unsigned rw, unsigned len)
{
	bench.s.dr[0] = addr;
	bench.s.dr7 = 0x401 | rw << 16 | len << 18;
}

CODE(step, 32, "nop; nop; nop");
static void test_single_step(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 0);
	bench.s.rflags |= X86_FL_TF;
	bench_run(step);
	assert_int_equal(bench_vector(), X86_EXC_DB);
	assert_int_equal(bench_slot(0), BENCH_CODE + 1);
	assert_true(bench_slot(2) & X86_FL_TF);
	assert_false(bench.s.rflags & X86_FL_TF);
	assert_int_equal(dr6(), DR6_BS);
}

/* TF set by POPF acts after the next instruction. */
CODE(popf_tf, 32, "pushl $0x102; popf; nop; nop");
static void test_popf_tf(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 0);
	bench_run(popf_tf);
	assert_int_equal(bench_vector(), X86_EXC_DB);
	assert_int_equal(bench_slot(0), BENCH_CODE + 7);
}

/* The instruction after MOV SS is not stepped on its own. */
CODE(movss, 32, "mov %eax, %ss; nop; nop");
static void test_step_movss(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 0);
	bench.s.gpr[X86_RAX] = SEL_DATA;
	bench.s.rflags |= X86_FL_TF;
	bench_run(movss);
	assert_int_equal(bench_vector(), X86_EXC_DB);
	assert_int_equal(bench_slot(0), BENCH_CODE + 3);
}

CODE(step_rep, 32, "rep stosb");
static void test_step_rep(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 0);
	bench.s.gpr[X86_RCX] = 3;
	bench.s.gpr[X86_RDI] = BENCH_DATA;
	bench.s.rflags |= X86_FL_TF;
	bench_run(step_rep);
	assert_int_equal(bench_vector(), X86_EXC_DB);
	assert_int_equal(bench_slot(0), BENCH_CODE); /* an iteration is a step */
	assert_int_equal(bench.s.gpr[X86_RCX], 2);
}

static void test_code_breakpoint(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 0);
	break_at(BENCH_CODE + 1, 0, 0);
	bench_run(step);
	assert_int_equal(bench_vector(), X86_EXC_DB);
	assert_int_equal(bench_slot(0), BENCH_CODE + 1);
	assert_false(bench_slot(2) & X86_FL_RF);
	assert_int_equal(dr6(), 1);
	/* RF passes over it once. */
	bench_reset(BENCH_PM32, 0);
	break_at(BENCH_CODE, 0, 0);
	bench.s.rflags |= X86_FL_RF;
	bench_set(BENCH_CODE + 3, 1, 0xf4);
	bench_run(step);
	assert_int_equal(bench.exit.reason, HV_EXIT_HLT);
	assert_int_equal(bench.s.rip, BENCH_CODE + 4);
	assert_false(bench.s.rflags & X86_FL_RF);
}

CODE(store, 32, "nop; movl $1, 0x18002; movl %eax, 0x18008; mov 0x18000, %ebx; nop");
static void test_data_breakpoints(void **state)
{
	static const struct {
		unsigned addr, rw, len, ip, bits;
	} rows[] = {
		{ BENCH_DATA + 2, 1, 0, 11, 1 }, /* the write's first byte */
		{ BENCH_DATA + 4, 1, 3, 11, 1 }, /* overlaps */
		{ BENCH_DATA + 8, 3, 3, 16, 1 }, /* a write is an access */
		{ BENCH_DATA, 3, 0, 22, 1 },	 /* the read */
		{ BENCH_DATA, 1, 1, 0, 0 },	 /* nobody writes there */
	};

	(void)state;
	for (unsigned n = 0; n < HV_ARRAY_LEN(rows); n++) {
		bench_reset(BENCH_PM32, 0);
		break_at(rows[n].addr, rows[n].rw, rows[n].len);
		bench_set(BENCH_CODE + 23, 1, 0xf4);
		bench_run(store);
		assert_int_equal(bench_vector(), rows[n].bits ? X86_EXC_DB : -1);
		if (rows[n].bits == 0)
			continue;
		assert_int_equal(bench_slot(0), BENCH_CODE + rows[n].ip);
		assert_int_equal(dr6(), rows[n].bits);
	}
}

/* Data breakpoint in MOV SS, then a software interrupt: the trap comes in its handler. */
CODE(movss_int, 32, "mov 0x18000, %ss; int $0x80");
static void test_movss_holds_trap(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 0);
	bench_set(BENCH_DATA, 2, SEL_DATA);
	break_at(BENCH_DATA, 3, 1);
	bench_run(movss_int);
	assert_int_equal(bench_vector(), X86_EXC_DB);
	assert_int_equal(bench_slot(0), BENCH_HANDLERS + 0x80 * 16);
	assert_int_equal(dr6(), 1);
}

/* With ICEBP it is one and the same #DB: on an interrupt stack a second would be for ever. */
CODE(movss_icebp, 32, "mov 0x18000, %ss; .byte 0xf1");
static void test_movss_icebp(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 0);
	bench_set(BENCH_DATA, 2, SEL_DATA);
	break_at(BENCH_DATA, 3, 1);
	bench_run(movss_icebp);
	assert_int_equal(bench_vector(), X86_EXC_DB);
	assert_int_equal(bench_slot(0), BENCH_CODE + 7);
	assert_int_equal(dr6(), 1);
}

/* No step is pending behind MOV SS: INT clears TF, and its handler is not stepped. */
static void test_movss_int_step(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 0);
	bench_set(BENCH_DATA, 2, SEL_DATA);
	bench.s.rflags |= X86_FL_TF;
	bench_run(movss_int);
	assert_int_equal(bench_vector(), 0x80);
	assert_int_equal(dr6(), 0);
}

CODE(io, 32, "out %al, $0x61; nop");
static void test_io_breakpoint(void **state)
{
	(void)state;
	for (unsigned de = 0; de < 2; de++) {
		bench_reset(BENCH_PM32, 0);
		bench.s.cr4 = de ? X86_CR4_DE : 0;
		break_at(0x61, 2, 0);
		bench_set(BENCH_CODE + 3, 1, 0xf4);
		bench_run(io);
		assert_int_equal(bench_vector(), de ? X86_EXC_DB : -1);
	}
}

CODE(read_dr, 32, "mov %dr0, %eax");
CODE(read_dr5, 32, "mov %db5, %eax; hlt");
static void test_debug_registers(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 0);
	bench.s.dr7 = 0x2400; /* GD */
	bench_run(read_dr);
	assert_int_equal(bench_vector(), X86_EXC_DB);
	assert_int_equal(bench_slot(0), BENCH_CODE);
	assert_int_equal(dr6(), DR6_BD);
	assert_int_equal(bench.s.dr7, 0x400);
	bench_reset(BENCH_PM32, 3);
	bench_run(read_dr);
	assert_int_equal(bench_vector(), X86_EXC_GP);
	bench_reset(BENCH_PM32, 0);
	bench.s.dr7 = 0x455;
	bench_run(read_dr5);
	assert_int_equal(bench.s.gpr[X86_RAX], 0x455);
	bench_reset(BENCH_PM32, 0);
	bench.s.cr4 = X86_CR4_DE;
	bench_run(read_dr5);
	assert_int_equal(bench_vector(), X86_EXC_UD);
}

CODE(icebp, 32, ".byte 0xf1; nop");
static void test_icebp(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 3);
	bench_run(icebp); /* needs no DPL */
	assert_int_equal(bench_vector(), X86_EXC_DB);
	assert_int_equal(bench_slot(0), BENCH_CODE + 1);
	assert_int_equal(dr6(), 0);
}

CODE(syscall_tf, 64, "syscall; nop");
static void test_syscall_step(void **state)
{
	(void)state;
	for (unsigned masked = 0; masked < 2; masked++) {
		bench_reset(BENCH_LONG64, 3);
		bench.s.star = (uint64_t)SEL_CODE64 << 32;
		bench.s.lstar = BENCH_HANDLERS + 0x90 * 16;
		bench.s.sfmask = masked ? X86_FL_TF : 0;
		bench.s.rflags |= X86_FL_TF;
		bench_run(syscall_tf);
		assert_int_equal(bench_vector(), masked ? 0x90 : X86_EXC_DB);
	}
}

/* ---- the debugger ---- */

static void debug_set(const struct hv_debug *d)
{
	struct err e = { 0 };

	assert_ok(bench.vm.engine->debug_set(bench.vm.vcpu[0], d, &e), &e);
}

static void test_debugger(void **state)
{
	struct hv_debug d = { .n_breaks = 1, .breaks = { BENCH_CODE + 2 } };

	(void)state;
	bench_reset(BENCH_PM32, 0);
	debug_set(&d);
	bench_run(step);
	assert_int_equal(bench.exit.reason, HV_EXIT_DEBUG);
	assert_int_equal(bench.s.rip, BENCH_CODE + 2);
	assert_int_equal(bench.exit.debug.rip, BENCH_CODE + 2);
	d = (struct hv_debug){ .single_step = true };
	debug_set(&d);
	bench_continue();
	assert_int_equal(bench.exit.reason, HV_EXIT_DEBUG);
	assert_true(bench.exit.debug.is_step);
	assert_int_equal(bench.s.rip, BENCH_CODE + 3);
	bench_reset(BENCH_PM32, 0);
	d = (struct hv_debug){ .n_watches = 1 };
	d.watches[0].addr = BENCH_DATA + 10;
	d.watches[0].len = 1;
	d.watches[0].on_write = true;
	debug_set(&d);
	bench_run(store);
	assert_int_equal(bench.exit.reason, HV_EXIT_DEBUG);
	assert_true(bench.exit.debug.is_watch);
	assert_int_equal(bench.exit.debug.addr, BENCH_DATA + 10);
	assert_int_equal(bench.s.rip, BENCH_CODE + 16);
	debug_set(&(struct hv_debug){ 0 });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_single_step),	 cmocka_unit_test(test_popf_tf),
		cmocka_unit_test(test_step_movss),	 cmocka_unit_test(test_step_rep),
		cmocka_unit_test(test_code_breakpoint),	 cmocka_unit_test(test_data_breakpoints),
		cmocka_unit_test(test_movss_holds_trap), cmocka_unit_test(test_movss_icebp),
		cmocka_unit_test(test_movss_int_step),	 cmocka_unit_test(test_io_breakpoint),
		cmocka_unit_test(test_debug_registers),	 cmocka_unit_test(test_icebp),
		cmocka_unit_test(test_syscall_step),	 cmocka_unit_test(test_debugger),
	};

	return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}
