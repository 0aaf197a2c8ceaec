/*
 * The system calls by which the engine reaches the kernel's KVM, and nothing else of it does: tests
 * put a kernel of their own in their place.
 */
#ifndef ENGINE_KVM_SYS_H
#define ENGINE_KVM_SYS_H
#include <stddef.h>

#define KVM_DEVICE "/dev/kvm"

/* Results are as of the system calls, but errors are -errno. Any thread. */
struct kvm_sys {
	int (*open)(const char *path); /* for reading and writing, close-on-exec */
	void (*close)(int fd);
	/* arg: whatever the request takes, a number or a pointer. */
	int (*ioctl)(int fd, unsigned long request, unsigned long arg);
	/* The first bytes of a vCPU's shared area, to be unmapped with the same number; NULL: errno
	 * says why. */
	void *(*map)(int fd, size_t bytes);
	void (*unmap)(void *p, size_t bytes);
};

extern const struct kvm_sys kvm_sys_linux;
/* What is used: kvm_sys_linux unless a test changed it, before the first VM. */
extern const struct kvm_sys *kvm_sys;
#endif
