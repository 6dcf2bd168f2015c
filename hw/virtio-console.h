/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio console (virtio 1.2, 5.3): up to 31 ports, each a console (hvc0...) or a named serial port
 * (/dev/virtio-ports/NAME), each on a character device.  A driver without F_MULTIPORT sees port 0 as
 * a console and no others.
 *
 * Input waits in the host until the guest has buffers for it (CharHandlers.can_read); output goes
 * out at once.  The character devices are borrowed and must outlive the device, which attaches to
 * them for its life.
 */
#ifndef HW_VIRTIO_CONSOLE_H
#define HW_VIRTIO_CONSOLE_H

#include "hw/chardev.h"
#include "hw/virtio.h"

enum { VIRTIO_CONSOLE_MAX_PORTS = 31 };

typedef struct {
    bool absent;                   /* no port has this number                        */
    Chardev *chr;                  /* NULL: nobody is there                          */
    bool console;                  /* virtconsole; else virtserialport               */
    const char *name;              /* virtserialport name=, or NULL; borrowed in the call */
} VirtioConsolePort;

/* ports[i] is port number i. */
VirtioDevice *virtio_console_new(PhysMem *mem, const VirtioConsolePort *ports, unsigned n);

#endif /* HW_VIRTIO_CONSOLE_H */
