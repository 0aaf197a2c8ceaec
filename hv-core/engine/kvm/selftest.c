/*
 * A guest that shows whether KVM runs guests; see probe.h. It has 64 KiB of memory at 0:
 *
 *	0x1000 0x2000 0x3000   page tables: 0 to 4 MiB as they are, in pages of 2 MiB
 *	0x4000                 IDT, of which vector 3 is used
 *	0x5000                 code
 *	0x6000                 GDT: code and data
 *	0x8000                 the stack's top
 *
 * and what lies at 2 MiB is nothing: a device, as it were.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "base/util.h"
#include "cpu/x86_defs.h"
#include "engine/kvm/kvm.h"
#include "engine/kvm/probe.h"

#define MEM_BYTES 0x10000u
#define TABLES 0x1000u
#define IDT 0x4000u
#define CODE 0x5000u
#define GDT 0x6000u
#define STACK 0x8000u
#define MMIO 0x200000u
#define PORT 0x80u
#define LOOPS 1000000u /* emulated, at half a microsecond an instruction: more than the limit */
#define EXITS_MAX 100  /* it makes three */
#define TICK_SIGNAL SIGUSR1
#define TICK_NS 20000000

/* Position-independent; the sizes are those of the immediates as gas writes them. */
__asm__(".pushsection .rodata\n"
	"kvm_selftest_code:\n"
	"	mov $1000000, %ecx\n"
	"1:	dec %ecx\n"
	"	jnz 1b\n"
	"	int3\n"
	"	cmp $0x600d, %ebx\n"
	"	jne 2f\n"
	"	mov $0x5a, %al\n"
	"	out %al, $0x80\n"
	"	mov $0x200000, %edi\n"
	"	movl $0xc0de, (%rdi)\n"
	"2:	hlt\n"
	"	jmp 2b\n"
	"kvm_selftest_int3:\n"
	"	mov $0x600d, %ebx\n"
	"	iretq\n"
	"kvm_selftest_end:\n"
	".popsection\n");
extern const uint8_t kvm_selftest_code[], kvm_selftest_int3[], kvm_selftest_end[];

struct selftest {
	int vm, vcpu;
	size_t run_bytes;
	struct kvm_run *run;
	uint8_t *mem;
	bool port, mmio;
	uint64_t cpu_ns, wall_ns; /* when it began */
};

/* ---- making it ---- */

static void put64(struct selftest *t, uint32_t at, uint64_t v)
{
	memcpy(t->mem + at, &v, sizeof(v));
}

static void fill_memory(struct selftest *t)
{
	const uint64_t handler = CODE + (uint64_t)(kvm_selftest_int3 - kvm_selftest_code);

	put64(t, TABLES, (TABLES + 0x1000) | 3);
	put64(t, TABLES + 0x1000, (TABLES + 0x2000) | 3);
	put64(t, TABLES + 0x2000, 0x83);
	put64(t, TABLES + 0x2008, MMIO | 0x83);
	/* an interrupt gate: selector 8, present */
	put64(t, IDT + 3 * 16, (handler & 0xffff) | 8ull << 16 | 0x8eull << 40);
	put64(t, GDT + 8, 0x00af9b000000ffff);
	put64(t, GDT + 16, 0x00cf93000000ffff);
	memcpy(t->mem + CODE, kvm_selftest_code, (size_t)(kvm_selftest_end - kvm_selftest_code));
}

