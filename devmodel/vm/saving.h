/*
 * Writing a machine's state while the machine goes on: a child process has the memory as it was
 * when it was forked, and writes that; the VM stands still only for the fork. Loop thread only.
 */
#ifndef VM_SAVING_H
#define VM_SAVING_H
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"

struct loop;
struct machine;
struct saving;

/* The end: result 0 and the file's length, or -errno and why. Called once, from the loop or from
 * saving_wait(); s is gone then. */
typedef void saving_done(void *ctx, int result, uint64_t bytes, const char *why);

/* Whoever asks for a state, or for a snapshot as a file, brings the file: an ordinary one, open for
 * writing anywhere in it, and empty, so that it is none that the VM works with, such as the one
 * that its memory is mapped from. */
int saving_check_target(int fd, struct err *e) HV_MUST_CHECK;
/*
 * The machine is paused; when this returns it may run. fd: a file that saving_check_target() takes,
 * borrowed for the call. Where no process can be forked, all of it is written here, and done is
 * called before this returns, with *ret_saving NULL. On an error done is not called.
 */
int saving_begin(struct machine *m, struct loop *l, int fd, saving_done *done, void *ctx,
		 struct saving **ret_saving, struct err *e) HV_MUST_CHECK;
/* How much of it is written, in percent. */
unsigned saving_percent(const struct saving *s);
/* Until the end. NULL is fine. */
void saving_wait(struct saving *s);
#endif
