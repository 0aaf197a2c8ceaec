/*
 * The features that models are made of: one row a CPUID bit (Intel SDM vol. 2, CPUID; AMD APM vol.
 * 3 appendix E). A feature without a row is hidden whatever the host has: VMX, SVM, AVX-512, AMX,
 * PKU, CET, LA57, TSX, MPX, PMU, WAITPKG, XSAVES, MOVDIR64B, ENQCMD, MONITOR, RDPRU, SGX, PT, VME
 * and others.
 */
#include "cpu/model_int.h"
#include <stddef.h>

#define V2 (FF_V2 | FF_V3 | FF_HOST)
#define V3 (FF_V3 | FF_HOST)
#define EM FF_EMULATED
#define ROW(f, w, b, flags)                                                                        \
	{                                                                                          \
		CPU_F_##f, W_##w, b, flags, #f                                                     \
	}

const struct feature_row cpu_feature_rows[] = {
	ROW(FPU, 1_EDX, 0, V2),
	ROW(TSC, 1_EDX, 4, V2 | EM),
	ROW(MSR, 1_EDX, 5, V2 | EM),
	ROW(CX8, 1_EDX, 8, V2),
	ROW(SEP, 1_EDX, 11, V2 | EM),
	ROW(CMOV, 1_EDX, 15, V2),
	ROW(CLFLUSH, 1_EDX, 19, V2),
	ROW(MMX, 1_EDX, 23, V2),
	ROW(FXSR, 1_EDX, 24, V2),
	ROW(SSE, 1_EDX, 25, V2),
	ROW(SSE2, 1_EDX, 26, V2),
	ROW(SSE3, 1_ECX, 0, V2),
	ROW(PCLMUL, 1_ECX, 1, V3),
	ROW(SSSE3, 1_ECX, 9, V2),
	ROW(FMA, 1_ECX, 12, V3),
	ROW(CX16, 1_ECX, 13, V2),
	ROW(PCID, 1_ECX, 17, V2 | EM),
	ROW(SSE41, 1_ECX, 19, V2),
	ROW(SSE42, 1_ECX, 20, V2),
	ROW(X2APIC, 1_ECX, 21, V2 | EM),
	ROW(MOVBE, 1_ECX, 22, V3),
	ROW(POPCNT, 1_ECX, 23, V2),
	ROW(TSC_DEADLINE, 1_ECX, 24, V2 | EM),
	ROW(AES, 1_ECX, 25, V3),
	ROW(XSAVE, 1_ECX, 26, V3),
	ROW(AVX, 1_ECX, 28, V3),
	ROW(F16C, 1_ECX, 29, V3),
	ROW(RDRAND, 1_ECX, 30, V3),
	ROW(FSGSBASE, 7_EBX, 0, V2 | EM),
	ROW(BMI1, 7_EBX, 3, V3),
	ROW(AVX2, 7_EBX, 5, V3),
	ROW(SMEP, 7_EBX, 7, V2 | EM),
	ROW(BMI2, 7_EBX, 8, V3),
	ROW(ERMS, 7_EBX, 9, V2 | EM),
	ROW(INVPCID, 7_EBX, 10, V2 | EM),
	ROW(RDSEED, 7_EBX, 18, FF_HOST),
	ROW(ADX, 7_EBX, 19, FF_HOST),
	ROW(SMAP, 7_EBX, 20, V2 | EM),
	ROW(CLFLUSHOPT, 7_EBX, 23, FF_HOST),
	ROW(CLWB, 7_EBX, 24, FF_HOST),
	ROW(SHA, 7_EBX, 29, FF_HOST),
	ROW(UMIP, 7_ECX, 2, V2 | EM),
	ROW(GFNI, 7_ECX, 8, FF_HOST),
	ROW(VAES, 7_ECX, 9, FF_HOST),
	ROW(VPCLMUL, 7_ECX, 10, FF_HOST),
	ROW(RDPID, 7_ECX, 22, V2 | EM),
	ROW(FSRM, 7_EDX, 4, V2 | EM),
	ROW(XSAVEOPT, D1_EAX, 0, V3 | EM),
	ROW(XSAVEC, D1_EAX, 1, FF_HOST),
	ROW(XGETBV1, D1_EAX, 2, FF_HOST),
	ROW(LAHF64, X1_ECX, 0, V2),
	ROW(LZCNT, X1_ECX, 5, V3),
	ROW(SSE4A, X1_ECX, 6, FF_HOST | FF_AMD),
	ROW(PREFETCHW, X1_ECX, 8, V2 | EM),
	ROW(SYSCALL, X1_EDX, 11, V2 | EM),
	ROW(NX, X1_EDX, 20, V2 | EM),
	ROW(PDPE1GB, X1_EDX, 26, V2 | EM),
	ROW(RDTSCP, X1_EDX, 27, V2 | EM),
	ROW(LM, X1_EDX, 29, V2 | EM),
	{ 0, 0, 0, 0, NULL },
};

const uint32_t cpu_constant_bits[W_COUNT] = {
	/* hypervisor present */
	[W_1_ECX] = 1u << 31,
	/* DE, PSE, PAE, MCE, MTRR, PGE, MCA, PAT, PSE36 */
	[W_1_EDX] = 1u << 2 | 1u << 3 | 1u << 6 | 1u << 7 | 1u << 12 | 1u << 13 | 1u << 14 |
		    1u << 16 | 1u << 17,
	/* TSC_ADJUST */
	[W_7_EBX] = 1u << 1,
	/* ARCH_CAPABILITIES, which Linux reads whoever the vendor is */
	[W_7_EDX] = 1u << 29,
};
