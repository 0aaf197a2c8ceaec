/*
 * What files are by their marks, see kind.h.
 *
 * Specification: ECMA-119 (ISO 9660), ECMA-167 (UDF's recognition), El Torito 1.0; UEFI 2.9,
 * chapter 5 (MBR, GPT); Linux' boot protocol; Multiboot 0.6.96; the others by their makers'
 * descriptions.
 */
#include "devmodel/storage/kind.h"
#include "base/util.h"
#include "devmodel/storage/floppy.h"

#define SECTOR 512u
#define CD_SECTOR 2048u
#define CD_FIRST 16u /* sector of the first volume descriptor */
#define MB_SEARCH 8192u
#define MB_MAGIC 0x1badb002u
#define MB2_MAGIC 0xe85250d6u

#define CONVERT "qemu-img convert -O qcow2 makes one that this version can use"
#define UNPACK "unpack it first"

/* Whatever else may be in them, these are what their first bytes say. */
static const struct mark {
	uint32_t off;
	const char *bytes;
	uint8_t n;
	enum image_kind kind;
	const char *what, *hint;
} marks[] = {
	{ 0, "LodgeVM", 7, IMAGE_STATE, "a saved state", NULL },
	{ 0, "LodgeSn", 7, IMAGE_REFUSED, "an exported snapshot",
	  "lodge create NAME --import FILE makes a VM of it" },
	{ 0, "QFI\xfb", 4, IMAGE_QCOW2, "a qcow2 disk image", NULL },
	{ 0, "KDMV", 4, IMAGE_CONTAINER, "a VMDK disk image", CONVERT },
	{ 0, "COWD", 4, IMAGE_CONTAINER, "a VMDK disk image", CONVERT },
	{ 0, "# Disk DescriptorFile", 21, IMAGE_CONTAINER, "the description of a VMDK disk image",
	  CONVERT },
	{ 0x40, "\x7f\x10\xda\xbe", 4, IMAGE_CONTAINER, "a VDI disk image", CONVERT },
	{ 0, "vhdxfile", 8, IMAGE_CONTAINER, "a VHDX disk image", CONVERT },
	{ 0, "conectix", 8, IMAGE_CONTAINER, "a VHD disk image", CONVERT },
	{ 0, "\x1f\x8b\x08", 3, IMAGE_REFUSED, "compressed by gzip", UNPACK },
	{ 0,
	  "\xfd"
	  "7zXZ",
	  6, IMAGE_REFUSED, "compressed by xz", UNPACK },
	{ 0, "BZh", 3, IMAGE_REFUSED, "compressed by bzip2", UNPACK },
	{ 0, "\x28\xb5\x2f\xfd", 4, IMAGE_REFUSED, "compressed by zstd", UNPACK },
	{ 0, "\x04\x22\x4d\x18", 4, IMAGE_REFUSED, "compressed by lz4", UNPACK },
	{ 0, "PK\3\4", 4, IMAGE_REFUSED, "a zip archive", UNPACK },
	{ 0, "7z\xbc\xaf\x27\x1c", 6, IMAGE_REFUSED, "a 7z archive", UNPACK },
	{ 0, "Rar!\x1a\7", 6, IMAGE_REFUSED, "a rar archive", UNPACK },
	{ 0, "MSWIM\0\0", 8, IMAGE_REFUSED, "a WIM archive", "it is part of an installation CD" },
	{ 0, "070701", 6, IMAGE_REFUSED, "a cpio archive",
	  "an initial RAM disk goes with a kernel: --initrd" },
	{ 0, "!<arch>\n", 8, IMAGE_REFUSED, "a package or library", UNPACK },
	{ 257, "ustar", 5, IMAGE_REFUSED, "a tar archive", UNPACK },
};

