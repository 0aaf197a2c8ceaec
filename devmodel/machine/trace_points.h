/* The devices' trace points; see base/trace.h. */
#ifndef DEVMODEL_TRACE_POINTS_H
#define DEVMODEL_TRACE_POINTS_H
#include "base/trace.h"

#define POINT(n) TRACE_POINT_DECLARE(n);
#include "devmodel/machine/trace.def"
#undef POINT

extern struct trace_point *const dm_trace_points[]; /* ends with NULL */
#endif
