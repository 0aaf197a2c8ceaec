/* Whether this host's KVM can run guests. */
#ifndef ENGINE_KVM_PROBE_H
#define ENGINE_KVM_PROBE_H
#include "base/err.h"

int kvm_open(struct err *e) HV_MUST_CHECK;
int kvm_probe(struct err *e) HV_MUST_CHECK;
#endif
