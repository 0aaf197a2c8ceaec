/* The machine's own struct: between q35.c (what it is made of) and machine.c (what is done to it).
 */
#ifndef DEVMODEL_MACHINE_MACHINE_INT_H
#define DEVMODEL_MACHINE_MACHINE_INT_H
#include "devmodel/chipset/isa_dma.h"
#include "devmodel/chipset/lapic.h"
#include "devmodel/machine/bad_page.h"
#include "devmodel/display/vga.h"
#include "devmodel/machine/boot.h"
#include "devmodel/machine/env.h"
#include "devmodel/machine/fwcfg.h"
#include "devmodel/machine/machine.h"
#include "devmodel/machine/memmap.h"
#include "devmodel/pci/lpc.h"
#include "devmodel/storage/media.h"
#include "devmodel/virtio/rng_backend.h"

/* Lock domains. Lock order: "pci" (the host bridge, which hands accesses on), then a function's
 * own or "chipset", then "lpc" (interrupt routing), then "irqchip". */
enum machine_domain {
	DOM_PCI,
	DOM_CHIPSET,
	DOM_LPC,
	DOM_IRQCHIP,
	DOM_RNG,
	DOM_AHCI,
	DOM_IDE,
	DOM_DISPLAY,
	DOM_DISK0,
	N_DOMAINS = DOM_DISK0 + MACHINE_MAX_DISKS
};

/* Where firmware puts the power management block. */
#define MACHINE_PM_PORT 0x600u

/* General-purpose event (dsdt.asl): the VM generation ID is another one. */
#define MACHINE_GPE_GENERATION 0x10u

#define MACHINE_VGA_DEVFN PCI_DEVFN(1, 0)

#define N_ISA_LINES 16
#define N_PIRQ_LINES 8

/* What devices and vCPUs ask for, to be done in the loop thread. */
enum machine_ask {
	ASK_RESET = 1,
	ASK_POWER_OFF = 2,
	ASK_SLEEP = 4,
	ASK_EXIT = 8,
	ASK_VM = 16,
	ASK_EJECTED = 32
};

/* Of a machine with a display. */
struct machine_vga {
	struct hv_ram *vram, *rom; /* NULL: none */
	struct hv_map_range window;
	struct vga_machine ops;
	/* Who is told of changes: constant while vCPUs run. waits: since the last draw nobody was.
	 */
	void (*watch)(void *ctx); /* NULL: nobody */
	void *watch_ctx;	  /* borrowed */
	_Atomic bool waits;
};

struct machine {
	/* constant after creation */
	struct machine_config config; /* its strings are not kept */
	struct machine_backends back;
	machine_event_fn fn;
	void *ctx;
	struct cpu_model model;
	struct chr *chr_none;  /* owned by nobody: chr_null */
	struct blk *disk_none; /* owned: the null disk, if a slot's back-end is missing */
	struct env_dev *pic, *ioapic, *mch, *lpc, *rst, *rtc, *pit, *hpet, *pm, *dma, *i8042;
	struct env_dev *lapic[HV_MAX_VCPUS];
	/* Who changes the medium of backends.disk[i]; ops NULL: nobody, it has none to change. */
	struct machine_drive {
		struct env_dev *ed;
		unsigned unit;
		const struct media_ops *ops;
	} drive[MACHINE_MAX_DISKS];
	struct env_dev *display; /* NULL: none */
	const struct disp_adapter_ops *display_ops;
	struct machine_vga vga;
	/* owned */
	struct hv_mem *mem;
	struct hv_pio *pio;
	struct hv_clock *clock;
	struct hv_vm vm;
	struct env env;
	struct hv_domain domain[N_DOMAINS];
	struct hv_irq_line isa[N_ISA_LINES], pirq[N_PIRQ_LINES], pic_intr, pit_out, rtc_out;
	struct hv_irq_sink sink_pic, sink_ioapic, sink_lpc, sink_hpet;
	struct lapic_bus lapics;
	struct pci_bus bus;
	struct mch_machine mch_ops;
	struct lpc_machine lpc_ops;
	struct isa_dma isa_dma;
	struct memmap map;
	struct bad_page bad_page;
	struct hv_map_range generation; /* the page with the VM generation ID */
	bool new_generation;		/* since the machine was saved */
	struct boot boot;
	struct fwcfg_items fwcfg;
	struct rng_seeded rng; /* of a deterministic machine */
	char saved_model[32];  /* the CPU model that a saved state names */
	/* loop thread */
	bool running; /* what the user asked for: machine_run() */
	bool asleep;  /* S3 */
	bool held;    /* the vCPUs stand still meanwhile: machine_hold() */
	/* under ask_lock; any thread */
	pthread_mutex_t ask_lock;
	unsigned asked; /* enum machine_ask */
	uint32_t sleep_arg, exit_arg;
	enum hv_vm_event vm_event;
	struct hv_vcpu *vm_vcpu;
	struct hv_exit vm_exit;
	struct loop_work ask_work, leds_work;
};

