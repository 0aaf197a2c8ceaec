/* The header of a qcow2 image: read with all that is checked before anything is believed. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "devmodel/storage/format/qcow2/int.h"

#define MAX_EXT_BYTES 65536u /* of extensions that are looked at */
#define MAX_SNAPSHOTS 65536u
#define MAX_BITMAPS 65535u

static int bad(const struct q2 *q, struct err *e, const char *fmt, ...) HV_PRINTF(3, 4);

static int bad(const struct q2 *q, struct err *e, const char *fmt, ...)
{
	char why[160];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return err_set(e, -EBADMSG, "'%.80s' is not a good qcow2 image: %s", q->name, why);
}

int q2_wrong(struct q2 *q, const char *fmt, ...)
{
	char why[160];
	va_list ap;

	if (q->corrupt)
		return -EIO; /* once is enough */
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	q->corrupt = true;
	log_msg(LOG_LVL_ERROR, q->name, "the image is corrupt: %s%s", why,
		q->p.blk.read_only ? ""
				   : "; nothing is written to it any more (lodge disk repair)");
	if (!q->p.blk.read_only && !q->for_check)
		(void)!q2_set_incompat(q, Q2_INCOMPAT_CORRUPT, 0);
	return -EIO;
}

int q2_header_put64(struct q2 *q, unsigned at, uint64_t v)
{
	uint8_t b[8];

	q2_put64(b, v);
	return io_host_put(&q->host, b, sizeof(b), at);
}

int q2_set_incompat(struct q2 *q, uint64_t set, uint64_t clear)
{
	const uint64_t v = (q->incompat | set) & ~clear;

	if (q->info.version < 3 || v == q->incompat)
		return 0;
	q->incompat = v;
	return q2_header_put64(q, Q2_H_INCOMPAT, v);
}

/* ---- features ---- */

/* The name that the image's own table has for an incompatible feature; printable. */
static void feature_name(const uint8_t *table, uint32_t n, unsigned bit, char *name, size_t size)
{
	snprintf(name, size, "number %u", bit);
	for (uint32_t i = 0; table != NULL && i + 48 <= n; i += 48) {
		const char *s = (const char *)table + i + 2;
		const size_t len = strnlen(s, 46);
		if (table[i] != 0 || table[i + 1] != bit || len == 0)
			continue;
		snprintf(name, size, "'%.*s'", (int)len, s);
		for (char *c = name; *c != '\0'; c++)
			*c = *c < ' ' || *c > '~' ? '?' : *c;
	}
}

static int check_features(const struct q2 *q, const uint8_t *table, uint32_t n, struct err *e)
{
	const uint64_t unknown = q->incompat & ~(uint64_t)Q2_INCOMPAT_KNOWN;
	char name[64];

	if (q->incompat & Q2_INCOMPAT_DATA_FILE)
		return err_set(e, -EINVAL,
			       "'%.100s' keeps its data in another file, which is not supported",
			       q->name);
	if (unknown == 0)
		return 0;
	feature_name(table, n, (unsigned)__builtin_ctzll(unknown), name, sizeof(name));
	return err_set(e, -EINVAL, "'%.100s' needs the qcow2 feature %s, which is not known here",
		       q->name, name);
}

static int read_bitmaps(struct q2 *q, const uint8_t *p, uint32_t n, struct err *e)
{
	if ((q->autoclear & Q2_AUTOCLEAR_BITMAPS) == 0 || n < 24)
		return 0;
	q->n_bitmaps = q2_get32(p);
	q->bitmaps_bytes = q2_get64(p + 8);
	q->bitmaps_off = q2_get64(p + 16);
	if (q->n_bitmaps > MAX_BITMAPS || q->bitmaps_bytes > q->n_bitmaps * HV_KIB(4) ||
	    q->bitmaps_off > Q2_MAX_OFFSET)
		return bad(q, e, "its table of bitmaps is out of bounds");
	return 0;
}

static int read_extensions(struct q2 *q, const uint8_t *h, uint32_t end, struct err *e)
{
	const uint8_t *features = NULL;
	uint32_t n_features = 0;
	int r = 0;

	for (uint32_t at = q->header_bytes; at + 8 <= end && r == 0;) {
		const uint32_t type = q2_get32(h + at), n = q2_get32(h + at + 4);
		const uint8_t *data = h + at + 8;
		if (type == Q2_EXT_END)
			break;
		if (n > end - at - 8)
			return bad(q, e, "an extension of its header is longer than the header");
		if (type == Q2_EXT_BACKING_FORMAT && n < sizeof(q->info.backing_format)) {
			memcpy(q->info.backing_format, data, n);
		} else if (type == Q2_EXT_FEATURES) {
			features = data;
			n_features = n;
		} else if (type == Q2_EXT_BITMAPS) {
			r = read_bitmaps(q, data, n, e);
		}
		at += 8 + (uint32_t)hv_align_up(n, 8);
	}
	return r < 0 ? r : check_features(q, features, n_features, e);
}

/* ---- the fixed part ---- */

