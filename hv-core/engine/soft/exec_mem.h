/* Memory for code of our own making, mapped twice: writable here, executable there, never both. */
#ifndef SOFT_EXEC_MEM_H
#define SOFT_EXEC_MEM_H
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

/* at: where the executable mapping goes, over what the caller has there; NULL: anywhere. Both are
 * the caller's to unmap; on failure there are none, and *ret_rw, *ret_rx are NULL. */
int soft_exec_map(size_t bytes, void *at, uint8_t **ret_rw, uint8_t **ret_rx,
		  struct err *e) HV_MUST_CHECK;
/* Has the bytes at rx, of an executable mapping, and at rw, where it is written, in large pages, if
 * the host can: code that lies far apart needs few entries of its TLB then. They may lie there
 * already. bytes and rx are multiples of SOFT_EXEC_LARGE. */
#define SOFT_EXEC_LARGE 0x200000u
void soft_exec_large(uint8_t *rw, uint8_t *rx, size_t bytes);
#endif
