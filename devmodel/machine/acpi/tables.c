/*
 * ACPI tables, see acpi.h: FACS, FADT, MADT, HPET, MCFG, WAET, an SSDT with the processors; the
 * DSDT is dsdt.asl.
 *
 * Specification: ACPI 6.4, chapter 5; IA-PC HPET 1.0a; PCI Firmware 3.3 (MCFG); Windows ACPI
 * Emulated Devices Table 1.0 (WAET).
 */
#include "devmodel/machine/acpi/acpi.h"
#include "base/util.h"
#include "devmodel/chipset/hpet.h"
#include "devmodel/chipset/pm.h"
#include "devmodel/machine/memmap.h"

enum { HEADER_BYTES = 36, FADT_BYTES = 244, SCI = 9 };
enum {
	FADT_WBINVD = 1,
	FADT_PROC_C1 = 4,
	FADT_NO_SLP_BUTTON = 0x20,
	FADT_RTC_S4 = 0x80,
	FADT_RESET = 0x400
};
enum { ARCH_LEGACY = 1, ARCH_8042 = 2 };
enum { GAS_MEMORY = 0, GAS_IO = 1 };

/* ---- writing ---- */

static void put(struct acpi_image *a, uint64_t v, unsigned bytes)
{
	assert(a->len + bytes <= ACPI_IMAGE_MAX); /* what is built here is bounded */
	memcpy(a->bytes + a->len, &v, bytes);
	a->len += bytes;
}

static void put_at(struct acpi_image *a, size_t off, uint64_t v, unsigned bytes)
{
	memcpy(a->bytes + off, &v, bytes);
}

static void put_bytes(struct acpi_image *a, const void *p, size_t n)
{
	assert(a->len + n <= ACPI_IMAGE_MAX);
	memcpy(a->bytes + a->len, p, n);
	a->len += n;
}

static void pointer_at(struct acpi_image *a, size_t off, uint64_t to, unsigned bytes)
{
	assert(a->n_pointers < ACPI_MAX_FIXUPS);
	put_at(a, off, to, bytes);
	a->pointer[a->n_pointers].off = (uint32_t)off;
	a->pointer[a->n_pointers++].size = bytes;
}

static void sum_later(struct acpi_image *a, size_t start)
{
	assert(a->n_sums < ACPI_MAX_FIXUPS);
	a->sum[a->n_sums].off = (uint32_t)start + 9;
	a->sum[a->n_sums].start = (uint32_t)start;
	a->sum[a->n_sums++].len = (uint32_t)(a->len - start);
}

/* Begins a table; end() fills in its length. */
static size_t begin(struct acpi_image *a, const char *sig, unsigned revision)
{
	a->len = hv_align_up(a->len, 16);
	const size_t start = a->len;
	put_bytes(a, sig, 4);
	put(a, 0, 4);
	put(a, revision, 1);
	put(a, 0, 1);
	put_bytes(a, "LODGE PC-1    ", 14);
	put(a, 1, 4);
	put_bytes(a, "LDGE", 4);
	put(a, 1, 4);
	return start;
}

static size_t end(struct acpi_image *a, size_t start)
{
	put_at(a, start + 4, a->len - start, 4);
	sum_later(a, start);
	return start;
}

/* ---- tables ---- */

static void gas_at(struct acpi_image *a, size_t off, unsigned space, unsigned bits, unsigned access,
		   uint64_t address)
{
	put_at(a, off, space, 1);
	put_at(a, off + 1, bits, 1);
	put_at(a, off + 2, 0, 1);
	put_at(a, off + 3, access, 1);
	put_at(a, off + 4, address, 8);
}

static void fadt_pm(struct acpi_image *a, size_t t, uint16_t pm)
{
	put_at(a, t + 46, SCI, 2);
	put_at(a, t + 48, 0xb2, 4);
	put_at(a, t + 52, DM_PM_ACPI_ENABLE, 1);
	put_at(a, t + 53, DM_PM_ACPI_DISABLE, 1);
	put_at(a, t + 56, pm + DM_PM_EVENT, 4);
	put_at(a, t + 64, pm + DM_PM_CONTROL, 4);
	put_at(a, t + 76, pm + DM_PM_TIMER, 4);
	put_at(a, t + 80, pm + DM_PM_GPE0, 4);
	put_at(a, t + 88, 4, 1);
	put_at(a, t + 89, 2, 1);
	put_at(a, t + 91, 4, 1);
	put_at(a, t + 92, 16, 1);
	gas_at(a, t + 148, GAS_IO, 32, 2, pm + DM_PM_EVENT);
	gas_at(a, t + 172, GAS_IO, 16, 2, pm + DM_PM_CONTROL);
	gas_at(a, t + 208, GAS_IO, 32, 3, pm + DM_PM_TIMER);
	gas_at(a, t + 220, GAS_IO, 128, 1, pm + DM_PM_GPE0);
}

