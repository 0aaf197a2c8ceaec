/*
 * The machine pc-1: which devices a Q35 + ICH9 PC has, where they lie and how they are wired. The
 * only file besides registry.c that names them.
 */
#include "devmodel/machine/machine_int.h"
#include <stdio.h>
#include "base/util.h"
#include "devmodel/chipset/debug_exit.h"
#include "devmodel/chipset/debugcon.h"
#include "devmodel/chipset/hpet.h"
#include "devmodel/chipset/i8237.h"
#include "devmodel/chipset/i8254.h"
#include "devmodel/chipset/i8259.h"
#include "devmodel/chipset/ioapic.h"
#include "devmodel/chipset/mc146818.h"
#include "devmodel/chipset/ns16550.h"
#include "devmodel/chipset/pm.h"
#include "devmodel/chipset/port92.h"
#include "devmodel/chipset/post_port.h"
#include "devmodel/chipset/reset_ctl.h"
#include "devmodel/input/i8042.h"
#include "devmodel/machine/acpi/acpi.h"
#include "devmodel/storage/ctrl/ahci.h"
#include "devmodel/storage/ctrl/ide.h"
#include "devmodel/virtio/virtio_blk.h"
#include "devmodel/virtio/virtio_rng.h"

#define NO_PLACE UINT64_MAX
#define SLOT_RNG 2
#define SLOT_DISK0 3
#define SLOT_LPC 31
#define BOOT_PATH_MAX 64

/* ---- wires ---- */

static void sink_set(void *ctx, unsigned input, bool level)
{
	const struct env_dev *ed = ctx;

	ed->dev->cls->irq_in(ed->dev, input, level);
}

static struct hv_irq_sink sink_of(struct env_dev *ed)
{
	return (struct hv_irq_sink){ .set = sink_set, .ctx = ed, .domain = ed->domain };
}

/* ISA interrupts reach the PIC and the IOAPIC (0 at its pin 2); PIRQs the IOAPIC and, routed by the
 * LPC bridge, the ISA interrupts. */
static void wire_lines(struct machine *m)
{
	m->sink_pic = sink_of(m->pic);
	m->sink_ioapic = sink_of(m->ioapic);
	m->sink_lpc = sink_of(m->lpc);
	for (unsigned i = 0; i < N_ISA_LINES; i++) {
		if (i == 2)
			continue; /* the PICs' cascade */
		hv_irq_line_connect(&m->isa[i], &m->sink_pic, i);
		hv_irq_line_connect(&m->isa[i], &m->sink_ioapic, i == 0 ? 2 : i);
	}
	for (unsigned i = 0; i < N_PIRQ_LINES; i++) {
		hv_irq_line_connect(&m->pirq[i], &m->sink_lpc, i);
		hv_irq_line_connect(&m->pirq[i], &m->sink_ioapic, 16 + i);
	}
	/* Within one domain: the sink takes none. */
	hv_irq_line_connect(&m->pic_intr, &m->lapics.lint, LAPIC_LINT0);
	env_wire(m->pic, 0, &m->pic_intr);
	/* The PIT's and the RTC's outputs go through the HPET, which is in their domain. */
	m->sink_hpet = (struct hv_irq_sink){ .set = sink_set, .ctx = m->hpet };
	hv_irq_line_connect(&m->pit_out, &m->sink_hpet, 0);
	hv_irq_line_connect(&m->rtc_out, &m->sink_hpet, 1);
	env_wire(m->pit, 0, &m->pit_out);
	env_wire(m->rtc, 0, &m->rtc_out);
	for (unsigned i = 0; i < HPET_N_PINS; i++)
		env_wire(m->hpet, HPET_LINE_PINS + i,
			 hpet_pins[i] < N_ISA_LINES ? &m->isa[hpet_pins[i]]
						    : &m->pirq[hpet_pins[i] - N_ISA_LINES]);
	for (unsigned i = 0; i < LPC_N_IRQS; i++)
		env_wire(m->lpc, i, &m->isa[lpc_isa_irq[i]]);
}

/* ---- CPUs' local APICs ---- */

static void move_apics(void *ctx, bool to_engine)
{
	lapic_bus_move(&((struct machine *)ctx)->lapics, to_engine);
}

