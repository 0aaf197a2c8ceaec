/*
 * x87, MMX, SSE and AVX state of a vCPU, and the native stubs that run the instructions of these
 * groups. Guest registers stay in the host's from the first such instruction until something calls
 * out of the engine (soft_fpu_park).
 */
#ifndef SOFT_FPU_H
#define SOFT_FPU_H
#include "engine/soft/soft.h"

struct decoded;

/* The standard (not compacted) XSAVE format, as in x86_state.xsave. */
struct fpu_image {
	uint16_t fcw, fsw;
	uint8_t ftw, reserved0;
	uint16_t fop;
	uint64_t fip, fdp;
	uint32_t mxcsr, mxcsr_mask;
	uint8_t st[8][16];
	uint8_t xmm[16][16];
	uint8_t unused[96];
	uint64_t xstate_bv, xcomp_bv;
	uint64_t reserved1[6];
	uint8_t ymmh[16][16];
};
_Static_assert(sizeof(struct fpu_image) == X86_XSAVE_BYTES, "x87, SSE, header, AVX");

#define FPU_X87 1u
#define FPU_SSE 2u
#define FPU_AVX 4u
#define FPU_XSTATE (FPU_X87 | FPU_SSE | FPU_AVX)
#define FPU_MXCSR_MASK 0xffffu /* what the guest may set: no misaligned-SSE mode */
#define FPU_MXCSR_RESET 0x1f80u

/* General registers on their way into and out of a stub, which holds this in RSI. */
struct stub_io {
	uint64_t reg, rm, vvvv; /* R8, R9, R10: the operand of that field of the encoding */
	uint64_t rax, rdx, rcx; /* implicit operands */
	uint16_t fl;		/* as soft_vcpu.fl */
	uint16_t pad[3];
};

struct soft_fpu {
	bool clock_keeps; /* asking the clock leaves vector registers alone */
	struct fpu_image area __attribute__((aligned(64))); /* for XSAVE and XRSTOR */
	uint8_t bounce[1024] __attribute__((aligned(64)));  /* memory operands that do not hit */
	struct stub_io io;
	void *alt_stack; /* owned */
	size_t alt_stack_bytes;
	uint64_t scratch_insn; /* what the scratch slot holds */
	uint8_t *
		scratch_rw; /* borrowed: this vCPU's slot for what the stub table had no room for */
	const void *scratch_rx;
};

/*
 * One native instruction, re-encoded: its memory operand is [RDI], its general registers are those
 * of struct stub_io. At most eight bytes, so that the bytes themselves are its name.
 */
struct stub_insn {
	union {
		uint8_t bytes[8];
		uint64_t name;
	};
	uint8_t len;
	uint16_t attr; /* enum stub_attr */
};

enum stub_attr {
	STUB_REG = 1 << 0, /* loads R8, R9, R10, RAX, RDX */
	STUB_RM = 1 << 1,
	STUB_VVVV = 1 << 2,
	STUB_RAX = 1 << 3,
	STUB_RDX = 1 << 4,
	STUB_W_REG = 1 << 5, /* stores them, or RCX */
	STUB_W_RM = 1 << 6,
	STUB_W_VVVV = 1 << 7,
	STUB_W_RAX = 1 << 8,
	STUB_W_RCX = 1 << 9,
	STUB_FLAGS = 1 << 10,  /* status flags in and out */
	STUB_NO_FPU = 1 << 11, /* touches general registers only */
	STUB_X87 = 1 << 12,
};
#define STUB_IO (0x7ff) /* any that needs a struct stub_io */

/* 0, or the vector of the fault (16 #MF, 19 #XM) that the instruction raised. */
typedef uint64_t (*stub_fn)(void *mem, struct stub_io *io);

