/* lodge-disk: the tables of commands and options, and the help made of them; see tool.h. */
#include <string.h>
#include "base/util.h"
#include "devmodel/storage/tool/tool.h"

/* Letters stand for long options here only; those before the bar belong to every command. */
#define FOR_ALL "jqyh"

const struct option tool_options[] = {
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
	{ 'O', "FORMAT", "format of what is made: raw (.raw, .img), qcow2 (other names)" },
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

const struct option *tool_option(int letter)
{
	const struct option *o = tool_options;

	while (o->val != letter)
		o++;
	return o;
}

bool tool_takes(const struct tool_verb *v, int letter)
{
	return strchr(v->options, letter) != NULL || strchr(FOR_ALL, letter) != NULL;
}

/* ---- help ---- */

void tool_help_verb(const struct tool_verb *v)
{
	printf("lodge disk %s %s\n  %s\n\n", v->name, v->args, v->help);
	for (size_t i = 0; i < HV_ARRAY_LEN(option_help); i++) {
		const char letter = option_help[i].letter;
		char text[40];
		if (!tool_takes(v, letter))
			continue;
		snprintf(text, sizeof(text), "--%s %s", tool_option(letter)->name,
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

/* ---- the manual page ---- */

/* Text of ours for troff: a hyphen is one. None has a backslash, or begins a request. */
static void troff(const char *text)
{
	for (; *text != '\0'; text++)
		printf(*text == '-' ? "\\-" : "%c", *text);
}

static void troff_options(const char *letters)
{
	for (size_t i = 0; i < HV_ARRAY_LEN(option_help); i++) {
		const char *value = option_help[i].value;
		if (strchr(letters, option_help[i].letter) == NULL)
			continue;
		printf(".TP\n\\fB\\-\\-");
		troff(tool_option(option_help[i].letter)->name);
		printf("\\fR%s\\fI%s\\fR\n", value ? " " : "", value ? value : "");
		troff(option_help[i].help);
		putchar('\n');
	}
}

static void man_page(void)
{
	printf(".TH LODGE-DISK 1 \"\" \"Lodge %s\"\n.SH NAME\n"
	       "lodge\\-disk \\- disk images of VMs that do not run\n.SH SYNOPSIS\n"
	       ".B lodge disk\n.I VERB\n[\\fIOPTION\\fR...] [\\fIARGUMENT\\fR...]\n.SH VERBS\n",
	       LODGE_VERSION);
	for (const struct tool_verb *v = tool_verbs; v->name != NULL; v++) {
		printf(".SS %s %s\n", v->name, v->args);
		troff(v->help);
		putchar('\n');
		troff_options(v->options);
	}
	printf(".SH OPTIONS OF EVERY VERB\n");
	troff_options(FOR_ALL);
	printf(".SH EXIT STATUS\n"
	       "0 done, 1 failed, 2 bad usage, value or image, 3 no such file, 4 in use or there "
	       "already,\n5 this host cannot. check: 1 if there are errors in the image.\n"
	       ".SH SEE ALSO\nlodge(1), lodge\\-json(7)\n");
}

void tool_help(bool as_man_page)
{
	if (as_man_page)
		man_page();
	else
		help();
}
