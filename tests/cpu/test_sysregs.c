/* Control registers, model-specific registers, system calls, ports and flags: the rules. */
#include "bench.h"

/* ---- MSRs ---- */

CODE(wr_rd, 64, "wrmsr; mov $0xaaaaaaaa, %eax; mov %eax, %edx; rdmsr; hlt");
CODE(rd, 64, "rdmsr; hlt");

static uint64_t edx_eax(void)
{
	return (bench.s.gpr[X86_RDX] << 32) | (uint32_t)bench.s.gpr[X86_RAX];
}

#define NONCANONICAL 0x800000000000ull
#define KEEPS 0 /* reads back what was written */
#define FAULTS 1
#define READS 2 /* something else */

static void test_msr_writes(void **state)
{
	static const struct {
		uint32_t msr;
		uint64_t value;
		int what;
		uint64_t back;
	} rows[] = {
		{ X86_MSR_LSTAR, 0xffff800000001234, KEEPS, 0 },
		{ X86_MSR_LSTAR, NONCANONICAL, FAULTS, 0 },
		{ X86_MSR_CSTAR, NONCANONICAL, FAULTS, 0 },
		{ X86_MSR_FS_BASE, 0x7fffffffffff, KEEPS, 0 },
		{ X86_MSR_GS_BASE, NONCANONICAL, FAULTS, 0 },
		{ X86_MSR_KERNEL_GS_BASE, NONCANONICAL, FAULTS, 0 },
		{ X86_MSR_SYSENTER_EIP, NONCANONICAL, FAULTS, 0 },
		{ X86_MSR_STAR, 0x0023001000001234, KEEPS, 0 },
		{ X86_MSR_SFMASK, 0x47700, KEEPS, 0 },
		{ X86_MSR_SFMASK, 1ull << 32, FAULTS, 0 },
		{ X86_MSR_TSC_AUX, 0xffffffff, KEEPS, 0 },
		{ X86_MSR_TSC_AUX, 1ull << 32, FAULTS, 0 },
		{ X86_MSR_EFER, 0xd01, KEEPS, 0 },     /* NXE */
		{ X86_MSR_EFER, 0x401, FAULTS, 0 },    /* LME under paging */
		{ X86_MSR_EFER, 0x1501, FAULTS, 0 },   /* SVME */
		{ X86_MSR_EFER, 0x101, READS, 0x501 }, /* LMA is read-only */
		{ X86_MSR_PAT, 0x0007010600070106, KEEPS, 0 },
		{ X86_MSR_PAT, 0x0007010600070206, FAULTS, 0 },
		{ X86_MSR_PAT, 8, FAULTS, 0 },
		{ X86_MSR_MTRR_DEF_TYPE, 0xc06, KEEPS, 0 },
		{ X86_MSR_MTRR_DEF_TYPE, 0xc02, FAULTS, 0 },
		{ X86_MSR_MTRR_DEF_TYPE, 0x1006, FAULTS, 0 },
		{ X86_MSR_MTRR_PHYSBASE0, 0xc0000006, KEEPS, 0 },
		{ X86_MSR_MTRR_PHYSBASE0, 0xc0000003, FAULTS, 0 },
		{ X86_MSR_MTRR_PHYSBASE0, 0xc0000106, FAULTS, 0 },
		{ X86_MSR_MTRR_PHYSBASE0, 1ull << 50, FAULTS, 0 },
		{ X86_MSR_MTRR_PHYSBASE0 + 15, 0xffc0000800, KEEPS, 0 },
		{ X86_MSR_MTRR_PHYSBASE0 + 15, 0x400, FAULTS, 0 },
		{ X86_MSR_MTRR_FIX64K_00000, 0x0606060606060606, KEEPS, 0 },
		{ X86_MSR_MTRR_FIX16K_80000 + 1, 0x0000000000000001, KEEPS, 0 },
		{ X86_MSR_MTRR_FIX4K_C0000 + 7, 0x0505050505050505, KEEPS, 0 },
		{ X86_MSR_MTRR_FIX4K_C0000, 0x0200000000000000, FAULTS, 0 },
		{ X86_MSR_MTRRCAP, 0, FAULTS, 0 },
		{ X86_MSR_SPEC_CTRL, 1, KEEPS, 0 },
		{ X86_MSR_SPEC_CTRL, 1u << 30, FAULTS, 0 },
		{ X86_MSR_PRED_CMD, 1, FAULTS, 0 }, /* the read does */
		{ X86_MSR_ARCH_CAPABILITIES, 0, FAULTS, 0 },
		{ X86_MSR_MCG_STATUS, 0, KEEPS, 0 },
		{ X86_MSR_MCG_STATUS, 1, FAULTS, 0 },
		{ X86_MSR_MC0_CTL, 5, READS, ~0ull },
		{ X86_MSR_MC0_CTL + 1, 1, FAULTS, 0 },
		{ X86_MSR_DEBUGCTL, 0, KEEPS, 0 },
		{ 0xc0010015, 0, READS, 1u << 24 },
		{ 0x12345678, 0, FAULTS, 0 },
	};

	(void)state;
	for (unsigned n = 0; n < HV_ARRAY_LEN(rows); n++) {
		if (rows[n].msr >> 16 == 0xc001 && !bench.model.amd)
			continue;
		bench_reset(BENCH_LONG64, 0);
		bench.s.gpr[X86_RCX] = 0xabcd00000000 | rows[n].msr; /* ECX alone counts */
		bench.s.gpr[X86_RAX] = 0xabcd00000000 | (uint32_t)rows[n].value;
		bench.s.gpr[X86_RDX] = rows[n].value >> 32;
		bench_run(wr_rd);
		if (rows[n].what == FAULTS) {
			if (bench_vector() != X86_EXC_GP)
				fail_msg("row %u: MSR %#x: vector %d", n, rows[n].msr,
					 bench_vector());
			continue;
		}
		uint64_t want = rows[n].what == KEEPS ? rows[n].value : rows[n].back;

		if (bench_vector() != -1 || edx_eax() != want || bench.s.gpr[X86_RAX] >> 32)
			fail_msg("row %u: MSR %#x: %llx, vector %d", n, rows[n].msr,
				 (unsigned long long)edx_eax(), bench_vector());
	}
	bench_reset(BENCH_LONG64, 3);
	bench_run(rd);
	assert_int_equal(bench_vector(), X86_EXC_GP);
}

