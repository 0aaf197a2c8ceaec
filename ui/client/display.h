/*
 * A viewer of a VM's screen: opens Display1 and keeps a copy of the picture up to date by the
 * frame's sequence protocol (protocol/frame.h). The frame's owner is not trusted: it is mapped
 * read-only and cannot shrink, every number is read once and checked, and whatever it holds,
 * nothing outside the mapping is read. One thread at a time.
 */
#ifndef CLIENT_DISPLAY_H
#define CLIENT_DISPLAY_H
#include <gio/gio.h>
#include <stdbool.h>
#include <stdint.h>
#include "client/client.h"
#include "protocol/frame.h"

struct ui_display;

#define UI_MAX_RECTS 32u

struct ui_picture {
	/* XRGB8888, row after row without gaps. Borrowed: until the next read, or close; always the
	 * whole picture, whatever changed. */
	const uint32_t *pixels;
	uint32_t width, height;	     /* 1 to FRAME_MAX_WIDTH, FRAME_MAX_HEIGHT */
	uint32_t aspect_x, aspect_y; /* a pixel's width to its height; 1 to 65535 each */
	bool blank;		     /* the monitor gets no picture: black */
	bool mode_changed;	     /* width, height or aspect, since the last UI_FRAME_NEW */
	bool torn; /* the VM draws faster than this reads: parts are newer, and come again */
	/* What changed since the last UI_FRAME_NEW; at least one, within the picture; may overlap.
	 */
	unsigned n_rects;
	struct frame_rect rect[UI_MAX_RECTS];
};

enum ui_frame {
	UI_FRAME_SAME,	/* nothing new; wait for the wake descriptor */
	UI_FRAME_NEW,	/* there is a new picture */
	UI_FRAME_LATER, /* a draw is under way: ask again in a few ms, no wake-up may come */
	UI_FRAME_ENDED, /* nothing new, and the VM sends no more: it has closed the viewer */
	UI_FRAME_BAD,	/* the frame's numbers make no sense; so it stays */
};

/* Opens a screen (0) of vm, which must stay open longer than the display. The first read gives the
 * whole picture. The rate is 60 at first. NULL with error set. */
struct ui_display *ui_display_open(struct ui_vm *vm, unsigned scanout, GError **error);
/* NULL is fine. */
void ui_display_close(struct ui_display *d);

/* Readable after a draw that changed something, and for ever once the VM has closed the viewer: to
 * be polled; ui_display_read() empties it. Owned by d. */
int ui_display_wake_fd(const struct ui_display *d);
/* Brings the copy up to date. Naps some 20 ms at most, while a draw is under way. *ret is written
 * with UI_FRAME_NEW only. */
enum ui_frame ui_display_read(struct ui_display *d, struct ui_picture *ret);
/* How many frames a second this viewer can show, up to 240; 0: it is hidden, the VM need not draw.
 * Does not wait for the answer. */
void ui_display_set_rate(struct ui_display *d, unsigned rate);

/* A viewer of what these two descriptors are, which it owns then; close and rate reach nobody. For
 * tests. */
struct ui_display *ui_display_map(int frame_fd, int wake_fd, GError **error);
#endif
