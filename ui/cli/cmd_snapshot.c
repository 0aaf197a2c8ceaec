/* lodge snapshot, suspend, fork: what can be taken back, put aside and multiplied. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cli/kept.h"
#include "cli/newfile.h"
#include "cli/window.h"
#include "client/client.h"
#include "protocol/protocol.h"
#include "protocol/snapshots.h"

#define CALL_TIMEOUT_MS 30000

static bool runs(const char *dir)
{
	return strcmp(lodge_folder_state(dir), "running") == 0;
}

/* lodge-vm does it to a VM that does not run. */
static bool offline(GError **error, const char *verb, const char *dir, const char *a, const char *b,
		    char **ret_out)
{
	const char *const words[] = { "--snapshot", verb, dir, a, b, NULL };
	g_autofree char *out = kept_ask(error, "lodge-vm", words);

	if (!out)
		return false;
	if (ret_out)
		*ret_out = g_strdup(g_strchomp(out));
	return true;
}

/* The ID of the snapshot of that name; NULL: the latest. */
static char *find_id(const char *dir, const char *name, GError **error)
{
	g_autoptr(GError) damage = NULL;
	g_autoptr(GPtrArray) all = lodge_snapshots_readable(dir, &damage);
	const struct lodge_snapshot *s = lodge_snapshot_find(all, name, damage ? NULL : error);

	if (!s && damage) /* it may be that one */
		g_propagate_error(error, g_steal_pointer(&damage));
	return s ? g_strdup(s->id) : NULL;
}

/* ---- take ---- */

static char *default_name(const char *dir)
{
	g_autoptr(GPtrArray) all = lodge_snapshots_readable(dir, NULL);

	for (guint n = all->len + 1;; n++) {
		g_autofree char *name = g_strdup_printf("snapshot-%u", n);
		bool there = false;
		for (guint i = 0; i < all->len; i++)
			there |= strcmp(((struct lodge_snapshot *)all->pdata[i])->name, name) == 0;
		if (!there)
			return g_steal_pointer(&name);
	}
}

static char *take_running(const char *dir, const char *name, const char *text, GError **error)
{
	auto_vm struct ui_vm *vm = ui_vm_connect(dir, error);
	g_autoptr(GVariant) r = NULL;
	char *id = NULL;

	if (vm)
		r = ui_vm_call(vm, LODGE_IFACE_SNAPSHOTS, "Take", g_variant_new("(ss)", name, text),
			       -1, error);
	if (r)
		g_variant_get(r, "(s)", &id);
	return id;
}

static char *take(const char *dir, const char *name, const char *text, GError **error)
{
	char *id = NULL;

	if (runs(dir))
		return take_running(dir, name, text, error);
	return offline(error, "take", dir, name, text, &id) ? id : NULL;
}

static int do_take(struct cli *c, const char *dir, GError **error)
{
	g_autofree char *name = cli_arg(c, 2) ? g_strdup(cli_arg(c, 2)) : default_name(dir);
	const char *text = cli_value(c, "--message");
	g_autofree char *id = NULL;
	g_autoptr(GString) json = g_string_new("{\"name\":");

	if (!lodge_file_can_hold(name) || (text && !lodge_file_can_hold(text)))
		return cli_bad(error, "the name and the message of a snapshot are text in UTF-8 "
				      "without control characters");
	id = take(dir, name, text ? text : "", error);
	if (!id)
		return cli_code(error);
	lodge_json_string(json, name);
	if (c->json)
		g_print("%s,\"id\":\"%s\"}\n", json->str, id);
	else
		cli_say(c, "snapshot \"%s\" is taken", name);
	return 0;
}

/* ---- list ---- */

