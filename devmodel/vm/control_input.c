/* org.lodge.Input1: the VM's keyboard and pointer. */
#include <errno.h>
#include "vm/control_int.h"

/* Numbers that no device has are refused; the devices clamp the rest. */
static int check(const struct vm *vm, const char *what, guint32 v, guint32 max, struct err *e)
{
	if (!machine_running(vm->machine))
		return err_set(e, -EBUSY, "VM \"%s\" does not run", vm->cfg.name);
	if (v > max)
		return err_set(e, -EINVAL, "%s is 0 to %u, not %u", what, max, v);
	return 0;
}

static int key(struct vm *vm, GVariant *args, GVariant **ret_answer, struct err *e)
{
	gboolean down;
	guint32 code;

	g_variant_get(args, "(ub)", &code, &down);
	const int r = check(vm, "a key's code", code, 0x2ff, e);
	if (r == 0)
		*ret_answer = g_variant_new("(b)", machine_key(vm->machine, code, down));
	return r;
}

static int button(struct vm *vm, GVariant *args, struct err *e)
{
	gboolean down;
	guint32 number;

	g_variant_get(args, "(ub)", &number, &down);
	const int r = check(vm, "a button", number, 4, e);
	if (r == 0)
		machine_pointer_button(vm->machine, number, down);
	return r;
}

static int move(struct vm *vm, GVariant *args, struct err *e)
{
	gint32 dx, dy, wheel;

	g_variant_get(args, "(iii)", &dx, &dy, &wheel);
	const int r = check(vm, "", 0, 0, e);
	if (r == 0)
		machine_pointer_move(vm->machine, dx, dy, wheel);
	return r;
}

void control_input_call(struct vm *vm, const char *method, GVariant *args,
			GDBusMethodInvocation *inv)
{
	GVariant *answer = NULL;
	struct err e;
	int r;

	if (strcmp(method, "Key") == 0)
		r = key(vm, args, &answer, &e);
	else if (strcmp(method, "PointerButton") == 0)
		r = button(vm, args, &e);
	else
		r = move(vm, args, &e);
	if (r < 0)
		control_fail(inv, &e);
	else
		g_dbus_method_invocation_return_value(inv, answer);
}
