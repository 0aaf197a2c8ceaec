/*
 * A VM without a machine: fake_vm NAME serves a control socket where lodge's programs look for one,
 * with a screen that shows patterns, and says on standard output, a line each, what it is told.
 * What it does is typed on standard input:
 *
 *   mode W H ASPECT_X ASPECT_Y     another mode, showing the pattern
 *   pattern SEED                   the pattern, everywhere
 *   fill X Y W H COLOR             a rectangle; COLOR in hex
 *   state STATE REASON             StateChanged
 *   end STATE REASON STATUS TEXT   Ended, StateChanged, and then it hangs up
 *   leds BITS                      lights of the keyboard
 *   refuse TEXT                    calls of VM1 fail with that
 *   bad                            a frame that makes no sense
 *
 * The pattern's pixel at x, y is (x * 7 + SEED * 50) << 16 | (y * 5) << 8 | (x ^ y) * 3, each byte
 * by itself.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <gio/gio.h>
#include <gio/gunixfdlist.h>
#include <glib-unix.h>
#include "org-lodge-info.h"
#include "protocol/frame.h"
#include "protocol/protocol.h"

#define VIEWERS_MAX 8

static struct {
	const char *name;
	GMainLoop *loop;
	int frame_fd;
	struct frame_header *frame;
	unsigned seed;
	char state[32], reason[32];
	guint32 leds;
	char *refuse; /* why no call of VM1 is possible; NULL: they are */
	GPtrArray *connections;
	struct {
		GDBusConnection *conn;
		int wake;
	} viewer[VIEWERS_MAX];
	guint32 n_viewers;
} vm;

