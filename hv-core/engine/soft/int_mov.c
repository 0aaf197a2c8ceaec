/* Moves: mov, movzx, movsx, lea, xchg, bswap, movbe, push, pop, pusha, popa, enter, leave, xlat. */
#include "engine/soft/int.h"
#include "engine/soft/stack.h"
#include "engine/soft/tables.h"

/* ---- mov ---- */

#define MOV(bits, unused)                                                                          \
	static void mov_rr##bits(struct soft_vcpu *v, const struct insn *i)                        \
	{                                                                                          \
		SET##bits(v, i->dst, SOFT_R##bits(v, i->src));                                     \
	}                                                                                          \
	static void mov_rm##bits(struct soft_vcpu *v, const struct insn *i)                        \
	{                                                                                          \
		SET##bits(v, i->dst, soft_ld##bits(v, soft_ea(v, i, bits / 8, false)));            \
	}                                                                                          \
	static void mov_mr##bits(struct soft_vcpu *v, const struct insn *i)                        \
	{                                                                                          \
		soft_st##bits(v, soft_ea(v, i, bits / 8, true), SOFT_R##bits(v, i->src));          \
	}                                                                                          \
	static void mov_ri##bits(struct soft_vcpu *v, const struct insn *i)                        \
	{                                                                                          \
		SET##bits(v, i->dst, i->imm);                                                      \
	}                                                                                          \
	static void mov_mi##bits(struct soft_vcpu *v, const struct insn *i)                        \
	{                                                                                          \
		soft_st##bits(v, soft_ea(v, i, bits / 8, true), (uint##bits##_t)i->imm);           \
	}
FOR_SIZES(MOV, )

/* The commonest operands of 64-bit code: base and displacement, nothing else to look at. */
#define MOV_PLAIN(bits, unused)                                                                    \
	static void mov_rp##bits(struct soft_vcpu *v, const struct insn *i)                        \
	{                                                                                          \
		SET##bits(v, i->dst, soft_ld##bits(v, soft_ea_plain(v, i)));                       \
	}                                                                                          \
	static void mov_pr##bits(struct soft_vcpu *v, const struct insn *i)                        \
	{                                                                                          \
		soft_st##bits(v, soft_ea_plain(v, i), SOFT_R##bits(v, i->src));                    \
	}

static inline uint64_t soft_ea_plain(struct soft_vcpu *v, const struct insn *i)
{
	return SOFT_R64(v, i->base) + (uint64_t)i->disp;
}
MOV_PLAIN(32, )
MOV_PLAIN(64, )

static bool is_plain(const struct insn *i)
{
	return i->addr_size == 8 && i->index == SOFT_ZERO && i->seg < X86_FS &&
	       !(i->flags & (INSN_CHECK | INSN_ALIGN));
}

static bool sel_mov(const struct decoded *d, struct insn *i)
{
	static const insn_fn tab[][4] = {
		[FORM_RR] = BY_SIZE(mov_rr), [FORM_RM] = BY_SIZE(mov_rm),
		[FORM_MR] = BY_SIZE(mov_mr), [FORM_RI] = BY_SIZE(mov_ri),
		[FORM_MI] = BY_SIZE(mov_mi),
	};
	enum form f = form_of(d);

	if (f > FORM_MI)
		return false;
	unsigned s = first_size(d);

	if (is_plain(i) && s >= 2 && (f == FORM_RM || f == FORM_MR)) {
		static const insn_fn plain[2][2] = { { mov_rp32, mov_rp64 },
						     { mov_pr32, mov_pr64 } };

		return choose_fn(i, plain[f == FORM_MR][s - 2]);
	}
	return choose_fn(i, tab[f][s]);
}

/* ---- with extension ---- */

#define MOVX(to, from, name, type)                                                                 \
	static void name##_rr##to##_##from(struct soft_vcpu *v, const struct insn *i)              \
	{                                                                                          \
		SET##to(v, i->dst, (type)SOFT_R##from(v, i->src));                                 \
	}                                                                                          \
	static void name##_rm##to##_##from(struct soft_vcpu *v, const struct insn *i)              \
	{                                                                                          \
		SET##to(v, i->dst, (type)soft_ld##from(v, soft_ea(v, i, from / 8, false)));        \
	}
