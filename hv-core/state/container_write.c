/* Writing saved states; see container.h and container_int.h. */
#include "state/container_int.h"
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"

struct state_writer {
	int fd;	      /* borrowed */
	uint64_t off; /* where the next thing goes */
	struct err first;
	unsigned n_sections, n_ram;
	struct cont_section section[STATE_MAX_SECTIONS];
	struct cont_ram ram[STATE_MAX_RAM];
	uint64_t n_crc, cap_crc, section_bytes;
	uint32_t *crc; /* owned */
	uint32_t zero_chunk_crc;
};

/* The first failure is every later call's. */
static int failed(struct state_writer *w, struct err *e)
{
	return err_set(e, w->first.code, "%s", w->first.msg);
}

static int write_at(struct state_writer *w, uint64_t off, const void *bytes, uint64_t len)
{
	const uint8_t *p = bytes;

	while (len > 0 && w->first.code == 0) {
		ssize_t n = pwrite(w->fd, p, len, (off_t)off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(&w->first, n < 0 ? -errno : -EIO, "cannot write: %s",
				       n < 0 ? strerror(errno) : "nothing was taken");
		p += n;
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return w->first.code;
}

int state_writer_create(int fd, struct state_writer **ret_writer, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "a saved state needs a regular file");
	if (ftruncate(fd, 0) < 0)
		return err_set(e, -errno, "cannot write: %s", strerror(errno));
	struct state_writer *w = calloc(1, sizeof(*w));
	auto_free uint8_t *zero = calloc(1, STATE_CHUNK_BYTES);
	if (w == NULL || zero == NULL) {
		free(w);
		return err_set(e, -ENOMEM, "out of memory");
	}
	w->fd = fd;
	w->off = HV_PAGE_SIZE;
	w->zero_chunk_crc = state_crc32c(zero, STATE_CHUNK_BYTES);
	*ret_writer = w;
	return 0;
}

void state_writer_destroy(struct state_writer *w)
{
	if (w == NULL)
		return;
	free(w->crc);
	free(w);
}

uint64_t state_writer_bytes(const struct state_writer *w)
{
	return w->off;
}

static int check_section(struct state_writer *w, const char *key, size_t len)
{
	char name[STATE_KEY_MAX + 1] = "";

	if (strlen(key) <= STATE_KEY_MAX)
		memcpy(name, key, strlen(key));
	if (!cont_name_ok(name, sizeof(name)))
		return err_set(&w->first, -EINVAL, "section '%.80s': not a name", key);
	for (unsigned i = 0; i < w->n_sections; i++)
		if (strcmp(w->section[i].key, key) == 0)
			return err_set(&w->first, -EEXIST, "section '%s' comes twice", key);
	if (w->n_ram > 0 || w->n_sections == STATE_MAX_SECTIONS || len > STATE_MAX_SECTION_BYTES ||
	    len > STATE_MAX_SECTIONS_BYTES - w->section_bytes)
		return err_set(&w->first, -EFBIG, "section '%s': too many, too large, or too late",
			       key);
	return 0;
}

int state_writer_section(struct state_writer *w, const char *key, const void *bytes, size_t len,
			 struct err *e)
{
	if (w->first.code < 0 || check_section(w, key, len) < 0 ||
	    write_at(w, w->off, bytes, len) < 0)
		return failed(w, e);
	struct cont_section *s = &w->section[w->n_sections++];
	memcpy(s->key, key, strlen(key));
	s->off = w->off;
	s->bytes = len;
	s->crc = state_crc32c(bytes, len);
	w->off += len;
	w->section_bytes += len;
	return 0;
}

/* ---- RAM ---- */

/* Runs of pages with something in them. The file was emptied, so the rest reads as zeros. */
static int write_pages(struct state_writer *w, uint64_t off, const uint8_t *p, uint64_t len)
{
	for (uint64_t i = 0, n; i < len && w->first.code == 0; i += n) {
		n = HV_PAGE_SIZE;
		if (hv_is_zero(p + i, n))
			continue;
		while (i + n < len && !hv_is_zero(p + i + n, HV_PAGE_SIZE))
			n += HV_PAGE_SIZE;
		(void)write_at(w, off + i, p + i, n);
	}
	return w->first.code;
}

static int reserve_crcs(struct state_writer *w, uint64_t n)
{
	uint64_t need = w->n_crc + n;

	if (need <= w->cap_crc)
		return 0;
	uint32_t *p = realloc(w->crc, need * sizeof(*p));
	if (p == NULL)
		return err_set(&w->first, -ENOMEM, "out of memory");
	w->crc = p;
	w->cap_crc = need;
	return 0;
}

static int check_ram(struct state_writer *w, const char *name, uint64_t bytes)
{
	char full[STATE_RAM_NAME_MAX + 1] = "";

	if (strlen(name) <= STATE_RAM_NAME_MAX)
		memcpy(full, name, strlen(name));
	if (!cont_name_ok(full, sizeof(full)) || bytes == 0 || bytes % HV_PAGE_SIZE != 0 ||
	    bytes > STATE_MAX_RAM_BYTES || w->n_ram == STATE_MAX_RAM)
		return err_set(&w->first, -EINVAL, "memory block '%.40s' cannot be saved", name);
	for (unsigned i = 0; i < w->n_ram; i++)
		if (strcmp(w->ram[i].name, name) == 0)
			return err_set(&w->first, -EEXIST, "memory block '%s' comes twice", name);
	return reserve_crcs(w, (bytes + STATE_CHUNK_BYTES - 1) / STATE_CHUNK_BYTES);
}

int state_writer_ram(struct state_writer *w, const char *name, const uint8_t *host, uint64_t bytes,
		     struct err *e)
{
	if (w->first.code < 0 || check_ram(w, name, bytes) < 0)
		return failed(w, e);
	w->off = hv_align_up(w->off, HV_PAGE_SIZE);
	for (uint64_t i = 0, n; i < bytes; i += n) {
		n = hv_min_u64(STATE_CHUNK_BYTES, bytes - i);
		if (n == STATE_CHUNK_BYTES && hv_is_zero(host + i, n)) {
			w->crc[w->n_crc++] = w->zero_chunk_crc;
			continue;
		}
		w->crc[w->n_crc++] = state_crc32c(host + i, n);
		if (write_pages(w, w->off + i, host + i, n) < 0)
			return failed(w, e);
	}
	struct cont_ram *r = &w->ram[w->n_ram++];
	memcpy(r->name, name, strlen(name));
	r->off = w->off;
	r->bytes = bytes;
	w->off += bytes;
	return 0;
}

/* ---- the end ---- */

static int write_index(struct state_writer *w, struct cont_header *h)
{
	struct cont_index index = { w->n_sections, w->n_ram };
	const struct {
		const void *p;
		size_t len;
	} parts[] = {
		{ &index, sizeof(index) },
		{ w->section, w->n_sections * sizeof(w->section[0]) },
		{ w->ram, w->n_ram * sizeof(w->ram[0]) },
		{ w->crc, w->n_crc * sizeof(w->crc[0]) },
	};
	size_t len = 0;

	for (size_t i = 0; i < HV_ARRAY_LEN(parts); i++)
		len += parts[i].len;
	auto_free uint8_t *buf = malloc(len);
	if (buf == NULL)
		return err_set(&w->first, -ENOMEM, "out of memory");
	len = 0;
	for (size_t i = 0; i < HV_ARRAY_LEN(parts); i++) {
		if (parts[i].len > 0)
			memcpy(buf + len, parts[i].p, parts[i].len);
		len += parts[i].len;
	}
	if (len > CONT_INDEX_MAX)
		return err_set(&w->first, -EFBIG, "the state's index is too large");
	h->index_off = w->off;
	h->index_bytes = len;
	h->index_crc = state_crc32c(buf, len);
	h->file_bytes = w->off + len;
	return write_at(w, w->off, buf, len);
}

static int flush(struct state_writer *w)
{
	if (w->first.code == 0 && fdatasync(w->fd) < 0)
		return err_set(&w->first, -errno, "cannot write: %s", strerror(errno));
	return w->first.code;
}

int state_writer_finish(struct state_writer *w, struct err *e)
{
	struct cont_header h = { .format = CONT_FORMAT };

	memcpy(h.magic, CONT_MAGIC, sizeof(h.magic));
	if (w->first.code < 0 || write_index(w, &h) < 0 || flush(w) < 0)
		return failed(w, e);
	h.crc = state_crc32c(&h, offsetof(struct cont_header, crc));
	if (write_at(w, 0, &h, sizeof(h)) < 0 || flush(w) < 0)
		return failed(w, e);
	return 0;
}
