/* Bytes that are the same in every run, for deterministic machines; nothing for secrets. The
 * generator is SplitMix64. */
#include "base/util.h"
#include "devmodel/virtio/rng_backend.h"

static uint64_t next_word(struct rng_seeded *s)
{
	uint64_t x = s->state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static void seeded_fill(struct rng *r, uint8_t *buf, size_t len)
{
	struct rng_seeded *s = HV_CONTAINER_OF(r, struct rng_seeded, rng);

	while (len > 0) {
		uint64_t x = next_word(s);
		size_t n = hv_min_u64(len, sizeof(x));

		memcpy(buf, &x, n);
		buf += n;
		len -= n;
	}
}

void rng_seeded_init(struct rng_seeded *s, uint64_t seed)
{
	static const struct rng_ops ops = { .fill = seeded_fill };

	*s = (struct rng_seeded){ .rng.ops = &ops, .state = seed };
}
