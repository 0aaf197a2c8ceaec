/* Host side of a serial port, see serial.h. */
#include "vm/serial.h"
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/util.h"

#define RING_BYTES 65536
#define RING_BYTES_PATIENT (64u << 20)
#define HISTORY_BYTES 65536
#define INPUT_BYTES 4096
#define CHUNK_BYTES 512 /* what a terminal takes without blocking once it is writable */
#define VIEWER_BACKLOG_MAX (4u << 20)
#define VIEWERS_MAX 32
/* To wake the loop thread costs more than a byte, and on a busy host may cost the vCPU its place: a
 * guest that writes all the time wakes it so often. */
#define PUMP_EVERY_NS (HV_NS_PER_SEC / 1000)

struct viewer {
	struct serial *serial; /* borrowed */
	int fd;
	GByteArray *out; /* not yet taken; owned */
	guint in_source, out_source;
};

struct serial {
	struct chr chr; /* first: the device's handle */
	struct loop *loop;
	char *name, *output;
	struct loop_work pump;
	struct loop_timer later;

	pthread_mutex_t lock;
	/* under lock */
	uint8_t *ring; /* owned */
	size_t ring_bytes, ring_head, ring_len;
	bool refused; /* the device was told that there is no room */
	bool waits;   /* later is armed */
	uint64_t pumped_ns;

	/* loop thread */
	int in_fd, out_fd; /* -1: none */
	guint in_source, out_source;
	uint8_t history[HISTORY_BYTES];
	uint64_t history_total; /* bytes ever; the last HISTORY_BYTES of them are kept */
	uint8_t input[INPUT_BYTES];
	size_t input_len;
	GPtrArray *viewers; /* of struct viewer; owned */
};

static void watch_inputs(struct serial *s);

/* ---- guest to host ---- */

/* At once after a silence. */
static void pump_soon(struct serial *s)
{
	const uint64_t due = s->pumped_ns + PUMP_EVERY_NS;

	if (s->waits)
		return;
	s->waits = loop_now_ns() < due;
	if (s->waits)
		loop_timer_arm(s->loop, &s->later, due);
	else
		loop_post(s->loop, &s->pump);
}

static size_t serial_write(struct chr *c, const uint8_t *buf, size_t len)
{
	struct serial *s = HV_CONTAINER_OF(c, struct serial, chr);
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = MIN(len, s->ring_bytes - s->ring_len);
	for (size_t i = 0; i < n; i++)
		s->ring[(s->ring_head + s->ring_len + i) % s->ring_bytes] = buf[i];
	s->ring_len += n;
	s->refused |= n < len;
	pump_soon(s);
	pthread_mutex_unlock(&s->lock);
	return n;
}

static void viewer_free(struct viewer *v)
{
	if (v->in_source)
		g_source_remove(v->in_source);
	if (v->out_source)
		g_source_remove(v->out_source);
	close(v->fd);
	g_byte_array_unref(v->out);
	g_free(v);
}

static void viewer_drop(struct viewer *v)
{
	g_ptr_array_remove_fast(v->serial->viewers, v); /* frees it */
}

static gboolean viewer_writable(gint fd, GIOCondition cond, gpointer data);

