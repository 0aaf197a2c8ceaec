/* Reading what was packed, which is hostile; see pack.h and pack_int.h. */
#include <stdlib.h>
#include <sys/stat.h>
#include <zstd.h>
#include "base/cleanup.h"
#include "devmodel/storage/io/file.h"
#include "devmodel/storage/pack/pack_int.h"
#include "state/state.h"

static int damaged(struct err *e, const char *what)
{
	return err_set(e, -EBADMSG, "not an exported snapshot, or damaged: %s", what);
}

static int get(int fd, uint64_t off, void *buf, uint64_t bytes, struct err *e)
{
	struct iovec iov = { buf, bytes };
	const int r = io_file_read(fd, &iov, 1, off);

	return r == 0 ? 0 : err_set(e, r, "cannot read: %s", strerror(-r));
}

static bool all_zero(const uint8_t *p, size_t n)
{
	size_t i = 0;

	while (i < n && p[i] == 0)
		i++;
	return i == n;
}

static int read_header(int fd, struct pack_header *h, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(e, -errno, "cannot read: %s", strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(*h))
		return damaged(e, "it is too short");
	const int r = get(fd, 0, h, sizeof(*h), e);
	if (r < 0)
		return r;
	if (memcmp(h->magic, PACK_MAGIC, sizeof(h->magic)) != 0)
		return damaged(e, "it does not begin as one");
	if (h->format != PACK_FORMAT)
		return err_set(e, -ENOTSUP,
			       "an exported snapshot of format %u; this version reads %u",
			       h->format, PACK_FORMAT);
	if (h->crc != state_crc32c(h, offsetof(struct pack_header, crc)) ||
	    !all_zero(h->zero, sizeof(h->zero)))
		return damaged(e, "checksum of the header");
	if (h->file_bytes != (uint64_t)st.st_size)
		return damaged(e, "it has another length than it was written with");
	return 0;
}

/* ---- the index ---- */

struct parts {
	const struct pack_entry *entry; /* both within the index */
	const struct pack_chunk *chunk;
	uint32_t n_items, n_chunks;
};

static int split(const struct pack_header *h, const uint8_t *index, struct parts *ret,
		 struct err *e)
{
	struct pack_index head;
	uint64_t n = 0;

	memcpy(&head, index, sizeof(head));
	if (head.n_items == 0 || head.n_items > PACK_MAX_ITEMS || head.zero != 0)
		return damaged(e, "number of items");
	const uint64_t fixed = sizeof(head) + head.n_items * sizeof(struct pack_entry);
	if (h->index_bytes < fixed)
		return damaged(e, "length of the table of contents");
	*ret = (struct parts){ .entry = (const void *)(index + sizeof(head)),
			       .chunk = (const void *)(index + fixed),
			       .n_items = head.n_items };
	for (unsigned i = 0; i < head.n_items; i++)
		n += ret->entry[i].n_chunks;
	if (n > PACK_MAX_CHUNKS || h->index_bytes - fixed != n * sizeof(struct pack_chunk))
		return damaged(e, "number of chunks");
	ret->n_chunks = (uint32_t)n;
	return 0;
}

static int check_item(const struct parts *all, unsigned n, const struct pack_chunk *c,
		      struct err *e)
{
	const struct pack_entry *entry = &all->entry[n];
	uint64_t next = 0;

	if (!pack_name_ok(entry->name) || entry->bytes > PACK_MAX_ITEM_BYTES || entry->zero != 0)
		return damaged(e, "name or length of an item");
	for (unsigned i = 0; i < n; i++)
		if (strcmp(all->entry[i].name, entry->name) == 0)
			return damaged(e, "an item comes twice");
	for (uint32_t i = 0; i < entry->n_chunks; i++) {
		if (c[i].number < next || c[i].number * PACK_CHUNK_BYTES >= entry->bytes ||
		    c[i].zero != 0)
			return damaged(e, "number of a chunk");
		next = c[i].number + 1ull;
	}
	return 0;
}

static int by_off(const void *a, const void *b)
{
	const struct pack_chunk *x = *(const struct pack_chunk *const *)a;
	const struct pack_chunk *y = *(const struct pack_chunk *const *)b;

	return x->off < y->off ? -1 : x->off > y->off;
}

/* They fill what is between header and index, and each byte belongs to one: so nothing is in the
 * file that no checksum covers, and nothing is unpacked twice. */
static int check_places(const struct pack_header *h, const struct parts *all, struct err *e)
{
	const size_t longest = ZSTD_compressBound(PACK_CHUNK_BYTES);
	auto_free const struct pack_chunk **order = calloc(all->n_chunks + 1ull, sizeof(*order));
	uint64_t at = sizeof(*h);

	if (order == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < all->n_chunks; i++)
		order[i] = &all->chunk[i];
	qsort(order, all->n_chunks, sizeof(*order), by_off);
	for (uint32_t i = 0; i < all->n_chunks; i++) {
		const struct pack_chunk *c = order[i];
		if (c->off != at || c->packed_bytes == 0 || c->packed_bytes > longest)
			return damaged(e, "place of a chunk");
		at += c->packed_bytes;
	}
	return at == h->index_off ? 0 : damaged(e, "place of a chunk");
}

