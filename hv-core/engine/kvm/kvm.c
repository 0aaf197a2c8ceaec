/* The engine that runs the guest by the host's KVM: what a VM and a vCPU are made of. See kvm.h. */
#include "engine/kvm/kvm.h"
#include <stdlib.h>
#include "base/util.h"
#include "engine/kvm/probe.h"

/* Three pages somewhere below 4 GiB that Intel's processors need for real mode, and one more. */
#define TSS_ADDR 0xfeffd000ul
#define IDENTITY_ADDR 0xfeffc000ull

/* ---- the device ---- */

static int device = -1;

int kvm_device(struct err *e)
{
	if (device < 0)
		device = kvm_open(e);
	return device;
}

void kvm_device_close(void)
{
	if (device >= 0)
		kvm_sys->close(device);
	device = -1;
}

static int probe(struct err *e)
{
	const int kvm = kvm_device(e);

	return kvm < 0 ? kvm : 0;
}

static int selftest(struct err *e)
{
	const int kvm = kvm_device(e);

	return kvm < 0 ? kvm : kvm_selftest(kvm, e);
}

/* ---- a VM ---- */

static int check_options(const struct hv_vm *hv, struct err *e)
{
	if (hv->opt.deterministic || hv->opt.trace)
		return err_set(e, -ENOTSUP,
			       "KVM does not follow single instructions (vm.engine=soft does)");
	return 0;
}

static int create_fd(int kvm, struct kvm_vm *vm, struct err *e)
{
	struct err why;
	int r = kvm_sys->ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	if (r < (int)sizeof(struct kvm_run))
		return err_set(e, r < 0 ? r : -EINVAL, "KVM does not say how large a vCPU is");
	vm->run_bytes = (size_t)r;
	r = kvm_create_vm(kvm, &why);
	if (r < 0) /* for whom wants a VM now, one that another has is none */
		return err_set(e, r == -EBUSY ? -ENOTSUP : r, "%s", why.msg);
	vm->fd = r;
	return 0;
}

