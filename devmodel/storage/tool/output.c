/* Sizes, progress and JSON of lodge-disk; see tool.h. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/util.h"
#include "devmodel/storage/tool/tool.h"

static const char units[] = "KMGTPE";

int tool_parse_size(const char *s, uint64_t *ret_bytes)
{
	char *end;
	const double v = strtod(s, &end);
	double unit = 1;

	if (end == s || !(v >= 0))
		return -EINVAL;
	if (*end != '\0') {
		const char *u = strchr(units, *end);
		if (u == NULL || end[1] != '\0')
			return -EINVAL;
		for (; u >= units; u--)
			unit *= 1024;
	}
	if (v * unit >= 0x1p62 || v * unit != floor(v * unit))
		return -EINVAL;
	*ret_bytes = (uint64_t)(v * unit);
	return 0;
}

const char *tool_size(uint64_t bytes, char *buf, size_t n)
{
	double v = (double)bytes;
	int unit = -1;

	for (; v >= 1024 && units[unit + 1] != '\0'; unit++)
		v /= 1024;
	if (unit < 0)
		snprintf(buf, n, "%llu bytes", (unsigned long long)bytes);
	else
		snprintf(buf, n, "%.3g %ciB", v, units[unit]);
	return buf;
}

void tool_progress(const struct tool *t, uint64_t done, uint64_t all)
{
	static int shown = -1;
	const int percent = all > 0 ? (int)(done * 100.0 / all) : 100;

	if (t->quiet || t->json || !isatty(STDERR_FILENO) ||
	    __atomic_exchange_n(&shown, percent, __ATOMIC_RELAXED) == percent)
		return;
	fprintf(stderr, "\r%3d %%", percent);
}

void tool_progress_end(const struct tool *t)
{
	if (!t->quiet && !t->json && isatty(STDERR_FILENO))
		fprintf(stderr, "\r     \r");
}

/* ---- JSON ---- */

/* Bytes of the character that p begins with, in UTF-8; 0: it is none. */
static unsigned utf8_bytes(const unsigned char *p)
{
	/* The second byte's range keeps out what is too long, no character, or beyond the last. */
	const unsigned char least = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
	const unsigned char most = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
	const unsigned n = p[0] < 0x80	 ? 1
			   : p[0] < 0xc2 ? 0
			   : p[0] < 0xe0 ? 2
			   : p[0] < 0xf0 ? 3
			   : p[0] < 0xf5 ? 4
					 : 0;

	if (n > 1 && (p[1] < least || p[1] > most))
		return 0;
	for (unsigned i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* A file's name may be any bytes; JSON is UTF-8. */
static void quoted(FILE *f, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	fputc('"', f);
	for (unsigned n; *p != '\0'; p += n > 0 ? n : 1) {
		n = utf8_bytes(p);
		if (n == 0)
			fputs("\\ufffd", f);
		else if (*p == '"' || *p == '\\')
			fprintf(f, "\\%c", *p);
		else if (*p < 32 || *p == 127)
			fprintf(f, "\\u%04x", *p);
		else
			fwrite(p, 1, n, f);
	}
	fputc('"', f);
}

static void begin(struct tool_json *j, const char *name)
{
	if (j->more)
		fputc(',', j->f);
	j->more = true;
	if (name != NULL) {
		quoted(j->f, name);
		fputc(':', j->f);
	}
}

void json_open(struct tool_json *j, const char *name, char bracket)
{
	begin(j, name);
	fputc(bracket, j->f);
	j->more = false;
}

void json_close(struct tool_json *j, char bracket)
{
	fputc(bracket, j->f);
	j->more = true;
}

void json_text(struct tool_json *j, const char *name, const char *v)
{
	begin(j, name);
	if (v != NULL)
		quoted(j->f, v);
	else
		fputs("null", j->f);
}

void json_number(struct tool_json *j, const char *name, uint64_t v)
{
	begin(j, name);
	fprintf(j->f, "%llu", (unsigned long long)v);
}

void json_bool(struct tool_json *j, const char *name, bool v)
{
	begin(j, name);
	fputs(v ? "true" : "false", j->f);
}

void json_end(struct tool_json *j)
{
	fputc('\n', j->f);
}
