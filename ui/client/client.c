/* Finding, calling and awaiting running VMs, see client.h. */
#include "client/client.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "org-lodge-info.h"
#include "protocol/folder.h"
#include "protocol/protocol.h"

#define CONNECT_TRIES 200
#define CONNECT_PAUSE_MS 50
#define END_TIMEOUT_MS 10000 /* of a process whose VM has ended */
#define END_PAUSE_MS 2
#define CONNECT_TIMEOUT_MS 10000 /* to answer at all, on a busy host */

struct ui_vm {
	char *name;
	char *run; /* its folder among the running ones; NULL: not known */
	GDBusConnection *conn;
};

/* ---- finding ---- */

/* Does a live process hold the folder's lock? */
static bool is_live(const char *dir)
{
	g_autofree char *path = g_build_filename(dir, LODGE_RUN_LOCK, NULL);
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool live;

	if (fd < 0)
		return false;
	live = flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	close(fd);
	return live;
}

static int by_name(gconstpointer a, gconstpointer b)
{
	const char *const *x = a, *const *y = b;
	const size_t nx = strlen(*x), ny = strlen(*y);

	/* run-2 before run-10 */
	return nx != ny ? (nx < ny ? -1 : 1) : strcmp(*x, *y);
}

GPtrArray *ui_vm_names(GError **error)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GError) why = NULL;
	g_autofree char *root = lodge_run_root(false, &why);
	g_autoptr(GDir) dir = NULL;
	const char *name;

	if (!root && g_error_matches(why, LODGE_ERROR, LODGE_ERROR_NOT_FOUND))
		return g_steal_pointer(&names);
	if (root)
		dir = g_dir_open(root, 0, NULL);
	if (!dir) {
		g_propagate_error(error, g_steal_pointer(&why));
		return NULL;
	}
	while ((name = g_dir_read_name(dir)) != NULL) {
		g_autofree char *path = g_build_filename(root, name, NULL);
		if (is_live(path))
			g_ptr_array_add(names, g_strdup(name));
	}
	g_ptr_array_sort(names, by_name);
	return g_steal_pointer(&names);
}

struct connect {
	GCancellable *cancel;
	GDBusConnection *conn;
	bool done;
};

static void on_connected(GObject *source, GAsyncResult *res, gpointer data)
{
	struct connect *c = data;

	(void)source;
	c->conn = g_dbus_connection_new_for_address_finish(res, NULL);
	c->done = true;
}

static gboolean on_connect_late(gpointer data)
{
	g_cancellable_cancel(((struct connect *)data)->cancel);
	return G_SOURCE_CONTINUE;
}

static GDBusConnection *connect_once(const char *dir, bool *ret_late)
{
	g_autofree char *path = g_build_filename(dir, LODGE_RUN_CONTROL, NULL);
	g_autofree char *escaped = g_dbus_address_escape_value(path);
	g_autofree char *address = g_strdup_printf("unix:path=%s", escaped);
	g_autoptr(GCancellable) cancel = g_cancellable_new();
	struct connect c = { .cancel = cancel };
	const guint timer = g_timeout_add(CONNECT_TIMEOUT_MS, on_connect_late, &c);

	g_dbus_connection_new_for_address(address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT,
					  NULL, cancel, on_connected, &c);
	while (!c.done)
		g_main_context_iteration(NULL, TRUE);
	g_source_remove(timer);
	*ret_late |= g_cancellable_is_cancelled(cancel);
	return c.conn;
}

/* NULL: nobody listens there, or it does not answer (*ret_late). One that is just starting, or has
 * many callers at once, is tried again for a while. */
static GDBusConnection *connect_folder(const char *folder, bool *ret_late)
{
	g_autofree char *root = lodge_run_root(false, NULL);
	g_autofree char *dir = root ? g_build_filename(root, folder, NULL) : NULL;
	GDBusConnection *conn = NULL;

	for (unsigned i = 0; dir && !conn && !*ret_late && i < CONNECT_TRIES && is_live(dir); i++) {
		if (i > 0)
			g_usleep(CONNECT_PAUSE_MS * 1000);
		conn = connect_once(dir, ret_late);
	}
	return conn;
}

