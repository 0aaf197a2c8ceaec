/*
 * Where the guest's x87, MMX, SSE and AVX registers are: in the host's own (live) or in
 * x86_state.xsave (parked); and the SIGFPE that an unmasked exception of a guest instruction
 * raises, which becomes the stub's result.
 *
 * XSAVE and XRSTOR with the mask of all three components move them. The instruction and data
 * pointers of the x87 are the host's stubs' and bounce buffers': they are stored as zeros, which is
 * a known deviation, and so is FOP.
 */
#include "engine/soft/fpu.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <ucontext.h>
#include "engine/soft/translate/translate.h"

static uint32_t host_mxcsr;
static uint16_t host_fcw;
static uint64_t host_xstate; /* FPU_XSTATE as far as the host has it */

/* Which stubs the thread may run, and whose translations. */
static __thread uintptr_t stub_lo, stub_hi;
static __thread struct soft_vcpu *vcpu;

__attribute__((no_sanitize("address", "thread"))) void soft_fpu_load_slow(struct soft_vcpu *v)
{
	struct fpu_image *a = &v->fpu->area;

	memcpy(a, v->s.xsave, sizeof(*a));
	/* What XRSTOR refuses may come out of a state file; it was checked there, but a fault here
	 * would be the process' end. */
	a->mxcsr &= FPU_MXCSR_MASK;
	a->xstate_bv &= host_xstate;
	a->xcomp_bv = 0;
	memset(a->reserved1, 0, sizeof(a->reserved1));
	__asm__ volatile("xrstor64 %0" : : "m"(*a), "a"((uint32_t)host_xstate), "d"(0) : "memory");
	v->fpu_live = true;
}

__attribute__((no_sanitize("address", "thread"))) void soft_fpu_park_slow(struct soft_vcpu *v)
{
	struct fpu_image *a = &v->fpu->area;

	__asm__ volatile("xsave64 %0\n\t"
			 "fninit\n\t"
			 "fldcw %1\n\t"
			 "ldmxcsr %2"
			 : "+m"(*a)
			 : "m"(host_fcw), "m"(host_mxcsr), "a"((uint32_t)host_xstate), "d"(0)
			 : "memory");
	if (host_xstate & FPU_AVX)
		__asm__ volatile("vzeroupper" : : : "memory");
	v->fpu_live = false;
	a->fop = 0;
	a->fip = 0;
	a->fdp = 0;
	a->mxcsr_mask = FPU_MXCSR_MASK;
	memcpy(v->s.xsave, a, sizeof(*a));
}

struct fpu_image *soft_fpu_image(struct soft_vcpu *v)
{
	struct fpu_image *m = (struct fpu_image *)(void *)v->s.xsave;

	soft_fpu_park(v);
	m->mxcsr_mask = FPU_MXCSR_MASK;
	if (!(m->xstate_bv & FPU_X87)) {
		memset(m, 0, 24);
		memset(m->st, 0, sizeof(m->st));
		m->fcw = 0x37f;
	}
	if (!(m->xstate_bv & FPU_SSE))
		memset(m->xmm, 0, sizeof(m->xmm));
	if (!(m->xstate_bv & FPU_AVX))
		memset(m->ymmh, 0, sizeof(m->ymmh));
	/* Whether the host calls registers in use that hold what they begin with depends on when it
	 * last had another thread there. */
	if (v->turns)
		m->xstate_bv |= host_xstate;
	return m;
}

void soft_fpu_state_changed(struct soft_vcpu *v)
{
	if (!v->fpu_live)
		return;
	__asm__ volatile("fninit\n\tfldcw %0\n\tldmxcsr %1" : : "m"(host_fcw), "m"(host_mxcsr));
	v->fpu_live = false;
}

/* ---- faults of stubs ---- */

/* As if the translated code had called the interpreter there. */
static bool to_interpreter(greg_t *r)
{
	struct soft_tr_trap t;

	if (vcpu == NULL || vcpu->tr == NULL || !soft_tr_trap(vcpu, (uintptr_t)r[REG_RIP], &t))
		return false;
	r[REG_RSP] = (greg_t)soft_tr_stack_room(vcpu, (uintptr_t)r[REG_RSP]) - 8;
	*(uintptr_t *)r[REG_RSP] = t.next; /* NOLINT(performance-no-int-to-ptr) */
	r[REG_RCX] = t.insn;
	r[REG_RIP] = (greg_t)t.call;
	return true;
}

