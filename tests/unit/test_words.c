/* ui/protocol: sizes, times, near misses, JSON, errors. */
#include "ctest.h"
#include <errno.h>
#include "protocol/protocol.h"

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		bool good;
		uint64_t bytes;
	} cases[] = {
		{ "0", true, 0 },
		{ "4096", true, 4096 },
		{ "1K", true, 1024 },
		{ "512M", true, 512ull << 20 },
		{ "2G", true, 2ull << 30 },
		{ "2g", true, 2ull << 30 },
		{ "1T", true, 1ull << 40 },
		{ "16777215T", true, 16777215ull << 40 },
		{ "16777216T", false, 0 },
		{ "", false, 0 },
		{ "M", false, 0 },
		{ "-1", false, 0 },
		{ "+1", false, 0 },
		{ " 1", false, 0 },
		{ "1 M", false, 0 },
		{ "1MB", false, 0 },
		{ "1.5G", false, 0 },
		{ "0x10", false, 0 },
		{ "99999999999999999999", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < HV_ARRAY_LEN(cases); i++) {
		uint64_t v = 0;
		assert_int_equal(lodge_parse_size(cases[i].text, &v), cases[i].good);
		if (cases[i].good)
			assert_int_equal(v, cases[i].bytes);
	}
}

static void test_size_text(void **state)
{
	static const uint64_t values[] = { 0, 1, 1000, 1024, 1 << 20, 3ull << 29, 5ull << 40 };

	(void)state;
	for (size_t i = 0; i < HV_ARRAY_LEN(values); i++) {
		g_autofree char *text = lodge_format_size(values[i]);
		uint64_t v;
		assert_true(lodge_parse_size(text, &v));
		assert_int_equal(v, values[i]);
	}
}

static void test_times(void **state)
{
	uint64_t ms = 0;

	(void)state;
	assert_true(lodge_parse_time("30s", &ms) && ms == 30000);
	assert_true(lodge_parse_time("5m", &ms) && ms == 300000);
	assert_true(lodge_parse_time("1h", &ms) && ms == 3600000);
	assert_true(lodge_parse_time("250ms", &ms) && ms == 250);
	assert_true(lodge_parse_time("7", &ms) && ms == 7000);
	assert_false(lodge_parse_time("", &ms));
	assert_false(lodge_parse_time("s", &ms));
	assert_false(lodge_parse_time("1d", &ms));
	assert_false(lodge_parse_time("-1s", &ms));
	assert_false(lodge_parse_time("99999999999s", &ms));
}

static void test_nearest(void **state)
{
	static const char *const words[] = {
		"pause", "resume", "reset", "run", "memory.size", NULL
	};

	(void)state;
	assert_string_equal(lodge_nearest("puase", words), "pause");
	assert_string_equal(lodge_nearest("resumme", words), "resume");
	assert_string_equal(lodge_nearest("tset", (const char *const[]){ "reset", "test", NULL }),
			    "test");
	assert_string_equal(lodge_nearest("memory", words), "memory.size");
	assert_string_equal(lodge_nearest("pause-it", words), "pause");
	assert_null(lodge_nearest("completely-else", words));
	assert_null(lodge_nearest("ls", words));
	assert_null(lodge_nearest("sun7", words)); /* half of it is another */
	assert_null(lodge_nearest("create", (const char *const[]){ "rename", NULL }));
	assert_null(lodge_nearest("", (const char *const[]){ NULL }));
}

static void test_shell_word(void **state)
{
	static const char *const words[][2] = {
		{ "work", "work" },	{ "Übung-2", "Übung-2" },
		{ "my vm", "'my vm'" }, { "it's", "'it'\\''s'" },
		{ "-x", "-- -x" },	{ "$(x)", "'$(x)'" },
		{ "", "''" },		{ "./a/b@c", "./a/b@c" },
	};

	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
		g_autofree char *word = lodge_shell_word(words[i][0]);
		assert_string_equal(word, words[i][1]);
	}
}

