/*
 * Local APICs: interrupt messages and who takes them, priorities, acknowledge and EOI.
 * What is not modelled: lapic.c.
 */
#include "devmodel/chipset/lapic.h"
#include "devmodel/chipset/i8259.h"
#include "devmodel/chipset/ioapic.h"
#include "devmodel/chipset/lapic_int.h"
#include "devmodel/machine/trace_points.h"

enum { FIRST_VECTOR = 16, BROADCAST8 = 0xff, DFR_CLUSTER = 0 };
#define MSI_BASE 0xfee00000ull

/* Highest vector in a 256-bit register, or -1. */
static int highest(const uint32_t r[8])
{
	for (int i = 7; i >= 0; i--)
		if (r[i] != 0)
			return i * 32 + 31 - __builtin_clz(r[i]);
	return -1;
}

static void set_bit(uint32_t r[8], uint8_t v, bool on)
{
	const uint32_t bit = 1u << (v & 31);

	r[v >> 5] = on ? r[v >> 5] | bit : r[v >> 5] & ~bit;
}

uint8_t lapic_ppr(const struct lapic *l)
{
	const int isr = highest(l->s.isr);
	const uint8_t in_service = isr < 0 ? 0 : (uint8_t)(isr & 0xf0);

	return l->s.tpr >= in_service ? l->s.tpr : in_service;
}

static bool is_on(const struct lapic *l)
{
	return (l->s.apic_base & BASE_ON) && (l->s.svr & SVR_ON);
}

/* The vector that the CPU should take, or -1; an engine that has the APIC in it knows by itself. */
static int wanted(const struct lapic *l)
{
	const int v = l->bus->vm != NULL ? -1 : highest(l->s.irr);

	return v >= 0 && (l->s.apic_base & BASE_ON) && (v & 0xf0) > (lapic_ppr(l) & 0xf0) ? v : -1;
}

/* The PIC's output goes to the CPU: LINT0 is ExtINT, or there is no APIC in between. An engine that
 * has the APIC in it looks at that itself. */
static bool wants_pic(const struct lapic *l)
{
	const uint32_t lvt = l->s.lvt[LVT_LINT0];
	const bool through = !(lvt & LVT_MASKED) && (lvt >> 8 & 7) == LAPIC_EXTINT;
	const bool line = l->s.lint >> LAPIC_LINT0 & 1;

	if (l->s.extint)
		return true;
	return line && (l->bus->vm != NULL || !(l->s.apic_base & BASE_ON) || through);
}

void lapic_tell(struct lapic *l)
{
	l->intr = wants_pic(l) || wanted(l) >= 0;
	l->bus->cpu[l->id].ops->set_intr(l->bus->cpu[l->id].cpu, l->intr);
}

void lapic_follow(struct lapic *l)
{
	if ((wants_pic(l) || wanted(l) >= 0) != l->intr)
		lapic_tell(l);
}

int lapic_ack(struct lapic *l)
{
	int v;

	if (wants_pic(l) && l->bus->pic != NULL) {
		l->s.extint = false;
		v = dm_pic_ack(l->bus->pic); /* may lower LINT0, which follows */
		lapic_follow(l);
		return v;
	}
	v = wanted(l);
	if (v >= 0) {
		set_bit(l->s.irr, (uint8_t)v, false);
		set_bit(l->s.isr, (uint8_t)v, true);
	}
	lapic_follow(l);
	return v;
}

void lapic_eoi(struct lapic *l)
{
	const int v = highest(l->s.isr);

	if (v < 0)
		return;
	set_bit(l->s.isr, (uint8_t)v, false);
	if ((l->s.tmr[v >> 5] >> (v & 31) & 1) && !(l->s.svr & SVR_NO_EOI_BROADCAST) &&
	    l->bus->ioapic != NULL)
		dm_ioapic_eoi(l->bus->ioapic, (uint8_t)v);
	lapic_follow(l);
}

void lapic_accept(struct lapic *l, uint8_t vector, bool level)
{
	if (!is_on(l))
		return;
	if (vector < FIRST_VECTOR) {
		lapic_error(l, ESR_RECV_VECTOR);
		return;
	}
	set_bit(l->s.irr, vector, true);
	set_bit(l->s.tmr, vector, level);
	lapic_follow(l);
}

/* Gathered until the guest asks; the interrupt about it comes once. */
void lapic_error(struct lapic *l, uint32_t bit)
{
	const uint32_t lvt = l->s.lvt[LVT_ERROR];
	const bool first = !(l->s.errors & bit);

	l->s.errors |= bit;
	if (first && !(lvt & LVT_MASKED) && (lvt & 0xff) >= FIRST_VECTOR)
		lapic_accept(l, (uint8_t)lvt, false);
}

