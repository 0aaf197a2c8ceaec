/* Scaling by the CPU, see scale.h: each pixel is a mix of two neighbours in each direction, looked
 * up in a table per axis; mostly it is one of them alone. */
#include "sdl/scale.h"
#include <glib.h>
#include <string.h>

/* Source first and the one after it, that by second / 256. */
struct tap {
	uint16_t first;
	uint16_t second;
};

struct axis {
	unsigned from, to;
	bool plain; /* no tap mixes */
	struct tap *tap;
};

struct scale {
	struct axis x, y;
};

/* How much of destination pixel i's extent lies beyond the first source pixel that it touches. */
static struct tap sharp_tap(const struct axis *a, unsigned i)
{
	const double step = (double)a->from / a->to;
	const double begin = i * step, end = begin + step;
	unsigned first = (unsigned)(begin + 1e-9);
	double second = (end - (first + 1)) / step;

	if (first >= a->from)
		first = a->from - 1;
	if (second < 1.0 / 512 || first + 1 >= a->from)
		second = 0;
	return (struct tap){ (uint16_t)first, (uint16_t)(MIN(second, 1.0) * 256 + 0.5) };
}

static struct tap smooth_tap(const struct axis *a, unsigned i)
{
	const double at = (i + 0.5) * a->from / a->to - 0.5;
	const unsigned first = at <= 0 ? 0 : MIN((unsigned)at, a->from - 1);
	const double second = at <= 0 || first + 1 >= a->from ? 0 : at - first;

	return (struct tap){ (uint16_t)first, (uint16_t)(second * 256 + 0.5) };
}

static void make_axis(struct axis *a, unsigned from, unsigned to, enum scale_filter filter)
{
	a->from = from;
	a->to = to;
	a->plain = true;
	a->tap = g_new(struct tap, to);
	for (unsigned i = 0; i < to; i++) {
		/* Two taps see all that is there only if it gets larger. */
		a->tap[i] = filter == SCALE_SMOOTH || to < from ? smooth_tap(a, i)
								: sharp_tap(a, i);
		a->plain &= a->tap[i].second == 0;
	}
}

struct scale *scale_create(unsigned from_width, unsigned from_height, unsigned to_width,
			   unsigned to_height, enum scale_filter filter)
{
	struct scale *s = g_new0(struct scale, 1);

	make_axis(&s->x, from_width, to_width, filter);
	make_axis(&s->y, from_height, to_height, filter);
	return s;
}

void scale_destroy(struct scale *s)
{
	if (!s)
		return;
	g_free(s->x.tap);
	g_free(s->y.tap);
	g_free(s);
}

static void axis_damage(const struct axis *a, unsigned at, unsigned n, unsigned *ret_at,
			unsigned *ret_n)
{
	/* One source pixel more on each side: what mixes it in. */
	const uint64_t begin = at > 1 ? (uint64_t)(at - 1) * a->to / a->from : 0;
	uint64_t end = ((uint64_t)at + n + 1) * a->to / a->from + 1;

	end = MIN(end, a->to);
	*ret_at = (unsigned)MIN(begin, end);
	*ret_n = (unsigned)end - *ret_at;
}

struct scale_rect scale_damage(const struct scale *s, const struct scale_rect *r)
{
	struct scale_rect d;

	axis_damage(&s->x, r->x, r->width, &d.x, &d.width);
	axis_damage(&s->y, r->y, r->height, &d.y, &d.height);
	return d;
}

/* a and b mixed, b by w / 256. */
static inline uint32_t mix(uint32_t a, uint32_t b, unsigned w)
{
	const uint32_t rb = 0x00ff00ff, g = 0x0000ff00;

	const uint32_t green = ((a & g) >> 8) * (256 - w) + ((b & g) >> 8) * w;

	return (((a & rb) * (256 - w) + (b & rb) * w) >> 8 & rb) | (green & g);
}

static void row_plain(const struct axis *a, const uint32_t *from, uint32_t *to, unsigned x,
		      unsigned n)
{
	if (a->from == a->to) {
		memcpy(to, from + x, n * sizeof(*to));
		return;
	}
	for (unsigned i = 0; i < n; i++)
		to[i] = from[a->tap[x + i].first];
}

static void row_mixed(const struct axis *a, const uint32_t *from, uint32_t *to, unsigned x,
		      unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct tap t = a->tap[x + i];
		to[i] = t.second == 0 ? from[t.first]
				      : mix(from[t.first], from[t.first + 1], t.second);
	}
}

static void row(const struct axis *a, const uint32_t *from, uint32_t *to, unsigned x, unsigned n)
{
	if (a->plain)
		row_plain(a, from, to, x, n);
	else
		row_mixed(a, from, to, x, n);
}

void scale_draw(const struct scale *s, const uint32_t *from, size_t from_stride, uint32_t *to,
		size_t to_stride, const struct scale_rect *r)
{
	g_autofree uint32_t *below = s->y.plain ? NULL : g_new(uint32_t, r->width);

	to += r->x;
	for (unsigned y = r->y; y < r->y + r->height; y++) {
		const struct tap t = s->y.tap[y];
		const uint32_t *source = from + t.first * from_stride;
		uint32_t *line = to + y * to_stride;
		/* Most lines are those above them. */
		if (y > r->y && memcmp(&t, &s->y.tap[y - 1], sizeof(t)) == 0) {
			memcpy(line, line - to_stride, r->width * sizeof(*line));
			continue;
		}
		row(&s->x, source, line, r->x, r->width);
		if (t.second == 0)
			continue;
		row(&s->x, source + from_stride, below, r->x, r->width);
		for (unsigned i = 0; i < r->width; i++)
			line[i] = mix(line[i], below[i], t.second);
	}
}
