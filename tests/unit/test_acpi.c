/*
 * ACPI and SMBIOS tables: sums, pointers, that the tables come through the disassembler and the
 * compiler again without a remark, and that every method of theirs can be executed.
 */
#include "ctest.h"
#include <fcntl.h>
#include <stdio.h>
#include "devmodel/machine/acpi/acpi.h"
#include "devmodel/machine/memmap.h"
#include "devmodel/machine/smbios.h"

#define PLACE 0x7fe0000u

static struct acpi_image image;

static uint8_t sum(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	while (n-- > 0)
		s = (uint8_t)(s + *p++);
	return s;
}

static uint64_t get(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	memcpy(&v, p, bytes);
	return v;
}

static uint8_t *at(uint64_t gpa)
{
	assert_true(gpa >= PLACE && gpa < PLACE + image.len);
	return image.bytes + (gpa - PLACE);
}

static bool floppies[2];

static void build(unsigned n_cpus)
{
	const struct acpi_config c = { .n_cpus = n_cpus,
				       .pm_port = 0x600,
				       .floppy = { floppies[0], floppies[1] } };

	acpi_build(&image, &c);
	acpi_place(&image, PLACE);
}

/* Calls fn for each table but FACS; the second SSDT is "SSDX". */
static void each_table(void (*fn)(const char *name, const uint8_t *p, size_t len))
{
	const uint8_t *xsdt = at(get(image.rsdp + 24, 8)), *rsdt = at(get(image.rsdp + 16, 4));
	const unsigned n = (unsigned)(get(xsdt + 4, 4) - 36) / 8;
	unsigned ssdts = 0;

	fn("XSDT", xsdt, get(xsdt + 4, 4));
	fn("RSDT", rsdt, get(rsdt + 4, 4));
	assert_int_equal((get(rsdt + 4, 4) - 36) / 4, n);
	for (unsigned i = 0; i < n; i++) {
		char name[5] = "";
		const uint8_t *t = at(get(xsdt + 36 + 8 * i, 8));
		assert_int_equal(get(rsdt + 36 + 4 * i, 4), get(xsdt + 36 + 8 * i, 8));
		memcpy(name, t, 4);
		if (strcmp(name, "SSDT") == 0 && ssdts++ > 0)
			name[3] = 'X';
		fn(name, t, get(t + 4, 4));
		if (strcmp(name, "FACP") == 0) {
			const uint8_t *dsdt = at(get(t + 40, 4));
			assert_int_equal(get(t + 140, 8), get(t + 40, 4));
			fn("DSDT", dsdt, get(dsdt + 4, 4));
			assert_memory_equal(at(get(t + 36, 4)), "FACS", 4);
			assert_int_equal(get(t + 36, 4) % 64, 0);
		}
	}
}

static void check_sum(const char *name, const uint8_t *p, size_t len)
{
	assert_memory_equal(p, name, 3);
	assert_true(len >= 36 && p + len <= image.bytes + image.len);
	assert_int_equal(sum(p, len), 0);
}

static void test_sums(void **state)
{
	(void)state;
	for (unsigned cpus = 1; cpus <= 64; cpus++) {
		floppies[0] = cpus & 1;
		floppies[1] = cpus & 2;
		build(cpus);
		assert_memory_equal(image.rsdp, "RSD PTR ", 8);
		assert_int_equal(sum(image.rsdp, 20), 0);
		assert_int_equal(sum(image.rsdp, ACPI_RSDP_BYTES), 0);
		each_table(check_sum);
	}
}

static char folder[] = "/tmp/lodge-test-acpi-XXXXXX";

static void run(const char *fmt, const char *name, const char *want)
{
	char command[256], line[256];
	bool found = false;

	snprintf(command, sizeof(command), fmt, folder, name);
	FILE *f = popen(command, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		found |= strstr(line, want) != NULL;
	if (pclose(f) != 0 || !found)
		fail_msg("'%s' does not say '%s'", command, want);
}

static void put_table(const char *name, const uint8_t *p, size_t len)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s.dat", folder, name);
	auto_close int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, len), len);
}

static void round_trip(const char *name, const uint8_t *p, size_t len)
{
	put_table(name, p, len);
	run("cd %s && iasl -d %s.dat 2>&1", name, "utput: ");
	/* The data tables' sources have no remarks to make. */
	run("cd %s && iasl -we %s.dsl 2>&1", name, "0 Errors, 0 Warnings, 0 Remarks");
}

