/*
 * A panel over the guest's picture: a question with answers to choose from, the help, or a message.
 * It knows what it says and which answer is chosen, and draws itself to a surface; where that goes
 * is the view's business. Window's thread.
 */
#ifndef SDL_PANEL_H
#define SDL_PANEL_H
#include <SDL2/SDL.h>
#include <stdbool.h>
#include "sdl/text.h"

#define PANEL_MAX_LINES 14
#define PANEL_MAX_ITEMS 5
#define PANEL_NOTHING 0 /* no answer was given: actions are other numbers */

struct panel_item {
	const char *label; /* static; the one that its first letter stands for */
	const char *hint;  /* static; what it means */
	int action;
};

struct panel_content {
	const char *title;
	struct panel_line {
		const char *left, *right; /* right: NULL, or in a column of its own */
	} line[PANEL_MAX_LINES];
	unsigned n_lines;
	struct panel_item item[PANEL_MAX_ITEMS];
	unsigned n_items;
	unsigned selected;
	int escape; /* action of the escape key */
};

struct panel;

struct panel *panel_create(const struct text *text, double scale); /* text: borrowed */
void panel_destroy(struct panel *p);
/* Copied. A panel that was open is replaced. */
void panel_open(struct panel *p, const struct panel_content *c);
void panel_close(struct panel *p);
bool panel_is_open(const struct panel *p);
/* The picture of it, at most so wide; borrowed until the next call of anything here. NULL: it is
 * not open. *ret_changed: not as it was at the last call. */
SDL_Surface *panel_surface(struct panel *p, int max_width, bool *ret_changed);

/* How far down its selected answer begins and ends: where not all of it can be seen, that should.
 */
void panel_selected(const struct panel *p, int *ret_begin, int *ret_end);

/* Each returns the action that was chosen, or PANEL_NOTHING. x, y: within the surface. */
int panel_key(struct panel *p, SDL_Scancode code);
int panel_click(struct panel *p, int x, int y);
/* true: another answer is selected now. */
bool panel_hover(struct panel *p, int x, int y);
#endif
