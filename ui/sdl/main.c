/* lodge-console: a window on a running VM; `lodge console` and `lodge run` start it. */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include "client/client.h"
#include "client/display.h"
#include "protocol/protocol.h"
#include "sdl/console.h"
#include "sdl/wait.h"

#define REPLACED_TIMEOUT_US (15 * G_USEC_PER_SEC)
#define REPLACED_PAUSE_US 10000

static gboolean fullscreen, keep_open, owned, if_any;
static char **names;

static const GOptionEntry entries[] = {
	{ "fullscreen", 0, 0, G_OPTION_ARG_NONE, &fullscreen, "begin in full screen", NULL },
	{ "keep-open", 0, 0, G_OPTION_ARG_NONE, &keep_open, "stay when the VM has ended", NULL },
	{ "owned", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &owned, NULL, NULL },
	{ "if-any", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &if_any, NULL, NULL },
	{ G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &names, NULL, "VM" },
	{ NULL, 0, 0, 0, NULL, NULL, NULL },
};

static bool parse(int argc, char **argv, GError **error)
{
	g_autoptr(GOptionContext) context = g_option_context_new(NULL);
	g_autoptr(GError) why = NULL;

	g_option_context_set_summary(context, "A window on a running VM.");
	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse(context, &argc, &argv, &why))
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_BAD_ARGUMENT, "%s", why->message);
	else if (!names || names[1])
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_BAD_ARGUMENT,
			    "one VM is wanted (lodge-console --help)");
	else
		return true;
	return false;
}

static int run(GError **error)
{
	const struct console_options o = { .fullscreen = fullscreen,
					   .keep_open = keep_open,
					   .owned = owned };
	auto_vm struct ui_vm *vm = ui_vm_connect(names[0], error);
	struct ui_display *display;
	int status;

	if (!vm)
		return (*error)->code;
	display = ui_display_open(vm, 0, error);
	if (!display && if_any && g_error_matches(*error, LODGE_ERROR, LODGE_ERROR_WRONG_STATE)) {
		g_clear_error(error); /* it has no screen, and nobody has asked for one */
		return LODGE_ERROR_WRONG_STATE;
	}
	if (!display)
		return (*error)->code;
	status = console_run(vm, display, &o, error);
	ui_display_close(display);
	return status;
}

/* Once the other process has the VM, this program begins anew, with a window at the same place. */
static int begin_anew(char **argv, GError **error)
{
	const gint64 end = g_get_monotonic_time() + REPLACED_TIMEOUT_US;
	struct ui_vm *vm = NULL;

	while (!vm && g_get_monotonic_time() < end) {
		g_clear_error(error);
		vm = ui_vm_connect(names[0], error);
		if (!vm)
			g_usleep(REPLACED_PAUSE_US);
	}
	if (!vm)
		return (*error)->code;
	ui_vm_close(vm);
	execv("/proc/self/exe", argv);
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_HOST_LIMIT, "cannot open the window again: %s",
		    g_strerror(errno));
	return LODGE_ERROR_HOST_LIMIT;
}

int main(int argc, char **argv)
{
	g_autoptr(GError) error = NULL;
	g_auto(GStrv) again = NULL;
	int status = LODGE_ERROR_BAD_ARGUMENT;

	setlocale(LC_ALL, "");
	signal(SIGPIPE, SIG_IGN);
	wait_block_signals();
	again = g_strdupv(argv);
	if (parse(argc, argv, &error))
		status = run(&error);
	if (status == CONSOLE_REPLACED)
		status = begin_anew(again, &error);
	if (error)
		fprintf(stderr, "lodge: %s\n", error->message);
	g_strfreev(names);
	return status;
}