static int add_lapics(struct machine *m, struct err *e)
{
	lapic_bus_init(&m->lapics, &m->domain[DOM_IRQCHIP]);
	if (m->vm.engine->apic != NULL) {
		m->lapics.vm = &m->vm;
		m->vm.move_apics = move_apics;
	}
	for (unsigned i = 0; i < m->vm.n_vcpus; i++) {
		m->lapics.cpu[i].ops = &lapic_vcpu_ops;
		m->lapics.cpu[i].cpu = m->vm.vcpu[i];
	}
	for (unsigned i = 0; i < m->vm.n_vcpus; i++) {
		char id[24], arg[24];
		snprintf(id, sizeof(id), "cpu%u/lapic", i);
		snprintf(arg, sizeof(arg), "id=%u", i);
		const int r = env_add(&m->env, &dm_lapic, id, &m->domain[DOM_IRQCHIP], 0,
				      (const char *const[]){ arg, NULL }, &m->lapic[i], e);
		if (r < 0)
			return r;
		m->vm.vcpu[i]->lapic_ctx = m->lapic[i]->dev;
		m->vm.vcpu[i]->lapic = &dm_lapic_ops;
		m->vm.vcpu[i]->timer = &m->lapic[i]->timer[0].timer;
	}
	return 0;
}

/* ---- the chipset ---- */

struct place {
	unsigned region;
	enum dev_space space;
	uint64_t base;
};

struct part {
	const struct dev_class *cls;
	const char *id;
	enum machine_domain domain;
	int prio;
	const char *arg;       /* O: "key=value" */
	struct place place[4]; /* base 0 ends */
	int isa[2];	       /* ISA interrupt of line 0, 1; -1: none */
	size_t keep;	       /* offset of a struct env_dev * in the machine; 0: none */
};

#define KEEP(x) offsetof(struct machine, x)
#define PIO(r, base)                                                                               \
	{                                                                                          \
		r, DEV_SPACE_PIO, base                                                             \
	}
#define MMIO(r, base)                                                                              \
	{                                                                                          \
		r, DEV_SPACE_MMIO, base                                                            \
	}

/* In the order of creation, which is that of saved states, too. */
static const struct part parts[] = {
	{ &dm_ioapic,
	  "ioapic",
	  DOM_IRQCHIP,
	  HV_PRIO_CHIPSET,
	  NULL,
	  { MMIO(0, MEMMAP_IOAPIC) },
	  { -1, -1 },
	  KEEP(ioapic) },
	{ &dm_i8259,
	  "pic",
	  DOM_IRQCHIP,
	  0,
	  NULL,
	  { PIO(0, 0x20), PIO(1, 0xa0), PIO(2, 0x4d0) },
	  { -1, -1 },
	  KEEP(pic) },
	{ &dm_reset_ctl, "reset", DOM_CHIPSET, 0, NULL, { { 0 } }, { -1, -1 }, KEEP(rst) },
	{ &dm_i8254,
	  "pit",
	  DOM_CHIPSET,
	  0,
	  NULL,
	  { PIO(0, 0x40), PIO(1, 0x61) },
	  { -1, -1 },
	  KEEP(pit) },
	{ &dm_hpet, "hpet", DOM_CHIPSET, HV_PRIO_CHIPSET, NULL, { { 0 } }, { 0, 8 }, KEEP(hpet) },
	{ &dm_pm, "pm", DOM_CHIPSET, 0, NULL, { PIO(1, 0xb2) }, { 9, -1 }, KEEP(pm) },
	{ &dm_i8237, "dma", DOM_CHIPSET, 0, NULL, { { 0 } }, { -1, -1 }, KEEP(dma) },
	{ &dm_mc146818, "rtc", DOM_CHIPSET, 0, NULL, { PIO(0, 0x70) }, { -1, -1 }, KEEP(rtc) },
	{ &dm_i8042,
	  "i8042",
	  DOM_CHIPSET,
	  0,
	  NULL,
	  { PIO(0, 0x60), PIO(1, 0x64) },
	  { 1, 12 },
	  KEEP(i8042) },
	{ &dm_port92, "port92", DOM_CHIPSET, 0, NULL, { PIO(0, 0x92) }, { -1, -1 }, 0 },
	{ &dm_post_port,
	  "post",
	  DOM_CHIPSET,
	  0,
	  NULL,
	  { PIO(0, 0x80), PIO(1, 0xed) },
	  { -1, -1 },
	  0 },
	{ &dm_fwcfg, "fwcfg", DOM_CHIPSET, 0, NULL, { PIO(0, 0x510) }, { -1, -1 }, 0 },
	{ &dm_debugcon,
	  "debugcon",
	  DOM_CHIPSET,
	  0,
	  NULL,
	  { PIO(0, 0x402), PIO(1, 0xe9) },
	  { -1, -1 },
	  0 },
};

