/* lodge screenshot: what a running VM's screen shows, as a picture or as text. */
#include <stdio.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/newfile.h"
#include "cli/screen.h"
#include "protocol/protocol.h"

#define CALL_TIMEOUT_MS 10000

/* ---- text ---- */

static void add_lines(GString *out, GVariant *lines)
{
	const char *line;
	GVariantIter it;

	g_variant_iter_init(&it, lines);
	while (g_variant_iter_next(&it, "&s", &line)) {
		for (const char *p = line; *p != '\0'; p++)
			g_string_append_c(out, g_ascii_iscntrl(*p) ? '?' : *p);
		g_string_append_c(out, '\n');
	}
}

static void add_json(GString *out, GVariant *lines, guint32 columns, gint32 column, gint32 line)
{
	g_string_append(out, "{\"lines\":");
	lodge_json_variant(out, lines);
	g_string_append_printf(out, ",\"columns\":%u,\"cursor\":", columns);
	if (column < 0)
		g_string_append(out, "null");
	else
		g_string_append_printf(out, "{\"column\":%d,\"line\":%d}", column, line);
	g_string_append(out, "}\n");
}

static bool save_text(const struct cli *c, struct ui_vm *vm, const char *path, GError **error)
{
	g_autoptr(GVariant)
		r = ui_vm_call(vm, LODGE_IFACE_DISPLAY, "Text", g_variant_new("(u)", 0),
			       c->timeout_ms ? (int)c->timeout_ms : CALL_TIMEOUT_MS, error);
	g_autoptr(GVariant) lines = NULL;
	g_autoptr(GString) out = g_string_new(NULL);
	guint32 columns;
	gint32 column, line;

	if (!r)
		return false;
	if (!g_variant_is_of_type(r, G_VARIANT_TYPE("(asu(ii))"))) {
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_FAILED, "the VM's answer is none");
		return false;
	}
	g_variant_get(r, "(@asu(ii))", &lines, &columns, &column, &line);
	if (c->json)
		add_json(out, lines, columns, column, line);
	else
		add_lines(out, lines);
	return new_file_write(path, out->str, out->len, error);
}

/* ---- picture ---- */

/* NAME-DATE-TIME.png in the current folder, with a number if that is taken. */
static char *default_name(const char *vm)
{
	g_autofree char *base = g_path_get_basename(vm);
	g_autoptr(GDateTime) now = g_date_time_new_now_local();
	g_autofree char *time = g_date_time_format(now, "%Y%m%d-%H%M%S");
	char *path = g_strdup_printf("%s-%s.png", base, time);

	for (unsigned i = 2; g_file_test(path, G_FILE_TEST_EXISTS | G_FILE_TEST_IS_SYMLINK); i++) {
		g_free(path);
		path = g_strdup_printf("%s-%s-%u.png", base, time, i);
	}
	return path;
}

static bool save_picture(const struct cli *c, struct ui_vm *vm, const char *path, GError **error)
{
	const bool to_stdout = path && strcmp(path, "-") == 0;
	g_autofree char *name = path ? g_strdup(path) : default_name(cli_arg(c, 0));
	g_autoptr(GString) json = g_string_new(NULL);

	if (!screen_save(vm, name, c->timeout_ms, json, error))
		return false;
	if (c->json && !to_stdout)
		g_print("%s\n", json->str);
	else if (!path)
		g_print("%s\n", name);
	return true;
}

int cmd_screenshot(struct cli *c, GError **error)
{
	const char *path = cli_arg(c, 1);
	const bool text = cli_has(c, "--text"), to_stdout = path && strcmp(path, "-") == 0;
	auto_vm struct ui_vm *vm = NULL;
	bool good;

	if (path && !to_stdout && !new_file_check("screenshot", path, error))
		return cli_code(error);
	vm = ui_vm_connect(cli_arg(c, 0), error);
	if (!vm)
		return cli_code(error);
	if (text)
		good = save_text(c, vm, path ? path : "-", error);
	else
		good = save_picture(c, vm, path, error);
	return good ? 0 : cli_code(error);
}
