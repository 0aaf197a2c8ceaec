/*
 * A channel of the IDE controller: the registers that its two drives share, the data port, and the
 * bus master; see ide.c. Both drives hear what is written, the selected one answers.
 *
 * Specification: ATA/ATAPI-7 volume 2, chapters 5 (registers), 9 and 11 (protocols); Programming
 * Interface for Bus Master IDE Controller 1.0, chapters 2 and 3.
 */
#include "devmodel/storage/ctrl/ide_int.h"

enum {
	REG_DATA,
	REG_FEATURE,
	REG_COUNT,
	REG_LBA,
	REG_DEVICE = 6,
	REG_STATUS = 7, /* written: command */
};
/* Nobody drives the bus: its data lines are pulled up, but for the highest. */
#define NOBODY 0x7fu

static struct dev *dev_of(const struct ide_channel *ch)
{
	return &ch->ide->pci.dev;
}

static bool present(const struct ide_drive *dr)
{
	return dr->drive.kind != ATA_NONE;
}

static struct ide_drive *selected(struct ide_channel *ch)
{
	return &ch->drive[(ch->s->select & SELECT_SLAVE) != 0];
}

static uint8_t status_of(const struct ide_drive *dr)
{
	return dr->cmd.stale ? ATA_BSY : dr->s->status;
}

/* ---- interrupts ---- */

static void follow_line(struct ide_channel *ch)
{
	const uint8_t was = ch->s->line;

	ch->s->line = selected(ch)->s->irq && !(ch->s->control & CONTROL_NIEN);
	if (ch->s->line && !was)
		ch->s->bm_status |= BM_IRQ;
	dev_irq_set(dev_of(ch), ch->n, ch->s->line);
}

static void raise(struct ide_drive *dr)
{
	dr->s->irq = 1;
	follow_line(dr->channel);
}

/* ---- registers and task file ---- */

static void regs_to_cmd(struct ide_drive *dr, uint8_t command)
{
	const struct ide_drive_state *r = dr->s;
	struct ata_cmd_state *s = &dr->s->cmd;

	s->feature = (uint16_t)(r->feature[0] | r->feature[1] << 8);
	s->count = (uint16_t)(r->count[0] | r->count[1] << 8);
	s->lba = 0;
	for (unsigned i = 0; i < 6; i++)
		s->lba |= (uint64_t)r->lba[i] << 8 * i;
	s->device = r->device;
	s->command = command;
	s->status = s->error = 0;
}

static void cmd_to_regs(struct ide_drive *dr)
{
	struct ide_drive_state *r = dr->s;
	const struct ata_cmd_state *s = &dr->s->cmd;

	r->count[0] = (uint8_t)s->count;
	r->count[1] = (uint8_t)(s->count >> 8);
	for (unsigned i = 0; i < 6; i++)
		r->lba[i] = (uint8_t)(s->lba >> 8 * i);
	r->device = s->device;
}

static void set_result(struct ide_drive *dr)
{
	cmd_to_regs(dr);
	dr->s->status = dr->s->cmd.status;
	dr->s->error = dr->s->cmd.error;
}

/* ---- bus master ---- */

static void try_dma(struct ide_channel *ch)
{
	struct ide_drive *dr = selected(ch);
	struct ata_cmd *c = &dr->cmd;

	if (!(ch->s->bm_status & BM_ACTIVE) || dr->s->cmd.phase != ATA_DMA_WAIT || c->io_busy ||
	    !present(dr) || !pci_is_master(&ch->ide->pci))
		return;
	if ((dr->s->cmd.dir == ATA_DIR_IN) != ((ch->s->bm_cmd & BM_TO_MEMORY) != 0)) {
		dev_guest_error(dev_of(ch), "channel %u: DMA in the wrong direction", ch->n);
		ch->s->bm_status |= BM_ERROR;
		return;
	}
	ata_sg_ide(&c->sg, ch->s->bm_table);
	c->has_sg = true;
	ata_dma(c);
}

