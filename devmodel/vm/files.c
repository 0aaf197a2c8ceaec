/* The files a VM is given, see files.h. */
#include "vm/files.h"
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/util.h"
#include "devmodel/storage/floppy.h"
#include "devmodel/storage/image.h"
#include "devmodel/storage/live.h"
#include "vm/recognise.h"

/* An ordinary file that is not empty, or a block device where allowed. */
static int open_in(const char *key, const char *path, int *ret_fd, struct err *e)
{
	/* Not blocking, so that a FIFO cannot hold the program up. */
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(e, -errno, "%s: cannot open '%s': %s", key, path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "%s: '%s' is not a file", key, path);
	if (st.st_size == 0)
		return err_set(e, -EINVAL, "%s: '%s' is empty", key, path);
	*ret_fd = take_fd(&fd);
	return 0;
}

static int open_fd(const char *key, const char *path, bool write, int *ret_fd, struct err *e)
{
	/* Not blocking, so that a FIFO is refused and not waited for. */
	const int fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return err_set(e, -errno, "%s: cannot open '%s': %s", key, path, strerror(errno));
	*ret_fd = fd;
	return 0;
}

int vm_files_open_image(const char *key, const char *path, int fd, enum image_kind kind,
			bool read_only, bool keep, struct blk **ret_blk, struct err *e)
{
	const bool overlay = !keep && !read_only;
	const off_t end = kind == IMAGE_FLOPPY ? lseek(fd, 0, SEEK_END) : 0;
	int r = vm_image_expect(fd, key, path, kind, e);

	if (r < 0) {
		close(fd);
		return r;
	}
	r = blk_raw_open_padded(fd, path, read_only, overlay,
				end > 0 ? floppy_disk_bytes((uint64_t)end) : 0, ret_blk, e);
	if (r < 0) {
		close(fd);
		return err_prefix(e, "%s", key);
	}
	return 0;
}

/* A disk in any format, with what it is based on: all of it is opened now. */
static int open_disk(const char *key, const struct vm_disk_config *d, struct blk **ret_blk,
		     struct err *e)
{
	struct image_options o = { .read_only = d->read_only,
				   .forget = !d->keep && !d->read_only,
				   .direct = d->direct,
				   .cache = vm_disk_cache(d) };
	struct blk *top;
	int fd = -1, r;

	if (d->format && image_format_parse(d->format, &o.format) < 0)
		o.format = IMAGE_FORMAT_AUTO;
	r = open_fd(key, d->file, d->keep && !d->read_only, &fd, e);
	if (r < 0)
		return r;
	if (o.format == IMAGE_FORMAT_AUTO) {
		r = vm_image_expect(fd, key, d->file, IMAGE_DISK, e);
		if (r < 0) {
			close(fd);
			return r;
		}
	}
	r = image_open_fd(fd, d->file, &o, &top, e);
	if (r < 0)
		return err_prefix(e, "%s", key);
	if (o.read_only) {
		*ret_blk = top;
		return 0;
	}
	/* A snapshot may put another image in its place, and the host may be full. */
	r = blk_live_open(top, ret_blk, e);
	if (r < 0)
		blk_close(top);
	return r;
}

static int open_image(const char *key, const char *path, enum image_kind kind, bool read_only,
		      bool keep, struct blk **ret_blk, struct err *e)
{
	int fd = -1;
	const int r = open_fd(key, path, keep && !read_only, &fd, e);

	if (r < 0)
		return r;
	return vm_files_open_image(key, path, fd, kind, read_only, keep, ret_blk, e);
}

static int open_disks(const struct vm_config *c, struct vm_files *f, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < c->n_disks && r == 0; i++) {
		const struct vm_disk_config *d = &c->disk[i];
		g_autofree char *key = g_strdup_printf("%s%s.file", d->cdrom ? "" : "disk.",
						       d->name);
		if (vm_disk_has_file(d) && d->cdrom)
			r = open_image(key, d->file, IMAGE_CD, d->read_only, d->keep, &f->disk[i],
				       e);
		else if (vm_disk_has_file(d))
			r = open_disk(key, d, &f->disk[i], e);
	}
	return r;
}

static int open_floppies(const struct vm_config *c, struct vm_files *f, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < VM_MAX_FLOPPIES && r == 0; i++) {
		const struct vm_floppy_config *d = &c->floppy[i];
		g_autofree char *key = g_strdup_printf("floppy.%u.file", i);
		if (d->file)
			r = open_image(key, d->file, IMAGE_FLOPPY, d->read_only, d->keep,
				       &f->floppy[i], e);
	}
	return r;
}

/* Where perf looks for the names of a process' generated code. */
static void perf_map_path(char *path, size_t size)
{
	snprintf(path, size, "/tmp/perf-%d.map", (int)getpid());
}

/* Anybody may have made a file or link of that name; one of the user's own that an earlier process
 * left there goes. */
static int open_perf_map(int *ret_fd, struct err *e)
{
	char path[64];

	perf_map_path(path, sizeof(path));
	unlink(path);
	*ret_fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (*ret_fd < 0)
		return err_set(e, -errno, "soft.perf-map: cannot make '%s': %s", path,
			       strerror(errno));
	return 0;
}

static int open_out(const char *key, const char *path, int *ret_fd, struct err *e)
{
	if (!path)
		return 0;
	*ret_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
	if (*ret_fd < 0)
		return err_set(e, -errno, "%s: cannot make '%s': %s", key, path, strerror(errno));
	return 0;
}

