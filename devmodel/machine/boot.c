/* What the boot protocols share, and the copy of the files that a restart loads from; boot.h. */
#include "devmodel/machine/boot.h"
#include <sys/stat.h>
#include <unistd.h>
#include "base/util.h"
#include "cpu/x86_defs.h"

/* Low memory that loaders use; the kernel's own data follow at BOOT_FREE (boot_linux.c ...). */
#define GDT_GPA 0x500ull
#define PAGES_GPA 0x9000ull /* PML4, PDPT, four page directories */

#define STORE_MAGIC 0x31746f6f6265676cull /* "lgeboot1" */
#define KERNEL_MAX HV_MIB(512)
#define INITRD_MAX HV_GIB(2)

int boot_put(const struct boot_target *t, uint64_t gpa, const void *p, uint64_t n, struct err *e)
{
	if (gpa > t->ram_end || n > t->ram_end - gpa || hv_mem_write(t->mem, gpa, p, n) < 0)
		return err_set(
			e, -EINVAL,
			"the kernel wants %llu bytes at %#llx: give more memory (memory.size)",
			(unsigned long long)n, (unsigned long long)gpa);
	return 0;
}

int boot_zero(const struct boot_target *t, uint64_t gpa, uint64_t n, struct err *e)
{
	static const uint8_t zeroes[65536];
	int r = 0;

	if (gpa > t->ram_end || n > t->ram_end - gpa)
		return boot_put(t, gpa, NULL, n, e);
	for (uint64_t part; n > 0 && r == 0; gpa += part, n -= part) {
		part = hv_min_u64(n, sizeof(zeroes));
		r = boot_put(t, gpa, zeroes, part, e);
	}
	return r;
}

/* ---- CPU ---- */

enum { SEL_CODE = 0x10, SEL_DATA = 0x18 };

static struct x86_seg_state flat(uint16_t sel, uint16_t attr)
{
	return (struct x86_seg_state){ .limit = 0xffffffff, .sel = sel, .attr = attr };
}

static int put_pages(const struct boot_target *t, struct err *e)
{
	uint64_t page[512] = { 0 };
	int r;

	page[0] = (PAGES_GPA + 0x1000) | 3;
	r = boot_put(t, PAGES_GPA, page, sizeof(page), e);
	for (unsigned i = 0; i < 4; i++)
		page[i] = (PAGES_GPA + 0x2000 + i * 0x1000) | 3;
	if (r == 0)
		r = boot_put(t, PAGES_GPA + 0x1000, page, sizeof(page), e);
	for (unsigned dir = 0; dir < 4 && r == 0; dir++) {
		for (unsigned i = 0; i < 512; i++)
			page[i] = HV_GIB(dir) + HV_MIB(2) * i + 0x83; /* present, writable, large */
		r = boot_put(t, PAGES_GPA + 0x2000 + dir * 0x1000, page, sizeof(page), e);
	}
	return r;
}

int boot_cpu(const struct boot_target *t, bool long_mode, uint64_t rip, struct x86_state *s,
	     struct err *e)
{
	const uint64_t gdt[4] = { 0, 0, long_mode ? 0x00af9b000000ffff : 0x00cf9b000000ffff,
				  0x00cf93000000ffff };
	int r = boot_put(t, GDT_GPA, gdt, sizeof(gdt), e);

	if (r == 0 && long_mode)
		r = put_pages(t, e);
	if (r < 0)
		return r;
	s->rip = rip;
	s->rflags = X86_FL_FIXED;
	s->gdt_base = GDT_GPA;
	s->gdt_limit = sizeof(gdt) - 1;
	s->idt_base = 0;
	s->idt_limit = 0;
	s->seg[X86_CS] = flat(SEL_CODE, long_mode ? 0xa09b : 0xc09b);
	for (unsigned i = X86_ES; i <= X86_GS; i++)
		if (i != X86_CS)
			s->seg[i] = flat(SEL_DATA, 0xc093);
	s->cpl = 0;
	s->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE;
	if (long_mode) {
		s->cr0 |= X86_CR0_PG;
		s->cr3 = PAGES_GPA;
		s->cr4 = X86_CR4_PAE;
		s->efer = X86_EFER_LME | X86_EFER_LMA;
	}
	return 0;
}

/* ---- initrd ---- */

int boot_place_initrd(const struct boot_files *f, const struct boot_target *t, uint64_t low,
		      uint64_t high, uint64_t *ret_gpa, struct err *e)
{
	uint64_t gpa;

	*ret_gpa = 0;
	if (f->initrd.n == 0)
		return 0;
	high = hv_min_u64(high, t->ram_end) & HV_PAGE_MASK;
	low = hv_align_up(low, HV_PAGE_SIZE);
	if (low > high || f->initrd.n > high - low)
		return err_set(
			e, -EINVAL,
			"the initrd has %llu MiB beside the kernel: give more memory (memory.size)",
			(unsigned long long)(f->initrd.n >> 20));
	gpa = (high - f->initrd.n) & HV_PAGE_MASK;
	if (gpa < low)
		gpa = low;
	*ret_gpa = gpa;
	return boot_put(t, gpa, f->initrd.p, f->initrd.n, e);
}