static void stop_dma(struct ide_channel *ch)
{
	ch->s->bm_status &= (uint8_t)~BM_ACTIVE;
	ch->drive[0].cmd.has_sg = ch->drive[1].cmd.has_sg = false;
}

uint8_t ide_bm_read(const struct ide_channel *ch, unsigned off)
{
	if (off == 0)
		return ch->s->bm_cmd;
	if (off == 2)
		return ch->s->bm_status;
	return off >= 4 ? (uint8_t)(ch->s->bm_table >> 8 * (off - 4)) : 0;
}

void ide_bm_write(struct ide_channel *ch, unsigned off, uint8_t v)
{
	struct ide_channel_state *s = ch->s;

	if (off == 0) {
		const bool start = v & BM_START, was = s->bm_cmd & BM_START;
		s->bm_cmd = was && start ? s->bm_cmd : v & (BM_START | BM_TO_MEMORY);
		if (start && !was) {
			s->bm_status |= BM_ACTIVE;
			try_dma(ch);
		} else if (!start) {
			stop_dma(ch);
		}
	} else if (off == 2) {
		s->bm_status = (uint8_t)((s->bm_status & ~BM_DRIVES & ~(v & (BM_ERROR | BM_IRQ))) |
					 (v & BM_DRIVES));
	} else if (off >= 4) {
		const unsigned shift = 8 * (off - 4);
		s->bm_table = ((s->bm_table & ~(0xffu << shift)) | (uint32_t)v << shift) & ~3u;
	}
}

/* ---- what the drives tell ---- */

static struct ide_drive *drive_of(struct ata_cmd *c)
{
	return HV_CONTAINER_OF(c, struct ide_drive, cmd);
}

static void cmd_data(struct ata_cmd *c)
{
	struct ide_drive *dr = drive_of(c);
	const struct ata_cmd_state *s = c->s;

	dr->s->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
	if (s->phase == ATA_DMA_WAIT) {
		if (dr == selected(dr->channel))
			try_dma(dr->channel);
		return;
	}
	cmd_to_regs(dr);
	if (s->phase == ATA_DATA_IN || s->began) /* the first block out is waited for */
		raise(dr);
}

static void cmd_done(struct ata_cmd *c)
{
	struct ide_drive *dr = drive_of(c);
	struct ide_channel *ch = dr->channel;
	const struct ata_cmd_state *s = c->s;
	const bool silent = s->dir == ATA_DIR_IN && !s->dma && s->command != ATA_CMD_PACKET &&
			    s->began && !(s->status & ATA_ERR);

	if (c->has_sg && (c->sg.left == 0 && c->sg.entries == 0))
		ch->s->bm_status &= (uint8_t)~BM_ACTIVE; /* else the list was longer */
	c->has_sg = false;
	set_result(dr);
	if (!silent) /* after the last block in there is nothing to wait for */
		raise(dr);
}

static void cmd_sg_short(struct ata_cmd *c)
{
	struct ide_drive *dr = drive_of(c);
	struct ide_channel *ch = dr->channel;

	dr->s->status = ATA_DRDY | ATA_DSC | ATA_DRQ; /* it waits for ever, or for more */
	if (!pci_is_master(&ch->ide->pci))
		return;
	if (c->sg.left > 0 || c->sg.entries > 0) {
		dev_guest_error(dev_of(ch), "channel %u: DMA to what is no memory", ch->n);
		ch->s->bm_status |= BM_ERROR;
	}
	ch->s->bm_status &= (uint8_t)~BM_ACTIVE;
}

static bool cmd_may_dma(struct ata_cmd *c)
{
	const struct ide_channel *ch = drive_of(c)->channel;

	return (ch->s->bm_status & BM_ACTIVE) && pci_is_master(&ch->ide->pci);
}

static void finish_reset(struct ide_drive *dr)
{
	if (!dr->s->resetting || dr->cmd.stale || (dr->channel->s->control & CONTROL_SRST))
		return;
	dr->s->resetting = 0;
	ata_signature(&dr->drive, &dr->s->cmd);
	set_result(dr);
}

static void cmd_released(struct ata_cmd *c)
{
	finish_reset(drive_of(c));
}

