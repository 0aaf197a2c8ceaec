/* See layers.h. */
#include "vm/layers.h"
#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "devmodel/storage/image.h"
#include "devmodel/storage/image_merge.h"
#include "protocol/snapshots.h"

#define LAYERS_SPARE 8u /* the user's own images below, and what a start may need */

bool layer_wanted(const struct vm_disk_config *d)
{
	return !d->cdrom && d->keep && !d->read_only && vm_disk_has_file(d);
}

char *layer_name(const struct vm_disk_config *d, const char *id)
{
	return g_strdup_printf("disks/%s-%s.qcow2", d->name, id);
}

uint64_t layer_disk_bytes(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

int layer_open(const struct vm_disk_config *d, struct blk **ret_blk, struct err *e)
{
	struct image_options o = { .read_only = true };

	if (d->format && image_format_parse(d->format, &o.format) < 0)
		o.format = IMAGE_FORMAT_AUTO;
	return image_open(d->file, &o, ret_blk, e);
}

static int look(const struct vm_disk_config *d, uint64_t *ret_bytes, enum image_format *ret_format,
		struct err *e)
{
	struct blk *b;
	const int r = layer_open(d, &b, e);

	if (r < 0)
		return r;
	*ret_bytes = b->bytes;
	*ret_format = image_format_of(b);
	blk_close(b);
	return 0;
}

/* By where it is, whatever links lead there. */
char *layer_own_name(const char *file)
{
	auto_free char *whole = realpath(file, NULL), *here = realpath(".", NULL);
	const size_t n = here ? strlen(here) : 0;

	return whole && here && strncmp(whole, here, n) == 0 && whole[n] == '/'
		       ? g_strdup(whole + n + 1)
		       : g_strdup(file);
}

/* As the new image names what is below: beside it, or by its whole path. */
static char *below_name(const char *in, const char *file)
{
	g_autofree char *own = layer_own_name(file);

	if (in[0] == '\0' && g_str_has_prefix(own, "disks/") && !strchr(own + 6, '/'))
		return g_strdup(own + 6);
	return g_canonicalize_filename(file, NULL);
}

int layer_create(const char *in, const char *path, const struct vm_disk_config *d, uint64_t bytes,
		 struct err *e)
{
	g_autofree char *below = below_name(in, d->file), *whole = g_build_filename(in, path, NULL);
	enum image_format format = IMAGE_FORMAT_RAW;
	int r = 0;

	if (bytes == 0)
		r = look(d, &bytes, &format, e);
	else if (!d->format || image_format_parse(d->format, &format) < 0 ||
		 format == IMAGE_FORMAT_AUTO)
		return err_set(e, -EINVAL,
			       "disk.%s.format is not set: say raw or qcow2, so that a snapshot "
			       "does not have to guess",
			       d->name);
	if (r < 0)
		return r;
	const struct image_create c = { .format = IMAGE_FORMAT_QCOW2,
					.q = { .bytes = bytes,
					       .backing_file = below,
					       .backing_format = image_format_name(format) } };

	return image_create(in[0] ? whole : path, &c, e);
}

/* A name that layer_name() gives: not one with a date, such as root-202612312359.qcow2. */
static bool is_ours(const char *name)
{
	const char *dash = strrchr(name, '-');

	return dash && strlen(dash) == 1 + 12 + strlen(".qcow2") &&
	       strspn(dash + 1, "0123456789abcdef") == 12 && strspn(dash + 1, "0123456789") < 12 &&
	       g_str_has_suffix(name, ".qcow2");
}

/* In the worst case all are of one chain. */
int layers_check_room(struct err *e)
{
	g_autoptr(GDir) dir = g_dir_open("disks", 0, NULL);
	const char *name;
	unsigned n = 0;

	while (dir && (name = g_dir_read_name(dir)) != NULL)
		n += is_ours(name);
	return n + LAYERS_SPARE < IMAGE_MAX_CHAIN
		       ? 0
		       : err_set(e, -ENOSPC,
				 "there are %u layers of disks, which is as many as can be opened: "
				 "delete snapshots",
				 n);
}

/* ---- what is needed no more ---- */

struct layer {
	char *file;  /* "disks/root-0123.qcow2" */
	char *below; /* the same of what it is based on; NULL: nothing in disks/ */
	bool qcow2, ours, needed;
	unsigned n_above;
	struct layer *above; /* the last one */
};

static void free_layer(gpointer data)
{
	struct layer *l = data;

	g_free(l->file);
	g_free(l->below);
	g_free(l);
}

char *layer_below(const char *backing_file)
{
	return backing_file[0] != '\0' && !strchr(backing_file, '/')
		       ? g_build_filename("disks", backing_file, NULL)
		       : NULL;
}

static int read_layer(const char *name, GHashTable *open, GPtrArray *all, struct err *e)
{
	const struct image_options o = { .format = IMAGE_FORMAT_QCOW2,
					 .read_only = true,
					 .no_backing = true };
	struct layer *l = g_new0(struct layer, 1);
	const char *below;
	struct blk *b;
	int r;

	g_ptr_array_add(all, l);
	l->file = g_build_filename("disks", name, NULL);
	l->ours = is_ours(name);
	below = open ? g_hash_table_lookup(open, l->file) : NULL;
	if (below) {
		l->qcow2 = true;
		l->below = below[0] != '\0' ? g_strdup(below) : NULL;
		return 0;
	}
	if (!g_str_has_suffix(name, ".qcow2"))
		return 0;
	r = image_open(l->file, &o, &b, e); /* it may be based on any of the others */
	if (r < 0)
		return err_prefix(e, "cannot tell which layers are needed");
	l->qcow2 = true;
	l->below = layer_below(qcow2_info(b)->backing_file);
	blk_close(b);
	return 0;
}

static struct layer *find(GPtrArray *all, const char *file)
{
	for (guint i = 0; i < all->len; i++)
		if (strcmp(((struct layer *)all->pdata[i])->file, file) == 0)
			return all->pdata[i];
	return NULL;
}

/* Each disk that these settings have. */
static int need(GPtrArray *all, const char *dir, struct err *e)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GKeyFile) ini = lodge_ini_load(dir, &error);
	g_autoptr(GPtrArray) settings = ini ? lodge_ini_settings(ini) : NULL;

	if (!ini)
		return err_set(e, -EIO, "%s", error->message);
	for (guint i = 0; i < settings->len; i++) {
		const char *file = strstr(settings->pdata[i], ".file=");
		g_autofree char *name = file ? layer_own_name(file + strlen(".file=")) : NULL;
		struct layer *l = name ? find(all, name) : NULL;
		if (l)
			l->needed = true;
	}
	return 0;
}

