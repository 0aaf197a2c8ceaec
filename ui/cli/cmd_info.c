/* lodge list, show, stats, log: what can be seen of VMs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/json.h"
#include "cli/kept.h"
#include "client/client.h"
#include "protocol/protocol.h"

#define CALL_TIMEOUT_MS 30000

/* "UptimeNs" to "uptime-ns": JSON keys are the properties' names. */
static char *json_key(const char *property)
{
	GString *s = g_string_new(NULL);

	for (const char *p = property; *p != '\0'; p++) {
		if (g_ascii_isupper(*p) && p != property)
			g_string_append_c(s, '-');
		g_string_append_c(s, g_ascii_tolower(*p));
	}
	return g_string_free(s, FALSE);
}

/* A tuple as an object with these keys. */
static void json_record(GString *out, GVariant *row, const char *const *keys)
{
	g_string_append_c(out, '{');
	for (gsize k = 0; keys[k] && k < g_variant_n_children(row); k++) {
		g_autoptr(GVariant) cell = g_variant_get_child_value(row, k);
		g_string_append_printf(out, "%s\"%s\":", k > 0 ? "," : "", keys[k]);
		lodge_json_variant(out, cell);
	}
	g_string_append_c(out, '}');
}

static void json_records(GString *out, GVariant *rows, const char *const *keys)
{
	g_string_append_c(out, '[');
	for (gsize i = 0; i < g_variant_n_children(rows); i++) {
		g_autoptr(GVariant) row = g_variant_get_child_value(rows, i);
		g_string_append(out, i > 0 ? "," : "");
		json_record(out, row, keys);
	}
	g_string_append_c(out, ']');
}

static void json_properties(GString *out, GVariant *props)
{
	static const char *const disk_keys[] = { "name", "file", "changes", "bus", NULL };
	static const char *const port_keys[] = { "port", "output", NULL };
	static const char *const exit_keys[] = { "status", "text", NULL };
	GVariantIter it;
	const char *name;
	GVariant *v;
	bool first = true;

	g_variant_iter_init(&it, props);
	while (g_variant_iter_next(&it, "{&sv}", &name, &v)) {
		g_autofree char *key = json_key(name);
		g_string_append_printf(out, "%s\"%s\":", first ? "" : ",", key);
		first = false;
		if (strcmp(name, "Disks") == 0) {
			json_records(out, v, disk_keys);
		} else if (strcmp(name, "SerialPorts") == 0) {
			json_records(out, v, port_keys);
		} else if (strcmp(name, "ExitInfo") == 0) {
			json_record(out, v, exit_keys);
		} else {
			lodge_json_variant(out, v);
		}
		g_variant_unref(v);
	}
}

static const char *lookup_s(GVariant *dict, const char *key)
{
	const char *s = "";

	g_variant_lookup(dict, key, "&s", &s);
	return s;
}

static guint64 lookup_t(GVariant *dict, const char *key)
{
	guint64 v = 0;

	g_variant_lookup(dict, key, "t", &v);
	return v;
}

static guint32 lookup_u(GVariant *dict, const char *key)
{
	guint32 v = 0;

	g_variant_lookup(dict, key, "u", &v);
	return v;
}

static char *format_uptime(guint64 ns)
{
	const guint64 s = ns / 1000000000u;

	return g_strdup_printf("%u:%02u:%02u", (unsigned)(s / 3600), (unsigned)(s / 60 % 60),
			       (unsigned)(s % 60));
}

/* ---- list ---- */

static void print_running(GVariant *p)
{
	g_autofree char *memory = lodge_format_size(lookup_t(p, "MemoryBytes"));
	g_autofree char *uptime = format_uptime(lookup_t(p, "UptimeNs"));

	g_print(" %-7s %4u %7s %8u %9s", lookup_s(p, "Engine"), lookup_u(p, "CpuCount"), memory,
		lookup_u(p, "Pid"), uptime);
}

struct list {
	const char *want; /* state; NULL: all */
	bool as_json;
	GString *json;
	unsigned n;
};

