/*
 * ICH9 LPC bridge, device 0:1f.0: PIRQ routing to the ISA interrupts, the place of the ACPI power
 * management block, and the chipset configuration block (RCBA) with the HPET's place.
 *
 * Specification: Intel I/O Controller Hub 9 datasheet (316972), chapters 10 and 13.
 *
 * Not modelled: the LPC decode and GPIO registers (storage; the legacy devices always answer),
 * RCBA's interrupt pin and route registers (storage: pins are wired as at reset).
 */
#include "devmodel/pci/lpc.h"
#include "base/util.h"

enum { REGION_RCBA = PCI_REGION_DEV };
enum { ACPI_EN = 0x80, PIRQ_OFF = 0x80, RCBA_EN = 1, HPTC_EN = 0x80 };
#define RCBA_BYTES 0x4000
#define HPET_BASE 0xfed00000ull

const uint8_t lpc_isa_irq[LPC_N_IRQS] = { 3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15 };

STATE_LAYOUT_BEGIN
struct lpc_state {
	struct pci_state pci;
	uint32_t rcba_irq[32]; /* 0x3100 to 0x317f: interrupt pins and routes */
	uint32_t hptc, gcs, buc, fd;
	uint8_t pirq; /* levels of PIRQ A to H */
	uint8_t pad_[3];
};
STATE_LAYOUT_END

struct lpc {
	struct pci_dev pci;
	struct lpc_state s;
	const struct lpc_machine *machine; /* borrowed; NULL: none */
};

static struct lpc *lpc_from_dev(struct dev *d)
{
	assert(d->cls == &dm_lpc.base);
	return (struct lpc *)d;
}

/* ISA interrupt n is high while a PIRQ that is routed to it is. */
static void follow_pirqs(struct lpc *l)
{
	uint16_t high = 0;

	for (unsigned i = 0; i < 8; i++) {
		const uint8_t r = l->s.pci.cfg[i < 4 ? LPC_PIRQ_A + i : LPC_PIRQ_E + i - 4];
		if (!(r & PIRQ_OFF) && (l->s.pirq >> i & 1))
			high |= (uint16_t)(1u << (r & 15));
	}
	for (unsigned i = 0; i < LPC_N_IRQS; i++)
		dev_irq_set(&l->pci.dev, i, high >> lpc_isa_irq[i] & 1);
}

static void lpc_irq_in(struct dev *d, unsigned input, bool level)
{
	struct lpc *l = lpc_from_dev(d);

	l->s.pirq = (uint8_t)((l->s.pirq & ~(1u << input)) | (unsigned)level << input);
	follow_pirqs(l);
}

static void follow_blocks(struct lpc *l)
{
	const uint8_t *cfg = l->s.pci.cfg;
	const uint32_t pm = pci_cfg_get(cfg, LPC_PMBASE, 4) & 0xff80;
	const uint32_t rcba = pci_cfg_get(cfg, LPC_RCBA, 4);

	dev_region_map(&l->pci.dev, REGION_RCBA, DEV_SPACE_MMIO, rcba & ~(RCBA_BYTES - 1u),
		       rcba & RCBA_EN);
	if (l->machine == NULL)
		return;
	l->machine->pm_block(l->machine->ctx, (uint16_t)pm,
			     pm != 0 && (cfg[LPC_ACPI_CNTL] & ACPI_EN));
	l->machine->hpet(l->machine->ctx, HPET_BASE + (uint64_t)(l->s.hptc & 3) * 0x1000,
			 l->s.hptc & HPTC_EN);
}

static void lpc_cfg_written(struct pci_dev *p, unsigned off, unsigned size)
{
	struct lpc *l = lpc_from_dev(&p->dev);

	if (off >= LPC_PIRQ_A && off < LPC_PIRQ_E + 4)
		follow_pirqs(l);
	else if ((off < LPC_ACPI_CNTL + 1 && off + size > LPC_PMBASE) || off + size > LPC_RCBA)
		follow_blocks(l);
}

/* The register at off of the chipset configuration block, or NULL; *ret_mask: bits to change. */
static uint32_t *rcba_reg(struct lpc *l, unsigned off, uint32_t *ret_mask)
{
	*ret_mask = UINT32_MAX;
	if (off >= 0x3100 && off < 0x3180)
		return &l->s.rcba_irq[(off - 0x3100) / 4];
	switch (off) {
	case LPC_RCBA_HPTC:
		*ret_mask = HPTC_EN | 3;
		return &l->s.hptc;
	case 0x3410:
		*ret_mask = 0xc64;
		return &l->s.gcs;
	case 0x3414:
		*ret_mask = 0x6;
		return &l->s.buc;
	case 0x3418:
		return &l->s.fd;
	default:
		return NULL;
	}
}

static uint64_t lpc_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	uint32_t mask;
	const uint32_t *r = rcba_reg(lpc_from_dev(d), (unsigned)off & ~3u, &mask);

	(void)region; /* there is one */
	return r != NULL ? *r >> (off & 3) * 8 & (UINT32_MAX >> (32 - 8 * size)) : 0;
}

