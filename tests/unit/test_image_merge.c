/* Images merged while they are used, and disks that go on in another image. */
#include "ctest.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include "devmodel/storage/image.h"
#include "devmodel/storage/image_merge.h"
#include "devmodel/storage/live.h"

#define DISK_BYTES (5u << 20)
#define N_IMAGES 4

struct world {
	char dir[64], path[N_IMAGES][80];
	struct err e;
	uint8_t *mirror;
	uint64_t seed;
	atomic_bool stop;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	snprintf(w->dir, sizeof(w->dir), "/tmp/lodge-test-merge-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	for (unsigned i = 0; i < N_IMAGES; i++)
		snprintf(w->path[i], sizeof(w->path[i]), "%s/%u", w->dir, i);
	w->mirror = calloc(1, DISK_BYTES);
	w->seed = 11;
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < N_IMAGES; i++)
		unlink(w->path[i]);
	assert_int_equal(rmdir(w->dir), 0);
	free(w->mirror);
	free(w);
	return 0;
}

/* Image i, based on the one before. */
static void make(struct world *w, unsigned i, unsigned cluster_bits, uint64_t bytes)
{
	char below[8];
	struct image_create c = { .format = IMAGE_FORMAT_QCOW2,
				  .q = { .bytes = bytes, .cluster_bits = cluster_bits },
				  .replace = true };

	snprintf(below, sizeof(below), "%u", i - 1);
	if (i > 0)
		c.q.backing_file = below;
	c.q.backing_format = "qcow2";
	assert_ok(image_create(w->path[i], &c, &w->e), &w->e);
}

static struct blk *open_image(struct world *w, unsigned i, bool backing_writable)
{
	const struct image_options o = { .format = IMAGE_FORMAT_QCOW2,
					 .backing_writable = backing_writable };
	struct blk *b = NULL;

	assert_ok(image_open(w->path[i], &o, &b, &w->e), &w->e);
	return b;
}

static void check_all(struct world *w, struct blk *b, uint64_t bytes)
{
	auto_free uint8_t *buf = malloc(bytes);

	assert_int_equal(blk_run(b, BLK_READ, 0, buf, bytes), 0);
	assert_memory_equal(buf, w->mirror, bytes);
}

static void scribble(struct world *w, struct blk *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const uint64_t off = test_rnd(&w->seed) % (b->bytes / 512) * 512;
		const uint64_t bytes = hv_min_u64((1 + test_rnd(&w->seed) % 99) * 512,
						  b->bytes - off);
		const bool zero = test_rnd(&w->seed) % 3 == 0;
		memset(w->mirror + off, zero ? 0 : (int)test_rnd(&w->seed), bytes);
		assert_int_equal(blk_run(b, zero ? BLK_WRITE_ZEROES : BLK_WRITE, off,
					 zero ? NULL : w->mirror + off, bytes),
				 0);
	}
}

static void assert_clean(struct world *w, unsigned i)
{
	const struct image_options o = { .for_check = true, .read_only = true };
	struct qcow2_check c;
	struct blk *b = NULL;

	assert_ok(image_open(w->path[i], &o, &b, &w->e), &w->e);
	assert_ok(qcow2_check(b, false, &c, &w->e), &w->e);
	blk_close(b);
	if (c.errors + c.leaks > 0)
		fail_msg("%u: %s, %u leaks", i, c.first, (unsigned)c.leaks);
}

/* Three images of growing length. */
static void make_chain(struct world *w, unsigned bits)
{
	const uint64_t bytes[] = { DISK_BYTES / 2, DISK_BYTES / 2 + 512 * 77, DISK_BYTES };

	memset(w->mirror, 0, DISK_BYTES);
	for (unsigned i = 0; i < 3; i++) {
		make(w, i, bits, bytes[i]);
		struct blk *b = open_image(w, i, false);
		scribble(w, b, 30);
		check_all(w, b, bytes[i]);
		blk_close(b);
	}
}

