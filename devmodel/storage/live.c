/* Disks whose image changes, see live.h. */
#include "devmodel/storage/live.h"
#include <pthread.h>
#include <stdlib.h>
#include "base/util.h"

struct live {
	struct blk blk;
	/* loop thread; others while a request is under way */
	struct blk *top; /* owned */
	bool started;
	/* constant once started */
	void (*changed)(void *ctx); /* NULL: what fails for want of room fails */
	void *changed_ctx;	    /* borrowed */
	/* any thread, under lock */
	pthread_mutex_t lock;
	struct blk_req *held, **held_tail; /* in the order in which they failed */
	unsigned n_full;		   /* held, and those that are tried again */
	bool dropping;			   /* nothing is held any more */
};

static struct live *of(struct blk *b)
{
	return HV_CONTAINER_OF(b, struct live, blk);
}

static int live_start(struct blk *b, struct err *e)
{
	const int r = blk_start(of(b)->top, e);

	of(b)->started |= r == 0;
	return r;
}

/* ---- want of room ---- */

static bool hold(struct live *l, struct blk_req *r)
{
	pthread_mutex_lock(&l->lock);
	const bool good = !l->dropping;
	if (good) {
		r->next = NULL;
		*l->held_tail = r;
		l->held_tail = &r->next;
		l->n_full += !r->again;
		r->again = true;
	}
	pthread_mutex_unlock(&l->lock);
	return good;
}

/* All that is held, as a list. */
static struct blk_req *take_held(struct live *l)
{
	pthread_mutex_lock(&l->lock);
	struct blk_req *first = l->held;
	l->held = NULL;
	l->held_tail = &l->held;
	pthread_mutex_unlock(&l->lock);
	return first;
}

/* Afterwards the request is the controller's, and may be another one already. */
static void finish(struct live *l, struct blk_req *r, int result)
{
	const bool was_full = r->again;
	bool last = false;

	r->done = r->front_done;
	r->ctx = r->front_ctx;
	r->done(r, result);
	if (!was_full)
		return;
	pthread_mutex_lock(&l->lock);
	last = --l->n_full == 0;
	pthread_mutex_unlock(&l->lock);
	if (last)
		l->changed(l->changed_ctx);
}

static void on_done(struct blk_req *r, int result)
{
	struct live *l = r->ctx;

	if ((result == -ENOSPC || result == -EDQUOT) && hold(l, r))
		l->changed(l->changed_ctx);
	else
		finish(l, r, result);
}

static void live_submit(struct blk *b, struct blk_req *r)
{
	struct live *l = of(b);

	if (l->changed != NULL && r->op != BLK_READ) {
		r->front_done = r->done;
		r->front_ctx = r->ctx;
		r->done = on_done;
		r->ctx = l;
		r->again = false;
	}
	l->top->ops->submit(l->top, r);
}

void blk_live_wait_for_room(struct blk *live, void (*changed)(void *ctx), void *ctx)
{
	of(live)->changed = changed;
	of(live)->changed_ctx = ctx;
}

bool blk_live_full(const struct blk *live)
{
	struct live *l = HV_CONTAINER_OF((struct blk *)(uintptr_t)live, struct live, blk);

	pthread_mutex_lock(&l->lock);
	const bool full = l->n_full > 0;
	pthread_mutex_unlock(&l->lock);
	return full;
}

void blk_live_retry(struct blk *live)
{
	struct live *l = of(live);
	struct blk_req *r = take_held(l);

	while (r != NULL) {
		struct blk_req *next = r->next;
		l->top->ops->submit(l->top, r);
		r = next;
	}
}

static int live_settle(struct blk *b)
{
	of(b)->top->ops->drain(of(b)->top);
	return blk_live_full(b) ? -ENOSPC : 0;
}

static void set_dropping(struct live *l, bool dropping)
{
	pthread_mutex_lock(&l->lock);
	l->dropping = dropping;
	pthread_mutex_unlock(&l->lock);
}

