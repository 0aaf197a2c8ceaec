/*
 * Two cascaded 8259A interrupt controllers and ELCR: priorities, rotation, special mask and special
 * fully nested mode, polling, automatic EOI, spurious interrupts.
 *
 * Specification: Intel 8259A datasheet (231468); ICH9 datasheet, 5.8 and 13.4 (ELCR).
 *
 * Not modelled: MCS-80 mode (vectors are always the 8086's); ICW1.LTIM (ELCR decides, as in the
 * ICH9); single mode and ICW3's values (the wiring is fixed). An edge stays latched when its line
 * falls before the CPU acknowledges it; the real chip would answer with a spurious interrupt.
 */
#include "devmodel/chipset/i8259.h"

enum { REGION_MASTER, REGION_SLAVE, REGION_ELCR };
enum { MASTER, SLAVE, CASCADE = 2, SPURIOUS = 7, NONE = 8 };
enum { ICW1_IC4 = 1, ICW1_SELECT = 0x10, OCW3_SELECT = 8, ICW4_AEOI = 2, ICW4_SFNM = 0x10 };
enum { OCW3_RIS = 1, OCW3_RR = 2, OCW3_POLL = 4, OCW3_SMM = 0x20, OCW3_ESMM = 0x40 };
enum { EXPECT_OCW1, EXPECT_ICW2, EXPECT_ICW3, EXPECT_ICW4 };
static const uint8_t elcr_bits[2] = { 0xf8, 0xde }; /* the others are edges for good */

STATE_LAYOUT_BEGIN
struct pic_chip {
	uint8_t lines; /* input levels */
	uint8_t irr, imr, isr, elcr;
	uint8_t base;	/* vector of input 0 */
	uint8_t lowest; /* input of the lowest priority; 7 unless rotated */
	uint8_t expect; /* what the next write to port 1 is */
	bool wants_icw4, reads_isr, polls, special_mask;
	bool aeoi, aeoi_rotates, sfnm;
	uint8_t pad_;
};
struct i8259_state {
	struct pic_chip chip[2];
};
STATE_LAYOUT_END

struct i8259 {
	struct dev dev;
	struct i8259_state s;
};

static struct i8259 *i8259_from_dev(struct dev *d)
{
	assert(d->cls == &dm_i8259);
	return (struct i8259 *)d;
}

/* How many places below the highest priority the first of bits is: 0 to 7, NONE without any. */
static unsigned rank(const struct pic_chip *c, uint8_t bits)
{
	unsigned n = 0;

	if (bits == 0)
		return NONE;
	while (!(bits >> ((c->lowest + 1 + n) & 7) & 1))
		n++;
	return n;
}

static unsigned input_of_rank(const struct pic_chip *c, unsigned r)
{
	return (c->lowest + 1 + r) & 7;
}

/* The input that the chip wants served now, or -1. */
static int wanted(const struct i8259 *p, unsigned which)
{
	const struct pic_chip *c = &p->s.chip[which];
	const unsigned r = rank(c, c->irr & ~c->imr);
	uint8_t blocks = c->isr;

	if (r == NONE)
		return -1;
	if (c->special_mask)
		blocks &= (uint8_t)~c->imr;
	if (c->sfnm && which == MASTER)
		blocks &= (uint8_t) ~(1u << CASCADE);
	return r < rank(c, blocks) ? (int)input_of_rank(c, r) : -1;
}

static void set_line(struct pic_chip *c, unsigned input, bool level)
{
	const uint8_t bit = (uint8_t)(1u << input);

	if (level && !(c->lines & bit))
		c->irr |= bit;
	else if (!level && (c->elcr & bit))
		c->irr &= (uint8_t)~bit;
	c->lines = (uint8_t)(level ? c->lines | bit : c->lines & ~bit);
}

/* The slave's output into the master; its request goes when the output does. */
static void set_cascade(struct i8259 *p, bool level)
{
	set_line(&p->s.chip[MASTER], CASCADE, level);
	if (!level)
		p->s.chip[MASTER].irr &= (uint8_t) ~(1u << CASCADE);
}

static void follow(struct i8259 *p)
{
	set_cascade(p, wanted(p, SLAVE) >= 0);
	dev_irq_set(&p->dev, 0, wanted(p, MASTER) >= 0);
}

