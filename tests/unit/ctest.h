/* What every unit test includes: cmocka with the headers it wants first, and small helpers. */
#ifndef UNIT_CTEST_H
#define UNIT_CTEST_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "base/cleanup.h"
#include "base/err.h"
#include "base/util.h"

/* For calls that must succeed: shows why they did not. */
#define assert_ok(call, e)                                                                         \
	do {                                                                                       \
		int r_ = (call);                                                                   \
		if (r_ < 0)                                                                        \
			fail_msg("%s: %d: %s", #call, r_, (e)->msg);                               \
	} while (0)

/* xorshift64: the same run every time. */
static inline uint64_t test_rnd(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}
#endif
