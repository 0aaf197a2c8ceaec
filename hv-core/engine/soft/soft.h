/*
 * Inside the soft engine: the vCPU's context, a decoded instruction, and the calls by which the
 * instruction groups reach memory, raise exceptions and end blocks.
 *
 * One vCPU runs in one thread. The run loop (run.c) takes decoded blocks from the block cache
 * (block.c; decoding is decode.c, over Zydis) and calls each instruction's function in turn. An
 * instruction's function does all that can fault before it changes any guest-visible state; a fault
 * leaves through soft_raise(), a longjmp into the run loop, which restores RIP to the instruction's
 * start and delivers the event (event.c).
 *
 * Everything in this folder is compiled with -mgeneral-regs-only: the guest's x87/SSE/AVX registers
 * may be live in the host's (fpu.c), so whoever calls out of the folder (bus, libc, Zydis) calls
 * soft_fpu_park() first. Small fixed-size memcpy that the compiler turns into moves is fine.
 */
#ifndef SOFT_SOFT_H
#define SOFT_SOFT_H
#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "base/util.h"
#include "cpu/vcpu.h"
#include "cpu/x86_defs.h"
#include "cpu/x86_state.h"

struct soft_vcpu;
struct insn;
struct block;	  /* block.c */
struct code_page; /* code.c */

/* ---- decoded instructions ---- */

typedef void (*insn_fn)(struct soft_vcpu *v, const struct insn *i);

enum insn_flag {
	INSN_END = 1 << 0, /* the block ends here: may set RIP, mode or privilege, or open a window
			      for interrupts; the run loop looks at everything again */
	INSN_LOCK = 1 << 1,
	INSN_REP = 1 << 2,
	INSN_REPNE = 1 << 3,
	INSN_MEM = 1 << 4,    /* has a memory operand: base, index, scale, disp, seg, addr_size */
	INSN_BRANCH = 1 << 5, /* direct branch: imm is the target's RIP */
	INSN_CHECK = 1 << 6,  /* the operand's segment is not flat: limit and type are checked */
	INSN_ALIGN = 1 << 7,  /* the memory operand must be naturally aligned, else #GP(0) */
};

/*
 * Registers are named by their byte offset in struct soft_vcpu, so that one function serves all of
 * them: SOFT_REG(n), SOFT_REG8H(n) for AH..BH, SOFT_ZERO for "none" in an address.
 */
struct insn {
	insn_fn fn;
	uint64_t ip;	      /* RIP (EIP, IP) of the instruction */
	uint64_t imm;	      /* sign-extended as the instruction wants it; or the branch target */
	int64_t disp;	      /* displacement; of RIP-relative operands: the address */
	uint16_t base, index; /* offsets of the registers */
	uint16_t dst, src;    /* offsets of register operands */
	uint8_t scale;	      /* shift: 0 to 3 */
	uint8_t seg;	      /* enum x86_seg of the memory operand */
	uint8_t len;	      /* bytes */
	uint8_t flags;	      /* enum insn_flag */
	uint8_t op_size;      /* bytes: 1, 2, 4, 8 */
	uint8_t addr_size;    /* bytes: 2, 4, 8 */
	uint8_t mem_size;     /* bytes of the memory operand (0: none or variable) */
	uint8_t cc;	  /* condition code, shift count, or other small constant of the group */
	const void *priv; /* of the group: a native stub (fpu.c), else NULL */
	uint64_t aux;	  /* of the group, too */
};
_Static_assert(sizeof(struct insn) == 64, "one cache line");

/* What a group's selector is given. Zydis types stay out of this header. */
struct decoded; /* decode.h: ZydisDecodedInstruction + operands + mode */

/* One row per mnemonic: chooses i->fn (and what else the function needs) from the operands. The
 * decoder has filled ip, len, addressing, op_size, addr_size, prefixes. false: #UD. */
struct soft_op {
	int mnemonic; /* ZydisMnemonic */
	bool (*select)(const struct decoded *d, struct insn *i);
};
/* Each ends with mnemonic -1. Of the rows with the instruction's mnemonic, in the order of the
 * tables below, the first whose select returns true is taken (mov, push, pop, jmp, call, ret stand
 * in two tables: the general one refuses segment, control and debug registers and far transfers);
 * none: #UD. */
