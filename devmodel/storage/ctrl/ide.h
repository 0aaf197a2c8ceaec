/* IDE controller. Options drive0 to drive3: what is attached, as in ata/ata.h; 0 and 1 are the
 * primary channel's master and slave. Lines: one a channel. */
#ifndef DEVMODEL_STORAGE_CTRL_IDE_H
#define DEVMODEL_STORAGE_CTRL_IDE_H
#include "devmodel/pci/pci.h"
#include "devmodel/storage/media.h"

#define IDE_DRIVES 4
enum { IDE_CFG_TIMING = 0x40, IDE_DECODE = 0x8000 }; /* a word a channel; it answers at its ports */

extern const struct pci_class dm_ide;
/* A unit is a drive. */
extern const struct media_ops dm_ide_media;
#endif
