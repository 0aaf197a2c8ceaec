/*
 * devmodel/vm/sandbox: in a child that entered the sandbox, what is forbidden fails and what a VM
 * needs works. Each layer is tried alone.
 */
#include "ctest.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <poll.h>
#include "devmodel/storage/io/pool.h"
#include "vm/sandbox.h"

static char root[] = "/tmp/lodge-sandbox-XXXXXX", own[64], other[64], home[64], secret[64];

static int setup(void **state)
{
	(void)state;
	if (mkdtemp(root) == NULL)
		return -1;
	snprintf(own, sizeof(own), "%s/own", root);
	snprintf(other, sizeof(other), "%s/other", root);
	snprintf(home, sizeof(home), "%s/home", root);
	snprintf(secret, sizeof(secret), "%s/other/secret", root);
	mkdir(own, 0700);
	mkdir(other, 0700);
	mkdir(home, 0700);
	return close(open(secret, O_CREAT | O_WRONLY, 0600));
}

static int teardown(void **state)
{
	(void)state;
	unlink(secret);
	rmdir(other);
	rmdir(home);
	rmdir(own);
	return rmdir(root);
}

/* Runs fn in a child; its wait status. */
static int in_child(int (*fn)(void))
{
	const pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void assert_child_ok(int (*fn)(void))
{
	const int status = in_child(fn);

	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("the child failed at line %d (status %#x)", WEXITSTATUS(status) + 100,
			 (unsigned)status);
}

/* In the child: the line (less 100, to fit a status) of the first thing that is not so. */
#define WANT(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond))                                                                       \
			return __LINE__ - 100 > 0 ? __LINE__ - 100 : 255;                          \
	} while (0)

static int files_child(void)
{
	char path[128];

	WANT(sandbox_files(root, own, NULL, NULL) == 0);
	WANT(open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES);
	WANT(open(secret, O_RDONLY) < 0 && errno == EACCES);
	WANT(open("/tmp/lodge-sandbox-new", O_CREAT | O_WRONLY, 0600) < 0 && errno == EACCES);
	WANT(unlink(secret) < 0 && errno == EACCES);
	snprintf(path, sizeof(path), "%s/new", own);
	WANT(open(path, O_CREAT | O_WRONLY, 0600) < 0 && errno == EACCES);
	WANT(rmdir(other) < 0);
	return 0;
}

static void test_files(void **state)
{
	struct err e;

	(void)state;
	/* Tried in a child as well: it cannot be left again. */
	if (sandbox_files("/nonexistent", NULL, NULL, &e) == -ENOSYS) {
		print_message("this kernel has no Landlock: skipped\n");
		skip();
	}
	assert_child_ok(files_child);
}

/* ---- threads ---- */

static int pool_run(void *ctx, struct blk_req *r)
{
	(void)r;
	return open(ctx, O_RDONLY) < 0 ? -errno : 0;
}

static void pool_done(struct blk_req *r, int result)
{
	*(int *)r->ctx = result;
}

/* An I/O thread of a disk that was opened before, as in lodge-vm. */
static int pool_child(void)
{
	int result = 1;
	struct blk_req r = { .done = pool_done, .ctx = &result };
	struct io_pool *p;

	WANT(io_pool_create("io", pool_run, secret, &p, NULL) == 0);
	WANT(sandbox_files(root, own, NULL, NULL) == 0);
	WANT(io_pool_start(p, NULL) == 0);
	io_pool_submit(p, &r);
	io_pool_drain(p);
	io_pool_destroy(p);
	WANT(result == -EACCES);
	return 0;
}

/* Threads that would stay outside are a reason not to go on, also without Landlock. */
static int busy_child(void)
{
	struct io_pool *p;

	WANT(io_pool_create("io", pool_run, secret, &p, NULL) == 0);
	WANT(io_pool_start(p, NULL) == 0);
	WANT(sandbox_files(root, own, NULL, NULL) == -EBUSY);
	io_pool_destroy(p);
	return 0;
}

static void test_files_threads(void **state)
{
	struct err e;

	(void)state;
	assert_child_ok(busy_child);
	if (sandbox_files("/nonexistent", NULL, NULL, &e) == -ENOSYS)
		skip();
	assert_child_ok(pool_child);
}

static int own_child(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/control", own);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	WANT(sandbox_files(root, own, NULL, NULL) == 0);
	WANT(unlink(path) == 0);
	WANT(rmdir(own) == 0);
	return 0;
}

/* A VM that is kept: everything in its folder, nothing beside it, no way out by a link or a name.
 */