static void check_json(const char *variant, const char *json)
{
	g_autoptr(GVariant) v = g_variant_ref_sink(g_variant_new_parsed(variant));
	g_autoptr(GString) out = g_string_new(NULL);

	lodge_json_variant(out, v);
	assert_string_equal(out->str, json);
}

static void test_json(void **state)
{
	g_autoptr(GString) out = g_string_new(NULL);

	(void)state;
	lodge_json_string(out, "a\"b\\c\n\x01\xc3\xa4");
	assert_string_equal(out->str, "\"a\\\"b\\\\c\\n\\u0001\xc3\xa4\"");
	check_json("{'a': <uint64 18446744073709551615>, 'b': <true>}",
		   "{\"a\":18446744073709551615,\"b\":true}");
	check_json("[byte 0x2a, 0xff]", "[42,255]");
	check_json("('x', -1, @as [])", "[\"x\",-1,[]]");
}

/* Shares of the whole, units, the most frequent fallbacks. */
static void test_stats(void **state)
{
	g_autoptr(GString) rows = g_string_new(NULL);
	g_autoptr(GVariant) v = NULL;
	g_autofree char *text = NULL, *all = NULL;

	(void)state;
	for (unsigned i = 0; i < 25; i++)
		g_string_append_printf(rows, "%s'insn%u': uint64 %u", i ? "," : "", i, 100 - i);
	all = g_strdup_printf("{'engine': <'soft'>, 'elapsed-ns': <uint64 2000000000>,"
			      "'halted-ns': <uint64 1000000000>,"
			      "'code-bytes': <uint64 1572864>, 'pio': <uint64 0>,"
			      "'instructions': <uint64 2000>, 'translated': <uint64 1999>,"
			      "'fallbacks': <uint64 200>, 'fallbacks-by-instruction': <{%s}>,"
			      "'vcpus': <[@a{sv} {}, {}]>}",
			      rows->str);
	v = g_variant_ref_sink(g_variant_new_parsed(all));
	text = lodge_stats_text(v);
	assert_non_null(strstr(text, "engine                               soft\n"));
	assert_non_null(strstr(text, "elapsed                           2.000 s\n"));
	assert_non_null(strstr(text, "halted                            1.000 s   25.000 %\n"));
	assert_non_null(strstr(text, "code                              1.5 MiB\n"));
	assert_non_null(strstr(text, "pio                                     0\n"));
	assert_non_null(strstr(text, "translated                           1999   99.950 %\n"));
	assert_non_null(strstr(text, "  insn19                               81   40.500 %\n"));
	assert_non_null(strstr(text, "  and 5 more\n"));
	assert_null(strstr(text, "insn20"));
	assert_null(strstr(text, "vcpus"));
}

static void test_stats_of_nothing(void **state)
{
	g_autoptr(GVariant) v = g_variant_ref_sink(
		g_variant_new_parsed("{'halted-ns': <uint64 5>, 'translated': <uint64 7>,"
				     "'fallbacks-by-instruction': <@a{st} {}>}"));
	g_autofree char *text = lodge_stats_text(v);

	(void)state;
	assert_non_null(strstr(text, "translated                              7    0.000 %\n"));
	assert_null(strstr(text, "fallbacks"));
}

static void test_errors(void **state)
{
	(void)state;
	assert_int_equal(lodge_error_of_errno(-ENOENT), LODGE_ERROR_NOT_FOUND);
	assert_int_equal(lodge_error_of_errno(-EINVAL), LODGE_ERROR_BAD_ARGUMENT);
	assert_int_equal(lodge_error_of_errno(-EBUSY), LODGE_ERROR_WRONG_STATE);
	assert_int_equal(lodge_error_of_errno(-EACCES), LODGE_ERROR_HOST_LIMIT);
	assert_int_equal(lodge_error_of_errno(-EIO), LODGE_ERROR_FAILED);
	assert_string_equal(lodge_error_name(LODGE_ERROR_NOT_FOUND), "NotFound");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_size_text),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_shell_word),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_stats),
		cmocka_unit_test(test_stats_of_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
