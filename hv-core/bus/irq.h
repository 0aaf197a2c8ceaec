/*
 * Interrupt wires and messages. A line has one receiver (an interrupt controller's input) and any
 * number of drivers, which are OR-ed. Messages (MSI) go to whoever the machine named.
 */
#ifndef BUS_IRQ_H
#define BUS_IRQ_H
#include <stdbool.h>
#include <stdint.h>
#include "base/thread.h"

/* The receiving end. Called under the receiver's domain, taken here. */
struct hv_irq_sink {
	void (*set)(void *ctx, unsigned input, bool level);
	void *ctx; /* borrowed */
	struct hv_domain *domain;
};

/* A wire to one input of up to two sinks (ISA lines go to both PIC and IOAPIC). */
#define HV_IRQ_MAX_SINKS 2
struct hv_irq_line {
	struct {
		const struct hv_irq_sink *sink; /* borrowed; NULL: not connected */
		unsigned input;
	} to[HV_IRQ_MAX_SINKS];
	pthread_mutex_t lock;
	unsigned raised; /* drivers that hold it high */
};

void hv_irq_line_init(struct hv_irq_line *l);
void hv_irq_line_finish(struct hv_irq_line *l);
void hv_irq_line_connect(struct hv_irq_line *l, const struct hv_irq_sink *s, unsigned input);

/* One driver of a line. Owner's storage. set: the same level again changes nothing. Any thread, a
 * device's domain may be held, but no receiver's; the owner's calls for one driver come one after
 * the other. */
struct hv_irq_driver {
	struct hv_irq_line *line; /* borrowed; NULL: not wired, set does nothing */
	bool level;
};
void hv_irq_set(struct hv_irq_driver *d, bool level);

/* Message-signalled interrupts: a 32-bit write of data to addr (0xFEExxxxx). Any thread. */
struct hv_msi_sink {
	void (*send)(void *ctx, uint64_t addr, uint32_t data);
	void *ctx;
};
#endif
