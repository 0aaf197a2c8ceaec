/*
 * A port of the AHCI controller: its registers, the commands of its list and the FISes that the
 * drive sends; see ahci.c. A command is started when the drive is neither busy nor waits for data;
 * queued ones end in any order. After an error nothing is started until software clears ST.
 *
 * Specification: AHCI 1.3.1, 3.3, 4.2, 5.3, 6.2; Serial ATA 3.1, chapter 10 (FISes).
 */
#include <stdlib.h>
#include "devmodel/storage/ctrl/ahci_int.h"

enum { FIS_DMA_SETUP = 0x00, FIS_PIO_SETUP = 0x20, FIS_D2H = 0x40, FIS_SDB = 0x58 }; /* in fb */
enum { H2D = 0x27, D2H = 0x34, SDB = 0xa1, PIO_SETUP = 0x5f };
enum { H2D_COMMAND = 0x80, CONTROL_SRST = 4 };
enum { HEADER_BYTES = 32, HEADER_ATAPI = 0x20, HEADER_WRITE = 0x40, CFIS_BYTES = 20 };
enum { TABLE_ACMD = 0x40, TABLE_PRDT = 0x80 };
#define FIS_I 0x40u
#define NO_DRIVE_TFD 0x7fu
#define LINK_UP 0x123u /* device present, 3 Gb/s, active */

static struct dev *dev_of(struct ahci_port *p)
{
	return &p->a->pci.dev;
}

static void raise(struct ahci_port *p, uint32_t is)
{
	p->s->is |= is;
	ahci_update_irq(p->a, true);
}

static bool present(const struct ahci_port *p)
{
	return p->slot != NULL;
}

/* ---- FISes from the drive ---- */

static void post_fis(struct ahci_port *p, unsigned where, const uint8_t *fis, size_t n)
{
	if (!(p->s->cmd & CMD_FRE) || !pci_is_master(&p->a->pci))
		return;
	if (dev_dma_write(dev_of(p), p->s->fb + where, fis, n) < 0)
		raise(p, IS_HBFS);
}

static void set_tfd(struct ahci_port *p, const struct ata_cmd_state *s)
{
	p->s->tfd = s->status | (uint32_t)s->error << 8;
}

static void fill_regs(uint8_t *f, const struct ata_cmd_state *s)
{
	f[2] = s->status;
	f[3] = s->error;
	for (unsigned i = 0; i < 3; i++) {
		f[4 + i] = (uint8_t)(s->lba >> 8 * i);
		f[8 + i] = (uint8_t)(s->lba >> (24 + 8 * i));
	}
	f[7] = s->device;
	f[12] = (uint8_t)s->count;
	f[13] = (uint8_t)(s->count >> 8);
}

/* notify: with an interrupt. */
static void send_d2h(struct ahci_port *p, const struct ata_cmd_state *s, bool notify)
{
	uint8_t f[20] = { D2H, notify ? FIS_I : 0 };

	fill_regs(f, s);
	set_tfd(p, s);
	post_fis(p, FIS_D2H, f, sizeof(f));
	if (s->status & ATA_ERR) {
		p->s->halted = 1;
		raise(p, IS_TFES | (notify ? IS_DHRS : 0));
	} else if (notify) {
		raise(p, IS_DHRS);
	}
}

/* Before data by PIO: the status while they move, and the one after them. */
static void send_pio_setup(struct ahci_port *p, const struct ata_cmd_state *s, bool to_host,
			   bool notify, uint32_t bytes)
{
	uint8_t f[20] = { PIO_SETUP, (uint8_t)((notify ? FIS_I : 0) | (to_host ? 0x20 : 0)) };

	fill_regs(f, s);
	f[2] = ATA_DRDY | ATA_DSC | ATA_DRQ;
	f[15] = s->status;
	f[16] = (uint8_t)bytes;
	f[17] = (uint8_t)(bytes >> 8);
	post_fis(p, FIS_PIO_SETUP, f, sizeof(f));
	if (notify)
		raise(p, IS_PSS);
}

