/* devmodel/storage/pack: round trip, any bit flipped, cut short anywhere, forged. */
#include "ctest.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "devmodel/storage/pack/pack_int.h"
#include "state/state.h"

static struct err error;

/* ---- an item in memory ---- */

struct memory {
	uint8_t *p;
	uint64_t bytes, zeroes_from;
	unsigned n_reads;
};

static int read_memory(void *ctx, uint64_t off, void *buf, uint64_t bytes)
{
	struct memory *m = ctx;

	__atomic_add_fetch(&m->n_reads, 1, __ATOMIC_RELAXED);
	assert(off + bytes <= m->bytes && bytes <= PACK_CHUNK_BYTES);
	memcpy(buf, m->p + off, bytes);
	return 0;
}

static int zeroes_of(void *ctx, uint64_t off, uint64_t bytes, uint64_t *ret_bytes)
{
	*ret_bytes = off >= ((struct memory *)ctx)->zeroes_from ? bytes : 0;
	return 0;
}

static int write_memory(void *ctx, uint64_t off, const uint8_t *buf, uint64_t bytes)
{
	struct memory *m = ctx;

	assert(off + bytes <= m->bytes && bytes <= PACK_CHUNK_BYTES);
	memcpy(m->p + off, buf, bytes);
	return 0;
}

static int fail_to(void *ctx, uint64_t off, const uint8_t *buf, uint64_t bytes)
{
	(void)ctx;
	(void)off;
	(void)buf;
	(void)bytes;
	return -ENOSPC;
}

