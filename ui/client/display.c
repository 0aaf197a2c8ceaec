/* A viewer of a VM's screen, see display.h. */
#include "client/display.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "protocol/protocol.h"

#define CALL_TIMEOUT_MS 10000
#define TRIES 8 /* of one read, while the VM goes on drawing */
#define NAP_US 250
#define NAPS 80
#define ASPECT_MAX 65535u
#define COPY_BYTES ((size_t)FRAME_MAX_WIDTH * FRAME_MAX_HEIGHT * 4)

/* What is taken from the header, once and in one piece. */
struct snapshot {
	uint64_t magic, sequence, mode_changes;
	uint32_t width, height, stride, aspect_x, aspect_y, flags;
};

struct ui_display {
	struct ui_vm *vm; /* borrowed; NULL: none */
	uint32_t id;
	int wake_fd;
	const struct frame_header *header; /* owned: the mapping, FRAME_BYTES */
	uint32_t *copy;			   /* owned: room for the largest picture, used as needed */
	struct snapshot seen;		   /* what the copy is of; sequence 0: nothing yet */
	uint64_t told_mode;		   /* mode_changes at the last UI_FRAME_NEW */
	bool told, ended, bad;
	unsigned naps;	  /* of this read */
	unsigned n_rects; /* copied, and not yet told */
	struct frame_rect rect[UI_MAX_RECTS];
};

/* ---- opening ---- */

static bool fail(GError **error, const char *what)
{
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_FAILED, "cannot show the screen: %s", what);
	return false;
}

/* A memory that could shrink would end us by SIGBUS. */
static bool check_frame(int fd, GError **error)
{
	const int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return fail(error, "the VM's frame is not sealed memory");
	if (fstat(fd, &st) < 0 || st.st_size < (off_t)FRAME_BYTES)
		return fail(error, "the VM's frame is too small");
	return true;
}

static void *map(size_t bytes, int prot, int flags, int fd, GError **error)
{
	void *p = mmap(NULL, bytes, prot, flags, fd, 0);

	if (p != MAP_FAILED)
		return p;
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_HOST_LIMIT,
		    "cannot map memory for the screen: %s", g_strerror(errno));
	return NULL;
}

struct ui_display *ui_display_map(int frame_fd, int wake_fd, GError **error)
{
	struct ui_display *d = g_new0(struct ui_display, 1);

	d->wake_fd = wake_fd;
	if (check_frame(frame_fd, error))
		d->header = map(FRAME_BYTES, PROT_READ, MAP_SHARED, frame_fd, error);
	if (d->header)
		d->copy = map(COPY_BYTES, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, error);
	close(frame_fd);
	if (d->copy)
		return d;
	ui_display_close(d);
	return NULL;
}

/* Descriptor i of an answer; -1: there is none. */
static int take_fd(GUnixFDList *list, gint32 i)
{
	if (!list || i < 0 || i >= g_unix_fd_list_get_length(list))
		return -1;
	return g_unix_fd_list_get(list, i, NULL);
}

struct ui_display *ui_display_open(struct ui_vm *vm, unsigned scanout, GError **error)
{
	g_autoptr(GUnixFDList) fds = NULL;
	g_autoptr(GVariant)
		r = ui_vm_call_fds(vm, LODGE_IFACE_DISPLAY, "Open", g_variant_new("(u)", scanout),
				   NULL, &fds, CALL_TIMEOUT_MS, error);
	struct ui_display *d;
	gint32 frame, wake;
	guint32 id;

	if (!r)
		return NULL;
	if (!g_variant_is_of_type(r, G_VARIANT_TYPE("(hhu)"))) {
		fail(error, "the VM's answer is none");
		return NULL;
	}
	g_variant_get(r, "(hhu)", &frame, &wake, &id);
	const int frame_fd = take_fd(fds, frame), wake_fd = take_fd(fds, wake);
	if (frame_fd < 0 || wake_fd < 0) {
		fail(error, "the VM sent no frame");
		if (frame_fd >= 0)
			close(frame_fd);
		if (wake_fd >= 0)
			close(wake_fd);
		return NULL;
	}
	d = ui_display_map(frame_fd, wake_fd, error);
	if (!d)
		return NULL;
	d->vm = vm;
	d->id = id;
	return d;
}

static void tell(struct ui_display *d, const char *method, GVariant *args)
{
	g_variant_ref_sink(args);
	if (d->vm && !ui_vm_gone(d->vm))
		g_dbus_connection_call(ui_vm_connection(d->vm), NULL, LODGE_OBJECT,
				       LODGE_IFACE_DISPLAY, method, args, NULL,
				       G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL, NULL);
	g_variant_unref(args);
}

