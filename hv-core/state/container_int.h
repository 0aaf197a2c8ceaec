/*
 * The container's layout; numbers are little endian. The index is: struct cont_index, n_sections
 * struct cont_section, n_ram struct cont_ram, and for each RAM block in turn a CRC-32C a chunk.
 */
#ifndef STATE_CONTAINER_INT_H
#define STATE_CONTAINER_INT_H
#include "state/container.h"

#define CONT_MAGIC "LodgeVM\x1a"
#define CONT_FORMAT 1
#define CONT_INDEX_MAX HV_MIB(32)

struct cont_header { /* at 0, alone in its page */
	char magic[8];
	uint32_t format;
	uint32_t index_crc;
	uint64_t file_bytes;
	uint64_t index_off, index_bytes;
	uint8_t zero[20];
	uint32_t crc; /* of all before */
};
_Static_assert(sizeof(struct cont_header) == 64, "on disk");

struct cont_index {
	uint32_t n_sections, n_ram;
};

struct cont_section {
	char key[STATE_KEY_MAX + 1]; /* zero-filled */
	uint64_t off, bytes;
	uint32_t crc, zero;
};
_Static_assert(sizeof(struct cont_section) == 88, "on disk");

struct cont_ram {
	char name[STATE_RAM_NAME_MAX + 1]; /* zero-filled */
	uint64_t off, bytes;
};
_Static_assert(sizeof(struct cont_ram) == 48, "on disk");

/* Not empty, only harmless characters, ended and filled up with zeros. */
bool cont_name_ok(const char *name, size_t bytes);
#endif