static size_t make_fadt(struct acpi_image *a, const struct acpi_config *c, size_t facs, size_t dsdt)
{
	const size_t t = begin(a, "FACP", 3);

	memset(a->bytes + a->len, 0, FADT_BYTES - HEADER_BYTES);
	a->len = t + FADT_BYTES;
	pointer_at(a, t + 36, facs, 4);
	pointer_at(a, t + 40, dsdt, 4);
	put_at(a, t + 45, 2, 1); /* profile: mobile */
	fadt_pm(a, t, c->pm_port);
	put_at(a, t + 96, 0xfff, 2); /* no C2, no C3 */
	put_at(a, t + 98, 0xfff, 2);
	put_at(a, t + 106, 0, 2);    /* no day and month alarm */
	put_at(a, t + 108, 0x32, 1); /* century */
	put_at(a, t + 109, ARCH_LEGACY | ARCH_8042, 2);
	put_at(a, t + 112,
	       FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLP_BUTTON | FADT_RTC_S4 | FADT_RESET, 4);
	gas_at(a, t + 116, GAS_IO, 8, 1, 0xcf9);
	put_at(a, t + 128, 6, 1);
	pointer_at(a, t + 140, dsdt, 8);
	return end(a, t);
}

static size_t make_madt(struct acpi_image *a, const struct acpi_config *c)
{
	const size_t t = begin(a, "APIC", 3);

	put(a, MEMMAP_LAPIC, 4);
	put(a, 1, 4); /* there are 8259s */
	for (unsigned i = 0; i < c->n_cpus; i++) {
		put(a, 0x0800, 2); /* local APIC: processor, id, enabled */
		put(a, i, 1);
		put(a, i, 1);
		put(a, 1, 4);
	}
	put(a, 0x0c01, 2); /* IOAPIC: id, address, first interrupt */
	put(a, 0, 2);
	put(a, MEMMAP_IOAPIC, 4);
	put(a, 0, 4);
	put(a, 0x0a02, 2); /* ISA 0 at pin 2, as ISA interrupts are */
	put(a, 0x0000, 2);
	put(a, 2, 4);
	put(a, 0, 2);
	put(a, 0x0a02, 2); /* SCI: level, active high */
	put(a, SCI << 8, 2);
	put(a, SCI, 4);
	put(a, 0x0d, 2);
	put(a, 0x0604, 2); /* NMI at LINT1 of all */
	put(a, 0xff, 1);
	put(a, 0, 2);
	put(a, 1, 1);
	return end(a, t);
}

static size_t make_hpet(struct acpi_image *a)
{
	const size_t t = begin(a, "HPET", 1);

	put(a, DM_HPET_ID, 4);
	put(a, 0, 8);
	put(a, 0, 4);
	gas_at(a, t + 40, GAS_MEMORY, 64, 0, MEMMAP_HPET);
	put(a, 0, 1);	 /* number */
	put(a, 0x80, 2); /* least ticks in periodic mode */
	put(a, 0, 1);
	return end(a, t);
}

static size_t make_mcfg(struct acpi_image *a)
{
	const size_t t = begin(a, "MCFG", 1);

	put(a, 0, 8);
	put(a, MEMMAP_ECAM, 8);
	put(a, 0, 2); /* segment */
	put(a, 0, 1); /* buses 0 to 255 */
	put(a, 0xff, 1);
	put(a, 0, 4);
	return end(a, t);
}

static size_t make_waet(struct acpi_image *a)
{
	const size_t t = begin(a, "WAET", 1);

	put(a, 2, 4); /* one read of the PM timer is enough */
	return end(a, t);
}

/* AML package length, which counts itself; two bytes. */
static void pkg_length(struct acpi_image *a, size_t off)
{
	const size_t n = a->len - off;

	assert(n < 4096);
	a->bytes[off] = (uint8_t)(0x40 | (n & 15));
	a->bytes[off + 1] = (uint8_t)(n >> 4);
}

static void processor(struct acpi_image *a, unsigned i)
{
	static const char hex[] = "0123456789ABCDEF";
	const char name[4] = { 'C', 'P', hex[i >> 4 & 15], hex[i & 15] };
	size_t length;

	put_bytes(a, "\x5b\x82", 2); /* Device (CPxx) */
	length = a->len;
	put(a, 0, 2);
	put_bytes(a, name, 4);
	put_bytes(a,
		  "\x08_HID\x0d"
		  "ACPI0007",
		  15);
	put_bytes(a, "\x08_UID\x0a", 6);
	put(a, i, 1);
	pkg_length(a, length);
}

