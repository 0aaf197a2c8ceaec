/* The command line's parser, driven by the tables; see cli.h. */
#include <stdarg.h>
#include <string.h>
#include <unistd.h>
#include "cli/cli.h"
#include "protocol/protocol.h"

int cli_bad(GError **error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (error)
		*error = g_error_new_valist(LODGE_ERROR, LODGE_ERROR_BAD_ARGUMENT, fmt, ap);
	va_end(ap);
	return LODGE_ERROR_BAD_ARGUMENT;
}

int cli_code(GError **error)
{
	return (*error)->domain == LODGE_ERROR ? (*error)->code : LODGE_ERROR_FAILED;
}

const char **cli_command_names(void)
{
	GPtrArray *names = g_ptr_array_new();

	for (const struct cli_command *cmd = cli_commands; cmd->name; cmd++)
		g_ptr_array_add(names, (gpointer)(uintptr_t)cmd->name);
	g_ptr_array_add(names, NULL);
	return (const char **)(void *)g_ptr_array_free(names, FALSE);
}

bool cli_has(const struct cli *c, const char *option)
{
	return g_hash_table_contains(c->given, option);
}

const char *cli_value(const struct cli *c, const char *option)
{
	return g_hash_table_lookup(c->given, option);
}

const char *cli_arg(const struct cli *c, unsigned i)
{
	return i < c->args->len ? c->args->pdata[i] : NULL;
}

const struct cli_command *cli_command(const char *name)
{
	for (const struct cli_command *cmd = cli_commands; cmd->name; cmd++)
		if (strcmp(cmd->name, name) == 0)
			return cmd;
	return NULL;
}

const struct cli_verb *cli_verb(const char *noun, const char *name)
{
	for (const struct cli_verb *v = cli_verbs; v->noun; v++)
		if (strcmp(v->noun, noun) == 0 && (!name || strcmp(v->name, name) == 0))
			return v;
	return NULL;
}

static bool belongs(const struct cli_option *o, const struct cli_command *cmd)
{
	return o->sets == CLI_ALL || (o->sets & cmd->set) != 0;
}

static bool bad_option(const struct cli *c, const char *word, GError **error)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new();
	const char *near;

	for (const struct cli_option *o = cli_options; o->name; o++)
		if (belongs(o, c->command))
			g_ptr_array_add(names, (gpointer)(uintptr_t)o->name);
	g_ptr_array_add(names, NULL);
	near = lodge_nearest(word, (const char *const *)(void *)names->pdata);
	cli_bad(error, "%s has no option '%s'%s%s (lodge help %s)", c->command->name, word,
		near ? "; the nearest is " : "", near ? near : "", c->command->name);
	return false;
}

const struct cli_option *cli_option(const struct cli_command *cmd, const char *word, size_t len)
{
	if (len == 2 && word[0] == '-') {
		if (word[1] == 'q')
			word = "--quiet";
		else if (word[1] == 'v')
			word = "--verbose";
		else if (word[1] == 'h')
			word = "--help";
		else if (word[1] == 'm')
			word = "--message";
		else if (word[1] == 'f')
			word = "--follow";
		len = strlen(word);
	}
	for (const struct cli_option *o = cli_options; o->name; o++)
		if (strlen(o->name) == len && strncmp(o->name, word, len) == 0 && belongs(o, cmd))
			return o;
	return NULL;
}

static bool store(struct cli *c, const struct cli_option *o, const char *value, GError **error)
{
	g_autofree char *key = NULL;

	g_hash_table_insert(c->given, (gpointer)(uintptr_t)o->name, (gpointer)(uintptr_t)value);
	c->json |= strcmp(o->name, "--json") == 0;
	if (strcmp(o->name, "--timeout") == 0 &&
	    (!lodge_parse_time(value, &c->timeout_ms) || c->timeout_ms == 0)) {
		cli_bad(error, "--timeout is a time such as 30s or 5m, not '%s'", value);
		return false;
	}
	if (strcmp(o->name, "--screenshot") == 0)
		g_ptr_array_add(c->screenshots, (gpointer)(uintptr_t)value);
	if (!o->key)
		return true;
	if (o->key[0] == '\0')
		key = g_strdup(value);
	else if (!o->value)
		key = g_strdup(o->key);
	else if (strcmp(o->name, "--disk") == 0)
		key = g_strdup_printf("disk.%u.file=%s", c->n_disks++, value);
	else if (strcmp(o->name, "--iso") == 0)
		key = g_strdup_printf("cdrom.%u.file=%s", c->n_isos++, value);
	else if (strcmp(o->name, "--floppy") == 0)
		key = g_strdup_printf("floppy.%u.file=%s", c->n_floppies++, value);
	else
		key = g_strdup_printf("%s=%s", o->key, value);
	g_ptr_array_add(c->settings, g_steal_pointer(&key));
	return true;
}

