/*
 * Bytes of host instructions. Memory of the vCPU's context is addressed relative to RIP, near which
 * it lies: CPUs then know what was stored there without looking. Rows of its tables are addressed
 * through GS, whose base it is (translate.c). Callers make sure of room: nothing here is checked.
 */
#ifndef SOFT_TRANSLATE_EMIT_H
#define SOFT_TRANSLATE_EMIT_H
#include <stdbool.h>
#include <stdint.h>

enum host_reg {
	H_RAX,
	H_RCX,
	H_RDX,
	H_RBX,
	H_RSP,
	H_RBP,
	H_RSI,
	H_RDI,
	H_R8,
	H_R9,
	H_R10,
	H_R11,
	H_R12,
	H_R13,
	H_R14,
	H_R15
};
#define H_NONE 0xff

struct emit {
	uint8_t *p;	 /* where the next byte is written */
	intptr_t to_rx;	 /* what is added to get the address it runs at */
	const void *ctx; /* the vCPU, within 2 GiB of that */
};

enum op_flag {
	OP_W = 1 << 0,	  /* 64-bit */
	OP_66 = 1 << 1,	  /* 16-bit */
	OP_0F = 1 << 2,	  /* second opcode map */
	OP_BYTE = 1 << 3, /* 8-bit registers: SPL to DIL need a REX prefix */
	OP_F3 = 1 << 4,
	OP_LOCK = 1 << 5,
	OP_F2 = 1 << 6,
	OP_38 = 1 << 7, /* map 0F 38 */
};

void em8(struct emit *e, uint8_t x);
void em32(struct emit *e, uint32_t x);
void em64(struct emit *e, uint64_t x);
/* The size low bytes of x. */
void em_imm(struct emit *e, uint64_t x, unsigned size);

/* op reg, rm: reg may be an opcode extension. */
void em_rr(struct emit *e, unsigned flags, uint8_t op, unsigned reg, unsigned rm);
/* op reg, [base + index + disp]; base or index may be H_NONE (not both). */
void em_rm(struct emit *e, unsigned flags, uint8_t op, unsigned reg, unsigned base, unsigned index,
	   unsigned scale, int32_t disp);
/* op reg, [context + off], without an immediate; and gs:[x + off]. */
void em_ctx(struct emit *e, unsigned flags, uint8_t op, unsigned reg, uint32_t off);
void em_gsx(struct emit *e, unsigned flags, uint8_t op, unsigned reg, unsigned x, uint32_t off);

void em_load(struct emit *e, unsigned reg, uint32_t off); /* 64 bits of the context */
void em_store(struct emit *e, unsigned reg, uint32_t off);
void em_mov_imm(struct emit *e, unsigned reg, uint64_t x); /* shortest form; keeps flags */
void em_rorx(struct emit *e, unsigned dst, unsigned src, uint8_t n);
void em_pdep(struct emit *e, unsigned reg, uint32_t mask_off); /* reg by a mask in the context */
void em_pext(struct emit *e, unsigned reg, uint32_t mask_off);

/* jmp or call (0xe9, 0xe8) to an address in the writable mapping; NULL: patched later. Returns
 * where the distance stands. */
uint8_t *em_jump(struct emit *e, uint8_t op, const uint8_t *to);
uint8_t *em_jcc(struct emit *e, unsigned cc);
/* The jump whose distance is at at goes to here. */
void em_patch(struct emit *e, uint8_t *at);
void em_patch_to(uint8_t *at, const uint8_t *to);
/* Goes on at the next instruction if RCX is 0, else to where the returned distance will lead. */
uint8_t *em_unless_rcx_zero(struct emit *e);
#endif
