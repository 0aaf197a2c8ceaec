/* Files recognised by their contents, see recognise.h. */
#include "vm/recognise.h"
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"

static ssize_t read_at(int fd, void *buf, size_t n, off_t off)
{
	ssize_t r;

	do
		r = pread(fd, buf, n, off);
	while (r < 0 && errno == EINTR);
	return r;
}

int vm_image_look(int fd, const char *path, struct image_guess *ret_guess, struct err *e)
{
	auto_free uint8_t *head = malloc(IMAGE_HEAD_BYTES);
	struct image_bytes b = { .head = head };
	const off_t end = lseek(fd, 0, SEEK_END);
	ssize_t n;

	if (!head)
		return err_set(e, -ENOMEM, "out of memory");
	n = end < 0 ? -1 : read_at(fd, head, IMAGE_HEAD_BYTES, 0);
	if (n < 0)
		return err_set(e, -errno, "cannot read '%s': %s", path, strerror(errno));
	b.n_head = (size_t)n;
	b.bytes = MAX((uint64_t)end, b.n_head);
	if (b.bytes >= sizeof(b.tail) &&
	    read_at(fd, b.tail, sizeof(b.tail), (off_t)(b.bytes - sizeof(b.tail))) < 0)
		return err_set(e, -errno, "cannot read '%s': %s", path, strerror(errno));
	image_recognise(&b, ret_guess);
	return 0;
}

