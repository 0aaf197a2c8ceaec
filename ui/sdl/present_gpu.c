/*
 * Presenting by SDL's renderer, see present.h: a texture as large as the guest's screen, of which
 * only what changed is uploaded, and for sizes that are no whole multiple a second one in which its
 * pixels are multiplied crisply before the GPU's filter brings it to size.
 */
#include <glob.h>
#include <glib.h>
#include <unistd.h>
#include "sdl/present.h"

struct present {
	SDL_Window *window; /* borrowed */
	SDL_Renderer *renderer;
	SDL_Texture *picture, *before, *panel, *note;
	unsigned width, height; /* of picture */
	unsigned before_width, before_height;
	bool stale; /* picture has not all of what was drawn */
};

bool present_has_gpu(void)
{
	glob_t g = { 0 };
	bool found = false;

	if (glob("/dev/dri/renderD*", 0, NULL, &g) == 0)
		for (size_t i = 0; i < g.gl_pathc; i++)
			found |= access(g.gl_pathv[i], R_OK | W_OK) == 0;
	globfree(&g);
	return found;
}

static void drop(SDL_Texture **t)
{
	if (*t)
		SDL_DestroyTexture(*t);
	*t = NULL;
}

static void gpu_destroy(struct present *p)
{
	if (!p)
		return;
	drop(&p->picture);
	drop(&p->before);
	drop(&p->panel);
	drop(&p->note);
	if (p->renderer)
		SDL_DestroyRenderer(p->renderer);
	g_free(p);
}

static struct present *gpu_create(SDL_Window *window)
{
	struct present *p = g_new0(struct present, 1);

	p->window = window;
	/* Without vsync: the VM draws no faster than the screen shows, and waiting for a window
	 * that is hidden would never end. */
	p->renderer = SDL_CreateRenderer(window, -1, 0);
	if (p->renderer)
		return p;
	g_free(p);
	return NULL;
}

static void gpu_size(struct present *p, int *ret_width, int *ret_height)
{
	if (SDL_GetRendererOutputSize(p->renderer, ret_width, ret_height) < 0)
		SDL_GetWindowSizeInPixels(p->window, ret_width, ret_height);
}

static void gpu_lost(struct present *p)
{
	drop(&p->picture);
	drop(&p->before);
	drop(&p->panel);
	drop(&p->note);
}

/* A texture that has the size, made anew if it has not. */
static bool make(struct present *p, SDL_Texture **t, int access, unsigned *w, unsigned *h,
		 unsigned want_w, unsigned want_h)
{
	if (*t && *w == want_w && *h == want_h)
		return true;
	drop(t);
	*t = SDL_CreateTexture(p->renderer, SDL_PIXELFORMAT_RGB888, access, (int)want_w,
			       (int)want_h);
	*w = want_w;
	*h = want_h;
	p->stale = true;
	return *t != NULL;
}

static void upload(struct present *p, const struct ui_picture *pic, const struct frame_rect *r)
{
	const SDL_Rect to = { (int)r->x, (int)r->y, (int)r->width, (int)r->height };

	SDL_UpdateTexture(p->picture, &to, pic->pixels + (size_t)r->y * pic->width + r->x,
			  (int)pic->width * 4);
}

static bool take_picture(struct present *p, const struct present_scene *s)
{
	const struct ui_picture *pic = s->picture;
	const struct frame_rect all = { 0, 0, pic->width, pic->height };

	if (!make(p, &p->picture, SDL_TEXTUREACCESS_STREAMING, &p->width, &p->height, pic->width,
		  pic->height))
		return false;
	if (p->stale)
		upload(p, pic, &all);
	for (unsigned i = 0; !p->stale && i < s->n_rects; i++)
		upload(p, pic, &s->rect[i]);
	p->stale = false;
	return true;
}

/* The picture with its pixels multiplied, as a texture to be scaled; NULL: it cannot be had. */
static SDL_Texture *multiplied(struct present *p, const struct layout *l)
{
	SDL_RendererInfo info;
	const unsigned w = p->width * l->before_x, h = p->height * l->before_y;
	bool was_stale = p->stale;

	if (SDL_GetRendererInfo(p->renderer, &info) < 0 ||
	    !(info.flags & SDL_RENDERER_TARGETTEXTURE) ||
	    (info.max_texture_width > 0 &&
	     (w > (unsigned)info.max_texture_width || h > (unsigned)info.max_texture_height)) ||
	    !make(p, &p->before, SDL_TEXTUREACCESS_TARGET, &p->before_width, &p->before_height, w,
		  h))
		return NULL;
	p->stale = was_stale;
	SDL_SetTextureScaleMode(p->picture, SDL_ScaleModeNearest);
	SDL_SetRenderTarget(p->renderer, p->before);
	SDL_RenderCopy(p->renderer, p->picture, NULL, NULL);
	SDL_SetRenderTarget(p->renderer, NULL);
	return p->before;
}

static void copy_picture(struct present *p, const struct present_scene *s)
{
	const struct layout *l = &s->layout;
	const SDL_Rect to = { l->x, l->y, l->width, l->height };
	SDL_Texture *from = p->picture;

	if (l->before_x > 1 || l->before_y > 1) {
		SDL_Texture *t = multiplied(p, l);
		from = t ? t : from;
	}
	SDL_SetTextureScaleMode(from, l->crisp ? SDL_ScaleModeNearest : SDL_ScaleModeLinear);
	SDL_RenderCopy(p->renderer, from, NULL, &to);
}

static void copy_overlay(struct present *p, SDL_Texture **t, const struct present_overlay *o)
{
	SDL_Rect to;

	if (o->changed || !o->surface)
		drop(t);
	if (!o->surface)
		return;
	if (!*t)
		*t = SDL_CreateTextureFromSurface(p->renderer, o->surface);
	if (o->dims) {
		SDL_SetRenderDrawBlendMode(p->renderer, SDL_BLENDMODE_BLEND);
		SDL_SetRenderDrawColor(p->renderer, 0, 0, 0, 0x80);
		SDL_RenderFillRect(p->renderer, NULL);
	}
	to = (SDL_Rect){ o->x, o->y, o->surface->w, o->surface->h };
	if (*t)
		SDL_RenderCopy(p->renderer, *t, NULL, &to);
}

static bool gpu_show(struct present *p, const struct present_scene *s)
{
	SDL_SetRenderDrawColor(p->renderer, 0, 0, 0, 0xff);
	if (SDL_RenderClear(p->renderer) < 0)
		return false;
	if (s->picture && take_picture(p, s))
		copy_picture(p, s);
	copy_overlay(p, &p->note, &s->note);
	copy_overlay(p, &p->panel, &s->panel);
	SDL_RenderPresent(p->renderer);
	return true;
}

const struct present_ops present_gpu = {
	.name = "gpu",
	.create = gpu_create,
	.destroy = gpu_destroy,
	.size = gpu_size,
	.show = gpu_show,
	.lost = gpu_lost,
};
