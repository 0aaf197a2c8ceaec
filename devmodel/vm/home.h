/*
 * The folder of a VM that is kept (ui/protocol/folder.h), from the side of the process that runs
 * it: its lock, its settings, its state. A zeroed one is of a VM without a folder. Loop thread.
 */
#ifndef VM_HOME_H
#define VM_HOME_H
#include <glib.h>
#include <stdbool.h>
#include "vm/config.h"

/* In the folder: a state to go on from, or the name of a snapshot's. */
#define VM_HOME_SUSPENDED "suspended"
#define VM_HOME_SUSPENDED_NEW VM_HOME_SUSPENDED "/state.new" /* not whole yet */
#define VM_HOME_SUSPENDED_STATE VM_HOME_SUSPENDED "/state"
#define VM_HOME_SUSPENDED_FROM "from"

/* What ui/protocol reports, as an error of ours; returns its code. */
int vm_home_error(struct err *e, const GError *error);

struct vm_home {
	char *dir;	/* owned, absolute; NULL: no folder */
	char *before;	/* owned: what the state was; NULL: not begun */
	bool read_only; /* nothing is written: changes to the disks are forgotten */
	bool suspended; /* it goes on from a saved state of its own */
	int lock_fd;
};

/* Takes the lock, makes the folder the current one (where relative paths in vm.ini begin) and reads
 * the settings into c. Disks keep their changes there unless the settings say otherwise. */
int vm_home_enter(struct vm_home *h, const char *dir, struct vm_config *c,
		  struct err *e) HV_MUST_CHECK;
/* Gives what dir's vm.ini says to c; keep: disks keep their changes unless it says otherwise. */
int vm_home_settings(const char *dir, bool keep, struct vm_config *c, struct err *e) HV_MUST_CHECK;
/* Only the settings, without a lock. The current folder becomes dir. */
int vm_home_read(const char *dir, struct vm_config *c, struct err *e) HV_MUST_CHECK;
/* Everything is open: from here on it counts as running, whatever happens. Before the sandbox. */
int vm_home_begin(struct vm_home *h, struct err *e) HV_MUST_CHECK;
/* The guest is about to go on: the saved state that it comes from is none any more. */
int vm_home_resumed(struct vm_home *h, struct err *e) HV_MUST_CHECK;
/* started: the guest has run, and its disks are whole. Else all is as before. */
void vm_home_leave(struct vm_home *h, bool started);
#endif
