/*
 * Bells: registers of devices that the guest writes to say "look". The kernel signals an eventfd
 * and stays in the guest (ioeventfd), so that a request to a virtio device costs no way out.
 */
#include "base/log.h"
#include "base/util.h"
#include "engine/kvm/kvm.h"

static int call(struct kvm_vm *vm, const struct kvm_bell *b, uint32_t flags)
{
	/* len 0: writes of any size, and the quickest way through the kernel */
	const struct kvm_ioeventfd k = { .addr = b->gpa, .fd = b->fd, .flags = flags };

	return kvm_call(vm->fd, KVM_IOEVENTFD, &k);
}

static unsigned bells_of(const struct hv_mem_slice *p, struct kvm_bell *ret_bells, unsigned room)
{
	const struct hv_bells *b = &p->r->bells;
	unsigned n = 0;

	for (uint32_t i = 0; i < b->n && n < room; i++) {
		const uint64_t off = b->off + (uint64_t)i * b->step;
		if (off >= p->r_off && off - p->r_off < p->bytes)
			ret_bells[n++] = (struct kvm_bell){ p->gpa + (off - p->r_off), b->fd };
	}
	return n;
}

static unsigned wanted_bells(struct kvm_vm *vm, struct kvm_bell *ret_bells)
{
	uint64_t gpa = 0;
	unsigned n = 0;

	do {
		struct hv_mem_slice p;
		hv_mem_find(vm->hv->mem, gpa, &p);
		if (p.kind == HV_MAP_IO && p.r != NULL)
			n += bells_of(&p, ret_bells + n, KVM_BELLS_MAX - n);
		gpa = p.bytes == UINT64_MAX ? 0 : p.gpa + p.bytes;
	} while (gpa != 0);
	return n;
}

static bool is_there(const struct kvm_bell *bells, unsigned n, const struct kvm_bell *b)
{
	for (unsigned i = 0; i < n; i++)
		if (bells[i].gpa == b->gpa && bells[i].fd == b->fd)
			return true;
	return false;
}

/* One that the kernel does not take is written to by the bus, as ever. */
void kvm_bells_follow(struct kvm_vm *vm)
{
	struct kvm_bell wanted[KVM_BELLS_MAX];
	const unsigned n = wanted_bells(vm, wanted);
	unsigned kept = 0;

	for (unsigned i = 0; i < vm->n_bells; i++)
		if (is_there(wanted, n, &vm->bell[i]))
			vm->bell[kept++] = vm->bell[i];
		else
			(void)call(vm, &vm->bell[i], KVM_IOEVENTFD_FLAG_DEASSIGN);
	vm->n_bells = kept;
	for (unsigned i = 0; i < n && vm->n_bells < KVM_BELLS_MAX; i++) {
		if (is_there(vm->bell, vm->n_bells, &wanted[i]))
			continue;
		const int r = call(vm, &wanted[i], 0);
		if (r < 0)
			log_msg(LOG_LVL_WARN, "kvm", "ioeventfd at %#llx: %s",
				(unsigned long long)wanted[i].gpa, strerror(-r));
		else
			vm->bell[vm->n_bells++] = wanted[i];
	}
}
