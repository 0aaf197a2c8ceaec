/*
 * 8254 interval timer: three channels, all modes, binary and BCD, count and status latches,
 * read-back; and system control port B (0x61) with channel 2's gate and output and the refresh bit.
 *
 * Specification: Intel 8254 datasheet (231164); ICH9 datasheet, 5.7 and 13.3 (NMI_SC).
 *
 * A channel is described by when its count was loaded; counts and outputs are computed from the
 * virtual clock. Only channel 0's rising edges need a timer: its line is shown high but for a pulse
 * at each edge (mode 0: low until the edge).
 *
 * Not modelled: sound; NMI sources behind port 0x61 (bits 2 and 3 are storage, 6 and 7 read 0); a
 * new count in mode 3 takes effect at the end of the period, not of the half period. Channel 0
 * interrupts faster than MIN_EDGE_NS are merged, so that a guest cannot keep the host busy.
 */
#include "devmodel/chipset/i8254.h"

enum { REGION_PIT, REGION_PORT61 };
enum { REG_CONTROL = 3, READ_BACK = 3 };
enum { RW_LATCH, RW_LOW, RW_HIGH, RW_BOTH };
enum { P61_GATE2 = 1, P61_KEPT = 0x0f, P61_REFRESH = 0x10, P61_OUT2 = 0x20 };
#define MIN_EDGE_NS 20000u
#define REFRESH_NS 15085u

STATE_LAYOUT_BEGIN
struct pit_channel {
	uint64_t start_ns;	   /* virtual time from which ticks are counted; while counting */
	uint64_t start_ticks;	   /* of them, those before count was loaded */
	uint64_t held_ticks;	   /* since the load; while the gate stops it */
	uint64_t switch_tick;	   /* since the load: next becomes count; while next is not 0 */
	uint32_t count;		   /* 1 to 65536; 0: none was written */
	uint32_t next;		   /* 0: none waits */
	uint16_t latch;		   /* as it is read */
	uint8_t mode, rw;	   /* 0 to 5; RW_LOW to RW_BOTH */
	uint8_t status_latch, low; /* low: first byte of a count of two */
	uint8_t latched;	   /* bytes of latch not read yet */
	bool bcd, gate, loaded, counting, status_latched, read_high, write_high;
	uint8_t pad_[2];
};
struct i8254_state {
	struct pit_channel ch[3];
	uint64_t edge_ns; /* channel 0's next rising edge, or DEV_TIMER_OFF */
	uint8_t port61;
	uint8_t pad_[7];
};
STATE_LAYOUT_END

struct i8254 {
	struct dev dev;
	struct i8254_state s;
};

static struct i8254 *i8254_from_dev(struct dev *d)
{
	assert(d->cls == &dm_i8254);
	return (struct i8254 *)d;
}

static uint64_t ns_of(uint64_t ticks)
{
	return (uint64_t)(((unsigned __int128)ticks * HV_NS_PER_SEC + DM_PIT_HZ - 1) / DM_PIT_HZ);
}

static bool repeats(const struct pit_channel *c)
{
	return c->mode == 2 || c->mode == 3;
}

/* Modes that the gate's rising edge starts. */
static bool is_triggered(const struct pit_channel *c)
{
	return c->mode == 1 || c->mode == 5;
}

/* Clock ticks since the count was loaded. */
static uint64_t ticks(const struct pit_channel *c, uint64_t now)
{
	uint64_t t;

	if (!c->counting)
		return c->held_ticks;
	if (now < c->start_ns)
		return 0;
	t = hv_muldiv64(now - c->start_ns, DM_PIT_HZ, HV_NS_PER_SEC);
	return t > c->start_ticks ? t - c->start_ticks : 0;
}

/* The virtual time at which it has counted n ticks. */
static uint64_t tick_ns(const struct pit_channel *c, uint64_t n)
{
	return c->start_ns + ns_of(c->start_ticks + n);
}

/* A new count that waited for the end of the period takes over. */
static void sync_count(struct pit_channel *c, uint64_t now)
{
	if (c->next == 0 || !c->counting || ticks(c, now) < c->switch_tick)
		return;
	c->start_ticks += c->switch_tick; /* not in ns: rounding would add up */
	c->count = c->next;
	c->next = 0;
}

