/* Blocks to host code: see gen.h and docs/soft-engine.md. */
#include "engine/soft/translate/gen.h"
#include "engine/soft/fpu.h"
#include "engine/soft/translate/perf_map.h"

/* ---- registers ---- */

unsigned gen_use(struct gen *g, unsigned n, unsigned temp)
{
	if (g->host[n] != H_NONE)
		return g->host[n];
	em_load(&g->e, temp, SOFT_REG(n));
	return temp;
}

void gen_put(struct gen *g, unsigned n, unsigned host)
{
	if (g->host[n] == H_NONE)
		em_store(&g->e, host, SOFT_REG(n));
}

/* Guest registers that have no host register take those of registers that the trace does not use.
 */
void gen_enter(struct gen *g)
{
	for (unsigned k = 0; k < g->n_moved; k++) {
		em_store(&g->e, g->moved[k].host, SOFT_REG(g->moved[k].instead));
		em_load(&g->e, g->moved[k].host, SOFT_REG(g->moved[k].guest));
	}
}

void gen_leave(struct gen *g)
{
	for (unsigned k = 0; k < g->n_moved; k++) {
		em_store(&g->e, g->moved[k].host, SOFT_REG(g->moved[k].guest));
		em_load(&g->e, g->moved[k].host, SOFT_REG(g->moved[k].instead));
	}
}

static void count_uses(const struct gen *g, unsigned uses[16])
{
	for (unsigned k = 0; k < g->b->n; k++)
		for (unsigned j = 0; g->known[k] && j < g->decoded[k].z.operand_count; j++) {
			const ZydisDecodedOperand *o = &g->decoded[k].op[j];
			const ZydisRegister r[3] = { o->reg.value, o->mem.base, o->mem.index };
			bool mem = o->type == ZYDIS_OPERAND_TYPE_MEMORY;

			for (unsigned n = mem; n < (mem ? 3 : 1); n++)
				if ((mem || o->type == ZYDIS_OPERAND_TYPE_REGISTER) &&
				    decode_reg(r[n]) != SOFT_ZERO)
					uses[decode_reg(r[n]) / 8]++;
		}
}

#define USES_TO_MOVE 4u /* from so many on it is worth the way in and out */

static void choose_moved(struct gen *g)
{
	unsigned uses[16] = { 0 }, free_reg = 0;

	memcpy(g->host, tr_host, sizeof(g->host));
	g->n_moved = 0;
	if (g->exact || (g->v->hv->vm->opt.disable & SOFT_DISABLE_MOVES))
		return;
	count_uses(g, uses);
	for (unsigned n = 0; n < 16; n++) {
		if (tr_host[n] != H_NONE || uses[n] * (g->loops ? 8 : 1) < USES_TO_MOVE)
			continue;
		while (free_reg < 16 && (tr_host[free_reg] == H_NONE || uses[free_reg] != 0))
			free_reg++;
		if (free_reg == 16)
			return;
		g->moved[g->n_moved].guest = (uint8_t)n;
		g->moved[g->n_moved].instead = (uint8_t)free_reg;
		g->moved[g->n_moved++].host = g->host[n] = tr_host[free_reg];
		g->host[free_reg++] = H_NONE;
	}
}

void gen_may_trap(struct gen *g, const uint8_t *start)
{
	struct soft_tr *t = g->v->tr;

	t->traps[t->n_traps++] = (struct tr_trap){ .at = (uint32_t)(start - t->rw),
						   .next = (uint32_t)(g->e.p - t->rw),
						   .call = (uint32_t)(g->insn_call - t->rw),
						   .insn = g->k };
}

/* In between, code is made that is run seldom: it lies elsewhere. */
static void cold_begin(struct gen *g)
{
	g->hot = g->e.p;
	g->e.p = g->v->tr->rw + g->v->tr->cold;
}

static void cold_end(struct gen *g)
{
	struct soft_tr *t = g->v->tr;

	t->cold = (uint32_t)(g->e.p - t->rw);
	g->e.p = g->hot;
}

/* ---- ways out ---- */

void gen_count(struct gen *g, unsigned done)
{
	if (!g->v->tr->count)
		return;
	em_load(&g->e, H_RCX, TR_OFF(stats.instructions));
	em_rm(&g->e, OP_W, 0x8d, H_RCX, H_RCX, H_NONE, 0, (int32_t)done);
	em_store(&g->e, H_RCX, TR_OFF(stats.instructions));
}

