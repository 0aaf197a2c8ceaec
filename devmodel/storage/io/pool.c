/* I/O threads, see pool.h. */
#include "devmodel/storage/io/pool.h"
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/thread.h"
#include "base/util.h"

#define N_THREADS 4

struct io_pool {
	pthread_mutex_t lock;
	pthread_cond_t work, idle;
	struct blk_req *head, **tail; /* waiting, in the order submitted */
	unsigned under_way;	      /* waiting ones included */
	bool quit;
	/* loop thread */
	pthread_t thread[N_THREADS];
	unsigned n_threads;
	/* constant after creation */
	const char *name; /* borrowed */
	int (*run)(void *ctx, struct blk_req *r);
	void *ctx; /* borrowed */
};

static void *io_thread(void *arg)
{
	struct io_pool *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct blk_req *r = p->head;
		if (r == NULL) {
			if (p->quit)
				break;
			pthread_cond_wait(&p->work, &p->lock);
			continue;
		}
		p->head = r->next;
		if (p->head == NULL)
			p->tail = &p->head;
		pthread_mutex_unlock(&p->lock);
		r->done(r, p->run(p->ctx, r));
		pthread_mutex_lock(&p->lock);
		if (--p->under_way == 0)
			pthread_cond_broadcast(&p->idle);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

void io_pool_submit(struct io_pool *p, struct blk_req *r)
{
	if (p->n_threads == 0) {
		r->done(r, p->run(p->ctx, r));
		return;
	}
	pthread_mutex_lock(&p->lock);
	r->next = NULL;
	*p->tail = r;
	p->tail = &r->next;
	p->under_way++;
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
	p->quit = false;
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
	while (p->n_threads < N_THREADS) {
		int r = hv_thread_start(&p->thread[p->n_threads], p->name, io_thread, p, e);
		if (r < 0)
			return r;
		p->n_threads++;
	}
	return 0;
}