static char *property_string(GDBusConnection *conn, const char *name)
{
	g_autoptr(GVariant) r = g_dbus_connection_call_sync(
		conn, NULL, LODGE_OBJECT, "org.freedesktop.DBus.Properties", "Get",
		g_variant_new("(ss)", LODGE_IFACE_VM, name), G_VARIANT_TYPE("(v)"),
		G_DBUS_CALL_FLAGS_NONE, CONNECT_TIMEOUT_MS, NULL, NULL);
	g_autoptr(GVariant) v = NULL;

	if (!r)
		return NULL;
	g_variant_get(r, "(v)", &v);
	return g_variant_is_of_type(v, G_VARIANT_TYPE_STRING) ? g_variant_dup_string(v, NULL)
							      : NULL;
}

/* The VM that calls itself so (vm.name); *ret_run: its folder among the running ones. */
static GDBusConnection *connect_by_name(const char *name, char **ret_run)
{
	g_autoptr(GPtrArray) names = ui_vm_names(NULL);

	for (guint i = 0; names && i < names->len; i++) {
		bool late = false;
		g_autoptr(GDBusConnection) conn = connect_folder(names->pdata[i], &late);
		g_autofree char *own = conn ? property_string(conn, "Name") : NULL;
		if (own && strcmp(own, name) == 0) {
			g_free(*ret_run);
			*ret_run = g_strdup(names->pdata[i]);
			return g_steal_pointer(&conn);
		}
	}
	return NULL;
}

static void no_such_vm(const char *name, GError **error)
{
	g_autoptr(GPtrArray) names = ui_vm_names(NULL);
	const char *near = NULL;

	if (names) {
		g_ptr_array_add(names, NULL);
		near = lodge_nearest(name, (const char *const *)(void *)names->pdata);
	}
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND,
		    "no VM \"%s\" is running%s%s (lodge list)", name,
		    near ? "; the nearest name is " : "", near ? near : "");
}

static struct ui_vm *new_vm(const char *name, const char *run, GDBusConnection *conn)
{
	struct ui_vm *vm = g_new0(struct ui_vm, 1);

	vm->name = g_strdup(name);
	vm->run = g_strdup(run);
	vm->conn = conn;
	return vm;
}

static void no_answer(const char *name, GError **error)
{
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_TIMEOUT,
		    "VM \"%s\" does not answer: its process hangs or is stopped", name);
}

struct ui_vm *ui_vm_connect_run(const char *name, GError **error)
{
	bool late = false;
	GDBusConnection *conn = connect_folder(name, &late);

	if (conn)
		return new_vm(name, name, conn);
	if (late)
		no_answer(name, error);
	else
		no_such_vm(name, error);
	return NULL;
}

struct ui_vm *ui_vm_connect(const char *name, GError **error)
{
	g_autofree char *kept = lodge_folder_find(name, NULL);
	g_autofree char *run = kept ? lodge_run_name_of_folder(kept, NULL) : NULL;
	g_autofree char *word = lodge_shell_word(name);
	GDBusConnection *conn = NULL;
	bool late = false;

	if (!run && !strchr(name, '/') && name[0] != '\0' && name[0] != '.')
		run = g_strdup(name);
	if (run)
		conn = connect_folder(run, &late);
	if (!conn && run && !kept && !late)
		conn = connect_by_name(name, &run);
	if (conn)
		return new_vm(name, run, conn);
	if (late)
		no_answer(name, error);
	else if (kept && strcmp(lodge_folder_state(kept), "running") == 0)
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_WRONG_STATE,
			    "VM \"%s\" is in use, but cannot be reached: it is starting or being "
			    "changed, or was started with another XDG_RUNTIME_DIR",
			    name);
	else if (kept)
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_WRONG_STATE,
			    "VM \"%s\" is not running (lodge start %s)", name, word);
	else
		no_such_vm(name, error);
	return NULL;
}

void ui_vm_close(struct ui_vm *vm)
{
	if (!vm)
		return;
	g_object_unref(vm->conn);
	g_free(vm->name);
	g_free(vm->run);
	g_free(vm);
}

