/* Raw images with all that can be chosen; blk.h has the usual ways. */
#ifndef DEVMODEL_STORAGE_FORMAT_RAW_H
#define DEVMODEL_STORAGE_FORMAT_RAW_H
#include "devmodel/storage/blk.h"
#include "devmodel/storage/io/host.h"

struct raw_options {
	bool read_only;
	bool direct;  /* O_DIRECT */
	bool guarded; /* its format was guessed: the guest may not write the mark of another one */
	enum io_cache cache;
	uint64_t bytes; /* the disk has at least that many, those that the file lacks are zeroes */
};

/* fd is taken over on success. name: for messages. */
int raw_open(int fd, const char *name, const struct raw_options *o, struct blk **ret_blk,
	     struct err *e) HV_MUST_CHECK;
#endif
