/* What files are taken for: a table of made-up ones, and the doubts that are told. */
#include "devmodel/storage/kind.h"
#include "ctest.h"

static uint8_t head[IMAGE_HEAD_BYTES];

static void put(size_t off, const void *bytes, size_t n)
{
	memcpy(head + off, bytes, n);
}

static void put32(size_t off, uint32_t v)
{
	put(off, &v, sizeof(v));
}

static void boot_mark(void)
{
	put(510, "\x55\xaa", 2);
}

static void entry(unsigned i, uint8_t status, uint8_t type, uint32_t start, uint32_t n)
{
	head[446 + 16 * i] = status;
	head[446 + 16 * i + 4] = type;
	put32(446 + 16 * i + 8, start);
	put32(446 + 16 * i + 12, n);
	boot_mark();
}

static void mbr(void)
{
	entry(0, 0x80, 0x83, 63, 1000);
	entry(2, 0, 0x82, 2000, 100);
}

static void multiboot(size_t off)
{
	put32(off, 0x1badb002);
	put32(off + 4, 0x10003);
	put32(off + 8, 0u - 0x1badb002u - 0x10003u);
}

static void bpb(void)
{
	put(0, "\xeb\x3c\x90MSDOS5.0\0\2\1\1\0\2\xe0\0\x40\x0b\xf0", 22);
	boot_mark();
}

static void iso(void)
{
	put(0x8000, "\1CD001", 6);
	put(0x8800,
	    "\xff"
	    "CD001",
	    6);
}

static void iso_boots(void)
{
	iso();
	put(0x8800, "\0CD001\1EL TORITO SPECIFICATION", 30);
}

static void iso_hybrid(void)
{
	iso_boots();
	mbr();
}

static void iso_hybrid_gpt(void)
{
	iso_boots();
	put(512, "EFI PART", 8);
}

static void udf_bridge(void)
{
	iso_boots();
	put(0x9000, "\0BEA01", 6);
	put(0x9800, "\0NSR02", 6);
}

static void udf_only(void)
{
	put(0x8000, "\0BEA01", 6);
	put(0x8800, "\0NSR03", 6);
}

static void high_sierra(void)
{
	put(0x8009, "CDROM", 5);
}

static void linux_kernel(void)
{
	put(0, "MZ", 2);
	boot_mark();
	put(0x202, "HdrS", 4);
}

static void elf(void)
{
	put(0,
	    "\x7f"
	    "ELF",
	    4);
}

static void elf_multiboot(void)
{
	elf();
	multiboot(4096);
	boot_mark();
}

static void flat_multiboot(void)
{
	multiboot(16);
}

static void late_multiboot(void)
{
	elf();
	multiboot(8192 - 8);
}

static void broken_multiboot(void)
{
	multiboot(16);
	head[24]++;
}

static void elf_multiboot2(void)
{
	elf();
	put32(64, 0xe85250d6);
	put32(72, 24);
	put32(76, 0u - 0xe85250d6u - 24);
}

static void boot_multiboot(void)
{
	multiboot(64);
	boot_mark();
}

static void gpt(void)
{
	entry(0, 0, 0xee, 1, 0xffffffff);
	put(512, "EFI PART", 8);
}

static void gpt_4k(void)
{
	put(4096, "EFI PART", 8);
}

static void two_active(void)
{
	entry(0, 0x80, 6, 63, 1);
	entry(1, 0x80, 6, 64, 1);
}

static void odd_status(void)
{
	entry(0, 0x17, 6, 63, 1);
}

static void beyond(void)
{
	entry(0, 0, 6, 0x10000000, 1);
}

static void exe(void)
{
	put(0, "MZ", 2);
}

static void fs(void)
{
	put(0x438, "\x53\xef", 2);
}

static void words(void)
{
	memset(head, 'a', sizeof(head));
	put(0, "#!/bin/sh\n", 10);
}

static void nothing(void) {}

static void random_bytes(void)
{
	head[0] = 1;
	head[100] = 200;
}

static void mark(const char *s, size_t n, size_t off)
{
	put(off, s, n);
}

#define MIB (1u << 20)
#define F144 1474560u

