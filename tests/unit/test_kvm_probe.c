/* hv-core/engine/kvm: whether a host can, on a kernel made up for it. */
#include "ctest.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include "engine/kvm/kvm.h"
#include "engine/kvm/probe.h"
#include "fake_kvm.h"

static int setup(void **state)
{
	(void)state;
	fake_kvm_begin();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_kvm_end();
	assert_int_equal(fake_kvm.live, 0);
	return 0;
}

static void fails_with(int (*call)(struct err *e), int code, const char *words)
{
	struct err e = { .msg = "" };
	const int r = call(&e);

	if (r != code || strstr(e.msg, words) == NULL)
		fail_msg("%d '%s' instead of %d '%s'", r, e.msg, code, words);
	assert_null(strchr(e.msg, '\n'));
}

static void test_open(void **state)
{
	struct err e;
	(void)state;
	const int fd = kvm_open(&e);

	assert_true(fd >= 0);
	kvm_sys->close(fd);
}

static void test_no_device(void **state)
{
	(void)state;
	fake_kvm.open_error = -ENOENT;
	fails_with(kvm_open, -ENOTSUP, "/dev/kvm");
	fails_with(kvm_open, -ENOTSUP, "vm.engine=soft");
	fake_kvm.open_error = -EACCES;
	fails_with(kvm_open, -EACCES, "usermod -aG kvm");
	fake_kvm.open_error = -EBUSY;
	fails_with(kvm_open, -EBUSY, "in use by another hypervisor");
	fake_kvm.open_error = -EMFILE;
	fails_with(kvm_open, -EMFILE, "Too many open files");
}

static void test_old(void **state)
{
	(void)state;
	fake_kvm.api_version = 11;
	fails_with(kvm_open, -ENOTSUP, "API version 11");
	fake_kvm.api_version = KVM_API_VERSION;
	fake_kvm.missing_cap = KVM_CAP_SPLIT_IRQCHIP;
	fails_with(kvm_open, -ENOTSUP, "lacks SPLIT_IRQCHIP");
	fake_kvm.missing_cap = KVM_CAP_IMMEDIATE_EXIT;
	fails_with(kvm_open, -ENOTSUP, "lacks IMMEDIATE_EXIT");
	fake_kvm.missing_cap = KVM_CAP_READONLY_MEM;
	fails_with(kvm_open, -ENOTSUP, "lacks READONLY_MEM");
}

/* ---- the self-test ---- */

static int selftest(struct err *e)
{
	const int kvm = kvm_open(e);
	const int r = kvm < 0 ? kvm : kvm_selftest(kvm, e);

	if (kvm >= 0)
		kvm_sys->close(kvm);
	return r;
}

enum { PORT = 1, DEVICE = 2, HALT = 4 };

/* As the guest does, or with some of its exits left out. */
static int right_way(void *ctx, struct kvm_run *run, unsigned n)
{
	const unsigned left_out = *(const unsigned *)ctx;
	const unsigned step = left_out & PORT ? n + 1 : left_out & DEVICE && n > 0 ? n + 1 : n;

	run->exit_reason = step == 0 ? KVM_EXIT_IO : step == 1 ? KVM_EXIT_MMIO : KVM_EXIT_HLT;
	if (step == 0) {
		run->io.port = 0x80;
		run->io.direction = KVM_EXIT_IO_OUT;
	} else if (step == 1) {
		run->mmio.phys_addr = 0x200000;
		run->mmio.len = 4;
		run->mmio.is_write = 1;
	}
	return 0;
}

/* A signal of somebody else's comes first. */
static int interrupted(void *ctx, struct kvm_run *run, unsigned n)
{
	return n == 0 ? -EINTR : right_way(ctx, run, n - 1);
}

static void test_right_way(void **state)
{
	unsigned left_out = 0;
	struct err e;
	(void)state;

	fake_kvm.on_run = right_way;
	fake_kvm.ctx = &left_out;
	assert_ok(selftest(&e), &e);
	fake_kvm.on_run = interrupted;
	fake_kvm.runs = 0;
	assert_ok(selftest(&e), &e);
	fake_kvm.on_run = right_way;
	left_out = PORT;
	fake_kvm.runs = 0;
	fails_with(selftest, -ENOTSUP, "an exception was not delivered");
	left_out = DEVICE;
	fake_kvm.runs = 0;
	fails_with(selftest, -ENOTSUP, "no access to a device came");
}

