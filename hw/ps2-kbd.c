/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IBM PS/2 Hardware Interface Technical Reference, "Keyboards"; translation as in its keyboard
 * controller chapter. */
#include "hw/ps2-kbd.h"

#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

enum { ANSWER_ACK = 0xfa, ANSWER_RESEND = 0xfe, ANSWER_SELF_TEST = 0xaa };

/* -- Tables ------------------------------------------------------------------------------------- */

/* clang-format off */
static const uint8_t translation[0x80] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
};
/* clang-format on */

static const struct {
    const char *name;
    uint8_t key;
} keys[] = {
#define KEY(name, number) {name, number},
#include "hw/ps2-keys.def"
#undef KEY
};

uint8_t ps2_translate(uint8_t set2)
{
    /* The two make codes of set 2 above 0x7f: F7, and Alt with Print Screen. */
    return set2 < 0x80 ? translation[set2] : set2 == 0x83 ? 0x41 : set2 == 0x84 ? 0x54 : set2;
}

static uint8_t set2_from_set1(uint8_t set1)
{
    if (set1 == 0x41) {
        return 0x83;
    }
    for (unsigned i = 0; i < sizeof translation; i++) {
        if (translation[i] == set1) {
            return set1 == 0x54 ? 0x84 : i;
        }
    }
    return 0;
}

int ps2_key_find(const char *name)
{
    for (unsigned i = 0; i < ARRAY_LEN(keys); i++) {
        if (strcmp(keys[i].name, name) == 0) {
            return keys[i].key;
        }
    }
    return -1;
}

int ps2_key_from_char(char c, bool *shift)
{
    static const char plain[] = "\0331234567890-=\b\tqwertyuiop[]\n\0asdfghjkl;'`\0\\zxcvbnm,./";
    static const char shifted[] = "\0!@#$%^&*()_+\0\0QWERTYUIOP{}\0\0ASDFGHJKL:\"~\0|ZXCVBNM<>?";

    *shift = false;
    if (c == ' ') {
        return 0x39;
    }
    for (unsigned i = 0; c != 0 && i < sizeof plain - 1; i++) {
        if (plain[i] == c || shifted[i] == c) {
            *shift = shifted[i] == c;
            return i + 1;
        }
    }
    return -1;
}

/* -- Keys --------------------------------------------------------------------------------------- */

void ps2_kbd_put_key(Ps2Kbd *k, unsigned key, bool down)
{
    /* Print Screen sends a shift with it; Pause has no break code. */
    static const uint8_t print[2][2][6] = {
        {{0xe0, 0xb7, 0xe0, 0xaa}, {0xe0, 0x2a, 0xe0, 0x37}},
        {{0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12}, {0xe0, 0x12, 0xe0, 0x7c}},
    };
    static const uint8_t pause[2][8] = {
        {0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5},
        {0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77},
    };
    uint8_t seq[4];
    unsigned n = 0;
    uint8_t code = key & 0x7f;

    if (!k->scanning || key > 0xff || code == 0) {
        return;
    }
    if (key == PS2_KEY_PRINT) {
        ps2_queue_event(&k->queue, print[k->set - 1][down], k->set == 2 && !down ? 6 : 4);
        return;
    }
    if (key == PS2_KEY_PAUSE) {
        if (down) {
            ps2_queue_event(&k->queue, pause[k->set - 1], k->set == 1 ? 6 : 8);
        }
        return;
    }
    if (key & PS2_KEY_GREY) {
        seq[n++] = 0xe0;
    }
    if (k->set == 1) {
        seq[n++] = code | (down ? 0 : 0x80);
    } else {
        if (!down) {
            seq[n++] = 0xf0;
        }
        code = set2_from_set1(code);
        if (code == 0) {
            return;
        }
        seq[n++] = code;
    }
    ps2_queue_event(&k->queue, seq, n);
}

/* -- Commands ----------------------------------------------------------------------------------- */

static void set_defaults(Ps2Kbd *k)
{
    k->set = 2;
    k->typematic = 0x2b;
    k->waits_for = 0;
}

void ps2_kbd_reset(Ps2Kbd *k)
{
    ps2_queue_clear(&k->queue);
    k->queue.last = 0;
    k->leds = 0;
    k->scanning = true;
    set_defaults(k);
}

static void argument(Ps2Kbd *k, uint8_t command, uint8_t byte)
{
    Ps2Queue *q = &k->queue;

    k->waits_for = 0;
    switch (command) {
    case 0xed:
        k->leds = byte & 7;
        break;
    case 0xf3:
        k->typematic = byte & 0x7f;
        break;
    case 0xf0:
        if (byte > 2) {
            ps2_queue_answer(q, ANSWER_RESEND);   /* set 3 is not offered */
            return;
        }
        ps2_queue_answer(q, ANSWER_ACK);
        if (byte == 0) {
            ps2_queue_answer(q, k->set);
        } else {
            k->set = byte;
        }
        return;
    }
    ps2_queue_answer(q, ANSWER_ACK);
}

static void command(Ps2Kbd *k, uint8_t byte)
{
    Ps2Queue *q = &k->queue;

    switch (byte) {
    case 0xed: case 0xf0: case 0xf3:              /* LEDs, scan code set, typematic rate */
    case 0xfb: case 0xfc: case 0xfd:              /* set 3 key types: taken, no effect   */
        k->waits_for = byte;
        break;
    case 0xee:                                    /* echo */
        ps2_queue_answer(q, 0xee);
        return;
    case 0xf2:
        ps2_queue_answer(q, ANSWER_ACK);
        ps2_queue_answer(q, 0xab);
        ps2_queue_answer(q, 0x83);
        return;
    case 0xf4:
        k->scanning = true;
        break;
    case 0xf5: case 0xf6:                         /* defaults, and stop or go on */
        set_defaults(k);
        k->scanning = byte == 0xf6;
        break;
    case 0xf7: case 0xf8: case 0xf9: case 0xfa:   /* set 3 */
        break;
    case 0xfe:
        ps2_queue_answer(q, q->last);
        return;
    case 0xff:
        ps2_kbd_reset(k);
        ps2_queue_answer(q, ANSWER_ACK);
        ps2_queue_answer(q, ANSWER_SELF_TEST);
        return;
    default:
        log_guest_error("ps2-kbd: command %#x", byte);
        ps2_queue_answer(q, ANSWER_RESEND);
        return;
    }
    ps2_queue_answer(q, ANSWER_ACK);
}

void ps2_kbd_write(Ps2Kbd *k, uint8_t byte)
{
    k->queue.n_answers = 0;   /* a new command ends the old answer */
    if (k->waits_for != 0 && byte < 0xed) {
        argument(k, k->waits_for, byte);
    } else {
        k->waits_for = 0;
        command(k, byte);
    }
    k->queue.changed(k->queue.arg);
}