static int look_at(const char *path, struct image_guess *ret_guess, struct err *e)
{
	/* Not blocking, so that a FIFO is refused and not waited for. */
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(e, -errno, "cannot open '%s': %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(e, -EINVAL, "'%s' is not a file", path);
	if (S_ISREG(st.st_mode) && st.st_size == 0)
		return err_set(e, -EINVAL, "'%s' is empty", path);
	return vm_image_look(fd, path, ret_guess, e);
}

static bool is_kernel(enum image_kind k)
{
	return k == IMAGE_LINUX || k == IMAGE_MULTIBOOT;
}

static const char *name_of(enum image_kind k)
{
	return k == IMAGE_CD	   ? "a CD"
	       : k == IMAGE_FLOPPY ? "a floppy disk"
	       : k == IMAGE_STATE  ? "a saved state"
				   : "a kernel";
}

/* Disks may hold anything but another format's contents. */
static bool fits(const struct image_guess *g, enum image_kind want)
{
	if (want == IMAGE_LINUX)
		return is_kernel(g->kind) || is_kernel(g->also) || g->kind == IMAGE_UNKNOWN;
	if (want == IMAGE_CD)
		return g->kind == IMAGE_CD || g->kind == IMAGE_UNKNOWN;
	return g->kind != IMAGE_CONTAINER && (g->kind != IMAGE_QCOW2 || want == IMAGE_DISK);
}

int vm_image_expect(int fd, const char *key, const char *path, enum image_kind kind, struct err *e)
{
	struct image_guess g;
	int r = vm_image_look(fd, path, &g, e);

	if (r < 0 || fits(&g, kind))
		return r;
	if (g.hint)
		return err_set(e, -EINVAL, "%s: '%.100s' is %s: %s", key, path, g.what, g.hint);
	return err_set(e, -EINVAL, "%s: '%.100s' is %s, not %s%s%s", key, path, g.what,
		       name_of(kind), *image_option(g.kind) ? ": use " : "", image_option(g.kind));
}

/* ---- boot.file ---- */

static int set(struct vm_config *c, struct err *e, const char *key, const char *value)
{
	g_autofree char *arg = g_strdup_printf("%s=%s", key, value);

	return vm_config_set(c, arg, e);
}

static bool disk_named(const struct vm_config *c, const char *name)
{
	for (unsigned i = 0; i < c->n_disks; i++)
		if (strcmp(c->disk[i].name, name) == 0)
			return true;
	return false;
}

/* The first of "FORMAT" with 0, 1... that no drive has; freed by the caller. */
static char *free_name(const struct vm_config *c, const char *prefix, unsigned from)
{
	for (unsigned i = from;; i++) {
		g_autofree char *name = g_strdup_printf("%s%u", prefix, i);
		if (!disk_named(c, name))
			return g_steal_pointer(&name);
	}
}

static int put_drive(struct vm_config *c, char *drive, bool keeps, const char *bus, struct err *e)
{
	g_autofree char *file = g_strconcat(drive, ".file", NULL);
	g_autofree char *keep = g_strconcat(drive, ".keep", NULL);
	g_autofree char *on = g_strconcat(drive, ".bus", NULL);
	int r = set(c, e, file, c->boot_file);

	if (r == 0 && keeps)
		r = set(c, e, keep, c->boot_keep ? "yes" : "no");
	if (r == 0 && bus)
		r = set(c, e, on, bus);
	c->boot_first = drive;
	return r;
}

static int put_floppy(struct vm_config *c, struct err *e)
{
	for (unsigned i = 0; i < VM_MAX_FLOPPIES; i++)
		if (!c->floppy[i].there)
			return put_drive(c, g_strdup_printf("floppy.%u", i), true, NULL, e);
	return err_set(e, -EINVAL, "both floppy drives have a disk already");
}

/* Guests of any age know AHCI or what it is compatible with. */
static int put_disk(struct vm_config *c, struct err *e)
{
	g_autofree char *name = disk_named(c, "root") ? free_name(c, "root-", 2) : g_strdup("root");

	return put_drive(c, g_strconcat("disk.", name, NULL), true, "ahci", e);
}

static int put_kernel(struct vm_config *c, struct err *e)
{
	if (c->kernel)
		return err_set(e, -EINVAL, "a kernel is given twice: '%.100s' and '%.100s'",
			       c->boot_file, c->kernel);
	return set(c, e, "boot.kernel", c->boot_file);
}

static int put(struct vm_config *c, const struct image_guess *g, struct err *e)
{
	switch (g->kind) {
	case IMAGE_CD:
		return put_drive(c, free_name(c, "cdrom.", 0), false, NULL, e);
	case IMAGE_FLOPPY:
		return put_floppy(c, e);
	case IMAGE_DISK:
	case IMAGE_QCOW2:
		return put_disk(c, e);
	case IMAGE_LINUX:
	case IMAGE_MULTIBOOT:
		return put_kernel(c, e);
	case IMAGE_STATE:
		if (c->state)
			return err_set(e, -EINVAL, "a saved state is given twice");
		return set(c, e, "boot.state", c->boot_file);
	default:
		return err_set(e, -EINVAL, "'%.100s' is %s%s%s", c->boot_file, g->what,
			       g->hint ? ": " : "", g->hint ? g->hint : "");
	}
}

/* One line where the choice is not the only one. */
static void tell(const struct vm_config *c, const struct image_guess *g)
{
	const char *file = c->boot_file;

	if (strcmp(c->log_level, "error") == 0)
		return;
	if (g->doubt && g->also != IMAGE_UNKNOWN)
		fprintf(stderr, "lodge: '%s' is taken for %s, but %s: %s gives it as that\n", file,
			g->what, g->doubt, image_option(g->also));
	else if (g->doubt)
		fprintf(stderr, "lodge: '%s' is %s; %s\n", file, g->what, g->doubt);
	else if (g->kind == IMAGE_DISK || g->kind == IMAGE_QCOW2)
		fprintf(stderr, "lodge: '%s' is %s, attached by AHCI (--disk: by virtio)\n", file,
			g->what);
}

int vm_recognise(struct vm_config *c, struct err *e)
{
	struct image_guess g;
	int r;

	if (!c->boot_file)
		return 0;
	r = look_at(c->boot_file, &g, e);
	if (r < 0)
		return err_prefix(e, "boot.file");
	r = put(c, &g, e);
	if (r == 0)
		tell(c, &g);
	return r;
}
