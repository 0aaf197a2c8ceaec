/*
 * System control port A: fast A20 and fast INIT.
 *
 *	region 0 "port92", 1 byte   I/O 0x92
 *
 * The A20 gate is open after reset; the CPUs' own reset opens it, this device does not ask for it.
 */
#ifndef DEVMODEL_CHIPSET_PORT92_H
#define DEVMODEL_CHIPSET_PORT92_H
#include "devmodel/dev.h"

extern const struct dev_class dm_port92;
#endif
