/* The control server's connections and dispatch, see control.h. */
#include "vm/control.h"
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/log.h"
#include "base/util.h"
#include "org-lodge-info.h"
#include "protocol/protocol.h"
#include "vm/control_int.h"

#define CONNECTIONS_MAX 64
#define OWED_MAX 2048 /* messages to and from a client that are under way */
#define OWED_STEP 256
#define GONE_SECONDS 1

struct control {
	struct vm *vm; /* borrowed */
	GDBusServer *server;
	GPtrArray *clients; /* of struct client; owned */
};

/* Also held by a flush that is under way, and by its connection's filter, to the end of that. */
struct client {
	struct control *control; /* borrowed; NULL: the client is gone */
	GDBusConnection *conn;	 /* owned; gone with the control */
	guint gone;		 /* a timer */
	unsigned leds;		 /* as it was last told */
	bool flushing;		 /* what it was told is still on its way */

	gint owed;	     /* atomic: messages that came, or are to go, and are not settled */
	unsigned unanswered; /* GDBus's thread: calls that want no answer */
};

static const struct {
	const GDBusInterfaceInfo *info;
	void (*call)(struct vm *vm, const char *method, GVariant *args, GDBusMethodInvocation *inv);
} interfaces[] = {
	{ &org_lodge_vm1_interface, control_vm_call },
	{ &org_lodge_devices1_interface, control_devices_call },
	{ &org_lodge_stats1_interface, control_stats_call },
	{ &org_lodge_input1_interface, control_input_call },
	{ &org_lodge_display1_interface, control_display_call },
	{ &org_lodge_serial1_interface, control_serial_call },
	{ &org_lodge_media1_interface, control_media_call },
	{ &org_lodge_snapshots1_interface, control_snapshots_call },
};

void control_fail(GDBusMethodInvocation *inv, const struct err *e)
{
	g_autofree char *text = g_utf8_make_valid(e->msg, -1); /* a name may have been cut */

	g_dbus_method_invocation_return_error_literal(inv, LODGE_ERROR,
						      (gint)lodge_error_of_errno(e->code), text);
}

static void let_go(struct control *c, GDBusConnection *conn)
{
	display_owner_gone(c->vm->display, conn);
	input_release(c->vm->input, conn);
}

static void on_call(GDBusConnection *conn, const char *sender, const char *path, const char *iface,
		    const char *method, GVariant *args, GDBusMethodInvocation *inv, gpointer data)
{
	struct control *c = data;

	(void)sender;
	(void)path;
	for (size_t i = 0; i < HV_ARRAY_LEN(interfaces); i++)
		if (strcmp(interfaces[i].info->name, iface) == 0)
			interfaces[i].call(c->vm, method, args, inv);
	if (g_dbus_connection_is_closed(conn)) /* on_closed() has been, or comes again */
		let_go(c, conn);
}

static void drop_client(gpointer data)
{
	struct client *cl = data;

	cl->control = NULL;
	if (cl->gone)
		g_source_remove(cl->gone);
	g_object_unref(cl->conn);
	g_atomic_rc_box_release(cl);
}

static GVariant *on_get(GDBusConnection *conn, const char *sender, const char *path,
			const char *iface, const char *name, GError **error, gpointer data)
{
	struct control *c = data;

	(void)conn;
	(void)sender;
	(void)path;
	(void)error;
	if (strcmp(iface, LODGE_IFACE_INPUT) == 0)
		return control_input_property(c->vm, name);
	return control_vm_property(c->vm, name);
}

/* ---- who asks and does not listen ---- */

/* Counts a message to or from a client; GDBus would keep any number. Any thread. */
static void owe(struct client *cl, GDBusConnection *conn)
{
	if (g_atomic_int_add(&cl->owed, 1) + 1 != OWED_MAX)
		return;
	log_msg(LOG_LVL_WARN, "control",
		"a client that does not wait for its answers was hung up on");
	g_dbus_connection_close(conn, NULL, NULL, NULL);
}

static void settle(struct client *cl, int n)
{
	gint owed;

	do
		owed = g_atomic_int_get(&cl->owed);
	while (!g_atomic_int_compare_and_exchange(&cl->owed, owed, MAX(owed - n, 0)));
}

static gboolean on_unanswered_done(gpointer data)
{
	settle(data, OWED_STEP);
	return G_SOURCE_REMOVE;
}

/* A call that wants no answer is settled when it is done: in the main thread, after those before
 * it. */