CODE(tsc_write, 64,
     "mov $0x10, %ecx; mov $0x1000, %edx; xor %eax, %eax; wrmsr; mov $0x3b, %ecx; rdmsr;"
     "mov %edx, %esi; rdtsc; hlt");
static void test_tsc(void **state)
{
	(void)state;
	bench_reset(BENCH_LONG64, 0);
	bench_run(tsc_write);
	assert_int_equal(bench.exit.reason, HV_EXIT_HLT);
	assert_int_equal(bench.s.gpr[X86_RDX], 0x1000); /* the clock stands still */
	assert_true(bench.s.tsc_adjust == bench.s.tsc_offset);
	assert_int_equal(bench.s.gpr[X86_RSI], bench.s.tsc_adjust >> 32);
}

/* ---- the local APIC's page ---- */

static uint64_t moved_base;

static uint64_t moved_apic_base(void *ctx)
{
	(void)ctx;
	return moved_base;
}

static int moved_msr_write(void *ctx, uint32_t msr, uint64_t v)
{
	(void)ctx;
	moved_base = v;
	return msr == X86_MSR_APIC_BASE ? 0 : -1;
}

static uint64_t moved_mmio_read(void *ctx, uint32_t off, unsigned size)
{
	(void)ctx, (void)size;
	return 0xa000 + off;
}

CODE(move_apic, 64,
     "mov 0x200020, %ebx; mov $0x1b, %ecx; mov $0x200900, %eax; xor %edx, %edx; wrmsr;"
     "mov 0x200020, %esi; mov $0xfee00900, %eax; wrmsr; mov 0x200020, %edi; hlt");
/* Over RAM that the engine knows already, and away again. */
static void test_apic_moves(void **state)
{
	static const struct hv_lapic_ops ops = { .apic_base = moved_apic_base,
						 .msr_write = moved_msr_write,
						 .mmio_read = moved_mmio_read };
	const struct hv_lapic_ops *before = bench.vm.vcpu[0]->lapic;

	(void)state;
	moved_base = 0xfee00900;
	bench_reset(BENCH_LONG64, 0);
	bench.vm.vcpu[0]->lapic = &ops;
	bench_set(0x200020, 4, 0x1234);
	bench_run(move_apic);
	bench.vm.vcpu[0]->lapic = before;
	assert_int_equal(bench.exit.reason, HV_EXIT_HLT);
	assert_int_equal(bench.s.gpr[X86_RBX], 0x1234);
	assert_int_equal(bench.s.gpr[X86_RSI], 0xa020);
	assert_int_equal(bench.s.gpr[X86_RDI], 0x1234);
}

/* ---- control registers ---- */

CODE(set_cr0, 32, "mov %eax, %cr0; hlt");
CODE(set_cr3, 64, "mov %rax, %cr3; hlt");
CODE(set_cr4, 64, "mov %rax, %cr4; hlt");
CODE(set_cr4_32, 32, "mov %eax, %cr4; hlt");
CODE(set_cr8, 64, "mov %rax, %cr8; mov %cr8, %rbx; hlt");

