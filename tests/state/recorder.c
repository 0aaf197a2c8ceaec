/*
 * recorder: a library to preload. Each change to files on the file system of $LODGE_RECORD_ROOT,
 * and each flush, is appended to the file $LODGE_RECORD, in the order in which they took effect;
 * tests/state/powercut replays it up to any of them. Files are known by inode number. Changes
 * through io_uring, stdio and mappings are not seen.
 */
/* open() and open64() are two functions here. */
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum type {
	WRITTEN = 'W', /* with the data */
	ZEROED = 'Z',
	LENGTH = 'T',	   /* off: the new one */
	FLUSH_BEGUN = 'B', /* bytes: by which thread */
	FLUSHED = 'S',
	MADE = 'C',	/* a file */
	NAMELESS = 'A', /* a file, by O_TMPFILE */
	FOLDER = 'M',
	RENAMED = 'R',
	LINKED = 'L',
	REMOVED = 'U',
};

struct record {
	uint32_t type, name_bytes, to_bytes, data_bytes; /* what follows */
	uint64_t inode, off, bytes;
};

static int out = -1;
static dev_t device;
static char cwd[4096];

/* The function of that name that is hidden by ours. */
#define REAL(name) ((typeof(&name))real(#name))

static void *real(const char *name)
{
	void *f = dlsym(RTLD_NEXT, name);

	if (f == NULL)
		abort();
	return f;
}

__attribute__((constructor)) static void begin(void)
{
	const char *root = getenv("LODGE_RECORD_ROOT"), *to = getenv("LODGE_RECORD");
	struct stat st;

	if (root == NULL || to == NULL || stat(root, &st) < 0 || getcwd(cwd, sizeof(cwd)) == NULL)
		return;
	device = st.st_dev;
	out = REAL(open64)(to, O_WRONLY | O_APPEND | O_CLOEXEC);
}

/* One call: records of several processes do not mix. */
static void append(const struct record *r, const char *name, const char *to, const void *data)
{
	const struct iovec v[] = {
		{ (void *)r, sizeof(*r) },
		{ (void *)name, r->name_bytes },
		{ (void *)to, r->to_bytes },
		{ (void *)data, r->data_bytes },
	};
	const size_t all = sizeof(*r) + r->name_bytes + r->to_bytes + r->data_bytes;

	if (writev(out, v, 4) != (ssize_t)all)
		abort();
}

