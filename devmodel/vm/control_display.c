/* org.lodge.Display1: what the guest's monitor shows. */
#include <errno.h>
#include <gio/gunixfdlist.h>
#include "vm/control_int.h"
#include "vm/cp437.h"

static int check_scanout(guint32 scanout, struct err *e)
{
	return scanout == 0 ? 0 : err_set(e, -EINVAL, "there is screen 0, not %u", scanout);
}

static void answer(GDBusMethodInvocation *inv, int r, const struct err *e, GVariant *value)
{
	if (r < 0)
		control_fail(inv, e);
	else
		g_dbus_method_invocation_return_value(inv, value);
}

static void call_open(struct vm *vm, const void *owner, GVariant *args, GDBusMethodInvocation *inv)
{
	g_autoptr(GUnixFDList) list = NULL;
	struct display_viewer v;
	guint32 scanout;
	struct err e;
	int r;

	g_variant_get(args, "(u)", &scanout);
	r = check_scanout(scanout, &e);
	if (r == 0)
		r = display_open(vm->display, owner, &v, &e);
	if (r < 0) {
		control_fail(inv, &e);
		return;
	}
	list = g_unix_fd_list_new_from_array((const gint[]){ v.frame_fd, v.wake_fd }, 2);
	g_dbus_method_invocation_return_value_with_unix_fd_list(
		inv, g_variant_new("(hhu)", 0, 1, v.id), list);
}

static void call_set_rate(struct vm *vm, const void *owner, GVariant *args,
			  GDBusMethodInvocation *inv)
{
	guint32 id, rate;
	struct err e;

	g_variant_get(args, "(uu)", &id, &rate);
	answer(inv, display_set_rate(vm->display, owner, id, rate, &e), &e, NULL);
}

static void call_close(struct vm *vm, const void *owner, GVariant *args, GDBusMethodInvocation *inv)
{
	struct err e;
	guint32 id;

	g_variant_get(args, "(u)", &id);
	answer(inv, display_close(vm->display, owner, id, &e), &e, NULL);
}

static GVariant *text_variant(const struct disp_text *t)
{
	GVariantBuilder lines;

	g_variant_builder_init(&lines, G_VARIANT_TYPE("as"));
	for (unsigned i = 0; i < t->lines; i++) {
		g_autofree char *line = cp437_line(t->cell[i], t->columns);
		g_variant_builder_add(&lines, "s", line);
	}
	return g_variant_new("(asu(ii))", &lines, t->columns,
			     t->cursor ? (gint)t->cursor_column : -1,
			     t->cursor ? (gint)t->cursor_line : -1);
}

static void call_text(struct vm *vm, GVariant *args, GDBusMethodInvocation *inv)
{
	g_autofree struct disp_text *text = g_new0(struct disp_text, 1);
	guint32 scanout;
	struct err e;
	int r;

	g_variant_get(args, "(u)", &scanout);
	r = check_scanout(scanout, &e);
	if (r == 0 && !machine_text(vm->machine, text))
		r = err_set(&e, -EBUSY, "the screen of VM \"%s\" shows no text", vm_name(vm));
	answer(inv, r, &e, r == 0 ? text_variant(text) : NULL);
}

void control_display_call(struct vm *vm, const char *method, GVariant *args,
			  GDBusMethodInvocation *inv)
{
	const void *owner = g_dbus_method_invocation_get_connection(inv);

	if (strcmp(method, "Open") == 0)
		call_open(vm, owner, args, inv);
	else if (strcmp(method, "SetRate") == 0)
		call_set_rate(vm, owner, args, inv);
	else if (strcmp(method, "Close") == 0)
		call_close(vm, owner, args, inv);
	else
		call_text(vm, args, inv);
}
