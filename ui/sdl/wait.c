/* The window's sleep, see wait.h. */
#include "sdl/wait.h"
#include <SDL2/SDL_syswm.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

static void end_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
}

void wait_block_signals(void)
{
	sigset_t set;

	end_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* poll() with these signals let in. */
static int sleep_on(struct pollfd *p, nfds_t n, int timeout_ms)
{
	const struct timespec time = { .tv_sec = timeout_ms / 1000,
				       .tv_nsec = timeout_ms % 1000 * 1000000L };
	sigset_t mask;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	sigdelset(&mask, SIGINT);
	sigdelset(&mask, SIGTERM);
	return ppoll(p, n, timeout_ms < 0 ? NULL : &time, &mask);
}

/* SDL's own sleep lets them in all the time. */
static void let_signals_in(void)
{
	sigset_t set;

	end_signals(&set);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

int wait_desktop_fd(SDL_Window *window)
{
#ifdef SDL_VIDEO_DRIVER_X11
	SDL_SysWMinfo info;

	SDL_VERSION(&info.version);
	if (SDL_GetWindowWMInfo(window, &info) && info.subsystem == SDL_SYSWM_X11)
		return ConnectionNumber(info.info.x11.display);
#else
	(void)window;
#endif
	return -1;
}

bool wait_event(const struct wait *w, SDL_Event *e, int timeout_ms, bool *ret_frame)
{
	struct pollfd p[] = { { w->desktop_fd, POLLIN, 0 },
			      { w->link_fd, POLLIN, 0 },
			      { w->frame_fd, POLLIN, 0 } };
	uint64_t n;

	*ret_frame = false;
	if (w->desktop_fd < 0) {
		let_signals_in();
		return SDL_WaitEventTimeout(e, timeout_ms);
	}
	/* Also what Xlib has read already: while a picture was shown, say. */
	if (SDL_PollEvent(e))
		return true;
	if (sleep_on(p, SDL_arraysize(p), timeout_ms) <= 0) /* a signal is an event to SDL */
		return SDL_PollEvent(e);
	if (p[1].revents != 0 && read(w->link_fd, &n, sizeof(n)) < 0)
		return false;
	*ret_frame = p[2].revents != 0;
	return SDL_PollEvent(e);
}
