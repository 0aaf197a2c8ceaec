/* Gates, stacks, tasks, returns, double and triple faults, virtual-8086 mode. */
#include "bench.h"

/* ---- software interrupts and exceptions ---- */

CODE(int80_user, 32, "int $0x80");
static void test_int_from_user(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 3);
	bench.s.rflags |= X86_FL_IF;
	bench_run(int80_user);
	assert_int_equal(bench_vector(), 0x80);
	assert_int_equal(bench_slot(0), BENCH_CODE + 2);
	assert_int_equal(bench_slot(1), SEL_UCODE32);
	assert_int_equal(bench_slot(2), X86_FL_IF | X86_FL_FIXED);
	assert_int_equal(bench_slot(3), BENCH_STACK3);
	assert_int_equal(bench_slot(4), SEL_UDATA);
	assert_int_equal(bench.s.gpr[X86_RSP], BENCH_STACK0 - 20);
	assert_int_equal(bench.s.seg[X86_SS].sel, SEL_DATA);
	assert_int_equal(bench.s.cpl, 0);
	assert_false(bench.s.rflags & X86_FL_IF);
}

CODE(int20_user, 32, "nop; int $0x20");
static void test_int_gate_privilege(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 3);
	bench_run(int20_user);
	assert_int_equal(bench_vector(), X86_EXC_GP);
	assert_int_equal(bench_slot(0), 0x20 * 8 + 2); /* EXT is clear */
	assert_int_equal(bench_slot(1), BENCH_CODE + 1);
	assert_true(bench_slot(3) & X86_FL_RF);
}

CODE(int80_long, 64, "int $0x80");
static void test_long_frame(void **state)
{
	(void)state;
	for (unsigned ist = 0; ist < 2; ist++) {
		uint64_t top = ist ? BENCH_STACK_IST : BENCH_STACK0;

		bench_reset(BENCH_LONG64, 3);
		bench.s.gpr[X86_RSP] = BENCH_STACK3 - 5; /* the new stack is aligned, not this */
		bench_idt(0x80, SEL_CODE64, BENCH_HANDLERS + 0x800, 0xee, ist);
		bench_run(int80_long);
		assert_int_equal(bench_vector(), 0x80);
		assert_int_equal(bench.s.gpr[X86_RSP], top - 40);
		assert_int_equal(bench_slot(0), BENCH_CODE + 2);
		assert_int_equal(bench_slot(1), SEL_UCODE64);
		assert_int_equal(bench_slot(3), BENCH_STACK3 - 5);
		assert_int_equal(bench_slot(4), SEL_UDATA);
		assert_int_equal(bench.s.seg[X86_SS].sel, 0);
	}
}

CODE(ud_long, 64, "ud2");
static void test_long_same_level_aligns(void **state)
{
	(void)state;
	bench_reset(BENCH_LONG64, 0);
	bench.s.gpr[X86_RSP] = BENCH_STACK0 - 3;
	bench_run(ud_long);
	assert_int_equal(bench_vector(), X86_EXC_UD);
	assert_int_equal(bench.s.gpr[X86_RSP], BENCH_STACK0 - 16 - 40);
	assert_int_equal(bench_slot(3), BENCH_STACK0 - 3);
	assert_int_equal(bench_slot(4), SEL_DATA);
	assert_int_equal(bench.s.seg[X86_SS].sel, SEL_DATA);
}

CODE(int_real, 16, "sti; int $0x21");
static void test_real(void **state)
{
	(void)state;
	bench_reset(BENCH_REAL, 0);
	bench_run(int_real);
	assert_int_equal(bench_vector(), 0x21);
	assert_int_equal(bench_slot(0), 3);
	assert_int_equal(bench_slot(1), BENCH_CODE >> 4);
	assert_int_equal(bench_slot(2), X86_FL_IF | X86_FL_FIXED);
	assert_false(bench.s.rflags & X86_FL_IF);
}

/* ---- faults within delivery ---- */

