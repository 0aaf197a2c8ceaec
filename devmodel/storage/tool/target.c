/* What lodge-disk makes anew: what may be replaced by it, what is left when it is ended; see
 * tool.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/util.h"
#include "devmodel/storage/io/file.h"
#include "devmodel/storage/tool/tool.h"

static const int ends[] = { SIGHUP, SIGINT, SIGTERM };
static char unfinished[PATH_MAX]; /* goes when one of them comes */

int tool_real_path(const char *path, char **ret_path, struct err *e)
{
	auto_free char *real = realpath(path, NULL);
	struct stat st;

	if (real == NULL) /* what cannot be is told when it is made */
		real = strdup(path);
	if (real == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	if (stat(real, &st) == 0 && !S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "cannot replace '%.200s': it is not an ordinary file",
			       path);
	*ret_path = TAKE_PTR(real);
	return 0;
}

/* Does nobody have it? */
static int check_free(const char *path, struct err *e)
{
	auto_close int fd = open(path, O_RDWR | O_CLOEXEC);
	char who[160];

	if (fd < 0)
		return err_set(e, -errno, "cannot replace '%.200s': %s", path, strerror(errno));
	const int r = io_file_lock(fd, true, path, e);
	if (r == -EBUSY && tool_holder(path, who, sizeof(who)))
		return err_set(e, r, "cannot replace '%.100s': it is in use by %s", path, who);
	return r;
}

int tool_target(const struct tool *t, const char *path, char **ret_path, struct err *e)
{
	const bool there = access(path, F_OK) == 0;
	auto_free char *real = NULL;
	int r = 0;

	if (there && !t->force)
		return err_set(e, -EEXIST, "'%.200s' exists already (--force replaces it)", path);
	r = tool_real_path(path, &real, e);
	if (r == 0 && there)
		r = check_free(real, e);
	if (r == 0)
		*ret_path = TAKE_PTR(real);
	return r;
}

static void on_end(int sig)
{
	unlink(unfinished);
	raise(sig); /* which now has its usual effect */
}

static void hold_ends(sigset_t *ret_before)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < HV_ARRAY_LEN(ends); i++)
		sigaddset(&set, ends[i]);
	pthread_sigmask(SIG_BLOCK, &set, ret_before);
}

int tool_begin(const char *path, struct image_new *ret_new, struct err *e)
{
	struct sigaction sa = { .sa_handler = on_end, .sa_flags = SA_RESETHAND | SA_NODEFER };
	struct sigaction old;
	sigset_t before;

	hold_ends(&before);
	const int r = image_new_begin(path, ret_new, e);
	if (r == 0)
		snprintf(unfinished, sizeof(unfinished), "%s", ret_new->temp);
	for (size_t i = 0; i < HV_ARRAY_LEN(ends) && r == 0; i++)
		if (sigaction(ends[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			(void)!sigaction(ends[i], &sa, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

int tool_create(const char *path, const struct image_create *c, struct err *e)
{
	sigset_t before;

	hold_ends(&before);
	const int r = image_create(path, c, e);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}
