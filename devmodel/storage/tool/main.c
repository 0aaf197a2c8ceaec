/* lodge-disk: the command line, see tool.h. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/util.h"
#include "devmodel/storage/tool/tool.h"

/* Letters stand for long options here only; those before the bar belong to every command. */
#define FOR_ALL "jqyh"

static const struct option options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "yes", no_argument, NULL, 'y' },
	{ "help", no_argument, NULL, 'h' },
	{ "format", required_argument, NULL, 'f' },
	{ "to", required_argument, NULL, 'O' },
	{ "backing", required_argument, NULL, 'b' },
	{ "backing-format", required_argument, NULL, 'F' },
	{ "cluster-size", required_argument, NULL, 'c' },
	{ "qcow2-version", required_argument, NULL, 'V' },
	{ "lazy-refcounts", no_argument, NULL, 'l' },
	{ "compress", required_argument, NULL, 'z' },
	{ "force", no_argument, NULL, 'x' },
	{ "threads", required_argument, NULL, 'm' },
	{ "direct", no_argument, NULL, 'd' },
	{ "cache", required_argument, NULL, 't' },
	{ "chain", no_argument, NULL, 'C' },
	{ "unsafe", no_argument, NULL, 'u' },
	{ "pattern", required_argument, NULL, 'p' },
	{ "block", required_argument, NULL, 'B' },
	{ "depth", required_argument, NULL, 'D' },
	{ "time", required_argument, NULL, 'T' },
	{ "one-buffer", no_argument, NULL, 'o' },
	{ NULL, 0, NULL, 0 },
};

static const struct {
	char letter;
	const char *value, *help;
} option_help[] = {
	{ 'f', "FORMAT", "format of the image: raw, qcow2; else its contents tell" },
	{ 'O', "FORMAT", "format of what is made: raw, qcow2 (the default)" },
	{ 'b', "FILE",
	  "the backing image; \"\": none; relative names begin at the image's folder" },
	{ 'F', "FORMAT", "its format: raw, qcow2" },
	{ 'c', "SIZE", "bytes of a qcow2 cluster: 512 to 2M (64K)" },
	{ 'V', "N", "version of qcow2: 2, 3 (the default)" },
	{ 'l', NULL, "count clusters when the image is closed: faster, checked after a crash" },
	{ 'z', "METHOD", "compress clusters: zlib, zstd" },
	{ 'x', NULL, "replace a file that is there" },
	{ 'm', "N", "threads (two for each CPU, 8 at most)" },
	{ 'd', NULL, "around the host's page cache (O_DIRECT)" },
	{ 't', "MODE", "how far a flush reaches: safe, host, unsafe" },
	{ 'C', NULL, "the images that it is based on, too" },
	{ 'u', NULL, "only the name is changed: the new backing image has the same contents" },
	{ 'p', "NAME", "read, write, randread, randwrite (read)" },
	{ 'B', "SIZE", "bytes of a request (4K)" },
	{ 'D', "N", "requests at a time (64)" },
	{ 'T', "SECONDS", "how long (5)" },
	{ 'o', NULL, "all requests use the same memory, which then stays in the CPU's cache" },
	{ 'j', NULL, "results and errors as JSON" },
	{ 'q', NULL, "no talk" },
	{ 'y', NULL, "do not ask" },
};

const struct tool_verb tool_verbs[] = {
	{ "create", "FILE [SIZE]", 1, 2, "ObFcVlzx", "make an empty image", cmd_create },
	{ "info", "FILE", 1, 1, "fC", "what an image is", cmd_info },
	{ "map", "FILE", 1, 1, "f", "what lies where", cmd_map },
	{ "check", "FILE", 1, 1, "f", "look for errors in a qcow2 image", cmd_check },
	{ "repair", "FILE", 1, 1, "f", "mend them", cmd_repair },
	{ "convert", "FILE NEW", 2, 2, "fOcVlzxmd", "copy the disk into a new image", cmd_convert },
	{ "resize", "FILE [+]SIZE", 2, 2, "f", "make the disk longer or shorter", cmd_resize },
	{ "compact", "FILE", 1, 1, "fmz", "give back what the disk does not need", cmd_compact },
	{ "rebase", "FILE", 1, 1, "bFu", "put another backing image below", cmd_rebase },
	{ "commit", "FILE", 1, 1, "", "move what it has into its backing image", cmd_commit },
	{ "bench", "FILE", 1, 1, "fpBDdtTo", "measure requests to an image", cmd_bench },
	{ NULL, NULL, 0, 0, NULL, NULL, NULL },
};

static const struct option *option_of(int letter)
{
	const struct option *o = options;

	while (o->val != letter)
		o++;
	return o;
}

