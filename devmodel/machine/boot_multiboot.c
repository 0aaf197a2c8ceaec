/*
 * Multiboot 1 kernels: ELF, 32-bit or 64-bit (entered in 32-bit mode all the same), or with load
 * addresses in the header. The initrd is the one module.
 *
 * Specification: Multiboot Specification 0.6.96.
 * Not modelled: drives, APM, VBE's own tables, symbol tables: none is offered, as the specification
 * allows.
 */
#include <elf.h>
#include "base/util.h"
#include "cpu/x86_state.h"
#include "devmodel/display/display.h"
#include "devmodel/machine/boot.h"
#include "devmodel/storage/kind.h"

#define MB_LOADED 0x2badb002u
enum { MB_ADDR_HEADER_BYTES = 32, MB_VIDEO_BYTES = 48 };
enum {
	MB_PAGE_ALIGN = 1,
	MB_MEMORY_INFO = 2,
	MB_VIDEO = 4,
	MB_ADDRESSES = 0x10000,
	MB_MUST_KNOW = 0xffff
};
enum { MBI_MEMORY = 1, MBI_CMDLINE = 4, MBI_MODS = 8, MBI_MMAP = 0x40, MBI_NAME = 0x200 };
enum { MBI_FRAMEBUFFER = 0x1000, FRAMEBUFFER_RGB = 1, FRAMEBUFFER_TEXT = 2 };
#define MBI_GPA 0x7000ull
#define MODS_GPA 0x7080ull
#define NAME_GPA 0x70c0ull
#define MMAP_GPA 0x7100ull
#define CMDLINE_GPA 0x20000ull
#define HIGH_START 0x100000ull
#define MMAP_ENTRY_BYTES 24

struct mbi {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
	uint32_t mmap_length, mmap_addr, drives_length, drives_addr, config_table, boot_loader_name;
	uint32_t apm_table;
	uint32_t vbe[4];
	uint64_t fb_addr;
	uint32_t fb_pitch, fb_width, fb_height;
	uint8_t fb_bpp, fb_type;
	uint8_t fb_colours[6]; /* place and bits: red, green, blue */
};

/* What was loaded. */
struct image {
	uint64_t entry, end; /* end: of the highest byte, exclusive */
};

static uint32_t get32(const struct boot_bytes *k, uint64_t off)
{
	uint32_t v;

	memcpy(&v, k->p + off, sizeof(v));
	return v;
}

/* Offset of the header, or -1. */
static int64_t find_header(const struct boot_bytes *k)
{
	return image_multiboot_header(k->p, k->n);
}

bool boot_is_multiboot(const struct boot_bytes *k)
{
	return find_header(k) >= 0;
}

/* Linear graphics if the header asks for them; a size or depth that we do not have: one that we do.
 * The depths of fewer colours would want a palette. */
struct boot_mode boot_multiboot_mode(const struct boot_bytes *k)
{
	const int64_t at = find_header(k);
	struct boot_mode m = { 0 };

	if (at < 0 || !(get32(k, (uint64_t)at + 4) & MB_VIDEO) ||
	    (uint64_t)at + MB_VIDEO_BYTES > k->n || get32(k, (uint64_t)at + 32) != 0)
		return m;
	m.width = get32(k, (uint64_t)at + 36);
	m.height = get32(k, (uint64_t)at + 40);
	m.depth = get32(k, (uint64_t)at + 44);
	if (m.width < 64 || m.width > DISP_MAX_WIDTH || m.height < 64 ||
	    m.height > DISP_MAX_HEIGHT) {
		m.width = 1024;
		m.height = 768;
	}
	if (m.depth != 15 && m.depth != 16 && m.depth != 24)
		m.depth = 32;
	return m;
}

static int load_piece(const struct boot_files *f, const struct boot_target *t, uint64_t off,
		      uint64_t bytes, uint64_t gpa, uint64_t room, struct image *im, struct err *e)
{
	int r;

	if (off > f->kernel.n || bytes > f->kernel.n - off || bytes > room)
		return err_set(e, -EINVAL, "the kernel is cut off");
	if (gpa < HIGH_START)
		return err_set(e, -EINVAL, "the kernel wants to be at %#llx, below 1 MiB",
			       (unsigned long long)gpa);
	r = boot_put(t, gpa, f->kernel.p + off, bytes, e);
	if (r == 0)
		r = boot_zero(t, gpa + bytes, room - bytes, e);
	if (r == 0)
		im->end = hv_max_u64(im->end, gpa + room);
	return r;
}

/* By the addresses in the header ("a.out kludge"). */
static int load_by_header(const struct boot_files *f, const struct boot_target *t, uint64_t at,
			  struct image *im, struct err *e)
{
	uint32_t header, load, load_end, bss_end;
	uint64_t off, bytes;

