/* hv-core/engine/soft/isa: what the CPU model and the control registers let the guest run. */
#include "ctest.h"
#include <stdlib.h>
#include "engine/soft/decode.h"

static struct cpu_model v2, v3;
static struct hv_vm machine;
static struct soft_vm vm = { .hv = &machine };
static struct soft_vcpu *v;

static int setup(void **state)
{
	struct err e;

	(void)state;
	assert_ok(cpu_model_get("x86-64-v2", 1, &v2, &e), &e);
	assert_ok(cpu_model_get("x86-64-v3", 1, &v3, &e), &e);
	v = calloc(1, sizeof(*v));
	assert_non_null(v);
	v->vm = &vm;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(v);
	return 0;
}

struct row {
	const char *what;
	uint8_t bytes[8];
	int v2, v3; /* vectors; -1: runs */
};

static int check(const uint8_t *bytes)
{
	struct decoded d = { .v = v };
	ZydisDecoder dec;

	memcpy(d.bytes, bytes, 8);
	ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	assert_true(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, d.bytes, 15, &d.z, d.op)));
	return soft_isa_check(v, &d);
}

static void all_on(void)
{
	v->s.cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_NE;
	v->s.cr4 = X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE;
	v->s.xcr0 = 7;
	v->s.rflags = X86_FL_FIXED;
}

#define NO X86_EXC_UD
static void by_model(void **state)
{
	static const struct row rows[] = {
		{ "add", { 0x01, 0xc0 }, -1, -1 },
		{ "cmpxchg16b", { 0x48, 0x0f, 0xc7, 0x08 }, -1, -1 },
		{ "pshufb", { 0x66, 0x0f, 0x38, 0x00, 0xc1 }, -1, -1 },
		{ "crc32", { 0xf2, 0x0f, 0x38, 0xf0, 0xc1 }, -1, -1 },
		{ "popcnt", { 0xf3, 0x0f, 0xb8, 0xc1 }, -1, -1 },
		{ "andn", { 0xc4, 0xe2, 0x60, 0xf2, 0xc1 }, NO, -1 },
		{ "mulx", { 0xc4, 0xe2, 0x63, 0xf6, 0xc1 }, NO, -1 },
		{ "movbe", { 0x0f, 0x38, 0xf0, 0x00 }, NO, -1 },
		{ "vaddps", { 0xc5, 0xf4, 0x58, 0xc2 }, NO, -1 },
		{ "vpaddd ymm", { 0xc5, 0xf5, 0xfe, 0xc2 }, NO, -1 },
		{ "vfmadd132ps", { 0xc4, 0xe2, 0x71, 0x98, 0xc2 }, NO, -1 },
		{ "vcvtph2ps", { 0xc4, 0xe2, 0x79, 0x13, 0xc1 }, NO, -1 },
		/* never, whatever the host can do */
		{ "vaddps zmm", { 0x62, 0xf1, 0x74, 0x48, 0x58, 0xc2 }, NO, NO },
		{ "kmovw", { 0xc5, 0xf8, 0x90, 0xc1 }, NO, NO },
		{ "vmcall", { 0x0f, 0x01, 0xc1 }, NO, NO },
		{ "vmmcall", { 0x0f, 0x01, 0xd9 }, NO, NO },
		{ "xsaves", { 0x0f, 0xc7, 0x28 }, NO, NO },
		{ "xbegin", { 0xc7, 0xf8, 0, 0, 0, 0 }, NO, NO },
		{ "rdpkru", { 0x0f, 0x01, 0xee }, NO, NO },
		{ "pfadd", { 0x0f, 0x0f, 0xc1, 0x9e }, NO, NO },
		{ "movdiri", { 0x0f, 0x38, 0xf9, 0x00 }, NO, NO },
		/* hints, which are no-ops where they mean nothing */
		{ "endbr64", { 0xf3, 0x0f, 0x1e, 0xfa }, -1, -1 },
		{ "prefetchw", { 0x0f, 0x0d, 0x08 }, -1, -1 },
	};

	(void)state;
	all_on();
	for (unsigned k = 0; k < HV_ARRAY_LEN(rows); k++) {
		machine.model = &v2;
		if (check(rows[k].bytes) != rows[k].v2)
			fail_msg("%s with x86-64-v2: %d", rows[k].what, check(rows[k].bytes));
		machine.model = &v3;
		if (check(rows[k].bytes) != rows[k].v3)
			fail_msg("%s with x86-64-v3: %d", rows[k].what, check(rows[k].bytes));
	}
}

static void by_control_registers(void **state)
{
	static const uint8_t fld1[8] = { 0xd9, 0xe8 }, fwait[8] = { 0x9b };
	static const uint8_t paddb[8] = { 0x0f, 0xfc, 0xc1 }, addps[8] = { 0x0f, 0x58, 0xc1 };
	static const uint8_t vaddps[8] = { 0xc5, 0xf4, 0x58, 0xc2 },
			     xsave[8] = { 0x0f, 0xae, 0x20 };
	static const uint8_t andn[8] = { 0xc4, 0xe2, 0x60, 0xf2, 0xc1 };
	static const uint8_t fxsave[8] = { 0x0f, 0xae, 0x00 }, stmxcsr[8] = { 0x0f, 0xae, 0x18 };

	(void)state;
	machine.model = &v3;
	all_on();
	v->s.cr0 |= X86_CR0_TS;
	assert_int_equal(check(fld1), X86_EXC_NM);
	assert_int_equal(check(fwait), X86_EXC_NM);
	assert_int_equal(check(paddb), X86_EXC_NM);
	assert_int_equal(check(addps), X86_EXC_NM);
	assert_int_equal(check(vaddps), X86_EXC_NM);
	assert_int_equal(check(xsave), X86_EXC_NM);
	assert_int_equal(check(fxsave), X86_EXC_NM);
	assert_int_equal(check(andn), -1);
	v->s.cr0 &= ~(uint64_t)X86_CR0_MP;
	assert_int_equal(check(fwait), -1);
	all_on();
	v->s.cr0 |= X86_CR0_EM;
	assert_int_equal(check(fld1), X86_EXC_NM);
	assert_int_equal(check(fxsave), X86_EXC_NM);
	assert_int_equal(check(paddb), X86_EXC_UD);
	assert_int_equal(check(addps), X86_EXC_UD);
	assert_int_equal(check(vaddps), -1);
	all_on();
	v->s.cr4 &= ~(uint64_t)X86_CR4_OSFXSR;
	assert_int_equal(check(addps), X86_EXC_UD);
	assert_int_equal(check(stmxcsr), X86_EXC_UD);
	assert_int_equal(check(paddb), -1);
	all_on();
	v->s.cr4 &= ~(uint64_t)X86_CR4_OSXSAVE;
	assert_int_equal(check(vaddps), X86_EXC_UD);
	assert_int_equal(check(xsave), X86_EXC_UD);
	all_on();
	v->s.xcr0 = 3;
	assert_int_equal(check(vaddps), X86_EXC_UD);
	all_on();
	v->s.cr0 = 0;
	assert_int_equal(check(andn), X86_EXC_UD);
	assert_int_equal(check(vaddps), X86_EXC_UD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_model),
		cmocka_unit_test(by_control_registers),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
