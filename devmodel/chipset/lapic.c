/*
 * Local APIC of one CPU: registers in xAPIC (MMIO) and x2APIC (MSR) form, APIC_BASE. The timer is
 * in lapic_timer.c; messages, priorities and acknowledge are in lapic_bus.c; lapic_page.c hands the
 * registers to an engine that has a local APIC of its own, and takes them back.
 *
 * Specification: Intel SDM volume 3, chapter 11 (advanced programmable interrupt controller).
 *
 * Not modelled: SMI; remote read; the arbitration priority (lowest priority goes to the lowest
 * processor priority, the first of equals); level-triggered fixed interrupts on the LINT pins;
 * performance and thermal interrupts (registers only); APIC ids that software changes.
 */
#include "devmodel/chipset/lapic.h"
#include "cpu/x86_defs.h"
#include "devmodel/chipset/ioapic.h"
#include "devmodel/chipset/lapic_int.h"

#define PAGE_REG_BYTES 0x400u

/* Writable bits of the LVT entries. */
const uint32_t lapic_lvt_bits[N_LVT] = { 0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff };

struct lapic *lapic_from_dev(struct dev *d)
{
	assert(d->cls == &dm_lapic);
	return (struct lapic *)d;
}

/* ---- registers ---- */

static void write_lvt(struct lapic *l, unsigned i, uint32_t v)
{
	const uint32_t was = l->s.lvt[i];

	v &= lapic_lvt_bits[i];
	if (!(l->s.svr & SVR_ON))
		v |= LVT_MASKED;
	if (i == LVT_TIMER && (v & LVT_TIMER_MODE) == LVT_TIMER_MODE)
		v &= ~(uint32_t)LVT_TIMER_MODE; /* reserved */
	l->s.lvt[i] = v;
	if (i != LVT_TIMER || !((v ^ was) & LVT_TIMER_MODE))
		return;
	if ((v & LVT_TIMER_MODE) == TIMER_DEADLINE || (was & LVT_TIMER_MODE) == TIMER_DEADLINE) {
		l->s.deadline_tsc = 0;
		l->s.init_count = 0;
		lapic_arm(l, DEV_TIMER_OFF);
	}
}

static void write_svr(struct lapic *l, uint32_t v)
{
	l->s.svr = v & SVR_KEPT;
	for (unsigned i = 0; i < N_LVT && !(v & SVR_ON); i++)
		l->s.lvt[i] |= LVT_MASKED;
}

static uint32_t id_reg(const struct lapic *l)
{
	return lapic_is_x2(l) ? l->id : l->id << 24;
}

static uint32_t ldr_reg(const struct lapic *l)
{
	return lapic_is_x2(l) ? (l->id >> 4) << 16 | 1u << (l->id & 15) : l->s.ldr;
}

static uint32_t read_reg(struct lapic *l, uint32_t off)
{
	if (off >= APIC_ISR && off < APIC_ESR) {
		const unsigned i = (off & 0x7f) >> 4;
		return off < APIC_TMR ? l->s.isr[i] : off < APIC_IRR ? l->s.tmr[i] : l->s.irr[i];
	}
	if (off >= APIC_LVT_FIRST && off < APIC_INIT_COUNT)
		return l->s.lvt[(off - APIC_LVT_FIRST) >> 4];
	switch (off) {
	case APIC_ID:
		return id_reg(l);
	case APIC_VERSION:
		return LAPIC_VERSION;
	case APIC_TPR:
		return l->s.tpr;
	case APIC_PPR:
		return lapic_ppr(l);
	case APIC_LDR:
		return ldr_reg(l);
	case APIC_DFR:
		return l->s.dfr;
	case APIC_SVR:
		return l->s.svr;
	case APIC_ESR:
		return l->s.esr;
	case APIC_ICR:
		return l->s.icr;
	case APIC_ICR2:
		return l->s.icr2;
	case APIC_INIT_COUNT:
		return l->s.init_count;
	case APIC_CUR_COUNT:
		return lapic_current_count(l);
	case APIC_DIVIDE:
		return l->s.divide;
	default: /* APR, RRD, EOI, reserved */
		return 0;
	}
}

