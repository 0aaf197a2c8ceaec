/* lodge keys, type: what is pressed on a running VM's keyboard. */
#include <errno.h>
#include <linux/input-event-codes.h>
#include <string.h>
#include <unistd.h>
#include "cli/cli.h"
#include "client/client.h"
#include "protocol/protocol.h"

#define CALL_TIMEOUT_MS 10000
#define BETWEEN_KEYS_US 10000
#define PATIENCE_MS 5000 /* with a guest that does not read its keyboard, without --timeout */
#define TEXT_MAX (1 << 20)
#define CHORD_MAX 8

static const struct {
	const char *name;
	unsigned code;
} names[] = {
	{ "ctrl", KEY_LEFTCTRL },
	{ "rctrl", KEY_RIGHTCTRL },
	{ "alt", KEY_LEFTALT },
	{ "altgr", KEY_RIGHTALT },
	{ "shift", KEY_LEFTSHIFT },
	{ "rshift", KEY_RIGHTSHIFT },
	{ "super", KEY_LEFTMETA },
	{ "menu", KEY_COMPOSE },
	{ "esc", KEY_ESC },
	{ "tab", KEY_TAB },
	{ "enter", KEY_ENTER },
	{ "space", KEY_SPACE },
	{ "backspace", KEY_BACKSPACE },
	{ "del", KEY_DELETE },
	{ "ins", KEY_INSERT },
	{ "home", KEY_HOME },
	{ "end", KEY_END },
	{ "pgup", KEY_PAGEUP },
	{ "pgdn", KEY_PAGEDOWN },
	{ "up", KEY_UP },
	{ "down", KEY_DOWN },
	{ "left", KEY_LEFT },
	{ "right", KEY_RIGHT },
	{ "capslock", KEY_CAPSLOCK },
	{ "numlock", KEY_NUMLOCK },
	{ "scrolllock", KEY_SCROLLLOCK },
	{ "print", KEY_SYSRQ },
	{ "pause", KEY_PAUSE },
	{ "minus", KEY_MINUS },
	{ "f1", KEY_F1 },
	{ "f2", KEY_F2 },
	{ "f3", KEY_F3 },
	{ "f4", KEY_F4 },
	{ "f5", KEY_F5 },
	{ "f6", KEY_F6 },
	{ "f7", KEY_F7 },
	{ "f8", KEY_F8 },
	{ "f9", KEY_F9 },
	{ "f10", KEY_F10 },
	{ "f11", KEY_F11 },
	{ "f12", KEY_F12 },
};

/* A US keyboard's rows as they lie, from the code of their first key; with Shift below. */
static const struct {
	unsigned first;
	const char *plain, *shifted;
} rows[] = {
	{ KEY_1, "1234567890-=", "!@#$%^&*()_+" },
	{ KEY_Q, "qwertyuiop[]", "QWERTYUIOP{}" },
	{ KEY_A, "asdfghjkl;'`", "ASDFGHJKL:\"~" },
	{ KEY_BACKSLASH, "\\zxcvbnm,./", "|ZXCVBNM<>?" },
	{ KEY_SPACE, " ", "" },
	{ KEY_ENTER, "\n", "" },
	{ KEY_TAB, "\t", "" },
};

static bool key_of_char(char ch, unsigned *ret_code, bool *ret_shift)
{
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		const char *plain = strchr(rows[i].plain, ch),
			   *shifted = strchr(rows[i].shifted, ch);
		if (ch == '\0' || (!plain && !shifted))
			continue;
		*ret_shift = !plain;
		*ret_code = rows[i].first +
			    (unsigned)(plain ? plain - rows[i].plain : shifted - rows[i].shifted);
		return true;
	}
	return false;
}

static bool key_of_name(const char *name, unsigned *ret_code, GError **error)
{
	const char *known[G_N_ELEMENTS(names) + 1] = { NULL };
	const char *near;
	bool shift;

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		known[i] = names[i].name;
		if (strcmp(names[i].name, name) == 0) {
			*ret_code = names[i].code;
			return true;
		}
	}
	if (name[0] != '\0' && name[1] == '\0' && key_of_char(name[0], ret_code, &shift) && !shift)
		return true;
	near = lodge_nearest(name, known);
	cli_bad(error, "there is no key '%.32s'%s%s", name, near ? "; the nearest is " : "",
		near ? near : "");
	return false;
}

