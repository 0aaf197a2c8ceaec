/*
 * SMBIOS tables, see smbios.h.
 *
 * Specification: System Management BIOS Reference Specification (DSP0134) 3.2.
 * Not modelled: slots, ports, caches: nothing that a system would act on.
 */
#include "devmodel/machine/smbios.h"
#include <stdio.h>
#include "base/util.h"

enum {
	T_BIOS = 0,
	T_SYSTEM = 1,
	T_CHASSIS = 3,
	T_PROCESSOR = 4,
	T_MEMORY_ARRAY = 16,
	T_MEMORY_DEVICE = 17,
	T_MEMORY_ARRAY_MAP = 19,
	T_BOOT = 32,
	T_END = 127
};

/* Appends one structure: type, the formatted part after the four bytes of header, strings. */
static void add(struct smbios *s, uint8_t type, const void *body, size_t n,
		const char *const *strings)
{
	static uint16_t const first_handle = 0x100;
	uint8_t *p = s->bytes + s->len;
	const uint16_t handle = (uint16_t)(first_handle * type);
	size_t len = 4 + n;

	p[0] = type;
	p[1] = (uint8_t)(4 + n);
	memcpy(p + 2, &handle, 2);
	if (n > 0)
		memcpy(p + 4, body, n);
	for (unsigned i = 0; strings != NULL && strings[i] != NULL; i++) {
		memcpy(p + len, strings[i], strlen(strings[i]) + 1);
		len += strlen(strings[i]) + 1;
	}
	if (strings == NULL)
		p[len++] = 0;
	p[len++] = 0;
	s->len += len;
	assert(s->len < SMBIOS_MAX); /* all of it is ours */
}

static void add_platform(struct smbios *s)
{
	static const char *const bios[] = { "Lodge", "1", "01/01/2024", NULL };
	static const char *const sys[] = { "Lodge", "pc-1", "1", NULL };
	static const char *const chassis[] = { "Lodge", NULL };
	/* vendor, version, segment, date, ROM size, characteristics (PnP, bootable ...), extension:
	 * ACPI, virtual machine */
	const uint8_t bios_body[20] = { 1, 2, 0, 0xe8, 3, 0,	8, 0, 0,    0,
					0, 0, 0, 0,    1, 0x10, 0, 0, 0xff, 0xff };
	/* manufacturer, product, version, serial, UUID, wake-up type: power switch */
	const uint8_t sys_body[23] = { 1, 2, 3, 0, [20] = 6 };
	/* manufacturer, type: other, states: safe, OEM, height, cords, contained elements */
	const uint8_t chassis_body[17] = { 1, 1, 0, 0, 0, 3, 3, 3, 3 };
	const uint8_t boot_body[7] = { 0 };

	add(s, T_BIOS, bios_body, sizeof(bios_body), bios);
	add(s, T_SYSTEM, sys_body, sizeof(sys_body), sys);
	add(s, T_CHASSIS, chassis_body, sizeof(chassis_body), chassis);
	add(s, T_BOOT, boot_body, sizeof(boot_body), NULL);
}

static void add_processor(struct smbios *s, unsigned n_cpus)
{
	static const char *const strings[] = { "CPU 0", "Lodge", NULL };
	/* socket, type: central, family: see 2, manufacturer */
	uint8_t b[44] = { 1, 3, 0xfe, 2 };

	b[20] = 0x41;					  /* populated, enabled */
	b[21] = 1;					  /* upgrade: other */
	memset(b + 22, 0xff, 6);			  /* no cache handles */
	b[31] = b[32] = (uint8_t)hv_min_u64(n_cpus, 255); /* cores, enabled */
	b[33] = b[31];					  /* threads */
	b[34] = 4;					  /* 64-bit */
	b[36] = 2;					  /* family: unknown */
	add(s, T_PROCESSOR, b, sizeof(b), strings);
}

static void add_memory(struct smbios *s, uint64_t ram_bytes)
{
	static const char *const strings[] = { "DIMM 0", NULL };
	const uint64_t kib = ram_bytes >> 10, end_kib = kib - 1, mib = ram_bytes >> 20;
	const uint16_t array = 0x100 * T_MEMORY_ARRAY;
	uint8_t a[19] = { 1, 3, 6 }; /* other, system memory, multi-bit ECC */
	uint8_t d[36] = { 0 };
	uint8_t m[27] = { 0 };

	memcpy(a + 3, &(uint32_t){ 0x80000000 }, 4); /* size: the long field has it */
	memcpy(a + 7, &(uint16_t){ 0xfffe }, 2);     /* no error information */
	a[9] = 1;
	memcpy(a + 11, &ram_bytes, 8);
	add(s, T_MEMORY_ARRAY, a, sizeof(a), NULL);

	memcpy(d, &array, 2);
	memcpy(d + 2, &(uint16_t){ 0xfffe }, 2);
	memset(d + 4, 0xff, 4); /* widths unknown */
	memcpy(d + 8, &(uint16_t){ mib < 0x7fff ? (uint16_t)mib : 0x7fff }, 2);
	d[10] = 9; /* DIMM */
	d[12] = 1;
	d[14] = 7; /* RAM */
	memcpy(d + 24, &(uint32_t){ (uint32_t)mib }, 4);
	add(s, T_MEMORY_DEVICE, d, sizeof(d), strings);

	memset(m, 0xff, 8); /* the long fields have it */
	memcpy(m + 8, &array, 2);
	m[10] = 1;
	memcpy(m + 19, &(uint64_t){ (end_kib << 10) | 1023 }, 8);
	add(s, T_MEMORY_ARRAY_MAP, m, sizeof(m), NULL);
}

static uint8_t minus_sum(const uint8_t *p, size_t n)
{
	uint8_t sum = 0;

	while (n-- > 0)
		sum = (uint8_t)(sum - *p++);
	return sum;
}

void smbios_build(struct smbios *s, unsigned n_cpus, uint64_t ram_bytes)
{
	static const uint8_t entry[11] = { '_', 'S', 'M', '3', '_', 0, SMBIOS_ENTRY_BYTES,
					   3,	2,   0,	  1 };

	memset(s, 0, sizeof(*s));
	add_platform(s);
	add_processor(s, n_cpus);
	add_memory(s, ram_bytes);
	add(s, T_END, NULL, 0, NULL);
	memcpy(s->entry, entry, sizeof(entry));
	memcpy(s->entry + 12, &(uint32_t){ (uint32_t)s->len }, 4);
	smbios_place(s, 0);
}

void smbios_place(struct smbios *s, uint64_t gpa)
{
	memcpy(s->entry + 16, &gpa, 8);
	s->entry[5] = 0;
	s->entry[5] = minus_sum(s->entry, sizeof(s->entry));
}
