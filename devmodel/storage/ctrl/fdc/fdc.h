/*
 * Floppy disk controller with up to two drives.
 *
 *	region 0 "ports", 6 bytes   I/O 0x3f0
 *	region 1 "dir", 1 byte      I/O 0x3f7: digital input register, data rate
 *	line 0 "irq6"               ISA interrupt 6; DMA channel 2
 *
 * DEV_BACKEND_BLK "floppy0", "floppy1" are the disks that are in the drives, none: empty;
 * DEV_BACKEND_MACHINE "isa-dma" is the DMA controller (isa_dma.h). Options drive0, drive1: enum
 * floppy_drive.
 */
#ifndef DEVMODEL_STORAGE_CTRL_FDC_H
#define DEVMODEL_STORAGE_CTRL_FDC_H
#include "devmodel/dev.h"
#include "devmodel/storage/media.h"

#define FDC_N_DRIVES 2

extern const struct dev_class dm_fdc;
/* What is put in has a format that fits into the drive (floppy.h); a floppy drive has no lock. */
extern const struct media_ops dm_fdc_media;
#endif
