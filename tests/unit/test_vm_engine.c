/* devmodel/vm/engine_choice: which engine is taken, and which verdicts are kept for how long. */
#include "ctest.h"
#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <sys/stat.h>
#include "engine/kvm/kvm.h"
#include "fake_kvm.h"
#include "vm/engine_choice.h"

static char *runtime, *answer;
static unsigned without; /* of the self-test's exits */

static void forget(void)
{
	(void)g_remove(answer);
}

static int group_setup(void **state)
{
	(void)state;
	runtime = g_dir_make_tmp("lodge-engine-XXXXXX", NULL);
	answer = g_build_filename(runtime, "lodge", "engine-kvm", NULL);
	return runtime != NULL && g_setenv("XDG_RUNTIME_DIR", runtime, TRUE) ? 0 : -1;
}

static int group_teardown(void **state)
{
	g_autofree char *dir = g_path_get_dirname(answer);

	(void)state;
	forget();
	(void)g_rmdir(dir);
	(void)g_rmdir(runtime);
	g_free(runtime);
	g_free(answer);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	forget();
	fake_kvm_begin();
	without = 0;
	fake_kvm.on_run = fake_kvm_selftest;
	fake_kvm.ctx = &without;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_kvm_end();
	assert_int_equal(fake_kvm.live, 0);
	assert_int_equal(fake_kvm.wrong, 0);
	return 0;
}

/* As a program that starts anew: the device is opened again. */
static int probe(struct err *e)
{
	kvm_device_close();
	fake_kvm.runs = 0;
	fake_kvm.failures = 0;
	e->msg[0] = '\0';
	return engine_probe(&hv_engine_kvm, e);
}

static bool is_kept(void)
{
	return g_file_test(answer, G_FILE_TEST_IS_REGULAR);
}

/* ---- what is kept ---- */

static void test_kept(void **state)
{
	struct err e;
	(void)state;

	assert_ok(probe(&e), &e);
	assert_int_equal(fake_kvm.runs, 3);
	assert_ok(probe(&e), &e);
	assert_int_equal(fake_kvm.runs, 0);
	forget();
	without = FAKE_NO_PORT;
	assert_int_equal(probe(&e), -ENOTSUP);
	assert_true(fake_kvm.runs > 0);
	assert_int_equal(probe(&e), -ENOTSUP);
	assert_int_equal(fake_kvm.runs, 0);
	assert_non_null(strstr(e.msg, "an exception was not delivered"));
}

/* Neither device nor permission is a matter of the file; nor does it outlive a lack of them. */
static void test_looked_at_anew(void **state)
{
	static const int errors[] = { -ENOENT, -ENODEV, -EACCES, -EPERM, -EBUSY, -EMFILE };
	struct err e;
	(void)state;

	for (size_t i = 0; i < HV_ARRAY_LEN(errors); i++) {
		forget();
		fake_kvm.open_error = errors[i];
		assert_true(probe(&e) < 0 && !is_kept());
		fake_kvm.open_error = 0;
		assert_ok(probe(&e), &e);
		assert_true(is_kept());
		fake_kvm.open_error = errors[i];
		assert_true(probe(&e) < 0);
		fake_kvm.open_error = 0;
		assert_ok(probe(&e), &e);
		assert_int_equal(fake_kvm.runs, 0);
	}
}

/* What the test could not find out just now is tried again. */
static void test_passing_failures(void **state)
{
	static const struct {
		unsigned long request;
		int error;
	} fails[] = {
		{ KVM_CREATE_VM, -EBUSY },    { KVM_CREATE_VM, -ENOMEM },
		{ KVM_CREATE_VCPU, -EMFILE }, { KVM_SET_USER_MEMORY_REGION, -ENOMEM },
		{ KVM_RUN, -ENOMEM },	      { KVM_RUN, -EFAULT },
	};
	struct err e;
	(void)state;

	for (size_t i = 0; i < HV_ARRAY_LEN(fails); i++) {
		forget();
		fake_kvm.fail_request = fails[i].request;
		fake_kvm.fail_error = fails[i].error;
		fake_kvm.fail_at = 1;
		assert_int_equal(probe(&e), fails[i].error);
		assert_false(is_kept());
		fake_kvm.fail_at = 0;
		assert_ok(probe(&e), &e);
	}
}

/* ---- what is believed ---- */

static void write_answer(const char *text, gssize n)
{
	assert_true(g_file_set_contents(answer, text, n, NULL));
}

/* Each verdict of a test that was run after all: the file did not count. */
static void assert_not_believed(const char *what)
{
	struct err e;

	if (probe(&e) != 0 || fake_kvm.runs != 3)
		fail_msg("%s is believed: %s", what, e.msg);
}

static void test_bad_answers(void **state)
{
	g_autofree char *good = NULL, *key = NULL, *huge = g_strnfill(1 << 20, 'x');
	struct err e;
	(void)state;

	assert_ok(probe(&e), &e);
	assert_true(g_file_get_contents(answer, &good, NULL, NULL));
	key = g_strndup(good, strcspn(good, "\n"));
	write_answer("", 0);
	assert_not_believed("an empty file");
	write_answer("\0\0\0\0", 4);
	assert_not_believed("a file of zeros");
	write_answer(huge, -1);
	assert_not_believed("a huge file");
	write_answer("other host\nno\n", -1);
	assert_not_believed("another host's");
	for (unsigned i = 0; i < 5; i++) {
		static const char *const ends[] = { "", "\n\n", "\nno\nno\n", "\n\033[2Jno\n",
						    "\n\xff\xfe\n" };
		g_autofree char *text = g_strconcat(key, ends[i], NULL);
		write_answer(text, -1);
		assert_not_believed(ends[i]);
	}
	g_autofree char *no = g_strconcat(key, "\nbecause\n", NULL);
	write_answer(no, -1);
	assert_int_equal(probe(&e), -ENOTSUP); /* and this is one */
	assert_string_equal(e.msg, "because");
}

