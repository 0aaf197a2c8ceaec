/*
 * The display in the machine, under the null engine: where it is, what memory shows of it, what a
 * kernel given directly finds, and that it is the same after a saved state.
 */
#include "ctest.h"
#include <stdio.h>
#include <sys/mman.h>
#include "devmodel/display/vga.h"
#include "devmodel/machine/machine.h"

#define FONT_AT 0x1230 /* in the VGA BIOS */

struct world {
	struct loop *loop;
	struct machine *m;
	struct machine_config config;
	struct machine_backends back;
	struct disp_picture p;
	struct err e;
	uint32_t kernel[32];
	int kernel_fd, bios_fd;
};

static void on_event(void *ctx, const struct machine_event *ev)
{
	(void)ctx;
	assert_true(ev->kind == MACHINE_RESET || ev->kind == MACHINE_SLEEPING);
}

/* A multiboot kernel; flags and mode as its header's video fields. */
static void make_kernel(struct world *w, uint32_t flags, uint32_t width, uint32_t height,
			uint32_t depth)
{
	const uint32_t k[32] = { 0x1badb002, flags,    -(0x1badb002 + flags),
				 0x100000,   0x100000, 0,
				 0,	     0x100030, 0,
				 width,	     height,   depth };

	assert_int_equal(pwrite(w->kernel_fd, k, sizeof(k), 0), sizeof(k));
}

/* Only the beginning of a font: a blank, the face, and a pattern of ours. */
static int make_bios(void)
{
	static const uint8_t face[16] = { 0,	0,    0x7e, 0x81, 0xa5, 0x81, 0x81, 0xbd,
					  0x99, 0x81, 0x81, 0x7e, 0,	0,    0,    0 };
	const int fd = memfd_create("vgabios", MFD_CLOEXEC);
	uint8_t rom[0x9000] = { 0x55, 0xaa };

	assert_true(fd >= 0);
	memset(rom + 0x100, 0xff, FONT_AT - 0x100);
	memcpy(rom + FONT_AT + 16, face, sizeof(face));
	for (unsigned i = 32; i < 4096; i++)
		rom[FONT_AT + i] = (uint8_t)(i * 11);
	assert_int_equal(write(fd, rom, sizeof(rom)), sizeof(rom));
	return fd;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_ok(loop_create(&w->loop, &w->e), &w->e);
	w->kernel_fd = memfd_create("kernel", MFD_CLOEXEC);
	w->bios_fd = make_bios();
	w->p.pixels = calloc(DISP_MAX_WIDTH * DISP_MAX_HEIGHT, 4);
	assert_true(w->kernel_fd >= 0 && w->p.pixels != NULL);
	make_kernel(w, 0x10000, 0, 0, 0);
	w->back.loop = w->loop;
	w->config = (struct machine_config){ .type = "pc-1",
					     .engine = "null",
					     .cpu_model = "x86-64-v2",
					     .n_cpus = 1,
					     .ram_bytes = HV_MIB(16),
					     .trace_fd = -1,
					     .perf_map_fd = -1,
					     .digest_fd = -1,
					     .display = MACHINE_DISPLAY_VGA,
					     .vga_bios = "vgabios",
					     .vga_bios_fd = w->bios_fd,
					     .kernel = "kernel",
					     .append = "a=b",
					     .kernel_fd = w->kernel_fd,
					     .initrd_fd = -1,
					     .state_fd = -1 };
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	machine_destroy(w->m);
	loop_destroy(w->loop);
	close(w->kernel_fd);
	close(w->bios_fd);
	free(w->p.pixels);
	free(w);
	return 0;
}

static void create(struct world *w)
{
	machine_destroy(w->m);
	w->m = NULL;
	assert_ok(machine_create(&w->config, &w->back, on_event, w, &w->m, &w->e), &w->e);
}

static struct hv_mem *mem(struct world *w)
{
	return machine_vm(w->m)->mem;
}

static void out8(struct world *w, uint16_t port, unsigned v)
{
	hv_pio_write(machine_vm(w->m)->pio, port, 1, v);
}

static void out16(struct world *w, uint16_t port, unsigned v)
{
	hv_pio_write(machine_vm(w->m)->pio, port, 2, v);
}

static uint32_t cfg(struct world *w, unsigned off, const uint32_t *v)
{
	hv_pio_write(machine_vm(w->m)->pio, 0xcf8, 4, 0x80000800 | off);
	if (v != NULL)
		hv_pio_write(machine_vm(w->m)->pio, 0xcfc, 4, *v);
	return hv_pio_read(machine_vm(w->m)->pio, 0xcfc, 4);
}

