/* The icon: a house whose front is a screen. Drawn from its shapes, four by four samples a pixel.
 */
#include "sdl/icon.h"
#include <math.h>
#include <stdbool.h>

#define SIZE 64
#define SAMPLES 4

static bool in_box(double x, double y, double x0, double y0, double x1, double y1, double round)
{
	const double dx = fmax(fmax(x0 + round - x, x - (x1 - round)), 0);
	const double dy = fmax(fmax(y0 + round - y, y - (y1 - round)), 0);

	return dx * dx + dy * dy <= round * round;
}

/* The colour at a point of the unit square, as ARGB. */
static uint32_t at(double x, double y)
{
	const double roof = 0.06 + fabs(x - 0.5) * 0.84; /* its upper edge */

	if (in_box(x, y, 0.22, 0.50, 0.78, 0.80, 0.02)) { /* the screen: a prompt */
		if (in_box(x, y, 0.44, 0.68, 0.62, 0.72, 0.01) ||
		    (x > 0.29 && x < 0.41 && fabs(fabs(y - 0.66) + (x - 0.40) * 0.8) < 0.03))
			return 0xffe8f1ff;
		return 0xff1b2a44;
	}
	if (in_box(x, y, 0.15, 0.42, 0.85, 0.92, 0.05)) /* the wall */
		return 0xfff0e6d2;
	if (y >= roof && y <= roof + 0.15 && x > 0.03 && x < 0.97)
		return 0xffc2533a;
	if (y > roof && y < 0.5 && x > 0.15 && x < 0.85) /* the gable */
		return 0xfff0e6d2;
	return 0;
}

static uint32_t pixel(int px, int py)
{
	const unsigned all = SAMPLES * SAMPLES;
	unsigned sum[3] = { 0 }, n = 0;

	for (int i = 0; i < SAMPLES * SAMPLES; i++) {
		const uint32_t c = at((px + (i % SAMPLES + 0.5) / SAMPLES) / SIZE,
				      (py + (i / SAMPLES + 0.5) / SAMPLES) / SIZE);
		if (c == 0)
			continue;
		n++;
		for (int k = 0; k < 3; k++)
			sum[k] += c >> 8 * k & 0xff;
	}
	if (n == 0)
		return 0;
	return n * 255 / all << 24 | sum[2] / n << 16 | sum[1] / n << 8 | sum[0] / n;
}

void icon_set(SDL_Window *window)
{
	static uint32_t pixels[SIZE * SIZE];
	SDL_Surface *s;

	for (int i = 0; i < SIZE * SIZE; i++)
		pixels[i] = pixel(i % SIZE, i / SIZE);
	s = SDL_CreateRGBSurfaceWithFormatFrom(pixels, SIZE, SIZE, 32, SIZE * 4,
					       SDL_PIXELFORMAT_ARGB8888);
	if (s)
		SDL_SetWindowIcon(window, s);
	SDL_FreeSurface(s);
}
