/* 8254: counts, outputs and gates of each mode, latches, read-back, BCD, interrupts, port 0x61. */
#include "devmodel/chipset/i8254.h"
#include "devtest.h"

MACHINE_SETUP

enum { PIT, P61 };

/* The virtual time at which tick n after "from" is over. */
static uint64_t tick_ns(uint64_t n)
{
	return (n * 1000000000ull + DM_PIT_HZ - 1) / DM_PIT_HZ;
}

static void program(struct dev *d, unsigned ch, uint8_t control, uint16_t count)
{
	wr(d, PIT, 3, 1, ch << 6 | 0x30 | control);
	wr(d, PIT, ch, 1, count & 0xff);
	wr(d, PIT, ch, 1, count >> 8);
}

static unsigned count(struct dev *d, unsigned ch)
{
	unsigned low;

	wr(d, PIT, 3, 1, ch << 6); /* latch */
	low = (unsigned)rd(d, PIT, ch, 1);
	return low | (unsigned)rd(d, PIT, ch, 1) << 8;
}

static bool out2(struct dev *d)
{
	return rd(d, P61, 0, 1) >> 5 & 1;
}

/* Moves to tick n after start. */
static void at(struct fake_machine *m, struct dev *d, uint64_t start, uint64_t n)
{
	fake_env_advance(&m->f, d, start + tick_ns(n) - m->f.now_ns);
}

static void test_mode0(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_i8254);
	const uint64_t t0 = m->f.now_ns;

	wr(d, P61, 0, 1, 1);
	program(d, 2, 0 << 1, 1000);
	assert_false(out2(d));
	at(m, d, t0, 400);
	assert_int_equal(count(d, 2), 600);
	wr(d, P61, 0, 1, 0); /* the gate stops it */
	fake_env_advance(&m->f, d, 5000000);
	assert_int_equal(count(d, 2), 600);
	assert_false(out2(d));
	wr(d, P61, 0, 1, 1);
	const uint64_t t1 = m->f.now_ns;
	at(m, d, t1, 599);
	assert_false(out2(d));
	at(m, d, t1, 601);
	assert_true(out2(d));
	at(m, d, t1, 603);
	assert_true(count(d, 2) >= 0xfffc); /* goes on below zero */
	wr(d, PIT, 2, 1, 10);		    /* the first byte of a new count stops it */
	assert_false(out2(d));
}

static void test_mode2(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_i8254);
	uint64_t t0 = m->f.now_ns;

	wr(d, P61, 0, 1, 1);
	program(d, 2, 2 << 1, 100);
	assert_true(out2(d));
	at(m, d, t0, 30);
	assert_int_equal(count(d, 2), 70);
	at(m, d, t0, 98);
	assert_true(out2(d));
	at(m, d, t0, 99);
	assert_false(out2(d)); /* low for one clock */
	assert_int_equal(count(d, 2), 1);
	at(m, d, t0, 100);
	assert_true(out2(d));
	assert_int_equal(count(d, 2), 100);
	wr(d, PIT, 2, 1, 50); /* a new count waits for the end of the period */
	wr(d, PIT, 2, 1, 0);
	at(m, d, t0, 190);
	assert_int_equal(count(d, 2), 10);
	at(m, d, t0, 210);
	assert_int_equal(count(d, 2), 40);
	wr(d, P61, 0, 1, 0);
	assert_true(out2(d));
	wr(d, P61, 0, 1, 1); /* the gate starts it over */
	t0 = m->f.now_ns;
	at(m, d, t0, 5);
	assert_int_equal(count(d, 2), 45);
}

static void test_mode3(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_i8254);
	const uint64_t t0 = m->f.now_ns;

	wr(d, P61, 0, 1, 1);
	program(d, 2, 3 << 1, 101);
	at(m, d, t0, 10);
	assert_int_equal(count(d, 2), 80); /* by two */
	assert_true(out2(d));
	at(m, d, t0, 50);
	assert_true(out2(d));
	at(m, d, t0, 51);
	assert_false(out2(d)); /* (n + 1) / 2 high, the rest low */
	at(m, d, t0, 100);
	assert_false(out2(d));
	at(m, d, t0, 101);
	assert_true(out2(d));
}

static void test_triggered(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_i8254);
	uint64_t t0;

	program(d, 2, 1 << 1, 100); /* one-shot */
	assert_true(out2(d));
	fake_env_advance(&m->f, d, 1000000);
	assert_true(out2(d)); /* waits for the gate */
	wr(d, P61, 0, 1, 1);
	t0 = m->f.now_ns;
	assert_false(out2(d));
	at(m, d, t0, 99);
	assert_false(out2(d));
	at(m, d, t0, 100);
	assert_true(out2(d));
	wr(d, P61, 0, 1, 0);
	wr(d, P61, 0, 1, 1);
	assert_false(out2(d)); /* again */

	wr(d, P61, 0, 1, 0);
	program(d, 2, 5 << 1, 100); /* strobe */
	assert_true(out2(d));
	wr(d, P61, 0, 1, 1);
	t0 = m->f.now_ns;
	at(m, d, t0, 100);
	assert_false(out2(d));
	at(m, d, t0, 101);
	assert_true(out2(d));
}

