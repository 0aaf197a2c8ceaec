/* Virtio disk. */
#ifndef DEVMODEL_VIRTIO_VIRTIO_BLK_H
#define DEVMODEL_VIRTIO_VIRTIO_BLK_H
#include "devmodel/virtio/virtio.h"

extern const struct vio_class dm_virtio_blk; /* option disk: the back-end's name */
#endif
