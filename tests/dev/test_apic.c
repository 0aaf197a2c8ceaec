/* Local APICs and I/O APIC together: arbitration, IPIs, modes, timer, EOI and level interrupts. */
#include "cpu/x86_defs.h"
#include "devmodel/chipset/i8259.h"
#include "devmodel/chipset/ioapic.h"
#include "devmodel/chipset/lapic.h"
#include "devtest.h"

MACHINE_SETUP

enum { ID = 0x20, TPR = 0x80, PPR = 0xa0, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0, SVR = 0xf0 };
enum { ISR = 0x100, TMR = 0x180, IRR = 0x200, ESR = 0x280, ICR = 0x300, ICR2 = 0x310 };
enum { LVT_TIMER = 0x320, LINT0 = 0x350, LINT1 = 0x360, LVT_ERROR = 0x370 };
enum { INIT_COUNT = 0x380, CUR_COUNT = 0x390, DIVIDE = 0x3e0 };
#define BASE_ADDR 0xfee00000ull
#define X2(reg) (0x800u + ((reg) >> 4))

static const struct hv_lapic_ops *const op = &dm_lapic_ops;

/* n local APICs, switched on. */
static void lapics(struct fake_machine *m, struct dev *d[], unsigned n)
{
	static const char *const ids[] = { "id=0", "id=1", "id=2", "id=3" };
	struct err e = { 0 };

	for (unsigned i = 0; i < n; i++) {
		const char *const args[] = { ids[i], NULL };
		assert_ok(dev_create(&dm_lapic, ids[i], &m->f.env, NULL, args, &d[i], &e), &e);
		op->mmio_write(d[i], SVR, 4, 0x1ff);
	}
}

static void destroy(struct dev *d[], unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		dev_destroy(d[i]);
}

static uint32_t get(struct dev *d, uint32_t off)
{
	return (uint32_t)op->mmio_read(d, off, 4);
}

static void put(struct dev *d, uint32_t off, uint32_t v)
{
	op->mmio_write(d, off, 4, v);
}

static void msi(struct fake_machine *m, uint8_t dest, uint32_t data)
{
	m->bus.msi.send(m->bus.msi.ctx, BASE_ADDR | (uint64_t)dest << 12, data);
}

static void test_priorities(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d[1];

	lapics(m, d, 1);
	assert_int_equal(op->intr_ack(d[0]), -1);
	msi(m, 0, 0x41);
	msi(m, 0, 0x62);
	msi(m, 0, 0x65);
	assert_true(m->cpu[0].intr);
	put(d[0], TPR, 0x60);
	assert_false(m->cpu[0].intr);
	assert_int_equal(op->intr_ack(d[0]), -1);
	op->tpr_set(d[0], 5);
	assert_int_equal(get(d[0], TPR), 0x50);
	assert_true(m->cpu[0].intr);
	assert_int_equal(op->intr_ack(d[0]), 0x65);
	assert_int_equal(get(d[0], PPR), 0x60);
	assert_false(m->cpu[0].intr); /* 0x62 is of the same class */
	op->tpr_set(d[0], 0);
	msi(m, 0, 0x70);
	assert_int_equal(op->intr_ack(d[0]), 0x70);
	assert_int_equal(get(d[0], ISR + 0x30), 1 << 16 | 1 << 5);
	put(d[0], EOI, 0);
	assert_false(m->cpu[0].intr);
	put(d[0], EOI, 0);
	assert_true(m->cpu[0].intr);
	assert_int_equal(op->intr_ack(d[0]), 0x62);
	put(d[0], EOI, 0);
	assert_int_equal(op->intr_ack(d[0]), 0x41);
	put(d[0], EOI, 0);
	put(d[0], EOI, 0); /* one too many does nothing */
	assert_int_equal(get(d[0], PPR), 0);
	destroy(d, 1);
}

