/* Blocks to host code: see gen.h and docs/soft-engine.md. */
#include "engine/soft/translate/gen.h"
#include "engine/soft/fpu.h"
#include "engine/soft/translate/perf_map.h"

#define MODE_OF_KEY(key) ((key) >> KEY_MODE_SHIFT & 3)

/* ---- registers ---- */

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

/* ---- memory ---- */

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

/* R11 = the linear address of the memory operand. */
static bool linear(struct gen *g)
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

void gen_missed(struct gen *g)
{
	g->now.from[g->now.n++] = em_unless_rcx_zero(&g->e);
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

static bool check_alignment(struct gen *g, unsigned size)
{
	if (size != 16 && size != 32)
		return false;
	em_rr(&g->e, OP_W, 0x8b, H_RCX, H_R11);
	em_pext(&g->e, H_RCX, size == 16 ? TR_OFF(tr_align16) : TR_OFF(tr_align32));
	gen_missed(g);
	return true;
}

bool gen_operand(struct gen *g, unsigned size, bool write, struct gen_mem *m)
{
	if (!linear(g))
		return false;
	if ((g->i->flags & INSN_ALIGN) && !check_alignment(g, size))
		return false;
	gen_check(g, size, write);
	*m = (struct gen_mem){ H_R11, H_R15, 0 };
	return true;
}

void gen_rm(struct gen *g, unsigned flags, uint8_t op, unsigned reg, const struct gen_mem *m)
{
	em_rm(&g->e, flags, op, reg, m->base, m->index, 0, m->disp);
}

void gen_may_trap(struct gen *g, const uint8_t *start)
{
	struct soft_tr *t = g->v->tr;

	t->traps[t->n_traps++] = (struct tr_trap){ .at = (uint32_t)(start - t->rw),
						   .next = (uint32_t)(g->e.p - t->rw),
						   .insn = g->k,
						   .block = g->b };
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

	em_rorx(e, H_RCX, H_R11, 4);
	em_rm(e, OP_W, 0x8d, H_RCX, H_RCX, H_R11, 0, 0);
	em_pdep(e, H_RCX, TR_OFF(tr_jump_mask));
	em_gsx(e, OP_W, 0x8b, H_R15, H_RCX, g->jumps + (uint32_t)offsetof(struct soft_jump, code));
	em_gsx(e, OP_W, 0x8b, H_RCX, H_RCX, g->jumps);
	em_rr(e, OP_W, 0xf7, 2, H_RCX);
	em_rm(e, OP_W, 0x8d, H_RCX, H_RCX, H_R11, 0, 1);
	gen_missed(g);
}

static void add_exit(struct gen *g, uint8_t *from, uint64_t target, bool link)
{
	g->exits[g->n_exits++] = (struct gen_exit){ from, target, g->k + 1, link, NULL };
}

static bool near(const struct gen *g, uint64_t target)
{
	return ((target ^ g->b->lin) & HV_PAGE_MASK) == 0;
}

/* A jump that is led to the translation of the target once there is one. */
static struct tr_slot *jump_slot(struct gen *g, uint64_t target)
{
	struct soft_tr *t = g->v->tr;
	struct tr_slot *s = &t->slots[t->n_slots++];

	*s = (struct tr_slot){ .host = g->b->host[0] };
	/* A way that looks at no requests leads upwards, so that no circle is made of such. */
	s->to = !near(g, target) ? TR_TO_CODE : target <= g->b->ip ? TR_TO_CHECKED : TR_TO_BODY;
	em_jump_slot(&g->e, s);
	return s;
}

/* Where links between pages are off: through the table of jumps. */
static void jump_by_table(struct gen *g, uint64_t target)
{
	uint32_t at = g->jumps + soft_jump_index(target) * (uint32_t)sizeof(struct soft_jump);

	em_load(&g->e, H_RCX, at);
	em_rr(&g->e, OP_W, 0xf7, 2, H_RCX);
	em_mov_imm(&g->e, H_R11, target);
	em_rm(&g->e, OP_W, 0x8d, H_RCX, H_RCX, H_R11, 0, 1);
	add_exit(g, em_unless_rcx_zero(&g->e), target, false);
	em_gs(&g->e, 0, 0xff, 4, at + (uint32_t)offsetof(struct soft_jump, code));
}

void gen_link(struct gen *g, uint64_t target)
{
	if (target == g->b->ip) {
		em_jump(&g->e, 0xe9, g->checked);
		return;
	}
	if (!near(g, target) && !g->v->tr->link_pages) {
		jump_by_table(g, target);
		return;
	}
	struct tr_slot *s = jump_slot(g, target);

	add_exit(g, NULL, target, false);
	g->exits[g->n_exits - 1].slot = s;
}

void gen_link_if(struct gen *g, unsigned cc, uint64_t target)
{
	uint8_t *from = em_jcc(&g->e, cc);

	if (target == g->b->ip && !g->v->tr->count)
		em_patch_to(from, g->checked);
	else
		add_exit(g, from, target, true);
}

/* ---- the block ---- */

/* Code that is reached from other pages: does the page still lie where it lay? */
static void check_page(struct gen *g)
{
	const struct soft_fetch *f = soft_fetch(g->v, g->b->lin);
	struct emit *e = &g->e;

	em_load(e, H_RCX,
		TR_OFF(fetch_words) + soft_fetch_index(g->b->lin, g->b->key & KEY_USER) *
					      (uint32_t)sizeof(uint64_t));
	em_mov_imm(e, H_R11, -f->word);
	em_rm(e, OP_W, 0x8d, H_RCX, H_RCX, H_R11, 0, 0);
	add_exit(g, em_unless_rcx_zero(e), g->b->ip, false);
}

/* Requests of other threads: the code as links from further down, and from other pages, reach it.
 */
static void check_requests(struct gen *g)
{
	struct emit *e = &g->e;

	em_load(e, H_RCX, TR_OFF(hv));
	em_rm(e, 0, 0x8b, H_RCX, H_RCX, H_NONE, 0, (int32_t)offsetof(struct hv_vcpu, requests));
	add_exit(g, em_unless_rcx_zero(e), g->b->ip, false);
}

static void load_fpu(struct gen *g)
{
	em_gs(&g->e, OP_0F, 0xb6, H_RCX, TR_OFF(fpu_live)); /* movzx */
	em_rm(&g->e, 0, 0x8d, H_RCX, H_RCX, H_NONE, 0, -1);
	em8(&g->e, 0xe3); /* jrcxz over the call */
	em8(&g->e, 5);
	em_jump(&g->e, 0xe8, g->v->tr->load_fpu);
}

static void entries(struct gen *g, struct block *head)
{
	head->code = g->e.p + g->e.to_rx;
	check_page(g);
	g->checked = g->e.p;
	head->checked = g->e.p + g->e.to_rx;
	check_requests(g);
	head->body = g->e.p + g->e.to_rx;
	for (unsigned k = 0; k < g->b->n && !g->b->uses_fpu; k++)
		g->b->uses_fpu = simd_uses_fpu(&g->b->insns[k]);
	if (g->b->uses_fpu && !SOFT_FPU_EAGER)
		load_fpu(g);
}

static void interpret(struct gen *g)
{
	em_mov_imm(&g->e, H_RCX, g->k | (uint32_t)g->d->z.mnemonic << TR_MNEMONIC_SHIFT);
	em_jump(&g->e, 0xe8, g->insn_call);
}

static bool translate(struct gen *g)
{
	bool legacy = g->d->z.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY;

	if (!g->known[g->k])
		return false;
	if (g->i->flags & INSN_END)
		return legacy && gen_branch(g);
	return (legacy && (gen_stack(g) || gen_plain(g))) || gen_vector(g);
}

static void one(struct gen *g)
{
	struct soft_tr *t = g->v->tr;
	uint8_t *start = g->e.p;
	uint32_t slots = t->n_slots, traps = t->n_traps;
	unsigned exits = g->n_exits;

	g->now.n = 0;
	if (!translate(g)) {
		g->e.p = start;
		t->n_slots = slots;
		t->n_traps = traps;
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

/* A link's own way out is added while it is made: the list grows. */
static void exit_paths(struct gen *g)
{
	for (unsigned k = 0; k < g->n_exits; k++) {
		struct gen_exit x = g->exits[k];

		if (x.from != NULL)
			em_patch(&g->e, x.from);
		if (x.link) {
			g->i = &g->b->insns[x.done - 1];
			g->k = x.done - 1;
			gen_count(g, x.done);
			gen_link(g, x.target);
			continue;
		}
		if (x.slot != NULL)
			x.slot->target = x.slot->unlinked = g->e.p + g->e.to_rx;
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
		one(g);
	}
	g->k = b->n - 1u;
	if (!(b->insns[g->k].flags & INSN_END)) {
		gen_count(g, b->n);
		gen_link(g, b->end_ip);
	}
}

bool soft_tr_make(struct soft_vcpu *v, struct block *head)
{
	struct soft_tr *t = v->tr;
	struct gen *g = t->gen;
	unsigned mode = MODE_OF_KEY(head->key);
	uint64_t start = __builtin_ia32_rdtsc();

	soft_fpu_park(v);
	if (!soft_tr_room(v)) {
		block_drop_all(v);
		return false;
	}
	g->v = v;
	gen_trace(g, head);
	g->e = (struct emit){ t->rw + t->used, t->rx - t->rw };
	g->is64 = head->key & KEY_CODE64;
	g->stack_ok = g->is64 || ((head->key & KEY_STACK32) && (v->flat >> X86_SS & 1));
	g->tlb = (uint32_t)(TR_OFF(tlbs) + mode * sizeof(struct soft_tlb));
	g->jumps = (uint32_t)(TR_OFF(jumps) + mode * sizeof(v->jumps[0]));
	g->n_miss = g->n_exits = 0;
	g->k = 0;
	g->i = g->b->insns;
	g->insn_call = g->e.p;
	em_mov_imm(&g->e, H_R11, (uintptr_t)g->b);
	em_jump(&g->e, 0xe9, t->call);
	entries(g, head);
	body(g);
	miss_paths(g);
	exit_paths(g);
	tr_perf_block(v, g->b, t->rx + t->used, (size_t)(g->e.p - (t->rw + t->used)));
	t->used = (uint32_t)hv_align_up((uint64_t)(g->e.p - t->rw), 16);
	v->stats.blocks_translated++;
	v->translate_ticks += __builtin_ia32_rdtsc() - start;
	return true;
}
