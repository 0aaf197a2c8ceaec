/* lodge pause, resume, reset, kill, nmi, stop, wait, save: what is done to a running VM. */
#include <stdio.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/newfile.h"
#include "client/client.h"
#include "protocol/folder.h"
#include "protocol/protocol.h"

#define CALL_TIMEOUT_MS 30000
#define STOP_TIMEOUT_MS 60000

/* For each VM in turn; the first that fails ends it. */
static int for_each(struct cli *c, bool (*fn)(struct cli *c, struct ui_vm *vm, GError **error),
		    GError **error)
{
	for (guint i = 0; i < c->args->len; i++) {
		auto_vm struct ui_vm *vm = ui_vm_connect(cli_arg(c, i), error);
		if (!vm || !fn(c, vm, error))
			return cli_code(error);
	}
	return 0;
}

static bool kill_and_wait(struct ui_vm *vm, uint64_t timeout_ms, GError **error)
{
	g_autoptr(GVariant)
		r = ui_vm_call(vm, LODGE_IFACE_VM, "Kill", NULL, CALL_TIMEOUT_MS, error);

	return r && ui_vm_wait_state(vm, "stopped", timeout_ms, error);
}

static bool call_one(struct cli *c, struct ui_vm *vm, GError **error)
{
	static const struct {
		const char *command, *method;
	} methods[] = {
		{ "pause", "Pause" },
		{ "resume", "Resume" },
		{ "reset", "Reset" },
		{ "nmi", "Nmi" },
	};
	g_autoptr(GVariant) r = NULL;

	if (strcmp(c->command->name, "kill") == 0)
		return kill_and_wait(vm, c->timeout_ms ? c->timeout_ms : CALL_TIMEOUT_MS, error);
	for (guint i = 0; i < G_N_ELEMENTS(methods); i++)
		if (strcmp(c->command->name, methods[i].command) == 0)
			r = ui_vm_call(vm, LODGE_IFACE_VM, methods[i].method, NULL,
				       c->timeout_ms ? (int)c->timeout_ms : CALL_TIMEOUT_MS, error);
	return r != NULL;
}

int cmd_call(struct cli *c, GError **error)
{
	return for_each(c, call_one, error);
}

static struct ui_vm *press_button(const char *name, GError **error)
{
	struct ui_vm *vm = ui_vm_connect(name, error);
	g_autoptr(GVariant) r = NULL;

	if (vm)
		r = ui_vm_call(vm, LODGE_IFACE_VM, "Stop", NULL, CALL_TIMEOUT_MS, error);
	if (r)
		return vm;
	ui_vm_close(vm);
	return NULL;
}

static bool await_stop(const struct cli *c, struct ui_vm *vm, uint64_t time, GError **error)
{
	g_autoptr(GError) late = NULL;
	g_autoptr(GVariant) cancelled = NULL;
	g_autofree char *word = lodge_shell_word(ui_vm_name(vm));

	if (ui_vm_wait_state(vm, "stopped", time, &late))
		return true;
	if (cli_has(c, "--kill"))
		return kill_and_wait(vm, CALL_TIMEOUT_MS, error);
	cancelled = ui_vm_call(vm, LODGE_IFACE_VM, "CancelStop", NULL, CALL_TIMEOUT_MS, NULL);
	g_set_error(error, LODGE_ERROR, late->code,
		    "VM \"%s\" did not react to its power button within the time (lodge kill %s)",
		    ui_vm_name(vm), word);
	return false;
}

/* All buttons are pressed before any VM is waited for. What goes wrong first is told, and does not
 * keep the others from stopping. */
