#include "harness.h"
#include <stdio.h>
#include <stdlib.h>

static void on_event(void *ctx, struct hv_vcpu *v, enum hv_vm_event ev, const struct hv_exit *x)
{
	(void)ctx;
	(void)v;
	(void)ev;
	(void)x;
}

static int create(struct box *b, unsigned n, const char *model, const struct hv_engine_options *opt,
		  struct err *e)
{
	int r = cpu_model_get(model != NULL ? model : "host", n, &b->model, e);

	if (r == 0)
		r = loop_create(&b->loop, e);
	if (r == 0)
		r = hv_mem_create(&b->vm.mem, e);
	if (r == 0)
		r = hv_pio_create(&b->vm.pio, e);
	if (r == 0)
		r = hv_clock_create(b->loop, &b->vm.clock, e);
	if (r == 0)
		r = hv_ram_create(b->vm.mem, "ram", HV_RAM_ANON, b->bytes, -1, 0, &b->ram, e);
	if (r != 0)
		return r;
	b->host = hv_ram_host(b->ram);
	b->range = (struct hv_map_range){
		.name = "ram", .kind = HV_MAP_RAM, .bytes = b->bytes, .ram = b->ram
	};
	hv_mem_map(b->vm.mem, &b->range);
	b->vm.engine = &hv_engine_soft;
	b->vm.model = &b->model;
	b->vm.on_event = on_event;
	b->vm.opt = *opt;
	r = hv_vm_init(&b->vm, n, e);
	/* The instructions run here, not in the vCPUs' threads. */
	for (unsigned i = 0; r == 0 && i < n; i++)
		r = soft_fpu_thread_start(soft_of(b->vm.vcpu[i]), e);
	return r;
}

struct box *box_create(uint64_t ram_bytes, unsigned n_vcpus, const char *model, struct err *e)
{
	const struct hv_engine_options opt = {
		.count = true,
		.translate = getenv("LODGE_TEST_TRANSLATE") != NULL, /* each block at once */
	};

	return box_create_with(ram_bytes, n_vcpus, model, &opt, e);
}

struct box *box_create_with(uint64_t ram_bytes, unsigned n_vcpus, const char *model,
			    const struct hv_engine_options *opt, struct err *e)
{
	struct box *b = calloc(1, sizeof(*b));

	if (b == NULL) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	b->bytes = ram_bytes;
	if (create(b, n_vcpus, model, opt, e) != 0) {
		box_destroy(b);
		return NULL;
	}
	return b;
}

void box_destroy(struct box *b)
{
	if (b == NULL)
		return;
	hv_vm_finish(&b->vm);
	if (b->vm.clock != NULL)
		hv_clock_destroy(b->vm.clock);
	if (b->vm.pio != NULL)
		hv_pio_destroy(b->vm.pio);
	hv_mem_destroy(b->vm.mem);
	if (b->loop != NULL)
		loop_destroy(b->loop);
	free(b);
}

void box_load(struct box *b, uint64_t gpa, const void *bytes, size_t len)
{
	if (hv_mem_write(b->vm.mem, gpa, bytes, len) != 0) {
		fprintf(stderr, "box_load: %#llx is not RAM\n", (unsigned long long)gpa);
		abort();
	}
}

static void make_tables(struct box *b)
{
	uint64_t pml4 = BOX_TABLES + 0x1000 + 7, pdpt[512];

	for (unsigned i = 0; i < 512; i++)
		pdpt[i] = (uint64_t)i << 30 | 0xe7;
	box_load(b, BOX_TABLES, &pml4, sizeof(pml4));
	box_load(b, BOX_TABLES + 0x1000, pdpt, sizeof(pdpt));
}

static struct x86_seg_state seg(uint16_t sel, uint16_t attr, unsigned dpl)
{
	return (struct x86_seg_state){ .sel = (uint16_t)(sel | dpl),
				       .limit = 0xffffffff,
				       .attr = (uint16_t)(attr | dpl << X86_SEG_DPL_SHIFT) };
}

