/*
 * What the guest's CPU model lets it run. An instruction of a set that is not listed, or whose
 * feature the model lacks, is #UD though the host would run it. Then what the modes say: #UD or #NM
 * by CR0, CR4 and XCR0, of which all that counts here is in the block key.
 */
#include "engine/soft/decode.h"

#define ALWAYS 255u
#define F(feature) ((feature) + 1u)
_Static_assert(CPU_F_COUNT < 254, "features fit the table's bytes");

/* 0: never. */
static const uint8_t isa_sets[ZYDIS_ISA_SET_MAX_VALUE + 1] = {
	[ZYDIS_ISA_SET_I86] = ALWAYS,
	[ZYDIS_ISA_SET_I186] = ALWAYS,
	[ZYDIS_ISA_SET_I286PROTECTED] = ALWAYS,
	[ZYDIS_ISA_SET_I286REAL] = ALWAYS,
	[ZYDIS_ISA_SET_I386] = ALWAYS,
	[ZYDIS_ISA_SET_I486REAL] = ALWAYS,
	[ZYDIS_ISA_SET_PENTIUMREAL] = ALWAYS,
	[ZYDIS_ISA_SET_PPRO] = ALWAYS,
	[ZYDIS_ISA_SET_FAT_NOP] = ALWAYS,
	[ZYDIS_ISA_SET_PREFETCH_NOP] = ALWAYS,
	[ZYDIS_ISA_SET_PREFETCHWT1] = ALWAYS, /* a prefetch hint is a no-op where it is unknown */
	[ZYDIS_ISA_SET_CLDEMOTE] = ALWAYS,
	[ZYDIS_ISA_SET_PAUSE] = ALWAYS,
	[ZYDIS_ISA_SET_RDPMC] = ALWAYS, /* no counters: #GP */
	[ZYDIS_ISA_SET_LONGMODE] = F(CPU_F_LM),
	[ZYDIS_ISA_SET_AMD] = F(CPU_F_SYSCALL),
	[ZYDIS_ISA_SET_LAHF] = ALWAYS,
	[ZYDIS_ISA_SET_CMOV] = F(CPU_F_CMOV),
	[ZYDIS_ISA_SET_FCMOV] = F(CPU_F_CMOV),
	[ZYDIS_ISA_SET_X87] = F(CPU_F_FPU),
	[ZYDIS_ISA_SET_PENTIUMMMX] = F(CPU_F_MMX),
	[ZYDIS_ISA_SET_FXSAVE] = F(CPU_F_FXSR),
	[ZYDIS_ISA_SET_FXSAVE64] = F(CPU_F_FXSR),
	[ZYDIS_ISA_SET_SSE] = F(CPU_F_SSE),
	[ZYDIS_ISA_SET_SSEMXCSR] = F(CPU_F_SSE),
	[ZYDIS_ISA_SET_SSE_PREFETCH] = F(CPU_F_SSE),
	[ZYDIS_ISA_SET_SSE2] = F(CPU_F_SSE2),
	[ZYDIS_ISA_SET_SSE2MMX] = F(CPU_F_SSE2),
	[ZYDIS_ISA_SET_SSE3] = F(CPU_F_SSE3),
	[ZYDIS_ISA_SET_SSE3X87] = F(CPU_F_SSE3),
	[ZYDIS_ISA_SET_SSSE3] = F(CPU_F_SSSE3),
	[ZYDIS_ISA_SET_SSSE3MMX] = F(CPU_F_SSSE3),
	[ZYDIS_ISA_SET_SSE4] = F(CPU_F_SSE41),
	[ZYDIS_ISA_SET_SSE42] = F(CPU_F_SSE42),
	[ZYDIS_ISA_SET_SSE4A] = F(CPU_F_SSE4A),
	[ZYDIS_ISA_SET_POPCNT] = F(CPU_F_POPCNT),
	[ZYDIS_ISA_SET_LZCNT] = F(CPU_F_LZCNT),
	[ZYDIS_ISA_SET_MOVBE] = F(CPU_F_MOVBE),
	[ZYDIS_ISA_SET_BMI1] = F(CPU_F_BMI1),
	[ZYDIS_ISA_SET_BMI2] = F(CPU_F_BMI2),
	[ZYDIS_ISA_SET_ADOX_ADCX] = F(CPU_F_ADX),
	[ZYDIS_ISA_SET_AES] = F(CPU_F_AES),
	[ZYDIS_ISA_SET_AVXAES] = F(CPU_F_AES),
	[ZYDIS_ISA_SET_VAES] = F(CPU_F_VAES),
	[ZYDIS_ISA_SET_PCLMULQDQ] = F(CPU_F_PCLMUL),
	[ZYDIS_ISA_SET_VPCLMULQDQ] = F(CPU_F_VPCLMUL),
	[ZYDIS_ISA_SET_SHA] = F(CPU_F_SHA),
	[ZYDIS_ISA_SET_GFNI] = F(CPU_F_GFNI),
	[ZYDIS_ISA_SET_AVX_GFNI] = F(CPU_F_GFNI),
	[ZYDIS_ISA_SET_AVX] = F(CPU_F_AVX),
	[ZYDIS_ISA_SET_AVX2] = F(CPU_F_AVX2),
	[ZYDIS_ISA_SET_AVX2GATHER] = F(CPU_F_AVX2),
	[ZYDIS_ISA_SET_F16C] = F(CPU_F_F16C),
	[ZYDIS_ISA_SET_FMA] = F(CPU_F_FMA),
	[ZYDIS_ISA_SET_XSAVE] = F(CPU_F_XSAVE),
	[ZYDIS_ISA_SET_XSAVEOPT] = F(CPU_F_XSAVEOPT),
	[ZYDIS_ISA_SET_XSAVEC] = F(CPU_F_XSAVEC),
	[ZYDIS_ISA_SET_RDRAND] = F(CPU_F_RDRAND),
	[ZYDIS_ISA_SET_RDSEED] = F(CPU_F_RDSEED),
	[ZYDIS_ISA_SET_RDTSCP] = F(CPU_F_RDTSCP),
	[ZYDIS_ISA_SET_RDPID] = F(CPU_F_RDPID),
	[ZYDIS_ISA_SET_RDWRFSGS] = F(CPU_F_FSGSBASE),
	[ZYDIS_ISA_SET_CMPXCHG16B] = F(CPU_F_CX16),
	[ZYDIS_ISA_SET_CLFSH] = F(CPU_F_CLFLUSH),
	[ZYDIS_ISA_SET_CLFLUSHOPT] = F(CPU_F_CLFLUSHOPT),
	[ZYDIS_ISA_SET_CLWB] = F(CPU_F_CLWB),
	[ZYDIS_ISA_SET_INVPCID] = F(CPU_F_INVPCID),
	[ZYDIS_ISA_SET_SMAP] = F(CPU_F_SMAP),
	[ZYDIS_ISA_SET_MONITOR] = F(CPU_F_MONITOR),
};

