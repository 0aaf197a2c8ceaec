/*
 * Debug-exit port, only in machines that ask for it: a write of any size asks the machine to end
 * and hands its low byte over. Reads give 0.
 *
 * Specification: none; the convention of test programs (unit tests on bare metal).
 * Not modelled: nothing.
 */
#include "devmodel/chipset/debug_exit.h"

STATE_LAYOUT_BEGIN
struct debug_exit_state {
	uint8_t last; /* byte of the last write */
};
STATE_LAYOUT_END

struct debug_exit {
	struct dev dev;
	struct debug_exit_state s;
};

static struct debug_exit *debug_exit_from_dev(struct dev *d)
{
	assert(d->cls == &dm_debug_exit);
	return (struct debug_exit *)d;
}

static uint64_t debug_exit_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	(void)d, (void)region, (void)off, (void)size;
	return 0;
}

static void debug_exit_write(struct dev *d, unsigned region, uint64_t off, unsigned size,
			     uint64_t v)
{
	(void)region, (void)size;
	if (off != 0)
		return;
	debug_exit_from_dev(d)->s.last = (uint8_t)v;
	dev_request(d, DEV_REQ_DEBUG_EXIT, (uint8_t)v);
}

static void debug_exit_reset(struct dev *d)
{
	debug_exit_from_dev(d)->s = (struct debug_exit_state){ 0 };
}

static const struct state_desc debug_exit_state = {
	.name = "debug_exit",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct debug_exit_state),
	.fields = (const struct state_field[]){ STATE(struct debug_exit_state, last), STATE_END },
};

const struct dev_class dm_debug_exit = {
	.name = "debug_exit",
	.summary = "port that ends the machine, for tests",
	.size = sizeof(struct debug_exit),
	.state = &debug_exit_state,
	.state_off = offsetof(struct debug_exit, s),
	.regions = { { "port", 4, 1, 4 } },
	.reset = debug_exit_reset,
	.read = debug_exit_read,
	.write = debug_exit_write,
};
