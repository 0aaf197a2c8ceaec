/* Virtio entropy source. */
#ifndef DEVMODEL_VIRTIO_VIRTIO_RNG_H
#define DEVMODEL_VIRTIO_VIRTIO_RNG_H
#include "devmodel/virtio/virtio.h"

extern const struct vio_class dm_virtio_rng; /* back-end DEV_BACKEND_RNG "rng" */
#endif
