/* Branches, calls, returns; pushes and pops. */
#include "engine/soft/translate/gen.h"

/* ---- the stack ---- */

static unsigned wide(const struct gen *g)
{
	return g->is64 ? OP_W : 0;
}

static int32_t width(const struct gen *g)
{
	return g->is64 ? 8 : 4;
}

static void set_reg(struct gen *g, unsigned n, unsigned from)
{
	if (g->host[n] == H_NONE)
		em_store(&g->e, from, SOFT_REG(n));
	else
		em_rr(&g->e, OP_W, 0x8b, g->host[n], from);
}

/* RSP += n, in the width of the stack pointer. */
void gen_move_sp(struct gen *g, int32_t n)
{
	unsigned sp = gen_use(g, X86_RSP, H_R11);

	em_rm(&g->e, wide(g), 0x8d, sp, sp, H_NONE, 0, n);
	gen_put(g, X86_RSP, sp);
}

static void push_reg(struct gen *g, unsigned reg)
{
	struct gen_mem m;

	gen_stack_operand(g, X86_RSP, -width(g), true, &m);
	gen_rm(g, wide(g), 0x89, gen_use(g, reg, H_RCX), &m);
	gen_move_sp(g, -width(g));
}

static void push_imm(struct gen *g, uint64_t x)
{
	struct gen_mem m;

	gen_stack_operand(g, X86_RSP, -width(g), true, &m);
	if (g->is64 && (int64_t)x != (int32_t)x) {
		em_mov_imm(&g->e, H_RCX, x);
		gen_rm(g, wide(g), 0x89, H_RCX, &m);
	} else {
		gen_rm(g, wide(g), 0xc7, 0, &m);
		em32(&g->e, (uint32_t)x);
	}
	gen_move_sp(g, -width(g));
}

static bool push(struct gen *g)
{
	const ZydisDecodedInstruction *z = &g->d->z;
	struct gen_mem m;

	if (z->opcode >= 0x50 && z->opcode <= 0x57) {
		push_reg(g, (z->opcode & 7u) | z->raw.rex.B * 8u);
		return true;
	}
	if (z->opcode == 0x68 || z->opcode == 0x6a) {
		push_imm(g, g->is64 ? g->i->imm : (uint32_t)g->i->imm);
		return true;
	}
	if (z->opcode != 0xff || !(g->i->flags & INSN_MEM) ||
	    !gen_operand(g, (unsigned)width(g), false, &m))
		return false;
	gen_rm(g, wide(g), 0x8b, H_RCX, &m);
	em_store(&g->e, H_RCX, TR_OFF(tr_tmp));
	gen_stack_operand(g, X86_RSP, -width(g), true, &m);
	em_load(&g->e, H_RCX, TR_OFF(tr_tmp));
	gen_rm(g, wide(g), 0x89, H_RCX, &m);
	gen_move_sp(g, -width(g));
	return true;
}

static bool pop(struct gen *g)
{
	const ZydisDecodedInstruction *z = &g->d->z;
	unsigned n = (z->opcode & 7u) | z->raw.rex.B * 8u;
	struct gen_mem m;

	if (z->opcode < 0x58 || z->opcode > 0x5f)
		return false;
	gen_stack_operand(g, X86_RSP, 0, false, &m);
	if (n != X86_RSP && g->host[n] != H_NONE) {
		gen_rm(g, wide(g), 0x8b, g->host[n], &m);
		gen_move_sp(g, width(g));
		return true;
	}
	gen_rm(g, wide(g), 0x8b, H_RCX, &m);
	gen_move_sp(g, width(g));
	set_reg(g, n, H_RCX);
	return true;
}

static bool leave(struct gen *g)
{
	struct gen_mem m;

	gen_stack_operand(g, X86_RBP, 0, false, &m);
	gen_rm(g, wide(g), 0x8b, H_RCX, &m);
	unsigned rbp = gen_use(g, X86_RBP, H_R11);

	em_rm(&g->e, wide(g), 0x8d, H_R11, rbp, H_NONE, 0, width(g));
	set_reg(g, X86_RSP, H_R11);
	set_reg(g, X86_RBP, H_RCX);
	return true;
}

bool gen_stack(struct gen *g)
{
	if (!g->stack_ok || (g->d->z.attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE))
		return false;
	switch (g->d->z.mnemonic) {
	case ZYDIS_MNEMONIC_PUSH:
		return push(g);
	case ZYDIS_MNEMONIC_POP:
		return pop(g);
	case ZYDIS_MNEMONIC_LEAVE:
		return leave(g);
	default:
		return false;
	}
}

