/* See thread.h. */
#include "base/thread.h"
#include <signal.h>
#include <string.h>
#include "base/util.h"

static void block_all_but_faults(sigset_t *ret_old)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	sigset_t set;

	sigfillset(&set);
	for (size_t i = 0; i < HV_ARRAY_LEN(faults); i++)
		sigdelset(&set, faults[i]);
	pthread_sigmask(SIG_SETMASK, &set, ret_old);
}

int hv_thread_start(pthread_t *ret_thread, const char *name, void *(*fn)(void *), void *arg,
		    struct err *e)
{
	char shown[16], before[16];
	sigset_t old;
	pthread_t t;

	strncpy(shown, name, sizeof(shown) - 1);
	shown[sizeof(shown) - 1] = '\0';
	/* The new thread inherits mask and name: another's name is set by a file, which a sandbox
	 * may not open. */
	pthread_getname_np(pthread_self(), before, sizeof(before));
	pthread_setname_np(pthread_self(), shown);
	block_all_but_faults(&old);
	int r = pthread_create(&t, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_setname_np(pthread_self(), before);
	if (r != 0)
		return err_set(e, -r, "cannot start thread %s: %s", name, strerror(r));
	*ret_thread = t;
	return 0;
}

/* Error-checking, so that a domain taken twice is an assertion and not a silent hang. */
void hv_domain_init(struct hv_domain *d, const char *name)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(&d->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	d->name = name;
}

void hv_domain_finish(struct hv_domain *d)
{
	pthread_mutex_destroy(&d->lock);
}

void hv_domain_lock(struct hv_domain *d)
{
	int r = pthread_mutex_lock(&d->lock);

	assert(r == 0);
	(void)r;
}

void hv_domain_unlock(struct hv_domain *d)
{
	int r = pthread_mutex_unlock(&d->lock);

	assert(r == 0);
	(void)r;
}
