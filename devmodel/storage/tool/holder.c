/* Who has a file open: by what /proc tells of the user's own processes. See tool.h. */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "devmodel/storage/tool/tool.h"

#define MAX_CMDLINE 65536

/* The last part of a folder's path. */
static const char *base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* What the VM is called by among a process' arguments: "vm.name=NAME", or the folder that is kept.
 */
static bool named_by_arguments(const char *pid, char *name, size_t size)
{
	static const char key[] = "vm.name=";
	auto_free char *args = calloc(1, MAX_CMDLINE + 1);
	const char *before = "";
	char path[300];
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	const ssize_t n = fd >= 0 && args != NULL ? read(fd, args, MAX_CMDLINE) : -1;
	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(args + at) + 1) {
		const char *arg = args + at;
		const bool by_name = strncmp(arg, key, sizeof(key) - 1) == 0;
		if (by_name || (!found && strcmp(before, "--folder") == 0)) {
			snprintf(name, size, "%s", by_name ? arg + sizeof(key) - 1 : base(arg));
			found = true;
		}
		before = arg;
	}
	return found;
}

/* Does the process have the file open? On the way: the name of the runtime folder whose lock it
 * has, which is that of a VM without another. */
static bool has_open(const char *pid, const struct stat *file, char *run, size_t size)
{
	char path[PATH_MAX], target[PATH_MAX];
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	DIR *d = opendir(path);
	if (d == NULL)
		return false;
	for (const struct dirent *e; (e = readdir(d)) != NULL;) {
		struct stat st;
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		if (fstatat(dirfd(d), e->d_name, &st, 0) == 0 && st.st_dev == file->st_dev &&
		    st.st_ino == file->st_ino)
			found = true;
		const ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		char *lock = n > 5 ? target + n - 5 : NULL;
		if (lock == NULL || strcmp(lock, "/lock") != 0)
			continue;
		*lock = '\0';
		const char *slash = strrchr(target, '/');
		if (slash != NULL && slash - target > 6 && strncmp(slash - 6, "/lodge", 6) == 0)
			snprintf(run, size, "%s", slash + 1);
	}
	closedir(d);
	return found;
}

static void describe(const char *pid, const char *run, char *text, size_t size)
{
	char path[300], comm[64] = "?", name[128];

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	const ssize_t n = fd >= 0 ? read(fd, comm, sizeof(comm) - 1) : 0;
	comm[n > 0 ? n - 1 : 0] = '\0';
	snprintf(name, sizeof(name), "%s", run);
	if (strcmp(comm, "lodge-vm") == 0 &&
	    (named_by_arguments(pid, name, sizeof(name)) || name[0] != '\0'))
		snprintf(text, size, "VM \"%.60s\" (lodge stop %.60s)", name, name);
	else
		snprintf(text, size, "process %s (%s)", pid, comm);
}

bool tool_holder(const char *path, char *text, size_t size)
{
	char own[32], run[128];
	struct stat file;
	bool found = false;
	DIR *d = stat(path, &file) == 0 ? opendir("/proc") : NULL;

	if (d == NULL)
		return false;
	snprintf(own, sizeof(own), "%d", (int)getpid());
	for (const struct dirent *e; !found && (e = readdir(d)) != NULL;) {
		if (!isdigit((unsigned char)e->d_name[0]) || strcmp(e->d_name, own) == 0)
			continue;
		run[0] = '\0';
		found = has_open(e->d_name, &file, run, sizeof(run));
		if (found)
			describe(e->d_name, run, text, size);
	}
	closedir(d);
	return found;
}
