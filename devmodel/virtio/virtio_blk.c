/*
 * Virtio block device: one queue; data moves between the image and guest memory without a copy
 * where the guest's buffer is one piece of RAM, else through a bounce buffer.
 *
 * Specification: Virtual I/O Device (VIRTIO) 1.2, chapter 5.2.
 * Not modelled: several queues, write-back switching, secure erase, zoned disks, lifetime.
 */
#include "devmodel/virtio/virtio_blk.h"
#include <stdatomic.h>
#include <stdlib.h>
#include "base/util.h"
#include "devmodel/storage/blk.h"

enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };
enum { HEADER_BYTES = 16, STATUS_BYTES = 1, ID_BYTES = 20, SECTOR = 512, CONFIG_BYTES = 60 };
#define F_SEG_MAX (1ull << 2)
#define F_RO (1ull << 5)
#define F_BLK_SIZE (1ull << 6)
#define F_FLUSH (1ull << 9)
#define F_DISCARD (1ull << 13)
#define F_WRITE_ZEROES (1ull << 14)
#define SEG_MAX (VIO_MAX_SEGS - 4)    /* leaves room for header and status */
#define MAX_DISCARD_SECTORS 0x3fffffu /* 2 GiB at a time */
#define MAX_BOUNCE_BYTES (1u << 20)
#define MAX_REQUESTS 64
#define DISK_NAME_MAX 31

STATE_LAYOUT_BEGIN
struct vblk_state {
	struct vio_state vio;
};
STATE_LAYOUT_END

struct vblk;

_Static_assert(BLK_MAX_IOV >= VIO_MAX_SEGS, "a piece of each descriptor");

struct vblk_req {
	struct blk_req io;
	struct vblk *b;	       /* borrowed */
	struct vblk_req *next; /* free, or done */
	struct vio_chain chain;
	uint64_t data_off; /* of the data in its part of the chain */
	uint8_t *bounce;   /* owned; NULL: the data went directly */
	int result;
	uint32_t generation; /* of the device when it was started */
};

struct vblk {
	struct vio_dev vio;
	struct vblk_state s;
	struct blk *blk; /* borrowed */
	char disk[DISK_NAME_MAX + 1];
	/* under the domain */
	struct vblk_req *reqs; /* owned: MAX_REQUESTS */
	struct vblk_req *free;
	unsigned n_busy;
	uint32_t generation; /* counts resets: older requests are not answered */
	bool quiet;	     /* between quiesce and resume */
	struct dev_work work;
	/* any thread */
	_Atomic(struct vblk_req *) done;
};

static struct vblk *vblk_from_dev(struct dev *d)
{
	assert(d->cls == &dm_virtio_blk.pci.base);
	return (struct vblk *)d;
}

/* ---- ends of requests ---- */

static void put_req(struct vblk *b, struct vblk_req *r)
{
	free(r->bounce);
	r->bounce = NULL;
	r->next = b->free;
	b->free = r;
}

/* Tells the guest; written: bytes of data before the status. */
static void answer(struct vblk *b, const struct vio_chain *c, uint8_t status, uint64_t written)
{
	if (!vio_running(&b->vio))
		return;
	if (vio_copy_in(&b->vio, c, c->in_bytes - STATUS_BYTES, &status, STATUS_BYTES) < 0) {
		vio_broken(&b->vio, "a request's status is not in memory");
		return;
	}
	vio_push(&b->vio, 0, c->head, (uint32_t)written + STATUS_BYTES);
}

/* Any thread: pushed onto a list without a lock, taken whole by the device. */
static void io_done(struct blk_req *io, int result)
{
	struct vblk_req *r = io->ctx;
	struct vblk *b = r->b;

	r->result = result;
	r->next = atomic_load_explicit(&b->done, memory_order_relaxed);
	/* Pairs with the exchange in take_done(): what the request holds is visible there. */
	while (!atomic_compare_exchange_weak_explicit(&b->done, &r->next, r, memory_order_release,
						      memory_order_relaxed))
		;
	dev_post(&b->work);
}

/* The guest's buffer was written by the host: whoever caches its contents must know. */
static void tell_written(struct vblk *b, const struct vblk_req *r)
{
	const struct dev_env *env = b->vio.pci.dev.env;
	uint64_t left = r->io.bytes;

	for (unsigned i = 0; i < r->chain.n_in && left > 0; i++) {
		const struct vio_seg *s = &r->chain.seg[r->chain.n_out + i];
		const uint64_t n = hv_min_u64(s->len, left);
		env->dma_written(env->ctx, s->gpa, n);
		left -= n;
	}
}

