/* See kept.h. */
#include "cli/kept.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cli/place.h"
#include "client/client.h"
#include "protocol/protocol.h"
#include "protocol/snapshots.h"

/* ---- programs of ours, asked ---- */

/* Its last line without "lodge: ", as our error. */
static void said(GError **error, const char *text, int status)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	const char *last = "it said nothing";
	const int code = WIFEXITED(status) ? WEXITSTATUS(status) : LODGE_ERROR_FAILED;

	for (guint i = 0; lines[i]; i++)
		if (lines[i][0] != '\0')
			last = lines[i];
	if (g_str_has_prefix(last, "lodge: "))
		last += strlen("lodge: ");
	g_set_error(error, LODGE_ERROR,
		    code > 0 && code <= LODGE_ERROR_TIMEOUT ? code : LODGE_ERROR_FAILED, "%s",
		    last);
}

static void host_limit(GError **error, const char *program)
{
	g_prefix_error(error, "cannot start '%s': ", program);
	(*error)->domain = LODGE_ERROR;
	(*error)->code = LODGE_ERROR_HOST_LIMIT;
}

static char *ask(GError **error, const char *name, const char *const *words, GSpawnFlags flags)
{
	g_autofree char *program = ui_find_program(name, error);
	g_autoptr(GPtrArray) argv = g_ptr_array_new();
	g_autofree char *out = NULL, *err = NULL;
	int status;

	if (!program)
		return NULL;
	g_ptr_array_add(argv, program);
	for (; *words; words++)
		g_ptr_array_add(argv, (gpointer)(uintptr_t)*words);
	g_ptr_array_add(argv, NULL);
	if (!g_spawn_sync(NULL, (char **)(void *)argv->pdata, NULL, flags, NULL, NULL, &out, &err,
			  &status, error)) {
		if (error)
			host_limit(error, program);
		return NULL;
	}
	if (status == 0) {
		g_printerr("%s", err); /* done, with a word on it */
		return g_steal_pointer(&out);
	}
	said(error, err, status);
	return NULL;
}

char *kept_ask(GError **error, const char *name, const char *const *words)
{
	return ask(error, name, words, G_SPAWN_DEFAULT);
}

char *kept_ask_long(const struct cli *c, GError **error, const char *const *words)
{
	g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
	const bool seen = !c->quiet && !c->json && isatty(STDERR_FILENO);
	const int terminal = seen ? fcntl(STDERR_FILENO, F_DUPFD, 3) : -1;
	char *out;

	g_ptr_array_add(argv, g_strdup("--snapshot"));
	if (terminal >= 0)
		g_ptr_array_add(argv, g_strdup_printf("--progress-fd=%d", terminal));
	if (cli_has(c, "--with-paths"))
		g_ptr_array_add(argv, g_strdup("--with-paths"));
	for (; *words; words++)
		g_ptr_array_add(argv, g_strdup(*words));
	g_ptr_array_add(argv, NULL);
	out = ask(error, "lodge-vm", (const char *const *)(void *)argv->pdata,
		  G_SPAWN_LEAVE_DESCRIPTORS_OPEN);
	if (terminal >= 0)
		close(terminal);
	return out ? g_strchomp(out) : NULL;
}

bool kept_confirm(const struct cli *c, GError **error, const char *fmt, ...)
{
	g_autofree char *question = NULL;
	char answer[16] = "";
	va_list ap;

	if (cli_has(c, "--yes"))
		return true;
	va_start(ap, fmt);
	question = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	if (!isatty(STDIN_FILENO)) {
		cli_bad(error, "%s Say so with --yes", question);
		return false;
	}
	g_printerr("%s [y/N] ", question);
	if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
		return true;
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_FAILED, "nothing was done");
	return false;
}

/* ---- files ---- */

bool kept_copy(const char *from, const char *to, GError **error)
{
	const int in = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	bool good = false;

	if (in < 0)
		return lodge_io_error(error, "open", from);
	if (fstat(in, &st) < 0 || !S_ISREG(st.st_mode))
		cli_bad(error, "'%s' is not a file", from);
	else
		good = lodge_file_copy(in, to, 0600 | (st.st_mode & 0044), error);
	close(in);
	return good;
}

/* Settings that name a file which is read, by the ends of their keys. */
static const char *const read_files[] = {
	".file",	 "boot.kernel",	      "boot.initrd",	     "boot.state",
	"firmware.bios", "firmware.vga-bios", "firmware.option-rom", NULL
};

static bool ends_in(const char *key, const char *const *ends)
{
	for (; *ends; ends++)
		if (g_str_has_suffix(key, *ends))
			return true;
	return false;
}

char *kept_absolute(const char *setting)
{
	static const char *const written[] = { "debug.trace", "debug.digest", NULL };
	const char *eq = strchr(setting, '=');
	g_autofree char *key = eq ? g_strndup(setting, (gsize)(eq - setting)) : NULL;
	g_autofree char *path = NULL;

	if (!eq || eq[1] == '\0')
		return g_strdup(setting);
	if (ends_in(key, read_files) || ends_in(key, written) ||
	    (g_str_has_suffix(key, ".output") && strcmp(eq, "=-") != 0 && strcmp(eq, "=none") != 0))
		path = g_canonicalize_filename(eq + 1, NULL);
	return path ? g_strdup_printf("%s=%s", key, path) : g_strdup(setting);
}

