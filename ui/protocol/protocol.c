/* Errors and the place of the control sockets, see protocol.h. */
#include "protocol/protocol.h"
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A socket address holds 107 bytes: what is longer than this leaves no room for the rest. */
#define ROOT_MAX 72

static const GDBusErrorEntry entries[] = {
	{ LODGE_ERROR_FAILED, "org.lodge.Error.Failed" },
	{ LODGE_ERROR_BAD_ARGUMENT, "org.lodge.Error.BadArgument" },
	{ LODGE_ERROR_NOT_FOUND, "org.lodge.Error.NotFound" },
	{ LODGE_ERROR_WRONG_STATE, "org.lodge.Error.WrongState" },
	{ LODGE_ERROR_HOST_LIMIT, "org.lodge.Error.HostLimit" },
	{ LODGE_ERROR_TIMEOUT, "org.lodge.Error.Timeout" },
};

GQuark lodge_error_quark(void)
{
	static gsize quark;

	g_dbus_error_register_error_domain("lodge-error-quark", &quark, entries,
					   G_N_ELEMENTS(entries));
	return (GQuark)quark;
}

const char *lodge_error_name(int code)
{
	for (guint i = 0; i < G_N_ELEMENTS(entries); i++)
		if (entries[i].error_code == code)
			return strrchr(entries[i].dbus_error_name, '.') + 1;
	return "Failed";
}

enum lodge_error lodge_error_of_errno(int err)
{
	switch (-err) {
	case EINVAL:
	case ERANGE:
	case EBADMSG:
	case EPROTO:
	case EISDIR:
	case ENOTDIR:
	case ENAMETOOLONG:
	case ENOEXEC:
	case ESPIPE:
		return LODGE_ERROR_BAD_ARGUMENT;
	case ENOENT:
	case ENXIO:
		return LODGE_ERROR_NOT_FOUND;
	case EBUSY:
	case EAGAIN:
	case EADDRINUSE:
	case ETXTBSY:
	case EEXIST:
		return LODGE_ERROR_WRONG_STATE;
	case EACCES:
	case EPERM:
	case ENOTSUP:
	case ENODEV:
	case ENOMEM:
	case ENOSPC:
	case EROFS:
	case EMFILE:
	case ENFILE:
		return LODGE_ERROR_HOST_LIMIT;
	case ETIMEDOUT:
		return LODGE_ERROR_TIMEOUT;
	default:
		return LODGE_ERROR_FAILED;
	}
}

bool lodge_io_error(GError **error, const char *what, const char *path)
{
	const int err = errno;

	g_set_error(error, LODGE_ERROR, (gint)lodge_error_of_errno(-err), "cannot %s '%s': %s",
		    what, path, g_strerror(err));
	return false;
}

static char *root_path(void)
{
	const char *dir = g_getenv("XDG_RUNTIME_DIR");

	if (dir && dir[0] == '/' && strlen(dir) <= ROOT_MAX && g_file_test(dir, G_FILE_TEST_IS_DIR))
		return g_build_filename(dir, "lodge", NULL);
	return g_strdup_printf("/tmp/lodge-%u", (unsigned)getuid());
}

char *lodge_run_root(bool create, GError **error)
{
	g_autofree char *root = root_path();
	struct stat st;

	if (create && g_mkdir(root, 0700) < 0 && errno != EEXIST) {
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_HOST_LIMIT,
			    "cannot make the folder '%s': %s", root, g_strerror(errno));
		return NULL;
	}
	if (lstat(root, &st) < 0) {
		g_set_error(error, LODGE_ERROR,
			    errno == ENOENT ? LODGE_ERROR_NOT_FOUND : LODGE_ERROR_HOST_LIMIT,
			    "cannot look at the folder '%s': %s", root, g_strerror(errno));
		return NULL;
	}
	if (!S_ISDIR(st.st_mode) || st.st_uid != getuid() || (st.st_mode & 077) != 0) {
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_HOST_LIMIT,
			    "'%s' must be a folder of yours with mode 0700: remove it", root);
		return NULL;
	}
	return g_steal_pointer(&root);
}

char *lodge_run_name_of_folder(const char *folder, GError **error)
{
	char real[PATH_MAX];
	g_autofree char *sum = NULL;

	if (!realpath(folder, real)) {
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND, "no VM folder '%s': %s",
			    folder, g_strerror(errno));
		return NULL;
	}
	sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, real, -1);
	return g_strndup(sum, 16);
}

void lodge_run_forget(const char *name)
{
	g_autofree char *root = lodge_run_root(false, NULL);
	g_autofree char *dir = root ? g_build_filename(root, name, NULL) : NULL;
	g_autofree char *control = dir ? g_build_filename(dir, LODGE_RUN_CONTROL, NULL) : NULL;
	g_autofree char *lock = dir ? g_build_filename(dir, LODGE_RUN_LOCK, NULL) : NULL;

	if (!dir)
		return;
	unlink(control);
	unlink(lock);
	rmdir(dir);
}
