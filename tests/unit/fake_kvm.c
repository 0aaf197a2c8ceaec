/* See fake_kvm.h. */
#include "fake_kvm.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "engine/kvm/kvm.h"

#define FIRST_FD 1000
#define MAX_FDS 4096 /* of a test, all in all */
#define RUN_BYTES 12288

struct fake_kvm fake_kvm;

/* ---- descriptors ---- */

enum kind { CLOSED = 0, DEVICE = 1, VM = 2, VCPU = 4 };
static struct {
	enum kind kind;
	struct kvm_run *run; /* of a vCPU that is mapped */
} fds[MAX_FDS];
static unsigned n_fds;

static int new_fd(enum kind kind)
{
	if (n_fds == MAX_FDS)
		return -EMFILE;
	fds[n_fds].kind = kind;
	fake_kvm.live++;
	return FIRST_FD + (int)n_fds++;
}

static enum kind kind_of(int fd)
{
	return fd >= FIRST_FD && fd < FIRST_FD + (int)n_fds ? fds[fd - FIRST_FD].kind : CLOSED;
}

/* What a request may be made of; those that are not here, of a vCPU. */
static unsigned kinds_for(unsigned long request)
{
	switch (request) {
	case KVM_GET_API_VERSION:
	case KVM_GET_VCPU_MMAP_SIZE:
	case KVM_CREATE_VM:
	case KVM_GET_SUPPORTED_CPUID:
		return DEVICE;
	case KVM_CHECK_EXTENSION:
		return DEVICE | VM;
	case KVM_GET_MSRS: /* of the device: those that are features */
		return DEVICE | VCPU;
	case KVM_ENABLE_CAP:
	case KVM_HAS_DEVICE_ATTR:
	case KVM_GET_DEVICE_ATTR:
	case KVM_SET_DEVICE_ATTR:
		return VM | VCPU;
	case KVM_CREATE_VCPU:
	case KVM_SET_TSS_ADDR:
	case KVM_SET_IDENTITY_MAP_ADDR:
	case KVM_SET_USER_MEMORY_REGION:
	case KVM_GET_DIRTY_LOG:
	case KVM_SET_GSI_ROUTING:
	case KVM_SIGNAL_MSI:
	case KVM_IOEVENTFD:
	case KVM_GET_CLOCK:
	case KVM_SET_CLOCK:
		return VM;
	default:
		return VCPU;
	}
}

static int fake_open(const char *path)
{
	if (fake_kvm.open_error != 0 || strcmp(path, KVM_DEVICE) != 0)
		return fake_kvm.open_error != 0 ? fake_kvm.open_error : -ENOENT;
	return new_fd(DEVICE);
}

static void fake_close(int fd)
{
	if (kind_of(fd) == CLOSED) {
		fake_kvm.wrong++;
		return;
	}
	fds[fd - FIRST_FD].kind = CLOSED;
	fake_kvm.live--;
}

/* ---- what it offers ---- */

/* A CPU that offers everything. */
static void offer(struct kvm_cpuid2 *c)
{
	static const uint32_t leaves[][2] = { { 1, 0 },		 { 7, 0 },
					      { 7, 2 },		 { 0xd, 0 },
					      { 0xd, 1 },	 { 0x80000001, 0 },
					      { 0x80000008, 0 }, { 0x80000021, 0 } };

	c->nent = 0;
	for (unsigned i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
		const bool hide = leaves[i][0] == fake_kvm.hidden_leaf;
		const uint32_t *bits = fake_kvm.hidden;
		c->entries[c->nent++] = (struct kvm_cpuid_entry2){
			.function = leaves[i][0],
			.index = leaves[i][1],
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = hide ? ~bits[0] : UINT32_MAX,
			.ebx = hide ? ~bits[1] : UINT32_MAX,
			.ecx = hide ? ~bits[2] : UINT32_MAX,
			.edx = hide ? ~bits[3] : UINT32_MAX,
		};
	}
}

/* A slot is there or not: the kernel lets none be changed but in its flags. */
static int set_slot(const struct kvm_userspace_memory_region *r)
{
	struct kvm_userspace_memory_region *s = &fake_kvm.slot[r->slot % 32];

	if (r->memory_size != 0 && s->memory_size != 0 &&
	    (s->guest_phys_addr != r->guest_phys_addr || s->memory_size != r->memory_size ||
	     s->userspace_addr != r->userspace_addr))
		return -EINVAL;
	*s = *r;
	return 0;
}

static int get_log(const struct kvm_dirty_log *l)
{
	if (!(fake_kvm.slot[l->slot % 32].flags & KVM_MEM_LOG_DIRTY_PAGES))
		return -ENOENT;
	*(uint64_t *)l->dirty_bitmap = fake_kvm.dirty;
	fake_kvm.dirty = 0;
	return 0;
}