static void write_reg(struct lapic *l, uint32_t off, uint32_t v)
{
	if (off >= APIC_LVT_FIRST && off < APIC_INIT_COUNT) {
		write_lvt(l, (off - APIC_LVT_FIRST) >> 4, v);
		lapic_follow(l);
		return;
	}
	switch (off) {
	case APIC_TPR:
		l->s.tpr = (uint8_t)v;
		lapic_follow(l);
		break;
	case APIC_EOI:
		lapic_eoi(l);
		break;
	case APIC_LDR:
		l->s.ldr = v & 0xff000000;
		break;
	case APIC_DFR:
		l->s.dfr = v | 0x0fffffff;
		break;
	case APIC_SVR:
		write_svr(l, v);
		lapic_follow(l);
		break;
	case APIC_ESR:
		l->s.esr = l->s.errors;
		l->s.errors = 0;
		break;
	case APIC_ICR:
		l->s.icr = v & 0xccfff;
		lapic_send_ipi(l);
		break;
	case APIC_ICR2:
		l->s.icr2 = v & 0xff000000;
		break;
	case APIC_INIT_COUNT:
		lapic_write_init_count(l, v);
		break;
	case APIC_DIVIDE:
		lapic_write_divide(l, v);
		break;
	default: /* read only or reserved */
		break;
	}
}

/* The page: registers are the first dword of each 16 bytes. */
static uint64_t page_read(struct lapic *l, uint64_t off, unsigned size)
{
	if ((off & 15) + size > 4 || off >= PAGE_REG_BYTES || lapic_is_x2(l))
		return 0;
	return read_reg(l, (uint32_t)off & ~15u) >> (off & 15) * 8 &
	       (UINT32_MAX >> (32 - 8 * size));
}

static void page_write(struct lapic *l, uint64_t off, unsigned size, uint64_t v)
{
	if ((off & 15) == 0 && size == 4 && off < PAGE_REG_BYTES && !lapic_is_x2(l))
		write_reg(l, (uint32_t)off, (uint32_t)v);
}

/* ---- MSRs ---- */

/* Registers of the x2APIC: who may read (1) and write (2) what. */
static unsigned x2_access(uint32_t off)
{
	if (off >= APIC_ISR && off < APIC_ESR)
		return 1;
	switch (off) {
	case APIC_ID:
	case APIC_VERSION:
	case APIC_PPR:
	case APIC_LDR:
	case APIC_CUR_COUNT:
		return 1;
	case APIC_EOI:
	case APIC_SELF_IPI:
		return 2;
	case APIC_TPR:
	case APIC_SVR:
	case APIC_ESR:
	case APIC_ICR:
	case APIC_INIT_COUNT:
	case APIC_DIVIDE:
		return 3;
	default:
		return off >= APIC_LVT_FIRST && off < APIC_INIT_COUNT ? 3 : 0;
	}
}

static uint64_t x2_reserved(uint32_t off)
{
	if (off >= APIC_LVT_FIRST && off < APIC_INIT_COUNT) /* read-only bits may be written */
		return ~(uint64_t)(lapic_lvt_bits[(off - APIC_LVT_FIRST) >> 4] | 0x5000);
	switch (off) {
	case APIC_EOI:
	case APIC_ESR:
		return UINT64_MAX;
	case APIC_TPR:
	case APIC_SELF_IPI:
		return ~0xffull;
	case APIC_SVR:
		return ~(uint64_t)SVR_KEPT;
	case APIC_ICR:
		return 0xfff32000;
	case APIC_DIVIDE:
		return ~0xbull;
	default:
		return ~0xffffffffull;
	}
}

static int x2_read(struct lapic *l, uint32_t msr, uint64_t *ret_v)
{
	const uint32_t off = (msr - X86_MSR_X2APIC_FIRST) << 4;

	if (!lapic_is_x2(l) || !(x2_access(off) & 1))
		return -EINVAL;
	*ret_v = read_reg(l, off);
	if (off == APIC_ICR)
		*ret_v |= (uint64_t)l->s.icr2 << 32;
	return 0;
}

