/* org.lodge.Media1: what is in the drives. Files come open: the sandbox lets none be opened here.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "vm/control_int.h"
#include "vm/media.h"
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
	struct medium m = { .file = file,
			    .path = file,
			    .read_only = wants(options, "read-only"),
			    .keep = wants(options, "keep") };
	struct image_guess g = { .kind = IMAGE_UNKNOWN };
	unsigned drive = 0;
	int r = check_access(fd, file, m.keep, e);

	if (r == 0)
		r = vm_image_look(fd, file, &g, e);
	if (r == 0)
		r = vm_drives_find(&vm->drives, name, g.kind, &drive, e);
	if (r < 0) {
		close(fd);
		return r;
	}
	const struct vm_drive *d = &vm->drives.drive[drive];
	m.read_only |= d->cdrom;
	g_variant_lookup(options, "path", "&s", &m.path);
	r = vm_files_open_image(d->name, file, fd, d->cdrom ? IMAGE_CD : IMAGE_FLOPPY, m.read_only,
				m.keep, &m.blk, e);
	return r < 0 ? r : media_change(vm, drive, &m, wants(options, "force"), e);
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
	return r < 0 ? r : media_change(vm, drive, NULL, wants(options, "force"), e);
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
	/* What stands still while it is saved goes on with what it has in its drives. */
	r = machine_running(vm->machine) ? 0 : vm_check_not_saving(vm, &e);
	if (vm->quitting)
		r = err_set(&e, -EBUSY, "VM \"%s\" is stopping", vm_name(vm));
	else if (r == 0 && strcmp(method, "Insert") == 0)
		r = call_insert(vm, args, inv, &e);
	else if (r == 0)
		r = call_eject(vm, args, &e);
	if (r < 0)
		control_fail(inv, &e);
	else
		g_dbus_method_invocation_return_value(inv, NULL);
}
