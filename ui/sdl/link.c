/*
 * The conversation with the VM, see link.h. Input goes out in batches of calls without reply, the
 * last of each with one: only when that has come the next batch goes, so that no more than one is
 * ever under way to a VM that is slow or hangs; what comes meanwhile waits in a bounded queue.
 */
#include "sdl/link.h"
#include <errno.h>
#include <glib-unix.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "protocol/protocol.h"

#define BATCH 64
#define CALL_TIMEOUT_MS 10000
#define PARTING_MS 500 /* for the last releases */

struct link {
	/* constant after start */
	struct ui_vm *vm; /* borrowed */
	GMainLoop *loop;
	GThread *thread;
	Uint32 first_event;
	int wake_fd, epoll_fd, event_fd;
	/* under the lock */
	GMutex lock;
	struct sendq queue;
	bool pumping; /* a pump is due or a batch under way */
	/* link's thread */
	guint frame_source, signals, input_signals;
	gulong closed_handler;
	GCancellable *cancel;
	unsigned n_pending; /* calls that will be answered */
	bool stopping, closed;
	char *end;
};

void link_state_free(struct link_state *s)
{
	if (!s)
		return;
	g_free(s->state);
	g_free(s->reason);
	g_free(s->end);
	g_free(s);
}

static void push(struct link *l, enum link_event kind, Sint32 code, void *data)
{
	SDL_Event e = {
		.user = { .type = l->first_event + (Uint32)kind, .code = code, .data1 = data }
	};

	if (SDL_PushEvent(&e) == 1) {
		eventfd_write(l->event_fd, 1);
		return;
	}
	/* SDL's queue is full: only the window's thread could have let that happen. */
	if (kind == LINK_STATE)
		link_state_free(data);
	else
		g_free(data);
}

/* Every call with an answer: link_stop() waits for none of them, but for each to be over. */
static void begin_call(struct link *l, const char *iface, const char *method, GVariant *args,
		       int timeout_ms, GAsyncReadyCallback done)
{
	l->n_pending++;
	g_dbus_connection_call(ui_vm_connection(l->vm), NULL, LODGE_OBJECT, iface, method, args,
			       NULL, G_DBUS_CALL_FLAGS_NONE, timeout_ms, l->cancel, done, l);
}

static GVariant *finish_call(struct link *l, GObject *conn, GAsyncResult *res, GError **error)
{
	l->n_pending--;
	return g_dbus_connection_call_finish(G_DBUS_CONNECTION(conn), res, error);
}

/* ---- input ---- */

static void pump(struct link *l);

static GVariant *arguments(const struct sendq_event *e, const char **ret_method)
{
	switch (e->kind) {
	case SENDQ_KEY:
		*ret_method = "Key";
		return g_variant_new("(ub)", e->code, e->down);
	case SENDQ_BUTTON:
		*ret_method = "PointerButton";
		return g_variant_new("(ub)", e->code, e->down);
	case SENDQ_MOVE:
		*ret_method = "PointerMove";
		return g_variant_new("(iii)", e->dx, e->dy, e->wheel);
	default:
		*ret_method = "ReleaseAll";
		return NULL;
	}
}

/* An error is as good as an answer: a VM that is paused takes no input. */
static void on_batch_done(GObject *conn, GAsyncResult *res, gpointer data)
{
	struct link *l = data;
	g_autoptr(GVariant) r = finish_call(l, conn, res, NULL);

	pump(l);
}

static void send_event(struct link *l, const struct sendq_event *e, bool last)
{
	const char *method;
	GVariant *args = arguments(e, &method);

	if (last)
		begin_call(l, LODGE_IFACE_INPUT, method, args, G_MAXINT, on_batch_done);
	else /* without a callback GDBus asks for no reply */
		g_dbus_connection_call(ui_vm_connection(l->vm), NULL, LODGE_OBJECT,
				       LODGE_IFACE_INPUT, method, args, NULL,
				       G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL, NULL);
}

static unsigned take_batch(struct link *l, struct sendq_event *ret)
{
	unsigned n = 0;

	g_mutex_lock(&l->lock);
	while (n < BATCH && sendq_take(&l->queue, &ret[n]))
		n++;
	l->pumping = n > 0;
	g_mutex_unlock(&l->lock);
	return n;
}

static void pump(struct link *l)
{
	struct sendq_event batch[BATCH];
	const unsigned n = take_batch(l, batch);

	if (l->closed)
		return;
	for (unsigned i = 0; i < n; i++)
		send_event(l, &batch[i], i + 1 == n);
	if (n == 0 && l->stopping)
		g_main_loop_quit(l->loop);
}

static gboolean on_pump(gpointer data)
{
	pump(data);
	return G_SOURCE_REMOVE;
}

void link_push(struct link *l)
{
	bool due;

	g_mutex_lock(&l->lock);
	due = !l->pumping && l->queue.len > 0;
	l->pumping |= due;
	g_mutex_unlock(&l->lock);
	if (due)
		g_idle_add_full(G_PRIORITY_DEFAULT, on_pump, l, NULL);
}

