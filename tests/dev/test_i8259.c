/* 8259A pair: priorities, modes of EOI, rotation, special mask, polling, ELCR, spurious vectors. */
#include "devmodel/chipset/i8259.h"
#include "devtest.h"

MACHINE_SETUP

enum { M, S, ELCR };

static struct dev *pic(struct fake_machine *m, uint8_t icw4)
{
	struct dev *d = make(m, &dm_i8259);

	for (unsigned c = 0; c < 2; c++) {
		wr(d, c, 0, 1, 0x11);
		wr(d, c, 1, 1, c == M ? 0x20 : 0x28);
		wr(d, c, 1, 1, c == M ? 4 : 2);
		wr(d, c, 1, 1, icw4);
		wr(d, c, 1, 1, 0); /* nothing masked */
	}
	return d;
}

static void pulse(struct dev *d, unsigned irq)
{
	d->cls->irq_in(d, irq, true);
	d->cls->irq_in(d, irq, false);
}

static void test_priorities(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = pic(m, 1);

	pulse(d, 7);
	pulse(d, 12);
	pulse(d, 3);
	assert_true(m->f.irq[0]);
	assert_int_equal(dm_pic_ack(d), 0x2c); /* the slave is before 3 */
	assert_false(m->f.irq[0]);
	pulse(d, 1); /* above: nests */
	assert_true(m->f.irq[0]);
	assert_int_equal(dm_pic_ack(d), 0x21);
	wr(d, M, 0, 1, 0x20); /* ends 1, the highest in service */
	assert_false(m->f.irq[0]);
	wr(d, M, 0, 1, 0x0b);
	assert_int_equal(rd(d, M, 0, 1), 1 << 2);
	wr(d, S, 0, 1, 0x20);
	wr(d, M, 0, 1, 0x20);
	assert_int_equal(dm_pic_ack(d), 0x23);
	wr(d, M, 0, 1, 0x60 | 3); /* specific */
	assert_int_equal(dm_pic_ack(d), 0x27);
	wr(d, M, 0, 1, 0x20);
	assert_int_equal(rd(d, M, 0, 1), 0);
}

static void test_mask_and_spurious(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = pic(m, 1);

	pulse(d, 4);
	wr(d, M, 1, 1, 1 << 4);
	assert_false(m->f.irq[0]);
	assert_int_equal(dm_pic_ack(d), 0x27); /* spurious 7, not in service */
	wr(d, M, 0, 1, 0x0b);
	assert_int_equal(rd(d, M, 0, 1), 0);
	wr(d, M, 0, 1, 0x0a);
	assert_int_equal(rd(d, M, 0, 1), 1 << 4); /* waits under the mask */
	wr(d, M, 1, 1, 0);
	assert_int_equal(dm_pic_ack(d), 0x24);
	wr(d, M, 0, 1, 0x20);
	wr(d, ELCR, 1, 1, 1 << 2); /* 10 is a level that goes before it is acknowledged */
	d->cls->irq_in(d, 10, true);
	assert_true(m->f.irq[0]);
	d->cls->irq_in(d, 10, false);
	assert_false(m->f.irq[0]);
}

static void test_level(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = pic(m, 1);

	wr(d, ELCR, 0, 1, 0xff);
	assert_int_equal(rd(d, ELCR, 0, 1), 0xf8); /* 0 to 2 are edges for good */
	wr(d, ELCR, 1, 1, 0xff);
	assert_int_equal(rd(d, ELCR, 1, 1), 0xde);
	d->cls->irq_in(d, 11, true);
	assert_int_equal(dm_pic_ack(d), 0x2b);
	assert_false(m->f.irq[0]); /* in service */
	wr(d, S, 0, 1, 0x20);
	wr(d, M, 0, 1, 0x20);
	assert_true(m->f.irq[0]); /* still asserted: again */
	assert_int_equal(dm_pic_ack(d), 0x2b);
	d->cls->irq_in(d, 11, false);
	wr(d, S, 0, 1, 0x20);
	wr(d, M, 0, 1, 0x20);
	assert_false(m->f.irq[0]);
	/* an edge comes once however long the line is high */
	d->cls->irq_in(d, 1, true);
	assert_int_equal(dm_pic_ack(d), 0x21);
	wr(d, M, 0, 1, 0x20);
	assert_false(m->f.irq[0]);
}

