/* The I/O port space: 65536 ports, ranges as in the memory map, bytes where nothing answers. */
#ifndef BUS_PIO_H
#define BUS_PIO_H
#include <stdatomic.h>
#include "mem/mem.h"

struct hv_pio;

/* Embedded in its owner, who keeps it alive while mapped. A later range hides an earlier one. */
struct hv_pio_range {
	const char *name; /* borrowed */
	uint16_t port;
	uint32_t count; /* port + count at most 65536; not 0 */
	const struct hv_io_ops *io;
	void *io_ctx;		  /* borrowed */
	struct hv_domain *domain; /* taken before each call */
	/* private to bus/ */
	bool mapped;
	struct hv_pio_range *next;
	_Atomic uint64_t span; /* port and count as mapped: an access may be on its way in while the
				* owner moves the range */
};

int hv_pio_create(struct hv_pio **ret_pio, struct err *e) HV_MUST_CHECK;
void hv_pio_destroy(struct hv_pio *p);
/* Any thread, a domain may be held; cannot fail. */
void hv_pio_map(struct hv_pio *p, struct hv_pio_range *r);
void hv_pio_unmap(struct hv_pio *p, struct hv_pio_range *r); /* twice is once */

/* By vCPUs, no domain held. size 1, 2, 4; an access over the end of a range is split into bytes.
 * Nothing there: ones. */
uint32_t hv_pio_read(struct hv_pio *p, uint16_t port, unsigned size);
void hv_pio_write(struct hv_pio *p, uint16_t port, unsigned size, uint32_t v);
#endif
