/* Pages of help, see page.h. */
#include "cli/page.h"
#include <gio/gio.h>
#include <string.h>

/* Text of ours for troff: no line begins a request, and a hyphen is one. */
static char *troff(const char *text)
{
	GString *s = g_string_new(NULL);

	for (const char *p = text; *p != '\0'; p++) {
		if ((*p == '.' || *p == '\'') && (p == text || p[-1] == '\n'))
			g_string_append(s, "\\&");
		if (*p == '\\')
			g_string_append(s, "\\e");
		else if (*p == '-')
			g_string_append(s, "\\-");
		else
			g_string_append_c(s, *p);
	}
	return g_string_free(s, FALSE);
}

#define WIDTH 80

/* A paragraph in lines. */
static void wrapped(const char *text)
{
	g_auto(GStrv) words = g_strsplit_set(text, " \n", -1);
	size_t at = 0;

	for (guint i = 0; words[i]; i++) {
		const size_t n = strlen(words[i]);
		if (at > 0 && at + 1 + n > WIDTH) {
			g_print("\n");
			at = 0;
		}
		g_print("%s%s", at > 0 ? " " : "", words[i]);
		at += n + (at > 0);
	}
	g_print("\n");
}

void page_begin(enum page form, const char *name, unsigned section, const char *about)
{
	g_autofree char *title = g_ascii_strup(name, -1), *safe = troff(name), *what = troff(about);

	if (form == PAGE_TEXT)
		g_print("%s(%u): %s\n", name, section, about);
	else
		g_print(".TH %s %u \"\" \"Lodge %s\"\n.SH NAME\n%s \\- %s\n", title, section,
			LODGE_VERSION, safe, what);
}

void page_section(enum page form, const char *title)
{
	g_print(form == PAGE_MAN ? ".SH %s\n" : "\n%s\n", title);
}

void page_part(enum page form, const char *title)
{
	g_autofree char *safe = troff(title);

	if (form == PAGE_MAN)
		g_print(".SS %s\n", safe);
	else
		g_print("\n%s\n", title);
}

void page_text(enum page form, const char *text)
{
	g_autofree char *safe = troff(text);

	if (form == PAGE_MAN)
		g_print(".PP\n%s\n", safe);
	else
		wrapped(text);
}

void page_item(enum page form, const char *name, const char *value, const char *text)
{
	g_autofree char *safe = troff(name), *safe_value = troff(value ? value : ""),
			*what = troff(text);

	if (form == PAGE_MAN)
		g_print(".TP\n\\fB%s\\fR%s\\fI%s\\fR\n%s\n", safe, value ? " " : "", safe_value,
			what);
	else
		g_print("  %-27s %-13s %s\n", name, value ? value : "", text);
}
