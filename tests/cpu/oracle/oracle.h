/*
 * CPU oracle: the same single instruction runs on the host CPU (native.c) and at CPL 3 in the soft
 * engine (guest.c), from the same state, with the same memory at the same linear addresses; what
 * comes out must be equal.
 */
#ifndef ORACLE_H
#define ORACLE_H
#include <Zydis/Zydis.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "cpu/x86_state.h"

struct cpu_model;

/* Linear addresses, the same in both worlds. */
#define CODE_BASE 0x10100000u /* CODE_PAGES pages; what is not code is INT3 */
#define CODE_PAGES 2u
#define COUNTER_BASE 0x10140000u /* a writable page: loop counters of blocks */
#define DATA_BASE 0x10000000u	 /* DATA_PAGES writable pages, then one that is read-only */
#define DATA_PAGES 4u
#define DATA_BYTES (DATA_PAGES * 4096u)
#define RO_BASE (DATA_BASE + DATA_BYTES)
#define GS_BASE_64 (DATA_BASE + 0x400u) /* of GS in 64-bit mode */

/* Selectors, as Linux has them, and three of a local descriptor table: 64 KiB at
 * CODE_BASE, the same at DATA_BASE with a 16-bit and with a 32-bit stack. */
#define SEL_CODE32 0x23u
#define SEL_DATA 0x2bu
#define SEL_CODE64 0x33u
#define SEL_CODE16 0x07u
#define SEL_DATA16 0x0fu
#define SEL_DATA32 0x17u

enum mode { MODE_64, MODE_32, MODE_16, N_MODES };

/* x87, SSE, AVX in the standard XSAVE format. */
struct fpu {
	uint16_t fcw, fsw;
	uint8_t ftw, res0;
	uint16_t fop;
	uint64_t fip, fdp;
	uint32_t mxcsr, mxcsr_mask;
	uint8_t st[8][16];
	uint8_t xmm[16][16];
	uint8_t unused[96];
	uint64_t bv, comp, res1[6];
	uint8_t ymmh[16][16];
};
_Static_assert(sizeof(struct fpu) == X86_XSAVE_BYTES, "as in the state table");

struct cpu {
	uint64_t gpr[16]; /* enum x86_gpr */
	uint64_t rip;	  /* linear offset in CS: in 16-bit mode from CODE_BASE */
	uint64_t rflags;
	struct fpu fpu;
};

struct outcome {
	struct cpu cpu;
	unsigned vector; /* 1 and 3 are the ends of a normal run; VECTOR_TIMEOUT: no end */
	uint32_t error;
	uint64_t cr2; /* #PF */
};

#define VECTOR_TIMEOUT 0xffffu

/* Bytes that both worlds' windows get before a case. */
struct patch {
	uint32_t at; /* offset in the window */
	uint32_t len;
	uint8_t bytes[1024];
};

/* One case: it starts at CODE_BASE + code_off. */
struct test_case {
	enum mode mode;
	uint8_t bytes[15];
	uint8_t len;
	uint16_t code_off;
	bool based; /* data segments begin at DATA_BASE: always in 16-bit mode, never in 64-bit */
	bool step;  /* ends by TF; else by the INT3 behind the instruction */
	struct cpu in;
	uint32_t target; /* linear address of the memory operand */
	struct patch mem, stack;
	const uint8_t *block; /* O: instead of bytes, block_len of them */
	uint32_t block_len;
	bool again; /* the code stays as it is from the last run */
	ZydisDecodedInstruction z;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

/* native.c */
int native_start(void); /* 0, or -1 with a message on stderr */
void native_run(const struct test_case *t, struct outcome *out);
uint8_t *native_data(void); /* DATA_BYTES */
void native_read_only(const uint8_t page[4096]);
uint8_t *native_counters(void);			     /* 4096 bytes */
bool native_code_changed(const struct test_case *t); /* t->block by itself, in its last run */
/* What is said if the guest's run does not end. */
void native_note(uint64_t seed);

/* guest.c */
int guest_start(void);
void guest_stop(void);
const struct cpu_model *guest_model(void);
bool guest_run(const struct test_case *t, struct outcome *out); /* false: it did not end */
uint8_t *guest_data(void);
void guest_read_only(const uint8_t page[4096]);
uint8_t *guest_counters(void);
/* Runs of a block before it is translated, if any are. */
void guest_translate_after(uint32_t runs);
/* Whether the engine's table allows the instruction: a #UD that the model wants is no form. */
bool guest_allows(const uint8_t *bytes, unsigned len, enum mode m);

/* forms.c: what is one form, and all of them */
struct form {
	char key[128];
	enum mode mode;
	bool a16; /* reaches memory by 16-bit addresses only */
	ZydisMnemonic mnemonic;
	uint8_t prefix[3], n_prefix; /* legacy prefixes */
	bool rex_w, vex;
	uint8_t map, opcode; /* map: 0 one byte, 1 0F, 2 0F38, 3 0F3A */
	uint8_t pp, vex_l;
	bool has_modrm, is_mem, fixed_reg, fixed_rm;
	uint8_t modrm;		/* one that is valid */
	uint32_t cases, faults; /* run so far */
};
struct form_table {
	struct form *f;
	unsigned n, room;
};
int forms_make(struct form_table *t);
/* Names what the decoder says: mnemonic, encoding, operands, prefixes. */
void form_key(enum mode m, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *op,
	      char key[128]);
const ZydisDecoder *decoder_of(enum mode m);
/* NULL, or why an instruction is left out. */
const char *form_excluded(ZydisMnemonic m, const ZydisDecodedOperand *op);

void forms_left_out(void); /* prints them all */

/* gen.c */
struct rng {
	uint64_t s;
};
uint64_t rnd(struct rng *r);
static inline uint64_t below(struct rng *r, uint64_t n)
{
	return rnd(r) % n;
}
/* false: no case came out of it this time. */
bool gen_case(struct rng *r, const struct form *f, struct test_case *t);
/* gen_state.c: registers and memory contents of every kind. */
void gen_registers(struct rng *r, struct cpu *c);
void gen_fpu(struct rng *r, struct fpu *f);
void gen_bytes(struct rng *r, uint8_t *p, unsigned n);

/* compare.c */
/* false: what it leaves behind when it is done differs between vendors' CPUs. */
bool is_alike_everywhere(const struct test_case *t);
/* 0: equal. Else says what differs in buf. */
int compare(const struct test_case *t, const struct outcome *n, const struct outcome *g, char *buf,
	    size_t room);
#endif