/* mov, arithmetic, logic, bits, mul/div: several tables, NULL-ended */
extern const struct soft_op *const soft_ops_int[];
extern const struct soft_op soft_ops_flow[];   /* jumps, near calls, loops, setcc/cmov */
extern const struct soft_op soft_ops_string[]; /* movs, stos, lods, scas, cmps, ins, outs */
extern const struct soft_op
	soft_ops_system[]; /* segments, far transfers, CR/DR/MSR, in/out, hlt … */
extern const struct soft_op soft_ops_simd[]; /* x87, MMX, SSE, AVX, BMI, XSAVE, … */

/* ---- TLB ---- */

#define SOFT_TLB_BITS 12
#define SOFT_TLB_SIZE (1u << SOFT_TLB_BITS)
#define SOFT_TLB_EMPTY 1ull /* no page address has bit 0 set */
/* The same for data TLBs: also far from any address that is looked up in row i (translated code
 * compares by distance). */
#define SOFT_TLB_EMPTY_ROW(i) ((uint64_t)((i) ^ SOFT_TLB_SIZE / 2) << 12 | SOFT_TLB_EMPTY)

struct soft_tlb_entry {
	uint64_t not_tag; /* the complement of the linear page address, or SOFT_TLB_EMPTY_ROW */
	uint64_t addend;  /* host address = linear + addend */
};

/* Which rules an access is checked by. Entries are made separately for each. */
enum soft_access_mode {
	SOFT_MODE_SUPER,      /* CPL 0-2, user pages allowed: SMAP off or AC set */
	SOFT_MODE_USER,	      /* CPL 3 */
	SOFT_MODE_SUPER_SMAP, /* CPL 0-2, user pages refused; implicit accesses to GDT, IDT, TSS,
				 too */
	SOFT_MODES
};

#define SOFT_FETCH_SIZE 4096u
#define TR_GROUPS 24u /* grouped checks of a trace */

struct soft_tlb {
	struct soft_tlb_entry read[SOFT_TLB_SIZE];
	/* Made only when D is set, the page is not code, and the block's dirty bit is set. */
	struct soft_tlb_entry write[SOFT_TLB_SIZE];
};

/*
 * The page that a place in translated code found its operand in the last time: TR_SITES such a
 * mode, for reads and for writes, which places in loops share when there are more of them. What is
 * here is in the TLB, or was since the last flush. Of an empty one the page is tr->no_page, which
 * no guest can have anything at. Those that are not empty are in groups that are marked in
 * sites_used.
 */
#define TR_SITES 16384u
#define TR_SITE_GROUP 16u
struct tr_site {
	uint64_t not_tag, addend;
};

/* Where indirect jumps, and those to other pages, find translated code. One table a mode; a row is
 * chosen by soft_jump_index(rip). */
#define SOFT_JUMPS 16384u
struct soft_jump {
	uint64_t rip; /* of an empty row: one that belongs into another row */
	const void *code;
};
static inline uint32_t soft_jump_index(uint64_t rip)
{
	return (uint32_t)((rip + (rip >> 4 | rip << 60)) & (SOFT_JUMPS - 1));
}

/* ---- the vCPU ---- */

/* Bits of hv_engine_options.disable: what the translator does without. */
enum soft_disable {
	SOFT_DISABLE_TRACES = 1 << 0,	  /* blocks are translated one by one */
	SOFT_DISABLE_PAGE_LINKS = 1 << 1, /* between pages: jumps by table only */
	SOFT_DISABLE_GROUPS = 1 << 2,	  /* every memory access has its own check */
	SOFT_DISABLE_RETURNS = 1 << 3,	  /* returns by table only */
	SOFT_DISABLE_MOVES = 1 << 4,	  /* R10, R11, R14 and R15 live in memory */
	SOFT_DISABLE_SITES = 1 << 5,	  /* every check looks the TLB up */
};

enum soft_slow { /* reasons why the run loop goes instruction by instruction */
		 SOFT_SLOW_TF = 1 << 0,
		 SOFT_SLOW_BREAK = 1 << 1,  /* guest debug registers */
		 SOFT_SLOW_SHADOW = 1 << 2, /* after sti, mov ss, pop ss */
		 SOFT_SLOW_GDB = 1 << 3,
		 SOFT_SLOW_TRACE = 1 << 4,
		 SOFT_SLOW_RF = 1 << 5,
};