static int new_file(void)
{
	int fd = memfd_create("pack", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static uint64_t file_bytes(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_size;
}

static struct pack_writer *begin(int fd)
{
	struct pack_writer *w;

	assert_ok(pack_writer_create(fd, NULL, NULL, &w, &error), &error);
	return w;
}

static void add(struct pack_writer *w, const char *name, struct memory *m)
{
	const struct pack_source s = { read_memory, zeroes_of, m };

	assert_ok(pack_writer_item(w, name, m->bytes, &s, &error), &error);
}

static void finish(struct pack_writer *w)
{
	assert_ok(pack_writer_finish(w, &error), &error);
	pack_writer_destroy(w);
}

/* 0: all of it is as in m. */
static int compare(int fd, const char *name, const struct memory *m)
{
	struct memory got = { .p = calloc(1, m->bytes + 1), .bytes = m->bytes };
	struct pack *p;
	int r = pack_open(fd, &p, &error);

	if (r == 0) {
		const struct pack_item *i = pack_find(p, name);
		r = i == NULL || i->bytes != m->bytes
			    ? -ENOENT
			    : pack_read(p, i, write_memory, &got, NULL, NULL, &error);
		pack_close(p);
	}
	if (r == 0)
		r = memcmp(got.p, m->p, m->bytes) == 0 ? 0 : -ERANGE;
	free(got.p);
	return r;
}

/* ---- tests ---- */

static void fill(uint8_t *p, uint64_t bytes, uint64_t seed)
{
	for (uint64_t i = 0; i < bytes; i++)
		p[i] = (uint8_t)test_rnd(&seed);
}

static void test_round_trip(void **state)
{
	static const uint64_t sizes[] = {
		0, 1, 63, 4096, HV_MIB(1) - 1, HV_MIB(1), HV_MIB(1) + 1, HV_MIB(5)
	};
	struct memory m[HV_ARRAY_LEN(sizes)];
	auto_close int fd = new_file();
	struct pack_writer *w = begin(fd);
	char name[16];

	(void)state;
	for (unsigned i = 0; i < HV_ARRAY_LEN(sizes); i++) {
		m[i] = (struct memory){ calloc(1, sizes[i] + 1), sizes[i], UINT64_MAX, 0 };
		fill(m[i].p, sizes[i] / 2, i + 1);
		snprintf(name, sizeof(name), "item.%u", i);
		add(w, name, &m[i]);
	}
	finish(w);
	for (unsigned i = 0; i < HV_ARRAY_LEN(sizes); i++) {
		snprintf(name, sizeof(name), "item.%u", i);
		assert_int_equal(compare(fd, name, &m[i]), 0);
		free(m[i].p);
	}
}

/* A disk of 64 GiB with a MiB of data: what is known to be zero is not even read. */
static void test_zeroes(void **state)
{
	struct memory m = { calloc(1, HV_MIB(2)), HV_GIB(64), HV_MIB(2), 0 };
	auto_close int fd = new_file();
	struct pack_writer *w = begin(fd);
	struct pack *p;

	(void)state;
	fill(m.p + HV_MIB(1), HV_MIB(1), 1);
	add(w, "disk", &m);
	finish(w);
	assert_int_equal(m.n_reads, 2);
	assert_in_range(file_bytes(fd), HV_MIB(1), HV_MIB(1) + 4096);
	assert_ok(pack_open(fd, &p, &error), &error);
	assert_int_equal(p->item[0].n_chunks, 1);
	assert_int_equal(p->item[0].chunk[0].number, 1);
	pack_close(p);
	free(m.p);
}

static void test_text(void **state)
{
	auto_close int fd = new_file();
	struct pack_writer *w = begin(fd);
	struct memory zero = { (uint8_t[]){ 'a', 0, 'b' }, 3, UINT64_MAX, 0 };
	struct pack *p;
	char *text;

	(void)state;
	assert_ok(pack_writer_text(w, "text", "[vm]\n", &error), &error);
	assert_ok(pack_writer_text(w, "empty", "", &error), &error);
	add(w, "bytes", &zero);
	finish(w);
	assert_ok(pack_open(fd, &p, &error), &error);
	assert_null(pack_find(p, "other"));
	assert_ok(pack_read_text(p, pack_find(p, "text"), 5, &text, &error), &error);
	assert_string_equal(text, "[vm]\n");
	free(text);
	assert_ok(pack_read_text(p, pack_find(p, "empty"), 0, &text, &error), &error);
	assert_string_equal(text, "");
	free(text);
	assert_int_equal(pack_read_text(p, pack_find(p, "text"), 4, &text, &error), -EBADMSG);
	assert_int_equal(pack_read_text(p, pack_find(p, "bytes"), 9, &text, &error), -EBADMSG);
	pack_close(p);
}

static void test_names(void **state)
{
	static const char *const bad[] = { "",
					   "/etc/passwd",
					   "a/b",
					   "a b",
					   "a\n",
					   "0123456789012345678901234567890123456789"
					   "012345678901234567890123" };
	auto_close int fd = new_file();
	struct pack_writer *w = begin(fd);

	(void)state;
	for (unsigned i = 0; i < HV_ARRAY_LEN(bad); i++)
		assert_int_equal(pack_writer_text(w, bad[i], "", &error), -EINVAL);
	pack_writer_destroy(w);
}

/* A small file with two items, and what one of them holds. */
static int small(struct memory *m)
{
	int fd = new_file();
	struct pack_writer *w = begin(fd);

	*m = (struct memory){ calloc(1, HV_MIB(3)), HV_MIB(3), UINT64_MAX, 0 };
	fill(m->p, 300, 7);
	fill(m->p + HV_MIB(2), 100, 8);
	assert_ok(pack_writer_text(w, "manifest", "a text", &error), &error);
	add(w, "disk", m);
	finish(w);
	return fd;
}

static bool whole(int fd, const struct memory *m)
{
	struct memory text = { (uint8_t *)(uintptr_t) "a text", 6, UINT64_MAX, 0 };

	return compare(fd, "disk", m) == 0 && compare(fd, "manifest", &text) == 0;
}

static void test_any_bit(void **state)
{
	struct memory m;
	auto_close int fd = small(&m);
	const uint64_t n = file_bytes(fd);
	struct pack_header h;
	uint8_t byte;

	(void)state;
	assert_true(n < 4096 && whole(fd, &m));
	assert_int_equal(pread(fd, &h, sizeof(h), 0), sizeof(h));
	/* In chunks, which are unpacked, one of each byte. */
	for (uint64_t bit = 0; bit < n * 8;
	     bit += bit / 8 >= sizeof(h) && bit / 8 < h.index_off - 1 ? 9 : 1) {
		const off_t at = (off_t)(bit / 8);
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		if (whole(fd, &m))
			fail_msg("bit %llu", (unsigned long long)bit);
		byte ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	assert_true(whole(fd, &m));
	free(m.p);
}

static void test_cut_short(void **state)
{
	struct memory m;
	auto_close int fd = small(&m);
	struct pack *p;

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)file_bytes(fd) + 1), 0);
	assert_int_equal(pack_open(fd, &p, &error), -EBADMSG);
	for (uint64_t n = file_bytes(fd) - 1; n-- > 0;) {
		assert_int_equal(ftruncate(fd, (off_t)n), 0);
		assert_int_equal(pack_open(fd, &p, &error), -EBADMSG);
	}
	free(m.p);
}

/* With checksums that are right. */
static int forge(int fd, uint64_t at, const void *bytes, size_t n)
{
	struct pack_header h;
	struct pack *p;
	uint8_t index[4096];

	assert_int_equal(pread(fd, &h, sizeof(h), 0), sizeof(h));
	assert_int_equal(pwrite(fd, bytes, n, (off_t)(h.index_off + at)), n);
	assert_int_equal(pread(fd, index, sizeof(index), (off_t)h.index_off), h.index_bytes);
	h.index_crc = state_crc32c(index, h.index_bytes);
	h.crc = state_crc32c(&h, offsetof(struct pack_header, crc));
	assert_int_equal(pwrite(fd, &h, sizeof(h), 0), sizeof(h));
	const int r = pack_open(fd, &p, &error);
	if (r == 0)
		pack_close(p);
	return r;
}

