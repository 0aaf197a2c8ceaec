/* See state_copy.h. */
#include "vm/state_copy.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/util.h"
#include "devmodel/storage/io/file.h"
#include "state/container.h"

#define PIECE HV_MIB(1)

/* Without its holes; to is empty. */
static int copy_data(int from, int to, uint64_t bytes)
{
	auto_free uint8_t *buf = malloc(PIECE);
	int r = buf != NULL ? 0 : -ENOMEM;

	for (uint64_t at = 0, n; r == 0 && at < bytes; at += n) {
		const off_t data = lseek(from, (off_t)at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break;
		at = data < 0 ? at : (uint64_t)data;
		n = hv_min_u64(PIECE, bytes - at);
		struct iovec iov = { buf, n };
		r = io_file_read(from, &iov, 1, at);
		if (r == 0)
			r = io_file_write(to, &iov, 1, at);
	}
	if (r == 0 && (ftruncate(to, (off_t)bytes) < 0 || fsync(to) < 0))
		r = -errno;
	return r;
}

static int copy(int from, const char *to, struct err *e)
{
	auto_close int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct stat st;
	int r;

	if (fd < 0 || fstat(from, &st) < 0)
		return err_set(e, -errno, "cannot make '%s': %s", to, strerror(errno));
	r = copy_data(from, fd, (uint64_t)st.st_size);
	if (r == 0)
		return 0;
	unlink(to);
	return err_set(e, r, "cannot write '%s': %s", to, strerror(-r));
}

int state_copy(const char *from, const char *to, struct err *e)
{
	auto_close int fd = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct state_file *f;
	char self[32];
	int r;

	if (fd < 0)
		return err_set(e, -errno, "cannot open '%s': %s", from, strerror(errno));
	r = state_file_open(fd, &f, e);
	if (r < 0)
		return err_prefix(e, "'%.100s'", from);
	state_file_close(f);
	/* Of the file that was looked at, whatever has its name now. */
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, self, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0 ? 0 : copy(fd, to, e);
}