static int open_outputs(const struct vm_config *c, struct vm_files *f, struct err *e)
{
	int r = open_out("debug.trace", c->trace, &f->trace_fd, e);

	if (r == 0)
		r = open_out("debug.digest", c->digest, &f->digest_fd, e);
	if (r < 0)
		return r;
	return c->soft_perf_map ? open_perf_map(&f->perf_map_fd, e) : 0;
}

static int open_bios(const char *path, int *ret_fd, struct err *e)
{
	const int r = open_in("firmware.bios", path, ret_fd, e);

	return r == -ENOENT ? err_set(e, r,
				      "there is no BIOS '%s': install the package seabios, or set "
				      "firmware.bios",
				      path)
			    : r;
}

/* Without a BIOS to run it, a package that is not installed is not missed. */
static int open_vga_bios(const struct vm_config *c, int *ret_fd, struct err *e)
{
	int r;

	if (c->state || strcmp(c->display, "none") == 0)
		return 0;
	r = open_in("firmware.vga-bios", c->vga_bios, ret_fd, e);
	if (r == -ENOENT && !vm_config_wants_bios(c) && strcmp(c->vga_bios, VM_VGA_BIOS) == 0)
		return 0;
	return r == -ENOENT ? err_set(e, r,
				      "there is no VGA BIOS '%s': install the package seabios, set "
				      "firmware.vga-bios, or display.adapter=none",
				      c->vga_bios)
			    : r;
}

static int open_all(const struct vm_config *c, struct vm_files *f, struct err *e)
{
	int r = 0;

	if (vm_config_wants_bios(c))
		r = open_bios(c->bios, &f->firmware_fd, e);
	if (r == 0)
		r = open_vga_bios(c, &f->vga_bios_fd, e);
	if (r == 0 && c->option_rom)
		r = open_in("firmware.option-rom", c->option_rom, &f->option_rom_fd, e);
	if (r == 0 && c->kernel)
		r = open_in("boot.kernel", c->kernel, &f->kernel_fd, e);
	if (r == 0 && c->initrd)
		r = open_in("boot.initrd", c->initrd, &f->initrd_fd, e);
	if (r == 0 && c->state)
		r = open_in("boot.state", c->state, &f->state_fd, e);
	if (r == 0 && c->kernel)
		r = vm_image_expect(f->kernel_fd, "boot.kernel", c->kernel, IMAGE_LINUX, e);
	if (r == 0)
		r = open_disks(c, f, e);
	if (r == 0)
		r = open_floppies(c, f, e);
	return r < 0 ? r : open_outputs(c, f, e);
}

static void announce(int fd, const char *word, const char *path)
{
	g_autofree char *text = path ? g_strescape(path, NULL) : NULL;

	if (text && access(path, F_OK) < 0 && errno == ENOENT)
		dprintf(fd, "%s %s\n", word, text);
}

void vm_files_announce(const struct vm_config *c, int fd)
{
	char perf_map[64];
	const struct {
		const char *word, *path;
	} all[] = {
		{ "made", c->soft_perf_map ? perf_map : NULL },
		{ "made", c->trace },
		{ "made", c->digest },
		{ "made", c->log_file },
		{ "made", c->debugcon },
		{ "made", c->serial[0].output },
		{ "made", c->serial[1].output },
		{ "made", c->serial[2].output },
		{ "made", c->serial[3].output },
	};

	if (fd < 0)
		return;
	perf_map_path(perf_map, sizeof(perf_map));
	for (size_t i = 0; i < HV_ARRAY_LEN(all); i++)
		if (all[i].path && strcmp(all[i].path, "-") != 0 &&
		    strcmp(all[i].path, "none") != 0)
			announce(fd, all[i].word, all[i].path);
	if (c->gdb && c->gdb[strspn(c->gdb, "0123456789")] != '\0')
		announce(fd, "temp", c->gdb);
}

int vm_files_open(const struct vm_config *c, struct vm_files *ret_files, struct err *e)
{
	struct vm_files f = { .option_rom_fd = -1,
			      .firmware_fd = -1,
			      .vga_bios_fd = -1,
			      .kernel_fd = -1,
			      .initrd_fd = -1,
			      .state_fd = -1,
			      .trace_fd = -1,
			      .perf_map_fd = -1,
			      .digest_fd = -1 };
	int r = open_all(c, &f, e);

	tzset(); /* reads the time zone's file, for vm.clock=local */
	f.statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	if (r < 0) {
		vm_files_close(&f);
		return r;
	}
	*ret_files = f;
	return 0;
}

void vm_files_close(struct vm_files *f)
{
	int *const fds[] = { &f->option_rom_fd, &f->firmware_fd, &f->vga_bios_fd, &f->kernel_fd,
			     &f->initrd_fd,	&f->state_fd,	 &f->trace_fd,	  &f->perf_map_fd,
			     &f->digest_fd,	&f->statm_fd };

	for (size_t i = 0; i < HV_ARRAY_LEN(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	for (unsigned i = 0; i < MACHINE_MAX_DISKS; i++) {
		blk_close(f->disk[i]);
		f->disk[i] = NULL;
	}
	for (unsigned i = 0; i < VM_MAX_FLOPPIES; i++) {
		blk_close(f->floppy[i]);
		f->floppy[i] = NULL;
	}
}
