/* devmodel/vm/config: every setting takes its default and refuses what is out of its range. */
#include "ctest.h"
#include <errno.h>
#include <glib.h>
#include "vm/config.h"
#include "vm/config_int.h"

/* The key with an instance for the star. */
static char *real_key(const struct setting *s)
{
	g_auto(GStrv) parts = g_strsplit(s->key, "*", 2);

	return g_strjoinv("0", parts);
}

static int set(const struct setting *s, const char *value, struct err *e)
{
	g_autofree char *key = real_key(s);
	g_autofree char *arg = g_strdup_printf("%s=%s", key, value);
	struct vm_config c;
	int r;

	vm_config_init(&c);
	e->msg[0] = '\0';
	r = vm_config_set(&c, arg, e);
	vm_config_finish(&c);
	return r;
}

/* Refused, and the message names the key and is one line. */
static void assert_refused(const struct setting *s, const char *value)
{
	g_autofree char *key = real_key(s);
	struct err e;

	if (set(s, value, &e) != -EINVAL)
		fail_msg("%s=%s was not refused", key, value);
	assert_non_null(strstr(e.msg, key));
	assert_null(strchr(e.msg, '\n'));
}

static void test_defaults(void **state)
{
	struct err e;

	(void)state;
	for (const struct setting *s = vm_settings; s->key; s++)
		if (s->def)
			assert_ok(set(s, s->def, &e), &e);
}

static void test_numbers(void **state)
{
	struct err e;

	(void)state;
	for (const struct setting *s = vm_settings; s->key; s++) {
		g_autofree char *min = g_strdup_printf("%llu", (unsigned long long)s->min);
		g_autofree char *max = g_strdup_printf("%llu", (unsigned long long)s->max);
		g_autofree char *above = g_strdup_printf("%llu", (unsigned long long)s->max + 1);
		if (s->type != SETTING_NUMBER && s->type != SETTING_SIZE)
			continue;
		assert_ok(set(s, min, &e), &e);
		assert_ok(set(s, max, &e), &e);
		assert_refused(s, above);
		assert_refused(s, "-1");
		assert_refused(s, "");
		assert_refused(s, "12x");
		assert_refused(s, " 1");
		assert_refused(s, "99999999999999999999999");
	}
}

static void test_texts(void **state)
{
	(void)state;
	for (const struct setting *s = vm_settings; s->key; s++) {
		g_autofree char *longer = s->type > SETTING_CHOICE ? g_strnfill(s->max + 1, 'x')
								   : NULL;
		if (s->type == SETTING_BOOL || s->type == SETTING_CHOICE) {
			assert_refused(s, "");
			assert_refused(s, "perhaps");
		} else if (s->type > SETTING_CHOICE) {
			assert_refused(s, longer);
			if (s->min > 0)
				assert_refused(s, "");
			assert_refused(s, "\xff\xfe");
		}
	}
}

static void test_keys(void **state)
{
	static const char *const bad[] = {
		"",
		"cpu.count",
		"=1",
		"cpu=1",
		"cpu.counts=1",
		"disk..file=x",
		"disk.a/b.file=x",
		"serial.4.output=-",
		"serial.x.output=-",
		"serial..output=-",
		"disk.aaaaaaaaaaaaaaaaaaaaa.file=x",
	};
	struct vm_config c;
	struct err e;

	(void)state;
	vm_config_init(&c);
	for (size_t i = 0; i < HV_ARRAY_LEN(bad); i++)
		assert_int_equal(vm_config_set(&c, bad[i], &e), -EINVAL);
	assert_int_equal(vm_config_set(&c, "memory.sice=1G", &e), -EINVAL);
	assert_non_null(strstr(e.msg, "memory.size"));
	assert_int_equal(c.n_disks, 0);
	vm_config_finish(&c);
}

static void test_disks(void **state)
{
	struct vm_config c;
	struct err e;

	(void)state;
	vm_config_init(&c);
	for (unsigned i = 0; i < MACHINE_MAX_DISKS; i++) {
		g_autofree char *arg = g_strdup_printf("disk.d%u.file=/x%u", i, i);
		assert_ok(vm_config_set(&c, arg, &e), &e);
	}
	assert_int_equal(vm_config_set(&c, "disk.more.file=/x", &e), -EINVAL);
	assert_ok(vm_config_set(&c, "disk.d3.keep=yes", &e), &e);
	assert_int_equal(c.n_disks, MACHINE_MAX_DISKS);
	assert_string_equal(c.disk[3].file, "/x3");
	assert_true(c.disk[3].keep);
	assert_false(c.disk[2].keep);
	vm_config_finish(&c);
}

static void test_together(void **state)
{
	static const char *const bad[][2] = {
		{ "boot.initrd=/x", NULL },
		{ "boot.append=x", NULL },
		{ "vm.engine=soft", NULL },
		{ "disk.a.keep=yes", "vm.engine=null" },
		{ "boot.state=/x", "boot.kernel=/y" },
	};

	(void)state;
	for (size_t i = 0; i < HV_ARRAY_LEN(bad); i++) {
		struct vm_config c;
		struct err e;
		vm_config_init(&c);
		for (unsigned k = 0; k < 2 && bad[i][k]; k++)
			assert_ok(vm_config_set(&c, bad[i][k], &e), &e);
		assert_int_equal(vm_config_check(&c, &e), -EINVAL);
		vm_config_finish(&c);
	}
}

static void generation_of(const char *setting, bool good, uint8_t id[MACHINE_GENERATION_BYTES])
{
	struct vm_config c;
	struct err e;

	vm_config_init(&c);
	assert_ok(vm_config_set(&c, "vm.engine=null", &e), &e);
	if (setting)
		assert_ok(vm_config_set(&c, setting, &e), &e);
	assert_int_equal(vm_config_check(&c, &e), good ? 0 : -EINVAL);
	if (good)
		vm_config_generation(&c, id);
	vm_config_finish(&c);
}

/* Of a GUID the first three numbers are little-endian, the rest is bytes. */
static void test_generation(void **state)
{
	static const uint8_t want[] = { 0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66,
					0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
	uint8_t a[MACHINE_GENERATION_BYTES], b[MACHINE_GENERATION_BYTES];

	(void)state;
	generation_of("vm.generation=00112233-4455-6677-8899-aaBBccDDeeFF", true, a);
	assert_memory_equal(a, want, sizeof(want));
	generation_of("vm.generation=00112233-4455-6677-8899-aabbccddeef", false, a);
	generation_of("vm.generation=00112233445566778899aabbccddeeff", false, a);
	generation_of(NULL, true, a);
	generation_of(NULL, true, b);
	assert_memory_not_equal(a, b, sizeof(a));
	generation_of("debug.deterministic=yes", true, a);
	generation_of("debug.deterministic=yes", true, b);
	assert_memory_equal(a, b, sizeof(a));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_texts),	 cmocka_unit_test(test_keys),
		cmocka_unit_test(test_disks),	 cmocka_unit_test(test_generation),
		cmocka_unit_test(test_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
