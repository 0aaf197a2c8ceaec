/*
 * Memory operands of translated code: which check an access has, and what lies behind the block for
 * when it fails. See docs/soft-engine.md.
 */
#include "engine/soft/translate/gen.h"

#define DISP_MAX 0x7fff0000 /* so that an access' size may be added */

/* ---- addresses ---- */

static unsigned use_offset(struct gen *g, uint16_t off, unsigned temp)
{
	return off == SOFT_ZERO ? H_NONE : gen_use(g, off / 8u, temp);
}

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

/* R11 += the segment's base. */
static void add_base(struct gen *g, unsigned seg)
{
	em_load(&g->e, H_RCX,
		(uint32_t)(TR_OFF(s.seg) + seg * sizeof(struct x86_seg_state) +
			   offsetof(struct x86_seg_state, base)));
	em_rm(&g->e, g->is64 ? OP_W : 0, 0x8d, H_R11, H_R11, H_RCX, 0, 0);
}

/* R11 is an offset of 32 bits: size bytes there must end within 4 GiB. */
static void check_limit(struct gen *g, unsigned size)
{
	em_rm(&g->e, OP_W, 0x8d, H_RCX, H_R11, H_NONE, 0, (int32_t)size - 1);
	em_rorx(&g->e, H_RCX, H_RCX, 32);
	em_rr(&g->e, 0, 0x8b, H_RCX, H_RCX);
	gen_missed(g);
}

/* R11 = the linear address of an operand in a segment that is not flat: FS or GS of 32-bit code,
 * where threads' own data are. */
static bool in_segment(struct gen *g, unsigned size)
{
	const struct insn *i = g->i;
	bool constant = i->base == SOFT_ZERO && i->index == SOFT_ZERO;

	if (g->is64 || i->seg < X86_FS || i->addr_size != 4 || (g->b->key & KEY_ALIGN) ||
	    !(g->b->key & KEY_OPEN(i->seg)) ||
	    (constant && (uint32_t)i->disp + (uint64_t)size > 1ull << 32) ||
	    !offset_plus(g, H_R11, 0))
		return false;
	if (!constant && size > 1)
		check_limit(g, size);
	add_base(g, i->seg);
	return true;
}

/* The linear address of the memory operand, plus a constant: in R11 if it is not simple. */
static bool linear(struct gen *g, int64_t plus, struct gen_ea *ea)
{
	const struct insn *i = g->i;
	int64_t disp = i->disp + plus;

	if (g->is64 && i->addr_size == 8 && i->seg < X86_FS && i->index == SOFT_ZERO &&
	    i->base != SOFT_ZERO && g->host[i->base / 8] != H_NONE && disp > -DISP_MAX &&
	    disp < DISP_MAX) {
		*ea = (struct gen_ea){ g->host[i->base / 8], (int32_t)disp };
		return true;
	}
	*ea = (struct gen_ea){ H_R11, 0 };
	if (!offset_plus(g, H_R11, plus))
		return false;
	if (g->is64 && i->seg >= X86_FS)
		add_base(g, i->seg);
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
	em_rm(e, OP_W, 0x8d, H_RCX, H_RCX, H_R11, 0, (int32_t)size); /* last byte's offset … */
	em_pext(e, H_RCX, TR_OFF(tr_page_mask));		     /* … is in the page */
}

/* Beyond TR_SITES, places share, and in kernels switches of address spaces come often: it is worth
 * that in loops alone. */
static bool has_site(const struct gen *g, bool write, unsigned restless)
{
	return !(g->v->hv->vm->opt.disable & SOFT_DISABLE_SITES) && restless < TR_RESTLESS_MAX &&
	       (g->loops ||
		((g->b->key & KEY_USER) && g->v->tr->n_sites[SOFT_MODE_USER][write] < TR_SITES));
}

static struct tr_site *new_site(struct gen *g, bool write)
{
	unsigned mode = MODE_OF_KEY(g->b->key);
	struct soft_tr *t = g->v->tr;

	return &g->v->sites[mode][write][t->n_sites[mode][write]++ % TR_SITES];
}

static uint32_t context_off(const struct gen *g, const void *p)
{
	return (uint32_t)((const uint8_t *)p - (const uint8_t *)g->v);
}

