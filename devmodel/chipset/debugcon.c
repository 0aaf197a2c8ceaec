/*
 * Debug console port as Bochs has it: writes print, reads give 0xE9.
 *
 * Specification: none; the convention of firmware (SeaBIOS and OVMF probe for the value).
 * Not modelled: input. Output that the back-end does not take waits in a buffer of BUF_BYTES; what
 * comes while that is full is dropped, since the port has no way to say "busy".
 */
#include "devmodel/chipset/debugcon.h"
#include "devmodel/chipset/chr.h"

#define READBACK 0xE9u
#define BUF_BYTES 2048u
#define NAME_MAX_BYTES 31

STATE_LAYOUT_BEGIN
struct debugcon_state {
	uint32_t len, pad_; /* bytes that wait in buf */
	uint8_t buf[BUF_BYTES];
};
STATE_LAYOUT_END

struct debugcon {
	struct dev dev;
	struct debugcon_state s;
	struct chr *out; /* borrowed */
	char chr[NAME_MAX_BYTES + 1];
};

static struct debugcon *debugcon_from_dev(struct dev *d)
{
	assert(d->cls == &dm_debugcon);
	return (struct debugcon *)d;
}

static void drain(struct debugcon *c)
{
	if (c->s.len == 0)
		return;
	size_t n = c->out->ops->write(c->out, c->s.buf, c->s.len);
	assert(n <= c->s.len);
	c->s.len -= (uint32_t)n;
	memmove(c->s.buf, c->s.buf + n, c->s.len);
	memset(c->s.buf + c->s.len, 0, n); /* saved bytes are those that wait, and no others */
}

static uint64_t debugcon_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	(void)d, (void)region, (void)off, (void)size;
	return READBACK;
}

static void debugcon_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	struct debugcon *c = debugcon_from_dev(d);
	const uint8_t byte = (uint8_t)v;

	(void)region, (void)off, (void)size;
	drain(c);
	if (c->s.len == 0 && c->out->ops->write(c->out, &byte, 1) == 1)
		return;
	if (c->s.len < BUF_BYTES)
		c->s.buf[c->s.len++] = byte;
}

static size_t receive(void *ctx, const uint8_t *buf, size_t len)
{
	(void)ctx, (void)buf;
	return len; /* nobody listens */
}

static void can_write(void *ctx)
{
	drain(ctx);
}

static int debugcon_realize(struct dev *d, struct err *e)
{
	struct debugcon *c = debugcon_from_dev(d);

	c->out = dev_backend(d, DEV_BACKEND_CHR, c->chr, e);
	if (c->out == NULL)
		return -ENOENT;
	c->out->peer = (struct chr_peer){ .receive = receive, .can_write = can_write, .ctx = c };
	return 0;
}

static void debugcon_unrealize(struct dev *d)
{
	struct debugcon *c = debugcon_from_dev(d);

	if (c->out != NULL)
		c->out->peer = (struct chr_peer){ 0 };
}

static void debugcon_reset(struct dev *d)
{
	debugcon_from_dev(d)->s = (struct debugcon_state){ 0 };
}

static void debugcon_resume(struct dev *d)
{
	drain(debugcon_from_dev(d));
}

static int debugcon_post_load(void *obj, struct err *e)
{
	const struct debugcon_state *s = obj;

	if (s->len > BUF_BYTES)
		return err_set(e, -EINVAL, "debugcon: %u bytes wait in %u", s->len, BUF_BYTES);
	return 0;
}

static const struct state_desc debugcon_state = {
	.name = "debugcon",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct debugcon_state),
	.post_load = debugcon_post_load,
	.fields = (const struct state_field[]){ STATE(struct debugcon_state, len),
						STATE_PAD(struct debugcon_state, pad_),
						STATE_ARRAY(struct debugcon_state, buf),
						STATE_END },
};

static const struct opt debugcon_opts[] = { OPT(struct debugcon, chr, 1, NAME_MAX_BYTES, "debugcon",
						"back-end that gets the output"),
					    OPT_END };

const struct dev_class dm_debugcon = {
	.name = "debugcon",
	.summary = "debug console ports 0x402 and 0xE9",
	.size = sizeof(struct debugcon),
	.opts = debugcon_opts,
	.state = &debugcon_state,
	.state_off = offsetof(struct debugcon, s),
	.regions = { { "firmware", 1, 1, 1 }, { "bochs", 1, 1, 1 } },
	.realize = debugcon_realize,
	.unrealize = debugcon_unrealize,
	.reset = debugcon_reset,
	.read = debugcon_read,
	.write = debugcon_write,
	.resume = debugcon_resume,
};
