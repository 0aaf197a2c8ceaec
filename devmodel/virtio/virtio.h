/*
 * Virtio devices: a vio_class wraps a pci_class; this layer is the modern PCI transport and the
 * split virtqueue. A device's struct starts with struct vio_dev, its state with struct vio_state.
 *
 * Everything a guest puts into a ring is hostile: an index, length or address that the
 * specification forbids stops the device (DEVICE_NEEDS_RESET), the machine goes on.
 */
#ifndef DEVMODEL_VIRTIO_VIRTIO_H
#define DEVMODEL_VIRTIO_VIRTIO_H
#include "devmodel/pci/pci.h"

#define VIO_MAX_QUEUES 4
#define VIO_QUEUE_SIZE_MAX 256
#define VIO_MAX_SEGS 130 /* descriptors of a chain; longer ones are refused */
#define VIO_BAR_BYTES 0x4000
#define VIO_BAR_NOTIFY 0x3000 /* a register each queue */
#define VIO_NOTIFY_STEP 4
enum { VIO_REGION_BAR = PCI_REGION_DEV };

enum {
	VIO_STATUS_ACK = 1,
	VIO_STATUS_DRIVER = 2,
	VIO_STATUS_DRIVER_OK = 4,
	VIO_STATUS_FEATURES_OK = 8,
	VIO_STATUS_NEEDS_RESET = 0x40,
	VIO_STATUS_FAILED = 0x80
};
#define VIO_F_INDIRECT (1ull << 28)
#define VIO_F_EVENT_IDX (1ull << 29)
#define VIO_F_VERSION_1 (1ull << 32)
#define VIO_F_COMMON (VIO_F_INDIRECT | VIO_F_EVENT_IDX | VIO_F_VERSION_1)

STATE_LAYOUT_BEGIN
struct vio_queue_state {
	uint64_t desc, avail, used; /* guest-physical addresses of the three parts */
	uint16_t size, enabled, vector;
	uint16_t next_avail; /* next entry to take */
	uint16_t used_idx;   /* next entry to give back */
	uint16_t signalled;  /* used_idx when the guest was last told */
	uint16_t pad_[2];
};

struct vio_state {
	struct pci_state pci;
	struct vio_queue_state queue[VIO_MAX_QUEUES];
	uint64_t driver_features;
	uint32_t device_feature_sel, driver_feature_sel;
	uint16_t config_vector, queue_sel;
	uint8_t status, isr;
	uint8_t pad_[2];
};
STATE_LAYOUT_END
extern const struct state_desc vio_state_desc;

struct vio_dev {
	struct pci_dev pci;
	struct vio_state *s; /* borrowed: in the device's own state */
	bool resetting;	     /* the driver asked; requests under way have to end first */
};

struct vio_class {
	/* realize, reset, resume call vio_realize, vio_reset, vio_resume; VIO_CLASS_COMMON. */
	struct pci_class pci;
	uint8_t n_queues;
	uint64_t features; /* at most; see offered */
	uint16_t config_bytes;
	/* O. What this device offers of features. */
	uint64_t (*offered)(struct vio_dev *v);
	/* O without config_bytes. Fills in the configuration. */
	void (*config)(struct vio_dev *v, uint8_t *ret_config);
	/* Entries may have been added to an enabled queue of a running device. */
	void (*kick)(struct vio_dev *v, unsigned queue);
	/* O. The driver resets the device: true when nothing is under way, else vio_reset_done() is
	 * called when that is so. */
	bool (*stop)(struct vio_dev *v);
};

static inline const struct vio_class *vio_class_of(const struct vio_dev *v)
{
	return (const struct vio_class *)(const void *)v->pci.dev.cls;
}

/* ---- transport, pci.c ---- */
void vio_realize(struct vio_dev *v, struct vio_state *s);
void vio_reset(struct vio_dev *v);
void vio_resume(struct vio_dev *v); /* kicks the queues of a running device */
void vio_reset_done(struct vio_dev *v);
void vio_state_init(const struct vio_class *c, struct vio_state *s);
int vio_post_load(const struct vio_class *c, const struct vio_state *s,
		  struct err *e) HV_MUST_CHECK;
bool vio_running(const struct vio_dev *v);
/* The guest broke the rules of the ring. */
void vio_broken(struct vio_dev *v, const char *why);
void vio_interrupt(struct vio_dev *v, unsigned queue);

uint64_t vio_bar_read(struct dev *d, unsigned region, uint64_t off, unsigned size);
void vio_bar_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v);
void vio_cfg_reading(struct pci_dev *p, unsigned off, unsigned size);
void vio_cfg_written(struct pci_dev *p, unsigned off, unsigned size);
extern const struct pci_cap vio_caps[];

/* The members of pci_class and dev_class that are the same for all virtio devices. */
#define VIO_REGIONS(queues)                                                                        \
	{                                                                                          \
		PCI_REGIONS_COMMON, [PCI_REGION_MSIX] = { "msix", PCI_MSIX_BYTES, 4, 8 },          \
				    [VIO_REGION_BAR] = {                                           \
					    .name = "virtio",                                      \
					    .bytes = VIO_BAR_BYTES,                                \
					    .min_size = 1,                                         \
					    .max_size = 4,                                         \
					    .bells = { VIO_BAR_NOTIFY, VIO_NOTIFY_STEP, queues },  \
				    },                                                             \
	}
#define VIO_PCI_COMMON                                                                             \
	.vendor = 0x1af4, .subsys_vendor = 0x1af4, .subsys = 0x1100, .revision = 1, .int_pin = 1,  \
	.msix_bar = 1, .caps = vio_caps,                                                           \
	.bars = { [1] = { PCI_BAR_MMIO32, PCI_REGION_MSIX, false },                                \
		  [4] = { PCI_BAR_MMIO64, VIO_REGION_BAR, true } },                                \
	.read = vio_bar_read, .write = vio_bar_write, .cfg_reading = vio_cfg_reading,              \
	.cfg_written = vio_cfg_written

/* ---- queues, queue.c ---- */

struct vio_seg {
	uint64_t gpa;
	uint32_t len;
};

/* A request: first n_out pieces that the device reads, then n_in that it writes. */
struct vio_chain {
	uint16_t head;
	unsigned n_out, n_in;
	uint64_t out_bytes, in_bytes;
	struct vio_seg seg[VIO_MAX_SEGS];
};

/* Takes the next request: 1; none: 0; the ring is broken (the device has stopped): -EINVAL. */
int vio_pop(struct vio_dev *v, unsigned queue, struct vio_chain *ret_chain);
/* Gives a request back with written bytes; the guest is told by vio_interrupt_if_wanted(). */
void vio_push(struct vio_dev *v, unsigned queue, uint16_t head, uint32_t written);
void vio_interrupt_if_wanted(struct vio_dev *v, unsigned queue);
/* Asks the guest not to kick (while the queue is being looked at), or to kick again; in that case
 * true: entries came in the meantime, look again. */
void vio_kicks_off(struct vio_dev *v, unsigned queue);
bool vio_kicks_on(struct vio_dev *v, unsigned queue);
/* Addresses that a queue can have; false: none of a guest's. */
bool vio_queue_valid(const struct vio_queue_state *q);

/* Copies bytes at off of the request's readable (writable) part. 0 or -EFAULT. */
int vio_copy_out(struct vio_dev *v, const struct vio_chain *c, uint64_t off, void *buf,
		 size_t len) HV_MUST_CHECK;
int vio_copy_in(struct vio_dev *v, const struct vio_chain *c, uint64_t off, const void *buf,
		size_t len) HV_MUST_CHECK;
#endif
