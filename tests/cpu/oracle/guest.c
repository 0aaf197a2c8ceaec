/*
 * The soft engine's side: a vCPU in long mode with one user window like the host process', entered
 * at CPL 3 by setting its state. Every vector of its IDT leads to a HLT of its own, and what the
 * exception pushed says the rest.
 */
#include "oracle.h"
#include <stdlib.h>
#include <string.h>
#include "base/loop.h"
#include "cpu/vcpu.h"
#include "cpu/x86_defs.h"
#include "engine/soft/decode.h"
#include "engine/soft/fpu.h"
#include "engine/soft/translate/code_cache.h"

#define RAM_BYTES HV_MIB(2)
#define GPA_PML4 0x1000u
#define GPA_PDPT 0x2000u
#define GPA_PD 0x3000u
#define GPA_PT_LOW 0x4000u
#define GPA_PT_USER 0x5000u
#define GPA_GDT 0x6000u
#define GPA_LDT 0x6800u
#define GPA_TSS 0x7000u
#define GPA_IDT 0x8000u
#define GPA_HANDLERS 0x9000u
#define GPA_STACK_TOP 0xb000u
#define GPA_PDPT_HIGH 0xc000u
#define GPA_PD_HIGH 0xd000u
/* Where the kernel's part of the RAM lies: nothing that user code can reach is near. */
#define KERNEL 0xffffffffc0000000ull
#define GPA_DATA 0x20000u
#define GPA_CODE 0x30000u
#define GPA_COUNTERS 0x38000u
#define SEL_KERNEL 0x10u
#define SEL_LDT 0x40u
#define SEL_TSS 0x50u

static struct hv_vm vm;
static struct hv_vcpu vcpu;
static struct cpu_model model;
static struct loop *loop;
static struct hv_clock *clk;
static struct hv_map_range ram_range;
static struct hv_ram *ram_block;
static uint8_t *ram;
static struct x86_state base_state;
static unsigned last_off, last_len;

static void put64(uint32_t gpa, uint64_t x)
{
	memcpy(ram + gpa, &x, sizeof(x));
}

static void make_paging(void)
{
	const uint64_t rw = 3, user = 4, nx = 1ull << 63;

	put64(GPA_PML4, GPA_PDPT | rw | user);
	put64(GPA_PML4 + 511 * 8, GPA_PDPT_HIGH | rw);
	put64(GPA_PDPT, GPA_PD | rw | user);
	put64(GPA_PDPT_HIGH + 511 * 8, GPA_PD_HIGH | rw);
	put64(GPA_PD_HIGH, GPA_PT_LOW | rw);
	put64(GPA_PD + (DATA_BASE >> 21) * 8, GPA_PT_USER | rw | user);
	for (unsigned k = 0; k < 512; k++)
		put64(GPA_PT_LOW + k * 8, k * 4096u | rw);
	for (unsigned k = 0; k < DATA_PAGES; k++)
		put64(GPA_PT_USER + k * 8, (GPA_DATA + k * 4096u) | rw | user | nx);
	put64(GPA_PT_USER + DATA_PAGES * 8, (GPA_DATA + DATA_BYTES) | 1 | user | nx);
	for (unsigned k = 0; k < CODE_PAGES; k++)
		put64(GPA_PT_USER + ((CODE_BASE >> 12 & 511) + k) * 8,
		      (GPA_CODE + k * 4096u) | rw | user);
	put64(GPA_PT_USER + (COUNTER_BASE >> 12 & 511) * 8, GPA_COUNTERS | rw | user | nx);
}

static void make_tables(void)
{
	put64(GPA_GDT + 0x10, 0x00209b0000000000); /* kernel code, 64-bit */
	put64(GPA_GDT + 0x18, 0x00cf93000000ffff);
	put64(GPA_GDT + 0x20, 0x00cffb000000ffff); /* SEL_CODE32 */
	put64(GPA_GDT + 0x28, 0x00cff3000000ffff); /* SEL_DATA */
	put64(GPA_GDT + 0x30, 0x00affb000000ffff); /* SEL_CODE64 */
	put64(GPA_LDT, 0x1000fb100000ffff);
	put64(GPA_LDT + 8, 0x1000f3000000ffff);	 /* SEL_DATA16: base DATA_BASE */
	put64(GPA_LDT + 16, 0x1040f3000000ffff); /* SEL_DATA32: the same with a 32-bit stack */
	put64(GPA_TSS + 4, KERNEL + GPA_STACK_TOP);
	ram[GPA_TSS + 102] = 0x68; /* no port is allowed */
	for (unsigned v = 0; v < 256; v++) {
		uint64_t at = KERNEL + GPA_HANDLERS + v * 16, dpl = v == 3 || v == 4 ? 3 : 0;

		put64(GPA_IDT + v * 16, (at & 0xffff) | SEL_KERNEL << 16 | (at & 0xffff0000) << 32 |
						(0x8e00ull | dpl << 13) << 32);
		put64(GPA_IDT + v * 16 + 8, at >> 32);
		ram[GPA_HANDLERS + v * 16] = 0xf4;
	}
}

