/* The sandbox of lodge-vm, see sandbox.h and docs/threat-model.md. */
#include "vm/sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/landlock.h>
#include "base/cleanup.h"
#include "base/util.h"

/* ---- files ---- */

/* All rights of ABI 1; later ones by number, as the build host's headers may be older. */
#define FS_ABI1 ((1ull << 13) - 1)
#define FS_REFER (1ull << 13)
#define FS_TRUNCATE (1ull << 14)
#define FS_IOCTL_DEV (1ull << 15)
#define FS_HOME                                                                                    \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |                            \
	 LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR |                             \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |                            \
	 LANDLOCK_ACCESS_FS_MAKE_REG | FS_REFER | FS_TRUNCATE)
#define NET_TCP 3ull   /* bind and connect */
#define SCOPE_ALL 3ull /* abstract sockets and signals to other processes */

/* The kernel's struct landlock_ruleset_attr as of ABI 6; older kernels take its beginning. */
struct ruleset_attr {
	uint64_t fs, net, scoped;
};

static int allow(int ruleset, const char *path, uint64_t rights, struct err *e)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = rights };
	auto_close int dir = open(path, O_PATH | O_CLOEXEC | O_DIRECTORY);

	rule.parent_fd = dir;
	if (dir < 0 ||
	    syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return err_set(e, -errno, "cannot keep '%s' in the sandbox: %s", path,
			       strerror(errno));
	return 0;
}

/* The sanitizer that watches threads has one of its own. */
#ifdef __SANITIZE_THREAD__
#define MAX_THREADS 2
#else
#define MAX_THREADS 1
#endif

/* A thread that is there already would keep its rights. */
static int check_alone(struct err *e)
{
	struct stat st;

	/* Two links are the folder's own; one more is a thread. */
	if (stat("/proc/self/task", &st) == 0 && st.st_nlink > 2 + MAX_THREADS)
		return err_set(e, -EBUSY, "cannot enter the sandbox: %u threads run already",
			       (unsigned)(st.st_nlink - 2));
	return 0;
}

int sandbox_files(const char *root, const char *own, const char *home, struct err *e)
{
	const long abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
				 LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset_attr attr = { .fs = FS_ABI1 };
	size_t size = offsetof(struct ruleset_attr, net);
	int r = check_alone(e);

	if (r < 0)
		return r;
	if (abi < 1)
		return err_set(e, -ENOSYS, "this kernel has no Landlock");
	attr.fs |= (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0) |
		   (abi >= 5 ? FS_IOCTL_DEV : 0);
	if (abi >= 4) {
		attr.net = NET_TCP;
		size = offsetof(struct ruleset_attr, scoped);
	}
	if (abi >= 6) {
		attr.scoped = SCOPE_ALL;
		size = sizeof(attr);
	}
	auto_close int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (ruleset < 0)
		return err_set(e, -errno, "cannot make the sandbox: %s", strerror(errno));
	/* At its end the process removes its socket and its folder; that of another VM holds its
	 * lock file, so it cannot be removed. */
	if (own)
		r = allow(ruleset, own,
			  LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_SOCK, e);
	if (r == 0 && root)
		r = allow(ruleset, root, LANDLOCK_ACCESS_FS_REMOVE_DIR, e);
	if (r == 0 && home)
		r = allow(ruleset, home, attr.fs & FS_HOME, e);
	if (r < 0)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return err_set(e, -errno, "cannot enter the sandbox: %s", strerror(errno));
	return 0;
}

/* ---- system calls ---- */

