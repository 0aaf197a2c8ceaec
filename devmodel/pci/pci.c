/*
 * PCI functions: configuration space, BARs, INTx, MSI, MSI-X; see pci.h.
 *
 * Specification: PCI Local Bus 3.0, chapters 6, 6.8.1 (MSI) and 6.8.2 (MSI-X).
 * Not modelled: several messages and masking of MSI, power management (no function needs it),
 * bridges.
 */
#include "devmodel/pci/pci.h"
#include "base/util.h"

enum { PCI_CAP_ID_MSI = 0x05, MSI_CAP_LEN = 14, PCI_CAP_ID_MSIX = 0x11, MSIX_CAP_LEN = 12 };
enum { MSI_CTL_ENABLE = 1, MSI_CTL_COUNT = 0x70, MSI_CTL_64 = 0x80 };
enum { MSIX_CTL_ENABLE = 0x8000, MSIX_CTL_MASK = 0x4000, MSIX_VEC_MASK = 1 };
#define PCI_BAR_LIMIT (1ull << 46) /* nothing is decoded above */

uint32_t pci_cfg_get(const uint8_t *cfg, unsigned off, unsigned bytes)
{
	uint32_t v = 0;

	memcpy(&v, cfg + off, bytes);
	return v;
}

void pci_cfg_put(uint8_t *cfg, unsigned off, unsigned bytes, uint32_t v)
{
	memcpy(cfg + off, &v, bytes);
}

static struct pci_dev *pci_from_dev(struct dev *d)
{
	return (struct pci_dev *)d;
}

/* ---- the configuration space at power-on, and which of its bits a guest may change ---- */

static void make_bars(const struct pci_class *c, uint8_t *cfg, uint8_t *wmask)
{
	for (unsigned i = 0; i < 6; i++) {
		const struct pci_bar *b = &c->bars[i];
		const unsigned off = PCI_BAR0 + 4 * i;
		uint64_t mask;

		if (b->kind == PCI_BAR_NONE)
			continue;
		mask = ~(c->base.regions[b->region].bytes - 1);
		if (b->kind == PCI_BAR_PIO) {
			pci_cfg_put(cfg, off, 4, 1);
			pci_cfg_put(wmask, off, 4, (uint32_t)mask & ~3u);
			continue;
		}
		pci_cfg_put(cfg, off, 4,
			    (b->kind == PCI_BAR_MMIO64 ? 4u : 0u) | (b->prefetch ? 8u : 0u));
		pci_cfg_put(wmask, off, 4, (uint32_t)mask & ~15u);
		if (b->kind == PCI_BAR_MMIO64)
			pci_cfg_put(wmask, off + 4, 4, (uint32_t)(mask >> 32));
	}
	if (c->rom_region != 0)
		pci_cfg_put(wmask, PCI_ROM, 4,
			    (uint32_t) ~(c->base.regions[c->rom_region].bytes - 1) | PCI_ROM_ON);
}

/* At at, which is aligned; returns where the next one goes. */
static unsigned make_msi(uint8_t *cfg, uint8_t *wmask, unsigned at)
{
	assert(at + MSI_CAP_LEN <= PCI_CFG_BYTES);
	cfg[at] = PCI_CAP_ID_MSI;
	pci_cfg_put(cfg, at + 2, 2, MSI_CTL_64);
	pci_cfg_put(wmask, at + 2, 2, MSI_CTL_ENABLE | MSI_CTL_COUNT);
	pci_cfg_put(wmask, at + 4, 4, ~3u);
	pci_cfg_put(wmask, at + 8, 4, UINT32_MAX);
	pci_cfg_put(wmask, at + 12, 2, 0xffff);
	return at + ((MSI_CAP_LEN + 3u) & ~3u);
}

/* Puts the class's capabilities, then MSI and MSI-X, into the list; *ret_msi and what is returned
 * are their offsets or 0. */
