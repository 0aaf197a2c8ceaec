/*
 * gdb's remote serial protocol, without the socket and without the machine: bytes come in and go
 * out, and the target is reached through an ops struct, so that it is tested with a fake.
 */
#ifndef VM_GDB_STUB_H
#define VM_GDB_STUB_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "cpu/x86_state.h"
#include "engine/engine.h"

struct gdb_stub;

/* All called in the stub's thread from stub_input(), none may be NULL. Threads count from 0. The
 * target stands still when the registers, memory and debug settings are used. */
struct gdb_target_ops {
	unsigned (*n_threads)(void *ctx);
	void (*state_get)(void *ctx, unsigned thread, struct x86_state *s);
	bool (*state_set)(void *ctx, unsigned thread, const struct x86_state *s);
	/* Linear addresses, as the thread sees them; all bytes or false. */
	bool (*mem_read)(void *ctx, unsigned thread, uint64_t addr, void *buf, size_t len);
	bool (*mem_write)(void *ctx, unsigned thread, uint64_t addr, const void *buf, size_t len);
	bool (*debug_set)(void *ctx, unsigned thread, const struct hv_debug *d);
	bool (*resume)(void *ctx); /* all threads */
	bool (*stop)(void *ctx);
	void (*kill)(void *ctx);
	/* A monitor command; appends a line or more of answer. false: there is no such command */
	bool (*monitor)(void *ctx, const char *cmd, void *answer_gstring);
	void (*send)(void *ctx, const char *buf, size_t len);
};

struct gdb_stub *gdb_stub_create(const struct gdb_target_ops *ops, void *ctx);
/* Takes all breakpoints out and lets the target run. NULL is fine. */
void gdb_stub_destroy(struct gdb_stub *g);
/* Bytes from gdb, hostile or not. false: gdb has left (detached, killed the target): hang up. */
bool gdb_stub_input(struct gdb_stub *g, const char *buf, size_t len);
/* The target met a breakpoint, a watchpoint or the end of a step and stands still. */
void gdb_stub_stopped(struct gdb_stub *g, unsigned thread, const struct hv_exit *exit);
/* The target has ended. */
void gdb_stub_exited(struct gdb_stub *g, int status);
#endif
