/*
 * A snapshot as one file that travels (docs/formats/exported-snapshot.md), and back. The VM's
 * folder is the current one. Both show how far they are on progress_fd (-1: nowhere) and block.
 */
#ifndef VM_EXPORT_H
#define VM_EXPORT_H
#include <stdbool.h>
#include "base/err.h"

/* Writes the snapshot of that ID into fd, an empty file: settings, state, and what its disks read
 * as. The VM may run. Other files that the settings name are not in it. */
int snapshot_export(const char *id, int fd, int progress_fd, struct err *e) HV_MUST_CHECK;

/*
 * Makes a snapshot of that file, which is hostile; without a parent, and with disks of its own.
 * name: NULL: as it was called. with_paths: also the settings that name files of the host (a
 * hostile file may have the VM read and write any); without it they are named on standard error and
 * left out. Prints the ID. The VM may run. Killed at any moment, it leaves a VM as it was; the rest
 * goes with the next command that takes the folder's lock.
 */
int snapshot_import(const char *file, const char *name, bool with_paths, int progress_fd,
		    struct err *e) HV_MUST_CHECK;
#endif
