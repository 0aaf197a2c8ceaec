/*
 * Serial port (16550A).
 *
 *	region 0 "regs", 8 bytes   I/O 0x3F8, 0x2F8, 0x3E8, 0x2E8
 *	line 0 "irq"               ISA interrupt 4, 3, 4, 3
 *
 * Option "chr": the name of the byte stream it is plugged into.
 */
#ifndef DEVMODEL_CHIPSET_NS16550_H
#define DEVMODEL_CHIPSET_NS16550_H
#include "devmodel/dev.h"

extern const struct dev_class dm_ns16550;
#endif
