/*
 * MC146818 real-time clock as in the ICH9: time, alarm, periodic and update interrupts, 256 bytes
 * of CMOS memory.
 *
 * Specification: Motorola MC146818A datasheet; ICH9 datasheet, 5.12 and 13.6.
 *
 * The time is the host's wall clock plus an offset that the guest changes by setting the clock. The
 * registers follow it lazily; timers run only for interrupts that are enabled.
 *
 * Not modelled: daylight saving (DSE), the square wave, the ICH9's date alarm. Periodic interrupts
 * that come while the last one is not acknowledged are one.
 */
#include "devmodel/chipset/mc146818.h"

enum { PORT_INDEX, PORT_DATA, PORT_INDEX2, PORT_DATA2 };
enum {
	R_SEC,
	R_SEC_ALARM,
	R_MIN,
	R_MIN_ALARM,
	R_HOUR,
	R_HOUR_ALARM,
	R_WDAY,
	R_DAY,
	R_MONTH,
	R_YEAR,
	R_A,
	R_B,
	R_C,
	R_D,
	R_CENTURY = 0x32
};
enum { A_UIP = 0x80, A_DV = 0x70, A_DV_RUN = 0x20, A_DV_RESET = 0x60, A_RS = 0x0f };
enum {
	B_24H = 2,
	B_BINARY = 4,
	B_SQWE = 8,
	B_UIE = 0x10,
	B_AIE = 0x20,
	B_PIE = 0x40,
	B_SET = 0x80
};
enum { C_UF = 0x10, C_AF = 0x20, C_PF = 0x40, C_IRQF = 0x80, C_FLAGS = 0x70 };
enum { D_VRT = 0x80, HOUR_PM = 0x80, ALARM_ANY = 0xc0, NMI_MASK = 0x80 };
enum { TIMER_PERIODIC, TIMER_UPDATE };
#define UIP_NS 2228000 /* before the end of the update */
#define HALF_SEC_NS 500000000
#define SEC_NS 1000000000ll
#define BASE_HZ 32768u
#define MAX_OFFSET_NS ((int64_t)1 << 62)

STATE_LAYOUT_BEGIN
struct rtc_state {
	int64_t offset_ns;   /* guest's time is the wall clock plus this; while it runs */
	int64_t updated_sec; /* the last second whose update was seen, guest's time */
	uint64_t ticked;     /* base ticks of virtual time at which periods were last looked at */
	uint8_t cmos[256];   /* time registers: as set, while the clock stands */
	uint8_t index, index2;
	uint8_t flags; /* of register C */
	bool runs;
	uint8_t pad_[4];
};
STATE_LAYOUT_END

struct rtc {
	struct dev dev;
	struct rtc_state s;
};

static struct rtc *rtc_from_dev(struct dev *d)
{
	assert(d->cls == &dm_mc146818);
	return (struct rtc *)d;
}

/* ---- time and its representation ---- */

