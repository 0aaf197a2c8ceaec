/*
 * High precision event timer: a 64-bit counter of 10 ns ticks and four comparators, of which each
 * may repeat; edge, level and message interrupts, legacy replacement route.
 *
 * Specification: IA-PC HPET 1.0a; ICH9 datasheet, 5.17 and chapter 20 (pins, number of timers).
 *
 * While the counter runs it is the virtual clock minus an offset. Each comparator remembers the
 * next count at which it is due.
 *
 * Not modelled: events closer together than MIN_GAP_NS are merged, so that a guest cannot keep the
 * host busy; an edge interrupt's pulse has no length.
 */
#include "devmodel/chipset/hpet.h"

#define N_TIMERS 4u
#define TICK_NS 10u
#define PERIOD_FS 10000000ull
#define CAPABILITIES (PERIOD_FS << 32 | DM_HPET_ID)
#define MIN_GAP_NS 20000u
#define REG_BYTES 1024u
#define FAR_TICKS (1ull << 58) /* 91 years: nothing is due later, and no sum overflows */

enum { R_CAP = 0, R_CONFIG = 0x10, R_STATUS = 0x20, R_COUNTER = 0xf0, R_TIMER = 0x100 };
enum { T_CONFIG = 0, T_COMPARATOR = 8, T_MESSAGE = 0x10, T_STRIDE = 0x20 };
enum { CONFIG_ON = 1, CONFIG_LEGACY = 2 };
enum {
	TC_LEVEL = 1 << 1,
	TC_IRQ = 1 << 2,
	TC_PERIODIC = 1 << 3,
	TC_CAN_PERIODIC = 1 << 4,
	TC_CAN_64 = 1 << 5,
	TC_SET_VALUE = 1 << 6,
	TC_32 = 1 << 8,
	TC_ROUTE = 31 << 9,
	TC_MESSAGE = 1 << 14,
	TC_CAN_MESSAGE = 1 << 15,
	TC_WRITABLE = TC_LEVEL | TC_IRQ | TC_PERIODIC | TC_SET_VALUE | TC_32 | TC_ROUTE |
		      TC_MESSAGE,
	TC_FIXED = TC_CAN_PERIODIC | TC_CAN_64 | TC_CAN_MESSAGE,
};

const uint8_t hpet_pins[HPET_N_PINS] = { 11, 12, 20, 21, 22, 23 };
/* Which pins a timer may be routed to. */
static const uint32_t routes[N_TIMERS] = { 0xf00000, 0xf00000, 0xf00800, 0xf01000 };

STATE_LAYOUT_BEGIN
struct hpet_timer {
	uint64_t comparator; /* as read: the next match, in the timer's width */
	uint64_t period;     /* what a repeating comparator is advanced by */
	uint64_t message;    /* value in the low half, address in the high */
	uint64_t due;	     /* count (64 bits wide) of the next match; while armed */
	uint32_t config;
	bool armed;
	uint8_t pad_[3];
};
struct hpet_state {
	struct hpet_timer timer[N_TIMERS];
	uint64_t counter; /* while it stands; else its value at virtual time 0 (wraps) */
	uint32_t config, status;
	uint8_t in; /* levels of the PIT's and the RTC's output */
	uint8_t pad_[7];
};
STATE_LAYOUT_END

struct hpet {
	struct dev dev;
	struct hpet_state s;
};

static struct hpet *hpet_from_dev(struct dev *d)
{
	assert(d->cls == &dm_hpet);
	return (struct hpet *)d;
}

static bool is_on(const struct hpet *h)
{
	return h->s.config & CONFIG_ON;
}

static bool is_legacy(const struct hpet *h)
{
	return h->s.config & CONFIG_LEGACY;
}

static uint64_t now_ticks(const struct hpet *h)
{
	return dev_now_ns(&h->dev) / TICK_NS;
}

static uint64_t counter(const struct hpet *h)
{
	return is_on(h) ? h->s.counter + now_ticks(h) : h->s.counter;
}

static uint64_t width(const struct hpet_timer *t)
{
	return t->config & TC_32 ? UINT32_MAX : UINT64_MAX;
}

/* ---- lines ---- */

/* The line a timer drives, or -1. */
static int line_of(const struct hpet *h, unsigned i)
{
	const unsigned pin = h->s.timer[i].config >> 9 & 31;

	if (is_legacy(h) && i < 2)
		return i == 0 ? HPET_LINE_IRQ0 : HPET_LINE_IRQ8;
	for (unsigned n = 0; n < HPET_N_PINS; n++)
		if (hpet_pins[n] == pin && (routes[i] >> pin & 1))
			return HPET_LINE_PINS + (int)n;
	return -1;
}

