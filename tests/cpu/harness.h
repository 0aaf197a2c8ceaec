/*
 * A box with RAM and soft-engine vCPUs, for tests that run a few instructions and look at the
 * state: no machine, no devices. Everything runs in the calling thread.
 */
#ifndef CPU_HARNESS_H
#define CPU_HARNESS_H
#include "bus/pio.h"
#include "clock/clock.h"
#include "cpu/vcpu.h"
#include "cpu/x86_defs.h"
#include "cpu/x86_state.h"
#include "engine/soft/soft.h"
#include "mem/mem.h"

#define BOX_CODE 0x10000ull    /* where box_state() points RIP (in real mode: 1000:0000) */
#define BOX_STACK 0x80000ull   /* and RSP (real mode: 7000:fff0) */
#define BOX_TABLES 0x100000ull /* page tables of the 64-bit modes: 1 GiB pages, identity, user */

enum box_mode {
	BOX_REAL16, /* CS 1000, DS = ES = 2000, SS 7000 */
	BOX_PROT16,
	BOX_PROT32, /* flat, CPL 0, no paging */
	BOX_COMPAT32,
	BOX_LONG64, /* CPL 0 */
	BOX_USER64, /* CPL 3 */
	BOX_USER32, /* compatibility mode, CPL 3 */
};

struct box {
	struct hv_vm vm;
	struct cpu_model model;
	struct loop *loop;
	struct hv_ram *ram;
	struct hv_map_range range;
	uint8_t *host; /* of RAM's first byte */
	uint64_t bytes;
};

/* NULL with *e set. model: NULL is "host", else its name. */
struct box *box_create(uint64_t ram_bytes, unsigned n_vcpus, const char *model, struct err *e);
struct box *box_create_with(uint64_t ram_bytes, unsigned n_vcpus, const char *model,
			    const struct hv_engine_options *opt, struct err *e);
void box_destroy(struct box *b);

/* Also as the hypervisor's devices would: tells the engine. */
void box_load(struct box *b, uint64_t gpa, const void *bytes, size_t len);

/* A state in the mode with everything enabled that user programs want (SSE, AVX), at BOX_CODE.
 * Writes the page tables that the mode needs. */
void box_state(struct box *b, enum box_mode mode, struct x86_state *s);

struct box_result {
	uint64_t done; /* instructions */
	bool raised;   /* an exception, not delivered: */
	uint8_t vector;
	bool has_error;
	uint32_t error;
	uint64_t cr2;
	bool exited; /* HLT, shutdown */
	enum hv_exit_reason reason;
};

/* Sets vCPU 0 to *s, runs up to n instructions, takes the state back. */
struct box_result box_run(struct box *b, struct x86_state *s, uint64_t n);
/* The same for any vCPU, going on from the state it has. */
struct box_result box_continue(struct box *b, unsigned vcpu, uint64_t n);
#endif
