/* The Q35 host bridge and what it needs of the machine. */
#ifndef DEVMODEL_PCI_HOST_H
#define DEVMODEL_PCI_HOST_H
#include "devmodel/pci/pci.h"

/* Regions for the machine to place at ports 0xCF8 and 0xCFC; the rest place themselves. */
enum { MCH_REGION_ADDR = PCI_REGION_DEV, MCH_REGION_DATA };

/* Programmable attribute map: what the CPU sees in 13 pieces of 0xC0000 to 0xFFFFF. */
#define MCH_PAM_SEGS 13 /* 0: 0xF0000, 64 KiB; 1 to 12: 16 KiB each from 0xC0000 */
enum { MCH_PAM_READ = 1, MCH_PAM_WRITE = 2 }; /* bits of a mode: RAM answers, else the ROM */

/* DEV_BACKEND_MACHINE "pci-host"; without one the bridge is alone on its bus. */
struct mch_machine {
	const struct pci_bus *bus;
	/* 0xCF9 lies within the address port's dword: bytes there go to this device's region 0. */
	struct dev *reset_ctl; /* NULL: none */
	struct hv_domain *reset_domain;
	/* Bridge's domain held. */
	void (*pam)(void *ctx, const uint8_t modes[MCH_PAM_SEGS]);
	void *ctx;
};

/* Configuration registers of the bridge that boot code programs. */
enum { MCH_PCIEXBAR = 0x60, MCH_PAM0 = 0x90, MCH_SMRAM = 0x9d, MCH_TOLUD = 0xb0 };

extern const struct pci_class dm_mch;
#endif
