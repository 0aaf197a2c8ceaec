/*
 * The host CPU's side: the state is put into a signal frame, and returning from the signal loads
 * all of it at once, with the trap flag set or an INT3 behind the instruction; the signal that ends
 * the instruction shows the state that it left. 32-bit code runs behind the kernel's compatibility
 * selector, 16-bit code in segments of a local descriptor table.
 */
#include "oracle.h"
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define XSTATE_MAGIC 0x46505853u
#define SW_BYTES_AT 464
/* What is not done by then has no end. */
#define NATIVE_US 20000
#define ENGINE_US 20000000

static const int greg_of[16] = {
	[X86_RAX] = REG_RAX, [X86_RCX] = REG_RCX, [X86_RDX] = REG_RDX, [X86_RBX] = REG_RBX,
	[X86_RSP] = REG_RSP, [X86_RBP] = REG_RBP, [X86_RSI] = REG_RSI, [X86_RDI] = REG_RDI,
	[X86_R8] = REG_R8,   [X86_R9] = REG_R9,	  [X86_R10] = REG_R10, [X86_R11] = REG_R11,
	[X86_R12] = REG_R12, [X86_R13] = REG_R13, [X86_R14] = REG_R14, [X86_R15] = REG_R15,
};

static const struct test_case *now;
static struct outcome *result;
static bool started;
static volatile bool in_engine; /* what the alarm watches now */
static gregset_t home;		/* of native_run, to go back to */
static uint8_t home_fpu[512 + 64 + 256] __attribute__((aligned(64)));
static uint64_t noted;
static bool int1_stays; /* the hypervisor below reports INT1 at its own address, not behind it */

static void load_fpu(uint8_t *area, const struct fpu *f)
{
	memcpy(area, f, SW_BYTES_AT);
	memcpy(area + 512, &(uint64_t[8]){ 7 }, 64);
	memcpy(area + 576, f->ymmh, sizeof(f->ymmh));
}

static void save_fpu(const uint8_t *area, struct fpu *f)
{
	memcpy(f, area, sizeof(*f));
	f->fop = 0;
	f->fip = f->fdp = 0;
	if (!(f->bv & 4))
		memset(f->ymmh, 0, sizeof(f->ymmh));
	if (!(f->bv & 2))
		memset(f->xmm, 0, sizeof(f->xmm));
	if (!(f->bv & 1)) {
		memset(f, 0, 24);
		f->fcw = 0x37f;
		memset(f->st, 0, sizeof(f->st));
	}
}

static unsigned data_selector(const struct test_case *t)
{
	if (!t->based)
		return SEL_DATA;
	return t->mode == MODE_16 ? SEL_DATA16 : SEL_DATA32;
}

static unsigned long long selectors(const struct test_case *t)
{
	static const unsigned cs[] = { SEL_CODE64, SEL_CODE32, SEL_CODE16 };

	return cs[t->mode] | (unsigned long long)data_selector(t) << 48;
}

static void begin(ucontext_t *uc)
{
	greg_t *r = uc->uc_mcontext.gregs;
	uint8_t *fp = (uint8_t *)uc->uc_mcontext.fpregs;

	memcpy(home, r, sizeof(home));
	memcpy(home_fpu, fp, SW_BYTES_AT);
	memcpy(home_fpu + 512, fp + 512, sizeof(home_fpu) - 512);
	for (unsigned k = 0; k < 16; k++)
		r[greg_of[k]] = (greg_t)now->in.gpr[k];
	r[REG_RIP] = (greg_t)now->in.rip;
	r[REG_EFL] = (greg_t)(now->in.rflags | (now->step ? 0x100 : 0));
	r[REG_CSGSFS] = (greg_t)selectors(now);
	load_fpu(fp, &now->in.fpu);
}

/* The C library's, without which nothing here works: code that overwrites itself may have loaded
 * FS. A signal's return does not bring it back. */
static unsigned long fs_base;

static void restore_fs(void)
{
	long r;

	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "a"(SYS_arch_prctl), "D"(ARCH_SET_FS), "S"(fs_base)
			 : "rcx", "r11", "memory");
}