/* What is not a file: not waited for, not followed. */
static void test_bad_files(void **state)
{
	g_autofree char *other = g_build_filename(runtime, "other", NULL);
	g_autofree char *good = NULL;
	struct err e;
	(void)state;

	assert_ok(probe(&e), &e);
	forget();
	assert_int_equal(mkfifo(answer, 0600), 0);
	assert_not_believed("a pipe");
	assert_true(g_file_get_contents(answer, &good, NULL, NULL));
	assert_true(g_file_set_contents(other, good, -1, NULL));
	forget();
	assert_int_equal(symlink(other, answer), 0);
	assert_not_believed("a link");
	forget();
	assert_int_equal(mkdir(answer, 0700), 0);
	assert_not_believed("a folder");
	(void)g_rmdir(answer);
	(void)g_remove(other);
}

/* ---- the choice ---- */

/* With these settings, "key=value". */
static int choose(const char *const *settings, const struct hv_engine_ops **ret_engine,
		  char *reason, struct err *e)
{
	struct vm_config c;
	int r = 0;

	vm_config_init(&c);
	kvm_device_close();
	fake_kvm.runs = 0;
	fake_kvm.failures = 0;
	*ret_engine = NULL;
	for (; r == 0 && *settings != NULL; settings++)
		r = vm_config_set(&c, *settings, e);
	assert_int_equal(r, 0);
	r = engine_choose(&c, ret_engine, reason, e);
	vm_config_finish(&c);
	return r;
}

#define CHOOSE(...) choose((const char *const[]){ __VA_ARGS__, NULL }, &ops, reason, &e)

static void test_auto(void **state)
{
	const struct hv_engine_ops *ops;
	char reason[ENGINE_REASON_BYTES];
	struct err e;
	(void)state;

	assert_ok(CHOOSE("vm.engine=auto"), &e);
	assert_ptr_equal(ops, &hv_engine_kvm);
	assert_string_equal(reason, "this host's KVM runs guests");
	fake_kvm.open_error = -ENODEV;
	assert_ok(CHOOSE("vm.engine=auto"), &e);
	assert_ptr_equal(ops, &hv_engine_soft);
	assert_true(g_str_has_prefix(reason, "kvm: ") && strstr(reason, "/dev/kvm") != NULL);
}

static void test_soft_only(void **state)
{
	static const char *const settings[] = { "debug.deterministic=yes", "debug.trace=/tmp/x",
						"soft.tier=interp", "soft.disable=1",
						"soft.perf-map=yes" };
	const struct hv_engine_ops *ops;
	char reason[ENGINE_REASON_BYTES];
	struct err e;
	(void)state;

	for (size_t i = 0; i < HV_ARRAY_LEN(settings); i++) {
		g_autofree char *key = g_strndup(settings[i], strcspn(settings[i], "="));
		assert_ok(CHOOSE("vm.engine=auto", settings[i]), &e);
		assert_ptr_equal(ops, &hv_engine_soft);
		assert_true(g_str_has_prefix(reason, key));
		assert_int_equal(fake_kvm.runs, 0);
	}
	/* As every VM has it. */
	assert_ok(CHOOSE("vm.engine=auto", "soft.tier=translate", "soft.translate-after=3"), &e);
	assert_ptr_equal(ops, &hv_engine_kvm);
}

/* Whatever the reason: this host cannot (exit status 5), in the words of the probe. */
static void test_named(void **state)
{
	static const int errors[] = { -ENOENT, -EACCES, -EBUSY, -EIO };
	const struct hv_engine_ops *ops;
	char reason[ENGINE_REASON_BYTES];
	struct err e, same;
	(void)state;

	assert_ok(CHOOSE("vm.engine=kvm"), &e);
	assert_ptr_equal(ops, &hv_engine_kvm);
	for (size_t i = 0; i < HV_ARRAY_LEN(errors); i++) {
		fake_kvm.open_error = errors[i];
		assert_int_equal(CHOOSE("vm.engine=kvm"), -ENOTSUP);
		assert_true(e.code == -ENOTSUP && ops == NULL);
		assert_true(probe(&same) < 0);
		assert_string_equal(e.msg, same.msg);
	}
}

static void test_instead(void **state)
{
	const struct err e = { -ENOTSUP, "no CPU like that" };
	const struct hv_engine_ops *ops = &hv_engine_kvm;
	char reason[ENGINE_REASON_BYTES], *engine = (char *)(uintptr_t) "kvm";
	const struct vm_config named = { .engine = engine },
			       any = { .engine = (char *)(uintptr_t) "auto" };
	(void)state;

	assert_false(engine_instead(&named, &ops, reason, &e));
	assert_ptr_equal(ops, &hv_engine_kvm);
	assert_true(engine_instead(&any, &ops, reason, &e));
	assert_ptr_equal(ops, &hv_engine_soft);
	assert_string_equal(reason, "kvm: no CPU like that");
	assert_false(engine_instead(&any, &ops, reason, &e));
}

#define CHOICE_TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CHOICE_TEST(test_kept),
		CHOICE_TEST(test_looked_at_anew),
		CHOICE_TEST(test_passing_failures),
		CHOICE_TEST(test_bad_answers),
		CHOICE_TEST(test_bad_files),
		CHOICE_TEST(test_auto),
		CHOICE_TEST(test_soft_only),
		CHOICE_TEST(test_named),
		CHOICE_TEST(test_instead),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
