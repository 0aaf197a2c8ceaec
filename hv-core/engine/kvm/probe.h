/* Whether this host's KVM can run guests, and what to do where it cannot. */
#ifndef ENGINE_KVM_PROBE_H
#define ENGINE_KVM_PROBE_H
#include <stdbool.h>
#include "base/err.h"

/* The end of each reason: there is always a way to go on. */
#define KVM_SOFT "; vm.engine=soft works without"

/* ---- host.c ---- */

/* What of a host says why its KVM cannot be opened. */
struct kvm_host {
	bool vmx, svm;	 /* what the kernel lets be seen of the processor: Intel's, AMD's */
	bool is_guest;	 /* it is itself a virtual machine */
	bool registered; /* its kernel has the device, be there a node for it or not */
	bool is_member;	 /* the user is in that group, but not yet when this session began */
	char group[32];	 /* whom the node is for beside its owner; "": nobody */
};
void kvm_host_look(struct kvm_host *ret_host);
/* Why open() failed with r, -errno; it returns what kvm_open() is to return. */
int kvm_host_reason(const struct kvm_host *h, int r, struct err *e);

/* ---- probe.c ---- */

/* Opens the device and looks at what it says of itself. The descriptor is the caller's. -ENOTSUP,
 * -EACCES or the like: e says why it is of no use, and what to do. At once. */
int kvm_open(struct err *e) HV_MUST_CHECK;

/* A VM's descriptor, the caller's. -EBUSY: another hypervisor is in the way, just now. */
int kvm_create_vm(int kvm, struct err *e) HV_MUST_CHECK;

/* ---- selftest.c ---- */

/*
 * Runs a small guest of 64 bits: a counted loop, an exception through its IDT, accesses to a port
 * and to a device's memory. A host may open its KVM to everyone and yet not be able to do that (it
 * is itself a guest, of a hypervisor that lets only some guests in). kvm: an open device.
 *
 * -ENOTSUP: it cannot, and will not until the host or its modules are started anew. Another error:
 * it could not be found out now. It takes KVM_SELFTEST_CPU_MS of a processor, and on a host that
 * has none to spare at most KVM_SELFTEST_MS. In the calling thread, whose handling of SIGUSR1 is
 * its own meanwhile.
 */
#define KVM_SELFTEST_CPU_MS 300
#define KVM_SELFTEST_MS 5000
int kvm_selftest(int kvm, struct err *e) HV_MUST_CHECK;
#endif
