/* See bench.h. */
#include "bench.h"
#include <stdlib.h>
#include "base/loop.h"

struct bench bench;

static int ack(void *ctx)
{
	(void)ctx;
	hv_vcpu_set_intr(bench.vm.vcpu[0], false);
	return bench.lapic_vector;
}

static uint64_t apic_base(void *ctx)
{
	(void)ctx;
	return 0xfee00900;
}

static const struct hv_lapic_ops lapic = { .intr_ack = ack, .apic_base = apic_base };

static void on_event(void *ctx, struct hv_vcpu *v, enum hv_vm_event ev, const struct hv_exit *x)
{
	(void)ctx, (void)v, (void)ev, (void)x;
}

int bench_setup(void **state)
{
	struct hv_vm *vm = &bench.vm;
	struct hv_ram *ram;
	struct err e = { 0 };

	(void)state;
	assert_ok(loop_create(&bench.loop, &e), &e);
	assert_ok(cpu_model_get("x86-64-v2", 1, &bench.model, &e), &e);
	assert_ok(hv_mem_create(&vm->mem, &e), &e);
	assert_ok(hv_pio_create(&vm->pio, &e), &e);
	assert_ok(hv_clock_create(bench.loop, &vm->clock, &e), &e);
	hv_clock_set_tsc_hz(vm->clock, bench.model.tsc_hz);
	assert_ok(hv_ram_create(vm->mem, "ram", HV_RAM_ANON, BENCH_RAM, -1, 0, &ram, &e), &e);
	bench.ram = hv_ram_host(ram);
	bench.range = (struct hv_map_range){
		.name = "ram", .kind = HV_MAP_RAM, .bytes = BENCH_RAM, .ram = ram
	};
	hv_mem_map(vm->mem, &bench.range);
	vm->model = &bench.model;
	vm->engine = hv_engine_find("soft");
	vm->on_event = on_event;
	vm->opt.count = true;
	vm->opt.translate = getenv("LODGE_TEST_TRANSLATE") != NULL; /* each block at once */
	assert_ok(hv_vm_init(vm, 1, &e), &e);
	vm->vcpu[0]->lapic = &lapic;
	/* The vCPU runs in this thread; its own stays idle. */
	assert_ok(vm->engine->vcpu_thread_start(vm->vcpu[0], &e), &e);
	return 0;
}

int bench_teardown(void **state)
{
	(void)state;
	hv_vm_finish(&bench.vm);
	hv_clock_destroy(bench.vm.clock);
	hv_pio_destroy(bench.vm.pio);
	hv_mem_destroy(bench.vm.mem);
	loop_destroy(bench.loop);
	return 0;
}

/* ---- memory and tables ---- */

uint64_t bench_mem(uint64_t addr, unsigned size)
{
	uint64_t x = 0;

	assert_true(addr + size <= BENCH_RAM);
	memcpy(&x, bench.ram + addr, size);
	return x;
}

void bench_set(uint64_t addr, unsigned size, uint64_t x)
{
	assert_true(addr + size <= BENCH_RAM);
	memcpy(bench.ram + addr, &x, size);
	hv_mem_written(bench.vm.mem, addr, size);
}