MOVX(16, 8, movzx, uint8_t)
MOVX(32, 8, movzx, uint8_t)
MOVX(64, 8, movzx, uint8_t)
MOVX(16, 16, movzx, uint16_t)
MOVX(32, 16, movzx, uint16_t)
MOVX(64, 16, movzx, uint16_t)
MOVX(16, 8, movsx, int8_t)
MOVX(32, 8, movsx, int8_t)
MOVX(64, 8, movsx, int8_t)
MOVX(16, 16, movsx, int16_t)
MOVX(32, 16, movsx, int16_t)
MOVX(64, 16, movsx, int16_t)
MOVX(16, 32, movsx, int16_t) /* movsxd: 32 bits are read */
MOVX(32, 32, movsx, int32_t)
MOVX(64, 32, movsx, int32_t)

static bool sel_movx(const struct decoded *d, struct insn *i)
{
	bool sx = d->z.mnemonic != ZYDIS_MNEMONIC_MOVZX, mem = form_of(d) == FORM_RM;
	unsigned to = first_size(d), from = size_index(d->op[1].size);
	static const insn_fn zx[2][2][4] = {
		{ { NULL, movzx_rr16_8, movzx_rr32_8, movzx_rr64_8 },
		  { NULL, movzx_rr16_16, movzx_rr32_16, movzx_rr64_16 } },
		{ { NULL, movzx_rm16_8, movzx_rm32_8, movzx_rm64_8 },
		  { NULL, movzx_rm16_16, movzx_rm32_16, movzx_rm64_16 } },
	};
	static const insn_fn sx_[2][3][4] = {
		{ { NULL, movsx_rr16_8, movsx_rr32_8, movsx_rr64_8 },
		  { NULL, movsx_rr16_16, movsx_rr32_16, movsx_rr64_16 },
		  { NULL, movsx_rr16_32, movsx_rr32_32, movsx_rr64_32 } },
		{ { NULL, movsx_rm16_8, movsx_rm32_8, movsx_rm64_8 },
		  { NULL, movsx_rm16_16, movsx_rm32_16, movsx_rm64_16 },
		  { NULL, movsx_rm16_32, movsx_rm32_32, movsx_rm64_32 } },
	};

	/* Of a MOVSXD to 16 bits, Intel's CPUs read no more than that. */
	if (to == size_index(16) && from == size_index(32) && !d->v->hv->vm->model->amd) {
		from = to;
		i->mem_size = mem ? 2 : 0;
	}
	if (sx)
		return choose_fn(i, sx_[mem][from][to]);
	return choose_fn(i, zx[mem][from][to]);
}

/* ---- lea ---- */

#define LEA(bits, unused)                                                                          \
	static void lea##bits(struct soft_vcpu *v, const struct insn *i)                           \
	{                                                                                          \
		SET##bits(v, i->dst, soft_offset(v, i));                                           \
	}
FOR_WIDE(LEA, )

static bool sel_lea(const struct decoded *d, struct insn *i)
{
	static const insn_fn tab[4] = BY_WIDE(lea);

	return choose_fn(i, tab[first_size(d)]);
}

/* ---- xchg: with memory always locked ---- */

#define XCHG(bits, unused)                                                                         \
	static void xchg_rr##bits(struct soft_vcpu *v, const struct insn *i)                       \
	{                                                                                          \
		uint##bits##_t a = SOFT_R##bits(v, i->dst), b = SOFT_R##bits(v, i->src);           \
                                                                                                   \
		SET##bits(v, i->dst, b);                                                           \
		SET##bits(v, i->src, a);                                                           \
	}                                                                                          \
	static void xchg_mr##bits(struct soft_vcpu *v, const struct insn *i)                       \
	{                                                                                          \
		uint64_t a = soft_ea(v, i, bits / 8, true);                                        \
		uint##bits##_t x = SOFT_R##bits(v, i->src);                                        \
		mem##bits *p = soft_atomic(v, a, bits / 8);                                        \
                                                                                                   \
		if (HV_LIKELY(p != NULL)) {                                                        \
			__asm__ volatile("xchg" SFX##bits " %0, %1"                                \
					 : "+q"(x), "+m"(*p)                                       \
					 :                                                         \
					 : "memory");                                              \
		} else {                                                                           \
			soft_lock_begin(v);                                                        \
			uint##bits##_t old = soft_ld##bits(v, a);                                  \
			soft_st##bits(v, a, x);                                                    \
			soft_lock_end(v);                                                          \
			x = old;                                                                   \
		}                                                                                  \
		SET##bits(v, i->src, x);                                                           \
	}
