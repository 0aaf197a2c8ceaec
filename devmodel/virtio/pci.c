/*
 * Virtio over PCI, the modern interface: capabilities, common configuration, notification,
 * interrupt status and device configuration in one 64-bit BAR; see virtio.h.
 *
 * Specification: Virtual I/O Device (VIRTIO) 1.2, chapters 2 and 4.1.
 * Not modelled: the legacy and transitional interfaces, notification data, queue reset, shared
 * memory; features that no device here has.
 */
#include "devmodel/virtio/virtio.h"
#include "base/util.h"

/* Where the parts lie in the BAR. */
enum {
	BAR_COMMON = 0x0000,
	BAR_ISR = 0x1000,
	BAR_CONFIG = 0x2000,
	PART_BYTES = 0x1000,
	COMMON_BYTES = 0x38,
	CONFIG_MAX = 256
};
/* The common configuration's registers. */
enum {
	C_DEVICE_FEATURE_SEL = 0x00,
	C_DEVICE_FEATURE = 0x04,
	C_DRIVER_FEATURE_SEL = 0x08,
	C_DRIVER_FEATURE = 0x0c,
	C_CONFIG_VECTOR = 0x10,
	C_NUM_QUEUES = 0x12,
	C_STATUS = 0x14,
	C_GENERATION = 0x15,
	C_QUEUE_SEL = 0x16,
	C_QUEUE_SIZE = 0x18,
	C_QUEUE_VECTOR = 0x1a,
	C_QUEUE_ENABLE = 0x1c,
	C_QUEUE_NOTIFY_OFF = 0x1e,
	C_QUEUE_DESC = 0x20,
	C_QUEUE_AVAIL = 0x28,
	C_QUEUE_USED = 0x30
};
enum { ISR_QUEUE = 1, ISR_CONFIG = 2 };
enum { STATUS_ALL = 0xcf };

/* ---- capabilities; the window into the BAR from configuration space comes first ---- */

enum {
	CAP_VENDOR = 9,
	CAP_BAR = 4,
	WINDOW_AT = PCI_CAP_FIRST,
	WINDOW_BAR = WINDOW_AT + 4,
	WINDOW_OFF = WINDOW_AT + 8,
	WINDOW_LEN = WINDOW_AT + 12,
	WINDOW_DATA = WINDOW_AT + 16
};
enum { CFG_TYPE_COMMON = 1, CFG_TYPE_NOTIFY, CFG_TYPE_ISR, CFG_TYPE_DEVICE, CFG_TYPE_WINDOW };

#define LE32(v) (v) & 0xff, (v) >> 8 & 0xff, (v) >> 16 & 0xff, (v) >> 24 & 0xff
#define CAP_BODY(len, type, off, bytes) len, type, CAP_BAR, 0, 0, 0, LE32(off), LE32(bytes)

static const uint8_t window_body[] = { CAP_BODY(20, CFG_TYPE_WINDOW, 0, 0), LE32(0) };
static const uint8_t window_wmask[] = {
	0, 0, 0xff, 0, 0, 0, LE32(0xffffffff), LE32(0xffffffff), LE32(0xffffffff)
};
static const uint8_t common_body[] = { CAP_BODY(16, CFG_TYPE_COMMON, BAR_COMMON, PART_BYTES) };
static const uint8_t isr_body[] = { CAP_BODY(16, CFG_TYPE_ISR, BAR_ISR, PART_BYTES) };
static const uint8_t config_body[] = { CAP_BODY(16, CFG_TYPE_DEVICE, BAR_CONFIG, PART_BYTES) };
static const uint8_t notify_body[] = { CAP_BODY(20, CFG_TYPE_NOTIFY, VIO_BAR_NOTIFY, PART_BYTES),
				       LE32(VIO_NOTIFY_STEP) };

const struct pci_cap vio_caps[] = {
	{ CAP_VENDOR, 20, window_body, window_wmask },
	{ CAP_VENDOR, 16, common_body, NULL },
	{ CAP_VENDOR, 16, isr_body, NULL },
	{ CAP_VENDOR, 16, config_body, NULL },
	{ CAP_VENDOR, 20, notify_body, NULL },
	{ 0, 0, NULL, NULL },
};

static struct vio_dev *vio_from_dev(struct dev *d)
{
	return (struct vio_dev *)d;
}

/* ---- status, interrupts ---- */

bool vio_running(const struct vio_dev *v)
{
	return (v->s->status & (VIO_STATUS_DRIVER_OK | VIO_STATUS_NEEDS_RESET)) ==
		       VIO_STATUS_DRIVER_OK &&
	       !v->resetting && pci_is_master(&v->pci);
}

