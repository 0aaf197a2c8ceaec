/* Copies of files, see folder.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "protocol/folder.h"
#include "protocol/protocol.h"

#define PIECE_BYTES (1 << 20)

static bool write_all(int out, const char *buf, ssize_t bytes, off_t at)
{
	while (bytes > 0) {
		const ssize_t n = pwrite(out, buf, (size_t)bytes, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		buf += n;
		at += n;
		bytes -= n;
	}
	return true;
}

static bool copy_piece(int in, int out, off_t at, off_t end, char *buf)
{
	while (at < end) {
		const ssize_t n = pread(in, buf, (size_t)MIN(PIECE_BYTES, end - at), at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || !write_all(out, buf, n, at))
			return n == 0;
		at += n;
	}
	return true;
}

static bool copy_data(int in, int out, off_t bytes)
{
	g_autofree char *buf = g_malloc(PIECE_BYTES);
	off_t at = 0;

	if (ioctl(out, FICLONE, in) == 0)
		return true;
	while (at < bytes) {
		const off_t data = lseek(in, at, SEEK_DATA);
		off_t hole;
		if (data < 0 && errno == ENXIO)
			break;
		at = data < 0 ? at : data;
		hole = data < 0 ? bytes : lseek(in, at, SEEK_HOLE);
		if (hole < 0)
			hole = bytes;
		if (!copy_piece(in, out, at, hole, buf))
			return false;
		at = hole;
	}
	return ftruncate(out, bytes) == 0;
}

bool lodge_file_copy(int from, const char *to, unsigned mode, GError **error)
{
	const int out = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
	struct stat st;
	bool good = out >= 0 && fstat(from, &st) == 0 && copy_data(from, out, st.st_size) &&
		    fsync(out) == 0;

	if (!good)
		lodge_io_error(error, "copy to", to);
	if (out >= 0)
		close(out);
	if (out >= 0 && !good)
		unlink(to);
	return good;
}
