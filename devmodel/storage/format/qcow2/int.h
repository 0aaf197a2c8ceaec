/* Between the parts of the qcow2 format. */
#ifndef DEVMODEL_STORAGE_FORMAT_QCOW2_INT_H
#define DEVMODEL_STORAGE_FORMAT_QCOW2_INT_H
#include <pthread.h>
#include "base/util.h"
#include "devmodel/storage/format/pooled.h"
#include "devmodel/storage/format/qcow2/qcow2.h"

#define Q2_MAGIC 0x514649fbu
#define Q2_OFFSET_MASK 0x00fffffffffffe00ull
#define Q2_COPIED (1ull << 63) /* the only reference: may be written in place */
#define Q2_COMPRESSED (1ull << 62)
#define Q2_ZERO 1ull

#define Q2_MAX_OFFSET (1ull << 56)
#define Q2_MAX_L1_BYTES (32u << 20)
#define Q2_MAX_RT_BYTES (8u << 20)
#define Q2_SUBCLUSTERS 32u

enum { /* incompatible features */
       Q2_INCOMPAT_DIRTY = 1u << 0,
       Q2_INCOMPAT_CORRUPT = 1u << 1,
       Q2_INCOMPAT_DATA_FILE = 1u << 2,
       Q2_INCOMPAT_COMPRESSION = 1u << 3,
       Q2_INCOMPAT_EXTENDED_L2 = 1u << 4,
       Q2_INCOMPAT_KNOWN = 0x1f,
       Q2_COMPAT_LAZY = 1u << 0,
       Q2_AUTOCLEAR_BITMAPS = 1u << 0,
};

enum { /* offsets in the header */
       Q2_H_MAGIC = 0,
       Q2_H_VERSION = 4,
       Q2_H_BACKING_OFF = 8,
       Q2_H_BACKING_LEN = 16,
       Q2_H_CLUSTER_BITS = 20,
       Q2_H_SIZE = 24,
       Q2_H_CRYPT = 32,
       Q2_H_L1_SIZE = 36,
       Q2_H_L1_OFF = 40,
       Q2_H_RT_OFF = 48,
       Q2_H_RT_CLUSTERS = 56,
       Q2_H_N_SNAPSHOTS = 60,
       Q2_H_SNAPSHOTS_OFF = 64,
       Q2_H_V2_BYTES = 72,
       Q2_H_INCOMPAT = 72,
       Q2_H_COMPAT = 80,
       Q2_H_AUTOCLEAR = 88,
       Q2_H_REFCOUNT_ORDER = 96,
       Q2_H_LENGTH = 100,
       Q2_H_COMPRESSION = 104,
       Q2_H_V3_BYTES = 112,
};
#define Q2_EXT_END 0u
#define Q2_EXT_BACKING_FORMAT 0xe2792acau
#define Q2_EXT_FEATURES 0x6803f857u
#define Q2_EXT_BITMAPS 0x23852875u

static inline uint16_t q2_get16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap16(v);
}
static inline uint32_t q2_get32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap32(v);
}
static inline uint64_t q2_get64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap64(v);
}
static inline void q2_put16(void *p, uint16_t v)
{
	v = __builtin_bswap16(v);
	memcpy(p, &v, sizeof(v));
}
static inline void q2_put32(void *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, sizeof(v));
}
static inline void q2_put64(void *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, sizeof(v));
}

/* ---- tables: cache.c ---- */

/* A part of the image's metadata in memory, as it is in the file. */
struct q2_table {
	struct q2_table *next;	   /* of its hash chain */
	uint64_t off;		   /* in the file */
	uint64_t used;		   /* the cache's clock when it was last asked for */
	uint32_t dirty, dirty_end; /* bytes that the file lacks; none if equal */
	bool flushing;		   /* a copy is being written: the file is older than data */
	uint8_t data[];
};

#define Q2_CACHE_BUCKETS 1024u

struct q2_cache {
	struct q2_table *bucket[Q2_CACHE_BUCKETS];
	size_t table_bytes;
	unsigned n, n_dirty, max;
	uint64_t clock;
};

/* A set of the host clusters that hold metadata. */
struct q2_set {
	uint64_t *slot; /* owned; cluster + 1, 0: free, UINT64_MAX: was used */
	size_t n_slots, n_used;
};

/* A request's guest clusters, while it uses where they lie (shared) or changes it. */
struct q2_range {
	uint64_t first, last;
	bool exclusive;
	struct q2_range *next; /* came later */
};

struct q2_span { /* of a table in memory that the file lacks; none if equal */
	uint32_t from, to;
};

