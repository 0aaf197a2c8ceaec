/*
 * Saved state as data: a table names every member of a struct; saving, loading, inspecting and
 * the generic tests are all driven by it. The stream format is in state.c.
 */
#ifndef STATE_STATE_H
#define STATE_STATE_H
#include <stdlib.h>
#include "base/err.h"
#include "base/util.h"

#define STATE_NAME_MAX 63  /* bytes in the name of a table or field: [A-Za-z0-9_.-]+ */
#define STATE_DEPTH_MAX 4  /* tables within tables */
#define STATE_HEAD_BYTES 8 /* a section's magic and length ... */
#define STATE_TAIL_BYTES 4 /* ... and its checksum */

/* clang-format off */
enum state_type { /* on the wire: append only */
	STATE_T_U8 = 1, STATE_T_U16, STATE_T_U32, STATE_T_U64, STATE_T_I32, STATE_T_I64,
	STATE_T_BOOL, STATE_T_STRUCT, STATE_T_PAD /* never on the wire */
};
/* clang-format on */

struct state_field {
	const char *name;
	uint8_t type;		      /* enum state_type */
	uint8_t since;		      /* table version that introduced the field */
	uint32_t off, size, count;    /* where; bytes of one element in memory; elements */
	const struct state_desc *sub; /* of STATE_T_STRUCT, else NULL */
};

struct state_desc {
	const char *name;
	uint8_t version, min_version; /* written; oldest that still loads */
	size_t size;		      /* of the struct; the table covers every byte of it */
	const struct state_field *fields;
	/* O: power-on values, for fields younger than the stream (NULL: zeroes). Pure; called on
	 * scratch memory by state_load() for the outermost table, and by the device's reset. */
	void (*init)(void *obj);
	/* O: refuse what the hardware cannot hold. Called by state_load(), any thread, on scratch
	 * memory: no device exists here, nothing to undo. 0 or -errno with e set. */
	int (*post_load)(void *obj, struct err *e);
};

/* clang-format off */
/* _Generic without a default: a pointer, enum or float member does not compile, by design. */
#define STATE_TYPE_(x) _Generic((x), uint8_t: STATE_T_U8, uint16_t: STATE_T_U16, \
	uint32_t: STATE_T_U32, uint64_t: STATE_T_U64, int32_t: STATE_T_I32, \
	int64_t: STATE_T_I64, bool: STATE_T_BOOL)
#define STATE_M_(T, m) (((T *)0)->m)
#define STATE_ONE_(T, m, type, v) { #m, type, v, offsetof(T, m), sizeof(STATE_M_(T, m)), 1, NULL }
#define STATE_MANY_(T, m, type, v, sub) { #m, type, v, offsetof(T, m), \
	sizeof(STATE_M_(T, m)[0]), HV_ARRAY_LEN(STATE_M_(T, m)), sub }
#define STATE_SINCE(v, T, m) STATE_ONE_(T, m, STATE_TYPE_(STATE_M_(T, m)), v)
#define STATE_ARRAY_SINCE(v, T, m) STATE_MANY_(T, m, STATE_TYPE_(STATE_M_(T, m)[0]), v, NULL)
#define STATE_STRUCTS_SINCE(v, T, m, desc) STATE_MANY_(T, m, STATE_T_STRUCT, v, desc)
#define STATE(T, m) STATE_SINCE(1, T, m)
#define STATE_ARRAY(T, m) STATE_ARRAY_SINCE(1, T, m)
#define STATE_STRUCTS(T, m, desc) STATE_STRUCTS_SINCE(1, T, m, desc)
#define STATE_STRUCT(T, m, desc) { #m, STATE_T_STRUCT, 1, offsetof(T, m), \
	sizeof(STATE_M_(T, m)), 1, desc }
#define STATE_PAD(T, m) STATE_ONE_(T, m, STATE_T_PAD, 1)
#define STATE_END { NULL, 0, 0, 0, 0, 0, NULL }

/* Around every state struct: padding that is not a member (and STATE_PAD) does not compile. */
#define STATE_LAYOUT_BEGIN _Pragma("GCC diagnostic push") \
	_Pragma("GCC diagnostic error \"-Wpadded\"")
#define STATE_LAYOUT_END _Pragma("GCC diagnostic pop")
/* clang-format on */

struct state_out {
	uint8_t *p; /* owned */
	size_t len, cap;
	int err;
}; /* starts as { 0 } */
struct state_in {
	const uint8_t *p; /* borrowed */
	size_t left;
};
static inline void state_out_finish(struct state_out *o)
{
	free(o->p);
}
#define auto_state_out __attribute__((cleanup(state_out_finish)))

/* Appends one section. On failure the buffer is as it was. */
HV_MUST_CHECK int state_save(struct state_out *o, const struct state_desc *d, const void *obj,
			     struct err *e);
/* Reads one section, hostile or not. On failure neither in nor obj has changed. */
HV_MUST_CHECK int state_load(struct state_in *in, const struct state_desc *d, void *obj,
			     struct err *e);
/* CRC-32C (Castagnoli), as in iSCSI and SSE4.2. */
uint32_t state_crc32c(const void *buf, size_t len);
/* The same as hosts without SSE4.2 compute it; for the test that compares them. */
uint32_t state_crc32c_table(const void *buf, size_t len);
#endif
