/* hv-core/mem: blocks, the map, access, dirty log, listeners; a map that changes under readers. */
#include "ctest.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "mem/mem.h"

#define PAGE HV_PAGE_SIZE

struct fixture {
	struct hv_mem *m;
	struct hv_ram *ram, *rom;
	struct hv_map_range low, bios, io, extra;
	struct hv_mem_listener l;
	/* what the listener and the I/O range saw last */
	uint64_t gpa, bytes, off, len, value;
	unsigned n_changed, n_written, n_dirty, n_io, size;
	bool dirty_on;
};

static uint64_t io_read(void *ctx, uint64_t off, unsigned size)
{
	struct fixture *f = ctx;

	f->n_io++;
	f->off = off;
	f->size = size;
	return 0x8877665544332211ull;
}

static void io_write(void *ctx, uint64_t off, unsigned size, uint64_t v)
{
	struct fixture *f = ctx;

	f->n_io++;
	f->off = off;
	f->size = size;
	f->value = v;
}

static const struct hv_io_ops io_ops = { io_read, io_write };

static void on_changed(void *ctx, uint64_t gpa, uint64_t bytes)
{
	struct fixture *f = ctx;

	f->n_changed++;
	f->gpa = gpa;
	f->bytes = bytes;
}

static void on_written(void *ctx, struct hv_ram *ram, uint64_t off, uint64_t len)
{
	struct fixture *f = ctx;
	(void)ram;

	f->n_written++;
	f->off = off;
	f->len = len;
}

static void on_dirty_log(void *ctx, struct hv_ram *ram, bool on)
{
	struct fixture *f = ctx;
	(void)ram;

	f->n_dirty++;
	f->dirty_on = on;
}

/* RAM at 0 to 16 pages, ROM over page 8, an I/O range of 24 bytes at 20 pages. */
static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err e;

	if (f == NULL || hv_mem_create(&f->m, &e) < 0)
		return -1;
	f->l = (struct hv_mem_listener){ .map_changed = on_changed,
					 .written = on_written,
					 .dirty_log = on_dirty_log,
					 .ctx = f };
	hv_mem_listen(f->m, &f->l);
	if (hv_ram_create(f->m, "ram", HV_RAM_ANON, 16 * PAGE, -1, 0, &f->ram, &e) < 0 ||
	    hv_ram_create(f->m, "rom", HV_RAM_SHARED, PAGE, -1, 0, &f->rom, &e) < 0)
		return -1;
	f->low = (struct hv_map_range){ "ram", HV_MAP_RAM, HV_PRIO_RAM, 0, 16 * PAGE, f->ram };
	f->bios =
		(struct hv_map_range){ "rom", HV_MAP_ROM, HV_PRIO_CHIPSET, 8 * PAGE, PAGE, f->rom };
	f->io = (struct hv_map_range){ "io", HV_MAP_IO, HV_PRIO_DEVICE, 20 * PAGE, 24 };
	f->io.io = &io_ops;
	f->io.io_ctx = f;
	hv_mem_map(f->m, &f->low);
	hv_mem_map(f->m, &f->bios);
	hv_mem_map(f->m, &f->io);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	hv_mem_destroy(f->m);
	free(f);
	return 0;
}