void ui_display_set_rate(struct ui_display *d, unsigned rate)
{
	tell(d, "SetRate", g_variant_new("(uu)", d->id, rate));
}

void ui_display_close(struct ui_display *d)
{
	if (!d)
		return;
	tell(d, "Close", g_variant_new("(u)", d->id));
	close(d->wake_fd);
	if (d->header)
		munmap((void *)(uintptr_t)d->header, FRAME_BYTES);
	if (d->copy)
		munmap(d->copy, COPY_BYTES);
	g_free(d);
}

int ui_display_wake_fd(const struct ui_display *d)
{
	return d->wake_fd;
}

/* ---- reading ---- */

/* Each word is loaded once: what is checked is what is used. */
static uint32_t load32(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static uint64_t load64(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static uint64_t sequence(const struct ui_display *d)
{
	return atomic_load_explicit(&d->header->sequence, memory_order_acquire);
}

/* Did anything begin to be drawn since? What was read before this is read. */
static bool moved(const struct ui_display *d, uint64_t since)
{
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&d->header->sequence, memory_order_relaxed) != since;
}

/* What one read leaves of a flood wakes the next. */
static void empty_wake(struct ui_display *d)
{
	char buf[4096];
	ssize_t n = sizeof(buf);

	for (unsigned i = 0; i < TRIES && n == (ssize_t)sizeof(buf); i++)
		n = recv(d->wake_fd, buf, sizeof(buf), MSG_DONTWAIT);
	d->ended |= n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

static void take_snapshot(const struct ui_display *d, uint64_t seq, struct snapshot *s)
{
	const struct frame_header *h = d->header;

	s->sequence = seq;
	s->magic = load64(&h->magic);
	s->mode_changes = load64(&h->mode_changes);
	s->width = load32(&h->width);
	s->height = load32(&h->height);
	s->stride = load32(&h->stride);
	s->aspect_x = load32(&h->aspect_x);
	s->aspect_y = load32(&h->aspect_y);
	s->flags = load32(&h->flags);
}

static bool makes_sense(const struct snapshot *s)
{
	return s->magic == FRAME_MAGIC && s->width > 0 && s->width <= FRAME_MAX_WIDTH &&
	       s->height > 0 && s->height <= FRAME_MAX_HEIGHT && s->stride == s->width * 4 &&
	       s->aspect_x > 0 && s->aspect_x <= ASPECT_MAX && s->aspect_y > 0 &&
	       s->aspect_y <= ASPECT_MAX;
}

static bool same_mode(const struct snapshot *a, const struct snapshot *b)
{
	return a->mode_changes == b->mode_changes && a->width == b->width && a->height == b->height;
}

/* Rects of several draws; all of them are within s. */
struct damage {
	unsigned n;
	struct frame_rect rect[FRAME_DRAWS * FRAME_MAX_RECTS];
};

static void everything(const struct snapshot *s, struct damage *ret)
{
	ret->n = 1;
	ret->rect[0] = (struct frame_rect){ 0, 0, s->width, s->height };
}

static bool inside(const struct frame_rect *r, const struct snapshot *s)
{
	return r->width > 0 && r->height > 0 && r->x < s->width && r->y < s->height &&
	       r->width <= s->width - r->x && r->height <= s->height - r->y;
}

/* Adds what the draw that ended with seq changed; false: that is not known any more. */
static bool add_draw(const struct ui_display *d, uint64_t seq, const struct snapshot *s,
		     struct damage *to)
{
	const struct frame_draw *draw = &d->header->draw[seq / 2 % FRAME_DRAWS];
	const uint32_t n = load32(&draw->n_rects);

	if (load64(&draw->sequence) != seq || n > FRAME_MAX_RECTS)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		const struct frame_rect *from = &draw->rect[i];
		const struct frame_rect r = { load32(&from->x), load32(&from->y),
					      load32(&from->width), load32(&from->height) };
		if (!inside(&r, s))
			return false;
		to->rect[to->n++] = r;
	}
	return true;
}

/* What is different in s from what was seen last; where the list does not say: everything. */
static void damage_of(const struct ui_display *d, const struct snapshot *s, struct damage *ret)
{
	const uint64_t behind = s->sequence - d->seen.sequence;

	ret->n = 0;
	if (d->seen.sequence == 0 || !same_mode(s, &d->seen) || s->flags != d->seen.flags ||
	    behind > 2 * FRAME_DRAWS) {
		everything(s, ret);
		return;
	}
	for (uint64_t i = 2; i <= behind; i += 2) {
		if (!add_draw(d, d->seen.sequence + i, s, ret)) {
			everything(s, ret);
			return;
		}
	}
}

static void copy_rect(struct ui_display *d, const struct snapshot *s, const struct frame_rect *r)
{
	const uint32_t *pixels =
		(const uint32_t *)(const void *)((const char *)d->header + FRAME_PIXELS_OFF);

	for (uint32_t y = r->y; y < r->y + r->height; y++) {
		const size_t at = (size_t)y * s->width + r->x;
		memcpy(d->copy + at, pixels + at, (size_t)r->width * 4);
	}
}

static struct frame_rect around(const struct frame_rect *a, const struct frame_rect *b)
{
	const uint32_t x = MIN(a->x, b->x), y = MIN(a->y, b->y);

	return (struct frame_rect){ x, y, MAX(a->x + a->width, b->x + b->width) - x,
				    MAX(a->y + a->height, b->y + b->height) - y };
}

/* Too many become the one around them. */
static void remember(struct ui_display *d, const struct frame_rect *r)
{
	if (d->n_rects < UI_MAX_RECTS) {
		d->rect[d->n_rects++] = *r;
		return;
	}
	for (unsigned i = 1; i < d->n_rects; i++)
		d->rect[0] = around(&d->rect[0], &d->rect[i]);
	d->rect[0] = around(&d->rect[0], r);
	d->n_rects = 1;
}

/* A smaller picture needs less of the copy. */
static void change_mode(struct ui_display *d, const struct snapshot *s)
{
	const size_t page = 4096, used = ((size_t)s->stride * s->height + page - 1) & ~(page - 1);

	d->n_rects = 0; /* of a picture that is no more */
	if (used < COPY_BYTES)
		madvise((char *)d->copy + used, COPY_BYTES - used, MADV_DONTNEED);
}

static void copy_damage(struct ui_display *d, const struct snapshot *s)
{
	struct damage damage;

	damage_of(d, s, &damage);
	if (d->seen.sequence == 0 || !same_mode(s, &d->seen))
		change_mode(d, s);
	for (unsigned i = 0; i < damage.n; i++) {
		copy_rect(d, s, &damage.rect[i]);
		remember(d, &damage.rect[i]);
	}
	d->seen = *s;
}

static void tell_picture(struct ui_display *d, bool torn, struct ui_picture *ret)
{
	const struct snapshot *s = &d->seen;

	*ret = (struct ui_picture){
		.pixels = d->copy,
		.width = s->width,
		.height = s->height,
		.aspect_x = s->aspect_x,
		.aspect_y = s->aspect_y,
		.blank = (s->flags & FRAME_BLANK) != 0,
		.mode_changed = !d->told || d->told_mode != s->mode_changes,
		.torn = torn,
		.n_rects = d->n_rects,
	};
	memcpy(ret->rect, d->rect, d->n_rects * sizeof(d->rect[0]));
	d->n_rects = 0;
	d->told = true;
	d->told_mode = s->mode_changes;
}

/* One look at the frame. True: the copy is of one moment (SAME without n_rects), or bad. */
static bool look(struct ui_display *d, bool *ret_later)
{
	const uint64_t seq = sequence(d);
	struct snapshot s;

	*ret_later = seq % 2 != 0 || seq == 0;
	if (*ret_later) {
		if (d->naps++ < NAPS)
			g_usleep(NAP_US);
		return d->naps > NAPS;
	}
	if (seq == d->seen.sequence)
		return true;
	take_snapshot(d, seq, &s);
	if (moved(d, seq))
		return false;
	if (!makes_sense(&s)) {
		d->bad = true;
		return true;
	}
	copy_damage(d, &s);
	return !moved(d, seq);
}

enum ui_frame ui_display_read(struct ui_display *d, struct ui_picture *ret)
{
	bool whole = false, later = false;

	if (d->bad)
		return UI_FRAME_BAD;
	empty_wake(d);
	d->naps = 0;
	for (unsigned i = 0; !whole && i < TRIES + d->naps; i++)
		whole = look(d, &later);
	if (d->bad)
		return UI_FRAME_BAD;
	if (later || (!whole && d->n_rects == 0))
		return UI_FRAME_LATER;
	if (d->n_rects == 0)
		return d->ended ? UI_FRAME_ENDED : UI_FRAME_SAME;
	tell_picture(d, !whole, ret);
	return UI_FRAME_NEW;
}
