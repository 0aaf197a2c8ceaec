/* Disks: raw images, overlays, locks, the null disk. */
#include "ctest.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include "devmodel/storage/blk.h"
#include "devmodel/storage/format/raw.h"
#include "devmodel/storage/io/file.h"

#define DISK_BYTES (300u * 1024) /* more than four clusters, not a multiple */

struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int result; /* 1: not yet */
};

struct world {
	char path[64];
	struct err e;
	struct blk *blk;
	uint8_t *mirror; /* what the disk should hold */
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	uint64_t x = 7;

	assert_non_null(w);
	snprintf(w->path, sizeof(w->path), "/tmp/lodge-test-blk-XXXXXX");
	auto_close int fd = mkstemp(w->path);
	assert_true(fd >= 0);
	w->mirror = malloc(DISK_BYTES);
	for (unsigned i = 0; i < DISK_BYTES; i++)
		w->mirror[i] = (uint8_t)test_rnd(&x);
	assert_int_equal(write(fd, w->mirror, DISK_BYTES), DISK_BYTES);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	blk_close(w->blk);
	unlink(w->path);
	free(w->mirror);
	free(w);
	return 0;
}

static void done(struct blk_req *r, int result)
{
	struct waiter *t = r->ctx;

	pthread_mutex_lock(&t->lock);
	t->result = result;
	pthread_cond_signal(&t->cond);
	pthread_mutex_unlock(&t->lock);
}

/* One request to its end; buf in three pieces. */
static int run(struct blk *b, enum blk_op op, uint64_t off, void *buf, uint64_t bytes)
{
	struct waiter t = { .lock = PTHREAD_MUTEX_INITIALIZER,
			    .cond = PTHREAD_COND_INITIALIZER,
			    .result = 1 };
	struct blk_req r = { .op = op, .offset = off, .bytes = bytes, .done = done, .ctx = &t };

	if (buf != NULL) {
		const uint64_t a = bytes / 3, m = bytes / 2;
		r.iov[0] = (struct iovec){ buf, a };
		r.iov[1] = (struct iovec){ (uint8_t *)buf + a, m - a };
		r.iov[2] = (struct iovec){ (uint8_t *)buf + m, bytes - m };
		r.n_iov = 3;
	}
	b->ops->submit(b, &r);
	pthread_mutex_lock(&t.lock);
	while (t.result == 1)
		pthread_cond_wait(&t.cond, &t.lock);
	pthread_mutex_unlock(&t.lock);
	return t.result;
}

static void check_all(struct world *w, struct blk *b)
{
	auto_free uint8_t *buf = malloc(DISK_BYTES);

	assert_int_equal(run(b, BLK_READ, 0, buf, DISK_BYTES), 0);
	assert_memory_equal(buf, w->mirror, DISK_BYTES);
}

/* Random operations, against the mirror. */
static void churn(struct world *w)
{
	auto_free uint8_t *buf = malloc(DISK_BYTES);
	uint64_t x = 99;

	for (unsigned i = 0; i < 300; i++) {
		const uint64_t off = test_rnd(&x) % (DISK_BYTES / 512) * 512;
		uint64_t n = (1 + test_rnd(&x) % 300) * 512;
		n = n < DISK_BYTES - off ? n : DISK_BYTES - off;
		switch (test_rnd(&x) % 4) {
		case 0:
			memset(w->mirror + off, 0, n);
			assert_int_equal(run(w->blk, BLK_WRITE_ZEROES, off, NULL, n), 0);
			break;
		case 1:
			assert_int_equal(run(w->blk, BLK_READ, off, buf, n), 0);
			assert_memory_equal(buf, w->mirror + off, n);
			break;
		default:
			memset(w->mirror + off, (int)test_rnd(&x), n);
			memcpy(buf, w->mirror + off, n);
			assert_int_equal(run(w->blk, BLK_WRITE, off, buf, n), 0);
		}
		if (i < 20) /* while parts are still as they were */
			check_all(w, w->blk);
	}
	assert_int_equal(run(w->blk, BLK_FLUSH, 0, NULL, 0), 0);
	check_all(w, w->blk);
}

static int open_blk(struct world *w, bool read_only, bool overlay)
{
	const int r = blk_raw_open(w->path, read_only, overlay, &w->blk, &w->e);

	return r == 0 ? blk_start(w->blk, &w->e) : r;
}

static void test_raw(void **state)
{
	struct world *w = *state;

	assert_ok(open_blk(w, false, false), &w->e);
	assert_int_equal(w->blk->bytes, DISK_BYTES);
	churn(w);
	blk_close(w->blk);
	w->blk = NULL;
	assert_ok(open_blk(w, true, false), &w->e);
	check_all(w, w->blk);
	assert_int_equal(run(w->blk, BLK_WRITE, 0, w->mirror, 512), -EROFS);
}

