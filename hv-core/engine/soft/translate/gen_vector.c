/*
 * Vector instructions that cannot raise floating-point exceptions: as the stubs have them
 * (simd_encode.c: memory at RDI, a general register in R8 or R9), without the call. Those that can
 * are left to the stubs, where SIGFPE finds them.
 */
#include "engine/soft/fpu.h"
#include "engine/soft/translate/gen.h"

#define BOTH(m) ZYDIS_MNEMONIC_##m, ZYDIS_MNEMONIC_V##m
static const uint16_t quiet[] = {
	BOTH(MOVAPS),
	BOTH(MOVUPS),
	BOTH(MOVAPD),
	BOTH(MOVUPD),
	BOTH(MOVDQA),
	BOTH(MOVDQU),
	BOTH(MOVD),
	BOTH(MOVQ),
	BOTH(MOVSS),
	BOTH(MOVSD),
	BOTH(MOVLPS),
	BOTH(MOVHPS),
	BOTH(MOVLPD),
	BOTH(MOVHPD),
	BOTH(MOVHLPS),
	BOTH(MOVLHPS),
	BOTH(MOVNTPS),
	BOTH(MOVNTDQ),
	BOTH(LDDQU),
	BOTH(PXOR),
	BOTH(POR),
	BOTH(PAND),
	BOTH(PANDN),
	BOTH(XORPS),
	BOTH(XORPD),
	BOTH(ANDPS),
	BOTH(ANDPD),
	BOTH(ORPS),
	BOTH(ORPD),
	BOTH(ANDNPS),
	BOTH(ANDNPD),
	BOTH(PADDB),
	BOTH(PADDW),
	BOTH(PADDD),
	BOTH(PADDQ),
	BOTH(PSUBB),
	BOTH(PSUBW),
	BOTH(PSUBD),
	BOTH(PSUBQ),
	BOTH(PCMPEQB),
	BOTH(PCMPEQW),
	BOTH(PCMPEQD),
	BOTH(PCMPGTB),
	BOTH(PCMPGTW),
	BOTH(PCMPGTD),
	BOTH(PUNPCKLBW),
	BOTH(PUNPCKLWD),
	BOTH(PUNPCKLDQ),
	BOTH(PUNPCKLQDQ),
	BOTH(PUNPCKHBW),
	BOTH(PUNPCKHWD),
	BOTH(PUNPCKHDQ),
	BOTH(PUNPCKHQDQ),
	BOTH(PSHUFD),
	BOTH(PSHUFB),
	BOTH(PSHUFLW),
	BOTH(PSHUFHW),
	BOTH(SHUFPS),
	BOTH(SHUFPD),
	BOTH(UNPCKLPS),
	BOTH(UNPCKLPD),
	BOTH(UNPCKHPS),
	BOTH(UNPCKHPD),
	BOTH(PSLLW),
	BOTH(PSLLD),
	BOTH(PSLLQ),
	BOTH(PSRLW),
	BOTH(PSRLD),
	BOTH(PSRLQ),
	BOTH(PSRAW),
	BOTH(PSRAD),
	BOTH(PSLLDQ),
	BOTH(PSRLDQ),
	BOTH(PMINUB),
	BOTH(PMAXUB),
	BOTH(PMULLW),
	BOTH(PMULHW),
	BOTH(PMULUDQ),
	BOTH(PMULLD),
	BOTH(PALIGNR),
	BOTH(PMOVMSKB),
	BOTH(PACKUSWB),
	BOTH(PACKSSWB),
	BOTH(PACKSSDW),
	BOTH(PAVGB),
	ZYDIS_MNEMONIC_VPBROADCASTB,
	ZYDIS_MNEMONIC_VPBROADCASTD,
	ZYDIS_MNEMONIC_VINSERTI128,
	ZYDIS_MNEMONIC_VEXTRACTI128,
};

static bool is_quiet(const struct decoded *d)
{
	for (unsigned k = 0; k < d->z.operand_count; k++)
		if (d->op[k].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    d->op[k].reg.value >= ZYDIS_REGISTER_MM0 &&
		    d->op[k].reg.value <= ZYDIS_REGISTER_MM7)
			return false; /* an x87 exception may be pending */
	for (unsigned k = 0; k < HV_ARRAY_LEN(quiet); k++)
		if (quiet[k] == d->z.mnemonic)
			return true;
	return false;
}

/* The guest's general register among the operands; -1: none. */
static int general_reg(const struct decoded *d)
{
	for (unsigned k = 0; k < d->z.operand_count_visible; k++)
		if (d->op[k].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    decode_reg(d->op[k].reg.value) != SOFT_ZERO)
			return decode_reg(d->op[k].reg.value) / 8;
	return -1;
}

static void mov(struct gen *g, unsigned to, unsigned from)
{
	if (to != from)
		em_rr(&g->e, OP_W, 0x8b, to, from);
}

/* The registers must be the guest's: else the interpreter loads them. */
static void check_live(struct gen *g)
{
	em_gs(&g->e, OP_0F, 0xb6, H_RCX, TR_OFF(fpu_live)); /* movzx */
	em_rm(&g->e, 0, 0x8d, H_RCX, H_RCX, H_NONE, 0, -1);
	gen_missed(g);
}

/* RDI = host address of the operand; the guest's is in R15. */
static bool operand(struct gen *g, bool write)
{
	unsigned size = g->i->mem_size;

	if ((g->i->flags & INSN_ALIGN) && size != 16 && size != 32)
		return false;
	if (!gen_ea_unaligned(g))
		return false;
	if (g->i->flags & INSN_ALIGN) {
		mov(g, H_RCX, H_R11);
		em_pext(&g->e, H_RCX, size == 16 ? TR_OFF(tr_align16) : TR_OFF(tr_align32));
		gen_missed(g);
	}
	gen_check(g, size, write);
	em_rm(&g->e, OP_W, 0x8d, H_R11, H_R11, H_R15, 0, 0);
	mov(g, H_R15, H_RDI);
	mov(g, H_RDI, H_R11);
	return true;
}

bool gen_vector(struct gen *g)
{
	const unsigned in = STUB_REG | STUB_RM, out = STUB_W_REG | STUB_W_RM;
	bool mem = g->i->flags & INSN_MEM;
	int write = simd_plain(g->i), reg = general_reg(&g->d);
	struct stub_insn n;

	if (write < 0 || !is_quiet(&g->d) || !simd_encode(&g->d, &n))
		return false;
	unsigned io = n.attr & STUB_IO;
	bool first = io & (STUB_REG | STUB_W_REG), second = io & (STUB_RM | STUB_W_RM);

	if ((io & ~(in | out)) || (first && second) || (io != 0) != (reg >= 0) || (mem && io))
		return false;
	unsigned host = first ? H_R8 : H_R9;

	check_live(g);
	if (mem && !operand(g, write))
		return false;
	if (io) {
		mov(g, H_R11, host);
		mov(g, host, gen_use(g, (unsigned)reg, host));
	}
	for (unsigned k = 0; k < n.len; k++)
		em8(&g->e, n.bytes[k]);
	if (mem)
		mov(g, H_RDI, H_R15);
	if (io) {
		mov(g, H_R15, host);
		mov(g, host, H_R11);
	}
	if (io & out) {
		if (tr_host[reg] == H_NONE)
			em_store(&g->e, H_R15, SOFT_REG(reg));
		else
			mov(g, tr_host[reg], H_R15);
	}
	return true;
}