static void test_vectors_and_errors(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d[1];

	lapics(m, d, 1);
	msi(m, 0, 0xff);
	assert_int_equal(get(d[0], IRR + 0x70), 1u << 31);
	save_and_load(d[0]);
	assert_true(m->cpu[0].intr);
	assert_int_equal(op->intr_ack(d[0]), 0xff);
	put(d[0], EOI, 0);
	put(d[0], LVT_ERROR, 0x33);
	msi(m, 0, 0x0f); /* illegal */
	assert_int_equal(get(d[0], ESR), 0);
	put(d[0], ESR, 0);
	assert_int_equal(get(d[0], ESR), 1 << 6);
	assert_int_equal(op->intr_ack(d[0]), 0x33);
	put(d[0], EOI, 0);
	put(d[0], ICR, 0x40003); /* to itself, illegal */
	put(d[0], ESR, 0);
	assert_int_equal(get(d[0], ESR), 1 << 5);
	put(d[0], SVR, 0xff); /* switched off: deaf, entries masked for good */
	assert_int_equal(get(d[0], LVT_ERROR), 0x10033);
	put(d[0], LVT_ERROR, 0x33);
	assert_int_equal(get(d[0], LVT_ERROR), 0x10033);
	assert_int_equal(op->intr_ack(d[0]), 0x33);
	msi(m, 0, 0x80);
	assert_int_equal(op->intr_ack(d[0]), -1);
	destroy(d, 1);
}

static void test_ipis(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d[4];

	lapics(m, d, 4);
	put(d[0], ICR2, 2u << 24);
	put(d[0], ICR, 0x50); /* physical */
	assert_true(m->cpu[2].intr && !m->cpu[0].intr && !m->cpu[1].intr && !m->cpu[3].intr);
	assert_int_equal(op->intr_ack(d[2]), 0x50);
	put(d[1], ICR, 0xc0051); /* all but self */
	assert_true(m->cpu[0].intr && !m->cpu[1].intr && m->cpu[2].intr == false);
	assert_int_equal(op->intr_ack(d[0]), 0x51);
	assert_int_equal(op->intr_ack(d[3]), 0x51);
	put(d[3], ICR, 0x80062); /* all */
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(op->intr_ack(d[i]), 0x62);
	put(d[3], ICR, 0x40073); /* self */
	assert_true(m->cpu[3].intr && !m->cpu[0].intr);
	put(d[0], ICR2, 0xffu << 24);
	put(d[0], ICR, 0x400); /* NMI to everyone */
	assert_true(m->cpu[0].n_nmi == 1 && m->cpu[3].n_nmi == 1);
	put(d[0], ICR2, 1u << 24);
	put(d[0], ICR, 0x4500); /* INIT, then its old de-assertion, then start */
	put(d[0], ICR, 0x8500);
	put(d[0], ICR, 0x4699);
	assert_true(m->cpu[1].n_init == 1 && m->cpu[1].n_sipi == 1 &&
		    m->cpu[1].sipi_vector == 0x99);
	assert_true(m->cpu[0].n_init == 0 && m->cpu[2].n_init == 0);
	destroy(d, 4);
}

static void test_logical(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d[4];

	lapics(m, d, 4);
	for (unsigned i = 0; i < 4; i++)
		put(d[i], LDR, 1u << (24 + i));
	put(d[0], ICR2, 0x0au << 24);
	put(d[0], ICR, 0x841); /* flat: 1 and 3 */
	assert_true(!m->cpu[0].intr && m->cpu[1].intr && !m->cpu[2].intr && m->cpu[3].intr);
	op->intr_ack(d[1]);
	op->intr_ack(d[3]);
	put(d[1], EOI, 0); /* 3 still works at 0x40: 1 has the lowest priority of the two */
	put(d[0], ICR, 0x942);
	assert_true(m->cpu[1].intr);
	assert_int_equal(get(d[3], IRR + 0x20), 0);
	op->intr_ack(d[1]);
	for (unsigned i = 0; i < 4; i++) { /* clusters of two */
		put(d[i], DFR, 0x0fffffff);
		put(d[i], LDR, (i / 2 << 4 | 1u << i % 2) << 24);
	}
	put(d[0], ICR2, 0x12u << 24);
	put(d[0], ICR, 0x8a1);
	assert_true(m->cpu[3].intr && !m->cpu[2].intr && !m->cpu[0].intr);
	destroy(d, 4);
}

