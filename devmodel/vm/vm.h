/*
 * The VM that this process runs: its machine with everything on the host's side of it, and the
 * states it goes through. Loop thread only.
 */
#ifndef VM_VM_H
#define VM_VM_H
#include <glib.h>
#include "vm/claim.h"
#include "vm/config.h"
#include "vm/display.h"
#include "vm/drives.h"
#include "vm/engine_choice.h"
#include "vm/files.h"
#include "vm/home.h"
#include "vm/input.h"
#include "vm/merging.h"
#include "vm/prefetch.h"
#include "vm/room.h"
#include "vm/saving.h"
#include "vm/serial.h"

struct control;
struct gdb;

enum vm_state {
	VM_STARTING,
	VM_RUNNING,
	VM_PAUSED,
	VM_STOPPING,
	VM_STOPPED,
	VM_CRASHED,
};

struct vm {
	struct vm_config cfg;
	struct vm_files files;
	struct vm_drives drives;
	struct vm_claim claim;
	struct vm_home home;
	struct room room;
	struct merging merging;
	struct prefetch prefetch; /* of files.state_fd */
	GMainLoop *main;
	struct loop *loop;
	GSource *loop_source;
	struct machine *machine;
	struct serial *serial[MACHINE_MAX_SERIAL];
	struct serial *debugcon;
	struct display *display;
	struct input *input;
	struct control *control;
	struct gdb *gdb; /* NULL: no debugger wanted */
	const struct hv_engine_ops *engine;
	char engine_reason[ENGINE_REASON_BYTES];
	enum vm_state state;
	const char *reason;    /* static */
	struct saving *saving; /* NULL: none is under way */
	bool sleeping;	       /* the guest is in S3 */
	bool suspending;       /* it stands still until it ends, or that failed */
	bool quitting;
	bool begun; /* the guest has run */
	int exit_status;
	char exit_text[256];
	uint64_t started_ns;
};

const char *vm_state_name(enum vm_state s);
/* What clients are told; vm.name, else the claim's. */
const char *vm_name(const struct vm *vm);

/* Builds everything up to a paused machine, inside the sandbox. On failure vm_finish() is due. */
int vm_start(struct vm *vm, struct err *e) HV_MUST_CHECK;
void vm_finish(struct vm *vm); /* a zeroed or half-built one is fine */

/* Both: twice is once. reason: static. */
int vm_pause(struct vm *vm, const char *reason, struct err *e) HV_MUST_CHECK;
int vm_resume(struct vm *vm, const char *reason, struct err *e) HV_MUST_CHECK;
void vm_reset(struct vm *vm);
/* The machine, which was paused for something that does not concern its user, runs again. */
void vm_go_on(struct vm *vm);
/* For room.c: the VM waits for room on the host; there is some, and what waited is done. */
void vm_has_no_room(struct vm *vm);
void vm_has_room(struct vm *vm);
/* Nobody waits for the guest's reaction to the button any more: it runs. */
void vm_stop_ignored(struct vm *vm);
void vm_power_button(struct vm *vm);
/* The state of this moment, to be written while the VM goes on, or stays paused. done: saving.h;
 * not called on an error. */
int vm_save(struct vm *vm, int fd, bool stay, saving_done *done, void *ctx,
	    struct err *e) HV_MUST_CHECK;
/* -EBUSY: a state is being written. */
int vm_check_not_saving(const struct vm *vm, struct err *e) HV_MUST_CHECK;
/* As vm_save(), and all disks go on in the layers of that ID (snapshot_switch()). */
int vm_snapshot(struct vm *vm, int fd, const char *id, saving_done *done, void *ctx,
		struct err *e) HV_MUST_CHECK;
/* Ends the main loop; the first call counts. text: why, "" if that is plain. */
void vm_quit(struct vm *vm, enum vm_state state, const char *reason, int status, const char *text);
#endif
