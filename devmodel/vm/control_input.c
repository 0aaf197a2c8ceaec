/* org.lodge.Input1: the VM's keyboard and pointer. */
#include <errno.h>
#include "vm/control_int.h"

static int check_running(const struct vm *vm, struct err *e)
{
	return machine_running(vm->machine)
		       ? 0
		       : err_set(e, -EBUSY, "VM \"%s\" does not run", vm_name(vm));
}

/* Numbers that no device has are refused. Letting go is possible in every state: what is down when
 * a VM is paused must not stick. */
static int check(const struct vm *vm, const char *what, guint32 v, guint32 end, bool down,
		 struct err *e)
{
	const int r = down ? check_running(vm, e) : 0;

	if (r == 0 && v >= end)
		return err_set(e, -EINVAL, "%s is 0 to %u, not %u", what, end - 1, v);
	return r;
}

static int key(struct vm *vm, const void *owner, GVariant *args, GVariant **ret_answer,
	       struct err *e)
{
	gboolean down;
	guint32 code;

	g_variant_get(args, "(ub)", &code, &down);
	const int r = check(vm, "a key's code", code, INPUT_KEYS, down, e);
	if (r == 0)
		*ret_answer = g_variant_new("(b)", input_key(vm->input, owner, code, down));
	return r;
}

static int button(struct vm *vm, const void *owner, GVariant *args, struct err *e)
{
	gboolean down;
	guint32 number;

	g_variant_get(args, "(ub)", &number, &down);
	const int r = check(vm, "a button", number, INPUT_BUTTONS, down, e);
	if (r == 0)
		input_button(vm->input, owner, number, down);
	return r;
}

static int move(struct vm *vm, GVariant *args, struct err *e)
{
	gint32 dx, dy, wheel;

	g_variant_get(args, "(iii)", &dx, &dy, &wheel);
	const int r = check_running(vm, e);
	if (r == 0)
		machine_pointer_move(vm->machine, dx, dy, wheel);
	return r;
}

void control_input_call(struct vm *vm, const char *method, GVariant *args,
			GDBusMethodInvocation *inv)
{
	const void *owner = g_dbus_method_invocation_get_connection(inv);
	GVariant *answer = NULL;
	struct err e;
	int r = 0;

	if (strcmp(method, "Key") == 0)
		r = key(vm, owner, args, &answer, &e);
	else if (strcmp(method, "PointerButton") == 0)
		r = button(vm, owner, args, &e);
	else if (strcmp(method, "PointerMove") == 0)
		r = move(vm, args, &e);
	else
		input_release(vm->input, owner);
	display_stir(vm->display);
	if (r < 0)
		control_fail(inv, &e);
	else
		g_dbus_method_invocation_return_value(inv, answer);
}

GVariant *control_input_property(struct vm *vm, const char *name)
{
	return strcmp(name, "Leds") == 0 ? g_variant_new_uint32(machine_leds(vm->machine)) : NULL;
}
