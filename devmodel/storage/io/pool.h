/*
 * I/O threads: run requests that may block and count those under way. One pool an image, so that a
 * slow disk does not hold up another.
 */
#ifndef DEVMODEL_STORAGE_IO_POOL_H
#define DEVMODEL_STORAGE_IO_POOL_H
#include "devmodel/storage/blk.h"

struct io_pool;

/* Without threads until io_pool_start(): what is submitted before is done by the submitter. run: in
 * an I/O thread, one request to its end; its result goes to the request's done. */
int io_pool_create(const char *name, int (*run)(void *ctx, struct blk_req *r), void *ctx,
		   struct io_pool **ret_pool, struct err *e) HV_MUST_CHECK;
int io_pool_start(struct io_pool *p, struct err *e) HV_MUST_CHECK; /* twice is once */
void io_pool_stop(struct io_pool *p);	 /* undoes io_pool_start(); nothing is under way */
void io_pool_destroy(struct io_pool *p); /* waits for what is under way; NULL is fine */
void io_pool_submit(struct io_pool *p, struct blk_req *r); /* any thread */
/* Returns when every request submitted before has been answered. */
void io_pool_drain(struct io_pool *p);
#endif
