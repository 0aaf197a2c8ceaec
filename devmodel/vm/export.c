/* Writing a snapshot into a file of its own, see export.h. */
#include "vm/export.h"
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "devmodel/storage/image.h"
#include "devmodel/storage/io/file.h"
#include "devmodel/storage/pack/pack.h"
#include "protocol/snapshots.h"
#include "state/container.h"
#include "vm/export_int.h"
#include "vm/home.h"
#include "vm/layers.h"
#include "vm/progress.h"
#include "vm/saving.h"

/* What is open of the snapshot. */
struct export
{
	char *path;			     /* its folder; owned */
	struct vm_config c;		     /* its settings */
	struct blk *disk[MACHINE_MAX_DISKS]; /* owned; NULL: no disk, or a CD drive */
	int state_fd;			     /* owned; -1: none */
	uint64_t state_bytes;
	struct progress p;
	struct pack_writer *w; /* owned */
};

/* ---- where bytes come from ---- */

static int read_disk(void *ctx, uint64_t off, void *buf, uint64_t bytes)
{
	return blk_run(ctx, BLK_READ, off, buf, bytes);
}

static int disk_zeroes(void *ctx, uint64_t off, uint64_t bytes, uint64_t *ret_bytes)
{
	struct blk_extent x;
	uint64_t n = 0;
	int r = 0;

	while (n < bytes) {
		r = image_extent(ctx, off + n, bytes - n, &x);
		if (r < 0 || x.kind != BLK_EXTENT_ZERO)
			break;
		n += x.bytes;
	}
	*ret_bytes = n;
	return r;
}

static int read_state(void *ctx, uint64_t off, void *buf, uint64_t bytes)
{
	struct iovec iov = { buf, bytes };

	return io_file_read(*(const int *)ctx, &iov, 1, off);
}

static int state_zeroes(void *ctx, uint64_t off, uint64_t bytes, uint64_t *ret_bytes)
{
	const off_t data = lseek(*(const int *)ctx, (off_t)off, SEEK_DATA);

	*ret_bytes = data >= 0 ? (uint64_t)data - off : errno == ENXIO ? bytes : 0;
	return 0;
}

/* ---- opening ---- */

static int open_state(struct export *x, struct err *e)
{
	g_autofree char *path = g_build_filename(x->path, "state", NULL);
	struct state_file *f;
	struct stat st;
	int r;

	x->state_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	if (x->state_fd < 0 && errno == ENOENT)
		return 0;
	if (x->state_fd < 0 || fstat(x->state_fd, &st) < 0)
		return err_set(e, -errno, "cannot open '%s': %s", path, strerror(errno));
	r = state_file_open(x->state_fd, &f, e);
	if (r < 0)
		return err_prefix(e, "'%s'", path);
	state_file_close(f);
	x->state_bytes = (uint64_t)st.st_size;
	x->p.all += x->state_bytes;
	return 0;
}

static int open_all(struct export *x, struct err *e)
{
	int r = vm_home_settings(x->path, true, &x->c, e);

	if (r == 0)
		r = open_state(x, e);
	for (unsigned i = 0; i < x->c.n_disks && r == 0; i++) {
		const struct vm_disk_config *d = &x->c.disk[i];
		if (d->cdrom || !vm_disk_has_file(d))
			continue;
		r = layer_open(d, &x->disk[i], e);
		if (r == 0)
			x->p.all += x->disk[i]->bytes;
	}
	return r;
}

static void close_all(struct export *x)
{
	for (unsigned i = 0; i < MACHINE_MAX_DISKS; i++)
		blk_close(x->disk[i]);
	if (x->state_fd >= 0)
		close(x->state_fd);
	vm_config_finish(&x->c);
	pack_writer_destroy(x->w);
	g_free(x->path);
}

/* ---- writing ---- */

static int put_text(struct export *x, const char *name, struct err *e)
{
	g_autofree char *path = g_build_filename(x->path, name, NULL);
	g_autoptr(GError) error = NULL;
	g_autofree char *text = lodge_file_read(path, &error);

	return text ? pack_writer_text(x->w, name, text, e) : vm_home_error(e, error);
}

static int put_state(struct export *x, struct err *e)
{
	const struct pack_source s = { read_state, state_zeroes, &x->state_fd };
	int r;

	if (x->state_fd < 0)
		return 0;
	r = pack_writer_item(x->w, EXPORT_STATE, x->state_bytes, &s, e);
	x->p.before += x->state_bytes;
	return r;
}

static int put_disk(struct export *x, unsigned i, struct err *e)
{
	g_autofree char *name = g_strdup_printf(EXPORT_DISK, x->c.disk[i].name);
	const struct pack_source s = { read_disk, disk_zeroes, x->disk[i] };
	int r;

	if (x->disk[i] == NULL)
		return 0;
	r = pack_writer_item(x->w, name, x->disk[i]->bytes, &s, e);
	x->p.before += x->disk[i]->bytes;
	return r < 0 ? err_prefix(e, "disk '%s'", x->c.disk[i].name) : 0;
}

static int put_all(struct export *x, struct err *e)
{
	int r = put_text(x, EXPORT_MANIFEST, e);

	if (r == 0)
		r = put_text(x, EXPORT_SETTINGS, e);
	if (r == 0)
		r = put_state(x, e);
	for (unsigned i = 0; i < x->c.n_disks && r == 0; i++)
		r = put_disk(x, i, e);
	progress_end(&x->p);
	return r == 0 ? pack_writer_finish(x->w, e) : r;
}

int snapshot_export(const char *id, int fd, int progress_fd, struct err *e)
{
	struct export x = { .path = lodge_snapshot_path(".", id, NULL),
			    .state_fd = -1,
			    .p = { .fd = progress_fd, .shown = -1 } };
	int r;

	vm_config_init(&x.c);
	r = saving_check_target(fd, e);
	if (r == 0)
		r = open_all(&x, e);
	if (r == 0)
		r = pack_writer_create(fd, progress_show, &x.p, &x.w, e);
	if (r == 0)
		r = put_all(&x, e);
	close_all(&x);
	return r;
}
