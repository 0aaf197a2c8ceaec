/* Errors: what failed and why, in the caller's own storage. */
#ifndef BASE_ERR_H
#define BASE_ERR_H
#include <stdarg.h>
#include <stddef.h>

#define HV_MUST_CHECK __attribute__((warn_unused_result))
#define HV_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* The caller owns the storage: an error cannot leak, and NULL means "the code is enough". */
struct err {
	int code; /* negative errno */
	char msg[256];
};

/* Fills e (if any) and returns code, so that a failure is one statement. */
int err_set(struct err *e, int code, const char *fmt, ...) HV_PRINTF(3, 4);
int err_vset(struct err *e, int code, const char *fmt, va_list ap) HV_PRINTF(3, 0);

/* Puts "prefix: " before a message on its way up (who or what failed); returns e's code. */
int err_prefix(struct err *e, const char *fmt, ...) HV_PRINTF(2, 3);
#endif
