/*
 * tier-blocks [--programs N] [--seed N] [--disable BITS] [--verbose]: random programs in the
 * interpreter and in the translator. Registers, flags, x87, SSE and AVX state, the exception with
 * its frame on the stack, all memory and the page tables' accessed and dirty bits must be the same.
 */
#include <Zydis/Zydis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include "harness.h"
#include "blocks.h"
#include "engine/soft/translate/code_cache.h"

#define RAM HV_MIB(2)
/* Guest-physical */
#define P_CODE 0x10000ull
#define P_DATA 0x20000ull
#define P_STACK 0x30000ull
#define P_TABLE 0x40000ull
#define P_KERNEL 0x50000ull /* GDT, IDT, TSS, handlers, stack: a page each */
#define P_PAGING 0x60000ull
#define KERNEL 0x800000ull
#define LOG ((uint32_t)KERNEL + 0x4900)

#define TRANSLATE_AFTER 2

static struct box *boxes[2]; /* interpreter, translator */
static struct program program;
static uint64_t rows[BLOCKS_ROWS][16], data_seed;
static uint32_t mxcsr;

/* ---- the machine ---- */

static void poke(struct box *b, uint64_t gpa, uint64_t x)
{
	memcpy(b->host + gpa, &x, 8);
}

static void map(struct box *b, uint64_t lin, uint64_t gpa, uint64_t bits)
{
	poke(b, P_PAGING + 0x4000 + (lin >> 21 & 7) * 4096 + (lin >> 12 & 511) * 8,
	     gpa == 0 ? 0 : gpa | bits);
}

static void make_paging(struct box *b)
{
	memset(b->host + P_PAGING, 0, 0xc000);
	poke(b, P_PAGING, (P_PAGING + 0x1000) | 7);
	poke(b, P_PAGING + 0x1000, (P_PAGING + 0x2000) | 7);
	for (unsigned i = 0; i < 8; i++)
		poke(b, P_PAGING + 0x2000 + i * 8, (P_PAGING + 0x4000 + i * 4096) | 7);
	for (unsigned i = 0; i < 4; i++) {
		map(b, BLOCKS_CODE + i * 4096, P_CODE + i * 4096, 5);
		map(b, BLOCKS_STACK + i * 4096, P_STACK + (i * 5 & 7) * 4096, 7);
	}
	for (unsigned i = 0; i < 8; i++) /* scattered */
		map(b, BLOCKS_DATA + i * 4096, i == 6 ? 0 : P_DATA + ((i * 5 + 3) & 7) * 4096,
		    i == 3 ? 5 : 7);
	map(b, BLOCKS_TABLE, P_TABLE, 5);
	for (unsigned i = 0; i < 5; i++)
		map(b, KERNEL + i * 4096, P_KERNEL + i * 4096, 3);
}

/* Mixes RAX into a word of the log. */
static uint8_t *put_mix(uint8_t *at, uint32_t word)
{
	const uint8_t rol[] = { 0x48, 0xc1, 0x04, 0x25 }, xor[] = {
		0x48, 0x31, 0x04, 0x25
	};

	memcpy(at, rol, 4);
	memcpy(at + 4, &word, 4);
	at[8] = 7;
	memcpy(at + 9, xor, 4);
	memcpy(at + 13, &word, 4);
	return at + 17;
}

/* Notes the exception and goes on with the next round. RAX is the error code. */
static void make_handler(uint8_t *at)
{
	static const uint8_t get_rip[] = { 0x48, 0x8b, 0x04, 0x24 },
			     get_cr2[] = { 0x0f, 0x20, 0xd0 },
			     get_flags[] = { 0x48, 0x8b, 0x44, 0x24, 0x10 },
			     get_next[] = { 0x48, 0xb8 },
			     go[] = { 0x48, 0x89, 0x04, 0x24, 0x48, 0xcf };
	const uint64_t next = BLOCKS_CODE + program.next;

	at = put_mix(at, LOG);
	memcpy(at, get_rip, sizeof(get_rip));
	at = put_mix(at + sizeof(get_rip), LOG + 8);
	memcpy(at, get_cr2, sizeof(get_cr2));
	at = put_mix(at + sizeof(get_cr2), LOG + 16);
	memcpy(at, get_flags, sizeof(get_flags));
	at = put_mix(at + sizeof(get_flags), LOG + 24);
	memcpy(at, get_next, sizeof(get_next));
	memcpy(at + 2, &next, 8);
	memcpy(at + 10, go, sizeof(go));
}