/* Queued commands have ended: their bits. */
static void send_sdb(struct ahci_port *p, const struct ata_cmd_state *s, uint32_t bits)
{
	uint8_t f[8] = { SDB, FIS_I, s->status & 0x77, s->error };

	memcpy(f + 4, &bits, 4);
	p->s->sact &= ~bits;
	p->s->tfd = (p->s->tfd & (ATA_BSY | ATA_DRQ)) | (s->status & 0x77) |
		    (uint32_t)s->error << 8;
	post_fis(p, FIS_SDB, f, sizeof(f));
	if (s->status & ATA_ERR)
		p->s->halted = 1;
	raise(p, IS_SDBS | (s->status & ATA_ERR ? IS_TFES : 0));
}

/* ---- commands end ---- */

static struct ahci_slot *slot_of(struct ata_cmd *c)
{
	return HV_CONTAINER_OF(c, struct ahci_slot, cmd);
}

static void put_count(struct ahci_port *p, const struct ahci_slot *sl)
{
	const uint32_t n = (uint32_t)sl->cmd.moved;

	if (pci_is_master(&p->a->pci) && dev_dma_write(dev_of(p), sl->header + 4, &n, 4) < 0)
		raise(p, IS_HBFS);
}

static void abort_issued(struct ahci_port *p)
{
	for (unsigned i = 0; i < AHCI_SLOTS && present(p); i++) {
		if (!(p->issued >> i & 1))
			continue;
		ata_abort(&p->slot[i].cmd);
		p->stale |= (uint32_t)p->slot[i].cmd.stale << i;
	}
	p->issued = p->queued = 0;
}

static void queued_done(struct ahci_port *p, struct ahci_slot *sl, uint32_t bit)
{
	struct ata_drive_state *g = p->drive.s;
	const struct ata_cmd_state *s = &sl->s;

	if (!(s->status & ATA_ERR)) {
		send_sdb(p, s, bit);
		return;
	}
	/* The others are given up, too; software reads which one it was from the log. */
	g->ncq_failed = 1;
	g->ncq_tag = (uint8_t)sl->cmd.slot;
	g->ncq_status = s->status;
	g->ncq_error = s->error;
	g->ncq_lba = s->lba;
	g->ncq_device = s->device;
	g->ncq_count = s->count;
	abort_issued(p);
	send_sdb(p, s, 0);
}

static void plain_done(struct ahci_port *p, struct ahci_slot *sl, uint32_t bit)
{
	const struct ata_cmd_state *s = &sl->s;
	const bool by_pio_in = s->dir == ATA_DIR_IN && !s->dma && s->command != ATA_CMD_PACKET;

	put_count(p, sl);
	if (s->status & ATA_ERR) { /* CI stays as it is */
		send_d2h(p, s, true);
		return;
	}
	p->s->ci &= ~bit;
	if (sl->cmd.sg.notify)
		raise(p, IS_DPS);
	if (!by_pio_in) {
		send_d2h(p, s, true);
		return;
	}
	set_tfd(p, s);
	send_pio_setup(p, s, true, true, (uint32_t)sl->cmd.moved);
}

static void cmd_done(struct ata_cmd *c)
{
	struct ahci_slot *sl = slot_of(c);
	struct ahci_port *p = sl->port;
	const uint32_t bit = 1u << c->slot;
	const bool queued = p->queued & bit;

	p->issued &= ~bit;
	p->queued &= ~bit;
	c->has_sg = false;
	if (queued)
		queued_done(p, sl, bit);
	else
		plain_done(p, sl, bit);
	ahci_port_run(p);
}

static void cmd_data(struct ata_cmd *c)
{
	(void)c; /* data go by the list at once */
	assert(false);
}

/* The list is shorter than the data. */
static void cmd_sg_short(struct ata_cmd *c)
{
	struct ahci_port *p = slot_of(c)->port;

	dev_guest_error(dev_of(p), "port %u: a command's list ends before its data", p->n);
	p->s->is |= IS_OFS;
	c->s->status = ATA_DRDY | ATA_DSC | ATA_ERR;
	c->s->error = ATA_ABRT;
	c->s->phase = ATA_IDLE;
	cmd_done(c);
}

static bool cmd_may_dma(struct ata_cmd *c)
{
	return pci_is_master(&slot_of(c)->port->a->pci);
}

