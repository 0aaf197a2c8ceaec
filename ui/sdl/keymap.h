/* Which key of a PC keyboard an SDL scancode is: by its place, whatever the host's layout makes of
 * it. Pure. */
#ifndef SDL_KEYMAP_H
#define SDL_KEYMAP_H
#include <SDL2/SDL.h>

/* As in linux/input-event-codes.h; 0: it is none that a keyboard of a VM could have. */
unsigned keymap_evdev(SDL_Scancode code);
/* The scancode that console.ini calls so, "right-ctrl"; SDL_SCANCODE_UNKNOWN: no host key can be
 * called that. */
SDL_Scancode keymap_host_key(const char *name);
/* What a person calls that host key: "Right Ctrl". */
const char *keymap_host_key_title(SDL_Scancode code);
/* All names of host keys, NULL-ended. */
const char *const *keymap_host_key_names(void);
#endif
