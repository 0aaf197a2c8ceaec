/* Media of removable drives, changed by the user; machine.h. */
#include "base/util.h"
#include "devmodel/machine/machine_int.h"

static int find(struct machine *m, unsigned drive, struct err *e)
{
	if (drive >= MACHINE_MAX_DISKS || m->drive[drive].ops == NULL)
		return err_set(e, -ENOENT, "the machine has no such drive with a medium to change");
	return 0;
}

static int change(struct machine *m, unsigned drive, struct blk *medium, bool force,
		  struct blk **ret_old, struct err *e)
{
	const struct machine_drive *md = &m->drive[drive];
	struct dev *d = md->ed->dev;
	struct blk *old = m->back.disk[drive].blk;

	hv_domain_lock(md->ed->domain);
	const bool locked = !force && md->ops->locked(d, md->unit);
	if (locked)
		md->ops->asked(d, md->unit);
	else
		md->ops->change(d, md->unit, medium);
	hv_domain_unlock(md->ed->domain);
	if (locked)
		return err_set(e, -EBUSY, "the guest has locked the drive");
	m->back.disk[drive].blk = medium;
	if (old != NULL)
		old->ops->drain(old);
	*ret_old = old;
	return 0;
}

int machine_media_insert(struct machine *m, unsigned drive, struct blk *medium, bool force,
			 struct blk **ret_old, struct err *e)
{
	int r = find(m, drive, e);

	if (r == 0 && m->back.disk[drive].bus == MACHINE_BUS_FLOPPY)
		r = floppy_check(floppy_type(m, m->back.disk[drive].unit), medium, e);
	if (r == 0 && !m->config.deterministic)
		r = blk_start(medium, e);
	return r == 0 ? change(m, drive, medium, force, ret_old, e) : r;
}

int machine_media_eject(struct machine *m, unsigned drive, bool force, struct blk **ret_old,
			struct err *e)
{
	const int r = find(m, drive, e);

	return r == 0 ? change(m, drive, NULL, force, ret_old, e) : r;
}

bool machine_media_out(struct machine *m, unsigned drive)
{
	const struct machine_drive *md;
	bool out;

	if (drive >= MACHINE_MAX_DISKS)
		return false;
	md = &m->drive[drive];
	if (md->ops == NULL || md->ops->out == NULL)
		return false;
	hv_domain_lock(md->ed->domain);
	out = md->ops->out(md->ed->dev, md->unit);
	hv_domain_unlock(md->ed->domain);
	return out;
}

struct blk *machine_medium(const struct machine *m, unsigned drive)
{
	return drive < MACHINE_MAX_DISKS ? m->back.disk[drive].blk : NULL;
}