static void list_one(struct list *l, GVariant *props)
{
	const char *name = lookup_s(props, "Name");

	if (l->want && strcmp(l->want, lookup_s(props, "State")) != 0)
		return;
	if (l->as_json) {
		g_string_append(l->json, l->n > 0 ? ",\n{" : "{");
		json_properties(l->json, props);
		g_string_append_c(l->json, '}');
	} else if (l->n == 0) {
		g_print("%-16s %-9s %-7s %4s %7s %8s %9s\n", "NAME", "STATE", "ENGINE", "CPUS",
			"MEMORY", "PID", "UPTIME");
	}
	l->n++;
	if (l->as_json)
		return;
	g_print("%s%*s %-9s", name, cli_pad(name, 16), "", lookup_s(props, "State"));
	if (lookup_u(props, "Pid") != 0)
		print_running(props);
	g_print("\n");
}

static bool is_state(const char *word, GError **error)
{
	g_autoptr(GString) all = g_string_new(NULL);

	for (const struct json_word *s = json_states; s->word; s++) {
		if (strcmp(s->word, word) == 0)
			return true;
		g_string_append_printf(all, "%s%s", all->len > 0 ? ", " : "", s->word);
	}
	cli_bad(error, "--state is one of %s, not '%s'", all->str, word);
	return false;
}

/* try-2 before try-10 */
static int by_name(gconstpointer a, gconstpointer b)
{
	return strverscmp(lookup_s(*(GVariant *const *)a, "Name"),
			  lookup_s(*(GVariant *const *)b, "Name"));
}

int cmd_list(struct cli *c, GError **error)
{
	g_autoptr(GString) json = g_string_new("[");
	struct list l = { cli_value(c, "--state"), c->json, json, 0 };
	g_autoptr(GPtrArray) names = NULL, rows = NULL;

	if (l.want && !is_state(l.want, error))
		return cli_code(error);
	names = ui_vm_names(error);
	if (!names)
		return error ? cli_code(error) : LODGE_ERROR_FAILED;
	rows = g_ptr_array_new_with_free_func((GDestroyNotify)g_variant_unref);
	for (guint i = 0; i < names->len; i++) {
		/* One that ends meanwhile is not there any more. */
		auto_vm struct ui_vm *vm = ui_vm_connect_run(names->pdata[i], NULL);
		GVariant *props = vm ? ui_vm_properties(vm, NULL) : NULL;
		if (props)
			g_ptr_array_add(rows, props);
	}
	g_ptr_array_extend_and_steal(rows, kept_others(names));
	g_ptr_array_sort(rows, by_name);
	for (guint i = 0; i < rows->len; i++)
		list_one(&l, rows->pdata[i]);
	if (c->json)
		g_print("%s]\n", json->str);
	return 0;
}

/* ---- show ---- */

/* One line a field; tables within tables with their path. */
static void print_fields(const char *path, GVariant *v)
{
	g_autoptr(GVariant) inner = NULL;
	g_autoptr(GString) text = g_string_new(NULL);
	const bool nested = g_variant_is_of_type(v, G_VARIANT_TYPE_VARDICT) ||
			    g_variant_is_of_type(v, G_VARIANT_TYPE("av"));

	for (gsize i = 0; nested && i < g_variant_n_children(v); i++) {
		g_autoptr(GVariant) child = g_variant_get_child_value(v, i);
		g_autoptr(GVariant) value = NULL;
		g_autofree char *name = NULL;
		if (g_variant_is_of_type(v, G_VARIANT_TYPE_VARDICT)) {
			const char *key;
			g_variant_get(child, "{&sv}", &key, &value);
			name = g_strdup_printf("%s%s%s", path, path[0] ? "." : "", key);
		} else {
			value = g_variant_get_variant(child);
			name = g_strdup_printf("%s[%u]", path, (unsigned)i);
		}
		print_fields(name, value);
	}
	if (nested)
		return;
	if (g_variant_is_of_type(v, G_VARIANT_TYPE_UINT64))
		g_string_printf(text, "%" G_GUINT64_FORMAT " (0x%" G_GINT64_MODIFIER "x)",
				g_variant_get_uint64(v), g_variant_get_uint64(v));
	else if (g_variant_is_of_type(v, G_VARIANT_TYPE_BYTESTRING)) {
		gsize n;
		const guint8 *bytes = g_variant_get_fixed_array(v, &n, 1);
		for (gsize i = 0; i < n; i++)
			g_string_append_printf(text, "%02x%s", bytes[i], i % 4 == 3 ? " " : "");
	} else {
		lodge_json_variant(text, v);
	}
	g_print("%-32s %s\n", path, text->str);
}

