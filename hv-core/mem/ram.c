/*
 * RAM blocks: how the host provides them, and their dirty logs. A block lies in a larger reserved
 * area, aligned for huge pages, with inaccessible pages before and behind it.
 */
#include "mem/mem_int.h"
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"

#define HUGE_BYTES HV_MIB(2)
#define RAM_MAX_BYTES HV_GIB(4096) /* beyond any laptop; keeps all sums far from overflow */

static int check(struct hv_mem *m, const char *name, uint64_t bytes, struct err *e)
{
	if (bytes == 0 || bytes % HV_PAGE_SIZE != 0 || bytes > RAM_MAX_BYTES)
		return err_set(e, -EINVAL, "%s: cannot have %llu bytes of guest memory", name,
			       (unsigned long long)bytes);
	if (m->n_ram == MEM_MAX_RAM || strlen(name) >= sizeof(m->ram[0]->name))
		return err_set(e, -EINVAL, "%s: too many memory blocks, or too long a name", name);
	for (unsigned i = 0; i < m->n_ram; i++)
		if (strcmp(m->ram[i]->name, name) == 0)
			return err_set(e, -EEXIST, "%s: there is a memory block of that name",
				       name);
	return 0;
}

static int check_file(const char *name, int fd, uint64_t off, uint64_t bytes, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(e, -errno, "%s: %s", name, strerror(errno));
	if (off % HV_PAGE_SIZE != 0 || st.st_size < 0 || off > (uint64_t)st.st_size ||
	    bytes > (uint64_t)st.st_size - off)
		return err_set(e, -EINVAL, "%s: the file does not hold %llu bytes at %llu", name,
			       (unsigned long long)bytes, (unsigned long long)off);
	return 0;
}

static int make_shared(struct hv_ram *r, struct err *e)
{
	r->fd = memfd_create(r->name, MFD_CLOEXEC);
	if (r->fd < 0 || ftruncate(r->fd, (off_t)r->bytes) < 0)
		return err_set(e, -errno, "%s: cannot create shared memory: %s", r->name,
			       strerror(errno));
	return 0;
}

static int reserve(struct hv_ram *r, struct err *e)
{
	r->area_bytes = r->bytes + 2 * HUGE_BYTES;
	r->area = mmap(NULL, r->area_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		       -1, 0);
	if (r->area == MAP_FAILED) {
		r->area = NULL;
		return err_set(e, -errno, "%s: no room for %llu MiB: %s", r->name,
			       (unsigned long long)(r->bytes >> 20), strerror(errno));
	}
	r->host = (uint8_t *)hv_align_up((uintptr_t)r->area + HV_PAGE_SIZE, HUGE_BYTES);
	return 0;
}

static int fill(struct hv_ram *r, int fd, uint64_t file_off, struct err *e)
{
	int flags = MAP_FIXED | MAP_NORESERVE;

	if (r->kind == HV_RAM_ANON)
		flags |= MAP_PRIVATE | MAP_ANONYMOUS;
	else
		flags |= r->kind == HV_RAM_SHARED ? MAP_SHARED : MAP_PRIVATE;
	void *p = mmap(r->host, r->bytes, PROT_READ | PROT_WRITE, flags,
		       r->kind == HV_RAM_SHARED ? r->fd : fd, (off_t)file_off);
	if (p == MAP_FAILED)
		return err_set(e, -errno, "%s: cannot map %llu MiB: %s", r->name,
			       (unsigned long long)(r->bytes >> 20), strerror(errno));
	/* Hints: a kernel without them works, too. */
	if (r->kind == HV_RAM_ANON)
		(void)madvise(r->host, r->bytes, MADV_HUGEPAGE);
	(void)madvise(r->host, r->bytes, MADV_DONTDUMP);
	return 0;
}

static void ram_destroy(struct hv_ram *r)
{
	if (r == NULL)
		return;
	if (r->area != NULL)
		munmap(r->area, r->area_bytes);
	if (r->fd >= 0)
		close(r->fd);
	free(r->dirty);
	free(r);
}

int hv_ram_create(struct hv_mem *m, const char *name, enum hv_ram_kind kind, uint64_t bytes, int fd,
		  uint64_t file_off, struct hv_ram **ret_ram, struct err *e)
{
	int ret = check(m, name, bytes, e);

	if (ret == 0 && kind == HV_RAM_FILE_PRIVATE)
		ret = check_file(name, fd, file_off, bytes, e);
	if (ret < 0)
		return ret;
	struct hv_ram *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return err_set(e, -ENOMEM, "%s: out of memory", name);
	memcpy(r->name, name, strlen(name));
	r->mem = m;
	r->kind = kind;
	r->bytes = bytes;
	r->fd = -1;
	if (kind == HV_RAM_SHARED)
		ret = make_shared(r, e);
	if (ret == 0)
		ret = reserve(r, e);
	if (ret == 0)
		ret = fill(r, fd, kind == HV_RAM_FILE_PRIVATE ? file_off : 0, e);
	if (ret < 0) {
		ram_destroy(r);
		return ret;
	}
	m->ram[m->n_ram++] = r;
	*ret_ram = r;
	return 0;
}

