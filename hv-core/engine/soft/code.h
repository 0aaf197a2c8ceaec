/*
 * Which bytes of guest memory hold decoded code. Shared by all vCPUs; one record a page of every
 * RAM block. A page with code has no write entries in any TLB, so every store to it comes through
 * soft_code_written(); writers outside the engine come through the memory's listener.
 */
#ifndef SOFT_CODE_H
#define SOFT_CODE_H
#include "engine/soft/soft.h"

struct code_page {
	_Atomic uint64_t map;	  /* bit n: bytes 64 n to 64 n + 63 hold code */
	_Atomic uint64_t writers; /* vCPUs that may hold write entries */
};

struct code_ram {
	struct hv_ram *ram; /* borrowed */
	uint8_t *host;
	uint64_t bytes;
	uint64_t first;		 /* number of its first page among those of all blocks */
	struct code_page *pages; /* owned, mapped */
	_Atomic bool dirty_log;
};

int soft_code_create(struct soft_vm *vm, struct err *e) HV_MUST_CHECK;
void soft_code_destroy(struct soft_vm *vm);

/* The records of a block; NULL: no memory for them. Any thread. */
struct code_ram *soft_code_ram(struct soft_vm *vm, struct hv_ram *ram);

/* bytes off to off + size - 1 of a page; size 1 to 4096, not over its end. */
static inline uint64_t soft_code_mask(uint64_t off, unsigned size)
{
	unsigned first = (unsigned)(off & 4095) >> 6;
	unsigned last = (unsigned)((off & 4095) + size - 1) >> 6;

	return (~0ull >> (63 - (last - first))) << first;
}

/* Before the bytes are read for decoding. May wait for other vCPUs, dropping v's translations. */
void soft_code_mark(struct soft_vcpu *v, struct code_page *p, const uint8_t *host, uint64_t mask);
/* May a write entry be made for the page? Notes v as a writer if so. */
bool soft_code_may_write(struct soft_vcpu *v, struct code_page *p);
/* After a store. v: whose thread it is. */
void soft_code_written(struct soft_vcpu *v, struct code_page *p, uint64_t mask);
/* After a store whose bytes are known: size bytes at off of the page (its low 12 bits
 * count), not over its end. Bytes beside code, in the same 64, cost no code where v alone has
 * decoded any. */
void soft_code_stored(struct soft_vcpu *v, struct code_page *p, uint64_t off, unsigned size);
/* The same by somebody outside the engine. */
void soft_code_written_outside(struct soft_vm *vm, struct hv_ram *ram, uint64_t off, uint64_t len);
#endif
