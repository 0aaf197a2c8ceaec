/* Images with a pool of threads, see pooled.h. */
#include "devmodel/storage/format/pooled.h"
#include "base/util.h"
#include "devmodel/storage/io/pool.h"

static struct blk_pooled *of(struct blk *b)
{
	return HV_CONTAINER_OF(b, struct blk_pooled, blk);
}

static int run(void *ctx, struct blk_req *r)
{
	struct blk *b = ctx;

	return b->ops->run(b, r);
}

int pooled_init(struct blk_pooled *p, struct err *e)
{
	return io_pool_create("io", run, &p->blk, &p->pool, e);
}

void pooled_finish(struct blk_pooled *p)
{
	io_pool_destroy(p->pool);
	p->pool = NULL;
}

int pooled_start(struct blk *b, struct err *e)
{
	return io_pool_start(of(b)->pool, e);
}

void pooled_stop(struct blk *b)
{
	io_pool_stop(of(b)->pool);
}

void pooled_submit(struct blk *b, struct blk_req *r)
{
	io_pool_submit(of(b)->pool, r);
}

void pooled_drain(struct blk *b)
{
	io_pool_drain(of(b)->pool);
}
