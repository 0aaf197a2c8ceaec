/* Where random bytes come from; the consumer is the virtio entropy device. */
#ifndef DEVMODEL_VIRTIO_RNG_BACKEND_H
#define DEVMODEL_VIRTIO_RNG_BACKEND_H
#include <stddef.h>
#include <stdint.h>

struct rng;

struct rng_ops {
	/* Fills buf. Any thread, a device's domain held; must not block, cannot fail. */
	void (*fill)(struct rng *r, uint8_t *buf, size_t len);
};

struct rng {
	const struct rng_ops *ops;
};

extern struct rng rng_host; /* the host kernel's generator */

/* The same bytes in every run: for deterministic machines. */
struct rng_seeded {
	struct rng rng;
	uint64_t state;
};
void rng_seeded_init(struct rng_seeded *s, uint64_t seed);
#endif
