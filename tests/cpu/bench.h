/*
 * A test bench for the soft engine's system side: one vCPU in the test's own thread, 4 MiB of RAM,
 * and prepared descriptor tables. Handlers of all 256 vectors are one HLT each, so that a test sees
 * by RIP which one was entered, and the frame as it was pushed.
 *
 * Guest code is written as assembly text in the test file (CODE) and copied to BENCH_CODE.
 */
#ifndef CPU_BENCH_H
#define CPU_BENCH_H
#include "ctest.h"
#include "cpu/vcpu.h"
#include "cpu/x86_defs.h"

#define BENCH_GDT 0x1000u
#define BENCH_IDT 0x2000u
#define BENCH_TSS 0x3000u
#define BENCH_TSS2 0x3800u
#define BENCH_HANDLERS 0x4000u /* 16 bytes a vector */
#define BENCH_PAGES 0x8000u    /* long mode: PML4, PDPT, PD */
#define BENCH_CODE 0x10000u
#define BENCH_DATA 0x18000u
#define BENCH_STACK0 0x20000u
#define BENCH_STACK3 0x30000u
#define BENCH_STACK_IST 0x38000u
#define BENCH_RAM (4u << 20)

/* Selectors. Flat unless said otherwise. */
enum {
	SEL_CODE32 = 0x08,
	SEL_DATA = 0x10,
	SEL_CODE64 = 0x18,
	SEL_UCODE32 = 0x20 | 3,
	SEL_UDATA = 0x28 | 3,
	SEL_UCODE64 = 0x30 | 3,
	SEL_TSS = 0x38, /* two slots */
	SEL_TSS2 = 0x48,
	SEL_CODE16 = 0x50,
	SEL_GATE = 0x60, /* free for tests, two slots each */
	SEL_FREE = 0x70,
	SEL_FREE2 = 0x78,
};

#define CODE(name, bits, ...)                                                                      \
	extern const char name[], name##_end[];                                                    \
	__asm__(".pushsection .rodata\n.code" #bits "\n" #name ":\n" __VA_ARGS__ "\n" #name        \
		"_end:\n.code64\n.popsection")

enum bench_mode { BENCH_REAL, BENCH_PM32, BENCH_LONG64 };

struct bench {
	struct hv_vm vm;
	struct cpu_model model;
	struct loop *loop;
	struct hv_map_range range;
	uint8_t *ram;
	struct x86_state s; /* before bench_run(): to start with; afterwards: what came out */
	struct hv_exit exit;
	int lapic_vector; /* what intr_ack answers */
};

extern struct bench bench;

int bench_setup(void **state); /* group setup */
int bench_teardown(void **state);
/* Tables and registers as new. cpl: 0 or 3 (protected modes). */
void bench_reset(enum bench_mode mode, unsigned cpl);
/* Copies code, points RIP to it, and runs to the next exit (HLT, shutdown, ...). */
void bench_run_bytes(const char *code, const char *end);
#define bench_run(name) bench_run_bytes(name, name##_end)
/* Goes on from where it stopped. */
void bench_continue(void);
/* The vector whose handler was entered (and halted), or -1. */
int bench_vector(void);
uint64_t bench_mem(uint64_t addr, unsigned size);
void bench_set(uint64_t addr, unsigned size, uint64_t x);
/* n-th slot of the stack at RSP, of the mode's frame size. */
uint64_t bench_slot(unsigned n);
void bench_desc(unsigned sel, uint32_t base, uint32_t limit, unsigned access, unsigned flags);
void bench_gate(unsigned sel, uint16_t target, uint32_t ip, unsigned type_dpl, unsigned params);
void bench_idt(unsigned vector, uint16_t sel, uint64_t ip, unsigned type_dpl, unsigned ist);
#endif