/* An exception or interrupt on its way to delivery. */
struct soft_event {
	uint8_t vector;
	bool has_error;
	uint8_t kind; /* as x86_state.exc_kind: 0 exception, 1 software interrupt, 2 external, 3 NMI
		       */
	bool is_int1; /* ICEBP */
	uint32_t error;
	uint64_t cr2; /* #PF */
	uint64_t dr6; /* #DB: bits to set */
};

/* Of event.c and debug.c alone: what lives between two instructions and is in no register. */
struct soft_sys {
	uint64_t dr6_pending;	  /* bits of a #DB trap that is due before the next instruction */
	uint64_t watch_addr;	  /* the debugger's watchpoint that was hit */
	uint32_t msrs_logged[16]; /* unknown ones that have had their line in the log */
	unsigned n_msrs_logged;
	bool watch_hit;
	bool tf_start;	   /* TF when the current instruction began */
	bool shadow_start; /* the same for the interrupt shadows */
};

struct soft_vcpu {
	/* Guest state; gpr first: offsets in struct insn. s.rip is valid between blocks only (use
	 * i->ip inside); s.rflags has no valid status bits (they are in fl). */
	struct x86_state s;
	/* OF in bit 0, and as LAHF stores them in bits 8-15: SF 15, ZF 14, AF 12, PF 10, CF 8 */
	uint16_t fl;
	uint64_t zero; /* SOFT_ZERO: always 0 */
	/* The memory fast path */
	struct soft_tlb *tlb;	  /* that of the current mode */
	const struct insn *cur;	  /* being executed */
	const struct insn *end;	  /* the block's end; moved to cur + 1 to stop after cur */
	const struct insn *first; /* the block's start: what is done of it is counted at its end */
	/* Caches over s, kept by soft_mode_changed() */
	bool code64; /* CS.L and long mode */
	bool code32; /* CS.D */
	bool long_mode, paging, protected, v86;
	bool stack32;  /* SS.B (stack pointer is 32-bit); in code64 it is 64-bit */
	uint8_t flat;  /* bit n: segment n has base 0, limit 4 GiB - 1 and is usable for
			  reading and writing (always set in code64, but FS and GS) */
	uint32_t key;  /* block key: everything decoding depends on */
	uint32_t slow; /* enum soft_slow */
	/* FPU: whether the guest's registers are in the host's (fpu.c) */
	bool fpu_live;

	struct hv_vcpu *hv;	 /* borrowed */
	struct soft_vm *vm;	 /* borrowed */
	struct soft_event event; /* raised, not yet delivered */
	bool event_valid;
	struct soft_event delivering; /* for double faults */
	bool is_delivering;
	bool want_exit; /* leave run loop with exit */
	struct code_page
		*written_page; /* by soft_atomic(): stored to when the instruction is done */
	uint16_t written_off, written_size; /* its bytes */
	_Atomic bool decodes;		    /* it may have blocks of RAM; others read it */
	bool bus_locked;		    /* between soft_lock_begin and _end */
	struct hv_exit exit;
	struct hv_debug debug; /* the debugger's */
	struct soft_sys sys;
	sigjmp_buf raise_to;
	struct hv_engine_stats stats;
	bool in_code;	     /* control went into translated code */
	uint64_t code_since; /* stats.instructions then; stats.translated counts up to there */
	uint64_t *count;     /* in there: what else the interpreter's instruction counts as */
	unsigned pauses;     /* of a guest that spins, since it gave the host's CPU up */
	uint64_t decode_ticks, translate_ticks; /* of the host's time-stamp counter */

	/* Deterministic running (turn.c), in numbers of instructions */
	bool turns;	  /* constant */
	bool turn_due;	  /* before the next instruction */
	uint64_t stop_at; /* no instruction past this one before a turn; UINT64_MAX: no turns */
	uint64_t synced;  /* the clock has moved so far */
	uint64_t digest_at, digests;

	/* Between this thread and those that want its translations dropped (sync.c) */
	_Atomic bool inside;	     /* may be using translations: in the engine, not called out */
	_Atomic uint64_t flush_want; /* counts demands */
	_Atomic uint64_t flush_done; /* the last demand that was met */

	struct soft_mmu *mmu;	    /* owned; mmu.c: page-walk caches, fetch TLB, victims */
	struct block_cache *blocks; /* owned; block.c */
	struct soft_fpu *fpu;	    /* owned; fpu.c */
	struct soft_tlb tlbs[SOFT_MODES];

