/* What lodge-vm tells without running a VM. */
#ifndef VM_PROBE_H
#define VM_PROBE_H
#include <stdbool.h>
#include "base/err.h"

/* Prints one line a check; an exit code: can this host run VMs? */
int vm_probe(bool json);
/* A line each: the key, a tab, what it is, a tab, and the words that it takes, if it takes words.
 */
void vm_print_setting_words(void);
/* Prints the settings, or one of them, or those of a group. */
int vm_print_settings(const char *key, struct err *e) HV_MUST_CHECK;
#endif
