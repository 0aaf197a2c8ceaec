/* The machine as a whole under the null engine: what it is made of, its life, its saved states. */
#include "ctest.h"
#include <stdio.h>
#include <sys/mman.h>
#include "devmodel/machine/env.h"
#include "devmodel/machine/machine.h"
#include "state/container.h"

#define RAM_MIB 16
#define EXIT_PORT 0x501

struct world {
	struct loop *loop;
	struct machine *m;
	struct machine_config config;
	struct machine_backends back;
	struct err e;
	unsigned events[8]; /* by kind */
	uint32_t arg;
	int kernel_fd;
};

static void on_event(void *ctx, const struct machine_event *ev)
{
	struct world *w = ctx;

	w->events[ev->kind]++;
	w->arg = ev->arg;
}

/* A multiboot kernel that does nothing: the null engine would not run it anyway. */
static int make_kernel(void)
{
	static const uint32_t kernel[32] = { 0x1badb002, 0x10000, 0xe4514ffe, 0x100000,
					     0x100000,	 0,	  0,	      0x100020 };
	const int fd = memfd_create("kernel", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, kernel, sizeof(kernel)), sizeof(kernel));
	return fd;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_ok(loop_create(&w->loop, &w->e), &w->e);
	w->kernel_fd = make_kernel();
	w->back.loop = w->loop;
	w->config = (struct machine_config){ .type = "pc-1",
					     .engine = "null",
					     .cpu_model = "x86-64-v2",
					     .n_cpus = 2,
					     .ram_bytes = HV_MIB(RAM_MIB),
					     .trace_fd = -1,
					     .perf_map_fd = -1,
					     .debug_exit_port = EXIT_PORT,
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
	for (unsigned i = 0; i < MACHINE_MAX_DISKS; i++)
		blk_close(w->back.disk[i].blk);
	loop_destroy(w->loop);
	close(w->kernel_fd);
	free(w);
	return 0;
}

static void create(struct world *w)
{
	assert_ok(machine_create(&w->config, &w->back, on_event, w, &w->m, &w->e), &w->e);
}

static struct hv_pio *pio(struct world *w)
{
	return machine_vm(w->m)->pio;
}

static struct hv_mem *mem(struct world *w)
{
	return machine_vm(w->m)->mem;
}

static uint32_t cfg_read(struct world *w, unsigned slot, unsigned off)
{
	hv_pio_write(pio(w), 0xcf8, 4, 0x80000000 | slot << 11 | off);
	return hv_pio_read(pio(w), 0xcfc, 4);
}

static void cfg_write8(struct world *w, unsigned slot, unsigned off, uint8_t v)
{
	hv_pio_write(pio(w), 0xcf8, 4, 0x80000000 | slot << 11 | (off & ~3u));
	hv_pio_write(pio(w), (uint16_t)(0xcfc + (off & 3)), 1, v);
}

static void dispatch(struct world *w)
{
	for (unsigned i = 0; i < 10; i++)
		loop_dispatch(w->loop, 0);
}

/* ---- a device whose last I/O ends while it is destroyed ---- */

struct poster {
	struct dev dev;
	struct dev_work work;
};

static unsigned n_queued;

static void poster_work(struct dev *d, struct dev_work *w)
{
	(void)d, (void)w;
	fail_msg("work of a device that is gone");
}

static int poster_realize(struct dev *d, struct err *e)
{
	(void)e;
	((struct poster *)d)->work = (struct dev_work){ .fn = poster_work, .dev = d };
	return 0;
}

static void poster_unrealize(struct dev *d)
{
	struct poster *p = (struct poster *)d;

	dev_post(&p->work);
	n_queued += p->work.priv != NULL;
}

static void poster_reset(struct dev *d)
{
	(void)d;
}

static const struct dev_class poster = {
	.name = "poster",
	.size = sizeof(struct poster),
	.realize = poster_realize,
	.unrealize = poster_unrealize,
	.reset = poster_reset,
};

