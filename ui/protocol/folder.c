/* See folder.h. */
#include "protocol/folder.h"
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "protocol/protocol.h"

#define NAME_MAX_BYTES 64
#define FILE_MAX_BYTES (1u << 20)
#define LOCK ".lock"
#define STATE "state"

/* ---- where ---- */

char *lodge_library(void)
{
	return g_build_filename(g_get_user_data_dir(), "lodge", NULL);
}

bool lodge_folder_name_ok(const char *name, GError **error)
{
	bool good = name[0] != '\0' && name[0] != '.' && strlen(name) <= NAME_MAX_BYTES &&
		    g_utf8_validate(name, -1, NULL) && !strpbrk(name, "/@");

	for (const char *p = name; good && *p != '\0'; p = g_utf8_next_char(p))
		good = !g_unichar_iscntrl(g_utf8_get_char(p));
	if (!good)
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_BAD_ARGUMENT,
			    "'%s' is no name for a VM: 1 to %d bytes without /, @ and control "
			    "characters, not beginning with a dot",
			    name, NAME_MAX_BYTES);
	return good;
}

char *lodge_folder_path(const char *vm)
{
	g_autofree char *library = lodge_library();

	if (!strchr(vm, '/'))
		return g_build_filename(library, vm, NULL);
	return g_canonicalize_filename(vm, NULL);
}

static bool is_vm(const char *dir)
{
	g_autofree char *ini = g_build_filename(dir, LODGE_FOLDER_INI, NULL);

	return g_file_test(ini, G_FILE_TEST_IS_REGULAR);
}

char *lodge_folder_find(const char *vm, GError **error)
{
	g_autofree char *dir = lodge_folder_path(vm);
	g_autoptr(GPtrArray) names = NULL;
	const char *near;

	if (vm[0] != '\0' && is_vm(dir))
		return g_steal_pointer(&dir);
	names = lodge_folder_names();
	g_ptr_array_add(names, NULL);
	near = lodge_nearest(vm, (const char *const *)(void *)names->pdata);
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND,
		    "there is no VM \"%s\"%s%s (lodge list)", vm,
		    near ? "; the nearest name is " : "", near ? near : "");
	return NULL;
}

static int by_name(gconstpointer a, gconstpointer b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GPtrArray *lodge_folder_names(void)
{
	GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *library = lodge_library();
	g_autoptr(GDir) dir = g_dir_open(library, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir)) != NULL) {
		g_autofree char *path = g_build_filename(library, name, NULL);
		if (name[0] != '.' && g_utf8_validate(name, -1, NULL) && is_vm(path))
			g_ptr_array_add(names, g_strdup(name));
	}
	g_ptr_array_sort(names, by_name);
	return names;
}

/* ---- who has it, and its state ---- */

/* Who has the lock wrote so into it. */
static bool locked(GError **error, const char *dir, int fd)
{
	g_autofree char *name = g_path_get_basename(dir);
	char who[64] = "";
	const ssize_t n = pread(fd, who, sizeof(who) - 1, 0);

	who[n > 0 ? n : 0] = '\0';
	for (char *p = who; *p != '\0'; p++)
		if (!g_ascii_isprint(*p))
			*p = '\0';
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_WRONG_STATE, "VM \"%s\" is in use: it %s", name,
		    who[0] ? who : "runs");
	return false;
}

int lodge_folder_lock(const char *dir, const char *who, GError **error)
{
	g_autofree char *path = g_build_filename(dir, LOCK, NULL);
	const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	const ssize_t len = (ssize_t)strlen(who);

	if (fd < 0) {
		lodge_io_error(error, "lock", path);
		return -1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			locked(error, dir, fd);
		else
			lodge_io_error(error, "lock", path);
		close(fd);
		return -1;
	}
	/* What it says is for a message only. */
	if (ftruncate(fd, 0) < 0 || pwrite(fd, who, (size_t)len, 0) != len)
		g_debug("%s: nothing written", path);
	return fd;
}

static bool is_locked(const char *dir)
{
	g_autofree char *path = g_build_filename(dir, LOCK, NULL);
	/* Not blocking: it may be a FIFO. */
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	bool held;

	if (fd < 0)
		return false;
	held = flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	close(fd);
	return held;
}

const char *lodge_folder_state(const char *dir)
{
	return is_locked(dir) ? "running" : lodge_folder_own_state(dir);
}

const char *lodge_folder_own_state(const char *dir)
{
	g_autofree char *path = g_build_filename(dir, STATE, NULL);
	g_autofree char *suspended = g_build_filename(dir, "suspended", "state", NULL);
	g_autofree char *from = g_build_filename(dir, "suspended", "from", NULL);
	g_autofree char *text = NULL;

	/* Whatever ran it: it has stood still since that was made, as it goes before the VM runs.
	 */
	if (g_file_test(suspended, G_FILE_TEST_EXISTS) || g_file_test(from, G_FILE_TEST_EXISTS))
		return "suspended";
	text = lodge_file_read(path, NULL);
	return text && g_str_has_prefix(text, "running") ? "crashed" : "stopped";
}

