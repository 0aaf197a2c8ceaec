/*
 * Debug-exit port: a write ends the machine with the byte written, for tests.
 *
 *	region 0 "port", 4 bytes   where machine_config.debug_exit_port says
 */
#ifndef DEVMODEL_CHIPSET_DEBUG_EXIT_H
#define DEVMODEL_CHIPSET_DEBUG_EXIT_H
#include "devmodel/dev.h"

extern const struct dev_class dm_debug_exit;
#endif