static void test_x2apic(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d[3];
	uint64_t v = 0;

	lapics(m, d, 3);
	assert_int_equal(op->msr_read(d[0], X86_MSR_APIC_BASE, &v), 0);
	assert_int_equal(v, BASE_ADDR | 0x900);
	assert_int_equal(op->msr_read(d[1], X86_MSR_APIC_BASE, &v), 0);
	assert_int_equal(v, BASE_ADDR | 0x800);
	assert_int_equal(op->msr_read(d[0], X2(ID), &v), -EINVAL); /* not yet */
	/* off, on, x2APIC: which steps there are */
	assert_int_equal(op->msr_write(d[2], X86_MSR_APIC_BASE, BASE_ADDR | 0x400), -EINVAL);
	assert_int_equal(op->msr_write(d[2], X86_MSR_APIC_BASE, BASE_ADDR | 0x801), -EINVAL);
	assert_int_equal(op->msr_write(d[2], X86_MSR_APIC_BASE, 1ull << 40 | 0x800), -EINVAL);
	assert_int_equal(op->msr_write(d[2], X86_MSR_APIC_BASE, BASE_ADDR | 0xc00), 0);
	assert_int_equal(op->msr_write(d[2], X86_MSR_APIC_BASE, BASE_ADDR | 0x800), -EINVAL);
	assert_int_equal(op->msr_write(d[2], X86_MSR_APIC_BASE, BASE_ADDR), 0);
	assert_int_equal(op->msr_write(d[2], X86_MSR_APIC_BASE, BASE_ADDR | 0xc00), -EINVAL);
	assert_int_equal(op->msr_write(d[2], X86_MSR_APIC_BASE, BASE_ADDR | 0x800), 0);
	assert_int_equal(op->msr_write(d[2], X86_MSR_APIC_BASE, BASE_ADDR | 0xc00), 0);
	assert_int_equal(op->apic_base(d[2]), BASE_ADDR | 0xc00);
	assert_int_equal(op->msr_write(d[2], X2(SVR), 0x1ff), 0);

	assert_int_equal(get(d[2], SVR), 0); /* the page is gone */
	assert_int_equal(op->msr_read(d[2], X2(ID), &v), 0);
	assert_int_equal(v, 2);
	assert_int_equal(op->msr_read(d[2], X2(LDR), &v), 0);
	assert_int_equal(v, 4);
	assert_int_equal(op->msr_write(d[2], X2(LDR), 4), -EINVAL);
	assert_int_equal(op->msr_read(d[2], X2(EOI), &v), -EINVAL);
	assert_int_equal(op->msr_write(d[2], X2(EOI), 1), -EINVAL);
	assert_int_equal(op->msr_read(d[2], X2(DFR), &v), -EINVAL);
	assert_int_equal(op->msr_read(d[2], X2(ICR2), &v), -EINVAL);
	assert_int_equal(op->msr_write(d[2], X2(TPR), 0x100), -EINVAL);
	assert_int_equal(op->msr_write(d[2], 0x83f, 0x55), 0); /* self IPI */
	assert_int_equal(op->intr_ack(d[2]), 0x55);
	assert_int_equal(op->msr_write(d[2], X2(EOI), 0), 0);
	assert_int_equal(op->msr_write(d[2], X2(ICR), 1ull << 32 | 0x61), 0);
	assert_int_equal(op->intr_ack(d[1]), 0x61);
	assert_int_equal(op->msr_read(d[2], X2(ICR), &v), 0);
	assert_true(v == (1ull << 32 | 0x61));
	put(d[1], EOI, 0);
	assert_int_equal(op->msr_write(d[1], X86_MSR_APIC_BASE, BASE_ADDR | 0xc00), 0);
	assert_int_equal(op->msr_write(d[2], X2(ICR), 6ull << 32 | 0x871), 0); /* logical: 1, 2 */
	assert_true(m->cpu[1].intr && m->cpu[2].intr && !m->cpu[0].intr);
	destroy(d, 3);
}