FOR_SIZES(XCHG, )

/* 90 with REX.B is xchg with r8, and a REP prefix does not make a pause of it. */
static bool sel_pause(const struct decoded *d, struct insn *i)
{
	static const insn_fn rr[4] = BY_SIZE(xchg_rr);

	if (!(d->z.attributes & ZYDIS_ATTRIB_HAS_REX) || !d->z.raw.rex.B)
		return false;
	i->dst = SOFT_REG(X86_RAX);
	i->src = SOFT_REG(X86_R8);
	if (d->z.raw.rex.W)
		return choose_fn(i, rr[3]);
	return choose_fn(i, rr[d->z.attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE ? 1 : 2]);
}

static bool sel_xchg(const struct decoded *d, struct insn *i)
{
	static const insn_fn rr[4] = BY_SIZE(xchg_rr), mr[4] = BY_SIZE(xchg_mr);

	if (form_of(d) == FORM_RM)
		i->src = i->dst;
	return choose_fn(i, form_of(d) == FORM_RR ? rr[first_size(d)] : mr[first_size(d)]);
}

/* ---- bswap, movbe ---- */

static void bswap16(struct soft_vcpu *v, const struct insn *i)
{
	/* Undefined by the manuals; as the host does it. */
	uint32_t x = SOFT_R32(v, i->dst);

	__asm__("data16 bswap %0" : "+r"(x));
	SET16(v, i->dst, x);
}

static void bswap32(struct soft_vcpu *v, const struct insn *i)
{
	SET32(v, i->dst, __builtin_bswap32(SOFT_R32(v, i->dst)));
}

static void bswap64(struct soft_vcpu *v, const struct insn *i)
{
	SET64(v, i->dst, __builtin_bswap64(SOFT_R64(v, i->dst)));
}

static bool sel_bswap(const struct decoded *d, struct insn *i)
{
	static const insn_fn tab[4] = BY_WIDE(bswap);

	return choose_fn(i, tab[size_index(d->z.operand_width)]);
}

#define MOVBE(bits, unused)                                                                        \
	static void movbe_rm##bits(struct soft_vcpu *v, const struct insn *i)                      \
	{                                                                                          \
		uint##bits##_t m = soft_ld##bits(v, soft_ea(v, i, bits / 8, false));               \
                                                                                                   \
		SET##bits(v, i->dst, __builtin_bswap##bits(m));                                    \
	}                                                                                          \
	static void movbe_mr##bits(struct soft_vcpu *v, const struct insn *i)                      \
	{                                                                                          \
		soft_st##bits(v, soft_ea(v, i, bits / 8, true),                                    \
			      __builtin_bswap##bits(SOFT_R##bits(v, i->src)));                     \
	}
FOR_WIDE(MOVBE, )

static bool sel_movbe(const struct decoded *d, struct insn *i)
{
	static const insn_fn rm[4] = BY_WIDE(movbe_rm), mr[4] = BY_WIDE(movbe_mr);

	return choose_fn(i, form_of(d) == FORM_RM ? rm[first_size(d)] : mr[first_size(d)]);
}

/* ---- push, pop ---- */

static void push_r64(struct soft_vcpu *v, const struct insn *i)
{
	push64(v, SOFT_R64(v, i->dst));
}

static void pop_r64(struct soft_vcpu *v, const struct insn *i)
{
	SOFT_R64(v, i->dst) = pop64(v);
}

static void push_r(struct soft_vcpu *v, const struct insn *i)
{
	soft_push(v, i->op_size, SOFT_R64(v, i->dst));
}

static void push_i(struct soft_vcpu *v, const struct insn *i)
{
	soft_push(v, i->op_size, i->imm);
}

static void push_m(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t a = soft_ea(v, i, i->op_size, false), x = 0;

	soft_read(v, a, &x, i->op_size);
	soft_push(v, i->op_size, x);
}

static void pop_r(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t x = soft_pop(v, i->op_size);

	if (i->op_size == 2)
		SET16(v, i->dst, x);
	else
		SET64(v, i->dst, x);
}

