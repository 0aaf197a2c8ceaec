/*
 * The frequency of the host's time-stamp counter: CPUID leaf 0x15 if it is complete, a
 * hypervisor's leaf 0x40000010, else measured against the host's raw clock.
 */
#include "clock/clock.h"
#include <cpuid.h>
#include <pthread.h>
#include <time.h>
#include <x86intrin.h>
#include "base/util.h"

#define MEASURE_NS 20000000u

static uint64_t from_leaf_15(void)
{
	uint32_t a, b, c, d;

	if (!__get_cpuid(0x15, &a, &b, &c, &d) || a == 0 || b == 0 || c == 0)
		return 0;
	return hv_muldiv64(c, b, a);
}

static uint64_t from_hypervisor(void)
{
	uint32_t a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 31))
		return 0;
	__cpuid(0x40000000, a, b, c, d);
	if (a < 0x40000010 || a > 0x400000ff)
		return 0;
	__cpuid(0x40000010, a, b, c, d);
	return (uint64_t)a * 1000;
}

struct sample {
	uint64_t tsc, ns;
};

/* The pair with the least time between its two halves, of several. */
static struct sample take_sample(void)
{
	struct sample best = { 0, 0 };
	uint64_t least = UINT64_MAX;
	struct timespec ts;

	for (int i = 0; i < 16; i++) {
		uint64_t before = __rdtsc();
		clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
		uint64_t after = __rdtsc();
		if (after - before < least) {
			least = after - before;
			best.tsc = before + least / 2;
			best.ns = (uint64_t)ts.tv_sec * HV_NS_PER_SEC + (uint64_t)ts.tv_nsec;
		}
	}
	return best;
}

static uint64_t measure(void)
{
	const struct timespec wait = { .tv_nsec = MEASURE_NS };
	struct sample a = take_sample();

	nanosleep(&wait, NULL);
	struct sample b = take_sample();
	return hv_muldiv64(b.tsc - a.tsc, HV_NS_PER_SEC, hv_max_u64(b.ns - a.ns, 1));
}

static uint64_t host_hz;

static void find_out(void)
{
	host_hz = from_leaf_15();
	if (host_hz == 0)
		host_hz = from_hypervisor();
	if (host_hz < 1000000) /* none, or nonsense */
		host_hz = measure();
}

uint64_t hv_host_tsc_hz(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, find_out);
	return host_hz;
}