static int read_v3(struct q2 *q, const uint8_t *h, struct err *e)
{
	q->incompat = q2_get64(h + Q2_H_INCOMPAT);
	q->compat = q2_get64(h + Q2_H_COMPAT);
	q->autoclear = q2_get64(h + Q2_H_AUTOCLEAR);
	q->refcount_order = q2_get32(h + Q2_H_REFCOUNT_ORDER);
	q->header_bytes = q2_get32(h + Q2_H_LENGTH);
	if (q->header_bytes < Q2_H_COMPRESSION || q->header_bytes % 8 != 0 ||
	    q->header_bytes > q->cluster)
		return bad(q, e, "the length of its header is %u", q->header_bytes);
	if (q->refcount_order > 6)
		return bad(q, e, "its reference counts have 2^%u bits", q->refcount_order);
	q->info.lazy_refcounts = (q->compat & Q2_COMPAT_LAZY) != 0;
	q->info.dirty = (q->incompat & Q2_INCOMPAT_DIRTY) != 0;
	q->info.corrupt = (q->incompat & Q2_INCOMPAT_CORRUPT) != 0;
	q->info.extended_l2 = (q->incompat & Q2_INCOMPAT_EXTENDED_L2) != 0;
	const unsigned type = q->header_bytes > Q2_H_COMPRESSION ? h[Q2_H_COMPRESSION] : 0;
	if ((type != 0) != ((q->incompat & Q2_INCOMPAT_COMPRESSION) != 0))
		return bad(q, e, "its compression type contradicts its features");
	if (type > QCOW2_ZSTD)
		return err_set(e, -EINVAL, "'%.100s' is compressed in a way (%u) not known here",
			       q->name, type);
	q->info.compression = (enum qcow2_compression)type;
	return 0;
}

static int read_fixed(struct q2 *q, const uint8_t *h, struct err *e)
{
	const uint32_t crypt = q2_get32(h + Q2_H_CRYPT);

	q->info.version = q2_get32(h + Q2_H_VERSION);
	q->info.cluster_bits = q2_get32(h + Q2_H_CLUSTER_BITS);
	if (q2_get32(h) != Q2_MAGIC)
		return bad(q, e, "it lacks the mark of one");
	if (q->info.version != 2 && q->info.version != 3)
		return err_set(e, -EINVAL,
			       "'%.100s' is a qcow image of version %u; 2 and 3 are "
			       "known",
			       q->name, q->info.version);
	if (q->info.cluster_bits < QCOW2_MIN_CLUSTER_BITS ||
	    q->info.cluster_bits > QCOW2_MAX_CLUSTER_BITS)
		return bad(q, e, "its clusters have 2^%u bytes", q->info.cluster_bits);
	q->cluster = 1ull << q->info.cluster_bits;
	if (crypt != 0)
		return err_set(e, -EINVAL, "'%.100s' is encrypted, which is not supported",
			       q->name);
	q->refcount_order = 4;
	q->header_bytes = Q2_H_V2_BYTES;
	return q->info.version == 3 ? read_v3(q, h, e) : 0;
}

static int derive(struct q2 *q, struct err *e)
{
	if (q->info.extended_l2 && q->info.cluster_bits < 14)
		return bad(q, e, "its clusters are too small for subclusters");
	q->entry_words = q->info.extended_l2 ? 2 : 1;
	q->units = q->info.extended_l2 ? Q2_SUBCLUSTERS : 1;
	q->unit_bits = q->info.cluster_bits - (q->info.extended_l2 ? 5 : 0);
	q->l2_bits = q->info.cluster_bits - 3 - (q->info.extended_l2 ? 1 : 0);
	q->rb_bits = q->info.cluster_bits + 3 - q->refcount_order;
	q->info.refcount_bits = 1u << q->refcount_order;
	return 0;
}

static bool within(const struct q2 *q, uint64_t off, uint64_t bytes)
{
	return off % q->cluster == 0 && off != 0 && off < Q2_MAX_OFFSET && bytes <= q->file_end &&
	       off <= q->file_end - bytes;
}

static int read_places(struct q2 *q, const uint8_t *h, struct err *e)
{
	const uint64_t bytes = q2_get64(h + Q2_H_SIZE);
	const uint64_t n_rt = q2_get32(h + Q2_H_RT_CLUSTERS);

	q->l1_size = q2_get32(h + Q2_H_L1_SIZE);
	q->l1_off = q2_get64(h + Q2_H_L1_OFF);
	q->rt_off = q2_get64(h + Q2_H_RT_OFF);
	q->info.n_snapshots = q2_get32(h + Q2_H_N_SNAPSHOTS);
	q->snapshots_off = q2_get64(h + Q2_H_SNAPSHOTS_OFF);
	if (bytes > (1ull << 62))
		return bad(q, e, "its disk is too large");
	if (bytes / 512 == 0)
		return err_set(e, -EINVAL, "cannot use '%.100s' as a disk: it is empty", q->name);
	q->p.blk.bytes = bytes & ~511ull;
	if (q->l1_size > Q2_MAX_L1_BYTES / 8 ||
	    q->l1_size < (bytes + q2_l2_span(q) - 1) / q2_l2_span(q))
		return bad(q, e, "its L1 table has %u entries", q->l1_size);
	if (!within(q, q->l1_off, q->l1_size * 8ull))
		return bad(q, e, "its L1 table lies outside the file");
	if (n_rt == 0 || n_rt * q->cluster > Q2_MAX_RT_BYTES)
		return bad(q, e, "its refcount table has %u clusters", (unsigned)n_rt);
	if (!within(q, q->rt_off, n_rt * q->cluster))
		return bad(q, e, "its refcount table lies outside the file");
	q->rt_size = (uint32_t)(n_rt * q->cluster / 8);
	if (q->info.n_snapshots > MAX_SNAPSHOTS ||
	    (q->info.n_snapshots > 0 && !within(q, q->snapshots_off, 1)))
		return bad(q, e, "its table of snapshots is out of bounds");
	return 0;
}

