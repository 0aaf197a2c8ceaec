/*
 * Checking an image: every reference to every cluster is counted anew. Repairing writes the counts
 * found into new blocks behind all that is used and switches the header over, so that a power cut
 * leaves the old or the new ones; then come the marks in the tables.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "base/cleanup.h"
#include "devmodel/storage/format/qcow2/int.h"

#define MAX_CLUSTERS (1ull << 30) /* that a check counts */
#define MAX_SNAPSHOT_ENTRY HV_KIB(128)
#define MAX_ROUNDS 4

struct check {
	struct q2 *q;
	struct qcow2_check *out;
	bool repair;
	uint32_t *count; /* owned: references found, a file's cluster each */
	uint64_t n;
	uint64_t used; /* no table or data found lies beyond that many clusters */
	int failed;    /* -errno of the host */
};

static void wrong(struct check *c, const char *fmt, ...) HV_PRINTF(2, 3);

static void wrong(struct check *c, const char *fmt, ...)
{
	va_list ap;

	if (c->out->errors++ > 0)
		return;
	va_start(ap, fmt);
	vsnprintf(c->out->first, sizeof(c->out->first), fmt, ap);
	va_end(ap);
}

/* Counts what a table names; false: it cannot be there. */
static bool count(struct check *c, uint64_t off, uint64_t bytes)
{
	const uint64_t first = q2_index(c->q, off);

	if (bytes == 0)
		return true;
	if (off >= Q2_MAX_OFFSET || bytes >= Q2_MAX_OFFSET ||
	    q2_index(c->q, off + bytes - 1) >= c->n)
		return false;
	for (uint64_t i = first; i <= q2_index(c->q, off + bytes - 1); i++)
		c->count[i] += c->count[i] < UINT32_MAX;
	return true;
}

static uint32_t found(const struct check *c, uint64_t off)
{
	const uint64_t i = q2_index(c->q, off);

	return i < c->n ? c->count[i] : 0;
}

static bool count_table(struct check *c, const char *what, uint64_t off, uint64_t bytes)
{
	if (off % c->q->cluster == 0 && off != 0 && count(c, off, bytes))
		return true;
	wrong(c, "%s at %#llx is misplaced", what, (unsigned long long)off);
	return false;
}

static bool load(struct check *c, void *buf, uint64_t bytes, uint64_t off)
{
	const int r = io_host_get(&c->q->host, buf, bytes, off);

	if (r < 0)
		c->failed = r;
	return r == 0;
}

static void store(struct check *c, const void *buf, uint64_t bytes, uint64_t off)
{
	const int r = io_host_put(&c->q->host, buf, bytes, off);

	if (r < 0)
		c->failed = r;
}

/* ---- L1 and L2 tables ---- */

/* One entry; false: it names what cannot be. */
static bool walk_entry(struct check *c, const uint8_t *p, bool active)
{
	const uint64_t v = q2_get64(p), host = v & Q2_OFFSET_MASK;
	uint64_t off, bytes;

	if (v & Q2_COMPRESSED) {
		q2_packed_at(c->q, v, &off, &bytes);
		if (off < c->q->cluster)
			return false;
		/* The last one's sectors may go past the end of the file. */
		const uint64_t end = c->n << c->q->info.cluster_bits;
		c->out->compressed += active;
		c->out->allocated += active;
		return off < end && count(c, off, hv_min_u64(bytes, end - off));
	}
	if (host == 0)
		return true;
	c->out->allocated += active;
	return host % c->q->cluster == 0 && count(c, host, c->q->cluster);
}

static void walk_l2(struct check *c, uint64_t off, uint8_t *buf, bool active)
{
	const unsigned size = c->q->entry_words * 8;
	bool changed = false;

	if (!load(c, buf, c->q->cluster, off))
		return;
	for (uint32_t at = 0; at < c->q->cluster; at += size) {
		if (walk_entry(c, buf + at, active))
			continue;
		wrong(c, "entry %u of the L2 table at %#llx is %#llx", at / size,
		      (unsigned long long)off, (unsigned long long)q2_get64(buf + at));
		memset(buf + at, 0, size);
		changed = true;
	}
	if (changed && c->repair)
		store(c, buf, c->q->cluster, off);
}

