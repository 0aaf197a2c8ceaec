/*
 * PCI functions as devices: a pci_class wraps a dev_class and says in data what its configuration
 * space holds; this layer decodes BARs, routes INTx, MSI and MSI-X, and keeps all of it as state.
 *
 * A function's struct starts with struct pci_dev, its state struct with struct pci_state. Region
 * PCI_REGION_CFG is the configuration space: the host bridge reaches a function through dev_read()
 * and dev_write() of it, under the function's domain, like any other register.
 */
#ifndef DEVMODEL_PCI_PCI_H
#define DEVMODEL_PCI_PCI_H
#include "base/thread.h"
#include "devmodel/dev.h"

#define PCI_CFG_BYTES 256
#define PCI_MSIX_MAX 8
#define PCI_MSIX_BYTES 4096 /* of the BAR that holds table and pending bits */
#define PCI_MSIX_PBA_OFF 0x800u
#define PCI_MSIX_NONE 0xffffu

enum { PCI_REGION_CFG, PCI_REGION_MSIX, PCI_REGION_DEV /* the function's own from here */ };
#define PCI_REGIONS_COMMON [PCI_REGION_CFG] = { "cfg", PCI_CFG_BYTES, 1, 4 }

/* Registers of the type 0 header that more than one file speaks of. */
enum {
	PCI_VENDOR = 0x00,
	PCI_DEVICE = 0x02,
	PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06,
	PCI_REVISION = 0x08,
	PCI_CLASS = 0x09,
	PCI_HEADER_TYPE = 0x0e,
	PCI_BAR0 = 0x10,
	PCI_SUBSYS_VENDOR = 0x2c,
	PCI_SUBSYS = 0x2e,
	PCI_ROM = 0x30,
	PCI_CAP_PTR = 0x34,
	PCI_INT_LINE = 0x3c,
	PCI_INT_PIN = 0x3d,
	PCI_CAP_FIRST = 0x40,
};
enum {
	PCI_ROM_ON = 1,
	PCI_CMD_IO = 1,
	PCI_CMD_MEM = 2,
	PCI_CMD_MASTER = 4,
	PCI_CMD_INTX_OFF = 0x400,
	PCI_STATUS_INTX = 8,
	PCI_STATUS_CAPS = 0x10,
};

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_PIO, PCI_BAR_MMIO32, PCI_BAR_MMIO64 };

/* The size is the region's, a power of two. A 64-bit BAR takes the next one, too. */
struct pci_bar {
	enum pci_bar_kind kind;
	unsigned region;
	bool prefetch;
};

/* A capability: bytes 2 to len - 1 come from body, may be changed where wmask has ones. */
struct pci_cap {
	uint8_t id, len; /* id 0 ends the list */
	const uint8_t *body;
	const uint8_t *wmask; /* O: read only */
};

/* Registers of the function's own, after the header is made; bytes 0 ends the list. */
struct pci_reg {
	uint8_t off, bytes;
	uint32_t value, wmask;
};

STATE_LAYOUT_BEGIN
struct pci_state {
	uint8_t cfg[PCI_CFG_BYTES];
	uint32_t msix_table[PCI_MSIX_MAX * 4];
	uint32_t msix_pending; /* a bit a vector */
	uint8_t intx;	       /* level that the function asks for */
	uint8_t pad_[3];
};
STATE_LAYOUT_END
extern const struct state_desc pci_state_desc;

struct pci_dev {
	struct dev dev;
	struct pci_state *s; /* borrowed: in the function's own state; set by pci_realize() */
	uint8_t wmask[PCI_CFG_BYTES];
	uint8_t msix_cap, msi_cap; /* offset; 0: none */
};

struct pci_class {
	/* read, write are pci_read, pci_write; reset and resume call pci_reset, pci_resume. */
	struct dev_class base;
	uint16_t vendor, device, subsys_vendor, subsys;
	uint32_t class_code; /* base << 16 | sub << 8 | interface */
	uint8_t revision;
	bool multifunction;
	uint8_t int_pin; /* 0 none, 1 to 4: INTA to INTD; line 0 of the class is "intx" */
	bool msi;	 /* one message, 64-bit address */
	uint8_t n_msix;	 /* at most PCI_MSIX_MAX; BAR msix_bar holds PCI_REGION_MSIX */
	uint8_t msix_bar;
	struct pci_bar bars[6];
	unsigned rom_region;	    /* of the expansion ROM; 0: none */
	const struct pci_cap *caps; /* O */
	const struct pci_reg *regs; /* O */
	/* The function's regions. O without. */
	uint64_t (*read)(struct dev *d, unsigned region, uint64_t off, unsigned size);
	void (*write)(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v);
	/* O. Configuration space: before a read (to fill in what is live), after a write. */
	void (*cfg_reading)(struct pci_dev *p, unsigned off, unsigned size);
	void (*cfg_written)(struct pci_dev *p, unsigned off, unsigned size);
};

static inline const struct pci_class *pci_class_of(const struct pci_dev *p)
{
	return (const struct pci_class *)(const void *)p->dev.cls;
}

/* For pci_class.base. */
uint64_t pci_read(struct dev *d, unsigned region, uint64_t off, unsigned size);
void pci_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v);

/* For the function's realize, reset, resume, state init and post_load. */
void pci_realize(struct pci_dev *p, struct pci_state *s);
void pci_reset(struct pci_dev *p);
void pci_resume(struct pci_dev *p);
void pci_state_init(const struct pci_class *c, struct pci_state *s);
/* Refuses what a guest could not have written. */
int pci_post_load(const struct pci_class *c, const struct pci_state *s,
		  struct err *e) HV_MUST_CHECK;

/* For the function, under its domain. */
void pci_set_intx(struct pci_dev *p, bool level);
/* Sends the function's message if the guest has enabled MSI; INTx is silent then. */
void pci_msi_notify(struct pci_dev *p);
bool pci_msix_enabled(const struct pci_dev *p);
void pci_msix_notify(struct pci_dev *p, unsigned vector); /* past the last: nothing */
/* Whether the function may read and write guest memory. */
bool pci_is_master(const struct pci_dev *p);

/* Little-endian fields of the configuration space. off + bytes within it. */
uint32_t pci_cfg_get(const uint8_t *cfg, unsigned off, unsigned bytes);
void pci_cfg_put(uint8_t *cfg, unsigned off, unsigned bytes, uint32_t v);

/* ---- the bus: bus 0 and what is plugged in; built by the machine before vCPUs run ---- */

#define PCI_DEVFN(dev, fn) ((unsigned)(dev) << 3 | (fn))
struct pci_bus {
	struct {
		struct dev *dev;	  /* borrowed; NULL: empty */
		struct hv_domain *domain; /* of dev */
	} fn[256];
};
/* A configuration access by self (the host bridge, whose domain is held). Nothing there: ones. */
uint32_t pci_bus_read(const struct pci_bus *b, const struct dev *self, unsigned bus, unsigned devfn,
		      unsigned off, unsigned size);
void pci_bus_write(const struct pci_bus *b, const struct dev *self, unsigned bus, unsigned devfn,
		   unsigned off, unsigned size, uint32_t v);
/* Which of the chipset's PIRQ A to H (0 to 7) a function's pin (1 to 4) is wired to. */
unsigned pci_pirq(unsigned devfn, unsigned pin);
#endif
