/* The keyboard controller, its keyboard and its mouse. */
#include "devmodel/input/i8042.h"
#include <stdio.h>
#include "devtest.h"

MACHINE_SETUP

enum { DATA, COMMAND };
enum { FULL = 1, SYSTEM = 4, LAST_COMMAND = 8, MOUSE = 0x20 };
enum {
	KEY_A = 30,
	KEY_LEFTSHIFT = 42,
	KEY_F7 = 65,
	KEY_RIGHT = 106,
	KEY_SYSRQ = 99,
	KEY_PAUSE = 119
};
#define MS 1000000ull

static uint8_t status(struct dev *d)
{
	return (uint8_t)rd(d, COMMAND, 0, 1);
}

/* Reads what comes within a second, in hex. */
static const char *bytes(struct fake_machine *m, struct dev *d)
{
	static char text[1024];
	size_t n = 0;

	text[0] = '\0';
	for (unsigned ms = 0; ms < 100 && n < sizeof(text) - 4; ms++) {
		while (status(d) & FULL)
			n += (size_t)snprintf(text + n, sizeof(text) - n, n ? " %02x" : "%02x",
					      (unsigned)rd(d, DATA, 0, 1));
		fake_env_advance(&m->f, d, MS);
	}
	return text;
}

static void cmd(struct dev *d, uint8_t command)
{
	wr(d, COMMAND, 0, 1, command);
}

static void cmd_arg(struct dev *d, uint8_t command, uint8_t arg)
{
	cmd(d, command);
	assert_true(status(d) & LAST_COMMAND);
	wr(d, DATA, 0, 1, arg);
	assert_false(status(d) & LAST_COMMAND);
}

static void press(struct dev *d, unsigned key)
{
	dm_i8042_key(d, key, true);
	dm_i8042_key(d, key, false);
}

/* As a driver leaves it: both devices on, interrupts on; translation as asked. */
static struct dev *start(struct fake_machine *m, bool translate)
{
	struct dev *d = make(m, &dm_i8042);

	cmd_arg(d, 0x60, translate ? 0x47 : 0x07);
	return d;
}

static void test_controller(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_i8042);

	assert_int_equal(status(d) & (FULL | SYSTEM), 0);
	cmd(d, 0xaa);
	assert_true(status(d) & SYSTEM);
	assert_string_equal(bytes(m, d), "55");
	cmd(d, 0xab);
	assert_string_equal(bytes(m, d), "00");
	cmd(d, 0xa9);
	assert_string_equal(bytes(m, d), "00");
	cmd_arg(d, 0x60, 0x65);
	cmd(d, 0x20);
	assert_string_equal(bytes(m, d), "65");
	cmd_arg(d, 0x7f, 0x5a);
	cmd(d, 0x3f);
	assert_string_equal(bytes(m, d), "5a");
	cmd(d, 0xa7);
	cmd(d, 0xae);
	cmd(d, 0x20);
	assert_string_equal(bytes(m, d), "65");
	cmd(d, 0xa8);
	cmd(d, 0xad);
	cmd(d, 0x20);
	assert_string_equal(bytes(m, d), "55");
	cmd_arg(d, 0xd2, 0x77);
	assert_false(status(d) & MOUSE);
	assert_true(m->f.irq[0]);
	assert_string_equal(bytes(m, d), "77");
	cmd_arg(d, 0xd3, 0x88);
	assert_true(status(d) & MOUSE);
	cmd(d, 0xd0); /* waits until the byte before it has been read */
	assert_int_equal(rd(d, DATA, 0, 1), 0x88);
	assert_string_equal(bytes(m, d), "23"); /* A20, no reset, the mouse's byte was there */
	assert_int_equal(m->f.guest_errors, 0);
}

