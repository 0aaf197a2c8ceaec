/* Panels, see panel.h. */
#include "sdl/panel.h"
#include <glib.h>

struct panel {
	const struct text *text; /* borrowed */
	double scale;
	bool open, changed;
	struct panel_content c; /* its strings are owned, except those of the items */
	SDL_Surface *surface;	/* of the content, at surface_max */
	int surface_max;
	SDL_Rect item_rect[PANEL_MAX_ITEMS];
};

static const SDL_Color white = { 0xf4, 0xf6, 0xfa, 0xff };
static const SDL_Color grey = { 0xa8, 0xb2, 0xc4, 0xff };
static const SDL_Color accent = { 0x8f, 0xc1, 0xff, 0xff };
#define CARD 0xff1d2331u
#define BORDER 0xff3d4860u
#define SELECTED 0xff2f5fa8u
#define UNSELECTED 0xff293142u

struct panel *panel_create(const struct text *text, double scale)
{
	struct panel *p = g_new0(struct panel, 1);

	p->text = text;
	p->scale = scale;
	return p;
}

static void drop_surface(struct panel *p)
{
	SDL_FreeSurface(p->surface);
	p->surface = NULL;
	p->changed = true;
}

static void drop_content(struct panel *p)
{
	g_free((char *)(uintptr_t)p->c.title);
	for (unsigned i = 0; i < p->c.n_lines; i++) {
		g_free((char *)(uintptr_t)p->c.line[i].left);
		g_free((char *)(uintptr_t)p->c.line[i].right);
	}
	p->c = (struct panel_content){ 0 };
}

void panel_destroy(struct panel *p)
{
	if (!p)
		return;
	drop_surface(p);
	drop_content(p);
	g_free(p);
}

void panel_open(struct panel *p, const struct panel_content *c)
{
	struct panel_content copy = *c;

	copy.title = g_strdup(c->title);
	for (unsigned i = 0; i < c->n_lines; i++) {
		copy.line[i].left = g_strdup(c->line[i].left);
		copy.line[i].right = g_strdup(c->line[i].right);
	}
	drop_content(p);
	drop_surface(p);
	p->c = copy;
	p->open = true;
}

void panel_close(struct panel *p)
{
	p->open = false;
	drop_content(p);
	drop_surface(p);
}

bool panel_is_open(const struct panel *p)
{
	return p->open;
}

/* ---- drawing ---- */

struct measure {
	int pad, column, width, height, line, item;
};

static int px(const struct panel *p, double v)
{
	return (int)(v * p->scale + 0.5);
}

static int item_width(const struct panel *p, const struct panel_item *i)
{
	return text_width(p->text, TEXT_BOLD, i->label) + px(p, 28) +
	       text_width(p->text, TEXT_BODY, i->hint) + px(p, 28);
}

static struct measure measure(const struct panel *p, int max_width)
{
	const struct panel_content *c = &p->c;
	struct measure m = { .pad = px(p, 22) };
	int inner = text_width(p->text, TEXT_TITLE, c->title), right = 0;

	for (unsigned i = 0; i < c->n_lines; i++) {
		const int left = text_width(p->text, c->line[i].right ? TEXT_BOLD : TEXT_BODY,
					    c->line[i].left);
		if (c->line[i].right) {
			m.column = MAX(m.column, left + px(p, 24));
			right = MAX(right, text_width(p->text, TEXT_BODY, c->line[i].right));
		} else {
			inner = MAX(inner, left);
		}
	}
	inner = MAX(inner, m.column + right);
	for (unsigned i = 0; i < c->n_items; i++)
		inner = MAX(inner, item_width(p, &c->item[i]));
	m.width = MAX(MIN(inner + 2 * m.pad, max_width), 4 * m.pad);
	m.line = text_line_height(p->text, TEXT_BODY) + px(p, 3);
	m.item = text_line_height(p->text, TEXT_BODY) + px(p, 18);
	m.height = 2 * m.pad + text_line_height(p->text, TEXT_TITLE);
	if (c->n_lines > 0)
		m.height += px(p, 8) + (int)c->n_lines * m.line;
	if (c->n_items > 0)
		m.height += px(p, 14) + (int)c->n_items * (m.item + px(p, 6)) - px(p, 6);
	return m;
}

static void draw_item(struct panel *p, unsigned i, const struct measure *m, int y)
{
	const struct panel_item *item = &p->c.item[i];
	const bool selected = i == p->c.selected;
	const int left = m->pad + px(p, 14), right = m->width - m->pad - px(p, 14);
	const int ty = y + (m->item - text_line_height(p->text, TEXT_BODY)) / 2;
	const int hint = text_width(p->text, TEXT_BODY, item->hint);
	const int label = text_width(p->text, TEXT_BOLD, item->label);

	p->item_rect[i] = (SDL_Rect){ m->pad, y, m->width - 2 * m->pad, m->item };
	SDL_FillRect(p->surface, &p->item_rect[i], selected ? SELECTED : UNSELECTED);
	text_draw(p->text, p->surface, TEXT_BOLD, item->label, white, left, ty, right - left);
	if (left + label + px(p, 12) + hint <= right)
		text_draw(p->text, p->surface, TEXT_BODY, item->hint, selected ? white : grey,
			  right - hint, ty, 0);
}

