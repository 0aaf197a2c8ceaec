/*
 * IDE controller with two channels at their old ports and a bus master: the PIIX4's (8086:7111,
 * function 0:1f.1), which every system since Windows 95 drives by itself. An ICH9 has no parallel
 * ATA; its SATA ports in IDE mode (8086:2920) are unknown to older systems.
 *
 * Specification: Intel 82371AB (PIIX4) datasheet (290562), chapter 5; Programming Interface for Bus
 * Master IDE Controller 1.0; ATA/ATAPI-7 volume 2 (registers and protocols).
 * Not modelled: timing registers (storage), overlapped commands.
 */
#include "devmodel/storage/ctrl/ide.h"
#include "devmodel/storage/ctrl/ide_int.h"

enum {
	REGION_COMMAND = PCI_REGION_DEV, /* and that of the secondary channel */
	REGION_CONTROL = REGION_COMMAND + 2,
	REGION_BM = REGION_CONTROL + 2,
};
#define BM_BYTES 16
static const uint16_t command_port[IDE_CHANNELS] = { 0x1f0, 0x170 };
static const uint16_t control_port[IDE_CHANNELS] = { 0x3f6, 0x376 };

static struct ide *ide_from_dev(struct dev *d)
{
	assert(d->cls == &dm_ide.base);
	return (struct ide *)d;
}

static void map_ports(struct ide *x)
{
	const bool io = pci_cfg_get(x->s.pci.cfg, PCI_COMMAND, 2) & PCI_CMD_IO;

	for (unsigned i = 0; i < IDE_CHANNELS; i++) {
		const bool on = io &&
				(pci_cfg_get(x->s.pci.cfg, IDE_CFG_TIMING + 2 * i, 2) & IDE_DECODE);
		dev_region_map(&x->pci.dev, REGION_COMMAND + i, DEV_SPACE_PIO, command_port[i], on);
		dev_region_map(&x->pci.dev, REGION_CONTROL + i, DEV_SPACE_PIO, control_port[i], on);
	}
}

static void ide_cfg_written(struct pci_dev *p, unsigned off, unsigned size)
{
	struct ide *x = ide_from_dev(&p->dev);

	(void)size;
	if (off <= PCI_COMMAND + 1 || (off >= IDE_CFG_TIMING && off < IDE_CFG_TIMING + 4))
		map_ports(x);
	if (off <= PCI_COMMAND + 1)
		for (unsigned i = 0; i < IDE_CHANNELS; i++)
			ide_channel_resume(&x->channel[i]);
}

static uint64_t ide_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	struct ide *x = ide_from_dev(d);
	uint64_t v = 0;

	if (region < REGION_CONTROL)
		return ide_command_read(&x->channel[region - REGION_COMMAND], (unsigned)off, size);
	if (region < REGION_BM)
		return ide_alternate_status(&x->channel[region - REGION_CONTROL]);
	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)ide_bm_read(&x->channel[(off + i) / 8], (off + i) & 7) << 8 * i;
	return v;
}

static void ide_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	struct ide *x = ide_from_dev(d);

	if (region < REGION_CONTROL) {
		ide_command_write(&x->channel[region - REGION_COMMAND], (unsigned)off, size,
				  (uint32_t)v);
		return;
	}
	if (region < REGION_BM) {
		ide_control_write(&x->channel[region - REGION_CONTROL], (uint8_t)v);
		return;
	}
	for (unsigned i = 0; i < size; i++)
		ide_bm_write(&x->channel[(off + i) / 8], (off + i) & 7, (uint8_t)(v >> 8 * i));
}

/* ---- life cycle ---- */

static void ide_work(struct dev *d, struct dev_work *w)
{
	(void)w;
	ata_take_done(&ide_from_dev(d)->host);
}

static int ide_realize(struct dev *d, struct err *e)
{
	struct ide *x = ide_from_dev(d);
	const char *const what[IDE_CHANNELS][2] = { { x->drive0, x->drive1 },
						    { x->drive2, x->drive3 } };

	pci_realize(&x->pci, &x->s.pci);
	x->host = (struct ata_host){ .dev = d,
				     .ops = &ide_host_ops,
				     .work = { .fn = ide_work, .dev = d } };
	for (unsigned i = 0; i < IDE_CHANNELS; i++) {
		x->channel[i].ide = x;
		x->channel[i].n = i;
		x->channel[i].s = &x->s.channel[i];
		const int r = ide_channel_create(&x->channel[i], what[i], e);
		if (r < 0)
			return r;
	}
	return 0;
}

static void ide_unrealize(struct dev *d)
{
	struct ide *x = ide_from_dev(d);

	for (unsigned i = 0; i < IDE_DRIVES; i++)
		ata_drive_drain(&x->channel[i / 2].drive[i % 2].drive);
}

static void ide_reset(struct dev *d)
{
	struct ide *x = ide_from_dev(d);

	pci_reset(&x->pci);
	map_ports(x);
	for (unsigned i = 0; i < IDE_CHANNELS; i++)
		ide_channel_reset(&x->channel[i]);
}