static const struct {
	void (*make)(void);
	uint64_t bytes;
	enum image_kind kind;
	const char *what; /* in it */
	enum image_kind also;
	const char *doubt; /* in it; NULL: none */
} table[] = {
	{ iso, 8 * MIB, IMAGE_CD, "ISO 9660", 0, "nothing on it boots" },
	{ iso_boots, 8 * MIB, IMAGE_CD, "ISO 9660", 0, NULL },
	{ iso_boots, F144, IMAGE_CD, "ISO 9660", 0, NULL }, /* however small */
	{ iso_hybrid, 8 * MIB, IMAGE_CD, "CD", IMAGE_DISK, "partition table" },
	{ iso_hybrid_gpt, 8 * MIB, IMAGE_CD, "CD", IMAGE_DISK, "partition table" },
	{ udf_bridge, 8 * MIB, IMAGE_CD, "ISO 9660 and UDF", 0, NULL },
	{ udf_only, 8 * MIB, IMAGE_CD, "a UDF", 0, "nothing on it boots" },
	{ high_sierra, 8 * MIB, IMAGE_CD, "CD", 0, "nothing on it boots" },
	{ linux_kernel, 5 * MIB + 17, IMAGE_LINUX, "Linux", 0, NULL },
	{ linux_kernel, F144, IMAGE_LINUX, "Linux", IMAGE_FLOPPY, "floppy" },
	{ elf_multiboot, 512 * 100, IMAGE_MULTIBOOT, "multiboot", 0, NULL },
	{ flat_multiboot, 9999, IMAGE_MULTIBOOT, "multiboot", 0, NULL },
	{ late_multiboot, 20000, IMAGE_REFUSED, "ELF", 0, NULL },
	{ broken_multiboot, 9999, IMAGE_UNKNOWN, "", 0, NULL },
	{ elf_multiboot2, 9999, IMAGE_REFUSED, "multiboot 2", 0, NULL },
	{ elf, 9999, IMAGE_REFUSED, "ELF", 0, NULL },
	{ exe, 9999, IMAGE_REFUSED, "DOS", 0, NULL },
	{ nothing, F144, IMAGE_FLOPPY, "floppy", 0, "no boot sector" },
	{ nothing, 163840, IMAGE_FLOPPY, "floppy", 0, "no boot sector" },
	{ boot_mark, F144, IMAGE_FLOPPY, "floppy", 0, NULL },
	{ bpb, F144, IMAGE_FLOPPY, "floppy", 0, NULL },
	{ mbr, F144, IMAGE_FLOPPY, "floppy", IMAGE_DISK, "partition table" },
	{ boot_multiboot, F144, IMAGE_FLOPPY, "floppy", IMAGE_MULTIBOOT, "multiboot" },
	{ mbr, 8 * MIB, IMAGE_DISK, "MBR", 0, NULL },
	{ gpt, 8 * MIB, IMAGE_DISK, "GPT", 0, NULL },
	{ gpt_4k, 8 * MIB, IMAGE_DISK, "GPT", 0, NULL },
	{ bpb, 8 * MIB, IMAGE_DISK, "without a partition table", 0, NULL },
	{ boot_mark, 512, IMAGE_FLOPPY, "cut off", IMAGE_DISK, "hard disk" },
	{ bpb, 2 * MIB, IMAGE_FLOPPY, "cut off", IMAGE_DISK, "hard disk" },
	{ mbr, 2 * MIB, IMAGE_DISK, "MBR", 0, NULL },
	{ two_active, 8 * MIB, IMAGE_DISK, "without a partition table", 0, NULL },
	{ odd_status, 8 * MIB, IMAGE_DISK, "without a partition table", 0, NULL },
	{ beyond, 8 * MIB, IMAGE_DISK, "without a partition table", 0, NULL },
	{ boot_multiboot, 8 * MIB, IMAGE_DISK, "disk", IMAGE_MULTIBOOT, "multiboot" },
	{ boot_mark, 8 * MIB + 1, IMAGE_UNKNOWN, "", 0, NULL }, /* no whole sectors */
	{ fs, 8 * MIB, IMAGE_REFUSED, "file system", 0, NULL },
	{ words, 65536, IMAGE_REFUSED, "a text", 0, NULL },
	{ nothing, 8 * MIB, IMAGE_UNKNOWN, "", 0, NULL },
	{ random_bytes, 8 * MIB, IMAGE_UNKNOWN, "", 0, NULL },
};

static void recognise(uint64_t bytes, struct image_guess *g)
{
	const struct image_bytes b = { .head = head,
				       .n_head = bytes < sizeof(head) ? bytes : sizeof(head),
				       .bytes = bytes };

	memset(g, 0xee, sizeof(*g));
	image_recognise(&b, g);
}

