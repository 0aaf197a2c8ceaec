/*
 * The firmware configuration device: items by number, and files by name, for SeaBIOS, OVMF, GRUB.
 *
 *	region 0 "ports", 12 bytes   I/O 0x510: selector, 0x511: data, 0x514: DMA address
 *
 * DEV_BACKEND_MACHINE "fwcfg" is the struct fwcfg_items; without one there are no files.
 */
#ifndef DEVMODEL_MACHINE_FWCFG_H
#define DEVMODEL_MACHINE_FWCFG_H
#include "devmodel/dev.h"

enum {
	FWCFG_SIGNATURE = 0,
	FWCFG_ID = 1,
	FWCFG_N_CPUS = 5,
	FWCFG_BOOT_MENU = 0xe,
	FWCFG_MAX_CPUS = 0xf,
	FWCFG_DIR = 0x19,
	FWCFG_FIRST_FILE = 0x20
};
#define FWCFG_MAX_ITEMS 32
#define FWCFG_NAME_BYTES 56

struct fwcfg_item {
	uint16_t key;
	char name[FWCFG_NAME_BYTES]; /* "": not a file */
	uint8_t *data;		     /* owned */
	uint32_t len;
};

/* Filled before vCPUs run, constant from then on. */
struct fwcfg_items {
	unsigned n;
	struct fwcfg_item item[FWCFG_MAX_ITEMS];
};

/* Copies data. */
int fwcfg_add(struct fwcfg_items *t, uint16_t key, const void *data, size_t len,
	      struct err *e) HV_MUST_CHECK;
int fwcfg_add_file(struct fwcfg_items *t, const char *name, const void *data, size_t len,
		   struct err *e) HV_MUST_CHECK;
/* The directory, and what says that the device is there; last. */
int fwcfg_add_directory(struct fwcfg_items *t, struct err *e) HV_MUST_CHECK;
void fwcfg_free(struct fwcfg_items *t);

struct acpi_config;
struct e820_map;
struct machine_config;
/* Everything that firmware asks for of a machine. boot_order: paths of what to boot, by lines. */
int fwcfg_fill(struct fwcfg_items *t, const struct acpi_config *c, const struct e820_map *ram,
	       const struct machine_config *m, const char *boot_order, struct err *e) HV_MUST_CHECK;

extern const struct dev_class dm_fwcfg;
#endif