static void test_aeoi(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = pic(m, 3);

	pulse(d, 8);
	pulse(d, 9);
	assert_int_equal(dm_pic_ack(d), 0x28);
	assert_true(m->f.irq[0]); /* the slave asks anew although it never stopped */
	assert_int_equal(dm_pic_ack(d), 0x29);
	assert_false(m->f.irq[0]);
	wr(d, M, 0, 1, 0x80); /* rotate in AEOI mode */
	pulse(d, 3);
	assert_int_equal(dm_pic_ack(d), 0x23);
	pulse(d, 3);
	pulse(d, 5);
	assert_int_equal(dm_pic_ack(d), 0x25); /* 3 is the lowest now */
	assert_int_equal(dm_pic_ack(d), 0x23);
}

static void test_rotation(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = pic(m, 1);

	wr(d, M, 0, 1, 0xc0 | 4); /* 4 is the lowest, 5 the highest */
	pulse(d, 0);
	pulse(d, 4);
	pulse(d, 6);
	assert_int_equal(dm_pic_ack(d), 0x26);
	wr(d, M, 0, 1, 0xa0); /* rotate on non-specific EOI: 6 is the lowest */
	pulse(d, 6);
	assert_int_equal(dm_pic_ack(d), 0x20);
	wr(d, M, 0, 1, 0x20);
	assert_int_equal(dm_pic_ack(d), 0x24);
	wr(d, M, 0, 1, 0xe0 | 4); /* rotate on specific EOI */
	assert_int_equal(dm_pic_ack(d), 0x26);
}

static void test_special_mask(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = pic(m, 1);

	pulse(d, 3);
	assert_int_equal(dm_pic_ack(d), 0x23);
	pulse(d, 6);
	assert_false(m->f.irq[0]);
	wr(d, M, 1, 1, 1 << 3);
	assert_false(m->f.irq[0]);
	wr(d, M, 0, 1, 0x68); /* set special mask */
	assert_true(m->f.irq[0]);
	assert_int_equal(dm_pic_ack(d), 0x26);
	wr(d, M, 0, 1, 0x20); /* does not end the masked 3 */
	wr(d, M, 0, 1, 0x0b);
	assert_int_equal(rd(d, M, 0, 1), 1 << 3);
}

static void test_fully_nested(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = pic(m, 0x11); /* special fully nested */

	pulse(d, 12);
	assert_int_equal(dm_pic_ack(d), 0x2c);
	pulse(d, 9); /* above 12 on the same slave */
	assert_true(m->f.irq[0]);
	assert_int_equal(dm_pic_ack(d), 0x29);
}

static void test_poll(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = pic(m, 1);

	wr(d, M, 0, 1, 0x0c);
	assert_int_equal(rd(d, M, 0, 1), 0);
	pulse(d, 5);
	wr(d, M, 0, 1, 0x0c);
	assert_int_equal(rd(d, M, 0, 1), 0x85);
	assert_false(m->f.irq[0]);
	wr(d, M, 0, 1, 0x0b);
	assert_int_equal(rd(d, M, 0, 1), 1 << 5);
}

static void test_init_and_state(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = pic(m, 1);

	pulse(d, 5);
	wr(d, ELCR, 0, 1, 1 << 3);
	d->cls->irq_in(d, 3, true);
	save_and_load(d);
	assert_true(m->f.irq[0]);
	wr(d, M, 0, 1, 0x11); /* forgets edges, not levels */
	wr(d, M, 0, 1, 0x0a);
	assert_int_equal(rd(d, M, 0, 1), 1 << 3);
	wr(d, M, 1, 1, 0x70);
	wr(d, M, 1, 1, 4);
	wr(d, M, 1, 1, 1);
	assert_int_equal(rd(d, M, 1, 1), 0);
	assert_int_equal(dm_pic_ack(d), 0x73);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_priorities),	  DEVICE_TEST(test_mask_and_spurious),
		DEVICE_TEST(test_level),	  DEVICE_TEST(test_aeoi),
		DEVICE_TEST(test_rotation),	  DEVICE_TEST(test_special_mask),
		DEVICE_TEST(test_fully_nested),	  DEVICE_TEST(test_poll),
		DEVICE_TEST(test_init_and_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