void gen_lookup(struct gen *g)
{
	struct emit *e = &g->e;

	gen_take_r15(g);
	em_rorx(e, H_RCX, H_R11, 4);
	em_rm(e, OP_W, 0x8d, H_RCX, H_RCX, H_R11, 0, 0);
	em_pdep(e, H_RCX, TR_OFF(tr_jump_mask));
	em_gsx(e, OP_W, 0x8b, H_R15, H_RCX, g->jumps + (uint32_t)offsetof(struct soft_jump, code));
	em_gsx(e, OP_W, 0x8b, H_RCX, H_RCX, g->jumps);
	em_rr(e, OP_W, 0xf7, 2, H_RCX);
	em_rm(e, OP_W, 0x8d, H_RCX, H_RCX, H_R11, 0, 1);
	gen_missed(g);
}

static void add_exit(struct gen *g, uint8_t *from, uint64_t target, enum gen_exit_kind kind)
{
	g->exits[g->n_exits++] = (struct gen_exit){ from, target, g->k + 1, kind, NULL };
}

static bool near(const struct gen *g, uint64_t target)
{
	return ((target ^ g->b->lin) & HV_PAGE_MASK) == 0;
}

/* The jump (or call) with its distance at at is led to the translation of the target once there is
 * one. */
static void add_slot(struct gen *g, uint8_t *at, uint64_t target)
{
	struct soft_tr *t = g->v->tr;
	struct tr_slot *s = &t->slots[t->n_slots++];

	*s = (struct tr_slot){ .host = g->b->host[0], .at = at };
	/* A way that looks at no requests leads upwards, so that no circle is made of such. */
	s->to = !near(g, target)		    ? TR_TO_CODE
		: target <= g->b->ip || g->v->turns ? TR_TO_CHECKED
						    : TR_TO_BODY;
	add_exit(g, NULL, target, GEN_EXIT_UNLINKED);
	g->exits[g->n_exits - 1].slot = s;
}

/* Where links between pages are off: through the table of jumps. */
static void jump_by_table(struct gen *g, uint64_t target)
{
	uint32_t at = g->jumps + soft_jump_index(target) * (uint32_t)sizeof(struct soft_jump);

	em_load(&g->e, H_RCX, at);
	em_rr(&g->e, OP_W, 0xf7, 2, H_RCX);
	em_mov_imm(&g->e, H_R11, target);
	em_rm(&g->e, OP_W, 0x8d, H_RCX, H_RCX, H_R11, 0, 1);
	add_exit(g, em_unless_rcx_zero(&g->e), target, GEN_EXIT_UNLINKED);
	em_ctx(&g->e, 0, 0xff, 4, at + (uint32_t)offsetof(struct soft_jump, code));
}

static void link_to(struct gen *g, uint64_t target)
{
	if (target == g->b->ip)
		em_jump(&g->e, 0xe9, g->checked);
	else if (!near(g, target) && !g->v->tr->link_pages)
		jump_by_table(g, target);
	else
		add_slot(g, em_jump(&g->e, 0xe9, NULL), target);
}

void gen_link(struct gen *g, uint64_t target)
{
	gen_leave(g);
	link_to(g, target);
}

/* The guest's push has left the address in RCX, if it is a long one. */
static void push_return(struct gen *g, uint64_t back)
{
	gen_leave(g);
	if ((int64_t)back != (int32_t)back && g->is64 && !g->v->tr->count)
		em_rr(&g->e, OP_W, 0xf7, 2, H_RCX); /* not */
	else
		em_mov_imm(&g->e, H_RCX, ~back);
	em8(&g->e, 0x51); /* push rcx */
}

/* Where the callee's return goes. */
static void land(struct gen *g, uint64_t back)
{
	em_rm(&g->e, OP_W, 0x8d, H_RSP, H_RSP, H_NONE, 0, 8);
	link_to(g, back);
}

void gen_call(struct gen *g, uint64_t target, uint64_t back)
{
	if (!g->v->tr->pair_returns || (!near(g, target) && !g->v->tr->link_pages)) {
		gen_link(g, target);
		return;
	}
	push_return(g, back);
	if (target == g->b->ip)
		em_jump(&g->e, 0xe8, g->checked);
	else
		add_slot(g, em_jump(&g->e, 0xe8, NULL), target);
	land(g, back);
}

void gen_call_indirect(struct gen *g, uint64_t back)
{
	if (!g->v->tr->pair_returns) {
		gen_leave(g);
		em_ctx(&g->e, 0, 0xff, 4, TR_OFF(tr_code));
		return;
	}
	push_return(g, back);
	em_ctx(&g->e, 0, 0xff, 2, TR_OFF(tr_code));
	land(g, back);
}