void link_key(struct link *l, unsigned code, bool down)
{
	g_mutex_lock(&l->lock);
	sendq_key(&l->queue, code, down);
	g_mutex_unlock(&l->lock);
}

void link_button(struct link *l, unsigned button, bool down)
{
	g_mutex_lock(&l->lock);
	sendq_button(&l->queue, button, down);
	g_mutex_unlock(&l->lock);
}

void link_move(struct link *l, int32_t dx, int32_t dy, int32_t wheel)
{
	g_mutex_lock(&l->lock);
	sendq_move(&l->queue, dx, dy, wheel);
	g_mutex_unlock(&l->lock);
}

void link_release_all(struct link *l)
{
	g_mutex_lock(&l->lock);
	sendq_release_all(&l->queue);
	g_mutex_unlock(&l->lock);
}

/* ---- calls ---- */

struct call {
	struct link *link;
	const char *method; /* static */
};

static void on_called(GObject *conn, GAsyncResult *res, gpointer data)
{
	struct link *l = data;
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) r = finish_call(l, conn, res, &error);

	if (r || ui_vm_gone(l->vm) || g_cancellable_is_cancelled(l->cancel))
		return;
	g_dbus_error_strip_remote_error(error);
	push(l, LINK_FAILED, 0,
	     g_error_matches(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT)
		     ? g_strdup("The VM does not answer.")
		     : g_strdup(error->message));
}

static gboolean on_call(gpointer data)
{
	struct call *c = data;

	begin_call(c->link, LODGE_IFACE_VM, c->method, NULL, CALL_TIMEOUT_MS, on_called);
	return G_SOURCE_REMOVE;
}

void link_call(struct link *l, const char *method)
{
	struct call *c = g_new(struct call, 1);

	*c = (struct call){ l, method };
	g_idle_add_full(G_PRIORITY_DEFAULT, on_call, c, g_free);
}

/* ---- what the VM says ---- */

static void push_state(struct link *l, const char *state, const char *reason)
{
	struct link_state *s = g_new0(struct link_state, 1);

	s->state = g_strdup(state);
	s->reason = g_strdup(reason);
	s->end = g_strdup(l->end ? l->end : "");
	push(l, LINK_STATE, 0, s);
}

static void on_vm_signal(GDBusConnection *conn, const char *sender, const char *path,
			 const char *iface, const char *signal, GVariant *args, gpointer data)
{
	struct link *l = data;
	const char *state, *reason;

	(void)conn;
	(void)sender;
	(void)path;
	(void)iface;
	if (strcmp(signal, "StateChanged") == 0 &&
	    g_variant_is_of_type(args, G_VARIANT_TYPE("(ss)"))) {
		g_variant_get(args, "(&s&s)", &state, &reason);
		push_state(l, state, reason);
	} else if (strcmp(signal, "Ended") == 0 &&
		   g_variant_is_of_type(args, G_VARIANT_TYPE("(is)"))) {
		g_free(l->end);
		g_variant_get(args, "(is)", NULL, &l->end);
	}
}

static void take_leds(struct link *l, GVariant *v)
{
	if (v && g_variant_is_of_type(v, G_VARIANT_TYPE_UINT32))
		push(l, LINK_LEDS, (Sint32)g_variant_get_uint32(v), NULL);
}

static void on_input_signal(GDBusConnection *conn, const char *sender, const char *path,
			    const char *iface, const char *signal, GVariant *args, gpointer data)
{
	g_autoptr(GVariant) leds = NULL;

	(void)conn;
	(void)sender;
	(void)path;
	(void)iface;
	if (strcmp(signal, "LedsChanged") != 0 || g_variant_n_children(args) < 1)
		return;
	leds = g_variant_get_child_value(args, 0);
	take_leds(data, leds);
}

static void on_leds(GObject *conn, GAsyncResult *res, gpointer data)
{
	g_autoptr(GVariant) r = finish_call(data, conn, res, NULL);
	g_autoptr(GVariant) leds = NULL;

	if (!r || !g_variant_is_of_type(r, G_VARIANT_TYPE("(v)")))
		return;
	g_variant_get(r, "(v)", &leds);
	take_leds(data, leds);
}

static void on_properties(GObject *conn, GAsyncResult *res, gpointer data)
{
	g_autoptr(GVariant) r = finish_call(data, conn, res, NULL);
	g_autoptr(GVariant) props = r ? g_variant_get_child_value(r, 0) : NULL;
	const char *state, *reason = "";

	if (!props || !g_variant_is_of_type(props, G_VARIANT_TYPE_VARDICT) ||
	    !g_variant_lookup(props, "State", "&s", &state))
		return;
	g_variant_lookup(props, "Reason", "&s", &reason);
	push_state(data, state, reason);
}

static void ask_state(struct link *l)
{
	begin_call(l, "org.freedesktop.DBus.Properties", "GetAll",
		   g_variant_new("(s)", LODGE_IFACE_VM), G_MAXINT, on_properties);
	begin_call(l, "org.freedesktop.DBus.Properties", "Get",
		   g_variant_new("(ss)", LODGE_IFACE_INPUT, "Leds"), G_MAXINT, on_leds);
}

