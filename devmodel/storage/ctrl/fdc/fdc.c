/*
 * Floppy disk controller 82077AA in AT mode: registers, phases, timers, the class. commands.c has
 * the commands without data, transfer.c those with.
 *
 * Specification: Intel 82077AA data sheet (290166).
 *
 * Not modelled: FM (nothing is found), tape, precompensation; deleted data marks: sectors written
 * with one are ordinary ones; times: seeks and rotation take a few microseconds, so that nothing
 * waits for a head. A drive that is empty or stands still has no sectors, where real controllers
 * wait for its index for ever. A command for another cylinder than the head's goes there, with or
 * without CONFIGURE's implied seek: SeaBIOS sends no SEEK.
 */
#include "devmodel/storage/ctrl/fdc/fdc.h"
#include "devmodel/storage/ctrl/fdc/fdc_int.h"

enum { REGION_PORTS, REGION_DIR };
enum { R_DOR = 2, R_TAPE, R_STATUS, R_FIFO };
enum { MSR_READY = 0x80, MSR_TO_HOST = 0x40, MSR_NO_DMA = 0x20, MSR_BUSY = 0x10 };
enum { DSR_RESET = 0x80, DSR_PRECOMP = 0x1c, RATE = 3, TAPE = 3 };
enum { PERPENDICULAR_MODE = 3 };
#define POLL_NS 250000u /* from a reset to its interrupt */
#define DMA_CHANNEL 2
#define CONFIG_RESET FDC_CONFIG_NO_FIFO

/* ---- interrupt and timers ---- */

static void update_irq(struct fdc *f)
{
	dev_irq_set(&f->dev, 0, f->s.irq && (f->s.dor & FDC_DOR_GATE));
}

void fdc_interrupt(struct fdc *f, bool on)
{
	f->s.irq = on;
	update_irq(f);
}

static void arm(struct fdc *f)
{
	dev_timer_arm(&f->dev, TIMER_EXEC, f->s.exec_ns);
	dev_timer_arm(&f->dev, TIMER_POLL, f->s.poll_ns);
	dev_timer_arm(&f->dev, TIMER_SEEK, fdc_next_seek_ns(f));
}

void fdc_wait_disk(struct fdc *f, uint64_t ns)
{
	f->s.phase = FDC_EXECUTE;
	f->s.step = FDC_DISK;
	f->s.exec_ns = dev_now_ns(&f->dev) + ns;
	dev_timer_arm(&f->dev, TIMER_EXEC, f->s.exec_ns);
}

static void fdc_timer(struct dev *d, unsigned timer)
{
	struct fdc *f = fdc_from_dev(d);
	struct fdc_state *s = &f->s;

	if (timer == TIMER_SEEK) {
		fdc_seek_due(f);
	} else if (timer == TIMER_EXEC) {
		s->exec_ns = DEV_TIMER_OFF;
		if (s->phase == FDC_EXECUTE && s->step == FDC_DISK)
			fdc_disk_due(f);
	} else {
		s->poll_ns = DEV_TIMER_OFF;
		s->polled = s->config & FDC_CONFIG_NO_POLL ? 0 : (1u << FDC_UNITS) - 1;
		if (s->polled != 0)
			fdc_interrupt(f, true);
	}
}

/* ---- phases ---- */

static void next_command(struct fdc *f)
{
	f->s.phase = FDC_COMMAND;
	f->s.step = FDC_NOTHING;
	f->s.n_cmd = f->s.n_result = f->s.result_at = 0;
	f->s.exec_ns = DEV_TIMER_OFF;
	dev_timer_arm(&f->dev, TIMER_EXEC, DEV_TIMER_OFF);
}

void fdc_answer(struct fdc *f, const uint8_t *result, unsigned n, bool interrupt)
{
	next_command(f);
	if (n > 0) {
		f->s.phase = FDC_RESULT;
		memcpy(f->s.result, result, n);
		f->s.n_result = (uint8_t)n;
	}
	if (interrupt) {
		f->s.polled = 0;
		fdc_interrupt(f, true);
	}
}

