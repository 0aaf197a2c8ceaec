/*
 * Loaders of kernels: what they put where, and that cut-off and absurd files are refused and harm
 * nothing.
 */
#include "ctest.h"
#include <elf.h>
#include <sys/mman.h>
#include "cpu/x86_defs.h"
#include "devmodel/machine/boot.h"

#define RAM_BYTES HV_MIB(64)
#define RAM_END (RAM_BYTES - HV_KIB(128))
#define PM_OFF (5 * 512u)
#define PM_BYTES 32768u
#define BZ_BYTES (PM_OFF + PM_BYTES)
#define LOAD_AT 0x1000000ull

struct world {
	struct hv_mem *mem;
	struct hv_ram *ram;
	struct hv_map_range all, hole;
	struct e820_map e820;
	struct boot_target target;
	struct x86_state cpu;
	struct err e;
	uint8_t *kernel;
	struct boot_files files;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->kernel = malloc(BZ_BYTES);
	assert_non_null(w->kernel);
	assert_ok(hv_mem_create(&w->mem, &w->e), &w->e);
	assert_ok(hv_ram_create(w->mem, "ram", HV_RAM_ANON, RAM_BYTES, -1, 0, &w->ram, &w->e),
		  &w->e);
	w->all = (struct hv_map_range){
		.name = "ram", .kind = HV_MAP_RAM, .bytes = RAM_BYTES, .ram = w->ram
	};
	w->hole = (struct hv_map_range){
		.name = "hole", .kind = HV_MAP_HOLE, .prio = 1, .gpa = 0xa0000, .bytes = 0x60000
	};
	hv_mem_map(w->mem, &w->all);
	hv_mem_map(w->mem, &w->hole);
	e820_make(&w->e820, RAM_BYTES, 0, HV_KIB(128));
	w->target = (struct boot_target){
		.mem = w->mem, .ram_end = RAM_END, .e820 = &w->e820, .rsdp = 0xf0000
	};
	w->files = (struct boot_files){ .kernel = { w->kernel, BZ_BYTES }, .cmdline = "quiet" };
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	hv_mem_destroy(w->mem);
	free(w->kernel);
	free(w);
	return 0;
}

static void put(uint8_t *p, unsigned off, unsigned bytes, uint64_t v)
{
	memcpy(p + off, &v, bytes);
}

static uint64_t get_guest(struct world *w, uint64_t gpa, unsigned bytes)
{
	uint64_t v = 0;

	assert_int_equal(hv_mem_read(w->mem, gpa, &v, bytes), 0);
	return v;
}

/* ---- bzImage ---- */

static void make_bzimage(struct world *w)
{
	uint8_t *p = w->kernel;
	uint64_t x = 1;

	for (unsigned i = 0; i < BZ_BYTES; i++)
		p[i] = (uint8_t)test_rnd(&x);
	memset(p + 0x1f1, 0, 0x290 - 0x1f1);
	p[0x1f1] = 4;
	put(p, 0x1f4, 4, PM_BYTES / 16);
	put(p, 0x1fe, 2, 0xaa55);
	put(p, 0x200, 2, 0x6aeb);
	memcpy(p + 0x202, "HdrS", 4);
	put(p, 0x206, 2, 0x20f);
	p[0x211] = 1;
	put(p, 0x22c, 4, 0x7fffffff);
	put(p, 0x230, 4, 0x200000);
	p[0x234] = 1;
	put(p, 0x236, 2, 1);
	put(p, 0x238, 4, 2047);
	put(p, 0x258, 8, LOAD_AT);
	put(p, 0x260, 4, 0x100000);
	w->files.kernel.n = BZ_BYTES;
}