static bool out(const struct pit_channel *c, uint64_t now)
{
	const uint64_t t = ticks(c, now);

	if (!c->loaded)
		return c->mode != 0;
	switch (c->mode) {
	case 0:
	case 1:
		return t >= c->count;
	case 2:
		return !c->counting || t % c->count != c->count - 1;
	case 3:
		return !c->counting || t % c->count < (c->count + 1) / 2;
	default:
		return t != c->count;
	}
}

static uint32_t modulus(const struct pit_channel *c)
{
	return c->bcd ? 10000 : 65536;
}

/* The counting element, as a number. */
static uint32_t value(const struct pit_channel *c, uint64_t now)
{
	const uint64_t t = ticks(c, now);
	uint64_t at;

	if (!c->loaded)
		return c->count % modulus(c);
	switch (c->mode) {
	case 2:
		return (uint32_t)(c->count - t % c->count) % modulus(c);
	case 3: /* by two, twice a period */
		at = t % c->count;
		if (at >= (c->count + 1) / 2)
			at -= (c->count + 1) / 2;
		return (uint32_t)((c->count & ~1u) - 2 * at) % modulus(c);
	default: /* past zero it goes on from the top */
		return (uint32_t)((c->count + modulus(c) - t % modulus(c)) % modulus(c));
	}
}

static uint16_t to_guest(const struct pit_channel *c, uint32_t v)
{
	if (!c->bcd)
		return (uint16_t)v;
	return (uint16_t)(v / 1000 % 10 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10);
}

/* A written count; zero is the largest, and digits beyond 9 count what they are worth. */
static uint32_t from_guest(const struct pit_channel *c, uint32_t v)
{
	if (c->bcd)
		v = ((v >> 12) * 1000 + (v >> 8 & 15) * 100 + (v >> 4 & 15) * 10 + (v & 15)) %
		    10000;
	if (v == 0)
		v = modulus(c);
	return v == 1 && repeats(c) ? 2 : v;
}

/* Virtual time of channel 0's first rising edge that is not before "from". */
static uint64_t next_edge(const struct pit_channel *c, uint64_t from)
{
	const uint64_t t = ticks(c, from);

	if (!c->loaded || !c->counting)
		return DEV_TIMER_OFF;
	switch (c->mode) {
	case 0:
		return t < c->count ? tick_ns(c, c->count) : DEV_TIMER_OFF;
	case 4: /* the end of the strobe */
		return t <= c->count ? tick_ns(c, c->count + 1) : DEV_TIMER_OFF;
	case 2:
	case 3:
		return tick_ns(c, (t / c->count + 1) * c->count);
	default:
		return DEV_TIMER_OFF;
	}
}

/* Channel 0's timer and line follow it. */
static void follow(struct i8254 *p, uint64_t from)
{
	const struct pit_channel *c = &p->s.ch[0];

	p->s.edge_ns = next_edge(c, from);
	dev_timer_arm(&p->dev, 0, p->s.edge_ns);
	dev_irq_set(&p->dev, 0, c->mode != 0 || out(c, dev_now_ns(&p->dev)));
}

static void start(struct pit_channel *c, uint64_t now)
{
	c->start_ns = now;
	c->start_ticks = 0;
	c->held_ticks = 0;
	c->counting = c->gate || is_triggered(c);
	c->loaded = true;
	c->next = 0;
}

static void load(struct pit_channel *c, uint32_t v, uint64_t now)
{
	const uint32_t n = from_guest(c, v);

	if (is_triggered(c)) { /* from the next trigger on */
		if (c->loaded)
			c->next = n;
		else
			c->count = n;
		c->switch_tick = UINT64_MAX;
	} else if (repeats(c) && c->loaded) { /* from the next period on */
		c->next = n;
		c->switch_tick = (ticks(c, now) / c->count + 1) * c->count;
	} else {
		c->count = n;
		start(c, now);
	}
}

static void set_gate(struct pit_channel *c, bool gate, uint64_t now)
{
	if (gate == c->gate)
		return;
	sync_count(c, now);
	const uint64_t t = ticks(c, now);
	c->gate = gate;
	if (is_triggered(c)) {
		if (gate && c->count != 0) {
			c->count = c->next != 0 ? c->next : c->count;
			start(c, now);
		}
	} else if (repeats(c) && gate && c->loaded) { /* starts over */
		c->count = c->next != 0 ? c->next : c->count;
		start(c, now);
	} else if (c->loaded) { /* goes on, or stands still */
		c->counting = gate;
		c->held_ticks = t;
		c->start_ns = now - hv_min_u64(now, ns_of(t));
		c->start_ticks = 0;
	}
}

