/* qcow2 images: made, filled, chained, checked; hostile ones are refused and break nothing. */
#include "ctest.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/log.h"
#include "devmodel/storage/format/qcow2/int.h"
#include "devmodel/storage/image.h"

#define DISK_BYTES (3u << 20)

struct world {
	char dir[64];
	char a[96], b[96], c[96];
	struct err e;
	uint8_t *mirror;
	uint64_t seed;
};

static void quiet(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	snprintf(w->dir, sizeof(w->dir), "/tmp/lodge-test-qcow2-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->a, sizeof(w->a), "%s/a", w->dir);
	snprintf(w->b, sizeof(w->b), "%s/b", w->dir);
	snprintf(w->c, sizeof(w->c), "%s/c", w->dir);
	w->mirror = calloc(1, DISK_BYTES);
	w->seed = 7;
	log_set_sink(quiet, NULL);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	log_set_sink(NULL, NULL);
	unlink(w->a);
	unlink(w->b);
	unlink(w->c);
	assert_int_equal(rmdir(w->dir), 0); /* nothing temporary is left */
	free(w->mirror);
	free(w);
	return 0;
}

static void make(struct world *w, const char *path, const struct qcow2_create *q)
{
	struct image_create c = { .format = IMAGE_FORMAT_QCOW2, .q = *q, .replace = true };

	if (c.q.bytes == 0 && c.q.backing_file == NULL)
		c.q.bytes = DISK_BYTES;
	assert_ok(image_create(path, &c, &w->e), &w->e);
}

static struct blk *open_rw(struct world *w, const char *path)
{
	const struct image_options o = { .format = IMAGE_FORMAT_QCOW2 };
	struct blk *b = NULL;

	assert_ok(image_open(path, &o, &b, &w->e), &w->e);
	return b;
}

static void check_all(struct world *w, struct blk *b)
{
	auto_free uint8_t *buf = malloc(DISK_BYTES);

	assert_int_equal(blk_run(b, BLK_READ, 0, buf, DISK_BYTES), 0);
	assert_memory_equal(buf, w->mirror, DISK_BYTES);
}

static void churn(struct world *w, struct blk *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const uint64_t off = test_rnd(&w->seed) % (DISK_BYTES / 512) * 512;
		const uint64_t bytes = hv_min_u64((1 + test_rnd(&w->seed) % 400) * 512,
						  DISK_BYTES - off);
		if (test_rnd(&w->seed) % 4 == 0) {
			memset(w->mirror + off, 0, bytes);
			assert_int_equal(blk_run(b, BLK_WRITE_ZEROES, off, NULL, bytes), 0);
			continue;
		}
		memset(w->mirror + off, (int)test_rnd(&w->seed), bytes);
		assert_int_equal(blk_run(b, BLK_WRITE, off, w->mirror + off, bytes), 0);
		if (i % 16 == 0)
			assert_int_equal(blk_run(b, BLK_FLUSH, 0, NULL, 0), 0);
	}
	check_all(w, b);
}

static struct qcow2_check check_image(struct world *w, const char *path, bool repair)
{
	const struct image_options o = { .format = IMAGE_FORMAT_QCOW2,
					 .for_check = true,
					 .read_only = !repair };
	struct qcow2_check c;
	struct blk *b = NULL;

	assert_ok(image_open(path, &o, &b, &w->e), &w->e);
	assert_ok(qcow2_check(b, repair, &c, &w->e), &w->e);
	blk_close(b);
	return c;
}

static void assert_clean(struct world *w, const char *path)
{
	const struct qcow2_check c = check_image(w, path, false);

	if (c.errors + c.leaks > 0)
		fail_msg("%u errors, %u leaks: %s", (unsigned)c.errors, (unsigned)c.leaks, c.first);
}

static void test_kinds(void **state)
{
	static const struct qcow2_create kinds[] = {
		{ .cluster_bits = 9 },
		{ .cluster_bits = 12, .version = 2 },
		{ .cluster_bits = 16 },
		{ .cluster_bits = 16, .lazy_refcounts = true },
		{ .cluster_bits = 21, .compression = QCOW2_ZSTD },
	};
	struct world *w = *state;

	for (unsigned i = 0; i < HV_ARRAY_LEN(kinds); i++) {
		memset(w->mirror, 0, DISK_BYTES);
		make(w, w->a, &kinds[i]);
		assert_clean(w, w->a);
		struct blk *b = open_rw(w, w->a);
		assert_int_equal(b->bytes, DISK_BYTES);
		check_all(w, b);
		churn(w, b, 150);
		blk_close(b);
		b = open_rw(w, w->a);
		check_all(w, b);
		churn(w, b, 50);
		blk_close(b);
		assert_clean(w, w->a);
	}
}

