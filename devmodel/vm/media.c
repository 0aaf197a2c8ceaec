/* See media.h. */
#include "vm/media.h"
#include <errno.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "protocol/folder.h"
#include "vm/vm.h"

/* ---- the settings ---- */

static void set(GKeyFile *ini, const struct vm_drive *d, const char *what, const char *value)
{
	g_autofree char *key = g_strdup_printf("%s.%s", d->name, what);

	lodge_ini_set(ini, key, value);
}

static void set_medium(GKeyFile *ini, const struct vm_drive *d, const struct medium *m)
{
	g_autofree char *key = g_strdup_printf("%s.drive", d->name);
	g_autofree char *kind = lodge_ini_get(ini, key);

	/* A drive is there by its file or, for a floppy, its kind. */
	set(ini, d, "file", m ? m->path : d->cdrom ? "" : NULL);
	if (d->cdrom)
		return;
	set(ini, d, "keep", m && m->keep ? "yes" : NULL);
	set(ini, d, "read-only", m && m->read_only ? "yes" : NULL);
	if (!kind)
		set(ini, d, "drive", "auto");
}

/* A VM that is kept has the same in its drives at its next start, and in its snapshots: a state
 * goes on only with the medium that it was saved with. */
static void remember(struct vm *vm, unsigned drive, const struct medium *m)
{
	const struct vm_home *h = &vm->home;
	g_autoptr(GError) error = NULL;
	g_autoptr(GKeyFile) ini = NULL;
	auto_close int lock = -1;

	if (!h->dir || h->read_only)
		return;
	lock = lodge_ini_lock(h->dir, &error);
	ini = lock >= 0 ? lodge_ini_load(h->dir, &error) : NULL;
	if (ini)
		set_medium(ini, &vm->drives.drive[drive], m);
	if (!ini || !lodge_ini_save(ini, h->dir, &error))
		log_msg(LOG_LVL_WARN, "media", "the settings still name the old medium: %s",
			error->message);
}

/* ---- changing ---- */

int media_change(struct vm *vm, unsigned drive, const struct medium *m, bool force, struct err *e)
{
	const int r = vm_drives_change(&vm->drives, vm->machine, drive, m ? m->blk : NULL,
				       m ? m->file : NULL,
				       m ? vm_drive_changes(m->read_only, m->keep) : "", force, e);

	if (r == -EBUSY)
		return err_set(e, r,
			       "the guest has locked drive '%s' and was asked to let go "
			       "(--force does not ask)",
			       vm->drives.drive[drive].name);
	if (r == 0 && (!m || (m->path[0] == '/' && lodge_ini_can_hold(m->path))))
		remember(vm, drive, m);
	return r;
}

void media_ejected(struct vm *vm)
{
	struct err e;

	for (unsigned i = 0; i < vm->drives.n && !vm->saving && !vm->quitting; i++)
		if (machine_media_out(vm->machine, i) && media_change(vm, i, NULL, true, &e) < 0)
			log_msg(LOG_LVL_WARN, "media", "%s", e.msg);
}
