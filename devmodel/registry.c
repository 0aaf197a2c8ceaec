/*
 * Every device model there is: the one place outside machine/ that names them. New ones go to the
 * end: the fuzzer's inputs name a class by its place.
 */
#include "devmodel/chipset/debug_exit.h"
#include "devmodel/chipset/debugcon.h"
#include "devmodel/chipset/hpet.h"
#include "devmodel/chipset/i8237.h"
#include "devmodel/chipset/i8254.h"
#include "devmodel/chipset/i8259.h"
#include "devmodel/chipset/ioapic.h"
#include "devmodel/chipset/lapic.h"
#include "devmodel/chipset/mc146818.h"
#include "devmodel/chipset/ns16550.h"
#include "devmodel/chipset/pm.h"
#include "devmodel/chipset/port92.h"
#include "devmodel/chipset/post_port.h"
#include "devmodel/chipset/reset_ctl.h"
#include "devmodel/display/vga.h"
#include "devmodel/input/i8042.h"
#include "devmodel/machine/fwcfg.h"
#include "devmodel/pci/host.h"
#include "devmodel/pci/lpc.h"
#include "devmodel/storage/ctrl/ahci.h"
#include "devmodel/storage/ctrl/fdc/fdc.h"
#include "devmodel/storage/ctrl/ide.h"
#include "devmodel/virtio/virtio_blk.h"
#include "devmodel/virtio/virtio_rng.h"

const struct dev_class *const dm_classes[] = {
	&dm_i8259,
	&dm_ioapic,
	&dm_lapic,
	&dm_i8254,
	&dm_mc146818,
	&dm_hpet,
	&dm_i8237,
	&dm_ns16550,
	&dm_pm,
	&dm_port92,
	&dm_reset_ctl,
	&dm_post_port,
	&dm_debugcon,
	&dm_debug_exit,
	&dm_fwcfg,
	&dm_mch.base,
	&dm_lpc.base,
	&dm_virtio_blk.pci.base,
	&dm_virtio_rng.pci.base,
	&dm_i8042,
	&dm_fdc,
	&dm_vga.base,
	&dm_ahci.base,
	&dm_ide.base,
	NULL,
};
