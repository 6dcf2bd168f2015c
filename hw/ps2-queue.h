/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a PS/2 device has to say: answers to commands, which go first, and events.  Whoever holds a
 * queue takes bytes with ps2_queue_take(); `changed` tells it that there is something new.
 */
#ifndef HW_PS2_QUEUE_H
#define HW_PS2_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { PS2_N_ANSWERS = 8, PS2_N_EVENTS = 64 };

typedef struct {
    void (*changed)(void *arg);
    void *arg;

    uint8_t answer[PS2_N_ANSWERS], n_answers;
    uint8_t event[PS2_N_EVENTS], first, n_events;
    uint8_t last;             /* byte taken last, for "resend" */
} Ps2Queue;

static inline void ps2_queue_clear(Ps2Queue *q)
{
    q->n_answers = q->n_events = q->first = 0;
}

static inline void ps2_queue_answer(Ps2Queue *q, uint8_t byte)
{
    if (q->n_answers < PS2_N_ANSWERS) {
        q->answer[q->n_answers++] = byte;
    }
}

/* All of the event or, when there is no room, nothing. */
static inline bool ps2_queue_event(Ps2Queue *q, const uint8_t *bytes, unsigned n)
{
    if (n > (unsigned)(PS2_N_EVENTS - q->n_events)) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        q->event[(q->first + q->n_events++) % PS2_N_EVENTS] = bytes[i];
    }
    q->changed(q->arg);
    return true;
}

static inline bool ps2_queue_empty(const Ps2Queue *q)
{
    return q->n_answers == 0 && q->n_events == 0;
}

/* The next byte; the queue is not empty. */
static inline uint8_t ps2_queue_take(Ps2Queue *q)
{
    if (q->n_answers > 0) {
        q->last = q->answer[0];
        q->n_answers--;
        memmove(q->answer, q->answer + 1, q->n_answers);
    } else {
        q->last = q->event[q->first];
        q->first = (q->first + 1) % PS2_N_EVENTS;
        q->n_events--;
    }
    return q->last;
}

#endif /* HW_PS2_QUEUE_H */
