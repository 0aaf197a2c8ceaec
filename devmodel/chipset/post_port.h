/*
 * Diagnostic ports, which guests write to in order to wait about a microsecond.
 *
 *	region 0 "post", 1 byte    I/O 0x80 (POST code)
 *	region 1 "delay", 1 byte   I/O 0xED
 */
#ifndef DEVMODEL_CHIPSET_POST_PORT_H
#define DEVMODEL_CHIPSET_POST_PORT_H
#include "devmodel/dev.h"

extern const struct dev_class dm_post_port;
#endif