static void make_stub(uint8_t *at, unsigned vector)
{
	const bool error = vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
	const int32_t to = 0x400 - (int32_t)(vector * 16 + 7);

	if (vector == 6) {
		at[0] = 0xf4; /* hlt */
		return;
	}
	at[0] = error ? 0x58 : 0x31; /* pop rax, nop; xor eax, eax */
	at[1] = error ? 0x90 : 0xc0;
	at[2] = 0xe9;
	memcpy(at + 3, &to, 4);
}

static void make_kernel(struct box *b)
{
	memset(b->host + P_KERNEL, 0, 5 * 4096);
	poke(b, P_KERNEL + 8, 0x0020fb0000000000ull);  /* 64-bit code, ring 3 */
	poke(b, P_KERNEL + 16, 0x00cff3000000ffffull); /* data, ring 3 */
	poke(b, P_KERNEL + 24, 0x00209b0000000000ull); /* 64-bit code, ring 0 */
	for (unsigned i = 0; i < 32; i++) {
		uint64_t to = KERNEL + 0x3000 + i * 16;

		poke(b, P_KERNEL + 0x1000 + i * 16,
		     (to & 0xffff) | 0x18 << 16 | 0x8e00ull << 32 | (to >> 16 & 0xffff) << 48);
		make_stub(b->host + P_KERNEL + 0x3000 + i * 16, i);
	}
	make_handler(b->host + P_KERNEL + 0x3400);
	poke(b, P_KERNEL + 0x2000 + 4, KERNEL + 0x4800); /* RSP0 */
	hv_mem_written(b->vm.mem, P_KERNEL, 5 * 4096);
}

static void make_memory(struct box *b)
{
	uint64_t x = data_seed;

	for (unsigned i = 0; i < 0x10000 + 0x8000; i += 8) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		/* Numbers that are floating-point values of ordinary size, too. */
		poke(b, P_DATA + i,
		     i & 8 ? (x >> 12 & 0x000fffffffffffffull) | 0x3ff0000000000000ull
			   : x >> (x & 63));
	}
	memcpy(b->host + P_TABLE, rows, sizeof(rows));
	memset(b->host + P_CODE, 0xcc, 4 * 4096);
	memcpy(b->host + P_CODE + program.start, program.code + program.start,
	       program.len - program.start);
	make_paging(b);
	make_kernel(b);
	hv_mem_written(b->vm.mem, P_CODE, 4 * 4096);
}

static void make_state(struct box *b, struct x86_state *s)
{
	box_state(b, BOX_USER64, s);
	s->cr3 = P_PAGING;
	s->rip = BLOCKS_CODE + program.start;
	s->gpr[X86_R15] = BLOCKS_ROWS - 1;
	s->gpr[X86_RDX] = data_seed;
	s->gpr[X86_R10] = data_seed >> 7;
	s->gpr[X86_R11] = 0x123456789abcdefull;
	s->gdt_base = KERNEL;
	s->gdt_limit = 0xff;
	s->idt_base = KERNEL + 0x1000;
	s->idt_limit = 0x1ff;
	s->seg[X86_TR] = (struct x86_seg_state){
		.base = KERNEL + 0x2000, .limit = 0x67, .sel = 0x40, .attr = 0x8b
	};
	memcpy(s->xsave + 24, &mxcsr, 4);
}

