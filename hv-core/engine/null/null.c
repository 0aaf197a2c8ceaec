/*
 * The null engine: keeps a vCPU's state and runs no instruction. It takes interrupts and NMIs as a
 * CPU would that does nothing in their handlers, so that the vCPU loop, the interrupt controllers
 * and saved states can be tested anywhere.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include "base/util.h"
#include "cpu/vcpu.h"
#include "cpu/x86_defs.h"

struct null_vcpu {
	struct x86_state s;
	_Atomic uint64_t interrupts, halts;
};

static int null_probe(struct err *e)
{
	(void)e;
	return 0;
}

static int null_vm_create(struct hv_vm *vm, void **ret_priv, struct err *e)
{
	(void)vm;
	(void)e;
	*ret_priv = NULL;
	return 0;
}

static void null_vm_destroy(struct hv_vm *vm)
{
	(void)vm;
}

static int null_vcpu_create(struct hv_vcpu *v, void **ret_priv, struct err *e)
{
	(void)v;
	*ret_priv = calloc(1, sizeof(struct null_vcpu));
	return *ret_priv != NULL ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static void null_vcpu_destroy(struct hv_vcpu *v)
{
	free(v->engine_priv);
	v->engine_priv = NULL;
}

static void take_interrupts(struct hv_vcpu *v, struct null_vcpu *n)
{
	uint32_t taken = HV_REQ_NMI | HV_REQ_FLUSH | HV_REQ_ENGINE;

	if (atomic_fetch_and(&v->requests, ~taken) & HV_REQ_NMI)
		n->interrupts++;
	n->s.nmi_pending = 0;
	if (!(n->s.rflags & X86_FL_IF) || v->lapic == NULL)
		return;
	if ((atomic_load(&v->requests) & HV_REQ_INTR) && v->lapic->intr_ack(v->lapic_ctx) >= 0)
		n->interrupts++;
}

static void null_vcpu_run(struct hv_vcpu *v, struct hv_exit *ret_exit)
{
	struct null_vcpu *n = v->engine_priv;

	take_interrupts(v, n);
	if (atomic_load(&v->requests) & (HV_REQ_STOP | HV_REQ_INIT | HV_REQ_SIPI)) {
		ret_exit->reason = HV_EXIT_KICKED;
		return;
	}
	n->halts++;
	n->s.mp_state = X86_MP_HALTED;
	ret_exit->reason = HV_EXIT_HLT;
}

/* vcpu_run returns at once anyway. */
static void null_vcpu_kick(struct hv_vcpu *v)
{
	(void)v;
}

static void null_state_get(struct hv_vcpu *v, struct x86_state *s)
{
	*s = ((struct null_vcpu *)v->engine_priv)->s;
}

static int null_state_set(struct hv_vcpu *v, const struct x86_state *s, struct err *e)
{
	(void)e;
	((struct null_vcpu *)v->engine_priv)->s = *s;
	return 0;
}

static bool null_translate(struct hv_vcpu *v, uint64_t linear, uint64_t *ret_gpa)
{
	const struct null_vcpu *n = v->engine_priv;

	if (n->s.cr0 & X86_CR0_PG)
		return false;
	*ret_gpa = linear;
	return true;
}

static void null_stats(struct hv_vcpu *v, struct hv_engine_stats *ret_stats)
{
	struct null_vcpu *n = v->engine_priv;

	*ret_stats = (struct hv_engine_stats){ .interrupts = n->interrupts, .hlt = n->halts };
}

const struct hv_engine_ops hv_engine_null = {
	.name = "null",
	.probe = null_probe,
	.vm_create = null_vm_create,
	.vm_destroy = null_vm_destroy,
	.vcpu_create = null_vcpu_create,
	.vcpu_destroy = null_vcpu_destroy,
	.vcpu_run = null_vcpu_run,
	.vcpu_kick = null_vcpu_kick,
	.state_get = null_state_get,
	.state_set = null_state_set,
	.translate = null_translate,
	.stats = null_stats,
};
