/*
 * Where a vCPU's translated code lies, and how control gets into it and out again. Memory that is
 * mapped twice, writable and executable, never both; beside the executable mapping the slots
 * through which blocks jump to each other, so that linking writes no code.
 */
#ifndef SOFT_TRANSLATE_CODE_CACHE_H
#define SOFT_TRANSLATE_CODE_CACHE_H
#include "engine/soft/block.h"
#include "engine/soft/translate/emit.h"
#include "engine/soft/translate/translate.h"

/* What a block may take; also room that is asked for before it is begun. */
#define TR_BLOCK_BYTES HV_KIB(40)

struct tr_slot {
	const void *target;
	const void *unlinked; /* the way out to the run loop */
	struct tr_slot *next; /* of those that lead to the same block */
	const uint8_t *host;  /* the page that both lie in */
	bool checked;	      /* requests are looked at on this way */
};

struct soft_tr {
	uint8_t *rw, *rx;      /* owned mappings of the same memory */
	struct tr_slot *slots; /* owned mapping beside rx */
	uint32_t used, glue_bytes, n_slots;
	uint64_t host_gs;    /* the thread's own GS base, while v runs */
	unsigned threshold;  /* runs in the interpreter before a block is translated */
	uint64_t *fallbacks; /* owned: by mnemonic */
	/* In the writable mapping: */
	const uint8_t *exit, *call;
	void *(*enter)(const void *code); /* returns the slot it came out by, or NULL */
};

/* Guest register to host register; H_NONE: lives in the context. */
extern const uint8_t tr_host[16];
#define TR_OFF(m) ((uint32_t)offsetof(struct soft_vcpu, m))

int tr_cache_create(struct soft_vcpu *v, struct err *e) HV_MUST_CHECK;
void tr_cache_destroy(struct soft_vcpu *v);
#endif