static void test_timer(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d[1];

	lapics(m, d, 1);
	put(d[0], DIVIDE, 0xb); /* by 1: a count is 1 ns */
	put(d[0], LVT_TIMER, 0x40);
	put(d[0], INIT_COUNT, 1000000);
	fake_env_advance(&m->f, d[0], 400000);
	assert_int_equal(get(d[0], CUR_COUNT), 600000);
	put(d[0], DIVIDE, 0x0); /* by 2 from here */
	assert_int_equal(get(d[0], CUR_COUNT), 600000);
	fake_env_advance(&m->f, d[0], 1199999);
	assert_false(m->cpu[0].intr);
	assert_int_equal(get(d[0], CUR_COUNT), 1);
	fake_env_advance(&m->f, d[0], 1);
	assert_int_equal(op->intr_ack(d[0]), 0x40);
	put(d[0], EOI, 0);
	assert_int_equal(get(d[0], CUR_COUNT), 0);
	fake_env_advance(&m->f, d[0], 10000000);
	assert_false(m->cpu[0].intr);

	put(d[0], DIVIDE, 0xb);
	put(d[0], LVT_TIMER, 0x20041); /* periodic */
	put(d[0], INIT_COUNT, 100000);
	for (unsigned i = 0; i < 5; i++) {
		fake_env_advance(&m->f, d[0], 100000);
		assert_int_equal(op->intr_ack(d[0]), 0x41);
		put(d[0], EOI, 0);
	}
	fake_env_advance(&m->f, d[0], 350000); /* missed ones are one, in phase */
	assert_int_equal(op->intr_ack(d[0]), 0x41);
	put(d[0], EOI, 0);
	assert_false(m->cpu[0].intr);
	assert_int_equal(get(d[0], CUR_COUNT), 50000);
	save_and_load(d[0]);
	assert_int_equal(get(d[0], CUR_COUNT), 50000);
	fake_env_advance(&m->f, d[0], 50000);
	assert_true(m->cpu[0].intr);
	put(d[0], INIT_COUNT, 0);
	assert_true(m->f.timer_ns[0] == DEV_TIMER_OFF);
	destroy(d, 1);
}

static void test_deadline(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d[1];
	uint64_t v = 1;

	lapics(m, d, 1);
	assert_int_equal(op->msr_write(d[0], X86_MSR_TSC_DEADLINE, 77),
			 0); /* other mode: ignored */
	assert_int_equal(op->msr_read(d[0], X86_MSR_TSC_DEADLINE, &v), 0);
	assert_int_equal(v, 0);
	put(d[0], LVT_TIMER, 0x40050);
	v = (m->f.now_ns + 5000) * 2; /* 2 GHz */
	assert_int_equal(op->msr_write(d[0], X86_MSR_TSC_DEADLINE, v), 0);
	put(d[0], INIT_COUNT, 5); /* ignored */
	assert_int_equal(get(d[0], CUR_COUNT), 0);
	fake_env_advance(&m->f, d[0], 4999);
	assert_false(m->cpu[0].intr);
	save_and_load(d[0]);
	fake_env_advance(&m->f, d[0], 1);
	assert_int_equal(op->intr_ack(d[0]), 0x50);
	put(d[0], EOI, 0);
	assert_int_equal(op->msr_read(d[0], X86_MSR_TSC_DEADLINE, &v), 0);
	assert_int_equal(v, 0);
	assert_int_equal(op->msr_write(d[0], X86_MSR_TSC_DEADLINE, 1), 0); /* past: at once */
	assert_int_equal(op->intr_ack(d[0]), 0x50);
	put(d[0], EOI, 0);
	assert_int_equal(op->msr_write(d[0], X86_MSR_TSC_DEADLINE, 1ull << 60), 0);
	assert_int_equal(op->msr_write(d[0], X86_MSR_TSC_DEADLINE, 0), 0);
	assert_true(m->f.timer_ns[0] == DEV_TIMER_OFF);
	destroy(d, 1);
}

/* As hv_vcpu_set_intr() without a thread to kick. */
static void set_intr(void *cpu, bool level)
{
	atomic_store(&((struct hv_vcpu *)cpu)->requests, level ? HV_REQ_INTR : 0);
}