/* The file stays as it was, the overlay holds what was written. */
static void test_overlay(void **state)
{
	struct world *w = *state;
	auto_free uint8_t *before = malloc(DISK_BYTES);

	memcpy(before, w->mirror, DISK_BYTES);
	assert_ok(open_blk(w, false, true), &w->e);
	check_all(w, w->blk);
	churn(w);
	blk_close(w->blk);
	w->blk = NULL;
	memcpy(w->mirror, before, DISK_BYTES);
	assert_ok(open_blk(w, true, false), &w->e);
	check_all(w, w->blk);
}

static void test_lock(void **state)
{
	struct world *w = *state;
	struct blk *other = NULL;

	assert_ok(open_blk(w, false, false), &w->e);
	assert_int_equal(blk_raw_open(w->path, false, false, &other, &w->e), -EBUSY);
	assert_non_null(strstr(w->e.msg, "in use"));
	assert_int_equal(blk_raw_open(w->path, true, false, &other, &w->e), -EBUSY);
	blk_close(w->blk);
	/* Readers, and those who write elsewhere, may share. */
	assert_ok(open_blk(w, true, false), &w->e);
	assert_ok(blk_raw_open(w->path, false, true, &other, &w->e), &w->e);
	blk_close(other);
}

static void test_refused(void **state)
{
	struct world *w = *state;
	struct blk *b = NULL;

	assert_int_equal(blk_raw_open("/nonexistent/x", false, false, &b, &w->e), -ENOENT);
	assert_int_equal(truncate(w->path, 0), 0);
	assert_int_equal(blk_raw_open(w->path, false, false, &b, &w->e), -EINVAL);
	assert_non_null(strstr(w->e.msg, "empty"));
	assert_int_equal(truncate(w->path, 700), 0);
	assert_int_equal(blk_raw_open(w->path, false, false, &b, &w->e), -EINVAL);
	assert_non_null(strstr(w->e.msg, "512"));
	assert_int_equal(blk_raw_open("/tmp", true, false, &b, &w->e), -EINVAL);
	assert_non_null(strstr(w->e.msg, "neither a file"));
	assert_null(b);
}

static void count(struct blk_req *r, int result)
{
	(void)result;
	__atomic_fetch_add((unsigned *)r->ctx, 1, __ATOMIC_SEQ_CST);
}

/* Drain returns when everything submitted before has been answered. */
static void test_drain(void **state)
{
	struct world *w = *state;
	static struct blk_req r[64];
	static uint8_t buf[64][4096];
	unsigned n = 0;

	assert_ok(open_blk(w, false, true), &w->e);
	for (unsigned i = 0; i < 64; i++) {
		r[i] = (struct blk_req){ .op = i & 1 ? BLK_WRITE : BLK_READ,
					 .offset = 4096 * i,
					 .bytes = 4096,
					 .iov = { { buf[i], 4096 } },
					 .n_iov = 1,
					 .done = count,
					 .ctx = &n };
		w->blk->ops->submit(w->blk, &r[i]);
	}
	w->blk->ops->drain(w->blk);
	assert_int_equal(__atomic_load_n(&n, __ATOMIC_SEQ_CST), 64);
}

/* A write that is cut short in the middle of a piece can be done again with the same vector. */
static void test_again(void **state)
{
	struct world *w = *state;
	auto_close int fd = open(w->path, O_RDWR | O_CLOEXEC);
	struct iovec v[3] = { { w->mirror, 300 },
			      { w->mirror + 300, 500 },
			      { w->mirror + 800, 200 } };
	const struct iovec before[3] = { v[0], v[1], v[2] };
	struct rlimit old, small;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = (struct rlimit){ DISK_BYTES + 400, old.rlim_max };
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	const int r = io_file_write(fd, v, 3, DISK_BYTES);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(r, -EFBIG);
	assert_memory_equal(v, before, sizeof(v));
	assert_int_equal(io_file_write(fd, v, 3, DISK_BYTES), 0);
	assert_memory_equal(v, before, sizeof(v));
	auto_free uint8_t *buf = malloc(1500);
	struct iovec in[2] = { { buf, 700 }, { buf + 700, 800 } };
	const struct iovec in_before[2] = { in[0], in[1] };
	memset(buf, 9, 1500);
	assert_int_equal(io_file_read(fd, in, 2, DISK_BYTES),
			 0); /* 500 bytes more than there are */
	assert_memory_equal(in, in_before, sizeof(in));
	assert_memory_equal(buf, w->mirror, 1000);
	for (unsigned i = 1000; i < 1500; i++)
		assert_int_equal(buf[i], 0);
}

