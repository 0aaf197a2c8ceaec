/* Files under images, see host.h. */
#include "devmodel/storage/io/host.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/util.h"
#include "devmodel/storage/io/file.h"

/* Of memory, offsets and lengths; what every disk can. */
#define DIRECT_ALIGN 4096u

bool io_host_is_direct(const struct io_host *h, const struct iovec *iov, unsigned n, uint64_t off)
{
	uint64_t bits = off;

	if (h->direct_fd < 0)
		return false;
	for (unsigned i = 0; i < n; i++)
		bits |= (uint64_t)(uintptr_t)iov[i].iov_base | iov[i].iov_len;
	return bits % DIRECT_ALIGN == 0;
}

/* What is not aligned goes through the page cache: the kernel keeps both views of a file equal. */
static int fd_for(const struct io_host *h, const struct iovec *iov, unsigned n, uint64_t off)
{
	return io_host_is_direct(h, iov, n, off) ? h->direct_fd : h->fd;
}

static int file_read(struct io_host *h, struct iovec *iov, unsigned n, uint64_t off)
{
	return io_file_read(fd_for(h, iov, n, off), iov, n, off);
}

static int file_write(struct io_host *h, struct iovec *iov, unsigned n, uint64_t off)
{
	return io_file_write(fd_for(h, iov, n, off), iov, n, off);
}

static int file_flush(struct io_host *h)
{
	return io_file_flush(h->fd);
}

static int file_zero(struct io_host *h, uint64_t off, uint64_t bytes)
{
	return io_file_zero(h->fd, off, bytes);
}

static int file_discard(struct io_host *h, uint64_t off, uint64_t bytes)
{
	return io_file_discard(h->fd, off, bytes);
}

static int file_truncate(struct io_host *h, uint64_t bytes)
{
	return ftruncate(h->fd, (off_t)bytes) < 0 ? -errno : 0;
}

static int file_size(struct io_host *h, uint64_t *ret_bytes)
{
	const off_t end = lseek(h->fd, 0, SEEK_END);

	if (end < 0)
		return -errno;
	*ret_bytes = (uint64_t)end;
	return 0;
}

const struct io_host_ops io_host_file_ops = {
	.read = file_read,
	.write = file_write,
	.flush = file_flush,
	.zero = file_zero,
	.discard = file_discard,
	.truncate = file_truncate,
	.size = file_size,
};

void io_host_init(struct io_host *h, int fd, enum io_cache cache)
{
	*h = (struct io_host){
		.ops = &io_host_file_ops, .fd = fd, .direct_fd = -1, .cache = cache
	};
}

/* The same file once more, by its descriptor: the path may name another one by now. */
int io_host_direct(struct io_host *h, const char *name, struct err *e)
{
	const int mode = fcntl(h->fd, F_GETFL) & O_ACCMODE;
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", h->fd);
	h->direct_fd = open(path, mode | O_DIRECT | O_CLOEXEC);
	return h->direct_fd >= 0
		       ? 0
		       : err_set(e, -errno, "no direct I/O on '%s': %s", name, strerror(errno));
}

int io_host_set_writer(struct io_host *h, bool writer, const char *name, struct err *e)
{
	if (writer && (fcntl(h->fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
		return err_set(e, -EROFS, "'%s' was opened for reading only", name);
	return io_file_lock(h->fd, writer, name, e);
}

void io_host_finish(struct io_host *h)
{
	if (h->direct_fd >= 0)
		close(h->direct_fd);
	if (h->fd >= 0)
		close(h->fd);
	h->fd = h->direct_fd = -1;
}
