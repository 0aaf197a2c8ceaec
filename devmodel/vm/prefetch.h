/*
 * A saved state's memory is mapped from its file, and a page is read when the guest touches it
 * first, which waits for the disk. A thread brings the file into the host's page cache in the
 * background, in pieces, so that the guest's own reads get in between.
 */
#ifndef VM_PREFETCH_H
#define VM_PREFETCH_H
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct prefetch {
	int fd;
	uint64_t most; /* bytes: half of what the host could give */
	pthread_t thread;
	bool started;
	atomic_bool stop;
};

/* How much there is room for. Before the sandbox. */
void prefetch_plan(struct prefetch *p);
/* fd: a file, borrowed until prefetch_end(), whose offset nobody else uses. Without a thread pages
 * are read when they are touched. */
void prefetch_begin(struct prefetch *p, int fd);
/* Returns when the file is not used any more. A zeroed one is fine. */
void prefetch_end(struct prefetch *p);
#endif
