/*
 * A virtual machine's CPUs: the one vCPU loop that every engine runs in, what may be asked of a
 * vCPU from other threads, and the pieces of the machine (memory, ports, clock) that it reaches.
 */
#ifndef CPU_VCPU_H
#define CPU_VCPU_H
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "bus/pio.h"
#include "clock/clock.h"
#include "cpu/model.h"
#include "cpu/x86_state.h"
#include "engine/engine.h"
#include "mem/mem.h"

#define HV_MAX_VCPUS 64

/* A local APIC for engines that have it in them (hv_engine_ops.apic). */
struct hv_lapic_page {
	uint64_t apic_base;
	uint64_t tsc_deadline; /* 0: disarmed */
	uint32_t reg[64];      /* the register at offset 16 * i, as the CPU reads it; all of ICR */
};

/*
 * The local interrupt controller as the CPU core sees it, implemented by the machine
 * (devmodel/chipset/lapic.c). Called in the vCPU's thread, no domain held; takes its own.
 */
struct hv_lapic_ops {
	/* The vector to deliver now, and marks it in service; -1: none (anymore). Asks the PIC
	 * through the LAPIC's LINT0 if that is how the guest set it up. */
	int (*intr_ack)(void *ctx);
	/* CR8. */
	uint8_t (*tpr_get)(void *ctx);
	void (*tpr_set)(void *ctx, uint8_t cr8);
	/* APIC_BASE, TSC_DEADLINE, x2APIC MSRs. 0, or -EINVAL: #GP. */
	int (*msr_read)(void *ctx, uint32_t msr, uint64_t *ret_v);
	int (*msr_write)(void *ctx, uint32_t msr, uint64_t v);
	/* The register page when the CPU accesses it at apic_base(). */
	uint64_t (*mmio_read)(void *ctx, uint32_t off, unsigned size);
	void (*mmio_write)(void *ctx, uint32_t off, unsigned size, uint64_t v);
	/* IA32_APIC_BASE as it is now; any thread. */
	uint64_t (*apic_base)(void *ctx);
	/* The CPU got INIT; the LAPIC follows. */
	void (*init)(void *ctx);
	/* hv_vcpu.tsc_offset changed under a deadline that may be armed. O */
	void (*tsc_changed)(void *ctx);
	/* For engines that have the local APICs in them: a level-triggered vector is no longer in
	 * service. */
	void (*eoi)(void *ctx, uint8_t vector);
};

/* What is asked of a vCPU; bits of hv_vcpu.requests. */
enum hv_request {
	HV_REQ_INTR = 1 << 0, /* level: an interrupt waits to be acknowledged */
	HV_REQ_NMI = 1 << 1,
	HV_REQ_INIT = 1 << 2,
	HV_REQ_SIPI = 1 << 3,
	HV_REQ_STOP = 1 << 4,	/* leave vcpu_run: pause, reset, save, destroy, debugger */
	HV_REQ_FLUSH = 1 << 5,	/* engine's own: translations must go (see the engine) */
	HV_REQ_ENGINE = 1 << 6, /* engine's own: anything else */
};

struct hv_vcpu {
	struct hv_vm *vm; /* borrowed */
	unsigned index;	  /* also the APIC id */
	void *engine_priv;
	const struct hv_lapic_ops *lapic; /* borrowed; NULL: none (tests) */
	void *lapic_ctx;
	struct hv_timer *timer; /* borrowed: the local APIC's, which ends most halts; NULL: none */
	/* any thread */
	_Atomic uint32_t requests; /* enum hv_request */
	_Atomic uint8_t sipi_vector;
	/* x86_state.tsc_offset as it is now; the local APIC's TSC deadline is computed with it. Set
	 * with the state, and by hv_vcpu_tsc_moved(). */
	_Atomic uint64_t tsc_offset;
	/* private to cpu/vcpu.c */
	_Atomic uint64_t halted_ns, halted_since_ns; /* since: 0 when it is not halted */
	struct hv_vcpu_thread *thread;
};

/* Called by a vCPU's thread when the guest did something that ends or holds the whole VM. */
enum hv_vm_event { HV_VM_SHUTDOWN, HV_VM_DEBUG, HV_VM_FAIL };

