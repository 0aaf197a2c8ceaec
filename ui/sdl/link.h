/*
 * The console's conversation with its VM: a thread with GLib's default main context that sends what
 * the user does and hears what the VM says, so that the window never waits for either. What it
 * hears reaches the window's thread as SDL events.
 */
#ifndef SDL_LINK_H
#define SDL_LINK_H
#include <SDL2/SDL.h>
#include "client/client.h"
#include "sdl/sendq.h"

struct link;

/* SDL events, from the number on that link_first_event() gives. data1: owned by who takes them. */
enum link_event {
	LINK_FRAME,  /* the display can be read; the next one comes after link_watch_frame() */
	LINK_STATE,  /* data1: struct link_state */
	LINK_FAILED, /* a call failed; data1: a line on why (g_free) */
	LINK_LEDS,   /* code: lock lights of the guest's keyboard, as Input1.Leds has them */
	LINK_CLOSED, /* the VM has hung up; nothing comes after it */
	LINK_N_EVENTS,
};

/* From the VM's properties, or a signal of it. */
struct link_state {
	char *state, *reason; /* as in org.lodge.xml */
	char *end;	      /* why it ended: one line, or "" */
};
void link_state_free(struct link_state *s); /* NULL is fine */

/* Window's thread. vm (borrowed) belongs to the link from here to link_stop(), except for
 * ui_display_set_rate(). wake_fd: the display's; -1: the window's thread watches it itself. */
struct link *link_start(struct ui_vm *vm, int wake_fd);
/* An eventfd (the link's) that counts events, for a thread that does not sleep in SDL. */
int link_event_fd(const struct link *l);
/* What is queued is sent, for a moment at most. NULL is fine. */
void link_stop(struct link *l);
Uint32 link_first_event(const struct link *l);
/* The display was read: tell when there is more. */
void link_watch_frame(struct link *l);
/* method of VM1, without arguments and answer. */
void link_call(struct link *l, const char *method);

/* Queued; link_push() makes them go. */
void link_key(struct link *l, unsigned code, bool down);
void link_button(struct link *l, unsigned button, bool down);
void link_move(struct link *l, int32_t dx, int32_t dy, int32_t wheel);
void link_release_all(struct link *l);
void link_push(struct link *l);
#endif
