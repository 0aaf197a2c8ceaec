/*
 * What must be equal after a case, and the written list of what need not be: flags that the
 * architecture leaves undefined and that differ, x87 pointers, which the engine stores as zeros.
 */
#include "oracle.h"
#include <cpuid.h>
#include <stdarg.h>
#include <string.h>
#include "cpu/x86_defs.h"

#define TASK_END 0x7ffffffff000ull /* of a Linux program's addresses */

/* Flags the manuals leave undefined after the instruction and that the engine does differently. */
static const struct {
	ZydisMnemonic m;
	uint32_t flags;
} undefined_flags[] = {
	{ ZYDIS_MNEMONIC_AAA, X86_FL_OF | X86_FL_SF | X86_FL_ZF | X86_FL_PF },
	{ ZYDIS_MNEMONIC_AAS, X86_FL_OF | X86_FL_SF | X86_FL_ZF | X86_FL_PF },
	{ ZYDIS_MNEMONIC_AAM, X86_FL_OF | X86_FL_AF | X86_FL_CF },
	{ ZYDIS_MNEMONIC_AAD, X86_FL_OF | X86_FL_AF | X86_FL_CF },
	{ ZYDIS_MNEMONIC_DAA, X86_FL_OF },
	{ ZYDIS_MNEMONIC_DAS, X86_FL_OF },
};

/*
 * What Intel's CPUs do otherwise than AMD's, after which the engine was made, where the manuals
 * leave it open: which of two faults of an instruction comes first, what the one that comes leaves
 * behind in registers and memory that are written anew when it is restarted, RF, and whether
 * vectors are checked for alignment (#AC).
 */
enum {
	I_FAULT = 1,
	I_FLAGS = 2,
	I_MEMORY = 4,
	I_MXCSR = 8,
	I_EITHER = 16,
	I_ALL = 32,
	I_HALVES = 64,
	I_HOST = 128 /* always */
};
static const struct {
	ZydisMnemonic m;
	unsigned what;
} intel[] = {
	{ ZYDIS_MNEMONIC_CALL, I_FAULT },
	{ ZYDIS_MNEMONIC_MOVQ, I_FAULT },
	{ ZYDIS_MNEMONIC_MOVD, I_FAULT },
	{ ZYDIS_MNEMONIC_MOVNTQ, I_FAULT },
	{ ZYDIS_MNEMONIC_FST,
	  I_EITHER }, /* with an exception unmasked: it does not come to the store */
	{ ZYDIS_MNEMONIC_FSTP, I_EITHER },
	{ ZYDIS_MNEMONIC_BOUND, I_FAULT }, /* each limit when it has been read */
	{ ZYDIS_MNEMONIC_FIST, I_EITHER },
	{ ZYDIS_MNEMONIC_FISTP, I_EITHER },
	{ ZYDIS_MNEMONIC_FISTTP, I_EITHER },
	{ ZYDIS_MNEMONIC_FBSTP, I_EITHER },
	{ ZYDIS_MNEMONIC_PAUSE, I_ALL }, /* with REX.B: it is xchg there */
	{ ZYDIS_MNEMONIC_XSAVE, I_FAULT },
	{ ZYDIS_MNEMONIC_XSAVE64, I_FAULT },
	{ ZYDIS_MNEMONIC_XSAVEC, I_FAULT },
	{ ZYDIS_MNEMONIC_XSAVEC64, I_FAULT },
	{ ZYDIS_MNEMONIC_XSAVEOPT, I_FAULT },
	{ ZYDIS_MNEMONIC_XSAVEOPT64, I_FAULT },
	{ ZYDIS_MNEMONIC_MASKMOVQ, I_FAULT },
	{ ZYDIS_MNEMONIC_MASKMOVDQU, I_FAULT },
	{ ZYDIS_MNEMONIC_VCVTPS2PH,
	  I_FAULT | I_MXCSR }, /* it stores, and then has no flags on AMD's */
};

static bool intel_host(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(0, &a, &b, &c, &d) && c == 0x6c65746e; /* "ntel" */
}

