/*
 * The screen for its viewers, see display.h.
 *
 * There is one frame for all of them, made for the first and given up after the last. It is sealed:
 * it cannot shrink, so that nobody who maps it ends by SIGBUS, and but for our own mapping nobody
 * can write to it. The kernel then punches no holes into it either: what a large mode has used is
 * free again when nobody looks any more.
 */
#include "vm/display.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/util.h"
#include "protocol/frame.h"

/*
 * How often it is drawn while little happens and nobody tells of it: IDLE_RATE, and after a change
 * once as fast as viewers want; for HOT_NS, if the change before was less than FILM_NS ago. So a
 * film is fast from its second picture on. What blinks is drawn when it does, as the adapter knows
 * it, which is no change in that sense.
 */
#define IDLE_RATE 10u
/* The same where the adapter tells of changes: it is drawn a moment after the first one, which has
 * more of its kind behind it. */
#define TOLD_NS 1000000000u
#define NOTICE_NS 8000000u
#define FILM_NS 80000000u
#define HOT_NS 100000000u /* also after input */
/* From its end on, however long a draw took: then it is the others' turn in the loop. */
#define REST_NS 1000000u

/* Of the build host's headers, which may be older than the kernel. */
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

_Static_assert(FRAME_MAX_WIDTH >= DISP_MAX_WIDTH && FRAME_MAX_HEIGHT >= DISP_MAX_HEIGHT,
	       "every picture fits in a frame");
_Static_assert(FRAME_MAX_RECTS >= DISP_MAX_RECTS, "every draw's damage fits in its entry");

struct viewer {
	const void *owner; /* NULL: this place is free */
	uint32_t id, rate;
	int wake_fd; /* owned; our end of the stream */
};

struct display {
	struct loop *loop; /* borrowed */
	display_draw_fn draw;
	void *ctx; /* borrowed */
	struct viewer viewer[DISPLAY_MAX_VIEWERS];
	unsigned n_viewers;
	uint32_t last_id;
	int frame_fd;		     /* owned; -1: nobody looks */
	struct frame_header *header; /* owned: our mapping of it */
	struct disp_picture pic;     /* what is in the frame */
	bool running;
	bool idle; /* the last draw found nothing of the guest's doing, and no stir came since */
	struct loop_timer timer;
	struct loop_timer notice;	 /* armed by any thread */
	uint64_t last_draw_ns, drawn_ns; /* when the last draw began and ended */
	uint64_t last_change_ns, hot_until_ns;
	struct display_stats stats;
};

/* ---- the frame ---- */

static void drop_frame(struct display *d)
{
	if (d->header != NULL)
		munmap(d->header, FRAME_BYTES);
	if (d->frame_fd >= 0)
		close(d->frame_fd);
	d->header = NULL;
	d->frame_fd = -1;
}

