/*
 * The layers of a kept VM's disks: qcow2 images in disks/ of its folder, each based on the one
 * below. The top one is in vm.ini and is written to; those below belong to snapshots and are not
 * written any more. Paths are relative to the VM's folder, which is the current one.
 */
#ifndef VM_LAYERS_H
#define VM_LAYERS_H
#include <glib.h>
#include "vm/config.h"

struct blk;

/* Does the disk keep its changes, so that a snapshot has to have it? */
bool layer_wanted(const struct vm_disk_config *d);
/* "disks/NAME-ID.qcow2"; freed with g_free(). */
char *layer_name(const struct vm_disk_config *d, const char *id);
/* The disk's image with all that it is based on, to be read. */
int layer_open(const struct vm_disk_config *d, struct blk **ret_blk, struct err *e) HV_MUST_CHECK;
/* What the image takes of the host's disk: without its holes. 0: it cannot be looked at. */
uint64_t layer_disk_bytes(const char *path);
/* As many more as a VM may have are not there: -ENOSPC. */
int layers_check_room(struct err *e) HV_MUST_CHECK;
/* An empty one at path over the disk's image; bytes 0: looks how long that is. in: the folder that
 * path is in, seen from here (for a new VM elsewhere; "" is this one). */
int layer_create(const char *in, const char *path, const struct vm_disk_config *d, uint64_t bytes,
		 struct err *e) HV_MUST_CHECK;
/* Removes the layers that neither vm.ini nor a snapshot needs: those without one above go, those
 * with one are merged with it. May be killed at any moment. The VM does not run. */
int layers_tidy(struct err *e) HV_MUST_CHECK;
/* "disks/..." of an image that is named in a VM's settings, if it is there. Freed with g_free(). */
char *layer_own_name(const char *file);
/* "disks/..." of what an image in disks/ is based on, by the name that it has for it; NULL if that
 * is not there. */
char *layer_below(const char *backing_file);

/* A layer that nothing needs, and the only one above it. */
struct layer_pair {
	char *below, *above;
};

/*
 * Which layers layers_tidy() would merge; the VM may run. open: images that are open and cannot be
 * looked at, "disks/..." to what they are based on ("": nothing there). An array of struct
 * layer_pair, freed with g_ptr_array_unref(), or NULL.
 */
GPtrArray *layers_spare(GHashTable *open, struct err *e);
#endif
