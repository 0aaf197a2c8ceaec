/* org.lodge.Media1: what is in the drives. Files come open: the sandbox lets none be opened here.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "protocol/folder.h"
#include "vm/control_int.h"
#include "vm/recognise.h"
#include "vm/vm.h"

static void list(struct vm *vm, GDBusMethodInvocation *inv)
{
	GVariantBuilder b;

	g_variant_builder_init(&b, G_VARIANT_TYPE("a(ssss)"));
	for (unsigned i = 0; i < vm->drives.n; i++) {
		const struct vm_drive *d = &vm->drives.drive[i];
		if (d->removable)
			g_variant_builder_add(&b, "(ssss)", d->name, d->file ? d->file : "",
					      d->changes, d->bus);
	}
	g_dbus_method_invocation_return_value(inv, g_variant_new("(a(ssss))", &b));
}

static gboolean wants(GVariant *options, const char *name)
{
	gboolean v = FALSE;

	g_variant_lookup(options, name, "b", &v);
	return v;
}

/* A guest that has locked its drive is asked to let go, which may happen later. */
static int change(struct vm *vm, unsigned drive, struct blk *medium, const char *file,
		  const char *changes, gboolean force, struct err *e)
{
	const int r = vm_drives_change(&vm->drives, vm->machine, drive, medium, file, changes,
				       force, e);

	return r == -EBUSY ? err_set(e, r,
				     "the guest has locked drive '%s' and was asked to let go "
				     "(--force does not ask)",
				     vm->drives.drive[drive].name)
			   : r;
}

static void set(GKeyFile *ini, const struct vm_drive *d, const char *what, const char *value)
{
	g_autofree char *key = g_strdup_printf("%s.%s", d->name, what);

	lodge_ini_set(ini, key, value);
}

static void set_medium(GKeyFile *ini, const struct vm_drive *d, const char *path, GVariant *options)
{
	g_autofree char *key = g_strdup_printf("%s.drive", d->name);
	g_autofree char *kind = lodge_ini_get(ini, key);

	/* A drive is there by its file or, for a floppy, its kind. */
	set(ini, d, "file", path ? path : d->cdrom ? "" : NULL);
	if (d->cdrom)
		return;
	set(ini, d, "keep", wants(options, "keep") ? "yes" : NULL);
	set(ini, d, "read-only", wants(options, "read-only") ? "yes" : NULL);
	if (!kind)
		set(ini, d, "drive", "auto");
}

/* A VM that is kept has the same in its drives at its next start, and in its snapshots: a state
 * goes on only with the medium that it was saved with. path: NULL: nothing. */
static void remember(struct vm *vm, unsigned drive, const char *path, GVariant *options)
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
		set_medium(ini, &vm->drives.drive[drive], path, options);
	if (!ini || !lodge_ini_save(ini, h->dir, &error))
		log_msg(LOG_LVL_WARN, "media", "the settings still name the old medium: %s",
			error->message);
}

static int check_access(int fd, const char *file, bool keep, struct err *e)
{
	const int mode = fcntl(fd, F_GETFL);

	if (mode < 0 || (mode & O_ACCMODE) == O_WRONLY || (keep && (mode & O_ACCMODE) != O_RDWR))
		return err_set(e, -EINVAL, "'%.100s' is not open for %s", file,
			       keep ? "reading and writing" : "reading");
	return 0;
}

/* Takes over fd. */
static int insert(struct vm *vm, const char *name, int fd, const char *file, GVariant *options,
		  struct err *e)
{
	const bool keep = wants(options, "keep");
	struct blk *medium = NULL;
	struct image_guess g = { .kind = IMAGE_UNKNOWN };
	bool read_only = wants(options, "read-only");
	unsigned drive = 0;
	int r = check_access(fd, file, keep, e);

	if (r == 0)
		r = vm_image_look(fd, file, &g, e);
	if (r == 0)
		r = vm_drives_find(&vm->drives, name, g.kind, &drive, e);
	if (r < 0) {
		close(fd);
		return r;
	}
	const struct vm_drive *d = &vm->drives.drive[drive];
	const char *path = file;
	read_only |= d->cdrom;
	r = vm_files_open_image(d->name, file, fd, d->cdrom ? IMAGE_CD : IMAGE_FLOPPY, read_only,
				keep, &medium, e);
	if (r == 0)
		r = change(vm, drive, medium, file, vm_drive_changes(read_only, keep),
			   wants(options, "force"), e);
	g_variant_lookup(options, "path", "&s", &path);
	if (r == 0 && path[0] == '/' && lodge_ini_can_hold(path))
		remember(vm, drive, path, options);
	return r;
}

static int call_insert(struct vm *vm, GVariant *args, GDBusMethodInvocation *inv, struct err *e)
{
	g_autoptr(GVariant) options = NULL;
	const char *name, *file;
	auto_close int fd = -1;
	gint32 handle;
	int r;

	g_variant_get(args, "(&sh&s@a{sv})", &name, &handle, &file, &options);
	r = control_take_handle(inv, handle, &fd, e);
	return r < 0 ? r : insert(vm, name, take_fd(&fd), file, options, e);
}

static int call_eject(struct vm *vm, GVariant *args, struct err *e)
{
	g_autoptr(GVariant) options = NULL;
	unsigned drive = 0;
	const char *name;

	g_variant_get(args, "(&s@a{sv})", &name, &options);
	int r = vm_drives_find(&vm->drives, name, IMAGE_UNKNOWN, &drive, e);
	if (r == 0)
		r = change(vm, drive, NULL, NULL, "", wants(options, "force"), e);
	if (r == 0)
		remember(vm, drive, NULL, options);
	return r;
}

void control_media_call(struct vm *vm, const char *method, GVariant *args,
			GDBusMethodInvocation *inv)
{
	struct err e = { 0 };
	int r;

	if (strcmp(method, "List") == 0) {
		list(vm, inv);
		return;
	}
	if (vm->quitting)
		r = err_set(&e, -EBUSY, "VM \"%s\" is stopping", vm_name(vm));
	else if (strcmp(method, "Insert") == 0)
		r = call_insert(vm, args, inv, &e);
	else
		r = call_eject(vm, args, &e);
	if (r < 0)
		control_fail(inv, &e);
	else
		g_dbus_method_invocation_return_value(inv, NULL);
}