int cmd_stop(struct cli *c, GError **error)
{
	const uint64_t time = c->timeout_ms ? c->timeout_ms : STOP_TIMEOUT_MS;
	const gint64 end = g_get_monotonic_time() + (gint64)time * 1000;
	g_autoptr(GPtrArray) vms = g_ptr_array_new_with_free_func((GDestroyNotify)ui_vm_close);

	for (guint i = 0; i < c->args->len; i++) {
		struct ui_vm *vm = press_button(cli_arg(c, i), *error ? NULL : error);
		if (vm)
			g_ptr_array_add(vms, vm);
	}
	for (guint i = 0; i < vms->len; i++) {
		const gint64 left = (end - g_get_monotonic_time()) / 1000;
		await_stop(c, vms->pdata[i], (uint64_t)MAX(left, 1), *error ? NULL : error);
	}
	return *error ? cli_code(error) : 0;
}

/* A VM that is kept, and that nobody runs: it needs no waiting for its end. */
static bool is_over(const char *vm)
{
	g_autofree char *dir = lodge_folder_find(vm, NULL);

	return dir && strcmp(lodge_folder_state(dir), "running") != 0;
}

int cmd_wait(struct cli *c, GError **error)
{
	static const char *const states[] = { "running", "paused", "stopped", NULL };
	const char *what = cli_arg(c, 1);
	const bool serial = g_str_has_prefix(what, "serial=");
	auto_vm struct ui_vm *vm = NULL;
	bool good;

	if (!g_strv_contains(states, what) && (!serial || what[strlen("serial=")] == '\0'))
		return cli_bad(error, "wait for running, paused, stopped or serial=TEXT, not '%s'",
			       what);
	vm = ui_vm_connect(cli_arg(c, 0), error);
	if (!vm && strcmp(what, "stopped") == 0 && is_over(cli_arg(c, 0))) {
		g_clear_error(error);
		return 0;
	}
	if (!vm)
		return cli_code(error);
	if (serial)
		good = ui_vm_wait_serial(vm, 0, what + strlen("serial="), c->timeout_ms, error);
	else
		good = ui_vm_wait_state(vm, what, c->timeout_ms, error);
	return good ? 0 : cli_code(error);
}

/* ---- save ---- */

/* --stop: the VM ends if its state is safe, else it goes on. */
static bool finish_stop(struct ui_vm *vm, int code, GError **error)
{
	g_autoptr(GVariant) r = NULL;

	if (code == 0)
		return kill_and_wait(vm, CALL_TIMEOUT_MS, error);
	r = ui_vm_call(vm, LODGE_IFACE_VM, "Resume", NULL, CALL_TIMEOUT_MS, NULL);
	return true;
}

int cmd_save(struct cli *c, GError **error)
{
	const char *path = cli_arg(c, 1);
	auto_vm struct ui_vm *vm = NULL;
	g_autoptr(GUnixFDList) fds = NULL;
	g_autoptr(GVariant) r = NULL;
	GVariantBuilder options;
	guint64 bytes = 0;
	struct new_file f;
	int code;

	if (!new_file_check("save", path, error))
		return cli_code(error);
	vm = ui_vm_connect(cli_arg(c, 0), error);
	if (!vm || !new_file_open(&f, path, 0600, error))
		return cli_code(error);
	fds = g_unix_fd_list_new();
	g_unix_fd_list_append(fds, f.fd, NULL); /* a copy of it */
	g_variant_builder_init(&options, G_VARIANT_TYPE_VARDICT);
	g_variant_builder_add(&options, "{sv}", "pause",
			      g_variant_new_boolean(cli_has(c, "--stop")));
	r = ui_vm_call_fds(vm, LODGE_IFACE_VM, "Save", g_variant_new("(ha{sv})", 0, &options), fds,
			   NULL, c->timeout_ms ? (int)c->timeout_ms : -1, error);
	if (r)
		g_variant_get(r, "(t)", &bytes);
	if (r)
		code = new_file_publish(&f, error) ? 0 : cli_code(error);
	else
		code = cli_code(error);
	new_file_drop(&f);
	if (r && cli_has(c, "--stop") && !finish_stop(vm, code, error))
		code = cli_code(error);
	if (code == 0 && c->json)
		g_print("{\"file-bytes\":%" G_GUINT64_FORMAT "}\n", bytes);
	return code;
}
