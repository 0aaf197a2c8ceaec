/* lodge create, start, delete, rename, clone, get, set, edit, check, log: VMs that are kept. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cli/kept.h"
#include "cli/window.h"
#include "client/client.h"
#include "protocol/protocol.h"
#include "protocol/seen.h"
#include "protocol/snapshots.h"

#define DELETED ".deleted." /* how a folder is called that is being deleted */
#define CPU_MODEL (__builtin_cpu_supports("x86-64-v3") ? "x86-64-v3" : "x86-64-v2")

/* A new VM's name: of the library, or the last part of its path. */
static bool name_ok(const char *vm, GError **error)
{
	g_autofree char *name = g_path_get_basename(vm);

	return lodge_folder_name_ok(name, error);
}

/* ---- create ---- */

/* What is to become of an image that the user names: a qcow2 image that is based on another one has
 * to be made whole, since it leaves that one's neighbourhood. */
static const char *look_at(const char *path, bool *ret_based)
{
	char head[16] = "";
	FILE *f = fopen(path, "rbe");
	size_t n = 0;

	if (f) {
		n = fread(head, 1, sizeof(head), f);
		fclose(f);
	}
	if (n < sizeof(head) || memcmp(head, "QFI\xfb", 4) != 0)
		return "raw";
	*ret_based = memcmp(head + 8, "\0\0\0\0\0\0\0\0", 8) != 0; /* where its name lies */
	return "qcow2";
}

static bool make_disk(const char *path, const char *size, GError **error)
{
	g_autofree char *number = NULL, *out = NULL;
	guint64 bytes;

	if (!lodge_parse_size(size, &bytes) || bytes == 0 || bytes % 512 != 0) {
		cli_bad(error, "--disk-size is a size such as 20G, not '%s'", size);
		return false;
	}
	number = g_strdup_printf("%" G_GUINT64_FORMAT, bytes);
	out = kept_ask(error, "lodge-disk",
		       (const char *const[]){ "create", path, number, "--quiet", NULL });
	return out != NULL;
}

static bool take_disk(const char *from, const char *path, bool based, GError **error)
{
	g_autofree char *out = NULL;

	if (!based)
		return kept_copy(from, path, error);
	out = kept_ask(error, "lodge-disk",
		       (const char *const[]){ "convert", from, path, "--quiet", NULL });
	return out != NULL;
}

/* from: an image; NULL: a new one of that size. */
static bool add_disk(GKeyFile *ini, const char *temp, const char *name, const char *from,
		     const char *size, GError **error)
{
	bool based = false;
	const char *format = from ? look_at(from, &based) : "qcow2";
	g_autofree char *file = g_strdup_printf("disks/%s.%s", name,
						strcmp(format, "raw") == 0 ? "img" : "qcow2");
	g_autofree char *path = g_build_filename(temp, file, NULL);
	g_autofree char *key = g_strdup_printf("disk.%s.file", name);
	g_autofree char *format_key = g_strdup_printf("disk.%s.format", name);

	if (from ? !take_disk(from, path, based, error) : !make_disk(path, size, error))
		return false;
	lodge_ini_set(ini, key, file);
	lodge_ini_set(ini, format_key, format);
	return true;
}

/* A setting that there is, with a value that it takes and vm.ini can hold; "KEY=" for NULL. */
static bool check_setting(const char *setting, GError **error)
{
	const char *eq = strchr(setting, '=');
	g_autofree char *key = eq ? g_strndup(setting, (gsize)(eq - setting)) : NULL, *out = NULL;

	if (!eq) {
		cli_bad(error, "'%s' is not KEY=VALUE; KEY= unsets it", setting);
		return false;
	}
	if (!lodge_ini_can_hold(eq + 1)) {
		cli_bad(error,
			"%s: vm.ini cannot hold such a value: blanks at an end, an end of a line, "
			"or a semicolon behind a blank, which begins a comment",
			key);
		return false;
	}
	out = eq[1] == '\0'
		      ? kept_ask(error, "lodge-vm", (const char *const[]){ "--default", key, NULL })
		      : kept_ask(error, "lodge-vm",
				 (const char *const[]){ "--check-setting", setting, NULL });
	return out != NULL;
}

