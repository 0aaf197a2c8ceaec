/* The window, see view.h. */
#include "sdl/view.h"
#include <math.h>
#include "protocol/protocol.h"
#include "sdl/icon.h"
#include "sdl/present.h"

#define RECTS_MAX 64
#define MIN_WIDTH 160
#define MIN_HEIGHT 120
#define DECORATIONS 48 /* a title bar, roughly */
#define DENSE_DPI 160.0
#define USUAL_DPI 96.0

struct view {
	SDL_Window *window;
	const struct present_ops *ops;
	struct present *present;
	struct ui_picture picture;
	struct layout_mode mode;
	enum layout_scaling scaling;
	double scale;
	bool fullscreen, hidden, sized;
	int want_width, want_height; /* of the window; any other size was the user's choice */
	struct geometry normal;	     /* when last seen neither full screen nor maximized */
	bool whole, dirty;
	unsigned n_rects;
	struct frame_rect rect[RECTS_MAX];
	struct panel *panel, *note; /* borrowed */
	int panel_x, panel_y;	    /* where it was drawn */
};

static struct layout_mode mode_of(const struct ui_picture *pic)
{
	return (struct layout_mode){ pic->width, pic->height, pic->aspect_x, pic->aspect_y };
}

/* ---- sizes ---- */

/* Window's own pixels for one unit of the desktop. */
static void pixels_per_unit(const struct view *v, double *ret_x, double *ret_y)
{
	int w, h, pw, ph;

	SDL_GetWindowSize(v->window, &w, &h);
	v->ops->size(v->present, &pw, &ph);
	*ret_x = w > 0 && pw > 0 ? (double)pw / w : 1.0;
	*ret_y = h > 0 && ph > 0 ? (double)ph / h : 1.0;
}

/* Desktops that scale by themselves tell by more pixels a unit; for others a monitor's density. */
static double density(int display)
{
	float dpi = 0;

	if (SDL_GetDisplayDPI(display, NULL, NULL, &dpi) < 0 || dpi < DENSE_DPI || dpi > 1000)
		return 1.0;
	return floor(dpi / USUAL_DPI * 2 + 0.5) / 2;
}

static void desktop_size(int display, int *ret_width, int *ret_height)
{
	SDL_Rect r = { 0, 0, 1024, 768 };

	if (SDL_GetDisplayUsableBounds(display, &r) < 0)
		SDL_GetDisplayBounds(display, &r);
	*ret_width = MAX(r.w - 16, MIN_WIDTH);
	*ret_height = MAX(r.h - DECORATIONS, MIN_HEIGHT);
}

static int display_of(const struct view *v)
{
	const int i = SDL_GetWindowDisplayIndex(v->window);

	return i < 0 ? 0 : i;
}

static bool is_normal(const struct view *v)
{
	return !v->fullscreen && !(SDL_GetWindowFlags(v->window) &
				   (SDL_WINDOW_MAXIMIZED | SDL_WINDOW_FULLSCREEN_DESKTOP));
}

static void note_geometry(struct view *v)
{
	struct geometry *g = &v->normal;

	if (!is_normal(v))
		return;
	SDL_GetWindowPosition(v->window, &g->x, &g->y);
	SDL_GetWindowSize(v->window, &g->width, &g->height);
	g->sized = v->sized;
}

void view_follow(struct view *v)
{
	double px, py;
	int max_width, max_height, w, h;

	if (v->sized || !is_normal(v))
		return;
	pixels_per_unit(v, &px, &py);
	desktop_size(display_of(v), &max_width, &max_height);
	layout_window(&v->mode, v->scale, (int)(max_width * px), (int)(max_height * py), &w, &h);
	w = MAX((int)(w / px + 0.5), MIN_WIDTH);
	h = MAX((int)(h / py + 0.5), MIN_HEIGHT);
	if (w == v->want_width && h == v->want_height)
		return;
	v->want_width = w;
	v->want_height = h;
	SDL_SetWindowSize(v->window, w, h);
	note_geometry(v);
	view_expose(v);
}

/* ---- making one ---- */

static bool on_some_display(const struct geometry *g)
{
	const SDL_Rect title = { g->x, g->y, g->width, 32 };
	SDL_Rect d, common;

	for (int i = 0; i < SDL_GetNumVideoDisplays(); i++)
		if (SDL_GetDisplayBounds(i, &d) == 0 && SDL_IntersectRect(&d, &title, &common) &&
		    common.w >= 64)
			return true;
	return false;
}