struct hv_vm {
	const struct hv_engine_ops *engine;
	void *engine_priv;
	struct hv_mem *mem; /* borrowed, as all here */
	struct hv_pio *pio;
	struct hv_clock *clock;
	const struct cpu_model *model;
	/* In the vCPU's thread; the vCPU stops running until hv_vm_run(). Must not block. */
	void (*on_event)(void *ctx, struct hv_vcpu *v, enum hv_vm_event ev,
			 const struct hv_exit *exit);
	void *ctx;
	/* Loop thread, before the vCPUs run and when they have stopped: the local APICs' registers
	 * go to the engine, or come back. O; of an engine with hv_engine_ops.apic. */
	void (*move_apics)(void *ctx, bool to_engine);
	unsigned n_vcpus;
	struct hv_vcpu *vcpu[HV_MAX_VCPUS]; /* owned */
	struct hv_engine_options {
		bool trace;	/* engine writes the instruction and state trace */
		int trace_fd;	/* borrowed */
		bool translate; /* soft engine: blocks that are run often become host code */
		uint32_t translate_after; /* so many runs */
		bool perf_map;		  /* names for translated code, so that perf finds them */
		int perf_map_fd;	  /* borrowed; appended to */
		uint32_t disable;	  /* bits of optimisations switched off, the engine's own */
		bool count; /* instructions are to be counted exactly, whatever it costs */
		/*
		 * One vCPU, whose instructions move the clock, which is a counted one: one
		 * instruction is a nanosecond. Implies count. Devices' work and timers are done
		 * between two instructions, in its thread. digest_fd, if not -1 (borrowed): gets a
		 * line (cpu/digest.h) after digest_from instructions and from there on every
		 * digest_every; the trace, if any, begins at digest_from, too.
		 */
		bool deterministic;
		int digest_fd;
		uint64_t digest_from, digest_every;
		uint32_t digest_memory; /* with memory in every so-manieth line; 0: none */
	} opt;
	/* private to cpu/vcpu.c */
	_Atomic bool a20_masked; /* any thread */
	bool running;		 /* loop thread */
	bool started;		 /* loop thread; between the engine's vm_start and vm_stop */
};

/* vm is filled up to ctx and opt by the caller; creates the engine's part and n vCPUs, stopped and
 * in reset state. On failure everything made is taken down again. */
int hv_vm_init(struct hv_vm *vm, unsigned n, struct err *e) HV_MUST_CHECK;
void hv_vm_finish(struct hv_vm *vm); /* stops and joins; a zeroed vm is fine */

/* Loop thread, no domain held. run: (re)starts all vCPU threads; stop: returns when none is in the
 * engine or a device callback. Both idempotent. */
void hv_vm_run(struct hv_vm *vm);
void hv_vm_stop(struct hv_vm *vm);
bool hv_vm_running(const struct hv_vm *vm);
/* While stopped: power-on state for all. */
void hv_vm_reset_cpus(struct hv_vm *vm);
/* While stopped. */
void hv_vcpu_state_get(struct hv_vcpu *v, struct x86_state *s);
int hv_vcpu_state_set(struct hv_vcpu *v, const struct x86_state *s, struct err *e) HV_MUST_CHECK;

/* ---- any thread, domains may be held; never blocks ---- */
/* How long it has slept in HLT so far, by the host's clock. */
uint64_t hv_vcpu_halted_ns(const struct hv_vcpu *v);
void hv_vcpu_set_intr(struct hv_vcpu *v, bool level);
/* In its own thread: it does nothing more after this instruction until hv_vm_run(). */
void hv_vcpu_hold(struct hv_vcpu *v);
void hv_vcpu_post_nmi(struct hv_vcpu *v);
void hv_vcpu_post_init(struct hv_vcpu *v);
void hv_vcpu_post_sipi(struct hv_vcpu *v, uint8_t vector);
/* By the engine, in the vCPU's thread, when the guest moved its TSC. Takes the LAPIC's domain. */
void hv_vcpu_tsc_moved(struct hv_vcpu *v, uint64_t tsc_offset);
/* Sets request bits and makes the vCPU look at them, wherever it is. */
void hv_vcpu_request(struct hv_vcpu *v, uint32_t bits);
/* The A20 gate (port 0x92, keyboard controller): all vCPUs, before the next instruction. */
void hv_vm_set_a20(struct hv_vm *vm, bool enabled);
bool hv_vm_a20(const struct hv_vm *vm);
#endif