void lapic_deliver(struct lapic *l, uint8_t mode, uint8_t vector, bool level)
{
	const struct lapic_cpu_ops *ops = l->bus->cpu[l->id].ops;
	void *cpu = l->bus->cpu[l->id].cpu;

	if (!(l->s.apic_base & BASE_ON))
		return;
	switch (mode) {
	case LAPIC_FIXED:
	case LAPIC_LOWEST:
		lapic_accept(l, vector, level);
		break;
	case LAPIC_NMI:
		ops->nmi(cpu);
		break;
	case LAPIC_INIT:
		ops->init(cpu);
		break;
	case LAPIC_SIPI:
		ops->sipi(cpu, vector);
		break;
	case LAPIC_EXTINT:
		l->s.extint = true;
		lapic_follow(l);
		break;
	default: /* SMI: there is no SMM */
		break;
	}
}

/* A pin changed: LINT0 as ExtINT is a level, everything else acts on the rising edge. */
void lapic_set_lint(struct lapic *l, unsigned pin, bool level)
{
	const uint8_t bit = (uint8_t)(1u << pin);
	const bool rises = level && !(l->s.lint & bit);
	const uint32_t lvt = l->s.lvt[LVT_LINT0 + pin];

	l->s.lint = (uint8_t)(level ? l->s.lint | bit : l->s.lint & ~bit);
	if (l->bus->vm != NULL) { /* LINT0 is the PIC's, which the engine asks; LINT1 has no wire */
		lapic_follow(l);
		return;
	}
	if (!(l->s.apic_base & BASE_ON)) {
		if (pin == LAPIC_LINT1 && rises)
			l->bus->cpu[l->id].ops->nmi(l->bus->cpu[l->id].cpu);
	} else if (rises && !(lvt & LVT_MASKED) && (lvt >> 8 & 7) != LAPIC_EXTINT) {
		lapic_deliver(l, lvt >> 8 & 7, (uint8_t)lvt, false);
	}
	lapic_follow(l);
}

/* ---- who is meant ---- */

static bool matches_logical(const struct lapic *l, uint32_t dest)
{
	const uint32_t ldr = l->s.ldr >> 24;

	if (lapic_is_x2(l)) /* cluster in the upper half, members in the lower */
		return dest >> 16 == l->id >> 4 && (dest >> (l->id & 15) & 1);
	if (dest == BROADCAST8)
		return true;
	if (dest > BROADCAST8)
		return false;
	if (l->s.dfr >> 28 == DFR_CLUSTER)
		return dest >> 4 == ldr >> 4 && (dest & ldr & 15) != 0;
	return (dest & ldr) != 0;
}

static bool matches(const struct lapic *l, const struct lapic_msg *m)
{
	if (m->dest == UINT32_MAX || (m->dest == BROADCAST8 && !m->logical))
		return true;
	return m->logical ? matches_logical(l, m->dest) : m->dest == l->id;
}

static struct lapic *at(const struct lapic_bus *b, unsigned i)
{
	return b->lapic[i] != NULL ? lapic_from_dev(b->lapic[i]) : NULL;
}

static void send_lowest(struct lapic_bus *b, const struct lapic_msg *m)
{
	struct lapic *best = NULL;

	for (unsigned i = 0; i < b->n; i++) {
		struct lapic *l = at(b, i);
		if (l != NULL && is_on(l) && matches(l, m) &&
		    (best == NULL || lapic_ppr(l) < lapic_ppr(best)))
			best = l;
	}
	if (best != NULL)
		lapic_accept(best, m->vector, m->level);
}

void lapic_bus_send(struct lapic_bus *b, const struct lapic_msg *m)
{
	if (b->in_engine) {
		uint64_t addr;
		uint32_t data;
		lapic_msi_of_msg(m, &addr, &data);
		b->vm->engine->apic->msi(b->vm, addr, data);
		return;
	}
	if (m->mode == LAPIC_LOWEST) {
		send_lowest(b, m);
		return;
	}
	for (unsigned i = 0; i < b->n; i++) {
		struct lapic *l = at(b, i);
		if (l != NULL && matches(l, m))
			lapic_deliver(l, m->mode, m->vector, m->level);
	}
}

