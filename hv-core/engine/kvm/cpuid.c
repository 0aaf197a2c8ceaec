/*
 * What the guest's CPUID says: the model, less what the kernel cannot give. Bits that change while
 * the guest runs (OSXSAVE, the local APIC's) are the kernel's to fill in.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/util.h"
#include "cpu/x86_defs.h"
#include "engine/kvm/kvm.h"

#define LEAVES_MAX 512
#define TSC_DEADLINE_BIT (1u << 24)

struct offered {
	uint32_t n, pad;
	struct kvm_cpuid_entry2 entry[LEAVES_MAX];
	bool deadline;
};

static int look(int kvm, struct offered *o, struct err *e)
{
	o->n = LEAVES_MAX;
	const int r = kvm_call(kvm, KVM_GET_SUPPORTED_CPUID, o);

	if (r < 0)
		return err_set(e, r, "KVM does not say which CPU it offers: %s", strerror(-r));
	o->n = (uint32_t)hv_min_u64(o->n, LEAVES_MAX);
	o->deadline = kvm_sys->ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	return 0;
}

/* cpu_cpuid_fn */
static void offered_cpuid(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
	const struct offered *o = ctx;

	memset(r, 0, 4 * sizeof(*r));
	for (uint32_t i = 0; i < o->n; i++) {
		const struct kvm_cpuid_entry2 *k = &o->entry[i];
		if (k->function != leaf ||
		    ((k->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) && k->index != subleaf))
			continue;
		r[0] = k->eax;
		r[1] = k->ebx;
		r[2] = k->ecx;
		r[3] = k->edx;
	}
	if (leaf == 1 && o->deadline)
		r[2] |= TSC_DEADLINE_BIT;
}

int kvm_fit_model(struct cpu_model *m, bool all, struct err *e)
{
	auto_free struct offered *o = calloc(1, sizeof(*o));
	struct one {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} cap = { .head = { .nmsrs = 1 }, .entry = { .index = X86_MSR_ARCH_CAPABILITIES } };

	if (o == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	const int kvm = kvm_device(e);
	if (kvm < 0)
		return kvm;
	int r = look(kvm, o, e);
	if (kvm_call(kvm, KVM_GET_MSRS, &cap) != 1)
		cap.entry.data = 0;
	if (r == 0)
		r = cpu_model_fit(m, offered_cpuid, o, all, e);
	if (r < 0)
		return r == -ENOTSUP ? err_prefix(e, "this host's KVM") : r;
	m->arch_capabilities &= cap.entry.data;
	return 0;
}

struct shown {
	uint32_t n, pad;
	struct kvm_cpuid_entry2 entry[CPU_MODEL_MAX_LEAVES];
};

int kvm_cpuid_set(struct kvm_vcpu *v, struct err *e)
{
	const struct cpu_model *m = v->hv->vm->model;
	auto_free struct shown *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < m->n_leaves; i++) {
		const struct cpu_leaf *l = &m->leaves[i];
		struct kvm_cpuid_entry2 *k = &s->entry[s->n++];
		uint32_t r[4];
		cpu_model_cpuid(m, v->hv->index, 0, 1, 0, true, l->leaf, l->subleaf, r);
		*k = (struct kvm_cpuid_entry2){
			.function = l->leaf,
			.index = l->subleaf,
			.flags = l->any_subleaf ? 0 : KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = r[0],
			.ebx = r[1],
			.ecx = r[2],
			.edx = r[3],
		};
	}
	const int r = kvm_call(v->fd, KVM_SET_CPUID2, s);
	if (r < 0)
		return err_set(e, r, "KVM does not take CPU model %s: %s", m->name, strerror(-r));
	/* A kernel without it shows none: the guest then takes the CPU for an unprotected one. */
	(void)kvm_msr_set(v, X86_MSR_ARCH_CAPABILITIES, m->arch_capabilities);
	return 0;
}