static int x2_write(struct lapic *l, uint32_t msr, uint64_t v)
{
	const uint32_t off = (msr - X86_MSR_X2APIC_FIRST) << 4;

	if (!lapic_is_x2(l) || !(x2_access(off) & 2) || (v & x2_reserved(off)))
		return -EINVAL;
	if (off == APIC_ICR)
		l->s.icr2 = (uint32_t)(v >> 32);
	if (off == APIC_SELF_IPI)
		lapic_deliver(l, LAPIC_FIXED, (uint8_t)v, false);
	else
		write_reg(l, off, (uint32_t)v);
	return 0;
}

static void reset_regs(struct lapic_state *s)
{
	*s = (struct lapic_state){ .apic_base = s->apic_base,
				   .expiry_ns = DEV_TIMER_OFF,
				   .dfr = UINT32_MAX,
				   .svr = 0xff,
				   .lint = s->lint };
	for (unsigned i = 0; i < N_LVT; i++)
		s->lvt[i] = LVT_MASKED;
}

static int write_apic_base(struct lapic *l, uint64_t v)
{
	const uint64_t was = l->s.apic_base;
	const uint64_t fits = UINT64_MAX >> (64 - l->phys_bits);
	const unsigned from = was >> 10 & 3, to = v >> 10 & 3; /* bit 0 x2APIC, bit 1 on */

	if ((v & ~fits) || (v & 0x2ff))
		return -EINVAL;
	/* x2APIC needs "on", is entered from xAPIC and left by switching off only */
	if (to == 1 || (from == 0 && to == 3) || (from == 3 && to == 2))
		return -EINVAL;
	if (from != to && to == 0) {
		reset_regs(&l->s);
		lapic_arm(l, DEV_TIMER_OFF);
	}
	if (from != to && to == 3)
		l->s.icr2 = 0;
	__atomic_store_n(&l->s.apic_base, (v & ~(uint64_t)BASE_BSP) | (was & BASE_BSP),
			 __ATOMIC_RELEASE);
	lapic_follow(l);
	return 0;
}

static int read_msr(struct lapic *l, uint32_t msr, uint64_t *ret_v)
{
	switch (msr) {
	case X86_MSR_APIC_BASE:
		*ret_v = l->s.apic_base;
		return 0;
	case X86_MSR_TSC_DEADLINE:
		*ret_v = l->s.deadline_tsc;
		return 0;
	default:
		if (msr < X86_MSR_X2APIC_FIRST || msr > X86_MSR_X2APIC_LAST)
			return -EINVAL;
		return x2_read(l, msr, ret_v);
	}
}

static int write_msr(struct lapic *l, uint32_t msr, uint64_t v)
{
	switch (msr) {
	case X86_MSR_APIC_BASE:
		return write_apic_base(l, v);
	case X86_MSR_TSC_DEADLINE:
		if (lapic_timer_mode(l) == TIMER_DEADLINE) {
			l->s.deadline_tsc = v;
			lapic_arm_deadline(l);
		}
		return 0;
	default:
		if (msr < X86_MSR_X2APIC_FIRST || msr > X86_MSR_X2APIC_LAST)
			return -EINVAL;
		return x2_write(l, msr, v);
	}
}

/* ---- the CPU's way in: takes the domain ---- */

static struct lapic *enter(void *ctx)
{
	struct lapic *l = lapic_from_dev(ctx);

	hv_domain_lock(l->bus->domain);
	return l;
}

static void leave(struct lapic *l)
{
	hv_domain_unlock(l->bus->domain);
}

static int op_intr_ack(void *ctx)
{
	struct lapic *l = enter(ctx);
	const int v = lapic_ack(l);

	leave(l);
	return v;
}

static uint8_t op_tpr_get(void *ctx)
{
	return __atomic_load_n(&lapic_from_dev(ctx)->s.tpr, __ATOMIC_RELAXED) >> 4;
}

static void op_tpr_set(void *ctx, uint8_t cr8)
{
	struct lapic *l = enter(ctx);

	l->s.tpr = (uint8_t)(cr8 << 4);
	lapic_follow(l);
	leave(l);
}

