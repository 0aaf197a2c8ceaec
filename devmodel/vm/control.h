/*
 * The control server: D-Bus peer to peer on the socket of the VM's runtime folder, for processes of
 * the same user. The interfaces are those of ui/protocol/org.lodge.xml. Loop thread.
 */
#ifndef VM_CONTROL_H
#define VM_CONTROL_H
#include "vm/vm.h"

struct control;

int control_create(struct vm *vm, struct control **ret_control, struct err *e) HV_MUST_CHECK;
/* Sends what is due, a second at most, and hangs up. NULL is fine. */
void control_destroy(struct control *c);
void control_state_changed(struct control *c);
/* The keyboard's lights may have changed. */
void control_leds_changed(struct control *c);
#endif
