/*
 * Whether snapshots are whole, see verify.h. A state has checksums over all that is in it. Disks
 * have none: the tables of each layer are checked as by `lodge disk check`, and the data read,
 * which shows what the host cannot read any more. Layers that snapshots share are looked at once.
 */
#include "vm/verify.h"
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "base/util.h"
#include "devmodel/storage/image.h"
#include "protocol/snapshots.h"
#include "state/container.h"
#include "vm/home.h"
#include "vm/layers.h"
#include "vm/progress.h"

#define READ_BYTES HV_MIB(1)

struct verify {
	const char *id; /* of the snapshot that is looked at */
	bool whole;
	GHashTable *seen; /* path to its struct layer */
	struct progress p;
};

/* An image of a disk's chain, as it was found. */
struct layer {
	char *damage; /* NULL: none */
	char *below;  /* path of what it is based on; NULL: nothing, or it cannot be told */
	enum image_format below_format;
};

/* On one line, whatever is in the names of files. */
static void say(struct verify *v, const char *what)
{
	g_autofree char *line = g_strdup(what);

	for (char *p = line; *p != '\0'; p++)
		if (g_ascii_iscntrl(*p))
			*p = '?';
	printf("%s %s\n", v->id, line);
	v->whole = false;
}

/* A guess that is near: what snapshots share is in disks/, others' images are not counted. */
static uint64_t all_bytes(GPtrArray *ids)
{
	g_autoptr(GDir) dir = g_dir_open("disks", 0, NULL);
	const char *name;
	uint64_t n = 0;

	while (dir && (name = g_dir_read_name(dir)) != NULL) {
		g_autofree char *path = g_build_filename("disks", name, NULL);
		n += layer_disk_bytes(path);
	}
	for (guint i = 0; i < ids->len; i++) {
		g_autofree char *path = lodge_snapshot_path(".", ids->pdata[i], "state");
		n += layer_disk_bytes(path);
	}
	return n;
}

/* ---- the state ---- */

static void check_state(struct verify *v, bool needed)
{
	g_autofree char *path = lodge_snapshot_path(".", v->id, "state");
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	struct state_file *f = NULL;
	struct err e;
	int r = 0;

	if (fd < 0 && errno == ENOENT && !needed)
		return;
	if (fd < 0)
		r = err_set(&e, -errno, "cannot open: %s", strerror(errno));
	if (r == 0)
		r = state_file_open(fd, &f, &e);
	if (r == 0)
		r = state_file_verify(f, fd, &e);
	state_file_close(f);
	progress_show(&v->p, layer_disk_bytes(path), 0);
	v->p.before += layer_disk_bytes(path);
	if (r < 0 && err_prefix(&e, "state") < 0)
		say(v, e.msg);
}

/* ---- layers ---- */

/* Of the image alone, not of what it is based on. */
static int read_data(struct verify *v, struct blk *b, struct err *e)
{
	auto_free uint8_t *buf = aligned_alloc(HV_PAGE_SIZE, READ_BYTES);
	uint64_t done = 0;
	int r = buf != NULL ? 0 : err_set(e, -ENOMEM, "out of memory");

	for (uint64_t at = 0, n; at < b->bytes && r == 0; at += n) {
		struct blk_extent x = { .kind = BLK_EXTENT_DATA, .bytes = b->bytes - at };
		if (b->ops->map != NULL)
			r = b->ops->map(b, at, x.bytes, &x);
		n = x.bytes;
		if (r == 0 && (x.kind == BLK_EXTENT_DATA || x.kind == BLK_EXTENT_COMPRESSED)) {
			n = hv_min_u64(n, READ_BYTES);
			r = blk_run(b, BLK_READ, at, buf, n);
			progress_show(&v->p, done += n, 0);
		}
		if (r < 0)
			err_set(e, r, "cannot read %llu bytes at %llu: %s", (unsigned long long)n,
				(unsigned long long)at, strerror(-r));
	}
	return r;
}

static int check_tables(const char *path, struct err *e)
{
	const struct image_options o = { .format = IMAGE_FORMAT_QCOW2,
					 .read_only = true,
					 .for_check = true };
	struct qcow2_check c;
	struct blk *b;
	int r = image_open(path, &o, &b, e);

	if (r < 0)
		return r;
	r = qcow2_check(b, false, &c, e);
	blk_close(b);
	if (r == 0 && c.errors > 0)
		r = err_set(e, -EBADMSG, "%llu errors; the first: %s", (unsigned long long)c.errors,
			    c.first);
	return r;
}