static int op_msr_read(void *ctx, uint32_t msr, uint64_t *ret_v)
{
	struct lapic *l = enter(ctx);
	const int r = read_msr(l, msr, ret_v);

	leave(l);
	return r;
}

static int op_msr_write(void *ctx, uint32_t msr, uint64_t v)
{
	struct lapic *l = enter(ctx);
	const int r = write_msr(l, msr, v);

	leave(l);
	return r;
}

static uint64_t op_mmio_read(void *ctx, uint32_t off, unsigned size)
{
	struct lapic *l = enter(ctx);
	const uint64_t v = size <= 4 ? page_read(l, off, size) : 0;

	leave(l);
	return v;
}

static void op_mmio_write(void *ctx, uint32_t off, unsigned size, uint64_t v)
{
	struct lapic *l = enter(ctx);

	page_write(l, off, size, v);
	leave(l);
}

static uint64_t op_apic_base(void *ctx)
{
	return __atomic_load_n(&lapic_from_dev(ctx)->s.apic_base, __ATOMIC_ACQUIRE);
}

static void op_init(void *ctx)
{
	struct lapic *l = enter(ctx);

	reset_regs(&l->s);
	lapic_arm(l, DEV_TIMER_OFF);
	lapic_follow(l);
	leave(l);
}

static void op_eoi(void *ctx, uint8_t vector)
{
	struct lapic *l = enter(ctx);

	if (l->bus->ioapic != NULL)
		dm_ioapic_eoi(l->bus->ioapic, vector);
	leave(l);
}

static void op_tsc_changed(void *ctx)
{
	struct lapic *l = enter(ctx);

	if (lapic_timer_mode(l) == TIMER_DEADLINE && l->s.deadline_tsc != 0)
		lapic_arm_deadline(l);
	leave(l);
}

const struct hv_lapic_ops dm_lapic_ops = {
	.intr_ack = op_intr_ack,
	.tpr_get = op_tpr_get,
	.tpr_set = op_tpr_set,
	.msr_read = op_msr_read,
	.msr_write = op_msr_write,
	.mmio_read = op_mmio_read,
	.mmio_write = op_mmio_write,
	.apic_base = op_apic_base,
	.init = op_init,
	.tsc_changed = op_tsc_changed,
	.eoi = op_eoi,
};

void dm_lapic_virtual_wire(struct dev *d)
{
	struct lapic *l = lapic_from_dev(d);

	l->s.svr |= SVR_ON;
	l->s.lvt[LVT_LINT0] = LAPIC_EXTINT << 8;
	l->s.lvt[LVT_LINT1] = LAPIC_NMI << 8;
	lapic_follow(l);
}

/* ---- the device ---- */

static uint64_t lapic_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	(void)region; /* there is one */
	return page_read(lapic_from_dev(d), off, size);
}

static void lapic_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	(void)region;
	page_write(lapic_from_dev(d), off, size, v);
}

static void lapic_irq_in(struct dev *d, unsigned input, bool level)
{
	lapic_set_lint(lapic_from_dev(d), input, level);
}

static int lapic_realize(struct dev *d, struct err *e)
{
	struct lapic *l = lapic_from_dev(d);
	struct lapic_bus *b = dev_backend(d, DEV_BACKEND_MACHINE, "lapic-bus", e);

	if (b == NULL)
		return -ENOENT;
	if (b->lapic[l->id] != NULL || b->cpu[l->id].ops == NULL)
		return err_set(e, -EINVAL, "%s: id %u is taken, or no CPU has it", d->id, l->id);
	l->bus = b;
	b->lapic[l->id] = d;
	b->n = b->n > l->id ? b->n : l->id + 1;
	return 0;
}

static void lapic_unrealize(struct dev *d)
{
	struct lapic *l = lapic_from_dev(d);

	if (l->bus != NULL)
		l->bus->lapic[l->id] = NULL;
}

