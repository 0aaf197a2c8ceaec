/* org.lodge.VM1: state and life cycle. */
#include <errno.h>
#include <gio/gunixfdlist.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "protocol/protocol.h"
#include "vm/control_int.h"
#include "vm/snapshot.h"
#include "vm/gdb/gdb.h"

/* ---- properties ---- */

static GVariant *get_disks(struct vm *vm)
{
	GVariantBuilder b;

	g_variant_builder_init(&b, G_VARIANT_TYPE("a(ssss)"));
	for (unsigned i = 0; i < vm->drives.n; i++) {
		const struct vm_drive *d = &vm->drives.drive[i];
		g_variant_builder_add(&b, "(ssss)", d->name, d->file ? d->file : "", d->changes,
				      d->bus);
	}
	return g_variant_builder_end(&b);
}

static GVariant *get_serial_ports(struct vm *vm)
{
	GVariantBuilder b;

	g_variant_builder_init(&b, G_VARIANT_TYPE("a(us)"));
	for (unsigned i = 0; i < MACHINE_MAX_SERIAL; i++)
		g_variant_builder_add(&b, "(us)", i, serial_output(vm->serial[i]));
	return g_variant_builder_end(&b);
}

static GVariant *get_exit_info(struct vm *vm)
{
	return g_variant_new("(is)", vm->exit_status, vm->exit_text);
}

static GVariant *get_name(struct vm *vm)
{
	return g_variant_new_string(vm_name(vm));
}

static GVariant *get_folder(struct vm *vm)
{
	return g_variant_new_string(vm->home.dir ? vm->home.dir : "");
}

static GVariant *get_state(struct vm *vm)
{
	return g_variant_new_string(vm_state_name(vm->state));
}

static GVariant *get_reason(struct vm *vm)
{
	return g_variant_new_string(vm->reason);
}

static GVariant *get_activity(struct vm *vm)
{
	return vm->saving ? g_variant_new_printf("saving %u %%", saving_percent(vm->saving))
			  : g_variant_new_string("");
}

static GVariant *get_engine(struct vm *vm)
{
	return g_variant_new_string(vm->engine->name);
}

static GVariant *get_engine_reason(struct vm *vm)
{
	return g_variant_new_string(vm->engine_reason);
}

static GVariant *get_machine(struct vm *vm)
{
	return g_variant_new_string(vm->cfg.machine);
}

static GVariant *get_pid(struct vm *vm)
{
	(void)vm;
	return g_variant_new_uint32((guint32)getpid());
}

static GVariant *get_cpu_count(struct vm *vm)
{
	return g_variant_new_uint32(machine_vm(vm->machine)->n_vcpus);
}

static GVariant *get_cpu_model(struct vm *vm)
{
	return g_variant_new_string(machine_vm(vm->machine)->model->name);
}

static GVariant *get_memory_bytes(struct vm *vm)
{
	struct hv_mem *mem = machine_vm(vm->machine)->mem;
	uint64_t bytes = vm->cfg.memory_bytes;

	for (unsigned i = 0; hv_mem_ram(mem, i); i++)
		if (strcmp(hv_ram_name(hv_mem_ram(mem, i)), "ram") == 0)
			bytes = hv_ram_bytes(hv_mem_ram(mem, i));
	return g_variant_new_uint64(bytes);
}

static GVariant *get_uptime(struct vm *vm)
{
	return g_variant_new_uint64(hv_clock_now_ns(machine_vm(vm->machine)->clock));
}

GVariant *control_vm_property(struct vm *vm, const char *name)
{
	static const struct {
		const char *name;
		GVariant *(*get)(struct vm *vm);
	} props[] = {
		{ "Name", get_name },
		{ "Folder", get_folder },
		{ "State", get_state },
		{ "Reason", get_reason },
		{ "Activity", get_activity },
		{ "Engine", get_engine },
		{ "EngineReason", get_engine_reason },
		{ "Machine", get_machine },
		{ "Pid", get_pid },
		{ "CpuCount", get_cpu_count },
		{ "CpuModel", get_cpu_model },
		{ "MemoryBytes", get_memory_bytes },
		{ "UptimeNs", get_uptime },
		{ "ExitInfo", get_exit_info },
		{ "Disks", get_disks },
		{ "SerialPorts", get_serial_ports },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(props); i++)
		if (strcmp(props[i].name, name) == 0)
			return props[i].get(vm);
	return NULL;
}

/* ---- methods ---- */

static int call_pause(struct vm *vm, struct err *e)
{
	return vm->sleeping ? 0 : vm_pause(vm, "user", e);
}

static int call_resume(struct vm *vm, struct err *e)
{
	if (vm->state == VM_PAUSED && gdb_connected(vm->gdb))
		return err_set(e, -EBUSY, "VM \"%s\" is held by a debugger: continue it there",
			       vm_name(vm));
	return vm->state == VM_PAUSED ? vm_resume(vm, "user", e) : 0;
}

static int call_stop(struct vm *vm, struct err *e)
{
	if (vm->state == VM_PAUSED && !vm->sleeping)
		return err_set(e, -EBUSY,
			       "VM \"%s\" is paused and cannot see its power button (lodge resume "
			       "%s, or lodge kill %s)",
			       vm_name(vm), vm_name(vm), vm_name(vm));
	vm_power_button(vm);
	return 0;
}