static int read_backing(struct q2 *q, const uint8_t *h, uint32_t n, uint32_t *ret_end,
			struct err *e)
{
	const uint64_t off = q2_get64(h + Q2_H_BACKING_OFF);
	const uint32_t len = q2_get32(h + Q2_H_BACKING_LEN);

	*ret_end = n;
	if (off == 0 || len == 0)
		return 0;
	if (len > QCOW2_MAX_NAME || off < q->header_bytes || off > n || len > n - off)
		return bad(q, e, "the name of its backing file lies outside the header");
	memcpy(q->info.backing_file, h + off, len);
	if (strlen(q->info.backing_file) != len)
		return bad(q, e, "the name of its backing file has a zero in it");
	*ret_end = (uint32_t)off;
	return 0;
}

static int read_table(struct q2 *q, uint64_t off, uint32_t n, uint64_t **ret, struct err *e)
{
	auto_free uint64_t *t = calloc(n > 0 ? n : 1, 8);
	const int r = t != NULL ? io_host_get(&q->host, t, n * 8ull, off) : -ENOMEM;

	if (r < 0)
		return err_set(e, r, "cannot read '%.100s': %s", q->name, strerror(-r));
	for (uint32_t i = 0; i < n; i++)
		t[i] = __builtin_bswap64(t[i]);
	*ret = TAKE_PTR(t);
	return 0;
}

int q2_header_read(struct q2 *q, const struct qcow2_options *o, struct err *e)
{
	const uint32_t max = MAX_EXT_BYTES;
	auto_free uint8_t *h = calloc(1, max);
	uint32_t end = 0;
	int r = h != NULL ? io_host_get(&q->host, h, max, 0) : -ENOMEM;

	if (r < 0)
		return err_set(e, r, "cannot read '%.100s': %s", q->name, strerror(-r));
	r = read_fixed(q, h, e);
	if (r == 0)
		r = derive(q, e);
	if (r == 0)
		r = read_places(q, h, e);
	if (r == 0)
		r = read_backing(q, h, (uint32_t)hv_min_u64(max, q->cluster), &end, e);
	if (r == 0)
		r = read_extensions(q, h, end, e);
	if (r == 0 && q->info.extended_l2 && !o->read_only && !o->for_check)
		r = err_set(e, -EINVAL,
			    "'%.100s' has subclusters (extended L2), which can be read but not "
			    "written: lodge disk convert makes one that can",
			    q->name);
	if (r == 0 && q->info.corrupt && !o->read_only && !o->for_check)
		r = err_set(e, -EBADMSG,
			    "'%.100s' is marked as corrupt: lodge disk repair mends what it can",
			    q->name);
	if (r == 0)
		r = read_table(q, q->l1_off, q->l1_size, &q->l1, e);
	return r < 0 ? r : read_table(q, q->rt_off, q->rt_size, &q->rt, e);
}

/* ---- making one ---- */

int q2_header_put_backing(uint8_t *h, uint64_t cluster, uint32_t fixed, const char *file,
			  const char *format, uint32_t name_at, struct err *e)
{
	const size_t n = file != NULL ? strlen(file) : 0;
	const size_t n_format = file != NULL && format != NULL ? strlen(format) : 0;
	uint8_t *p = h + fixed;

	q2_put64(h + Q2_H_BACKING_OFF, 0);
	q2_put32(h + Q2_H_BACKING_LEN, 0);
	if (n == 0)
		return 0;
	if (n > QCOW2_MAX_NAME || n_format > 32)
		return err_set(e, -ENAMETOOLONG, "the name of the backing file is too long");
	if (n_format > 0) {
		q2_put32(p, Q2_EXT_BACKING_FORMAT);
		q2_put32(p + 4, (uint32_t)n_format);
		memcpy(p + 8, format, n_format);
		p += 8 + hv_align_up(n_format, 8);
	}
	p += 8; /* the end of the extensions is all zero */
	const uint64_t at = cluster >= 4096 ? name_at : (uint64_t)(p - h);
	if (at + n > cluster)
		return err_set(e, -ENAMETOOLONG,
			       "the name of the backing file does not fit into a cluster");
	memcpy(h + at, file, n);
	q2_put64(h + Q2_H_BACKING_OFF, at);
	q2_put32(h + Q2_H_BACKING_LEN, (uint32_t)n);
	return 0;
}
