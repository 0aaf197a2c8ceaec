/* AHCI controller. Options port0 to port5: what is attached, as in ata/ata.h. */
#ifndef DEVMODEL_STORAGE_CTRL_AHCI_H
#define DEVMODEL_STORAGE_CTRL_AHCI_H
#include "devmodel/pci/pci.h"
#include "devmodel/storage/media.h"

#define AHCI_PORTS 6
enum { AHCI_REGION_MEM = PCI_REGION_DEV };

extern const struct pci_class dm_ahci;
/* A unit is a port. */
extern const struct media_ops dm_ahci_media;
#endif
