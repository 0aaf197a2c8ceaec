/* See trace.h. */
#include "base/trace.h"
#include <fnmatch.h>
#include <pthread.h>
#include "base/log.h"
#include "base/util.h"

#define MAX_LISTS 32

static struct {
	pthread_mutex_t lock;
	struct trace_point *const *list[MAX_LISTS]; /* borrowed; under lock */
	unsigned n;
} g_trace = { .lock = PTHREAD_MUTEX_INITIALIZER };

void trace_register(struct trace_point *const *points)
{
	unsigned i = 0;

	pthread_mutex_lock(&g_trace.lock);
	while (i < g_trace.n && g_trace.list[i] != points)
		i++;
	if (i == g_trace.n) {
		assert(g_trace.n < MAX_LISTS);
		g_trace.list[g_trace.n++] = points;
	}
	pthread_mutex_unlock(&g_trace.lock);
}

unsigned trace_switch(const char *glob, bool on)
{
	unsigned n = 0;

	pthread_mutex_lock(&g_trace.lock);
	for (unsigned i = 0; i < g_trace.n; i++) {
		for (struct trace_point *const *p = g_trace.list[i]; *p != NULL; p++) {
			if (fnmatch(glob, (*p)->name, 0) == 0) {
				__atomic_store_n(&(*p)->on, on, __ATOMIC_RELAXED);
				n++;
			}
		}
	}
	pthread_mutex_unlock(&g_trace.lock);
	return n;
}

void trace_emit(const struct trace_point *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vmsg_always(LOG_LVL_TRACE, p->name, fmt, ap);
	va_end(ap);
}
