/*
 * Diagnostic ports 0x80 and 0xED: plain latches. The write itself is the delay that guests want.
 *
 * Specification: IBM PC/AT technical reference (manufacturing test port).
 * Not modelled: a display of the code; the last one is kept in the saved state.
 */
#include "devmodel/chipset/post_port.h"

STATE_LAYOUT_BEGIN
struct post_port_state {
	uint8_t last[2];
};
STATE_LAYOUT_END

struct post_port {
	struct dev dev;
	struct post_port_state s;
};

static struct post_port *post_port_from_dev(struct dev *d)
{
	assert(d->cls == &dm_post_port);
	return (struct post_port *)d;
}

static uint64_t post_port_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	(void)off, (void)size;
	return post_port_from_dev(d)->s.last[region];
}

static void post_port_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	(void)off, (void)size;
	post_port_from_dev(d)->s.last[region] = (uint8_t)v;
}

static void post_port_reset(struct dev *d)
{
	post_port_from_dev(d)->s = (struct post_port_state){ 0 };
}

static const struct state_desc post_port_state = {
	.name = "post_port",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct post_port_state),
	.fields = (const struct state_field[]){ STATE_ARRAY(struct post_port_state, last),
						STATE_END },
};

const struct dev_class dm_post_port = {
	.name = "post_port",
	.summary = "diagnostic ports 0x80 and 0xED",
	.size = sizeof(struct post_port),
	.state = &post_port_state,
	.state_off = offsetof(struct post_port, s),
	.regions = { { "post", 1, 1, 1 }, { "delay", 1, 1, 1 } },
	.reset = post_port_reset,
	.read = post_port_read,
	.write = post_port_write,
};
