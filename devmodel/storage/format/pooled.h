/* A blk whose requests are run, one to its end, by the threads of a pool: what image formats share.
 */
#ifndef DEVMODEL_STORAGE_FORMAT_POOLED_H
#define DEVMODEL_STORAGE_FORMAT_POOLED_H
#include "devmodel/storage/blk.h"

struct blk_pooled {
	struct blk blk;
	struct io_pool *pool; /* owned */
};

/* After p->blk.ops is set, whose run is called in the pool's threads. */
int pooled_init(struct blk_pooled *p, struct err *e) HV_MUST_CHECK;
void pooled_finish(struct blk_pooled *p); /* waits for what is under way */

/* For blk_ops. */
int pooled_start(struct blk *b, struct err *e) HV_MUST_CHECK;
void pooled_stop(struct blk *b);
void pooled_submit(struct blk *b, struct blk_req *r);
void pooled_drain(struct blk *b);
#define POOLED_OPS                                                                                 \
	.start = pooled_start, .stop = pooled_stop, .submit = pooled_submit, .drain = pooled_drain
#endif
