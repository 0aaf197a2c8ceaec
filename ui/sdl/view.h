/*
 * The window: its size and place, what is drawn in it and where. Knows pictures and panels, and
 * nothing of VMs. Window's thread.
 */
#ifndef SDL_VIEW_H
#define SDL_VIEW_H
#include <SDL2/SDL.h>
#include <gio/gio.h>
#include <stdbool.h>
#include "client/display.h"
#include "sdl/layout.h"
#include "sdl/panel.h"
#include "sdl/settings.h"

struct view;

struct view_options {
	const char *title;
	const struct geometry *geometry; /* NULL: none remembered */
	enum layout_scaling scaling;
	bool fullscreen;
};

/* first: the picture that the window is made for. NULL with error set: no window can be made. */
struct view *view_create(const struct view_options *o, const struct ui_picture *first,
			 GError **error);
void view_destroy(struct view *v); /* NULL is fine */

SDL_Window *view_window(const struct view *v);
/* Of texts: 1, or more on a dense monitor. */
double view_scale(const struct view *v);
/* Frames a second of the monitor, 0 while nobody can see the window. */
unsigned view_rate(const struct view *v);
/* What is over the picture from now on; NULL: nothing. Borrowed. The panel dims the picture and is
 * in the middle, the note at the bottom. */
void view_set_overlays(struct view *v, struct panel *panel, struct panel *note);

/* A new picture with what has changed; pic's pixels must stay until the next. */
void view_take(struct view *v, const struct ui_picture *pic);
/* Gives the window the size of the guest's mode, unless the user has chosen another. */
void view_follow(struct view *v);
/* Draws if there is something to draw. */
void view_show(struct view *v);
/* The next show draws everything. */
void view_expose(struct view *v);
void view_window_event(struct view *v, const SDL_WindowEvent *e);
void view_lost(struct view *v); /* the GPU's memory */

void view_set_fullscreen(struct view *v, bool on);
bool view_is_fullscreen(const struct view *v);
void view_set_scaling(struct view *v, enum layout_scaling s);
enum layout_scaling view_scaling(const struct view *v);
/* How many guest pixels a step of the pointer in the window is. */
void view_pointer_scale(const struct view *v, double *ret_x, double *ret_y);
/* A point of the window as one of the panel's surface. */
void view_panel_point(const struct view *v, int x, int y, int *ret_x, int *ret_y);
struct geometry view_geometry(const struct view *v);
#endif
