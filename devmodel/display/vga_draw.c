/*
 * Bringing a viewer's picture up to date. Which lines may have changed is known by the dirty log's
 * pages and by what the view was; those are drawn into a line of our own and compared, so that
 * what is told to have changed has.
 */
#include "base/util.h"
#include "devmodel/display/vga_int.h"

#define IDLE_NS 3000000000ull /* nobody draws */
#define CURSOR_FRAMES 8	      /* on, and as many off */
#define BLINK_FRAMES 16
#define DIRTY_WORDS (VGA_VRAM_BYTES / VGA_DIRTY_PAGE / 64)
#define UNSET_WIDTH 720 /* before anything was shown */
#define UNSET_HEIGHT 400

/* One draw. */
struct job {
	struct vga *v;
	struct disp_picture *p;
	struct vga_view view;
	struct vga_memory mem;
	uint64_t now_ns;
	bool cursor_on, blink_on;
	bool logged;	   /* what was written since the last draw is known */
	bool all;	   /* every line */
	bool blinks;	   /* something drawn does */
	bool text_written; /* to memory that text comes from */
	bool cursor_other; /* moved, changed or blinked */
	uint64_t dirty[DIRTY_WORDS];
	uint32_t line[VGA_LINE_PIXELS];
};

void vga_draw_idle(struct vga *v)
{
	if (v->drawn) {
		v->drawn = false;
		dev_timer_arm(&v->pci.dev, 0, dev_now_ns(&v->pci.dev) + IDLE_NS);
		return;
	}
	v->logging = false;
	v->m->dirty_stop(v->m->ctx);
}

static void lock(const struct vga *v)
{
	if (v->m->domain != NULL)
		hv_domain_lock(v->m->domain);
}

static void unlock(const struct vga *v)
{
	if (v->m->domain != NULL)
		hv_domain_unlock(v->m->domain);
}

/* What is to be drawn; under the domain. */
static void look(struct vga *v, struct job *j)
{
	uint64_t frame;

	lock(v);
	vga_view_make(&v->s.r, v->m->vram_bytes, &j->view);
	j->now_ns = dev_now_ns(&v->pci.dev);
	frame = j->now_ns / j->view.frame_ns;
	v->drawn = true;
	if (!v->logging) {
		v->known = false;
		v->logging = v->m->dirty_start(v->m->ctx) == 0;
		if (v->logging)
			dev_timer_arm(&v->pci.dev, 0, dev_now_ns(&v->pci.dev) + IDLE_NS);
	}
	j->logged = v->logging;
	unlock(v);
	j->v = v;
	j->mem = (struct vga_memory){ v->m->vram, v->m->vram_bytes };
	j->cursor_on = !(frame / CURSOR_FRAMES & 1);
	j->blink_on = !(frame / BLINK_FRAMES & 1);
}

/* ---- which lines ---- */

static bool page_dirty(const struct job *j, uint64_t off)
{
	const uint64_t page = off / VGA_DIRTY_PAGE;

	return page / 64 < DIRTY_WORDS && (j->dirty[page / 64] >> page % 64 & 1);
}

/* Takes the pages that the picture comes from; false: none was written. */
static bool take_dirty(struct job *j)
{
	const struct vga_view *w = &j->view;
	const uint64_t word_bytes = VGA_DIRTY_PAGE * 64ull;
	uint64_t first = w->start, bytes = (uint64_t)w->stride * w->height;

	if (w->kind < VGA_LINEAR8) { /* permuted in blocks of a word of the log */
		const uint64_t block = 0x10000;
		first = w->plane_mask < block ? 0 : w->start & ~(block - 1);
		bytes = w->plane_mask < block
				? block
				: w->start - first + (uint64_t)w->stride * w->height + block;
		first *= 4;
		bytes *= 4;
	}
	const uint64_t end = hv_min_u64(hv_align_up(first + bytes, word_bytes), j->mem.bytes);
	const uint64_t from = first / word_bytes, to = (end + word_bytes - 1) / word_bytes;
	memset(j->dirty, 0, sizeof(j->dirty));
	if (to <= from || to > DIRTY_WORDS)
		return false;
	return j->v->m->dirty_take(j->v->m->ctx, (uint32_t)from, (uint32_t)(to - from),
				   j->dirty + from) > 0;
}

