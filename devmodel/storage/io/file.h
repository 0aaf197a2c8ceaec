/* Whole transfers to and from a file: no short reads or writes, no EINTR. May block. */
#ifndef DEVMODEL_STORAGE_IO_FILE_H
#define DEVMODEL_STORAGE_IO_FILE_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include "base/err.h"

/* All return 0 or -errno. iov is as before in the end, so that what failed can be done again. Past
 * the end of the file zeroes are read. */
int io_file_read(int fd, struct iovec *iov, unsigned n, uint64_t off) HV_MUST_CHECK;
int io_file_write(int fd, struct iovec *iov, unsigned n, uint64_t off) HV_MUST_CHECK;
/* -EIO also for want of room: what was not written then is lost, another flush would not tell. */
int io_file_flush(int fd) HV_MUST_CHECK;
/* Reads as zeroes afterwards, allocated or not. */
int io_file_zero(int fd, uint64_t off, uint64_t bytes) HV_MUST_CHECK;
/* Gives space back if the file system can; the contents there are undefined or zero. */
int io_file_discard(int fd, uint64_t off, uint64_t bytes) HV_MUST_CHECK;

/* The part of bytes at off of a vector, into ret_iov (as long as iov); how many pieces. */
unsigned io_iov_slice(const struct iovec *iov, unsigned n, uint64_t off, uint64_t bytes,
		      struct iovec *ret_iov);

/* Locks the whole file against other openers (writer: all of them; else: writers). */
int io_file_lock(int fd, bool writer, const char *name, struct err *e) HV_MUST_CHECK;
/* Size of a file or block device, a multiple of 512 and not 0. */
int io_file_size(int fd, const char *name, uint64_t *ret_bytes, struct err *e) HV_MUST_CHECK;
#endif