static void return_by_table(struct gen *g, int32_t sp_step)
{
	gen_lookup(g);
	gen_move_sp(g, sp_step);
	gen_count(g, g->k + 1);
	gen_leave(g);
	em_rr(&g->e, 0, 0xff, 4, H_R15);
}

void gen_return(struct gen *g, int32_t sp_step)
{
	if (!g->v->tr->pair_returns) {
		return_by_table(g, sp_step);
		return;
	}
	em_rm(&g->e, OP_W, 0x8b, H_RCX, H_RSP, H_NONE, 0, 8);
	em_rm(&g->e, OP_W, 0x8d, H_RCX, H_RCX, H_R11, 0, 1);
	uint8_t *other = em_unless_rcx_zero(&g->e);

	gen_move_sp(g, sp_step);
	gen_count(g, g->k + 1);
	gen_leave(g);
	em8(&g->e, 0xc3);
	cold_begin(g);
	em_patch(&g->e, other);
	em_load(&g->e, H_RSP, TR_OFF(tr_empty) + MODE_OF_KEY(g->b->key) * 8);
	return_by_table(g, sp_step);
	cold_end(g);
}

/* To the loop's beginning, from its end. */
static bool is_back_edge(const struct gen *g, uint64_t target)
{
	return g->loops && target == g->b->ip && g->k + 1u == g->b->n;
}

/* Nothing is to be done on the way there: the jump itself may lead to the target's translation. */
static bool plain_link(const struct gen *g, uint64_t target)
{
	return g->n_moved == 0 && !g->v->tr->count && target != g->b->ip &&
	       (near(g, target) || g->v->tr->link_pages);
}

void gen_link_if(struct gen *g, unsigned cc, uint64_t target)
{
	uint8_t *from = em_jcc(&g->e, cc);

	if (is_back_edge(g, target) && !g->v->tr->count)
		em_patch_to(from, g->again);
	else if (plain_link(g, target))
		add_slot(g, from, target);
	else
		add_exit(g, from, target, GEN_EXIT_LINK);
}

void gen_link_end(struct gen *g, uint64_t target)
{
	gen_count(g, g->k + 1);
	if (is_back_edge(g, target))
		em_jump(&g->e, 0xe9, g->again);
	else
		gen_link(g, target);
}

/* ---- the block ---- */

/* Code that is reached from other pages: does the page still lie where it lay? */
static void check_page(struct gen *g, uint64_t lin)
{
	unsigned row = soft_fetch_index(lin, g->b->key & KEY_USER);
	uint64_t word = soft_fetch(g->v, lin)->word;
	struct emit *e = &g->e;

	em_load(e, H_RCX, TR_OFF(fetch_words) + row * (uint32_t)sizeof(word));
	em_mov_imm(e, H_R11, -word);
	em_rm(e, OP_W, 0x8d, H_RCX, H_RCX, H_R11, 0, 0);
	add_exit(g, em_unless_rcx_zero(e), g->b->ip, GEN_EXIT_UNLINKED);
}

/* Deterministic running: is there room for all of the trace before something is due? The sign of
 * (instructions so far + those of the trace − 1 − stop_at) says it. */
static void check_count(struct gen *g, enum gen_exit_kind kind)
{
	struct emit *e = &g->e;

	em_load(e, H_RCX, TR_OFF(stats.instructions));
	em_load(e, H_R11, TR_OFF(tr_not_stop_at));
	em_rm(e, OP_W, 0x8d, H_RCX, H_RCX, H_R11, 0, g->b->n - 1);
	em_rr(e, OP_W, 0xf7, 2, H_RCX); /* not */
	em_pext(e, H_RCX, TR_OFF(tr_sign));
	add_exit(g, em_unless_rcx_zero(e), g->b->ip, kind);
}

/* Requests of other threads: the code as links from further down, and from other pages, reach it.
 */
static void check_requests(struct gen *g, enum gen_exit_kind kind)
{
	struct emit *e = &g->e;

	em_ctx(e, 0, 0x8b, H_RCX, TR_OFF(look));
	add_exit(g, em_unless_rcx_zero(e), g->b->ip, kind);
	if (g->v->turns)
		check_count(g, kind);
}

/* Behind the instruction that follows an sti: an interrupt that has waited comes now. */
static void look_after_sti(struct gen *g)
{
	const struct block *b = g->b;

	if (g->look_after != g->k + 1u)
		return;
	em_load(&g->e, H_RCX, TR_OFF(hv));
	em_rm(&g->e, 0, 0x8b, H_RCX, H_RCX, H_NONE, 0, (int32_t)offsetof(struct hv_vcpu, requests));
	add_exit(g, em_unless_rcx_zero(&g->e), g->k + 1u < b->n ? b->insns[g->k + 1].ip : b->end_ip,
		 GEN_EXIT_ASKED);
	g->look_after = 0;
}

