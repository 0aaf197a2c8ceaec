/* hv-core/cpu/model: what the CPU models promise is consistent, and nothing hidden shows. */
#include "ctest.h"
#include "cpu/model.h"
#include "cpu/x86_defs.h"

struct regs {
	uint32_t a, b, c, d;
};

static struct regs cpuid(const struct cpu_model *m, uint32_t apic_id, uint32_t leaf, uint32_t sub)
{
	uint32_t r[4];

	cpu_model_cpuid(m, apic_id, 0, 1, 1, true, leaf, sub, r);
	return (struct regs){ r[0], r[1], r[2], r[3] };
}

/* Runs fn on every model that this host can have, with 1, 2, 3 and 64 CPUs. */
static void each_model(void (*fn)(const struct cpu_model *m, unsigned n))
{
	static const unsigned counts[] = { 1, 2, 3, 64 };
	unsigned tried = 0;
	struct err e;

	for (unsigned i = 0; cpu_model_name(i) != NULL; i++) {
		for (size_t k = 0; k < HV_ARRAY_LEN(counts); k++) {
			struct cpu_model m;
			int r = cpu_model_get(cpu_model_name(i), counts[k], &m, &e);
			if (r == -ENOTSUP)
				continue;
			assert_ok(r, &e);
			assert_string_equal(m.name, cpu_model_name(i));
			fn(&m, counts[k]);
			tried++;
		}
	}
	assert_true(tried >= HV_ARRAY_LEN(counts)); /* "host" always is */
}

static void test_names(void **state)
{
	struct cpu_model m = { .name = "untouched" };
	struct err e;
	(void)state;

	assert_int_equal(cpu_model_get("486", 1, &m, &e), -EINVAL);
	assert_string_equal(e.msg, "no CPU model '486'; there are x86-64-v2, x86-64-v3 and host");
	assert_int_equal(cpu_model_get("host", 0, &m, &e), -EINVAL);
	assert_int_equal(cpu_model_get("host", 256, &m, &e), -EINVAL);
	assert_string_equal(m.name, "untouched");
}

/* Bits that may never show (soft-engine.md 4): leaf, subleaf, masks of eax, ebx, ecx, edx. */
static const struct {
	uint32_t leaf, sub, a, b, c, d;
	const char *why;
} hidden[] = {
	{ 1, 0, 0, 0, 1u << 3, 0, "MONITOR" },
	{ 1, 0, 0, 0, 1u << 5 | 1u << 6, 0, "VMX, SMX" },
	{ 1, 0, 0, 0, 1u << 15, 1u << 21 | 1u << 22 | 1u << 29, "PDCM, DS, ACPI, TM" },
	{ 5, 0, ~0u, ~0u, ~0u, ~0u, "MWAIT" },
	{ 6, 0, ~4u, ~0u, ~0u, ~0u, "APERF and MPERF, all but ARAT" },
	{ 7, 0, 0, 1u << 2 | 1u << 4 | 1u << 11 | 1u << 12 | 1u << 14 | 1u << 15, 0, 0,
	  "SGX, TSX, RDT, MPX" },
	{ 7, 0, 0, 1u << 16 | 1u << 17 | 1u << 21 | 7u << 26 | 3u << 30 | 1u << 25, 0, 0,
	  "AVX-512, PT" },
	{ 7, 0, 0, 0, 1u << 1 | 3u << 3 | 3u << 5 | 1u << 7 | 3u << 11 | 1u << 14 | 1u << 16, 0,
	  "AVX-512, PKU, WAITPKG, CET, LA57" },
	{ 7, 0, 0, 0, 7u << 27 | 1u << 30 | 1u << 31 | 1u << 23, 0,
	  "MOVDIRI, ENQCMD, SGX_LC, PKS, KL" },
	{ 7, 0, 0, 0, 0, 1u << 5 | 1u << 8 | 1u << 11 | 1u << 18 | 1u << 20,
	  "UINTR, TSX, PCONFIG, CET" },
	{ 7, 0, 0, 0, 0, 7u << 22 | 1u << 2 | 1u << 3, "AMX, AVX-512" },
	{ 7, 1, ~0u, ~0u, ~0u, ~0u, "LAM, FRED, AVX10" },
	{ 0xa, 0, ~0u, ~0u, ~0u, ~0u, "PMU" },
	{ 0xd, 0, ~7u, 0, 0, ~0u, "more than x87, SSE, AVX" },
	{ 0xd, 1, 1u << 3 | 1u << 4, 0, ~0u, ~0u, "XSAVES" },
	{ 0xd, 9, ~0u, ~0u, ~0u, ~0u, "PKU's state" },
	{ 0x14, 0, ~0u, ~0u, ~0u, ~0u, "PT" },
	{ 0x80000001, 0, 0, 0, 1u << 2 | 1u << 10 | 1u << 11 | 1u << 16, 3u << 30,
	  "SVM, IBS, XOP, FMA4, 3DNow" },
	{ 0x80000008, 0, 0, 1u << 4, 0, 0, "RDPRU" },
	{ 0x8000000a, 0, ~0u, ~0u, ~0u, ~0u, "SVM" },
};

