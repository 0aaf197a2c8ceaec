/* Blocks to host code: see gen.h and docs/soft-engine.md. */
#include "engine/soft/translate/gen.h"
#include "engine/soft/translate/perf_map.h"

#define MODE_OF_KEY(key) ((key) >> KEY_MODE_SHIFT & 3)

/* ---- pieces ---- */

unsigned gen_use(struct gen *g, unsigned n, unsigned temp)
{
	if (tr_host[n] != H_NONE)
		return tr_host[n];
	em_load(&g->e, temp, SOFT_REG(n));
	return temp;
}

void gen_put(struct gen *g, unsigned n, unsigned host)
{
	if (tr_host[n] == H_NONE)
		em_store(&g->e, host, SOFT_REG(n));
}

static unsigned use_offset(struct gen *g, uint16_t off, unsigned temp)
{
	return off == SOFT_ZERO ? H_NONE : gen_use(g, off / 8u, temp);
}

bool gen_offset(struct gen *g, unsigned to)
{
	const struct insn *i = g->i;
	unsigned wide = i->addr_size == 8 ? OP_W : 0;

	if (i->addr_size < 4)
		return false;
	if (i->base == SOFT_ZERO && i->index == SOFT_ZERO) {
		em_mov_imm(&g->e, to, wide ? (uint64_t)i->disp : (uint32_t)i->disp);
		return true;
	}
	if (i->disp != (int32_t)i->disp)
		return false;
	unsigned base = use_offset(g, i->base, H_R11), index = use_offset(g, i->index, H_RCX);

	em_rm(&g->e, wide, 0x8d, to, base, index, i->scale, (int32_t)i->disp);
	return true;
}

void gen_missed(struct gen *g)
{
	g->now.from[g->now.n++] = em_unless_rcx_zero(&g->e);
}

bool gen_ea(struct gen *g)
{
	return !(g->i->flags & INSN_ALIGN) && gen_ea_unaligned(g);
}

bool gen_ea_unaligned(struct gen *g)
{
	const struct insn *i = g->i;

	if ((i->flags & INSN_CHECK) || !gen_offset(g, H_R11))
		return false;
	if (g->is64 && i->seg >= X86_FS) {
		em_load(&g->e, H_RCX,
			(uint32_t)(TR_OFF(s.seg) + i->seg * sizeof(struct x86_seg_state) +
				   offsetof(struct x86_seg_state, base)));
		em_rm(&g->e, OP_W, 0x8d, H_R11, H_R11, H_RCX, 0, 0);
	}
	return true;
}

void gen_check(struct gen *g, unsigned size, bool write)
{
	struct emit *e = &g->e;
	uint32_t tlb = g->tlb + (uint32_t)(write ? offsetof(struct soft_tlb, write)
						 : offsetof(struct soft_tlb, read));

	em_rorx(e, H_RCX, H_R11, 12);
	em_pdep(e, H_RCX, TR_OFF(tr_tlb_mask));
	em_gsx(e, OP_W, 0x8b, H_R15, H_RCX,
	       tlb + (uint32_t)offsetof(struct soft_tlb_entry, addend));
	em_gsx(e, OP_W, 0x8b, H_RCX, H_RCX, tlb);
	em_rr(e, OP_W, 0xf7, 2, H_RCX);				     /* not rcx: -tag - 1 */
	em_rm(e, OP_W, 0x8d, H_RCX, H_RCX, H_R11, 0, (int32_t)size); /* last byte's offset … */
	em_pext(e, H_RCX, TR_OFF(tr_page_mask));		     /* … is in the page */
	gen_missed(g);
}