static void test_post_at_end(void **state)
{
	static struct env env;
	struct world *w = *state;
	struct hv_domain domain;

	hv_domain_init(&domain, "test");
	env.loop = w->loop;
	assert_ok(hv_mem_create(&env.mem, &w->e), &w->e);
	assert_ok(hv_pio_create(&env.pio, &w->e), &w->e);
	env_init(&env);
	for (unsigned i = 0; i < 2; i++)
		assert_ok(env_add(&env, &poster, i == 0 ? "old" : "young", &domain, 0, NULL, NULL,
				  &w->e),
			  &w->e);
	env_finish(&env); /* the young one goes first: nothing may lead to it then */
	assert_int_equal(n_queued, 0);
	dispatch(w);
	hv_pio_destroy(env.pio);
	hv_mem_destroy(env.mem);
	hv_domain_finish(&domain);
}

static void test_config(void **state)
{
	struct world *w = *state;
	static const struct {
		const char *type, *engine, *model;
		unsigned cpus;
		uint64_t ram;
	} bad[] = {
		{ "pc-2", "null", "x86-64-v2", 1, HV_MIB(16) },
		{ "pc-1", "hyper", "x86-64-v2", 1, HV_MIB(16) },
		{ "pc-1", "null", "i386", 1, HV_MIB(16) },
		{ "pc-1", "null", "x86-64-v2", 0, HV_MIB(16) },
		{ "pc-1", "null", "x86-64-v2", 65, HV_MIB(16) },
		{ "pc-1", "null", "x86-64-v2", 1, 0 },
		{ "pc-1", "null", "x86-64-v2", 1, HV_MIB(16) + 1 },
		{ "pc-1", "null", "x86-64-v2", 1, UINT64_MAX & ~0xfffffull },
		{ "pc-1", "null", "x86-64-v2", 1, HV_MIB(1) }, /* no room for a kernel */
	};

	for (unsigned i = 0; i < HV_ARRAY_LEN(bad); i++) {
		struct machine_config c = w->config;
		c.type = bad[i].type;
		c.engine = bad[i].engine;
		c.cpu_model = bad[i].model;
		c.n_cpus = bad[i].cpus;
		c.ram_bytes = bad[i].ram;
		w->e.msg[0] = '\0';
		assert_true(machine_create(&c, &w->back, on_event, w, &w->m, &w->e) < 0);
		assert_true(w->e.msg[0] != '\0');
		assert_null(w->m);
	}
	w->config.kernel = NULL; /* nothing to boot is fine */
	w->config.ram_bytes = HV_MIB(1);
	create(w);
}

static void test_pci(void **state)
{
	struct world *w = *state;

	create(w);
	assert_int_equal(cfg_read(w, 0, 0), 0x29c08086);
	assert_int_equal(cfg_read(w, 0, 0x2c), 0x11001af4);
	assert_int_equal(cfg_read(w, 31, 0), 0x29188086);
	assert_int_equal(cfg_read(w, 2, 0), 0x10441af4);
	assert_int_equal(cfg_read(w, 9, 0), 0xffffffff);
	/* By memory, too; and 0xCF9 is not part of the address. */
	assert_int_equal(hv_mem_io_read(mem(w), 0xb0000000 + (31 << 15), 4), 0x29188086);
	assert_int_equal(hv_mem_io_read(mem(w), 0xb0000000 + (9 << 15), 4), 0xffffffff);
	assert_int_equal(hv_mem_io_read(mem(w), 0xb0000100, 4), 0xffffffff);
	hv_pio_write(pio(w), 0xcf8, 4, 0x80000008);
	hv_pio_write(pio(w), 0xcf9, 1, 2);
	assert_int_equal(hv_pio_read(pio(w), 0xcf8, 4), 0x80000008);
	assert_int_equal(hv_pio_read(pio(w), 0xcf9, 1), 2);
	/* The entropy device's BARs answer where they were put, and nowhere once memory is off. */
	const uint64_t common = cfg_read(w, 2, 0x20) & ~15u;
	assert_int_equal(hv_mem_io_read(mem(w), common + 0x12, 2), 1);
	cfg_write8(w, 2, 4, 0);
	assert_int_equal(hv_mem_io_read(mem(w), common + 0x12, 2), 0xffff);
}