/* ---- running and comparing ---- */

static struct hv_vcpu *running;

/* A program that was shrunk may run for ever. */
static void on_alarm(int sig)
{
	(void)sig;
	atomic_fetch_or(&running->requests, HV_REQ_STOP);
	running->vm->engine->vcpu_kick(running);
}

static void set_alarm(bool on)
{
	const struct itimerval limit = { .it_value.tv_sec = on };

	setitimer(ITIMER_REAL, &limit, NULL);
}

static void start_alarms(void)
{
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_ONSTACK };

	sigaction(SIGALRM, &sa, NULL);
}

/* Components in their initial state are written out. */
static void plain_xsave(uint8_t *x)
{
	uint64_t bv;

	memcpy(&bv, x + 512, 8);
	if (!(bv & 1)) {
		memset(x, 0, 24);
		memset(x + 32, 0, 128);
		x[0] = 0x7f;
		x[1] = 3;
	}
	if (!(bv & 2))
		memset(x + 160, 0, 256);
	if (!(bv & 4))
		memset(x + 576, 0, 256);
	memset(x + 512, 0, 8);
	memset(x + 28, 0, 4); /* MXCSR_MASK: written with the rest */
}

static bool run(struct box *b, struct x86_state *s)
{
	struct hv_exit x = { 0 };
	struct err e;

	make_memory(b);
	make_state(b, s);
	/* This thread is now that vCPU's: its signals are. */
	if (b->vm.engine->vcpu_thread_start(b->vm.vcpu[0], &e) != 0 ||
	    hv_vcpu_state_set(b->vm.vcpu[0], s, &e) != 0) {
		fprintf(stderr, "tier-blocks: %s\n", e.msg);
		exit(2);
	}
	running = b->vm.vcpu[0];
	atomic_fetch_and(&running->requests, ~(uint32_t)HV_REQ_STOP);
	set_alarm(true);
	b->vm.engine->vcpu_run(running, &x);
	set_alarm(false);
	hv_vcpu_state_get(running, s);
	plain_xsave(s->xsave);
	return x.reason == HV_EXIT_HLT;
}

static const char *difference(const struct x86_state *a, const struct x86_state *b)
{
	static char text[96];

	for (unsigned i = 0; i < 16; i++)
		if (a->gpr[i] != b->gpr[i]) {
			snprintf(text, sizeof(text), "register %u: %llx, translated %llx", i,
				 (unsigned long long)a->gpr[i], (unsigned long long)b->gpr[i]);
			return text;
		}
	if (a->rip != b->rip || a->rflags != b->rflags || a->cr2 != b->cr2) {
		snprintf(text, sizeof(text), "RIP %llx %llx, flags %llx %llx, CR2 %llx %llx",
			 (unsigned long long)a->rip, (unsigned long long)b->rip,
			 (unsigned long long)a->rflags, (unsigned long long)b->rflags,
			 (unsigned long long)a->cr2, (unsigned long long)b->cr2);
		return text;
	}
	for (unsigned i = 0; i < sizeof(a->xsave); i++)
		if (a->xsave[i] != b->xsave[i]) {
			snprintf(text, sizeof(text), "XSAVE area at %u", i);
			return text;
		}
	for (uint64_t i = P_CODE; i < P_PAGING + 0xc000; i++)
		if (boxes[0]->host[i] != boxes[1]->host[i]) {
			uint64_t x, y;

			memcpy(&x, boxes[0]->host + (i & ~7ull), 8);
			memcpy(&y, boxes[1]->host + (i & ~7ull), 8);
			snprintf(text, sizeof(text), "memory at %llx: %016llx, translated %016llx",
				 (unsigned long long)(i & ~7ull), (unsigned long long)x,
				 (unsigned long long)y);
			return text;
		}
	return NULL;
}