static void lpc_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	struct lpc *l = lpc_from_dev(d);
	const unsigned shift = ((unsigned)off & 3) * 8;
	uint32_t mask;
	uint32_t *r = rcba_reg(l, (unsigned)off & ~3u, &mask);

	(void)region;
	if (r == NULL)
		return;
	mask &= (UINT32_MAX >> (32 - 8 * size)) << shift;
	*r = (*r & ~mask) | ((uint32_t)v << shift & mask);
	if (r == &l->s.hptc)
		follow_blocks(l);
}

static void lpc_state_init(void *obj)
{
	struct lpc_state *s = obj;

	memset(s, 0, sizeof(*s));
	pci_state_init(&dm_lpc, &s->pci);
}

static int lpc_post_load(void *obj, struct err *e)
{
	const struct lpc_state *s = obj;

	if ((s->hptc & ~(HPTC_EN | 3u)) || (s->gcs & ~0xc64u) || (s->buc & ~6u))
		return err_set(e, -EINVAL, "lpc: reserved bits set in hptc, gcs or buc");
	return pci_post_load(&dm_lpc, &s->pci, e);
}

static int lpc_realize(struct dev *d, struct err *e)
{
	struct lpc *l = lpc_from_dev(d);

	(void)e;
	l->machine = dev_backend(d, DEV_BACKEND_MACHINE, "lpc", NULL);
	pci_realize(&l->pci, &l->s.pci);
	return 0;
}

static void lpc_resume(struct dev *d)
{
	struct lpc *l = lpc_from_dev(d);

	pci_resume(&l->pci);
	follow_blocks(l);
	follow_pirqs(l);
}

static void lpc_reset(struct dev *d)
{
	struct lpc *l = lpc_from_dev(d);
	const uint8_t pirq = l->s.pirq; /* wires, not registers: their drivers change them */

	lpc_state_init(&l->s);
	l->s.pirq = pirq;
	lpc_resume(d);
}

static const struct state_desc lpc_state = {
	.name = "lpc",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct lpc_state),
	.init = lpc_state_init,
	.post_load = lpc_post_load,
	.fields =
		(const struct state_field[]){
			STATE_STRUCT(struct lpc_state, pci, &pci_state_desc),
			STATE_ARRAY(struct lpc_state, rcba_irq), STATE(struct lpc_state, hptc),
			STATE(struct lpc_state, gcs), STATE(struct lpc_state, buc),
			STATE(struct lpc_state, fd), STATE(struct lpc_state, pirq),
			STATE_PAD(struct lpc_state, pad_), STATE_END },
};

static const struct pci_reg lpc_regs[] = {
	{ 0x40, 4, 0x1, 0xff80 }, /* PMBASE */
	{ 0x44, 1, 0, 0x87 },	  /* ACPI_CNTL */
	{ 0x48, 4, 0x1, 0xff80 },
	{ 0x4c, 1, 0, 0x17 },		     /* GPIOBASE, GC */
	{ 0x60, 4, 0x80808080, 0x8f8f8f8f }, /* PIRQ A to D */
	{ 0x64, 1, 0x10, 0xff },	     /* SIRQ_CNTL */
	{ 0x68, 4, 0x80808080, 0x8f8f8f8f }, /* PIRQ E to H */
	{ 0x80, 2, 0, 0x1377 },
	{ 0x82, 2, 0, 0x3fff }, /* LPC I/O decode, enable */
	{ 0x84, 4, 0, 0xfcfffd },
	{ 0x88, 4, 0, 0xfcfffd }, /* generic decodes */
	{ 0x8c, 4, 0, 0xfcfffd },
	{ 0x90, 4, 0, 0xfcfffd },
	{ 0xa0, 2, 0, 0x7bf },
	{ 0xa2, 1, 0, 0 },
	{ 0xa4, 1, 0, 0xff },	    /* GEN_PMCON */
	{ 0xdc, 1, 0, 0x3f },	    /* BIOS_CNTL */
	{ 0xf0, 4, 0, 0xffffc001 }, /* RCBA */
	{ 0, 0, 0, 0 },
};

const struct pci_class dm_lpc = {
	.base = {
		.name = "lpc", .summary = "ICH9 LPC bridge with interrupt routing",
		.size = sizeof(struct lpc), .state = &lpc_state,
		.state_off = offsetof(struct lpc, s),
		.regions = { PCI_REGIONS_COMMON, [REGION_RCBA] = { "rcba", RCBA_BYTES, 1, 4 } },
		.irqs = { "irq3", "irq4", "irq5", "irq6", "irq7", "irq9", "irq10", "irq11",
			  "irq12", "irq14", "irq15" },
		.n_irq_in = 8,
		.realize = lpc_realize, .reset = lpc_reset, .resume = lpc_resume,
		.read = pci_read, .write = pci_write, .irq_in = lpc_irq_in,
	},
	.vendor = 0x8086, .device = 0x2918, .subsys_vendor = 0x1af4, .subsys = 0x1100,
	.class_code = 0x060100, .revision = 2, .multifunction = true, .regs = lpc_regs,
	.read = lpc_read, .write = lpc_write, .cfg_written = lpc_cfg_written,
};
