/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PS/2 keyboard (scan code set 2, set 1 on demand), a part of the keyboard controller.
 *
 * Keys are numbered by their set-1 make code, | PS2_KEY_GREY for those with an 0xe0 prefix;
 * ps2_key_find() knows them by the names that `sendkey` uses.
 */
#ifndef HW_PS2_KBD_H
#define HW_PS2_KBD_H

#include "hw/ps2-queue.h"

enum { PS2_KEY_GREY = 0x80, PS2_KEY_PAUSE = 0xc6, PS2_KEY_PRINT = 0xb7 };

typedef struct {
    Ps2Queue queue;
    bool scanning;
    uint8_t set;              /* 1 or 2                                  */
    uint8_t leds;             /* bit 0 scroll, 1 num, 2 caps             */
    uint8_t waits_for;        /* command whose argument comes next, or 0 */
    uint8_t typematic;
} Ps2Kbd;

void ps2_kbd_reset(Ps2Kbd *k);
/* A byte from the host. */
void ps2_kbd_write(Ps2Kbd *k, uint8_t byte);
/* A key goes down or up; dropped while scanning is off or the buffer is full. */
void ps2_kbd_put_key(Ps2Kbd *k, unsigned key, bool down);

/* The key of this name ("ret", "ctrl", "f1", "a"...), or -1. */
int ps2_key_find(const char *name);
/* The key that types an ASCII character on a US keyboard, or -1; *shift: with shift held. */
int ps2_key_from_char(char c, bool *shift);

/* What the keyboard controller's translation makes of a set-2 byte (break prefixes apart). */
uint8_t ps2_translate(uint8_t set2);

#endif /* HW_PS2_KBD_H */
