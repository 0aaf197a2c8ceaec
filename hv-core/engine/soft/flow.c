/*
 * Near control transfers: jmp, jcc, call, ret, loop, jcxz; and setcc, cmovcc, which share the
 * conditions. A target outside CS' limit, or not canonical, is #GP(0) at the branch.
 */
#include "engine/soft/int.h"
#include "engine/soft/key.h"
#include "engine/soft/mmu.h"
#include "engine/soft/run.h"
#include "engine/soft/stack.h"

/* ---- conditions ---- */

static inline bool cond_o(unsigned f)
{
	return f & FL_OF;
}

static inline bool cond_b(unsigned f)
{
	return f & FL_CF;
}

static inline bool cond_z(unsigned f)
{
	return f & FL_ZF;
}

static inline bool cond_be(unsigned f)
{
	return f & (FL_CF | FL_ZF);
}

static inline bool cond_s(unsigned f)
{
	return f & FL_SF;
}

static inline bool cond_p(unsigned f)
{
	return f & FL_PF;
}

static inline bool cond_l(unsigned f)
{
	return (f >> 15 ^ f) & 1;
}

static inline bool cond_le(unsigned f)
{
	return (f & FL_ZF) || cond_l(f);
}

/* In the order of the instructions' condition codes: even ones straight, odd ones negated. */
#define FOR_COND(m) m(o) m(b) m(z) m(be) m(s) m(p) m(l) m(le)

/* ---- targets ---- */

static bool target_good(const struct soft_vcpu *v, uint64_t target)
{
	return v->code64 ? soft_canonical(target) : target <= v->s.seg[X86_CS].limit;
}

static inline void jump(struct soft_vcpu *v, uint64_t target)
{
	if (HV_UNLIKELY(!target_good(v, target)))
		soft_raise_err(v, X86_EXC_GP, 0);
	v->s.rip = target;
}

static inline uint64_t truncate_ip(uint64_t x, unsigned size)
{
	if (size == 8)
		return x;
	return size == 4 ? (uint32_t)x : (uint16_t)x;
}

/* ---- jcc: one function a condition; i->imm is the target, i->disp where it goes on else ---- */

#define JCC(c)                                                                                     \
	static void j_##c(struct soft_vcpu *v, const struct insn *i)                               \
	{                                                                                          \
		v->s.rip = cond_##c(v->fl) ? i->imm : (uint64_t)i->disp;                           \
	}                                                                                          \
	static void j_n##c(struct soft_vcpu *v, const struct insn *i)                              \
	{                                                                                          \
		v->s.rip = cond_##c(v->fl) ? (uint64_t)i->disp : i->imm;                           \
	}                                                                                          \
	static void set_##c(struct soft_vcpu *v, const struct insn *i)                             \
	{                                                                                          \
		SOFT_R8(v, i->dst) = cond_##c(v->fl);                                              \
	}                                                                                          \
	static void set_n##c(struct soft_vcpu *v, const struct insn *i)                            \
	{                                                                                          \
		SOFT_R8(v, i->dst) = !cond_##c(v->fl);                                             \
	}
FOR_COND(JCC)

static bool cond(unsigned fl, unsigned cc)
{
#define CASE(c) cond_##c,
	static bool (*const fn[8])(unsigned) = { FOR_COND(CASE) };
#undef CASE

	return fn[cc >> 1](fl) != (cc & 1);
}

/* Being taken is #GP. */
static void jcc_bad_target(struct soft_vcpu *v, const struct insn *i)
{
	if (cond(v->fl, i->cc))
		soft_raise_err(v, X86_EXC_GP, 0);
	v->s.rip = (uint64_t)i->disp;
}

static bool sel_jcc(const struct decoded *d, struct insn *i)
{
#define PAIR(c) { j_##c, j_n##c },
	static const insn_fn fn[8][2] = { FOR_COND(PAIR) };
#undef PAIR

	i->flags |= INSN_END;
	i->cc = d->z.opcode & 15;
	i->disp = (int64_t)soft_next_ip(d->v, i);
	if (!target_good(d->v, i->imm))
		return choose_fn(i, jcc_bad_target);
	return choose_fn(i, fn[i->cc >> 1][i->cc & 1]);
}

/* ---- setcc, cmovcc ---- */

static void setcc_m(struct soft_vcpu *v, const struct insn *i)
{
	soft_st8(v, soft_ea(v, i, 1, true), cond(v->fl, i->cc));
}

