/* What the firmware configuration device has to say about a machine; fwcfg.h. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/util.h"
#include "devmodel/machine/acpi/acpi.h"
#include "devmodel/machine/e820.h"
#include "devmodel/machine/fwcfg.h"
#include "devmodel/machine/machine.h"
#include "devmodel/machine/memmap.h"
#include "devmodel/machine/smbios.h"

#define OPTION_ROM_MAX (128 << 10)
#define FILE_TABLES "etc/acpi/tables"
#define FILE_RSDP "etc/acpi/rsdp"

int fwcfg_add(struct fwcfg_items *t, uint16_t key, const void *data, size_t len, struct err *e)
{
	struct fwcfg_item *it = &t->item[t->n];

	assert(t->n < FWCFG_MAX_ITEMS); /* the machine's own list */
	*it = (struct fwcfg_item){ .key = key, .data = malloc(len + 1), .len = (uint32_t)len };
	if (it->data == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	memcpy(it->data, data, len);
	t->n++;
	return 0;
}

int fwcfg_add_file(struct fwcfg_items *t, const char *name, const void *data, size_t len,
		   struct err *e)
{
	uint16_t key = FWCFG_FIRST_FILE;
	int r;

	for (unsigned i = 0; i < t->n; i++)
		if (t->item[i].key >= key)
			key = (uint16_t)(t->item[i].key + 1);
	r = fwcfg_add(t, key, data, len, e);
	if (r == 0)
		snprintf(t->item[t->n - 1].name, FWCFG_NAME_BYTES, "%s", name);
	return r;
}

int fwcfg_add_directory(struct fwcfg_items *t, struct err *e)
{
	struct {
		uint32_t size;
		uint16_t key, reserved;
		char name[FWCFG_NAME_BYTES];
	} entry;
	uint8_t dir[4 + FWCFG_MAX_ITEMS * sizeof(entry)] = { 0 };
	uint32_t n = 0;
	int r;

	for (unsigned i = 0; i < t->n; i++) {
		const struct fwcfg_item *it = &t->item[i];
		if (it->name[0] == '\0')
			continue;
		entry.size = __builtin_bswap32(it->len);
		entry.key = __builtin_bswap16(it->key);
		entry.reserved = 0;
		memcpy(entry.name, it->name, sizeof(entry.name));
		memcpy(dir + 4 + n++ * sizeof(entry), &entry, sizeof(entry));
	}
	memcpy(dir, &(uint32_t){ __builtin_bswap32(n) }, 4);
	r = fwcfg_add(t, FWCFG_DIR, dir, 4 + n * sizeof(entry), e);
	if (r == 0)
		r = fwcfg_add(t, FWCFG_SIGNATURE, "QEMU", 4, e);
	if (r == 0) /* the plain interface and DMA */
		r = fwcfg_add(t, FWCFG_ID, &(uint32_t){ 3 }, 4, e);
	return r;
}

void fwcfg_free(struct fwcfg_items *t)
{
	for (unsigned i = 0; i < t->n; i++)
		free(t->item[i].data);
	t->n = 0;
}

/* ---- the loader's script: where tables go, which fields get addresses and checksums ---- */

enum { CMD_ALLOCATE = 1, CMD_ADD_POINTER = 2, CMD_ADD_CHECKSUM = 3, ZONE_HIGH = 1, ZONE_FSEG = 2 };
enum { CMD_BYTES = 128, MAX_COMMANDS = 8 + 2 * ACPI_MAX_FIXUPS };

struct script {
	uint8_t bytes[MAX_COMMANDS * CMD_BYTES];
	unsigned n;
};

static uint8_t *command(struct script *s, uint32_t what, const char *file)
{
	uint8_t *p = s->bytes + s->n++ * CMD_BYTES;

	assert(s->n <= MAX_COMMANDS);
	memcpy(p, &what, 4);
	memcpy(p + 4, file, strlen(file));
	return p;
}

static void allocate(struct script *s, const char *file, uint32_t align, uint8_t zone)
{
	uint8_t *p = command(s, CMD_ALLOCATE, file);

	memcpy(p + 60, &align, 4);
	p[64] = zone;
}

static void add_pointer(struct script *s, const char *file, uint32_t off, uint8_t size)
{
	uint8_t *p = command(s, CMD_ADD_POINTER, file);

	memcpy(p + 60, FILE_TABLES, strlen(FILE_TABLES));
	memcpy(p + 116, &off, 4);
	p[120] = size;
}

static void add_checksum(struct script *s, const char *file, uint32_t off, uint32_t start,
			 uint32_t len)
{
	uint8_t *p = command(s, CMD_ADD_CHECKSUM, file);

	memcpy(p + 60, &off, 4);
	memcpy(p + 64, &start, 4);
	memcpy(p + 68, &len, 4);
}