static void test_linux64(void **state)
{
	struct world *w = *state;
	static const char initrd[5000] = "initrd";
	uint8_t loaded[PM_BYTES];

	make_bzimage(w);
	w->files.initrd = (struct boot_bytes){ (const uint8_t *)initrd, sizeof(initrd) };
	assert_int_equal(boot_mode_of(&w->files).width, 1024);
	assert_int_equal(boot_linux_mode("quiet vga=normal").width, 0);
	assert_int_equal(boot_linux_mode("vga=0x314 quiet").width, 800);
	assert_int_equal(boot_linux_mode("vga=normal vga=795").height, 1024);
	assert_int_equal(boot_linux_mode("xvga=normal vga=ask").height, 768);
	w->target.screen = (struct boot_screen){ 0xc0000000, 1024, 768, 32, 4096, HV_MIB(64) };
	assert_ok(boot_load(&w->files, &w->target, &w->cpu, &w->e), &w->e);
	assert_int_equal(w->cpu.rip, LOAD_AT + 0x200);
	assert_int_equal(w->cpu.seg[X86_CS].attr, 0xa09b);
	assert_int_equal(w->cpu.efer & X86_EFER_LMA, X86_EFER_LMA);
	const uint64_t zp = w->cpu.gpr[X86_RSI];
	assert_int_equal(get_guest(w, zp + 0x0f, 1), 0x23); /* screen_info: VESA, linear */
	assert_int_equal(get_guest(w, zp + 0x12, 2), 1024);
	assert_int_equal(get_guest(w, zp + 0x14, 2), 768);
	assert_int_equal(get_guest(w, zp + 0x16, 2), 32);
	assert_int_equal(get_guest(w, zp + 0x18, 4), 0xc0000000);
	assert_int_equal(get_guest(w, zp + 0x1c, 4), HV_MIB(64) >> 16);
	assert_int_equal(get_guest(w, zp + 0x24, 2), 4096);
	assert_int_equal(get_guest(w, zp + 0x26, 8), 0x1808000808081008);
	assert_int_equal(hv_mem_read(w->mem, LOAD_AT, loaded, sizeof(loaded)), 0);
	assert_memory_equal(loaded, w->kernel + PM_OFF, PM_BYTES);
	assert_int_equal(get_guest(w, zp + 0x202, 4), 0x53726448);
	assert_int_equal(get_guest(w, zp + 0x210, 1), 0xff);
	assert_int_equal(get_guest(w, zp + 0x70, 8), 0xf0000);
	assert_int_equal(get_guest(w, zp + 0x1e8, 1), w->e820.n);
	const uint64_t cmdline = get_guest(w, zp + 0x228, 4);
	assert_int_equal(get_guest(w, cmdline, 6), 0x7465697571); /* "quiet" */
	const uint64_t at = get_guest(w, zp + 0x218, 4);
	assert_int_equal(get_guest(w, zp + 0x21c, 4), sizeof(initrd));
	assert_int_equal(at % 4096, 0);
	assert_true(at >= LOAD_AT + 0x100000 && at + sizeof(initrd) <= RAM_END);
	assert_int_equal(get_guest(w, at, 6), 0x647274696e69);
	/* The page tables map the entry at itself. */
	const uint64_t pml4e = get_guest(w, w->cpu.cr3, 8),
		       pdpte = get_guest(w, pml4e & ~0xfffull, 8);
	assert_int_equal(get_guest(w, (pdpte & ~0xfffull) + 8 * (LOAD_AT >> 21), 8),
			 LOAD_AT | 0x83);
}

static void test_linux32(void **state)
{
	struct world *w = *state;

	make_bzimage(w);
	put(w->kernel, 0x236, 2, 0);
	assert_ok(boot_load(&w->files, &w->target, &w->cpu, &w->e), &w->e);
	assert_int_equal(w->cpu.rip, LOAD_AT);
	assert_int_equal(w->cpu.cr0 & X86_CR0_PG, 0);
	assert_int_equal(w->cpu.seg[X86_CS].attr, 0xc09b);
}

