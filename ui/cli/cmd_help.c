/* lodge help, completion, version and doctor. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include "cli/cli.h"
#include "cli/json.h"
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
		g_print("  %-22s %s\n", left, cmd->help);
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
	if (help_page(c, topic))
		return 0;
	if (strcmp(topic, "settings") == 0)
		return ask_vm("--settings", NULL, error);
	if (strchr(topic, '.'))
		return ask_vm("--settings", topic, error);
	near = lodge_nearest(topic, names);
	return cli_bad(error, "there is no help on '%s'%s%s (lodge help)", topic,
		       near ? "; the nearest is " : "", near ? near : "");
}

/* ---- completion ---- */

#define VM_NAMES "lodge list 2>/dev/null | awk \"NR > 1 { print \\$1 }\""

/* Of a command with verbs, such as media and snapshot, these; else NULL. */
static char *verbs_of(const struct cli_command *cmd)
{
	g_auto(GStrv) parts = g_strsplit(cmd->args, " | ", -1);
	g_autoptr(GString) verbs = g_string_new(NULL);

	for (guint i = 0; parts[1] && parts[i]; i++)
		g_string_append_printf(verbs, "%s%.*s", i > 0 ? " " : "",
				       (int)strcspn(parts[i], " "), parts[i]);
	return verbs->len > 0 ? g_strdup(verbs->str) : NULL;
}

static bool takes_vm(const struct cli_command *cmd)
{
	return g_str_has_prefix(cmd->args, "VM");
}

static bool is_option_of(const struct cli_option *o, const struct cli_command *cmd)
{
	return o->sets == CLI_ALL || (o->sets & cmd->set) != 0;
}

static void bash_options(void)
{
	g_print("\telif [[ $cur == -* ]]; then\n\t\tcase ${COMP_WORDS[1]} in\n");
	for (const struct cli_command *cmd = cli_commands; cmd->name; cmd++) {
		g_print("\t\t%s) words='", cmd->name);
		for (const struct cli_option *o = cli_options; o->name; o++)
			if (is_option_of(o, cmd))
				g_print("%s ", o->name);
		g_print("';;\n");
	}
	g_print("\t\tesac\n");
}

static void bash_words(void)
{
	g_print("\telse\n\t\tcase ${COMP_WORDS[1]} in\n");
	for (const struct cli_command *cmd = cli_commands; cmd->name; cmd++) {
		g_autofree char *verbs = verbs_of(cmd);
		if (takes_vm(cmd))
			g_print("\t\t%s) words=$(_lodge_vms);;\n", cmd->name);
		else if (verbs)
			g_print("\t\t%s) case $COMP_CWORD in 2) words='%s';; 3) "
				"words=$(_lodge_vms);; esac;;\n",
				cmd->name, verbs);
	}
	g_print("\t\tesac\n\tfi\n");
}

static void bash_completion(void)
{
	g_print("_lodge_vms()\n{\n\t" VM_NAMES "\n}\n"
		"_lodge()\n{\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} words=\n"
		"\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\twords='");
	for (const struct cli_command *cmd = cli_commands; cmd->name; cmd++)
		g_print("%s%s", cmd == cli_commands ? "" : " ", cmd->name);
	g_print("'\n");
	bash_options();
	bash_words();
	g_print("\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
		"\t[ -n \"$words\" ] || COMPREPLY=($(compgen -f -- \"$cur\"))\n}\n"
		"complete -o filenames -F _lodge lodge\n");
}

static void fish_completion(void)
{
	g_print("function __lodge_vms\n\t" VM_NAMES "\nend\n");
	for (const struct cli_command *cmd = cli_commands; cmd->name; cmd++) {
		g_autofree char *verbs = verbs_of(cmd), *help = g_shell_quote(cmd->help);
		g_print("complete -c lodge -n __fish_use_subcommand -a %s -d %s\n", cmd->name,
			help);
		if (takes_vm(cmd) || verbs)
			g_print("complete -c lodge -f -n '__fish_seen_subcommand_from %s' -a "
				"'%s(__lodge_vms)'\n",
				cmd->name, verbs ? verbs : "");
		for (const struct cli_option *o = cli_options; o->name; o++) {
			g_autofree char *what = g_shell_quote(o->help);
			if (is_option_of(o, cmd))
				g_print("complete -c lodge -n '__fish_seen_subcommand_from %s' -l %s "
					"%s-d %s\n",
					cmd->name, o->name + 2, o->value ? "-r " : "", what);
		}
	}
}

int cmd_completion(struct cli *c, GError **error)
{
	const char *shell = cli_arg(c, 0);

	if (strcmp(shell, "fish") == 0) {
		fish_completion();
		return 0;
	}
	if (strcmp(shell, "zsh") == 0)
		g_print("autoload -U +X bashcompinit && bashcompinit\n");
	else if (strcmp(shell, "bash") != 0)
		return cli_bad(error, "there is completion for bash, zsh and fish, not for '%s'",
			       shell);
	bash_completion();
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
