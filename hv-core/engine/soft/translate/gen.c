/* Blocks to host code: see gen.h and docs/soft-engine.md. */
#include "engine/soft/translate/gen.h"
#include "engine/soft/fpu.h"
#include "engine/soft/translate/perf_map.h"

#define DISP_MAX 0x7fff0000 /* so that an access' size may be added */
#define MODE_OF_KEY(key) ((key) >> KEY_MODE_SHIFT & 3)

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

static unsigned use_offset(struct gen *g, uint16_t off, unsigned temp)
{
	return off == SOFT_ZERO ? H_NONE : gen_use(g, off / 8u, temp);
}

/* Guest registers that have no host register take those of registers that the trace does not use.
 */
static void move_in(struct gen *g)
{
	for (unsigned k = 0; k < g->n_moved; k++) {
		em_store(&g->e, g->moved[k].host, SOFT_REG(g->moved[k].instead));
		em_load(&g->e, g->moved[k].host, SOFT_REG(g->moved[k].guest));
	}
}

static void move_out(struct gen *g)
{
	for (unsigned k = 0; k < g->n_moved; k++) {
		em_store(&g->e, g->moved[k].host, SOFT_REG(g->moved[k].guest));
		em_load(&g->e, g->moved[k].host, SOFT_REG(g->moved[k].instead));
	}
}

void gen_leave(struct gen *g)
{
	move_out(g);
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

/* ---- memory ---- */

static bool offset_plus(struct gen *g, unsigned to, int64_t plus)
{
	const struct insn *i = g->i;
	int64_t disp = i->disp + plus;
	unsigned wide = i->addr_size == 8 ? OP_W : 0;

	if (i->addr_size < 4)
		return false;
	if (i->base == SOFT_ZERO && i->index == SOFT_ZERO) {
		em_mov_imm(&g->e, to, wide ? (uint64_t)disp : (uint32_t)disp);
		return true;
	}
	if (disp != (int32_t)disp)
		return false;
	unsigned base = use_offset(g, i->base, H_R11), index = use_offset(g, i->index, H_RCX);

	em_rm(&g->e, wide, 0x8d, to, base, index, i->scale, (int32_t)disp);
	return true;
}

bool gen_offset(struct gen *g, unsigned to)
{
	return offset_plus(g, to, 0);
}

/* The linear address of the memory operand, plus a constant: in R11 if it is not simple. */
static bool linear(struct gen *g, int64_t plus, struct gen_ea *ea)
{
	const struct insn *i = g->i;
	int64_t disp = i->disp + plus;

	if (i->flags & INSN_CHECK)
		return false;
	if (g->is64 && i->addr_size == 8 && i->seg < X86_FS && i->index == SOFT_ZERO &&
	    i->base != SOFT_ZERO && g->host[i->base / 8] != H_NONE && disp > -DISP_MAX &&
	    disp < DISP_MAX) {
		*ea = (struct gen_ea){ g->host[i->base / 8], (int32_t)disp };
		return true;
	}
	*ea = (struct gen_ea){ H_R11, 0 };
	if (!offset_plus(g, H_R11, plus))
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
	g->miss[g->n_miss].from[g->n_now++] = em_unless_rcx_zero(&g->e);
}

/* RCX = 0 if the TLB knows that guest addresses R11 to R11 + size - 1 are at host addresses from
 * R11
 * + R15 on. */
static void lookup_page(struct gen *g, unsigned size, bool write)
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
}

static struct tr_site *new_site(struct gen *g, bool write)
{
	unsigned mode = MODE_OF_KEY(g->b->key);
	struct soft_tr *t = g->v->tr;

	return &g->v->sites[mode][write][t->n_sites[mode][write]++ % TR_SITES];
}

static uint32_t site_off(const struct gen *g, const struct tr_site *s)
{
	return (uint32_t)((const uint8_t *)s - (const uint8_t *)g->v);
}

/* RCX = 0 if the operand is in the page of the site, of which RCX is the negated address: aligned,
 * so that it cannot reach into another. */
static void in_page_aligned(struct gen *g, const struct gen_ea *ea, unsigned size)
{
	unsigned log = (unsigned)__builtin_ctz(size);

	em_rm(&g->e, OP_W, 0x8d, H_RCX, H_RCX, ea->base, 0, ea->disp + 1);
	em_pext(&g->e, H_RCX, TR_OFF(tr_aligned_mask) + log * (uint32_t)sizeof(uint64_t));
}