static void test_compressed(void **state)
{
	struct world *w = *state;

	for (unsigned kind = QCOW2_ZLIB; kind <= QCOW2_ZSTD; kind++) {
		make(w, w->a, &(struct qcow2_create){ .compression = kind });
		struct blk *b = open_rw(w, w->a);
		for (uint64_t off = 0; off < DISK_BYTES; off += 65536) {
			for (unsigned i = 0; i < 65536; i++) /* every third one does not shrink */
				w->mirror[off + i] = off / 65536 % 3 == 0
							     ? (uint8_t)test_rnd(&w->seed)
							     : (uint8_t)(i / 99);
			assert_int_equal(qcow2_write_compressed(b, off, w->mirror + off), 0);
		}
		check_all(w, b);
		blk_close(b);
		const struct qcow2_check c = check_image(w, w->a, false);
		assert_int_equal(c.errors + c.leaks, 0);
		assert_int_equal(c.compressed, 32);
		b = open_rw(w, w->a);
		check_all(w, b);
		churn(w, b, 100);
		blk_close(b);
		assert_clean(w, w->a);
	}
}

/* What lies below shows until it is written; what is zeroed does not show again. */
static void test_backing(void **state)
{
	struct world *w = *state;
	struct blk *b;

	make(w, w->a, &(struct qcow2_create){ .cluster_bits = 12 });
	b = open_rw(w, w->a);
	churn(w, b, 50);
	blk_close(b);
	/* The name is relative to the overlay. */
	make(w, w->b, &(struct qcow2_create){ .backing_file = "a", .backing_format = "qcow2" });
	make(w, w->c, &(struct qcow2_create){ .backing_file = w->b, .backing_format = "qcow2" });
	b = open_rw(w, w->c);
	assert_int_equal(b->bytes, DISK_BYTES);
	check_all(w, b);
	churn(w, b, 60);
	/* All of the chain is locked. */
	struct blk *other = NULL;
	const struct image_options o = { .format = IMAGE_FORMAT_QCOW2 };
	assert_int_equal(image_open(w->a, &o, &other, &w->e), -EBUSY);
	blk_close(b);
	b = open_rw(w, w->c);
	check_all(w, b);
	blk_close(b);
	assert_clean(w, w->a);
	assert_clean(w, w->b);
	assert_clean(w, w->c);
	/* A loop. */
	b = open_rw(w, w->a);
	assert_ok(qcow2_name_backing(b, w->c, "qcow2", &w->e), &w->e);
	blk_close(b);
	assert_int_equal(image_open(w->c, &o, &other, &w->e), -ELOOP);
	assert_non_null(strstr(w->e.msg, "based on itself"));
}

static void test_resize(void **state)
{
	struct world *w = *state;
	uint8_t buf[4096];

	make(w, w->a, &(struct qcow2_create){ .cluster_bits = 9 });
	struct blk *b = open_rw(w, w->a);
	churn(w, b, 100);
	assert_ok(qcow2_resize(b, 40u << 20, &w->e), &w->e);
	check_all(w, b);
	assert_int_equal(blk_run(b, BLK_READ, DISK_BYTES, buf, sizeof(buf)), 0);
	assert_true(hv_is_zero(buf, sizeof(buf)));
	memset(buf, 5, sizeof(buf));
	assert_int_equal(blk_run(b, BLK_WRITE, (40u << 20) - 4096, buf, sizeof(buf)), 0);
	assert_ok(qcow2_resize(b, (1u << 20) + 512, &w->e), &w->e);
	assert_ok(qcow2_resize(b, DISK_BYTES, &w->e), &w->e);
	memset(w->mirror + (1u << 20) + 512, 0, DISK_BYTES - (1u << 20) - 512);
	check_all(w, b);
	churn(w, b, 50);
	blk_close(b);
	b = open_rw(w, w->a);
	check_all(w, b);
	blk_close(b);
	assert_clean(w, w->a);
}

