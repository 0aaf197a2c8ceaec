/* HPET: counter, one-shot and repeating comparators, routes, level, messages, legacy replacement.
 */
#include "devmodel/chipset/hpet.h"
#include "devtest.h"

MACHINE_SETUP

enum { CONFIG = 0x10, STATUS = 0x20, COUNTER = 0xf0 };
#define T(n, reg) (0x100u + 0x20u * (n) + (reg))
enum { CFG = 0, CMP = 8, MSG = 16 };
enum { LEVEL = 2, IRQ = 4, PERIODIC = 8, SET = 0x40, W32 = 0x100, FSB = 0x4000 };
enum { LINE20 = HPET_LINE_PINS + 2, LINE11 = HPET_LINE_PINS };

static void test_counter(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_hpet);

	assert_true(rd(d, 0, 0, 8) == (10000000ull << 32 | 0x8086a301));
	assert_int_equal(rd(d, 0, 4, 4), 10000000); /* fs */
	fake_env_advance(&m->f, d, 1000);
	assert_int_equal(rd(d, 0, COUNTER, 8), 0);
	wr(d, 0, COUNTER, 8, 0xffffff00);
	wr(d, 0, CONFIG, 8, 1);
	fake_env_advance(&m->f, d, 10000);
	assert_true(rd(d, 0, COUNTER, 8) == 0xffffff00ull + 1000);
	assert_int_equal(rd(d, 0, COUNTER + 4, 4), 1);
	save_and_load(d);
	assert_true(rd(d, 0, COUNTER, 8) == 0xffffff00ull + 1000);
	wr(d, 0, CONFIG, 4, 0);
	fake_env_advance(&m->f, d, 10000);
	assert_true(rd(d, 0, COUNTER, 8) == 0xffffff00ull + 1000);
	wr(d, 0, CONFIG, 4, 1); /* goes on from there */
	fake_env_advance(&m->f, d, 10);
	assert_true(rd(d, 0, COUNTER, 8) == 0xffffff00ull + 1001);
}

static void test_one_shot(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_hpet);

	assert_int_equal(rd(d, 0, T(2, CFG) + 4, 4), 0xf00800);
	wr(d, 0, CONFIG, 4, 1);
	wr(d, 0, T(0, CFG), 4, IRQ | 20 << 9);
	wr(d, 0, T(0, CMP), 8, 1000);
	fake_env_advance(&m->f, d, 9990);
	assert_int_equal(m->f.irq_rises[LINE20], 0);
	fake_env_advance(&m->f, d, 10);
	assert_int_equal(m->f.irq_rises[LINE20], 1);
	assert_false(m->f.irq[LINE20]); /* an edge */
	assert_int_equal(rd(d, 0, STATUS, 4), 0);
	fake_env_advance(&m->f, d, 1000000000);
	assert_int_equal(m->f.irq_rises[LINE20], 1);
	/* 32 bits wide: comes round again */
	wr(d, 0, T(0, CFG), 4, IRQ | W32 | 20 << 9);
	wr(d, 0, COUNTER, 8, 0);
	wr(d, 0, T(0, CMP), 4, 500);
	fake_env_run_until(&m->f, d, m->f.now_ns + 5000 + (10ull << 33), 100);
	assert_int_equal(m->f.irq_rises[LINE20], 4);
	/* a route that the timer cannot take goes nowhere */
	wr(d, 0, T(0, CFG), 4, IRQ | 11 << 9);
	wr(d, 0, COUNTER, 8, 0);
	wr(d, 0, T(0, CMP), 8, 10);
	fake_env_advance(&m->f, d, 100);
	assert_int_equal(m->f.irq_rises[LINE11], 0);
}

static void test_periodic(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_hpet);

	wr(d, 0, CONFIG, 4, 1 | 2);
	wr(d, 0, T(0, CFG), 4, IRQ | PERIODIC | SET | W32);
	wr(d, 0, T(0, CMP), 4, 5000); /* first match, as Linux does it */
	assert_int_equal(rd(d, 0, T(0, CFG), 4) & SET, 0);
	wr(d, 0, T(0, CMP), 4, 100000); /* then the period: 1 ms */
	fake_env_advance(&m->f, d, 50000);
	assert_int_equal(m->f.irq_rises[HPET_LINE_IRQ0], 1);
	assert_int_equal(rd(d, 0, T(0, CMP), 4), 105000);
	fake_env_run_until(&m->f, d, m->f.now_ns + 1000000000, 10000);
	assert_int_equal(m->f.irq_rises[HPET_LINE_IRQ0], 1001);
	fake_env_advance(&m->f, d, 2500000); /* missed ones are one, in phase */
	assert_int_equal(m->f.irq_rises[HPET_LINE_IRQ0], 1002);
	fake_env_advance(&m->f, d, 499990);
	assert_int_equal(m->f.irq_rises[HPET_LINE_IRQ0], 1002);
	save_and_load(d);
	fake_env_advance(&m->f, d, 10);
	assert_int_equal(m->f.irq_rises[HPET_LINE_IRQ0], 1003);
	wr(d, 0, T(0, CFG), 4, IRQ | PERIODIC | SET); /* an absurd rate */
	wr(d, 0, T(0, CMP), 8, rd(d, 0, COUNTER, 8) + 1);
	wr(d, 0, T(0, CMP), 8, 1);
	const uint64_t end = m->f.now_ns + 1000000;
	fake_env_run_until(&m->f, d, end, 200);
	assert_true(m->f.now_ns == end);
}

