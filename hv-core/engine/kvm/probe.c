/* What the device says of itself; see probe.h. */
#include "engine/kvm/probe.h"
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include "base/util.h"
#include "engine/kvm/sys.h"

/* ---- what it can ---- */

static const struct {
	int cap;
	const char *name;
} needed[] = {
	{ KVM_CAP_USER_MEMORY, "USER_MEMORY" },
	{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS, "DESTROY_MEMORY_REGION_WORKS" },
	{ KVM_CAP_READONLY_MEM, "READONLY_MEM" },
	{ KVM_CAP_SET_TSS_ADDR, "SET_TSS_ADDR" },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, "SET_IDENTITY_MAP_ADDR" },
	{ KVM_CAP_SPLIT_IRQCHIP, "SPLIT_IRQCHIP" },
	{ KVM_CAP_IRQ_ROUTING, "IRQ_ROUTING" },
	{ KVM_CAP_SIGNAL_MSI, "SIGNAL_MSI" },
	{ KVM_CAP_IOEVENTFD, "IOEVENTFD" },
	{ KVM_CAP_USER_NMI, "USER_NMI" },
	{ KVM_CAP_EXT_CPUID, "EXT_CPUID" },
	{ KVM_CAP_MP_STATE, "MP_STATE" },
	{ KVM_CAP_VCPU_EVENTS, "VCPU_EVENTS" },
	{ KVM_CAP_DEBUGREGS, "DEBUGREGS" },
	{ KVM_CAP_XSAVE, "XSAVE" },
	{ KVM_CAP_XCRS, "XCRS" },
	{ KVM_CAP_ADJUST_CLOCK, "ADJUST_CLOCK" },
	{ KVM_CAP_GET_TSC_KHZ, "GET_TSC_KHZ" },
	{ KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT" },
};

static int look(int kvm, struct err *e)
{
	const int version = kvm_sys->ioctl(kvm, KVM_GET_API_VERSION, 0);

	if (version != KVM_API_VERSION)
		return err_set(e, -ENOTSUP,
			       "this kernel's KVM has API version %d instead of %d" KVM_SOFT,
			       version, KVM_API_VERSION);
	for (size_t i = 0; i < HV_ARRAY_LEN(needed); i++)
		if (kvm_sys->ioctl(kvm, KVM_CHECK_EXTENSION, (unsigned long)needed[i].cap) <= 0)
			return err_set(e, -ENOTSUP,
				       "this kernel's KVM lacks %s, which Linux 4.11 and later "
				       "have: use a newer kernel" KVM_SOFT,
				       needed[i].name);
	return 0;
}

int kvm_open(struct err *e)
{
	const int kvm = kvm_sys->open(KVM_DEVICE);

	if (kvm < 0) {
		struct kvm_host h;
		kvm_host_look(&h);
		return kvm_host_reason(&h, kvm, e);
	}
	const int r = look(kvm, e);
	if (r < 0) {
		kvm_sys->close(kvm);
		return r;
	}
	return kvm;
}

int kvm_create_vm(int kvm, struct err *e)
{
	int r;

	do
		r = kvm_sys->ioctl(kvm, KVM_CREATE_VM, 0);
	while (r == -EINTR);
	switch (r) {
	case -EBUSY:
		return err_set(
			e, r,
			"KVM cannot create a VM: another hypervisor (VirtualBox, say) has the "
			"processor's virtualization; end its VMs" KVM_SOFT);
	case -EOPNOTSUPP:
		return err_set(
			e, -ENOTSUP,
			"KVM cannot create a VM: the processor's virtualization is off; look "
			"for \"VT-x\" or \"SVM\" in the firmware's setup" KVM_SOFT);
	default:
		return r >= 0 ? r
			      : err_set(e, r, "KVM cannot create a VM: %s" KVM_SOFT, strerror(-r));
	}
}
