/* A VM's place among the running ones, see claim.h. */
#include "vm/claim.h"
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "protocol/protocol.h"

#define MAX_RUNNING 4096
#define CLAIM_TRIES 300
#define CLAIM_PAUSE_US 1000

/* The lock file's descriptor with the lock held, or -errno; -EBUSY: a running VM's. */
static int lock_folder(const char *dir)
{
	g_autofree char *path = g_build_filename(dir, LODGE_RUN_LOCK, NULL);
	struct stat mine, there;
	int fd;

	if (g_mkdir(dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		const int err = errno == EWOULDBLOCK ? EBUSY : errno;
		close(fd);
		return -err;
	}
	/* Its last owner may have removed it between open and flock. */
	if (fstat(fd, &mine) < 0 || stat(path, &there) < 0 || mine.st_ino != there.st_ino) {
		close(fd);
		return -EAGAIN;
	}
	return fd;
}

/* 0; -EBUSY: a running VM has it; -EAGAIN: try again. */
static int claim(const char *root, const char *name, struct vm_claim *ret_claim, struct err *e)
{
	g_autofree char *dir = g_build_filename(root, name, NULL);
	const int fd = lock_folder(dir);

	if (fd == -EBUSY || fd == -EAGAIN || fd == -ENOENT)
		return fd == -ENOENT ? -EAGAIN : fd;
	if (fd < 0)
		return err_set(e, fd, "cannot claim '%s': %s", dir, strerror(-fd));
	*ret_claim = (struct vm_claim){ .root = g_strdup(root),
					.name = g_strdup(name),
					.dir = g_steal_pointer(&dir),
					.lock_fd = fd };
	ret_claim->socket = g_build_filename(ret_claim->dir, LODGE_RUN_CONTROL, NULL);
	unlink(ret_claim->socket);
	return 0;
}

static int claim_number(const char *root, struct vm_claim *ret_claim, struct err *e)
{
	for (unsigned n = 1, tries = 0; n <= MAX_RUNNING; n++) {
		g_autofree char *name = g_strdup_printf("run-%u", n);
		const int r = claim(root, name, ret_claim, e);
		if (r == -EAGAIN && tries++ < 100)
			n--;
		else if (r != -EBUSY && r != -EAGAIN)
			return r;
	}
	return err_set(e, -EBUSY, "%d VMs are running already", MAX_RUNNING);
}

static int claim_home(const char *root, const char *home, struct vm_claim *ret_claim, struct err *e)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *name = lodge_run_name_of_folder(home, &error);
	int r = -EAGAIN;

	if (!name)
		return err_set(e, -EIO, "%s", error->message);
	/* Whoever lists VMs holds such a lock for a moment. */
	for (unsigned tries = 0; (r == -EAGAIN || r == -EBUSY) && tries < CLAIM_TRIES; tries++) {
		if (r == -EBUSY)
			g_usleep(CLAIM_PAUSE_US);
		r = claim(root, name, ret_claim, e);
	}
	return r == -EBUSY || r == -EAGAIN ? err_set(e, -EBUSY, "the VM in '%s' runs already", home)
					   : r;
}

int vm_claim_take(const char *home, struct vm_claim *ret_claim, struct err *e)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *root = lodge_run_root(true, &error);

	if (!root)
		return err_set(e, -EPERM, "%s", error->message);
	return home ? claim_home(root, home, ret_claim, e) : claim_number(root, ret_claim, e);
}

void vm_claim_release(struct vm_claim *c)
{
	g_autofree char *lock = NULL;

	if (!c->dir)
		return;
	lock = g_build_filename(c->dir, LODGE_RUN_LOCK, NULL);
	unlink(c->socket);
	unlink(lock);
	rmdir(c->dir);
	close(c->lock_fd);
	g_free(c->root);
	g_free(c->name);
	g_free(c->dir);
	g_free(c->socket);
	*c = (struct vm_claim){ 0 };
}
