/*
 * Linux bzImage kernels.
 *
 * Specification: Linux Documentation/arch/x86/boot.rst (the 32-bit and the 64-bit boot protocol)
 * and zero-page.rst.
 * Not modelled: kernels older than protocol 2.06 (2.6.22, 2007), zImage, the real-mode entry.
 */
#include "base/util.h"
#include "devmodel/machine/boot.h"

/* The setup header, offsets from the start of the file and of the zero page alike. */
enum {
	H_SETUP_SECTS = 0x1f1,
	H_SYSSIZE = 0x1f4,
	H_BOOT_FLAG = 0x1fe,
	H_JUMP_LEN = 0x201,
	H_MAGIC = 0x202,
	H_VERSION = 0x206,
	H_LOADER = 0x210,
	H_LOADFLAGS = 0x211,
	H_CODE32_START = 0x214,
	H_RAMDISK = 0x218,
	H_RAMDISK_BYTES = 0x21c,
	H_CMDLINE = 0x228,
	H_INITRD_MAX = 0x22c,
	H_ALIGNMENT = 0x230,
	H_RELOCATABLE = 0x234,
	H_XLOADFLAGS = 0x236,
	H_CMDLINE_MAX = 0x238,
	H_PREF_ADDRESS = 0x258,
	H_INIT_SIZE = 0x260,
	H_END_MAX = 0x290
};
/* struct screen_info, at the start of the zero page. */
enum {
	S_MODE = 0x06,
	S_COLUMNS = 0x07,
	S_LINES = 0x0e,
	S_TYPE = 0x0f,
	S_POINTS = 0x10,
	S_WIDTH = 0x12,
	S_HEIGHT = 0x14,
	S_DEPTH = 0x16,
	S_LFB = 0x18,
	S_LFB_64K = 0x1c,
	S_STRIDE = 0x24,
	S_COLOURS = 0x26,
	S_PAGES = 0x32,
	S_ATTRIBUTES = 0x34,
};
enum { TYPE_VGA_TEXT = 1, TYPE_VESA_LFB = 0x23, VESA_COLOUR_GRAPHICS_LINEAR = 0x9b };
/* The rest of the zero page. */
enum { Z_RSDP = 0x70, Z_N_E820 = 0x1e8, Z_E820 = 0x2d0, Z_BYTES = 4096 };
enum { LOADED_HIGH = 1, XLF_KERNEL_64 = 1, LOADER_UNKNOWN = 0xff };
#define MAGIC_HDRS 0x53726448u
#define ZERO_PAGE_GPA 0x7000ull
#define STACK_GPA 0x6ff0ull
#define CMDLINE_GPA 0x20000ull
#define HIGH_START 0x100000ull
#define ENTRY64_OFF 0x200u

struct header {
	uint64_t pm_off; /* of the protected-mode part in the file */
	uint32_t bytes;	 /* of the setup header, from 0x1f1 */
	uint16_t version;
	bool entry64, relocatable;
	uint64_t load, room; /* where it wants to be, and how much it needs there */
	uint64_t initrd_max, cmdline_max;
};

static uint64_t get(const uint8_t *p, unsigned off, unsigned bytes)
{
	uint64_t v = 0;

	memcpy(&v, p + off, bytes);
	return v;
}

static void put(uint8_t *p, unsigned off, unsigned bytes, uint64_t v)
{
	memcpy(p + off, &v, bytes);
}

bool boot_is_linux(const struct boot_bytes *k)
{
	return k->n >= H_END_MAX && get(k->p, H_BOOT_FLAG, 2) == 0xaa55 &&
	       get(k->p, H_MAGIC, 4) == MAGIC_HDRS;
}

