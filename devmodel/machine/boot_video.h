/* The screen of a direct boot, see boot_video.c. */
#ifndef DEVMODEL_MACHINE_BOOT_VIDEO_H
#define DEVMODEL_MACHINE_BOOT_VIDEO_H
#include "devmodel/machine/boot.h"

struct machine;

/* Sets the adapter, if the machine has one, and says what it shows. lfb: where BAR 0 is.
 * Before the system's own data are put into low memory. */
int boot_video(struct machine *m, const struct boot_mode *mode, uint64_t lfb,
	       struct boot_screen *ret_screen, struct err *e) HV_MUST_CHECK;
#endif
