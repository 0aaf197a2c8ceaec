/*
 * The loader of saved machines. An input is a list of edits on a good file, so that the fuzzer need
 * not find out about checksums and page-sized holes:
 *
 *	edit := u8 part, u16 offset in the part, u32 value      (little endian)
 *	part := 0 header, 1 index, 2 sections, 3 length of the file, 4 like 1 but a byte;
 *	        with bit 7: leave the checksums wrong from here on
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/util.h"
#include "cpu/x86_state.h"
#include "fuzz.h"
#include "mem/mem.h"
#include "state/container.h"
#include "state/container_int.h"

#define IMAGE_MAX 65536

static uint8_t good[IMAGE_MAX];
static size_t good_bytes;
static int fd = -1;

/* A fuzz target's own failures end it at once. */
static void must(bool ok)
{
	if (!ok)
		abort();
}

static void make_good(void)
{
	static uint8_t ram[3 * HV_PAGE_SIZE];
	struct state_out o = { 0 };
	struct x86_state s;
	struct state_writer *w;
	struct err e;

	fd = memfd_create("state", MFD_CLOEXEC);
	x86_state_reset(&s, true);
	memset(ram, 0x11, HV_PAGE_SIZE);
	must(fd >= 0 && state_save(&o, &x86_state_desc, &s, &e) == 0);
	must(state_writer_create(fd, &w, &e) == 0);
	must(state_writer_section(w, "machine", "pc-1", 4, &e) == 0);
	must(state_writer_section(w, "vcpu0", o.p, o.len, &e) == 0);
	must(state_writer_ram(w, "ram", ram, sizeof(ram), &e) == 0);
	must(state_writer_ram(w, "rom", ram, HV_PAGE_SIZE, &e) == 0);
	must(state_writer_finish(w, &e) == 0);
	state_writer_destroy(w);
	free(o.p);
	ssize_t n = pread(fd, good, sizeof(good), 0);
	must(n > 0 && (size_t)n < sizeof(good));
	good_bytes = (size_t)n;
}

/* Checksums of the vCPU's stream and its section, the index, the header; as far as they are found.
 */
static void reseal(uint8_t *p, size_t bytes)
{
	struct cont_header h;
	struct cont_section s;

	memcpy(&h, p, sizeof(h));
	size_t at = h.index_off + sizeof(struct cont_index) + sizeof(s);
	if (h.index_off < bytes && at + sizeof(s) <= bytes) {
		memcpy(&s, p + at, sizeof(s));
		if (s.off < bytes && s.bytes <= bytes - s.off && s.bytes > STATE_TAIL_BYTES) {
			uint64_t n = s.bytes - STATE_TAIL_BYTES;
			uint32_t crc = state_crc32c(p + s.off, n);
			memcpy(p + s.off + n, &crc, sizeof(crc));
			s.crc = state_crc32c(p + s.off, s.bytes);
			memcpy(p + at, &s, sizeof(s));
		}
	}
	if (h.index_off < bytes && h.index_bytes <= bytes - h.index_off)
		h.index_crc = state_crc32c(p + h.index_off, h.index_bytes);
	h.crc = state_crc32c(&h, offsetof(struct cont_header, crc));
	memcpy(p, &h, sizeof(h));
}

static void poke(uint8_t *p, size_t at, const void *v, size_t n)
{
	if (at + n <= IMAGE_MAX)
		memcpy(p + at, v, n);
}

/* The file's length after the edits. */
static size_t edit(uint8_t *p, const uint8_t *data, size_t size, bool *ret_seal)
{
	struct cont_header h;
	size_t bytes = good_bytes;
	uint16_t off;
	uint32_t v;

	memcpy(&h, good, sizeof(h));
	for (; size >= 7; data += 7, size -= 7) {
		memcpy(&off, data + 1, sizeof(off));
		memcpy(&v, data + 3, sizeof(v));
		*ret_seal = *ret_seal && !(data[0] & 0x80);
		switch ((data[0] & 0x7f) % 5) {
		case 0:
			poke(p, off % sizeof(h), &v, sizeof(v));
			break;
		case 1:
			poke(p, h.index_off + off % h.index_bytes, &v, sizeof(v));
			break;
		case 2:
			poke(p, HV_PAGE_SIZE + off % HV_PAGE_SIZE, &v, sizeof(v));
			break;
		case 3:
			bytes = v % IMAGE_MAX;
			break;
		case 4:
			poke(p, h.index_off + off % h.index_bytes, &v, 1);
			break;
		}
	}
	return bytes;
}

/* What machine_create() does with the result. */
static void use(const struct state_file *f)
{
	const struct state_section *s = state_file_section(f, "vcpu0");
	struct x86_state x;
	struct hv_mem *m;
	struct hv_ram *ram;
	struct err e;

	if (s != NULL) {
		struct state_in in = { s->p, s->len };
		int r = state_load(&in, &x86_state_desc, &x, &e);
		must(r <= 0);
	}
	must(hv_mem_create(&m, &e) == 0);
	for (unsigned i = 0; i < f->n_ram; i++) {
		const struct state_ram *r = &f->ram[i];
		if (hv_ram_create(m, r->name, HV_RAM_FILE_PRIVATE, r->bytes, fd, r->file_off, &ram,
				  &e) == 0)
			(void)state_file_verify_chunk(r, 0, hv_ram_host(ram));
	}
	hv_mem_destroy(m);
	int r = state_file_verify(f, fd, &e);
	must(r <= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t p[IMAGE_MAX];
	struct state_file *f;
	struct err e;
	bool seal = true;

	if (fd < 0)
		make_good();
	memset(p, 0, sizeof(p));
	memcpy(p, good, good_bytes);
	size_t bytes = edit(p, data, size, &seal);
	if (seal)
		reseal(p, hv_max_u64(bytes, good_bytes));
	must(ftruncate(fd, 0) == 0 && ftruncate(fd, (off_t)bytes) == 0);
	must(pwrite(fd, p, bytes, 0) == (ssize_t)bytes);
	if (state_file_open(fd, &f, &e) == 0) {
		use(f);
		state_file_close(f);
	}
	return 0;
}
