/*
 * See loop.h. One epoll set holds the owners' descriptors, one timerfd for all timers and one
 * eventfd for posted work. The events of a descriptor that was removed while its round was under
 * way must not be delivered: epoll carries a slot number with a generation, not a pointer.
 */
#include "base/loop.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include "base/thread.h"
#include "base/util.h"

#define ROUND_EVENTS 64
#define SLOT_TIMER 0 /* slots that are the loop's own */
#define SLOT_POST 1
#define SLOT_FIRST 2

struct slot {
	struct loop_fd *s; /* borrowed; NULL: free */
	uint32_t gen;
};

struct loop {
	int epoll_fd, timer_fd, post_fd;
	atomic_bool quit;
	void *_Atomic owner; /* address of a thread-local of the loop thread */
	/* loop thread */
	struct slot *slots; /* owned */
	uint32_t n_slots;
	/* under lock, which is a leaf: nothing is called with it held */
	pthread_mutex_t lock;
	struct loop_timer *heap[LOOP_MAX_TIMERS + 1]; /* borrowed; 1-based */
	uint32_t n_heap;
	uint64_t programmed_ns; /* what the timerfd is set to */
	struct loop_work *work_first, **work_end;
};

static _Thread_local char thread_mark;

uint64_t loop_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * HV_NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

static int add_own(struct loop *l, int fd, uint64_t slot)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = slot };

	return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

int loop_create(struct loop **ret_loop, struct err *e)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	pthread_mutex_init(&l->lock, NULL);
	l->work_end = &l->work_first;
	l->programmed_ns = LOOP_TIMER_OFF;
	l->n_slots = SLOT_FIRST;
	l->owner = &thread_mark;
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	l->post_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->slots = calloc(l->n_slots, sizeof(*l->slots));
	if (l->epoll_fd < 0 || l->timer_fd < 0 || l->post_fd < 0 || l->slots == NULL ||
	    add_own(l, l->timer_fd, SLOT_TIMER) < 0 || add_own(l, l->post_fd, SLOT_POST) < 0) {
		int r = err_set(e, -errno, "cannot create an event loop: %s", strerror(errno));
		loop_destroy(l);
		return r;
	}
	*ret_loop = l;
	return 0;
}

void loop_destroy(struct loop *l)
{
	if (l == NULL)
		return;
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	if (l->timer_fd >= 0)
		close(l->timer_fd);
	if (l->post_fd >= 0)
		close(l->post_fd);
	pthread_mutex_destroy(&l->lock);
	free(l->slots);
	free(l);
}

int loop_fd(const struct loop *l)
{
	return l->epoll_fd;
}

bool loop_is_mine(const struct loop *l)
{
	return atomic_load_explicit(&l->owner, memory_order_relaxed) == &thread_mark;
}

/* ---- file descriptors ---- */

static uint32_t free_slot(struct loop *l)
{
	for (uint32_t i = SLOT_FIRST; i < l->n_slots; i++)
		if (l->slots[i].s == NULL)
			return i;
	struct slot *p = realloc(l->slots, (size_t)l->n_slots * 2 * sizeof(*p));
	if (p == NULL)
		return 0;
	memset(p + l->n_slots, 0, l->n_slots * sizeof(*p));
	l->slots = p;
	l->n_slots *= 2;
	return l->n_slots / 2;
}

int loop_fd_add(struct loop *l, struct loop_fd *s, uint32_t events, struct err *e)
{
	uint32_t i = free_slot(l);

	assert(!s->added);
	if (i == 0)
		return err_set(e, -ENOMEM, "out of memory");
	s->cookie = (uint64_t)l->slots[i].gen << 32 | i;
	struct epoll_event ev = { .events = events, .data.u64 = s->cookie };
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, s->fd, &ev) < 0)
		return err_set(e, -errno, "cannot watch descriptor %d: %s", s->fd, strerror(errno));
	l->slots[i].s = s;
	s->added = true;
	return 0;
}

