/*
 * Direct I/O on one file by the kernel's io_uring: no thread waits for a request. Used for reads
 * and writes that are aligned for O_DIRECT; what the kernel does not finish whole, or cannot take,
 * is the caller's to do otherwise (its pool). The ring can do nothing but read and write that file.
 */
#ifndef DEVMODEL_STORAGE_IO_RING_H
#define DEVMODEL_STORAGE_IO_RING_H
#include <stdbool.h>
#include "devmodel/storage/blk.h"

struct io_ring;

/* again: takes a request that came to nothing or an end in part; in the ring's thread. -ENOSYS and
 * the like: the host has no rings, or not for us. fd is borrowed. */
int io_ring_create(int fd, void (*again)(void *ctx, struct blk_req *r), void *ctx,
		   struct io_ring **ret_ring) HV_MUST_CHECK;
int io_ring_start(struct io_ring *q, struct err *e) HV_MUST_CHECK; /* twice is once */
void io_ring_stop(struct io_ring *q);				   /* nothing is under way */
void io_ring_destroy(struct io_ring *q); /* waits for what is under way; NULL is fine */
/* A read or write. false: not taken. Any thread. */
bool io_ring_submit(struct io_ring *q, struct blk_req *r);
/* Returns when every request submitted before has been answered or handed to again. */
void io_ring_drain(struct io_ring *q);
#endif
