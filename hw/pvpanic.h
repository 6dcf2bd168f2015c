/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pvpanic: a port by which the guest says that its kernel has crashed. */
#ifndef HW_PVPANIC_H
#define HW_PVPANIC_H

#include "hw/device.h"

enum { PVPANIC_PORT = 0x505 };
enum { PVPANIC_PANICKED = 1, PVPANIC_CRASH_LOADED = 2 };   /* the second: a crash kernel takes over */

/* `events` are what it offers and passes on (PVPANIC_* bits). */
Device *pvpanic_new(unsigned events, void (*event)(void *arg, unsigned event), void *arg);

#endif /* HW_PVPANIC_H */
