/*
 * Reset control register: a rising RST_CPU resets the machine, hard (SYS_RST) or soft; both are the
 * same here, since a soft reset of the ICH9 drives INIT# into one CPU and guests use it to restart.
 *
 * Specification: Intel ICH9 datasheet, 13.7.5 (RST_CNT).
 * Not modelled: a power cycle (FULL_RST) as different from a hard reset.
 */
#include "devmodel/chipset/reset_ctl.h"

enum { RST_SYS = 2, RST_CPU = 4, RST_FULL = 8, RST_KEPT = RST_SYS | RST_CPU | RST_FULL };

STATE_LAYOUT_BEGIN
struct reset_ctl_state {
	uint8_t value;
};
STATE_LAYOUT_END

struct reset_ctl {
	struct dev dev;
	struct reset_ctl_state s;
};

static struct reset_ctl *reset_ctl_from_dev(struct dev *d)
{
	assert(d->cls == &dm_reset_ctl);
	return (struct reset_ctl *)d;
}

static uint64_t reset_ctl_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	(void)region, (void)off, (void)size;
	return reset_ctl_from_dev(d)->s.value;
}

static void reset_ctl_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	struct reset_ctl *r = reset_ctl_from_dev(d);
	const uint8_t was = r->s.value;

	(void)region, (void)off, (void)size;
	r->s.value = (uint8_t)v & RST_KEPT;
	if (~was & r->s.value & RST_CPU)
		dev_request(d, DEV_REQ_RESET, 0);
}

static int reset_ctl_post_load(void *obj, struct err *e)
{
	const struct reset_ctl_state *s = obj;

	if (s->value & ~RST_KEPT)
		return err_set(e, -EINVAL, "reset_ctl: reserved bits set in %#x", s->value);
	return 0;
}

static void reset_ctl_reset(struct dev *d)
{
	reset_ctl_from_dev(d)->s = (struct reset_ctl_state){ 0 };
}

static const struct state_desc reset_ctl_state = {
	.name = "reset_ctl",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct reset_ctl_state),
	.post_load = reset_ctl_post_load,
	.fields = (const struct state_field[]){ STATE(struct reset_ctl_state, value), STATE_END },
};

const struct dev_class dm_reset_ctl = {
	.name = "reset_ctl",
	.summary = "reset control register 0xCF9",
	.size = sizeof(struct reset_ctl),
	.state = &reset_ctl_state,
	.state_off = offsetof(struct reset_ctl, s),
	.regions = { { "rst_cnt", 1, 1, 1 } },
	.reset = reset_ctl_reset,
	.read = reset_ctl_read,
	.write = reset_ctl_write,
};
