/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A virtio entropy source (virtio 1.2, 5.4): the host's getrandom(), or a file. */
#ifndef HW_VIRTIO_RNG_H
#define HW_VIRTIO_RNG_H

#include "hw/virtio.h"

/* `filename` NULL: getrandom().  Else a file or device that is read as far as the guest asks (at
 * its end, getrandom() goes on).  NULL with one line in `error` when it cannot be opened. */
VirtioDevice *virtio_rng_new(PhysMem *mem, const char *filename, GError **error);

#endif /* HW_VIRTIO_RNG_H */
