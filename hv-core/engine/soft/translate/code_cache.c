/*
 * See code_cache.h. The glue at the cache's start:
 *
 * enter  saves what C wants saved, loads the guest's registers and jumps to the block.
 * exit   the way out: RCX is the guest's RIP, R11 the slot; stores the registers, returns to C.
 * call   runs one instruction in the interpreter: RCX is its number, R11 the block. Returns into
 * the block; if the instruction ended it, goes on at the next one's code, or leaves.
 * group_missed asks where to go on: R11 is the block, RCX says which group. Does not return.
 * site_missed looks the operand up in the TLB for a place that remembers another page: R11 is its
 * address, RCX the struct tr_count. Returns with RCX 0 and R15, or RCX not 0: the TLB has it not.
 * lost is where a return goes that no call was made for.
 * load_fpu makes the guest's x87, SSE and AVX registers the host's.
 */
#include "engine/soft/translate/code_cache.h"
#include <stdlib.h>
#include <sys/mman.h>
#include "engine/soft/exec_mem.h"
#include "engine/soft/fpu.h"
#include "engine/soft/translate/gen.h"
#include "engine/soft/translate/perf_map.h"

#define CODE_BYTES HV_MIB(64)
#define HOT_BYTES (HV_MIB(26))
#define SLOT_BYTES HV_MIB(16)
#define STACKS_BYTES (SOFT_MODES * TR_STACK_BYTES)
#define TRAP_BYTES HV_MIB(16)
#define ENTRY_BYTES HV_MIB(8)
#define COUNT_BYTES HV_MIB(16)
#define WAY_BYTES HV_MIB(4)

/* RCX, R11 and R15 are the translator's own; what is rarest in kernels and compiled programs lives
 * in the context. The guest's RSP must not be the host's: signals would be delivered there. */
const uint8_t tr_host[16] = { H_RAX, H_R14, H_RDX,  H_RBX,  H_R10, H_RBP, H_RSI,  H_RDI,
			      H_R8,  H_R9,  H_NONE, H_NONE, H_R12, H_R13, H_NONE, H_NONE };

static void load_guest(struct emit *e)
{
	em_ctx(e, OP_0F, 0xb7, H_RAX, TR_OFF(fl)); /* movzx */
	em8(e, 0x04), em8(e, 0x7f);		   /* add al, 127: OF */
	em8(e, 0x9e);				   /* sahf */
	for (unsigned n = 0; n < 16; n++)
		if (tr_host[n] != H_NONE)
			em_load(e, tr_host[n], SOFT_REG(n));
}

static void store_guest(struct emit *e)
{
	for (unsigned n = 0; n < 16; n++)
		if (tr_host[n] != H_NONE)
			em_store(e, tr_host[n], SOFT_REG(n));
	em8(e, 0x9f);				   /* lahf */
	em_rr(e, OP_0F | OP_BYTE, 0x90, 0, H_RAX); /* seto al */
	em_ctx(e, OP_66, 0x89, H_RAX, TR_OFF(fl));
}

static const uint8_t saved[] = { H_RBX, H_RBP, H_R12, H_R13, H_R14, H_R15 };

static void push_pop(struct emit *e, uint8_t op, unsigned reg)
{
	if (reg & 8)
		em8(e, 0x41);
	em8(e, (uint8_t)(op | (reg & 7)));
}

/* Back to who called enter. */
static void epilogue(struct emit *e)
{
	em_load(e, H_RSP, TR_OFF(tr_c_rsp));
	em_rr(e, OP_W, 0x83, 0, H_RSP); /* add rsp, 8 */
	em8(e, 8);
	for (unsigned k = sizeof(saved); k-- > 0;)
		push_pop(e, 0x58, saved[k]);
	em8(e, 0xc3);
}

static void make_enter(struct emit *e)
{
	for (unsigned k = 0; k < sizeof(saved); k++)
		push_pop(e, 0x50, saved[k]);
	em_rr(e, OP_W, 0x83, 5, H_RSP); /* sub rsp, 8: a multiple of 16 for C */
	em8(e, 8);
	em_store(e, H_RSP, TR_OFF(tr_c_rsp));
	em_load(e, H_RSP, TR_OFF(tr_rsp));
	em_store(e, H_RDI, TR_OFF(tr_code));
	load_guest(e);
	em_ctx(e, 0, 0xff, 4, TR_OFF(tr_code));
}

static void make_exit(struct emit *e)
{
	em_store(e, H_RSP, TR_OFF(tr_rsp));
	em_store(e, H_RCX, TR_OFF(s.rip));
	em_store(e, H_R11, TR_OFF(tr_tmp));
	store_guest(e);
	em_load(e, H_RAX, TR_OFF(tr_tmp));
	epilogue(e);
}

