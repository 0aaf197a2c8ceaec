/*
 * Room on the host for what the guest writes: where there is none, the VM waits ("paused",
 * "disk-full") and goes on by itself when there is some; the guest learns nothing of it. Loop
 * thread.
 */
#ifndef VM_ROOM_H
#define VM_ROOM_H
#include <stdbool.h>
#include "base/loop.h"

struct vm;

struct room {
	struct loop_work changed;
	struct loop_timer retry;
	bool full; /* the VM waits */
	bool stay; /* ... and stays paused then: its user wants so */
};

/* Before the disks are started; the loop is there. */
void room_watch(struct vm *vm);
void room_finish(struct vm *vm); /* no request is under way any more; a zeroed one is fine */
/* Tries at once what waits. */
void room_retry(struct vm *vm);
#endif
