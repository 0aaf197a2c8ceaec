/* Whether this host's KVM can run guests, and what to do where it cannot. */
#ifndef ENGINE_KVM_PROBE_H
#define ENGINE_KVM_PROBE_H
#include "base/err.h"

/* Opens the device and looks at what it says of itself. The descriptor is the caller's. -ENOTSUP,
 * -EACCES or the like: e says why it is of no use, and what to do. At once. */
int kvm_open(struct err *e) HV_MUST_CHECK;

/*
 * Runs a small guest of 64 bits: a counted loop, an exception through its IDT, accesses to a port
 * and to a device's memory. A host may open its KVM to everyone and yet not be able to do that (it
 * is itself a guest, of a hypervisor that lets only some guests in). kvm: an open device. At most
 * KVM_SELFTEST_MS, and what it takes to end a thread.
 */
#define KVM_SELFTEST_MS 500
int kvm_selftest(int kvm, struct err *e) HV_MUST_CHECK;
#endif