static int add_part(struct machine *m, const struct part *p, struct err *e)
{
	struct env_dev *ed;
	const int r = env_add(&m->env, p->cls, p->id, &m->domain[p->domain], p->prio,
			      (const char *const[]){ p->arg, NULL }, &ed, e);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < HV_ARRAY_LEN(p->place) && p->place[i].base != 0; i++)
		env_map(ed, p->place[i].region, p->place[i].space, p->place[i].base, true);
	for (unsigned i = 0; i < HV_ARRAY_LEN(p->isa); i++)
		if (p->isa[i] >= 0)
			env_wire(ed, i, &m->isa[p->isa[i]]);
	if (p->keep != 0)
		*(struct env_dev **)((char *)m + p->keep) = ed;
	return 0;
}

/* COM1 and COM2 are always there; the others where there is something to plug in. */
static int add_serial(struct machine *m, struct err *e)
{
	static const uint16_t port[MACHINE_MAX_SERIAL] = { 0x3f8, 0x2f8, 0x3e8, 0x2e8 };
	static const uint8_t isa[MACHINE_MAX_SERIAL] = { 4, 3, 4, 3 };

	for (unsigned i = 0; i < MACHINE_MAX_SERIAL; i++) {
		struct chr *c = m->back.serial[i];
		struct env_dev *ed;
		char id[24], arg[24];
		if (c == NULL && i >= 2)
			continue;
		if (c != NULL)
			c->dev_domain = &m->domain[DOM_CHIPSET];
		snprintf(id, sizeof(id), "com%u", i + 1);
		snprintf(arg, sizeof(arg), "chr=com%u", i + 1);
		const int r = env_add(&m->env, &dm_ns16550, id, &m->domain[DOM_CHIPSET], 0,
				      (const char *const[]){ arg, NULL }, &ed, e);
		if (r < 0)
			return r;
		env_map(ed, 0, DEV_SPACE_PIO, port[i], true);
		env_wire(ed, 0, &m->isa[isa[i]]);
	}
	if (m->back.debugcon != NULL)
		m->back.debugcon->dev_domain = &m->domain[DOM_CHIPSET];
	return 0;
}

static int add_debug_exit(struct machine *m, struct err *e)
{
	struct env_dev *ed;

	if (m->config.debug_exit_port == 0)
		return 0;
	const int r = env_add(&m->env, &dm_debug_exit, "debug-exit", &m->domain[DOM_CHIPSET], 0,
			      NULL, &ed, e);
	if (r == 0)
		env_map(ed, 0, DEV_SPACE_PIO, m->config.debug_exit_port, true);
	return r;
}

/* ---- PCI functions ---- */

static int add_pci(struct machine *m, const struct pci_class *c, const char *id, unsigned devfn,
		   enum machine_domain domain, int prio, const char *const *args,
		   struct env_dev **ret_ed, struct err *e)
{
	struct env_dev *ed;
	const int r = env_add(&m->env, &c->base, id, &m->domain[domain], prio, args, &ed, e);

	if (r < 0)
		return r;
	m->bus.fn[devfn].dev = ed->dev;
	m->bus.fn[devfn].domain = ed->domain;
	if (c->int_pin != 0)
		env_wire(ed, 0, &m->pirq[pci_pirq(devfn, c->int_pin)]);
	if (ret_ed != NULL)
		*ret_ed = ed;
	return 0;
}

