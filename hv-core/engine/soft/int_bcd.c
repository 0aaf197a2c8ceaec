/*
 * Decimal adjustment: daa, das, aaa, aas, aam, aad (Intel SDM volume 2). Not in 64-bit mode, so no
 * host instruction can be used; what the manuals leave undefined is computed as a byte result's
 * flags or kept.
 */
#include "engine/soft/int.h"
#include "engine/soft/tables.h"

#define AL(v) SOFT_R8(v, SOFT_REG(X86_RAX))
#define AH(v) SOFT_R8(v, SOFT_REG8H(0))

/* SF, ZF, PF of a byte, with CF and AF as given. */
static void set_flags(struct soft_vcpu *v, uint8_t x, bool cf, bool af)
{
	uint16_t fl = v->fl & FL_OF;

	fl |= x & 0x80 ? FL_SF : 0;
	fl |= x == 0 ? FL_ZF : 0;
	fl |= __builtin_parity(x) ? 0 : FL_PF;
	fl |= (uint16_t)((cf ? FL_CF : 0) | (af ? FL_AF : 0));
	v->fl = fl;
}

static void daa(struct soft_vcpu *v, const struct insn *i)
{
	uint8_t old = AL(v), x = old;
	bool cf = v->fl & FL_CF, af = (old & 15) > 9 || (v->fl & FL_AF);

	(void)i;
	if (af)
		x = (uint8_t)(x + 6);
	cf = old > 0x99 || cf;
	if (cf)
		x = (uint8_t)(x + 0x60);
	AL(v) = x;
	set_flags(v, x, cf, af);
}

static void das(struct soft_vcpu *v, const struct insn *i)
{
	uint8_t old = AL(v), x = old;
	bool old_cf = v->fl & FL_CF, cf = false, af = (old & 15) > 9 || (v->fl & FL_AF);

	(void)i;
	if (af) {
		cf = old_cf || old < 6;
		x = (uint8_t)(x - 6);
	}
	if (old > 0x99 || old_cf) {
		x = (uint8_t)(x - 0x60);
		cf = true;
	}
	AL(v) = x;
	set_flags(v, x, cf, af);
}

static void aaa(struct soft_vcpu *v, const struct insn *i)
{
	uint16_t ax = SOFT_R16(v, SOFT_REG(X86_RAX));
	bool adjust = (ax & 15) > 9 || (v->fl & FL_AF);

	(void)i;
	if (adjust)
		ax = (uint16_t)(ax + 0x106);
	ax &= 0xff0f;
	SOFT_R16(v, SOFT_REG(X86_RAX)) = ax;
	set_flags(v, (uint8_t)ax, adjust, adjust);
}

static void aas(struct soft_vcpu *v, const struct insn *i)
{
	uint16_t ax = SOFT_R16(v, SOFT_REG(X86_RAX));
	bool adjust = (ax & 15) > 9 || (v->fl & FL_AF);

	(void)i;
	if (adjust)
		ax = (uint16_t)(ax - 0x106);
	ax &= 0xff0f;
	SOFT_R16(v, SOFT_REG(X86_RAX)) = ax;
	set_flags(v, (uint8_t)ax, adjust, adjust);
}

static void aam(struct soft_vcpu *v, const struct insn *i)
{
	uint8_t base = (uint8_t)i->imm, x = AL(v);

	if (base == 0)
		soft_raise(v, X86_EXC_DE);
	AH(v) = x / base;
	AL(v) = x % base;
	set_flags(v, AL(v), false, false);
}

static void aad(struct soft_vcpu *v, const struct insn *i)
{
	uint8_t x = (uint8_t)(AL(v) + AH(v) * (uint8_t)i->imm);

	SOFT_R16(v, SOFT_REG(X86_RAX)) = x;
	set_flags(v, x, false, false);
}

static bool sel_bcd(const struct decoded *d, struct insn *i)
{
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_DAA:
		return choose_fn(i, daa);
	case ZYDIS_MNEMONIC_DAS:
		return choose_fn(i, das);
	case ZYDIS_MNEMONIC_AAA:
		return choose_fn(i, aaa);
	case ZYDIS_MNEMONIC_AAS:
		return choose_fn(i, aas);
	case ZYDIS_MNEMONIC_AAM:
		return choose_fn(i, aam);
	default:
		return choose_fn(i, aad);
	}
}

const struct soft_op soft_ops_bcd[] = {
	{ ZYDIS_MNEMONIC_DAA, sel_bcd },
	{ ZYDIS_MNEMONIC_DAS, sel_bcd },
	{ ZYDIS_MNEMONIC_AAA, sel_bcd },
	{ ZYDIS_MNEMONIC_AAS, sel_bcd },
	{ ZYDIS_MNEMONIC_AAM, sel_bcd },
	{ ZYDIS_MNEMONIC_AAD, sel_bcd },
	{ -1, NULL },
};