/* --disk 0 is the root disk; what else names files is told where they lie. */
static bool add_setting(GKeyFile *ini, const char *temp, const char *setting, GError **error)
{
	g_autofree char *absolute = kept_absolute(setting);
	char *eq = strchr(absolute, '=');
	unsigned n;

	if (eq && sscanf(setting, "disk.%u.file=", &n) == 1) {
		g_autofree char *name = n == 0 ? g_strdup("root") : g_strdup_printf("%u", n);
		return add_disk(ini, temp, name, eq + 1, NULL, error);
	}
	if (!check_setting(absolute, error) || !kept_file_there(absolute, error))
		return false;
	*eq = '\0';
	lodge_ini_set(ini, absolute, eq + 1);
	return true;
}

/* vm.ini with what every VM has. */
static GKeyFile *new_ini(void)
{
	GKeyFile *ini = g_key_file_new();
	g_autofree char *id = lodge_new_id();

	lodge_ini_set(ini, "vm.format", LODGE_FOLDER_FORMAT);
	lodge_ini_set(ini, "vm.id", id);
	lodge_ini_new_generation(ini);
	lodge_ini_set(ini, "vm.machine", "pc-1");
	lodge_ini_set(ini, "vm.engine", "auto");
	lodge_ini_set(ini, "cpu.count", "1");
	lodge_ini_set(ini, "cpu.model", CPU_MODEL);
	lodge_ini_set(ini, "memory.size", "1G");
	return ini;
}

/* The VM goes on from the exported snapshot, and has its settings. */
static GKeyFile *imported_ini(struct cli *c, const char *temp, GError **error)
{
	g_autoptr(GKeyFile) ini = new_ini();
	g_autofree char *id = NULL;

	if (!lodge_ini_save(ini, temp, error))
		return NULL;
	id = kept_import(c, temp, cli_value(c, "--import"), NULL, error);
	return id && kept_restore(temp, id, error) ? lodge_ini_load(temp, error) : NULL;
}

static bool fill(struct cli *c, const char *temp, GError **error)
{
	g_autoptr(GKeyFile) ini = NULL;
	g_autofree char *disks = g_build_filename(temp, "disks", NULL);
	const char *size = cli_value(c, "--disk-size");

	if (mkdir(disks, 0755) < 0)
		return lodge_io_error(error, "make", disks);
	ini = cli_has(c, "--import") ? imported_ini(c, temp, error) : new_ini();
	if (!ini || (size && !add_disk(ini, temp, "root", NULL, size, error)))
		return false;
	for (guint i = 0; i < c->settings->len; i++)
		if (!add_setting(ini, temp, c->settings->pdata[i], error))
			return false;
	return lodge_ini_save(ini, temp, error);
}

/* A folder beside it, under another name until it is whole. */
static char *make_temp(const char *dir, GError **error)
{
	g_autofree char *parent = g_path_get_dirname(dir), *name = g_path_get_basename(dir);
	g_autofree char *temp = g_strdup_printf("%s/.%s.%08x", parent, name, g_random_int());

	if (g_mkdir_with_parents(parent, 0755) < 0 || mkdir(temp, 0755) < 0) {
		lodge_io_error(error, "make", temp);
		return NULL;
	}
	return g_steal_pointer(&temp);
}

/* What a start looks for, of a folder that will be at path. */
static bool note(const char *temp, const char *path, GError **error)
{
	return lodge_seen_here(temp, path, error) && lodge_seen_disks(temp, error);
}

static bool publish(const char *temp, const char *dir, GError **error)
{
	g_autofree char *parent = g_path_get_dirname(dir);

	lodge_folder_sync(temp);
	if (rename(temp, dir) < 0)
		return lodge_io_error(error, "make", dir);
	lodge_folder_sync(parent);
	return true;
}

static bool open_window(struct cli *c, const char *dir)
{
	struct window *w = window_parse(c, NULL, NULL, NULL);

	if (w)
		window_leave(w, dir);
	return true;
}

static void tell_made(const struct cli *c, const char *dir)
{
	g_autoptr(GString) json = g_string_new(NULL);

	if (!c->json)
		return;
	kept_made_json(json, dir);
	g_print("%s\n", json->str);
}

int cmd_create(struct cli *c, GError **error)
{
	const char *vm = cli_arg(c, 0);
	g_autofree char *dir = lodge_folder_path(vm), *temp = NULL, *word = lodge_shell_word(vm);
	bool good;

	if (!name_ok(vm, error) || kept_exists(dir, vm, error))
		return cli_code(error);
	temp = make_temp(dir, error);
	if (!temp)
		return cli_code(error);
	good = fill(c, temp, error) && note(temp, dir, error) && publish(temp, dir, error);
	if (!good) {
		lodge_remove_tree(temp, NULL);
		return cli_code(error);
	}
	tell_made(c, dir);
	cli_say(c, "VM \"%s\" is in %s (lodge start %s)", vm, dir, word);
	if (!cli_has(c, "--start"))
		return 0;
	g_ptr_array_set_size(c->settings, 0);
	return kept_start(c, dir, error) && open_window(c, dir) ? 0 : cli_code(error);
}