static void on_sigfpe(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *r = uc->uc_mcontext.gregs;
	uintptr_t pc = (uintptr_t)r[REG_RIP];

	(void)info;
	if (pc >= stub_lo && pc < stub_hi) {
		r[REG_RAX] = r[REG_TRAPNO];
		r[REG_RIP] = (greg_t)stub_lo; /* a RET */
		return;
	}
	if (to_interpreter(r))
		return;
	/* Our own bug: let it happen again without a handler. */
	signal(sig, SIG_DFL);
}

/* Translated code that has filled its stack goes on with an empty one. */
static void on_sigsegv(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *r = uc->uc_mcontext.gregs;
	uintptr_t empty = 0;

	if (vcpu != NULL && vcpu->tr != NULL)
		empty = soft_tr_stack_full(vcpu, (uintptr_t)r[REG_RIP], (uintptr_t)info->si_addr);
	if (empty != 0)
		r[REG_RSP] = (greg_t)empty;
	else
		signal(sig, SIG_DFL); /* our own bug */
}

static int install(int sig, void (*handler)(int, siginfo_t *, void *), struct err *e)
{
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	sigemptyset(&sa.sa_mask);
	if (sigaction(sig, &sa, NULL) < 0)
		return err_set(e, -errno, "cannot catch signal %d: %s", sig, strerror(errno));
	return 0;
}

static int install_handlers(struct err *e)
{
	int r = install(SIGFPE, on_sigfpe, e);

	return r < 0 ? r : install(SIGSEGV, on_sigsegv, e);
}

static int host_probe(struct err *e)
{
	uint32_t a, b = 0, c = 0, d;

	__asm__ volatile("cpuid" : "=a"(a), "+b"(b), "+c"(c), "=d"(d) : "0"(1));
	if (!(c & 1u << 27))
		return err_set(e, -ENOTSUP, "this host's CPU or kernel has no XSAVE");
	__asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
	host_xstate = a & FPU_XSTATE;
	__asm__ volatile("fnstcw %0\n\tstmxcsr %1" : "=m"(host_fcw), "=m"(host_mxcsr));
	host_mxcsr &= ~0x3fu;
	return 0;
}

#define EACH_XMM(M)                                                                                \
	M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11) M(12) M(13) M(14) M(15)
#define FILL(n) __asm__ volatile("movq %0, %%xmm" #n : : "r"(pattern + n));
#define LOOK(n)                                                                                    \
	__asm__ volatile("movq %%xmm" #n ", %0" : "=r"(x));                                        \
	keeps &= x == pattern + n;

/* Nothing says so, but neither the C library nor the kernel's code that tells the time needs them;
 * an instrumented build may. */
void soft_fpu_try_clock(struct soft_vcpu *v, struct hv_clock *clock)
{
	const uint64_t pattern = 0x9e3779b97f4a7c15ull;
	bool keeps = true;
	uint64_t x;

	(void)hv_clock_tsc(clock); /* whatever is done the first time only */
	EACH_XMM(FILL)
	(void)hv_clock_tsc(clock);
	EACH_XMM(LOOK)
	v->fpu->clock_keeps = keeps;
}

int soft_fpu_create(struct soft_vcpu *v, struct err *e)
{
	size_t bytes = hv_align_up(getauxval(AT_MINSIGSTKSZ) + HV_KIB(64), HV_PAGE_SIZE);
	int r = host_probe(e);

	if (r < 0)
		return r;
	v->fpu = aligned_alloc(64, hv_align_up(sizeof(*v->fpu), 64));
	if (v->fpu == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	memset(v->fpu, 0, sizeof(*v->fpu));
	v->fpu->alt_stack = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (v->fpu->alt_stack == MAP_FAILED) {
		v->fpu->alt_stack = NULL;
		soft_fpu_destroy(v);
		return err_set(e, -ENOMEM, "no memory for a signal stack");
	}
	v->fpu->alt_stack_bytes = bytes;
	v->fpu_live = false;
	r = soft_stubs_attach(v, e);
	if (r < 0)
		soft_fpu_destroy(v);
	return r;
}

void soft_fpu_destroy(struct soft_vcpu *v)
{
	if (v->fpu == NULL)
		return;
	if (v->fpu->alt_stack != NULL)
		munmap(v->fpu->alt_stack, v->fpu->alt_stack_bytes);
	free(v->fpu);
	v->fpu = NULL;
}

int soft_fpu_thread_start(struct soft_vcpu *v, struct err *e)
{
	stack_t ss = { .ss_sp = v->fpu->alt_stack, .ss_size = v->fpu->alt_stack_bytes };

	soft_stubs_range(v->vm, &stub_lo, &stub_hi);
	vcpu = v;
	if (sigaltstack(&ss, NULL) < 0)
		return err_set(e, -errno, "sigaltstack: %s", strerror(errno));
	return install_handlers(e);
}
