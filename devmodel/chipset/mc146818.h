/*
 * Real-time clock with CMOS memory.
 *
 *	region 0 "cmos", 4 bytes   I/O 0x70: index and data, index and data of the upper bank
 *	line 0 "irq8"              ISA interrupt 8; through the HPET's input 1 where there is one
 *
 * CMOS and time of day are battery-backed: a machine reset does not change them.
 */
#ifndef DEVMODEL_CHIPSET_MC146818_H
#define DEVMODEL_CHIPSET_MC146818_H
#include "devmodel/dev.h"

extern const struct dev_class dm_mc146818;

/* For the machine at power-on, before vCPUs run. */
void dm_rtc_set_byte(struct dev *d, uint8_t index, uint8_t v);
/* The bytes by which firmware learns the size of memory below and above 4 GiB. */
void dm_rtc_set_memory(struct dev *d, uint64_t below_4g_bytes, uint64_t above_4g_bytes);
/* The clock shows UTC plus that many seconds (a guest that wants local time). */
void dm_rtc_set_utc_offset(struct dev *d, int32_t seconds);

/* Bit 7 of port 0x70: NMIs do not reach the CPU. Any thread. */
bool dm_rtc_nmi_masked(const struct dev *d);
#endif
