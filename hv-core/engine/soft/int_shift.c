/* Shifts and rotates: a count of 0 keeps all flags, so all are loaded first. */
#include "engine/soft/int.h"
#include "engine/soft/tables.h"

/* The count: CL, or i->cc with i->src = SOFT_ZERO. */
static inline uint8_t count_of(struct soft_vcpu *v, const struct insn *i)
{
	return SOFT_R8(v, i->src) | i->cc;
}

/* What a rotation by a constant other than 1 leaves in OF is not said; Intel's CPUs leave what was
 * there, if it is a register's, and translated code has the host do it. */
static inline uint16_t rotated(const struct soft_vcpu *v, const struct insn *i, uint16_t old,
			       uint16_t fl)
{
	if (i->src != SOFT_ZERO || (i->cc & (i->op_size == 8 ? 63 : 31)) == 1 ||
	    v->hv->vm->model->amd)
		return fl;
	return (uint16_t)((fl & ~1u) | (old & 1u));
}

#define SHIFTED(v, i, old, fl) (fl)
#define ROTATED(v, i, old, fl) rotated(v, i, old, fl)

#define SHIFT(bits, name, op, flags)                                                               \
	static void name##_r##bits(struct soft_vcpu *v, const struct insn *i)                      \
	{                                                                                          \
		uint##bits##_t d = SOFT_R##bits(v, i->dst);                                        \
		uint16_t fl = v->fl;                                                               \
                                                                                                   \
		__asm__(FL_LOAD op SFX##bits " %%cl, %[dst]" FL_SAVE                               \
			: [dst] "+q"(d), "+&a"(fl)                                                 \
			: "c"(count_of(v, i))                                                      \
			: "cc");                                                                   \
		SET##bits(v, i->dst, d);                                                           \
		v->fl = flags(v, i, v->fl, fl);                                                    \
	}                                                                                          \
	static void name##_m##bits(struct soft_vcpu *v, const struct insn *i)                      \
	{                                                                                          \
		uint64_t a = soft_ea(v, i, bits / 8, true);                                        \
		mem##bits *p = soft_atomic(v, a, bits / 8);                                        \
		uint##bits##_t d = p != NULL ? *p : soft_ld##bits(v, a);                           \
		uint16_t fl = v->fl;                                                               \
                                                                                                   \
		__asm__(FL_LOAD op SFX##bits " %%cl, %[dst]" FL_SAVE                               \
			: [dst] "+q"(d), "+&a"(fl)                                                 \
			: "c"(count_of(v, i))                                                      \
			: "cc");                                                                   \
		if (p != NULL)                                                                     \
			*p = d;                                                                    \
		else                                                                               \
			soft_st##bits(v, a, d);                                                    \
		v->fl = fl;                                                                        \
	}

FOR_SIZES(SHIFT, rol, "rol", ROTATED)
FOR_SIZES(SHIFT, ror, "ror", ROTATED)
FOR_SIZES(SHIFT, rcl, "rcl", SHIFTED)
FOR_SIZES(SHIFT, rcr, "rcr", SHIFTED)
FOR_SIZES(SHIFT, shl, "shl", SHIFTED)
FOR_SIZES(SHIFT, shr, "shr", SHIFTED)
FOR_SIZES(SHIFT, sar, "sar", SHIFTED)

/* CL or a constant; shifts by one have it as an implicit operand. */
static void set_count(const ZydisDecodedOperand *op, struct insn *i)
{
	if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
		i->src = SOFT_REG(X86_RCX);
		i->cc = 0;
	} else {
		i->src = SOFT_ZERO;
		i->cc = (uint8_t)op->imm.value.u;
	}
}

