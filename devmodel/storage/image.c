/* Disk images by name, see image.h. */
#include "devmodel/storage/image.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/util.h"
#include "devmodel/storage/format/raw.h"
#include "devmodel/storage/io/file.h"

static const char *const names[IMAGE_N_FORMATS] = {
	[IMAGE_FORMAT_AUTO] = "auto",
	[IMAGE_FORMAT_RAW] = "raw",
	[IMAGE_FORMAT_QCOW2] = "qcow2",
};

/* The files of a chain, from the top: none may come twice. */
struct chain {
	unsigned n;
	struct {
		dev_t dev;
		ino_t ino;
	} file[IMAGE_MAX_CHAIN];
};

int image_format_parse(const char *s, enum image_format *ret_format)
{
	for (enum image_format f = IMAGE_FORMAT_RAW; f < IMAGE_N_FORMATS; f++)
		if (strcmp(s, names[f]) == 0) {
			*ret_format = f;
			return 0;
		}
	return -EINVAL;
}

const char *image_format_name(enum image_format f)
{
	return names[f];
}

enum image_format image_format_of(const struct blk *b)
{
	return qcow2_is(b) ? IMAGE_FORMAT_QCOW2 : IMAGE_FORMAT_RAW;
}

int image_format_probe(int fd, const char *path, enum image_format *ret_format, struct err *e)
{
	uint8_t mark[4];
	const int r = io_file_read(fd, &(struct iovec){ mark, sizeof(mark) }, 1, 0);

	if (r < 0)
		return err_set(e, r, "cannot read '%s': %s", path, strerror(-r));
	*ret_format = memcmp(mark, "QFI\xfb", 4) == 0 ? IMAGE_FORMAT_QCOW2 : IMAGE_FORMAT_RAW;
	return 0;
}

char *image_backing_path(const char *image, const char *backing)
{
	const char *slash = strrchr(image, '/');
	const size_t n = slash != NULL && backing[0] != '/' ? (size_t)(slash - image) + 1 : 0;
	char *p = malloc(n + strlen(backing) + 1);

	if (p != NULL) {
		memcpy(p, image, n);
		memcpy(p + n, backing, strlen(backing) + 1);
	}
	return p;
}

/* ---- opening ---- */

static int enter(struct chain *c, int fd, const char *path, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(e, -errno, "cannot open '%s': %s", path, strerror(errno));
	for (unsigned i = 0; i < c->n; i++)
		if (c->file[i].dev == st.st_dev && c->file[i].ino == st.st_ino)
			return err_set(e, -ELOOP, "'%.200s' is based on itself", path);
	if (c->n == IMAGE_MAX_CHAIN)
		return err_set(e, -ELOOP, "more than %u images are based on each other",
			       IMAGE_MAX_CHAIN);
	c->file[c->n].dev = st.st_dev;
	c->file[c->n++].ino = st.st_ino;
	return 0;
}

static int open_file(const char *path, bool write, int *ret_fd, struct err *e)
{
	/* Not blocking, so that a FIFO is refused and not waited for. */
	const int fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return err_set(e, -errno, "cannot open '%s': %s", path, strerror(errno));
	*ret_fd = fd;
	return 0;
}

static int open_format(int fd, const char *path, const struct image_options *o, struct chain *c,
		       struct blk **ret_blk, struct err *e);

static int open_named(const char *path, const struct image_options *o, struct chain *c,
		      struct blk **ret_blk, struct err *e)
{
	int fd = -1;
	const int r = open_file(path, !o->read_only && !o->forget, &fd, e);

	return r < 0 ? r : open_format(fd, path, o, c, ret_blk, e);
}

/* What the image b names, or what the caller has for it. */
static int open_backing(struct blk *b, const char *path, const struct image_options *o,
			struct chain *c, struct err *e)
{
	const struct qcow2_info *info = qcow2_info(b);
	struct image_options below = { .read_only = !o->backing_writable,
				       .direct = o->direct,
				       .cache = o->cache };
	struct blk *backing = NULL;