static int run_vcpu(int fd)
{
	struct kvm_run *run = fds[fd - FIRST_FD].run;
	const unsigned n = fake_kvm.runs++;

	fake_kvm.wrong += run == NULL;
	if (fake_kvm.on_run == NULL || run == NULL)
		return -EINTR;
	return fake_kvm.on_run(fake_kvm.ctx, run, n);
}

static int answer(int fd, unsigned long request, unsigned long arg)
{
	void *p = (void *)arg;

	switch (request) {
	case KVM_GET_API_VERSION:
		return fake_kvm.api_version;
	case KVM_CHECK_EXTENSION:
		return (int)arg == fake_kvm.missing_cap ? 0 : arg == KVM_CAP_NR_MEMSLOTS ? 509 : 1;
	case KVM_GET_VCPU_MMAP_SIZE:
		return RUN_BYTES;
	case KVM_CREATE_VM:
		return new_fd(VM);
	case KVM_CREATE_VCPU:
		return new_fd(VCPU);
	case KVM_GET_SUPPORTED_CPUID:
		offer(p);
		return 0;
	case KVM_GET_MSRS:
	case KVM_SET_MSRS:
		return (int)((struct kvm_msrs *)p)->nmsrs;
	case KVM_SET_USER_MEMORY_REGION:
		return set_slot(p);
	case KVM_GET_DIRTY_LOG:
		return get_log(p);
	case KVM_GET_TSC_KHZ:
		return fake_kvm.tsc_khz;
	case KVM_SET_SREGS:
		fake_kvm.sregs = *(struct kvm_sregs *)p;
		return 0;
	case KVM_SET_VCPU_EVENTS:
		fake_kvm.events = *(struct kvm_vcpu_events *)p;
		return 0;
	case KVM_NMI:
		fake_kvm.nmis++;
		return 0;
	case KVM_INTERRUPT:
		fake_kvm.injected++;
		fake_kvm.last_vector = ((struct kvm_interrupt *)p)->irq;
		return 0;
	case KVM_RUN:
		return run_vcpu(fd);
	default:
		return 0;
	}
}

static int fake_ioctl(int fd, unsigned long request, unsigned long arg)
{
	if (!(kind_of(fd) & kinds_for(request))) {
		fake_kvm.wrong++;
		return kind_of(fd) == CLOSED ? -EBADF : -ENOTTY;
	}
	if (request != KVM_RUN)
		fake_kvm.requests++;
	if (request == fake_kvm.fail_request && ++fake_kvm.failures == fake_kvm.fail_at)
		return fake_kvm.fail_error;
	return answer(fd, request, arg);
}

static void *fake_map(int fd, size_t bytes)
{
	if (kind_of(fd) != VCPU || bytes > RUN_BYTES) {
		fake_kvm.wrong++;
		errno = EINVAL;
		return NULL;
	}
	if (fake_kvm.map_error != 0) {
		errno = -fake_kvm.map_error;
		return NULL;
	}
	fds[fd - FIRST_FD].run = calloc(1, RUN_BYTES);
	fake_kvm.live++;
	return fds[fd - FIRST_FD].run;
}

static void fake_unmap(void *p, size_t bytes)
{
	for (unsigned i = 0; i < n_fds; i++) {
		if (fds[i].run != p)
			continue;
		fds[i].run = NULL;
		fake_kvm.wrong += bytes > RUN_BYTES;
		fake_kvm.live--;
		free(p);
		return;
	}
	fake_kvm.wrong++;
}

static const struct kvm_sys fake_sys = { fake_open, fake_close, fake_ioctl, fake_map, fake_unmap };

void fake_kvm_begin(void)
{
	memset(fds, 0, sizeof(fds));
	n_fds = 0;
	fake_kvm = (struct fake_kvm){ .api_version = KVM_API_VERSION, .missing_cap = -1 };
	kvm_sys = &fake_sys;
}

void fake_kvm_end(void)
{
	kvm_device_close();
	kvm_sys = &kvm_sys_linux;
}

int fake_kvm_selftest(void *ctx, struct kvm_run *run, unsigned n)
{
	const unsigned without = *(const unsigned *)ctx;
	unsigned step = n;

	step += (without & FAKE_NO_PORT) ? 1 : 0;
	step += (without & FAKE_NO_DEVICE) && step > 0 ? 1 : 0;
	run->exit_reason = step == 0 ? KVM_EXIT_IO : step == 1 ? KVM_EXIT_MMIO : KVM_EXIT_HLT;
	if (step == 0) {
		run->io.port = 0x80;
		run->io.direction = KVM_EXIT_IO_OUT;
	} else if (step == 1) {
		run->mmio.phys_addr = 0x200000;
		run->mmio.len = 4;
		run->mmio.is_write = 1;
	}
	return 0;
}