static void end(ucontext_t *uc)
{
	greg_t *r = uc->uc_mcontext.gregs;
	uint8_t *fp = (uint8_t *)uc->uc_mcontext.fpregs;

	if (now->block != NULL)
		restore_fs();
	for (unsigned k = 0; k < 16; k++)
		result->cpu.gpr[k] = (uint64_t)r[greg_of[k]];
	result->cpu.rip = (uint64_t)r[REG_RIP];
	result->cpu.rflags = (uint64_t)r[REG_EFL];
	result->vector = (unsigned)r[REG_TRAPNO];
	result->error = (uint32_t)r[REG_ERR];
	result->cr2 = (uint64_t)r[REG_CR2];
	save_fpu(fp, &result->cpu.fpu);
	memcpy(r, home, sizeof(home));
	r[REG_RIP] += 2; /* over the UD2 */
	memcpy(fp, home_fpu, SW_BYTES_AT);
	memcpy(fp + 512, home_fpu + 512, sizeof(home_fpu) - 512);
	uc->uc_flags |= 4; /* UC_STRICT_RESTORE_SS */
	now = NULL;
}

/* The engine's: its code raises SIGFPE and SIGSEGV, too. */
static struct sigaction engines[65];

/* In a handler, whatever the guest code had. */
static void no_alignment_checks(void)
{
	__asm__ volatile("pushfq; andl $~0x40000, (%%rsp); popfq" : : : "memory", "cc");
}

static void watch(long us)
{
	const struct itimerval t = { .it_value = { us / 1000000, us % 1000000 } };

	setitimer(ITIMER_REAL, &t, NULL);
}

/* Whatever is still running: a block of the host's own ends here. On a busy machine the alarm may
 * come just before the block begins, or when it has just ended. */
static void on_alarm(int sig, siginfo_t *info, void *context)
{
	static char text[] = "oracle: seed 00000000000000000000 does not end in the engine\n";
	uint64_t x = noted;

	(void)sig;
	(void)info;
	no_alignment_checks();
	if (now != NULL && started) {
		end(context);
		result->vector = VECTOR_TIMEOUT;
		started = false;
		return;
	}
	if (now != NULL)
		watch(NATIVE_US);
	if (!in_engine)
		return;
	for (unsigned k = 0; k < 20; k++, x /= 10)
		text[32 - k] = (char)('0' + x % 10);
	if (write(1, text, sizeof(text) - 1) > 0)
		_exit(1);
}

/* To where a CPU would be. In the code pages; where it is not an INT1, RIP stays. */
static void pass_int1(greg_t *r)
{
	const uint64_t base = now->mode == MODE_16 ? CODE_BASE : 0;
	uint64_t at = base + (uint64_t)r[REG_RIP] - CODE_BASE;
	const uint8_t *code = (const uint8_t *)(uintptr_t)CODE_BASE;

	while (at < CODE_PAGES * 4096 - 1 && code[at] != 0 &&
	       (strchr("\x26\x2e\x36\x3e\x64\x65\x66\x67\xf2\xf3", code[at]) != NULL ||
		(now->mode == MODE_64 && code[at] >> 4 == 4)))
		at++;
	if (at < CODE_PAGES * 4096 && code[at] == 0xf1)
		r[REG_RIP] = (greg_t)(at + 1 + CODE_BASE - base);
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	no_alignment_checks();
	if (now == NULL) {
		if (engines[sig].sa_flags & SA_SIGINFO)
			engines[sig].sa_sigaction(sig, info, context);
		else
			signal(sig, SIG_DFL);
		return;
	}
	if (started && int1_stays && sig == SIGTRAP && info->si_code == TRAP_BRKPT)
		pass_int1(uc->uc_mcontext.gregs);
	if (!started)
		begin(uc);
	else
		end(uc);
	started = !started;
}

