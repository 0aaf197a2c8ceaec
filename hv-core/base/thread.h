/* Threads with names and blocked signals, and locks that say in their type what they protect. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H
#include <pthread.h>
#include "base/err.h"

/* Starts a thread named name (15 bytes show in tools) with all signals blocked, except those that
 * report faults of its own (SIGSEGV, SIGBUS, SIGFPE, SIGILL). Joined by the owner. */
int hv_thread_start(pthread_t *ret_thread, const char *name, void *(*fn)(void *), void *arg,
		    struct err *e) HV_MUST_CHECK;

/*
 * A lock domain: the bus takes it before every callback of the devices in it; devices contain no
 * locks of their own. Lock order: machine, device domain, irqchip domain, memory map, log.
 */
struct hv_domain {
	pthread_mutex_t lock;
	const char *name; /* borrowed */
};

void hv_domain_init(struct hv_domain *d, const char *name);
void hv_domain_finish(struct hv_domain *d);
void hv_domain_lock(struct hv_domain *d);
void hv_domain_unlock(struct hv_domain *d);
#endif
