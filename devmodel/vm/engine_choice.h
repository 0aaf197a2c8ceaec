/* Which engine a VM runs on, and why. */
#ifndef VM_ENGINE_CHOICE_H
#define VM_ENGINE_CHOICE_H
#include <stddef.h>
#include "engine/engine.h"
#include "vm/config.h"

/* Room for a reason: a line that a person reads. */
#define ENGINE_REASON_BYTES 320

/*
 * Can this host run the engine? 0, or -errno with e. What takes time is tried once after each start
 * of the host: the verdict lies in the runtime folder. What may change until then (the device's
 * permission, say) is looked at every time. Before a sandbox is entered.
 */
int engine_probe(const struct hv_engine_ops *ops, struct err *e) HV_MUST_CHECK;

/* By the setting vm.engine; *ret_reason gets why. -ENOTSUP: e says why it cannot be had. */
int engine_choose(const struct vm_config *c, const struct hv_engine_ops **ret_engine,
		  char ret_reason[ENGINE_REASON_BYTES], struct err *e) HV_MUST_CHECK;
/* That engine cannot give what this machine needs (e says what): another one, if the choice was not
 * the user's. */
bool engine_instead(const struct vm_config *c, const struct hv_engine_ops **engine,
		    char reason[ENGINE_REASON_BYTES], const struct err *e);
#endif