struct q2 {
	struct blk_pooled p;
	struct io_host host;
	char *name; /* owned */
	struct qcow2_info info;
	/* constant between opening and closing, but for resizing */
	uint64_t cluster; /* bytes */
	unsigned l2_bits; /* entries of an L2 table */
	unsigned rb_bits; /* entries of a refcount block */
	unsigned refcount_order;
	unsigned entry_words; /* of an L2 entry: 1; 2 with subclusters */
	unsigned units;	      /* of a cluster: 1; 32 with subclusters */
	unsigned unit_bits;   /* bytes of one */
	uint32_t header_bytes;
	uint64_t snapshots_off, bitmaps_off, bitmaps_bytes, compat, autoclear;
	uint32_t n_bitmaps;
	bool for_check;

	/* Flushing and all that writes metadata. Taken before lock. */
	pthread_mutex_t flush_lock;
	/* The rest. */
	pthread_mutex_t lock;
	pthread_cond_t left; /* a range */
	struct q2_range *ranges;
	unsigned n_waiting;
	uint64_t incompat;
	bool corrupt;
	uint64_t *l1; /* owned, host order */
	uint32_t l1_size;
	uint64_t l1_off;
	struct q2_span l1_dirty;
	uint64_t *rt; /* owned, host order: where the refcount blocks are */
	uint32_t rt_size;
	uint64_t rt_off;
	struct q2_span rt_dirty;
	struct q2_cache l2, rb;
	struct q2_set meta;
	uint64_t hint;		     /* no free cluster below */
	uint64_t file_end;	     /* bytes: no cluster beyond is used */
	uint64_t fresh_from;	     /* bytes: nothing was ever written beyond */
	uint64_t packed, packed_end; /* where the next compressed cluster may go */
	uint64_t *freed;	     /* owned: clusters to give back once no table names them */
	size_t n_freed, max_freed;

	/* compress.c */
	pthread_mutex_t unpacked_lock;
	struct q2_unpacked *unpacked; /* owned: clusters that were decompressed last */
	struct q2_packer *packers;    /* owned: compressors that nobody uses now */
};

static inline struct q2 *q2_of(struct blk *b)
{
	return HV_CONTAINER_OF(b, struct q2, p.blk);
}

static inline uint64_t q2_index(const struct q2 *q, uint64_t bytes)
{
	return bytes >> q->info.cluster_bits;
}

/* Guest bytes of an L2 table. */
static inline uint64_t q2_l2_span(const struct q2 *q)
{
	return q->cluster << q->l2_bits;
}

static inline void q2_span_add(struct q2_span *s, uint32_t i)
{
	if (s->from == s->to)
		*s = (struct q2_span){ i, i + 1 };
	else if (i < s->from)
		s->from = i;
	else if (i >= s->to)
		s->to = i + 1;
}

/* All with lock held. */
void q2_cache_init(struct q2_cache *c, size_t table_bytes, uint64_t max_bytes);
void q2_cache_finish(struct q2_cache *c);
/* A table at off, read if it is not there, or filled with zeroes (fresh). Valid until the next
 * call. */
int q2_cache_get(struct q2 *q, struct q2_cache *c, uint64_t off, bool fresh,
		 struct q2_table **ret_table) HV_MUST_CHECK;
void q2_cache_drop(struct q2_cache *c, uint64_t off); /* what was changed there is forgotten */
void q2_table_changed(struct q2_cache *c, struct q2_table *t, uint32_t from, uint32_t to);
bool q2_cache_crowded(const struct q2_cache *c); /* with what must be flushed first */

int q2_set_add(struct q2_set *s, uint64_t cluster) HV_MUST_CHECK; /* -EEXIST */
void q2_set_remove(struct q2_set *s, uint64_t cluster);
bool q2_set_has(const struct q2_set *s, uint64_t cluster);

/* ---- header.c ---- */
int q2_header_read(struct q2 *q, const struct qcow2_options *o, struct err *e) HV_MUST_CHECK;
/* A big-endian number at a place of the header, in the file. */
int q2_header_put64(struct q2 *q, unsigned at, uint64_t v) HV_MUST_CHECK;
int q2_set_incompat(struct q2 *q, uint64_t set, uint64_t clear) HV_MUST_CHECK;
/* Notes that the image is wrong: one line in the log, the mark in the header; returns -EIO. lock
 * held. */
int q2_wrong(struct q2 *q, const char *fmt, ...) HV_PRINTF(2, 3);

/* Places of the backing file's name in clusters that have them. */
#define Q2_NAME_AT 512u
#define Q2_NAME_AT_2 2048u
/* Adds extensions and name of a backing file (NULL: none) to a header of which the first fixed
 * bytes are filled; the rest of the cluster is zero. name_at: a place above. */
int q2_header_put_backing(uint8_t *h, uint64_t cluster, uint32_t fixed, const char *file,
			  const char *format, uint32_t name_at, struct err *e) HV_MUST_CHECK;

