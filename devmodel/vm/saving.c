/* See saving.h. The child's last word comes by a pipe; its end without one is a failure. */
#include "vm/saving.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/loop.h"
#include "devmodel/machine/machine.h"
#include "state/container.h"

struct saving {
	struct loop *loop; /* borrowed */
	struct loop_fd word;
	pid_t child;
	int fd, pipe; /* owned */
	uint64_t expected_bytes;
	saving_done *done;
	void *ctx;
};

/* ---- the child ---- */

/* It has one thread, and nothing of the parent's to tidy up. */
static void write_it(struct machine *m, struct state_writer *w, int pipe, pid_t parent)
{
	struct err e = { 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	e.code = machine_save_end(m, w, &e);
	if (write(pipe, &e, sizeof(e)) != sizeof(e))
		_exit(1);
	_exit(0);
}

/* ---- the parent ---- */

static uint64_t file_bytes(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void free_saving(struct saving *s)
{
	if (s == NULL)
		return;
	if (s->fd >= 0)
		close(s->fd);
	if (s->pipe >= 0)
		close(s->pipe);
	free(s);
}

/* It has said something, or ended. */
static void on_word(void *ctx, uint32_t events)
{
	struct saving *s = ctx;
	struct err e;
	ssize_t n;

	(void)events;
	do
		n = read(s->pipe, &e, sizeof(e));
	while (n < 0 && errno == EINTR);
	if (n != sizeof(e))
		err_set(&e, -EIO, "the process that wrote the state was ended");
	e.msg[sizeof(e.msg) - 1] = '\0';
	loop_fd_remove(s->loop, &s->word);
	while (waitpid(s->child, NULL, 0) < 0 && errno == EINTR)
		;
	s->done(s->ctx, e.code, file_bytes(s->fd), e.msg);
	free_saving(s);
}

static int watch(struct saving *s, int ends[2], struct err *e)
{
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(e, -errno, "cannot save: %s", strerror(errno));
	s->pipe = ends[0];
	s->word = (struct loop_fd){ .fn = on_word, .ctx = s, .fd = ends[0] };
	return loop_fd_add(s->loop, &s->word, EPOLLIN, e);
}

static int here(struct machine *m, struct state_writer *w, int fd, saving_done *done, void *ctx)
{
	struct err e = { 0 };
	const int r = machine_save_end(m, w, &e);

	done(ctx, r, file_bytes(fd), e.msg);
	return 0;
}

int saving_check_target(int fd, struct err *e)
{
	const int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    (flags & O_ACCMODE) == O_RDONLY || (flags & O_APPEND))
		return err_set(e, -EINVAL,
			       "what it is to be written to is no ordinary file that is open for "
			       "writing, and not for appending");
	return st.st_size == 0
		       ? 0
		       : err_set(e, -EINVAL,
				 "the file that it is to be written to is not empty: it has %lld "
				 "bytes",
				 (long long)st.st_size);
}

int saving_begin(struct machine *m, struct loop *l, int fd, saving_done *done, void *ctx,
		 struct saving **ret_saving, struct err *e)
{
	const pid_t parent = getpid();
	struct state_writer *w = NULL;
	int ends[2] = { -1, -1 };
	struct saving *s = malloc(sizeof(*s));

	if (s == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	*s = (struct saving){ .loop = l, .pipe = -1, .done = done, .ctx = ctx };
	s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	int r = s->fd < 0 ? err_set(e, -errno, "cannot save: %s", strerror(errno)) : 0;
	if (r == 0)
		r = machine_save_begin(m, fd, &w, &s->expected_bytes, e);
	if (r == 0)
		r = watch(s, ends, e);
	if (r < 0) {
		state_writer_destroy(w);
		free_saving(s);
		return r;
	}
	s->child = fork();
	if (s->child == 0)
		write_it(m, w, ends[1], parent);
	close(ends[1]);
	if (s->child > 0) {
		state_writer_destroy(w);
		*ret_saving = s;
		return 0;
	}
	loop_fd_remove(l, &s->word);
	free_saving(s);
	*ret_saving = NULL;
	return here(m, w, fd, done, ctx);
}

unsigned saving_percent(const struct saving *s)
{
	const uint64_t n = file_bytes(s->fd);

	return n >= s->expected_bytes ? 100 : (unsigned)(n * 100 / s->expected_bytes);
}

void saving_wait(struct saving *s)
{
	if (s != NULL)
		on_word(s, 0);
}
