/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 16550A UART on a character device.
 *
 * Output leaves at once (no baud pacing), with the interrupts a real transmitter would raise.
 * Input waits in the character device until there is room and the guest listens (receive interrupt
 * enabled, or line status polled); a starting driver's clearing loses none.  The modem lines show a
 * ready peer.  The interrupt output is not gated by OUT2.
 */
#ifndef HW_UART_H
#define HW_UART_H

#include "hw/chardev.h"
#include "hw/device.h"
#include "hw/irq.h"
#include "softmmu/base/timer.h"

enum { UART_WINDOW_LEN = 8 };

/* One window of 8 ports.  `chr` is borrowed and may be NULL (output vanishes). */
Device *uart_new(TimerQueue *timers, const IrqLine *irq, Chardev *chr);

#endif /* HW_UART_H */
