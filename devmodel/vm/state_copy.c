/* See state_copy.h. */
#include "vm/state_copy.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "protocol/folder.h"
#include "state/container.h"
#include "vm/home.h"

int state_copy(const char *from, const char *to, struct err *e)
{
	auto_close int fd = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	g_autoptr(GError) error = NULL;
	struct state_file *f;
	char self[32];
	int r;

	if (fd < 0)
		return err_set(e, -errno, "cannot open '%s': %s", from, strerror(errno));
	r = state_file_open(fd, &f, e);
	if (r < 0)
		return err_prefix(e, "'%.100s'", from);
	state_file_close(f);
	/* Of the file that was looked at, whatever has its name now. */
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, self, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0 ||
	    lodge_file_copy(fd, to, 0600, &error))
		return 0;
	return vm_home_error(e, error);
}