static void lapic_state_init(void *obj)
{
	struct lapic_state *s = obj;

	memset(s, 0, sizeof(*s));
	s->apic_base = 0xfee00000 | BASE_ON;
	reset_regs(s);
}

/* The pins keep their levels: their drivers change them. */
static void lapic_reset(struct dev *d)
{
	struct lapic *l = lapic_from_dev(d);
	const uint8_t lint = l->s.lint;

	lapic_state_init(&l->s);
	l->s.lint = lint;
	l->s.apic_base |= l->id == 0 ? BASE_BSP : 0;
	lapic_arm(l, DEV_TIMER_OFF);
	lapic_follow(l);
}

static void lapic_resume(struct dev *d)
{
	struct lapic *l = lapic_from_dev(d);

	lapic_arm(l, l->s.expiry_ns);
	lapic_tell(l);
}

static int lapic_post_load(void *obj, struct err *e)
{
	const struct lapic_state *s = obj;
	const unsigned mode = s->apic_base >> 10 & 3;

	if (mode == 1 || (s->apic_base & 0x2ff))
		return err_set(e, -EINVAL, "lapic: impossible APIC_BASE");
	if (((s->irr[0] | s->isr[0]) & 0xffff) || (s->svr & ~(uint32_t)SVR_KEPT) || s->lint > 3 ||
	    (s->divide & ~0xbu))
		return err_set(e, -EINVAL, "lapic: impossible registers");
	for (unsigned i = 0; i < N_LVT; i++)
		if ((s->lvt[i] & ~lapic_lvt_bits[i]) ||
		    (i == LVT_TIMER && (s->lvt[i] & LVT_TIMER_MODE) == LVT_TIMER_MODE))
			return err_set(e, -EINVAL, "lapic: impossible LVT %u", i);
	if (s->expiry_ns > INT64_MAX && s->expiry_ns != DEV_TIMER_OFF)
		return err_set(e, -EINVAL, "lapic: expiry_ns beyond the end of time");
	return 0;
}

static const struct state_desc lapic_state = {
	.name = "lapic",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct lapic_state),
	.init = lapic_state_init,
	.post_load = lapic_post_load,
	.fields = (const struct state_field[]){ STATE(struct lapic_state, apic_base),
						STATE(struct lapic_state, deadline_tsc),
						STATE(struct lapic_state, expiry_ns),
						STATE_ARRAY(struct lapic_state, irr),
						STATE_ARRAY(struct lapic_state, isr),
						STATE_ARRAY(struct lapic_state, tmr),
						STATE_ARRAY(struct lapic_state, lvt),
						STATE(struct lapic_state, ldr),
						STATE(struct lapic_state, dfr),
						STATE(struct lapic_state, svr),
						STATE(struct lapic_state, icr),
						STATE(struct lapic_state, icr2),
						STATE(struct lapic_state, esr),
						STATE(struct lapic_state, errors),
						STATE(struct lapic_state, init_count),
						STATE(struct lapic_state, divide),
						STATE(struct lapic_state, tpr),
						STATE(struct lapic_state, lint),
						STATE(struct lapic_state, extint),
						STATE_PAD(struct lapic_state, pad_),
						STATE_END },
};

static const struct opt lapic_opts[] = {
	OPT(struct lapic, id, 0, HV_MAX_VCPUS - 1, "0", "APIC id, the number of its CPU"),
	OPT(struct lapic, phys_bits, 36, 52, "40", "physical address bits of the CPU model"),
	OPT_END
};

const struct dev_class dm_lapic = {
	.name = "lapic",
	.summary = "local APIC of one CPU",
	.size = sizeof(struct lapic),
	.opts = lapic_opts,
	.state = &lapic_state,
	.state_off = offsetof(struct lapic, s),
	.regions = { { "regs", PAGE_REG_BYTES, 1, 4 } },
	.n_irq_in = 2,
	.n_timers = 1,
	.realize = lapic_realize,
	.unrealize = lapic_unrealize,
	.reset = lapic_reset,
	.read = lapic_read,
	.write = lapic_write,
	.timer = lapic_timer_due,
	.irq_in = lapic_irq_in,
	.resume = lapic_resume,
};
