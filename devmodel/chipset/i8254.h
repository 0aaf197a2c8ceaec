/*
 * Programmable interval timer and the port that gates and shows its third channel.
 *
 *	region 0 "pit", 4 bytes      I/O 0x40
 *	region 1 "port61", 1 byte    I/O 0x61
 *	line 0 "irq0"                ISA interrupt 0 (IOAPIC pin 2); through the HPET's input 0
 * where there is one, so that its legacy mode can cut it off
 */
#ifndef DEVMODEL_CHIPSET_I8254_H
#define DEVMODEL_CHIPSET_I8254_H
#include "devmodel/dev.h"

#define DM_PIT_HZ 1193182u

extern const struct dev_class dm_i8254;
#endif