static int create(int kvm, struct selftest *t, struct err *e)
{
	int r = kvm_create_vm(kvm, e);

	if (r < 0)
		return r;
	t->vm = r;
	(void)kvm_sys->ioctl(t->vm, KVM_SET_TSS_ADDR, 0xfeffd000ul);
	t->mem = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t->mem == MAP_FAILED) {
		t->mem = NULL;
		return err_set(e, -ENOMEM, "out of memory for KVM's test guest");
	}
	fill_memory(t);
	const struct kvm_userspace_memory_region m = { .memory_size = MEM_BYTES,
						       .userspace_addr = (uintptr_t)t->mem };
	r = kvm_call(t->vm, KVM_SET_USER_MEMORY_REGION, &m);
	if (r >= 0)
		r = t->vcpu = kvm_sys->ioctl(t->vm, KVM_CREATE_VCPU, 0);
	if (r < 0)
		return err_set(e, r, "KVM cannot make a CPU with memory: %s" KVM_SOFT,
			       strerror(-r));
	r = kvm_sys->ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	t->run_bytes = r < (int)sizeof(*t->run) ? sizeof(*t->run) : (size_t)r;
	t->run = kvm_sys->map(t->vcpu, t->run_bytes);
	return t->run != NULL ? 0
			      : err_set(e, -errno, "KVM's CPU cannot be shared: %s" KVM_SOFT,
					strerror(errno));
}

static struct kvm_segment flat(uint8_t type, bool code)
{
	return (struct kvm_segment){ .limit = UINT32_MAX,
				     .selector = code ? 8 : 16,
				     .type = type,
				     .present = 1,
				     .s = 1,
				     .g = 1,
				     .l = code,
				     .db = !code };
}

static int set_registers(struct selftest *t, struct err *e)
{
	const struct kvm_regs regs = { .rip = CODE, .rsp = STACK, .rflags = X86_FL_FIXED };
	struct kvm_sregs s;
	int r = kvm_call(t->vcpu, KVM_GET_SREGS, &s);

	s.cs = flat(11, true);
	s.ds = s.es = s.fs = s.gs = s.ss = flat(3, false);
	s.gdt = (struct kvm_dtable){ .base = GDT, .limit = 23 };
	s.idt = (struct kvm_dtable){ .base = IDT, .limit = 0xfff };
	s.cr3 = TABLES;
	s.cr4 = X86_CR4_PAE;
	s.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP | X86_CR0_ET | X86_CR0_NE;
	s.efer = X86_EFER_LME | X86_EFER_LMA;
	if (r >= 0)
		r = kvm_call(t->vcpu, KVM_SET_SREGS, &s);
	if (r >= 0)
		r = kvm_call(t->vcpu, KVM_SET_REGS, &regs);
	return r < 0 ? err_set(e, r, "KVM does not take a 64-bit CPU's registers: %s" KVM_SOFT,
			       strerror(-r))
		     : 0;
}

static void destroy(struct selftest *t)
{
	if (t->run != NULL)
		kvm_sys->unmap(t->run, t->run_bytes);
	if (t->vcpu >= 0)
		kvm_sys->close(t->vcpu);
	if (t->vm >= 0)
		kvm_sys->close(t->vm);
	if (t->mem != NULL)
		munmap(t->mem, MEM_BYTES);
}

/* ---- running it ---- */

/* All that is said of a guest that was run. */
static int verdict(struct err *e, int code, const char *fmt, ...) HV_PRINTF(3, 4);
static int verdict(struct err *e, int code, const char *fmt, ...)
{
	struct err why;
	va_list ap;

	va_start(ap, fmt);
	err_vset(&why, code, fmt, ap);
	va_end(ap);
	return err_set(e, code, "%s is there, but %.160s" KVM_SOFT, KVM_DEVICE, why.msg);
}

static int finished(const struct selftest *t, struct err *e)
{
	if (t->port && t->mmio)
		return 0;
	return verdict(e, -ENOTSUP, "its test guest took a wrong way: %s",
		       t->port ? "no access to a device came" : "an exception was not delivered");
}