static bool drives(const struct hpet *h, unsigned i)
{
	const uint32_t c = h->s.timer[i].config;

	return (h->s.status >> i & 1) && (c & TC_LEVEL) && (c & TC_IRQ) && !(c & TC_MESSAGE) &&
	       is_on(h);
}

/* Levels of all lines; edges are pulses on top of them. */
static void follow_lines(struct hpet *h)
{
	bool level[HPET_LINE_PINS + HPET_N_PINS] = { 0 };

	if (!is_legacy(h)) {
		level[HPET_LINE_IRQ0] = h->s.in & 1;
		level[HPET_LINE_IRQ8] = h->s.in >> 1 & 1;
	}
	for (unsigned i = 0; i < N_TIMERS; i++) {
		const int n = line_of(h, i);
		if (n >= 0 && drives(h, i))
			level[n] = true;
	}
	for (unsigned n = 0; n < HV_ARRAY_LEN(level); n++)
		dev_irq_set(&h->dev, n, level[n]);
}

static void match(struct hpet *h, unsigned i)
{
	const struct hpet_timer *t = &h->s.timer[i];
	const int n = line_of(h, i);

	if (t->config & TC_LEVEL)
		h->s.status |= 1u << i;
	if (!(t->config & TC_IRQ))
		return;
	if (t->config & TC_MESSAGE) {
		dev_msi_send(&h->dev, t->message >> 32, (uint32_t)t->message);
	} else if (!(t->config & TC_LEVEL) && n >= 0) {
		dev_irq_set(&h->dev, (unsigned)n, true);
		dev_irq_set(&h->dev, (unsigned)n, false);
	}
}

/* ---- comparators ---- */

/* When the count from now on first equals the comparator. A match now was the last round's. */
static void arm(struct hpet *h, unsigned i)
{
	struct hpet_timer *t = &h->s.timer[i];
	const uint64_t c = counter(h), left = (t->comparator - c) & width(t);

	t->armed = is_on(h);
	t->due = c + hv_min_u64(left != 0 ? left : width(t), FAR_TICKS);
}

/* Can anybody tell a match, but by the comparator? */
static bool is_seen(const struct hpet_timer *t)
{
	return t->config & (TC_IRQ | TC_LEVEL);
}

/* Past a match, if it is time for one. */
static bool pass_match(struct hpet *h, unsigned i)
{
	struct hpet_timer *t = &h->s.timer[i];
	const uint64_t c = counter(h);

	if (!t->armed || !is_on(h) || (int64_t)(c - t->due) < 0)
		return false;
	if ((t->config & TC_PERIODIC) && t->period != 0) {
		/* in phase; matches that a busy host missed, or too fast for it, are one */
		const uint64_t gap = MIN_GAP_NS / TICK_NS;
		const uint64_t past = c - t->due + (t->period < gap ? gap : 0);
		const uint64_t add = (past / t->period + 1) * t->period;
		t->due += add;
		t->comparator = (t->comparator + add) & width(t);
	} else if (t->config & TC_32) { /* comes round again when the counter wraps */
		t->due += ((c - t->due) >> 32 << 32) + (1ull << 32);
	} else {
		t->armed = false;
	}
	return true;
}

/* The host is woken for matches that are seen. Linux leaves its timer repeating, without
 * interrupts, when it has found a better one. */
static void follow_timer(struct hpet *h, unsigned i)
{
	const struct hpet_timer *t = &h->s.timer[i];
	const int64_t left = (int64_t)(t->due - counter(h));
	uint64_t when = DEV_TIMER_OFF;

	if (t->armed && is_on(h) && is_seen(t) && left <= (int64_t)FAR_TICKS)
		when = left <= 0 ? dev_now_ns(&h->dev) : (now_ticks(h) + (uint64_t)left) * TICK_NS;
	dev_timer_arm(&h->dev, i, when);
}

/* Before a register is read or written: matches that nobody was woken for. */
static void catch_up(struct hpet *h)
{
	for (unsigned i = 0; i < N_TIMERS; i++)
		if (!is_seen(&h->s.timer[i]))
			(void)pass_match(h, i);
}