static void draw(struct world *w)
{
	assert_true(machine_draw(w->m, &w->p, false));
}

static enum hv_map_kind kind_at(struct world *w, uint64_t gpa)
{
	struct hv_mem_slice s;

	hv_mem_find(mem(w), gpa, &s);
	return s.kind;
}

/* A multiboot program: text, with the ROM's font, in white on black. */
static void test_text_start(void **state)
{
	struct world *w = *state;
	struct disp_text t;

	create(w);
	draw(w);
	assert_int_equal(w->p.width, 720);
	assert_int_equal(w->p.height, 400);
	assert_int_equal(w->p.pixels[0], 0);
	assert_int_equal(hv_mem_io_read(mem(w), 0xb8000, 2), 0x0720);
	assert_int_equal(hv_mem_io_read(mem(w), 0x449, 1), 3); /* BIOS data area */
	assert_int_equal(hv_mem_io_read(mem(w), 0x44a, 2), 80);
	hv_mem_io_write(mem(w), 0xb8000, 2, 0x0e01);
	draw(w);
	for (unsigned i = 0; i < 16 * 9; i++) {
		const unsigned y = i / 9, x = i % 9;
		const bool dot = x < 8 && (y == 2 || y == 11 ? 0x7e
					   : y == 4
						   ? 0xa5
						   : 0) >> (7 - x) &
						  1;
		if (y < 3 || y == 4 || y == 11)
			assert_int_equal(w->p.pixels[y * 720 + x], dot ? 0xffff55 : 0);
	}
	assert_true(machine_text(w->m, &t));
	assert_int_equal(t.cell[0][0], 1);
	assert_int_equal(t.columns * t.lines, 2000);
	/* What the kernel is told: bit 12, text at 0xb8000. */
	assert_true(hv_mem_io_read(mem(w), 0x7000, 4) & 0x1000);
	assert_int_equal(hv_mem_io_read(mem(w), 0x7000 + 88, 8), 0xb8000);
	assert_int_equal(hv_mem_io_read(mem(w), 0x7000 + 109, 1), 2);
}

static void test_pixels_start(void **state)
{
	static const struct {
		uint32_t width, height, depth, got_width, got_height, got_depth;
	} modes[] = { { 800, 600, 16, 800, 600, 16 },
		      { 0, 0, 0, 1024, 768, 32 },
		      { 100000, 600, 24, 1024, 768, 24 },
		      { 640, 480, 8, 640, 480, 32 } };
	struct world *w = *state;

	for (size_t i = 0; i < HV_ARRAY_LEN(modes); i++) {
		make_kernel(w, 0x10004, modes[i].width, modes[i].height, modes[i].depth);
		create(w);
		draw(w);
		assert_int_equal(w->p.width, modes[i].got_width);
		assert_int_equal(w->p.height, modes[i].got_height);
		const uint64_t lfb = hv_mem_io_read(mem(w), 0x7000 + 88, 8);
		assert_int_equal(lfb, cfg(w, PCI_BAR0, NULL) & ~15u);
		assert_int_equal(hv_mem_io_read(mem(w), 0x7000 + 108, 1), modes[i].got_depth);
		assert_int_equal(hv_mem_io_read(mem(w), 0x7000 + 96, 4),
				 modes[i].got_width * ((modes[i].got_depth + 7) / 8));
		hv_mem_io_write(mem(w), lfb, 4, 0xffffffff);
		draw(w);
		assert_int_equal(w->p.n_rects, 1);
		assert_int_equal(w->p.rect[0].height, 1);
		assert_int_equal(w->p.pixels[0] & 0xffffff, 0xffffff);
	}
}