static void test_latches(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_i8254);
	const uint64_t t0 = m->f.now_ns;

	program(d, 0, 2 << 1, 0x1234);
	at(m, d, t0, 0x34);
	wr(d, PIT, 3, 1, 0xc2); /* read-back: count and status of channel 0 */
	at(m, d, t0, 0x100);
	wr(d, PIT, 3, 1, 0x00); /* a second latch does nothing */
	assert_int_equal(rd(d, PIT, 0, 1), 0x80 | 0x34);
	assert_int_equal(rd(d, PIT, 0, 1), 0x00);
	assert_int_equal(rd(d, PIT, 0, 1), 0x12);
	assert_int_equal(rd(d, PIT, 0, 1), 0x34); /* live again */
	assert_int_equal(rd(d, PIT, 0, 1), 0x11);
	wr(d, PIT, 3, 1, 0x14); /* low byte only */
	wr(d, PIT, 3, 1, 0xe2);
	assert_int_equal(rd(d, PIT, 0, 1), 0x80 | 0x40 | 0x14); /* null count */
	wr(d, PIT, 0, 1, 0x80);
	fake_env_advance(&m->f, d, tick_ns(0x10));
	assert_int_equal(rd(d, PIT, 0, 1), 0x70);
	assert_int_equal(rd(d, PIT, 0, 1), 0x70);
	assert_int_equal(rd(d, PIT, 3, 1), 0);
}

static void test_bcd(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_i8254);
	const uint64_t t0 = m->f.now_ns;

	program(d, 0, 2 << 1 | 1, 0x1000);
	at(m, d, t0, 1);
	assert_int_equal(count(d, 0), 0x0999);
	program(d, 0, 0 << 1 | 1, 0); /* 10000 */
	at(m, d, m->f.now_ns, 1);
	assert_int_equal(count(d, 0), 0x9999);
}

static void test_interrupts(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_i8254);
	uint64_t t0 = m->f.now_ns;
	unsigned was;

	assert_false(m->f.irq[0]);
	program(d, 0, 2 << 1, 11932); /* 100 Hz */
	was = m->f.irq_rises[0];
	fake_env_run_until(&m->f, d, t0 + tick_ns(11932ull * 500), 10000);
	assert_int_equal(m->f.irq_rises[0] - was, 500);
	assert_true(m->f.now_ns == t0 + tick_ns(11932ull * 500)); /* no drift */
	/* mode 4: one strobe */
	program(d, 0, 4 << 1, 1000);
	t0 = m->f.now_ns;
	was = m->f.irq_rises[0];
	at(m, d, t0, 1000);
	assert_int_equal(m->f.irq_rises[0] - was, 0);
	save_and_load(d);
	was = m->f.irq_rises[0];
	at(m, d, t0, 1001);
	assert_int_equal(m->f.irq_rises[0] - was, 1);
	fake_env_advance(&m->f, d, 1000000000);
	assert_int_equal(m->f.irq_rises[0] - was, 1);
	/* mode 0: low, then high for good */
	program(d, 0, 0 << 1, 1000);
	t0 = m->f.now_ns;
	assert_false(m->f.irq[0]);
	at(m, d, t0, 1000);
	assert_true(m->f.irq[0]);
	/* an absurd rate does not keep the host busy */
	program(d, 0, 2 << 1, 2);
	t0 = m->f.now_ns;
	was = m->f.irq_rises[0];
	fake_env_run_until(&m->f, d, t0 + 1000000, 100000);
	assert_true(m->f.now_ns == t0 + 1000000 && m->f.irq_rises[0] - was <= 51);
}

static void test_port61(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_i8254);
	unsigned toggles = 0;
	uint64_t last = 0;

	wr(d, P61, 0, 1, 0xff);
	assert_int_equal(rd(d, P61, 0, 1) & 0xcf, 0x0f);
	for (unsigned i = 0; i < 1000; i++) { /* 1 ms */
		fake_env_advance(&m->f, d, 1000);
		const uint64_t v = rd(d, P61, 0, 1) & 0x10;
		toggles += v != last;
		last = v;
	}
	assert_in_range(toggles, 65, 67);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_mode0),      DEVICE_TEST(test_mode2),	 DEVICE_TEST(test_mode3),
		DEVICE_TEST(test_triggered),  DEVICE_TEST(test_latches), DEVICE_TEST(test_bcd),
		DEVICE_TEST(test_interrupts), DEVICE_TEST(test_port61),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
