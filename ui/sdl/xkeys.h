/*
 * X's own number of the key behind each of SDL's keyboard events. On Linux that is the kernel's
 * code plus 8, exactly; SDL's scancode is a guess for keys that not every keyboard has, and two of
 * them can share one. Window's thread.
 */
#ifndef SDL_XKEYS_H
#define SDL_XKEYS_H
#include <SDL2/SDL.h>

/* From here on; once, after SDL_Init(). Takes SDL's event filter. */
void xkeys_start(void);
/* The evdev code of a keyboard event; by_scancode where X does not know better. */
unsigned xkeys_evdev(const SDL_KeyboardEvent *e, unsigned by_scancode);
#endif