#define ENTRY(n, member)                                                                           \
	(sizeof(struct pack_index) + (n) * sizeof(struct pack_entry) +                             \
	 offsetof(struct pack_entry, member))
#define CHUNK(n, member)                                                                           \
	(ENTRY(2, name) + (n) * sizeof(struct pack_chunk) + offsetof(struct pack_chunk, member))

static void test_forged(void **state)
{
	static const struct {
		uint64_t at, value;
		size_t n;
	} cases[] = {
		{ offsetof(struct pack_index, n_items), 0, 4 },
		{ offsetof(struct pack_index, n_items), 3, 4 },
		{ offsetof(struct pack_index, n_items), UINT32_MAX, 4 },
		{ offsetof(struct pack_index, zero), 1, 4 },
		{ ENTRY(0, name), '/', 1 },
		{ ENTRY(0, name), 0, 1 },
		{ ENTRY(0, name) + PACK_NAME_MAX, 'a', 1 },
		{ ENTRY(1, bytes), UINT64_MAX, 8 },
		{ ENTRY(1, bytes), HV_MIB(2), 8 },
		{ ENTRY(1, n_chunks), 1, 4 },
		{ ENTRY(1, n_chunks), UINT32_MAX, 4 },
		{ ENTRY(1, zero), 1, 4 },
		{ CHUNK(0, off), 0, 8 },
		{ CHUNK(0, off), UINT64_MAX, 8 },
		{ CHUNK(1, packed_bytes), 0, 4 },
		{ CHUNK(1, packed_bytes), UINT32_MAX, 4 },
		{ CHUNK(1, number), 2, 4 },
		{ CHUNK(2, number), 3, 4 },
		{ CHUNK(2, number), UINT32_MAX, 4 },
		{ CHUNK(2, zero), 1, 4 },
	};

	(void)state;
	for (unsigned i = 0; i < HV_ARRAY_LEN(cases); i++) {
		struct memory m;
		auto_close int fd = small(&m);
		if (forge(fd, cases[i].at, &cases[i].value, cases[i].n) != -EBADMSG)
			fail_msg("case %u", i);
		free(m.p);
	}
}

static void test_same_name(void **state)
{
	struct memory m;
	auto_close int fd = small(&m);

	(void)state;
	assert_int_equal(forge(fd, ENTRY(0, name), "disk\0\0\0\0", 8), -EBADMSG);
	free(m.p);
}

/* A chunk that unpacks to more than belongs there, or to less. */
static void test_other_length(void **state)
{
	static const uint64_t sizes[] = { HV_MIB(2) + 1, HV_MIB(3) - 1 };

	(void)state;
	for (unsigned i = 0; i < HV_ARRAY_LEN(sizes); i++) {
		struct memory m;
		auto_close int fd = small(&m);
		assert_int_equal(forge(fd, ENTRY(1, bytes), &sizes[i], 8), 0);
		m.bytes = sizes[i];
		assert_int_equal(compare(fd, "disk", &m), -EBADMSG);
		assert_non_null(strstr(error.msg, "'disk'"));
		free(m.p);
	}
}

static void test_newer(void **state)
{
	struct memory m;
	auto_close int fd = small(&m);
	struct pack *p;

	(void)state;
	assert_int_equal(pwrite(fd, "\2", 1, offsetof(struct pack_header, format)), 1);
	assert_int_equal(pack_open(fd, &p, &error), -ENOTSUP);
	assert_non_null(strstr(error.msg, "format 2"));
	free(m.p);
}

/* Of a sink, and of a disk that is full: the error comes, and once. */
static void test_errors(void **state)
{
	struct memory m;
	auto_close int fd = small(&m), full = open("/dev/full", O_RDWR | O_CLOEXEC);
	struct pack_writer *w = begin(full);
	struct pack *p;

	(void)state;
	assert_ok(pack_open(fd, &p, &error), &error);
	assert_int_equal(pack_read(p, pack_find(p, "disk"), fail_to, NULL, NULL, NULL, &error),
			 -ENOSPC);
	pack_close(p);
	assert_int_equal(pack_writer_text(w, "text", "x", &error), -ENOSPC);
	pack_writer_destroy(w);
	free(m.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_zeroes),
		cmocka_unit_test(test_text),	     cmocka_unit_test(test_names),
		cmocka_unit_test(test_any_bit),	     cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_forged),	     cmocka_unit_test(test_same_name),
		cmocka_unit_test(test_other_length), cmocka_unit_test(test_newer),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
