/*
 * Guest-physical memory: RAM blocks, the map that places them (with ROM, I/O ranges and holes), and
 * the only ways in which anything but an engine reads and writes guest memory.
 *
 * The map is a flat, sorted table. It changes by building a new table and swapping it in, so it can
 * change while vCPUs run (a BAR is moved, PAM switches): the listeners are told after the swap and
 * return when no vCPU uses a stale translation any more. RAM blocks live as long as the map.
 */
#ifndef MEM_MEM_H
#define MEM_MEM_H
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/thread.h"

struct hv_mem; /* one guest-physical address space */
struct hv_ram; /* one block of host memory that backs part of it */

/* ---- RAM blocks ---- */

enum hv_ram_kind {
	HV_RAM_ANON,	     /* private anonymous memory, transparent huge pages */
	HV_RAM_FILE_PRIVATE, /* private mapping of a state file: pages are copied when written */
	HV_RAM_SHARED,	     /* shared memfd: only where another process must see it */
};

/*
 * Creates a block of bytes (a multiple of the page size, not 0) and adds it to m, which owns it.
 * fd, file_off (page aligned): the file of HV_RAM_FILE_PRIVATE, borrowed only for the call, must
 * hold that many bytes; else -1, 0. name: static string, "ram", "bios"; unique in m: a state file
 * finds the block by it. Before vCPUs run.
 */
int hv_ram_create(struct hv_mem *m, const char *name, enum hv_ram_kind kind, uint64_t bytes, int fd,
		  uint64_t file_off, struct hv_ram **ret_ram, struct err *e) HV_MUST_CHECK;
const char *hv_ram_name(const struct hv_ram *r);
uint64_t hv_ram_bytes(const struct hv_ram *r);
uint8_t *hv_ram_host(const struct hv_ram *r); /* for loaders, savers and engines */
/* The memfd of HV_RAM_SHARED, for the process that shares it; else -1. Borrowed. */
int hv_ram_fd(const struct hv_ram *r);
/* Blocks in the order of creation; NULL past the last. */
struct hv_ram *hv_mem_ram(const struct hv_mem *m, unsigned i);

/* ---- I/O ranges ---- */

/*
 * Called with the domain held. off is from the range's base, off + size within it, size 1 to 8
 * (not only powers of two: the owner splits). Must not block. read: upper bits are zero.
 */
struct hv_io_ops {
	uint64_t (*read)(void *ctx, uint64_t off, unsigned size);
	void (*write)(void *ctx, uint64_t off, unsigned size, uint64_t v);
};

/* ---- the map ---- */

enum hv_map_kind {
	HV_MAP_RAM,  /* reads, writes, fetches go to the block */
	HV_MAP_ROM,  /* reads and fetches go to the block; writes to io if it has one */
	HV_MAP_IO,   /* everything goes to io */
	HV_MAP_HOLE, /* hides what lies below: reads give ones, writes vanish */
};

/*
 * Registers of an I/O range of which a write, whatever the value, only says "look". An engine may
 * signal fd (an eventfd, for whoever does the looking) instead of calling io->write, and so go on
 * with the guest at once.
 */
struct hv_bells {
	uint64_t off;	  /* of the first, from the range's base */
	uint32_t step, n; /* n 0: there are none */
	int fd;		  /* borrowed */
};

/*
 * One placed range. Embedded in its owner, who fills the first part and keeps it alive while it is
 * mapped. Of overlapping ranges the one with the higher prio is seen; of equal ones the one added
 * last.
 */
struct hv_map_range {
	const char *name; /* borrowed */
	enum hv_map_kind kind;
	int prio;
	uint64_t gpa, bytes;	    /* page-aligned unless HV_MAP_IO or HV_MAP_HOLE; bytes not 0 */
	struct hv_ram *ram;	    /* HV_MAP_RAM, HV_MAP_ROM */
	uint64_t ram_off;	    /* page-aligned */
	const struct hv_io_ops *io; /* HV_MAP_IO; O for HV_MAP_ROM (flash commands) */
	void *io_ctx;		    /* borrowed */
	struct hv_domain *domain;   /* of io */
	struct hv_bells bells;	    /* O; of HV_MAP_IO */
	/* private to mem/ */
	bool mapped;
	struct hv_map_range *next;
};

#define HV_PRIO_RAM 0
#define HV_PRIO_DEVICE 10  /* BARs: behind nothing but what the chipset forces */
#define HV_PRIO_CHIPSET 20 /* PAM shadows, LAPIC page, ECAM, flash */

int hv_mem_create(struct hv_mem **ret_mem, struct err *e) HV_MUST_CHECK;
void hv_mem_destroy(struct hv_mem *m); /* NULL is fine. Frees the blocks, not the ranges */

/*
 * Any thread, a device's domain may be held. Cannot fail: the table has room for HV_MAP_MAX
 * ranges, and more is a bug of ours (asserted). Not while a listener runs.
 */
