/*
 * A kernel's KVM for tests, behind hv-core/engine/kvm/sys.h: it knows what is open and what can be
 * asked of that, takes all that it is given, fails the request that the test names, and "runs" what
 * the test scripts. A descriptor's number is never used again.
 */
#ifndef UNIT_FAKE_KVM_H
#define UNIT_FAKE_KVM_H
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

struct fake_kvm {
	int open_error; /* -errno of open(); 0: it opens */
	int map_error;	/* the same of a vCPU's shared area */
	int api_version;
	int missing_cap;	    /* this one is not there; -1: all are */
	unsigned long fail_request; /* this request... */
	unsigned fail_at;	    /* ...the so-manieth, from 1... */
	int fail_error;		    /* ...fails with that -errno */
	int tsc_khz;
	uint32_t hidden_leaf, hidden[4]; /* of what CPUID offers: these bits of EAX to EDX not */
	uint64_t dirty;			 /* word 0 of each slot's dirty log, once */
	/* One KVM_RUN, n from 0: fills run, and returns 0 or -errno. */
	int (*on_run)(void *ctx, struct kvm_run *run, unsigned n);
	void *ctx;
	/* what happened */
	int live;	/* descriptors and mappings that are open */
	unsigned wrong; /* calls on what is not open, or is not what the request is for */
	unsigned failures, runs, nmis, injected, requests;
	unsigned last_vector;
	struct kvm_sregs sregs;
	struct kvm_vcpu_events events;		     /* as they were set last */
	struct kvm_userspace_memory_region slot[32]; /* memory_size 0: none */
};
extern struct fake_kvm fake_kvm;

/* Puts it in place of the kernel's, as new: all is there, nothing fails. */
void fake_kvm_begin(void);
/* Back to the kernel's. What is live and wrong then is the test's to check. */
void fake_kvm_end(void);

/* An on_run: the exits of a self-test's guest, without those in *(unsigned *)ctx. */
enum { FAKE_NO_PORT = 1, FAKE_NO_DEVICE = 2 };
int fake_kvm_selftest(void *ctx, struct kvm_run *run, unsigned n);
#endif
