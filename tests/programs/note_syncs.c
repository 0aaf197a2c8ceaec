/*
 * For LD_PRELOAD: a line in the file NOTE_SYNCS for each fdatasync() and rename(): "sync INODE" and
 * "rename PATH", so that a test can tell what was on the disk before what.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int notes = -1;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("NOTE_SYNCS");

	if (path != NULL)
		notes = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

int fdatasync(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0)
		dprintf(notes, "sync %llu\n", (unsigned long long)st.st_ino);
	return (int)syscall(SYS_fdatasync, fd);
}

int rename(const char *from, const char *to)
{
	dprintf(notes, "rename %s\n", to);
	return renameat(AT_FDCWD, from, AT_FDCWD, to);
}
