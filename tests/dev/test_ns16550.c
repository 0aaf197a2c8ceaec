/* 16550A: what drivers probe, interrupt causes and their order, FIFOs, timeout, slow back-ends. */
#include "devmodel/chipset/ns16550.h"
#include "devtest.h"

MACHINE_SETUP

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };
enum { OUT2_RTS = 0xa, LOOP = 0x10 };

static unsigned get(struct dev *d, unsigned r)
{
	return (unsigned)rd(d, 0, r, 1);
}

static void put(struct dev *d, unsigned r, unsigned v)
{
	wr(d, 0, r, 1, v);
}

/* A driver that listens with FIFOs on. */
static struct dev *opened(struct fake_machine *m, unsigned ier)
{
	struct dev *d = make(m, &dm_ns16550);

	put(d, IIR, 0xc7); /* trigger at 14 */
	put(d, MCR, OUT2_RTS);
	put(d, IER, ier);
	return d;
}

/* Linux 8250: scratch, FIFO detection, loopback, and the tests for broken THRE interrupts. */
static void test_probe(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_ns16550);

	put(d, IER, 0);
	assert_int_equal(get(d, IER), 0);
	put(d, IER, 0xff);
	assert_int_equal(get(d, IER), 0x0f);
	put(d, IER, 0);
	put(d, MCR, LOOP | 0x0a);
	assert_int_equal(get(d, MSR) & 0xf0, 0x90);
	put(d, MCR, 0);
	assert_int_equal(get(d, MSR) & 0xf0, 0xb0);
	assert_int_equal(get(d, IIR) & 0xc0, 0);
	put(d, IIR, 1);
	assert_int_equal(get(d, IIR) & 0xc0, 0xc0);
	put(d, IIR, 0);
	put(d, LCR, 0x83);
	put(d, DATA, 0x01);
	put(d, IER, 0x02);
	assert_int_equal(get(d, DATA) | get(d, IER) << 8, 0x201);
	put(d, LCR, 0x03);
	assert_int_equal(get(d, IER), 0);
	put(d, SCR, 0x5a);
	assert_int_equal(get(d, SCR), 0x5a);
	for (unsigned i = 0; i < 2; i++) { /* each enabling asks anew */
		assert_int_equal(get(d, IIR), 1);
		put(d, IER, 2);
		assert_int_equal(get(d, LSR), 0x60);
		assert_int_equal(get(d, IIR), 2);
		assert_int_equal(get(d, IIR), 1); /* reading it is the acknowledge */
		put(d, IER, 0);
	}
}

static void test_sending(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = opened(m, 2);
	unsigned rises;

	assert_true(m->f.irq[0]);
	assert_int_equal(get(d, IIR), 0xc2);
	assert_false(m->f.irq[0]);
	rises = m->f.irq_rises[0];
	put(d, DATA, 'a');
	put(d, DATA, 'b');
	assert_int_equal(m->f.irq_rises[0] - rises, 2); /* an edge for each */
	assert_memory_equal(m->f.chr.out, "ab", 2);
	assert_int_equal(get(d, LSR), 0x60);
	put(d, MCR, 0); /* OUT2 gates the line */
	assert_false(m->f.irq[0]);
}

static void test_slow_output(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = opened(m, 2);
	unsigned sent = 0, got;

	get(d, IIR);
	m->f.chr.room = 10;
	for (unsigned i = 0; i < 100000 && (get(d, LSR) & 0x20); i++)
		put(d, DATA, sent++ & 0xff);
	assert_true(sent >= 16 && sent < 100000); /* THR stayed full at last */
	get(d, IIR);
	assert_false(m->f.irq[0]);
	assert_int_equal(m->f.chr.n_out, 10);
	save_and_load(d); /* what waits is saved */
	fake_chr_make_room(&m->f, 5);
	assert_int_equal(m->f.chr.n_out, 15);
	fake_chr_make_room(&m->f, SIZE_MAX);
	assert_int_equal(get(d, LSR), 0x60);
	got = (unsigned)m->f.chr.n_out;
	assert_int_equal(got, sent);
	for (unsigned i = got - 1000; i < got; i++)
		assert_int_equal(m->f.chr.out[i % FAKE_CHR_BYTES], i & 0xff);
	assert_true(m->f.irq[0]); /* empty again */
	put(d, DATA, 1);
	m->f.chr.room = 0;
	put(d, DATA, 2);
	put(d, IIR, 0x07); /* a driver that starts clears the FIFOs: nothing is lost */
	fake_chr_make_room(&m->f, SIZE_MAX);
	assert_int_equal(m->f.chr.n_out, got + 2);
}