static void finish_reset(struct ahci_port *p, bool at_once);

static void cmd_released(struct ata_cmd *c)
{
	struct ahci_port *p = slot_of(c)->port;

	p->stale &= ~(1u << c->slot);
	if (p->stale == 0) {
		finish_reset(p, false);
		ahci_port_run(p);
	}
}

const struct ata_host_ops ahci_host_ops = {
	.data = cmd_data,
	.done = cmd_done,
	.sg_short = cmd_sg_short,
	.may_dma = cmd_may_dma,
	.released = cmd_released,
};

/* ---- commands start ---- */

static void host_bus_error(struct ahci_port *p, const char *what)
{
	dev_guest_error(dev_of(p), "port %u: the %s is not in memory", p->n, what);
	p->s->halted = 1;
	raise(p, IS_HBFS);
}

static void take_regs(struct ata_cmd_state *s, const uint8_t *f)
{
	s->command = f[2];
	s->feature = (uint16_t)(f[3] | f[11] << 8);
	s->lba = 0;
	for (unsigned i = 0; i < 3; i++)
		s->lba |= (uint64_t)f[4 + i] << 8 * i | (uint64_t)f[8 + i] << (24 + 8 * i);
	s->device = f[7];
	s->count = (uint16_t)(f[12] | f[13] << 8);
	s->status = s->error = 0;
}

/* The control register: a software reset is two of these. */
static void control(struct ahci_port *p, unsigned slot, uint8_t v)
{
	p->s->ci &= ~(1u << slot);
	if (v & CONTROL_SRST) {
		p->s->srst = 1;
		return;
	}
	if (!p->s->srst)
		return;
	p->s->srst = 0;
	p->s->signed_ = 0;
	p->s->tfd = ATA_BSY;
	abort_issued(p);
	finish_reset(p, false);
}

/* Accepted: the drive is free again, the slot's bit in SACT says that it is under way. False: it
 * cannot be. */
static bool accept_queued(struct ahci_port *p, struct ahci_slot *sl)
{
	struct ata_cmd_state answer = sl->s;
	const unsigned tag = sl->s.count >> 3 & 31;

	if (p->drive.kind != ATA_DISK || tag != sl->cmd.slot || p->drive.s->ncq_failed)
		return false;
	answer.status = ATA_DRDY;
	answer.error = 0;
	p->queued |= 1u << tag;
	p->s->ci &= ~(1u << tag);
	p->s->sact |= 1u << tag;
	send_d2h(p, &answer, false);
	return true;
}

static void give(struct ahci_port *p, struct ahci_slot *sl, bool atapi)
{
	struct ata_cmd *c = &sl->cmd;
	const bool queued = sl->s.command == ATA_CMD_READ_QUEUED ||
			    sl->s.command == ATA_CMD_WRITE_QUEUED;
	const bool packet = p->drive.kind == ATA_CD && sl->s.command == ATA_CMD_PACKET;

	p->issued |= 1u << c->slot;
	p->s->tfd = ATA_BSY | ATA_DRDY;
	c->has_sg = true;
	/* What has nothing to do with the queue ends it. */
	if ((p->queued && !queued) || (queued && !accept_queued(p, sl)) || (packet && !atapi)) {
		abort_issued(p);
		c->moved = 0;
		sl->s.status = ATA_DRDY | ATA_DSC | ATA_ERR;
		sl->s.error = ATA_ABRT;
		cmd_done(c);
		return;
	}
	if (packet) { /* data to the host may follow by PIO, which is all the same to the list */
		struct ata_cmd_state now = sl->s;
		now.status = ATA_DRDY | ATA_DSC;
		now.count = ATA_REASON_CDB;
		send_pio_setup(p, &now, false, false, ATA_CDB_BYTES);
	}
	ata_start(c, packet);
}

