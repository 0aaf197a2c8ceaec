/*
 * CPU models: what a vCPU promises to its guest. A model is a name, a table of CPUID leaves made
 * from the host's vendor and the model's feature list, and the same features as a bit set for the
 * decoder's allowed-ISA check. Engine-neutral: every engine shows exactly this.
 */
#ifndef CPU_MODEL_H
#define CPU_MODEL_H
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"

/* Instruction-set features that the decoder must be able to refuse, and a few that MSRs need. */
/* clang-format off */
enum cpu_feature {
	CPU_F_FPU, CPU_F_TSC, CPU_F_MSR, CPU_F_CX8, CPU_F_SEP, CPU_F_CMOV, CPU_F_CLFLUSH, CPU_F_MMX,
	CPU_F_FXSR, CPU_F_SSE, CPU_F_SSE2, CPU_F_SSE3, CPU_F_SSSE3, CPU_F_SSE41, CPU_F_SSE42,
	CPU_F_POPCNT, CPU_F_CX16, CPU_F_LAHF64, CPU_F_SYSCALL, CPU_F_NX, CPU_F_LM, CPU_F_RDTSCP,
	CPU_F_PDPE1GB, CPU_F_PCLMUL, CPU_F_AES, CPU_F_MOVBE, CPU_F_XSAVE, CPU_F_XSAVEOPT,
	CPU_F_XSAVEC, CPU_F_XGETBV1, CPU_F_AVX, CPU_F_F16C, CPU_F_FMA, CPU_F_AVX2, CPU_F_BMI1,
	CPU_F_BMI2, CPU_F_LZCNT, CPU_F_ADX, CPU_F_SHA, CPU_F_VAES, CPU_F_VPCLMUL, CPU_F_GFNI,
	CPU_F_RDRAND, CPU_F_RDSEED, CPU_F_FSGSBASE, CPU_F_PCID, CPU_F_INVPCID, CPU_F_SMEP,
	CPU_F_SMAP, CPU_F_UMIP, CPU_F_ERMS, CPU_F_FSRM, CPU_F_RDPID, CPU_F_CLFLUSHOPT, CPU_F_CLWB,
	CPU_F_PREFETCHW, CPU_F_3DNOW, CPU_F_SSE4A, CPU_F_X2APIC, CPU_F_TSC_DEADLINE, CPU_F_VME,
	CPU_F_MONITOR, CPU_F_COUNT
};
/* clang-format on */

struct cpu_leaf {
	uint32_t leaf, subleaf;
	bool any_subleaf; /* subleaf is ignored */
	uint32_t eax, ebx, ecx, edx;
};

#define CPU_MODEL_MAX_LEAVES 96

struct cpu_model {
	char name[32]; /* "x86-64-v2", "x86-64-v3", "host" */
	uint64_t features[(CPU_F_COUNT + 63) / 64];
	uint64_t tsc_hz;
	uint64_t xcr0_mask; /* bits a guest may set in XCR0 */
	uint32_t phys_bits, virt_bits;
	bool amd; /* vendor family of the host: decides vendor-dependent behaviour */
	/* MSRs that go with the leaves: IA32_ARCH_CAPABILITIES, and what may be set in SPEC_CTRL */
	uint64_t arch_capabilities, spec_ctrl_mask;
	uint32_t n_leaves;
	struct cpu_leaf leaves[CPU_MODEL_MAX_LEAVES];
};

static inline bool cpu_model_has(const struct cpu_model *m, enum cpu_feature f)
{
	return m->features[f / 64] >> (f % 64) & 1;
}

/* What the local APIC's timer counts at: leaf 0x15's crystal, the hypervisor leaf's bus. */
#define CPU_APIC_HZ 1000000000u
#define CPU_REPEATABLE_TSC_HZ 1000000000u

/* Fills *ret_model. -EINVAL: no such name (the message lists them); -ENOTSUP: this host lacks a
 * feature the model promises (the message names it). n_cpus: for the topology leaves. */
int cpu_model_get(const char *name, unsigned n_cpus, struct cpu_model *ret_model,
		  struct err *e) HV_MUST_CHECK;
/* For one CPU that does the same in every run: without the host's random numbers, and with a TSC
 * whose frequency is not the host's (CPU_REPEATABLE_TSC_HZ). */
int cpu_model_get_repeatable(const char *name, struct cpu_model *ret_model,
			     struct err *e) HV_MUST_CHECK;
const char *cpu_model_name(unsigned i); /* NULL past the last */
/* Of the model's features only those in these bits stay, in its leaves, too. */
void cpu_model_keep(struct cpu_model *m, const uint64_t features[(CPU_F_COUNT + 63) / 64]);
/* CPUID as somebody offers it who will run the guest. */
typedef void (*cpu_cpuid_fn)(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t ret_regs[4]);
/*
 * Takes from the model what is not offered: features that its name does not promise of the host's
 * CPU, and claims to be safe from attacks by speculation. -ENOTSUP: a promised one is missing, or,
 * with all, any (the message names it).
 */
int cpu_model_fit(struct cpu_model *m, cpu_cpuid_fn cpuid, void *ctx, bool all,
		  struct err *e) HV_MUST_CHECK;

struct x86_state;
/* CPUID as vCPU apic_id sees it: dynamic bits (APIC id, OSXSAVE, XSAVE sizes by xcr0) filled in. */
void cpu_model_cpuid(const struct cpu_model *m, uint32_t apic_id, uint64_t cr4, uint64_t xcr0,
		     uint64_t misc_enable, bool apic_enabled, uint32_t leaf, uint32_t subleaf,
		     uint32_t ret_regs[4]);
#endif