const char *ui_vm_name(const struct ui_vm *vm)
{
	return vm->name;
}

GDBusConnection *ui_vm_connection(struct ui_vm *vm)
{
	return vm->conn;
}

bool ui_vm_gone(const struct ui_vm *vm)
{
	return g_dbus_connection_is_closed(vm->conn);
}

/* ---- calling ---- */

/* What D-Bus itself reports, in our domain; what lodge-vm said, word for word. */
static void convert_error(struct ui_vm *vm, GError *e, GError **error)
{
	g_dbus_error_strip_remote_error(e);
	if (e->domain == LODGE_ERROR)
		g_propagate_error(error, e);
	else if (g_error_matches(e, G_IO_ERROR, G_IO_ERROR_TIMED_OUT)) {
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_TIMEOUT,
			    "VM \"%s\" does not answer (lodge kill %s)", vm->name, vm->name);
		g_error_free(e);
	} else if (g_error_matches(e, G_IO_ERROR, G_IO_ERROR_CLOSED) || ui_vm_gone(vm)) {
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_FAILED,
			    "VM \"%s\" ended before it answered", vm->name);
		g_error_free(e);
	} else {
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_FAILED, "VM \"%s\": %s", vm->name,
			    e->message);
		g_error_free(e);
	}
}

/* What a method returns; NULL: there is none of that name. Freed by the caller. What was built on
 * the answer's types would trust the VM. */
static GVariantType *reply_type(const char *iface, const char *method)
{
	static const GDBusInterfaceInfo *const all[] = {
		&org_lodge_vm1_interface,      &org_lodge_devices1_interface,
		&org_lodge_stats1_interface,   &org_lodge_input1_interface,
		&org_lodge_display1_interface, &org_lodge_serial1_interface,
		&org_lodge_media1_interface,   &org_lodge_snapshots1_interface,
	};
	const GDBusMethodInfo *m = NULL;
	g_autoptr(GString) type = g_string_new("(");

	if (strcmp(method, "GetAll") == 0)
		return g_variant_type_new("(a{sv})");
	for (guint i = 0; i < G_N_ELEMENTS(all) && !m; i++)
		if (strcmp(all[i]->name, iface) == 0)
			m = g_dbus_interface_info_lookup_method(
				(GDBusInterfaceInfo *)(uintptr_t)all[i], method);
	for (guint i = 0; m && m->out_args && m->out_args[i]; i++)
		g_string_append(type, m->out_args[i]->signature);
	return m ? g_variant_type_new(g_string_append_c(type, ')')->str) : NULL;
}

GVariant *ui_vm_call_fds(struct ui_vm *vm, const char *iface, const char *method, GVariant *args,
			 GUnixFDList *fds, GUnixFDList **ret_fds, int timeout_ms, GError **error)
{
	GVariantType *type = reply_type(iface, method);
	GError *e = NULL;
	GVariant *r;

	lodge_error_quark(); /* registered, so that lodge-vm's errors arrive as themselves */
	r = g_dbus_connection_call_with_unix_fd_list_sync(
		vm->conn, NULL, LODGE_OBJECT, iface, method, args, type, G_DBUS_CALL_FLAGS_NONE,
		timeout_ms < 0 ? G_MAXINT : timeout_ms, fds, ret_fds, NULL, &e);

	g_variant_type_free(type);
	if (!r)
		convert_error(vm, e, error);
	return r;
}

GVariant *ui_vm_call(struct ui_vm *vm, const char *iface, const char *method, GVariant *args,
		     int timeout_ms, GError **error)
{
	return ui_vm_call_fds(vm, iface, method, args, NULL, NULL, timeout_ms, error);
}

/* Those of the protocol that are of its types. */
static GVariant *known_properties(GVariant *all)
{
	GDBusInterfaceInfo *info = (GDBusInterfaceInfo *)(uintptr_t)&org_lodge_vm1_interface;
	GVariantBuilder b;
	GVariantIter it;
	const char *name;
	GVariant *v;

	g_variant_builder_init(&b, G_VARIANT_TYPE_VARDICT);
	g_variant_iter_init(&it, all);
	while (g_variant_iter_next(&it, "{&sv}", &name, &v)) {
		const GDBusPropertyInfo *p = g_dbus_interface_info_lookup_property(info, name);
		if (p && strcmp(p->signature, g_variant_get_type_string(v)) == 0)
			g_variant_builder_add(&b, "{sv}", name, v);
		g_variant_unref(v);
	}
	return g_variant_ref_sink(g_variant_builder_end(&b));
}