	if (at + MB_ADDR_HEADER_BYTES > f->kernel.n)
		return err_set(e, -EINVAL, "the kernel is cut off");
	header = get32(&f->kernel, at + 12);
	load = get32(&f->kernel, at + 16);
	load_end = get32(&f->kernel, at + 20);
	bss_end = get32(&f->kernel, at + 24);
	im->entry = get32(&f->kernel, at + 28);
	if (load > header || header - load > at)
		return err_set(e, -EINVAL, "the kernel's multiboot header has absurd addresses");
	off = at - (header - load);
	bytes = load_end != 0 ? (uint64_t)load_end - load : f->kernel.n - off;
	if (load_end != 0 && load_end < load)
		return err_set(e, -EINVAL, "the kernel's multiboot header has absurd addresses");
	return load_piece(f, t, off, bytes, load,
			  bss_end > load + bytes ? bss_end - (uint64_t)load : bytes, im, e);
}

/* The program headers of either class, by physical address. */
static int load_elf(const struct boot_files *f, const struct boot_target *t, bool elf64,
		    uint64_t phoff, unsigned phnum, unsigned phentsize, struct image *im,
		    struct err *e)
{
	const unsigned need = elf64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	int r = 0;

	if (phentsize < need || phoff > f->kernel.n ||
	    (uint64_t)phnum * phentsize > f->kernel.n - phoff)
		return err_set(e, -EINVAL, "the kernel is cut off");
	for (unsigned i = 0; i < phnum && r == 0; i++) {
		const uint8_t *p = f->kernel.p + phoff + (uint64_t)i * phentsize;
		Elf64_Phdr h;
		if (elf64) {
			memcpy(&h, p, sizeof(h));
		} else {
			Elf32_Phdr h32;
			memcpy(&h32, p, sizeof(h32));
			h = (Elf64_Phdr){ .p_type = h32.p_type,
					  .p_offset = h32.p_offset,
					  .p_paddr = h32.p_paddr,
					  .p_filesz = h32.p_filesz,
					  .p_memsz = h32.p_memsz };
		}
		if (h.p_type == PT_LOAD && h.p_memsz != 0)
			r = load_piece(f, t, h.p_offset, h.p_filesz, h.p_paddr, h.p_memsz, im, e);
	}
	return r;
}

static int load_by_elf(const struct boot_files *f, const struct boot_target *t, struct image *im,
		       struct err *e)
{
	Elf32_Ehdr h32;
	Elf64_Ehdr h64;

	if (f->kernel.n < sizeof(h64) || memcmp(f->kernel.p, ELFMAG, SELFMAG) != 0)
		return err_set(e, -EINVAL, "the multiboot kernel is not an ELF file");
	memcpy(&h32, f->kernel.p, sizeof(h32));
	memcpy(&h64, f->kernel.p, sizeof(h64));
	if (h32.e_ident[EI_CLASS] == ELFCLASS32 && h32.e_machine == EM_386) {
		im->entry = h32.e_entry;
		return load_elf(f, t, false, h32.e_phoff, h32.e_phnum, h32.e_phentsize, im, e);
	}
	if (h64.e_ident[EI_CLASS] == ELFCLASS64 && h64.e_machine == EM_X86_64) {
		im->entry = h64.e_entry;
		return load_elf(f, t, true, h64.e_phoff, h64.e_phnum, h64.e_phentsize, im, e);
	}
	return err_set(e, -EINVAL, "the multiboot kernel is for another processor");
}

/* ---- what the kernel is told ---- */

/* The BIOS data area's word on low memory: kernels choose room for their real-mode code by it. */
static int put_bda(const struct boot_target *t, struct err *e)
{
	static const uint16_t ebda_segment = 0x9fc0, base_kib = 639;
	int r = boot_put(t, 0x40e, &ebda_segment, sizeof(ebda_segment), e);

	return r == 0 ? boot_put(t, 0x413, &base_kib, sizeof(base_kib), e) : r;
}

static int put_mmap(const struct boot_target *t, struct mbi *mbi, struct err *e)
{
	uint8_t entry[MMAP_ENTRY_BYTES] = { MMAP_ENTRY_BYTES - 4 };
	int r = 0;

	for (unsigned i = 0; i < t->e820->n && r == 0; i++) {
		e820_put(t->e820, i, entry + 4);
		r = boot_put(t, MMAP_GPA + i * MMAP_ENTRY_BYTES, entry, sizeof(entry), e);
	}
	mbi->flags |= MBI_MMAP;
	mbi->mmap_addr = MMAP_GPA;
	mbi->mmap_length = t->e820->n * MMAP_ENTRY_BYTES;
	return r;
}

