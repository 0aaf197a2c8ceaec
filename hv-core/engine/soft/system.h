/*
 * Between the files of the system side: descriptors and segment loads (desc.c), stacks of other
 * privilege levels, task switches, mode changes, and the selectors that system.c lists.
 */
#ifndef SOFT_SYSTEM_H
#define SOFT_SYSTEM_H
#include "engine/soft/decode.h"
#include "engine/soft/soft.h"

/* Types of system descriptors (S = 0). In long mode 9 and 11 are 64-bit TSSs, 12, 14, 15 64-bit
 * gates. */
enum sys_type {
	SYS_TSS16 = 1,
	SYS_LDT = 2,
	SYS_TSS16_BUSY = 3,
	SYS_CALL16 = 4,
	SYS_TASK_GATE = 5,
	SYS_INT16 = 6,
	SYS_TRAP16 = 7,
	SYS_TSS32 = 9,
	SYS_TSS32_BUSY = 11,
	SYS_CALL32 = 12,
	SYS_INT32 = 14,
	SYS_TRAP32 = 15,
};

struct sys_desc {
	uint64_t raw;
	uint64_t hi;   /* of 16-byte descriptors (sys_find_wide), else 0 */
	uint64_t addr; /* linear */
};

static inline unsigned sys_type(const struct sys_desc *d)
{
	return d->raw >> 40 & 0xf;
}

static inline bool sys_is_seg(const struct sys_desc *d) /* S: code or data */
{
	return d->raw >> 44 & 1;
}

static inline unsigned sys_dpl(const struct sys_desc *d)
{
	return d->raw >> 45 & 3;
}

static inline bool sys_present(const struct sys_desc *d)
{
	return d->raw >> 47 & 1;
}

static inline bool sys_is_code(const struct sys_desc *d)
{
	return sys_is_seg(d) && (sys_type(d) & X86_SEG_CODE);
}

static inline bool sys_is_conforming(const struct sys_desc *d)
{
	return sys_type(d) & X86_SEG_DC;
}

static inline bool sys_is_long(const struct sys_desc *d) /* L of a code segment */
{
	return d->raw >> 53 & 1;
}

static inline bool sys_is_db(const struct sys_desc *d)
{
	return d->raw >> 54 & 1;
}

static inline bool sys_null(uint16_t sel)
{
	return (sel & ~3u) == 0;
}

static inline uint64_t sys_size_mask(unsigned size)
{
	return size == 8 ? ~0ull : size == 4 ? 0xffffffffull : 0xffffull;
}

static inline uint64_t sys_next_ip(const struct insn *i)
{
	return i->ip + i->len;
}

static inline const struct cpu_model *sys_model(const struct soft_vcpu *v)
{
	return v->hv->vm->model;
}

static inline bool sys_has(const struct soft_vcpu *v, enum cpu_feature f)
{
	return cpu_model_has(sys_model(v), f);
}

static inline unsigned sys_iopl(const struct soft_vcpu *v)
{
	return v->s.rflags >> 12 & 3;
}

/* An instruction that ends its block is done; the next one follows it. */
static inline void sys_done(struct soft_vcpu *v, const struct insn *i)
{
	v->s.rip = v->code64 ? sys_next_ip(i) : (uint32_t)sys_next_ip(i);
}

/* General registers by operand size; a 32-bit write clears the upper half. */
static inline uint64_t sys_reg_get(struct soft_vcpu *v, uint16_t off, unsigned size)
{
	return SOFT_R64(v, off) & sys_size_mask(size);
}

static inline void sys_reg_set(struct soft_vcpu *v, uint16_t off, unsigned size, uint64_t x)
{
	if (size == 2)
		SOFT_R16(v, off) = (uint16_t)x;
	else
		SOFT_R64(v, off) = x & sys_size_mask(size);
}

/* #GP(0) unless CPL is 0. */
static inline void sys_need_cpl0(struct soft_vcpu *v)
{
	if (v->s.cpl != 0)
		soft_raise_err(v, X86_EXC_GP, 0);
}

/* ---- desc.c ---- */

/* A fault with a selector as error code, EXT as the delivery under way says. */
_Noreturn void sys_fault(struct soft_vcpu *v, uint8_t vector, uint16_t sel);
/* Reads the descriptor; false: outside of its table. */
bool sys_find(struct soft_vcpu *v, uint16_t sel, struct sys_desc *ret);
/* The same, for 16-byte system descriptors of long mode. */
bool sys_find_wide(struct soft_vcpu *v, uint16_t sel, struct sys_desc *ret);
uint32_t sys_limit(const struct sys_desc *d);
uint32_t sys_base(const struct sys_desc *d);
void sys_fill(struct x86_seg_state *s, uint16_t sel, const struct sys_desc *d);
/* Locked set of bits in the descriptor's type byte; probe first makes it impossible to raise. */
void sys_probe_type(struct soft_vcpu *v, const struct sys_desc *d);
void sys_set_accessed(struct soft_vcpu *v, struct sys_desc *d);
void sys_set_busy(struct soft_vcpu *v, const struct sys_desc *d, bool busy);
/* MOV/POP/LDS…: all checks of the mode; raises, or has loaded. seg is not CS. */
void sys_load_seg(struct soft_vcpu *v, enum x86_seg seg, uint16_t sel);
/* The checks and fetch of a new SS for privilege cpl; vec is #GP or #TS. Does not load. */
void sys_check_ss(struct soft_vcpu *v, uint16_t sel, unsigned cpl, uint8_t vec,
		  struct sys_desc *ret);
