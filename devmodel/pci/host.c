/*
 * Host bridge of the Q35 chipset (MCH), device 0:0.0: configuration accesses by ports 0xCF8/0xCFC
 * and by memory (PCIEXBAR), and the attribute map of the BIOS area. The reset control register
 * 0xCF9 shares its dword with 0xCF8: bytes there are handed on.
 *
 * Specification: Intel 3 Series Express Chipset Family datasheet (316966), chapters 3 to 5. The
 * subsystem 1af4:1100 is what SeaBIOS knows the platform by.
 *
 * Not modelled: SMM (the SMRAM register is storage, with its lock), MCHBAR, DMIBAR and EPBAR
 * (storage), memory remapping: the machine's memory map is fixed.
 */
#include "devmodel/pci/host.h"
#include "base/util.h"

enum { REGION_ECAM256 = MCH_REGION_DATA + 1, REGION_ECAM128, REGION_ECAM64 };
enum { SMRAM_LOCK = 0x10, SMRAM_OPEN = 0x40 };
#define CF8_ENABLE 0x80000000u

STATE_LAYOUT_BEGIN
struct mch_state {
	struct pci_state pci;
	uint32_t cf8;
	uint32_t pad_;
};
STATE_LAYOUT_END

struct mch {
	struct pci_dev pci;
	struct mch_state s;
	const struct mch_machine *machine; /* borrowed; NULL: none */
	bool through_ecam;		   /* what is written now */
};

static struct mch *mch_from_dev(struct dev *d)
{
	assert(d->cls == &dm_mch.base);
	return (struct mch *)d;
}

/* Memory accesses to configuration space: base and length by PCIEXBAR. */
static void map_ecam(struct mch *m)
{
	const uint64_t reg = pci_cfg_get(m->s.pci.cfg, MCH_PCIEXBAR, 4) |
			     (uint64_t)pci_cfg_get(m->s.pci.cfg, MCH_PCIEXBAR + 4, 4) << 32;
	const unsigned length = reg >> 1 & 3;

	for (unsigned i = 0; i < 3; i++) {
		const uint64_t base = reg & ~((HV_MIB(256) >> i) - 1);
		dev_region_map(&m->pci.dev, REGION_ECAM256 + i, DEV_SPACE_MMIO, base,
			       (reg & 1) && length == i);
	}
}

static void map_pam(struct mch *m)
{
	uint8_t modes[MCH_PAM_SEGS];

	if (m->machine == NULL)
		return;
	modes[0] = m->s.pci.cfg[MCH_PAM0] >> 4 & 3;
	for (unsigned i = 1; i < MCH_PAM_SEGS; i++)
		modes[i] = m->s.pci.cfg[MCH_PAM0 + (i + 1) / 2] >> (i & 1 ? 0 : 4) & 3;
	m->machine->pam(m->machine->ctx, modes);
}

/* SeaBIOS, when the guest wakes, sets the register anew through the memory that it describes, and
 * begins by turning that off: it stays, as long as nothing else is written. */
static bool is_cut_off(const struct mch *m)
{
	return m->through_ecam && !(m->s.pci.cfg[MCH_PCIEXBAR] & 1);
}

static void mch_cfg_written(struct pci_dev *p, unsigned off, unsigned size)
{
	struct mch *m = mch_from_dev(&p->dev);

	if (off < MCH_PCIEXBAR + 8 && off + size > MCH_PCIEXBAR && !is_cut_off(m))
		map_ecam(m);
	if (off < MCH_PAM0 + 7 && off + size > MCH_PAM0)
		map_pam(m);
	if (p->s->cfg[MCH_SMRAM] & SMRAM_LOCK) { /* until reset */
		p->s->cfg[MCH_SMRAM] &= (uint8_t)~SMRAM_OPEN;
		p->wmask[MCH_SMRAM] = 0;
	}
}

static uint64_t bus_access(struct mch *m, unsigned bus, unsigned devfn, unsigned off, unsigned size,
			   bool write, uint32_t v)
{
	static const struct pci_bus empty;
	const struct pci_bus *b = m->machine != NULL ? m->machine->bus : &empty;

	if (!write)
		return pci_bus_read(b, &m->pci.dev, bus, devfn, off, size);
	pci_bus_write(b, &m->pci.dev, bus, devfn, off, size, v);
	return 0;
}

static uint64_t data_access(struct mch *m, uint64_t off, unsigned size, bool write, uint32_t v)
{
	if (!(m->s.cf8 & CF8_ENABLE))
		return UINT32_MAX >> (32 - 8 * size);
	return bus_access(m, m->s.cf8 >> 16 & 0xff, m->s.cf8 >> 8 & 0xff,
			  (m->s.cf8 & 0xfc) + (unsigned)off, size, write, v);
}

static uint64_t ecam_access(struct mch *m, uint64_t off, unsigned size, bool write, uint32_t v)
{
	m->through_ecam = write;
	const uint64_t r = bus_access(m, off >> 20 & 0xff, off >> 12 & 0xff, off & 0xfff, size,
				      write, v);
	m->through_ecam = false;
	return r;
}

static uint8_t rst_access(struct mch *m, bool write, uint8_t v)
{
	if (m->machine == NULL || m->machine->reset_ctl == NULL)
		return 0xff;
	hv_domain_lock(m->machine->reset_domain);
	if (write)
		dev_write(m->machine->reset_ctl, 0, 0, 1, v);
	else
		v = (uint8_t)dev_read(m->machine->reset_ctl, 0, 0, 1);
	hv_domain_unlock(m->machine->reset_domain);
	return v;
}