static int add_virtio_disks(struct machine *m, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < MACHINE_MAX_DISKS && r == 0; i++) {
		char id[24], arg[24];
		if (m->back.disk[i].blk == NULL || m->back.disk[i].bus != MACHINE_BUS_VIRTIO)
			continue;
		snprintf(id, sizeof(id), "pci0.%u/disk%u", SLOT_DISK0 + i, i);
		snprintf(arg, sizeof(arg), "disk=%u", i);
		r = add_pci(m, &dm_virtio_blk.pci, id, PCI_DEVFN(SLOT_DISK0 + i, 0), DOM_DISK0 + i,
			    HV_PRIO_DEVICE, (const char *const[]){ arg, NULL }, NULL, e);
	}
	return r;
}

static int add_display(struct machine *m, struct err *e)
{
	int r;

	if (m->vga.vram == NULL)
		return 0;
	r = add_pci(m, &dm_vga, "pci0.1/vga", MACHINE_VGA_DEVFN, DOM_DISPLAY, HV_PRIO_DEVICE, NULL,
		    &m->display, e);
	if (r < 0)
		return r;
	m->display_ops = &dm_vga_display;
	env_back(m->display, VGA_REGION_VRAM, HV_MAP_RAM, m->vga.vram);
	env_back(m->display, VGA_REGION_ROM, HV_MAP_ROM, m->vga.rom);
	env_map(m->display, VGA_REGION_PORTS, DEV_SPACE_PIO, 0x3b0, true);
	/* Words one beside the other: the last half of each is the next one's first. */
	env_map(m->display, VGA_REGION_INDEX, DEV_SPACE_PIO, 0x1ce, true);
	env_map(m->display, VGA_REGION_DATA, DEV_SPACE_PIO, 0x1cf, true);
	env_map(m->display, VGA_REGION_DATA2, DEV_SPACE_PIO, 0x1d0, true);
	env_map(m->display, VGA_REGION_WINDOW, DEV_SPACE_MMIO, VGA_WINDOW_GPA, true);
	return 0;
}

/* A controller that is there only where it has drives. */
struct drive_bus {
	const struct pci_class *cls;
	const struct media_ops *media;
	const char *id, *option; /* option: of a unit, "%u" is its number */
	unsigned devfn, units;
	enum machine_domain domain;
	uint8_t unit[AHCI_PORTS]; /* of the first drive, the second and so on */
};

static const struct drive_bus drive_buses[] = {
	[MACHINE_BUS_AHCI] = { &dm_ahci,
			       &dm_ahci_media,
			       "pci0.31.2/ahci",
			       "port%u=%s %u",
			       PCI_DEVFN(31, 2),
			       AHCI_PORTS,
			       DOM_AHCI,
			       { 0, 1, 2, 3, 4, 5 } },
	/* A channel of its own as long as there is one. */
	[MACHINE_BUS_IDE] = { &dm_ide,
			      &dm_ide_media,
			      "pci0.31.1/ide",
			      "drive%u=%s %u",
			      PCI_DEVFN(31, 1),
			      IDE_DRIVES,
			      DOM_IDE,
			      { 0, 2, 1, 3 } },
};

/* Which of the controller's units the drive is. */
static unsigned unit_of(const struct machine *m, unsigned drive)
{
	const enum machine_bus bus = m->back.disk[drive].bus;
	unsigned n = 0;

	for (unsigned i = 0; i < drive; i++)
		n += machine_has_drive(&m->back, i) && m->back.disk[i].bus == bus;
	return drive_buses[bus].unit[n % AHCI_PORTS];
}

/* *ret_ed NULL: there are no drives of that kind. */
static int add_drive_bus(struct machine *m, enum machine_bus bus, struct env_dev **ret_ed,
			 struct err *e)
{
	const struct drive_bus *b = &drive_buses[bus];
	char arg[MACHINE_MAX_DISKS][32];
	const char *args[MACHINE_MAX_DISKS + 1] = { NULL };
	unsigned n = 0;
	int r;

	*ret_ed = NULL;
	for (unsigned i = 0; i < MACHINE_MAX_DISKS; i++) {
		if (!machine_has_drive(&m->back, i) || m->back.disk[i].bus != bus)
			continue;
		if (n == b->units)
			return err_set(e, -EINVAL, "at most %u drives go on bus %s", b->units,
				       b->cls->base.name);
		snprintf(arg[n], sizeof(arg[n]), b->option, unit_of(m, i),
			 m->back.disk[i].cdrom ? "cdrom" : "disk", i);
		args[n] = arg[n];
		n++;
	}
	if (n == 0)
		return 0;
	r = add_pci(m, b->cls, b->id, b->devfn, b->domain, HV_PRIO_DEVICE, args, ret_ed, e);
	for (unsigned i = 0; i < MACHINE_MAX_DISKS && r == 0; i++)
		if (m->back.disk[i].bus == bus && m->back.disk[i].cdrom) {
			m->drive[i].ed = *ret_ed;
			m->drive[i].unit = unit_of(m, i);
			m->drive[i].ops = b->media;
		}
	return r;
}