/* ICR was written. */
void lapic_send_ipi(struct lapic *l)
{
	TRACE(lapic_ipi, "%s: command %#x, to %#x", l->dev.id, l->s.icr, l->s.icr2);
	const uint32_t icr = l->s.icr;
	const bool is_x2 = lapic_is_x2(l);
	struct lapic_msg m = { .dest = is_x2 ? l->s.icr2 : l->s.icr2 >> 24,
			       .vector = (uint8_t)icr,
			       .mode = icr >> 8 & 7,
			       .logical = (icr & ICR_LOGICAL) != 0 };
	const unsigned shorthand = icr >> 18 & 3; /* none, self, all, all but self */

	if (m.mode == LAPIC_INIT && (icr & ICR_LEVEL) && !(icr & ICR_ASSERT))
		return; /* "INIT level de-assert" only set arbitration ids */
	if (m.mode <= LAPIC_LOWEST && m.vector < FIRST_VECTOR) {
		lapic_error(l, ESR_SEND_VECTOR);
		return;
	}
	if (m.mode == 3 || m.mode == LAPIC_EXTINT)
		return; /* reserved */
	if (shorthand == 0) {
		lapic_bus_send(l->bus, &m);
		return;
	}
	m.mode = m.mode == LAPIC_LOWEST ? LAPIC_FIXED : m.mode;
	for (unsigned i = 0; i < l->bus->n; i++) {
		struct lapic *to = at(l->bus, i);
		if (to != NULL && (to == l ? shorthand != 3 : shorthand != 1))
			lapic_deliver(to, m.mode, m.vector, false);
	}
}

/* ---- the bus ---- */

struct lapic_msg lapic_msg_of_msi(uint64_t addr, uint32_t data)
{
	return (struct lapic_msg){ .dest = (uint32_t)(addr >> 12 & 0xff),
				   .vector = (uint8_t)data,
				   .mode = data >> 8 & 7,
				   .logical = (addr & 4) != 0,
				   .level = (data & 0x8000) != 0 };
}

void lapic_msi_of_msg(const struct lapic_msg *m, uint64_t *ret_addr, uint32_t *ret_data)
{
	*ret_addr = MSI_BASE | (uint64_t)(m->dest & 0xff) << 12 | (m->logical ? 4 : 0);
	*ret_data = m->vector | (uint32_t)m->mode << 8 | (m->level ? 0xc000u : 0);
}

/* SIPI is for ICR alone: a device cannot start a CPU. */
static void msi_send(void *ctx, uint64_t addr, uint32_t data)
{
	struct lapic_bus *b = ctx;
	const struct lapic_msg m = lapic_msg_of_msi(addr, data);

	if (addr >> 20 != MSI_BASE >> 20 || m.mode == LAPIC_SIPI)
		return;
	hv_domain_lock(b->domain);
	lapic_bus_send(b, &m);
	hv_domain_unlock(b->domain);
}

/* ---- an engine that has the local APICs in it ---- */

static bool has_vector(const struct lapic *l, unsigned v)
{
	return (l->s.irr[v >> 5] | l->s.isr[v >> 5]) >> (v & 31) & 1;
}

/* An EOI that the engine has seen, and not told of when it was stopped: no CPU has the vector that
 * the IOAPIC waits for. If it is told later, that does no harm. */
static void recover_eois(struct lapic_bus *b)
{
	for (unsigned v = FIRST_VECTOR; v < 256 && b->ioapic != NULL; v++) {
		bool held = false;
		for (unsigned i = 0; i < b->n && !held; i++)
			held = at(b, i) != NULL && has_vector(at(b, i), v);
		if (!held)
			dm_ioapic_eoi(b->ioapic, (uint8_t)v);
	}
}

void lapic_bus_move(struct lapic_bus *b, bool to_engine)
{
	const struct hv_engine_apic_ops *ops = b->vm->engine->apic;
	struct hv_lapic_page page;

	hv_domain_lock(b->domain);
	for (unsigned i = 0; i < b->n; i++) {
		struct lapic *l = at(b, i);
		if (l == NULL)
			continue;
		lapic_page_get(l, &page);
		if (to_engine) {
			ops->take(b->vm->vcpu[i], &page);
		} else {
			ops->give_back(b->vm->vcpu[i], &page);
			lapic_page_set(l, &page);
		}
	}
	b->in_engine = to_engine;
	if (!to_engine)
		recover_eois(b);
	hv_domain_unlock(b->domain);
}

static void set_lint(void *ctx, unsigned pin, bool level)
{
	struct lapic_bus *b = ctx;

	for (unsigned i = 0; i < b->n; i++)
		if (b->lapic[i] != NULL)
			lapic_set_lint(lapic_from_dev(b->lapic[i]), pin, level);
}

void lapic_bus_init(struct lapic_bus *b, struct hv_domain *domain)
{
	*b = (struct lapic_bus){ .domain = domain };
	b->msi = (struct hv_msi_sink){ .send = msi_send, .ctx = b };
	b->lint = (struct hv_irq_sink){ .set = set_lint, .ctx = b };
}