/* Hands on what the viewer takes now. false: it is gone. */
static bool viewer_push(struct viewer *v)
{
	ssize_t n = 0;

	if (v->out->len > 0)
		n = send(v->fd, v->out->data, v->out->len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if ((n < 0 && errno != EAGAIN && errno != EINTR) || v->out->len > VIEWER_BACKLOG_MAX)
		return false;
	if (n > 0)
		g_byte_array_remove_range(v->out, 0, (guint)n);
	if (v->out->len > 0 && v->out_source == 0)
		v->out_source = g_unix_fd_add(v->fd, G_IO_OUT, viewer_writable, v);
	return true;
}

static gboolean viewer_writable(gint fd, GIOCondition cond, gpointer data)
{
	struct viewer *v = data;

	(void)fd;
	(void)cond;
	v->out_source = 0;
	if (!viewer_push(v))
		viewer_drop(v);
	return G_SOURCE_REMOVE;
}

static void spread(struct serial *s, const uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		s->history[(s->history_total + i) % HISTORY_BYTES] = buf[i];
	s->history_total += len;
	for (guint i = s->viewers->len; i-- > 0;) {
		struct viewer *v = s->viewers->pdata[i];
		g_byte_array_append(v->out, buf, (guint)len);
		if (!viewer_push(v))
			viewer_drop(v);
	}
}

static gboolean sink_writable(gint fd, GIOCondition cond, gpointer data);

/* How many of the bytes the sink took; fewer than len: it is asked again when it is writable. */
static size_t sink_write(struct serial *s, const uint8_t *buf, size_t len)
{
	struct pollfd p = { .fd = s->out_fd, .events = POLLOUT };
	ssize_t n = -1;

	if (s->out_fd < 0)
		return len;
	errno = EAGAIN;
	if (poll(&p, 1, 0) > 0)
		n = write(s->out_fd, buf, MIN(len, CHUNK_BYTES));
	if (n >= 0)
		return (size_t)n;
	if (errno != EAGAIN && errno != EINTR) {
		log_msg(LOG_LVL_INFO, s->name, "output to '%s' ends: %s", s->output,
			strerror(errno));
		s->out_fd = -1;
		return len;
	}
	if (s->out_source == 0)
		s->out_source = g_unix_fd_add(s->out_fd, G_IO_OUT, sink_writable, s);
	return 0;
}

static void tell_room(struct serial *s)
{
	struct hv_domain *d = s->chr.dev_domain;

	if (!s->chr.peer.can_write)
		return;
	if (d)
		hv_domain_lock(d);
	s->chr.peer.can_write(s->chr.peer.ctx);
	if (d)
		hv_domain_unlock(d);
}

static void pump_output(struct serial *s)
{
	uint8_t chunk[CHUNK_BYTES];
	size_t len, taken;
	bool refused;

	while (s->out_source == 0) {
		pthread_mutex_lock(&s->lock);
		len = MIN(s->ring_len, sizeof(chunk));
		for (size_t i = 0; i < len; i++)
			chunk[i] = s->ring[(s->ring_head + i) % s->ring_bytes];
		pthread_mutex_unlock(&s->lock);
		if (len == 0)
			return;
		taken = sink_write(s, chunk, len);
		pthread_mutex_lock(&s->lock);
		s->ring_head = (s->ring_head + taken) % s->ring_bytes;
		s->ring_len -= taken;
		refused = s->refused && taken > 0;
		s->refused &= !refused;
		pthread_mutex_unlock(&s->lock);
		spread(s, chunk, taken);
		if (refused)
			tell_room(s);
	}
}

static gboolean sink_writable(gint fd, GIOCondition cond, gpointer data)
{
	struct serial *s = data;

	(void)fd;
	(void)cond;
	s->out_source = 0;
	pump_output(s);
	return G_SOURCE_REMOVE;
}

/* ---- host to guest ---- */

/* Offers what has come in; what the device does not take waits for its accept_input. */
static void pump_input(struct serial *s)
{
	struct hv_domain *d = s->chr.dev_domain;
	size_t n;

	if (s->input_len > 0 && s->chr.peer.receive) {
		if (d)
			hv_domain_lock(d);
		n = s->chr.peer.receive(s->chr.peer.ctx, s->input, s->input_len);
		if (d)
			hv_domain_unlock(d);
		n = MIN(n, s->input_len);
		memmove(s->input, s->input + n, s->input_len - n);
		s->input_len -= n;
	}
	watch_inputs(s);
}

/* Reads what fits. false: the other side is gone. */
static bool read_input(struct serial *s, int fd)
{
	ssize_t n;

	if (s->input_len == INPUT_BYTES)
		return true;
	n = read(fd, s->input + s->input_len, INPUT_BYTES - s->input_len);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		return false;
	if (n > 0)
		s->input_len += (size_t)n;
	return true;
}

static gboolean sink_readable(gint fd, GIOCondition cond, gpointer data)
{
	struct serial *s = data;

	(void)cond;
	s->in_source = 0;
	if (!read_input(s, fd))
		s->in_fd = -1;
	pump_input(s);
	return G_SOURCE_REMOVE;
}

static gboolean viewer_readable(gint fd, GIOCondition cond, gpointer data)
{
	struct viewer *v = data;
	struct serial *s = v->serial;

	(void)cond;
	v->in_source = 0;
	if (!read_input(s, fd))
		viewer_drop(v);
	pump_input(s);
	return G_SOURCE_REMOVE;
}

/* Every source of input is watched while there is room for what it says. */
static void watch_inputs(struct serial *s)
{
	if (s->input_len == INPUT_BYTES)
		return;
	if (s->in_fd >= 0 && s->in_source == 0)
		s->in_source = g_unix_fd_add(s->in_fd, G_IO_IN | G_IO_HUP, sink_readable, s);
	for (guint i = 0; i < s->viewers->len; i++) {
		struct viewer *v = s->viewers->pdata[i];
		if (v->in_source == 0)
			v->in_source = g_unix_fd_add(v->fd, G_IO_IN | G_IO_HUP, viewer_readable, v);
	}
}

static void serial_accept_input(struct chr *c)
{
	struct serial *s = HV_CONTAINER_OF(c, struct serial, chr);

	loop_post(s->loop, &s->pump);
}

static void serial_pump(void *ctx)
{
	struct serial *s = ctx;

	pthread_mutex_lock(&s->lock);
	s->waits = false;
	s->pumped_ns = loop_now_ns();
	pthread_mutex_unlock(&s->lock);
	pump_output(s);
	pump_input(s);
}

/* ---- life ---- */

/* One that hung up has a place as long as the guest does not read what it typed, and nobody else
 * wants that. */
static bool is_place(struct serial *s)
{
	for (guint i = s->viewers->len; s->viewers->len >= VIEWERS_MAX && i-- > 0;) {
		struct viewer *v = s->viewers->pdata[i];
		struct pollfd p = { .fd = v->fd };
		if (poll(&p, 1, 0) > 0)
			viewer_drop(v);
	}
	return s->viewers->len < VIEWERS_MAX;
}

int serial_open_viewer(struct serial *s, bool history, int *ret_fd, struct err *e)
{
	const size_t kept = MIN(s->history_total, HISTORY_BYTES);
	struct viewer *v;
	int fd[2];

	if (!is_place(s))
		return err_set(e, -EBUSY, "%s has %d viewers already", s->name, VIEWERS_MAX);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
		return err_set(e, -errno, "cannot make a stream: %s", strerror(errno));
	v = g_new0(struct viewer, 1);
	*v = (struct viewer){ .serial = s, .fd = fd[0], .out = g_byte_array_new() };
	fcntl(fd[0], F_SETFL, O_NONBLOCK);
	for (size_t i = 0; history && i < kept; i++)
		g_byte_array_append(v->out,
				    &s->history[(s->history_total - kept + i) % HISTORY_BYTES], 1);
	g_ptr_array_add(s->viewers, v);
	viewer_push(v);
	watch_inputs(s);
	*ret_fd = fd[1];
	return 0;
}

static int open_output(struct serial *s, struct err *e)
{
	s->in_fd = s->out_fd = -1;
	if (strcmp(s->output, "-") == 0) {
		s->in_fd = STDIN_FILENO;
		s->out_fd = STDOUT_FILENO;
	} else if (strcmp(s->output, "none") != 0) {
		s->out_fd = open(s->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY,
				 0666);
		if (s->out_fd < 0)
			return err_set(e, -errno, "%s: cannot make '%s': %s", s->name, s->output,
				       strerror(errno));
	}
	return 0;
}

int serial_create(struct loop *loop, const char *name, const char *output, bool patient,
		  struct serial **ret_serial, struct err *e)
{
	static const struct chr_ops ops = { .write = serial_write,
					    .accept_input = serial_accept_input };
	struct serial *s = g_new0(struct serial, 1);
	int r;

	s->chr.ops = &ops;
	s->loop = loop;
	s->name = g_strdup(name);
	s->output = g_strdup(output);
	s->ring_bytes = patient ? RING_BYTES_PATIENT : RING_BYTES;
	s->ring = g_malloc(s->ring_bytes);
	s->pump = (struct loop_work){ .fn = serial_pump, .ctx = s };
	s->later = (struct loop_timer){ .fn = serial_pump, .ctx = s };
	s->viewers = g_ptr_array_new_with_free_func((GDestroyNotify)(void *)viewer_free);
	pthread_mutex_init(&s->lock, NULL);
	r = open_output(s, e);
	if (r < 0) {
		serial_destroy(s);
		return r;
	}
	watch_inputs(s);
	*ret_serial = s;
	return 0;
}

void serial_destroy(struct serial *s)
{
	if (!s)
		return;
	loop_unpost(s->loop, &s->pump);
	loop_timer_forget(s->loop, &s->later);
	if (s->in_source)
		g_source_remove(s->in_source);
	if (s->out_source)
		g_source_remove(s->out_source);
	g_ptr_array_unref(s->viewers);
	if (s->out_fd > STDERR_FILENO)
		close(s->out_fd);
	pthread_mutex_destroy(&s->lock);
	g_free(s->ring);
	g_free(s->name);
	g_free(s->output);
	g_free(s);
}

struct chr *serial_chr(struct serial *s)
{
	return &s->chr;
}

const char *serial_output(const struct serial *s)
{
	return s->output;
}

static bool drained(struct serial *s)
{
	bool empty;

	pthread_mutex_lock(&s->lock);
	empty = s->ring_len == 0;
	pthread_mutex_unlock(&s->lock);
	return empty;
}

void serial_flush(struct serial *s, unsigned timeout_ms)
{
	const uint64_t end = loop_now_ns() + timeout_ms * 1000000ull;

	pump_output(s);
	while (!drained(s) && s->out_fd >= 0 && loop_now_ns() < end) {
		struct pollfd p = { .fd = s->out_fd, .events = POLLOUT };
		poll(&p, 1, 50);
		if (s->out_source) {
			g_source_remove(s->out_source);
			s->out_source = 0;
		}
		pump_output(s);
	}
}