CODE(ud32, 32, "ud2");
static void test_double_fault(void **state)
{
	/* What the gate of #GP (then #DF) is spoiled by, and what comes of a #GP. */
	static const struct {
		uint32_t access13, access8;
		int vector;
		unsigned error;
	} rows[] = {
		{ 0x8e, 0x8e, X86_EXC_GP, 0x60 }, /* nothing: the selector loaded */
		{ 0x0e, 0x8e, X86_EXC_DF, 0 },	  /* #NP on the way to #GP */
		{ 0x82, 0x8e, X86_EXC_DF, 0 },	  /* #GP on the way */
		{ 0x0e, 0x0e, -1, 0 },		  /* #NP on the way to #DF */
	};
	CODE(bad_load, 32, "mov $0x60, %eax; mov %eax, %ds");

	(void)state;
	for (unsigned n = 0; n < HV_ARRAY_LEN(rows); n++) {
		bench_reset(BENCH_PM32, 0);
		bench_desc(0x60, 0, 0, 0x80, 0);
		bench_idt(13, SEL_CODE32, BENCH_HANDLERS + 13 * 16, rows[n].access13, 0);
		bench_idt(8, SEL_CODE32, BENCH_HANDLERS + 8 * 16, rows[n].access8, 0);
		bench_run(bad_load);
		assert_int_equal(bench_vector(), rows[n].vector);
		if (rows[n].vector < 0) {
			assert_int_equal(bench.exit.reason, HV_EXIT_SHUTDOWN);
			continue;
		}
		assert_int_equal(bench_slot(0), rows[n].error);
		assert_int_equal(bench_slot(1), BENCH_CODE + 5);
	}
}

/* #UD is benign: a fault while it is delivered comes alone, with EXT set. */
static void test_benign_first(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 0);
	bench_idt(6, SEL_CODE32, BENCH_HANDLERS + 6 * 16, 0x0e, 0);
	bench_run(ud32);
	assert_int_equal(bench_vector(), X86_EXC_NP);
	assert_int_equal(bench_slot(0), 6 * 8 + 2 + 1);
	assert_int_equal(bench_slot(1), BENCH_CODE);
}

static void test_shutdown_without_idt(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 0);
	bench.s.idt_limit = 0;
	bench_run(ud32);
	assert_int_equal(bench.exit.reason, HV_EXIT_SHUTDOWN);
}

CODE(touch, 64, "movb $0, 0x40000000");
static void test_page_fault_pair(void **state)
{
	(void)state;
	bench_reset(BENCH_LONG64, 0);
	bench_run(touch);
	assert_int_equal(bench_vector(), X86_EXC_PF);
	assert_int_equal(bench_slot(0), X86_PF_W);
	assert_int_equal(bench.s.cr2, 0x40000000);
	/* The handler's stack is missing, too; #DF has one of its own. */
	bench_reset(BENCH_LONG64, 0);
	bench_idt(8, SEL_CODE64, BENCH_HANDLERS + 8 * 16, 0x8e, 1);
	bench.s.gpr[X86_RSP] = 0x50000000;
	bench_run(touch);
	assert_int_equal(bench_vector(), X86_EXC_DF);
	assert_int_equal(bench.s.cr2, 0x50000000 - 48);
	assert_int_equal(bench_slot(0), 0);
	assert_int_equal(bench_slot(1), BENCH_CODE);
}

/* ---- call gates and far returns ---- */

CODE(call_gate, 32, "push $0x1111; push $0x2222; lcall $0x63, $0; hlt");
static void test_call_gate(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 3);
	bench_gate(SEL_GATE, SEL_CODE32, BENCH_HANDLERS, 0xec, 2);
	bench_run(call_gate);
	assert_int_equal(bench_vector(), 0);
	assert_int_equal(bench.s.gpr[X86_RSP], BENCH_STACK0 - 24);
	assert_int_equal(bench_slot(0), BENCH_CODE + 17);
	assert_int_equal(bench_slot(1), SEL_UCODE32);
	assert_int_equal(bench_slot(2), 0x2222);
	assert_int_equal(bench_slot(3), 0x1111);
	assert_int_equal(bench_slot(4), BENCH_STACK3 - 8);
	assert_int_equal(bench_slot(5), SEL_UDATA);
	assert_int_equal(bench.s.cpl, 0);
}

