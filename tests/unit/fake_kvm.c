/* See fake_kvm.h. */
#include "fake_kvm.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "engine/kvm/kvm.h"

#define DEVICE_FD 1000
#define VM_FD 1001
#define VCPU_FD 1002
#define RUN_BYTES 12288

struct fake_kvm fake_kvm;

static int fake_open(const char *path)
{
	if (fake_kvm.open_error != 0 || strcmp(path, KVM_DEVICE) != 0)
		return fake_kvm.open_error != 0 ? fake_kvm.open_error : -ENOENT;
	fake_kvm.live++;
	return DEVICE_FD;
}

static void fake_close(int fd)
{
	(void)fd;
	fake_kvm.live--;
}

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

static struct kvm_run *run_area;

static int run_vcpu(void)
{
	const unsigned n = fake_kvm.runs++;

	if (fake_kvm.on_run == NULL)
		return -EINTR;
	return fake_kvm.on_run(fake_kvm.ctx, run_area, n);
}

static int answer(unsigned long request, unsigned long arg)
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
		fake_kvm.live++;
		return VM_FD;
	case KVM_CREATE_VCPU:
		fake_kvm.live++;
		return VCPU_FD + (int)arg;
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
	case KVM_NMI:
		fake_kvm.nmis++;
		return 0;
	case KVM_INTERRUPT:
		fake_kvm.injected++;
		fake_kvm.last_vector = ((struct kvm_interrupt *)p)->irq;
		return 0;
	case KVM_RUN:
		return run_vcpu();
	default:
		return 0;
	}
}

static int fake_ioctl(int fd, unsigned long request, unsigned long arg)
{
	(void)fd;
	if (request != KVM_RUN)
		fake_kvm.requests++;
	if (request == fake_kvm.fail_request && ++fake_kvm.failures == fake_kvm.fail_at)
		return fake_kvm.fail_error;
	return answer(request, arg);
}

static void *fake_map(int fd, size_t bytes)
{
	(void)fd;
	run_area = calloc(1, bytes);
	fake_kvm.live += run_area != NULL;
	return run_area;
}

static void fake_unmap(void *p, size_t bytes)
{
	(void)bytes;
	fake_kvm.live--;
	free(p);
}

static const struct kvm_sys fake_sys = { fake_open, fake_close, fake_ioctl, fake_map, fake_unmap };

void fake_kvm_begin(void)
{
	fake_kvm = (struct fake_kvm){ .api_version = KVM_API_VERSION, .missing_cap = -1 };
	kvm_sys = &fake_sys;
}

void fake_kvm_end(void)
{
	kvm_device_close();
	kvm_sys = &kvm_sys_linux;
}
