/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The watchdog of the iBASE IB700 board: a write of v to port 443h starts it with 30 - 2 * (v & 15) seconds, a
 * write to 441h stops it.  Both are written only; each start begins anew.
 */
#ifndef HW_IB700_H
#define HW_IB700_H

#include "hw/device.h"
#include "softmmu/base/timer.h"

enum { IB700_PORT = 0x441, IB700_STOP = 0, IB700_START = 2 };      /* offsets in its window */

Device *ib700_new(TimerQueue *timers, void (*expired)(void *arg), void *arg);

#endif /* HW_IB700_H */