static void raise(struct vio_dev *v, uint8_t isr, uint16_t vector)
{
	v->s->isr |= isr;
	if (pci_msix_enabled(&v->pci))
		pci_msix_notify(&v->pci, vector);
	else
		pci_set_intx(&v->pci, true);
}

void vio_interrupt(struct vio_dev *v, unsigned queue)
{
	raise(v, ISR_QUEUE, v->s->queue[queue].vector);
}

void vio_broken(struct vio_dev *v, const char *why)
{
	if (v->s->status & VIO_STATUS_NEEDS_RESET)
		return;
	dev_guest_error(&v->pci.dev, "%s; waits for a reset", why);
	v->s->status |= VIO_STATUS_NEEDS_RESET;
	raise(v, ISR_CONFIG, v->s->config_vector);
}

static uint64_t offered(struct vio_dev *v)
{
	const struct vio_class *c = vio_class_of(v);

	return c->offered != NULL ? c->offered(v) : c->features;
}

/* ---- reset ---- */

/* Everything but the PCI part. */
static void init_virtio(const struct vio_class *c, struct vio_state *s)
{
	memset((uint8_t *)s + sizeof(s->pci), 0, sizeof(*s) - sizeof(s->pci));
	s->config_vector = PCI_MSIX_NONE;
	for (unsigned i = 0; i < VIO_MAX_QUEUES; i++) {
		s->queue[i].size = i < c->n_queues ? VIO_QUEUE_SIZE_MAX : 0;
		s->queue[i].vector = PCI_MSIX_NONE;
	}
}

void vio_state_init(const struct vio_class *c, struct vio_state *s)
{
	pci_state_init(&c->pci, &s->pci);
	init_virtio(c, s);
}

void vio_realize(struct vio_dev *v, struct vio_state *s)
{
	v->s = s;
	pci_realize(&v->pci, &s->pci);
}

void vio_reset(struct vio_dev *v)
{
	v->resetting = false;
	init_virtio(vio_class_of(v), v->s);
	pci_reset(&v->pci);
}

void vio_reset_done(struct vio_dev *v)
{
	v->resetting = false;
	init_virtio(vio_class_of(v), v->s);
	pci_set_intx(&v->pci, false);
}

static void write_status(struct vio_dev *v, uint8_t status)
{
	const struct vio_class *c = vio_class_of(v);
	const uint8_t was = v->s->status;

	if (status == 0) {
		v->resetting = true;
		if (c->stop == NULL || c->stop(v))
			vio_reset_done(v);
		return;
	}
	status = (uint8_t)((status & STATUS_ALL) | (was & VIO_STATUS_NEEDS_RESET));
	if ((status & ~was & VIO_STATUS_FEATURES_OK) &&
	    ((v->s->driver_features & ~offered(v)) || !(v->s->driver_features & VIO_F_VERSION_1)))
		status &= (uint8_t)~VIO_STATUS_FEATURES_OK;
	v->s->status = status;
	if (status & ~was & VIO_STATUS_DRIVER_OK)
		for (unsigned i = 0; i < c->n_queues; i++)
			if (vio_running(v) && v->s->queue[i].enabled)
				c->kick(v, i);
}

/* ---- the common configuration ---- */

static struct vio_queue_state *selected(struct vio_dev *v)
{
	return v->s->queue_sel < vio_class_of(v)->n_queues ? &v->s->queue[v->s->queue_sel] : NULL;
}

static uint32_t features_word(uint64_t features, uint32_t sel)
{
	return sel < 2 ? (uint32_t)(features >> 32 * sel) : 0;
}

static void common_image(struct vio_dev *v, uint8_t *c)
{
	const struct vio_state *s = v->s;
	const struct vio_queue_state *q = selected(v);

	memset(c, 0, COMMON_BYTES);
	pci_cfg_put(c, C_DEVICE_FEATURE_SEL, 4, s->device_feature_sel);
	pci_cfg_put(c, C_DEVICE_FEATURE, 4, features_word(offered(v), s->device_feature_sel));
	pci_cfg_put(c, C_DRIVER_FEATURE_SEL, 4, s->driver_feature_sel);
	pci_cfg_put(c, C_DRIVER_FEATURE, 4,
		    features_word(s->driver_features, s->driver_feature_sel));
	pci_cfg_put(c, C_CONFIG_VECTOR, 2, s->config_vector);
	pci_cfg_put(c, C_NUM_QUEUES, 2, vio_class_of(v)->n_queues);
	c[C_STATUS] = s->status;
	pci_cfg_put(c, C_QUEUE_SEL, 2, s->queue_sel);
	if (q == NULL)
		return;
	pci_cfg_put(c, C_QUEUE_SIZE, 2, q->size);
	pci_cfg_put(c, C_QUEUE_VECTOR, 2, q->vector);
	pci_cfg_put(c, C_QUEUE_ENABLE, 2, q->enabled);
	pci_cfg_put(c, C_QUEUE_NOTIFY_OFF, 2, s->queue_sel);
	memcpy(c + C_QUEUE_DESC, &q->desc, 8);
	memcpy(c + C_QUEUE_AVAIL, &q->avail, 8);
	memcpy(c + C_QUEUE_USED, &q->used, 8);
}

