/* Where the picture lies, see layout.h. */
#include "sdl/layout.h"
#include <math.h>

#define COMFORTABLE_WIDTH 640
#define BEFORE_MAX 4 /* more would be invisible */

static int at_least_1(double v)
{
	return v < 1.0 ? 1 : (int)v;
}

/* The size of one guest pixel that makes the picture as large as fits: ret_y / ret_x is the
 * pixel's aspect. */
static void fit(const struct layout_mode *m, int width, int height, double *ret_x, double *ret_y)
{
	const double tall = (double)m->aspect_y / m->aspect_x; /* a pixel's height to its width */
	const double by_width = (double)width / m->width;
	const double by_height = (double)height / (m->height * tall);

	*ret_x = by_width < by_height ? by_width : by_height;
	*ret_y = *ret_x * tall;
}

static unsigned before(double factor)
{
	const double up = ceil(factor - 0.01);

	if (up <= 1.0)
		return 1;
	return up > BEFORE_MAX ? BEFORE_MAX : (unsigned)up;
}

struct layout layout_in(const struct layout_mode *m, int width, int height,
			enum layout_scaling scaling)
{
	struct layout l = { .before_x = 1, .before_y = 1 };
	double fx, fy;

	width = width < 1 ? 1 : width;
	height = height < 1 ? 1 : height;
	fit(m, width, height, &fx, &fy);
	if (scaling == LAYOUT_INTEGER && fx >= 1.0 && fy >= 1.0) {
		fx = floor(fx);
		fy = floor(fy);
	}
	/* Half a pixel more or less is not worth a blur: a window of 1000 shows 999 as 3 * 333. */
	l.width = at_least_1(m->width * fx + 0.5);
	l.height = at_least_1(m->height * fy + 0.5);
	l.crisp = l.width % (int)m->width == 0 && l.height % (int)m->height == 0;
	if (scaling == LAYOUT_SMOOTH && (l.width != (int)m->width || l.height != (int)m->height))
		l.crisp = false;
	else if (!l.crisp) {
		l.before_x = before(fx);
		l.before_y = before(fy);
	}
	l.x = (width - l.width) / 2;
	l.y = (height - l.height) / 2;
	return l;
}

void layout_window(const struct layout_mode *m, double scale, int max_width, int max_height,
		   int *ret_width, int *ret_height)
{
	const double tall = (double)m->aspect_y / m->aspect_x;
	double factor = 1.0, fx, fy;

	while (m->width * factor < COMFORTABLE_WIDTH)
		factor *= 2;
	factor *= scale < 1.0 ? 1.0 : scale;
	fit(m, max_width, max_height, &fx, &fy);
	if (factor > fx) /* whole numbers as long as it can be */
		factor = fx > 1.0 ? floor(fx) : fx;
	*ret_width = at_least_1(m->width * factor + 0.5);
	*ret_height = at_least_1(m->height * factor * tall + 0.5);
}

const char *layout_scaling_name(enum layout_scaling s)
{
	static const char *const names[LAYOUT_N_SCALINGS] = { "fit", "integer", "smooth" };

	return names[s];
}
