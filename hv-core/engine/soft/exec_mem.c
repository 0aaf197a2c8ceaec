/*
 * See exec_mem.h. Shared anonymous memory, not a memory file: hosts that refuse executable files
 * of that kind (vm.memfd_noexec) have no quarrel with it, and perf looks into a process' map of
 * generated code only for addresses in anonymous memory.
 */
#include "engine/soft/exec_mem.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

int soft_exec_map(size_t bytes, void *at, uint8_t **ret_rw, uint8_t **ret_rx, struct err *e)
{
	void *rw = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	void *rx = MAP_FAILED;

	*ret_rw = *ret_rx = NULL;
	/* From nothing of a shared mapping: a second mapping of the same memory. */
	if (rw != MAP_FAILED && at == NULL)
		rx = mremap(rw, 0, bytes, MREMAP_MAYMOVE);
	else if (rw != MAP_FAILED)
		rx = mremap(rw, 0, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, at);
	if (rx != MAP_FAILED && mprotect(rx, bytes, PROT_READ | PROT_EXEC) == 0) {
		*ret_rw = rw;
		*ret_rx = rx;
		return 0;
	}
	int r = -errno;

	if (rx != MAP_FAILED && at == NULL)
		munmap(rx, bytes);
	if (rw != MAP_FAILED)
		munmap(rw, bytes);
	return err_set(e, r, "this host refuses executable memory (a security policy?): %s",
		       strerror(-r));
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

void soft_exec_large(uint8_t *rw, uint8_t *rx, size_t bytes)
{
	for (size_t off = 0; off < bytes; off += 4096) /* what is not there is not put together */
		__atomic_fetch_or(rw + off, 0, __ATOMIC_RELAXED);
	(void)madvise(rx, bytes, MADV_COLLAPSE); /* else it stays in small ones */
}
