/*
 * lodge run: starts lodge-vm, stands between its serial port and the terminal, and ends with the
 * guest's status. lodge-vm's standard input and output are the serial stream; on a third descriptor
 * it says what it made and when it runs, and by that descriptor's end it knows that we are gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cli/kept.h"
#include "cli/screen.h"
#include "cli/term.h"
#include "cli/window.h"
#include "client/client.h"
#include "protocol/protocol.h"

#define KILL_AFTER_S 10

struct run {
	struct cli *cli;
	GMainLoop *loop;
	GPid pid;
	int ready_fd;
	GString *ready; /* what lodge-vm has said so far */
	char *name;	/* of the VM; NULL until it runs */
	char *folder;	/* of a fork that is tried; NULL: none */
	struct term *term;
	struct shots *shots;
	struct window *window;
	GPtrArray *made, *temp; /* files to remove if the start fails, and at the end */
	bool exited, timed_out, quit;
	int status; /* as of waitpid */
};

static const char keys_help[] = "Ctrl-] q  end the VM at once\n"
				"Ctrl-] p  press its power button\n"
				"Ctrl-] r  reset it\n"
				"Ctrl-] z  pause or resume it\n"
				"Ctrl-] ]  send Ctrl-] to the guest";

static gboolean kill_hard(gpointer data)
{
	struct run *r = data;

	if (!r->exited)
		kill(r->pid, SIGKILL);
	return G_SOURCE_REMOVE;
}

static void end_vm(struct run *r)
{
	kill(r->pid, SIGTERM);
	g_timeout_add_seconds(KILL_AFTER_S, kill_hard, r);
}

/* ---- the escape keys ---- */

static const char *method_of(char key, const char *state)
{
	switch (key) {
	case 'p':
		return "Stop";
	case 'r':
		return "Reset";
	default:
		return strcmp(state, "paused") == 0 ? "Resume" : "Pause";
	}
}

static bool on_key(void *ctx, char key)
{
	struct run *r = ctx;
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) answer = NULL;
	g_autofree char *state = NULL;
	auto_vm struct ui_vm *vm = NULL;

	if (key == 'q') {
		r->quit = true;
		end_vm(r);
		return true;
	}
	if (key == '\0' || !strchr("prz", key))
		return false;
	if (r->name)
		vm = ui_vm_connect(r->name, &error);
	if (vm)
		state = ui_vm_state(vm, &error);
	if (state)
		answer = ui_vm_call(vm, LODGE_IFACE_VM, method_of(key, state), NULL, 10000, &error);
	if (error)
		term_say(r->term, error->message);
	return true;
}

static void on_ended(void *ctx)
{
	struct run *r = ctx;

	/* Also when nobody reads our output any more: then nothing is worth going on for. */
	end_vm(r);
}

/* ---- lodge-vm ---- */

static void on_exit_status(GPid pid, gint status, gpointer data)
{
	struct run *r = data;

	(void)pid;
	r->exited = true;
	r->status = status;
	g_main_loop_quit(r->loop);
}

/* The last value given to a setting, NULL if none was. */
static const char *setting(const struct cli *c, const char *key)
{
	const size_t n = strlen(key);
	const char *value = NULL;

	for (guint i = 0; i < c->settings->len; i++) {
		const char *s = c->settings->pdata[i];
		if (strncmp(s, key, n) == 0 && s[n] == '=')
			value = s + n + 1;
	}
	return value;
}

/* With --gdb the VM waits: say for what. */
static void tell_gdb(struct run *r)
{
	const char *where = setting(r->cli, "debug.gdb");

	if (where)
		cli_say(r->cli, "gdb connects by: target remote %s%s",
			where[strspn(where, "0123456789")] == '\0' ? "localhost:" : "", where);
}

/* Does the first serial port go to this program's standard input and output? Without it the
 * terminal stays as it is, and Ctrl-C ends the VM. */
static bool wants_terminal(const struct cli *c)
{
	const char *output = setting(c, "serial.0.output");

	return !output || strcmp(output, "-") == 0;
}

static void started(struct run *r, const char *name)
{
	r->name = g_strdup(name);
	tell_gdb(r);
	shots_start(r->shots, name);
	window_open(r->window, name);
	if (term_is_raw(r->term) && !r->cli->quiet) {
		g_autofree char *line = g_strdup_printf(
			"VM \"%s\" runs; Ctrl-] q ends it, Ctrl-] ? shows more keys", name);
		term_say(r->term, line);
	} else if (r->cli->verbose) {
		cli_say(r->cli, "VM \"%s\" runs, process %d", name, (int)r->pid);
	}
}