static int parse(const struct boot_bytes *k, struct header *h, struct err *e)
{
	const uint8_t *p = k->p;
	const uint64_t sects = p[H_SETUP_SECTS] != 0 ? p[H_SETUP_SECTS] : 4;

	*h = (struct header){ .pm_off = (sects + 1) * 512,
			      .version = (uint16_t)get(p, H_VERSION, 2),
			      .bytes = H_MAGIC - H_SETUP_SECTS + p[H_JUMP_LEN],
			      .load = HIGH_START };
	if (h->version < 0x206 || !(p[H_LOADFLAGS] & LOADED_HIGH))
		return err_set(e, -EINVAL, "the kernel is too old (boot protocol %u.%02u)",
			       h->version >> 8, h->version & 0xff);
	if (h->bytes > H_END_MAX - H_SETUP_SECTS)
		h->bytes = H_END_MAX - H_SETUP_SECTS;
	/* The size is in paragraphs, rounded up; some files end within the last one. */
	if (h->pm_off >= k->n || k->n - h->pm_off + 15 < get(p, H_SYSSIZE, 4) * 16)
		return err_set(e, -EINVAL, "the kernel is cut off");
	h->room = k->n - h->pm_off;
	h->initrd_max = get(p, H_INITRD_MAX, 4);
	h->cmdline_max = get(p, H_CMDLINE_MAX, 4);
	if (h->version >= 0x20a) {
		h->load = get(p, H_PREF_ADDRESS, 8);
		h->room = hv_max_u64(h->room, get(p, H_INIT_SIZE, 4));
		h->relocatable = p[H_RELOCATABLE] != 0;
	}
	h->entry64 = h->version >= 0x20c && (get(p, H_XLOADFLAGS, 2) & XLF_KERNEL_64);
	if (h->entry64 && h->room < ENTRY64_OFF + 16)
		return err_set(e, -EINVAL, "the kernel is cut off");
	return 0;
}

/* At its preferred address, or below it, if it can be moved and memory is short. */
static int choose_load(struct header *h, const struct boot_bytes *k, const struct boot_target *t,
		       struct err *e)
{
	const uint64_t align = get(k->p, H_ALIGNMENT, 4);

	if (h->load >= HIGH_START && h->load <= t->ram_end && h->room <= t->ram_end - h->load)
		return 0;
	if (h->relocatable && align != 0 && (align & (align - 1)) == 0) {
		h->load = hv_align_up(HIGH_START, align);
		if (h->load <= t->ram_end && h->room <= t->ram_end - h->load)
			return 0;
	}
	return err_set(e, -EINVAL, "the kernel needs %llu MiB: give more memory (memory.size)",
		       (unsigned long long)((h->room >> 20) + 1));
}

/* The value of the command line's last "vga=", a word of its own; NULL: there is none. */
static const char *vga_option(const char *cmdline)
{
	const char *found = NULL;

	for (const char *p = strstr(cmdline, "vga="); p != NULL; p = strstr(p + 1, "vga="))
		if (p == cmdline || p[-1] == ' ')
			found = p + 4;
	return found;
}

/* What a boot loader makes of "vga=" (Linux, Documentation/admin-guide/svga.rst): a VESA mode's
 * number plus 0x200 is its size here, 32 bits a pixel in any case; other modes are text. */
struct boot_mode boot_linux_mode(const char *cmdline)
{
	static const struct boot_mode usual = { 1024, 768, 32 };
	static const struct {
		uint16_t vesa[5]; /* 8, 15, 16, 24 bits, 4 bits */
		struct boot_mode mode;
	} sizes[] = {
		{ { 0x301, 0x310, 0x311, 0x312, 0x300 }, { 640, 480, 32 } },
		{ { 0x303, 0x313, 0x314, 0x315, 0x302 }, { 800, 600, 32 } },
		{ { 0x305, 0x316, 0x317, 0x318, 0x304 }, { 1024, 768, 32 } },
		{ { 0x307, 0x319, 0x31a, 0x31b, 0x306 }, { 1280, 1024, 32 } },
	};
	const char *option = vga_option(cmdline);

	if (option == NULL || strncmp(option, "ask", 3) == 0)
		return usual;
	const unsigned long number = strtoul(option, NULL, 0);
	for (unsigned i = 0; i < HV_ARRAY_LEN(sizes); i++)
		for (unsigned k = 0; k < HV_ARRAY_LEN(sizes[i].vesa); k++)
			if (number == sizes[i].vesa[k])
				return sizes[i].mode;
	return (struct boot_mode){ 0 };
}