CODE(call_gate64, 64, "lcall *1f(%rip); 1: .long 0; .word 0x63");
static void test_call_gate64(void **state)
{
	(void)state;
	bench_reset(BENCH_LONG64, 3);
	bench_gate(SEL_GATE, SEL_CODE64, BENCH_HANDLERS, 0xec, 0);
	bench_run(call_gate64);
	assert_int_equal(bench_vector(), 0);
	assert_int_equal(bench.s.gpr[X86_RSP], BENCH_STACK0 - 32);
	assert_int_equal(bench_slot(1), SEL_UCODE64);
	assert_int_equal(bench_slot(2), BENCH_STACK3);
	assert_int_equal(bench_slot(3), SEL_UDATA);
	assert_int_equal(bench.s.seg[X86_SS].sel, 0);
}

static void test_gate_checks(void **state)
{
	static const struct {
		uint16_t target;
		unsigned type_dpl;
		int vector;
		unsigned error;
	} rows[] = {
		{ SEL_CODE32, 0x8c, X86_EXC_GP, SEL_GATE }, /* the gate's DPL */
		{ SEL_CODE32, 0x6c, X86_EXC_NP, SEL_GATE }, { 0, 0xec, X86_EXC_GP, 0 },
		{ SEL_DATA, 0xec, X86_EXC_GP, SEL_DATA },   { 0xff8, 0xec, X86_EXC_GP, 0xff8 },
	};

	(void)state;
	for (unsigned n = 0; n < HV_ARRAY_LEN(rows); n++) {
		bench_reset(BENCH_PM32, 3);
		bench_gate(SEL_GATE, rows[n].target, BENCH_HANDLERS, rows[n].type_dpl, 0);
		bench_run(call_gate);
		assert_int_equal(bench_vector(), rows[n].vector);
		assert_int_equal(bench_slot(0), rows[n].error);
		assert_int_equal(bench_slot(1), BENCH_CODE + 10);
	}
}

/* Conforming code is entered at the caller's level, on the caller's stack. */
static void test_gate_to_conforming(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 3);
	bench_desc(SEL_FREE, 0, 0xfffff, 0x9e, 0xc);
	bench_gate(SEL_GATE, SEL_FREE, BENCH_HANDLERS, 0xec, 2);
	bench_run(call_gate);
	assert_int_equal(bench_vector(), X86_EXC_GP); /* HLT there, at CPL 3 */
	assert_int_equal(bench_slot(1), BENCH_HANDLERS);
	assert_int_equal(bench_slot(2), SEL_FREE | 3);
	assert_int_equal(bench_slot(4), BENCH_STACK3 - 16);
}

CODE(retf_user, 32, "push $0x2b; push $0x30000; push $0x77; push $0x23; push $0x10400; lret $4");
static void test_far_return_outer(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 0);
	bench_set(0x10400, 1, 0xf4); /* HLT at CPL 3: #GP tells that we were there */
	bench_run(retf_user);
	assert_int_equal(bench_vector(), X86_EXC_GP);
	assert_int_equal(bench_slot(1), 0x10400);
	assert_int_equal(bench_slot(2), SEL_UCODE32);
	assert_int_equal(bench_slot(4), BENCH_STACK3 + 4);
	/* What CPL 3 may not use became null. */
	assert_int_equal(bench.s.seg[X86_DS].sel, 0);
	assert_int_equal(bench.s.seg[X86_GS].sel, 0);
}

/* ---- IRET ---- */

