/*
 * The event loop of the main thread: file descriptors (epoll), host timers (one timerfd) and work
 * posted by other threads (one eventfd). A callback may add, remove and arm anything, itself
 * included. Sources, timers and work items are embedded in their owners: nothing here allocates
 * after they were added.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"

struct loop;

int loop_create(struct loop **ret_loop, struct err *e) HV_MUST_CHECK;
void loop_destroy(struct loop *l); /* NULL is fine; everything added is forgotten */

/* Readable whenever loop_dispatch() has something to do: hang it into another loop. */
int loop_fd(const struct loop *l);

/* One round: waits at most timeout_ms (-1: for ever, 0: not at all), calls what is due. */
void loop_dispatch(struct loop *l, int timeout_ms);

/* Rounds until loop_quit() (any thread, signal handlers too). */
void loop_run(struct loop *l);
void loop_quit(struct loop *l);

/* ---- file descriptors: loop thread only ---- */

struct loop_fd {
	void (*fn)(void *ctx, uint32_t events); /* EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR */
	void *ctx;				/* borrowed */
	int fd;					/* borrowed */
	bool added;
	uint64_t cookie; /* private to loop.c */
};

/* fn, ctx, fd are set by the owner. events as for epoll. */
int loop_fd_add(struct loop *l, struct loop_fd *s, uint32_t events, struct err *e) HV_MUST_CHECK;
int loop_fd_change(struct loop *l, struct loop_fd *s, uint32_t events) HV_MUST_CHECK;
void loop_fd_remove(struct loop *l, struct loop_fd *s); /* twice is once */

/* ---- timers on CLOCK_MONOTONIC: armed by any thread, called in the loop thread ---- */

#define LOOP_TIMER_OFF UINT64_MAX

struct loop_timer {
	void (*fn)(void *ctx);
	void *ctx; /* borrowed */
	/* private to loop.c, under its lock */
	uint64_t when_ns;
	uint32_t heap_index; /* 1-based; 0: not in the heap */
};

/* Instead of what was armed; LOOP_TIMER_OFF disarms. May come late, never early. At most
 * LOOP_MAX_TIMERS can be armed at a time (the heap is allocated once). */
#define LOOP_MAX_TIMERS 1024
void loop_timer_arm(struct loop *l, struct loop_timer *t, uint64_t when_ns);
/* Disarms it, and the loop does not wake up for nothing when it would have been due, as it may
 * after loop_timer_arm(): that costs a system call, and saves a round. */
void loop_timer_forget(struct loop *l, struct loop_timer *t);
uint64_t loop_now_ns(void); /* CLOCK_MONOTONIC */

/* ---- posted work: by any thread, run in the loop thread in the order posted ---- */

struct loop_work {
	void (*fn)(void *ctx);
	void *ctx; /* borrowed */
	/* private to loop.c */
	struct loop_work *next;
	bool queued;
};

/* Already queued and not begun: nothing happens. Does not block, does not allocate. */
void loop_post(struct loop *l, struct loop_work *w);
/* Takes it out again; afterwards fn does not run. Loop thread. */
void loop_unpost(struct loop *l, struct loop_work *w);

/* True in the thread that dispatches (or, before the first dispatch, that created it). */
bool loop_is_mine(const struct loop *l);
#endif
