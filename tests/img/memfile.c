/* Files in memory, see memfile.h. */
#include "memfile.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/util.h"

void mem_file_reserve(struct mem_file *m, uint64_t bytes)
{
	if (bytes > m->room) {
		const uint64_t room = bytes * 2 + 65536;
		m->data = realloc(m->data, room);
		if (m->data == NULL)
			abort();
		memset(m->data + m->room, 0, room - m->room);
		m->room = room;
	}
	m->bytes = hv_max_u64(m->bytes, bytes);
}

void mem_file_put(struct mem_file *m, uint64_t off, uint64_t bytes, const uint8_t *data)
{
	if (bytes == 0 || (data == NULL && off >= m->bytes))
		return; /* nothing, or a hole behind the end */
	mem_file_reserve(m, off + bytes);
	if (data != NULL)
		memcpy(m->data + off, data, bytes);
	else
		memset(m->data + off, 0, bytes);
}

static void lock(struct mem_file *m)
{
	if (m->lock != NULL)
		pthread_mutex_lock(m->lock);
}

static void unlock(struct mem_file *m)
{
	if (m->lock != NULL)
		pthread_mutex_unlock(m->lock);
}

static bool fits(const struct mem_file *m, uint64_t off, uint64_t bytes)
{
	return m->max == 0 || (off <= m->max && bytes <= m->max - off);
}

static int mem_read(struct io_host *h, struct iovec *iov, unsigned n, uint64_t off)
{
	struct mem_file *m = h->ctx;

	lock(m);
	for (unsigned i = 0; i < n; off += iov[i++].iov_len) {
		uint64_t there = off < m->bytes ? m->bytes - off : 0;
		there = hv_min_u64(there, iov[i].iov_len);
		if (there > 0)
			memcpy(iov[i].iov_base, m->data + off, there);
		memset((uint8_t *)iov[i].iov_base + there, 0, iov[i].iov_len - there);
	}
	unlock(m);
	return 0;
}

static int change(struct mem_file *m, uint64_t off, uint64_t bytes, const uint8_t *data)
{
	if (!fits(m, off, bytes))
		return -ENOSPC;
	lock(m);
	mem_file_put(m, off, bytes, data);
	if (m->note != NULL)
		m->note(m, false, off, bytes, data);
	unlock(m);
	return 0;
}

static int mem_write(struct io_host *h, struct iovec *iov, unsigned n, uint64_t off)
{
	int r = 0;

	for (unsigned i = 0; i < n && r == 0; off += iov[i++].iov_len)
		r = change(h->ctx, off, iov[i].iov_len, iov[i].iov_base);
	return r;
}

static int mem_flush(struct io_host *h)
{
	struct mem_file *m = h->ctx;

	lock(m);
	if (m->note != NULL)
		m->note(m, true, 0, 0, NULL);
	unlock(m);
	return 0;
}

static int mem_zero(struct io_host *h, uint64_t off, uint64_t bytes)
{
	return change(h->ctx, off, bytes, NULL);
}

static int mem_discard(struct io_host *h, uint64_t off, uint64_t bytes)
{
	const struct mem_file *m = h->ctx;
	const uint64_t n = off < m->bytes ? hv_min_u64(bytes, m->bytes - off) : 0;
	uint8_t *junk = malloc(n + 1);
	int r = 0;

	if (junk == NULL)
		return -ENOMEM;
	memset(junk, 0xee, n);
	if (n > 0)
		r = change(h->ctx, off, n, junk);
	free(junk);
	return r;
}

static int mem_truncate(struct io_host *h, uint64_t bytes)
{
	struct mem_file *m = h->ctx;

	if (!fits(m, 0, bytes))
		return -ENOSPC;
	mem_file_reserve(m, bytes);
	m->bytes = bytes;
	return 0;
}

static int mem_size(struct io_host *h, uint64_t *ret_bytes)
{
	*ret_bytes = ((const struct mem_file *)h->ctx)->bytes;
	return 0;
}

struct io_host mem_file_host(struct mem_file *m)
{
	static const struct io_host_ops ops = {
		.read = mem_read,
		.write = mem_write,
		.flush = mem_flush,
		.zero = mem_zero,
		.discard = mem_discard,
		.truncate = mem_truncate,
		.size = mem_size,
	};

	return (struct io_host){ .ops = &ops, .fd = -1, .direct_fd = -1, .ctx = m };
}
