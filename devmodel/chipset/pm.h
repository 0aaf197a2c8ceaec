/*
 * ACPI power management block of the ICH9 with the APM ports.
 *
 *	region 0 "pm", 128 bytes   where the LPC bridge's PMBASE says: dm_pm_place()
 *	region 1 "apm", 2 bytes    I/O 0xB2
 *	line 0 "sci"               ISA interrupt 9, level
 *
 * For the FADT: PM1a event block at +0 (4 bytes), control at +4 (2), timer at +8 (4), GPE0 at +0x20
 * (16: 8 status, 8 enable).
 */
#ifndef DEVMODEL_CHIPSET_PM_H
#define DEVMODEL_CHIPSET_PM_H
#include "devmodel/dev.h"

#define DM_PM_BYTES 128
#define DM_PM_TIMER_HZ 3579545u
enum { DM_PM_EVENT = 0, DM_PM_CONTROL = 4, DM_PM_TIMER = 8, DM_PM_GPE0 = 0x20 };
/* Values for the FADT's SMI_CMD (port 0xB2). */
enum { DM_PM_ACPI_ENABLE = 2, DM_PM_ACPI_DISABLE = 3 };
/* SLP_TYP of the sleep states, for _S3_, _S4_, _S5_. S5 is taken for 0, too: OVMF writes that. */
enum { DM_PM_TYP_S3 = 5, DM_PM_TYP_S4 = 6, DM_PM_TYP_S5 = 7 };

extern const struct dev_class dm_pm;

/* All with the domain held. */
void dm_pm_place(struct dev *d, uint16_t port, bool on);
void dm_pm_power_button(struct dev *d);
/* The machine left S3: the guest finds WAK_STS. */
void dm_pm_wake(struct dev *d);
/* An event of GPE block 0 (0 to 63) happened: \_GPE._Lxx or _Exx. */
void dm_pm_gpe(struct dev *d, unsigned event);
/* Did it happen without the guest having seen to it? */
bool dm_pm_gpe_waits(struct dev *d, unsigned event);
#endif
