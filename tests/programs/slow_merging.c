/*
 * For LD_PRELOAD: the first manifest that lodge-vm opens in another thread than its first, as when
 * it looks for layers to be merged, takes half a second, and cannot be opened then: so a test can
 * have something happen meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static pthread_t first;

__attribute__((constructor)) static void begin(void)
{
	first = pthread_self();
}

int open64(const char *path, int flags, ...)
{
	static atomic_flag done = ATOMIC_FLAG_INIT;
	const struct timespec half = { .tv_nsec = 500000000 };
	mode_t mode = 0;
	va_list more;

	va_start(more, flags);
	if ((flags & (O_CREAT | __O_TMPFILE)) != 0)
		mode = va_arg(more, mode_t);
	va_end(more);
	if (pthread_equal(pthread_self(), first) || strstr(path, "/manifest") == NULL ||
	    access("slow-merging", F_OK) < 0 || atomic_flag_test_and_set(&done))
		return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	nanosleep(&half, NULL);
	errno = EIO;
	return -1;
}