/* The L2 tables of an L1 table; those that cannot be are dropped from it. The active ones are
 * nobody else's: snapshots, which may share them, come later. */
static bool count_l2s(struct check *c, uint8_t *l1, uint64_t n, bool active)
{
	bool changed = false;

	for (uint64_t i = 0; i < n; i++) {
		const uint64_t l2 = q2_get64(l1 + 8 * i) & Q2_OFFSET_MASK;
		const bool taken = active && l2 != 0 && found(c, l2) > 0;
		if (taken)
			wrong(c, "the L2 table at %#llx is another table, too",
			      (unsigned long long)l2);
		if (l2 == 0 || (!taken && count_table(c, "an L2 table", l2, c->q->cluster)))
			continue;
		memset(l1 + 8 * i, 0, 8);
		changed = true;
		if (active)
			c->q->l1[i] = 0;
	}
	return changed;
}

static void walk_l1(struct check *c, uint64_t off, uint64_t n, bool active)
{
	/* What lies within the file is not too much to be read. */
	const bool there = count_table(c, "an L1 table", off, n * 8);
	auto_free uint8_t *l1 = there ? calloc(n > 0 ? n : 1, 8) : NULL;
	auto_free uint8_t *buf = there ? malloc(c->q->cluster) : NULL;

	if (there && (l1 == NULL || buf == NULL))
		c->failed = -ENOMEM;
	if (!there || c->failed < 0 || !load(c, l1, n * 8, off))
		return;
	if (count_l2s(c, l1, n, active) && c->repair)
		store(c, l1, n * 8, off);
	for (uint64_t i = 0; i < n && c->failed == 0; i++) {
		const uint64_t l2 = q2_get64(l1 + 8 * i) & Q2_OFFSET_MASK;
		if (l2 != 0)
			walk_l2(c, l2, buf, active);
	}
}

/* ---- what else there is ---- */

static void walk_snapshots(struct check *c)
{
	uint64_t at = c->q->snapshots_off;
	uint8_t h[40];

	for (unsigned i = 0; i < c->q->info.n_snapshots && c->failed == 0; i++) {
		if (!load(c, h, sizeof(h), at))
			return;
		const uint64_t l1 = q2_get64(h), n = q2_get32(h + 8);
		const uint64_t bytes = sizeof(h) + (uint64_t)q2_get16(h + 12) + q2_get16(h + 14) +
				       q2_get32(h + 36);
		if (n > Q2_MAX_L1_BYTES / 8 || bytes > MAX_SNAPSHOT_ENTRY) {
			wrong(c, "snapshot %u is out of bounds", i);
			return;
		}
		walk_l1(c, l1, n, false);
		at += hv_align_up(bytes, 8);
	}
	if (c->q->info.n_snapshots > 0)
		(void)!count_table(c, "the table of snapshots", c->q->snapshots_off,
				   at - c->q->snapshots_off);
}

static void walk_bitmap(struct check *c, uint64_t off, uint64_t n)
{
	const bool there = count_table(c, "a bitmap's table", off, n * 8);
	auto_free uint8_t *t = there ? calloc(n > 0 ? n : 1, 8) : NULL;

	if (there && t == NULL)
		c->failed = -ENOMEM;
	else if (there && load(c, t, n * 8, off))
		for (uint64_t i = 0; i < n; i++) {
			const uint64_t at = q2_get64(t + 8 * i) & Q2_OFFSET_MASK;
			if (at != 0)
				(void)!count_table(c, "a bitmap", at, c->q->cluster);
		}
}