static void test_a20_and_reset(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = make(m, &dm_i8042);

	cmd_arg(d, 0xd1, 1);
	assert_int_equal(m->f.req[0].what, DEV_REQ_A20_OFF);
	cmd_arg(d, 0xd1, 1); /* nothing new */
	assert_int_equal(m->f.n_req, 1);
	cmd_arg(d, 0xd1, 3);
	assert_int_equal(m->f.req[1].what, DEV_REQ_A20_ON);
	cmd(d, 0xff); /* pulses nothing */
	assert_int_equal(m->f.n_req, 2);
	cmd(d, 0xfe);
	assert_int_equal(m->f.req[2].what, DEV_REQ_RESET);
	cmd_arg(d, 0xd1, 2);
	assert_int_equal(m->f.req[3].what, DEV_REQ_RESET);
}

static void test_keys(void **state)
{
	static const struct {
		unsigned key;
		const char *set_1, *set_2;
	} keys[] = {
		{ KEY_A, "1e 9e", "1c f0 1c" },
		{ KEY_F7, "41 c1", "83 f0 83" },
		{ KEY_RIGHT, "e0 4d e0 cd", "e0 74 e0 f0 74" },
		{ KEY_SYSRQ, "e0 2a e0 37 e0 b7 e0 aa", "e0 12 e0 7c e0 f0 7c e0 f0 12" },
		{ KEY_PAUSE, "e1 1d 45 e1 9d c5", "e1 14 77 e1 f0 14 f0 77" },
		{ 86, "56 d6", "61 f0 61" },
		{ 125, "e0 5b e0 db", "e0 1f e0 f0 1f" },
		{ 0, "", "" },
		{ 250, "", "" },
		{ 0x2ff, "", "" },
	};
	struct fake_machine *m = *state;

	for (unsigned i = 0; i < HV_ARRAY_LEN(keys); i++) {
		auto_dev struct dev *d = start(m, true);
		press(d, keys[i].key);
		assert_string_equal(bytes(m, d), keys[i].set_1);
		cmd_arg(d, 0x60, 0x07);
		press(d, keys[i].key);
		assert_string_equal(bytes(m, d), keys[i].set_2);
		wr(d, DATA, 0, 1, 0xf0);
		assert_string_equal(bytes(m, d), "fa");
		wr(d, DATA, 0, 1, 1);
		assert_string_equal(bytes(m, d), "fa");
		press(d, keys[i].key);
		assert_string_equal(bytes(m, d), keys[i].set_1);
	}
}

/* The line rises for each byte, and no byte comes before its time. */
static void test_key_interrupts(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m, true);
	const unsigned before = m->f.irq_rises[0];

	press(d, KEY_A);
	assert_true(m->f.irq[0] && !m->f.irq[1]);
	assert_int_equal(rd(d, DATA, 0, 1), 0x1e);
	assert_int_equal(rd(d, DATA, 0, 1), 0x1e);
	assert_false(m->f.irq[0]);
	assert_false(status(d) & FULL);
	save_and_load(d);
	fake_env_advance(&m->f, d, MS);
	assert_true(m->f.irq[0]);
	assert_int_equal(rd(d, DATA, 0, 1), 0x9e);
	assert_int_equal(m->f.irq_rises[0], before + 2);
	cmd_arg(d, 0x60, 0x46);
	press(d, KEY_A);
	fake_env_advance(&m->f, d, MS);
	assert_true(status(d) & FULL);
	assert_false(m->f.irq[0]);
}

