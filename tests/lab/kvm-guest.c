/* kvm-guest: runs a small 64-bit guest under this host's /dev/kvm and compares, exit by exit, what
 * it does with what it must do: port I/O, its own page tables and a change of CR3, MMIO, exceptions
 * through its IDT, HLT. Ends with status 0, or with 1 and a line that says what was wrong. It uses
 * nothing of Lodge: it says whether KVM works here at all.
 *
 * Interface: Linux, Documentation/virt/kvm/api.rst. Guest state: Intel SDM volume 3, 4.5
 * (paging), 6.14 (64-bit IDT), 9.8.5 (IA-32e mode).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY 0x800000ULL
/* Guest-physical addresses. */
#define CODE 0x1000ULL
#define GDT 0x2000ULL
#define IDT 0x3000ULL
#define STACK_TOP 0x9000ULL
#define TABLES_1 0x10000ULL
#define TABLES_2 0x20000ULL
#define SEEN_1 0x200000ULL /* what the guest sees at WINDOW by its first tables */
#define SEEN_2 0x400000ULL /* and by its second ones */
/* Guest-virtual addresses. */
#define WINDOW 0x600000ULL
#define DEVICE 0xd0000000ULL /* outside memory, at the same physical address */

#define LARGE_PAGE 0x200000ULL
#define PTE_PRESENT_WRITE 3ULL
#define PTE_LARGE 0x80ULL
#define PORT_OUTS 1000 /* exits in a row */

extern const uint8_t guest_start[], guest_end[], guest_breakpoint[], guest_undefined[];
__asm__(".pushsection .rodata\n"
	"guest_start:\n"
	"	mov $0x41, %al\n"
	"	out %al, $0xe9\n"
	"	in $0xea, %eax\n"
	"	inc %eax\n"
	"	out %eax, $0xea\n"
	/* The same address by two trees of tables. */
	"	mov $0x600000, %rbx\n"
	"	mov (%rbx), %eax\n"
	"	out %eax, $0xea\n"
	"	mov $0x20000, %ecx\n"
	"	mov %rcx, %cr3\n"
	"	mov (%rbx), %eax\n"
	"	out %eax, $0xea\n"
	/* A device's register. */
	"	mov $0xd0000000, %edi\n"
	"	movl $0x12345678, (%rdi)\n"
	"	mov 8(%rdi), %eax\n"
	"	out %eax, $0xea\n"
	"	movzbl 15(%rdi), %eax\n"
	"	out %eax, $0xea\n"
	/* Exceptions: each handler says its letter. */
	"	int3\n"
	"	ud2\n"
	"	mov $0x5a, %al\n"
	"	out %al, $0xe9\n"
	"	mov $1000, %ecx\n"
	"1:	mov %ecx, %eax\n"
	"	out %eax, $0xeb\n"
	"	loop 1b\n"
	"	hlt\n"
	"guest_breakpoint:\n"
	"	mov $0x42, %al\n"
	"	out %al, $0xe9\n"
	"	iretq\n"
	"guest_undefined:\n"
	"	mov $0x55, %al\n"
	"	out %al, $0xe9\n"
	"	addq $2, (%rsp)\n"
	"	iretq\n"
	"guest_end:\n"
	".popsection\n");

/* One exit: what the guest writes, or gets to read. */
struct step {
	enum { OUT = 1, IN, STORE, LOAD, HLT } what;
	uint64_t where;
	unsigned bytes;
	uint32_t value;
};
static const struct step expected[] = {
	{ OUT, 0xe9, 1, 'A' },
	{ IN, 0xea, 4, 0x10ff },
	{ OUT, 0xea, 4, 0x1100 },
	{ OUT, 0xea, 4, 0x11111111 },
	{ OUT, 0xea, 4, 0x22222222 },
	{ STORE, DEVICE, 4, 0x12345678 },
	{ LOAD, DEVICE + 8, 4, 0xfeedface },
	{ OUT, 0xea, 4, 0xfeedface },
	{ LOAD, DEVICE + 15, 1, 0x99 },
	{ OUT, 0xea, 4, 0x99 },
	{ OUT, 0xe9, 1, 'B' },
	{ OUT, 0xe9, 1, 'U' },
	{ OUT, 0xe9, 1, 'Z' },
};
#define N_EXPECTED (sizeof(expected) / sizeof(expected[0]))

