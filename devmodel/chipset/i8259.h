/*
 * The PC's pair of interrupt controllers (8259A) with the edge/level registers of the ICH9.
 *
 *	region 0 "master", 2 bytes   I/O 0x20
 *	region 1 "slave", 2 bytes    I/O 0xA0
 *	region 2 "elcr", 2 bytes     I/O 0x4D0
 *	inputs 0 to 15               ISA interrupts; 2 is the cascade and ignored
 *	line 0 "intr"                to LINT0 of the local APICs (lapic_bus.lint, input 0)
 *
 * Lives in the "irqchip" domain with the IOAPIC and the local APICs, so the sink that takes "intr"
 * has no domain of its own.
 */
#ifndef DEVMODEL_CHIPSET_I8259_H
#define DEVMODEL_CHIPSET_I8259_H
#include "devmodel/dev.h"

extern const struct dev_class dm_i8259;

/* The CPU's INTA cycle, domain held: the vector (spurious IRQ 7 or 15 if nothing waits any more).
 */
int dm_pic_ack(struct dev *d);
#endif
