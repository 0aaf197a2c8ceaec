/* lodge serial: a serial port of a running VM on this terminal, or on whatever stands in for it. */
#include <string.h>
#include "cli/cli.h"
#include "cli/term.h"
#include "client/client.h"
#include "protocol/protocol.h"

struct session {
	struct ui_vm *vm;
	struct term *term;
	GMainLoop *loop;
	bool late;
};

static const char keys_help[] = "Ctrl-] q  leave; the VM runs on\n"
				"Ctrl-] p  press its power button\n"
				"Ctrl-] r  reset it\n"
				"Ctrl-] ]  send Ctrl-] to the guest";

static bool on_key(void *ctx, char key)
{
	struct session *s = ctx;
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) r = NULL;

	if (key == 'q') {
		g_main_loop_quit(s->loop);
		return true;
	}
	if (key != 'p' && key != 'r')
		return false;
	r = ui_vm_call(s->vm, LODGE_IFACE_VM, key == 'p' ? "Stop" : "Reset", NULL, 10000, &error);
	if (!r)
		term_say(s->term, error->message);
	return true;
}

static void on_ended(void *ctx)
{
	struct session *s = ctx;

	g_main_loop_quit(s->loop);
}

static gboolean on_timeout(gpointer data)
{
	struct session *s = data;

	s->late = true;
	g_main_loop_quit(s->loop);
	return G_SOURCE_REMOVE;
}

static bool parse_port(const char *s, unsigned *ret_port, GError **error)
{
	guint64 v;

	if (!g_ascii_string_to_unsigned(s, 10, 0, 3, &v, NULL)) {
		cli_bad(error, "a serial port is 0 to 3, not '%s'", s);
		return false;
	}
	*ret_port = (unsigned)v;
	return true;
}

int cmd_serial(struct cli *c, GError **error)
{
	auto_vm struct ui_vm *vm = NULL;
	struct session s = { 0 };
	const struct term_ops ops = {
		.key = on_key, .help = keys_help, .ended = on_ended, .ctx = &s
	};
	unsigned port = 0;
	int fd;

	if (cli_arg(c, 1) && !parse_port(cli_arg(c, 1), &port, error))
		return cli_code(error);
	vm = ui_vm_connect(cli_arg(c, 0), error);
	if (!vm)
		return cli_code(error);
	fd = ui_vm_serial(vm, port, !cli_has(c, "--no-history"), error);
	if (fd < 0)
		return cli_code(error);
	s.vm = vm;
	s.loop = g_main_loop_new(NULL, FALSE);
	s.term = term_start(fd, true, &ops);
	if (term_is_raw(s.term) && !c->quiet)
		term_say(s.term, "Ctrl-] q leaves, Ctrl-] ? shows more keys");
	if (c->timeout_ms > 0)
		g_timeout_add((guint)c->timeout_ms, on_timeout, &s);
	g_main_loop_run(s.loop);
	term_finish(s.term, false);
	g_main_loop_unref(s.loop);
	if (!s.late)
		return 0;
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_TIMEOUT, "the time is up");
	return LODGE_ERROR_TIMEOUT;
}
