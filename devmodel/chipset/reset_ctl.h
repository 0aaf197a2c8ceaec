/*
 * Reset control register of the ICH9.
 *
 *	region 0 "rst_cnt", 1 byte   I/O 0xCF9, byte accesses only: a dword at 0xCF8 belongs to
 *	                             the PCI host, who hands bytes at 0xCF9 on with dev_write()
 */
#ifndef DEVMODEL_CHIPSET_RESET_CTL_H
#define DEVMODEL_CHIPSET_RESET_CTL_H
#include "devmodel/dev.h"

extern const struct dev_class dm_reset_ctl;
#endif
