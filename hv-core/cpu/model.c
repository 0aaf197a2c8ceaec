/*
 * CPU models: the table of CPUID leaves, made once from the host's vendor and the model's features,
 * and what changes in it while the guest runs.
 *
 * Family and model are those of no CPU on the lists of speculation bugs, and the capability bits
 * say "not affected": a guest that patches itself with retpolines and splits its page tables would
 * destroy every cache that an engine has, and be no safer for it (docs/threat-model.md).
 */
#include "cpu/model.h"
#include <cpuid.h>
#include <stdio.h>
#include "base/util.h"
#include "clock/clock.h"
#include "cpu/model_int.h"
#include "cpu/x86_defs.h"

#define INTEL_SIGNATURE 0x000806f8u /* family 6, model 0x8f */
#define AMD_SIGNATURE 0x00c00f10u   /* family 0x1b, model 1 */
#define MAX_BASIC 0x1f
#define MAX_EXT_INTEL 0x80000008u
#define MAX_EXT_AMD 0x80000021u
#define MAX_HV 0x40000010u
#define XSAVE_LEGACY_BYTES 576 /* x87, SSE and the header */
#define XSAVE_AVX_BYTES 256
#define MISC_LIMIT_CPUID (1ull << 22)
#define MISC_XD_DISABLE (1ull << 34)

/* RDCL_NO, IBRS_ALL, SKIP_L1DFL, SSB_NO, MDS_NO, PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO,
 * PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO, ITS_NO */
#define ARCH_CAPABILITIES                                                                          \
	(1ull << 0 | 1ull << 1 | 1ull << 3 | 1ull << 4 | 1ull << 5 | 1ull << 6 | 1ull << 8 |       \
	 1ull << 13 | 1ull << 14 | 1ull << 15 | 1ull << 20 | 1ull << 24 | 1ull << 26 |             \
	 1ull << 27 | 1ull << 62)

static const struct {
	const char *name;
	uint8_t flag;
} models[] = { { "x86-64-v2", FF_V2 }, { "x86-64-v3", FF_V3 }, { "host", FF_HOST } };

const char *cpu_model_name(unsigned i)
{
	return i < HV_ARRAY_LEN(models) ? models[i].name : NULL;
}

/* ---- the host ---- */

struct host_cpu {
	char vendor[13];
	bool amd;
	uint32_t word[W_COUNT];
	uint32_t phys_bits;
	char brand[49];
};

static bool avx_usable(uint32_t leaf1_ecx)
{
	uint32_t lo, hi;

	if (!(leaf1_ecx & 1u << 27)) /* OSXSAVE */
		return false;
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (lo & 6) == 6;
}

/* What the kernel did not enable cannot be used, whatever the leaves say. */
static void drop_avx(uint32_t *w)
{
	for (const struct feature_row *r = cpu_feature_rows; r->name != NULL; r++) {
		switch (r->feature) {
		case CPU_F_XSAVE:
		case CPU_F_XSAVEOPT:
		case CPU_F_XSAVEC:
		case CPU_F_XGETBV1:
		case CPU_F_AVX:
		case CPU_F_AVX2:
		case CPU_F_F16C:
		case CPU_F_FMA:
		case CPU_F_VAES:
		case CPU_F_VPCLMUL:
			w[r->word] &= ~(1u << r->bit);
			break;
		default:
			break;
		}
	}
}