static int home_child(void)
{
	char a[128], b[128];

	WANT(sandbox_files(root, own, home, NULL) == 0);
	WANT(sandbox_calls(false, true, NULL) == 0);
	snprintf(a, sizeof(a), "%s/sub", home);
	WANT(mkdir(a, 0700) == 0);
	snprintf(a, sizeof(a), "%s/sub/new", home);
	snprintf(b, sizeof(b), "%s/kept", home);
	const int fd = open(a, O_CREAT | O_RDWR | O_EXCL, 0600);
	WANT(fd >= 0 && write(fd, "x", 1) == 1);
	WANT(rename(a, b) == 0 && open(b, O_RDONLY) >= 0);
	WANT(open(secret, O_RDONLY) < 0 && errno == EACCES);
	WANT(rename(b, "/tmp/lodge-sandbox-new") < 0);
	WANT(rename(secret, a) < 0);
	WANT(symlink(secret, a) < 0 && link(secret, a) < 0);
	WANT(unlink(b) == 0);
	snprintf(a, sizeof(a), "%s/sub", home);
	WANT(rmdir(a) == 0);
	return 0;
}

static void test_home(void **state)
{
	struct err e;

	(void)state;
	if (sandbox_files("/nonexistent", NULL, NULL, &e) == -ENOSYS)
		skip();
	assert_child_ok(home_child);
}

static void test_own_folder(void **state)
{
	struct err e;

	(void)state;
	if (sandbox_files("/nonexistent", NULL, NULL, &e) == -ENOSYS)
		skip();
	assert_child_ok(own_child);
	mkdir(own, 0700);
}

static int calls_child(void)
{
	WANT(sandbox_calls(false, false, NULL) == 0);
	WANT(open("/etc/passwd", O_RDONLY) < 0 && errno == EPERM);
	WANT(socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM);
	WANT(socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EPERM);
	WANT(kill(getppid(), 0) < 0 && errno == EPERM);
	WANT(tgkill(getppid(), getppid(), 0) < 0 && errno == EPERM);
	WANT(tgkill(getpid(), gettid(), 0) == 0);
	WANT(mkdir("/tmp/lodge-sandbox-dir", 0700) < 0 && errno == EPERM);
	WANT(chmod("/tmp", 0700) < 0 && errno == EPERM);
	WANT(rename(secret, "/tmp/lodge-sandbox-new") < 0 && errno == EPERM);
	return 0;
}

static void *thread_fn(void *arg)
{
	*(int *)arg = open("/etc/passwd", O_RDONLY) < 0 ? errno : 0;
	return NULL;
}

/* A thread from before the sandbox, held until it is entered. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void *early_fn(void *arg)
{
	pthread_mutex_lock(&gate);
	pthread_mutex_unlock(&gate);
	return thread_fn(arg);
}

static int needed_child(void)
{
	pthread_t early, late;
	int seen_early = 0, seen_late = 0, sv[2];
	struct pollfd p = { .events = POLLIN };

	pthread_mutex_lock(&gate);
	WANT(pthread_create(&early, NULL, early_fn, &seen_early) == 0);
	WANT(sandbox_calls(false, false, NULL) == 0);
	pthread_mutex_unlock(&gate);
	WANT(pthread_create(&late, NULL, thread_fn, &seen_late) == 0);
	pthread_join(early, NULL);
	pthread_join(late, NULL);
	WANT(seen_early == EPERM);
	WANT(seen_late == EPERM);
	WANT(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
	WANT(write(sv[0], "x", 1) == 1);
	p.fd = sv[1];
	WANT(poll(&p, 1, 1000) == 1);
	WANT(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
	     MAP_FAILED);
	WANT(memfd_create("x", 0) >= 0);
	return 0;
}

static void test_calls(void **state)
{
	(void)state;
	assert_child_ok(calls_child);
	assert_child_ok(needed_child);
}

static int exec_child(void)
{
	char *const argv[] = { (char *)(uintptr_t) "true", NULL };

	WANT(sandbox_calls(false, false, NULL) == 0);
	execv("/bin/true", argv);
	return 1;
}

static int ptrace_child(void)
{
	WANT(sandbox_calls(false, false, NULL) == 0);
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	return 1;
}

/* A copy of itself may be made, to write a state; any other process may not. */
static int fork_child(void)
{
	int status;

	WANT(sandbox_calls(false, false, NULL) == 0);
	const pid_t pid = fork();
	if (pid == 0)
		_exit(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 ? 7 : 1);
	WANT(pid > 0 && waitpid(pid, &status, 0) == pid);
	WANT(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	WANT(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) < 0);
	WANT(prctl(PR_SET_DUMPABLE, 1) < 0);
	return 0;
}

static void test_fatal(void **state)
{
	int status;

	(void)state;
	status = in_child(exec_child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	status = in_child(ptrace_child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	assert_child_ok(fork_child);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),	      cmocka_unit_test(test_home),
		cmocka_unit_test(test_files_threads), cmocka_unit_test(test_own_folder),
		cmocka_unit_test(test_calls),	      cmocka_unit_test(test_fatal),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