/* The register of the memory, set anew through that memory as SeaBIOS does; by the ports it is off
 * when that is written. */
static void test_pci_memory_moves(void **state)
{
	struct world *w = *state;
	const uint64_t lpc = 31 << 15;

	create(w);
	hv_mem_io_write(mem(w), 0xb0000060, 4, 0);
	hv_mem_io_write(mem(w), 0xb0000064, 4, 0);
	hv_mem_io_write(mem(w), 0xb0000060, 4, 0xb0000001);
	assert_int_equal(hv_mem_io_read(mem(w), 0xb0000000 + lpc, 4), 0x29188086);
	hv_mem_io_write(mem(w), 0xb0000060, 4, 0xd0000001);
	assert_int_equal(hv_mem_io_read(mem(w), 0xb0000000 + lpc, 4), 0xffffffff);
	assert_int_equal(hv_mem_io_read(mem(w), 0xd0000000 + lpc, 4), 0x29188086);
	cfg_write8(w, 0, 0x60, 0);
	assert_int_equal(hv_mem_io_read(mem(w), 0xd0000000 + lpc, 4), 0xffffffff);
}

static uint8_t rtc_hour(struct world *w)
{
	hv_pio_write(pio(w), 0x70, 1, 4);
	const uint8_t v = (uint8_t)hv_pio_read(pio(w), 0x71, 1);

	return (uint8_t)((v >> 4) * 10 + (v & 15));
}

/* Five hours ahead of UTC; the hour may end between the two readings. */
static void test_rtc_local(void **state)
{
	struct world *w = *state;
	unsigned ahead = 0;

	setenv("TZ", "TEST-5", 1);
	tzset();
	for (unsigned i = 0; i < 2 && ahead != 5; i++) {
		w->config.rtc_local = false;
		create(w);
		const unsigned utc = rtc_hour(w);
		machine_destroy(w->m);
		w->m = NULL;
		w->config.rtc_local = true;
		create(w);
		ahead = (rtc_hour(w) + 24 - utc) % 24;
		machine_destroy(w->m);
		w->m = NULL;
	}
	unsetenv("TZ");
	assert_int_equal(ahead, 5);
}

static void test_pam(void **state)
{
	struct world *w = *state;
	uint32_t v = 0x12345678;

	create(w);
	assert_ok(hv_mem_write(mem(w), 0xf8000, &v, 4), &w->e);
	cfg_write8(w, 0, 0x90, 0x10); /* read only */
	assert_int_equal(hv_mem_write(mem(w), 0xf8000, &(uint32_t){ 1 }, 4), -EFAULT);
	hv_mem_io_write(mem(w), 0xf8000, 4, 1);
	assert_int_equal(hv_mem_io_read(mem(w), 0xf8000, 4), 0x12345678);
	cfg_write8(w, 0, 0x90, 0x20); /* write only */
	assert_int_equal(hv_mem_io_read(mem(w), 0xf8000, 4), 0xffffffff);
	struct hv_ram *ram = hv_mem_ram(mem(w), 0);
	uint64_t word;
	assert_ok(hv_ram_dirty_start(ram, &w->e), &w->e);
	hv_mem_io_write(mem(w), 0xf8000, 4, 0xabcd);
	hv_ram_dirty_take(ram, 0xf8 / 64, 1, &word); /* what lies hidden is written all the same */
	assert_true(word >> 0xf8 % 64 & 1);
	hv_ram_dirty_stop(ram);
	cfg_write8(w, 0, 0x90, 0x00); /* neither */
	assert_int_equal(hv_mem_io_read(mem(w), 0xf8000, 4), 0xffffffff);
	hv_mem_io_write(mem(w), 0xf8000, 4, 0x1111);
	cfg_write8(w, 0, 0x90, 0x30);
	assert_int_equal(hv_mem_io_read(mem(w), 0xf8000, 4), 0xabcd);
	assert_int_equal(hv_mem_io_read(mem(w), 0xa0000, 4), 0xffffffff);
}

