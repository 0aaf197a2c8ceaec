/* lodge help, version and doctor. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/kept.h"
#include "client/client.h"
#include "protocol/protocol.h"

static void print_options(unsigned sets, bool exact)
{
	for (const struct cli_option *o = cli_options; o->name; o++) {
		g_autofree char *left = NULL;
		if (exact ? o->sets != sets : (o->sets & sets) == 0)
			continue;
		left = g_strdup_printf("%s%s%s", o->name, o->value ? " " : "",
				       o->value ? o->value : "");
		g_print("  %-22s %s\n", left, o->help);
	}
}

static void print_verbs(const struct cli_command *cmd)
{
	const struct cli_verb *v = cli_verb(cmd->name, NULL);

	for (g_print(v ? "\n" : ""); v && v->noun && strcmp(v->noun, cmd->name) == 0; v++) {
		g_autofree char *left = g_strdup_printf("%s %s", v->name, v->args);
		g_print("  %-24s %s\n", left, v->help);
	}
}

static int print_command(const struct cli_command *cmd)
{
	g_print("lodge %s%s%s\n  %s\n", cmd->name, cmd->args[0] ? " " : "", cmd->args, cmd->help);
	print_verbs(cmd);
	if (cmd->set != 0) {
		g_print("\n");
		print_options(cmd->set, false);
	}
	g_print("\nEvery command:\n");
	print_options(CLI_ALL, true);
	return 0;
}

static const char exit_codes[] =
	"0 done, 1 failed, 2 bad usage or value, 3 no such VM or file, 4 wrong\n"
	"state or in use, 5 this host cannot, 6 timeout. run, once the guest runs: 0 after\n"
	"power-off, else the byte written to the debug-exit port (at most 119); 124 timeout,\n"
	"125 Lodge failed or was told to end, 126 the guest crashed.\n";

static int print_all(void)
{
	g_print("lodge COMMAND ...\n\n");
	for (const struct cli_command *cmd = cli_commands; cmd->name; cmd++) {
		g_autofree char *left = g_strdup_printf("%s %s", cmd->name, cmd->args);
		const bool more = cli_verb(cmd->name, NULL) != NULL;
		g_print("  %-22s %s%s%s%s\n", left, cmd->help, more ? " (lodge help " : "",
			more ? cmd->name : "", more ? ")" : "");
	}
	g_print("\nEvery command:\n");
	print_options(CLI_ALL, true);
	g_print("\nVM is a name from `lodge list` or a VM's folder. lodge help COMMAND says more;\n"
		"lodge help settings lists what --set takes, lodge help json what --json prints.\n\n"
		"Exit codes: %s",
		exit_codes);
	return 0;
}

/* Runs lodge-vm for what only it knows; its output is ours. */
static int ask_vm(const char *option, const char *arg, GError **error)
{
	g_autofree char *program = ui_find_program("lodge-vm", error);
	const char *argv[] = { program, option, arg, NULL };
	int status;

	if (!program)
		return cli_code(error);
	fflush(stdout);
	if (!g_spawn_sync(NULL, (char **)(void *)argv, NULL, G_SPAWN_CHILD_INHERITS_STDIN, NULL,
			  NULL, NULL, NULL, &status, error)) {
		(*error)->domain = LODGE_ERROR;
		(*error)->code = LODGE_ERROR_HOST_LIMIT;
		return LODGE_ERROR_HOST_LIMIT;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : LODGE_ERROR_FAILED;
}

static void man_options(unsigned sets, bool exact)
{
	for (const struct cli_option *o = cli_options; o->name; o++)
		if (exact ? o->sets == sets : o->sets != CLI_ALL && (o->sets & sets) != 0)
			page_item(PAGE_MAN, o->name, o->value, o->help);
}

/* The manual page lodge(1), from the tables; `ninja` makes it. */
static void print_man(void)
{
	page_begin(PAGE_MAN, "lodge", 1, "virtual machines for developers");
	page_section(PAGE_MAN, "SYNOPSIS");
	g_print(".B lodge\n.I COMMAND\n[\\fIOPTION\\fR...] [\\fIARGUMENT\\fR...]\n");
	page_section(PAGE_MAN, "COMMANDS");
	for (const struct cli_command *cmd = cli_commands; cmd->name; cmd++) {
		g_autofree char *title = g_strdup_printf("%s %s", cmd->name, cmd->args);
		page_part(PAGE_MAN, title);
		page_text(PAGE_MAN, cmd->help);
		for (const struct cli_verb *v = cli_verb(cmd->name, NULL);
		     v && v->noun && strcmp(v->noun, cmd->name) == 0; v++)
			page_item(PAGE_MAN, v->name, v->args, v->help);
		man_options(cmd->set, false);
	}
	page_section(PAGE_MAN, "OPTIONS OF EVERY COMMAND");
	man_options(CLI_ALL, true);
	page_section(PAGE_MAN, "EXIT STATUS");
	page_text(PAGE_MAN, exit_codes);
	page_section(PAGE_MAN, "SEE ALSO");
	page_text(PAGE_MAN, "lodge-disk(1), lodge-json(7)");
}

/* Topics that are no command and no setting. */
static bool help_page(const struct cli *c, const char *topic)
{
	const bool man = strcmp(topic, "json-man-page") == 0;

	if (strcmp(topic, "man-page") == 0)
		print_man();
	else if (strcmp(topic, "json") == 0 && c->json)
		json_self();
	else if (man || strcmp(topic, "json") == 0)
		json_page(man ? PAGE_MAN : PAGE_TEXT);
	else
		return false;
	return true;
}

/* As lodge-disk has it, of one of its verbs or of all. */
static int disk_help(const char *verb, GError **error)
{
	char help[] = "--help", *argv[] = { verb ? (char *)(uintptr_t)verb : help, help };

	return cmd_disk(verb ? 2 : 1, argv, error);
}

int cmd_help(struct cli *c, GError **error)
{
	const char *topic = cli_arg(c, 0);
	g_autofree const char **names = cli_command_names();
	const struct cli_command *cmd = topic ? cli_command(topic) : NULL;
	g_autofree char *group = NULL;
	const char *near;

	if (!topic)
		return print_all();
	if (cmd && strcmp(topic, "disk") == 0)
		return disk_help(cli_arg(c, 1), error);
	if (cmd)
		return print_command(cmd);
	if (help_page(c, topic))
		return 0;
	if (strcmp(topic, "settings") == 0)
		return ask_vm("--settings", NULL, error);
	if (strchr(topic, '.'))
		return ask_vm("--settings", topic, error);
	group = kept_ask(NULL, "lodge-vm", (const char *const[]){ "--settings", topic, NULL });
	if (group) {
		g_print("%s", group);
		return 0;
	}
	near = lodge_nearest(topic, names);
	return cli_bad(error, "there is no help on '%s'%s%s (lodge help)", topic,
		       near ? "; the nearest is " : "", near ? near : "");
}

int cmd_version(struct cli *c, GError **error)
{
	(void)error;
	g_print(c->json ? "{\"version\":\"%s\"}\n" : "lodge %s\n", LODGE_VERSION);
	return 0;
}

int cmd_doctor(struct cli *c, GError **error)
{
	return ask_vm(c->json ? "--probe-json" : "--probe", NULL, error);
}