/* ---- start ---- */

int cmd_start(struct cli *c, GError **error)
{
	for (guint i = 0; i < c->args->len; i++) {
		g_autofree char *dir = lodge_folder_find(cli_arg(c, i), error);
		if (!dir || !kept_start(c, dir, error))
			return cli_code(error);
		open_window(c, dir);
	}
	return 0;
}

/* ---- delete, rename, clone ---- */

/* Where open files keep names: that of the lock, and those of a process that is ending. */
static void remove_rest(const char *dir)
{
	for (unsigned i = 0; i < 40 && g_file_test(dir, G_FILE_TEST_EXISTS); i++) {
		lodge_remove_tree(dir, NULL);
		g_usleep(50 * 1000);
	}
}

/* A name that delete_one() gives, and not one of the user's. */
static bool is_deleted(const char *name)
{
	const char *number = g_str_has_prefix(name, DELETED) ? name + strlen(DELETED) : "";

	return strlen(number) == 8 && strspn(number, "0123456789abcdef") == 8;
}

/* What others had begun to delete in the library, and were killed at; who is at it has the folder's
 * lock. Elsewhere nobody knows whose a folder is. */
static void remove_killed(void)
{
	g_autofree char *library = lodge_library();
	g_autoptr(GDir) dir = g_dir_open(library, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir)) != NULL) {
		g_autofree char *path = g_build_filename(library, name, NULL);
		const int lock = is_deleted(name)
					 ? lodge_folder_lock(path, "is being deleted", NULL)
					 : -1;
		if (lock < 0)
			continue;
		lodge_remove_tree(path, NULL);
		close(lock);
	}
}

/* A VM that nothing is based on gets that name; its folder's lock is held. */
static bool take_away(const char *dir, const char *to, GError **error)
{
	g_autofree char *parent = g_path_get_dirname(dir);
	const int settings = lodge_ini_lock(dir, error);
	bool good = settings >= 0 && !kept_has_fork(dir, error);

	if (good && rename(dir, to) < 0)
		good = lodge_io_error(error, "rename", dir);
	if (good) /* it is none before it has lost anything */
		lodge_folder_sync(parent);
	if (settings >= 0)
		close(settings);
	return good;
}

static bool delete_one(struct cli *c, const char *vm, GError **error)
{
	g_autofree char *dir = lodge_folder_find(vm, error), *temp = NULL;
	g_autofree char *parent = dir ? g_path_get_dirname(dir) : NULL;
	g_autofree char *run = dir ? lodge_run_name_of_folder(dir, error) : NULL;
	bool good;
	int lock;

	if (!run || kept_has_fork(dir, error) ||
	    !kept_confirm(c, error, "Delete VM \"%s\" with its disks and snapshots (%s)?", vm, dir))
		return false;
	lock = lodge_folder_lock(dir, "is being deleted", error);
	if (lock < 0)
		return false;
	temp = g_strdup_printf("%s/" DELETED "%08x", parent, g_random_int());
	good = take_away(dir, temp, error) && lodge_remove_tree(temp, error);
	if (good)
		lodge_run_forget(run);
	close(lock);
	if (good)
		remove_rest(temp);
	remove_killed();
	return good;
}

/* The first that cannot be deleted ends it. */
int cmd_delete(struct cli *c, GError **error)
{
	for (guint i = 0; i < c->args->len; i++)
		if (!delete_one(c, cli_arg(c, i), error))
			return cli_code(error);
	return 0;
}

/* The folder's name counts from here on. */
static bool forget_name(const char *dir, GError **error)
{
	const int lock = lodge_ini_lock(dir, error);
	g_autoptr(GKeyFile) ini = lock >= 0 ? lodge_ini_load(dir, error) : NULL;
	g_autofree char *own = ini ? lodge_ini_get(ini, "vm.name") : NULL;
	bool good = ini != NULL;

	if (own) {
		lodge_ini_set(ini, "vm.name", NULL);
		good = lodge_ini_save(ini, dir, error);
	}
	if (lock >= 0)
		close(lock);
	return good;
}

