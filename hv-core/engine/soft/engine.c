/* The soft engine's face to the vCPU loop. */
#include "engine/engine.h"
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include "base/log.h"
#include "engine/soft/block.h"
#include "engine/soft/code.h"
#include "engine/soft/decode.h"
#include "engine/soft/fpu.h"
#include "engine/soft/mmu.h"
#include "engine/soft/run.h"
#include "engine/soft/soft.h"
#include "engine/soft/sync.h"
#include "engine/soft/translate/translate.h"
#include "engine/soft/turn.h"
#include "mem/mem.h"

static int soft_probe_host(struct err *e)
{
	(void)e;
	return 0; /* every x86-64 host will do */
}

/* ---- the memory's listener: any thread ---- */

static void on_map_changed(void *ctx, uint64_t gpa, uint64_t bytes)
{
	(void)gpa;
	(void)bytes;
	soft_sync_flush(ctx);
}

static void on_written(void *ctx, struct hv_ram *ram, uint64_t off, uint64_t len)
{
	soft_code_written_outside(ctx, ram, off, len);
}

static void on_dirty_log(void *ctx, struct hv_ram *ram, bool on)
{
	struct soft_vm *vm = ctx;
	struct code_ram *r = soft_code_ram(vm, ram);

	if (r != NULL)
		atomic_store(&r->dirty_log, on);
	soft_sync_flush(vm);
}

/* ---- VM ---- */

static void soft_vm_destroy(struct hv_vm *hv)
{
	struct soft_vm *vm = hv->engine_priv;

	if (vm == NULL)
		return;
	hv_mem_unlisten(hv->mem, &vm->listener);
	decode_destroy(vm);
	soft_stubs_destroy(vm);
	soft_code_destroy(vm);
	free(vm);
	hv->engine_priv = NULL;
}

static unsigned host_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return UINT_MAX; /* more than the set holds */
	return (unsigned)CPU_COUNT(&set);
}

