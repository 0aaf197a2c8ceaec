/*
 * I/O APIC: redirection of 24 pins to the local APICs, edge and level, remote IRR, EOI register.
 *
 * Specification: Intel 82093AA datasheet (290566); ICH9 datasheet, 13.5 (version 20h with EOI).
 *
 * Not modelled: pin polarity (lines are levels of assertion, whatever the board's voltage);
 * arbitration id beyond the register; delivery status (a message is delivered at once).
 */
#include "devmodel/chipset/ioapic.h"
#include "devmodel/chipset/lapic.h"

enum { OFF_SELECT = 0, OFF_WINDOW = 0x10, OFF_EOI = 0x40 };
enum { REG_ID, REG_VERSION, REG_ARB, REG_RTE = 0x10 };
enum { RTE_LOGICAL = 1 << 11, RTE_REMOTE_IRR = 1 << 14, RTE_LEVEL = 1 << 15, RTE_MASKED = 1 << 16 };
#define VERSION (0x20u | (DM_IOAPIC_PINS - 1) << 16)
#define RTE_WRITABLE 0xff0000000001afffull

STATE_LAYOUT_BEGIN
struct ioapic_state {
	uint64_t rte[DM_IOAPIC_PINS];
	uint32_t lines; /* levels */
	uint32_t id;	/* as in the register */
	uint8_t select;
	uint8_t pad_[7];
};
STATE_LAYOUT_END

struct ioapic {
	struct dev dev;
	struct ioapic_state s;
	struct lapic_bus *bus; /* borrowed */
};

static struct ioapic *ioapic_from_dev(struct dev *d)
{
	assert(d->cls == &dm_ioapic);
	return (struct ioapic *)d;
}

static struct lapic_msg message(const struct ioapic *a, unsigned pin)
{
	const uint64_t rte = a->s.rte[pin];

	return (struct lapic_msg){ .dest = (uint32_t)(rte >> 56),
				   .vector = (uint8_t)rte,
				   .mode = rte >> 8 & 7,
				   .logical = (rte & RTE_LOGICAL) != 0,
				   .level = (rte & RTE_LEVEL) != 0 };
}

static void send(struct ioapic *a, unsigned pin)
{
	const struct lapic_msg m = message(a, pin);

	if (m.mode != LAPIC_SIPI)
		lapic_bus_send(a->bus, &m);
}

/* An engine that has the local APICs in it tells only of the EOIs that it knows to matter here. */
static void tell_route(const struct ioapic *a, unsigned pin)
{
	const struct lapic_msg m = message(a, pin);
	uint64_t addr;
	uint32_t data;

	if (a->bus->vm == NULL)
		return;
	lapic_msi_of_msg(&m, &addr, &data);
	a->bus->vm->engine->apic->route(a->bus->vm, pin, addr, data);
}

/* A level that nobody serves yet goes out. */
static void follow_level(struct ioapic *a, unsigned pin)
{
	uint64_t *rte = &a->s.rte[pin];

	if (!(*rte & RTE_LEVEL) || (*rte & (RTE_MASKED | RTE_REMOTE_IRR)) ||
	    !(a->s.lines >> pin & 1))
		return;
	if ((*rte >> 8 & 7) <= LAPIC_LOWEST)
		*rte |= RTE_REMOTE_IRR; /* before: the EOI may come from within */
	send(a, pin);
}

static void ioapic_irq_in(struct dev *d, unsigned pin, bool level)
{
	struct ioapic *a = ioapic_from_dev(d);
	const uint32_t bit = 1u << pin;
	const bool rises = level && !(a->s.lines & bit);

	a->s.lines = level ? a->s.lines | bit : a->s.lines & ~bit;
	if (!rises)
		return;
	if (a->s.rte[pin] & RTE_LEVEL)
		follow_level(a, pin);
	else if (!(a->s.rte[pin] & RTE_MASKED)) /* an edge on a masked pin is lost */
		send(a, pin);
}

void dm_ioapic_eoi(struct dev *d, uint8_t vector)
{
	struct ioapic *a = ioapic_from_dev(d);

	for (unsigned i = 0; i < DM_IOAPIC_PINS; i++) {
		if ((uint8_t)a->s.rte[i] != vector || !(a->s.rte[i] & RTE_REMOTE_IRR))
			continue;
		a->s.rte[i] &= ~(uint64_t)RTE_REMOTE_IRR;
		follow_level(a, i);
	}
}