static bool sel_setcc(const struct decoded *d, struct insn *i)
{
#define PAIR(c) { set_##c, set_n##c },
	static const insn_fn fn[8][2] = { FOR_COND(PAIR) };
#undef PAIR

	i->cc = d->z.opcode & 15;
	if (i->flags & INSN_MEM)
		return choose_fn(i, setcc_m);
	return choose_fn(i, fn[i->cc >> 1][i->cc & 1]);
}

/* Memory is read whatever the condition; a 32-bit destination is extended even if it stays. */
#define CMOV(bits, unused)                                                                         \
	static void cmov_r##bits(struct soft_vcpu *v, const struct insn *i)                        \
	{                                                                                          \
		uint##bits##_t s = SOFT_R##bits(v, i->src), d = SOFT_R##bits(v, i->dst);           \
                                                                                                   \
		SET##bits(v, i->dst, cond(v->fl, i->cc) ? s : d);                                  \
	}                                                                                          \
	static void cmov_m##bits(struct soft_vcpu *v, const struct insn *i)                        \
	{                                                                                          \
		uint##bits##_t s = soft_ld##bits(v, soft_ea(v, i, bits / 8, false));               \
		uint##bits##_t d = SOFT_R##bits(v, i->dst);                                        \
                                                                                                   \
		SET##bits(v, i->dst, cond(v->fl, i->cc) ? s : d);                                  \
	}
FOR_WIDE(CMOV, )

static bool sel_cmov(const struct decoded *d, struct insn *i)
{
	static const insn_fn r[4] = BY_WIDE(cmov_r), m[4] = BY_WIDE(cmov_m);

	i->cc = d->z.opcode & 15;
	return choose_fn(i, i->flags & INSN_MEM ? m[first_size(d)] : r[first_size(d)]);
}

/* ---- jmp, call, ret ---- */

static void jmp_rel(struct soft_vcpu *v, const struct insn *i)
{
	v->s.rip = i->imm;
}

static void jmp_rel_checked(struct soft_vcpu *v, const struct insn *i)
{
	jump(v, i->imm);
}

static void jmp_r64(struct soft_vcpu *v, const struct insn *i)
{
	jump(v, SOFT_R64(v, i->dst));
}

static uint64_t indirect_target(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t x = 0;

	if (i->flags & INSN_MEM)
		soft_read(v, soft_ea(v, i, i->op_size, false), &x, i->op_size);
	else
		x = truncate_ip(SOFT_R64(v, i->dst), i->op_size);
	return x;
}

static void jmp_indirect(struct soft_vcpu *v, const struct insn *i)
{
	jump(v, indirect_target(v, i));
}

