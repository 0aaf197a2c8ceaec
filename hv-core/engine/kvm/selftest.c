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
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include "base/thread.h"
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
#define LOOPS 1000000u /* at half a microsecond an instruction: the whole time */
#define MAGIC 0x600du
#define STEPS_MAX 100u

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
	/* of the thread; done: any */
	bool port, mmio;
	int result;
	struct err err;
	_Atomic bool done;
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
	int r = kvm_sys->ioctl(kvm, KVM_CREATE_VM, 0);

	if (r < 0)
		return err_set(e, r,
			       r == -EBUSY || r == -EOPNOTSUPP
				       ? "KVM cannot create a VM: another hypervisor has the "
					 "processor's virtualization, or it is off in the firmware"
				       : "KVM cannot create a VM: %s",
			       strerror(-r));
	t->vm = r;
	(void)kvm_sys->ioctl(t->vm, KVM_SET_TSS_ADDR, 0xfeffd000ul);
	t->mem = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t->mem == MAP_FAILED) {
		t->mem = NULL;
		return err_set(e, -ENOMEM, "out of memory");
	}
	fill_memory(t);
	const struct kvm_userspace_memory_region m = { .memory_size = MEM_BYTES,
						       .userspace_addr = (uintptr_t)t->mem };
	r = kvm_call(t->vm, KVM_SET_USER_MEMORY_REGION, &m);
	if (r >= 0)
		r = t->vcpu = kvm_sys->ioctl(t->vm, KVM_CREATE_VCPU, 0);
	if (r < 0)
		return err_set(e, r, "KVM cannot make a CPU with memory: %s", strerror(-r));
	r = kvm_sys->ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	t->run_bytes = r < (int)sizeof(*t->run) ? sizeof(*t->run) : (size_t)r;
	t->run = kvm_sys->map(t->vcpu, t->run_bytes);
	return t->run != NULL
		       ? 0
		       : err_set(e, -errno, "KVM's CPU cannot be shared: %s", strerror(errno));
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
	return r < 0 ? err_set(e, r, "KVM does not take a 64-bit CPU's registers: %s", strerror(-r))
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

/* ---- running it: a thread, since only a signal brings one out of a guest that does not end ----
 */

static int finished(const struct selftest *t, struct err *e)
{
	if (t->port && t->mmio)
		return 0;
	return err_set(e, -ENOTSUP, "its test guest took a wrong way: %s",
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
	case KVM_EXIT_HLT:
		return finished(t, e);
	case KVM_EXIT_INTERNAL_ERROR:
		return err_set(e, -ENOTSUP, "it gave up in a test guest (internal error %u)",
			       run->internal.suberror);
	case KVM_EXIT_FAIL_ENTRY:
		return err_set(e, -ENOTSUP, "the processor refused a test guest (%#llx)",
			       (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	default:
		return err_set(e, -ENOTSUP, "its test guest ended with exit %u", run->exit_reason);
	}
}

/* What stands in the way of running it to its end, or 0; 1: go on. */
static int step(struct selftest *t)
{
	const int r = kvm_sys->ioctl(t->vcpu, KVM_RUN, 0);

	if (r == -EINTR && !__atomic_load_n(&t->run->immediate_exit, __ATOMIC_SEQ_CST))
		return 1; /* somebody else's signal */
	if (r == -EINTR)
		return err_set(&t->err, -ENOTSUP,
			       "it does not run guests but emulates them (%u instructions took "
			       "more than %u ms)",
			       2 * LOOPS, KVM_SELFTEST_MS);
	if (r < 0)
		return err_set(&t->err, r, "it cannot run a test guest: %s", strerror(-r));
	return handle(t, &t->err);
}

static void *run_thread(void *arg)
{
	struct selftest *t = arg;
	int r = kvm_kick_init(&t->err);

	if (r == 0)
		r = 1;
	/* More exits than it makes would be an endless loop, too. */
	for (unsigned n = 0; r == 1 && n < STEPS_MAX; n++)
		r = step(t);
	if (r == 1)
		r = err_set(&t->err, -ENOTSUP, "its test guest does not end");
	t->result = r;
	atomic_store(&t->done, true);
	return NULL;
}

static int run(struct selftest *t, struct err *e)
{
	static const struct timespec moment = { .tv_nsec = 1000000 };
	pthread_t thread;
	int r = hv_thread_start(&thread, "kvm-test", run_thread, t, e);

	if (r < 0)
		return r;
	for (unsigned ms = 0; !atomic_load(&t->done); ms++) {
		nanosleep(&moment, NULL);
		if (ms < KVM_SELFTEST_MS)
			continue;
		__atomic_store_n(&t->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		pthread_kill(thread, KVM_KICK_SIGNAL);
	}
	pthread_join(thread, NULL);
	r = t->result;
	return r < 0 ? err_set(e, r, "%s is there, but %s; vm.engine=soft works without",
			       KVM_DEVICE, t->err.msg)
		     : 0;
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
