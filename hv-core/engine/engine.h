/*
 * What an engine is: the thing that runs guest instructions. One vtable per engine; the vCPU loop
 * (cpu/vcpu.c) and the bus dispatch above it are written once for all of them.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"

struct cpu_model;
struct hv_lapic_page;
struct hv_vm;
struct hv_vcpu;
struct x86_state;

enum hv_exit_reason {
	HV_EXIT_KICKED,	  /* vcpu_kick() or a pending request: look at what is asked */
	HV_EXIT_PIO,	  /* not finished: the loop fills pio.value (in) and runs again */
	HV_EXIT_MMIO,	  /* same */
	HV_EXIT_HLT,	  /* waits for an interrupt, NMI, INIT */
	HV_EXIT_SHUTDOWN, /* triple fault */
	HV_EXIT_DEBUG,	  /* a debugger's breakpoint, watchpoint or single step */
	HV_EXIT_FAIL,	  /* the engine cannot go on; fail has the reason */
};

struct hv_exit {
	enum hv_exit_reason reason;
	union {
		struct {
			uint16_t port;
			uint8_t size;
			bool is_write;
			uint32_t value;
		} pio;
		struct {
			uint64_t gpa;
			uint8_t size;
			bool is_write;
			uint64_t value;
		} mmio;
		struct {
			uint64_t rip;
			uint64_t addr;
			bool is_watch, is_step;
		} debug;
		struct err fail;
	};
};

/* What a debugger asks of a vCPU; see hv_engine_ops.debug_set. */
#define HV_DEBUG_MAX 32
struct hv_debug {
	bool single_step;
	unsigned n_breaks, n_watches;
	uint64_t breaks[HV_DEBUG_MAX]; /* linear addresses; the guest cannot see them */
	struct {
		uint64_t addr;
		uint64_t len;
		bool on_read, on_write;
	} watches[HV_DEBUG_MAX];
};

/* Counters for Stats1 and --stats; read without a lock, so only roughly consistent. */
struct hv_engine_stats {
	/*
	 * Every instruction that was finished; a repeated string instruction is one. Each is one of
	 * translated, interpreted (in a block without a translation) and fallbacks (of a translated
	 * block, but done by the interpreter). Of those translated, slow_accesses were handed to
	 * the interpreter because memory was not to be reached directly: a TLB miss, a page's end,
	 * a device, a page with code. A translator counts them only where
	 * hv_engine_options.count says so; else the first three are 0.
	 */
	uint64_t instructions, translated, interpreted, fallbacks, slow_accesses;
	uint64_t untranslatable; /* about so many of interpreted: no translation can be made */
	uint64_t stepped;	 /* so many: one by one, with something to look at in between */
	uint64_t blocks_decoded, blocks_translated, code_invalidations;
	uint64_t cache_drops, code_bytes; /* all blocks at once; bytes of translated code now */
	uint64_t code_entries;		  /* from the run loop into translated code */
	uint64_t decode_ns, translate_ns;
	uint64_t tlb_misses, tlb_flushes;
	uint64_t flush_requests; /* of other threads: to drop translations */
	uint64_t interrupts, exceptions;
	/* What led out of the guest: ports, memory-mapped devices, the local APIC (its page and
	 * MSRs), MSRs in all, halts, requests to leave */
	uint64_t pio, mmio, lapic, msr, hlt, kicks;
	uint64_t yields; /* a guest that spins has given its host CPU up */
};

/*
 * Of an engine that has the local APICs in it, but only while the VM runs: the machine hands the
 * registers over when it does (take) and has them given back when it stops (hv_vm.move_apics).
 * Messages are for the engine in between. What the PIC asks for comes by HV_REQ_INTR as ever.
 */
struct hv_engine_apic_ops {
	/* Loop thread, no vCPU runs; domains may be held. */
	void (*take)(struct hv_vcpu *v, const struct hv_lapic_page *page);
	void (*give_back)(struct hv_vcpu *v,
			  struct hv_lapic_page *page); /* as it was, if it fails */
	/* Any thread, domains may be held: a message-signalled interrupt. */
	void (*msi)(struct hv_vm *vm, uint64_t addr, uint32_t data);
	/* Any thread, domains may be held: the message of an IOAPIC's pin is now this one, if its
	 * trigger is a level (data bit 15). Then the end of its service is told by
	 * hv_lapic_ops.eoi. */
	void (*route)(struct hv_vm *vm, unsigned pin, uint64_t addr, uint32_t data);
};
#define HV_IOAPIC_PINS 24

