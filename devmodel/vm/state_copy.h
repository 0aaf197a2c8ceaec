/* The file of a saved state, which nobody writes to any more, a second time. */
#ifndef VM_STATE_COPY_H
#define VM_STATE_COPY_H
#include "base/err.h"

/* to is made, and on the disk: another name of the same file where the file system has such, else a
 * copy. What is no saved state is refused. */
int state_copy(const char *from, const char *to, struct err *e) HV_MUST_CHECK;
#endif
