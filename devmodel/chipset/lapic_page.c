/*
 * Local APIC: its registers as one page, for an engine that has local APICs in it and takes them
 * over while the VM runs. What is not modelled: lapic.c.
 *
 * Lost on the way: errors that were gathered since the guest last wrote ESR; a request for the PIC
 * that came as a message of the IOAPIC.
 */
#include "devmodel/chipset/lapic.h"
#include "devmodel/chipset/lapic_int.h"

static uint32_t *reg(struct hv_lapic_page *p, uint32_t off)
{
	return &p->reg[off >> 4];
}

static uint32_t reg_of(const struct hv_lapic_page *p, uint32_t off)
{
	return p->reg[off >> 4];
}

void lapic_page_get(struct lapic *l, struct hv_lapic_page *p)
{
	const struct lapic_state *s = &l->s;

	*p = (struct hv_lapic_page){ .apic_base = s->apic_base, .tsc_deadline = s->deadline_tsc };
	*reg(p, APIC_ID) = l->id << 24; /* in x2APIC mode, too */
	*reg(p, APIC_VERSION) = LAPIC_VERSION;
	*reg(p, APIC_TPR) = s->tpr;
	*reg(p, APIC_LDR) = s->ldr;
	*reg(p, APIC_DFR) = s->dfr;
	*reg(p, APIC_SVR) = s->svr;
	for (unsigned i = 0; i < 8; i++) {
		*reg(p, APIC_ISR + 16 * i) = s->isr[i];
		*reg(p, APIC_TMR + 16 * i) = s->tmr[i];
		*reg(p, APIC_IRR + 16 * i) = s->irr[i];
	}
	*reg(p, APIC_ESR) = s->esr;
	*reg(p, APIC_ICR) = s->icr;
	*reg(p, APIC_ICR2) = s->icr2;
	for (unsigned i = 0; i < N_LVT; i++)
		*reg(p, APIC_LVT_FIRST + 16 * i) = s->lvt[i];
	*reg(p, APIC_INIT_COUNT) = s->init_count;
	*reg(p, APIC_CUR_COUNT) = lapic_current_count(l);
	*reg(p, APIC_DIVIDE) = s->divide;
}

/* A count that is over stays so; a periodic one is never. */
static void take_timer(struct lapic *l, uint32_t left)
{
	const uint64_t per = lapic_ns_per_count(l);

	l->s.expiry_ns = DEV_TIMER_OFF;
	if (lapic_timer_mode(l) == TIMER_DEADLINE) {
		l->s.init_count = 0;
		if (l->s.deadline_tsc != 0)
			lapic_arm_deadline(l);
	} else if (l->s.init_count != 0 && (left != 0 || lapic_timer_mode(l) == TIMER_PERIODIC)) {
		l->s.expiry_ns = dev_now_ns(&l->dev) + left * per;
	}
}

/* The engine is trusted to hold a local APIC, but not to keep to what this one can be. */
void lapic_page_set(struct lapic *l, const struct hv_lapic_page *p)
{
	struct lapic_state *s = &l->s;

	__atomic_store_n(&s->apic_base, p->apic_base, __ATOMIC_RELEASE);
	s->deadline_tsc = p->tsc_deadline;
	s->tpr = (uint8_t)reg_of(p, APIC_TPR);
	if (!lapic_is_x2(l))
		s->ldr = reg_of(p, APIC_LDR) & 0xff000000;
	s->dfr = reg_of(p, APIC_DFR) | 0x0fffffff;
	s->svr = reg_of(p, APIC_SVR) & SVR_KEPT;
	for (unsigned i = 0; i < 8; i++) {
		s->isr[i] = reg_of(p, APIC_ISR + 16 * i);
		s->tmr[i] = reg_of(p, APIC_TMR + 16 * i);
		s->irr[i] = reg_of(p, APIC_IRR + 16 * i);
	}
	s->isr[0] &= 0xffff0000;
	s->irr[0] &= 0xffff0000;
	s->esr = reg_of(p, APIC_ESR);
	s->icr = reg_of(p, APIC_ICR) & 0xccfff;
	s->icr2 = reg_of(p, APIC_ICR2);
	for (unsigned i = 0; i < N_LVT; i++)
		s->lvt[i] = reg_of(p, APIC_LVT_FIRST + 16 * i) & lapic_lvt_bits[i];
	if (lapic_timer_mode(l) == LVT_TIMER_MODE)
		s->lvt[LVT_TIMER] &= ~(uint32_t)LVT_TIMER_MODE;
	s->init_count = reg_of(p, APIC_INIT_COUNT);
	s->divide = reg_of(p, APIC_DIVIDE) & 0xb;
	take_timer(l, reg_of(p, APIC_CUR_COUNT));
}