static void check_hidden(const struct cpu_model *m, unsigned n)
{
	(void)n;
	for (size_t i = 0; i < HV_ARRAY_LEN(hidden); i++) {
		struct regs r = cpuid(m, 0, hidden[i].leaf, hidden[i].sub);
		if ((r.a & hidden[i].a) | (r.b & hidden[i].b) | (r.c & hidden[i].c) |
		    (r.d & hidden[i].d))
			fail_msg("%s shows %s", m->name, hidden[i].why);
	}
}

static void test_hidden(void **state)
{
	(void)state;
	each_model(check_hidden);
}

/* The decoder's feature set and the leaves say the same, for a sample of each register. */
static void check_features(const struct cpu_model *m, unsigned n)
{
	struct regs l1 = cpuid(m, 0, 1, 0), l7 = cpuid(m, 0, 7, 0), x1 = cpuid(m, 0, 0x80000001, 0);
	struct regs d0 = cpuid(m, 0, 0xd, 0), d1 = cpuid(m, 0, 0xd, 1);
	(void)n;

	assert_true(cpu_model_has(m, CPU_F_SSE42) && (l1.c >> 20 & 1));
	assert_true(cpu_model_has(m, CPU_F_LM) && (x1.d >> 29 & 1));
	assert_int_equal(cpu_model_has(m, CPU_F_AVX), l1.c >> 28 & 1);
	assert_int_equal(cpu_model_has(m, CPU_F_AVX2), l7.b >> 5 & 1);
	assert_int_equal(cpu_model_has(m, CPU_F_VAES), l7.c >> 9 & 1);
	assert_int_equal(cpu_model_has(m, CPU_F_FSRM), l7.d >> 4 & 1);
	assert_int_equal(cpu_model_has(m, CPU_F_LZCNT), x1.c >> 5 & 1);
	assert_int_equal(cpu_model_has(m, CPU_F_XSAVE), l1.c >> 26 & 1);
	assert_int_equal(cpu_model_has(m, CPU_F_XSAVEOPT), d1.a & 1);
	assert_false(cpu_model_has(m, CPU_F_MONITOR) || cpu_model_has(m, CPU_F_3DNOW));
	assert_true(m->xcr0_mask == d0.a);
	assert_int_equal(m->xcr0_mask >> 2 & 1, cpu_model_has(m, CPU_F_AVX));
	assert_true(d0.c == (m->xcr0_mask == 7 ? 832 : m->xcr0_mask == 3 ? 576 : 0));
	if (cpu_model_has(m, CPU_F_AVX2) || cpu_model_has(m, CPU_F_FMA))
		assert_true(cpu_model_has(m, CPU_F_AVX) && cpu_model_has(m, CPU_F_XSAVE));
	assert_true(l1.c >> 31); /* a hypervisor is there */
	if (strcmp(m->name, "x86-64-v2") == 0)
		assert_false(cpu_model_has(m, CPU_F_AVX) || cpu_model_has(m, CPU_F_XSAVE));
	if (strcmp(m->name, "x86-64-v3") == 0) {
		assert_true(cpu_model_has(m, CPU_F_BMI2) && cpu_model_has(m, CPU_F_MOVBE));
		assert_true(cpu_model_has(m, CPU_F_FMA) && cpu_model_has(m, CPU_F_F16C));
		assert_false(cpu_model_has(m, CPU_F_SHA) || cpu_model_has(m, CPU_F_VAES));
	}
}

