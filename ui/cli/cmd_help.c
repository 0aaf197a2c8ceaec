/* lodge help, completion, version and doctor. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include "cli/cli.h"
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

static int print_command(const struct cli_command *cmd)
{
	g_print("lodge %s%s%s\n  %s\n", cmd->name, cmd->args[0] ? " " : "", cmd->args, cmd->help);
	if (cmd->set != 0) {
		g_print("\n");
		print_options(cmd->set, false);
	}
	g_print("\nEvery command:\n");
	print_options(CLI_ALL, true);
	return 0;
}

static int print_all(void)
{
	g_print("lodge COMMAND ...\n\n");
	for (const struct cli_command *cmd = cli_commands; cmd->name; cmd++) {
		g_autofree char *left = g_strdup_printf("%s %s", cmd->name, cmd->args);
		g_print("  %-22s %s\n", left, cmd->help);
	}
	g_print("\nEvery command:\n");
	print_options(CLI_ALL, true);
	g_print("\nVM is a name from `lodge list` or a VM's folder. lodge help COMMAND says more;\n"
		"lodge help settings lists what --set takes.\n\n"
		"Exit codes: 0 done, 1 failed, 2 bad usage or value, 3 no such VM or file, 4 wrong\n"
		"state or in use, 5 this host cannot, 6 timeout. run, once the guest runs: 0 after\n"
		"power-off, else the byte written to the debug-exit port (at most 119); 124 timeout,\n"
		"125 Lodge failed or was told to end, 126 the guest crashed.\n");
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

int cmd_help(struct cli *c, GError **error)
{
	const char *topic = cli_arg(c, 0);
	g_autofree const char **names = cli_command_names();
	const char *near;

	if (!topic)
		return print_all();
	for (const struct cli_command *cmd = cli_commands; cmd->name; cmd++)
		if (strcmp(cmd->name, topic) == 0)
			return print_command(cmd);
	if (strcmp(topic, "settings") == 0)
		return ask_vm("--settings", NULL, error);
	if (strchr(topic, '.'))
		return ask_vm("--settings", topic, error);
	near = lodge_nearest(topic, names);
	return cli_bad(error, "there is no help on '%s'%s%s (lodge help)", topic,
		       near ? "; the nearest is " : "", near ? near : "");
}

int cmd_completion(struct cli *c, GError **error)
{
	if (strcmp(cli_arg(c, 0), "bash") != 0)
		return cli_bad(error, "there is completion for bash, not for '%s'", cli_arg(c, 0));
	g_print("_lodge()\n{\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} words=\n"
		"\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\twords='");
	for (const struct cli_command *cmd = cli_commands; cmd->name; cmd++)
		g_print("%s%s", cmd == cli_commands ? "" : " ", cmd->name);
	g_print("'\n\telif [[ $cur == -* ]]; then\n\t\tcase ${COMP_WORDS[1]} in\n");
	for (const struct cli_command *cmd = cli_commands; cmd->name; cmd++) {
		g_print("\t\t%s) words='", cmd->name);
		for (const struct cli_option *o = cli_options; o->name; o++)
			if (o->sets == CLI_ALL || (o->sets & cmd->set) != 0)
				g_print("%s ", o->name);
		g_print("';;\n");
	}
	g_print("\t\tesac\n\telse\n\t\tcase ${COMP_WORDS[1]} in\n\t\t");
	for (const struct cli_command *cmd = cli_commands, *first = NULL; cmd->name; cmd++)
		if (g_str_has_prefix(cmd->args, "VM")) {
			g_print("%s%s", first ? "|" : "", cmd->name);
			first = cmd;
		}
	g_print(") words=$(lodge list 2>/dev/null | awk 'NR > 1 { print $1 }');;\n"
		"\t\tmedia) case $COMP_CWORD in 2) words='insert eject list';;\n"
		"\t\t\t3) words=$(lodge list 2>/dev/null | awk 'NR > 1 { print $1 }');; esac;;\n"
		"\t\tesac\n\tfi\n"
		"\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
		"\t[ -n \"$words\" ] || COMPREPLY=($(compgen -f -- \"$cur\"))\n}\n"
		"complete -o filenames -F _lodge lodge\n");
	return 0;
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