int loop_fd_change(struct loop *l, struct loop_fd *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.u64 = s->cookie };

	return epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, s->fd, &ev) < 0 ? -errno : 0;
}

void loop_fd_remove(struct loop *l, struct loop_fd *s)
{
	if (!s->added)
		return;
	struct slot *slot = &l->slots[(uint32_t)s->cookie];
	slot->s = NULL;
	slot->gen++;
	s->added = false;
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
}

/* ---- timers: a binary heap, the earliest at 1 ---- */

static void heap_put(struct loop *l, uint32_t i, struct loop_timer *t)
{
	l->heap[i] = t;
	t->heap_index = i;
}

static void heap_up(struct loop *l, uint32_t i, struct loop_timer *t)
{
	for (; i > 1 && l->heap[i / 2]->when_ns > t->when_ns; i /= 2)
		heap_put(l, i, l->heap[i / 2]);
	heap_put(l, i, t);
}

static void heap_down(struct loop *l, uint32_t i, struct loop_timer *t)
{
	for (uint32_t c = i * 2; c <= l->n_heap; i = c, c = i * 2) {
		if (c < l->n_heap && l->heap[c + 1]->when_ns < l->heap[c]->when_ns)
			c++;
		if (l->heap[c]->when_ns >= t->when_ns)
			break;
		heap_put(l, i, l->heap[c]);
	}
	heap_put(l, i, t);
}

static void heap_remove(struct loop *l, struct loop_timer *t)
{
	uint32_t i = t->heap_index;
	struct loop_timer *last = l->heap[l->n_heap--];

	t->heap_index = 0;
	if (last == t)
		return;
	if (i > 1 && l->heap[i / 2]->when_ns > last->when_ns)
		heap_up(l, i, last);
	else
		heap_down(l, i, last);
}

static void program(struct loop *l, uint64_t when_ns)
{
	struct itimerspec its = { 0 };

	l->programmed_ns = when_ns;
	if (when_ns != LOOP_TIMER_OFF) {
		when_ns = hv_min_u64(hv_max_u64(when_ns, 1), INT64_MAX); /* 0 would disarm it */
		its.it_value.tv_sec = (time_t)(when_ns / HV_NS_PER_SEC);
		its.it_value.tv_nsec = (long)(when_ns % HV_NS_PER_SEC);
	}
	timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
}

/* A timerfd that is set too early costs one empty round, so it is only ever moved forward here:
 * a timer that is pushed back again and again costs no system call. */
void loop_timer_arm(struct loop *l, struct loop_timer *t, uint64_t when_ns)
{
	pthread_mutex_lock(&l->lock);
	if (t->heap_index != 0)
		heap_remove(l, t);
	t->when_ns = when_ns;
	if (when_ns != LOOP_TIMER_OFF) {
		assert(l->n_heap < LOOP_MAX_TIMERS);
		heap_up(l, ++l->n_heap, t);
		if (when_ns < l->programmed_ns)
			program(l, when_ns);
	}
	pthread_mutex_unlock(&l->lock);
}

void loop_timer_forget(struct loop *l, struct loop_timer *t)
{
	pthread_mutex_lock(&l->lock);
	if (t->heap_index != 0)
		heap_remove(l, t);
	t->when_ns = LOOP_TIMER_OFF;
	const uint64_t next = l->n_heap > 0 ? l->heap[1]->when_ns : LOOP_TIMER_OFF;
	if (next > l->programmed_ns)
		program(l, next);
	pthread_mutex_unlock(&l->lock);
}

static struct loop_timer *pop_due(struct loop *l, uint64_t now)
{
	struct loop_timer *t = NULL;

	pthread_mutex_lock(&l->lock);
	if (l->n_heap > 0 && l->heap[1]->when_ns <= now) {
		t = l->heap[1];
		heap_remove(l, t);
	}
	pthread_mutex_unlock(&l->lock);
	return t;
}

