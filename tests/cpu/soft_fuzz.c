/*
 * soft_fuzz [CASES [SEED]]: random bytes as code, in every mode, with random registers and tables.
 * Whatever the guest does, the host process must live: there is nothing else to check. Meant to be
 * run with sanitizers too.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include "harness.h"

#define RAM HV_MIB(2)

static uint64_t rnd_state;

static struct box *box;

/* A repeated instruction may have 2^63 things to do: like any vCPU, it stops when asked. */
static void on_alarm(int sig)
{
	(void)sig;
	atomic_fetch_or(&box->vm.vcpu[0]->requests, HV_REQ_STOP);
	box->vm.engine->vcpu_kick(box->vm.vcpu[0]);
}

static void start_alarm(void)
{
	const struct itimerval every = { .it_interval.tv_usec = 5000, .it_value.tv_usec = 5000 };

	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &every, NULL);
}

static uint64_t rnd(void)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return rnd_state;
}

/* Numbers near which things happen. */
static uint64_t value(void)
{
	static const uint64_t edges[] = {
		0,	    1,		0x7f,	     0xff,	 0xffff,     0x7fffffff,
		0x80000000, 0xffffffff, 0x100000fff, 1ull << 47, 1ull << 63, ~0ull,
		BOX_CODE,   BOX_STACK,	BOX_TABLES,  RAM - 4,	 0xfee00000, 0xffff800000000000,
	};

	switch (rnd() % 4) {
	case 0:
		return edges[rnd() % HV_ARRAY_LEN(edges)] + rnd() % 8;
	case 1:
		return rnd();
	default:
		return rnd() % RAM;
	}
}

/* Bytes that are instructions more often than chance. */
static void code_bytes(uint8_t *p, unsigned n)
{
	static const uint8_t starts[] = { 0x66, 0x67, 0x0f, 0xf0, 0xf2, 0xf3, 0x48, 0x41,
					  0x0f, 0x0f, 0xc4, 0xc5, 0xd9, 0xff, 0xf7, 0x8e };

	for (unsigned i = 0; i < n; i++)
		p[i] = rnd() % 3 == 0 ? starts[rnd() % HV_ARRAY_LEN(starts)] : (uint8_t)rnd();
}

static void scramble(struct x86_state *s)
{
	for (unsigned i = 0; i < 16; i++)
		s->gpr[i] = value();
	s->rflags = (rnd() & 0x254dd5) | X86_FL_FIXED;
	if (rnd() % 4 == 0) {
		unsigned n = (unsigned)(rnd() % 6);

		s->seg[n].base = (uint32_t)value();
		s->seg[n].limit = (uint32_t)value();
	}
	s->idt_base = value() & 0xffffffff;
	s->idt_limit = (uint16_t)rnd();
	s->gdt_base = value() & 0xffffffff;
	s->gdt_limit = (uint16_t)rnd();
	if (rnd() % 4 == 0)
		s->cr0 ^= 1u << (rnd() % 4);
	if (rnd() % 4 == 0)
		s->rip += rnd() % 8192;
}

static void one_case(struct box *b)
{
	uint8_t code[256];
	struct x86_state s;
	struct err e;
	enum box_mode mode = (enum box_mode)(rnd() % 7);

	code_bytes(code, sizeof(code));
	box_load(b, BOX_CODE, code, sizeof(code));
	if (rnd() % 16 == 0) /* tables, stacks, descriptors */
		for (unsigned i = 0; i < 64; i++)
			b->host[BOX_STACK - 256 + rnd() % 512] = (uint8_t)rnd();
	box_state(b, mode, &s);
	scramble(&s);
	if (hv_vcpu_state_set(b->vm.vcpu[0], &s, &e) != 0)
		return;
	atomic_store(&b->vm.vcpu[0]->requests, 0);
	/* Exceptions are delivered by the next call, through whatever the tables point to. */
	for (unsigned i = 0; i < 12; i++) {
		struct box_result r = box_continue(b, 0, 20);

		if (r.exited)
			break;
	}
	hv_vcpu_state_get(b->vm.vcpu[0], &s);
}

int main(int argc, char **argv)
{
	unsigned long cases = argc > 1 ? strtoul(argv[1], NULL, 0) : 20000;
	struct err e;

	rnd_state = argc > 2 ? strtoull(argv[2], NULL, 0) : 0x9e3779b97f4a7c15;
	box = box_create(RAM, 1, NULL, &e);
	if (box == NULL) {
		fprintf(stderr, "soft_fuzz: %s\n", e.msg);
		return 1;
	}
	start_alarm();
	for (unsigned long i = 0; i < cases; i++) {
		if (getenv("SOFT_FUZZ_VERBOSE") != NULL)
			fprintf(stderr, "%lu %#llx\n", i, (unsigned long long)rnd_state);
		one_case(box);
	}
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
	box_destroy(box);
	return 0;
}
