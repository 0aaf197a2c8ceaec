/* Conversions, single flags, hints, crc32, salc; and the table of all integer groups. */
#include "engine/soft/int.h"
#include "engine/soft/sync.h"
#include "engine/soft/tables.h"

#define RAX_ SOFT_REG(X86_RAX)
#define RDX_ SOFT_REG(X86_RDX)

static void cbw(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	SET16(v, RAX_, (int8_t)SOFT_R8(v, RAX_));
}

static void cwde(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	SET32(v, RAX_, (int16_t)SOFT_R16(v, RAX_));
}

static void cdqe(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	SET64(v, RAX_, (uint64_t)(int32_t)SOFT_R32(v, RAX_));
}

static void cwd(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	SET16(v, RDX_, (int16_t)SOFT_R16(v, RAX_) >> 15);
}

static void cdq(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	SET32(v, RDX_, (int32_t)SOFT_R32(v, RAX_) >> 31);
}

static void cqo(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	SET64(v, RDX_, (uint64_t)((int64_t)SOFT_R64(v, RAX_) >> 63));
}

static void op_lahf(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	SOFT_R8(v, SOFT_REG8H(0)) = (uint8_t)(v->fl >> 8 | X86_FL_FIXED);
}

static void op_sahf(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	v->fl = (uint16_t)((v->fl & FL_OF) | (SOFT_R8(v, SOFT_REG8H(0)) & 0xd5u) << 8);
}

static void clc(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	v->fl &= (uint16_t)~FL_CF;
}

static void stc(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	v->fl |= FL_CF;
}

static void cmc(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	v->fl ^= FL_CF;
}

static void cld(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	v->s.rflags &= ~(uint64_t)X86_FL_DF;
}

static void std(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	v->s.rflags |= X86_FL_DF;
}

static void salc(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	SOFT_R8(v, RAX_) = v->fl & FL_CF ? 0xff : 0;
}

static void nop(struct soft_vcpu *v, const struct insn *i)
{
	(void)v;
	(void)i;
}

#define PAUSES_MAX 64 /* about as long as the host takes to switch threads */

/* With more vCPUs than the host has CPUs, whom the guest waits for may not be running. */
static void op_pause(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	__builtin_ia32_pause();
	if (v->hv->vm->n_vcpus <= v->vm->host_cpus || ++v->pauses < PAUSES_MAX)
		return;
	v->pauses = 0;
	soft_yield(v);
}

/* clflush, clflushopt, clwb, cldemote: a byte is read, as far as faults go. */
static void clflush(struct soft_vcpu *v, const struct insn *i)
{
	soft_probe(v, soft_ea(v, i, 1, false), 1, false);
}

/* bound: a register against two signed limits in memory. */
static void bound(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t a = soft_ea(v, i, i->op_size, false);
	int64_t x, low, high;

	if (i->op_size == 2) {
		x = (int16_t)SOFT_R16(v, i->dst);
		low = (int16_t)soft_ld16(v, a);
		high = (int16_t)soft_ld16(v, (uint32_t)(a + 2));
	} else {
		x = (int32_t)SOFT_R32(v, i->dst);
		low = (int32_t)soft_ld32(v, a);
		high = (int32_t)soft_ld32(v, (uint32_t)(a + 4));
	}
	if (x < low || x > high)
		soft_raise(v, X86_EXC_BR);
}

static bool sel_bound(const struct decoded *d, struct insn *i)
{
	i->op_size = (uint8_t)(d->op[0].size / 8);
	return choose_fn(i, bound);
}

struct simple {
	int mnemonic;
	insn_fn fn;
};

