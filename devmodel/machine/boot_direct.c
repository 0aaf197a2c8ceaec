/*
 * Direct boot: what firmware does to the chipset before it starts a system (places, interrupt
 * routing, BARs), then the loader. Done by the same register writes that firmware would use.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/util.h"
#include "devmodel/machine/acpi/acpi.h"
#include "devmodel/machine/boot_video.h"
#include "devmodel/machine/machine_int.h"
#include "devmodel/machine/smbios.h"
#include "devmodel/storage/ctrl/ide.h"

#define TABLES_BYTES HV_KIB(128)
#define RSDP_GPA 0xf0000ull
#define SMBIOS_ENTRY_GPA 0xf0040ull
#define SMBIOS_GPA 0xf0100ull
enum { ECAM_ENABLE = 1, ACPI_ENABLE = 0x80, RCBA_ENABLE = 1, HPET_ENABLE = 0x80 };
enum { RCBA_REGION = PCI_REGION_DEV };
#define PCI_CLASS_IDE 0x0101u

static void cfg_write(struct machine *m, unsigned devfn, unsigned off, unsigned size, uint32_t v)
{
	pci_bus_write(&m->bus, NULL, 0, devfn, off, size, v);
}

static uint32_t cfg_read(struct machine *m, unsigned devfn, unsigned off, unsigned size)
{
	return pci_bus_read(&m->bus, NULL, 0, devfn, off, size);
}

/* ---- the chipset ---- */

/* PIRQ n goes to this ISA interrupt; the DSDT's link devices allow all of them. */
static const uint8_t pirq_irq[8] = { 10, 10, 11, 11, 10, 10, 11, 11 };

static void init_chipset(struct machine *m)
{
	const unsigned mch = PCI_DEVFN(0, 0), lpc = PCI_DEVFN(31, 0);

	cfg_write(m, mch, MCH_PCIEXBAR + 4, 4, 0);
	cfg_write(m, mch, MCH_PCIEXBAR, 4, (uint32_t)MEMMAP_ECAM | ECAM_ENABLE);
	cfg_write(m, mch, MCH_PAM0, 1, 0x30);
	for (unsigned i = 1; i < 7; i++)
		cfg_write(m, mch, MCH_PAM0 + i, 1, 0x33);
	cfg_write(m, lpc, LPC_PMBASE, 4, MACHINE_PM_PORT | 1);
	cfg_write(m, lpc, LPC_ACPI_CNTL, 1, ACPI_ENABLE);
	cfg_write(m, lpc, LPC_RCBA, 4, (uint32_t)MEMMAP_RCBA | RCBA_ENABLE);
	for (unsigned i = 0; i < 8; i++)
		cfg_write(m, lpc, i < 4 ? LPC_PIRQ_A + i : LPC_PIRQ_E + i - 4, 1, pirq_irq[i]);
	hv_mem_io_write(m->mem, MEMMAP_RCBA + LPC_RCBA_HPTC, 4, HPET_ENABLE);
	/* PIRQs are level-triggered: interrupts 10 and 11 in the edge/level registers. */
	hv_pio_write(m->pio, 0x4d1, 1, 0x0c);
	for (unsigned i = 0; i < m->vm.n_vcpus; i++) {
		hv_domain_lock(m->lapic[i]->domain);
		if (i == 0)
			dm_lapic_virtual_wire(m->lapic[i]->dev);
		hv_domain_unlock(m->lapic[i]->domain);
	}
}

/* As a BIOS leaves it: scan codes of set 1, an interrupt for each, the mouse off. Programs that
 * poll the keyboard do not set it up again. */
static void init_keyboard(struct machine *m)
{
	hv_pio_write(m->pio, 0x64, 1, 0x60);
	hv_pio_write(m->pio, 0x60, 1, 0x61);
}

/* ---- PCI functions: BARs one after the other, interrupt lines ---- */

struct windows {
	uint32_t mem, io;
};

