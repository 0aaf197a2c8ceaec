/* devmodel/vm/cp437: against the host's own tables, and the glyphs of control codes. */
#include "ctest.h"
#include <iconv.h>
#include <stdio.h>
#include "vm/cp437.h"

/* What libc says a code is. */
static gunichar by_libc(uint8_t code)
{
	iconv_t cd = iconv_open("UTF-32LE", "CP437");
	char in[1] = { (char)code }, *p = in;
	uint32_t out = 0;
	char *q = (char *)&out;
	size_t n_in = 1, n_out = sizeof(out);

	assert_true(cd != (iconv_t)-1);
	assert_true(iconv(cd, &p, &n_in, &q, &n_out) != (size_t)-1);
	iconv_close(cd);
	return out;
}

static void test_graphic_codes(void **state)
{
	(void)state;
	for (unsigned c = 32; c < 255; c++)
		if (c != 127 && cp437_char((uint8_t)c) != by_libc((uint8_t)c))
			fail_msg("code %u: U+%04x, libc says U+%04x", c, cp437_char((uint8_t)c),
				 by_libc((uint8_t)c));
}

static void test_control_codes(void **state)
{
	const uint8_t codes[] = { 'a', 0,  1,  2,  3,  4,   5,	  6,	7,    8,   9,  10,  11, 12,
				  13,  14, 15, 16, 17, 18,  19,	  20,	21,   22,  23, 24,  25, 26,
				  27,  28, 29, 30, 31, 127, 0xdb, 0xff, 0xe1, ' ', 0,  0xff };
	g_autofree char *line = cp437_line(codes, HV_ARRAY_LEN(codes));

	(void)state;
	assert_string_equal(line, "a ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼⌂█ ß");
}

static void test_blanks(void **state)
{
	const uint8_t blank[] = { ' ', 0, 255, ' ' };
	g_autofree char *line = cp437_line(blank, 4);
	g_autofree char *none = cp437_line(blank, 0);

	(void)state;
	assert_string_equal(line, "");
	assert_string_equal(none, "");
}

static void test_all_differ(void **state)
{
	(void)state;
	for (unsigned a = 1; a < 255; a++)
		for (unsigned b = 1; b < a; b++)
			assert_true(cp437_char((uint8_t)a) != cp437_char((uint8_t)b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_graphic_codes),
		cmocka_unit_test(test_control_codes),
		cmocka_unit_test(test_blanks),
		cmocka_unit_test(test_all_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
