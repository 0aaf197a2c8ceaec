/*
 * Snapshots, suspending and forking of a VM that is kept, in its folder (ui/protocol/snapshots.h).
 * A snapshot counts from the moment at which its folder gets its name; until then, and after, the
 * VM is whole whatever happens. The VM's folder is the current one. Loop thread.
 */
#ifndef VM_SNAPSHOT_H
#define VM_SNAPSHOT_H
#include "vm/config.h"

struct vm;

/* ---- of the VM that this process runs ---- */

/* The end of what was begun: 0 and the snapshot's ID, or -errno and why. */
typedef void snapshot_done(void *ctx, int result, const char *id, const char *why);

/* The guest stands still for registers, devices and new disk layers; memory is written while it
 * goes on. done is not called on an error. */
int snapshot_take(struct vm *vm, const char *name, const char *text, snapshot_done *done, void *ctx,
		  struct err *e) HV_MUST_CHECK;
/* Its layers are merged when the VM is stopped, by the next of the commands below. */
int snapshot_delete(struct vm *vm, const char *id, struct err *e) HV_MUST_CHECK;
/* For vm_snapshot(): the disks, and vm.ini, go on in the layers of that ID, or all is as it was.
 * The machine is paused. */
int snapshot_switch(struct vm *vm, const char *id, struct err *e) HV_MUST_CHECK;
/* The VM ends once its state is kept; `start` goes on from there. */
int snapshot_suspend(struct vm *vm, snapshot_done *done, void *ctx, struct err *e) HV_MUST_CHECK;

/* ---- of one that does not run: lodge-vm --snapshot [OPTION...] VERB DIR WORD... ---- */

/*
 * take NAME TEXT: of the disks alone; prints the ID. restore ID. delete ID: what is based on it is
 * based on its parent then. tidy. import FILE [NAME]: export.h. All these lock the VM's folder; to
 * a running VM may be done: fork ID DIR: a new VM there that goes on from it. export ID FD:
 * export.h. verify [ID]: verify.h. Options: --progress-fd=N: where to show how far it is;
 * --with-paths.
 */
int snapshot_offline(int argc, char **argv, struct err *e) HV_MUST_CHECK;
#endif
