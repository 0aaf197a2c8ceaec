/* A disk that holds nothing: reads give zeroes, writes are forgotten. See blk.h. */
#include <stdlib.h>
#include "base/util.h"
#include "devmodel/storage/blk.h"

static int null_run(struct blk *b, struct blk_req *r)
{
	(void)b;
	for (unsigned i = 0; i < r->n_iov && r->op == BLK_READ; i++)
		memset(r->iov[i].iov_base, 0, r->iov[i].iov_len);
	return 0;
}

static void null_submit(struct blk *b, struct blk_req *r)
{
	r->done(r, null_run(b, r));
}

static int null_map(struct blk *b, uint64_t off, uint64_t bytes, struct blk_extent *ret)
{
	(void)b;
	(void)off;
	*ret = (struct blk_extent){ .kind = BLK_EXTENT_ZERO, .bytes = bytes };
	return 0;
}

static void null_drain(struct blk *b)
{
	(void)b;
}

static void null_close(struct blk *b)
{
	free(b);
}

static const struct blk_ops null_ops = {
	.submit = null_submit,
	.run = null_run,
	.map = null_map,
	.drain = null_drain,
	.close = null_close,
};

int blk_null_open(uint64_t bytes, struct blk **ret_blk, struct err *e)
{
	struct blk *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	*b = (struct blk){ .ops = &null_ops,
			   .bytes = bytes & ~511ull,
			   .block_size = 512,
			   .serial = "lodge-null" };
	*ret_blk = b;
	return 0;
}