static unsigned make_caps(const struct pci_class *c, uint8_t *cfg, uint8_t *wmask, uint8_t *ret_msi)
{
	unsigned at = PCI_CAP_FIRST, link = PCI_CAP_PTR;

	for (const struct pci_cap *cap = c->caps; cap != NULL && cap->id != 0; cap++) {
		cfg[link] = (uint8_t)at;
		link = at + 1;
		cfg[at] = cap->id;
		memcpy(cfg + at + 2, cap->body, cap->len - 2u);
		if (cap->wmask != NULL)
			memcpy(wmask + at + 2, cap->wmask, cap->len - 2u);
		at += (cap->len + 3u) & ~3u;
	}
	*ret_msi = 0;
	if (c->msi) {
		*ret_msi = cfg[link] = (uint8_t)at;
		link = at + 1;
		at = make_msi(cfg, wmask, at);
	}
	if (c->n_msix == 0)
		return 0;
	assert(at + MSIX_CAP_LEN <= PCI_CFG_BYTES && c->n_msix <= PCI_MSIX_MAX);
	cfg[link] = (uint8_t)at;
	cfg[at] = PCI_CAP_ID_MSIX;
	pci_cfg_put(cfg, at + 2, 2, c->n_msix - 1u);
	pci_cfg_put(wmask, at + 2, 2, MSIX_CTL_ENABLE | MSIX_CTL_MASK);
	pci_cfg_put(cfg, at + 4, 4, c->msix_bar);
	pci_cfg_put(cfg, at + 8, 4, PCI_MSIX_PBA_OFF | c->msix_bar);
	return at;
}

/* As make_caps(). */
static unsigned make_cfg(const struct pci_class *c, uint8_t *cfg, uint8_t *wmask, uint8_t *ret_msi)
{
	unsigned msix;

	memset(cfg, 0, PCI_CFG_BYTES);
	memset(wmask, 0, PCI_CFG_BYTES);
	pci_cfg_put(cfg, PCI_VENDOR, 2, c->vendor);
	pci_cfg_put(cfg, PCI_DEVICE, 2, c->device);
	pci_cfg_put(cfg, PCI_REVISION, 1, c->revision);
	pci_cfg_put(cfg, PCI_CLASS, 2, c->class_code);
	pci_cfg_put(cfg, PCI_CLASS + 2, 1, c->class_code >> 16);
	cfg[PCI_HEADER_TYPE] = c->multifunction ? 0x80 : 0;
	pci_cfg_put(cfg, PCI_SUBSYS_VENDOR, 2, c->subsys_vendor);
	pci_cfg_put(cfg, PCI_SUBSYS, 2, c->subsys);
	cfg[PCI_INT_PIN] = c->int_pin;
	pci_cfg_put(wmask, PCI_COMMAND, 2, 0x0547);
	wmask[0x0c] = 0xff; /* cache line size: storage only */
	wmask[PCI_INT_LINE] = 0xff;
	make_bars(c, cfg, wmask);
	msix = make_caps(c, cfg, wmask, ret_msi);
	if (cfg[PCI_CAP_PTR] != 0)
		cfg[PCI_STATUS] |= PCI_STATUS_CAPS;
	for (const struct pci_reg *r = c->regs; r != NULL && r->bytes != 0; r++) {
		pci_cfg_put(cfg, r->off, r->bytes, r->value);
		pci_cfg_put(wmask, r->off, r->bytes, r->wmask);
	}
	return msix;
}

/* ---- BARs and INTx follow the registers ---- */

static bool bar_base(const struct pci_dev *p, unsigned i, uint64_t *ret_base)
{
	const struct pci_bar *b = &pci_class_of(p)->bars[i];
	const uint64_t bytes = p->dev.cls->regions[b->region].bytes;
	const uint32_t low = pci_cfg_get(p->s->cfg, PCI_BAR0 + 4 * i, 4);
	const uint32_t cmd = pci_cfg_get(p->s->cfg, PCI_COMMAND, 2);
	uint64_t base, limit;

	if (b->kind == PCI_BAR_PIO) {
		base = low & ~3u;
		limit = 0x10000;
	} else {
		base = low & ~15u;
		limit = 1ull << 32;
	}
	if (b->kind == PCI_BAR_MMIO64) {
		base |= (uint64_t)pci_cfg_get(p->s->cfg, PCI_BAR0 + 4 * i + 4, 4) << 32;
		limit = PCI_BAR_LIMIT;
	}
	*ret_base = base;
	return (cmd & (b->kind == PCI_BAR_PIO ? PCI_CMD_IO : PCI_CMD_MEM)) && base != 0 &&
	       base < limit && bytes <= limit - base;
}

static void map_rom(struct pci_dev *p, unsigned region)
{
	const uint32_t reg = pci_cfg_get(p->s->cfg, PCI_ROM, 4), base = reg & ~0x7ffu;
	const uint32_t cmd = pci_cfg_get(p->s->cfg, PCI_COMMAND, 2);

	dev_region_map(&p->dev, region, DEV_SPACE_MMIO, base,
		       (reg & PCI_ROM_ON) && (cmd & PCI_CMD_MEM) && base != 0 &&
			       base - 1 + p->dev.cls->regions[region].bytes <= UINT32_MAX);
}