static uint16_t vector_or_none(const struct vio_dev *v, uint32_t vector)
{
	return vector < vio_class_of(v)->pci.n_msix ? (uint16_t)vector : PCI_MSIX_NONE;
}

static void queue_enable(struct vio_dev *v, struct vio_queue_state *q)
{
	if (q->enabled)
		return;
	if (!vio_queue_valid(q)) {
		vio_broken(v, "a queue's addresses are not aligned");
		return;
	}
	q->enabled = 1;
	q->next_avail = q->used_idx = q->signalled = 0;
}

static void put_half(uint64_t *field, unsigned off, uint32_t v)
{
	const unsigned shift = (off & 4) * 8;

	*field = (*field & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)v << shift;
}

static void write_queue(struct vio_dev *v, unsigned off, unsigned size, uint32_t value)
{
	struct vio_queue_state *q = selected(v);

	if (q == NULL)
		return;
	if (off == C_QUEUE_VECTOR && size == 2) {
		q->vector = vector_or_none(v, value);
		return;
	}
	if (q->enabled)
		return; /* the rest is fixed from then on */
	if (off == C_QUEUE_SIZE && size == 2) {
		if (value != 0 && value <= VIO_QUEUE_SIZE_MAX && (value & (value - 1)) == 0)
			q->size = (uint16_t)value;
		else
			dev_guest_error(&v->pci.dev, "queue size %u", value);
	} else if (off == C_QUEUE_ENABLE && size == 2 && value == 1) {
		queue_enable(v, q);
	} else if (size == 4 && (off & ~4u) == C_QUEUE_DESC) {
		put_half(&q->desc, off, value);
	} else if (size == 4 && (off & ~4u) == C_QUEUE_AVAIL) {
		put_half(&q->avail, off, value);
	} else if (size == 4 && (off & ~4u) == C_QUEUE_USED) {
		put_half(&q->used, off, value);
	}
}

static void write_common(struct vio_dev *v, unsigned off, unsigned size, uint32_t value)
{
	struct vio_state *s = v->s;

	if (v->resetting)
		return;
	if (off >= C_QUEUE_SIZE) {
		write_queue(v, off, size, value);
	} else if (off == C_STATUS && size == 1) {
		write_status(v, (uint8_t)value);
	} else if (off == C_DEVICE_FEATURE_SEL && size == 4) {
		s->device_feature_sel = value;
	} else if (off == C_DRIVER_FEATURE_SEL && size == 4) {
		s->driver_feature_sel = value;
	} else if (off == C_DRIVER_FEATURE && size == 4) {
		if (s->driver_feature_sel < 2 && !(s->status & VIO_STATUS_FEATURES_OK))
			put_half(&s->driver_features, s->driver_feature_sel * 4, value);
	} else if (off == C_CONFIG_VECTOR && size == 2) {
		s->config_vector = vector_or_none(v, value);
	} else if (off == C_QUEUE_SEL && size == 2) {
		s->queue_sel = (uint16_t)value;
	}
}

/* ---- the BAR ---- */

static uint32_t read_isr(struct vio_dev *v)
{
	const uint32_t isr = v->s->isr;

	v->s->isr = 0;
	pci_set_intx(&v->pci, false);
	return isr;
}

uint64_t vio_bar_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	struct vio_dev *v = vio_from_dev(d);
	const struct vio_class *c = vio_class_of(v);
	const unsigned part = (unsigned)off & ~(PART_BYTES - 1u), at = off % PART_BYTES;
	uint8_t image[CONFIG_MAX] = { 0 };

	(void)region; /* there is one */
	if (part == BAR_ISR)
		return at == 0 ? read_isr(v) : 0;
	if (part == VIO_BAR_NOTIFY || at + size > (part == BAR_COMMON ? COMMON_BYTES : CONFIG_MAX))
		return 0;
	if (part == BAR_COMMON)
		common_image(v, image);
	else if (c->config != NULL)
		c->config(v, image);
	return pci_cfg_get(image, at, size);
}

static void notify(struct vio_dev *v, unsigned queue)
{
	const struct vio_class *c = vio_class_of(v);

	if (queue < c->n_queues && vio_running(v) && v->s->queue[queue].enabled)
		c->kick(v, queue);
}