static void start_slot(struct ahci_port *p, unsigned slot)
{
	struct ahci_slot *sl = &p->slot[slot];
	uint32_t h[4];
	uint8_t fis[CFIS_BYTES];

	p->s->last = slot;
	sl->header = p->s->clb + slot * HEADER_BYTES;
	if (dev_dma_read(dev_of(p), sl->header, h, sizeof(h)) < 0) {
		host_bus_error(p, "command list");
		return;
	}
	const uint64_t table = (uint64_t)h[3] << 32 | (h[2] & ~0x7fu);
	if (dev_dma_read(dev_of(p), table, fis, sizeof(fis)) < 0 ||
	    dev_dma_read(dev_of(p), table + TABLE_ACMD, sl->s.cdb, ATA_CDB_BYTES) < 0) {
		host_bus_error(p, "command table");
		return;
	}
	if (fis[0] != H2D || (fis[1] & 15) != 0) { /* no drive hears that */
		dev_guest_error(dev_of(p), "port %u: a command FIS of type %#x", p->n, fis[0]);
		p->s->ci &= ~(1u << slot);
		return;
	}
	if (!(fis[1] & H2D_COMMAND)) {
		control(p, slot, fis[15]);
		return;
	}
	take_regs(&sl->s, fis);
	ata_sg_ahci(&sl->cmd.sg, table + TABLE_PRDT, h[0] >> 16);
	give(p, sl, h[0] & HEADER_ATAPI);
}

/* The next slot after the last one that waits; AHCI_SLOTS: none. */
static unsigned next_slot(const struct ahci_port *p)
{
	const uint32_t waiting = p->s->ci & ~p->issued;

	for (unsigned i = 1; i <= AHCI_SLOTS; i++) {
		const unsigned slot = (p->s->last + i) % AHCI_SLOTS;
		if (waiting >> slot & 1)
			return slot;
	}
	return AHCI_SLOTS;
}

void ahci_port_run(struct ahci_port *p)
{
	unsigned slot;

	if (p->starting || !present(p) || p->a->quiet)
		return;
	p->starting = true;
	/* Commands without data end at once: the list's length bounds what one write can do, since
	 * a bit that was served is set again by the guest only. */
	while ((p->s->cmd & CMD_ST) && !p->s->halted && p->stale == 0 && p->s->signed_ &&
	       !(p->s->tfd & (ATA_BSY | ATA_DRQ)) && pci_is_master(&p->a->pci) &&
	       (slot = next_slot(p)) < AHCI_SLOTS)
		start_slot(p, slot);
	p->starting = false;
}

/* ---- resets ---- */

/* The drive is ready again as soon as nothing of before is under way; at power-on it looks ready
 * at once, and commands wait. */
static void finish_reset(struct ahci_port *p, bool at_once)
{
	struct ata_cmd_state s = { 0 };

	if (p->s->signed_ || (p->stale != 0 && !at_once) || !present(p) || (p->s->ssts & 15) != 3)
		return;
	p->drive.s->ncq_failed = 0;
	ata_signature(&p->drive, &s);
	p->s->signed_ = 1;
	p->s->sig = (uint32_t)s.lba << 8 | (s.count & 0xff);
	send_d2h(p, &s, true);
}

static void link_up(struct ahci_port *p, bool power_on)
{
	if (!present(p))
		return;
	p->s->ssts = LINK_UP;
	p->s->serr |= SERR_DIAG_X | SERR_DIAG_N;
	p->s->tfd = ATA_BSY;
	raise(p, IS_PCS | IS_PRCS);
	finish_reset(p, power_on);
}

static void write_sctl(struct ahci_port *p, uint32_t v)
{
	const uint32_t was = p->s->sctl & 15, det = v & 15;

	p->s->sctl = v & 0xfff;
	if (det == 1 && was != 1) { /* COMRESET for as long as it is there */
		abort_issued(p);
		p->s->ssts = 0;
		p->s->signed_ = 0;
		p->s->srst = 0;
		p->s->tfd = NO_DRIVE_TFD;
	} else if (det == 4) {
		abort_issued(p);
		p->s->ssts = 4;
		p->s->signed_ = 0;
		p->s->tfd = NO_DRIVE_TFD;
	} else if (det == 0 && was != 0) {
		p->s->ssts = 0;
		link_up(p, false);
	}
}

void ahci_port_state_init(struct ahci_port_state *s)
{
	*s = (struct ahci_port_state){ .cmd = CMD_SUD | CMD_POD,
				       .tfd = NO_DRIVE_TFD,
				       .sig = UINT32_MAX,
				       .last = AHCI_SLOTS - 1 };
	ata_drive_state_init(&s->drive);
}

