/*
 * Drives with a removable medium as the machine sees them: what a controller of such drives lets it
 * do on the user's behalf. The consumer is the machine; storage/ctrl implements it.
 */
#ifndef DEVMODEL_STORAGE_MEDIA_H
#define DEVMODEL_STORAGE_MEDIA_H
#include "devmodel/dev.h"
#include "devmodel/storage/blk.h"

/* All: loop thread, device's domain held, not blocking. unit: the controller's number of the drive,
 * one that has a removable medium. */
struct media_ops {
	/* The guest keeps the medium in. */
	bool (*locked)(const struct dev *d, unsigned unit);
	/* The guest has opened the drive, and the medium is still there; it asked for
	 * DEV_REQ_EJECTED then. NULL: it cannot. */
	bool (*out)(struct dev *d, unsigned unit);
	/* The user asks a guest that has locked the drive to let go (the drive's button). */
	void (*asked)(struct dev *d, unsigned unit);
	/* Out with what is there, in with medium (NULL: nothing); the guest learns of it as from a
	 * real drive. The old one gets no request any more, but may have some under way: the caller
	 * drains it once the domain is free. */
	void (*change)(struct dev *d, unsigned unit, struct blk *medium);
};
#endif