static const char *compare(void)
{
	static struct x86_state a, b;

	bool ends[2] = { run(boxes[0], &a), run(boxes[1], &b) };

	if (ends[0] != ends[1])
		return "only one of them ends";
	return ends[0] ? difference(&a, &b) : NULL; /* stopped somewhere */
}

static void disassemble(void)
{
	ZydisDisassembledInstruction d;

	for (unsigned at = program.start; at < program.len;) {
		if (!ZYAN_SUCCESS(ZydisDisassembleIntel(ZYDIS_MACHINE_MODE_LONG_64,
							BLOCKS_CODE + at, program.code + at,
							program.len - at, &d))) {
			printf("  %llx ?\n", (unsigned long long)(BLOCKS_CODE + at++));
			continue;
		}
		if (d.info.mnemonic != ZYDIS_MNEMONIC_NOP)
			printf("  %llx %s\n", (unsigned long long)(BLOCKS_CODE + at), d.text);
		at += d.info.length;
	}
}

/* Replaces instructions by NOPs as long as it still fails. */
static void shrink(void)
{
	ZydisDecoder z;
	ZydisDecodedInstruction d;
	struct program before;

	ZydisDecoderInit(&z, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (unsigned at = program.start; at < program.len; at += d.length) {
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&z, NULL, program.code + at,
								program.len - at, &d)))
			return;
		before = program;
		memset(program.code + at, 0x90, d.length);
		if (compare() == NULL)
			program = before;
	}
}

static bool one(uint64_t seed, bool verbose)
{
	blocks_seed(seed);
	blocks_program(&program);
	for (unsigned i = 0; i < BLOCKS_ROWS; i++)
		blocks_row(rows[i]);
	data_seed = blocks_rnd();
	mxcsr = blocks_rnd() % 8 == 0 ? 0x1f80 & ~(blocks_rnd() & 0x1f80) : 0x1f80;
	const char *why = compare();

	if (verbose || why != NULL) {
		printf("seed %llu: %s\n", (unsigned long long)seed, why == NULL ? "same" : why);
		fflush(stdout);
	}
	if (why == NULL)
		return true;
	shrink();
	why = compare();
	printf("shrunk: %s\n", why == NULL ? "gone" : why);
	disassemble();
	return false;
}

static struct box *make_box(bool translate, uint32_t disable)
{
	struct hv_engine_options o = { .trace_fd = -1,
				       .translate = translate,
				       .translate_after = TRANSLATE_AFTER,
				       .disable = disable };
	struct err e;
	struct box *b = box_create_with(RAM, 1, NULL, &o, &e);

	if (b == NULL) {
		fprintf(stderr, "tier-blocks: %s\n", e.msg);
		exit(2);
	}
	return b;
}

int main(int argc, char **argv)
{
	unsigned long long n = 2000, seed = 1, disable = 0, failed = 0;
	bool verbose = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--verbose") == 0)
			verbose = true;
		else if (i + 1 < argc && strcmp(argv[i], "--programs") == 0)
			n = strtoull(argv[++i], NULL, 0);
		else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0)
			seed = strtoull(argv[++i], NULL, 0);
		else if (i + 1 < argc && strcmp(argv[i], "--disable") == 0)
			disable = strtoull(argv[++i], NULL, 0);
		else
			return 2;
	}
	start_alarms();
	boxes[0] = make_box(false, 0);
	boxes[1] = make_box(true, (uint32_t)disable);
	if (soft_of(boxes[1]->vm.vcpu[0])->tr == NULL) {
		fprintf(stderr, "tier-blocks: this host cannot translate\n");
		return 77;
	}
	for (unsigned long long i = 0; i < n && failed < 3; i++)
		failed += !one(seed + i, verbose);
	printf("%llu programs, %llu differ; %llu blocks translated\n", n, failed,
	       (unsigned long long)soft_of(boxes[1]->vm.vcpu[0])->stats.blocks_translated);
	box_destroy(boxes[0]);
	box_destroy(boxes[1]);
	return failed != 0;
}
