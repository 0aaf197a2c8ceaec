/* The ICH9 LPC bridge and what it needs of the machine. */
#ifndef DEVMODEL_PCI_LPC_H
#define DEVMODEL_PCI_LPC_H
#include "devmodel/pci/pci.h"

/* DEV_BACKEND_MACHINE "lpc"; without one nothing is moved. Bridge's domain held. */
struct lpc_machine {
	/* The ACPI power management block is at this I/O port. */
	void (*pm_block)(void *ctx, uint16_t port, bool on);
	void (*hpet)(void *ctx, uint64_t gpa, bool on);
	void *ctx;
};

/* Configuration registers that boot code programs. */
enum {
	LPC_PMBASE = 0x40,
	LPC_ACPI_CNTL = 0x44,
	LPC_PIRQ_A = 0x60,
	LPC_PIRQ_E = 0x68,
	LPC_RCBA = 0xf0
};
enum { LPC_RCBA_HPTC = 0x3404 };

/* Input pins are PIRQ A to H; output line i drives this ISA interrupt. */
#define LPC_N_IRQS 11
extern const uint8_t lpc_isa_irq[LPC_N_IRQS];

extern const struct pci_class dm_lpc;
#endif