static void finish(struct vblk *b, struct vblk_req *r)
{
	const bool reading = r->io.op == BLK_READ;
	uint8_t status = r->result < 0 ? S_IOERR : S_OK;

	b->n_busy--;
	if (reading && r->bounce == NULL)
		tell_written(b, r);
	if (r->generation == b->generation) {
		if (reading && r->bounce != NULL && r->result == 0 &&
		    vio_copy_in(&b->vio, &r->chain, 0, r->bounce, r->io.bytes) < 0)
			status = S_IOERR;
		answer(b, &r->chain, status, reading && status == S_OK ? r->io.bytes : 0);
	}
	put_req(b, r);
}

static void take_done(struct vblk *b)
{
	struct vblk_req *r = atomic_exchange_explicit(&b->done, NULL, memory_order_acquire);
	const bool any = r != NULL;

	while (r != NULL) {
		struct vblk_req *next = r->next;
		finish(b, r);
		r = next;
	}
	if (any)
		vio_interrupt_if_wanted(&b->vio, 0);
	if (b->vio.resetting && b->n_busy == 0)
		vio_reset_done(&b->vio);
}

/* ---- beginnings ---- */

static bool range_ok(const struct vblk *b, uint64_t sector, uint64_t bytes)
{
	const uint64_t sectors = b->blk->bytes / SECTOR;

	return bytes % b->blk->block_size == 0 && sector % (b->blk->block_size / SECTOR) == 0 &&
	       sector <= sectors && bytes / SECTOR <= sectors - sector;
}

/* Host addresses of bytes at off of the chain's part; false: not all in one piece each. */
static bool make_iov(struct vblk *b, struct vblk_req *r, const struct vio_seg *seg, unsigned n,
		     uint64_t off, uint64_t bytes)
{
	const struct dev_env *env = b->vio.pci.dev.env;

	r->io.n_iov = 0;
	for (unsigned i = 0; i < n && bytes > 0; i++) {
		if (off >= seg[i].len) {
			off -= seg[i].len;
			continue;
		}
		const size_t part = hv_min_u64(seg[i].len - off, bytes);
		void *p = env->dma_host(env->ctx, seg[i].gpa + off, part, r->io.op == BLK_READ);
		if (p == NULL)
			return false;
		r->io.iov[r->io.n_iov++] = (struct iovec){ p, part };
		bytes -= part;
		off = 0;
	}
	return bytes == 0;
}

static bool make_bounce(struct vblk *b, struct vblk_req *r)
{
	if (r->io.bytes > MAX_BOUNCE_BYTES)
		return false;
	r->bounce = malloc(r->io.bytes);
	if (r->bounce == NULL)
		return false;
	r->io.iov[0] = (struct iovec){ r->bounce, r->io.bytes };
	r->io.n_iov = 1;
	return r->io.op == BLK_READ ||
	       vio_copy_out(&b->vio, &r->chain, r->data_off, r->bounce, r->io.bytes) == 0;
}

/* S_OK: the request can go to the image. */
static uint8_t prepare_data(struct vblk *b, struct vblk_req *r, uint64_t sector)
{
	const struct vio_chain *c = &r->chain;
	const bool reading = r->io.op == BLK_READ;
	const struct vio_seg *seg = reading ? c->seg + c->n_out : c->seg;

	r->data_off = reading ? 0 : HEADER_BYTES;
	r->io.bytes = reading ? c->in_bytes - STATUS_BYTES : c->out_bytes - HEADER_BYTES;
	if (r->io.bytes == 0 || !range_ok(b, sector, r->io.bytes))
		return S_IOERR;
	r->io.offset = sector * SECTOR;
	if (make_iov(b, r, seg, reading ? c->n_in : c->n_out, r->data_off, r->io.bytes))
		return S_OK;
	return make_bounce(b, r) ? S_OK : S_IOERR;
}

static uint8_t prepare_range(struct vblk *b, struct vblk_req *r)
{
	struct {
		uint64_t sector;
		uint32_t sectors, flags;
	} range;

	if (r->chain.out_bytes != HEADER_BYTES + sizeof(range) ||
	    vio_copy_out(&b->vio, &r->chain, HEADER_BYTES, &range, sizeof(range)) < 0)
		return S_IOERR;
	if (range.flags & ~(r->io.op == BLK_WRITE_ZEROES ? 1u : 0u))
		return S_UNSUPP;
	if (range.sectors > MAX_DISCARD_SECTORS ||
	    !range_ok(b, range.sector, (uint64_t)range.sectors * SECTOR))
		return S_IOERR;
	r->io.offset = range.sector * SECTOR;
	r->io.bytes = (uint64_t)range.sectors * SECTOR;
	r->io.n_iov = 0;
	return S_OK;
}