/* A real vCPU's deadline: the guest's TSC is the clock's plus an offset that may change. */
static void test_deadline_of_vcpu(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d[1];
	struct hv_vm vm = { 0 };
	struct hv_vcpu v = { .vm = &vm, .lapic = &dm_lapic_ops };
	struct loop *loop = NULL;
	struct err e = { 0 };

	assert_ok(loop_create(&loop, &e), &e);
	assert_ok(hv_clock_create(loop, &vm.clock, &e), &e);
	hv_clock_set_tsc_hz(vm.clock, 2000000000);
	const struct lapic_cpu_ops ops = { .set_intr = set_intr,
					   .tsc_to_ns = lapic_vcpu_ops.tsc_to_ns };
	m->bus.cpu[0].ops = &ops;
	m->bus.cpu[0].cpu = &v;
	assert_ok(dev_create(&dm_lapic, "l", &m->f.env, NULL, NULL, &d[0], &e), &e);
	v.lapic_ctx = d[0];
	put(d[0], SVR, 0x1ff);
	put(d[0], LVT_TIMER, 0x40050);
	assert_int_equal(op->msr_write(d[0], X86_MSR_TSC_DEADLINE, 20000000), 0);
	assert_int_equal(m->f.timer_ns[0], 10000000);
	hv_vcpu_tsc_moved(&v, -6000000ull); /* set back by 3 ms */
	assert_int_equal(m->f.timer_ns[0], 13000000);
	assert_int_equal(atomic_load(&v.requests), 0);
	hv_vcpu_tsc_moved(&v, 20000001); /* past it */
	assert_true(m->f.timer_ns[0] == DEV_TIMER_OFF);
	assert_int_equal(atomic_load(&v.requests) & HV_REQ_INTR, HV_REQ_INTR);
	dev_destroy(d[0]);
	hv_clock_destroy(vm.clock);
	loop_destroy(loop);
}

static void test_lint(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d[2];
	auto_dev struct dev *pic = make(m, &dm_i8259);

	lapics(m, d, 2);
	m->bus.pic = pic;
	wr(pic, 0, 0, 1, 0x11);
	wr(pic, 0, 1, 1, 0x30);
	wr(pic, 0, 1, 1, 4);
	wr(pic, 0, 1, 1, 1);
	pic->cls->irq_in(pic, 3, true);
	m->bus.lint.set(m->bus.lint.ctx, LAPIC_LINT0, m->f.irq[0]);
	assert_false(m->cpu[0].intr); /* masked */
	put(d[0], LINT0, 0x700);
	put(d[0], LINT1, 0x400);
	assert_true(m->cpu[0].intr && !m->cpu[1].intr);
	put(d[0], TPR, 0xff); /* means nothing to the PIC */
	assert_int_equal(op->intr_ack(d[0]), 0x33);
	m->bus.lint.set(m->bus.lint.ctx, LAPIC_LINT0, m->f.irq[0]);
	assert_false(m->cpu[0].intr);
	m->bus.lint.set(m->bus.lint.ctx, LAPIC_LINT1, true);
	m->bus.lint.set(m->bus.lint.ctx, LAPIC_LINT1, true);
	assert_true(m->cpu[0].n_nmi == 1 && m->cpu[1].n_nmi == 0);
	/* without an APIC the pins are INTR and NMI */
	assert_int_equal(op->msr_write(d[1], X86_MSR_APIC_BASE, BASE_ADDR), 0);
	m->bus.lint.set(m->bus.lint.ctx, LAPIC_LINT0, true);
	assert_true(m->cpu[1].intr);
	op->init(d[0]);
	assert_int_equal(get(d[0], LINT0), 0x10000);
	dm_lapic_virtual_wire(d[0]);
	assert_int_equal(get(d[0], LINT0), 0x700);
	assert_true(m->cpu[0].intr);
	destroy(d, 2);
}

/* ---- I/O APIC ---- */

static void rte(struct dev *io, unsigned pin, uint64_t v)
{
	wr(io, 0, 0, 4, 0x11 + 2 * pin);
	wr(io, 0, 0x10, 4, v >> 32);
	wr(io, 0, 0, 4, 0x10 + 2 * pin);
	wr(io, 0, 0x10, 4, v & UINT32_MAX);
}

static uint32_t rte_low(struct dev *io, unsigned pin)
{
	wr(io, 0, 0, 4, 0x10 + 2 * pin);
	return (uint32_t)rd(io, 0, 0x10, 4);
}