static void take_line(struct run *r, char *line)
{
	char *rest = strchr(line, ' ');

	if (!rest || r->name)
		return; /* once the guest runs, lodge-vm is not trusted with our files */
	*rest++ = '\0';
	if (strcmp(line, "ready") == 0)
		started(r, rest);
	else if (strcmp(line, "made") == 0)
		g_ptr_array_add(r->made, g_strcompress(rest));
	else if (strcmp(line, "temp") == 0)
		g_ptr_array_add(r->temp, g_strcompress(rest));
}

static bool read_ready(struct run *r)
{
	char buf[4096];
	const ssize_t n = read(r->ready_fd, buf, sizeof(buf));
	char *end;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n <= 0 || r->ready->len > 65536)
		return false;
	g_string_append_len(r->ready, buf, n);
	while ((end = strchr(r->ready->str, '\n')) != NULL) {
		*end = '\0';
		take_line(r, r->ready->str);
		g_string_erase(r->ready, 0, end - r->ready->str + 1);
	}
	return true;
}

static gboolean on_ready(gint fd, GIOCondition cond, gpointer data)
{
	(void)fd;
	(void)cond;
	return read_ready(data) ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static void on_plug(void *ctx)
{
	struct run *r = ctx;

	r->quit = true;
	end_vm(r);
}

static gboolean on_timeout(gpointer data)
{
	struct run *r = data;

	r->timed_out = true;
	end_vm(r);
	return G_SOURCE_REMOVE;
}

static gboolean on_signal(gpointer data)
{
	end_vm(data);
	return G_SOURCE_CONTINUE;
}

/* ---- the command ---- */

/* A VM is no file, though its folder is one. */
static bool is_vm(const char *word, GError **error)
{
	g_autofree char *dir = lodge_folder_find(word, NULL), *vm = lodge_shell_word(word);

	if (dir && !g_file_test(word, G_FILE_TEST_IS_REGULAR))
		return cli_bad(error,
			       "'%s' is a VM that is kept: start it, or run a snapshot of it "
			       "(lodge start %s, lodge run %s@SNAPSHOT)",
			       word, vm, vm) != 0;
	return false;
}

/* A snapshot to be tried: a fork that goes when it ends. NULL without error: it is a file. */
static char *fork_to_try(struct cli *c, GError **error)
{
	const char *word = cli_arg(c, 0);
	g_autofree char *library = lodge_library(), *id = NULL, *dir = NULL, *to = NULL;

	if (!word || is_vm(word, error) || !strchr(word, '@') ||
	    g_file_test(word, G_FILE_TEST_EXISTS))
		return NULL;
	dir = kept_fork_source(c, word, &id, error);
	to = g_strdup_printf("%s/.try-%08x", library, g_random_int());
	return dir && kept_fork(dir, id, to, error) ? g_steal_pointer(&to) : NULL;
}

/* In a folder of its own the paths that the user gave begin elsewhere. */
static void add_settings(struct cli *c, const char *folder, GPtrArray *argv)
{
	for (guint i = 0; i < c->settings->len; i++)
		g_ptr_array_add(argv, folder ? kept_absolute(c->settings->pdata[i])
					     : g_strdup(c->settings->pdata[i]));
}

/* Of each disk and floppy that is named, unless a setting of it says otherwise. */
static void keep_changes(struct cli *c, GPtrArray *argv)
{
	g_ptr_array_add(argv, g_strdup("boot.keep=yes"));
	for (guint i = 0; i < c->settings->len; i++) {
		const char *setting = c->settings->pdata[i], *file = strstr(setting, ".file=");
		if (file &&
		    (g_str_has_prefix(setting, "disk.") || g_str_has_prefix(setting, "floppy.")))
			g_ptr_array_add(argv, g_strdup_printf("%.*s.keep=yes",
							      (int)(file - setting), setting));
	}
}

static GPtrArray *vm_argv(struct cli *c, const char *program, const char *folder)
{
	GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
	const char *file = folder ? NULL : cli_arg(c, 0);

	g_ptr_array_add(argv, g_strdup(program));
	if (folder) {
		g_ptr_array_add(argv, g_strdup("--folder"));
		g_ptr_array_add(argv, g_strdup(folder));
		g_ptr_array_add(argv, g_strdup_printf("vm.name=%s", cli_arg(c, 0)));
	}
	g_ptr_array_add(argv, g_strdup("--ready-fd"));
	g_ptr_array_add(argv, g_strdup("3"));
	if (c->json)
		g_ptr_array_add(argv, g_strdup("--json"));
	g_ptr_array_add(argv, g_strdup("serial.0.output=-"));
	if (c->verbose)
		g_ptr_array_add(argv, g_strdup("log.level=info"));
	if (c->quiet)
		g_ptr_array_add(argv, g_strdup("log.level=error"));
	if (file)
		g_ptr_array_add(argv, g_strdup_printf("boot.file=%s", file));
	if (cli_has(c, "--write"))
		keep_changes(c, argv);
	add_settings(c, folder, argv);
	g_ptr_array_add(argv, NULL);
	return argv;
}

/* lodge-vm as a child: ret_stream is its standard input and output. */
static bool spawn(struct run *r, int *ret_stream, GError **error)
{
	g_autofree char *program = ui_find_program("lodge-vm", error);
	g_autoptr(GPtrArray) argv = program ? vm_argv(r->cli, program, r->folder) : NULL;
	const int target = 3;
	int stream[2], ready[2];
	bool good;

	if (!argv)
		return false;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream) < 0 ||
	    pipe2(ready, O_CLOEXEC) < 0) {
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_HOST_LIMIT, "cannot make a pipe: %s",
			    g_strerror(errno));
		return false;
	}
	good = g_spawn_async_with_pipes_and_fds(NULL, (const char *const *)(void *)argv->pdata,
						NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL,
						stream[1], stream[1], -1, &ready[1], &target, 1,
						&r->pid, NULL, NULL, NULL, error);
	close(stream[1]);
	close(ready[1]);
	r->ready_fd = ready[0];
	*ret_stream = stream[0];
	if (good)
		return true;
	close(stream[0]);
	g_prefix_error(error, "cannot start '%s': ", program);
	(*error)->domain = LODGE_ERROR;
	(*error)->code = LODGE_ERROR_HOST_LIMIT;
	return false;
}

