/* Compressed clusters: raw deflate, or zstd; see int.h. */
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>
#include "base/cleanup.h"
#include "devmodel/storage/format/qcow2/int.h"

#define N_UNPACKED 8u
#define MAX_WINDOW_LOG 25 /* memory that a hostile image can ask for */
#define WINDOW_BITS (-12) /* as the format has it: raw, 4 KiB */
#define DEFLATE_LEVEL 5	  /* a third less work than 6, for 0.3 % more bytes of a program */

/* Small reads come one after the other: what was decompressed last is kept. An entry stands for its
 * contents as long as the image is open: what is packed is never written again. */
struct q2_unpacked {
	struct slot {
		uint64_t entry; /* 0: none */
		uint64_t used;
		uint8_t *data; /* owned */
	} slot[N_UNPACKED];
	uint64_t clock;
};

void q2_unpacked_init(struct q2 *q)
{
	pthread_mutex_init(&q->unpacked_lock, NULL);
}

static void scatter(const struct iovec *iov, unsigned n, const uint8_t *from, uint64_t bytes)
{
	for (unsigned i = 0; i < n && bytes > 0; i++) {
		const uint64_t part = hv_min_u64(iov[i].iov_len, bytes);
		memcpy(iov[i].iov_base, from, part);
		from += part;
		bytes -= part;
	}
}

static int inflate_cluster(const uint8_t *in, size_t n, uint8_t *out, size_t cluster)
{
	z_stream z = { .next_in = (uint8_t *)(uintptr_t)in,
		       .avail_in = (uInt)n,
		       .next_out = out,
		       .avail_out = (uInt)cluster };

	if (inflateInit2(&z, WINDOW_BITS) != Z_OK)
		return -ENOMEM;
	const int r = inflate(&z, Z_FINISH);
	const bool whole = z.avail_out == 0 && (r == Z_STREAM_END || r == Z_BUF_ERROR);
	inflateEnd(&z);
	return whole ? 0 : -EBADMSG;
}

/* The sectors end somewhere behind the frame. */
static int unzstd_cluster(const uint8_t *in, size_t n, uint8_t *out, size_t cluster)
{
	ZSTD_DCtx *d = ZSTD_createDCtx();
	ZSTD_inBuffer i = { in, n, 0 };
	ZSTD_outBuffer o = { out, cluster, 0 };

	if (d == NULL)
		return -ENOMEM;
	ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, MAX_WINDOW_LOG);
	while (o.pos < o.size) {
		const size_t before = i.pos + o.pos;
		const size_t r = ZSTD_decompressStream(d, &o, &i);
		if (ZSTD_isError(r) || i.pos + o.pos == before)
			break;
	}
	ZSTD_freeDCtx(d);
	return o.pos == o.size ? 0 : -EBADMSG;
}

static int unpack(struct q2 *q, uint64_t entry, uint8_t *out)
{
	uint64_t off, bytes;

	q2_packed_at(q, entry, &off, &bytes);
	auto_free uint8_t *in = malloc(bytes);
	if (in == NULL)
		return -ENOMEM;
	const int r = io_host_get(&q->host, in, bytes, off);
	if (r < 0)
		return r;
	return q->info.compression == QCOW2_ZSTD ? unzstd_cluster(in, bytes, out, q->cluster)
						 : inflate_cluster(in, bytes, out, q->cluster);
}

static struct slot *find(struct q2_unpacked *u, uint64_t entry)
{
	for (unsigned i = 0; u != NULL && i < N_UNPACKED; i++)
		if (u->slot[i].entry == entry)
			return &u->slot[i];
	return NULL;
}

/* Takes the buffer over. unpacked_lock held. */
static void keep(struct q2 *q, uint64_t entry, uint8_t *data)
{
	struct slot *oldest;

	if (q->unpacked == NULL)
		q->unpacked = calloc(1, sizeof(*q->unpacked));
	if (q->unpacked == NULL || find(q->unpacked, entry) != NULL) {
		free(data);
		return;
	}
	oldest = &q->unpacked->slot[0];
	for (unsigned i = 1; i < N_UNPACKED; i++)
		if (q->unpacked->slot[i].used < oldest->used)
			oldest = &q->unpacked->slot[i];
	free(oldest->data);
	*oldest = (struct slot){ entry, ++q->unpacked->clock, data };
}

