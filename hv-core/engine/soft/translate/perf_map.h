/*
 * The map by which perf names translated code: a line "START SIZE NAME" a piece of code,
 * hexadecimal, in the file that hv_engine_options.perf_map_fd leads to. Nothing without the option.
 */
#ifndef SOFT_TRANSLATE_PERF_MAP_H
#define SOFT_TRANSLATE_PERF_MAP_H
#include <stddef.h>
#include "engine/soft/block.h"

/* A part of b's code, as "guest-user:0x401000" or "guest-kernel:…" with the part's name behind. The
 * FPU is parked. */
void tr_perf_block(const struct soft_vcpu *v, const struct block *b, const char *part,
		   const void *from, size_t bytes);
/* The ways into translated code and out again. */
void tr_perf_glue(const struct soft_vcpu *v, const void *from, size_t bytes);
#endif