static void command_byte(struct fdc *f, uint8_t v)
{
	struct fdc_state *s = &f->s;

	s->cmd[s->n_cmd++] = v;
	if (s->n_cmd == fdc_command_bytes(s->cmd[0]))
		fdc_execute(f);
}

static uint8_t result_byte(struct fdc *f)
{
	const uint8_t v = f->s.result[f->s.result_at++];

	fdc_interrupt(f, false);
	if (f->s.result_at == f->s.n_result)
		next_command(f);
	return v;
}

static uint8_t read_fifo(struct fdc *f)
{
	if (f->s.phase == FDC_RESULT)
		return result_byte(f);
	if (f->s.phase == FDC_EXECUTE && f->s.step == FDC_HOST && fdc_to_host(f))
		return fdc_host_reads(f);
	dev_guest_error(&f->dev, "a byte is read where there is none");
	return 0;
}

static void write_fifo(struct fdc *f, uint8_t v)
{
	if (!(f->s.dor & FDC_DOR_RUN))
		return;
	if (f->s.phase == FDC_COMMAND)
		command_byte(f, v);
	else if (f->s.phase == FDC_EXECUTE && f->s.step == FDC_HOST && !fdc_to_host(f))
		fdc_host_wrote(f, v);
	else
		dev_guest_error(&f->dev, "byte %#x is written where none is wanted", v);
}

/* ---- registers ---- */

static uint8_t status(const struct fdc *f)
{
	const struct fdc_state *s = &f->s;
	uint8_t v = 0;

	if (!(s->dor & FDC_DOR_RUN))
		return 0;
	for (unsigned i = 0; i < FDC_UNITS; i++)
		if (s->unit[i].seek == FDC_SEEKING || s->unit[i].seek == FDC_RECALIBRATING)
			v |= (uint8_t)(1u << i);
	if (s->phase == FDC_COMMAND)
		return v | MSR_READY | (s->n_cmd > 0 ? MSR_BUSY : 0);
	v |= MSR_BUSY;
	if (s->phase == FDC_RESULT)
		return v | MSR_READY | MSR_TO_HOST;
	if (!fdc_has_dma(f))
		v |= MSR_NO_DMA | (fdc_to_host(f) ? MSR_TO_HOST : 0);
	return v | (s->step == FDC_HOST ? MSR_READY : 0);
}

static void chip_reset(struct fdc *f)
{
	struct fdc_state *s = &f->s;

	next_command(f);
	f->io_wanted = false;
	for (unsigned i = 0; i < FDC_UNITS; i++)
		s->unit[i].seek = FDC_STILL;
	if (!s->lock) {
		s->pretrk = 0;
		s->config = CONFIG_RESET;
	}
	s->config &= (uint8_t) ~(FDC_CONFIG_EIS | FDC_CONFIG_NO_POLL);
	s->perpendicular &= (uint8_t)~PERPENDICULAR_MODE;
	s->polled = 0;
	s->poll_ns = DEV_TIMER_OFF;
	fdc_interrupt(f, false);
	f->dma->set_request(f->dma->dev, DMA_CHANNEL, false);
}

/* Out of reset: all units' states are news. */
static void begin_polling(struct fdc *f)
{
	f->s.poll_ns = dev_now_ns(&f->dev) + POLL_NS;
}

static void write_dor(struct fdc *f, uint8_t v)
{
	const uint8_t was = f->s.dor;

	f->s.dor = v;
	if ((was & FDC_DOR_RUN) && !(v & FDC_DOR_RUN))
		chip_reset(f);
	else if (!(was & FDC_DOR_RUN) && (v & FDC_DOR_RUN))
		begin_polling(f);
	arm(f);
	update_irq(f);
}

static void write_dsr(struct fdc *f, uint8_t v)
{
	f->s.rate = v & RATE;
	f->s.precomp = v & DSR_PRECOMP;
	if (!(v & DSR_RESET))
		return;
	chip_reset(f); /* ends by itself */
	if (f->s.dor & FDC_DOR_RUN)
		begin_polling(f);
	arm(f);
}