static void patch(const char *path, uint64_t off, const void *bytes, size_t n)
{
	auto_close int fd = open(path, O_RDWR);

	assert_int_equal(pwrite(fd, bytes, n, (off_t)off), n);
}

static void patch32(const char *path, uint64_t off, uint32_t v)
{
	v = __builtin_bswap32(v);
	patch(path, off, &v, 4);
}

static void patch64(const char *path, uint64_t off, uint64_t v)
{
	v = __builtin_bswap64(v);
	patch(path, off, &v, 8);
}

/* Each header is refused with a line that says what is wrong. */
static void test_refused(void **state)
{
	static const struct {
		unsigned off, size;
		uint64_t v;
		const char *words;
	} bad[] = {
		{ Q2_H_VERSION, 4, 4, "version 4" },
		{ Q2_H_CLUSTER_BITS, 4, 8, "2^8" },
		{ Q2_H_CLUSTER_BITS, 4, 22, "2^22" },
		{ Q2_H_CRYPT, 4, 1, "encrypted" },
		{ Q2_H_SIZE, 8, UINT64_MAX, "too large" },
		{ Q2_H_SIZE, 8, 1ull << 50, "L1 table" },
		{ Q2_H_SIZE, 8, 0, "empty" },
		{ Q2_H_L1_SIZE, 4, UINT32_MAX, "L1 table" },
		{ Q2_H_L1_SIZE, 4, 1u << 22, "outside the file" },
		{ Q2_H_L1_OFF, 8, 12345, "outside the file" },
		{ Q2_H_L1_OFF, 8, 1ull << 63, "outside the file" },
		{ Q2_H_RT_OFF, 8, 1ull << 55, "outside the file" },
		{ Q2_H_RT_OFF, 8, 65536 * 3, "overlaps" },
		{ Q2_H_RT_CLUSTERS, 4, 0, "refcount table" },
		{ Q2_H_RT_CLUSTERS, 4, 1u << 30, "refcount table" },
		{ Q2_H_N_SNAPSHOTS, 4, 1u << 31, "snapshots" },
		{ Q2_H_INCOMPAT, 8, Q2_INCOMPAT_DATA_FILE, "another file" },
		{ Q2_H_INCOMPAT, 8, Q2_INCOMPAT_CORRUPT, "marked as corrupt" },
		{ Q2_H_INCOMPAT, 8, 1ull << 40, "feature number 40" },
		{ Q2_H_INCOMPAT, 8, Q2_INCOMPAT_COMPRESSION, "compression type" },
		{ Q2_H_INCOMPAT, 8, Q2_INCOMPAT_EXTENDED_L2, "subclusters" },
		{ Q2_H_REFCOUNT_ORDER, 4, 7, "2^7" },
		{ Q2_H_LENGTH, 4, 103, "length of its header" },
		{ Q2_H_LENGTH, 4, 1u << 20, "length of its header" },
		{ Q2_H_BACKING_OFF, 8, 65530, "backing file" },
		{ Q2_H_V3_BYTES, 8, 0x1234567800100000, "extension" },
	};
	const struct image_options o = { .format = IMAGE_FORMAT_QCOW2 };
	struct world *w = *state;
	struct blk *b = NULL;

	for (unsigned i = 0; i < HV_ARRAY_LEN(bad); i++) {
		make(w, w->a, &(struct qcow2_create){ 0 });
		if (bad[i].off == Q2_H_BACKING_OFF)
			patch32(w->a, Q2_H_BACKING_LEN, 100);
		if (bad[i].size == 4)
			patch32(w->a, bad[i].off, (uint32_t)bad[i].v);
		else
			patch64(w->a, bad[i].off, bad[i].v);
		assert_true(image_open(w->a, &o, &b, &w->e) < 0);
		if (strstr(w->e.msg, bad[i].words) == NULL)
			fail_msg("%u: \"%s\" lacks \"%s\"", i, w->e.msg, bad[i].words);
	}
}

/* An unknown feature is told by the name that the image has for it. */
static void test_feature_name(void **state)
{
	const struct image_options o = { .format = IMAGE_FORMAT_QCOW2, .read_only = true };
	struct world *w = *state;
	struct blk *b = NULL;
	uint8_t ext[8 + 48] = { 0x68, 0x03, 0xf8, 0x57, 0, 0, 0, 48, 0, 33 };

	make(w, w->a, &(struct qcow2_create){ 0 });
	memcpy(ext + 10, "time\ntravel", 11);
	patch(w->a, Q2_H_V3_BYTES, ext, sizeof(ext));
	patch64(w->a, Q2_H_INCOMPAT, 1ull << 33);
	assert_int_equal(image_open(w->a, &o, &b, &w->e), -EINVAL);
	assert_non_null(strstr(w->e.msg, "'time?travel'"));
}

