/* Bits: bt, bts, btr, btc, bsf, bsr, lzcnt, tzcnt, popcnt. */
#include "engine/soft/int.h"
#include "engine/soft/tables.h"

/* The bit offset: a register, or i->imm with i->src = SOFT_ZERO. Within the operand: memory forms
 * with a register have moved the address already. */
#define BIT(bits, name, op, writes)                                                                \
	static void name##_r##bits(struct soft_vcpu *v, const struct insn *i)                      \
	{                                                                                          \
		uint##bits##_t d = SOFT_R##bits(v, i->dst);                                        \
		uint##bits##_t n = (uint##bits##_t)(SOFT_R64(v, i->src) | i->imm);                 \
		uint16_t fl = v->fl;                                                               \
                                                                                                   \
		__asm__(FL_LOAD op SFX##bits " %[n], %[dst]" FL_SAVE                               \
			: [dst] "+r"(d), "+&a"(fl)                                                 \
			: [n] "r"(n)                                                               \
			: "cc");                                                                   \
		if (writes)                                                                        \
			SET##bits(v, i->dst, d);                                                   \
		v->fl = fl;                                                                        \
	}                                                                                          \
	static void name##_m##bits(struct soft_vcpu *v, const struct insn *i)                      \
	{                                                                                          \
		uint##bits##_t n = (uint##bits##_t)(SOFT_R64(v, i->src) | i->imm);                 \
		uint64_t a = bit_ea(v, i, bits, (int##bits##_t)n, writes);                         \
		uint16_t fl = v->fl;                                                               \
		mem##bits *p = NULL;                                                               \
                                                                                                   \
		n &= bits - 1;                                                                     \
		if (writes)                                                                        \
			p = soft_atomic(v, a, bits / 8);                                           \
		if (p != NULL && (i->flags & INSN_LOCK)) {                                         \
			/* With a register in range: the host does not move on. */                 \
			__asm__ volatile(FL_LOAD name##_LOCK SFX##bits " %[n], %[dst]" FL_SAVE     \
					 : [dst] "+m"(*p), "+&a"(fl)                               \
					 : [n] "r"(n)                                              \
					 : "cc", "memory");                                        \
			v->fl = fl;                                                                \
			return;                                                                    \
		}                                                                                  \
		if (i->flags & INSN_LOCK)                                                          \
			soft_lock_begin(v);                                                        \
		uint##bits##_t d = p != NULL ? *p : soft_ld##bits(v, a);                           \
		__asm__(FL_LOAD op SFX##bits " %[n], %[dst]" FL_SAVE                               \
			: [dst] "+r"(d), "+&a"(fl)                                                 \
			: [n] "r"(n)                                                               \
			: "cc");                                                                   \
		if (writes && p != NULL)                                                           \
			*p = d;                                                                    \
		else if (writes)                                                                   \
			soft_st##bits(v, a, d);                                                    \
		if (i->flags & INSN_LOCK)                                                          \
			soft_lock_end(v);                                                          \
		v->fl = fl;                                                                        \
	}
#define bt_LOCK "bt"
#define bts_LOCK "lock bts"
#define btr_LOCK "lock btr"
#define btc_LOCK "lock btc"

/* bt mem, reg reaches beyond the operand: by whole operands, in either direction. */
static inline uint64_t bit_ea(struct soft_vcpu *v, const struct insn *i, unsigned bits, int64_t n,
			      bool write)
{
	struct insn m;

	if (i->src == SOFT_ZERO)
		return soft_ea(v, i, bits / 8, write);
	m = *i;
	m.disp += (n >> __builtin_ctz(bits)) * (int64_t)(bits / 8);
	return soft_ea(v, &m, bits / 8, write);
}

FOR_WIDE(BIT, bt, "bt", false)
FOR_WIDE(BIT, bts, "bts", true)
FOR_WIDE(BIT, btr, "btr", true)
FOR_WIDE(BIT, btc, "btc", true)

#define BIT_SELECT(name)                                                                           \
	static bool sel_##name(const struct decoded *d, struct insn *i)                            \
	{                                                                                          \
		static const insn_fn r[4] = BY_WIDE(name##_r), m[4] = BY_WIDE(name##_m);           \
                                                                                                   \
		if (d->op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)                                 \
			i->imm = d->op[1].imm.value.u & (d->op[0].size - 1u);                      \
		return choose_fn(i, i->flags & INSN_MEM ? m[first_size(d)] : r[first_size(d)]);    \
	}
BIT_SELECT(bt)
BIT_SELECT(bts)
BIT_SELECT(btr)
BIT_SELECT(btc)

/* ---- scans and counts ---- */

static inline uint64_t load_src(struct soft_vcpu *v, const struct insn *i, unsigned bits)
{
	if (!(i->flags & INSN_MEM))
		return SOFT_R64(v, i->src);
	uint64_t a = soft_ea(v, i, bits / 8, false);

	if (bits == 16)
		return soft_ld16(v, a);
	return bits == 32 ? soft_ld32(v, a) : soft_ld64(v, a);
}

/* The whole destination goes in: what the host leaves of it when the source is 0 stays. */
#define SCAN(bits, name, op)                                                                       \
	static void name##bits(struct soft_vcpu *v, const struct insn *i)                          \
	{                                                                                          \
		uint64_t s = load_src(v, i, bits), d = SOFT_R64(v, i->dst);                        \
		uint16_t fl = v->fl;                                                               \
                                                                                                   \
		__asm__(FL_LOAD op SFX##bits " %" MOD##bits "[src], %" MOD##bits "[dst]" FL_SAVE   \
			: [dst] "+&r"(d), "+&a"(fl)                                                \
			: [src] "r"(s)                                                             \
			: "cc");                                                                   \
		SOFT_R64(v, i->dst) = d;                                                           \
		v->fl = fl;                                                                        \
	}
FOR_WIDE(SCAN, bsf, "bsf")
FOR_WIDE(SCAN, bsr, "bsr")
FOR_WIDE(SCAN, lzcnt, "lzcnt")
FOR_WIDE(SCAN, tzcnt, "tzcnt")
FOR_WIDE(SCAN, popcnt, "popcnt")

#define SCAN_SELECT(name)                                                                          \
	static bool sel_##name(const struct decoded *d, struct insn *i)                            \
	{                                                                                          \
		static const insn_fn tab[4] = BY_WIDE(name);                                       \
                                                                                                   \
		return choose_fn(i, tab[first_size(d)]);                                           \
	}
SCAN_SELECT(bsf)
SCAN_SELECT(bsr)
SCAN_SELECT(lzcnt)
SCAN_SELECT(tzcnt)
SCAN_SELECT(popcnt)

const struct soft_op soft_ops_bit[] = {
	{ ZYDIS_MNEMONIC_BT, sel_bt },	       { ZYDIS_MNEMONIC_BTS, sel_bts },
	{ ZYDIS_MNEMONIC_BTR, sel_btr },       { ZYDIS_MNEMONIC_BTC, sel_btc },
	{ ZYDIS_MNEMONIC_BSF, sel_bsf },       { ZYDIS_MNEMONIC_BSR, sel_bsr },
	{ ZYDIS_MNEMONIC_LZCNT, sel_lzcnt },   { ZYDIS_MNEMONIC_TZCNT, sel_tzcnt },
	{ ZYDIS_MNEMONIC_POPCNT, sel_popcnt }, { -1, NULL },
};