struct guest {
	int kvm, vm, vcpu;
	uint8_t *memory;
	struct kvm_run *run;
};

static int call(int fd, unsigned long request, void *arg, const char *name)
{
	int r = ioctl(fd, request, arg);

	if (r < 0) {
		printf("%s: %s\n", name, strerror(errno));
		exit(1);
	}
	return r;
}
#define CALL(fd, request, arg) call(fd, request, (void *)(uintptr_t)(arg), #request)

static void put64(struct guest *g, uint64_t at, uint64_t value)
{
	memcpy(g->memory + at, &value, 8);
}

static void make_vm(struct guest *g)
{
	struct kvm_userspace_memory_region region = { .memory_size = MEMORY };
	int bytes;

	g->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (g->kvm < 0) {
		printf("/dev/kvm: %s\n", strerror(errno));
		exit(1);
	}
	if (CALL(g->kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
		printf("an unknown version of KVM's interface\n");
		exit(1);
	}
	g->vm = CALL(g->kvm, KVM_CREATE_VM, 0);
	g->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bytes = CALL(g->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	g->vcpu = CALL(g->vm, KVM_CREATE_VCPU, 0);
	g->run = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, g->vcpu, 0);
	if (g->memory == MAP_FAILED || g->run == MAP_FAILED) {
		printf("mmap: %s\n", strerror(errno));
		exit(1);
	}
	region.userspace_addr = (uintptr_t)g->memory;
	CALL(g->vm, KVM_SET_USER_MEMORY_REGION, &region);
}

/* Memory as it is, but at WINDOW what lies at `seen`; and the device. */
static void make_tables(struct guest *g, uint64_t base, uint64_t seen)
{
	uint64_t low = base + 0x2000, high = base + 0x3000;

	put64(g, base, (base + 0x1000) | PTE_PRESENT_WRITE);
	put64(g, base + 0x1000, low | PTE_PRESENT_WRITE);
	put64(g, base + 0x1000 + 3 * 8, high | PTE_PRESENT_WRITE);
	for (uint64_t at = 0; at < WINDOW; at += LARGE_PAGE)
		put64(g, low + at / LARGE_PAGE * 8, at | PTE_LARGE | PTE_PRESENT_WRITE);
	put64(g, low + WINDOW / LARGE_PAGE * 8, seen | PTE_LARGE | PTE_PRESENT_WRITE);
	put64(g, high + DEVICE % (1ULL << 30) / LARGE_PAGE * 8,
	      DEVICE | PTE_LARGE | PTE_PRESENT_WRITE);
}

static void make_gate(struct guest *g, unsigned vector, const uint8_t *handler)
{
	uint64_t at = CODE + (uint64_t)(handler - guest_start);

	/* selector 8, present, a 64-bit interrupt gate */
	put64(g, IDT + vector * 16,
	      (at & 0xffff) | 8ULL << 16 | 0x8e00ULL << 32 | (at >> 16 & 0xffff) << 48);
	put64(g, IDT + vector * 16 + 8, at >> 32);
}

static void fill_memory(struct guest *g)
{
	memcpy(g->memory + CODE, guest_start, (size_t)(guest_end - guest_start));
	put64(g, GDT + 8, 0x00af9b000000ffffULL);  /* code, 64 bits */
	put64(g, GDT + 16, 0x00cf93000000ffffULL); /* data */
	make_gate(g, 3, guest_breakpoint);
	make_gate(g, 6, guest_undefined);
	make_tables(g, TABLES_1, SEEN_1);
	make_tables(g, TABLES_2, SEEN_2);
	put64(g, SEEN_1, 0x11111111);
	put64(g, SEEN_2, 0x22222222);
}

static void set_registers(struct guest *g)
{
	struct kvm_segment code = {
		.limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1
	};
	struct kvm_segment data = {
		.limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1
	};
	struct kvm_regs regs = { .rip = CODE, .rsp = STACK_TOP, .rflags = 2 };
	struct kvm_sregs sregs;

	CALL(g->vcpu, KVM_GET_SREGS, &sregs);
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.gdt = (struct kvm_dtable){ .base = GDT, .limit = 23 };
	sregs.idt = (struct kvm_dtable){ .base = IDT, .limit = 4095 };
	sregs.cr0 = 0x80050033; /* PG AM WP NE ET MP PE */
	sregs.cr3 = TABLES_1;
	sregs.cr4 = 0x20;   /* PAE */
	sregs.efer = 0x500; /* LMA LME */
	CALL(g->vcpu, KVM_SET_SREGS, &sregs);
	CALL(g->vcpu, KVM_SET_REGS, &regs);
}

/* Runs to the next exit; *ret_data is where the value goes that the guest reads. */
static struct step next_exit(struct guest *g, uint8_t **ret_data)
{
	struct kvm_run *run = g->run;
	struct step s = { 0 };

	while (ioctl(g->vcpu, KVM_RUN, 0) < 0)
		if (errno != EINTR) {
			printf("KVM_RUN: %s\n", strerror(errno));
			exit(1);
		}
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		s.what = run->io.direction == KVM_EXIT_IO_OUT ? OUT : IN;
		s.where = run->io.port;
		s.bytes = run->io.size;
		*ret_data = (uint8_t *)run + run->io.data_offset;
		break;
	case KVM_EXIT_MMIO:
		s.what = run->mmio.is_write ? STORE : LOAD;
		s.where = run->mmio.phys_addr;
		s.bytes = run->mmio.len;
		*ret_data = run->mmio.data;
		break;
	case KVM_EXIT_HLT:
		s.what = HLT;
		break;
	default:
		printf("exit reason %u, hardware's %llx\n", run->exit_reason,
		       run->exit_reason == KVM_EXIT_FAIL_ENTRY
			       ? run->fail_entry.hardware_entry_failure_reason
			       : run->hw.hardware_exit_reason);
		exit(1);
	}
	if ((s.what == OUT || s.what == STORE) && s.bytes <= 4)
		memcpy(&s.value, *ret_data, s.bytes);
	return s;
}

