/*
 * Split virtqueues with indirect descriptors and event indices, the device's side; see virtio.h.
 *
 * Specification: Virtual I/O Device (VIRTIO) 1.2, chapter 2.7.
 * Not modelled: packed rings, in-order completion, indirect tables within a longer chain (the
 * specification forbids descriptors after one).
 */
#include "devmodel/virtio/virtio.h"
#include <stdatomic.h>
#include "base/util.h"
#include "devmodel/machine/trace_points.h"

enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 };
enum { AVAIL_NO_INTERRUPT = 1, USED_NO_NOTIFY = 1 };
enum { RING_FLAGS = 0, RING_IDX = 2, RING_ENTRIES = 4 };

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

static bool event_idx(const struct vio_dev *v)
{
	return v->s->driver_features & VIO_F_EVENT_IDX;
}

bool vio_queue_valid(const struct vio_queue_state *q)
{
	return q->size != 0 && q->size <= VIO_QUEUE_SIZE_MAX && (q->size & (q->size - 1)) == 0 &&
	       q->desc % 16 == 0 && q->avail % 2 == 0 && q->used % 4 == 0;
}

static int read16(struct vio_dev *v, uint64_t gpa, uint16_t *ret_v)
{
	return dev_dma_read(&v->pci.dev, gpa, ret_v, sizeof(*ret_v));
}

/* Where the guest says when it wants to be told, and where the device says when to kick. */
static uint64_t used_event_gpa(const struct vio_queue_state *q)
{
	return q->avail + RING_ENTRIES + 2ull * q->size;
}

static uint64_t avail_event_gpa(const struct vio_queue_state *q)
{
	return q->used + RING_ENTRIES + 8ull * q->size;
}

static int add_seg(struct vio_chain *c, const struct desc *d)
{
	const unsigned n = c->n_out + c->n_in;

	if (n == VIO_MAX_SEGS || d->len == 0 || d->addr > UINT64_MAX - d->len)
		return -EINVAL;
	if (!(d->flags & DESC_WRITE) && c->n_in > 0)
		return -EINVAL; /* readable ones come first */
	c->seg[n] = (struct vio_seg){ d->addr, d->len };
	if (d->flags & DESC_WRITE) {
		c->n_in++;
		c->in_bytes += d->len;
	} else {
		c->n_out++;
		c->out_bytes += d->len;
	}
	return 0;
}

/* Follows a chain from entry i of the table of n; each step takes a place of the chain's, so that
 * one that goes round ends. *ret_indirect: the chain is one indirect table, not walked here. */
static int walk(struct vio_dev *v, uint64_t table, uint32_t n, uint32_t i, struct vio_chain *c,
		struct desc *ret_indirect)
{
	struct desc d;

	for (;;) {
		if (i >= n || dev_dma_read(&v->pci.dev, table + 16ull * i, &d, sizeof(d)) < 0)
			return -EINVAL;
		if (d.flags & DESC_INDIRECT) {
			if (ret_indirect == NULL || c->n_out + c->n_in > 0 || (d.flags & DESC_NEXT))
				return -EINVAL;
			*ret_indirect = d;
			return 0;
		}
		if (add_seg(c, &d) < 0)
			return -EINVAL;
		if (!(d.flags & DESC_NEXT))
			return 0;
		i = d.next;
	}
}

static int walk_chain(struct vio_dev *v, const struct vio_queue_state *q, struct vio_chain *c)
{
	const bool may = v->s->driver_features & VIO_F_INDIRECT;
	struct desc ind = { 0 };

	if (walk(v, q->desc, q->size, c->head, c, may ? &ind : NULL) < 0)
		return -EINVAL;
	if (!(ind.flags & DESC_INDIRECT))
		return 0;
	if (ind.len == 0 || ind.len % 16 != 0 || ind.addr > UINT64_MAX - ind.len)
		return -EINVAL;
	return walk(v, ind.addr, ind.len / 16, 0, c, NULL);
}

int vio_pop(struct vio_dev *v, unsigned queue, struct vio_chain *ret_chain)
{
	struct vio_queue_state *q = &v->s->queue[queue];
	uint16_t idx, head;

	if (!vio_running(v) || !q->enabled)
		return 0;
	if (read16(v, q->avail + RING_IDX, &idx) < 0) {
		vio_broken(v, "the available ring is not in memory");
		return -EINVAL;
	}
	if (idx == q->next_avail)
		return 0;
	if ((uint16_t)(idx - q->next_avail) > q->size) {
		vio_broken(v, "the available index jumped");
		return -EINVAL;
	}
	/* Entries are read after the index: pairs with the driver's barrier before its store. */
	atomic_thread_fence(memory_order_acquire);
	ret_chain->n_out = ret_chain->n_in = 0;
	ret_chain->out_bytes = ret_chain->in_bytes = 0;
	if (read16(v, q->avail + RING_ENTRIES + 2ull * (q->next_avail % q->size), &head) < 0) {
		vio_broken(v, "the available ring is not in memory");
		return -EINVAL;
	}
	ret_chain->head = head;
	if (walk_chain(v, q, ret_chain) < 0) {
		vio_broken(v, "bad descriptor chain");
		return -EINVAL;
	}
	TRACE(virtio_pop, "%s: queue %u, head %u, %u pieces out, %u in", v->pci.dev.id, queue, head,
	      ret_chain->n_out, ret_chain->n_in);
	q->next_avail++;
	return 1;
}