static uint64_t mch_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	struct mch *m = mch_from_dev(d);

	if (region == MCH_REGION_DATA)
		return data_access(m, off, size, false, 0);
	if (region != MCH_REGION_ADDR)
		return ecam_access(m, off, size, false, 0);
	if (size == 4)
		return m->s.cf8;
	return off == 1 && size == 1 ? rst_access(m, false, 0) : UINT32_MAX >> (32 - 8 * size);
}

static void mch_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	struct mch *m = mch_from_dev(d);

	if (region == MCH_REGION_DATA)
		data_access(m, off, size, true, (uint32_t)v);
	else if (region != MCH_REGION_ADDR)
		ecam_access(m, off, size, true, (uint32_t)v);
	else if (size == 4)
		m->s.cf8 = (uint32_t)v & (CF8_ENABLE | 0xfffffc);
	else if (off == 1 && size == 1)
		rst_access(m, true, (uint8_t)v);
}

static void mch_state_init(void *obj)
{
	struct mch_state *s = obj;

	memset(s, 0, sizeof(*s));
	pci_state_init(&dm_mch, &s->pci);
}

static int mch_post_load(void *obj, struct err *e)
{
	const struct mch_state *s = obj;

	if (s->cf8 & ~(CF8_ENABLE | 0xfffffc))
		return err_set(e, -EINVAL, "mch: reserved bits set in cf8");
	return pci_post_load(&dm_mch, &s->pci, e);
}

static int mch_realize(struct dev *d, struct err *e)
{
	struct mch *m = mch_from_dev(d);

	(void)e;
	m->machine = dev_backend(d, DEV_BACKEND_MACHINE, "pci-host", NULL);
	pci_realize(&m->pci, &m->s.pci);
	return 0;
}

static void mch_resume(struct dev *d)
{
	struct mch *m = mch_from_dev(d);

	pci_resume(&m->pci);
	mch_cfg_written(&m->pci, 0, PCI_CFG_BYTES);
}

static void mch_reset(struct dev *d)
{
	struct mch *m = mch_from_dev(d);

	mch_state_init(&m->s);
	pci_realize(&m->pci, &m->s.pci); /* SMRAM is unlocked again */
	mch_resume(d);
}

static const struct state_desc mch_state = {
	.name = "mch",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct mch_state),
	.init = mch_state_init,
	.post_load = mch_post_load,
	.fields =
		(const struct state_field[]){ STATE_STRUCT(struct mch_state, pci, &pci_state_desc),
					      STATE(struct mch_state, cf8),

					      STATE_PAD(struct mch_state, pad_), STATE_END },
};

static const struct pci_reg mch_regs[] = {
	{ 0x40, 4, 0, 0xfffff001 },
	{ 0x44, 4, 0, 0xf }, /* EPBAR */
	{ 0x48, 4, 0, 0xffffc001 },
	{ 0x4c, 4, 0, 0xf }, /* MCHBAR */
	{ 0x54, 4, 0x1, 0 }, /* DEVEN: just the bridge */
	{ 0x60, 4, 0, 0xfc000007 },
	{ 0x64, 4, 0, 0xf }, /* PCIEXBAR */
	{ 0x68, 4, 0, 0xfffff001 },
	{ 0x6c, 4, 0, 0xf }, /* DMIBAR */
	{ 0x90, 4, 0, 0x33333330 },
	{ 0x94, 3, 0, 0x333333 }, /* PAM0 to 6 */
	{ 0x97, 1, 0, 0x8f },	  /* LAC */
	{ 0x98, 2, 0x3ff, 0x3ff },
	{ 0x9a, 2, 0, 0x3ff }, /* REMAPBASE, REMAPLIMIT */
	{ 0x9d, 1, 0x02, 0x78 },
	{ 0x9e, 1, 0x38, 0x87 }, /* SMRAM, ESMRAMC */
	{ 0xa0, 2, 0x1, 0x1ff },
	{ 0xa2, 2, 0, 0xffff }, /* TOM, TOUUD */
	{ 0xa4, 4, 0, 0xfff00000 },
	{ 0xac, 4, 0, 0xfff00000 }, /* GBSM, TSEGMB */
	{ 0xb0, 2, 0x10, 0xfff0 },  /* TOLUD */
	{ 0xdc, 4, 0, 0xffffffff }, /* SKPD: scratch */
	{ 0, 0, 0, 0 },
};

const struct pci_class dm_mch = {
	.base = {
		.name = "mch", .summary = "Q35 host bridge",
		.size = sizeof(struct mch), .state = &mch_state,
		.state_off = offsetof(struct mch, s),
		.regions = {
			PCI_REGIONS_COMMON,
			[MCH_REGION_ADDR] = { "cf8", 4, 1, 4 },
			[MCH_REGION_DATA] = { "cfc", 4, 1, 4 },
			[REGION_ECAM256] = { "ecam256", 256u << 20, 1, 4 },
			[REGION_ECAM128] = { "ecam128", 128u << 20, 1, 4 },
			[REGION_ECAM64] = { "ecam64", 64u << 20, 1, 4 },
		},
		.realize = mch_realize, .reset = mch_reset, .resume = mch_resume,
		.read = pci_read, .write = pci_write,
	},
	.vendor = 0x8086, .device = 0x29c0, .subsys_vendor = 0x1af4, .subsys = 0x1100,
	.class_code = 0x060000, .regs = mch_regs,
	.read = mch_read, .write = mch_write, .cfg_written = mch_cfg_written,
};