static void test_blocks(void **state)
{
	struct fixture *f = *state;
	struct hv_ram *r = NULL;
	struct err e;
	auto_close int fd = memfd_create("state", 0);
	static const uint64_t absurd[] = { 0, 1, PAGE + 1, 1ull << 43, UINT64_MAX & ~(PAGE - 1) };

	for (size_t i = 0; i < HV_ARRAY_LEN(absurd); i++)
		assert_int_equal(hv_ram_create(f->m, "x", HV_RAM_ANON, absurd[i], -1, 0, &r, &e),
				 -EINVAL);
	assert_int_equal(hv_ram_create(f->m, "ram", HV_RAM_ANON, PAGE, -1, 0, &r, &e), -EEXIST);
	assert_int_equal(ftruncate(fd, 3 * PAGE), 0);
	assert_int_equal(pwrite(fd, "saved", 5, 2 * PAGE), 5);
	assert_int_equal(hv_ram_create(f->m, "f", HV_RAM_FILE_PRIVATE, 2 * PAGE, fd, 2 * PAGE, &r,
				       &e),
			 -EINVAL);
	assert_int_equal(hv_ram_create(f->m, "f", HV_RAM_FILE_PRIVATE, PAGE, fd, 5, &r, &e),
			 -EINVAL);
	assert_int_equal(hv_ram_create(f->m, "f", HV_RAM_FILE_PRIVATE, PAGE, fd, 0 - PAGE, &r, &e),
			 -EINVAL);
	assert_null(r);
	assert_ok(hv_ram_create(f->m, "f", HV_RAM_FILE_PRIVATE, PAGE, fd, 2 * PAGE, &r, &e), &e);
	assert_string_equal(hv_ram_name(r), "f");
	assert_memory_equal(hv_ram_host(r), "saved", 5);
	hv_ram_host(r)[0] = 'S'; /* copied on write: the file stays as it is */
	char c = 0;
	assert_true(pread(fd, &c, 1, 2 * PAGE) == 1 && c == 's');
	assert_ptr_equal(hv_mem_ram(f->m, 2), r);
	assert_null(hv_mem_ram(f->m, 3));
	assert_true(hv_ram_fd(f->rom) >= 0 && hv_ram_fd(f->ram) == -1);
	assert_int_equal((uintptr_t)hv_ram_host(f->ram) % HV_MIB(2), 0);
}

static void test_access(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[3 * PAGE];

	memset(buf, 0x5a, sizeof(buf));
	assert_int_equal(hv_mem_write(f->m, 100, buf, PAGE), 0);
	assert_true(f->n_written == 1 && f->off == 100 && f->len == PAGE);
	assert_int_equal(hv_ram_host(f->ram)[100 + PAGE - 1], 0x5a);
	assert_int_equal(hv_ram_host(f->ram)[100 + PAGE], 0);
	memset(hv_ram_host(f->rom), 0x77, PAGE);
	assert_int_equal(hv_mem_read(f->m, 7 * PAGE, buf, sizeof(buf)), 0); /* over both edges */
	assert_true(buf[0] == 0 && buf[PAGE] == 0x77 && buf[2 * PAGE - 1] == 0x77);
	assert_int_equal(buf[2 * PAGE], 0);
	f->n_written = 0;
	hv_ram_host(f->ram)[7 * PAGE] = 1;
	assert_int_equal(hv_mem_write(f->m, 7 * PAGE, buf, sizeof(buf)), -EFAULT);
	assert_true(f->n_written == 0 && hv_ram_host(f->ram)[7 * PAGE] == 1);
	assert_int_equal(hv_mem_read(f->m, 15 * PAGE, buf, PAGE + 1), -EFAULT);
	assert_int_equal(hv_mem_read(f->m, 20 * PAGE, buf, 1), -EFAULT);
	assert_int_equal(hv_mem_read(f->m, UINT64_MAX, buf, 2), -EFAULT);
	assert_int_equal(hv_mem_read(f->m, 0, buf, SIZE_MAX), -EFAULT);
	assert_int_equal(hv_mem_read(f->m, UINT64_MAX, buf, 0), 0);
	assert_ptr_equal(hv_mem_host(f->m, PAGE, 2 * PAGE, true), hv_ram_host(f->ram) + PAGE);
	assert_null(hv_mem_host(f->m, 8 * PAGE, 1, true));
	assert_non_null(hv_mem_host(f->m, 8 * PAGE, PAGE, false));
	assert_null(hv_mem_host(f->m, 7 * PAGE, PAGE + 1, false));
	assert_null(hv_mem_host(f->m, 0, SIZE_MAX, false));
	f->n_written = 0;
	hv_mem_written(f->m, 7 * PAGE, 3 * PAGE); /* tells of RAM only, in two pieces */
	assert_true(f->n_written == 2 && f->off == 9 * PAGE && f->len == PAGE);
	hv_mem_written(f->m, UINT64_MAX - 5, 100);
	assert_int_equal(f->n_written, 2);
}