/* The same by its first and its last byte. */
static void in_page(struct gen *g, const struct gen_ea *ea, unsigned size)
{
	struct emit *e = &g->e;

	em_rm(e, OP_W, 0x8d, H_R15, H_RCX, ea->base, 0, ea->disp + 1);
	em_rm(e, OP_W, 0x8d, H_RCX, H_RCX, ea->base, 0, ea->disp + (int32_t)size);
	em_pext(e, H_R15, TR_OFF(tr_page_mask));
	em_pext(e, H_RCX, TR_OFF(tr_page_mask));
	em_rm(e, OP_W, 0x8d, H_RCX, H_RCX, H_R15, 0, 0);
}

/*
 * Is the operand in the page where this place in the code found its last one? Then guest address EA
 * is at host address EA + R15, and the load of R15 has not waited for EA. Else goes to where the
 * TLB is looked up; *ret_from there, if that knows nothing either.
 */
static void check_site(struct gen *g, const struct gen_ea *ea, unsigned size, bool write,
		       bool maybe_aligned, uint8_t **ret_from)
{
	struct gen_site_miss *m = &g->site_miss[g->n_site_misses++];
	struct tr_site *s = new_site(g, write);
	struct emit *e = &g->e;

	em_load(e, H_RCX, site_off(g, s) + (uint32_t)offsetof(struct tr_site, not_tag));
	if (maybe_aligned && size <= 32 && (size & (size - 1)) == 0)
		in_page_aligned(g, ea, size);
	else
		in_page(g, ea, size);
	em_load(e, H_R15, site_off(g, s) + (uint32_t)offsetof(struct tr_site, addend));
	*m = (struct gen_site_miss){ .from = em_unless_rcx_zero(e),
				     .back = e->p,
				     .ea = *ea,
				     .site = s,
				     .insn = g->k,
				     .size = size,
				     .write = write,
				     .missed = ret_from };
}

static const uint8_t *bytes_of(const struct gen *g, unsigned k)
{
	return g->b->host[0] + (g->b->lin & 4095) + (g->b->insns[k].ip - g->b->ip);
}

/* The check of an access; where it goes when it fails will stand in *ret_from. */
static void check(struct gen *g, const struct gen_ea *ea, unsigned size, bool write,
		  uint8_t **ret_from)
{
	unsigned restless = soft_tr_restless(g->v, bytes_of(g, g->k));

	gen_take_r15(g);
	if (!(g->v->hv->vm->opt.disable & SOFT_DISABLE_SITES) && restless < TR_RESTLESS_MAX) {
		check_site(g, ea, size, write, restless == 0, ret_from);
		return;
	}
	if (ea->base != H_R11)
		em_rm(&g->e, OP_W, 0x8d, H_R11, ea->base, H_NONE, 0, ea->disp);
	lookup_page(g, size, write);
	*ret_from = em_unless_rcx_zero(&g->e);
}

static void single_check(struct gen *g, const struct gen_ea *ea, unsigned size, bool write,
			 struct gen_mem *m)
{
	/* Where the instruction's misses will be, if it turns out to be translated. */
	check(g, ea, size, write, &g->miss[g->n_miss].from[g->n_now++]);
	*m = (struct gen_mem){ ea->base, H_R15, ea->disp };
}

static uint32_t group_slot(unsigned n)
{
	return TR_OFF(tr_groups) + n * (uint32_t)sizeof(uint64_t);
}

/* ea is the group's first byte. Behind it, R15 is the host's address of that. */
static void check_group(struct gen *g, unsigned n, const struct gen_ea *ea)
{
	struct gen_group *a = &g->groups[n];
	struct gen_group_miss *miss = &g->group_miss[g->n_group_misses++];

	a->check = g->e.p;
	*miss = (struct gen_group_miss){ NULL, n, g->k };
	check(g, ea, (unsigned)(a->hi - a->lo), a->write, &miss->from);
	em_rm(&g->e, OP_W, 0x8d, H_R15, ea->base, H_R15, 0, ea->disp);
	if (a->n > 1 || a->before_loop)
		em_store(&g->e, H_R15, group_slot(n));
	g->ready |= 1u << n;
	g->r15 = (int)n;
}