static void on_closed(GDBusConnection *conn, gboolean remote, GError *error, gpointer data)
{
	struct link *l = data;

	(void)conn;
	(void)remote;
	(void)error;
	if (l->closed)
		return;
	l->closed = true;
	push(l, LINK_CLOSED, 0, NULL);
	if (l->stopping)
		g_main_loop_quit(l->loop);
}

/* ---- frames ---- */

/* One report a request: until the display is read it would be readable all the time. */
void link_watch_frame(struct link *l)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLONESHOT };

	if (l->epoll_fd >= 0)
		epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, l->wake_fd, &e);
}

static gboolean on_frame(gint fd, GIOCondition cond, gpointer data)
{
	struct link *l = data;
	struct epoll_event e;

	(void)cond;
	if (epoll_wait(fd, &e, 1, 0) == 1)
		push(l, LINK_FRAME, 0, NULL);
	return G_SOURCE_CONTINUE;
}

/* ---- life ---- */

static gpointer run(gpointer data)
{
	struct link *l = data;

	g_main_loop_run(l->loop);
	return NULL;
}

static void connect_signals(struct link *l)
{
	GDBusConnection *conn = ui_vm_connection(l->vm);

	l->signals = g_dbus_connection_signal_subscribe(conn, NULL, LODGE_IFACE_VM, NULL,
							LODGE_OBJECT, NULL,
							G_DBUS_SIGNAL_FLAGS_NONE, on_vm_signal, l,
							NULL);
	l->input_signals = g_dbus_connection_signal_subscribe(conn, NULL, LODGE_IFACE_INPUT, NULL,
							      LODGE_OBJECT, NULL,
							      G_DBUS_SIGNAL_FLAGS_NONE,
							      on_input_signal, l, NULL);
	l->closed_handler = g_signal_connect(conn, "closed", G_CALLBACK(on_closed), l);
	ask_state(l);
	if (ui_vm_gone(l->vm))
		on_closed(conn, TRUE, NULL, l);
}

struct link *link_start(struct ui_vm *vm, int wake_fd)
{
	struct link *l = g_new0(struct link, 1);
	struct epoll_event e = { .events = EPOLLIN | EPOLLONESHOT };

	l->vm = vm;
	l->first_event = SDL_RegisterEvents(LINK_N_EVENTS);
	l->loop = g_main_loop_new(NULL, FALSE);
	l->cancel = g_cancellable_new();
	l->wake_fd = wake_fd;
	l->epoll_fd = wake_fd >= 0 ? epoll_create1(EPOLL_CLOEXEC) : -1;
	l->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	g_mutex_init(&l->lock);
	if (l->epoll_fd >= 0) {
		epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, wake_fd, &e);
		GSource *s = g_unix_fd_source_new(l->epoll_fd, G_IO_IN);
		g_source_set_callback(s, (GSourceFunc)(void *)on_frame, l, NULL);
		/* It never does; but for others GLib takes the descriptor out of its set and back
		 * around each call, which wakes it up once more. */
		g_source_set_can_recurse(s, TRUE);
		l->frame_source = g_source_attach(s, NULL);
		g_source_unref(s);
	}
	connect_signals(l);
	l->thread = g_thread_new("link", run, l);
	return l;
}

static gboolean on_parting(gpointer data)
{
	g_main_loop_quit(((struct link *)data)->loop);
	return G_SOURCE_REMOVE;
}

static gboolean on_stop(gpointer data)
{
	struct link *l = data;
	bool busy;

	l->stopping = true;
	g_mutex_lock(&l->lock);
	busy = l->pumping;
	g_mutex_unlock(&l->lock);
	if (l->closed || !busy)
		g_main_loop_quit(l->loop);
	else
		g_timeout_add(PARTING_MS, on_parting, l);
	return G_SOURCE_REMOVE;
}

void link_stop(struct link *l)
{
	GDBusConnection *conn;

	if (!l)
		return;
	link_push(l);
	g_idle_add_full(G_PRIORITY_DEFAULT, on_stop, l, NULL);
	g_thread_join(l->thread);
	conn = ui_vm_connection(l->vm);
	g_signal_handler_disconnect(conn, l->closed_handler);
	g_dbus_connection_signal_unsubscribe(conn, l->signals);
	g_dbus_connection_signal_unsubscribe(conn, l->input_signals);
	if (l->frame_source)
		g_source_remove(l->frame_source);
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	if (l->event_fd >= 0)
		close(l->event_fd);
	l->event_fd = -1;
	l->closed = true; /* nothing is sent any more */
	g_cancellable_cancel(l->cancel);
	while (l->n_pending > 0 || g_main_context_pending(NULL))
		g_main_context_iteration(NULL, TRUE);
	g_object_unref(l->cancel);
	g_main_loop_unref(l->loop);
	g_mutex_clear(&l->lock);
	g_free(l->end);
	g_free(l);
}

int link_event_fd(const struct link *l)
{
	return l->event_fd;
}

Uint32 link_first_event(const struct link *l)
{
	return l->first_event;
}
