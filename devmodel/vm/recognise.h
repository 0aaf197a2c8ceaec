/* What the files are that a VM is given, by their contents: boot.file is put where it belongs. */
#ifndef VM_RECOGNISE_H
#define VM_RECOGNISE_H
#include "devmodel/storage/kind.h"
#include "vm/config.h"

/* Turns boot.file into the setting that it stands for: a drive's file, the kernel, the saved state.
 * Says on standard error what was chosen where it might have been something else. */
int vm_recognise(struct vm_config *c, struct err *e) HV_MUST_CHECK;
/* Of an open file. */
int vm_image_look(int fd, const char *path, struct image_guess *ret_guess,
		  struct err *e) HV_MUST_CHECK;
/* Refuses with a reason what is not of that kind and certainly of another one; UNKNOWN stands for
 * any raw contents. key: what a message begins with. */
int vm_image_expect(int fd, const char *key, const char *path, enum image_kind kind,
		    struct err *e) HV_MUST_CHECK;
#endif
