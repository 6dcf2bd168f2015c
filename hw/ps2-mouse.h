/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PS/2 mouse: three bytes a packet, four once the guest has asked for the wheel; a part of the
 * keyboard controller. */
#ifndef HW_PS2_MOUSE_H
#define HW_PS2_MOUSE_H

#include "hw/ps2-queue.h"

enum { PS2_BUTTON_LEFT = 1, PS2_BUTTON_RIGHT = 2, PS2_BUTTON_MIDDLE = 4 };

typedef struct {
    Ps2Queue queue;
    bool enabled, remote, wrap, scaling_2_1;
    uint8_t id;               /* 0, or 3 with the wheel           */
    uint8_t rate, resolution;
    uint8_t waits_for;        /* command whose argument comes     */
    uint8_t knock[2];         /* the last two rates: 200, 100, 80 opens the wheel */
    int dx, dy, dz;           /* movement not reported yet        */
    uint8_t buttons;
} Ps2Mouse;

void ps2_mouse_reset(Ps2Mouse *m);
void ps2_mouse_write(Ps2Mouse *m, uint8_t byte);
/* Movement since the last call (right, up, wheel towards the user are positive) and the buttons. */
void ps2_mouse_move(Ps2Mouse *m, int dx, int dy, int dz, unsigned buttons);

#endif /* HW_PS2_MOUSE_H */