static void list_json(GPtrArray *all, const char *current)
{
	g_autoptr(GString) out = g_string_new("[");

	for (guint i = 0; i < all->len; i++) {
		const struct lodge_snapshot *s = all->pdata[i];
		const struct {
			const char *key, *value;
		} texts[] = { { "id", s->id },
			      { "name", s->name },
			      { "parent", s->parent },
			      { "message", s->text },
			      { "time", s->time } };
		g_string_append(out, i > 0 ? ",\n{" : "{");
		for (guint k = 0; k < G_N_ELEMENTS(texts); k++) {
			g_string_append_printf(out, "\"%s\":", texts[k].key);
			lodge_json_string(out, texts[k].value);
			g_string_append_c(out, ',');
		}
		g_string_append_printf(out, "\"protected\":%s,\"state\":%s,\"current\":%s}",
				       s->protected ? "true" : "false",
				       s->has_state ? "true" : "false",
				       strcmp(s->id, current) == 0 ? "true" : "false");
	}
	g_print("%s]\n", out->str);
}

/* As the clock on the wall has it; as it stands where it is no time. */
static char *local_time(const char *text)
{
	g_autoptr(GDateTime) utc = g_date_time_new_from_iso8601(text, NULL);
	g_autoptr(GDateTime) local = utc ? g_date_time_to_local(utc) : NULL;

	return local ? g_date_time_format(local, "%Y-%m-%d %H:%M") : g_strndup(text, 16);
}

static void print_line(const struct lodge_snapshot *s, unsigned depth, const char *current)
{
	g_autofree char *day = local_time(s->time);

	g_print("%*s%s%*s %s%s%s%s%s%s\n", (int)(2 * depth), "", s->name,
		cli_pad(s->name, MAX(24 - 2 * (int)depth, 1)), "", day,
		s->has_state ? "  running" : "  disks", s->protected ? "  protected" : "",
		strcmp(s->id, current) == 0 ? "  <- the VM goes on from here" : "",
		s->text[0] ? "  " : "", s->text);
}

static void print_below(GPtrArray *all, const char *parent, unsigned depth, const char *current)
{
	for (guint i = 0; i < all->len && depth < all->len; i++) {
		const struct lodge_snapshot *s = all->pdata[i];
		if (strcmp(s->parent, parent) != 0)
			continue;
		print_line(s, depth, current);
		print_below(all, s->id, depth + 1, current);
	}
}

static int do_list(struct cli *c, const char *dir, GError **error)
{
	g_autoptr(GPtrArray) all = lodge_snapshots_readable(dir, error);
	g_autofree char *current = lodge_snapshot_current(dir);

	if (c->json)
		list_json(all, current);
	else if (cli_has(c, "--tree"))
		print_below(all, "", 0, current);
	else
		for (guint i = 0; i < all->len; i++)
			print_line(all->pdata[i], 0, current);
	return *error ? cli_code(error) : 0;
}

/* ---- restore ---- */

static bool end_running(const char *dir, GError **error)
{
	auto_vm struct ui_vm *vm = ui_vm_connect(dir, error);
	g_autoptr(GVariant) r = NULL;

	if (vm)
		r = ui_vm_call(vm, LODGE_IFACE_VM, "Replace", NULL, CALL_TIMEOUT_MS, error);
	return r && ui_vm_wait_state(vm, "stopped", CALL_TIMEOUT_MS, error);
}

/* A VM that runs goes on at once where the snapshot was. */
static int do_restore(struct cli *c, const char *dir, GError **error)
{
	g_autofree char *id = find_id(dir, cli_arg(c, 2), error);
	const bool was_running = runs(dir);

	if (!id ||
	    !kept_confirm(c, error, "What VM \"%s\" did since is lost: restore?", cli_arg(c, 1)))
		return cli_code(error);
	if ((was_running && !end_running(dir, error)) || !kept_restore(dir, id, error))
		return cli_code(error);
	return !was_running || kept_start(c, dir, error) ? 0 : cli_code(error);
}

/* ---- delete, rename, protect ---- */

static bool delete_running(const char *dir, const char *id, GError **error)
{
	auto_vm struct ui_vm *vm = ui_vm_connect(dir, error);
	g_autoptr(GVariant) r = NULL;

	if (vm && lodge_snapshot_forget_forks(dir, id, error))
		r = ui_vm_call(vm, LODGE_IFACE_SNAPSHOTS, "Delete", g_variant_new("(s)", id),
			       CALL_TIMEOUT_MS, error);
	return r != NULL;
}

