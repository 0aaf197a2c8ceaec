/* The memory map for systems, see e820.h. */
#include "devmodel/machine/e820.h"
#include "base/util.h"
#include "devmodel/machine/acpi/acpi.h"
#include "devmodel/machine/memmap.h"

#define EBDA 0x9fc00ull
#define VIDEO 0xa0000ull
#define BIOS 0xf0000ull

static void add(struct e820_map *m, uint64_t base, uint64_t end, uint32_t type)
{
	assert(m->n < E820_MAX && base <= end);
	if (base < end)
		m->e[m->n++] = (struct e820_entry){ base, end - base, type };
}

void e820_make(struct e820_map *m, uint64_t low_bytes, uint64_t high_bytes, uint64_t tables_bytes)
{
	m->n = 0;
	add(m, 0, EBDA, E820_RAM);
	add(m, EBDA, VIDEO, E820_RESERVED);
	add(m, BIOS, HV_MIB(1), E820_RESERVED);
	add(m, HV_MIB(1), low_bytes - tables_bytes, E820_RAM);
	add(m, low_bytes - tables_bytes, low_bytes - tables_bytes + ACPI_FACS_BYTES, E820_NVS);
	add(m, low_bytes - tables_bytes + ACPI_FACS_BYTES, low_bytes, E820_ACPI);
	add(m, MEMMAP_GENERATION, MEMMAP_GENERATION + HV_PAGE_SIZE, E820_RESERVED);
	add(m, MEMMAP_ECAM, MEMMAP_ECAM + MEMMAP_ECAM_BYTES, E820_RESERVED);
	add(m, MEMMAP_RCBA, MEMMAP_RCBA + 0x4000, E820_RESERVED);
	add(m, HV_GIB(4), HV_GIB(4) + high_bytes, E820_RAM);
}

void e820_make_firmware(struct e820_map *m, uint64_t low_bytes, uint64_t high_bytes)
{
	m->n = 0;
	add(m, 0, low_bytes, E820_RAM);
	add(m, MEMMAP_GENERATION, MEMMAP_GENERATION + HV_PAGE_SIZE, E820_RESERVED);
	add(m, HV_GIB(4), HV_GIB(4) + high_bytes, E820_RAM);
}

void e820_put(const struct e820_map *m, unsigned i, uint8_t ret_entry[E820_ENTRY_BYTES])
{
	memcpy(ret_entry, &m->e[i].base, 8);
	memcpy(ret_entry + 8, &m->e[i].bytes, 8);
	memcpy(ret_entry + 16, &m->e[i].type, 4);
}
