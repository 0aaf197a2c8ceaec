/* Hashes of a vCPU's state and of memory, see digest.h. */
#include "cpu/digest.h"
#include <stdio.h>
#include <unistd.h>
#include "base/util.h"
#include "cpu/vcpu.h"
#include "cpu/x86_state.h"

#define PRIME 0x9e3779b97f4a7c15ull
#define LANES 4

/* n: a multiple of 8 bytes. Several chains, for one multiplication has to wait for the last. */
static uint64_t hash(uint64_t h, const void *data, uint64_t n)
{
	const uint64_t *p = data;
	uint64_t lane[LANES] = { h, h + 1, h + 2, h + 3 }, words = n / 8, i = 0;

	for (; i + LANES <= words; i += LANES)
		for (unsigned k = 0; k < LANES; k++)
			lane[k] = (hv_rol64(lane[k], 23) ^ p[i + k]) * PRIME;
	for (; i < words; i++)
		lane[0] = (hv_rol64(lane[0], 23) ^ p[i]) * PRIME;
	for (unsigned k = 0; k < LANES; k++)
		h = (hv_rol64(h, 17) ^ lane[k]) * PRIME;
	return h;
}

static uint64_t hash_memory(const struct hv_mem *mem)
{
	const struct hv_ram *r;
	uint64_t h = 0;

	for (unsigned i = 0; (r = hv_mem_ram(mem, i)) != NULL; i++)
		h = hash(h, hv_ram_host(r), hv_ram_bytes(r));
	return h;
}

void hv_digest_write(struct hv_vcpu *v, uint64_t count, bool with_memory)
{
	char line[128], memory[20] = "-";
	struct x86_state s;

	_Static_assert(sizeof(s) % 8 == 0, "whole words");
	v->vm->engine->state_get(v, &s);
	if (with_memory)
		snprintf(memory, sizeof(memory), "%016llx",
			 (unsigned long long)hash_memory(v->vm->mem));
	int n = snprintf(line, sizeof(line), "%llu %llx %016llx %llu %s\n",
			 (unsigned long long)count, (unsigned long long)s.rip,
			 (unsigned long long)hash(0, &s, sizeof(s)),
			 (unsigned long long)hv_clock_now_ns(v->vm->clock), memory);
	ssize_t done = write(v->vm->opt.digest_fd, line, (size_t)n);

	(void)done;
}