static void remove_folder(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", folder);
	assert_int_equal(system(command), 0);
}

static void test_round_trip(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	floppies[0] = true;
	build(2);
	each_table(round_trip);
	remove_folder();
}

/* Objects that the interpreter evaluated; every one of them without an error. It gives numbers to
 * arguments that are buffers, and says so. */
static unsigned evaluate_all(void)
{
	char command[256], line[512];
	unsigned n = 0;

	snprintf(command, sizeof(command),
		 "cd %s && timeout 30 acpiexec -b 'execute predefined,quit' DSDT.dat SS*.dat "
		 "</dev/null 2>&1",
		 folder);
	FILE *f = popen(command, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		const bool ok = strstr(line, " returned AE_OK") != NULL;
		n += ok;
		if (strstr(line, "ACPI Error") != NULL || strstr(line, "failed with") != NULL ||
		    (strstr(line, "ACPI Warning") != NULL && !strstr(line, ": Argument #")) ||
		    (strstr(line, "AE_") != NULL && !ok))
			fail_msg("%s", line);
	}
	assert_int_equal(pclose(f), 0);
	return n;
}

/* Method names of the form _XXX are what the interpreter finds by itself; ours call the others. */
static void test_methods(void **state)
{
	(void)state;
	memcpy(strrchr(folder, '-'), "-XXXXXX", 7);
	assert_non_null(mkdtemp(folder));
	floppies[0] = floppies[1] = true;
	build(2);
	each_table(put_table);
	/* _OSC, _PRT, _PIC and four of each of the eight links are methods. */
	assert_true(evaluate_all() >= 3 + 4 * 8);
	remove_folder();
}

static const uint8_t *fde; /* of the table last looked at, NULL: it has none */

static void find_fde(const char *name, const uint8_t *p, size_t len)
{
	const uint8_t *q = memmem(p, len, "_FDE", 4);

	(void)name;
	fde = q != NULL ? q + 8 : fde;
}

/* The floppy controller's table is there only with a drive. */
static void test_floppies(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		fde = NULL;
		floppies[0] = i & 1;
		floppies[1] = i & 2;
		build(1);
		each_table(find_fde);
		assert_int_equal(fde != NULL, i != 0);
		if (fde == NULL)
			continue;
		assert_int_equal(get(fde, 4), i & 1);
		assert_int_equal(get(fde + 4, 4), i >> 1);
		assert_int_equal(get(fde + 16, 4), 2);
	}
}

static const uint8_t *generation; /* what follows the name ADDR in the DSDT */

static void find_generation(const char *name, const uint8_t *p, size_t len)
{
	if (strcmp(name, "DSDT") == 0)
		generation = memmem(p, len,
				    "\x08"
				    "ADDR",
				    5);
}

/* The device says where memmap.h has the page: a package of two numbers, the second is zero. */
static void test_generation(void **state)
{
	static const uint8_t package[] = { 0x12, 0x08, 0x02, 0x0c };

	(void)state;
	generation = NULL;
	build(1);
	each_table(find_generation);
	assert_non_null(generation);
	assert_memory_equal(generation + 5, package, sizeof(package));
	assert_int_equal(get(generation + 9, 4), MEMMAP_GENERATION);
	assert_int_equal(generation[13], 0);
}

static void test_smbios(void **state)
{
	static struct smbios s;
	unsigned n = 0;
	size_t off = 0;

	(void)state;
	smbios_build(&s, 2, 1ull << 32);
	smbios_place(&s, 0xf0100);
	assert_memory_equal(s.entry, "_SM3_", 5);
	assert_int_equal(sum(s.entry, sizeof(s.entry)), 0);
	assert_int_equal(get(s.entry + 16, 8), 0xf0100);
	assert_int_equal(get(s.entry + 12, 4), s.len);
	while (off < s.len) { /* header, formatted part, strings up to two zeroes */
		const uint8_t type = s.bytes[off];
		off += s.bytes[off + 1];
		while (off + 1 < s.len && (s.bytes[off] != 0 || s.bytes[off + 1] != 0))
			off++;
		off += 2;
		n++;
		if (type == 127)
			break;
	}
	assert_int_equal(off, s.len);
	assert_int_equal(n, 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums),	   cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_methods),	   cmocka_unit_test(test_floppies),
		cmocka_unit_test(test_generation), cmocka_unit_test(test_smbios),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
