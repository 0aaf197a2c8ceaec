/* The texts of panels, see dialogs.h. */
#include "sdl/dialogs.h"
#include <glib.h>
#include <string.h>

#define LINE_CHARS 56

static void add_item(struct panel_content *c, const char *label, const char *hint, int action)
{
	c->item[c->n_items++] = (struct panel_item){ label, hint, action };
}

void dialog_close(struct panel *p, const char *vm, bool owned, bool running)
{
	g_autofree char *title = g_strdup_printf("Close the window of \"%s\"?", vm);
	struct panel_content c = { .title = title, .escape = ACTION_CANCEL };

	add_item(&c, "Keep running",
		 owned ? "without a window, in the terminal" : "without a window", ACTION_LEAVE);
	if (running)
		add_item(&c, "Shut down", "press its power button", ACTION_POWER_BUTTON);
	if (owned)
		c.selected = c.n_items;
	add_item(&c, "Turn off", "pull the plug; unsaved work is lost", ACTION_PLUG);
	add_item(&c, "Cancel", "Esc", ACTION_CANCEL);
	panel_open(p, &c);
}

void dialog_reset(struct panel *p, const char *vm)
{
	g_autofree char *title = g_strdup_printf("Reset \"%s\"?", vm);
	struct panel_content c = { .title = title, .escape = ACTION_CANCEL, .selected = 1 };

	add_item(&c, "Reset", "unsaved work is lost", ACTION_RESET);
	add_item(&c, "Cancel", "Esc", ACTION_CANCEL);
	panel_open(p, &c);
}

void dialog_help(struct panel *p, const char *host_key)
{
	static const char *const rows[][2] = {
		{ "F", "full screen, and back" },
		{ "S", "scaling: fit, whole factors, smooth" },
		{ "Del", "press Ctrl-Alt-Del in the guest" },
		{ "P", "pause, or go on" },
		{ "R", "reset the guest" },
		{ "H", "this help" },
		{ "Q", "close the window" },
	};
	g_autofree char *title = g_strdup_printf("Keys, together with %s", host_key);
	g_autofree char *alone = g_strdup_printf("%s alone", host_key);
	struct panel_content c = { .title = title, .escape = ACTION_CANCEL };

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
		c.line[c.n_lines++] = (struct panel_line){ rows[i][0], rows[i][1] };
	c.line[c.n_lines++] = (struct panel_line){ alone, "frees pointer and keyboard" };
	c.line[c.n_lines++] = (struct panel_line){ "Click", "gives the guest the pointer" };
	add_item(&c, "Close", "Esc", ACTION_CANCEL);
	panel_open(p, &c);
}

/* The text in lines of some LINE_CHARS, at blanks. */
static GPtrArray *wrap(const char *text)
{
	g_auto(GStrv) words = g_strsplit_set(text, " \n", -1);
	GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GString) line = g_string_new(NULL);

	for (unsigned i = 0; words[i]; i++) {
		if (line->len > 0 &&
		    g_utf8_strlen(line->str, -1) + g_utf8_strlen(words[i], -1) >= LINE_CHARS) {
			g_ptr_array_add(lines, g_strdup(line->str));
			g_string_truncate(line, 0);
		}
		g_string_append_printf(line, "%s%s", line->len > 0 ? " " : "", words[i]);
	}
	if (line->len > 0)
		g_ptr_array_add(lines, g_strdup(line->str));
	return lines;
}

void dialog_note(struct panel *p, const char *title, const char *text)
{
	g_autoptr(GPtrArray) lines = wrap(text ? text : "");
	struct panel_content c = { .title = title };

	for (unsigned i = 0; i < lines->len && i < PANEL_MAX_LINES; i++)
		c.line[c.n_lines++] = (struct panel_line){ lines->pdata[i], NULL };
	panel_open(p, &c);
}
