/*
 * What a device model is (dev_class), what it may touch (dev_env), and who calls it. A device file
 * reaches the outside only through its dev_env and the back-ends that the env hands it.
 */
#ifndef DEVMODEL_DEV_H
#define DEVMODEL_DEV_H
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "devmodel/opt.h"
#include "state/state.h"

#define DEV_MAX_REGIONS 16
#define DEV_MAX_IRQS 16
#define DEV_MAX_TIMERS 4
#define DEV_TIMER_OFF UINT64_MAX

struct dev;
enum dev_log_level { DEV_LOG_ERROR, DEV_LOG_WARN, DEV_LOG_INFO, DEV_LOG_DEBUG, DEV_LOG_TRACE };

/* What a device may ask of the whole machine. Done later, in the loop thread. */
enum dev_request {
	DEV_REQ_RESET,	    /* power-on state for all: 0xCF9, keyboard controller, ACPI reset */
	DEV_REQ_POWER_OFF,  /* ACPI S5 */
	DEV_REQ_SLEEP,	    /* ACPI S3, S4; arg: the number */
	DEV_REQ_DEBUG_EXIT, /* the debug-exit port; arg: the byte */
	DEV_REQ_INIT_CPUS,  /* port 0x92 bit 0: INIT to all CPUs */
	DEV_REQ_NMI,	    /* to the boot CPU */
	DEV_REQ_LEDS,	    /* none: the keyboard's lights have changed */
	DEV_REQ_EJECTED,    /* none: the guest has opened a drive, and the medium lies there */
	DEV_REQ_A20_ON,
	DEV_REQ_A20_OFF, /* these two take effect before the vCPU's next instruction */
};

/* Kinds of back-end; the structs are the consumers' headers. */
enum dev_backend {
	DEV_BACKEND_BLK,     /* struct blk, devmodel/storage/blk.h */
	DEV_BACKEND_CHR,     /* struct chr, devmodel/chipset/chr.h: serial ports, debug consoles */
	DEV_BACKEND_RNG,     /* struct rng, devmodel/virtio/rng_backend.h */
	DEV_BACKEND_MACHINE, /* what only the machine can provide: each device's header says */
};

enum dev_space { DEV_SPACE_PIO, DEV_SPACE_MMIO };

/* Work that comes back into the device under its domain, in the loop thread; owner's storage. */
struct dev_work {
	void (*fn)(struct dev *d, struct dev_work *w);
	struct dev *dev;
	void *priv; /* private to the env; NULL at first */
};

/*
 * Everything a device may touch outside itself; tests supply fakes. Called by the device under
 * its lock domain, through the helpers below. None may be NULL, none blocks or calls back.
 */
struct dev_env {
	/* Virtual time: stands still while the VM is paused, survives saved states. */
	uint64_t (*now_ns)(void *ctx);
	/* Wall-clock ns since 1970, moving with virtual time. */
	uint64_t (*wall_ns)(void *ctx);
	/* Has cls->timer(d, timer) called once, not before when_ns, instead of what was armed. */
	void (*timer_arm)(void *ctx, struct dev *d, unsigned timer, uint64_t when_ns);
	/* Drives a line; the same level again changes nothing. */
	void (*irq_set)(void *ctx, struct dev *d, unsigned line, bool level);
	/* Sends an MSI. */
	void (*msi_send)(void *ctx, struct dev *d, uint64_t addr, uint32_t data);
	/* Copy from and to guest RAM. 0, or -EFAULT where there is none: a guest error. */
	int (*dma_read)(void *ctx, uint64_t gpa, void *buf, size_t len);
	int (*dma_write)(void *ctx, uint64_t gpa, const void *buf, size_t len);
	/* The host address of len bytes of guest RAM in one piece, or NULL; for the I/O vectors of
	 * a request under way, which the device must have drained before its quiesce returns. */
	void *(*dma_host)(void *ctx, uint64_t gpa, size_t len, bool write);
	/* Data landed through dma_host: before the completion interrupt. Any thread. */
	void (*dma_written)(void *ctx, uint64_t gpa, uint64_t len);
	/* Places a region of the device (a BAR), or takes it out (on false). */
	void (*region_map)(void *ctx, struct dev *d, unsigned region, enum dev_space space,
			   uint64_t base, bool on);
	/* Any thread: has w->fn called. Queued already: nothing happens. */
	void (*post)(void *ctx, struct dev_work *w);
	void (*request)(void *ctx, struct dev *d, enum dev_request what, uint32_t arg);
	/* In realize: the back-end of that kind and name, borrowed; NULL with e set: none such. */
	void *(*backend)(void *ctx, struct dev *d, enum dev_backend kind, const char *name,
			 struct err *e);
	/* Adds the path prefix; filters by level. */
	void (*log)(void *ctx, const struct dev *d, enum dev_log_level level, const char *fmt,
		    va_list ap);
	/* The guest did what the specification forbids; no more often than worth telling. */
	void (*guest_error)(void *ctx, const struct dev *d, const char *fmt, va_list ap);
	void *ctx; /* borrowed; outlives the device */
};

/* A range of registers. min_size = max_size = 0 is a region the class does not have. */
struct dev_region {
	const char *name;
	uint64_t bytes;
	unsigned min_size, max_size;
	/* O. Of memory: n registers of max_size from off on, every step bytes. A write to one,
	 * whatever the value, only has the device look at what lies in guest memory, and may come
	 * later, in the loop thread, as a write of 0 to all of them. */
	struct {
		uint64_t off;
		uint32_t step, n;
	} bells;
};

