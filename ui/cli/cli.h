/*
 * The program lodge: one table of commands and one of options drive the parser, the help and the
 * completion. Results go to standard output, talk to standard error; the exit code is that of the
 * error (protocol.h).
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H
#include <gio/gio.h>
#include <stdbool.h>
#include <stdint.h>

/* Which commands an option belongs to. */
enum cli_set {
	CLI_ALL = 1 << 0,
	CLI_RUN = 1 << 1,
	CLI_LIST = 1 << 2,
	CLI_SHOW = 1 << 3,
	CLI_STOP = 1 << 4,
	CLI_SAVE = 1 << 5,
	CLI_STATS = 1 << 6,
	CLI_SERIAL = 1 << 7,
	CLI_SCREENSHOT = 1 << 8,
	CLI_CONSOLE = 1 << 9,
	CLI_MEDIA = 1 << 10,
	CLI_CREATE = 1 << 11,
	CLI_START = 1 << 12,
	CLI_LOG = 1 << 13,
	CLI_SNAPSHOT = 1 << 14,
	CLI_FORK = 1 << 15,
};

struct cli_option {
	const char *name;  /* "--cpus" */
	const char *value; /* what its value is called; NULL: it has none */
	const char *key;   /* the setting it stands for; NULL: the command asks cli_has() */
	unsigned sets;	   /* enum cli_set */
	const char *help;
};

struct cli {
	const struct cli_command *command;
	GPtrArray *args;	/* of char *, borrowed from argv */
	GPtrArray *screenshots; /* of char *, borrowed: what --screenshot was given, each time */
	GPtrArray *settings;	/* of "KEY=VALUE", owned: from --set and from options with a key */
	GHashTable *given;	/* option name to its last value, "" without one; all borrowed */
	unsigned n_disks, n_isos, n_floppies; /* --disk, --iso, --floppy so far */
	bool json, quiet, verbose;
	uint64_t timeout_ms; /* 0: none given */
};

struct cli_command {
	const char *name, *args; /* "VM FILE" as in the help */
	int min_args, max_args;
	unsigned set; /* the command's own options */
	const char *help;
	/* Returns the exit code; error is set, printed by the caller, where it is not 0 by itself.
	 */
	int (*run)(struct cli *c, GError **error);
};

/* What a command does that has several: lodge snapshot take. */
struct cli_verb {
	const char *noun, *name, *args; /* the command's name, its own, "VM FILE" as in the help */
	int min_args, max_args;		/* with the verb */
	const char *help;
};

extern const struct cli_command cli_commands[]; /* ends with a NULL name */
extern const struct cli_verb cli_verbs[];	/* same */
extern const struct cli_option cli_options[];	/* same */

/* Fills c (zeroed) from the arguments after the command's name. */
bool cli_parse(struct cli *c, int argc, char **argv, GError **error);
void cli_finish(struct cli *c);
bool cli_has(const struct cli *c, const char *option);
const char *cli_value(const struct cli *c, const char *option); /* NULL: not given */
const char *cli_arg(const struct cli *c, unsigned i);		/* NULL past the last */
/* "NAME" of all commands, NULL-ended; freed with g_free(). */
const char **cli_command_names(void);
const struct cli_command *cli_command(const char *name);	     /* NULL: there is none */
const struct cli_verb *cli_verb(const char *noun, const char *name); /* same; name NULL: any */
/* The command's option that this word of len bytes is, also a short one; NULL: none. */
const struct cli_option *cli_option(const struct cli_command *cmd, const char *word, size_t len);
/* Sets a usage error and returns its code. */
int cli_bad(GError **error, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* The code of an error that was set. */
int cli_code(GError **error);
/* Blanks that fill a column of width characters behind s, for "%s%*s". */
int cli_pad(const char *s, int width);
/* For g_spawn: the child outlives the terminal. */
void cli_own_session(gpointer data);
/* A line of talk; nothing under -q. */
void cli_say(const struct cli *c, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* One per command. */
int cmd_run(struct cli *c, GError **error);
int cmd_create(struct cli *c, GError **error);
int cmd_start(struct cli *c, GError **error);
int cmd_delete(struct cli *c, GError **error);
int cmd_rename(struct cli *c, GError **error);
int cmd_clone(struct cli *c, GError **error);
int cmd_get(struct cli *c, GError **error);
int cmd_set(struct cli *c, GError **error);
int cmd_edit(struct cli *c, GError **error);
int cmd_check(struct cli *c, GError **error);
int cmd_log(struct cli *c, GError **error);
int cmd_snapshot(struct cli *c, GError **error);
int cmd_suspend(struct cli *c, GError **error);
int cmd_fork(struct cli *c, GError **error);
int cmd_save(struct cli *c, GError **error);
int cmd_list(struct cli *c, GError **error);
int cmd_show(struct cli *c, GError **error);
int cmd_stats(struct cli *c, GError **error);
int cmd_call(struct cli *c, GError **error); /* pause resume reset kill */
int cmd_stop(struct cli *c, GError **error);
int cmd_wait(struct cli *c, GError **error);
int cmd_serial(struct cli *c, GError **error);
int cmd_console(struct cli *c, GError **error);
int cmd_media(struct cli *c, GError **error);
/* Becomes lodge-disk, which has options of its own. */
int cmd_disk(int argc, char **argv, GError **error);
int cmd_disk_help(struct cli *c, GError **error); /* for the table of commands */
int cmd_keys(struct cli *c, GError **error);
int cmd_type(struct cli *c, GError **error);
int cmd_screenshot(struct cli *c, GError **error);
int cmd_doctor(struct cli *c, GError **error);
int cmd_help(struct cli *c, GError **error);
int cmd_completion(struct cli *c, GError **error);
int cmd_version(struct cli *c, GError **error);
#endif
