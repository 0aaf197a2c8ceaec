/*
 * The client of running VMs that the command line, the manager and the tests use: finds them, calls
 * them, waits for them. Errors are of the domain LODGE_ERROR (protocol.h) with one whole line as
 * message. Blocking; for programs with a loop of their own, the connection can be watched.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H
#include <gio/gio.h>
#include <gio/gunixfdlist.h>
#include <stdbool.h>
#include <stdint.h>

struct ui_vm; /* a connection to a running VM */

/* Names of the running VMs' folders, sorted; none is an empty list. */
GPtrArray *ui_vm_names(GError **error);
/* name: what `lodge list` shows, or a VM's folder (has a slash). */
struct ui_vm *ui_vm_connect(const char *name, GError **error);
/* name: one of ui_vm_names(). */
struct ui_vm *ui_vm_connect_run(const char *name, GError **error);
void ui_vm_close(struct ui_vm *vm); /* NULL is fine */
static inline void ui_vm_closep_(struct ui_vm **vm)
{
	ui_vm_close(*vm);
}
#define auto_vm __attribute__((cleanup(ui_vm_closep_)))

const char *ui_vm_name(const struct ui_vm *vm);
GDBusConnection *ui_vm_connection(struct ui_vm *vm);
/* The VM has hung up. */
bool ui_vm_gone(const struct ui_vm *vm);

/* Any method; args floating or NULL; the answer's tuple, owned by the caller. timeout_ms -1: as
 * long as it takes. */
GVariant *ui_vm_call(struct ui_vm *vm, const char *iface, const char *method, GVariant *args,
		     int timeout_ms, GError **error);
/* With descriptors: of the call (O) and of the answer (O). */
GVariant *ui_vm_call_fds(struct ui_vm *vm, const char *iface, const char *method, GVariant *args,
			 GUnixFDList *fds, GUnixFDList **ret_fds, int timeout_ms, GError **error);
/* All properties of VM1 as a{sv}. */
GVariant *ui_vm_properties(struct ui_vm *vm, GError **error);
char *ui_vm_state(struct ui_vm *vm, GError **error);
/* A stream to and from a serial port, owned by the caller; -1 with error set. */
int ui_vm_serial(struct ui_vm *vm, unsigned port, bool history, GError **error);

/* Returns when the VM is in that state ("stopped": has ended); LODGE_ERROR_TIMEOUT after the time
 * (0: for ever), LODGE_ERROR_WRONG_STATE when it cannot come any more. */
bool ui_vm_wait_state(struct ui_vm *vm, const char *state, uint64_t timeout_ms, GError **error);
/* Returns when text has come out of the port, recent output included. */
bool ui_vm_wait_serial(struct ui_vm *vm, unsigned port, const char *text, uint64_t timeout_ms,
		       GError **error);

/* Path of a program of Lodge: beside this one's executable, where the build tree has it, or in
 * libexecdir; LODGE_VM in the environment names lodge-vm. */
char *ui_find_program(const char *name, GError **error);
#endif
