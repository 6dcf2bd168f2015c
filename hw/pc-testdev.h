/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pc-testdev: what tests of CPUs (kvm-unit-tests) expect of a machine.
 *
 *   ports e0h-e3h      32 bits that remember, read and written in any size
 *   ports e4h-e7h      the page of a guest-physical address that is written here goes away for a moment: nothing
 *                      to see, here nothing is cached behind the CPU's back
 *   ports e8h-ebh      the bits of e0h again, byte by byte
 *   ports 2000h-2017h  written in bytes: the level of interrupt line 0 to 23, high unless 0
 *   ff000000h          64 KiB of memory that is a device's
 */
#ifndef HW_PC_TESTDEV_H
#define HW_PC_TESTDEV_H

#include "hw/device.h"
#include "hw/irq.h"

enum { TESTDEV_WINDOW_DATA, TESTDEV_WINDOW_FLUSH, TESTDEV_WINDOW_BYTES, TESTDEV_WINDOW_IRQS, TESTDEV_WINDOW_MEMORY };
enum { TESTDEV_DATA = 0xe0, TESTDEV_FLUSH = 0xe4, TESTDEV_BYTES = 0xe8, TESTDEV_IRQS = 0x2000, TESTDEV_LINES = 24 };
#define TESTDEV_MEMORY UINT64_C(0xff000000)

/* `irq` is copied. */
Device *pc_testdev_new(const IrqLine irq[TESTDEV_LINES]);

#endif /* HW_PC_TESTDEV_H */