static unsigned as_intel(const struct test_case *t)
{
	static int host = -1;

	if (host < 0)
		host = intel_host();
	if (!host)
		return 0;
	if (t->z.meta.category == ZYDIS_CATEGORY_STRINGOP)
		return I_HOST | I_FAULT | I_FLAGS | (t->z.address_width == 32 ? I_HALVES : 0);
	/* Gathers, masked moves; what stores half floats has no flags on AMD's. */
	if (t->z.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return I_HOST | I_FAULT | (t->z.mnemonic == ZYDIS_MNEMONIC_VCVTPS2PH ? I_MXCSR : 0);
	for (unsigned k = 0; k < sizeof(intel) / sizeof(intel[0]); k++)
		if (intel[k].m == t->z.mnemonic)
			return I_HOST | intel[k].what;
	return I_HOST | (t->z.meta.isa_ext == ZYDIS_ISA_EXT_BASE ? 0 : I_FAULT);
}

static bool is_end(unsigned vector)
{
	return vector == X86_EXC_DB || vector == X86_EXC_BP;
}

bool is_alike_everywhere(const struct test_case *t)
{
	return !(as_intel(t) & (I_EITHER | I_ALL | I_HALVES | I_MXCSR | I_MEMORY));
}

/* Is there nothing to compare? */
static bool is_open(unsigned open, const struct test_case *t, const struct outcome *n,
		    const struct outcome *g)
{
	const bool n_end = is_end(n->vector), g_end = is_end(g->vector);
	const bool limit = g->vector == X86_EXC_GP || g->vector == X86_EXC_SS;

	if (open & I_ALL)
		return true;
	/* Over the end of 4 GiB: beyond the limit, or at the beginning again. */
	if (t->mode != MODE_64 && (n->vector == X86_EXC_PF || n->vector == X86_EXC_AC) && limit &&
	    (open & I_HOST))
		return true;
	return ((open & I_FAULT) && !n_end && !g_end) || ((open & I_EITHER) && (!n_end || !g_end));
}

static uint64_t flags_mask(const struct test_case *t)
{
	uint64_t mask = X86_FL_STATUS | X86_FL_DF | X86_FL_TF | X86_FL_AC | X86_FL_IF | X86_FL_RF |
			X86_FL_NT | X86_FL_IOPL | X86_FL_VM | X86_FL_ID;

	for (unsigned k = 0; k < sizeof(undefined_flags) / sizeof(undefined_flags[0]); k++)
		if (undefined_flags[k].m == t->z.mnemonic)
			mask &= ~(uint64_t)undefined_flags[k].flags;
	return mask;
}

struct diff {
	char *buf;
	size_t room, n;
	int found;
};

static void __attribute__((format(printf, 2, 3))) differ(struct diff *d, const char *fmt, ...)
{
	va_list ap;

	d->found = 1;
	if (d->n + 1 >= d->room)
		return;
	va_start(ap, fmt);
	d->n += (size_t)vsnprintf(d->buf + d->n, d->room - d->n, fmt, ap);
	va_end(ap);
	if (d->n >= d->room)
		d->n = d->room - 1;
}

static void diff64(struct diff *d, const char *what, uint64_t n, uint64_t g)
{
	if (n != g)
		differ(d, " %s host %#llx lodge %#llx", what, (unsigned long long)n,
		       (unsigned long long)g);
}

static void diff_bytes(struct diff *d, const char *what, const uint8_t *n, const uint8_t *g,
		       unsigned len)
{
	if (memcmp(n, g, len) == 0)
		return;
	differ(d, " %s host ", what);
	for (unsigned k = len; k-- > 0;)
		differ(d, "%02x", n[k]);
	differ(d, " lodge ");
	for (unsigned k = len; k-- > 0;)
		differ(d, "%02x", g[k]);
}

static void diff_fpu(struct diff *d, const struct fpu *n, const struct fpu *g, unsigned regs,
		     bool any_mxcsr)
{
	char name[16];

	diff64(d, "fcw", n->fcw, g->fcw);
	diff64(d, "fsw", n->fsw, g->fsw);
	diff64(d, "ftw", n->ftw, g->ftw);
	if (!any_mxcsr)
		diff64(d, "mxcsr", n->mxcsr, g->mxcsr);
	for (unsigned k = 0; k < 8; k++) {
		snprintf(name, sizeof(name), "st%u", k);
		diff_bytes(d, name, n->st[k], g->st[k], 10);
	}
	for (unsigned k = 0; k < regs; k++) {
		snprintf(name, sizeof(name), "xmm%u", k);
		diff_bytes(d, name, n->xmm[k], g->xmm[k], 16);
		snprintf(name, sizeof(name), "ymmh%u", k);
		diff_bytes(d, name, n->ymmh[k], g->ymmh[k], 16);
	}
}

/* The misaligned-SSE bit of MXCSR_MASK, which the model does not have. */
static void clear_misaligned(uint8_t *mask)
{
	if (memcmp(mask, &(uint32_t){ 0x2ffff }, 4) == 0)
		mask[2] = 0;
}

/* In the host's memory: what the engine stores as zeros, and its MXCSR mask. */
static void mask_pointers(const struct test_case *t)
{
	uint8_t *p = native_data() + (t->target - DATA_BASE);
	bool small = t->z.operand_width == 16;

	switch (t->z.mnemonic) {
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FNSAVE:
		memset(p + (small ? 6 : 12), 0, small ? 8 : 14);
		break;
	case ZYDIS_MNEMONIC_XSAVE:
	case ZYDIS_MNEMONIC_XSAVE64:
	case ZYDIS_MNEMONIC_XSAVEOPT:
	case ZYDIS_MNEMONIC_XSAVEOPT64:
	case ZYDIS_MNEMONIC_XSAVEC:
	case ZYDIS_MNEMONIC_XSAVEC64:
		if (t->in.gpr[X86_RAX] & 1)
			memset(p + 6, 0, 18);
		clear_misaligned(p + 28);
		break;
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
		memset(p + 6, 0, 18);
		clear_misaligned(p + 28);
		break;
	default:
		break;
	}
}

static void diff_memory(struct diff *d)
{
	const uint8_t *n = native_data(), *g = guest_data();

	if (memcmp(n, g, DATA_BYTES) == 0)
		return;
	for (unsigned k = 0; k < DATA_BYTES; k++)
		if (n[k] != g[k]) {
			differ(d, " memory");
			diff_bytes(d, "", n + (k & ~15u), g + (k & ~15u), 16);
			differ(d, " at %#x", DATA_BASE + (k & ~15u));
			break;
		}
	memcpy(guest_data(), n, DATA_BYTES);
}

/* Many accesses of one instruction: in which order the host makes them is its own affair,
 * and so is which of two bad pages it reports. */
static bool many_accesses(const struct test_case *t)
{
	for (unsigned k = 0; k < t->z.operand_count; k++)
		if (t->op[k].type == ZYDIS_OPERAND_TYPE_MEMORY && t->op[k].size > 80 &&
		    (t->z.meta.isa_ext == ZYDIS_ISA_EXT_X87 || t->op[k].size > 256))
			return true;
	return false;
}

int compare(const struct test_case *t, const struct outcome *n, const struct outcome *g, char *buf,
	    size_t room)
{
	static const char *const names[] = {
		"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
		"r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"
	};
	struct diff d = { .buf = buf, .room = room };
	uint64_t mask = t->mode == MODE_64 ? ~0ull : 0xffffffff;

	const unsigned open = as_intel(t);

	buf[0] = '\0';
	if (is_open(open, t, n, g)) {
		memcpy(guest_data(), native_data(), DATA_BYTES);
		return 0;
	}
	if (open & I_HALVES)
		mask = 0xffffffff;
	if (is_end(n->vector) && t->target != 0)
		mask_pointers(t);
	diff64(&d, "vector", n->vector, g->vector);
	if (!is_end(n->vector) && n->vector == g->vector) {
		bool many = n->vector == X86_EXC_PF && many_accesses(t);

		/* The host's kernel is mapped in the upper half, this guest's is not all there;
		 * and Linux calls all from the last page of the lower half on present. */
		if (!many)
			diff64(&d, "error", n->error & (n->cr2 >= TASK_END ? ~X86_PF_P : ~0u),
			       g->error);
		if (n->vector == X86_EXC_PF && !many)
			diff64(&d, "cr2", n->cr2, g->cr2);
	}
	for (unsigned k = 0; k < (t->mode == MODE_64 ? 16u : 8u); k++)
		diff64(&d, names[k], n->cpu.gpr[k] & mask, g->cpu.gpr[k] & mask);
	diff64(&d, "rip", n->cpu.rip & mask, g->cpu.rip & mask);
	mask = flags_mask(t);
	if (open & I_FLAGS) /* between two elements, too */
		mask &= ~(uint64_t)(X86_FL_RF | (t->step ? X86_FL_STATUS : 0));
	diff64(&d, "rflags", n->cpu.rflags & mask, g->cpu.rflags & mask);
	diff_fpu(&d, &n->cpu.fpu, &g->cpu.fpu, t->mode == MODE_64 ? 16 : 8, open & I_MXCSR);
	if (open & I_MEMORY)
		memcpy(guest_data(), native_data(), DATA_BYTES);
	diff_memory(&d);
	return d.found;
}