static const struct simple simple[] = {
	{ ZYDIS_MNEMONIC_CBW, cbw },	     { ZYDIS_MNEMONIC_CWDE, cwde },
	{ ZYDIS_MNEMONIC_CDQE, cdqe },	     { ZYDIS_MNEMONIC_CWD, cwd },
	{ ZYDIS_MNEMONIC_CDQ, cdq },	     { ZYDIS_MNEMONIC_CQO, cqo },
	{ ZYDIS_MNEMONIC_LAHF, op_lahf },    { ZYDIS_MNEMONIC_SAHF, op_sahf },
	{ ZYDIS_MNEMONIC_CLC, clc },	     { ZYDIS_MNEMONIC_STC, stc },
	{ ZYDIS_MNEMONIC_CMC, cmc },	     { ZYDIS_MNEMONIC_CLD, cld },
	{ ZYDIS_MNEMONIC_STD, std },	     { ZYDIS_MNEMONIC_SALC, salc },
	{ ZYDIS_MNEMONIC_NOP, nop },	     { ZYDIS_MNEMONIC_PAUSE, op_pause },
	{ ZYDIS_MNEMONIC_CLFLUSH, clflush }, { ZYDIS_MNEMONIC_CLFLUSHOPT, clflush },
	{ ZYDIS_MNEMONIC_CLWB, clflush },
};

static bool sel_simple(const struct decoded *d, struct insn *i)
{
	/* 0f 0d hints memory; of a register it is no instruction on AMD's. */
	if (d->z.opcode_map == ZYDIS_OPCODE_MAP_0F && d->z.opcode == 0x0d &&
	    !(i->flags & INSN_MEM) && d->v->hv->vm->model->amd)
		return false;
	for (unsigned k = 0; k < HV_ARRAY_LEN(simple); k++)
		if (simple[k].mnemonic == (int)d->z.mnemonic)
			return choose_fn(i, simple[k].fn);
	return choose_fn(i, nop); /* hints: prefetches and the like */
}

/* ---- crc32 ---- */

#define CRC32(bits, unused)                                                                        \
	static void crc32_##bits(struct soft_vcpu *v, const struct insn *i)                        \
	{                                                                                          \
		uint##bits##_t s = i->flags & INSN_MEM                                             \
					   ? soft_ld##bits(v, soft_ea(v, i, bits / 8, false))      \
					   : SOFT_R##bits(v, i->src);                              \
		uint64_t d = SOFT_R32(v, i->dst);                                                  \
                                                                                                   \
		if (bits == 64)                                                                    \
			__asm__("crc32q %1, %0" : "+r"(d) : "r"((uint64_t)s));                     \
		else                                                                               \
			__asm__("crc32" SFX##bits " %1, %k0" : "+r"(d) : "q"(s));                  \
		SOFT_R64(v, i->dst) = d;                                                           \
	}
FOR_SIZES(CRC32, )

static bool sel_crc32(const struct decoded *d, struct insn *i)
{
	static const insn_fn tab[4] = BY_SIZE(crc32_);

	return choose_fn(i, tab[size_index(d->op[1].size)]);
}

#define SIMPLE(m)                                                                                  \
	{                                                                                          \
		ZYDIS_MNEMONIC_##m, sel_simple                                                     \
	}
const struct soft_op soft_ops_misc[] = {
	SIMPLE(CBW),
	SIMPLE(CWDE),
	SIMPLE(CDQE),
	SIMPLE(CWD),
	SIMPLE(CDQ),
	SIMPLE(CQO),
	SIMPLE(LAHF),
	SIMPLE(SAHF),
	SIMPLE(CLC),
	SIMPLE(STC),
	SIMPLE(CMC),
	SIMPLE(CLD),
	SIMPLE(STD),
	SIMPLE(SALC),
	SIMPLE(NOP),
	SIMPLE(PAUSE),
	SIMPLE(CLFLUSH),
	SIMPLE(CLFLUSHOPT),
	SIMPLE(CLWB),
	SIMPLE(PREFETCH),
	SIMPLE(PREFETCHW),
	SIMPLE(PREFETCHWT1),
	SIMPLE(PREFETCHNTA),
	SIMPLE(PREFETCHT0),
	SIMPLE(PREFETCHT1),
	SIMPLE(PREFETCHT2),
	SIMPLE(ENDBR32),
	SIMPLE(ENDBR64),
	{ ZYDIS_MNEMONIC_BOUND, sel_bound },
	{ ZYDIS_MNEMONIC_CRC32, sel_crc32 },
	{ -1, NULL },
};

const struct soft_op *const soft_ops_int[] = {
	soft_ops_mov, soft_ops_alu, soft_ops_shift, soft_ops_bit,
	soft_ops_mul, soft_ops_bcd, soft_ops_misc,  NULL,
};