#define CODE_ATTR (X86_SEG_P | X86_SEG_S | X86_SEG_CODE | X86_SEG_RW | X86_SEG_ACCESSED | X86_SEG_G)
#define DATA_ATTR (X86_SEG_P | X86_SEG_S | X86_SEG_RW | X86_SEG_ACCESSED | X86_SEG_G | X86_SEG_DB)

static void set_segments(struct x86_state *s, uint16_t code_size, unsigned cpl, uint16_t data_size)
{
	s->seg[X86_CS] = seg(0x08, (uint16_t)(CODE_ATTR | code_size), cpl);
	for (unsigned i = 0; i <= X86_GS; i++)
		if (i != X86_CS)
			s->seg[i] = seg(0x10, (uint16_t)((DATA_ATTR & ~X86_SEG_DB) | data_size),
					cpl);
	s->cpl = (uint8_t)cpl;
}

static void set_real(struct x86_state *s)
{
	const uint16_t sel[6] = { 0x2000, BOX_CODE >> 4, 0x7000, 0x2000, 0x3000, 0x4000 };

	for (unsigned i = 0; i <= X86_GS; i++) {
		s->seg[i] = (struct x86_seg_state){ .base = (uint64_t)sel[i] << 4,
						    .limit = 0xffff,
						    .sel = sel[i],
						    .attr = X86_SEG_P | X86_SEG_S | X86_SEG_RW |
							    X86_SEG_ACCESSED |
							    (i == X86_CS ? X86_SEG_CODE : 0) };
	}
	s->rip = 0;
	s->gpr[X86_RSP] = 0xfff0;
}

void box_state(struct box *b, enum box_mode mode, struct x86_state *s)
{
	bool user = mode == BOX_USER64 || mode == BOX_USER32;
	bool is64 = mode == BOX_LONG64 || mode == BOX_USER64;

	x86_state_reset(s, true);
	for (unsigned i = 0; i < 16; i++)
		s->gpr[i] = 0;
	s->rip = BOX_CODE;
	s->gpr[X86_RSP] = BOX_STACK;
	s->rflags = X86_FL_FIXED;
	s->cr4 = X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;
	if (cpu_model_has(&b->model, CPU_F_XSAVE)) {
		s->cr4 |= X86_CR4_OSXSAVE;
		s->xcr0 = 3 | (b->model.xcr0_mask & 4);
	}
	s->cr0 = X86_CR0_ET | X86_CR0_NE | X86_CR0_MP;
	if (mode == BOX_REAL16) {
		set_real(s);
		return;
	}
	s->cr0 |= X86_CR0_PE;
	uint16_t code_size = mode == BOX_PROT16 ? 0 : X86_SEG_DB;

	set_segments(s, is64 ? X86_SEG_L : code_size, user ? 3 : 0,
		     mode == BOX_PROT16 ? 0 : X86_SEG_DB);
	if (mode == BOX_PROT16 || mode == BOX_PROT32)
		return;
	make_tables(b);
	s->cr0 |= X86_CR0_PG | X86_CR0_WP;
	s->cr3 = BOX_TABLES;
	s->cr4 |= X86_CR4_PAE | X86_CR4_PGE;
	s->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE | X86_EFER_SCE;
}

struct box_result box_continue(struct box *b, unsigned vcpu, uint64_t n)
{
	struct soft_vcpu *v = soft_of(b->vm.vcpu[vcpu]);
	struct box_result r = { .done = soft_run_insns(b->vm.vcpu[vcpu], n) };

	if (v->event_valid) {
		r.raised = true;
		r.vector = v->event.vector;
		r.has_error = v->event.has_error;
		r.error = v->event.error;
		r.cr2 = v->event.cr2;
	}
	r.exited = v->want_exit;
	r.reason = v->exit.reason;
	return r;
}

struct box_result box_run(struct box *b, struct x86_state *s, uint64_t n)
{
	struct err e;

	if (hv_vcpu_state_set(b->vm.vcpu[0], s, &e) != 0) {
		fprintf(stderr, "box_run: %s\n", e.msg);
		abort();
	}
	struct box_result r = box_continue(b, 0, n);

	hv_vcpu_state_get(b->vm.vcpu[0], s);
	s->exc_pending = 0;
	return r;
}
