/* The page on what --json prints, and what --json prints of it; see json.h. */
#include <string.h>
#include "cli/json.h"
#include "protocol/protocol.h"

static const char promise[] =
	"With --json a command prints its result as JSON on standard output, and an error as JSON on "
	"standard error. What is here may be relied on: no key goes, or changes its type, its unit or "
	"its meaning. Keys, and words that are values, may be added: skip those that you do not know. "
	"Numbers are whole, and may need 64 bits. Commands that are not here print nothing with "
	"--json, or what they print without it.";

static const char notation[] =
	"a.b is the key b of the object a, a[] each element of the array a, and * stands for names "
	"that are data. A key with ? may be missing. A word behind number is its unit.";

static const char run_status[] =
	"The exit status is that of the error; that of run is 124 for Timeout, and 125 or 126 for "
	"Failed once the VM runs: see lodge(1).";

/* "[].name" */
static char *path_of(const struct json_part *part, const struct json_key *key)
{
	return g_strconcat(part->prefix, part->prefix[0] ? "." : "", key->key, NULL);
}

static bool is_explained(const struct json_part *part)
{
	for (const struct json_part *p = json_parts; p != part; p++)
		if (p->keys == part->keys)
			return true;
	return false;
}

/* ---- the page ---- */

static void print_part(enum page form, const struct json_part *part)
{
	if (part == json_parts || strcmp(part->command, part[-1].command) != 0)
		page_part(form, part->command);
	if (part->text)
		page_text(form, part->text);
	for (const struct json_key *k = part->keys; k->key && !is_explained(part); k++) {
		g_autofree char *path = path_of(part, k);
		page_item(form, path, k->type, k->text);
	}
}

static void print_words(enum page form, const char *title, const struct json_word *words)
{
	page_section(form, title);
	for (; words->word; words++)
		page_item(form, words->word, NULL, words->text);
}

void json_page(enum page form)
{
	page_begin(form, "lodge-json", 7, "what Lodge prints as JSON");
	page_section(form, "DESCRIPTION");
	page_text(form, promise);
	page_section(form, "NOTATION");
	page_text(form, notation);
	page_section(form, "COMMANDS");
	for (const struct json_part *p = json_parts; p->command; p++)
		print_part(form, p);
	print_words(form, "STATES", json_states);
	print_words(form, "REASONS", json_reasons);
	page_section(form, "ERRORS");
	for (int code = 1; json_errors[code]; code++) {
		g_autofree char *status = g_strdup_printf("%d", code);
		page_item(form, lodge_error_name(code), status, json_errors[code]);
	}
	page_text(form, run_status);
}

/* ---- as JSON ---- */

/* "name":"value", the first member of an object or a later one. */
static void member(GString *out, const char *name, const char *value)
{
	g_string_append_printf(out, "%s\"%s\":", out->str[out->len - 1] == '{' ? "" : ",", name);
	if (value)
		lodge_json_string(out, value);
	else
		g_string_append(out, "null");
}

static void key_json(GString *out, const struct json_part *part, const struct json_key *k)
{
	g_autofree char *path = path_of(part, k);
	g_auto(GStrv) type = g_strsplit(k->type, " ", 2);
	const bool optional = g_str_has_suffix(path, "?");

	if (optional)
		path[strlen(path) - 1] = '\0';
	g_string_append_c(out, '{');
	member(out, "command", part->command);
	member(out, "key", path);
	g_string_append_printf(out, ",\"optional\":%s", optional ? "true" : "false");
	member(out, "type", type[0]);
	member(out, "unit", type[1]);
	member(out, "meaning", k->text);
	g_string_append(out, "},\n");
}

static void word_json(GString *out, const char *word, int status, const char *text)
{
	g_string_append_c(out, '{');
	member(out, "word", word);
	if (status > 0)
		g_string_append_printf(out, ",\"status\":%d", status);
	member(out, "meaning", text);
	g_string_append(out, "},\n");
}

/* Behind the last element of an array, which has a comma: what follows. */
static void end_array(GString *out, const char *more)
{
	g_string_truncate(out, out->len - strlen(",\n"));
	g_string_append(out, more);
}

void json_self(void)
{
	g_autoptr(GString) out = g_string_new("{\"keys\":[");

	for (const struct json_part *p = json_parts; p->command; p++)
		for (const struct json_key *k = p->keys; k->key; k++)
			key_json(out, p, k);
	end_array(out, "],\n\"states\":[");
	for (const struct json_word *w = json_states; w->word; w++)
		word_json(out, w->word, 0, w->text);
	end_array(out, "],\n\"reasons\":[");
	for (const struct json_word *w = json_reasons; w->word; w++)
		word_json(out, w->word, 0, w->text);
	end_array(out, "],\n\"errors\":[");
	for (int code = 1; json_errors[code]; code++)
		word_json(out, lodge_error_name(code), code, json_errors[code]);
	end_array(out, "]}");
	g_print("%s\n", out->str);
}
