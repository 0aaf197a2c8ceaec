/* Chunks by several threads, see pack_int.h: each takes the next one that nobody has. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>
#include "base/thread.h"
#include "devmodel/storage/pack/pack_int.h"

#define MAX_THREADS 16u

struct crew {
	const struct pack_work *w;
	atomic_uint_fast64_t next;
	atomic_bool stop;
	pthread_mutex_t lock;
	uint64_t done; /* lock; so is: */
	struct err first;
};

static int bench_init(struct pack_bench *b, bool compress)
{
	*b = (struct pack_bench){ .packed_max = ZSTD_compressBound(PACK_CHUNK_BYTES) };
	b->plain = aligned_alloc(HV_PAGE_SIZE, PACK_CHUNK_BYTES);
	b->packed = malloc(b->packed_max);
	if (compress)
		b->compress = ZSTD_createCCtx();
	else
		b->decompress = ZSTD_createDCtx();
	return b->plain != NULL && b->packed != NULL &&
			       (b->compress != NULL || b->decompress != NULL)
		       ? 0
		       : -ENOMEM;
}

static void bench_finish(struct pack_bench *b)
{
	ZSTD_freeCCtx(b->compress);
	ZSTD_freeDCtx(b->decompress);
	free(b->plain);
	free(b->packed);
}

static void fail(struct crew *c, const struct err *e)
{
	pthread_mutex_lock(&c->lock);
	if (c->first.code == 0)
		c->first = *e;
	pthread_mutex_unlock(&c->lock);
	atomic_store(&c->stop, true);
}

static void one_more(struct crew *c)
{
	const struct pack_work *w = c->w;

	pthread_mutex_lock(&c->lock);
	c->done++;
	if (w->progress != NULL)
		w->progress(w->progress_ctx, hv_muldiv64(w->item_bytes, c->done, w->n),
			    w->item_bytes);
	pthread_mutex_unlock(&c->lock);
}

static void *work(void *arg)
{
	struct crew *c = arg;
	struct pack_bench b;
	struct err e = { 0 };
	int r = bench_init(&b, c->w->compress);

	if (r < 0)
		err_set(&e, r, "out of memory");
	while (r == 0 && !atomic_load(&c->stop)) {
		const uint64_t i = atomic_fetch_add(&c->next, 1);
		if (i >= c->w->n)
			break;
		r = c->w->one(c->w->ctx, i, &b, &e);
		if (r == 0)
			one_more(c);
	}
	if (r < 0)
		fail(c, &e);
	bench_finish(&b);
	return NULL;
}

/* This thread is one of them. */
int pack_do(const struct pack_work *w, struct err *e)
{
	struct crew c = { .w = w, .lock = PTHREAD_MUTEX_INITIALIZER };
	const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t n = hv_min_u64(cpus > 0 ? (uint64_t)cpus : 1, hv_min_u64(w->n, MAX_THREADS));
	pthread_t thread[MAX_THREADS];
	unsigned started = 0;

	/* Fewer than wanted are enough. */
	while (started + 1 < n && hv_thread_start(&thread[started], "pack", work, &c, NULL) == 0)
		started++;
	work(&c);
	for (unsigned i = 0; i < started; i++)
		pthread_join(thread[i], NULL);
	pthread_mutex_destroy(&c.lock);
	return c.first.code == 0 ? 0 : err_set(e, c.first.code, "%s", c.first.msg);
}
