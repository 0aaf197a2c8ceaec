/*
 * oracle-blocks [--count N] [--seed S] [--list]: runs random blocks on the host
 * CPU and in the soft engine. Each runs several times in the engine: what is translated depends on
 * what was run before. A difference is shrunk, and printed with all that is needed to have it
 * again.
 */
#include "blocks.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CODE_ROOM 2048u
#define ROUNDS 4u

static uint8_t start_data[DATA_BYTES];
static struct form_table forms;

static void fill_data(uint64_t seed)
{
	struct rng r = { seed * 2 + 1 };

	for (unsigned k = 0; k < DATA_BYTES; k += 64)
		gen_bytes(&r, start_data + k, 64);
}

static void decode_at_end(struct test_case *t, const struct outcome *n)
{
	uint64_t off = n->cpu.rip - t->in.rip;

	memset(&t->z, 0, sizeof(t->z));
	memset(t->op, 0, sizeof(t->op));
	if (off < t->block_len)
		ZydisDecoderDecodeFull(decoder_of(t->mode), t->block + off, t->block_len - off,
				       &t->z, t->op);
}

static bool has_repeats(const struct seq *s)
{
	for (unsigned k = 0; k < s->n; k++)
		for (unsigned j = 0; !s->p[k].left_out && j < s->p[k].len; j++)
			if (s->p[k].b[j] == 0xf2 || s->p[k].b[j] == 0xf3)
				return true; /* or another byte that looks so */
	return false;
}

/* What sequences bring about that single instructions do not. */
static void settle(struct outcome *n, struct outcome *g)
{
	/* The guest's kernel is mapped, but not where the host's is. */
	if (n->vector == 14 && n->cr2 >> 63) {
		n->error &= ~1u;
		g->error &= ~1u;
	}
	/* Misaligned and not canonical, by RSP or RBP: which comes first is not said. */
	if (n->vector == 13 && g->vector == 12)
		g->vector = 13;
}

/* MXCSR bit 17, misaligned SSE, which no model of ours has. */
static bool host_has_misaligned(void)
{
	static uint32_t area[128] __attribute__((aligned(16)));

	__asm__ volatile("fxsave64 %0" : "=m"(area));
	return area[7] >> 17 & 1;
}

static bool is_memory_fault(unsigned vector)
{
	return vector == 13 || vector == 14 || vector == 17;
}

/* Of a comparison whose two strings both fault, AMD's CPUs report either; of a masked move that
 * goes on where a 32-bit address is at its end, they say so or that it wrapped; and PUSHA that
 * faults has stored what came before (family 25), or nothing (as the engine). */
static bool may_fault_otherwise(const ZydisDecodedInstruction *z)
{
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_CMPSB:
	case ZYDIS_MNEMONIC_CMPSW:
	case ZYDIS_MNEMONIC_CMPSD:
	case ZYDIS_MNEMONIC_CMPSQ:
		return z->meta.category == ZYDIS_CATEGORY_STRINGOP;
	case ZYDIS_MNEMONIC_PUSHA:
	case ZYDIS_MNEMONIC_PUSHAD:
		return true;
	case ZYDIS_MNEMONIC_VMASKMOVPS:
	case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VPMASKMOVD:
	case ZYDIS_MNEMONIC_VPMASKMOVQ:
		return z->machine_mode == ZYDIS_MACHINE_MODE_LONG_64 && z->address_width == 32;
	default:
		return false;
	}
}

/* #GP that says nothing about the engine: the host's CPU may have a bit in MXCSR that the model
 * lacks; its kernel answers for what UMIP hides; and AMD's CPUs read the whole stack of a far
 * return before they look at the selectors. */
static bool may_not_be_refused(const ZydisDecodedInstruction *z, const struct outcome *n,
			       const struct outcome *g)
{
	const bool same_place = n->cpu.rip == g->cpu.rip;

	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_VLDMXCSR:
		return host_has_misaligned() && (n->vector != 13 || !same_place);
	case ZYDIS_MNEMONIC_SGDT:
	case ZYDIS_MNEMONIC_SIDT:
	case ZYDIS_MNEMONIC_SLDT:
	case ZYDIS_MNEMONIC_STR:
	case ZYDIS_MNEMONIC_SMSW:
		return n->vector != 13 || !same_place;
	case ZYDIS_MNEMONIC_RET:
		return z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR && n->vector == 14 &&
		       same_place;
	default:
		return false;
	}
}

/* Whether a difference in faults is the host's, by the instruction that the guest's is at. */
static bool is_hosts_affair(const struct test_case *t, const struct outcome *n,
			    const struct outcome *g)
{
	const uint64_t off = g->cpu.rip - t->in.rip;
	ZydisDecodedInstruction z;

	if (!is_memory_fault(g->vector) || off >= t->block_len ||
	    !ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(decoder_of(t->mode), NULL, t->block + off,
							t->block_len - off, &z)))
		return false;
	if (may_fault_otherwise(&z))
		return is_memory_fault(n->vector) && n->cpu.rip == g->cpu.rip;
	return g->vector == 13 && may_not_be_refused(&z, n, g);
}

