/* The system calls, as Linux does them. */
#include "engine/kvm/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int linux_open(const char *path)
{
	const int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd >= 0 ? fd : -errno;
}

static void linux_close(int fd)
{
	close(fd);
}

static int linux_ioctl(int fd, unsigned long request, unsigned long arg)
{
	const int r = ioctl(fd, request, arg);

	return r >= 0 ? r : -errno;
}

static void *linux_map(int fd, size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return p != MAP_FAILED ? p : NULL;
}

static void linux_unmap(void *p, size_t bytes)
{
	munmap(p, bytes);
}

const struct kvm_sys kvm_sys_linux = {
	.open = linux_open,
	.close = linux_close,
	.ioctl = linux_ioctl,
	.map = linux_map,
	.unmap = linux_unmap,
};
const struct kvm_sys *kvm_sys = &kvm_sys_linux;
