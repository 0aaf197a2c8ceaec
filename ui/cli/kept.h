/* What the commands for VMs that are kept share. */
#ifndef CLI_KEPT_H
#define CLI_KEPT_H
#include "cli/cli.h"
#include "protocol/folder.h"

/* Runs that program of Lodge with these words (NULL-ended) until its end; its standard output, or
 * NULL with the error that it gave. */
char *kept_ask(GError **error, const char *program, const char *const *words);
/* The same of lodge-vm --snapshot WORD...: what takes long, and shows how far it is on a terminal.
 * Descriptors that are not closed on exec are its, too. */
char *kept_ask_long(const struct cli *c, GError **error, const char *const *words);
/* For a question on a terminal; without one --yes is needed. */
bool kept_confirm(const struct cli *c, GError **error, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
/* lodge_file_copy() of a file by name; who cannot read it cannot read the copy. */
bool kept_copy(const char *from, const char *to, GError **error);
/* Writes the value of a setting that names a file, as it is seen from the current folder, as an
 * absolute path; other settings as they are. */
char *kept_absolute(const char *setting);
/* Of such a setting: is the file there, if it names one that is to be read? */
bool kept_file_there(const char *setting, GError **error);
/* Rows of VMs of the library that do not run, or not as one of these (names of ui_vm_names()), as
 * a{sv}: Name, State, Folder. */
GPtrArray *kept_others(GPtrArray *runs);
/* Is the place of a new VM of that name taken? Then an error is set. */
bool kept_exists(const char *dir, const char *name, GError **error);
/* Is another VM based on a snapshot of it, which is needed where it is? Then an error is set. */
bool kept_has_fork(const char *dir, GError **error);
/* "key":"value" of each setting, as an object. */
void kept_settings_json(GString *json, GPtrArray *settings);
/* An object with name and folder of a VM that was made. */
void kept_made_json(GString *json, const char *dir);
/* Waits for lodge-vm to run it, which outlives this program, or says why not. */
bool kept_start(struct cli *c, const char *dir, GError **error);
/* The same in two steps, for several at once. begin: each that it returns, NULL with an error,
 * wants an end, which frees it. */
struct kept_starting;
struct kept_starting *kept_start_begin(struct cli *c, const char *dir, GError **error);
bool kept_start_end(struct kept_starting *s, GError **error);
/* "VM@SNAPSHOT"; false: there is no @. */
bool kept_split(const char *word, char **ret_vm, char **ret_snapshot);
/* A new snapshot of an exported one; its ID. name: NULL: as that was called. */
char *kept_import(const struct cli *c, const char *dir, const char *file, const char *name,
		  GError **error);
bool kept_restore(const char *dir, const char *id, GError **error);
/* The folder and the snapshot's ID of what is to be forked; a VM without @ gets a snapshot now. */
char *kept_fork_source(const struct cli *c, const char *word, char **ret_id, GError **error);
bool kept_fork(const char *dir, const char *id, const char *to, GError **error);
#endif