static void write_count(struct pit_channel *c, uint8_t v, uint64_t now)
{
	sync_count(c, now);
	switch (c->rw) {
	case RW_LOW:
		load(c, v, now);
		return;
	case RW_HIGH:
		load(c, (uint32_t)v << 8, now);
		return;
	default:
		c->write_high = !c->write_high;
		if (c->write_high) {
			c->low = v;
			if (c->mode == 0) /* the first byte stops it */
				c->loaded = false;
		} else {
			load(c, (uint32_t)v << 8 | c->low, now);
		}
		return;
	}
}

static void latch_count(struct pit_channel *c, uint64_t now)
{
	if (c->latched > 0)
		return; /* the first latch stays until it was read */
	c->latch = to_guest(c, value(c, now));
	c->latched = c->rw == RW_BOTH ? 2 : 1;
}

static void latch_status(struct pit_channel *c, uint64_t now)
{
	const bool null_count = !c->loaded || c->next != 0;

	if (c->status_latched)
		return;
	c->status_latched = true;
	c->status_latch = (uint8_t)(out(c, now) << 7 | null_count << 6 | c->rw << 4 | c->mode << 1 |
				    c->bcd);
}

static void write_control(struct i8254 *p, uint8_t v, uint64_t now)
{
	const unsigned sel = v >> 6, rw = v >> 4 & 3, mode = v >> 1 & 7;

	for (unsigned i = 0; i < 3; i++) {
		struct pit_channel *c = &p->s.ch[i];
		sync_count(c, now);
		if (sel == READ_BACK && (v >> (i + 1) & 1)) {
			if (!(v & 0x20))
				latch_count(c, now);
			if (!(v & 0x10))
				latch_status(c, now);
		} else if (sel == i && rw == RW_LATCH) {
			latch_count(c, now);
		} else if (sel == i) {
			*c = (struct pit_channel){ .mode = (uint8_t)(mode > 5 ? mode - 4 : mode),
						   .rw = (uint8_t)rw,
						   .bcd = v & 1,
						   .gate = c->gate };
		}
	}
}

static uint8_t read_count(struct pit_channel *c, uint64_t now)
{
	uint16_t v;
	bool high = c->rw == RW_HIGH;

	if (c->status_latched) {
		c->status_latched = false;
		return c->status_latch;
	}
	sync_count(c, now);
	v = c->latched > 0 ? c->latch : to_guest(c, value(c, now));
	if (c->rw == RW_BOTH) {
		high = c->read_high;
		c->read_high = !c->read_high;
	}
	if (c->latched > 0)
		c->latched--;
	return (uint8_t)(high ? v >> 8 : v);
}

static uint64_t i8254_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	struct i8254 *p = i8254_from_dev(d);
	const uint64_t now = dev_now_ns(d);
	uint8_t v;

	(void)size;
	if (region == REGION_PIT)
		return off < REG_CONTROL ? read_count(&p->s.ch[off], now) : 0;
	sync_count(&p->s.ch[2], now);
	v = p->s.port61;
	if (now / REFRESH_NS & 1)
		v |= P61_REFRESH;
	if (out(&p->s.ch[2], now))
		v |= P61_OUT2;
	return v;
}

static void i8254_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	struct i8254 *p = i8254_from_dev(d);
	const uint64_t now = dev_now_ns(d);

	(void)size;
	if (region == REGION_PORT61) {
		p->s.port61 = (uint8_t)v & P61_KEPT;
		set_gate(&p->s.ch[2], v & P61_GATE2, now);
		return;
	}
	if (off == REG_CONTROL)
		write_control(p, (uint8_t)v, now);
	else
		write_count(&p->s.ch[off], (uint8_t)v, now);
	if (off == 0 || (off == REG_CONTROL && v >> 6 == 0))
		follow(p, now);
}