	if (info->backing_file[0] == '\0' || o->no_backing || o->for_check)
		return o->backing != NULL
			       ? err_set(e, -EINVAL, "'%.200s' has no backing file", path)
			       : 0;
	if (o->backing != NULL) {
		qcow2_set_backing(b, o->backing);
		return 0;
	}
	if (info->backing_format[0] == '\0')
		return err_set(e, -EINVAL,
			       "'%.100s' does not say which format its backing file has: lodge "
			       "disk rebase --backing-format raw|qcow2",
			       path);
	if (image_format_parse(info->backing_format, &below.format) < 0)
		return err_set(e, -EINVAL,
			       "'%.100s' has a backing file of the format '%.20s', "
			       "which is not known here",
			       path, info->backing_format);
	auto_free char *name = image_backing_path(path, info->backing_file);
	if (name == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	const int r = open_named(name, &below, c, &backing, e);
	if (r < 0)
		return err_prefix(e, "backing file of '%.60s'", path);
	qcow2_set_backing(b, backing);
	return 0;
}

static int open_qcow2(int fd, const char *path, const struct image_options *o, struct chain *c,
		      struct blk **ret_blk, struct err *e)
{
	const struct qcow2_options q = { .read_only = o->read_only || o->forget,
					 .direct = o->direct,
					 .for_check = o->for_check,
					 .cache = o->cache };
	struct io_host host;
	struct blk *b = NULL;
	int r = io_file_lock(fd, !q.read_only, path, e);

	io_host_init(&host, fd, o->cache);
	if (r == 0)
		r = qcow2_open(&host, path, &q, &b, e);
	if (r < 0) {
		io_host_finish(&host);
		return r;
	}
	r = open_backing(b, path, o, c, e);
	if (r < 0) {
		blk_close(b);
		return r;
	}
	*ret_blk = b;
	return 0;
}

static int open_raw(int fd, const char *path, const struct image_options *o, bool guarded,
		    struct blk **ret_blk, struct err *e)
{
	const struct raw_options raw = { .read_only = o->read_only || o->forget,
					 .direct = o->direct,
					 .guarded = guarded,
					 .cache = o->cache,
					 .bytes = o->min_bytes };
	const int r = o->backing == NULL ? raw_open(fd, path, &raw, ret_blk, e)
					 : err_set(e, -EINVAL,
						   "'%.200s' has no backing file: it is raw", path);

	if (r < 0)
		close(fd);
	return r;
}

/* Takes fd over, or closes it. */
static int open_format(int fd, const char *path, const struct image_options *o, struct chain *c,
		       struct blk **ret_blk, struct err *e)
{
	enum image_format f = o->format;
	int r = enter(c, fd, path, e);

	if (r == 0 && f == IMAGE_FORMAT_AUTO)
		r = image_format_probe(fd, path, &f, e);
	if (r < 0) {
		close(fd);
		return r;
	}
	return f == IMAGE_FORMAT_QCOW2
		       ? open_qcow2(fd, path, o, c, ret_blk, e)
		       : open_raw(fd, path, o, o->format == IMAGE_FORMAT_AUTO, ret_blk, e);
}

int image_open_fd(int fd, const char *path, const struct image_options *o, struct blk **ret_blk,
		  struct err *e)
{
	struct chain c = { 0 };
	struct blk *b = NULL;
	int r = open_format(fd, path, o, &c, &b, e);

	if (r < 0)
		return r;
	if (!o->forget) {
		*ret_blk = b;
		return 0;
	}
	r = blk_overlay_open(b, ret_blk, e);
	if (r < 0) {
		if (o->backing != NULL)
			qcow2_set_backing(b, NULL); /* the caller's again */
		blk_close(b);
	}
	return r;
}

int image_open(const char *path, const struct image_options *o, struct blk **ret_blk, struct err *e)
{
	int fd = -1;
	const int r = open_file(path, !o->read_only && !o->forget, &fd, e);

	return r < 0 ? r : image_open_fd(fd, path, o, ret_blk, e);
}

int image_extent(struct blk *b, uint64_t off, uint64_t bytes, struct blk_extent *ret_extent)
{
	for (;; b = b->backing) {
		int r = 0;
		if (off >= b->bytes) {
			*ret_extent = (struct blk_extent){ .kind = BLK_EXTENT_ZERO,
							   .bytes = bytes };
			return 0;
		}
		const uint64_t here = hv_min_u64(bytes, b->bytes - off);
		*ret_extent = (struct blk_extent){ .kind = BLK_EXTENT_DATA, .bytes = here };
		if (b->ops->map != NULL)
			r = b->ops->map(b, off, here, ret_extent);
		if (r < 0 || ret_extent->kind != BLK_EXTENT_BACKING)
			return r;
		bytes = ret_extent->bytes;
		ret_extent->kind = BLK_EXTENT_ZERO;
		if (b->backing == NULL)
			return 0;
	}
}

/* ---- new files ---- */

static void new_finish(struct image_new *n)
{
	if (n->fd >= 0)
		close(n->fd);
	free(n->path);
	free(n->temp);
	*n = (struct image_new){ .fd = -1 };
}

int image_new_begin(const char *path, struct image_new *ret_new, struct err *e)
{
	struct image_new n = { .fd = -1 };
	const size_t size = strlen(path) + 16;

	n.path = strdup(path);
	n.temp = malloc(size);
	if (n.path == NULL || n.temp == NULL) {
		new_finish(&n);
		return err_set(e, -ENOMEM, "out of memory");
	}
	snprintf(n.temp, size, "%s.new-XXXXXX", path);
	n.fd = mkostemp(n.temp, O_CLOEXEC);
	if (n.fd < 0) {
		const int r = err_set(e, -errno, "cannot make '%s': %s", path, strerror(errno));
		new_finish(&n);
		return r;
	}
	/* As open() would have made it. */
	const mode_t mask = umask(0);
	umask(mask);
	(void)!fchmod(n.fd, 0666 & ~mask);
	*ret_new = n;
	return 0;
}

static int sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	auto_free char *dir = slash == NULL ? strdup(".")
					    : strndup(path, (size_t)(slash - path) + 1);
	auto_close int fd = dir != NULL ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd < 0)
		return -errno;
	/* Some file systems cannot, and need not. */
	return fsync(fd) < 0 && errno != EINVAL && errno != EROFS ? -errno : 0;
}

