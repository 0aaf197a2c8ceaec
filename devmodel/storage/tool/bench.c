/* lodge-disk bench: requests to an image as a VM makes them; see tool.h. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include "base/cleanup.h"
#include "base/util.h"
#include "devmodel/storage/tool/tool.h"

#define MAX_DEPTH 1024u

struct bench {
	struct blk *blk;
	uint64_t block, n_blocks, end_ns;
	bool random, write, one_buffer;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t idle;
	uint64_t next, seed, done;
	unsigned under_way;
	int failed;
};

struct slot {
	struct blk_req req;
	struct bench *b;
	uint8_t *buf; /* owned, or the first slot's */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * HV_NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

static double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* Lock held. */
static void choose(struct bench *b, struct slot *s)
{
	uint64_t i = b->next++ % b->n_blocks;

	if (b->random) {
		b->seed ^= b->seed << 13;
		b->seed ^= b->seed >> 7;
		b->seed ^= b->seed << 17;
		i = b->seed % b->n_blocks;
	}
	s->req.offset = i * b->block;
}

static void submit(struct slot *s)
{
	struct bench *b = s->b;

	s->req.iov[0] = (struct iovec){ s->buf, b->block };
	s->req.n_iov = 1;
	b->blk->ops->submit(b->blk, &s->req);
}

static void done(struct blk_req *r, int result)
{
	struct slot *s = r->ctx;
	struct bench *b = s->b;

	pthread_mutex_lock(&b->lock);
	b->done++;
	if (result < 0 && b->failed == 0)
		b->failed = result;
	const bool more = b->failed == 0 && now_ns() < b->end_ns;
	if (more)
		choose(b, s);
	else if (--b->under_way == 0)
		pthread_cond_signal(&b->idle);
	pthread_mutex_unlock(&b->lock);
	if (more)
		submit(s);
}

static uint8_t *make_buffer(const struct bench *b)
{
	uint8_t *buf = aligned_alloc(HV_PAGE_SIZE, hv_align_up(b->block, HV_PAGE_SIZE));

	if (buf != NULL)
		memset(buf, 0xa5, b->block);
	return buf;
}

static int run(struct bench *b, unsigned depth, struct slot *slot)
{
	for (unsigned i = 0; i < depth; i++) {
		slot[i].b = b;
		slot[i].buf = b->one_buffer && i > 0 ? slot[0].buf : make_buffer(b);
		if (slot[i].buf == NULL)
			return -ENOMEM;
		slot[i].req = (struct blk_req){ .op = b->write ? BLK_WRITE : BLK_READ,
						.bytes = b->block,
						.done = done,
						.ctx = &slot[i] };
	}
	b->under_way = depth;
	for (unsigned i = 0; i < depth; i++) {
		pthread_mutex_lock(&b->lock);
		choose(b, &slot[i]);
		pthread_mutex_unlock(&b->lock);
		submit(&slot[i]);
	}
	pthread_mutex_lock(&b->lock);
	while (b->under_way > 0)
		pthread_cond_wait(&b->idle, &b->lock);
	pthread_mutex_unlock(&b->lock);
	return b->failed < 0 ? b->failed : blk_run(b->blk, BLK_FLUSH, 0, NULL, 0);
}

static void show(const struct tool *t, const struct bench *b, double seconds, double cpu)
{
	struct tool_json j = { .f = stdout };
	const double per_second = (double)b->done / seconds;

	if (!t->json) {
		printf("%.0f requests/s, %s/s, %.2f us of CPU a request\n", per_second,
		       TOOL_SIZE((uint64_t)(per_second * (double)b->block)),
		       cpu / (double)b->done * 1e6);
		return;
	}
	json_open(&j, NULL, '{');
	json_number(&j, "requests", b->done);
	json_number(&j, "bytes", b->done * b->block);
	json_number(&j, "time-ns", (uint64_t)(seconds * 1e9));
	json_number(&j, "cpu-ns", (uint64_t)(cpu * 1e9));
	json_close(&j, '}');
	json_end(&j);
}

static int measure(const struct tool *t, struct bench *b, struct err *e)
{
	const unsigned depth = t->depth > 0 ? t->depth : 64;
	struct slot *slot = calloc(depth, sizeof(*slot));
	const double cpu = cpu_seconds();
	const uint64_t start = now_ns();
	int r = slot != NULL ? 0 : -ENOMEM;

	b->end_ns = start + (t->seconds > 0 ? t->seconds : 5) * HV_NS_PER_SEC;
	if (r == 0)
		r = run(b, depth, slot);
	b->blk->ops->drain(b->blk);
	for (unsigned i = 0; slot != NULL && i < (b->one_buffer ? 1 : depth); i++)
		free(slot[i].buf);
	free(slot);
	if (r < 0)
		return err_set(e, r, "the requests fail: %s", strerror(-r));
	show(t, b, (double)(now_ns() - start) / 1e9, cpu_seconds() - cpu);
	return 0;
}

int cmd_bench(const struct tool *t, struct err *e)
{
	const char *pattern = t->pattern != NULL ? t->pattern : "read";
	struct bench b = { .block = t->block_bytes > 0 ? t->block_bytes : 4096,
			   .random = strncmp(pattern, "rand", 4) == 0,
			   .write = strstr(pattern, "write") != NULL,
			   .one_buffer = t->one_buffer,
			   .lock = PTHREAD_MUTEX_INITIALIZER,
			   .idle = PTHREAD_COND_INITIALIZER,
			   .seed = 88172645463325252ull };
	struct image_options o = { .read_only = !b.write, .direct = t->direct, .cache = t->cache };
	int r = 0;

	if (b.block % 512 != 0 || b.block > HV_MIB(64))
		return err_set(e, -EINVAL, "--block is a multiple of 512, 64M at most");
	if (b.write)
		r = tool_confirm(t, "what the disk holds will be overwritten", e);
	if (r == 0)
		r = tool_open(t, t->arg[0], &o, &b.blk, e);
	if (r < 0)
		return r;
	b.n_blocks = b.blk->bytes / b.block;
	if (b.n_blocks == 0)
		r = err_set(e, -EINVAL, "the disk is shorter than a request");
	if (r == 0)
		r = blk_start(b.blk, e);
	if (r == 0)
		r = measure(t, &b, e);
	blk_close(b.blk);
	return r;
}
