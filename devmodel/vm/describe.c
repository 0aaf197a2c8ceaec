/* The schema as JSON: all settings and the options of all device classes, see config.h. */
#include <glib.h>
#include "devmodel/dev.h"
#include "protocol/protocol.h"
#include "vm/config_int.h"

static const char *const type_names[] = {
	[SETTING_NUMBER] = "number",   [SETTING_NUMBER64] = "number",	[SETTING_SIZE] = "size",
	[SETTING_BOOL] = "bool",       [SETTING_CHOICE] = "choice",	[SETTING_TEXT] = "text",
	[SETTING_FILE_IN] = "file-in", [SETTING_FILE_OUT] = "file-out", [SETTING_STREAM] = "stream",
	[SETTING_SOCKET] = "socket",
};

static void member(GString *out, const char *name, const char *value)
{
	g_string_append_printf(out, ",\"%s\":", name);
	if (value)
		lodge_json_string(out, value);
	else
		g_string_append(out, "null");
}

static void setting_json(GString *out, const struct setting *s)
{
	g_string_append(out, "{\"key\":");
	lodge_json_string(out, s->key);
	member(out, "type", type_names[s->type]);
	if (s->max != 0)
		g_string_append_printf(out,
				       ",\"min\":%" G_GUINT64_FORMAT ",\"max\":%" G_GUINT64_FORMAT,
				       s->min, s->max);
	if (s->choices) {
		g_string_append(out, ",\"choices\":[");
		for (unsigned i = 0; s->choices[i]; i++) {
			g_string_append(out, i > 0 ? "," : "");
			lodge_json_string(out, s->choices[i]);
		}
		g_string_append_c(out, ']');
	}
	member(out, "default", s->def);
	member(out, "help", s->help);
	g_string_append_c(out, '}');
}

static void device_json(GString *out, const struct dev_class *c)
{
	static const char *const types[] = { [OPT_T_U32] = "number",
					     [OPT_T_U64] = "number",
					     [OPT_T_BOOL] = "bool",
					     [OPT_T_STR] = "text" };

	g_string_append(out, "{\"name\":");
	lodge_json_string(out, c->name);
	member(out, "summary", c->summary);
	g_string_append(out, ",\"options\":[");
	for (const struct opt *o = c->opts; o && o->name; o++) {
		g_string_append(out, o == c->opts ? "{\"name\":" : ",{\"name\":");
		lodge_json_string(out, o->name);
		member(out, "type", types[o->type]);
		g_string_append_printf(out,
				       ",\"min\":%" G_GUINT64_FORMAT ",\"max\":%" G_GUINT64_FORMAT,
				       o->min, o->max);
		member(out, "default", o->def);
		member(out, "help", o->help);
		g_string_append_c(out, '}');
	}
	g_string_append(out, "]}");
}

char *vm_config_describe(void)
{
	GString *out = g_string_new("{\"settings\":[");

	for (const struct setting *s = vm_settings; s->key; s++) {
		g_string_append(out, s == vm_settings ? "\n" : ",\n");
		setting_json(out, s);
	}
	g_string_append(out, "\n],\"devices\":[");
	for (unsigned i = 0; dm_classes[i]; i++) {
		g_string_append(out, i == 0 ? "\n" : ",\n");
		device_json(out, dm_classes[i]);
	}
	g_string_append(out, "\n]}\n");
	return g_string_free(out, FALSE);
}