	struct soft_tr *tr; /* owned; translate/: NULL: interpreter only */
	uint64_t tr_tlb_mask, tr_page_mask, tr_jump_mask; /* constants of translated code */
	uint64_t tr_align16, tr_align32;
	uint64_t tr_aligned_mask[6]; /* page, and the bits that are 0 in an aligned address: by log2
				      */
	/* What the fetch TLB's rows map (soft_fetch.word), for translated code; by CPL == 3 */
	uint64_t fetch_words[2 * SOFT_FETCH_SIZE];
	/* Translated code is to leave, for requests may have come. Any thread sets it, behind
	 * them; this one clears it before it looks at them. */
	_Atomic uint32_t look;
	uint64_t tr_code, tr_tmp;      /* its own between two steps */
	uint64_t tr_but_if;	       /* all flags but IF */
	uint64_t tr_status, tr_pushed; /* status flags; those that pushf takes from s.rflags */
	uint64_t tr_not_stop_at;       /* -stop_at */
	uint64_t tr_sign;	       /* the highest bit */
	uint64_t tr_offset_mask;       /* of an address, that in its page */
	uint64_t tr_go, tr_count;      /* where C sends it; the struct tr_count that is at work */
	uint64_t tr_not_tag, tr_addend, tr_back; /* of the glue, while a site is looked up */
	uint64_t tr_c_rsp, tr_rsp;     /* stacks of C, and of translated code in this mode */
	uint64_t tr_stack[SOFT_MODES]; /* tr_rsp of the other modes */
	uint64_t tr_empty[SOFT_MODES]; /* constant */
	unsigned tr_mode;
	uint64_t tr_address;	       /* of the group whose check failed */
	uint64_t tr_groups[TR_GROUPS]; /* host addresses of the groups of the trace that runs */
	struct tr_site sites[SOFT_MODES][2][TR_SITES];
	uint8_t sites_used[SOFT_MODES][2][TR_SITES / TR_SITE_GROUP];
	uint8_t tr_no_page[HV_PAGE_SIZE]; /* what lies at tr->no_page */
	uint64_t tlb_epoch;		  /* counts dropped data translations */
	uint32_t jump_key[SOFT_MODES];	  /* what the table is good for */
	bool jumps_used[SOFT_MODES];
	struct soft_jump jumps[SOFT_MODES][SOFT_JUMPS];
};

/* One per VM. */
struct soft_vm {
	struct hv_vm *hv;	   /* borrowed */
	struct decoders *decoders; /* owned; decode.c: Zydis, set up for each mode */
	struct hv_mem_listener listener;
	struct soft_code *code; /* code.c: which physical pages hold decoded code, all vCPUs */
	struct soft_vcpu *vcpu[HV_MAX_VCPUS]; /* borrowed; NULL: none */
	struct soft_stubs *stubs;	      /* fpu.c: executable stubs, shared */
	unsigned host_cpus;		      /* that this process may use */
};

#define SOFT_REG(n) ((uint16_t)((n)*8))
#define SOFT_REG8H(n) ((uint16_t)((n)*8 + 1)) /* n: 0 AH, 1 CH, 2 DH, 3 BH */
#define SOFT_ZERO ((uint16_t)offsetof(struct soft_vcpu, zero))

static inline void *soft_reg(struct soft_vcpu *v, uint16_t off)
{
	return (uint8_t *)v + off;
}

#define SOFT_R8(v, off) (*(uint8_t *)soft_reg(v, off))
#define SOFT_R16(v, off) (*(uint16_t *)soft_reg(v, off))
#define SOFT_R32(v, off)                                                                           \
	(*(uint32_t *)soft_reg(v, off)) /* to read; a write must zero bits 32-63                   \
					 */
#define SOFT_R64(v, off) (*(uint64_t *)soft_reg(v, off))

/* ---- flags ---- */

static inline uint64_t soft_rflags(const struct soft_vcpu *v)
{
	return (v->s.rflags & ~(uint64_t)X86_FL_STATUS) | (v->fl >> 8 & 0xd5) | (v->fl & 1u) << 11;
}

/* As is: whoever changes TF, IF, VM, AC, RF calls soft_mode_changed(). */
static inline void soft_set_rflags(struct soft_vcpu *v, uint64_t rflags)
{
	v->s.rflags = rflags | X86_FL_FIXED;
	v->fl = (uint16_t)((rflags & 0xd5) << 8 | (rflags >> 11 & 1));
}