void ahci_port_reset(struct ahci_port *p, bool power_on)
{
	const struct ata_drive_state drive = p->s->drive;

	abort_issued(p);
	ahci_port_state_init(p->s);
	if (!present(p))
		return;
	if (power_on)
		ata_drive_power_on(&p->drive);
	else
		p->s->drive = drive;
	link_up(p, power_on);
}

/* ---- registers ---- */

enum {
	PX_CLB = 0x00,
	PX_CLBU = 0x04,
	PX_FB = 0x08,
	PX_FBU = 0x0c,
	PX_IS = 0x10,
	PX_IE = 0x14,
	PX_CMD = 0x18,
	PX_TFD = 0x20,
	PX_SIG = 0x24,
	PX_SSTS = 0x28,
	PX_SCTL = 0x2c,
	PX_SERR = 0x30,
	PX_SACT = 0x34,
	PX_CI = 0x38
};

static uint32_t read_cmd(const struct ahci_port *p)
{
	uint32_t v = p->s->cmd;

	if (v & CMD_ST)
		v |= p->s->last << 8;
	if ((v & CMD_ST) || p->stale != 0) /* also until what was given up is out of memory */
		v |= CMD_CR;
	return v & CMD_FRE ? v | CMD_FR : v;
}

bool ahci_port_ones_act(unsigned off)
{
	return off == PX_IS || off == PX_SERR || off == PX_SACT || off == PX_CI;
}

uint32_t ahci_port_read(struct ahci_port *p, unsigned off)
{
	const struct ahci_port_state *s = p->s;

	switch (off) {
	case PX_CLB:
		return (uint32_t)s->clb;
	case PX_CLBU:
		return (uint32_t)(s->clb >> 32);
	case PX_FB:
		return (uint32_t)s->fb;
	case PX_FBU:
		return (uint32_t)(s->fb >> 32);
	case PX_IS:
		return s->is;
	case PX_IE:
		return s->ie;
	case PX_CMD:
		return read_cmd(p);
	case PX_TFD:
		return s->tfd;
	case PX_SIG:
		return s->sig;
	case PX_SSTS:
		return s->ssts;
	case PX_SCTL:
		return s->sctl;
	case PX_SERR:
		return s->serr;
	case PX_SACT:
		return s->sact;
	case PX_CI:
		return s->ci;
	default:
		return 0;
	}
}

static void write_cmd(struct ahci_port *p, uint32_t v)
{
	const uint32_t changed = p->s->cmd ^ v;

	p->s->cmd = CMD_SUD | CMD_POD | (v & (CMD_ST | CMD_FRE | CMD_ATAPI | CMD_DLAE));
	if ((changed & CMD_ST) && !(v & CMD_ST)) {
		abort_issued(p);
		p->s->ci = p->s->sact = 0;
		p->s->halted = 0;
		p->s->last = AHCI_SLOTS - 1;
	}
	if ((v & CMD_CLO) && !(v & CMD_ST))
		p->s->tfd &= ~(uint32_t)(ATA_BSY | ATA_DRQ);
	ahci_port_run(p);
}

/* Half of an address; align: its low bits that are zero. */
static void write_half(uint64_t *reg, bool upper, uint32_t v, uint32_t align)
{
	if (upper)
		*reg = (uint32_t)*reg | (uint64_t)v << 32;
	else
		*reg = (*reg >> 32 << 32) | (v & ~(align - 1));
}

static void write_is(struct ahci_port *p, uint32_t v)
{
	p->s->is &= ~(v & ~(uint32_t)(IS_PCS | IS_PRCS)); /* those two follow SERR */
	ahci_update_irq(p->a, false);
}

static void write_serr(struct ahci_port *p, uint32_t v)
{
	p->s->serr &= ~v;
	if (!(p->s->serr & SERR_DIAG_X))
		p->s->is &= ~(uint32_t)IS_PCS;
	if (!(p->s->serr & SERR_DIAG_N))
		p->s->is &= ~(uint32_t)IS_PRCS;
	ahci_update_irq(p->a, false);
}

