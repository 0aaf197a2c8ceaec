/*
 * AHCI controller of the ICH9 (8086:2922, function 0:1f.2): six ports, 32 slots each, native
 * command queuing, disks and CD drives.
 *
 * Specification: Serial ATA AHCI 1.3.1; Intel I/O Controller Hub 9 datasheet (316972), chapter 15.
 * Not modelled: port multipliers, FIS-based switching, power management of the link, staggered
 * spin-up, hot plug of drives, command completion coalescing, enclosure management, index/data
 * pair.
 */
#include "devmodel/storage/ctrl/ahci.h"
#include <stdlib.h>
#include "devmodel/storage/ctrl/ahci_int.h"

#define MEM_BYTES 4096
enum { REG_CAP = 0x00, REG_GHC = 0x04, REG_IS = 0x08, REG_PI = 0x0c, REG_VS = 0x10 };
enum { GHC_HR = 1u, GHC_IE = 2u };
#define GHC_AE (1u << 31)
/* 64-bit addresses, NCQ, command list override, 3 Gb/s, AHCI only, PIO in blocks of several
 * sectors, 32 slots, 6 ports */
#define CAP (1u << 31 | 1u << 30 | 1u << 24 | 2u << 20 | 1u << 18 | 1u << 15 | 31u << 8 | 5u)
#define VERSION 0x00010301u
#define PORTS_IMPLEMENTED ((1u << AHCI_PORTS) - 1)

static struct ahci *ahci_from_dev(struct dev *d)
{
	assert(d->cls == &dm_ahci.base);
	return (struct ahci *)d;
}

/* ---- interrupts ---- */

/* IS bits whose ports have a cause that is enabled. */
static uint32_t causes(const struct ahci *a)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < AHCI_PORTS; i++)
		v |= (uint32_t)((a->s.port[i].is & a->s.port[i].ie) != 0) << i;
	return v;
}

void ahci_update_irq(struct ahci *a, bool fresh)
{
	a->s.is |= causes(a);
	const bool level = (a->s.ghc & GHC_IE) && a->s.is != 0;
	pci_set_intx(&a->pci, level);
	if (level && fresh)
		pci_msi_notify(&a->pci);
}

/* ---- registers ---- */

static void hba_reset(struct ahci *a)
{
	a->s.ghc = GHC_AE;
	for (unsigned i = 0; i < AHCI_PORTS; i++)
		ahci_port_reset(&a->port[i], false);
	a->s.is = 0; /* also what ports told that had their turn later */
	ahci_update_irq(a, false);
}

static void write_ghc(struct ahci *a, uint32_t v)
{
	if (v & GHC_HR) {
		hba_reset(a);
		return;
	}
	a->s.ghc = GHC_AE | (v & GHC_IE);
	ahci_update_irq(a, true);
}

static uint32_t read32(struct ahci *a, unsigned off)
{
	if (off >= 0x100)
		return off < 0x100 + AHCI_PORTS * 0x80
			       ? ahci_port_read(&a->port[(off - 0x100) / 0x80], off & 0x7f)
			       : 0;
	switch (off) {
	case REG_CAP:
		return CAP;
	case REG_GHC:
		return a->s.ghc;
	case REG_IS:
		return a->s.is;
	case REG_PI:
		return PORTS_IMPLEMENTED;
	case REG_VS:
		return VERSION;
	default:
		return 0;
	}
}

static void write32(struct ahci *a, unsigned off, uint32_t v)
{
	if (off >= 0x100 && off < 0x100 + AHCI_PORTS * 0x80) {
		ahci_port_write(&a->port[(off - 0x100) / 0x80], off & 0x7f, v);
	} else if (off == REG_GHC) {
		write_ghc(a, v);
	} else if (off == REG_IS) {
		a->s.is &= ~v;
		ahci_update_irq(a, true); /* what is still there is told again */
	}
}