static void look_at_host(struct host_cpu *h)
{
	uint32_t a, b, c, d, r[12] = { 0 };
	uint32_t *w = h->word;

	memset(h, 0, sizeof(*h));
	__cpuid(0, a, b, c, d);
	memcpy(h->vendor, &b, 4);
	memcpy(h->vendor + 4, &d, 4);
	memcpy(h->vendor + 8, &c, 4);
	h->amd = strcmp(h->vendor, "AuthenticAMD") == 0 || strcmp(h->vendor, "HygonGenuine") == 0;
	__cpuid(1, a, b, w[W_1_ECX], w[W_1_EDX]);
	__get_cpuid_count(7, 0, &a, &w[W_7_EBX], &w[W_7_ECX], &w[W_7_EDX]);
	__get_cpuid_count(0xd, 1, &w[W_D1_EAX], &b, &c, &d);
	__get_cpuid(0x80000001, &a, &b, &w[W_X1_ECX], &w[W_X1_EDX]);
	h->phys_bits = __get_cpuid(0x80000008, &a, &b, &c, &d) ? a & 0xff : 36;
	for (unsigned i = 0; i < 3; i++)
		__get_cpuid(0x80000002 + i, &r[i * 4], &r[i * 4 + 1], &r[i * 4 + 2], &r[i * 4 + 3]);
	memcpy(h->brand, r, sizeof(r));
	if (!avx_usable(w[W_1_ECX]))
		drop_avx(w);
}

/* ---- features ---- */

static bool host_has(const struct host_cpu *h, const struct feature_row *r)
{
	return h->word[r->word] >> r->bit & 1;
}

static bool is_random(enum cpu_feature f)
{
	return f == CPU_F_RDRAND || f == CPU_F_RDSEED;
}

static int choose_features(struct cpu_model *m, uint8_t flag, bool repeatable,
			   const struct host_cpu *h, uint32_t word[W_COUNT], struct err *e)
{
	memcpy(word, cpu_constant_bits, sizeof(cpu_constant_bits));
	for (const struct feature_row *r = cpu_feature_rows; r->name != NULL; r++) {
		bool can = (r->flags & FF_EMULATED) || host_has(h, r);
		if (!(r->flags & flag) || ((r->flags & FF_AMD) && !h->amd) ||
		    (repeatable && is_random(r->feature)))
			continue;
		if (!can && flag == FF_HOST)
			continue;
		if (!can)
			return err_set(e, -ENOTSUP,
				       "CPU model %s needs %s, which this computer lacks", m->name,
				       r->name);
		m->features[r->feature / 64] |= 1ull << (r->feature % 64);
		word[r->word] |= 1u << r->bit;
	}
	if (!cpu_model_has(m, CPU_F_XSAVE)) /* emulated, but of no use alone */
		for (const struct feature_row *r = cpu_feature_rows; r->name != NULL; r++)
			if (r->word == W_D1_EAX) {
				m->features[r->feature / 64] &= ~(1ull << (r->feature % 64));
				word[W_D1_EAX] &= ~(1u << r->bit);
			}
	m->xcr0_mask = !cpu_model_has(m, CPU_F_XSAVE) ? 0 : cpu_model_has(m, CPU_F_AVX) ? 7 : 3;
	return 0;
}

/* ---- leaves ---- */

static void add(struct cpu_model *m, uint32_t leaf, int subleaf, const uint32_t r[4])
{
	assert(m->n_leaves < CPU_MODEL_MAX_LEAVES);
	m->leaves[m->n_leaves++] = (struct cpu_leaf){
		.leaf = leaf,
		.subleaf = subleaf < 0 ? 0 : (uint32_t)subleaf,
		.any_subleaf = subleaf < 0,
		.eax = r[0],
		.ebx = r[1],
		.ecx = r[2],
		.edx = r[3],
	};
}

#define LEAF(m, leaf, ...) add(m, leaf, -1, (const uint32_t[4]){ __VA_ARGS__ })
#define SUBLEAF(m, leaf, sub, ...) add(m, leaf, sub, (const uint32_t[4]){ __VA_ARGS__ })

static uint32_t word_at(const char *s)
{
	uint32_t v;

	memcpy(&v, s, sizeof(v));
	return v;
}

/* Bits that hold the numbers 0 to n - 1. */
static unsigned id_bits(unsigned n)
{
	unsigned bits = 0;

	while (1u << bits < n)
		bits++;
	return bits;
}

