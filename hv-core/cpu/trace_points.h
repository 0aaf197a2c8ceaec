/* hv-core's trace points; see base/trace.h. Whoever wants to switch them registers the list once.
 */
#ifndef CPU_TRACE_POINTS_H
#define CPU_TRACE_POINTS_H
#include "base/trace.h"

#define POINT(n) TRACE_POINT_DECLARE(n);
#include "cpu/trace.def"
#undef POINT

extern struct trace_point *const core_trace_points[]; /* ends with NULL */
#endif