/* Each segment of the BIOS area switches alone. */
static void test_pam_segments(void **state)
{
	struct world *w = *state;

	create(w);
	for (unsigned seg = 0; seg < 12; seg++) {
		const uint64_t gpa = 0xc0000 + seg * 0x4000;
		cfg_write8(w, 0, 0x91 + seg / 2, seg % 2 ? 0x03 : 0x30);
		for (unsigned other = 0; other < 12; other++)
			assert_int_equal(hv_mem_host(mem(w), 0xc0000 + other * 0x4000, 1, true) !=
						 NULL,
					 other != seg);
		assert_null(hv_mem_host(mem(w), gpa, 1, true));
		cfg_write8(w, 0, 0x91 + seg / 2, 0x33);
	}
}

static void test_requests(void **state)
{
	struct world *w = *state;

	create(w);
	assert_ok(machine_run(w->m, &w->e), &w->e);
	assert_true(machine_running(w->m));
	hv_pio_write(pio(w), 0xcf9, 1, 6);
	dispatch(w);
	assert_int_equal(w->events[MACHINE_RESET], 1);
	assert_true(machine_running(w->m));
	hv_pio_write(pio(w), 0x604, 2, 5 << 10 | 1 << 13); /* S3 */
	dispatch(w);
	assert_int_equal(w->events[MACHINE_SLEEPING], 1);
	hv_mem_io_write(mem(w), HV_MIB(RAM_MIB) - HV_KIB(128) + 12, 4, 0x9a000);
	machine_wake(w->m);
	assert_int_equal(w->events[MACHINE_FAILED], 0);
	hv_pio_write(pio(w), 0x604, 2, 7 << 10 | 1 << 13); /* S5 */
	dispatch(w);
	assert_int_equal(w->events[MACHINE_POWERED_OFF], 1);
	assert_false(machine_running(w->m));
	assert_ok(machine_run(w->m, &w->e), &w->e);
	hv_pio_write(pio(w), EXIT_PORT, 1, 42);
	dispatch(w);
	assert_int_equal(w->events[MACHINE_DEBUG_EXIT], 1);
	assert_int_equal(w->arg, 42);
	assert_false(machine_running(w->m));
}

/* Asleep without a word where to wake up: the machine says that it failed. */
static void test_bad_wake(void **state)
{
	struct world *w = *state;

	create(w);
	assert_ok(machine_run(w->m, &w->e), &w->e);
	hv_pio_write(pio(w), 0x604, 2, 5 << 10 | 1 << 13);
	dispatch(w);
	machine_wake(w->m);
	assert_int_equal(w->events[MACHINE_FAILED], 1);
	assert_false(machine_running(w->m));
}

/* ---- firmware configuration ---- */

static void fw_select(struct world *w, uint16_t key)
{
	hv_pio_write(pio(w), 0x510, 2, key);
}

static uint32_t fw_be32(struct world *w)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < 4; i++)
		v = v << 8 | hv_pio_read(pio(w), 0x511, 1);
	return v;
}