static int show_device(struct cli *c, struct ui_vm *vm, const char *id, GError **error)
{
	g_autoptr(GVariant) r = ui_vm_call(vm, LODGE_IFACE_DEVICES, "State",
					   g_variant_new("(s)", id), CALL_TIMEOUT_MS, error);
	g_autoptr(GVariant) fields = NULL;
	g_autoptr(GString) json = g_string_new(NULL);

	if (!r)
		return cli_code(error);
	fields = g_variant_get_child_value(r, 0);
	if (!c->json) {
		print_fields("", fields);
		return 0;
	}
	lodge_json_variant(json, fields);
	g_print("%s\n", json->str);
	return 0;
}

static void print_properties(GVariant *p)
{
	g_autofree char *memory = lodge_format_size(lookup_t(p, "MemoryBytes"));
	g_autofree char *uptime = format_uptime(lookup_t(p, "UptimeNs"));
	g_autoptr(GVariant) disks = g_variant_lookup_value(p, "Disks", G_VARIANT_TYPE("a(ssss)"));
	g_autoptr(GVariant)
		ports = g_variant_lookup_value(p, "SerialPorts", G_VARIANT_TYPE("a(us)"));
	const char *reason = lookup_s(p, "Reason"), *activity = lookup_s(p, "Activity");

	g_print("name      %s\n", lookup_s(p, "Name"));
	g_print("state     %s%s%s%s%s\n", lookup_s(p, "State"), reason[0] ? ", " : "", reason,
		activity[0] ? ", " : "", activity);
	g_print("engine    %s (%s)\n", lookup_s(p, "Engine"), lookup_s(p, "EngineReason"));
	g_print("machine   %s\n", lookup_s(p, "Machine"));
	g_print("cpus      %u, %s\n", lookup_u(p, "CpuCount"), lookup_s(p, "CpuModel"));
	g_print("memory    %s\n", memory);
	g_print("uptime    %s\n", uptime);
	g_print("process   %u\n", lookup_u(p, "Pid"));
	for (gsize i = 0; disks && i < g_variant_n_children(disks); i++) {
		const char *name, *file, *changes, *bus;
		g_variant_get_child(disks, i, "(&s&s&s&s)", &name, &file, &changes, &bus);
		g_print("%-9s %s (%s, %s)\n", name, file[0] ? file : "empty", bus, changes);
	}
	for (gsize i = 0; ports && i < g_variant_n_children(ports); i++) {
		const char *output;
		guint32 port;
		g_variant_get_child(ports, i, "(u&s)", &port, &output);
		g_print("serial.%u  %s\n", port, output);
	}
}

static int show_devices(struct cli *c, struct ui_vm *vm, GString *json, GError **error)
{
	static const char *const keys[] = { "id", "class", "summary", NULL };
	g_autoptr(GVariant)
		r = ui_vm_call(vm, LODGE_IFACE_DEVICES, "List", NULL, CALL_TIMEOUT_MS, error);
	g_autoptr(GVariant) list = NULL;

	if (!r)
		return cli_code(error);
	list = g_variant_get_child_value(r, 0);
	if (c->json) {
		g_string_append(json, ",\"devices\":");
		json_records(json, list, keys);
	}
	for (gsize i = 0; !c->json && i < g_variant_n_children(list); i++) {
		const char *id, *cls, *summary;
		g_variant_get_child(list, i, "(&s&s&s)", &id, &cls, &summary);
		g_print("device    %-16s %-16s %s\n", id, cls, summary);
	}
	return 0;
}

/* One that does not run: where it is, its state, its settings. */
static int show_stopped(struct cli *c, const char *dir, GError **error)
{
	g_autoptr(GKeyFile) ini = lodge_ini_load(dir, error);
	g_autoptr(GPtrArray) all = ini ? lodge_ini_settings(ini) : NULL;
	g_autofree char *name = g_path_get_basename(dir);
	g_autoptr(GString) json = g_string_new("{\"name\":");
	const char *state = lodge_folder_state(dir);

	if (!ini)
		return cli_code(error);
	lodge_json_string(json, name);
	g_string_append_printf(json, ",\"state\":\"%s\",\"folder\":", state);
	lodge_json_string(json, dir);
	g_string_append(json, ",\"settings\":");
	kept_settings_json(json, all);
	if (c->json) {
		g_print("%s}\n", json->str);
		return 0;
	}
	g_print("%-15s %s\n%-15s %s\n%-15s %s\n", "name", name, "state", state, "folder", dir);
	for (guint i = 0; i < all->len; i++) {
		const char *setting = all->pdata[i];
		const int n = (int)strcspn(setting, "=");
		g_print("%-15.*s %s\n", n, setting, setting + n + 1);
	}
	return 0;
}