static int64_t guest_ns(const struct rtc *r)
{
	return (int64_t)dev_wall_ns(&r->dev) + r->s.offset_ns;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

struct when {
	int year, month, day, wday, hour, min, sec; /* month, day from 1, wday 1 is Sunday */
};

/* Days since 1970-01-01 to the date and back, after the usual reckoning in eras of 400 years that
 * begin in March. */
static int64_t days_of(int year, int month, int day)
{
	const int64_t y = year - (month <= 2), era = floor_div(y, 400), yoe = y - era * 400;
	const int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static struct when when_of(int64_t sec)
{
	const int64_t days = floor_div(sec, 86400), rest = sec - days * 86400;
	const int64_t z = days + 719468, era = floor_div(z, 146097), doe = z - era * 146097;
	const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	const int month = (int)(mp < 10 ? mp + 3 : mp - 9);
	const int64_t wday = (days + 4) % 7;

	return (struct when){ .year = (int)(yoe + era * 400) + (month <= 2),
			      .month = month,
			      .day = (int)(doy - (153 * mp + 2) / 5 + 1),
			      .wday = (int)(wday < 0 ? wday + 7 : wday) + 1,
			      .hour = (int)(rest / 3600),
			      .min = (int)(rest / 60 % 60),
			      .sec = (int)(rest % 60) };
}

static uint8_t enc(const struct rtc *r, int v)
{
	return (uint8_t)(r->s.cmos[R_B] & B_BINARY ? v : v / 10 * 16 + v % 10);
}

static int dec(const struct rtc *r, uint8_t v)
{
	return r->s.cmos[R_B] & B_BINARY ? v : (v >> 4) * 10 + (v & 15);
}

static uint8_t enc_hour(const struct rtc *r, int h)
{
	if (r->s.cmos[R_B] & B_24H)
		return enc(r, h);
	return (uint8_t)(enc(r, h % 12 == 0 ? 12 : h % 12) | (h >= 12 ? HOUR_PM : 0));
}

static int dec_hour(const struct rtc *r, uint8_t v)
{
	if (r->s.cmos[R_B] & B_24H)
		return dec(r, v);
	return dec(r, v & 0x7f) % 12 + (v & HOUR_PM ? 12 : 0);
}

/* The time registers show sec. */
static void show(struct rtc *r, int64_t sec)
{
	const struct when w = when_of(sec);
	uint8_t *c = r->s.cmos;

	c[R_SEC] = enc(r, w.sec);
	c[R_MIN] = enc(r, w.min);
	c[R_HOUR] = enc_hour(r, w.hour);
	c[R_WDAY] = enc(r, w.wday);
	c[R_DAY] = enc(r, w.day);
	c[R_MONTH] = enc(r, w.month);
	c[R_YEAR] = enc(r, w.year % 100);
	c[R_CENTURY] = enc(r, w.year / 100 % 100);
}

static int clip(int v, int min, int max)
{
	return v < min ? min : v > max ? max : v;
}

/* What the time registers show, as seconds since 1970; nonsense becomes the nearest sense. */
static int64_t shown(const struct rtc *r)
{
	const uint8_t *c = r->s.cmos;
	const int yy = clip(dec(r, c[R_YEAR]), 0, 99);
	int year = dec(r, c[R_CENTURY]) * 100 + yy;

	if (year < 1970 || year > 2099)
		year = 2000 + yy;
	return days_of(year, clip(dec(r, c[R_MONTH]), 1, 12), clip(dec(r, c[R_DAY]), 1, 31)) *
		       86400 +
	       clip(dec_hour(r, c[R_HOUR]), 0, 23) * 3600 + clip(dec(r, c[R_MIN]), 0, 59) * 60 +
	       clip(dec(r, c[R_SEC]), 0, 59);
}

/* ---- flags and the line ---- */

static bool alarm_matches(const struct rtc *r, int64_t sec)
{
	const struct when w = when_of(sec);
	const uint8_t *c = r->s.cmos;

	return ((c[R_SEC_ALARM] & ALARM_ANY) == ALARM_ANY || c[R_SEC_ALARM] == enc(r, w.sec)) &&
	       ((c[R_MIN_ALARM] & ALARM_ANY) == ALARM_ANY || c[R_MIN_ALARM] == enc(r, w.min)) &&
	       ((c[R_HOUR_ALARM] & ALARM_ANY) == ALARM_ANY ||
		c[R_HOUR_ALARM] == enc_hour(r, w.hour));
}

static uint64_t base_ticks(const struct rtc *r)
{
	return hv_muldiv64(dev_now_ns(&r->dev), BASE_HZ, HV_NS_PER_SEC);
}

/* Base ticks of a period; 0: none is selected. */
static uint64_t period(const struct rtc *r)
{
	const unsigned rs = r->s.cmos[R_A] & A_RS;

	if (rs == 0)
		return 0;
	return 1ull << (rs <= 2 ? rs + 6 : rs - 1);
}

/* Sets the flags of everything that happened since the last look. */
static void catch_up(struct rtc *r)
{
	const uint64_t p = period(r), t = base_ticks(r);
	int64_t sec;

	if (p != 0 && t / p != r->s.ticked / p)
		r->s.flags |= C_PF;
	r->s.ticked = t;
	if (!r->s.runs)
		return;
	sec = floor_div(guest_ns(r), SEC_NS);
	if (sec > r->s.updated_sec) {
		r->s.flags |= C_UF;
		/* a day has them all */
		int64_t from = sec - r->s.updated_sec > 86400 ? sec - 86400 : r->s.updated_sec;
		while (from < sec && !(r->s.flags & C_AF))
			if (alarm_matches(r, ++from))
				r->s.flags |= C_AF;
	}
	r->s.updated_sec = sec;
}

static void follow(struct rtc *r)
{
	const uint8_t b = r->s.cmos[R_B];
	const uint64_t p = period(r), now = dev_now_ns(&r->dev);
	uint64_t when = DEV_TIMER_OFF;

	if ((b & B_PIE) && p != 0) {
		const uint64_t tick = (base_ticks(r) / p + 1) * p;
		when = (uint64_t)(((unsigned __int128)tick * HV_NS_PER_SEC + BASE_HZ - 1) /
				  BASE_HZ);
	}
	dev_timer_arm(&r->dev, TIMER_PERIODIC, when);
	when = DEV_TIMER_OFF;
	if ((b & (B_UIE | B_AIE)) && r->s.runs) {
		const int64_t g = guest_ns(r);
		when = now + (uint64_t)(SEC_NS - (g - floor_div(g, SEC_NS) * SEC_NS));
	}
	dev_timer_arm(&r->dev, TIMER_UPDATE, when);
	dev_irq_set(&r->dev, 0, r->s.flags & b & C_FLAGS);
}

/* ---- registers ---- */

static bool should_run(const struct rtc *r)
{
	return !(r->s.cmos[R_B] & B_SET) && (r->s.cmos[R_A] & A_DV_RESET) != A_DV_RESET;
}

static int64_t bounded(int64_t offset)
{
	return offset > MAX_OFFSET_NS	 ? MAX_OFFSET_NS
	       : offset < -MAX_OFFSET_NS ? -MAX_OFFSET_NS
					 : offset;
}

/* The registers' time from now on; frac: how much of the second is over. */
static void set_time(struct rtc *r, int64_t frac)
{
	r->s.offset_ns = bounded(shown(r) * SEC_NS + frac - (int64_t)dev_wall_ns(&r->dev));
	r->s.updated_sec = floor_div(guest_ns(r), SEC_NS);
}

static int64_t fraction(const struct rtc *r)
{
	const int64_t g = guest_ns(r);

	return g - floor_div(g, SEC_NS) * SEC_NS;
}

/* A or B changed: the clock stops with its time in the registers, or goes on from there. After the
 * divider's reset the first update comes half a second later. */
static void stop_or_go(struct rtc *r, bool divider_was_reset)
{
	const bool runs = should_run(r);

	if (runs && !r->s.runs)
		set_time(r, divider_was_reset ? HALF_SEC_NS : fraction(r));
	r->s.runs = runs;
}

static void freeze(struct rtc *r)
{
	if (r->s.runs)
		show(r, floor_div(guest_ns(r), SEC_NS));
}

static bool is_time(uint8_t i)
{
	return (i <= R_YEAR && i != R_SEC_ALARM && i != R_MIN_ALARM && i != R_HOUR_ALARM) ||
	       i == R_CENTURY;
}

static void write_reg(struct rtc *r, uint8_t i, uint8_t v)
{
	uint8_t *c = r->s.cmos;
	const bool divider_reset = (c[R_A] & A_DV_RESET) == A_DV_RESET;

	catch_up(r);
	switch (i) {
	case R_A:
		freeze(r);
		c[R_A] = v & (uint8_t)~A_UIP;
		stop_or_go(r, divider_reset);
		break;
	case R_B:
		freeze(r);
		c[R_B] = v & B_SET ? v & (uint8_t)~B_UIE : v;
		stop_or_go(r, divider_reset);
		break;
	case R_C:
	case R_D:
		return; /* read only */
	default:
		if (is_time(i) && r->s.runs) { /* not what the book says, but it counts */
			freeze(r);
			c[i] = v;
			set_time(r, fraction(r));
		}
		c[i] = v;
		break;
	}
	follow(r);
}

static uint8_t read_reg(struct rtc *r, uint8_t i)
{
	uint8_t v;

	if (is_time(i))
		freeze(r);
	switch (i) {
	case R_A:
		v = r->s.cmos[R_A];
		if (r->s.runs && fraction(r) >= SEC_NS - UIP_NS)
			v |= A_UIP;
		return v;
	case R_C:
		catch_up(r);
		v = r->s.flags | (r->s.flags & r->s.cmos[R_B] & C_FLAGS ? C_IRQF : 0);
		r->s.flags = 0;
		follow(r);
		return v;
	case R_D:
		return D_VRT;
	default:
		return r->s.cmos[i];
	}
}

static uint64_t rtc_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	struct rtc *r = rtc_from_dev(d);

	(void)region, (void)size;
	switch (off) {
	case PORT_DATA:
		return read_reg(r, r->s.index & 0x7f);
	case PORT_INDEX2:
		return r->s.index2;
	case PORT_DATA2:
		return r->s.cmos[0x80 | r->s.index2];
	default: /* write only */
		return 0xff;
	}
}

static void rtc_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	struct rtc *r = rtc_from_dev(d);

	(void)region, (void)size;
	switch (off) {
	case PORT_INDEX:
		__atomic_store_n(&r->s.index, (uint8_t)v, __ATOMIC_RELAXED);
		break;
	case PORT_DATA:
		write_reg(r, r->s.index & 0x7f, (uint8_t)v);
		break;
	case PORT_INDEX2:
		r->s.index2 = v & 0x7f;
		break;
	default:
		r->s.cmos[0x80 | r->s.index2] = (uint8_t)v;
		break;
	}
}