#define SHIFT_SELECT(name)                                                                         \
	static bool sel_##name(const struct decoded *d, struct insn *i)                            \
	{                                                                                          \
		static const insn_fn r[4] = BY_SIZE(name##_r), m[4] = BY_SIZE(name##_m);           \
                                                                                                   \
		set_count(&d->op[1], i);                                                           \
		return choose_fn(i, i->flags & INSN_MEM ? m[first_size(d)] : r[first_size(d)]);    \
	}
SHIFT_SELECT(rol)
SHIFT_SELECT(ror)
SHIFT_SELECT(rcl)
SHIFT_SELECT(rcr)
SHIFT_SELECT(shl)
SHIFT_SELECT(shr)
SHIFT_SELECT(sar)

/* ---- shld, shrd: the register that is shifted in is in i->imm's low half (its offset) ---- */

#define SHIFT2(bits, name, op)                                                                     \
	static void name##_r##bits(struct soft_vcpu *v, const struct insn *i)                      \
	{                                                                                          \
		uint##bits##_t d = SOFT_R##bits(v, i->dst);                                        \
		uint##bits##_t s = SOFT_R##bits(v, (uint16_t)i->imm);                              \
		uint16_t fl = v->fl;                                                               \
                                                                                                   \
		__asm__(FL_LOAD op SFX##bits " %%cl, %[src], %[dst]" FL_SAVE                       \
			: [dst] "+r"(d), "+&a"(fl)                                                 \
			: [src] "r"(s), "c"(count_of(v, i))                                        \
			: "cc");                                                                   \
		SET##bits(v, i->dst, d);                                                           \
		v->fl = fl;                                                                        \
	}                                                                                          \
	static void name##_m##bits(struct soft_vcpu *v, const struct insn *i)                      \
	{                                                                                          \
		uint64_t a = soft_ea(v, i, bits / 8, true);                                        \
		mem##bits *p = soft_atomic(v, a, bits / 8);                                        \
		uint##bits##_t d = p != NULL ? *p : soft_ld##bits(v, a);                           \
		uint##bits##_t s = SOFT_R##bits(v, (uint16_t)i->imm);                              \
		uint16_t fl = v->fl;                                                               \
                                                                                                   \
		__asm__(FL_LOAD op SFX##bits " %%cl, %[src], %[dst]" FL_SAVE                       \
			: [dst] "+r"(d), "+&a"(fl)                                                 \
			: [src] "r"(s), "c"(count_of(v, i))                                        \
			: "cc");                                                                   \
		if (p != NULL)                                                                     \
			*p = d;                                                                    \
		else                                                                               \
			soft_st##bits(v, a, d);                                                    \
		v->fl = fl;                                                                        \
	}
FOR_WIDE(SHIFT2, shld, "shld")
FOR_WIDE(SHIFT2, shrd, "shrd")

static bool sel_shift2(const struct decoded *d, struct insn *i)
{
	static const insn_fn tab[2][2][4] = {
		{ BY_WIDE(shld_r), BY_WIDE(shld_m) },
		{ BY_WIDE(shrd_r), BY_WIDE(shrd_m) },
	};
	bool right = d->z.mnemonic == ZYDIS_MNEMONIC_SHRD;

	set_count(&d->op[2], i);
	i->imm = decode_reg(d->op[1].reg.value);
	return choose_fn(i, tab[right][!!(i->flags & INSN_MEM)][first_size(d)]);
}

const struct soft_op soft_ops_shift[] = {
	{ ZYDIS_MNEMONIC_ROL, sel_rol },     { ZYDIS_MNEMONIC_ROR, sel_ror },
	{ ZYDIS_MNEMONIC_RCL, sel_rcl },     { ZYDIS_MNEMONIC_RCR, sel_rcr },
	{ ZYDIS_MNEMONIC_SHL, sel_shl },     { ZYDIS_MNEMONIC_SHR, sel_shr },
	{ ZYDIS_MNEMONIC_SAR, sel_sar },     { ZYDIS_MNEMONIC_SHLD, sel_shift2 },
	{ ZYDIS_MNEMONIC_SHRD, sel_shift2 }, { -1, NULL },
};
