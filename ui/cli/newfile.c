/* Files that appear complete or not at all, see newfile.h. */
#include "cli/newfile.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/cli.h"
#include "protocol/protocol.h"

bool new_file_check(const char *command, const char *path, GError **error)
{
	struct stat st;

	if (path[0] == '\0' || g_str_has_suffix(path, "/")) {
		cli_bad(error, "%s wants the name of a file, not '%s'", command, path);
		return false;
	}
	if (lstat(path, &st) < 0)
		return errno == ENOENT || lodge_io_error(error, "make", path);
	if (S_ISDIR(st.st_mode)) {
		cli_bad(error, "'%s' is a folder: name a file", path);
		return false;
	}
	/* Where a link leads to, too: it would be replaced by a file. */
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		cli_bad(error, "'%s' is not an ordinary file: name another one", path);
		return false;
	}
	return true;
}

/* Without a name where the file system can do that, so that nothing is left if this program dies.
 */
bool new_file_open(struct new_file *f, const char *path, mode_t mode, GError **error)
{
	g_autofree char *dir = g_path_get_dirname(path);

	*f = (struct new_file){ .path = g_strdup(path) };
	f->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
	if (f->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
		f->temp = g_strdup_printf("%s.%08x.tmp", path, g_random_int());
		f->fd = open(f->temp, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, mode);
	}
	if (f->fd >= 0)
		return true;
	lodge_io_error(error, "make", path);
	g_clear_pointer(&f->temp, g_free); /* another's */
	new_file_drop(f);
	return false;
}

void new_file_drop(struct new_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	if (f->temp)
		unlink(f->temp);
	g_free(f->temp);
	g_free(f->path);
	*f = (struct new_file){ .fd = -1 };
}

static bool give_temp_name(struct new_file *f, GError **error)
{
	g_autofree char *self = g_strdup_printf("/proc/self/fd/%d", f->fd);
	g_autofree char *temp = g_strdup_printf("%s.%08x.tmp", f->path, g_random_int());

	if (linkat(AT_FDCWD, self, AT_FDCWD, temp, AT_SYMLINK_FOLLOW) < 0)
		return lodge_io_error(error, "make", temp);
	f->temp = g_steal_pointer(&temp);
	return true;
}

static bool publish(struct new_file *f, GError **error)
{
	g_autofree char *dir = g_path_get_dirname(f->path);
	int dir_fd;

	if (fsync(f->fd) < 0)
		return lodge_io_error(error, "write", f->path);
	if (!f->temp && !give_temp_name(f, error))
		return false;
	if (rename(f->temp, f->path) < 0)
		return lodge_io_error(error, "make", f->path);
	g_clear_pointer(&f->temp, g_free);
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd >= 0) {
		fsync(dir_fd);
		close(dir_fd);
	}
	return true;
}

bool new_file_publish(struct new_file *f, GError **error)
{
	const bool good = publish(f, error);

	new_file_drop(f);
	return good;
}

static bool write_all(int fd, const char *name, const char *data, size_t bytes, GError **error)
{
	while (bytes > 0) {
		const ssize_t n = write(fd, data, bytes);
		if (n < 0 && errno != EINTR)
			return lodge_io_error(error, "write", name);
		data += MAX(n, 0);
		bytes -= (size_t)MAX(n, 0);
	}
	return true;
}

bool new_file_write(const char *path, const void *data, size_t bytes, GError **error)
{
	struct new_file f;

	if (strcmp(path, "-") == 0) {
		fflush(stdout);
		return write_all(STDOUT_FILENO, "standard output", data, bytes, error);
	}
	if (!new_file_open(&f, path, 0666, error))
		return false;
	if (!write_all(f.fd, path, data, bytes, error)) {
		new_file_drop(&f);
		return false;
	}
	return new_file_publish(&f, error);
}
