/* What snapshots that are taken and those that are imported share. The VM's folder is the current
 * one, and locked. */
#ifndef VM_SNAPSHOT_INT_H
#define VM_SNAPSHOT_INT_H
#include <glib.h>
#include "base/err.h"

/* One that is there is fine. */
int snapshot_make_dir(const char *path, struct err *e) HV_MUST_CHECK;
/* May a new snapshot be called so? */
int snapshot_check_name(const char *name, struct err *e) HV_MUST_CHECK;
/* These settings have that image, in qcow2, as the disk of that name. */
void snapshot_set_disk(GKeyFile *ini, const char *name, const char *file);
/* temp: its folder, with everything in it. It is a snapshot from here on. */
int snapshot_publish(const char *temp, const char *id, struct err *e) HV_MUST_CHECK;
#endif