static int add_acpi(struct fwcfg_items *t, const struct acpi_config *c, struct err *e)
{
	auto_free struct acpi_image *a = malloc(sizeof(*a));
	auto_free struct script *s = calloc(1, sizeof(*s));
	int r;

	if (a == NULL || s == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	acpi_build(a, c);
	allocate(s, FILE_TABLES, ACPI_FACS_BYTES, ZONE_HIGH);
	allocate(s, FILE_RSDP, 16, ZONE_FSEG);
	for (unsigned i = 0; i < a->n_pointers; i++)
		add_pointer(s, FILE_TABLES, a->pointer[i].off, (uint8_t)a->pointer[i].size);
	for (unsigned i = 0; i < a->n_sums; i++)
		add_checksum(s, FILE_TABLES, a->sum[i].off, a->sum[i].start, a->sum[i].len);
	add_pointer(s, FILE_RSDP, 16, 4);
	add_pointer(s, FILE_RSDP, 24, 8);
	add_checksum(s, FILE_RSDP, 8, 0, 20);
	add_checksum(s, FILE_RSDP, 32, 0, ACPI_RSDP_BYTES);
	r = fwcfg_add_file(t, FILE_TABLES, a->bytes, a->len, e);
	if (r == 0)
		r = fwcfg_add_file(t, FILE_RSDP, a->rsdp, sizeof(a->rsdp), e);
	if (r == 0)
		r = fwcfg_add_file(t, "etc/table-loader", s->bytes, s->n * CMD_BYTES, e);
	return r;
}

static int add_platform(struct fwcfg_items *t, const struct acpi_config *c,
			const struct e820_map *ram, uint64_t ram_bytes, struct err *e)
{
	const uint64_t reserved_end = MEMMAP_PCI64 + MEMMAP_PCI64_BYTES;
	uint8_t e820[E820_MAX * E820_ENTRY_BYTES];
	struct smbios s;
	int r;

	smbios_build(&s, c->n_cpus, ram_bytes);
	for (unsigned i = 0; i < ram->n; i++)
		e820_put(ram, i, e820 + i * E820_ENTRY_BYTES);
	r = fwcfg_add_file(t, "etc/e820", e820, ram->n * E820_ENTRY_BYTES, e);
	if (r == 0)
		r = fwcfg_add_file(t, "etc/smbios/smbios-anchor", s.entry, sizeof(s.entry), e);
	if (r == 0)
		r = fwcfg_add_file(t, "etc/smbios/smbios-tables", s.bytes, s.len, e);
	if (r == 0)
		r = fwcfg_add_file(t, "etc/reserved-memory-end", &reserved_end, 8, e);
	return r;
}

static int add_option_rom(struct fwcfg_items *t, const struct machine_config *m, struct err *e)
{
	auto_free uint8_t *rom = malloc(OPTION_ROM_MAX + 1);
	ssize_t n;

	if (rom == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	n = pread(m->option_rom_fd, rom, OPTION_ROM_MAX + 1, 0);
	if (n < 0)
		return err_set(e, -errno, "cannot read '%s': %s", m->option_rom, strerror(errno));
	if (n < 3 || n > OPTION_ROM_MAX || rom[0] != 0x55 || rom[1] != 0xaa)
		return err_set(e, -EINVAL,
			       "'%.100s' is no option ROM: one begins with 55 AA and has at most "
			       "128K",
			       m->option_rom);
	return fwcfg_add_file(t, "genroms/option.rom", rom, (size_t)n, e);
}

/* SeaBIOS' names. Without the first it shows no menu. */
static int add_boot(struct fwcfg_items *t, const struct machine_config *m, const char *order,
		    struct err *e)
{
	const uint16_t menu = m->boot_menu_ms > 0;
	int r = fwcfg_add(t, FWCFG_BOOT_MENU, &menu, sizeof(menu), e);

	if (r == 0 && menu)
		r = fwcfg_add_file(t, "etc/boot-menu-wait", &m->boot_menu_ms,
				   sizeof(m->boot_menu_ms), e);
	if (r == 0)
		r = fwcfg_add_file(t, "etc/boot-fail-wait", &m->boot_fail_ms,
				   sizeof(m->boot_fail_ms), e);
	if (r == 0 && m->option_rom != NULL)
		r = add_option_rom(t, m, e);
	return r == 0 ? fwcfg_add_file(t, "bootorder", order, strlen(order) + 1, e) : r;
}

int fwcfg_fill(struct fwcfg_items *t, const struct acpi_config *c, const struct e820_map *ram,
	       const struct machine_config *m, const char *boot_order, struct err *e)
{
	const uint16_t cpus = (uint16_t)c->n_cpus;
	int r = fwcfg_add(t, FWCFG_N_CPUS, &cpus, sizeof(cpus), e);

	if (r == 0)
		r = fwcfg_add(t, FWCFG_MAX_CPUS, &cpus, sizeof(cpus), e);
	if (r == 0)
		r = add_platform(t, c, ram, m->ram_bytes, e);
	if (r == 0)
		r = add_boot(t, m, boot_order, e);
	if (r == 0)
		r = add_acpi(t, c, e);
	return r == 0 ? fwcfg_add_directory(t, e) : r;
}
