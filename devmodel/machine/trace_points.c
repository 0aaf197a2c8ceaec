/* See trace_points.h. */
#include "devmodel/machine/trace_points.h"
#include <stddef.h>

#define POINT(n) TRACE_POINT_DEFINE(n);
#include "devmodel/machine/trace.def"
#undef POINT

struct trace_point *const dm_trace_points[] = {
#define POINT(n) &trace_##n,
#include "devmodel/machine/trace.def"
#undef POINT
	NULL
};