static void draw(struct panel *p, const struct measure *m)
{
	const SDL_Rect inside = { px(p, 1), px(p, 1), m->width - 2 * px(p, 1),
				  m->height - 2 * px(p, 1) };
	const int inner = m->width - 2 * m->pad;
	int y = m->pad;

	SDL_FillRect(p->surface, NULL, BORDER);
	SDL_FillRect(p->surface, &inside, CARD);
	text_draw(p->text, p->surface, TEXT_TITLE, p->c.title, white, m->pad, y, inner);
	y += text_line_height(p->text, TEXT_TITLE) + px(p, 8);
	for (unsigned i = 0; i < p->c.n_lines; i++, y += m->line) {
		const struct panel_line *l = &p->c.line[i];
		text_draw(p->text, p->surface, l->right ? TEXT_BOLD : TEXT_BODY, l->left,
			  l->right ? accent : grey, m->pad, y, inner);
		if (l->right)
			text_draw(p->text, p->surface, TEXT_BODY, l->right, white,
				  m->pad + m->column, y, MAX(inner - m->column, 1));
	}
	y += px(p, p->c.n_lines > 0 ? 14 : 6);
	for (unsigned i = 0; i < p->c.n_items; i++, y += m->item + px(p, 6))
		draw_item(p, i, m, y);
}

SDL_Surface *panel_surface(struct panel *p, int max_width, bool *ret_changed)
{
	if (p->open && p->surface && p->surface_max != max_width)
		drop_surface(p);
	*ret_changed = p->changed;
	p->changed = false;
	if (p->open && !p->surface) {
		const struct measure m = measure(p, max_width);
		p->surface = SDL_CreateRGBSurfaceWithFormat(0, m.width, m.height, 32,
							    SDL_PIXELFORMAT_ARGB8888);
		p->surface_max = max_width;
		if (p->surface)
			draw(p, &m);
	}
	return p->open ? p->surface : NULL;
}

void panel_selected(const struct panel *p, int *ret_begin, int *ret_end)
{
	const SDL_Rect *r = &p->item_rect[p->c.selected];

	*ret_begin = p->c.n_items > 0 ? r->y : 0;
	*ret_end = *ret_begin + (p->c.n_items > 0 ? r->h : 0);
}

/* ---- choosing ---- */

static void select_item(struct panel *p, unsigned i)
{
	if (i == p->c.selected)
		return;
	p->c.selected = i;
	drop_surface(p);
}

/* The letter that an item begins with, where the host's layout has it. */
static int by_letter(struct panel *p, SDL_Scancode code)
{
	const SDL_Keycode sym = SDL_GetKeyFromScancode(code);

	for (unsigned i = 0; i < p->c.n_items; i++)
		if (sym == g_ascii_tolower(p->c.item[i].label[0]))
			return p->c.item[i].action;
	return PANEL_NOTHING;
}

int panel_key(struct panel *p, SDL_Scancode code)
{
	const unsigned n = p->c.n_items;

	switch (code) {
	case SDL_SCANCODE_ESCAPE:
		return p->c.escape;
	case SDL_SCANCODE_RETURN:
	case SDL_SCANCODE_KP_ENTER:
	case SDL_SCANCODE_SPACE:
		return n > 0 ? p->c.item[p->c.selected].action : p->c.escape;
	case SDL_SCANCODE_DOWN:
	case SDL_SCANCODE_TAB:
		if (n > 0)
			select_item(p, (p->c.selected + 1) % n);
		return PANEL_NOTHING;
	case SDL_SCANCODE_UP:
		if (n > 0)
			select_item(p, (p->c.selected + n - 1) % n);
		return PANEL_NOTHING;
	default:
		return by_letter(p, code);
	}
}

static unsigned item_at(const struct panel *p, int x, int y)
{
	const SDL_Point at = { x, y };
	unsigned i = 0;

	while (i < p->c.n_items && !SDL_PointInRect(&at, &p->item_rect[i]))
		i++;
	return i;
}

int panel_click(struct panel *p, int x, int y)
{
	const unsigned i = item_at(p, x, y);

	return i < p->c.n_items ? p->c.item[i].action : PANEL_NOTHING;
}

bool panel_hover(struct panel *p, int x, int y)
{
	const unsigned i = item_at(p, x, y);

	if (i >= p->c.n_items || i == p->c.selected)
		return false;
	select_item(p, i);
	return true;
}