static void test_table(void **state)
{
	struct image_guess g;

	(void)state;
	for (size_t i = 0; i < HV_ARRAY_LEN(table); i++) {
		memset(head, 0, sizeof(head));
		table[i].make();
		recognise(table[i].bytes, &g);
		if (g.kind != table[i].kind || strstr(g.what, table[i].what) == NULL ||
		    g.also != table[i].also || (g.doubt == NULL) != (table[i].doubt == NULL) ||
		    (g.doubt != NULL && strstr(g.doubt, table[i].doubt) == NULL))
			fail_msg("row %zu: kind %d (%s), also %d, doubt %s", i, g.kind, g.what,
				 g.also, g.doubt);
		/* What may be something else can be said to be that. */
		assert_true(g.also == IMAGE_UNKNOWN || image_option(g.also)[0] == '-');
		assert_true(g.kind < IMAGE_CONTAINER || g.hint != NULL || g.what[2] == 't');
		assert_true(g.kind == IMAGE_UNKNOWN || g.kind >= IMAGE_CONTAINER ||
			    image_option(g.kind)[0] == '-');
	}
}

static void test_marks(void **state)
{
	static const struct {
		const char *bytes;
		size_t n, off;
		enum image_kind kind;
		const char *what;
	} marks[] = {
		{ "LodgeVM", 7, 0, IMAGE_STATE, "saved state" },
		{ "LodgeSn", 7, 0, IMAGE_REFUSED, "exported snapshot" },
		{ "QFI\xfb", 4, 0, IMAGE_QCOW2, "qcow2" },
		{ "KDMV", 4, 0, IMAGE_CONTAINER, "VMDK" },
		{ "# Disk DescriptorFile", 21, 0, IMAGE_CONTAINER, "VMDK" },
		{ "\x7f\x10\xda\xbe", 4, 64, IMAGE_CONTAINER, "VDI" },
		{ "vhdxfile", 8, 0, IMAGE_CONTAINER, "VHDX" },
		{ "conectix", 8, 0, IMAGE_CONTAINER, "VHD" },
		{ "\x1f\x8b\x08", 3, 0, IMAGE_REFUSED, "gzip" },
		{ "\xfd"
		  "7zXZ\0",
		  6, 0, IMAGE_REFUSED, "xz" },
		{ "BZh", 3, 0, IMAGE_REFUSED, "bzip2" },
		{ "\x28\xb5\x2f\xfd", 4, 0, IMAGE_REFUSED, "zstd" },
		{ "PK\3\4", 4, 0, IMAGE_REFUSED, "zip" },
		{ "070701", 6, 0, IMAGE_REFUSED, "cpio" },
		{ "ustar", 5, 257, IMAGE_REFUSED, "tar" },
	};
	struct image_guess g;

	(void)state;
	for (size_t i = 0; i < HV_ARRAY_LEN(marks); i++) {
		memset(head, 0, sizeof(head));
		mark(marks[i].bytes, marks[i].n, marks[i].off);
		recognise(F144, &g); /* a floppy's length is no reason */
		if (g.kind != marks[i].kind || strstr(g.what, marks[i].what) == NULL)
			fail_msg("%s: kind %d (%s)", marks[i].what, g.kind, g.what);
		recognise(marks[i].off + marks[i].n - 1, &g); /* cut off */
		assert_null(strstr(g.what, marks[i].what));
	}
}

static void test_tail(void **state)
{
	struct image_bytes b = { .head = head, .n_head = 65536, .bytes = 8 * MIB + 512 };
	struct image_guess g;

	(void)state;
	memset(head, 0, sizeof(head));
	mbr();
	image_recognise(&b, &g);
	assert_int_equal(g.kind, IMAGE_DISK);
	memcpy(b.tail, "conectix", 8);
	image_recognise(&b, &g);
	assert_int_equal(g.kind, IMAGE_CONTAINER);
}

/* No length, however short, is read beyond. */
static void test_lengths(void **state)
{
	struct image_guess g;

	(void)state;
	for (size_t n = 0; n < 2048; n++) {
		auto_free uint8_t *p = malloc(n + 1);
		memset(p, 0x55, n);
		const struct image_bytes b = { .head = p, .n_head = n, .bytes = n };
		image_recognise(&b, &g);
		assert_non_null(g.what);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_tail),
		cmocka_unit_test(test_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
