/* devmodel/vm/input: nothing sticks, and nobody lets go of what another holds. */
#include "ctest.h"
#include <stdio.h>
#include "vm/input.h"

enum { LEFT = INPUT_KEYS, RIGHT };

static struct input *in;
static char events[400]; /* "+30 -30": key 30 down, up; buttons count on from the keys */
static bool full;

static void note(unsigned bit, bool down)
{
	const size_t n = strlen(events);

	snprintf(events + n, sizeof(events) - n, "%s%c%u", n > 0 ? " " : "", down ? '+' : '-', bit);
}

static bool key(void *ctx, unsigned code, bool down)
{
	assert_ptr_equal(ctx, events);
	if (down && full)
		return false;
	note(code, down);
	return true;
}

static void button(void *ctx, unsigned number, bool down)
{
	(void)ctx;
	note(INPUT_KEYS + number, down);
}

static int setup(void **state)
{
	static const struct input_ops ops = { key, button };
	struct err e;

	(void)state;
	full = false;
	events[0] = '\0';
	assert_ok(input_create(&ops, events, &in, &e), &e);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	input_destroy(in);
	return 0;
}

static void assert_events(const char *want)
{
	assert_string_equal(events, want);
	events[0] = '\0';
}

static const char a[] = "a", b[] = "b";

static void test_passes_on(void **state)
{
	(void)state;
	assert_true(input_key(in, a, 30, true));
	assert_true(input_key(in, a, 30, false));
	input_button(in, a, 1, true);
	input_button(in, a, 1, false);
	assert_true(input_key(in, a, INPUT_KEYS - 1, true));
	assert_events("+30 -30 +769 -769 +767");
}

static void test_release(void **state)
{
	(void)state;
	input_key(in, a, 0, true);
	input_key(in, a, 42, true);
	input_key(in, a, 30, true);
	input_key(in, a, 30, false);
	input_button(in, a, 0, true);
	input_key(in, b, 31, true);
	assert_events("+0 +42 +30 -30 +768 +31");
	input_release(in, a);
	assert_events("-0 -42 -768");
	input_release(in, a);
	assert_events("");
	input_release(in, b);
	assert_events("-31");
	input_release(in, NULL);
	input_release(in, "nobody");
	assert_events("");
}

static void test_two_hold_one_key(void **state)
{
	(void)state;
	input_key(in, a, 29, true);
	input_key(in, b, 29, true);
	events[0] = '\0';
	input_release(in, a);
	assert_events("");
	input_key(in, a, 29, false);
	assert_events("");
	input_key(in, b, 29, false);
	assert_events("-29");
}

/* What was not taken is not held. */
static void test_no_room(void **state)
{
	(void)state;
	full = true;
	assert_false(input_key(in, a, 30, true));
	full = false;
	input_release(in, a);
	assert_events("");
}

/* After the guest was reset: the same key is pressed again. */
static void test_again(void **state)
{
	(void)state;
	input_key(in, a, 30, true);
	input_key(in, a, 30, true);
	input_release(in, a);
	assert_events("+30 +30 -30");
}

static void test_many_owners(void **state)
{
	static const char who[INPUT_OWNERS + 1];

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < INPUT_OWNERS; i++)
			assert_true(input_key(in, &who[i], 30 + i, true));
		assert_false(input_key(in, &who[INPUT_OWNERS], 200, true));
		for (unsigned i = 0; i < INPUT_OWNERS; i++)
			input_release(in, &who[i]);
		events[0] = '\0';
	}
	assert_true(input_key(in, &who[INPUT_OWNERS], 200, true));
	assert_events("+200");
}

static unsigned n_up;

static bool count_up(void *ctx, unsigned code, bool down)
{
	(void)ctx;
	assert_false(down);
	assert_true(code != 30);
	n_up++;
	return true;
}

static void count_button(void *ctx, unsigned number, bool down)
{
	(void)ctx, (void)number;
	assert_false(down);
	n_up++;
}

/* After a restore: all come up but what is held by now. */
static void test_release_all(void **state)
{
	static struct input_ops ops;
	struct input *all;
	struct err e;

	(void)state;
	ops = (struct input_ops){ key, button };
	assert_ok(input_create(&ops, events, &all, &e), &e);
	input_key(all, a, 30, true);
	ops = (struct input_ops){ count_up, count_button };
	n_up = 0;
	input_release_all(all);
	assert_int_equal(n_up, INPUT_KEYS + INPUT_BUTTONS - 1);
	input_destroy(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_passes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_release, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_hold_one_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_owners, setup, teardown),
		cmocka_unit_test_setup_teardown(test_release_all, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
