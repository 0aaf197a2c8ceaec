/*
 * The gdb stub: speaks gdb's remote serial protocol on a local socket, so that gdb can look into
 * the guest, stop it and step through it. vCPUs are gdb's threads 1, 2...; all of them stop and go
 * together. Loop thread.
 */
#ifndef VM_GDB_GDB_H
#define VM_GDB_GDB_H
#include "vm/vm.h"

struct gdb;

/* Listens where debug.gdb says. */
int gdb_create(struct vm *vm, struct gdb **ret_gdb, struct err *e) HV_MUST_CHECK;
void gdb_destroy(struct gdb *g); /* NULL is fine; tells gdb how the VM ended */
/* The machine met a breakpoint, a watchpoint or the end of a step. */
void gdb_machine_stopped(struct gdb *g, struct hv_vcpu *v, const struct hv_exit *exit);
/* Is a gdb connected? NULL: no. */
bool gdb_connected(const struct gdb *g);
#endif
