/*
 * The file under an image: whole transfers, how far a flush reaches (cache mode), direct I/O for
 * what is aligned for it. Any thread; all may block. Tests put operations of their own here, to
 * record what is written or to fail.
 */
#ifndef DEVMODEL_STORAGE_IO_HOST_H
#define DEVMODEL_STORAGE_IO_HOST_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include "base/err.h"

enum io_cache {
	IO_CACHE_SAFE,	/* what was flushed survives a power cut */
	IO_CACHE_HOST,	/* ... survives the end of this process, but not of the host */
	IO_CACHE_UNSAFE /* nothing is promised until the image is closed */
};

struct io_host;

/* As the functions below. */
struct io_host_ops {
	int (*read)(struct io_host *h, struct iovec *iov, unsigned n, uint64_t off);
	int (*write)(struct io_host *h, struct iovec *iov, unsigned n, uint64_t off);
	int (*flush)(struct io_host *h);
	int (*zero)(struct io_host *h, uint64_t off, uint64_t bytes);
	int (*discard)(struct io_host *h, uint64_t off, uint64_t bytes);
	int (*truncate)(struct io_host *h, uint64_t bytes);
	int (*size)(struct io_host *h, uint64_t *ret_bytes);
};

struct io_host {
	const struct io_host_ops *ops; /* never NULL */
	int fd;			       /* owned */
	int direct_fd;		       /* owned: the same with O_DIRECT; -1: none */
	enum io_cache cache;
	void *ctx; /* of a test's operations */
};

extern const struct io_host_ops io_host_file_ops;

/* Takes fd over. */
void io_host_init(struct io_host *h, int fd, enum io_cache cache);
/* O_DIRECT from here on where a transfer is aligned. Before the first one. */
int io_host_direct(struct io_host *h, const char *name, struct err *e) HV_MUST_CHECK;
/* Does such a transfer go around the page cache? */
bool io_host_is_direct(const struct io_host *h, const struct iovec *iov, unsigned n, uint64_t off);
/* For blk_ops.set_writable: changes the lock; readers are let in or kept out. */
int io_host_set_writer(struct io_host *h, bool writer, const char *name,
		       struct err *e) HV_MUST_CHECK;
void io_host_finish(struct io_host *h);

/* All: 0 or -errno. iov is as before in the end. Past the end zeroes are read. */
static inline HV_MUST_CHECK int io_host_read(struct io_host *h, struct iovec *iov, unsigned n,
					     uint64_t off)
{
	return h->ops->read(h, iov, n, off);
}
static inline HV_MUST_CHECK int io_host_write(struct io_host *h, struct iovec *iov, unsigned n,
					      uint64_t off)
{
	return h->ops->write(h, iov, n, off);
}
/* One buffer. */
static inline HV_MUST_CHECK int io_host_get(struct io_host *h, void *buf, uint64_t bytes,
					    uint64_t off)
{
	return h->ops->read(h, &(struct iovec){ buf, bytes }, 1, off);
}
static inline HV_MUST_CHECK int io_host_put(struct io_host *h, const void *buf, uint64_t bytes,
					    uint64_t off)
{
	return h->ops->write(h, &(struct iovec){ (void *)(uintptr_t)buf, bytes }, 1, off);
}
/* As far as the cache mode wants; writes that were answered before are covered. */
static inline HV_MUST_CHECK int io_host_flush(struct io_host *h)
{
	return h->cache == IO_CACHE_SAFE ? h->ops->flush(h) : 0;
}
static inline HV_MUST_CHECK int io_host_zero(struct io_host *h, uint64_t off, uint64_t bytes)
{
	return h->ops->zero(h, off, bytes);
}
/* Gives space back; the contents there are undefined or zero. */
static inline HV_MUST_CHECK int io_host_discard(struct io_host *h, uint64_t off, uint64_t bytes)
{
	return h->ops->discard(h, off, bytes);
}
static inline HV_MUST_CHECK int io_host_truncate(struct io_host *h, uint64_t bytes)
{
	return h->ops->truncate(h, bytes);
}
static inline HV_MUST_CHECK int io_host_size(struct io_host *h, uint64_t *ret_bytes)
{
	return h->ops->size(h, ret_bytes);
}
#endif