struct build {
	struct cpu_model *m;
	const struct host_cpu *h;
	const uint32_t *word;
	unsigned n_cpus;
	uint32_t signature;
};

static void add_basic(const struct build *b)
{
	const char *v = b->h->vendor;
	uint32_t edx = b->word[W_1_EDX], ebx7 = b->word[W_7_EBX], edx7 = b->word[W_7_EDX];
	uint32_t logical = 1u << id_bits(b->n_cpus);

	if (b->n_cpus > 1)
		edx |= 1u << 28; /* HTT: more than one logical CPU in the package */
	if (!b->m->amd)
		edx7 |= 1u << 26 | 1u << 28; /* IBRS and IBPB, L1D_FLUSH */
	/* How the x87 reports pointers is the host's: 6 FDP_EXCPTN_ONLY, 13 no FCS and FDS. */
	ebx7 |= b->h->word[W_7_EBX] & (1u << 6 | 1u << 13);
	LEAF(b->m, 0, MAX_BASIC, word_at(v), word_at(v + 8), word_at(v + 4));
	LEAF(b->m, 1, b->signature, logical << 16 | 8 << 8, b->word[W_1_ECX], edx);
	if (!b->m->amd)
		LEAF(b->m, 2, 0x0000ff01, 0, 0, 0); /* caches: see leaf 4 */
	LEAF(b->m, 6, 1u << 2, 0, 0, 0);	    /* ARAT: the APIC timer never stops */
	SUBLEAF(b->m, 7, 0, b->m->amd ? 0 : 2, ebx7, b->word[W_7_ECX], edx7);
	/* BHI_CTRL: without it Linux runs through a loop of branches at each system call. */
	if (!b->m->amd)
		SUBLEAF(b->m, 7, 2, 0, 0, 0, 1u << 4);
}

/* x2APIC ids: threads (one a core), cores. EDX and unknown subleaves: cpu_model_cpuid(). */
static void add_topology(const struct build *b)
{
	static const uint32_t leaves[] = { 0xb, 0x1f };

	for (size_t i = 0; i < HV_ARRAY_LEN(leaves); i++) {
		SUBLEAF(b->m, leaves[i], 0, 0, 1, 1 << 8 | 0, 0);
		SUBLEAF(b->m, leaves[i], 1, id_bits(b->n_cpus), b->n_cpus, 2 << 8 | 1, 0);
	}
}

struct cache {
	uint32_t type, level, ways, sets; /* type: 1 data, 2 code, 3 both; lines of 64 bytes */
	bool shared;			  /* by all CPUs */
};
static const struct cache caches[] = {
	{ 1, 1, 8, 64, false },
	{ 2, 1, 8, 64, false },
	{ 3, 2, 16, 1024, false },
	{ 3, 3, 16, 16384, true },
};

static void add_caches(const struct build *b)
{
	uint32_t leaf = b->m->amd ? 0x8000001d : 4;

	for (unsigned i = 0; i < HV_ARRAY_LEN(caches); i++) {
		const struct cache *c = &caches[i];
		uint32_t cpus = 1u << id_bits(b->n_cpus);
		uint32_t eax = c->type | c->level << 5 | 1u << 8 |
			       (c->shared ? (cpus - 1) << 14 : 0);
		if (!b->m->amd)
			eax |= (hv_min_u64(cpus, 64) - 1) << 26; /* cores in the package */
		SUBLEAF(b->m, leaf, (int)i, eax, (c->ways - 1) << 22 | 63, c->sets - 1, 0);
	}
}

static void add_xsave(const struct build *b)
{
	uint32_t max = XSAVE_LEGACY_BYTES + (b->m->xcr0_mask & 4 ? XSAVE_AVX_BYTES : 0);

	if (b->m->xcr0_mask == 0)
		return;
	SUBLEAF(b->m, 0xd, 0, (uint32_t)b->m->xcr0_mask, 0, max, 0);
	SUBLEAF(b->m, 0xd, 1, b->word[W_D1_EAX], 0, 0, 0);
	if (b->m->xcr0_mask & 4)
		SUBLEAF(b->m, 0xd, 2, XSAVE_AVX_BYTES, XSAVE_LEGACY_BYTES, 0, 0);
}