static void live_drain(struct blk *b)
{
	struct live *l = of(b);
	struct blk_req *r;

	set_dropping(l, true);
	l->top->ops->drain(l->top);
	r = take_held(l);
	while (r != NULL) {
		struct blk_req *next = r->next;
		finish(l, r, -ENOSPC);
		r = next;
	}
	set_dropping(l, false);
}

/* ---- the image ---- */

static int live_run(struct blk *b, struct blk_req *r)
{
	struct blk *top = of(b)->top;

	return top->ops->run(top, r);
}

static int live_map(struct blk *b, uint64_t off, uint64_t bytes, struct blk_extent *x)
{
	struct blk *top = of(b)->top;

	*x = (struct blk_extent){ .kind = BLK_EXTENT_DATA, .bytes = bytes, .host_off = off };
	return top->ops->map != NULL ? top->ops->map(top, off, bytes, x) : 0;
}

static void live_close(struct blk *b)
{
	blk_close(of(b)->top);
	pthread_mutex_destroy(&of(b)->lock);
	free(of(b));
}

static int live_changes_begin(struct blk *b, struct blk_changes *c, struct err *e)
{
	return of(b)->top->ops->changes_begin(of(b)->top, c, e);
}

static void live_changes_end(struct blk *b, struct blk_changes *c)
{
	of(b)->top->ops->changes_end(of(b)->top, c);
}

static int live_changes_load(struct blk *b, const uint8_t *map, size_t map_bytes, int fd,
			     uint64_t off, uint64_t data_bytes, struct err *e)
{
	return of(b)->top->ops->changes_load(of(b)->top, map, map_bytes, fd, off, data_bytes, e);
}

#define LIVE_OPS                                                                                   \
	.start = live_start, .submit = live_submit, .run = live_run, .map = live_map,              \
	.drain = live_drain, .settle = live_settle, .close = live_close

static const struct blk_ops keeping_ops = { LIVE_OPS };
static const struct blk_ops forgetting_ops = {
	LIVE_OPS,
	.changes_begin = live_changes_begin,
	.changes_end = live_changes_end,
	.changes_load = live_changes_load,
};

static void set_top(struct live *l, struct blk *top)
{
	l->top = top;
	l->blk.ops = top->ops->changes_begin != NULL ? &forgetting_ops : &keeping_ops;
	l->blk.bytes = top->bytes;
	l->blk.block_size = top->block_size;
	l->blk.read_only = top->read_only;
}

int blk_live_open(struct blk *top, struct blk **ret_blk, struct err *e)
{
	struct live *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	pthread_mutex_init(&l->lock, NULL);
	l->held_tail = &l->held;
	memcpy(l->blk.serial, top->serial, sizeof(l->blk.serial));
	set_top(l, top);
	*ret_blk = &l->blk;
	return 0;
}

bool blk_is_live(const struct blk *b)
{
	return b->ops == &keeping_ops || b->ops == &forgetting_ops;
}

struct blk *blk_live_top(const struct blk *live)
{
	return HV_CONTAINER_OF(live, const struct live, blk)->top;
}

int blk_live_seal(struct blk *live, struct err *e)
{
	struct blk *top = of(live)->top;
	const int r = top->ops->set_writable != NULL ? top->ops->set_writable(top, false, e) : 0;

	if (r == 0 && of(live)->started && top->ops->stop != NULL)
		top->ops->stop(top);
	return r;
}

int blk_live_switch(struct blk *live, struct blk *top, struct err *e)
{
	struct live *l = of(live);
	int r = 0;

	if (top->bytes != live->bytes)
		return err_set(e, -EINVAL, "the image for the disk has another size");
	/* One that was sealed, before a switch that did not last. */
	if (top->read_only && !live->read_only && top->ops->set_writable != NULL)
		r = top->ops->set_writable(top, true, e);
	if (r == 0 && l->started)
		r = blk_start(top, e);
	if (r == 0)
		set_top(l, top);
	return r;
}
