/*
 * The virtual clock: nanoseconds since the machine was first powered on, standing still while the
 * VM is paused, carried over by saved states. Everything a guest can measure time with follows it;
 * the guest's time-stamp counter is this clock at the CPU model's frequency.
 */
#ifndef CLOCK_CLOCK_H
#define CLOCK_CLOCK_H
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/loop.h"
#include "base/thread.h"

struct hv_clock;

/* Created stopped at 0. Timers are called in loop's thread. loop is borrowed. */
int hv_clock_create(struct loop *loop, struct hv_clock **ret_clock, struct err *e) HV_MUST_CHECK;
void hv_clock_destroy(struct hv_clock *c);

/*
 * Counted: the clock does not follow the host's but what the one vCPU does, which moves it on and
 * calls what is due itself, in its own thread. So all happens at the same points of every run.
 * Set once, before anything is armed; the wall clock begins at a fixed date then. armed is called,
 * in any thread, with domains held, when there is a timer that a vCPU asleep has to know about.
 */
void hv_clock_set_counted(struct hv_clock *c, void (*armed)(void *ctx), void *ctx);
bool hv_clock_counted(const struct hv_clock *c);
/* The vCPU's thread, no domain held. advance: by so many ns. run_due: calls what is due, in the
 * order of when and of arming; returns when the next timer is due (HV_TIMER_OFF: none). skip: to
 * the next timer; false: there is none. */
void hv_clock_advance(struct hv_clock *c, uint64_t ns);
uint64_t hv_clock_run_due(struct hv_clock *c);
bool hv_clock_skip(struct hv_clock *c);

uint64_t hv_clock_now_ns(struct hv_clock *c); /* any thread; monotonic over all of them */
void hv_clock_start(struct hv_clock *c);      /* loop thread; twice is once */
void hv_clock_stop(struct hv_clock *c);
bool hv_clock_running(struct hv_clock *c);
void hv_clock_set_ns(struct hv_clock *c, uint64_t now_ns); /* only while stopped: load */
/* Loop thread: a clock of the engine's, which the guest has seen, is this far; never goes back. */
void hv_clock_catch_up(struct hv_clock *c, uint64_t now_ns);

/* Guest TSC of this clock: now * hz / 10^9; what the guest wrote into it is the vCPU's business. */
void hv_clock_set_tsc_hz(struct hv_clock *c, uint64_t hz);
uint64_t hv_clock_tsc_hz(struct hv_clock *c);
uint64_t hv_clock_tsc(struct hv_clock *c);
uint64_t hv_clock_tsc_to_ns(struct hv_clock *c, uint64_t tsc);
/* The host's own TSC frequency as well as it can be known (leaf 0x15, 0x40000010, or measured once
 * against CLOCK_MONOTONIC_RAW); cached. */
uint64_t hv_host_tsc_hz(void);

/* Wall-clock time in ns since 1970 as the guest's RTC starts with; host CLOCK_REALTIME, or of a
 * counted clock HV_CLOCK_COUNTED_EPOCH_NS and its own time. */
#define HV_CLOCK_COUNTED_EPOCH_NS (1767225600ull * 1000000000) /* 2026-01-01 00:00 UTC */
uint64_t hv_clock_wall_ns(struct hv_clock *c);

/* A timer on the virtual clock. Embedded in its owner. fn runs in the loop thread (of a counted
 * clock: the vCPU's; else see hv_timer_take_over()) under domain (if any), once per arming, perhaps
 * late, never early, never while the clock stands still. */
#define HV_TIMER_OFF UINT64_MAX
struct hv_timer {
	void (*fn)(void *ctx);
	void *ctx;		  /* borrowed */
	struct hv_domain *domain; /* borrowed; O */
	/* private to clock/ */
	struct hv_clock *clock;
	struct loop_timer host;
	uint64_t when_ns;
	struct hv_timer *next, *prev;
};
void hv_timer_init(struct hv_timer *t, struct hv_clock *c, struct hv_domain *domain,
		   void (*fn)(void *ctx), void *ctx);
void hv_timer_finish(struct hv_timer *t); /* loop thread; twice is once */
/* Any thread, its domain held; OFF disarms. */
void hv_timer_arm(struct hv_timer *t, uint64_t when_ns);

/*
 * A thread that is about to sleep, and that t would wake up, waits for t in the loop's stead, so
 * that the loop does not have to wake up first. take_over: until when at most, in the host's time
 * (loop_now_ns()); HV_TIMER_OFF: t is not armed. give_back, after the sleep: calls fn if it is
 * time, else the loop waits again. In between the clock is not stopped; whoever arms t then has the
 * loop wait for it. No domain held. Of a counted clock nothing happens.
 */
uint64_t hv_timer_take_over(struct hv_timer *t);
void hv_timer_give_back(struct hv_timer *t);
#endif