static void test_ioapic_level(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d[2];
	auto_dev struct dev *io = make(m, &dm_ioapic);

	lapics(m, d, 2);
	m->bus.ioapic = io;
	rte(io, 20, 1ull << 56 | 0x8000 | 0x45);
	io->cls->irq_in(io, 20, true);
	assert_true(m->cpu[1].intr && !m->cpu[0].intr);
	assert_int_equal(rte_low(io, 20), 0x8000 | 0x4000 | 0x45);
	assert_int_equal(op->intr_ack(d[1]), 0x45);
	assert_int_equal(get(d[1], TMR + 0x20), 1 << 5);
	put(d[1], EOI, 0); /* still asserted: again */
	assert_int_equal(op->intr_ack(d[1]), 0x45);
	io->cls->irq_in(io, 20, false);
	put(d[1], EOI, 0);
	assert_false(m->cpu[1].intr);
	assert_int_equal(rte_low(io, 20), 0x8000 | 0x45);
	/* masked while asserted, delivered when unmasked */
	rte(io, 20, 1ull << 56 | 0x18000 | 0x45);
	io->cls->irq_in(io, 20, true);
	assert_false(m->cpu[1].intr);
	rte(io, 20, 1ull << 56 | 0x8000 | 0x45);
	assert_int_equal(op->intr_ack(d[1]), 0x45);
	/* EOI without broadcast; the register does it */
	put(d[1], SVR, 0x11ff);
	put(d[1], EOI, 0);
	assert_false(m->cpu[1].intr);
	wr(io, 0, 0x40, 4, 0x45);
	assert_true(m->cpu[1].intr);
	save_and_load(io);
	assert_int_equal(rte_low(io, 20), 0x8000 | 0x4000 | 0x45);
	rte(io, 20, 1ull << 56 | 0x45); /* an edge has no remote IRR */
	assert_int_equal(rte_low(io, 20), 0x45);
	destroy(d, 2);
}

static void test_ioapic_edge(void **state)
{
	struct fake_machine *m = *state;
	struct dev *d[2];
	auto_dev struct dev *io = make(m, &dm_ioapic);

	lapics(m, d, 2);
	wr(io, 0, 0, 4, 1);
	assert_int_equal(rd(io, 0, 0x10, 4), 0x170020);
	assert_int_equal(rte_low(io, 4), 0x10000);
	rte(io, 4, 0x10031);
	io->cls->irq_in(io, 4, true); /* masked: lost */
	assert_false(m->cpu[0].intr);
	rte(io, 4, 0x31);
	assert_false(m->cpu[0].intr);
	io->cls->irq_in(io, 4, false);
	io->cls->irq_in(io, 4, true);
	assert_int_equal(op->intr_ack(d[0]), 0x31);
	put(d[0], EOI, 0);
	assert_false(m->cpu[0].intr);
	put(d[1], LDR, 2u << 24);
	rte(io, 4, 2ull << 56 | 0x900 | 0x32); /* logical, lowest priority */
	io->cls->irq_in(io, 4, false);
	io->cls->irq_in(io, 4, true);
	assert_int_equal(op->intr_ack(d[1]), 0x32);
	rte(io, 4, 0x400); /* NMI */
	io->cls->irq_in(io, 4, false);
	io->cls->irq_in(io, 4, true);
	assert_int_equal(m->cpu[0].n_nmi, 1);
	destroy(d, 2);
}

/* ---- an engine that has the local APICs in it while the VM runs ---- */

static struct hv_lapic_page taken[2];
static unsigned n_messages;
static uint32_t last_data;

static void take(struct hv_vcpu *v, const struct hv_lapic_page *page)
{
	taken[v->index] = *page;
}

static void give_back(struct hv_vcpu *v, struct hv_lapic_page *page)
{
	*page = taken[v->index];
}

static void engine_msi(struct hv_vm *vm, uint64_t addr, uint32_t data)
{
	(void)vm;
	(void)addr;
	n_messages++;
	last_data = data;
}

static void engine_route(struct hv_vm *vm, unsigned pin, uint64_t addr, uint32_t data)
{
	(void)vm;
	(void)pin;
	(void)addr;
	(void)data;
}

static const struct hv_engine_apic_ops engine_apic = { take, give_back, engine_msi, engine_route };
static const struct hv_engine_ops engine = { .name = "fake", .apic = &engine_apic };

static uint32_t *page_reg(unsigned cpu, uint32_t off)
{
	return &taken[cpu].reg[off >> 4];
}