void gen_lookup(struct gen *g)
{
	struct emit *e = &g->e;

	em_rorx(e, H_RCX, H_R11, 4);
	em_rm(e, OP_W, 0x8d, H_RCX, H_RCX, H_R11, 0, 0);
	em_pdep(e, H_RCX, TR_OFF(tr_jump_mask));
	em_gsx(e, OP_W, 0x8b, H_R15, H_RCX, g->jumps + (uint32_t)offsetof(struct soft_jump, code));
	em_gsx(e, OP_W, 0x8b, H_RCX, H_RCX, g->jumps);
	em_rr(e, OP_W, 0xf7, 2, H_RCX);
	em_rm(e, OP_W, 0x8d, H_RCX, H_RCX, H_R11, 0, 1);
	gen_missed(g);
}

void gen_count(struct gen *g)
{
	em_load(&g->e, H_RCX, TR_OFF(stats.instructions));
	em_rm(&g->e, OP_W, 0x8d, H_RCX, H_RCX, H_NONE, 0, (int32_t)g->b->n);
	em_store(&g->e, H_RCX, TR_OFF(stats.instructions));
}

static void exit_by(struct gen *g, uint8_t *from, struct tr_slot *slot, uint64_t rip)
{
	g->exits[g->n_exits].from = from;
	g->exits[g->n_exits].slot = slot;
	g->exits[g->n_exits++].rip = rip;
}

static void link_near(struct gen *g, uint64_t target)
{
	struct soft_tr *t = g->v->tr;
	struct tr_slot *s = &t->slots[t->n_slots++];

	*s = (struct tr_slot){ .host = g->b->host[0], .checked = target <= g->i->ip };
	em_jump_slot(&g->e, s);
	exit_by(g, NULL, s, target);
}

/* In another page: only as long as the jump table has it, which is dropped with translations. */
static void link_far(struct gen *g, uint64_t target)
{
	struct emit *e = &g->e;
	uint32_t at = g->jumps + soft_jump_index(target) * (uint32_t)sizeof(struct soft_jump);

	em_load(e, H_RCX, at);
	em_rr(e, OP_W, 0xf7, 2, H_RCX);
	em_mov_imm(e, H_R11, target);
	em_rm(e, OP_W, 0x8d, H_RCX, H_RCX, H_R11, 0, 1);
	exit_by(g, em_unless_rcx_zero(e), NULL, target);
	em_gs(e, 0, 0xff, 4, at + (uint32_t)offsetof(struct soft_jump, code));
}

void gen_link(struct gen *g, uint64_t target)
{
	if (((target ^ g->b->lin) & HV_PAGE_MASK) == 0)
		link_near(g, target);
	else
		link_far(g, target);
}

/* ---- the block ---- */

/* Requests of other threads: the code as links from further down, and from other pages, reach it.
 */
static void head(struct gen *g)
{
	struct emit *e = &g->e;

	em_load(e, H_RCX, TR_OFF(hv));
	em_rm(e, 0, 0x8b, H_RCX, H_RCX, H_NONE, 0, (int32_t)offsetof(struct hv_vcpu, requests));
	exit_by(g, em_unless_rcx_zero(e), NULL, g->b->ip);
}

static void interpret(struct gen *g)
{
	em_mov_imm(&g->e, H_RCX, g->k | (uint32_t)g->d.z.mnemonic << TR_MNEMONIC_SHIFT);
	em_jump(&g->e, 0xe8, g->insn_call);
}

static bool redecode(struct gen *g)
{
	uint64_t off = (g->b->lin & 4095) + (g->i->ip - g->b->ip);
	unsigned n = g->i->len;

	for (unsigned k = 0; k < n; k++)
		g->d.bytes[k] = g->b->host[0][off + k];
	if (!decode_again(g->v, &g->d, n))
		return false;
	for (unsigned k = 0; k < g->d.z.operand_count_visible; k++) {
		const ZydisDecodedOperand *op = &g->d.op[k];

		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER && op->reg.value >= ZYDIS_REGISTER_AH &&
		    op->reg.value <= ZYDIS_REGISTER_BH)
			return false;
	}
	return true;
}