/* Linux leaves it so: nobody hears it, and the host sleeps; its comparator goes on all the same. */
static void test_unheard(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_hpet);

	wr(d, 0, CONFIG, 4, 1);
	wr(d, 0, T(0, CFG), 4, IRQ | PERIODIC | SET | 20 << 9);
	wr(d, 0, T(0, CMP), 8, 3000);
	wr(d, 0, T(0, CMP), 8, 3000); /* 30 us */
	assert_true(m->f.timer_ns[0] != DEV_TIMER_OFF);
	wr(d, 0, T(0, CFG), 4, PERIODIC | 20 << 9);
	assert_true(m->f.timer_ns[0] == DEV_TIMER_OFF);
	fake_env_advance(&m->f, d, 105000);
	assert_true(m->f.timer_ns[0] == DEV_TIMER_OFF);
	save_and_load(d);
	assert_int_equal(m->f.irq_rises[LINE20], 0);
	assert_int_equal(rd(d, 0, T(0, CMP), 8), 12000);
	wr(d, 0, T(0, CFG), 4, IRQ | PERIODIC | 20 << 9); /* what has passed is past */
	assert_int_equal(m->f.irq_rises[LINE20], 0);
	fake_env_advance(&m->f, d, 20000);
	assert_int_equal(m->f.irq_rises[LINE20], 1);
	/* the same of one that comes once */
	wr(d, 0, T(1, CFG), 4, 20 << 9);
	wr(d, 0, T(1, CMP), 8, rd(d, 0, COUNTER, 8) + 100);
	wr(d, 0, T(0, CFG), 4, 0);
	fake_env_advance(&m->f, d, 10000);
	wr(d, 0, T(1, CFG), 4, IRQ | 20 << 9);
	fake_env_advance(&m->f, d, 10000);
	assert_int_equal(m->f.irq_rises[LINE20], 1);
}

static void test_level_and_message(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_hpet);

	wr(d, 0, CONFIG, 4, 1);
	wr(d, 0, T(2, CFG), 4, IRQ | LEVEL | 11 << 9);
	wr(d, 0, T(2, CMP), 8, 100);
	fake_env_advance(&m->f, d, 1000);
	assert_true(m->f.irq[LINE11]);
	assert_int_equal(rd(d, 0, STATUS, 4), 4);
	save_and_load(d);
	assert_true(m->f.irq[LINE11]);
	wr(d, 0, STATUS, 4, 4);
	assert_false(m->f.irq[LINE11]);
	wr(d, 0, T(1, MSG), 8, 0xfee01000ull << 32 | 0x4055);
	wr(d, 0, T(1, CFG), 4, IRQ | FSB);
	wr(d, 0, T(1, CMP), 8, 200);
	fake_env_advance(&m->f, d, 1000);
	assert_int_equal(m->f.n_msi, 1);
	assert_true(m->f.msi[0].addr == 0xfee01000 && m->f.msi[0].data == 0x4055);
}

static void test_legacy_route(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_hpet);

	d->cls->irq_in(d, 0, true);
	d->cls->irq_in(d, 1, true);
	assert_true(m->f.irq[HPET_LINE_IRQ0] && m->f.irq[HPET_LINE_IRQ8]);
	wr(d, 0, CONFIG, 4, 2); /* PIT and RTC are cut off */
	assert_false(m->f.irq[HPET_LINE_IRQ0] || m->f.irq[HPET_LINE_IRQ8]);
	d->cls->irq_in(d, 0, false);
	d->cls->irq_in(d, 0, true);
	assert_int_equal(m->f.irq_rises[HPET_LINE_IRQ0], 1);
	wr(d, 0, T(1, CFG), 4, IRQ);
	wr(d, 0, CONFIG, 4, 3);
	wr(d, 0, T(1, CMP), 8, 10);
	fake_env_advance(&m->f, d, 100);
	assert_int_equal(m->f.irq_rises[HPET_LINE_IRQ8], 2);
	wr(d, 0, CONFIG, 4, 0);
	assert_true(m->f.irq[HPET_LINE_IRQ0] && m->f.irq[HPET_LINE_IRQ8]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_counter),  DEVICE_TEST(test_one_shot),
		DEVICE_TEST(test_periodic), DEVICE_TEST(test_level_and_message),
		DEVICE_TEST(test_unheard),  DEVICE_TEST(test_legacy_route),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