static int put_module(const struct boot_files *f, const struct boot_target *t, uint64_t end,
		      struct mbi *mbi, struct err *e)
{
	uint64_t gpa;
	int r = boot_place_initrd(f, t, end, t->ram_end, &gpa, e);

	if (r < 0 || f->initrd.n == 0)
		return r;
	/* start, end, string, reserved */
	const uint32_t mod[4] = { (uint32_t)gpa, (uint32_t)(gpa + f->initrd.n), NAME_GPA + 8, 0 };
	mbi->flags |= MBI_MODS;
	mbi->mods_count = 1;
	mbi->mods_addr = MODS_GPA;
	return boot_put(t, MODS_GPA, mod, sizeof(mod), e);
}

static void fill_screen(const struct boot_screen *s, struct mbi *mbi)
{
	static const struct {
		uint8_t depth, colours[6];
	} layout[] = { { 15, { 10, 5, 5, 5, 0, 5 } },
		       { 16, { 11, 5, 5, 6, 0, 5 } },
		       { 24, { 16, 8, 8, 8, 0, 8 } },
		       { 32, { 16, 8, 8, 8, 0, 8 } } };

	if (s->width == 0)
		return;
	mbi->flags |= MBI_FRAMEBUFFER;
	mbi->fb_addr = s->lfb != 0 ? s->lfb : 0xb8000;
	mbi->fb_type = s->lfb != 0 ? FRAMEBUFFER_RGB : FRAMEBUFFER_TEXT;
	mbi->fb_pitch = s->lfb != 0 ? s->stride : 2 * s->width;
	mbi->fb_width = s->width;
	mbi->fb_height = s->height;
	mbi->fb_bpp = s->lfb != 0 ? (uint8_t)s->depth : 16;
	for (unsigned i = 0; i < HV_ARRAY_LEN(layout); i++)
		if (layout[i].depth == s->depth)
			memcpy(mbi->fb_colours, layout[i].colours, sizeof(mbi->fb_colours));
}

static int put_info(const struct boot_files *f, const struct boot_target *t, uint64_t end,
		    struct err *e)
{
	static const char names[16] = "Lodge\0\0\0initrd"; /* the loader's, the module's */
	struct mbi mbi = { .flags = MBI_MEMORY | MBI_CMDLINE | MBI_NAME,
			   .mem_lower = 639,
			   .mem_upper = (uint32_t)((t->ram_end - HIGH_START) >> 10),
			   .cmdline = CMDLINE_GPA,
			   .boot_loader_name = NAME_GPA };
	int r = put_mmap(t, &mbi, e);

	fill_screen(&t->screen, &mbi);
	if (r == 0)
		r = put_bda(t, e);
	if (r == 0)
		r = put_module(f, t, end, &mbi, e);
	if (r == 0)
		r = boot_put(t, NAME_GPA, names, sizeof(names), e);
	/* The first word is the kernel's name: systems skip it. */
	if (r == 0)
		r = boot_put(t, CMDLINE_GPA, "kernel ", 7, e);
	if (r == 0)
		r = boot_put(t, CMDLINE_GPA + 7, f->cmdline, strlen(f->cmdline) + 1, e);
	return r == 0 ? boot_put(t, MBI_GPA, &mbi, sizeof(mbi), e) : r;
}

int boot_multiboot(const struct boot_files *f, const struct boot_target *t, struct x86_state *s,
		   struct err *e)
{
	const int64_t at = find_header(&f->kernel);
	struct image im = { 0 };
	uint32_t flags;
	int r;

	if (at < 0)
		return err_set(e, -EINVAL, "it is not a multiboot kernel");
	flags = get32(&f->kernel, (uint64_t)at + 4);
	if (flags & MB_MUST_KNOW & ~(MB_PAGE_ALIGN | MB_MEMORY_INFO | MB_VIDEO))
		return err_set(e, -EINVAL, "the kernel wants unknown multiboot features (%#x)",
			       flags);
	r = flags & MB_ADDRESSES ? load_by_header(f, t, (uint64_t)at, &im, e)
				 : load_by_elf(f, t, &im, e);
	if (r == 0 && (im.entry < HIGH_START || im.entry >= im.end))
		r = err_set(e, -EINVAL, "the kernel's entry point %#llx is not in the kernel",
			    (unsigned long long)im.entry);
	if (r == 0)
		r = put_info(f, t, im.end, e);
	if (r == 0)
		r = boot_cpu(t, false, im.entry, s, e);
	if (r < 0)
		return r;
	s->gpr[X86_RAX] = MB_LOADED;
	s->gpr[X86_RBX] = MBI_GPA;
	return 0;
}