bool kept_file_there(const char *setting, GError **error)
{
	const char *eq = strchr(setting, '=');
	g_autofree char *key = g_strndup(setting, (gsize)(eq - setting));

	return eq[1] == '\0' || !ends_in(key, read_files) || access(eq + 1, F_OK) == 0 ||
	       lodge_io_error(error, "open", eq + 1);
}

/* ---- settings and names ---- */

bool kept_exists(const char *dir, const char *name, GError **error)
{
	if (!g_file_test(dir, G_FILE_TEST_EXISTS))
		return false;
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_WRONG_STATE,
		    "there is a \"%s\" already: choose another name (lodge list)", name);
	return true;
}

bool kept_has_fork(const char *dir, GError **error)
{
	g_autofree char *fork = NULL, *advice = NULL;

	if (!lodge_snapshots_fork(dir, &fork, error))
		return true;
	advice = fork ? lodge_snapshot_advice(fork) : NULL;
	if (fork)
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_WRONG_STATE,
			    "the VM in '%s' is based on a snapshot of this one: %s", fork, advice);
	return fork != NULL;
}

void kept_settings_json(GString *json, GPtrArray *settings)
{
	g_string_append_c(json, '{');
	for (guint i = 0; i < settings->len; i++) {
		const char *setting = settings->pdata[i], *eq = strchr(setting, '=');
		g_autofree char *key = g_strndup(setting, (gsize)(eq - setting));
		g_string_append(json, i > 0 ? "," : "");
		lodge_json_string(json, key);
		g_string_append_c(json, ':');
		lodge_json_string(json, eq + 1);
	}
	g_string_append_c(json, '}');
}

void kept_made_json(GString *json, const char *dir)
{
	g_autofree char *name = g_path_get_basename(dir);

	g_string_append(json, "{\"name\":");
	lodge_json_string(json, name);
	g_string_append(json, ",\"folder\":");
	lodge_json_string(json, dir);
	g_string_append_c(json, '}');
}

/* ---- those that do not run ---- */

static GVariant *row(const char *name, const char *dir)
{
	GVariantBuilder b;

	g_variant_builder_init(&b, G_VARIANT_TYPE_VARDICT);
	g_variant_builder_add(&b, "{sv}", "Name", g_variant_new_string(name));
	g_variant_builder_add(&b, "{sv}", "State", g_variant_new_string(lodge_folder_state(dir)));
	g_variant_builder_add(&b, "{sv}", "Folder", g_variant_new_string(dir));
	return g_variant_ref_sink(g_variant_builder_end(&b));
}

/* Another process has it, and it is none of these. */
static bool runs_elsewhere(const char *dir, GPtrArray *runs)
{
	g_autofree char *run = lodge_run_name_of_folder(dir, NULL);

	return run && !g_ptr_array_find_with_equal_func(runs, run, g_str_equal, NULL);
}

GPtrArray *kept_others(GPtrArray *runs)
{
	GPtrArray *rows = g_ptr_array_new_with_free_func((GDestroyNotify)g_variant_unref);
	g_autoptr(GPtrArray) names = lodge_folder_names();

	for (guint i = 0; i < names->len; i++) {
		g_autofree char *dir = lodge_folder_path(names->pdata[i]);
		if (strcmp(lodge_folder_state(dir), "running") != 0 || runs_elsewhere(dir, runs))
			g_ptr_array_add(rows, row(names->pdata[i], dir));
	}
	return rows;
}

/* ---- starting ---- */

/* The log of this start; that of the one before becomes vm.log.1. Where none can be kept it is in
 * memory, for what keeps the VM from starting. */