#define KVM_CLOCKSOURCE (1u << 0)
#define KVM_NOP_IO_DELAY (1u << 1)
#define KVM_CLOCKSOURCE2 (1u << 3)
#define KVM_CLOCKSOURCE_STABLE (1u << 24)

/* tsc_hz is a multiple of 1 kHz: with a crystal of CPU_APIC_HZ the ratio is exact. */
static void add_clocks(const struct build *b)
{
	uint32_t khz = (uint32_t)(b->m->tsc_hz / 1000), mhz = khz / 1000;

	LEAF(b->m, 0x15, CPU_APIC_HZ / 1000, khz, CPU_APIC_HZ, 0);
	LEAF(b->m, 0x16, mhz, mhz, 100, 0);
	LEAF(b->m, 0x40000000, MAX_HV, word_at("KVMK"), word_at("VMKV"), word_at("M\0\0"));
	LEAF(b->m, 0x40000001,
	     KVM_CLOCKSOURCE | KVM_NOP_IO_DELAY | KVM_CLOCKSOURCE2 | KVM_CLOCKSOURCE_STABLE, 0, 0,
	     0);
	LEAF(b->m, 0x40000010, khz, CPU_APIC_HZ / 1000, 0, 0);
}

static void add_brand(const struct build *b)
{
	char brand[49] = "";

	if (strcmp(b->m->name, "host") == 0)
		memcpy(brand, b->h->brand, sizeof(brand));
	else
		snprintf(brand, sizeof(brand), "Lodge %s", b->m->name);
	for (unsigned i = 0; i < 3; i++)
		LEAF(b->m, 0x80000002 + i, word_at(brand + i * 16), word_at(brand + i * 16 + 4),
		     word_at(brand + i * 16 + 8), word_at(brand + i * 16 + 12));
}

#define AMD_MIRRORED 0x0183f3ffu /* bits of 1.EDX that 80000001.EDX repeats */
#define AMD_MMXEXT (1u << 22)
#define AMD_TOPOEXT (1u << 22)
#define AMD_CMP_LEGACY (1u << 1)
/* IBPB, IBRS, STIBP, SSB_NO, BTC_NO */
#define AMD_SPECULATION (1u << 12 | 1u << 14 | 1u << 15 | 1u << 26 | 1u << 29)
/* LFENCE serializes; null selectors clear the base; SRSO_NO, SRSO_USER_KERNEL_NO */
#define AMD_X21_EAX (1u << 2 | 1u << 6 | 1u << 29 | 1u << 30)
#define AMD_X21_ECX (1u << 1 | 1u << 2) /* TSA_SQ_NO, TSA_L1_NO */

static void add_extended_amd(const struct build *b)
{
	const char *v = b->h->vendor;
	uint32_t ecx = b->word[W_X1_ECX] | AMD_TOPOEXT, edx = b->word[W_X1_EDX] | AMD_MMXEXT;
	uint32_t addresses = b->m->phys_bits | b->m->virt_bits << 8;

	ecx |= b->n_cpus > 1 ? AMD_CMP_LEGACY : 0;
	edx |= b->word[W_1_EDX] & AMD_MIRRORED;
	LEAF(b->m, 0x80000000, MAX_EXT_AMD, word_at(v), word_at(v + 8), word_at(v + 4));
	LEAF(b->m, 0x80000001, b->signature, 0, ecx, edx);
	add_brand(b);
	LEAF(b->m, 0x80000005, 0, 0, 32u << 24 | 8 << 16 | 1 << 8 | 64,
	     32u << 24 | 8 << 16 | 1 << 8 | 64);
	LEAF(b->m, 0x80000006, 0, 0, 1024u << 16 | 8 << 12 | 1 << 8 | 64,
	     32u << 18 | 8 << 12 | 1 << 8 | 64);
	LEAF(b->m, 0x80000007, 0, 0, 0, 1u << 8); /* invariant TSC */
	LEAF(b->m, 0x80000008, addresses, AMD_SPECULATION,
	     id_bits(b->n_cpus) << 12 | (b->n_cpus - 1), 0);
	LEAF(b->m, 0x8000001e, 0, 0, 0, 0); /* cpu_model_cpuid() */
	LEAF(b->m, 0x80000021, AMD_X21_EAX, 0, AMD_X21_ECX, 0);
}

