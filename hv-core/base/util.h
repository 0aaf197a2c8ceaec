/* Small things that everything is written with. */
#ifndef BASE_UTIL_H
#define BASE_UTIL_H
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HV_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define HV_CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))
#define HV_LIKELY(x) __builtin_expect(!!(x), 1)
#define HV_UNLIKELY(x) __builtin_expect(!!(x), 0)

#define HV_KIB(n) ((uint64_t)(n) << 10)
#define HV_MIB(n) ((uint64_t)(n) << 20)
#define HV_GIB(n) ((uint64_t)(n) << 30)
#define HV_PAGE_SIZE 4096ull
#define HV_PAGE_MASK (~(HV_PAGE_SIZE - 1))

#define HV_NS_PER_SEC 1000000000ull

static inline uint64_t hv_min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t hv_max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* align is a power of two. */
static inline uint64_t hv_align_down(uint64_t v, uint64_t align)
{
	return v & ~(align - 1);
}

static inline uint64_t hv_align_up(uint64_t v, uint64_t align)
{
	return (v + align - 1) & ~(align - 1);
}

/* Of pages and the like: len is a multiple of 64. */
static inline bool hv_is_zero(const void *p, uint64_t len)
{
	uint64_t v[8];

	for (uint64_t i = 0; i < len; i += sizeof(v)) {
		memcpy(v, (const uint8_t *)p + i, sizeof(v));
		if ((v[0] | v[1] | v[2] | v[3] | v[4] | v[5] | v[6] | v[7]) != 0)
			return false;
	}
	return true;
}

/* n: 1 to 63 */
static inline uint64_t hv_rol64(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

/* a * b / c without overflow in between; the result must fit. */
static inline uint64_t hv_muldiv64(uint64_t a, uint64_t b, uint64_t c)
{
	return (uint64_t)((unsigned __int128)a * b / c);
}
#endif