static void load_fpu(struct gen *g)
{
	em_ctx(&g->e, OP_0F, 0xb6, H_RCX, TR_OFF(fpu_live)); /* movzx */
	em_rm(&g->e, 0, 0x8d, H_RCX, H_RCX, H_NONE, 0, -1);
	em8(&g->e, 0xe3); /* jrcxz over the call */
	em8(&g->e, 5);
	em_jump(&g->e, 0xe8, g->v->tr->load_fpu);
}

/* Where the loop comes back to. */
static void loop_entry(struct gen *g)
{
	uint8_t *over = em_jump(&g->e, 0xe9, NULL);

	g->again = g->e.p;
	check_requests(g, GEN_EXIT_MOVED);
	em_patch(&g->e, over);
}

static void entries(struct gen *g, struct block *head)
{
	head->code = g->e.p + g->e.to_rx;
	check_page(g, g->b->lin);
	g->checked = g->e.p;
	head->checked = g->e.p + g->e.to_rx;
	check_requests(g, GEN_EXIT_UNLINKED);
	head->body = g->e.p + g->e.to_rx;
	if (head->crosses) {
		uint64_t next = (head->lin & HV_PAGE_MASK) + HV_PAGE_SIZE;

		check_page(g, g->is64 ? next : (uint32_t)next);
	}
	for (unsigned k = 0; k < g->b->n && !g->b->uses_fpu; k++)
		g->b->uses_fpu = simd_uses_fpu(&g->b->insns[k]);
	if (g->b->uses_fpu && !SOFT_FPU_EAGER)
		load_fpu(g);
	gen_enter(g);
	gen_before_loop(g);
	if (g->loops)
		loop_entry(g);
}

static void interpret(struct gen *g)
{
	em_mov_imm(&g->e, H_RCX, g->k | (uint32_t)g->d->z.mnemonic << TR_MNEMONIC_SHIFT);
	em_jump(&g->e, 0xe8, g->insn_call);
	gen_take_r15(g);
}

static bool translate(struct gen *g)
{
	bool legacy = g->d->z.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY;

	if (!g->known[g->k])
		return false;
	if (g->i->flags & INSN_END)
		return legacy && gen_branch(g);
	return (legacy && (gen_stack(g) || gen_system(g) || gen_plain(g))) || gen_vector(g);
}

static void one(struct gen *g)
{
	struct soft_tr *t = g->v->tr;
	uint8_t *start = g->e.p;
	uint32_t slots = t->n_slots, traps = t->n_traps, ready = g->ready;
	unsigned exits = g->n_exits, misses = g->n_group_misses, sites = g->n_site_misses;
	int r15 = g->r15;

	g->n_now = 0;
	if (!translate(g)) {
		g->e.p = start;
		t->n_slots = slots;
		t->n_traps = traps;
		g->n_exits = exits;
		g->n_group_misses = misses;
		g->n_site_misses = sites;
		g->ready = ready;
		g->r15 = r15;
		interpret(g);
		return;
	}
	if (g->n_now == 0)
		return;
	struct gen_miss *m = &g->miss[g->n_miss++];

	m->n = g->n_now;
	m->insn = g->k;
	m->r15 = g->r15;
	m->back = g->e.p;
}

/* Ways out to other translations; what they are before they are linked is added to the list. */
static void side_exits(struct gen *g)
{
	for (unsigned k = 0; k < g->n_exits; k++) {
		struct gen_exit x = g->exits[k];

		if (x.kind != GEN_EXIT_LINK)
			continue;
		em_patch(&g->e, x.from);
		gen_count(g, x.done);
		gen_link(g, x.target);
	}
}

static void exit_paths(struct gen *g)
{
	for (unsigned k = 0; k < g->n_exits; k++) {
		struct gen_exit x = g->exits[k];

		if (x.kind == GEN_EXIT_LINK)
			continue;
		if (x.from != NULL)
			em_patch(&g->e, x.from);
		if (x.kind == GEN_EXIT_ASKED)
			gen_count(g, x.done);
		if (x.kind == GEN_EXIT_MOVED || x.kind == GEN_EXIT_ASKED)
			gen_leave(g);
		if (x.slot != NULL)
			em_patch_to(x.slot->at, x.slot->unlinked = g->e.p);
		em_mov_imm(&g->e, H_R11, (uintptr_t)x.slot);
		em_mov_imm(&g->e, H_RCX, x.target);
		em_jump(&g->e, 0xe9, g->v->tr->exit);
	}
}

