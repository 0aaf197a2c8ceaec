/*
 * Two 8237A DMA controllers and their page registers, as in every PC since the AT.
 *
 * Specification: Intel 8237A datasheet (231466); ICH9 datasheet, 5.5 and 13.2.
 *
 * Not modelled: memory-to-memory transfers, requests by software (the register is storage),
 * rotating priority and cycle timing (commands are kept); the cascade, which moves no data by
 * itself.
 */
#include "devmodel/chipset/i8237.h"

enum { REGION_CHIP0, REGION_CHIP1, REGION_PAGES };
enum { R_STATUS = 8, R_REQUEST, R_MASK_ONE, R_MODE, R_CLEAR_FF, R_MASTER_CLEAR, R_UNMASK, R_MASK };
enum { COMMAND_OFF = 4, MODE_DOWN = 0x20, MODE_AUTO = 0x10, ALL_MASKED = 0x0f };
enum { TRANSFER_VERIFY, TRANSFER_WRITE, TRANSFER_READ };
#define N_PAGES 15u

STATE_LAYOUT_BEGIN
struct dma_channel {
	uint16_t base_addr, base_count, addr, count; /* in units of the channel */
	uint8_t mode;
	uint8_t pad_;
};
struct dma_chip {
	struct dma_channel ch[4];
	uint8_t command, status, mask, request;
	bool high; /* the next byte of an address or count is the upper one */
	uint8_t pad_;
};
struct i8237_state {
	struct dma_chip chip[2];
	uint8_t pages[N_PAGES]; /* from port 0x81 */
	uint8_t pad_;
};
STATE_LAYOUT_END

struct i8237 {
	struct dev dev;
	struct i8237_state s;
};

/* Where in pages[] a channel's page register is: ports 87 83 81 82, 8F 8B 89 8A. */
static const uint8_t page_of[8] = { 6, 2, 0, 1, 14, 10, 8, 9 };

static struct i8237 *i8237_from_dev(struct dev *d)
{
	assert(d->cls == &dm_i8237);
	return (struct i8237 *)d;
}

static uint8_t read_half(struct dma_chip *c, uint16_t v)
{
	c->high = !c->high;
	return (uint8_t)(c->high ? v : v >> 8);
}

static void write_half(struct dma_chip *c, uint16_t *base, uint16_t *cur, uint8_t v)
{
	*base = (uint16_t)(c->high ? (*base & 0xff) | v << 8 : (*base & 0xff00) | v);
	*cur = *base;
	c->high = !c->high;
}

static uint8_t read_chip(struct dma_chip *c, unsigned reg)
{
	uint8_t v;

	if (reg < R_STATUS)
		return read_half(c, reg & 1 ? c->ch[reg / 2].count : c->ch[reg / 2].addr);
	switch (reg) {
	case R_STATUS:
		v = c->status;
		c->status &= 0xf0;
		return v;
	case R_MASK:
		return c->mask | 0xf0;
	default: /* the temporary register and write-only ones */
		return 0;
	}
}

static void clear_chip(struct dma_chip *c)
{
	c->command = c->status = c->request = 0;
	c->mask = ALL_MASKED;
	c->high = false;
}

static void write_chip(struct dma_chip *c, unsigned reg, uint8_t v)
{
	const uint8_t bit = (uint8_t)(1u << (v & 3));
	struct dma_channel *ch = &c->ch[(reg / 2) & 3];

	switch (reg) {
	case R_STATUS:
		c->command = v;
		break;
	case R_REQUEST:
		c->request = (uint8_t)(v & 4 ? c->request | bit : c->request & ~bit);
		break;
	case R_MASK_ONE:
		c->mask = (uint8_t)(v & 4 ? c->mask | bit : c->mask & ~bit);
		break;
	case R_MODE:
		c->ch[v & 3].mode = v & 0xfc;
		break;
	case R_CLEAR_FF:
		c->high = false;
		break;
	case R_MASTER_CLEAR:
		clear_chip(c);
		break;
	case R_UNMASK:
		c->mask = 0;
		break;
	case R_MASK:
		c->mask = v & ALL_MASKED;
		break;
	default:
		if (reg & 1)
			write_half(c, &ch->base_count, &ch->count, v);
		else
			write_half(c, &ch->base_addr, &ch->addr, v);
		break;
	}
}

static uint64_t i8237_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	struct i8237 *a = i8237_from_dev(d);

	(void)size;
	if (region == REGION_PAGES)
		return a->s.pages[off];
	return read_chip(&a->s.chip[region], (unsigned)off >> region);
}

static void i8237_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	struct i8237 *a = i8237_from_dev(d);

	(void)size;
	if (region == REGION_PAGES)
		a->s.pages[off] = (uint8_t)v;
	else
		write_chip(&a->s.chip[region], (unsigned)off >> region, (uint8_t)v);
}

/* ---- transfers ---- */

/* Where the channel's current unit lies: words never cross 128 KiB, bytes 64 KiB. */
static uint64_t gpa_of(const struct i8237 *a, unsigned channel)
{
	const struct dma_channel *ch = &a->s.chip[channel / 4].ch[channel % 4];
	const uint64_t page = a->s.pages[page_of[channel]];

	return channel < 4 ? page << 16 | ch->addr : (page & 0xfe) << 16 | (uint64_t)ch->addr << 1;
}

