/*
 * Local APICs, one device per CPU, and the bus by which interrupt messages reach them.
 *
 *	region 0 "regs", 1 KiB   not placed on the bus: the CPU's accesses at APIC_BASE come through
 *	                         dm_lapic_ops, without the detour over the memory map
 *	inputs 0 and 1           LINT0 and LINT1; wired through lapic_bus.lint
 *
 * All LAPICs, the IOAPIC and the PIC share the domain "irqchip", which devices may enter while they
 * hold their own. Calls up to the CPU (struct lapic_cpu_ops) take no domain.
 *
 * DEV_BACKEND_MACHINE "lapic-bus" is the struct lapic_bus.
 */
#ifndef DEVMODEL_CHIPSET_LAPIC_H
#define DEVMODEL_CHIPSET_LAPIC_H
#include "bus/irq.h"
#include "cpu/vcpu.h"
#include "devmodel/dev.h"

/* The timer's input clock; CPUID leaf 0x15's crystal has to say the same where it is shown. */
#define LAPIC_TIMER_HZ 1000000000u

enum { LAPIC_LINT0, LAPIC_LINT1 };

/* What a LAPIC asks of its CPU. Any thread, domain held; must not block. */
struct lapic_cpu_ops {
	void (*set_intr)(void *cpu, bool level); /* an interrupt waits to be acknowledged */
	void (*nmi)(void *cpu);
	void (*init)(void *cpu); /* the CPU calls hv_lapic_ops.init when it takes it */
	void (*sipi)(void *cpu, uint8_t vector);
	/* The virtual time at which the CPU's TSC is tsc; past ones are fine. */
	uint64_t (*tsc_to_ns)(void *cpu, uint64_t tsc);
};
/* For struct hv_vcpu. */
extern const struct lapic_cpu_ops lapic_vcpu_ops;

/* Delivery modes, as in ICR, LVT, MSI data and redirection entries. */
enum lapic_mode {
	LAPIC_FIXED = 0,
	LAPIC_LOWEST = 1,
	LAPIC_SMI = 2,
	LAPIC_NMI = 4,
	LAPIC_INIT = 5,
	LAPIC_SIPI = 6,
	LAPIC_EXTINT = 7,
};

struct lapic_msg {
	uint32_t dest;
	uint8_t vector;
	uint8_t mode; /* enum lapic_mode */
	bool logical, level;
};

/*
 * Set up by the machine before the LAPICs are made. With vm, its engine has the local APICs in it
 * while the VM runs (hv_engine_ops.apic): then messages go there. The devices here hold the
 * registers while it is stopped, for saved states and resets, and what comes in meanwhile.
 */
struct lapic_bus {
	struct hv_domain *domain; /* borrowed: "irqchip" */
	struct hv_vm *vm;	  /* borrowed; O */
	bool in_engine;		  /* under the domain */
	struct {
		const struct lapic_cpu_ops *ops;
		void *cpu; /* borrowed */
	} cpu[HV_MAX_VCPUS];
	struct dev *lapic[HV_MAX_VCPUS]; /* by APIC id; set by the LAPICs themselves */
	unsigned n;			 /* highest id + 1 */
	struct dev *ioapic, *pic;	 /* borrowed; NULL: none. For EOI and INTA */
	struct hv_msi_sink msi;		 /* for everyone outside the domain, which it takes */
	struct hv_irq_sink lint; /* inputs LINT0 and LINT1 of all CPUs; domain held already */
};

void lapic_bus_init(struct lapic_bus *b, struct hv_domain *domain);
/* Domain held: the IOAPIC, IPIs. Vectors below 16 are dropped. */
void lapic_bus_send(struct lapic_bus *b, const struct lapic_msg *m);
/* For hv_vm.move_apics; takes the domain, so that no message is lost in between. */
void lapic_bus_move(struct lapic_bus *b, bool to_engine);
/* An MSI as a message, and back. */
struct lapic_msg lapic_msg_of_msi(uint64_t addr, uint32_t data);
void lapic_msi_of_msg(const struct lapic_msg *m, uint64_t *ret_addr, uint32_t *ret_data);

/* Option "id": the APIC id, an index into lapic_bus.cpu. */
extern const struct dev_class dm_lapic;

/* The CPU's way in; ctx is the struct dev. */
extern const struct hv_lapic_ops dm_lapic_ops;

/* What firmware does before it starts a kernel that still uses the PIC: LINT0 is ExtINT, LINT1 NMI,
 * the APIC on. For direct boot; domain held. */
void dm_lapic_virtual_wire(struct dev *d);
#endif
