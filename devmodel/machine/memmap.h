/*
 * Where things lie in the machine's memory:
 *
 *	0                  RAM, up to MEMMAP_LOW_MAX; 0xA0000 to 0xBFFFF is a hole (video),
 *	                   0xC0000 to 0xFFFFF shows RAM or firmware as the host bridge's PAM says
 *	MEMMAP_GENERATION  a page with the VM generation ID, right below
 *	MEMMAP_ECAM        PCI configuration space, 256 MiB
 *	MEMMAP_PCI32       memory of PCI functions, up to the IOAPIC
 *	0xFEC00000 ...     IOAPIC, HPET, RCBA, local APICs
 *	4 GiB - firmware   firmware
 *	4 GiB              the rest of RAM
 *	MEMMAP_PCI64       memory of PCI functions above 4 GiB
 */
#ifndef DEVMODEL_MACHINE_MEMMAP_H
#define DEVMODEL_MACHINE_MEMMAP_H
#include "devmodel/pci/host.h"
#include "mem/mem.h"

#define MEMMAP_LOW_MAX 0x80000000ull
#define MEMMAP_GENERATION 0xaffff000ull /* dsdt.asl has it, too */
#define MEMMAP_ECAM 0xb0000000ull
#define MEMMAP_ECAM_BYTES 0x10000000ull
#define MEMMAP_PCI32 0xc0000000ull
#define MEMMAP_PCI32_END 0xfe000000ull
#define MEMMAP_IOAPIC 0xfec00000ull
#define MEMMAP_HPET 0xfed00000ull
#define MEMMAP_RCBA 0xfed1c000ull
#define MEMMAP_LAPIC 0xfee00000ull
#define MEMMAP_PCI64 0x4000000000ull
#define MEMMAP_PCI64_BYTES 0x800000000ull
#define MEMMAP_ROM_MAX 0x1000000ull

struct memmap {
	struct hv_mem *mem;	  /* borrowed */
	struct hv_ram *ram, *rom; /* borrowed; rom NULL: no firmware */
	uint64_t low_bytes, high_bytes;
	struct hv_map_range low, high, video, rom_top;
	struct memmap_pam {
		struct memmap *map;
		struct hv_map_range range;
		uint8_t mode; /* what range shows, MCH_PAM_*; 0xff: not yet set */
	} pam[MCH_PAM_SEGS];
};

/* ram, rom: blocks of mem. Places RAM and firmware; the BIOS area shows the firmware. */
void memmap_init(struct memmap *m, struct hv_mem *mem, struct hv_ram *ram, struct hv_ram *rom);
/* As the host bridge says (struct mch_machine). */
void memmap_pam(struct memmap *m, const uint8_t modes[MCH_PAM_SEGS]);
#endif
