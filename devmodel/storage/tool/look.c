/* lodge-disk info, map, check, repair; see tool.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "base/util.h"
#include "devmodel/storage/tool/tool.h"

static const char *method_name(enum qcow2_compression m)
{
	return m == QCOW2_ZSTD ? "zstd" : "zlib";
}

/* ---- info ---- */

static uint64_t host_bytes(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

static void info_text(const char *path, const struct blk *b)
{
	const struct qcow2_info *q = qcow2_is(b) ? qcow2_info(b) : NULL;

	printf("file      %s\n", path);
	printf("format    %s\n", image_format_name(image_format_of(b)));
	printf("disk      %s (%llu bytes)\n", TOOL_SIZE(b->bytes), (unsigned long long)b->bytes);
	printf("on host   %s\n", TOOL_SIZE(host_bytes(path)));
	if (q == NULL)
		return;
	printf("qcow2     version %u, clusters of %s, counts of %u bits%s%s\n", q->version,
	       TOOL_SIZE(1ull << q->cluster_bits), q->refcount_bits,
	       q->lazy_refcounts ? ", lazy" : "", q->extended_l2 ? ", subclusters" : "");
	printf("packed by %s\n", method_name(q->compression));
	if (q->n_snapshots > 0)
		printf("snapshots %u\n", q->n_snapshots);
	if (q->backing_file[0] != '\0')
		printf("based on  %s (%s)\n", q->backing_file,
		       q->backing_format[0] != '\0' ? q->backing_format : "format not said");
	if (q->dirty)
		printf("dirty     it was not closed; the next writer counts its clusters anew\n");
	if (q->corrupt)
		printf("corrupt   lodge disk repair mends what it can\n");
}

static void info_json(struct tool_json *j, const char *path, const struct blk *b)
{
	const struct qcow2_info *q = qcow2_is(b) ? qcow2_info(b) : NULL;

	json_open(j, NULL, '{');
	json_text(j, "file", path);
	json_text(j, "format", image_format_name(image_format_of(b)));
	json_number(j, "disk-bytes", b->bytes);
	json_number(j, "host-bytes", host_bytes(path));
	if (q != NULL) {
		json_number(j, "version", q->version);
		json_number(j, "cluster-bytes", 1ull << q->cluster_bits);
		json_number(j, "refcount-bits", q->refcount_bits);
		json_text(j, "compression", method_name(q->compression));
		json_bool(j, "lazy-refcounts", q->lazy_refcounts);
		json_bool(j, "extended-l2", q->extended_l2);
		json_bool(j, "dirty", q->dirty);
		json_bool(j, "corrupt", q->corrupt);
		json_number(j, "snapshots", q->n_snapshots);
		json_text(j, "backing-file", q->backing_file[0] ? q->backing_file : NULL);
		json_text(j, "backing-format", q->backing_format[0] ? q->backing_format : NULL);
	}
	json_close(j, '}');
}

/* The image below b; ret_path NULL: there is none. */
static int go_down(const struct blk *b, const char *path, char **ret_path,
		   enum image_format *ret_format, struct err *e)
{
	const struct qcow2_info *q = qcow2_is(b) ? qcow2_info(b) : NULL;

	*ret_path = NULL;
	if (q == NULL || q->backing_file[0] == '\0')
		return 0;
	if (image_format_parse(q->backing_format, ret_format) < 0)
		return err_set(e, -EINVAL,
			       "the format of the backing file of '%.100s' is '%.20s', "
			       "which is not known here",
			       path, q->backing_format);
	*ret_path = image_backing_path(path, q->backing_file);
	return *ret_path != NULL ? 0 : err_set(e, -ENOMEM, "out of memory");
}

/* The n-th of a chain must be none of those before. */
static int check_new(const char *path, struct stat *seen, unsigned n, struct err *e)
{
	if (n == IMAGE_MAX_CHAIN)
		return err_set(e, -ELOOP, "more than %u images are based on each other", n);
	if (stat(path, &seen[n]) < 0)
		return err_set(e, -errno, "cannot open '%s': %s", path, strerror(errno));
	for (unsigned i = 0; i < n; i++)
		if (seen[i].st_dev == seen[n].st_dev && seen[i].st_ino == seen[n].st_ino)
			return err_set(e, -ELOOP, "'%.200s' is based on itself", path);
	return 0;
}

int cmd_info(const struct tool *t, struct err *e)
{
	static struct stat seen[IMAGE_MAX_CHAIN];
	struct tool_json j = { .f = stdout };
	struct tool each = *t;
	char *path = strdup(t->arg[0]);
	int r = path != NULL ? 0 : err_set(e, -ENOMEM, "out of memory");

	if (t->json && t->chain && r == 0)
		json_open(&j, NULL, '[');
	for (unsigned n = 0; r == 0 && path != NULL; n++) {
		struct image_options o = { .read_only = true, .for_check = true };
		struct blk *b = NULL;
		char *below = NULL;
		r = check_new(path, seen, n, e);
		if (r == 0)
			r = tool_open(&each, path, &o, &b, e);
		if (r < 0)
			break;
		if (!t->json && n > 0)
			putchar('\n');
		if (t->json)
			info_json(&j, path, b);
		else
			info_text(path, b);
		if (t->chain)
			r = go_down(b, path, &below, &each.format, e);
		blk_close(b);
		free(path);
		path = below;
	}
	free(path);
	if (t->json && t->chain)
		json_close(&j, ']');
	if (t->json)
		json_end(&j);
	return r;
}

/* ---- map ---- */

struct place {
	uint64_t start, bytes, host_off;
	unsigned depth; /* of the image that has it */
	enum blk_extent_kind kind;
};

static const char *kind_name(enum blk_extent_kind k)
{
	static const char *const names[] = { [BLK_EXTENT_DATA] = "data",
					     [BLK_EXTENT_COMPRESSED] = "compressed",
					     [BLK_EXTENT_ZERO] = "zero",
					     [BLK_EXTENT_BACKING] = "nothing" };

	return names[k];
}

static int look(struct blk *b, uint64_t off, uint64_t bytes, struct place *p)
{
	*p = (struct place){ .start = off, .kind = BLK_EXTENT_BACKING };
	for (;; b = b->backing, p->depth++) {
		struct blk_extent x;
		if (off >= b->bytes) {
			p->kind = BLK_EXTENT_ZERO;
			p->bytes = bytes;
			return 0;
		}
		bytes = hv_min_u64(bytes, b->bytes - off);
		x = (struct blk_extent){ .kind = BLK_EXTENT_DATA, .bytes = bytes, .host_off = off };
		const int r = b->ops->map != NULL ? b->ops->map(b, off, bytes, &x) : 0;
		if (r < 0)
			return r;
		bytes = p->bytes = x.bytes;
		if (x.kind == BLK_EXTENT_BACKING && b->backing != NULL)
			continue;
		p->kind = x.kind;
		p->host_off = x.host_off;
		return 0;
	}
}

static bool joins(const struct place *a, const struct place *b)
{
	return a->bytes > 0 && a->kind == b->kind && a->depth == b->depth &&
	       (a->kind != BLK_EXTENT_DATA || a->host_off + a->bytes == b->host_off);
}

static void show_place(const struct tool *t, struct tool_json *j, const struct place *p)
{
	if (p->bytes == 0)
		return;
	if (!t->json) {
		printf("%#14llx %#14llx  %-10s", (unsigned long long)p->start,
		       (unsigned long long)p->bytes, kind_name(p->kind));
		if (p->kind == BLK_EXTENT_DATA)
			printf(" %2u %#14llx\n", p->depth, (unsigned long long)p->host_off);
		else
			printf(" %2u\n", p->depth);
		return;
	}
	json_open(j, NULL, '{');
	json_number(j, "start", p->start);
	json_number(j, "bytes", p->bytes);
	json_text(j, "kind", kind_name(p->kind));
	json_number(j, "depth", p->depth);
	if (p->kind == BLK_EXTENT_DATA)
		json_number(j, "offset", p->host_off);
	json_close(j, '}');
}

int cmd_map(const struct tool *t, struct err *e)
{
	struct image_options o = { .read_only = true };
	struct tool_json j = { .f = stdout };
	struct place last = { 0 }, p;
	struct blk *b = NULL;
	int r = tool_open(t, t->arg[0], &o, &b, e);

	if (r < 0)
		return r;
	if (t->json)
		json_open(&j, NULL, '[');
	else
		printf("%14s %14s  %-10s %2s %14s\n", "start", "bytes", "what", "in", "at");
	for (uint64_t at = 0; at < b->bytes; at += p.bytes) {
		r = look(b, at, b->bytes - at, &p);
		if (r < 0) {
			err_set(e, r, "cannot read the tables of '%.100s': %s", t->arg[0],
				strerror(-r));
			break;
		}
		if (joins(&last, &p)) {
			last.bytes += p.bytes;
			continue;
		}
		show_place(t, &j, &last);
		last = p;
	}
	show_place(t, &j, &last);
	if (t->json) {
		json_close(&j, ']');
		json_end(&j);
	}
	blk_close(b);
	return r;
}

/* ---- check ---- */

static void show_check(const struct tool *t, const struct qcow2_check *c, bool repaired)
{
	struct tool_json j = { .f = stdout };

	if (t->json) {
		json_open(&j, NULL, '{');
		json_number(&j, "errors", c->errors);
		json_number(&j, "lost-clusters", c->leaks);
		json_bool(&j, "repaired", repaired);
		json_number(&j, "clusters", c->clusters);
		json_number(&j, "allocated-clusters", c->allocated);
		json_number(&j, "compressed-clusters", c->compressed);
		json_number(&j, "file-clusters", c->file_clusters);
		json_text(&j, "first-error", c->first[0] != '\0' ? c->first : NULL);
		json_close(&j, '}');
		json_end(&j);
		return;
	}
	if (c->errors > 0)
		printf("%llu errors; the first: %s\n", (unsigned long long)c->errors, c->first);
	if (c->leaks > 0)
		printf("%llu clusters of the file belong to nothing%s\n",
		       (unsigned long long)c->leaks,
		       repaired ? "" : " (lodge disk repair gives them back)");
	if (c->errors + c->leaks == 0)
		printf("the image is good\n");
	else if (repaired)
		printf("repaired\n");
	printf("%llu of %llu clusters have data, %llu of them compressed\n",
	       (unsigned long long)c->allocated, (unsigned long long)c->clusters,
	       (unsigned long long)c->compressed);
}

static int check(const struct tool *t, bool repair, struct err *e)
{
	struct image_options o = { .read_only = !repair, .for_check = true };
	struct qcow2_check c;
	struct blk *b = NULL;
	int r = tool_open(t, t->arg[0], &o, &b, e);

	if (r < 0)
		return r;
	log_set_level(LOG_LVL_ERROR);
	if (!qcow2_is(b))
		r = err_set(e, -EINVAL, "'%.100s' is raw: there is nothing in it to be wrong",
			    t->arg[0]);
	else
		r = qcow2_check(b, repair, &c, e);
	blk_close(b);
	if (r < 0)
		return r;
	show_check(t, &c, repair && c.errors + c.leaks > 0);
	return c.errors > 0 && !repair ? TOOL_FAILED : TOOL_OK;
}

int cmd_check(const struct tool *t, struct err *e)
{
	return check(t, false, e);
}

int cmd_repair(const struct tool *t, struct err *e)
{
	return check(t, true, e);
}
