/* What the device says of itself; see probe.h. */
#include "engine/kvm/probe.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/util.h"
#include "engine/kvm/sys.h"

#define SOFT "; vm.engine=soft works without"

/* ---- why there is none ---- */

static bool cpu_has_flag(const char *flag)
{
	char line[4096];
	bool found = false;
	FILE *f = fopen("/proc/cpuinfo", "re");

	while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL) {
		const char *at = strncmp(line, "flags", 5) == 0 ? strstr(line, flag) : NULL;
		const size_t n = strlen(flag);
		found = at != NULL && at[-1] == ' ' && (at[n] == ' ' || at[n] == '\n');
	}
	if (f != NULL)
		fclose(f);
	return found;
}

static int no_device(struct err *e)
{
	if (access("/sys/module/kvm", F_OK) == 0 && (cpu_has_flag("vmx") || cpu_has_flag("svm")))
		return err_set(
			e, -ENOTSUP,
			"the kernel's KVM is there, but not %s: is this a container? Give it "
			"the device" SOFT,
			KVM_DEVICE);
	if (cpu_has_flag("vmx"))
		return err_set(
			e, -ENOTSUP,
			"there is no %s: load the module kvm_intel (modprobe kvm_intel)" SOFT,
			KVM_DEVICE);
	if (cpu_has_flag("svm"))
		return err_set(e, -ENOTSUP,
			       "there is no %s: load the module kvm_amd (modprobe kvm_amd)" SOFT,
			       KVM_DEVICE);
	if (cpu_has_flag("hypervisor"))
		return err_set(e, -ENOTSUP,
			       "there is no %s: this computer is itself a virtual machine, whose "
			       "host does not let it have guests" SOFT,
			       KVM_DEVICE);
	return err_set(e, -ENOTSUP,
		       "there is no %s: the processor does not offer virtualization; look for "
		       "\"VT-x\", \"SVM\" or \"Virtualization\" in the firmware's setup" SOFT,
		       KVM_DEVICE);
}

static int open_failed(int r, struct err *e)
{
	switch (r) {
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return no_device(e);
	case -EACCES:
	case -EPERM:
		return err_set(e, r,
			       "you may not use %s: join its group (sudo usermod -aG kvm $USER, "
			       "then log in again)" SOFT,
			       KVM_DEVICE);
	case -EBUSY:
		return err_set(e, r, "%s is in use by another hypervisor: end that first" SOFT,
			       KVM_DEVICE);
	default:
		return err_set(e, r, "cannot open %s: %s" SOFT, KVM_DEVICE, strerror(-r));
	}
}

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
			       "this kernel's KVM has API version %d instead of %d" SOFT, version,
			       KVM_API_VERSION);
	for (size_t i = 0; i < HV_ARRAY_LEN(needed); i++)
		if (kvm_sys->ioctl(kvm, KVM_CHECK_EXTENSION, (unsigned long)needed[i].cap) <= 0)
			return err_set(e, -ENOTSUP,
				       "this kernel's KVM lacks %s, which Linux 4.11 and later "
				       "have: use a newer kernel" SOFT,
				       needed[i].name);
	return 0;
}

int kvm_open(struct err *e)
{
	const int kvm = kvm_sys->open(KVM_DEVICE);

	if (kvm < 0)
		return open_failed(kvm, e);
	const int r = look(kvm, e);
	if (r < 0) {
		kvm_sys->close(kvm);
		return r;
	}
	return kvm;
}