void bench_desc(unsigned sel, uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
	uint64_t d = (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 |
		     (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)flags << 52 |
		     (uint64_t)(base >> 24) << 56;

	bench_set(BENCH_GDT + (sel & ~7u), 8, d);
}

static uint64_t gate_bits(uint16_t target, uint64_t ip, unsigned type_dpl, unsigned low)
{
	return (ip & 0xffff) | (uint64_t)target << 16 | (uint64_t)low << 32 |
	       (uint64_t)type_dpl << 40 | (ip >> 16 & 0xffff) << 48;
}

void bench_gate(unsigned sel, uint16_t target, uint32_t ip, unsigned type_dpl, unsigned params)
{
	bench_set(BENCH_GDT + (sel & ~7u), 8, gate_bits(target, ip, type_dpl, params));
	if (bench.s.efer & X86_EFER_LMA)
		bench_set(BENCH_GDT + (sel & ~7u) + 8, 8, 0);
}

void bench_idt(unsigned vector, uint16_t sel, uint64_t ip, unsigned type_dpl, unsigned ist)
{
	uint64_t bits = gate_bits(sel, ip, type_dpl, ist);

	if (bench.s.efer & X86_EFER_LMA) {
		bench_set(BENCH_IDT + vector * 16, 8, bits);
		bench_set(BENCH_IDT + vector * 16 + 8, 8, ip >> 32);
	} else {
		bench_set(BENCH_IDT + vector * 8, 8, bits);
	}
}

static void make_gdt(bool long_mode)
{
	memset(bench.ram + BENCH_GDT, 0, 0x1000);
	bench_desc(SEL_CODE32, 0, 0xfffff, 0x9a, 0xc);
	bench_desc(SEL_DATA, 0, 0xfffff, 0x92, 0xc);
	bench_desc(SEL_CODE64, 0, 0xfffff, 0x9a, 0xa);
	bench_desc(SEL_UCODE32, 0, 0xfffff, 0xfa, 0xc);
	bench_desc(SEL_UDATA, 0, 0xfffff, 0xf2, 0xc);
	bench_desc(SEL_UCODE64, 0, 0xfffff, 0xfa, 0xa);
	bench_desc(SEL_TSS, BENCH_TSS, 0x7ff, 0x8b, 0);
	bench_desc(SEL_TSS2, BENCH_TSS2, 103, 0x89, 0);
	bench_desc(SEL_CODE16, 0, 0xffff, 0x9a, 0);
	memset(bench.ram + BENCH_TSS, 0, 0x1000);
	if (long_mode) {
		bench_set(BENCH_TSS + 4, 8, BENCH_STACK0);
		bench_set(BENCH_TSS + 36, 8, BENCH_STACK_IST);
	} else {
		bench_set(BENCH_TSS + 4, 4, BENCH_STACK0);
		bench_set(BENCH_TSS + 8, 2, SEL_DATA);
	}
	bench_set(BENCH_TSS + 102, 2, 0x800);
}

static void make_idt(enum bench_mode mode)
{
	memset(bench.ram + BENCH_IDT, 0, 0x1000);
	for (unsigned n = 0; n < 256; n++) {
		uint32_t ip = BENCH_HANDLERS + n * 16;

		bench_set(ip, 1, 0xf4); /* hlt */
		if (mode == BENCH_REAL)
			bench_set(BENCH_IDT + n * 4, 4, ip);
		else
			bench_idt(n, mode == BENCH_LONG64 ? SEL_CODE64 : SEL_CODE32, ip,
				  n == 3 || n == 4 || n >= 0x80 ? 0xee : 0x8e, 0);
	}
}

/* ---- registers ---- */

static void fill(enum x86_seg seg, uint16_t sel)
{
	uint64_t d = bench_mem(BENCH_GDT + (sel & ~7u), 8);
	uint32_t limit = (d & 0xffff) | (d >> 32 & 0xf0000);

	bench.s.seg[seg] = (struct x86_seg_state){
		.sel = sel,
		.base = (d >> 16 & 0xffffff) | d >> 56 << 24,
		.limit = d >> 55 & 1 ? limit << 12 | 0xfff : limit,
		.attr = (d >> 40 & 0xf0ff) | (seg < X86_LDTR ? 1 : 0),
	};
}

static void long_mode(struct x86_state *s)
{
	/* The first GiB as large pages that user code may use. */
	bench_set(BENCH_PAGES, 8, (BENCH_PAGES + 0x1000) | 7);
	bench_set(BENCH_PAGES + 0x1000, 8, (BENCH_PAGES + 0x2000) | 7);
	for (unsigned n = 0; n < 512; n++)
		bench_set(BENCH_PAGES + 0x2000 + n * 8, 8, (uint64_t)n << 21 | 0x87);
	s->cr3 = BENCH_PAGES;
	s->cr4 = X86_CR4_PAE;
	s->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_SCE;
	s->cr0 |= X86_CR0_PG;
}

void bench_reset(enum bench_mode mode, unsigned cpl)
{
	struct x86_state *s = &bench.s;
	bool is64 = mode == BENCH_LONG64;

	memset(bench.ram, 0, BENCH_RAM);
	hv_mem_written(bench.vm.mem, 0, BENCH_RAM);
	x86_state_reset(s, true);
	s->cr0 = X86_CR0_ET;
	s->gpr[X86_RDX] = 0;
	if (mode != BENCH_REAL)
		s->cr0 |= X86_CR0_PE;
	if (is64)
		long_mode(s);
	make_gdt(is64);
	make_idt(mode);
	s->gdt_base = BENCH_GDT;
	s->gdt_limit = 0xfff;
	s->idt_base = BENCH_IDT;
	s->idt_limit = 0xfff;
	s->cpl = (uint8_t)cpl;
	s->gpr[X86_RSP] = cpl == 3 ? BENCH_STACK3 : BENCH_STACK0 - 0x1000;
	if (mode == BENCH_REAL) {
		s->seg[X86_CS] = s->seg[X86_DS];
		s->seg[X86_CS].sel = BENCH_CODE >> 4;
		s->seg[X86_CS].base = BENCH_CODE;
		s->gpr[X86_RSP] = 0x7000;
		return;
	}
	fill(X86_CS,
	     cpl == 3 ? (is64 ? SEL_UCODE64 : SEL_UCODE32) : (is64 ? SEL_CODE64 : SEL_CODE32));
	for (unsigned n = 0; n <= X86_GS; n++)
		if (n != X86_CS)
			fill(n, cpl == 3 ? SEL_UDATA : SEL_DATA);
	fill(X86_TR, SEL_TSS);
}

/* ---- running ---- */

void bench_continue(void)
{
	struct hv_vcpu *v = bench.vm.vcpu[0];
	struct err e = { 0 };

	bench.s.mp_state = X86_MP_RUNNING;
	assert_ok(bench.vm.engine->state_set(v, &bench.s, &e), &e);
	do {
		bench.vm.engine->vcpu_run(v, &bench.exit);
	} while (bench.exit.reason == HV_EXIT_KICKED);
	bench.vm.engine->state_get(v, &bench.s);
}

void bench_run_bytes(const char *code, const char *end)
{
	memcpy(bench.ram + BENCH_CODE, code, (size_t)(end - code));
	hv_mem_written(bench.vm.mem, BENCH_CODE, (uint64_t)(end - code));
	bench.s.rip = bench.s.cr0 & X86_CR0_PE ? BENCH_CODE : 0;
	bench_continue();
}

int bench_vector(void)
{
	uint64_t ip = bench.s.seg[X86_CS].base * !(bench.s.cr0 & X86_CR0_PE) + bench.s.rip - 1;

	if (bench.exit.reason != HV_EXIT_HLT || ip < BENCH_HANDLERS ||
	    ip >= BENCH_HANDLERS + 256 * 16 || (ip & 15))
		return -1;
	return (int)((ip - BENCH_HANDLERS) / 16);
}

uint64_t bench_slot(unsigned n)
{
	unsigned size = 4;

	if (bench.s.efer & X86_EFER_LMA)
		size = 8;
	else if (!(bench.s.cr0 & X86_CR0_PE))
		size = 2;
	return bench_mem(bench.s.seg[X86_SS].base + bench.s.gpr[X86_RSP] + n * size, size);
}