static int ide_quiesce(struct dev *d, struct err *e)
{
	struct ide *x = ide_from_dev(d);

	int r = 0;

	do { /* a long transfer goes on with its next piece */
		for (unsigned i = 0; i < IDE_CHANNELS && r == 0; i++)
			r = ide_channel_settle(&x->channel[i]);
		ata_take_done(&x->host);
	} while (x->host.n_busy > 0 && r == 0);
	return r < 0 ? err_set(e, r, "%s: %s", d->id, BLK_NO_ROOM) : 0;
}

static void ide_resume(struct dev *d)
{
	struct ide *x = ide_from_dev(d);

	pci_resume(&x->pci);
	map_ports(x);
	for (unsigned i = 0; i < IDE_CHANNELS; i++)
		ide_channel_resume(&x->channel[i]);
}

static void ide_state_init(void *obj)
{
	struct ide_state *s = obj;

	memset(s, 0, sizeof(*s));
	pci_state_init(&dm_ide, &s->pci);
	for (unsigned i = 0; i < IDE_CHANNELS; i++)
		ide_channel_state_init(&s->channel[i]);
}

static int ide_post_load(void *obj, struct err *e)
{
	const struct ide_state *s = obj;

	for (unsigned i = 0; i < IDE_CHANNELS; i++) {
		const int r = ide_channel_post_load(&s->channel[i], e);
		if (r < 0)
			return r;
	}
	return pci_post_load(&dm_ide, &s->pci, e);
}

/* ---- media ---- */

static struct ide_drive *drive_of(struct dev *d, unsigned unit)
{
	return &ide_from_dev(d)->channel[unit / 2].drive[unit % 2];
}

static bool media_locked(const struct dev *d, unsigned unit)
{
	return ((const struct ide *)d)->s.channel[unit / 2].drive[unit % 2].drive.locked;
}

static bool media_out(struct dev *d, unsigned unit)
{
	return ata_media_out(&drive_of(d, unit)->drive);
}

static void media_asked(struct dev *d, unsigned unit)
{
	ata_media_asked(&drive_of(d, unit)->drive);
}

static void media_change(struct dev *d, unsigned unit, struct blk *medium)
{
	struct ide_drive *dr = drive_of(d, unit);

	ata_media_gone(&dr->cmd);
	ata_media_change(&dr->drive, medium);
}

const struct media_ops dm_ide_media = { media_locked, media_out, media_asked, media_change };

static const struct state_desc ide_state = {
	.name = "ide",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct ide_state),
	.init = ide_state_init,
	.post_load = ide_post_load,
	.fields =
		(const struct state_field[]){
			STATE_STRUCT(struct ide_state, pci, &pci_state_desc),
			STATE_STRUCTS(struct ide_state, channel, &ide_channel_state_desc),
			STATE_END },
};

#define DRIVE_OPT(n) OPT(struct ide, drive##n, 0, IDE_WHAT_MAX, "", "drive: disk NAME, cdrom NAME")
static const struct opt ide_opts[] = { DRIVE_OPT(0), DRIVE_OPT(1), DRIVE_OPT(2), DRIVE_OPT(3),
				       OPT_END };

static const struct pci_reg ide_regs[] = {
	{ IDE_CFG_TIMING, 4, 0, 0xf3fff3ff }, /* IDETIM of both channels */
	{ 0x44, 1, 0, 0xff },		      /* SIDETIM */
	{ 0x48, 1, 0, 0x0f },		      /* UDMACTL */
	{ 0x4a, 2, 0, 0x3333 },		      /* UDMATIM */
	{ 0, 0, 0, 0 },
};

const struct pci_class dm_ide = {
	.base = {
		.name = "ide", .summary = "IDE controller with two channels and bus master (PIIX4)",
		.size = sizeof(struct ide), .opts = ide_opts, .state = &ide_state,
		.state_off = offsetof(struct ide, s),
		.regions = { PCI_REGIONS_COMMON,
			     [REGION_COMMAND] = { "primary", 8, 1, 4 },
			     [REGION_COMMAND + 1] = { "secondary", 8, 1, 4 },
			     [REGION_CONTROL] = { "control1", 1, 1, 1 },
			     [REGION_CONTROL + 1] = { "control2", 1, 1, 1 },
			     [REGION_BM] = { "busmaster", BM_BYTES, 1, 4 } },
		.irqs = { "irq14", "irq15" },
		.realize = ide_realize, .unrealize = ide_unrealize, .reset = ide_reset,
		.quiesce = ide_quiesce, .resume = ide_resume,
		.read = pci_read, .write = pci_write,
	},
	.vendor = 0x8086, .device = 0x7111, .subsys_vendor = 0x1af4, .subsys = 0x1100,
	.class_code = 0x010180, .revision = 1, .multifunction = true,
	.bars = { [4] = { PCI_BAR_PIO, REGION_BM, false } },
	.regs = ide_regs,
	.read = ide_read, .write = ide_write, .cfg_written = ide_cfg_written,
};
