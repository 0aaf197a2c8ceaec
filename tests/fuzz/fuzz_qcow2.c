/*
 * A qcow2 image that is used and checked. An input: how it is opened (u8), the number of operations
 * (u8), those (4 bytes each: what, length and place on the disk), then the image's file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "base/util.h"
#include "devmodel/storage/format/qcow2/qcow2.h"
#include "fuzz.h"
#include "memfile.h"

#define MAX_FILE HV_MIB(8)
#define MAX_IO 65536u

enum { OPEN_READ_ONLY = 1, OPEN_CHECK = 2, OPEN_REPAIR = 4 };

static uint8_t buf[MAX_IO];

static void quiet(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

/* Whatever is in the image: an answer. */
static void use(struct blk *b, const uint8_t *op)
{
	const uint64_t n = hv_min_u64((uint64_t)(op[1] + 1) * 256, MAX_IO) & ~511ull;
	const uint64_t off = hv_min_u64((uint64_t)op[2] << 8 | op[3] << 13, b->bytes - 512) &
			     ~511ull;
	const uint64_t bytes = hv_min_u64(n, b->bytes - off);
	struct blk_extent x;
	struct err e;

	switch (op[0] % 9) {
	case 0:
		(void)!blk_run(b, BLK_WRITE_ZEROES, off, NULL, bytes);
		break;
	case 1:
		(void)!blk_run(b, BLK_DISCARD, off, NULL, bytes);
		break;
	case 2:
		(void)!blk_run(b, BLK_FLUSH, 0, NULL, 0);
		break;
	case 3:
		if (bytes > 0 && b->ops->map(b, off, bytes, &x) == 0 &&
		    (x.bytes == 0 || x.bytes > bytes))
			abort();
		break;
	case 4:
		if (!b->read_only)
			(void)!qcow2_resize(b, hv_min_u64(off + 512, HV_MIB(64)), &e);
		break;
	case 5:
	case 6:
		(void)!blk_run(b, BLK_READ, off, buf, bytes);
		break;
	default:
		(void)!blk_run(b, BLK_WRITE, off, buf, bytes);
	}
}

/* What was repaired is good. */
static void check(struct blk *b, bool repair)
{
	struct qcow2_check c;
	struct err e;

	if (qcow2_check(b, repair, &c, &e) < 0 || !repair)
		return;
	if (qcow2_check(b, false, &c, &e) == 0 && c.errors > 0) {
		fprintf(stderr, "repaired, but %s\n", c.first);
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size < 2 + data[1] * 4u)
		return 0;
	log_set_sink(quiet, NULL);
	const uint8_t *image = data + 2 + data[1] * 4u;
	struct mem_file m = { .max = MAX_FILE };
	const struct qcow2_options o = { .read_only = (data[0] & OPEN_READ_ONLY) != 0,
					 .for_check = (data[0] & OPEN_CHECK) != 0 };
	struct io_host h = mem_file_host(&m);
	struct blk *b = NULL;
	struct err e = { 0 };

	mem_file_put(&m, 0, hv_min_u64((uint64_t)(data + size - image), MAX_FILE), image);
	const int r = qcow2_open(&h, "image", &o, &b, &e);
	if (r < 0 && (e.msg[0] == '\0' || strchr(e.msg, '\n') != NULL))
		abort();
	if (r == 0 && o.for_check)
		check(b, (data[0] & OPEN_REPAIR) != 0 && !o.read_only);
	else if (r == 0)
		for (unsigned i = 0; i < data[1]; i++)
			use(b, data + 2 + 4u * i);
	blk_close(b);
	free(m.data);
	return 0;
}