static void note_unanswered(struct client *cl)
{
	if (++cl->unanswered % OWED_STEP == 0)
		g_idle_add_full(G_PRIORITY_DEFAULT, on_unanswered_done, g_atomic_rc_box_acquire(cl),
				g_atomic_rc_box_release);
}

/* A call, with a number to answer to. GDBus uses a header's fields without looking at them: names
 * that are none end the process, as do those of other types, which read as NULL. Here nobody has a
 * name. */
static bool is_sound(GDBusMessage *m)
{
	const char *iface = g_dbus_message_get_interface(m);
	const char *member = g_dbus_message_get_member(m);

	return g_dbus_message_get_message_type(m) == G_DBUS_MESSAGE_TYPE_METHOD_CALL &&
	       g_dbus_message_get_serial(m) != 0 && g_dbus_message_get_path(m) && iface &&
	       g_dbus_is_interface_name(iface) && member && g_dbus_is_member_name(member) &&
	       !g_dbus_message_get_sender(m);
}

/* GDBus's thread; what goes out is about to be written. */
static GDBusMessage *on_message(GDBusConnection *conn, GDBusMessage *m, gboolean incoming,
				gpointer data)
{
	if (!incoming) {
		settle(data, 1);
		return m;
	}
	if (!is_sound(m)) {
		g_object_unref(m);
		return NULL;
	}
	owe(data, conn);
	if (g_dbus_message_get_flags(m) & G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED)
		note_unanswered(data);
	return m;
}

static GDBusConnection *conn_of(const struct control *c, guint i)
{
	return ((struct client *)c->clients->pdata[i])->conn;
}

static void forget(struct control *c, GDBusConnection *conn)
{
	let_go(c, conn);
	for (guint i = 0; i < c->clients->len; i++) {
		if (conn_of(c, i) == conn) {
			g_ptr_array_remove_index_fast(c->clients, i);
			break;
		}
	}
}

static void on_closed(GDBusConnection *conn, gboolean remote, GError *error, gpointer data)
{
	(void)remote;
	(void)error;
	forget(data, conn);
}

static gboolean on_gone(gpointer data)
{
	struct client *cl = data;

	cl->gone = 0;
	forget(cl->control, cl->conn);
	return G_SOURCE_REMOVE;
}

static gboolean on_connection(GDBusServer *server, GDBusConnection *conn, gpointer data)
{
	static const GDBusInterfaceVTable vtable = { .method_call = on_call,
						     .get_property = on_get };
	struct control *c = data;
	struct client *cl;

	(void)server;
	if (c->clients->len >= CONNECTIONS_MAX) {
		log_msg(LOG_LVL_WARN, "control", "more than %d connections: one refused",
			CONNECTIONS_MAX);
		return FALSE;
	}
	for (size_t i = 0; i < HV_ARRAY_LEN(interfaces); i++)
		if (g_dbus_connection_register_object(
			    conn, LODGE_OBJECT, (GDBusInterfaceInfo *)(void *)interfaces[i].info,
			    &vtable, c, NULL, NULL) == 0)
			return FALSE;
	cl = g_atomic_rc_box_new0(struct client);
	*cl = (struct client){ .control = c,
			       .conn = g_object_ref(conn),
			       .leds = machine_leds(c->vm->machine) };
	g_dbus_connection_add_filter(conn, on_message, g_atomic_rc_box_acquire(cl),
				     g_atomic_rc_box_release);
	g_ptr_array_add(c->clients, cl);
	g_signal_connect(conn, "closed", G_CALLBACK(on_closed), c);
	/* One that has hung up already: that may have been told before. What it sent comes first.
	 */
	if (g_dbus_connection_is_closed(conn))
		cl->gone = g_timeout_add_seconds(GONE_SECONDS, on_gone, cl);
	return TRUE;
}

/* The other mechanisms need files or no proof at all. */
static gboolean on_mechanism(GDBusAuthObserver *o, const char *mechanism, gpointer data)
{
	(void)o;
	(void)data;
	return strcmp(mechanism, "EXTERNAL") == 0;
}

static gboolean on_authorize(GDBusAuthObserver *o, GIOStream *stream, GCredentials *cred,
			     gpointer data)
{
	(void)o;
	(void)stream;
	(void)data;
	return cred && g_credentials_get_unix_user(cred, NULL) == getuid();
}

