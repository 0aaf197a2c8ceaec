/* Commands of the floppy controller: the table, and those without data; fdc_int.h. */
#include "devmodel/storage/ctrl/fdc/fdc_int.h"

#define VERSION 0x90
#define POS_MAX 84 /* where the drives' heads stop */
#define RECAL_STEPS 79

enum { ST3_PROTECTED = 0x40, ST3_READY = 0x20, ST3_TRACK0 = 0x10, ST3_TWO_SIDES = 8 };
enum { HEAD_AND_UNIT = 7, UNIT = 3 };
enum { DIRECTION_IN = 0x40 };

static void invalid(struct fdc *f)
{
	fdc_answer(f, (const uint8_t[]){ ST0_INVALID }, 1, false);
}

/* ---- heads ---- */

void fdc_move_head(struct fdc *f, int steps)
{
	struct fdc_unit_state *u = &f->s.unit[f->s.dor & FDC_DOR_SELECT];
	const struct fdc_drive *dr = fdc_selected(f);
	const int to = u->pos + steps;

	if (dr == NULL || steps == 0)
		return;
	u->pos = (uint8_t)(to < 0 ? 0 : to > POS_MAX ? POS_MAX : to);
	if (dr->blk != NULL)
		u->changed = false;
}

uint64_t fdc_next_seek_ns(const struct fdc *f)
{
	uint64_t next = DEV_TIMER_OFF;

	for (unsigned i = 0; i < FDC_UNITS; i++)
		if (f->s.unit[i].seek == FDC_SEEKING || f->s.unit[i].seek == FDC_RECALIBRATING)
			next = hv_min_u64(next, f->s.unit[i].seek_ns);
	return next;
}

/* st0 without the end's bits. */
static void begin_seek(struct fdc *f, enum fdc_seek kind, int steps, uint8_t target, uint8_t st0)
{
	struct fdc_unit_state *u = &f->s.unit[f->s.cmd[1] & UNIT];
	const uint64_t way = (uint64_t)(steps < 0 ? -steps : steps);

	u->seek = (uint8_t)kind;
	u->steps = steps;
	u->target = target;
	u->st0 = st0;
	u->seek_ns = dev_now_ns(&f->dev) + FDC_SETTLE_NS + way * FDC_STEP_NS;
	fdc_answer(f, NULL, 0, false);
	dev_timer_arm(&f->dev, TIMER_SEEK, fdc_next_seek_ns(f));
}

/* The drive says that its head is at the first track; only the selected one can say anything. */
static bool at_track0(struct fdc *f, unsigned unit)
{
	return (f->s.dor & FDC_DOR_SELECT) == unit && fdc_selected(f) != NULL &&
	       f->s.unit[unit].pos == 0;
}

static void arrive(struct fdc *f, unsigned i)
{
	struct fdc_unit_state *u = &f->s.unit[i];

	if ((f->s.dor & FDC_DOR_SELECT) == i)
		fdc_move_head(f, u->steps);
	u->pcn = u->target;
	u->st0 |= ST0_SEEK_END;
	if (u->seek == FDC_RECALIBRATING && !at_track0(f, i))
		u->st0 |= ST0_ABNORMAL | ST0_NO_TRACK0;
	u->steps = 0;
	u->seek = FDC_ARRIVED;
	f->s.polled = 0;
	fdc_interrupt(f, true);
}

void fdc_seek_due(struct fdc *f)
{
	const uint64_t now = dev_now_ns(&f->dev);

	for (unsigned i = 0; i < FDC_UNITS; i++) {
		const struct fdc_unit_state *u = &f->s.unit[i];
		if ((u->seek == FDC_SEEKING || u->seek == FDC_RECALIBRATING) && u->seek_ns <= now)
			arrive(f, i);
	}
	dev_timer_arm(&f->dev, TIMER_SEEK, fdc_next_seek_ns(f));
}

static void recalibrate(struct fdc *f)
{
	const unsigned unit = f->s.cmd[1] & UNIT;
	const int pos = f->s.unit[unit].pos;

	begin_seek(f, FDC_RECALIBRATING, -(pos < RECAL_STEPS ? pos : RECAL_STEPS), 0,
		   (uint8_t)unit);
}

static void seek(struct fdc *f)
{
	const uint8_t to = f->s.cmd[2];

	begin_seek(f, FDC_SEEKING, to - f->s.unit[f->s.cmd[1] & UNIT].pcn, to,
		   f->s.cmd[1] & HEAD_AND_UNIT);
}

static void relative_seek(struct fdc *f)
{
	const int n = f->s.cmd[0] & DIRECTION_IN ? f->s.cmd[2] : -f->s.cmd[2];

	begin_seek(f, FDC_SEEKING, n, (uint8_t)(f->s.unit[f->s.cmd[1] & UNIT].pcn + n),
		   f->s.cmd[1] & HEAD_AND_UNIT);
}

/* ---- what is the matter ---- */