void mem_free_rams(struct hv_mem *m)
{
	for (unsigned i = 0; i < m->n_ram; i++)
		ram_destroy(m->ram[i]);
	m->n_ram = 0;
}

const char *hv_ram_name(const struct hv_ram *r)
{
	return r->name;
}

uint64_t hv_ram_bytes(const struct hv_ram *r)
{
	return r->bytes;
}

uint8_t *hv_ram_host(const struct hv_ram *r)
{
	return r->host;
}

int hv_ram_fd(const struct hv_ram *r)
{
	return r->fd;
}

struct hv_ram *hv_mem_ram(const struct hv_mem *m, unsigned i)
{
	return i < m->n_ram ? m->ram[i] : NULL;
}

/* ---- dirty log ---- */

static uint64_t dirty_words(const struct hv_ram *r)
{
	return (r->bytes / HV_PAGE_SIZE + 63) / 64;
}

static void tell_dirty_log(struct hv_ram *r, bool on)
{
	for (struct hv_mem_listener *l = r->mem->listeners; l != NULL; l = l->next)
		if (l->dirty_log != NULL)
			l->dirty_log(l->ctx, r, on);
}

static void sync_dirty_log(struct hv_ram *r)
{
	for (struct hv_mem_listener *l = r->mem->listeners; l != NULL; l = l->next)
		if (l->dirty_sync != NULL)
			l->dirty_sync(l->ctx, r);
}

int hv_ram_dirty_start(struct hv_ram *r, struct err *e)
{
	if (r->dirty_on)
		return 0;
	if (r->dirty == NULL)
		r->dirty = calloc(dirty_words(r), sizeof(*r->dirty));
	if (r->dirty == NULL)
		return err_set(e, -ENOMEM, "%s: no memory for the dirty log", r->name);
	for (uint64_t i = 0; i < dirty_words(r); i++)
		atomic_store_explicit(&r->dirty[i], 0, memory_order_relaxed);
	r->dirty_on = true;
	tell_dirty_log(r, true);
	return 0;
}

void hv_ram_dirty_stop(struct hv_ram *r)
{
	if (!r->dirty_on)
		return;
	r->dirty_on = false;
	tell_dirty_log(r, false);
}

bool hv_ram_dirty_on(const struct hv_ram *r)
{
	return atomic_load_explicit(&r->dirty_on, memory_order_acquire);
}

void hv_ram_dirty_mark(struct hv_ram *r, uint64_t ram_off, uint64_t len)
{
	if (HV_LIKELY(!hv_ram_dirty_on(r)) || len == 0 || ram_off >= r->bytes)
		return;
	uint64_t last = hv_min_u64(len, r->bytes - ram_off) - 1 + ram_off;
	for (uint64_t p = ram_off / HV_PAGE_SIZE; p <= last / HV_PAGE_SIZE; p++) {
		uint64_t bit = 1ull << (p % 64);
		if (atomic_load_explicit(&r->dirty[p / 64], memory_order_relaxed) & bit)
			continue;
		atomic_fetch_or(&r->dirty[p / 64], bit);
		if (r->dirty_watch != NULL)
			r->dirty_watch(r->watch_ctx);
	}
}

bool hv_ram_dirty_watch(struct hv_ram *r, void (*fn)(void *ctx), void *ctx)
{
	for (struct hv_mem_listener *l = r->mem->listeners; l != NULL; l = l->next)
		if (l->dirty_sync != NULL)
			return false;
	r->watch_ctx = ctx;
	r->dirty_watch = fn;
	return true;
}

/*
 * First the bits, then the translations: a write that still goes through an old translation after
 * its bit was taken lands before the listeners return, so whoever copies the page then sees it.
 */
uint64_t hv_ram_dirty_take(struct hv_ram *r, uint64_t first_word, uint64_t words,
			   uint64_t *ret_bits)
{
	uint64_t n = 0, have = dirty_words(r);

	if (hv_ram_dirty_on(r))
		sync_dirty_log(r);
	for (uint64_t i = 0; i < words; i++) {
		ret_bits[i] = 0;
		if (r->dirty != NULL && first_word < have && i < have - first_word)
			ret_bits[i] = atomic_exchange(&r->dirty[first_word + i], 0);
		n += (unsigned)__builtin_popcountll(ret_bits[i]);
	}
	if (n > 0 && hv_ram_dirty_on(r))
		tell_dirty_log(r, true);
	return n;
}