/* What a running VM, GLib's D-Bus threads, the engines and the sanitizers make. */
static const int allowed[] = {
	/* files that are open already */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(preadv),
	SCMP_SYS(pwritev),
	SCMP_SYS(preadv2),
	SCMP_SYS(pwritev2),
	SCMP_SYS(lseek),
	SCMP_SYS(close),
	SCMP_SYS(fcntl),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(statx),
	SCMP_SYS(fstatfs),
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(ftruncate),
	SCMP_SYS(fallocate),
	SCMP_SYS(fadvise64),
	SCMP_SYS(flock),
	SCMP_SYS(io_uring_enter), /* of rings that can read and write one file */
	/* its own runtime folder, at the end */
	SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	SCMP_SYS(rmdir),
	/* memory */
	SCMP_SYS(mmap),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(mprotect),
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
	SCMP_SYS(memfd_create),
	SCMP_SYS(membarrier),
	/* threads, signals, time */
	SCMP_SYS(futex),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(get_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(set_tid_address),
	SCMP_SYS(gettid),
	SCMP_SYS(getpid),
	SCMP_SYS(getppid),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_getparam),
	SCMP_SYS(sched_getscheduler),
	SCMP_SYS(sched_getattr),
	SCMP_SYS(sched_setattr),
	SCMP_SYS(getcpu),
	SCMP_SYS(arch_prctl),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigpending),
	SCMP_SYS(rt_sigtimedwait),
	SCMP_SYS(rt_sigsuspend),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(nanosleep),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(wait4),
	/* waiting */
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(select),
	SCMP_SYS(pselect6),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(eventfd2),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(timerfd_gettime),
	SCMP_SYS(signalfd4),
	SCMP_SYS(pipe2),
	/* sockets that exist already */
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(recvfrom),
	SCMP_SYS(shutdown),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	/* who and how much */
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(getrusage),
	SCMP_SYS(getrandom),
	SCMP_SYS(uname),
	SCMP_SYS(sysinfo),
};

/* Nothing in lodge-vm ever makes these. */
static const int fatal[] = {
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(fork),
	SCMP_SYS(vfork),
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(bpf),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(chroot),
	SCMP_SYS(setns),
	SCMP_SYS(unshare),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(keyctl),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(setuid),
	SCMP_SYS(setgid),
	SCMP_SYS(setreuid),
	SCMP_SYS(setresuid),
	SCMP_SYS(iopl),
	SCMP_SYS(ioperm),
	SCMP_SYS(reboot),
	SCMP_SYS(swapon),
	SCMP_SYS(userfaultfd),
};

/* What a VM that is kept does in its own folder. */
static const int allowed_home[] = {
	SCMP_SYS(openat),     SCMP_SYS(open),	  SCMP_SYS(rename),	     SCMP_SYS(renameat),
	SCMP_SYS(renameat2),  SCMP_SYS(mkdir),	  SCMP_SYS(mkdirat),	     SCMP_SYS(getdents64),
	SCMP_SYS(lstat),      SCMP_SYS(stat),	  SCMP_SYS(access),	     SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(copy_file_range),
};

/* Calls of which some uses are fine. */
static int add_filtered(scmp_filter_ctx f, bool kvm)
{
	int r = 0;

	/* Threads. clone3 hides its flags from the filter: glibc then falls back
	 * to clone. */
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
			      SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM,
				      CLONE_THREAD | CLONE_VM));
	r |= seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	/* A copy of this process, to write a saved state (saving.c); it can do no more than this.
	 */
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
			      SCMP_A0(SCMP_CMP_EQ,
				      CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | SIGCHLD));
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
			      SCMP_A0(SCMP_CMP_EQ, PR_SET_PDEATHSIG));
	/* On this process alone. */
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
			      SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A0(SCMP_CMP_EQ, 0));
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
			      SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
			      SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
	/* Not TIOCSTI and its like: a terminal must not be typed into. */
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
			      SCMP_A1(SCMP_CMP_EQ, FIONREAD));
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, FIONBIO));
	r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, TCGETS));
	if (kvm)
		r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				      SCMP_A1(SCMP_CMP_MASKED_EQ, 0xff00, KVMIO << 8));
	return r;
}

int sandbox_calls(bool kvm, bool home, struct err *e)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = 0;

	if (!f)
		return err_set(e, -ENOMEM, "out of memory for the sandbox");
	r |= seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
	/* Refused calls are in the kernel's log. */
	seccomp_attr_set(f, SCMP_FLTATR_CTL_LOG, 1);
	for (size_t i = 0; i < HV_ARRAY_LEN(allowed); i++)
		r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, allowed[i], 0);
	for (size_t i = 0; home && i < HV_ARRAY_LEN(allowed_home); i++)
		r |= seccomp_rule_add(f, SCMP_ACT_ALLOW, allowed_home[i], 0);
	for (size_t i = 0; i < HV_ARRAY_LEN(fatal); i++)
		r |= seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, fatal[i], 0);
	r |= add_filtered(f, kvm);
	if (r == 0)
		r = seccomp_load(f);
	seccomp_release(f);
	if (r != 0)
		return err_set(e, -EPERM, "cannot enter the sandbox: seccomp: %s",
			       r < 0 ? strerror(-r) : "rule refused");
	return 0;
}