void vio_push(struct vio_dev *v, unsigned queue, uint16_t head, uint32_t written)
{
	struct vio_queue_state *q = &v->s->queue[queue];
	const uint32_t elem[2] = { head, written };
	const uint16_t next = (uint16_t)(q->used_idx + 1);

	if (!vio_running(v) || !q->enabled)
		return;
	if (dev_dma_write(&v->pci.dev, q->used + RING_ENTRIES + 8ull * (q->used_idx % q->size),
			  elem, sizeof(elem)) < 0) {
		vio_broken(v, "the used ring is not in memory");
		return;
	}
	/* The entry is there before the index says so: pairs with the driver's read barrier. */
	atomic_thread_fence(memory_order_release);
	if (dev_dma_write(&v->pci.dev, q->used + RING_IDX, &next, sizeof(next)) < 0) {
		vio_broken(v, "the used ring is not in memory");
		return;
	}
	TRACE(virtio_push, "%s: queue %u, head %u, %u bytes", v->pci.dev.id, queue, head, written);
	q->used_idx = next;
}

void vio_interrupt_if_wanted(struct vio_dev *v, unsigned queue)
{
	struct vio_queue_state *q = &v->s->queue[queue];
	const uint16_t was = q->signalled, now = q->used_idx;
	uint16_t word;

	if (!vio_running(v) || !q->enabled || was == now)
		return;
	/* The index is visible before the wish is read: pairs with the driver's full barrier
	 * between writing its wish and looking at the index again. */
	atomic_thread_fence(memory_order_seq_cst);
	if (read16(v, event_idx(v) ? used_event_gpa(q) : q->avail + RING_FLAGS, &word) < 0) {
		vio_broken(v, "the available ring is not in memory");
		return;
	}
	q->signalled = now;
	if (event_idx(v)) {
		/* Did the index pass the event since it was last told? */
		if ((uint16_t)(now - word - 1) < (uint16_t)(now - was))
			vio_interrupt(v, queue);
	} else if (!(word & AVAIL_NO_INTERRUPT)) {
		vio_interrupt(v, queue);
	}
}

static void write_used_flags(struct vio_dev *v, unsigned queue, uint16_t flags)
{
	if (dev_dma_write(&v->pci.dev, v->s->queue[queue].used + RING_FLAGS, &flags,
			  sizeof(flags)) < 0)
		vio_broken(v, "the used ring is not in memory");
}

void vio_kicks_off(struct vio_dev *v, unsigned queue)
{
	/* With event indices the guest kicks once it passes the old event anyway. */
	if (vio_running(v) && v->s->queue[queue].enabled && !event_idx(v))
		write_used_flags(v, queue, USED_NO_NOTIFY);
}

bool vio_kicks_on(struct vio_dev *v, unsigned queue)
{
	struct vio_queue_state *q = &v->s->queue[queue];
	uint16_t idx;

	if (!vio_running(v) || !q->enabled)
		return false;
	if (!event_idx(v))
		write_used_flags(v, queue, 0);
	else if (dev_dma_write(&v->pci.dev, avail_event_gpa(q), &q->next_avail,
			       sizeof(q->next_avail)) < 0)
		vio_broken(v, "the used ring is not in memory");
	/* The wish is visible before the index is read again: pairs with the driver's full barrier
	 * between its index and reading the wish. */
	atomic_thread_fence(memory_order_seq_cst);
	return vio_running(v) && read16(v, q->avail + RING_IDX, &idx) == 0 && idx != q->next_avail;
}

/* One copy for both directions: buf is written when out. */
static int copy(struct vio_dev *v, const struct vio_seg *seg, unsigned n, uint64_t off, void *buf,
		size_t len, bool out)
{
	uint8_t *p = buf;

	for (unsigned i = 0; i < n && len > 0; i++) {
		if (off >= seg[i].len) {
			off -= seg[i].len;
			continue;
		}
		const size_t part = hv_min_u64(seg[i].len - off, len);
		const int r = out ? dev_dma_read(&v->pci.dev, seg[i].gpa + off, p, part)
				  : dev_dma_write(&v->pci.dev, seg[i].gpa + off, p, part);
		if (r < 0)
			return r;
		p += part;
		len -= part;
		off = 0;
	}
	return len == 0 ? 0 : -EFAULT;
}

int vio_copy_out(struct vio_dev *v, const struct vio_chain *c, uint64_t off, void *buf, size_t len)
{
	return copy(v, c->seg, c->n_out, off, buf, len, true);
}

int vio_copy_in(struct vio_dev *v, const struct vio_chain *c, uint64_t off, const void *buf,
		size_t len)
{
	/* Only read from: the direction says so. */
	return copy(v, c->seg + c->n_out, c->n_in, off, (void *)(uintptr_t)buf, len, false);
}
