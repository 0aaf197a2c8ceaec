/* hv-core/engine/kvm: whether a host can, on a kernel made up for it. */
#include "ctest.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
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
	assert_int_equal(fake_kvm.wrong, 0);
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

static void test_open_fails(void **state)
{
	(void)state;
	fake_kvm.open_error = -ENOENT;
	fails_with(kvm_open, -ENOTSUP, "/dev/kvm");
	fake_kvm.open_error = -EACCES;
	fails_with(kvm_open, -EACCES, "you may not use /dev/kvm");
	fake_kvm.open_error = -EMFILE;
	fails_with(kvm_open, -EMFILE, "Too many open files");
}

/* Every host that there is, and what its user is told to do. */
static void test_hosts(void **state)
{
	static const struct {
		int open_error, code;
		struct kvm_host h;
		const char *words;
	} hosts[] = {
		{ -ENOENT,
		  -ENOTSUP,
		  { .vmx = true },
		  "no /dev/kvm: load the module (sudo modprobe kvm_intel)" },
		{ -ENOENT,
		  -ENOTSUP,
		  { .svm = true },
		  "no /dev/kvm: load the module (sudo modprobe kvm_amd)" },
		{ -ENOENT, -ENOTSUP, { .vmx = true, .is_guest = true }, "modprobe kvm_intel" },
		{ -ENODEV, -ENOTSUP, { .vmx = true }, "nothing behind /dev/kvm: load the module" },
		{ -ENODEV, -ENOTSUP, { .svm = true }, "switch \"SVM\" on in the firmware's setup" },
		{ -ENXIO, -ENOTSUP, { .vmx = true }, "switch \"VT-x\" on in the firmware's setup" },
		{ -ENOENT, -ENOTSUP, { .is_guest = true }, "itself a virtual machine" },
		{ -ENOENT, -ENOTSUP, { .vmx = false }, "does not offer virtualization" },
		{ -ENOENT, -ENOTSUP, { .vmx = true, .registered = true }, "is this a container?" },
		{ -EPERM, -EPERM, { .registered = true }, "this container may not use /dev/kvm" },
		{ -EACCES, -EACCES, { .group = "kvm" }, "sudo usermod -aG kvm $USER" },
		{ -EACCES, -EACCES, { .group = "virt" }, "sudo usermod -aG virt $USER" },
		{ -EACCES, -EACCES, { .group = "kvm", .is_member = true }, "log in again" },
		{ -EACCES, -EACCES, { .group = "" }, "for no group" },
		{ -EBUSY, -EBUSY, { .vmx = true }, "in use by another hypervisor" },
		{ -EMFILE, -EMFILE, { .vmx = true }, "Too many open files" },
	};
	(void)state;

	for (size_t i = 0; i < HV_ARRAY_LEN(hosts); i++) {
		struct err e = { .msg = "" };
		const int r = kvm_host_reason(&hosts[i].h, hosts[i].open_error, &e);
		if (r != hosts[i].code || strstr(e.msg, hosts[i].words) == NULL ||
		    strstr(e.msg, "vm.engine=soft") == NULL)
			fail_msg("host %zu: %d '%s' instead of %d '%s'", i, r, e.msg, hosts[i].code,
				 hosts[i].words);
		assert_null(strchr(e.msg, '\n'));
	}
}