int q2_unpack(struct q2 *q, uint64_t entry, uint64_t skip, const struct iovec *iov, unsigned n_iov,
	      uint64_t bytes)
{
	pthread_mutex_lock(&q->unpacked_lock);
	struct slot *s = find(q->unpacked, entry);
	if (s != NULL) {
		s->used = ++q->unpacked->clock;
		scatter(iov, n_iov, s->data + skip, bytes);
	}
	pthread_mutex_unlock(&q->unpacked_lock);
	if (s != NULL)
		return 0;
	uint8_t *out = malloc(q->cluster);
	const int r = out != NULL ? unpack(q, entry, out) : -ENOMEM;
	if (r < 0) {
		free(out);
		if (r != -EBADMSG)
			return r;
		pthread_mutex_lock(&q->lock);
		q2_wrong(q, "a compressed cluster cannot be decompressed");
		pthread_mutex_unlock(&q->lock);
		return -EIO;
	}
	scatter(iov, n_iov, out + skip, bytes);
	pthread_mutex_lock(&q->unpacked_lock);
	keep(q, entry, out);
	pthread_mutex_unlock(&q->unpacked_lock);
	return 0;
}

/* ---- compressing ---- */

/* What a compressor works with is large: it is kept for the next cluster. */
struct q2_packer {
	struct q2_packer *next;
	z_stream z;
	ZSTD_CCtx *zstd; /* owned; NULL: this one is zlib's */
};

static void free_packer(struct q2_packer *p)
{
	if (p->zstd != NULL)
		ZSTD_freeCCtx(p->zstd);
	else
		deflateEnd(&p->z);
	free(p);
}

static struct q2_packer *take_packer(struct q2 *q)
{
	pthread_mutex_lock(&q->unpacked_lock);
	struct q2_packer *p = q->packers;
	if (p != NULL)
		q->packers = p->next;
	pthread_mutex_unlock(&q->unpacked_lock);
	if (p != NULL)
		return p;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	bool good;
	if (q->info.compression == QCOW2_ZSTD)
		good = (p->zstd = ZSTD_createCCtx()) != NULL;
	else
		good = deflateInit2(&p->z, DEFLATE_LEVEL, Z_DEFLATED, WINDOW_BITS, 9,
				    Z_DEFAULT_STRATEGY) == Z_OK;
	if (!good) {
		free(p);
		p = NULL;
	}
	return p;
}

static void keep_packer(struct q2 *q, struct q2_packer *p)
{
	pthread_mutex_lock(&q->unpacked_lock);
	p->next = q->packers;
	q->packers = p;
	pthread_mutex_unlock(&q->unpacked_lock);
}

static size_t deflate_cluster(z_stream *z, const void *in, size_t n, uint8_t *out, size_t max)
{
	if (deflateReset(z) != Z_OK)
		return 0;
	z->next_in = (uint8_t *)(uintptr_t)in;
	z->avail_in = (uInt)n;
	z->next_out = out;
	z->avail_out = (uInt)max;
	return deflate(z, Z_FINISH) == Z_STREAM_END ? max - z->avail_out : 0;
}

/* 0: it does not become smaller. */
static size_t compress_cluster(struct q2 *q, const void *in, uint8_t *out)
{
	struct q2_packer *p = take_packer(q);
	size_t n;

	if (p == NULL)
		return 0;
	if (p->zstd != NULL)
		n = ZSTD_compressCCtx(p->zstd, out, q->cluster - 1, in, q->cluster,
				      ZSTD_CLEVEL_DEFAULT);
	else
		n = deflate_cluster(&p->z, in, q->cluster, out, q->cluster - 1);
	const bool failed = p->zstd != NULL && ZSTD_isError(n);
	keep_packer(q, p);
	return failed ? 0 : n;
}