/* A table entry that points at metadata: the guest does not get there, and the image is marked. */
static void test_overlap(void **state)
{
	struct world *w = *state;
	uint8_t buf[512] = { 1 };

	make(w, w->a, &(struct qcow2_create){ 0 });
	struct blk *b = open_rw(w, w->a);
	assert_int_equal(blk_run(b, BLK_WRITE, 0, buf, sizeof(buf)), 0);
	blk_close(b);
	/* header, refcount table, block, L1, L2: the L2 table's first entry */
	patch64(w->a, 4 * 65536, 3 * 65536ull | Q2_COPIED);
	b = open_rw(w, w->a);
	assert_int_equal(blk_run(b, BLK_WRITE, 0, buf, sizeof(buf)), -EIO);
	assert_int_equal(blk_run(b, BLK_WRITE, 1 << 20, buf, sizeof(buf)), -EIO);
	blk_close(b);
	const struct image_options o = { .format = IMAGE_FORMAT_QCOW2 };
	assert_int_equal(image_open(w->a, &o, &b, &w->e), -EBADMSG);
	assert_true(check_image(w, w->a, true).errors > 0);
	assert_clean(w, w->a);
	b = open_rw(w, w->a);
	assert_int_equal(blk_run(b, BLK_WRITE, 0, buf, sizeof(buf)), 0);
	blk_close(b);
	assert_clean(w, w->a);
}

/* Whatever is in the tables: no crash, no error but -EIO; a repaired image is good and works. */
static void test_mutations(void **state)
{
	const struct image_options rw = { .format = IMAGE_FORMAT_QCOW2 };
	const struct image_options o = { .format = IMAGE_FORMAT_QCOW2, .for_check = true };
	struct world *w = *state;
	auto_free uint8_t *buf = calloc(1, DISK_BYTES);
	struct qcow2_check c;

	for (unsigned i = 0; i < 80; i++) {
		memset(w->mirror, 0, DISK_BYTES);
		make(w, w->a,
		     &(struct qcow2_create){ .cluster_bits = i % 2 ? 12 : 9,
					     .refcount_bits = 1u << i % 7 });
		struct blk *b = open_rw(w, w->a);
		churn(w, b, 4);
		blk_close(b);
		struct stat st;
		assert_int_equal(stat(w->a, &st), 0);
		for (unsigned k = 0; k < 12; k++) { /* mostly where the tables are */
			const uint64_t end = k < 2 ? 160 : k < 9 ? 16384 : (uint64_t)st.st_size;
			const uint64_t v = test_rnd(&w->seed);
			patch(w->a, test_rnd(&w->seed) % end, &v, 1 + v % 8);
		}
		b = NULL;
		if (image_open(w->a, &rw, &b, &w->e) == 0) {
			const uint64_t n = hv_min_u64(DISK_BYTES, b->bytes);
			(void)!blk_run(b, BLK_READ, 0, buf, n);
			for (uint64_t at = 0; at < n; at += 65536)
				(void)!blk_run(b, BLK_WRITE, at, buf, hv_min_u64(8192, n - at));
			(void)!blk_run(b, BLK_DISCARD, 0, NULL, n / 2);
			(void)!blk_run(b, BLK_FLUSH, 0, NULL, 0);
			blk_close(b);
		}
		if (image_open(w->a, &o, &b, &w->e) < 0)
			continue;
		const int r = qcow2_check(b, true, &c, &w->e);
		blk_close(b);
		if (r == 0)
			assert_int_equal(check_image(w, w->a, false).errors, 0);
	}
}

/* As a killed process leaves it. */
static void copy_file(const char *from, const char *to)
{
	auto_close int in = open(from, O_RDONLY);
	auto_close int out = open(to, O_RDWR | O_CREAT | O_TRUNC, 0600);
	struct stat st;

	assert_int_equal(fstat(in, &st), 0);
	auto_free uint8_t *copy = malloc((size_t)st.st_size);
	assert_int_equal(pread(in, copy, (size_t)st.st_size, 0), st.st_size);
	assert_int_equal(write(out, copy, (size_t)st.st_size), st.st_size);
}