static bool make_window(struct view *v, const struct view_options *o)
{
	const struct geometry *g = o->geometry;
	const bool placed = g && on_some_display(g);
	const Uint32 flags = SDL_WINDOW_RESIZABLE | SDL_WINDOW_ALLOW_HIGHDPI |
			     (v->fullscreen ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0);
	int max_width, max_height;

	desktop_size(0, &max_width, &max_height);
	layout_window(&v->mode, v->scale, max_width, max_height, &v->want_width, &v->want_height);
	v->want_width = MAX(v->want_width, MIN_WIDTH);
	v->want_height = MAX(v->want_height, MIN_HEIGHT);
	v->sized = g && g->sized;
	v->window = SDL_CreateWindow(o->title, placed ? g->x : (int)SDL_WINDOWPOS_UNDEFINED,
				     placed ? g->y : (int)SDL_WINDOWPOS_UNDEFINED,
				     v->sized ? g->width : v->want_width,
				     v->sized ? g->height : v->want_height, flags);
	if (!v->window)
		return false;
	SDL_SetWindowMinimumSize(v->window, MIN_WIDTH, MIN_HEIGHT);
	icon_set(v->window);
	return true;
}

static bool try_present(struct view *v, const struct view_options *o, const struct present_ops *ops)
{
	if (!v->window && !make_window(v, o))
		return false;
	v->ops = ops;
	v->present = ops->create(v->window);
	if (v->present)
		return true;
	/* What one way did to the window may be in the way of another. */
	SDL_DestroyWindow(v->window);
	v->window = NULL;
	return false;
}

struct view *view_create(const struct view_options *o, const struct ui_picture *first,
			 GError **error)
{
	const char *driver = SDL_GetHint(SDL_HINT_RENDER_DRIVER);
	const bool gpu_first = driver ? driver[0] != '\0' : present_has_gpu();
	struct view *v = g_new0(struct view, 1);

	v->mode = mode_of(first);
	v->scaling = o->scaling;
	v->fullscreen = o->fullscreen;
	v->scale = density(0);
	if (!try_present(v, o, gpu_first ? &present_gpu : &present_soft) &&
	    !try_present(v, o, gpu_first ? &present_soft : &present_gpu)) {
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_HOST_LIMIT, "cannot open a window: %s",
			    SDL_GetError());
		view_destroy(v);
		return NULL;
	}
	note_geometry(v);
	if (!is_normal(v)) /* nobody has seen it otherwise yet */
		v->normal = (struct geometry){ .width = v->want_width, .height = v->want_height };
	view_take(v, first);
	view_follow(v);
	view_expose(v);
	return v;
}

void view_destroy(struct view *v)
{
	if (!v)
		return;
	if (v->present)
		v->ops->destroy(v->present);
	if (v->window)
		SDL_DestroyWindow(v->window);
	g_free(v);
}

SDL_Window *view_window(const struct view *v)
{
	return v->window;
}

double view_scale(const struct view *v)
{
	double px, py;

	pixels_per_unit(v, &px, &py);
	return MAX(v->scale, px);
}

unsigned view_rate(const struct view *v)
{
	SDL_DisplayMode m;

	if (v->hidden)
		return 0;
	if (SDL_GetCurrentDisplayMode(display_of(v), &m) < 0 || m.refresh_rate <= 0)
		return 60;
	return (unsigned)MIN(m.refresh_rate, 240);
}

/* ---- drawing ---- */

void view_set_overlays(struct view *v, struct panel *panel, struct panel *note)
{
	v->panel = panel;
	v->note = note;
	v->dirty = true;
}

void view_expose(struct view *v)
{
	v->whole = v->dirty = true;
}

void view_lost(struct view *v)
{
	v->ops->lost(v->present);
	view_expose(v);
}

void view_take(struct view *v, const struct ui_picture *pic)
{
	v->picture = *pic;
	v->mode = mode_of(pic);
	v->dirty = true;
	v->whole |= pic->mode_changed;
	for (unsigned i = 0; i < pic->n_rects; i++) {
		if (v->n_rects == RECTS_MAX) /* not shown for long: hidden */
			v->whole = true;
		else
			v->rect[v->n_rects++] = pic->rect[i];
	}
}