static int call_cancel_stop(struct vm *vm, struct err *e)
{
	(void)e;
	vm_stop_ignored(vm);
	return 0;
}

static int call_kill(struct vm *vm, struct err *e)
{
	(void)e;
	vm_quit(vm, VM_STOPPED, "user", LODGE_EXIT_FAILED, "it was killed (lodge kill)");
	return 0;
}

static int call_replace(struct vm *vm, struct err *e)
{
	(void)e;
	vm_quit(vm, VM_STOPPED, "replaced", 0, "");
	return 0;
}

static int call_reset(struct vm *vm, struct err *e)
{
	(void)e;
	vm_reset(vm);
	return 0;
}

static int call_nmi(struct vm *vm, struct err *e)
{
	(void)e;
	machine_nmi(vm->machine);
	return 0;
}

/* The descriptor that handle names in inv's message; owned by the caller. */
int control_take_handle(GDBusMethodInvocation *inv, gint32 handle, int *ret_fd, struct err *e)
{
	GUnixFDList *list =
		g_dbus_message_get_unix_fd_list(g_dbus_method_invocation_get_message(inv));
	int fd = -1;

	if (list && handle >= 0 && handle < g_unix_fd_list_get_length(list))
		fd = g_unix_fd_list_get(list, handle, NULL);
	if (fd < 0)
		return err_set(e, -EINVAL, "the call came without its file");
	*ret_fd = fd;
	return 0;
}

static void on_saved(void *ctx, int result, uint64_t bytes, const char *why)
{
	GDBusMethodInvocation *inv = ctx;
	struct err e;

	if (result == 0) {
		g_dbus_method_invocation_return_value(inv, g_variant_new("(t)", bytes));
		return;
	}
	err_set(&e, result, "%s", why);
	control_fail(inv, &e);
}

static void call_save(struct vm *vm, GVariant *args, GDBusMethodInvocation *inv)
{
	g_autoptr(GVariant) options = NULL;
	gboolean stay = FALSE;
	auto_close int fd = -1;
	gint32 handle;
	struct err e;
	int r;

	g_variant_get(args, "(h@a{sv})", &handle, &options);
	g_variant_lookup(options, "pause", "b", &stay);
	r = control_take_handle(inv, handle, &fd, &e);
	if (r == 0)
		r = vm_save(vm, fd, stay, on_saved, inv, &e);
	if (r < 0)
		control_fail(inv, &e);
}

static void on_suspended(void *ctx, int result, const char *id, const char *why)
{
	GDBusMethodInvocation *inv = ctx;
	struct err e;

	(void)id;
	if (result == 0) {
		g_dbus_method_invocation_return_value(inv, NULL);
		return;
	}
	err_set(&e, result, "%s", why);
	control_fail(inv, &e);
}

static void on_taken(void *ctx, int result, const char *id, const char *why)
{
	GDBusMethodInvocation *inv = ctx;
	struct err e;

	if (result == 0) {
		g_dbus_method_invocation_return_value(inv, g_variant_new("(s)", id));
		return;
	}
	err_set(&e, result, "%s", why);
	control_fail(inv, &e);
}

void control_snapshots_call(struct vm *vm, const char *method, GVariant *args,
			    GDBusMethodInvocation *inv)
{
	const char *name, *text;
	struct err e;

	if (strcmp(method, "Delete") == 0) {
		g_variant_get(args, "(&s)", &name);
		if (snapshot_delete(vm, name, &e) < 0)
			control_fail(inv, &e);
		else
			g_dbus_method_invocation_return_value(inv, NULL);
		return;
	}
	g_variant_get(args, "(&s&s)", &name, &text);
	if (snapshot_take(vm, name, text, on_taken, inv, &e) < 0)
		control_fail(inv, &e);
}

void control_vm_call(struct vm *vm, const char *method, GVariant *args, GDBusMethodInvocation *inv)
{
	static const struct {
		const char *name;
		int (*call)(struct vm *vm, struct err *e);
	} calls[] = {
		{ "Pause", call_pause }, { "Resume", call_resume },
		{ "Stop", call_stop },	 { "CancelStop", call_cancel_stop },
		{ "Kill", call_kill },	 { "Reset", call_reset },
		{ "Nmi", call_nmi },	 { "Replace", call_replace },
	};
	struct err e = { 0 };

	if (vm->quitting) {
		err_set(&e, -EBUSY, "VM \"%s\" is stopping", vm_name(vm));
		control_fail(inv, &e);
		return;
	}
	if (strcmp(method, "Save") == 0) {
		call_save(vm, args, inv);
		return;
	}
	if (strcmp(method, "Suspend") == 0) {
		if (snapshot_suspend(vm, on_suspended, inv, &e) < 0)
			control_fail(inv, &e);
		return;
	}
	for (size_t i = 0; i < G_N_ELEMENTS(calls); i++) {
		if (strcmp(calls[i].name, method) != 0)
			continue;
		if (calls[i].call(vm, &e) < 0)
			control_fail(inv, &e);
		else
			g_dbus_method_invocation_return_value(inv, NULL);
	}
}
