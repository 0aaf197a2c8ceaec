/* hv-core/state: the file of a saved machine: round trip, cut short anywhere, bits flipped, forged.
 */
#include "ctest.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "mem/mem.h"
#include "state/container.h"
#include "state/container_int.h"

#define PAGE HV_PAGE_SIZE

static struct err error;

static int new_file(void)
{
	int fd = memfd_create("state", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static uint64_t file_bytes(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_size;
}

/* Three sections (one empty) and two blocks: 3 pages with the middle one zero, 1 page. */
static void fill(struct state_writer *w)
{
	static uint8_t ram[3 * PAGE], rom[PAGE];

	memset(ram, 0x11, PAGE);
	memset(ram + 2 * PAGE, 0x22, PAGE);
	memset(rom, 0x33, PAGE);
	assert_ok(state_writer_section(w, "machine", "pc-1", 4, &error), &error);
	assert_ok(state_writer_section(w, "pci0.3/virtio-blk", "queue", 5, &error), &error);
	assert_ok(state_writer_section(w, "empty", NULL, 0, &error), &error);
	assert_ok(state_writer_ram(w, "ram", ram, sizeof(ram), &error), &error);
	assert_ok(state_writer_ram(w, "rom", rom, sizeof(rom), &error), &error);
}

static int saved(void)
{
	int fd = new_file();
	struct state_writer *w;

	assert_ok(state_writer_create(fd, &w, &error), &error);
	fill(w);
	assert_ok(state_writer_finish(w, &error), &error);
	state_writer_destroy(w);
	return fd;
}

static void test_round_trip(void **state)
{
	auto_close int fd = saved();
	struct state_file *f;
	const struct state_section *s;
	const struct state_ram *r;
	struct hv_mem *m;
	struct hv_ram *ram;
	(void)state;

	assert_ok(state_file_open(fd, &f, &error), &error);
	assert_true(f->n_sections == 3 && f->n_ram == 2);
	s = state_file_section(f, "pci0.3/virtio-blk");
	assert_true(s != NULL && s->len == 5 && memcmp(s->p, "queue", 5) == 0);
	s = state_file_section(f, "empty");
	assert_true(s != NULL && s->len == 0);
	assert_null(state_file_section(f, "pci0.3"));
	assert_null(state_file_ram(f, "vga"));
	r = state_file_ram(f, "ram");
	assert_true(r != NULL && r->bytes == 3 * PAGE && state_ram_chunks(r) == 1);
	assert_ok(hv_mem_create(&m, &error), &error);
	assert_ok(hv_ram_create(m, r->name, HV_RAM_FILE_PRIVATE, r->bytes, fd, r->file_off, &ram,
				&error),
		  &error);
	assert_true(hv_ram_host(ram)[PAGE - 1] == 0x11 && hv_ram_host(ram)[PAGE] == 0);
	assert_int_equal(hv_ram_host(ram)[3 * PAGE - 1], 0x22);
	assert_true(state_file_verify_chunk(r, 0, hv_ram_host(ram)));
	assert_false(state_file_verify_chunk(r, 1, hv_ram_host(ram)));
	hv_ram_host(ram)[PAGE] = 1;
	assert_false(state_file_verify_chunk(r, 0, hv_ram_host(ram)));
	assert_ok(state_file_verify(f, fd, &error), &error); /* the file is as it was */
	hv_mem_destroy(m);
	state_file_close(f);
}

/* Over 1 MiB: several chunks, of which those of zeros take no room. */
static void test_chunks(void **state)
{
	const uint64_t bytes = 5 * STATE_CHUNK_BYTES + PAGE;
	auto_free uint8_t *ram = calloc(1, bytes);
	auto_close int fd = new_file();
	struct state_writer *w;
	struct state_file *f;
	struct stat st;
	(void)state;

	assert_non_null(ram);
	memset(ram, 0xff, bytes); /* what was there before must not shine through the holes */
	assert_int_equal(pwrite(fd, ram, bytes, 0), bytes);
	memset(ram, 0, bytes);
	ram[2 * STATE_CHUNK_BYTES + 7] = 1;
	ram[bytes - 1] = 2;
	assert_ok(state_writer_create(fd, &w, &error), &error);
	assert_ok(state_writer_ram(w, "ram", ram, bytes, &error), &error);
	assert_ok(state_writer_finish(w, &error), &error);
	state_writer_destroy(w);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true((uint64_t)st.st_size > bytes && (uint64_t)st.st_blocks * 512 < 10 * PAGE);
	assert_ok(state_file_open(fd, &f, &error), &error);
	assert_int_equal(state_ram_chunks(&f->ram[0]), 6);
	assert_ok(state_file_verify(f, fd, &error), &error);
	for (uint64_t c = 0; c < 6; c++)
		assert_true(state_file_verify_chunk(&f->ram[0], c, ram + c * STATE_CHUNK_BYTES));
	assert_int_equal(pwrite(fd, "x", 1, (off_t)(f->ram[0].file_off + 3 * STATE_CHUNK_BYTES)),
			 1);
	assert_int_equal(state_file_verify(f, fd, &error), -EBADMSG);
	assert_non_null(strstr(error.msg, "ram is damaged near 3 MiB"));
	state_file_close(f);
}

static void test_writer_refuses(void **state)
{
	static uint8_t page[PAGE];
	static const char *const names[] = { "", "a b", "\033[m", "caf\xc3\xa9",
					     "a123456789b123456789c123456789d123456789e123456789"
					     "f123456789g123456789" };
	int pipe_fds[2];
	(void)state;

	for (size_t i = 0; i < HV_ARRAY_LEN(names) + 6; i++) {
		auto_close int fd = new_file();
		struct state_writer *w;
		struct state_file *f = NULL;
		int r;
		assert_ok(state_writer_create(fd, &w, &error), &error);
		fill(w);
		if (i < HV_ARRAY_LEN(names))
			r = state_writer_ram(w, names[i], page, PAGE, &error);
		else if (i == HV_ARRAY_LEN(names))
			r = state_writer_section(w, "late", "x", 1, &error);
		else if (i == HV_ARRAY_LEN(names) + 1)
			r = state_writer_section(w, "machine", "x", 1, &error);
		else if (i == HV_ARRAY_LEN(names) + 2)
			r = state_writer_ram(w, "rom", page, PAGE, &error);
		else if (i == HV_ARRAY_LEN(names) + 3)
			r = state_writer_ram(w, "odd", page, PAGE - 1, &error);
		else if (i == HV_ARRAY_LEN(names) + 4)
			r = state_writer_ram(w, "none", page, 0, &error);
		else
			r = state_writer_ram(w, "huge", page, STATE_MAX_RAM_BYTES + PAGE, &error);
		assert_true(r < 0);
		assert_int_equal(state_writer_ram(w, "fine", page, PAGE, &error),
				 r); /* it sticks */
		assert_int_equal(state_writer_finish(w, &error), r);
		assert_int_equal(state_file_open(fd, &f, &error), -EBADMSG);
		assert_null(f);
		state_writer_destroy(w);
	}
	struct state_writer *w = NULL;
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(state_writer_create(pipe_fds[1], &w, &error), -EINVAL);
	assert_null(w);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* A full disk: the descriptor is /dev/full for a while. */
static void test_disk_full(void **state)
{
	auto_close int fd = new_file();
	struct state_writer *w;
	struct state_file *f;
	(void)state;

	assert_ok(state_writer_create(fd, &w, &error), &error);
	assert_ok(state_writer_section(w, "machine", "pc-1", 4, &error), &error);
	int was = dup(fd);
	auto_close int full = open("/dev/full", O_WRONLY);
	assert_true(was >= 0 && full >= 0 && dup2(full, fd) == fd);
	assert_int_equal(state_writer_section(w, "more", "x", 1, &error), -ENOSPC);
	assert_int_equal(state_writer_finish(w, &error), -ENOSPC);
	assert_true(dup2(was, fd) == fd);
	assert_int_equal(state_writer_finish(w, &error), -ENOSPC);
	assert_int_equal(state_file_open(fd, &f, &error), -EBADMSG);
	state_writer_destroy(w);
	close(was);
}

static void refuse(int fd)
{
	struct state_file *f = NULL;

	assert_int_equal(state_file_open(fd, &f, &error), -EBADMSG);
	assert_null(f);
}

static void test_cut_short(void **state)
{
	auto_close int fd = saved();
	uint64_t bytes = file_bytes(fd);
	(void)state;

	assert_int_equal(ftruncate(fd, (off_t)bytes + 1), 0);
	refuse(fd);
	while (bytes-- > 0) {
		assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
		refuse(fd);
	}
}

/* The whole file in memory, to be damaged and written back. */
struct image {
	int fd;
	uint64_t bytes;
	uint8_t *was, *p;
};

static struct image image_new(void)
{
	struct image im = { .fd = saved() };

	im.bytes = file_bytes(im.fd);
	im.was = malloc(im.bytes);
	im.p = mmap(NULL, im.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, im.fd, 0);
	assert_true(im.was != NULL && im.p != MAP_FAILED);
	memcpy(im.was, im.p, im.bytes);
	return im;
}

static void image_free(struct image *im)
{
	munmap(im->p, im->bytes);
	free(im->was);
	close(im->fd);
}

static void image_restore(struct image *im)
{
	memcpy(im->p, im->was, im->bytes);
}

/* Makes the checksums of index and header right again. */
static void reseal(struct image *im)
{
	struct cont_header h;

	memcpy(&h, im->p, sizeof(h));
	if (h.index_off <= im->bytes && h.index_bytes <= im->bytes - h.index_off)
		h.index_crc = state_crc32c(im->p + h.index_off, h.index_bytes);
	h.crc = state_crc32c(&h, offsetof(struct cont_header, crc));
	memcpy(im->p, &h, sizeof(h));
}

/* Refused, or everything that the result names lies within the file. */
static bool open_harmless(struct image *im)
{
	struct state_file *f = NULL;
	volatile uint8_t sum = 0;

	if (state_file_open(im->fd, &f, &error) < 0) {
		assert_null(f);
		return false;
	}
	for (unsigned i = 0; i < f->n_sections; i++)
		for (size_t k = 0; k < f->section[i].len; k++)
			sum ^= f->section[i].p[k];
	for (unsigned i = 0; i < f->n_ram; i++)
		assert_true(f->ram[i].bytes % PAGE == 0 && f->ram[i].file_off % PAGE == 0 &&
			    f->ram[i].file_off + f->ram[i].bytes <= im->bytes);
	int r = state_file_verify(f, im->fd, &error);
	assert_true(r == 0 || r == -EBADMSG);
	state_file_close(f);
	return true;
}

static void test_flips(void **state)
{
	struct image im = image_new();
	struct cont_header h;
	struct state_file *f;
	(void)state;

	memcpy(&h, im.p, sizeof(h));
	for (uint64_t bit = 0; bit < im.bytes * 8; bit++) {
		uint64_t byte = bit / 8;
		bool is_ram = byte >= 2 * PAGE && byte < h.index_off;
		if ((byte >= sizeof(h) && byte < PAGE) || (byte >= PAGE + 9 && byte < 2 * PAGE))
			continue; /* nothing lies there */
		if (is_ram && bit % 997 != 0)
			continue; /* some of the RAM's */
		im.p[byte] ^= (uint8_t)(1u << bit % 8);
		if (is_ram) {
			assert_ok(state_file_open(im.fd, &f, &error), &error);
			assert_int_equal(state_file_verify(f, im.fd, &error), -EBADMSG);
			state_file_close(f);
		} else {
			assert_true(state_file_open(im.fd, &f, &error) < 0);
			if (byte < sizeof(h) || byte >= h.index_off) {
				reseal(&im);
				(void)open_harmless(&im);
			}
		}
		image_restore(&im);
	}
	assert_true(open_harmless(&im));
	image_free(&im);
}

/* Numbers that a forger would choose, in every 32-bit and 64-bit place of header and index. */
static void test_forged(void **state)
{
	static const uint64_t evil[] = { 0,	     1,
					 7,	     4095,
					 4096,	     4097,
					 8192,	     0x7fffffff,
					 0x80000000, 0xffffffff,
					 1ull << 32, 1ull << 42,
					 1ull << 62, UINT64_MAX - 4095,
					 UINT64_MAX };
	struct image im = image_new();
	struct cont_header h;
	unsigned accepted = 0;
	(void)state;

	memcpy(&h, im.p, sizeof(h));
	for (uint64_t at = 8; at + 8 <= im.bytes; at += 4) {
		if (at == sizeof(h))
			at = h.index_off;
		for (size_t i = 0; i < HV_ARRAY_LEN(evil); i++) {
			for (size_t size = 4; size <= 8; size += 4) {
				memcpy(im.p + at, &evil[i], size);
				reseal(&im);
				accepted += open_harmless(&im);
				image_restore(&im);
			}
		}
	}
	assert_true(accepted > 0); /* where the evil number was the right one */
	image_free(&im);
}

static void test_forged_index(void **state)
{
	struct image im = image_new();
	struct cont_header h;
	struct state_file *f;
	(void)state;

	memcpy(&h, im.p, sizeof(h));
	uint8_t *sections = im.p + h.index_off + sizeof(struct cont_index);
	memcpy(sections + sizeof(struct cont_section), sections, STATE_KEY_MAX + 1);
	reseal(&im);
	assert_int_equal(state_file_open(im.fd, &f, &error), -EBADMSG);
	assert_non_null(strstr(error.msg, "twice"));
	image_restore(&im);
	sections[0] = '\033';
	reseal(&im);
	refuse(im.fd);
	image_restore(&im);
	memcpy(sections + sizeof(struct cont_section) + STATE_KEY_MAX + 1,
	       sections + STATE_KEY_MAX + 1, 8); /* the second lies where the first does */
	reseal(&im);
	refuse(im.fd);
	assert_non_null(strstr(error.msg, "overlap"));
	image_restore(&im);
	h.index_bytes -= 4; /* a checksum less */
	memcpy(im.p, &h, sizeof(h));
	reseal(&im);
	refuse(im.fd);
	assert_non_null(strstr(error.msg, "number of checksums"));
	h.index_bytes += 4;
	image_restore(&im);
	memset(sections, 'a', STATE_KEY_MAX + 1);
	reseal(&im);
	refuse(im.fd);
	image_restore(&im);
	h.format = 2;
	memcpy(im.p, &h, sizeof(h));
	reseal(&im);
	assert_int_equal(state_file_open(im.fd, &f, &error), -ENOTSUP);
	image_free(&im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_writer_refuses), cmocka_unit_test(test_disk_full),
		cmocka_unit_test(test_cut_short),      cmocka_unit_test(test_flips),
		cmocka_unit_test(test_forged),	       cmocka_unit_test(test_forged_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