static size_t make_ssdt(struct acpi_image *a, const struct acpi_config *c)
{
	const size_t t = begin(a, "SSDT", 2);
	size_t length;

	put(a, 0x10, 1); /* Scope (\_SB) */
	length = a->len;
	put(a, 0, 2);
	put_bytes(a, "\\_SB_", 5);
	for (unsigned i = 0; i < c->n_cpus; i++)
		processor(a, i);
	pkg_length(a, length);
	return end(a, t);
}

static size_t make_dsdt(struct acpi_image *a)
{
	a->len = hv_align_up(a->len, 16);
	const size_t t = a->len;

	put_bytes(a, acpi_dsdt, acpi_dsdt_bytes);
	return t;
}

/* Which drives there are is in _FDE: a name, a buffer's head, four bytes each. */
static size_t make_fdc(struct acpi_image *a, const struct acpi_config *c)
{
	static const uint8_t fde[] = { '_', 'F', 'D', 'E', 0x11, 0x17, 0x0a, 0x14 };
	size_t t, at = 0;

	a->len = hv_align_up(a->len, 16);
	t = a->len;
	put_bytes(a, acpi_fdc, acpi_fdc_bytes);
	while (memcmp(a->bytes + t + at, fde, sizeof(fde)) != 0)
		at++;
	assert(at + sizeof(fde) + 20 <= acpi_fdc_bytes); /* our own table */
	for (unsigned i = 0; i < HV_ARRAY_LEN(c->floppy); i++)
		a->bytes[t + at + sizeof(fde) + 4 * i] = c->floppy[i];
	a->bytes[t + 9] = 0;
	sum_later(a, t);
	return t;
}

static void make_facs(struct acpi_image *a)
{
	memcpy(a->bytes, "FACS", 4);
	put_at(a, 4, 64, 4);
	put_at(a, 32, 1, 1); /* version */
	a->len = ACPI_FACS_BYTES;
}

static size_t make_root(struct acpi_image *a, const char *sig, unsigned width, const size_t *tables,
			unsigned n)
{
	const size_t t = begin(a, sig, 1);

	for (unsigned i = 0; i < n; i++) {
		put(a, 0, width);
		pointer_at(a, a->len - width, tables[i], width);
	}
	return end(a, t);
}

void acpi_build(struct acpi_image *a, const struct acpi_config *c)
{
	size_t t[7], rsdt, xsdt;
	unsigned n = 0;

	memset(a, 0, sizeof(*a));
	make_facs(a);
	const size_t dsdt = make_dsdt(a);
	t[n++] = make_fadt(a, c, 0, dsdt);
	t[n++] = make_madt(a, c);
	t[n++] = make_hpet(a);
	t[n++] = make_mcfg(a);
	t[n++] = make_waet(a);
	t[n++] = make_ssdt(a, c);
	if (c->floppy[0] || c->floppy[1])
		t[n++] = make_fdc(a, c);
	rsdt = make_root(a, "RSDT", 4, t, n);
	xsdt = make_root(a, "XSDT", 8, t, n);
	memcpy(a->rsdp, "RSD PTR \0LODGE \2", 16);
	memcpy(a->rsdp + 16, &(uint32_t){ (uint32_t)rsdt }, 4);
	memcpy(a->rsdp + 20, &(uint32_t){ ACPI_RSDP_BYTES }, 4);
	memcpy(a->rsdp + 24, &(uint64_t){ xsdt }, 8);
}

/* ---- placing ---- */

static void add(uint8_t *field, unsigned bytes, uint64_t gpa)
{
	uint64_t v = 0;

	memcpy(&v, field, bytes);
	v += gpa;
	memcpy(field, &v, bytes);
}

static uint8_t minus_sum(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	while (n-- > 0)
		s = (uint8_t)(s - *p++);
	return s;
}

void acpi_place(struct acpi_image *a, uint32_t gpa)
{
	for (unsigned i = 0; i < a->n_pointers; i++)
		add(a->bytes + a->pointer[i].off, a->pointer[i].size, gpa);
	for (unsigned i = 0; i < a->n_sums; i++) {
		a->bytes[a->sum[i].off] = 0;
		a->bytes[a->sum[i].off] = minus_sum(a->bytes + a->sum[i].start, a->sum[i].len);
	}
	add(a->rsdp + 16, 4, gpa);
	add(a->rsdp + 24, 8, gpa);
	a->rsdp[8] = minus_sum(a->rsdp, 20);
	a->rsdp[32] = minus_sum(a->rsdp, ACPI_RSDP_BYTES);
}
