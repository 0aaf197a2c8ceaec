/* What the console remembers: the user's choices in $XDG_CONFIG_HOME/lodge/console.ini, and each
 * VM's window in $XDG_STATE_HOME/lodge. */
#ifndef SDL_SETTINGS_H
#define SDL_SETTINGS_H
#include <SDL2/SDL.h>
#include <gio/gio.h>
#include <stdbool.h>
#include "sdl/layout.h"

/* [console] of console.ini */
struct settings {
	SDL_Scancode host_key;	     /* host-key = right-ctrl */
	enum layout_scaling scaling; /* scaling = fit | integer | smooth */
};

/* Without the file: what is usual. False: it says something that has no meaning; the error is one
 * whole line. */
bool settings_load(struct settings *ret, GError **error);

struct geometry {
	int x, y, width, height; /* of the window, in the desktop's units */
	bool sized;		 /* the user chose the size: it does not follow the guest's mode */
};

/* False: nothing is remembered of that VM. */
bool geometry_load(const char *vm, struct geometry *ret);
void geometry_save(const char *vm, const struct geometry *g); /* as well as it can be done */
#endif