const struct ata_host_ops ide_host_ops = {
	.data = cmd_data,
	.done = cmd_done,
	.sg_short = cmd_sg_short,
	.may_dma = cmd_may_dma,
	.released = cmd_released,
};

/* ---- resets ---- */

static void begin_reset(struct ide_drive *dr)
{
	if (!present(dr))
		return;
	ata_abort(&dr->cmd);
	dr->s->irq = 0;
	dr->s->resetting = 1;
	dr->s->status = ATA_BSY;
}

void ide_control_write(struct ide_channel *ch, uint8_t v)
{
	const uint8_t was = ch->s->control;

	ch->s->control = v & (CONTROL_NIEN | CONTROL_SRST | CONTROL_HOB);
	if ((v & CONTROL_SRST) && !(was & CONTROL_SRST))
		for (unsigned i = 0; i < 2; i++)
			begin_reset(&ch->drive[i]);
	if (!(v & CONTROL_SRST) && (was & CONTROL_SRST)) {
		ch->s->select = 0;
		for (unsigned i = 0; i < 2; i++)
			finish_reset(&ch->drive[i]);
	}
	follow_line(ch);
}

/* Both drives test themselves; the master tells of the end. */
static void diagnostic(struct ide_channel *ch)
{
	ch->s->select = 0;
	for (unsigned i = 0; i < 2; i++)
		if (present(&ch->drive[i])) {
			ata_abort(&ch->drive[i].cmd);
			ata_signature(&ch->drive[i].drive, &ch->drive[i].s->cmd);
			set_result(&ch->drive[i]);
		}
	raise(&ch->drive[present(&ch->drive[0]) ? 0 : 1]);
}

/* ---- the data port ---- */

static uint32_t read_data(struct ide_channel *ch, unsigned size)
{
	struct ide_drive *dr = selected(ch);
	struct ata_cmd_state *s = &dr->s->cmd;
	uint32_t v = 0, n;

	if (!present(dr) || s->phase != ATA_DATA_IN)
		return 0;
	n = (uint32_t)hv_min_u64(size, s->stop - s->at);
	memcpy(&v, dr->s->buf + s->at, n);
	s->at += n;
	if (s->at == s->stop) {
		dr->s->status = ATA_BSY;
		ata_pio_end(&dr->cmd);
	}
	return v;
}

static void write_data(struct ide_channel *ch, unsigned size, uint32_t v)
{
	struct ide_drive *dr = selected(ch);
	struct ata_cmd_state *s = &dr->s->cmd;
	uint32_t n;

	if (!present(dr) || s->phase != ATA_DATA_OUT)
		return;
	n = (uint32_t)hv_min_u64(size, s->stop - s->at);
	memcpy(dr->s->buf + s->at, &v, n);
	s->at += n;
	if (s->at == s->stop) {
		dr->s->status = ATA_BSY;
		ata_pio_end(&dr->cmd);
	}
}

/* ---- the other registers ---- */

/* The drive that answers: the master does for a slave that is not there, as far as it can. */
static const struct ide_drive *answering(const struct ide_channel *ch)
{
	const unsigned i = (ch->s->select & SELECT_SLAVE) != 0;

	if (present(&ch->drive[i]))
		return &ch->drive[i];
	return i == 1 && present(&ch->drive[0]) ? &ch->drive[0] : NULL;
}

uint8_t ide_alternate_status(const struct ide_channel *ch)
{
	const struct ide_drive *dr = answering(ch);

	if (dr == NULL)
		return NOBODY;
	return dr == &ch->drive[(ch->s->select & SELECT_SLAVE) != 0] ? status_of(dr) : 0;
}

static uint8_t read_reg(struct ide_channel *ch, unsigned reg)
{
	const struct ide_drive *dr = answering(ch);
	const unsigned before = (ch->s->control & CONTROL_HOB) != 0;
	uint8_t v;

	if (dr == NULL)
		return NOBODY;
	switch (reg) {
	case REG_FEATURE:
		return dr->s->error;
	case REG_COUNT:
		return dr->s->count[before];
	case REG_LBA ... REG_LBA + 2:
		return dr->s->lba[reg - REG_LBA + 3 * before];
	case REG_DEVICE:
		return (uint8_t)((dr->s->device & ~SELECT_SLAVE) | (ch->s->select & SELECT_SLAVE));
	default:
		v = ide_alternate_status(ch);
		selected(ch)->s->irq = 0;
		follow_line(ch);
		return v;
	}
}

