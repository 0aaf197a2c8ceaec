/* What model.c and model_tables.c share. */
#ifndef CPU_MODEL_INT_H
#define CPU_MODEL_INT_H
#include "cpu/model.h"

/* The registers that feature bits live in. */
enum cpuid_word {
	W_1_ECX,
	W_1_EDX,
	W_7_EBX,
	W_7_ECX,
	W_7_EDX,
	W_D1_EAX,
	W_X1_ECX,
	W_X1_EDX,
	W_COUNT
};

enum feature_flag {
	FF_V2 = 1 << 0,	      /* part of x86-64-v2, and so of v3 */
	FF_V3 = 1 << 1,	      /* part of x86-64-v3 */
	FF_HOST = 1 << 2,     /* part of "host" where the host has it */
	FF_EMULATED = 1 << 3, /* engines provide it: the host need not have it */
	FF_AMD = 1 << 4,      /* only with AMD's vendor string */
};

struct feature_row {
	uint8_t feature; /* enum cpu_feature */
	uint8_t word;	 /* enum cpuid_word */
	uint8_t bit;
	uint8_t flags; /* enum feature_flag */
	const char *name;
};

/* Ends with name NULL. What is not here is hidden from every guest. */
extern const struct feature_row cpu_feature_rows[];

/* What every model shows besides: no instruction depends on it. */
extern const uint32_t cpu_constant_bits[W_COUNT];
#endif