static void say(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
static void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

/* ---- the frame ---- */

static uint32_t *pixels(void)
{
	return (uint32_t *)(void *)((char *)vm.frame + FRAME_PIXELS_OFF);
}

static void make_frame(void)
{
	vm.frame_fd = memfd_create("frame", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (vm.frame_fd < 0 || ftruncate(vm.frame_fd, (off_t)FRAME_BYTES) < 0 ||
	    fcntl(vm.frame_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		g_error("no memory for the frame");
	vm.frame = mmap(NULL, FRAME_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, vm.frame_fd, 0);
	if (vm.frame == MAP_FAILED)
		g_error("cannot map the frame");
	vm.frame->magic = FRAME_MAGIC;
}

static void draw_begin(void)
{
	atomic_fetch_add(&vm.frame->sequence, 1);
}

static void draw_end(uint32_t x, uint32_t y, uint32_t w, uint32_t h)
{
	const uint64_t seq = atomic_load(&vm.frame->sequence) + 1;
	struct frame_draw *d = &vm.frame->draw[seq / 2 % FRAME_DRAWS];

	d->sequence = seq;
	d->n_rects = 1;
	d->rect[0] = (struct frame_rect){ x, y, w, h };
	atomic_store(&vm.frame->sequence, seq);
	for (guint32 i = 0; i < vm.n_viewers; i++)
		if (vm.viewer[i].wake >= 0 &&
		    send(vm.viewer[i].wake, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			continue;
}

static void paint(void)
{
	for (uint32_t y = 0; y < vm.frame->height; y++)
		for (uint32_t x = 0; x < vm.frame->width; x++)
			pixels()[y * vm.frame->width + x] = ((x * 7 + vm.seed * 50) & 255) << 16 |
							    (y * 5 & 255) << 8 |
							    ((x ^ y) * 3 & 255);
}

static void set_mode(uint32_t w, uint32_t h, uint32_t ax, uint32_t ay)
{
	draw_begin();
	vm.frame->width = w;
	vm.frame->height = h;
	vm.frame->stride = w * 4;
	vm.frame->aspect_x = ax;
	vm.frame->aspect_y = ay;
	vm.frame->mode_changes++;
	paint();
	draw_end(0, 0, w, h);
}

static void set_pattern(unsigned seed)
{
	vm.seed = seed;
	draw_begin();
	paint();
	draw_end(0, 0, vm.frame->width, vm.frame->height);
}

static void fill(uint32_t x, uint32_t y, uint32_t w, uint32_t h, uint32_t color)
{
	draw_begin();
	for (uint32_t i = y; i < y + h && i < vm.frame->height; i++)
		for (uint32_t j = x; j < x + w && j < vm.frame->width; j++)
			pixels()[i * vm.frame->width + j] = color;
	draw_end(x, y, w, h);
}

static void set_bad(void)
{
	draw_begin();
	vm.frame->width = FRAME_MAX_WIDTH + 1;
	draw_end(0, 0, 1, 1);
}

/* ---- signals ---- */

static void emit(const char *iface, const char *signal, GVariant *args)
{
	g_variant_ref_sink(args);
	for (guint i = 0; i < vm.connections->len; i++)
		g_dbus_connection_emit_signal(vm.connections->pdata[i], NULL, LODGE_OBJECT, iface,
					      signal, args, NULL);
	g_variant_unref(args);
}

static void set_state(const char *state, const char *reason)
{
	g_strlcpy(vm.state, state, sizeof(vm.state));
	g_strlcpy(vm.reason, reason, sizeof(vm.reason));
	emit(LODGE_IFACE_VM, "StateChanged", g_variant_new("(ss)", vm.state, vm.reason));
}

static void set_leds(guint32 leds)
{
	vm.leds = leds;
	emit(LODGE_IFACE_INPUT, "LedsChanged", g_variant_new("(u)", leds));
}

static void end(const char *state, const char *reason, int status, const char *text)
{
	emit(LODGE_IFACE_VM, "Ended", g_variant_new("(is)", status, text));
	set_state(state, reason);
	for (guint i = 0; i < vm.connections->len; i++)
		g_dbus_connection_flush_sync(vm.connections->pdata[i], NULL, NULL);
	g_main_loop_quit(vm.loop);
}

/* ---- calls ---- */

static bool open_display(GDBusConnection *conn, GDBusMethodInvocation *inv)
{
	g_autoptr(GUnixFDList) list = g_unix_fd_list_new();
	int wake[2];

	if (vm.n_viewers == VIEWERS_MAX || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wake))
		return false;
	const guint32 id = vm.n_viewers++;
	vm.viewer[id].conn = conn;
	vm.viewer[id].wake = wake[0];
	g_unix_fd_list_append(list, vm.frame_fd, NULL);
	g_unix_fd_list_append(list, wake[1], NULL);
	close(wake[1]);
	g_dbus_method_invocation_return_value_with_unix_fd_list(
		inv, g_variant_new("(hhu)", 0, 1, id), list);
	say("open %u", id);
	return true;
}

static void close_viewers(GDBusConnection *conn)
{
	for (guint32 i = 0; i < vm.n_viewers; i++)
		if (vm.viewer[i].conn == conn && vm.viewer[i].wake >= 0) {
			close(vm.viewer[i].wake);
			vm.viewer[i].wake = -1;
		}
}

static GVariant *input(const char *method, GVariant *args)
{
	gint32 dx, dy, wheel;
	gboolean down;
	guint32 code;

	if (strcmp(method, "PointerMove") == 0) {
		g_variant_get(args, "(iii)", &dx, &dy, &wheel);
		say("move %d %d %d", dx, dy, wheel);
	} else if (strcmp(method, "ReleaseAll") == 0) {
		say("release-all");
	} else {
		g_variant_get(args, "(ub)", &code, &down);
		say("%s %u %d", strcmp(method, "Key") == 0 ? "key" : "button", code, down);
	}
	return strcmp(method, "Key") == 0 ? g_variant_new("(b)", TRUE) : NULL;
}

static void vm_call(const char *method)
{
	say("call %s", method);
	if (strcmp(method, "Pause") == 0)
		set_state("paused", "user");
	else if (strcmp(method, "Resume") == 0)
		set_state("running", "user");
	else if (strcmp(method, "Stop") == 0)
		set_state("stopping", "user");
	else if (strcmp(method, "Kill") == 0)
		end("stopped", "user", LODGE_EXIT_FAILED, "it was killed (lodge kill)");
}

static void on_call(GDBusConnection *conn, const char *sender, const char *path, const char *iface,
		    const char *method, GVariant *args, GDBusMethodInvocation *inv, gpointer data)
{
	GVariant *answer = NULL;
	guint32 id, rate;

	(void)sender;
	(void)path;
	(void)data;
	if (vm.refuse && strcmp(iface, LODGE_IFACE_VM) == 0) {
		g_dbus_method_invocation_return_error(inv, LODGE_ERROR, LODGE_ERROR_WRONG_STATE,
						      "%s", vm.refuse);
		return;
	}
	if (strcmp(iface, LODGE_IFACE_INPUT) == 0) {
		answer = input(method, args);
	} else if (strcmp(method, "Open") == 0) {
		if (open_display(conn, inv))
			return;
	} else if (strcmp(method, "SetRate") == 0) {
		g_variant_get(args, "(uu)", &id, &rate);
		say("rate %u", rate);
	} else if (strcmp(iface, LODGE_IFACE_VM) == 0) {
		vm_call(method);
	}
	g_dbus_method_invocation_return_value(inv, answer);
}

static GVariant *on_get(GDBusConnection *conn, const char *sender, const char *path,
			const char *iface, const char *name, GError **error, gpointer data)
{
	(void)conn;
	(void)sender;
	(void)path;
	(void)iface;
	(void)data;
	if (strcmp(name, "Name") == 0)
		return g_variant_new_string(vm.name);
	if (strcmp(name, "State") == 0)
		return g_variant_new_string(vm.state);
	if (strcmp(name, "Reason") == 0)
		return g_variant_new_string(vm.reason);
	if (strcmp(name, "Leds") == 0)
		return g_variant_new_uint32(vm.leds);
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND, "a fake VM has no %s", name);
	return NULL;
}

static void on_closed(GDBusConnection *conn, gboolean remote, GError *error, gpointer data)
{
	(void)remote;
	(void)error;
	(void)data;
	close_viewers(conn);
	g_ptr_array_remove_fast(vm.connections, conn);
	say("closed");
}

static gboolean on_connection(GDBusServer *server, GDBusConnection *conn, gpointer data)
{
	static const GDBusInterfaceVTable vtable = { .method_call = on_call,
						     .get_property = on_get };
	const GDBusInterfaceInfo *const infos[] = { &org_lodge_vm1_interface,
						    &org_lodge_input1_interface,
						    &org_lodge_display1_interface };

	(void)server;
	(void)data;
	for (size_t i = 0; i < G_N_ELEMENTS(infos); i++)
		g_dbus_connection_register_object(conn, LODGE_OBJECT,
						  (GDBusInterfaceInfo *)(uintptr_t)infos[i],
						  &vtable, NULL, NULL, NULL);
	g_ptr_array_add(vm.connections, g_object_ref(conn));
	g_signal_connect(conn, "closed", G_CALLBACK(on_closed), NULL);
	return TRUE;
}

/* ---- commands ---- */

static void command(const char *line)
{
	unsigned a, b, c, d, e;
	char w1[32], w2[32], text[256] = "";

	if (sscanf(line, "mode %u %u %u %u", &a, &b, &c, &d) == 4 && a > 0 && a <= 4096 && b > 0 &&
	    b <= 2160)
		set_mode(a, b, c, d);
	else if (sscanf(line, "pattern %u", &a) == 1)
		set_pattern(a);
	else if (sscanf(line, "fill %u %u %u %u %x", &a, &b, &c, &d, &e) == 5)
		fill(a, b, c, d, e);
	else if (sscanf(line, "state %31s %31s", w1, w2) == 2)
		set_state(w1, w2);
	else if (sscanf(line, "end %31s %31s %u %255[^\n]", w1, w2, &a, text) >= 3)
		end(w1, w2, (int)a, text);
	else if (sscanf(line, "refuse %255[^\n]", text) == 1)
		vm.refuse = g_strdup(text);
	else if (g_str_has_prefix(line, "bad"))
		set_bad();
	else if (sscanf(line, "leds %u", &a) == 1)
		set_leds(a);
	else
		g_error("no such command: %s", line);
}

static gboolean on_input(GIOChannel *ch, GIOCondition cond, gpointer data)
{
	g_autofree char *line = NULL;

	(void)cond;
	(void)data;
	if (g_io_channel_read_line(ch, &line, NULL, NULL, NULL) != G_IO_STATUS_NORMAL) {
		g_main_loop_quit(vm.loop);
		return G_SOURCE_REMOVE;
	}
	command(line);
	say("ok");
	return G_SOURCE_CONTINUE;
}

/* ---- main ---- */

static GDBusServer *serve(const char *dir)
{
	g_autofree char *path = g_build_filename(dir, LODGE_RUN_CONTROL, NULL);
	g_autofree char *escaped = g_dbus_address_escape_value(path);
	g_autofree char *address = g_strdup_printf("unix:path=%s", escaped);
	g_autofree char *guid = g_dbus_generate_guid();
	g_autoptr(GError) error = NULL;
	GDBusServer *server;

	unlink(path);
	server = g_dbus_server_new_sync(address, G_DBUS_SERVER_FLAGS_NONE, guid, NULL, NULL,
					&error);
	if (!server)
		g_error("%s", error->message);
	g_signal_connect(server, "new-connection", G_CALLBACK(on_connection), NULL);
	g_dbus_server_start(server);
	return server;
}

int main(int argc, char **argv)
{
	g_autofree char *root = lodge_run_root(true, NULL);
	g_autofree char *dir = g_build_filename(root, argc == 2 ? argv[1] : "fake", NULL);
	g_autofree char *lock = g_build_filename(dir, LODGE_RUN_LOCK, NULL);
	GIOChannel *in = g_io_channel_unix_new(STDIN_FILENO);

	vm.name = argc == 2 ? argv[1] : "fake";
	g_strlcpy(vm.state, "running", sizeof(vm.state));
	vm.connections = g_ptr_array_new_with_free_func(g_object_unref);
	make_frame();
	set_mode(640, 480, 1, 1);
	g_mkdir_with_parents(dir, 0700);
	const int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		g_error("cannot lock '%s'", lock);
	GDBusServer *server = serve(dir);
	vm.loop = g_main_loop_new(NULL, FALSE);
	g_io_add_watch(in, G_IO_IN | G_IO_HUP, on_input, NULL);
	say("ready");
	g_main_loop_run(vm.loop);
	g_dbus_server_stop(server);
	return 0;
}
