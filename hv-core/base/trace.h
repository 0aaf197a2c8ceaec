/*
 * Trace points: declared one a line in a layer's trace.def, off by default, switched on by name or
 * glob (the setting log.trace), one line each through the log whatever its level. A trace point
 * that is off costs one load and one predicted branch.
 */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H
#include <stdbool.h>
#include "base/err.h"

struct trace_point {
	const char *name; /* "chipset_pic_ack" */
	bool on;
};

/* A NULL-ended list of a folder's points; called once by each library's user at start. */
void trace_register(struct trace_point *const *points);

/* Switches all points that match the glob; the number that did. */
unsigned trace_switch(const char *glob, bool on);

void trace_emit(const struct trace_point *p, const char *fmt, ...) HV_PRINTF(2, 3);

/* TRACE(point, "format", ...) where the layer's trace_points.h declares the point. */
#define TRACE_POINT_DECLARE(n) extern struct trace_point trace_##n
#define TRACE_POINT_DEFINE(n) struct trace_point trace_##n = { #n, false }
#define TRACE(n, ...)                                                                              \
	do {                                                                                       \
		if (__builtin_expect(__atomic_load_n(&trace_##n.on, __ATOMIC_RELAXED), 0))         \
			trace_emit(&trace_##n, __VA_ARGS__);                                       \
	} while (0)
#endif
