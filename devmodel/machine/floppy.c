/* The machine's floppy drives: there only where one is given, and then the controller is, too. */
#include "devmodel/storage/floppy.h"
#include <stdio.h>
#include "base/util.h"
#include "devmodel/chipset/i8237.h"
#include "devmodel/chipset/mc146818.h"
#include "devmodel/machine/machine_int.h"
#include "devmodel/storage/ctrl/fdc/fdc.h"

enum { CMOS_FLOPPY_TYPES = 0x10, CMOS_EQUIPMENT = 0x14 };
enum { EQUIPMENT_FLOPPY = 1, EQUIPMENT_TWO = 0x40 };
enum { FDC_PORT = 0x3f0, FDC_DIR_PORT = 0x3f7, FDC_IRQ = 6 };

int floppy_find(const struct machine *m, unsigned unit)
{
	for (unsigned i = 0; i < MACHINE_MAX_DISKS; i++)
		if (m->back.disk[i].bus == MACHINE_BUS_FLOPPY && m->back.disk[i].unit == unit)
			return (int)i;
	return -1;
}

enum floppy_drive floppy_type(const struct machine *m, unsigned unit)
{
	const int i = floppy_find(m, unit);

	return i < 0 ? FLOPPY_DRIVE_NONE : m->back.disk[i].floppy;
}

int floppy_check(enum floppy_drive type, const struct blk *b, struct err *e)
{
	const struct floppy_format *f = floppy_format_of(b->bytes);

	if (f == NULL)
		return err_set(
			e, -EINVAL,
			"no floppy disk has %llu bytes; images of up to 2880K, or of a usual "
			"size, go into a drive",
			(unsigned long long)b->bytes);
	if (type != FLOPPY_DRIVE_NONE && !floppy_fits(type, f))
		return err_set(e, -EINVAL, "a disk of %uK does not fit into a drive for %s disks",
			       f->kib, floppy_drive_name(type));
	return 0;
}

/* The drives' kinds are those of the disks that they begin with, where nobody has said more. */
static int check_drives(struct machine *m, struct err *e)
{
	for (unsigned i = 0; i < MACHINE_MAX_DISKS; i++) {
		const struct blk *b = m->back.disk[i].blk;
		if (m->back.disk[i].bus != MACHINE_BUS_FLOPPY)
			continue;
		if (m->back.disk[i].unit >= FDC_N_DRIVES ||
		    floppy_find(m, m->back.disk[i].unit) != (int)i)
			return err_set(e, -EINVAL, "there are two floppy drives, 0 and 1");
		const int r = b != NULL ? floppy_check(m->back.disk[i].floppy, b, e) : 0;
		if (r < 0)
			return err_prefix(e, "%s", m->back.disk[i].name);
		if (m->back.disk[i].floppy == FLOPPY_DRIVE_NONE)
			m->back.disk[i].floppy =
				floppy_drive_for(b != NULL ? floppy_format_of(b->bytes) : NULL);
	}
	return 0;
}

bool floppy_any(const struct machine *m)
{
	return floppy_find(m, 0) >= 0 || floppy_find(m, 1) >= 0;
}

int floppy_add(struct machine *m, struct err *e)
{
	char kind[FDC_N_DRIVES][24];
	struct env_dev *ed;
	int r = check_drives(m, e);

	if (r < 0 || !floppy_any(m))
		return r;
	for (unsigned u = 0; u < FDC_N_DRIVES; u++)
		snprintf(kind[u], sizeof(kind[u]), "drive%u=%d", u, (int)floppy_type(m, u));
	m->isa_dma = (struct isa_dma){ .read = dm_dma_read,
				       .write = dm_dma_write,
				       .set_request = dm_dma_set_request,
				       .dev = m->dma->dev };
	r = env_add(&m->env, &dm_fdc, "fdc", m->dma->domain, 0,
		    (const char *const[]){ kind[0], kind[1], NULL }, &ed, e);
	if (r < 0)
		return r;
	env_map(ed, 0, DEV_SPACE_PIO, FDC_PORT, true);
	env_map(ed, 1, DEV_SPACE_PIO, FDC_DIR_PORT, true);
	env_wire(ed, 0, &m->isa[FDC_IRQ]);
	for (unsigned u = 0; u < FDC_N_DRIVES; u++) {
		const int i = floppy_find(m, u);
		if (i >= 0) {
			m->drive[i].ed = ed;
			m->drive[i].unit = u;
			m->drive[i].ops = &dm_fdc_media;
		}
	}
	return 0;
}

void floppy_set_cmos(struct machine *m)
{
	uint8_t equipment = 0;

	if (floppy_any(m))
		equipment = EQUIPMENT_FLOPPY;
	if (floppy_find(m, 0) >= 0 && floppy_find(m, 1) >= 0)
		equipment |= EQUIPMENT_TWO;
	dm_rtc_set_byte(m->rtc->dev, CMOS_FLOPPY_TYPES,
			(uint8_t)((unsigned)floppy_type(m, 0) << 4 | (unsigned)floppy_type(m, 1)));
	dm_rtc_set_byte(m->rtc->dev, CMOS_EQUIPMENT, equipment);
}
