/*
 * Integer instructions: the guest's own, with registers renamed and the memory operand replaced by
 * its host address. Flags come out as the host's.
 */
#include "engine/soft/translate/gen.h"

enum access {
	RM_W = 1 << 0,	/* the operand of ModRM's rm field is written */
	REG_W = 1 << 1, /* that of its reg field */
	EXT = 1 << 2,	/* reg is part of the opcode */
	BY_CL = 1 << 3,
	TRAPS = 1 << 4, /* may raise #DE */
	ANEW = 1 << 5,	/* what is written is not read, and all of it is written */
};

struct form {
	unsigned flags; /* enum op_flag, without size */
	uint8_t op;
	unsigned acc;		/* enum access */
	unsigned reg, rm;	/* guest registers; rm: only without a memory operand */
	bool reg_high, rm_high; /* of them AH to BH: the number is that of AX to BX */
	unsigned imm_size;
	uint64_t imm;
};

static unsigned reg_field(const struct gen *g)
{
	return g->d->z.raw.modrm.reg | g->d->z.raw.rex.R * 8u;
}

static unsigned rm_field(const struct gen *g)
{
	return g->d->z.raw.modrm.rm | g->d->z.raw.rex.B * 8u;
}

static unsigned low_field(const struct gen *g)
{
	return (g->d->z.opcode & 7u) | g->d->z.raw.rex.B * 8u;
}

static unsigned by_width(const struct gen *g)
{
	switch (g->d->z.operand_width) {
	case 64:
		return OP_W;
	case 16:
		return OP_66;
	default:
		return 0;
	}
}

/* Of opcodes whose bit 0 says whether operands are bytes. */
static unsigned by_bit0(const struct gen *g)
{
	return g->d->z.opcode & 1 ? by_width(g) : OP_BYTE;
}

static void add_imm(const struct gen *g, struct form *f)
{
	f->imm = g->d->z.raw.imm[0].value.u;
	f->imm_size = g->d->z.raw.imm[0].size / 8u;
}

/* ---- AH, CH, DH, BH: rotated into a register of their own, and back ---- */

static unsigned high_begin(struct gen *g, unsigned n, unsigned temp)
{
	em_rorx(&g->e, temp, gen_use(g, n, temp), 8);
	return temp;
}

static void high_end(struct gen *g, unsigned n, unsigned temp)
{
	unsigned host = g->host[n] == H_NONE ? temp : g->host[n];

	em_rorx(&g->e, host, temp, 56);
	gen_put(g, n, host);
}

/* Of a byte operand's number in the encoding. */
static bool is_high(const struct gen *g, unsigned n)
{
	return n >= 4 && n < 8 && !(g->d->z.attributes & ZYDIS_ATTRIB_HAS_REX);
}

/* ---- emitting ---- */

static void op(struct gen *g, const struct form *f, unsigned reg, unsigned rm,
	       const struct gen_mem *m)
{
	const uint8_t *start = g->e.p;

	if (m != NULL)
		gen_rm(g, f->flags, f->op, reg, m);
	else
		em_rr(&g->e, f->flags & ~(unsigned)OP_LOCK, f->op, reg, rm);
	em_imm(&g->e, f->imm, f->imm_size);
	if (f->acc & TRAPS)
		gen_may_trap(g, start);
}

/* As gen_use(), but without the old value if that is of no interest. */
static unsigned use_or_name(struct gen *g, unsigned n, unsigned temp, bool anew)
{
	if (anew && g->host[n] == H_NONE)
		return temp;
	return gen_use(g, n, temp);
}

/* A register for the operand of ModRM's reg field: temp, if it is AH to BH or lives in the context.
 */
static unsigned reg_begin(struct gen *g, const struct form *f, unsigned temp)
{
	if (temp == H_R15 && (f->reg_high || g->host[f->reg] == H_NONE))
		gen_take_r15(g);
	return f->reg_high ? high_begin(g, f->reg, temp)
			   : use_or_name(g, f->reg, temp, (f->acc & ANEW) && (f->acc & REG_W));
}

static void reg_end(struct gen *g, const struct form *f, unsigned reg)
{
	if (!(f->acc & REG_W))
		return;
	if (f->reg_high)
		high_end(g, f->reg, reg);
	else
		gen_put(g, f->reg, reg);
}