/* Sends one change, again and again while the keyboard has no room. */
static bool send_key(struct cli *c, struct ui_vm *vm, unsigned code, bool down, GError **error)
{
	const uint64_t patience_ms = c->timeout_ms ? c->timeout_ms : PATIENCE_MS;
	const gint64 end = g_get_monotonic_time() + (gint64)patience_ms * 1000;
	gboolean taken = FALSE;

	while (!taken) {
		g_autoptr(GVariant)
			r = ui_vm_call(vm, LODGE_IFACE_INPUT, "Key",
				       g_variant_new("(ub)", code, down), CALL_TIMEOUT_MS, error);
		if (!r)
			return false;
		g_variant_get(r, "(b)", &taken);
		if (!taken && g_get_monotonic_time() > end) {
			g_set_error(error, LODGE_ERROR, LODGE_ERROR_TIMEOUT,
				    "the guest of VM \"%s\" does not read its keyboard",
				    ui_vm_name(vm));
			return false;
		}
		if (!taken || !down)
			g_usleep(BETWEEN_KEYS_US);
	}
	return true;
}

/* All down in their order, then all up. What went down comes up, whatever happens. */
static bool press(struct cli *c, struct ui_vm *vm, const unsigned *codes, unsigned n,
		  GError **error)
{
	bool good = true;
	unsigned down = 0;

	while (good && down < n) {
		good = send_key(c, vm, codes[down], true, error);
		down += good;
	}
	while (down-- > 0)
		if (!send_key(c, vm, codes[down], false, good ? error : NULL))
			good = false;
	return good;
}

/* Names with - between them; a - alone is that key. */
static bool parse_chord(const char *text, unsigned *ret_codes, unsigned *ret_n, GError **error)
{
	g_auto(GStrv)
		parts = g_strsplit(strcmp(text, "-") == 0 ? "minus" : text, "-", CHORD_MAX + 1);
	const unsigned n = g_strv_length(parts);

	if (n == 0 || n > CHORD_MAX) {
		cli_bad(error, "1 to %d keys are pressed together, not those of '%.64s'", CHORD_MAX,
			text);
		return false;
	}
	for (unsigned i = 0; i < n; i++)
		if (!key_of_name(parts[i], &ret_codes[i], error))
			return false;
	*ret_n = n;
	return true;
}

int cmd_keys(struct cli *c, GError **error)
{
	unsigned codes[CHORD_MAX], n;
	auto_vm struct ui_vm *vm = NULL;

	for (unsigned i = 1; i < c->args->len; i++) /* all or nothing */
		if (!parse_chord(cli_arg(c, i), codes, &n, error))
			return cli_code(error);
	vm = ui_vm_connect(cli_arg(c, 0), error);
	for (unsigned i = 1; vm && i < c->args->len; i++)
		if (!parse_chord(cli_arg(c, i), codes, &n, error) || !press(c, vm, codes, n, error))
			return cli_code(error);
	return vm ? 0 : cli_code(error);
}

/* The text's keys must all be there before the first is pressed. */
static bool check_text(const char *text, GError **error)
{
	unsigned code;
	bool shift;

	for (const char *p = text; *p != '\0'; p++)
		if (!key_of_char(*p, &code, &shift)) {
			cli_bad(error, "character %ld is not on a US keyboard",
				(long)(g_utf8_pointer_to_offset(text, p) + 1));
			return false;
		}
	return true;
}

static char *read_text(GError **error)
{
	g_autoptr(GString) s = g_string_new(NULL);
	char buf[4096];
	ssize_t n;

	while ((n = read(STDIN_FILENO, buf, sizeof(buf))) > 0) {
		g_string_append_len(s, buf, n);
		if (s->len > TEXT_MAX || memchr(buf, '\0', (size_t)n)) {
			cli_bad(error, "standard input is not a text of at most 1 MiB");
			return NULL;
		}
	}
	if (n < 0) {
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_FAILED,
			    "cannot read standard input: %s", g_strerror(errno));
		return NULL;
	}
	return g_string_free(g_steal_pointer(&s), FALSE);
}

int cmd_type(struct cli *c, GError **error)
{
	const bool from_stdin = strcmp(cli_arg(c, 1), "-") == 0;
	g_autofree char *text = from_stdin ? read_text(error) : g_strdup(cli_arg(c, 1));
	auto_vm struct ui_vm *vm = NULL;

	if (!text || !check_text(text, error))
		return cli_code(error);
	vm = ui_vm_connect(cli_arg(c, 0), error);
	if (!vm)
		return cli_code(error);
	for (const char *p = text; *p != '\0'; p++) {
		unsigned code[2] = { KEY_LEFTSHIFT };
		bool shift;
		key_of_char(*p, &code[1], &shift);
		if (!press(c, vm, shift ? code : code + 1, shift ? 2 : 1, error))
			return cli_code(error);
	}
	return 0;
}