static bool one_step(struct guest *g, unsigned n, struct step want)
{
	uint8_t *data = NULL;
	struct step s = next_exit(g, &data);
	bool reads = want.what == IN || want.what == LOAD;

	if (s.what != want.what || s.where != want.where || s.bytes != want.bytes ||
	    (!reads && s.value != want.value)) {
		printf("exit %u: kind %d at %#llx, %u bytes, value %#x; wanted: kind %d at %#llx, "
		       "%u bytes, value %#x\n",
		       n, s.what, (unsigned long long)s.where, s.bytes, s.value, want.what,
		       (unsigned long long)want.where, want.bytes, want.value);
		return false;
	}
	if (reads)
		memcpy(data, &want.value, want.bytes);
	return true;
}

int main(void)
{
	struct guest g = { 0 };
	unsigned n = 0;

	make_vm(&g);
	fill_memory(&g);
	set_registers(&g);
	while (n < N_EXPECTED) {
		if (!one_step(&g, n, expected[n]))
			return 1;
		n++;
	}
	for (uint32_t left = PORT_OUTS; left > 0; left--)
		if (!one_step(&g, n++, (struct step){ OUT, 0xeb, 4, left }))
			return 1;
	if (!one_step(&g, n, (struct step){ .what = HLT }))
		return 1;
	printf("%u exits, each as it must be\n", n + 1);
	return 0;
}
