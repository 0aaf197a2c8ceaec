/* The soft engine by small programs: modes, faults, string restarts, paging, self-modifying code.
 */
#include "ctest.h"
#include "harness.h"

static struct box *box;

static int setup(void **state)
{
	struct err e;

	(void)state;
	box = box_create(HV_MIB(16), 1, NULL, &e);
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

#define CODE(...)                                                                                  \
	static const uint8_t code[] = { __VA_ARGS__ };                                             \
	box_load(box, BOX_CODE, code, sizeof(code))

static void test_modes(void **state)
{
	static const uint8_t inc_ax[] = { 0x40, 0xf4 }; /* inc (e)ax; hlt */
	struct x86_state s;

	(void)state;
	for (enum box_mode m = BOX_REAL16; m <= BOX_COMPAT32; m++) {
		box_load(box, BOX_CODE, inc_ax, sizeof(inc_ax));
		box_state(box, m, &s);
		s.gpr[X86_RAX] = 0xffff;
		struct box_result r = box_run(box, &s, 1);

		assert_false(r.raised);
		assert_int_equal(r.done, 1);
		bool is16 = m == BOX_REAL16 || m == BOX_PROT16;

		assert_int_equal(s.gpr[X86_RAX], is16 ? 0 : 0x10000);
		assert_int_equal(!!(s.rflags & X86_FL_ZF), is16);
		assert_int_equal(s.rip, m == BOX_REAL16 ? 1 : BOX_CODE + 1);
	}
}

/* sum of 1..n by a loop of known length: exact count, exact result. */
static void test_loop(void **state)
{
	struct x86_state s;

	(void)state;
	/* xor eax,eax; l: add rax,rcx; dec rcx; jnz l; hlt */
	CODE(0x31, 0xc0, 0x48, 0x01, 0xc8, 0x48, 0xff, 0xc9, 0x75, 0xf8, 0xf4);
	box_state(box, BOX_LONG64, &s);
	s.gpr[X86_RCX] = 1000;
	struct box_result r = box_run(box, &s, 100000);

	assert_true(r.exited);
	assert_int_equal(r.reason, HV_EXIT_HLT);
	assert_int_equal(r.done, 1 + 3 * 1000 + 1);
	assert_int_equal(s.gpr[X86_RAX], 500500);
}

static void test_fault_is_precise(void **state)
{
	struct x86_state s;

	(void)state;
	/* mov eax,1; push rax at an address that is not canonical */
	CODE(0xb8, 1, 0, 0, 0, 0x50);
	box_state(box, BOX_LONG64, &s);
	s.gpr[X86_RSP] = 0x800000000000;
	struct box_result r = box_run(box, &s, 10);

	/* rsp - 8 is canonical but beyond what is mapped: #PF; below: #SS */
	assert_true(r.raised);
	assert_int_equal(r.done, 1);
	assert_int_equal(r.vector, X86_EXC_PF);
	assert_int_equal(r.cr2, 0x7ffffffffff8);
	assert_int_equal(s.gpr[X86_RSP], 0x800000000000);
	assert_int_equal(s.rip, BOX_CODE + 5);
	box_state(box, BOX_LONG64, &s);
	s.gpr[X86_RSP] = 0x900000000000;
	r = box_run(box, &s, 10);
	assert_true(r.raised);
	assert_int_equal(r.vector, X86_EXC_SS);
}

/* rep movsb that runs into a page that is not there: everything before it is done. */
/* Flat segments end at 4 GiB: what reaches over it does not go on at 0. */
static void test_end_of_segment(void **state)
{
	static const struct {
		uint8_t code[8], len, vector; /* vector 0: runs */
	} rows[] = {
		{ { 0xa1, 0xfe, 0xff, 0xff, 0xff }, 5, X86_EXC_GP },	   /* mov eax, [-2] */
		{ { 0xa3, 0xfd, 0xff, 0xff, 0xff }, 5, X86_EXC_GP },	   /* mov [-3], eax */
		{ { 0x36, 0xa1, 0xfe, 0xff, 0xff, 0xff }, 6, X86_EXC_SS }, /* mov eax, ss:[-2] */
		{ { 0xf0, 0xff, 0x05, 0xfe, 0xff, 0xff, 0xff }, 7, X86_EXC_GP }, /* lock inc */
		{ { 0x0f, 0x10, 0x05, 0xf8, 0xff, 0xff, 0xff }, 7, X86_EXC_GP }, /* movups */
		{ { 0x0f, 0x11, 0x05, 0xf8, 0xff, 0xff, 0xff }, 7, X86_EXC_GP },
		{ { 0xad }, 1, X86_EXC_GP },			  /* lodsd */
		{ { 0xab }, 1, X86_EXC_GP },			  /* stosd */
		{ { 0xf3, 0xa5 }, 2, X86_EXC_GP },		  /* rep movsd */
		{ { 0xac }, 1, 0 },				  /* lodsb */
		{ { 0x66, 0xa1, 0xfe, 0xff, 0xff, 0xff }, 6, 0 }, /* mov ax, [-2] */
		{ { 0xa1, 0xfc, 0xff, 0xff, 0xff }, 5, 0 },	  /* mov eax, [-4] */
	};
	struct x86_state s;
	(void)state;

	for (unsigned n = 0; n < 2 * HV_ARRAY_LEN(rows); n++) {
		unsigned row = n / 2;
		box_state(box, n % 2 ? BOX_COMPAT32 : BOX_PROT32, &s);
		s.gpr[X86_RSI] = s.gpr[X86_RDI] = 0xffffffff;
		s.gpr[X86_RCX] = 1;
		box_load(box, BOX_CODE, rows[row].code, rows[row].len);
		struct box_result r = box_run(box, &s, 1);
		assert_int_equal(r.raised ? r.vector : 0, rows[row].vector);
		assert_true(!r.raised || (r.error == 0 && s.rip == BOX_CODE));
	}
}

static void test_string_restart(void **state)
{
	struct x86_state s;
	uint8_t *pd = box->host + BOX_TABLES + 0x2000, *pt = pd + 0x1000;
	uint64_t x;

	(void)state;
	CODE(0xf3, 0xa4, 0xf4);
	box_state(box, BOX_LONG64, &s);
	/* The first 2 MiB by 4 KiB pages, 0x32000 missing. */
	x = (BOX_TABLES + 0x2000) | 7;
	box_load(box, BOX_TABLES + 0x1000, &x, 8);
	x = (BOX_TABLES + 0x3000) | 7;
	memcpy(pd, &x, 8);
	for (unsigned i = 0; i < 512; i++) {
		x = i == 0x32 ? 0 : (uint64_t)i << 12 | 7;
		memcpy(pt + i * 8, &x, 8);
	}
	memset(box->host + 0x20000, 0x5a, 0x2000);
	memset(box->host + 0x31000, 0, 0x2000);
	s.gpr[X86_RSI] = 0x20000;
	s.gpr[X86_RDI] = 0x31100;
	s.gpr[X86_RCX] = 0x1000;
	struct box_result r = box_run(box, &s, 5);

	assert_true(r.raised);
	assert_int_equal(r.vector, X86_EXC_PF);
	assert_int_equal(r.cr2, 0x32000);
	assert_int_equal(r.error, X86_PF_W);
	assert_int_equal(s.gpr[X86_RCX], 0x100);
	assert_int_equal(s.gpr[X86_RSI], 0x20f00);
	assert_int_equal(s.gpr[X86_RDI], 0x32000);
	assert_int_equal(s.rip, BOX_CODE);
	assert_int_equal(box->host[0x31fff], 0x5a);
	x = 0x32000 | 7;
	memcpy(pt + 0x32 * 8, &x, 8);
	r = box_run(box, &s, 5);
	assert_false(r.raised);
	assert_true(r.exited);
	assert_int_equal(s.gpr[X86_RCX], 0);
	assert_int_equal(box->host[0x320ff], 0x5a);
	memcpy(&x, pt + 0x32 * 8, 8);
	assert_int_equal(x & 0x60, 0x60); /* A and D */
	memcpy(&x, pt + 0x20 * 8, 8);
	assert_int_equal(x & 0x60, 0x20); /* A */
}

/* Code that changes the instruction after the next: the new one is run. */
static void test_self_modifying(void **state)
{
	struct x86_state s;

	(void)state;
	/* mov byte [rip+1], 2 (the immediate below); mov eax, 1; hlt */
	CODE(0xc6, 0x05, 1, 0, 0, 0, 2, 0xb8, 1, 0, 0, 0, 0xf4);
	for (unsigned i = 0; i < 3; i++) {
		box->host[BOX_CODE + 6] = (uint8_t)(i + 5); /* also by DMA, below */
		hv_mem_written(box->vm.mem, BOX_CODE + 6, 1);
		box_state(box, BOX_LONG64, &s);
		struct box_result r = box_run(box, &s, 10);

		assert_true(r.exited);
		assert_int_equal(r.done, 3);
		assert_int_equal(s.gpr[X86_RAX], i + 5);
	}
}

/* Stores beside code do not throw the code away. */
static void test_store_beside_code(void **state)
{
	struct x86_state s;
	struct hv_engine_stats a, b;

	(void)state;
	/* l: inc dword [rip+0x200]; dec ecx; jnz l; hlt */
	CODE(0xff, 0x05, 0, 2, 0, 0, 0xff, 0xc9, 0x75, 0xf6, 0xf4);
	box_state(box, BOX_LONG64, &s);
	s.gpr[X86_RCX] = 1;
	box_run(box, &s, 10);
	hv_engine_soft.stats(box->vm.vcpu[0], &a);
	box_state(box, BOX_LONG64, &s);
	s.gpr[X86_RCX] = 1000;
	struct box_result r = box_run(box, &s, 4000);

	hv_engine_soft.stats(box->vm.vcpu[0], &b);
	assert_true(r.exited);
	assert_int_equal(r.done, 3001);
	assert_true(b.blocks_decoded - a.blocks_decoded < 10);
}

/* How often the named instruction fell back to the interpreter. */
static uint64_t fallbacks_of(const char *name)
{
	const char *s;
	uint64_t n, found = UINT64_MAX;

	for (unsigned i = 0; (s = hv_engine_soft.fallback(box->vm.vcpu[0], i, &n)) != NULL; i++)
		if (strcmp(s, name) == 0)
			found = n;
	return found;
}

/* Each instruction is counted once, and for who ran it. */
static void test_counts(void **state)
{
	struct hv_vcpu *hv = box->vm.vcpu[0];
	bool tr = soft_of(hv)->tr != NULL;
	struct hv_engine_stats a, b;
	struct x86_state s;
	struct hv_exit x;
	struct err e;

	(void)state;
	/* l: cpuid; xor ecx, ecx; dec esi; jnz l; hlt */
	CODE(0x0f, 0xa2, 0x31, 0xc9, 0xff, 0xce, 0x75, 0xf8, 0xf4);
	box_state(box, BOX_LONG64, &s);
	s.gpr[X86_RSI] = 100;
	uint64_t cpuids = tr ? fallbacks_of("cpuid") : 0;

	hv_engine_soft.stats(hv, &a);
	assert_int_equal(hv_vcpu_state_set(hv, &s, &e), 0);
	hv_engine_soft.vcpu_run(hv, &x);
	hv_engine_soft.stats(hv, &b);
	assert_int_equal(x.reason, HV_EXIT_HLT);
	assert_int_equal(b.instructions - a.instructions, 401);
	assert_int_equal(b.instructions, b.translated + b.interpreted + b.fallbacks);
	assert_true(b.decode_ns > a.decode_ns);
	if (!tr) {
		assert_int_equal(b.interpreted - a.interpreted, 401);
		assert_null(hv_engine_soft.fallback(hv, 0, &cpuids));
		return;
	}
	assert_true(b.interpreted - a.interpreted <= 4);
	assert_true(b.translated - a.translated >= 280);
	assert_int_equal(fallbacks_of("cpuid") - cpuids, 100);
	assert_true(b.fallbacks - a.fallbacks >= 100 && b.code_bytes > 0);
	assert_true(b.translate_ns > a.translate_ns && b.blocks_translated > a.blocks_translated);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_fault_is_precise),
		cmocka_unit_test(test_end_of_segment),
		cmocka_unit_test(test_string_restart),
		cmocka_unit_test(test_self_modifying),
		cmocka_unit_test(test_store_beside_code),
		cmocka_unit_test(test_counts),
	};

	return cmocka_run_group_tests_name("soft_basic", tests, setup, teardown);
}