/* BAR 0 is memory wherever it is put, the ROM shows the file, the window is memory in mode 13h. */
static void test_map(void **state)
{
	struct world *w = *state;
	const uint32_t bar = 0xd0000000, rom = 0xd8000001, off = 0;

	create(w);
	assert_int_equal(cfg(w, 0, NULL), 0x11111234);
	cfg(w, PCI_BAR0, &bar);
	assert_int_equal(kind_at(w, bar), HV_MAP_RAM);
	assert_int_equal(kind_at(w, bar + VGA_VRAM_BYTES - 1), HV_MAP_RAM);
	assert_int_equal(kind_at(w, rom - 1), HV_MAP_HOLE);
	cfg(w, PCI_ROM, &rom);
	assert_int_equal(kind_at(w, rom - 1), HV_MAP_ROM);
	assert_int_equal(hv_mem_io_read(mem(w), rom - 1, 2), 0xaa55);
	hv_mem_io_write(mem(w), rom - 1, 2, 0);
	assert_int_equal(hv_mem_io_read(mem(w), rom - 1, 2), 0xaa55);
	cfg(w, PCI_ROM, &off);
	assert_int_equal(kind_at(w, rom - 1), HV_MAP_HOLE);
	assert_int_equal(kind_at(w, 0xa0000), HV_MAP_IO);
	out16(w, 0x3c4, 0x0e04);
	out16(w, 0x3c4, 0x0f02);
	out16(w, 0x3ce, 0x4005);
	out16(w, 0x3ce, 0x0506);
	assert_int_equal(kind_at(w, 0xa0000), HV_MAP_RAM);
	assert_int_equal(kind_at(w, 0xb0000), HV_MAP_IO);
	hv_mem_io_write(mem(w), 0xa1234, 4, 0x11223344);
	assert_int_equal(hv_mem_io_read(mem(w), bar + 0x1234, 4), 0x11223344);
	out16(w, 0x3ce, 0x4105); /* write mode 1 */
	assert_int_equal(kind_at(w, 0xa0000), HV_MAP_IO);
}

static void save_to(struct world *w, int fd)
{
	assert_ok(machine_save(w->m, fd, &w->e), &w->e);
	w->config.state_fd = fd;
}

static void test_saved(void **state)
{
	struct world *w = *state;
	auto_close int a = memfd_create("a", MFD_CLOEXEC);
	uint32_t *was;

	create(w);
	for (unsigned i = 0; i < 4000; i += 2)
		hv_mem_io_write(mem(w), 0xb8000 + i, 2, i * 37 & 0x7fff);
	draw(w);
	was = malloc(720 * 400 * 4);
	assert_non_null(was);
	memcpy(was, w->p.pixels, 720 * 400 * 4);
	save_to(w, a);
	w->config.display = MACHINE_DISPLAY_NONE; /* the file knows better */
	w->config.vga_bios = NULL;
	create(w);
	w->p.width = 0;
	draw(w);
	assert_int_equal(w->p.n_rects, 1);
	assert_int_equal(w->p.width, 720);
	assert_memory_equal(w->p.pixels, was, 720 * 400 * 4);
	free(was);
	assert_ok(machine_run(w->m, &w->e), &w->e);
	assert_ok(machine_pause(w->m, &w->e), &w->e);
	assert_int_equal(hv_mem_io_read(mem(w), cfg(w, PCI_BAR0, NULL) & ~15u, 1), 0);
	machine_reset(w->m); /* finds the font again */
	hv_mem_io_write(mem(w), 0xb8000, 2, 0x0f01);
	draw(w);
	assert_int_equal(w->p.pixels[2 * 720 + 1], 0xffffff);
}

static void told(void *ctx)
{
	++*(unsigned *)ctx;
}

/* What is written after a draw is told, once: to memory, by a device, to a register. */
static void test_watched(void **state)
{
	struct world *w = *state;
	unsigned n = 0;

	create(w);
	draw(w);
	assert_false(w->p.told);
	machine_watch_screen(w->m, told, &n);
	const uint64_t bar = cfg(w, PCI_BAR0, NULL) & ~15u;
	hv_mem_io_write(mem(w), bar + 0x5000, 4, 1);
	assert_int_equal(n, 0); /* nobody has drawn since */
	draw(w);
	assert_true(w->p.told);
	assert_int_equal(n, 0);
	assert_ok(hv_mem_write(mem(w), bar + 0x2000, "x", 1), &w->e);
	assert_int_equal(n, 1);
	hv_mem_io_write(mem(w), 0xb8000, 2, 0x0741);
	assert_int_equal(n, 1);
	draw(w);
	hv_mem_io_write(mem(w), 0xb8000, 2, 0x0742);
	assert_int_equal(n, 2);
	draw(w);
	out16(w, 0x3d4, 0x050f);
	out16(w, 0x3d4, 0x060f);
	assert_int_equal(n, 3);
	draw(w);
	assert_int_equal(n, 3);
}

