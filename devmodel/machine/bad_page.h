/*
 * Faulty memory, for testing what looks for it: one page whose accesses all go through here, with
 * bits of one byte that always read as ones. Devices cannot reach the page by DMA, and no code runs
 * in it.
 */
#ifndef DEVMODEL_MACHINE_BAD_PAGE_H
#define DEVMODEL_MACHINE_BAD_PAGE_H
#include "mem/mem.h"

struct bad_page {
	struct hv_map_range range;
	struct hv_ram *ram; /* borrowed; what holds the page's bytes */
	uint64_t ram_off;
	uint8_t *host;
	uint32_t byte; /* which of the page */
	uint8_t ones;
};

/* Puts the page over the RAM at gpa, for good; domain: of its accesses, borrowed. -EINVAL: no RAM
 * there. */
int bad_page_place(struct bad_page *b, struct hv_mem *mem, struct hv_domain *domain, uint64_t gpa,
		   uint8_t ones, struct err *e) HV_MUST_CHECK;
#endif