/* A return to code that is gone, or was called by nobody: R11 is where the guest goes. */
static void make_lost(struct emit *e, const uint8_t *exit)
{
	em_rm(e, OP_W, 0x8d, H_RSP, H_RSP, H_NONE, 0, -8);
	em_rr(e, OP_W, 0x8b, H_RCX, H_R11);
	em_mov_imm(e, H_R11, 0);
	em_jump(e, 0xe9, exit);
}

/* Calls fn(v, R11, RCX, on) on C's stack. The words on top of the own stack, on the first of them,
 * are within the translator: they are kept in registers, for C may empty that stack. */
static void call_c(struct emit *e, const struct soft_vcpu *v, uintptr_t fn, unsigned words)
{
	store_guest(e);
	em_rm(e, OP_W, 0x8b, H_R12, H_RSP, H_NONE, 0, 0);
	em_rm(e, OP_W, 0x8b, H_R13, H_RSP, H_NONE, 0, 8);
	em_rm(e, OP_W, 0x8d, H_RAX, H_RSP, H_NONE, 0, (int32_t)words * 8);
	em_store(e, H_RAX, TR_OFF(tr_rsp));
	em_load(e, H_RSP, TR_OFF(tr_c_rsp));
	em_mov_imm(e, H_RDI, (uintptr_t)v);
	em_rr(e, OP_W, 0x8b, H_RSI, H_R11);
	em_rr(e, 0, 0x8b, H_RDX, H_RCX);
	em_rr(e, OP_W, 0x8b, H_RCX, H_R12);
	em_mov_imm(e, H_RAX, fn);
	em_rr(e, 0, 0xff, 2, H_RAX);
}

/* On the own stack again. */
static void from_c(struct emit *e, unsigned words)
{
	em_load(e, H_RSP, TR_OFF(tr_rsp));
	if (words == 2)
		push_pop(e, 0x50, H_R13);
	if (words >= 1)
		push_pop(e, 0x50, H_R12);
	load_guest(e);
}

static void make_call(struct emit *e, const struct soft_vcpu *v)
{
	call_c(e, v, (uintptr_t)soft_tr_insn, 2);
	em_rr(e, OP_W, 0x83, 7, H_RAX); /* cmp rax, TR_BEHIND */
	em8(e, (uintptr_t)TR_BEHIND);
	uint8_t *stopped = em_jcc(e, 2), *elsewhere = em_jcc(e, 7);

	from_c(e, 2);
	em8(e, 0xc3);
	em_patch(e, elsewhere);
	em_store(e, H_RAX, TR_OFF(tr_go));
	from_c(e, 0);
	em_ctx(e, 0, 0xff, 4, TR_OFF(tr_go));
	em_patch(e, stopped);
	em_rr(e, 0, 0x31, H_RAX, H_RAX);
	epilogue(e);
}

static void make_group_missed(struct emit *e, const struct soft_vcpu *v)
{
	call_c(e, v, (uintptr_t)soft_tr_group_missed, 1);
	em_rr(e, OP_W, 0x85, H_RAX, H_RAX);
	uint8_t *stopped = em_jcc(e, 4);

	em_store(e, H_RAX, TR_OFF(tr_go));
	from_c(e, 0);
	em_ctx(e, 0, 0xff, 4, TR_OFF(tr_go));
	em_patch(e, stopped);
	em_rr(e, 0, 0x31, H_RAX, H_RAX);
	epilogue(e);
}

/* What is looked up for the place becomes what it remembers. R15 is the addend, and stays so. */
static void remember(struct emit *e)
{
	const uint32_t addend = (uint32_t)offsetof(struct tr_site, addend);
	const uint32_t not_tag = (uint32_t)offsetof(struct tr_site, not_tag);

	em_store(e, H_R15, TR_OFF(tr_addend));
	em_load(e, H_RCX, TR_OFF(tr_count));
	em_rm(e, 0, 0x8b, H_RCX, H_RCX, H_NONE, 0, (int32_t)offsetof(struct tr_count, site));
	em_gsx(e, OP_W, 0x89, H_R15, H_RCX, addend);
	em_load(e, H_R15, TR_OFF(tr_not_tag));
	em_gsx(e, OP_W, 0x89, H_R15, H_RCX, not_tag);
	em_load(e, H_RCX, TR_OFF(tr_count));
	em_rm(e, 0, 0x8b, H_RCX, H_RCX, H_NONE, 0, (int32_t)offsetof(struct tr_count, mark));
	em_gsx(e, OP_BYTE, 0x88, H_R15, H_RCX, 0); /* of a page it is not 0 */
	em_load(e, H_R15, TR_OFF(tr_addend));
}