static uint32_t other_cfg(struct world *w, uint32_t address, const uint32_t *v)
{
	hv_pio_write(machine_vm(w->m)->pio, 0xcf8, 4, address);
	if (v != NULL)
		hv_pio_write(machine_vm(w->m)->pio, 0xcfc, 4, *v);
	return hv_pio_read(machine_vm(w->m)->pio, 0xcfc, 4);
}

/* S3 of a machine with firmware: the screen and the memory that it shadowed stay as they are, and
 * the CMOS says what the reset is for; the rest, such as the bridge with the ISA bus, is reset. */
static void test_sleep(void **state)
{
	const uint32_t pm = 0x601, on = 0x80, pam = 0x33333330;
	struct world *w = *state;

	w->config.kernel = NULL;
	create(w);
	out8(w, 0x3c2, 0x67);
	out16(w, 0x1ce, 1);
	out16(w, 0x1cf, 800);
	other_cfg(w, 0x80000090, &pam);
	other_cfg(w, 0x8000f840, &pm);
	other_cfg(w, 0x8000f844, &on);
	assert_ok(machine_run(w->m, &w->e), &w->e);
	out16(w, 0x604, 5 << 10 | 1 << 13);
	loop_dispatch(w->loop, 0);
	assert_true(machine_asleep(w->m));
	machine_wake(w->m);
	assert_false(machine_asleep(w->m));
	assert_int_equal(hv_pio_read(machine_vm(w->m)->pio, 0x3cc, 1), 0x67);
	assert_int_equal(hv_pio_read(machine_vm(w->m)->pio, 0x1cf, 2), 800);
	assert_int_equal(other_cfg(w, 0x80000090, NULL), pam);
	assert_int_not_equal(other_cfg(w, 0x8000f840, NULL), pm);
	out8(w, 0x70, 0x0f);
	assert_int_equal(hv_pio_read(machine_vm(w->m)->pio, 0x71, 1), 0xfe);
}

/* As earlier versions saved: it stays a machine without. */
static void test_saved_without(void **state)
{
	struct world *w = *state;
	auto_close int a = memfd_create("a", MFD_CLOEXEC);

	w->config.display = MACHINE_DISPLAY_NONE;
	create(w);
	assert_false(machine_draw(w->m, &w->p, false));
	assert_int_equal(cfg(w, 0, NULL), 0xffffffff);
	save_to(w, a);
	w->config.display = MACHINE_DISPLAY_VGA;
	create(w);
	assert_false(machine_draw(w->m, &w->p, false));
	assert_int_equal(cfg(w, 0, NULL), 0xffffffff);
	assert_int_equal(kind_at(w, 0xb8000), HV_MAP_HOLE);
	machine_reset(w->m);
}

/* The ROM is not there, or is none. */
static void test_bios(void **state)
{
	struct world *w = *state;

	w->config.vga_bios = NULL;
	create(w);
	draw(w);
	assert_int_equal(w->p.width, 720);
	w->config.vga_bios = "vgabios";
	assert_int_equal(ftruncate(w->bios_fd, 0x10001), 0);
	machine_destroy(w->m);
	w->m = NULL;
	assert_int_equal(machine_create(&w->config, &w->back, on_event, w, &w->m, &w->e), -EINVAL);
	assert_non_null(strstr(w->e.msg, "64 KiB"));
	assert_int_equal(ftruncate(w->bios_fd, 0), 0);
	assert_int_equal(machine_create(&w->config, &w->back, on_event, w, &w->m, &w->e), -EINVAL);
}

/* Writing costs nothing more when nobody has drawn for a while. */
static void test_viewer(void **state)
{
	struct world *w = *state;
	struct hv_ram *vram = NULL;

	create(w);
	for (unsigned i = 0; hv_mem_ram(mem(w), i) != NULL; i++)
		if (strcmp(hv_ram_name(hv_mem_ram(mem(w), i)), "vram") == 0)
			vram = hv_mem_ram(mem(w), i);
	assert_non_null(vram);
	assert_false(hv_ram_dirty_on(vram));
	draw(w);
	assert_true(hv_ram_dirty_on(vram));
	out8(w, 0x3c0, 0); /* off: black */
	(void)hv_pio_read(machine_vm(w->m)->pio, 0x3da, 1);
	out8(w, 0x3c0, 0);
	draw(w);
	assert_true(w->p.blank);
	assert_false(machine_text(w->m, &(struct disp_text){ 0 }));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_text_start), T(test_pixels_start),  T(test_map),
		T(test_saved),	    T(test_saved_without), T(test_bios),
		T(test_viewer),	    T(test_sleep),	   T(test_watched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