int cmd_rename(struct cli *c, GError **error)
{
	const char *new = cli_arg(c, 1);
	g_autofree char *dir = lodge_folder_find(cli_arg(c, 0), error), *parent = NULL, *to = NULL;
	g_autofree char *run = dir ? lodge_run_name_of_folder(dir, error) : NULL;
	bool good;
	int lock;

	if (!run || kept_has_fork(dir, error) || !lodge_folder_name_ok(new, error))
		return cli_code(error);
	parent = g_path_get_dirname(dir);
	to = g_build_filename(parent, new, NULL);
	if (kept_exists(to, new, error))
		return cli_code(error);
	lock = lodge_folder_lock(dir, "is being renamed", error);
	good = lock >= 0 && forget_name(dir, error) && lodge_seen_here(dir, to, error) &&
	       take_away(dir, to, error);
	if (good)
		lodge_run_forget(run);
	if (lock >= 0)
		close(lock);
	return good ? 0 : cli_code(error);
}

static bool copy_tree(const char *from, const char *to, GError **error)
{
	g_autoptr(GDir) dir = g_dir_open(from, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir)) != NULL) {
		g_autofree char *a = g_build_filename(from, name, NULL);
		g_autofree char *b = g_build_filename(to, name, NULL);
		struct stat st;
		if (strcmp(name, ".lock") == 0 || strcmp(name, "logs") == 0 ||
		    strcmp(name, "seen") == 0)
			continue;
		if (lstat(a, &st) < 0)
			return lodge_io_error(error, "copy", a);
		if (S_ISDIR(st.st_mode)) {
			if (mkdir(b, 0755) < 0)
				return lodge_io_error(error, "make", b);
			if (!copy_tree(a, b, error))
				return false;
		} else if (!S_ISREG(st.st_mode)) {
			cli_bad(error, "'%s' is neither a file nor a folder: it cannot be copied",
				a);
			return false;
		} else if (!kept_copy(a, b, error)) {
			return false;
		}
	}
	lodge_folder_sync(to);
	return true;
}

int cmd_clone(struct cli *c, GError **error)
{
	const char *new = cli_arg(c, 1);
	g_autofree char *from = lodge_folder_find(cli_arg(c, 0), error), *temp = NULL;
	g_autofree char *to = lodge_folder_path(new);
	bool good;
	int lock;

	if (!from || !name_ok(new, error) || kept_exists(to, new, error))
		return cli_code(error);
	lock = lodge_folder_read_only(from) ? 0 : lodge_folder_lock(from, "is being cloned", error);
	temp = lock >= 0 ? make_temp(to, error) : NULL;
	if (!temp)
		return cli_code(error);
	good = copy_tree(from, temp, error) && lodge_new_identity(temp, to, from, error) &&
	       note(temp, to, error) && publish(temp, to, error);
	if (good)
		tell_made(c, to);
	else
		lodge_remove_tree(temp, NULL);
	if (lock > 0)
		close(lock);
	return good ? 0 : cli_code(error);
}

/* ---- settings ---- */

int cmd_get(struct cli *c, GError **error)
{
	const char *key = cli_arg(c, 1);
	g_autofree char *dir = lodge_folder_find(cli_arg(c, 0), error), *value = NULL;
	g_autoptr(GKeyFile) ini = dir ? lodge_ini_load(dir, error) : NULL;
	g_autoptr(GPtrArray) all = ini ? lodge_ini_settings(ini) : NULL;
	g_autoptr(GString) json = g_string_new(NULL);

	if (!ini)
		return cli_code(error);
	if (key) {
		value = lodge_ini_get(ini, key);
		if (!value)
			value = kept_ask(error, "lodge-vm",
					 (const char *const[]){ "--default", key, NULL });
		if (!value)
			return cli_code(error);
		g_ptr_array_set_size(all, 0);
		g_ptr_array_add(all, g_strdup_printf("%s=%s", key, g_strchomp(value)));
	}
	kept_settings_json(json, all);
	if (c->json)
		g_print("%s\n", json->str);
	for (guint i = 0; i < all->len && !c->json; i++)
		g_print("%s\n", (const char *)all->pdata[i] + (key ? strlen(key) + 1 : 0));
	return 0;
}

