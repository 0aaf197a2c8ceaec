/* How far a long command is, in percent, on a terminal. */
#ifndef VM_PROGRESS_H
#define VM_PROGRESS_H
#include <stdint.h>

struct progress {
	int fd;		      /* borrowed; -1: nobody looks */
	uint64_t before, all; /* bytes: done before what is being done; in the end */
	int shown;	      /* percent; starts as -1 */
};

/* p: a struct progress; done and part: of what is being done (pack_progress). One thread at a time.
 */
void progress_show(void *p, uint64_t done, uint64_t part);
/* Nothing is left on the terminal. */
void progress_end(struct progress *p);
#endif
