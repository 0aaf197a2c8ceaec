/*
 * A VM's place among the running ones: its folder in the runtime root (protocol.h) with its control
 * socket and a lock file that its process holds. A folder whose lock is free is a dead VM's.
 */
#ifndef VM_CLAIM_H
#define VM_CLAIM_H
#include "base/err.h"

struct vm_claim {
	char *root, *name, *dir, *socket; /* owned */
	int lock_fd;
};

/* Takes the place of the VM in the folder home, or without one the first free of run-1, run-2...,
 * and clears what a dead VM left there. -EBUSY: it runs already. */
int vm_claim_take(const char *home, struct vm_claim *ret_claim, struct err *e) HV_MUST_CHECK;
/* Removes socket, lock and folder; a zeroed claim is fine. */
void vm_claim_release(struct vm_claim *c);
#endif
