/* The window's icon. */
#ifndef SDL_ICON_H
#define SDL_ICON_H
#include <SDL2/SDL.h>
void icon_set(SDL_Window *window);
#endif
