/*
 * Direct boot: a kernel, an initrd and a command line are put into guest memory and the boot CPU
 * into the state that the boot protocol wants, without firmware. The files are hostile.
 */
#ifndef DEVMODEL_MACHINE_BOOT_H
#define DEVMODEL_MACHINE_BOOT_H
#include "cpu/x86_state.h"
#include "devmodel/machine/e820.h"
#include "mem/mem.h"

struct boot_bytes {
	const uint8_t *p; /* borrowed */
	uint64_t n;
};

struct boot_files {
	struct boot_bytes kernel, initrd;
	const char *cmdline; /* borrowed; not NULL */
};

/* What a system wants to find on the screen; width 0: text, 80x25. */
struct boot_mode {
	uint32_t width, height, depth; /* depth: 15, 16, 24 or 32 bits a pixel */
};

/* And what it finds; width 0: there is no screen. */
struct boot_screen {
	uint64_t lfb; /* where the pixels are; 0: text */
	uint32_t width, height, depth, stride;
	uint32_t memory_bytes; /* of pixels; the rest is not shown */
};

/* Guest memory as a loader may use it. */
struct boot_target {
	struct hv_mem *mem; /* RAM from 0 to ram_end without holes but 0xA0000 to 0xFFFFF */
	uint64_t ram_end;   /* below 4 GiB; tables of the machine lie above */
	const struct e820_map *e820;
	uint64_t rsdp;
	uint64_t tsc_hz;
	struct boot_screen screen;
};

#define BOOT_CMDLINE_MAX 4095

/* Tells the kind of kernel by its contents, loads it, and fills *ret_cpu (reset state at first). */
int boot_load(const struct boot_files *f, const struct boot_target *t, struct x86_state *ret_cpu,
	      struct err *e) HV_MUST_CHECK;
/* What the kernel wants, or, by "vga=" on the command line, the user for Linux. */
struct boot_mode boot_mode_of(const struct boot_files *f);
/* bzImage, by the 64-bit protocol if the kernel has that entry, else by the 32-bit one. */
bool boot_is_linux(const struct boot_bytes *k);
struct boot_mode boot_linux_mode(const char *cmdline);
int boot_linux(const struct boot_files *f, const struct boot_target *t, struct x86_state *ret_cpu,
	       struct err *e) HV_MUST_CHECK;
/* Multiboot 1; the initrd becomes its module. */
bool boot_is_multiboot(const struct boot_bytes *k);
struct boot_mode boot_multiboot_mode(const struct boot_bytes *k);
int boot_multiboot(const struct boot_files *f, const struct boot_target *t,
		   struct x86_state *ret_cpu, struct err *e) HV_MUST_CHECK;

/* For loaders: copies, or says that it does not fit; flat segments for the CPU. */
int boot_put(const struct boot_target *t, uint64_t gpa, const void *p, uint64_t n,
	     struct err *e) HV_MUST_CHECK;
int boot_zero(const struct boot_target *t, uint64_t gpa, uint64_t n, struct err *e) HV_MUST_CHECK;
/* Protected mode with flat segments and a GDT at BOOT_GDT: 64-bit with identical mapping of the
 * first 4 GiB, else 32-bit without paging. */
int boot_cpu(const struct boot_target *t, bool long_mode, uint64_t rip, struct x86_state *ret_cpu,
	     struct err *e) HV_MUST_CHECK;
/* Places the initrd page-aligned as high as it fits between low and high; 0 bytes: at 0. */
int boot_place_initrd(const struct boot_files *f, const struct boot_target *t, uint64_t low,
		      uint64_t high, uint64_t *ret_gpa, struct err *e) HV_MUST_CHECK;

/* The first n bytes of a file; name: for the message if it has fewer, or cannot be read. */
int boot_read_all(int fd, const char *name, uint8_t *to, uint64_t n, struct err *e) HV_MUST_CHECK;

/* ---- what the machine keeps for a reset ---- */

/* The files, in a RAM block of their own that the guest cannot see: a restart loads them again, and
 * saved states hold them. */
struct boot {
	struct hv_ram *store; /* borrowed; NULL: no direct boot */
};

/* Reads the open files into a new block. initrd_fd -1: none. */
int boot_store(struct boot *b, struct hv_mem *mem, int kernel_fd, const char *kernel, int initrd_fd,
	       const char *initrd, const char *cmdline, struct err *e) HV_MUST_CHECK;
/* The files in the block, which may come from a hostile state file. */
int boot_stored(const struct boot *b, struct boot_files *ret_files, struct err *e) HV_MUST_CHECK;
#endif