static void rtc_timer(struct dev *d, unsigned timer)
{
	struct rtc *r = rtc_from_dev(d);

	(void)timer; /* whichever it is, the state says what happened */
	catch_up(r);
	follow(r);
}

/* ---- for the machine ---- */

void dm_rtc_set_byte(struct dev *d, uint8_t index, uint8_t v)
{
	rtc_from_dev(d)->s.cmos[index] = v;
}

static void set_word(struct dev *d, uint8_t low, uint64_t v)
{
	dm_rtc_set_byte(d, low, (uint8_t)v);
	dm_rtc_set_byte(d, (uint8_t)(low + 1), (uint8_t)(v >> 8));
}

void dm_rtc_set_memory(struct dev *d, uint64_t below_4g_bytes, uint64_t above_4g_bytes)
{
	const uint64_t b = below_4g_bytes;
	const uint64_t ext_kib = b > HV_MIB(1) ? (b - HV_MIB(1)) / HV_KIB(1) : 0;
	const uint64_t above_16m = b > HV_MIB(16) ? (b - HV_MIB(16)) / HV_KIB(64) : 0;
	const uint64_t above_4g = above_4g_bytes / HV_KIB(64);

	set_word(d, 0x15, 640);
	set_word(d, 0x17, hv_min_u64(ext_kib, 0xffff));
	set_word(d, 0x30, hv_min_u64(ext_kib, 0xffff));
	set_word(d, 0x34, hv_min_u64(above_16m, 0xffff));
	set_word(d, 0x5b, above_4g & 0xffff);
	dm_rtc_set_byte(d, 0x5d, (uint8_t)hv_min_u64(above_4g >> 16, 0xff));
}