static void hpet_timer_due(struct dev *d, unsigned i)
{
	struct hpet *h = hpet_from_dev(d);

	if (pass_match(h, i)) {
		match(h, i);
		follow_lines(h);
	}
	follow_timer(h, i);
}

/* ---- registers ---- */

static uint64_t *timer_reg(struct hpet *h, uint64_t off, unsigned *ret_i)
{
	const uint64_t i = (off - R_TIMER) / T_STRIDE;

	if (off < R_TIMER || i >= N_TIMERS)
		return NULL;
	*ret_i = (unsigned)i;
	switch (off % T_STRIDE) {
	case T_COMPARATOR:
		return &h->s.timer[i].comparator;
	case T_MESSAGE:
		return &h->s.timer[i].message;
	default:
		return NULL;
	}
}

static uint64_t read_reg(struct hpet *h, uint64_t off)
{
	unsigned i = 0;
	const uint64_t *r = timer_reg(h, off, &i);

	if (r != NULL)
		return *r;
	if (off >= R_TIMER && (off - R_TIMER) / T_STRIDE < N_TIMERS && off % T_STRIDE == T_CONFIG) {
		i = (unsigned)((off - R_TIMER) / T_STRIDE);
		return (uint64_t)routes[i] << 32 | h->s.timer[i].config | TC_FIXED;
	}
	switch (off) {
	case R_CAP:
		return CAPABILITIES;
	case R_CONFIG:
		return h->s.config;
	case R_STATUS:
		return h->s.status;
	case R_COUNTER:
		return counter(h);
	default:
		return 0;
	}
}

static void write_config(struct hpet *h, uint32_t v)
{
	const bool was_on = is_on(h);
	const uint64_t c = counter(h);

	h->s.config = v & (CONFIG_ON | CONFIG_LEGACY);
	if (is_on(h) != was_on)
		h->s.counter = is_on(h) ? c - now_ticks(h) : c;
	for (unsigned i = 0; i < N_TIMERS && is_on(h) != was_on; i++) {
		arm(h, i);
		follow_timer(h, i);
	}
}

static void write_timer_config(struct hpet *h, unsigned i, uint32_t v)
{
	struct hpet_timer *t = &h->s.timer[i];
	const uint32_t was = t->config;

	t->config = v & TC_WRITABLE;
	if (t->config & TC_32) {
		t->comparator &= UINT32_MAX;
		t->period &= UINT32_MAX;
	}
	if (!(t->config & TC_LEVEL))
		h->s.status &= ~(1u << i);
	if ((was ^ t->config) & (TC_32 | TC_PERIODIC))
		arm(h, i);
	follow_timer(h, i);
}

/* In a repeating timer the comparator takes the value only after SET_VALUE, the period always. */
static void write_comparator(struct hpet *h, unsigned i, uint64_t v, uint64_t mask)
{
	struct hpet_timer *t = &h->s.timer[i];
	const bool repeats = t->config & TC_PERIODIC;

	mask &= width(t);
	if (mask == 0)
		return; /* the upper half of a 32-bit timer */
	if (!repeats || (t->config & TC_SET_VALUE))
		t->comparator = (t->comparator & ~mask) | (v & mask);
	if (repeats)
		t->period = (t->period & ~mask) | (v & mask & width(t));
	t->config &= ~(uint32_t)TC_SET_VALUE;
	arm(h, i);
	follow_timer(h, i);
}

static void write_counter(struct hpet *h, uint64_t v, uint64_t mask)
{
	const uint64_t c = (counter(h) & ~mask) | (v & mask);

	h->s.counter = is_on(h) ? c - now_ticks(h) : c;
	for (unsigned i = 0; i < N_TIMERS; i++) {
		arm(h, i);
		follow_timer(h, i);
	}
}

static void write_reg(struct hpet *h, uint64_t off, uint64_t v, uint64_t mask)
{
	unsigned i = 0;
	uint64_t *r = timer_reg(h, off, &i);

	if (r != NULL && off % T_STRIDE == T_COMPARATOR) {
		write_comparator(h, i, v, mask);
		return;
	}
	if (r != NULL) {
		*r = (*r & ~mask) | (v & mask);
		return;
	}
	if (off >= R_TIMER && (off - R_TIMER) / T_STRIDE < N_TIMERS && off % T_STRIDE == T_CONFIG) {
		i = (unsigned)((off - R_TIMER) / T_STRIDE);
		write_timer_config(h, i, (uint32_t)((h->s.timer[i].config & ~mask) | (v & mask)));
	} else if (off == R_CONFIG) {
		write_config(h, (uint32_t)((h->s.config & ~mask) | (v & mask)));
	} else if (off == R_STATUS) {
		h->s.status &= (uint32_t) ~(v & mask);
	} else if (off == R_COUNTER) {
		write_counter(h, v, mask);
	}
	follow_lines(h);
}

