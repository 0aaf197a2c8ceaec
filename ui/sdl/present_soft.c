/*
 * Presenting without a GPU, see present.h: the picture is scaled into the window's own surface, and
 * of that only what has changed goes to the desktop.
 */
#include <glib.h>
#include <string.h>
#include "sdl/present.h"
#include "sdl/scale.h"

#define RECTS_MAX 64

struct present {
	SDL_Window *window; /* borrowed */
	struct scale *scale;
	/* what scale was made for */
	unsigned from_width, from_height;
	struct layout layout;
	bool smooth, lost;
};

static void soft_destroy(struct present *p)
{
	if (!p)
		return;
	scale_destroy(p->scale);
	g_free(p);
}

static bool usable(const SDL_Surface *s)
{
	return s && (s->format->format == SDL_PIXELFORMAT_RGB888 ||
		     s->format->format == SDL_PIXELFORMAT_ARGB8888);
}

static struct present *soft_create(SDL_Window *window)
{
	struct present *p;

	if (!usable(SDL_GetWindowSurface(window)))
		return NULL;
	p = g_new0(struct present, 1);
	p->window = window;
	p->lost = true;
	return p;
}

static void soft_size(struct present *p, int *ret_width, int *ret_height)
{
	SDL_GetWindowSizeInPixels(p->window, ret_width, ret_height);
}

static void soft_lost(struct present *p)
{
	p->lost = true;
}

static bool same_layout(const struct layout *a, const struct layout *b)
{
	return a->x == b->x && a->y == b->y && a->width == b->width && a->height == b->height;
}

/* false: what is in the window does not fit to the scene any more. */
static bool prepare(struct present *p, const struct present_scene *s)
{
	const struct layout *l = &s->layout;
	const struct ui_picture *pic = s->picture;

	if (p->scale && p->from_width == pic->width && p->from_height == pic->height &&
	    p->smooth == s->smooth && same_layout(&p->layout, l))
		return true;
	scale_destroy(p->scale);
	p->scale = scale_create(pic->width, pic->height, (unsigned)l->width, (unsigned)l->height,
				s->smooth ? SCALE_SMOOTH : SCALE_SHARP);
	p->from_width = pic->width;
	p->from_height = pic->height;
	p->layout = *l;
	p->smooth = s->smooth;
	return false;
}

/* Draws a part of the scaled picture, cut to the surface; *ret is where that is. */
static bool draw_part(struct present *p, SDL_Surface *to, const struct ui_picture *pic,
		      struct scale_rect r, SDL_Rect *ret)
{
	const SDL_Rect all = { 0, 0, to->w, to->h };
	const SDL_Rect part = { p->layout.x + (int)r.x, p->layout.y + (int)r.y, (int)r.width,
				(int)r.height };

	/* The picture can be larger than the window: it has at least a pixel. */
	if (!SDL_IntersectRect(&part, &all, ret))
		return false;
	r = (struct scale_rect){ (unsigned)(ret->x - p->layout.x), (unsigned)(ret->y - p->layout.y),
				 (unsigned)ret->w, (unsigned)ret->h };
	const int stride = to->pitch / 4;
	uint32_t *origin = (uint32_t *)to->pixels + (ptrdiff_t)p->layout.y * stride + p->layout.x;
	scale_draw(p->scale, pic->pixels, pic->width, origin, (size_t)stride, &r);
	return true;
}

static bool show_damage(struct present *p, SDL_Surface *to, const struct present_scene *s)
{
	SDL_Rect out[RECTS_MAX];
	int n = 0;

	for (unsigned i = 0; i < s->n_rects && n < RECTS_MAX; i++) {
		const struct scale_rect from = { s->rect[i].x, s->rect[i].y, s->rect[i].width,
						 s->rect[i].height };
		n += draw_part(p, to, s->picture, scale_damage(p->scale, &from), &out[n]);
	}
	return n == 0 || SDL_UpdateWindowSurfaceRects(p->window, out, n) == 0;
}

static void dim(SDL_Surface *to)
{
	for (int y = 0; y < to->h; y++) {
		uint32_t *line =
			(uint32_t *)(void *)((char *)to->pixels + (ptrdiff_t)y * to->pitch);
		for (int x = 0; x < to->w; x++)
			line[x] = line[x] >> 1 & 0x7f7f7f;
	}
}

static void draw_overlay(SDL_Surface *to, const struct present_overlay *o)
{
	SDL_Rect at = { o->x, o->y, 0, 0 };

	if (!o->surface)
		return;
	if (o->dims)
		dim(to);
	SDL_BlitSurface(o->surface, NULL, to, &at);
}

static bool show_whole(struct present *p, SDL_Surface *to, const struct present_scene *s)
{
	SDL_Rect drawn;

	SDL_FillRect(to, NULL, 0);
	if (s->picture)
		draw_part(p, to, s->picture,
			  (struct scale_rect){ 0, 0, (unsigned)p->layout.width,
					       (unsigned)p->layout.height },
			  &drawn);
	draw_overlay(to, &s->note);
	draw_overlay(to, &s->panel);
	return SDL_UpdateWindowSurface(p->window) == 0;
}

static bool soft_show(struct present *p, const struct present_scene *s)
{
	SDL_Surface *to = SDL_GetWindowSurface(p->window);
	bool whole = s->whole || p->lost || !s->picture || s->note.changed || s->panel.changed;

	if (!usable(to))
		return false;
	if (s->picture && !prepare(p, s))
		whole = true;
	/* Under an overlay the damage would have to be dimmed, and it drawn again. */
	whole |= s->note.surface || s->panel.surface || s->n_rects > RECTS_MAX;
	if (whole && !show_whole(p, to, s))
		return false;
	if (!whole && !show_damage(p, to, s))
		return false;
	p->lost = false;
	return true;
}

const struct present_ops present_soft = {
	.name = "soft",
	.create = soft_create,
	.destroy = soft_destroy,
	.size = soft_size,
	.show = soft_show,
	.lost = soft_lost,
};
