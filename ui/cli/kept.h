/* What the commands for VMs that are kept share. */
#ifndef CLI_KEPT_H
#define CLI_KEPT_H
#include "cli/cli.h"
#include "protocol/folder.h"

/* Runs lodge-vm with these words (NULL-ended) until its end; its standard output, or NULL with the
 * error that it gave. */
char *kept_ask(GError **error, const char *const *words);
/* The folder, with its lock taken: nobody runs or changes it meanwhile. */
int kept_lock(const char *dir, const char *who, GError **error);
/* For a question on a terminal; without one --yes is needed. */
bool kept_confirm(const struct cli *c, GError **error, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
/* A file that may have holes, by sharing its blocks where the file system can. */
bool kept_copy(const char *from, const char *to, GError **error);
/* Writes the value of a setting that names a file, as it is seen from the current folder, as an
 * absolute path; other settings as they are. */
char *kept_absolute(const char *setting);
/* A UUID; and a MAC address of those for local use, from it. */
char *kept_new_id(void);
/* Rows of VMs that are not running, as a{sv}: Name, State, Folder. */
GPtrArray *kept_stopped(void);
/* Waits for lodge-vm to run it, or says why not. detached: it outlives this program. */
bool kept_start(struct cli *c, const char *dir, GError **error);
/* "VM@SNAPSHOT"; false: there is no @. */
bool kept_split(const char *word, char **ret_vm, char **ret_snapshot);
/* The folder and the snapshot's ID of what is to be forked; a VM without @ gets a snapshot now. */
char *kept_fork_source(const char *word, char **ret_id, GError **error);
bool kept_fork(const char *dir, const char *id, const char *to, GError **error);
#endif