static void test_features(void **state)
{
	(void)state;
	each_model(check_features);
}

/* Leaves 1, 4 or 0x8000001d, 0xb, 0x1f, 0x80000008, 0x8000001e tell one story: n cores, one thread
 * each, one package. */
static void check_topology(const struct cpu_model *m, unsigned n)
{
	unsigned bits = 0;

	while (1u << bits < n)
		bits++;
	for (uint32_t id = 0; id < n; id++) {
		struct regs l1 = cpuid(m, id, 1, 0);
		assert_int_equal(l1.b >> 24, id);
		assert_int_equal(l1.b >> 16 & 0xff, 1u << bits);
		assert_int_equal(l1.d >> 28 & 1, n > 1);
		for (uint32_t leaf = 0xb; leaf <= 0x1f; leaf += 0x14) {
			struct regs smt = cpuid(m, id, leaf, 0), core = cpuid(m, id, leaf, 1);
			struct regs end = cpuid(m, id, leaf, 2);
			assert_true(smt.a == 0 && smt.b == 1 && smt.c == 0x100 && smt.d == id);
			assert_true(core.a == bits && core.b == n && core.c == 0x201 &&
				    core.d == id);
			assert_true(end.a == 0 && end.b == 0 && end.c == 2 && end.d == id);
		}
	}
	uint32_t leaf = m->amd ? 0x8000001d : 4;
	for (uint32_t i = 0; i < 4; i++) {
		struct regs c = cpuid(m, 0, leaf, i);
		assert_true((c.a & 0x1f) != 0);
		assert_int_equal(c.a >> 14 & 0xfff, i == 3 ? (1u << bits) - 1 : 0);
		if (!m->amd)
			assert_int_equal(c.a >> 26, (1u << bits) - 1);
	}
	assert_int_equal(cpuid(m, 0, leaf, 4).a & 0x1f, 0);
	if (m->amd) {
		assert_int_equal(cpuid(m, 0, 0x80000008, 0).c & 0xff, n - 1);
		assert_int_equal(cpuid(m, 0, 0x80000008, 0).c >> 12, bits);
		assert_int_equal(cpuid(m, n - 1, 0x8000001e, 0).a, n - 1);
		assert_int_equal(cpuid(m, n - 1, 0x8000001e, 0).b, n - 1);
	}
}

static void test_topology(void **state)
{
	(void)state;
	each_model(check_topology);
}