static int add_disks(struct machine *m, struct err *e)
{
	struct env_dev *ed;
	int r = add_virtio_disks(m, e);

	if (r == 0)
		r = add_drive_bus(m, MACHINE_BUS_AHCI, &ed, e);
	if (r == 0)
		r = add_drive_bus(m, MACHINE_BUS_IDE, &ed, e);
	if (r == 0 && ed != NULL) {
		env_wire(ed, 0, &m->isa[14]);
		env_wire(ed, 1, &m->isa[15]);
	}
	return r;
}

static int add_pci_functions(struct machine *m, struct err *e)
{
	int r = add_pci(m, &dm_mch, "pci0.0", PCI_DEVFN(0, 0), DOM_PCI, HV_PRIO_CHIPSET, NULL,
			&m->mch, e);

	if (r == 0)
		r = add_pci(m, &dm_lpc, "pci0.31", PCI_DEVFN(SLOT_LPC, 0), DOM_LPC, HV_PRIO_CHIPSET,
			    NULL, &m->lpc, e);
	if (r == 0)
		r = add_pci(m, &dm_virtio_rng.pci, "pci0.2/rng", PCI_DEVFN(SLOT_RNG, 0), DOM_RNG,
			    HV_PRIO_DEVICE, NULL, NULL, e);
	if (r == 0)
		r = add_display(m, e);
	if (r == 0)
		r = add_disks(m, e);
	if (r < 0)
		return r;
	env_map(m->dma, 0, DEV_SPACE_PIO, 0x00, true);
	env_map(m->dma, 1, DEV_SPACE_PIO, 0xc0, true);
	env_map(m->dma, 2, DEV_SPACE_PIO, 0x81, true);
	env_map(m->mch, MCH_REGION_ADDR, DEV_SPACE_PIO, 0xcf8, true);
	env_map(m->mch, MCH_REGION_DATA, DEV_SPACE_PIO, 0xcfc, true);
	return 0;
}

/* ---- what devices ask the machine for ---- */

static void show_pam(void *ctx, const uint8_t modes[MCH_PAM_SEGS])
{
	memmap_pam(&((struct machine *)ctx)->map, modes);
}

static void place_pm(void *ctx, uint16_t port, bool on)
{
	env_map(((struct machine *)ctx)->pm, 0, DEV_SPACE_PIO, port, on);
}

static void place_hpet(void *ctx, uint64_t gpa, bool on)
{
	env_map(((struct machine *)ctx)->hpet, 0, DEV_SPACE_MMIO, gpa, on);
}

static void *find_machine(struct machine *m, const char *name)
{
	if (strcmp(name, "lapic-bus") == 0)
		return &m->lapics;
	if (strcmp(name, "pci-host") == 0)
		return &m->mch_ops;
	if (strcmp(name, "lpc") == 0)
		return &m->lpc_ops;
	if (strcmp(name, "fwcfg") == 0)
		return &m->fwcfg;
	if (strcmp(name, "isa-dma") == 0)
		return &m->isa_dma;
	if (strcmp(name, "vga") == 0 && m->vga.vram != NULL)
		return &m->vga.ops;
	return NULL;
}

static void *find_chr(struct machine *m, const char *name)
{
	unsigned i;
	struct chr *c = NULL;

	if (strcmp(name, "debugcon") == 0)
		c = m->back.debugcon;
	else if (sscanf(name, "com%u", &i) == 1 && i >= 1 && i <= MACHINE_MAX_SERIAL)
		c = m->back.serial[i - 1];
	return c != NULL ? c : &chr_null;
}