/* The stub for an instruction, made now or long ago; NULL: there is no room for more. */
const void *soft_stub_get(struct soft_vm *vm, const struct stub_insn *n);
/* The same in the vCPU's own scratch slot: slow, but always possible. */
const void *soft_stub_scratch(struct soft_vcpu *v, const struct stub_insn *n);
/* Gives the vCPU its slot. -ENOSPC: more vCPUs than slots. */
int soft_stubs_attach(struct soft_vcpu *v, struct err *e) HV_MUST_CHECK;
/* Where SIGFPE may come from, and where it goes on: a RET with the vector in RAX. */
void soft_stubs_range(const struct soft_vm *vm, uintptr_t *ret_lo, uintptr_t *ret_hi);

void soft_fpu_load_slow(struct soft_vcpu *v);

/* Before an instruction that uses the registers. */
static inline void soft_fpu_load(struct soft_vcpu *v)
{
	if (HV_UNLIKELY(!v->fpu_live))
		soft_fpu_load_slow(v);
}

/* The instrumentation of sanitizers may call out anywhere: nothing stays live. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
	__has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SOFT_FPU_EAGER 1
#else
#define SOFT_FPU_EAGER 0
#endif

/* The parked registers, with components in their initial state written out: valid until the next
 * soft_fpu_load(). Whoever changes a component sets its bit in xstate_bv. */
struct fpu_image *soft_fpu_image(struct soft_vcpu *v);

/* The bounce buffer's way into a stub: loads the registers, runs, raises what it raised. */
void simd_run_stub(struct soft_vcpu *v, stub_fn fn, void *mem, struct stub_io *io);

/* FWAIT: raises the pending x87 exception, if there is one. */
void soft_fpu_wait(struct soft_vcpu *v);

/* 1: run by a stub that writes its memory operand; 0: by another stub; -1: by something else. */
int simd_plain(const struct insn *i);
/* Is it run by a stub that needs the x87, SSE and AVX registers? */
bool simd_uses_fpu(const struct insn *i);

/* What the operands say about the fields of the encoding (simd_encode.c). */
struct simd_fields {
	uint8_t reg, rm, vvvv; /* register numbers, 0 to 15; without a register: as encoded */
	uint16_t attr;	       /* enum stub_attr: STUB_REG, _RM, _VVVV: it is a general register */
};
void simd_fields(const struct decoded *d, struct simd_fields *f);

/* Host registers for them; rm is the base of a memory operand [rm + index + disp], index RSP:
 * none. */
struct simd_place {
	uint8_t reg, rm, vvvv, index;
	int32_t disp;
};
#define SIMD_MAX_BYTES 15u
/* Writes the instruction so placed to to (SIMD_MAX_BYTES); returns its length, 0: it is none that
 * runs natively. */
unsigned simd_put(const struct decoded *d, const struct simd_place *p, uint8_t *to);
/* The same for a stub. False where the instruction is none for one. */
bool simd_encode(const struct decoded *d, struct stub_insn *n);

/* Selectors of simd_table.c */
bool simd_select(const struct decoded *d, struct insn *i);	    /* simd.c: by native stub */
bool simd_select_sse_only(const struct decoded *d, struct insn *i); /* not the string instruction */
bool simd_select_gather(const struct decoded *d, struct insn *i);   /* simd_mask.c */
bool simd_select_maskmov(const struct decoded *d, struct insn *i);
bool simd_select_bytemask(const struct decoded *d, struct insn *i);
bool simd_select_vzero(const struct decoded *d, struct insn *i); /* simd.c */
bool simd_select_ldmxcsr(const struct decoded *d, struct insn *i);
bool simd_select_env(const struct decoded *d, struct insn *i); /* xstate.c */
bool simd_select_fxsave(const struct decoded *d, struct insn *i);
bool simd_select_fxrstor(const struct decoded *d, struct insn *i);
bool simd_select_xsave(const struct decoded *d, struct insn *i);
bool simd_select_xrstor(const struct decoded *d, struct insn *i);
bool simd_select_xgetbv(const struct decoded *d, struct insn *i);
bool simd_select_xsetbv(const struct decoded *d, struct insn *i);
#endif
