/*
 * Whether snapshots are whole: reads all that they need. The VM's folder is the current one; the VM
 * may run. Blocks.
 */
#ifndef VM_VERIFY_H
#define VM_VERIFY_H

/* id: NULL: all. Prints a line "ID what is damaged" for each damage, and "ID" alone for a snapshot
 * that is whole. progress_fd: -1: nowhere. */
void snapshot_verify(const char *id, int progress_fd);
#endif
