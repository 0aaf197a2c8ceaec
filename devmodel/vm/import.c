/*
 * Making a snapshot of a file, which is hostile; see export.h. All is made under names that are
 * none (snapshots/.ID, disks/.ID) and checked there; then the disks get their names, which nobody
 * knows yet, and last the snapshot gets its own. The VM may run, start and end meanwhile: whoever
 * has its lock lets folders that are held be, and layers_tidy() sees either all of it or nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "devmodel/storage/image.h"
#include "devmodel/storage/io/file.h"
#include "devmodel/storage/pack/pack.h"
#include "protocol/protocol.h"
#include "protocol/snapshots.h"
#include "state/container.h"
#include "vm/export.h"
#include "vm/export_int.h"
#include "vm/home.h"
#include "vm/layers.h"
#include "vm/progress.h"
#include "vm/snapshot_int.h"

#define CLUSTER HV_KIB(64)

struct import {
	int fd;		   /* owned */
	struct pack *pack; /* owned */
	char *id, *temp, *disks;
	char *name;		   /* owned: what it will be called */
	int held_temp, held_disks; /* owned: of lodge_snapshots_hold() */
	struct vm_config c;	   /* its settings */
	struct progress p;
};

/* ---- settings ---- */

/* What names a file of the host goes, or is emptied where a drive would go with it. */
static void leave_out(GKeyFile *ini, const char *key, const char *value, GString *left)
{
	g_string_append_printf(left, "%s%s=%s", left->len > 0 ? ", " : "", key, value);
	lodge_ini_set(ini, key, g_str_has_prefix(key, "cdrom.") ? "" : NULL);
	if (g_str_has_prefix(key, "floppy.")) {
		g_autofree char *drive = g_strndup(key, strlen(key) - strlen("file"));
		g_autofree char *kind = g_strconcat(drive, "drive", NULL);
		g_autofree char *old = lodge_ini_get(ini, kind);
		if (!old)
			lodge_ini_set(ini, kind, "auto");
	}
}

static bool is_disk_file(const char *key)
{
	return g_str_has_prefix(key, "disk.") && g_str_has_suffix(key, ".file");
}

/* Disks are the file's own; everything else that is a path is not. */
static void leave_out_paths(GKeyFile *ini)
{
	g_autoptr(GPtrArray) all = lodge_ini_settings(ini);
	g_autoptr(GString) left = g_string_new(NULL);

	for (guint i = 0; i < all->len; i++) {
		char *key = all->pdata[i], *value = strchr(key, '=');
		*value++ = '\0';
		if (vm_config_is_path(key) && !is_disk_file(key) && value[0] != '\0' &&
		    strcmp(value, "none") != 0)
			leave_out(ini, key, value, left);
	}
	if (left->len > 0)
		fprintf(stderr,
			"lodge: left out, since they name what is on a host: %s (--with-paths takes "
			"them)\n",
			g_strdelimit(left->str, "\r\t", ' '));
}

static const struct pack_item *disk_item(const struct import *m, unsigned i)
{
	g_autofree char *name = g_strdup_printf(EXPORT_DISK, m->c.disk[i].name);

	return m->c.disk[i].cdrom ? NULL : pack_find(m->pack, name);
}

/* Every disk of the settings is in the file, and nothing else is. */
static int check_items(const struct import *m, struct err *e)
{
	const unsigned others = 2 + (pack_find(m->pack, EXPORT_STATE) != NULL);
	unsigned n = 0;

	for (unsigned i = 0; i < m->c.n_disks; i++) {
		const struct pack_item *item = disk_item(m, i);
		if (m->c.disk[i].cdrom)
			continue;
		if (!item)
			return err_set(e, -EBADMSG, "damaged: disk '%s' is not in it",
				       m->c.disk[i].name);
		if (item->bytes == 0 || item->bytes % 512 != 0)
			return err_set(e, -EBADMSG, "damaged: length of disk '%s'",
				       m->c.disk[i].name);
		n++;
	}
	return m->pack->n_items == n + others
		       ? 0
		       : err_set(e, -ENOTSUP, "there is in it what this version does not know");
}

