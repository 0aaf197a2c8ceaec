/*
 * System control port A: bit 1 opens the A20 gate, a rising bit 0 sends INIT to the CPUs.
 *
 * Specification: Intel ICH9 datasheet, 13.7 (PORT92).
 * Not modelled: the keyboard controller's share in A20 (whoever wrote last wins); the bits that the
 * ICH9 reserves read 0.
 */
#include "devmodel/chipset/port92.h"

enum { P92_INIT = 1, P92_A20 = 2 };

STATE_LAYOUT_BEGIN
struct port92_state {
	uint8_t value;
};
STATE_LAYOUT_END

struct port92 {
	struct dev dev;
	struct port92_state s;
};

static struct port92 *port92_from_dev(struct dev *d)
{
	assert(d->cls == &dm_port92);
	return (struct port92 *)d;
}

static uint64_t port92_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	(void)region, (void)off, (void)size;
	return port92_from_dev(d)->s.value;
}

static void port92_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	struct port92 *p = port92_from_dev(d);
	const uint8_t was = p->s.value;

	(void)region, (void)off, (void)size;
	p->s.value = (uint8_t)(v & (P92_INIT | P92_A20));
	if ((was ^ p->s.value) & P92_A20)
		dev_request(d, p->s.value & P92_A20 ? DEV_REQ_A20_ON : DEV_REQ_A20_OFF, 0);
	if (~was & p->s.value & P92_INIT)
		dev_request(d, DEV_REQ_INIT_CPUS, 0);
}

static void port92_state_init(void *obj)
{
	*(struct port92_state *)obj = (struct port92_state){ .value = P92_A20 };
}

static int port92_post_load(void *obj, struct err *e)
{
	const struct port92_state *s = obj;

	if (s->value & ~(P92_INIT | P92_A20))
		return err_set(e, -EINVAL, "port92: reserved bits set in %#x", s->value);
	return 0;
}

static void port92_reset(struct dev *d)
{
	port92_state_init(&port92_from_dev(d)->s);
}

static const struct state_desc port92_state = {
	.name = "port92",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct port92_state),
	.init = port92_state_init,
	.post_load = port92_post_load,
	.fields = (const struct state_field[]){ STATE(struct port92_state, value), STATE_END },
};

const struct dev_class dm_port92 = {
	.name = "port92",
	.summary = "system control port A: A20 gate and INIT",
	.size = sizeof(struct port92),
	.state = &port92_state,
	.state_off = offsetof(struct port92, s),
	.regions = { { "port92", 1, 1, 1 } },
	.reset = port92_reset,
	.read = port92_read,
	.write = port92_write,
};