/* Where there is no room for a new file: its words are of one length, and one block. */
static bool overwrite(const char *path, const char *text)
{
	const int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	const bool good = fd >= 0 && pwrite(fd, text, strlen(text), 0) == (ssize_t)strlen(text) &&
			  fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	return good;
}

bool lodge_folder_mark(const char *dir, const char *state, GError **error)
{
	g_autofree char *path = g_build_filename(dir, STATE, NULL);
	g_autofree char *text = g_strdup_printf("%s\n", state);
	g_autoptr(GError) why = NULL;

	if (lodge_file_replace(path, text, strlen(text), &why) || overwrite(path, text))
		return true;
	g_propagate_error(error, g_steal_pointer(&why));
	return false;
}

bool lodge_folder_read_only(const char *dir)
{
	return access(dir, W_OK) < 0;
}

/* ---- files ---- */

void lodge_folder_sync(const char *dir)
{
	const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	fsync(fd);
	close(fd);
}

/* At most FILE_MAX_BYTES; the text ends with a zero that is not counted. NULL: see errno. */
static char *read_small(int fd, gsize *ret_bytes)
{
	g_autofree char *text = g_malloc(FILE_MAX_BYTES + 1);
	gsize n = 0;

	while (n <= FILE_MAX_BYTES) {
		const ssize_t got = read(fd, text + n, FILE_MAX_BYTES + 1 - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return NULL;
		if (got == 0)
			break;
		n += (gsize)got;
	}
	if (n > FILE_MAX_BYTES) {
		errno = EFBIG;
		return NULL;
	}
	text[n] = '\0';
	*ret_bytes = n;
	return g_realloc(g_steal_pointer(&text), n + 1);
}

static bool is_plain(const char *text, gsize bytes)
{
	if (!g_utf8_validate(text, (gssize)bytes, NULL))
		return false;
	for (const char *p = text; p < text + bytes; p = g_utf8_next_char(p)) {
		const gunichar c = g_utf8_get_char(p);
		if (g_unichar_iscntrl(c) && c != '\n' && c != '\t' && c != '\r')
			return false;
	}
	return true;
}

bool lodge_file_can_hold(const char *text)
{
	const gsize bytes = strlen(text);

	return bytes <= FILE_MAX_BYTES && is_plain(text, bytes);
}

char *lodge_file_read(const char *path, GError **error)
{
	/* Not blocking, so that a FIFO is refused and not waited for. */
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	g_autofree char *text = NULL;
	gsize bytes = 0;
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		text = read_small(fd, &bytes);
	else if (fd >= 0)
		errno = EINVAL;
	if (!text)
		lodge_io_error(error, "read", path);
	if (fd >= 0)
		close(fd);
	if (text && !is_plain(text, bytes)) {
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_BAD_ARGUMENT,
			    "'%s' is no text in UTF-8 without control characters", path);
		return NULL;
	}
	return g_steal_pointer(&text);
}

static bool write_all(int fd, const char *text, gsize bytes)
{
	while (bytes > 0) {
		const ssize_t n = write(fd, text, bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		bytes -= (gsize)n;
	}
	return fsync(fd) == 0;
}

bool lodge_file_replace(const char *path, const char *text, gsize bytes, GError **error)
{
	g_autofree char *dir = g_path_get_dirname(path);
	g_autofree char *temp = g_strdup_printf("%s.new", path);
	bool good;
	int fd;

	unlink(temp); /* of a process that was killed; in a folder from elsewhere a link or a FIFO
		       */
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return lodge_io_error(error, "make", temp);
	good = write_all(fd, text, bytes) || lodge_io_error(error, "write", temp);
	close(fd);
	if (good && rename(temp, path) < 0)
		good = lodge_io_error(error, "replace", path);
	if (!good)
		unlink(temp);
	else
		lodge_folder_sync(dir);
	return good;
}

/* What NFS and FUSE call a file that was removed while it is open, until it is closed. */
static bool is_held(const char *name)
{
	return g_str_has_prefix(name, ".nfs") || g_str_has_prefix(name, ".fuse_hidden");
}

/* A folder with nothing else in it, however deep. */
static bool has_only_held(const char *path)
{
	g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir)) != NULL) {
		g_autofree char *inner = g_build_filename(path, name, NULL);
		if (!is_held(name) && !has_only_held(inner))
			return false;
	}
	return dir != NULL;
}

bool lodge_remove_tree(const char *path, GError **error)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT || lodge_io_error(error, "remove", path);
	if (S_ISDIR(st.st_mode)) {
		g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
		const char *name;
		while (dir && (name = g_dir_read_name(dir)) != NULL) {
			g_autofree char *inner = g_build_filename(path, name, NULL);
			if (!is_held(name) && !lodge_remove_tree(inner, error))
				return false;
		}
	}
	if (remove(path) == 0)
		return true;
	const int err = errno;
	if (err == ENOTEMPTY && has_only_held(path))
		return true;
	errno = err;
	return lodge_io_error(error, "remove", path);
}