/* First what a reset brought up, then the ends of seeks. */
static void sense_interrupt(struct fdc *f)
{
	struct fdc_state *s = &f->s;
	bool more = false;
	int found = -1;

	fdc_interrupt(f, false);
	for (unsigned i = 0; i < FDC_UNITS && found < 0; i++)
		if (s->polled != 0 ? s->polled >> i & 1 : s->unit[i].seek == FDC_ARRIVED)
			found = (int)i;
	if (found < 0) {
		invalid(f);
		return;
	}
	const uint8_t st0 = s->polled != 0 ? (uint8_t)(ST0_POLLED | found) : s->unit[found].st0;
	if (s->polled != 0)
		s->polled &= (uint8_t) ~(1u << found);
	else
		s->unit[found].seek = FDC_STILL;
	fdc_answer(f, (const uint8_t[]){ st0, s->unit[found].pcn }, 2, false);
	for (unsigned i = 0; i < FDC_UNITS; i++)
		more |= s->unit[i].seek == FDC_ARRIVED;
	if (more)
		fdc_interrupt(f, true);
}

static void sense_drive(struct fdc *f)
{
	const struct fdc_drive *dr = fdc_selected(f);
	uint8_t st3 = ST3_READY | ST3_TWO_SIDES | (f->s.cmd[1] & HEAD_AND_UNIT);

	if (dr != NULL && f->s.unit[f->s.dor & FDC_DOR_SELECT].pos == 0)
		st3 |= ST3_TRACK0;
	if (dr != NULL && dr->blk != NULL && dr->blk->read_only)
		st3 |= ST3_PROTECTED;
	fdc_answer(f, &st3, 1, false);
}

static void version(struct fdc *f)
{
	fdc_answer(f, (const uint8_t[]){ VERSION }, 1, false);
}

static void dump_registers(struct fdc *f)
{
	const struct fdc_state *s = &f->s;
	const uint8_t r[] = { s->unit[0].pcn, s->unit[1].pcn,
			      s->unit[2].pcn, s->unit[3].pcn,
			      s->specify[0],  s->specify[1],
			      s->eot,	      (uint8_t)(s->lock << 7 | (s->perpendicular & 0x3f)),
			      s->config,      s->pretrk };

	fdc_answer(f, r, sizeof(r), false);
}

/* ---- modes ---- */

static void specify(struct fdc *f)
{
	f->s.specify[0] = f->s.cmd[1];
	f->s.specify[1] = f->s.cmd[2];
	fdc_answer(f, NULL, 0, false);
}

static void configure(struct fdc *f)
{
	f->s.config = f->s.cmd[2] & 0x7f;
	f->s.pretrk = f->s.cmd[3];
	fdc_answer(f, NULL, 0, false);
}

/* The drives' bits change only with bit 7. */
static void perpendicular(struct fdc *f)
{
	const uint8_t v = f->s.cmd[1];

	f->s.perpendicular = v & 0x80 ? v & 0x3f : (f->s.perpendicular & 0x3c) | (v & 3);
	fdc_answer(f, NULL, 0, false);
}

static void lock(struct fdc *f)
{
	f->s.lock = f->s.cmd[0] & 0x80;
	fdc_answer(f, (const uint8_t[]){ (uint8_t)(f->s.lock << 4) }, 1, false);
}

/* ---- the table ---- */

static const struct command {
	uint8_t mask, code; /* of the first byte */
	uint8_t bytes;
	void (*run)(struct fdc *f);
} commands[] = {
	{ 0x1f, 0x06, 9, fdc_transfer }, /* READ DATA */
	{ 0x1f, 0x0c, 9, fdc_transfer }, /* READ DELETED DATA */
	{ 0x3f, 0x05, 9, fdc_transfer }, /* WRITE DATA */
	{ 0x3f, 0x09, 9, fdc_transfer }, /* WRITE DELETED DATA */
	{ 0x9f, 0x02, 9, fdc_transfer }, /* READ TRACK */
	{ 0x1f, 0x16, 9, fdc_transfer }, /* VERIFY */
	{ 0x1f, 0x11, 9, fdc_transfer }, /* SCAN EQUAL */
	{ 0x1f, 0x19, 9, fdc_transfer }, /* SCAN LOW OR EQUAL */
	{ 0x1f, 0x1d, 9, fdc_transfer }, /* SCAN HIGH OR EQUAL */
	{ 0xbf, 0x0d, 6, fdc_transfer }, /* FORMAT TRACK */
	{ 0xbf, 0x0a, 2, fdc_transfer }, /* READ ID */
	{ 0xff, 0x07, 2, recalibrate },	   { 0xff, 0x08, 1, sense_interrupt },
	{ 0xff, 0x03, 3, specify },	   { 0xff, 0x04, 2, sense_drive },
	{ 0xff, 0x0f, 3, seek },	   { 0xbf, 0x8f, 3, relative_seek },
	{ 0xff, 0x10, 1, version },	   { 0xff, 0x13, 4, configure },
	{ 0xff, 0x0e, 1, dump_registers }, { 0xff, 0x12, 2, perpendicular },
	{ 0x7f, 0x14, 1, lock },
};

static const struct command *find(uint8_t first)
{
	for (size_t i = 0; i < HV_ARRAY_LEN(commands); i++)
		if ((first & commands[i].mask) == commands[i].code)
			return &commands[i];
	return NULL;
}

unsigned fdc_command_bytes(uint8_t first)
{
	const struct command *c = find(first);

	return c != NULL ? c->bytes : 1;
}

bool fdc_is_transfer(uint8_t first)
{
	const struct command *c = find(first);

	return c != NULL && c->run == fdc_transfer;
}

void fdc_execute(struct fdc *f)
{
	const struct command *c = find(f->s.cmd[0]);

	if (c != NULL) {
		c->run(f);
	} else {
		dev_guest_error(&f->dev, "no command %#x", f->s.cmd[0]);
		invalid(f);
	}
}
