/*
 * The virtual clock and its timers. Readers take no lock: they look at the clock's two numbers
 * between two looks at a sequence counter. Lock order: domain, clock, loop.
 */
#include "clock/clock.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include "base/util.h"

struct hv_clock {
	struct loop *loop; /* borrowed */
	/* written under lock, between two steps of seq (odd: under way) */
	_Atomic uint32_t seq;
	_Atomic bool running;
	_Atomic uint64_t base_ns;  /* virtual time when it was started, or stopped */
	_Atomic uint64_t start_ns; /* host's monotonic time then */
	_Atomic uint64_t tsc_hz;
	pthread_mutex_t lock;
	struct hv_timer *armed; /* under lock; borrowed; the one armed last comes first */
	/* constant once anything is armed */
	bool counted;
	void (*tell_armed)(void *ctx);
	void *tell_ctx; /* borrowed */
};

int hv_clock_create(struct loop *loop, struct hv_clock **ret_clock, struct err *e)
{
	struct hv_clock *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	c->loop = loop;
	c->tsc_hz = HV_NS_PER_SEC;
	pthread_mutex_init(&c->lock, NULL);
	*ret_clock = c;
	return 0;
}

void hv_clock_destroy(struct hv_clock *c)
{
	if (c == NULL)
		return;
	while (c->armed != NULL)
		hv_timer_finish(c->armed);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/*
 * A reader that fetched the host's time after the writer did would see the odd count: the writer's
 * exchange is a full barrier. So no reader gets ahead of a clock that was stopped.
 */
uint64_t hv_clock_now_ns(struct hv_clock *c)
{
	uint32_t seq;
	uint64_t now;

	do {
		while ((seq = atomic_load_explicit(&c->seq, memory_order_acquire)) & 1)
			__builtin_ia32_pause();
		now = atomic_load_explicit(&c->base_ns, memory_order_acquire);
		if (!c->counted && atomic_load_explicit(&c->running, memory_order_acquire))
			now += loop_now_ns() -
			       atomic_load_explicit(&c->start_ns, memory_order_acquire);
	} while (HV_UNLIKELY(atomic_load_explicit(&c->seq, memory_order_acquire) != seq));
	return now;
}

bool hv_clock_running(struct hv_clock *c)
{
	return c->running;
}

/* Virtual to host time; only while running, under lock. Already past is just as good. */
static uint64_t to_host(struct hv_clock *c, uint64_t when_ns)
{
	uint64_t ahead = when_ns > c->base_ns ? when_ns - c->base_ns : 0;

	return ahead < INT64_MAX - c->start_ns ? c->start_ns + ahead : INT64_MAX;
}

static void set(struct hv_clock *c, bool running, uint64_t *base_ns)
{
	atomic_fetch_add(&c->seq, 1);
	uint64_t host = loop_now_ns();
	if (base_ns != NULL)
		c->base_ns = *base_ns;
	else if (c->running && !c->counted)
		c->base_ns += host - c->start_ns;
	c->start_ns = host;
	c->running = running;
	atomic_fetch_add(&c->seq, 1);
}

/* Tells the loop about t, if it is the loop that calls it. Under lock. */
static void arm_host(struct hv_clock *c, struct hv_timer *t, uint64_t when_ns)
{
	if (!c->counted && c->running)
		loop_timer_arm(c->loop, &t->host,
			       when_ns == HV_TIMER_OFF ? LOOP_TIMER_OFF : to_host(c, when_ns));
}

void hv_clock_start(struct hv_clock *c)
{
	pthread_mutex_lock(&c->lock);
	if (!c->running) {
		set(c, true, NULL);
		for (struct hv_timer *t = c->armed; t != NULL; t = t->next)
			arm_host(c, t, t->when_ns);
	}
	pthread_mutex_unlock(&c->lock);
}

void hv_clock_stop(struct hv_clock *c)
{
	pthread_mutex_lock(&c->lock);
	if (c->running) {
		for (struct hv_timer *t = c->armed; t != NULL; t = t->next)
			arm_host(c, t, HV_TIMER_OFF);
		set(c, false, NULL);
	}
	pthread_mutex_unlock(&c->lock);
}

void hv_clock_set_ns(struct hv_clock *c, uint64_t now_ns)
{
	pthread_mutex_lock(&c->lock);
	assert(!c->running);
	set(c, false, &now_ns);
	pthread_mutex_unlock(&c->lock);
}

void hv_clock_catch_up(struct hv_clock *c, uint64_t now_ns)
{
	pthread_mutex_lock(&c->lock);
	if (hv_clock_now_ns(c) < now_ns) {
		set(c, c->running, &now_ns);
		for (struct hv_timer *t = c->armed; t != NULL; t = t->next)
			arm_host(c, t, t->when_ns);
	}
	pthread_mutex_unlock(&c->lock);
}

uint64_t hv_clock_wall_ns(struct hv_clock *c)
{
	struct timespec ts;

	if (c->counted)
		return HV_CLOCK_COUNTED_EPOCH_NS + hv_clock_now_ns(c);
	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * HV_NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* ---- the guest's time-stamp counter ---- */

void hv_clock_set_tsc_hz(struct hv_clock *c, uint64_t hz)
{
	assert(hz > 0);
	c->tsc_hz = hz;
}

uint64_t hv_clock_tsc_hz(struct hv_clock *c)
{
	return atomic_load_explicit(&c->tsc_hz, memory_order_relaxed);
}

uint64_t hv_clock_tsc(struct hv_clock *c)
{
	return hv_muldiv64(hv_clock_now_ns(c), hv_clock_tsc_hz(c), HV_NS_PER_SEC);
}

/* Rounded up: a timer for the result is not early by the counter. */
uint64_t hv_clock_tsc_to_ns(struct hv_clock *c, uint64_t tsc)
{
	unsigned __int128 ns = (unsigned __int128)tsc * HV_NS_PER_SEC + hv_clock_tsc_hz(c) - 1;

	ns /= hv_clock_tsc_hz(c);
	return ns < HV_TIMER_OFF ? (uint64_t)ns : HV_TIMER_OFF - 1;
}

/* ---- timers ---- */

static void unlink_timer(struct hv_timer *t)
{
	if (t->when_ns == HV_TIMER_OFF)
		return;
	if (t->prev != NULL)
		t->prev->next = t->next;
	else
		t->clock->armed = t->next;
	if (t->next != NULL)
		t->next->prev = t->prev;
	t->next = t->prev = NULL;
	t->when_ns = HV_TIMER_OFF;
}

/* What is due is decided here, under the domain: whoever armed or disarmed it meanwhile held it. */
static bool take_if_due(struct hv_timer *t)
{
	struct hv_clock *c = t->clock;
	bool due = false;

	pthread_mutex_lock(&c->lock);
	if (c->running && t->when_ns != HV_TIMER_OFF) {
		due = hv_clock_now_ns(c) >= t->when_ns;
		if (due)
			unlink_timer(t);
		else
			arm_host(c, t, t->when_ns);
	}
	pthread_mutex_unlock(&c->lock);
	return due;
}

static void host_timer(void *ctx)
{
	struct hv_timer *t = ctx;
	struct hv_domain *domain = t->domain;

	if (domain != NULL)
		hv_domain_lock(domain);
	if (take_if_due(t))
		t->fn(t->ctx);
	if (domain != NULL)
		hv_domain_unlock(domain);
}

void hv_timer_init(struct hv_timer *t, struct hv_clock *c, struct hv_domain *domain,
		   void (*fn)(void *ctx), void *ctx)
{
	memset(t, 0, sizeof(*t));
	t->fn = fn;
	t->ctx = ctx;
	t->domain = domain;
	t->clock = c;
	t->when_ns = HV_TIMER_OFF;
	t->host.fn = host_timer;
	t->host.ctx = t;
}

void hv_timer_arm(struct hv_timer *t, uint64_t when_ns)
{
	struct hv_clock *c = t->clock;

	pthread_mutex_lock(&c->lock);
	if (t->when_ns == HV_TIMER_OFF && when_ns != HV_TIMER_OFF) {
		t->prev = NULL;
		t->next = c->armed;
		if (c->armed != NULL)
			c->armed->prev = t;
		c->armed = t;
		t->when_ns = when_ns;
	} else if (when_ns != HV_TIMER_OFF) {
		t->when_ns = when_ns;
	} else {
		unlink_timer(t);
	}
	arm_host(c, t, when_ns);
	pthread_mutex_unlock(&c->lock);
	if (c->counted && when_ns != HV_TIMER_OFF)
		c->tell_armed(c->tell_ctx);
}

uint64_t hv_timer_take_over(struct hv_timer *t)
{
	struct hv_clock *c = t->clock;
	uint64_t until = HV_TIMER_OFF;

	pthread_mutex_lock(&c->lock);
	if (!c->counted && c->running && t->when_ns != HV_TIMER_OFF) {
		until = to_host(c, t->when_ns);
		loop_timer_forget(c->loop, &t->host);
	}
	pthread_mutex_unlock(&c->lock);
	return until;
}

void hv_timer_give_back(struct hv_timer *t)
{
	if (!t->clock->counted)
		host_timer(t);
}

/* ---- a clock that is counted ---- */

void hv_clock_set_counted(struct hv_clock *c, void (*armed)(void *ctx), void *ctx)
{
	assert(c->armed == NULL);
	c->counted = true;
	c->tell_armed = armed;
	c->tell_ctx = ctx;
}

bool hv_clock_counted(const struct hv_clock *c)
{
	return c->counted;
}

void hv_clock_advance(struct hv_clock *c, uint64_t ns)
{
	pthread_mutex_lock(&c->lock);
	uint64_t now = c->base_ns + ns;

	set(c, c->running, &now);
	pthread_mutex_unlock(&c->lock);
}

/* Of those for the same time the one armed first, which is the last in the list. */
static struct hv_timer *earliest(struct hv_clock *c)
{
	struct hv_timer *first = NULL;

	for (struct hv_timer *t = c->armed; t != NULL; t = t->next)
		if (first == NULL || t->when_ns <= first->when_ns)
			first = t;
	return first;
}

#define DUE_AT_ONCE 64 /* then the guest has a turn, whatever is armed again and again */

uint64_t hv_clock_run_due(struct hv_clock *c)
{
	uint64_t next = HV_TIMER_OFF;

	for (unsigned n = 0; n <= DUE_AT_ONCE; n++) {
		pthread_mutex_lock(&c->lock);
		struct hv_timer *t = earliest(c);
		next = t != NULL ? t->when_ns : HV_TIMER_OFF;
		pthread_mutex_unlock(&c->lock);
		if (t == NULL || !c->running || next > c->base_ns || n == DUE_AT_ONCE)
			break;
		host_timer(t);
	}
	return next;
}

bool hv_clock_skip(struct hv_clock *c)
{
	pthread_mutex_lock(&c->lock);
	const struct hv_timer *t = earliest(c);

	if (t != NULL && c->running && t->when_ns > c->base_ns) {
		uint64_t when = t->when_ns;
		set(c, true, &when);
	}
	pthread_mutex_unlock(&c->lock);
	return t != NULL;
}

void hv_timer_finish(struct hv_timer *t)
{
	if (t->clock == NULL)
		return;
	hv_timer_arm(t, HV_TIMER_OFF);
	loop_timer_arm(t->clock->loop, &t->host, LOOP_TIMER_OFF);
	t->clock = NULL;
}