static void test_io(void **state)
{
	struct fixture *f = *state;
	struct hv_domain d;

	hv_domain_init(&d, "test");
	f->io.domain = &d;
	assert_int_equal(hv_mem_io_read(f->m, 20 * PAGE + 8, 4), 0x44332211);
	assert_true(f->off == 8 && f->size == 4);
	assert_int_equal(hv_mem_io_read(f->m, 20 * PAGE + 23, 4), 0xffffff11); /* over its end */
	assert_true(f->off == 23 && f->size == 1);
	hv_mem_io_write(f->m, 20 * PAGE + 16, 3, 0xaabbccdd);
	assert_true(f->value == 0xbbccdd && f->size == 3);
	f->n_io = 0;
	assert_true(hv_mem_io_read(f->m, 19 * PAGE, 8) == UINT64_MAX);
	hv_mem_io_write(f->m, 19 * PAGE, 8, 1);
	hv_ram_host(f->rom)[4] = 9;
	hv_mem_io_write(f->m, 8 * PAGE + 4, 1, 1);
	assert_true(f->n_io == 0 && hv_mem_io_read(f->m, 8 * PAGE + 4, 1) == 9);
	hv_mem_unmap(f->m, &f->bios);
	f->bios.io = &io_ops; /* flash: writes are commands */
	f->bios.io_ctx = f;
	hv_mem_map(f->m, &f->bios);
	hv_mem_io_write(f->m, 8 * PAGE + 4, 1, 0x90);
	assert_true(f->n_io == 1 && f->off == 4 && f->value == 0x90 && hv_ram_host(f->rom)[4] == 9);
	hv_mem_io_write(f->m, 8 * PAGE - 1, 2, 0x1234); /* a byte of RAM, a byte of ROM */
	assert_true(hv_ram_host(f->ram)[8 * PAGE - 1] == 0x34 && f->value == 0x12);
	for (unsigned size = 1; size <= 8; size++) {
		hv_mem_io_write(f->m, 3, size, 0x0807060504030201ull);
		assert_true(hv_mem_io_read(f->m, 3, size) ==
			    (0x0807060504030201ull & UINT64_MAX >> (64 - 8 * size)));
	}
	hv_domain_finish(&d);
}

