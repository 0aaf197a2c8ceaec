/*
 * The frame that Display1.Open hands out: one memfd that lodge-vm writes and viewers map read-only.
 * A struct frame_header, then at FRAME_PIXELS_OFF the picture. Sealed: it never changes size.
 *
 * Reading: read `sequence` with acquire; odd: a draw is under way, look again soon (a draw that
 * changes nothing puts the sequence back and wakes nobody). Read size and damage, and compare
 * `sequence` again; copy the rects of all draws since the sequence last seen (everything if it is
 * too long ago), then compare once more: if it moved meanwhile the copy may be torn, and the rects
 * of the later draw are to be added to those already copied. After each draw that changed something
 * lodge-vm sends each viewer a byte. ui/client/display.c does all that.
 *
 * A viewer checks all numbers before it uses them: width and height against the maximum, rects
 * against width and height.
 */
#ifndef PROTOCOL_FRAME_H
#define PROTOCOL_FRAME_H
#include <stdatomic.h>
#include <stdint.h>

#define FRAME_MAGIC 0x314d524647444cull /* "LDGFRM1" */
#define FRAME_MAX_WIDTH 4096u
#define FRAME_MAX_HEIGHT 2160u
#define FRAME_PIXELS_OFF 16384u
#define FRAME_BYTES (FRAME_PIXELS_OFF + (uint64_t)FRAME_MAX_WIDTH * FRAME_MAX_HEIGHT * 4)
#define FRAME_DRAWS 16u	    /* so many draws back their damage is known */
#define FRAME_MAX_RECTS 16u /* of one draw */

enum frame_flags {
	FRAME_BLANK = 1, /* the monitor gets no picture: pixels are black */
};

struct frame_rect {
	uint32_t x, y, width, height;
};

/* What the draw that ended with this sequence (even) changed. A change of size is one rect. */
struct frame_draw {
	uint64_t sequence;
	uint32_t n_rects, reserved;
	struct frame_rect rect[FRAME_MAX_RECTS];
};

/* Little endian like the host; fields are only ever added at the end. */
struct frame_header {
	uint64_t magic;
	_Atomic uint64_t sequence;   /* odd while a draw is under way; 0: nothing was drawn yet */
	uint32_t width, height;	     /* XRGB8888 */
	uint32_t stride;	     /* bytes from row to row: width * 4 */
	uint32_t aspect_x, aspect_y; /* a pixel's width to its height */
	uint32_t flags;
	uint64_t mode_changes;		     /* counts changes of width, height or aspect */
	struct frame_draw draw[FRAME_DRAWS]; /* of sequence s: draw[s / 2 % FRAME_DRAWS] */
};
_Static_assert(sizeof(struct frame_header) <= FRAME_PIXELS_OFF, "header before the pixels");
#endif
