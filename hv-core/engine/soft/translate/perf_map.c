/* See perf_map.h. */
#include "engine/soft/translate/perf_map.h"
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>
#include "engine/soft/key.h"

/* A guest can have code translated for ever: the file has an end. */
#define MAX_BLOCKS (1u << 21)

/* One write, to a file that is appended to: the lines of several vCPUs stay whole. */
static void put_line(const struct soft_vcpu *v, const char *line, int n)
{
	ssize_t done = write(v->hv->vm->opt.perf_map_fd, line, (size_t)n);

	(void)done; /* a full disk costs names, not the guest */
}

void tr_perf_block(const struct soft_vcpu *v, const struct block *b, const char *part,
		   const void *from, size_t bytes)
{
	char line[96];

	if (!v->hv->vm->opt.perf_map || v->stats.blocks_translated > MAX_BLOCKS)
		return;
	put_line(v, line,
		 snprintf(line, sizeof(line), "%" PRIxPTR " %zx guest-%s:0x%" PRIx64 "%s\n",
			  (uintptr_t)from, bytes, b->key & KEY_USER ? "user" : "kernel", b->ip,
			  part));
}

void tr_perf_glue(const struct soft_vcpu *v, const void *from, size_t bytes)
{
	char line[96];

	if (!v->hv->vm->opt.perf_map)
		return;
	put_line(v, line,
		 snprintf(line, sizeof(line), "%" PRIxPTR " %zx lodge-glue:vcpu%u\n",
			  (uintptr_t)from, bytes, v->hv->index));
}