static void test_map_changes(void **state)
{
	struct fixture *f = *state;
	struct hv_mem_slice s;

	f->n_changed = 0;
	f->extra = (struct hv_map_range){ "hole", HV_MAP_HOLE, HV_PRIO_CHIPSET, 4 * PAGE,
					  6 * PAGE };
	hv_mem_map(f->m, &f->extra); /* as high as the ROM, but younger */
	assert_true(f->n_changed == 1 && f->gpa == 4 * PAGE && f->bytes == 6 * PAGE);
	hv_mem_find(f->m, 8 * PAGE, &s);
	assert_true(s.kind == HV_MAP_HOLE && s.r == &f->extra && s.bytes == 6 * PAGE);
	assert_int_equal(hv_mem_io_read(f->m, 8 * PAGE, 2), 0xffff);
	hv_mem_unmap(f->m, &f->extra);
	hv_mem_unmap(f->m, &f->extra);
	assert_int_equal(f->n_changed, 2);
	f->extra.prio = HV_PRIO_RAM - 1;
	f->extra.gpa = 0;
	hv_mem_map(f->m, &f->extra); /* wholly hidden: nobody needs to hear of it */
	assert_int_equal(f->n_changed, 2);
	hv_mem_unmap(f->m, &f->extra);
	hv_mem_batch_begin(f->m);
	hv_mem_unmap(f->m, &f->io);
	hv_mem_batch_begin(f->m);
	f->extra.prio = HV_PRIO_CHIPSET;
	hv_mem_map(f->m, &f->extra);
	hv_mem_batch_end(f->m);
	hv_mem_find(f->m, 0, &s);
	assert_true(s.kind == HV_MAP_RAM && f->n_changed == 2);
	hv_mem_batch_end(f->m);
	assert_true(f->n_changed == 3 && f->gpa == 0 && f->bytes == 20 * PAGE + 24);
	hv_mem_find(f->m, 30 * PAGE, &s);
	assert_true(s.r == NULL && s.gpa == 16 * PAGE && s.bytes == 0 - 16 * PAGE);
	f->io.gpa = 0 - PAGE; /* up to the very top */
	f->io.bytes = PAGE;
	hv_mem_map(f->m, &f->io);
	assert_int_equal(hv_mem_io_read(f->m, UINT64_MAX, 1), 0x11);
	hv_mem_unmap(f->m, &f->low);
	hv_mem_unmap(f->m, &f->bios);
	hv_mem_unmap(f->m, &f->extra);
	hv_mem_unmap(f->m, &f->io);
	hv_mem_find(f->m, 1, &s);
	assert_true(s.gpa == 0 && s.bytes == UINT64_MAX && s.r == NULL && s.host == NULL);
}

/* Random ranges against the definition: of those that cover an address, the highest, youngest. */
static void test_map_random(void **state)
{
	struct fixture *f = *state;
	struct hv_map_range r[40] = { 0 };
	uint64_t x = 1234567, age[40] = { 0 };
	struct hv_mem_slice s;

	hv_mem_unmap(f->m, &f->low);
	hv_mem_unmap(f->m, &f->bios);
	hv_mem_unmap(f->m, &f->io);
	for (unsigned round = 1; round <= 3000; round++) {
		unsigned i = test_rnd(&x) % 40;
		if (r[i].mapped) {
			hv_mem_unmap(f->m, &r[i]);
		} else {
			r[i] = (struct hv_map_range){ "r",
						      test_rnd(&x) % 2 ? HV_MAP_RAM : HV_MAP_IO,
						      (int)(test_rnd(&x) % 4),
						      0,
						      0,
						      f->ram };
			r[i].io = &io_ops;
			r[i].gpa = test_rnd(&x) % 64 * PAGE;
			r[i].bytes = (1 + test_rnd(&x) % 15) * PAGE;
			r[i].ram_off = test_rnd(&x) % (16 - r[i].bytes / PAGE + 1) * PAGE;
			age[i] = round;
			hv_mem_map(f->m, &r[i]);
		}
		uint64_t gpa = test_rnd(&x) % (80 * PAGE);
		const struct hv_map_range *want = NULL;
		for (unsigned k = 0; k < 40; k++) {
			if (r[k].mapped && gpa >= r[k].gpa && gpa - r[k].gpa < r[k].bytes &&
			    (want == NULL || r[k].prio > want->prio ||
			     (r[k].prio == want->prio && age[k] > age[want - r])))
				want = &r[k];
		}
		hv_mem_find(f->m, gpa, &s);
		assert_ptr_equal(s.r, want);
		assert_true(s.gpa <= gpa && gpa - s.gpa < s.bytes);
		if (want != NULL)
			assert_int_equal(s.r_off, s.gpa - want->gpa);
		if (want != NULL && want->kind == HV_MAP_RAM)
			assert_ptr_equal(s.host, hv_ram_host(f->ram) + want->ram_off + s.r_off);
	}
}