void *q35_backend(void *ctx, struct dev *d, enum dev_backend kind, const char *name, struct err *e)
{
	struct machine *m = ctx;
	void *p = NULL;
	unsigned i;

	if (kind == DEV_BACKEND_MACHINE)
		p = find_machine(m, name);
	else if (kind == DEV_BACKEND_CHR)
		p = find_chr(m, name);
	else if (kind == DEV_BACKEND_RNG)
		p = m->config.deterministic ? &m->rng.rng : &rng_host;
	else if (sscanf(name, "floppy%u", &i) == 1)
		p = floppy_find(m, i) >= 0 ? m->back.disk[floppy_find(m, i)].blk : NULL;
	else if (sscanf(name, "%u", &i) == 1 && i < MACHINE_MAX_DISKS)
		p = m->back.disk[i].blk;
	if (p == NULL)
		(void)err_set(e, -ENOENT, "%s: no back-end '%s'", d->id, name);
	return p;
}

/* The path of a drive as SeaBIOS finds it; 0: it has none. */
static int boot_path(const struct machine *m, unsigned i, char *line, size_t room)
{
	switch (m->back.disk[i].bus) {
	case MACHINE_BUS_VIRTIO:
		return snprintf(line, room, "/pci@i0cf8/scsi@%x/disk@0,0\n", SLOT_DISK0 + i);
	case MACHINE_BUS_AHCI:
		return snprintf(line, room, "/pci@i0cf8/sata@1f,2/drive@%x/disk@0\n",
				unit_of(m, i));
	case MACHINE_BUS_IDE:
		return snprintf(line, room, "/pci@i0cf8/ide@1f,1/drive@%x/disk@%x\n",
				unit_of(m, i) / 2, unit_of(m, i) % 2);
	case MACHINE_BUS_FLOPPY:
		return snprintf(line, room, "/pci@i0cf8/isa@1f/fdc@03f0/floppy@%x\n",
				m->back.disk[i].unit);
	default:
		return 0;
	}
}

/* The drives in their order, a line each, as OpenFirmware paths (SeaBIOS, "bootorder"). */
static void boot_order(const struct machine *m, char *order, size_t room)
{
	const struct machine_backends *b = &m->back;
	size_t n = 0;

	order[0] = '\0';
	for (unsigned k = 0; k < (b->n_boot > 0 ? b->n_boot : MACHINE_MAX_DISKS); k++) {
		const unsigned i = b->n_boot > 0 ? b->boot[k] : k;
		if (machine_has_drive(b, i))
			n += (size_t)boot_path(m, i, order + n, room - n);
	}
	if (n > 0)
		order[n - 1] = '\0'; /* the last line's end */
}

static int fill_fwcfg(struct machine *m, struct err *e)
{
	char order[MACHINE_MAX_DISKS * BOOT_PATH_MAX];
	const struct acpi_config c = {
		.n_cpus = m->vm.n_vcpus,
		.pm_port = MACHINE_PM_PORT,
		.floppy = { floppy_find(m, 0) >= 0, floppy_find(m, 1) >= 0 },
	};
	struct e820_map ram;

	e820_make_firmware(&ram, m->map.low_bytes, m->map.high_bytes);
	boot_order(m, order, sizeof(order));
	return fwcfg_fill(&m->fwcfg, &c, &ram, &m->config, order, e);
}

int q35_build(struct machine *m, struct err *e)
{
	int r;

	m->mch_ops = (struct mch_machine){ .bus = &m->bus, .pam = show_pam, .ctx = m };
	m->lpc_ops = (struct lpc_machine){ .pm_block = place_pm, .hpet = place_hpet, .ctx = m };
	r = fill_fwcfg(m, e);
	if (r == 0)
		r = add_lapics(m, e);
	for (unsigned i = 0; i < HV_ARRAY_LEN(parts) && r == 0; i++)
		r = add_part(m, &parts[i], e);
	if (r == 0)
		r = add_serial(m, e);
	if (r == 0)
		r = add_debug_exit(m, e);
	if (r == 0)
		r = floppy_add(m, e);
	if (r == 0)
		r = add_pci_functions(m, e);
	if (r < 0)
		return r;
	m->lapics.pic = m->pic->dev;
	m->lapics.ioapic = m->ioapic->dev;
	m->mch_ops.reset_ctl = m->rst->dev;
	m->mch_ops.reset_domain = m->rst->domain;
	wire_lines(m);
	return 0;
}
