/*
 * The snapshots of a VM that is kept, as they lie in its folder:
 *
 *	snapshots/ID/manifest	what it is: a GKeyFile, group "snapshot"
 *	snapshots/ID/vm.ini	the settings; nobody writes to its disks' layers any more
 *	snapshots/ID/state	the machine with its memory; none: of a VM that did not run
 *	snapshots/ID/forks	VMs that are based on it: a line "ID PATH" each
 *	snapshots/current	the ID of the one that the VM has gone on from
 *
 * A folder whose name begins with a dot is none yet, or none any more. Files are taken for hostile:
 * what is not understood is refused by name. Errors are of the domain LODGE_ERROR.
 */
#ifndef PROTOCOL_SNAPSHOTS_H
#define PROTOCOL_SNAPSHOTS_H
#include "protocol/folder.h"

#define LODGE_SNAPSHOT_FORMAT "1"

struct lodge_snapshot {
	char *id, *name, *parent, *text, *time; /* parent "": a first one; time as RFC 3339 */
	bool protected, has_state;
	bool needs_state; /* it was taken with one; older manifests do not say so */
};
typedef struct lodge_snapshot lodge_snapshot_owned; /* for g_autoptr() */

/* Of all snapshots, as their folders are called. */
GPtrArray *lodge_snapshot_ids(const char *dir);
/* One, whatever the others are like. */
struct lodge_snapshot *lodge_snapshot_read(const char *dir, const char *id, GError **error);
void lodge_snapshot_free(struct lodge_snapshot *s); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(lodge_snapshot_owned, lodge_snapshot_free)
/* All snapshots, sorted by time; elements are freed with the array. One that cannot be read is an
 * error: for who changes what they share. */
GPtrArray *lodge_snapshots(const char *dir, GError **error);
/* Those that can be read; *ret_damage, NULL before, stays so if these are all. */
GPtrArray *lodge_snapshots_readable(const char *dir, GError **ret_damage);
/* Of all snapshots: a VM that is based on one, as lodge_snapshot_fork() finds it. */
bool lodge_snapshots_fork(const char *dir, char **ret_fork, GError **error);
/* By name or ID; NULL: the latest. NOT_FOUND names the nearest. Borrowed. */
const struct lodge_snapshot *lodge_snapshot_find(GPtrArray *all, const char *name, GError **error);
/* Removes what a process that was killed had begun; by who has the VM's lock. */
void lodge_snapshots_clean(const char *dir);
/* Keeps it from removing that folder, until what is returned is closed; -1: it is gone, or another
 * holds it. */
int lodge_snapshots_hold(const char *path);
/* Writes or replaces its manifest; in: the folder of the snapshot. */
bool lodge_snapshot_write(const struct lodge_snapshot *s, const char *in, GError **error);
/* The folder, or a file in it. */
char *lodge_snapshot_path(const char *dir, const char *id, const char *file);
char *lodge_snapshot_current(const char *dir);
/* 12 hex digits, the first of them a letter. */
char *lodge_snapshot_new_id(void);
/* *ret_fork: a VM that is based on it and still there, also under another name in the library or
 * beside where it was, or on a disk that may only be unplugged; NULL: none. An error: nobody can
 * tell. Whoever then takes the snapshot or its VM away holds lodge_ini_lock(dir) from before the
 * question on, so that none comes in between.
 */
bool lodge_snapshot_fork(const char *dir, const char *id, char **ret_fork, GError **error);
/* What to do about that fork. Freed with g_free(). */
char *lodge_snapshot_advice(const char *fork);
/* The first that is noted as based on it, whether or not it is there: for who cannot look into
 * other folders, as a VM that runs. */
bool lodge_snapshot_noted_fork(const char *dir, const char *id, char **ret_fork, GError **error);
/* Those that are gone are noted no more; for who is about to have the VM that runs delete it. An
 * error if there is one. Takes lodge_ini_lock(dir). */
bool lodge_snapshot_forget_forks(const char *dir, const char *id, GError **error);
/* temp, a VM with that vm.id, gets its name, path, and is based on the snapshot; NOT_FOUND: that is
 * not in dir, an absolute path, any more. Takes lodge_ini_lock(dir). */
bool lodge_snapshot_publish_fork(const char *dir, const char *id, const char *vm_id,
				 const char *temp, const char *path, GError **error);
/* Is the VM with that vm.id noted as based on a snapshot in dir? */
bool lodge_snapshots_base(const char *dir, const char *vm_id);
/* That VM is at path now, wherever it was when it was noted. Takes lodge_ini_lock(dir). */
bool lodge_snapshots_note_place(const char *dir, const char *vm_id, const char *path,
				GError **error);
/* The VM of which that is true, in the library or beside the folder that it was in before; NULL:
 * none, or several. */
char *lodge_snapshots_find_base(const char *vm_id, const char *before);
/* The copy in dir, which is or will be at path, of a VM that is or was at from (NULL: unknown)
 * becomes a VM of its own: another vm.id and vm.generation, no vm.name, no forks; what it is based
 * on, in the library or beside one of both, stays for it, too. */
bool lodge_new_identity(const char *dir, const char *path, const char *from, GError **error);
#endif
