/* I/O threads, see pool.h. */
#include "devmodel/storage/io/pool.h"
#include <stdlib.h>
#include <time.h>
#include "base/cleanup.h"
#include "base/thread.h"
#include "base/util.h"

#define MIN_THREADS 4
#define MAX_THREADS 64
#define LONG_NS 2000000u /* the clock that is read goes in steps of milliseconds */

struct io_pool {
	pthread_mutex_t lock;
	pthread_cond_t work, idle;
	struct blk_req *head, **tail; /* waiting, in the order submitted */
	unsigned under_way;	      /* waiting ones included */
	unsigned n_idle;	      /* threads */
	pthread_t thread[MAX_THREADS];
	unsigned n_threads;
	bool quit, full; /* full: no more threads can be had */
	bool started;	 /* no request comes while this changes */
	/* constant after creation */
	const char *name; /* borrowed */
	int (*run)(void *ctx, struct blk_req *r);
	void *ctx; /* borrowed */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * HV_NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

static struct blk_req *take(struct io_pool *p)
{
	struct blk_req *r = p->head;

	p->head = r->next;
	if (p->head == NULL)
		p->tail = &p->head;
	return r;
}

static void *io_thread(void *arg)
{
	struct io_pool *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		if (p->head == NULL) {
			if (p->quit)
				break;
			p->n_idle++;
			pthread_cond_wait(&p->work, &p->lock);
			p->n_idle--;
			continue;
		}
		struct blk_req *r = take(p);
		pthread_mutex_unlock(&p->lock);
		r->done(r, p->run(p->ctx, r));
		pthread_mutex_lock(&p->lock);
		if (--p->under_way == 0)
			pthread_cond_broadcast(&p->idle);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* One thread more when requests wait long: the disk is slow and can do many at a time. What comes
 * from the page cache never waits so long. Lock held. */
static void grow(struct io_pool *p, uint64_t now)
{
	const struct blk_req *oldest = p->head;

	if (oldest == NULL || p->n_idle > 0 || p->full || p->quit || p->n_threads == MAX_THREADS ||
	    now < oldest->queued_ns + LONG_NS)
		return;
	if (hv_thread_start(&p->thread[p->n_threads], p->name, io_thread, p, NULL) < 0)
		p->full = true;
	else
		p->n_threads++;
}

void io_pool_submit(struct io_pool *p, struct blk_req *r)
{
	if (!p->started) {
		r->done(r, p->run(p->ctx, r));
		return;
	}
	r->next = NULL;
	r->queued_ns = now_ns();
	pthread_mutex_lock(&p->lock);
	grow(p, r->queued_ns);
	*p->tail = r;
	p->tail = &r->next;
	p->under_way++;
	if (p->n_idle > 0)
		pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
}

void io_pool_drain(struct io_pool *p)
{
	pthread_mutex_lock(&p->lock);
	while (p->under_way > 0)
		pthread_cond_wait(&p->idle, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

void io_pool_stop(struct io_pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->quit = true; /* once nothing waits */
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->n_threads; i++)
		pthread_join(p->thread[i], NULL);
	p->n_threads = 0;
	p->quit = p->started = false;
}

void io_pool_destroy(struct io_pool *p)
{
	if (p == NULL)
		return;
	io_pool_stop(p);
	pthread_cond_destroy(&p->idle);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static void io_pool_destroyp(struct io_pool **p)
{
	io_pool_destroy(*p);
}

int io_pool_create(const char *name, int (*run)(void *ctx, struct blk_req *r), void *ctx,
		   struct io_pool **ret_pool, struct err *e)
{
	struct io_pool *p __attribute__((cleanup(io_pool_destroyp))) = calloc(1, sizeof(*p));

	if (p == NULL)
		return err_set(e, -ENOMEM, "%s: out of memory", name);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->idle, NULL);
	p->tail = &p->head;
	p->name = name;
	p->run = run;
	p->ctx = ctx;
	*ret_pool = TAKE_PTR(p);
	return 0;
}

int io_pool_start(struct io_pool *p, struct err *e)
{
	while (p->n_threads < MIN_THREADS) {
		int r = hv_thread_start(&p->thread[p->n_threads], p->name, io_thread, p, e);
		if (r < 0)
			return r;
		p->n_threads++;
	}
	p->started = true;
	return 0;
}