void dm_rtc_set_utc_offset(struct dev *d, int32_t seconds)
{
	struct rtc *r = rtc_from_dev(d);

	r->s.offset_ns = seconds * SEC_NS;
	r->s.updated_sec = floor_div(guest_ns(r), SEC_NS);
}

bool dm_rtc_nmi_masked(const struct dev *d)
{
	return __atomic_load_n(&((const struct rtc *)d)->s.index, __ATOMIC_RELAXED) & NMI_MASK;
}

/* ---- the device ---- */

static void rtc_state_init(void *obj)
{
	struct rtc_state *s = obj;

	memset(s, 0, sizeof(*s));
	s->cmos[R_A] = A_DV_RUN | 6;
	s->cmos[R_B] = B_24H;
	s->runs = true;
}

static int rtc_realize(struct dev *d, struct err *e)
{
	struct rtc *r = rtc_from_dev(d);

	(void)e;
	rtc_state_init(&r->s);
	r->s.updated_sec = floor_div(guest_ns(r), SEC_NS);
	r->s.ticked = base_ticks(r);
	return 0;
}

static void rtc_reset(struct dev *d)
{
	struct rtc *r = rtc_from_dev(d);

	r->s.cmos[R_B] &= (uint8_t) ~(B_PIE | B_AIE | B_UIE | B_SQWE);
	catch_up(r);
	r->s.flags = 0;
	__atomic_store_n(&r->s.index, 0, __ATOMIC_RELAXED);
	r->s.index2 = 0;
	follow(r);
}

static void rtc_resume(struct dev *d)
{
	struct rtc *r = rtc_from_dev(d);

	catch_up(r);
	follow(r);
}

static int rtc_post_load(void *obj, struct err *e)
{
	const struct rtc_state *s = obj;

	if (s->offset_ns > MAX_OFFSET_NS || s->offset_ns < -MAX_OFFSET_NS ||
	    s->updated_sec > INT64_MAX / SEC_NS || s->updated_sec < -(INT64_MAX / SEC_NS))
		return err_set(e, -EINVAL, "mc146818: time out of range");
	if ((s->flags & ~C_FLAGS) || (s->index2 & 0x80) || (s->cmos[R_A] & A_UIP))
		return err_set(e, -EINVAL, "mc146818: impossible registers");
	return 0;
}

static const struct state_desc rtc_state = {
	.name = "mc146818",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct rtc_state),
	.init = rtc_state_init,
	.post_load = rtc_post_load,
	.fields =
		(const struct state_field[]){
			STATE(struct rtc_state, offset_ns), STATE(struct rtc_state, updated_sec),
			STATE(struct rtc_state, ticked), STATE_ARRAY(struct rtc_state, cmos),
			STATE(struct rtc_state, index), STATE(struct rtc_state, index2),
			STATE(struct rtc_state, flags), STATE(struct rtc_state, runs),
			STATE_PAD(struct rtc_state, pad_), STATE_END },
};

const struct dev_class dm_mc146818 = {
	.name = "mc146818",
	.summary = "real-time clock with CMOS memory",
	.size = sizeof(struct rtc),
	.state = &rtc_state,
	.state_off = offsetof(struct rtc, s),
	.regions = { { "cmos", 4, 1, 1 } },
	.irqs = { "irq8" },
	.n_timers = 2,
	.realize = rtc_realize,
	.reset = rtc_reset,
	.read = rtc_read,
	.write = rtc_write,
	.timer = rtc_timer,
	.resume = rtc_resume,
};