static int take_settings(struct import *m, bool with_paths, struct err *e)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GKeyFile) ini = lodge_ini_load(m->temp, &error);
	int r;

	if (!ini)
		return vm_home_error(e, error);
	r = vm_home_settings(m->temp, true, &m->c, e);
	if (r == 0)
		r = check_items(m, e);
	if (r < 0)
		return r;
	if (!with_paths)
		leave_out_paths(ini);
	lodge_ini_set(ini, "vm.id", NULL); /* the VM's that it came from */
	lodge_ini_set(ini, "vm.name", NULL);
	for (unsigned i = 0; i < m->c.n_disks; i++) {
		g_autofree char *file = layer_name(&m->c.disk[i], m->id);
		if (!m->c.disk[i].cdrom)
			snapshot_set_disk(ini, m->c.disk[i].name, file);
	}
	return lodge_ini_save(ini, m->temp, &error) ? 0 : vm_home_error(e, error);
}

/* ---- manifest ---- */

/* As lodge_snapshots() sorts by it and shows it. */
static bool is_time(const char *s)
{
	g_autoptr(GDateTime) t = g_date_time_new_from_iso8601(s, NULL);

	return t != NULL && strlen(s) >= strlen("2026-01-01T00:00:00Z") && strlen(s) < 40;
}

static int check_name(const char *name, struct err *e)
{
	const int r = snapshot_check_name(name, e);

	return r != -EEXIST ? r
			    : err_set(e, r,
				      "there is a snapshot \"%s\" already: give this one another "
				      "name (lodge snapshot import VM FILE NAME)",
				      name);
}

static int take_manifest(struct import *m, const char *name, struct err *e)
{
	g_autofree char *hidden = g_path_get_basename(m->temp);
	g_autoptr(GError) error = NULL;
	g_autoptr(lodge_snapshot_owned) s = lodge_snapshot_read(".", hidden, &error);
	struct lodge_snapshot own;
	int r;

	if (!s)
		return vm_home_error(e, error);
	if (!is_time(s->time))
		return err_set(e, -EBADMSG, "damaged: the snapshot's time");
	if (s->needs_state && !pack_find(m->pack, EXPORT_STATE))
		return err_set(e, -EBADMSG, "damaged: there is no '" EXPORT_STATE "' in it");
	own = *s;
	own.parent = (char *)(uintptr_t) "";
	own.protected = false;
	m->name = g_strdup(name ? name : s->name);
	own.name = m->name;
	r = check_name(own.name, e);
	if (r < 0)
		return r;
	return lodge_snapshot_write(&own, m->temp, &error) ? 0 : vm_home_error(e, error);
}

static int take_text(const struct import *m, const char *name, struct err *e)
{
	const struct pack_item *item = pack_find(m->pack, name);
	g_autofree char *path = g_build_filename(m->temp, name, NULL);
	g_autoptr(GError) error = NULL;
	char *text;
	int r;

	if (!item)
		return err_set(e, -EBADMSG, "damaged: there is no '%s' in it", name);
	r = pack_read_text(m->pack, item, EXPORT_TEXT_MAX, &text, e);
	if (r < 0)
		return r;
	if (!lodge_file_replace(path, text, strlen(text), &error))
		r = vm_home_error(e, error);
	free(text);
	return r;
}

/* ---- disks and state ---- */