static void add_extended_intel(const struct build *b)
{
	uint32_t addresses = b->m->phys_bits | b->m->virt_bits << 8;

	LEAF(b->m, 0x80000000, MAX_EXT_INTEL, 0, 0, 0);
	LEAF(b->m, 0x80000001, 0, 0, b->word[W_X1_ECX], b->word[W_X1_EDX]);
	add_brand(b);
	LEAF(b->m, 0x80000006, 0, 0, 1024u << 16 | 8 << 12 | 64, 0);
	LEAF(b->m, 0x80000007, 0, 0, 0, 1u << 8);
	LEAF(b->m, 0x80000008, addresses, 0, 0, 0);
}

static int fill(struct cpu_model *m, uint8_t flag, bool repeatable, unsigned n_cpus, struct err *e)
{
	struct host_cpu h;
	uint32_t word[W_COUNT];
	struct build b = { .m = m, .h = &h, .word = word, .n_cpus = n_cpus };

	look_at_host(&h);
	int r = choose_features(m, flag, repeatable, &h, word, e);
	if (r < 0)
		return r;
	m->amd = h.amd;
	m->tsc_hz = repeatable ? CPU_REPEATABLE_TSC_HZ : hv_host_tsc_hz() / 1000 * 1000;
	m->virt_bits = 48;
	m->phys_bits = flag == FF_HOST ? (uint32_t)hv_max_u64(36, hv_min_u64(h.phys_bits, 48)) : 40;
	m->arch_capabilities = ARCH_CAPABILITIES;
	/* IBRS; AMD's has STIBP with it, Intel's BHI_DIS_S */
	m->spec_ctrl_mask = m->amd ? 3 : 1 | 1 << 10;
	b.signature = m->amd ? AMD_SIGNATURE : INTEL_SIGNATURE;
	add_basic(&b);
	add_caches(&b);
	add_topology(&b);
	add_xsave(&b);
	add_clocks(&b);
	if (m->amd)
		add_extended_amd(&b);
	else
		add_extended_intel(&b);
	return 0;
}

static int get(const char *name, bool repeatable, unsigned n_cpus, struct cpu_model *ret_model,
	       struct err *e)
{
	if (n_cpus < 1 || n_cpus > 255) /* the APIC ids of leaf 1 */
		return err_set(e, -EINVAL, "no CPU model has %u CPUs", n_cpus);
	for (size_t i = 0; i < HV_ARRAY_LEN(models); i++) {
		if (strcmp(models[i].name, name) != 0)
			continue;
		struct cpu_model m = { 0 };
		memcpy(m.name, models[i].name, strlen(models[i].name));
		int r = fill(&m, models[i].flag, repeatable, n_cpus, e);
		if (r == 0)
			*ret_model = m;
		return r;
	}
	return err_set(e, -EINVAL, "no CPU model '%.40s'; there are %s, %s and %s", name,
		       models[0].name, models[1].name, models[2].name);
}

int cpu_model_get(const char *name, unsigned n_cpus, struct cpu_model *ret_model, struct err *e)
{
	return get(name, false, n_cpus, ret_model, e);
}