/* Fills in r->io. S_OK: submit; else that is the answer; *ret_now: answered here. */
static uint8_t prepare(struct vblk *b, struct vblk_req *r, uint32_t type, uint64_t sector,
		       bool *ret_now)
{
	r->io.bytes = r->io.offset = 0;
	r->io.n_iov = 0;
	switch (type) {
	case T_IN:
		r->io.op = BLK_READ;
		return prepare_data(b, r, sector);
	case T_OUT:
		r->io.op = BLK_WRITE;
		return b->blk->read_only ? S_IOERR : prepare_data(b, r, sector);
	case T_FLUSH:
		r->io.op = BLK_FLUSH;
		return S_OK;
	case T_DISCARD:
	case T_WRITE_ZEROES:
		r->io.op = type == T_DISCARD ? BLK_DISCARD : BLK_WRITE_ZEROES;
		return b->blk->read_only ? S_IOERR : prepare_range(b, r);
	case T_GET_ID:
		*ret_now = true;
		if (r->chain.in_bytes < ID_BYTES + STATUS_BYTES ||
		    vio_copy_in(&b->vio, &r->chain, 0, b->blk->serial, ID_BYTES) < 0)
			return S_IOERR;
		return S_OK;
	default:
		return S_UNSUPP;
	}
}

/* Takes over r. */
static void start(struct vblk *b, struct vblk_req *r)
{
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header;
	bool now = false;

	if (r->chain.in_bytes < STATUS_BYTES || r->chain.out_bytes < HEADER_BYTES ||
	    vio_copy_out(&b->vio, &r->chain, 0, &header, sizeof(header)) < 0) {
		vio_broken(&b->vio, "a request without header or status");
		put_req(b, r);
		return;
	}
	const uint8_t status = prepare(b, r, header.type, header.sector, &now);
	if (status != S_OK || now) {
		answer(b, &r->chain, status, now && status == S_OK ? ID_BYTES : 0);
		put_req(b, r);
		return;
	}
	r->generation = b->generation;
	b->n_busy++;
	b->blk->ops->submit(b->blk, &r->io);
}

/* Takes what the guest has added: at most a ring's worth, the rest in the loop's next round. */
static void process(struct vblk *b)
{
	unsigned budget = VIO_QUEUE_SIZE_MAX;
	bool more = true;

	if (b->quiet)
		return; /* resume looks again */
	while (more) {
		vio_kicks_off(&b->vio, 0);
		while (b->free != NULL && budget > 0) {
			struct vblk_req *r = b->free;
			if (vio_pop(&b->vio, 0, &r->chain) != 1)
				break;
			b->free = r->next;
			budget--;
			start(b, r);
		}
		if (b->free == NULL)
			return; /* a request's end looks again */
		more = vio_kicks_on(&b->vio, 0);
		if (more && budget == 0) {
			dev_post(&b->work);
			break;
		}
	}
	vio_interrupt_if_wanted(&b->vio, 0);
}

static void vblk_work(struct dev *d, struct dev_work *w)
{
	struct vblk *b = vblk_from_dev(d);

	(void)w;
	take_done(b);
	process(b);
}

/* ---- the class's callbacks ---- */

static void vblk_kick(struct vio_dev *v, unsigned queue)
{
	(void)queue; /* there is one */
	process(vblk_from_dev(&v->pci.dev));
}

static bool vblk_stop(struct vio_dev *v)
{
	return vblk_from_dev(&v->pci.dev)->n_busy == 0;
}

static uint64_t vblk_offered(struct vio_dev *v)
{
	const struct vblk *b = vblk_from_dev(&v->pci.dev);
	const uint64_t f = dm_virtio_blk.features;

	return b->blk->read_only ? f & ~(F_DISCARD | F_WRITE_ZEROES) : f & ~F_RO;
}