/* Without the permission to replace, by a link; where there are none, by a look before. */
static int give_name(const struct image_new *n, bool replace)
{
	if (replace)
		return rename(n->temp, n->path) < 0 ? -errno : 0;
	if (renameat2(AT_FDCWD, n->temp, AT_FDCWD, n->path, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (access(n->path, F_OK) == 0)
		return -EEXIST;
	return rename(n->temp, n->path) < 0 ? -errno : 0;
}

int image_new_commit(struct image_new *n, bool replace, struct err *e)
{
	int r = fsync(n->fd) < 0 ? -errno : 0;

	if (r == 0)
		r = give_name(n, replace);
	if (r < 0) {
		r = r == -EEXIST ? err_set(e, r, "'%s' exists already", n->path)
				 : err_set(e, r, "cannot write '%s': %s", n->path, strerror(-r));
		image_new_abort(n);
		return r;
	}
	r = sync_folder(n->path);
	if (r < 0)
		r = err_set(e, r, "cannot write the folder of '%s': %s", n->path, strerror(-r));
	new_finish(n);
	return r;
}

void image_new_abort(struct image_new *n)
{
	if (n->temp != NULL)
		unlink(n->temp);
	new_finish(n);
}

/* The size of a disk that is not given is that of what it is based on. */
static int backing_size(const char *path, struct qcow2_create *q, struct err *e)
{
	struct image_options o = { .read_only = true, .no_backing = true };
	struct blk *b = NULL;

	if (q->backing_format == NULL || image_format_parse(q->backing_format, &o.format) < 0)
		return err_set(e, -EINVAL, "the format of a backing file is raw or qcow2");
	auto_free char *name = image_backing_path(path, q->backing_file);
	if (name == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	const int r = image_open(name, &o, &b, e);
	if (r < 0)
		return r;
	if (q->bytes == 0)
		q->bytes = b->bytes;
	blk_close(b);
	return 0;
}

static int fill(int fd, const struct image_create *c, const struct qcow2_create *q, struct err *e)
{
	struct io_host host;
	int r;

	if (c->format == IMAGE_FORMAT_RAW) {
		r = q->bytes == 0 || q->bytes > INT64_MAX ? -EINVAL : 0;
		if (r == 0 && ftruncate(fd, (off_t)hv_align_up(q->bytes, 512)) < 0)
			r = -errno;
		return r < 0 ? err_set(e, r, "cannot write an image: %s", strerror(-r)) : 0;
	}
	io_host_init(&host, fd, IO_CACHE_SAFE);
	return qcow2_format(&host, q, e);
}

int image_create(const char *path, const struct image_create *c, struct err *e)
{
	struct qcow2_create q = c->q;
	struct image_new n;
	int r = 0;

	if (c->format == IMAGE_FORMAT_RAW && q.backing_file != NULL)
		return err_set(e, -EINVAL, "a raw image has no backing file");
	/* Who says how long it is may have the image below open for writing. */
	if (q.backing_file != NULL && q.bytes == 0)
		r = backing_size(path, &q, e);
	if (r == 0)
		r = image_new_begin(path, &n, e);
	if (r < 0)
		return r;
	r = fill(n.fd, c, &q, e);
	if (r < 0) {
		image_new_abort(&n);
		return r;
	}
	return image_new_commit(&n, c->replace, e);
}