/* A kernel that does not fit where it wants to be goes lower, if it says that it can. */
static void test_linux_moves(void **state)
{
	struct world *w = *state;

	make_bzimage(w);
	put(w->kernel, 0x258, 8, HV_GIB(1));
	assert_ok(boot_load(&w->files, &w->target, &w->cpu, &w->e), &w->e);
	assert_int_equal(w->cpu.rip, 0x200000 + 0x200);
	w->kernel[0x234] = 0;
	assert_int_equal(boot_load(&w->files, &w->target, &w->cpu, &w->e), -EINVAL);
}

static void test_linux_prefixes(void **state)
{
	struct world *w = *state;

	make_bzimage(w);
	for (uint64_t n = 0; n < BZ_BYTES; n += n < 8192 ? 1 : 97) {
		uint8_t *cut = malloc(n + 1); /* so that reading further shows */
		assert_non_null(cut);
		memcpy(cut, w->kernel, n);
		w->files.kernel = (struct boot_bytes){ cut, n };
		assert_true(boot_load(&w->files, &w->target, &w->cpu, &w->e) < 0);
		free(cut);
	}
}

/* Each field of the header in turn, with values that no kernel has: no crash, and what loads lies
 * within memory. */
static void test_linux_absurd(void **state)
{
	static const uint64_t values[] = { 0,
					   1,
					   0x7f,
					   0xff,
					   0xffff,
					   0x7fffffff,
					   0xffffffff,
					   0x8000000000000000,
					   0xfffffffffffff000,
					   UINT64_MAX };
	struct world *w = *state;
	unsigned loaded = 0;

	for (unsigned off = 0x1f1; off < 0x290; off++) {
		for (unsigned i = 0; i < HV_ARRAY_LEN(values) * 4; i++) {
			make_bzimage(w);
			put(w->kernel, off, 1u << i % 4, values[i / 4]);
			if (boot_load(&w->files, &w->target, &w->cpu, &w->e) < 0)
				continue;
			assert_true(w->cpu.rip >= HV_MIB(1) && w->cpu.rip < RAM_END);
			loaded++;
		}
	}
	assert_true(loaded > 100);
}

static void test_linux_no_room(void **state)
{
	struct world *w = *state;
	static uint8_t big[RAM_BYTES];

	make_bzimage(w);
	w->files.initrd = (struct boot_bytes){ big, RAM_BYTES - LOAD_AT };
	assert_int_equal(boot_load(&w->files, &w->target, &w->cpu, &w->e), -EINVAL);
	assert_non_null(strstr(w->e.msg, "more memory"));
	w->files.initrd.n = 0;
	put(w->kernel, 0x238, 4, 3);
	assert_int_equal(boot_load(&w->files, &w->target, &w->cpu, &w->e), -EINVAL);
}

/* What lies above ram_end is not the kernel's: the machine's tables are there. */
static void test_linux_spares_tables(void **state)
{
	struct world *w = *state;

	make_bzimage(w);
	w->target.ram_end = LOAD_AT + PM_BYTES - 4096;
	put(w->kernel, 0x230, 4, 0);
	assert_int_equal(boot_load(&w->files, &w->target, &w->cpu, &w->e), -EINVAL);
	assert_int_equal(boot_put(&w->target, w->target.ram_end - 2, "abcd", 4, &w->e), -EINVAL);
	assert_int_equal(get_guest(w, w->target.ram_end - 2, 4), 0);
}

/* ---- multiboot ---- */

#define MB_AT 64u
#define CODE_OFF 0x1000u
#define MB_BYTES 0x2000u

static void make_header(uint8_t *p, uint32_t flags)
{
	put(p, MB_AT, 4, 0x1badb002);
	put(p, MB_AT + 4, 4, flags);
	put(p, MB_AT + 8, 4, (uint32_t)(0 - 0x1badb002 - flags));
}

