/* lodge-disk: the command line, see tool.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/util.h"
#include "devmodel/storage/tool/tool.h"

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

/* What stands in brackets at the message's end; buf: as long as a message. */
static const char *hint_of(const char *msg, char *buf, size_t size)
{
	const char *open = strrchr(msg, '(');
	const size_t len = open != NULL ? strlen(open) : 0;

	if (len < 2 || open[len - 1] != ')')
		return NULL;
	snprintf(buf, size, "%.*s", (int)(len - 2), open + 1);
	return buf;
}

static int report(const struct tool *t, int r, const struct err *e)
{
	struct tool_json j = { .f = stderr };
	const int code = exit_code(r);
	char hint[sizeof(e->msg)];

	if (!t->json) {
		fprintf(stderr, "lodge disk: %s\n", e->msg);
		return code;
	}
	json_open(&j, NULL, '{');
	json_open(&j, "error", '{');
	json_text(&j, "code", code_name(code));
	json_text(&j, "message", e->msg);
	json_text(&j, "hint", hint_of(e->msg, hint, sizeof(hint)));
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
	const char *name = tool_option(letter)->name;

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

	opterr = 0;
	while (r == 0 && (letter = getopt_long(argc, argv, ":", tool_options, NULL)) != -1) {
		if (letter == ':')
			return err_set(e, -EINVAL, "%s wants a value", argv[optind - 1]);
		/* Within a short one it stands at the word itself, else behind it. */
		if (letter == '?')
			return err_set(e, -EINVAL,
				       "there is no option '%.60s' (lodge disk %s --help)",
				       argv[optind - 1][0] == '-' ? argv[optind - 1] : argv[optind],
				       v->name);
		if (letter == 'h') {
			tool_help_verb(v);
			return 1;
		}
		if (!tool_takes(v, letter))
			return err_set(e, -EINVAL, "%s does not take --%s", v->name,
				       tool_option(letter)->name);
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
		tool_help(argc > 2 && strcmp(argv[2], "man-page") == 0);
		return argc < 2 ? TOOL_USAGE : TOOL_OK;
	}
	/* An error is told as the user wants errors to be told, wherever that option stands. */
	for (int i = 2; i < argc; i++)
		t.json |= strcmp(argv[i], "--json") == 0;
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
