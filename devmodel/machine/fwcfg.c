/*
 * Firmware configuration device, see fwcfg.h.
 *
 * Specification: QEMU docs/specs/fw_cfg.rst, whose interface firmware speaks.
 * Not modelled: writing items (no item here may be written), the memory-mapped variant.
 */
#include "devmodel/machine/fwcfg.h"
#include "base/util.h"

enum { PORT_SELECT = 0, PORT_DATA = 1, PORT_DMA_HIGH = 4, PORT_DMA_LOW = 8, N_PORTS = 12 };
enum { DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16 };
#define DMA_SIGNATURE_HIGH 0x554d4551u /* "QEMU" as bytes */
#define DMA_SIGNATURE_LOW 0x47464320u  /* " CFG" */
#define DMA_MAX_BYTES (16u << 20)      /* of one transfer; no item is near as large */

STATE_LAYOUT_BEGIN
struct fwcfg_state {
	uint32_t offset;   /* within the item */
	uint32_t dma_high; /* big endian as written */
	uint16_t key;
	uint8_t pad_[2];
};
STATE_LAYOUT_END

struct fwcfg {
	struct dev dev;
	struct fwcfg_state s;
	const struct fwcfg_items *items; /* borrowed; NULL: none */
};

struct dma_access {
	uint32_t control, length; /* big endian, as is the address */
	uint64_t address;
};

static struct fwcfg *fwcfg_from_dev(struct dev *d)
{
	assert(d->cls == &dm_fwcfg);
	return (struct fwcfg *)d;
}

static const struct fwcfg_item *item(const struct fwcfg *f)
{
	for (unsigned i = 0; f->items != NULL && i < f->items->n; i++)
		if (f->items->item[i].key == f->s.key)
			return &f->items->item[i];
	return NULL;
}

static void select_item(struct fwcfg *f, uint16_t key)
{
	f->s.key = key;
	f->s.offset = 0;
}

/* Past the end of an item, and for one that is not there, zeroes come. */
static void take(struct fwcfg *f, uint8_t *buf, uint32_t n)
{
	const struct fwcfg_item *it = item(f);
	const uint32_t left = it != NULL && f->s.offset < it->len ? it->len - f->s.offset : 0;
	const uint32_t part = n < left ? n : left;

	if (part > 0)
		memcpy(buf, it->data + f->s.offset, part);
	memset(buf + part, 0, n - part);
	f->s.offset = n <= UINT32_MAX - f->s.offset ? f->s.offset + n : UINT32_MAX;
}

static int dma_read_item(struct fwcfg *f, uint64_t gpa, uint32_t n)
{
	uint8_t buf[4096];
	int r = 0;

	while (n > 0 && r == 0) {
		const uint32_t part = n < sizeof(buf) ? n : (uint32_t)sizeof(buf);
		take(f, buf, part);
		r = dev_dma_write(&f->dev, gpa, buf, part);
		gpa += part;
		n -= part;
	}
	return r;
}

static void run_dma(struct fwcfg *f, uint64_t gpa)
{
	struct dma_access a;
	uint32_t result = 0;

	if (dev_dma_read(&f->dev, gpa, &a, sizeof(a)) < 0) {
		dev_guest_error(&f->dev, "DMA descriptor at %#llx is not in memory",
				(unsigned long long)gpa);
		return;
	}
	const uint32_t control = __builtin_bswap32(a.control);
	const uint32_t length = __builtin_bswap32(a.length);
	if (control & DMA_SELECT)
		select_item(f, (uint16_t)(control >> 16));
	if (control & DMA_READ) {
		if (length > DMA_MAX_BYTES ||
		    dma_read_item(f, __builtin_bswap64(a.address), length) < 0)
			result = DMA_ERROR;
	} else if (control & DMA_WRITE) {
		result = DMA_ERROR;
	} else if (control & DMA_SKIP) {
		f->s.offset = length <= UINT32_MAX - f->s.offset ? f->s.offset + length
								 : UINT32_MAX;
	}
	a.control = __builtin_bswap32(result);
	if (dev_dma_write(&f->dev, gpa, &a.control, sizeof(a.control)) < 0)
		dev_guest_error(&f->dev, "DMA descriptor is in read-only memory");
}

static uint64_t fwcfg_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	struct fwcfg *f = fwcfg_from_dev(d);
	uint8_t byte;

	(void)region; /* there is one */
	if (off >= PORT_DMA_HIGH && size == 4)
		return off == PORT_DMA_HIGH ? DMA_SIGNATURE_HIGH : DMA_SIGNATURE_LOW;
	if (off != PORT_DATA || size != 1)
		return 0;
	take(f, &byte, 1);
	return byte;
}

static void fwcfg_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	struct fwcfg *f = fwcfg_from_dev(d);

	(void)region;
	if (off == PORT_SELECT && size == 2) {
		select_item(f, (uint16_t)v);
	} else if (off == PORT_DMA_HIGH && size == 4) {
		f->s.dma_high = (uint32_t)v;
	} else if (off == PORT_DMA_LOW && size == 4) {
		const uint64_t gpa = (uint64_t)__builtin_bswap32(f->s.dma_high) << 32 |
				     __builtin_bswap32((uint32_t)v);
		f->s.dma_high = 0;
		run_dma(f, gpa);
	}
}

static int fwcfg_realize(struct dev *d, struct err *e)
{
	(void)e;
	fwcfg_from_dev(d)->items = dev_backend(d, DEV_BACKEND_MACHINE, "fwcfg", NULL);
	return 0;
}

static void fwcfg_reset(struct dev *d)
{
	fwcfg_from_dev(d)->s = (struct fwcfg_state){ 0 };
}

static const struct state_desc fwcfg_state = {
	.name = "fwcfg",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct fwcfg_state),
	.fields = (const struct state_field[]){ STATE(struct fwcfg_state, offset),
						STATE(struct fwcfg_state, dma_high),
						STATE(struct fwcfg_state, key),
						STATE_PAD(struct fwcfg_state, pad_), STATE_END },
};

const struct dev_class dm_fwcfg = {
	.name = "fwcfg",
	.summary = "firmware configuration",
	.size = sizeof(struct fwcfg),
	.state = &fwcfg_state,
	.state_off = offsetof(struct fwcfg, s),
	.regions = { { "ports", N_PORTS, 1, 4 } },
	.realize = fwcfg_realize,
	.reset = fwcfg_reset,
	.read = fwcfg_read,
	.write = fwcfg_write,
};