/* Each timer at most about once a round, so that one that is always due starves nobody. */
static void run_timers(struct loop *l)
{
	uint64_t expirations, now = loop_now_ns();
	ssize_t n = read(l->timer_fd, &expirations, sizeof(expirations));
	struct loop_timer *t;
	(void)n;

	pthread_mutex_lock(&l->lock);
	uint32_t most = l->n_heap;
	l->programmed_ns = LOOP_TIMER_OFF;
	pthread_mutex_unlock(&l->lock);
	while (most-- > 0 && (t = pop_due(l, now)) != NULL)
		t->fn(t->ctx);
	pthread_mutex_lock(&l->lock);
	if (l->n_heap > 0 && l->heap[1]->when_ns < l->programmed_ns)
		program(l, l->heap[1]->when_ns);
	pthread_mutex_unlock(&l->lock);
}

/* ---- posted work ---- */

static void wake(struct loop *l)
{
	uint64_t one = 1;
	ssize_t n = write(l->post_fd, &one, sizeof(one)); /* full means awake already */

	(void)n;
}

void loop_post(struct loop *l, struct loop_work *w)
{
	bool first = false;

	pthread_mutex_lock(&l->lock);
	if (!w->queued) {
		first = l->work_first == NULL;
		w->queued = true;
		w->next = NULL;
		*l->work_end = w;
		l->work_end = &w->next;
	}
	pthread_mutex_unlock(&l->lock);
	if (first)
		wake(l);
}

static void unlink_work(struct loop *l, struct loop_work **at)
{
	struct loop_work *w = *at;

	*at = w->next;
	if (l->work_end == &w->next)
		l->work_end = at;
	w->queued = false;
}

void loop_unpost(struct loop *l, struct loop_work *w)
{
	pthread_mutex_lock(&l->lock);
	for (struct loop_work **at = &l->work_first; *at != NULL; at = &(*at)->next) {
		if (*at == w) {
			unlink_work(l, at);
			break;
		}
	}
	pthread_mutex_unlock(&l->lock);
}

/* What is posted meanwhile waits for the next round; so does what a callback posts itself. */
static void run_work(struct loop *l)
{
	uint64_t count;
	ssize_t n = read(l->post_fd, &count, sizeof(count));
	struct loop_work *w;
	uint32_t most = 0;
	(void)n;

	pthread_mutex_lock(&l->lock);
	for (w = l->work_first; w != NULL; w = w->next)
		most++;
	while (most-- > 0 && (w = l->work_first) != NULL) {
		unlink_work(l, &l->work_first);
		pthread_mutex_unlock(&l->lock);
		w->fn(w->ctx);
		pthread_mutex_lock(&l->lock);
	}
	bool more = l->work_first != NULL;
	pthread_mutex_unlock(&l->lock);
	if (more)
		wake(l);
}

/* ---- rounds ---- */

void loop_dispatch(struct loop *l, int timeout_ms)
{
	struct epoll_event ev[ROUND_EVENTS];
	int n;

	atomic_store_explicit(&l->owner, &thread_mark, memory_order_relaxed);
	n = epoll_wait(l->epoll_fd, ev, ROUND_EVENTS, timeout_ms);
	for (int i = 0; i < n; i++) {
		uint32_t slot = (uint32_t)ev[i].data.u64;
		if (slot == SLOT_TIMER) {
			run_timers(l);
		} else if (slot == SLOT_POST) {
			run_work(l);
		} else if (l->slots[slot].gen == ev[i].data.u64 >> 32 && l->slots[slot].s != NULL) {
			struct loop_fd *s = l->slots[slot].s;
			s->fn(s->ctx, ev[i].events);
		}
	}
}

void loop_run(struct loop *l)
{
	while (!atomic_exchange(&l->quit, false))
		loop_dispatch(l, -1);
}

void loop_quit(struct loop *l)
{
	atomic_store(&l->quit, true);
	wake(l);
}
