/* Files in memory under images: what tests and fuzzers open instead of real ones. */
#ifndef IMG_MEMFILE_H
#define IMG_MEMFILE_H
#include <pthread.h>
#include "devmodel/storage/io/host.h"

struct mem_file {
	uint8_t *data; /* owned: freed by whoever made it */
	uint64_t bytes, room;
	uint64_t max;	       /* more is -ENOSPC; 0: no limit */
	pthread_mutex_t *lock; /* borrowed; O */
	/* O: what was done, lock held; data NULL: zeroes. */
	void (*note)(struct mem_file *m, bool flush, uint64_t off, uint64_t bytes,
		     const uint8_t *data);
};

/* The file is borrowed; what is discarded has other contents from then on. */
struct io_host mem_file_host(struct mem_file *m);
/* At least that long; zeroes. */
void mem_file_reserve(struct mem_file *m, uint64_t bytes);
/* data NULL: zeroes. */
void mem_file_put(struct mem_file *m, uint64_t off, uint64_t bytes, const uint8_t *data);
#endif