static void i8254_timer(struct dev *d, unsigned timer)
{
	struct i8254 *p = i8254_from_dev(d);
	struct pit_channel *c = &p->s.ch[0];
	const uint64_t now = dev_now_ns(d);

	(void)timer; /* there is one */
	if (now < p->s.edge_ns)
		return; /* was under way while the guest reprogrammed it */
	sync_count(c, now);
	if (c->mode != 0)
		dev_irq_set(d, 0, false);
	dev_irq_set(d, 0, true);
	follow(p, repeats(c) && c->count < DM_PIT_HZ / (HV_NS_PER_SEC / MIN_EDGE_NS)
			  ? now + MIN_EDGE_NS
			  : now);
}

static void i8254_state_init(void *obj)
{
	struct i8254_state *s = obj;

	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < 3; i++) {
		s->ch[i].rw = RW_BOTH;
		s->ch[i].gate = i != 2;
	}
	s->edge_ns = DEV_TIMER_OFF;
}

static int i8254_post_load(void *obj, struct err *e)
{
	const struct i8254_state *s = obj;

	for (unsigned i = 0; i < 3; i++) {
		const struct pit_channel *c = &s->ch[i];
		if (c->mode > 5 || c->rw < RW_LOW || c->rw > RW_BOTH || c->latched > 2 ||
		    c->count > 65536 || c->next > 65536 || (c->loaded && c->count == 0))
			return err_set(e, -EINVAL, "i8254: channel %u: impossible registers", i);
		if (c->start_ns > INT64_MAX || c->held_ticks > INT64_MAX / 1000 ||
		    c->start_ticks > INT64_MAX / 1000)
			return err_set(e, -EINVAL, "i8254: channel %u: beyond the end of time", i);
	}
	if (s->port61 & ~P61_KEPT)
		return err_set(e, -EINVAL, "i8254: reserved bits set in port61");
	return 0;
}

static void i8254_reset(struct dev *d)
{
	struct i8254 *p = i8254_from_dev(d);

	i8254_state_init(&p->s);
	follow(p, dev_now_ns(d));
}

/* The edge that was due when the state was taken comes first, however late. */
static void i8254_resume(struct dev *d)
{
	struct i8254 *p = i8254_from_dev(d);
	const struct pit_channel *c = &p->s.ch[0];

	dev_timer_arm(d, 0, p->s.edge_ns);
	dev_irq_set(d, 0, c->mode != 0 || (out(c, dev_now_ns(d)) && p->s.edge_ns == DEV_TIMER_OFF));
}

static const struct state_desc pit_channel_state = {
	.name = "channel",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct pit_channel),
	.fields = (const struct state_field[]){ STATE(struct pit_channel, start_ns),
						STATE(struct pit_channel, start_ticks),
						STATE(struct pit_channel, held_ticks),
						STATE(struct pit_channel, switch_tick),
						STATE(struct pit_channel, count),
						STATE(struct pit_channel, next),
						STATE(struct pit_channel, latch),
						STATE(struct pit_channel, mode),
						STATE(struct pit_channel, rw),
						STATE(struct pit_channel, status_latch),
						STATE(struct pit_channel, low),
						STATE(struct pit_channel, latched),
						STATE(struct pit_channel, bcd),
						STATE(struct pit_channel, gate),
						STATE(struct pit_channel, loaded),
						STATE(struct pit_channel, counting),
						STATE(struct pit_channel, status_latched),
						STATE(struct pit_channel, read_high),
						STATE(struct pit_channel, write_high),
						STATE_PAD(struct pit_channel, pad_),
						STATE_END },
};

static const struct state_desc i8254_state = {
	.name = "i8254",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct i8254_state),
	.init = i8254_state_init,
	.post_load = i8254_post_load,
	.fields = (const struct state_field[]){ STATE_STRUCTS(struct i8254_state, ch,
							      &pit_channel_state),
						STATE(struct i8254_state, edge_ns),
						STATE(struct i8254_state, port61),
						STATE_PAD(struct i8254_state, pad_), STATE_END },
};

const struct dev_class dm_i8254 = {
	.name = "i8254",
	.summary = "8254 interval timer and port 0x61",
	.size = sizeof(struct i8254),
	.state = &i8254_state,
	.state_off = offsetof(struct i8254, s),
	.regions = { [REGION_PIT] = { "pit", 4, 1, 1 }, [REGION_PORT61] = { "port61", 1, 1, 1 } },
	.irqs = { "irq0" },
	.n_timers = 1,
	.reset = i8254_reset,
	.read = i8254_read,
	.write = i8254_write,
	.timer = i8254_timer,
	.resume = i8254_resume,
};