static void walk_bitmaps(struct check *c)
{
	const uint64_t bytes = c->q->bitmaps_bytes;
	const bool there = count_table(c, "the table of bitmaps", c->q->bitmaps_off, bytes);
	auto_free uint8_t *d = there ? malloc(bytes + 1) : NULL;
	uint64_t at = 0;

	if (there && d == NULL)
		c->failed = -ENOMEM;
	if (!there || c->failed < 0 || !load(c, d, bytes, c->q->bitmaps_off))
		return;
	for (unsigned i = 0; i < c->q->n_bitmaps && at + 24 <= bytes && c->failed == 0; i++) {
		const uint8_t *p = d + at;
		const uint64_t n = q2_get32(p + 8);
		if (n > Q2_MAX_L1_BYTES / 8)
			wrong(c, "bitmap %u is out of bounds", i);
		else
			walk_bitmap(c, q2_get64(p), n);
		at += hv_align_up(24ull + q2_get16(p + 18) + q2_get32(p + 20), 8);
	}
}

static void walk_counts(struct check *c)
{
	struct q2 *q = c->q;

	(void)!count_table(c, "the refcount table", q->rt_off, q->rt_size * 8ull);
	for (uint32_t i = 0; i < q->rt_size; i++) {
		const uint64_t off = q->rt[i] & ~511ull;
		if (off != 0 && !count_table(c, "a refcount block", off, q->cluster))
			q->rt[i] = 0; /* all it counts is found wrong */
	}
}

/* ---- counts against what was found ---- */

static void compare(struct check *c)
{
	uint64_t stored = 0;

	for (uint64_t i = 0; i < c->n; i++) {
		if (q2_refcount(c->q, i, &stored) < 0)
			stored = 0;
		if (stored < c->count[i])
			wrong(c, "cluster %llu is used %u times and counted %llu times",
			      (unsigned long long)i, c->count[i], (unsigned long long)stored);
		else if (stored > c->count[i])
			c->out->leaks++;
	}
	c->q->corrupt = false; /* what q2_refcount() saw is among the errors */
}

/* The mark "only reference" of an entry must fit the count; what is compressed has none. */
static bool fix_mark(struct check *c, uint8_t *p)
{
	const uint64_t v = q2_get64(p), off = v & Q2_OFFSET_MASK;
	const bool whole = (v & Q2_COMPRESSED) == 0 && off != 0;
	const uint64_t mark = whole && found(c, off) == 1 ? Q2_COPIED : 0;

	if ((v & Q2_COPIED) == mark)
		return false;
	q2_put64(p, (v & ~Q2_COPIED) | mark);
	return true;
}

static void marks_of_l2(struct check *c, uint64_t off, uint8_t *buf)
{
	bool changed = false;

	if (!load(c, buf, c->q->cluster, off))
		return;
	for (uint32_t at = 0; at < c->q->cluster; at += c->q->entry_words * 8)
		if (fix_mark(c, buf + at)) {
			wrong(c, "entry %u of the L2 table at %#llx is marked wrongly",
			      at / (c->q->entry_words * 8), (unsigned long long)off);
			changed = true;
		}
	if (changed && c->repair)
		store(c, buf, c->q->cluster, off);
}

static void marks(struct check *c)
{
	auto_free uint8_t *buf = malloc(c->q->cluster);
	uint8_t be[8];

	for (uint32_t i = 0; buf != NULL && i < c->q->l1_size && c->failed == 0; i++) {
		const uint64_t v = c->q->l1[i];
		if ((v & Q2_OFFSET_MASK) == 0)
			continue;
		marks_of_l2(c, v & Q2_OFFSET_MASK, buf);
		q2_put64(be, v);
		if (!fix_mark(c, be))
			continue;
		wrong(c, "entry %u of the L1 table is marked wrongly", i);
		c->q->l1[i] = q2_get64(be);
		if (c->repair)
			store(c, be, 8, c->q->l1_off + 8ull * i);
	}
}

/* ---- new counts ---- */