static void help_verb(const struct tool_verb *v)
{
	printf("lodge disk %s %s\n  %s\n\n", v->name, v->args, v->help);
	for (size_t i = 0; i < HV_ARRAY_LEN(option_help); i++) {
		const char letter = option_help[i].letter;
		char text[40];
		if (strchr(v->options, letter) == NULL && strchr(FOR_ALL, letter) == NULL)
			continue;
		snprintf(text, sizeof(text), "--%s %s", option_of(letter)->name,
			 option_help[i].value ? option_help[i].value : "");
		printf("  %-24s %s\n", text, option_help[i].help);
	}
}

static void help(void)
{
	printf("lodge disk VERB ...: disk images of VMs that do not run\n\n");
	for (const struct tool_verb *v = tool_verbs; v->name != NULL; v++)
		printf("  %-8s %-14s %s\n", v->name, v->args, v->help);
	printf("\nlodge disk VERB --help: its options. Sizes: 512M, 2G.\n");
}

/* ---- errors ---- */

static int exit_code(int r)
{
	switch (-r) {
	case EINVAL:
	case EBADMSG:
	case ENAMETOOLONG:
	case ELOOP:
	case EISDIR:
	case ENOTDIR:
	case EFBIG:
		return TOOL_USAGE;
	case ENOENT:
		return TOOL_NOT_FOUND;
	case EBUSY:
	case EEXIST:
		return TOOL_BUSY;
	case EACCES:
	case EPERM:
	case ENOSPC:
	case EROFS:
	case ENOMEM:
	case EMFILE:
		return TOOL_HOST;
	default:
		return TOOL_FAILED;
	}
}

static const char *code_name(int code)
{
	static const char *const names[] = { "Failed",	 "Failed",     "BadArgument",
					     "NotFound", "WrongState", "HostLimit" };

	return names[code];
}

static int report(const struct tool *t, int r, const struct err *e)
{
	struct tool_json j = { .f = stderr };
	const int code = exit_code(r);

	if (!t->json) {
		fprintf(stderr, "lodge disk: %s\n", e->msg);
		return code;
	}
	json_open(&j, NULL, '{');
	json_open(&j, "error", '{');
	json_text(&j, "code", code_name(code));
	json_text(&j, "message", e->msg);
	json_text(&j, "hint", NULL);
	json_close(&j, '}');
	json_close(&j, '}');
	json_end(&j);
	return code;
}

/* ---- options ---- */

static int number(const char *name, const char *s, unsigned max, unsigned *ret, struct err *e)
{
	char *end;
	const unsigned long v = strtoul(s, &end, 10);

	if (end == s || *end != '\0' || v == 0 || v > max)
		return err_set(e, -EINVAL, "--%s is a number from 1 to %u, not '%.40s'", name, max,
			       s);
	*ret = (unsigned)v;
	return 0;
}

static int size(const char *name, const char *s, uint64_t *ret, struct err *e)
{
	return tool_parse_size(s, ret) < 0 || *ret == 0
		       ? err_set(e, -EINVAL, "--%s is a size such as 64K, not '%.40s'", name, s)
		       : 0;
}

/* One of the words, by its place. */
static int word(const char *name, const char *s, const char *const *words, unsigned n,
		unsigned *ret, struct err *e)
{
	char all[80] = "";

	for (unsigned i = 0; i < n; i++) {
		if (strcmp(s, words[i]) == 0) {
			*ret = i;
			return 0;
		}
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i > 0 ? ", " : "",
			 words[i]);
	}
	return err_set(e, -EINVAL, "--%s is one of %s, not '%.40s'", name, all, s);
}

static int set_word(struct tool *t, int letter, const char *name, const char *s, struct err *e)
{
	static const char *const formats[] = { "auto", "raw", "qcow2" };
	static const char *const methods[] = { "zlib", "zstd" };
	static const char *const modes[] = { "safe", "host", "unsafe" };
	static const char *const patterns[] = { "read", "write", "randread", "randwrite" };
	unsigned v = 0;
	int r;

	switch (letter) {
	case 'f':
		r = word(name, s, formats, 3, &v, e);
		t->format = (enum image_format)v;
		return r;
	case 'O':
	case 'F':
		r = word(name, s, formats + 1, 2, &v, e);
		if (letter == 'O')
			t->to = (enum image_format)(v + 1);
		else
			t->backing_format = s;
		return r;
	case 'z':
		r = word(name, s, methods, 2, &v, e);
		t->compress = (int)v;
		return r;
	case 't':
		r = word(name, s, modes, 3, &v, e);
		t->cache = (enum io_cache)v;
		return r;
	default:
		t->pattern = s;
		return word(name, s, patterns, 4, &v, e);
	}
}