static void test_receiving(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = opened(m, 1);
	static const char text[] = "the quick brown fox jumps over the lazy dog";
	char got[sizeof(text)] = { 0 };
	unsigned n = 0;

	fake_chr_input(&m->f, text, strlen(text));
	assert_int_equal(m->f.chr.n_in, strlen(text) - 16);
	assert_true(m->f.irq[0]);
	assert_int_equal(get(d, IIR), 0xc4);
	for (unsigned i = 0; i < 1000 && n < strlen(text); i++) {
		if (get(d, LSR) & 1)
			got[n++] = (char)get(d, DATA);
		fake_env_advance(&m->f, d, 1000);
	}
	assert_string_equal(got, text);
	assert_int_equal(get(d, LSR), 0x60);
	assert_int_equal(get(d, DATA), 0);
	assert_false(m->f.irq[0]);
}

static void test_timeout(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = opened(m, 1);

	put(d, LCR, 0x83);
	put(d, DATA, 1); /* 115200 8N1: four characters are 347 us */
	put(d, IER, 0);
	put(d, LCR, 0x03);
	fake_chr_input(&m->f, "xyz", 3);
	assert_false(m->f.irq[0]); /* below the trigger */
	fake_env_advance(&m->f, d, 347000);
	assert_false(m->f.irq[0]);
	save_and_load(d);
	put(d, MCR, OUT2_RTS);
	fake_env_advance(&m->f, d, 1000);
	assert_true(m->f.irq[0]);
	assert_int_equal(get(d, IIR), 0xcc);
	assert_int_equal(get(d, DATA), 'x'); /* takes it back, and starts it over */
	assert_false(m->f.irq[0]);
	fake_env_advance(&m->f, d, 348000);
	assert_true(m->f.irq[0]);
	assert_int_equal(get(d, DATA), 'y');
	assert_int_equal(get(d, DATA), 'z');
	assert_true(m->f.timer_ns[0] == DEV_TIMER_OFF);
}

static void test_nobody_listens(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_ns16550);

	fake_chr_input(&m->f, "hello", 5);
	assert_int_equal(m->f.chr.n_in, 5);
	put(d, MCR, LOOP | 0x0a); /* a probe does not take it */
	put(d, MCR, 0);
	put(d, IIR, 7);
	fake_env_advance(&m->f, d, 1000);
	assert_int_equal(m->f.chr.n_in, 5);
	put(d, MCR, 3);
	fake_env_advance(&m->f, d, 1000);
	assert_int_equal(m->f.chr.n_in, 0);
	assert_int_equal(get(d, DATA), 'h');
	/* one that only polls gets it, too */
	d->cls->reset(d);
	fake_chr_input(&m->f, "x", 1);
	for (unsigned i = 0; i < 300; i++) {
		get(d, LSR);
		fake_env_advance(&m->f, d, 1000);
	}
	assert_int_equal(get(d, LSR), 0x61);
	assert_int_equal(get(d, DATA), 'x');
}

static void test_order_of_causes(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_ns16550);

	put(d, IIR, 0x07);
	put(d, IER, 0x0f);
	put(d, MCR, LOOP | 3); /* DTR, RTS come back as DSR, CTS; DCD goes */
	get(d, MSR);
	put(d, MCR, LOOP | 2);
	for (unsigned i = 0; i < 17; i++)
		put(d, DATA, i);
	assert_int_equal(get(d, IIR), 0xc6); /* overrun */
	assert_int_equal(get(d, LSR), 0x63);
	assert_int_equal(get(d, IIR), 0xc4);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(get(d, DATA), i);
	assert_int_equal(get(d, IIR), 0xc2);
	assert_int_equal(get(d, IIR), 0xc0);
	assert_int_equal(get(d, MSR), 0x12);
	assert_int_equal(get(d, IIR), 0xc1);
	put(d, LCR, 0x43); /* break */
	assert_int_equal(get(d, IIR), 0xc6);
	assert_int_equal(get(d, LSR), 0x70);
	assert_int_equal(m->f.chr.n_out, 0);
	assert_int_equal(m->f.irq_rises[0], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_probe),	   DEVICE_TEST(test_sending),
		DEVICE_TEST(test_slow_output),	   DEVICE_TEST(test_receiving),
		DEVICE_TEST(test_timeout),	   DEVICE_TEST(test_nobody_listens),
		DEVICE_TEST(test_order_of_causes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