static void put_text_screen(const struct boot_screen *s, uint8_t *z)
{
	z[S_MODE] = 3;
	z[S_COLUMNS] = (uint8_t)s->width;
	z[S_LINES] = (uint8_t)s->height;
	z[S_POINTS] = 16;
	z[S_TYPE] = TYPE_VGA_TEXT;
}

/* 32 bits a pixel, as boot_mode_of() has it. */
static void put_screen(const struct boot_screen *s, uint8_t *z)
{
	/* Bits and place: red, green, blue, none. */
	static const uint8_t colours[8] = { 8, 16, 8, 8, 8, 0, 8, 24 };

	if (s->lfb == 0) {
		if (s->width != 0)
			put_text_screen(s, z);
		return;
	}
	z[S_COLUMNS] = 80;
	z[S_LINES] = 25;
	z[S_POINTS] = 16;
	z[S_TYPE] = TYPE_VESA_LFB;
	put(z, S_WIDTH, 2, s->width);
	put(z, S_HEIGHT, 2, s->height);
	put(z, S_DEPTH, 2, s->depth);
	put(z, S_LFB, 4, s->lfb);
	put(z, S_LFB_64K, 4, s->memory_bytes >> 16);
	put(z, S_STRIDE, 2, s->stride);
	memcpy(z + S_COLOURS, colours, sizeof(colours));
	put(z, S_PAGES, 2, 1);
	put(z, S_ATTRIBUTES, 2, VESA_COLOUR_GRAPHICS_LINEAR);
}

static void make_zero_page(const struct boot_files *f, const struct boot_target *t,
			   const struct header *h, uint64_t initrd, uint8_t *z)
{
	memset(z, 0, Z_BYTES);
	memcpy(z + H_SETUP_SECTS, f->kernel.p + H_SETUP_SECTS, h->bytes);
	z[H_LOADER] = LOADER_UNKNOWN;
	put(z, H_CODE32_START, 4, h->load);
	put(z, H_RAMDISK, 4, initrd);
	put(z, H_RAMDISK_BYTES, 4, f->initrd.n);
	put(z, H_CMDLINE, 4, CMDLINE_GPA);
	put(z, Z_RSDP, 8, t->rsdp);
	put_screen(&t->screen, z);
	z[Z_N_E820] = (uint8_t)t->e820->n;
	for (unsigned i = 0; i < t->e820->n; i++)
		e820_put(t->e820, i, z + Z_E820 + i * E820_ENTRY_BYTES);
}

int boot_linux(const struct boot_files *f, const struct boot_target *t, struct x86_state *s,
	       struct err *e)
{
	const size_t cmdline = strlen(f->cmdline);
	uint8_t z[Z_BYTES];
	struct header h;
	uint64_t initrd;
	int r = parse(&f->kernel, &h, e);

	if (r == 0)
		r = choose_load(&h, &f->kernel, t, e);
	if (r < 0)
		return r;
	if (cmdline > h.cmdline_max)
		return err_set(e, -EINVAL,
			       "this kernel's command line may have %llu bytes, not %zu",
			       (unsigned long long)h.cmdline_max, cmdline);
	r = boot_put(t, h.load, f->kernel.p + h.pm_off, f->kernel.n - h.pm_off, e);
	if (r == 0)
		r = boot_place_initrd(f, t, h.load + h.room, h.initrd_max + 1, &initrd, e);
	if (r == 0)
		r = boot_put(t, CMDLINE_GPA, f->cmdline, cmdline + 1, e);
	if (r < 0)
		return r;
	make_zero_page(f, t, &h, initrd, z);
	r = boot_put(t, ZERO_PAGE_GPA, z, sizeof(z), e);
	if (r == 0)
		r = boot_cpu(t, h.entry64, h.entry64 ? h.load + ENTRY64_OFF : h.load, s, e);
	if (r < 0)
		return r;
	s->gpr[X86_RSI] = ZERO_PAGE_GPA;
	s->gpr[X86_RSP] = STACK_GPA;
	return 0;
}
