/*
 * Decimal adjustment: daa, das, aaa, aas, aam, aad (Intel SDM volume 2). Not in 64-bit mode, so no
 * host instruction can be used; what the manuals leave undefined is computed as a byte result's
 * flags or kept.
 */
#include "engine/soft/int.h"
#include "engine/soft/tables.h"

#define AL(v) SOFT_R8(v, SOFT_REG(X86_RAX))
#define AH(v) SOFT_R8(v, SOFT_REG8H(0))

/* All flags of an addition or subtraction of bytes, but CF and AF as given. */
static void set_flags(struct soft_vcpu *v, uint16_t fl, bool cf, bool af)
{
	fl &= (uint16_t) ~(FL_CF | FL_AF);
	v->fl = (uint16_t)(fl | (cf ? FL_CF : 0) | (af ? FL_AF : 0));
}

static uint16_t add8(uint8_t *x, uint8_t by)
{
	uint16_t fl;

	__asm__("addb %2, %0" FL_SAVE : "+q"(*x), "=&a"(fl) : "q"(by) : "cc");
	return fl;
}

static uint16_t sub8(uint8_t *x, uint8_t by)
{
	uint16_t fl;

	__asm__("subb %2, %0" FL_SAVE : "+q"(*x), "=&a"(fl) : "q"(by) : "cc");
	return fl;
}

static void daa(struct soft_vcpu *v, const struct insn *i)
{
	uint8_t x = AL(v);
	bool af = (x & 15) > 9 || (v->fl & FL_AF), cf = x > 0x99 || (v->fl & FL_CF);
	uint16_t fl = add8(&x, (uint8_t)((af ? 6 : 0) + (cf ? 0x60 : 0)));

	(void)i;
	AL(v) = x;
	set_flags(v, fl, cf, af);
}

static void das(struct soft_vcpu *v, const struct insn *i)
{
	uint8_t x = AL(v);
	bool af = (x & 15) > 9 || (v->fl & FL_AF), high = x > 0x99 || (v->fl & FL_CF);
	bool cf = high || (af && x < 6);
	uint16_t fl = sub8(&x, (uint8_t)((af ? 6 : 0) + (high ? 0x60 : 0)));

	(void)i;
	AL(v) = x;
	set_flags(v, fl, cf, af);
}

/* As an addition to AX, before the upper half of AL is cleared. */
static void aaa(struct soft_vcpu *v, const struct insn *i)
{
	uint16_t ax = SOFT_R16(v, SOFT_REG(X86_RAX)), fl;
	bool adjust = (ax & 15) > 9 || (v->fl & FL_AF);

	(void)i;
	__asm__("addw %2, %0" FL_SAVE
		: "+q"(ax), "=&a"(fl)
		: "q"((uint16_t)(adjust ? 0x106 : 0))
		: "cc");
	SOFT_R16(v, SOFT_REG(X86_RAX)) = ax & 0xff0f;
	set_flags(v, fl, adjust, adjust);
}

static void aas(struct soft_vcpu *v, const struct insn *i)
{
	uint16_t ax = SOFT_R16(v, SOFT_REG(X86_RAX)), fl;
	bool adjust = (ax & 15) > 9 || (v->fl & FL_AF);

	(void)i;
	__asm__("subw %2, %0" FL_SAVE
		: "+q"(ax), "=&a"(fl)
		: "q"((uint16_t)(adjust ? 0x106 : 0))
		: "cc");
	SOFT_R16(v, SOFT_REG(X86_RAX)) = ax & 0xff0f;
	set_flags(v, fl, adjust, adjust);
}

static void aam(struct soft_vcpu *v, const struct insn *i)
{
	uint8_t base = (uint8_t)i->imm, x = AL(v);

	if (base == 0)
		soft_raise(v, X86_EXC_DE);
	AH(v) = x / base;
	x %= base;
	AL(v) = x;
	set_flags(v, add8(&x, 0), false, false);
}

static void aad(struct soft_vcpu *v, const struct insn *i)
{
	uint8_t x = AL(v);

	v->fl = add8(&x, (uint8_t)(AH(v) * (uint8_t)i->imm));
	SOFT_R16(v, SOFT_REG(X86_RAX)) = x;
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