/* The key of a file; 0: there is none. */
static uint16_t fw_find(struct world *w, const char *name, uint32_t *ret_bytes)
{
	fw_select(w, 0x19);
	for (uint32_t n = fw_be32(w); n > 0; n--) {
		char file[57] = "";
		*ret_bytes = fw_be32(w);
		const uint16_t key = (uint16_t)(fw_be32(w) >> 16);
		for (unsigned i = 0; i < 56; i++)
			file[i] = (char)hv_pio_read(pio(w), 0x511, 1);
		if (strcmp(file, name) == 0)
			return key;
	}
	return 0;
}

static uint32_t fw_dma(struct world *w, uint32_t control, uint32_t bytes, uint64_t gpa)
{
	const uint64_t at = 0x8000;
	uint32_t d[4] = { __builtin_bswap32(control), __builtin_bswap32(bytes),
			  __builtin_bswap32((uint32_t)(gpa >> 32)),
			  __builtin_bswap32((uint32_t)gpa) };

	assert_int_equal(hv_mem_write(mem(w), at, d, sizeof(d)), 0);
	hv_pio_write(pio(w), 0x514, 4, 0);
	hv_pio_write(pio(w), 0x518, 4, __builtin_bswap32((uint32_t)at));
	assert_int_equal(hv_mem_read(mem(w), at, d, 4), 0);
	return __builtin_bswap32(d[0]);
}

static void test_fwcfg(void **state)
{
	struct world *w = *state;
	uint32_t bytes;
	uint8_t buf[64];

	create(w);
	fw_select(w, 0);
	assert_int_equal(fw_be32(w), 0x51454d55); /* QEMU */
	assert_int_equal(fw_be32(w), 0);	  /* past the end */
	assert_int_equal(hv_pio_read(pio(w), 0x514, 4), 0x554d4551);
	fw_select(w, 5);
	assert_int_equal(hv_pio_read(pio(w), 0x511, 1), 2);
	fw_select(w, 0x7777);
	assert_int_equal(fw_be32(w), 0);
	const uint16_t e820 = fw_find(w, "etc/e820", &bytes);
	assert_int_equal(bytes, 40); /* RAM, the generation's page */
	assert_int_equal(fw_dma(w, (uint32_t)e820 << 16 | 8 | 4, 8, 0), 0); /* select, skip */
	assert_int_equal(fw_dma(w, 2, 16, 0x9000), 0);
	assert_int_equal(hv_mem_read(mem(w), 0x9000, buf, 16), 0);
	assert_int_equal(buf[0] | buf[1] << 8 | buf[2] << 16 | buf[3] << 24, HV_MIB(RAM_MIB));
	assert_int_equal(buf[8], 1);
	assert_int_equal(fw_dma(w, (uint32_t)e820 << 16 | 8 | 2, 20, 0x9000), 0);
	assert_int_equal(fw_dma(w, 2, 24, 0x9000), 0);
	assert_int_equal(hv_mem_read(mem(w), 0x9000, buf, 24), 0);
	assert_int_equal(buf[0] | buf[1] << 8 | buf[2] << 16 | (uint32_t)buf[3] << 24, 0xaffff000);
	assert_int_equal(buf[9] << 8 | buf[16] << 16, 0x21000); /* a page, reserved */
	assert_int_equal(buf[20], 0);				/* past the end */
	assert_int_equal(fw_dma(w, 2, 16, 0xfff00000), 1);
	hv_mem_io_write(mem(w), 0xa000, 4, 0xdead);
	assert_int_equal(fw_dma(w, 2, 0xffffffff, 0x9000), 1);
	assert_int_equal(hv_mem_io_read(mem(w), 0xa000, 4), 0xdead); /* refused as a whole */
	assert_int_equal(fw_dma(w, 16, 4, 0x9000), 1);		     /* nothing can be written */
	assert_true(fw_find(w, "etc/table-loader", &bytes) != 0);
	assert_true(bytes > 0 && bytes % 128 == 0);
}

/* ---- saved states ---- */

