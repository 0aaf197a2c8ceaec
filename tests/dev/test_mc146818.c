/* RTC: representations, setting, update in progress, interrupts, alarm, CMOS. */
#include "devmodel/chipset/mc146818.h"
#include "devtest.h"

MACHINE_SETUP

enum { A = 10, B, C, D, CENTURY = 0x32 };
enum { H24 = 2, BINARY = 4, UIE = 0x10, AIE = 0x20, PIE = 0x40, SET = 0x80 };
#define SEC 1000000000ull

static unsigned get(struct dev *d, uint8_t i)
{
	wr(d, 0, 0, 1, i);
	return (unsigned)rd(d, 0, 1, 1);
}

static void put(struct dev *d, uint8_t i, unsigned v)
{
	wr(d, 0, 0, 1, i);
	wr(d, 0, 1, 1, v);
}

/* The fake clock starts on Tuesday, 14 November 2023, 22:13:20, and 1 ms is over. */
static void test_representations(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_mc146818);

	assert_int_equal(get(d, 0), 0x20);
	assert_int_equal(get(d, 2), 0x13);
	assert_int_equal(get(d, 4), 0x22);
	assert_int_equal(get(d, 6), 3);
	assert_int_equal(get(d, 7), 0x14);
	assert_int_equal(get(d, 8), 0x11);
	assert_int_equal(get(d, 9), 0x23);
	assert_int_equal(get(d, CENTURY), 0x20);
	assert_int_equal(get(d, D), 0x80);
	put(d, B, H24 | BINARY);
	assert_int_equal(get(d, 4), 22);
	assert_int_equal(get(d, 9), 23);
	put(d, B, BINARY);
	assert_int_equal(get(d, 4), 0x80 | 10);
	put(d, B, 0);
	assert_int_equal(get(d, 4), 0x90);
	fake_env_advance(&m->f, d, 2 * 3600 * SEC); /* past midnight */
	assert_int_equal(get(d, 4), 0x12);
	assert_int_equal(get(d, 7), 0x15);
	assert_int_equal(get(d, 6), 4);
}

static void test_setting(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_mc146818);
	static const unsigned leap[][2] = { { 0, 0x59 }, { 2, 0x59 }, { 4, 0x23 },	{ 7, 0x28 },
					    { 8, 0x02 }, { 9, 0x24 }, { CENTURY, 0x20 } };

	/* as Linux does it: SET, divider reset, values, SET off, divider on */
	put(d, B, H24 | SET);
	put(d, A, 0x70 | 6);
	for (unsigned i = 0; i < HV_ARRAY_LEN(leap); i++)
		put(d, (uint8_t)leap[i][0], leap[i][1]);
	fake_env_advance(&m->f, d, 10 * SEC);
	assert_int_equal(get(d, 0), 0x59); /* stands */
	save_and_load(d);
	assert_int_equal(get(d, 0), 0x59);
	put(d, B, H24);
	put(d, A, 0x26);
	fake_env_advance(&m->f, d, SEC / 2 - 1);
	assert_int_equal(get(d, 0), 0x59);
	fake_env_advance(&m->f, d, 1); /* half a second after the divider's reset */
	assert_int_equal(get(d, 0), 0);
	assert_int_equal(get(d, 4), 0);
	assert_int_equal(get(d, 7), 0x29);
	assert_int_equal(get(d, 8), 0x02);
	d->cls->reset(d); /* the battery keeps it */
	assert_int_equal(get(d, 7), 0x29);
	put(d, 4, 0x15); /* while it runs */
	fake_env_advance(&m->f, d, SEC);
	assert_int_equal(get(d, 4), 0x15);
	assert_int_equal(get(d, 0), 0x01);
	put(d, 8, 0xff); /* nonsense stays in bounds */
	fake_env_advance(&m->f, d, SEC);
	assert_int_equal(get(d, 8), 0x12);
	dm_rtc_set_utc_offset(d, -3600);
	assert_int_equal(get(d, 4), 0x21);
}

