/*
 * Keyboard and pointer: which of the window's events are the guest's, which are commands to the
 * console, and who has the pointer. Whatever was pressed is released when the window loses it.
 * Window's thread.
 */
#ifndef SDL_INPUT_H
#define SDL_INPUT_H
#include <SDL2/SDL.h>
#include <stdbool.h>
#include "sdl/link.h"

struct input;

enum command { /* by the host key and a letter */
	       COMMAND_NONE,
	       COMMAND_FULLSCREEN,
	       COMMAND_SCALING,
	       COMMAND_CLOSE,
	       COMMAND_CTRL_ALT_DEL,
	       COMMAND_PAUSE,
	       COMMAND_RESET,
	       COMMAND_HELP,
	       COMMAND_GRAB, /* the pointer was taken or set free: the title says so */
};

struct input *input_create(struct link *link, SDL_Window *window, SDL_Scancode host_key);
void input_destroy(struct input *in);
/* Keyboard, mouse and focus events; others are ignored. */
enum command input_event(struct input *in, const SDL_Event *e);
/* The end of a turn of the event loop: what has come goes to the VM. */
void input_flush(struct input *in);
/* Only a VM that runs takes what is pressed. */
void input_set_live(struct input *in, bool live);
/* Something else has keyboard and pointer for a while: a panel. */
void input_set_blocked(struct input *in, bool blocked);
void input_set_fullscreen(struct input *in, bool fullscreen);
/* Guest pixels for a step of the pointer in the window. */
void input_set_scale(struct input *in, double x, double y);
/* Lock lights of the guest's keyboard, as in Input1. */
void input_set_leds(struct input *in, unsigned leds);
bool input_is_grabbed(const struct input *in);
void input_ctrl_alt_del(struct input *in);
/* Everything comes up, keyboard and pointer are free. */
void input_leave(struct input *in);
#endif