/* Where a panel that is higher than the window begins. */
static int scrolled(const struct panel *p, int height)
{
	int begin, end;

	panel_selected(p, &begin, &end);
	return end > height ? MAX(height - end, -begin) : 0;
}

static struct present_overlay overlay(struct panel *p, int width, int height, bool in_middle)
{
	struct present_overlay o = { .dims = in_middle };
	const int margin = width / 40 + 4;

	if (!p)
		return o;
	o.surface = panel_surface(p, width - 2 * margin, &o.changed);
	if (!o.surface)
		return o;
	o.x = (width - o.surface->w) / 2;
	o.y = in_middle ? (height - o.surface->h) / 2 : height - o.surface->h - margin;
	if (o.y < 0)
		o.y = scrolled(p, height);
	return o;
}

void view_show(struct view *v)
{
	struct present_scene s = { .picture = &v->picture,
				   .smooth = v->scaling == LAYOUT_SMOOTH,
				   .whole = v->whole,
				   .n_rects = v->n_rects,
				   .rect = v->rect };
	int width, height;

	if (!v->dirty || v->hidden)
		return;
	v->ops->size(v->present, &width, &height);
	s.layout = layout_in(&v->mode, width, height, v->scaling);
	s.panel = overlay(v->panel, width, height, true);
	s.note = overlay(v->note, width, height, false);
	v->panel_x = s.panel.x;
	v->panel_y = s.panel.y;
	if (v->n_rects == RECTS_MAX || v->whole) {
		/* The picture's own memory of what is new, in the GPU, must not miss anything. */
		v->rect[0] = (struct frame_rect){ 0, 0, v->mode.width, v->mode.height };
		s.n_rects = 1;
	}
	if (!v->ops->show(v->present, &s))
		return;
	v->n_rects = 0;
	v->whole = v->dirty = false;
}

/* ---- what happens to the window ---- */

static void resized(struct view *v, int width, int height)
{
	if (is_normal(v))
		v->sized = width != v->want_width || height != v->want_height;
	note_geometry(v);
	view_expose(v);
}

void view_window_event(struct view *v, const SDL_WindowEvent *e)
{
	switch (e->event) {
	case SDL_WINDOWEVENT_HIDDEN:
	case SDL_WINDOWEVENT_MINIMIZED:
		v->hidden = true;
		break;
	case SDL_WINDOWEVENT_SHOWN:
	case SDL_WINDOWEVENT_RESTORED:
	case SDL_WINDOWEVENT_MAXIMIZED:
		v->hidden = false;
		view_expose(v);
		break;
	case SDL_WINDOWEVENT_EXPOSED:
		view_expose(v);
		break;
	case SDL_WINDOWEVENT_MOVED:
		note_geometry(v);
		break;
	case SDL_WINDOWEVENT_RESIZED:
		resized(v, e->data1, e->data2);
		break;
	case SDL_WINDOWEVENT_SIZE_CHANGED:
	case SDL_WINDOWEVENT_DISPLAY_CHANGED:
		view_expose(v);
		break;
	}
}

void view_set_fullscreen(struct view *v, bool on)
{
	note_geometry(v);
	v->fullscreen = on;
	SDL_SetWindowFullscreen(v->window, on ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0);
	view_expose(v);
}

bool view_is_fullscreen(const struct view *v)
{
	return v->fullscreen;
}

void view_set_scaling(struct view *v, enum layout_scaling s)
{
	v->scaling = s;
	view_expose(v);
}

enum layout_scaling view_scaling(const struct view *v)
{
	return v->scaling;
}

void view_pointer_scale(const struct view *v, double *ret_x, double *ret_y)
{
	double px, py;
	int width, height;

	v->ops->size(v->present, &width, &height);
	pixels_per_unit(v, &px, &py);
	const struct layout l = layout_in(&v->mode, width, height, v->scaling);
	*ret_x = v->mode.width * px / l.width;
	*ret_y = v->mode.height * py / l.height;
}

void view_panel_point(const struct view *v, int x, int y, int *ret_x, int *ret_y)
{
	double px, py;

	pixels_per_unit(v, &px, &py);
	*ret_x = (int)(x * px) - v->panel_x;
	*ret_y = (int)(y * py) - v->panel_y;
}

struct geometry view_geometry(const struct view *v)
{
	struct geometry g = v->normal;

	g.sized = v->sized;
	return g;
}