static uint64_t ahci_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	(void)region; /* there is one */
	return read32(ahci_from_dev(d), (unsigned)off & ~3u) >> (off & 3) * 8 &
	       (UINT32_MAX >> (32 - 8 * size));
}

/* Parts of a register: the rest is written as it is, or not at all where a one does something. */
static void ahci_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	struct ahci *a = ahci_from_dev(d);
	const unsigned reg = (unsigned)off & ~3u, shift = ((unsigned)off & 3) * 8;
	const uint32_t mask = (UINT32_MAX >> (32 - 8 * size)) << shift;
	const uint32_t rest = reg == REG_IS || (reg >= 0x100 && ahci_port_ones_act(reg & 0x7f))
				      ? 0
				      : read32(a, reg) & ~mask;

	(void)region;
	write32(a, reg, rest | ((uint32_t)v << shift & mask));
}

/* Becoming bus master lets commands go that wait. */
static void ahci_cfg_written(struct pci_dev *p, unsigned off, unsigned size)
{
	struct ahci *a = ahci_from_dev(&p->dev);

	(void)size;
	if (off <= PCI_COMMAND + 1)
		for (unsigned i = 0; i < AHCI_PORTS; i++)
			ahci_port_run(&a->port[i]);
}

/* ---- life cycle ---- */

static void ahci_work(struct dev *d, struct dev_work *w)
{
	(void)w;
	ata_take_done(&ahci_from_dev(d)->host);
}