void native_run(const struct test_case *t, struct outcome *out)
{
	uint16_t ds = (uint16_t)data_selector(t);

	result = out;
	in_engine = false;
	memset((void *)(uintptr_t)CODE_BASE, 0xcc, CODE_PAGES * 4096);
	memcpy((void *)(uintptr_t)(CODE_BASE + t->code_off), t->block != NULL ? t->block : t->bytes,
	       t->block != NULL ? t->block_len : t->len);
	if (t->block != NULL)
		watch(NATIVE_US);
	/* Code that overwrites itself may have loaded GS. */
	if (t->block != NULL)
		syscall(SYS_arch_prctl, ARCH_SET_GS, (unsigned long)GS_BASE_64);
	__asm__ volatile("mov %0, %%ds\n\tmov %0, %%es" : : "r"(ds));
	/* NT, ID, AC of an earlier POPF: a signal frame does not carry them all. */
	__asm__ volatile("pushfq; andl $~0x244000, (%%rsp); popfq" : : : "memory", "cc");
	now = t;
	__asm__ volatile("ud2" : : : "memory", "cc");
	if (t->block == NULL)
		return;
	watch(ENGINE_US);
	in_engine = true;
}

uint8_t *native_data(void)
{
	return (uint8_t *)(uintptr_t)DATA_BASE;
}

bool native_code_changed(const struct test_case *t)
{
	static uint8_t expected[CODE_PAGES * 4096];

	memset(expected, 0xcc, sizeof(expected));
	memcpy(expected + t->code_off, t->block, t->block_len);
	return memcmp((void *)(uintptr_t)CODE_BASE, expected, sizeof(expected)) != 0;
}

uint8_t *native_counters(void)
{
	return (uint8_t *)(uintptr_t)COUNTER_BASE;
}

void native_note(uint64_t seed)
{
	noted = seed;
}

void native_read_only(const uint8_t page[4096])
{
	mprotect((void *)(uintptr_t)RO_BASE, 4096, PROT_READ | PROT_WRITE);
	memcpy((void *)(uintptr_t)RO_BASE, page, 4096);
	mprotect((void *)(uintptr_t)RO_BASE, 4096, PROT_READ);
}

static int map_at(uint32_t base, size_t bytes, int prot)
{
	void *p = mmap((void *)(uintptr_t)base, bytes, prot,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE, -1, 0);

	if (p == (void *)(uintptr_t)base)
		return 0;
	fprintf(stderr, "oracle: cannot map %#x: %s\n", base, strerror(errno));
	return -1;
}

static int add_ldt(unsigned entry, uint32_t base, unsigned contents, unsigned wide)
{
	struct user_desc d = { .entry_number = entry,
			       .base_addr = base,
			       .limit = 0xffff,
			       .contents = contents,
			       .seg_32bit = wide,
			       .useable = 1 };

	if (syscall(SYS_modify_ldt, 1, &d, sizeof(d)) == 0)
		return 0;
	perror("oracle: modify_ldt");
	return -1;
}

static void learn_int1(void)
{
	const struct test_case t = { .mode = MODE_64,
				     .bytes = { 0xf1 },
				     .len = 1,
				     .in = { .rip = CODE_BASE, .fpu = { .fcw = 0x37f } } };
	struct outcome out;

	native_run(&t, &out);
	int1_stays = out.vector == 1 && out.cpu.rip == CODE_BASE;
}

int native_start(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
	syscall(SYS_arch_prctl, ARCH_GET_FS, &fs_base);
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	static uint8_t stack[256 << 10];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) };

	sigfillset(&sa.sa_mask);
	if (sigaltstack(&ss, NULL) < 0)
		return -1;
	for (unsigned k = 0; k < sizeof(signals) / sizeof(signals[0]); k++)
		if (sigaction(signals[k], &sa, &engines[signals[k]]) < 0)
			return -1;
	sa.sa_sigaction = on_alarm;
	if (sigaction(SIGALRM, &sa, NULL) < 0)
		return -1;
	if (map_at(CODE_BASE, CODE_PAGES * 4096, PROT_READ | PROT_WRITE | PROT_EXEC) < 0 ||
	    map_at(COUNTER_BASE, 4096, PROT_READ | PROT_WRITE) < 0 ||
	    map_at(DATA_BASE, DATA_BYTES + 4096, PROT_READ | PROT_WRITE) < 0)
		return -1;
	if (add_ldt(0, CODE_BASE, 2, 0) < 0 || add_ldt(1, DATA_BASE, 0, 0) < 0 ||
	    add_ldt(2, DATA_BASE, 0, 1) < 0)
		return -1;
	if (syscall(SYS_arch_prctl, ARCH_SET_GS, (unsigned long)GS_BASE_64) < 0)
		return -1;
	learn_int1();
	return 0;
}