static void take(struct pic_chip *c, unsigned input)
{
	const uint8_t bit = (uint8_t)(1u << input);

	if (!c->aeoi)
		c->isr |= bit;
	else if (c->aeoi_rotates)
		c->lowest = (uint8_t)input;
	if (!(c->elcr & bit))
		c->irr &= (uint8_t)~bit;
}

int dm_pic_ack(struct dev *d)
{
	struct i8259 *p = i8259_from_dev(d);
	struct pic_chip *m = &p->s.chip[MASTER], *s = &p->s.chip[SLAVE];
	int input = wanted(p, MASTER), vector;

	if (input == CASCADE) {
		take(m, CASCADE);
		input = wanted(p, SLAVE);
		if (input >= 0)
			take(s, (unsigned)input);
		vector = s->base + (input >= 0 ? input : SPURIOUS);
		set_cascade(p, false); /* the output pulses: a next request is a new edge */
	} else {
		if (input >= 0)
			take(m, (unsigned)input);
		vector = m->base + (input >= 0 ? input : SPURIOUS);
	}
	follow(p);
	return vector;
}

/* ICW1: the edge detectors start anew, levels do not. */
static void start_init(struct pic_chip *c, uint8_t v)
{
	const struct pic_chip was = *c;

	*c = (struct pic_chip){ .lines = was.lines,
				.irr = was.lines & was.elcr,
				.elcr = was.elcr,
				.lowest = 7,
				.expect = EXPECT_ICW2,
				.wants_icw4 = v & ICW1_IC4 };
}

static void write_ocw2(struct pic_chip *c, uint8_t v)
{
	const bool rotate = v & 0x80, specific = v & 0x40, eoi = v & 0x20;
	uint8_t isr = c->isr;
	unsigned input = v & 7;

	if (!eoi && !specific) { /* rotate in automatic EOI mode: set, clear */
		c->aeoi_rotates = rotate;
		return;
	}
	if (!eoi) { /* set priority; or nothing */
		if (rotate)
			c->lowest = (uint8_t)input;
		return;
	}
	if (!specific) {
		if (c->special_mask)
			isr &= (uint8_t)~c->imr;
		if (isr == 0)
			return;
		input = input_of_rank(c, rank(c, isr));
	}
	c->isr &= (uint8_t) ~(1u << input);
	if (rotate)
		c->lowest = (uint8_t)input;
}

static void write_port0(struct pic_chip *c, uint8_t v)
{
	if (v & ICW1_SELECT) {
		start_init(c, v);
		return;
	}
	if (!(v & OCW3_SELECT)) {
		write_ocw2(c, v);
		return;
	}
	if (v & OCW3_POLL)
		c->polls = true;
	if (v & OCW3_RR)
		c->reads_isr = v & OCW3_RIS;
	if (v & OCW3_ESMM)
		c->special_mask = v & OCW3_SMM;
}

static void write_port1(struct pic_chip *c, uint8_t v)
{
	switch (c->expect) {
	case EXPECT_ICW2:
		c->base = v & 0xf8;
		c->expect = EXPECT_ICW3;
		break;
	case EXPECT_ICW3:
		c->expect = c->wants_icw4 ? EXPECT_ICW4 : EXPECT_OCW1;
		break;
	case EXPECT_ICW4:
		c->aeoi = v & ICW4_AEOI;
		c->sfnm = v & ICW4_SFNM;
		c->expect = EXPECT_OCW1;
		break;
	default:
		c->imr = v;
		break;
	}
}

static uint64_t i8259_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	struct i8259 *p = i8259_from_dev(d);
	struct pic_chip *c = &p->s.chip[region == REGION_ELCR ? off : region];
	int input;

	(void)size;
	if (region == REGION_ELCR)
		return c->elcr;
	if (!c->polls) {
		if (off == 1)
			return c->imr;
		return c->reads_isr ? c->isr : c->irr;
	}
	c->polls = false; /* a poll is an acknowledge */
	input = wanted(p, region);
	if (input < 0)
		return 0;
	take(c, (unsigned)input);
	if (region == SLAVE)
		set_cascade(p, false);
	follow(p);
	return 0x80u | (unsigned)input;
}