static uint8_t read_dir(struct fdc *f)
{
	const unsigned unit = f->s.dor & FDC_DOR_SELECT;

	return fdc_selected(f) != NULL && f->s.unit[unit].changed ? 0x80 : 0;
}

static uint64_t fdc_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	struct fdc *f = fdc_from_dev(d);

	(void)size;
	if (region == REGION_DIR)
		return read_dir(f);
	switch (off) {
	case R_DOR:
		return f->s.dor;
	case R_TAPE:
		return f->s.tape;
	case R_STATUS:
		return status(f);
	case R_FIFO:
		return read_fifo(f);
	default: /* of other modes */
		return 0xff;
	}
}

static void fdc_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	struct fdc *f = fdc_from_dev(d);

	(void)size;
	if (region == REGION_DIR)
		f->s.rate = v & RATE;
	else if (off == R_DOR)
		write_dor(f, (uint8_t)v);
	else if (off == R_TAPE)
		f->s.tape = v & TAPE;
	else if (off == R_STATUS)
		write_dsr(f, (uint8_t)v);
	else if (off == R_FIFO)
		write_fifo(f, (uint8_t)v);
}

/* ---- requests to the image ---- */

/* Any thread. */
static void io_done(struct blk_req *io, int result)
{
	struct fdc *f = io->ctx;

	f->io_result = result;
	atomic_store_explicit(&f->io_ended, true, memory_order_release); /* with take_done() */
	dev_post(&f->work);
}

static void submit(struct fdc *f)
{
	f->io_busy = true;
	f->io_wanted = false;
	f->io_blk = f->want.blk;
	f->io = (struct blk_req){ .op = f->want.op,
				  .offset = f->want.offset,
				  .bytes = FLOPPY_SECTOR_BYTES,
				  .n_iov = 1,
				  .done = io_done,
				  .ctx = f };
	f->io.iov[0] = (struct iovec){ f->io_buf, FLOPPY_SECTOR_BYTES };
	if (f->want.op == BLK_WRITE)
		memcpy(f->io_buf, f->s.buf, FLOPPY_SECTOR_BYTES);
	f->io_blk->ops->submit(f->io_blk, &f->io);
}

void fdc_submit(struct fdc *f, struct blk *b, enum blk_op op, uint64_t offset)
{
	f->s.step = FDC_IO;
	f->want = (struct fdc_want){ b, op, offset };
	f->io_wanted = true;
	if (!f->io_busy)
		submit(f);
}

static void take_done(struct fdc *f)
{
	if (!atomic_exchange_explicit(&f->io_ended, false, memory_order_acquire))
		return;
	f->io_busy = false;
	if (f->io_wanted)
		submit(f);
	else if (f->s.phase == FDC_EXECUTE && f->s.step == FDC_IO)
		fdc_io_ended(f, f->io_result);
}

static void fdc_work(struct dev *d, struct dev_work *w)
{
	(void)w;
	take_done(fdc_from_dev(d));
}

/* No other thread is in the device while the machine pauses. */
static int fdc_quiesce(struct dev *d, struct err *e)
{
	struct fdc *f = fdc_from_dev(d);

	(void)e;
	while (f->io_busy) {
		f->io_blk->ops->drain(f->io_blk);
		take_done(f);
	}
	return 0;
}

static void fdc_resume(struct dev *d)
{
	struct fdc *f = fdc_from_dev(d);

	if (f->s.step != FDC_IO)
		f->io_wanted = false;
	arm(f);
	update_irq(f);
}

/* ---- disks ---- */

static void put_disk(struct fdc *f, unsigned unit, struct blk *b)
{
	struct fdc_drive *dr = &f->drive[unit];

	dr->blk = b;
	dr->format = b != NULL ? floppy_format_of(b->bytes) : NULL;
	if (dr->format == NULL || !floppy_fits(dr->type, dr->format))
		dr->blk = NULL;
}