static void test_dirty(void **state)
{
	struct world *w = *state;

	make(w, w->a, &(struct qcow2_create){ .lazy_refcounts = true });
	struct blk *b = open_rw(w, w->a);
	churn(w, b, 30);
	assert_int_equal(blk_run(b, BLK_FLUSH, 0, NULL, 0), 0);
	copy_file(w->a, w->b);
	blk_close(b);
	assert_clean(w, w->a);
	assert_true(check_image(w, w->b, false).errors > 0);
	b = open_rw(w, w->b);
	check_all(w, b);
	churn(w, b, 20);
	blk_close(b);
	assert_clean(w, w->b);
}

/* Nothing but the size changes, and its counts come late: the mark says so. */
static void test_resize_lazy(void **state)
{
	const struct image_options o = { .format = IMAGE_FORMAT_QCOW2, .for_check = true };
	struct world *w = *state;
	struct blk *b;

	make(w, w->a, &(struct qcow2_create){ .cluster_bits = 9, .lazy_refcounts = true });
	b = open_rw(w, w->a);
	assert_ok(qcow2_resize(b, 100u << 20, &w->e), &w->e);
	copy_file(w->a, w->b);
	blk_close(b);
	assert_clean(w, w->a);
	assert_ok(image_open(w->b, &o, &b, &w->e), &w->e);
	assert_true(qcow2_info(b)->dirty);
	blk_close(b);
}

/* What is cut off an overlay takes no room on the way. */
static void test_shrink(void **state)
{
	struct world *w = *state;
	struct stat st;

	make(w, w->a, &(struct qcow2_create){ .bytes = 1ull << 36 });
	make(w, w->b, &(struct qcow2_create){ .backing_file = "a", .backing_format = "qcow2" });
	struct blk *b = open_rw(w, w->b);
	churn(w, b, 20);
	assert_ok(qcow2_resize(b, 1u << 20, &w->e), &w->e);
	assert_ok(qcow2_resize(b, DISK_BYTES, &w->e), &w->e);
	memset(w->mirror + (1u << 20), 0, DISK_BYTES - (1u << 20));
	check_all(w, b);
	blk_close(b);
	assert_clean(w, w->b);
	assert_int_equal(stat(w->b, &st), 0);
	assert_true(st.st_size < 5 << 20);
}

/* One that reaches past the header's first sector. */
static void test_long_name(void **state)
{
	struct world *w = *state;
	char name[601] = "";

	memset(name, 'n', sizeof(name) - 1);
	for (unsigned bits = 10; bits <= 12; bits++) {
		make(w, w->a, &(struct qcow2_create){ .cluster_bits = bits });
		struct blk *b = open_rw(w, w->a);
		assert_ok(qcow2_name_backing(b, name, "raw", &w->e), &w->e);
		blk_close(b);
		const struct image_options o = { .format = IMAGE_FORMAT_QCOW2, .for_check = true };
		assert_ok(image_open(w->a, &o, &b, &w->e), &w->e);
		assert_string_equal(qcow2_info(b)->backing_file, name);
		blk_close(b);
	}
}

static uint64_t first_l2(const char *path, uint64_t *ret_entry)
{
	auto_close int fd = open(path, O_RDONLY);
	uint8_t be[8];

	assert_int_equal(pread(fd, be, 8, Q2_H_L1_OFF), 8);
	assert_int_equal(pread(fd, be, 8, (off_t)q2_get64(be)), 8);
	const uint64_t l2 = q2_get64(be) & Q2_OFFSET_MASK;
	assert_int_equal(pread(fd, be, 8, (off_t)l2), 8);
	*ret_entry = q2_get64(be);
	return l2;
}

/* A mark where there can be none: it goes, and what it was put on stays. */
static void test_repair_marks(void **state)
{
	struct world *w = *state;
	uint64_t entry, l2;
	struct blk *b;

	make(w, w->a, &(struct qcow2_create){ 0 });
	b = open_rw(w, w->a);
	memset(w->mirror, 7, 65536);
	assert_int_equal(qcow2_write_compressed(b, 0, w->mirror), 0);
	blk_close(b);
	for (unsigned i = 0; i < 2; i++) {
		l2 = first_l2(w->a, &entry);
		patch64(w->a, l2, entry | Q2_COPIED);
		assert_int_equal(check_image(w, w->a, true).errors, 1);
		assert_clean(w, w->a);
		b = open_rw(w, w->a);
		check_all(w, b);
		/* The second time: zeroes that an entry says. */
		memset(w->mirror, 0, 65536);
		assert_int_equal(blk_run(b, BLK_WRITE_ZEROES, 0, NULL, 65536), 0);
		blk_close(b);
	}
	first_l2(w->a, &entry);
	assert_int_equal(entry, Q2_ZERO);
}