/* ---- refcount.c: lock held ---- */
int q2_refcount(struct q2 *q, uint64_t cluster, uint64_t *ret_count) HV_MUST_CHECK;
int q2_set_refcount(struct q2 *q, uint64_t cluster, uint64_t count) HV_MUST_CHECK;
uint64_t q2_entry_get(const uint8_t *block, unsigned order, uint64_t i);
/* That an entry can hold. */
uint64_t q2_max_count(const struct q2 *q);
void q2_entry_put(uint8_t *block, unsigned order, uint64_t i, uint64_t v);
/* 1 to n clusters in a row, counted once. -ENOBUFS: q2_grow() first. ret_fresh: reads as zeroes. */
int q2_alloc(struct q2 *q, uint64_t n, uint64_t *ret_cluster, uint64_t *ret_n,
	     bool *ret_fresh) HV_MUST_CHECK;
/* What no table ever named. */
void q2_unalloc(struct q2 *q, uint64_t cluster, uint64_t n);
/* One reference to a cluster less, once the tables in the file say so, too. */
int q2_free_later(struct q2 *q, uint64_t cluster) HV_MUST_CHECK;
/* Room for counts: lock is released meanwhile. */
int q2_grow(struct q2 *q) HV_MUST_CHECK;

/* ---- map.c: lock held ---- */

enum q2_kind { Q2_NONE, Q2_ZEROES, Q2_DATA, Q2_PACKED };

struct q2_extent {
	enum q2_kind kind;
	uint64_t bytes;
	uint64_t host; /* of DATA; of PACKED: the entry */
	bool in_place; /* DATA that may be overwritten */
};

/* What lies at off, up to max bytes further. */
int q2_map(struct q2 *q, uint64_t off, uint64_t max, struct q2_extent *ret) HV_MUST_CHECK;
/* The L2 table of off for writing: made or copied if need be. -ENOBUFS: q2_grow() first. */
int q2_own_l2(struct q2 *q, uint64_t off) HV_MUST_CHECK;
/* Sets the entry of the cluster at off, whose L2 table is owned; what was there is given back. */
int q2_set_entry(struct q2 *q, uint64_t off, uint64_t entry) HV_MUST_CHECK;
/* Host clusters that a compressed cluster's entry names, its bytes. */
void q2_packed_at(const struct q2 *q, uint64_t entry, uint64_t *ret_off, uint64_t *ret_bytes);

/* ---- range.c: lock held ---- */
void q2_range_enter(struct q2 *q, struct q2_range *r); /* waits, lock released meanwhile */
void q2_range_leave(struct q2 *q, struct q2_range *r);

/* ---- flush.c: no lock held ---- */
int q2_flush(struct q2 *q) HV_MUST_CHECK;
int q2_flush_locked(struct q2 *q, bool all) HV_MUST_CHECK; /* flush_lock held; all: lazy ones too */
/* Before a change: makes room in the caches, marks the image dirty if counts are lazy. */
int q2_prepare(struct q2 *q) HV_MUST_CHECK;

/* ---- io.c: no lock held ---- */
int q2_run(struct blk *b, struct blk_req *r) HV_MUST_CHECK;
/* What the guest sees at off. The caller has a range. */
int q2_read(struct q2 *q, const struct blk_req *r, uint64_t done, uint64_t bytes) HV_MUST_CHECK;
int q2_read_buf(struct q2 *q, uint64_t off, void *buf, uint64_t bytes) HV_MUST_CHECK;

/* ---- write.c: no lock held ---- */
int q2_write(struct q2 *q, const struct blk_req *r) HV_MUST_CHECK;
int q2_zero(struct q2 *q, uint64_t off, uint64_t bytes, bool discard) HV_MUST_CHECK;

/* Within one L2 table; lock and an exclusive range are held, the lock is released meanwhile. */
int q2_write_held(struct q2 *q, const struct blk_req *r, uint64_t done,
		  uint64_t bytes) HV_MUST_CHECK;
/* Whole clusters become zeroes by their entries; as above. */
int q2_zero_held(struct q2 *q, uint64_t off, uint64_t bytes) HV_MUST_CHECK;
/* Whole clusters show the backing image again; as above. */
int q2_forget_held(struct q2 *q, uint64_t off, uint64_t bytes) HV_MUST_CHECK;

/* ---- compress.c: no lock held ---- */
void q2_unpacked_init(struct q2 *q);
void q2_unpacked_finish(struct q2 *q);
/* Part of a compressed cluster. */
int q2_unpack(struct q2 *q, uint64_t entry, uint64_t skip, const struct iovec *iov, unsigned n_iov,
	      uint64_t bytes) HV_MUST_CHECK;
#endif