static int take_index(struct pack *p, const struct pack_header *h, struct err *e)
{
	const uint64_t most = sizeof(struct pack_index) +
			      PACK_MAX_ITEMS * sizeof(struct pack_entry) +
			      PACK_MAX_CHUNKS * sizeof(struct pack_chunk);
	struct parts all = { 0 };

	if (h->index_off > h->file_bytes || h->index_bytes != h->file_bytes - h->index_off ||
	    h->index_bytes < sizeof(struct pack_index) || h->index_bytes > most)
		return damaged(e, "place of the table of contents");
	p->index = malloc(h->index_bytes);
	if (p->index == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	int r = get(p->fd, h->index_off, p->index, h->index_bytes, e);
	if (r == 0 && state_crc32c(p->index, h->index_bytes) != h->index_crc)
		r = damaged(e, "checksum of the table of contents");
	if (r == 0)
		r = split(h, p->index, &all, e);
	for (const struct pack_chunk *c = all.chunk; r == 0 && p->n_items < all.n_items;) {
		const struct pack_entry *entry = &all.entry[p->n_items];
		struct pack_item *i = &p->item[p->n_items];
		r = check_item(&all, p->n_items++, c, e);
		memcpy(i->name, entry->name, sizeof(i->name));
		i->bytes = entry->bytes;
		i->chunk = c;
		i->n_chunks = entry->n_chunks;
		c += i->n_chunks;
	}
	return r == 0 ? check_places(h, &all, e) : r;
}

int pack_open(int fd, struct pack **ret_pack, struct err *e)
{
	struct pack *p = calloc(1, sizeof(*p));
	struct pack_header h;

	if (p == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	p->fd = fd;
	int r = read_header(fd, &h, e);
	if (r == 0)
		r = take_index(p, &h, e);
	if (r < 0) {
		pack_close(p);
		return r;
	}
	*ret_pack = p;
	return 0;
}

void pack_close(struct pack *p)
{
	if (p == NULL)
		return;
	free(p->index);
	free(p);
}

const struct pack_item *pack_find(const struct pack *p, const char *name)
{
	for (unsigned i = 0; i < p->n_items; i++)
		if (strcmp(p->item[i].name, name) == 0)
			return &p->item[i];
	return NULL;
}

/* ---- chunks ---- */

struct unpacking {
	const struct pack *p;
	const struct pack_item *i;
	pack_sink *sink;
	void *ctx;
};

static int unpack(const struct unpacking *u, const struct pack_chunk *c, uint64_t bytes,
		  struct pack_bench *b, struct err *e)
{
	const int r = get(u->p->fd, c->off, b->packed, c->packed_bytes, e);

	if (r < 0)
		return r;
	if (state_crc32c(b->packed, c->packed_bytes) != c->crc)
		return err_set(e, -EBADMSG, "damaged: checksum in '%s'", u->i->name);
	if (ZSTD_decompressDCtx(b->decompress, b->plain, bytes, b->packed, c->packed_bytes) !=
	    bytes)
		return err_set(e, -EBADMSG, "damaged: a chunk of '%s' cannot be decompressed",
			       u->i->name);
	return 0;
}

static int unpack_one(void *ctx, uint64_t n, struct pack_bench *b, struct err *e)
{
	const struct unpacking *u = ctx;
	const struct pack_chunk *c = &u->i->chunk[n];
	const uint64_t bytes = pack_chunk_bytes(u->i->bytes, c->number);
	int r = unpack(u, c, bytes, b, e);

	if (r < 0)
		return r;
	r = u->sink(u->ctx, c->number * PACK_CHUNK_BYTES, b->plain, bytes);
	return r == 0 ? 0 : err_set(e, r, "cannot write: %s", strerror(-r));
}

int pack_read(const struct pack *p, const struct pack_item *i, pack_sink *sink, void *sink_ctx,
	      pack_progress *progress, void *ctx, struct err *e)
{
	struct unpacking u = { .p = p, .i = i, .sink = sink, .ctx = sink_ctx };
	const struct pack_work work = { .one = unpack_one,
					.ctx = &u,
					.n = i->n_chunks,
					.item_bytes = i->bytes,
					.progress = progress,
					.progress_ctx = ctx };

	return pack_do(&work, e);
}

static int to_text(void *ctx, uint64_t off, const uint8_t *buf, uint64_t bytes)
{
	memcpy((char *)ctx + off, buf, bytes);
	return 0;
}

int pack_read_text(const struct pack *p, const struct pack_item *i, uint64_t max, char **ret_text,
		   struct err *e)
{
	if (i->bytes > max)
		return err_set(e, -EBADMSG, "damaged: '%s' is too long", i->name);
	auto_free char *text = calloc(1, i->bytes + 1);
	if (text == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	const int r = pack_read(p, i, to_text, text, NULL, NULL, e);
	if (r < 0)
		return r;
	if (strlen(text) != i->bytes)
		return err_set(e, -EBADMSG, "damaged: '%s' is no text", i->name);
	*ret_text = TAKE_PTR(text);
	return 0;
}
