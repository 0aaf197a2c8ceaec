/* hv-core/engine/kvm: VMs and exits, on a kernel made up for it. */
#include "ctest.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/loop.h"
#include "cpu/x86_defs.h"
#include "engine/kvm/kvm.h"
#include "fake_kvm.h"

struct fixture {
	struct loop *loop;
	struct hv_mem *mem;
	struct hv_pio *pio;
	struct hv_clock *clock;
	struct hv_ram *ram;
	struct hv_map_range low;
	struct hv_pio_range port;
	struct hv_map_range device;
	struct cpu_model model;
	struct hv_vm vm;
	struct hv_exit exit;
	struct err e;
	unsigned reads, writes, acks, eois;
	uint64_t written[8];
	/* the script */
	const struct step *steps;
	unsigned n_steps;
};

/* ---- what exits reach ---- */

static uint64_t io_read(void *ctx, uint64_t off, unsigned size)
{
	struct fixture *f = ctx;

	f->reads++;
	return 0xa0 + off + size * 0x100ull;
}

static void io_write(void *ctx, uint64_t off, unsigned size, uint64_t v)
{
	struct fixture *f = ctx;
	(void)off;
	(void)size;

	f->written[f->writes++ % 8] = v;
}

static const struct hv_io_ops io_ops = { io_read, io_write };

static int intr_ack(void *ctx)
{
	struct fixture *f = ctx;

	f->acks++;
	return 0x30;
}

static void eoi(void *ctx, uint8_t vector)
{
	struct fixture *f = ctx;

	f->eois += vector;
}

static const struct hv_lapic_ops lapic_ops = { .intr_ack = intr_ack, .eoi = eoi };

/* ---- fixture ---- */

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fake_kvm_begin();
	if (f == NULL || loop_create(&f->loop, &f->e) < 0 || hv_mem_create(&f->mem, &f->e) < 0 ||
	    hv_pio_create(&f->pio, &f->e) < 0 || hv_clock_create(f->loop, &f->clock, &f->e) < 0 ||
	    hv_ram_create(f->mem, "ram", HV_RAM_ANON, HV_MIB(1), -1, 0, &f->ram, &f->e) < 0 ||
	    cpu_model_get("x86-64-v2", 1, &f->model, &f->e) < 0)
		return -1;
	f->low = (struct hv_map_range){
		.name = "ram", .kind = HV_MAP_RAM, .bytes = HV_MIB(1), .ram = f->ram
	};
	hv_mem_map(f->mem, &f->low);
	f->device = (struct hv_map_range){ .name = "device",
					   .kind = HV_MAP_IO,
					   .prio = HV_PRIO_DEVICE,
					   .gpa = HV_MIB(2),
					   .bytes = 4096,
					   .io = &io_ops,
					   .io_ctx = f };
	hv_mem_map(f->mem, &f->device);
	f->port = (struct hv_pio_range){ "port", 0x60, 4, &io_ops, f };
	hv_pio_map(f->pio, &f->port);
	fake_kvm.tsc_khz = (int)(f->model.tsc_hz / 1000);
	f->vm = (struct hv_vm){ .engine = &hv_engine_kvm,
				.mem = f->mem,
				.pio = f->pio,
				.clock = f->clock,
				.model = &f->model };
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	hv_vm_finish(&f->vm);
	hv_clock_destroy(f->clock);
	hv_pio_destroy(f->pio);
	hv_mem_destroy(f->mem);
	loop_destroy(f->loop);
	free(f);
	fake_kvm_end();
	assert_int_equal(fake_kvm.live, 0);
	assert_int_equal(fake_kvm.wrong, 0);
	return 0;
}

static struct hv_vcpu *start(struct fixture *f)
{
	assert_ok(hv_vm_init(&f->vm, 1, &f->e), &f->e);
	f->vm.vcpu[0]->lapic = &lapic_ops;
	f->vm.vcpu[0]->lapic_ctx = f;
	return f->vm.vcpu[0];
}

/* ---- scripted exits; past the last, the vCPU is asked to stop ---- */

struct step {
	int result;
	void (*fill)(struct kvm_run *run);
};