/* Stopped after each step and begun anew, as after a kill; used in between. */
static void test_down(void **state)
{
	struct world *w = *state;

	for (unsigned bits = 9; bits <= 16; bits += 7) {
		make_chain(w, bits);
		for (unsigned round = 0; round < 3; round++) {
			struct image_merge m;
			struct blk *b = open_image(w, 2, true);
			assert_ok(image_merge_begin(&m, b, IMAGE_MERGE_DOWN, &w->e), &w->e);
			assert_ok(qcow2_merge_down(b, 0, (1 + round) << 20, &m.copied), &w->e);
			check_all(w, b, DISK_BYTES);
			scribble(w, b, 5);
			blk_close(b);
		}
		struct image_merge m;
		struct blk *b = open_image(w, 2, true), *rest = NULL;
		assert_ok(image_merge_begin(&m, b, IMAGE_MERGE_DOWN, &w->e), &w->e);
		while (image_merge_step(&m, &w->e) > 0)
			;
		assert_true(m.copied > 0);
		assert_ok(image_merge_finish(&m, &rest, &w->e), &w->e);
		check_all(w, rest, DISK_BYTES);
		blk_close(rest);
		assert_clean(w, 1);
		b = open_image(w, 1, false);
		check_all(w, b, DISK_BYTES);
		blk_close(b);
		b = open_image(w, 2, false); /* empty, and still the same disk */
		check_all(w, b, DISK_BYTES);
		blk_close(b);
		assert_clean(w, 2);
	}
}

static void test_up(void **state)
{
	struct world *w = *state;

	for (unsigned bits = 9; bits <= 16; bits += 7) {
		make_chain(w, bits);
		for (unsigned left = 2; left > 0; left--) {
			struct image_merge m;
			uint64_t copied = 0;
			struct blk *b = open_image(w, 2, false), *rest = NULL;
			assert_ok(qcow2_merge_up(b, 0, 1 << 20, &copied), &w->e);
			blk_close(b);
			b = open_image(w, 2, false);
			assert_ok(image_merge_begin(&m, b, IMAGE_MERGE_UP, &w->e), &w->e);
			scribble(w, b, 5);
			while (image_merge_step(&m, &w->e) > 0)
				scribble(w, b, 1);
			assert_ok(image_merge_finish(&m, &rest, &w->e), &w->e);
			assert_ptr_equal(rest, b);
			check_all(w, b, DISK_BYTES);
			blk_close(b);
			assert_clean(w, 2);
			unlink(w->path[left - 1 == 0 ? 0 : 1]);
			b = open_image(w, 2, false);
			check_all(w, b, DISK_BYTES);
			assert_int_equal(b->backing != NULL, left == 2);
			blk_close(b);
		}
	}
}

static void *use(void *arg)
{
	void **p = arg;
	struct world *w = p[0];

	while (!atomic_load(&w->stop))
		scribble(w, p[1], 1);
	return NULL;
}

/* A guest writes all the time. */
static void test_used(void **state)
{
	struct world *w = *state;

	for (unsigned way = IMAGE_MERGE_DOWN; way <= IMAGE_MERGE_UP; way++) {
		struct image_merge m;
		pthread_t t;
		make_chain(w, 12);
		struct blk *b = open_image(w, 2, way == IMAGE_MERGE_DOWN), *rest = NULL;
		void *arg[2] = { w, b };
		assert_ok(image_merge_begin(&m, b, way, &w->e), &w->e);
		atomic_store(&w->stop, false);
		assert_int_equal(pthread_create(&t, NULL, use, arg), 0);
		while (image_merge_step(&m, &w->e) > 0)
			;
		atomic_store(&w->stop, true);
		pthread_join(t, NULL);
		check_all(w, b, DISK_BYTES);
		m.at = 0;
		while (image_merge_step(&m, &w->e) > 0)
			;
		assert_ok(image_merge_finish(&m, &rest, &w->e), &w->e);
		check_all(w, rest, DISK_BYTES);
		blk_close(rest);
		assert_clean(w, way == IMAGE_MERGE_DOWN ? 1 : 2);
	}
}

