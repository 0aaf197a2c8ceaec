/*
 * Shared by the files of the KVM engine.
 *
 * The kernel runs the guest and has the local APICs in it; PIC, IOAPIC, PIT and all other devices
 * are the machine's ("split irqchip"). A vCPU's thread is in run.c; what its registers are, in
 * state.c and msr.c; memory in slots.c; clocks in time.c.
 */
#ifndef ENGINE_KVM_KVM_H
#define ENGINE_KVM_KVM_H
#include <linux/kvm.h>
#include <pthread.h>
#include "cpu/vcpu.h"
#include "cpu/x86_state.h"
#include "engine/engine.h"
#include "engine/kvm/sys.h"

#define KVM_SLOTS_MAX 256
#define KVM_BELLS_MAX 256

/* A piece of guest memory that the kernel maps by itself; bytes 0: not in use. */
struct kvm_slot {
	uint64_t gpa, bytes, ram_off;
	struct hv_ram *ram; /* borrowed */
	bool read_only, logged;
};

/* A register whose writes the kernel answers by a signal. */
struct kvm_bell {
	uint64_t gpa;
	int fd; /* borrowed */
};

struct kvm_vm {
	struct hv_vm *hv; /* borrowed */
	int fd;
	size_t run_bytes; /* of a vCPU's shared area */
	unsigned max_slots;
	bool tsc_offset_attr; /* a vCPU's TSC offset can be read and set */
	/* under slots_lock, which is taken last */
	pthread_mutex_t slots_lock;
	struct kvm_slot slot[KVM_SLOTS_MAX];
	struct kvm_bell bell[KVM_BELLS_MAX];
	unsigned n_bells;
	struct hv_mem_listener listener;
	/* While it is closed no vCPU is in the guest; the one that closes it holds slots_lock. */
	_Atomic bool closed;
	pthread_mutex_t gate_lock;
	pthread_cond_t gate; /* closed, or a vCPU's in_guest, has changed */
	/* under routes_lock, which is taken last */
	pthread_mutex_t routes_lock;
	struct {
		uint64_t addr;
		uint32_t data;
	} route[HV_IOAPIC_PINS];
};

struct kvm_vcpu {
	struct hv_vcpu *hv; /* borrowed */
	struct kvm_vm *vm;
	int fd;
	struct kvm_run *run; /* shared with the kernel */
	/* any thread */
	_Atomic bool in_guest; /* about to be, or in KVM_RUN */
	pthread_t thread;      /* valid once in_guest was true */
	/* the vCPU's thread; loop thread while it is idle */
	bool unfinished; /* of a port or memory access, the kernel has not taken the answer yet */
	/* The PIC's vector that the kernel was given, while KVM_RUN has not come as far as taking
	 * it; none of what the kernel tells of the vCPU has it. -1: none. */
	int given_vector;
	bool shut_down;	     /* after a triple fault */
	uint64_t tsc_offset; /* x86_state's, as of the last stop or state_set */
	struct hv_engine_stats stats;
	struct hv_debug debug;
};

static inline struct kvm_vm *kvm_of(const struct hv_vm *hv)
{
	return hv->engine_priv;
}

static inline struct kvm_vcpu *kvm_vcpu_of(const struct hv_vcpu *hv)
{
	return hv->engine_priv;
}

/* 0 or more, or -errno. */
static inline int kvm_call(int fd, unsigned long request, const void *arg)
{
	return kvm_sys->ioctl(fd, request, (unsigned long)arg);
}

/* ---- kvm.c ---- */

/* The device, opened once and kept: a sandbox may be entered before the VM is created. Borrowed. */
int kvm_device(struct err *e) HV_MUST_CHECK;
void kvm_device_close(void);

/* ---- slots.c ---- */

/* The locks are there before init, and go with finish, which is fine without init. */
int kvm_slots_init(struct kvm_vm *vm, struct err *e) HV_MUST_CHECK;
void kvm_slots_finish(struct kvm_vm *vm);

/* ---- bells.c ---- */

/* The map has changed; slots_lock is held. */
void kvm_bells_follow(struct kvm_vm *vm);

/* ---- run.c ---- */

/* For a thread that will be in KVM_RUN: this signal brings it out, and does nothing else. */
#define KVM_KICK_SIGNAL SIGUSR1
int kvm_kick_init(struct err *e) HV_MUST_CHECK;
int kvm_thread_start(struct hv_vcpu *hv, struct err *e);
void kvm_run(struct hv_vcpu *hv, struct hv_exit *ret_exit);
void kvm_kick(struct hv_vcpu *hv);
/* Any thread but those of vCPUs in the guest: all have left it, and none comes back until it is
 * opened. */
void kvm_gate_close(struct kvm_vm *vm);
void kvm_gate_open(struct kvm_vm *vm);

/* ---- state.c ---- */

void kvm_state_get(struct hv_vcpu *hv, struct x86_state *s);
int kvm_state_set(struct hv_vcpu *hv, const struct x86_state *s, struct err *e);

/* ---- msr.c ---- */

/* Those that x86_state has and no other request carries. set: -ENOTSUP, where the kernel refuses a
 * value other than 0. */
void kvm_msrs_get(struct kvm_vcpu *v, struct x86_state *s);
int kvm_msrs_set(struct kvm_vcpu *v, const struct x86_state *s, struct err *e);
/* One; -errno if there is none such, or it does not take the value. */
int kvm_msr_get(struct kvm_vcpu *v, uint32_t msr, uint64_t *ret_value);
int kvm_msr_set(struct kvm_vcpu *v, uint32_t msr, uint64_t value);

/* ---- cpuid.c ---- */

int kvm_fit_model(struct cpu_model *m, bool all, struct err *e);
int kvm_cpuid_set(struct kvm_vcpu *v, struct err *e) HV_MUST_CHECK;

/* ---- time.c: the guest's clocks are the kernel's while it runs, and hv_clock's when not ---- */

/* The model's TSC frequency, or a refusal. */
int kvm_tsc_hz_set(struct kvm_vcpu *v, struct err *e) HV_MUST_CHECK;
void kvm_clocks_start(struct kvm_vm *vm);
void kvm_clocks_stop(struct kvm_vm *vm);

/* ---- apic.c ---- */

extern const struct hv_engine_apic_ops kvm_apic_ops;
int kvm_apic_init(struct kvm_vm *vm, struct err *e) HV_MUST_CHECK;
void kvm_apic_finish(struct kvm_vm *vm);
#endif
