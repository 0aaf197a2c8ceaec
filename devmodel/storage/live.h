/*
 * A disk whose image changes while a machine has it: what the controller has stays the same object.
 * For snapshots: the machine is paused and drained, the image so far is closed for writing and
 * becomes the backing image of a new overlay, to which all goes from then on.
 *
 * And one that waits where the host has no room for what the guest writes: such requests are held
 * back, until blk_live_retry() has them done. The guest gets no error.
 */
#ifndef DEVMODEL_STORAGE_LIVE_H
#define DEVMODEL_STORAGE_LIVE_H
#include "devmodel/storage/blk.h"

/* top is taken over on success, not started yet. */
int blk_live_open(struct blk *top, struct blk **ret_blk, struct err *e) HV_MUST_CHECK;
bool blk_is_live(const struct blk *b);
/* What requests go to: borrowed. */
struct blk *blk_live_top(const struct blk *live);
/* Before an overlay is opened above the top (image_options.backing = the top): the top is synced,
 * stopped and not written any more. Undone by blk_live_switch() to the same top, also when another
 * one was above it meanwhile. Drained, loop thread. */
int blk_live_seal(struct blk *live, struct err *e) HV_MUST_CHECK;
/* Requests go to top from here on, which is taken over and started if the disk was; of the same
 * size. The old one is the caller's, or what top has below. Drained, loop thread. On failure the
 * disk is as it was. */
int blk_live_switch(struct blk *live, struct blk *top, struct err *e) HV_MUST_CHECK;

/* Before it is started: requests that fail for want of room (ENOSPC, EDQUOT) are held back.
 * changed: what blk_live_full() says may be another; any thread, must not block. */
void blk_live_wait_for_room(struct blk *live, void (*changed)(void *ctx), void *ctx);
/* Requests are held back, or being tried again. Any thread. */
bool blk_live_full(const struct blk *live);
/* Tries them again. Loop thread, while the machine is held: no device drains meanwhile. */
void blk_live_retry(struct blk *live);
#endif