static void test_saved(void **state)
{
	struct world *w = *state;
	auto_close int a = memfd_create("a", MFD_CLOEXEC), b = memfd_create("b", MFD_CLOEXEC);
	struct state_file *fa, *fb;
	uint32_t v = 0xfeedbeef;

	assert_ok(blk_null_open(HV_MIB(1), &w->back.disk[1].blk, &w->e), &w->e);
	create(w);
	assert_int_equal(hv_mem_write(mem(w), 0x5000, &v, 4), 0);
	cfg_write8(w, 0, 0x92, 0x31);
	assert_null(machine_cannot_save(w->m));
	assert_ok(machine_save(w->m, a, &w->e), &w->e);
	machine_destroy(w->m);
	w->m = NULL;

	w->config.state_fd = a;
	w->config.n_cpus = 7; /* the file knows better */
	w->config.ram_bytes = HV_MIB(64);
	create(w);
	assert_int_equal(machine_vm(w->m)->n_vcpus, 2);
	assert_ok(machine_run(w->m, &w->e), &w->e);
	assert_ok(machine_pause(w->m, &w->e), &w->e);
	assert_int_equal(hv_mem_io_read(mem(w), 0x5000, 4), v);
	assert_int_equal(cfg_read(w, 0, 0x90) >> 16 & 0xff, 0x31);
	assert_null(hv_mem_host(mem(w), 0xc8000, 1, true)); /* as that register says */
	assert_ok(machine_save(w->m, b, &w->e), &w->e);
	assert_ok(state_file_open(a, &fa, &w->e), &w->e);
	assert_ok(state_file_open(b, &fb, &w->e), &w->e);
	assert_int_equal(fa->n_sections, fb->n_sections);
	for (unsigned i = 0; i < fa->n_sections; i++) {
		assert_string_equal(fa->section[i].key, fb->section[i].key);
		assert_int_equal(fa->section[i].len, fb->section[i].len);
	}
	state_file_close(fa);
	state_file_close(fb);
	/* A reset finds the kernel in the state. */
	machine_reset(w->m);
	assert_int_equal(w->events[MACHINE_FAILED], 0);
	assert_int_equal(hv_mem_io_read(mem(w), 0x100000, 4), 0x1badb002);
}

/* ---- the generation ID ---- */

#define GENERATION 0xaffff000ull
#define PM_STATUS 0x622 /* bits 16 to 31 of the events of GPE block 0 */

/* The machine in fd's state, as that generation. */
static void go_on_as(struct world *w, int fd, uint8_t generation)
{
	machine_destroy(w->m);
	w->m = NULL;
	w->config.state_fd = fd;
	memset(w->config.generation, generation, sizeof(w->config.generation));
	create(w);
	for (unsigned i = 0; i < MACHINE_GENERATION_BYTES; i++)
		assert_int_equal(hv_mem_io_read(mem(w), GENERATION + i, 1), generation);
}

static bool told(struct world *w)
{
	const uint32_t status = hv_pio_read(pio(w), PM_STATUS, 2);

	assert_true(status <= 1);
	return status == 1;
}

static void run_and_pause(struct world *w)
{
	assert_ok(machine_run(w->m, &w->e), &w->e);
	assert_ok(machine_pause(w->m, &w->e), &w->e);
}

static void test_generation(void **state)
{
	struct world *w = *state;
	auto_close int a = memfd_create("a", MFD_CLOEXEC), b = memfd_create("b", MFD_CLOEXEC);

	go_on_as(w, -1, 0x11);
	assert_false(told(w));
	hv_mem_io_write(mem(w), GENERATION, 4, 0); /* the guest cannot */
	assert_int_equal(hv_mem_io_read(mem(w), GENERATION, 4), 0x11111111);
	assert_ok(machine_save(w->m, a, &w->e), &w->e);
	go_on_as(w, a, 0x11);
	run_and_pause(w);
	assert_false(told(w));
	go_on_as(w, a, 0x22);
	run_and_pause(w);
	assert_true(told(w));
	/* Whoever saves it before the guest has looked does not keep the news from it. */
	assert_ok(machine_save(w->m, b, &w->e), &w->e);
	go_on_as(w, b, 0x22);
	run_and_pause(w);
	assert_true(told(w));
	hv_pio_write(pio(w), PM_STATUS, 2, 1);
	assert_false(told(w));
	machine_reset(w->m);
	assert_int_equal(hv_mem_io_read(mem(w), GENERATION, 4), 0x22222222);
}

