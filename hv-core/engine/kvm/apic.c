/*
 * The kernel's local APICs: the machine's registers go there and back, messages go to them, and the
 * IOAPIC's pins are told to the kernel as routes, so that it reports the end of level-triggered
 * interrupts (KVM_EXIT_IOAPIC_EOI).
 */
#include "base/log.h"
#include "base/util.h"
#include "cpu/x86_defs.h"
#include "engine/kvm/kvm.h"

static void msi(struct hv_vm *hv, uint64_t addr, uint32_t data)
{
	const struct kvm_msi m = { .address_lo = (uint32_t)addr,
				   .address_hi = (uint32_t)(addr >> 32),
				   .data = data };

	/* 0: no CPU took it, which is the guest's affair */
	(void)kvm_call(kvm_of(hv)->fd, KVM_SIGNAL_MSI, &m);
}

struct routes {
	struct kvm_irq_routing head;
	struct kvm_irq_routing_entry entry[HV_IOAPIC_PINS];
};

static void set_routes(struct kvm_vm *vm)
{
	struct routes r;

	memset(&r, 0, sizeof(r));
	r.head.nr = HV_IOAPIC_PINS;
	for (unsigned i = 0; i < HV_IOAPIC_PINS; i++) {
		r.entry[i].gsi = i;
		r.entry[i].type = KVM_IRQ_ROUTING_MSI;
		r.entry[i].u.msi.address_lo = (uint32_t)vm->route[i].addr;
		r.entry[i].u.msi.address_hi = (uint32_t)(vm->route[i].addr >> 32);
		r.entry[i].u.msi.data = vm->route[i].data;
	}
	const int ret = kvm_call(vm->fd, KVM_SET_GSI_ROUTING, &r);
	if (ret < 0)
		log_msg(LOG_LVL_ERROR, "kvm", "routes of the IOAPIC: %s", strerror(-ret));
}

static void route(struct hv_vm *hv, unsigned pin, uint64_t addr, uint32_t data)
{
	struct kvm_vm *vm = kvm_of(hv);

	pthread_mutex_lock(&vm->routes_lock);
	if (vm->route[pin].addr != addr || vm->route[pin].data != data) {
		vm->route[pin].addr = addr;
		vm->route[pin].data = data;
		set_routes(vm);
	}
	pthread_mutex_unlock(&vm->routes_lock);
}

int kvm_apic_init(struct kvm_vm *vm, struct err *e)
{
	const struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP,
					    .args = { HV_IOAPIC_PINS } };
	const int r = kvm_call(vm->fd, KVM_ENABLE_CAP, &cap);

	if (r < 0)
		return err_set(e, r, "KVM does not give local APICs: %s", strerror(-r));
	set_routes(vm);
	return 0;
}

void kvm_apic_finish(struct kvm_vm *vm)
{
	pthread_mutex_destroy(&vm->routes_lock);
}

/* ---- registers ---- */

static void *reg(struct kvm_lapic_state *k, unsigned i)
{
	return k->regs + 16 * (size_t)i;
}

static void failed(const struct kvm_vcpu *v, int r)
{
	log_msg(LOG_LVL_ERROR, "kvm", "registers of local APIC %u: %s", v->hv->index, strerror(-r));
}

static void take(struct hv_vcpu *hv, const struct hv_lapic_page *p)
{
	struct kvm_vcpu *v = kvm_vcpu_of(hv);
	struct kvm_lapic_state k;

	memset(&k, 0, sizeof(k));
	for (unsigned i = 0; i < HV_ARRAY_LEN(p->reg); i++)
		memcpy(reg(&k, i), &p->reg[i], sizeof(p->reg[i]));
	/* The base says in which form the kernel takes the rest; the timer needs its TSC. */
	int r = kvm_msr_set(v, X86_MSR_APIC_BASE, p->apic_base);
	if (r == 0)
		r = kvm_call(v->fd, KVM_SET_LAPIC, &k);
	if (r >= 0 && cpu_model_has(hv->vm->model, CPU_F_TSC_DEADLINE))
		r = kvm_msr_set(v, X86_MSR_TSC_DEADLINE, p->tsc_deadline);
	if (r < 0)
		failed(v, r);
}

static void give_back(struct hv_vcpu *hv, struct hv_lapic_page *p)
{
	struct kvm_vcpu *v = kvm_vcpu_of(hv);
	struct kvm_lapic_state k;
	uint64_t base;

	memset(&k, 0, sizeof(k));
	int r = kvm_call(v->fd, KVM_GET_LAPIC, &k);
	if (r >= 0)
		r = kvm_msr_get(v, X86_MSR_APIC_BASE, &base);
	if (r < 0) {
		failed(v, r);
		return;
	}
	*p = (struct hv_lapic_page){ .apic_base = base };
	if (cpu_model_has(hv->vm->model, CPU_F_TSC_DEADLINE))
		(void)kvm_msr_get(v, X86_MSR_TSC_DEADLINE, &p->tsc_deadline);
	for (unsigned i = 0; i < HV_ARRAY_LEN(p->reg); i++)
		memcpy(&p->reg[i], reg(&k, i), sizeof(p->reg[i]));
}

const struct hv_engine_apic_ops kvm_apic_ops = {
	.take = take,
	.give_back = give_back,
	.msi = msi,
	.route = route,
};