static bool media_locked(const struct dev *d, unsigned unit)
{
	(void)d;
	(void)unit;
	return false;
}

static void media_asked(struct dev *d, unsigned unit)
{
	(void)d;
	(void)unit;
}

static void media_change(struct dev *d, unsigned unit, struct blk *medium)
{
	struct fdc *f = fdc_from_dev(d);

	put_disk(f, unit, medium);
	f->s.unit[unit].changed = true;
	if (f->s.phase == FDC_EXECUTE && f->s.step == FDC_IO &&
	    fdc_selected(f) == &f->drive[unit]) {
		f->io_wanted = false;
		fdc_disk_pulled(f);
	}
}

const struct media_ops dm_fdc_media = { media_locked, NULL, media_asked, media_change };

/* ---- the device ---- */

static int fdc_realize(struct dev *d, struct err *e)
{
	struct fdc *f = fdc_from_dev(d);

	f->work = (struct dev_work){ .fn = fdc_work, .dev = d };
	f->dma = dev_backend(d, DEV_BACKEND_MACHINE, "isa-dma", e);
	if (f->dma == NULL)
		return -ENOENT;
	f->drive[0].type = (enum floppy_drive)f->drive0;
	f->drive[1].type = (enum floppy_drive)f->drive1;
	for (unsigned i = 0; i < FDC_N_DRIVES; i++) {
		static const char *const names[FDC_N_DRIVES] = { "floppy0", "floppy1" };
		struct err none;
		if (f->drive[i].type != FLOPPY_DRIVE_NONE) /* without a back-end it is empty */
			put_disk(f, i, dev_backend(d, DEV_BACKEND_BLK, names[i], &none));
	}
	return 0;
}

static void fdc_unrealize(struct dev *d)
{
	struct fdc *f = fdc_from_dev(d);

	if (f->io_busy)
		f->io_blk->ops->drain(f->io_blk);
}

static void fdc_state_init(void *obj)
{
	struct fdc_state *s = obj;

	memset(s, 0, sizeof(*s));
	s->exec_ns = s->poll_ns = DEV_TIMER_OFF;
	s->rate = FLOPPY_250K;
	s->config = CONFIG_RESET;
	for (unsigned i = 0; i < FDC_UNITS; i++)
		s->unit[i].changed = true;
}

static void fdc_reset(struct dev *d)
{
	struct fdc *f = fdc_from_dev(d);

	fdc_state_init(&f->s);
	f->io_wanted = false;
	f->dma->set_request(f->dma->dev, DMA_CHANNEL, false);
	arm(f);
	update_irq(f);
}

static int check_phase(const struct fdc_state *s, struct err *e)
{
	const unsigned need = s->n_cmd > 0 ? fdc_command_bytes(s->cmd[0]) : 1;
	bool good = s->phase < FDC_N_PHASES && s->step < FDC_N_STEPS && s->step != FDC_IO;

	if (s->phase == FDC_COMMAND)
		good &= s->step == FDC_NOTHING && s->n_cmd < need;
	else if (s->phase == FDC_RESULT)
		good &= s->step == FDC_NOTHING && s->n_cmd == 0 && s->result_at < s->n_result &&
			s->n_result <= FDC_RESULT_MAX;
	else
		good &= s->step != FDC_NOTHING && s->n_cmd == need && s->n_cmd > 0 &&
			fdc_is_transfer(s->cmd[0]);
	if (s->phase == FDC_EXECUTE && s->step == FDC_HOST)
		good &= s->buf_at < s->buf_len;
	if (s->phase == FDC_EXECUTE && s->step == FDC_DISK)
		good &= s->exec_ns != DEV_TIMER_OFF;
	if (!good || s->buf_len > FLOPPY_SECTOR_BYTES)
		return err_set(e, -EINVAL, "fdc: its phases cannot be so");
	return 0;
}