static const struct gen_group *group_of(const struct gen *g, unsigned which)
{
	int n = g->access[g->k][which].group;

	if (g->exact || n < 0 || (g->groups[n].n == 1 && !g->groups[n].before_loop))
		return NULL;
	return &g->groups[n];
}

/* From the operand back to the group's first byte. */
static int64_t to_first(const struct gen *g, unsigned which)
{
	const struct gen_access *a = &g->access[g->k][which];

	return g->groups[a->group].lo - a->off;
}

/* What is checked together with others: it is now, or was. ea is the group's first byte if it is
 * not ready. */
static void group_operand(struct gen *g, unsigned which, const struct gen_ea *ea, struct gen_mem *m)
{
	unsigned n = (unsigned)g->access[g->k][which].group;

	if (!(g->ready >> n & 1)) {
		check_group(g, n, ea);
	} else if (g->r15 != (int)n) {
		em_load(&g->e, H_R15, group_slot(n));
		g->r15 = (int)n;
	}
	*m = (struct gen_mem){ H_R15, H_NONE, (int32_t)-to_first(g, which) };
}

static bool is_ready(const struct gen *g, unsigned which)
{
	return g->ready >> g->access[g->k][which].group & 1;
}

/* Of the operand's address, or of the host's, which ends alike. */
static bool check_alignment(struct gen *g, unsigned size, const struct gen_mem *m)
{
	if (size != 16 && size != 32)
		return false;
	em_rm(&g->e, OP_W, 0x8d, H_RCX, m->base, m->index, 0, m->disp);
	em_pext(&g->e, H_RCX, size == 16 ? TR_OFF(tr_align16) : TR_OFF(tr_align32));
	gen_missed(g);
	return true;
}

static bool group_alignment(struct gen *g, unsigned size, const struct gen_mem *m)
{
	const struct gen_access *at = &g->access[g->k][0];
	struct gen_group *a = &g->groups[at->group];

	if (a->aligned >= size && (at->off - a->aligned_off) % (int)size == 0)
		return true;
	a->aligned = size;
	a->aligned_off = at->off;
	return check_alignment(g, size, m);
}

bool gen_operand(struct gen *g, unsigned size, bool write, struct gen_mem *m)
{
	const bool align = g->i->flags & INSN_ALIGN;
	const struct gen_group *a = group_of(g, 0);
	struct gen_ea ea = { 0 };

	if (a != NULL && size == g->i->mem_size && a->write >= write) {
		if (!is_ready(g, 0) && !linear(g, to_first(g, 0), &ea))
			return false;
		group_operand(g, 0, &ea, m);
		return !align || group_alignment(g, size, m);
	}
	if (!linear(g, 0, &ea))
		return false;
	single_check(g, &ea, size, write, m);
	return !align || check_alignment(g, size, &(struct gen_mem){ ea.base, H_NONE, ea.disp });
}

static struct gen_ea stack_address(struct gen *g, unsigned reg, int32_t off)
{
	if (g->is64 && g->host[reg] != H_NONE)
		return (struct gen_ea){ g->host[reg], off };
	em_rm(&g->e, g->is64 ? OP_W : 0, 0x8d, H_R11, gen_use(g, reg, H_R11), H_NONE, 0, off);
	return (struct gen_ea){ H_R11, 0 };
}

void gen_stack_operand(struct gen *g, unsigned reg, int32_t off, bool write, struct gen_mem *m)
{
	const struct gen_group *a = group_of(g, 1);
	/* Behind another check of this instruction, which may miss, none would be ready for others.
	 */
	bool grouped = a != NULL && a->write >= write && (is_ready(g, 1) || g->n_now == 0);
	struct gen_ea ea = { 0 };

	if (!grouped || !is_ready(g, 1))
		ea = stack_address(g, reg, grouped ? off + (int32_t)to_first(g, 1) : off);
	if (grouped)
		group_operand(g, 1, &ea, m);
	else
		single_check(g, &ea, g->is64 ? 8 : 4, write, m);
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
						   .call = (uint32_t)(g->insn_call - t->rw),
						   .insn = g->k };
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

