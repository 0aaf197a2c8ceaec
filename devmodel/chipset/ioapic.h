/*
 * I/O APIC with 24 pins.
 *
 *	region 0 "regs", 4 KiB   memory 0xFEC00000
 *	inputs 0 to 23           ISA interrupt 0 goes to input 2, 1 and 3 to 15 to their own number;
 *	                         PIRQ A to H to 16 to 23
 *
 * Lives in the "irqchip" domain. DEV_BACKEND_MACHINE "lapic-bus" (lapic.h) takes its messages; the
 * machine puts the device into lapic_bus.ioapic, so that EOIs come back.
 */
#ifndef DEVMODEL_CHIPSET_IOAPIC_H
#define DEVMODEL_CHIPSET_IOAPIC_H
#include "devmodel/dev.h"
#include "engine/engine.h"

#define DM_IOAPIC_PINS HV_IOAPIC_PINS
#define DM_IOAPIC_BASE 0xfec00000ull

extern const struct dev_class dm_ioapic;

/* A CPU finished a level-triggered vector. Domain held. */
void dm_ioapic_eoi(struct dev *d, uint8_t vector);
#endif