static bool emit_mem(struct gen *g, const struct form *f)
{
	bool has_reg = !(f->acc & EXT);
	bool own = has_reg && (f->reg_high || g->host[f->reg] == H_NONE);
	unsigned reg = f->reg, temp = H_R11;
	struct gen_mem m;

	if (g->i->mem_size == 0 || g->i->mem_size > 8 ||
	    !gen_operand(g, g->i->mem_size, f->acc & RM_W, &m))
		return false;
	if (own && m.base == H_R11) { /* R15 is needed */
		gen_rm(g, OP_W, 0x8d, H_R11, &m);
		m = (struct gen_mem){ H_R11, H_NONE, 0 };
		temp = H_R15;
	}
	if (has_reg)
		reg = reg_begin(g, f, temp);
	if (f->acc & BY_CL)
		em_rr(&g->e, 0, 0x8b, H_RCX, gen_use(g, X86_RCX, H_RCX));
	op(g, f, reg, 0, &m);
	if (has_reg)
		reg_end(g, f, reg);
	return true;
}

static bool emit_reg(struct gen *g, const struct form *f)
{
	bool has_reg = !(f->acc & EXT), two = has_reg && (f->acc & RM_W) && (f->acc & REG_W);

	if (two && f->reg == f->rm && (g->host[f->reg] == H_NONE || f->reg_high || f->rm_high))
		return false;
	unsigned rm = f->rm_high ? high_begin(g, f->rm, H_R11)
				 : use_or_name(g, f->rm, H_R11, (f->acc & ANEW) && (f->acc & RM_W));
	unsigned reg = has_reg ? reg_begin(g, f, f->acc & BY_CL ? H_R15 : H_RCX) : f->reg;

	if (f->acc & BY_CL)
		em_rr(&g->e, 0, 0x8b, H_RCX, gen_use(g, X86_RCX, H_RCX));
	op(g, f, reg, rm, NULL);
	if (has_reg)
		reg_end(g, f, reg);
	if (!(f->acc & RM_W))
		return true;
	if (f->rm_high)
		high_end(g, f->rm, rm);
	else
		gen_put(g, f->rm, rm);
	return true;
}

static void find_high(const struct gen *g, struct form *f)
{
	/* MOVZX and MOVSX: only the source may be a byte. */
	bool both = !(f->flags & OP_0F) || (f->op & 0xf0) != 0xb0 || f->op < 0xb2;

	if (!(f->flags & OP_BYTE))
		return;
	if (!(f->acc & EXT) && both && is_high(g, f->reg)) {
		f->reg_high = true;
		f->reg -= 4;
	}
	if (!(g->i->flags & INSN_MEM) && is_high(g, f->rm)) {
		f->rm_high = true;
		f->rm -= 4;
	}
}

static bool emit(struct gen *g, struct form f)
{
	find_high(g, &f);
	if (g->i->flags & INSN_LOCK)
		f.flags |= OP_LOCK;
	return g->i->flags & INSN_MEM ? emit_mem(g, &f) : emit_reg(g, &f);
}

/* reg and rm from ModRM. */
static bool modrm(struct gen *g, unsigned flags, unsigned acc)
{
	struct form f = { .flags = flags,
			  .op = g->d->z.opcode,
			  .acc = acc,
			  .reg = acc & EXT ? g->d->z.raw.modrm.reg : reg_field(g),
			  .rm = rm_field(g) };

	if (g->d->z.opcode_map == ZYDIS_OPCODE_MAP_0F)
		f.flags |= OP_0F;
	add_imm(g, &f);
	return emit(g, f);
}

/* ---- groups ---- */

/* The accumulator and an immediate: the form with ModRM. */
static bool acc_imm(struct gen *g, uint8_t op, unsigned ext, unsigned acc)
{
	struct form f = { .flags = by_bit0(g), .op = op, .acc = acc | EXT, .reg = ext };

	add_imm(g, &f);
	return emit(g, f);
}

/* add, or, adc, sbb, and, sub, xor, cmp */
static bool alu(struct gen *g)
{
	uint8_t op = g->d->z.opcode;
	unsigned which = op >= 0x80 ? g->d->z.raw.modrm.reg : op >> 3;
	unsigned w = which == 7 ? 0 : RM_W;

	if (op == 0x82) /* the same as 80 in 32-bit code only */
		return false;
	if (op >= 0x80)
		return modrm(g, by_bit0(g), w | EXT);
	if ((op & 7) >= 4)
		return acc_imm(g, 0x80 | (op & 1), which, w);
	if (op & 2)
		w = which == 7 ? 0 : REG_W;
	return modrm(g, by_bit0(g), w);
}

static bool test(struct gen *g)
{
	uint8_t op = g->d->z.opcode;

	if (op == 0xa8 || op == 0xa9)
		return acc_imm(g, 0xf6 | (op & 1), 0, 0);
	return modrm(g, by_bit0(g), op >= 0xf6 ? EXT : 0);
}

