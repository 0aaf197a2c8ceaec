/*
 * What a file is that a user wants to run: the one place that knows the marks of images, kernels
 * and of what is often given in their place. Pure: looks at bytes, opens nothing.
 */
#ifndef DEVMODEL_STORAGE_KIND_H
#define DEVMODEL_STORAGE_KIND_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum image_kind {
	IMAGE_UNKNOWN,
	IMAGE_CD,	 /* ISO 9660 or UDF */
	IMAGE_FLOPPY,	 /* a disk of a floppy's size */
	IMAGE_DISK,	 /* raw, something boots from it */
	IMAGE_LINUX,	 /* bzImage */
	IMAGE_MULTIBOOT, /* ELF, or with addresses in its header */
	IMAGE_STATE,	 /* saved state */
	IMAGE_QCOW2,	 /* a disk in that format */
	IMAGE_CONTAINER, /* a disk image in a format that is not known here */
	IMAGE_REFUSED,	 /* known, and nothing that can run */
	IMAGE_N_KINDS
};

#define IMAGE_HEAD_BYTES 65536u /* enough of a file's beginning */
#define IMAGE_TAIL_BYTES 512u

/* Of a file; tail is empty in one that is shorter. */
struct image_bytes {
	const uint8_t *head;
	size_t n_head; /* IMAGE_HEAD_BYTES, or the whole file */
	uint8_t tail[IMAGE_TAIL_BYTES];
	uint64_t bytes; /* of all of it */
};

/* All texts are static. */
struct image_guess {
	enum image_kind kind;
	const char *what;     /* "a CD or DVD image"; never NULL */
	const char *hint;     /* what to do with it, if it cannot run: "unpack it first"; O */
	enum image_kind also; /* it may be meant as this, too; IMAGE_UNKNOWN: as nothing else */
	const char *doubt;    /* with also: why; else what is missing in it; O */
};

void image_recognise(const struct image_bytes *b, struct image_guess *ret);
/* The option that says that a file is of this kind: "--iso"; "": there is none. */
const char *image_option(enum image_kind k);
/* Offset of the multiboot 1 header in a file's beginning; -1: there is none. */
int64_t image_multiboot_header(const uint8_t *p, uint64_t n);
#endif