static int do_delete(struct cli *c, const char *dir, GError **error)
{
	g_autofree char *vm = lodge_shell_word(cli_arg(c, 1));
	g_autofree char *id = find_id(dir, cli_arg(c, 2), error);
	g_autoptr(lodge_snapshot_owned) s = id ? lodge_snapshot_read(dir, id, error) : NULL;

	if (!s)
		return cli_code(error);
	if (!s->protected && /* else it is refused */
	    !kept_confirm(c, error, "Delete snapshot \"%s\" of VM \"%s\"?", cli_arg(c, 2),
			  cli_arg(c, 1)))
		return cli_code(error);
	if (!runs(dir))
		return offline(error, "delete", dir, id, NULL, NULL) ? 0 : cli_code(error);
	if (!delete_running(dir, id, error))
		return cli_code(error);
	cli_say(c,
		"layers of disks that are not merged while the VM runs are when it is stopped: "
		"lodge snapshot tidy %s",
		vm);
	return 0;
}

static int do_tidy(struct cli *c, const char *dir, GError **error)
{
	(void)c;
	return offline(error, "tidy", dir, NULL, NULL, NULL) ? 0 : cli_code(error);
}

static int change(const char *dir, const char *name, const char *new_name, int protect,
		  GError **error)
{
	g_autofree char *id = find_id(dir, name, error);
	g_autofree char *path = id ? lodge_snapshot_path(dir, id, NULL) : NULL;
	g_autoptr(lodge_snapshot_owned) s = id ? lodge_snapshot_read(dir, id, error) : NULL;
	struct lodge_snapshot changed;

	if (!s)
		return cli_code(error);
	changed = *s;
	if (new_name)
		changed.name = (char *)(uintptr_t)new_name;
	if (protect >= 0)
		changed.protected = protect != 0;
	return lodge_snapshot_write(&changed, path, error) ? 0 : cli_code(error);
}

static int do_rename(struct cli *c, const char *dir, GError **error)
{
	g_autoptr(GPtrArray) all = lodge_snapshots_readable(dir, NULL);
	const char *name = cli_arg(c, 2), *new_name = cli_arg(c, 3);

	if (!lodge_folder_name_ok(new_name, error))
		return cli_code(error);
	for (guint i = 0; i < all->len; i++)
		if (strcmp(((struct lodge_snapshot *)all->pdata[i])->name, new_name) == 0) {
			g_set_error(error, LODGE_ERROR, LODGE_ERROR_WRONG_STATE,
				    "there is a snapshot \"%s\" already", new_name);
			return LODGE_ERROR_WRONG_STATE;
		}
	return change(dir, name, new_name, -1, error);
}

static int do_protect(struct cli *c, const char *dir, GError **error)
{
	return change(dir, cli_arg(c, 2), NULL, !cli_has(c, "--off"), error);
}

/* ---- verify ---- */

/* What lodge-vm said: "ID", or "ID DAMAGE", a line each. */
static unsigned show_damage(const struct cli *c, const char *dir, char **lines)
{
	g_autoptr(GString) json = g_string_new("[");
	g_autoptr(GHashTable) damaged = g_hash_table_new(g_str_hash, g_str_equal);

	for (guint i = 0; lines[i] && lines[i][0] != '\0'; i++) {
		char *what = strchr(lines[i], ' ');
		g_autoptr(lodge_snapshot_owned) s = NULL;
		if (what)
			*what++ = '\0';
		s = lodge_snapshot_read(dir, lines[i], NULL);
		if (what)
			g_hash_table_add(damaged, lines[i]);
		if (!c->json && what)
			g_print("snapshot \"%s\": %s\n", s ? s->name : lines[i], what);
		g_string_append(json, i > 0 ? ",\n{\"id\":" : "{\"id\":");
		lodge_json_string(json, lines[i]);
		g_string_append(json, ",\"name\":");
		lodge_json_string(json, s ? s->name : "");
		g_string_append(json, ",\"damage\":");
		lodge_json_string(json, what ? what : "");
		g_string_append_c(json, '}');
	}
	if (c->json)
		g_print("%s]\n", json->str);
	return g_hash_table_size(damaged);
}