int cpu_model_get_repeatable(const char *name, struct cpu_model *ret_model, struct err *e)
{
	return get(name, true, 1, ret_model, e);
}

/* ---- less than that ---- */

static const struct {
	uint32_t leaf;
	uint8_t reg; /* 0 EAX to 3 EDX */
} word_places[W_COUNT] = {
	[W_1_ECX] = { 1, 2 },		[W_1_EDX] = { 1, 3 },		[W_7_EBX] = { 7, 1 },
	[W_7_ECX] = { 7, 2 },		[W_7_EDX] = { 7, 3 },		[W_D1_EAX] = { 0xd, 0 },
	[W_X1_ECX] = { 0x80000001, 2 }, [W_X1_EDX] = { 0x80000001, 3 },
};

static uint32_t word_subleaf(unsigned word)
{
	return word == W_D1_EAX;
}

static uint32_t *leaf_reg(struct cpu_leaf *l, unsigned reg)
{
	uint32_t *const r[] = { &l->eax, &l->ebx, &l->ecx, &l->edx };

	return r[reg];
}

/* What is shown of a leaf loses these bits. */
static void hide(struct cpu_model *m, uint32_t leaf, uint32_t subleaf, unsigned reg, uint32_t bits)
{
	for (uint32_t i = 0; i < m->n_leaves; i++)
		if (m->leaves[i].leaf == leaf &&
		    (m->leaves[i].any_subleaf || m->leaves[i].subleaf == subleaf))
			*leaf_reg(&m->leaves[i], reg) &= ~bits;
}

static void drop_row(struct cpu_model *m, const struct feature_row *r)
{
	m->features[r->feature / 64] &= ~(1ull << (r->feature % 64));
	hide(m, word_places[r->word].leaf, word_subleaf(r->word), word_places[r->word].reg,
	     1u << r->bit);
}

/* Without XSAVE nothing of leaf 0xD is there; without AVX not its part. */
static void follow_xsave(struct cpu_model *m)
{
	const uint64_t was = m->xcr0_mask;
	uint32_t kept = 0;

	m->xcr0_mask = !cpu_model_has(m, CPU_F_XSAVE) ? 0 : cpu_model_has(m, CPU_F_AVX) ? 7 : 3;
	if (m->xcr0_mask == was)
		return;
	for (uint32_t i = 0; i < m->n_leaves; i++)
		if (m->leaves[i].leaf != 0xd || (m->xcr0_mask != 0 && m->leaves[i].subleaf != 2))
			m->leaves[kept++] = m->leaves[i];
	m->n_leaves = kept;
	hide(m, 0xd, 0, 0, ~(uint32_t)m->xcr0_mask);
	for (uint32_t i = 0; i < m->n_leaves; i++)
		if (m->leaves[i].leaf == 0xd && m->leaves[i].subleaf == 0)
			m->leaves[i].ecx = XSAVE_LEGACY_BYTES;
}

void cpu_model_keep(struct cpu_model *m, const uint64_t features[(CPU_F_COUNT + 63) / 64])
{
	for (const struct feature_row *r = cpu_feature_rows; r->name != NULL; r++)
		if (!(features[r->feature / 64] >> (r->feature % 64) & 1))
			drop_row(m, r);
	follow_xsave(m);
}

static uint8_t model_flag(const struct cpu_model *m)
{
	for (size_t i = 0; i < HV_ARRAY_LEN(models); i++)
		if (strcmp(models[i].name, m->name) == 0)
			return models[i].flag;
	return 0;
}

/* Leaves of which a set bit says that something is there, or that no harm can come of it. */
static const struct {
	uint32_t leaf, subleaf;
	uint8_t reg;
} speculation[] = {
	{ 7, 0, 3 }, { 7, 2, 3 }, { 0x80000008, 0, 1 }, { 0x80000021, 0, 0 }, { 0x80000021, 0, 2 }
};

