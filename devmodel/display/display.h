/*
 * A display adapter as the machine and its viewers see it. The consumer is whoever shows the
 * picture (devmodel/vm); adapters (vga.c, later virtio-gpu) implement it, and know neither how
 * often anybody looks nor whether anybody does: without a viewer nothing here is called.
 */
#ifndef DEVMODEL_DISPLAY_DISPLAY_H
#define DEVMODEL_DISPLAY_DISPLAY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISP_MAX_WIDTH 4096u
#define DISP_MAX_HEIGHT 2160u
#define DISP_MAX_RECTS 16u
#define DISP_FOR_EVER UINT64_MAX
#define DISP_MAX_COLUMNS 256u
#define DISP_MAX_LINES 256u

struct disp_rect {
	uint32_t x, y, width, height; /* pixels, within the picture, not empty */
};

/*
 * One picture, kept by the viewer between draws: an adapter brings it up to date and touches only
 * what changed since the last draw into it. There is one such viewer; it copies for others.
 */
struct disp_picture {
	uint32_t *pixels; /* borrowed; XRGB8888, row after row without gaps; room for the maximum */
	uint32_t width, height; /* 1 up to the maximum; set by draw */
	/* How wide a pixel is for its height, as a fraction: the monitor shows what VGA sends at
	 * 4:3, so 320x200 and 720x400 are not square. 1:1 for square ones. Set by draw. */
	uint32_t aspect_x, aspect_y;
	bool blank; /* the monitor gets no picture: it is black. Set by draw */
	/* What blinks: for how long it stays as it is if the guest does nothing, in the guest's
	 * time; DISP_FOR_EVER: it does not blink. Set by draw. */
	uint64_t still_ns;
	bool blinked; /* only that was what the last draw found. Set by draw */
	/* What the guest changes from now on is told (machine_watch_screen()): until then, and but
	 * for what blinks, there is no need to draw more often than every two seconds. Set by draw
	 */
	bool told;
	/* What the last draw changed; 0: nothing. A change of size is one rect of everything. */
	unsigned n_rects;
	struct disp_rect rect[DISP_MAX_RECTS];
};

/* A text screen, for scripts: what the guest wrote, not what the font makes of it. */
struct disp_text {
	unsigned columns, lines; /* up to the maximum */
	bool cursor;		 /* shown, at: */
	unsigned cursor_column, cursor_line;
	uint8_t cell[DISP_MAX_LINES][DISP_MAX_COLUMNS]; /* code page 437 */
};

struct dev;

/* Called in the loop thread, no domain held: the adapter takes what it needs under its own. */
struct disp_adapter_ops {
	/* Brings p up to date; all: whatever it held before, everything is drawn and is one rect.
	 * Does not block, does not change what the guest can see. */
	void (*draw)(struct dev *d, struct disp_picture *p, bool all);
	/* False: the screen is not in a text mode. */
	bool (*text)(struct dev *d, struct disp_text *ret_text);
};
#endif
