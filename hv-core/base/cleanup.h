/* Scope cleanup: released when the variable leaves its scope. Not mixed with goto in a function. */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define auto_free __attribute__((cleanup(hv_freep_)))
#define auto_close __attribute__((cleanup(hv_closep_)))

static inline void hv_freep_(void *pp)
{
	void *p;

	memcpy(&p, pp, sizeof(p));
	free(p);
}

static inline void hv_closep_(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

/* Hands ownership out of an auto_ variable: the variable becomes NULL or -1. */
#define TAKE_PTR(p) ((__typeof__(p))hv_take_(&(p)))

static inline void *hv_take_(void *pp)
{
	void *p;

	memcpy(&p, pp, sizeof(p));
	memset(pp, 0, sizeof(p));
	return p;
}

static inline int take_fd(int *fd)
{
	int v = *fd;

	*fd = -1;
	return v;
}
#endif