int control_create(struct vm *vm, struct control **ret_control, struct err *e)
{
	struct control *c = g_new0(struct control, 1);
	g_autoptr(GError) error = NULL;
	g_autofree char *path = g_dbus_address_escape_value(vm->claim.socket);
	g_autofree char *address = g_strdup_printf("unix:path=%s", path);
	g_autofree char *guid = g_dbus_generate_guid();
	g_autoptr(GDBusAuthObserver) observer = g_dbus_auth_observer_new();

	g_signal_connect(observer, "allow-mechanism", G_CALLBACK(on_mechanism), NULL);
	g_signal_connect(observer, "authorize-authenticated-peer", G_CALLBACK(on_authorize), NULL);
	c->vm = vm;
	c->clients = g_ptr_array_new_with_free_func(drop_client);
	c->server = g_dbus_server_new_sync(address, G_DBUS_SERVER_FLAGS_NONE, guid, observer, NULL,
					   &error);
	*ret_control = c;
	if (!c->server)
		return err_set(e, -EIO, "cannot make the control socket '%s': %s", vm->claim.socket,
			       error->message);
	g_signal_connect(c->server, "new-connection", G_CALLBACK(on_connection), c);
	g_dbus_server_start(c->server);
	return 0;
}

static void on_flushed(GObject *conn, GAsyncResult *res, gpointer data)
{
	guint *left = data;

	g_dbus_connection_flush_finish(G_DBUS_CONNECTION(conn), res, NULL);
	(*left)--;
}

static gboolean on_timeout(gpointer data)
{
	*(bool *)data = true;
	return G_SOURCE_REMOVE;
}

/* What is still to be sent, the last state above all; a client that does not read is not waited
 * for. */
static void flush_all(struct control *c)
{
	/* Static: a flush may finish after the time is up. */
	static guint left;
	bool late = false;
	guint timer = g_timeout_add(1000, on_timeout, &late);

	left = c->clients->len;
	for (guint i = 0; i < c->clients->len; i++)
		g_dbus_connection_flush(conn_of(c, i), NULL, on_flushed, &left);
	while (left > 0 && !late)
		g_main_context_iteration(NULL, TRUE);
	if (!late)
		g_source_remove(timer);
}

void control_destroy(struct control *c)
{
	if (!c)
		return;
	if (c->server) {
		g_dbus_server_stop(c->server);
		g_object_unref(c->server);
	}
	flush_all(c);
	for (guint i = 0; i < c->clients->len; i++)
		g_signal_handlers_disconnect_by_data(conn_of(c, i), c);
	g_ptr_array_unref(c->clients);
	g_free(c);
}

static void emit(struct control *c, const char *signal, GVariant *args)
{
	g_variant_ref_sink(args);
	for (guint i = 0; i < c->clients->len; i++) {
		owe(c->clients->pdata[i], conn_of(c, i));
		g_dbus_connection_emit_signal(conn_of(c, i), NULL, LODGE_OBJECT, LODGE_IFACE_VM,
					      signal, args, NULL);
	}
	g_variant_unref(args);
}

void control_state_changed(struct control *c)
{
	const struct vm *vm = c->vm;

	if (vm->quitting)
		emit(c, "Ended", g_variant_new("(is)", vm->exit_status, vm->exit_text));
	emit(c, "StateChanged", g_variant_new("(ss)", vm_state_name(vm->state), vm->reason));
}

/* ---- lights ---- */

static void tell_leds(struct client *cl);

static void on_leds_sent(GObject *conn, GAsyncResult *res, gpointer data)
{
	struct client *cl = data;

	cl->flushing = false;
	if (g_dbus_connection_flush_finish(G_DBUS_CONNECTION(conn), res, NULL) && cl->control)
		tell_leds(cl);
	g_atomic_rc_box_release(cl);
}

/* The guest may blink as fast as it likes, and the client may not read: one signal at a time. */
static void tell_leds(struct client *cl)
{
	const unsigned leds = machine_leds(cl->control->vm->machine);

	if (cl->flushing || leds == cl->leds)
		return;
	cl->leds = leds;
	cl->flushing = true;
	g_dbus_connection_emit_signal(cl->conn, NULL, LODGE_OBJECT, LODGE_IFACE_INPUT,
				      "LedsChanged", g_variant_new("(u)", leds), NULL);
	g_dbus_connection_flush(cl->conn, NULL, on_leds_sent, g_atomic_rc_box_acquire(cl));
}

void control_leds_changed(struct control *c)
{
	for (guint i = 0; i < c->clients->len; i++)
		tell_leds(c->clients->pdata[i]);
}
