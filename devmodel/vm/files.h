/* The files a VM is given: opened once, before the sandbox closes; nothing is opened by path after.
 */
#ifndef VM_FILES_H
#define VM_FILES_H
#include "base/err.h"
#include "devmodel/storage/kind.h"
#include "vm/config.h"

struct vm_files {
	int option_rom_fd;							/* -1: none */
	int firmware_fd, vga_bios_fd, kernel_fd, initrd_fd, state_fd, trace_fd; /* -1: none */
	int perf_map_fd, digest_fd;						/* -1: none */
	int statm_fd; /* /proc/self/statm, for the statistics */
	struct blk *disk[MACHINE_MAX_DISKS];
	struct blk *floppy[VM_MAX_FLOPPIES]; /* NULL: empty */
};

/* On failure nothing is left open. Starts no thread. */
int vm_files_open(const struct vm_config *c, struct vm_files *ret_files,
		  struct err *e) HV_MUST_CHECK;
/* A medium from an open file, which is taken over or closed; key: what messages begin with. */
int vm_files_open_image(const char *key, const char *path, int fd, enum image_kind kind,
			bool read_only, bool keep, struct blk **ret_blk,
			struct err *e) HV_MUST_CHECK;
/* Says on fd which files will be made ("made PATH", to be removed if the start fails) and which
 * sockets ("temp PATH", to be removed in any case), escaped as by g_strescape(). fd -1: to nobody.
 */
void vm_files_announce(const struct vm_config *c, int fd);
void vm_files_close(struct vm_files *f);
#endif