static bool model_allows(const struct cpu_model *m, const ZydisDecodedInstruction *z)
{
	unsigned row = z->meta.isa_set <= ZYDIS_ISA_SET_MAX_VALUE ? isa_sets[z->meta.isa_set] : 0;

	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_SYSENTER:
	case ZYDIS_MNEMONIC_SYSEXIT:
		return cpu_model_has(m, CPU_F_SEP);
	case ZYDIS_MNEMONIC_SYSCALL:
	case ZYDIS_MNEMONIC_SYSRET:
		return cpu_model_has(m, CPU_F_SYSCALL);
	case ZYDIS_MNEMONIC_LAHF:
	case ZYDIS_MNEMONIC_SAHF:
		return z->machine_mode != ZYDIS_MACHINE_MODE_LONG_64 ||
		       cpu_model_has(m, CPU_F_LAHF64);
	case ZYDIS_MNEMONIC_NOP:
		/* A prefetch of a register: AMD refuses what Intel takes for a hint. */
		return !(m->amd && z->opcode_map == ZYDIS_OPCODE_MAP_0F && z->opcode == 0x0d);
	case ZYDIS_MNEMONIC_CMPXCHG8B:
		return cpu_model_has(m, CPU_F_CX8);
	/* Shadow stacks are never on: these are hints. */
	case ZYDIS_MNEMONIC_ENDBR32:
	case ZYDIS_MNEMONIC_ENDBR64:
	case ZYDIS_MNEMONIC_RDSSPD:
	case ZYDIS_MNEMONIC_RDSSPQ:
		return true;
	default:
		return row == ALWAYS || (row != 0 && cpu_model_has(m, (enum cpu_feature)(row - 1)));
	}
}