static void place_bar(struct machine *m, unsigned devfn, const struct pci_class *c, unsigned i,
		      struct windows *w)
{
	const struct pci_bar *b = &c->bars[i];
	const uint32_t bytes = (uint32_t)c->base.regions[b->region].bytes;
	uint32_t *at = b->kind == PCI_BAR_PIO ? &w->io : &w->mem;

	*at = (uint32_t)hv_align_up(*at, bytes);
	cfg_write(m, devfn, PCI_BAR0 + 4 * i, 4, *at);
	if (b->kind == PCI_BAR_MMIO64)
		cfg_write(m, devfn, PCI_BAR0 + 4 * i + 4, 4, 0);
	*at += bytes;
}

/* It has a place, and is off: nothing of it is run. */
static void place_rom(struct machine *m, unsigned devfn, const struct pci_class *c,
		      struct windows *w)
{
	const uint32_t bytes = (uint32_t)c->base.regions[c->rom_region].bytes;

	w->mem = (uint32_t)hv_align_up(w->mem, bytes);
	cfg_write(m, devfn, PCI_ROM, 4, w->mem);
	w->mem += bytes;
}

/* The channels of an IDE controller answer once they are told to. */
static bool init_ide(struct machine *m, unsigned devfn, const struct pci_class *c)
{
	if (c->class_code >> 8 != PCI_CLASS_IDE)
		return false;
	for (unsigned channel = 0; channel < 2; channel++)
		cfg_write(m, devfn, IDE_CFG_TIMING + 2 * channel, 2, IDE_DECODE);
	return true;
}

static void init_functions(struct machine *m)
{
	struct windows w = { .mem = (uint32_t)MEMMAP_PCI32, .io = 0xc000 };

	for (unsigned devfn = 0; devfn < 256; devfn++) {
		const struct dev *d = m->bus.fn[devfn].dev;
		if (d == NULL)
			continue;
		const struct pci_class *c = (const struct pci_class *)(const void *)d->cls;
		for (unsigned i = 0; i < 6; i++)
			if (c->bars[i].kind != PCI_BAR_NONE)
				place_bar(m, devfn, c, i, &w);
		if (c->rom_region != 0)
			place_rom(m, devfn, c, &w);
		else if (c->int_pin == 0 && !init_ide(m, devfn, c))
			continue;
		if (c->int_pin != 0)
			cfg_write(m, devfn, PCI_INT_LINE, 1, pirq_irq[pci_pirq(devfn, c->int_pin)]);
		cfg_write(m, devfn, PCI_COMMAND, 2,
			  cfg_read(m, devfn, PCI_COMMAND, 2) | PCI_CMD_IO | PCI_CMD_MEM);
	}
}

/* The kernel's screen, where BAR 0 was put. */
static int init_video(struct machine *m, const struct boot_files *f, struct boot_screen *ret_screen,
		      struct err *e)
{
	const struct boot_mode mode = boot_mode_of(f);
	const uint64_t lfb = m->display != NULL ? cfg_read(m, MACHINE_VGA_DEVFN, PCI_BAR0, 4) & ~15u
						: 0;

	return boot_video(m, &mode, lfb, ret_screen, e);
}

/* ---- tables: ACPI at the top of low RAM, the anchors where systems search for them ---- */