static void one(struct gen *g)
{
	uint8_t *start = g->e.p;
	uint32_t slots = g->v->tr->n_slots;
	unsigned exits = g->n_exits;
	bool done = false;

	g->now.n = 0;
	if (redecode(g)) {
		bool legacy = g->d.z.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY;

		if (g->i->flags & INSN_END)
			done = legacy && gen_branch(g);
		else
			done = (legacy && (gen_stack(g) || gen_plain(g))) || gen_vector(g);
	}
	if (!done) {
		g->e.p = start;
		g->v->tr->n_slots = slots;
		g->n_exits = exits;
		interpret(g);
		return;
	}
	if (g->now.n == 0)
		return;
	g->now.insn = g->k;
	g->now.back = g->e.p;
	g->miss[g->n_miss++] = g->now;
}

static void miss_paths(struct gen *g)
{
	for (unsigned k = 0; k < g->n_miss; k++) {
		const struct gen_miss *m = &g->miss[k];

		for (unsigned j = 0; j < m->n; j++)
			em_patch(&g->e, m->from[j]);
		em_mov_imm(&g->e, H_RCX, m->insn | TR_MISSED);
		em_jump(&g->e, 0xe8, g->insn_call);
		em_jump(&g->e, 0xe9, m->back);
	}
}

static void exit_paths(struct gen *g)
{
	for (unsigned k = 0; k < g->n_exits; k++) {
		struct tr_slot *s = g->exits[k].slot;

		if (g->exits[k].from != NULL)
			em_patch(&g->e, g->exits[k].from);
		if (s != NULL)
			s->target = s->unlinked = g->e.p + g->e.to_rx;
		em_mov_imm(&g->e, H_R11, (uintptr_t)s);
		em_mov_imm(&g->e, H_RCX, g->exits[k].rip);
		em_jump(&g->e, 0xe9, g->v->tr->exit);
	}
}

static void body(struct gen *g)
{
	const struct block *b = g->b;

	for (g->k = 0; g->k < b->n; g->k++) {
		g->i = &b->insns[g->k];
		one(g);
	}
	if (!(b->insns[b->n - 1].flags & INSN_END)) {
		gen_count(g);
		gen_link(g, b->end_ip);
	}
}

bool soft_tr_make(struct soft_vcpu *v, struct block *b)
{
	static _Thread_local struct gen g;
	struct soft_tr *t = v->tr;
	unsigned mode = MODE_OF_KEY(b->key);
	uint64_t start = __builtin_ia32_rdtsc();

	soft_fpu_park(v);
	if (!soft_tr_room(v)) {
		block_drop_all(v);
		return false;
	}
	g.e = (struct emit){ t->rw + t->used, t->rx - t->rw };
	g.v = v;
	g.b = b;
	g.is64 = b->key & KEY_CODE64;
	g.stack_ok = g.is64 || ((b->key & KEY_STACK32) && (v->flat >> X86_SS & 1));
	g.tlb = (uint32_t)(TR_OFF(tlbs) + mode * sizeof(struct soft_tlb));
	g.jumps = (uint32_t)(TR_OFF(jumps) + mode * sizeof(v->jumps[0]));
	g.n_miss = g.n_exits = 0;
	g.insn_call = g.e.p;
	em_mov_imm(&g.e, H_R11, (uintptr_t)b);
	em_jump(&g.e, 0xe9, t->call);
	b->code = g.e.p + g.e.to_rx;
	head(&g);
	b->body = g.e.p + g.e.to_rx;
	body(&g);
	miss_paths(&g);
	exit_paths(&g);
	tr_perf_block(v, b, t->rx + t->used, (size_t)(g.e.p - (t->rw + t->used)));
	t->used = (uint32_t)hv_align_up((uint64_t)(g.e.p - t->rw), 16);
	v->stats.blocks_translated++;
	v->translate_ticks += __builtin_ia32_rdtsc() - start;
	return true;
}