/* RCX = 0 if the TLB's row for the operand is of its page; R15 the row's addend. */
static void look_up(struct emit *e)
{
	em_load(e, H_RCX, TR_OFF(tr_count));
	em_rm(e, 0, 0x8b, H_R15, H_RCX, H_NONE, 0, (int32_t)offsetof(struct tr_count, tlb));
	em_rm(e, 0, 0x8b, H_RCX, H_RCX, H_NONE, 0, (int32_t)offsetof(struct tr_count, size));
	em_rm(e, OP_W, 0x8d, H_R11, H_R11, H_RCX, 0, 0);
	em_load(e, H_RCX, TR_OFF(tr_address));
	em_rorx(e, H_RCX, H_RCX, 12);
	em_pdep(e, H_RCX, TR_OFF(tr_tlb_mask));
	em_rm(e, OP_W, 0x8d, H_R15, H_R15, H_RCX, 0, 0);
	em_gsx(e, OP_W, 0x8b, H_RCX, H_R15, (uint32_t)offsetof(struct soft_tlb_entry, not_tag));
	em_gsx(e, OP_W, 0x8b, H_R15, H_R15, (uint32_t)offsetof(struct soft_tlb_entry, addend));
	em_store(e, H_RCX, TR_OFF(tr_not_tag));
	em_rm(e, OP_W, 0x8d, H_RCX, H_RCX, H_R11, 0, 0);
	em_pext(e, H_RCX, TR_OFF(tr_page_mask));
	em_load(e, H_R11, TR_OFF(tr_address));
}

static void make_site_missed(struct emit *e, struct soft_tr *t)
{
	const int32_t left = (int32_t)offsetof(struct tr_count, left);

	t->site_missed = e->p;
	em_store(e, H_R11, TR_OFF(tr_address));
	em_store(e, H_RCX, TR_OFF(tr_count));
	em_rm(e, OP_W, 0x8b, H_R15, H_RCX, H_NONE, 0, left);
	em_rm(e, OP_W, 0x8d, H_R15, H_R15, H_NONE, 0, -1);
	em_rm(e, OP_W, 0x89, H_R15, H_RCX, H_NONE, 0, left);
	em_rr(e, OP_W, 0x8b, H_RCX, H_R15);
	uint8_t *some_left = em_unless_rcx_zero(e);

	em_load(e, H_RCX, TR_OFF(tr_count));
	em_rm(e, 0, 0xff, 4, H_RCX, H_NONE, 0, (int32_t)offsetof(struct tr_count, often));
	em_patch(e, some_left);
	t->site_lookup = e->p;
	look_up(e);
	uint8_t *none = em_unless_rcx_zero(e);

	remember(e);
	em_mov_imm(e, H_RCX, 0);
	em_patch(e, none);
	em8(e, 0xc3);
}

static void make_load_fpu(struct emit *e, const struct soft_vcpu *v)
{
	call_c(e, v, (uintptr_t)soft_fpu_load_slow, 1);
	from_c(e, 1);
	em8(e, 0xc3);
}

static void make_glue(struct soft_vcpu *v)
{
	struct soft_tr *t = v->tr;
	struct emit e = { t->rw, t->rx - t->rw, v };
	const void *enter = t->rx;

	make_enter(&e);
	t->exit = e.p;
	make_exit(&e);
	t->call = e.p;
	make_call(&e, v);
	t->group_missed = e.p;
	make_group_missed(&e, v);
	make_site_missed(&e, t);
	t->load_fpu = e.p;
	make_load_fpu(&e, v);
	t->lost = e.p + e.to_rx;
	make_lost(&e, t->exit);
	tr_perf_glue(v, t->rx, (size_t)(e.p - t->rw));
	memcpy(&t->enter, &enter, sizeof(enter));
	t->cold_start = t->cold = t->cold_large = (uint32_t)HOT_BYTES;
	t->glue_bytes = t->used = (uint32_t)hv_align_up((uint64_t)(e.p - t->rw), 64);
}

/* ---- memory: the vCPU, the code, and behind that what belongs to the code ---- */

#define VCPU_BYTES hv_align_up(sizeof(struct soft_vcpu), SOFT_EXEC_LARGE)
#define DATA_BYTES (SLOT_BYTES + TRAP_BYTES + ENTRY_BYTES + COUNT_BYTES + WAY_BYTES + STACKS_BYTES)
#define ALL_BYTES (VCPU_BYTES + CODE_BYTES + DATA_BYTES)

