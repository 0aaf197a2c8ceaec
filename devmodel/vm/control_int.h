/* Interfaces of the control server that have files of their own. */
#ifndef VM_CONTROL_INT_H
#define VM_CONTROL_INT_H
#include <gio/gio.h>
#include "vm/control.h"

/* Answers the call inv of one interface's method with its (already type-checked) arguments. */
void control_vm_call(struct vm *vm, const char *method, GVariant *args, GDBusMethodInvocation *inv);
GVariant *control_vm_property(struct vm *vm, const char *name);
void control_devices_call(struct vm *vm, const char *method, GVariant *args,
			  GDBusMethodInvocation *inv);
void control_stats_call(struct vm *vm, const char *method, GVariant *args,
			GDBusMethodInvocation *inv);
void control_input_call(struct vm *vm, const char *method, GVariant *args,
			GDBusMethodInvocation *inv);
GVariant *control_input_property(struct vm *vm, const char *name);
void control_display_call(struct vm *vm, const char *method, GVariant *args,
			  GDBusMethodInvocation *inv);
void control_serial_call(struct vm *vm, const char *method, GVariant *args,
			 GDBusMethodInvocation *inv);
void control_snapshots_call(struct vm *vm, const char *method, GVariant *args,
			    GDBusMethodInvocation *inv);
void control_media_call(struct vm *vm, const char *method, GVariant *args,
			GDBusMethodInvocation *inv);
/* The descriptor of a call's argument of type h, which the caller owns. */
int control_take_handle(GDBusMethodInvocation *inv, gint32 handle, int *ret_fd,
			struct err *e) HV_MUST_CHECK;
/* The statistics as a{sv}; floating. */
GVariant *control_stats(struct vm *vm);
/* Returns e as the matching org.lodge.Error. */
void control_fail(GDBusMethodInvocation *inv, const struct err *e);
#endif