#define DEVICE_BYTES (8u << 20)

static int device_write(struct io_host *h, struct iovec *iov, unsigned n, uint64_t off)
{
	uint64_t end = off;

	for (unsigned i = 0; i < n; i++)
		end += iov[i].iov_len;
	return end > DEVICE_BYTES ? -ENOSPC : io_host_file_ops.write(h, iov, n, off);
}

/* A block device has nothing behind its end. */
static void test_repair_device(void **state)
{
	const struct qcow2_options o = { .for_check = true };
	struct world *w = *state;
	struct io_host_ops device = io_host_file_ops;
	struct io_host host;
	struct qcow2_check c;
	struct blk *b;

	make(w, w->a, &(struct qcow2_create){ .lazy_refcounts = true });
	b = open_rw(w, w->a);
	churn(w, b, 30);
	assert_int_equal(blk_run(b, BLK_FLUSH, 0, NULL, 0), 0);
	copy_file(w->a, w->b);
	blk_close(b);
	assert_int_equal(truncate(w->b, DEVICE_BYTES), 0);
	device.write = device_write;
	io_host_init(&host, open(w->b, O_RDWR | O_CLOEXEC), IO_CACHE_SAFE);
	host.ops = &device;
	assert_ok(qcow2_open(&host, "device", &o, &b, &w->e), &w->e);
	assert_ok(qcow2_check(b, true, &c, &w->e), &w->e);
	assert_true(c.errors > 0);
	blk_close(b);
	assert_clean(w, w->b);
	b = open_rw(w, w->b);
	check_all(w, b);
	blk_close(b);
}

/* A guest cannot make another format of a disk that was taken for raw. */
static void test_guarded(void **state)
{
	struct world *w = *state;
	struct image_options o = { .format = IMAGE_FORMAT_AUTO };
	struct image_create c = { .format = IMAGE_FORMAT_RAW, .q = { .bytes = DISK_BYTES } };
	uint8_t mark[512] = { 'Q', 'F', 'I', 0xfb };
	struct blk *b = NULL;

	assert_ok(image_create(w->a, &c, &w->e), &w->e);
	assert_int_equal(image_create(w->a, &c, &w->e), -EEXIST);
	assert_ok(image_open(w->a, &o, &b, &w->e), &w->e);
	assert_int_equal(blk_run(b, BLK_WRITE, 0, mark, sizeof(mark)), -EPERM);
	assert_int_equal(blk_run(b, BLK_WRITE, 512, mark, sizeof(mark)), 0);
	blk_close(b);
	o.format = IMAGE_FORMAT_RAW;
	assert_ok(image_open(w->a, &o, &b, &w->e), &w->e);
	assert_int_equal(blk_run(b, BLK_WRITE, 0, mark, sizeof(mark)), 0);
	blk_close(b);
	/* A backing file is what the image says. */
	make(w, w->b, &(struct qcow2_create){ .backing_file = "a", .backing_format = "raw" });
	b = open_rw(w, w->b);
	uint8_t got[512];
	assert_int_equal(blk_run(b, BLK_READ, 0, got, sizeof(got)), 0);
	assert_memory_equal(got, mark, sizeof(mark));
	blk_close(b);
	b = open_rw(w, w->b);
	assert_ok(qcow2_name_backing(b, "a", NULL, &w->e), &w->e);
	blk_close(b);
	assert_int_equal(image_open(w->b, &o, &b, &w->e), 0); /* as raw: fine */
	blk_close(b);
	o.format = IMAGE_FORMAT_QCOW2;
	assert_int_equal(image_open(w->b, &o, &b, &w->e), -EINVAL);
	assert_non_null(strstr(w->e.msg, "does not say which format"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kinds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_compressed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_backing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resize, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_feature_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overlap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mutations, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dirty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resize_lazy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shrink, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_repair_marks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_repair_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guarded, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