/* 0: not on that file system. */
static uint64_t inode_of(int fd)
{
	struct stat st;

	return out >= 0 && fstat(fd, &st) == 0 && st.st_dev == device &&
			       (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
		       ? st.st_ino
		       : 0;
}

static void changed(enum type type, int fd, uint64_t off, uint64_t bytes, const void *data)
{
	const int err = errno;
	const struct record r = { .type = type,
				  .data_bytes = data ? (uint32_t)bytes : 0,
				  .inode = inode_of(fd),
				  .off = off,
				  .bytes = bytes };

	if (r.inode != 0)
		append(&r, NULL, NULL, data);
	errno = err;
}

/* From the root of the file system. */
static void absolute(char *to, size_t bytes, const char *path)
{
	snprintf(to, bytes, "%s%s%s", path[0] == '/' ? "" : cwd, path[0] == '/' ? "" : "/", path);
}

/* What has the name `path` now, or had it until now (st NULL). */
static void named(enum type type, const char *path, const char *to, const struct stat *st)
{
	const int err = errno;
	char a[8192], b[8192] = "";

	if (out >= 0 && (st == NULL || st->st_dev == device)) {
		absolute(a, sizeof(a), path);
		if (to != NULL)
			absolute(b, sizeof(b), to);
		const struct record r = { .type = type,
					  .name_bytes = (uint32_t)strlen(a),
					  .to_bytes = (uint32_t)strlen(b),
					  .inode = st ? st->st_ino : 0 };
		append(&r, a, b, NULL);
	}
	errno = err;
}

/* ---- names ---- */

static int opened(int fd, const char *path, int flags, bool was_there)
{
	struct stat st;

	if (fd < 0 || !(flags & (O_CREAT | O_TRUNC | O_TMPFILE)) || fstat(fd, &st) < 0 ||
	    !S_ISREG(st.st_mode))
		return fd;
	if ((flags & O_TMPFILE) == O_TMPFILE)
		changed(NAMELESS, fd, 0, 0, NULL);
	else if (!was_there)
		named(MADE, path, NULL, &st);
	else if (flags & O_TRUNC)
		changed(LENGTH, fd, 0, 0, NULL);
	return fd;
}

static int do_open(int (*f)(const char *, int, ...), const char *path, int flags, mode_t mode)
{
	struct stat st;
	const bool was_there = out < 0 || !(flags & O_CREAT) || stat(path, &st) == 0;

	return opened(f(path, flags, mode), path, flags, was_there);
}

int open(const char *path, int flags, ...)
{
	va_list ap;

	va_start(ap, flags);
	const mode_t mode = va_arg(ap, mode_t);
	va_end(ap);
	return do_open(REAL(open), path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list ap;

	va_start(ap, flags);
	const mode_t mode = va_arg(ap, mode_t);
	va_end(ap);
	return do_open(REAL(open64), path, flags, mode);
}

int mkostemp64(char *path, int flags)
{
	const int fd = REAL(mkostemp64)(path, flags);

	return opened(fd, path, O_CREAT, false);
}

int chdir(const char *path)
{
	const int r = REAL(chdir)(path);

	if (r == 0 && getcwd(cwd, sizeof(cwd)) == NULL)
		abort();
	return r;
}

int mkdir(const char *path, mode_t mode)
{
	const int r = REAL(mkdir)(path, mode);
	struct stat st;

	if (r == 0 && stat(path, &st) == 0)
		named(FOLDER, path, NULL, &st);
	return r;
}

int rename(const char *from, const char *to)
{
	const int r = REAL(rename)(from, to);

	if (r == 0)
		named(RENAMED, from, to, NULL);
	return r;
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	const int r = REAL(renameat2)(from_fd, from, to_fd, to, flags);

	if (from_fd != AT_FDCWD || to_fd != AT_FDCWD || (flags & ~RENAME_NOREPLACE))
		abort();
	if (r == 0)
		named(RENAMED, from, to, NULL);
	return r;
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
	const int r = REAL(linkat)(from_fd, from, to_fd, to, flags);
	struct stat st;

	if (to_fd != AT_FDCWD)
		abort();
	if (r == 0 && stat(to, &st) == 0)
		named(LINKED, to, NULL, &st);
	return r;
}

int unlink(const char *path)
{
	const int r = REAL(unlink)(path);

	if (r == 0)
		named(REMOVED, path, NULL, NULL);
	return r;
}

int rmdir(const char *path)
{
	const int r = REAL(rmdir)(path);

	if (r == 0)
		named(REMOVED, path, NULL, NULL);
	return r;
}

int remove(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) ? rmdir(path) : unlink(path);
}

/* ---- data ---- */

ssize_t write(int fd, const void *data, size_t bytes)
{
	const ssize_t n = REAL(write)(fd, data, bytes);

	if (n > 0 && inode_of(fd) != 0)
		changed(WRITTEN, fd, (uint64_t)(lseek(fd, 0, SEEK_CUR) - n), (uint64_t)n, data);
	return n;
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t off)
{
	const ssize_t n = REAL(pwrite64)(fd, data, bytes, off);

	if (n > 0)
		changed(WRITTEN, fd, (uint64_t)off, (uint64_t)n, data);
	return n;
}

ssize_t pwritev64(int fd, const struct iovec *v, int n_v, off64_t off)
{
	const ssize_t n = REAL(pwritev64)(fd, v, n_v, off);
	size_t left = n > 0 ? (size_t)n : 0;

	for (int i = 0; left > 0; i++) {
		const size_t part = v[i].iov_len < left ? v[i].iov_len : left;
		changed(WRITTEN, fd, (uint64_t)off, part, v[i].iov_base);
		off += (off64_t)part;
		left -= part;
	}
	return n;
}

int ftruncate64(int fd, off64_t bytes)
{
	const int r = REAL(ftruncate64)(fd, bytes);

	if (r == 0)
		changed(LENGTH, fd, (uint64_t)bytes, 0, NULL);
	return r;
}

int fallocate64(int fd, int mode, off64_t off, off64_t bytes)
{
	const int r = REAL(fallocate64)(fd, mode, off, bytes);

	if (r == 0 && (mode & (FALLOC_FL_ZERO_RANGE | FALLOC_FL_PUNCH_HOLE)))
		changed(ZEROED, fd, (uint64_t)off, (uint64_t)bytes, NULL);
	if (r == 0 && !(mode & FALLOC_FL_KEEP_SIZE)) {
		struct stat st;
		if (fstat(fd, &st) == 0)
			changed(LENGTH, fd, (uint64_t)st.st_size, 0, NULL);
	}
	return r;
}

static int do_sync(int (*f)(int), int fd)
{
	int r;

	/* What came before this, is on the disk after that. */
	changed(FLUSH_BEGUN, fd, 0, (uint64_t)gettid(), NULL);
	r = f(fd);
	if (r == 0)
		changed(FLUSHED, fd, 0, (uint64_t)gettid(), NULL);
	return r;
}

int fsync(int fd)
{
	return do_sync(REAL(fsync), fd);
}

int fdatasync(int fd)
{
	return do_sync(REAL(fdatasync), fd);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;

	va_start(ap, request);
	void *arg = va_arg(ap, void *);
	va_end(ap);
	if (out >= 0 && request == FICLONE) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return REAL(ioctl)(fd, request, arg);
}