/* Zeroes are not written: holes and clusters that are not there read as such. */
static int each_run(uint64_t grain, uint64_t off, const uint8_t *buf, uint64_t bytes,
		    int (*put)(void *ctx, uint64_t off, const uint8_t *buf, uint64_t bytes),
		    void *ctx)
{
	int r = 0;

	for (uint64_t at = 0, n; at < bytes && r == 0; at += n) {
		bool data = false;
		for (n = 0; at + n < bytes; n += hv_min_u64(grain, bytes - at - n)) {
			const uint64_t part = hv_min_u64(grain, bytes - at - n);
			const bool zero = part % 64 == 0 && hv_is_zero(buf + at + n, part);
			if (n == 0)
				data = !zero;
			else if (data == zero)
				break;
		}
		r = data ? put(ctx, off + at, buf + at, n) : 0;
	}
	return r;
}

static int put_disk(void *ctx, uint64_t off, const uint8_t *buf, uint64_t bytes)
{
	return blk_run(ctx, BLK_WRITE, off, (void *)(uintptr_t)buf, bytes);
}

static int disk_sink(void *ctx, uint64_t off, const uint8_t *buf, uint64_t bytes)
{
	return each_run(CLUSTER, off, buf, bytes, put_disk, ctx);
}

static int put_file(void *ctx, uint64_t off, const uint8_t *buf, uint64_t bytes)
{
	struct iovec iov = { (void *)(uintptr_t)buf, bytes };

	return io_file_write(*(const int *)ctx, &iov, 1, off);
}

static int file_sink(void *ctx, uint64_t off, const uint8_t *buf, uint64_t bytes)
{
	return each_run(HV_PAGE_SIZE, off, buf, bytes, put_file, ctx);
}

static int unpack(struct import *m, const struct pack_item *item, pack_sink *sink, void *ctx,
		  struct err *e)
{
	const int r = pack_read(m->pack, item, sink, ctx, progress_show, &m->p, e);

	m->p.before += item->bytes;
	return r;
}

static char *hidden_disk(const struct import *m, unsigned i)
{
	return g_strdup_printf("%s/%s.qcow2", m->disks, m->c.disk[i].name);
}

static int take_disk(struct import *m, unsigned i, struct err *e)
{
	const struct pack_item *item = disk_item(m, i);
	const struct image_create c = { .format = IMAGE_FORMAT_QCOW2,
					.q = { .bytes = item->bytes } };
	const struct image_options o = { .format = IMAGE_FORMAT_QCOW2 };
	g_autofree char *path = hidden_disk(m, i);
	struct blk *b = NULL;
	int r = image_create(path, &c, e);

	if (r == 0)
		r = image_open(path, &o, &b, e);
	if (r == 0)
		r = unpack(m, item, disk_sink, b, e);
	if (r == 0) {
		r = blk_run(b, BLK_FLUSH, 0, NULL, 0);
		if (r < 0)
			err_set(e, r, "cannot write '%s': %s", path, strerror(-r));
	}
	blk_close(b);
	return r;
}

/* What a start would refuse whatever the host is like, is refused here. */
static int check_state(int fd, struct err *e)
{
	struct state_file *f;
	int r = state_file_open(fd, &f, e);

	if (r < 0)
		return r;
	r = state_file_verify(f, fd, e);
	state_file_close(f);
	return r;
}

static int take_state(struct import *m, struct err *e)
{
	const struct pack_item *item = pack_find(m->pack, EXPORT_STATE);
	g_autofree char *path = g_build_filename(m->temp, "state", NULL);
	int fd, r = 0;

	if (!item)
		return 0;
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(e, -errno, "cannot make '%s': %s", path, strerror(errno));
	if (ftruncate(fd, (off_t)item->bytes) < 0)
		r = err_set(e, -errno, "cannot write '%s': %s", path, strerror(errno));
	if (r == 0)
		r = unpack(m, item, file_sink, &fd, e);
	if (r == 0 && fsync(fd) < 0)
		r = err_set(e, -errno, "cannot write '%s': %s", path, strerror(errno));
	if (r == 0)
		r = check_state(fd, e);
	close(fd);
	return r;
}

/* ---- all of it ---- */