/* Loads after checks; marks accessed. */
void sys_set_seg(struct soft_vcpu *v, enum x86_seg seg, uint16_t sel, struct sys_desc *d);
void sys_null_seg(struct soft_vcpu *v, enum x86_seg seg, uint16_t sel);
/* CS with RPL = cpl, and the CPL. */
void sys_set_cs(struct soft_vcpu *v, uint16_t sel, struct sys_desc *d, unsigned cpl);
/* Real mode and V86. */
void sys_real_seg(struct soft_vcpu *v, enum x86_seg seg, uint16_t sel);
void sys_v86_segs(struct soft_vcpu *v, const uint16_t sels[6]); /* ES CS SS DS FS GS */
/* After a return to an outer level: ES, DS, FS, GS that may not be used there become null. */
void sys_drop_segs(struct soft_vcpu *v);
/* RIP for a code segment about to be loaded: limit or canonical form, else #GP(0). */
void sys_check_ip(struct soft_vcpu *v, const struct sys_desc *cs, uint64_t ip);
/* L with D in long mode is not a code segment that can be entered. */
bool sys_bad_long(const struct soft_vcpu *v, const struct sys_desc *cs);
/* Code segment 64-bit in this machine state? */
bool sys_code64(const struct soft_vcpu *v, const struct sys_desc *cs);

/* ---- stacks that are not (yet) SS:RSP (sys_stack.c) ---- */

struct sys_stack {
	struct x86_seg_state ss;
	uint64_t sp, mask;
	unsigned cpl;
	bool flat64;	/* 64-bit mode: no limit, but canonical */
	uint16_t error; /* of #SS */
};

void sys_stack_current(struct soft_vcpu *v, struct sys_stack *st);
void sys_stack_new(struct sys_stack *st, const struct x86_seg_state *ss, uint64_t sp, unsigned cpl,
		   uint16_t error);
void sys_stack_new64(struct sys_stack *st, uint64_t sp, unsigned cpl, uint16_t error);
/* Raises unless bytes can be pushed; then pushes cannot fault. */
void sys_stack_room(struct soft_vcpu *v, const struct sys_stack *st, unsigned bytes);
void sys_stack_push(struct soft_vcpu *v, struct sys_stack *st, unsigned size, uint64_t x);
uint64_t sys_stack_pop(struct soft_vcpu *v, struct sys_stack *st, unsigned size);
/* RSP (ESP, SP) from st. */
void sys_stack_commit(struct soft_vcpu *v, const struct sys_stack *st);
/* Inner stack of level cpl from the TSS: legacy SS:ESP (also checks SS), 64-bit RSPn. */
void sys_tss_stack(struct soft_vcpu *v, unsigned cpl, uint16_t *ret_ss, uint32_t *ret_esp);
uint64_t sys_tss_rsp(struct soft_vcpu *v, unsigned index); /* 0-2: RSPn, 4-10: IST1-7 */

/* ---- task.c ---- */

enum sys_task_by { SYS_BY_JUMP, SYS_BY_CALL, SYS_BY_IRET, SYS_BY_EVENT };

/* next_ip is saved as the old task's EIP. Raises in the old task before the switch is committed, in
 * the new task after. The descriptor was checked by the caller (DPL, type, presence). */
void sys_task_switch(struct soft_vcpu *v, uint16_t sel, struct sys_desc *d, enum sys_task_by by,
		     uint64_t next_ip);
/* A TSS selector out of a task gate: all checks, #GP or #NP with the selector. */
void sys_task_gate_tss(struct soft_vcpu *v, uint16_t sel, struct sys_desc *ret);

/* ---- crdr.c ---- */

void sys_write_cr0(struct soft_vcpu *v, uint64_t x);

/* ---- msr.c ---- */

uint64_t sys_tsc(struct soft_vcpu *v);

/* ---- selectors, listed in system.c ---- */

#define SYS_SELECTOR(name) bool sys_sel_##name(const struct decoded *d, struct insn *i)
SYS_SELECTOR(mov); /* segment, control and debug registers */
SYS_SELECTOR(mov_seg);
SYS_SELECTOR(push_seg);
SYS_SELECTOR(pop_seg);
SYS_SELECTOR(load_far_ptr);
SYS_SELECTOR(verify); /* verr verw lar lsl arpl */
SYS_SELECTOR(table);  /* sgdt … str */
SYS_SELECTOR(msw);
SYS_SELECTOR(far);
SYS_SELECTOR(iret);
SYS_SELECTOR(int);
SYS_SELECTOR(syscall); /* syscall sysret sysenter sysexit swapgs */
SYS_SELECTOR(control); /* clts invlpg invpcid wbinvd xgetbv xsetbv */
SYS_SELECTOR(msr);     /* rdmsr wrmsr rdtsc rdtscp rdpid rdpmc */
SYS_SELECTOR(cpuid);   /* and hlt, vmcall, vmmcall */
SYS_SELECTOR(flags);   /* cli sti pushf popf clac stac */
SYS_SELECTOR(io);
SYS_SELECTOR(fsgsbase);
#endif
