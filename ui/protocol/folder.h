/*
 * A VM that is kept: a folder with vm.ini, disks, snapshots and logs. What lodge-vm and its clients
 * both need to know of it: where it is, who has it, what state it is in, its settings.
 *
 *	vm.ini disks/ snapshots/ suspended/ logs/ state seen .lock
 *
 * Every file is replaced as a whole, and on the disk before it counts. Works on file systems
 * without links and modes (FAT). Errors are of the domain LODGE_ERROR.
 */
#ifndef PROTOCOL_FOLDER_H
#define PROTOCOL_FOLDER_H
#include <gio/gio.h>
#include <stdbool.h>

#define LODGE_FOLDER_INI "vm.ini"
#define LODGE_FOLDER_FORMAT "1" /* vm.format */

/* ---- where ---- */

/* $XDG_DATA_HOME/lodge, where VMs are that are called by name alone. */
char *lodge_library(void);
/* 1 to 64 bytes of UTF-8 without / and control characters, not beginning with a dot. */
bool lodge_folder_name_ok(const char *name, GError **error);
/* Where a VM of that name or path is or would be. */
char *lodge_folder_path(const char *vm);
/* The same of one that is there. NOT_FOUND names the nearest. */
char *lodge_folder_find(const char *vm, GError **error);
/* Names in the library, sorted. */
GPtrArray *lodge_folder_names(void);

/* ---- who has it, and its state ---- */

/* A lock that ends with the descriptor (and the process): WRONG_STATE if another has it. who: what
 * it is told, such as "runs". */
int lodge_folder_lock(const char *dir, const char *who, GError **error);
/* "running" (somebody has it), "crashed" (it ran, and nobody has it), "suspended", "stopped". */
const char *lodge_folder_state(const char *dir);
/* The same for whoever has it: what it was before. */
const char *lodge_folder_own_state(const char *dir);
/* Writes what the state is when nobody has it: running or stopped. */
bool lodge_folder_mark(const char *dir, const char *state, GError **error);
/* It is on read-only media, or another's. */
bool lodge_folder_read_only(const char *dir);

/* ---- files ---- */

/* The text of a small file that anybody may have written: an ordinary one of at most 1 MiB, UTF-8,
 * without control characters but tabs and ends of lines, so that a terminal may see it. */
char *lodge_file_read(const char *path, GError **error);
/* Would that be read of a file again? Whoever writes what others say into one asks before. */
bool lodge_file_can_hold(const char *text);
/* Atomically, and on the disk when it returns. */
bool lodge_file_replace(const char *path, const char *text, gsize bytes, GError **error);
/* The contents of an open file to a new one of that mode, on the disk when it returns: its blocks
 * are shared where the file system can, holes stay. An error, also if there is one, leaves all as
 * it was. */
bool lodge_file_copy(int from, const char *to, unsigned mode, GError **error);
/* What was renamed or made in a folder is on the disk; best effort. */
void lodge_folder_sync(const char *dir);
/* With everything in it; symbolic links are not followed. Where a file that is open keeps a name
 * (NFS, FUSE), folders with nothing but such ones stay: no error. */
bool lodge_remove_tree(const char *path, GError **error);

/* ---- vm.ini ---- */

/* Group "disk.root", key "file" is the setting disk.root.file; comments are kept. */
GKeyFile *lodge_ini_load(const char *dir, GError **error);
/* Who reads the settings, changes them and writes them back holds this from the one to the other,
 * so that nothing of another's is lost; close() ends it. Waits: for a moment, nobody may ask or
 * compute under it. */
int lodge_ini_lock(const char *dir, GError **error);
bool lodge_ini_save(GKeyFile *ini, const char *dir, GError **error);
/* Without a comment behind it; NULL: not set. */
char *lodge_ini_get(GKeyFile *ini, const char *key);
/* Would the value be read as it was written? Not with blanks around it, ends of lines, what begins
 * a comment, or what no file can hold. */
bool lodge_ini_can_hold(const char *value);
/* NULL: unset. A comment behind the old value stays. */
void lodge_ini_set(GKeyFile *ini, const char *key, const char *value);
/* A UUID from the kernel's random numbers. */
char *lodge_new_id(void);
/* The VM is about to go on from an earlier time, or as a copy: another vm.generation, by which its
 * guest is told. */
void lodge_ini_new_generation(GKeyFile *ini);
/* The same in dir's vm.ini; what it is now, owned. */
char *lodge_new_generation(const char *dir, GError **error);
/* "KEY=VALUE" of all, in the file's order. */
GPtrArray *lodge_ini_settings(GKeyFile *ini);
#endif