void vio_bar_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t value)
{
	struct vio_dev *v = vio_from_dev(d);
	const unsigned part = (unsigned)off & ~(PART_BYTES - 1u), at = off % PART_BYTES;

	(void)region;
	if (part == BAR_COMMON)
		write_common(v, at, size, (uint32_t)value);
	else if (part == VIO_BAR_NOTIFY)
		notify(v, at / VIO_NOTIFY_STEP);
	/* No device here has configuration that a driver may write. */
}

/* ---- the window: an access to pci_cfg_data is one to the BAR ---- */

static bool window(const struct pci_dev *p, unsigned off, unsigned size, uint32_t *ret_off,
		   uint32_t *ret_len)
{
	const uint8_t *cfg = p->s->cfg;

	*ret_off = pci_cfg_get(cfg, WINDOW_OFF, 4);
	*ret_len = pci_cfg_get(cfg, WINDOW_LEN, 4);
	return off < WINDOW_DATA + 4 && off + size > WINDOW_DATA && cfg[WINDOW_BAR] == CAP_BAR &&
	       (*ret_len == 1 || *ret_len == 2 || *ret_len == 4) && *ret_off % *ret_len == 0 &&
	       *ret_off <= VIO_BAR_BYTES - *ret_len;
}

void vio_cfg_reading(struct pci_dev *p, unsigned off, unsigned size)
{
	uint32_t at, len;

	if (window(p, off, size, &at, &len))
		pci_cfg_put(p->s->cfg, WINDOW_DATA, len,
			    (uint32_t)vio_bar_read(&p->dev, VIO_REGION_BAR, at, len));
}

void vio_cfg_written(struct pci_dev *p, unsigned off, unsigned size)
{
	uint32_t at, len;

	if (window(p, off, size, &at, &len))
		vio_bar_write(&p->dev, VIO_REGION_BAR, at, len,
			      pci_cfg_get(p->s->cfg, WINDOW_DATA, len));
}

/* ---- state ---- */

void vio_resume(struct vio_dev *v)
{
	const struct vio_class *c = vio_class_of(v);

	pci_resume(&v->pci);
	for (unsigned i = 0; i < c->n_queues; i++)
		notify(v, i);
}

static bool vector_ok(const struct vio_class *c, uint16_t vector)
{
	return vector == PCI_MSIX_NONE || vector < c->pci.n_msix;
}

int vio_post_load(const struct vio_class *c, const struct vio_state *s, struct err *e)
{
	const char *name = c->pci.base.name;

	if ((s->status & ~STATUS_ALL) || s->isr > (ISR_QUEUE | ISR_CONFIG) ||
	    !vector_ok(c, s->config_vector))
		return err_set(e, -EINVAL, "%s: status, isr or vector of no such device", name);
	for (unsigned i = 0; i < VIO_MAX_QUEUES; i++) {
		const struct vio_queue_state *q = &s->queue[i];
		if (i >= c->n_queues
			    ? q->size != 0 || q->enabled != 0
			    : q->enabled > 1 || q->size == 0 || q->size > VIO_QUEUE_SIZE_MAX ||
				      (q->size & (q->size - 1)) != 0 ||
				      (q->enabled && !vio_queue_valid(q)))
			return err_set(e, -EINVAL, "%s: queue %u cannot be so", name, i);
		if (!vector_ok(c, q->vector))
			return err_set(e, -EINVAL, "%s: queue %u cannot be so", name, i);
	}
	return pci_post_load(&c->pci, &s->pci, e);
}

static const struct state_desc queue_state_desc = {
	.name = "virtqueue",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct vio_queue_state),
	.fields =
		(const struct state_field[]){
			STATE(struct vio_queue_state, desc), STATE(struct vio_queue_state, avail),
			STATE(struct vio_queue_state, used), STATE(struct vio_queue_state, size),
			STATE(struct vio_queue_state, enabled),
			STATE(struct vio_queue_state, vector),
			STATE(struct vio_queue_state, next_avail),
			STATE(struct vio_queue_state, used_idx),
			STATE(struct vio_queue_state, signalled),
			STATE_PAD(struct vio_queue_state, pad_), STATE_END },
};

const struct state_desc vio_state_desc = {
	.name = "virtio",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct vio_state),
	.fields =
		(const struct state_field[]){
			STATE_STRUCT(struct vio_state, pci, &pci_state_desc),
			STATE_STRUCTS(struct vio_state, queue, &queue_state_desc),
			STATE(struct vio_state, driver_features),
			STATE(struct vio_state, device_feature_sel),
			STATE(struct vio_state, driver_feature_sel),
			STATE(struct vio_state, config_vector), STATE(struct vio_state, queue_sel),
			STATE(struct vio_state, status), STATE(struct vio_state, isr),
			STATE_PAD(struct vio_state, pad_), STATE_END },
};