/* A snapshot of a disk that is used: the old image keeps what was there. */
static void test_switch(void **state)
{
	struct world *w = *state;
	struct blk *live = NULL, *top = NULL, *other = NULL;
	auto_free uint8_t *before = malloc(DISK_BYTES);
	struct image_options o = { .format = IMAGE_FORMAT_QCOW2 };

	make(w, 0, 16, DISK_BYTES);
	assert_ok(blk_live_open(open_image(w, 0, false), &live, &w->e), &w->e);
	assert_ok(blk_start(live, &w->e), &w->e);
	scribble(w, live, 40);
	live->ops->drain(live);
	memcpy(before, w->mirror, DISK_BYTES);
	assert_ok(blk_live_seal(live, &w->e), &w->e);
	assert_int_equal(blk_run(live, BLK_WRITE, 0, w->mirror, 512), -EROFS);
	make(w, 1, 16, 0);
	/* It was not to be: the disk goes on as before. */
	assert_ok(blk_live_switch(live, blk_live_top(live), &w->e), &w->e);
	scribble(w, live, 10);
	/* Nor later, when an overlay had been above it for a while. */
	assert_ok(blk_live_seal(live, &w->e), &w->e);
	o.backing = other = blk_live_top(live);
	assert_ok(image_open(w->path[1], &o, &top, &w->e), &w->e);
	assert_ok(blk_live_switch(live, top, &w->e), &w->e);
	qcow2_set_backing(top, NULL);
	assert_ok(blk_live_switch(live, other, &w->e), &w->e);
	blk_close(top);
	assert_false(live->read_only);
	scribble(w, live, 10);
	memcpy(before, w->mirror, DISK_BYTES);
	assert_ok(blk_live_seal(live, &w->e), &w->e);
	o.backing = blk_live_top(live);
	assert_ok(image_open(w->path[1], &o, &top, &w->e), &w->e);
	assert_ok(blk_live_switch(live, top, &w->e), &w->e);
	check_all(w, live, DISK_BYTES);
	scribble(w, live, 40);
	check_all(w, live, DISK_BYTES);
	/* Others may read the snapshot meanwhile, not write it. */
	o = (struct image_options){ .format = IMAGE_FORMAT_QCOW2, .read_only = true };
	assert_ok(image_open(w->path[0], &o, &other, &w->e), &w->e);
	auto_free uint8_t *buf = malloc(DISK_BYTES);
	assert_int_equal(blk_run(other, BLK_READ, 0, buf, DISK_BYTES), 0);
	assert_memory_equal(buf, before, DISK_BYTES);
	blk_close(other);
	o.read_only = false;
	assert_int_equal(image_open(w->path[0], &o, &other, &w->e), -EBUSY);
	/* The snapshot is deleted: back into the image below. */
	struct image_merge m;
	struct blk *rest = NULL;
	live->ops->drain(live);
	assert_ok(top->backing->ops->set_writable(top->backing, true, &w->e), &w->e);
	assert_ok(image_merge_begin(&m, top, IMAGE_MERGE_DOWN, &w->e), &w->e);
	while (image_merge_step(&m, &w->e) > 0)
		;
	assert_ok(blk_live_switch(live, top->backing, &w->e), &w->e);
	assert_ok(image_merge_finish(&m, &rest, &w->e), &w->e);
	assert_ptr_equal(rest, blk_live_top(live));
	scribble(w, live, 10);
	check_all(w, live, DISK_BYTES);
	blk_close(live);
	assert_clean(w, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_down, setup, teardown),
		cmocka_unit_test_setup_teardown(test_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_used, setup, teardown),
		cmocka_unit_test_setup_teardown(test_switch, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
