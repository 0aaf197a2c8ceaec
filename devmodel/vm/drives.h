/* The drives of a VM: from its settings into the machine, and what is in them now. */
#ifndef VM_DRIVES_H
#define VM_DRIVES_H
#include "devmodel/machine/machine.h"
#include "vm/config.h"
#include "vm/files.h"

#define VM_DRIVE_NAME_BYTES 32

struct vm_drive {
	char name[VM_DRIVE_NAME_BYTES]; /* "disk.root", "cdrom.0", "floppy.1" */
	char *file;			/* owned; NULL: empty */
	const char *bus;		/* static */
	const char *changes;		/* static: discard, keep, read-only */
	bool removable, cdrom;
	struct blk **slot; /* in vm_files: who closes it */
};

/* In the machine's order. */
struct vm_drives {
	unsigned n;
	struct vm_drive drive[MACHINE_MAX_DISKS];
};

/* Fills the drives and b's, and the order in which the BIOS tries them. */
int vm_drives_fill(struct vm_drives *d, const struct vm_config *c, struct vm_files *f,
		   struct machine_backends *b, struct err *e) HV_MUST_CHECK;
void vm_drives_finish(struct vm_drives *d);
/* By name; "" is the only one that takes a medium of that kind. -ENOENT, -EINVAL with e set. */
int vm_drives_find(const struct vm_drives *d, const char *name, enum image_kind kind,
		   unsigned *ret_drive, struct err *e) HV_MUST_CHECK;
const char *vm_drive_changes(bool read_only, bool keep); /* for struct vm_drive */
/* Another medium, which is taken over in any case; NULL: none. */
int vm_drives_change(struct vm_drives *d, struct machine *m, unsigned drive, struct blk *medium,
		     const char *file, const char *changes, bool force,
		     struct err *e) HV_MUST_CHECK;
#endif