static void map_bars(struct pci_dev *p)
{
	const struct pci_class *c = pci_class_of(p);

	for (unsigned i = 0; i < 6; i++) {
		const struct pci_bar *b = &c->bars[i];
		uint64_t base;
		bool on;

		if (b->kind == PCI_BAR_NONE)
			continue;
		on = bar_base(p, i, &base);
		dev_region_map(&p->dev, b->region,
			       b->kind == PCI_BAR_PIO ? DEV_SPACE_PIO : DEV_SPACE_MMIO, base, on);
	}
	if (c->rom_region != 0)
		map_rom(p, c->rom_region);
}

static bool msi_enabled(const struct pci_dev *p)
{
	return p->msi_cap != 0 && (p->s->cfg[p->msi_cap + 2] & MSI_CTL_ENABLE);
}

static void follow_intx(struct pci_dev *p)
{
	const uint32_t cmd = pci_cfg_get(p->s->cfg, PCI_COMMAND, 2);

	if (pci_class_of(p)->int_pin == 0)
		return;
	p->s->cfg[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTX;
	p->s->cfg[PCI_STATUS] |= p->s->intx ? PCI_STATUS_INTX : 0;
	dev_irq_set(&p->dev, 0, p->s->intx && !(cmd & PCI_CMD_INTX_OFF) && !msi_enabled(p));
}

void pci_set_intx(struct pci_dev *p, bool level)
{
	p->s->intx = level;
	follow_intx(p);
}

bool pci_is_master(const struct pci_dev *p)
{
	return p->s->cfg[PCI_COMMAND] & PCI_CMD_MASTER;
}

/* ---- MSI and MSI-X ---- */

void pci_msi_notify(struct pci_dev *p)
{
	const uint8_t *cfg = p->s->cfg;
	const unsigned at = p->msi_cap;

	if (msi_enabled(p))
		dev_msi_send(&p->dev,
			     (uint64_t)pci_cfg_get(cfg, at + 8, 4) << 32 |
				     pci_cfg_get(cfg, at + 4, 4),
			     pci_cfg_get(cfg, at + 12, 2));
}

static uint32_t msix_ctl(const struct pci_dev *p)
{
	return p->msix_cap != 0 ? pci_cfg_get(p->s->cfg, p->msix_cap + 2u, 2) : 0;
}

bool pci_msix_enabled(const struct pci_dev *p)
{
	return msix_ctl(p) & MSIX_CTL_ENABLE;
}

/* Sends what waits and is masked no longer. */
static void msix_flush(struct pci_dev *p)
{
	if (p->s->msix_pending == 0 || !pci_msix_enabled(p) || (msix_ctl(p) & MSIX_CTL_MASK))
		return;
	for (unsigned v = 0; v < pci_class_of(p)->n_msix; v++) {
		const uint32_t *t = &p->s->msix_table[v * 4];

		if (!(p->s->msix_pending >> v & 1) || (t[3] & MSIX_VEC_MASK))
			continue;
		p->s->msix_pending &= ~(1u << v);
		dev_msi_send(&p->dev, (uint64_t)t[1] << 32 | t[0], t[2]);
	}
}

void pci_msix_notify(struct pci_dev *p, unsigned vector)
{
	if (vector >= pci_class_of(p)->n_msix || !pci_msix_enabled(p))
		return;
	p->s->msix_pending |= 1u << vector;
	msix_flush(p);
}

static uint32_t msix_read32(struct pci_dev *p, unsigned off)
{
	if (off < pci_class_of(p)->n_msix * 16u)
		return p->s->msix_table[off / 4];
	return off == PCI_MSIX_PBA_OFF ? p->s->msix_pending : 0;
}

static void msix_write32(struct pci_dev *p, unsigned off, uint32_t v)
{
	if (off >= pci_class_of(p)->n_msix * 16u)
		return;
	if (off % 16 == 0)
		v &= ~3u;
	else if (off % 16 == 12)
		v &= MSIX_VEC_MASK;
	p->s->msix_table[off / 4] = v;
}

/* ---- accesses ---- */

static void cfg_write(struct pci_dev *p, unsigned off, unsigned size, uint32_t v)
{
	const struct pci_class *c = pci_class_of(p);
	uint8_t *cfg = p->s->cfg;

	for (unsigned i = off; i < off + size; i++, v >>= 8)
		cfg[i] = (uint8_t)((cfg[i] & ~p->wmask[i]) | (v & p->wmask[i]));
	if (off < PCI_ROM + 4 && off + size > PCI_COMMAND)
		map_bars(p);
	follow_intx(p);
	msix_flush(p);
	if (c->cfg_written != NULL)
		c->cfg_written(p, off, size);
}

uint64_t pci_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	struct pci_dev *p = pci_from_dev(d);
	const struct pci_class *c = pci_class_of(p);

	if (region == PCI_REGION_CFG) {
		if (c->cfg_reading != NULL)
			c->cfg_reading(p, (unsigned)off, size);
		return pci_cfg_get(p->s->cfg, (unsigned)off, size);
	}
	if (region == PCI_REGION_MSIX) {
		uint64_t v = msix_read32(p, (unsigned)off);

		if (size == 8)
			v |= (uint64_t)msix_read32(p, (unsigned)off + 4) << 32;
		return v;
	}
	return c->read(d, region, off, size);
}