static bool sel_jmp(const struct decoded *d, struct insn *i)
{
	if (d->z.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return false;
	i->flags |= INSN_END;
	i->op_size = (uint8_t)(d->z.operand_width / 8);
	if (i->flags & INSN_BRANCH)
		return choose_fn(i, target_good(d->v, i->imm) ? jmp_rel : jmp_rel_checked);
	return choose_fn(i, i->op_size == 8 && !(i->flags & INSN_MEM) ? jmp_r64 : jmp_indirect);
}

static void call_rel64(struct soft_vcpu *v, const struct insn *i)
{
	push64(v, i->ip + i->len);
	v->s.rip = i->imm;
}

/* A target that is none: what the push would have raised goes first. */
static _Noreturn void bad_call(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t a = soft_stack_linear(v, soft_sp_at(v, -(int64_t)i->op_size), i->op_size, true);

	soft_probe(v, a, i->op_size, true);
	soft_raise_err(v, X86_EXC_GP, 0);
}

static void call_rel(struct soft_vcpu *v, const struct insn *i)
{
	if (!target_good(v, i->imm))
		bad_call(v, i);
	soft_push(v, i->op_size, soft_next_ip(v, i));
	v->s.rip = i->imm;
}

static void call_indirect(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t target = indirect_target(v, i);

	if (HV_UNLIKELY(!target_good(v, target)))
		bad_call(v, i);
	soft_push(v, i->op_size, soft_next_ip(v, i));
	v->s.rip = target;
}

static bool sel_call(const struct decoded *d, struct insn *i)
{
	if (d->z.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return false;
	i->flags |= INSN_END;
	i->op_size = (uint8_t)(d->z.operand_width / 8);
	if (!(i->flags & INSN_BRANCH))
		return choose_fn(i, call_indirect);
	bool fast = quick_stack(d, i) && target_good(d->v, i->imm);

	return choose_fn(i, fast ? call_rel64 : call_rel);
}

static void ret64(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t a = v->s.gpr[X86_RSP], x = soft_stack_read64(v);

	jump(v, x);
	v->s.gpr[X86_RSP] = a + 8 + i->imm;
}

static void ret_any(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t x = soft_stack_read(v, soft_sp_at(v, 0), i->op_size);

	jump(v, x);
	soft_sp_set(v, soft_sp_at(v, (int64_t)(i->op_size + i->imm)));
}

static bool sel_ret(const struct decoded *d, struct insn *i)
{
	if (d->z.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return false;
	i->flags |= INSN_END;
	i->op_size = (uint8_t)(d->z.operand_width / 8);
	i->imm &= 0xffff;
	return choose_fn(i, quick_stack(d, i) ? ret64 : ret_any);
}

/* ---- loop, jcxz ---- */

static uint64_t count_get(struct soft_vcpu *v, unsigned size)
{
	return truncate_ip(v->s.gpr[X86_RCX], size);
}

static void count_set(struct soft_vcpu *v, unsigned size, uint64_t x)
{
	if (size == 2)
		SET16(v, SOFT_REG(X86_RCX), x);
	else
		v->s.gpr[X86_RCX] = truncate_ip(x, size);
}

/* i->cc: 0 loopne, 1 loope, 2 loop. */
static void loop_any(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t n = truncate_ip(count_get(v, i->addr_size) - 1, i->addr_size);
	bool taken = n != 0 && (i->cc == 2 || cond_z(v->fl) == i->cc);

	if (taken)
		jump(v, i->imm);
	else
		v->s.rip = soft_next_ip(v, i);
	count_set(v, i->addr_size, n);
}

static void jcxz(struct soft_vcpu *v, const struct insn *i)
{
	if (count_get(v, i->addr_size) == 0)
		jump(v, i->imm);
	else
		v->s.rip = soft_next_ip(v, i);
}

static bool sel_loop(const struct decoded *d, struct insn *i)
{
	i->flags |= INSN_END;
	i->cc = d->z.opcode & 3;
	return choose_fn(i, i->cc == 3 ? jcxz : loop_any);
}

#define CC(x, m)                                                                                   \
	{                                                                                          \
		ZYDIS_MNEMONIC_##m, sel_##x                                                        \
	}
const struct soft_op soft_ops_flow[] = {
	CC(jcc, JO),	 CC(jcc, JNO),	   CC(jcc, JB),	     CC(jcc, JNB),
	CC(jcc, JZ),	 CC(jcc, JNZ),	   CC(jcc, JBE),     CC(jcc, JNBE),
	CC(jcc, JS),	 CC(jcc, JNS),	   CC(jcc, JP),	     CC(jcc, JNP),
	CC(jcc, JL),	 CC(jcc, JNL),	   CC(jcc, JLE),     CC(jcc, JNLE),
	CC(setcc, SETO), CC(setcc, SETNO), CC(setcc, SETB),  CC(setcc, SETNB),
	CC(setcc, SETZ), CC(setcc, SETNZ), CC(setcc, SETBE), CC(setcc, SETNBE),
	CC(setcc, SETS), CC(setcc, SETNS), CC(setcc, SETP),  CC(setcc, SETNP),
	CC(setcc, SETL), CC(setcc, SETNL), CC(setcc, SETLE), CC(setcc, SETNLE),
	CC(cmov, CMOVO), CC(cmov, CMOVNO), CC(cmov, CMOVB),  CC(cmov, CMOVNB),
	CC(cmov, CMOVZ), CC(cmov, CMOVNZ), CC(cmov, CMOVBE), CC(cmov, CMOVNBE),
	CC(cmov, CMOVS), CC(cmov, CMOVNS), CC(cmov, CMOVP),  CC(cmov, CMOVNP),
	CC(cmov, CMOVL), CC(cmov, CMOVNL), CC(cmov, CMOVLE), CC(cmov, CMOVNLE),
	CC(jmp, JMP),	 CC(call, CALL),   CC(ret, RET),     CC(loop, LOOP),
	CC(loop, LOOPE), CC(loop, LOOPNE), CC(loop, JCXZ),   CC(loop, JECXZ),
	CC(loop, JRCXZ), { -1, NULL },
};