/* ---- leaving an instruction: none of these returns; nothing of the instruction has happened ----
 */

_Noreturn void soft_raise(struct soft_vcpu *v, uint8_t vector); /* no error code */
_Noreturn void soft_raise_err(struct soft_vcpu *v, uint8_t vector, uint32_t error);
_Noreturn void soft_raise_pf(struct soft_vcpu *v, uint64_t linear, uint32_t error);
_Noreturn void soft_raise_db(struct soft_vcpu *v, uint64_t dr6_bits); /* fault-like #DB */

/* ---- run loop (run.c) ---- */

/*
 * RIP: an INSN_END function sets s.rip itself, whatever it was before. A raise outside of delivery
 * puts s.rip back to v->cur->ip; a raise while v->is_delivering, or with v->cur NULL, leaves s.rip
 * alone.
 */

/* After any change of CS, SS, CR0, CR3, CR4, EFER, CPL, RFLAGS.{VM,TF,AC,RF}, segment bases and
 * limits, debug registers: recomputes the caches. The instruction must be INSN_END. */
void soft_mode_changed(struct soft_vcpu *v);
/* Ends the block after the current instruction: the next one is at s.rip, which is set here. */
void soft_stop_block(struct soft_vcpu *v);
/* The current instruction is done, and vcpu_run returns with v->exit. */
void soft_exit(struct soft_vcpu *v, enum hv_exit_reason reason);

/*
 * Around every call out of the engine that may take a lock or wait (ports, MMIO, LAPIC, clock,
 * log): in between, other threads may change the memory map without waiting for this vCPU. No host
 * address of guest memory may be kept across it. begin parks the FPU.
 */
void soft_outside_begin(struct soft_vcpu *v);
void soft_outside_end(struct soft_vcpu *v);

/* Tests and oracles: runs until n instructions are done, an exception is raised (v->event, not
 * delivered; the next call delivers it first) or the vCPU wants to exit. Returns how many were
 * done. v's thread; interrupts are taken as usual. */
uint64_t soft_run_insns(struct hv_vcpu *hv, uint64_t n);
static inline struct soft_vcpu *soft_of(struct hv_vcpu *hv)
{
	return hv->engine_priv;
}

/* Asks something (enum hv_request) of v. Any thread. */
static inline void soft_request(struct soft_vcpu *v, uint32_t bits)
{
	atomic_fetch_or(&v->hv->requests, bits);
	atomic_store(&v->look, 1);
}

/* ---- memory (mmu.c) ---- */

/* The linear address of i's memory operand. Checks limit and type (INSN_CHECK), alignment
 * (INSN_ALIGN); canonical form is checked at the access. May raise. */
uint64_t soft_ea_checked(struct soft_vcpu *v, const struct insn *i, unsigned size, bool write);

/* The offset part alone (lea, and string instructions' building block), wrapped at addr_size. */
static inline uint64_t soft_offset(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t a = SOFT_R64(v, i->base) + (SOFT_R64(v, i->index) << i->scale) + (uint64_t)i->disp;

	if (HV_LIKELY(i->addr_size == 8))
		return a;
	return i->addr_size == 4 ? (uint32_t)a : (uint16_t)a;
}

static inline uint64_t soft_ea(struct soft_vcpu *v, const struct insn *i, unsigned size, bool write)
{
	if (HV_UNLIKELY(i->flags & (INSN_CHECK | INSN_ALIGN)))
		return soft_ea_checked(v, i, size, write);
	uint64_t a = soft_offset(v, i);

	/* In 64-bit mode only FS and GS have bases; flat segments have none. */
	if (HV_UNLIKELY(i->seg >= X86_FS))
		a += v->s.seg[i->seg].base;
	return i->addr_size == 8 || v->code64 ? a : (uint32_t)a;
}

/* Slow paths: misses, page crossings, MMIO, code pages. buf holds size (1 to 64) bytes. */
void soft_read_slow(struct soft_vcpu *v, uint64_t linear, void *buf, unsigned size,
		    enum soft_access_mode mode);
void soft_write_slow(struct soft_vcpu *v, uint64_t linear, const void *buf, unsigned size,
		     enum soft_access_mode mode);

static inline void *soft_tlb_hit(const struct soft_tlb_entry *tlb, uint64_t linear, unsigned size)
{
	const struct soft_tlb_entry *e = &tlb[linear >> 12 & (SOFT_TLB_SIZE - 1)];

	/* The tag of the last byte's page: a crossing access never hits. */
	if (HV_LIKELY(((linear + size - 1) & HV_PAGE_MASK) == ~e->not_tag))
		return (void *)(linear + e->addend); /* NOLINT(performance-no-int-to-ptr) */
	return NULL;
}