void pci_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	struct pci_dev *p = pci_from_dev(d);

	if (region == PCI_REGION_CFG) {
		cfg_write(p, (unsigned)off, size, (uint32_t)v);
	} else if (region == PCI_REGION_MSIX) {
		msix_write32(p, (unsigned)off, (uint32_t)v);
		if (size == 8)
			msix_write32(p, (unsigned)off + 4, (uint32_t)(v >> 32));
		msix_flush(p);
	} else {
		pci_class_of(p)->write(d, region, off, size, v);
	}
}

/* ---- life cycle ---- */

void pci_realize(struct pci_dev *p, struct pci_state *s)
{
	uint8_t cfg[PCI_CFG_BYTES];

	p->s = s;
	p->msix_cap = (uint8_t)make_cfg(pci_class_of(p), cfg, p->wmask, &p->msi_cap);
}

void pci_state_init(const struct pci_class *c, struct pci_state *s)
{
	uint8_t wmask[PCI_CFG_BYTES], msi;

	memset(s, 0, sizeof(*s));
	make_cfg(c, s->cfg, wmask, &msi);
	for (unsigned v = 0; v < c->n_msix; v++)
		s->msix_table[v * 4 + 3] = MSIX_VEC_MASK;
}

void pci_reset(struct pci_dev *p)
{
	pci_state_init(pci_class_of(p), p->s);
	pci_resume(p);
}

void pci_resume(struct pci_dev *p)
{
	map_bars(p);
	follow_intx(p);
}

int pci_post_load(const struct pci_class *c, const struct pci_state *s, struct err *e)
{
	uint8_t cfg[PCI_CFG_BYTES], wmask[PCI_CFG_BYTES], msi;
	const unsigned vectors = c->n_msix;

	make_cfg(c, cfg, wmask, &msi);
	if (c->int_pin != 0)
		wmask[PCI_STATUS] |= PCI_STATUS_INTX;
	for (unsigned i = 0; i < PCI_CFG_BYTES; i++)
		if ((cfg[i] ^ s->cfg[i]) & ~wmask[i])
			return err_set(e, -EINVAL, "%s: configuration byte %#x cannot be %#x",
				       c->base.name, i, s->cfg[i]);
	if (s->intx > 1 || (s->intx && c->int_pin == 0) || (uint64_t)s->msix_pending >> vectors)
		return err_set(e, -EINVAL, "%s: interrupt state of no such function", c->base.name);
	for (unsigned i = 0; i < PCI_MSIX_MAX * 4; i++) {
		const uint32_t bad = i >= vectors * 4 ? UINT32_MAX
				     : i % 4 == 0     ? 3u
				     : i % 4 == 3     ? ~1u
						      : 0;
		if (s->msix_table[i] & bad)
			return err_set(e, -EINVAL, "%s: reserved bits in the MSI-X table",
				       c->base.name);
	}
	return 0;
}

const struct state_desc pci_state_desc = {
	.name = "pci",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct pci_state),
	.fields = (const struct state_field[]){ STATE_ARRAY(struct pci_state, cfg),
						STATE_ARRAY(struct pci_state, msix_table),
						STATE(struct pci_state, msix_pending),
						STATE(struct pci_state, intx),
						STATE_PAD(struct pci_state, pad_), STATE_END },
};