static void test_engine(void **state)
{
	struct fake_machine *m = *state;
	struct hv_vcpu cpu[2] = { { .index = 0 }, { .index = 1 } };
	struct hv_vm vm = { .engine = &engine, .n_vcpus = 2, .vcpu = { &cpu[0], &cpu[1] } };
	struct dev *d[2];
	auto_dev struct dev *io = make(m, &dm_ioapic);

	lapics(m, d, 2);
	m->bus.ioapic = io;
	m->bus.vm = &vm;
	n_messages = 0;
	/* What comes while the VM is stopped is there when it runs: here, or in the engine. */
	msi(m, 1, 0x55);
	rte(io, 20, 0x8000 | 0x45);
	io->cls->irq_in(io, 20, true);
	assert_int_equal(n_messages, 0);
	lapic_bus_move(&m->bus, true);
	assert_int_equal(*page_reg(1, IRR + 0x20), 1u << 21);
	assert_int_equal(*page_reg(0, IRR + 0x20), 1u << 5);
	assert_int_equal(*page_reg(0, TMR + 0x20), 1u << 5);
	msi(m, 1, 0x66);
	assert_true(n_messages == 1 && last_data == 0x66);
	*page_reg(1, IRR + 0x30) = 1u << 6;
	lapic_bus_move(&m->bus, false);
	assert_int_equal(get(d[1], IRR + 0x30), 1u << 6);
	msi(m, 1, 0x77);
	assert_int_equal(n_messages, 1);
	assert_int_equal(get(d[1], IRR + 0x30), 1u << 6 | 1u << 23);
	/* An EOI that the engine did not come to tell of: the line is still high, so it goes out.
	 */
	assert_int_equal(rte_low(io, 20), 0x8000 | 0x4000 | 0x45);
	lapic_bus_move(&m->bus, true);
	*page_reg(0, IRR + 0x20) = 0;
	lapic_bus_move(&m->bus, false);
	assert_int_equal(get(d[0], IRR + 0x20), 1u << 5);
	/* A line that is low by then waits for nothing. */
	lapic_bus_move(&m->bus, true);
	*page_reg(0, IRR + 0x20) = 0;
	io->cls->irq_in(io, 20, false);
	lapic_bus_move(&m->bus, false);
	assert_int_equal(rte_low(io, 20), 0x8000 | 0x45);
	destroy(d, 2);
}

/* A timer's rest goes there and back. */
static void test_engine_timer(void **state)
{
	struct fake_machine *m = *state;
	struct hv_vcpu cpu = { .index = 0 };
	struct hv_vm vm = { .engine = &engine, .n_vcpus = 1, .vcpu = { &cpu } };
	struct dev *d[1];

	lapics(m, d, 1);
	m->bus.vm = &vm;
	put(d[0], DIVIDE, 0xb); /* by 1 */
	put(d[0], LVT_TIMER, 0x40);
	put(d[0], INIT_COUNT, 1000000);
	lapic_bus_move(&m->bus, true);
	assert_int_equal(*page_reg(0, CUR_COUNT), 1000000);
	assert_int_equal(*page_reg(0, INIT_COUNT), 1000000);
	*page_reg(0, CUR_COUNT) = 250000;
	lapic_bus_move(&m->bus, false);
	assert_int_equal(get(d[0], CUR_COUNT), 250000);
	lapic_bus_move(&m->bus, true);
	*page_reg(0, CUR_COUNT) = 0; /* over */
	lapic_bus_move(&m->bus, false);
	assert_int_equal(get(d[0], CUR_COUNT), 0);
	destroy(d, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_priorities),	DEVICE_TEST(test_vectors_and_errors),
		DEVICE_TEST(test_ipis),		DEVICE_TEST(test_logical),
		DEVICE_TEST(test_x2apic),	DEVICE_TEST(test_timer),
		DEVICE_TEST(test_deadline),	DEVICE_TEST(test_deadline_of_vcpu),
		DEVICE_TEST(test_lint),		DEVICE_TEST(test_ioapic_level),
		DEVICE_TEST(test_ioapic_edge),	DEVICE_TEST(test_engine),
		DEVICE_TEST(test_engine_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