static bool line_written(const struct job *j, uint32_t y)
{
	const struct vga_view *w = &j->view;
	struct vga_row row;

	if (w->kind >= VGA_LINEAR8) {
		const uint64_t off = w->start + (uint64_t)y * w->stride;
		const uint64_t last = off + vga_linear_bytes(w) - 1;
		for (uint64_t at = off; at <= last; at = (at / VGA_DIRTY_PAGE + 1) * VGA_DIRTY_PAGE)
			if (page_dirty(j, at))
				return true;
		return false;
	}
	vga_view_row(w, y, &row);
	for (uint32_t i = 0; i < w->chars + 1; i++)
		if (page_dirty(j, (uint64_t)vga_word(vga_view_addr(w, &row, i)) * 4))
			return true;
	return false;
}

/* Text shares its pages with the fonts: there it is the contents that tell. */
static uint64_t sum(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

static uint64_t sum_fonts(const struct job *j)
{
	uint64_t h = 0;

	for (unsigned f = 0; f < 2; f++)
		for (uint32_t i = 0; i < 256 * 32; i++)
			h = sum(h, vga_planes(&j->mem, j->view.font[f] + i) >> 16 & 0xff);
	return h;
}

static uint64_t sum_cells(const struct job *j, const struct vga_row *row)
{
	uint64_t h = 1;

	for (uint32_t i = 0; i < j->view.chars + 1; i++)
		h = sum(h, vga_planes(&j->mem, vga_view_addr(&j->view, row, i)) & 0xffff);
	return h;
}

/* Where it is, or was. */
static bool has_cursor(const struct job *j, const struct vga_row *row)
{
	return ((j->view.cursor - row->start) & 0xffff) <= j->view.chars ||
	       ((j->v->view.cursor - row->start) & 0xffff) <= j->view.chars;
}

static bool same_cursor(const struct vga_view *a, const struct vga_view *b)
{
	return a->cursor == b->cursor && a->cursor_first == b->cursor_first &&
	       a->cursor_last == b->cursor_last;
}

/* But for the cursor. */
static bool same_view(const struct vga_view *a, const struct vga_view *b)
{
	struct vga_view c = *a;

	c.cursor = b->cursor;
	c.cursor_first = b->cursor_first;
	c.cursor_last = b->cursor_last;
	return memcmp(&c, b, sizeof(c)) == 0;
}

/* Whether a line of text may be other than it was; notes what it is. */
static bool text_changed(struct job *j, uint32_t y)
{
	struct vga *v = j->v;
	struct vga_row row;
	bool changed = j->blink_on != v->blink_on && v->text_blinks;

	vga_view_row(&j->view, y, &row);
	if (j->text_written || j->all) {
		const uint64_t now = y > 0 && row.scan > 0 ? v->cells[y - 1] : sum_cells(j, &row);
		changed |= now != v->cells[y];
		v->cells[y] = now;
	}
	return changed || (j->cursor_other && has_cursor(j, &row));
}

static bool may_differ(struct job *j, uint32_t y)
{
	if (j->view.kind == VGA_TEXT)
		return text_changed(j, y) || j->all;
	return j->all || line_written(j, y);
}

/* ---- lines into the picture ---- */

static const uint32_t *draw_line(struct job *j, uint32_t y)
{
	const uint32_t *as_is = vga_line_as_is(&j->view, &j->mem, y);

	if (as_is != NULL)
		return as_is;
	if (j->view.kind == VGA_TEXT)
		j->blinks |= vga_text_line(&j->view, &j->mem, y, j->cursor_on, j->blink_on,
					   j->line);
	else
		vga_graphics_line(&j->view, &j->mem, y, j->line);
	return j->line;
}

/* The line into the picture; false: it was so. *ret_x to *ret_end: what was not. */
static bool put_line(struct job *j, uint32_t y, const uint32_t *line, uint32_t *ret_x,
		     uint32_t *ret_end)
{
	const uint32_t n = j->view.width;
	uint32_t *old = j->p->pixels + (size_t)y * n;
	uint32_t x = 0, end = n;

	if (memcmp(old, line, n * sizeof(*old)) == 0)
		return false;
	/* It may be as it was by now, if it is the guest's. */
	while (x < n - 1 && old[x] == line[x])
		x++;
	while (end > x + 1 && old[end - 1] == line[end - 1])
		end--;
	memcpy(old + x, line + x, (end - x) * sizeof(*old));
	*ret_x = x;
	*ret_end = end;
	return true;
}

/* Adds a line's change to the last rect if it lies close below, else as a new one. */
static void add_rect(struct job *j, uint32_t y, uint32_t x, uint32_t end)
{
	struct disp_picture *p = j->p;
	/* A changed character has lines that are the same. */
	const uint32_t gap = j->view.kind == VGA_TEXT ? j->view.rows : 0;
	struct disp_rect *r = p->n_rects > 0 ? &p->rect[p->n_rects - 1] : NULL;

	if (r != NULL && (y <= r->y + r->height + gap || p->n_rects == DISP_MAX_RECTS)) {
		const uint32_t right = (uint32_t)hv_max_u64(r->x + r->width, end);
		r->x = (uint32_t)hv_min_u64(r->x, x);
		r->width = right - r->x;
		r->height = y + 1 - r->y;
		return;
	}
	p->rect[p->n_rects++] = (struct disp_rect){ x, y, end - x, 1 };
}

static void whole(struct disp_picture *p)
{
	p->n_rects = 1;
	p->rect[0] = (struct disp_rect){ 0, 0, p->width, p->height };
}

static void draw_lines(struct job *j, bool fresh)
{
	struct disp_picture *p = j->p;

	for (uint32_t y = 0; y < p->height; y++) {
		uint32_t x, end;
		if (!may_differ(j, y))
			continue;
		const uint32_t *line = draw_line(j, y);
		if (fresh)
			memcpy(p->pixels + (size_t)y * p->width, line,
			       p->width * sizeof(*p->pixels));
		else if (put_line(j, y, line, &x, &end))
			add_rect(j, y, x, end);
	}
	if (fresh)
		whole(p);
}

/* ---- the whole ---- */

/* No picture: it keeps its size. */
static void draw_blank(struct job *j, bool all)
{
	struct disp_picture *p = j->p;
	struct vga *v = j->v;
	const bool sized = p->width >= 1 && p->width <= DISP_MAX_WIDTH && p->height >= 1 &&
			   p->height <= DISP_MAX_HEIGHT;

	if (v->known && v->view.blank && !all && sized)
		return;
	if (!sized) {
		p->width = UNSET_WIDTH;
		p->height = UNSET_HEIGHT;
		p->aspect_x = 4 * UNSET_HEIGHT;
		p->aspect_y = 3 * UNSET_WIDTH;
	}
	p->blank = true;
	memset(p->pixels, 0, (size_t)p->width * p->height * sizeof(*p->pixels));
	whole(p);
	v->view = j->view;
	v->known = true;
}

static void draw_view(struct job *j, bool fresh)
{
	struct vga *v = j->v;
	const struct vga_view *w = &j->view;
	const bool written = take_dirty(j);

	j->all = fresh || !j->logged || !same_view(w, &v->view);
	j->p->blinked = !j->all && !written && same_cursor(w, &v->view);
	j->cursor_other = j->cursor_on != v->cursor_on || !same_cursor(w, &v->view);
	if (w->kind == VGA_TEXT) {
		j->text_written = written || j->all;
		const uint64_t fonts = j->text_written ? sum_fonts(j) : v->fonts;
		j->all |= fonts != v->fonts;
		v->fonts = fonts;
	}
	if (!j->all && !written &&
	    (w->kind != VGA_TEXT || (!j->cursor_other && j->blink_on == v->blink_on)))
		return;
	/* All lines are drawn: whether anything blinks is known anew. */
	const bool every = j->all || (v->text_blinks && j->blink_on != v->blink_on);
	draw_lines(j, fresh);
	v->text_blinks = j->blinks || (v->text_blinks && !every);
	v->cursor_on = j->cursor_on;
	v->blink_on = j->blink_on;
	v->view = *w;
	v->known = true;
}

/* The cursor turns with everything else that blinks, and twice as often. */
static uint64_t still_ns(const struct job *j)
{
	const struct vga_view *w = &j->view;
	uint64_t turn;

	if (w->kind != VGA_TEXT)
		return DISP_FOR_EVER;
	if (w->cursor_first <= w->cursor_last && w->cursor_first < w->rows)
		turn = CURSOR_FRAMES * w->frame_ns;
	else if (j->v->text_blinks)
		turn = BLINK_FRAMES * w->frame_ns;
	else
		return DISP_FOR_EVER;
	return turn - j->now_ns % turn;
}

static void draw(struct dev *d, struct disp_picture *p, bool all)
{
	struct job j = { .p = p };
	struct vga *v = vga_from_dev(d);
	const struct vga_view *w = &j.view;
	bool fresh;

	look(v, &j);
	p->n_rects = 0;
	p->blinked = false;
	p->told = j.logged;
	p->still_ns = DISP_FOR_EVER;
	if (w->blank) {
		draw_blank(&j, all);
		return;
	}
	fresh = all || !v->known || v->view.blank || p->width != w->width || p->height != w->height;
	p->blank = false;
	p->width = w->width;
	p->height = w->height;
	p->aspect_x = w->aspect_x;
	p->aspect_y = w->aspect_y;
	draw_view(&j, fresh);
	p->still_ns = still_ns(&j);
}

/* ---- text, for scripts ---- */

static void put_row(const struct vga_view *w, const struct vga_memory *m, unsigned line, uint32_t y,
		    struct disp_text *t)
{
	struct vga_row row;

	vga_view_row(w, y, &row);
	for (unsigned i = 0; i < t->columns; i++) {
		t->cell[line][i] = (uint8_t)vga_planes(m, vga_view_addr(w, &row, i));
		if (((row.start + i) & 0xffff) != (w->cursor & 0xffff) ||
		    w->cursor_first > w->cursor_last || w->cursor_first >= w->rows)
			continue;
		t->cursor = true;
		t->cursor_column = i;
		t->cursor_line = line;
	}
}

static bool text(struct dev *d, struct disp_text *t)
{
	struct vga *v = vga_from_dev(d);
	const struct vga_memory m = { v->m->vram, v->m->vram_bytes };
	struct vga_view w;

	lock(v);
	vga_view_make(&v->s.r, v->m->vram_bytes, &w);
	unlock(v);
	if (w.kind != VGA_TEXT || w.blank)
		return false;
	const uint32_t step = w.rows << w.scan_shift;
	memset(t, 0, sizeof(*t));
	t->columns = (unsigned)hv_min_u64(w.chars, DISP_MAX_COLUMNS);
	t->lines = (unsigned)hv_min_u64((w.height + step - 1) / step, DISP_MAX_LINES);
	for (unsigned i = 0; i < t->lines; i++)
		put_row(&w, &m, i, i * step, t);
	return true;
}

const struct disp_adapter_ops dm_vga_display = { .draw = draw, .text = text };
