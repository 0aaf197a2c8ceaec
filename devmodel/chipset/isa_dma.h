/*
 * What a device on the ISA bus sees of the DMA controller: DEV_BACKEND_MACHINE "isa-dma". It must
 * be in the controller's lock domain.
 */
#ifndef DEVMODEL_CHIPSET_ISA_DMA_H
#define DEVMODEL_CHIPSET_ISA_DMA_H
#include "devmodel/dev.h"

struct isa_dma {
	/* As dm_dma_read() and so on in i8237.h; domain held. */
	size_t (*read)(struct dev *dma, unsigned channel, void *buf, size_t len, bool *ret_tc);
	size_t (*write)(struct dev *dma, unsigned channel, const void *buf, size_t len,
			bool *ret_tc);
	void (*set_request)(struct dev *dma, unsigned channel, bool level);
	struct dev *dev;
};
#endif