static int soft_vm_create(struct hv_vm *hv, void **ret_priv, struct err *e)
{
	struct soft_vm *vm = calloc(1, sizeof(*vm));
	int r;

	if (vm == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	vm->hv = hv;
	vm->host_cpus = host_cpus();
	vm->listener = (struct hv_mem_listener){ .map_changed = on_map_changed,
						 .written = on_written,
						 .dirty_log = on_dirty_log,
						 .ctx = vm };
	r = soft_code_create(vm, e);
	if (r == 0)
		r = soft_stubs_create(vm, e);
	if (r == 0)
		r = decode_create(vm, e);
	hv_mem_listen(hv->mem, &vm->listener);
	if (r != 0) {
		hv->engine_priv = vm;
		soft_vm_destroy(hv);
		return r;
	}
	*ret_priv = vm;
	return 0;
}

/* ---- vCPU ---- */

static void vcpu_free(struct soft_vcpu *v)
{
	v->vm->vcpu[v->hv->index] = NULL;
	soft_fpu_destroy(v);
	soft_tr_destroy(v);
	block_cache_destroy(v);
	soft_mmu_destroy(v);
	soft_tr_vcpu_free(v);
}

static void soft_vcpu_destroy(struct hv_vcpu *hv)
{
	if (hv->engine_priv == NULL)
		return;
	vcpu_free(hv->engine_priv);
	hv->engine_priv = NULL;
}

/* Where the host cannot, the interpreter must do. */
static int create_translator(struct soft_vcpu *v, struct err *e)
{
	struct err why;
	int r = soft_tr_create(v, &why);

	if (r == -ENOTSUP) {
		if (v->hv->index == 0)
			log_msg(LOG_LVL_WARN, "soft",
				"soft.tier=translate: %s; instructions are interpreted", why.msg);
		return 0;
	}
	return r < 0 ? err_set(e, r, "%s", why.msg) : 0;
}

static int soft_vcpu_create(struct hv_vcpu *hv, void **ret_priv, struct err *e)
{
	struct soft_vcpu *v = soft_tr_vcpu_alloc();
	int r;

	if (v == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	v->hv = hv;
	v->vm = hv->vm->engine_priv;
	x86_state_reset(&v->s, hv->index == 0);
	r = soft_mmu_create(v, e);
	if (r == 0)
		r = block_cache_create(v, e);
	if (r == 0)
		r = soft_fpu_create(v, e);
	if (r == 0 && hv->vm->clock != NULL)
		soft_fpu_try_clock(v, hv->vm->clock);
	if (r == 0 && hv->vm->opt.translate)
		r = create_translator(v, e);
	if (r != 0) {
		vcpu_free(v);
		return r;
	}
	if (hv->vm->opt.trace && hv->vm->opt.digest_from == 0)
		v->slow |= SOFT_SLOW_TRACE;
	soft_turn_init(v);
	soft_set_rflags(v, v->s.rflags);
	soft_mode_changed(v);
	v->vm->vcpu[hv->index] = v;
	*ret_priv = v;
	return 0;
}

static int soft_vcpu_thread_start(struct hv_vcpu *hv, struct err *e)
{
	return soft_fpu_thread_start(soft_of(hv), e);
}

static void soft_vcpu_run(struct hv_vcpu *hv, struct hv_exit *ret_exit)
{
	struct soft_vcpu *v = soft_of(hv);

	soft_run(v);
	*ret_exit = v->exit;
	v->stats.hlt += v->exit.reason == HV_EXIT_HLT;
	v->stats.kicks += v->exit.reason == HV_EXIT_KICKED;
}

static void soft_vcpu_kick(struct hv_vcpu *hv)
{
	atomic_store(&soft_of(hv)->look, 1);
}

static void soft_state_get(struct hv_vcpu *hv, struct x86_state *s)
{
	struct soft_vcpu *v = soft_of(hv);

	if (v->turns)
		soft_fpu_image(v);
	v->s.rflags = soft_rflags(v);
	v->s.exc_pending = v->event_valid;
	v->s.exc_vector = v->event_valid ? v->event.vector : 0;
	v->s.exc_has_error = v->event_valid && v->event.has_error;
	v->s.exc_kind = v->event_valid ? v->event.kind : 0;
	v->s.exc_error = v->event_valid ? v->event.error : 0;
	v->s.exc_cr2_or_dr6 = 0;
	if (v->event_valid)
		v->s.exc_cr2_or_dr6 = v->event.vector == X86_EXC_PF ? v->event.cr2 : v->event.dr6;
	v->s.a20_masked = !hv_vm_a20(hv->vm);
	*s = v->s;
}

static int soft_state_set(struct hv_vcpu *hv, const struct x86_state *s, struct err *e)
{
	struct soft_vcpu *v = soft_of(hv);

	(void)e;
	v->s = *s;
	soft_set_rflags(v, s->rflags);
	v->event_valid = s->exc_pending;
	v->is_delivering = false;
	v->sys.dr6_pending = 0;
	v->sys.watch_hit = false;
	v->event = (struct soft_event){ .vector = s->exc_vector,
					.has_error = s->exc_has_error,
					.error = s->exc_error,
					.kind = s->exc_kind,
					.cr2 = s->exc_cr2_or_dr6,
					.dr6 = s->exc_cr2_or_dr6 };
	soft_fpu_state_changed(v);
	soft_phys_flush(v);
	soft_mode_changed(v);
	if (v->paging && !v->long_mode && (s->cr4 & X86_CR4_PAE) && !soft_load_pdptes(v, s->cr3))
		return err_set(e, -EINVAL, "CR3 %#llx points to bad PAE entries",
			       (unsigned long long)s->cr3);
	return 0;
}

static int soft_debug_set(struct hv_vcpu *hv, const struct hv_debug *d, struct err *e)
{
	struct soft_vcpu *v = soft_of(hv);

	(void)e;
	v->debug = *d;
	soft_tlb_flush_all(v);
	soft_mode_changed(v);
	return 0;
}

static bool soft_translate_op(struct hv_vcpu *hv, uint64_t linear, uint64_t *ret_gpa)
{
	return soft_translate(soft_of(hv), linear, ret_gpa);
}

static void soft_stats(struct hv_vcpu *hv, struct hv_engine_stats *ret_stats)
{
	struct soft_vcpu *v = soft_of(hv);
	uint64_t hz = hv_host_tsc_hz();

	*ret_stats = v->stats;
	if (v->tr != NULL && !v->hv->vm->opt.count)
		ret_stats->instructions = ret_stats->translated = 0; /* only some of them */
	else if (v->in_code)
		ret_stats->translated += ret_stats->instructions - v->code_since;
	ret_stats->interpreted = ret_stats->instructions - ret_stats->translated;
	ret_stats->translated -= hv_min_u64(ret_stats->translated, ret_stats->fallbacks);
	ret_stats->decode_ns = hv_muldiv64(v->decode_ticks, HV_NS_PER_SEC, hz);
	ret_stats->translate_ns = hv_muldiv64(v->translate_ticks, HV_NS_PER_SEC, hz);
	ret_stats->code_bytes = v->tr != NULL ? soft_tr_code_bytes(v) : 0;
}

static const char *soft_fallback(struct hv_vcpu *hv, unsigned i, uint64_t *ret_n)
{
	struct soft_vcpu *v = soft_of(hv);

	return v->tr != NULL ? soft_tr_fallback(v, i, ret_n) : NULL;
}

const struct hv_engine_ops hv_engine_soft = {
	.name = "soft",
	.probe = soft_probe_host,
	.vm_create = soft_vm_create,
	.vm_destroy = soft_vm_destroy,
	.vcpu_create = soft_vcpu_create,
	.vcpu_destroy = soft_vcpu_destroy,
	.vcpu_thread_start = soft_vcpu_thread_start,
	.vcpu_run = soft_vcpu_run,
	.vcpu_kick = soft_vcpu_kick,
	.state_get = soft_state_get,
	.state_set = soft_state_set,
	.debug_set = soft_debug_set,
	.translate = soft_translate_op,
	.stats = soft_stats,
	.fallback = soft_fallback,
};