static bool mov_imm(struct gen *g)
{
	unsigned n = low_field(g), host = g->host[n];
	uint64_t x = g->i->imm;

	if (g->d->z.opcode < 0xb8 || g->d->z.operand_width == 16) {
		struct form f = { .flags = by_width(g), .op = 0xc7, .acc = RM_W | EXT, .rm = n };

		if (g->d->z.opcode < 0xb8) {
			f.flags = OP_BYTE;
			f.op = 0xc6;
		}
		add_imm(g, &f);
		return emit(g, f);
	}
	if (g->d->z.operand_width == 32)
		x = (uint32_t)x;
	em_mov_imm(&g->e, host == H_NONE ? H_R11 : host, x);
	gen_put(g, n, H_R11);
	return true;
}

static bool mov(struct gen *g)
{
	uint8_t op = g->d->z.opcode;

	if (g->d->z.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		return false;
	unsigned anew = (op & 1) && g->d->z.operand_width >= 32 ? ANEW : 0;

	if (op == 0x88 || op == 0x89)
		return modrm(g, by_bit0(g), RM_W | anew);
	if (op == 0x8a || op == 0x8b)
		return modrm(g, by_bit0(g), REG_W | anew);
	if (op == 0xc6 || op == 0xc7)
		return modrm(g, by_bit0(g), RM_W | EXT | anew);
	return op >= 0xb0 && op <= 0xbf && mov_imm(g);
}

static bool lea(struct gen *g)
{
	unsigned n = reg_field(g), width = g->d->z.operand_width;
	unsigned to = g->host[n] == H_NONE ? H_R11 : g->host[n];

	if (width == 16) {
		if (!gen_offset(g, H_R11))
			return false;
		to = gen_use(g, n, H_RCX);
		em_rr(&g->e, OP_66, 0x8b, to, H_R11);
	} else if (width / 8 == g->i->addr_size) {
		if (!gen_offset(g, to))
			return false;
	} else {
		if (!gen_offset(g, H_R11))
			return false;
		em_rr(&g->e, width == 64 ? OP_W : 0, 0x8b, to, H_R11);
	}
	gen_put(g, n, to);
	return true;
}

static bool shift(struct gen *g)
{
	uint8_t op = g->d->z.opcode;
	bool by_cl = op == 0xd2 || op == 0xd3;

	return modrm(g, by_bit0(g), RM_W | EXT | (by_cl ? BY_CL : 0));
}

static bool shift_double(struct gen *g)
{
	return modrm(g, by_width(g), RM_W | (g->d->z.opcode & 1 ? BY_CL : 0));
}

static bool inc_dec(struct gen *g)
{
	if (g->d->z.opcode >= 0xfe)
		return modrm(g, by_bit0(g), RM_W | EXT);
	struct form f = { .flags = by_width(g), /* 40 to 4f in 32-bit code */
			  .op = 0xff,
			  .acc = RM_W | EXT,
			  .reg = g->d->z.opcode >> 3 & 1,
			  .rm = low_field(g) };

	return emit(g, f);
}

static bool imul(struct gen *g)
{
	if (g->d->z.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && g->d->z.opcode >= 0xf6)
		return modrm(g, by_bit0(g), EXT);
	return modrm(g, by_width(g), REG_W);
}

static bool xchg(struct gen *g)
{
	uint8_t op = g->d->z.opcode;
	struct form f = {
		.flags = by_width(g), .op = 0x87, .acc = RM_W | REG_W, .rm = low_field(g)
	};

	return op == 0x86 || op == 0x87 ? modrm(g, by_bit0(g), RM_W | REG_W) : emit(g, f);
}

/* With AH it writes a part of RAX twice. */
static bool cmpxchg(struct gen *g)
{
	if (g->d->z.opcode == 0xb0 && g->d->z.raw.modrm.mod == 3 && is_high(g, rm_field(g)))
		return false;
	return modrm(g, by_bit0(g), RM_W);
}

/* bt and its kin address memory beyond the operand, unless the bit's number is a constant. */
static bool bit(struct gen *g, bool write)
{
	bool imm = g->d->z.opcode == 0xba;

	if (!imm && (g->i->flags & INSN_MEM))
		return false;
	return modrm(g, by_width(g), (write ? RM_W : 0) | (imm ? EXT : 0));
}

static bool bswap(struct gen *g)
{
	unsigned n = low_field(g), host;

	if (g->d->z.operand_width == 16)
		return false;
	host = gen_use(g, n, H_R11);
	em8(&g->e, (uint8_t)(0x40 | (g->d->z.operand_width == 64 ? 8 : 0) | host >> 3));
	em8(&g->e, 0x0f);
	em8(&g->e, (uint8_t)(0xc8 | (host & 7)));
	gen_put(g, n, host);
	return true;
}

/* cbw to cqo, cmc, clc, stc: as they stand, but for REX and size. */
static bool bare(struct gen *g, unsigned flags)
{
	if (flags & OP_66)
		em8(&g->e, 0x66);
	if (flags & OP_W)
		em8(&g->e, 0x48);
	em8(&g->e, g->d->z.opcode);
	return true;
}

static bool setcc_cmov(struct gen *g)
{
	if (g->d->z.opcode_map != ZYDIS_OPCODE_MAP_0F)
		return false;
	if ((g->d->z.opcode & 0xf0) == 0x90) {
		struct form f = { .flags = OP_BYTE | OP_0F,
				  .op = g->d->z.opcode,
				  .acc = RM_W | EXT,
				  .rm = rm_field(g) };

		return emit(g, f);
	}
	return (g->d->z.opcode & 0xf0) == 0x40 && modrm(g, by_width(g), REG_W);
}

bool gen_plain(struct gen *g)
{
	switch (g->d->z.mnemonic) {
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_OR:
	case ZYDIS_MNEMONIC_ADC:
	case ZYDIS_MNEMONIC_SBB:
	case ZYDIS_MNEMONIC_AND:
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_XOR:
	case ZYDIS_MNEMONIC_CMP:
		return alu(g);
	case ZYDIS_MNEMONIC_TEST:
		return test(g);
	case ZYDIS_MNEMONIC_MOV:
		return mov(g);
	case ZYDIS_MNEMONIC_LEA:
		return lea(g);
	case ZYDIS_MNEMONIC_MOVZX:
	case ZYDIS_MNEMONIC_MOVSX:
		return modrm(g, by_width(g) | (g->d->z.opcode & 1 ? 0 : OP_BYTE),
			     REG_W | (g->d->z.operand_width >= 32 ? ANEW : 0));
	case ZYDIS_MNEMONIC_MOVSXD:
		return modrm(g, by_width(g), REG_W | (g->d->z.operand_width >= 32 ? ANEW : 0));
	case ZYDIS_MNEMONIC_ROL:
	case ZYDIS_MNEMONIC_ROR:
	case ZYDIS_MNEMONIC_RCL:
	case ZYDIS_MNEMONIC_RCR:
	case ZYDIS_MNEMONIC_SHL:
	case ZYDIS_MNEMONIC_SHR:
	case ZYDIS_MNEMONIC_SAR:
		return shift(g);
	case ZYDIS_MNEMONIC_SHLD:
	case ZYDIS_MNEMONIC_SHRD:
		return shift_double(g);
	case ZYDIS_MNEMONIC_INC:
	case ZYDIS_MNEMONIC_DEC:
		return inc_dec(g);
	case ZYDIS_MNEMONIC_NOT:
	case ZYDIS_MNEMONIC_NEG:
		return modrm(g, by_bit0(g), RM_W | EXT);
	case ZYDIS_MNEMONIC_MUL:
		return modrm(g, by_bit0(g), EXT);
	case ZYDIS_MNEMONIC_DIV:
	case ZYDIS_MNEMONIC_IDIV:
		return modrm(g, by_bit0(g), EXT | TRAPS);
	case ZYDIS_MNEMONIC_IMUL:
		return imul(g);
	case ZYDIS_MNEMONIC_XCHG:
		return xchg(g);
	case ZYDIS_MNEMONIC_XADD:
		return modrm(g, by_bit0(g), RM_W | REG_W);
	case ZYDIS_MNEMONIC_CMPXCHG:
		return cmpxchg(g);
	case ZYDIS_MNEMONIC_BT:
		return bit(g, false);
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		return bit(g, true);
	case ZYDIS_MNEMONIC_BSF:
	case ZYDIS_MNEMONIC_BSR:
		return modrm(g, by_width(g), REG_W);
	case ZYDIS_MNEMONIC_TZCNT:
	case ZYDIS_MNEMONIC_LZCNT:
	case ZYDIS_MNEMONIC_POPCNT:
		return modrm(g, by_width(g) | OP_F3, REG_W);
	case ZYDIS_MNEMONIC_BSWAP:
		return bswap(g);
	case ZYDIS_MNEMONIC_CBW:
	case ZYDIS_MNEMONIC_CWDE:
	case ZYDIS_MNEMONIC_CDQE:
	case ZYDIS_MNEMONIC_CWD:
	case ZYDIS_MNEMONIC_CDQ:
	case ZYDIS_MNEMONIC_CQO:
		return bare(g, by_width(g));
	case ZYDIS_MNEMONIC_CMC:
	case ZYDIS_MNEMONIC_CLC:
	case ZYDIS_MNEMONIC_STC:
		return bare(g, 0);
	case ZYDIS_MNEMONIC_NOP:
	case ZYDIS_MNEMONIC_ENDBR64:
	case ZYDIS_MNEMONIC_PREFETCHNTA:
	case ZYDIS_MNEMONIC_PREFETCHT0:
	case ZYDIS_MNEMONIC_PREFETCHT1:
	case ZYDIS_MNEMONIC_PREFETCHT2:
	case ZYDIS_MNEMONIC_PREFETCHW:
		return true;
	default:
		return setcc_cmov(g);
	}
}