/* ---- branches ---- */

static uint64_t next_ip(const struct gen *g)
{
	uint64_t ip = g->i->ip + g->i->len;

	return g->is64 ? ip : (uint32_t)ip;
}

static bool good(const struct gen *g, uint64_t target)
{
	return g->is64 ? soft_canonical(target) : target <= UINT32_MAX;
}

/* Where the trace goes on after this instruction; false: it ends here. */
static bool goes_on(const struct gen *g, uint64_t *ret_ip)
{
	if (g->k + 1u == g->b->n)
		return false;
	*ret_ip = g->b->insns[g->k + 1].ip;
	return true;
}

static bool jcc(struct gen *g)
{
	uint64_t taken = g->i->imm, not_taken = next_ip(g), on;
	unsigned cc = g->d->z.opcode & 15;

	if (!good(g, taken))
		return false;
	if (!goes_on(g, &on)) {
		gen_link_if(g, cc, taken);
		gen_link_end(g, not_taken);
	} else if (on == not_taken) {
		gen_link_if(g, cc, taken);
	} else {
		gen_link_if(g, cc ^ 1, not_taken);
	}
	return true;
}

/* R11 = where an indirect branch goes; R15 = its code. */
static bool indirect(struct gen *g)
{
	const ZydisDecodedInstruction *z = &g->d->z;

	if (g->i->flags & INSN_MEM) {
		struct gen_mem m;

		if (!gen_operand(g, (unsigned)width(g), false, &m))
			return false;
		gen_rm(g, wide(g), 0x8b, H_R11, &m);
	} else {
		unsigned n = z->raw.modrm.rm | z->raw.rex.B * 8u;

		em_rr(&g->e, wide(g), 0x8b, H_R11, gen_use(g, n, H_R11));
	}
	gen_lookup(g);
	return true;
}

static bool jmp(struct gen *g)
{
	if (g->i->flags & INSN_BRANCH) {
		uint64_t on;

		if (!good(g, g->i->imm))
			return false;
		if (!goes_on(g, &on))
			gen_link_end(g, g->i->imm);
		return true;
	}
	if (g->d->z.opcode != 0xff || !indirect(g))
		return false;
	gen_count(g, g->k + 1);
	gen_leave(g);
	em_rr(&g->e, 0, 0xff, 4, H_R15);
	return true;
}

static bool call(struct gen *g)
{
	if (!g->stack_ok)
		return false;
	if (g->i->flags & INSN_BRANCH) {
		if (!good(g, g->i->imm))
			return false;
		push_imm(g, next_ip(g));
		gen_count(g, g->k + 1);
		gen_call(g, g->i->imm, next_ip(g));
		return true;
	}
	if (g->d->z.opcode != 0xff || !indirect(g))
		return false;
	em_store(&g->e, H_R15, TR_OFF(tr_code));
	push_imm(g, next_ip(g));
	gen_count(g, g->k + 1);
	gen_call_indirect(g, next_ip(g));
	return true;
}

static bool ret(struct gen *g)
{
	uint64_t more = g->d->z.opcode == 0xc2 ? g->i->imm : 0;
	struct gen_mem m;

	if (!g->stack_ok || (g->d->z.opcode != 0xc3 && g->d->z.opcode != 0xc2))
		return false;
	gen_stack_operand(g, X86_RSP, 0, false, &m);
	gen_rm(g, wide(g), 0x8b, H_R11, &m);
	gen_return(g, width(g) + (int32_t)more);
	return true;
}

bool gen_branch(struct gen *g)
{
	const ZydisDecodedInstruction *z = &g->d->z;

	/* The interpreter's own must not be an instruction that only faults: those have lost their
	 * flags. */
	if ((z->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE) ||
	    z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR ||
	    (!g->is64 && g->i->ip + g->i->len > UINT32_MAX))
		return false;
	if (z->raw.imm[0].is_relative && !(g->i->flags & INSN_BRANCH))
		return false;
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_JMP:
		return jmp(g);
	case ZYDIS_MNEMONIC_CALL:
		return call(g);
	case ZYDIS_MNEMONIC_RET:
		return ret(g);
	default:
		break;
	}
	bool is_jcc = (z->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (z->opcode & 0xf0) == 0x70) ||
		      (z->opcode_map == ZYDIS_OPCODE_MAP_0F && (z->opcode & 0xf0) == 0x80);

	return is_jcc && jcc(g);
}