static int fdc_post_load(void *obj, struct err *e)
{
	const struct fdc_state *s = obj;

	for (unsigned i = 0; i < FDC_UNITS; i++)
		if (s->unit[i].seek >= FDC_N_SEEKS || s->unit[i].steps > 255 ||
		    s->unit[i].steps < -255)
			return err_set(e, -EINVAL, "fdc: impossible seek");
	if (s->rate > RATE || (s->precomp & ~DSR_PRECOMP) || s->tape > TAPE ||
	    (s->polled >> FDC_UNITS) != 0)
		return err_set(e, -EINVAL, "fdc: impossible registers");
	return check_phase(s, e);
}

static const struct state_desc unit_state = {
	.name = "unit",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct fdc_unit_state),
	.fields =
		(const struct state_field[]){
			STATE(struct fdc_unit_state, seek_ns), STATE(struct fdc_unit_state, steps),
			STATE(struct fdc_unit_state, target), STATE(struct fdc_unit_state, pcn),
			STATE(struct fdc_unit_state, pos), STATE(struct fdc_unit_state, seek),
			STATE(struct fdc_unit_state, st0), STATE(struct fdc_unit_state, changed),
			STATE_PAD(struct fdc_unit_state, pad_), STATE_END },
};

static const struct state_desc fdc_state = {
	.name = "fdc",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct fdc_state),
	.init = fdc_state_init,
	.post_load = fdc_post_load,
	.fields =
		(const struct state_field[]){
			STATE_STRUCTS(struct fdc_state, unit, &unit_state),
			STATE(struct fdc_state, exec_ns),
			STATE(struct fdc_state, poll_ns),
			STATE(struct fdc_state, dor),
			STATE(struct fdc_state, rate),
			STATE(struct fdc_state, precomp),
			STATE(struct fdc_state, tape),
			STATE_ARRAY(struct fdc_state, specify),
			STATE(struct fdc_state, config),
			STATE(struct fdc_state, pretrk),
			STATE(struct fdc_state, lock),
			STATE(struct fdc_state, perpendicular),
			STATE(struct fdc_state, eot),
			STATE(struct fdc_state, polled),
			STATE(struct fdc_state, irq),
			STATE(struct fdc_state, phase),
			STATE(struct fdc_state, step),
			STATE_ARRAY(struct fdc_state, cmd),
			STATE(struct fdc_state, n_cmd),
			STATE_ARRAY(struct fdc_state, result),
			STATE(struct fdc_state, n_result),
			STATE(struct fdc_state, result_at),
			STATE(struct fdc_state, c),
			STATE(struct fdc_state, h),
			STATE(struct fdc_state, r),
			STATE(struct fdc_state, head),
			STATE(struct fdc_state, left),
			STATE(struct fdc_state, st0),
			STATE(struct fdc_state, st1),
			STATE(struct fdc_state, st2),
			STATE_ARRAY(struct fdc_state, buf),
			STATE(struct fdc_state, tc),
			STATE(struct fdc_state, buf_at),
			STATE(struct fdc_state, buf_len),
			STATE_PAD(struct fdc_state, pad_),
			STATE_END,
		},
};

static const struct opt fdc_opts[] = {
	OPT(struct fdc, drive0, 0, FLOPPY_N_DRIVES - 1, "4", "kind of drive 0, as in the CMOS"),
	OPT(struct fdc, drive1, 0, FLOPPY_N_DRIVES - 1, "0", "kind of drive 1"),
	OPT_END,
};

const struct dev_class dm_fdc = {
	.name = "fdc",
	.summary = "floppy disk controller",
	.size = sizeof(struct fdc),
	.opts = fdc_opts,
	.state = &fdc_state,
	.state_off = offsetof(struct fdc, s),
	.regions = { [REGION_PORTS] = { "ports", 6, 1, 1 }, [REGION_DIR] = { "dir", 1, 1, 1 } },
	.irqs = { "irq6" },
	.n_timers = FDC_N_TIMERS,
	.realize = fdc_realize,
	.unrealize = fdc_unrealize,
	.reset = fdc_reset,
	.read = fdc_read,
	.write = fdc_write,
	.timer = fdc_timer,
	.quiesce = fdc_quiesce,
	.resume = fdc_resume,
};