static int internal_error(void *ctx, struct kvm_run *run, unsigned n)
{
	(void)ctx;
	(void)n;
	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
	return 0;
}

static int refused(void *ctx, struct kvm_run *run, unsigned n)
{
	(void)ctx;
	(void)n;
	run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	run->fail_entry.hardware_entry_failure_reason = 0x80000021;
	return 0;
}

static int shutdown(void *ctx, struct kvm_run *run, unsigned n)
{
	(void)ctx;
	(void)n;
	run->exit_reason = KVM_EXIT_SHUTDOWN;
	return 0;
}

static int no_memory(void *ctx, struct kvm_run *run, unsigned n)
{
	(void)ctx;
	(void)run;
	(void)n;
	return -ENOMEM;
}

/* A guest that runs and runs, until a signal comes. */
static int endless(void *ctx, struct kvm_run *run, unsigned n)
{
	(void)ctx;
	(void)n;
	while (__atomic_load_n(&run->immediate_exit, __ATOMIC_SEQ_CST) == 0)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	return -EINTR;
}

/* Exits without end. */
static int busy(void *ctx, struct kvm_run *run, unsigned n)
{
	(void)ctx;
	(void)n;
	run->exit_reason = KVM_EXIT_IO;
	run->io.port = 0x80;
	return 0;
}

static void test_wrong_ways(void **state)
{
	static const struct {
		int (*fn)(void *ctx, struct kvm_run *run, unsigned n);
		int code;
		const char *words;
	} ways[] = {
		{ internal_error, -ENOTSUP, "gave up in a test guest (internal error 1)" },
		{ refused, -ENOTSUP, "refused a test guest (0x80000021)" },
		{ shutdown, -ENOTSUP, "ended with exit 8" },
		{ no_memory, -ENOMEM, "cannot run a test guest: Cannot allocate memory" },
		{ endless, -ENOTSUP, "does not run guests but emulates them" },
		{ busy, -ENOTSUP, "does not end" },
	};
	(void)state;

	for (size_t i = 0; i < HV_ARRAY_LEN(ways); i++) {
		fake_kvm.on_run = ways[i].fn;
		fails_with(selftest, ways[i].code, ways[i].words);
		fails_with(selftest, ways[i].code, "vm.engine=soft");
	}
}

static void test_creation_failures(void **state)
{
	static const struct {
		unsigned long request;
		int error;
		const char *words;
	} fails[] = {
		{ KVM_CREATE_VM, -EBUSY, "another hypervisor" },
		{ KVM_CREATE_VM, -EOPNOTSUPP, "off in the firmware" },
		{ KVM_CREATE_VM, -ENOMEM, "Cannot allocate memory" },
		{ KVM_SET_USER_MEMORY_REGION, -EINVAL, "CPU with memory" },
		{ KVM_CREATE_VCPU, -EINVAL, "CPU with memory" },
		{ KVM_GET_SREGS, -EINVAL, "registers" },
		{ KVM_SET_SREGS, -EINVAL, "registers" },
		{ KVM_SET_REGS, -EINVAL, "registers" },
	};
	(void)state;

	for (size_t i = 0; i < HV_ARRAY_LEN(fails); i++) {
		fake_kvm.fail_request = fails[i].request;
		fake_kvm.fail_error = fails[i].error;
		fake_kvm.fail_at = 1;
		fake_kvm.failures = 0;
		fails_with(selftest, fails[i].error, fails[i].words);
		assert_int_equal(fake_kvm.live, 0);
	}
}

#define PROBE_TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PROBE_TEST(test_open),	     PROBE_TEST(test_no_device),
		PROBE_TEST(test_old),	     PROBE_TEST(test_right_way),
		PROBE_TEST(test_wrong_ways), PROBE_TEST(test_creation_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
