/*
 * drivetool DEVICE eject|close|status|identify|smart|format: what eject, hdparm, smartctl and
 * fdformat ask a drive for. Status 0: it did; what it says is one line.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/cdrom.h>
#include <linux/fd.h>
#include <linux/hdreg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

static int fail(const char *what)
{
	perror(what);
	return 1;
}

static int sum_of(const uint8_t *p)
{
	uint8_t sum = 0;

	for (int i = 0; i < 512; i++)
		sum = (uint8_t)(sum + p[i]);
	return sum;
}

static int status(int fd)
{
	static const char *const names[] = { "unknown", "no disc", "tray open", "not ready",
					     "disc" };
	const int s = ioctl(fd, CDROM_DRIVE_STATUS, CDSL_CURRENT);

	if (s < 0)
		return fail("status");
	puts(s < 5 ? names[s] : "?");
	return 0;
}

/* IDENTIFY DEVICE as the drive answers it now: its checksum must be right. */
static int identify(int fd)
{
	uint8_t arg[4 + 512] = { 0xec, 0, 0, 1 };

	if (ioctl(fd, HDIO_DRIVE_CMD, arg) < 0)
		return fail("identify");
	if (arg[4 + 510] != 0xa5 || sum_of(arg + 4) != 0)
		return 1;
	for (int i = 0; i < 40; i++) /* two characters a word, the first one in its upper half */
		putchar(arg[4 + 54 + (i ^ 1)]);
	putchar('\n');
	return 0;
}

/* SMART READ DATA, RETURN STATUS and the log of errors. */
static int smart(int fd)
{
	uint8_t data[4 + 512] = { 0xb0, 0, 0xd0, 1 }, log[4 + 512] = { 0xb0, 1, 0xd5, 1 };
	uint8_t regs[7] = { 0xb0, 0xda, 0, 0, 0x4f, 0xc2, 0 };

	if (ioctl(fd, HDIO_DRIVE_CMD, data) < 0 || sum_of(data + 4) != 0)
		return fail("data");
	if (ioctl(fd, HDIO_DRIVE_CMD, log) < 0 || sum_of(log + 4) != 0 || log[4] != 1)
		return fail("log");
	if (ioctl(fd, HDIO_DRIVE_TASK, regs) < 0)
		return fail("status");
	puts(regs[4] == 0x4f && regs[5] == 0xc2 ? "passed" : "failed");
	return 0;
}

/* A floppy disk, in the format that it has; says cylinders, heads, sectors. */
static int format(int fd)
{
	struct floppy_struct f;

	if (ioctl(fd, FDGETPRM, &f) < 0 || ioctl(fd, FDFMTBEG) < 0)
		return fail("begin");
	for (unsigned i = 0; i < f.track * f.head; i++) {
		struct format_descr d = { .track = i / f.head, .head = i % f.head };
		if (ioctl(fd, FDFMTTRK, &d) < 0)
			return fail("track");
	}
	if (ioctl(fd, FDFMTEND) < 0)
		return fail("end");
	printf("%u %u %u\n", f.track, f.head, f.sect);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc == 3 ? argv[2] : "";
	const int mode = strcmp(what, "format") == 0 ? O_RDWR : O_RDONLY | O_NONBLOCK;
	const int fd = argc == 3 ? open(argv[1], mode) : -1;

	if (fd < 0)
		return fail("open");
	if (strcmp(what, "eject") == 0)
		return ioctl(fd, CDROMEJECT) < 0 ? fail(what) : 0;
	if (strcmp(what, "close") == 0)
		return ioctl(fd, CDROMCLOSETRAY) < 0 ? fail(what) : 0;
	if (strcmp(what, "status") == 0)
		return status(fd);
	if (strcmp(what, "identify") == 0)
		return identify(fd);
	if (strcmp(what, "format") == 0)
		return format(fd);
	return strcmp(what, "smart") == 0 ? smart(fd) : 2;
}