static int do_verify(struct cli *c, const char *dir, GError **error)
{
	const char *name = cli_arg(c, 2);
	g_autofree char *id = name ? find_id(dir, name, error) : NULL;
	g_autofree char *out = NULL;
	g_auto(GStrv) lines = NULL;
	unsigned n;

	if (name && !id)
		return cli_code(error);
	out = kept_ask_long(c, error, (const char *const[]){ "verify", dir, id, NULL });
	if (!out)
		return cli_code(error);
	lines = g_strsplit(out, "\n", -1);
	n = show_damage(c, dir, lines);
	if (n == 0) {
		cli_say(c, "nothing is damaged");
		return 0;
	}
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_FAILED, "%u snapshot%s damaged", n,
		    n == 1 ? " is" : "s are");
	return cli_code(error);
}

/* ---- export, import ---- */

static int do_export(struct cli *c, const char *dir, GError **error)
{
	const char *name = cli_arg(c, 2), *file = cli_arg(c, 3);
	g_autofree char *id = NULL, *fd = NULL, *out = NULL;
	struct new_file f;

	id = find_id(dir, name, error);
	if (!id || !new_file_check("snapshot export", file, error) ||
	    !new_file_open(&f, file, 0600, error))
		return cli_code(error);
	fcntl(f.fd, F_SETFD, 0); /* lodge-vm writes to it */
	fd = g_strdup_printf("%d", f.fd);
	out = kept_ask_long(c, error, (const char *const[]){ "export", dir, id, fd, NULL });
	if (!out) {
		new_file_drop(&f);
		return cli_code(error);
	}
	if (!new_file_publish(&f, error))
		return cli_code(error);
	cli_say(c, "snapshot \"%s\" is in '%s'", name, file);
	return 0;
}

char *kept_import(const struct cli *c, const char *dir, const char *file, const char *name,
		  GError **error)
{
	g_autofree char *path = g_canonicalize_filename(file, NULL);

	return kept_ask_long(c, error, (const char *const[]){ "import", dir, path, name, NULL });
}

static int do_import(struct cli *c, const char *dir, GError **error)
{
	g_autofree char *id = NULL, *vm = lodge_shell_word(cli_arg(c, 1)), *word = NULL;
	g_autoptr(lodge_snapshot_owned) s = NULL;
	g_autoptr(GString) json = g_string_new("{\"name\":");

	id = kept_import(c, dir, cli_arg(c, 2), cli_arg(c, 3), error);
	s = id ? lodge_snapshot_read(dir, id, error) : NULL;
	if (!s)
		return cli_code(error);
	lodge_json_string(json, s->name);
	word = lodge_shell_word(s->name);
	if (c->json)
		g_print("%s,\"id\":\"%s\"}\n", json->str, id);
	else
		cli_say(c, "snapshot \"%s\" is there (lodge snapshot restore %s %s)", s->name, vm,
			word);
	return 0;
}

int cmd_snapshot(struct cli *c, GError **error)
{
	static const struct {
		const char *verb;
		int (*run)(struct cli *c, const char *dir, GError **error);
	} verbs[] = {
		{ "take", do_take },	 { "list", do_list },	  { "restore", do_restore },
		{ "delete", do_delete }, { "rename", do_rename }, { "protect", do_protect },
		{ "verify", do_verify }, { "export", do_export }, { "import", do_import },
		{ "tidy", do_tidy },
	};
	g_autofree char *dir = lodge_folder_find(cli_arg(c, 1), error);

	for (guint i = 0; dir && i < G_N_ELEMENTS(verbs); i++)
		if (strcmp(cli_arg(c, 0), verbs[i].verb) == 0)
			return verbs[i].run(c, dir, error);
	return cli_code(error);
}

/* ---- suspend ---- */

int cmd_suspend(struct cli *c, GError **error)
{
	for (guint i = 0; i < c->args->len; i++) {
		auto_vm struct ui_vm *vm = ui_vm_connect(cli_arg(c, i), error);
		g_autoptr(GVariant) r = NULL;
		if (vm)
			r = ui_vm_call(vm, LODGE_IFACE_VM, "Suspend", NULL, -1, error);
		if (!r || !ui_vm_wait_state(vm, "stopped", CALL_TIMEOUT_MS, error))
			return cli_code(error);
	}
	return 0;
}

