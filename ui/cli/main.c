/* lodge: the command line, see cli.h. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "cli/cli.h"
#include "client/client.h"
#include "protocol/folder.h"
#include "protocol/protocol.h"

static const struct cli_command *find_command(const char *name, GError **error)
{
	const struct cli_command *cmd = cli_command(name);
	g_autofree const char **names = cmd ? NULL : cli_command_names();
	const char *near;

	if (cmd)
		return cmd;
	near = lodge_nearest(name, names);
	cli_bad(error, "there is no command '%s'%s%s (lodge help)", name,
		near ? "; the nearest is " : "", near ? near : "");
	return NULL;
}

/* Without a command: what runs, and what to type next. */
static int bare(void)
{
	g_autoptr(GPtrArray) names = ui_vm_names(NULL), kept = lodge_folder_names();

	if ((names && names->len > 0) || kept->len > 0) {
		struct cli c = { 0 };
		c.command = find_command("list", NULL);
		if (cli_parse(&c, 0, NULL, NULL))
			cmd_list(&c, NULL);
		cli_finish(&c);
		g_print("\nlodge start VM     run it\n"
			"lodge stop VM      press its power button\n"
			"lodge help         all commands\n");
	} else {
		g_print("lodge run FILE          a CD, disk or floppy image, or a kernel\n"
			"lodge create NAME --iso FILE --disk-size 20G\n"
			"                        make a VM that is kept\n"
			"lodge doctor            what this host can run\n"
			"lodge help              all commands\n");
	}
	return 0;
}

static int run_command(struct cli *c, int argc, char **argv, GError **error)
{
	const char *name = argv[1];

	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	else if (strcmp(name, "--version") == 0)
		name = "version";
	if (strcmp(name, "disk") == 0)
		return cmd_disk(argc - 2, argv + 2, error);
	c->command = find_command(name, error);
	if (!c->command || !cli_parse(c, argc - 2, argv + 2, error))
		return LODGE_ERROR_BAD_ARGUMENT;
	if (cli_has(c, "--help")) {
		g_ptr_array_set_size(c->args, 0);
		g_ptr_array_add(c->args, (gpointer)(uintptr_t)c->command->name);
		return cmd_help(c, error);
	}
	return c->command->run(c, error);
}

/* What a VM has told may hold what a terminal obeys; no word of ours does. */
static void write_text(FILE *f, const char *text)
{
	for (const char *p = text; *p != '\0'; p++)
		fputc(g_ascii_iscntrl(*p) && !strchr("\n\r\t", *p) ? '?' : *p, f);
	fflush(f);
}

static void print_out(const char *text)
{
	write_text(stdout, text);
}

static void print_err(const char *text)
{
	write_text(stderr, text);
}

/* Errors are told as the user wants them, wherever that option stands: also behind what is wrong.
 */
static bool wants_json(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--json") == 0)
			return true;
	return false;
}

static void complain(GError *error, bool as_json)
{
	g_autofree char *json = lodge_json_error(cli_code(&error), error->message);

	g_printerr("%s%s\n", as_json ? "" : "lodge: ", as_json ? json : error->message);
}

int main(int argc, char **argv)
{
	g_autoptr(GError) error = NULL;
	struct cli c = { 0 };
	int code;

	setlocale(LC_ALL, "");
	signal(SIGPIPE, SIG_IGN);
	g_set_print_handler(print_out);
	g_set_printerr_handler(print_err);
	if (argc < 2)
		return bare();
	code = run_command(&c, argc, argv, &error);
	if (error)
		complain(error, c.json || wants_json(argc, argv));
	cli_finish(&c);
	/* A result that did not arrive is no result. */
	if (fflush(stdout) != 0 && code == 0)
		code = LODGE_ERROR_FAILED;
	return code;
}