/* What the engine cannot do without, by name. */
static void test_old(void **state)
{
#define CAP(name)                                                                                  \
	{                                                                                          \
		KVM_CAP_##name, "lacks " #name ", "                                                \
	}
	static const struct {
		int cap;
		const char *words;
	} caps[] = {
		CAP(USER_MEMORY),    CAP(DESTROY_MEMORY_REGION_WORKS),
		CAP(READONLY_MEM),   CAP(SET_TSS_ADDR),
		CAP(IRQ_ROUTING),    CAP(SET_IDENTITY_MAP_ADDR),
		CAP(SPLIT_IRQCHIP),  CAP(SIGNAL_MSI),
		CAP(IOEVENTFD),	     CAP(USER_NMI),
		CAP(EXT_CPUID),	     CAP(MP_STATE),
		CAP(VCPU_EVENTS),    CAP(DEBUGREGS),
		CAP(XSAVE),	     CAP(XCRS),
		CAP(ADJUST_CLOCK),   CAP(GET_TSC_KHZ),
		CAP(IMMEDIATE_EXIT),
	};
	(void)state;

	fake_kvm.api_version = 11;
	fails_with(kvm_open, -ENOTSUP, "API version 11");
	fake_kvm.api_version = KVM_API_VERSION;
	for (size_t i = 0; i < HV_ARRAY_LEN(caps); i++) {
		fake_kvm.missing_cap = caps[i].cap;
		fails_with(kvm_open, -ENOTSUP, caps[i].words);
		assert_int_equal(fake_kvm.live, 0);
	}
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

static void test_right_way(void **state)
{
	unsigned without = 0;
	struct err e;
	(void)state;

	fake_kvm.on_run = fake_kvm_selftest;
	fake_kvm.ctx = &without;
	assert_ok(selftest(&e), &e);
	assert_int_equal(fake_kvm.runs, 3);
	without = FAKE_NO_PORT;
	fake_kvm.runs = 0;
	fails_with(selftest, -ENOTSUP, "an exception was not delivered");
	without = FAKE_NO_DEVICE;
	fake_kvm.runs = 0;
	fails_with(selftest, -ENOTSUP, "no access to a device came");
}

/* A debugger, a stop and a continuation, or the test's own clock interrupt a guest that is fine. */
static int interrupted(void *ctx, struct kvm_run *run, unsigned n)
{
	return n % 2 == 0 ? -EINTR : fake_kvm_selftest(ctx, run, n / 2);
}

static void test_interrupted(void **state)
{
	unsigned without = 0;
	struct err e;
	(void)state;

	fake_kvm.on_run = interrupted;
	fake_kvm.ctx = &without;
	assert_ok(selftest(&e), &e);
	assert_int_equal(fake_kvm.runs, 6);
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

/* A guest that computes and computes; as often as a signal would come it is interrupted. */
static int endless(void *ctx, struct kvm_run *run, unsigned n)
{
	struct timespec ts;
	uint64_t now, begin = 0;
	(void)ctx;
	(void)run;
	(void)n;

	do {
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
		now = (uint64_t)ts.tv_sec * HV_NS_PER_SEC + (uint64_t)ts.tv_nsec;
		begin = begin == 0 ? now : begin;
	} while (now - begin < HV_NS_PER_SEC / 100);
	return -EINTR;
}

/* One that never gets a processor, until a signal really comes. */
static int starved(void *ctx, struct kvm_run *run, unsigned n)
{
	(void)ctx;
	(void)run;
	(void)n;
	return nanosleep(&(struct timespec){ .tv_sec = 30 }, NULL) < 0 ? -errno : -EIO;
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
		{ starved, -EAGAIN, "this host is too busy" },
		{ busy, -ENOTSUP, "does not end" },
	};
	(void)state;

	for (size_t i = 0; i < HV_ARRAY_LEN(ways); i++) {
		fake_kvm.on_run = ways[i].fn;
		fails_with(selftest, ways[i].code, ways[i].words);
		fails_with(selftest, ways[i].code, "vm.engine=soft");
	}
}

static void test_emulated(void **state)
{
	struct err e = { .msg = "" };
	int r = -EAGAIN;
	(void)state;

	fake_kvm.on_run = endless;
	for (int i = 0; i < 20 && r == -EAGAIN; i++) /* this host may be too busy, too */
		r = selftest(&e);
	assert_int_equal(r, -ENOTSUP);
	assert_non_null(strstr(e.msg, "does not run guests but emulates them"));
}

static void seen(int sig)
{
	(void)sig;
}

/* Signals are the caller's again. */
static void test_signals(void **state)
{
	const struct sigaction mine = { .sa_handler = seen };
	struct sigaction after;
	sigset_t before_mask, mask;
	unsigned without = 0;
	struct err e;
	(void)state;

	fake_kvm.on_run = fake_kvm_selftest;
	fake_kvm.ctx = &without;
	sigaction(SIGUSR1, &mine, NULL);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &mask, &before_mask);
	assert_ok(selftest(&e), &e);
	sigaction(SIGUSR1, NULL, &after);
	assert_ptr_equal(after.sa_handler, seen);
	pthread_sigmask(SIG_SETMASK, &before_mask, &mask);
	assert_true(sigismember(&mask, SIGUSR1));
}

static void test_creation_failures(void **state)
{
	static const struct {
		unsigned long request;
		int error;
		const char *words;
	} fails[] = {
		{ KVM_CREATE_VM, -EBUSY, "another hypervisor" },
		{ KVM_CREATE_VM, -EOPNOTSUPP, "virtualization is off" },
		{ KVM_CREATE_VM, -ENOMEM, "Cannot allocate memory" },
		{ KVM_SET_USER_MEMORY_REGION, -EINVAL, "CPU with memory" },
		{ KVM_CREATE_VCPU, -EINVAL, "CPU with memory" },
		{ KVM_GET_SREGS, -EINVAL, "registers" },
		{ KVM_SET_SREGS, -EINVAL, "registers" },
		{ KVM_SET_REGS, -EINVAL, "registers" },
	};
	(void)state;

	fake_kvm.map_error = -ENOMEM;
	fails_with(selftest, -ENOMEM, "cannot be shared");
	fake_kvm.map_error = 0;
	for (size_t i = 0; i < HV_ARRAY_LEN(fails); i++) {
		fake_kvm.fail_request = fails[i].request;
		fake_kvm.fail_error = fails[i].error;
		fake_kvm.fail_at = 1;
		fake_kvm.failures = 0;
		fails_with(selftest, fails[i].error, fails[i].words);
		fake_kvm.failures = 0;
		fails_with(selftest, fails[i].error, "vm.engine=soft");
		assert_int_equal(fake_kvm.live, 0);
	}
}

#define PROBE_TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PROBE_TEST(test_open),	     PROBE_TEST(test_open_fails),
		PROBE_TEST(test_hosts),	     PROBE_TEST(test_old),
		PROBE_TEST(test_right_way),  PROBE_TEST(test_interrupted),
		PROBE_TEST(test_wrong_ways), PROBE_TEST(test_emulated),
		PROBE_TEST(test_signals),    PROBE_TEST(test_creation_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