/* ---- fork ---- */

bool kept_split(const char *word, char **ret_vm, char **ret_snapshot)
{
	const char *at = strrchr(word, '@');

	*ret_vm = at ? g_strndup(word, (gsize)(at - word)) : g_strdup(word);
	*ret_snapshot = at ? g_strdup(at + 1) : NULL;
	return at != NULL;
}

char *kept_fork_source(const struct cli *c, const char *word, char **ret_id, GError **error)
{
	g_autofree char *vm = NULL, *snapshot = NULL, *name = NULL;
	const bool named = kept_split(word, &vm, &snapshot);
	g_autofree char *dir = lodge_folder_find(vm, error);

	if (!dir)
		return NULL;
	if (!named)
		name = default_name(dir);
	*ret_id = named ? find_id(dir, snapshot, error) : take(dir, name, "for a fork", error);
	if (!named && *ret_id)
		cli_say(c, "snapshot \"%s\" is taken", name);
	return *ret_id ? g_steal_pointer(&dir) : NULL;
}

bool kept_restore(const char *dir, const char *id, GError **error)
{
	return offline(error, "restore", dir, id, NULL, NULL);
}

bool kept_fork(const char *dir, const char *id, const char *to, GError **error)
{
	return offline(error, "fork", dir, id, to, NULL);
}

static GPtrArray *fork_names(const char *name, bool numbered, guint64 count)
{
	GPtrArray *names = g_ptr_array_new_with_free_func(g_free);

	for (guint64 i = 1; i <= count; i++)
		g_ptr_array_add(names, numbered ? g_strdup_printf("%s-%u", name, (unsigned)i)
						: g_strdup(name));
	return names;
}

/* Before anything is made: of a VM without @ there would be a snapshot. */
static bool names_ok(GPtrArray *names, GError **error)
{
	for (guint i = 0; i < names->len; i++) {
		g_autofree char *last = g_path_get_basename(names->pdata[i]);
		g_autofree char *to = lodge_folder_path(names->pdata[i]);
		if (!lodge_folder_name_ok(last, error) || kept_exists(to, names->pdata[i], error))
			return false;
	}
	return true;
}

/* A new VM, which is added to made; starts (may be NULL): it starts, and is added there. */
static bool fork_one(struct cli *c, const char *dir, const char *id, const char *name,
		     GString *made, GPtrArray *starts, GError **error)
{
	g_autofree char *to = lodge_folder_path(name);
	struct kept_starting *s;

	if (!kept_fork(dir, id, to, error))
		return false;
	g_string_append(made, made->len > 1 ? ",\n" : "");
	kept_made_json(made, to);
	s = starts ? kept_start_begin(c, to, error) : NULL;
	if (s)
		g_ptr_array_add(starts, s);
	return s || !starts;
}

/* Waits for all, whatever becomes of one. */
static bool end_starts(GPtrArray *starts, bool good, GError **error)
{
	for (guint i = 0; starts && i < starts->len; i++)
		good &= kept_start_end(starts->pdata[i], good ? error : NULL);
	return good;
}

int cmd_fork(struct cli *c, GError **error)
{
	g_autoptr(GPtrArray) starts = cli_has(c, "--stopped") ? NULL : g_ptr_array_new();
	const char *count = cli_value(c, "--count");
	g_autofree char *id = NULL, *dir = NULL;
	g_autoptr(GString) made = g_string_new("[");
	g_autoptr(GPtrArray) names = NULL;
	bool good;
	guint64 n = 1;

	if (count && !g_ascii_string_to_unsigned(count, 10, 1, 100, &n, NULL))
		return cli_bad(error, "--count is 1 to 100, not '%s'", count);
	names = fork_names(cli_arg(c, 1), count != NULL, n);
	if (!names_ok(names, error))
		return cli_code(error);
	dir = kept_fork_source(c, cli_arg(c, 0), &id, error);
	good = dir != NULL;
	for (guint i = 0; good && i < names->len; i++)
		good = fork_one(c, dir, id, names->pdata[i], made, starts, error);
	good = end_starts(starts, good, error);
	if (c->json)
		g_print("%s]\n", made->str);
	return good ? 0 : cli_code(error);
}