static bool has(const struct image_bytes *b, uint64_t off, const void *bytes, size_t n)
{
	return off <= b->n_head && n <= b->n_head - off && memcmp(b->head + off, bytes, n) == 0;
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

const char *image_option(enum image_kind k)
{
	static const char *const options[IMAGE_N_KINDS] = {
		[IMAGE_UNKNOWN] = "",	     [IMAGE_CD] = "--iso",
		[IMAGE_FLOPPY] = "--floppy", [IMAGE_DISK] = "--disk",
		[IMAGE_LINUX] = "--kernel",  [IMAGE_MULTIBOOT] = "--kernel",
		[IMAGE_STATE] = "--state",   [IMAGE_QCOW2] = "--disk",
		[IMAGE_CONTAINER] = "",	     [IMAGE_REFUSED] = "",
	};

	return options[k];
}

/* ---- boot sectors and partition tables ---- */

static bool boot_sector(const struct image_bytes *b)
{
	return b->bytes % SECTOR == 0 && has(b, 510, "\x55\xaa", 2);
}

static bool gpt(const struct image_bytes *b)
{
	return has(b, 512, "EFI PART", 8) || has(b, 4096, "EFI PART", 8);
}

/* A partition table that somebody has made: entries that are empty or within the disk, one of them
 * used, at most one active. */
static bool partitioned(const struct image_bytes *b)
{
	unsigned used = 0, active = 0;

	if (!boot_sector(b))
		return false;
	for (unsigned i = 0; i < 4; i++) {
		const uint8_t *p = b->head + 446 + 16 * i;
		const uint64_t start = get32(p + 8), n = get32(p + 12);
		if ((p[0] & 0x7f) != 0)
			return false;
		active += p[0] == 0x80;
		if (p[4] == 0)
			continue;
		if (n == 0 || start >= b->bytes / SECTOR)
			return false;
		used++;
	}
	return used > 0 && active <= 1;
}

/* The parameters of a FAT file system, as DOS has them in its boot sectors. */
static bool fat(const struct image_bytes *b)
{
	const uint8_t *p = b->head;

	if (b->n_head < SECTOR || (p[0] != 0xeb && p[0] != 0xe9))
		return false;
	return p[11] == 0 && p[12] == 2 && p[13] != 0 && (p[13] & (p[13] - 1)) == 0 &&
	       (p[16] == 1 || p[16] == 2) && (p[21] == 0xf0 || p[21] >= 0xf8);
}

/* ---- CDs ---- */

static bool volume(const struct image_bytes *b, unsigned sector, const char *id)
{
	return has(b, (uint64_t)(CD_FIRST + sector) * CD_SECTOR + 1, id, 5);
}

static bool el_torito(const struct image_bytes *b)
{
	for (unsigned i = 0; i < 8; i++) {
		const uint64_t off = (uint64_t)(CD_FIRST + i) * CD_SECTOR;
		if (has(b, off, "\0CD001", 6) && has(b, off + 7, "EL TORITO SPECIFICATION", 23))
			return true;
	}
	return false;
}

static bool udf(const struct image_bytes *b)
{
	for (unsigned i = 0; i < 14; i++)
		if (volume(b, i, "NSR02") || volume(b, i, "NSR03"))
			return true;
	return false;
}

static bool guess_cd(const struct image_bytes *b, struct image_guess *g)
{
	const bool iso = volume(b, 0, "CD001") || has(b, CD_FIRST * CD_SECTOR + 9, "CDROM", 5);

	if (!iso && !udf(b))
		return false;
	*g = (struct image_guess){ .kind = IMAGE_CD,
				   .what = !iso	    ? "a UDF CD or DVD image"
					   : udf(b) ? "a CD or DVD image (ISO 9660 and UDF)"
						    : "a CD or DVD image (ISO 9660)" };
	if (partitioned(b) || gpt(b)) {
		g->also = IMAGE_DISK;
		g->doubt = "it has a partition table for USB sticks, too";
	} else if (!el_torito(b)) {
		g->doubt = "nothing on it boots";
	}
	return true;
}

/* ---- kernels ---- */

int64_t image_multiboot_header(const uint8_t *p, uint64_t n)
{
	const uint64_t end = hv_min_u64(n, MB_SEARCH);

	for (uint64_t off = 0; off + 12 <= end; off += 4)
		if (get32(p + off) == MB_MAGIC &&
		    get32(p + off) + get32(p + off + 4) + get32(p + off + 8) == 0)
			return (int64_t)off;
	return -1;
}

static bool multiboot2(const struct image_bytes *b)
{
	for (size_t off = 0; off + 16 <= b->n_head && off < 32768; off += 8)
		if (get32(b->head + off) == MB2_MAGIC &&
		    get32(b->head + off) + get32(b->head + off + 4) + get32(b->head + off + 8) +
				    get32(b->head + off + 12) ==
			    0)
			return true;
	return false;
}

static bool guess_linux(const struct image_bytes *b, struct image_guess *g)
{
	if (!has(b, 0x202, "HdrS", 4))
		return false;
	*g = (struct image_guess){ .kind = IMAGE_LINUX, .what = "a Linux kernel" };
	if (floppy_format_of(b->bytes) != NULL) {
		g->also = IMAGE_FLOPPY;
		g->doubt = "it is as long as a floppy disk";
	}
	return true;
}

static bool guess_program(const struct image_bytes *b, struct image_guess *g)
{
	const bool elf = has(b, 0,
			     "\x7f"
			     "ELF",
			     4);

	if (image_multiboot_header(b->head, b->n_head) >= 0 && (elf || !boot_sector(b)))
		*g = (struct image_guess){ .kind = IMAGE_MULTIBOOT, .what = "a multiboot kernel" };
	else if (elf && multiboot2(b))
		*g = (struct image_guess){ .kind = IMAGE_REFUSED,
					   .what = "a multiboot 2 kernel",
					   .hint = "which this version starts from a disk with "
						   "GRUB only" };
	else if (elf)
		*g = (struct image_guess){ .kind = IMAGE_REFUSED,
					   .what = "an ELF program without a multiboot header",
					   .hint = "a Linux kernel is given as bzImage" };
	else if (has(b, 0, "MZ", 2) && !boot_sector(b))
		*g = (struct image_guess){ .kind = IMAGE_REFUSED,
					   .what = "a program for DOS, Windows or UEFI",
					   .hint = "a system runs it, from a disk" };
	else
		return false;
	return true;
}

/* ---- disks ---- */

static bool guess_floppy(const struct image_bytes *b, struct image_guess *g)
{
	if (floppy_format_of(b->bytes) == NULL)
		return false;
	*g = (struct image_guess){ .kind = IMAGE_FLOPPY, .what = "a floppy disk image" };
	if (!fat(b) && (partitioned(b) || gpt(b))) {
		g->also = IMAGE_DISK;
		g->doubt = "it has a partition table";
	} else if (image_multiboot_header(b->head, b->n_head) >= 0) {
		g->also = IMAGE_MULTIBOOT;
		g->doubt = "it has a multiboot header";
	} else if (!boot_sector(b)) {
		g->doubt = "it has no boot sector";
	}
	return true;
}

static bool guess_disk(const struct image_bytes *b, struct image_guess *g)
{
	if (!boot_sector(b) && !(gpt(b) && b->bytes % SECTOR == 0))
		return false;
	*g = (struct image_guess){ .kind = IMAGE_DISK,
				   .what = gpt(b)	    ? "a raw disk image (GPT)"
					   : partitioned(b) ? "a raw disk image (MBR)"
							    : "a raw disk image without a "
							      "partition table" };
	if (image_multiboot_header(b->head, b->n_head) >= 0 && !partitioned(b)) {
		g->also = IMAGE_MULTIBOOT;
		g->doubt = "it has a multiboot header";
	} else if (!partitioned(b) && !gpt(b) && floppy_disk_bytes(b->bytes) != 0) {
		/* What a boot sector was written to; a BIOS cannot read such short hard disks. */
		*g = (struct image_guess){ .kind = IMAGE_FLOPPY,
					   .what = "a floppy disk image that is cut off",
					   .also = IMAGE_DISK,
					   .doubt = "it may be a hard disk's" };
	}
	return true;
}

/* ---- the rest ---- */

static bool guess_mark(const struct image_bytes *b, struct image_guess *g)
{
	for (size_t i = 0; i < HV_ARRAY_LEN(marks); i++) {
		const struct mark *m = &marks[i];
		if (!has(b, m->off, m->bytes, m->n))
			continue;
		*g = (struct image_guess){ .kind = m->kind, .what = m->what, .hint = m->hint };
		return true;
	}
	if (memcmp(b->tail, "conectix", 8) != 0)
		return false;
	*g = (struct image_guess){ .kind = IMAGE_CONTAINER,
				   .what = "a VHD disk image",
				   .hint = CONVERT };
	return true;
}

/* Printable, or bytes as UTF-8 has them for other scripts; a few lines are enough. */
static bool text(const struct image_bytes *b)
{
	const size_t n = hv_min_u64(b->n_head, 4096);

	for (size_t i = 0; i < n; i++) {
		const uint8_t c = b->head[i];
		if ((c < 32 && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != 27) ||
		    c == 127)
			return false;
	}
	return n > 0;
}

static bool file_system(const struct image_bytes *b)
{
	return has(b, 0x438, "\x53\xef", 2) || has(b, 0, "XFSB", 4) || has(b, 0, "hsqs", 4);
}

static void guess_other(const struct image_bytes *b, struct image_guess *g)
{
	if (text(b))
		*g = (struct image_guess){ .kind = IMAGE_REFUSED, .what = "a text" };
	else if (file_system(b))
		*g = (struct image_guess){ .kind = IMAGE_REFUSED,
					   .what = "a file system without a boot sector",
					   .hint = "a disk to go with a kernel: --disk" };
	else
		*g = (struct image_guess){
			.kind = IMAGE_UNKNOWN,
			.what = "nothing that is known here",
			.hint = "say what it is: --disk, --iso, --floppy or --kernel",
		};
}

/* Kernels before disks: a bzImage has a boot sector's mark. A mark at the beginning comes before
 * all that images may begin with by chance, but a bootable CD may begin with anything. */
void image_recognise(const struct image_bytes *b, struct image_guess *ret)
{
	static bool (*const guesses[])(const struct image_bytes *b, struct image_guess *g) = {
		guess_linux, guess_cd, guess_mark, guess_program, guess_floppy, guess_disk,
	};

	for (size_t i = 0; i < HV_ARRAY_LEN(guesses); i++)
		if (guesses[i](b, ret))
			return;
	guess_other(b, ret);
}
