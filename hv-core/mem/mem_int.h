/* What the files of mem/ share. */
#ifndef MEM_MEM_INT_H
#define MEM_MEM_INT_H
#include <stdatomic.h>
#include "base/util.h"
#include "mem/mem.h"

#define MEM_MAX_RAM 32
#define MEM_MAX_PIECES (2 * HV_MAP_MAX + 1)

struct hv_ram {
	struct hv_mem *mem;
	char name[32];
	enum hv_ram_kind kind;
	uint64_t bytes;
	uint8_t *host;
	int fd;	    /* owned; of HV_RAM_SHARED, else -1 */
	void *area; /* what was reserved around host */
	uint64_t area_bytes;
	/* any thread; the bitmap is kept until the end once there is one */
	_Atomic bool dirty_on;
	_Atomic uint64_t *dirty; /* owned */
	/* constant while vCPUs run */
	void (*dirty_watch)(void *ctx); /* NULL: nobody */
	void *watch_ctx;		/* borrowed */
};

/*
 * A visible piece of the map. All of it is words, read and written one by one as atomics: a reader
 * may look at a table that is being rebuilt, and finds out afterwards by the generation.
 */
struct mem_piece {
	uint64_t gpa, last;
	uint64_t kind; /* enum hv_map_kind */
	uint64_t host; /* of gpa; RAM and ROM */
	uint64_t ram;  /* struct hv_ram * */
	uint64_t ram_off;
	uint64_t r; /* const struct hv_map_range * */
	uint64_t r_off;
};

struct mem_table {
	uint64_t n;
	struct mem_piece piece[MEM_MAX_PIECES];
};

struct hv_mem {
	/* before vCPUs run */
	struct hv_ram *ram[MEM_MAX_RAM]; /* owned */
	unsigned n_ram;
	struct hv_mem_listener *listeners; /* borrowed */

	/* The table of generation g is table[g % 2]; that of g + 1 is built in the other one. */
	_Atomic uint64_t gen;
	struct mem_table *table[2]; /* owned */

	/* under lock (recursive: batches nest) */
	pthread_mutex_t lock;
	struct hv_map_range *ranges; /* borrowed; those with the highest claim first */
	unsigned n_ranges, batch;
	uint64_t changed_gpa, changed_last; /* what this batch touched; empty: gpa > last */
	uint64_t *points;		    /* owned; scratch for the build */
};

/* Copies the piece around gpa; r is 0 where nothing is mapped. */
void mem_lookup(struct hv_mem *m, uint64_t gpa, struct mem_piece *ret_piece);

static inline uint8_t *mem_piece_host(const struct mem_piece *p, uint64_t gpa)
{
	return (uint8_t *)(uintptr_t)p->host + (gpa - p->gpa);
}

void mem_free_rams(struct hv_mem *m);
#endif