static int read_all(GHashTable *open, GPtrArray *all, struct err *e)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) snapshots = lodge_snapshots(".", &error);
	g_autoptr(GDir) dir = g_dir_open("disks", 0, NULL);
	const char *name;
	int r = 0;

	if (!snapshots)
		return err_set(e, -EIO, "%s", error->message);
	while (r == 0 && dir && (name = g_dir_read_name(dir)) != NULL)
		r = read_layer(name, open, all, e);
	if (r < 0)
		return r;
	for (guint i = 0; i < all->len; i++) {
		struct layer *l = all->pdata[i], *below = l->below ? find(all, l->below) : NULL;
		if (!below)
			continue;
		below->n_above++;
		below->above = l;
	}
	r = need(all, ".", e);
	for (guint i = 0; i < snapshots->len && r == 0; i++) {
		const struct lodge_snapshot *s = snapshots->pdata[i];
		g_autofree char *path = lodge_snapshot_path(".", s->id, NULL);
		r = need(all, path, e);
	}
	return r;
}

/* Whichever is less work; what is left has the name of the one above, which others know. */
static int merge(const struct layer *below, const struct layer *above, struct err *e)
{
	const bool down = below->qcow2 &&
			  layer_disk_bytes(below->file) > layer_disk_bytes(above->file);
	const struct image_options o = { .format = IMAGE_FORMAT_QCOW2, .backing_writable = down };
	struct image_merge m = { 0 };
	struct blk *top, *rest;
	int r = image_open(above->file, &o, &top, e);

	if (r < 0)
		return r;
	r = image_merge_begin(&m, top, down ? IMAGE_MERGE_DOWN : IMAGE_MERGE_UP, e);
	if (r == 0)
		do
			r = image_merge_step(&m, e);
		while (r > 0);
	if (r == 0)
		r = image_merge_finish(&m, &rest, e);
	if (r < 0) {
		blk_close(top);
		return r;
	}
	blk_close(rest);
	r = down ? rename(below->file, above->file) : unlink(below->file);
	lodge_folder_sync("disks");
	return r < 0 ? err_set(e, -errno, "cannot remove '%s': %s", below->file, strerror(errno))
		     : 0;
}

static bool is_spare(const struct layer *l)
{
	return !l->needed && ((l->n_above == 0 && l->ours) || (l->n_above == 1 && l->qcow2));
}

static const struct layer *first_spare(GPtrArray *all)
{
	for (guint i = 0; i < all->len; i++)
		if (is_spare(all->pdata[i]))
			return all->pdata[i];
	return NULL;
}

/* 1: something was done, and more may be to be done. What is needed is asked under the settings'
 * lock, since an import makes a snapshot of layers that were not needed before. */
static int tidy_one(struct err *e)
{
	g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(free_layer);
	g_autoptr(GError) error = NULL;
	auto_close int lock = lodge_ini_lock(".", &error);
	int r = lock >= 0 ? read_all(NULL, all, e) : err_set(e, -EIO, "%s", error->message);
	const struct layer *l = r == 0 ? first_spare(all) : NULL;

	if (!l)
		return r;
	if (l->n_above == 0)
		return unlink(l->file) == 0 ? 1
					    : err_set(e, -errno, "cannot remove '%s': %s", l->file,
						      strerror(errno));
	close(lock); /* merging takes its time, and what has a layer above is no import's */
	lock = -1;
	r = merge(l, l->above, e);
	return r < 0 ? r : 1;
}

int layers_tidy(struct err *e)
{
	int r;

	do
		r = tidy_one(e);
	while (r > 0);
	return r;
}

static void free_pair(gpointer data)
{
	struct layer_pair *p = data;

	g_free(p->below);
	g_free(p->above);
	g_free(p);
}

GPtrArray *layers_spare(GHashTable *open, struct err *e)
{
	g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(free_layer);
	g_autoptr(GPtrArray) pairs = g_ptr_array_new_with_free_func(free_pair);

	if (read_all(open, all, e) < 0)
		return NULL;
	for (guint i = 0; i < all->len; i++) {
		const struct layer *l = all->pdata[i];
		if (!is_spare(l) || l->n_above == 0)
			continue;
		struct layer_pair *p = g_new(struct layer_pair, 1);
		*p = (struct layer_pair){ g_strdup(l->file), g_strdup(l->above->file) };
		g_ptr_array_add(pairs, p);
	}
	return g_steal_pointer(&pairs);
}