static void try(enum bench_mode mode, const char *code, const char *end, uint64_t rax, bool faults)
{
	bench_reset(mode, 0);
	bench.vm.vcpu[0]->lapic = NULL;
	bench.s.gpr[X86_RAX] = rax;
	bench_run_bytes(code, end);
	if ((bench_vector() == X86_EXC_GP) != faults)
		fail_msg("%llx: vector %d", (unsigned long long)rax, bench_vector());
}

static void test_control_registers(void **state)
{
	const uint64_t cr0 = X86_CR0_PE | X86_CR0_ET;

	(void)state;
	try(BENCH_PM32, set_cr0, set_cr0_end, cr0 | X86_CR0_WP, false);
	try(BENCH_PM32, set_cr0, set_cr0_end, cr0 | X86_CR0_NW, true);
	try(BENCH_PM32, set_cr0, set_cr0_end, cr0 | X86_CR0_NW | X86_CR0_CD, false);
	try(BENCH_PM32, set_cr0, set_cr0_end, X86_CR0_PG, true);
	try(BENCH_LONG64, set_cr3, set_cr3_end, BENCH_PAGES, false);
	try(BENCH_LONG64, set_cr3, set_cr3_end, 1ull << 60 | BENCH_PAGES, true);
	try(BENCH_LONG64, set_cr3, set_cr3_end, 1ull << 63 | BENCH_PAGES, true);
	try(BENCH_LONG64, set_cr4, set_cr4_end, 0, true); /* PAE */
	try(BENCH_LONG64, set_cr4, set_cr4_end, X86_CR4_PAE | X86_CR4_PCIDE, false);
	try(BENCH_LONG64, set_cr4, set_cr4_end, X86_CR4_PAE | X86_CR4_VME, true);
	try(BENCH_LONG64, set_cr4, set_cr4_end, X86_CR4_PAE | 1u << 22, true);
	try(BENCH_LONG64, set_cr4, set_cr4_end, X86_CR4_PAE | 1ull << 32, true);
	try(BENCH_PM32, set_cr4_32, set_cr4_32_end, X86_CR4_PCIDE, true);
	try(BENCH_LONG64, set_cr8, set_cr8_end, 16, true);
	try(BENCH_LONG64, set_cr8, set_cr8_end, 15, false);
	assert_int_equal(bench.s.gpr[X86_RBX], 15);
}

/* ---- system calls ---- */

CODE(syscall_in, 64, "syscall; nop");
CODE(sysret_out, 64, "sysretq");
static void test_syscall(void **state)
{
	(void)state;
	bench_reset(BENCH_LONG64, 3);
	bench.s.star = (uint64_t)SEL_CODE64 << 32;
	bench.s.lstar = BENCH_HANDLERS + 0x90 * 16;
	bench.s.sfmask = X86_FL_IF | X86_FL_CF;
	bench.s.rflags |= X86_FL_IF | X86_FL_CF;
	bench_run(syscall_in);
	assert_int_equal(bench_vector(), 0x90);
	assert_int_equal(bench.s.gpr[X86_RCX], BENCH_CODE + 2);
	assert_int_equal(bench.s.gpr[X86_R11], X86_FL_IF | X86_FL_CF | X86_FL_FIXED);
	assert_int_equal(bench.s.rflags, X86_FL_FIXED);
	assert_int_equal(bench.s.seg[X86_CS].sel, SEL_CODE64);
	assert_int_equal(bench.s.seg[X86_SS].sel, SEL_CODE64 + 8);
	assert_int_equal(bench.s.gpr[X86_RSP], BENCH_STACK3);
	bench_reset(BENCH_LONG64, 3);
	bench.s.efer &= ~(uint64_t)X86_EFER_SCE;
	bench_run(syscall_in);
	assert_int_equal(bench_vector(), X86_EXC_UD);
}

static void test_sysret(void **state)
{
	(void)state;
	bench_reset(BENCH_LONG64, 0);
	bench_set(0x10400, 1, 0xf4); /* HLT: #GP at CPL 3 */
	bench.s.star = (uint64_t)(SEL_UCODE64 - 16) << 48;
	bench.s.gpr[X86_RCX] = 0x10400;
	bench.s.gpr[X86_R11] = X86_FL_CF | X86_FL_RF;
	bench.s.gpr[X86_RSP] = BENCH_STACK3;
	bench_run(sysret_out);
	assert_int_equal(bench_vector(), X86_EXC_GP);
	assert_int_equal(bench_slot(1), 0x10400);
	assert_int_equal(bench_slot(2), SEL_UCODE64);
	assert_int_equal(bench_slot(3), X86_FL_CF | X86_FL_RF | X86_FL_FIXED);
	assert_int_equal(bench_slot(5), SEL_UDATA);
	bench_reset(BENCH_LONG64, 3);
	bench_run(sysret_out);
	assert_int_equal(bench_vector(), X86_EXC_GP);
}