static int set_option(struct tool *t, int letter, const char *s, struct err *e)
{
	const char *name = option_of(letter)->name;

	switch (letter) {
	case 'j':
		t->json = true;
		return 0;
	case 'q':
		t->quiet = true;
		return 0;
	case 'y':
		t->yes = true;
		return 0;
	case 'x':
		t->force = true;
		return 0;
	case 'l':
		t->lazy = true;
		return 0;
	case 'd':
		t->direct = true;
		return 0;
	case 'C':
		t->chain = true;
		return 0;
	case 'o':
		t->one_buffer = true;
		return 0;
	case 'u':
		t->unsafe = true;
		return 0;
	case 'b':
		t->backing = s;
		return 0;
	case 'c':
		return size(name, s, &t->cluster_bytes, e);
	case 'B':
		return size(name, s, &t->block_bytes, e);
	case 'V':
		return number(name, s, 3, &t->version, e);
	case 'm':
		return number(name, s, 64, &t->threads, e);
	case 'D':
		return number(name, s, 1024, &t->depth, e);
	case 'T':
		return number(name, s, 3600, &t->seconds, e);
	default:
		return set_word(t, letter, name, s, e);
	}
}

/* 1: help was wanted and given. */
static int parse(struct tool *t, const struct tool_verb *v, int argc, char **argv, struct err *e)
{
	int letter, r = 0;

	/* An error is told as the user wants errors to be told, wherever that option stands. */
	for (int i = 1; i < argc; i++)
		t->json |= strcmp(argv[i], "--json") == 0;
	opterr = 0;
	while (r == 0 && (letter = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (letter == ':')
			return err_set(e, -EINVAL, "%s wants a value", argv[optind - 1]);
		if (letter == '?')
			return err_set(e, -EINVAL,
				       "there is no option '%.60s' (lodge disk %s --help)",
				       argv[optind - 1], v->name);
		if (letter == 'h') {
			help_verb(v);
			return 1;
		}
		if (strchr(v->options, letter) == NULL && strchr(FOR_ALL, letter) == NULL)
			return err_set(e, -EINVAL, "%s does not take --%s", v->name,
				       option_of(letter)->name);
		r = set_option(t, letter, optarg, e);
	}
	for (; r == 0 && optind < argc; optind++) {
		if (t->n_args == v->max_args)
			return err_set(e, -EINVAL, "too many arguments: '%.60s' (lodge disk %s %s)",
				       argv[optind], v->name, v->args);
		t->arg[t->n_args++] = argv[optind];
	}
	if (r == 0 && t->n_args < v->min_args)
		return err_set(e, -EINVAL, "arguments are missing: lodge disk %s %s", v->name,
			       v->args);
	return r;
}

/* ---- what commands share ---- */

int tool_open(const struct tool *t, const char *path, struct image_options *o, struct blk **ret_blk,
	      struct err *e)
{
	char who[160];
	int r;

	o->format = t->format;
	r = image_open(path, o, ret_blk, e);
	if (r == -EBUSY && tool_holder(path, who, sizeof(who)))
		return err_set(e, r, "cannot open '%.100s': it is in use by %s", path, who);
	return r;
}

int tool_confirm(const struct tool *t, const char *what, struct err *e)
{
	char answer[16] = "";

	if (t->yes)
		return 0;
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return err_set(e, -EINVAL, "%s: --yes says that it is meant", what);
	fprintf(stderr, "%s. Go on? [y/N] ", what);
	if (fgets(answer, sizeof(answer), stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y'))
		return 0;
	return err_set(e, -EINVAL, "nothing was done");
}

int main(int argc, char **argv)
{
	struct tool t = { .compress = -1 };
	struct err e = { 0 };
	const struct tool_verb *v = tool_verbs;
	int r;

	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
		help();
		return argc < 2 ? TOOL_USAGE : TOOL_OK;
	}
	while (v->name != NULL && strcmp(v->name, argv[1]) != 0)
		v++;
	if (v->name == NULL) {
		err_set(&e, -EINVAL, "there is no command '%.40s' (lodge disk help)", argv[1]);
		return report(&t, -EINVAL, &e);
	}
	r = parse(&t, v, argc - 1, argv + 1, &e);
	if (r == 1)
		return TOOL_OK;
	if (r == 0)
		r = v->run(&t, &e);
	if (r < 0)
		return report(&t, r, &e);
	/* A result that did not arrive is no result. */
	return fflush(stdout) != 0 ? TOOL_FAILED : r;
}
