/* Sizes, times, near misses and JSON, see protocol.h. */
#include "protocol/protocol.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The digits s starts with; *ret_rest is what follows. No sign, no space, no overflow. */
static bool parse_digits(const char *s, uint64_t *ret_v, const char **ret_rest)
{
	char *end;

	if (!g_ascii_isdigit(s[0]))
		return false;
	errno = 0;
	*ret_v = g_ascii_strtoull(s, &end, 10);
	*ret_rest = end;
	return errno == 0;
}

bool lodge_parse_size(const char *s, uint64_t *ret_bytes)
{
	static const char units[] = "KMGT";
	const char *rest, *unit;
	unsigned shift = 0;
	uint64_t v;

	if (!parse_digits(s, &v, &rest))
		return false;
	if (rest[0] != '\0') {
		unit = strchr(units, g_ascii_toupper(rest[0]));
		if (!unit || rest[1] != '\0')
			return false;
		shift = 10 * (unsigned)(unit - units + 1);
	}
	if (v > UINT64_MAX >> shift)
		return false;
	*ret_bytes = v << shift;
	return true;
}

bool lodge_parse_time(const char *s, uint64_t *ret_ms)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = { { "", 1000 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 } };
	const char *rest;
	uint64_t v;

	if (!parse_digits(s, &v, &rest))
		return false;
	for (guint i = 0; i < G_N_ELEMENTS(units); i++) {
		if (strcmp(rest, units[i].name) != 0)
			continue;
		if (v > INT32_MAX / units[i].ms)
			return false;
		*ret_ms = v * units[i].ms;
		return true;
	}
	return false;
}

char *lodge_format_size(uint64_t bytes)
{
	static const char units[] = "\0KMGT";
	unsigned i = 0;

	while (bytes != 0 && bytes % 1024 == 0 && i < 4) {
		bytes /= 1024;
		i++;
	}
	return g_strdup_printf("%" G_GUINT64_FORMAT "%.1s", bytes, units + i);
}

#define WORD_MAX 64

/* Edits that turn a into b, two neighbours that are exchanged being one (optimal string alignment);
 * of the table the last three rows. */
static unsigned distance(const char *a, const char *b)
{
	unsigned rows[3][WORD_MAX + 1], *row = rows[0];
	const size_t nb = strlen(b);

	if (nb > WORD_MAX)
		return UINT_MAX;
	for (unsigned j = 0; j <= nb; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1] != '\0'; i++) {
		const unsigned *above = row, *above2 = rows[(i + 1) % 3];
		row = rows[i % 3];
		row[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			row[j] = MIN(above[j - 1] + (a[i - 1] != b[j - 1]),
				     MIN(row[j - 1], above[j]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = MIN(row[j], above2[j - 2] + 1);
		}
	}
	return row[nb];
}

/* One is how the other begins: "mem" and "memory.size", "delete" and "del". */
static bool begins(const char *a, const char *b)
{
	const size_t n = MIN(strlen(a), strlen(b));

	return n >= 2 && strncmp(a, b, n) == 0;
}

/* More edits than a third of the word make another word of it: no help, but a riddle. */
const char *lodge_nearest(const char *s, const char *const *words)
{
	const size_t len = strlen(s);
	const char *best = NULL, *begun = NULL;
	unsigned best_dist = UINT_MAX;

	if (len > WORD_MAX)
		return NULL;
	for (guint i = 0; words[i]; i++) {
		const unsigned d = distance(s, words[i]);
		if (d < best_dist) {
			best_dist = d;
			best = words[i];
		}
		if (!begun && begins(s, words[i]))
			begun = words[i];
	}
	return best && best_dist <= (len + 1) / 3 ? best : begun;
}

char *lodge_shell_word(const char *s)
{
	bool plain = s[0] != '\0';

	for (const char *p = s; *p != '\0'; p++)
		plain &= g_ascii_isalnum(*p) || (*p & 0x80) != 0 ||
			 strchr("-_./+:@,%=", *p) != NULL;
	g_autofree char *word = plain ? g_strdup(s) : g_shell_quote(s);
	return g_strconcat(s[0] == '-' ? "-- " : "", word, NULL);
}

void lodge_json_string(GString *out, const char *s)
{
	g_autofree char *valid = g_utf8_make_valid(s, -1); /* a file's name may be any bytes */

	g_string_append_c(out, '"');
	for (const char *p = valid; *p != '\0'; p++) {
		const unsigned char c = (unsigned char)*p;
		if (c == '"' || c == '\\')
			g_string_append_printf(out, "\\%c", c);
		else if (c == '\n')
			g_string_append(out, "\\n");
		else if (c < 0x20 || c == 0x7f)
			g_string_append_printf(out, "\\u%04x", c);
		else
			g_string_append_c(out, (char)c);
	}
	g_string_append_c(out, '"');
}

static void json_container(GString *out, GVariant *v)
{
	const bool dict = g_variant_type_is_subtype_of(g_variant_get_type(v),
						       G_VARIANT_TYPE_DICTIONARY);
	const gsize n = g_variant_n_children(v);

	g_string_append_c(out, dict ? '{' : '[');
	for (gsize i = 0; i < n; i++) {
		g_autoptr(GVariant) child = g_variant_get_child_value(v, i);
		if (i > 0)
			g_string_append_c(out, ',');
		if (dict) {
			g_autoptr(GVariant) key = g_variant_get_child_value(child, 0);
			g_autoptr(GVariant) val = g_variant_get_child_value(child, 1);
			lodge_json_variant(out, key);
			g_string_append_c(out, ':');
			lodge_json_variant(out, val);
		} else {
			lodge_json_variant(out, child);
		}
	}
	g_string_append_c(out, dict ? '}' : ']');
}

void lodge_json_variant(GString *out, GVariant *v)
{
	if (g_variant_is_of_type(v, G_VARIANT_TYPE_VARIANT)) {
		g_autoptr(GVariant) inner = g_variant_get_variant(v);
		lodge_json_variant(out, inner);
	} else if (g_variant_is_container(v)) {
		json_container(out, v);
	} else if (g_variant_is_of_type(v, G_VARIANT_TYPE_STRING)) {
		lodge_json_string(out, g_variant_get_string(v, NULL));
	} else {
		g_autofree char *text = g_variant_print(v, FALSE);
		/* GVariant writes a byte as 0x2a, which JSON does not know. */
		if (g_variant_is_of_type(v, G_VARIANT_TYPE_BYTE))
			g_string_append_printf(out, "%u", g_variant_get_byte(v));
		else
			g_string_append(out, text);
	}
}

char *lodge_json_error(int code, const char *message)
{
	GString *out = g_string_new("{\"error\":{\"code\":");
	const char *hint = strrchr(message, '(');
	const size_t len = strlen(message);

	lodge_json_string(out, lodge_error_name(code));
	g_string_append(out, ",\"message\":");
	lodge_json_string(out, message);
	g_string_append(out, ",\"hint\":");
	if (hint && message[len - 1] == ')') {
		g_autofree char *text = g_strndup(hint + 1, (size_t)(message + len - hint) - 2);
		lodge_json_string(out, text);
	} else {
		g_string_append(out, "null");
	}
	g_string_append(out, "}}");
	return g_string_free(out, FALSE);
}
