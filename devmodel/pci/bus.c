/* The PCI bus: who answers a configuration access, and how INTx pins are wired; see pci.h. */
#include "devmodel/pci/pci.h"

uint32_t pci_bus_read(const struct pci_bus *b, const struct dev *self, unsigned bus, unsigned devfn,
		      unsigned off, unsigned size)
{
	const uint32_t ones = UINT32_MAX >> (32 - 8 * size);
	struct dev *d = bus == 0 ? b->fn[devfn].dev : NULL;
	uint32_t v;

	if (d == NULL || off + size > PCI_CFG_BYTES)
		return ones;
	if (d == self)
		return (uint32_t)dev_read(d, PCI_REGION_CFG, off, size);
	hv_domain_lock(b->fn[devfn].domain);
	v = (uint32_t)dev_read(d, PCI_REGION_CFG, off, size);
	hv_domain_unlock(b->fn[devfn].domain);
	return v;
}

void pci_bus_write(const struct pci_bus *b, const struct dev *self, unsigned bus, unsigned devfn,
		   unsigned off, unsigned size, uint32_t v)
{
	struct dev *d = bus == 0 ? b->fn[devfn].dev : NULL;

	if (d == NULL || off + size > PCI_CFG_BYTES)
		return;
	if (d == self) {
		dev_write(d, PCI_REGION_CFG, off, size, v);
		return;
	}
	hv_domain_lock(b->fn[devfn].domain);
	dev_write(d, PCI_REGION_CFG, off, size, v);
	hv_domain_unlock(b->fn[devfn].domain);
}

/* As the ICH9 wires its slots by default, and as the DSDT's _PRT says: slots 0 to 24 turn round
 * E to H, 25 to 31 round A to D. */
unsigned pci_pirq(unsigned devfn, unsigned pin)
{
	const unsigned slot = devfn >> 3, turn = (slot + pin - 1) & 3;

	return slot < 25 ? 4 + turn : turn;
}