struct soft_vcpu *soft_tr_vcpu_alloc(void)
{
	uint8_t *p = mmap(NULL, ALL_BYTES + SOFT_EXEC_LARGE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	uint8_t *v = (uint8_t *)p + (-(uintptr_t)p & (SOFT_EXEC_LARGE - 1));

	if (v != p)
		munmap(p, (size_t)(v - p));
	munmap(v + ALL_BYTES, SOFT_EXEC_LARGE - (size_t)(v - p));
	if (mprotect(v, VCPU_BYTES, PROT_READ | PROT_WRITE) < 0) {
		munmap(v, ALL_BYTES);
		return NULL;
	}
	(void)madvise(v, VCPU_BYTES, MADV_HUGEPAGE); /* tables that are read all over */
	return (struct soft_vcpu *)(void *)v;
}

void soft_tr_vcpu_free(struct soft_vcpu *v)
{
	if (v != NULL)
		munmap(v, ALL_BYTES);
}

static int guard_stacks(struct soft_tr *t, struct err *e)
{
	for (unsigned m = 0; m < SOFT_MODES; m++)
		if (mprotect(t->stacks + m * TR_STACK_BYTES, HV_PAGE_SIZE, PROT_NONE) < 0)
			return err_set(e, -errno, "no guard page for translated code: %s",
				       strerror(errno));
	return 0;
}

static int map_cache(struct soft_vcpu *v, struct err *e)
{
	struct soft_tr *t = v->tr;
	uint8_t *code = (uint8_t *)v + VCPU_BYTES, *data = code + CODE_BYTES;
	int r = soft_exec_map(CODE_BYTES, code, &t->rw, &t->rx, e);

	if (r < 0)
		return r;
	if (mprotect(data, DATA_BYTES, PROT_READ | PROT_WRITE) < 0)
		return err_set(e, -errno, "no memory for translated code");
	t->slots = (struct tr_slot *)(void *)data;
	t->traps = (struct tr_trap *)(void *)(data += SLOT_BYTES);
	t->entries = (uint32_t *)(void *)(data += TRAP_BYTES);
	t->counts = (struct tr_count *)(void *)(data += ENTRY_BYTES);
	t->ways = (const void **)(void *)(data += COUNT_BYTES);
	t->stacks = data + WAY_BYTES;
	return guard_stacks(t, e);
}

int tr_cache_create(struct soft_vcpu *v, struct err *e)
{
	v->tr = calloc(1, sizeof(*v->tr));
	if (v->tr == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	v->tr->gen = calloc(1, sizeof(*v->tr->gen));
	int r = v->tr->gen == NULL ? err_set(e, -ENOMEM, "out of memory") : map_cache(v, e);

	if (r < 0) {
		tr_cache_destroy(v);
		return r;
	}
	make_glue(v);
	return 0;
}

void tr_cache_destroy(struct soft_vcpu *v)
{
	struct soft_tr *t = v->tr;

	if (t == NULL)
		return;
	if (t->rw != NULL)
		munmap(t->rw, CODE_BYTES);
	free(t->gen);
	free(t);
	v->tr = NULL;
}

bool tr_cache_has(const struct soft_tr *t, uintptr_t pc)
{
	return pc - (uintptr_t)t->rx < CODE_BYTES;
}

/* What is written to next is to lie in large pages. */
static void take_large(const struct soft_tr *t, uint32_t *large, uint32_t end)
{
	for (; *large < end + TR_BLOCK_BYTES && *large + SOFT_EXEC_LARGE <= CODE_BYTES;
	     *large += SOFT_EXEC_LARGE)
		soft_exec_large(t->rw + *large, t->rx + *large, SOFT_EXEC_LARGE);
}

bool soft_tr_room(const struct soft_vcpu *v)
{
	struct soft_tr *t = v->tr;

	take_large(t, &t->large, t->used);
	take_large(t, &t->cold_large, t->cold);
	return t->used + TR_BLOCK_BYTES <= t->cold_start &&
	       t->cold + TR_BLOCK_BYTES <= CODE_BYTES &&
	       (t->n_slots + GEN_MAX_EXITS) * sizeof(struct tr_slot) <= SLOT_BYTES &&
	       (t->n_entries + BLOCK_MAX_INSNS) * sizeof(*t->entries) <= ENTRY_BYTES &&
	       (t->n_counts + GEN_MAX_SITES) * sizeof(*t->counts) <= COUNT_BYTES &&
	       (t->n_ways + GEN_MAX_GROUPS) * sizeof(*t->ways) <= WAY_BYTES &&
	       (t->n_traps + BLOCK_MAX_INSNS) * sizeof(struct tr_trap) <= TRAP_BYTES;
}