/* A jump (or call) that is led to the translation of the target once there is one. */
static void jump_by_slot(struct gen *g, uint64_t target, bool call)
{
	struct soft_tr *t = g->v->tr;
	struct tr_slot *s = &t->slots[t->n_slots++];

	*s = (struct tr_slot){ .host = g->b->host[0] };
	/* A way that looks at no requests leads upwards, so that no circle is made of such. */
	s->to = !near(g, target) ? TR_TO_CODE : target <= g->b->ip ? TR_TO_CHECKED : TR_TO_BODY;
	em_through_slot(&g->e, call, s);
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
		jump_by_slot(g, target, false);
}

void gen_link(struct gen *g, uint64_t target)
{
	move_out(g);
	link_to(g, target);
}

static void push_return(struct gen *g, uint64_t back)
{
	move_out(g);
	em_mov_imm(&g->e, H_RCX, -back);
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
		jump_by_slot(g, target, true);
	land(g, back);
}

void gen_call_indirect(struct gen *g, uint64_t back)
{
	if (!g->v->tr->pair_returns) {
		move_out(g);
		em_ctx(&g->e, 0, 0xff, 4, TR_OFF(tr_code));
		return;
	}
	push_return(g, back);
	em_ctx(&g->e, 0, 0xff, 2, TR_OFF(tr_code));
	land(g, back);
}

/* Returns to R11, if the newest call was made to come back there. Else goes on. */
void gen_try_return(struct gen *g, int32_t sp_step)
{
	if (!g->v->tr->pair_returns)
		return;
	em_rm(&g->e, OP_W, 0x8b, H_RCX, H_RSP, H_NONE, 0, 8);
	em_rm(&g->e, OP_W, 0x8d, H_RCX, H_RCX, H_R11, 0, 0);
	uint8_t *other = em_unless_rcx_zero(&g->e);

	gen_move_sp(g, sp_step);
	gen_count(g, g->k + 1);
	move_out(g);
	em8(&g->e, 0xc3);
	em_patch(&g->e, other);
	em_load(&g->e, H_RSP, TR_OFF(tr_empty) + MODE_OF_KEY(g->b->key) * 8);
}

/* To the loop's beginning, from its end. */
static bool is_back_edge(const struct gen *g, uint64_t target)
{
	return g->loops && target == g->b->ip && g->k + 1u == g->b->n;
}

