/* See base.h. */
#include "vm/base.h"
#include <errno.h>
#include <string.h>
#include "base/log.h"
#include "devmodel/storage/image.h"
#include "protocol/seen.h"
#include "protocol/snapshots.h"
#include "vm/layers.h"

/* ---- where it was ---- */

/* What an image in disks/ is based on, as it names it; NULL: nothing, or it cannot be read. */
static char *backing_of(const char *file)
{
	const struct image_options o = { .format = IMAGE_FORMAT_QCOW2,
					 .read_only = true,
					 .no_backing = true };
	char *backing = NULL;
	struct blk *b;

	if (!g_str_has_suffix(file, ".qcow2") || image_open(file, &o, &b, NULL) < 0)
		return NULL;
	if (qcow2_info(b)->backing_file[0] != '\0')
		backing = g_strdup(qcow2_info(b)->backing_file);
	blk_close(b);
	return backing;
}

/* The image elsewhere that the disk's layers are on; NULL: none. */
static char *disk_base(const struct vm_disk_config *d)
{
	char *file = layer_wanted(d) ? layer_own_name(d->file) : NULL;

	for (unsigned n = 0; file && n < IMAGE_MAX_CHAIN; n++) {
		g_autofree char *backing = backing_of(file);
		g_free(file);
		if (backing && g_path_is_absolute(backing))
			return g_steal_pointer(&backing);
		file = backing ? layer_below(backing) : NULL;
	}
	g_free(file);
	return NULL;
}

/* The VM's folder of ".../disks/NAME" or ".../snapshots/ID/state"; NULL: it is no such path. */
static char *folder_of(const char *path)
{
	g_autofree char *one = g_path_get_dirname(path), *two = g_path_get_dirname(one);

	if (g_str_has_suffix(one, "/disks"))
		return g_steal_pointer(&two);
	return g_str_has_suffix(two, "/snapshots") ? g_path_get_dirname(two) : NULL;
}

/* ---- where it is ---- */

/* The same file there; NULL: it is not the base's, or is not there. */
static char *moved(const char *file, const char *from, const char *to)
{
	const size_t n = strlen(from);
	g_autofree char *now = NULL;

	if (strncmp(file, from, n) != 0 || file[n] != '/')
		return NULL;
	now = g_build_filename(to, file + n, NULL);
	return g_file_test(now, G_FILE_TEST_IS_REGULAR) ? g_steal_pointer(&now) : NULL;
}

static int move_layer(const char *file, const char *from, const char *to, struct err *e)
{
	const struct image_options o = { .format = IMAGE_FORMAT_QCOW2, .no_backing = true };
	g_autofree char *backing = backing_of(file), *format = NULL;
	g_autofree char *now = backing ? moved(backing, from, to) : NULL;
	struct blk *b;
	int r;

	if (!now)
		return 0;
	r = image_open(file, &o, &b, e);
	if (r < 0)
		return r;
	format = g_strdup(qcow2_info(b)->backing_format);
	r = qcow2_name_backing(b, now, format, e);
	blk_close(b);
	return r;
}

/* Those of snapshots, too. */
static int move_layers(const char *from, const char *to, struct err *e)
{
	g_autoptr(GDir) dir = g_dir_open("disks", 0, NULL);
	const char *name;
	int r = 0;

	while (r == 0 && dir && (name = g_dir_read_name(dir)) != NULL) {
		g_autofree char *file = g_build_filename("disks", name, NULL);
		r = move_layer(file, from, to, e);
	}
	return r;
}

static int move_state(const struct vm_home *h, struct vm_config *c, const char *from,
		      const char *to, struct err *e)
{
	g_autofree char *now = h->suspended ? moved(c->state, from, to) : NULL;
	g_autoptr(GError) error = NULL;

	if (!now)
		return 0;
	if (!lodge_file_replace(VM_HOME_SUSPENDED "/" VM_HOME_SUSPENDED_FROM, now, strlen(now),
				&error))
		return vm_home_error(e, error);
	g_free(c->state);
	c->state = g_steal_pointer(&now);
	return 0;
}

/* Where the fork is, it is looked for when the base, or a snapshot of it, is to be taken away. */
static void note_place(const struct vm_home *h, const struct vm_config *c, const char *base)
{
	g_autoptr(GError) error = NULL;

	if (!lodge_snapshots_note_place(base, c->id, h->dir, &error))
		log_msg(LOG_LVL_WARN, "home",
			"the VM in '%s', which it is based on, does not know where it is: %s", base,
			error->message);
}

/* file: of the base, as it was. */
static int settle(const struct vm_home *h, struct vm_config *c, const char *file, struct err *e)
{
	g_autofree char *from = folder_of(file), *to = NULL;
	int r;

	if (!from)
		return 0;
	if (lodge_snapshots_base(from, c->id)) {
		note_place(h, c, from);
		return 0;
	}
	to = lodge_snapshots_find_base(c->id, from);
	if (!to && g_file_test(file, G_FILE_TEST_EXISTS))
		return 0;
	if (!to)
		return err_set(e, -ENOENT,
			       "it is based on the VM that was in '%s' and is not found: move that "
			       "back, or into the library, and start it once",
			       from);
	log_msg(LOG_LVL_INFO, "home", "what it is based on was moved from '%s' to '%s'", from, to);
	lodge_seen_no_disks(h->dir);
	note_place(h, c, to);
	r = move_layers(from, to, e);
	return r == 0 ? move_state(h, c, from, to, e) : r;
}

/* Each file by itself: it may have been killed after some of them. */
int base_settle(const struct vm_home *h, struct vm_config *c, struct err *e)
{
	int r = 0;

	if (!h->dir || h->read_only || !c->id)
		return 0;
	for (unsigned i = 0; i < c->n_disks && r == 0; i++) {
		g_autofree char *file = disk_base(&c->disk[i]);
		r = file ? settle(h, c, file, e) : 0;
	}
	if (r == 0 && h->suspended && g_path_is_absolute(c->state)) {
		g_autofree char *file = g_strdup(c->state);
		r = settle(h, c, file, e);
	}
	return r;
}
