/*
 * High precision event timer.
 *
 *	region 0 "regs", 1 KiB   memory, where the LPC bridge's HPTC says (0xFED00000)
 *	inputs 0 and 1           the PIT's output and the RTC's: they go through here, because the
 *	                         legacy replacement route cuts them off
 *	lines 0 "irq0", 1 "irq8" ISA interrupts 0 (IOAPIC pin 2) and 8
 *	lines 2 to 7             IOAPIC pins 11, 12, 20, 21, 22, 23 (hpet_pins)
 *
 * PIT, RTC and HPET share the chipset's domain: the sinks of inputs 0 and 1 have none.
 */
#ifndef DEVMODEL_CHIPSET_HPET_H
#define DEVMODEL_CHIPSET_HPET_H
#include "devmodel/dev.h"

#define DM_HPET_BASE 0xfed00000ull
#define DM_HPET_ID 0x8086a301u /* low half of the capabilities, for the ACPI table */
enum { HPET_LINE_IRQ0, HPET_LINE_IRQ8, HPET_LINE_PINS, HPET_N_PINS = 6 };
extern const uint8_t hpet_pins[HPET_N_PINS];

extern const struct dev_class dm_hpet;
#endif