static void check_clocks(const struct cpu_model *m, unsigned n)
{
	struct regs tsc = cpuid(m, 0, 0x15, 0), hv = cpuid(m, 0, 0x40000000, 0);
	char name[13] = "";
	(void)n;

	assert_true(m->tsc_hz > 0 && (uint64_t)tsc.c * tsc.b / tsc.a == m->tsc_hz);
	memcpy(name, &hv.b, 12);
	assert_string_equal(name, "KVMKVMKVM");
	assert_true(hv.a == 0x40000010);
	assert_int_equal(cpuid(m, 0, 0x40000001, 0).a & 0x01000009, 0x01000009);
	assert_true((uint64_t)cpuid(m, 0, 0x40000010, 0).a * 1000 == m->tsc_hz);
	assert_int_equal(cpuid(m, 0, 0x80000007, 0).d, 0x100);
	assert_true(cpuid(m, 0, 0, 0).a == 0x1f && cpuid(m, 0, 0x80000000, 0).a >= 0x80000008);
	assert_int_equal(cpuid(m, 0, 0x80000008, 0).a & 0xffff, m->phys_bits | m->virt_bits << 8);
	assert_true(m->phys_bits >= 36 && m->phys_bits <= 52 && m->virt_bits == 48);
	assert_int_equal(cpuid(m, 0, 0x12345678, 0).a, 0);
	assert_int_equal(cpuid(m, 0, 0x40000002, 0).a, 0);
}

static void test_clocks(void **state)
{
	(void)state;
	each_model(check_clocks);
}

/* Nothing that makes a guest defend itself. */
static void check_mitigations(const struct cpu_model *m, unsigned n)
{
	uint32_t sig = cpuid(m, 0, 1, 0).a;
	uint32_t family = (sig >> 8 & 15) == 15 ? 15 + (sig >> 20 & 0xff) : sig >> 8 & 15;
	(void)n;

	assert_true(cpuid(m, 0, 7, 0).d >> 29 & 1);
	assert_int_equal(m->arch_capabilities & 0x0d10f17b, 0x0d10e17b);
	if (m->amd) {
		assert_true(family > 0x1a);
		assert_int_equal(cpuid(m, 0, 0x80000008, 0).b & 0x24005000, 0x24005000);
		assert_int_equal(cpuid(m, 0, 0x80000021, 0).a & 0x60000004, 0x60000004);
	} else {
		assert_true(family == 6 && ((sig >> 4 & 15) | (sig >> 12 & 0xf0)) == 0x8f);
		assert_true(cpuid(m, 0, 7, 0).d >> 26 & 1);
		assert_true(cpuid(m, 0, 7, 0).a >= 2 && (cpuid(m, 0, 7, 2).d >> 4 & 1));
		assert_true(m->spec_ctrl_mask >> 10 & 1);
	}
	assert_true(m->spec_ctrl_mask & 1);
}

static void test_mitigations(void **state)
{
	(void)state;
	each_model(check_mitigations);
}

static void test_dynamic(void **state)
{
	struct cpu_model m;
	struct err e;
	uint32_t r[4];
	(void)state;

	assert_ok(cpu_model_get("host", 2, &m, &e), &e);
	cpu_model_cpuid(&m, 0, 0, 1, 1, false, 1, 0, r);
	assert_true(!(r[2] >> 27 & 1) && !(r[3] >> 9 & 1));
	cpu_model_cpuid(&m, 0, X86_CR4_OSXSAVE, 1, 1, true, 1, 0, r);
	assert_true((r[2] >> 27 & 1) && (r[3] >> 9 & 1));
	if (m.xcr0_mask == 7) {
		cpu_model_cpuid(&m, 0, 0, 3, 1, true, 0xd, 0, r);
		assert_true(r[1] == 576 && r[2] == 832);
		cpu_model_cpuid(&m, 0, 0, 7, 1, true, 0xd, 0, r);
		assert_true(r[1] == 832 && r[2] == 832);
	}
	m.amd = false;
	cpu_model_cpuid(&m, 0, 0, 1, 1ull << 22 | 1ull << 34, true, 0, 0, r);
	assert_int_equal(r[0], 2);
	cpu_model_cpuid(&m, 0, 0, 1, 1ull << 22 | 1ull << 34, true, 0x80000001, 0, r);
	assert_false(r[3] >> 20 & 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),	 cmocka_unit_test(test_hidden),
		cmocka_unit_test(test_features), cmocka_unit_test(test_topology),
		cmocka_unit_test(test_clocks),	 cmocka_unit_test(test_mitigations),
		cmocka_unit_test(test_dynamic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
