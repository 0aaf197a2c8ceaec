/*
 * Media of a running VM's drives come and go, by the user's hand and the guest's. What is in the
 * drives of a VM that is kept is in its settings from then on. Loop thread.
 */
#ifndef VM_MEDIA_H
#define VM_MEDIA_H
#include <stdbool.h>
#include "base/err.h"

struct blk;
struct vm;

struct medium {
	struct blk *blk;
	const char *file; /* what it is called */
	const char *path; /* for the settings, which keep only absolute ones */
	bool read_only, keep;
};

/* Into the drive of that number (struct vm_drives); its blk is taken over in any case. NULL: what
 * is there is taken out. -EBUSY: the guest has locked the drive, and was asked to let go; force
 * does not ask. */
int media_change(struct vm *vm, unsigned drive, const struct medium *m, bool force,
		 struct err *e) HV_MUST_CHECK;
/* What the guest has ejected since is taken out, but not while a state is saved: that goes on with
 * what it has, so it comes after. */
void media_ejected(struct vm *vm);
#endif