static int next_step(void *ctx, struct kvm_run *run, unsigned n)
{
	struct fixture *f = ctx;

	if (n >= f->n_steps || run->immediate_exit) {
		hv_vcpu_request(f->vm.vcpu[0], HV_REQ_STOP);
		return -EINTR;
	}
	if (f->steps[n].fill != NULL)
		f->steps[n].fill(run);
	return f->steps[n].result;
}

static enum hv_exit_reason run(struct fixture *f, const struct step *steps, unsigned n)
{
	struct hv_vcpu *v = f->vm.n_vcpus > 0 ? f->vm.vcpu[0] : start(f);

	f->steps = steps;
	f->n_steps = n;
	fake_kvm.runs = 0;
	fake_kvm.on_run = next_step;
	fake_kvm.ctx = f;
	atomic_store(&v->requests, 0);
	v->vm->engine->vcpu_run(v, &f->exit);
	return f->exit.reason;
}

#define RUN(f, ...)                                                                                \
	run(f, (const struct step[]){ __VA_ARGS__ },                                               \
	    sizeof((const struct step[]){ __VA_ARGS__ }) / sizeof(struct step))

static void out_word(struct kvm_run *run)
{
	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = KVM_EXIT_IO_OUT;
	run->io.size = 2;
	run->io.port = 0x60;
	run->io.count = 3;
	run->io.data_offset = 4096;
	memcpy((uint8_t *)run + 4096, (const uint16_t[]){ 0x1111, 0x2222, 0x3333 }, 6);
}

static void in_byte(struct kvm_run *run)
{
	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = KVM_EXIT_IO_IN;
	run->io.size = 1;
	run->io.port = 0x62;
	run->io.count = 1;
	run->io.data_offset = 4096;
}

static void bad_io(struct kvm_run *run)
{
	out_word(run);
	run->io.count = 5000;
}

static void mmio_write(struct kvm_run *run)
{
	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = HV_MIB(2) + 8;
	run->mmio.len = 4;
	run->mmio.is_write = 1;
	memcpy(run->mmio.data, (const uint32_t[]){ 0xdeadbeef }, 4);
}

static void mmio_read(struct kvm_run *run)
{
	mmio_write(run);
	run->mmio.is_write = 0;
}

static void bad_mmio(struct kvm_run *run)
{
	mmio_write(run);
	run->mmio.len = 9;
}

static void test_accesses(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(RUN(f, { 0, out_word }, { 0, mmio_write }, { 0, in_byte },
			     { 0, mmio_read }),
			 HV_EXIT_KICKED);
	assert_int_equal(f->writes, 4);
	assert_int_equal(f->written[0], 0x1111);
	assert_int_equal(f->written[2], 0x3333);
	assert_int_equal(f->written[3], 0xdeadbeef);
	assert_int_equal(f->reads, 2);
	assert_int_equal(RUN(f, { 0, bad_io }), HV_EXIT_FAIL);
	assert_int_equal(RUN(f, { 0, bad_mmio }), HV_EXIT_FAIL);
	assert_int_equal(f->writes, 4);
}

/* Exactly one KVM_RUN an exit, and no other request. */
static void test_cost(void **state)
{
	struct fixture *f = *state;
	struct step steps[1000];

	for (unsigned i = 0; i < 1000; i++)
		steps[i] = (struct step){ 0, i % 2 == 0 ? out_word : mmio_write };
	start(f);
	fake_kvm.requests = 0;
	run(f, steps, 1000);
	assert_int_equal(fake_kvm.requests, 0);
	assert_int_equal(fake_kvm.runs, 1001); /* and the one that stopped it */
}

/* ---- ends ---- */

#define FILL(name, reason, ...)                                                                    \
	static void name(struct kvm_run *run)                                                      \
	{                                                                                          \
		run->exit_reason = reason;                                                         \
		__VA_ARGS__;                                                                       \
	}
