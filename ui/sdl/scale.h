/* Scaling a picture by the CPU, any part of it by itself. Pure. XRGB8888. */
#ifndef SDL_SCALE_H
#define SDL_SCALE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From a picture to one of another size; made once for both sizes. */
struct scale;

enum scale_filter {
	SCALE_SHARP,  /* pixels keep their edges; only what lies on an edge is mixed */
	SCALE_SMOOTH, /* bilinear */
};

/* Sizes of at least 1. */
struct scale *scale_create(unsigned from_width, unsigned from_height, unsigned to_width,
			   unsigned to_height, enum scale_filter filter);
void scale_destroy(struct scale *s); /* NULL is fine */

struct scale_rect {
	unsigned x, y, width, height;
};
/* What of the scaled picture depends on r of the original. */
struct scale_rect scale_damage(const struct scale *s, const struct scale_rect *r);
/* Draws r of the scaled picture. to: its upper left corner; strides in pixels. */
void scale_draw(const struct scale *s, const uint32_t *from, size_t from_stride, uint32_t *to,
		size_t to_stride, const struct scale_rect *r);
#endif
