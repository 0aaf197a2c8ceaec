#include "engine/kvm/probe.h"
#include <string.h>
#include <linux/kvm.h>
#include "engine/kvm/sys.h"

int kvm_open(struct err *e)
{
	const int fd = kvm_sys->open(KVM_DEVICE);

	return fd >= 0 ? fd : err_set(e, fd, "%s: %s", KVM_DEVICE, strerror(-fd));
}

int kvm_probe(struct err *e)
{
	const int fd = kvm_open(e);

	if (fd >= 0)
		kvm_sys->close(fd);
	return fd < 0 ? fd : 0;
}