static bool uses(const struct decoded *d, ZydisRegisterClass a, ZydisRegisterClass b)
{
	for (unsigned k = 0; k < d->z.operand_count; k++) {
		ZydisRegisterClass c;

		if (d->op[k].type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		c = ZydisRegisterGetClass(d->op[k].reg.value);
		if (c == a || c == b || d->op[k].reg.value == ZYDIS_REGISTER_MXCSR)
			return true;
	}
	return false;
}

static bool uses_vector(const struct decoded *d)
{
	return uses(d, ZYDIS_REGCLASS_XMM, ZYDIS_REGCLASS_YMM);
}

/* VEX: general registers (BMI) need protected mode only; vectors need the OS' consent. */
static int check_vex(const struct soft_vcpu *v, const struct decoded *d)
{
	const uint64_t avx = 6; /* XCR0: SSE and AVX */
	ZydisISAExt ext = d->z.meta.isa_ext;

	if (!(v->s.cr0 & X86_CR0_PE) || (v->s.rflags & X86_FL_VM))
		return X86_EXC_UD;
	if (ext == ZYDIS_ISA_EXT_BMI1 || ext == ZYDIS_ISA_EXT_BMI2)
		return -1;
	if (!cpu_model_has(v->vm->hv->model, CPU_F_AVX) || !(v->s.cr4 & X86_CR4_OSXSAVE) ||
	    (v->s.xcr0 & avx) != avx)
		return X86_EXC_UD;
	/* The decoder's set for the 256-bit form is the same as for the 128-bit one. */
	if (d->z.mnemonic == ZYDIS_MNEMONIC_VPCLMULQDQ &&
	    !cpu_model_has(v->vm->hv->model, d->z.raw.vex.L ? CPU_F_VPCLMUL : CPU_F_PCLMUL))
		return X86_EXC_UD;
	return v->s.cr0 & X86_CR0_TS ? X86_EXC_NM : -1;
}

static bool is_x87(const ZydisDecodedInstruction *z)
{
	return z->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && z->opcode >= 0xd8 && z->opcode <= 0xdf;
}

static int check_legacy(const struct soft_vcpu *v, const struct decoded *d)
{
	const ZydisDecodedInstruction *z = &d->z;
	uint64_t cr0 = v->s.cr0;

	if (z->mnemonic == ZYDIS_MNEMONIC_FWAIT)
		return (cr0 & X86_CR0_MP) && (cr0 & X86_CR0_TS) ? X86_EXC_NM : -1;
	if (is_x87(z) || z->meta.isa_set == ZYDIS_ISA_SET_FXSAVE ||
	    z->meta.isa_set == ZYDIS_ISA_SET_FXSAVE64)
		return cr0 & (X86_CR0_EM | X86_CR0_TS) ? X86_EXC_NM : -1;
	if (z->meta.isa_ext == ZYDIS_ISA_EXT_XSAVE || z->meta.isa_ext == ZYDIS_ISA_EXT_XSAVEOPT ||
	    z->meta.isa_ext == ZYDIS_ISA_EXT_XSAVEC) {
		if (!(v->s.cr4 & X86_CR4_OSXSAVE))
			return X86_EXC_UD;
		if (z->mnemonic == ZYDIS_MNEMONIC_XGETBV || z->mnemonic == ZYDIS_MNEMONIC_XSETBV)
			return -1;
		return cr0 & X86_CR0_TS ? X86_EXC_NM : -1;
	}
	if (uses_vector(d) || z->meta.isa_set == ZYDIS_ISA_SET_SSEMXCSR) {
		if ((cr0 & X86_CR0_EM) || !(v->s.cr4 & X86_CR4_OSFXSR))
			return X86_EXC_UD;
		return cr0 & X86_CR0_TS ? X86_EXC_NM : -1;
	}
	if (uses(d, ZYDIS_REGCLASS_MMX, ZYDIS_REGCLASS_MMX) || z->mnemonic == ZYDIS_MNEMONIC_EMMS) {
		if (cr0 & X86_CR0_EM)
			return X86_EXC_UD;
		return cr0 & X86_CR0_TS ? X86_EXC_NM : -1;
	}
	return -1;
}

int soft_isa_check(const struct soft_vcpu *v, const struct decoded *d)
{
	if (!model_allows(v->vm->hv->model, &d->z))
		return X86_EXC_UD;
	switch (d->z.encoding) {
	case ZYDIS_INSTRUCTION_ENCODING_LEGACY:
		return check_legacy(v, d);
	case ZYDIS_INSTRUCTION_ENCODING_VEX:
		return check_vex(v, d);
	default:
		return X86_EXC_UD;
	}
}
