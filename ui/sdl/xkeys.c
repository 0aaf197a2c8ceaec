/*
 * X's key numbers, see xkeys.h. SDL shows each event of X to the filter just before the events that
 * it makes of it, so the filter notes the number there, and puts it into a member of the latter
 * that SDL does not use.
 */
#include "sdl/xkeys.h"
#include <linux/input-event-codes.h>
#include <SDL2/SDL_syswm.h>
#include <stdbool.h>

#define FIRST_KEYCODE 8u /* is code 0 */

static struct {
	Uint32 keycode; /* of the X event that is being handled; 0: it is none of a key */
	bool other;	/* this X server numbers its keys in another way */
} x;

static Uint32 keycode_of(const SDL_SysWMmsg *msg)
{
#ifdef SDL_VIDEO_DRIVER_X11
	const XEvent *e = &msg->msg.x11.event;

	if (msg->subsystem == SDL_SYSWM_X11 && (e->type == KeyPress || e->type == KeyRelease))
		return e->xkey.keycode;
#else
	(void)msg;
#endif
	return 0;
}

static int filter(void *ctx, SDL_Event *e)
{
	(void)ctx;
	if (e->type == SDL_SYSWMEVENT) {
		x.keycode = keycode_of(e->syswm.msg);
		return 0;
	}
	if (e->type == SDL_KEYDOWN || e->type == SDL_KEYUP) {
		e->key.keysym.unused = x.keycode;
		x.keycode = 0; /* SDL also makes up releases */
	}
	return 1;
}

void xkeys_start(void)
{
	SDL_SetEventFilter(filter, NULL);
	SDL_EventState(SDL_SYSWMEVENT, SDL_ENABLE);
}

unsigned xkeys_evdev(const SDL_KeyboardEvent *e, unsigned by_scancode)
{
	const Uint32 keycode = e->keysym.unused;
	const unsigned code = keycode - FIRST_KEYCODE;

	if (keycode <= FIRST_KEYCODE || keycode > 255 || x.other)
		return by_scancode;
	switch (by_scancode) { /* keys of which there is one, everywhere */
	case KEY_UP:
	case KEY_DOWN:
	case KEY_LEFT:
	case KEY_RIGHT:
		x.other = code != by_scancode;
		return by_scancode;
	case KEY_RIGHTALT: /* also level 3 shifts that only X has, by programs that type */
		return by_scancode;
	}
	return code;
}