static void remove_all(GPtrArray *paths)
{
	for (guint i = 0; i < paths->len; i++)
		unlink(paths->pdata[i]);
}

static void watch(struct run *r)
{
	const int signals[] = { SIGINT, SIGTERM, SIGHUP };

	g_child_watch_add(r->pid, on_exit_status, r);
	/* What is said of a VM that runs comes before what its guest says. */
	g_unix_fd_add_full(G_PRIORITY_HIGH, r->ready_fd, G_IO_IN | G_IO_HUP, on_ready, r, NULL);
	for (guint i = 0; i < G_N_ELEMENTS(signals); i++)
		g_unix_signal_add(signals[i], on_signal, r);
	if (r->cli->timeout_ms > 0)
		g_timeout_add((guint)r->cli->timeout_ms, on_timeout, r);
}

/* What `lodge run` ends with; the guest's own status passes through. */
static int exit_code(struct run *r, GError **error)
{
	if (r->timed_out) {
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_TIMEOUT,
			    "the VM did not end within the time");
		return LODGE_EXIT_TIMEOUT;
	}
	if (r->quit)
		return 0;
	if (WIFEXITED(r->status))
		return WEXITSTATUS(r->status);
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_FAILED, "lodge-vm was ended by signal %d (%s)",
		    WTERMSIG(r->status), strsignal(WTERMSIG(r->status)));
	return LODGE_EXIT_FAILED;
}

static void forget_try(struct run *r)
{
	if (r->folder)
		lodge_remove_tree(r->folder, NULL);
	g_free(r->folder);
}

int cmd_run(struct cli *c, GError **error)
{
	struct run r = { .cli = c, .status = -1 };
	const struct term_ops ops = {
		.key = on_key, .help = keys_help, .ended = on_ended, .ctx = &r
	};
	int stream;

	r.shots = shots_parse(c, error);
	r.window = r.shots ? window_parse(c, on_plug, &r, error) : NULL;
	r.folder = r.window ? fork_to_try(c, error) : NULL;
	if (!r.window || *error || !spawn(&r, &stream, error)) {
		window_finish(r.window, true);
		shots_finish(r.shots);
		forget_try(&r);
		return cli_code(error);
	}
	r.loop = g_main_loop_new(NULL, FALSE);
	r.ready = g_string_new(NULL);
	r.made = g_ptr_array_new_with_free_func(g_free);
	r.temp = g_ptr_array_new_with_free_func(g_free);
	r.term = term_start(stream, wants_terminal(c), &ops);
	watch(&r);
	g_main_loop_run(r.loop);
	while (read_ready(&r) && !r.name && r.ready_fd >= 0)
		;
	term_finish(r.term, true);
	if (!r.name)
		remove_all(r.made);
	remove_all(r.temp);
	shots_finish(r.shots);
	window_finish(r.window, r.quit);
	g_ptr_array_unref(r.made);
	g_ptr_array_unref(r.temp);
	g_string_free(r.ready, TRUE);
	g_main_loop_unref(r.loop);
	g_free(r.name);
	close(r.ready_fd);
	forget_try(&r);
	return exit_code(&r, error);
}