/* The guest's ACPI looks for events when it is awake again. */
static void test_generation_asleep(void **state)
{
	static const uint32_t waking_vector = 0x8000;
	struct world *w = *state;
	auto_close int a = memfd_create("a", MFD_CLOEXEC);

	create(w);
	/* The FACS is the first page of the tables, which are the last 128 KiB. */
	assert_int_equal(hv_mem_write(mem(w), HV_MIB(RAM_MIB) - HV_KIB(128) + 12, &waking_vector,
				      sizeof(waking_vector)),
			 0);
	assert_ok(machine_run(w->m, &w->e), &w->e);
	hv_pio_write(pio(w), 0x604, 2, 5 << 10 | 1 << 13);
	dispatch(w);
	assert_true(machine_asleep(w->m));
	assert_ok(machine_pause(w->m, &w->e), &w->e);
	assert_ok(machine_save(w->m, a, &w->e), &w->e);
	for (uint8_t i = 0; i < 2; i++) {
		go_on_as(w, a, i);
		assert_true(machine_asleep(w->m));
		machine_wake(w->m);
		assert_int_equal(w->events[MACHINE_FAILED], 0);
		assert_int_equal(told(w), i != 0);
	}
}

/* A copy of the file without the page, as states were before there was one. */
static int without_page(struct world *w, int fd)
{
	const int to = memfd_create("old", MFD_CLOEXEC);
	struct state_writer *out;
	struct state_file *f;

	assert_true(to >= 0);
	assert_ok(state_file_open(fd, &f, &w->e), &w->e);
	assert_ok(state_writer_create(to, &out, &w->e), &w->e);
	for (unsigned i = 0; i < f->n_sections; i++)
		assert_ok(state_writer_section(out, f->section[i].key, f->section[i].p,
					       f->section[i].len, &w->e),
			  &w->e);
	for (unsigned i = 0; i < f->n_ram; i++) {
		const struct state_ram *r = &f->ram[i];
		if (strcmp(r->name, "generation") == 0)
			continue;
		void *p = mmap(NULL, r->bytes, PROT_READ, MAP_PRIVATE, fd, (off_t)r->file_off);
		assert_true(p != MAP_FAILED);
		assert_ok(state_writer_ram(out, r->name, p, r->bytes, &w->e), &w->e);
		munmap(p, r->bytes);
	}
	assert_ok(state_writer_finish(out, &w->e), &w->e);
	state_writer_destroy(out);
	state_file_close(f);
	return to;
}

/* Its guest knows of no such event, and finds the page when it is started anew. */
static void test_generation_of_old_state(void **state)
{
	struct world *w = *state;
	auto_close int a = memfd_create("a", MFD_CLOEXEC), old = -1;

	create(w);
	assert_ok(machine_save(w->m, a, &w->e), &w->e);
	old = without_page(w, a);
	go_on_as(w, old, 0x33);
	run_and_pause(w);
	assert_false(told(w));
}

static void ignore_done(struct blk_req *r, int result)
{
	(void)r;
	assert_int_equal(result, 0);
}

static void run_blk(struct blk *b, enum blk_op op, uint64_t off, void *buf, size_t n)
{
	struct blk_req r = { .op = op,
			     .offset = off,
			     .bytes = n,
			     .iov = { { buf, n } },
			     .n_iov = 1,
			     .done = ignore_done };

	b->ops->submit(b, &r);
	b->ops->drain(b);
}