/* Data accesses of the current privilege. Raise on any fault; a write that raises wrote nothing. */
#define SOFT_ACCESS_(bits)                                                                         \
	static inline uint##bits##_t soft_ld##bits(struct soft_vcpu *v, uint64_t linear)           \
	{                                                                                          \
		uint##bits##_t x;                                                                  \
		const void *p = soft_tlb_hit(v->tlb->read, linear, bits / 8);                      \
                                                                                                   \
		if (HV_LIKELY(p != NULL))                                                          \
			memcpy(&x, p, sizeof(x));                                                  \
		else                                                                               \
			soft_read_slow(v, linear, &x, sizeof(x),                                   \
				       (enum soft_access_mode)(v->tlb - v->tlbs));                 \
		return x;                                                                          \
	}                                                                                          \
	static inline void soft_st##bits(struct soft_vcpu *v, uint64_t linear, uint##bits##_t x)   \
	{                                                                                          \
		void *p = soft_tlb_hit(v->tlb->write, linear, bits / 8);                           \
                                                                                                   \
		if (HV_LIKELY(p != NULL))                                                          \
			memcpy(p, &x, sizeof(x));                                                  \
		else                                                                               \
			soft_write_slow(v, linear, &x, sizeof(x),                                  \
					(enum soft_access_mode)(v->tlb - v->tlbs));                \
	}
SOFT_ACCESS_(8)
SOFT_ACCESS_(16)
SOFT_ACCESS_(32)
SOFT_ACCESS_(64)

/* Any size up to 64 bytes (vectors); up to 4096 for soft_probe. */
void soft_read(struct soft_vcpu *v, uint64_t linear, void *buf, unsigned size);
void soft_write(struct soft_vcpu *v, uint64_t linear, const void *buf, unsigned size);
/* Raises what an access would raise, without making it (A is set, for writes D too). */
void soft_probe(struct soft_vcpu *v, uint64_t linear, unsigned size, bool write);
/* The host address for an atomic operation on the host's own, after a write check; NULL when it
 * crosses a page or is not RAM: then use soft_ld/soft_st between soft_lock_begin/end. Raises. */
void *soft_atomic_slow(struct soft_vcpu *v, uint64_t linear, unsigned size);
static inline void *soft_atomic(struct soft_vcpu *v, uint64_t linear, unsigned size)
{
	void *p = soft_tlb_hit(v->tlb->write, linear, size);

	return HV_LIKELY(p != NULL) ? p : soft_atomic_slow(v, linear, size);
}
void soft_lock_begin(struct soft_vcpu *v); /* excludes all other vCPUs' bus locks of this kind */
void soft_lock_end(struct soft_vcpu *v);

/* Implicit supervisor accesses: descriptor tables, TSS, stacks of more privileged levels. */
uint64_t soft_sys_read(struct soft_vcpu *v, uint64_t linear, unsigned size); /* 1, 2, 4, 8 */
void soft_sys_write(struct soft_vcpu *v, uint64_t linear, unsigned size, uint64_t x);
void soft_sys_probe(struct soft_vcpu *v, uint64_t linear, unsigned size, bool write);
/* With the rules of CPL cpl instead of the current one (stacks during privilege changes). */
uint64_t soft_read_as(struct soft_vcpu *v, unsigned cpl, uint64_t linear, unsigned size);
void soft_write_as(struct soft_vcpu *v, unsigned cpl, uint64_t linear, unsigned size, uint64_t x);
void soft_probe_as(struct soft_vcpu *v, unsigned cpl, uint64_t linear, unsigned size, bool write);

/* seg:offset to linear with all checks of the segment (null, limit, type, expand-down; canonical in
 * 64-bit mode): #GP or #SS. For stacks and string instructions. */
uint64_t soft_linear(struct soft_vcpu *v, enum x86_seg seg, uint64_t offset, unsigned size,
		     bool write);

/* Stack of the current mode (16-, 32-, 64-bit stack pointer, SS limit): pushes and pops of size
 * bytes; the pointer changes only if the access did not raise. */
