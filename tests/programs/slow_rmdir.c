/*
 * For LD_PRELOAD: rmdir() takes a second, so that a test can see whether others wait for it.
 */
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

int rmdir(const char *path)
{
	const struct timespec second = { .tv_sec = 1 };

	nanosleep(&second, NULL);
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}