/* 1: go on. */
static int handle(struct selftest *t, struct err *e)
{
	const struct kvm_run *run = t->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		t->port = run->io.port == PORT && run->io.direction == KVM_EXIT_IO_OUT;
		return 1;
	case KVM_EXIT_MMIO:
		t->mmio = run->mmio.phys_addr == MMIO && run->mmio.is_write && run->mmio.len == 4;
		return 1;
	case KVM_EXIT_INTR:
		return 1;
	case KVM_EXIT_HLT:
		return finished(t, e);
	case KVM_EXIT_INTERNAL_ERROR:
		return verdict(e, -ENOTSUP, "it gave up in a test guest (internal error %u)",
			       run->internal.suberror);
	case KVM_EXIT_FAIL_ENTRY:
		return verdict(e, -ENOTSUP, "the processor refused a test guest (%#llx)",
			       (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	default:
		return verdict(e, -ENOTSUP, "its test guest ended with exit %u", run->exit_reason);
	}
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * HV_NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* 1: there is time left. What it cost is the thread's own, however busy the host is. */
static int check_time(const struct selftest *t, struct err *e)
{
	const uint64_t cpu_ms = (now_ns(CLOCK_THREAD_CPUTIME_ID) - t->cpu_ns) / 1000000;
	const uint64_t wall_ms = (now_ns(CLOCK_MONOTONIC) - t->wall_ns) / 1000000;

	if (cpu_ms >= KVM_SELFTEST_CPU_MS)
		return verdict(
			e, -ENOTSUP,
			"it does not run guests but emulates them (%u instructions take more "
			"than %u ms)",
			2 * LOOPS, KVM_SELFTEST_CPU_MS);
	if (wall_ms >= KVM_SELFTEST_MS)
		return verdict(
			e, -EAGAIN,
			"this host is too busy to find out whether it runs guests: try again");
	return 1;
}

static int run_guest(struct selftest *t, struct err *e)
{
	unsigned exits = 0;
	int r = 1;

	t->cpu_ns = now_ns(CLOCK_THREAD_CPUTIME_ID);
	t->wall_ns = now_ns(CLOCK_MONOTONIC);
	while (r == 1) {
		const int ret = kvm_sys->ioctl(t->vcpu, KVM_RUN, 0);
		if (ret == -EINTR)
			r = check_time(t, e);
		else if (ret < 0)
			r = verdict(e, ret, "it cannot run a test guest: %s", strerror(-ret));
		else if (++exits > EXITS_MAX)
			r = verdict(e, -ENOTSUP, "its test guest does not end");
		else
			r = handle(t, e);
	}
	return r;
}

static void on_tick(int sig)
{
	(void)sig; /* it has brought the thread out of the guest */
}

/* By a signal again and again: one that comes before the guest is entered does not matter then. */
static int run(struct selftest *t, struct err *e)
{
	const struct sigaction sa = { .sa_handler = on_tick, .sa_flags = SA_RESTART };
	const struct itimerspec every = { .it_interval.tv_nsec = TICK_NS,
					  .it_value.tv_nsec = TICK_NS };
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = TICK_SIGNAL };
	struct sigaction before;
	sigset_t tick, mask;
	timer_t timer;

	ev._sigev_un._tid = gettid();
	if (timer_create(CLOCK_MONOTONIC, &ev, &timer) < 0)
		return err_set(e, -errno, "no timer for KVM's test guest: %s" KVM_SOFT,
			       strerror(errno));
	sigemptyset(&tick);
	sigaddset(&tick, TICK_SIGNAL);
	sigaction(TICK_SIGNAL, &sa, &before);
	pthread_sigmask(SIG_UNBLOCK, &tick, &mask);
	timer_settime(timer, 0, &every, NULL);

	const int r = run_guest(t, e);
	timer_delete(timer); /* a last signal is taken before it returns */
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	sigaction(TICK_SIGNAL, &before, NULL);
	return r;
}

int kvm_selftest(int kvm, struct err *e)
{
	struct selftest t = { .vm = -1, .vcpu = -1 };
	int r = create(kvm, &t, e);

	if (r == 0)
		r = set_registers(&t, e);
	if (r == 0)
		r = run(&t, e);
	destroy(&t);
	return r;
}
