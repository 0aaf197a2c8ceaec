/*
 * What Lodge saw of a VM's folder when it had it last, in the file "seen" there: where the folder
 * lay, and its disks with their times of change, unless the VM runs or has crashed. So it is
 * noticed when others have copied or moved the folder, or changed a disk.
 *
 *	folder DEVICE INODE PATH
 *	file BYTES NANOSECONDS PATH
 *
 * Written by who has the folder's lock; on media that cannot be written to there is none. The file
 * is taken for hostile: a line that is not understood is none.
 */
#ifndef PROTOCOL_SEEN_H
#define PROTOCOL_SEEN_H
#include <gio/gio.h>
#include <stdbool.h>

enum lodge_place {
	LODGE_PLACE_NEW, /* nothing is known */
	LODGE_PLACE_SAME,
	LODGE_PLACE_MOVED,  /* it was renamed, also to another folder of its file system */
	LODGE_PLACE_COPIED, /* where it was there is still a VM with its vm.id */
	LODGE_PLACE_OTHER,  /* moved from elsewhere, or copied from there */
};

/* *ret_before: where it was, owned; NULL: nothing is known, or it is still there. */
enum lodge_place lodge_seen_place(const char *dir, char **ret_before);
/* Its place is path from here on, where dir, if it is another one, is about to be renamed to. */
bool lodge_seen_here(const char *dir, const char *path, GError **error);

/* The disks that were changed since, as "'a', 'b'"; NULL: none. A file system that rounds times
 * when it is mounted again (FAT) changes nothing. */
char *lodge_seen_changed(const char *dir);
/* The disks are as they shall be found again: those in disks/ and those that vm.ini names. */
bool lodge_seen_disks(const char *dir, GError **error);
/* They are about to be written to; also where there is no room for a file. */
void lodge_seen_no_disks(const char *dir);
#endif
