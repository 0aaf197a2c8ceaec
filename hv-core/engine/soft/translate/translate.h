/*
 * The translator: decoded blocks that are run often become host code. See docs/soft-engine.md.
 * A vCPU has a code cache of its own; only its thread touches it.
 */
#ifndef SOFT_TRANSLATE_TRANSLATE_H
#define SOFT_TRANSLATE_TRANSLATE_H
#include "engine/soft/soft.h"

struct block;

/* Zeroed memory for a vCPU, with room behind it for translated code. NULL: there is none. */
struct soft_vcpu *soft_tr_vcpu_alloc(void);
void soft_tr_vcpu_free(struct soft_vcpu *v);

/* v->tr becomes non-NULL, or -ENOTSUP: this host's CPU or kernel lacks what it takes. */
int soft_tr_create(struct soft_vcpu *v, struct err *e) HV_MUST_CHECK;
void soft_tr_destroy(struct soft_vcpu *v);
/* Around running v: the thread's GS base is v. */
void soft_tr_begin(struct soft_vcpu *v);
void soft_tr_end(struct soft_vcpu *v);

/* Counts a run of b in the interpreter; true when it is to be translated. */
bool soft_tr_due(struct soft_vcpu *v, struct block *b);
/* Makes b->code. False: there was no room, and all blocks are gone. */
bool soft_tr_make(struct soft_vcpu *v, struct block *b);
/* Runs translated code from b on until it leaves; s.rip is where to go on. The slot, or NULL. */
void *soft_tr_run(struct soft_vcpu *v, const struct block *b);
/* next, translated, followed where the slot (or NULL) was left: it is found without the run loop
 * from now on. */
void soft_tr_follow(struct soft_vcpu *v, void *slot, struct block *next);

/* b is dead: no way leads to its code any more. While b->ip still stands. */
void soft_tr_killed(struct soft_vcpu *v, struct block *b);
/* The same, for another translation: it is due when b is run the next time. */
void soft_tr_remake(struct soft_vcpu *v, struct block *b);
/* All blocks are gone. */
void soft_tr_drop(struct soft_vcpu *v);
/* Data translations of a mode are gone: all, those of 2^shift bytes around linear, those that may
 * be written at the page that the host has at host. */
void soft_tr_forget_pages(struct soft_vcpu *v, unsigned mode);
void soft_tr_forget_region(struct soft_vcpu *v, unsigned mode, uint64_t linear, unsigned shift);
void soft_tr_forget_host(struct soft_vcpu *v, unsigned mode, const uint8_t *host);
/* Fetch translations (of CPL 3, or of the others) are gone: what calls will return to is not known
 * any more; or only of 2^shift bytes around linear. */
void soft_tr_forget_returns(struct soft_vcpu *v, bool user);
void soft_tr_forget_returns_to(struct soft_vcpu *v, uint64_t linear, unsigned shift);
/* Any context: a fault at address fault of code at pc, in a signal handler of v's thread. If it is
 * that translated code has filled its stack, the emptied one. Else 0. */
uintptr_t soft_tr_stack_full(struct soft_vcpu *v, uintptr_t pc, uintptr_t fault);
/* Room for one more word on the stack of translated code: rsp, or that of the emptied one. */
uintptr_t soft_tr_stack_room(struct soft_vcpu *v, uintptr_t rsp);
/* The mode's key is another one. */
void soft_tr_mode(struct soft_vcpu *v);

/* Called by translated code: an instruction of b in the interpreter; what: its number and why.
 * TR_BEHIND: goes on behind it; NULL: leave; else the code to go on at, perhaps in another mode. */
const void *soft_tr_insn(struct soft_vcpu *v, struct block *b, unsigned what);
#define TR_BEHIND ((const void *)1)
#define TR_NUMBER 0xffffu
#define TR_MISSED 0x10000u   /* it has a translation, whose check failed */
#define TR_MNEMONIC_SHIFT 20 /* else: what it is, for the statistics */

/* SIGFPE in translated code: where the interpreter does the instruction. */
struct soft_tr_trap {
	uintptr_t call, next; /* a function of its number, and where that returns to */
	uint32_t insn;
};
/* False: pc is not that of a translated instruction that may raise one. Any context: of v's thread,
 * in a signal handler. */
bool soft_tr_trap(struct soft_vcpu *v, uintptr_t pc, struct soft_tr_trap *ret);

/* Called by translated code, too: the check of a group failed, or something else has to be decided;
 * what: the instruction's number and one of these. Where to go on (retry: as before), or NULL:
 * leave. */
const void *soft_tr_group_missed(struct soft_vcpu *v, struct block *b, uint32_t what,
				 const void *retry);
#define TR_GROUP_INSN 0xffu
#define TR_GROUP_WRITES (1u << 8)
#define TR_NOW (1u << 9) /* the first of them, right now; else perhaps later */
#define TR_CROSSES                                                                                 \
	(1u << 10)	    /* it is in two pages; the way from now on is to stand at tr_count     \
			     */
#define TR_OFTEN (1u << 11) /* no group: the count at tr_count has run down; goes on at retry */
/* How often the instruction whose bytes are at host has been seen to miss what its place in the
 * code remembers nearly every time. 1: perhaps its operands are not aligned. TR_RESTLESS_MAX: each
 * is in another page, and the TLB had better be asked at once. */
unsigned soft_tr_restless(const struct soft_vcpu *v, const uint8_t *host);
#define TR_RESTLESS_MAX 2u
/* b's copy in which every access is checked by itself, from instruction n on. NULL: there was no
 * room, and all blocks are gone. */
const void *soft_tr_exact(struct soft_vcpu *v, struct block *b, unsigned n);

bool soft_tr_room(const struct soft_vcpu *v);
/* What the translated code of now takes. */
uint32_t soft_tr_code_bytes(const struct soft_vcpu *v);
/* hv_engine_ops.fallback */
const char *soft_tr_fallback(const struct soft_vcpu *v, unsigned i, uint64_t *ret_n);
#endif
