/*
 * Debug console: a byte written goes to the back-end, a byte read says that the port is there.
 *
 *	region 0 "firmware", 1 byte   I/O 0x402 (SeaBIOS, OVMF)
 *	region 1 "bochs", 1 byte      I/O 0xE9
 */
#ifndef DEVMODEL_CHIPSET_DEBUGCON_H
#define DEVMODEL_CHIPSET_DEBUGCON_H
#include "devmodel/dev.h"

extern const struct dev_class dm_debugcon;
#endif