/* What was written to a disk that forgets is in the state. */
static void test_saved_overlay(void **state)
{
	struct world *w = *state;
	auto_close int a = memfd_create("a", MFD_CLOEXEC);
	char path[] = "/tmp/lodge-test-machine-XXXXXX";
	auto_close int disk = mkstemp(path);
	uint8_t buf[512];

	assert_true(disk >= 0);
	assert_int_equal(ftruncate(disk, 200 * 512), 0);
	assert_ok(blk_raw_open(path, false, true, &w->back.disk[0].blk, &w->e), &w->e);
	assert_ok(blk_start(w->back.disk[0].blk, &w->e), &w->e);
	memset(buf, 0x3c, sizeof(buf));
	run_blk(w->back.disk[0].blk, BLK_WRITE, 150 * 512, buf, sizeof(buf));
	create(w);
	assert_ok(machine_save(w->m, a, &w->e), &w->e);
	machine_destroy(w->m);
	w->m = NULL;
	blk_close(w->back.disk[0].blk);
	assert_ok(blk_raw_open(path, false, true, &w->back.disk[0].blk, &w->e), &w->e);
	assert_ok(blk_start(w->back.disk[0].blk, &w->e), &w->e);
	run_blk(w->back.disk[0].blk, BLK_READ, 150 * 512, buf, sizeof(buf));
	assert_int_equal(buf[0], 0);
	w->config.state_fd = a;
	create(w);
	run_blk(w->back.disk[0].blk, BLK_READ, 150 * 512, buf, sizeof(buf));
	assert_int_equal(buf[0], 0x3c);
	assert_int_equal(buf[511], 0x3c);
	run_blk(w->back.disk[0].blk, BLK_READ, 149 * 512, buf, sizeof(buf));
	assert_int_equal(buf[0], 0);
	machine_destroy(w->m);
	w->m = NULL;
	blk_close(w->back.disk[0].blk);
	/* Opened for keeps, the same changes would be mixed into the file: refused. */
	assert_ok(blk_raw_open(path, false, false, &w->back.disk[0].blk, &w->e), &w->e);
	assert_int_equal(machine_create(&w->config, &w->back, on_event, w, &w->m, &w->e), -EINVAL);
	unlink(path);
}

static void test_saved_misfits(void **state)
{
	struct world *w = *state;
	auto_close int a = memfd_create("a", MFD_CLOEXEC);

	assert_ok(blk_null_open(HV_MIB(1), &w->back.disk[0].blk, &w->e), &w->e);
	create(w);
	assert_ok(machine_save(w->m, a, &w->e), &w->e);
	machine_destroy(w->m);
	w->m = NULL;
	blk_close(w->back.disk[0].blk);
	w->back.disk[0].blk = NULL;
	w->config.state_fd = a;
	w->config.state_file = "x.state";
	assert_int_equal(machine_create(&w->config, &w->back, on_event, w, &w->m, &w->e), -EINVAL);
	assert_non_null(strstr(w->e.msg, "x.state"));
	assert_ok(blk_null_open(HV_MIB(2), &w->back.disk[0].blk, &w->e), &w->e);
	assert_int_equal(machine_create(&w->config, &w->back, on_event, w, &w->m, &w->e), -EINVAL);
	assert_int_equal(ftruncate(a, 8192), 0);
	assert_true(machine_create(&w->config, &w->back, on_event, w, &w->m, &w->e) < 0);
	assert_null(w->m);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_config),
		T(test_pci),
		T(test_pci_memory_moves),
		T(test_pam),
		T(test_pam_segments),
		T(test_requests),
		T(test_bad_wake),
		T(test_fwcfg),
		T(test_saved),
		T(test_saved_misfits),
		T(test_saved_overlay),
		T(test_post_at_end),
		T(test_rtc_local),
		T(test_generation),
		T(test_generation_asleep),
		T(test_generation_of_old_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
