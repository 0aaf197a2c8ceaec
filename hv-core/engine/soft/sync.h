/* Stop-or-acknowledge between vCPU threads and those that change what translations stand on. */
#ifndef SOFT_SYNC_H
#define SOFT_SYNC_H
#include "engine/soft/soft.h"

/* Around all time in which v's thread may use host addresses of guest memory. */
void soft_enter(struct soft_vcpu *v);
void soft_leave(struct soft_vcpu *v);
/* Lets other threads of the host run. Within an instruction that accesses nothing. */
void soft_yield(struct soft_vcpu *v);
/* Between instructions: does what HV_REQ_FLUSH asks. */
void soft_sync_poll(struct soft_vcpu *v);
/* Returns when no vCPU uses a translation of before the call. Any thread; a vCPU's own thread calls
 * it outside, and its own are dropped when it comes back in or at the next block boundary. */
void soft_sync_flush(struct soft_vm *vm);
#endif
