/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio over MMIO (virtio 1.2, 4.2): one window of 512 bytes and one interrupt line, for machines
 * without PCI.  The transport owns the VirtioDevice it is given; without one it is an empty slot
 * (device id 0).
 */
#ifndef HW_VIRTIO_MMIO_H
#define HW_VIRTIO_MMIO_H

#include "hw/device.h"
#include "hw/irq.h"
#include "hw/virtio.h"

enum { VIRTIO_MMIO_LEN = 0x200 };

/* force_legacy: version 1 registers, for drivers older than Linux 4.0. */
Device *virtio_mmio_new(VirtioDevice *vd, const IrqLine *irq, bool force_legacy);

#endif /* HW_VIRTIO_MMIO_H */