/* Linux: what every monitor can show, until a driver of the system's chooses. */
struct boot_mode boot_mode_of(const struct boot_files *f)
{
	return boot_is_linux(&f->kernel) ? boot_linux_mode(f->cmdline)
					 : boot_multiboot_mode(&f->kernel);
}

int boot_load(const struct boot_files *f, const struct boot_target *t, struct x86_state *ret_cpu,
	      struct err *e)
{
	x86_state_reset(ret_cpu, true);
	if (boot_is_linux(&f->kernel))
		return boot_linux(f, t, ret_cpu, e);
	if (boot_is_multiboot(&f->kernel))
		return boot_multiboot(f, t, ret_cpu, e);
	return err_set(e, -EINVAL, "it is neither a Linux kernel (bzImage) nor a multiboot kernel");
}

/* ---- the block that keeps the files ---- */

struct store_head {
	uint64_t magic, kernel_bytes, initrd_bytes;
	char cmdline[BOOT_CMDLINE_MAX + 1];
};

static int file_bytes(int fd, const char *name, uint64_t max, uint64_t *ret_n, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(e, -errno, "cannot read '%s': %s", name, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "cannot read '%s': it is not a file", name);
	if (st.st_size <= 0 || (uint64_t)st.st_size > max)
		return err_set(e, -EINVAL, "cannot use '%s': it %s", name,
			       st.st_size == 0 ? "is empty" : "is too large");
	*ret_n = (uint64_t)st.st_size;
	return 0;
}

int boot_read_all(int fd, const char *name, uint8_t *to, uint64_t n, struct err *e)
{
	uint64_t done = 0;

	while (done < n) {
		const ssize_t got = pread(fd, to + done, n - done, (off_t)done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set(e, -errno, "cannot read '%s': %s", name, strerror(errno));
		if (got == 0)
			return err_set(e, -EIO, "cannot read '%s': it became shorter", name);
		done += (uint64_t)got;
	}
	return 0;
}

int boot_store(struct boot *b, struct hv_mem *mem, int kernel_fd, const char *kernel, int initrd_fd,
	       const char *initrd, const char *cmdline, struct err *e)
{
	struct store_head h = { .magic = STORE_MAGIC };
	uint64_t bytes;
	int r;

	if (cmdline != NULL && strlen(cmdline) > BOOT_CMDLINE_MAX)
		return err_set(e, -EINVAL, "the kernel's command line is longer than %d bytes",
			       BOOT_CMDLINE_MAX);
	if (cmdline != NULL)
		memcpy(h.cmdline, cmdline, strlen(cmdline));
	r = file_bytes(kernel_fd, kernel, KERNEL_MAX, &h.kernel_bytes, e);
	if (r == 0 && initrd_fd >= 0)
		r = file_bytes(initrd_fd, initrd, INITRD_MAX, &h.initrd_bytes, e);
	if (r < 0)
		return r;
	bytes = hv_align_up(sizeof(h) + h.kernel_bytes + h.initrd_bytes, HV_PAGE_SIZE);
	r = hv_ram_create(mem, "boot", HV_RAM_ANON, bytes, -1, 0, &b->store, e);
	if (r < 0)
		return r;
	uint8_t *p = hv_ram_host(b->store);
	memcpy(p, &h, sizeof(h));
	r = boot_read_all(kernel_fd, kernel, p + sizeof(h), h.kernel_bytes, e);
	if (r == 0 && h.initrd_bytes > 0)
		r = boot_read_all(initrd_fd, initrd, p + sizeof(h) + h.kernel_bytes, h.initrd_bytes,
				  e);
	return r;
}

int boot_stored(const struct boot *b, struct boot_files *f, struct err *e)
{
	const struct store_head *h = (const void *)hv_ram_host(b->store);
	const uint64_t room = hv_ram_bytes(b->store) - sizeof(*h);

	if (hv_ram_bytes(b->store) < sizeof(*h) || h->magic != STORE_MAGIC ||
	    h->kernel_bytes > room || h->initrd_bytes > room - h->kernel_bytes ||
	    h->cmdline[BOOT_CMDLINE_MAX] != '\0')
		return err_set(e, -EINVAL, "the kernel in the saved state is damaged");
	f->kernel = (struct boot_bytes){ (const uint8_t *)(h + 1), h->kernel_bytes };
	f->initrd = (struct boot_bytes){ f->kernel.p + h->kernel_bytes, h->initrd_bytes };
	f->cmdline = h->cmdline;
	return 0;
}
