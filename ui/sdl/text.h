/* Text in the console's own panels: one font of the host, drawn to pixels. Window's thread. */
#ifndef SDL_TEXT_H
#define SDL_TEXT_H
#include <SDL2/SDL.h>
#include <gio/gio.h>
#include <stdbool.h>

enum text_style { TEXT_BODY, TEXT_BOLD, TEXT_TITLE, TEXT_N_STYLES };

struct text;

/* scale: 1 for ordinary monitors, more for denser ones. NULL with error set: no font was found. */
struct text *text_create(double scale, GError **error);
void text_destroy(struct text *t); /* NULL is fine */
/* From line to line. */
int text_line_height(const struct text *t, enum text_style style);
int text_width(const struct text *t, enum text_style style, const char *utf8);
/* Draws one line, blended, its upper left corner at x, y; no wider than max_width (0: any). */
void text_draw(const struct text *t, SDL_Surface *to, enum text_style style, const char *utf8,
	       SDL_Color color, int x, int y, int max_width);
#endif
