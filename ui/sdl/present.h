/*
 * How a picture gets into a window: by the GPU (SDL's renderer), or without one by scaling it
 * ourselves, and then only what has changed. Window's thread.
 */
#ifndef SDL_PRESENT_H
#define SDL_PRESENT_H
#include <SDL2/SDL.h>
#include <stdbool.h>
#include "client/display.h"
#include "sdl/layout.h"

/* What lies over the picture, which is dimmed then. */
struct present_overlay {
	SDL_Surface *surface; /* borrowed; NULL: none */
	int x, y;
	bool changed, dims;
};

/* One frame to show. */
struct present_scene {
	const struct ui_picture
		*picture;     /* its pixels are those of the last read; NULL: none yet */
	struct layout layout; /* of the picture */
	bool smooth;	      /* not crisp, whatever the size */
	bool whole;	      /* all of the window is to be drawn, not only the damage */
	/* Of the picture, since the last frame. */
	unsigned n_rects;
	const struct frame_rect *rect;
	struct present_overlay panel, note;
};

struct present;

struct present_ops {
	const char *name;
	/* NULL: this window cannot be drawn so. */
	struct present *(*create)(SDL_Window *window);
	void (*destroy)(struct present *p);
	/* Size of the window in its own pixels. */
	void (*size)(struct present *p, int *ret_width, int *ret_height);
	/* false: nothing could be shown; a later try may work. */
	bool (*show)(struct present *p, const struct present_scene *s);
	/* The window's contents or size, or the GPU's memory were lost. */
	void (*lost)(struct present *p);
};

extern const struct present_ops present_gpu, present_soft;
/* Does this host have a GPU to draw with? */
bool present_has_gpu(void);
#endif
