/* gdb's view of a vCPU's registers: the target description and the way to and from x86_state. */
#ifndef VM_GDB_REGS_H
#define VM_GDB_REGS_H
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include "cpu/x86_state.h"

/* The target description; made once, static. */
const char *gdb_regs_xml(void);
unsigned gdb_regs_count(void);
/* Appends register n as hex digits in target byte order. */
void gdb_reg_read(const struct x86_state *s, unsigned n, GString *out);
/* Takes as many hex digits as the register has; NULL if there are not that many, else what follows.
 * Segment selectors keep their value: loading one is the guest's business. */
const char *gdb_reg_write(struct x86_state *s, unsigned n, const char *hex);
/* Hex digits to bytes; false if they are not. */
bool gdb_unhex(const char *hex, size_t n_bytes, uint8_t *buf);
void gdb_hex(GString *out, const uint8_t *buf, size_t n);
#endif
