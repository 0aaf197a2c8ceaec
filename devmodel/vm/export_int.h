/* The names of what is in the file of an exported snapshot. */
#ifndef VM_EXPORT_INT_H
#define VM_EXPORT_INT_H

#define EXPORT_MANIFEST "manifest"
#define EXPORT_SETTINGS "vm.ini"
#define EXPORT_STATE "state"  /* not of a VM that did not run */
#define EXPORT_DISK "disk.%s" /* by the disk's name */
#define EXPORT_TEXT_MAX (1u << 20)

#endif
