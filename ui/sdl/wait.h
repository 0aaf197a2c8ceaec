/*
 * The window's sleep. SDL's own ends for the desktop's events alone, so that the frames and the
 * link's thread would have to come as such: through the X server, and a second thread. Under X11 it
 * is one poll() on all of them instead. Window's thread.
 */
#ifndef SDL_WAIT_H
#define SDL_WAIT_H
#include <SDL2/SDL.h>
#include <stdbool.h>

struct wait {
	int desktop_fd; /* -1: not known; then it is SDL's own sleep, and nothing else ends it */
	int frame_fd;	/* readable: there is a frame. Borrowed; -1: none is waited for */
	int link_fd;	/* an eventfd: SDL's queue was filled by another thread. Borrowed */
};

/* Signals that are to end the program come while it sleeps, and only then: not between a look for
 * events and the sleep. Before any other thread is started, which must not take them. */
void wait_block_signals(void);
/* The descriptor by which the window hears its desktop, or -1. */
int wait_desktop_fd(SDL_Window *window);
/* At most timeout_ms, -1: for ever. True: there is an event. *ret_frame: there is a frame. */
bool wait_event(const struct wait *w, SDL_Event *e, int timeout_ms, bool *ret_frame);
#endif
