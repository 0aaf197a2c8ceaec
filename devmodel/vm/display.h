/*
 * The screen of a VM for its viewers: owns the frame that they map (protocol/frame.h), who looks,
 * and when the picture is drawn. Without a viewer that wants frames nothing is drawn and no timer
 * runs; else as often as the fastest viewer asks, and when little happens as the guest changes
 * something. Any number of these can exist. Loop thread only, but for display_changed().
 */
#ifndef VM_DISPLAY_H
#define VM_DISPLAY_H
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/loop.h"
#include "devmodel/display/display.h"

struct display;

#define DISPLAY_MAX_VIEWERS 64u
#define DISPLAY_MAX_RATE 240u
#define DISPLAY_FIRST_RATE 60u

/* As machine_draw(). False: there is no screen. */
typedef bool (*display_draw_fn)(void *ctx, struct disp_picture *p, bool all);

/* loop and ctx are borrowed. */
int display_create(struct loop *loop, display_draw_fn draw, void *ctx, struct display **ret_display,
		   struct err *e) HV_MUST_CHECK;
void display_destroy(struct display *d); /* its viewers' streams end; NULL is fine */

/*
 * A new viewer: the picture is complete, whatever the VM's state. The frame and the stream of
 * wake-ups are the caller's. owner: whose viewer it is; only the same owner's calls reach it.
 * -EBUSY: no screen; -ENOSPC: too many viewers; -ENOMEM and so on: the host.
 */
struct display_viewer {
	int frame_fd, wake_fd;
	uint32_t id;
};
int display_open(struct display *d, const void *owner, struct display_viewer *ret_viewer,
		 struct err *e) HV_MUST_CHECK;
/* rate: draws a second, 0: hidden. -ENOENT: no such viewer of owner; -EINVAL: too fast. */
int display_set_rate(struct display *d, const void *owner, uint32_t id, uint32_t rate,
		     struct err *e) HV_MUST_CHECK;
int display_close(struct display *d, const void *owner, uint32_t id, struct err *e) HV_MUST_CHECK;
void display_owner_gone(struct display *d, const void *owner);

/* Any thread: the guest has changed something since a draw that set disp_picture.told. */
void display_changed(struct display *d);
/* Something may change soon: typed input, a reset. Looks at the next moment, and often. */
void display_stir(struct display *d);
/* Does the guest run? While it does not, only display_stir() has the picture looked at. */
void display_set_running(struct display *d, bool running);

struct display_stats {
	uint64_t draws, frames; /* calls of draw; those that changed something */
};
void display_get_stats(const struct display *d, struct display_stats *ret_stats);
#endif
