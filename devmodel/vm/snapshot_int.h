/* What is done alike to snapshots of a VM that runs (snapshot.c), of one that does not
 * (snapshot_offline.c), and to those that are imported. The VM's folder is the current one, and
 * locked. */
#ifndef VM_SNAPSHOT_INT_H
#define VM_SNAPSHOT_INT_H
#include <glib.h>
#include <stdbool.h>
#include "base/err.h"

struct blk;
struct vm_config;

/* One that is there is fine. */
int snapshot_make_dir(const char *path, struct err *e) HV_MUST_CHECK;
/* May a new snapshot be called so? */
int snapshot_check_name(const char *name, struct err *e) HV_MUST_CHECK;
/* These settings have that image, in qcow2, as the disk of that name. */
void snapshot_set_disk(GKeyFile *ini, const char *name, const char *file);
/* A folder with everything but the state: settings and manifest. *ret_temp: its path, owned. */
int snapshot_begin(const char *id, const char *name, const char *text, bool with_state,
		   char **ret_temp, struct err *e) HV_MUST_CHECK;
/* temp: its folder, with everything in it. It is a snapshot from here on. */
int snapshot_publish(const char *temp, const char *id, struct err *e) HV_MUST_CHECK;
/* The same, and the VM goes on from it. */
int snapshot_publish_current(const char *temp, const char *id, struct err *e) HV_MUST_CHECK;
int snapshot_set_current(const char *id, struct err *e) HV_MUST_CHECK;
/* Of a VM that does not run; its layers stay. */
int snapshot_delete_stopped(const char *id, struct err *e) HV_MUST_CHECK;

/* New layers of that ID over all disks; b: of a VM that runs, else NULL. */
int snapshot_create_layers(const struct vm_config *c, struct blk *const *b, const char *id,
			   struct err *e) HV_MUST_CHECK;
/* Those of them that no disk has gone on in. */
void snapshot_remove_layers(const struct vm_config *c, const char *id);
/* vm.ini names them. */
int snapshot_point_to(const struct vm_config *c, const char *id, struct err *e) HV_MUST_CHECK;
#endif