CODE(iretq_user, 64, "push $0x2b; push $0x30000; push $0x202; push $0x33; push $0x10400; iretq");
static void test_iretq_user(void **state)
{
	(void)state;
	bench_reset(BENCH_LONG64, 0);
	bench.s.nmi_masked = 1;
	bench_set(0x10400, 1, 0xf4);
	bench_run(iretq_user);
	assert_int_equal(bench_vector(), X86_EXC_GP);
	assert_int_equal(bench_slot(1), 0x10400);
	assert_int_equal(bench_slot(2), SEL_UCODE64);
	assert_int_equal(bench_slot(3), 0x202 | X86_FL_RF);
	assert_int_equal(bench_slot(4), BENCH_STACK3);
	assert_int_equal(bench.s.nmi_masked, 0);
}

CODE(iret_flags, 32, "push $0x247fd7; push $0x23; push $0x10400; iret");
static void test_iret_user_flags(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 3);
	bench_set(0x10400, 2, 0xf490); /* nop, hlt */
	bench_run(iret_flags);
	assert_int_equal(bench_vector(), X86_EXC_DB); /* TF; IF and IOPL stayed */
	assert_int_equal(bench_slot(2) & 0x247fd7, 0x244dd7);
}

/* ---- virtual-8086 mode ---- */

CODE(to_v86, 32,
     "push $0x44; push $0x33; push $0x22; push $0x11; push $0x1800; push $0xfff0;"
     "push $0x20002; push $0x1000; push $0x400; iret");
static void enter_v86(unsigned iopl, uint32_t code)
{
	bench_reset(BENCH_PM32, 0);
	bench_set(0x10400, 4, code);
	bench_run(to_v86);
	(void)iopl;
}

static void test_v86(void **state)
{
	(void)state;
	enter_v86(0, 0x80cd); /* INT 0x80 needs IOPL 3 */
	assert_int_equal(bench_vector(), X86_EXC_GP);
	assert_int_equal(bench_slot(0), 0);
	assert_int_equal(bench_slot(1), 0x400);
	assert_int_equal(bench_slot(2), 0x1000);
	assert_int_equal(bench_slot(3), 0x20002 | X86_FL_RF);
	assert_int_equal(bench_slot(4), 0xfff0);
	assert_int_equal(bench_slot(5), 0x1800);
	assert_int_equal(bench_slot(6), 0x11);
	assert_int_equal(bench_slot(7), 0x22);
	assert_int_equal(bench_slot(8), 0x33);
	assert_int_equal(bench_slot(9), 0x44);
	assert_int_equal(bench.s.seg[X86_DS].sel, 0);
	assert_int_equal(bench.s.seg[X86_SS].sel, SEL_DATA);
	assert_false(bench.s.rflags & X86_FL_VM);
	enter_v86(0, 0xcc); /* INT3 does not */
	assert_int_equal(bench_vector(), X86_EXC_BP);
	assert_int_equal(bench_slot(0), 0x401);
	enter_v86(0, 0xfa); /* CLI */
	assert_int_equal(bench_vector(), X86_EXC_GP);
	enter_v86(0, 0xd0000f); /* SLDT */
	assert_int_equal(bench_vector(), X86_EXC_UD);
}

/* ---- tasks ---- */

static void make_task(uint32_t ip)
{
	static const uint16_t segs[] = { SEL_DATA, SEL_CODE32, SEL_DATA, SEL_DATA, 0, 0 };

	bench_set(BENCH_TSS2 + 32, 4, ip);
	bench_set(BENCH_TSS2 + 36, 4, X86_FL_FIXED);
	bench_set(BENCH_TSS2 + 40, 4, 0x1234567); /* EAX */
	bench_set(BENCH_TSS2 + 56, 4, BENCH_STACK_IST);
	for (unsigned n = 0; n < 6; n++)
		bench_set(BENCH_TSS2 + 72 + n * 4, 2, segs[n]);
}

static unsigned type_of(unsigned sel)
{
	return bench_mem(BENCH_GDT + sel + 5, 1) & 15;
}