struct rebuilt {
	uint64_t first, n_blocks, n_table; /* clusters behind all that is used */
	uint64_t *rt;			   /* owned */
};

static int write_new_blocks(struct check *c, struct rebuilt *b, uint8_t *block)
{
	struct q2 *q = c->q;
	const uint64_t per_block = 1ull << q->rb_bits, max = q2_max_count(q);
	const uint64_t end = b->first + b->n_blocks + b->n_table;

	for (uint64_t i = 0; i < b->n_blocks; i++) {
		memset(block, 0, q->cluster);
		for (uint64_t k = 0; k < per_block && i * per_block + k < end; k++) {
			const uint64_t at = i * per_block + k;
			const uint64_t n = at >= b->first ? 1 : c->count[at];
			if (n > max)
				return -ERANGE;
			q2_entry_put(block, q->refcount_order, k, n);
		}
		b->rt[i] = (b->first + i) << q->info.cluster_bits;
		store(c, block, q->cluster, b->rt[i]);
	}
	return c->failed;
}

static int switch_counts(struct check *c, const struct rebuilt *b)
{
	struct q2 *q = c->q;
	const uint64_t off = (b->first + b->n_blocks) << q->info.cluster_bits;
	const uint64_t bytes = b->n_table * q->cluster;
	auto_free uint8_t *be = calloc(1, bytes);
	uint8_t h[12];

	if (be == NULL)
		return -ENOMEM;
	for (uint64_t i = 0; i < b->n_blocks; i++)
		q2_put64(be + 8 * i, b->rt[i]);
	q2_put64(h, off);
	q2_put32(h + 8, (uint32_t)b->n_table);
	int r = io_host_put(&q->host, be, bytes, off);
	if (r == 0)
		r = io_host_flush(&q->host);
	if (r == 0)
		r = io_host_put(&q->host, h, sizeof(h), Q2_H_RT_OFF);
	if (r == 0)
		r = io_host_flush(&q->host);
	if (r < 0)
		return r;
	free(q->rt);
	q->rt = b->rt;
	q->rt_off = off;
	q->rt_size = (uint32_t)(bytes / 8);
	return 0;
}

static int rebuild(struct check *c)
{
	struct q2 *q = c->q;
	const uint64_t per_block = 1ull << q->rb_bits;
	struct rebuilt b = { .first = c->used, .n_blocks = 1, .n_table = 1 };
	auto_free uint8_t *block = malloc(q->cluster);
	int r;

	while (b.n_blocks * per_block < b.first + b.n_blocks + b.n_table) {
		b.n_blocks++;
		b.n_table = (b.n_blocks * 8 + q->cluster - 1) / q->cluster;
	}
	if (b.n_table * q->cluster > Q2_MAX_RT_BYTES)
		return -EFBIG;
	b.rt = calloc(b.n_table, q->cluster);
	if (block == NULL || b.rt == NULL) {
		free(b.rt);
		return -ENOMEM;
	}
	r = write_new_blocks(c, &b, block);
	if (r == 0)
		r = switch_counts(c, &b);
	if (r < 0) {
		free(b.rt);
		return r;
	}
	q2_cache_finish(&q->rb);
	q->file_end = hv_max_u64(q->file_end, (b.first + b.n_blocks + b.n_table)
						      << q->info.cluster_bits);
	q->fresh_from = hv_max_u64(q->fresh_from, q->file_end);
	q->hint = 0;
	return 0;
}

/* ---- all of it ---- */

static void walk(struct check *c)
{
	struct q2 *q = c->q;

	c->out->clusters = (q->p.blk.bytes + q->cluster - 1) / q->cluster;
	c->out->file_clusters = c->n;
	(void)!count(c, 0, 1);
	walk_l1(c, q->l1_off, q->l1_size, true);
	if (c->failed == 0)
		walk_snapshots(c);
	if (c->failed == 0 && q->n_bitmaps > 0)
		walk_bitmaps(c);
}