static void test_update(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_mc146818);

	assert_int_equal(get(d, A), 0x26);
	put(d, A, 0x20);				     /* no periods */
	fake_env_advance(&m->f, d, SEC - 1000000 - 2228001); /* 1 ms was over */
	assert_int_equal(get(d, A), 0x20);
	fake_env_advance(&m->f, d, 1);
	assert_int_equal(get(d, A), 0xa0);
	assert_int_equal(get(d, C), 0);
	fake_env_advance(&m->f, d, 2228000);
	assert_int_equal(get(d, A), 0x20);
	assert_int_equal(get(d, 0), 0x21);
	assert_int_equal(get(d, C), 0x10); /* flag without interrupt */
	assert_int_equal(get(d, C), 0);
	assert_false(m->f.irq[0]);
	assert_true(m->f.timer_ns[1] == DEV_TIMER_OFF); /* and without a timer */
	put(d, B, H24 | UIE);
	fake_env_advance(&m->f, d, SEC - 1);
	assert_false(m->f.irq[0]);
	fake_env_advance(&m->f, d, 1);
	assert_true(m->f.irq[0]);
	save_and_load(d);
	put(d, B, H24 | UIE);
	assert_true(m->f.irq[0]);
	assert_int_equal(get(d, C), 0x90);
	assert_false(m->f.irq[0]);
}

static void test_alarm(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_mc146818);

	put(d, A, 0x20);
	put(d, 1, 0x05);
	put(d, 3, 0x14);
	put(d, 5, 0xff); /* any hour */
	put(d, B, H24 | AIE);
	fake_env_run_until(&m->f, d, 45 * SEC - 1, 1000);
	assert_false(m->f.irq[0]);
	fake_env_run_until(&m->f, d, 45 * SEC, 1000); /* 22:14:05 */
	assert_true(m->f.irq[0]);
	assert_int_equal(get(d, C), 0xb0);
	fake_env_run_until(&m->f, d, 45 * SEC + 3600 * SEC, 10000);
	assert_true(m->f.irq[0]); /* the next hour */
	get(d, C);
	put(d, B, H24);
	put(d, 5, 0x22);
	fake_env_advance(&m->f, d, 100000 * SEC); /* looked at late, it still was */
	assert_int_equal(get(d, C), 0x30);
}

static void test_periodic(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_mc146818);
	unsigned n = 0;
	uint64_t end;

	put(d, A, 0x26); /* 1024 Hz */
	put(d, B, H24 | PIE);
	end = m->f.now_ns + SEC;
	while (m->f.now_ns < end) {
		fake_env_run_until(&m->f, d, hv_min_u64(m->f.timer_ns[0], end), 10);
		if (m->f.irq[0] && ++n)
			assert_int_equal(get(d, C) & 0xc0, 0xc0);
	}
	assert_in_range(n, 1023, 1025);
	put(d, A, 0x2f); /* 2 Hz */
	get(d, C);
	fake_env_run_until(&m->f, d, m->f.now_ns + SEC / 2, 10);
	assert_true(m->f.irq[0]);
	put(d, A, 0x20); /* none */
	assert_true(m->f.timer_ns[0] == DEV_TIMER_OFF);
}

static void test_cmos(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_mc146818);

	put(d, 0x40, 0x5a);
	wr(d, 0, 2, 1, 0x40);
	wr(d, 0, 3, 1, 0xa5);
	assert_int_equal(get(d, 0x40), 0x5a);
	assert_int_equal(rd(d, 0, 3, 1), 0xa5);
	assert_false(dm_rtc_nmi_masked(d));
	assert_int_equal(get(d, 0xc0), 0x5a);
	assert_true(dm_rtc_nmi_masked(d));
	dm_rtc_set_memory(d, HV_MIB(512), HV_GIB(3));
	assert_int_equal(get(d, 0x15) | get(d, 0x16) << 8, 640);
	assert_int_equal(get(d, 0x34) | get(d, 0x35) << 8, (512 - 16) * 16);
	assert_int_equal(get(d, 0x5b) | get(d, 0x5c) << 8 | get(d, 0x5d) << 16, 3 * 1024 * 16);
	assert_int_equal(get(d, 0x17) | get(d, 0x18) << 8, 0xffff);
	d->cls->reset(d);
	assert_int_equal(get(d, 0x40), 0x5a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_representations), DEVICE_TEST(test_setting),
		DEVICE_TEST(test_update),	   DEVICE_TEST(test_alarm),
		DEVICE_TEST(test_periodic),	   DEVICE_TEST(test_cmos),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
