/*
 * The dev_env of a real machine: devices' timers on the virtual clock, lines, DMA, regions on the
 * buses, and posted work that comes back in the loop thread under the device's domain.
 */
#ifndef DEVMODEL_MACHINE_ENV_H
#define DEVMODEL_MACHINE_ENV_H
#include "base/loop.h"
#include "bus/irq.h"
#include "bus/pio.h"
#include "clock/clock.h"
#include "devmodel/dev.h"
#include "mem/mem.h"

/* What the environment cannot answer itself; set by the machine. */
struct env_machine {
	/* A device's domain held; any thread. */
	void (*request)(void *ctx, struct dev *d, enum dev_request what, uint32_t arg);
	void *(*backend)(void *ctx, struct dev *d, enum dev_backend kind, const char *name,
			 struct err *e);
	void *ctx;
};

struct env_dev;

struct env {
	struct dev_env ops; /* what devices get */
	/* borrowed, constant */
	struct hv_mem *mem;
	struct hv_pio *pio;
	struct hv_clock *clock;
	struct loop *loop;
	const struct hv_msi_sink *msi;
	bool bells; /* the engine rings them */
	struct env_machine machine;
	/* loop thread */
	struct env_dev *first, **last; /* owned, in the order of creation */
	struct loop_work posted;
	struct hv_timer posted_timer; /* with a counted clock */
	/* under post_lock */
	pthread_mutex_t post_lock;
	struct dev_work *post_head, **post_tail;
	bool closed; /* the devices are going: what is posted is dropped */
};

/* One device as the machine keeps it. */
struct env_dev {
	struct env *env;
	struct dev *dev; /* owned; NULL while it is made */
	struct hv_domain *domain;
	int prio; /* of its memory ranges */
	char id[24];
	struct hv_irq_driver irq[DEV_MAX_IRQS];
	struct env_timer {
		struct env_dev *ed;
		unsigned index;
		struct hv_timer timer;
	} timer[DEV_MAX_TIMERS];
	struct env_region {
		struct env_dev *ed;
		unsigned index;
		struct hv_map_range mem;
		struct hv_pio_range pio;
		struct loop_fd bell; /* its eventfd is owned; ctx NULL: none */
	} region[DEV_MAX_REGIONS];
	struct env_dev *next;
};

/* mem to machine are set by the caller. */
void env_init(struct env *env);
void env_finish(struct env *env); /* destroys the devices, the youngest first */

/* Creates a device and adds it. args as for dev_create(). */
int env_add(struct env *env, const struct dev_class *c, const char *id, struct hv_domain *domain,
	    int prio, const char *const *args, struct env_dev **ret_ed,
	    struct err *e) HV_MUST_CHECK;
/* Places a region for good, or moves it. Any thread. */
void env_map(struct env_dev *ed, unsigned region, enum dev_space space, uint64_t base, bool on);
/* A region whose bytes are those of a block, from its start; before it is placed. */
void env_back(struct env_dev *ed, unsigned region, enum hv_map_kind kind, struct hv_ram *ram);
/* Wires a device's line. */
void env_wire(struct env_dev *ed, unsigned line, struct hv_irq_line *to);
#endif