static void body(struct gen *g)
{
	const struct block *b = g->b;

	for (g->k = 0; g->k < b->n; g->k++) {
		g->i = &b->insns[g->k];
		g->d = &g->decoded[g->k];
		g->at[g->k] = (uint32_t)(g->e.p - g->v->tr->rw);
		one(g);
		look_after_sti(g);
	}
	g->k = b->n - 1u;
	if (!(b->insns[g->k].flags & INSN_END))
		gen_link_end(g, b->end_ip);
	side_exits(g);
	cold_begin(g);
	gen_miss_paths(g);
	exit_paths(g);
	cold_end(g);
}

static bool loops(const struct gen *g)
{
	const unsigned k = g->b->n - 1u;
	const struct insn *last = &g->b->insns[k];

	if (!(last->flags & INSN_END))
		return g->b->end_ip == g->b->ip;
	return (last->flags & INSN_BRANCH) && last->imm == g->b->ip && g->known[k] &&
	       g->decoded[k].z.mnemonic != ZYDIS_MNEMONIC_CALL;
}

/* Everything but g->b and what is decoded of it. */
static void begin(struct gen *g, bool exact)
{
	struct soft_tr *t = g->v->tr;
	unsigned mode = MODE_OF_KEY(g->b->key);

	g->e = (struct emit){ t->rw + t->used, t->rx - t->rw, g->v };
	g->is64 = g->b->key & KEY_CODE64;
	g->stack_ok = g->is64 || ((g->b->key & KEY_STACK32) && (g->v->flat >> X86_SS & 1));
	g->tlb = (uint32_t)(TR_OFF(tlbs) + mode * sizeof(struct soft_tlb));
	g->jumps = (uint32_t)(TR_OFF(jumps) + mode * sizeof(g->v->jumps[0]));
	g->n_miss = g->n_exits = g->n_group_misses = g->n_site_misses = 0;
	g->ready = 0;
	g->r15 = -1;
	g->k = g->look_after = 0;
	g->i = g->b->insns;
	g->exact = exact || g->b->no_groups || (g->v->hv->vm->opt.disable & SOFT_DISABLE_GROUPS);
	g->loops = !exact && loops(g);
	g->n_groups = 0;
	if (!g->exact)
		gen_find_groups(g);
	choose_moved(g);
	g->cold_start = t->cold;
	cold_begin(g);
	g->insn_call = g->e.p;
	gen_leave(g);
	em_mov_imm(&g->e, H_R11, (uintptr_t)g->b);
	em_jump(&g->e, 0xe8, t->call);
	gen_enter(g);
	em8(&g->e, 0xc3);
	cold_end(g);
}

static void end(struct gen *g)
{
	struct soft_tr *t = g->v->tr;

	tr_perf_block(g->v, g->b, g->exact ? "-exact" : "", t->rx + t->used,
		      (size_t)(g->e.p - (t->rw + t->used)));
	tr_perf_block(g->v, g->b, g->exact ? "-exact-cold" : "-cold", t->rx + g->cold_start,
		      t->cold - g->cold_start);
	t->used = (uint32_t)hv_align_up((uint64_t)(g->e.p - t->rw), 16);
}

bool soft_tr_make(struct soft_vcpu *v, struct block *head)
{
	struct soft_tr *t = v->tr;
	struct gen *g = t->gen;
	uint64_t start = __builtin_ia32_rdtsc();

	soft_fpu_park(v);
	if (!soft_tr_room(v)) {
		block_drop_all(v);
		return false;
	}
	g->v = v;
	gen_trace(g, head);
	begin(g, false);
	entries(g, head);
	body(g);
	end(g);
	v->stats.blocks_translated++;
	v->translate_ticks += __builtin_ia32_rdtsc() - start;
	return true;
}

/* ---- the exact copy ---- */

static void make_exact(struct soft_vcpu *v, struct block *b)
{
	struct soft_tr *t = v->tr;
	struct gen *g = t->gen;

	g->v = v;
	gen_decode_again(g, b);
	begin(g, true);
	g->checked = g->again = (const uint8_t *)(b->head != NULL ? b->head : b)->checked -
				g->e.to_rx;
	body(g);
	end(g);
	b->exact = t->entries + t->n_entries;
	t->n_entries += b->n;
	memcpy(b->exact, g->at, b->n * sizeof(*b->exact));
}

const void *soft_tr_exact(struct soft_vcpu *v, struct block *b, unsigned n)
{
	if (b->exact == NULL) {
		soft_fpu_park(v);
		if (!soft_tr_room(v)) {
			block_drop_all(v);
			return NULL;
		}
		make_exact(v, b);
	}
	return v->tr->rx + b->exact[n];
}