void soft_push(struct soft_vcpu *v, unsigned size, uint64_t x);
/* As PUSH of a segment register does: Intel's CPUs write 16 of the 32 bits. */
void soft_push_sel(struct soft_vcpu *v, unsigned size, uint16_t sel);
uint64_t soft_pop(struct soft_vcpu *v, unsigned size);

/* Translations to drop: CR3 writes, invlpg, invpcid. */
void soft_tlb_flush_all(struct soft_vcpu *v); /* global ones too */
void soft_tlb_flush_nonglobal(
	struct soft_vcpu *v); /* of all PCIDs that may be stale: simple is fine */
void soft_tlb_flush_page(struct soft_vcpu *v, uint64_t linear);
/* Linear to physical without side effects; false where nothing is mapped. */
bool soft_translate(struct soft_vcpu *v, uint64_t linear, uint64_t *ret_gpa);
/* PAE: loads and checks the four PDPTEs at cr3; false: #GP is due. No effect outside PAE. */
bool soft_load_pdptes(struct soft_vcpu *v, uint64_t cr3);

static inline bool soft_canonical(uint64_t a)
{
	return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

/* ---- events (event.c) ---- */

/* Delivers v->event through the IDT or IVT; contributory faults become #DF, then shutdown
 * (HV_EXIT_SHUTDOWN by soft_exit). s.rip is the return address. May raise: the run loop calls
 * again with the new event. */
void soft_deliver(struct soft_vcpu *v);
/* Between instructions, when requests or v->slow say so: takes NMI, external interrupts (when IF
 * and no shadow), single-step traps; returns true if an event is to be delivered (v->event). */
bool soft_poll_events(struct soft_vcpu *v);
/* Before an instruction in slow mode: guest code breakpoints (#DB fault, unless RF), debugger
 * breakpoints (soft_exit DEBUG). Returns true if the instruction must not run. */
bool soft_before_insn(struct soft_vcpu *v, uint64_t ip);
/* The reasons for slow mode that lie in the guest's state and in v->debug: all but SOFT_SLOW_TRACE;
 * soft_mode_changed() asks for them. */
uint32_t soft_slow_reasons(const struct soft_vcpu *v);
/* Port accesses: raises #GP unless IOPL or the TSS' bitmap allows it; notes I/O breakpoints. */
void soft_io_check(struct soft_vcpu *v, uint16_t port, unsigned size);
/* After an instruction in slow mode: TF trap, data breakpoint traps, end of shadow and RF. */
void soft_after_insn(struct soft_vcpu *v);
/* A data access hit a page with watchpoints (from the slow paths): records DR6 bits for the trap
 * after the instruction, or the debugger's watch. */
void soft_watch_hit(struct soft_vcpu *v, uint64_t linear, unsigned size, bool write);
/* True if any guest or debugger watchpoint lies in the page: no TLB entries are made for it. */
bool soft_page_watched(const struct soft_vcpu *v, uint64_t linear_page);

/* ---- FPU (fpu.c) ---- */

/* The guest's registers are in the host's and must not stay there (calling out): save. Cheap if
 * not live. */
void soft_fpu_park_slow(struct soft_vcpu *v);
static inline void soft_fpu_park(struct soft_vcpu *v)
{
	if (v->fpu_live)
		soft_fpu_park_slow(v);
}
/* Finds out whether clock may be asked without parking; no guest's registers are live. */
void soft_fpu_try_clock(struct soft_vcpu *v, struct hv_clock *clock);
int soft_fpu_create(struct soft_vcpu *v, struct err *e) HV_MUST_CHECK;
void soft_fpu_destroy(struct soft_vcpu *v);
int soft_stubs_create(struct soft_vm *vm, struct err *e) HV_MUST_CHECK;
void soft_stubs_destroy(struct soft_vm *vm);
/* Once per vCPU thread: signal handlers' alternate stack and what else the stubs need. */
int soft_fpu_thread_start(struct soft_vcpu *v, struct err *e) HV_MUST_CHECK;
/* After s.xsave, xcr0 were replaced (state_set, INIT). */
void soft_fpu_state_changed(struct soft_vcpu *v);

/* ---- allowed ISA (isa.c) ---- */

/* Whether the CPU model (and CR4/XCR0/CR0 bits in key) lets the guest run the instruction; else the
 * vector that is due: X86_EXC_UD or X86_EXC_NM. -1: allowed. Called once at decoding. */
int soft_isa_check(const struct soft_vcpu *v, const struct decoded *d);
#endif
