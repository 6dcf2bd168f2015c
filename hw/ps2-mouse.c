/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IBM PS/2 Hardware Interface Technical Reference, "Auxiliary device"; the wheel as Microsoft's
 * IntelliMouse does it. */
#include "hw/ps2-mouse.h"

#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <glib.h>

enum { ANSWER_ACK = 0xfa, ANSWER_RESEND = 0xfe, ANSWER_SELF_TEST = 0xaa };
enum { MOVE_LIMIT = 4096 };   /* what is remembered while nobody reads */

static int take_axis(int *axis, int limit)
{
    int v = CLAMP(*axis, -limit - 1, limit);

    *axis -= v;
    return v;
}

static unsigned make_packet(Ps2Mouse *m, uint8_t *p)
{
    int dx = take_axis(&m->dx, 255), dy = take_axis(&m->dy, 255);

    p[0] = 0x08 | (m->buttons & 7) | (dx < 0) << 4 | (dy < 0) << 5;
    p[1] = dx;
    p[2] = dy;
    if (m->id != 3) {
        m->dz = 0;
        return 3;
    }
    p[3] = take_axis(&m->dz, 7);
    return 4;
}

void ps2_mouse_move(Ps2Mouse *m, int dx, int dy, int dz, unsigned buttons)
{
    bool click = m->buttons != (buttons & 7);
    uint8_t p[4];

    m->dx = CLAMP(m->dx + CLAMP(dx, -MOVE_LIMIT, MOVE_LIMIT), -MOVE_LIMIT, MOVE_LIMIT);
    m->dy = CLAMP(m->dy + CLAMP(dy, -MOVE_LIMIT, MOVE_LIMIT), -MOVE_LIMIT, MOVE_LIMIT);
    m->dz = CLAMP(m->dz + CLAMP(dz, -MOVE_LIMIT, MOVE_LIMIT), -MOVE_LIMIT, MOVE_LIMIT);
    m->buttons = buttons & 7;
    if (!m->enabled || m->remote || m->wrap) {
        return;
    }
    while ((click || m->dx != 0 || m->dy != 0 || m->dz != 0) &&
           m->queue.n_events + 4 <= PS2_N_EVENTS) {
        unsigned n = make_packet(m, p);
        ps2_queue_event(&m->queue, p, n);
        click = false;
    }
}

static void set_defaults(Ps2Mouse *m)
{
    m->enabled = m->remote = m->wrap = m->scaling_2_1 = false;
    m->rate = 100;
    m->resolution = 2;
    m->waits_for = 0;
    m->dx = m->dy = m->dz = 0;
}

void ps2_mouse_reset(Ps2Mouse *m)
{
    ps2_queue_clear(&m->queue);
    m->queue.last = 0;
    m->id = 0;
    m->buttons = 0;
    m->knock[0] = m->knock[1] = 0;
    set_defaults(m);
}

static void set_rate(Ps2Mouse *m, uint8_t rate)
{
    if (m->knock[0] == 200 && m->knock[1] == 100 && rate == 80) {
        m->id = 3;
    }
    m->knock[0] = m->knock[1];
    m->knock[1] = rate;
    m->rate = rate;
}

static void status(Ps2Mouse *m)
{
    ps2_queue_answer(&m->queue, (m->remote ? 0x40 : 0) | (m->enabled ? 0x20 : 0) |
                     (m->scaling_2_1 ? 0x10 : 0) | (m->buttons & 1) << 2 |
                     (m->buttons & 4) >> 1 | (m->buttons & 2) >> 1);
    ps2_queue_answer(&m->queue, m->resolution);
    ps2_queue_answer(&m->queue, m->rate);
}

static void read_data(Ps2Mouse *m)
{
    uint8_t p[4];
    unsigned n = make_packet(m, p);

    for (unsigned i = 0; i < n; i++) {
        ps2_queue_answer(&m->queue, p[i]);
    }
}

static void command(Ps2Mouse *m, uint8_t byte)
{
    Ps2Queue *q = &m->queue;

    ps2_queue_answer(q, ANSWER_ACK);
    switch (byte) {
    case 0xe6: case 0xe7:
        m->scaling_2_1 = byte == 0xe7;
        break;
    case 0xe8: case 0xf3:
        m->waits_for = byte;
        break;
    case 0xe9:
        status(m);
        break;
    case 0xea: case 0xf0:
        m->remote = byte == 0xf0;
        break;
    case 0xeb:
        read_data(m);
        break;
    case 0xec: case 0xee:
        m->wrap = byte == 0xee;
        break;
    case 0xf2:
        ps2_queue_answer(q, m->id);
        break;
    case 0xf4: case 0xf5:
        m->enabled = byte == 0xf4;
        break;
    case 0xf6:
        set_defaults(m);
        break;
    case 0xff:
        ps2_mouse_reset(m);
        ps2_queue_answer(q, ANSWER_ACK);
        ps2_queue_answer(q, ANSWER_SELF_TEST);
        ps2_queue_answer(q, 0);
        break;
    default:
        log_guest_error("ps2-mouse: command %#x", byte);
        q->n_answers = 0;
        ps2_queue_answer(q, ANSWER_RESEND);
    }
}

void ps2_mouse_write(Ps2Mouse *m, uint8_t byte)
{
    Ps2Queue *q = &m->queue;
    uint8_t waits_for = m->waits_for;

    q->n_answers = 0;
    m->waits_for = 0;
    if (waits_for != 0) {
        if (waits_for == 0xf3) {
            set_rate(m, byte);
        } else {
            m->resolution = byte & 3;
        }
        ps2_queue_answer(q, ANSWER_ACK);
    } else if (byte == 0xfe) {
        ps2_queue_answer(q, q->last);
    } else if (m->wrap && byte != 0xec && byte != 0xff) {
        ps2_queue_answer(q, byte);
    } else {
        command(m, byte);
    }
    q->changed(q->arg);
}
