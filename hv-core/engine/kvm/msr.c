/*
 * Model-specific registers of x86_state. The kernel knows which there are: one that it lacks reads
 * as 0, and cannot be anything else. The TSC is in time.c, the local APIC's are in apic.c.
 */
#include <stddef.h>
#include "base/util.h"
#include "cpu/x86_defs.h"
#include "engine/kvm/kvm.h"

struct one_msr {
	struct kvm_msrs head;
	struct kvm_msr_entry entry;
};

static int call_one(struct kvm_vcpu *v, unsigned long request, struct one_msr *m)
{
	m->head.nmsrs = 1;
	const int n = kvm_call(v->fd, request, m);

	return n < 0 ? n : n == 1 ? 0 : -EINVAL;
}

int kvm_msr_get(struct kvm_vcpu *v, uint32_t msr, uint64_t *ret_value)
{
	struct one_msr m = { .entry = { .index = msr } };
	const int r = call_one(v, KVM_GET_MSRS, &m);

	if (r == 0)
		*ret_value = m.entry.data;
	return r;
}

int kvm_msr_set(struct kvm_vcpu *v, uint32_t msr, uint64_t value)
{
	struct one_msr m = { .entry = { .index = msr, .data = value } };

	return call_one(v, KVM_SET_MSRS, &m);
}

/* ---- x86_state's ---- */

#define ROW(msr, member)                                                                           \
	{                                                                                          \
		msr, offsetof(struct x86_state, member)                                            \
	}
#define VAR(i)                                                                                     \
	ROW(X86_MSR_MTRR_PHYSBASE0 + 2 * (i), mtrr_var_base[i]),                                   \
		ROW(X86_MSR_MTRR_PHYSBASE0 + 2 * (i) + 1, mtrr_var_mask[i])

/* In the order of setting. kvmclock's come last: the kernel then writes to the guest's pages. */
static const struct {
	uint32_t msr;
	uint32_t off;
} rows[] = {
	ROW(X86_MSR_STAR, star),
	ROW(X86_MSR_LSTAR, lstar),
	ROW(X86_MSR_CSTAR, cstar),
	ROW(X86_MSR_SFMASK, sfmask),
	ROW(X86_MSR_KERNEL_GS_BASE, kernel_gs_base),
	ROW(X86_MSR_SYSENTER_CS, sysenter_cs),
	ROW(X86_MSR_SYSENTER_ESP, sysenter_esp),
	ROW(X86_MSR_SYSENTER_EIP, sysenter_eip),
	ROW(X86_MSR_TSC_ADJUST, tsc_adjust),
	ROW(X86_MSR_TSC_AUX, tsc_aux),
	ROW(X86_MSR_PAT, pat),
	ROW(X86_MSR_MISC_ENABLE, misc_enable),
	ROW(X86_MSR_DEBUGCTL, debugctl),
	ROW(X86_MSR_SPEC_CTRL, spec_ctrl),
	ROW(X86_MSR_MTRR_FIX64K_00000, mtrr_fixed[0]),
	ROW(X86_MSR_MTRR_FIX16K_80000, mtrr_fixed[1]),
	ROW(X86_MSR_MTRR_FIX16K_80000 + 1, mtrr_fixed[2]),
	ROW(X86_MSR_MTRR_FIX4K_C0000, mtrr_fixed[3]),
	ROW(X86_MSR_MTRR_FIX4K_C0000 + 1, mtrr_fixed[4]),
	ROW(X86_MSR_MTRR_FIX4K_C0000 + 2, mtrr_fixed[5]),
	ROW(X86_MSR_MTRR_FIX4K_C0000 + 3, mtrr_fixed[6]),
	ROW(X86_MSR_MTRR_FIX4K_C0000 + 4, mtrr_fixed[7]),
	ROW(X86_MSR_MTRR_FIX4K_C0000 + 5, mtrr_fixed[8]),
	ROW(X86_MSR_MTRR_FIX4K_C0000 + 6, mtrr_fixed[9]),
	ROW(X86_MSR_MTRR_FIX4K_C0000 + 7, mtrr_fixed[10]),
	VAR(0),
	VAR(1),
	VAR(2),
	VAR(3),
	VAR(4),
	VAR(5),
	VAR(6),
	VAR(7),
	ROW(X86_MSR_MTRR_DEF_TYPE, mtrr_def_type),
	ROW(X86_MSR_MCG_STATUS, mcg_status),
	ROW(X86_MSR_MCG_CTL, mcg_ctl),
	ROW(X86_MSR_KVM_WALL_CLOCK, kvmclock_wall),
	ROW(X86_MSR_KVM_SYSTEM_TIME, kvmclock_system_time),
};
#define N_ROWS HV_ARRAY_LEN(rows)

struct all_msrs {
	struct kvm_msrs head;
	struct kvm_msr_entry entry[N_ROWS];
};

/* entry[first] and so on up to n; returns the first that the kernel refused. */
static unsigned call_from(struct kvm_vcpu *v, unsigned long request, struct all_msrs *all,
			  unsigned first, unsigned n)
{
	struct all_msrs some;

	some.head = (struct kvm_msrs){ .nmsrs = n - first };
	memcpy(some.entry, all->entry + first, (n - first) * sizeof(some.entry[0]));
	const int taken = kvm_call(v->fd, request, &some);
	if (taken <= 0)
		return first;
	const unsigned done = (unsigned)hv_min_u64((unsigned)taken, n - first);
	memcpy(all->entry + first, some.entry, done * sizeof(some.entry[0]));
	return first + done;
}

static void read_all(struct kvm_vcpu *v, struct all_msrs *all)
{
	unsigned i = 0;

	for (unsigned k = 0; k < N_ROWS; k++)
		all->entry[k] = (struct kvm_msr_entry){ .index = rows[k].msr };
	while ((i = call_from(v, KVM_GET_MSRS, all, i, N_ROWS)) < N_ROWS)
		all->entry[i++].data = 0;
}

void kvm_msrs_get(struct kvm_vcpu *v, struct x86_state *s)
{
	struct all_msrs all;

	read_all(v, &all);
	for (unsigned k = 0; k < N_ROWS; k++)
		memcpy((uint8_t *)s + rows[k].off, &all.entry[k].data, sizeof(uint64_t));
}

/* Those that are right already are left alone: the kernel logs each that it does not know. */
int kvm_msrs_set(struct kvm_vcpu *v, const struct x86_state *s, struct err *e)
{
	struct all_msrs all;
	unsigned n = 0, i = 0;

	read_all(v, &all);
	for (unsigned k = 0; k < N_ROWS; k++) {
		uint64_t value;
		memcpy(&value, (const uint8_t *)s + rows[k].off, sizeof(value));
		if (all.entry[k].data != value)
			all.entry[n++] = (struct kvm_msr_entry){ .index = rows[k].msr,
								 .data = value };
	}
	if (n > 0)
		i = call_from(v, KVM_SET_MSRS, &all, 0, n);
	if (i < n)
		return err_set(e, -ENOTSUP,
			       "this host's KVM cannot hold %#llx in the CPU's MSR %#x",
			       (unsigned long long)all.entry[i].data, all.entry[i].index);
	return 0;
}
