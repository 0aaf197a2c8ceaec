/*
 * A serial port's host side: a struct chr that goes to one sink (a file, standard input and output,
 * or nothing) and to any number of viewers, which come and go over the control socket and first see
 * the recent output. The sink holds the guest back when it is slow; a viewer that is too slow is
 * dropped.
 */
#ifndef VM_SERIAL_H
#define VM_SERIAL_H
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/loop.h"
#include "devmodel/chipset/chr.h"

struct serial;

/* output: "none", "-" or a file, which is made or emptied. name: for messages. patient: a guest
 * that writes faster than this thread comes to it does not notice. Loop thread, as all here. */
int serial_create(struct loop *loop, const char *name, const char *output, bool patient,
		  struct serial **ret_serial, struct err *e) HV_MUST_CHECK;
void serial_destroy(struct serial *s); /* NULL is fine */
struct chr *serial_chr(struct serial *s);
const char *serial_output(const struct serial *s);
/* A stream to and from the port, owned by the caller. */
int serial_open_viewer(struct serial *s, bool history, int *ret_fd, struct err *e) HV_MUST_CHECK;
/* At the end: hands on what the guest has written, as long as the sink takes it within the time. */
void serial_flush(struct serial *s, unsigned timeout_ms);
#endif