/* One look at everything; with the counts' own clusters, which what replaces them does not have. */
static void look(struct check *c)
{
	c->repair = false;
	walk(c);
	if (c->failed == 0) {
		walk_counts(c);
		for (c->used = c->n; c->used > 0 && c->count[c->used - 1] == 0; c->used--)
			;
		compare(c);
		marks(c);
	}
}

static int forget_counts(struct check *c)
{
	/* All 0 again, and no memory. */
	return madvise(c->count, hv_max_u64(c->n, 1) * sizeof(*c->count), MADV_DONTNEED) < 0
		       ? -errno
		       : 0;
}

/* Tables whose entries name each other's places may need it more than once. */
static int mend(struct check *c)
{
	struct q2 *q = c->q;
	int r = forget_counts(c);

	c->repair = true;
	if (r == 0)
		walk(c);
	if (r == 0)
		r = c->failed == 0 ? rebuild(c) : c->failed;
	if (r == 0)
		marks(c);
	if (r == 0)
		r = c->failed;
	return r == 0 ? io_host_flush(&q->host) : r;
}

static int map_counts(struct check *c)
{
	c->n = q2_index(c->q, c->q->file_end);
	if (c->n > MAX_CLUSTERS)
		return -EFBIG;
	/* Not allocated but mapped: of a sparse file most is never touched. */
	c->count = mmap(NULL, hv_max_u64(c->n, 1) * sizeof(*c->count), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (c->count != MAP_FAILED)
		return 0;
	c->count = NULL;
	return -ENOMEM;
}

static void unmap_counts(struct check *c)
{
	if (c->count != NULL)
		munmap(c->count, hv_max_u64(c->n, 1) * sizeof(*c->count));
	c->count = NULL;
}

/* The marks go when there is nothing wrong any more. */
static int finish(struct q2 *q)
{
	int r = q2_set_incompat(q, 0, Q2_INCOMPAT_DIRTY | Q2_INCOMPAT_CORRUPT);

	if (r == 0)
		r = io_host_flush(&q->host);
	if (r == 0)
		q->info.dirty = q->info.corrupt = false;
	return r;
}

static int repair_all(struct check *c, struct err *e)
{
	struct q2 *q = c->q;
	struct qcow2_check left = *c->out;
	int r = 0;

	for (unsigned round = 0; round < MAX_ROUNDS; round++) {
		if (left.errors == 0 && (left.leaks == 0 || round > 0) &&
		    !(round == 0 && q->info.dirty))
			return finish(q);
		left = (struct qcow2_check){ 0 }; /* what was found is told already */
		c->out = &left;
		r = mend(c);
		unmap_counts(c);
		if (r == 0)
			r = map_counts(c);
		left = (struct qcow2_check){ 0 };
		if (r == 0)
			look(c);
		if (r == 0)
			r = c->failed;
		if (r < 0)
			return r;
	}
	return err_set(e, -EBADMSG, "'%.60s' cannot be repaired: %.120s", q->name, left.first);
}

int qcow2_check(struct blk *b, bool repair, struct qcow2_check *ret_check, struct err *e)
{
	struct q2 *q = q2_of(b);
	struct check c = { .q = q, .out = ret_check };
	struct err why = { 0 };
	int r;

	*ret_check = (struct qcow2_check){ 0 };
	r = map_counts(&c);
	if (r == 0)
		look(&c);
	if (r == 0)
		r = c.failed;
	if (r == 0 && repair)
		r = repair_all(&c, &why);
	unmap_counts(&c);
	q2_cache_finish(&q->l2);
	if (r < 0 && why.msg[0] != '\0')
		return err_set(e, r, "%s", why.msg);
	if (r == -EFBIG)
		return err_set(e, r, "'%.100s' is too long to be checked", q->name);
	return r < 0 ? err_set(e, r, "cannot %s '%.100s': %s", repair ? "repair" : "check", q->name,
			       strerror(-r))
		     : 0;
}