static uint64_t hpet_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	struct hpet *h = hpet_from_dev(d);

	catch_up(h);
	const uint64_t v = read_reg(h, off & ~7ull);

	(void)region; /* there is one */
	return size == 8 ? v : v >> (off & 7) * 8 & UINT32_MAX;
}

static void hpet_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	const unsigned shift = (unsigned)(off & 7) * 8;
	struct hpet *h = hpet_from_dev(d);

	(void)region;
	catch_up(h);
	write_reg(h, off & ~7ull, v << shift, (size == 8 ? UINT64_MAX : UINT32_MAX) << shift);
}

static void hpet_irq_in(struct dev *d, unsigned input, bool level)
{
	struct hpet *h = hpet_from_dev(d);
	const uint8_t bit = (uint8_t)(1u << input);

	h->s.in = (uint8_t)(level ? h->s.in | bit : h->s.in & ~bit);
	if (!is_legacy(h))
		dev_irq_set(d, input == 0 ? HPET_LINE_IRQ0 : HPET_LINE_IRQ8, level);
}

/* ---- the device ---- */

static void hpet_state_init(void *obj)
{
	struct hpet_state *s = obj;

	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < N_TIMERS; i++)
		s->timer[i].comparator = UINT64_MAX;
}

static int hpet_post_load(void *obj, struct err *e)
{
	const struct hpet_state *s = obj;

	if ((s->config & ~(uint32_t)(CONFIG_ON | CONFIG_LEGACY)) || s->status >> N_TIMERS ||
	    s->in > 3)
		return err_set(e, -EINVAL, "hpet: impossible registers");
	for (unsigned i = 0; i < N_TIMERS; i++) {
		const struct hpet_timer *t = &s->timer[i];
		if ((t->config & ~(uint32_t)TC_WRITABLE) || (t->comparator | t->period) > width(t))
			return err_set(e, -EINVAL, "hpet: timer %u: impossible registers", i);
	}
	return 0;
}

static void hpet_resume(struct dev *d)
{
	struct hpet *h = hpet_from_dev(d);

	for (unsigned i = 0; i < N_TIMERS; i++)
		follow_timer(h, i);
	follow_lines(h);
}

/* The wires keep their levels: their drivers change them. */
static void hpet_reset(struct dev *d)
{
	struct hpet *h = hpet_from_dev(d);
	const uint8_t in = h->s.in;

	hpet_state_init(&h->s);
	h->s.in = in;
	hpet_resume(d);
}

static const struct state_desc hpet_timer_state = {
	.name = "timer",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct hpet_timer),
	.fields =
		(const struct state_field[]){
			STATE(struct hpet_timer, comparator), STATE(struct hpet_timer, period),
			STATE(struct hpet_timer, message), STATE(struct hpet_timer, due),
			STATE(struct hpet_timer, config), STATE(struct hpet_timer, armed),
			STATE_PAD(struct hpet_timer, pad_), STATE_END },
};

static const struct state_desc hpet_state = {
	.name = "hpet",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct hpet_state),
	.init = hpet_state_init,
	.post_load = hpet_post_load,
	.fields =
		(const struct state_field[]){
			STATE_STRUCTS(struct hpet_state, timer, &hpet_timer_state),
			STATE(struct hpet_state, counter), STATE(struct hpet_state, config),
			STATE(struct hpet_state, status), STATE(struct hpet_state, in),
			STATE_PAD(struct hpet_state, pad_), STATE_END },
};

const struct dev_class dm_hpet = {
	.name = "hpet",
	.summary = "high precision event timer",
	.size = sizeof(struct hpet),
	.state = &hpet_state,
	.state_off = offsetof(struct hpet, s),
	.regions = { { "regs", REG_BYTES, 4, 8 } },
	.irqs = { "irq0", "irq8", "pin11", "pin12", "pin20", "pin21", "pin22", "pin23" },
	.n_irq_in = 2,
	.n_timers = N_TIMERS,
	.reset = hpet_reset,
	.read = hpet_read,
	.write = hpet_write,
	.timer = hpet_timer_due,
	.irq_in = hpet_irq_in,
	.resume = hpet_resume,
};