static int make_folders(struct import *m, struct err *e)
{
	const char *const dirs[] = { "snapshots", "disks", m->temp, m->disks };
	int r = 0;

	for (gsize i = 0; i < G_N_ELEMENTS(dirs) && r == 0; i++)
		r = snapshot_make_dir(dirs[i], e);
	if (r == 0) {
		m->held_temp = lodge_snapshots_hold(m->temp);
		m->held_disks = lodge_snapshots_hold(m->disks);
	}
	return r;
}

static int take_all(struct import *m, struct err *e)
{
	int r = take_state(m, e);

	for (unsigned i = 0; i < m->c.n_disks && r == 0; i++)
		if (!m->c.disk[i].cdrom)
			r = take_disk(m, i, e);
	progress_end(&m->p);
	return r;
}

/* The disks get their names; back: or lose them again. */
static int name_disks(const struct import *m, bool back, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < m->c.n_disks && r == 0; i++) {
		g_autofree char *from = hidden_disk(m, i), *to = layer_name(&m->c.disk[i], m->id);
		if (m->c.disk[i].cdrom)
			continue;
		if (back)
			g_unlink(to);
		else if (g_rename(from, to) < 0)
			r = err_set(e, -errno, "cannot make '%s': %s", to, strerror(errno));
	}
	lodge_folder_sync("disks");
	return r;
}

static int publish(const struct import *m, struct err *e)
{
	g_autoptr(GError) error = NULL;
	auto_close int lock = lodge_ini_lock(".", &error);
	int r = lock >= 0 ? check_name(m->name, e) : vm_home_error(e, error);

	if (r < 0)
		return r;
	r = name_disks(m, false, e);
	if (r == 0)
		r = snapshot_publish(m->temp, m->id, e);
	if (r < 0)
		name_disks(m, true, NULL);
	return r;
}

static int import(struct import *m, const char *name, bool with_paths, struct err *e)
{
	int r = pack_open(m->fd, &m->pack, e);

	if (r == 0)
		r = layers_check_room(e);
	if (r == 0)
		r = make_folders(m, e);
	if (r == 0)
		r = take_text(m, EXPORT_MANIFEST, e);
	if (r == 0)
		r = take_text(m, EXPORT_SETTINGS, e);
	if (r == 0)
		r = take_manifest(m, name, e);
	if (r == 0)
		r = take_settings(m, with_paths, e);
	for (unsigned i = 0; r == 0 && i < m->pack->n_items; i++)
		m->p.all += m->pack->item[i].bytes;
	if (r == 0)
		r = take_all(m, e);
	return r == 0 ? publish(m, e) : r;
}

static void close_all(const struct import *m)
{
	const int fds[] = { m->fd, m->held_temp, m->held_disks };

	for (gsize i = 0; i < G_N_ELEMENTS(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

int snapshot_import(const char *file, const char *name, bool with_paths, int progress_fd,
		    struct err *e)
{
	g_autofree char *id = lodge_snapshot_new_id(), *hidden = g_strdup_printf(".%s", id);
	struct import m = { .fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY),
			    .id = id,
			    .held_temp = -1,
			    .held_disks = -1,
			    .temp = lodge_snapshot_path(".", hidden, NULL),
			    .disks = g_build_filename("disks", hidden, NULL),
			    .p = { .fd = progress_fd, .shown = -1 } };
	int r = m.fd >= 0 ? 0 : err_set(e, -errno, "cannot open: %s", strerror(errno));

	vm_config_init(&m.c);
	if (r == 0)
		r = import(&m, name, with_paths, e);
	lodge_remove_tree(m.disks, NULL);
	if (r < 0)
		lodge_remove_tree(m.temp, NULL);
	else
		puts(id);
	vm_config_finish(&m.c);
	pack_close(m.pack);
	close_all(&m);
	g_free(m.name);
	g_free(m.temp);
	g_free(m.disks);
	return r < 0 ? err_prefix(e, "'%.100s'", file) : 0;
}
