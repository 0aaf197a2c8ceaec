/* See trace_points.h. */
#include "cpu/trace_points.h"
#include <stddef.h>

#define POINT(n) TRACE_POINT_DEFINE(n);
#include "cpu/trace.def"
#undef POINT

struct trace_point *const core_trace_points[] = {
#define POINT(n) &trace_##n,
#include "cpu/trace.def"
#undef POINT
	NULL
};
