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

/* What is often given in a kernel's place, by its first bytes. */
#define RAW_ONLY "and this version knows raw images only (qemu-img convert -O raw makes one)"
static const struct magic {
	off_t off;
	const char *bytes, *what, *hint;
} magics[] = {
	{ 0, "LodgeVM", "a saved state", "not a kernel: use --state" },
	{ 0x8001, "CD001", "a CD or DVD image", "which this version cannot boot from yet" },
	{ 0, "QFI\xfb", "a qcow2 disk image", RAW_ONLY },
	{ 0, "KDMV", "a VMDK disk image", RAW_ONLY },
	{ 0x40, "\x7f\x10\xda\xbe", "a VDI disk image", RAW_ONLY },
	{ 0, "vhdxfile", "a VHDX disk image", RAW_ONLY },
	{ 0, "conectix", "a VHD disk image", RAW_ONLY },
	{ 510, "\x55\xaa", "a disk or floppy image", "not a kernel: use --disk" },
};

/* Refuses what has another kind's mark and not a kernel's; the loader judges the rest. */
static int check_kernel(int fd, const char *path, struct err *e)
{
	char mark[8];

	if (pread(fd, mark, 4, 0x202) == 4 && memcmp(mark, "HdrS", 4) == 0)
		return 0;
	for (size_t i = 0; i < HV_ARRAY_LEN(magics); i++) {
		const size_t n = strlen(magics[i].bytes);
		if (pread(fd, mark, n, magics[i].off) == (ssize_t)n &&
		    memcmp(mark, magics[i].bytes, n) == 0)
			return err_set(e, -EINVAL, "'%.100s' is %s, %s", path, magics[i].what,
				       magics[i].hint);
	}
	return 0;
}

static int open_disks(const struct vm_config *c, struct vm_files *f, struct err *e)
{
	for (unsigned i = 0; i < c->n_disks; i++) {
		const struct vm_disk_config *d = &c->disk[i];
		struct err why;
		if (!vm_disk_has_file(d))
			continue;
		int r = blk_raw_open(d->file, d->read_only, !d->keep && !d->read_only, &f->disk[i],
				     &why);
		if (r < 0)
			return err_set(e, r, "%s%s.file: %s", d->cdrom ? "" : "disk.", d->name,
				       why.msg);
	}
	return 0;
}

static int open_floppies(const struct vm_config *c, struct vm_files *f, struct err *e)
{
	for (unsigned i = 0; i < VM_MAX_FLOPPIES; i++) {
		const struct vm_floppy_config *d = &c->floppy[i];
		struct err why;
		int r = d->file ? blk_raw_open(d->file, d->read_only, !d->keep && !d->read_only,
					       &f->floppy[i], &why)
				: 0;
		if (r < 0)
			return err_set(e, r, "floppy.%u.file: %s", i, why.msg);
	}
	return 0;
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
	if (r == 0 && c->kernel)
		r = open_in("boot.kernel", c->kernel, &f->kernel_fd, e);
	if (r == 0 && c->kernel)
		r = check_kernel(f->kernel_fd, c->kernel, e);
	if (r == 0 && c->initrd)
		r = open_in("boot.initrd", c->initrd, &f->initrd_fd, e);
	if (r == 0 && c->state)
		r = open_in("boot.state", c->state, &f->state_fd, e);
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
	struct vm_files f = { .firmware_fd = -1,
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
	int *const fds[] = { &f->firmware_fd, &f->vga_bios_fd, &f->kernel_fd,
			     &f->initrd_fd,   &f->state_fd,    &f->trace_fd,
			     &f->perf_map_fd, &f->digest_fd,   &f->statm_fd };

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