GVariant *ui_vm_properties(struct ui_vm *vm, GError **error)
{
	g_autoptr(GVariant)
		r = ui_vm_call(vm, "org.freedesktop.DBus.Properties", "GetAll",
			       g_variant_new("(s)", LODGE_IFACE_VM), CONNECT_TIMEOUT_MS, error);

	g_autoptr(GVariant) all = r ? g_variant_get_child_value(r, 0) : NULL;

	return all ? known_properties(all) : NULL;
}

char *ui_vm_state(struct ui_vm *vm, GError **error)
{
	g_autoptr(GVariant) props = ui_vm_properties(vm, error);
	char *state = NULL;

	if (props && !g_variant_lookup(props, "State", "s", &state))
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_FAILED, "VM \"%s\" tells no state",
			    vm->name);
	return state;
}

int ui_vm_serial(struct ui_vm *vm, unsigned port, bool history, GError **error)
{
	g_autoptr(GUnixFDList) fds = NULL;
	g_autoptr(GVariant) r = ui_vm_call_fds(vm, LODGE_IFACE_SERIAL, "Open",
					       g_variant_new("(ub)", port, history), NULL, &fds,
					       CONNECT_TIMEOUT_MS, error);
	int fd = -1;

	if (r && fds)
		fd = g_unix_fd_list_get(fds, 0, NULL);
	if (r && fd < 0)
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_FAILED,
			    "VM \"%s\" sent no stream for port %u", vm->name, port);
	return fd;
}

/* ---- waiting ---- */

struct wait {
	const char *want;
	char *state; /* as last heard; "" once the VM has hung up */
	bool late;
};

static bool timed_out(struct ui_vm *vm, const char *what, GError **error)
{
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_TIMEOUT, "VM \"%s\" was not %s within the time",
		    vm->name, what);
	return false;
}

static void on_state(GDBusConnection *conn, const char *sender, const char *path, const char *iface,
		     const char *signal, GVariant *args, gpointer data)
{
	struct wait *w = data;

	(void)conn;
	(void)sender;
	(void)path;
	(void)iface;
	(void)signal;
	if (!g_variant_is_of_type(args, G_VARIANT_TYPE("(ss)")))
		return;
	g_free(w->state);
	g_variant_get(args, "(ss)", &w->state, NULL);
}

static void on_closed(GDBusConnection *conn, gboolean remote, GError *error, gpointer data)
{
	struct wait *w = data;

	(void)conn;
	(void)remote;
	(void)error;
	g_free(w->state);
	w->state = g_strdup("");
}

static gboolean on_late(gpointer data)
{
	struct wait *w = data;

	w->late = true;
	return G_SOURCE_CONTINUE;
}

static bool ended(const struct wait *w)
{
	return w->state[0] == '\0';
}

static bool reached(const struct wait *w)
{
	return strcmp(w->want, "stopped") == 0 ? ended(w) : strcmp(w->state, w->want) == 0;
}

/* A process that ends removes its lock first, then the folder; one that is killed leaves both. */
static bool is_leaving(const char *dir)
{
	g_autofree char *lock = g_build_filename(dir, LODGE_RUN_LOCK, NULL);

	return is_live(dir) ||
	       (!g_file_test(lock, G_FILE_TEST_EXISTS) && g_file_test(dir, G_FILE_TEST_IS_DIR));
}

/* Its process writes the last of its files, and takes its folder away. */
static void wait_process(const struct ui_vm *vm)
{
	g_autofree char *root = vm->run ? lodge_run_root(false, NULL) : NULL;
	g_autofree char *dir = root ? g_build_filename(root, vm->run, NULL) : NULL;

	for (unsigned ms = 0; dir && is_leaving(dir) && ms < END_TIMEOUT_MS; ms += END_PAUSE_MS)
		g_usleep(END_PAUSE_MS * 1000);
}