static void i8259_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	struct i8259 *p = i8259_from_dev(d);

	(void)size;
	if (region == REGION_ELCR) {
		struct pic_chip *c = &p->s.chip[off];
		const uint8_t was = c->elcr;
		c->elcr = (uint8_t)v & elcr_bits[off];
		/* what became a level follows its line, what was one forgets it */
		c->irr = (uint8_t)((c->irr & ~(c->elcr | was)) | (c->lines & c->elcr));
	} else if (off == 0) {
		write_port0(&p->s.chip[region], (uint8_t)v);
	} else {
		write_port1(&p->s.chip[region], (uint8_t)v);
	}
	follow(p);
}

static void i8259_irq_in(struct dev *d, unsigned input, bool level)
{
	struct i8259 *p = i8259_from_dev(d);

	if (input == CASCADE)
		return;
	set_line(&p->s.chip[input / 8], input % 8, level);
	follow(p);
}

static void i8259_state_init(void *obj)
{
	const struct pic_chip chip = { .lowest = 7 };

	*(struct i8259_state *)obj = (struct i8259_state){ .chip = { chip, chip } };
}

static int i8259_post_load(void *obj, struct err *e)
{
	const struct i8259_state *s = obj;

	for (unsigned i = 0; i < 2; i++) {
		const struct pic_chip *c = &s->chip[i];
		if (c->lowest > 7 || c->expect > EXPECT_ICW4 || (c->base & 7) ||
		    (c->elcr & ~elcr_bits[i]))
			return err_set(e, -EINVAL, "i8259: chip %u: impossible registers", i);
	}
	return 0;
}

/* The wires keep their levels: their drivers change them. */
static void i8259_reset(struct dev *d)
{
	struct i8259 *p = i8259_from_dev(d);
	const uint8_t lines[2] = { p->s.chip[MASTER].lines & (uint8_t) ~(1u << CASCADE),
				   p->s.chip[SLAVE].lines };

	i8259_state_init(&p->s);
	p->s.chip[MASTER].lines = lines[MASTER];
	p->s.chip[SLAVE].lines = lines[SLAVE];
	follow(p);
}

static void i8259_resume(struct dev *d)
{
	follow(i8259_from_dev(d));
}

static const struct state_desc pic_chip_state = {
	.name = "chip",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct pic_chip),
	.fields =
		(const struct state_field[]){
			STATE(struct pic_chip, lines), STATE(struct pic_chip, irr),
			STATE(struct pic_chip, imr), STATE(struct pic_chip, isr),
			STATE(struct pic_chip, elcr), STATE(struct pic_chip, base),
			STATE(struct pic_chip, lowest), STATE(struct pic_chip, expect),
			STATE(struct pic_chip, wants_icw4), STATE(struct pic_chip, reads_isr),
			STATE(struct pic_chip, polls), STATE(struct pic_chip, special_mask),
			STATE(struct pic_chip, aeoi), STATE(struct pic_chip, aeoi_rotates),
			STATE(struct pic_chip, sfnm), STATE_PAD(struct pic_chip, pad_), STATE_END },
};

static const struct state_desc i8259_state = {
	.name = "i8259",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct i8259_state),
	.init = i8259_state_init,
	.post_load = i8259_post_load,
	.fields = (const struct state_field[]){ STATE_STRUCTS(struct i8259_state, chip,
							      &pic_chip_state),
						STATE_END },
};

const struct dev_class dm_i8259 = {
	.name = "i8259",
	.summary = "pair of 8259A interrupt controllers",
	.size = sizeof(struct i8259),
	.state = &i8259_state,
	.state_off = offsetof(struct i8259, s),
	.regions = { [REGION_MASTER] = { "master", 2, 1, 1 },
		     [REGION_SLAVE] = { "slave", 2, 1, 1 },
		     [REGION_ELCR] = { "elcr", 2, 1, 1 } },
	.irqs = { "intr" },
	.n_irq_in = 16,
	.reset = i8259_reset,
	.read = i8259_read,
	.write = i8259_write,
	.irq_in = i8259_irq_in,
	.resume = i8259_resume,
};
