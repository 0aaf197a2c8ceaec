/*
 * bus_storm VM ROUNDS SEED [nmi]: calls everything on a VM's control socket with wrong types,
 * absurd values, wrong or missing descriptors, floods, and hangs up in the middle. Never Kill or
 * Stop, and NMIs only on demand, as a simple guest crashes by them: the VM must be alive and answer
 * at the end. Prints the number of calls.
 */
#include <fcntl.h>
#include <gio/gio.h>
#include <gio/gunixfdlist.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include "client/client.h"
#include "protocol/protocol.h"

static uint64_t seed;
static bool nmi;

static unsigned rnd(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 16) % n;
}

static const char *const ifaces[] = {
	LODGE_IFACE_VM,
	LODGE_IFACE_DEVICES,
	LODGE_IFACE_STATS,
	LODGE_IFACE_SERIAL,
	LODGE_IFACE_DISPLAY,
	LODGE_IFACE_INPUT,
	LODGE_IFACE_MEDIA,
	"org.freedesktop.DBus.Properties",
	"org.freedesktop.DBus.Introspectable",
	"org.freedesktop.DBus.Peer",
	"org.lodge.None1",
};
static const char *const methods[] = {
	"Pause",	 "Resume",     "Reset",	 "Save",  "List",	"State",
	"Get",		 "GetAll",     "Set",	 "Open",  "Introspect", "Ping",
	"None",		 "SetRate",    "Close",	 "Text",  "Key",	"PointerMove",
	"PointerButton", "ReleaseAll", "Insert", "Eject", "Nmi", /* the last */
};
static const char *const args[] = {
	"()",
	"(true,)",
	"('x',)",
	"('',)",
	"(uint32 0, true)",
	"(uint32 4294967295, false)",
	"(uint32 3, 'x')",
	"(uint32 0,)",
	"(uint32 1, uint32 240)",
	"(uint32 30, true)",
	"(2147483647, -2147483648, 1)",
	"(handle 0, @a{sv} {})",
	"(handle 1, @a{sv} {})",
	"(handle 2147483647, @a{sv} {})",
	"(handle 0, {'pause': <true>})",
	"('floppy.0', @a{sv} {})",
	"('', handle 0, 'x', {'force': <true>, 'keep': <'x'>})",
	"(handle 0, {'pause': <'yes'>, 'x': <[1,2,3]>})",
	"('org.lodge.VM1',)",
	"('org.lodge.VM1', 'State')",
	"('org.lodge.VM1', 'None')",
	"('org.lodge.VM1', 'State', <'x'>)",
	"('', '')",
	"(<<<<<<1>>>>>>,)",
	"([['a'], ['b']],)",
	"('rtc',)",
	"('cpu0/lapic',)",
	"(1.5, byte 255, int64 -1)",
	"(@aaaas [],)",
	"(objectpath '/', signature 'a{sv}')",
};

static GVariant *random_args(void)
{
	g_autofree char *text = NULL;

	if (rnd(50) == 0) {
		text = g_strnfill(1 + rnd(1 << 20), 'x');
		return g_variant_new("(s)", text);
	}
	return g_variant_new_parsed(args[rnd(G_N_ELEMENTS(args))]);
}

/* None, a file that is read-only, a pipe, or /dev/null. */
static GUnixFDList *random_fds(void)
{
	GUnixFDList *list;
	int fd[2] = { -1, -1 };

	switch (rnd(4)) {
	case 0:
		return NULL;
	case 1:
		fd[0] = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		break;
	case 2:
		fd[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
		break;
	default:
		if (pipe2(fd, O_CLOEXEC) < 0)
			return NULL;
		close(fd[1]);
	}
	list = g_unix_fd_list_new_from_array(fd, 1);
	return list;
}

static unsigned round_of_calls(GDBusConnection *conn)
{
	const unsigned n = 1 + rnd(rnd(10) == 0 ? 1000 : 50);
	const char *const path = rnd(20) == 0 ? "/org/lodge/None" : LODGE_OBJECT;

	for (unsigned i = 0; i < n; i++) {
		g_autoptr(GUnixFDList) fds = random_fds();
		g_autoptr(GDBusMessage) m = g_dbus_message_new_method_call(
			NULL, path, ifaces[rnd(G_N_ELEMENTS(ifaces))],
			methods[rnd(G_N_ELEMENTS(methods) - !nmi)]);
		g_dbus_message_set_body(m, random_args());
		g_dbus_message_set_unix_fd_list(m, fds);
		if (rnd(2) == 0)
			g_dbus_message_set_flags(m, G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED);
		g_dbus_connection_send_message(conn, m, G_DBUS_SEND_MESSAGE_FLAGS_NONE, NULL, NULL);
	}
	/* Half of the time leaves with everything under way. */
	if (rnd(2) == 0)
		g_dbus_connection_flush_sync(conn, NULL, NULL);
	return n;
}

int main(int argc, char **argv)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *state = NULL;
	struct ui_vm *vm;
	unsigned calls = 0;

	if (argc < 4)
		return 2;
	nmi = argc > 4;
	seed = g_ascii_strtoull(argv[3], NULL, 10) | 1;
	for (unsigned i = 0; i < (unsigned)g_ascii_strtoull(argv[2], NULL, 10); i++) {
		vm = ui_vm_connect(argv[1], &error);
		if (!vm)
			break;
		calls += round_of_calls(ui_vm_connection(vm));
		if (rnd(2) == 0)
			g_dbus_connection_close_sync(ui_vm_connection(vm), NULL, NULL);
		ui_vm_close(vm);
	}
	vm = error ? NULL : ui_vm_connect(argv[1], &error);
	if (vm)
		state = ui_vm_state(vm, &error);
	ui_vm_close(vm);
	if (error)
		g_printerr("%s\n", error->message);
	else
		g_print("%u calls, then %s\n", calls, state);
	return error ? 1 : 0;
}