/* The address is computed with the stack pointer after the pop. */
static void pop_m(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t sp = v->s.gpr[X86_RSP];
	uint64_t x = soft_stack_read(v, soft_sp_at(v, 0), i->op_size);
	uint64_t new_sp = soft_sp_at(v, i->op_size), a;
	bool rsp_based = i->base == SOFT_REG(X86_RSP);

	/* Put back first: a fault in the address or the store must find it as it was. */
	struct insn copy = *i;

	if (rsp_based)
		copy.disp += (int64_t)(new_sp - soft_sp_at(v, 0));
	a = soft_ea(v, &copy, i->op_size, true);
	soft_write(v, a, &x, i->op_size);
	v->s.gpr[X86_RSP] = sp;
	soft_sp_set(v, new_sp);
}

static bool sel_push(const struct decoded *d, struct insn *i)
{
	i->op_size = (uint8_t)(d->z.operand_width / 8);
	switch (d->op[0].type) {
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		return choose_fn(i, push_i);
	case ZYDIS_OPERAND_TYPE_MEMORY:
		return choose_fn(i, push_m);
	default:
		if (form_of(d) == FORM_NONE)
			return false;
		return choose_fn(i, quick_stack(d, i) ? push_r64 : push_r);
	}
}

static bool sel_pop(const struct decoded *d, struct insn *i)
{
	if (d->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY)
		return choose_fn(i, pop_m);
	if (form_of(d) == FORM_NONE)
		return false;
	return choose_fn(i, quick_stack(d, i) ? pop_r64 : pop_r);
}

static void pusha(struct soft_vcpu *v, const struct insn *i)
{
	unsigned n = i->op_size;

	/* All or nothing: both ends are tried before the first store. */
	for (int r = 0; r < 8; r++) {
		uint64_t a = soft_stack_linear(v, soft_sp_at(v, -(int64_t)n * (r + 1)), n, true);

		soft_probe(v, a, n, true);
	}
	for (int r = 0; r < 8; r++)
		soft_stack_write(v, soft_sp_at(v, -(int64_t)n * (r + 1)), n, v->s.gpr[r]);
	soft_sp_set(v, soft_sp_at(v, -(int64_t)n * 8));
}

static void popa(struct soft_vcpu *v, const struct insn *i)
{
	unsigned n = i->op_size;

	/* As on hardware, what was loaded before a fault stays: the restart loads it again. */
	for (int r = 0; r < 8; r++) {
		uint64_t x = soft_stack_read(v, soft_sp_at(v, (int64_t)n * r), n);

		if (7 - r == X86_RSP)
			continue;
		if (n == 2)
			SET16(v, SOFT_REG(7 - r), x);
		else
			SET32(v, SOFT_REG(7 - r), x);
	}
	soft_sp_set(v, soft_sp_at(v, (int64_t)n * 8));
}

static bool sel_pusha(const struct decoded *d, struct insn *i)
{
	bool wide = d->z.mnemonic == ZYDIS_MNEMONIC_PUSHAD || d->z.mnemonic == ZYDIS_MNEMONIC_POPAD;

	i->op_size = wide ? 4 : 2;
	if (d->z.mnemonic == ZYDIS_MNEMONIC_PUSHA || d->z.mnemonic == ZYDIS_MNEMONIC_PUSHAD)
		return choose_fn(i, pusha);
	return choose_fn(i, popa);
}

/* ---- enter, leave ---- */

static void set_bp(struct soft_vcpu *v, unsigned size, uint64_t x)
{
	if (size == 2)
		SET16(v, SOFT_REG(X86_RBP), x);
	else
		SET64(v, SOFT_REG(X86_RBP), x);
}

static uint64_t bp_on_stack(const struct soft_vcpu *v, int64_t off)
{
	uint64_t bp = v->s.gpr[X86_RBP] + (uint64_t)off;

	if (v->code64)
		return bp;
	return v->stack32 ? (uint32_t)bp : (uint16_t)bp;
}

static void probe_push(struct soft_vcpu *v, int64_t off, unsigned size)
{
	soft_probe(v, soft_stack_linear(v, soft_sp_at(v, off), size, true), size, true);
}

