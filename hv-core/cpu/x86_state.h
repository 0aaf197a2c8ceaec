/*
 * The engine-neutral state of one vCPU: what any engine can take out of its own form and put into
 * another's, so that a machine saved under one engine resumes under another. Field order is the
 * state table's (x86_state.c); the names are those of the architecture manuals.
 */
#ifndef CPU_X86_STATE_H
#define CPU_X86_STATE_H
#include "state/state.h"

/* clang-format off */
enum x86_gpr {
	X86_RAX, X86_RCX, X86_RDX, X86_RBX, X86_RSP, X86_RBP, X86_RSI, X86_RDI,
	X86_R8, X86_R9, X86_R10, X86_R11, X86_R12, X86_R13, X86_R14, X86_R15,
};

enum x86_seg { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS, X86_LDTR, X86_TR, X86_NSEGS };

enum x86_mp_state { X86_MP_RUNNING, X86_MP_HALTED, X86_MP_WAIT_SIPI, X86_MP_SHUTDOWN };
/* clang-format on */

#define X86_MTRR_FIXED 11
#define X86_MTRR_VAR 8
/* x87 + SSE + header + AVX in the standard (not compacted) format. */
#define X86_XSAVE_BYTES 832

STATE_LAYOUT_BEGIN
struct x86_seg_state {
	uint64_t base;
	uint32_t limit; /* in bytes, after granularity */
	uint16_t sel;
	/* As in bits 8..23 of a descriptor's high word: type 0-3, S 4, DPL 5-6, P 7, AVL 12, L 13,
	 * D/B 14, G 15; bit 16 of none: "unusable" is P = 0. */
	uint16_t attr;
};

struct x86_state {
	uint64_t gpr[16];
	uint64_t rip, rflags;
	struct x86_seg_state seg[X86_NSEGS];
	uint64_t gdt_base, idt_base;
	uint16_t gdt_limit, idt_limit;
	uint8_t cpl;	  /* also SS.DPL; kept because real mode and V86 differ */
	uint8_t mp_state; /* enum x86_mp_state */
	uint8_t nmi_pending, nmi_masked;
	uint8_t sti_shadow, movss_shadow; /* held off until the next instruction is done */
	uint8_t a20_masked;		  /* 1: address bit 20 is forced to 0 */
	uint8_t exc_pending;		  /* an event to deliver before the next instruction */
	uint8_t exc_vector, exc_has_error;
	uint8_t exc_kind; /* 0 exception, 1 software interrupt, 2 external interrupt, 3 NMI */
	uint8_t pad0_[1];
	uint32_t exc_error;
	uint32_t pad1_;
	uint64_t exc_cr2_or_dr6; /* meaningful for #PF and #DB */
	uint64_t cr0, cr2, cr3, cr4, cr8;
	uint64_t dr[4], dr6, dr7;
	uint64_t xcr0, efer;
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t tsc_offset; /* added to the clock's TSC */
	uint64_t tsc_adjust, tsc_aux, tsc_deadline;
	uint64_t apic_base, pat, misc_enable, debugctl, spec_ctrl;
	uint64_t mtrr_def_type, mtrr_fixed[X86_MTRR_FIXED];
	uint64_t mtrr_var_base[X86_MTRR_VAR], mtrr_var_mask[X86_MTRR_VAR];
	uint64_t mcg_status, mcg_ctl;
	uint64_t kvmclock_system_time, kvmclock_wall;
	uint8_t xsave[X86_XSAVE_BYTES];
};
STATE_LAYOUT_END

extern const struct state_desc x86_state_desc; /* post_load refuses what no CPU can hold */

/* Values after RESET (or INIT, which keeps FPU state, MSRs and CR0.CD/NW as the manuals list). */
void x86_state_reset(struct x86_state *s, bool is_bsp);
void x86_state_init(struct x86_state *s, bool is_bsp);
/* Real-mode start at vector << 12; leaves WAIT_SIPI. */
void x86_state_sipi(struct x86_state *s, uint8_t vector);
#endif