CODE(sysenter_in, 32, "sysenter");
CODE(sysexit_out, 32, "mov $0x10400, %edx; mov $0x30000, %ecx; sysexit");
static void test_sysenter(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 3);
	bench.s.sysenter_cs = SEL_CODE32;
	bench.s.sysenter_esp = BENCH_STACK0 - 64;
	bench.s.sysenter_eip = BENCH_HANDLERS + 0x91 * 16;
	bench_run(sysenter_in);
	assert_int_equal(bench_vector(), 0x91);
	assert_int_equal(bench.s.gpr[X86_RSP], BENCH_STACK0 - 64);
	assert_int_equal(bench.s.cpl, 0);
	bench_reset(BENCH_PM32, 3);
	bench_run(sysenter_in); /* no selector */
	assert_int_equal(bench_vector(), X86_EXC_GP);
	bench_reset(BENCH_PM32, 0);
	bench_set(0x10400, 1, 0xf4);
	bench.s.sysenter_cs = 0x100;
	bench_run(sysexit_out);
	assert_int_equal(bench_vector(), X86_EXC_GP);
	assert_int_equal(bench_slot(1), 0x10400);
	assert_int_equal(bench_slot(2), 0x113);
	assert_int_equal(bench_slot(5), 0x11b);
}

/* ---- ports and flags ---- */

CODE(in_wide, 32, "in $0x60, %eax; hlt");
static void test_ports(void **state)
{
	static const struct {
		unsigned iopl, limit, map, bits;
		bool faults;
	} rows[] = {
		{ 3, 103, 103, 0, false },
		{ 0, 0x7ff, 0x100, 0, false },
		{ 0, 0x7ff, 0x100, 1u << 3, true }, /* the last of four ports */
		{ 0, 0x7ff, 0x100, 1u << 4, false },
		{ 0, 0x10c, 0x100, 0, true }, /* the byte after lies outside */
		{ 0, 0x10d, 0x100, 0, false },
		{ 0, 103, 104, 0, true },
	};

	(void)state;
	for (unsigned n = 0; n < HV_ARRAY_LEN(rows); n++) {
		bench_reset(BENCH_PM32, 3);
		bench.s.rflags |= rows[n].iopl << 12;
		bench.s.seg[X86_TR].limit = rows[n].limit;
		bench_set(BENCH_TSS + 102, 2, rows[n].map);
		bench_set(BENCH_TSS + rows[n].map + 0x60 / 8, 1, rows[n].bits);
		bench_run(in_wide);
		assert_int_equal(bench_vector(), X86_EXC_GP); /* by HLT, if not by IN */
		assert_int_equal(bench_slot(1), BENCH_CODE + (rows[n].faults ? 0 : 2));
	}
}

CODE(popf_user, 32, "pushl $0x3202; popf; pushf; pop %eax; ud2");
CODE(cli_user, 32, "cli");
static void test_flags(void **state)
{
	(void)state;
	bench_reset(BENCH_PM32, 3);
	bench_run(popf_user);
	assert_int_equal(bench_vector(), X86_EXC_UD);
	assert_int_equal(bench.s.gpr[X86_RAX], X86_FL_FIXED);
	bench_reset(BENCH_PM32, 3);
	bench_run(cli_user);
	assert_int_equal(bench_vector(), X86_EXC_GP);
	bench_reset(BENCH_PM32, 3);
	bench.s.rflags |= X86_FL_IOPL;
	bench_run(popf_user);
	assert_int_equal(bench.s.gpr[X86_RAX], 0x3202);
}

CODE(sgdt_user, 64, "sgdt 0x18000; ud2");
static void test_umip(void **state)
{
	(void)state;
	for (unsigned on = 0; on < 2; on++) {
		bench_reset(BENCH_LONG64, 3);
		bench.s.cr4 |= on ? X86_CR4_UMIP : 0;
		bench_run(sgdt_user);
		assert_int_equal(bench_vector(), on ? X86_EXC_GP : X86_EXC_UD);
		if (!on)
			assert_int_equal(bench_mem(BENCH_DATA + 2, 8), BENCH_GDT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_msr_writes), cmocka_unit_test(test_tsc),
		cmocka_unit_test(test_apic_moves), cmocka_unit_test(test_control_registers),
		cmocka_unit_test(test_syscall),	   cmocka_unit_test(test_sysret),
		cmocka_unit_test(test_sysenter),   cmocka_unit_test(test_ports),
		cmocka_unit_test(test_flags),	   cmocka_unit_test(test_umip),
	};

	return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}
