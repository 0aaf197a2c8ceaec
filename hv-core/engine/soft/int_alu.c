/* Arithmetic and logic: add to xor, cmp, test, inc, dec, neg, not, xadd, cmpxchg, adcx, adox. */
#include "engine/soft/int.h"
#include "engine/soft/tables.h"

/*
 * Each operation in its forms. PRE loads what flags it reads (adc and sbb: CF). The flags' register
 * is AX, in and out, so operands never lie there.
 */
#define ALU_REG(bits, op, pre, d, s, fl)                                                           \
	__asm__(pre op SFX##bits " %[src], %[dst]" FL_SAVE                                         \
		: [dst] "+q"(d), "+&a"(fl)                                                         \
		: [src] "q"(s)                                                                     \
		: "cc")
#define ALU_MEM(bits, lock, op, pre, p, s, fl)                                                     \
	__asm__ volatile(pre lock op SFX##bits " %[src], %[dst]" FL_SAVE                           \
			 : [dst] "+m"(*(p)), "+&a"(fl)                                             \
			 : [src] "q"(s)                                                            \
			 : "cc", "memory")

/* The destination is written. */
#define ALU(bits, name, op, pre)                                                                   \
	static inline void name##_to_r##bits(struct soft_vcpu *v, uint16_t dst, uint##bits##_t s)  \
	{                                                                                          \
		uint##bits##_t d = SOFT_R##bits(v, dst);                                           \
		uint16_t fl = v->fl;                                                               \
                                                                                                   \
		ALU_REG(bits, op, pre, d, s, fl);                                                  \
		SET##bits(v, dst, d);                                                              \
		v->fl = fl;                                                                        \
	}                                                                                          \
	static inline void name##_to_m##bits(struct soft_vcpu *v, const struct insn *i,            \
					     uint##bits##_t s)                                     \
	{                                                                                          \
		uint64_t a = soft_ea(v, i, bits / 8, true);                                        \
		mem##bits *p = soft_atomic(v, a, bits / 8);                                        \
		uint16_t fl = v->fl;                                                               \
                                                                                                   \
		if (HV_LIKELY(p != NULL)) {                                                        \
			ALU_MEM(bits, "", op, pre, p, s, fl);                                      \
		} else {                                                                           \
			uint##bits##_t d = soft_ld##bits(v, a);                                    \
			ALU_REG(bits, op, pre, d, s, fl);                                          \
			soft_st##bits(v, a, d);                                                    \
		}                                                                                  \
		v->fl = fl;                                                                        \
	}                                                                                          \
	static inline void name##_locked##bits(struct soft_vcpu *v, const struct insn *i,          \
					       uint##bits##_t s)                                   \
	{                                                                                          \
		uint64_t a = soft_ea(v, i, bits / 8, true);                                        \
		mem##bits *p = soft_atomic(v, a, bits / 8);                                        \
		uint16_t fl = v->fl;                                                               \
                                                                                                   \
		if (HV_LIKELY(p != NULL)) {                                                        \
			ALU_MEM(bits, "lock ", op, pre, p, s, fl);                                 \
		} else {                                                                           \
			soft_lock_begin(v);                                                        \
			uint##bits##_t d = soft_ld##bits(v, a);                                    \
			ALU_REG(bits, op, pre, d, s, fl);                                          \
			soft_st##bits(v, a, d);                                                    \
			soft_lock_end(v);                                                          \
		}                                                                                  \
		v->fl = fl;                                                                        \
	}                                                                                          \
	static void name##_rr##bits(struct soft_vcpu *v, const struct insn *i)                     \
	{                                                                                          \
		name##_to_r##bits(v, i->dst, SOFT_R##bits(v, i->src));                             \
	}                                                                                          \
	static void name##_rm##bits(struct soft_vcpu *v, const struct insn *i)                     \
	{                                                                                          \
		name##_to_r##bits(v, i->dst, soft_ld##bits(v, soft_ea(v, i, bits / 8, false)));    \
	}                                                                                          \
	static void name##_ri##bits(struct soft_vcpu *v, const struct insn *i)                     \
	{                                                                                          \
		name##_to_r##bits(v, i->dst, (uint##bits##_t)i->imm);                              \
	}                                                                                          \
	static void name##_mr##bits(struct soft_vcpu *v, const struct insn *i)                     \
	{                                                                                          \
		name##_to_m##bits(v, i, SOFT_R##bits(v, i->src));                                  \
	}                                                                                          \
	static void name##_mi##bits(struct soft_vcpu *v, const struct insn *i)                     \
	{                                                                                          \
		name##_to_m##bits(v, i, (uint##bits##_t)i->imm);                                   \
	}                                                                                          \
	static void name##_lr##bits(struct soft_vcpu *v, const struct insn *i)                     \
	{                                                                                          \
		name##_locked##bits(v, i, SOFT_R##bits(v, i->src));                                \
	}                                                                                          \
	static void name##_li##bits(struct soft_vcpu *v, const struct insn *i)                     \
	{                                                                                          \
		name##_locked##bits(v, i, (uint##bits##_t)i->imm);                                 \
	}

