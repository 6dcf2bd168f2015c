/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keyboard controller (8042) with a keyboard and, if wanted, a mouse.
 *
 * IRQ 1 or 12 is up while the output buffer holds a byte of the keyboard or mouse and that
 * interrupt is enabled.  The output port's A20 bit and reset pulses leave by callbacks.
 */
#ifndef HW_I8042_H
#define HW_I8042_H

#include "hw/device.h"
#include "hw/irq.h"
#include "hw/ps2-kbd.h"
#include "hw/ps2-mouse.h"

enum { I8042_WINDOW_DATA, I8042_WINDOW_COMMAND };
enum { I8042_PORT_DATA = 0x60, I8042_PORT_COMMAND = 0x64 };

typedef struct {
    IrqLine irq1, irq12;
    bool mouse;
    void *arg;
    void (*reset)(void *arg);             /* ask for a machine reset */
    void (*set_a20)(void *arg, bool on);
} I8042Config;

Device *i8042_new(const I8042Config *cfg);
/* Another source moved the A20 gate (port 0x92): show it in the output port. */
void i8042_a20_changed(Device *d, bool on);

/* For the monitor and displays; borrowed. */
Ps2Kbd *i8042_keyboard(Device *d);
Ps2Mouse *i8042_mouse(Device *d);         /* NULL when there is none */

#endif /* HW_I8042_H */