/* --name, --name VALUE or --name=VALUE at argv[*i], which moves over what it takes. */
static bool take_option(struct cli *c, int argc, char **argv, int *i, GError **error)
{
	const char *word = argv[*i], *eq = strchr(word, '=');
	const size_t len = eq ? (size_t)(eq - word) : strlen(word);
	const struct cli_option *o = cli_option(c->command, word, len);
	g_autofree char *name = g_strndup(word, len);

	if (!o)
		return bad_option(c, name, error);
	if (!o->value && eq) {
		cli_bad(error, "%s takes no value", o->name);
		return false;
	}
	if (!o->value)
		return store(c, o, "", error);
	if (eq)
		return store(c, o, eq + 1, error);
	if (*i + 1 >= argc) {
		cli_bad(error, "%s wants a value: %s %s", o->name, o->name, o->value);
		return false;
	}
	return store(c, o, argv[++*i], error);
}

static bool check_count(const struct cli *c, int min, int max, const char *verb, const char *args,
			GError **error)
{
	const char *name = c->command->name;
	const int n = (int)c->args->len;

	if (n >= min && n <= max)
		return true;
	cli_bad(error, "%s%s%s: %s (usage: lodge %s%s%s%s%s)", name, verb[0] ? " " : "", verb,
		n < min ? "something is missing" : "too many arguments", name, verb[0] ? " " : "",
		verb, args[0] ? " " : "", args);
	return false;
}

static bool no_verb(const struct cli *c, GError **error)
{
	const char *name = c->command->name, *near;
	g_autoptr(GPtrArray) names = g_ptr_array_new();

	for (const struct cli_verb *v = cli_verbs; v->noun; v++)
		if (strcmp(v->noun, name) == 0)
			g_ptr_array_add(names, (gpointer)(uintptr_t)v->name);
	g_ptr_array_add(names, NULL);
	near = lodge_nearest(cli_arg(c, 0), (const char *const *)(void *)names->pdata);
	cli_bad(error, "%s has no '%.32s'%s%s (lodge help %s)", name, cli_arg(c, 0),
		near ? "; the nearest is " : "", near ? near : "", name);
	return false;
}

static bool check_args(const struct cli *c, GError **error)
{
	const struct cli_command *cmd = c->command;
	const bool verbs = cli_verb(cmd->name, NULL) != NULL;
	const struct cli_verb *v = verbs && cli_arg(c, 0) ? cli_verb(cmd->name, cli_arg(c, 0))
							  : NULL;

	if (v)
		return check_count(c, v->min_args, v->max_args, v->name, v->args, error);
	if (verbs && cli_arg(c, 0))
		return no_verb(c, error);
	return check_count(c, cmd->min_args, cmd->max_args, "", cmd->args, error);
}

bool cli_parse(struct cli *c, int argc, char **argv, GError **error)
{
	bool options = true;

	c->args = g_ptr_array_new();
	c->screenshots = g_ptr_array_new();
	c->settings = g_ptr_array_new_with_free_func(g_free);
	c->given = g_hash_table_new(g_str_hash, g_str_equal);
	for (int i = 0; i < argc; i++) {
		if (!g_utf8_validate(argv[i], -1, NULL)) {
			cli_bad(error, "an argument is not valid UTF-8");
			return false;
		}
		if (options && strcmp(argv[i], "--") == 0)
			options = false;
		else if (!options || argv[i][0] != '-' || argv[i][1] == '\0')
			g_ptr_array_add(c->args, argv[i]);
		else if (!take_option(c, argc, argv, &i, error))
			return false;
	}
	c->quiet = cli_has(c, "--quiet");
	c->verbose = cli_has(c, "--verbose");
	return cli_has(c, "--help") || check_args(c, error);
}

void cli_finish(struct cli *c)
{
	if (!c->args)
		return;
	g_ptr_array_unref(c->args);
	g_ptr_array_unref(c->screenshots);
	g_ptr_array_unref(c->settings);
	g_hash_table_unref(c->given);
}

int cli_pad(const char *s, int width)
{
	return MAX(width - (int)g_utf8_strlen(s, -1), 0);
}

void cli_own_session(gpointer data)
{
	(void)data;
	setsid();
}

void cli_say(const struct cli *c, const char *fmt, ...)
{
	g_autofree char *text = NULL;
	va_list ap;

	if (c->quiet)
		return;
	va_start(ap, fmt);
	text = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	g_printerr("lodge: %s\n", text);
}
