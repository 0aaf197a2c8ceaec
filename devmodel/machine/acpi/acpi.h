/*
 * ACPI tables of the machine, as one image whose pointers are offsets into itself until it is
 * placed: by acpi_place() for direct boot, by firmware through etc/table-loader.
 */
#ifndef DEVMODEL_MACHINE_ACPI_ACPI_H
#define DEVMODEL_MACHINE_ACPI_ACPI_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACPI_IMAGE_MAX 65536
#define ACPI_MAX_FIXUPS 32
#define ACPI_FACS_BYTES 4096 /* the image's first page: what systems write to (NVS) */
#define ACPI_RSDP_BYTES 36

/* dsdt.asl, compiled at build time. */
extern const uint8_t acpi_dsdt[];
extern const size_t acpi_dsdt_bytes;
/* The same of fdc.asl. */
extern const uint8_t acpi_fdc[];
extern const size_t acpi_fdc_bytes;

struct acpi_image {
	uint8_t bytes[ACPI_IMAGE_MAX];
	size_t len;
	/* Little-endian fields that hold offsets into the image. */
	struct {
		uint32_t off, size;
	} pointer[ACPI_MAX_FIXUPS];
	unsigned n_pointers;
	/* One byte each, so that the sum of the range is zero. */
	struct {
		uint32_t off, start, len;
	} sum[ACPI_MAX_FIXUPS];
	unsigned n_sums;
	/* Pointers at 16 (4 bytes: RSDT) and 24 (8: XSDT); sums of 20 bytes at 8, of all at 32. */
	uint8_t rsdp[ACPI_RSDP_BYTES];
};

struct acpi_config {
	unsigned n_cpus;
	uint16_t pm_port;
	bool floppy[2]; /* drives that are there */
};

void acpi_build(struct acpi_image *a, const struct acpi_config *c);
/* Makes everything right for the image at gpa. */
void acpi_place(struct acpi_image *a, uint32_t gpa);
/* Where the FACS's waking vector lies in the image. */
#define ACPI_FACS_WAKING_VECTOR 12
#endif