/* Only flags. */
#define TEST(bits, name, op)                                                                       \
	static inline void name##_fl##bits(struct soft_vcpu *v, uint##bits##_t d,                  \
					   uint##bits##_t s)                                       \
	{                                                                                          \
		uint16_t fl;                                                                       \
                                                                                                   \
		__asm__(op SFX##bits " %[src], %[dst]" FL_SAVE                                     \
			: "=&a"(fl)                                                                \
			: [dst] "q"(d), [src] "q"(s)                                               \
			: "cc");                                                                   \
		v->fl = fl;                                                                        \
	}                                                                                          \
	static void name##_rr##bits(struct soft_vcpu *v, const struct insn *i)                     \
	{                                                                                          \
		name##_fl##bits(v, SOFT_R##bits(v, i->dst), SOFT_R##bits(v, i->src));              \
	}                                                                                          \
	static void name##_rm##bits(struct soft_vcpu *v, const struct insn *i)                     \
	{                                                                                          \
		name##_fl##bits(v, SOFT_R##bits(v, i->dst),                                        \
				soft_ld##bits(v, soft_ea(v, i, bits / 8, false)));                 \
	}                                                                                          \
	static void name##_mr##bits(struct soft_vcpu *v, const struct insn *i)                     \
	{                                                                                          \
		name##_fl##bits(v, soft_ld##bits(v, soft_ea(v, i, bits / 8, false)),               \
				SOFT_R##bits(v, i->src));                                          \
	}                                                                                          \
	static void name##_ri##bits(struct soft_vcpu *v, const struct insn *i)                     \
	{                                                                                          \
		name##_fl##bits(v, SOFT_R##bits(v, i->dst), (uint##bits##_t)i->imm);               \
	}                                                                                          \
	static void name##_mi##bits(struct soft_vcpu *v, const struct insn *i)                     \
	{                                                                                          \
		name##_fl##bits(v, soft_ld##bits(v, soft_ea(v, i, bits / 8, false)),               \
				(uint##bits##_t)i->imm);                                           \
	}

FOR_SIZES(ALU, add, "add", "")
FOR_SIZES(ALU, or, "or", "")
FOR_SIZES(ALU, adc, "adc", FL_LOAD_CF)
FOR_SIZES(ALU, sbb, "sbb", FL_LOAD_CF)
FOR_SIZES(ALU, and, "and", "")
FOR_SIZES(ALU, sub, "sub", "")
FOR_SIZES(ALU, xor, "xor", "")
FOR_SIZES(TEST, cmp, "cmp")
FOR_SIZES(TEST, test, "test")

enum { LOCKED_R = FORM_MI + 1, LOCKED_I, N_ALU_FORMS };

static bool alu_choose(const struct decoded *d, struct insn *i, const insn_fn tab[][4])
{
	unsigned f = form_of(d);

	if (f > FORM_MI)
		return false;
	if (i->flags & INSN_LOCK)
		f = f == FORM_MR ? LOCKED_R : LOCKED_I;
	return choose_fn(i, tab[f][first_size(d)]);
}

#define ALU_SELECT(name)                                                                           \
	static bool sel_##name(const struct decoded *d, struct insn *i)                            \
	{                                                                                          \
		static const insn_fn tab[N_ALU_FORMS][4] = {                                       \
			[FORM_RR] = BY_SIZE(name##_rr),	 [FORM_RM] = BY_SIZE(name##_rm),           \
			[FORM_MR] = BY_SIZE(name##_mr),	 [FORM_RI] = BY_SIZE(name##_ri),           \
			[FORM_MI] = BY_SIZE(name##_mi),	 [LOCKED_R] = BY_SIZE(name##_lr),          \
			[LOCKED_I] = BY_SIZE(name##_li),                                           \
		};                                                                                 \
		return alu_choose(d, i, tab);                                                      \
	}
#define TEST_SELECT(name)                                                                          \
	static bool sel_##name(const struct decoded *d, struct insn *i)                            \
	{                                                                                          \
		static const insn_fn tab[N_ALU_FORMS][4] = {                                       \
			[FORM_RR] = BY_SIZE(name##_rr), [FORM_RM] = BY_SIZE(name##_rm),            \
			[FORM_MR] = BY_SIZE(name##_mr), [FORM_RI] = BY_SIZE(name##_ri),            \
			[FORM_MI] = BY_SIZE(name##_mi),                                            \
		};                                                                                 \
		return alu_choose(d, i, tab);                                                      \
	}
ALU_SELECT(add)
ALU_SELECT(or)
ALU_SELECT(adc)
ALU_SELECT(sbb)
ALU_SELECT(and)
ALU_SELECT(sub)
ALU_SELECT(xor)
TEST_SELECT(cmp)
TEST_SELECT(test)

/* ---- one operand: inc and dec keep CF, not keeps all ---- */

#define UNARY(bits, name, op, pre)                                                                 \
	static void name##_r##bits(struct soft_vcpu *v, const struct insn *i)                      \
	{                                                                                          \
		uint##bits##_t d = SOFT_R##bits(v, i->dst);                                        \
		uint16_t fl = v->fl;                                                               \
                                                                                                   \
		__asm__(pre op SFX##bits " %[dst]" FL_SAVE : [dst] "+q"(d), "+&a"(fl) : : "cc");   \
		SET##bits(v, i->dst, d);                                                           \
		v->fl = fl;                                                                        \
	}                                                                                          \
	static void name##_m##bits(struct soft_vcpu *v, const struct insn *i)                      \
	{                                                                                          \
		uint64_t a = soft_ea(v, i, bits / 8, true);                                        \
		mem##bits *p = soft_atomic(v, a, bits / 8);                                        \
		uint16_t fl = v->fl;                                                               \
                                                                                                   \
		if (HV_LIKELY(p != NULL)) {                                                        \
			__asm__ volatile(pre op SFX##bits " %[dst]" FL_SAVE                        \
					 : [dst] "+m"(*p), "+&a"(fl)                               \
					 :                                                         \
					 : "cc", "memory");                                        \
		} else {                                                                           \
			uint##bits##_t d = soft_ld##bits(v, a);                                    \
			__asm__(pre op SFX##bits " %[dst]" FL_SAVE                                 \
				: [dst] "+q"(d), "+&a"(fl)                                         \
				:                                                                  \
				: "cc");                                                           \
			soft_st##bits(v, a, d);                                                    \
		}                                                                                  \
		v->fl = fl;                                                                        \
	}                                                                                          \
	static void name##_l##bits(struct soft_vcpu *v, const struct insn *i)                      \
	{                                                                                          \
		uint64_t a = soft_ea(v, i, bits / 8, true);                                        \
		mem##bits *p = soft_atomic(v, a, bits / 8);                                        \
		uint16_t fl = v->fl;                                                               \
                                                                                                   \
		if (HV_LIKELY(p != NULL)) {                                                        \
			__asm__ volatile(pre "lock " op SFX##bits " %[dst]" FL_SAVE                \
					 : [dst] "+m"(*p), "+&a"(fl)                               \
					 :                                                         \
					 : "cc", "memory");                                        \
		} else {                                                                           \
			soft_lock_begin(v);                                                        \
			uint##bits##_t d = soft_ld##bits(v, a);                                    \
			__asm__(pre op SFX##bits " %[dst]" FL_SAVE                                 \
				: [dst] "+q"(d), "+&a"(fl)                                         \
				:                                                                  \
				: "cc");                                                           \
			soft_st##bits(v, a, d);                                                    \
			soft_lock_end(v);                                                          \
		}                                                                                  \
		v->fl = fl;                                                                        \
	}

FOR_SIZES(UNARY, inc, "inc", FL_LOAD_CF)
FOR_SIZES(UNARY, dec, "dec", FL_LOAD_CF)
FOR_SIZES(UNARY, neg, "neg", "")
FOR_SIZES(UNARY, not, "not", FL_LOAD)

#define UNARY_SELECT(name)                                                                         \
	static bool sel_##name(const struct decoded *d, struct insn *i)                            \
	{                                                                                          \
		static const insn_fn r[4] = BY_SIZE(name##_r), m[4] = BY_SIZE(name##_m),           \
				     l[4] = BY_SIZE(name##_l);                                     \
                                                                                                   \
		if (!(i->flags & INSN_MEM))                                                        \
			return choose_fn(i, r[first_size(d)]);                                     \
		return choose_fn(i, i->flags & INSN_LOCK ? l[first_size(d)] : m[first_size(d)]);   \
	}
UNARY_SELECT(inc)
UNARY_SELECT(dec)
UNARY_SELECT(neg)
UNARY_SELECT(not )

/* ---- xadd ---- */

#define XADD(bits, unused)                                                                         \
	static void xadd_r##bits(struct soft_vcpu *v, const struct insn *i)                        \
	{                                                                                          \
		uint##bits##_t d = SOFT_R##bits(v, i->dst), s = SOFT_R##bits(v, i->src);           \
		uint16_t fl;                                                                       \
                                                                                                   \
		__asm__("xadd" SFX##bits " %[src], %[dst]" FL_SAVE                                 \
			: [dst] "+q"(d), [src] "+q"(s), "=&a"(fl)                                  \
			:                                                                          \
			: "cc");                                                                   \
		SET##bits(v, i->src, s);                                                           \
		SET##bits(v, i->dst, d);                                                           \
		v->fl = fl;                                                                        \
	}                                                                                          \
	static void xadd_m##bits(struct soft_vcpu *v, const struct insn *i)                        \
	{                                                                                          \
		uint64_t a = soft_ea(v, i, bits / 8, true);                                        \
		mem##bits *p = soft_atomic(v, a, bits / 8);                                        \
		uint##bits##_t s = SOFT_R##bits(v, i->src);                                        \
		uint16_t fl;                                                                       \
                                                                                                   \
		if (HV_LIKELY(p != NULL)) {                                                        \
			__asm__ volatile("lock xadd" SFX##bits " %[src], %[dst]" FL_SAVE           \
					 : [dst] "+m"(*p), [src] "+q"(s), "=&a"(fl)                \
					 :                                                         \
					 : "cc", "memory");                                        \
		} else {                                                                           \
			soft_lock_begin(v);                                                        \
			uint##bits##_t d = soft_ld##bits(v, a);                                    \
			__asm__("xadd" SFX##bits " %[src], %[dst]" FL_SAVE                         \
				: [dst] "+q"(d), [src] "+q"(s), "=&a"(fl)                          \
				:                                                                  \
				: "cc");                                                           \
			soft_st##bits(v, a, d);                                                    \
			soft_lock_end(v);                                                          \
		}                                                                                  \
		SET##bits(v, i->src, s);                                                           \
		v->fl = fl;                                                                        \
	}
FOR_SIZES(XADD, )

/* ---- cmpxchg; RAX and registers as 64 bits, so that upper halves do as the host's ---- */

#define CMPXCHG_R(bits, d, s, acc, fl)                                                             \
	__asm__("cmpxchg" SFX##bits " %" MOD##bits "[src], %" MOD##bits                            \
		"[dst]\n\t"                                                                        \
		"movq %%rax, %[acc]" FL_SAVE                                                       \
		: [dst] "+q"(d), [acc] "=&r"(acc), "=&a"(fl)                                       \
		: [src] "q"(s), "2"(acc)                                                           \
		: "cc")
#define CMPXCHG(bits, unused)                                                                      \
	static void cmpxchg_r##bits(struct soft_vcpu *v, const struct insn *i)                     \
	{                                                                                          \
		uint64_t d = bits == 8 ? SOFT_R8(v, i->dst) : SOFT_R64(v, i->dst);                 \
		uint64_t s = bits == 8 ? SOFT_R8(v, i->src) : SOFT_R64(v, i->src);                 \
		uint64_t acc = v->s.gpr[X86_RAX], fl;                                              \
                                                                                                   \
		CMPXCHG_R(bits, d, s, acc, fl);                                                    \
		v->s.gpr[X86_RAX] = acc;                                                           \
		if (bits == 8 || fl & FL_ZF || i->dst != SOFT_REG(X86_RAX)) {                      \
			if (bits == 8)                                                             \
				SET8(v, i->dst, d);                                                \
			else                                                                       \
				SOFT_R64(v, i->dst) = d;                                           \
		}                                                                                  \
		v->fl = (uint16_t)fl;                                                              \
	}                                                                                          \
	static void cmpxchg_m##bits(struct soft_vcpu *v, const struct insn *i)                     \
	{                                                                                          \
		uint64_t a = soft_ea(v, i, bits / 8, true);                                        \
		mem##bits *p = soft_atomic(v, a, bits / 8);                                        \
		uint64_t s = bits == 8 ? SOFT_R8(v, i->src) : SOFT_R64(v, i->src);                 \
		uint64_t acc = v->s.gpr[X86_RAX], fl;                                              \
                                                                                                   \
		if (HV_LIKELY(p != NULL)) {                                                        \
			__asm__ volatile("lock cmpxchg" SFX##bits " %" MOD##bits                   \
					 "[src], %[dst]\n\t"                                       \
					 "movq %%rax, %[acc]" FL_SAVE                              \
					 : [dst] "+m"(*p), [acc] "=&r"(acc), "=&a"(fl)             \
					 : [src] "q"(s), "2"(acc)                                  \
					 : "cc", "memory");                                        \
		} else {                                                                           \
			soft_lock_begin(v);                                                        \
			uint64_t d = soft_ld##bits(v, a);                                          \
			CMPXCHG_R(bits, d, s, acc, fl);                                            \
			soft_st##bits(v, a, (uint##bits##_t)d);                                    \
			soft_lock_end(v);                                                          \
		}                                                                                  \
		v->s.gpr[X86_RAX] = acc;                                                           \
		v->fl = (uint16_t)fl;                                                              \
	}
FOR_SIZES(CMPXCHG, )

static bool sel_xadd(const struct decoded *d, struct insn *i)
{
	static const insn_fn r[4] = BY_SIZE(xadd_r), m[4] = BY_SIZE(xadd_m);

	return choose_fn(i, i->flags & INSN_MEM ? m[first_size(d)] : r[first_size(d)]);
}

static bool sel_cmpxchg(const struct decoded *d, struct insn *i)
{
	static const insn_fn r[4] = BY_SIZE(cmpxchg_r), m[4] = BY_SIZE(cmpxchg_m);

	return choose_fn(i, i->flags & INSN_MEM ? m[first_size(d)] : r[first_size(d)]);
}

/* ---- cmpxchg8b, cmpxchg16b: only ZF changes ---- */

static void set_zf(struct soft_vcpu *v, bool zf)
{
	v->fl = (uint16_t)((v->fl & ~FL_ZF) | (zf ? FL_ZF : 0));
}

static void cmpxchg8b(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t a = soft_ea(v, i, 8, true);
	uint64_t expect = (uint32_t)v->s.gpr[X86_RAX] | v->s.gpr[X86_RDX] << 32;
	uint64_t want = (uint32_t)v->s.gpr[X86_RBX] | v->s.gpr[X86_RCX] << 32;
	mem64 *p = soft_atomic(v, a, 8);
	uint64_t old = expect;

	if (HV_LIKELY(p != NULL)) {
		__asm__ volatile("lock cmpxchgq %[want], %[mem]"
				 : [mem] "+m"(*p), "+a"(old)
				 : [want] "r"(want)
				 : "cc", "memory");
	} else {
		soft_lock_begin(v);
		old = soft_ld64(v, a);
		soft_st64(v, a, old == expect ? want : old);
		soft_lock_end(v);
	}
	if (old != expect) {
		v->s.gpr[X86_RAX] = (uint32_t)old;
		v->s.gpr[X86_RDX] = old >> 32;
	}
	set_zf(v, old == expect);
}

static void cmpxchg16b(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t a = soft_ea(v, i, 1, true); /* unaligned it is #GP, never #AC */
	uint64_t lo = v->s.gpr[X86_RAX], hi = v->s.gpr[X86_RDX];
	bool same;

	if (a & 15)
		soft_raise_err(v, X86_EXC_GP, 0);
	uint64_t *p = soft_atomic(v, a, 16);

	if (HV_LIKELY(p != NULL)) {
		__asm__ volatile("lock cmpxchg16b (%[p])"
				 : "=@ccz"(same), "+a"(lo), "+d"(hi)
				 : [p] "r"(p), "b"(v->s.gpr[X86_RBX]), "c"(v->s.gpr[X86_RCX])
				 : "memory");
	} else {
		soft_lock_begin(v);
		uint64_t old[2] = { soft_ld64(v, a), soft_ld64(v, a + 8) };

		same = old[0] == lo && old[1] == hi;
		soft_st64(v, a, same ? v->s.gpr[X86_RBX] : old[0]);
		soft_st64(v, a + 8, same ? v->s.gpr[X86_RCX] : old[1]);
		soft_lock_end(v);
		lo = old[0];
		hi = old[1];
	}
	if (!same) {
		v->s.gpr[X86_RAX] = lo;
		v->s.gpr[X86_RDX] = hi;
	}
	set_zf(v, same);
}

static bool sel_cmpxchg8b(const struct decoded *d, struct insn *i)
{
	return choose_fn(i, d->z.mnemonic == ZYDIS_MNEMONIC_CMPXCHG16B ? cmpxchg16b : cmpxchg8b);
}

/* ---- adcx, adox ---- */

#define ADX(bits, name, load, carry)                                                               \
	static void name##bits(struct soft_vcpu *v, const struct insn *i)                          \
	{                                                                                          \
		uint##bits##_t s = i->flags & INSN_MEM                                             \
					   ? soft_ld##bits(v, soft_ea(v, i, bits / 8, false))      \
					   : SOFT_R##bits(v, i->src);                              \
		uint##bits##_t d = SOFT_R##bits(v, i->dst), sum;                                   \
		bool c = __builtin_add_overflow(d, s, &sum);                                       \
                                                                                                   \
		c |= __builtin_add_overflow(sum, (uint##bits##_t) !!(v->fl & (carry)), &sum);      \
		SET##bits(v, i->dst, sum);                                                         \
		v->fl = (uint16_t)((v->fl & ~(carry)) | (c ? (carry) : 0));                        \
	}
ADX(32, adcx, , FL_CF)
ADX(64, adcx, , FL_CF)
ADX(32, adox, , FL_OF)
ADX(64, adox, , FL_OF)

static bool sel_adx(const struct decoded *d, struct insn *i)
{
	if (d->z.mnemonic == ZYDIS_MNEMONIC_ADCX)
		return choose_fn(i, first_size(d) == 3 ? adcx64 : adcx32);
	return choose_fn(i, first_size(d) == 3 ? adox64 : adox32);
}

const struct soft_op soft_ops_alu[] = {
	{ ZYDIS_MNEMONIC_ADD, sel_add },
	{ ZYDIS_MNEMONIC_OR, sel_or },
	{ ZYDIS_MNEMONIC_ADC, sel_adc },
	{ ZYDIS_MNEMONIC_SBB, sel_sbb },
	{ ZYDIS_MNEMONIC_AND, sel_and },
	{ ZYDIS_MNEMONIC_SUB, sel_sub },
	{ ZYDIS_MNEMONIC_XOR, sel_xor },
	{ ZYDIS_MNEMONIC_CMP, sel_cmp },
	{ ZYDIS_MNEMONIC_TEST, sel_test },
	{ ZYDIS_MNEMONIC_INC, sel_inc },
	{ ZYDIS_MNEMONIC_DEC, sel_dec },
	{ ZYDIS_MNEMONIC_NEG, sel_neg },
	{ ZYDIS_MNEMONIC_NOT, sel_not },
	{ ZYDIS_MNEMONIC_XADD, sel_xadd },
	{ ZYDIS_MNEMONIC_CMPXCHG, sel_cmpxchg },
	{ ZYDIS_MNEMONIC_CMPXCHG8B, sel_cmpxchg8b },
	{ ZYDIS_MNEMONIC_CMPXCHG16B, sel_cmpxchg8b },
	{ ZYDIS_MNEMONIC_ADCX, sel_adx },
	{ ZYDIS_MNEMONIC_ADOX, sel_adx },
	{ -1, NULL },
};
