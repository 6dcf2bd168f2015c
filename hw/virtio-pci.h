/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio over PCI (virtio 1.2, 4.1): modern, legacy, or both (transitional, the default).
 *
 *   BAR 0   legacy registers, I/O (transitional and legacy)
 *   BAR 1   MSI-X, one vector for the configuration and one for each queue
 *   BAR 4   modern registers, memory: common, ISR, device and notification areas, 4 KiB each
 *
 * The transport owns the VirtioDevice it is given.
 */
#ifndef HW_VIRTIO_PCI_H
#define HW_VIRTIO_PCI_H

#include "hw/pci.h"
#include "hw/virtio.h"

typedef struct {
    bool disable_legacy, disable_modern;  /* not both */
} VirtioPciOptions;

/* `o` may be NULL: transitional.  With both disabled: NULL and `vd` is freed. */
PciDevice *virtio_pci_new(VirtioDevice *vd, const VirtioPciOptions *o);

/* The device inside (info qtree, statistics). */
VirtioDevice *virtio_pci_device(const PciDevice *d);

#endif /* HW_VIRTIO_PCI_H */