FILL(exit_unknown, KVM_EXIT_UNKNOWN, run->hw.hardware_exit_reason = 0x77)
FILL(exit_entry, KVM_EXIT_FAIL_ENTRY, run->fail_entry.hardware_entry_failure_reason = 0x88)
FILL(exit_error1, KVM_EXIT_INTERNAL_ERROR, run->internal.suberror = 1)
FILL(exit_error2, KVM_EXIT_INTERNAL_ERROR, run->internal.suberror = 2)
FILL(exit_error3, KVM_EXIT_INTERNAL_ERROR, run->internal.suberror = 3)
FILL(exit_error4, KVM_EXIT_INTERNAL_ERROR, run->internal.suberror = 4)
FILL(exit_error99, KVM_EXIT_INTERNAL_ERROR, run->internal.suberror = 99)
FILL(exit_shutdown, KVM_EXIT_SHUTDOWN, (void)0)
FILL(exit_hlt, KVM_EXIT_HLT, (void)0)
FILL(exit_intr, KVM_EXIT_INTR, (void)0)
FILL(exit_window, KVM_EXIT_IRQ_WINDOW_OPEN, (void)0)
FILL(exit_eoi, KVM_EXIT_IOAPIC_EOI, run->eoi.vector = 0x41)
FILL(exit_debug, KVM_EXIT_DEBUG, run->debug.arch.pc = 0x1234; run->debug.arch.dr6 = 0x4000)

