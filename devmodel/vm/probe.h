/* What lodge-vm tells without running a VM. */
#ifndef VM_PROBE_H
#define VM_PROBE_H
#include <stdbool.h>
#include "base/err.h"

/* Prints one line a check; an exit code: can this host run VMs? */
int vm_probe(bool json);
/* Prints the settings, or one of them. */
int vm_print_settings(const char *key, struct err *e) HV_MUST_CHECK;
#endif