int cmd_show(struct cli *c, GError **error)
{
	auto_vm struct ui_vm *vm = ui_vm_connect(cli_arg(c, 0), error);
	g_autofree char *dir = vm ? NULL : lodge_folder_find(cli_arg(c, 0), NULL);
	g_autoptr(GString) json = g_string_new("{");
	g_autoptr(GVariant) props = NULL;
	int code = 0;

	if (!vm && dir && !cli_arg(c, 1) && cli_code(error) == LODGE_ERROR_WRONG_STATE) {
		g_clear_error(error);
		return show_stopped(c, dir, error);
	}
	if (!vm)
		return cli_code(error);
	if (cli_arg(c, 1))
		return show_device(c, vm, cli_arg(c, 1), error);
	props = ui_vm_properties(vm, error);
	if (!props)
		return cli_code(error);
	json_properties(json, props);
	if (!c->json)
		print_properties(props);
	if (cli_has(c, "--devices"))
		code = show_devices(c, vm, json, error);
	if (code == 0 && c->json)
		g_print("%s}\n", json->str);
	return code;
}

/* ---- stats ---- */

static int print_stats(struct cli *c, struct ui_vm *vm, GError **error)
{
	g_autoptr(GVariant)
		r = ui_vm_call(vm, LODGE_IFACE_STATS, "Get", NULL, CALL_TIMEOUT_MS, error);
	g_autoptr(GVariant) stats = NULL;
	g_autoptr(GString) json = g_string_new(NULL);
	g_autofree char *text = NULL;

	if (!r)
		return cli_code(error);
	stats = g_variant_get_child_value(r, 0);
	if (c->json) {
		lodge_json_variant(json, stats);
		g_print("%s\n", json->str);
		return 0;
	}
	text = lodge_stats_text(stats);
	g_print("%s", text);
	return 0;
}

int cmd_stats(struct cli *c, GError **error)
{
	auto_vm struct ui_vm *vm = ui_vm_connect(cli_arg(c, 0), error);
	int code;

	if (!vm)
		return cli_code(error);
	code = print_stats(c, vm, error);
	while (code == 0 && cli_has(c, "--watch")) {
		g_usleep(G_USEC_PER_SEC);
		if (ui_vm_gone(vm))
			return 0;
		g_print("\n");
		code = print_stats(c, vm, error);
	}
	return code;
}

/* ---- log ---- */

static void print_log_line(const struct cli *c, const char *line, size_t bytes)
{
	const size_t end = line[bytes - 1] == '\n' ? 1 : 0;
	g_autofree char *text = g_utf8_make_valid(line, (gssize)(bytes - end));
	g_autoptr(GString) json = g_string_new("{\"line\":");

	lodge_json_string(json, text);
	g_string_append_c(json, '}');
	g_print("%s\n", c->json ? json->str : text);
}

/* Also lines that come, for ever; one that is not whole yet waits for its end. */
static void print_log(const struct cli *c, FILE *f)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	while ((n = getline(&line, &room, f)) > 0 || cli_has(c, "--follow")) {
		if (n > 0 && (line[n - 1] == '\n' || !cli_has(c, "--follow"))) {
			print_log_line(c, line, (size_t)n);
			continue;
		}
		fseeko(f, n > 0 ? -n : 0, SEEK_CUR);
		fflush(stdout);
		g_usleep(200000);
	}
	free(line);
}

/* The folder may be from elsewhere: a FIFO is not waited for. */
static FILE *open_log(const char *path)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fdopen(fd, "r");
	close(fd);
	errno = EINVAL;
	return NULL;
}

int cmd_log(struct cli *c, GError **error)
{
	g_autofree char *dir = lodge_folder_find(cli_arg(c, 0), error);
	g_autofree char *path = dir ? g_build_filename(dir, "logs", "vm.log", NULL) : NULL;
	FILE *f;

	if (!dir)
		return cli_code(error);
	f = open_log(path);
	if (!f && errno == ENOENT)
		return 0; /* it was never started */
	if (!f) {
		lodge_io_error(error, "open", path);
		return cli_code(error);
	}
	print_log(c, f);
	fclose(f);
	return 0;
}