/* After a unit; true: it was the last. */
static bool advance(struct dma_chip *c, unsigned i)
{
	struct dma_channel *ch = &c->ch[i];

	ch->addr = (uint16_t)(ch->mode & MODE_DOWN ? ch->addr - 1 : ch->addr + 1);
	if (ch->count-- != 0)
		return false;
	c->status |= (uint8_t)(1u << i);
	if (ch->mode & MODE_AUTO) {
		ch->addr = ch->base_addr;
		ch->count = ch->base_count;
	} else {
		c->mask |= (uint8_t)(1u << i);
	}
	return true;
}

/* Memory that is not there reads as ones and takes nothing, as on the bus. */
static void move(struct i8237 *a, unsigned channel, unsigned kind, uint8_t *unit, size_t n)
{
	const uint64_t gpa = gpa_of(a, channel);

	if (kind == TRANSFER_READ && dev_dma_read(&a->dev, gpa, unit, n) < 0)
		memset(unit, 0xff, n);
	if (kind == TRANSFER_WRITE && dev_dma_write(&a->dev, gpa, unit, n) < 0)
		dev_guest_error(&a->dev, "channel %u: no memory at %#llx", channel,
				(unsigned long long)gpa);
}

static size_t transfer(struct dev *d, unsigned channel, unsigned want, uint8_t *buf, size_t len,
		       bool *ret_tc)
{
	struct i8237 *a = i8237_from_dev(d);
	struct dma_chip *c = &a->s.chip[channel / 4];
	const unsigned i = channel % 4, kind = c->ch[i].mode >> 2 & 3;
	const size_t unit = channel < 4 ? 1 : 2;
	size_t done = 0;

	*ret_tc = false;
	if ((c->command & COMMAND_OFF) || (c->mask >> i & 1))
		return 0;
	if (kind != want && kind != TRANSFER_VERIFY)
		return 0;
	for (; done + unit <= len && !*ret_tc; done += unit) {
		move(a, channel, kind, buf + done, unit);
		*ret_tc = advance(c, i);
	}
	return done;
}

size_t dm_dma_read(struct dev *d, unsigned channel, void *buf, size_t len, bool *ret_tc)
{
	return transfer(d, channel, TRANSFER_READ, buf, len, ret_tc);
}

/* buf is only read from: a write transfer copies out of it. */
size_t dm_dma_write(struct dev *d, unsigned channel, const void *buf, size_t len, bool *ret_tc)
{
	return transfer(d, channel, TRANSFER_WRITE, (uint8_t *)(uintptr_t)buf, len, ret_tc);
}

void dm_dma_set_request(struct dev *d, unsigned channel, bool level)
{
	struct dma_chip *c = &i8237_from_dev(d)->s.chip[channel / 4];
	const uint8_t bit = (uint8_t)(0x10u << channel % 4);

	c->status = (uint8_t)(level ? c->status | bit : c->status & ~bit);
}

/* ---- the device ---- */

static void i8237_state_init(void *obj)
{
	struct i8237_state *s = obj;

	memset(s, 0, sizeof(*s));
	s->chip[0].mask = s->chip[1].mask = ALL_MASKED;
}

static int i8237_post_load(void *obj, struct err *e)
{
	const struct i8237_state *s = obj;

	for (unsigned i = 0; i < 2; i++) {
		if ((s->chip[i].mask & ~ALL_MASKED) || (s->chip[i].request & ~ALL_MASKED))
			return err_set(e, -EINVAL, "i8237: chip %u: impossible registers", i);
		for (unsigned n = 0; n < 4; n++)
			if (s->chip[i].ch[n].mode & 3)
				return err_set(e, -EINVAL, "i8237: impossible mode");
	}
	return 0;
}

static void i8237_reset(struct dev *d)
{
	i8237_state_init(&i8237_from_dev(d)->s);
}

static const struct state_desc dma_channel_state = {
	.name = "channel",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct dma_channel),
	.fields = (const struct state_field[]){ STATE(struct dma_channel, base_addr),
						STATE(struct dma_channel, base_count),
						STATE(struct dma_channel, addr),
						STATE(struct dma_channel, count),
						STATE(struct dma_channel, mode),
						STATE_PAD(struct dma_channel, pad_), STATE_END },
};

static const struct state_desc dma_chip_state = {
	.name = "chip",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct dma_chip),
	.fields =
		(const struct state_field[]){
			STATE_STRUCTS(struct dma_chip, ch, &dma_channel_state),
			STATE(struct dma_chip, command), STATE(struct dma_chip, status),
			STATE(struct dma_chip, mask), STATE(struct dma_chip, request),
			STATE(struct dma_chip, high), STATE_PAD(struct dma_chip, pad_), STATE_END },
};

static const struct state_desc i8237_state = {
	.name = "i8237",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct i8237_state),
	.init = i8237_state_init,
	.post_load = i8237_post_load,
	.fields = (const struct state_field[]){ STATE_STRUCTS(struct i8237_state, chip,
							      &dma_chip_state),
						STATE_ARRAY(struct i8237_state, pages),
						STATE_PAD(struct i8237_state, pad_), STATE_END },
};

const struct dev_class dm_i8237 = {
	.name = "i8237",
	.summary = "ISA DMA controllers",
	.size = sizeof(struct i8237),
	.state = &i8237_state,
	.state_off = offsetof(struct i8237, s),
	.regions = { [REGION_CHIP0] = { "chip0", 16, 1, 1 },
		     [REGION_CHIP1] = { "chip1", 32, 1, 1 },
		     [REGION_PAGES] = { "pages", N_PAGES, 1, 1 } },
	.reset = i8237_reset,
	.read = i8237_read,
	.write = i8237_write,
};