static void test_failures(void **state)
{
	static const struct {
		struct step step;
		const char *words;
	} fails[] = {
		{ { 0, exit_unknown }, "unknown to KVM: 0x77" },
		{ { 0, exit_entry }, "refuses to enter the guest: reason 0x88" },
		{ { 0, exit_error1 }, "cannot emulate an instruction (error 1" },
		{ { 0, exit_error2 }, "two events" },
		{ { 0, exit_error3 }, "could not be delivered" },
		{ { 0, exit_error4 }, "unknown reason" },
		{ { 0, exit_error99 }, "an internal error (error 99" },
		{ { -EFAULT, NULL }, "memory that the guest touched" },
		{ { -ENOMEM, NULL }, "Cannot allocate memory" },
		{ { -EINVAL, NULL }, "Invalid argument" },
		{ { -EIO, NULL }, "Input/output error" },
		{ { -ENOEXEC, NULL }, "Exec format error" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < HV_ARRAY_LEN(fails); i++) {
		assert_int_equal(run(f, &fails[i].step, 1), HV_EXIT_FAIL);
		if (strstr(f->exit.fail.msg, fails[i].words) == NULL)
			fail_msg("'%s' instead of '%s'", f->exit.fail.msg, fails[i].words);
	}
}

/* Every number that the kernel's header has, and some more: handled, or an end with a message. */
static unsigned reason_now;

static void exit_reason_now(struct kvm_run *run)
{
	memset(run, 0, 4096);
	run->exit_reason = reason_now;
	run->io.size = run->mmio.len = 1;
}

static void test_every_reason(void **state)
{
	struct fixture *f = *state;

	for (reason_now = 0; reason_now < 64; reason_now++) {
		if (reason_now == KVM_EXIT_IO || reason_now == KVM_EXIT_MMIO)
			continue;
		const enum hv_exit_reason r = RUN(f, { 0, exit_reason_now });
		if (r == HV_EXIT_FAIL)
			assert_true(strlen(f->exit.fail.msg) > 20);
		assert_true(fake_kvm.runs <= 3);
		if (r == HV_EXIT_SHUTDOWN) { /* it stays so */
			struct x86_state s;
			x86_state_reset(&s, true);
			assert_ok(hv_vcpu_state_set(f->vm.vcpu[0], &s, &f->e), &f->e);
		}
	}
}

static void test_other_ends(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(RUN(f, { 0, exit_hlt }), HV_EXIT_HLT);
	assert_int_equal(RUN(f, { 0, exit_intr }, { 0, exit_window }, { 0, exit_eoi },
			     { -EINTR, NULL }, { -EAGAIN, NULL }, { 0, out_word }),
			 HV_EXIT_KICKED);
	assert_int_equal(f->eois, 0x41);
	assert_int_equal(f->writes, 3);
	assert_int_equal(RUN(f, { 0, exit_debug }), HV_EXIT_DEBUG);
	assert_int_equal(f->exit.debug.rip, 0x1234);
	assert_true(f->exit.debug.is_step);
	assert_int_equal(RUN(f, { 0, exit_shutdown }), HV_EXIT_SHUTDOWN);
	assert_int_equal(RUN(f, { 0, out_word }), HV_EXIT_SHUTDOWN);
	assert_int_equal(f->writes, 3);
}

/* ---- what is asked of it ---- */

static void ask_nmi(struct kvm_run *run)
{
	run->exit_reason = KVM_EXIT_INTR;
}

static struct hv_vcpu *asked;

static void ask_pic(struct kvm_run *run)
{
	run->exit_reason = KVM_EXIT_INTR;
	run->ready_for_interrupt_injection = 1;
	atomic_fetch_or(&asked->requests, HV_REQ_INTR | HV_REQ_NMI);
}

static void no_more_pic(struct kvm_run *run)
{
	run->exit_reason = KVM_EXIT_INTR;
	run->ready_for_interrupt_injection = 0;
	atomic_fetch_and(&asked->requests, ~(uint32_t)HV_REQ_INTR);
}

static void test_requests(void **state)
{
	struct fixture *f = *state;

	asked = start(f);
	assert_int_equal(RUN(f, { 0, ask_nmi }), HV_EXIT_KICKED);
	assert_true(fake_kvm.nmis == 0 && fake_kvm.injected == 0);
	assert_int_equal(RUN(f, { 0, ask_pic }, { 0, no_more_pic }), HV_EXIT_KICKED);
	assert_int_equal(fake_kvm.nmis, 1);
	assert_int_equal(fake_kvm.injected, 1);
	assert_int_equal(fake_kvm.last_vector, 0x30);
	assert_int_equal(f->acks, 1);
}

static void ask_pic_only(struct kvm_run *run)
{
	ask_pic(run);
	atomic_fetch_and(&asked->requests, ~(uint32_t)HV_REQ_NMI);
}

static void signal_before(struct kvm_run *run)
{
	(void)run; /* the kernel says nothing of an exit */
	atomic_fetch_and(&asked->requests, ~(uint32_t)HV_REQ_INTR);
	hv_vcpu_request(asked, HV_REQ_STOP);
}

static void signal_after(struct kvm_run *run)
{
	signal_before(run);
	run->exit_reason = KVM_EXIT_INTR;
}

/* A stop between the PIC's acknowledgement and the guest: the state has the vector, once. */
static void test_stop_before_vector(void **state)
{
	struct fixture *f = *state;
	struct x86_state s;

	asked = start(f);
	assert_int_equal(RUN(f, { 0, ask_pic_only }, { -EINTR, signal_before }), HV_EXIT_KICKED);
	assert_int_equal(fake_kvm.injected, 1);
	hv_vcpu_state_get(asked, &s);
	assert_true(s.exc_pending && s.exc_kind == 2 && s.exc_vector == 0x30);
	assert_ok(hv_vcpu_state_set(asked, &s, &f->e), &f->e);
	assert_int_equal(fake_kvm.events.interrupt.injected, 0);
	s.exc_vector = 0x31;
	assert_ok(hv_vcpu_state_set(asked, &s, &f->e), &f->e);
	assert_int_equal(fake_kvm.events.interrupt.injected, 1);
	assert_int_equal(RUN(f, { -EINTR, signal_after }), HV_EXIT_KICKED);
	hv_vcpu_state_get(asked, &s);
	assert_false(s.exc_pending);
}

/* A program that an AMD processor's SYSRET went back to: CPL 3, its stack segment's DPL is 0. */
static void test_cpl(void **state)
{
	struct fixture *f = *state;
	struct hv_vcpu *v = start(f);
	struct x86_state s;

	x86_state_reset(&s, true);
	s.cr0 |= X86_CR0_PE;
	s.cpl = 3;
	s.seg[X86_CS].sel = 0x33;
	s.seg[X86_SS].sel = 0x2b;
	assert_ok(hv_vcpu_state_set(v, &s, &f->e), &f->e);
	assert_int_equal(fake_kvm.sregs.ss.dpl, 3);
	s.cpl = 0;
	assert_ok(hv_vcpu_state_set(v, &s, &f->e), &f->e);
	assert_int_equal(fake_kvm.sregs.ss.dpl, 0);
}

/* ---- creation ---- */

static void test_creation_failures(void **state)
{
	static const unsigned long requests[] = {
		KVM_GET_VCPU_MMAP_SIZE, KVM_CREATE_VM,
		KVM_SET_TSS_ADDR,	KVM_SET_IDENTITY_MAP_ADDR,
		KVM_ENABLE_CAP,		KVM_CREATE_VCPU,
		KVM_SET_CPUID2,		KVM_SET_SREGS,
		KVM_SET_REGS,		KVM_SET_DEBUGREGS,
		KVM_SET_XSAVE,		KVM_SET_MP_STATE,
		KVM_SET_VCPU_EVENTS,
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < HV_ARRAY_LEN(requests); i++) {
		fake_kvm.fail_request = requests[i];
		fake_kvm.fail_error = -ENOSPC;
		fake_kvm.fail_at = 1;
		fake_kvm.failures = 0;
		f->e.msg[0] = '\0';
		if (hv_vm_init(&f->vm, 1, &f->e) != -ENOSPC)
			fail_msg("request %zu does not fail the VM", i);
		assert_true(strlen(f->e.msg) > 15 && f->vm.n_vcpus == 0);
		assert_int_equal(fake_kvm.live, 1); /* the device stays open */
	}
	fake_kvm.map_error = -ENOMEM;
	assert_int_equal(hv_vm_init(&f->vm, 1, &f->e), -ENOMEM);
	assert_int_equal(fake_kvm.live, 1);
}

/* The processor's virtualization went to another hypervisor after KVM was tried: this host has no
 * KVM now, which is a reason to take another engine (engine_instead). */
static void test_in_use(void **state)
{
	struct fixture *f = *state;

	fake_kvm.fail_request = KVM_CREATE_VM;
	fake_kvm.fail_error = -EBUSY;
	fake_kvm.fail_at = 1;
	assert_int_equal(hv_vm_init(&f->vm, 1, &f->e), -ENOTSUP);
	assert_int_equal(f->e.code, -ENOTSUP);
	assert_non_null(strstr(f->e.msg, "another hypervisor"));
	fake_kvm.fail_error = -EINTR; /* once, then it works */
	fake_kvm.failures = 0;
	start(f);
}

static void test_tsc(void **state)
{
	struct fixture *f = *state;

	fake_kvm.tsc_khz = 0;
	assert_int_equal(hv_vm_init(&f->vm, 1, &f->e), -ENOTSUP);
	fake_kvm.tsc_khz = (int)(f->model.tsc_hz / 2000);
	fake_kvm.fail_request = KVM_SET_TSC_KHZ;
	fake_kvm.fail_error = -EINVAL;
	fake_kvm.fail_at = 1;
	assert_int_equal(hv_vm_init(&f->vm, 1, &f->e), -ENOTSUP);
	assert_non_null(strstr(f->e.msg, "kHz"));
	fake_kvm.fail_at = 0; /* a processor that can convert */
	start(f);
}

#define SSE42_BIT (1u << 20)
#define PCID_BIT (1u << 17)

/* What the name promises must be there; the rest goes, unless a saved machine has it. */
static void test_missing_feature(void **state)
{
	struct fixture *f = *state;
	struct cpu_model m = f->model;
	uint32_t r[4];

	assert_ok(hv_engine_kvm.fit_model(&m, true, &f->e), &f->e);
	assert_memory_equal(m.features, f->model.features, sizeof(m.features));
	fake_kvm.hidden_leaf = 1;
	fake_kvm.hidden[2] = PCID_BIT;
	assert_int_equal(hv_engine_kvm.fit_model(&m, true, &f->e), -ENOTSUP);
	assert_non_null(strstr(f->e.msg, "PCID"));
	assert_ok(hv_engine_kvm.fit_model(&m, false, &f->e), &f->e);
	cpu_model_cpuid(&m, 0, 0, 1, 0, true, 1, 0, r);
	assert_true(!cpu_model_has(&m, CPU_F_PCID) && !(r[2] & PCID_BIT) && (r[2] & SSE42_BIT));
	fake_kvm.hidden[2] = SSE42_BIT;
	assert_int_equal(hv_engine_kvm.fit_model(&m, false, &f->e), -ENOTSUP);
	assert_non_null(strstr(f->e.msg, "SSE42"));
}

/* A kernel that does not say so has a processor that is not safe: nor is the guest told that. */
static void test_speculation(void **state)
{
	struct fixture *f = *state;
	struct cpu_model m = f->model;
	uint32_t r[4];

	assert_true(m.arch_capabilities != 0);
	fake_kvm.hidden_leaf = 7;
	fake_kvm.hidden[3] = UINT32_MAX;
	assert_ok(hv_engine_kvm.fit_model(&m, false, &f->e), &f->e);
	cpu_model_cpuid(&m, 0, 0, 1, 0, true, 7, 0, r);
	assert_int_equal(r[3], 0);
	assert_int_equal(m.arch_capabilities, 0); /* the fake kernel's MSRs are zeros */
}

/* ---- memory ---- */

static const struct kvm_userspace_memory_region *slot_at(uint64_t gpa)
{
	for (unsigned i = 0; i < 32; i++)
		if (fake_kvm.slot[i].memory_size != 0 && fake_kvm.slot[i].guest_phys_addr == gpa)
			return &fake_kvm.slot[i];
	return NULL;
}

static void test_slots(void **state)
{
	struct fixture *f = *state;
	struct hv_map_range rom = { .name = "rom",
				    .kind = HV_MAP_ROM,
				    .prio = HV_PRIO_CHIPSET,
				    .gpa = 0x40000,
				    .bytes = 0x10000,
				    .ram = f->ram,
				    .ram_off = 0x80000 };
	struct hv_map_range small = { .name = "small",
				      .kind = HV_MAP_IO,
				      .prio = HV_PRIO_CHIPSET,
				      .gpa = 0x80010,
				      .bytes = 16,
				      .io = &io_ops,
				      .io_ctx = f };

	start(f);
	assert_int_equal(slot_at(0)->memory_size, HV_MIB(1));
	hv_mem_map(f->mem, &rom);
	assert_int_equal(slot_at(0)->memory_size, 0x40000);
	assert_int_equal(slot_at(0x40000)->flags, KVM_MEM_READONLY);
	assert_int_equal(slot_at(0x40000)->userspace_addr,
			 (uintptr_t)hv_ram_host(f->ram) + 0x80000);
	assert_int_equal(slot_at(0x50000)->memory_size, HV_MIB(1) - 0x50000);
	/* A register within a page: that page is the bus's. */
	hv_mem_map(f->mem, &small);
	assert_int_equal(slot_at(0x50000)->memory_size, 0x30000);
	assert_int_equal(slot_at(0x81000)->memory_size, HV_MIB(1) - 0x81000);
	hv_mem_unmap(f->mem, &small);
	hv_mem_unmap(f->mem, &rom);
	assert_int_equal(slot_at(0)->memory_size, HV_MIB(1));
}

static void test_dirty_log(void **state)
{
	struct fixture *f = *state;
	uint64_t bits;

	start(f);
	fake_kvm.dirty = 5;
	assert_int_equal(hv_ram_dirty_take(f->ram, 0, 1, &bits), 0);
	assert_ok(hv_ram_dirty_start(f->ram, &f->e), &f->e);
	assert_int_equal(slot_at(0)->flags, KVM_MEM_LOG_DIRTY_PAGES);
	assert_int_equal(hv_ram_dirty_take(f->ram, 0, 1, &bits), 2);
	assert_int_equal(bits, 5);
	assert_int_equal(hv_ram_dirty_take(f->ram, 0, 1, &bits), 0);
	/* What was logged before a slot goes is not lost. */
	fake_kvm.dirty = 0x10;
	hv_mem_unmap(f->mem, &f->low);
	assert_int_equal(hv_ram_dirty_take(f->ram, 0, 1, &bits), 1);
	assert_int_equal(bits, 0x10);
	hv_mem_map(f->mem, &f->low);
	assert_int_equal(slot_at(0)->flags, KVM_MEM_LOG_DIRTY_PAGES);
	hv_ram_dirty_stop(f->ram);
	assert_int_equal(slot_at(0)->flags, 0);
}

#define ENGINE_TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ENGINE_TEST(test_accesses),
		ENGINE_TEST(test_cost),
		ENGINE_TEST(test_failures),
		ENGINE_TEST(test_every_reason),
		ENGINE_TEST(test_other_ends),
		ENGINE_TEST(test_requests),
		ENGINE_TEST(test_stop_before_vector),
		ENGINE_TEST(test_cpl),
		ENGINE_TEST(test_creation_failures),
		ENGINE_TEST(test_in_use),
		ENGINE_TEST(test_tsc),
		ENGINE_TEST(test_missing_feature),
		ENGINE_TEST(test_speculation),
		ENGINE_TEST(test_slots),
		ENGINE_TEST(test_dirty_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
