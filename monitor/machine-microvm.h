/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What -device needs of machine `microvm`. */
#ifndef MONITOR_MACHINE_MICROVM_H
#define MONITOR_MACHINE_MICROVM_H

#include "hw/virtio.h"
#include "monitor/machine.h"

/* Put a virtio device (taken, whatever happens) into the next free virtio-mmio slot.  Fails on other
 * machines and when all slots are taken. */
bool machine_microvm_add_virtio(Machine *m, VirtioDevice *vd, const char *id, GError **error);

#endif /* MONITOR_MACHINE_MICROVM_H */