static int ahci_realize(struct dev *d, struct err *e)
{
	struct ahci *a = ahci_from_dev(d);
	const char *const what[AHCI_PORTS] = { a->port0, a->port1, a->port2,
					       a->port3, a->port4, a->port5 };

	pci_realize(&a->pci, &a->s.pci);
	a->host = (struct ata_host){ .dev = d,
				     .ops = &ahci_host_ops,
				     .work = { .fn = ahci_work, .dev = d } };
	for (unsigned i = 0; i < AHCI_PORTS; i++) {
		a->port[i].a = a;
		a->port[i].n = i;
		a->port[i].s = &a->s.port[i];
		const int r = ahci_port_create(&a->port[i], what[i], e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int settle(struct ahci *a)
{
	int r = 0;

	do {
		for (unsigned i = 0; i < AHCI_PORTS && r == 0; i++)
			r = ahci_port_settle(&a->port[i]);
		ata_take_done(&a->host); /* a long transfer goes on with its next piece */
	} while (a->host.n_busy > 0 && r == 0);
	return r;
}

static void ahci_unrealize(struct dev *d)
{
	struct ahci *a = ahci_from_dev(d);

	a->quiet = true;
	for (unsigned i = 0; i < AHCI_PORTS; i++) {
		ata_drive_drain(&a->port[i].drive);
		ahci_port_destroy(&a->port[i]);
	}
}

static void ahci_reset(struct dev *d)
{
	struct ahci *a = ahci_from_dev(d);

	pci_reset(&a->pci);
	a->s.ghc = GHC_AE;
	for (unsigned i = 0; i < AHCI_PORTS; i++)
		ahci_port_reset(&a->port[i], true);
	a->s.is = 0;
	ahci_update_irq(a, false);
}

static int ahci_quiesce(struct dev *d, struct err *e)
{
	struct ahci *a = ahci_from_dev(d);

	a->quiet = true;
	const int r = settle(a); /* no other thread is in the device while the machine pauses */
	return r < 0 ? err_set(e, r, "%s: %s", d->id, BLK_NO_ROOM) : 0;
}

static void ahci_resume(struct dev *d)
{
	struct ahci *a = ahci_from_dev(d);

	a->quiet = false;
	pci_resume(&a->pci);
	for (unsigned i = 0; i < AHCI_PORTS; i++)
		ahci_port_run(&a->port[i]);
}

static void ahci_state_init(void *obj)
{
	struct ahci_state *s = obj;

	memset(s, 0, sizeof(*s));
	pci_state_init(&dm_ahci, &s->pci);
	s->ghc = GHC_AE;
	for (unsigned i = 0; i < AHCI_PORTS; i++)
		ahci_port_state_init(&s->port[i]);
}

static int ahci_post_load(void *obj, struct err *e)
{
	const struct ahci_state *s = obj;

	if ((s->ghc & ~GHC_IE) != GHC_AE || (s->is & ~PORTS_IMPLEMENTED))
		return err_set(e, -EINVAL, "ahci: reserved bits set in GHC or IS");
	for (unsigned i = 0; i < AHCI_PORTS; i++) {
		const int r = ahci_port_post_load(&s->port[i], e);
		if (r < 0)
			return r;
	}
	return pci_post_load(&dm_ahci, &s->pci, e);
}

/* ---- media ---- */

static bool media_locked(const struct dev *d, unsigned unit)
{
	return ((const struct ahci *)d)->s.port[unit].drive.locked;
}

static bool media_out(struct dev *d, unsigned unit)
{
	return ata_media_out(&ahci_from_dev(d)->port[unit].drive);
}

static void media_asked(struct dev *d, unsigned unit)
{
	ata_media_asked(&ahci_from_dev(d)->port[unit].drive);
}

static void media_change(struct dev *d, unsigned unit, struct blk *medium)
{
	struct ahci_port *p = &ahci_from_dev(d)->port[unit];

	for (unsigned i = 0; i < AHCI_SLOTS; i++)
		ata_media_gone(&p->slot[i].cmd);
	ata_media_change(&p->drive, medium);
}

const struct media_ops dm_ahci_media = { media_locked, media_out, media_asked, media_change };

static const struct state_desc ahci_state = {
	.name = "ahci",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct ahci_state),
	.init = ahci_state_init,
	.post_load = ahci_post_load,
	.fields =
		(const struct state_field[]){
			STATE_STRUCT(struct ahci_state, pci, &pci_state_desc),
			STATE(struct ahci_state, ghc), STATE(struct ahci_state, is),
			STATE_STRUCTS(struct ahci_state, port, &ahci_port_state_desc), STATE_END },
};

#define PORT_OPT(n) OPT(struct ahci, port##n, 0, AHCI_WHAT_MAX, "", "drive: disk NAME, cdrom NAME")
static const struct opt ahci_opts[] = {
	PORT_OPT(0), PORT_OPT(1), PORT_OPT(2), PORT_OPT(3), PORT_OPT(4), PORT_OPT(5), OPT_END,
};

static const struct pci_reg ahci_regs[] = {
	{ 0x90, 2, 0x0040, 0 },	     /* MAP: AHCI */
	{ 0x92, 2, 0x3f3f, 0x003f }, /* PCS: ports present, enabled */
	{ 0, 0, 0, 0 },
};

const struct pci_class dm_ahci = {
	.base = {
		.name = "ahci", .summary = "SATA controller (AHCI) with six ports",
		.size = sizeof(struct ahci), .opts = ahci_opts, .state = &ahci_state,
		.state_off = offsetof(struct ahci, s),
		.regions = { PCI_REGIONS_COMMON, [AHCI_REGION_MEM] = { "mem", MEM_BYTES, 1, 4 } },
		.irqs = { "intx" },
		.realize = ahci_realize, .unrealize = ahci_unrealize, .reset = ahci_reset,
		.quiesce = ahci_quiesce, .resume = ahci_resume,
		.read = pci_read, .write = pci_write,
	},
	.vendor = 0x8086, .device = 0x2922, .subsys_vendor = 0x1af4, .subsys = 0x1100,
	.class_code = 0x010601, .revision = 2, .multifunction = true, .int_pin = 1, .msi = true,
	.bars = { [5] = { PCI_BAR_MMIO32, AHCI_REGION_MEM, false } },
	.regs = ahci_regs,
	.read = ahci_read, .write = ahci_write, .cfg_written = ahci_cfg_written,
};