/* 0: equal; 1: diff says what is not; -1: it does not end, so there is nothing to compare. */
static int run_seq(const struct seq *s, char *diff, size_t room, struct outcome *n)
{
	static uint8_t code[CODE_ROOM];
	static struct test_case t;
	static struct outcome g;
	static uint8_t end_data[DATA_BYTES];
	bool changed; /* its own code */

	memset(&t, 0, sizeof(t));
	t.mode = s->mode;
	t.in = s->in;
	t.code_off = s->code_off;
	t.block = code;
	t.block_len = seq_layout(s, code, sizeof(code));
	memcpy(native_data(), start_data, DATA_BYTES);
	memset(native_counters(), 1, 4096);
	memset(n, 0, sizeof(*n));
	native_run(&t, n);
	if (n->vector == VECTOR_TIMEOUT)
		return -1;
	memcpy(end_data, native_data(), DATA_BYTES);
	changed = native_code_changed(&t);
	/* Strings that overwrite themselves, and whatever instructions come of the rest. */
	if (changed && (n->vector != 3 || has_repeats(s)))
		return 0;
	decode_at_end(&t, n);
	/* At once in every other sequence; else when it is known which way it goes. */
	guest_translate_after(s->seed & 1 ? 2 : 0);
	for (unsigned k = 0; k < ROUNDS; k++) {
		memcpy(guest_data(), start_data, DATA_BYTES);
		memset(guest_counters(), 1, 4096);
		t.again = k > 0 && !changed;
		if (!guest_run(&t, &g)) {
			snprintf(diff, room, " the guest did not come to an end");
			return 1;
		}
		memcpy(native_data(), end_data, DATA_BYTES);
		if (is_hosts_affair(&t, n, &g))
			return 0;
		settle(n, &g);
		if (compare(&t, n, &g, diff, room) != 0)
			return 1;
	}
	return 0;
}

static void shrink(struct seq *s)
{
	static struct outcome n;
	char diff[4096];
	bool again = true;

	while (again) {
		again = false;
		for (unsigned k = s->n; k-- > 0;) {
			if (s->p[k].left_out)
				continue;
			s->p[k].left_out = true;
			if (run_seq(s, diff, sizeof(diff), &n) == 1)
				again = true;
			else
				s->p[k].left_out = false;
		}
	}
}

static void print_seq(const struct seq *s)
{
	static uint8_t code[CODE_ROOM];
	unsigned len = seq_layout(s, code, sizeof(code)), off = 0;
	ZydisDisassembledInstruction d;
	static const char *const names[] = {
		"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
		"r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"
	};

	for (unsigned k = 0; k < (s->mode == MODE_64 ? 16u : 8u); k++)
		printf(" %s=%llx", names[k], (unsigned long long)s->in.gpr[k]);
	printf(" rflags=%llx mxcsr=%x fcw=%x\n", (unsigned long long)s->in.rflags, s->in.fpu.mxcsr,
	       s->in.fpu.fcw);
	while (off < len) {
		uint64_t at = s->in.rip + off;

		if (!ZYAN_SUCCESS(ZydisDisassembleIntel(s->mode == MODE_64
								? ZYDIS_MACHINE_MODE_LONG_64
								: ZYDIS_MACHINE_MODE_LONG_COMPAT_32,
							at, code + off, len - off, &d)))
			break;
		printf("  %llx  %s\n", (unsigned long long)at, d.text);
		off += d.info.length;
	}
}

static void report(struct seq *s, const char *first)
{
	static struct outcome n;
	char diff[4096] = "";

	printf("DIFF seed %llu, %s-bit:%s\n", (unsigned long long)s->seed,
	       s->mode == MODE_64 ? "64" : "32", first);
	shrink(s);
	run_seq(s, diff, sizeof(diff), &n);
	print_seq(s);
	printf("shrunk: vector %u rip %llx:%s\n\n", n.vector, (unsigned long long)n.cpu.rip, diff);
}

struct blocks_options {
	uint64_t count, seed;
	bool list;
};

static bool parse(int argc, char **argv, struct blocks_options *o)
{
	for (int k = 1; k < argc; k++) {
		bool more = k + 1 < argc;

		if (strcmp(argv[k], "--count") == 0 && more)
			o->count = strtoull(argv[++k], NULL, 0);
		else if (strcmp(argv[k], "--seed") == 0 && more)
			o->seed = strtoull(argv[++k], NULL, 0);
		else if (strcmp(argv[k], "--list") == 0)
			o->list = true;
		else
			return false;
	}
	return o->count > 0;
}

static void make_read_only(void)
{
	struct rng r = { 0x5eed };
	uint8_t page[4096];

	for (unsigned k = 0; k < sizeof(page); k++)
		page[k] = (uint8_t)rnd(&r);
	native_read_only(page);
	guest_read_only(page);
}

int main(int argc, char **argv)
{
	struct blocks_options o = { .count = 3000, .seed = 1 };
	uint64_t insns = 0, faults = 0, different = 0, endless = 0;
	static struct outcome n;
	static struct seq s;
	char diff[4096];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!parse(argc, argv, &o)) {
		fprintf(stderr, "usage: oracle-blocks [--count N] [--seed S] [--list]\n");
		return 2;
	}
	if (guest_start() < 0 || native_start() < 0 || forms_make(&forms) < 0)
		return 1;
	make_read_only();
	for (uint64_t k = 0; k < o.count && different < 10; k++) {
		int r;

		seq_make(&s, o.seed + k, &forms);
		fill_data(s.seed);
		if (o.list)
			print_seq(&s);
		native_note(s.seed);
		r = run_seq(&s, diff, sizeof(diff), &n);
		insns += s.n;
		faults += n.vector != 3;
		endless += r < 0;
		different += r > 0;
		if (r > 0)
			report(&s, diff);
	}
	printf("%llu sequences from seed %llu, %llu instructions written, %llu faulted, %llu without "
	       "end; %llu differ\n",
	       (unsigned long long)o.count, (unsigned long long)o.seed, (unsigned long long)insns,
	       (unsigned long long)faults, (unsigned long long)endless,
	       (unsigned long long)different);
	free(forms.f);
	guest_stop();
	return different != 0 || faults == o.count || endless > o.count / 100;
}