void gen_link_if(struct gen *g, unsigned cc, uint64_t target)
{
	uint8_t *from = em_jcc(&g->e, cc);

	if (is_back_edge(g, target) && !g->v->tr->count)
		em_patch_to(from, g->again);
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

/* Requests of other threads: the code as links from further down, and from other pages, reach it.
 */
static void check_requests(struct gen *g, enum gen_exit_kind kind)
{
	struct emit *e = &g->e;

	em_load(e, H_RCX, TR_OFF(hv));
	em_rm(e, 0, 0x8b, H_RCX, H_RCX, H_NONE, 0, (int32_t)offsetof(struct hv_vcpu, requests));
	add_exit(g, em_unless_rcx_zero(e), g->b->ip, kind);
}

static void load_fpu(struct gen *g)
{
	em_ctx(&g->e, OP_0F, 0xb6, H_RCX, TR_OFF(fpu_live)); /* movzx */
	em_rm(&g->e, 0, 0x8d, H_RCX, H_RCX, H_NONE, 0, -1);
	em8(&g->e, 0xe3); /* jrcxz over the call */
	em8(&g->e, 5);
	em_jump(&g->e, 0xe8, g->v->tr->load_fpu);
}

/* R11 = the address that a group's registers give at the trace's beginning. */
static void group_address(struct gen *g, const struct gen_group *a)
{
	unsigned wide = g->is64 ? OP_W : 0;
	bool has_base = a->base < 16, has_index = a->index < 16;

	if (!has_base && !has_index)
		em_mov_imm(&g->e, H_R11, g->is64 ? (uint64_t)a->lo : (uint32_t)a->lo);
	else
		em_rm(&g->e, wide, 0x8d, H_R11, has_base ? gen_use(g, a->base, H_R11) : H_NONE,
		      has_index ? gen_use(g, a->index, H_RCX) : H_NONE, a->scale, (int32_t)a->lo);
	if (a->seg == GEN_NO_ROOT)
		return;
	em_load(&g->e, H_RCX,
		(uint32_t)(TR_OFF(s.seg) +
			   (a->seg & 1 ? X86_GS : X86_FS) * sizeof(struct x86_seg_state) +
			   offsetof(struct x86_seg_state, base)));
	em_rm(&g->e, OP_W, 0x8d, H_R11, H_R11, H_RCX, 0, 0);
}

static void check_before_loop(struct gen *g)
{
	for (unsigned n = 0; n < g->n_groups; n++) {
		struct gen_group *a = &g->groups[n];
		bool constant = a->base >= 16 && a->index >= 16;

		if (a->before_loop && (constant || a->lo == (int32_t)a->lo)) {
			group_address(g, a);
			check_group(g, n, &(struct gen_ea){ H_R11, 0 });
		} else {
			a->before_loop = false;
		}
	}
	gen_take_r15(g);
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
	move_in(g);
	check_before_loop(g);
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
	return (legacy && (gen_stack(g) || gen_plain(g))) || gen_vector(g);
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

static void count_site_miss(struct gen *g, const struct gen_site_miss *m)
{
	struct soft_tr *t = g->v->tr;
	struct tr_count *c = &t->counts[t->n_counts++];
	uint32_t left = (uint32_t)((uint8_t *)&c->left - (uint8_t *)g->v);
	struct emit *e = &g->e;

	*c = (struct tr_count){ TR_COUNT, __builtin_ia32_rdtsc() };
	em_load(e, H_RCX, left);
	em_rm(e, OP_W, 0x8d, H_RCX, H_RCX, H_NONE, 0, -1);
	em_store(e, H_RCX, left);
	uint8_t *over = em_unless_rcx_zero(e);

	em_store(e, H_R11, TR_OFF(tr_address));
	em_mov_imm(e, H_RCX, (uintptr_t)c);
	em_store(e, H_RCX, TR_OFF(tr_count));
	move_out(g);
	em_mov_imm(e, H_RCX, m->insn | TR_OFTEN);
	em_mov_imm(e, H_R11, (uintptr_t)g->b);
	em_jump(e, 0xe8, t->group_missed);
	move_in(g);
	em_load(e, H_R11, TR_OFF(tr_address));
	em_patch(e, over);
}

/* The TLB may know the page; then the place in the code will. */
static void site_miss_paths(struct gen *g)
{
	struct emit *e = &g->e;

	for (unsigned k = 0; k < g->n_site_misses; k++) {
		const struct gen_site_miss *m = &g->site_miss[k];
		uint32_t site = site_off(g, m->site);

		em_patch(e, m->from);
		if (m->ea.base != H_R11)
			em_rm(e, OP_W, 0x8d, H_R11, m->ea.base, H_NONE, 0, m->ea.disp);
		count_site_miss(g, m);
		lookup_page(g, m->size, m->write);
		*m->missed = em_unless_rcx_zero(e);
		em_store(e, H_R15, site + (uint32_t)offsetof(struct tr_site, addend));
		em_rorx(e, H_RCX, H_R11, 12);
		em_pdep(e, H_RCX, TR_OFF(tr_tlb_mask));
		em_gsx(e, OP_W, 0x8b, H_RCX, H_RCX,
		       g->tlb + (uint32_t)(m->write ? offsetof(struct soft_tlb, write)
						    : offsetof(struct soft_tlb, read)));
		em_rr(e, OP_W, 0xf7, 2, H_RCX);
		em_store(e, H_RCX, site + (uint32_t)offsetof(struct tr_site, not_tag));
		em_jump(e, 0xe9, m->back);
	}
}

static void miss_paths(struct gen *g)
{
	for (unsigned k = 0; k < g->n_miss; k++) {
		const struct gen_miss *m = &g->miss[k];

		for (unsigned j = 0; j < m->n; j++)
			em_patch(&g->e, m->from[j]);
		em_mov_imm(&g->e, H_RCX, m->insn | TR_MISSED);
		em_jump(&g->e, 0xe8, g->insn_call);
		if (m->r15 >= 0)
			em_load(&g->e, H_R15, group_slot((unsigned)m->r15));
		em_jump(&g->e, 0xe9, m->back);
	}
}

/* Is what the group is checked for what its first access does, now? */
static bool happens_now(const struct gen *g, const struct gen_group_miss *m)
{
	const struct gen_group *a = &g->groups[m->group];

	return !a->before_loop && (!a->write || a->first == m->insn);
}

static uint32_t context_off(const struct gen *g, const void *p)
{
	return (uint32_t)((const uint8_t *)p - (const uint8_t *)g->v);
}

/* R11 is the group's first byte. If the group reaches into another page, the trace's exact copy
 * goes on, to which C leads the way the first time. Else goes on here. */
static void leave_if_crossing(struct gen *g, const struct gen_group_miss *m, uint32_t span)
{
	struct soft_tr *t = g->v->tr;
	const void **way = &t->ways[t->n_ways++];
	struct emit *e = &g->e;

	em_rr(e, OP_W, 0x8b, H_RCX, H_R11);
	em_pext(e, H_RCX, TR_OFF(tr_offset_mask));
	em_rm(e, OP_W, 0x8d, H_RCX, H_RCX, H_NONE, 0, (int32_t)span - 1);
	em_pext(e, H_RCX, TR_OFF(tr_page_mask));
	em8(e, 0xe3); /* jrcxz over the jump */
	em8(e, 5);
	uint8_t *crosses = em_jump(e, 0xe9, NULL), *over = em_jump(e, 0xe9, NULL);

	em_patch(e, crosses);
	move_out(g);
	em_ctx(e, 0, 0xff, 4, context_off(g, way));
	*way = e->p + e->to_rx;
	em_mov_imm(e, H_RCX, (uintptr_t)way);
	em_store(e, H_RCX, TR_OFF(tr_count));
	em_mov_imm(e, H_RCX, m->insn | TR_CROSSES);
	em_mov_imm(e, H_R11, (uintptr_t)g->b);
	em_jump(e, 0xe8, t->group_missed);
	em_patch(e, over);
}

/* With the TLB entry that was missing it is tried again; else the trace's exact copy goes on. */
static void group_miss_paths(struct gen *g)
{
	for (unsigned k = 0; k < g->n_group_misses; k++) {
		const struct gen_group_miss *m = &g->group_miss[k];
		const struct gen_group *a = &g->groups[m->group];
		uint32_t span = (uint32_t)(a->hi - a->lo);

		em_patch(&g->e, m->from);
		leave_if_crossing(g, m, span);
		em_store(&g->e, H_R11, TR_OFF(tr_address));
		move_out(g);
		em_mov_imm(&g->e, H_RCX,
			   m->insn | (a->write ? TR_GROUP_WRITES : 0) |
				   (happens_now(g, m) ? TR_NOW : 0));
		em_mov_imm(&g->e, H_R11, (uintptr_t)g->b);
		em_jump(&g->e, 0xe8, g->v->tr->group_missed);
		move_in(g);
		em_load(&g->e, H_R11, TR_OFF(tr_address));
		em_jump(&g->e, 0xe9, a->check);
	}
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
		if (x.kind == GEN_EXIT_MOVED)
			move_out(g);
		if (x.slot != NULL)
			x.slot->target = x.slot->unlinked = g->e.p + g->e.to_rx;
		em_mov_imm(&g->e, H_R11, (uintptr_t)x.slot);
		em_mov_imm(&g->e, H_RCX, x.target);
		em_jump(&g->e, 0xe9, g->v->tr->exit);
	}
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

static void body(struct gen *g)
{
	const struct block *b = g->b;

	for (g->k = 0; g->k < b->n; g->k++) {
		g->i = &b->insns[g->k];
		g->d = &g->decoded[g->k];
		g->at[g->k] = (uint32_t)(g->e.p - g->v->tr->rw);
		one(g);
	}
	g->k = b->n - 1u;
	if (!(b->insns[g->k].flags & INSN_END))
		gen_link_end(g, b->end_ip);
	side_exits(g);
	cold_begin(g);
	site_miss_paths(g);
	miss_paths(g);
	group_miss_paths(g);
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
	g->k = 0;
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
	move_out(g);
	em_mov_imm(&g->e, H_R11, (uintptr_t)g->b);
	em_jump(&g->e, 0xe8, t->call);
	move_in(g);
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