static int fill_frame(struct display *d)
{
	void *p;

	if (ftruncate(d->frame_fd, (off_t)FRAME_BYTES) < 0)
		return -errno;
	p = mmap(NULL, FRAME_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, d->frame_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	d->header = p;
	d->header->magic = FRAME_MAGIC;
	d->pic = (struct disp_picture){
		.pixels = (uint32_t *)(void *)((char *)p + FRAME_PIXELS_OFF),
	};
	return fcntl(d->frame_fd, F_ADD_SEALS,
		     F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) < 0
		       ? -errno
		       : 0;
}

static int make_frame(struct display *d, struct err *e)
{
	int r;

	d->frame_fd = memfd_create("lodge-frame", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	r = d->frame_fd < 0 ? -errno : fill_frame(d);
	if (r == 0)
		return 0;
	drop_frame(d);
	return err_set(e, r, "cannot make the memory of the screen: %s", strerror(-r));
}

/* ---- drawing ---- */

static bool is_everything(const struct disp_picture *p)
{
	return p->n_rects == 1 && p->rect[0].width == p->width && p->rect[0].height == p->height;
}

static void set_everything(struct disp_picture *p)
{
	p->n_rects = 1;
	p->rect[0] = (struct disp_rect){ 0, 0, p->width, p->height };
}

/* Brings the picture up to date. A blank one is black, whatever the adapter has drawn, and is drawn
 * anew when it comes back. False: there is no screen. */
static bool draw_picture(struct display *d, bool all)
{
	struct disp_picture *p = &d->pic;
	const bool was_blank = p->blank && !all;

	d->stats.draws++;
	p->n_rects = 0;
	p->blinked = false;
	p->told = false;
	p->still_ns = DISP_FOR_EVER;
	if (!d->draw(d->ctx, p, all))
		return false;
	if (was_blank && !p->blank && !is_everything(p))
		d->draw(d->ctx, p, true);
	if (p->blank && (!was_blank || p->n_rects > 0)) {
		memset(p->pixels, 0, (size_t)p->width * p->height * 4);
		set_everything(p);
	}
	return true;
}

static bool same_mode(const struct frame_header *h, const struct disp_picture *p)
{
	return h->width == p->width && h->height == p->height && h->aspect_x == p->aspect_x &&
	       h->aspect_y == p->aspect_y;
}

static void describe(struct frame_header *h, const struct disp_picture *p)
{
	if (!same_mode(h, p))
		h->mode_changes++;
	h->width = p->width;
	h->height = p->height;
	h->stride = p->width * 4;
	h->aspect_x = p->aspect_x;
	h->aspect_y = p->aspect_y;
	h->flags = p->blank ? FRAME_BLANK : 0;
}

static void list_damage(struct frame_header *h, uint64_t sequence, const struct disp_picture *p)
{
	struct frame_draw *draw = &h->draw[sequence / 2 % FRAME_DRAWS];

	draw->sequence = sequence;
	draw->n_rects = p->n_rects;
	for (unsigned i = 0; i < p->n_rects; i++) {
		const struct disp_rect *r = &p->rect[i];
		assert(r->x + r->width <= p->width && r->y + r->height <= p->height);
		draw->rect[i] = (struct frame_rect){ r->x, r->y, r->width, r->height };
	}
}

/* A viewer that does not read misses wake-ups once its stream is full, and nothing else. */
static void wake_viewers(struct display *d)
{
	for (unsigned i = 0; i < DISPLAY_MAX_VIEWERS; i++)
		if (d->viewer[i].owner != NULL && d->viewer[i].rate > 0)
			send(d->viewer[i].wake_fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void note_change(struct display *d)
{
	d->stats.frames++;
	if (d->idle)
		return;
	if (d->last_draw_ns - d->last_change_ns < FILM_NS)
		d->hot_until_ns = d->last_draw_ns + HOT_NS;
	d->last_change_ns = d->last_draw_ns;
}

/* One draw as frame.h has it. Pairs with the acquire loads and the fences of viewers. */
static bool draw_frame(struct display *d, bool all)
{
	struct frame_header *h = d->header;
	const uint64_t before = atomic_load_explicit(&h->sequence, memory_order_relaxed);
	uint64_t after = before;
	bool there;

	atomic_store_explicit(&h->sequence, before + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	d->last_draw_ns = loop_now_ns();
	there = draw_picture(d, all);
	d->drawn_ns = loop_now_ns();
	if (there && d->pic.n_rects > 0) {
		assert(d->pic.width > 0 && d->pic.width <= DISP_MAX_WIDTH && d->pic.height > 0 &&
		       d->pic.height <= DISP_MAX_HEIGHT && d->pic.n_rects <= DISP_MAX_RECTS);
		after += 2;
		describe(h, &d->pic);
		list_damage(h, after, &d->pic);
	}
	atomic_store_explicit(&h->sequence, after, memory_order_release);
	d->idle = after == before || d->pic.blinked;
	if (after == before)
		return there;
	note_change(d);
	wake_viewers(d);
	return true;
}

/* ---- when ---- */

static uint32_t fastest(const struct display *d)
{
	uint32_t rate = 0;

	for (unsigned i = 0; i < DISPLAY_MAX_VIEWERS; i++)
		if (d->viewer[i].owner != NULL && d->viewer[i].rate > rate)
			rate = d->viewer[i].rate;
	return rate;
}

/* From the last draw to the next; a look just before something blinks waits for that. */
static uint64_t pause_ns(const struct display *d, uint32_t rate)
{
	const uint64_t least = HV_NS_PER_SEC / rate;
	const uint64_t idle = d->pic.told ? TOLD_NS : HV_NS_PER_SEC / IDLE_RATE;

	if ((!d->idle && !d->pic.told) || d->last_draw_ns < d->hot_until_ns)
		return least;
	return hv_max_u64(least, d->pic.still_ns < idle * 3 / 2 ? d->pic.still_ns : idle);
}

/* Sets the timer for the next draw, or takes it away. */
static void plan(struct display *d)
{
	const uint32_t rate = fastest(d);

	if (rate == 0 || (d->idle && !d->running))
		loop_timer_arm(d->loop, &d->timer, LOOP_TIMER_OFF);
	else
		loop_timer_arm(d->loop, &d->timer,
			       hv_max_u64(d->last_draw_ns + pause_ns(d, rate),
					  d->drawn_ns + REST_NS));
}

static void on_timer(void *ctx)
{
	struct display *d = ctx;

	draw_frame(d, false);
	plan(d);
}

/* No sooner than viewers want it, which may be when the timer is due anyway. */
static void on_notice(void *ctx)
{
	struct display *d = ctx;
	const uint32_t rate = fastest(d);
	const uint64_t due = rate > 0 ? d->last_draw_ns + HV_NS_PER_SEC / rate : 0;

	if (rate == 0)
		return;
	if (loop_now_ns() >= due)
		on_timer(d);
	else
		loop_timer_arm(d->loop, &d->timer, due);
}

void display_changed(struct display *d)
{
	loop_timer_arm(d->loop, &d->notice, loop_now_ns() + NOTICE_NS);
}

void display_stir(struct display *d)
{
	if (d->n_viewers == 0)
		return;
	d->idle = false;
	d->hot_until_ns = loop_now_ns() + HOT_NS;
	plan(d);
}

void display_set_running(struct display *d, bool running)
{
	d->running = running;
	if (!running && fastest(d) > 0) /* how it stands there, at once: there may be no later */
		draw_frame(d, false);
	display_stir(d);
}

/* ---- viewers ---- */

static struct viewer *find(struct display *d, const void *owner, uint32_t id, struct err *e)
{
	for (unsigned i = 0; i < DISPLAY_MAX_VIEWERS; i++)
		if (d->viewer[i].owner == owner && owner != NULL && d->viewer[i].id == id)
			return &d->viewer[i];
	err_set(e, -ENOENT, "this connection has opened no screen with the number %u", id);
	return NULL;
}

static void remove_viewer(struct display *d, struct viewer *v)
{
	close(v->wake_fd);
	*v = (struct viewer){ 0 };
	if (--d->n_viewers == 0)
		drop_frame(d);
	plan(d);
}

static struct viewer *free_place(struct display *d)
{
	for (unsigned i = 0; i < DISPLAY_MAX_VIEWERS; i++)
		if (d->viewer[i].owner == NULL)
			return &d->viewer[i];
	return NULL;
}

/* Numbers are not used again soon, so that a late call reaches nobody else's viewer. */
static int add_viewer(struct display *d, const void *owner, struct display_viewer *ret_viewer,
		      struct err *e)
{
	struct viewer *v = free_place(d);
	int pair[2];

	assert(v != NULL);
	auto_close int frame = fcntl(d->frame_fd, F_DUPFD_CLOEXEC, 0);
	if (frame < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(e, -errno, "cannot make a viewer of the screen: %s",
			       strerror(errno));
	*v = (struct viewer){
		.owner = owner, .id = ++d->last_id, .rate = DISPLAY_FIRST_RATE, .wake_fd = pair[0]
	};
	d->n_viewers++;
	*ret_viewer = (struct display_viewer){ take_fd(&frame), pair[1], v->id };
	return 0;
}

int display_open(struct display *d, const void *owner, struct display_viewer *ret_viewer,
		 struct err *e)
{
	int r = 0;

	if (d->n_viewers == DISPLAY_MAX_VIEWERS)
		return err_set(e, -ENOSPC, "the screen has %u viewers, which is the most",
			       DISPLAY_MAX_VIEWERS);
	if (d->frame_fd < 0)
		r = make_frame(d, e);
	if (r == 0 && !draw_frame(d, d->header->sequence == 0))
		r = err_set(e, -EBUSY, "this VM has no display");
	if (r == 0)
		r = add_viewer(d, owner, ret_viewer, e);
	if (d->n_viewers == 0)
		drop_frame(d);
	plan(d);
	return r;
}

int display_set_rate(struct display *d, const void *owner, uint32_t id, uint32_t rate,
		     struct err *e)
{
	struct viewer *v = find(d, owner, id, e);

	if (v == NULL)
		return -ENOENT;
	if (rate > DISPLAY_MAX_RATE)
		return err_set(e, -EINVAL, "a rate is 0 to %u a second, not %u", DISPLAY_MAX_RATE,
			       rate);
	if (v->rate == 0 && rate > 0) /* it may have missed some */
		send(v->wake_fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	v->rate = rate;
	display_stir(d);
	return 0;
}

int display_close(struct display *d, const void *owner, uint32_t id, struct err *e)
{
	struct viewer *v = find(d, owner, id, e);

	if (v == NULL)
		return -ENOENT;
	remove_viewer(d, v);
	return 0;
}

void display_owner_gone(struct display *d, const void *owner)
{
	for (unsigned i = 0; i < DISPLAY_MAX_VIEWERS; i++)
		if (d->viewer[i].owner == owner && owner != NULL)
			remove_viewer(d, &d->viewer[i]);
}

/* ---- life ---- */

void display_get_stats(const struct display *d, struct display_stats *ret_stats)
{
	*ret_stats = d->stats;
}

int display_create(struct loop *loop, display_draw_fn draw, void *ctx, struct display **ret_display,
		   struct err *e)
{
	struct display *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	d->loop = loop;
	d->draw = draw;
	d->ctx = ctx;
	d->frame_fd = -1;
	d->timer = (struct loop_timer){ .fn = on_timer, .ctx = d };
	d->notice = (struct loop_timer){ .fn = on_notice, .ctx = d };
	*ret_display = d;
	return 0;
}

void display_destroy(struct display *d)
{
	if (d == NULL)
		return;
	for (unsigned i = 0; i < DISPLAY_MAX_VIEWERS; i++)
		if (d->viewer[i].owner != NULL)
			remove_viewer(d, &d->viewer[i]);
	loop_timer_arm(d->loop, &d->timer, LOOP_TIMER_OFF);
	loop_timer_arm(d->loop, &d->notice, LOOP_TIMER_OFF);
	drop_frame(d);
	free(d);
}
