/* The map of guest memory as firmware tells it to systems. */
#ifndef DEVMODEL_MACHINE_E820_H
#define DEVMODEL_MACHINE_E820_H
#include <stdint.h>

enum { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3, E820_NVS = 4 };
#define E820_MAX 16
#define E820_ENTRY_BYTES 20 /* as in memory: 64-bit base and length, 32-bit type */

struct e820_map {
	unsigned n;
	struct e820_entry {
		uint64_t base, bytes;
		uint32_t type;
	} e[E820_MAX];
};

/* low_bytes: RAM below 4 GiB, whose last tables_bytes hold ACPI tables; high_bytes: above. */
void e820_make(struct e820_map *m, uint64_t low_bytes, uint64_t high_bytes, uint64_t tables_bytes);
/* RAM, and what firmware does not know of, as it wants to be told before it has put anything
 * anywhere. */
void e820_make_firmware(struct e820_map *m, uint64_t low_bytes, uint64_t high_bytes);
/* Entry i as it lies in memory. */
void e820_put(const struct e820_map *m, unsigned i, uint8_t ret_entry[E820_ENTRY_BYTES]);
#endif