int cpu_model_fit(struct cpu_model *m, cpu_cpuid_fn cpuid, void *ctx, bool all, struct err *e)
{
	const uint8_t flag = model_flag(m);

	for (const struct feature_row *r = cpu_feature_rows; r->name != NULL; r++) {
		uint32_t regs[4];
		if (!cpu_model_has(m, (enum cpu_feature)r->feature))
			continue;
		cpuid(ctx, word_places[r->word].leaf, word_subleaf(r->word), regs);
		if (regs[word_places[r->word].reg] >> r->bit & 1)
			continue;
		if (all || (flag != FF_HOST && !(r->flags & FF_EMULATED)))
			return err_set(e, -ENOTSUP, "CPU model %s needs %s, which is not offered",
				       m->name, r->name);
		drop_row(m, r);
	}
	follow_xsave(m);
	for (size_t i = 0; i < HV_ARRAY_LEN(speculation); i++) {
		uint32_t regs[4];
		cpuid(ctx, speculation[i].leaf, speculation[i].subleaf, regs);
		hide(m, speculation[i].leaf, speculation[i].subleaf, speculation[i].reg,
		     ~regs[speculation[i].reg]);
	}
	return 0;
}

/* ---- as the guest sees it ---- */

static void set_bit(uint32_t *r, unsigned bit, bool on)
{
	*r = (*r & ~(1u << bit)) | (uint32_t)on << bit;
}

static void make_dynamic(const struct cpu_model *m, uint32_t apic_id, uint64_t cr4, uint64_t xcr0,
			 uint64_t misc_enable, bool apic_enabled, const struct cpu_leaf *l,
			 uint32_t r[4])
{
	uint32_t xsave = XSAVE_LEGACY_BYTES + (xcr0 & 4 ? XSAVE_AVX_BYTES : 0);

	switch (l->leaf) {
	case 0:
		if (!m->amd && (misc_enable & MISC_LIMIT_CPUID))
			r[0] = 2;
		break;
	case 1:
		r[1] |= apic_id << 24;
		set_bit(&r[2], 27, cr4 & X86_CR4_OSXSAVE);
		set_bit(&r[3], 9, apic_enabled);
		break;
	case 0xb:
	case 0x1f:
		r[3] = apic_id;
		break;
	case 0xd:
		if (l->subleaf == 0)
			r[1] = xsave;
		else if (l->subleaf == 1 && cpu_model_has(m, CPU_F_XSAVEC))
			r[1] = xsave;
		break;
	case 0x80000001:
		if (!m->amd && (misc_enable & MISC_XD_DISABLE))
			set_bit(&r[3], 20, false);
		if (m->amd)
			set_bit(&r[3], 9, apic_enabled);
		break;
	case 0x8000001e:
		r[0] = apic_id;
		r[1] = apic_id & 0xff; /* core id; one thread a core */
		break;
	default:
		break;
	}
}

void cpu_model_cpuid(const struct cpu_model *m, uint32_t apic_id, uint64_t cr4, uint64_t xcr0,
		     uint64_t misc_enable, bool apic_enabled, uint32_t leaf, uint32_t subleaf,
		     uint32_t ret_regs[4])
{
	memset(ret_regs, 0, 4 * sizeof(*ret_regs));
	for (uint32_t i = 0; i < m->n_leaves; i++) {
		const struct cpu_leaf *l = &m->leaves[i];
		if (l->leaf != leaf || (!l->any_subleaf && l->subleaf != subleaf))
			continue;
		ret_regs[0] = l->eax;
		ret_regs[1] = l->ebx;
		ret_regs[2] = l->ecx;
		ret_regs[3] = l->edx;
		make_dynamic(m, apic_id, cr4, xcr0, misc_enable, apic_enabled, l, ret_regs);
		return;
	}
	if (leaf == 0xb || leaf == 0x1f) { /* no more levels */
		ret_regs[2] = subleaf & 0xff;
		ret_regs[3] = apic_id;
	}
}
