/* The drives of a VM, see drives.h. */
#include "vm/drives.h"
#include <errno.h>
#include <glib.h>
#include "base/util.h"

static const char *const bus_names[] = {
	[MACHINE_BUS_VIRTIO] = "virtio",
	[MACHINE_BUS_AHCI] = "ahci",
	[MACHINE_BUS_IDE] = "ide",
	[MACHINE_BUS_FLOPPY] = "floppy",
};

const char *vm_drive_changes(bool read_only, bool keep)
{
	return read_only ? "read-only" : keep ? "keep" : "discard";
}

/* ---- from the settings ---- */

static void add_disk(struct vm_drives *d, const struct vm_disk_config *c, struct blk **slot,
		     struct machine_backends *b)
{
	struct vm_drive *v = &d->drive[d->n];

	g_snprintf(v->name, sizeof(v->name), "%s%s", c->cdrom ? "" : "disk.", c->name);
	v->file = vm_disk_has_file(c) ? g_strdup(c->file) : NULL;
	v->bus = bus_names[vm_disk_bus(c)];
	v->changes = vm_drive_changes(c->read_only, c->keep);
	v->removable = v->cdrom = c->cdrom;
	v->slot = slot;
	b->disk[d->n].blk = *slot;
	b->disk[d->n].name = v->name;
	b->disk[d->n].bus = vm_disk_bus(c);
	b->disk[d->n].cdrom = c->cdrom;
	d->n++;
}

static int add_floppy(struct vm_drives *d, const struct vm_floppy_config *c, unsigned unit,
		      struct blk **slot, struct machine_backends *b, struct err *e)
{
	struct vm_drive *v = &d->drive[d->n];

	if (d->n == MACHINE_MAX_DISKS)
		return err_set(e, -EINVAL, "a VM has at most %d drives", MACHINE_MAX_DISKS);
	g_snprintf(v->name, sizeof(v->name), "floppy.%u", unit);
	v->file = g_strdup(c->file);
	v->bus = bus_names[MACHINE_BUS_FLOPPY];
	v->changes = vm_drive_changes(c->read_only, c->keep);
	v->removable = true;
	v->slot = slot;
	b->disk[d->n].blk = *slot;
	b->disk[d->n].name = v->name;
	b->disk[d->n].bus = MACHINE_BUS_FLOPPY;
	b->disk[d->n].unit = (uint8_t)unit;
	for (enum floppy_drive k = 0; c->drive && k < FLOPPY_N_DRIVES; k++)
		if (strcmp(c->drive, floppy_drive_name(k)) == 0)
			b->disk[d->n].floppy = k;
	d->n++;
	return 0;
}

/* ---- the order of booting ---- */

static void try_drive(struct machine_backends *b, unsigned drive)
{
	for (unsigned i = 0; i < b->n_boot; i++)
		if (b->boot[i] == drive)
			return;
	b->boot[b->n_boot++] = (uint8_t)drive;
}

static int named_order(const struct vm_drives *d, const char *order, struct machine_backends *b,
		       struct err *e)
{
	g_auto(GStrv) names = g_strsplit(order, ",", MACHINE_MAX_DISKS + 1);

	for (unsigned i = 0; names[i]; i++) {
		unsigned drive = 0;
		const char *name = g_strstrip(names[i]);
		while (drive < d->n && strcmp(d->drive[drive].name, name) != 0)
			drive++;
		if (drive == d->n)
			return err_set(e, -EINVAL, "vm.boot: there is no drive '%.40s'%s%s", name,
				       d->n > 0 ? "; there is " : "",
				       d->n > 0 ? d->drive[0].name : "");
		try_drive(b, drive);
	}
	return 0;
}

/* What the user gave to be run, then floppies, CDs, disks. */
static void usual_order(const struct vm_drives *d, const char *first, struct machine_backends *b)
{
	for (unsigned i = 0; i < d->n; i++)
		if (first && strcmp(d->drive[i].name, first) == 0)
			try_drive(b, i);
	for (unsigned i = 0; i < d->n; i++)
		if (d->drive[i].removable && !d->drive[i].cdrom)
			try_drive(b, i);
	for (unsigned i = 0; i < d->n; i++)
		if (d->drive[i].cdrom)
			try_drive(b, i);
	for (unsigned i = 0; i < d->n; i++)
		try_drive(b, i);
}

int vm_drives_fill(struct vm_drives *d, const struct vm_config *c, struct vm_files *f,
		   struct machine_backends *b, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < c->n_disks; i++)
		add_disk(d, &c->disk[i], &f->disk[i], b);
	/* After the disks: these keep their places on the PCI bus. */
	for (unsigned i = 0; i < VM_MAX_FLOPPIES && r == 0; i++)
		if (c->floppy[i].there)
			r = add_floppy(d, &c->floppy[i], i, &f->floppy[i], b, e);
	if (r == 0 && c->boot_order)
		return named_order(d, c->boot_order, b, e);
	usual_order(d, c->boot_first, b);
	return r;
}

void vm_drives_finish(struct vm_drives *d)
{
	for (unsigned i = 0; i < d->n; i++)
		g_free(d->drive[i].file);
	d->n = 0;
}

/* ---- changing ---- */

static bool takes(const struct vm_drive *v, enum image_kind kind)
{
	if (!v->removable)
		return false;
	return kind == IMAGE_CD ? v->cdrom : kind == IMAGE_FLOPPY ? !v->cdrom : true;
}

int vm_drives_find(const struct vm_drives *d, const char *name, enum image_kind kind,
		   unsigned *ret_drive, struct err *e)
{
	unsigned found = d->n, n = 0;

	for (unsigned i = 0; i < d->n; i++) {
		const struct vm_drive *v = &d->drive[i];
		if (name[0] != '\0' ? strcmp(v->name, name) != 0 : !takes(v, kind))
			continue;
		found = n++ == 0 ? i : found;
	}
	if (n == 0 && name[0] != '\0')
		return err_set(e, -ENOENT, "there is no drive '%.40s'", name);
	if (n == 0)
		return err_set(e, -ENOENT, "this VM has no drive that takes such a medium");
	if (!d->drive[found].removable)
		return err_set(e, -EINVAL, "the medium of '%.40s' cannot be changed", name);
	if (n > 1)
		return err_set(e, -EINVAL, "there are several drives: say which, such as %s",
			       d->drive[found].name);
	*ret_drive = found;
	return 0;
}

int vm_drives_change(struct vm_drives *d, struct machine *m, unsigned drive, struct blk *medium,
		     const char *file, const char *changes, bool force, struct err *e)
{
	struct vm_drive *v = &d->drive[drive];
	struct blk *old = NULL;
	const int r = medium ? machine_media_insert(m, drive, medium, force, &old, e)
			     : machine_media_eject(m, drive, force, &old, e);

	if (r < 0) {
		blk_close(medium);
		return r;
	}
	blk_close(old);
	*v->slot = medium;
	g_free(v->file);
	v->file = medium ? g_strdup(file) : NULL;
	v->changes = changes;
	return 0;
}
