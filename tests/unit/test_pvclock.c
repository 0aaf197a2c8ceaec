/* hv-core/cpu/pvclock: what a guest computes from the page is the virtual clock. */
#include "ctest.h"
#include "cpu/pvclock.h"
#include "cpu/vcpu.h"

struct page {
	uint32_t version, pad0;
	uint64_t tsc_timestamp, system_time;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad1[2];
};

#define OFFSET (1ull << 50)

static uint64_t guest_ns(const struct page *p, uint64_t tsc)
{
	uint64_t delta = tsc - p->tsc_timestamp;

	delta = p->shift < 0 ? delta >> -p->shift : delta << p->shift;
	return p->system_time + (uint64_t)((unsigned __int128)delta * p->mul >> 32);
}

static void test_scale(void **state)
{
	static const uint64_t hz[] = { 1000000,	   999999999,  1000000000,  1000000001,
				       2245780000, 5123456789, 20000000000, 3 };
	(void)state;

	for (size_t i = 0; i < HV_ARRAY_LEN(hz); i++) {
		struct page p = { 0 };
		hv_pvclock_scale(hz[i], &p.mul, &p.shift);
		assert_true(p.mul >> 31);
		uint64_t got = guest_ns(&p, hz[i] * 100); /* 100 s, to some ticks and 1e-9 */
		uint64_t slack = 2 * HV_NS_PER_SEC / hz[i] + 200;
		assert_true(got <= 100 * HV_NS_PER_SEC && got + slack >= 100 * HV_NS_PER_SEC);
	}
}

static void test_pages(void **state)
{
	struct loop *l;
	struct hv_clock *c;
	struct hv_mem *m;
	struct hv_ram *ram;
	struct err e;
	struct page p;
	uint32_t wall[3];
	(void)state;

	assert_ok(loop_create(&l, &e), &e);
	assert_ok(hv_clock_create(l, &c, &e), &e);
	assert_ok(hv_mem_create(&m, &e), &e);
	assert_ok(hv_ram_create(m, "ram", HV_RAM_ANON, HV_MIB(1), -1, 0, &ram, &e), &e);
	struct hv_map_range low = { "ram", HV_MAP_RAM, 0, 0, HV_MIB(1), ram };
	hv_mem_map(m, &low);
	struct hv_vm vm = { .mem = m, .clock = c };
	struct hv_vcpu v = { .vm = &vm };
	hv_clock_set_tsc_hz(c, 2245780000u);
	hv_clock_set_ns(c, 7777777777777ull);
	hv_pvclock_set_system_time(&v, 0x1000, OFFSET);
	assert_int_equal(hv_ram_host(ram)[0x1000], 0); /* not enabled */
	hv_pvclock_set_system_time(&v, 0x1001, OFFSET);
	memcpy(&p, hv_ram_host(ram) + 0x1000, sizeof(p));
	assert_true(p.version == 2 && p.flags == 1);
	uint64_t got = guest_ns(&p, hv_clock_tsc(c) + OFFSET);
	assert_true(got <= 7777777777777ull && got + 4000 > 7777777777777ull);
	hv_pvclock_set_system_time(&v, 0x1001, OFFSET);
	memcpy(&p, hv_ram_host(ram) + 0x1000, sizeof(p));
	assert_int_equal(p.version, 4);
	hv_pvclock_set_wall(&v, 0x2000);
	memcpy(wall, hv_ram_host(ram) + 0x2000, sizeof(wall));
	uint64_t now = wall[1] * HV_NS_PER_SEC + wall[2] + 7777777777777ull;
	assert_true(wall[0] == 2 && now <= hv_clock_wall_ns(c));
	assert_true(hv_clock_wall_ns(c) - now < 60 * HV_NS_PER_SEC);
	hv_pvclock_set_wall(&v, HV_MIB(1) - 4); /* half of it is not RAM: nothing happens */
	hv_pvclock_set_system_time(&v, UINT64_MAX, 0);
	hv_mem_destroy(m);
	hv_clock_destroy(c);
	loop_destroy(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scale),
		cmocka_unit_test(test_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
