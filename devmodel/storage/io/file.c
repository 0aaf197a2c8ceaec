/* Files as disks, see file.h. */
#include "devmodel/storage/io/file.h"
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/util.h"

#define ZERO_CHUNK 65536u

/* What is left of a vector. Its first piece may have been begun, and is put back as it was. */
struct rest {
	struct iovec *v, *end;
	struct iovec whole; /* what *v was */
};

static struct rest rest_of(struct iovec *iov, unsigned n)
{
	return (struct rest){ iov, iov + n, n > 0 ? iov[0] : (struct iovec){ 0 } };
}

static void put_back(const struct rest *r)
{
	if (r->v < r->end)
		*r->v = r->whole;
}

/* Takes n bytes off the front. */
static void advance(struct rest *r, size_t n)
{
	while (r->v < r->end && n >= r->v->iov_len) {
		n -= r->v->iov_len;
		*r->v++ = r->whole;
		if (r->v < r->end)
			r->whole = *r->v;
	}
	if (r->v < r->end) {
		r->v->iov_base = (uint8_t *)r->v->iov_base + n;
		r->v->iov_len -= n;
	}
}

static int count(const struct rest *r)
{
	return (int)hv_min_u64((uint64_t)(r->end - r->v), IOV_MAX);
}

int io_file_read(int fd, struct iovec *iov, unsigned n, uint64_t off)
{
	struct rest rest = rest_of(iov, n);
	int r = 0;

	while (rest.v < rest.end) {
		const ssize_t got = preadv(fd, rest.v, count(&rest), (off_t)off);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			r = -errno;
		if (got <= 0)
			break; /* 0: the file became shorter, or is sparse at its end */
		off += (uint64_t)got;
		advance(&rest, (size_t)got);
	}
	for (struct iovec *v = rest.v; v < rest.end && r == 0; v++)
		memset(v->iov_base, 0, v->iov_len);
	put_back(&rest);
	return r;
}

int io_file_write(int fd, struct iovec *iov, unsigned n, uint64_t off)
{
	struct rest rest = rest_of(iov, n);
	int r = 0;

	while (rest.v < rest.end) {
		const ssize_t got = pwritev(fd, rest.v, count(&rest), (off_t)off);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			r = got < 0 ? -errno : -ENOSPC;
			break;
		}
		off += (uint64_t)got;
		advance(&rest, (size_t)got);
	}
	put_back(&rest);
	return r;
}

int io_file_flush(int fd)
{
	if (fdatasync(fd) == 0)
		return 0;
	return errno == ENOSPC || errno == EDQUOT ? -EIO : -errno;
}

int io_file_zero(int fd, uint64_t off, uint64_t bytes)
{
	static const uint8_t zeroes[ZERO_CHUNK];

	if (bytes == 0 || fallocate(fd, FALLOC_FL_ZERO_RANGE, (off_t)off, (off_t)bytes) == 0 ||
	    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)bytes) ==
		    0)
		return 0;
	while (bytes > 0) {
		const size_t part = hv_min_u64(bytes, ZERO_CHUNK);
		struct iovec v = { (void *)(uintptr_t)zeroes, part }; /* only read from */
		const int r = io_file_write(fd, &v, 1, off);
		if (r < 0)
			return r;
		off += part;
		bytes -= part;
	}
	return 0;
}

int io_file_discard(int fd, uint64_t off, uint64_t bytes)
{
	if (bytes == 0 || fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off,
				    (off_t)bytes) == 0)
		return 0;
	/* A file system that cannot has not failed: discarding is advice. */
	return errno == EOPNOTSUPP || errno == ENODEV || errno == ENOSYS ? 0 : -errno;
}

unsigned io_iov_slice(const struct iovec *iov, unsigned n, uint64_t off, uint64_t bytes,
		      struct iovec *ret_iov)
{
	unsigned k = 0;

	for (unsigned i = 0; i < n && bytes > 0; i++) {
		if (off >= iov[i].iov_len) {
			off -= iov[i].iov_len;
			continue;
		}
		const size_t part = hv_min_u64(iov[i].iov_len - off, bytes);
		ret_iov[k++] = (struct iovec){ (uint8_t *)iov[i].iov_base + off, part };
		bytes -= part;
		off = 0;
	}
	return k;
}

int io_file_lock(int fd, bool writer, const char *name, struct err *e)
{
	/* An open file description's lock: it goes with the descriptor, whoever else in this
	 * process opens and closes the same file. */
	struct flock l = { .l_type = (short)(writer ? F_WRLCK : F_RDLCK), .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_SETLK, &l) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return err_set(e, -EBUSY, "cannot open '%s': it is in use", name);
	return err_set(e, -errno, "cannot lock '%s': %s", name, strerror(errno));
}

int io_file_size(int fd, const char *name, uint64_t *ret_bytes, struct err *e)
{
	struct stat st;
	off_t end;

	if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(e, -EINVAL,
			       "cannot use '%s' as a disk: it is neither a file nor a block device",
			       name);
	end = lseek(fd, 0, SEEK_END);
	if (end < 0)
		return err_set(e, -errno, "cannot open '%s': %s", name, strerror(errno));
	if (end == 0)
		return err_set(e, -EINVAL, "cannot use '%s' as a disk: it is empty", name);
	if (end % 512 != 0)
		return err_set(e, -EINVAL,
			       "cannot use '%s' as a disk: its size is not a multiple of 512 bytes",
			       name);
	*ret_bytes = (uint64_t)end;
	return 0;
}
