/* SPDX-License-Identifier: GPL-2.0-or-later */
/* isa-debugcon: a port whose bytes go to a character device; reading tells that it is there. */
#ifndef HW_DEBUGCON_H
#define HW_DEBUGCON_H

#include "hw/chardev.h"
#include "hw/device.h"

/* Firmware's port, and Bochs's and QEMU's. */
enum { DEBUGCON_PORT_FIRMWARE = 0x402, DEBUGCON_PORT = 0xe9, DEBUGCON_READBACK = 0xe9 };

/* `chr` is borrowed and may be NULL. */
Device *debugcon_new(Chardev *chr, uint8_t readback);

#endif /* HW_DEBUGCON_H */