static void push(uint8_t *now, uint8_t *before, uint8_t v)
{
	*before = *now;
	*now = v;
}

static void command(struct ide_channel *ch, uint8_t v)
{
	struct ide_drive *dr = selected(ch);
	const bool busy = status_of(dr) & (ATA_BSY | ATA_DRQ);

	if (!present(dr) || dr->s->resetting || dr->cmd.stale)
		return;
	if (v == ATA_CMD_DEVICE_RESET && dr->drive.kind == ATA_CD) {
		begin_reset(dr);
		finish_reset(dr);
		follow_line(ch);
		return;
	}
	if (busy) {
		dev_guest_error(dev_of(ch), "channel %u: command %#x while busy", ch->n, v);
		return;
	}
	dr->s->irq = 0;
	follow_line(ch);
	if (v == ATA_CMD_DIAGNOSTIC) {
		if (!ch->drive[0].cmd.io_busy && !ch->drive[1].cmd.io_busy)
			diagnostic(ch);
		return;
	}
	regs_to_cmd(dr, v);
	dr->s->status = ATA_BSY;
	ata_start(&dr->cmd, false);
}

static void write_reg(struct ide_channel *ch, unsigned reg, uint8_t v)
{
	ch->s->control &= (uint8_t)~CONTROL_HOB;
	if (reg == REG_STATUS) {
		command(ch, v);
		return;
	}
	if (status_of(selected(ch)) & ATA_BSY) /* nobody listens */
		return;
	if (reg == REG_DEVICE)
		ch->s->select = v;
	for (unsigned i = 0; i < 2; i++) {
		struct ide_drive_state *r = ch->drive[i].s;
		if (reg == REG_FEATURE)
			push(&r->feature[0], &r->feature[1], v);
		else if (reg == REG_COUNT)
			push(&r->count[0], &r->count[1], v);
		else if (reg == REG_DEVICE)
			r->device = v;
		else
			push(&r->lba[reg - REG_LBA], &r->lba[reg - REG_LBA + 3], v);
	}
	if (reg == REG_DEVICE) {
		follow_line(ch);
		try_dma(ch);
	}
}

uint32_t ide_command_read(struct ide_channel *ch, unsigned off, unsigned size)
{
	uint32_t v = 0;

	if (off == REG_DATA)
		return read_data(ch, size);
	for (unsigned i = 0; i < size; i++)
		v |= (uint32_t)read_reg(ch, off + i) << 8 * i;
	return v;
}

void ide_command_write(struct ide_channel *ch, unsigned off, unsigned size, uint32_t v)
{
	if (off == REG_DATA) {
		write_data(ch, size, v);
		return;
	}
	for (unsigned i = 0; i < size; i++)
		write_reg(ch, off + i, (uint8_t)(v >> 8 * i));
}

/* ---- life cycle ---- */

int ide_channel_create(struct ide_channel *ch, const char *const what[2], struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < 2 && r == 0; i++) {
		struct ide_drive *dr = &ch->drive[i];
		dr->s = &ch->s->drive[i];
		dr->channel = ch;
		dr->drive.s = &dr->s->drive;
		dr->drive.unit = ch->n * 2 + i;
		dr->drive.number = 100 + dr->drive.unit;
		r = ata_drive_attach(&dr->drive, &ch->ide->host, what[i], e);
		ata_cmd_init(&dr->cmd, &dr->drive, &dr->s->cmd, dr->s->buf, dr->drive.unit);
	}
	return r;
}

int ide_channel_settle(struct ide_channel *ch)
{
	const int r = ata_cmd_settle(&ch->drive[0].cmd);

	return r < 0 ? r : ata_cmd_settle(&ch->drive[1].cmd);
}