static void make_elf32(struct world *w)
{
	uint8_t *p = w->kernel;
	Elf32_Ehdr h = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, 1, 1 },
			 .e_type = ET_EXEC,
			 .e_machine = EM_386,
			 .e_entry = 0x100010,
			 .e_phoff = 0x80,
			 .e_phentsize = sizeof(Elf32_Phdr),
			 .e_phnum = 1 };
	Elf32_Phdr ph = { .p_type = PT_LOAD,
			  .p_offset = CODE_OFF,
			  .p_paddr = 0x100000,
			  .p_filesz = MB_BYTES - CODE_OFF,
			  .p_memsz = MB_BYTES };

	memset(p, 0xcc, MB_BYTES);
	memcpy(p, &h, sizeof(h));
	make_header(p, 3);
	memcpy(p + 0x80, &ph, sizeof(ph));
	w->files.kernel.n = MB_BYTES;
}

static void test_multiboot(void **state)
{
	struct world *w = *state;
	static const char module[] = "module";

	make_elf32(w);
	memset(hv_ram_host(w->ram) + 0x101000, 0xee, 0x1000);
	w->files.initrd = (struct boot_bytes){ (const uint8_t *)module, sizeof(module) };
	assert_ok(boot_load(&w->files, &w->target, &w->cpu, &w->e), &w->e);
	assert_int_equal(w->cpu.rip, 0x100010);
	assert_int_equal(w->cpu.gpr[X86_RAX], 0x2badb002);
	assert_int_equal(get_guest(w, 0x100ff8, 8), 0xcccccccccccccccc);
	assert_int_equal(get_guest(w, 0x101000, 8), 0); /* cleared */
	const uint64_t mbi = w->cpu.gpr[X86_RBX];
	assert_int_equal(get_guest(w, mbi, 4), 0x24d);
	assert_int_equal(get_guest(w, get_guest(w, mbi + 16, 4), 6), 0x6c656e72656b); /* kernel */
	assert_int_equal(get_guest(w, mbi + 20, 4), 1);
	const uint64_t mod = get_guest(w, mbi + 24, 4);
	assert_int_equal(get_guest(w, get_guest(w, mod, 4), 6), 0x656c75646f6d);
	assert_int_equal(get_guest(w, mod + 4, 4) - get_guest(w, mod, 4), sizeof(module));
	assert_int_equal(get_guest(w, mbi + 44, 4), w->e820.n * 24);
}

static void test_multiboot_elf64(void **state)
{
	struct world *w = *state;
	Elf64_Ehdr h = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, 1, 1 },
			 .e_machine = EM_X86_64,
			 .e_entry = 0x100020,
			 .e_phoff = 0x100,
			 .e_phentsize = sizeof(Elf64_Phdr),
			 .e_phnum = 1 };
	Elf64_Phdr ph = { .p_type = PT_LOAD,
			  .p_offset = CODE_OFF,
			  .p_paddr = 0x100000,
			  .p_filesz = 0x100,
			  .p_memsz = 0x100 };

	make_elf32(w);
	memcpy(w->kernel, &h, sizeof(h));
	make_header(w->kernel, 0);
	memcpy(w->kernel + 0x100, &ph, sizeof(ph));
	assert_ok(boot_load(&w->files, &w->target, &w->cpu, &w->e), &w->e);
	assert_int_equal(w->cpu.rip, 0x100020);
}

static void make_addresses(struct world *w, uint32_t header, uint32_t load, uint32_t load_end,
			   uint32_t bss_end, uint32_t entry)
{
	const uint32_t a[5] = { header, load, load_end, bss_end, entry };

	make_elf32(w);
	make_header(w->kernel, 0x10000);
	memcpy(w->kernel + MB_AT + 12, a, sizeof(a));
}

