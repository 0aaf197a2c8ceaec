/* org.lodge.Media1: what is in the drives. Files come open: the sandbox lets none be opened here.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "base/cleanup.h"
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
	read_only |= d->cdrom;
	r = vm_files_open_image(d->name, file, fd, d->cdrom ? IMAGE_CD : IMAGE_FLOPPY, read_only,
				keep, &medium, e);
	return r < 0 ? r
		     : change(vm, drive, medium, file, vm_drive_changes(read_only, keep),
			      wants(options, "force"), e);
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
	const int r = vm_drives_find(&vm->drives, name, IMAGE_UNKNOWN, &drive, e);
	return r < 0 ? r : change(vm, drive, NULL, NULL, "", wants(options, "force"), e);
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
