/*
 * The file that a machine is saved in: sections (state.h's streams) under the paths of the
 * instances they belong to, and guest RAM, page-aligned so that it can be mapped instead of read.
 *
 *	header page | sections | RAM blocks, each page-aligned, zero pages as holes | index
 *
 * The header is written last, after everything else has reached the disk: a file whose writing was
 * cut short has none and is refused. The file is hostile when loaded.
 *
 * What is checked when: state_file_open() checks everything but the contents of RAM: header, index
 * and each section have a CRC-32C of their own, every offset and length must lie within the file,
 * nothing may overlap. RAM has a CRC-32C for every chunk of STATE_CHUNK_BYTES; reading all of it
 * would cost what mapping saves, so whoever wants it calls one of the state_file_verify functions.
 */
#ifndef STATE_CONTAINER_H
#define STATE_CONTAINER_H
#include "state/state.h"

#define STATE_KEY_MAX 63	    /* bytes of a section's path: [A-Za-z0-9_./:-]+ */
#define STATE_RAM_NAME_MAX 31	    /* bytes of a RAM block's name: the same */
#define STATE_CHUNK_BYTES HV_MIB(1) /* of RAM, per checksum */
#define STATE_MAX_SECTIONS 4096
#define STATE_MAX_RAM 64
#define STATE_MAX_SECTION_BYTES HV_MIB(64)
#define STATE_MAX_SECTIONS_BYTES HV_MIB(256) /* of all sections together: they are read */
#define STATE_MAX_RAM_BYTES HV_GIB(4096)

/* ---- writing ---- */

struct state_writer;

/*
 * fd: a regular file or memfd, empty or not (it is emptied), borrowed until the end. Never the file
 * that the machine's RAM is mapped from: write a new one and rename it over the old one.
 * The first error sticks: later calls return it, so only the last result needs looking at.
 */
int state_writer_create(int fd, struct state_writer **ret_writer, struct err *e) HV_MUST_CHECK;
/* Not after the first RAM block. key must not come twice. bytes may be NULL if len is 0. */
int state_writer_section(struct state_writer *w, const char *key, const void *bytes, size_t len,
			 struct err *e) HV_MUST_CHECK;
/* bytes: a multiple of the page size, not 0. host is read once; nobody may write to it meanwhile.
 */
int state_writer_ram(struct state_writer *w, const char *name, const uint8_t *host, uint64_t bytes,
		     struct err *e) HV_MUST_CHECK;
/* Index, disk, header, disk: only now the file can be opened. */
int state_writer_finish(struct state_writer *w, struct err *e) HV_MUST_CHECK;
uint64_t state_writer_bytes(const struct state_writer *w); /* so far */
void state_writer_destroy(struct state_writer *w); /* NULL is fine; does not touch the file */

/* ---- loading ---- */

struct state_section {
	char key[STATE_KEY_MAX + 1];
	const uint8_t *p; /* within the state_file's memory */
	size_t len;
};

struct state_ram {
	char name[STATE_RAM_NAME_MAX + 1];
	uint64_t bytes;	     /* a multiple of the page size, not 0 */
	uint64_t file_off;   /* page-aligned; for hv_ram_create(HV_RAM_FILE_PRIVATE) */
	const uint32_t *crc; /* one a chunk */
};

struct state_file {
	unsigned n_sections, n_ram;
	struct state_section *section; /* owned */
	struct state_ram *ram;	       /* owned */
	uint8_t *bytes;		       /* owned: the sections' */
	uint32_t *crc;		       /* owned: the chunks' */
};

/* fd is borrowed for the call. -EBADMSG: not a saved state, damaged, or cut short; -ENOTSUP: of
 * another format version. */
int state_file_open(int fd, struct state_file **ret_file, struct err *e) HV_MUST_CHECK;
void state_file_close(struct state_file *f); /* NULL is fine */

/* NULL: there is none. */
const struct state_section *state_file_section(const struct state_file *f, const char *key);
const struct state_ram *state_file_ram(const struct state_file *f, const char *name);

/* host: the chunk's bytes as mapped, not yet written to by the guest. Only the last chunk may be
 * shorter than STATE_CHUNK_BYTES. */
uint64_t state_ram_chunks(const struct state_ram *r);
bool state_file_verify_chunk(const struct state_ram *r, uint64_t chunk, const uint8_t *host);
/* Reads all RAM of the file; slow. */
int state_file_verify(const struct state_file *f, int fd, struct err *e) HV_MUST_CHECK;
#endif