static int find_below(const char *path, const struct blk *b, struct layer *l, struct err *e)
{
	const struct qcow2_info *q = qcow2_info(b);
	auto_free char *below = q->backing_file[0] != '\0'
					? image_backing_path(path, q->backing_file)
					: NULL;

	if (below == NULL)
		return 0;
	if (image_format_parse(q->backing_format, &l->below_format) < 0)
		return err_set(e, -EBADMSG, "its backing file is of no known format");
	l->below = g_canonicalize_filename(below, NULL);
	return 0;
}

/* The image alone, not what it is based on. */
static int look_at(struct verify *v, const char *path, enum image_format format, struct layer *l,
		   struct err *e)
{
	const struct image_options o = { .format = format, .read_only = true, .no_backing = true };
	struct blk *b;
	int r = image_open(path, &o, &b, e);

	if (r < 0)
		return r;
	if (qcow2_is(b)) {
		r = find_below(path, b, l, e);
		if (r == 0)
			r = check_tables(path, e);
	}
	if (r == 0)
		r = read_data(v, b, e);
	blk_close(b);
	return r;
}

static const struct layer *layer_at(struct verify *v, const char *path, enum image_format format)
{
	struct layer *l = g_hash_table_lookup(v->seen, path);
	g_autofree char *here = g_get_current_dir();
	const size_t n = strlen(here);
	struct err e;

	if (l)
		return l;
	l = g_new0(struct layer, 1);
	if (look_at(v, path, format, l, &e) < 0) {
		const bool ours = strncmp(path, here, n) == 0 && path[n] == '/';
		err_prefix(&e, "'%.150s'", ours ? path + n + 1 : path);
		l->damage = g_strdup(e.msg);
	}
	g_hash_table_insert(v->seen, g_strdup(path), l);
	v->p.before += layer_disk_bytes(path);
	return l;
}

static void free_layer(gpointer data)
{
	struct layer *l = data;

	g_free(l->damage);
	g_free(l->below);
	g_free(l);
}

static void check_disk(struct verify *v, const struct vm_disk_config *d)
{
	g_autofree char *path = g_canonicalize_filename(d->file, NULL);
	enum image_format format = IMAGE_FORMAT_AUTO;
	bool whole = true;
	struct blk *b;
	struct err e;

	if (d->format && image_format_parse(d->format, &format) < 0)
		format = IMAGE_FORMAT_AUTO;
	for (unsigned n = 0; path && n < IMAGE_MAX_CHAIN; n++) {
		const struct layer *l = layer_at(v, path, format);
		if (l->damage)
			say(v, l->damage);
		whole &= l->damage == NULL;
		format = l->below_format;
		g_free(path);
		path = g_strdup(l->below);
	}
	if (!whole)
		return;
	/* As a start does it. */
	if (layer_open(d, &b, &e) < 0)
		say(v, e.msg);
	else
		blk_close(b);
}

/* ---- snapshots ---- */

static void check_one(struct verify *v, const char *id)
{
	g_autofree char *path = lodge_snapshot_path(".", id, NULL);
	g_autoptr(GError) error = NULL;
	g_autoptr(lodge_snapshot_owned) s = lodge_snapshot_read(".", id, &error);
	struct vm_config c;
	struct err e;

	v->id = id;
	v->whole = true;
	if (!s)
		say(v, error->message);
	check_state(v, s && s->needs_state);
	vm_config_init(&c);
	if (vm_home_settings(path, true, &c, &e) < 0)
		say(v, e.msg);
	for (unsigned i = 0; i < c.n_disks; i++)
		if (vm_disk_has_file(&c.disk[i]))
			check_disk(v, &c.disk[i]);
	vm_config_finish(&c);
	if (v->whole)
		printf("%s\n", id);
}

void snapshot_verify(const char *id, int progress_fd)
{
	struct verify v = { .seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
							  free_layer),
			    .p = { .fd = progress_fd, .shown = -1 } };
	g_autoptr(GPtrArray) ids = id ? g_ptr_array_new() : lodge_snapshot_ids(".");

	log_set_level(LOG_LVL_ERROR); /* what is wrong in an image comes as an error, too */
	if (id)
		g_ptr_array_add(ids, (char *)(uintptr_t)id);
	v.p.all = all_bytes(ids);
	for (guint i = 0; i < ids->len; i++)
		check_one(&v, ids->pdata[i]);
	progress_end(&v.p);
	g_hash_table_destroy(v.seen);
}
