/*
 * The file of an exported snapshot. An input is a list of edits on a good file, so that the fuzzer
 * need not find out about checksums:
 *
 *	edit := u8 part, u16 offset in the part, u32 value      (little endian)
 *	part := 0 header, 1 index, 2 a byte of it, 3 chunks, 4 length of the file;
 *	        with bit 7: leave the checksums wrong from here on
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "devmodel/storage/pack/pack_int.h"
#include "fuzz.h"
#include "state/state.h"

#define FILE_MAX 16384
#define UNPACK_MAX HV_MIB(8) /* of one item; more is only slow */

static uint8_t good[FILE_MAX];
static size_t good_bytes;
static int fd = -1;

/* A fuzz target's own failures end it at once. */
static void must(bool ok)
{
	if (!ok)
		abort();
}

static int read_disk(void *ctx, uint64_t off, void *buf, uint64_t bytes)
{
	(void)ctx;
	memset(buf, 0, bytes);
	memset(buf, (int)(off >> 20) + 1, bytes / 2);
	return 0;
}

static void make_good(void)
{
	const struct pack_source s = { read_disk, NULL, NULL };
	struct pack_writer *w;
	struct err e;

	fd = memfd_create("pack", MFD_CLOEXEC);
	must(fd >= 0 && pack_writer_create(fd, NULL, NULL, &w, &e) == 0);
	must(pack_writer_text(w, "manifest", "[snapshot]\nformat=1\n", &e) == 0);
	must(pack_writer_item(w, "disk.root", HV_MIB(3) + 512, &s, &e) == 0);
	must(pack_writer_finish(w, &e) == 0);
	pack_writer_destroy(w);
	ssize_t n = pread(fd, good, sizeof(good), 0);
	must(n > 0 && (size_t)n < sizeof(good));
	good_bytes = (size_t)n;
}

/* Of each chunk that is where it can be found, the index, the header. */
static void reseal(uint8_t *p, size_t bytes)
{
	struct pack_header h, first;
	struct pack_index index;
	struct pack_chunk c;

	memcpy(&h, p, sizeof(h));
	memcpy(&first, good, sizeof(first));
	memcpy(&index, p + first.index_off, sizeof(index));
	for (size_t at = first.index_off + sizeof(index) + 2 * sizeof(struct pack_entry);
	     at + sizeof(c) <= good_bytes; at += sizeof(c)) {
		memcpy(&c, p + at, sizeof(c));
		if (c.off < bytes && c.packed_bytes <= bytes - c.off)
			c.crc = state_crc32c(p + c.off, c.packed_bytes);
		memcpy(p + at, &c, sizeof(c));
	}
	if (h.index_off < bytes && h.index_bytes <= bytes - h.index_off)
		h.index_crc = state_crc32c(p + h.index_off, h.index_bytes);
	h.crc = state_crc32c(&h, offsetof(struct pack_header, crc));
	memcpy(p, &h, sizeof(h));
}

static void poke(uint8_t *p, size_t at, const void *v, size_t n)
{
	if (at + n <= FILE_MAX)
		memcpy(p + at, v, n);
}

/* The file's length after the edits. */
static size_t edit(uint8_t *p, const uint8_t *data, size_t size, bool *ret_seal)
{
	size_t bytes = good_bytes;
	struct pack_header h;
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
			poke(p, h.index_off + off % h.index_bytes, &v, 1);
			break;
		case 3:
			poke(p, sizeof(h) + off % (h.index_off - sizeof(h)), &v, sizeof(v));
			break;
		case 4:
			bytes = v % FILE_MAX;
			break;
		}
	}
	return bytes;
}

static int count(void *ctx, uint64_t off, const uint8_t *buf, uint64_t bytes)
{
	const struct pack_item *i = ctx;

	(void)buf;
	must(bytes > 0 && bytes <= PACK_CHUNK_BYTES && off % PACK_CHUNK_BYTES == 0);
	must(off < i->bytes && bytes <= i->bytes - off);
	return 0;
}

static void use(const struct pack *p)
{
	struct err e;
	char *text;

	must(p->n_items > 0 && p->n_items <= PACK_MAX_ITEMS);
	for (unsigned n = 0; n < p->n_items; n++) {
		const struct pack_item *i = &p->item[n];
		must(pack_find(p, i->name) == i);
		if (i->n_chunks * PACK_CHUNK_BYTES <= UNPACK_MAX &&
		    pack_read(p, i, count, (void *)(uintptr_t)i, NULL, NULL, &e) < 0)
			must(e.msg[0] != '\0' && strchr(e.msg, '\n') == NULL);
		if (pack_read_text(p, i, 1000, &text, &e) == 0) {
			must(strlen(text) == i->bytes);
			free(text);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t p[FILE_MAX];
	struct pack *pack;
	struct err e;
	bool seal = true;

	if (fd < 0)
		make_good();
	memset(p, 0, sizeof(p));
	memcpy(p, good, good_bytes);
	const size_t bytes = edit(p, data, size, &seal);
	if (seal)
		reseal(p, hv_max_u64(bytes, good_bytes));
	must(ftruncate(fd, 0) == 0 && ftruncate(fd, (off_t)bytes) == 0);
	must(pwrite(fd, p, bytes, 0) == (ssize_t)bytes);
	if (pack_open(fd, &pack, &e) == 0) {
		use(pack);
		pack_close(pack);
	}
	return 0;
}
