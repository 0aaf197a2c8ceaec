/*
 * Logging: one line a message, with a level and the path of the object that speaks
 * ("pci0.3/virtio-blk"). Log or return an error, never both. Any thread.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H
#include <stdarg.h>
#include <stdbool.h>
#include "base/err.h"

enum log_level { LOG_LVL_ERROR, LOG_LVL_WARN, LOG_LVL_INFO, LOG_LVL_DEBUG, LOG_LVL_TRACE };

/* Receives each finished line, without a newline. Called under the log's lock: must not log. */
typedef void (*log_sink_fn)(void *ctx, enum log_level level, const char *line);

/* What is worth writing at all; default LOG_LVL_WARN. */
void log_set_level(enum log_level level);
bool log_wants(enum log_level level);

/* Default: standard error. fn NULL restores it. */
void log_set_sink(log_sink_fn fn, void *ctx);

/* Opens a file to which every line goes as well, with the time of day; appended to. */
int log_open_file(const char *path, struct err *e) HV_MUST_CHECK;

void log_msg(enum log_level level, const char *who, const char *fmt, ...) HV_PRINTF(3, 4);
void log_vmsg(enum log_level level, const char *who, const char *fmt, va_list ap) HV_PRINTF(3, 0);

/* Whatever the level: for trace points, which are switched on one by one. */
void log_vmsg_always(enum log_level level, const char *who, const char *fmt, va_list ap)
	HV_PRINTF(3, 0);

/* "error" "warn" "info" "debug" "trace" to a level; -EINVAL for anything else. */
int log_level_parse(const char *s, enum log_level *ret_level) HV_MUST_CHECK;
#endif
