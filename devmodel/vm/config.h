/*
 * The settings of one VM: every one is a dotted key in one table, which drives the parser, the
 * schema that --describe prints, and the tests of bad values.
 */
#ifndef VM_CONFIG_H
#define VM_CONFIG_H
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "devmodel/machine/machine.h"
#include "devmodel/storage/io/host.h"

#define VM_DISK_NAME_MAX 20
#define VM_MAX_FLOPPIES 2
#define VM_VGA_BIOS "/usr/share/seabios/vgabios-stdvga.bin"

struct vm_disk_config {
	char *name; /* all strings owned; NULL: not set */
	char *file; /* CD drive: NULL or "" is an empty one */
	char *bus;  /* NULL: the usual one */
	char *format, *cache;
	bool cdrom;
	bool read_only;
	bool keep; /* changes go to the file; else they are forgotten */
	bool direct;
};

struct vm_floppy_config {
	bool there; /* mentioned */
	char *drive;
	char *file; /* NULL: empty */
	bool read_only, keep;
};

struct vm_serial_config {
	char *output;
};

struct vm_config {
	char *name, *format, *id, *generation, *os, *machine, *engine, *clock, *firmware;
	char *bios; /* the file of firmware "bios" */
	char *option_rom;
	char *vga_bios, *display;
	uint32_t n_cpus;
	char *cpu_model;
	uint64_t memory_bytes;
	char *boot_file; /* what it is is recognised: vm_recognise() */
	bool boot_keep;
	char *boot_order;
	bool boot_menu;
	uint32_t boot_menu_ms, boot_fail_ms;
	char *boot_first; /* "floppy.0": the drive that boot.file is in */
	char *kernel, *initrd, *append;
	char *state;
	uint32_t n_disks;
	struct vm_disk_config disk[MACHINE_MAX_DISKS]; /* CD drives, too; as first mentioned */
	struct vm_floppy_config floppy[VM_MAX_FLOPPIES];
	struct vm_serial_config serial[MACHINE_MAX_SERIAL];
	char *debugcon;
	uint32_t debug_exit;
	uint64_t stuck_address;
	uint32_t stuck_bits; /* 0: all memory is good */
	char *gdb;
	bool gdb_wait;
	char *trace;
	bool deterministic;
	char *digest;
	uint64_t digest_from, digest_every;
	uint32_t digest_memory;
	char *soft_tier;
	uint32_t soft_translate_after;
	uint32_t soft_disable;
	bool soft_perf_map;
	bool stats;
	char *log_level, *log_file, *log_trace;
};

/* False: an empty CD drive. */
static inline bool vm_disk_has_file(const struct vm_disk_config *d)
{
	return d->file != NULL && d->file[0] != '\0';
}
enum io_cache vm_disk_cache(const struct vm_disk_config *d);
enum machine_bus vm_disk_bus(const struct vm_disk_config *d);

/* All defaults. */
void vm_config_init(struct vm_config *c);
void vm_config_finish(struct vm_config *c); /* twice is once */
/* One "key=value". An unknown key is answered with the nearest one. */
int vm_config_set(struct vm_config *c, const char *arg, struct err *e) HV_MUST_CHECK;
/* What a setting is that was not made; "": nothing. */
int vm_config_default(const char *key, const char **ret_value, struct err *e) HV_MUST_CHECK;
/* Does that setting name a file, a folder or a socket of the host? */
bool vm_config_is_path(const char *key);
/* What only all of them together show: a setting that wants another. */
int vm_config_check(const struct vm_config *c, struct err *e) HV_MUST_CHECK;
/* Whether it starts with the BIOS: where neither a kernel nor a saved state is what starts. */
bool vm_config_wants_bios(const struct vm_config *c);
/* As a machine takes it, of settings that were checked; one of its own where there is none, and
 * always the same where every run does the same. */
void vm_config_generation(const struct vm_config *c, uint8_t ret_id[MACHINE_GENERATION_BYTES]);
/* The table, and the options of all device classes, as JSON; freed with g_free(). */
char *vm_config_describe(void);
#endif
