/*
 * ISA DMA controllers (two 8237A) with page registers.
 *
 *	region 0 "chip0", 16 bytes   I/O 0x00: channels 0 to 3, bytes
 *	region 1 "chip1", 32 bytes   I/O 0xC0: channels 4 to 7, words; a register every two ports
 *	region 2 "pages", 15 bytes   I/O 0x81
 */
#ifndef DEVMODEL_CHIPSET_I8237_H
#define DEVMODEL_CHIPSET_I8237_H
#include "devmodel/dev.h"

extern const struct dev_class dm_i8237;

/*
 * Transfers on behalf of an ISA device (a floppy controller) by channel 0 to 7, domain held: read
 * takes bytes from guest memory, write puts them there. As many as the guest programmed, at most
 * len; a masked channel or one of the other direction moves none. Words come in pairs of bytes.
 * Returns the number moved; *ret_tc: the count ran out (terminal count).
 */
size_t dm_dma_read(struct dev *d, unsigned channel, void *buf, size_t len, bool *ret_tc);
size_t dm_dma_write(struct dev *d, unsigned channel, const void *buf, size_t len, bool *ret_tc);
/* The device's request line, as the status register shows it. */
void dm_dma_set_request(struct dev *d, unsigned channel, bool level);
#endif