static struct x86_seg_state seg(uint16_t sel, uint64_t base, uint32_t limit, uint16_t attr)
{
	return (struct x86_seg_state){ .base = base, .limit = limit, .sel = sel, .attr = attr };
}

static void make_state(void)
{
	struct x86_state *s = &base_state;

	x86_state_reset(s, true);
	s->cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM |
		 X86_CR0_PG;
	s->cr3 = GPA_PML4;
	s->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE |
		 X86_CR4_UMIP | X86_CR4_FSGSBASE;
	s->efer = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
	s->xcr0 = 7 & model.xcr0_mask;
	s->gdt_base = KERNEL + GPA_GDT;
	s->gdt_limit = 0x5f;
	s->idt_base = KERNEL + GPA_IDT;
	s->idt_limit = 0xfff;
	s->cpl = 3;
	s->seg[X86_LDTR] = seg(SEL_LDT, KERNEL + GPA_LDT, 0x17, 0x82);
	s->seg[X86_TR] = seg(SEL_TSS, KERNEL + GPA_TSS, 0x67, 0x8b);
	for (unsigned k = 0; k < X86_LDTR; k++)
		s->seg[k] = seg(SEL_DATA, 0, 0xffffffff, 0xc0f3);
}

static void set_mode(struct x86_state *s, enum mode m, bool based)
{
	s->seg[X86_FS] = seg(0, 0, 0, 0);
	s->seg[X86_GS] = seg(0, GS_BASE_64, 0, 0);
	if (m == MODE_64)
		s->seg[X86_CS] = seg(SEL_CODE64, 0, 0xffffffff, 0xa0fb);
	else if (m == MODE_32)
		s->seg[X86_CS] = seg(SEL_CODE32, 0, 0xffffffff, 0xc0fb);
	else
		s->seg[X86_CS] = seg(SEL_CODE16, CODE_BASE, 0xffff, 0x00fb);
	if (m == MODE_16)
		s->seg[X86_SS] = seg(SEL_DATA16, DATA_BASE, 0xffff, 0x00f3);
	else if (based)
		s->seg[X86_SS] = seg(SEL_DATA32, DATA_BASE, 0xffff, 0x40f3);
	if (based)
		s->seg[X86_DS] = s->seg[X86_ES] = s->seg[X86_SS];
}

static int make_machine(struct err *e)
{
	const char *off = getenv("LODGE_TEST_DISABLE"); /* bits of enum soft_disable */

	if (cpu_model_get("host", 1, &model, e) < 0 || loop_create(&loop, e) < 0 ||
	    hv_clock_create(loop, &clk, e) < 0 || hv_mem_create(&vm.mem, e) < 0 ||
	    hv_pio_create(&vm.pio, e) < 0 ||
	    hv_ram_create(vm.mem, "ram", HV_RAM_ANON, RAM_BYTES, -1, 0, &ram_block, e) < 0)
		return -1;
	ram_range = (struct hv_map_range){
		.name = "ram", .kind = HV_MAP_RAM, .bytes = RAM_BYTES, .ram = ram_block
	};
	hv_mem_map(vm.mem, &ram_range);
	ram = hv_ram_host(ram_block);
	vm.engine = &hv_engine_soft;
	vm.clock = clk;
	vm.model = &model;
	vm.opt.translate = getenv("LODGE_TEST_TRANSLATE") != NULL; /* each block at once */
	vm.opt.disable = off != NULL ? (uint32_t)strtoul(off, NULL, 0) : 0;
	vm.n_vcpus = 1;
	vm.vcpu[0] = &vcpu;
	vcpu.vm = &vm;
	if (vm.engine->vm_create(&vm, &vm.engine_priv, e) < 0 ||
	    vm.engine->vcpu_create(&vcpu, &vcpu.engine_priv, e) < 0)
		return -1;
	return vm.engine->vcpu_thread_start(&vcpu, e);
}

int guest_start(void)
{
	struct err e = { 0 };

	if (make_machine(&e) < 0) {
		fprintf(stderr, "oracle: %s\n", e.msg);
		return -1;
	}
	make_paging();
	make_tables();
	make_state();
	memset(ram + GPA_CODE, 0xcc, CODE_PAGES * 4096);
	if (vm.engine->state_set(&vcpu, &base_state, &e) < 0) {
		fprintf(stderr, "oracle: %s\n", e.msg);
		return -1;
	}
	return 0;
}