static int set_up(struct kvm_vm *vm, struct err *e)
{
	const uint64_t identity = IDENTITY_ADDR;
	int r = kvm_sys->ioctl(vm->fd, KVM_SET_TSS_ADDR, TSS_ADDR);

	if (r >= 0)
		r = kvm_call(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	if (r < 0)
		return err_set(e, r, "KVM does not take its pages for real mode: %s", strerror(-r));
	r = kvm_apic_init(vm, e);
	return r == 0 ? kvm_slots_init(vm, e) : r;
}

static void destroy_vm(struct kvm_vm *vm)
{
	kvm_slots_finish(vm);
	kvm_apic_finish(vm);
	pthread_cond_destroy(&vm->gate);
	pthread_mutex_destroy(&vm->gate_lock);
	if (vm->fd >= 0)
		kvm_sys->close(vm->fd);
	free(vm);
}

static int vm_create(struct hv_vm *hv, void **ret_priv, struct err *e)
{
	int r = check_options(hv, e);
	const int kvm = r == 0 ? kvm_device(e) : r;

	if (kvm < 0)
		return kvm;
	struct kvm_vm *vm = calloc(1, sizeof(*vm));
	if (vm == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	vm->hv = hv;
	vm->fd = -1;
	pthread_mutex_init(&vm->gate_lock, NULL);
	pthread_cond_init(&vm->gate, NULL);
	pthread_mutex_init(&vm->slots_lock, NULL);
	pthread_mutex_init(&vm->routes_lock, NULL);
	r = create_fd(kvm, vm, e);
	if (r == 0)
		r = set_up(vm, e);
	if (r < 0) {
		destroy_vm(vm);
		return r;
	}
	*ret_priv = vm;
	return 0;
}

static void vm_destroy(struct hv_vm *hv)
{
	if (hv->engine_priv != NULL)
		destroy_vm(kvm_of(hv));
}

static void vm_start(struct hv_vm *hv)
{
	kvm_clocks_start(kvm_of(hv));
}

static void vm_stop(struct hv_vm *hv)
{
	kvm_clocks_stop(kvm_of(hv));
}

/* ---- a vCPU ---- */

static int fill(struct kvm_vcpu *v, struct err *e)
{
	const struct kvm_device_attr offset = { .group = KVM_VCPU_TSC_CTRL,
						.attr = KVM_VCPU_TSC_OFFSET };
	int r = kvm_sys->ioctl(v->vm->fd, KVM_CREATE_VCPU, v->hv->index);

	if (r < 0)
		return err_set(e, r, "KVM cannot create CPU %u: %s", v->hv->index, strerror(-r));
	v->fd = r;
	v->run = kvm_sys->map(v->fd, v->vm->run_bytes);
	if (v->run == NULL)
		return err_set(e, -errno, "cannot share CPU %u with KVM: %s", v->hv->index,
			       strerror(errno));
	v->vm->tsc_offset_attr = kvm_call(v->fd, KVM_HAS_DEVICE_ATTR, &offset) >= 0;
	r = kvm_tsc_hz_set(v, e);
	return r == 0 ? kvm_cpuid_set(v, e) : r;
}

static void destroy_vcpu(struct kvm_vcpu *v)
{
	if (v->run != NULL)
		kvm_sys->unmap(v->run, v->vm->run_bytes);
	if (v->fd >= 0)
		kvm_sys->close(v->fd);
	free(v);
}

static int vcpu_create(struct hv_vcpu *hv, void **ret_priv, struct err *e)
{
	struct kvm_vcpu *v = calloc(1, sizeof(*v));

	if (v == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	v->hv = hv;
	v->vm = kvm_of(hv->vm);
	v->fd = v->given_vector = -1;
	const int r = fill(v, e);
	if (r < 0) {
		destroy_vcpu(v);
		return r;
	}
	*ret_priv = v;
	return 0;
}

static void vcpu_destroy(struct hv_vcpu *hv)
{
	if (hv->engine_priv != NULL)
		destroy_vcpu(kvm_vcpu_of(hv));
	hv->engine_priv = NULL;
}

/* ---- for debuggers and statistics ---- */

#define DR7_ENABLED(n) (1ull << (2 * (n)))
#define DR7_KIND(n, rw, len) ((uint64_t)((rw) | (len) << 2) << (16 + 4 * (n)))

static bool watch_kind(const struct hv_debug *d, unsigned i, unsigned n, uint64_t *dr7)
{
	const uint64_t len = d->watches[i].len;
	const unsigned len_bits = len == 1 ? 0 : len == 2 ? 1 : len == 8 ? 2 : 3;

	if ((len != 1 && len != 2 && len != 4 && len != 8) || d->watches[i].addr % len != 0)
		return false;
	*dr7 |= DR7_ENABLED(n) | DR7_KIND(n, d->watches[i].on_read ? 3u : 1u, len_bits);
	return true;
}

/* The processor's own breakpoints: the guest cannot see them, and there are four. */
static int debug_set(struct hv_vcpu *hv, const struct hv_debug *d, struct err *e)
{
	struct kvm_vcpu *v = kvm_vcpu_of(hv);
	struct kvm_guest_debug g = { 0 };
	uint64_t dr7 = 0;
	unsigned n = 0;

	if (d->n_breaks + d->n_watches > 4)
		return err_set(e, -ENOTSUP, "KVM has four breakpoints and watchpoints in all");
	for (unsigned i = 0; i < d->n_breaks; i++, n++) {
		g.arch.debugreg[n] = d->breaks[i];
		dr7 |= DR7_ENABLED(n);
	}
	for (unsigned i = 0; i < d->n_watches; i++, n++) {
		g.arch.debugreg[n] = d->watches[i].addr;
		if (!watch_kind(d, i, n, &dr7))
			return err_set(e, -ENOTSUP,
				       "KVM watches 1, 2, 4 or 8 bytes that are aligned");
	}
	if (n > 0 || d->single_step)
		g.control = KVM_GUESTDBG_ENABLE;
	if (n > 0)
		g.control |= KVM_GUESTDBG_USE_HW_BP;
	if (d->single_step)
		g.control |= KVM_GUESTDBG_SINGLESTEP;
	g.arch.debugreg[7] = dr7;
	const int r = kvm_call(v->fd, KVM_SET_GUEST_DEBUG, &g);
	if (r < 0)
		return err_set(e, r, "KVM does not take breakpoints: %s", strerror(-r));
	v->debug = *d;
	return 0;
}

static bool translate(struct hv_vcpu *hv, uint64_t linear, uint64_t *ret_gpa)
{
	struct kvm_translation t = { .linear_address = linear };

	if (kvm_call(kvm_vcpu_of(hv)->fd, KVM_TRANSLATE, &t) < 0 || !t.valid)
		return false;
	*ret_gpa = t.physical_address;
	return true;
}

static void stats(struct hv_vcpu *hv, struct hv_engine_stats *ret_stats)
{
	*ret_stats = kvm_vcpu_of(hv)->stats;
}

const struct hv_engine_ops hv_engine_kvm = {
	.name = "kvm",
	.probe = probe,
	.selftest = selftest,
	.fit_model = kvm_fit_model,
	.vm_create = vm_create,
	.vm_destroy = vm_destroy,
	.vcpu_create = vcpu_create,
	.vcpu_destroy = vcpu_destroy,
	.vcpu_thread_start = kvm_thread_start,
	.vcpu_run = kvm_run,
	.vm_start = vm_start,
	.vm_stop = vm_stop,
	.apic = &kvm_apic_ops,
	.rings_bells = true,
	.vcpu_kick = kvm_kick,
	.state_get = kvm_state_get,
	.state_set = kvm_state_set,
	.debug_set = debug_set,
	.translate = translate,
	.stats = stats,
};