CODE(task_jump, 32, "mov $7, %ebx; ljmp $0x48, $0");
CODE(task_call, 32, "mov $7, %ebx; lcall $0x48, $0; mov $9, %ecx; hlt");
static void test_task_jump(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 0);
	make_task(BENCH_HANDLERS);
	bench_run(task_jump);
	assert_int_equal(bench_vector(), 0);
	assert_int_equal(bench.s.gpr[X86_RAX], 0x1234567);
	assert_int_equal(bench.s.gpr[X86_RSP], BENCH_STACK_IST);
	assert_int_equal(bench.s.seg[X86_TR].sel, SEL_TSS2);
	assert_true(bench.s.cr0 & X86_CR0_TS);
	assert_false(bench.s.rflags & X86_FL_NT);
	assert_int_equal(type_of(SEL_TSS), 9);
	assert_int_equal(type_of(SEL_TSS2), 11);
	assert_int_equal(bench_mem(BENCH_TSS + 52, 4), 7); /* EBX */
	assert_int_equal(bench_mem(BENCH_TSS + 32, 4), BENCH_CODE + 12);
	assert_int_equal(bench_mem(BENCH_TSS + 76, 2), SEL_CODE32);
}

static void test_task_call_and_return(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 0);
	make_task(0x10400);
	bench_set(0x10400, 1, 0xcf); /* IRET */
	bench_run(task_call);
	assert_int_equal(bench.exit.reason, HV_EXIT_HLT);
	assert_int_equal(bench.s.gpr[X86_RCX], 9);
	assert_int_equal(bench.s.gpr[X86_RBX], 7);
	assert_int_equal(bench.s.seg[X86_TR].sel, SEL_TSS);
	assert_int_equal(type_of(SEL_TSS), 11);
	assert_int_equal(type_of(SEL_TSS2), 9);
	assert_int_equal(bench_mem(BENCH_TSS2, 2), SEL_TSS); /* the link */
	assert_int_equal(bench_mem(BENCH_TSS2 + 32, 4), 0x10401);
	assert_false(bench.s.rflags & X86_FL_NT);
}

static void test_task_gate_with_error(void **state)
{
	CODE(load_np, 32, "mov $0x70, %eax; mov %eax, %ds");

	(void)state;
	bench_reset(BENCH_PM32, 0);
	make_task(BENCH_HANDLERS + 16 * 11);
	bench_desc(SEL_FREE, 0, 0xfffff, 0x12, 0xc); /* not present */
	bench_idt(X86_EXC_NP, SEL_TSS2, 0, 0x85, 0);
	bench_run(load_np);
	assert_int_equal(bench_vector(), X86_EXC_NP);
	assert_int_equal(bench.s.seg[X86_TR].sel, SEL_TSS2);
	assert_int_equal(bench.s.gpr[X86_RSP], BENCH_STACK_IST - 4);
	assert_int_equal(bench_slot(0), SEL_FREE);
	assert_true(bench.s.rflags & X86_FL_NT);
	assert_int_equal(bench_mem(BENCH_TSS + 32, 4), BENCH_CODE + 5);
}

/* Faults of the new task are the new task's: its CS:EIP, its selector. */
static void test_task_faults(void **state)
{
	static const struct {
		unsigned off;
		uint16_t sel;
		int vector;
		unsigned error;
	} rows[] = {
		{ 76, 0, X86_EXC_TS, 0 }, /* CS null */
		{ 76, SEL_DATA, X86_EXC_TS, SEL_DATA },
		{ 80, SEL_CODE32, X86_EXC_TS, SEL_CODE32 }, /* SS */
		{ 84, 0xff8, X86_EXC_TS, 0xff8 },	    /* DS */
		{ 96, SEL_DATA, X86_EXC_TS, SEL_DATA },	    /* LDT */
	};

	(void)state;
	for (unsigned n = 0; n < HV_ARRAY_LEN(rows); n++) {
		bench_reset(BENCH_PM32, 0);
		make_task(0x10400);
		bench_set(BENCH_TSS2 + rows[n].off, 2, rows[n].sel);
		/* In a task of its own, as SS may be bad. */
		bench_desc(SEL_FREE, BENCH_TSS2 + 0x200, 103, 0x89, 0);
		memcpy(bench.ram + BENCH_TSS2 + 0x200, bench.ram + BENCH_TSS2, 104);
		bench_set(BENCH_TSS2 + 0x200 + rows[n].off, 2,
			  rows[n].off == 96   ? 0
			  : rows[n].off == 76 ? SEL_CODE32
					      : SEL_DATA);
		bench_set(BENCH_TSS2 + 0x200 + 32, 4, BENCH_HANDLERS + 16 * 10);
		bench_idt(X86_EXC_TS, SEL_FREE, 0, 0x85, 0);
		bench_run(task_jump);
		assert_int_equal(bench_vector(), rows[n].vector);
		assert_int_equal(bench_slot(0), rows[n].error);
		assert_int_equal(bench_mem(BENCH_TSS2 + 32, 4), 0x10400);
		assert_int_equal(bench_mem(BENCH_TSS2 + 0x200, 2), SEL_TSS2);
	}
}

