/* Loading saved states, which are hostile; see container.h and container_int.h. */
#include "state/container_int.h"
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"

bool cont_name_ok(const char *name, size_t bytes)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789"
				      "_./:-";
	size_t len = strnlen(name, bytes);

	if (len == 0 || len == bytes || strspn(name, allowed) != len)
		return false;
	for (size_t i = len; i < bytes; i++)
		if (name[i] != '\0')
			return false;
	return true;
}

static int damaged(struct err *e, const char *what)
{
	return err_set(e, -EBADMSG, "not a saved state, or damaged: %s", what);
}

static int read_at(int fd, uint64_t off, void *buf, uint64_t len, struct err *e)
{
	uint8_t *p = buf;

	while (len > 0) {
		ssize_t n = pread(fd, p, len, (off_t)off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(e, -errno, "cannot read the saved state: %s",
				       strerror(errno));
		if (n == 0)
			return damaged(e, "the file is cut short");
		p += n;
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

/* ---- what is being loaded ---- */

struct extent {
	uint64_t off, bytes;
};

struct load {
	int fd;
	uint64_t file_bytes;
	struct cont_header header;
	uint8_t *index; /* owned */
	struct cont_index counts;
	const uint8_t *sections, *rams, *crcs; /* within index; not aligned */
	uint64_t n_crc;
	uint64_t section_bytes;
	struct extent *extents; /* owned */
	size_t n_extents;
};

static bool all_zero(const void *p, size_t n)
{
	static const uint8_t zero[64];

	return n <= sizeof(zero) && memcmp(p, zero, n) == 0;
}

static bool inside(const struct load *l, uint64_t off, uint64_t bytes)
{
	return off <= l->file_bytes && bytes <= l->file_bytes - off;
}

static int load_header(struct load *l, struct err *e)
{
	struct cont_header *h = &l->header;
	struct stat st;

	if (fstat(l->fd, &st) < 0)
		return err_set(e, -errno, "cannot read the saved state: %s", strerror(errno));
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < HV_PAGE_SIZE)
		return damaged(e, "the file is too short");
	int r = read_at(l->fd, 0, h, sizeof(*h), e);
	if (r < 0)
		return r;
	if (memcmp(h->magic, CONT_MAGIC, sizeof(h->magic)) != 0)
		return damaged(e, "it does not begin as one (its writing may have been cut short)");
	if (h->format != CONT_FORMAT)
		return err_set(e, -ENOTSUP, "saved state of format %u; this build reads %u",
			       h->format, CONT_FORMAT);
	if (h->crc != state_crc32c(h, offsetof(struct cont_header, crc)) ||
	    !all_zero(h->zero, sizeof(h->zero)))
		return damaged(e, "checksum of the header");
	if (h->file_bytes != (uint64_t)st.st_size)
		return damaged(e, "the file has another length than it was written with");
	l->file_bytes = h->file_bytes;
	return 0;
}

static int load_index(struct load *l, struct err *e)
{
	const struct cont_header *h = &l->header;

	if (!inside(l, h->index_off, h->index_bytes) || h->index_bytes > CONT_INDEX_MAX ||
	    h->index_bytes < sizeof(l->counts))
		return damaged(e, "place of the index");
	l->index = malloc(h->index_bytes);
	if (l->index == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	int r = read_at(l->fd, h->index_off, l->index, h->index_bytes, e);
	if (r < 0)
		return r;
	if (state_crc32c(l->index, h->index_bytes) != h->index_crc)
		return damaged(e, "checksum of the index");
	memcpy(&l->counts, l->index, sizeof(l->counts));
	if (l->counts.n_sections > STATE_MAX_SECTIONS || l->counts.n_ram > STATE_MAX_RAM)
		return damaged(e, "counts of the index");
	uint64_t fixed = sizeof(l->counts) + l->counts.n_sections * sizeof(struct cont_section) +
			 l->counts.n_ram * sizeof(struct cont_ram);
	if (h->index_bytes < fixed || (h->index_bytes - fixed) % sizeof(uint32_t) != 0)
		return damaged(e, "length of the index");
	l->sections = l->index + sizeof(l->counts);
	l->rams = l->sections + l->counts.n_sections * sizeof(struct cont_section);
	l->crcs = l->index + fixed;
	l->n_crc = (h->index_bytes - fixed) / sizeof(uint32_t);
	return 0;
}

static struct cont_section section_at(const struct load *l, unsigned i)
{
	struct cont_section s;

	memcpy(&s, l->sections + i * sizeof(s), sizeof(s));
	return s;
}

static struct cont_ram ram_at(const struct load *l, unsigned i)
{
	struct cont_ram r;

	memcpy(&r, l->rams + i * sizeof(r), sizeof(r));
	return r;
}

static uint64_t chunks(uint64_t bytes)
{
	return (bytes + STATE_CHUNK_BYTES - 1) / STATE_CHUNK_BYTES;
}

static int check_sections(struct load *l, struct err *e)
{
	for (unsigned i = 0; i < l->counts.n_sections; i++) {
		struct cont_section s = section_at(l, i);
		if (!cont_name_ok(s.key, sizeof(s.key)) || s.zero != 0)
			return damaged(e, "name of a section");
		if (!inside(l, s.off, s.bytes) || s.bytes > STATE_MAX_SECTION_BYTES)
			return damaged(e, "place of a section");
		l->section_bytes += s.bytes;
		if (l->section_bytes > STATE_MAX_SECTIONS_BYTES)
			return damaged(e, "length of the sections");
		l->extents[l->n_extents++] = (struct extent){ s.off, s.bytes };
	}
	return 0;
}

static int check_rams(struct load *l, struct err *e)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < l->counts.n_ram; i++) {
		struct cont_ram r = ram_at(l, i);
		if (!cont_name_ok(r.name, sizeof(r.name)))
			return damaged(e, "name of a memory block");
		if (!inside(l, r.off, r.bytes) || r.bytes == 0 || r.bytes > STATE_MAX_RAM_BYTES ||
		    (r.off | r.bytes) % HV_PAGE_SIZE != 0)
			return damaged(e, "place of a memory block");
		n += chunks(r.bytes);
		l->extents[l->n_extents++] = (struct extent){ r.off, r.bytes };
	}
	return n == l->n_crc ? 0 : damaged(e, "number of checksums");
}

static int by_offset(const void *a, const void *b)
{
	const struct extent *x = a, *y = b;

	if (x->off != y->off)
		return x->off < y->off ? -1 : 1;
	return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* No byte of the file belongs to two things. */
static int check_extents(struct load *l, struct err *e)
{
	size_t max = (size_t)l->counts.n_sections + l->counts.n_ram + 2;

	l->extents = calloc(max, sizeof(*l->extents));
	if (l->extents == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	l->extents[l->n_extents++] = (struct extent){ 0, HV_PAGE_SIZE };
	l->extents[l->n_extents++] = (struct extent){ l->header.index_off, l->header.index_bytes };
	int r = check_sections(l, e);
	if (r == 0)
		r = check_rams(l, e);
	if (r < 0)
		return r;
	qsort(l->extents, l->n_extents, sizeof(*l->extents), by_offset);
	for (size_t i = 1; i < l->n_extents; i++)
		if (l->extents[i].off < l->extents[i - 1].off + l->extents[i - 1].bytes)
			return damaged(e, "parts overlap");
	return 0;
}

/* ---- the result ---- */

static int fill_sections(struct load *l, struct state_file *f, struct err *e)
{
	uint8_t *p = f->bytes;

	for (unsigned i = 0; i < l->counts.n_sections; i++) {
		struct cont_section s = section_at(l, i);
		struct state_section *to = &f->section[i];
		int r = read_at(l->fd, s.off, p, s.bytes, e);
		if (r < 0)
			return r;
		if (state_crc32c(p, s.bytes) != s.crc)
			return err_set(e, -EBADMSG, "saved state: section %s is damaged", s.key);
		if (state_file_section(f, s.key) != NULL)
			return damaged(e, "a section comes twice");
		memcpy(to->key, s.key, sizeof(to->key));
		to->p = p;
		to->len = s.bytes;
		p += s.bytes;
		f->n_sections = i + 1;
	}
	return 0;
}

static int fill_rams(struct load *l, struct state_file *f, struct err *e)
{
	const uint32_t *crc = f->crc;

	if (l->n_crc > 0)
		memcpy(f->crc, l->crcs, l->n_crc * sizeof(*f->crc));
	for (unsigned i = 0; i < l->counts.n_ram; i++) {
		struct cont_ram r = ram_at(l, i);
		struct state_ram *to = &f->ram[i];
		if (state_file_ram(f, r.name) != NULL)
			return damaged(e, "a memory block comes twice");
		memcpy(to->name, r.name, sizeof(to->name));
		to->bytes = r.bytes;
		to->file_off = r.off;
		to->crc = crc;
		crc += chunks(r.bytes);
		f->n_ram = i + 1;
	}
	return 0;
}

static int fill(struct load *l, struct state_file **ret_file, struct err *e)
{
	struct state_file *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	f->section = calloc(l->counts.n_sections + 1, sizeof(*f->section));
	f->ram = calloc(l->counts.n_ram + 1, sizeof(*f->ram));
	f->bytes = malloc(l->section_bytes + 1);
	f->crc = calloc(l->n_crc + 1, sizeof(*f->crc));
	int r = 0;
	if (f->section == NULL || f->ram == NULL || f->bytes == NULL || f->crc == NULL)
		r = err_set(e, -ENOMEM, "out of memory");
	if (r == 0)
		r = fill_sections(l, f, e);
	if (r == 0)
		r = fill_rams(l, f, e);
	if (r < 0) {
		state_file_close(f);
		return r;
	}
	*ret_file = f;
	return 0;
}

int state_file_open(int fd, struct state_file **ret_file, struct err *e)
{
	struct load l = { .fd = fd };
	int r = load_header(&l, e);

	if (r == 0)
		r = load_index(&l, e);
	if (r == 0)
		r = check_extents(&l, e);
	if (r == 0)
		r = fill(&l, ret_file, e);
	free(l.index);
	free(l.extents);
	return r;
}

void state_file_close(struct state_file *f)
{
	if (f == NULL)
		return;
	free(f->section);
	free(f->ram);
	free(f->bytes);
	free(f->crc);
	free(f);
}

const struct state_section *state_file_section(const struct state_file *f, const char *key)
{
	for (unsigned i = 0; i < f->n_sections; i++)
		if (strcmp(f->section[i].key, key) == 0)
			return &f->section[i];
	return NULL;
}

const struct state_ram *state_file_ram(const struct state_file *f, const char *name)
{
	for (unsigned i = 0; i < f->n_ram; i++)
		if (strcmp(f->ram[i].name, name) == 0)
			return &f->ram[i];
	return NULL;
}

/* ---- the contents of RAM ---- */

uint64_t state_ram_chunks(const struct state_ram *r)
{
	return chunks(r->bytes);
}

static uint64_t chunk_bytes(const struct state_ram *r, uint64_t chunk)
{
	return hv_min_u64(STATE_CHUNK_BYTES, r->bytes - chunk * STATE_CHUNK_BYTES);
}

bool state_file_verify_chunk(const struct state_ram *r, uint64_t chunk, const uint8_t *host)
{
	return chunk < chunks(r->bytes) &&
	       state_crc32c(host, chunk_bytes(r, chunk)) == r->crc[chunk];
}

int state_file_verify(const struct state_file *f, int fd, struct err *e)
{
	auto_free uint8_t *buf = malloc(STATE_CHUNK_BYTES);

	if (buf == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < f->n_ram; i++) {
		const struct state_ram *m = &f->ram[i];
		for (uint64_t c = 0; c < chunks(m->bytes); c++) {
			int r = read_at(fd, m->file_off + c * STATE_CHUNK_BYTES, buf,
					chunk_bytes(m, c), e);
			if (r < 0)
				return r;
			if (!state_file_verify_chunk(m, c, buf))
				return err_set(
					e, -EBADMSG,
					"saved state: memory block %s is damaged near %llu MiB",
					m->name, (unsigned long long)c);
		}
	}
	return 0;
}