#define HV_MAP_MAX 512
void hv_mem_map(struct hv_mem *m, struct hv_map_range *r);
void hv_mem_unmap(struct hv_mem *m, struct hv_map_range *r); /* twice is once */
/* Several changes as one swap and one notification; nests. */
void hv_mem_batch_begin(struct hv_mem *m);
void hv_mem_batch_end(struct hv_mem *m);

/* What lies at gpa: a copy, valid as long as the map's ranges are. */
struct hv_mem_slice {
	enum hv_map_kind kind;
	uint64_t gpa, bytes; /* the visible piece around gpa */
	uint8_t *host;	     /* of slice.gpa; RAM and ROM, else NULL */
	struct hv_ram *ram;  /* and its block and offset there */
	uint64_t ram_off;
	const struct hv_map_range *r; /* NULL: nothing is mapped there (kind is HV_MAP_HOLE) */
	uint64_t r_off;		      /* of slice.gpa from the range's base */
};
void hv_mem_find(struct hv_mem *m, uint64_t gpa, struct hv_mem_slice *ret_slice);

/* ---- access by devices, loaders, savers, debuggers; any thread ---- */

/*
 * Copies from and to RAM and ROM. 0, or -EFAULT if any byte is not RAM (ROM counts as RAM when
 * reading): then nothing was copied. Writing tells as hv_mem_written() does.
 */
int hv_mem_read(struct hv_mem *m, uint64_t gpa, void *buf, size_t len) HV_MUST_CHECK;
int hv_mem_write(struct hv_mem *m, uint64_t gpa, const void *buf, size_t len) HV_MUST_CHECK;
/* As the CPU does it, I/O ranges and holes included; size 1 to 8, may cross ranges. */
uint64_t hv_mem_io_read(struct hv_mem *m, uint64_t gpa, unsigned size);
void hv_mem_io_write(struct hv_mem *m, uint64_t gpa, unsigned size, uint64_t v);

/* The host address of gpa if len bytes from there are one piece of RAM (write: not ROM), else NULL.
 * For I/O vectors; whoever writes through it calls hv_mem_written() when the data has landed. */
void *hv_mem_host(struct hv_mem *m, uint64_t gpa, size_t len, bool write);

/* Every writer of guest memory but the engine itself calls it after the data has landed and before
 * the completion interrupt: the dirty log and the engine's code cache depend on it. */
void hv_mem_written(struct hv_mem *m, uint64_t gpa, uint64_t len);
/* The same by block, for whoever writes memory that the map hides at the moment (BIOS shadow). */
void hv_ram_written(struct hv_ram *r, uint64_t ram_off, uint64_t len);

/* ---- listeners: engines, the display ---- */

struct hv_mem_listener {
	/* The map changed between gpa and gpa + bytes. Called after the swap; returns when no vCPU
	 * uses the old one. O */
	void (*map_changed)(void *ctx, uint64_t gpa, uint64_t bytes);
	/* The block's bytes changed by someone else than the engine. O */
	void (*written)(void *ctx, struct hv_ram *ram, uint64_t ram_off, uint64_t len);
	/* The block's log is about to be read: whoever logs writes elsewhere marks them now. O */
	void (*dirty_sync)(void *ctx, struct hv_ram *ram);
	/* Dirty logging of the block was switched: write translations must be dropped. O */
	void (*dirty_log)(void *ctx, struct hv_ram *ram, bool on);
	void *ctx;
	struct hv_mem_listener *next; /* private */
};
/* The listener's calls hold no lock of the map's; map_changed of two threads may come together. */
void hv_mem_listen(struct hv_mem *m, struct hv_mem_listener *l);   /* before vCPUs run */
void hv_mem_unlisten(struct hv_mem *m, struct hv_mem_listener *l); /* after; twice is once */

/* ---- dirty log ---- */

/* One bit a page, from bit 0 of word 0. Off at creation; switching on sets no bit. */
int hv_ram_dirty_start(struct hv_ram *r, struct err *e) HV_MUST_CHECK;
void hv_ram_dirty_stop(struct hv_ram *r);
bool hv_ram_dirty_on(const struct hv_ram *r);
/* Any thread, engines too: lock-free. No effect while off. */
void hv_ram_dirty_mark(struct hv_ram *r, uint64_t ram_off, uint64_t len);
/* fn is told when a page gets marked that was not: any thread, locks may be held, must not block.
 * Before vCPUs run. False: somebody logs writes elsewhere until dirty_sync(), so it would not be.
 */
bool hv_ram_dirty_watch(struct hv_ram *r, void (*fn)(void *ctx), void *ctx);
/* Copies and clears words (64 pages each) from first_word; returns how many pages were set. Then
 * the listeners' dirty_log(on) runs, so that later writes mark again: the pages may be copied. */
uint64_t hv_ram_dirty_take(struct hv_ram *r, uint64_t first_word, uint64_t words,
			   uint64_t *ret_bits);
#endif