/* ---- interrupts ---- */

CODE(sti_hlt, 32, "sti; nop; nop; hlt");
static void test_external(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 0);
	bench.lapic_vector = 0x40;
	hv_vcpu_set_intr(bench.vm.vcpu[0], true);
	bench_run(sti_hlt);
	assert_int_equal(bench_vector(), 0x40);
	/* One instruction in STI's shadow. */
	assert_int_equal(bench_slot(0), BENCH_CODE + 2);
}

CODE(halted, 32, "hlt; nop; nop");
static void test_halt(void **state)
{
	struct hv_vcpu *v = bench.vm.vcpu[0];

	(void)state;
	bench_reset(BENCH_PM32, 0);
	bench_run(halted);
	assert_int_equal(bench.exit.reason, HV_EXIT_HLT);
	assert_int_equal(bench.s.mp_state, X86_MP_HALTED);
	/* A masked interrupt does not wake it. */
	hv_vcpu_set_intr(v, true);
	bench.vm.engine->vcpu_run(v, &bench.exit);
	while (bench.exit.reason == HV_EXIT_KICKED)
		bench.vm.engine->vcpu_run(v, &bench.exit);
	assert_int_equal(bench.exit.reason, HV_EXIT_HLT);
	bench.vm.engine->state_get(v, &bench.s);
	assert_int_equal(bench.s.rip, BENCH_CODE + 1);
	hv_vcpu_set_intr(v, false);
	/* An NMI does, and a second one waits for IRET. */
	hv_vcpu_post_nmi(v);
	do
		bench.vm.engine->vcpu_run(v, &bench.exit);
	while (bench.exit.reason == HV_EXIT_KICKED);
	bench.vm.engine->state_get(v, &bench.s);
	assert_int_equal(bench_vector(), X86_EXC_NMI);
	assert_int_equal(bench_slot(0), BENCH_CODE + 1);
	assert_int_equal(bench.s.nmi_masked, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_int_from_user),
		cmocka_unit_test(test_int_gate_privilege),
		cmocka_unit_test(test_long_frame),
		cmocka_unit_test(test_long_same_level_aligns),
		cmocka_unit_test(test_real),
		cmocka_unit_test(test_double_fault),
		cmocka_unit_test(test_benign_first),
		cmocka_unit_test(test_shutdown_without_idt),
		cmocka_unit_test(test_page_fault_pair),
		cmocka_unit_test(test_call_gate),
		cmocka_unit_test(test_call_gate64),
		cmocka_unit_test(test_gate_checks),
		cmocka_unit_test(test_gate_to_conforming),
		cmocka_unit_test(test_far_return_outer),
		cmocka_unit_test(test_iretq_user),
		cmocka_unit_test(test_iret_user_flags),
		cmocka_unit_test(test_v86),
		cmocka_unit_test(test_task_jump),
		cmocka_unit_test(test_task_call_and_return),
		cmocka_unit_test(test_task_gate_with_error),
		cmocka_unit_test(test_task_faults),
		cmocka_unit_test(test_external),
		cmocka_unit_test(test_halt),
	};

	return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}
