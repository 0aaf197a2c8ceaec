/* Statistics as text, see protocol.h. */
#include "protocol/protocol.h"
#include <string.h>

#define FALLBACKS_SHOWN 20

/* Parts of something: shown with their share of it. */
static const struct {
	const char *key, *whole;
} parts[] = {
	{ "translated", "instructions" },     { "interpreted", "instructions" },
	{ "untranslatable", "instructions" }, { "stepped", "instructions" },
	{ "fallbacks", "instructions" },      { "slow-accesses", "instructions" },
	{ "halted-ns", "elapsed-ns" },
};

static guint64 number(GVariant *stats, const char *key)
{
	guint64 v = 0;

	g_variant_lookup(stats, key, "t", &v);
	return v;
}

static double percent(guint64 part, guint64 whole)
{
	return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

/* Time is that of one CPU; of several in the mean. */
static guint64 whole_of(GVariant *stats, const char *key)
{
	g_autoptr(GVariant) cpus = g_variant_lookup_value(stats, "vcpus", G_VARIANT_TYPE("aa{sv}"));
	guint64 v = number(stats, key);

	if (g_str_has_suffix(key, "-ns") && cpus)
		v *= MAX(g_variant_n_children(cpus), 1);
	return v;
}

static void add_number(GString *out, GVariant *stats, const char *key, guint64 v)
{
	g_autofree char *name = g_strdup(key), *text = NULL;

	if (g_str_has_suffix(key, "-ns"))
		text = g_strdup_printf("%.3f s", (double)v / 1e9);
	else if (g_str_has_suffix(key, "-bytes"))
		text = g_strdup_printf("%.1f MiB", (double)v / (1 << 20));
	else
		text = g_strdup_printf("%" G_GUINT64_FORMAT, v);
	if (strchr(text, ' ')) /* with its unit, so the name goes without */
		*strrchr(name, '-') = '\0';
	g_string_append_printf(out, "%-22s %18s", name, text);
	for (gsize i = 0; i < G_N_ELEMENTS(parts); i++)
		if (strcmp(parts[i].key, key) == 0)
			g_string_append_printf(out, " %8.3f %%",
					       percent(v, whole_of(stats, parts[i].whole)));
	g_string_append_c(out, '\n');
}

static void add_table(GString *out, const char *key, GVariant *rows, guint64 whole)
{
	const gsize n = g_variant_n_children(rows);

	if (n > 0)
		g_string_append_printf(out, "%s\n", key);
	for (gsize i = 0; i < n && i < FALLBACKS_SHOWN; i++) {
		const char *name;
		guint64 v;

		g_variant_get_child(rows, i, "{&st}", &name, &v);
		g_string_append_printf(out, "  %-20s %18" G_GUINT64_FORMAT " %8.3f %%\n", name, v,
				       percent(v, whole));
	}
	if (n > FALLBACKS_SHOWN)
		g_string_append_printf(out, "  and %u more\n", (unsigned)(n - FALLBACKS_SHOWN));
}

char *lodge_stats_text(GVariant *stats)
{
	GString *out = g_string_new(NULL);
	GVariantIter it;
	const char *key;
	GVariant *v;

	g_variant_iter_init(&it, stats);
	while (g_variant_iter_next(&it, "{&sv}", &key, &v)) {
		if (g_variant_is_of_type(v, G_VARIANT_TYPE_UINT64))
			add_number(out, stats, key, g_variant_get_uint64(v));
		else if (g_variant_is_of_type(v, G_VARIANT_TYPE_STRING))
			g_string_append_printf(out, "%-22s %18s\n", key,
					       g_variant_get_string(v, NULL));
		else if (g_variant_is_of_type(v, G_VARIANT_TYPE("a{st}")))
			add_table(out, key, v, number(stats, "fallbacks"));
		g_variant_unref(v);
	}
	return g_string_free(out, FALSE);
}