static uint32_t site_off(const struct gen *g, const struct tr_site *s)
{
	return (uint32_t)((const uint8_t *)s - (const uint8_t *)g->v);
}

/* Where it is noted that the site's group has one in use. */
static uint32_t site_mark(const struct gen *g, const struct gen_site_miss *m)
{
	unsigned mode = MODE_OF_KEY(g->b->key);
	size_t n = (size_t)(m->site - g->v->sites[mode][m->write]);
	const uint8_t *mark = &g->v->sites_used[mode][m->write][n / TR_SITE_GROUP];

	return (uint32_t)(mark - (const uint8_t *)g->v);
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
	if (has_site(g, write, restless)) {
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
	if (g->i->flags & INSN_CHECK) {
		if (!in_segment(g, size))
			return false;
		ea.base = H_R11;
	} else if (!linear(g, 0, &ea)) {
		return false;
	}
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
	add_base(g, a->seg & 1 ? X86_GS : X86_FS);
}

void gen_before_loop(struct gen *g)
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

/* ---- when a check fails ---- */

/* Where a place goes that has met another page once too often; comes back to the glue. C may empty
 * the stack, on which it stands where the glue goes back to. */
static const void *often_path(struct gen *g)
{
	struct emit *e = &g->e;
	const void *start = e->p + e->to_rx;

	em_ctx(e, 0, 0x8f, 0, TR_OFF(tr_back)); /* pop */
	gen_leave(g);
	em_rm(e, 0, 0x8b, H_RCX, H_RCX, H_NONE, 0, (int32_t)offsetof(struct tr_count, insn));
	em_mov_imm(e, H_R11, (uintptr_t)g->b);
	em_jump(e, 0xe8, g->v->tr->group_missed);
	gen_enter(g);
	em_ctx(e, 0, 0xff, 6, TR_OFF(tr_back)); /* push */
	em_load(e, H_R11, TR_OFF(tr_address));
	em_jump(e, 0xe9, g->v->tr->site_lookup);
	return start;
}

/* The TLB may know the page; then the place in the code will. */
static void site_miss_path(struct gen *g, const struct gen_site_miss *m, const void *often)
{
	struct soft_tr *t = g->v->tr;
	struct tr_count *c = &t->counts[t->n_counts++];
	struct emit *e = &g->e;

	*c = (struct tr_count){
		.left = TR_COUNT,
		.since = __builtin_ia32_rdtsc(),
		.often = often,
		.site = site_off(g, m->site),
		.mark = site_mark(g, m),
		.tlb = g->tlb + (uint32_t)(m->write ? offsetof(struct soft_tlb, write)
						    : offsetof(struct soft_tlb, read)),
		.size = m->size,
		.insn = m->insn | TR_OFTEN,
	};
	em_patch(e, m->from);
	if (m->ea.base != H_R11)
		em_rm(e, OP_W, 0x8d, H_R11, m->ea.base, H_NONE, 0, m->ea.disp);
	em_ctx(e, OP_W, 0x8d, H_RCX, context_off(g, c));
	em_jump(e, 0xe8, t->site_missed);
	*m->missed = em_unless_rcx_zero(e);
	em_jump(e, 0xe9, m->back);
}

static void site_miss_paths(struct gen *g)
{
	const void *often = g->n_site_misses > 0 ? often_path(g) : NULL;

	for (unsigned k = 0; k < g->n_site_misses; k++)
		site_miss_path(g, &g->site_miss[k], often);
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
	gen_leave(g);
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
		gen_leave(g);
		em_mov_imm(&g->e, H_RCX,
			   m->insn | (a->write ? TR_GROUP_WRITES : 0) |
				   (happens_now(g, m) ? TR_NOW : 0));
		em_mov_imm(&g->e, H_R11, (uintptr_t)g->b);
		em_jump(&g->e, 0xe8, g->v->tr->group_missed);
		gen_enter(g);
		em_load(&g->e, H_R11, TR_OFF(tr_address));
		em_jump(&g->e, 0xe9, a->check);
	}
}

void gen_miss_paths(struct gen *g)
{
	site_miss_paths(g);
	miss_paths(g);
	group_miss_paths(g);
}