static bool set_all(struct cli *c, const char *dir, GError **error)
{
	const int lock = lodge_ini_lock(dir, error);
	g_autoptr(GKeyFile) ini = lock >= 0 ? lodge_ini_load(dir, error) : NULL;
	bool good = ini != NULL;

	for (guint i = 1; good && i < c->args->len; i++) {
		g_autofree char *setting = kept_absolute(cli_arg(c, i));
		char *eq = strchr(setting, '=');
		*eq = '\0';
		lodge_ini_set(ini, setting, eq[1] == '\0' ? NULL : eq + 1);
	}
	good = good && lodge_ini_save(ini, dir, error);
	if (lock >= 0)
		close(lock);
	return good;
}

int cmd_set(struct cli *c, GError **error)
{
	const char *vm = cli_arg(c, 0);
	g_autofree char *dir = lodge_folder_find(vm, error);

	if (!dir)
		return cli_code(error);
	for (guint i = 1; i < c->args->len; i++) {
		g_autofree char *setting = kept_absolute(cli_arg(c, i));
		if (!check_setting(setting, error))
			return cli_code(error);
	}
	if (!set_all(c, dir, error))
		return cli_code(error);
	if (strcmp(lodge_folder_state(dir), "running") == 0)
		cli_say(c, "VM \"%s\" runs: that holds at its next start", vm);
	return 0;
}

int cmd_check(struct cli *c, GError **error)
{
	g_autofree char *dir = lodge_folder_find(cli_arg(c, 0), error);
	g_autofree char *out = dir ? kept_ask(error, "lodge-vm",
					      (const char *const[]){ "--check", dir, NULL })
				   : NULL;

	return out ? 0 : cli_code(error);
}

static bool run_editor(const char *path, GError **error)
{
	const char *editor = g_getenv("VISUAL");
	g_autofree char *quoted = g_shell_quote(path), *line = NULL;
	const char *argv[] = { "sh", "-c", NULL, NULL };
	int status;

	if (!editor || editor[0] == '\0')
		editor = g_getenv("EDITOR");
	line = g_strdup_printf("%s %s", editor && editor[0] ? editor : "editor", quoted);
	argv[2] = line;
	if (!g_spawn_sync(NULL, (char **)(void *)argv, NULL,
			  G_SPAWN_SEARCH_PATH | G_SPAWN_CHILD_INHERITS_STDIN, NULL, NULL, NULL,
			  NULL, &status, error))
		return false;
	if (status == 0)
		return true;
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_FAILED,
		    "the editor failed; nothing was changed (set VISUAL or EDITOR)");
	return false;
}

/* The edited text takes the place of vm.ini, if that is still what was edited: a snapshot may have
 * named other disks meanwhile. */
static bool put_text(const char *dir, const char *ini, const char *copy, const char *before,
		     GError **error)
{
	g_autofree char *out = NULL, *text = NULL, *now = NULL, *work = g_path_get_dirname(copy);
	gsize bytes;
	bool good = false;
	int lock;

	out = kept_ask(error, "lodge-vm", (const char *const[]){ "--check", work, NULL });
	if (!out || !g_file_get_contents(copy, &text, &bytes, error))
		return false;
	lock = lodge_ini_lock(dir, error);
	if (lock < 0)
		return false;
	if (g_file_get_contents(ini, &now, NULL, error)) {
		good = strcmp(now, before) == 0;
		if (good)
			good = lodge_file_replace(ini, text, bytes, error);
		else
			g_set_error(error, LODGE_ERROR, LODGE_ERROR_WRONG_STATE,
				    "the settings were changed meanwhile");
	}
	close(lock);
	return good;
}

/* On a copy, which is kept if it cannot take the place of vm.ini. */
int cmd_edit(struct cli *c, GError **error)
{
	g_autofree char *dir = lodge_folder_find(cli_arg(c, 0), error), *work = NULL, *ini = NULL;
	g_autofree char *copy = NULL, *before = NULL;

	if (!dir)
		return cli_code(error);
	work = g_dir_make_tmp("lodge-edit-XXXXXX", error);
	if (!work)
		return cli_code(error);
	ini = g_build_filename(dir, LODGE_FOLDER_INI, NULL);
	copy = g_build_filename(work, LODGE_FOLDER_INI, NULL);
	if (!kept_copy(ini, copy, error) || !g_file_get_contents(copy, &before, NULL, error) ||
	    !run_editor(copy, error)) {
		lodge_remove_tree(work, NULL);
		return cli_code(error);
	}
	if (!put_text(dir, ini, copy, before, error)) {
		g_prefix_error(error, "your text is kept in %s: ", copy);
		return cli_code(error);
	}
	lodge_remove_tree(work, NULL);
	return 0;
}
