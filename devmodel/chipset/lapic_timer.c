/*
 * Local APIC's timer: one-shot, periodic, TSC deadline. It ticks at LAPIC_TIMER_HZ; what counts is
 * the virtual time at which it expires, and counts are computed from that. What else is not
 * modelled: lapic.c.
 *
 * Not modelled: periods below MIN_PERIOD_NS, which are stretched to it so that a guest cannot keep
 * the host busy.
 */
#include "devmodel/chipset/lapic.h"
#include "devmodel/chipset/lapic_int.h"

#define MIN_PERIOD_NS 20000u

uint32_t lapic_timer_mode(const struct lapic *l)
{
	return l->s.lvt[LVT_TIMER] & LVT_TIMER_MODE;
}

uint64_t lapic_ns_per_count(const struct lapic *l)
{
	const unsigned v = (l->s.divide & 3) | (l->s.divide >> 1 & 4);

	return v == 7 ? 1 : 2u << v; /* LAPIC_TIMER_HZ is one count a nanosecond */
}

void lapic_arm(struct lapic *l, uint64_t expiry_ns)
{
	l->s.expiry_ns = expiry_ns;
	if (l->bus->vm == NULL) /* else it is the engine's when the clock runs */
		dev_timer_arm(&l->dev, 0, expiry_ns);
}

static uint64_t period_ns(const struct lapic *l)
{
	const uint64_t ns = l->s.init_count * lapic_ns_per_count(l);

	return ns > MIN_PERIOD_NS ? ns : MIN_PERIOD_NS;
}

/* A one-shot count that is over stays at zero; the timer call for it may still be on its way. */
uint32_t lapic_current_count(const struct lapic *l)
{
	const uint64_t now = dev_now_ns(&l->dev), per = lapic_ns_per_count(l);
	uint64_t left;

	if (l->s.expiry_ns == DEV_TIMER_OFF || lapic_timer_mode(l) == TIMER_DEADLINE)
		return 0;
	if (l->s.expiry_ns > now)
		left = (l->s.expiry_ns - now + per - 1) / per;
	else if (lapic_timer_mode(l) == TIMER_PERIODIC)
		left = (period_ns(l) - (now - l->s.expiry_ns) % period_ns(l)) / per;
	else
		left = 0;
	return left < l->s.init_count ? (uint32_t)left : l->s.init_count;
}

static void expire(struct lapic *l)
{
	const uint32_t lvt = l->s.lvt[LVT_TIMER];
	const uint64_t now = dev_now_ns(&l->dev);

	if (lapic_timer_mode(l) == TIMER_PERIODIC && l->s.init_count != 0) {
		/* in phase; periods that a busy host missed are one */
		const uint64_t p = period_ns(l);
		lapic_arm(l, now + p - (now - l->s.expiry_ns) % p);
	} else {
		l->s.deadline_tsc = 0;
		lapic_arm(l, DEV_TIMER_OFF);
	}
	if (!(lvt & LVT_MASKED))
		lapic_accept(l, (uint8_t)lvt, false);
}

void lapic_timer_due(struct dev *d, unsigned timer)
{
	struct lapic *l = lapic_from_dev(d);

	(void)timer; /* there is one */
	if (l->s.expiry_ns <= dev_now_ns(d))
		expire(l);
}

void lapic_write_init_count(struct lapic *l, uint32_t v)
{
	if (lapic_timer_mode(l) == TIMER_DEADLINE)
		return;
	l->s.init_count = v;
	if (v == 0)
		lapic_arm(l, DEV_TIMER_OFF);
	else if (lapic_timer_mode(l) == TIMER_PERIODIC)
		lapic_arm(l, dev_now_ns(&l->dev) + period_ns(l));
	else
		lapic_arm(l, dev_now_ns(&l->dev) + v * lapic_ns_per_count(l));
}

void lapic_write_divide(struct lapic *l, uint32_t v)
{
	const uint32_t left = lapic_current_count(l);

	l->s.divide = v & 0xb;
	if (l->s.expiry_ns != DEV_TIMER_OFF && lapic_timer_mode(l) != TIMER_DEADLINE)
		lapic_arm(l, dev_now_ns(&l->dev) + left * lapic_ns_per_count(l));
}

/* A deadline that is past counts at once, without the way through the loop. */
void lapic_arm_deadline(struct lapic *l)
{
	const struct lapic_bus *b = l->bus;
	uint64_t when;

	if (l->s.deadline_tsc == 0) {
		lapic_arm(l, DEV_TIMER_OFF);
		return;
	}
	when = b->cpu[l->id].ops->tsc_to_ns(b->cpu[l->id].cpu, l->s.deadline_tsc);
	if (when > dev_now_ns(&l->dev)) {
		lapic_arm(l, when < INT64_MAX ? when : INT64_MAX);
		return;
	}
	l->s.expiry_ns = when;
	expire(l);
}
