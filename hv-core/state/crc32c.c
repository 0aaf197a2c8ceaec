/* CRC-32C by the host's own instruction (SSE4.2), else by eight tables, eight bytes a step. */
#include <cpuid.h>
#include <nmmintrin.h>
#include <pthread.h>
#include "state/state.h"

#define POLY 0x82f63b78u

static uint32_t table[8][256];
static bool have_sse42;

static void find_out(void)
{
	uint32_t a, b, c, d;

	have_sse42 = __get_cpuid(1, &a, &b, &c, &d) && (c >> 20 & 1);
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;
		for (int k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? POLY : 0);
		table[0][i] = crc;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int k = 1; k < 8; k++)
			table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 0xff];
}

__attribute__((target("sse4.2"))) static uint32_t by_host(uint32_t crc, const uint8_t *p,
							  size_t len)
{
	uint64_t c = crc, v;

	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&v, p, 8);
		c = _mm_crc32_u64(c, v);
	}
	for (; len > 0; p++, len--)
		c = _mm_crc32_u8((uint32_t)c, *p);
	return (uint32_t)c;
}

static uint32_t by_table(uint32_t crc, const uint8_t *p, size_t len)
{
	for (; len >= 8; p += 8, len -= 8) {
		uint64_t v;
		memcpy(&v, p, 8);
		v ^= crc;
		crc = 0;
		for (int k = 0; k < 8; k++)
			crc ^= table[7 - k][v >> (8 * k) & 0xff];
	}
	for (; len > 0; p++, len--)
		crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
	return crc;
}

uint32_t state_crc32c(const void *buf, size_t len)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, find_out);
	return ~(have_sse42 ? by_host(~0u, buf, len) : by_table(~0u, buf, len));
}

uint32_t state_crc32c_table(const void *buf, size_t len)
{
	(void)state_crc32c(buf, 0); /* makes the tables */
	return ~by_table(~0u, buf, len);
}