/* Around the page cache: aligned requests by a ring, others and the end of the file as usual. */
static void test_direct(void **state)
{
	const struct raw_options o = { .direct = true, .bytes = DISK_BYTES + 65536 };
	struct world *w = *state;
	auto_free uint8_t *buf = aligned_alloc(4096, DISK_BYTES + 65536);
	uint64_t x = 5;
	int fd = open(w->path, O_RDWR | O_CLOEXEC);

	if (raw_open(fd, w->path, &o, &w->blk, &w->e) < 0) {
		close(fd);
		skip(); /* not on this file system */
	}
	assert_ok(blk_start(w->blk, &w->e), &w->e);
	for (unsigned i = 0; i < 400; i++) {
		const uint64_t unit = i % 3 == 0 ? 512 : 4096;
		const uint64_t off = test_rnd(&x) % (DISK_BYTES / unit) * unit;
		const uint64_t n = hv_min_u64((1 + test_rnd(&x) % 16) * unit, DISK_BYTES - off);
		struct waiter t = { .lock = PTHREAD_MUTEX_INITIALIZER,
				    .cond = PTHREAD_COND_INITIALIZER,
				    .result = 1 };
		struct blk_req r = { .op = i % 2 ? BLK_READ : BLK_WRITE,
				     .offset = off,
				     .bytes = n,
				     .iov = { { buf, n } },
				     .n_iov = 1,
				     .done = done,
				     .ctx = &t };
		if (r.op == BLK_WRITE) {
			memset(w->mirror + off, (int)i, n);
			memcpy(buf, w->mirror + off, n);
		}
		w->blk->ops->submit(w->blk, &r);
		w->blk->ops->drain(w->blk);
		assert_int_equal(t.result, 0);
		if (r.op == BLK_READ)
			assert_memory_equal(buf, w->mirror + off, n);
	}
	assert_int_equal(run(w->blk, BLK_FLUSH, 0, NULL, 0), 0);
	memset(buf, 1, DISK_BYTES + 65536);
	assert_int_equal(blk_run(w->blk, BLK_READ, 0, buf, DISK_BYTES + 65536), 0);
	assert_memory_equal(buf, w->mirror, DISK_BYTES);
	assert_true(hv_is_zero(buf + DISK_BYTES, 65536));
}

static unsigned refusals;

/* Before the library's: a kernel without memory for requests. */
int io_uring_submit(struct io_uring *ring)
{
	int (*submit)(struct io_uring * ring) =
		(int (*)(struct io_uring *))dlsym(RTLD_NEXT, "io_uring_submit");

	if (refusals == 0)
		return submit(ring);
	refusals--;
	return -EAGAIN;
}

/* What the ring does not take is done by threads, once; the ring ends all the same. */
static void test_ring_refused(void **state)
{
	const struct raw_options o = { .direct = true };
	struct world *w = *state;
	auto_free uint8_t *buf = aligned_alloc(4096, 8192);
	int fd = open(w->path, O_RDWR | O_CLOEXEC);

	if (raw_open(fd, w->path, &o, &w->blk, &w->e) < 0) {
		close(fd);
		skip(); /* not on this file system */
	}
	refusals = 2; /* the other for the end */
	for (unsigned i = 0; i < 3; i++) {
		struct waiter t = { .lock = PTHREAD_MUTEX_INITIALIZER,
				    .cond = PTHREAD_COND_INITIALIZER,
				    .result = 1 };
		struct blk_req r = { .op = BLK_WRITE,
				     .offset = 4096,
				     .bytes = 4096,
				     .iov = { { buf, 4096 } },
				     .n_iov = 1,
				     .done = done,
				     .ctx = &t };
		assert_ok(blk_start(w->blk, &w->e), &w->e);
		memset(buf, (int)i + 1, 4096);
		w->blk->ops->submit(w->blk, &r);
		w->blk->ops->drain(w->blk);
		assert_int_equal(t.result, 0);
		if (i > 0)
			w->blk->ops->stop(w->blk);
	}
	assert_int_equal(run(w->blk, BLK_READ, 4096, buf + 4096, 4096), 0);
	assert_memory_equal(buf, buf + 4096, 4096);
}

static void test_null(void **state)
{
	struct world *w = *state;
	uint8_t buf[1024];

	memset(buf, 1, sizeof(buf));
	assert_ok(blk_null_open(1 << 20, &w->blk, &w->e), &w->e);
	assert_int_equal(run(w->blk, BLK_WRITE, 512, buf, sizeof(buf)), 0);
	assert_int_equal(run(w->blk, BLK_READ, 512, buf, sizeof(buf)), 0);
	for (unsigned i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_raw),	 T(test_overlay),      T(test_lock),
		T(test_refused), T(test_again),	       T(test_drain),
		T(test_direct),	 T(test_ring_refused), T(test_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