static void test_keyboard_commands(void **state)
{
	static const struct {
		const char *in; /* bytes to write, each answered before the next */
		const char *out;
	} talks[] = {
		{ "\xf2", "fa ab 83" },
		{ "\xee", "ee" },
		{ "\xff", "fa aa" },
		{ "\xfe", "aa" },
		{ "\xf3\x20", "fa fa" },
		{ "\xf0\x03", "fa fe" },
		{ "\xf0\x02", "fa fa" },
		{ "\xf8", "fa" },
		{ "\xfc", "fe" },
		{ "\xed\xf2", "fa fa ab 83" }, /* a command ends the wait for an argument */
		{ "\xed\x05", "fa fa" },
	};
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m, false);

	for (unsigned i = 0; i < HV_ARRAY_LEN(talks); i++) {
		char got[64] = "";
		for (const char *p = talks[i].in; *p != '\0'; p++) {
			wr(d, DATA, 0, 1, (uint8_t)*p);
			snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s",
				 got[0] ? " " : "", bytes(m, d));
		}
		assert_string_equal(got, talks[i].out);
	}
	assert_int_equal(dm_i8042_leds(d), 5);
	assert_int_equal(m->f.n_req, 1); /* told of, once */
	assert_int_equal(m->f.req[0].what, DEV_REQ_LEDS);
	wr(d, DATA, 0, 1, 0xf0); /* which set? */
	assert_string_equal(bytes(m, d), "fa");
	wr(d, DATA, 0, 1, 0);
	assert_string_equal(bytes(m, d), "fa 02");
	wr(d, DATA, 0, 1, 0xf5);
	press(d, KEY_A);
	assert_string_equal(bytes(m, d), "fa");
	wr(d, DATA, 0, 1, 0xf4);
	press(d, KEY_A);
	assert_string_equal(bytes(m, d), "fa 1c f0 1c");
}

/* However many keys are hit while nobody reads: each that went down comes up. */
static void test_no_key_sticks(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m, true);
	bool down[128] = { 0 };
	unsigned made = 0;

	for (unsigned round = 0; round < 10; round++) {
		for (unsigned key = 1; key <= 88; key++)
			dm_i8042_key(d, key, true);
		for (unsigned key = 1; key <= 88; key++)
			dm_i8042_key(d, key, false);
	}
	for (unsigned i = 0; i < 1000; i++) {
		while (status(d) & FULL) {
			const uint8_t b = (uint8_t)rd(d, DATA, 0, 1);
			down[b & 0x7f] = !(b & 0x80);
			made += !(b & 0x80);
		}
		fake_env_advance(&m->f, d, MS);
	}
	assert_true(made > 10);
	for (unsigned i = 0; i < HV_ARRAY_LEN(down); i++)
		assert_false(down[i]);
}

/* A command in between takes nothing of what was typed, and its answer comes first. */
static void test_typed_over_commands(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m, true);

	press(d, KEY_A);
	wr(d, DATA, 0, 1, 0xed);
	assert_string_equal(bytes(m, d), "1e fa 9e");
	wr(d, DATA, 0, 1, 4);
	press(d, KEY_RIGHT);
	wr(d, DATA, 0, 1, 0xf2);
	assert_string_equal(bytes(m, d), "fa fa ab 41 e0 4d e0 cd");
	press(d, KEY_A); /* but these begin anew */
	wr(d, DATA, 0, 1, 0xf4);
	assert_string_equal(bytes(m, d), "1e fa");
}

static void test_typematic(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m, true);
	unsigned n = 0;

	wr(d, DATA, 0, 1, 0xf3);
	assert_string_equal(bytes(m, d), "fa");
	wr(d, DATA, 0, 1, 0x00); /* 30 a second after 250 ms */
	assert_string_equal(bytes(m, d), "fa");
	dm_i8042_key(d, KEY_A, true);
	dm_i8042_key(d, KEY_A, true); /* the host's own repeat is nothing */
	for (unsigned ms = 0; ms < 1250; ms++) {
		if (status(d) & FULL) {
			assert_int_equal(rd(d, DATA, 0, 1), 0x1e);
			n++;
		}
		fake_env_advance(&m->f, d, MS);
	}
	assert_in_range(n, 28, 32);
	dm_i8042_key(d, KEY_A, false);
	assert_string_equal(bytes(m, d), "9e");
	for (unsigned ms = 0; ms < 1000; ms++)
		fake_env_advance(&m->f, d, MS);
	assert_string_equal(bytes(m, d), "");
}

