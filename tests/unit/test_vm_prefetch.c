/* A saved state's file is brought into the page cache, without its holes and no further than
 * wanted. */
#include "ctest.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/util.h"
#include "vm/prefetch.h"

#define DATA_BYTES HV_MIB(16)
#define FILE_BYTES (3 * DATA_BYTES) /* data, a hole, data */
#define ROOM HV_GIB(1)

struct world {
	int fd;
	void *map;
};

static void write_data(int fd, uint64_t at)
{
	uint8_t *buf = malloc(DATA_BYTES);

	assert_non_null(buf);
	memset(buf, 1, DATA_BYTES);
	assert_int_equal(pwrite(fd, buf, DATA_BYTES, (off_t)at), DATA_BYTES);
	free(buf);
}

/* Pages of the third that are in the page cache. */
static unsigned cached(const struct world *w, unsigned third)
{
	static unsigned char in[DATA_BYTES / HV_PAGE_SIZE];
	unsigned n = 0;

	assert_int_equal(mincore((uint8_t *)w->map + third * DATA_BYTES, DATA_BYTES, in), 0);
	for (unsigned i = 0; i < sizeof(in); i++)
		n += in[i] & 1;
	return n;
}

static bool whole(const struct world *w, unsigned third)
{
	return cached(w, third) == DATA_BYTES / HV_PAGE_SIZE;
}

static void forget(const struct world *w)
{
	assert_int_equal(fsync(w->fd), 0);
	assert_int_equal(posix_fadvise(w->fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	if (cached(w, 0) > 0)
		skip(); /* a file system that is the page cache */
}

static int setup(void **state)
{
	static struct world w;
	char path[] = "/var/tmp/lodge-prefetch-XXXXXX";

	w.fd = mkstemp(path);
	assert_true(w.fd >= 0);
	unlink(path);
	write_data(w.fd, 0);
	write_data(w.fd, 2 * DATA_BYTES);
	w.map = mmap(NULL, FILE_BYTES, PROT_READ, MAP_PRIVATE, w.fd, 0);
	assert_true(w.map != MAP_FAILED);
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	munmap(w->map, FILE_BYTES);
	close(w->fd);
	return 0;
}

/* Until it is there, or long enough. */
static void wait_for(const struct world *w, unsigned third)
{
	for (unsigned i = 0; i < 20000 && !whole(w, third); i++)
		usleep(1000);
	assert_true(whole(w, third));
}

static void test_all_but_holes(void **state)
{
	struct world *w = *state;
	struct prefetch p = { .most = ROOM };

	forget(w);
	prefetch_begin(&p, w->fd);
	wait_for(w, 2);
	assert_true(whole(w, 0));
	assert_int_equal(cached(w, 1), 0);
	prefetch_end(&p);
}

static void test_no_more_than_wanted(void **state)
{
	struct world *w = *state;
	struct prefetch p = { .most = DATA_BYTES };

	forget(w);
	prefetch_begin(&p, w->fd);
	wait_for(w, 0);
	pthread_join(p.thread, NULL); /* by itself */
	assert_int_equal(cached(w, 2), 0);
}

static void test_ended_early(void **state)
{
	struct world *w = *state;
	struct prefetch p = { .most = ROOM }, none = { 0 };

	for (unsigned i = 0; i < 50; i++) {
		prefetch_begin(&p, w->fd);
		prefetch_end(&p);
	}
	prefetch_end(&p);
	prefetch_end(&none);
}

static void test_planned(void **state)
{
	struct prefetch p = { 0 };

	(void)state;
	prefetch_plan(&p);
	assert_true(p.most > 0);
	p.most = 0;
	prefetch_begin(&p, -1); /* no room: nothing is done */
	assert_false(p.started);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_but_holes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_more_than_wanted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ended_early, setup, teardown),
		cmocka_unit_test(test_planned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