bool ui_vm_wait_state(struct ui_vm *vm, const char *state, uint64_t timeout_ms, GError **error)
{
	struct wait w = { .want = state };
	const guint sub = g_dbus_connection_signal_subscribe(vm->conn, NULL, LODGE_IFACE_VM,
							     "StateChanged", LODGE_OBJECT, NULL,
							     G_DBUS_SIGNAL_FLAGS_NONE, on_state, &w,
							     NULL);
	const gulong closed = g_signal_connect(vm->conn, "closed", G_CALLBACK(on_closed), &w);
	const guint timer = timeout_ms > 0 ? g_timeout_add((guint)timeout_ms, on_late, &w) : 0;

	w.state = ui_vm_state(vm, NULL);
	if (!w.state)
		w.state = g_strdup("");
	while (!reached(&w) && !ended(&w) && !w.late)
		g_main_context_iteration(NULL, TRUE);
	g_dbus_connection_signal_unsubscribe(vm->conn, sub);
	g_signal_handler_disconnect(vm->conn, closed);
	if (timer)
		g_source_remove(timer);
	/* A signal that was under way is delivered while w still exists. */
	while (g_main_context_iteration(NULL, FALSE))
		;
	if (w.late && !reached(&w))
		timed_out(vm, state, error);
	else if (!reached(&w))
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_WRONG_STATE,
			    "VM \"%s\" ended before it was %s", vm->name, state);
	const bool good = reached(&w);
	if (good && ended(&w))
		wait_process(vm);
	g_free(w.state);
	return good;
}

bool ui_vm_wait_serial(struct ui_vm *vm, unsigned port, const char *text, uint64_t timeout_ms,
		       GError **error)
{
	const gint64 end = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
	const size_t want = strlen(text);
	g_autoptr(GString) seen = g_string_new(NULL);
	g_autofree char *what = g_strdup_printf("heard to say '%s'", text);
	const int fd = ui_vm_serial(vm, port, true, error);
	bool found = want == 0;
	char buf[4096];

	if (fd < 0)
		return false;
	while (!found) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		const gint64 left = (end - g_get_monotonic_time() + 999) / 1000;
		ssize_t n;
		if (timeout_ms > 0 && left <= 0) {
			timed_out(vm, what, error);
			break;
		}
		if (poll(&p, 1, timeout_ms > 0 ? (int)MIN(left, 60000) : -1) <= 0)
			continue;
		n = read(fd, buf, sizeof(buf));
		if (n <= 0) {
			g_set_error(error, LODGE_ERROR, LODGE_ERROR_WRONG_STATE,
				    "VM \"%s\" ended before it was %s", vm->name, what);
			break;
		}
		g_string_append_len(seen, buf, n);
		found = memmem(seen->str, seen->len, text, want) != NULL;
		if (seen->len > want)
			g_string_erase(seen, 0, (gssize)(seen->len - want));
	}
	close(fd);
	return found;
}

/* ---- programs ---- */

char *ui_find_program(const char *name, GError **error)
{
	static const char *const places[] = { ".", "../../devmodel/vm", "../sdl",
					      "../../devmodel/storage/tool", NULL };
	g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
	g_autofree char *dir = self ? g_path_get_dirname(self) : NULL;
	const char *env = g_getenv("LODGE_VM");
	g_autofree char *installed = g_build_filename(LODGE_LIBEXECDIR, name, NULL);

	if (env && strcmp(name, "lodge-vm") == 0)
		return g_strdup(env);
	for (guint i = 0; dir && places[i]; i++) {
		g_autofree char *path = g_build_filename(dir, places[i], name, NULL);
		if (g_file_test(path, G_FILE_TEST_IS_EXECUTABLE) &&
		    !g_file_test(path, G_FILE_TEST_IS_DIR))
			return g_steal_pointer(&path);
	}
	if (g_file_test(installed, G_FILE_TEST_IS_EXECUTABLE))
		return g_steal_pointer(&installed);
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_HOST_LIMIT,
		    "the program %s is neither beside lodge nor in %s: build or install it", name,
		    LODGE_LIBEXECDIR);
	return NULL;
}