/* q35.c: creates devices, wires and places them; the machine's parts above are there. */
int q35_build(struct machine *m, struct err *e) HV_MUST_CHECK;
/* For struct env_machine. */
void *q35_backend(void *ctx, struct dev *d, enum dev_backend kind, const char *name, struct err *e);

/* floppy.c: the controller, if there is a drive. */
int floppy_add(struct machine *m, struct err *e) HV_MUST_CHECK;
bool floppy_any(const struct machine *m);
/* Its place in backends.disk; -1: there is no such drive. */
int floppy_find(const struct machine *m, unsigned unit);
enum floppy_drive floppy_type(const struct machine *m, unsigned unit);
/* Is it an image of a floppy disk that fits into the drive (NONE: into any)? */
int floppy_check(enum floppy_drive type, const struct blk *b, struct err *e) HV_MUST_CHECK;
void floppy_set_cmos(struct machine *m); /* at power-on */

/* machine.c: for struct env_machine and struct hv_vm. */
void machine_request(void *ctx, struct dev *d, enum dev_request what, uint32_t arg);
void machine_vm_event(void *ctx, struct hv_vcpu *v, enum hv_vm_event ev,
		      const struct hv_exit *exit);
/* saved.c: loading, in this order, into a machine that is thrown away on failure. */
struct state_file;
int saved_config(const struct state_file *f, struct machine *m, struct err *e) HV_MUST_CHECK;
/* bytes 0: any. */
int saved_ram(const struct state_file *f, int fd, struct hv_mem *mem, const char *name,
	      uint64_t bytes, struct hv_ram **ret_ram, struct err *e) HV_MUST_CHECK;
int saved_cpu_model(const struct state_file *f, struct machine *m, struct err *e) HV_MUST_CHECK;
int saved_load(struct machine *m, const struct state_file *f, struct err *e) HV_MUST_CHECK;

/* firmware.c: the ROM, from its file or (f not NULL) the saved state; *ret_rom NULL: none. */
int firmware_load(struct machine *m, const struct state_file *f, struct hv_ram **ret_rom,
		  struct err *e) HV_MUST_CHECK;

/* display.c: video memory and the VGA BIOS, likewise; before q35_build(). */
int display_load(struct machine *m, const struct state_file *f, struct err *e) HV_MUST_CHECK;

/* generation.c: the page with the VM generation ID; sets new_generation. */
int generation_load(struct machine *m, const struct state_file *f, struct err *e) HV_MUST_CHECK;
/* Tells the guest that there is another one. */
void generation_tell(struct machine *m);
/* It was told, and has not looked yet. */
bool generation_waits(struct machine *m);

/* boot_direct.c: what firmware does before a kernel starts, then the kernel. */
int boot_direct(struct machine *m, struct err *e) HV_MUST_CHECK;
int boot_wake(struct machine *m, struct err *e) HV_MUST_CHECK; /* the same after S3 */

/* Power-on state for all; stopped and quiet. */
int machine_power_on(struct machine *m, struct err *e) HV_MUST_CHECK;
#endif
