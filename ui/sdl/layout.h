/*
 * Where in a window the guest's picture lies, and how large a window it wants. Pure arithmetic; all
 * in the window's own pixels (of a HiDPI window: the output's, not the desktop's).
 */
#ifndef SDL_LAYOUT_H
#define SDL_LAYOUT_H
#include <stdbool.h>
#include <stdint.h>

enum layout_scaling {
	LAYOUT_FIT,	/* as large as fits; crisp where both factors are whole numbers */
	LAYOUT_INTEGER, /* the largest whole factors that fit: always crisp */
	LAYOUT_SMOOTH,	/* as large as fits, always smooth */
	LAYOUT_N_SCALINGS,
};

/* A mode of the guest's screen: pixels, and how a pixel's width is to its height. */
struct layout_mode {
	unsigned width, height, aspect_x, aspect_y;
};

struct layout {
	int x, y, width, height; /* of the picture in the window */
	bool crisp;		 /* whole factors: each guest pixel is a block of the same size */
	/* How often the picture is doubled crisply before it is scaled smoothly to its size, so
	 * that pixels stay square-edged at any size; 1: not at all. */
	unsigned before_x, before_y;
};

/* A window of nothing is taken for one pixel. */
struct layout layout_in(const struct layout_mode *m, int width, int height,
			enum layout_scaling scaling);
/* The size that shows the mode at its size: square pixels as they are, others stretched to their
 * aspect, small modes doubled until they have 640 columns; times scale (of a HiDPI desktop), but
 * no larger than max. */
void layout_window(const struct layout_mode *m, double scale, int max_width, int max_height,
		   int *ret_width, int *ret_height);
const char *layout_scaling_name(enum layout_scaling s); /* as in console.ini */
#endif
