/* mul, imul, div, idiv: by the host's own, after what would raise #DE has been sorted out. */
#include "engine/soft/int.h"
#include "engine/soft/tables.h"

static inline uint64_t operand(struct soft_vcpu *v, const struct insn *i, unsigned bits)
{
	if (!(i->flags & INSN_MEM))
		return bits == 8 ? SOFT_R8(v, i->dst) : SOFT_R64(v, i->dst);
	uint64_t a = soft_ea(v, i, bits / 8, false);

	switch (bits) {
	case 8:
		return soft_ld8(v, a);
	case 16:
		return soft_ld16(v, a);
	case 32:
		return soft_ld32(v, a);
	default:
		return soft_ld64(v, a);
	}
}

/* RDX:RAX by the operand. The flags' register is elsewhere, as AX is the instruction's own. */
#define WIDE_OP(bits, op, v, s)                                                                    \
	do {                                                                                       \
		uint64_t rax = (v)->s.gpr[X86_RAX], rdx = (v)->s.gpr[X86_RDX];                     \
		uint64_t fl_ = (v)->fl;                                                            \
                                                                                                   \
		__asm__("xchg %%rax, %[fl]\n\t" FL_LOAD "xchg %%rax, %[fl]\n\t" op SFX##bits       \
			" %" MOD##bits "[src]\n\t"                                                 \
				       "xchg %%rax, %[fl]" FL_SAVE "\n\txchg %%rax, %[fl]"         \
			: "+&a"(rax), "+&d"(rdx), [fl] "+&r"(fl_)                                  \
			: [src] "q"(s)                                                             \
			: "cc");                                                                   \
		(v)->s.gpr[X86_RAX] = rax;                                                         \
		(v)->s.gpr[X86_RDX] = rdx;                                                         \
		(v)->fl = (uint16_t)fl_;                                                           \
	} while (0)

#define MUL(bits, name, op)                                                                        \
	static void name##bits(struct soft_vcpu *v, const struct insn *i)                          \
	{                                                                                          \
		uint64_t s = operand(v, i, bits);                                                  \
                                                                                                   \
		WIDE_OP(bits, op, v, s);                                                           \
	}
FOR_SIZES(MUL, mul, "mul")
FOR_SIZES(MUL, imul1_, "imul")

/* The dividend's halves as the instruction takes them: AX, or rDX:rAX. */
static void dividend(const struct soft_vcpu *v, unsigned bits, uint64_t *ret_hi, uint64_t *ret_lo)
{
	uint64_t a = v->s.gpr[X86_RAX], d = v->s.gpr[X86_RDX];
	uint64_t mask = bits == 64 ? ~0ull : (1ull << bits) - 1;

	*ret_lo = a & mask;
	*ret_hi = bits == 8 ? a >> 8 & mask : d & mask;
}

static void check_div(struct soft_vcpu *v, unsigned bits, uint64_t s)
{
	uint64_t hi, lo, mask = bits == 64 ? ~0ull : (1ull << bits) - 1;

	dividend(v, bits, &hi, &lo);
	if (hi >= (s & mask))
		soft_raise(v, X86_EXC_DE); /* a divisor of 0 too */
}

static void check_idiv(struct soft_vcpu *v, unsigned bits, uint64_t s)
{
	uint64_t hi, lo, mask = bits == 64 ? ~0ull : (1ull << bits) - 1, sign = 1ull << (bits - 1);
	bool neg_n, neg_d = s & sign;

	dividend(v, bits, &hi, &lo);
	neg_n = hi & sign;
	if (neg_n) {
		lo = -lo & mask;
		hi = (~hi + (lo == 0)) & mask;
	}
	uint64_t d = (neg_d ? -s : s) & mask;

	if (hi >= d)
		soft_raise(v, X86_EXC_DE);
	/* The quotient's magnitude fits the operand; it must fit as a signed number. */
	uint64_t q, rest;

	if (bits == 64) {
		__asm__("divq %[d]" : "=a"(q), "=d"(rest) : "0"(lo), "1"(hi), [d] "r"(d) : "cc");
	} else {
		q = (hi << bits | lo) / d;
	}
	(void)rest;
	if (q > sign || (q == sign && neg_n == neg_d))
		soft_raise(v, X86_EXC_DE);
}

#define DIV(bits, name, check)                                                                     \
	static void name##bits(struct soft_vcpu *v, const struct insn *i)                          \
	{                                                                                          \
		uint64_t s = operand(v, i, bits);                                                  \
                                                                                                   \
		check(v, bits, s);                                                                 \
		WIDE_OP(bits, #name, v, s);                                                        \
	}
FOR_SIZES(DIV, div, check_div)
FOR_SIZES(DIV, idiv, check_idiv)

/* ---- imul with two and three operands: i->src or memory, times i->dst or i->imm ---- */

#define IMUL(bits, unused)                                                                         \
	static void imul##bits(struct soft_vcpu *v, const struct insn *i)                          \
	{                                                                                          \
		uint##bits##_t s = i->flags & INSN_MEM                                             \
					   ? soft_ld##bits(v, soft_ea(v, i, bits / 8, false))      \
					   : SOFT_R##bits(v, i->src);                              \
		uint##bits##_t d = i->cc ? (uint##bits##_t)i->imm : SOFT_R##bits(v, i->dst);       \
		uint16_t fl = v->fl;                                                               \
                                                                                                   \
		__asm__(FL_LOAD "imul" SFX##bits " %[src], %[dst]" FL_SAVE                         \
			: [dst] "+r"(d), "+&a"(fl)                                                 \
			: [src] "r"(s)                                                             \
			: "cc");                                                                   \
		SET##bits(v, i->dst, d);                                                           \
		v->fl = fl;                                                                        \
	}
FOR_WIDE(IMUL, )

#define MUL_SELECT(name)                                                                           \
	static bool sel_##name(const struct decoded *d, struct insn *i)                            \
	{                                                                                          \
		static const insn_fn tab[4] = BY_SIZE(name);                                       \
                                                                                                   \
		return choose_fn(i, tab[first_size(d)]);                                           \
	}
MUL_SELECT(mul)
MUL_SELECT(imul1_)
MUL_SELECT(div)
MUL_SELECT(idiv)

static bool sel_imul(const struct decoded *d, struct insn *i)
{
	static const insn_fn tab[4] = BY_WIDE(imul);

	if (d->z.operand_count_visible == 1)
		return sel_imul1_(d, i);
	i->cc = d->z.operand_count_visible == 3;
	return choose_fn(i, tab[first_size(d)]);
}

const struct soft_op soft_ops_mul[] = {
	{ ZYDIS_MNEMONIC_MUL, sel_mul },
	{ ZYDIS_MNEMONIC_IMUL, sel_imul },
	{ ZYDIS_MNEMONIC_DIV, sel_div },
	{ ZYDIS_MNEMONIC_IDIV, sel_idiv },
	{ -1, NULL },
};
