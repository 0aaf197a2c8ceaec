/* SMBIOS: what the machine is called, for systems that ask the firmware. */
#ifndef DEVMODEL_MACHINE_SMBIOS_H
#define DEVMODEL_MACHINE_SMBIOS_H
#include <stddef.h>
#include <stdint.h>

#define SMBIOS_MAX 4096
#define SMBIOS_ENTRY_BYTES 24 /* the 3.0 entry point */

struct smbios {
	uint8_t bytes[SMBIOS_MAX];
	size_t len;
	uint8_t entry[SMBIOS_ENTRY_BYTES]; /* address of the table: smbios_place() or firmware */
};

void smbios_build(struct smbios *s, unsigned n_cpus, uint64_t ram_bytes);
void smbios_place(struct smbios *s, uint64_t gpa);
#endif