static void mouse(struct dev *d, uint8_t byte)
{
	cmd_arg(d, 0xd4, byte);
}

/* Sends each byte, and wants nothing but acknowledgements. */
static void mouse_all(struct fake_machine *m, struct dev *d, const uint8_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		mouse(d, b[i]);
		assert_string_equal(bytes(m, d), "fa");
	}
}

static void test_mouse(void **state)
{
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m, true);

	mouse(d, 0xff);
	assert_string_equal(bytes(m, d), "fa aa 00");
	dm_i8042_move(d, 5, 5, 0); /* nobody wants to know yet */
	assert_string_equal(bytes(m, d), "");
	mouse_all(m, d, (const uint8_t[]){ 0xf4 }, 1);
	dm_i8042_move(d, 5, -3, 0);
	assert_true(m->f.irq[1] && !m->f.irq[0]);
	assert_true(status(d) & MOUSE);
	assert_string_equal(bytes(m, d), "08 05 03");
	dm_i8042_move(d, -1, 2, 9); /* without the knock the wheel is none of its */
	assert_string_equal(bytes(m, d), "38 ff fe");
	dm_i8042_button(d, 0, true);
	dm_i8042_button(d, 7, true);
	assert_string_equal(bytes(m, d), "09 00 00");
	mouse(d, 0xe9);
	assert_string_equal(bytes(m, d), "fa 24 02 64");
	dm_i8042_button(d, 0, false);
	assert_string_equal(bytes(m, d), "08 00 00");
	/* Far: in pieces, and none of it lost. */
	dm_i8042_move(d, 300, 300, 0);
	assert_string_equal(bytes(m, d), "28 ff 00 28 2d d4");
	mouse(d, 0xee);
	assert_string_equal(bytes(m, d), "fa");
	mouse(d, 0x55);
	assert_string_equal(bytes(m, d), "55");
	mouse(d, 0xec);
	assert_string_equal(bytes(m, d), "fa");
}

static void test_wheel(void **state)
{
	static const uint8_t wheel[] = { 0xf3, 200, 0xf3, 100, 0xf3, 80 };
	static const uint8_t five[] = { 0xf3, 200, 0xf3, 200, 0xf3, 80 };
	struct fake_machine *m = *state;
	auto_dev struct dev *d = start(m, true);

	mouse_all(m, d, wheel, sizeof(wheel));
	mouse(d, 0xf2);
	assert_string_equal(bytes(m, d), "fa 03");
	mouse_all(m, d, (const uint8_t[]){ 0xf4 }, 1);
	dm_i8042_move(d, 0, 0, 1);
	save_and_load(d);
	assert_string_equal(bytes(m, d), "08 00 00 ff");
	mouse_all(m, d, five, sizeof(five));
	mouse(d, 0xf2);
	assert_string_equal(bytes(m, d), "fa 04");
	dm_i8042_button(d, 3, true);
	assert_string_equal(bytes(m, d), "08 00 00 10");
	dm_i8042_move(d, 0, 0, -2);
	assert_string_equal(bytes(m, d), "08 00 00 12");
	mouse(d, 0xf0); /* remote: only when asked */
	assert_string_equal(bytes(m, d), "fa");
	dm_i8042_move(d, 1, 0, 0);
	assert_string_equal(bytes(m, d), "");
	mouse(d, 0xeb);
	assert_string_equal(bytes(m, d), "fa 08 01 00 10");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(test_controller),
		DEVICE_TEST(test_a20_and_reset),
		DEVICE_TEST(test_keys),
		DEVICE_TEST(test_key_interrupts),
		DEVICE_TEST(test_keyboard_commands),
		DEVICE_TEST(test_no_key_sticks),
		DEVICE_TEST(test_typematic),
		DEVICE_TEST(test_typed_over_commands),
		DEVICE_TEST(test_mouse),
		DEVICE_TEST(test_wheel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
