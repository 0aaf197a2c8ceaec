/*
 * What lodge-vm gives up once everything it needs is open. Two layers, each enough on its own to
 * keep a hostile guest that took the process over from other files and programs:
 * - Landlock: no file by path beside the VM's own runtime folder. Holds for the calling thread and
 *   those that it starts later, so it is set before any thread is started: sandbox_files() refuses
 *   where there is more than one. Disks are open by then, their threads start with the machine.
 * - seccomp: only the system calls that a running VM makes, in all threads. Others fail with EPERM;
 *   those that only an attacker would try kill the process.
 */
#ifndef VM_SANDBOX_H
#define VM_SANDBOX_H
#include <stdbool.h>
#include "base/err.h"

/* root: the folder of all runtime folders; own: this VM's in it; home: the
 * folder of a VM that is kept, where everything is allowed; each may be NULL. 0, or -ENOSYS:
 * this kernel has no Landlock; or -EBUSY: there are other threads, which it would not hold. */
int sandbox_files(const char *root, const char *own, const char *home, struct err *e) HV_MUST_CHECK;
/* kvm: what the host's KVM is asked for is allowed, too; home: so is opening and renaming files, of
 * which Landlock leaves those in the VM's own folder. */
int sandbox_calls(bool kvm, bool home, struct err *e) HV_MUST_CHECK;
#endif