void ahci_port_write(struct ahci_port *p, unsigned off, uint32_t v)
{
	switch (off) {
	case PX_CLB:
	case PX_CLBU:
		write_half(&p->s->clb, off == PX_CLBU, v, 1024);
		break;
	case PX_FB:
	case PX_FBU:
		write_half(&p->s->fb, off == PX_FBU, v, 256);
		break;
	case PX_IS:
		write_is(p, v);
		break;
	case PX_IE:
		p->s->ie = v & IE_MASK;
		ahci_update_irq(p->a, true);
		break;
	case PX_CMD:
		write_cmd(p, v);
		break;
	case PX_SCTL:
		write_sctl(p, v);
		ahci_port_run(p);
		break;
	case PX_SERR:
		write_serr(p, v);
		break;
	case PX_SACT:
		if (p->s->cmd & CMD_ST)
			p->s->sact |= v;
		break;
	case PX_CI:
		if (p->s->cmd & CMD_ST)
			p->s->ci |= v;
		ahci_port_run(p);
		break;
	default:
		break;
	}
}

/* ---- life cycle ---- */

int ahci_port_create(struct ahci_port *p, const char *what, struct err *e)
{
	int r;

	p->drive.s = &p->s->drive;
	p->drive.unit = p->drive.number = p->n;
	p->drive.sata = true;
	r = ata_drive_attach(&p->drive, &p->a->host, what, e);
	if (r < 0 || p->drive.kind == ATA_NONE)
		return r;
	p->slot = calloc(AHCI_SLOTS, sizeof(*p->slot));
	if (p->slot == NULL)
		return err_set(e, -ENOMEM, "%s: out of memory", dev_of(p)->id);
	for (unsigned i = 0; i < AHCI_SLOTS; i++) {
		struct ahci_slot *sl = &p->slot[i];
		sl->port = p;
		ata_cmd_init(&sl->cmd, &p->drive, &sl->s, sl->buf, i);
	}
	return 0;
}

int ahci_port_settle(struct ahci_port *p)
{
	int r = 0;

	for (unsigned i = 0; i < AHCI_SLOTS && present(p) && r == 0; i++)
		r = ata_cmd_settle(&p->slot[i].cmd);
	return r;
}

void ahci_port_destroy(struct ahci_port *p)
{
	free(p->slot);
}

int ahci_port_post_load(const struct ahci_port_state *s, struct err *e)
{
	if ((s->clb & 1023) || (s->fb & 255) || (s->ie & ~(uint32_t)IE_MASK) ||
	    (s->cmd & ~(uint32_t)(CMD_ST | CMD_FRE | CMD_ATAPI | CMD_DLAE | CMD_SUD | CMD_POD)) ||
	    (s->tfd >> 16) || (s->sctl & ~0xfffu) || s->last >= AHCI_SLOTS || s->halted > 1 ||
	    s->signed_ > 1 || s->srst > 1 || (!(s->cmd & CMD_ST) && (s->ci | s->sact) != 0))
		return err_set(e, -EINVAL, "ahci: a port cannot be so");
	return ata_drive_post_load(&s->drive, e);
}

const struct state_desc ahci_port_state_desc = {
	.name = "ahci_port",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct ahci_port_state),
	.fields =
		(const struct state_field[]){
			STATE(struct ahci_port_state, clb), STATE(struct ahci_port_state, fb),
			STATE(struct ahci_port_state, is), STATE(struct ahci_port_state, ie),
			STATE(struct ahci_port_state, cmd), STATE(struct ahci_port_state, tfd),
			STATE(struct ahci_port_state, sig), STATE(struct ahci_port_state, ssts),
			STATE(struct ahci_port_state, sctl), STATE(struct ahci_port_state, serr),
			STATE(struct ahci_port_state, sact), STATE(struct ahci_port_state, ci),
			STATE(struct ahci_port_state, last), STATE(struct ahci_port_state, halted),
			STATE(struct ahci_port_state, signed_), STATE(struct ahci_port_state, srst),
			STATE_PAD(struct ahci_port_state, pad_),
			STATE_STRUCT(struct ahci_port_state, drive, &ata_drive_state_desc),
			STATE_END },
};
