/*
 * A layer that nothing needs any more, right below the one that the guest writes to, is merged into
 * that while the VM runs: a thread copies what is still needed up, then the VM stands still for the
 * moment in which the layer is left out. Layers between others, which other VMs may read, and those
 * with more than a GiB to be copied into a smaller one wait for layers_tidy(). Loop thread; zeroed:
 * nothing goes on.
 */
#ifndef VM_MERGING_H
#define VM_MERGING_H
#include <glib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "base/err.h"
#include "base/loop.h"
#include "devmodel/storage/image_merge.h"

struct vm;

struct merging {
	struct loop_timer later;
	struct loop_work ended;
	pthread_t thread;
	bool started, again;
	atomic_bool stop;
	/* the thread's while it runs */
	GHashTable *open;  /* owned: "disks/..." to struct blk */
	GHashTable *below; /* owned: "disks/..." to what it is based on */
	char *spare;	   /* owned: the layer that goes, once it is copied; NULL: none */
	struct image_merge merge;
	struct err error;
	int result;
};

/* Looks for such layers, now or soon; nothing while a state is being saved. */
void merging_begin(struct vm *vm);
/* In a while: after a start, which has better things to do. */
void merging_begin_later(struct vm *vm);
/* Returns when no thread uses the images; what was copied is not lost. */
void merging_stop(struct vm *vm);
#endif
