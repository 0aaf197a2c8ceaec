/*
 * Copying the contents of an image to another, by several threads: each takes the next stretch that
 * nobody has, finds what is not zero by the images' tables, and in what is read by looking.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/thread.h"
#include "base/util.h"
#include "devmodel/storage/tool/tool.h"

#define EARLY HV_MIB(32)
#define STRETCH HV_MIB(2)
#define MAX_THREADS 64u

struct copier {
	const struct tool *t;
	const struct tool_copy *c;
	uint64_t grain; /* what is zero all over is skipped */
	atomic_uint_fast64_t next, done;
	atomic_int failed;
};

static int put(const struct copier *k, uint64_t off, const uint8_t *buf, uint64_t bytes,
	       bool packed)
{
	if (packed)
		return qcow2_write_compressed(k->c->to, off, buf);
	return blk_run(k->c->to, BLK_WRITE, off, (void *)(uintptr_t)buf, bytes);
}

/* What was read, without the zeroes where they show anyway. */
static int put_data(const struct copier *k, uint64_t off, const uint8_t *buf, uint64_t bytes,
		    bool was_packed)
{
	const bool packed = k->c->packed || (was_packed && k->c->keep_packed);
	int r = 0;

	for (uint64_t at = 0, n; at < bytes && r == 0; at += n) {
		n = hv_min_u64(k->grain, bytes - at);
		if (hv_is_zero(buf + at, n)) {
			r = k->c->own_only ? blk_run(k->c->to, BLK_WRITE_ZEROES, off + at, NULL, n)
					   : 0;
			continue;
		}
		while (!packed && at + n < bytes) {
			const uint64_t more = hv_min_u64(k->grain, bytes - at - n);
			if (hv_is_zero(buf + at + n, more))
				break;
			n += more;
		}
		r = put(k, off + at, buf + at, n, packed);
	}
	return r;
}

static int get(const struct copier *k, uint64_t off, uint64_t bytes, struct blk_extent *x)
{
	struct blk *b = k->c->from;

	if (!k->c->own_only)
		return image_extent(b, off, bytes, x);
	*x = (struct blk_extent){ .kind = BLK_EXTENT_DATA, .bytes = bytes };
	return b->ops->map != NULL ? b->ops->map(b, off, bytes, x) : 0;
}

/* buf has room for a stretch. */
static int copy_stretch(const struct copier *k, uint64_t off, uint64_t bytes, uint8_t *buf)
{
	const uint64_t end = off + bytes;

	for (uint64_t at = off; at < end;) {
		struct blk_extent x;
		int r = get(k, at, end - at, &x);
		if (r == 0 && k->c->own_only && x.kind == BLK_EXTENT_ZERO)
			r = blk_run(k->c->to, BLK_WRITE_ZEROES, at, NULL, x.bytes);
		if (r < 0)
			return r;
		if (x.kind == BLK_EXTENT_ZERO || x.kind == BLK_EXTENT_BACKING) {
			at += x.bytes;
			continue;
		}
		/* Data in pieces of the grain: what shares one with it comes, too. */
		const uint64_t from = hv_max_u64(hv_align_down(at, k->grain), off);
		const uint64_t to = hv_min_u64(hv_align_up(at + x.bytes, k->grain), end);
		r = blk_run(k->c->from, BLK_READ, from, buf, to - from);
		/* The last cluster is compressed whole. */
		memset(buf + (to - from), 0, hv_align_up(to - from, k->grain) - (to - from));
		if (r == 0)
			r = put_data(k, from, buf, to - from, x.kind == BLK_EXTENT_COMPRESSED);
		if (r < 0)
			return r;
		at = to;
	}
	return 0;
}

static void *copy_thread(void *arg)
{
	struct copier *k = arg;
	const uint64_t end = k->c->from->bytes, stretch = hv_max_u64(STRETCH, k->grain);
	uint8_t *buf = aligned_alloc(HV_PAGE_SIZE, stretch);
	int r = buf != NULL ? 0 : -ENOMEM;

	while (r == 0 && atomic_load(&k->failed) == 0) {
		const uint64_t off = atomic_fetch_add(&k->next, stretch);
		if (off >= end)
			break;
		const uint64_t n = hv_min_u64(stretch, end - off);
		r = copy_stretch(k, off, n, buf);
		const uint64_t done = atomic_fetch_add(&k->done, n) + n;
		tool_progress(k->t, done, end);
		/* The disk works while we do; the sync at the end has less to wait for. */
		if (k->c->early_fd >= 0 && done / EARLY != (done - n) / EARLY)
			(void)!sync_file_range(k->c->early_fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	}
	free(buf);
	int none = 0;
	if (r < 0)
		atomic_compare_exchange_strong(&k->failed, &none, r);
	return NULL;
}

static uint64_t grain_of(const struct blk *b)
{
	return qcow2_is(b) ? 1ull << qcow2_info(b)->cluster_bits : HV_PAGE_SIZE;
}

/* Some wait for the disk while others work; more get into each other's way at the file's lock. */
static unsigned n_threads(const struct tool *t)
{
	const long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (t->threads > 0)
		return (unsigned)hv_min_u64(t->threads, MAX_THREADS);
	return (unsigned)hv_min_u64(2 * (uint64_t)(cpus > 0 ? cpus : 1), 8);
}

int tool_copy(const struct tool *t, const struct tool_copy *c, struct err *e)
{
	struct copier k = { .t = t, .c = c, .grain = grain_of(c->to) };
	const unsigned n = n_threads(t);
	pthread_t thread[MAX_THREADS];
	unsigned started = 0;
	int r = 0;

	for (; started < n && r == 0; started += r == 0)
		r = hv_thread_start(&thread[started], "copy", copy_thread, &k, e);
	if (r < 0)
		atomic_store(&k.failed, r);
	for (unsigned i = 0; i < started; i++)
		pthread_join(thread[i], NULL);
	tool_progress_end(t);
	if (r == 0 && atomic_load(&k.failed) != 0)
		r = err_set(e, atomic_load(&k.failed), "copying failed: %s",
			    strerror(-atomic_load(&k.failed)));
	return r;
}
