/*
 * For LD_PRELOAD: the process stops (SIGSTOP) after its STOP_AT_RENAME-th rename(), so that a test
 * can have something happen between two steps.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

int rename(const char *from, const char *to)
{
	static unsigned long n;
	const char *at = getenv("STOP_AT_RENAME");
	const int r = renameat(AT_FDCWD, from, AT_FDCWD, to);

	if (at != NULL && ++n == strtoul(at, NULL, 10))
		raise(SIGSTOP);
	return r;
}
