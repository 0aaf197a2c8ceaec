/* The local APIC's way up to a real vCPU; tests have a CPU of their own instead. */
#include "devmodel/chipset/lapic.h"

static void set_intr(void *cpu, bool level)
{
	hv_vcpu_set_intr(cpu, level);
}

static void nmi(void *cpu)
{
	hv_vcpu_post_nmi(cpu);
}

static void init(void *cpu)
{
	hv_vcpu_post_init(cpu);
}

static void sipi(void *cpu, uint8_t vector)
{
	hv_vcpu_post_sipi(cpu, vector);
}

/* A deadline from before the clock began is past, too. */
static uint64_t tsc_to_ns(void *cpu, uint64_t tsc)
{
	struct hv_vcpu *v = cpu;
	const uint64_t of_clock = tsc - atomic_load(&v->tsc_offset);

	return of_clock > INT64_MAX ? 0 : hv_clock_tsc_to_ns(v->vm->clock, of_clock);
}

const struct lapic_cpu_ops lapic_vcpu_ops = {
	.set_intr = set_intr,
	.nmi = nmi,
	.init = init,
	.sipi = sipi,
	.tsc_to_ns = tsc_to_ns,
};
