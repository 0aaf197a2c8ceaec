/*
 * kvmclock: the guest reads the virtual clock by its own time-stamp counter and a page that says
 * how to convert it. Engines call these when the guest writes the MSRs (X86_MSR_KVM_SYSTEM_TIME,
 * X86_MSR_KVM_WALL_CLOCK and the _OLD ones), keep the values in x86_state, and call the first one
 * again for each vCPU after a state was loaded (the host's frequency may differ).
 *
 * In the vCPU's thread, or while the VM is stopped; no domain held.
 */
#ifndef CPU_PVCLOCK_H
#define CPU_PVCLOCK_H
#include <stdint.h>

struct hv_vcpu;

/* msr: the value written; bit 0 clear: off, nothing happens. tsc_offset: what the engine adds to
 * hv_clock_tsc() for this vCPU. An address without RAM is the guest's mistake and is ignored. */
void hv_pvclock_set_system_time(struct hv_vcpu *v, uint64_t msr, uint64_t tsc_offset);
/* msr: the address to which the wall-clock time of the virtual clock's zero is written, once. */
void hv_pvclock_set_wall(struct hv_vcpu *v, uint64_t msr);
/* ns = ((delta << shift) * mul) >> 32, shift to the right if negative; mul uses all its bits. */
void hv_pvclock_scale(uint64_t tsc_hz, uint32_t *ret_mul, int8_t *ret_shift);
#endif