struct hv_engine_ops {
	const char *name; /* "soft", "kvm", "null": the setting's value */
	/* Can this host run it, as far as can be seen at once? 0, or -errno with e saying why and
	 * what to do. What it needs of the host is open afterwards: a sandbox may close it off. */
	int (*probe)(struct err *e);
	/* After probe: runs a guest to see. Takes up to a second; the answer holds until the host
	 * is started anew. O: probe was enough. */
	int (*selftest)(struct err *e);
	/* Takes from the model what it shows beyond the promise of its name and the engine cannot
	 * give; all: nothing may be taken, it is a saved machine's. -ENOTSUP: e names what is
	 * promised and cannot be had. O: everything can be had. */
	int (*fit_model)(struct cpu_model *m, bool all, struct err *e);
	/* vm->mem, vm->pio, vm->model are there. *ret_priv goes to vm->engine_priv. */
	int (*vm_create)(struct hv_vm *vm, void **ret_priv, struct err *e);
	void (*vm_destroy)(struct hv_vm *vm); /* half-created is fine */
	int (*vcpu_create)(struct hv_vcpu *v, void **ret_priv, struct err *e);
	void (*vcpu_destroy)(struct hv_vcpu *v);
	/* In the vCPU's own thread, once, before the first vcpu_run. O */
	int (*vcpu_thread_start)(struct hv_vcpu *v, struct err *e);
	/*
	 * Runs until an exit. In the vCPU's thread, no domain held. An engine may finish port and
	 * MMIO accesses itself by calling the bus (the soft engine does) instead of exiting; if it
	 * exits, it finds the answer in *ret_exit, and is entered again before anything else.
	 * Of v->requests the engine takes INTR (level; through v->lapic), NMI, FLUSH and ENGINE at
	 * instruction boundaries, and returns KICKED while STOP, INIT or SIPI is set. A halted vCPU
	 * with nothing to take returns HLT at once, again and again: the loop does the sleeping.
	 */
	void (*vcpu_run)(struct hv_vcpu *v, struct hv_exit *ret_exit);
	/* Loop thread, no vCPU runs: before they do, and when they have stopped after that. O */
	void (*vm_start)(struct hv_vm *vm);
	void (*vm_stop)(struct hv_vm *vm);
	const struct hv_engine_apic_ops *apic; /* O: local APICs are the machine's */
	bool rings_bells;		       /* uses hv_map_range.bells */
	/* Makes a vcpu_run under way, or the next one, return soon. Any thread; the only such. */
	void (*vcpu_kick)(struct hv_vcpu *v);
	/* Only while the vCPU is not in vcpu_run. */
	void (*state_get)(struct hv_vcpu *v, struct x86_state *s);
	int (*state_set)(struct hv_vcpu *v, const struct x86_state *s, struct err *e);
	int (*debug_set)(struct hv_vcpu *v, const struct hv_debug *d, struct err *e); /* O */
	/* Linear to physical as the vCPU would translate it now, without side effects. */
	bool (*translate)(struct hv_vcpu *v, uint64_t linear, uint64_t *ret_gpa);
	void (*stats)(struct hv_vcpu *v, struct hv_engine_stats *ret_stats);
	/* The fallbacks by instruction: the name (static) and number of the i-th kind, many of them
	 * 0; NULL past the last. O */
	const char *(*fallback)(struct hv_vcpu *v, unsigned i, uint64_t *ret_n);
};

extern const struct hv_engine_ops hv_engine_kvm;
extern const struct hv_engine_ops hv_engine_soft;
extern const struct hv_engine_ops hv_engine_null; /* runs nothing: HLT at once; for tests */
/* NULL past the last; the order is that of preference under engine=auto. */
const struct hv_engine_ops *hv_engine_at(unsigned i);
const struct hv_engine_ops *hv_engine_find(const char *name);
#endif