void ide_channel_state_init(struct ide_channel_state *s)
{
	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < 2; i++)
		ata_drive_state_init(&s->drive[i].drive);
}

void ide_channel_reset(struct ide_channel *ch)
{
	for (unsigned i = 0; i < 2; i++)
		ata_abort(&ch->drive[i].cmd);
	ide_channel_state_init(ch->s);
	for (unsigned i = 0; i < 2; i++) {
		struct ide_drive *dr = &ch->drive[i];
		if (!present(dr))
			continue;
		ata_drive_power_on(&dr->drive);
		ata_signature(&dr->drive, &dr->s->cmd);
		set_result(dr);
	}
	follow_line(ch);
}

void ide_channel_resume(struct ide_channel *ch)
{
	for (unsigned i = 0; i < 2; i++)
		finish_reset(&ch->drive[i]);
	dev_irq_set(dev_of(ch), ch->n, ch->s->line);
	try_dma(ch);
}

static int drive_post_load(const struct ide_drive_state *s, struct err *e)
{
	const bool waits = s->cmd.phase != ATA_IDLE;
	int r;

	if (s->irq > 1 || s->resetting > 1 || waits != ((s->status & ATA_DRQ) != 0) ||
	    (waits && s->resetting) || (!s->resetting && (s->status & ATA_BSY)))
		return err_set(e, -EINVAL, "ide: a drive cannot be so");
	r = ata_cmd_post_load(&s->cmd, e);
	return r == 0 ? ata_drive_post_load(&s->drive, e) : r;
}

int ide_channel_post_load(const struct ide_channel_state *s, struct err *e)
{
	const unsigned sel = (s->select & SELECT_SLAVE) != 0;
	int r = 0;

	if ((s->bm_table & 3) || (s->bm_cmd & ~(BM_START | BM_TO_MEMORY)) ||
	    (s->bm_status & ~(BM_ACTIVE | BM_ERROR | BM_IRQ | BM_DRIVES)) ||
	    ((s->bm_status & BM_ACTIVE) && !(s->bm_cmd & BM_START)) ||
	    (s->control & ~(CONTROL_NIEN | CONTROL_SRST | CONTROL_HOB)) ||
	    s->line != (s->drive[sel].irq && !(s->control & CONTROL_NIEN)))
		return err_set(e, -EINVAL, "ide: a channel cannot be so");
	for (unsigned i = 0; i < 2 && r == 0; i++)
		r = drive_post_load(&s->drive[i], e);
	return r;
}

static const struct state_desc ide_drive_state_desc = {
	.name = "ide_drive",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct ide_drive_state),
	.fields =
		(const struct state_field[]){
			STATE_ARRAY(struct ide_drive_state, feature),
			STATE_ARRAY(struct ide_drive_state, count),
			STATE_ARRAY(struct ide_drive_state, lba),
			STATE(struct ide_drive_state, device),
			STATE(struct ide_drive_state, status), STATE(struct ide_drive_state, error),
			STATE(struct ide_drive_state, irq),
			STATE(struct ide_drive_state, resetting),
			STATE_PAD(struct ide_drive_state, pad_),
			STATE_STRUCT(struct ide_drive_state, drive, &ata_drive_state_desc),
			STATE_STRUCT(struct ide_drive_state, cmd, &ata_cmd_state_desc),
			STATE_ARRAY(struct ide_drive_state, buf), STATE_END },
};

const struct state_desc ide_channel_state_desc = {
	.name = "ide_channel",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct ide_channel_state),
	.fields = (const struct state_field[]){ STATE(struct ide_channel_state, bm_table),
						STATE(struct ide_channel_state, bm_cmd),
						STATE(struct ide_channel_state, bm_status),
						STATE(struct ide_channel_state, control),
						STATE(struct ide_channel_state, select),
						STATE(struct ide_channel_state, line),
						STATE_PAD(struct ide_channel_state, pad_),
						STATE_STRUCTS(struct ide_channel_state, drive,
							      &ide_drive_state_desc),
						STATE_END },
};
