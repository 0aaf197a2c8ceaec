/* Terminal and pump, see term.h. */
#include "cli/term.h"
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#define ESCAPE 0x1d /* Ctrl-] */
#define BACKLOG_MAX 65536

struct term {
	const struct term_ops *ops;
	int stream;
	bool raw, escaped, ended;
	struct termios saved;
	GByteArray *out; /* typed, not yet taken by the stream */
	guint in_source, stream_source, writable_source;
};

bool term_is_raw(const struct term *t)
{
	return t->raw;
}

void term_say(struct term *t, const char *line)
{
	fprintf(stderr, "%slodge: %s\n", t->raw ? "\n" : "", line);
}

/* ---- stream to standard output ---- */

static bool write_all(const char *buf, size_t len)
{
	while (len > 0) {
		const ssize_t n = write(STDOUT_FILENO, buf, len);
		if (n < 0 && errno == EAGAIN) {
			/* Someone else made it non-blocking. */
			struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };
			poll(&p, 1, -1);
		} else if (n < 0 && errno != EINTR) {
			return false;
		}
		if (n > 0) {
			buf += n;
			len -= (size_t)n;
		}
	}
	return true;
}

/* false: one of the two ends is gone. */
static bool copy_once(struct term *t)
{
	char buf[4096];
	const ssize_t n = read(t->stream, buf, sizeof(buf));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	return n > 0 && write_all(buf, (size_t)n);
}

static gboolean on_stream(gint fd, GIOCondition cond, gpointer data)
{
	struct term *t = data;

	(void)fd;
	(void)cond;
	if (copy_once(t))
		return G_SOURCE_CONTINUE;
	t->stream_source = 0;
	t->ended = true;
	t->ops->ended(t->ops->ctx);
	return G_SOURCE_REMOVE;
}

/* ---- standard input to stream ---- */

static void watch_input(struct term *t);

static gboolean on_writable(gint fd, GIOCondition cond, gpointer data);

static void push(struct term *t)
{
	ssize_t n = 0;

	if (t->out->len > 0)
		n = send(t->stream, t->out->data, t->out->len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		g_byte_array_remove_range(t->out, 0, (guint)n);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		g_byte_array_set_size(t->out, 0); /* the stream has ended: on_stream says so */
	if (t->out->len > 0 && t->writable_source == 0)
		t->writable_source = g_unix_fd_add(t->stream, G_IO_OUT, on_writable, t);
	watch_input(t);
}

static gboolean on_writable(gint fd, GIOCondition cond, gpointer data)
{
	struct term *t = data;

	(void)fd;
	(void)cond;
	t->writable_source = 0;
	push(t);
	return G_SOURCE_REMOVE;
}

static void escape_key(struct term *t, char c)
{
	g_autofree char *text = NULL;

	if (c == ESCAPE || c == ']') {
		g_byte_array_append(t->out, (const guint8 *)"\x1d", 1);
	} else if (c == '?' || c == 'h') {
		g_auto(GStrv) lines = g_strsplit(t->ops->help, "\n", -1);
		for (guint i = 0; lines[i]; i++)
			fprintf(stderr, "\n  %s", lines[i]);
		fprintf(stderr, "\n");
	} else if (!t->ops->key(t->ops->ctx, c)) {
		text = g_strdup_printf("Ctrl-] and this key do nothing; Ctrl-] ? shows the keys");
		term_say(t, text);
	}
}

static gboolean on_input(gint fd, GIOCondition cond, gpointer data)
{
	struct term *t = data;
	char buf[1024];
	const ssize_t n = read(fd, buf, sizeof(buf));

	(void)cond;
	t->in_source = 0;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		return G_SOURCE_REMOVE; /* no more will be typed; the guest may still speak */
	for (ssize_t i = 0; i < n; i++) {
		if (t->escaped) {
			t->escaped = false;
			escape_key(t, buf[i]);
		} else if (t->raw && buf[i] == ESCAPE) {
			t->escaped = true;
		} else {
			g_byte_array_append(t->out, (const guint8 *)&buf[i], 1);
		}
	}
	push(t);
	return G_SOURCE_REMOVE;
}

static void watch_input(struct term *t)
{
	if (t->in_source == 0 && t->out->len < BACKLOG_MAX && !t->ended)
		t->in_source = g_unix_fd_add(STDIN_FILENO, G_IO_IN | G_IO_HUP, on_input, t);
}

/* ---- life ---- */

static void make_raw(struct term *t)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &t->saved) < 0 || tcgetpgrp(STDIN_FILENO) != getpgrp())
		return;
	raw = t->saved;
	cfmakeraw(&raw);
	/* Newlines of messages still return the carriage; the guest's own do no harm. */
	raw.c_oflag |= OPOST | ONLCR;
	t->raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

struct term *term_start(int stream, bool input, const struct term_ops *ops)
{
	struct term *t = g_new0(struct term, 1);

	t->ops = ops;
	t->stream = stream;
	t->out = g_byte_array_new();
	if (input)
		make_raw(t);
	t->stream_source = g_unix_fd_add(stream, G_IO_IN | G_IO_HUP, on_stream, t);
	if (input)
		watch_input(t);
	return t;
}

void term_finish(struct term *t, bool drain)
{
	if (!t)
		return;
	if (t->in_source)
		g_source_remove(t->in_source);
	if (t->stream_source)
		g_source_remove(t->stream_source);
	if (t->writable_source)
		g_source_remove(t->writable_source);
	while (drain && !t->ended && copy_once(t))
		;
	if (t->raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &t->saved);
	close(t->stream);
	g_byte_array_unref(t->out);
	g_free(t);
}