static int open_log(const char *dir, char **ret_path, GError **error)
{
	g_autofree char *logs = g_build_filename(dir, "logs", NULL);
	g_autofree char *old = NULL;
	int fd;

	if (lodge_folder_read_only(dir)) {
		fd = memfd_create("vm.log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (fd < 0)
			lodge_io_error(error, "make", "vm.log");
		*ret_path = g_strdup_printf("/proc/self/fd/%d", fd);
		return fd;
	}
	*ret_path = g_build_filename(logs, "vm.log", NULL);
	old = g_build_filename(logs, "vm.log.1", NULL);
	if (mkdir(logs, 0755) < 0 && errno != EEXIST) {
		lodge_io_error(error, "make", logs);
		return -1;
	}
	if (rename(*ret_path, old) < 0 && errno != ENOENT) {
		lodge_io_error(error, "replace", old);
		return -1;
	}
	/* A new one: what has its name, and may be a link in a folder from elsewhere, is away. */
	fd = open(*ret_path, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0)
		lodge_io_error(error, "make", *ret_path);
	return fd;
}

static GPtrArray *vm_argv(struct cli *c, const char *program, const char *dir)
{
	GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
	const char *const words[] = { program,
				      "--folder",
				      dir,
				      "--detached",
				      "--ready-fd",
				      "3",
				      c->verbose ? "log.level=info" : NULL };

	for (guint i = 0; i < G_N_ELEMENTS(words) && words[i]; i++)
		g_ptr_array_add(argv, g_strdup(words[i]));
	for (guint i = 0; i < c->settings->len; i++)
		g_ptr_array_add(argv, kept_absolute(c->settings->pdata[i]));
	g_ptr_array_add(argv, NULL);
	return argv;
}

static bool spawn(struct cli *c, const char *dir, int log, int *ret_ready, GPid *ret_pid,
		  GError **error)
{
	g_autofree char *program = ui_find_program("lodge-vm", error);
	g_autoptr(GPtrArray) argv = program ? vm_argv(c, program, dir) : NULL;
	const int target = 3, null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int ready[2];
	bool good;

	if (!argv) {
		close(null);
		return false;
	}
	if (null < 0 || pipe2(ready, O_CLOEXEC) < 0)
		return lodge_io_error(error, "start", program);
	good = g_spawn_async_with_pipes_and_fds(NULL, (const char *const *)(void *)argv->pdata,
						NULL, G_SPAWN_DO_NOT_REAP_CHILD, cli_own_session,
						NULL, null, null, log, &ready[1], &target, 1,
						ret_pid, NULL, NULL, NULL, error);
	close(null);
	close(ready[1]);
	if (good) {
		*ret_ready = ready[0];
	} else {
		close(ready[0]);
		host_limit(error, program);
	}
	return good;
}

/* Until it says that it runs, or ends. */
static bool runs(int ready)
{
	g_autoptr(GString) text = g_string_new(NULL);
	char buf[512];
	ssize_t n;

	while ((n = read(ready, buf, sizeof(buf))) > 0 || (n < 0 && errno == EINTR)) {
		g_string_append_len(text, buf, MAX(n, 0));
		if (strstr(text->str, "ready ") && strchr(strstr(text->str, "ready "), '\n'))
			return true;
	}
	return false;
}

static void say_crashed(const struct cli *c, const char *name, const char *log)
{
	g_autofree char *text = NULL;
	g_auto(GStrv) lines = NULL;
	guint n;

	cli_say(c,
		"VM \"%s\" crashed: its process was ended while it ran; it starts from its disks",
		name);
	/* The folder may be from elsewhere: a FIFO is not waited for, nor shown what a terminal
	 * obeys. */
	if (!g_file_test(log, G_FILE_TEST_IS_REGULAR) ||
	    !g_file_get_contents(log, &text, NULL, NULL))
		return;
	lines = g_strsplit(g_strchomp(text), "\n", -1);
	n = g_strv_length(lines);
	for (guint i = n > 3 ? n - 3 : 0; i < n; i++)
		if (lines[i][0] != '\0' && lodge_file_can_hold(lines[i]))
			cli_say(c, "  %s", lines[i]);
}

struct kept_starting {
	char *log;
	int ready, log_fd;
	GPid pid;
};

/* It runs, or a command is at work on it. */
static void in_use(const char *dir, const char *name, GError **error)
{
	const bool runs = strcmp(lodge_folder_own_state(dir), "crashed") == 0;
	const int lock = runs ? -1 : lodge_folder_lock(dir, "is being started", error);

	if (lock >= 0)
		close(lock);
	if (!*error)
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_WRONG_STATE, "VM \"%s\" runs already",
			    name);
}

struct kept_starting *kept_start_begin(struct cli *c, const char *dir, GError **error)
{
	g_autofree char *name = g_path_get_basename(dir), *path = NULL;
	const char *state = lodge_folder_state(dir);
	struct kept_starting s = { .ready = -1, .log_fd = -1 };

	if (strcmp(state, "running") == 0) {
		in_use(dir, name, error);
		return NULL;
	}
	if (strcmp(state, "crashed") == 0) {
		g_autofree char *last = g_build_filename(dir, "logs", "vm.log", NULL);
		say_crashed(c, name, last);
	}
	if (!place_settle(c, dir, error))
		return NULL;
	s.log_fd = open_log(dir, &path, error);
	if (s.log_fd < 0)
		return NULL;
	if (!spawn(c, dir, s.log_fd, &s.ready, &s.pid, error)) {
		close(s.log_fd);
		return NULL;
	}
	s.log = g_steal_pointer(&path);
	return g_memdup2(&s, sizeof(s));
}

bool kept_start_end(struct kept_starting *s, GError **error)
{
	const bool good = runs(s->ready);
	g_autofree char *text = NULL;
	int status;

	close(s->ready);
	if (!good) {
		while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
			;
		if (!g_file_get_contents(s->log, &text, NULL, NULL))
			text = g_strdup("");
		said(error, text, status);
	}
	fcntl(s->log_fd, F_ADD_SEALS,
	      F_SEAL_GROW); /* what is in memory stays small; no file has it */
	close(s->log_fd);
	g_free(s->log);
	g_free(s);
	return good;
}

bool kept_start(struct cli *c, const char *dir, GError **error)
{
	struct kept_starting *s = kept_start_begin(c, dir, error);

	return s && kept_start_end(s, error);
}
