/*
 * The program lodge-disk: disk images offline. What a command is, and what commands share. One
 * thread, but for convert and bench; errors are one line and an exit code (docs/commands.md).
 */
#ifndef DEVMODEL_STORAGE_TOOL_TOOL_H
#define DEVMODEL_STORAGE_TOOL_TOOL_H
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "devmodel/storage/image.h"

enum { TOOL_OK, TOOL_FAILED, TOOL_USAGE, TOOL_NOT_FOUND, TOOL_BUSY, TOOL_HOST };

/* What was given on the command line; strings are borrowed from it. */
struct tool {
	const char *arg[3];
	unsigned n_args;
	bool json, quiet, yes, force, lazy, direct, unsafe, chain, one_buffer;
	enum image_format format, to; /* of the image; of what is made */
	const char *backing, *backing_format, *pattern;
	enum io_cache cache;
	uint64_t cluster_bytes, block_bytes; /* 0: not given */
	unsigned version, threads, depth, seconds;
	int compress; /* enum qcow2_compression; -1: not given */
};

struct tool_verb {
	const char *name, *args;
	unsigned min_args, max_args;
	const char *options; /* the letters of those that it takes, beyond those of all */
	const char *help;
	/* The exit code, or -errno with e set. */
	int (*run)(const struct tool *t, struct err *e);
};

/* ---- table.c ---- */
extern const struct tool_verb tool_verbs[];   /* ends with a NULL name */
extern const struct option tool_options[];    /* for getopt_long() */
const struct option *tool_option(int letter); /* one of those that there are */
bool tool_takes(const struct tool_verb *v, int letter);
/* On standard output: of one verb; of all, also as the manual page lodge-disk(1). */
void tool_help_verb(const struct tool_verb *v);
void tool_help(bool as_man_page);

/* ---- the verbs ---- */

int cmd_create(const struct tool *t, struct err *e);
int cmd_info(const struct tool *t, struct err *e);
int cmd_map(const struct tool *t, struct err *e);
int cmd_check(const struct tool *t, struct err *e);
int cmd_repair(const struct tool *t, struct err *e);
int cmd_convert(const struct tool *t, struct err *e);
int cmd_resize(const struct tool *t, struct err *e);
int cmd_compact(const struct tool *t, struct err *e);
int cmd_rebase(const struct tool *t, struct err *e);
int cmd_commit(const struct tool *t, struct err *e);
int cmd_bench(const struct tool *t, struct err *e);

/* Opens the image named on the command line (o: format and the like are filled in); says who has it
 * if somebody else does. */
int tool_open(const struct tool *t, const char *path, struct image_options *o, struct blk **ret_blk,
	      struct err *e) HV_MUST_CHECK;
/* Asks on a terminal unless --yes; 0, or -EINVAL with what to do. */
int tool_confirm(const struct tool *t, const char *what, struct err *e) HV_MUST_CHECK;

/* ---- holder.c ---- */
/* "VM "web" (lodge stop web)" or "process 12 (name)" that has the file open; false: nobody seen. */
bool tool_holder(const char *path, char *text, size_t size);

/* ---- target.c ---- */
/* The file that a path means, where there is one, by its own name: a link stays one when the file
 * is replaced. -EINVAL: it is not a file. Allocated. */
int tool_real_path(const char *path, char **ret_path, struct err *e) HV_MUST_CHECK;
/* That of a new image: nothing is there, or by --force a file that nobody has. */
int tool_target(const struct tool *t, const char *path, char **ret_path,
		struct err *e) HV_MUST_CHECK;
/* As image_new_begin(); a signal that ends the program takes the file with it. */
int tool_begin(const char *path, struct image_new *ret_new, struct err *e) HV_MUST_CHECK;
/* As image_create(); such a signal waits until that is done. */
int tool_create(const char *path, const struct image_create *c, struct err *e) HV_MUST_CHECK;

/* ---- output.c ---- */
/* "512M", "2G", "1.5T": bytes; -EINVAL. */
int tool_parse_size(const char *s, uint64_t *ret_bytes) HV_MUST_CHECK;
/* "1.5 GiB" */
const char *tool_size(uint64_t bytes, char *buf, size_t n);
#define TOOL_SIZE(b) tool_size(b, (char[24]){ 0 }, 24)

/* How far it is, on a terminal's standard error. Any thread. */
void tool_progress(const struct tool *t, uint64_t done, uint64_t all);
void tool_progress_end(const struct tool *t);

/* JSON on standard output: {, } and members with the commas between them. */
struct tool_json {
	FILE *f;
	bool more; /* a comma is due */
};
void json_open(struct tool_json *j, const char *name, char bracket); /* name NULL: none */
void json_close(struct tool_json *j, char bracket);
void json_text(struct tool_json *j, const char *name, const char *v); /* NULL: null */
void json_number(struct tool_json *j, const char *name, uint64_t v);
void json_bool(struct tool_json *j, const char *name, bool v);
void json_end(struct tool_json *j);

/* ---- copy.c ---- */
struct tool_copy {
	struct blk *from, *to;
	/* What from's own image has, not what it is based on: for what keeps its backing image. */
	bool own_only;
	int early_fd;	  /* what is written to this file is sent to the disk at once; -1: not */
	bool packed;	  /* compressed clusters of to (qcow2) */
	bool keep_packed; /* what is compressed stays so (qcow2, same clusters) */
};
/* All that is not zero, by several threads. */
int tool_copy(const struct tool *t, const struct tool_copy *c, struct err *e) HV_MUST_CHECK;

/* A new image in a temporary file, opened for writing without syncs; committed at the end. */
int tool_new(const char *path, const struct image_create *c, struct image_new *ret_new,
	     struct blk **ret_blk, struct err *e) HV_MUST_CHECK;
#endif