static void test_dirty(void **state)
{
	struct fixture *f = *state;
	uint64_t bits[2] = { 9, 9 };
	struct err e;

	hv_ram_dirty_mark(f->ram, 0, PAGE);
	assert_int_equal(hv_ram_dirty_take(f->ram, 0, 1, bits), 0);
	assert_ok(hv_ram_dirty_start(f->ram, &e), &e);
	assert_true(f->n_dirty == 1 && f->dirty_on && hv_ram_dirty_on(f->ram));
	hv_ram_dirty_mark(f->ram, 2 * PAGE - 1, 2);
	hv_ram_dirty_mark(f->ram, 5 * PAGE, 0);
	hv_ram_dirty_mark(f->ram, 15 * PAGE, UINT64_MAX); /* clipped */
	hv_ram_dirty_mark(f->ram, 16 * PAGE, 1);
	assert_int_equal(hv_mem_write(f->m, 4 * PAGE + 7, "x", 1), 0);
	hv_mem_io_write(f->m, 6 * PAGE, 4, 1);
	assert_int_equal(hv_ram_dirty_take(f->ram, 0, 2, bits), 5);
	assert_true(bits[0] == (1 << 1 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 15) && bits[1] == 0);
	assert_int_equal(f->n_dirty, 2); /* write translations went */
	assert_int_equal(hv_ram_dirty_take(f->ram, 0, 1, bits), 0);
	assert_int_equal(hv_ram_dirty_take(f->ram, UINT64_MAX, 2, bits), 0);
	hv_ram_dirty_mark(f->ram, 0, 1);
	hv_ram_dirty_stop(f->ram);
	assert_true(f->n_dirty == 3 && !f->dirty_on && !hv_ram_dirty_on(f->ram));
	assert_ok(hv_ram_dirty_start(f->ram, &e), &e); /* begins clean */
	assert_int_equal(hv_ram_dirty_take(f->ram, 0, 1, bits), 0);
}

/* A range moves between three places while readers look: each sees it at one of them, whole. */
static atomic_bool stop_readers;

static void *reader(void *arg)
{
	struct fixture *f = arg;
	struct hv_mem_slice s;
	uint64_t seen = 0;

	while (!atomic_load(&stop_readers)) {
		for (uint64_t gpa = 0; gpa < 64 * PAGE; gpa += 3 * PAGE) {
			hv_mem_find(f->m, gpa, &s);
			if (s.r == NULL)
				continue;
			assert(s.r == &f->low || s.r == &f->bios || s.r == &f->extra);
			assert(s.gpa <= gpa && gpa - s.gpa < s.bytes);
			if (s.r == &f->extra) { /* one place, one size, one offset */
				uint64_t where = s.gpa / PAGE - 30;
				assert(where % 4 == 0 && where <= 8);
				assert(s.bytes == (4 + where) * PAGE &&
				       s.ram_off == where / 4 * PAGE);
				assert(s.host == hv_ram_host(f->ram) + s.ram_off);
				seen++;
			}
		}
	}
	return (void *)(uintptr_t)seen;
}

static void test_map_threads(void **state)
{
	struct fixture *f = *state;
	pthread_t t[3];

	hv_mem_unmap(f->m, &f->io);
	atomic_store(&stop_readers, false);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, reader, f), 0);
	f->extra = (struct hv_map_range){ "bar", HV_MAP_RAM, 1, 0, 0, f->ram };
	for (uint64_t i = 0; i < 600000; i++) {
		hv_mem_batch_begin(f->m);
		hv_mem_unmap(f->m, &f->extra);
		f->extra.gpa = (30 + i % 3 * 4) * PAGE;
		f->extra.bytes = (4 + i % 3 * 4) * PAGE;
		f->extra.ram_off = i % 3 * PAGE;
		hv_mem_map(f->m, &f->extra);
		hv_mem_batch_end(f->m);
	}
	atomic_store(&stop_readers, true);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	hv_mem_unmap(f->m, &f->extra);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_blocks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_access, setup, teardown),
		cmocka_unit_test_setup_teardown(test_io, setup, teardown),
		cmocka_unit_test_setup_teardown(test_map_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_map_random, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dirty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_map_threads, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