void guest_stop(void)
{
	if (vcpu.engine_priv != NULL)
		vm.engine->vcpu_destroy(&vcpu);
	if (vm.engine_priv != NULL)
		vm.engine->vm_destroy(&vm);
	hv_pio_destroy(vm.pio);
	hv_mem_destroy(vm.mem);
	hv_clock_destroy(clk);
	loop_destroy(loop);
}

const struct cpu_model *guest_model(void)
{
	return &model;
}

uint8_t *guest_data(void)
{
	return ram + GPA_DATA;
}

void guest_read_only(const uint8_t page[4096])
{
	memcpy(ram + GPA_DATA + DATA_BYTES, page, 4096);
}

static void put_code(const struct test_case *t)
{
	unsigned len = t->block != NULL ? t->block_len : t->len;

	memset(ram + GPA_CODE + last_off, 0xcc, last_len);
	hv_mem_written(vm.mem, GPA_CODE + last_off, last_len);
	memcpy(ram + GPA_CODE + t->code_off, t->block != NULL ? t->block : t->bytes, len);
	hv_mem_written(vm.mem, GPA_CODE + t->code_off, len);
	/* A block may have written anywhere in them. */
	last_off = t->block != NULL ? 0 : t->code_off;
	last_len = t->block != NULL ? CODE_PAGES * 4096 : len;
}

uint8_t *guest_counters(void)
{
	return ram + GPA_COUNTERS;
}

void guest_translate_after(uint32_t runs)
{
	struct soft_vcpu *v = vcpu.engine_priv;

	if (v->tr != NULL)
		v->tr->threshold = runs;
}

static bool has_error_code(unsigned vector)
{
	return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

static bool read_outcome(const struct x86_state *s, struct outcome *out)
{
	const uint64_t *frame;

	uint64_t off = s->rip - KERNEL - GPA_HANDLERS;

	if (off > 0x1000)
		return false;
	out->vector = (unsigned)off / 16;
	frame = (const uint64_t *)(const void *)(ram + (s->gpr[X86_RSP] - KERNEL) % RAM_BYTES);
	if (has_error_code(out->vector))
		out->error = (uint32_t)*frame++;
	memcpy(out->cpu.gpr, s->gpr, sizeof(out->cpu.gpr));
	out->cpu.rip = frame[0];
	out->cpu.rflags = frame[2];
	out->cpu.gpr[X86_RSP] = frame[3];
	out->cr2 = s->cr2;
	memcpy(&out->cpu.fpu, s->xsave, sizeof(out->cpu.fpu));
	return true;
}

static struct x86_state entry_state(const struct test_case *t)
{
	struct x86_state s = base_state;

	set_mode(&s, t->mode, t->based);
	memcpy(s.gpr, t->in.gpr, sizeof(s.gpr));
	s.rip = t->in.rip;
	s.rflags = t->in.rflags | (t->step ? X86_FL_TF : 0);
	memcpy(s.xsave, &t->in.fpu, sizeof(s.xsave));
	return s;
}

/* Translations and vector registers are where they are found quickest. */
static void warm(void)
{
	struct soft_vcpu *v = vcpu.engine_priv;

	for (unsigned k = 0; k <= DATA_PAGES; k++) {
		soft_probe(v, DATA_BASE + k * 4096u, 1, false);
		if (k < DATA_PAGES)
			soft_probe(v, DATA_BASE + k * 4096u, 1, true);
	}
	soft_fpu_load(v);
}

bool guest_run(const struct test_case *t, struct outcome *out)
{
	struct x86_state s = entry_state(t);
	struct hv_exit exit = { 0 };
	struct err e;

	memset(out, 0, sizeof(*out));
	if (!t->again)
		put_code(t);
	if (vm.engine->state_set(&vcpu, &s, &e) < 0) {
		fprintf(stderr, "oracle: %s\n", e.msg);
		return false;
	}
	if (t->code_off & 1)
		warm();
	vm.engine->vcpu_run(&vcpu, &exit);
	vm.engine->state_get(&vcpu, &s);
	return exit.reason == HV_EXIT_HLT && read_outcome(&s, out);
}

bool guest_allows(const uint8_t *bytes, unsigned len, enum mode m)
{
	struct decoded d = { .v = vcpu.engine_priv };

	memcpy(d.bytes, bytes, len);
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder_of(m), bytes, len, &d.z, d.op)) &&
	       soft_isa_check(d.v, &d) == -1;
}