static void vblk_config(struct vio_dev *v, uint8_t *c)
{
	const struct vblk *b = vblk_from_dev(&v->pci.dev);
	const uint64_t sectors = b->blk->bytes / SECTOR;

	memcpy(c, &sectors, sizeof(sectors));
	pci_cfg_put(c, 12, 4, SEG_MAX);
	pci_cfg_put(c, 20, 4, b->blk->block_size);
	pci_cfg_put(c, 34, 2, 1); /* queues */
	pci_cfg_put(c, 36, 4, MAX_DISCARD_SECTORS);
	pci_cfg_put(c, 40, 4, 1); /* ranges at a time */
	pci_cfg_put(c, 44, 4, b->blk->block_size / SECTOR);
	pci_cfg_put(c, 48, 4, MAX_DISCARD_SECTORS);
	pci_cfg_put(c, 52, 4, 1);
	c[56] = 1; /* zeroes may unmap */
}

static int vblk_realize(struct dev *d, struct err *e)
{
	struct vblk *b = vblk_from_dev(d);

	vio_realize(&b->vio, &b->s.vio);
	b->work = (struct dev_work){ .fn = vblk_work, .dev = d };
	b->blk = dev_backend(d, DEV_BACKEND_BLK, b->disk, e);
	if (b->blk == NULL)
		return -ENOENT;
	b->reqs = calloc(MAX_REQUESTS, sizeof(*b->reqs));
	if (b->reqs == NULL)
		return err_set(e, -ENOMEM, "%s: out of memory", d->id);
	for (unsigned i = 0; i < MAX_REQUESTS; i++) {
		struct vblk_req *r = &b->reqs[i];
		r->b = b;
		r->io.done = io_done;
		r->io.ctx = r;
		put_req(b, r);
	}
	return 0;
}

static void vblk_unrealize(struct dev *d)
{
	struct vblk *b = vblk_from_dev(d);

	if (b->reqs == NULL)
		return;
	b->blk->ops->drain(b->blk);
	for (unsigned i = 0; i < MAX_REQUESTS; i++)
		free(b->reqs[i].bounce);
	free(b->reqs);
}

static void vblk_reset(struct dev *d)
{
	struct vblk *b = vblk_from_dev(d);

	b->generation++;
	vio_reset(&b->vio);
}

static int vblk_quiesce(struct dev *d, struct err *e)
{
	struct vblk *b = vblk_from_dev(d);

	b->quiet = true;
	const int r = blk_settle(b->blk);
	take_done(b); /* no other thread is in the device while the machine pauses */
	return r < 0 ? err_set(e, r, "%s: %s", d->id, BLK_NO_ROOM) : 0;
}

static void vblk_resume(struct dev *d)
{
	struct vblk *b = vblk_from_dev(d);

	b->quiet = false;
	vio_resume(&b->vio);
}

static void vblk_state_init(void *obj)
{
	vio_state_init(&dm_virtio_blk, &((struct vblk_state *)obj)->vio);
}

static int vblk_post_load(void *obj, struct err *e)
{
	return vio_post_load(&dm_virtio_blk, &((struct vblk_state *)obj)->vio, e);
}

static const struct state_desc vblk_state = {
	.name = "virtio_blk",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct vblk_state),
	.init = vblk_state_init,
	.post_load = vblk_post_load,
	.fields =
		(const struct state_field[]){
			STATE_STRUCT(struct vblk_state, vio, &vio_state_desc),
			STATE_END,
		},
};

static const struct opt vblk_opts[] = {
	OPT(struct vblk, disk, 1, DISK_NAME_MAX, "disk0", "name of the back-end"),
	OPT_END,
};

const struct vio_class dm_virtio_blk = {
	.pci = {
		.base = {
			.name = "virtio_blk",
			.summary = "virtio disk",
			.size = sizeof(struct vblk),
			.opts = vblk_opts,
			.state = &vblk_state,
			.state_off = offsetof(struct vblk, s),
			.regions = VIO_REGIONS(1),
			.irqs = { "intx" },
			.realize = vblk_realize,
			.unrealize = vblk_unrealize,
			.reset = vblk_reset,
			.read = pci_read,
			.write = pci_write,
			.quiesce = vblk_quiesce,
			.resume = vblk_resume,
		},
		VIO_PCI_COMMON,
		.device = 0x1042,
		.class_code = 0x010000,
		.n_msix = 2,
	},
	.n_queues = 1,
	.features = VIO_F_COMMON | F_SEG_MAX | F_RO | F_BLK_SIZE | F_FLUSH | F_DISCARD |
		    F_WRITE_ZEROES,
	.config_bytes = CONFIG_BYTES,
	.offered = vblk_offered,
	.config = vblk_config,
	.kick = vblk_kick,
	.stop = vblk_stop,
};