/*
 * One per device model, const, the last lines of that model's file. Unless it says otherwise a
 * member is called under the device's lock domain, must not block, and may not be NULL; "O" = may.
 */
struct dev_class {
	const char *name;		/* configuration key and log channel */
	const char *summary;		/* one line for --help and the manager */
	size_t size;			/* zeroed by dev_create(); first member is struct dev */
	const struct opt *opts;		/* O */
	const struct state_desc *state; /* O: only with cannot_save, the reason shown instead */
	size_t state_off;		/* where the struct it describes lies */
	const char *cannot_save;
	struct dev_region regions[DEV_MAX_REGIONS];
	const char *irqs[DEV_MAX_IRQS]; /* names of the output lines */
	unsigned n_irq_in;		/* input pins (interrupt controllers), see irq_in */
	unsigned n_timers;

	/* O. dev_create(), loop thread, no lock, may block: claim host resources and back-ends,
	 * options are set. 0 or -errno with e set; unrealize is called after a failure, too. */
	int (*realize)(struct dev *d, struct err *e);
	/* O. dev_destroy(), loop thread, no lock, may block. Takes a half-realized device. */
	void (*unrealize)(struct dev *d);
	/* dev_create() and machine reset: power-on values. Cannot fail, does not allocate. */
	void (*reset)(struct dev *d);
	/* O without regions. Bus, a vCPU's thread. size is within the region's, off a multiple of
	 * it and in range: no device checks that again. read's upper bits are zero. */
	uint64_t (*read)(struct dev *d, unsigned region, uint64_t off, unsigned size);
	void (*write)(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v);
	/* O without timers. Loop thread, once per timer_arm(); may come late, never early. */
	void (*timer)(struct dev *d, unsigned timer);
	/* O without inputs. A wire changed. Any thread. */
	void (*irq_in)(struct dev *d, unsigned input, bool level);
	/* O. Pause, loop thread, domain not held, may block: stop workers, drain I/O. Twice is
	 * once. 0 or -errno with e set: the VM keeps running. */
	int (*quiesce)(struct dev *d, struct err *e);
	/* O. Undoes quiesce. Also after a load, when all devices are loaded: timers, lines and
	 * mappings follow the state. Twice is once. */
	void (*resume)(struct dev *d);
};

struct dev {
	const struct dev_class *cls;
	const struct dev_env *env; /* borrowed */
	const char *id;		   /* borrowed: path in the machine, "pci0.3" */
	uint32_t guest_errors;	   /* under the domain; wraps */
	void *env_priv;		   /* the env's record of the device; not the device's business */
};

extern const struct dev_class *const dm_classes[]; /* registry.c; ends with NULL */

/* args: "key=value"..., NULL; or NULL. *ret_dev is owned by the caller. */
HV_MUST_CHECK int dev_create(const struct dev_class *c, const char *id, const struct dev_env *env,
			     void *env_priv, const char *const *args, struct dev **ret_dev,
			     struct err *e);
void dev_destroy(struct dev *d); /* NULL is fine */
static inline void dev_destroyp_(struct dev **d)
{
	dev_destroy(*d);
}
#define auto_dev __attribute__((cleanup(dev_destroyp_)))

/* For the machine, domain held. After a load: resume all devices, once all are loaded. */
HV_MUST_CHECK int dev_save(const struct dev *d, struct state_out *o, struct err *e);
HV_MUST_CHECK int dev_load(struct dev *d, struct state_in *in, struct err *e);
/* For the bus, domain held: any offset, 1 to 8 bytes. Where nothing answers, ones are read. */
uint64_t dev_read(struct dev *d, unsigned region, uint64_t off, unsigned size);
void dev_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v);

/* For device models. */
static inline uint64_t dev_now_ns(const struct dev *d)
{
	return d->env->now_ns(d->env->ctx);
}
static inline uint64_t dev_wall_ns(const struct dev *d)
{
	return d->env->wall_ns(d->env->ctx);
}
static inline void *dev_dma_host(struct dev *d, uint64_t gpa, size_t len, bool write)
{
	return d->env->dma_host(d->env->ctx, gpa, len, write);
}
static inline void dev_dma_written(struct dev *d, uint64_t gpa, uint64_t len)
{
	d->env->dma_written(d->env->ctx, gpa, len);
}
void dev_timer_arm(struct dev *d, unsigned timer, uint64_t when_ns);
void dev_irq_set(struct dev *d, unsigned line, bool level);
void dev_msi_send(struct dev *d, uint64_t addr, uint32_t data);
HV_MUST_CHECK int dev_dma_read(struct dev *d, uint64_t gpa, void *buf, size_t len);
HV_MUST_CHECK int dev_dma_write(struct dev *d, uint64_t gpa, const void *buf, size_t len);
void dev_region_map(struct dev *d, unsigned region, enum dev_space space, uint64_t base, bool on);
void dev_request(struct dev *d, enum dev_request what, uint32_t arg);
void *dev_backend(struct dev *d, enum dev_backend kind, const char *name, struct err *e);
void dev_post(struct dev_work *w);
HV_PRINTF(3, 4) void dev_log(const struct dev *d, enum dev_log_level l, const char *fmt, ...);
HV_PRINTF(2, 3) void dev_guest_error(struct dev *d, const char *fmt, ...);
#endif
