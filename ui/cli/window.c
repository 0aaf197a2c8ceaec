/* lodge console, and the window of lodge run, see window.h. */
#include "cli/window.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "client/client.h"
#include "protocol/protocol.h"

#define PROGRAM "lodge-console"

struct window {
	const struct cli *cli;
	char *program; /* NULL: no window */
	bool asked;    /* for it, by the user: what goes wrong is worth a word */
	void (*plug)(void *ctx);
	void *ctx;
	GPid pid; /* 0: not running */
	guint child_watch;
};

static bool is_set(const char *name)
{
	const char *value = g_getenv(name);

	return value && value[0] != '\0';
}

static bool has_display(void)
{
	return is_set("DISPLAY") || is_set("WAYLAND_DISPLAY");
}

static bool parse_display(const struct cli *c, bool *ret_want, bool *ret_asked, GError **error)
{
	const char *value = cli_value(c, "--display");

	*ret_asked = value && strcmp(value, "window") == 0;
	*ret_want = !cli_has(c, "--headless") && (*ret_asked || (!value && has_display()));
	if (value && !*ret_asked && strcmp(value, "none") != 0)
		cli_bad(error, "--display is window or none, not '%s'", value);
	else if (*ret_asked && cli_has(c, "--headless"))
		cli_bad(error, "--headless and --display window exclude each other");
	else if (!*ret_asked || has_display())
		return true;
	else
		g_set_error(
			error, LODGE_ERROR, LODGE_ERROR_HOST_LIMIT,
			"there is no display to open a window on: neither DISPLAY nor WAYLAND_DISPLAY "
			"is set (--headless runs without one)");
	return false;
}

struct window *window_parse(const struct cli *c, void (*plug)(void *ctx), void *ctx, GError **error)
{
	struct window *w = g_new0(struct window, 1);
	g_autoptr(GError) why = NULL;
	bool want;

	w->cli = c;
	w->plug = plug;
	w->ctx = ctx;
	if (!parse_display(c, &want, &w->asked, error)) {
		g_free(w);
		return NULL;
	}
	if (want)
		w->program = ui_find_program(PROGRAM, &why);
	if (!why)
		return w;
	if (!w->asked) {
		cli_say(c, "no window: %s", why->message);
		return w;
	}
	g_propagate_error(error, g_steal_pointer(&why));
	g_free(w);
	return NULL;
}

static void on_exit_status(GPid pid, gint status, gpointer data)
{
	struct window *w = data;

	(void)pid;
	w->pid = 0;
	w->child_watch = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == LODGE_CONSOLE_PLUG)
		w->plug(w->ctx);
}

void window_open(struct window *w, const char *name)
{
	const char *argv[] = { w->program,
			       "--owned",
			       w->asked ? "--" : "--if-any",
			       w->asked ? name : "--",
			       w->asked ? NULL : name,
			       NULL };
	g_autoptr(GError) error = NULL;

	if (!w->program)
		return;
	if (g_spawn_async(NULL, (char **)(void *)argv, NULL,
			  G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL,
			  &w->pid, &error))
		w->child_watch = g_child_watch_add(w->pid, on_exit_status, w);
	else
		cli_say(w->cli, "no window: %s", error->message);
}

void window_leave(struct window *w, const char *dir)
{
	const char *argv[] = { w->program, "--", dir, NULL };
	g_autoptr(GError) error = NULL;

	if (w->program &&
	    !g_spawn_async(NULL, (char **)(void *)argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL,
			   cli_own_session, NULL, NULL, &error))
		cli_say(w->cli, "no window: %s", error->message);
	w->pid = 0;
	window_finish(w, false);
}

void window_finish(struct window *w, bool at_once)
{
	if (!w)
		return;
	if (w->child_watch)
		g_source_remove(w->child_watch);
	if (w->pid > 0 && at_once)
		kill(w->pid, SIGTERM);
	g_free(w->program);
	g_free(w);
}

int cmd_console(struct cli *c, GError **error)
{
	g_autofree char *program = ui_find_program(PROGRAM, error);
	const char *argv[6] = { program };
	unsigned n = 1;

	if (!program)
		return cli_code(error);
	if (cli_has(c, "--fullscreen"))
		argv[n++] = "--fullscreen";
	if (cli_has(c, "--keep-open"))
		argv[n++] = "--keep-open";
	argv[n++] = "--";
	argv[n++] = cli_arg(c, 0);
	execv(program, (char **)(void *)argv);
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_HOST_LIMIT, "cannot start '%s': %s", program,
		    g_strerror(errno));
	return cli_code(error);
}