static void enter(struct soft_vcpu *v, const struct insn *i)
{
	int64_t n = i->op_size, level = i->cc;
	uint64_t frame = soft_sp_at(v, -n);
	int64_t total = -n * (level + 1) - (int64_t)(uint16_t)i->imm;

	/* In this order as on hardware: what was pushed before a fault stays in memory, and the old
	 * frames' pointers may lie where the new ones go. Registers change only at the end. */
	soft_stack_write(v, frame, i->op_size, v->s.gpr[X86_RBP]);
	for (int64_t k = 1; k < level; k++) {
		uint64_t x = soft_stack_read(v, bp_on_stack(v, -n * k), i->op_size);

		soft_stack_write(v, soft_sp_at(v, -n * (k + 1)), i->op_size, x);
	}
	if (level > 0)
		soft_stack_write(v, soft_sp_at(v, -n * (level + 1)), i->op_size, frame);
	probe_push(v, total, i->op_size); /* the new frame's end */
	soft_sp_set(v, soft_sp_at(v, total));
	set_bp(v, i->op_size, frame);
}

static bool sel_enter(const struct decoded *d, struct insn *i)
{
	i->cc = d->op[1].imm.value.u & 31;
	return choose_fn(i, enter);
}

static void leave(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t bp = bp_on_stack(v, 0);
	uint64_t x = soft_stack_read(v, bp, i->op_size);

	soft_sp_set(v, bp_on_stack(v, i->op_size));
	set_bp(v, i->op_size, x);
}

static void leave64(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	uint64_t bp = v->s.gpr[X86_RBP];
	uint64_t x = soft_stack_read(v, bp, 8);

	v->s.gpr[X86_RSP] = bp + 8;
	v->s.gpr[X86_RBP] = x;
}

static bool sel_leave(const struct decoded *d, struct insn *i)
{
	(void)d;
	return choose_fn(i, i->op_size == 8 ? leave64 : leave);
}

/* ---- xlat ---- */

static void xlat(struct soft_vcpu *v, const struct insn *i)
{
	struct insn m = *i;

	m.index = SOFT_ZERO;
	m.disp = SOFT_R8(v, SOFT_REG(X86_RAX));
	SOFT_R8(v, SOFT_REG(X86_RAX)) = soft_ld8(v, soft_ea(v, &m, 1, false));
}

static bool sel_xlat(const struct decoded *d, struct insn *i)
{
	for (unsigned k = 0; k < d->z.operand_count; k++)
		if (d->op[k].type == ZYDIS_OPERAND_TYPE_MEMORY)
			i->seg = decode_seg(d->op[k].mem.segment);
	i->base = SOFT_REG(X86_RBX);
	i->flags |= INSN_MEM;
	if (!(d->v->flat >> i->seg & 1))
		i->flags |= INSN_CHECK;
	return choose_fn(i, xlat);
}

const struct soft_op soft_ops_mov[] = {
	{ ZYDIS_MNEMONIC_MOV, sel_mov },
	{ ZYDIS_MNEMONIC_MOVZX, sel_movx },
	{ ZYDIS_MNEMONIC_MOVSX, sel_movx },
	{ ZYDIS_MNEMONIC_MOVSXD, sel_movx },
	{ ZYDIS_MNEMONIC_LEA, sel_lea },
	{ ZYDIS_MNEMONIC_XCHG, sel_xchg },
	{ ZYDIS_MNEMONIC_PAUSE, sel_pause },
	{ ZYDIS_MNEMONIC_BSWAP, sel_bswap },
	{ ZYDIS_MNEMONIC_MOVBE, sel_movbe },
	{ ZYDIS_MNEMONIC_PUSH, sel_push },
	{ ZYDIS_MNEMONIC_POP, sel_pop },
	{ ZYDIS_MNEMONIC_PUSHA, sel_pusha },
	{ ZYDIS_MNEMONIC_PUSHAD, sel_pusha },
	{ ZYDIS_MNEMONIC_POPA, sel_pusha },
	{ ZYDIS_MNEMONIC_POPAD, sel_pusha },
	{ ZYDIS_MNEMONIC_ENTER, sel_enter },
	{ ZYDIS_MNEMONIC_LEAVE, sel_leave },
	{ ZYDIS_MNEMONIC_XLAT, sel_xlat },
	{ -1, NULL },
};