static void write_rte(struct ioapic *a, unsigned reg, uint32_t v)
{
	const unsigned pin = (reg - REG_RTE) / 2, shift = (reg & 1) * 32;
	const uint64_t mask = RTE_WRITABLE & 0xffffffffull << shift;
	uint64_t *rte = &a->s.rte[pin];

	*rte = (*rte & ~mask) | ((uint64_t)v << shift & mask);
	if (!(*rte & RTE_LEVEL))
		*rte &= ~(uint64_t)RTE_REMOTE_IRR;
	tell_route(a, pin);
	follow_level(a, pin);
}

static uint32_t read_reg(const struct ioapic *a)
{
	const unsigned reg = a->s.select;

	if (reg >= REG_RTE && reg < REG_RTE + 2 * DM_IOAPIC_PINS)
		return (uint32_t)(a->s.rte[(reg - REG_RTE) / 2] >> (reg & 1) * 32);
	switch (reg) {
	case REG_ID:
	case REG_ARB:
		return a->s.id;
	case REG_VERSION:
		return VERSION;
	default:
		return 0;
	}
}

static uint64_t ioapic_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	struct ioapic *a = ioapic_from_dev(d);
	const uint32_t mask = UINT32_MAX >> (32 - 8 * size);

	(void)region; /* there is one */
	if (off == OFF_SELECT)
		return a->s.select;
	if (off >= OFF_WINDOW && off < OFF_WINDOW + 4)
		return read_reg(a) >> (off - OFF_WINDOW) * 8 & mask;
	return 0;
}

static void ioapic_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	struct ioapic *a = ioapic_from_dev(d);
	const unsigned reg = a->s.select;

	(void)region;
	if (off == OFF_SELECT) {
		a->s.select = (uint8_t)v;
	} else if (off == OFF_EOI) {
		dm_ioapic_eoi(d, (uint8_t)v);
	} else if (off == OFF_WINDOW && size == 4) {
		if (reg == REG_ID)
			a->s.id = (uint32_t)v & 0x0f000000;
		else if (reg >= REG_RTE && reg < REG_RTE + 2 * DM_IOAPIC_PINS)
			write_rte(a, reg, (uint32_t)v);
	}
}

static int ioapic_realize(struct dev *d, struct err *e)
{
	struct ioapic *a = ioapic_from_dev(d);

	a->bus = dev_backend(d, DEV_BACKEND_MACHINE, "lapic-bus", e);
	return a->bus != NULL ? 0 : -ENOENT;
}

static void ioapic_state_init(void *obj)
{
	struct ioapic_state *s = obj;

	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < DM_IOAPIC_PINS; i++)
		s->rte[i] = RTE_MASKED;
}

/* The wires keep their levels: their drivers change them. */
static void ioapic_reset(struct dev *d)
{
	struct ioapic *a = ioapic_from_dev(d);
	const uint32_t lines = a->s.lines;

	ioapic_state_init(&a->s);
	a->s.lines = lines;
}

static void ioapic_resume(struct dev *d)
{
	for (unsigned i = 0; i < DM_IOAPIC_PINS; i++)
		tell_route(ioapic_from_dev(d), i);
}

static int ioapic_post_load(void *obj, struct err *e)
{
	const struct ioapic_state *s = obj;

	for (unsigned i = 0; i < DM_IOAPIC_PINS; i++)
		if ((s->rte[i] & ~(RTE_WRITABLE | RTE_REMOTE_IRR)) ||
		    ((s->rte[i] & RTE_REMOTE_IRR) && !(s->rte[i] & RTE_LEVEL)))
			return err_set(e, -EINVAL, "ioapic: impossible entry %u", i);
	if ((s->id & ~0x0f000000u) || s->lines >> DM_IOAPIC_PINS)
		return err_set(e, -EINVAL, "ioapic: impossible registers");
	return 0;
}

static const struct state_desc ioapic_state = {
	.name = "ioapic",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct ioapic_state),
	.init = ioapic_state_init,
	.post_load = ioapic_post_load,
	.fields = (const struct state_field[]){ STATE_ARRAY(struct ioapic_state, rte),
						STATE(struct ioapic_state, lines),
						STATE(struct ioapic_state, id),
						STATE(struct ioapic_state, select),
						STATE_PAD(struct ioapic_state, pad_), STATE_END },
};

const struct dev_class dm_ioapic = {
	.name = "ioapic",
	.summary = "I/O APIC with 24 pins",
	.size = sizeof(struct ioapic),
	.state = &ioapic_state,
	.state_off = offsetof(struct ioapic, s),
	.regions = { { "regs", 4096, 1, 4 } },
	.n_irq_in = DM_IOAPIC_PINS,
	.realize = ioapic_realize,
	.reset = ioapic_reset,
	.resume = ioapic_resume,
	.read = ioapic_read,
	.write = ioapic_write,
	.irq_in = ioapic_irq_in,
};
