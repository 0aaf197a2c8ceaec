/*
 * The guest's clocks. While it runs, its TSC and kvmclock are the kernel's, made from the host's
 * TSC; hv_clock goes by the host's monotonic time, and the two drift apart a little. So the kernel
 * is told where hv_clock is when the guest starts, and when it stops each vCPU's offset is noted,
 * and hv_clock goes as far as the guest has seen kvmclock go. All vCPUs go by one look at the
 * clocks: TSCs that were equal stay so.
 */
#include "base/util.h"
#include "cpu/x86_defs.h"
#include "engine/kvm/kvm.h"

#define TOLERANCE_PPM 250

int kvm_tsc_hz_set(struct kvm_vcpu *v, struct err *e)
{
	const uint64_t want = v->hv->vm->model->tsc_hz / 1000;
	const int have = kvm_sys->ioctl(v->fd, KVM_GET_TSC_KHZ, 0);
	uint64_t off;

	if (have <= 0)
		return err_set(e, -ENOTSUP,
			       "this host's TSC is not steady: KVM cannot give a "
			       "guest one (vm.engine=soft can)");
	off = (uint64_t)have > want ? (uint64_t)have - want : want - (uint64_t)have;
	if (off * 1000000 <= want * TOLERANCE_PPM)
		return 0;
	if (kvm_sys->ioctl(v->fd, KVM_SET_TSC_KHZ, want) >= 0)
		return 0;
	return err_set(e, -ENOTSUP,
		       "the machine's TSC runs at %llu kHz, this host's at %d kHz, and its "
		       "processor cannot convert (vm.engine=soft can)",
		       (unsigned long long)want, have);
}

/* ---- a vCPU's TSC offset: what it adds to the host's TSC at the guest's frequency ---- */

static int offset_call(struct kvm_vcpu *v, unsigned long request, uint64_t *offset)
{
	const struct kvm_device_attr a = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)offset,
	};

	return kvm_call(v->fd, request, &a);
}

/* One look at both clocks: what a vCPU's TSC would be with offset 0, and hv_clock's TSC then. */
static bool look(struct kvm_vm *vm, uint64_t *ret_raw, uint64_t *ret_clock)
{
	struct kvm_vcpu *v = kvm_vcpu_of(vm->hv->vcpu[0]);
	uint64_t before, after, tsc, offset;

	before = hv_clock_tsc(vm->hv->clock);
	if (kvm_msr_get(v, X86_MSR_TSC, &tsc) < 0)
		return false;
	after = hv_clock_tsc(vm->hv->clock);
	if (offset_call(v, KVM_GET_DEVICE_ATTR, &offset) < 0)
		return false;
	*ret_raw = tsc - offset;
	*ret_clock = before + (after - before) / 2;
	return true;
}

/* A kernel that cannot set offsets (before 5.16): it makes TSCs equal that are set to about equal
 * values within a second. */
static void set_by_value(struct kvm_vm *vm)
{
	for (unsigned i = 0; i < vm->hv->n_vcpus; i++) {
		struct kvm_vcpu *v = kvm_vcpu_of(vm->hv->vcpu[i]);
		(void)kvm_msr_set(v, X86_MSR_TSC, hv_clock_tsc(vm->hv->clock) + v->tsc_offset);
	}
}

static void note_by_value(struct kvm_vm *vm)
{
	for (unsigned i = 0; i < vm->hv->n_vcpus; i++) {
		struct kvm_vcpu *v = kvm_vcpu_of(vm->hv->vcpu[i]);
		uint64_t tsc;
		if (kvm_msr_get(v, X86_MSR_TSC, &tsc) == 0)
			v->tsc_offset = tsc - hv_clock_tsc(vm->hv->clock);
	}
}

static void start_tscs(struct kvm_vm *vm)
{
	uint64_t raw, clock;

	if (!vm->tsc_offset_attr || !look(vm, &raw, &clock)) {
		set_by_value(vm);
		return;
	}
	for (unsigned i = 0; i < vm->hv->n_vcpus; i++) {
		struct kvm_vcpu *v = kvm_vcpu_of(vm->hv->vcpu[i]);
		uint64_t offset = clock + v->tsc_offset - raw;
		(void)offset_call(v, KVM_SET_DEVICE_ATTR, &offset);
	}
}

static void stop_tscs(struct kvm_vm *vm)
{
	uint64_t raw, clock, offset;

	if (!vm->tsc_offset_attr || !look(vm, &raw, &clock)) {
		note_by_value(vm);
		return;
	}
	for (unsigned i = 0; i < vm->hv->n_vcpus; i++) {
		struct kvm_vcpu *v = kvm_vcpu_of(vm->hv->vcpu[i]);
		if (offset_call(v, KVM_GET_DEVICE_ATTR, &offset) >= 0)
			v->tsc_offset = offset + raw - clock;
	}
}

/* ---- all clocks ---- */

/* The kernel writes the guest's kvmclock pages anew when it sets its clock. */
void kvm_clocks_start(struct kvm_vm *vm)
{
	start_tscs(vm);
	const struct kvm_clock_data c = { .clock = hv_clock_now_ns(vm->hv->clock) };
	(void)kvm_call(vm->fd, KVM_SET_CLOCK, &c);
}

void kvm_clocks_stop(struct kvm_vm *vm)
{
	struct kvm_clock_data c = { 0 };

	if (kvm_call(vm->fd, KVM_GET_CLOCK, &c) >= 0)
		hv_clock_catch_up(vm->hv->clock, c.clock);
	stop_tscs(vm);
	for (unsigned i = 0; i < vm->hv->n_vcpus; i++)
		atomic_store(&vm->hv->vcpu[i]->tsc_offset,
			     kvm_vcpu_of(vm->hv->vcpu[i])->tsc_offset);
}