static void test_multiboot_addresses(void **state)
{
	struct world *w = *state;

	make_addresses(w, 0x100000 + MB_AT, 0x100000, 0, 0x104000, 0x100040);
	assert_ok(boot_load(&w->files, &w->target, &w->cpu, &w->e), &w->e);
	assert_int_equal(w->cpu.rip, 0x100040);
	assert_int_equal(get_guest(w, 0x100000 + MB_AT, 4), 0x1badb002);
	make_addresses(w, 0x100000, 0x200000, 0, 0, 0x100040); /* header before the start */
	assert_int_equal(boot_load(&w->files, &w->target, &w->cpu, &w->e), -EINVAL);
	make_addresses(w, 0x100000 + MB_AT, 0x100000, 0x90000000, 0, 0x100040);
	assert_int_equal(boot_load(&w->files, &w->target, &w->cpu, &w->e), -EINVAL);
	make_addresses(w, 0x100000 + MB_AT, 0x100000, 0, 0xffffffff, 0x100040);
	assert_int_equal(boot_load(&w->files, &w->target, &w->cpu, &w->e), -EINVAL);
	make_addresses(w, 0x1000 + MB_AT, 0x1000, 0, 0, 0x1040); /* below 1 MiB */
	assert_int_equal(boot_load(&w->files, &w->target, &w->cpu, &w->e), -EINVAL);
}

static void test_multiboot_prefixes(void **state)
{
	struct world *w = *state;

	make_elf32(w);
	for (uint64_t n = 0; n < MB_BYTES; n++) {
		uint8_t *cut = malloc(n + 1);
		assert_non_null(cut);
		memcpy(cut, w->kernel, n);
		w->files.kernel = (struct boot_bytes){ cut, n };
		assert_true(boot_load(&w->files, &w->target, &w->cpu, &w->e) < 0);
		free(cut);
	}
}

static void test_multiboot_absurd(void **state)
{
	static const uint32_t values[] = { 0, 1, 0xffff, 0x7fffffff, 0xfffff000, 0xffffffff };
	struct world *w = *state;

	for (unsigned off = 16; off < 0x80 + sizeof(Elf32_Phdr); off++) {
		for (unsigned i = 0; i < HV_ARRAY_LEN(values); i++) {
			make_elf32(w);
			put(w->kernel, off, 4, values[i]);
			if (boot_load(&w->files, &w->target, &w->cpu, &w->e) == 0)
				assert_true(w->cpu.rip >= HV_MIB(1) && w->cpu.rip < RAM_END);
		}
	}
}

/* ---- the block that keeps the files ---- */

static int memfd_with(const void *p, size_t n)
{
	const int fd = memfd_create("boot", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), n);
	return fd;
}

static void test_store(void **state)
{
	struct world *w = *state;
	struct boot b = { 0 };
	struct boot_files f;
	auto_close int kernel = memfd_with("kernel", 6), initrd = memfd_with("initrd!", 7);
	auto_close int empty = memfd_with("", 0);

	assert_int_equal(boot_store(&b, w->mem, empty, "empty", -1, NULL, NULL, &w->e), -EINVAL);
	assert_string_equal(w->e.msg, "cannot use 'empty': it is empty");
	assert_ok(boot_store(&b, w->mem, kernel, "k", initrd, "i", "a b", &w->e), &w->e);
	assert_ok(boot_stored(&b, &f, &w->e), &w->e);
	assert_int_equal(f.kernel.n, 6);
	assert_memory_equal(f.kernel.p, "kernel", 6);
	assert_int_equal(f.initrd.n, 7);
	assert_memory_equal(f.initrd.p, "initrd!", 7);
	assert_string_equal(f.cmdline, "a b");
	/* What a state file may hold. */
	put(hv_ram_host(b.store), 8, 8, UINT64_MAX);
	assert_int_equal(boot_stored(&b, &f, &w->e), -EINVAL);
	put(hv_ram_host(b.store), 8, 8, 6);
	put(hv_ram_host(b.store), 16, 8, UINT64_MAX - 5);
	assert_int_equal(boot_stored(&b, &f, &w->e), -EINVAL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_linux64),
		T(test_linux32),
		T(test_linux_moves),
		T(test_linux_prefixes),
		T(test_linux_absurd),
		T(test_linux_no_room),
		T(test_linux_spares_tables),
		T(test_multiboot),
		T(test_multiboot_elf64),
		T(test_multiboot_addresses),
		T(test_multiboot_prefixes),
		T(test_multiboot_absurd),
		T(test_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
