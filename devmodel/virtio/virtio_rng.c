/*
 * Virtio entropy device: fills the guest's buffers with random bytes.
 *
 * Specification: Virtual I/O Device (VIRTIO) 1.2, chapter 5.4.
 * Not modelled: a rate limit; a request gets at most MAX_BYTES, as the specification allows.
 */
#include "devmodel/virtio/virtio_rng.h"
#include "base/util.h"
#include "devmodel/virtio/rng_backend.h"

#define MAX_BYTES 4096u
#define MAX_AT_ONCE 64u /* requests in one kick; the rest in the loop's next round */

STATE_LAYOUT_BEGIN
struct vrng_state {
	struct vio_state vio;
};
STATE_LAYOUT_END

struct vrng {
	struct vio_dev vio;
	struct vrng_state s;
	struct rng *rng; /* borrowed */
	struct dev_work work;
	bool quiet; /* between quiesce and resume */
};

static struct vrng *vrng_from_dev(struct dev *d)
{
	assert(d->cls == &dm_virtio_rng.pci.base);
	return (struct vrng *)d;
}

static void answer(struct vrng *r, const struct vio_chain *c)
{
	const size_t n = hv_min_u64(c->in_bytes, MAX_BYTES);
	uint8_t buf[MAX_BYTES];

	r->rng->ops->fill(r->rng, buf, n);
	if (n == 0 || vio_copy_in(&r->vio, c, 0, buf, n) < 0)
		vio_broken(&r->vio, "a request's buffer is not in memory");
	else
		vio_push(&r->vio, 0, c->head, (uint32_t)n);
}

static void process(struct vrng *r)
{
	struct vio_chain c;
	unsigned n = 0;

	if (r->quiet)
		return; /* resume looks again */
	do {
		while (n < MAX_AT_ONCE && vio_pop(&r->vio, 0, &c) == 1) {
			answer(r, &c);
			n++;
		}
	} while (vio_kicks_on(&r->vio, 0) && n < MAX_AT_ONCE);
	vio_interrupt_if_wanted(&r->vio, 0);
	if (n >= MAX_AT_ONCE)
		dev_post(&r->work);
}

static void vrng_kick(struct vio_dev *v, unsigned queue)
{
	(void)queue; /* there is one */
	process(vrng_from_dev(&v->pci.dev));
}

static void vrng_work(struct dev *d, struct dev_work *w)
{
	(void)w;
	process(vrng_from_dev(d));
}

static int vrng_realize(struct dev *d, struct err *e)
{
	struct vrng *r = vrng_from_dev(d);

	vio_realize(&r->vio, &r->s.vio);
	r->work = (struct dev_work){ .fn = vrng_work, .dev = d };
	r->rng = dev_backend(d, DEV_BACKEND_RNG, "rng", e);
	return r->rng != NULL ? 0 : -ENOENT;
}

static void vrng_reset(struct dev *d)
{
	vio_reset(&vrng_from_dev(d)->vio);
}

static int vrng_quiesce(struct dev *d, struct err *e)
{
	(void)e;
	vrng_from_dev(d)->quiet = true;
	return 0;
}

static void vrng_resume(struct dev *d)
{
	struct vrng *r = vrng_from_dev(d);

	r->quiet = false;
	vio_resume(&r->vio);
}

static void vrng_state_init(void *obj)
{
	vio_state_init(&dm_virtio_rng, &((struct vrng_state *)obj)->vio);
}

static int vrng_post_load(void *obj, struct err *e)
{
	return vio_post_load(&dm_virtio_rng, &((struct vrng_state *)obj)->vio, e);
}

static const struct state_desc vrng_state = {
	.name = "virtio_rng",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct vrng_state),
	.init = vrng_state_init,
	.post_load = vrng_post_load,
	.fields =
		(const struct state_field[]){
			STATE_STRUCT(struct vrng_state, vio, &vio_state_desc),
			STATE_END,
		},
};

const struct vio_class dm_virtio_rng = {
	.pci = {
		.base = {
			.name = "virtio_rng",
			.summary = "virtio entropy source",
			.size = sizeof(struct vrng),
			.state = &vrng_state,
			.state_off = offsetof(struct vrng, s),
			.regions = VIO_REGIONS(1),
			.irqs = { "intx" },
			.realize = vrng_realize,
			.reset = vrng_reset,
			.read = pci_read,
			.write = pci_write,
			.quiesce = vrng_quiesce,
			.resume = vrng_resume,
		},
		VIO_PCI_COMMON,
		.device = 0x1044,
		.class_code = 0x00ff00,
		.n_msix = 2,
	},
	.n_queues = 1,
	.features = VIO_F_COMMON,
	.kick = vrng_kick,
};
