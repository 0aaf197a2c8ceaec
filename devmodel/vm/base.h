/*
 * What a fork is based on: layers and state in the folder of another VM, by their whole paths. That
 * folder may have been moved since. Before the sandbox.
 */
#ifndef VM_BASE_H
#define VM_BASE_H
#include "vm/home.h"

/* Has the fork h go on from where its base lies now, if one VM in the library, or beside where the
 * base was, has been moved there and has it noted; and the base note where h is now. -ENOENT: the
 * base is nowhere. 0 as well: it is no fork. May be killed at any moment. The folder is the current
 * one, and locked. */
int base_settle(const struct vm_home *h, struct vm_config *c, struct err *e) HV_MUST_CHECK;
#endif