static int put_acpi(struct machine *m, const struct boot_target *t, struct err *e)
{
	const struct acpi_config c = {
		.n_cpus = m->vm.n_vcpus,
		.pm_port = MACHINE_PM_PORT,
		.floppy = { floppy_find(m, 0) >= 0, floppy_find(m, 1) >= 0 },
	};
	auto_free struct acpi_image *a = malloc(sizeof(*a));

	if (a == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	acpi_build(a, &c);
	acpi_place(a, (uint32_t)t->ram_end);
	if (hv_mem_write(m->mem, t->ram_end, a->bytes, a->len) < 0 ||
	    hv_mem_write(m->mem, RSDP_GPA, a->rsdp, sizeof(a->rsdp)) < 0)
		return err_set(e, -EFAULT, "the ACPI tables do not fit");
	return 0;
}

static int put_smbios(struct machine *m, struct err *e)
{
	struct smbios s;

	smbios_build(&s, m->vm.n_vcpus, m->config.ram_bytes);
	smbios_place(&s, SMBIOS_GPA);
	if (hv_mem_write(m->mem, SMBIOS_GPA, s.bytes, s.len) < 0 ||
	    hv_mem_write(m->mem, SMBIOS_ENTRY_GPA, s.entry, sizeof(s.entry)) < 0)
		return err_set(e, -EFAULT, "the SMBIOS tables do not fit");
	return 0;
}

/* ---- CPUs: memory is write-back, devices between it and 4 GiB are not cached ---- */

enum { MTRR_ON = 0x800, MTRR_WRITE_BACK = 6, MTRR_VALID = 0x800 };

static void set_mtrrs(const struct machine *m, struct x86_state *s)
{
	const uint64_t addresses = (1ull << m->model.phys_bits) - 1;

	s->mtrr_def_type = MTRR_ON | MTRR_WRITE_BACK;
	s->mtrr_var_base[0] = MEMMAP_PCI32; /* type 0: uncached */
	s->mtrr_var_mask[0] = (addresses & ~(HV_GIB(4) - MEMMAP_PCI32 - 1)) | MTRR_VALID;
	s->mtrr_var_base[1] = MEMMAP_ECAM;
	s->mtrr_var_mask[1] = (addresses & ~(MEMMAP_ECAM_BYTES - 1)) | MTRR_VALID;
}

/* The boot CPU starts as the loader says, the others wait. */
static int set_cpus(struct machine *m, struct x86_state *boot, struct err *e)
{
	int r = 0;

	set_mtrrs(m, boot);
	for (unsigned i = 1; i < m->vm.n_vcpus && r == 0; i++) {
		struct x86_state s;
		x86_state_reset(&s, false);
		set_mtrrs(m, &s);
		r = hv_vcpu_state_set(m->vm.vcpu[i], &s, e);
	}
	return r == 0 ? hv_vcpu_state_set(m->vm.vcpu[0], boot, e) : r;
}

int boot_direct(struct machine *m, struct err *e)
{
	struct boot_files files;
	struct e820_map e820;
	struct boot_target t = { .mem = m->mem, .e820 = &e820, .tsc_hz = m->model.tsc_hz };
	struct x86_state s;
	int r = boot_stored(&m->boot, &files, e);

	if (r < 0)
		return r;
	if (m->map.low_bytes < HV_MIB(2))
		return err_set(e, -EINVAL, "a kernel needs more memory (memory.size)");
	init_chipset(m);
	init_functions(m);
	init_keyboard(m);
	t.ram_end = m->map.low_bytes - TABLES_BYTES;
	e820_make(&e820, m->map.low_bytes, m->map.high_bytes, TABLES_BYTES);
	t.rsdp = RSDP_GPA;
	r = init_video(m, &files, &t.screen, e);
	if (r == 0)
		r = put_acpi(m, &t, e);
	if (r == 0)
		r = put_smbios(m, e);
	if (r == 0)
		r = boot_load(&files, &t, &s, e);
	return r == 0 ? set_cpus(m, &s, e) : r;
}

/* After S3 the chipset is as at power-on, memory and the screen are not: firmware would put the
 * chipset in order and jump to where the system left word. */
int boot_wake(struct machine *m, struct err *e)
{
	const uint64_t facs = m->map.low_bytes - TABLES_BYTES;
	struct x86_state s;
	uint32_t vector;

	if (hv_mem_read(m->mem, facs + ACPI_FACS_WAKING_VECTOR, &vector, sizeof(vector)) < 0 ||
	    vector == 0 || vector >= HV_MIB(1))
		return err_set(e, -EINVAL, "the guest left no address to wake up at");
	init_chipset(m);
	init_functions(m);
	x86_state_reset(&s, true);
	s.seg[X86_CS].sel = (uint16_t)(vector >> 4);
	s.seg[X86_CS].base = vector & ~15u;
	s.rip = vector & 15;
	return set_cpus(m, &s, e);
}
