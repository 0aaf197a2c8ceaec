/* Disks that wait for room on the host (storage/live.h), over an image that has none for a while.
 */
#include "ctest.h"
#include <pthread.h>
#include "base/util.h"
#include "devmodel/storage/live.h"

#define DISK_BYTES 65536u

/* Writes fail with error from the n-th on, until that is 0. */
struct small {
	struct blk blk;
	uint8_t data[DISK_BYTES];
	unsigned n_good; /* writes that still have room */
	int error;
	unsigned n_drained;
};

struct world {
	struct small small;
	struct blk *live;
	struct err e;
	unsigned n_changed, n_done;
	int last;
};

static struct small *of(struct blk *b)
{
	return HV_CONTAINER_OF(b, struct small, blk);
}

static int small_run(struct blk *b, struct blk_req *r)
{
	struct small *s = of(b);
	const bool writes = r->op == BLK_WRITE || r->op == BLK_WRITE_ZEROES;

	if (r->op != BLK_READ && s->error != 0 && (!writes || s->n_good == 0))
		return s->error;
	s->n_good -= writes && s->error != 0;
	if (r->op == BLK_WRITE)
		memcpy(s->data + r->offset, r->iov[0].iov_base, r->bytes);
	if (r->op == BLK_READ)
		memcpy(r->iov[0].iov_base, s->data + r->offset, r->bytes);
	return 0;
}

static void small_submit(struct blk *b, struct blk_req *r)
{
	r->done(r, small_run(b, r));
}

static void small_drain(struct blk *b)
{
	of(b)->n_drained++;
}

static void small_close(struct blk *b)
{
	(void)b;
}

static const struct blk_ops small_ops = {
	.submit = small_submit, .run = small_run, .drain = small_drain, .close = small_close
};

static void changed(void *ctx)
{
	((struct world *)ctx)->n_changed++;
}

static void done(struct blk_req *r, int result)
{
	struct world *w = r->ctx;

	assert_ptr_equal(r->done, done); /* the controller's, as it was */
	w->n_done++;
	w->last = result;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->small.blk = (struct blk){ .ops = &small_ops, .bytes = DISK_BYTES, .block_size = 512 };
	assert_ok(blk_live_open(&w->small.blk, &w->live, &w->e), &w->e);
	blk_live_wait_for_room(w->live, changed, w);
	assert_ok(blk_start(w->live, &w->e), &w->e);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	blk_close(w->live);
	free(w);
	return 0;
}

static void submit(struct world *w, struct blk_req *r, enum blk_op op, unsigned at, void *buf)
{
	*r = (struct blk_req){ .op = op, .offset = at, .bytes = 512, .done = done, .ctx = w };
	r->iov[0] = (struct iovec){ buf, 512 };
	r->n_iov = buf != NULL;
	w->live->ops->submit(w->live, r);
}

/* What fails is held, in its order, until there is room; reads go on; errors of another kind pass.
 */
static void test_held(void **state)
{
	struct world *w = *state;
	uint8_t a[512], b[512], c[512], read[512];
	struct blk_req r[4];

	memset(a, 1, 512);
	memset(b, 2, 512);
	memset(c, 3, 512);
	submit(w, &r[0], BLK_WRITE, 0, a);
	assert_int_equal(w->n_done, 1);
	assert_false(blk_live_full(w->live));
	assert_int_equal(blk_settle(w->live), 0);
	w->small.error = -ENOSPC;
	submit(w, &r[0], BLK_WRITE, 512, b);
	submit(w, &r[1], BLK_WRITE, 512, c);
	submit(w, &r[2], BLK_FLUSH, 0, NULL);
	assert_int_equal(w->n_done, 1);
	assert_true(blk_live_full(w->live) && w->n_changed > 0);
	assert_int_equal(blk_settle(w->live), -ENOSPC);
	submit(w, &r[3], BLK_READ, 0, read);
	assert_int_equal(w->n_done, 2);
	assert_memory_equal(read, a, 512);
	w->small.n_good = 1;
	blk_live_retry(w->live);
	assert_int_equal(w->n_done, 3);
	assert_true(blk_live_full(w->live));
	w->n_changed = 0;
	w->small.error = 0;
	blk_live_retry(w->live);
	assert_int_equal(w->n_done, 5);
	assert_int_equal(w->last, 0);
	assert_false(blk_live_full(w->live));
	assert_int_equal(w->n_changed, 1);
	assert_int_equal(blk_settle(w->live), 0);
	assert_memory_equal(w->small.data + 512, c, 512);
	w->small.error = -EIO;
	submit(w, &r[0], BLK_WRITE, 0, a);
	assert_int_equal(w->last, -EIO);
	assert_false(blk_live_full(w->live));
}

/* Who drains wants an end: what is held fails, and the next one is held again. */
static void test_drained(void **state)
{
	struct world *w = *state;
	uint8_t a[512] = { 7 };
	struct blk_req r[2];

	w->small.error = -EDQUOT;
	submit(w, &r[0], BLK_WRITE, 0, a);
	submit(w, &r[1], BLK_WRITE_ZEROES, 0, NULL);
	assert_int_equal(w->n_done, 0);
	w->live->ops->drain(w->live);
	assert_int_equal(w->n_done, 2);
	assert_int_equal(w->last, -ENOSPC);
	assert_false(blk_live_full(w->live));
	submit(w, &r[0], BLK_WRITE, 0, a);
	assert_true(blk_live_full(w->live));
	w->small.error = 0;
	blk_live_retry(w->live);
	assert_int_equal(w->n_done, 3);
	assert_int_equal(w->last, 0);
	assert_int_equal(w->small.data[0], 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_held, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drained, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