static int count_again(struct q2 *q, uint64_t first, uint64_t last)
{
	uint64_t count;
	int r = 0;

	for (uint64_t c = first; c <= last && r == 0; c++) {
		r = q2_refcount(q, c, &count);
		if (r == 0)
			r = q2_set_refcount(q, c, count + 1);
	}
	return r;
}

/* A place for that many bytes behind the last one, or in new clusters. Lock held. */
static int pack(struct q2 *q, uint64_t bytes, uint64_t *ret_off)
{
	uint64_t cluster, n, used;
	bool fresh;
	int r = 0;

	if (q->packed + bytes > q->packed_end) {
		const uint64_t room = q->packed_end - q->packed;
		r = q2_alloc(q, 1, &cluster, &n, &fresh);
		if (r < 0)
			return r;
		const uint64_t off = cluster << q->info.cluster_bits;
		const bool joins = off == q->packed_end && room > 0;
		/* The old one's end is counted by what lies before. */
		if (joins)
			r = count_again(q, q2_index(q, q->packed), q2_index(q, q->packed));
		used = joins ? q->packed : off;
		q->packed_end = off + q->cluster;
	} else {
		used = q->packed;
		r = count_again(q, q2_index(q, used), q2_index(q, used));
	}
	if (r < 0)
		return r;
	q->packed = used + bytes;
	*ret_off = used;
	return 0;
}

static uint64_t packed_entry(const struct q2 *q, uint64_t off, uint64_t bytes)
{
	const unsigned off_bits = 62 - (q->info.cluster_bits - 8);
	const uint64_t sectors = (off % 512 + bytes - 1) / 512;

	return Q2_COMPRESSED | sectors << off_bits | off;
}

static int write_plain(struct q2 *q, uint64_t off, const void *cluster)
{
	struct blk_req r;

	r.op = BLK_WRITE;
	r.offset = off;
	r.bytes = hv_min_u64(q->cluster, q->p.blk.bytes - off);
	r.iov[0] = (struct iovec){ (void *)(uintptr_t)cluster, r.bytes };
	r.n_iov = 1;
	return q2_write(q, &r);
}

static int place_packed(struct q2 *q, uint64_t off, uint64_t bytes, uint64_t *ret_host)
{
	int r = q2_own_l2(q, off);

	return r < 0 ? r : pack(q, bytes, ret_host);
}

int qcow2_write_compressed(struct blk *b, uint64_t off, const void *cluster)
{
	struct q2 *q = q2_of(b);
	auto_free uint8_t *out = malloc(q->cluster);
	uint64_t host = 0;

	if (out == NULL)
		return -ENOMEM;
	/* Counts must be able to say how many clusters are packed into one. */
	const size_t n = q->refcount_order >= 4 ? compress_cluster(q, cluster, out) : 0;
	if (n == 0)
		return write_plain(q, off, cluster);
	int r = q2_prepare(q);
	if (r < 0)
		return r;
	pthread_mutex_lock(&q->lock);
	r = place_packed(q, off, n, &host);
	while (r == -ENOBUFS) {
		r = q2_grow(q);
		if (r == 0)
			r = place_packed(q, off, n, &host);
	}
	pthread_mutex_unlock(&q->lock);
	if (r == 0)
		r = io_host_put(&q->host, out, n, host);
	if (r < 0)
		return r;
	pthread_mutex_lock(&q->lock);
	r = q2_set_entry(q, off, packed_entry(q, host, n));
	pthread_mutex_unlock(&q->lock);
	return r;
}

void q2_unpacked_finish(struct q2 *q)
{
	for (unsigned i = 0; q->unpacked != NULL && i < N_UNPACKED; i++)
		free(q->unpacked->slot[i].data);
	free(q->unpacked);
	for (struct q2_packer *p = q->packers, *next; p != NULL; p = next) {
		next = p->next;
		free_packer(p);
	}
	q->packers = NULL;
	q->unpacked = NULL;
	pthread_mutex_destroy(&q->unpacked_lock);
}
